"""Makes the frames that the services send, an octet at a time.

Ref: RFC 826; RFC 791; RFC 792; RFC 2236; RFC 768; MoldUDP64 1.00, "Request Packet". The tables are
those of tickgate.spec.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.fcs import FCS_INITIAL, Crc32
from tickgate.hdl.net.capture import SLOT, Capture
from tickgate.hdl.net.examine import Finding
from tickgate.hdl.net.request import Request
from tickgate.hdl.net.sum import SerialSum
from tickgate.hdl.wire import place
from tickgate.spec import ethernet, fields, icmp, igmp, moldudp64
from tickgate.spec.fields import Field, Message

__all__ = ["Compose", "Kind", "Membership"]

TTL = 64
IP_AT = ethernet.ETHERNET.size
SOURCE_AT = IP_AT + ethernet.IPV4.offset("source")
BODY_AT = IP_AT + ethernet.IPV4.size
ROUTER_ALERT_SIZE = 4
DATAGRAM = ethernet.UDP.size + moldudp64.REQUEST.size
SHORTEST = ethernet.MIN_FRAME - ethernet.FCS_SIZE

OPTIONS = Message("options", (Field("router_alert", ROUTER_ALERT_SIZE, fields.Kind.UINT),))
ECHO = Message("echo", icmp.ECHO.fields[:3])
"""What of an echo reply is not copied from its request."""


def _multicast_mac(group) -> Value:
    """The address of a group; see `ethernet.multicast_mac`."""
    base = Const(ethernet.multicast_mac(igmp.ALL_SYSTEMS & 0xF000_0000) >> 23, 25)
    return Cat(group[:23], base)


class Kind(enum.IntEnum):
    """What is to be sent; the lower ones go first."""

    REQUEST = 0
    MEMBERSHIP = 1
    ARP_REPLY = 2
    ECHO_REPLY = 3
    ARP_REQUEST = 4


class Membership(data.Struct):
    """A report of membership in a group, or a leave."""

    leaves: 1
    group: 32


class Compose(wiring.Component):
    """Makes one frame at a time, with its checksums, padding and FCS.

    Latency: two cycles an octet and a few more. Throughput: one frame at a time.

    The octets of a frame are gone through twice: once to add them up, and once to give them out
    with the sums in their place.

    Members
    -------
    wanted : In(len(Kind))
        One bit a kind: such a frame is to be sent. Holds until `made`, as do the fields of it.
    made : Out(len(Kind))
        Strobe: its last octet has been given out.
    mac : In(48), ip : In(32)
        Of this station.
    finding : In(Finding)
        What the ARP or echo request said.
    address : Out(range(SLOT)), octet : In(8)
        Reads the echo request, as :class:`Capture` has it.
    membership : In(Membership), request : In(Request), asked : In(32)
        The address that an ARP request asks for.
    room : In(1)
        There is room for another frame.
    put : Out(1), out : Out(8), last : Out(1)
        An octet of the frame.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "wanted": In(len(Kind)),
                "made": Out(len(Kind)),
                "mac": In(48),
                "ip": In(32),
                "finding": In(Finding),
                "address": Out(range(SLOT)),
                "octet": In(8),
                "membership": In(Membership),
                "request": In(Request),
                "asked": In(32),
                "room": In(1),
                "put": Out(1),
                "out": Out(8),
                "last": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        kind, end = Signal(Kind), Signal(range(SLOT + 1))
        sums = {name: Signal(16, name=f"{name}_checksum") for name in ("ip", "body")}
        issued, going, summing = Signal(range(SLOT + 1)), Signal(), Signal()
        settling = Signal(range(SerialSum.LATENCY + Capture.READ_LATENCY + 1))
        clear = Signal()
        octet, at, arrives = self._fetch(m, kind=kind, sums=sums, issued=issued, going=going)
        totals = self._add(m, kind=kind, octet=octet, at=at, add=arrives & summing, clear=clear)
        sending = Signal()
        m.d.comb += sending.eq(arrives & ~summing)
        finished = self._give(m, octet=octet, at=at, end=end, sending=sending, clear=clear)
        with m.If(going):
            m.d.sync += issued.eq(issued + 1)
            with m.If(issued == end - 1):
                m.d.sync += going.eq(0)
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.wanted.any() & self.room):
                    m.next = "BEGIN"
                    for each in reversed(Kind):
                        with m.If(self.wanted[each]):
                            m.d.sync += kind.eq(each)
            with m.State("BEGIN"):
                m.d.comb += clear.eq(1)
                m.d.sync += [issued.eq(0), going.eq(1), summing.eq(1), settling.eq(0)]
                m.d.sync += [end.eq(self._end(kind)), sums["ip"].eq(0), sums["body"].eq(0)]
                m.next = "SUM"
            with m.State("SUM"):
                with m.If(~going):
                    m.d.sync += settling.eq(settling + 1)
                with m.If(settling == SerialSum.LATENCY + Capture.READ_LATENCY):
                    m.d.sync += [sums[name].eq(~total) for name, total in totals.items()]
                    with m.If((kind == Kind.REQUEST) & totals["body"].all()):
                        # The checksum of UDP is never 0, which would say that there is none.
                        m.d.sync += sums["body"].eq(0xFFFF)
                    m.d.sync += [issued.eq(0), going.eq(1), summing.eq(0)]
                    m.next = "SEND"
            with m.State("SEND"):
                with m.If(finished):
                    m.d.comb += self.made.bit_select(kind, 1).eq(1)
                    m.next = "MADE"
            with m.State("MADE"):
                # What was wanted is withdrawn now.
                m.next = "IDLE"
        return m

    def _end(self, kind):
        """The octets of a frame before its FCS."""
        packet = IP_AT + self.finding.size[:8]
        with_echo = Mux((kind == Kind.ECHO_REPLY) & (packet > SHORTEST), packet, SHORTEST)
        return Mux(kind == Kind.REQUEST, BODY_AT + DATAGRAM, with_echo)

    def _images(self, sums) -> dict[Kind, list[Value]]:
        """The octets of each kind, but for those of an echo that are copied."""
        membership, finding = self.membership, self.finding
        leaving = Const(igmp.ALL_ROUTERS, 32)
        group = Mux(membership.leaves, leaving, membership.group)
        report = {
            "type": Mux(membership.leaves, Const(igmp.LEAVE, 8), Const(igmp.REPORT, 8)),
            "checksum": sums["body"],
            "group": membership.group,
        }
        reply = {
            "operation": ethernet.ARP_REPLY,
            "sender_mac": self.mac,
            "sender_ip": self.ip,
            "target_mac": finding.mac,
            "target_ip": finding.ip,
        }
        question = {
            "operation": ethernet.ARP_REQUEST,
            "sender_mac": self.mac,
            "sender_ip": self.ip,
            "target_mac": 0,
            "target_ip": self.asked,
        }
        alert = place([OPTIONS], {"options": {"router_alert": igmp.ROUTER_ALERT}})
        request = self.request
        return {
            Kind.REQUEST: [
                *self._ethernet(request.mac),
                *self._ip(
                    sums,
                    version_ihl=ethernet.IPV4_VERSION_IHL,
                    total_length=ethernet.IPV4.size + DATAGRAM,
                    ttl=TTL,
                    protocol=ethernet.PROTOCOL_UDP,
                    destination=request.ip,
                ),
                *place(
                    [ethernet.UDP, moldudp64.REQUEST],
                    {
                        "udp": {
                            "source_port": request.source_port,
                            "destination_port": request.destination_port,
                            "length": DATAGRAM,
                            "checksum": sums["body"],
                        },
                        "request": {
                            name: request[name] for name in ("session", "sequence", "count")
                        },
                    },
                ),
            ],
            Kind.MEMBERSHIP: [
                *self._ethernet(_multicast_mac(group)),
                *self._ip(
                    sums,
                    version_ihl=igmp.VERSION_IHL,
                    total_length=ethernet.IPV4.size + ROUTER_ALERT_SIZE + igmp.MESSAGE.size,
                    ttl=igmp.TTL,
                    protocol=ethernet.PROTOCOL_IGMP,
                    destination=group,
                ),
                *alert,
                *place([igmp.MESSAGE], {"igmp": report}),
            ],
            Kind.ARP_REPLY: [
                *self._ethernet(finding.mac, ethernet.ETHERTYPE_ARP),
                *place([ethernet.ARP], {"arp": reply}),
            ],
            Kind.ECHO_REPLY: [
                *self._ethernet(finding.mac),
                *self._ip(
                    sums,
                    version_ihl=ethernet.IPV4_VERSION_IHL,
                    total_length=finding.size,
                    ttl=TTL,
                    protocol=ethernet.PROTOCOL_ICMP,
                    destination=finding.ip,
                ),
                *place([ECHO], {"echo": {"type": icmp.ECHO_REPLY, "checksum": sums["body"]}}),
            ],
            Kind.ARP_REQUEST: [
                *self._ethernet(Const(ethernet.BROADCAST, 48), ethernet.ETHERTYPE_ARP),
                *place([ethernet.ARP], {"arp": question}),
            ],
        }

    def _ethernet(self, destination, ethertype: int = ethernet.ETHERTYPE_IPV4) -> list[Value]:
        values = {"destination": destination, "source": self.mac, "ethertype": ethertype}
        return place([ethernet.ETHERNET], {"ethernet": values})

    def _ip(self, sums, **fields) -> list[Value]:
        """An IPv4 header; not to be fragmented, so that its identification may be 0 (RFC 6864)."""
        values = {
            "flags_fragment": ethernet.IPV4_DONT_FRAGMENT,
            "checksum": sums["ip"],
            "source": self.ip,
            **fields,
        }
        return place([ethernet.IPV4], {"ipv4": values})

    def _fetch(self, m: Module, *, kind, sums, issued, going):
        """Returns an octet of the frame, where it is in it, and whether there is one."""
        chosen = {}
        for each, image in self._images(sums).items():
            chosen[each] = Signal(8, name=f"octet_{each.name.lower()}")
            m.d.sync += chosen[each].eq(0)
            with m.Switch(issued):
                for n, value in enumerate(image):
                    with m.Case(n):
                        m.d.sync += chosen[each].eq(value)
        told, template = Signal(8), Signal(8)
        with m.Switch(kind):
            for each in Kind:
                with m.Case(each):
                    m.d.sync += told.eq(chosen[each])
        m.d.sync += template.eq(told)
        delay = Capture.READ_LATENCY
        at, arriving, copies = issued, Signal(delay), Signal()
        for _ in range(delay):
            before, at = at, Signal.like(issued, name="at")
            m.d.sync += at.eq(before)
        copied = (before >= BODY_AT + ECHO.size) & (before < IP_AT + self.finding.size[:8])
        m.d.sync += [
            arriving.eq(Cat(going, arriving)),
            copies.eq((kind == Kind.ECHO_REPLY) & copied),
        ]
        octet = Signal(8)
        m.d.comb += [
            self.address.eq(issued[: len(self.address)]),
            octet.eq(Mux(copies, self.octet, template)),
        ]
        return octet, at, arriving[-1]

    def _add(self, m: Module, *, kind, octet, at, add, clear) -> dict[str, Value]:
        """Adds up header and body; returns both sums."""
        m.submodules.ip_sum = ip_sum = SerialSum()
        m.submodules.body_sum = body_sum = SerialSum()
        header_end = Signal(range(BODY_AT + ROUTER_ALERT_SIZE + 1))
        body_at = Signal.like(header_end)
        # What UDP adds up begins with the addresses of the IPv4 header; protocol and length are
        # the start of the sum.
        options = Mux(kind == Kind.MEMBERSHIP, ROUTER_ALERT_SIZE, 0)
        m.d.sync += [
            header_end.eq(BODY_AT + options),
            body_at.eq(Mux(kind == Kind.REQUEST, SOURCE_AT, BODY_AT + options)),
        ]
        pseudo = Mux(kind == Kind.REQUEST, ethernet.PROTOCOL_UDP + DATAGRAM, 0)
        m.d.comb += body_sum.start.eq(pseudo)
        parts = ((ip_sum, (at >= IP_AT) & (at < header_end)), (body_sum, at >= body_at))
        for adder, part in parts:
            m.d.comb += [
                adder.clear.eq(clear),
                adder.add.eq(add & part),
                adder.octet.eq(octet),
                adder.upper.eq(~at[0]),
            ]
        return {"ip": ip_sum.total, "body": body_sum.total}

    def _give(self, m: Module, *, octet, at, end, sending, clear) -> Signal:
        """Gives out the frame and its FCS; returns whether that was the last octet."""
        m.submodules.crc = crc = Crc32(width=1)
        state, left, given = Signal(32), Signal(range(ethernet.FCS_SIZE + 1)), Signal()
        finished = Signal()
        m.d.comb += [
            crc.state.eq(state),
            crc.data.eq(octet),
            crc.count.eq(1),
            finished.eq(left == 1),
        ]
        m.d.sync += [
            self.put.eq(sending | left.any()),
            self.out.eq(Mux(left.any(), ~state[:8], octet)),
            self.last.eq(finished),
            given.eq(finished),
        ]
        with m.If(sending):
            m.d.sync += state.eq(crc.next_state)
            with m.If(at == end - 1):
                m.d.sync += left.eq(ethernet.FCS_SIZE)
        with m.If(left.any()):
            m.d.sync += [state.eq(state >> 8), left.eq(left - 1)]
        with m.If(clear):
            m.d.sync += state.eq(FCS_INITIAL)
        return given
