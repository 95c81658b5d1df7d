"""OUCH 5.0: orders to the venue and their life back from it, carried by SoupBinTCP.

Ref: NASDAQ OUCH 5.0, section 2 "Inbound Messages", section 3 "Outbound Messages" and appendix A
"Appendages". Entries marked "newer" or "older" are not in every revision.

Prices are 8 octets with 4 decimals, timestamps 8 octets of nanoseconds. A message may end with an
appendage: its length in 2 octets, then elements of length, tag and value. Messages whose table
ends with `appendage_len` always have that length, even when it is 0. Those in
`OPTIONAL_APPENDAGE` may leave it out: only the length of the message tells.
"""

import enum
from collections.abc import Mapping
from typing import NamedTuple

from tickgate.spec.fields import Field, Kind, Message, Value, WireError

__all__ = [
    "AIQ_CANCELED_WITH_STRATEGY",
    "APPENDAGE_TAGS",
    "INBOUND",
    "MARKET_IN_CROSS",
    "MAX_PRICE",
    "MAX_QUANTITY",
    "OPTIONAL_APPENDAGE",
    "OUTBOUND",
    "Appendage",
    "CancelReason",
    "Decoded",
    "RejectReason",
    "Tag",
    "TimeInForce",
    "decode",
    "encode",
    "pack_appendage",
    "unpack_appendage",
]

UINT, INT, ALPHA, PRICE4, TIME_NS = Kind.UINT, Kind.INT, Kind.ALPHA, Kind.PRICE4, Kind.TIME_NS

MAX_PRICE = 1_999_999_900  # 199,999.99 USD
MARKET_IN_CROSS = 0x7FFF_FFFF  # the price of a market order in a cross
MAX_QUANTITY = 999_999


class TimeInForce(enum.StrEnum):
    """Values of the field `tif`."""

    DAY = "0"
    IMMEDIATE_OR_CANCEL = "3"
    EXTENDED_HOURS = "5"
    UNTIL_EXPIRE_TIME = "6"
    AFTER_HOURS = "E"


class CancelReason(enum.StrEnum):
    """Values of the field `reason` of Canceled and AIQ Canceled (appendix B)."""

    REGULATORY_RESTRICTION = "D"
    CLOSED = "E"
    POST_ONLY_AWAY = "F"
    POST_ONLY = "G"
    HALTED = "H"
    IMMEDIATE_OR_CANCEL = "I"
    MARKET_COLLARS = "K"
    SELF_MATCH_PREVENTION = "Q"
    SUPERVISORY = "S"
    TIMEOUT = "T"
    USER_REQUESTED = "U"
    OPEN_PROTECTION = "X"
    SYSTEM_CANCEL = "Z"


class RejectReason(enum.IntEnum):
    """Values of the field `reason` of Rejected (appendix C); risk reasons follow from 0x20 on."""

    QUOTE_UNAVAILABLE = 0x01
    DESTINATION_CLOSED = 0x02
    INVALID_DISPLAY = 0x03
    INVALID_MAX_FLOOR = 0x04
    INVALID_PEG_TYPE = 0x05
    FAT_FINGER = 0x06
    HALTED = 0x07
    ISO_NOT_ALLOWED = 0x08
    INVALID_SIDE = 0x09
    PROCESSING_ERROR = 0x0A
    CANCEL_PENDING = 0x0B
    FIRM_NOT_AUTHORIZED = 0x0C
    INVALID_MIN_QUANTITY = 0x0D
    NO_CLOSING_REFERENCE_PRICE = 0x0E
    OTHER = 0x0F
    CANCEL_NOT_ALLOWED = 0x10
    PEGGING_NOT_ALLOWED = 0x11
    CROSSED_MARKET = 0x12
    INVALID_QUANTITY = 0x13
    INVALID_CROSS_ORDER = 0x14
    REPLACE_NOT_ALLOWED = 0x15
    ROUTING_NOT_ALLOWED = 0x16
    INVALID_SYMBOL = 0x17
    TEST = 0x18
    LATE_LOC_TOO_AGGRESSIVE = 0x19
    RETAIL_NOT_ALLOWED = 0x1A
    INVALID_MIDPOINT_POST_ONLY_PRICE = 0x1B
    INVALID_DESTINATION = 0x1C
    INVALID_PRICE = 0x1D
    SHARES_EXCEED_THRESHOLD = 0x1E
    EXCEEDS_MAXIMUM_NOTIONAL = 0x1F


