"""The feed in a capture: which flow it is, and where its messages are in the frames.

Ref: IEEE 802.1Q; RFC 791; RFC 768; MoldUDP64 1.00.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from tickgate.sim.capture import CaptureFile, InputError
from tickgate.sim.frames import Frames
from tickgate.sim.messages import Messages
from tickgate.sim.reception import Reception, receive, seal
from tickgate.spec import ethernet, itch50, moldudp64

__all__ = ["Flow", "Indexer", "find_flow", "flow_frames"]

SESSION = slice(moldudp64.HEADER.offset("session"), moldudp64.HEADER.end("session"))
SEQUENCE = slice(moldudp64.HEADER.offset("sequence"), moldudp64.HEADER.end("sequence"))
COUNT = slice(moldudp64.HEADER.offset("count"), moldudp64.HEADER.end("count"))
SEQUENCE_MASK = (1 << 64) - 1
PREFIX = moldudp64.BLOCK_LENGTH_SIZE
SHORTEST_BLOCK = 6


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The feed of a capture.

    Parameters
    ----------
    address, port : int
        Where it goes.
    first_sequence : int
        Of its first datagram.
    has_fcs : bool
        The captured frames end in an FCS.
    """

    address: int
    port: int
    first_sequence: int
    has_fcs: bool


def find_flow(capture: CaptureFile) -> Flow:
    """The address and port to which most ITCH 5.0 messages go.

    Raises `InputError` if the capture holds none in MoldUDP64.
    """
    messages: Counter[tuple[int, int]] = Counter()
    first: dict[tuple[int, int], int] = {}
    frames = sealed = 0
    for frame in capture.frames():
        frames += 1
        is_sealed = seal(frame[: -ethernet.FCS_SIZE]) == frame
        sealed += is_sealed
        datagram = receive(frame if is_sealed else seal(frame))
        if datagram.cause is not None:
            continue
        blocks, whole = _walk(frame, datagram)
        if whole:
            key = datagram.address, datagram.port
            messages[key] += sum(_is_itch(frame, at, size) for at, size in blocks)
            first.setdefault(key, _sequence(frame, datagram))
    if not messages or not messages.most_common(1)[0][1]:
        raise InputError(
            f"{capture.path}: none of its {frames} frames carries ITCH 5.0 in MoldUDP64 over UDP"
        )
    address, port = messages.most_common(1)[0][0]
    return Flow(
        address=address,
        port=port,
        first_sequence=first[address, port],
        has_fcs=2 * sealed > frames,
    )


def flow_frames(capture: CaptureFile, flow: Flow, *, batch: int = 1 << 14) -> Iterator[Frames]:
    """All frames of a capture as captured, at most so many at once, with an FCS.

    The messages are those of `flow`, as far as their datagrams can be walked.
    """
    indexer = Indexer(flow)
    frames = capture.frames()
    while part := list(islice(frames, batch)):
        if not flow.has_fcs:
            part = [seal(frame) for frame in part]
        yield indexer.frames(part)


class Indexer:
    """Finds the messages of `flow` in frames, and tells which of them come for the first time."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._session: bytes | None = None
        self._expected = flow.first_sequence
        self._index = 1

    def frames(self, part: list[bytes]) -> Frames:
        """The next frames of the wire, each of which ends in an FCS, right or wrong."""
        rows: list[tuple[int, int, int, int, bool]] = []
        payloads = []
        causes = []
        start = 0
        for number, frame in enumerate(part):
            datagram = receive(frame, (self._flow.address, self._flow.port))
            payloads.append((datagram.at, datagram.size))
            causes.append(datagram.cause)
            if datagram.size >= 0:
                blocks, _ = _walk(frame, datagram)
                sequence = _sequence(frame, datagram) if blocks else 0
                due = self._due(frame, datagram, sequence) if blocks else 0
                rows += [
                    (start + at, size, number, (sequence + place) & SEQUENCE_MASK, place >= due)
                    for place, (at, size) in enumerate(blocks)
                ]
            start += len(frame)
        octets = np.frombuffer(b"".join(part), np.uint8)
        payload_at, payload_size = np.array(payloads, np.int64).reshape(-1, 2).T
        begin, size, owner, sequence, due = zip(*rows, strict=True) if rows else ((),) * 5
        first_index, self._index = self._index, self._index + len(rows)
        return Frames(
            octets=octets,
            lengths=np.array([len(frame) for frame in part], np.int64),
            payload_at=payload_at,
            payload_size=payload_size,
            messages=Messages(
                octets=octets, begin=np.array(begin, np.int64), size=np.array(size, np.int64)
            ),
            frame=np.array(owner, np.int64),
            sequence=np.array(sequence, np.uint64),
            due=np.array(due, bool),
            causes=causes,
            line=np.zeros(len(part), np.uint8),
            first_index=first_index,
        )

    def _due(self, frame: bytes, datagram: Reception, sequence: int) -> int:
        """How many messages at the front of a datagram the feed has had."""
        session = frame[datagram.at :][SESSION]
        expected = self._expected
        if self._session not in (None, session):
            expected = sequence
        had = max(expected - sequence, 0)
        # A damaged header does not decide what is due next.
        if datagram.cause != "fcs_errors":
            count = int.from_bytes(frame[datagram.at :][COUNT], "big")
            self._session, self._expected = session, max(expected, sequence + count)
        return had


def _walk(frame: bytes, datagram: Reception) -> tuple[list[tuple[int, int]], bool]:
    """Where the messages of a datagram are and their sizes, and if it is MoldUDP64 to its end."""
    if datagram.size < moldudp64.HEADER.size:
        return [], False
    count = int.from_bytes(frame[datagram.at :][COUNT], "big")
    at, end = datagram.at + moldudp64.HEADER.size, datagram.at + datagram.size
    blocks: list[tuple[int, int]] = []
    if count != moldudp64.END_OF_SESSION:
        for _ in range(count):
            size = int.from_bytes(frame[at : at + PREFIX], "big")
            if at + PREFIX + size > end or size < SHORTEST_BLOCK:
                return blocks, False
            blocks.append((at + PREFIX, size))
            at += PREFIX + size
    return blocks, at == end


def _sequence(frame: bytes, datagram: Reception) -> int:
    return int.from_bytes(frame[datagram.at :][SEQUENCE], "big")


def _is_itch(frame: bytes, at: int, size: int) -> bool:
    message = itch50.MESSAGES.get(chr(frame[at]))
    return message is not None and message.size == size
