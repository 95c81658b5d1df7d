"""What the host has to take note of before the card is armed again.

Ref: docs/risk.md, "Arming"; register `alerts`.
"""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.control.registers import shape_of
from tickgate.spec.registers import BY_NAME

__all__ = ["Alert", "Alerts"]

Alert = shape_of(BY_NAME["alerts"])
"""A bit for each kind; one that comes into being is a field of the register `alerts`."""


class Alerts(wiring.Component):
    """Keeps each alert until the host acknowledges it.

    Latency: LATENCY cycle. An alert that comes in the cycle of its acknowledgement is kept.

    Members
    -------
    now : In(Alert)
        Levels; what begins is an alert, what lasts is none again.
    acknowledge : In(stream.Signature(Alert, always_ready=True))
        Which ones are acknowledged.
    kept : Out(Alert)
    """

    LATENCY = 1

    now: In(Alert)
    acknowledge: In(stream.Signature(Alert, always_ready=True))
    kept: Out(Alert)

    def __init__(self) -> None:
        super().__init__()
        self.before = Signal(len(Value.cast(self.now)))

    def elaborate(self, platform) -> Module:
        m = Module()
        now, kept = Value.cast(self.now), Value.cast(self.kept)
        before, left = self.before, Signal.like(now)
        m.d.sync += [before.eq(now), kept.eq(left | (now & ~before))]
        m.d.comb += left.eq(kept)
        with m.If(self.acknowledge.valid):
            m.d.comb += left.eq(kept & ~Value.cast(self.acknowledge.payload))
        return m
