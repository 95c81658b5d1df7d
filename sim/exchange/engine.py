"""The matching engine: limit orders in price-time priority, in whole shares and 1e-4 USD.

Ref: NASDAQ Equity 4, Rule 4757; NASDAQ OUCH 5.0, sections 2.1 to 2.4; NASDAQ TotalView-ITCH 5.0,
section 4. What happens depends on the calls, in their order, and on nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tickgate.sim.exchange.book import Order, OrderBook, Symbol
from tickgate.sim.model.feed import BUY
from tickgate.spec.itch50 import EventCode, TradingState
from tickgate.spec.ouch50 import CancelReason

__all__ = ["DECREMENT", "NEWEST", "OLDEST", "Engine", "Fill", "MarketData", "Owner", "Prevented"]

OLDEST, NEWEST, DECREMENT = "O", "W", "D"
"""Who gives way where an owner's orders would trade with each other, by OUCH's AIQ strategy."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One side of a trade: `added` is True for the order that rested."""

    order: Order
    shares: int
    price: int
    match: int
    added: bool


@dataclass(frozen=True, slots=True)
class Prevented:
    """`shares` taken off an order because `prevented` of them would have traded with its owner."""

    order: Order
    shares: int
    prevented: int
    price: int
    added: bool


class Owner(Protocol):
    """Who enters orders, and is told in order what becomes of them."""

    def accepted(self, order: Order, time: int) -> None:
        """The order is live; nothing has happened to it."""

    def replaced(self, old: Order, order: Order, time: int) -> None:
        """`order` has taken the place of `old`."""

    def executed(self, fill: Fill, time: int) -> None:
        """An order traded; `fill.order.leaves` is what is left."""

    def canceled(self, order: Order, shares: int, reason: CancelReason, time: int) -> None:
        """An order lost `shares`."""

    def prevented(self, prevented: Prevented, time: int) -> None:
        """An order lost shares to self-match prevention."""

    def broken(self, fill: Fill, time: int) -> None:
        """A trade is void; what it took from the order does not come back."""


class MarketData(Protocol):
    """Who publishes what can be seen of the books."""

    def added(self, order: Order, time: int) -> None:
        """A displayed order rests."""

    def executed(self, order: Order, shares: int, match: int, time: int) -> None:
        """A displayed order traded at its price."""

    def traded(self, order: Order, shares: int, match: int, time: int) -> None:
        """A hidden order traded at its price."""

    def reduced(self, order: Order, shares: int, time: int) -> None:
        """A displayed order lost shares and rests on."""

    def deleted(self, order: Order, time: int) -> None:
        """A displayed order is gone."""

    def replaced(self, old: Order, order: Order, time: int) -> None:
        """A displayed order has taken the place of another one."""

    def broken(self, match: int, symbol: Symbol, time: int) -> None:
        """A trade is void."""

    def trading(self, symbol: Symbol, state: TradingState, time: int) -> None:
        """The trading state of a symbol changed."""

    def event(self, code: EventCode, time: int) -> None:
        """A step of the day."""


