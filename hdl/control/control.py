"""The host's side of the card: registers, parameters, events, time, and whether orders may leave.

Ref: docs/architecture.md, "Control"; tickgate.spec.registers; tickgate.spec.events.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from tickgate.hdl.control.account import AccountInForce
from tickgate.hdl.control.alerts import Alert, Alerts
from tickgate.hdl.control.arming import Arming
from tickgate.hdl.control.counters import CounterBank
from tickgate.hdl.control.events import MAX_SOURCES, Event, EventQueue
from tickgate.hdl.control.frames import FrameReceiver, FrameTransmitter
from tickgate.hdl.control.heartbeat import Heartbeat
from tickgate.hdl.control.kill import Causes, KillSources
from tickgate.hdl.control.parameters import READ_ERRORS, READERS, ParameterStore, reader_ports
from tickgate.hdl.control.registers import (
    RegisterBank,
    amounts_of,
    commands_of,
    ports_of,
    registers_of,
)
from tickgate.hdl.control.requests import RequestExecutor
from tickgate.hdl.control.time import Microsecond, NanosecondTime
from tickgate.hdl.guard import parity
from tickgate.spec.events import EventKind
from tickgate.spec.registers import (
    ACCOUNT_REGISTERS,
    BY_NAME,
    MAGIC,
    MAP_HASH,
    MAX_SYMBOLS,
    SHADOW_BASE,
    VERSION,
    Kind,
    build_hash,
)

__all__ = ["Control"]

OWN_SOURCES = 2
"""Events that are made here: a change of state, a commit."""


class Control(wiring.Component):
    """Answers the host and holds what it has set; never in the way of a message or an order.

    Latency: none of the data path. Throughput: one request at a time, at the speed of the line.

    The card is disarmed after reset. A request that arrives damaged is counted and not answered.
    Commands come one cycle long; each is checked before, so that `arm`, `symbol_write` and the
    rest need no check where they are used.

    Parameters
    ----------
    width, symbols, ticks, orders, locates : int
        Of the core: octets a cycle, tracked symbols, price levels, live orders, locate codes. Here
        they only fill registers and size the pages.
    event_depth : int
        Events in the queue.
    event_sources : int
        Stages that report events.
    clock_period_ps : int
        In ps.
    sessions : int
        Order sessions of the core.

    Members
    -------
    control_rx : In(stream.Signature(8)), control_tx : Out(stream.Signature(8))
        Octets from and to the host. `control_rx` is always ready.
    config : Out(wiring.Signature)
        `config.<register>` for each configuration register.
    account : Out(wiring.Signature)
        `account.<register>` for each configuration register that begins with `account_`: what the
        last commit found in it.
    command : Out(wiring.Signature)
        `command.<register>` for each command, a stream that cannot be stalled; the payload has
        the register's fields, or is the word.
    status : In(wiring.Signature)
        `status.<register>` for each status register that the core's stages make.
    count : In(wiring.Signature)
        `count.<register>` for each counter of the core's stages: the amount of this cycle.
    window, recovery, strategy, limits, name : Out(wiring.Signature)
        The parameters in force: `symbol` in, `data` out in the same cycle.
    errors : Out(data.StructLayout)
        Of `ParameterStore`.
    account_error : Out(1)
        A bit of `account` has flipped: from the cycle after on.
    events : In(stream.Signature(Event(symbols), always_ready=True)).array(event_sources)
        Lower sources go first.
    events_room : Out(1)
        At least 16 more events fit: gate 35.
    time : Out(64)
        In ns.
    microsecond : Out(1)
        Strobe: one has passed.
    armed, killed : Out(1)
    kill : In(Causes)
        The core's own reasons to kill; strobes are enough.
    kill_pin : In(1)
        Of whatever clock: 1 kills, if it is held for a few cycles.
    unkilled, host_alive : Out(1)
        Gates 2 and 3 pass.
    kill_causes : Out(Causes)
        Those that are kept.
    refitted : Out(1)
        Strobe: in the next cycle other names, ticks or windows are in force.
    movable : In(1)
        The window of the symbol that `recovery` reads may change while armed.
    alarm : In(Alert)
        What the core has to alert the host of; levels.
    tables_ready, regular_session, breach : In(1)
        Shown in `state`; the card cannot be armed before `tables_ready`.
    """

    def __init__(
        self,
        *,
        width: int,
        symbols: int,
        ticks: int,
        orders: int,
        locates: int,
        event_depth: int,
        clock_period_ps: int,
        sessions: int = 1,
        event_sources: int = 2,
    ) -> None:
        built = {
            "width": width,
            "symbols": symbols,
            "ticks": ticks,
            "orders": orders,
            "locates": locates,
            "event_depth": event_depth,
            "clock_period_ps": clock_period_ps,
            "sessions": sessions,
        }
        for name, value in built.items():
            least = int(name != "sessions")
            if not least <= value < 1 << 32:
                raise ValueError(f"{name} must be {least} to 2**32 - 1, not {value}")
        if symbols > MAX_SYMBOLS:
            raise ValueError(f"symbols must be 1 to {MAX_SYMBOLS}, not {symbols}")
        if event_depth < 2:
            raise ValueError(f"event_depth must be at least 2 events, not {event_depth}")
        if not 1 <= event_sources <= MAX_SOURCES - OWN_SOURCES:
            raise ValueError(
                f"event_sources must be 1 to {MAX_SOURCES - OWN_SOURCES}, not {event_sources}"
            )
        self._built, self._sources = built, event_sources
        event = stream.Signature(Event(symbols), always_ready=True)
        super().__init__(
            {
                "control_rx": In(stream.Signature(8)),
                "control_tx": Out(stream.Signature(8)),
                "config": Out(ports_of(registers_of(Kind.CONFIG))),
                "account": Out(ports_of(ACCOUNT_REGISTERS)),
                "command": Out(commands_of(registers_of(Kind.COMMAND))),
                "status": In(ports_of(registers_of(Kind.STATUS, inside=False))),
                "count": In(amounts_of(registers_of(Kind.COUNTER, inside=False))),
                **reader_ports(symbols),
                "errors": Out(READ_ERRORS),
                "account_error": Out(1),
                "events": In(event).array(event_sources),
                "events_room": Out(1),
                "time": Out(64),
                "microsecond": Out(1),
                "armed": Out(1),
                "killed": Out(1),
                "kill": In(Causes),
                "kill_pin": In(1),
                "unkilled": Out(1),
                "host_alive": Out(1),
                "kill_causes": Out(Causes),
                "refitted": Out(1),
                "movable": In(1),
                "alarm": In(Alert),
                "tables_ready": In(1),
                "regular_session": In(1),
                "breach": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        built = self._built
        identity = {
            "magic": MAGIC,
            "version": VERSION,
            "map_hash": MAP_HASH,
            "build_hash": build_hash(**built),
            **built,
        }
        m.submodules.bank = bank = RegisterBank(identity=identity)
        m.submodules.parameters = parameters = ParameterStore(symbols=built["symbols"])
        m.submodules.arming = arming = Arming()
        m.submodules.time = time = NanosecondTime(clock_period_ps=built["clock_period_ps"])
        m.submodules.microsecond = microsecond = Microsecond(
            clock_period_ps=built["clock_period_ps"]
        )
        m.submodules.queue = queue = EventQueue(
            symbols=built["symbols"],
            sources=self._sources + OWN_SOURCES,
            depth=built["event_depth"],
        )
        m.submodules.counters = counters = CounterBank()
        m.submodules.heartbeat = heartbeat = Heartbeat()
        wiring.connect(m, bank.config, wiring.flipped(self.config))
        wiring.connect(m, bank.command, wiring.flipped(self.command))
        for reader in READERS:
            wiring.connect(m, getattr(parameters, reader), wiring.flipped(getattr(self, reader)))
        self._serve(m, bank, parameters, queue, counters)
        self._guard(m, bank, parameters, arming)
        wiring.connect(m, bank.command.heartbeat_answer, heartbeat.answer)
        self._show(m, bank, parameters, queue)
        self._arm(m, bank, parameters, arming, identity)
        self._check_account(m, parameters)
        self._report(m, bank, parameters, queue)
        m.d.comb += [
            time.set.eq(bank.command.time_set.valid),
            time.start.eq(Cat(bank.config.time_low, bank.config.time_high)),
            self.time.eq(time.now),
            self.microsecond.eq(microsecond.strobe),
            self.events_room.eq(queue.room),
        ]
        return m

    def _check_account(self, m: Module, parameters) -> None:
        """What is in force has the parity that it had when it came into force."""
        expected, coming = Signal(), Signal(2)
        values = [
            Value.cast(getattr(self.account, register.name)) for register in ACCOUNT_REGISTERS
        ]
        odd = parity(m, Cat(values), name="account_odd")
        m.d.sync += coming.eq(Cat(parameters.committed, coming))
        with m.If(coming[1]):
            m.d.sync += expected.eq(odd)
        m.d.comb += self.account_error.eq((odd ^ expected) & ~coming[1])

    def _serve(self, m: Module, bank, parameters, queue, counters) -> None:
        m.submodules.receiver = receiver = FrameReceiver()
        m.submodules.transmitter = transmitter = FrameTransmitter()
        m.submodules.executor = executor = RequestExecutor()
        wiring.connect(m, wiring.flipped(self.control_rx), receiver.octets)
        wiring.connect(m, receiver.frame, executor.frame)
        wiring.connect(m, queue.head, executor.head)
        wiring.connect(m, executor.reply, transmitter.reply)
        wiring.connect(m, transmitter.octets, wiring.flipped(self.control_tx))
        # The host can wait a cycle; the address is the end of a sum.
        for part in bank, parameters:
            m.d.sync += [
                part.bus.valid.eq(executor.bus.valid),
                part.bus.access.eq(executor.bus.access),
            ]
        answers = executor.bus.access.address >= SHADOW_BASE
        for name in "status", "word":
            chosen = Mux(answers, getattr(parameters.bus, name), getattr(bank.bus, name))
            m.d.comb += getattr(executor.bus, name).eq(chosen)
        inside = {
            "events_lost": queue.lost,
            "serial_frames": executor.executed,
            "serial_crc_errors": receiver.crc_error,
            "serial_framing_errors": receiver.framing_error,
            "serial_overruns": receiver.overrun,
            "heartbeats": m.submodules.heartbeat.right,
            "heartbeats_wrong": m.submodules.heartbeat.wrong,
        }
        for register in registers_of(Kind.COUNTER):
            name = register.name
            source = inside[name] if register.inside else getattr(self.count, name)
            m.d.comb += getattr(counters.count, name).eq(source)
        m.d.comb += [
            counters.valid.eq(bank.bus.valid),
            counters.access.eq(bank.bus.access),
            bank.counter.eq(counters.value),
        ]

    def _guard(self, m: Module, bank, parameters, arming) -> None:
        command = bank.command
        m.submodules.kill_sources = sources = KillSources()
        pressed = Signal()
        m.submodules.kill_pin = FFSynchronizer(self.kill_pin, pressed)
        heartbeat = m.submodules.heartbeat
        own = {
            "host": command.kill.valid,
            "pin": pressed,
            "integrity": arming.corrupt,
            "host_heartbeat": heartbeat.silent & arming.armed,
        }
        m.d.comb += [
            *(
                sources.now[name].eq(self.kill[name] | own.get(name, 0))
                for name, _ in data.Layout.cast(Causes)
            ),
            sources.killed.eq(arming.killed),
            sources.clear.eq(command.clear_kill.valid),
            self.unkilled.eq(sources.passes),
            heartbeat.microsecond.eq(self.microsecond),
            heartbeat.armed.eq(arming.armed),
            heartbeat.timeout.eq(bank.config.host_heartbeat.timeout),
            heartbeat.off.eq(bank.config.host_heartbeat.off),
            bank.values.heartbeat_challenge.eq(heartbeat.challenge),
            self.host_alive.eq(heartbeat.passes & ~self.kill_causes.host_heartbeat),
            bank.values.kill_causes.eq(sources.causes),
            self.kill_causes.eq(sources.causes),
            arming.arm.eq(command.arm.valid),
            arming.disarm.eq(command.disarm.valid),
            arming.kill.eq(sources.kill),
            arming.clear_kill.eq(command.clear_kill.valid),
            self.armed.eq(arming.armed),
            self.killed.eq(arming.killed),
            bank.armed.eq(arming.armed),
            bank.armable.eq(arming.armable),
            bank.committing.eq(~parameters.settled),
            parameters.armed.eq(arming.armed),
            self.refitted.eq(parameters.refitted),
            self.errors.eq(parameters.errors),
            parameters.movable.eq(self.movable),
            parameters.movable_symbol.eq(self.recovery.symbol),
            parameters.commit.eq(command.commit.valid),
            parameters.commit_checksum.eq(command.commit.payload),
            parameters.bank.eq(bank.config.page_bank),
        ]

    def _arm(self, m: Module, bank, parameters, arming, identity) -> None:
        """What it takes: the host has seen all alerts, and knows what it arms."""
        m.submodules.account = account = AccountInForce()
        m.submodules.alerts = alerts = Alerts()
        wiring.connect(m, bank.command.acknowledge, alerts.acknowledge)
        for register in ACCOUNT_REGISTERS:
            m.d.comb += [
                getattr(account.written, register.name).eq(getattr(bank.config, register.name)),
                getattr(self.account, register.name).eq(getattr(account.in_force, register.name)),
            ]
        config, known = bank.config, Signal()
        # Not in the way of a clock: the host has written them long before it arms.
        m.d.sync += known.eq(
            (config.arm_map_hash == identity["map_hash"])
            & (config.arm_build_hash == identity["build_hash"])
            & (config.arm_pages == parameters.checksum)
            & (config.arm_account == account.checksum)
        )
        m.d.comb += [
            account.take.eq(parameters.committed),
            alerts.now.eq(self.alarm.as_value() | Cat(arming.killed)),
            bank.values.alerts.eq(alerts.kept),
            bank.values.account_checksum.eq(account.checksum),
            arming.prepared.eq(
                Cat(
                    parameters.valid,
                    parameters.settled,
                    account.settled,
                    known,
                    ~alerts.kept.as_value().any(),
                    self.tables_ready,
                ).all()
            ),
        ]

    def _show(self, m: Module, bank, parameters, queue) -> None:
        state = bank.values.state
        m.d.comb += [
            state.armed.eq(self.armed),
            state.killed.eq(self.killed),
            state.config_valid.eq(parameters.valid),
            state.committing.eq(parameters.committing),
            state.commit_failed.eq(parameters.failed),
            state.tables_ready.eq(self.tables_ready & parameters.ready),
            state.regular_session.eq(self.regular_session),
            state.breach.eq(self.breach),
            state.commit_fixed.eq(parameters.fixed),
            bank.values.committed_checksum.eq(parameters.checksum),
            Cat(bank.values.time_now_low, bank.values.time_now_high).eq(self.time),
            bank.values.events_pending.eq(queue.pending),
        ]
        for register in registers_of(Kind.STATUS, inside=False):
            name = register.name
            m.d.comb += Value.cast(getattr(bank.values, name)).eq(getattr(self.status, name))

    def _report(self, m: Module, bank, parameters, queue) -> None:
        for n in range(self._sources):
            wiring.connect(m, wiring.flipped(self.events[n]), queue.sources[n])
        state = bank.values.state.as_value() & ~BY_NAME["state"].field("committing").mask
        # Its bits come from all over the card, and an event is in no hurry.
        now, before, committed = Signal.like(state), Signal.like(state), Signal()
        m.d.sync += [now.eq(state), before.eq(now), committed.eq(parameters.committed)]
        changed, settled = (queue.sources[self._sources + n] for n in range(OWN_SOURCES))
        m.d.comb += [
            changed.valid.eq(now != before),
            changed.payload.kind.eq(EventKind.STATE_CHANGED),
            changed.payload.detail.eq(now),
            settled.valid.eq(committed),
            settled.payload.kind.eq(EventKind.CONFIG_COMMITTED),
            settled.payload.detail.eq(parameters.checksum),
            queue.time.eq(self.time),
        ]
