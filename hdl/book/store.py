"""Keeps every live order of the tracked symbols, found by its reference number.

Ref: NASDAQ TotalView-ITCH 5.0, sections 4.3 to 4.5: only Add names side, symbol and price.
"""

from functools import reduce
from itertools import combinations
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.hashing import REFERENCE_BITS, hashes
from tickgate.hdl.book.mover import Mover
from tickgate.hdl.book.priority import lowest_set
from tickgate.hdl.book.stash import Stash
from tickgate.hdl.book.types import (
    Escape,
    Finding,
    Geometry,
    Peeked,
    StoredOrder,
    StoreWrite,
)
from tickgate.hdl.memory import BlockMemory

__all__ = ["OrderStore"]


class Asked(data.StructLayout):
    """A look-up on its way."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "find": 1,
                "find_new": 1,
                "set": data.ArrayLayout(geometry.set_bits, geometry.TABLES),
                "tag": geometry.tag_bits,
            }
        )


class Commit(data.StructLayout):
    """A write that takes effect, or none."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({"valid": 1, "update": StoreWrite(geometry)})


def is_same_order(one, other) -> Value:
    """True when both have the same reference."""
    return (one.tag == other.tag) & (one.set[0] == other.set[0])


def any_of(*choices) -> Value:
    """The value of the one pair (condition, value) whose condition holds; 0 if there is none."""
    return reduce(or_, (Mux(condition, Value.cast(value), 0) for condition, value in choices))


def is_at_least(count: int, bits) -> Value:
    """True when so many of `bits` are set; without an adder, which is slower."""
    return Cat(Cat(some).all() for some in combinations(bits, count)).any()


