"""What the venue publishes: every change of the displayed books as ITCH 5.0 messages, all kept.

Ref: NASDAQ TotalView-ITCH 5.0, section 4.
"""

from collections.abc import Callable, Sequence

from tickgate.sim.exchange.book import Order, Symbol
from tickgate.sim.model.feed import BUY, wire_struct
from tickgate.spec import itch50
from tickgate.spec.fields import Value
from tickgate.spec.itch50 import EventCode, TradingState

__all__ = ["ItchFeed"]

SIDES = (itch50.BUY.encode(), itch50.SELL.encode())
# By far the most messages are of these types, and are packed at once.
STRUCTS = {type_: wire_struct(itch50.MESSAGES[type_]) for type_ in "AEPXDU"}
# The rest of a Stock Directory; nothing here depends on it.
DIRECTORY: dict[str, Value] = {
    "market_category": "Q",
    "financial_status": "N",
    "round_lot_size": 100,
    "round_lots_only": "N",
    "issue_classification": "C",
    "issue_subtype": "Z",
    "authenticity": "T",
    "short_sale_threshold": "N",
    "ipo_flag": "N",
    "luld_tier": "1",
    "etp_flag": "N",
    "etp_leverage": 0,
    "inverse": "N",
}


class ItchFeed:
    """The `MarketData` of an engine. The first message has the sequence number 1.

    Hidden orders are never shown; what they trade is a Trade (type P) with the reference 0.

    Parameters
    ----------
    symbols : sequence of Symbol
        Announced after the Start of System Hours.
    told : callable
        Called after each message.

    Members
    -------
    messages : list of bytes
    """

    def __init__(
        self, symbols: Sequence[Symbol], *, told: Callable[[], None] = lambda: None
    ) -> None:
        self.messages: list[bytes] = []
        self._symbols = symbols
        self._told = told

    @property
    def next_sequence(self) -> int:
        """The number of the next message."""
        return len(self.messages) + 1

    def event(self, code: EventCode, time: int) -> None:
        """System Event; the directory follows the start of system hours."""
        self._write(_pack("S", 0, time, event_code=code.value))
        if code is EventCode.START_OF_SYSTEM_HOURS:
            for symbol in self._symbols:
                self._write(self.directory(symbol, time))
                reg_sho = _pack("Y", symbol.locate, time, stock=symbol.name, reg_sho_action="0")
                self._write(reg_sho)

    def trading(self, symbol: Symbol, state: TradingState, time: int) -> None:
        """Stock Trading Action."""
        self._write(self.trading_action(symbol, state, time))

    def added(self, order: Order, time: int) -> None:
        """Add Order."""
        self._write(self.add_order(order, time))

    def executed(self, order: Order, shares: int, match: int, time: int) -> None:
        """Order Executed."""
        self._write(_trading("E", order, time, order.reference, shares, match))

    def traded(self, order: Order, shares: int, match: int, time: int) -> None:
        """Trade: a hidden order was on one side of it."""
        values = (0, SIDES[BUY], shares, order.symbol.padded, order.price, match)
        self._write(_trading("P", order, time, *values))

    def reduced(self, order: Order, shares: int, time: int) -> None:
        """Order Cancel."""
        self._write(_trading("X", order, time, order.reference, shares))

    def deleted(self, order: Order, time: int) -> None:
        """Order Delete."""
        self._write(_trading("D", order, time, order.reference))

    def replaced(self, old: Order, order: Order, time: int) -> None:
        """Order Replace."""
        values = old.reference, order.reference, order.leaves, order.price
        self._write(_trading("U", order, time, *values))

    def broken(self, match: int, symbol: Symbol, time: int) -> None:
        """Broken Trade."""
        self._write(_pack("B", symbol.locate, time, match_number=match))

    @staticmethod
    def directory(symbol: Symbol, time: int) -> bytes:
        """The Stock Directory of a symbol."""
        return _pack("R", symbol.locate, time, stock=symbol.name, **DIRECTORY)

    @staticmethod
    def trading_action(symbol: Symbol, state: TradingState, time: int) -> bytes:
        """The Stock Trading Action that says `state`."""
        values = {"trading_state": state.value, "reserved": "", "reason": ""}
        return _pack("H", symbol.locate, time, stock=symbol.name, **values)

    @staticmethod
    def add_order(order: Order, time: int) -> bytes:
        """The Add Order of an order as it stands."""
        values = order.reference, SIDES[order.side], order.leaves, order.symbol.padded, order.price
        return _trading("A", order, time, *values)

    def _write(self, message: bytes) -> None:
        self.messages.append(message)
        self._told()


def _trading(type_: str, order: Order, time: int, *values: int | bytes) -> bytes:
    """A message of trading; `values` are those of the fields after the header."""
    return STRUCTS[type_].pack(
        type_.encode(), order.symbol.locate, 0, time >> 32, time & 0xFFFF_FFFF, *values
    )


def _pack(type_: str, locate: int, time: int, **values: Value) -> bytes:
    return itch50.MESSAGES[type_].pack(
        stock_locate=locate, tracking_number=0, timestamp=time, **values
    )