_APPENDAGE_LEN = Field("appendage_len", 2, UINT, "octets of the elements that follow")


def _message(type_: str, name: str, *fields: Field, note: str = "") -> Message:
    return Message(name, (Field("type", 1, ALPHA), *fields), type=type_, note=note)


def _outbound(type_: str, name: str, *fields: Field, note: str = "") -> Message:
    return _message(type_, name, Field("timestamp", 8, TIME_NS), *fields, note=note)


def _by_type(*messages: Message) -> dict[str, Message]:
    return {message.type: message for message in messages if message.type}


INBOUND: dict[str, Message] = _by_type(
    _message(
        "O",
        "enter_order",
        Field("user_ref_num", 4, UINT, "rises over the day; a lower or equal one is ignored"),
        Field("side", 1, ALPHA, "B: buy, S: sell, T: sell short, E: sell short exempt"),
        Field("quantity", 4, UINT, "1 to MAX_QUANTITY"),
        Field("symbol", 8, ALPHA),
        Field("price", 8, PRICE4),
        Field("tif", 1, ALPHA, "see TimeInForce"),
        Field("display", 1, ALPHA, "Y: visible, N: hidden, A: attributable"),
        Field("capacity", 1, ALPHA, "A: agency, P: principal, R: riskless principal"),
        Field("iso", 1, ALPHA, "Y: intermarket sweep order"),
        Field("cross_type", 1, ALPHA, "N: continuous market"),
        Field("clordid", 14, ALPHA),
        _APPENDAGE_LEN,
    ),
    _message(
        "U",
        "replace_order",
        Field("orig_user_ref_num", 4, UINT),
        Field("user_ref_num", 4, UINT),
        Field("quantity", 4, UINT),
        Field("price", 8, PRICE4),
        Field("tif", 1, ALPHA),
        Field("display", 1, ALPHA),
        Field("iso", 1, ALPHA),
        Field("clordid", 14, ALPHA),
        _APPENDAGE_LEN,
    ),
    _message(
        "X",
        "cancel_order",
        Field("user_ref_num", 4, UINT),
        Field("quantity", 4, UINT, "the new size; 0: cancel all"),
    ),
    _message(
        "M",
        "modify_order",
        Field("user_ref_num", 4, UINT),
        Field("side", 1, ALPHA),
        Field("quantity", 4, UINT),
    ),
    _message(
        "C",
        "mass_cancel",
        Field("user_ref_num", 4, UINT),
        Field("firm", 4, ALPHA),
        Field("symbol", 8, ALPHA),
        _APPENDAGE_LEN,
        note="newer",
    ),
    _message(
        "D",
        "disable_order_entry",
        Field("user_ref_num", 4, UINT),
        Field("firm", 4, ALPHA),
        _APPENDAGE_LEN,
        note="newer",
    ),
    _message(
        "E",
        "enable_order_entry",
        Field("user_ref_num", 4, UINT),
        Field("firm", 4, ALPHA),
        _APPENDAGE_LEN,
        note="newer",
    ),
    _message("Q", "account_query"),
)

