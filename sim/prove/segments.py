"""What is proved of the parts that keep the octets of a connection, and make frames of them.

Ref: RFC 9293, section 3.8.1 (retransmission).
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.utils import exact_log2

from tickgate.hdl.order.tcp.acceptance import Numbers
from tickgate.hdl.order.tcp.connection import Reset
from tickgate.hdl.order.tcp.dispatcher import Dispatcher
from tickgate.hdl.order.tcp.receive import OPTIONS_AT
from tickgate.hdl.order.tcp.recorder import Recorder
from tickgate.hdl.order.tcp.ring import Ring
from tickgate.hdl.order.tcp.staging import HostOctet, Staging
from tickgate.hdl.order.tcp.timer import LEARNING, RetransmissionTimer
from tickgate.hdl.order.tcp.types import Job, Wants
from tickgate.sim.prove.engine import Harness, Method, Property
from tickgate.sim.prove.opened import opened
from tickgate.spec.ethernet import FCS_SIZE

__all__ = ["PROPERTIES"]

WIDTH = 8
RING_SIZE = 16
LONGEST = 12
PACKET_SIZE = 4
DEPTH = 32


def in_lane(place: Value, first: Value, lane: int) -> Value:
    """Whether a word that begins at `first` has the place in this lane."""
    bits = exact_log2(RING_SIZE)
    return (first + lane)[:bits] == place[:bits]


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


class RingKeeps(Harness):
    """A ring, one octet of which is followed."""

    def __init__(self) -> None:
        places = range(RING_SIZE)
        super().__init__(
            {
                "write_at": places,
                "write_data": 8 * WIDTH,
                "write_mask": WIDTH,
                "read_at": places,
                "read_enable": 1,
                "place": places,
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        ring, bits = Ring(width=WIDTH, size=RING_SIZE), exact_log2(WIDTH)
        parts = opened(m, "ring", ring).submodules
        banks = [getattr(parts, f"bank_{bank}") for bank in range(WIDTH)]
        for name in ("write_at", "write_data", "write_mask", "read_at", "read_enable"):
            m.d.comb += getattr(ring, name).eq(getattr(self, name))
        kept, written, hit = Signal(8), Signal(), Signal()
        for lane in range(WIDTH):
            with m.If(self.write_mask[lane] & in_lane(self.place, self.write_at, lane)):
                m.d.comb += hit.eq(1)
                m.d.sync += [kept.eq(self.write_data.word_select(lane, 8)), written.eq(1)]
        asked = Cat(in_lane(self.place, self.read_at, lane) for lane in range(WIDTH))
        stages = [(asked & (written & ~hit).replicate(WIDTH), kept)]
        for _ in range(Ring.READ_LATENCY):
            later = Signal(WIDTH), Signal(8)
            with m.If(self.read_enable):
                m.d.sync += [later[0].eq(stages[-1][0]), later[1].eq(stages[-1][1])]
            stages.append(later)
        _, (fetched, first), (lanes, octet) = stages
        # What the banks have of it, now and in what they have just read.
        stored, read = Signal(8), Signal(8)
        with m.Switch(self.place[:bits]):
            for n, bank in enumerate(banks):
                port = bank.read_port(domain="comb")
                m.d.comb += port.addr.eq(self.place[bits:])
                with m.Case(n):
                    m.d.comb += [stored.eq(port.data), read.eq(bank.read_ports[0].data)]
        m.d.comb += [
            self.assumed.eq(self.stays(m, self.place)),
            self.holds.eq(
                Cat(
                    ~written | (stored == kept),
                    ~fetched.any() | (read == first),
                    *(
                        ~fetched[lane] | ((lane + ring._lane)[:bits] == self.place[:bits])
                        for lane in range(WIDTH)
                    ),
                    *(
                        ~lanes[lane] | (ring.data.word_select(lane, 8) == octet)
                        for lane in range(WIDTH)
                    ),
                ).all()
            ),
            self.seen.eq(lanes[WIDTH - 1] & octet.all()),
        ]
        return m


class OrderRecorded(Harness):
    """A recorder, and of the orders that pass the octet that belongs at one place of the ring."""

    def __init__(self) -> None:
        super().__init__(
            {
                "order": 1,
                "size": range(LONGEST + 1),
                "sequence": 32,
                "sent": 1,
                "data": 8 * WIDTH,
                "last": 1,
                "followed": range(RING_SIZE),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        recorder = Recorder(width=WIDTH, ring_size=RING_SIZE, longest=LONGEST)
        opened(m, "recorder", recorder)
        m.d.comb += [
            recorder.order.eq(self.order),
            recorder.size.eq(self.size),
            recorder.sequence.eq(self.sequence),
            recorder.sent.valid.eq(self.sent),
            recorder.sent.payload.data.eq(self.data),
            recorder.sent.payload.last.eq(self.last),
        ]
        # Where in the frame the next word begins, and where the octet is.
        kept_at, kept_place, leaving = Signal(8), Signal(8), Signal()
        at, offset, place = Signal(8), Signal(range(RING_SIZE)), Signal(8)
        size = Signal.like(self.size)
        m.d.comb += [
            offset.eq(self.followed - self.sequence),
            at.eq(Mux(self.order, 0, kept_at)),
            place.eq(
                Mux(self.order, Mux(offset < self.size, OPTIONS_AT + offset, 0xFF), kept_place)
            ),
        ]
        m.d.sync += kept_place.eq(place)
        with m.If(self.order):
            m.d.sync += [leaving.eq(1), size.eq(self.size), kept_at.eq(0)]
        with m.If(self.sent):
            m.d.sync += kept_at.eq(at + WIDTH)
            with m.If(self.last):
                m.d.sync += leaving.eq(0)
        passes, octet, hit, found = Signal(), Signal(8), Signal(), Signal(8)
        inside = (place >= at) & (place - at < WIDTH) & (place != 0xFF)
        m.d.sync += [
            passes.eq(self.sent & inside),
            octet.eq(self.data.word_select((place - at)[:3], 8)),
        ]
        for lane in range(WIDTH):
            with m.If(recorder.mask[lane] & in_lane(self.followed, recorder.at, lane)):
                m.d.comb += [hit.eq(1), found.eq(recorder.data.word_select(lane, 8))]
        next_at, until_start, until_stop = recorder._ahead
        begins = Signal(range(RING_SIZE))
        m.d.comb += begins.eq(next_at - kept_at + OPTIONS_AT)
        of_followed, stop = Signal(range(RING_SIZE)), Signal(8)
        m.d.comb += [of_followed.eq(self.followed - begins), stop.eq(OPTIONS_AT + size)]
        on_the_way = [
            (size != 0) & (size <= LONGEST),
            kept_at < stop + FCS_SIZE,
            until_start == Mux(kept_at < OPTIONS_AT, OPTIONS_AT - kept_at, 0),
            until_stop == Mux(kept_at < stop, stop - kept_at, 0),
            kept_place == Mux(of_followed < size, OPTIONS_AT + of_followed, 0xFF),
        ]
        whole = at + WIDTH >= OPTIONS_AT + Mux(self.order, self.size, size) + FCS_SIZE
        m.d.comb += [
            self.assumed.eq(
                Cat(
                    self.stays(m, self.followed),
                    (self.size != 0) & (self.size <= LONGEST),
                    ~self.order | ~leaving,
                    ~self.sent | self.order | leaving,
                    self.last == (self.sent & whole),
                ).all()
            ),
            self.holds.eq(
                Cat(hit == passes, ~hit | (found == octet), ~leaving | Cat(on_the_way).all()).all()
            ),
            self.seen.eq(hit & self.order),
        ]
        return m


class PacketMoved(Harness):
    """A staging, and one octet of each packet, the one with the number `index`."""

    def __init__(self) -> None:
        super().__init__(
            {
                "valid": 1,
                "octet": HostOctet,
                "discard": 1,
                "fresh": 1,
                "move": 1,
                "sequence": 32,
                "index": range(PACKET_SIZE),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        staging = Staging(size=PACKET_SIZE, ring_size=RING_SIZE)
        kept = opened(m, "staging", staging).submodules.kept.read_port(domain="comb")
        m.d.comb += kept.addr.eq(self.index)
        m.d.comb += [
            staging.octets.valid.eq(self.valid),
            staging.octets.payload.eq(self.octet),
            staging.discard.eq(self.discard),
            staging.fresh.eq(self.fresh),
            staging.move.eq(self.move),
            staging.sequence.eq(self.sequence),
        ]
        taken, count, octet = Signal(), Signal(range(PACKET_SIZE + 1)), Signal(8)
        skipping, inside, whole = Signal(), Signal(), Signal()
        moving, moved, first = Signal(), Signal(range(PACKET_SIZE + 1)), Signal(32)
        m.d.comb += taken.eq(staging.octets.valid & staging.octets.ready)
        with m.If(taken):
            m.d.sync += inside.eq(~self.octet.last)
            with m.If(skipping):
                m.d.sync += skipping.eq(~self.octet.last)
            with m.Else():
                m.d.sync += [
                    count.eq(count + 1),
                    whole.eq(self.octet.last | (count == PACKET_SIZE - 1)),
                ]
                with m.If(count == self.index):
                    m.d.sync += octet.eq(self.octet.data)
        with m.If(self.discard & ~moving):
            m.d.sync += count.eq(0)
        with m.If(self.discard):
            m.d.sync += [skipping.eq(Mux(taken, ~self.octet.last, inside)), whole.eq(0)]
        with m.If(self.fresh):
            m.d.sync += [inside.eq(0), skipping.eq(0)]
        with m.If(self.move):
            m.d.sync += [whole.eq(0), moving.eq(1), moved.eq(0), first.eq(self.sequence)]
        with m.If(moving):
            m.d.sync += moved.eq(moved + 1)
            with m.If(moved + 1 == count):
                m.d.sync += [moving.eq(0), count.eq(0)]
        place = (first + moved)[: exact_log2(RING_SIZE)]
        m.d.comb += [
            self.assumed.eq(
                Cat(
                    self.stays(m, self.index),
                    ~self.move | (staging.available & ~self.discard),
                ).all()
            ),
            self.holds.eq(
                Cat(
                    staging.moving == moving,
                    staging.length == count,
                    staging.mask == moving,
                    staging.available == whole,
                    ~moving | (staging._within[0] == moved),
                    staging._within[1] == inside,
                    staging._within[2] == skipping,
                    ~moving | (moved < count),
                    ~whole | (count.any() & ~moving),
                    count < PACKET_SIZE + (whole | moving),
                    (count <= self.index) | (kept.data == octet),
                    ~moving | (staging.at == place),
                    ~moving | (moved != self.index) | (staging.data == octet),
                ).all()
            ),
            self.seen.eq(moving & (moved == PACKET_SIZE - 1) & (self.index == moved)),
        ]
        return m


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
        name="ring-keeps",
        component="order: ring",
        claim="what is read at any place is the octet that was last written there, in whichever "
        "lane it was written and is read",
        contract="none; where a place was never written, or is written as it is read, nothing is "
        "claimed of it",
        size=f"{RING_SIZE} octets, {WIDTH} a cycle",
        cover="an octet of ones is read in the last lane",
        method=Method.INDUCTION,
        depth=1,
        reached=3,
        make=RingKeeps,
        quick=False,
    ),
    Property(
        name="order-recorded",
        component="order: recorder",
        claim="each octet of the payload of an order is written, once, at the place of its "
        "sequence number, in the cycle after it has passed; nothing else is",
        contract=f"frames of orders without TCP options, of 1 to {LONGEST} octets of payload, one "
        "after the other, with pauses anywhere",
        size=f"ring of {RING_SIZE} octets, {WIDTH} a cycle, numbers in full width",
        cover="an octet is written as the next order begins",
        method=Method.INDUCTION,
        depth=1,
        reached=8,
        make=OrderRecorded,
        quick=False,
    ),
    Property(
        name="packet-moved",
        component="order: staging",
        claim="each octet of a packet of the host, or of a piece of it, is written once, in order, "
        "at the place of its sequence number; what was begun before the connection, or is "
        "discarded, is not",
        contract="`move` comes when there is something to be moved, and not with `discard`",
        size=f"packets of {PACKET_SIZE} octets at once, ring of {RING_SIZE}",
        cover="the last octet of the longest piece is written",
        method=Method.INDUCTION,
        depth=1,
        reached=8,
        make=PacketMoved,
        quick=False,
    ),
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
