"""Ethernet II, 802.1Q, ARP, IPv4, UDP and TCP headers, and their two checksums.

Ref: IEEE 802.3 clause 3 (frame, FCS), IEEE 802.1Q clause 9 (tag), RFC 826 (ARP), RFC 791 (IPv4),
RFC 1071 (Internet checksum), RFC 768 (UDP), RFC 9293 section 3.1 (TCP), RFC 1112 section 6.4
(multicast addresses).

Fields of less than an octet are kept in the octets that the standard draws; helpers take them
apart. Addresses are numbers, the first octet of the wire on top.
"""

import zlib
from typing import Final

from tickgate.spec.fields import Field, Kind, Message, WireError

__all__ = [
    "ARP",
    "ARP_REPLY",
    "ARP_REQUEST",
    "BROADCAST",
    "ETHERNET",
    "ETHERTYPE_ARP",
    "ETHERTYPE_IPV4",
    "ETHERTYPE_VLAN",
    "FCS_SIZE",
    "INTERFRAME_GAP",
    "IPV4",
    "IPV4_DONT_FRAGMENT",
    "IPV4_FRAGMENT_OFFSET",
    "IPV4_MORE_FRAGMENTS",
    "IPV4_VERSION_IHL",
    "MAX_FRAME",
    "MIN_FRAME",
    "PREAMBLE_SIZE",
    "PROTOCOL_ICMP",
    "PROTOCOL_IGMP",
    "PROTOCOL_TCP",
    "PROTOCOL_UDP",
    "TCP",
    "TCP_ACK",
    "TCP_DATA_OFFSET",
    "TCP_FIN",
    "TCP_PSH",
    "TCP_RST",
    "TCP_SYN",
    "TCP_URG",
    "UDP",
    "VLAN_TAG",
    "fcs",
    "format_ipv4",
    "format_mac",
    "internet_checksum",
    "ipv4_header_length",
    "ipv4_version",
    "multicast_mac",
    "ones_complement_sum",
    "parse_ipv4",
    "parse_mac",
    "tcp_header_length",
    "tcp_pseudo_header",
]

UINT: Final = Kind.UINT

PREAMBLE_SIZE = 8  # with the start-of-frame delimiter
INTERFRAME_GAP = 12
FCS_SIZE = 4
MIN_FRAME = 64  # from the destination address to the FCS
MAX_FRAME = 1518  # 4 more with an 802.1Q tag
BROADCAST = 0xFFFF_FFFF_FFFF

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_VLAN = 0x8100

ETHERNET = Message(
    "ethernet",
    (
        Field("destination", 6, UINT),
        Field("source", 6, UINT),
        Field("ethertype", 2, UINT),
    ),
)

VLAN_TAG = Message(
    "vlan_tag",
    (
        Field("tci", 2, UINT, "priority 3 bits, drop eligible 1, VLAN identifier 12"),
        Field("ethertype", 2, UINT, "of what follows"),
    ),
    note="follows an ETHERNET header with the type ETHERTYPE_VLAN",
)

ARP_REQUEST = 1
ARP_REPLY = 2

ARP = Message(
    "arp",
    (
        Field("hardware_type", 2, UINT, fixed=1),
        Field("protocol_type", 2, UINT, fixed=ETHERTYPE_IPV4),
        Field("hardware_size", 1, UINT, fixed=6),
        Field("protocol_size", 1, UINT, fixed=4),
        Field("operation", 2, UINT, "ARP_REQUEST or ARP_REPLY"),
        Field("sender_mac", 6, UINT),
        Field("sender_ip", 4, UINT),
        Field("target_mac", 6, UINT, "0 in a request"),
        Field("target_ip", 4, UINT),
    ),
)

PROTOCOL_ICMP = 1
PROTOCOL_IGMP = 2
PROTOCOL_TCP = 6
PROTOCOL_UDP = 17

IPV4_VERSION_IHL = 0x45  # version 4, header of 5 words: no options
IPV4_DONT_FRAGMENT = 0x4000
IPV4_MORE_FRAGMENTS = 0x2000
IPV4_FRAGMENT_OFFSET = 0x1FFF

IPV4 = Message(
    "ipv4",
    (
        Field("version_ihl", 1, UINT, "version 4 bits, header length in words 4"),
        Field("dscp_ecn", 1, UINT),
        Field("total_length", 2, UINT, "octets, this header included"),
        Field("identification", 2, UINT),
        Field("flags_fragment", 2, UINT, "reserved 1 bit, DF 1, MF 1, offset in 8 octets 13"),
        Field("ttl", 1, UINT),
        Field("protocol", 1, UINT),
        Field("checksum", 2, UINT, "of the header"),
        Field("source", 4, UINT),
        Field("destination", 4, UINT),
    ),
    note="without options",
)

