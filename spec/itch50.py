"""NASDAQ TotalView-ITCH 5.0: the 23 messages of the order-level market data feed.

Ref: NASDAQ TotalView-ITCH 5.0, section 3 "Data Types" and section 4 "Message Formats" (the
section of each message stands beside it); revision of 2023-04-28 for the type O.

Numbers are unsigned and big-endian, text is padded with spaces on the right, times are
nanoseconds since midnight in New York, prices have 4 decimals (8 in the type V).
"""

import enum

from tickgate.spec.fields import Field, Kind, Message

__all__ = [
    "BOOK_TYPES",
    "BUY",
    "HEADER",
    "LONGEST",
    "MESSAGES",
    "SELL",
    "SHORTEST",
    "EventCode",
    "TradingState",
]

UINT, ALPHA, PRICE4, PRICE8 = Kind.UINT, Kind.ALPHA, Kind.PRICE4, Kind.PRICE8
TIME_NS, SECONDS = Kind.TIME_NS, Kind.SECONDS

BUY = "B"
SELL = "S"


class EventCode(enum.StrEnum):
    """Codes of a System Event (type S)."""

    START_OF_MESSAGES = "O"
    START_OF_SYSTEM_HOURS = "S"
    START_OF_MARKET_HOURS = "Q"
    END_OF_MARKET_HOURS = "M"
    END_OF_SYSTEM_HOURS = "E"
    END_OF_MESSAGES = "C"


class TradingState(enum.StrEnum):
    """States of a Stock Trading Action (type H)."""

    HALTED = "H"
    PAUSED = "P"
    QUOTATION_ONLY = "Q"
    TRADING = "T"


HEADER = Message(
    "header",
    (
        Field("type", 1, ALPHA),
        Field("stock_locate", 2, UINT, "index of the security for this day; 0: no security"),
        Field("tracking_number", 2, UINT, "internal to Nasdaq"),
        Field("timestamp", 6, TIME_NS),
    ),
    note="begins every message",
)


def _message(type_: str, name: str, *fields: Field, note: str = "") -> Message:
    return Message(name, (*HEADER.fields, *fields), type=type_, note=note)


