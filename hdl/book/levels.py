"""The best levels of one side in order, and what an update or a found level makes of them.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.types import Best, Geometry
from tickgate.hdl.stream import Side

__all__ = ["Change", "LevelList", "Levels", "ListEvent", "Place", "first", "place_of"]


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


class Place(data.Struct):
    """How a listed level stands to the level of a change: it is better, or it is that level."""

    better: 1
    same: 1


def place_of(live, key, changed) -> Place:
    """The place of the level `key`, if it is listed, beside the level `changed`."""
    # Bit by bit: synthesis would take `==` from the carry chain of `<`, which is slower.
    return Place(Cat(live & (key < changed), live & ~(key ^ changed).any()))


class LevelList(wiring.Component):
    """Works out a list of levels after a change.

    Latency: 0 cycles (combinational). Throughput: one change a cycle.

    How the levels stand to that of the change must be known before (`places`). To know it of a
    change that follows at once, compare that with the levels before this one (`other_places`) and
    with the level of this one (`fresh_place`): `places_after` are those of the levels after it.

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
    other_places, fresh_place : In(Place), places_after : Out(Place)
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
                "other_places": In(places),
                "fresh_place": In(Place),
                "after": Out(Levels(geometry)),
                "places_after": Out(places),
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
        better, same, leaves = Signal(count), Signal(count), Signal(count)
        m.d.comb += [
            better.eq(Cat(place.better for place in self.places)),
            same.eq(Cat(place.same for place in self.places)),
            leaves.eq(Cat(~(shares ^ change.shares).any() for shares in old.shares)),
        ]
        counts, removes, inserts, within = Signal(), Signal(), Signal(), Signal()
        # Where the change lies, one of the places at most: not beyond a full list.
        here = Signal(count)
        m.d.comb += [
            here.eq(~better & Cat(1, better)),
            counts.eq(self.enable & ~change.found),
            within.eq((here & old.live).any()),
            removes.eq(((counts & ~change.add).replicate(count) & same & leaves).any()),
            # A new level has its place before a listed one, or at the end where nothing follows.
            inserts.eq(
                (
                    here
                    & Mux(
                        change.found,
                        ~old.live & (self.enable & ~change.end).replicate(count),
                        ~same
                        & (self.enable & change.add).replicate(count)
                        & (old.live | (~old.more).replicate(count)),
                    )
                ).any()
            ),
            self.dropped.eq(inserts & full),
            self.beyond.eq(counts & ~within & ~inserts),
            new.more.eq(
                (old.more & ~(self.enable & change.found & change.end)) | self.dropped | self.beyond
            ),
        ]
        carries = Signal(count)
        m.d.comb += self.overflow.eq(counts & change.add & (same & carries).any())
        for n in range(count):
            shares = Signal(32, name=f"shares_{n}")
            more = Signal(33, name=f"more_{n}")
            moved = Mux(change.add, more[:32], old.shares[n] - change.shares)
            m.d.comb += [more.eq(old.shares[n] + change.shares), carries[n].eq(more[32])]
            m.d.comb += shares.eq(Mux(same[n] & counts, moved, old.shares[n]))
            # From its own place on, a new level moves the others down, a lost one moves them up.
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
            places = [place.as_value() for place in self.other_places]
            after = choose(places, places[n], self.fresh_place.as_value())
            m.d.comb += self.places_after[n].as_value().eq(after)
        return m
