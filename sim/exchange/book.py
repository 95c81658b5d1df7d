"""The orders of one symbol that rest at the venue, in the order in which they trade.

Ref: NASDAQ Equity 4, Rule 4757 (price, display, time); NASDAQ TotalView-ITCH 5.0, section 4.4.5.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tickgate.sim.model.feed import BUY

__all__ = ["Order", "OrderBook", "Symbol"]

DOLLAR = 10_000


@dataclass(frozen=True, kw_only=True)
class Symbol:
    """A security that the venue trades. Prices in 1e-4 USD.

    `tick` is that of prices from 1 USD on; below, every price is allowed (Rule 612).
    """

    name: str
    locate: int
    tick: int = 100

    def __post_init__(self) -> None:
        if not self.name.isascii() or not 1 <= len(self.name) <= 8 or " " in self.name:
            raise ValueError(f"symbol {self.name!r} must be 1 to 8 ASCII characters, no space")
        if not 1 <= self.locate <= 0xFFFF:
            raise ValueError(f"{self.name}: locate must be in 1..65535, not {self.locate}")
        if self.tick < 1:
            raise ValueError(f"{self.name}: tick must be at least 1 (1e-4 USD), not {self.tick}")

    @property
    def padded(self) -> bytes:
        """The name as it stands in a message."""
        return self.name.ljust(8).encode("ascii")

    def allows(self, price: int) -> bool:
        """True if `price` is on the grid."""
        return price > 0 and (price < DOLLAR or price % self.tick == 0)


@dataclass(slots=True, eq=False, kw_only=True)
class Order:
    """An order from its acceptance on; `leaves` is 0 once it is dead.

    `executed` and `prevented` (by self-match prevention) are over the whole chain of replaces.
    `token` is the name by which its owner knows it, `entry` what else the owner keeps with it.
    References rise with time.
    """

    reference: int
    symbol: Symbol
    side: int
    price: int
    leaves: int
    hidden: bool
    owner: Any
    token: int
    self_match: str | None = None
    executed: int = 0
    prevented: int = 0
    entry: Any = field(default=None, repr=False)

    @property
    def key(self) -> tuple[int, bool]:
        """The lower, the better the price; at one price, hidden orders come last."""
        return (-self.price if self.side == BUY else self.price), self.hidden


class OrderBook:
    """Resting orders by side: best price first, then displayed ones, then the oldest."""

    def __init__(self) -> None:
        self._queues: tuple[dict, dict] = ({}, {})
        self._keys: tuple[list, list] = ([], [])

    def add(self, order: Order) -> None:
        """Puts an order behind all others of its level."""
        queue = self._queues[order.side].get(order.key)
        if queue is None:
            queue = self._queues[order.side][order.key] = {}
            insort(self._keys[order.side], order.key)
        queue[order.reference] = order

    def remove(self, order: Order) -> None:
        """Takes an order out, wherever it stands."""
        queue = self._queues[order.side][order.key]
        del queue[order.reference]
        if not queue:
            del self._queues[order.side][order.key]
            keys = self._keys[order.side]
            del keys[bisect_left(keys, order.key)]

    def best(self, side: int) -> Order | None:
        """The order of `side` that trades next."""
        keys = self._keys[side]
        return next(iter(self._queues[side][keys[0]].values())) if keys else None

    def orders(self, side: int) -> Iterator[Order]:
        """The orders of `side` in the order in which they trade."""
        for key in self._keys[side]:
            yield from self._queues[side][key].values()

    def levels(self, side: int) -> list[tuple[int, int]]:
        """The displayed levels of `side` as (price, shares), best first."""
        return [
            (abs(key[0]), sum(order.leaves for order in self._queues[side][key].values()))
            for key in self._keys[side]
            if not key[1]
        ]
