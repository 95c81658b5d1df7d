"""What has killed the card.

Ref: docs/risk.md, gate 2; register `kill_causes`.
"""

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.control.registers import shape_of
from tickgate.spec.registers import BY_NAME

__all__ = ["Causes", "KillSources"]

Causes = shape_of(BY_NAME["kill_causes"])
"""A bit for each cause; one that comes into being is a field of the register `kill_causes`."""


class KillSources(wiring.Component):
    """Gathers the causes of a kill, and keeps which have come until the host clears the kill.

    Latency: `kill` is combinational; `causes` and `passes` follow LATENCY cycle after it, together
    with what :class:`Arming` makes of it.

    Members
    -------
    now : In(Causes)
        Strobes, or levels for as long as the cause lasts: then nothing clears the kill.
    kill : Out(1)
        A cause is there in this cycle.
    killed : In(1)
        Of :class:`Arming`.
    clear : In(1)
        Strobe; counts only where no cause is there.
    causes : Out(Causes)
        Those that have come since.
    passes : Out(1)
        Gate 2: the card is not killed, and no cause is kept.
    """

    LATENCY = 1

    now: In(Causes)
    kill: Out(1)
    killed: In(1)
    clear: In(1)
    causes: Out(Causes)
    passes: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        now, causes = Value.cast(self.now), Value.cast(self.causes)
        m.d.comb += [
            self.kill.eq(now.any()),
            self.passes.eq(~self.killed & ~causes.any()),
        ]
        with m.If(self.kill):
            m.d.sync += causes.eq(causes | now)
        with m.Elif(self.clear):
            m.d.sync += causes.eq(0)
        return m
