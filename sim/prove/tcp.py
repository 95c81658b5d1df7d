"""What is proved of the TCP client: the numbers that it sends and acknowledges, and its ways out.

Ref: RFC 9293, sections 3.3.2 and 3.10.7.
"""

from functools import partial

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from tickgate.hdl.order.tcp.client import TcpClient
from tickgate.hdl.order.tcp.connection import Connection
from tickgate.hdl.order.tcp.staging import HostOctet
from tickgate.hdl.order.tcp.types import Segment, State, Wants
from tickgate.sim.prove.engine import Harness, Method, Property
from tickgate.sim.prove.opened import emptied, inside, opened
from tickgate.sim.prove.segments import leads

__all__ = ["PROPERTIES"]

WIDTH = 8
NOTICE = 1
RING_SIZE = 64
LARGEST_ORDER = 3
PACKET_SIZE = 4
WINDOW = 16

SHORTEST_FRAME = 4
"""Cycles that an order takes to leave at least; 64 octets take more."""

CLOSED_FOR = 4 + NOTICE
"""Cycles after which no order leaves on a connection that has ended."""

SENDING = (State.SYN_SENT, State.ESTABLISHED, State.CLOSE_WAIT)
"""States in which more than one segment may have to be sent before the next one."""

LATE = 3
"""Cycles that it takes to see that something is on its way."""

FIRST = (1 << 32) - 4
"""A sequence number: a few octets later it begins at 0 again."""

LONGEST_SESSION = 1 << 31
"""Octets from the peer in a session, at most."""

OPENING_WANTS = 0b11
"""RST and SYN."""

LEARNING = 3
"""Ticks that a timer may take longer: its restart takes some cycles, and one is under way."""

SETTLED = 2
"""A segment is told so many cycles before it arrives."""


FREE = {
    "connect": 1,
    "close": 1,
    "abort": 1,
    "isn": 32,
    "tick": 1,
    "arrives": 1,
    "segment": Segment,
    "spoiled": 1,
    "mss_read": 1,
    "mss_found": 1,
    "mss": 16,
    "order": 1,
    "order_size": range(LARGEST_ORDER + 1),
    "order_ends": 1,
    "host": 1,
    "host_octet": HostOctet,
    "cancel": 1,
    "cancel_octet": HostOctet,
    "port": 1,
    "leaves": 1,
}
TIMING = {
    "rto_initial": 1,
    "rto_min": 1,
    "rto_max": 2,
    "retries": 1,
    "ack_delay": 1,
    "linger": 1,
    "challenge_interval": 1,
}


