"""The fills of a card's orders, and what they come to: a blotter made of its event records.

Prices and amounts are integers of 1e-4 USD.

Ref: tickgate.spec.events; OUCH 5.0, appendices B and C (reasons).
"""

import enum
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from tickgate.host.driver import Event
from tickgate.spec.events import EventKind
from tickgate.spec.ouch50 import CancelReason, RejectReason

__all__ = ["REPORTS", "Fill", "Fills", "OwnOrder", "Traded", "describe"]

REPORTS = (EventKind.ACCEPTED, EventKind.FILLED, EventKind.CANCELLED, EventKind.REJECTED)
"""Kinds of events that tell what the venue has made of an order."""


@dataclass(frozen=True)
class Fill:
    """One execution. `open`: shares of the order that may still be executed."""

    time: int
    user_ref_num: int
    symbol: int
    sells: bool
    shares: int
    price: int
    open: int
    match_number: int


@dataclass
class OwnOrder:
    """An order as far as events have told of it. `quantity`: as sent, None if that was not told."""

    symbol: int
    sells: bool
    quantity: int | None = None
    executed: int = 0
    open: int = 0


@dataclass
class Traded:
    """What was executed of a symbol. `last_price` is None before the first fill."""

    bought_shares: int = 0
    bought_notional: int = 0
    sold_shares: int = 0
    sold_notional: int = 0
    last_price: int | None = None

    def add(self, fill: Fill) -> None:
        """Counts a fill."""
        amount = fill.shares * fill.price
        if fill.sells:
            self.sold_shares += fill.shares
            self.sold_notional += amount
        else:
            self.bought_shares += fill.shares
            self.bought_notional += amount
        self.last_price = fill.price


class Fills:
    """Adds up what events tell of own orders.

    Members
    -------
    orders : dict of int to OwnOrder
        By user reference number.
    symbols : defaultdict of int to Traded
        By symbol index.
    executions : int
        Fills.
    lost : int
        Events that were lost: as many fills at most are missing in all of this. The card's own
        accounts have them (`tickgate position`).
    """

    def __init__(self) -> None:
        self.orders: dict[int, OwnOrder] = {}
        self.symbols: defaultdict[int, Traded] = defaultdict(Traded)
        self.executions = self.lost = 0

    def take(self, event: Event) -> Fill | None:
        """Takes note of an event of any kind; returns the fill if it is one."""
        self.lost += event.lost_before
        if event.kind == EventKind.ORDER_SENT:
            order = self._order(event)
            order.quantity = order.open = event.quantity
        elif event.kind in REPORTS:
            # The detail of a rejection is its reason.
            self._order(event).open = 0 if event.kind == EventKind.REJECTED else event.detail
        return self._fill(event) if event.kind == EventKind.FILLED else None

    def _order(self, event: Event) -> OwnOrder:
        blank = OwnOrder(event.symbol, bool(event.side))
        return self.orders.setdefault(event.user_ref_num, blank)

    def _fill(self, event: Event) -> Fill:
        fill = Fill(
            time=event.time,
            user_ref_num=event.user_ref_num,
            symbol=event.symbol,
            sells=bool(event.side),
            shares=event.quantity,
            price=event.price,
            open=event.detail,
            match_number=event.reasons,
        )
        self.executions += 1
        self.orders[fill.user_ref_num].executed += fill.shares
        self.symbols[fill.symbol].add(fill)
        return fill


def describe(event: Event) -> dict[str, Any]:
    """What only a report of the venue has, by name: for an event whose kind is in `REPORTS`."""
    told: dict[str, Any] = {"report_sequence": event.message_sequence}
    match event.kind:
        case EventKind.ACCEPTED:
            told |= {"open": event.detail, "order_reference": event.reasons}
            told |= {"order_state": _character(event.code)}
        case EventKind.FILLED:
            told |= {"open": event.detail, "match_number": event.reasons}
            told |= {"liquidity": _character(event.code)}
        case EventKind.CANCELLED:
            told |= {"open": event.detail, "reason": _word(CancelReason, _character(event.code))}
        case EventKind.REJECTED:
            told |= {"reason": _word(RejectReason, event.detail)}
    return told


def _character(code: int) -> str | int:
    """A code as the venue writes it; the number if it is no character that can be shown."""
    return chr(code) if 0x21 <= code <= 0x7E else code


def _word(reasons: type[enum.Enum], value: str | int) -> str | int:
    """The name of a reason; what the venue said if it has none. 0 is none told."""
    known = {each.value: each.name.lower() for each in reasons}
    return known.get(value, value)
