"""Finds the place of a price in a window a digit at a time, where nothing waits for it.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.types import Geometry
from tickgate.hdl.stream import Side

__all__ = ["Placer"]


class Placer(wiring.Component):
    """Places a price as :class:`Window` does, without a multiplier.

    Latency: about as many cycles as the width of the window, in 1e-4 USD, has binary digits.
    Throughput: one price at a time.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    start : In(1)
        Strobe; what is under way is dropped.
    price, base : In(32), cent : In(1), side : In(Side)
        As in :class:`Window`, the side of the order; to be held until `done`.
    done : Out(1)
        The place stands, until the next `start`.
    level : Out
        The tick.
    low, high : Out(1)
        There is none: the price escapes like one below or above the window. One off the grid
        escapes on the better side, a bid like one above and an ask like one below.
    """

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "start": In(1),
                "price": In(32),
                "base": In(32),
                "cent": In(1),
                "side": In(Side),
                "done": Out(1),
                "level": Out(geometry.key_bits),
                "low": Out(1),
                "high": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        g = self._geometry
        span = g.ticks * g.CENT
        offset = Signal(33)
        compares, divides = Signal(), Signal()
        dividend, quotient = Signal(range(span)), Signal(range(span))
        rest, longer, fits = Signal(range(2 * g.CENT)), Signal(range(2 * g.CENT)), Signal()
        left = Signal(range(len(dividend) + 1))
        m.d.comb += [
            longer.eq((rest << 1) | dividend[-1]),
            fits.eq(longer >= g.CENT),
            self.level.eq(quotient),
        ]
        m.d.sync += offset.eq(self.price - self.base)
        with m.If(self.start):
            m.d.sync += [self.done.eq(0), compares.eq(1), divides.eq(0)]
        with m.Elif(compares):
            m.d.sync += [
                compares.eq(0),
                divides.eq(1),
                self.low.eq(offset[32]),
                self.high.eq(~offset[32] & (offset[:32] >= Mux(self.cent, span, g.ticks))),
                dividend.eq(offset),
                rest.eq(0),
                quotient.eq(Mux(self.cent, 0, offset)),
                left.eq(Mux(self.cent, len(dividend), 0)),
            ]
        with m.Elif(divides & left.any()):
            m.d.sync += [
                rest.eq(Mux(fits, longer - g.CENT, longer)),
                dividend.eq(dividend << 1),
                quotient.eq((quotient << 1) | fits),
                left.eq(left - 1),
            ]
        with m.Elif(divides):
            m.d.sync += [divides.eq(0), self.done.eq(1)]
            with m.If(rest.any() & ~self.low & ~self.high):
                m.d.sync += [
                    self.low.eq(self.side == Side.SELL),
                    self.high.eq(self.side == Side.BUY),
                ]
        return m