_TABLE = (
    # 4.1
    _message(
        "S",
        "system_event",
        Field("event_code", 1, ALPHA, "see EventCode"),
        note="stock locate is 0",
    ),
    # 4.2.1
    _message(
        "R",
        "stock_directory",
        Field("stock", 8, ALPHA),
        Field("market_category", 1, ALPHA),
        Field("financial_status", 1, ALPHA),
        Field("round_lot_size", 4, UINT),
        Field("round_lots_only", 1, ALPHA),
        Field("issue_classification", 1, ALPHA),
        Field("issue_subtype", 2, ALPHA),
        Field("authenticity", 1, ALPHA, "P: production, T: test"),
        Field("short_sale_threshold", 1, ALPHA),
        Field("ipo_flag", 1, ALPHA),
        Field("luld_tier", 1, ALPHA, "limit up/down tier"),
        Field("etp_flag", 1, ALPHA),
        Field("etp_leverage", 4, UINT),
        Field("inverse", 1, ALPHA),
        note="maps the stock locate to the symbol for the day",
    ),
    # 4.2.2
    _message(
        "H",
        "stock_trading_action",
        Field("stock", 8, ALPHA),
        Field("trading_state", 1, ALPHA, "see TradingState"),
        Field("reserved", 1, ALPHA),
        Field("reason", 4, ALPHA),
    ),
    # 4.2.3
    _message(
        "Y",
        "reg_sho",
        Field("stock", 8, ALPHA),
        Field("reg_sho_action", 1, ALPHA, "0: none, 1: restricted from today, 2: still restricted"),
    ),
    # 4.2.4
    _message(
        "L",
        "market_participant_position",
        Field("mpid", 4, ALPHA),
        Field("stock", 8, ALPHA),
        Field("primary_market_maker", 1, ALPHA),
        Field("market_maker_mode", 1, ALPHA),
        Field("participant_state", 1, ALPHA),
    ),
    # 4.2.5.1
    _message(
        "V",
        "mwcb_decline_level",
        Field("level1", 8, PRICE8),
        Field("level2", 8, PRICE8),
        Field("level3", 8, PRICE8),
        note="the only prices with 8 decimals",
    ),
    # 4.2.5.2
    _message(
        "W",
        "mwcb_status",
        Field("breached_level", 1, ALPHA, "1, 2 or 3"),
    ),
    # 4.2.6
    _message(
        "K",
        "ipo_quoting_period",
        Field("stock", 8, ALPHA),
        Field("release_time", 4, SECONDS, "seconds, unlike every other time"),
        Field("release_qualifier", 1, ALPHA),
        Field("ipo_price", 4, PRICE4),
    ),
    # 4.2.7
    _message(
        "J",
        "luld_auction_collar",
        Field("stock", 8, ALPHA),
        Field("reference_price", 4, PRICE4),
        Field("upper_price", 4, PRICE4),
        Field("lower_price", 4, PRICE4),
        Field("extension", 4, UINT),
    ),
    # 4.2.8
    _message(
        "h",
        "operational_halt",
        Field("stock", 8, ALPHA),
        Field("market_code", 1, ALPHA, "Q: Nasdaq, B: BX, X: PSX"),
        Field("halt_action", 1, ALPHA, "H: halted, T: trading again"),
        note="the type is a lower-case letter",
    ),
    # 4.3.1
    _message(
        "A",
        "add_order",
        Field("order_ref", 8, UINT),
        Field("side", 1, ALPHA, "B: buy, S: sell"),
        Field("shares", 4, UINT),
        Field("stock", 8, ALPHA),
        Field("price", 4, PRICE4),
    ),
    # 4.3.2
    _message(
        "F",
        "add_order_mpid",
        Field("order_ref", 8, UINT),
        Field("side", 1, ALPHA, "B: buy, S: sell"),
        Field("shares", 4, UINT),
        Field("stock", 8, ALPHA),
        Field("price", 4, PRICE4),
        Field("attribution", 4, ALPHA),
    ),
    # 4.4.1
    _message(
        "E",
        "order_executed",
        Field("order_ref", 8, UINT),
        Field("executed_shares", 4, UINT),
        Field("match_number", 8, UINT),
        note="at the price of the resting order",
    ),
    # 4.4.2
    _message(
        "C",
        "order_executed_with_price",
        Field("order_ref", 8, UINT),
        Field("executed_shares", 4, UINT),
        Field("match_number", 8, UINT),
        Field("printable", 1, ALPHA, "N: do not count as volume"),
        Field("execution_price", 4, PRICE4, "of the print; the order is reduced at its own price"),
    ),
    # 4.4.3
    _message(
        "X",
        "order_cancel",
        Field("order_ref", 8, UINT),
        Field("canceled_shares", 4, UINT, "to subtract; the order keeps its priority"),
    ),
    # 4.4.4
    _message(
        "D",
        "order_delete",
        Field("order_ref", 8, UINT),
    ),
    # 4.4.5
    _message(
        "U",
        "order_replace",
        Field("orig_order_ref", 8, UINT),
        Field("new_order_ref", 8, UINT),
        Field("shares", 4, UINT, "the new displayed total"),
        Field("price", 4, PRICE4),
        note="side and symbol are those of the original; priority is lost",
    ),
    # 4.5.1
    _message(
        "P",
        "trade_non_cross",
        Field("order_ref", 8, UINT, "0 since 2014"),
        Field("side", 1, ALPHA, "B since 2014, whatever the side"),
        Field("shares", 4, UINT),
        Field("stock", 8, ALPHA),
        Field("price", 4, PRICE4),
        Field("match_number", 8, UINT),
        note="a print against a hidden order: the book does not change",
    ),
    # 4.5.2
    _message(
        "Q",
        "cross_trade",
        Field("shares", 8, UINT, "8 octets, unlike every other share count of a trade"),
        Field("stock", 8, ALPHA),
        Field("cross_price", 4, PRICE4),
        Field("match_number", 8, UINT),
        Field("cross_type", 1, ALPHA, "O: opening, C: closing, H: halt or IPO"),
    ),
    # 4.5.3
    _message(
        "B",
        "broken_trade",
        Field("match_number", 8, UINT),
        note="the book does not change",
    ),
    # 4.6
    _message(
        "I",
        "noii",
        Field("paired_shares", 8, UINT),
        Field("imbalance_shares", 8, UINT),
        Field("imbalance_direction", 1, ALPHA),
        Field("stock", 8, ALPHA),
        Field("far_price", 4, PRICE4),
        Field("near_price", 4, PRICE4),
        Field("current_ref_price", 4, PRICE4),
        Field("cross_type", 1, ALPHA),
        Field("price_variation", 1, ALPHA),
        note="the longest message",
    ),
    # 4.7
    _message(
        "N",
        "rpii",
        Field("stock", 8, ALPHA),
        Field("interest_flag", 1, ALPHA),
    ),
    # 4.8
    _message(
        "O",
        "dlcr_price_discovery",
        Field("stock", 8, ALPHA),
        Field("open_eligibility", 1, ALPHA),
        Field("min_price", 4, PRICE4),
        Field("max_price", 4, PRICE4),
        Field("near_exec_price", 4, PRICE4),
        Field("near_exec_time", 8, TIME_NS, "8 octets, unlike the timestamp of the header"),
        Field("lower_collar", 4, PRICE4),
        Field("upper_collar", 4, PRICE4),
    ),
)

MESSAGES: dict[str, Message] = {message.type: message for message in _TABLE if message.type}

# The types that change an order book, in the order of the specification.
BOOK_TYPES = ("A", "F", "E", "C", "X", "D", "U")

SHORTEST = min(message.size for message in _TABLE)
LONGEST = max(message.size for message in _TABLE)
