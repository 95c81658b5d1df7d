"""The few orders whose sets are full.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.priority import lowest_set
from tickgate.hdl.book.types import Geometry, StoreWrite

__all__ = ["Stash"]


class Stash(wiring.Component):
    """A memory of `Geometry.STASH` orders that is searched by reference.

    Latency: a search is combinational. A write shows in the next cycle.

    `turn` walks over the orders: on to the next one after `placed`, which takes the order out, and
    after `skipped`; it stays after `swapped`, which leaves `victim` in its place.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    tag, set : In
        The reference to look for.
    hits : Out(STASH), entries : Out(StoreWrite), STASH of them
        Which of the orders that is, and all orders.
    live : Out(STASH)
    write : In(1), update : In(StoreWrite)
        Ignored unless the place is one of the stash.
    waiting : Out(1), turn : Out, stashed : Out(StoreWrite)
        An order in the stash; its `way` is its place.
    placed, skipped, swapped : In(1), victim : In(StoreWrite)
        At most one of them in a cycle, and none together with a write to the stash.
    """

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "tag": In(geometry.tag_bits),
                "set": In(data.ArrayLayout(geometry.set_bits, geometry.TABLES)),
                "hits": Out(geometry.STASH),
                "entries": Out(StoreWrite(geometry)).array(geometry.STASH),
                "live": Out(geometry.STASH),
                "write": In(1),
                "update": In(StoreWrite(geometry)),
                "waiting": Out(1),
                "turn": Out(range(geometry.STASH)),
                "stashed": Out(StoreWrite(geometry)),
                "placed": In(1),
                "skipped": In(1),
                "swapped": In(1),
                "victim": In(StoreWrite(geometry)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        geometry = self._geometry
        shape = StoreWrite(geometry)
        entries = [Signal(shape, name=f"entry_{n}") for n in range(geometry.STASH)]
        m.d.comb += [
            self.hits.eq(
                Cat(e.live & (e.tag == self.tag) & (e.set[0] == self.set[0]) for e in entries)
            ),
            self.live.eq(Cat(e.live for e in entries)),
        ]
        m.d.comb += [out.eq(e) for out, e in zip(self.entries, entries, strict=True)]

        later = Signal(geometry.STASH)
        m.d.comb += [
            later.eq(self.live & (~1 << self.turn)),
            self.stashed.eq(Array(entry.as_value() for entry in entries)[self.turn]),
            self.stashed.way.eq(geometry.SLOTS + self.turn),
            self.waiting.eq(Array(self.live)[self.turn]),
        ]
        with m.If(self.placed | self.skipped | ~self.waiting):
            m.d.sync += self.turn.eq(Mux(later.any(), lowest_set(later), lowest_set(self.live)))

        for n, entry in enumerate(entries):
            with m.If(self.write & (self.update.way == geometry.SLOTS + n)):
                m.d.sync += entry.eq(self.update)
            with m.If((self.turn == n) & self.swapped):
                m.d.sync += entry.eq(self.victim)
            with m.If((self.turn == n) & self.placed):
                m.d.sync += entry.live.eq(0)
        return m
