"""What becomes of a received frame: the datagram that the card takes of it, or why it takes none.

Written from the standards and not from the gateware, which the replay compares with it.

Ref: IEEE 802.3, clause 3; IEEE 802.1Q, clause 9; RFC 791; RFC 768.
"""

from dataclasses import dataclass

from tickgate.sim.model.feed import wire_struct
from tickgate.spec import ethernet

__all__ = ["CAUSES", "Reception", "receive", "seal"]

CAUSES = (
    "fcs_errors",
    "runts",
    "not_ip",
    "ip_version",
    "ip_options",
    "ip_checksum",
    "ip_length",
    "ip_fragment",
    "not_udp",
    "not_for_us",
    "udp_length",
    "truncated",
)
"""Why a frame is not sound, or not for us; the first that applies is counted."""

IPV4 = wire_struct(
    ethernet.IPV4, "version_ihl", "total_length", "flags_fragment", "protocol", "destination"
)
UDP = wire_struct(ethernet.UDP, "destination_port", "length")
VLAN = ethernet.ETHERTYPE_VLAN.to_bytes(2, "big")
IP = ethernet.ETHERTYPE_IPV4.to_bytes(2, "big")
HEADERS = ethernet.IPV4.size + ethernet.UDP.size
FRAGMENT = ethernet.IPV4_MORE_FRAGMENTS | ethernet.IPV4_FRAGMENT_OFFSET


@dataclass(frozen=True)
class Reception:
    """What the card makes of one frame.

    `cause` is the counter of what is wrong with it, None where nothing is. `at` and `size` tell
    where the payload is in the frame that is passed on all the same: the FCS comes last. `size` is
    -1 where none is; with `truncated` it is what is there.
    """

    cause: str | None
    address: int = 0
    port: int = 0
    at: int = 0
    size: int = -1


def seal(frame: bytes) -> bytes:
    """Returns the frame with its FCS at its end."""
    return frame + ethernet.fcs(frame).to_bytes(ethernet.FCS_SIZE, "little")


def receive(frame: bytes, destination: tuple[int, int] | None = None) -> Reception:
    """Examines a frame with FCS, as a card would that takes the datagrams for `destination`.

    `destination` is an IPv4 address and a UDP port; None takes any.
    """
    end = len(frame) - ethernet.FCS_SIZE
    damaged = seal(frame[: max(end, 0)]) != frame
    reception = _examine(frame, destination)
    if damaged:
        at, size = reception.at, reception.size
        return Reception("fcs_errors", reception.address, reception.port, at, size)
    return reception


def _examine(frame: bytes, destination: tuple[int, int] | None) -> Reception:
    at = ethernet.ETHERNET.size
    if frame[at - 2 : at] == VLAN:
        at += ethernet.VLAN_TAG.size
    udp_at = at + ethernet.IPV4.size
    payload_at = at + HEADERS
    if len(frame) <= payload_at:
        return Reception("runts")
    version_ihl, total, flags, protocol, address = IPV4.unpack_from(frame, at)
    port, udp_length = UDP.unpack_from(frame, udp_at)
    cause = None
    if frame[at - 2 : at] != IP:
        cause = "not_ip"
    elif ethernet.ipv4_version(version_ihl) != 4:
        cause = "ip_version"
    elif ethernet.ipv4_header_length(version_ihl) != ethernet.IPV4.size:
        cause = "ip_options"
    elif ethernet.ones_complement_sum(frame[at:udp_at]) != 0xFFFF:
        cause = "ip_checksum"
    elif total < HEADERS:
        cause = "ip_length"
    elif flags & FRAGMENT:
        cause = "ip_fragment"
    elif protocol != ethernet.PROTOCOL_UDP:
        cause = "not_udp"
    elif destination is not None and (address, port) != destination:
        cause = "not_for_us"
    elif udp_length != total - ethernet.IPV4.size:
        cause = "udp_length"
    if cause is not None:
        return Reception(cause)
    size = udp_length - ethernet.UDP.size
    if payload_at + size + ethernet.FCS_SIZE > len(frame):
        return Reception("truncated", address, port, payload_at, min(size, len(frame) - payload_at))
    return Reception(None, address, port, payload_at, size)
