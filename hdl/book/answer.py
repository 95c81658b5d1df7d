"""Decides whether a top of book is exact.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.bits import bit_of, one_hot, with_bit
from tickgate.hdl.book.types import Best, Escape, Geometry, Update
from tickgate.hdl.memory import TableMemory
from tickgate.hdl.stream import Side, Top

__all__ = ["Answer"]


class Escapes(data.StructLayout):
    """Live orders of one side outside the window."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({"better": geometry.count_bits, "worse": geometry.count_bits})


class Answer(wiring.Component):
    """Puts together the top of book after an update, and follows what makes it exact.

    Latency: 1 cycle. Throughput: an update every second cycle, which must come in order. Right
    behind one that is about nothing but trust, another one must repeat it.

    `exact` means: the book is trusted, no order lies outside the window on the better side, and a
    side that looks empty has no order on the worse side either.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    ready : Out(1)
    next_symbol : In
        The symbol of the update that comes in the next cycle, if any does.
    update_valid : In(1), update : In(Update)
    bid, ask : In(Best)
        The best levels after the update.
    tell : In(1)
        The top is asked for.
    lost : In(1)
        The top is not exact: a loss of trust is known that has yet to come with an update.
    top_valid : Out(1), top : Out(Top)
    escaped : Out(1)
        Orders lie outside the window, on any side; with the top.
    trusted : Out(symbols)
        One bit a symbol.
    """

    LATENCY = 1

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "ready": Out(1),
                "next_symbol": In(range(geometry.symbols)),
                "update_valid": In(1),
                "update": In(Update(geometry)),
                "bid": In(Best(geometry)),
                "ask": In(Best(geometry)),
                "tell": In(1),
                "lost": In(1),
                "top_valid": Out(1),
                "top": Out(Top(geometry.symbols)),
                "escaped": Out(1),
                "trusted": Out(geometry.symbols),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        g, update = self._geometry, self.update
        # What is known of a symbol is read in the cycle before its update: none is made then.
        trust, was_trusted = Signal(), Signal()
        m.d.sync += was_trusted.eq(bit_of(self.trusted, self.next_symbol))
        m.d.comb += trust.eq((was_trusted | update.trust) & ~update.distrust)
        mine = one_hot(m, update.symbol, g.symbols, name="mine")
        with m.If(self.update_valid):
            m.d.sync += self.trusted.eq(with_bit(self.trusted, mine, trust))

        readies, unhidden, outside = [], [], []
        for side, best in ((Side.BUY, self.bid), (Side.SELL, self.ask)):
            m.submodules[f"escapes_{side.name.lower()}"] = memory = TableMemory(
                depth=g.symbols, shape=Escapes(g)
            )
            before = Signal(Escapes(g), name=f"before_{side.name.lower()}", reset_less=True)
            count = Signal(Escapes(g), name=f"escapes_{side.name.lower()}")
            m.d.sync += before.eq(memory.data())
            moves = self.update_valid & update.escapes & (update.side == side)
            step = Mux(update.add, 1, -1)
            m.d.comb += [
                memory.address().eq(self.next_symbol),
                count.eq(before),
                memory.write.eq(moves),
                memory.write_address.eq(update.symbol),
                memory.write_data.eq(count),
            ]
            with m.If(moves & (update.escape == Escape.BETTER)):
                m.d.comb += count.better.eq(before.better + step)
            with m.If(moves & (update.escape == Escape.WORSE)):
                m.d.comb += count.worse.eq(before.worse + step)
            readies.append(memory.ready)
            outside.append(count.as_value().any())
            unhidden.append(~count.better.any() & (best.present | ~count.worse.any()))
        m.d.comb += self.ready.eq(Cat(readies).all())

        m.d.sync += [
            self.escaped.eq(Cat(outside).any()),
            self.top_valid.eq(self.update_valid & self.tell),
            self.top.symbol.eq(update.symbol),
            self.top.bid_present.eq(self.bid.present),
            self.top.bid_price.eq(self.bid.price),
            self.top.bid_shares.eq(self.bid.shares),
            self.top.ask_present.eq(self.ask.present),
            self.top.ask_price.eq(self.ask.price),
            self.top.ask_shares.eq(self.ask.shares),
            self.top.exact.eq(trust & Cat(unhidden).all() & ~self.lost),
            self.top.sequence.eq(update.sequence),
            self.top.stamp.eq(update.stamp),
        ]
        return m
