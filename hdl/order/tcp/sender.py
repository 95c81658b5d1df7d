"""Builds the frames of the connection's own segments: all but those of orders.

Ref: RFC 9293, sections 3.1 and 3.2; RFC 791, section 3.1; IEEE 802.3, clause 3.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.checksum import OnesComplementSum
from tickgate.hdl.order.tcp.receive import IP_AT, OPTIONS_AT, TCP_AT
from tickgate.hdl.order.tcp.ring import Ring
from tickgate.hdl.order.tcp.summation import StretchSum
from tickgate.hdl.order.tcp.trailer import Trailer
from tickgate.hdl.order.tcp.types import Endpoints, Job
from tickgate.hdl.stream import Octets, pipe, require_width
from tickgate.hdl.wire import place, words_to_add
from tickgate.spec import ethernet

__all__ = ["Sender"]

TTL = 64
SHORTEST = ethernet.MIN_FRAME - ethernet.FCS_SIZE
HEADERS = (ethernet.ETHERNET, ethernet.IPV4, ethernet.TCP)
MSS_OPTION = 0x0204
MSS_OPTION_SIZE = 4


class _Asked(data.StructLayout):
    def __init__(self, words: int) -> None:
        super().__init__({"left": 16, "meant": 16, "index": range(words)})


class Sender(wiring.Component):
    """Sends one segment after the other as a whole frame, FCS included.

    Latency: `latency` cycles from a job to its first word, and one for each word of payload, which
    is read twice: the checksum comes before it. Throughput: one frame at a time; once it has begun
    a word a cycle while `octets.ready`.

    Parameters
    ----------
    width : int
        Octets a cycle.
    ring_size : int
    window : int
        Octets of the receive window, always the same.
    mss : int
        What the option Maximum Segment Size says.

    Members
    -------
    jobs : In(stream of Job)
        Transferred when the frame has left.
    endpoints : In(Endpoints)
        Must not change while a job is under way.
    read_at, read_enable : Out, read_data : In
        Of `Ring`.
    octets : Out(stream of Octets)
    """

    OVERHEAD = 20
    """Cycles of a segment beside those of its words."""

    def __init__(self, *, width: int, ring_size: int, window: int, mss: int) -> None:
        require_width(width)
        self._width, self._window, self._mss = width, window, mss
        self._ring_size = ring_size
        super().__init__(
            {
                "jobs": In(stream.Signature(Job)),
                "endpoints": In(Endpoints),
                "read_at": Out(range(ring_size)),
                "read_enable": Out(1),
                "read_data": In(8 * width),
                "octets": Out(stream.Signature(Octets(width))),
            }
        )

    @classmethod
    def cycles(cls, length: int, *, width: int) -> int:
        """From a job with so many octets of payload to the next one, at most, if `octets.ready`."""
        read, sent = length, OPTIONS_AT + length + ethernet.FCS_SIZE
        return -(-read // width) + -(-sent // width) + cls.OVERHEAD

    def elaborate(self, platform) -> Module:
        m = Module()
        width, job = self._width, self.jobs.payload
        m.submodules.payload_sum = payload_sum = StretchSum(width=width)
        m.submodules.trailer = trailer = Trailer(width=width)
        header, settling = self._header(m, job, payload_sum.total)
        pipe(m, trailer.whole, wiring.flipped(self.octets))
        summing, sending = Signal(), Signal()
        step = self._write(m, trailer.bare, header, sending)
        m.d.comb += self.read_enable.eq(summing | step)

        at, left = Signal.like(self.read_at), Signal(16)
        last_wait = Ring.READ_LATENCY + StretchSum.LATENCY + settling
        wait = Signal(range(last_wait + 1))
        m.d.comb += self.read_at.eq(at)
        self._add_up(m, payload_sum, left=left, summing=summing)
        sent = self.octets.valid & self.octets.ready & self.octets.payload.last
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [at.eq(job.sequence), left.eq(job.length), wait.eq(0)]
                with m.If(self.jobs.valid):
                    m.next = "SUM"
            with m.State("SUM"):
                m.d.comb += summing.eq(1)
                m.d.sync += [at.eq(at + width), left.eq(Mux(left > width, left - width, 0))]
                with m.If(left <= width):
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                m.d.comb += summing.eq(1)
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == last_wait):
                    m.d.sync += at.eq(job.sequence - OPTIONS_AT)
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += sending.eq(1)
                with m.If(step):
                    m.d.sync += at.eq(at + width)
                with m.If(sent):
                    m.d.comb += self.jobs.ready.eq(1)
                    m.next = "IDLE"
        return m

    def _add_up(self, m: Module, payload_sum: StretchSum, *, left, summing) -> None:
        """Sums the payload as it comes out of the ring."""
        width, job = self._width, self.jobs.payload
        counts, opens = left, summing & (left == job.length)
        valid = summing & left.any()
        for _ in range(Ring.READ_LATENCY):
            later_count, later_opens, later_valid = Signal(16), Signal(), Signal()
            m.d.sync += [later_count.eq(counts), later_opens.eq(opens), later_valid.eq(valid)]
            counts, opens, valid = later_count, later_opens, later_valid
        mask = Cat((counts > lane).replicate(8) for lane in range(width))
        m.d.comb += [
            payload_sum.valid.eq(valid),
            payload_sum.opens.eq(opens),
            payload_sum.data.eq(self.read_data & mask),
        ]

    def _header(self, m: Module, job, payload_total) -> tuple[list[Value], int]:
        """Returns the octets before the payload, and how long their checksums take."""
        ends = self.endpoints
        tcp_size, total = Signal(16), Signal(16)
        m.d.comb += [
            tcp_size.eq(ethernet.TCP.size + Mux(job.mss, MSS_OPTION_SIZE, job.length)),
            total.eq(tcp_size + ethernet.IPV4.size),
        ]
        fields = {
            "ethernet": {
                "destination": ends.gateway_mac,
                "source": ends.local_mac,
                "ethertype": ethernet.ETHERTYPE_IPV4,
            },
            "ipv4": {
                "version_ihl": ethernet.IPV4_VERSION_IHL,
                "total_length": total,
                "flags_fragment": ethernet.IPV4_DONT_FRAGMENT,
                "ttl": TTL,
                "protocol": ethernet.PROTOCOL_TCP,
                "source": ends.local_ip,
                "destination": ends.remote_ip,
            },
            "tcp": {
                "source_port": ends.local_port,
                "destination_port": ends.remote_port,
                "sequence": job.sequence,
                "acknowledgement": job.acknowledgement,
                "data_offset": Cat(Const(0, 4), Mux(job.mss, Const(6, 4), Const(5, 4))),
                "flags": job.flags,
                "window": self._window,
            },
        }
        octets = place(HEADERS, fields)
        option = MSS_OPTION << 16 | self._mss
        octets += [Mux(job.mss, Const(option >> 8 * n & 0xFF, 8), 0) for n in reversed(range(4))]
        pseudo_header = [
            word
            for address in (ends.local_ip, ends.remote_ip)
            for word in (address[:16], address[16:])
        ]
        of_payload = Mux(job.length.any(), payload_total, 0)
        m.submodules.tcp_sum = tcp_sum = self._sum(
            m,
            [
                *words_to_add(octets[TCP_AT:], ethernet.PROTOCOL_TCP),
                *pseudo_header,
                tcp_size,
                of_payload[:16],
                of_payload[16:],
            ],
        )
        m.submodules.ip_sum = ip_sum = self._sum(m, words_to_add(octets[IP_AT:TCP_AT]))
        for at, adder in (
            (IP_AT + ethernet.IPV4.offset("checksum"), ip_sum),
            (TCP_AT + ethernet.TCP.offset("checksum"), tcp_sum),
        ):
            octets[at], octets[at + 1] = ~adder.total[8:], ~adder.total[:8]
        return octets, max(ip_sum.latency, tcp_sum.latency)

    @staticmethod
    def _sum(m: Module, words) -> OnesComplementSum:
        adder = OnesComplementSum(count=len(words))
        m.d.comb += [adder.words[n].eq(word) for n, word in enumerate(words)]
        return adder

    def _write(self, m: Module, bare, header: list[Value], sending) -> Signal:
        """Puts the words together; returns whether they move on in this cycle."""
        width, job, step = self._width, self.jobs.payload, Signal()
        size, end = Signal(16), Signal(16)
        m.d.sync += [
            end.eq(OPTIONS_AT + Mux(job.mss, MSS_OPTION_SIZE, job.length)),
            size.eq(Mux(end < SHORTEST, SHORTEST, end)),
        ]
        m.d.comb += step.eq(~bare.valid | bare.ready)
        # Of the word that is asked for: octets left of the frame, and of what is not padding.
        asked = Signal(_Asked(len(header) // width + 2))
        with m.If(~sending):
            m.d.sync += [
                asked.left.eq(size),
                asked.meant.eq(end),
                asked.index.eq(0),
                bare.valid.eq(0),
            ]
        with m.Elif(step):
            m.d.sync += [
                left.eq(Mux(left > width, left - width, 0)) for left in (asked.left, asked.meant)
            ]
            with m.If(asked.index != len(header) // width + 1):
                m.d.sync += asked.index.eq(asked.index + 1)
        stage, valid = asked, sending & asked.left.any()
        for _ in range(Ring.READ_LATENCY):
            later, later_valid = Signal.like(stage), Signal()
            with m.If(step):
                m.d.sync += [later.eq(stage), later_valid.eq(valid)]
            with m.If(~sending):
                m.d.sync += later_valid.eq(0)
            stage, valid = later, later_valid
        word = Signal.like(self.read_data)
        m.d.comb += word.eq(self.read_data)
        with m.Switch(stage.index):
            for at in range(0, len(header), width):
                octets = [self._octet(header, at + lane, lane) for lane in range(width)]
                with m.Case(at // width):
                    m.d.comb += word.eq(Cat(octets))
        meant = Cat((stage.meant > lane).replicate(8) for lane in range(width))
        with m.If(step & sending):
            m.d.sync += [
                bare.valid.eq(valid),
                bare.payload.data.eq(word & meant),
                bare.payload.first.eq(stage.index == 0),
                bare.payload.last.eq(stage.left <= width),
                bare.payload.count.eq(Mux(stage.left > width, width, stage.left)),
            ]
        return step

    def _octet(self, header: list[Value], at: int, lane: int) -> Value:
        of_ring = self.read_data[8 * lane : 8 * lane + 8]
        if at < OPTIONS_AT:
            return header[at]
        return Mux(self.jobs.payload.mss, header[at], of_ring) if at < len(header) else of_ring
