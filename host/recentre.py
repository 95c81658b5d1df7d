"""Follows the market with the price windows of a card.

Ref: docs/architecture.md, "The book".
"""

import time
from collections.abc import Iterable

from tickgate.host.driver import BookView, Driver, Recentred
from tickgate.spec.registers import page_values

__all__ = ["Follower", "is_leaving"]


def is_leaving(view: BookView, *, base: int, span: int) -> bool:
    """True if the market is about to leave the window from `base` on, `span` wide, or has left it.

    That is, if its best prices lie in the outer quarters, or orders outside hide them. A book that
    is not trusted needs a recovery, and no other window.
    """
    if not view.trusted:
        return False
    best = [side.levels[0].price for side in (view.bids, view.asks) if side.levels]
    if not view.exact or not best:
        return not view.exact
    return not span // 4 <= sum(best) // len(best) - base < span - span // 4


class Follower:
    """Moves the window of a symbol when the market leaves it.

    Parameters
    ----------
    card : Driver
    symbols : iterable of str, or None
        Names; None: all that the card has.
    pause_s : float
        A symbol's window moves at most so often. Where no window makes the book exact, because of
        orders at prices off the grid, it is tried again after that time.

    Raises `UserError` for a name that the card does not know.
    """

    def __init__(
        self, card: Driver, symbols: Iterable[str] | None = None, *, pause_s: float = 1.0
    ) -> None:
        self._card, self._pause_s = card, pause_s
        self._pages = [page_values(page) for page in card.pages_in_force()]
        known = {name: index for index, name in enumerate(card.symbols()) if name}
        names = known if symbols is None else symbols
        self.symbols = {
            name: known[name] if name in known else card.symbol_index(name) for name in names
        }
        self._moved: dict[int, float] = {}

    def look(self, name: str) -> Recentred | None:
        """Looks at a symbol; returns what was done if its window has moved."""
        index = self.symbols[name]
        page, now = self._pages[index], time.monotonic()
        if now - self._moved.get(index, -self._pause_s) < self._pause_s:
            return None
        span = self._card.identity.ticks * (100 if page["tick_is_cent"] else 1)
        if not is_leaving(self._card.book(index), base=page["window_base"], span=span):
            return None
        done = self._card.recentre(index)
        page["window_base"], self._moved[index] = done.base, time.monotonic()
        return done