class Client(Harness):
    """A TCP client between free neighbours: any segments, orders, packets and commands.

    Its receive side, its sender and its ring are taken out: `segment` is any sound one, a job takes
    any time, and of the ring one octet is followed, that with the number `followed`.
    """

    def __init__(self, **more) -> None:
        super().__init__(
            {**FREE, **more},
            {
                "state": State,
                "una": 32,
                "nxt": 32,
                "received": 32,
                "picked": Wants,
                "running": 1,
                "may": 1,
                "job": 1,
                "clauses": 16,
            },
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        self.client = client = TcpClient(
            width=WIDTH,
            largest_order=LARGEST_ORDER,
            ring_size=RING_SIZE,
            packet_size=PACKET_SIZE,
            window=WINDOW,
            mss=WINDOW,
            longest_segment=RING_SIZE,
            notice=NOTICE,
        )
        self.opened = opened(m, "client", client)
        self.parts = parts = self.opened.submodules
        for part in (parts.receive, parts.sender, parts.ring, parts.recorder, parts.options):
            emptied(part)
        self.connection = inside(self.opened, "connection")
        self.jobs = parts.sender.jobs
        for name in ("connect", "close", "abort", "isn", "tick", "spoiled", "order", "port"):
            m.d.comb += getattr(client, name).eq(getattr(self, name))
        m.d.comb += [
            *(client.timing[name].eq(value) for name, value in TIMING.items()),
            client.order_size.eq(self.order_size),
            client.host.valid.eq(self.host),
            client.host.payload.eq(self.host_octet),
            client.cancels.valid.eq(self.cancel),
            client.cancels.payload.eq(self.cancel_octet),
            client.tx.ready.eq(1),
            parts.receive.arrives.eq(self.arrives),
            parts.receive.segment.eq(self.segment),
            parts.options.done.eq(self.mss_read),
            parts.options.found.eq(self.mss_found),
            parts.options.mss.eq(self.mss),
            self.jobs.ready.eq(self.leaves),
            self.state.eq(client.state),
            self.may.eq(client.may_order),
            self.una.eq(parts.connection.numbers.una),
            self.nxt.eq(parts.connection.numbers.nxt),
            self.received.eq(parts.connection.numbers.received),
            self.picked.eq(parts.dispatcher.picked),
            self.running.eq(self.connection.submodules.timer.running),
            self.job.eq(self.jobs.valid),
        ]
        self.stagings = parts.staging, parts.cancels
        self.moving = parts.staging.moving | parts.cancels.moving
        self.open = self.among(State.ESTABLISHED, State.CLOSE_WAIT)
        contract = [
            *self._order(m),
            *self._peer(m),
            *self._command(m),
            self._cancels(m),
            leads(m, parts.dispatcher, notice=NOTICE),
            ~self.leaves | self.jobs.valid,
        ]
        holds, seen = self.claim(m, contract)
        m.d.comb += [
            self.assumed.eq(Cat(contract).all()),
            self.clauses.eq(Cat(holds)),
            self.holds.eq(Cat(holds).all()),
            self.seen.eq(seen),
        ]
        return m

    def claim(self, m: Module, contract: list[Value]) -> tuple[list[Value], Value]:
        """Returns what holds, all of it, and what the cover is; may add to the contract.

        Here: what is on its way has the retransmission timer running.
        """
        return self.timed(m), self.running & self.open

    def _order(self, m: Module) -> list[Value]:
        """Orders begin only when they may, one after the other, and take their time."""
        client, might = self.client, Signal(NOTICE)
        took = Signal(range(SHORTEST_FRAME + 1))
        self.ordering, self.recording = Signal(), Signal()
        m.d.sync += might.eq(Cat(client.may_order, might))
        ends = self.ordering & self.order_ends & (took == SHORTEST_FRAME)
        with m.If(self.order):
            m.d.sync += [self.ordering.eq(1), took.eq(1)]
        with m.Elif(ends):
            m.d.sync += self.ordering.eq(0)
        with m.Elif(took != SHORTEST_FRAME):
            m.d.sync += took.eq(took + 1)
        # What passes in the last cycle is written in the next one.
        m.d.sync += self.recording.eq(ends)
        m.d.comb += [
            client.orders.valid.eq(self.order | self.ordering),
            client.orders.payload.last.eq(ends),
        ]
        return [
            ~self.order | ((client.may_order | might.any()) & ~self.ordering),
            (self.order_size != 0) & (self.order_size <= LARGEST_ORDER),
        ]

    def _peer(self, m: Module) -> list[Value]:
        """Segments come some cycles apart, and are told before they arrive."""
        since = Signal(range(Connection.SPACING), init=Connection.SPACING - 1)
        told = Signal(range(SETTLED + 1), init=SETTLED)
        before = Signal.like(self.segment)
        m.d.sync += before.eq(self.segment)
        same = before.as_value() == self.segment.as_value()
        stays = Signal(range(SETTLED + 1))
        m.d.comb += stays.eq(Mux(same, Mux(told == SETTLED, told, told + 1), 0))
        m.d.sync += told.eq(stays)
        with m.If(self.arrives):
            m.d.sync += since.eq(0)
        with m.Elif(since != Connection.SPACING - 1):
            m.d.sync += since.eq(since + 1)
        return [~self.arrives | ((since == Connection.SPACING - 1) & (stays == SETTLED))]

    def _cancels(self, m: Module) -> Value:
        """Cancels are packets that are not too long."""
        octets = Signal(range(PACKET_SIZE))
        taken = self.client.cancels.valid & self.client.cancels.ready
        with m.If(taken):
            m.d.sync += octets.eq(Mux(self.cancel_octet.last, 0, octets + 1))
        with m.If(self.among(State.OPENING)):
            m.d.sync += octets.eq(0)
        return self.cancel_octet.last | (octets != PACKET_SIZE - 1)

    def _command(self, m: Module) -> list[Value]:
        """A connection is opened when that before has long been closed."""
        closed = Signal(range(CLOSED_FOR + 1), init=CLOSED_FOR)
        with m.If(self.client.state != State.CLOSED):
            m.d.sync += closed.eq(0)
        with m.Elif(closed != CLOSED_FOR):
            m.d.sync += closed.eq(closed + 1)
        return [~self.connect | (closed == CLOSED_FOR)]

    def flag(self, flag: int) -> Value:
        """Whether the segment that arrives has it."""
        return (self.segment.flags & flag).any()

    def says(self, flag: int) -> Value:
        """Whether the segment that leaves has it."""
        return (self.jobs.payload.flags & flag).any()

    def among(self, *states: State) -> Value:
        """Whether the connection is in one of these states."""
        return Cat(self.client.state == each for each in states).any()

    def timed(self, m: Module) -> list[Value]:
        """What is on its way has the timer running, some cycles later; as must a FIN."""
        connection = self.parts.connection
        numbers = connection.numbers
        waiting = [(each, each.available | each.moving) for each in self.stagings]
        closes = Signal()
        closing = self.among(State.CLOSE_WAIT) | (self.among(State.ESTABLISHED) & closes)
        with m.If(self.close & self.among(State.ESTABLISHED)):
            m.d.sync += closes.eq(1)
        with m.If(self.among(State.OPENING)):
            m.d.sync += closes.eq(0)
        self.closing = closing
        late, flight = Signal(range(LATE + 2)), (numbers.nxt - numbers.una)[:32]
        under_way = flight.any()
        opens = self.among(State.OPENING, State.SYN_SENT)
        unanswered = self.among(State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)
        sent = unanswered | self.among(State.FIN_WAIT_2, State.TIME_WAIT)
        with m.If(opens | self.among(State.CLOSED) | ~under_way | self.running):
            m.d.sync += late.eq(0)
        with m.Elif(late <= LATE):
            m.d.sync += late.eq(late + 1)
        return [
            late <= LATE,
            opens | self.among(State.CLOSED) | (flight <= RING_SIZE + connection.fin_sent),
            ~self.among(State.SYN_SENT) | connection.wants.syn | self.running,
            under_way | ~unanswered,
            ~opens | (numbers.nxt == (numbers.una + 1)[:32]),
            ~opens | ~self.client.may_order,
            ~sent | (connection.fin_sent & ~self.client.may_order),
            self.parts.dispatcher.order_busy == self.ordering,
            ~(opens | self.open) | ~connection.fin_sent,
            *(~waits | each.length.any() for each, waits in waiting),
            *(each.length < PACKET_SIZE + waits for each, waits in waiting),
            ~closing | connection._closing,
            ~self.among(State.SYN_SENT) | ~closes,
        ]

    def of_before(self, m: Module) -> Value:
        """The job that is under way was made for the connection before."""
        before = Signal()
        with m.If(~self.client.holds):
            m.d.sync += before.eq(0)
        with m.Elif(self.client.state == State.OPENING):
            m.d.sync += before.eq(1)
        return before


class Way(Client):
    """Counts how long the connection stays in `left`, when nothing comes any more but ticks.

    Parameters
    ----------
    left : State
    within : int
        Cycles.
    """

    def __init__(self, left: State, within: int) -> None:
        self._left, self._within = left, within
        super().__init__(alone=1)

    def claim(self, m: Module, contract: list[Value]) -> tuple[list[Value], Value]:
        client, alone = self.client, self.alone
        # No packet is there in part: neither of it sent nor of it kept.
        host, _ = self.stagings
        whole = Cat(
            ~client._divided | host.available | host.moving,
            *(~each.length.any() | each.available | each.moving for each in self.stagings),
        ).all()
        commands = (self.connect, self.close, self.abort)
        events = (self.arrives, self.order, self.host, self.cancel, *commands)
        contract += [
            ~alone
            | (
                ~Cat(events).any()
                & whole
                & self.tick
                & self.port
                & (self.order_ends | ~self.ordering)
                & (self.leaves == self.jobs.valid)
            ),
        ]
        contract += [*self.timed(m), *self._clocks(m)]
        stays, before = Signal(range(self._within + 2)), Signal()
        here = alone & (client.state == self._left)
        m.d.sync += before.eq(here)
        opens = self.among(State.SYN_SENT)
        if self._left in SENDING:
            here &= (self.closing | opens) & ~self.picked.as_value().any()
        with m.If(~here):
            m.d.sync += stays.eq(0)
        with m.Elif(stays <= self._within):
            m.d.sync += stays.eq(stays + 1)
        return [stays <= self._within], before & (client.state != self._left)

    def _clocks(self, m: Module) -> list[Value]:
        """That the timers end, whatever they hold in the first cycle of a run from anywhere."""
        timer = self.connection.submodules.timer
        patience = self.connection.submodules.patience
        return [
            self._ends(m, timer.running, timer.expired | timer.restart, "rto_max", LEARNING),
            self._ends(m, patience.lingering, patience.ends | patience.linger, "linger"),
            self._ends(m, patience.blocked, patience.probe | patience.lost, "rto_max"),
        ]

    def _ends(self, m: Module, runs: Value, ends: Value, time: str, more: int = 1) -> Value:
        limit = TIMING[time] + more
        ticks = Signal(range(limit + 2))
        with m.If(ends | ~runs):
            m.d.sync += ticks.eq(0)
        with m.Elif(self.tick & (ticks <= limit)):
            m.d.sync += ticks.eq(ticks + 1)
        return ticks <= limit


NEIGHBOURS = (
    "segments come 4 cycles apart or more; an order begins when it may, at most a cycle late, and "
    "takes 4 cycles; `connect` comes 5 cycles after the end; jobs as in `dispatcher-leads`"
)
SIZE = (
    f"ring of {RING_SIZE} octets, orders of 1 to {LARGEST_ORDER}, packets of {PACKET_SIZE} at "
    "once, numbers in full width"
)
WAYS = {
    State.OPENING: (4, 5),
    State.SYN_SENT: (16, 13),
    State.FIN_WAIT_1: (16, 13),
    State.FIN_WAIT_2: (4, 14),
    State.CLOSING: (16, 13),
    State.TIME_WAIT: (4, 14),
    State.LAST_ACK: (16, 14),
    State.ESTABLISHED: (16, 10),
    State.CLOSE_WAIT: (16, 11),
}
"""Of each state, within how many cycles it is left, and when a run can show that first."""


def _way(state: State, within: int, reached: int) -> Property:
    name = state.name.lower().replace("_", "-")
    left = f"{name} is left within {within} cycles"
    if state in SENDING:
        left = f"within {within} cycles {name} is left, or a segment that is due leaves"
    told = ", which `close` was told in" if state is State.ESTABLISHED else ""
    return Property(
        name=f"way-out-{name}",
        component="order: TCP client",
        claim=f"when the peer says nothing any more, {left}",
        contract=f"each cycle a tick, the port free, a job done at once, an order's end, no packet "
        f"of the host in part{told}; timeouts of 1 and 2 ticks, 1 retry; `unacked-timed`; "
        + NEIGHBOURS,
        size=SIZE,
        cover="it is left",
        method=Method.INDUCTION,
        depth=within + 2,
        reached=reached,
        make=partial(Way, state, within),
        quick=False,
    )


PROPERTIES = (
    Property(
        name="unacked-timed",
        component="order: TCP client",
        claim=f"the retransmission timer runs while anything is not acknowledged, {LATE} cycles "
        "after it has left; a FIN is not acknowledged in the states that wait for that; no more is "
        "on its way than the ring holds",
        contract=NEIGHBOURS,
        size=SIZE,
        cover="the timer runs on an open connection",
        method=Method.INDUCTION,
        depth=9,
        reached=10,
        make=Client,
        quick=False,
    ),
    *(_way(state, *limits) for state, limits in WAYS.items()),
)
