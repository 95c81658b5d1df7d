"""The books of account that venue, card and host keep of the same day, and how they differ.

Prices and amounts are integers of 1e-4 USD.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["FIGURES", "CardBooks", "Holding", "HostBooks", "Row", "compare"]

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
class HostBooks:
    """What the host has of the fills that it was told of: of each symbol, and how many in all.

    `cancelled`: shares that orders have lost without trading them.
    """

    holdings: Mapping[str, Holding]
    executions: int
    cancelled: int


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
    host: HostBooks,
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
    host : HostBooks
    """
    orders = {order["user_ref_num"]: order for order in venue["orders"]}
    told = {order["user_ref_num"]: order for order in sent}
    fills = [fill for fill in venue["fills"] if not fill["broken"]]
    rows = [
        Row("orders", len(orders) + venue["rejected"], card.approved, len(sent)),
        Row("executions", len(fills), card.executions, host.executions),
        Row("cancelled shares", _cancelled(orders.values()), host=host.cancelled),
        Row("open shares", _open(orders.values()), _total(card.holdings, "open_shares")),
    ]
    rows += [
        Row(f"order {number}", _details(orders.get(number)), host=_details(told.get(number)))
        for number in sorted(orders.keys() | (told.keys() if not venue["rejected"] else set()))
    ]
    for name, holding in card.holdings.items():
        of_symbol = [fill for fill in fills if fill["symbol"] == name]
        rows += _symbol(name, holding, of_symbol, venue, host.holdings.get(name, Holding()))
    return [
        *rows,
        Row("cash", venue["cash"], _cash(card.holdings), _cash(host.holdings)),
        Row(
            "profit", venue["profit"], _profit(card.holdings, marks), _profit(host.holdings, marks)
        ),
    ]


def _cash(holdings: Mapping[str, Holding]) -> int:
    return _total(holdings, "sold_notional") - _total(holdings, "bought_notional")


def _profit(holdings: Mapping[str, Holding], marks: Mapping[str, int]) -> int:
    return _cash(holdings) + sum(held.position * marks[name] for name, held in holdings.items())


def _symbol(
    name: str, holding: Holding, fills: Sequence[Mapping], venue: Mapping, told: Holding
) -> list[Row]:
    shares, notional = Counter(), Counter()
    for fill in fills:
        shares[fill["side"]] += fill["shares"]
        notional[fill["side"]] += fill["shares"] * fill["price"]
    of_venue = (
        venue["positions"].get(name, 0),
        *(shares["buy"], shares["sell"], notional["buy"], notional["sell"]),
    )
    of_card, of_host = (
        (
            *(held.position, held.bought_shares, held.sold_shares),
            *(held.bought_notional, held.sold_notional),
        )
        for held in (holding, told)
    )
    return [
        Row(f"{name} {figure}", *values)
        for figure, *values in zip(FIGURES, of_venue, of_card, of_host, strict=True)
    ]


def _details(order: Mapping[str, Any] | None) -> tuple | str:
    return "none" if order is None else tuple(order[name] for name in DETAILS)


def _open(orders) -> int:
    return sum(order["leaves"] for order in orders)


def _cancelled(orders) -> int:
    return sum(order["canceled"] for order in orders)


def _total(holdings: Mapping[str, Holding], name: str) -> int:
    return sum(getattr(holding, name) for holding in holdings.values())
