"""Time in intervals of a power of two, one after the other, for limits within a window.

Ref: docs/risk.md, gates 12 (collar over time) and 28 (fill burst).
"""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["NUMBER_BITS", "WINDOW_BITS", "Interval"]

WINDOW_BITS = 6
"""Of the binary logarithm of a window in ns."""
NUMBER_BITS = 16


class Interval(wiring.Component):
    """Numbers intervals of 2**window ns: the bits of the time above those, modulo 2**NUMBER_BITS.

    Latency: `LATENCY` cycle from the time to its number. Throughput: one a cycle.

    Whatever happens less than a window before a moment, is in its interval or the one before.

    Members
    -------
    time : In(64)
        In ns.
    window : In(WINDOW_BITS)
    number : Out(NUMBER_BITS)
    """

    LATENCY = 1

    def __init__(self) -> None:
        super().__init__({"time": In(64), "window": In(WINDOW_BITS), "number": Out(NUMBER_BITS)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.sync += self.number.eq(self.time >> self.window)
        return m
