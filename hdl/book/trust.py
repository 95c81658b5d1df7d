"""Carries loss of trust, and its return, to every book in order with its messages.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.priority import lowest_set
from tickgate.hdl.book.types import Geometry, Update

__all__ = ["Trust"]


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
        No update is on its way, nor about to come.
    gap : In(1), gap_sequence : In(32)
    doubt : In(1), doubt_symbol : In
        A single symbol is to lose its trust.
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
        sequence = Signal(32)
        word, word_symbol, word_value = Signal(), Signal(range(g.symbols)), Signal()
        pending = Array(self.pending)
        m.d.comb += [padded.eq(self.pending), self.out.eq(self.update)]
        with m.If(self.update_valid):
            m.d.comb += self.out_valid.eq(1)
            with m.If(pending[self.update.symbol]):
                m.d.comb += self.out.distrust.eq(1)
                m.d.sync += pending[self.update.symbol].eq(0)
        with m.Elif(self.calm & self.pending.any()):
            m.d.comb += [
                self.out_valid.eq(1),
                self.out.eq(0),
                self.out.symbol.eq(lowest_set(padded)),
                self.out.distrust.eq(1),
                self.out.last.eq(1),
                self.out.sequence.eq(sequence),
            ]
            m.d.sync += pending[self.out.symbol].eq(0)
        with m.Elif(self.calm & word):
            m.d.comb += [
                self.out_valid.eq(1),
                self.out.eq(0),
                self.out.symbol.eq(word_symbol),
                self.out.trust.eq(word_value),
                self.out.distrust.eq(~word_value),
                self.out.last.eq(1),
            ]
            m.d.sync += word.eq(0)
        with m.If(self.whole):
            m.d.sync += [
                word.eq(1),
                word_symbol.eq(self.whole_symbol),
                word_value.eq(self.whole_value),
            ]
        with m.If(self.doubt):
            m.d.sync += [pending[self.doubt_symbol].eq(1), sequence.eq(self.update.sequence)]
        with m.If(self.gap):
            m.d.sync += [self.pending.eq(~0), sequence.eq(self.gap_sequence)]
        return m
