"""What went into the card in one piece and what came out of it, brought together.

Ref: docs/architecture.md, "How latency is measured".
"""

from functools import cached_property

import numpy as np

from tickgate.sim.frames import Frames
from tickgate.sim.virtual.card import Log

__all__ = ["Trace"]

WORD = np.uint64(0xFFFF_FFFF)


class Trace:
    """Frames that were sent, and the log of the card from the first of them until it was quiet.

    Parameters
    ----------
    frames : Frames
    log : Log
    width : int
        Octets a cycle.
    tx_gap : int
        Octets after each order frame in which the port does not take the next.

    Members
    -------
    starts : int64 array
        Cycle in which the first word of each frame was on rx.
    t0 : int64 array
        Cycle in which the last octet of each message was on rx.
    top_message, verdict_message : int64 array
        Which message each top of book, each verdict belongs to; -1 for none of these.
    sent : int64 array
        Cycle in which the first octet of each order frame was on tx (see `_sent`).
    sent_verdict : int64 array
        Which verdict each order frame belongs to.
    """

    def __init__(self, *, frames: Frames, log: Log, width: int, tx_gap: int) -> None:
        self.frames = frames
        self.log = log
        self._width = width
        self._tx_gap = tx_gap
        self.starts = log.starts.astype(np.int64)
        self.t0 = self.starts[frames.frame] + frames.last_octets // width
        self.sent_verdict = np.flatnonzero(log.verdicts["approved"])[: len(log.tx_frames)]

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
        for at, frame in enumerate(self.log.tx_frames):
            waited = frame.first_cycle == free and at < len(approved)
            cycles.append(approved[at] if waited else frame.first_cycle)
            # What the last word leaves unused is part of the gap.
            gap = max(self._tx_gap - -len(frame.octets) % self._width, 0)
            free = frame.last_cycle + 1 + -(-gap // self._width)
        return np.array(cycles, np.int64)

    def _find(self, records: np.ndarray) -> np.ndarray:
        """The message that each record's sequence number names."""
        due = np.flatnonzero(self.frames.due)
        known = self.frames.sequence[due] & WORD
        order = np.argsort(known, kind="stable")
        known, due = known[order], due[order]
        wanted = records["sequence"].astype(np.uint64)
        begin = np.searchsorted(known, wanted, side="left")
        end = np.searchsorted(known, wanted, side="right")
        found = np.full(len(records), -1, np.int64)
        there = begin < end
        found[there] = due[begin[there]]
        # After a damaged frame or a change of session a number may come again: the last one that
        # was in before the record is meant. Those of one number are in the order of the wire.
        for record in np.flatnonzero(end - begin > 1).tolist():
            candidates = due[begin[record] : end[record]]
            before = np.searchsorted(self.t0[candidates], int(records["cycle"][record]))
            found[record] = candidates[max(before - 1, 0)]
        return found
