"""Reads a kept frame of ARP, ICMP or IGMP, and says what it asks for.

Ref: RFC 826; RFC 791; RFC 792; RFC 1122, section 3.2.2.6; RFC 2236; RFC 3376, section 4.1.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.net.capture import SLOT, Capture
from tickgate.hdl.net.sum import SerialSum
from tickgate.spec import ethernet, icmp, igmp

__all__ = ["Examine", "Finding"]

IP_AT = ethernet.ETHERNET.size
HEADER_END_BITS = 7
AT_BITS = 10
GROUPS = 0xE
"""The upper 4 bits of a multicast address; those above are no addresses of stations either."""


class Finding(data.Struct):
    """What an answer needs of the frame that asks for it.

    `mac`, `ip`: who asks. `size`: octets of its IPv4 packet. `group`, `response_time`: of a query.
    """

    mac: 48
    ip: 32
    size: 16
    group: 32
    response_time: 8


class _Facts(data.Struct):
    """What was read."""

    arp: 1
    icmp: 1
    arp_bad: 1
    arp_request: 1
    arp_answer: 1
    arp_ours: 1
    mac_ours: 1
    ip_bad: 1
    ip_options: 1
    ip_ours: 1
    from_station: 1
    echo: 1
    query: 1
    header_end: HEADER_END_BITS
    ip_end: 17
    size: range(SLOT + 1)
    header_sum: 16
    body_sum: 16


class Examine(wiring.Component):
    """Examines each frame that is kept, and asks for the answer to it.

    Latency: none that matters, about a cycle an octet. Throughput: one frame at a time.

    Each frame raises one counter: `arp_requests` and `echo_requests` (for this station, and so
    answered), `arp_answers` (replies to it), `igmp_queries`, `arp_ignored`, `icmp_ignored`,
    `igmp_ignored` (well-formed, but no business of this station: another address, a service that is
    off, an IPv4 header with options around ICMP),
    `arp_malformed`, `icmp_malformed`, `igmp_malformed` (lengths, checksums, fields that the
    standard fixes, an IPv4 fragment), `too_long` (more octets than are kept, whatever it is).

    Members
    -------
    mac : In(48), ip : In(32)
        Of this station; with `ip` 0 it has none, and answers nothing.
    arp : In(1)
        ARP requests are to be answered.
    full, length, overlong, address, octet, release
        Of :class:`Capture`, the other way round. `address` is only valid while not `answering`.
    finding : Out(Finding)
        Holds while there is an answer to be made.
    arp_reply, echo_reply : Out(1)
        An answer is to be made.
    answering : Out(1)
        Either is.
    answered : In(1)
        It has been made.
    query : Out(1)
        Strobe: `finding` is a query for members.
    arp_answers : Out(1)
        Counter strobe: `finding` is who has answered.
    (others) : Out(1)
        Counter strobes, see `COUNTERS`.
    """

    COUNTERS = (
        "arp_requests",
        "arp_answers",
        "arp_ignored",
        "arp_malformed",
        "echo_requests",
        "icmp_ignored",
        "icmp_malformed",
        "igmp_queries",
        "igmp_ignored",
        "igmp_malformed",
        "too_long",
    )

    def __init__(self) -> None:
        super().__init__(
            {
                "mac": In(48),
                "ip": In(32),
                "arp": In(1),
                "full": In(1),
                "length": In(range(SLOT + 1)),
                "overlong": In(1),
                "address": Out(range(SLOT)),
                "octet": In(8),
                "release": Out(1),
                "finding": Out(Finding),
                "arp_reply": Out(1),
                "echo_reply": Out(1),
                "answering": Out(1),
                "answered": In(1),
                "query": Out(1),
                **{name: Out(1) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        issued, arriving = Signal(range(SLOT + 1)), Signal(Capture.READ_LATENCY)
        at, settling = Signal(range(SLOT + 1)), Signal(range(SerialSum.LATENCY + 1))
        reading, starts, ends = Signal(), Signal(), Signal()
        limit = Signal.like(self.length)
        m.d.comb += [
            self.address.eq(issued[: len(self.address)]),
            ends.eq((issued == limit) & ~arriving.any()),
            self.answering.eq(self.arp_reply | self.echo_reply),
        ]
        m.d.sync += arriving.eq(Cat(reading & (issued != limit), arriving))
        with m.If(reading & (issued != limit)):
            m.d.sync += issued.eq(issued + 1)
        with m.If(arriving[-1]):
            m.d.sync += at.eq(at + 1)
        facts = self._read(m, at=at, arrives=arriving[-1], starts=starts)
        judging = Signal()
        self._judge(m, facts, now=judging)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += starts.eq(self.full)
                m.d.sync += [issued.eq(0), at.eq(0), settling.eq(0)]
                m.d.sync += limit.eq(Mux(self.overlong, 0, self.length))
                with m.If(self.full):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += reading.eq(1)
                with m.If(ends):
                    m.d.sync += settling.eq(settling + 1)
                    with m.If(settling == SerialSum.LATENCY):
                        m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.comb += judging.eq(1)
                m.next = "ANSWER"
            with m.State("ANSWER"):
                with m.If(self.answered):
                    m.d.sync += [self.arp_reply.eq(0), self.echo_reply.eq(0)]
                with m.If(~self.answering | self.answered):
                    m.d.comb += self.release.eq(1)
                    m.next = "RELEASED"
            with m.State("RELEASED"):
                m.next = "IDLE"
        return m

    def _read(self, m: Module, *, at, arrives, starts) -> Signal:
        """Takes each octet as it arrives."""
        facts = Signal(_Facts)
        before = Signal(40)
        value = Cat(self.octet, before)
        with m.If(starts):
            m.d.sync += [facts.eq(0), facts.header_end.eq(~0), self.finding.eq(0)]
        with m.If(arrives):
            m.d.sync += [before.eq(value), facts.size.eq(at + 1)]
            with m.Switch(at):
                for name, offset in self._offsets().items():
                    with m.Case(offset - 1):
                        self._take(m, facts, name, value)
            self._read_arp(m, facts, at, value)
        self._read_body(m, facts, at=at, arrives=arrives, starts=starts)
        return facts

    @staticmethod
    def _offsets() -> dict[str, int]:
        """Where fields of Ethernet and IPv4 end in a frame."""
        offsets = {name: ethernet.ETHERNET.end(name) for name in ("destination", "ethertype")}
        offsets["sender"] = ethernet.ETHERNET.end("source")
        names = ("version_ihl", "total_length", "flags_fragment", "protocol")
        offsets |= {name: IP_AT + ethernet.IPV4.end(name) for name in names}
        offsets |= {f"ip_{n}": IP_AT + ethernet.IPV4.end(n) for n in ("source", "destination")}
        return offsets

    def _take(self, m: Module, facts, name: str, value) -> None:
        fragment = ethernet.IPV4_MORE_FRAGMENTS | ethernet.IPV4_FRAGMENT_OFFSET
        half, version, words = value[:16], value[4:8], value[:4]
        least = ethernet.IPV4_VERSION_IHL & 0xF
        match name:
            case "destination":
                m.d.sync += facts.mac_ours.eq(value == self.mac)
            case "sender":
                m.d.sync += self.finding.mac.eq(value)
            case "ethertype":
                m.d.sync += facts.arp.eq(half == ethernet.ETHERTYPE_ARP)
            case "version_ihl":
                bad = (version != ethernet.IPV4_VERSION_IHL >> 4) | (words < least)
                m.d.sync += [
                    facts.header_end.eq(IP_AT + (words << 2)),
                    facts.ip_options.eq(words != least),
                    facts.ip_bad.eq(bad),
                ]
            case "total_length":
                m.d.sync += [self.finding.size.eq(half), facts.ip_end.eq(half + IP_AT)]
            case "flags_fragment":
                m.d.sync += facts.ip_bad.eq(facts.ip_bad | (half & fragment).any())
            case "protocol":
                m.d.sync += facts.icmp.eq(value[:8] == ethernet.PROTOCOL_ICMP)
            case "ip_source":
                m.d.sync += [
                    self.finding.ip.eq(value),
                    facts.from_station.eq((value[28:32] < GROUPS) & value[:32].any()),
                ]
            case "ip_destination":
                m.d.sync += facts.ip_ours.eq((value[:32] == self.ip) & self.ip.any())

    def _read_arp(self, m: Module, facts, at, value) -> None:
        for field in ethernet.ARP:
            end = IP_AT + ethernet.ARP.end(field.name)
            number = value[: 8 * field.size]
            with m.If(facts.arp & (at == end - 1)):
                if field.fixed is not None:
                    m.d.sync += facts.arp_bad.eq(facts.arp_bad | (number != field.fixed))
                elif field.name == "operation":
                    m.d.sync += [
                        facts.arp_request.eq(number == ethernet.ARP_REQUEST),
                        facts.arp_answer.eq(number == ethernet.ARP_REPLY),
                    ]
                elif field.name == "sender_mac":
                    group = number[40]
                    m.d.sync += [
                        self.finding.mac.eq(number),
                        facts.arp_bad.eq(facts.arp_bad | group),
                    ]
                elif field.name == "sender_ip":
                    m.d.sync += self.finding.ip.eq(number)
                elif field.name == "target_ip":
                    m.d.sync += facts.arp_ours.eq((number == self.ip) & self.ip.any())

    def _read_body(self, m: Module, facts, *, at, arrives, starts) -> None:
        """Reads what is behind the IPv4 header, and adds up both."""
        m.submodules.header_sum = header_sum = SerialSum()
        m.submodules.body_sum = body_sum = SerialSum()
        # Of the octet that arrives: how far it is behind the header, and whether it is of the
        # packet. The shortest header is known of before it can end.
        behind, inside = Signal(AT_BITS), Signal()
        in_header, in_body = Signal(), Signal()
        m.d.comb += [in_header.eq(behind[-1]), in_body.eq(~behind[-1] & inside)]
        with m.If(starts):
            m.d.sync += [behind.eq(~0), inside.eq(0)]
        with m.If(arrives):
            m.d.sync += [
                behind.eq(at + 1 - facts.header_end),
                inside.eq(at + 1 < facts.ip_end),
            ]
            with m.If(in_body):
                self._take_body(m, facts, behind)
        for adder, part in ((header_sum, in_header & (at >= IP_AT)), (body_sum, in_body)):
            m.d.comb += [
                adder.clear.eq(starts),
                adder.add.eq(arrives & part),
                adder.octet.eq(self.octet),
                adder.upper.eq(~at[0]),
            ]
        m.d.sync += [facts.header_sum.eq(header_sum.total), facts.body_sum.eq(body_sum.total)]

    def _take_body(self, m: Module, facts, behind) -> None:
        group = igmp.MESSAGE.offset("group")
        with m.Switch(behind):
            with m.Case(icmp.ECHO.offset("type")):
                m.d.sync += [
                    facts.echo.eq(self.octet == icmp.ECHO_REQUEST),
                    facts.query.eq(self.octet == igmp.QUERY),
                ]
            with m.Case(icmp.ECHO.offset("code")):
                m.d.sync += [
                    facts.echo.eq(facts.echo & (self.octet == 0)),
                    self.finding.response_time.eq(self.octet),
                ]
            for n in range(4):
                with m.Case(group + n):
                    m.d.sync += self.finding.group.word_select(3 - n, 8).eq(self.octet)

    def _judge(self, m: Module, facts, *, now) -> None:
        """Draws the conclusion; the counters are strobes of this cycle."""
        shortest = {"arp": IP_AT + ethernet.ARP.size, "body": icmp.ECHO.size}
        longest = self.length - ethernet.FCS_SIZE
        short_arp, bad_packet = Signal(), Signal()
        m.d.sync += [
            short_arp.eq(longest < shortest["arp"]),
            bad_packet.eq(
                facts.ip_bad
                | (facts.header_sum != 0xFFFF)
                | (facts.ip_end > longest)
                | (facts.ip_end < facts.header_end + shortest["body"])
                | (facts.body_sum != 0xFFFF)
            ),
        ]
        for_us = facts.mac_ours & facts.ip_ours & facts.from_station & ~facts.ip_options
        with m.If(now & self.overlong):
            m.d.comb += self.too_long.eq(1)
        with m.Elif(now & facts.arp):
            with m.If(facts.arp_bad | short_arp):
                m.d.comb += self.arp_malformed.eq(1)
            with m.Elif(facts.arp_request & facts.arp_ours & self.arp):
                m.d.comb += self.arp_requests.eq(1)
                m.d.sync += self.arp_reply.eq(1)
            with m.Elif(facts.arp_answer & facts.arp_ours & facts.mac_ours):
                m.d.comb += self.arp_answers.eq(1)
            with m.Else():
                m.d.comb += self.arp_ignored.eq(1)
        with m.Elif(now & facts.icmp):
            with m.If(bad_packet):
                m.d.comb += self.icmp_malformed.eq(1)
            with m.Elif(facts.echo & for_us):
                m.d.comb += self.echo_requests.eq(1)
                m.d.sync += self.echo_reply.eq(1)
            with m.Else():
                m.d.comb += self.icmp_ignored.eq(1)
        with m.Elif(now):
            with m.If(bad_packet):
                m.d.comb += self.igmp_malformed.eq(1)
            with m.Elif(facts.query):
                m.d.comb += [self.igmp_queries.eq(1), self.query.eq(1)]
            with m.Else():
                m.d.comb += self.igmp_ignored.eq(1)
