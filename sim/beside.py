"""The port of a virtual card beside a feed: while the host talks to the card, messages go on.

Ref: docs/architecture.md, "The book".
"""

import numpy as np

from tickgate.sim.frames import Packer, line_rate_gaps
from tickgate.sim.model.feed import decode
from tickgate.sim.session import FEED_ADDRESS, FEED_PORT
from tickgate.sim.tape import write
from tickgate.sim.virtual import Card

__all__ = ["PortBesideFeed"]


class PortBesideFeed:
    """The frames of a feed, and the card's UART during whose answers they are sent.

    The line to the card takes time. While the driver waits for an answer frames go to the card, one
    after the other. It is a port in the sense of :class:`SerialLike`.

    Parameters
    ----------
    card : Card
    rows : array of `tickgate.sim.tape.ROW`
        The messages.
    pause : int or None
        Idle cycles before each frame; None: what the wire imposes.
    pack : int or None
        Messages of a frame at most; None: as many as it can hold.
    steady : bool
        Frames go on while an answer is on its way; else they rest until it is there.

    Members
    -------
    frames : Frames
    messages : list of Message
        What they carry.
    lost : set of int
        Frames that do not arrive.
    next : int
        The next frame.
    """

    name = "a port beside a feed"
    PATIENCE = 10_000
    """Frames after which there is no answer."""

    def __init__(
        self,
        card: Card,
        rows: np.ndarray,
        *,
        pause: int | None = None,
        pack: int | None = None,
        steady: bool = True,
    ) -> None:
        packer = Packer(address=FEED_ADDRESS, port=FEED_PORT, pack=pack)
        self.frames = packer.frames(write(rows))
        octets, all_messages = self.frames.octets, self.frames.messages
        self.messages = [
            decode(octets[begin : begin + size].tobytes())
            for begin, size in zip(all_messages.begin, all_messages.size, strict=True)
        ]
        gaps = line_rate_gaps(self.frames.lengths, width=card.width)
        self._gaps = gaps if pause is None else np.full(len(gaps), pause)
        self._starts = np.concatenate([[0], np.cumsum(self.frames.lengths)])
        self._card, self._received, self._steady = card, b"", steady
        self.next = 0
        self.lost: set[int] = set()

    def advance(self, frames: int = 1) -> None:
        """Sends the next frames."""
        for number in range(self.next, min(self.next + frames, len(self.frames.lengths))):
            if number not in self.lost:
                self._card.send(
                    self.frames.octets[self._starts[number] : self._starts[number + 1]],
                    self.frames.lengths[number : number + 1],
                    gap=int(self._gaps[number]),
                )
            self.next = number + 1

    @property
    def over(self) -> bool:
        """Whether all frames are sent."""
        return self.next == len(self.frames.lengths)

    @property
    def last_sequence(self) -> int:
        """That of the last message sent or lost."""
        return int(np.searchsorted(self.frames.frame, self.next))

    # What the driver needs of a port.

    @property
    def in_waiting(self) -> int:
        if self.over:
            self._card.run(400)
        self.advance()
        self._received += self._card.serial.read_waiting()
        return len(self._received)

    def read(self, size: int = 1, /) -> bytes:
        for _ in range(self.PATIENCE if self._steady else 0):
            if self.in_waiting:
                break
        octets, self._received = self._received[:size], self._received[size:]
        return octets if self._steady else octets or self._card.serial.read(size)

    def write(self, data: bytes, /) -> int | None:
        return self._card.serial.write(data)

    def reset_input_buffer(self) -> None:
        self._received = b""
        self._card.serial.reset_input_buffer()

    def close(self) -> None:
        """Nothing to close."""
