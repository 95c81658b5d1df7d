"""TCP segments and the frames that carry them, read and written as wholes.

Ref: IEEE 802.3 clause 3, RFC 791 section 3.1, RFC 9293 sections 3.1 and 3.2, RFC 1071.
"""

from dataclasses import dataclass, replace
from typing import Self

from tickgate.spec import ethernet
from tickgate.spec.ethernet import ETHERNET, IPV4, TCP

__all__ = ["CAUSES", "Ends", "Segment", "judge", "pack_frame", "unpack_frame"]

TCP_AT = ETHERNET.size + IPV4.size
TTL = 64
OPTION_END, OPTION_NOP, OPTION_MSS = 0, 1, 2
OPTION_MSS_SIZE = 4

CAUSES = (
    "others",
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
"""Why a frame is not a segment of a connection, in the order in which they apply."""


@dataclass(frozen=True, kw_only=True)
class Ends:
    """From where to where a segment goes."""

    source_mac: int
    destination_mac: int
    source_ip: int
    destination_ip: int
    source_port: int
    destination_port: int

    def reversed(self) -> Self:
        """The way back."""
        return replace(
            self,
            source_mac=self.destination_mac,
            destination_mac=self.source_mac,
            source_ip=self.destination_ip,
            destination_ip=self.source_ip,
            source_port=self.destination_port,
            destination_port=self.source_port,
        )


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One TCP segment; `mss` is the option, None if it is not there; `options` are all octets."""

    sequence: int
    acknowledgement: int = 0
    flags: int = ethernet.TCP_ACK
    window: int = 0
    payload: bytes = b""
    options: bytes = b""

    @property
    def length(self) -> int:
        """What the segment takes of the sequence space."""
        counted = bool(self.flags & ethernet.TCP_SYN) + bool(self.flags & ethernet.TCP_FIN)
        return len(self.payload) + counted

    @property
    def mss(self) -> int | None:
        """The value of the option Maximum Segment Size; None if there is none that can be read."""
        at = 0
        while at < len(self.options):
            kind = self.options[at]
            if kind == OPTION_END:
                return None
            if kind == OPTION_NOP:
                at += 1
                continue
            size = self.options[at + 1] if at + 1 < len(self.options) else 0
            if size < 2 or at + size > len(self.options):
                return None
            if kind == OPTION_MSS and size == OPTION_MSS_SIZE:
                return int.from_bytes(self.options[at + 2 : at + 4], "big")
            at += size
        return None


def pack_frame(segment: Segment, ends: Ends, *, pad: bool = True, **wrong) -> bytes:
    """The frame of a segment, FCS included; `wrong` gives header fields other values.

    Checksums are computed over what is given, unless they are given.
    """
    options = segment.options.ljust(-(-len(segment.options) // 4) * 4, b"\0")
    header = {
        "source_port": ends.source_port,
        "destination_port": ends.destination_port,
        "sequence": segment.sequence,
        "acknowledgement": segment.acknowledgement,
        "data_offset": (TCP.size + len(options)) // 4 << 4,
        "flags": segment.flags,
        "window": segment.window,
        "checksum": 0,
        "urgent": 0,
    }
    size = TCP.size + len(options) + len(segment.payload)
    ip = {
        "version_ihl": ethernet.IPV4_VERSION_IHL,
        "dscp_ecn": 0,
        "total_length": IPV4.size + size,
        "identification": 0,
        "flags_fragment": ethernet.IPV4_DONT_FRAGMENT,
        "ttl": TTL,
        "protocol": ethernet.PROTOCOL_TCP,
        "checksum": 0,
        "source": ends.source_ip,
        "destination": ends.destination_ip,
    }
    tcp_checksum, ip_checksum = wrong.pop("tcp_checksum", None), wrong.pop("ip_checksum", None)
    ethertype = wrong.pop("ethertype", ethernet.ETHERTYPE_IPV4)
    for values in (header, ip):
        values.update({name: wrong[name] for name in wrong.keys() & values.keys()})
    if unknown := wrong.keys() - header.keys() - ip.keys():
        raise TypeError(f"no header has a field {', '.join(sorted(unknown))}")
    pseudo = ethernet.tcp_pseudo_header(
        ip["source"], ip["destination"], ethernet.PROTOCOL_TCP, (ip["total_length"] - 20) & 0xFFFF
    )
    body = TCP.pack(**header) + options + segment.payload
    if tcp_checksum is None:
        tcp_checksum = ethernet.internet_checksum(pseudo + body)
    if ip_checksum is None:
        ip_checksum = ethernet.internet_checksum(IPV4.pack(**ip))
    header["checksum"], ip["checksum"] = tcp_checksum, ip_checksum
    octets = ETHERNET.pack(
        destination=ends.destination_mac, source=ends.source_mac, ethertype=ethertype
    )
    octets += IPV4.pack(**ip) + TCP.pack(**header) + options + segment.payload
    if pad:
        octets = octets.ljust(ethernet.MIN_FRAME - ethernet.FCS_SIZE, b"\0")
    return octets + ethernet.fcs(octets).to_bytes(4, "little")


def judge(frame: bytes, ends: Ends, *, longest: int) -> str | None:
    """Why a frame, FCS included, is no segment that goes from `ends` source to destination."""
    if len(frame) < TCP_AT + TCP.size:
        return "others"
    ip = IPV4.unpack_from(frame, ETHERNET.size)
    tcp = TCP.unpack_from(frame, TCP_AT)
    addresses = (ip["source"], ip["destination"], ip["protocol"])
    if (
        ETHERNET.unpack_from(frame)["ethertype"] != ethernet.ETHERTYPE_IPV4
        or addresses != (ends.source_ip, ends.destination_ip, ethernet.PROTOCOL_TCP)
    ):  # fmt: skip
        return "others"
    total, header = ip["total_length"], ethernet.tcp_header_length(tcp["data_offset"])
    body = frame[TCP_AT : ETHERNET.size + total]
    pseudo = ethernet.tcp_pseudo_header(
        ip["source"], ip["destination"], ethernet.PROTOCOL_TCP, len(body)
    )
    fragment = ethernet.IPV4_MORE_FRAGMENTS | ethernet.IPV4_FRAGMENT_OFFSET
    checks = (
        ("damaged", ethernet.fcs(frame[:-4]) != int.from_bytes(frame[-4:], "little")),
        ("ip_options", ip["version_ihl"] != ethernet.IPV4_VERSION_IHL),
        ("ip_checksum", ethernet.ones_complement_sum(frame[ETHERNET.size : TCP_AT]) != 0xFFFF),
        ("ip_length", total < IPV4.size + TCP.size),
        ("ip_fragment", ip["flags_fragment"] & fragment),
        (
            "other_port",
            (tcp["source_port"], tcp["destination_port"])
            != (ends.source_port, ends.destination_port),
        ),
        ("tcp_offset", header < TCP.size or IPV4.size + header > total),
        ("truncated", ETHERNET.size + total + ethernet.FCS_SIZE > len(frame)),
        ("overlong", total - IPV4.size - header > longest),
        ("tcp_checksum", ethernet.ones_complement_sum(pseudo + body) != 0xFFFF),
    )
    return next((cause for cause, applies in checks if applies), None)


def unpack_frame(frame: bytes) -> Segment:
    """The segment in a frame that `judge` has nothing against."""
    ip = IPV4.unpack_from(frame, ETHERNET.size)
    tcp = TCP.unpack_from(frame, TCP_AT)
    body = frame[TCP_AT : ETHERNET.size + ip["total_length"]]
    header = ethernet.tcp_header_length(tcp["data_offset"])
    return Segment(
        sequence=tcp["sequence"],
        acknowledgement=tcp["acknowledgement"],
        flags=tcp["flags"],
        window=tcp["window"],
        payload=body[header:],
        options=body[TCP.size : header],
    )
