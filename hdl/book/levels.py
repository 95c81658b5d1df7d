"""The best levels of one side in order, and what an update or a found level makes of them.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.types import Best, Geometry
from tickgate.hdl.stream import Side

__all__ = ["Change", "LevelList", "Levels", "ListEvent", "Place", "first", "grown", "place_of"]


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
    """What happens to a list: a level `key` gains (`add`) or loses `shares`."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "add": 1,
                "key": geometry.key_bits,
                "price": 32,
                "shares": 32,
            }
        )


class ListEvent(data.StructLayout):
    """What has become of a list.

    The level `key` was `changed`; it lies `beyond` what the list holds; a level was `dropped` to
    make room. Or it `grew` by what was found, if only by knowing that nothing follows.
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
                "grew": 1,
                "short": 1,
                "live": geometry.LEVELS,
                "keys": data.ArrayLayout(geometry.key_bits, geometry.LEVELS),
            }
        )


def first(levels, geometry: Geometry):
    """The best level of a list."""
    return Best(geometry)(Cat(levels.live[0], levels.keys[0], levels.prices[0], levels.shares[0]))


def grown(levels, level, geometry: Geometry) -> Levels:
    """A list after the level was found that follows its last one, or, not present, none."""
    free = ~levels.live & Cat(1, levels.live[:-1]) & level.present.replicate(geometry.LEVELS)
    after = [levels.live | free, levels.more & level.present]
    for old, new in (
        (levels.keys, level.key),
        (levels.prices, level.price),
        (levels.shares, level.shares),
    ):
        # Places not in use are all zero.
        after += [old[n] | Mux(free[n], new, 0) for n in range(geometry.LEVELS)]
    return Levels(geometry)(Cat(after))


class Place(data.Struct):
    """How a listed level stands to a change: better or worse than its level, or that level.

    `whole`: it is that level, and has just the shares of the change.
    """

    better: 1
    worse: 1
    same: 1
    whole: 1


def place_of(live, key, changed, equal) -> Place:
    """The place of a level, if it is listed, beside the level `changed`.

    `equal`: it has the shares of the change.
    """
    # Bit by bit: synthesis would take `==` from the carry chain of `<`, which is slower.
    same = live & ~(key ^ changed).any()
    return Place(Cat(live & (key < changed), live & (key > changed), same, same & equal))


class LevelList(wiring.Component):
    """Works out a list of levels after a change.

    Latency: 0 cycles (combinational). Throughput: one change a cycle.

    How the levels stand to that of the change must be known before (`places`).

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    before : In(Levels), after : Out(Levels)
        Places not in use are all zero.
    enable : In(1), change : In(Change)
    places : In(Place), one for each level
        Of the levels before the change beside that of the change.
    beyond : Out(1)
        The change is of a level that the list does not hold, and that is worse than all it holds.
    dropped : Out(1)
        The last level left the list to make room.
    overflow : Out(1)
        The total of a listed level passed 32 bits.
    """

    LATENCY = 0

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        places = data.ArrayLayout(Place, geometry.LEVELS)
        super().__init__(
            {
                "before": In(Levels(geometry)),
                "enable": In(1),
                "change": In(Change(geometry)),
                "places": In(places),
                "after": Out(Levels(geometry)),
                "beyond": Out(1),
                "dropped": Out(1),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        old, new, change = self.before, self.after, self.change
        count = self._geometry.LEVELS
        full = old.live[-1]
        better, worse, same = Signal(count), Signal(count), Signal(count)
        whole = Signal(count)
        m.d.comb += [
            Cat(bits[n] for n in range(count) for bits in (better, worse, same, whole)).eq(
                self.places
            )
        ]
        # A new level has its place before a listed one, or at the end where nothing follows.
        adds, removes, inserts = Signal(), Signal(), Signal()
        m.d.comb += [
            adds.eq(self.enable & change.add),
            removes.eq(self.enable & ~change.add & whole.any()),
            inserts.eq(adds & ~same.any() & (~old.more | worse.any())),
            self.dropped.eq(adds & ~same.any() & worse.any() & full),
            self.beyond.eq(
                self.enable & ~same.any() & ~worse.any() & (~change.add | old.more | full)
            ),
            new.more.eq(old.more | self.dropped | self.beyond),
        ]
        carries = Signal(count)
        m.d.comb += self.overflow.eq(self.enable & change.add & (same & carries).any())
        for n in range(count):
            shares = Signal(32, name=f"shares_{n}")
            more = Signal(33, name=f"more_{n}")
            moved = Mux(change.add, more[:32], old.shares[n] - change.shares)
            m.d.comb += [more.eq(old.shares[n] + change.shares), carries[n].eq(more[32])]
            m.d.comb += shares.eq(Mux(same[n] & self.enable, moved, old.shares[n]))
            # From its own place on, a new level moves the others down, a lost one moves them up.
            # In a full list of better ones, it has none.
            place = ~better[n]
            enters = inserts & place
            moves = place & Mux(inserts, better[n - 1] if n else 1, removes)

            def choose(of, stays, fresh, n=n, enters=enters, moves=moves):
                above = of[n - 1] if n else 0
                below = of[n + 1] if n + 1 < count else 0
                return Mux(enters, Mux(moves, fresh, above), Mux(moves, below, stays))

            m.d.comb += [
                new.live[n].eq(choose(old.live, old.live[n], 1)),
                new.keys[n].eq(choose(old.keys, old.keys[n], change.key)),
                new.prices[n].eq(choose(old.prices, old.prices[n], change.price)),
                new.shares[n].eq(choose(old.shares, shares, change.shares)),
            ]
        return m
