"""What went into the card in one piece and what came out of it, brought together.

Ref: docs/architecture.md, "Time".
"""

from functools import cached_property

import numpy as np

from tickgate.hdl.eth.hold import CAPACITY, MARGIN, Hold
from tickgate.sim.frames import PAYLOAD_AT, Frames
from tickgate.sim.virtual.card import Frame, Log
from tickgate.spec import ethernet

__all__ = ["Trace"]

DAMAGES = ("fcs_errors", "truncated")
WORD = np.uint64(0xFFFF_FFFF)


class Trace:
    """Frames that were sent, and the log of the card from the first of them until it was quiet.

    Parameters
    ----------
    frames : Frames
    log : Log
    width : int
        Octets a cycle; also a member.
    tx_gap : int
        Octets after each order frame in which the port does not take the next.
    await_fcs : bool
        The card keeps frames until their FCS is known.
    requests : bool
        The card asks for what is missing: what is ahead it leaves out, and it must come again.

    Members
    -------
    starts : int64 array
        Cycle in which the first word of each frame was on rx.
    t0 : int64 array
        Cycle in which the last octet of each message was on rx.
    left_out : list
        The counter by which `await_fcs` left out each frame, None where it did not.
    feed_starts, feed_t0 : int64 array
        As `starts` and `t0`, but later by what a datagram is kept: what the feed sees.
    top_message, verdict_message : int64 array
        Which message each top of book, each verdict belongs to; -1 for none of these.
    orders, services : list of Frame
        What was sent on tx: the frames of orders, and those of the card's services.
    sent : int64 array
        Cycle in which the first octet of each order frame was on tx.
    sent_verdict : int64 array
        Which verdict each order frame belongs to.
    """

    def __init__(
        self,
        *,
        frames: Frames,
        log: Log,
        width: int,
        tx_gap: int,
        await_fcs: bool = False,
        requests: bool = False,
    ) -> None:
        self.frames = frames
        self.log = log
        self.width = width
        self._tx_gap = tx_gap
        self._await_fcs, self._requests = await_fcs, requests
        self.starts = log.starts.astype(np.int64)
        self.t0 = self.starts[frames.frame] + frames.last_octets // width
        self.orders = [frame for frame in log.tx_frames if _is_order(frame)]
        self.services = [frame for frame in log.tx_frames if not _is_order(frame)]
        self.sent_verdict = np.flatnonzero(log.verdicts["approved"])[: len(self.orders)]

    @cached_property
    def left_out(self) -> list[str | None]:
        left_out: list[str | None] = [None] * len(self.frames.causes)
        sizes = self.frames.payload_size
        for number in np.flatnonzero((sizes >= 0) & self._await_fcs).tolist():
            if self.frames.causes[number] in DAMAGES:
                left_out[number] = "dropped"
            elif self._words[number] > CAPACITY // self.width - MARGIN + 1:
                left_out[number] = "overlong"
        return left_out

    @cached_property
    def feed_starts(self) -> np.ndarray:
        if not self._await_fcs:
            return self.starts
        frames, free = self.frames, 0
        begins = frames.payload_at // self.width
        kept = self.starts + -(-frames.lengths // self.width) - 1 + Hold.HELD_LATENCY
        starts = self.starts.copy()
        for number in np.flatnonzero(frames.payload_size >= 0).tolist():
            if self.left_out[number] is None:
                emerges = max(int(kept[number]), free)
                starts[number] = emerges - begins[number]
                free = emerges + int(self._words[number]) + PAYLOAD_AT // self.width
        return starts

    @cached_property
    def feed_t0(self) -> np.ndarray:
        return self.feed_starts[self.frames.frame] + self.frames.last_octets // self.width

    @cached_property
    def _words(self) -> np.ndarray:
        """Words that the payload of each frame is in."""
        begin, size = self.frames.payload_at, np.maximum(self.frames.payload_size, 1)
        return (begin + size - 1) // self.width - begin // self.width + 1

    @cached_property
    def top_message(self) -> np.ndarray:
        return self._find(self.log.tops)

    @cached_property
    def verdict_message(self) -> np.ndarray:
        return self._find(self.log.verdicts)

    @cached_property
    def sent(self) -> np.ndarray:
        """The cycle in which the core offers an order's first octet.

        The log has the cycle in which the port takes it. Where the port had only just become free
        the order may have been offered before: it is, in the cycle of its verdict.
        """
        cycles = []
        free = -1
        approved = self.log.verdicts["cycle"][self.sent_verdict].tolist()
        for frame in self.log.tx_frames:
            if _is_order(frame):
                waited = frame.first_cycle == free and len(cycles) < len(approved)
                cycles.append(approved[len(cycles)] if waited else frame.first_cycle)
            # What the last word leaves unused is part of the gap.
            gap = max(self._tx_gap - -len(frame.octets) % self.width, 0)
            free = frame.last_cycle + 1 + -(-gap // self.width)
        return np.array(cycles, np.int64)

    def _find(self, records: np.ndarray) -> np.ndarray:
        """The message that each record's sequence number names."""
        due = np.flatnonzero(self.frames.due | self._requests)
        known = self.frames.sequence[due] & WORD
        order = np.argsort(known, kind="stable")
        known, due = known[order], due[order]
        wanted = records["sequence"].astype(np.uint64)
        begin = np.searchsorted(known, wanted, side="left")
        end = np.searchsorted(known, wanted, side="right")
        found = np.full(len(records), -1, np.int64)
        there = begin < end
        found[there] = due[begin[there]]
        # After a damaged frame, a change of session or a request a number may come again: the last
        # one that was in before the record is meant. Those of one number are in order of the wire.
        for record in np.flatnonzero(end - begin > 1).tolist():
            candidates = due[begin[record] : end[record]]
            before = np.searchsorted(self.t0[candidates], int(records["cycle"][record]))
            found[record] = candidates[max(before - 1, 0)]
        return found


def _is_order(frame: Frame) -> bool:
    """Whether a frame of the card is an order's: that of a TCP segment."""
    ethertype = ethernet.ETHERNET.unpack_from(frame.octets)["ethertype"]
    protocol = frame.octets[ethernet.ETHERNET.size + ethernet.IPV4.offset("protocol")]
    return (ethertype, protocol) == (ethernet.ETHERTYPE_IPV4, ethernet.PROTOCOL_TCP)
