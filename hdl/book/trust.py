"""Carries loss of trust, and its return, to every book in order with its messages.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.bits import bit_of, one_hot
from tickgate.hdl.book.priority import lowest_in_groups
from tickgate.hdl.book.types import Geometry, Update

__all__ = ["Trust"]


class Trust(wiring.Component):
    """Passes updates on, and lets each symbol know in its own order that trust is lost or given.

    Latency: 0 cycles (combinational) for updates. Throughput: one update a cycle.

    A loss (a gap: all symbols; an overflow of a level: one) is pending from the cycle after its
    strobe. It goes with the symbol's next update, or by itself when the book is calm. A host's
    declaration that a book is whole waits until no loss is pending; a second one before the first
    has gone is lost, which at serial speed cannot happen. What goes by itself goes once more with
    an update of its symbol in the next cycle.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    near : In(1)
        There may be an update in this cycle.
    update_valid : In(1), update : In(Update)
    out_near : Out(1), out_valid : Out(1), out : Out(Update)
    out_alone : Out(1), out_alone_symbol : Out, out_alone_near : Out(1)
        What leaves goes by itself; its symbol, and that it may, known early.
    calm : In(1)
        No update is on its way in this cycle, nor is one `near`.
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
                "near": In(1),
                "update_valid": In(1),
                "update": In(Update(geometry)),
                "out_near": Out(1),
                "out_alone": Out(1),
                "out_alone_symbol": Out(symbol),
                "out_alone_near": Out(1),
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
        first = lowest_in_groups(m, self.pending, name="pending")
        sequence = Signal(32)
        word, word_symbol, word_value = Signal(), Signal(range(g.symbols)), Signal()
        # What goes by itself goes a cycle after its decision: calm is long to work out. Should an
        # update come then, it is decided anew.
        ready, alone_valid, by_word = Signal(), Signal(), Signal()
        alone_symbol, alone_trust = Signal(range(g.symbols)), Signal()
        m.d.comb += [
            alone_valid.eq(ready & ~self.near),
            self.out_near.eq(self.near | ready),
            self.out_alone.eq(alone_valid),
            self.out_alone_symbol.eq(alone_symbol),
            self.out_alone_near.eq(ready),
            self.out_valid.eq(self.update_valid | alone_valid),
            self.out.eq(self.update),
        ]
        # Nothing else of an update matters if no level changes, no count and no order.
        with m.If(~self.near):
            m.d.comb += [
                self.out.symbol.eq(alone_symbol),
                self.out.changes.eq(0),
                self.out.escapes.eq(0),
                self.out.trust.eq(alone_trust),
                self.out.distrust.eq(~alone_trust),
                self.out.last.eq(1),
                self.out.sequence.eq(Mux(by_word, 0, sequence)),
                self.out.stamp.eq(0),
            ]
        # What is pending after this cycle's leaving, first with an update, then by itself.
        along, lone, doubted, held = (
            one_hot(m, which, g.symbols, name=name)
            for name, which in (
                ("along", self.update.symbol),
                ("lone", alone_symbol),
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
        # A Replace may follow in the next cycle, too soon to find what went by itself: it says it
        # again.
        told, told_symbol, told_trust = Signal(), Signal.like(alone_symbol), Signal()
        m.d.sync += [
            told.eq(alone_valid),
            told_symbol.eq(alone_symbol),
            told_trust.eq(alone_trust),
        ]
        with m.If(told & (self.update.symbol == told_symbol)):
            m.d.comb += self.out.trust.eq(told_trust)
            with m.If(~told_trust):
                m.d.comb += self.out.distrust.eq(1)
        losing = self.pending.any()
        m.d.sync += [
            ready.eq(self.calm & ~ready & (losing | word)),
            by_word.eq(~losing),
            alone_symbol.eq(Mux(losing, first, word_symbol)),
            alone_trust.eq(~losing & word_value),
        ]
        with m.If(alone_valid):
            with m.If(by_word):
                m.d.sync += word.eq(0)
            with m.Else():
                m.d.comb += left.eq(rest & ~lone)
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