OUTBOUND: dict[str, Message] = _by_type(
    _outbound("S", "system_event", Field("event_code", 1, ALPHA)),
    _outbound(
        "A",
        "accepted",
        Field("user_ref_num", 4, UINT),
        Field("side", 1, ALPHA),
        Field("quantity", 4, UINT),
        Field("symbol", 8, ALPHA),
        Field("price", 8, PRICE4),
        Field("tif", 1, ALPHA),
        Field("display", 1, ALPHA),
        Field("order_ref", 8, UINT, "the order reference number in ITCH"),
        Field("capacity", 1, ALPHA),
        Field("iso", 1, ALPHA),
        Field("cross_type", 1, ALPHA),
        Field("order_state", 1, ALPHA, "L: live, D: dead"),
        Field("clordid", 14, ALPHA),
        _APPENDAGE_LEN,
    ),
    _outbound(
        "U",
        "replaced",
        Field("orig_user_ref_num", 4, UINT),
        Field("user_ref_num", 4, UINT),
        Field("side", 1, ALPHA),
        Field("quantity", 4, UINT),
        Field("symbol", 8, ALPHA),
        Field("price", 8, PRICE4),
        Field("tif", 1, ALPHA),
        Field("display", 1, ALPHA),
        Field("order_ref", 8, UINT),
        Field("capacity", 1, ALPHA),
        Field("iso", 1, ALPHA),
        Field("cross_type", 1, ALPHA),
        Field("order_state", 1, ALPHA),
        Field("clordid", 14, ALPHA),
        _APPENDAGE_LEN,
    ),
    _outbound(
        "C",
        "canceled",
        Field("user_ref_num", 4, UINT),
        Field("quantity", 4, UINT, "shares taken off the order, not those left"),
        Field("reason", 1, ALPHA),
    ),
    _outbound(
        "D",
        "aiq_canceled",
        Field("user_ref_num", 4, UINT),
        Field("decrement_shares", 4, UINT),
        Field("reason", 1, ALPHA),
        Field("qty_prevented", 4, UINT),
        Field("execution_price", 8, PRICE4),
        Field("liquidity", 1, ALPHA),
        note="newer revisions add a field: AIQ_CANCELED_WITH_STRATEGY",
    ),
    _outbound(
        "E",
        "executed",
        Field("user_ref_num", 4, UINT),
        Field("quantity", 4, UINT),
        Field("price", 8, PRICE4),
        Field("liquidity", 1, ALPHA),
        Field("match_number", 8, UINT),
        _APPENDAGE_LEN,
    ),
    _outbound(
        "B",
        "broken_trade",
        Field("user_ref_num", 4, UINT),
        Field("match_number", 8, UINT),
        Field("reason", 1, ALPHA),
        Field("clordid", 14, ALPHA),
    ),
    _outbound(
        "F",
        "trade_correction",
        Field("user_ref_num", 4, UINT),
        Field("quantity", 4, UINT),
        Field("price", 8, PRICE4),
        Field("liquidity", 1, ALPHA),
        Field("match_number", 8, UINT),
        Field("reason", 1, ALPHA),
        Field("clordid", 14, ALPHA),
        note="older",
    ),
    _outbound(
        "J",
        "rejected",
        Field("user_ref_num", 4, UINT),
        Field("reason", 2, UINT, "a number, unlike every other reason"),
        Field("clordid", 14, ALPHA),
    ),
    _outbound("P", "cancel_pending", Field("user_ref_num", 4, UINT)),
    _outbound("I", "cancel_reject", Field("user_ref_num", 4, UINT)),
    _outbound(
        "T",
        "priority_update",
        Field("user_ref_num", 4, UINT),
        Field("price", 8, PRICE4),
        Field("display", 1, ALPHA),
        Field("order_ref", 8, UINT),
    ),
    _outbound(
        "M",
        "modified",
        Field("user_ref_num", 4, UINT),
        Field("side", 1, ALPHA),
        Field("quantity", 4, UINT),
    ),
    _outbound(
        "R",
        "restated",
        Field("user_ref_num", 4, UINT),
        Field("reason", 1, ALPHA),
        _APPENDAGE_LEN,
    ),
    _outbound(
        "X",
        "mass_cancel_response",
        Field("user_ref_num", 4, UINT),
        Field("firm", 4, ALPHA),
        Field("symbol", 8, ALPHA),
        _APPENDAGE_LEN,
        note="newer",
    ),
    _outbound(
        "G",
        "disable_response",
        Field("user_ref_num", 4, UINT),
        Field("firm", 4, ALPHA),
        _APPENDAGE_LEN,
        note="newer",
    ),
    _outbound(
        "K",
        "enable_response",
        Field("user_ref_num", 4, UINT),
        Field("firm", 4, ALPHA),
        _APPENDAGE_LEN,
        note="newer",
    ),
    _outbound("Q", "account_query_response", Field("next_user_ref_num", 4, UINT)),
)

AIQ_CANCELED_WITH_STRATEGY = Message(
    "aiq_canceled_with_strategy",
    (*OUTBOUND["D"].fields, Field("aiq_strategy", 1, ALPHA)),
    type="D",
    note="the aiq_canceled of the revision of October 2025",
)

