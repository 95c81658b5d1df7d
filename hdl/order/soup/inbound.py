"""The venue's side of the session: from the payload of TCP segments to reports.

Ref: SoupBinTCP 3.00, sections 2 and 3; OUCH 5.0, section 3.
"""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.soup.aligner import Aligner, Chunk
from tickgate.hdl.order.soup.decoder import Decoder, RecordKind
from tickgate.hdl.order.soup.pending import Pending
from tickgate.hdl.stream import Report, Span, pipe, require_width
from tickgate.spec.soupbintcp import LOGIN_ACCEPTED

__all__ = ["Inbound", "Login"]

SHORTEST_PACKET = 3
SEQUENCE_DIGITS = LOGIN_ACCEPTED.field("sequence").size
SESSION_BITS = 8 * LOGIN_ACCEPTED.field("session").size


class Login(data.Struct):
    """What the venue has said of the login: neither of both before it has answered."""

    accepted: 1
    rejected: 1
    reason: 8
    ended: 1


class _Digits(wiring.Component):
    """Reads a number out of characters, spaces or zeros on the left.

    Latency: `LATENCY` cycles. Throughput: one number at a time.

    Members
    -------
    start : In(1), text : In(8 * SEQUENCE_DIGITS)
        The first character on top.
    busy : Out(1), value : Out(64), sound : Out(1)
        The value holds when no longer busy; there were digits, and nothing that may not be there.
    """

    LATENCY = SEQUENCE_DIGITS + 1

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "text": In(8 * SEQUENCE_DIGITS),
                "busy": Out(1),
                "value": Out(64),
                "sound": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        text, left = Signal.like(self.text), Signal(range(SEQUENCE_DIGITS + 1))
        digits, ended, wrong = Signal(), Signal(), Signal()
        octet = text[-8:]
        is_digit = (octet >= ord("0")) & (octet <= ord("9"))
        is_space = octet == ord(" ")
        m.d.comb += [self.busy.eq(left.any()), self.sound.eq(digits & ~wrong)]
        with m.If(self.start):
            m.d.sync += [
                text.eq(self.text),
                left.eq(SEQUENCE_DIGITS),
                self.value.eq(0),
                digits.eq(0),
                ended.eq(0),
                wrong.eq(0),
            ]
        with m.Elif(self.busy):
            m.d.sync += [text.eq(text << 8), left.eq(left - 1)]
            with m.If(is_digit):
                total = (self.value << 3) + (self.value << 1) + octet[:4]
                m.d.sync += [self.value.eq(total), digits.eq(1)]
                m.d.sync += wrong.eq(wrong | ended | total[64:].any())
            with m.Elif(is_space):
                m.d.sync += ended.eq(digits)
            with m.Else():
                m.d.sync += wrong.eq(1)
        return m


