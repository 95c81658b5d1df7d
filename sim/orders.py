"""The live orders of the tracked symbols by reference, for whoever asks what a message did.

Ref: NASDAQ TotalView-ITCH 5.0, sections 4.3 to 4.4.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tickgate.sim.frames import Frames
from tickgate.spec import itch50

__all__ = ["LiveOrders", "Removal"]


class Removal(NamedTuple):
    """The order that a Replace takes out of the book."""

    side: int
    price: int
    shares: int


class LiveOrders:
    """Follows orders from their add to their end. Price in 1e-4 USD, side 0 buys.

    Parameters
    ----------
    symbols : mapping of int to int
        Stock locate to symbol index.
    """

    def __init__(self, symbols: Mapping[int, int]) -> None:
        self._index = np.full(1 << 16, -1, np.int64)
        for locate, index in symbols.items():
            self._index[locate] = index
        self._orders: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def references(self) -> list[tuple[int, int]]:
        """Reference and symbol index of each order."""
        return [(reference, order[0]) for reference, order in self._orders.items()]

    def depth(self, symbol: int) -> tuple[dict[int, int], dict[int, int]]:
        """Shares by price of the buy side and the sell side."""
        sides = defaultdict(int), defaultdict(int)
        for owner, side, price, shares in self._orders.values():
            if owner == symbol:
                sides[side][price] += shares
        return dict(sides[0]), dict(sides[1])

    def update(self, frames: Frames) -> dict[int, Removal]:
        """Takes the messages of some frames; tells what each Replace among them removed."""
        messages = frames.messages
        book = messages.where(*itch50.BOOK_TYPES)
        book = book[frames.due[book]]
        chosen = messages.of(book)
        symbols = self._index[chosen.header("stock_locate").astype(np.int64)]
        tracked = symbols >= 0
        book, chosen, symbols = book[tracked], chosen.of(tracked), symbols[tracked]
        types = chosen.types
        columns = np.zeros((4, len(book)), np.uint64)
        for type_, names in _COLUMNS.items():
            which = types == ord(type_)
            for column, name in zip(columns, names, strict=True):
                if name:
                    column[which] = chosen.of(which).numbers(type_, name)
        sides = columns[1] == ord(itch50.SELL)
        rows = zip(
            book.tolist(),
            types.tolist(),
            symbols.tolist(),
            chosen.numbers("D", "order_ref").tolist(),
            sides.tolist(),
            *(column.tolist() for column in columns[[0, 2, 3]]),
            strict=True,
        )
        return self._apply(rows)

    def _apply(self, rows) -> dict[int, Removal]:
        orders, removals = self._orders, {}
        add, attributed, delete, replace = b"AFDU"
        for at, type_, symbol, reference, side, new_reference, shares, price in rows:
            if type_ in (add, attributed):
                orders[reference] = [symbol, int(side), price, shares]
            elif type_ == delete:
                orders.pop(reference, None)
            elif type_ == replace:
                order = orders.pop(reference, None)
                if order is not None:
                    removals[at] = Removal(*order[1:])
                    orders[new_reference] = [symbol, order[1], price, shares]
            else:
                order = orders.get(reference)
                if order is not None:
                    order[3] -= shares
                    if order[3] <= 0:
                        del orders[reference]
        return removals


_COLUMNS = {
    "A": ("", "side", "shares", "price"),
    "F": ("", "side", "shares", "price"),
    "E": ("", "", "executed_shares", ""),
    "C": ("", "", "executed_shares", ""),
    "X": ("", "", "canceled_shares", ""),
    "U": ("new_order_ref", "", "shares", "price"),
}
"""Where the new reference, the side, the shares and the price of each type are."""
