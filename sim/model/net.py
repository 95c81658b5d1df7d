"""Model of a station's answers: ARP, ICMP echo and IGMP queries, as whole frames.

Ref: RFC 826; RFC 791; RFC 792; RFC 1122, section 3.2.2.6; RFC 2236.
"""

from typing import NamedTuple

from tickgate.spec import ethernet, icmp, igmp
from tickgate.spec.fields import WireError

__all__ = ["LONGEST", "Answer", "Station", "leave", "report"]

LONGEST = 256
"""Octets of a frame, FCS included, that the card looks into."""

IP_AT = ethernet.ETHERNET.size
TTL = 64


class Answer(NamedTuple):
    """What becomes of a frame.

    `counter` is the one that it raises, None if it is none of these protocols; `reply` the frame
    that is sent, without its FCS; `group` that of a query, 0 for all.
    """

    counter: str | None
    reply: bytes | None = None
    group: int | None = None


def _frame(destination: int, source: int, ethertype: int, payload: bytes) -> bytes:
    header = ethernet.ETHERNET.pack(destination=destination, source=source, ethertype=ethertype)
    return (header + payload).ljust(ethernet.MIN_FRAME - ethernet.FCS_SIZE, b"\0")


def _packet(
    source: int, destination: int, protocol: int, body: bytes, *, ttl: int = TTL, options=b""
) -> bytes:
    values = {
        "version_ihl": ethernet.IPV4_VERSION_IHL + len(options) // 4,
        "dscp_ecn": 0,
        "total_length": ethernet.IPV4.size + len(options) + len(body),
        "identification": 0,
        "flags_fragment": ethernet.IPV4_DONT_FRAGMENT,
        "ttl": ttl,
        "protocol": protocol,
        "source": source,
        "destination": destination,
    }
    bare = ethernet.IPV4.pack(**values, checksum=0) + options
    checksum = ethernet.internet_checksum(bare)
    return ethernet.IPV4.pack(**values, checksum=checksum) + options + body


def _membership(mac: int, ip: int, type_: int, group: int, destination: int) -> bytes:
    values = {"type": type_, "max_response_time": 0, "group": group}
    checksum = ethernet.internet_checksum(igmp.MESSAGE.pack(**values, checksum=0))
    body = igmp.MESSAGE.pack(**values, checksum=checksum)
    options = igmp.ROUTER_ALERT.to_bytes(4, "big")
    packet = _packet(ip, destination, ethernet.PROTOCOL_IGMP, body, ttl=igmp.TTL, options=options)
    mac_of_group = ethernet.multicast_mac(destination)
    return _frame(mac_of_group, mac, ethernet.ETHERTYPE_IPV4, packet)


def report(mac: int, ip: int, group: int) -> bytes:
    """The frame, without FCS, that reports membership of a group."""
    return _membership(mac, ip, igmp.REPORT, group, group)


def leave(mac: int, ip: int, group: int) -> bytes:
    """The frame, without FCS, that says that a group is left."""
    return _membership(mac, ip, igmp.LEAVE, group, igmp.ALL_ROUTERS)