class Engine:
    """Books of all symbols, and the trades between orders.

    An incoming order trades with the best opposite order, at the price of that one, for as long
    as the prices meet. What is left rests, or is cancelled if the order is immediate-or-cancel.
    The book is therefore never crossed nor locked. A replacement is a new order in all but its
    executed shares; an order that only loses shares keeps its place.

    Where both sides of a trade have the same owner and both orders name a self-match strategy,
    that of the incoming order decides who gives way; otherwise they trade.

    Parameters
    ----------
    symbols : sequence of Symbol
        Distinct names and locates.
    market : MarketData
    clock : callable
        Nanoseconds since midnight; called once for each call of the engine.

    Members
    -------
    symbols : dict of str to Symbol
    books, states : dict of str to OrderBook, TradingState
    orders : dict of int to Order
        The orders that rest, by reference.
    trades : dict of int to pair of Fill
        By match number, the resting side first.
    open : bool
        Between `start` and `close`.

    Raises ValueError where two symbols share a name or a locate.
    """

    def __init__(
        self, symbols: Sequence[Symbol], *, market: MarketData, clock: Callable[[], int]
    ) -> None:
        self.symbols = {symbol.name: symbol for symbol in symbols}
        locates = {symbol.locate for symbol in symbols}
        if not len(self.symbols) == len(locates) == len(symbols):
            raise ValueError("symbols must have distinct names and stock locates")
        self.books = {name: OrderBook() for name in self.symbols}
        self.states = dict.fromkeys(self.symbols, TradingState.TRADING)
        self.orders: dict[int, Order] = {}
        self.trades: dict[int, tuple[Fill, Fill]] = {}
        self.open = False
        self._broken: set[int] = set()
        self._market = market
        self.clock = clock
        self._references = 0

    @property
    def matches(self) -> int:
        """How many trades there were."""
        return len(self.trades)

    def trades_in(self, symbol: Symbol) -> bool:
        """True while orders in a symbol may trade. `enter` and `replace` ask for it before."""
        return self.open and self.states[symbol.name] is TradingState.TRADING

    def start(self) -> None:
        """Begins the day: system events, then the state of each symbol."""
        time = self.clock()
        self.open = True
        self._market.event(EventCode.START_OF_MESSAGES, time)
        self._market.event(EventCode.START_OF_SYSTEM_HOURS, time)
        for name, symbol in self.symbols.items():
            self._market.trading(symbol, self.states[name], time)
        self._market.event(EventCode.START_OF_MARKET_HOURS, time)

    def close(self) -> None:
        """Ends the day: every order that rests has timed out."""
        time = self.clock()
        self.open = False
        self._market.event(EventCode.END_OF_MARKET_HOURS, time)
        for order in list(self.orders.values()):
            self._take(order, order.leaves, time)
            order.owner.canceled(order, self._dead(order), CancelReason.TIMEOUT, time)
        self._market.event(EventCode.END_OF_SYSTEM_HOURS, time)
        self._market.event(EventCode.END_OF_MESSAGES, time)

    def set_state(self, symbol: Symbol, state: TradingState) -> None:
        """Halts a symbol or lets it trade again. Orders that rest stay."""
        self.states[symbol.name] = state
        self._market.trading(symbol, state, self.clock())

    def enter(
        self,
        owner: Owner,
        token: int,
        *,
        symbol: Symbol,
        side: int,
        price: int,
        shares: int,
        hidden: bool = False,
        immediate: bool = False,
        post_only: bool = False,
        self_match: str | None = None,
        entry: Any = None,
    ) -> Order:
        """Accepts an order, trades it, and lets what is left rest.

        A post-only order that would trade is cancelled instead.
        """
        time = self.clock()
        order = self._new(
            symbol=symbol,
            side=side,
            price=price,
            leaves=shares,
            hidden=hidden,
            owner=owner,
            token=token,
            self_match=self_match,
            entry=entry,
        )
        owner.accepted(order, time)
        self._place(order, time, immediate=immediate, post_only=post_only)
        return order

    def replace(
        self,
        order: Order,
        token: int,
        *,
        price: int,
        shares: int,
        hidden: bool = False,
        immediate: bool = False,
        post_only: bool = False,
        entry: Any = None,
    ) -> Order:
        """Puts a new order with `shares` left in the place of one that rests, behind all others."""
        time = self.clock()
        new = self._new(
            symbol=order.symbol,
            side=order.side,
            price=price,
            leaves=shares,
            hidden=hidden,
            owner=order.owner,
            token=token,
            self_match=order.self_match,
            executed=order.executed,
            prevented=order.prevented,
            entry=entry,
        )
        seen = not order.hidden
        follows = seen and not (hidden or immediate or self._opposite(new))
        self._remove(order)
        if seen and not follows:
            self._market.deleted(order, time)
        self._dead(order)
        order.owner.replaced(order, new, time)
        if follows:
            self._rest(new)
            self._market.replaced(order, new, time)
        else:
            self._place(new, time, immediate=immediate, post_only=post_only)
        return new

    def reduce(self, order: Order, leaves: int, reason: CancelReason) -> None:
        """Takes shares off an order that rests until `leaves` are left; it keeps its place."""
        time = self.clock()
        shares = order.leaves - leaves
        if shares > 0:
            self._take(order, shares, time)
            order.leaves = leaves
            order.owner.canceled(order, shares, reason, time)

    def shrink(self, order: Order, leaves: int) -> None:
        """As `reduce` to more than 0 shares, but the owner knows already."""
        self._take(order, order.leaves - leaves, self.clock())
        order.leaves = leaves

    def break_trade(self, match: int) -> None:
        """Voids a trade and tells both sides. Raises KeyError if there is no such, or no more."""
        if match in self._broken:
            raise KeyError(f"trade {match} is broken already")
        time = self.clock()
        fills = self.trades[match]
        self._broken.add(match)
        self._market.broken(match, fills[0].order.symbol, time)
        for fill in fills:
            fill.order.owner.broken(fill, time)

    def _new(self, **values: Any) -> Order:
        self._references += 1
        return Order(reference=self._references, **values)

    def _opposite(self, order: Order) -> Order | None:
        """The order that `order` would trade with."""
        best = self.books[order.symbol.name].best(1 - order.side)
        if best is None:
            return None
        meets = best.price <= order.price if order.side == BUY else best.price >= order.price
        return best if meets else None

    def _place(self, order: Order, time: int, *, immediate: bool, post_only: bool) -> None:
        if post_only and (contra := self._opposite(order)):
            reason = CancelReason.POST_ONLY_AWAY if contra.hidden else CancelReason.POST_ONLY
            order.owner.canceled(order, self._dead(order), reason, time)
            return
        while order.leaves and (resting := self._opposite(order)):
            if self._same(resting, order):
                self._prevent(resting, order, time)
            else:
                self._trade(resting, order, time)
        if not order.leaves:
            return
        if immediate:
            reason = CancelReason.IMMEDIATE_OR_CANCEL
            order.owner.canceled(order, self._dead(order), reason, time)
            return
        self._rest(order)
        if not order.hidden:
            self._market.added(order, time)

    def _trade(self, resting: Order, incoming: Order, time: int) -> None:
        shares = min(resting.leaves, incoming.leaves)
        match = len(self.trades) + 1
        if resting.hidden:
            self._market.traded(resting, shares, match, time)
        else:
            self._market.executed(resting, shares, match, time)
        fills = (
            Fill(resting, shares, resting.price, match, True),
            Fill(incoming, shares, resting.price, match, False),
        )
        self.trades[match] = fills
        if shares == resting.leaves:
            self._remove(resting)
        for fill in fills:
            fill.order.leaves -= shares
            fill.order.executed += shares
        for fill in fills:
            fill.order.owner.executed(fill, time)

    @staticmethod
    def _same(resting: Order, incoming: Order) -> bool:
        return bool(resting.owner is incoming.owner and resting.self_match and incoming.self_match)

    def _prevent(self, resting: Order, incoming: Order, time: int) -> None:
        """Lets one of two orders of the same owner give way, or both."""
        shares = min(resting.leaves, incoming.leaves)
        strategy = incoming.self_match
        rest = {OLDEST: resting.leaves, NEWEST: 0, DECREMENT: shares}[strategy]
        come = {OLDEST: 0, NEWEST: incoming.leaves, DECREMENT: shares}[strategy]
        if rest:
            self._take(resting, rest, time)
        for order, taken, added in ((resting, rest, True), (incoming, come, False)):
            if taken:
                order.leaves -= taken
                order.prevented += taken
                prevented = Prevented(order, taken, shares, resting.price, added)
                order.owner.prevented(prevented, time)

    def _rest(self, order: Order) -> None:
        self.orders[order.reference] = order
        self.books[order.symbol.name].add(order)

    def _remove(self, order: Order) -> None:
        del self.orders[order.reference]
        self.books[order.symbol.name].remove(order)

    def _take(self, order: Order, shares: int, time: int) -> None:
        """Shows that an order that rests loses `shares`, and takes it out if these are all."""
        if shares == order.leaves:
            self._remove(order)
            if not order.hidden:
                self._market.deleted(order, time)
        elif not order.hidden:
            self._market.reduced(order, shares, time)

    @staticmethod
    def _dead(order: Order) -> int:
        """Ends an order and returns what was left of it."""
        leaves, order.leaves = order.leaves, 0
        return leaves
