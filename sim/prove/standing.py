"""What is proved of the gates that are judged outside of the risk gate.

Ref: docs/risk.md.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value

from tickgate.hdl.control.alerts import Alert, Alerts
from tickgate.hdl.control.arming import Arming
from tickgate.hdl.control.events import ROOM, EventQueue
from tickgate.hdl.control.heartbeat import Heartbeat
from tickgate.hdl.control.kill import Causes, KillSources
from tickgate.hdl.order.manager.numbers import Numbers
from tickgate.hdl.order.manager.orders import Entry
from tickgate.hdl.order.manager.rejects import Rejects
from tickgate.hdl.order.manager.watch import Watch
from tickgate.hdl.risk.executions import Executions
from tickgate.sim.prove.engine import Harness, Method, Property
from tickgate.sim.prove.opened import opened, read

__all__ = ["PROPERTIES"]

SYMBOLS = 2
SLOTS = 4
DEPTH = 2 * ROOM


class KillHarness(Harness):
    """What kills the card and what it knows of that, beside the causes that have come."""

    def __init__(self) -> None:
        strobes = dict.fromkeys(("arm", "disarm", "clear", "prepared"), 1)
        super().__init__({"now": Causes, **strobes}, {"causes": Causes, "killed": 1, "armed": 1})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.arming = arming = Arming()
        m.submodules.sources = sources = KillSources()
        now = Value.cast(self.now)
        m.d.comb += [
            sources.now.eq(self.now),
            sources.killed.eq(arming.killed),
            # As the bank of registers gives the command.
            sources.clear.eq(self.clear & ~arming.armed),
            arming.clear_kill.eq(sources.clear),
            arming.kill.eq(sources.kill),
            arming.arm.eq(self.arm),
            arming.disarm.eq(self.disarm),
            arming.prepared.eq(self.prepared),
            self.causes.eq(sources.causes),
            self.killed.eq(arming.killed),
            self.armed.eq(arming.armed),
        ]
        came, cleared = Signal.like(now), Signal()
        with m.If(now.any()):
            m.d.sync += came.eq(came | now)
        with m.Elif(sources.clear):
            m.d.sync += [came.eq(0), cleared.eq(cleared | came.any())]
        m.d.comb += [
            self.assumed.eq(1),
            self.holds.eq(
                Cat(
                    Value.cast(sources.causes) == came,
                    sources.passes == ~came.any(),
                    arming.killed == came.any(),
                    ~(came.any() & arming.armed),
                    ~arming.corrupt,
                ).all()
            ),
            self.seen.eq(cleared & came.all()),
        ]
        return m


class AlertsHarness(Harness):
    """What keeps alerts, beside those that began and were not acknowledged."""

    def __init__(self) -> None:
        super().__init__({"now": Alert, "valid": 1, "acknowledged": Alert}, {"kept": Alert})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.alerts = alerts = Alerts()
        now, noted = Value.cast(self.now), Value.cast(self.acknowledged)
        before, open_alerts, freed = (Signal(len(now), name=name) for name in ("b", "o", "f"))
        m.d.comb += [
            alerts.now.eq(self.now),
            alerts.acknowledge.valid.eq(self.valid),
            alerts.acknowledge.payload.eq(self.acknowledged),
            self.kept.eq(alerts.kept),
            self.assumed.eq(1),
            self.seen.eq(open_alerts.all() & freed.any()),
        ]
        m.d.sync += before.eq(now)
        for n in range(len(now)):
            with m.If(now[n] & ~before[n]):
                m.d.sync += open_alerts[n].eq(1)
            with m.Elif(self.valid & noted[n]):
                m.d.sync += [open_alerts[n].eq(0), freed[n].eq(freed[n] | open_alerts[n])]
        m.d.comb += self.holds.eq(
            (Value.cast(alerts.kept) == open_alerts) & (alerts.before == before)
        )
        return m


class HeartbeatHarness(Harness):
    """What measures the host's silence, beside the microseconds of it."""

    def __init__(self) -> None:
        bits = dict.fromkeys(("valid", "microsecond", "armed", "off"), 1)
        super().__init__(
            {**bits, "answer": 32, "timeout": 16}, {"passes": 1, "silent": 1, "microseconds": 28}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.heartbeat = heartbeat = Heartbeat()
        passes, silent, begun, right = Signal(), Signal(), Signal(), Signal()
        whole, rest = Signal(17), Signal(10)
        late = whole > self.timeout
        m.d.comb += [
            heartbeat.answer.valid.eq(self.valid),
            heartbeat.answer.payload.eq(self.answer),
            *(
                getattr(heartbeat, name).eq(getattr(self, name))
                for name in ("microsecond", "armed", "off", "timeout")
            ),
            right.eq(self.valid & (self.answer ^ heartbeat.challenge).all()),
            self.passes.eq(heartbeat.passes),
            self.silent.eq(heartbeat.silent),
            self.microseconds.eq(whole * 1000 + rest),
        ]
        m.d.sync += [
            begun.eq(1),
            passes.eq(self.off | ((self.timeout != 0) & ~late)),
            silent.eq(~self.off & (self.timeout != 0) & late),
        ]
        with m.If(right | ~self.armed):
            m.d.sync += [whole.eq(0), rest.eq(0)]
        with m.Elif(self.microsecond):
            m.d.sync += rest.eq(Mux(rest == 999, 0, rest + 1))
            m.d.sync += whole.eq(Mux((rest == 999) & (whole < 1 << 16), whole + 1, whole))
        m.d.comb += [
            self.assumed.eq(1),
            self.holds.eq(
                Cat(
                    heartbeat.challenge.any(),
                    heartbeat.right == right,
                    heartbeat.wrong == (self.valid & ~right),
                    heartbeat.since == whole,
                    heartbeat.fraction == rest,
                    ~begun | (heartbeat.passes == passes),
                    ~begun | (heartbeat.silent == silent),
                ).all()
            ),
            self.seen.eq(begun & heartbeat.passes & ~self.off & heartbeat.wrong & (rest == 2)),
        ]
        return m


class ExecutionsHarness(Harness):
    """What counts executions, beside their number."""

    def __init__(self) -> None:
        super().__init__(
            {"executed": 1, "renew": 1, "most": 32}, {"count": 32, "off": 1, "passes": 1}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.executions = executions = Executions()
        count, off, passes = Signal(32), Signal(), Signal()
        for name in ("executed", "renew", "most"):
            m.d.comb += getattr(executions, name).eq(getattr(self, name))
        m.d.sync += passes.eq(~self.renew & ~off & (count + 1 <= self.most))
        with m.If(self.renew):
            m.d.sync += [count.eq(0), off.eq(0)]
        with m.Else():
            m.d.sync += [
                off.eq(off | ((self.most != 0) & (count >= self.most))),
                count.eq(Mux(count.all(), count, count + self.executed)),
            ]
        m.d.comb += [
            self.count.eq(count),
            self.off.eq(off),
            self.passes.eq(executions.passes),
            self.assumed.eq(1),
            self.holds.eq(
                Cat(
                    executions.count == count,
                    executions.latched == off,
                    executions.passes == passes,
                ).all()
            ),
            self.seen.eq(off & (count < self.most) & ~executions.passes),
        ]
        return m


class NumbersHarness(Harness):
    """What knows the numbers, beside the highest one that has counted."""

    def __init__(self) -> None:
        super().__init__(
            {"sends": 1, "number": 32, "begins": 1, "next_number": 32, "end_number": 32},
            {"counts": 1, "passes": 1, "highest": 32},
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.numbers = numbers = Numbers()
        for name in ("sends", "number", "begins", "next_number", "end_number"):
            m.d.comb += getattr(numbers, name).eq(getattr(self, name))
        highest, fresh, spent, passes = Signal(32), Signal(init=1), Signal(), Signal()
        again, begun = Signal(), Signal()
        right = self.sends & (self.number > highest)
        is_spent = ~((self.next_number > highest) & (self.next_number < self.end_number))
        follows = fresh | (self.next_number == highest + 1)
        m.d.sync += [begun.eq(1), spent.eq(is_spent), passes.eq(~is_spent & follows)]
        with m.If(right):
            m.d.sync += [highest.eq(self.number), fresh.eq(0), again.eq(again | highest.any())]
        with m.If(self.begins):
            m.d.sync += fresh.eq(1)
        m.d.comb += [
            self.counts.eq(numbers.counts),
            self.passes.eq(numbers.passes),
            self.highest.eq(highest),
            self.assumed.eq(1),
            self.holds.eq(
                Cat(
                    numbers.counts == right,
                    numbers.reused == (self.sends & ~right),
                    ~begun | (numbers.spent == spent),
                    ~begun | (numbers.passes == passes),
                    numbers.last == highest,
                    numbers.first == fresh,
                ).all()
            ),
            self.seen.eq(again & ~fresh & numbers.passes & numbers.reused),
        ]
        return m


class WatchHarness(Harness):
    """What watches the orders, beside how many are without an answer."""

    def __init__(self) -> None:
        strobes = dict.fromkeys(("sends", "ends", "answers"), 1)
        super().__init__(
            {**strobes, "number": 32, "walked": Entry(SYMBOLS), "time": 16, "most": 16},
            {"count": range(SLOTS + 1), "overdue": 1, "answered": 1},
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.watch = watch = Watch(symbols=SYMBOLS, slots=SLOTS)
        for name in ("sends", "ends", "answers", "number", "walked", "time"):
            m.d.comb += Value.cast(getattr(watch, name)).eq(Value.cast(getattr(self, name)))
        count, passes, begun = Signal(range(SLOTS + 1)), Signal(), Signal()
        m.d.sync += [
            begun.eq(1),
            count.eq(count + self.sends - self.answers),
            passes.eq(~watch.overdue & (count + 1 <= self.most)),
        ]
        m.d.comb += [
            watch.most_unanswered.eq(self.most),
            watch.timeout.eq(1),
            self.count.eq(count),
            self.overdue.eq(watch.overdue),
            self.answered.eq(watch.answered),
            self.assumed.eq((count.any() | ~self.answers) & ((count < SLOTS) | ~self.sends)),
            self.holds.eq((watch.unanswered == count) & (~begun | (watch.answered == passes))),
            self.seen.eq(
                begun & ~watch.overdue & ~watch.answered & (count == self.most) & (count == 2)
            ),
        ]
        return m


class RejectsHarness(Harness):
    """What remembers rejects, beside the times of the last ones, the latest first."""

    def __init__(self) -> None:
        super().__init__(
            {"rejects": 1, "time": 32, "most": Rejects.BITS, "window": 16}, {"storm": 1}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        rejects = Rejects()
        memory = opened(m, "rejects", rejects)
        for name in ("rejects", "time", "most", "window"):
            m.d.comb += getattr(rejects, name).eq(getattr(self, name))
        times = [Signal(32, name=f"time_{n}") for n in range(Rejects.SLOTS - 1)]
        known, due = Signal(Rejects.BITS), Signal()
        kept = [
            (known <= n) | (read(m, memory, "times", (rejects.at - 1 - n)[: Rejects.BITS]) == time)
            for n, time in enumerate(times)
        ]
        # The reject from which on this one is one too many.
        first = Array([self.time, *times])[self.most]
        many = (known >= self.most) & ((self.time - first)[:32] <= self.window)
        m.d.sync += due.eq(self.rejects & many)
        with m.If(self.rejects):
            later = zip(times, [self.time, *times], strict=False)
            m.d.sync += [time.eq(before) for time, before in later]
            m.d.sync += known.eq(Mux(known.all(), known, known + 1))
        m.d.comb += [
            self.storm.eq(rejects.storm),
            self.assumed.eq(1),
            self.holds.eq(Cat(rejects.storm == due, rejects.known == known, *kept).all()),
            self.seen.eq(rejects.storm & (known == 3)),
        ]
        return m


class RoomHarness(Harness):
    """The queue of events with one source, and for how long it has said of no room."""

    def __init__(self) -> None:
        super().__init__(
            {"reports": 1, "acknowledge": 1, "acknowledged": 32, "delivered": 1},
            {"pending": 32, "room": 1, "lost": 8, "since": 6},
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.queue = queue = EventQueue(symbols=SYMBOLS, sources=1, depth=DEPTH)
        ago = Signal(6)
        m.d.sync += ago.eq(Mux(self.since.all(), self.since, self.since + 1))
        lasts = self.since <= EventQueue.ROOM_LASTS
        m.d.comb += [
            queue.sources[0].valid.eq(self.reports),
            queue.head.acknowledge.eq(self.acknowledge),
            queue.head.acknowledged.eq(self.acknowledged),
            queue.head.delivered.eq(self.delivered),
            self.since.eq(Mux(queue.room, 0, ago)),
            self.pending.eq(queue.pending),
            self.room.eq(queue.room),
            self.lost.eq(queue.lost),
            self.assumed.eq(1),
            self.holds.eq(~lasts | ((queue.lost == 0) & (queue.pending <= ROOM + 1 + self.since))),
            self.seen.eq(~queue.room & (self.since == EventQueue.ROOM_LASTS) & (queue.pending > 0)),
        ]
        return m


PROPERTIES = (
    Property(
        name="kill-causes",
        component="control: kill",
        about="gate 2",
        claim="from the cycle after any cause on the card is killed and disarmed, gate 2 fails, "
        "and `kill_causes` names that cause, until the kill is cleared in a cycle without one; "
        "without a cause the card is not killed, and gate 2 passes",
        contract="none",
        size="all causes",
        cover="all causes at once, after an earlier kill was cleared",
        method=Method.INDUCTION,
        depth=1,
        reached=3,
        make=KillHarness,
    ),
    Property(
        name="alerts-kept",
        component="control: alerts",
        about="gate 1",
        claim="an alert is kept from the cycle after it began on, until it is acknowledged in a "
        "cycle in which it does not begin again",
        contract="none",
        size="all alerts",
        cover="all alerts are kept after one was acknowledged",
        method=Method.INDUCTION,
        depth=1,
        reached=3,
        make=AlertsHarness,
    ),
    Property(
        name="heartbeat-in-time",
        component="control: heartbeat",
        about="gate 3",
        claim="the gate passes exactly if, in the cycle before, the host was not asked, or a "
        "timeout was programmed and the whole milliseconds since the last right answer, or since "
        "the card was armed, were at most as many; else, with a timeout, the host is told to be "
        "silent; an answer is right exactly if it is the challenge inverted",
        contract="none",
        size="65,536 ms",
        cover="a wrong answer in time",
        method=Method.INDUCTION,
        depth=1,
        reached=2,
        make=HeartbeatHarness,
    ),
    Property(
        name="executions-counted",
        component="risk: executions",
        about="gate 27",
        claim="the gate passes exactly if, in the cycle before, executions since the strategy was "
        "enabled + 1 <= `account_max_executions`, and it was not latched off; it is from the cycle "
        "after there were as many on, until it is enabled anew",
        contract="none",
        size="32 bits",
        cover="it is latched off while more is allowed",
        method=Method.INDUCTION,
        depth=1,
        reached=2,
        make=ExecutionsHarness,
    ),
    Property(
        name="numbers-rise",
        component="order: manager",
        about="gate 20",
        claim="an order counts exactly if its user reference number is above all that have "
        "counted, and else is told to be reused; the gate passes exactly if, in the cycle before, "
        "the next number was above them all, below the end, and the highest + 1 or the first since "
        "the host gave others",
        contract="none",
        size="32 bits",
        cover="a number is reused after two have counted, while the next one may be used",
        method=Method.INDUCTION,
        depth=1,
        reached=2,
        make=NumbersHarness,
    ),
    Property(
        name="unanswered-capped",
        component="order: manager",
        about="gate 31",
        claim="the gate passes exactly if, in the cycle before, no order was overdue and orders "
        "sent less answered + 1 <= `session_unanswered.most`",
        contract="no answer without an order to answer, no order without a slot",
        size=f"{SLOTS} slots",
        cover="two orders are without an answer, none of them overdue, and no more may be",
        method=Method.INDUCTION,
        depth=1,
        reached=2,
        make=WatchHarness,
    ),
    Property(
        name="rejects-counted",
        component="order: manager",
        about="gate 32",
        claim="the card is told to be killed in the cycle after a reject exactly if the one "
        "`session_rejects.most` before it, itself if that is 0, is at most "
        "`session_rejects.window` older",
        contract="no start of day meanwhile",
        size="times of 32 bits",
        cover="a storm when three rejects are known",
        method=Method.INDUCTION,
        depth=1,
        reached=3,
        make=RejectsHarness,
    ),
    Property(
        name="audit-room-lasts",
        component="control: events",
        about="gate 35",
        claim=f"no event that is taken from its source within {EventQueue.ROOM_LASTS} cycles after "
        "the queue had room is lost, even if another one comes in each cycle; that of an order is "
        "taken within 4",
        contract="none",
        size=f"1 source, {DEPTH} events",
        cover="the queue has been without room for so long",
        method=Method.INDUCTION,
        depth=1,
        reached=30,
        make=RoomHarness,
    ),
)
