"""When to retransmit: the timer, and the time that it runs.

Ref: RFC 6298; V. Jacobson, "Congestion Avoidance and Control" (1988), appendix A, for the integers.
"""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RetransmissionTimer"]

BITS = 16

LEARNING = 2
"""Cycles until a measurement is in force."""


class RetransmissionTimer(wiring.Component):
    """Runs for the retransmission timeout, which it learns from measured round trips.

    Latency: `expired` comes with the tick. A measured time is in force LEARNING cycles later.

    SRTT is kept in eighths of a tick and RTTVAR in quarters, rounded down as Jacobson does. The
    timeout is SRTT + max(1, 4 RTTVAR), within its bounds; each expiry doubles it, up to the upper
    one, and only the next measurement takes that back (Karn). If several of the strobes come at
    once, the last one in this list counts.

    Members
    -------
    tick : In(1)
    initial, minimum, maximum : In(16)
        Bounds in ticks, at least 1.
    reset : In(1)
        Stops, and forgets what was learnt.
    start : In(1)
        Runs, unless it runs already.
    restart : In(1), stop : In(1)
        Runs anew, for what is in force LEARNING cycles later; does not run.
    measured : In(1), measurement : In(16)
        A round trip in ticks.
    expired : Out(1)
        Runs anew, for twice the time.
    timeout : Out(16)
    running : Out(1)
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "tick": In(1),
                "initial": In(BITS),
                "minimum": In(BITS),
                "maximum": In(BITS),
                "reset": In(1),
                "start": In(1),
                "restart": In(1),
                "stop": In(1),
                "measured": In(1),
                "measurement": In(BITS),
                "expired": Out(1),
                "timeout": Out(BITS),
                "running": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        left, doubled = Signal(BITS), Signal(BITS)
        # What was measured together with a restart is in force by then.
        restarts = Signal(LEARNING)
        m.d.comb += [
            doubled.eq(Mux(self.timeout[-1], self.maximum, self.timeout << 1)),
            self.expired.eq(self.tick & self.running & (left <= 1)),
        ]
        self._learn(m, Mux(doubled > self.maximum, self.maximum, doubled))
        with m.If(self.tick & self.running):
            m.d.sync += left.eq(left - 1)
        with m.If(self.expired):
            m.d.sync += left.eq(Mux(doubled > self.maximum, self.maximum, doubled))
        m.d.sync += restarts.eq(restarts << 1 | self.restart)
        with m.If((self.start & ~self.running) | restarts[-1]):
            m.d.sync += [self.running.eq(1), left.eq(self.timeout)]
        with m.If(self.stop | self.reset):
            m.d.sync += [self.running.eq(0), restarts.eq(0)]
        return m

    def _learn(self, m: Module, longer) -> None:
        smoothed, variation = Signal(BITS + 3), Signal(BITS + 2)
        known, learnt = Signal(), Signal()
        delta = Signal(signed(BITS + 1))
        wanted, bounded = Signal(BITS + 3), Signal(BITS)
        m.d.comb += [
            delta.eq(self.measurement - smoothed[3:]),
            wanted.eq(smoothed[3:] + Mux(variation == 0, 1, variation)),
        ]
        with m.If(wanted < self.minimum):
            m.d.comb += bounded.eq(self.minimum)
        with m.Elif(wanted > self.maximum):
            m.d.comb += bounded.eq(self.maximum)
        with m.Else():
            m.d.comb += bounded.eq(wanted)
        m.d.sync += learnt.eq(self.measured)
        with m.If(self.expired):
            m.d.sync += self.timeout.eq(longer)
        with m.If(learnt):
            m.d.sync += self.timeout.eq(bounded)
        with m.If(self.measured):
            m.d.sync += known.eq(1)
            with m.If(known):
                away = Mux(delta < 0, -delta, delta)
                m.d.sync += [
                    smoothed.eq(smoothed + delta),
                    variation.eq(variation - variation[2:] + away),
                ]
            with m.Else():
                m.d.sync += [
                    smoothed.eq(self.measurement << 3),
                    variation.eq(self.measurement << 1),
                ]
        with m.If(self.reset):
            m.d.sync += [known.eq(0), learnt.eq(0), self.timeout.eq(self.initial)]
