"""Model of what positions are worth, from the prices that the feed has told.

Ref: docs/risk.md, gates 7 (gross exposure), 8 (net exposure), 30 (loss).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from tickgate.sim.model.book import Top, Trade

__all__ = ["Holding", "ValuationModel", "Values"]

WIDEST = (1 << 64) - 1


@dataclass
class Holding:
    """Shares of a symbol, less than 0 if short; 1e-4 USD received for it less what was paid."""

    position: int = 0
    cash: int = 0


class Values(NamedTuple):
    """What all positions are worth and have gained, in 1e-4 USD."""

    known: bool
    long_value: int
    short_value: int
    profit: int


@dataclass
class ValuationModel:
    """Values positions at the last print, and marks them at what it would cost to close them.

    A position is worth its size at the last print; while there was none, at its mark. It is marked
    at the best bid if it is long, at the best ask if it is short; where there is none, at the last
    print. If a symbol has a position but neither, or a sum is beyond 64 bits, nothing is known.
    """

    holdings: dict[int, Holding] = field(default_factory=dict)
    _prints: dict[int, int] = field(default_factory=dict)
    _tops: dict[int, Top] = field(default_factory=dict)

    def trade(self, trade: Trade) -> None:
        """A print of its symbol."""
        self._prints[trade.symbol] = trade.price

    def top(self, top: Top) -> None:
        """The book of a symbol has another top."""
        self._tops[top.symbol] = top

    def holding(self, symbol: int) -> Holding:
        """What is held of a symbol; may be changed."""
        return self.holdings.setdefault(symbol, Holding())

    def values(self) -> Values:
        """As of now."""
        known, long, short, profit = True, 0, 0, 0
        for symbol, held in self.holdings.items():
            side, last = self._worse(symbol, held.position), self._prints.get(symbol)
            mark = last if side is None else side
            price = side if last is None else last
            profit += held.cash
            if not held.position:
                continue
            if mark is None or price is None:
                known = False
                continue
            profit += held.position * mark
            if held.position > 0:
                long += held.position * price
            else:
                short -= held.position * price
        known = known and long <= WIDEST and short <= WIDEST
        return Values(known, long, short, profit)

    def _worse(self, symbol: int, position: int) -> int | None:
        top = self._tops.get(symbol)
        if top is None:
            return None
        if position < 0:
            return top.ask_price if top.ask_present else None
        return top.bid_price if top.bid_present else None
