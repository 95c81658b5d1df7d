"""Model of the book: best bid and ask of each tracked symbol, and whether they are exact.

Ref: NASDAQ TotalView-ITCH 5.0, sections 4.3 to 4.6; docs/architecture.md, "The book".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

from tickgate.sim.model.feed import BUY, SELL, Message

__all__ = ["BookModel", "Top", "Trade", "Window"]

WORD = 0xFFFF_FFFF


class Top(NamedTuple):
    """Best bid and ask of one symbol after a message.

    Prices in 1e-4 USD. An absent side has price and shares 0. `sequence` is that of the message
    (32 bits), 0 where the host caused the change.
    """

    symbol: int
    bid_present: int
    bid_price: int
    bid_shares: int
    ask_present: int
    ask_price: int
    ask_shares: int
    exact: int
    sequence: int


class Trade(NamedTuple):
    """A print of one symbol, price in 1e-4 USD."""

    symbol: int
    price: int


@dataclass(frozen=True, kw_only=True)
class Window:
    """The prices that the ladder of a symbol holds: base + i * tick for 0 <= i < ticks.

    `base` and `tick` are in 1e-4 USD; `base` is a multiple of `tick`.
    """

    base: int
    tick: int
    ticks: int

    def __post_init__(self) -> None:
        if self.tick < 1:
            raise ValueError(f"tick must be at least 1 (1e-4 USD), not {self.tick}")
        if self.ticks < 1:
            raise ValueError(f"ticks must be at least 1, not {self.ticks}")
        if self.base < 0 or self.base % self.tick:
            raise ValueError(f"base must be a multiple of the tick {self.tick}, not {self.base}")

    @classmethod
    def around(cls, price: int, *, tick: int, ticks: int) -> "Window":
        """The window with `price` in its middle, as far as it does not begin below 0."""
        return cls(base=max(0, price // tick - ticks // 2) * tick, tick=tick, ticks=ticks)

    @property
    def end(self) -> int:
        """The first price above the window."""
        return self.base + self.ticks * self.tick

    def holds(self, price: int) -> bool:
        """True if the ladder has a level for `price`."""
        return self.base <= price < self.end and (price - self.base) % self.tick == 0


class _Ladder:
    """Shares by price of one side, and the count of orders that have no level.

    Keys are prices for asks and negated prices for bids, so that the least key is the best.
    The heap holds each key at most once; a key whose level is empty leaves when it comes to the
    top.
    """

    __slots__ = ("_heap", "_queued", "better", "levels", "worse")

    def __init__(self) -> None:
        self.levels: dict[int, int] = {}
        self.better = 0
        self.worse = 0
        self._heap: list[int] = []
        self._queued: set[int] = set()

    def put(self, key: int, total: int) -> None:
        if total:
            self.levels[key] = total
            if key not in self._queued:
                self._queued.add(key)
                heappush(self._heap, key)
        else:
            self.levels.pop(key, None)

    def best(self) -> tuple[int, int, int]:
        """Present, price and shares of the best level."""
        heap, levels = self._heap, self.levels
        while heap:
            key = heap[0]
            shares = levels.get(key)
            if shares is not None:
                return 1, abs(key), shares
            self._queued.discard(heappop(heap))
        return 0, 0, 0


class _Symbol:
    """What is known of one symbol."""

    __slots__ = ("ladders", "last", "trusted", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.ladders = (_Ladder(), _Ladder())
        self.trusted = False
        self.last = (0, 0, 0, 0, 0, 0, 0)


class _Order:
    """A live order. `key` is that of its level, None where it has none."""

    __slots__ = ("better", "key", "price", "shares", "side", "symbol")

    def __init__(self, symbol: int, side: int, price: int, shares: int) -> None:
        self.symbol = symbol
        self.side = side
        self.price = price
        self.shares = shares
        self.key: int | None = None
        self.better = False


class BookModel:
    """Applies messages in sequence and tells each change of a symbol's top.

    An order is in the window of its symbol, or escaped: `worse` (a bid below the window, an ask
    at or above its end) or `better` (every other price without a level, off-grid ones included).
    A top is exact when the symbol is trusted, no order escaped on the better side, and no side
    is empty in the window while orders escaped on its worse side.

    The window of a symbol may move (`move`): its orders are then where their prices are in the new
    one.

    The host alone makes a symbol trusted (`set_whole`). It ends with a gap, a reference that is
    not stored for the symbol, an execution of more shares than are left, a reference that is
    stored already, or a level of more than 2^32 - 1 shares (which then wraps).

    Parameters
    ----------
    symbols : mapping of int to int
        Stock locate to symbol index, of the tracked symbols.
    windows : mapping of int to Window
        Symbol index to its window; every tracked symbol has one.

    Members
    -------
    trade : Trade or None
        The print of the message last applied.
    counters : dict
        unknown_reference, over_execution, duplicate_reference, level_overflow.

    Raises ValueError where a tracked symbol has no window.
    """

    def __init__(self, *, symbols: Mapping[int, int], windows: Mapping[int, Window]) -> None:
        missing = sorted(set(symbols.values()) - set(windows))
        if missing:
            raise ValueError(f"no window for symbol {missing[0]}")
        self._locates = dict(symbols)
        self._symbols = {index: _Symbol(windows[index]) for index in sorted(windows)}
        self._orders: dict[int, _Order] = {}
        self.trade: Trade | None = None
        self.counters = dict.fromkeys(
            ("unknown_reference", "over_execution", "duplicate_reference", "level_overflow"), 0
        )

    @property
    def orders(self) -> int:
        """How many orders live, over all symbols."""
        return len(self._orders)

    def levels(self, symbol: int, side: int) -> list[tuple[int, int]]:
        """The levels of a side in the window as (price, shares), best first."""
        levels = self._symbols[symbol].ladders[side].levels
        return [(abs(key), levels[key]) for key in sorted(levels)]

    def live(self, symbol: int) -> list[tuple[int, int, int, int]]:
        """The live orders of `symbol` as (reference, side, shares, price), by reference."""
        return sorted(
            (reference, order.side, order.shares, order.price)
            for reference, order in self._orders.items()
            if order.symbol == symbol
        )

    def set_whole(self, symbol: int, whole: bool = True, *, sequence: int = 0) -> Top | None:
        """The host says whether the book of `symbol` is complete as it stands."""
        self._symbols[symbol].trusted = whole
        return self._row(symbol, sequence)

    def move(self, symbol: int, window: Window, *, sequence: int = 0) -> Top | None:
        """The window of `symbol` is this one from now on."""
        state = self._symbols[symbol]
        state.window, state.ladders = window, (_Ladder(), _Ladder())
        for order in self._orders.values():
            if order.symbol == symbol:
                self._place(order)
        return self._row(symbol, sequence)

    def gap(self, sequence: int) -> list[Top]:
        """Messages are missing: no symbol is trusted.

        `sequence` is the one to name in the rows that follow from it, in order of symbols.
        """
        rows = []
        for index, symbol in self._symbols.items():
            if symbol.trusted:
                symbol.trusted = False
                row = self._row(index, sequence)
                if row is not None:
                    rows.append(row)
        return rows

    def apply(self, message: Message, sequence: int) -> Top | None:
        """Applies one message and returns the new top if it differs from the last one told."""
        self.trade = None
        symbol = self._locates.get(message.locate)
        if symbol is None:
            return None
        type_ = message.type
        if type_ == "A" or type_ == "F":
            self._add(symbol, message.reference, message.side, message.price, message.shares)
        elif type_ == "D":
            if self._find(symbol, message.reference) is not None:
                self._remove(message.reference)
        elif type_ == "U":
            order = self._find(symbol, message.reference)
            if order is not None:
                self._remove(message.reference)
                self._add(symbol, message.new_reference, order.side, message.price, message.shares)
        elif type_ == "E" or type_ == "C" or type_ == "X":
            order = self._find(symbol, message.reference)
            if order is not None:
                self._reduce(message.reference, order, message.shares)
                if type_ == "E" and order.key is not None:
                    self.trade = Trade(symbol, order.price)
            if type_ == "C" and message.printable:
                self.trade = Trade(symbol, message.price)
        else:
            if type_ == "P":
                self.trade = Trade(symbol, message.price)
            return None
        return self._row(symbol, sequence)

    def _distrust(self, symbol: int, cause: str) -> None:
        self.counters[cause] += 1
        self._symbols[symbol].trusted = False

    def _find(self, symbol: int, reference: int) -> _Order | None:
        order = self._orders.get(reference)
        if order is None or order.symbol != symbol:
            self._distrust(symbol, "unknown_reference")
            return None
        return order

    def _add(self, symbol: int, reference: int, side: int, price: int, shares: int) -> None:
        if reference in self._orders:
            self._distrust(symbol, "duplicate_reference")
            return
        self._orders[reference] = order = _Order(symbol, side, price, shares)
        self._place(order)

    def _place(self, order: _Order) -> None:
        state, side, price = self._symbols[order.symbol], order.side, order.price
        window, ladder = state.window, state.ladders[side]
        order.key, order.better = None, False
        if window.holds(price):
            order.key = key = price if side == SELL else -price
            total = ladder.levels.get(key, 0) + order.shares
            if total > WORD:
                self._distrust(order.symbol, "level_overflow")
            ladder.put(key, total & WORD)
        elif price < window.base if side == BUY else price >= window.end:
            ladder.worse += 1
        else:
            order.better = True
            ladder.better += 1

    def _reduce(self, reference: int, order: _Order, shares: int) -> None:
        if shares > order.shares:
            self._distrust(order.symbol, "over_execution")
        if shares >= order.shares:
            self._remove(reference)
            return
        order.shares -= shares
        self._lower(order, shares)

    def _remove(self, reference: int) -> None:
        order = self._orders.pop(reference)
        self._lower(order, order.shares)
        if order.key is None:
            ladder = self._symbols[order.symbol].ladders[order.side]
            if order.better:
                ladder.better -= 1
            else:
                ladder.worse -= 1

    def _lower(self, order: _Order, shares: int) -> None:
        key = order.key
        if key is not None:
            ladder = self._symbols[order.symbol].ladders[order.side]
            ladder.put(key, (ladder.levels.get(key, 0) - shares) & WORD)

    def _row(self, symbol: int, sequence: int) -> Top | None:
        state = self._symbols[symbol]
        bids, asks = state.ladders
        bid = bids.best()
        ask = asks.best()
        exact = int(
            state.trusted
            and not bids.better
            and not asks.better
            and (bid[0] or not bids.worse)
            and (ask[0] or not asks.worse)
        )
        now = (*bid, *ask, exact)
        if now == state.last:
            return None
        state.last = now
        return Top(symbol, *now, sequence & WORD)
