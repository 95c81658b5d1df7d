"""The best levels of one side in order, and what an update or a found level makes of them.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.types import Best, Geometry
from tickgate.hdl.stream import Side

__all__ = ["Change", "LevelList", "Levels", "ListEvent", "first"]


class Levels(data.StructLayout):
    """The first levels of a side, best first; `more` of them may lie beyond the last one.

    `live` marks the places in use, from the first on. No level that is not listed is better than
    a listed one. A side with no listed level and `more` is *lost*: its best is not known.
    """

    def __init__(self, geometry: Geometry) -> None:
        count = geometry.LEVELS
        super().__init__(
            {
                "live": count,
                "more": 1,
                "keys": data.ArrayLayout(geometry.key_bits, count),
                "prices": data.ArrayLayout(32, count),
                "shares": data.ArrayLayout(32, count),
            }
        )


class Change(data.StructLayout):
    """What happens to a list.

    A level `key` gains (`add`) or loses `shares`; or, with `found`, it is the level that follows
    the last one, of which there is none if `end`.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "add": 1,
                "found": 1,
                "end": 1,
                "key": geometry.key_bits,
                "price": 32,
                "shares": 32,
            }
        )


class ListEvent(data.StructLayout):
    """What has become of a list.

    The level `key` was `changed`; it lies `beyond` what the list holds; a level was `dropped` to
    make room.
    The list is `short`: it has room for levels that may exist. `live` and `keys` are those of the
    list now.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "valid": 1,
                "symbol": range(geometry.symbols),
                "side": Side,
                "base": 32,
                "cent": 1,
                "key": geometry.key_bits,
                "changed": 1,
                "beyond": 1,
                "dropped": 1,
                "short": 1,
                "live": geometry.LEVELS,
                "keys": data.ArrayLayout(geometry.key_bits, geometry.LEVELS),
            }
        )


def first(levels, geometry: Geometry):
    """The best level of a list."""
    return Best(geometry)(Cat(levels.live[0], levels.keys[0], levels.prices[0], levels.shares[0]))


class LevelList(wiring.Component):
    """Works out a list of levels after a change.

    Latency: 0 cycles (combinational). Throughput: one change a cycle.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    before : In(Levels), change : In(Change), after : Out(Levels)
    best : Out(Best), lost : Out(1)
        The first level after the change; whether it is not known.
    beyond : Out(1)
        The change is of a level that the list does not hold, and that is worse than all it holds.
    dropped : Out(1)
        The last level left the list to make room.
    """

    LATENCY = 0

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "before": In(Levels(geometry)),
                "change": In(Change(geometry)),
                "after": Out(Levels(geometry)),
                "best": Out(Best(geometry)),
                "lost": Out(1),
                "beyond": Out(1),
                "dropped": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        old, new, change = self.before, self.after, self.change
        places = range(self._geometry.LEVELS)
        full = old.live[-1]
        better = [Signal(name=f"better_{n}") for n in places]
        same = [Signal(name=f"same_{n}") for n in places]
        leaves = [Signal(name=f"leaves_{n}") for n in places]
        for n in places:
            m.d.comb += [
                better[n].eq(old.live[n] & (old.keys[n] < change.key)),
                same[n].eq(old.live[n] & (old.keys[n] == change.key)),
                leaves[n].eq(
                    same[n] & ~change.add & ~change.found & (old.shares[n] == change.shares)
                ),
            ]
        listed, inserts = Signal(), Signal()
        within = Signal()
        m.d.comb += [
            listed.eq(Cat(same).any()),
            within.eq(Cat(old.live[n] & ~better[n] for n in places).any()),
            # A new level has its place before a listed one, or at the end where nothing follows.
            inserts.eq(
                Mux(
                    change.found,
                    ~within & ~full & ~change.end,
                    change.add & ~listed & (within | (~old.more & ~full)),
                )
            ),
            self.dropped.eq(inserts & full),
            self.beyond.eq(~change.found & ~within & ~inserts),
            new.more.eq(
                Mux(change.found, old.more & ~change.end, old.more | self.dropped | self.beyond)
            ),
        ]
        members = (
            (old.keys, new.keys, change.key),
            (old.prices, new.prices, change.price),
            (old.shares, new.shares, change.shares),
        )
        up = Signal()
        for n in places:
            here = ~better[n] & (better[n - 1] if n else 1)
            down = ~better[n - 1] if n else 0
            following = n + 1 in places
            shifted = Signal(name=f"up_{n}")
            m.d.comb += shifted.eq(up | leaves[n])
            up = shifted
            m.d.comb += new.live[n].eq(old.live[n])
            for before, after, _ in members:
                m.d.comb += after[n].eq(before[n])
            with m.If(same[n] & ~change.found):
                m.d.comb += new.shares[n].eq(
                    Mux(change.add, old.shares[n] + change.shares, old.shares[n] - change.shares)
                )
            with m.If(shifted):
                m.d.comb += new.live[n].eq(old.live[n + 1] if following else 0)
                for before, after, _ in members:
                    if following:
                        m.d.comb += after[n].eq(before[n + 1])
            with m.If(inserts & here):
                m.d.comb += new.live[n].eq(1)
                for _, after, value in members:
                    m.d.comb += after[n].eq(value)
            with m.Elif(inserts & down):
                m.d.comb += new.live[n].eq(old.live[n - 1] if n else 0)
                for before, after, _ in members:
                    m.d.comb += after[n].eq(before[n - 1])
        m.d.comb += [
            self.best.eq(first(new, self._geometry)),
            self.lost.eq(~new.live[0] & new.more),
        ]
        return m
