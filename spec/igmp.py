"""IGMP version 2: membership of multicast groups, told to the routers beside.

Ref: RFC 2236, section 2 (messages), section 9 (addresses); RFC 3376, sections 4.1 (the query of
version 3, which begins as that of version 2) and 7 (why its routers take reports of version 2);
RFC 2113 (the option router alert).

Each message travels in an IPv4 packet with TTL 1 and the option `ROUTER_ALERT`.
"""

from typing import Final

from tickgate.spec.fields import Field, Kind, Message

__all__ = [
    "ALL_ROUTERS",
    "ALL_SYSTEMS",
    "LEAVE",
    "MESSAGE",
    "QUERY",
    "REPORT",
    "RESPONSE_TIME_MS",
    "ROUTER_ALERT",
    "TTL",
    "UNSOLICITED_REPORT_INTERVAL_MS",
    "V1_RESPONSE_TIME",
    "VERSION_IHL",
]

UINT: Final = Kind.UINT

QUERY = 0x11
REPORT = 0x16
LEAVE = 0x17

MESSAGE = Message(
    "igmp",
    (
        Field("type", 1, UINT, "QUERY, REPORT or LEAVE"),
        Field("max_response_time", 1, UINT, "in RESPONSE_TIME_MS; of a query, else 0"),
        Field("checksum", 2, UINT, "of the message"),
        Field("group", 4, UINT, "0 in a query for all groups"),
    ),
    note="a query of version 3 goes on behind these fields",
)

RESPONSE_TIME_MS = 100
V1_RESPONSE_TIME = 100
"""What a `max_response_time` of 0 means: that is a query of version 1."""
UNSOLICITED_REPORT_INTERVAL_MS = 10_000

ALL_SYSTEMS = 0xE000_0001
"""Queries for all groups go here; nobody reports this group."""
ALL_ROUTERS = 0xE000_0002
"""A leave goes here, a report to its group."""

TTL = 1
VERSION_IHL = 0x46
"""An IPv4 header with one word of options, which is `ROUTER_ALERT`."""
ROUTER_ALERT = 0x9404_0000