OPTIONAL_APPENDAGE = frozenset(
    {
        *(INBOUND[type_] for type_ in "XMQ"),
        *(OUTBOUND[type_] for type_ in "CDBJPITMQ"),
        AIQ_CANCELED_WITH_STRATEGY,
    }
)


class Tag(enum.IntEnum):
    """Tags of the elements of an appendage."""

    SECONDARY_ORD_REF_NUM = 1
    FIRM = 2
    MIN_QTY = 3
    CUSTOMER_TYPE = 4
    MAX_FLOOR = 5
    PRICE_TYPE = 6
    PEG_OFFSET = 7
    DISCRETION_PRICE = 9
    DISCRETION_PRICE_TYPE = 10
    DISCRETION_PEG_OFFSET = 11
    POST_ONLY = 12
    RANDOM_RESERVES = 13
    ROUTE = 14
    EXPIRE_TIME = 15
    TRADE_NOW = 16
    HANDLE_INST = 17
    BBO_WEIGHT_INDICATOR = 18
    REFERENCE_PRICE = 19
    REFERENCE_PRICE_TYPE = 20
    DISPLAY_QUANTITY = 22
    DISPLAY_PRICE = 23
    GROUP_ID = 24
    SHARES_LOCATED = 25
    LOCATE_BROKER = 26
    SIDE = 27
    USER_REF_IDX = 28
    AIQ_STRATEGY = 29
    AIQ_GROUP_ID = 30


# LOCATE_BROKER, AIQ_STRATEGY and AIQ_GROUP_ID are not here: their sizes differ between revisions,
# so their values stay octets.
APPENDAGE_TAGS: dict[int, Field] = {
    Tag.SECONDARY_ORD_REF_NUM: Field("secondary_ord_ref_num", 8, UINT),
    Tag.FIRM: Field("firm", 4, ALPHA),
    Tag.MIN_QTY: Field("min_qty", 4, UINT),
    Tag.CUSTOMER_TYPE: Field("customer_type", 1, ALPHA),
    Tag.MAX_FLOOR: Field("max_floor", 4, UINT),
    Tag.PRICE_TYPE: Field("price_type", 1, ALPHA),
    Tag.PEG_OFFSET: Field("peg_offset", 4, INT),
    Tag.DISCRETION_PRICE: Field("discretion_price", 8, PRICE4),
    Tag.DISCRETION_PRICE_TYPE: Field("discretion_price_type", 1, ALPHA),
    Tag.DISCRETION_PEG_OFFSET: Field("discretion_peg_offset", 4, INT),
    Tag.POST_ONLY: Field("post_only", 1, ALPHA),
    Tag.RANDOM_RESERVES: Field("random_reserves", 4, UINT),
    Tag.ROUTE: Field("route", 4, ALPHA),
    Tag.EXPIRE_TIME: Field("expire_time", 4, UINT),
    Tag.TRADE_NOW: Field("trade_now", 1, ALPHA),
    Tag.HANDLE_INST: Field("handle_inst", 1, ALPHA),
    Tag.BBO_WEIGHT_INDICATOR: Field("bbo_weight_indicator", 1, ALPHA),
    Tag.REFERENCE_PRICE: Field("reference_price", 8, PRICE4, "older"),
    Tag.REFERENCE_PRICE_TYPE: Field("reference_price_type", 1, ALPHA, "older"),
    Tag.DISPLAY_QUANTITY: Field("display_quantity", 4, UINT),
    Tag.DISPLAY_PRICE: Field("display_price", 8, PRICE4),
    Tag.GROUP_ID: Field("group_id", 2, UINT),
    Tag.SHARES_LOCATED: Field("shares_located", 1, ALPHA),
    Tag.SIDE: Field("side", 1, ALPHA),
    Tag.USER_REF_IDX: Field("user_ref_idx", 1, UINT),
}

# Values by tag, in the order of the wire; octets where the tag has no Field.
Appendage = dict[int, Value | bytes]


class Decoded(NamedTuple):
    """A message taken apart: its table, its values, its appendage (None if there is no length)."""

    message: Message
    values: dict[str, Value]
    appendage: Appendage | None


