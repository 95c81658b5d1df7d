"""Model of the order encoder: an approved order as the Ethernet frame that leaves.

Ref: OUCH 5.0, Enter Order; SoupBinTCP 4.00, section 2.2; RFC 9293, section 3.1; RFC 791.
"""

from dataclasses import dataclass

from tickgate.sim.model.feed import SELL
from tickgate.sim.model.risk import Order
from tickgate.spec import ethernet, ouch50, soupbintcp

__all__ = ["SEGMENT_SIZE", "Session", "encode"]

ENTER_ORDER = ouch50.INBOUND["O"]

SEGMENT_SIZE = soupbintcp.HEADER.size + ENTER_ORDER.size
"""Octets of TCP data in a frame, by which the next frame's TCP sequence number is higher."""

TTL = 64


@dataclass(frozen=True, kw_only=True)
class Session:
    """What is the same in each order frame: addresses, TCP state, order attributes."""

    destination_mac: int
    source_mac: int
    source_ip: int
    destination_ip: int
    source_port: int
    destination_port: int
    acknowledgement: int = 0
    window: int = 0xFFFF
    time_in_force: str = ouch50.TimeInForce.IMMEDIATE_OR_CANCEL
    display: str = "Y"
    capacity: str = "P"
    intermarket_sweep: str = "N"
    cross_type: str = "N"
    clordid: str = ""


def encode(order: Order, *, session: Session, name: str, tcp_sequence: int) -> bytes:
    """The frame of `order` from the destination address to the FCS inclusive, 108 octets.

    `name` is that of the order's symbol, `tcp_sequence` that of the first octet of data. Raises
    `WireError` where a value does not fit its field.
    """
    enter = ENTER_ORDER.pack(
        user_ref_num=order.user_ref_num,
        side="S" if order.side == SELL else "B",
        quantity=order.quantity,
        symbol=name,
        price=order.price,
        tif=session.time_in_force,
        display=session.display,
        capacity=session.capacity,
        iso=session.intermarket_sweep,
        cross_type=session.cross_type,
        clordid=session.clordid,
        appendage_len=0,
    )
    packet = soupbintcp.pack(soupbintcp.UNSEQUENCED_DATA, enter)
    segment = _segment(packet, session, tcp_sequence)
    frame = (
        ethernet.ETHERNET.pack(
            destination=session.destination_mac,
            source=session.source_mac,
            ethertype=ethernet.ETHERTYPE_IPV4,
        )
        + _ipv4(session, len(segment))
        + segment
    )
    return frame + ethernet.fcs(frame).to_bytes(ethernet.FCS_SIZE, "little")


def _ipv4(session: Session, size: int) -> bytes:
    values = {
        "version_ihl": ethernet.IPV4_VERSION_IHL,
        "dscp_ecn": 0,
        "total_length": ethernet.IPV4.size + size,
        "identification": 0,
        "flags_fragment": ethernet.IPV4_DONT_FRAGMENT,
        "ttl": TTL,
        "protocol": ethernet.PROTOCOL_TCP,
        "source": session.source_ip,
        "destination": session.destination_ip,
    }
    checksum = ethernet.internet_checksum(ethernet.IPV4.pack(checksum=0, **values))
    return ethernet.IPV4.pack(checksum=checksum, **values)


def _segment(packet: bytes, session: Session, tcp_sequence: int) -> bytes:
    values = {
        "source_port": session.source_port,
        "destination_port": session.destination_port,
        "sequence": tcp_sequence,
        "acknowledgement": session.acknowledgement,
        "data_offset": ethernet.TCP_DATA_OFFSET,
        "flags": ethernet.TCP_PSH | ethernet.TCP_ACK,
        "window": session.window,
        "urgent": 0,
    }
    pseudo = ethernet.tcp_pseudo_header(
        session.source_ip,
        session.destination_ip,
        ethernet.PROTOCOL_TCP,
        ethernet.TCP.size + len(packet),
    )
    checksum = ethernet.internet_checksum(pseudo + ethernet.TCP.pack(checksum=0, **values) + packet)
    return ethernet.TCP.pack(checksum=checksum, **values) + packet