class Inbound(wiring.Component):
    """Reads the venue's packets as their octets pass, and tells of them when they are good.

    Latency: `LATENCY` cycle from `judged` to the first report of a segment, or, if that is later,
    from READ_LATENCY cycles after its last octet (which may end two rows), if nothing piles up;
    the following ones every SPACING cycles. After a Login Accepted LOGIN_LATENCY more cycles pass
    before the next. Throughput: a word a cycle for packets of more than a word; what piles up of
    shorter ones within a segment waits. A segment that comes before that is read is not taken.

    Octets that pass are read at once, since a fill may not wait; if their segment is void in the
    end, all becomes as it was before it.

    Parameters
    ----------
    width : int
        Octets a cycle.
    longest : int
        Most octets of a segment.

    Members
    -------
    payload : In(stream of Span), judged, take : In(1)
        Of `TcpClient`.
    spoiled : Out(1), busy : Out(1)
        This segment cannot be taken; the last one is still being read.
    restart : In(1)
        A new connection: forget all but the sequence.
    reports : Out(stream of Report), coming : Out(32)
        One for each Sequenced Data packet. What its user reference number would be if there is one
        in the next cycle; its sequence number is there in that cycle, too.
    login : Out(Login), session : Out(80)
        Of this connection; the name of the session, its first character on top.
    next_sequence : Out(64)
        Of the next Sequenced Data packet.
    heard : Out(1)
        The venue has sent something.
    lost : Out(1)
        The octets can no longer be read as packets, or a Login Accepted has no number that can
        be read, or is the second one, whose number does not count; the connection is of no use.
    debugs, unsequenced, unknown_packets, unfit_reports, unread : Out(1)
        Counter strobes: packets that are passed over, as such or because their type is not known
        or their length not that of their type; reports that do not fit; segments that came too
        soon.
    """

    COUNTERS = ("debugs", "unsequenced", "unknown_packets", "unfit_reports", "unread")
    LATENCY = Pending.LATENCY
    READ_LATENCY = Aligner.LATENCY + 1 + Decoder.LATENCY + 1
    LOGIN_LATENCY = _Digits.LATENCY + 2
    SPACING = Pending.SPACING

    def __init__(self, *, width: int, longest: int) -> None:
        require_width(width)
        self._width, self._longest = width, longest
        super().__init__(
            {
                "payload": In(stream.Signature(Span(width), always_ready=True)),
                "judged": In(1),
                "take": In(1),
                "spoiled": Out(1),
                "busy": Out(1),
                "restart": In(1),
                "reports": Out(stream.Signature(Report, always_ready=True)),
                "coming": Out(32),
                "login": Out(Login),
                "session": Out(SESSION_BITS),
                "next_sequence": Out(64),
                "heard": Out(1),
                "lost": Out(1),
                **{name: Out(1) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.aligner = aligner = Aligner(width=self._width)
        m.submodules.decoder = decoder = Decoder(width=self._width)
        # A segment may bring as many again before those of the one before it are passed on.
        depth = 2 << (self._longest // SHORTEST_PACKET).bit_length()
        m.submodules.pending = pending = Pending(depth=depth)
        pipe(m, aligner.rows, decoder.rows)
        pipe(m, decoder.records, pending.records)
        commit, drop, busy, ignoring = Signal(), Signal(), Signal(), Signal()
        waits = self._feed(m, aligner, drop=drop, busy=busy | pending.crowded, ignoring=ignoring)
        idle = ~waits & aligner.idle & decoder.idle
        m.d.comb += [
            commit.eq((busy | (self.judged & self.take)) & idle & ~self.restart),
            drop.eq((self.judged & ~self.take & ~busy) | self.restart),
            pending.commit.eq(commit),
            pending.drop.eq(drop),
            self.spoiled.eq(ignoring),
            self.unread.eq(self.judged & ignoring),
            self.heard.eq(self.judged & self.take),
        ]
        with m.If(self.judged & self.take):
            m.d.sync += busy.eq(1)
        with m.If(commit | self.restart):
            m.d.sync += busy.eq(0)
        for part in (aligner, decoder):
            m.d.comb += [part.save.eq(commit), part.restore.eq(drop), part.clear.eq(self.restart)]
        with m.If(commit & aligner.broken):
            m.d.sync += self.lost.eq(1)
        reading = self._tell(m, decoder, pending)
        m.d.comb += [self.busy.eq(busy | reading | pending.waits), self.coming.eq(pending.coming)]
        with m.If(self.restart):
            m.d.sync += [self.login.eq(0), self.lost.eq(0)]
        return m

    def _feed(self, m: Module, aligner: Aligner, *, drop, busy, ignoring) -> Signal:
        """Hands the octets to the aligner, through a queue if need be; returns whether any wait."""
        width, span = self._width, self.payload.payload
        depth = -(-self._longest // width) + 2
        chunk, wanted, waits = Signal(Chunk(width)), Signal(), Signal()
        queue = fifo.SyncFIFOBuffered(width=len(chunk.as_value()), depth=depth)
        m.submodules.queue = ResetInserter(drop)(queue)
        begins = span.first & busy
        now = Mux(span.first, begins, ignoring)
        with m.If(self.payload.valid & span.first):
            m.d.sync += ignoring.eq(begins)
        with m.If(self.judged):
            m.d.sync += ignoring.eq(0)
        inside = Cat((span.end > lane).replicate(8) for lane in range(width))
        # A TCP header is whole words of 4 octets: the payload begins in one of few lanes.
        lanes = sorted({(54 + 4 * n) % width for n in range(2)} | {0})
        octets = Signal(8 * width)
        with m.Switch(span.begin):
            for lane in lanes:
                with m.Case(lane):
                    m.d.comb += octets.eq((span.data & inside) >> 8 * lane)
        m.d.comb += [
            chunk.data.eq(octets),
            chunk.count.eq(span.end - span.begin),
            wanted.eq(self.payload.valid & ~now),
            waits.eq(queue.level.any()),
            queue.w_data.eq(chunk),
            queue.w_en.eq(wanted & (waits | ~aligner.chunks.ready)),
            queue.r_en.eq(aligner.chunks.ready),
            aligner.chunks.valid.eq(Mux(waits, queue.r_rdy, wanted)),
            aligner.chunks.payload.eq(Mux(waits, queue.r_data, chunk)),
        ]
        return waits

    def _tell(self, m: Module, decoder: Decoder, pending: Pending) -> Signal:
        """Returns whether the number of a login is being read."""
        m.submodules.digits = digits = _Digits()
        passed, record = pending.passed.valid, pending.passed.payload
        is_report = passed & (record.kind == RecordKind.REPORT)
        accepts = passed & (record.kind == RecordKind.ACCEPTED)
        reading, met, report = Signal(), Signal(), self.reports.payload
        # A report's number is there in the cycle before it.
        read_before = Signal()
        m.d.sync += read_before.eq(reading)
        m.d.comb += [
            digits.start.eq(accepts & ~met),
            digits.text.eq(decoder.login[: 8 * SEQUENCE_DIGITS]),
            # What follows a login must not come before its number is known.
            pending.pause.eq(reading | read_before),
            self.reports.valid.eq(is_report),
            report.kind.eq(record.report),
            report.sequence.eq(self.next_sequence),
            self.debugs.eq(passed & (record.kind == RecordKind.DEBUG)),
            self.unsequenced.eq(passed & (record.kind == RecordKind.UNSEQUENCED)),
            self.unknown_packets.eq(passed & (record.kind == RecordKind.UNKNOWN)),
            self.unfit_reports.eq(is_report & ~record.fits),
        ]
        for name in ("fits", "user_ref_num", "previous", "quantity", "price", "reference"):
            m.d.comb += report[name].eq(record[name])
        m.d.comb += [report.reason.eq(record.reason), report.code.eq(record.code)]
        with m.If(is_report):
            m.d.sync += self.next_sequence.eq(self.next_sequence + 1)
        with m.If(accepts & met):
            m.d.sync += self.lost.eq(1)
        with m.Elif(accepts):
            m.d.sync += [
                met.eq(1),
                reading.eq(1),
                self.session.eq(decoder.login[8 * SEQUENCE_DIGITS :]),
            ]
        with m.Elif(reading & ~digits.busy):
            m.d.sync += reading.eq(0)
            with m.If(digits.sound):
                m.d.sync += [self.next_sequence.eq(digits.value), self.login.accepted.eq(1)]
            with m.Else():
                m.d.sync += self.lost.eq(1)
        with m.If(passed & (record.kind == RecordKind.REJECTED)):
            m.d.sync += [self.login.rejected.eq(1), self.login.reason.eq(record.reason)]
        with m.If(passed & (record.kind == RecordKind.END)):
            m.d.sync += self.login.ended.eq(1)
        with m.If(self.restart):
            m.d.sync += [met.eq(0), reading.eq(0)]
        return reading
