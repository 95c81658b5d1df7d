"""Carries loss of trust, and its return, to every book in order with its messages.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.bits import bit_of, one_hot
from tickgate.hdl.book.priority import lowest_set
from tickgate.hdl.book.types import Geometry, Update

__all__ = ["Trust"]


GROUP = 64
"""Symbols that are searched at once for one whose loss is pending."""


class Trust(wiring.Component):
    """Passes updates on, and lets each symbol know in its own order that trust is lost or given.

    Latency: 0 cycles (combinational) for updates. Throughput: one update a cycle.

    A loss (a gap: all symbols; an overflow of a level: one) is pending from the cycle after its
    strobe. It goes with the symbol's next update, or by itself when the book is calm. A host's
    declaration that a book is whole waits until no loss is pending; a second one before the first
    has gone is lost, which at serial speed cannot happen.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    update_valid : In(1), update : In(Update)
    out_valid : Out(1), out : Out(Update)
    calm : In(1)
        No update is on its way, nor about to come within this cycle and the next.
    gap : In(1), gap_sequence : In(32)
    doubt : In(1), doubt_symbol : In
        A single symbol is to lose its trust.
    hold : In(1), hold_symbol : In
        A single symbol is to lose its trust; the host's word on it, if not yet passed on, is void.
    whole : In(1), whole_symbol : In, whole_value : In(1)
        The host's word on one symbol's book.
    pending : Out(symbols)
    """

    LATENCY = 0

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        symbol = range(geometry.symbols)
        super().__init__(
            {
                "update_valid": In(1),
                "update": In(Update(geometry)),
                "out_valid": Out(1),
                "out": Out(Update(geometry)),
                "calm": In(1),
                "gap": In(1),
                "gap_sequence": In(32),
                "doubt": In(1),
                "doubt_symbol": In(symbol),
                "hold": In(1),
                "hold_symbol": In(symbol),
                "whole": In(1),
                "whole_symbol": In(symbol),
                "whole_value": In(1),
                "pending": Out(geometry.symbols),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        g = self._geometry
        padded = Signal(1 << max(1, (g.symbols - 1).bit_length()))
        # The first of them in two steps, that of a group among groups and that of a symbol.
        size = min(GROUP, len(padded))
        groups, members = Signal(len(padded) // size), Signal(size)
        group, symbol = Signal(range(len(groups))), Signal(range(g.symbols))
        sequence = Signal(32)
        word, word_symbol, word_value = Signal(), Signal(range(g.symbols)), Signal()
        # What goes by itself goes a cycle after its decision: calm is long to work out. No update
        # comes then, for one that was about to come would not have left the book calm.
        alone_valid, alone = Signal(), Signal(Update(g))
        m.d.sync += [alone_valid.eq(0), alone.eq(0), alone.last.eq(1)]
        m.d.comb += [
            padded.eq(self.pending),
            groups.eq(Cat(padded[at : at + size].any() for at in range(0, len(padded), size))),
            group.eq(lowest_set(groups)),
            members.eq(padded.word_select(group, size)),
            symbol.eq(Cat(lowest_set(members), group)),
            self.out_valid.eq(self.update_valid | alone_valid),
            self.out.eq(Mux(alone_valid, alone, self.update)),
        ]
        # What is pending after this cycle's leaving, first with an update, then by itself.
        along, lone, doubted, held = (
            one_hot(m, which, g.symbols, name=name)
            for name, which in (
                ("along", self.update.symbol),
                ("lone", symbol),
                ("doubted", self.doubt_symbol),
                ("held", self.hold_symbol),
            )
        )
        rest, left, lost, withheld = (
            Signal(g.symbols, name=name) for name in ("rest", "left", "lost", "withheld")
        )
        m.d.comb += [rest.eq(self.pending), left.eq(rest)]
        m.d.sync += self.pending.eq(left | lost | withheld)
        with m.If(self.update_valid & bit_of(self.pending, self.update.symbol)):
            m.d.comb += [
                self.out.distrust.eq(1),
                rest.eq(self.pending & ~along),
            ]
        with m.If(self.calm & self.pending.any()):
            m.d.comb += left.eq(rest & ~lone)
            m.d.sync += [
                alone_valid.eq(1),
                alone.symbol.eq(symbol),
                alone.distrust.eq(1),
                alone.sequence.eq(sequence),
            ]
        with m.Elif(self.calm & word):
            m.d.sync += [
                alone_valid.eq(1),
                alone.symbol.eq(word_symbol),
                alone.trust.eq(word_value),
                alone.distrust.eq(~word_value),
                word.eq(0),
            ]
        with m.If(self.whole):
            m.d.sync += [
                word.eq(1),
                word_symbol.eq(self.whole_symbol),
                word_value.eq(self.whole_value),
            ]
        with m.If(self.hold):
            m.d.comb += withheld.eq(held)
            with m.If(word_symbol == self.hold_symbol):
                m.d.sync += word.eq(0)
        with m.If(self.doubt):
            m.d.comb += lost.eq(doubted)
            m.d.sync += sequence.eq(self.update.sequence)
        with m.If(self.gap):
            m.d.sync += [self.pending.eq(~0), sequence.eq(self.gap_sequence)]
        return m
