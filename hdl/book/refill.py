"""Asks the ladder for the level that follows a list's last one, and follows what becomes of it.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.bits import bit_of, one_hot, with_bit
from tickgate.hdl.book.levels import ListEvent
from tickgate.hdl.book.priority import lowest_in_groups
from tickgate.hdl.book.types import Best, Found, Geometry, Request

__all__ = ["Refill"]


class Pursued(data.StructLayout):
    """A request on its way, and the best key (`floor`) whose change may concern its answer."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "valid": 1,
                "request": Request(geometry),
                "void": 1,
                "touched": 1,
                "floor": geometry.key_bits,
            }
        )


class Answered(data.StructLayout):
    """A request that has its answer."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {"valid": 1, "request": Request(geometry), "void": 1, "level": Best(geometry)}
        )


class Refill(wiring.Component):
    """Has the lists of the best levels grow again after they have lost levels.

    After every change that leaves a list short, the level that follows its last one is asked for,
    as soon as the ladder has a free cycle. An answer is as old as the ladder is deep: it is void if
    the list has dropped a level or grown since, or if a level was changed since that lay beyond the
    list, or beyond the level that the request named, but not beyond the answer. What makes an
    answer void leaves the list full, or has it asked for again.

    Throughput: a request a cycle. Every side may wait. An answer that finds two others before it
    is asked for again.

    Parameters
    ----------
    geometry : Geometry
    latency : int
        Cycles from a request to the ladder's answer.

    Members
    -------
    event : In(ListEvent)
    ask_valid : Out(1), ask : Out(Request), ask_taken : In(1)
    level : In(Best), missed : In(1)
        The ladder's answer to the request of `latency` cycles ago; or that it has none.
    found_valid : Out(1), found : Out(Found), found_taken : In(1)
    found_late : In(1)
        The side of `found` is changing: its event of the next cycle asks again if need be.
    """

    def __init__(self, *, geometry: Geometry, latency: int) -> None:
        self._geometry, self._latency = geometry, latency
        super().__init__(
            {
                "event": In(ListEvent(geometry)),
                "ask_valid": Out(1),
                "ask": Out(Request(geometry)),
                "ask_taken": In(1),
                "level": In(Best(geometry)),
                "missed": In(1),
                "found_valid": Out(1),
                "found": Out(Found(geometry)),
                "found_taken": In(1),
                "found_late": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        g = self._geometry
        self._again, self._again_side = Signal(), Signal(range(g.sides))
        fresh_valid = self._ask(m)

        # On its way through the ladder.
        asked = Signal(Pursued(g))
        m.d.comb += [
            asked.valid.eq(self.ask_valid & self.ask_taken),
            asked.request.eq(self.ask),
        ]
        pursued = asked
        for stage in range(1, self._latency + 1):
            later = Signal(Pursued(g), name=f"pursued_{stage}", reset_less=True)
            after = self._after_event(m, pursued, f"{stage}")
            # The event from which a request is made is no later one.
            m.d.sync += later.eq(Mux(fresh_valid, asked, after) if pursued is asked else after)
            pursued = later
        # Then it waits, with at most one more, for a cycle in which the lists are free.
        arrived = Signal(Answered(g))
        first, second = (
            Signal(Answered(g), name=name, reset_less=True) for name in ("first", "second")
        )
        level = self.level
        m.d.comb += [
            arrived.valid.eq(pursued.valid),
            arrived.request.eq(pursued.request),
            arrived.level.eq(level),
            arrived.void.eq(
                pursued.void
                | self.missed
                | (pursued.touched & (~level.present | (pursued.floor <= level.key)))
            ),
        ]
        first_void, leaves = Signal(), Signal()
        first_after, second_after = Signal.like(first), Signal.like(second)
        arrived_after = Signal.like(arrived)
        m.d.comb += [
            first_void.eq(self._voids(first)),
            # What makes it void in this cycle has it asked for again.
            self.found_valid.eq(first.valid & ~first_void),
            self.found.request.eq(first.request),
            self.found.level.eq(first.level),
            self.found.void.eq(first.void),
            # The first makes room where its side is about to ask again.
            leaves.eq(~first.valid | self.found_taken | (self.found_late & second.valid)),
            first_after.eq(first),
            first_after.void.eq(first.void | first_void),
            second_after.eq(second),
            second_after.void.eq(second.void | self._voids(second)),
            arrived_after.eq(arrived),
            arrived_after.void.eq(arrived.void | self._voids(arrived)),
        ]
        # Without room, what is still to be known is asked for again.
        m.d.comb += [
            self._again.eq(
                pursued.valid
                & ~pursued.void
                & ~pursued.touched
                & ~self._concerns(pursued.request)
                & second.valid
                & ~leaves
            ),
            self._again_side.eq(_side_of(pursued.request)),
        ]
        with m.If(~leaves):
            m.d.sync += first.eq(first_after)
            with m.If(~second.valid):
                m.d.sync += second.eq(arrived_after)
            with m.Else():
                m.d.sync += second.eq(second_after)
        with m.Elif(second.valid):
            m.d.sync += [first.eq(second_after), second.eq(arrived_after)]
        with m.Else():
            m.d.sync += [first.eq(arrived_after), second.valid.eq(0)]
        return m

    def _concerns(self, request):
        return self.event.valid & (_side_of(self.event) == _side_of(request))

    def _touches(self, request):
        """Whether this cycle's event may change the answer to a request of its side."""
        event = self.event
        return event.changed & (event.beyond | ~request.bounded | (event.key > request.after))

    def _after_event(self, m, pursued, name):
        """What a request on its way is after this cycle's event."""
        event = self.event
        after = Signal.like(pursued, name=f"after_{name}")
        concerned = self._concerns(pursued.request)
        m.d.comb += after.eq(pursued)
        with m.If(concerned & (event.dropped | event.grew)):
            m.d.comb += after.void.eq(1)
        with m.If(concerned & self._touches(pursued.request)):
            m.d.comb += after.touched.eq(1)
            with m.If(~pursued.touched | (event.key < pursued.floor)):
                m.d.comb += after.floor.eq(event.key)
        return after

    def _voids(self, answered):
        """Whether by this cycle's event the answer is not what follows the list any more."""
        event, level = self.event, answered.level
        return self._concerns(answered.request) & (
            event.dropped
            | event.grew
            | (self._touches(answered.request) & (~level.present | (event.key <= level.key)))
        )

    def _ask(self, m) -> Signal:
        """The request of this cycle's event, else one that waits.

        Returns whether it is the first.
        """
        g, event = self._geometry, self.event
        fresh_valid, fresh = Signal(), Signal(Request(g))
        m.d.comb += [
            fresh_valid.eq(event.valid & event.short),
            fresh.symbol.eq(event.symbol),
            fresh.side.eq(event.side),
            fresh.base.eq(event.base),
            fresh.cent.eq(event.cent),
            fresh.bounded.eq(event.live[0]),
        ]
        for n in range(g.LEVELS):
            with m.If(event.live[n]):
                m.d.comb += fresh.after.eq(event.keys[n])

        # What a side has asked for last; it counts while that waits, so nobody clears it first.
        m.submodules.requests = requests = memory.Memory(shape=Request(g), depth=g.sides, init=[])
        write, read = requests.write_port(), requests.read_port(domain="comb")
        waits, others = Signal(g.sides), Signal(g.sides)
        choice, event_side = Signal(range(g.sides)), Signal(range(g.sides))
        chosen, changed, again = (
            one_hot(m, which, g.sides, name=name)
            for name, which in (
                ("chosen", choice),
                ("changed", event_side),
                ("again", self._again_side),
            )
        )
        other = lowest_in_groups(m, others, name="others")
        asked, goes_on = Signal(g.sides), Signal(g.sides)
        m.d.comb += [
            event_side.eq(_side_of(event)),
            write.en.eq(fresh_valid),
            write.addr.eq(event_side),
            write.data.eq(fresh),
            read.addr.eq(choice),
            self.ask_valid.eq(fresh_valid | bit_of(waits, choice)),
            self.ask.eq(Mux(fresh_valid, fresh, read.data)),
            asked.eq(Mux(self.ask_taken & ~fresh_valid, chosen, 0)),
            goes_on.eq((waits & ~asked) | Mux(self._again, again, 0)),
            others.eq(waits & ~chosen),
        ]
        # A later event of the same side makes its own request.
        m.d.sync += waits.eq(goes_on)
        with m.If(event.valid):
            m.d.sync += waits.eq(with_bit(goes_on, changed, fresh_valid & ~self.ask_taken))
        with m.If(fresh_valid & ~self.ask_taken):
            m.d.sync += choice.eq(event_side)
        with m.Elif(others.any()):
            m.d.sync += choice.eq(other)
        return fresh_valid


def _side_of(what) -> Value:
    """The number of the side that an event or a request is about."""
    return Cat(what.side, what.symbol)
