"""From Ethernet frames to the segments of one TCP connection, checked as the octets pass.

Ref: IEEE 802.3 clause 3, RFC 791 section 3.1, RFC 9293 section 3.1, RFC 1071.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.tcp.summation import StretchSum
from tickgate.hdl.order.tcp.types import Endpoints, Segment
from tickgate.hdl.stream import Octets, Span, require_width
from tickgate.spec.ethernet import (
    ETHERNET,
    ETHERTYPE_IPV4,
    FCS_SIZE,
    IPV4,
    IPV4_FRAGMENT_OFFSET,
    IPV4_MORE_FRAGMENTS,
    IPV4_VERSION_IHL,
    PROTOCOL_TCP,
    TCP,
    TCP_DATA_OFFSET,
)

__all__ = ["OPTIONS_AT", "Receive"]

IP_AT = ETHERNET.size
TCP_AT = IP_AT + IPV4.size
OPTIONS_AT = TCP_AT + TCP.size
"""Where options begin, or payload if there are none."""

IP_FIELDS = {field.name: IP_AT + IPV4.offset(field.name) for field in IPV4}
TCP_FIELDS = {field.name: TCP_AT + TCP.offset(field.name) for field in TCP}
SUMMED_FROM = IP_FIELDS["source"]
"""The addresses, which the pseudo header repeats, come right before the segment."""

CAUSES = (
    "damaged",
    "ip_options",
    "ip_checksum",
    "ip_length",
    "ip_fragment",
    "other_port",
    "tcp_offset",
    "truncated",
    "overlong",
    "tcp_checksum",
)
"""Why a frame from one address to the other is no segment; the first that applies."""


class _Facts(data.StructLayout):
    """What is known of a frame when it has ended, but for its sums."""

    def __init__(self) -> None:
        names = ("ours", *(name for name in CAUSES if name not in ("damaged", "tcp_checksum")))
        super().__init__(dict.fromkeys(names, 1))


class _Passing:
    """The octets of a frame as they pass, found by their offset.

    `ended`: the last word was in the cycle before; `complete`: so far, all of the headers.
    """

    def __init__(self, m: Module, *, width: int, octets) -> None:
        self._m, self._width = m, width
        self.valid, self._data = octets.valid, octets.payload.data
        self.index = index = Signal(range(OPTIONS_AT // width + 2))
        self._previous = Signal(8)
        with m.If(octets.valid):
            m.d.sync += self._previous.eq(self._data[-8:])
            with m.If(octets.payload.last):
                m.d.sync += index.eq(0)
            with m.Elif(index != OPTIONS_AT // width + 1):
                m.d.sync += index.eq(index + 1)
        self.ended, self.complete = Signal(), Signal()
        at, lane = divmod(OPTIONS_AT - 1, width)
        here = (index == at) & (octets.payload.count > lane)
        m.d.sync += self.ended.eq(octets.valid & octets.payload.last)
        with m.If(octets.valid):
            m.d.sync += self.complete.eq(here | (self.complete & ~octets.payload.first))

    def half(self, offset: int):
        """Whether this word completes the 16 bits at `offset`, and those bits."""
        at, lane = divmod(offset + 1, self._width)
        low = self._data[8 * lane :][:8]
        high = self._data[8 * (lane - 1) :][:8] if lane else self._previous
        return self.valid & (self.index == at), Cat(low, high)

    def next_at(self, offset: int) -> int:
        """The offset of the word after the one that completes the 16 bits at `offset`."""
        return (offset + 1) // self._width * self._width + self._width

    def keep(self, offset: int, *, decide=lambda value: value) -> Signal:
        """What `decide` says of the 16 bits at `offset`, from the word after them on."""
        here, value = self.half(offset)
        decided = decide(value)
        kept = Signal(decided.shape(), name=f"of_octet_{offset}")
        with self._m.If(here):
            self._m.d.sync += kept.eq(decided)
        return kept

    def field(self, offset: int, size: int):
        """The field of `size` octets at `offset`, from the word after it on."""
        return Cat(self.keep(offset + at) for at in reversed(range(0, size, 2)))

    def differs(self, offset: int, expected, size: int):
        """Whether the field at `offset` is not `expected`."""
        parts = [expected[8 * at : 8 * at + 16] for at in reversed(range(0, size, 2))]
        return Cat(
            self.keep(offset + 2 * n, decide=lambda value, part=part: value != part)
            for n, part in enumerate(parts)
        ).any()


class Receive(wiring.Component):
    """Takes the segments of one connection out of all frames, and says which of them are sound.

    Latency: `LATENCY` cycle from `octets` to `payload`; `verdict_latency` from the last word of a
    frame to `judged` and every strobe. Throughput: one word a cycle for ever, frames back to back
    or with idle cycles anywhere, none shorter than an Ethernet frame must be but those that were
    cut off: they may be as short as they like.

    Payload passes before anything of its frame is known to be good. `judged` ends each frame:
    with `arrives` it was a sound segment of this connection, whose payload may be believed;
    without, all that has passed since the `judged` before is void.

    Sound is a frame with a right FCS; IPv4, 20 octets of header, right checksum, no fragment, both
    addresses; TCP, both ports, right checksum, nothing missing; payload of `longest` octets at
    most. Frames that are not IPv4 with TCP from the remote to the local address, or break off
    before it can be told, are `others`; of the rest, what is not sound is counted by exactly one
    cause, in this order: `damaged` (FCS), `ip_options` (or another version), `ip_checksum`,
    `ip_length` (no room for the headers), `ip_fragment`, `other_port`, `tcp_offset` (shorter than
    20 octets or longer than the datagram), `truncated`, `overlong`, `tcp_checksum`. 802.1Q tags
    are not looked behind, and the MAC address is not looked at.

    Parameters
    ----------
    width : int
        Octets a cycle.
    longest : int
        Most octets of payload in a segment.

    Members
    -------
    octets : In(stream of Octets)
    ends, good : In(1)
        From `tickgate.hdl.eth`: a frame has ended, CHECK_LATENCY cycles after its last word, and
        its FCS was right.
    endpoints : In(Endpoints)
    payload : Out(stream of Span)
        Of every frame that may be a segment, in the alignment of the frame.
    segment : Out(Segment), options : Out(range(41))
        From SETTLED cycles before `arrives` until after it; octets of TCP options.
    judged, arrives : Out(1)
    others, segments, and the causes : Out(1)
        Counter strobes.
    """

    LATENCY = 1
    CHECK_LATENCY = 2
    SETTLED = 2
    COUNTERS = ("others", "segments", *CAUSES)

    def __init__(self, *, width: int, longest: int) -> None:
        require_width(width)
        if not 0 < longest < 1 << 16:
            raise ValueError(f"longest must be 1 to 65535 octets, not {longest}")
        self._width, self._longest = width, longest
        # The payload may end in the last word of its frame; at one octet a cycle the FCS alone
        # takes longer than the sums.
        self._settle = 0 if width == 1 else StretchSum.LATENCY
        self.verdict_latency = self.CHECK_LATENCY + self._settle
        super().__init__(
            {
                "octets": In(stream.Signature(Octets(width), always_ready=True)),
                "ends": In(1),
                "good": In(1),
                "endpoints": In(Endpoints),
                "payload": Out(stream.Signature(Span(width), always_ready=True)),
                "segment": Out(Segment),
                "options": Out(range(41)),
                "judged": Out(1),
                "arrives": Out(1),
                **{name: Out(1) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        passing = _Passing(m, width=self._width, octets=self.octets)
        until_fcs = self._pass_payload(m, passing)
        length = self._take_segment(m, passing)
        right = self._add_up(m, passing)
        self._judge(m, self._check(m, passing, until_fcs=until_fcs, length=length), right)
        return m

    def _pass_payload(self, m: Module, passing: _Passing) -> Signal:
        """Marks the payload; returns how far from a word's beginning an FCS after it would end."""
        width, word, valid = self._width, self.octets.payload, self.octets.valid
        until_start, until_stop, until_fcs = Signal(7), Signal(17), Signal(17)
        known, opened, some = Signal(), Signal(), Signal()
        with m.If(valid):
            for left in (until_start, until_stop, until_fcs):
                m.d.sync += left.eq(Mux(left > width, left - width, 0))
        here, length = passing.half(IP_FIELDS["total_length"])
        passed = passing.next_at(IP_FIELDS["total_length"]) - IP_AT
        with m.If(here):
            m.d.sync += [
                until_stop.eq(Mux(length > passed, length - passed, 0)),
                until_fcs.eq(Mux(length > passed, length - passed, 0) + FCS_SIZE),
            ]
        here, offset = passing.half(TCP_FIELDS["data_offset"])
        passed = passing.next_at(TCP_FIELDS["data_offset"]) - TCP_AT
        header = Cat(Const(0, 2), offset[12:])
        with m.If(here):
            m.d.sync += [until_start.eq(Mux(header > passed, header - passed, 0)), known.eq(1)]

        span, begin, end = self.payload.payload, Signal(range(width + 1)), Signal(range(width + 1))
        m.d.comb += [
            begin.eq(Mux(until_start > width, width, until_start)),
            end.eq(Mux(until_stop > word.count, word.count, until_stop)),
            some.eq(valid & known & (begin < end)),
        ]
        m.d.sync += [
            self.payload.valid.eq(some),
            span.data.eq(word.data),
            span.begin.eq(begin),
            span.end.eq(end),
            span.first.eq(~opened),
            span.last.eq(word.last | (until_stop <= width)),
        ]
        with m.If(valid & word.last):
            m.d.sync += [known.eq(0), opened.eq(0)]
        with m.Elif(some):
            m.d.sync += opened.eq(1)
        return until_fcs

    def _take_segment(self, m: Module, passing: _Passing) -> Signal:
        """Returns the octets of payload that IPv4 and TCP speak of."""
        total = passing.field(IP_FIELDS["total_length"], 2)
        offset = passing.field(TCP_FIELDS["data_offset"], 2)
        length = Signal(signed(18))
        m.d.sync += length.eq(total - IPV4.size - Cat(Const(0, 2), offset[12:]))
        options = Cat(Const(0, 2), offset[12:]) - TCP.size
        found = Signal(Segment)
        m.d.comb += [
            found.sequence.eq(passing.field(TCP_FIELDS["sequence"], 4)),
            found.acknowledgement.eq(passing.field(TCP_FIELDS["acknowledgement"], 4)),
            found.flags.eq(offset[:8]),
            found.window.eq(passing.field(TCP_FIELDS["window"], 2)),
            found.length.eq(length),
        ]
        if self._settle:
            # The header of the next frame may be there before the sums of this one.
            with m.If(passing.ended & passing.complete):
                m.d.sync += [self.segment.eq(found), self.options.eq(options)]
        else:
            m.d.comb += [self.segment.eq(found), self.options.eq(options)]
        return length

    def _check(self, m: Module, passing: _Passing, *, until_fcs, length) -> Signal:
        """Returns what is known of a frame, CHECK_LATENCY cycles after its last word."""
        word = self.octets.payload
        m.submodules.header_sum = header_sum = StretchSum(width=self._width)
        inside = self._inside(passing, IP_AT, TCP_AT)
        m.d.comb += [
            header_sum.valid.eq(passing.valid),
            header_sum.data.eq(self._masked(word.data, inside)),
            header_sum.opens.eq(passing.index == IP_AT // self._width),
        ]
        truncated = Signal()
        m.d.sync += truncated.eq(until_fcs > word.count)
        fragment = IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET
        ends = self.endpoints
        other = Cat(
            passing.differs(ETHERNET.offset("ethertype"), Const(ETHERTYPE_IPV4, 16), 2),
            passing.keep(IP_FIELDS["ttl"], decide=lambda value: value[:8] != PROTOCOL_TCP),
            passing.differs(IP_FIELDS["source"], ends.remote_ip, 4),
            passing.differs(IP_FIELDS["destination"], ends.local_ip, 4),
        )
        found, facts = Signal(_Facts()), Signal(_Facts())
        m.d.comb += [
            found.ours.eq(passing.complete & ~other.any()),
            found.ip_options.eq(
                passing.keep(IP_AT, decide=lambda value: value[8:] != IPV4_VERSION_IHL)
            ),
            found.ip_checksum.eq(~header_sum.right),
            found.ip_length.eq(
                passing.keep(
                    IP_FIELDS["total_length"],
                    decide=lambda value: value < IPV4.size + TCP.size,
                )
            ),
            found.ip_fragment.eq(
                passing.keep(
                    IP_FIELDS["flags_fragment"], decide=lambda value: (value & fragment).any()
                )
            ),
            found.other_port.eq(
                passing.differs(TCP_FIELDS["source_port"], ends.remote_port, 2)
                | passing.differs(TCP_FIELDS["destination_port"], ends.local_port, 2)
            ),
            found.tcp_offset.eq(
                (length < 0)
                | passing.keep(
                    TCP_FIELDS["data_offset"],
                    decide=lambda value: value[12:] < TCP_DATA_OFFSET >> 4,
                )
            ),
            found.truncated.eq(truncated),
            found.overlong.eq(length > self._longest),
        ]
        with m.If(passing.ended):
            m.d.sync += facts.eq(found)
        return facts

    def _add_up(self, m: Module, passing: _Passing) -> Signal:
        """Returns whether the checksum of a segment is right, `verdict_latency` after its frame."""
        m.submodules.segment_sum = segment_sum = StretchSum(width=self._width)
        after, valid, opens, start = Signal(self._width), Signal(), Signal(), Signal(17)
        total = passing.field(IP_FIELDS["total_length"], 2)
        m.d.sync += [
            valid.eq(passing.valid),
            after.eq(self._inside(passing, SUMMED_FROM, None)),
            opens.eq(passing.index == SUMMED_FROM // self._width),
            start.eq(total - IPV4.size + PROTOCOL_TCP),
        ]
        span = self.payload.payload
        before = Cat(span.end > lane for lane in range(self._width))
        m.d.comb += [
            segment_sum.valid.eq(valid),
            segment_sum.data.eq(self._masked(span.data, after & before)),
            segment_sum.opens.eq(opens),
            segment_sum.start.eq(start),
        ]
        if not self._settle:
            return segment_sum.right
        right = Signal()
        m.d.sync += right.eq(segment_sum.right)
        return right

    def _inside(self, passing: _Passing, begin: int, stop: int | None):
        """The octets of the word that lie in a stretch of the frame, one bit each."""
        width = self._width

        def within(lane: int):
            first = passing.index >= -(-(begin - lane) // width)
            if stop is None:
                return first
            return first & (passing.index < -(-(stop - lane) // width))

        return Cat(within(lane) for lane in range(width))

    @staticmethod
    def _masked(octets, mask):
        return octets & Cat(mask[lane].replicate(8) for lane in range(len(mask)))

    def _judge(self, m: Module, facts: Signal, right) -> None:
        ends, good = self.ends, self.good
        for _ in range(self._settle):
            later_ends, later_good, later_facts = Signal(), Signal(), Signal.like(facts)
            m.d.sync += [later_ends.eq(ends), later_good.eq(good), later_facts.eq(facts)]
            ends, good, facts = later_ends, later_good, later_facts
        bad = {"damaged": ~good, "tcp_checksum": ~right}
        earlier = ~facts.ours
        m.d.comb += [self.judged.eq(ends), self.others.eq(ends & earlier)]
        for cause in CAUSES:
            this = bad[cause] if cause in bad else facts[cause]
            m.d.comb += getattr(self, cause).eq(ends & this & ~earlier)
            earlier = earlier | this
        m.d.comb += [self.arrives.eq(ends & ~earlier), self.segments.eq(self.arrives)]