class Station:
    """Answers frames without a tag, which are sound and come one at a time.

    Parameters
    ----------
    mac, ip : int
        With `ip` 0 it has no address.
    """

    def __init__(self, *, mac: int, ip: int) -> None:
        self._mac, self._ip = mac, ip

    def answer(self, frame: bytes) -> Answer:
        """What becomes of a frame with a right FCS."""
        body = frame[: -ethernet.FCS_SIZE]
        if len(body) + ethernet.FCS_SIZE < IP_AT + ethernet.IPV4.size:
            return Answer(None)
        header = ethernet.ETHERNET.unpack_from(body)
        protocol = body[IP_AT + ethernet.IPV4.offset("protocol")]
        known = (ethernet.PROTOCOL_ICMP, ethernet.PROTOCOL_IGMP)
        is_arp = header["ethertype"] == ethernet.ETHERTYPE_ARP
        if not is_arp and (header["ethertype"] != ethernet.ETHERTYPE_IPV4 or protocol not in known):
            return Answer(None)
        if len(frame) > LONGEST:
            return Answer("too_long")
        if is_arp:
            return self._arp(body[IP_AT:], for_us=header["destination"] == self._mac)
        packet = self._unwrap(body[IP_AT:])
        if protocol == ethernet.PROTOCOL_IGMP:
            return self._igmp(packet)
        return self._icmp(header, body[IP_AT:], packet)

    def _arp(self, octets: bytes, *, for_us: bool) -> Answer:
        try:
            request = ethernet.ARP.unpack_from(octets)
        except WireError:
            return Answer("arp_malformed")
        sender = int(request["sender_mac"])
        if sender >> 40 & 1:
            return Answer("arp_malformed")
        ours = request["target_ip"] == self._ip != 0
        if request["operation"] == ethernet.ARP_REPLY and ours and for_us:
            return Answer("arp_answers")
        if request["operation"] != ethernet.ARP_REQUEST or not ours:
            return Answer("arp_ignored")
        reply = ethernet.ARP.pack(
            hardware_type=1,
            protocol_type=ethernet.ETHERTYPE_IPV4,
            hardware_size=6,
            protocol_size=4,
            operation=ethernet.ARP_REPLY,
            sender_mac=self._mac,
            sender_ip=self._ip,
            target_mac=sender,
            target_ip=request["sender_ip"],
        )
        return Answer("arp_requests", _frame(sender, self._mac, ethernet.ETHERTYPE_ARP, reply))

    @staticmethod
    def _unwrap(octets: bytes) -> bytes | None:
        """What a sound IPv4 packet carries, a message with its right checksum; None if not that."""
        ip = ethernet.IPV4.unpack_from(octets)
        length = ethernet.ipv4_header_length(ip["version_ihl"])
        fragment = ethernet.IPV4_MORE_FRAGMENTS | ethernet.IPV4_FRAGMENT_OFFSET
        message = octets[length : ip["total_length"]]
        sound = (
            ethernet.ipv4_version(ip["version_ihl"]) == 4
            and length >= ethernet.IPV4.size
            and not ip["flags_fragment"] & fragment
            and length + icmp.ECHO.size <= ip["total_length"] <= len(octets)
            and ethernet.ones_complement_sum(octets[:length]) == 0xFFFF
            and ethernet.ones_complement_sum(message) == 0xFFFF
        )
        return message if sound else None

    def _icmp(self, header: dict, octets: bytes, message: bytes | None) -> Answer:
        if message is None:
            return Answer("icmp_malformed")
        ip = ethernet.IPV4.unpack_from(octets)
        station = 0 < ip["source"] < 0xE000_0000
        plain = ip["version_ihl"] == ethernet.IPV4_VERSION_IHL
        ours = ip["destination"] == self._ip != 0 and header["destination"] == self._mac
        echo = icmp.ECHO.unpack_from(message)
        if (echo["type"], echo["code"]) != (icmp.ECHO_REQUEST, 0):
            return Answer("icmp_ignored")
        if not (ours and plain and station):
            return Answer("icmp_ignored")
        values = {**echo, "type": icmp.ECHO_REPLY, "checksum": 0}
        data = message[icmp.ECHO.size :]
        values["checksum"] = ethernet.internet_checksum(icmp.ECHO.pack(**values) + data)
        reply = icmp.ECHO.pack(**values) + data
        packet = _packet(self._ip, ip["source"], ethernet.PROTOCOL_ICMP, reply)
        frame = _frame(header["source"], self._mac, ethernet.ETHERTYPE_IPV4, packet)
        return Answer("echo_requests", frame)

    @staticmethod
    def _igmp(message: bytes | None) -> Answer:
        if message is None:
            return Answer("igmp_malformed")
        query = igmp.MESSAGE.unpack_from(message)
        if query["type"] != igmp.QUERY:
            return Answer("igmp_ignored")
        return Answer("igmp_queries", group=int(query["group"]))
