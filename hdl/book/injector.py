"""Finds the cycles in which the book can do something of its own without a message noticing.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Injector"]


class Injector(wiring.Component):
    """Gives way to messages: a look-up and an update of its own only where none is near.

    What is injected takes the way of a message: the store is asked in the cycle of `spare`, the
    update leaves `LATENCY` cycles later. Both happen only if no message that the store was asked
    for before is still to come, and none is looked up in the cycle of `spare` or the next. So
    there is no live update in the cycle of the injected one, nor in the ones before and after it,
    and no live finding from before its write is used after it. Otherwise it starts again.

    Throughput: one in `PERIOD` cycles at most. At 8 octets a cycle, messages without a pause leave
    no room but between frames.

    Members
    -------
    looks_up, near, message : In(1)
        A message's reference is looked up, or may be; a message is here.
    first, second : In(1)
        Wants of two requesters, the first one before the other; to be held until `injected`. If
        it falls before, nothing is injected.
    is_first : Out(1)
        Whose turn it is, from `spare` to `injected`.
    spare : Out(1)
        Ask the store now.
    busy : Out(1)
        An injected update may follow.
    inject : Out(1)
        The update leaves in the next cycle.
    injected : Out(1)
        It leaves now, and the finding stands now.
    """

    LATENCY = 3
    PERIOD = LATENCY + 2

    looks_up: In(1)
    near: In(1)
    message: In(1)
    first: In(1)
    second: In(1)
    is_first: Out(1)
    spare: Out(1)
    busy: Out(1)
    inject: Out(1)
    injected: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        pending, still_pending = Signal(), Signal()
        passed_1, passed_2, wanted, idle = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            still_pending.eq(self.looks_up | (pending & ~self.message)),
            wanted.eq(Mux(self.is_first, self.first, self.second)),
            idle.eq(~(self.spare | passed_1 | passed_2 | self.injected)),
            self.busy.eq(self.spare | passed_1 | passed_2),
            self.inject.eq(passed_2 & wanted),
        ]
        m.d.sync += [
            pending.eq(still_pending),
            self.spare.eq((self.first | self.second) & idle & ~still_pending),
            passed_1.eq(self.spare & wanted & ~self.near),
            passed_2.eq(passed_1 & wanted & ~self.looks_up),
            self.injected.eq(self.inject),
        ]
        with m.If(idle):
            m.d.sync += self.is_first.eq(self.first)
        return m