class OrderStore(wiring.Component):
    """Two tables of sets, each under its own hash, and a stash for orders whose two sets are full.

    Latency: `LATENCY` cycles from a look-up to its finding. Throughput: one look-up and one write
    a cycle. A finding reflects every write up to the cycle after its look-up; later ones must not
    be of its order, nor take the room it found.

    A first finding (`found`) stays until the next first one, a second one (`found_new`) until the
    next of either kind; until then, and no longer, may they be written to. A write must carry
    `set`, `tag` and the place from a finding, and nothing but a new order changes their owner.

    Meanwhile the stash empties itself: in two cycles without a look-up, one after the other, an
    order of the stash looks for room in its two sets, and if there is none changes places with
    another one, which goes on to *its* other set. Where an order is found does not depend on that.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    ready : Out(1)
        The sweep after reset is over.
    near, near_new : In(1)
        There may be a look-up of `reference` or of `new_reference`; never of both in one cycle.
        Early, because an address for the tables depends on it.
    find, find_new : In(1)
        There is one.
    reference, new_reference : In(64)
    spare : In(1), spare_set, spare_tag : In
        Look up this reference, as a first one, if no other look-up is possible in this cycle.
    peek : In(1), peek_symbol : In, peeked : Out(Peeked)
        With `peek`, `spare` finds nothing but reads the sets: what they have of a symbol is told
        `LATENCY` cycles later, that of the stash in every cycle.
    peek_placed, peek_unplaced : In(1)
        Of its orders, those that are unplaced count, or the others, or both.
    found, found_new : Out(Finding)
    write : In(1)
    update : In(StoreWrite)
    """

    LATENCY = BlockMemory.READ_LATENCY + 1

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "ready": Out(1),
                "near": In(1),
                "near_new": In(1),
                "find": In(1),
                "reference": In(REFERENCE_BITS),
                "find_new": In(1),
                "new_reference": In(REFERENCE_BITS),
                "spare": In(1),
                "spare_set": In(data.ArrayLayout(geometry.set_bits, geometry.TABLES)),
                "spare_tag": In(geometry.tag_bits),
                "peek": In(1),
                "peek_symbol": In(range(geometry.symbols)),
                "peek_placed": In(1),
                "peek_unplaced": In(1),
                "peeked": Out(Peeked(geometry)),
                "found": Out(Finding(geometry)),
                "found_new": Out(Finding(geometry)),
                "write": In(1),
                "update": In(StoreWrite(geometry)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        geometry = self._geometry
        m.submodules.stash = stash = Stash(geometry=geometry)
        m.submodules.mover = mover = Mover(geometry=geometry)

        # A write takes effect in the cycle after it came, a move at once.
        commit = Signal(Commit(geometry))
        wrote, last, before = (Signal(Commit(geometry), reset_less=True) for _ in range(3))
        m.d.comb += [commit.eq(wrote), commit.valid.eq(wrote.valid | mover.move)]
        with m.If(~wrote.valid):
            m.d.comb += commit.update.eq(mover.moved)
        moved, moved_from = Signal(), Signal(range(geometry.PLACES))
        m.d.sync += [
            wrote.valid.eq(self.write),
            wrote.update.eq(self.update),
            last.eq(commit),
            before.eq(last),
            moved.eq(mover.move),
            moved_from.eq(mover.stashed_way),
        ]

        # Cycle 0: ask the tables.
        asked = Signal(Asked(geometry))
        reference, near = Signal(REFERENCE_BITS), Signal()
        m.d.comb += [
            near.eq(self.near | self.near_new),
            reference.eq(Mux(self.near_new, self.new_reference, self.reference)),
            asked.find.eq(self.find | (self.spare & ~self.peek & ~near)),
            asked.find_new.eq(self.find_new),
            asked.tag.eq(reference[geometry.set_bits :]),
        ]
        # Whose turn it is comes late: each has its sets before that.
        for table, each in enumerate(hashes(geometry.set_bits)):
            first, second = Signal(geometry.set_bits), Signal(geometry.set_bits)
            idle = Signal(geometry.set_bits)
            m.d.comb += [
                first.eq(each.circuit(self.reference)),
                second.eq(each.circuit(self.new_reference)),
                idle.eq(Mux(self.spare, self.spare_set[table], stash.stashed.set[table])),
                asked.set[table].eq(Mux(self.near_new, second, Mux(self.near, first, idle))),
            ]
        with m.If(~near & self.spare):
            m.d.comb += asked.tag.eq(self.spare_tag)
        asked_1, asked_2 = (Signal.like(asked, reset_less=True) for _ in range(2))
        m.d.sync += [asked_1.eq(asked), asked_2.eq(asked_1)]
        slots = self._tables(m, asked, commit)

        # Cycle 1: the stash and the writes that the tables have yet to show know better.
        stashed = Signal(geometry.STASH)
        same_before, same_last, same_now, same_set = Signal(), Signal(), Signal(), Signal()
        touched, filled = Signal(geometry.SLOTS), Signal(geometry.SLOTS)
        m.d.comb += [stash.tag.eq(asked_1.tag), stash.set.eq(asked_1.set)]
        m.d.sync += [
            same_before.eq(last.valid & is_same_order(last.update, asked_1)),
            same_last.eq(wrote.valid & is_same_order(wrote.update, asked_1)),
            same_now.eq(is_same_order(self.update, asked_1)),
            same_set.eq(self._is_set(self.update, asked_1)),
            stashed.eq(stash.hits),
            touched.eq(0),
        ]
        for n in range(geometry.SLOTS):
            for each in (last, wrote):
                with m.If(each.valid & self._is_slot(n, each.update, asked_1)):
                    m.d.sync += [touched[n].eq(1), filled[n].eq(each.update.live)]

        # Cycle 2: one write more, and perhaps a move of which the tables show the time before.
        finding = Signal(Finding(geometry))
        left = Cat(
            hit & moved & (moved_from == geometry.SLOTS + n) for n, hit in enumerate(stashed)
        )
        use_last = same_last | left.any()
        use_before = same_before & ~same_last
        use_stash = stashed & ~left & ~(same_last | same_before).replicate(geometry.STASH)
        known = same_last | same_before | stashed.any()
        beside = [
            (use_last & last.update.live, last.update.way, last.update.order),
            (use_before & before.update.live, before.update.way, before.update.order),
            *(
                (use_stash[n], geometry.SLOTS + n, entry.order)
                for n, entry in enumerate(stash.entries)
            ),
        ]
        in_tables = [
            (
                slot.live & (slot.tag == asked_2.tag) & ~known,
                Mux(moved & self._is_slot(n, last.update, asked_2), moved_from, n),
                slot.order,
            )
            for n, slot in enumerate(slots)
        ]
        everywhere = (*beside, *in_tables)
        m.d.comb += [
            finding.hit.eq(Cat(hit for hit, _, _ in everywhere).any()),
            finding.way.eq(any_of(*((hit, way) for hit, way, _ in everywhere))),
            finding.order.eq(any_of(*((hit, order) for hit, _, order in everywhere))),
            finding.set.eq(asked_2.set),
            finding.tag.eq(asked_2.tag),
        ]
        with m.If(wrote.valid & same_now):
            m.d.comb += [
                finding.hit.eq(wrote.update.live),
                finding.way.eq(wrote.update.way),
                finding.order.eq(wrote.update.order),
            ]

        # Room, as if the write were of another set and as if it were of this one.
        live = Signal(geometry.PLACES)
        m.d.comb += live.eq(Cat((slot.live for slot in slots), stash.live))
        for n in range(geometry.SLOTS):
            with m.If(touched[n]):
                m.d.comb += live[n].eq(filled[n])
            with m.If(moved & self._is_slot(n, last.update, asked_2)):
                m.d.comb += live[n].eq(1)
        target = Signal(geometry.PLACES)
        m.d.comb += target.eq(wrote.valid << wrote.update.way)
        then = Signal(geometry.PLACES)
        m.d.comb += then.eq(Mux(wrote.update.live, live | target, live & ~target))
        room, full, free_way = self._room(live)
        room_then, full_then, free_way_then = self._room(then)
        m.d.comb += [
            finding.full.eq(Mux(same_set, full_then, full)),
            finding.free_way.eq(Mux(same_set, free_way_then, free_way)),
        ]

        held, new_held = Signal(), Signal()
        with m.If(asked_2.find):
            m.d.sync += [self.found.eq(finding), held.eq(1), new_held.eq(0)]
        with m.If(asked_2.find_new):
            m.d.sync += [self.found_new.eq(finding), new_held.eq(1)]

        m.d.comb += [
            stash.write.eq(wrote.valid),
            stash.update.eq(wrote.update),
            stash.placed.eq(mover.placed),
            stash.swapped.eq(mover.swapped),
            stash.skipped.eq(mover.skipped),
            stash.victim.eq(mover.victim),
            mover.waiting.eq(stash.waiting),
            mover.stashed.eq(stash.stashed),
            mover.asking.eq(near | self.spare),
            mover.room.eq(Mux(same_set, room_then, room)),
            mover.room_way.eq(finding.free_way),
            mover.touched.eq(
                touched | (target[: geometry.SLOTS] & same_set.replicate(geometry.SLOTS))
            ),
            mover.write.eq(wrote.valid),
            mover.update.eq(wrote.update),
            mover.found_held.eq(held),
            mover.found.eq(self.found),
            mover.found_new_held.eq(new_held),
            mover.found_new.eq(self.found_new),
        ]
        for n, slot in enumerate(slots):
            m.d.comb += [
                mover.slots[n].live.eq(slot.live),
                mover.slots[n].tag.eq(slot.tag),
                mover.slots[n].order.eq(slot.order),
            ]
        self._peek(m, slots, stash, mover, before)
        return m

    def _peek(self, m, slots, stash, mover, before) -> None:
        peeked = self.peeked

        def is_wanted(entry):
            unplaced = entry.order.escape == Escape.UNPLACED
            counts = Mux(unplaced, self.peek_unplaced, self.peek_placed)
            return entry.live & (entry.order.symbol == self.peek_symbol) & counts

        ways = self._geometry.WAYS
        wanted = Signal(self._geometry.SLOTS)
        m.d.comb += wanted.eq(Cat(is_wanted(slot) for slot in slots))
        m.d.sync += [
            peeked.hit.eq(wanted.any()),
            peeked.table.eq(~wanted[:ways].any()),
            peeked.collided.eq(before.valid),
        ]
        for n in reversed(range(self._geometry.SLOTS)):
            with m.If(wanted[n]):
                m.d.sync += peeked.tag.eq(slots[n].tag)
        m.d.comb += [
            peeked.moved.eq(
                mover.move & (is_wanted(mover.moved) | (mover.swapped & is_wanted(mover.victim)))
            ),
            peeked.in_stash.eq(Cat(is_wanted(entry) for entry in stash.entries).any()),
            peeked.stashed.eq(is_wanted(stash.stashed)),
            peeked.stashed_tag.eq(stash.stashed.tag),
            peeked.stashed_set.eq(stash.stashed.set[0]),
        ]

    def _tables(self, m, asked, commit) -> list:
        """What is in each slot of the sets that `asked` names, two cycles later."""
        geometry = self._geometry
        shape = data.StructLayout(
            {"live": 1, "tag": geometry.tag_bits, "order": StoredOrder(geometry)}
        )
        memories = []
        for n in range(geometry.SLOTS):
            table = n // geometry.WAYS
            m.submodules[f"way_{n}"] = memory = BlockMemory(
                depth=1 << geometry.set_bits, shape=shape, relaxed=True
            )
            m.d.comb += [
                memory.address().eq(asked.set[table]),
                memory.write.eq(commit.valid & (commit.update.way == n)),
                memory.write_address.eq(commit.update.set[table]),
                memory.write_data.live.eq(commit.update.live),
                memory.write_data.tag.eq(commit.update.tag),
                memory.write_data.order.eq(commit.update.order),
            ]
            memories.append(memory)
        m.d.comb += self.ready.eq(Cat(memory.ready for memory in memories).all())
        return [memory.data() for memory in memories]

    def _room(self, live) -> tuple[Value, Value, Value]:
        """Whether there is a free slot, whether no place is free, and the place to take.

        That is in the emptier set, and in the stash if both are full.
        """
        geometry = self._geometry
        frees = [~live[at : at + geometry.WAYS] for at in range(0, geometry.SLOTS, geometry.WAYS)]
        room = frees[0].any() | frees[1].any()
        in_second = Cat(
            is_at_least(n, frees[1]) & ~is_at_least(n, frees[0])
            for n in range(1, geometry.WAYS + 1)
        ).any()
        slot = Mux(in_second, geometry.WAYS + lowest_set(frees[1]), lowest_set(frees[0]))
        stash = geometry.SLOTS + lowest_set(~live[geometry.SLOTS :])
        return room, live.all(), Mux(room, slot, stash)

    def _is_set(self, update, asked) -> Value:
        """True when `update` is of one of the sets that `asked` names, or of the stash."""
        stash, table = update.way[-1], update.way[-2]
        return stash | Mux(table, update.set[1] == asked.set[1], update.set[0] == asked.set[0])

    def _is_slot(self, n: int, update, asked) -> Value:
        """True when `update` is of slot `n` of the sets that `asked` names."""
        table = n // self._geometry.WAYS
        return (update.way == n) & (update.set[table] == asked.set[table])
