"""Payload types that the stages exchange, and the one way to connect two streams.

Ref: docs/architecture.md, "Streams".
"""

from amaranth.hdl import Module, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.utils import exact_log2

from tickgate.spec.registers import RecoveryCause, RecoveryPhase

__all__ = [
    "CASH_BITS",
    "LINES",
    "POSITION_BITS",
    "REPLIES",
    "SOURCES",
    "BookSide",
    "BookView",
    "Execution",
    "Freed",
    "Lookup",
    "Message",
    "MessageKind",
    "Octets",
    "Order",
    "Proposal",
    "Recovered",
    "Report",
    "ReportKind",
    "Side",
    "SnapshotOrder",
    "Span",
    "Top",
    "Trade",
    "pipe",
    "require_width",
]


LINES = ("a", "b")
"""The lines of a feed, by number: both carry the same messages."""

REPLIES = len(LINES)
"""The number of a third source of the feed: the replies to requests for what was missed."""

SOURCES = (*LINES, "replies")
"""All sources of the feed, by number."""

POSITION_BITS = 33
"""Of a position in shares, which is negative if it is short."""

CASH_BITS = 66
"""Of what was sold less what was bought, each of 64 bits, and less what a position had cost."""


class Side(enum.Enum, shape=1):
    """Side of an order."""

    BUY = 0
    SELL = 1


class MessageKind(enum.Enum, shape=4):
    """What an ITCH 5.0 message means to the card; the last two are the book's own, see `Escape`."""

    NONE = 0
    ADD = 1
    EXECUTE = 2
    EXECUTE_PRICE = 3
    CANCEL = 4
    DELETE = 5
    REPLACE = 6
    TRADE = 7
    TRADING_STATE = 8
    SYSTEM = 9
    BREACH = 10
    OTHER = 11
    SHORT_SALE_RESTRICTION = 12
    OPERATIONAL_HALT = 13
    UNPLACE = 14
    PLACE = 15


def require_width(width: int) -> int:
    """Checks that `width` (octets a cycle) is a power of two and returns its logarithm."""
    if width not in (1, 2, 4, 8):
        raise ValueError(f"width must be 1, 2, 4 or 8 octets a cycle, not {width!r}")
    return exact_log2(width)


class Octets(data.StructLayout):
    """A word of an Ethernet frame, from the destination MAC to the FCS inclusive.

    Octet 0, the first on the wire, is in bits 7:0 of `data`. Only a word with `last` may hold
    fewer than `width` octets, and none holds no octet.
    """

    def __init__(self, width: int) -> None:
        require_width(width)
        super().__init__(
            {"data": unsigned(8 * width), "count": range(width + 1), "first": 1, "last": 1}
        )


class Span(data.StructLayout):
    """A word of which the octets in [begin, end) count; the alignment is that of the frame."""

    def __init__(self, width: int) -> None:
        require_width(width)
        super().__init__(
            {
                "data": unsigned(8 * width),
                "begin": range(width + 1),
                "end": range(width + 1),
                "first": 1,
                "last": 1,
            }
        )


class Lookup(data.Struct):
    """An order reference number, sent ahead of the message that carries it."""

    reference: 64


class Message(data.StructLayout):
    """One decoded ITCH 5.0 message.

    `shares`: added (A, F), executed (E, C), cancelled (X), new total (U), traded (P).
    `price`: limit (A, F, U) or print (C, P), in 1e-4 USD.
    `code`: trading state (H), event code (S), breached level (W), Reg SHO action (Y), halt action
    (h) if it is of Nasdaq itself, else 0.
    `sequence`: low 32 bits of the MoldUDP64 sequence number.
    `stamp`: low 16 bits of the cycle counter at t0.
    """

    def __init__(self, symbols: int) -> None:
        super().__init__(
            {
                "kind": MessageKind,
                "symbol": range(symbols),
                "tracked": 1,
                "reference": 64,
                "new_reference": 64,
                "side": Side,
                "shares": 32,
                "price": 32,
                "printable": 1,
                "code": 8,
                "sequence": 32,
                "stamp": 16,
            }
        )


class Top(data.StructLayout):
    """Top of book of one symbol after a message. An absent side has price and shares 0."""

    def __init__(self, symbols: int) -> None:
        super().__init__(
            {
                "symbol": range(symbols),
                "bid_present": 1,
                "bid_price": 32,
                "bid_shares": 32,
                "ask_present": 1,
                "ask_price": 32,
                "ask_shares": 32,
                "exact": 1,
                "sequence": 32,
                "stamp": 16,
            }
        )


class BookSide(data.StructLayout):
    """The first levels of a side, best first; zero where there is none.

    `levels`: how many. `more`: others lie, or may lie, beyond. `complete`: all that there is room
    for are here.
    """

    def __init__(self, levels: int) -> None:
        super().__init__(
            {
                "levels": range(levels + 1),
                "more": 1,
                "complete": 1,
                "prices": data.ArrayLayout(32, levels),
                "shares": data.ArrayLayout(32, levels),
            }
        )


