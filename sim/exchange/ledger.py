"""The venue's books of account: what each account ordered, traded, holds and owes.

Cash and prices are integers of 1e-4 USD. Cash falls with what is bought and rises with what is
sold; there are no fees.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tickgate.sim.model.feed import BUY

__all__ = ["SIDES", "Ledger", "OrderRecord"]

SIDES = ("buy", "sell")


@dataclass(slots=True)
class OrderRecord:
    """The life of one order as its owner was told. `quantity` is that of Accepted or Replaced."""

    user_ref_num: int
    symbol: str
    side: int
    quantity: int
    price: int
    order_ref: int
    replaces: int | None = None
    state: str = "live"
    leaves: int = 0
    executed: int = 0
    canceled: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the JSON."""
        return {
            name: getattr(self, name)
            for name in (
                "user_ref_num",
                "replaces",
                "symbol",
                "quantity",
                "price",
                "order_ref",
                "state",
                "leaves",
                "executed",
                "canceled",
            )
        } | {"side": SIDES[self.side]}


@dataclass(slots=True)
class Ledger:
    """One account.

    An order's `state` is live, executed, canceled or replaced; `leaves` of an order that is not
    live is 0. An order was in `quantity` what it executed, lost and has left, and what its
    replacement took over.
    """

    account: str
    orders: dict[int, OrderRecord] = field(default_factory=dict)
    fills: list[dict[str, Any]] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    cash: int = 0
    rejected: int = 0

    def accepted(self, record: OrderRecord) -> None:
        """A new order is live with all its shares."""
        record.leaves = record.quantity
        self.orders[record.user_ref_num] = record

    def replaced(self, old: int, record: OrderRecord) -> None:
        """An order has taken the place of `old`."""
        gone = self.orders[old]
        gone.state, gone.leaves = "replaced", 0
        record.replaces = old
        self.accepted(record)

    def executed(
        self, user_ref_num: int, *, shares: int, price: int, match: int, liquidity: str, time: int
    ) -> None:
        """An order traded."""
        record = self.orders[user_ref_num]
        record.executed += shares
        self._lower(record, shares, "executed")
        signed = shares if record.side == BUY else -shares
        self.positions[record.symbol] += signed
        self.cash -= signed * price
        self.fills.append(
            {
                "match_number": match,
                "user_ref_num": user_ref_num,
                "symbol": record.symbol,
                "side": SIDES[record.side],
                "shares": shares,
                "price": price,
                "liquidity": liquidity,
                "time_ns": time,
                "broken": False,
            }
        )

    def canceled(self, user_ref_num: int, shares: int) -> None:
        """An order lost shares without trading them."""
        record = self.orders[user_ref_num]
        record.canceled += shares
        self._lower(record, shares, "canceled")

    def broken(self, user_ref_num: int, match: int) -> None:
        """A trade of an order is void: position and cash are as if it had not been."""
        for fill in self.fills:
            if (fill["user_ref_num"], fill["match_number"]) == (user_ref_num, match):
                fill["broken"] = True
                signed = fill["shares"] if fill["side"] == SIDES[BUY] else -fill["shares"]
                self.positions[fill["symbol"]] -= signed
                self.cash += signed * fill["price"]

    def value(self, marks: Mapping[str, int]) -> int:
        """Cash and what the positions are worth at `marks`: the profit of the day."""
        return self.cash + sum(
            shares * marks[symbol] for symbol, shares in self.positions.items() if shares
        )

    def as_dict(self, marks: Mapping[str, int]) -> dict[str, Any]:
        """As it stands in the JSON; prices, cash and profit are integers of 1e-4 USD."""
        return {
            "account": self.account,
            "orders": [record.as_dict() for record in self.orders.values()],
            "fills": self.fills,
            "positions": {name: shares for name, shares in self.positions.items() if shares},
            "cash": self.cash,
            "profit": self.value(marks),
            "rejected": self.rejected,
        }

    @staticmethod
    def _lower(record: OrderRecord, shares: int, state: str) -> None:
        record.leaves -= shares
        if not record.leaves:
            record.state = state
