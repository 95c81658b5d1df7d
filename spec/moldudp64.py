"""MoldUDP64 1.00: the datagrams that carry the feed, and requests for missed messages.

Ref: MoldUDP64 Protocol Specification 1.00, "Downstream Packet" and "Request Packet".

A datagram is a header and `count` message blocks; a block is its length in `BLOCK_LENGTH_SIZE`
octets and that many octets of message. The message k of a datagram has the sequence number
`sequence + k`; the first message of a session has 1. A request has the layout of the header.
"""

from tickgate.spec.fields import Field, Kind, Message

__all__ = [
    "BLOCK_LENGTH_SIZE",
    "END_OF_SESSION",
    "HEADER",
    "HEARTBEAT",
    "REQUEST",
]

HEADER = Message(
    "header",
    (
        Field("session", 10, Kind.ALPHA),
        Field("sequence", 8, Kind.UINT, "of the first message; of the next one when there is none"),
        Field("count", 2, Kind.UINT, "messages; HEARTBEAT and END_OF_SESSION carry none"),
    ),
)

REQUEST = Message(
    "request",
    (
        Field("session", 10, Kind.ALPHA),
        Field("sequence", 8, Kind.UINT, "of the first message wanted"),
        Field("count", 2, Kind.UINT, "messages wanted; fewer may come"),
    ),
)

BLOCK_LENGTH_SIZE = 2

HEARTBEAT = 0
END_OF_SESSION = 0xFFFF
