"""GLIMPSE 5.0: a snapshot of the books of TotalView-ITCH 5.0, over SoupBinTCP.

Ref: GLIMPSE for TotalView-ITCH 5.0. After a login that asks for message 1 come Stock Directory,
Stock Trading Action and Add Order messages as in ITCH, one a Sequenced Data packet, then the end.
"""

from tickgate.spec.fields import Field, Kind, Message

__all__ = ["END_OF_SNAPSHOT"]

END_OF_SNAPSHOT = Message(
    "end_of_snapshot",
    (
        Field("type", 1, Kind.ALPHA),
        Field("sequence", 20, Kind.ASCII_NUMBER, "of the ITCH message to go on with"),
    ),
    type="G",
)
