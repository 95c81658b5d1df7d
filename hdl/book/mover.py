"""Brings orders of the stash back into the tables.

Ref: Pagh and Rodler, "Cuckoo Hashing" (2001): a random walk from set to set.
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from tickgate.hdl.book.hashing import hashes
from tickgate.hdl.book.types import Finding, Geometry, StoreWrite

__all__ = ["Mover"]


class Mover(wiring.Component):
    """Moves an order of the stash into one of its two sets; full ones give up an order for it.

    Latency: `LATENCY` cycles from `ask` to the move, in which the tables are written and the stash
    with them. Throughput: a move in `LATENCY + 1` cycles.

    The look-up of an order in the stash takes the way of all look-ups, in cycles in which there is
    none. A move that a write or a finding still in force stands against does not take place; a
    look-up in the cycle after `ask` ends it at once.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    waiting : In(1), stashed : In(StoreWrite)
        An order of the stash.
    asking : In(1)
        There may be a look-up in this cycle.
    ask : Out(1)
        Look up the sets of `stashed` instead.
    room : In(1), room_way : In
        What that look-up found, `LATENCY - 1` cycles later: a free slot of the tables,
    slots : In(array of StoreWrite), touched : In(SLOTS)
        or else what is in its slots, and which of them a write has changed since.
    write : In(1), update : In(StoreWrite)
        A write that takes effect in this cycle.
    found_held, found_new_held : In(1), found, found_new : In(Finding)
        Findings in force: neither their order nor the room they found may change place.
    move : Out(1), moved : Out(StoreWrite), stashed_way : Out
        Write the order of the stash, which was in `stashed_way`, there.
    placed, swapped, skipped : Out(1), victim : Out(StoreWrite)
        What that means for the stash.
    """

    LATENCY = 3

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        entry = StoreWrite(geometry)
        super().__init__(
            {
                "waiting": In(1),
                "stashed": In(entry),
                "asking": In(1),
                "ask": Out(1),
                "room": In(1),
                "room_way": In(range(geometry.PLACES)),
                "slots": In(data.ArrayLayout(entry, geometry.SLOTS)),
                "touched": In(geometry.SLOTS),
                "write": In(1),
                "update": In(entry),
                "found_held": In(1),
                "found": In(Finding(geometry)),
                "found_new_held": In(1),
                "found_new": In(Finding(geometry)),
                "stashed_way": Out(range(geometry.PLACES)),
                "move": Out(1),
                "moved": Out(entry),
                "placed": Out(1),
                "swapped": Out(1),
                "skipped": Out(1),
                "victim": Out(entry),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        geometry = self._geometry
        asked_1, asked_2, asked_3 = Signal(), Signal(), Signal()
        m.d.comb += self.ask.eq(self.waiting & ~self.asking & ~asked_1 & ~asked_2 & ~asked_3)
        m.d.sync += [asked_1.eq(self.ask), asked_2.eq(asked_1 & ~self.asking), asked_3.eq(asked_2)]

        stashed = Signal(StoreWrite(geometry), reset_less=True)
        with m.If(self.ask):
            m.d.sync += stashed.eq(self.stashed)

        # The stashed order changes owner or shares only through a write to the stash.
        disturbed = Signal()
        with m.If(self.ask):
            m.d.sync += disturbed.eq(0)
        with m.If(self.write & (self.update.way >= geometry.SLOTS)):
            m.d.sync += disturbed.eq(1)

        # A victim does not go back to where it came from: it has its table's number as `from`.
        chance = Signal(5, init=1)
        came_from = Array(Signal(name=f"from_{n}") for n in range(geometry.STASH))
        turn = stashed.way[: (geometry.STASH - 1).bit_length()]
        leaver = Signal(range(geometry.SLOTS))
        m.d.comb += leaver.eq(Cat(chance[: exact_log2(geometry.WAYS)], ~came_from[turn]))

        room, way, steady = Signal(), Signal(range(geometry.SLOTS)), Signal()
        victim = Signal(StoreWrite(geometry), reset_less=True)
        with m.If(asked_2):
            m.d.sync += [
                chance.eq(Cat(chance[4] ^ chance[1], chance[:4])),
                room.eq(self.room),
                way.eq(Mux(self.room, self.room_way, leaver)),
                steady.eq(self.room | ~Array(self.touched)[leaver]),
                victim.eq(self.slots[leaver]),
            ]
        table = way[-1]

        # No finding comes in the cycle of the move, for no other look-up left with this one.
        stands_against = Signal(geometry.TABLES)
        for n in range(geometry.TABLES):
            m.d.sync += stands_against[n].eq(
                Cat(
                    held
                    & ((found.set[n] == stashed.set[n]) | (found.hit & (found.way == stashed.way)))
                    for held, found in (
                        (self.found_held, self.found),
                        (self.found_new_held, self.found_new),
                    )
                ).any()
            )
        m.d.comb += [
            self.move.eq(
                asked_3 & steady & ~disturbed & ~self.write & ~Array(stands_against)[table]
            ),
            self.placed.eq(self.move & room),
            self.swapped.eq(self.move & ~room),
            self.skipped.eq(asked_3 & ~self.move),
            self.moved.eq(stashed),
            self.stashed_way.eq(stashed.way),
            self.moved.way.eq(way),
            self.moved.live.eq(1),
        ]
        with m.If(self.swapped):
            m.d.sync += came_from[turn].eq(table)

        # The tag tells how the two sets differ.
        reference = Cat(Const(0, geometry.set_bits), victim.tag)
        first, second = (each.circuit(reference) for each in hashes(geometry.set_bits))
        m.d.comb += self.victim.eq(victim)
        m.d.comb += [
            self.victim.set[0].eq(stashed.set[0]),
            self.victim.set[1].eq(stashed.set[0] ^ first ^ second),
        ]
        with m.If(table):
            m.d.comb += [
                self.victim.set[0].eq(stashed.set[1] ^ first ^ second),
                self.victim.set[1].eq(stashed.set[1]),
            ]
        return m
