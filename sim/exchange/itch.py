"""What the venue publishes: every change of the displayed books as ITCH 5.0 messages, all kept.

Ref: NASDAQ TotalView-ITCH 5.0, section 4.
"""

from collections.abc import Callable, Sequence

from tickgate.sim.exchange.book import Order, Symbol
from tickgate.spec import itch50
from tickgate.spec.fields import Value
from tickgate.spec.itch50 import EventCode, TradingState

__all__ = ["ItchFeed"]

SIDES = (itch50.BUY, itch50.SELL)
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
        self._write("S", 0, time, event_code=code.value)
        if code is EventCode.START_OF_SYSTEM_HOURS:
            for symbol in self._symbols:
                self._write("R", symbol.locate, time, stock=symbol.name, **DIRECTORY)
                self._write("Y", symbol.locate, time, stock=symbol.name, reg_sho_action="0")

    def trading(self, symbol: Symbol, state: TradingState, time: int) -> None:
        """Stock Trading Action."""
        self._write(
            "H",
            symbol.locate,
            time,
            stock=symbol.name,
            trading_state=state.value,
            reserved="",
            reason="",
        )

    def added(self, order: Order, time: int) -> None:
        """Add Order."""
        self._write(
            "A",
            order.symbol.locate,
            time,
            order_ref=order.reference,
            side=SIDES[order.side],
            shares=order.leaves,
            stock=order.symbol.name,
            price=order.price,
        )

    def executed(self, order: Order, shares: int, match: int, time: int) -> None:
        """Order Executed."""
        self._write(
            "E",
            order.symbol.locate,
            time,
            order_ref=order.reference,
            executed_shares=shares,
            match_number=match,
        )

    def traded(self, order: Order, shares: int, match: int, time: int) -> None:
        """Trade: a hidden order was on one side of it."""
        self._write(
            "P",
            order.symbol.locate,
            time,
            order_ref=0,
            side=itch50.BUY,
            shares=shares,
            stock=order.symbol.name,
            price=order.price,
            match_number=match,
        )

    def reduced(self, order: Order, shares: int, time: int) -> None:
        """Order Cancel."""
        self._write(
            "X", order.symbol.locate, time, order_ref=order.reference, canceled_shares=shares
        )

    def deleted(self, order: Order, time: int) -> None:
        """Order Delete."""
        self._write("D", order.symbol.locate, time, order_ref=order.reference)

    def replaced(self, old: Order, order: Order, time: int) -> None:
        """Order Replace."""
        self._write(
            "U",
            order.symbol.locate,
            time,
            orig_order_ref=old.reference,
            new_order_ref=order.reference,
            shares=order.leaves,
            price=order.price,
        )

    def broken(self, match: int, symbol: Symbol, time: int) -> None:
        """Broken Trade."""
        self._write("B", symbol.locate, time, match_number=match)

    def _write(self, type_: str, locate: int, time: int, **values: Value) -> None:
        self.messages.append(
            itch50.MESSAGES[type_].pack(
                stock_locate=locate, tracking_number=0, timestamp=time, **values
            )
        )
        self._told()