class BookView(data.StructLayout):
    """Both sides of the book of a symbol at one moment: after the message `sequence`.

    `ready`: it is what was asked for last.
    """

    def __init__(self, symbols: int, levels: int) -> None:
        super().__init__(
            {
                "ready": 1,
                "symbol": range(symbols),
                "exact": 1,
                "trusted": 1,
                "sequence": 32,
                "bids": BookSide(levels),
                "asks": BookSide(levels),
            }
        )


class SnapshotOrder(data.Struct):
    """A live order as a snapshot has it; its price in 1e-4 USD."""

    reference: 64
    side: Side
    shares: 32
    price: 32


class Recovered(data.StructLayout):
    """How far the recovery of a symbol is.

    `orders`: of the snapshot, taken. `first`: from this sequence number on, all messages of the
    symbol are held, once it is known. `held`: how many are now. `bid`, `ask`: the best prices that
    the last re-centring found, or that were added meanwhile; 0 if there was none.
    """

    def __init__(self, symbols: int) -> None:
        super().__init__(
            {
                "phase": RecoveryPhase,
                "cause": RecoveryCause,
                "symbol": range(symbols),
                "orders": 31,
                "first": 32,
                "first_known": 1,
                "held": 16,
                "bid": 32,
                "ask": 32,
            }
        )


class Trade(data.StructLayout):
    """A trade print of one symbol, price in 1e-4 USD."""

    def __init__(self, symbols: int) -> None:
        super().__init__({"symbol": range(symbols), "price": 32})


class Proposal(data.StructLayout):
    """An order that a strategy would send. Price in 1e-4 USD, quantity in shares."""

    def __init__(self, symbols: int) -> None:
        super().__init__(
            {
                "symbol": range(symbols),
                "side": Side,
                "price": 32,
                "quantity": 32,
                "sequence": 32,
                "stamp": 16,
            }
        )


class Order(data.StructLayout):
    """A proposal that every risk gate has passed, with its user reference number."""

    def __init__(self, symbols: int) -> None:
        super().__init__(
            {
                "symbol": range(symbols),
                "side": Side,
                "price": 32,
                "quantity": 32,
                "sequence": 32,
                "stamp": 16,
                "user_ref_num": 32,
            }
        )


class Freed(data.Struct):
    """So many shares of an order, of this price in 1e-4 USD, are open no more.

    `executed`: they are now part of the position, else they never will be.
    """

    side: Side
    executed: 1
    shares: 32
    price: 32


class Execution(data.StructLayout):
    """So many shares of an own order were executed."""

    def __init__(self, symbols: int) -> None:
        super().__init__({"symbol": range(symbols), "shares": 32})


class ReportKind(enum.Enum, shape=5):
    """What the venue says of an order, by the message of OUCH 5.0.

    OTHER are messages that concern no one order; UNKNOWN have a type that OUCH does not.
    """

    UNKNOWN = 0
    SYSTEM = 1
    ACCEPTED = 2
    REPLACED = 3
    CANCELED = 4
    AIQ_CANCELED = 5
    EXECUTED = 6
    BROKEN_TRADE = 7
    TRADE_CORRECTION = 8
    REJECTED = 9
    CANCEL_PENDING = 10
    CANCEL_REJECT = 11
    PRIORITY_UPDATE = 12
    MODIFIED = 13
    RESTATED = 14
    OTHER = 15


class Report(data.Struct):
    """One message of the venue, in sequence. What its kind does not have is 0.

    `fits`: the length is right, and so is that of an appendage; otherwise nothing but `sequence`
    may be relied upon. `sequence`: of SoupBinTCP. `previous`: the user reference number that was
    replaced. `quantity`: of the order (accepted, replaced, modified), executed, or taken off it
    (cancelled). `price`: in 1e-4 USD; one beyond 32 bits does not fit. `reference`: the order
    reference number in ITCH (accepted, replaced, priority update) or the match number. `code`:
    order state (accepted, replaced), liquidity flag (executed, corrected), event code (system),
    display (priority update).
    """

    kind: ReportKind
    fits: 1
    sequence: 64
    user_ref_num: 32
    previous: 32
    quantity: 32
    price: 32
    reference: 64
    reason: 16
    code: 8


def pipe(m: Module, source: stream.Interface, sink: stream.Interface) -> None:
    """Connects a stream source to a sink, refusing payloads of different shape.

    Amaranth 0.5 connects two structs of equal width without a word; this does not.
    """
    if source.payload.shape() != sink.payload.shape():
        raise TypeError(
            f"stream payloads differ: {source.payload.shape()!r} and {sink.payload.shape()!r}"
        )
    wiring.connect(m, source, sink)
