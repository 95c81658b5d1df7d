"""Walks through the order store and finds the orders of a symbol.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.types import Geometry, Peeked

__all__ = ["Walk"]


class Place(enum.Enum, shape=2):
    """Where the walk is."""

    NOWHERE = 0
    SETS = 1
    STASH = 2


class Walk(wiring.Component):
    """Goes through all sets and then the stash, again and again until none is found any more.

    Whoever is told of an order sees to it that it is not found again. A walk is the last one if it
    found none, and none that would have been found changed place meanwhile.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    start : In(1)
        Begins.
    resume : In(1)
        Goes on after `found`.
    want : Out(1), set : Out, injected : In(1), peeked : In(Peeked)
        Asks to read the set of this number in either table; what was read, with `injected`.
    found : Out(1), tag, found_set, table : Out
        An order of this table and set; in this cycle.
    done : Out(1)
        There is none any more; in this cycle.
    """

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "start": In(1),
                "resume": In(1),
                "want": Out(1),
                "set": Out(geometry.set_bits),
                "injected": In(1),
                "peeked": In(Peeked(geometry)),
                "found": Out(1),
                "tag": Out(geometry.tag_bits),
                "found_set": Out(geometry.set_bits),
                "table": Out(range(geometry.TABLES)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        peeked = self.peeked
        place, waits, clean = Signal(Place), Signal(), Signal()
        m.d.comb += [
            self.tag.eq(peeked.tag),
            self.found_set.eq(self.set),
            self.table.eq(peeked.table),
        ]
        with m.If(~waits & (place == Place.SETS)):
            m.d.comb += self.want.eq(1)
            with m.If(self.injected & ~peeked.collided):
                with m.If(peeked.hit):
                    m.d.comb += self.found.eq(1)
                with m.Else():
                    m.d.sync += self.set.eq(self.set + 1)
                    with m.If(self.set.all()):
                        m.d.sync += place.eq(Place.STASH)
        with m.Elif(~waits & (place == Place.STASH)):
            # The stash shows its orders one after the other.
            m.d.comb += [
                self.found.eq(peeked.stashed),
                self.tag.eq(peeked.stashed_tag),
                self.found_set.eq(peeked.stashed_set),
                self.table.eq(0),
            ]
            with m.If(~peeked.in_stash):
                m.d.comb += self.done.eq(clean)
                m.d.sync += [place.eq(Place.SETS), clean.eq(1)]
        # An order that changes place may have been missed.
        with m.If(self.found | peeked.moved):
            m.d.sync += clean.eq(0)
        with m.If(self.found):
            m.d.sync += waits.eq(1)
        with m.If(self.resume):
            m.d.sync += waits.eq(0)
        with m.If(self.done):
            m.d.sync += place.eq(Place.NOWHERE)
        with m.If(self.start):
            m.d.sync += [place.eq(Place.SETS), self.set.eq(0), clean.eq(1), waits.eq(0)]
        return m
