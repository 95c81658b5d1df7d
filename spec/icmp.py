"""ICMP echo messages.

Ref: RFC 792, "Echo or Echo Reply Message"; RFC 1122, section 3.2.2.6.

The checksum covers the whole message, data included, and comes from `ethernet.internet_checksum`.
"""

from typing import Final

from tickgate.spec.fields import Field, Kind, Message

__all__ = ["ECHO", "ECHO_REPLY", "ECHO_REQUEST"]

UINT: Final = Kind.UINT

ECHO_REPLY = 0
ECHO_REQUEST = 8

ECHO = Message(
    "echo",
    (
        Field("type", 1, UINT, "ECHO_REQUEST or ECHO_REPLY"),
        Field("code", 1, UINT, "0"),
        Field("checksum", 2, UINT, "of the message"),
        Field("identifier", 2, UINT),
        Field("sequence", 2, UINT),
    ),
    note="data of any length follows; a reply carries that of its request",
)
