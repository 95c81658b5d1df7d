"""From Ethernet frames to the UDP payload of the feed, header checks made as the octets pass.

Ref: IEEE 802.3 clause 3, IEEE 802.1Q clause 9, RFC 791, RFC 768, RFC 1071.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.fcs import FCS_INITIAL, FCS_RESIDUE, Crc32
from tickgate.hdl.stream import REPLIES, SOURCES, Octets, Span, pipe, require_width
from tickgate.spec.ethernet import (
    ETHERNET,
    ETHERTYPE_IPV4,
    ETHERTYPE_VLAN,
    FCS_SIZE,
    IPV4,
    IPV4_FRAGMENT_OFFSET,
    IPV4_MORE_FRAGMENTS,
    IPV4_VERSION_IHL,
    PROTOCOL_UDP,
    UDP,
    VLAN_TAG,
    ipv4_version,
)

__all__ = ["PAYLOAD_AT", "Receive"]

ETHERTYPE_AT = ETHERNET.offset("ethertype")
IP_AT = ETHERNET.size
UDP_AT = IP_AT + IPV4.size
PAYLOAD_AT = UDP_AT + UDP.size
HEADERS = IPV4.size + UDP.size

REJECTIONS = (
    "not_ip",
    "ip_version",
    "ip_options",
    "ip_checksum",
    "ip_length",
    "ip_fragment",
    "not_udp",
    "not_for_us",
    "udp_length",
)
"""Why a frame with all its headers is not taken; the first that applies is the cause."""


class _Rejection(data.StructLayout):
    def __init__(self) -> None:
        super().__init__(dict.fromkeys(REJECTIONS, 1))


def _tagged_decision(width: int) -> int:
    """The word, counted without the tag, in which the payload of a tagged frame begins."""
    return (PAYLOAD_AT + VLAN_TAG.size) // width - -(-VLAN_TAG.size // width)


class _Passing:
    """The octets of a frame as they pass, those of a tag left out, found by their offset."""

    def __init__(self, *, width: int, valid, data, index: Signal, previous: Signal) -> None:
        self._width = width
        self._valid, self._data = valid, data
        self._index, self._previous = index, previous

    def half(self, offset: int):
        """Whether this word completes the 16 bits at `offset`, and those bits."""
        at, lane = divmod(offset + 1, self._width)
        low = self._data[8 * lane :][:8]
        high = self._data[8 * (lane - 1) :][:8] if lane else self._previous[-8:]
        return self._index == at, Cat(low, high)

    def fact(self, m: Module, offset: int, decide) -> Signal:
        """What `decide` says of the 16 bits at `offset`, from the word after them on.

        What a tag may delay to the word in which payload begins is there in that word already.
        """
        here, value = self.half(offset)
        decided = decide(value)
        now, kept = Signal(decided.shape()), Signal(decided.shape())
        m.d.comb += now.eq(Mux(here, decided, kept))
        with m.If(self._valid):
            m.d.sync += kept.eq(now)
        return now if self._is_late(offset) else kept

    def _is_late(self, offset: int) -> bool:
        return (offset + 1) // self._width >= _tagged_decision(self._width)

    def is_early(self, offset: int) -> bool:
        """Whether there is time to keep once more what is known of the 16 bits at `offset`."""
        return (offset + 1) // self._width < _tagged_decision(self._width) - 1

    def checksum_fact(self, m: Module) -> Signal:
        """Whether the checksum of the IPv4 header is wrong, in the word in which payload begins."""
        offsets = range(IP_AT, UDP_AT, 2)
        lanes = {}
        for offset in offsets:
            here, value = self.half(offset)
            lanes.setdefault(offset % self._width, (value, []))[1].append(here)
        added = sum(Mux(Cat(heres).any(), value, 0) for value, heres in lanes.values())
        total, before = Signal(20), Signal(16)
        first, _ = self.half(offsets[0])
        m.d.comb += total.eq(Mux(first, 0, before) + added)
        with m.If(self._valid):
            # Folded before it is kept: what is decided from it comes late enough without that.
            m.d.sync += before.eq(_folded(_folded(total)))
        if self._is_late(offsets[-1]):
            # The last 16 bits must be what the others lack of 0xFFFF, or 0 as 0xFFFF.
            lacks = ~before
            return self.fact(
                m,
                offsets[-1],
                lambda last: (last != lacks) & ((lacks != 0) | (last != 0xFFFF)),
            )
        wrong = Signal()
        with m.If(self._valid):
            m.d.sync += wrong.eq(before != 0xFFFF)
        return wrong


def _folded(total):
    """The sum of the lower 16 bits and the carries beyond them.

    Of five 16-bit numbers there are at most 4 carries: what carries again when they are folded in
    is far from 0xFFFF, and is 16 bits after a second time.
    """
    return (total[:16] + total[16:])[:17]


class _HeaderCheck(wiring.Component):
    """Checks Ethernet, IPv4 and UDP headers while they pass.

    Latency: 0 cycles (combinational). Throughput: one word a cycle.

    The octets of a tagged frame are seen as if the tag were not there. Narrow words are counted
    again from where the tag began; a word of 8 octets is put together from two halves, half a word
    late, so that the last header word is only known in the cycle in which payload begins.

    Members
    -------
    octets : In(stream of Octets)
    address, port, enable : In, arrays by source
    deciding : Out(1)
        This word, or the next one, is the one behind the headers, if the frame goes so far.
    decides : Out(1)
        The first octet after the headers is in this word, at `begin`; the other outputs hold.
    begin : Out(range(width))
    length : Out(16)
        Octets of UDP payload. Both are there 2 words earlier at least.
    rejected : Out(1), rejection : Out(_Rejection)
        Why the frame is not taken: the first of these bits, in their order.
    line : Out(range(len(SOURCES)))
        The source whose address and port these are, if any; the first of them.
    runt : Out(1)
        The frame ends in this word and never had an octet after its headers.
    """

    LATENCY = 0

    def __init__(self, *, width: int) -> None:
        require_width(width)
        self._width = width
        super().__init__(
            {
                "octets": In(stream.Signature(Octets(width), always_ready=True)),
                "address": In(32).array(len(SOURCES)),
                "port": In(16).array(len(SOURCES)),
                "enable": In(1).array(len(SOURCES)),
                "deciding": Out(1),
                "decides": Out(1),
                "begin": Out(range(width)),
                "length": Out(16),
                "rejected": Out(1),
                "rejection": Out(_Rejection()),
                "line": Out(range(len(SOURCES))),
                "runt": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        width, word, valid = self._width, self.octets.payload, self.octets.valid
        tag_words = -(-VLAN_TAG.size // width)
        tagged_at = PAYLOAD_AT + VLAN_TAG.size
        index = Signal(range(PAYLOAD_AT // width + 2))
        previous = Signal(8 * width)
        tag, tagged, deciding, decided = Signal(), Signal(), Signal(), Signal()

        octets = word.data
        if width > VLAN_TAG.size:
            skew = 8 * VLAN_TAG.size
            octets = Mux(tagged, Cat(previous[skew:], word.data[: 8 * width - skew]), word.data)
        passing = _Passing(width=width, valid=valid, data=octets, index=index, previous=previous)
        ethertype_here, ethertype = passing.half(ETHERTYPE_AT)
        begin = Mux(tagged, tagged_at % width, PAYLOAD_AT % width)
        decision = Mux(tagged, _tagged_decision(width), PAYLOAD_AT // width)
        m.d.comb += [
            tag.eq(ethertype_here & (ethertype == ETHERTYPE_VLAN) & ~tagged),
            self.begin.eq(begin),
            self.deciding.eq(deciding),
            self.decides.eq(valid & deciding & (word.count > begin)),
            self.runt.eq(valid & word.last & ~decided & ~self.decides),
        ]
        with m.If(valid):
            m.d.sync += previous.eq(word.data)
            with m.If(index <= PAYLOAD_AT // width):
                m.d.sync += index.eq(index + 1)
            with m.If(tag):
                m.d.sync += [tagged.eq(1), index.eq(index + 1 - tag_words)]
            m.d.sync += [deciding.eq(index == decision - 1), decided.eq(decided | deciding)]
            with m.If(word.last):
                m.d.sync += [index.eq(0), tagged.eq(0), deciding.eq(0), decided.eq(0)]
        self._reject(m, passing)
        return m

    def _reject(self, m: Module, passing: _Passing) -> None:
        ip = {field.name: IP_AT + IPV4.offset(field.name) for field in IPV4}
        udp = {field.name: UDP_AT + UDP.offset(field.name) for field in UDP}
        version, words = ipv4_version(IPV4_VERSION_IHL), IPV4_VERSION_IHL & 0xF
        fragment = IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET

        length = passing.fact(m, ip["total_length"], lambda value: (value - HEADERS)[:16])
        rules = (
            ("not_ip", ETHERTYPE_AT, lambda value: value != ETHERTYPE_IPV4),
            ("ip_version", IP_AT, lambda value: value[12:] != version),
            ("ip_options", IP_AT, lambda value: value[8:12] != words),
            ("ip_length", ip["total_length"], lambda value: value < HEADERS),
            ("ip_fragment", ip["flags_fragment"], lambda value: (value & fragment).any()),
            ("not_udp", ip["ttl"], lambda value: value[:8] != PROTOCOL_UDP),
            ("udp_length", udp["length"], lambda value: value != length + UDP.size),
        )
        others = [self._is_other(m, passing, source) for source in range(len(SOURCES))]
        early, late = [], [passing.checksum_fact(m), Cat(others).all()]
        facts = {"ip_checksum": [late[0]], "not_for_us": [late[1]]}
        for name, offset, decide in rules:
            fact = passing.fact(m, offset, decide)
            facts.setdefault(name, []).append(fact)
            (early if passing.is_early(offset) else late).append(fact)
        # The last one is not looked at: if it is none of the others, it is that, or not for us.
        first, second, _ = others
        m.d.comb += self.line.eq(Mux(first, Mux(second, REPLIES, 1), 0))
        rejected_early = Signal()
        with m.If(self.octets.valid):
            m.d.sync += rejected_early.eq(Cat(early).any())
        rejected = Signal()
        m.d.comb += [
            self.length.eq(length),
            rejected.eq(rejected_early | Cat(late).any()),
            self.rejected.eq(rejected),
        ]
        if passing.is_early(udp["length"]):
            # The last one that is looked at: all is known a word before it is wanted.
            known = Signal()
            with m.If(self.octets.valid):
                m.d.sync += known.eq(rejected)
            m.d.comb += self.rejected.eq(known)
        for name in REJECTIONS:
            m.d.comb += self.rejection[name].eq(Cat(facts[name]).any())

    def _is_other(self, m: Module, passing: _Passing, line: int) -> Signal:
        """Whether the datagram is not for the address and port of a source, or that is off."""
        destination = IP_AT + IPV4.offset("destination")
        early, late = [~self.enable[line]], []
        for offset, value in (
            (destination, self.address[line][16:]),
            (destination + 2, self.address[line][:16]),
            (UDP_AT + UDP.offset("destination_port"), self.port[line]),
        ):
            fact = passing.fact(m, offset, lambda half, value=value: half != value)
            (early if passing.is_early(offset) else late).append(fact)
        other, other_early = Signal(name=f"other_{line}"), Signal(name=f"other_early_{line}")
        with m.If(self.octets.valid):
            m.d.sync += other_early.eq(Cat(early).any())
        m.d.comb += other.eq(other_early | Cat(late).any())
        return other


class _FrameCheck(wiring.Component):
    """Says after the last word of a frame whether its FCS is right.

    Latency: `LATENCY` cycles. Throughput: one word a cycle.

    Members
    -------
    octets : In(stream of Octets)
    ends, good : Out(1)
    """

    LATENCY = 2

    def __init__(self, *, width: int) -> None:
        self._width = width
        super().__init__(
            {
                "octets": In(stream.Signature(Octets(width), always_ready=True)),
                "ends": Out(1),
                "good": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.crc = crc = Crc32(width=self._width)
        word = Signal(Octets(self._width))
        valid, fresh = Signal(), Signal(init=1)
        state = Signal(32)
        m.d.sync += [
            valid.eq(self.octets.valid),
            word.eq(self.octets.payload),
            self.ends.eq(valid & word.last),
        ]
        m.d.comb += [
            crc.state.eq(Mux(fresh, FCS_INITIAL, state)),
            crc.data.eq(word.data),
            crc.count.eq(word.count),
            self.good.eq(state == FCS_RESIDUE),
        ]
        with m.If(valid):
            m.d.sync += [state.eq(crc.next_state), fresh.eq(word.last)]
        return m


class _Stretch(data.StructLayout):
    """Of the payload that is left at a word: whether it ends in it, and where if so."""

    def __init__(self, width: int) -> None:
        super().__init__({"completes": 1, "end": range(width + 1), "left": 16})


class Receive(wiring.Component):
    """Passes on the UDP payload of frames for the lines of the feed, and counts the rest.

    Latency: `LATENCY` cycles (combinational) from `octets` to `payload`; `VERDICT_LATENCY` from
    the last word of a frame to every strobe. Throughput: one word a cycle for ever, frames back to
    back or with idle cycles anywhere.

    Cut-through: payload passes before the FCS is seen. Where it does not hold good in the end,
    `frame_bad` or `cut` says so. One 802.1Q tag is passed over; the destination MAC address
    is not checked, since that of a multicast group follows from the IPv4 address; nor is the UDP
    checksum, since the FCS covers the payload and the IPv4 header has its own. Each frame begins
    with a word marked `first` and ends with one marked `last`.

    `payload` holds no octet beyond the UDP length; of a frame that is shorter than that it may
    hold octets of the FCS, and `cut` follows. A datagram without payload is one word that is
    `first` and `last` and has begin = end.

    Every frame is counted in `frames` and, unless it is for us and sound, by exactly one cause:
    `fcs_errors`; `runts` if it ends before the first octet after its headers; the first of
    `not_ip`, `ip_version`, `ip_options`, `ip_checksum`, `ip_length` (no room for the headers),
    `ip_fragment`, `not_udp`, `not_for_us` (or its line is not enabled), `udp_length` (not what
    IPv4 says) that applies; `truncated` if IPv4 and UDP say more than the frame holds.

    Parameters
    ----------
    width : int
        Octets a cycle.

    Members
    -------
    octets : In(stream of Octets)
    address : In(32), port : In(16), enable : In(1), each an array of len(SOURCES)
        Destination of the datagrams to take, by source: the lines, and the replies to requests. A
        source that is not enabled takes none; what is for several is taken as of the first.
    payload : Out(stream of Span)
    line : Out(range(len(SOURCES)))
        The source of a datagram, from the cycle after its first word until another frame's headers
        have passed.
    frame_bad : Out(1)
        The FCS was wrong of a frame from which payload was taken.
    cut : Out(1)
        The frame from which payload is taken has ended before its FCS can have followed that; it
        may be counted in `truncated` or in `fcs_errors`. `CUT_LATENCY` from its last word, so that
        what was read out of the FCS need not be believed.
    frames, fcs_errors, runts, truncated, not_ip, not_udp, ip_version, ip_options, ip_fragment,
    ip_checksum, ip_length, not_for_us, udp_length : Out(1)
        Counter strobes.
    """

    LATENCY = _HeaderCheck.LATENCY
    VERDICT_LATENCY = _FrameCheck.LATENCY
    CUT_LATENCY = 1
    COUNTERS = ("frames", "fcs_errors", "runts", "truncated", *REJECTIONS)

    def __init__(self, *, width: int) -> None:
        require_width(width)
        self._width = width
        super().__init__(
            {
                "octets": In(stream.Signature(Octets(width), always_ready=True)),
                "address": In(32).array(len(SOURCES)),
                "port": In(16).array(len(SOURCES)),
                "enable": In(1).array(len(SOURCES)),
                "payload": Out(stream.Signature(Span(width), always_ready=True)),
                "line": Out(range(len(SOURCES))),
                "frame_bad": Out(1),
                "cut": Out(1),
                **{name: Out(1) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.header = header = _HeaderCheck(width=self._width)
        pipe(m, wiring.flipped(self.octets), header.octets)
        for name in ("address", "port", "enable"):
            for mine, its in zip(getattr(self, name), getattr(header, name), strict=True):
                m.d.comb += its.eq(mine)
        with m.If(header.decides):
            m.d.sync += self.line.eq(header.line)
        accepted, short = Signal(), Signal()
        m.d.comb += accepted.eq(header.decides & ~header.rejected)
        taken = self._take_payload(m, header, accepted, short)
        self._count(m, header, taken, short)
        return m

    def _take_payload(self, m: Module, header: _HeaderCheck, accepted, short) -> Signal:
        """Cuts the payload out of the frame; returns whether any was taken by the last word."""
        width = self._width
        word, span = self.octets.payload, self.payload.payload
        inside, after, taken = Signal(), Signal(), Signal()
        begin, end, completes = Signal(range(width + 1)), Signal(range(width + 1)), Signal()
        trailing, behind = Signal(range(FCS_SIZE + 1)), Signal(range(FCS_SIZE + width + 1))

        # Where the payload ends is computed a word ahead: for its first word and for the others.
        # A word that could have been the first and is not is the last of its frame.
        first, other = Signal(_Stretch(width)), Signal(_Stretch(width))
        left = Signal(16)
        m.d.comb += left.eq(Mux(header.deciding, first.left, other.left - width))
        m.d.sync += [
            first.completes.eq(header.length <= width - header.begin),
            first.end.eq(header.begin + header.length),
            first.left.eq(header.length - (width - header.begin)),
        ]
        with m.If(self.octets.valid):
            m.d.sync += [
                other.completes.eq(left <= width),
                other.end.eq(left),
                other.left.eq(left),
            ]
        m.d.comb += [
            completes.eq(Mux(header.deciding, first.completes, other.completes)),
            begin.eq(Mux(header.deciding, header.begin, 0)),
            end.eq(Mux(completes, Mux(header.deciding, first.end, other.end), width)),
            taken.eq(accepted | inside | after),
            self.payload.valid.eq(self.octets.valid & (accepted | inside)),
            span.data.eq(word.data),
            span.begin.eq(begin),
            span.end.eq(Mux(word.count < end, word.count, end)),
            span.first.eq(header.deciding),
            span.last.eq(completes | word.last),
        ]
        # At least the FCS must follow the payload.
        with m.If(after):
            m.d.comb += behind.eq(trailing + word.count)
        with m.Elif(completes & (word.count > end)):
            m.d.comb += behind.eq(word.count - end)
        m.d.comb += short.eq(taken & (behind < FCS_SIZE))
        m.d.sync += self.cut.eq(self.octets.valid & word.last & short)
        with m.If(self.octets.valid):
            m.d.sync += trailing.eq(Mux(behind > FCS_SIZE, FCS_SIZE, behind))
            with m.If(accepted | inside):
                m.d.sync += [inside.eq(~completes), after.eq(completes)]
            with m.If(word.last):
                m.d.sync += [inside.eq(0), after.eq(0)]
        return taken

    def _count(self, m: Module, header: _HeaderCheck, taken: Signal, short: Signal) -> None:
        m.submodules.check = check = _FrameCheck(width=self._width)
        pipe(m, wiring.flipped(self.octets), check.octets)
        rejection = Signal(_Rejection())
        runt, was_short, was_taken = (self._later(m, fact) for fact in (header.runt, short, taken))
        with m.If(header.decides):
            m.d.sync += rejection.eq(header.rejection)
        sound = Signal()
        m.d.comb += sound.eq(check.ends & check.good)
        m.d.comb += [
            self.frames.eq(check.ends),
            self.fcs_errors.eq(check.ends & ~check.good),
            self.frame_bad.eq(check.ends & ~check.good & was_taken),
            self.truncated.eq(sound & was_short),
            self.runts.eq(sound & runt),
        ]
        earlier = runt
        for name in REJECTIONS:
            m.d.comb += getattr(self, name).eq(sound & rejection[name] & ~earlier)
            earlier = earlier | rejection[name]

    def _later(self, m: Module, fact):
        delayed = Signal(self.VERDICT_LATENCY)
        m.d.sync += delayed.eq(Cat(fact, delayed))
        return delayed[-1]
