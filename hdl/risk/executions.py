"""How often the strategy was executed.

Ref: docs/risk.md, gate 27; Commission Delegated Regulation (EU) 2017/589, article 15 (3).
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Executions"]


class Executions(wiring.Component):
    """Counts the executions since the strategy was enabled, and latches it off at the limit.

    Latency: LATENCY cycles from an execution to `passes`. Throughput: an execution a cycle.

    Members
    -------
    executed : In(1)
        Strobe: an own order was executed.
    renew : In(1)
        Strobe: the host enables the strategy anew.
    most : In(32)
        The limit; 0 is none, and nothing passes, but it latches nothing either.
    count : Out(32)
        Executions since; stays at its bound.
    passes : Out(1)
        Gate 27: fewer than `most`, and not latched off.
    latched : Out(1)
        There were as many as `most`, as it then was, since the strategy was enabled.
    """

    LATENCY = 2

    executed: In(1)
    renew: In(1)
    most: In(32)
    count: Out(32)
    passes: Out(1)
    latched: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        within = Signal()
        m.d.comb += within.eq(self.count < self.most)
        m.d.sync += self.passes.eq(within & ~self.latched)
        with m.If(self.most.any() & ~within):
            m.d.sync += self.latched.eq(1)
        with m.If(self.executed & ~self.count.all()):
            m.d.sync += self.count.eq(self.count + 1)
        with m.If(self.renew):
            m.d.sync += [self.count.eq(0), self.latched.eq(0), self.passes.eq(0)]
        return m
