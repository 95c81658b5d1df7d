"""Turns prices into places of a symbol's price window.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.types import Geometry, Placement
from tickgate.hdl.stream import Side

__all__ = ["Window", "reciprocal"]


def reciprocal(divisor: int, limit: int) -> tuple[int, int, int]:
    """A multiplication that divides all numbers below `limit` by `divisor`, exactly.

    Returns `(factor, shift, zeros)`: `(d * factor) >> shift` is the quotient, and d is a multiple
    of the divisor exactly when the `zeros` highest bits of the discarded fraction are zero.
    """
    zeros = divisor.bit_length()
    for shift in range(limit.bit_length(), 64):
        factor = -(-(1 << shift) // divisor)
        excess = factor * divisor - (1 << shift)
        # The quotient's fraction is (d % divisor)/divisor plus d*excess/(divisor << shift).
        if (limit - 1) * excess * (1 << zeros) < divisor << shift:
            return factor, shift, zeros
    raise ValueError(f"no reciprocal of {divisor} below {limit}")


class Window(wiring.Component):
    """Places a price in the window of its symbol.

    Latency: 2 cycles. Throughput: one price a cycle.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    price, base : In(32)
        In 1e-4 USD; `base` is the lowest price of the window, a multiple of the tick.
    cent : In(1)
        The tick is 0.01 USD; else it is 0.0001 USD.
    bid, ask : Out(Placement)
        The place of the price `LATENCY` cycles ago, for either side.
    given : In(1), given_level, given_low, given_high : In
        In the next cycle, the place is this tick, or below or above the window.
    unplaced : In(1)
        With a price: it is to have no place at all.
    """

    LATENCY = 2

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "price": In(32),
                "base": In(32),
                "cent": In(1),
                "bid": Out(Placement(geometry)),
                "ask": Out(Placement(geometry)),
                "given": In(1),
                "given_level": In(geometry.key_bits),
                "given_low": In(1),
                "given_high": In(1),
                "unplaced": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        geometry = self._geometry
        span_cents = geometry.ticks * geometry.CENT
        factor, shift, zeros = reciprocal(geometry.CENT, span_cents)

        offset = Signal(range(span_cents))
        low = Signal()
        high = Signal()
        cent = Signal()
        difference = Signal(33)
        m.d.comb += difference.eq(self.price - self.base)
        m.d.sync += [
            offset.eq(difference),
            low.eq(difference[32]),
            high.eq(
                ~difference[32] & (difference[:32] >= Mux(self.cent, span_cents, geometry.ticks))
            ),
            cent.eq(self.cent),
        ]

        product = Signal(len(offset) + factor.bit_length())
        m.d.comb += product.eq(offset * factor)
        level = Signal(geometry.key_bits)
        on_grid = Signal()
        was_low = Signal()
        was_high = Signal()
        # What is given joins late, where it costs the prices of messages nothing.
        was_given, held_level, unplaced = Signal(), Signal(geometry.key_bits), Signal()
        m.d.sync += [
            unplaced.eq(self.unplaced),
            was_given.eq(self.given),
            held_level.eq(self.given_level),
            level.eq(Mux(cent, product >> shift, offset)),
            on_grid.eq(~cent | ~product[shift - zeros : shift].any()),
            # No price is both, so both say that it is to have no place.
            was_low.eq(Mux(self.given, self.given_low, low | unplaced)),
            was_high.eq(Mux(self.given, self.given_high, high | unplaced)),
        ]

        fits = on_grid | was_given
        for side, place, better, worse in (
            (Side.BUY, self.bid, was_high, was_low),
            (Side.SELL, self.ask, was_low, was_high),
        ):
            tick = Mux(was_given, held_level, level)
            m.d.comb += [
                place.key.eq(~tick if side is Side.BUY else tick),
                place.inside.eq(fits & ~was_low & ~was_high),
                Value.cast(place.escape).eq(Cat(better | ~(worse | fits), worse)),
            ]
        return m