UDP = Message(
    "udp",
    (
        Field("source_port", 2, UINT),
        Field("destination_port", 2, UINT),
        Field("length", 2, UINT, "octets, this header included"),
        Field("checksum", 2, UINT, "0: none was computed"),
    ),
)

TCP_FIN = 0x01
TCP_SYN = 0x02
TCP_RST = 0x04
TCP_PSH = 0x08
TCP_ACK = 0x10
TCP_URG = 0x20
TCP_DATA_OFFSET = 0x50  # header of 5 words: no options

TCP = Message(
    "tcp",
    (
        Field("source_port", 2, UINT),
        Field("destination_port", 2, UINT),
        Field("sequence", 4, UINT),
        Field("acknowledgement", 4, UINT),
        Field("data_offset", 1, UINT, "header length in words 4 bits, reserved 4"),
        Field("flags", 1, UINT),
        Field("window", 2, UINT),
        Field("checksum", 2, UINT, "of pseudo header, header and data"),
        Field("urgent", 2, UINT),
    ),
    note="without options",
)


def ipv4_version(version_ihl: int) -> int:
    """Returns the version in the first octet of an IPv4 header."""
    return version_ihl >> 4


def ipv4_header_length(version_ihl: int) -> int:
    """Returns the octets of the header that begins with this octet, options included."""
    return (version_ihl & 0xF) * 4


def tcp_header_length(data_offset: int) -> int:
    """Returns the octets of the TCP header with this data offset octet, options included."""
    return (data_offset >> 4) * 4


def ones_complement_sum(data: bytes, start: int = 0) -> int:
    """Returns the 16-bit one's complement sum of `data` and `start`, not inverted.

    An odd octet at the end counts as the upper half of a word. Over data that holds its own
    correct checksum the sum is 0xFFFF.
    """
    padded = data + b"\0" * (len(data) % 2)
    total = start + sum(
        int.from_bytes(padded[at : at + 2], "big") for at in range(0, len(padded), 2)
    )
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def internet_checksum(data: bytes, start: int = 0) -> int:
    """Returns what belongs in the checksum field of `data`, in which that field is 0."""
    return ones_complement_sum(data, start) ^ 0xFFFF


def tcp_pseudo_header(source: int, destination: int, protocol: int, length: int) -> bytes:
    """Returns the 12 octets that the checksum of TCP and UDP covers beside the segment.

    `length` is that of header and data in octets.
    """
    return b"".join(
        value.to_bytes(size, "big")
        for value, size in ((source, 4), (destination, 4), (0, 1), (protocol, 1), (length, 2))
    )


def fcs(data: bytes) -> int:
    """Returns the frame check sequence of the frame `data` without one.

    Its octets follow the frame with the lowest first: `fcs(frame).to_bytes(4, "little")`.
    """
    return zlib.crc32(data)


def multicast_mac(address: int) -> int:
    """Returns the Ethernet address to which the IPv4 multicast group `address` is sent."""
    if address >> 28 != 0xE:
        raise WireError(f"{format_ipv4(address)} is not an IPv4 multicast address")
    return 0x0100_5E00_0000 | address & 0x7F_FFFF


def parse_ipv4(text: str) -> int:
    """Returns the number of an address such as 233.54.12.111."""
    parts = text.split(".")
    if len(parts) != 4 or not all(
        part.isascii() and part.isdecimal() and int(part) < 256 for part in parts
    ):
        raise WireError(f"{text!r} is not an IPv4 address such as 233.54.12.111")
    return int.from_bytes(bytes(int(part) for part in parts), "big")


def format_ipv4(address: int) -> str:
    """Returns an address as text, such as 233.54.12.111."""
    return ".".join(str(octet) for octet in address.to_bytes(4, "big"))


def parse_mac(text: str) -> int:
    """Returns the number of an address such as 01:00:5e:36:0c:6f."""
    parts = text.split(":")
    try:
        if len(parts) != 6 or any(len(part) != 2 for part in parts):
            raise ValueError
        return int.from_bytes(bytes.fromhex("".join(parts)), "big")
    except ValueError:
        raise WireError(f"{text!r} is not an Ethernet address such as 01:00:5e:36:0c:6f") from None


def format_mac(address: int) -> str:
    """Returns an address as text, such as 01:00:5e:36:0c:6f."""
    return address.to_bytes(6, "big").hex(":")