def _pack_elements(appendage: Mapping[int, Value | bytes]) -> bytes:
    octets = bytearray()
    for tag, value in appendage.items():
        if not 0 <= tag <= 0xFF:
            raise WireError(f"appendage: tag {tag} is outside 0 to 255")
        if isinstance(value, bytes):
            if tag in APPENDAGE_TAGS:
                raise WireError(f"appendage: tag {tag} takes a value, not octets")
            body = value
        elif tag in APPENDAGE_TAGS:
            body = APPENDAGE_TAGS[tag].encode(value)
        else:
            raise WireError(f"appendage: tag {tag} has no known size and takes octets")
        if len(body) > 0xFE:
            raise WireError(f"appendage: tag {tag} has {len(body)} octets; at most 254 fit")
        octets += bytes((1 + len(body), tag)) + body
    return bytes(octets)


def pack_appendage(appendage: Mapping[int, Value | bytes]) -> bytes:
    """Returns the length in 2 octets and the elements of an appendage."""
    elements = _pack_elements(appendage)
    return _APPENDAGE_LEN.encode(len(elements)) + elements


def unpack_appendage(data: bytes) -> Appendage:
    """Returns the values by tag of an appendage with its length; nothing may be left over.

    A tag without a `Field` yields its octets. Raises `WireError` for a length that disagrees, a
    value of another size than its tag's, or a repeated tag.
    """
    if len(data) < 2:
        raise WireError(f"appendage: expected a length of 2 octets, only {len(data)} are there")
    length = int.from_bytes(data[:2], "big")
    if length != len(data) - 2:
        raise WireError(f"appendage: length {length} where {len(data) - 2} octets follow")
    appendage: Appendage = {}
    at = 2
    while at < len(data):
        size = data[at]
        body = bytes(data[at + 1 : at + 1 + size])
        if size == 0 or len(body) != size:
            raise WireError(f"appendage: element at octet {at} has the length {size}")
        tag, value = body[0], body[1:]
        if tag in appendage:
            raise WireError(f"appendage: tag {tag} is there twice")
        appendage[tag] = APPENDAGE_TAGS[tag].decode(value) if tag in APPENDAGE_TAGS else value
        at += 1 + size
    return appendage


def encode(
    message: Message,
    values: Mapping[str, Value],
    appendage: Mapping[int, Value | bytes] | None = None,
) -> bytes:
    """Returns the octets of `message`; `appendage_len` is supplied.

    `appendage` None leaves the length out where it is optional and writes 0 where it is not.
    """
    fixed = {name: value for name, value in values.items() if name != "appendage_len"}
    if "appendage_len" in message:
        elements = _pack_elements(appendage or {})
        return message.pack(**fixed, appendage_len=len(elements)) + elements
    if appendage is None:
        return message.pack(**fixed)
    if message not in OPTIONAL_APPENDAGE:
        raise WireError(f"{message.name}: takes no appendage")
    return message.pack(**fixed) + pack_appendage(appendage)


def decode(direction: Mapping[str, Message], data: bytes) -> Decoded:
    """Returns the one message that `data` holds, `direction` being INBOUND or OUTBOUND.

    Where the length of the appendage is optional, the length of `data` decides. Raises `WireError`
    for an unknown type, a wrong length, or values that are not what the table says.
    """
    type_ = bytes(data[:1]).decode("latin-1")
    if type_ not in direction:
        raise WireError(f"no OUCH 5.0 message in this direction has the type {type_!r}")
    message = direction[type_]
    if message is OUTBOUND["D"] and _has_strategy(data):
        message = AIQ_CANCELED_WITH_STRATEGY
    values = message.unpack_from(data)
    tail = bytes(data[message.size :])
    if "appendage_len" in message:
        return Decoded(message, values, unpack_appendage(data[message.size - 2 :]))
    if not tail:
        return Decoded(message, values, None)
    if message not in OPTIONAL_APPENDAGE:
        raise WireError(f"{message.name}: expected {message.size} octets, not {len(data)}")
    return Decoded(message, values, unpack_appendage(tail))


def _has_strategy(data: bytes) -> bool:
    """Tells the two revisions of an AIQ Canceled apart: one octet more, before any appendage."""
    size = AIQ_CANCELED_WITH_STRATEGY.size
    tail = data[size:]
    return len(data) == size or (
        len(tail) >= 2 and int.from_bytes(tail[:2], "big") == len(tail) - 2
    )
