"""An input as the replay sees it: messages to examine, then frames to send.

Ref: MoldUDP64 1.00.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

from tickgate.sim.capture import CaptureFile, ItchFile, open_input
from tickgate.sim.flow import Flow, find_flow, flow_frames
from tickgate.sim.frames import Frames, Packer
from tickgate.sim.messages import Messages

__all__ = ["CaptureSource", "ItchSource", "Source", "open_source"]

DAMAGES = ("fcs_errors", "truncated")


class Source(Protocol):
    """What a replay needs of an input.

    Members
    -------
    path : Path
    destination : tuple of (int, int) or None
        IPv4 address and UDP port to which the feed goes; None where the replay may choose.
    first_sequence : int
        MoldUDP64 sequence number with which the feed begins.
    from_start : bool
        The input may begin with the session.
    """

    path: Path
    destination: tuple[int, int] | None
    first_sequence: int
    from_start: bool

    def messages(self) -> Iterator[tuple[Messages, bool]]:
        """The messages that the feed is to deliver, in order, a batch at a time.

        The second value is False where messages are missing right before the batch.
        """
        ...

    def frames(self, destination: tuple[int, int]) -> Iterator[Frames]:
        """The frames to send, a batch at a time."""
        ...


@dataclass(frozen=True)
class ItchSource:
    """A file of ITCH messages, packed `pack` a datagram (None: those of one timestamp)."""

    file: ItchFile
    pack: int | None = None
    destination: tuple[int, int] | None = None
    first_sequence: int = 1
    from_start: bool = True

    @property
    def path(self) -> Path:
        """The file."""
        return self.file.path

    def messages(self) -> Iterator[tuple[Messages, bool]]:
        """See `Source`."""
        return ((batch, True) for batch in self.file.batches())

    def frames(self, destination: tuple[int, int]) -> Iterator[Frames]:
        """See `Source`."""
        address, port = destination
        packer = Packer(address=address, port=port, pack=self.pack)
        return map(packer.frames, self.file.batches())


@dataclass(frozen=True)
class CaptureSource:
    """A capture, whose frames are sent as they were captured."""

    file: CaptureFile
    flow: Flow

    @property
    def path(self) -> Path:
        """The file."""
        return self.file.path

    @property
    def destination(self) -> tuple[int, int]:
        """Where the captured feed goes."""
        return self.flow.address, self.flow.port

    @property
    def first_sequence(self) -> int:
        """That of the first datagram captured; a session begins with 1."""
        return max(self.flow.first_sequence, 1)

    @property
    def from_start(self) -> bool:
        """True if the capture holds the first datagram of the session."""
        return self.flow.first_sequence <= 1

    def messages(self) -> Iterator[tuple[Messages, bool]]:
        """See `Source`."""
        following = self.flow.first_sequence
        for frames in flow_frames(self.file, self.flow):
            due = np.flatnonzero(frames.due)
            sequence = frames.sequence[due].astype(np.int64)
            # A frame that is damaged may hold anything.
            damaged = np.array([cause in DAMAGES for cause in frames.causes], bool)
            missing = damaged[frames.frame[due]]
            missing[1:] |= sequence[1:] != sequence[:-1] + 1
            missing[:1] |= sequence[:1] != following
            following = int(sequence[-1]) + 1 if len(due) else following
            edges = [0, *np.flatnonzero(missing).tolist(), len(due)]
            for begin, end in pairwise(edges):
                if begin < end:
                    yield frames.messages.of(due[begin:end]), not missing[begin]

    def frames(self, destination: tuple[int, int]) -> Iterator[Frames]:
        """See `Source`; the destination is that of the flow."""
        return flow_frames(self.file, self.flow)


def open_source(path: Path, *, pack: int | None = None) -> ItchSource | CaptureSource:
    """Opens an input of either kind. Raises `InputError` if it is neither or cannot be used."""
    file = open_input(path)
    if isinstance(file, ItchFile):
        return ItchSource(file, pack)
    return CaptureSource(file, find_flow(file))
