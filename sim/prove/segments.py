"""What is proved of the parts that keep the octets of a connection, and make frames of them.

Ref: RFC 9293, section 3.8.1 (retransmission).
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from tickgate.hdl.order.tcp.acceptance import Numbers
from tickgate.hdl.order.tcp.connection import Reset
from tickgate.hdl.order.tcp.dispatcher import Dispatcher
from tickgate.hdl.order.tcp.timer import LEARNING, RetransmissionTimer
from tickgate.hdl.order.tcp.types import Job, Wants
from tickgate.sim.prove.engine import Harness, Method, Property

__all__ = ["PROPERTIES"]

WIDTH = 8
PACKET_SIZE = 4
DEPTH = 32


def leads(m: Module, dispatcher: Dispatcher, *, notice: int) -> Value:
    """That a dispatcher waits for orders as long as they may begin, and for nothing else."""
    within = notice + 5
    held, waits, idle = Signal(range(notice + 3)), Signal(range(within + 2)), Signal(2)
    free = dispatcher.port & ~dispatcher.order_busy & ~dispatcher.moving & ~dispatcher.jobs.valid
    wanted, picked = dispatcher.wants.as_value().any(), dispatcher.picked.as_value().any()
    with m.If(~dispatcher.holds):
        m.d.sync += [held.eq(0), waits.eq(0)]
    with m.Else():
        m.d.sync += [
            held.eq(held + (held != notice + 2)),
            waits.eq(waits + (free & (waits <= within))),
        ]
    m.d.sync += idle.eq(Mux(wanted & ~dispatcher.holds, idle + ~idle.all(), 0))
    return Cat(~picked | (held == notice + 2), waits <= within, idle <= 1).all()


class DispatcherLeads(Harness):
    """A dispatcher between free neighbours."""

    NOTICE = 1

    def __init__(self) -> None:
        super().__init__(
            {
                "wants": Wants,
                "numbers": Numbers,
                "reset": Reset,
                "peer_mss": 16,
                "fin_sent": 1,
                "packet_length": range(PACKET_SIZE + 1),
                "moving": 1,
                "order_busy": 1,
                "port": 1,
                "ready": 1,
            },
            {"holding": 1, "picked": Wants, "job": 1},
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.dispatcher = part = Dispatcher(notice=self.NOTICE, packet_size=PACKET_SIZE)
        for name in ("wants", "numbers", "reset", "peer_mss", "fin_sent", "packet_length"):
            m.d.comb += getattr(part, name).eq(getattr(self, name))
        for name in ("moving", "order_busy", "port"):
            m.d.comb += getattr(part, name).eq(getattr(self, name))
        before, was, job = Signal(Job), Signal(), part.jobs
        m.d.comb += [
            job.ready.eq(self.ready),
            self.holding.eq(part.holds),
            self.picked.eq(part.picked),
            self.job.eq(job.valid),
        ]
        done = Signal()
        m.d.sync += [before.eq(job.payload), was.eq(job.valid & ~self.ready)]
        m.d.sync += done.eq(job.valid & self.ready)
        wanted, picked = self.wants.as_value(), part.picked.as_value()
        m.d.comb += [
            self.assumed.eq(1),
            self.holds.eq(
                Cat(
                    leads(m, part, notice=self.NOTICE),
                    picked == Mux(picked.any(), wanted & -wanted, 0),
                    ~picked.any() | (self.port & ~self.order_busy),
                    ~job.valid | part.holds,
                    ~was | (job.valid & (before.as_value() == job.payload.as_value())),
                ).all()
            ),
            self.seen.eq(done),
        ]
        return m


class TimerExpires(Harness):
    """A retransmission timer, and for how many ticks it has run."""

    LONGEST = 3

    def __init__(self) -> None:
        self._strobes = ("tick", "reset", "start", "restart", "stop", "measured")
        self._bounds = ("initial", "minimum", "maximum")
        super().__init__(
            {
                **dict.fromkeys(self._strobes, 1),
                **dict.fromkeys(self._bounds, range(self.LONGEST + 1)),
                "measurement": 16,
            },
            {"running": 1, "expired": 1, "timeout": 16},
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.timer = timer = RetransmissionTimer()
        for name in (*self._strobes, *self._bounds, "measurement"):
            m.d.comb += getattr(timer, name).eq(getattr(self, name))
        for name in ("running", "expired", "timeout"):
            m.d.comb += getattr(self, name).eq(getattr(timer, name))
        ticks, reset_before = Signal(range(self.LONGEST + 2)), Signal()
        # A restart counts some cycles later.
        restarts = Signal(LEARNING)
        m.d.sync += restarts.eq(Cat(self.restart, restarts))
        with m.If(self.reset):
            m.d.sync += reset_before.eq(1)
        with m.If(timer.expired | self.restart | restarts.any() | ~timer.running):
            m.d.sync += ticks.eq(0)
        with m.Elif(self.tick & (ticks <= self.LONGEST)):
            m.d.sync += ticks.eq(ticks + 1)
        bounds = Cat(getattr(self, name) for name in self._bounds)
        m.d.comb += [
            self.assumed.eq(
                Cat(
                    self.stays(m, bounds),
                    self.minimum != 0,
                    self.minimum <= self.initial,
                    self.initial <= self.maximum,
                    reset_before | self.reset | ~(self.start | self.restart),
                ).all()
            ),
            self.holds.eq(
                Cat(
                    ~timer.expired | (timer.running & self.tick),
                    ticks < self.maximum,
                    ~timer.running
                    | ((timer.timeout >= self.minimum) & (timer.timeout <= self.maximum)),
                ).all()
            ),
            self.seen.eq(timer.expired & (ticks == self.LONGEST - 1)),
        ]
        return m


PROPERTIES = (
    Property(
        name="dispatcher-leads",
        component="order: dispatcher",
        claim="what is wanted first is sent, when no order can begin any more and the port is "
        "free; nothing else keeps it waiting for longer than `notice` + 5 cycles; a job stays as "
        "it is until it is done",
        contract="none",
        size="notice of 1 cycle",
        cover="a job is done",
        method=Method.BOUNDED,
        depth=DEPTH,
        reached=8,
        make=DispatcherLeads,
    ),
    Property(
        name="timer-expires",
        component="order: retransmission timer",
        claim=f"a timer that runs expires after at most `maximum` ticks, counted from {LEARNING} "
        "cycles after a restart, and else never; the "
        "timeout is within its bounds",
        contract="it was reset before it runs; 1 <= `minimum` <= `initial` <= `maximum`, constant",
        size=f"`maximum` of {TimerExpires.LONGEST} ticks",
        cover="it expires after the longest time",
        method=Method.BOUNDED,
        depth=DEPTH,
        reached=4,
        make=TimerExpires,
    ),
)
