"""The port of a virtual card on a network of the kernel's.

Ref: docs/cli.md, "sim".
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tickgate.sim.virtual.card import Frame
from tickgate.sim.virtual.impair import Impairments, Wire
from tickgate.sim.virtual.tap import Tap
from tickgate.spec.ethernet import FCS_SIZE, MIN_FRAME, fcs

__all__ = ["NetworkPort"]

AT_A_TIME = 64
"""Frames taken from the kernel between two looks at the serial port."""


@dataclass
class NetworkCounts:
    """Frames by what became of them."""

    to_card: int = 0
    from_card: int = 0
    bad_fcs: int = 0
    refused: int = 0


class NetworkPort:
    """Carries frames between a TAP device and a card, over a wire that may be imperfect each way.

    The FCS is added before the wire to the card and checked behind the wire from it: as at any
    network card, what was damaged on that way goes no further and is counted (`bad_fcs`), as is
    what the kernel does not take (`refused`).

    Parameters
    ----------
    tap : Tap
    impairments : Impairments
        Of both directions.
    seed : int
        Of what the wires do.
    now : callable
        Tells the time in seconds.
    record : callable or None
        Is given each frame that passes the kernel's end, as the kernel has it: the time in ns, and
        the octets without FCS.

    Members
    -------
    counts : NetworkCounts
    inward, outward : Wire
    """

    def __init__(
        self,
        tap: Tap,
        *,
        impairments: Impairments | None = None,
        seed: int = 0,
        now: Callable[[], float] = time.monotonic,
        record: Callable[[int, bytes], None] | None = None,
    ) -> None:
        its = impairments or Impairments()
        self._tap, self._now = tap, now
        self._record = record or (lambda time_ns, octets: None)
        self.inward, self.outward = Wire(its, 2 * seed), Wire(its, 2 * seed + 1)
        self.counts = NetworkCounts()

    def fileno(self) -> int:
        """For select: readable when the kernel has sent something."""
        return self._tap.fileno()

    @property
    def under_way(self) -> bool:
        """Whether a frame is on one of the wires."""
        return self.inward.under_way or self.outward.under_way

    def summary(self) -> str:
        """What became of all frames, in a line."""
        told = dict(vars(self.counts))
        for name, wire in (("inward", self.inward), ("outward", self.outward)):
            told |= {f"{name} {fate}": n for fate, n in vars(wire.counts).items() if n}
        return ", ".join(f"{number} {what.replace('_', ' ')}" for what, number in told.items())

    def arrivals(self) -> list[bytes]:
        """Frames for the card, from destination MAC to FCS."""
        now = self._now()
        for octets in self._tap.read(AT_A_TIME):
            self._record(int(now * 1e9), octets)
            padded = octets.ljust(MIN_FRAME - FCS_SIZE, b"\0")
            self.inward.put(padded + fcs(padded).to_bytes(FCS_SIZE, "little"), now)
        frames = self.inward.take(now)
        self.counts.to_card += len(frames)
        return frames

    def deliver(self, frames: Iterable[Frame] = ()) -> None:
        """Takes what the card has sent; hands on what has arrived at the kernel's end."""
        now = self._now()
        for frame in frames:
            self.counts.from_card += 1
            self.outward.put(frame.octets, now)
        for octets in self.outward.take(now):
            body, check = octets[:-FCS_SIZE], octets[-FCS_SIZE:]
            if fcs(body).to_bytes(FCS_SIZE, "little") != check:
                self.counts.bad_fcs += 1
            else:
                self._record(int(now * 1e9), body)
                self.counts.refused += not self._tap.write(body)
