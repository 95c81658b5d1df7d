"""The books of account that venue, card and host keep of the same day, and how they differ.

Prices and amounts are integers of 1e-4 USD.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["FIGURES", "CardBooks", "Holding", "Row", "compare"]

DETAILS = ("symbol", "side", "quantity", "price")
"""What is compared of each order."""

FIGURES = ("position", "bought", "sold", "paid", "got")
"""What is compared of each symbol: shares, and what was paid and got for them."""


@dataclass(frozen=True)
class Holding:
    """What the card says it holds and has traded of a symbol."""

    position: int = 0
    open_shares: int = 0
    bought_shares: int = 0
    bought_notional: int = 0
    sold_shares: int = 0
    sold_notional: int = 0


@dataclass(frozen=True)
class CardBooks:
    """What the card says of all its symbols.

    `approved` and `executions` are its counters of orders that left, and of reports of trades.
    """

    holdings: Mapping[str, Holding]
    approved: int
    executions: int


@dataclass(frozen=True)
class Row:
    """A figure as each of the three has it; None where one does not keep it."""

    what: str
    venue: Any
    card: Any = None
    host: Any = None

    @property
    def agree(self) -> bool:
        """True if all who keep it have the same."""
        return all(each in (None, self.venue) for each in (self.card, self.host))


def compare(
    venue: Mapping[str, Any],
    card: CardBooks,
    sent: Sequence[Mapping[str, Any]],
    marks: Mapping[str, int],
) -> list[Row]:
    """All figures that two of the three keep, as rows; where they differ, `Row.agree` is False.

    Parameters
    ----------
    venue : mapping
        Of one account, as in the ledger of `tickgate exchange`.
    card : CardBooks
    sent : sequence of mappings
        The orders that the host was told of: `user_ref_num`, `symbol`, `side`, `quantity`, `price`.
    marks : mapping
        The last price of each symbol.
    """
    orders = {order["user_ref_num"]: order for order in venue["orders"]}
    told = {order["user_ref_num"]: order for order in sent}
    fills = [fill for fill in venue["fills"] if not fill["broken"]]
    rows = [
        Row("orders", len(orders) + venue["rejected"], card.approved, len(sent)),
        Row("executions", len(fills), card.executions),
        Row("open shares", _open(orders.values()), _total(card.holdings, "open_shares")),
    ]
    rows += [
        Row(f"order {number}", _details(orders.get(number)), host=_details(told.get(number)))
        for number in sorted(orders.keys() | (told.keys() if not venue["rejected"] else set()))
    ]
    for name, holding in card.holdings.items():
        rows += _symbol(name, holding, [fill for fill in fills if fill["symbol"] == name], venue)
    cash = _total(card.holdings, "sold_notional") - _total(card.holdings, "bought_notional")
    worth = sum(held.position * marks[name] for name, held in card.holdings.items())
    return [*rows, Row("cash", venue["cash"], cash), Row("profit", venue["profit"], cash + worth)]


def _symbol(name: str, holding: Holding, fills: Sequence[Mapping], venue: Mapping) -> list[Row]:
    shares, notional = Counter(), Counter()
    for fill in fills:
        shares[fill["side"]] += fill["shares"]
        notional[fill["side"]] += fill["shares"] * fill["price"]
    of_venue = (
        venue["positions"].get(name, 0),
        *(shares["buy"], shares["sell"], notional["buy"], notional["sell"]),
    )
    of_card = (
        *(holding.position, holding.bought_shares, holding.sold_shares),
        *(holding.bought_notional, holding.sold_notional),
    )
    return [
        Row(f"{name} {figure}", its, cards)
        for figure, its, cards in zip(FIGURES, of_venue, of_card, strict=True)
    ]


def _details(order: Mapping[str, Any] | None) -> tuple | str:
    return "none" if order is None else tuple(order[name] for name in DETAILS)


def _open(orders) -> int:
    return sum(order["leaves"] for order in orders)


def _total(holdings: Mapping[str, Holding], name: str) -> int:
    return sum(getattr(holding, name) for holding in holdings.values())
