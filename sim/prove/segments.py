"""What is proved of the parts that keep the octets of a connection, and make frames of them.

Ref: RFC 9293, section 3.8.1 (retransmission).
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.utils import exact_log2

from tickgate.hdl.order.tcp.acceptance import Numbers
from tickgate.hdl.order.tcp.connection import Reset
from tickgate.hdl.order.tcp.dispatcher import Dispatcher
from tickgate.hdl.order.tcp.receive import OPTIONS_AT, TCP_AT
from tickgate.hdl.order.tcp.recorder import Recorder
from tickgate.hdl.order.tcp.ring import Ring
from tickgate.hdl.order.tcp.sender import MSS_OPTION_SIZE, SHORTEST, Sender
from tickgate.hdl.order.tcp.staging import HostOctet, Staging
from tickgate.hdl.order.tcp.timer import LEARNING, RetransmissionTimer
from tickgate.hdl.order.tcp.types import Job, Wants
from tickgate.sim.prove.engine import Harness, Method, Property
from tickgate.spec.ethernet import FCS_SIZE, TCP

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
        m.submodules.ring = ring = Ring(width=WIDTH, size=RING_SIZE)
        for name in ("write_at", "write_data", "write_mask", "read_at", "read_enable"):
            m.d.comb += getattr(ring, name).eq(getattr(self, name))
        kept, written, hit = Signal(8), Signal(), Signal()
        for lane in range(WIDTH):
            with m.If(self.write_mask[lane] & in_lane(self.place, self.write_at, lane)):
                m.d.comb += hit.eq(1)
                m.d.sync += [kept.eq(self.write_data.word_select(lane, 8)), written.eq(1)]
        asked = Cat(in_lane(self.place, self.read_at, lane) for lane in range(WIDTH))
        lanes, octet = asked & (written & ~hit).replicate(WIDTH), kept
        for _ in range(Ring.READ_LATENCY):
            later_lanes, later_octet = Signal(WIDTH), Signal(8)
            with m.If(self.read_enable):
                m.d.sync += [later_lanes.eq(lanes), later_octet.eq(octet)]
            lanes, octet = later_lanes, later_octet
        m.d.comb += [
            self.assumed.eq(self.stays(m, self.place)),
            self.holds.eq(
                Cat(
                    ~lanes[lane] | (ring.data.word_select(lane, 8) == octet)
                    for lane in range(WIDTH)
                ).all()
            ),
            self.seen.eq(lanes[WIDTH - 1] & octet.all()),
        ]
        return m


class OrderRecorded(Harness):
    """A recorder, and one octet of the orders that pass."""

    def __init__(self) -> None:
        super().__init__(
            {
                "order": 1,
                "size": range(LONGEST + 1),
                "sequence": 32,
                "sent": 1,
                "data": 8 * WIDTH,
                "last": 1,
                "followed": 32,
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.recorder = recorder = Recorder(
            width=WIDTH, ring_size=RING_SIZE, longest=LONGEST
        )
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
        at, offset, place, size = Signal(8), Signal(32), Signal(8), Signal.like(self.size)
        m.d.comb += [
            offset.eq(self.followed - self.sequence),
            at.eq(Mux(self.order, 0, kept_at)),
            place.eq(Mux(self.order, Mux(offset < self.size, OPTIONS_AT + offset, ~0), kept_place)),
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
        followed = Signal.like(self.followed)
        m.d.comb += followed.eq(self.followed)
        for lane in range(WIDTH):
            with m.If(recorder.mask[lane] & in_lane(followed, recorder.at, lane)):
                m.d.comb += [hit.eq(1), found.eq(recorder.data.word_select(lane, 8))]
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
            self.holds.eq((hit == passes) & (~hit | (found == octet))),
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
                "move": 1,
                "sequence": 32,
                "index": range(PACKET_SIZE),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.staging = staging = Staging(size=PACKET_SIZE, ring_size=RING_SIZE)
        m.d.comb += [
            staging.octets.valid.eq(self.valid),
            staging.octets.payload.eq(self.octet),
            staging.discard.eq(self.discard),
            staging.move.eq(self.move),
            staging.sequence.eq(self.sequence),
        ]
        taken, count, octet = Signal(), Signal(range(PACKET_SIZE + 1)), Signal(8)
        skipping, inside = Signal(), Signal()
        moving, moved, first = Signal(), Signal(range(PACKET_SIZE + 1)), Signal(32)
        m.d.comb += taken.eq(staging.octets.valid & staging.octets.ready)
        with m.If(taken):
            m.d.sync += inside.eq(~self.octet.last)
            with m.If(skipping):
                m.d.sync += skipping.eq(~self.octet.last)
            with m.Else():
                m.d.sync += count.eq(count + 1)
                with m.If(count == self.index):
                    m.d.sync += octet.eq(self.octet.data)
        with m.If(self.discard & ~moving):
            m.d.sync += count.eq(0)
        with m.If(self.discard):
            m.d.sync += skipping.eq(Mux(taken, ~self.octet.last, inside))
        with m.If(self.move):
            m.d.sync += [moving.eq(1), moved.eq(0), first.eq(self.sequence)]
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
                    ~moving | (staging.at == place),
                    ~moving | (moved != self.index) | (staging.data == octet),
                ).all()
            ),
            self.seen.eq(moving & (moved == PACKET_SIZE - 1) & (self.index == moved)),
        ]
        return m


class FrameOfTheRing(Harness):
    """A sender, and a ring in one place of which there is `octet`; all else in it is free.

    Parameters
    ----------
    within : int
        Cycles that a job takes in which the frame is taken.
    """

    def __init__(self, within: int) -> None:
        self._within = within
        super().__init__(
            {
                "valid": 1,
                "job": Job,
                "ready": 1,
                "read_data": 8 * WIDTH,
                "followed": 32,
                "octet": 8,
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.sender = sender = Sender(
            width=WIDTH, ring_size=RING_SIZE, window=LONGEST, mss=LONGEST
        )
        job, out = self.job, sender.octets
        m.d.comb += [
            sender.jobs.valid.eq(self.valid),
            sender.jobs.payload.eq(job),
            sender.read_data.eq(self.read_data),
            out.ready.eq(self.ready),
        ]
        kept = self._ring(m, sender)
        busy, before = Signal(), Signal.like(self.job)
        m.d.sync += [busy.eq(self.valid & ~sender.jobs.ready), before.eq(job)]

        at, sent, took = Signal(8), Signal(), Signal(range(self._within + 2))
        m.d.comb += sent.eq(out.valid & out.ready)
        with m.If(sent):
            m.d.sync += at.eq(Mux(out.payload.last, 0, at + WIDTH))
        with m.If(~self.valid | sender.jobs.ready):
            m.d.sync += took.eq(0)
        with m.Elif(self.ready & (took <= self._within)):
            m.d.sync += took.eq(took + 1)
        payload = Mux(job.mss, MSS_OPTION_SIZE, job.length)
        end, size = Signal(8), Signal(8)
        m.d.comb += [
            end.eq(OPTIONS_AT + payload),
            size.eq(Mux(end < SHORTEST, SHORTEST, end) + FCS_SIZE),
        ]
        right = [
            ~out.valid | self.valid,
            ~out.valid | (out.payload.first == (at == 0)),
            ~out.valid | (out.payload.last == (at + WIDTH >= size)),
            ~out.valid | ~out.payload.last | (out.payload.count == (size - at)[:4]),
            sender.jobs.ready == (sent & out.payload.last),
            took <= self._within,
        ]
        seen = Signal()
        header = {
            TCP_AT + TCP.offset("sequence"): job.sequence,
            TCP_AT + TCP.offset("acknowledgement"): job.acknowledgement,
        }
        expected = {
            first + n: value.word_select(3 - n, 8)
            for first, value in header.items()
            for n in range(4)
        }
        expected[TCP_AT + TCP.offset("flags")] = job.flags
        for place, value in expected.items():
            word, lane = divmod(place, WIDTH)
            here = out.valid & (at == word * WIDTH)
            right.append(~here | (out.payload.data.word_select(lane, 8) == value))
        for n in range(LONGEST):
            word, lane = divmod(OPTIONS_AT + n, WIDTH)
            here = Signal(name=f"here_{n}")
            m.d.comb += here.eq(
                out.valid
                & (at == word * WIDTH)
                & (n < job.length)
                & (self.followed == (job.sequence + n)[:32])
            )
            right.append(~here | (out.payload.data.word_select(lane, 8) == self.octet))
            with m.If(here):
                m.d.comb += seen.eq(n == LONGEST - 1)
        m.d.comb += [
            self.assumed.eq(
                Cat(
                    self.stays(m, Cat(self.followed, self.octet)),
                    ~busy | (self.valid & (before.as_value() == job.as_value())),
                    job.length <= Mux(job.mss, 0, LONGEST),
                    kept,
                ).all()
            ),
            self.holds.eq(Cat(right).all()),
            self.seen.eq(seen),
        ]
        return m

    def _ring(self, m: Module, sender) -> Value:
        """What a ring reads: returns whether it is right."""
        asked = Cat(in_lane(self.followed, sender.read_at, lane) for lane in range(WIDTH))
        begun, before = Signal(), Signal.like(self.read_data)
        for _ in range(Ring.READ_LATENCY):
            later = Signal(WIDTH)
            with m.If(sender.read_enable):
                m.d.sync += later.eq(asked)
            asked = later
        enabled = Signal()
        m.d.sync += [before.eq(self.read_data), enabled.eq(sender.read_enable), begun.eq(1)]
        octets = [self.read_data.word_select(lane, 8) for lane in range(WIDTH)]
        right = [~asked[lane] | (octets[lane] == self.octet) for lane in range(WIDTH)]
        return Cat(*right, ~begun | enabled | (self.read_data == before)).all()


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
