"""An OUCH 5.0 port: the messages of one account in, what becomes of its orders out.

Ref: NASDAQ OUCH 5.0, sections 2 "Inbound Messages" and 3 "Outbound Messages", appendices A to C.

Quantities mean three things. Of Enter Order, Replace Order, Cancel Order and Modify Order it is
the most that may ever execute over the whole chain of replaces, with what has executed, and what
self-match prevention took, included. Of Accepted and Replaced it is what is live. Of Canceled and
Executed it is the change.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tickgate.sim.exchange.book import Order, Symbol
from tickgate.sim.exchange.engine import DECREMENT, NEWEST, OLDEST, Engine, Fill, Prevented
from tickgate.sim.exchange.ledger import Ledger, OrderRecord
from tickgate.sim.exchange.soup import Stream
from tickgate.sim.model.feed import BUY, SELL
from tickgate.spec import ouch50
from tickgate.spec.fields import Message, Value, WireError
from tickgate.spec.itch50 import TradingState
from tickgate.spec.ouch50 import CancelReason, RejectReason, Tag, TimeInForce

__all__ = ["CancelMode", "OuchPort", "SelfMatch"]

SIDES = {"B": BUY, "S": SELL, "T": SELL, "E": SELL}
HIDDEN = "N"
DISPLAYS = frozenset("YA" + HIDDEN)
CAPACITIES = frozenset("APRO")
SWEEPS = frozenset("YN")
ADDED, REMOVED, HIDDEN_ADDED = "A", "R", "J"
LIVE = "L"
CONTINUOUS = "N"

SelfMatch = str | None
STRATEGIES: dict[str, SelfMatch] = {
    "trade": None,
    "cancel-oldest": OLDEST,
    "cancel-newest": NEWEST,
    "decrement": DECREMENT,
}

# What an appendage may ask for without any effect on how this venue trades the order.
WITHOUT_EFFECT = frozenset(
    {
        Tag.FIRM,
        Tag.CUSTOMER_TYPE,
        Tag.GROUP_ID,
        Tag.SHARES_LOCATED,
        Tag.LOCATE_BROKER,
        Tag.TRADE_NOW,
        Tag.AIQ_GROUP_ID,
    }
)
# The values by which an attribute says that it is not used.
NEUTRAL: dict[int, Value] = {
    Tag.MIN_QTY: 0,
    Tag.MAX_FLOOR: 0,
    Tag.PRICE_TYPE: "L",
    Tag.POST_ONLY: "N",
    Tag.HANDLE_INST: "",
    Tag.RANDOM_RESERVES: 0,
    Tag.USER_REF_IDX: 0,
}
REFUSED = {
    Tag.MIN_QTY: RejectReason.INVALID_MIN_QUANTITY,
    Tag.MAX_FLOOR: RejectReason.INVALID_MAX_FLOOR,
    Tag.RANDOM_RESERVES: RejectReason.INVALID_MAX_FLOOR,
    Tag.PRICE_TYPE: RejectReason.PEGGING_NOT_ALLOWED,
    Tag.PEG_OFFSET: RejectReason.PEGGING_NOT_ALLOWED,
    Tag.DISCRETION_PRICE: RejectReason.PEGGING_NOT_ALLOWED,
    Tag.DISCRETION_PRICE_TYPE: RejectReason.PEGGING_NOT_ALLOWED,
    Tag.DISCRETION_PEG_OFFSET: RejectReason.PEGGING_NOT_ALLOWED,
    Tag.ROUTE: RejectReason.ROUTING_NOT_ALLOWED,
}
POST_ONLY = "P"


class CancelMode:
    """What the venue does with a cancel: outside of crosses it always acts."""

    ACT, PEND, REJECT = "act", "pend", "reject"
    ALL = (ACT, PEND, REJECT)


@dataclass(slots=True)
class _Entry:
    """What Accepted and Replaced repeat of an order, and the cancels that pend."""

    fields: dict[str, Value]
    appendage: ouch50.Appendage
    pending: list[int] = field(default_factory=list)


class OuchPort:
    """One account at the venue. It is the `Client` of a session and the `Owner` of its orders.

    User reference numbers rise over the day, whatever the connection: a lower or equal one is
    ignored and counted, as the specification says. So are a cancel of what is not live, a replace
    of what is not live, and octets that are no message. A replace whose details are invalid takes
    the order out of the book; its number is not used up then.

    Parameters
    ----------
    account, firm : str
        The user's name, and the firm that stands for a blank one.
    engine : Engine
    self_match : str
        trade, cancel-oldest, cancel-newest or decrement, for orders that do not say.
    cancel_on_disconnect : bool
        Whether the end of a session cancels every order.
    clock : callable
        Nanoseconds since midnight.
    journal : callable or None
        Called with the account, the direction ("in", "out") and the octets of each message.
    notice : callable
        Called with a line of text when a session begins or ends.

    Members
    -------
    stream : Stream
    ledger : Ledger
    enabled : bool
        False between Disable and Enable Order Entry.
    cancel_mode : str
        One of `CancelMode`.
    counters : Counter
        received, accepted, replaced, rejected, canceled, executed, stale_user_ref, not_live,
        malformed, sessions.
    """

    def __init__(
        self,
        account: str,
        *,
        engine: Engine,
        clock: Callable[[], int],
        firm: str = "",
        self_match: str = "trade",
        cancel_on_disconnect: bool = True,
        journal: Callable[[str, str, bytes], None] | None = None,
        notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        if self_match not in STRATEGIES:
            raise ValueError(
                f"self_match must be one of {', '.join(STRATEGIES)}, not {self_match!r}"
            )
        self.account = account
        self.firm = firm
        self.stream = Stream()
        self.ledger = Ledger(account)
        self.enabled = True
        self.cancel_mode = CancelMode.ACT
        self.cancel_on_disconnect = cancel_on_disconnect
        self.counters: Counter[str] = Counter()
        self._engine = engine
        self._clock = clock
        self._self_match = STRATEGIES[self_match]
        self._journal = journal
        self._notice = notice
        self._orders: dict[int, Order] = {}
        self._last = 0
        self._handlers = {
            "O": self._enter,
            "U": self._replace,
            "X": self._cancel,
            "M": self._modify,
            "C": self._mass_cancel,
            "D": self._disable,
            "E": self._enable,
            "Q": self._query,
        }

    @property
    def connected(self) -> bool:
        """True while a session of the account lives."""
        return self.stream.follower is not None

    @property
    def next_user_ref_num(self) -> int:
        """The lowest number that the next order may have, 0 if there is none left."""
        return (self._last + 1) & 0xFFFF_FFFF

    def live(self, symbol: str = "") -> list[Order]:
        """The orders that rest, of one symbol or of all, in the order of their entry."""
        return [
            order
            for order in self._orders.values()
            if order.leaves and symbol in ("", order.symbol.name)
        ]

    # Client

    def joined(self) -> None:
        """A session begins."""
        self.counters["sessions"] += 1
        self._notice(f"{self.account}: logged in")

    def left(self, cause: str) -> None:
        """The session is over."""
        self._notice(f"{self.account}: {cause}")
        if self.cancel_on_disconnect:
            for order in self.live():
                self._engine.reduce(order, 0, CancelReason.SYSTEM_CANCEL)

    def received(self, message: bytes) -> None:
        """A message of the client."""
        self.counters["received"] += 1
        if self._journal is not None:
            self._journal(self.account, "in", message)
        try:
            decoded = ouch50.decode(ouch50.INBOUND, message)
        except WireError:
            self.counters["malformed"] += 1
            return
        self._handlers[decoded.message.type](decoded.values, decoded.appendage or {})

    # Owner

    def accepted(self, order: Order, time: int) -> None:
        """Accepted."""
        entry: _Entry = order.entry
        self._orders[order.token] = order
        self.counters["accepted"] += 1
        self.ledger.accepted(self._record(order))
        values = entry.fields | {
            "quantity": order.leaves,
            "order_ref": order.reference,
            "order_state": LIVE,
        }
        self._send("A", time, values, entry.appendage)

    def replaced(self, old: Order, order: Order, time: int) -> None:
        """Replaced."""
        entry: _Entry = order.entry
        self._orders[order.token] = order
        self.counters["replaced"] += 1
        self.ledger.replaced(old.token, self._record(order))
        values = entry.fields | {
            "orig_user_ref_num": old.token,
            "quantity": order.leaves,
            "order_ref": order.reference,
            "order_state": LIVE,
        }
        self._send("U", time, values, entry.appendage)

    def executed(self, fill: Fill, time: int) -> None:
        """Executed."""
        order = fill.order
        self.counters["executed"] += 1
        liquidity = REMOVED
        if fill.added:
            liquidity = HIDDEN_ADDED if order.hidden else ADDED
        self.ledger.executed(
            order.token,
            shares=fill.shares,
            price=fill.price,
            match=fill.match,
            liquidity=liquidity,
            time=time,
        )
        values = {
            "user_ref_num": order.token,
            "quantity": fill.shares,
            "price": fill.price,
            "liquidity": liquidity,
            "match_number": fill.match,
        }
        self._send("E", time, values, {})

    def canceled(self, order: Order, shares: int, reason: CancelReason, time: int) -> None:
        """Canceled."""
        self.counters["canceled"] += 1
        self.ledger.canceled(order.token, shares)
        self._send(
            "C", time, {"user_ref_num": order.token, "quantity": shares, "reason": reason.value}
        )

    def prevented(self, prevented: Prevented, time: int) -> None:
        """AIQ Canceled."""
        order = prevented.order
        self.counters["canceled"] += 1
        self.ledger.canceled(order.token, prevented.shares)
        values = {
            "user_ref_num": order.token,
            "decrement_shares": prevented.shares,
            "reason": CancelReason.SELF_MATCH_PREVENTION.value,
            "qty_prevented": prevented.prevented,
            "execution_price": prevented.price,
            "liquidity": ADDED if prevented.added else REMOVED,
        }
        self._send("D", time, values)

    def broken(self, fill: Fill, time: int) -> None:
        """Broken Trade, by a supervisor."""
        order = fill.order
        self.ledger.broken(order.token, fill.match)
        values = {
            "user_ref_num": order.token,
            "match_number": fill.match,
            "reason": "S",
            "clordid": order.entry.fields["clordid"],
        }
        self._send("B", time, values)

    # The venue

    def system_event(self, code: str) -> None:
        """System Event: S at the start of the day, E at its end."""
        self._send("S", self._clock(), {"event_code": code})

    def restate(self, user_ref_num: int, *, display_quantity: int) -> None:
        """Restated: the venue says again how much of an order it displays.

        Raises KeyError if the order is not live.
        """
        order = self._orders.get(user_ref_num)
        if order is None or not order.leaves:
            raise KeyError(f"no order {user_ref_num} of {self.account} is live")
        values = {"user_ref_num": user_ref_num, "reason": "R"}
        self._send("R", self._clock(), values, {Tag.DISPLAY_QUANTITY: display_quantity})

    def set_cancel_mode(self, mode: str) -> None:
        """Acts on cancels, lets them pend, or rejects them, as a venue does around a cross.

        What was pending is done once cancels act again.
        """
        if mode not in CancelMode.ALL:
            raise ValueError(f"cancel mode must be {', '.join(CancelMode.ALL)}, not {mode!r}")
        self.cancel_mode = mode
        if mode == CancelMode.ACT:
            self._release()

    # Messages in

    def _enter(self, values: Mapping[str, Any], appendage: ouch50.Appendage) -> None:
        if not self._rises(values["user_ref_num"]):
            return
        self._last = values["user_ref_num"]
        symbol = self._engine.symbols.get(values["symbol"])
        reason = self._entry_reason(values, symbol, appendage)
        if reason is not None:
            self._reject(values, reason)
            return
        fields = {
            name: value for name, value in values.items() if name not in ("type", "appendage_len")
        }
        self._engine.enter(
            self,
            values["user_ref_num"],
            symbol=symbol,
            side=SIDES[values["side"]],
            price=values["price"],
            shares=values["quantity"],
            self_match=self._strategy(appendage),
            entry=_Entry(fields, appendage),
            **self._terms(values, appendage),
        )

    def _replace(self, values: Mapping[str, Any], appendage: ouch50.Appendage) -> None:
        order = self._orders.get(values["orig_user_ref_num"])
        if order is None or not order.leaves:
            self.counters["not_live"] += 1
            return
        if not self._rises(values["user_ref_num"]):
            return
        reason = self._hold_reason(order)
        if reason is not None:
            self._last = values["user_ref_num"]
            self._reject(values, reason)
            return
        leaves = values["quantity"] - order.executed - order.prevented
        if leaves <= 0 or self._terms_reason(values, order.symbol, appendage) is not None:
            self._engine.reduce(order, 0, CancelReason.USER_REQUESTED)
            return
        self._last = values["user_ref_num"]
        kept: _Entry = order.entry
        changed = {
            name: values[name]
            for name in ("user_ref_num", "price", "tif", "display", "iso", "clordid")
        }
        self._engine.replace(
            order,
            values["user_ref_num"],
            price=values["price"],
            shares=leaves,
            entry=_Entry(kept.fields | changed, appendage),
            **self._terms(values, appendage),
        )

    def _cancel(self, values: Mapping[str, Any], appendage: ouch50.Appendage) -> None:
        order = self._orders.get(values["user_ref_num"])
        if order is None or not order.leaves:
            self.counters["not_live"] += 1
        elif self.cancel_mode == CancelMode.REJECT:
            self._send("I", self._clock(), {"user_ref_num": order.token})
        elif self.cancel_mode == CancelMode.PEND:
            order.entry.pending.append(values["quantity"])
            self._send("P", self._clock(), {"user_ref_num": order.token})
        else:
            self._lower(order, values["quantity"])

    def _modify(self, values: Mapping[str, Any], appendage: ouch50.Appendage) -> None:
        """Changes how a sale is marked, and lowers the size; the order keeps its place."""
        order = self._orders.get(values["user_ref_num"])
        if order is None or not order.leaves:
            self.counters["not_live"] += 1
            return
        side, entry = values["side"], order.entry
        leaves = values["quantity"] - order.executed - order.prevented
        if SIDES.get(side) != order.side or not 0 < leaves <= order.leaves:
            self._send("I", self._clock(), {"user_ref_num": order.token})
            return
        entry.fields["side"] = side
        lost = order.leaves - leaves
        if lost:
            self._engine.shrink(order, leaves)
            self.ledger.canceled(order.token, lost)
        values = {"user_ref_num": order.token, "side": side, "quantity": leaves}
        self._send("M", self._clock(), values)

    def _mass_cancel(self, values: Mapping[str, Any], appendage: ouch50.Appendage) -> None:
        if not self._rises(values["user_ref_num"]):
            return
        self._last = values["user_ref_num"]
        reason = None
        if values["firm"] not in ("", self.firm):
            reason = RejectReason.FIRM_NOT_AUTHORIZED
        elif values["symbol"] and values["symbol"] not in self._engine.symbols:
            reason = RejectReason.INVALID_SYMBOL
        elif any(tag != Tag.SIDE for tag in appendage):
            reason = RejectReason.OTHER
        if reason is not None:
            self._reject(values, reason)
            return
        side = SIDES.get(str(appendage.get(Tag.SIDE, "")))
        for order in self.live(values["symbol"]):
            if side in (None, order.side):
                self._engine.reduce(order, 0, CancelReason.USER_REQUESTED)
        answer = {name: values[name] for name in ("user_ref_num", "firm", "symbol")}
        self._send("X", self._clock(), answer, appendage)

    def _disable(self, values: Mapping[str, Any], appendage: ouch50.Appendage) -> None:
        self._switch(values, "G", enabled=False)

    def _enable(self, values: Mapping[str, Any], appendage: ouch50.Appendage) -> None:
        self._switch(values, "K", enabled=True)

    def _switch(self, values: Mapping[str, Any], type_: str, *, enabled: bool) -> None:
        if not self._rises(values["user_ref_num"]):
            return
        self._last = values["user_ref_num"]
        if values["firm"] not in ("", self.firm):
            self._reject(values, RejectReason.FIRM_NOT_AUTHORIZED)
            return
        self.enabled = enabled
        answer = {name: values[name] for name in ("user_ref_num", "firm")}
        self._send(type_, self._clock(), answer, {})

    def _query(self, values: Mapping[str, Any], appendage: ouch50.Appendage) -> None:
        self._send("Q", self._clock(), {"next_user_ref_num": self.next_user_ref_num})

    # Rules

    def _rises(self, user_ref_num: int) -> bool:
        if user_ref_num > self._last:
            return True
        self.counters["stale_user_ref"] += 1
        return False

    def _entry_reason(
        self, values: Mapping[str, Any], symbol: Symbol | None, appendage: ouch50.Appendage
    ) -> RejectReason | None:
        """Why a new order is not taken, None if it is."""
        if not self._engine.open:
            return RejectReason.DESTINATION_CLOSED
        if symbol is None:
            return RejectReason.INVALID_SYMBOL
        if appendage.get(Tag.FIRM, "") not in ("", self.firm) or not self.enabled:
            return RejectReason.FIRM_NOT_AUTHORIZED
        if values["side"] not in SIDES:
            return RejectReason.INVALID_SIDE
        if values["cross_type"] != CONTINUOUS:
            return RejectReason.INVALID_CROSS_ORDER
        if values["capacity"] not in CAPACITIES:
            return RejectReason.OTHER
        if self._engine.states[symbol.name] is not TradingState.TRADING:
            return RejectReason.HALTED
        return self._terms_reason(values, symbol, appendage)

    def _hold_reason(self, order: Order) -> RejectReason | None:
        """Why an order that is live cannot be replaced now and stays as it is."""
        if self.cancel_mode != CancelMode.ACT:
            return RejectReason.REPLACE_NOT_ALLOWED
        if self._engine.states[order.symbol.name] is not TradingState.TRADING:
            return RejectReason.HALTED
        return None if self.enabled else RejectReason.FIRM_NOT_AUTHORIZED

    def _terms_reason(
        self, values: Mapping[str, Any], symbol: Symbol, appendage: ouch50.Appendage
    ) -> RejectReason | None:
        """Why the terms of an order, new or replaced, are not taken."""
        if not 0 < values["quantity"] <= ouch50.MAX_QUANTITY:
            return RejectReason.INVALID_QUANTITY
        if values["price"] > ouch50.MAX_PRICE or not symbol.allows(values["price"]):
            return RejectReason.INVALID_PRICE
        if values["display"] not in DISPLAYS:
            return RejectReason.INVALID_DISPLAY
        if values["iso"] not in SWEEPS:
            return RejectReason.ISO_NOT_ALLOWED
        if values["tif"] not in (TimeInForce.DAY, TimeInForce.IMMEDIATE_OR_CANCEL):
            return RejectReason.OTHER
        for tag, value in appendage.items():
            if not self._takes(tag, value):
                return REFUSED.get(tag, RejectReason.OTHER)
        return None

    @staticmethod
    def _takes(tag: int, value: Value | bytes) -> bool:
        if tag in WITHOUT_EFFECT:
            return True
        if tag == Tag.POST_ONLY and value == POST_ONLY:
            return True
        if tag == Tag.AIQ_STRATEGY:
            return value in (b"O", b"W", b"D")
        return tag in NEUTRAL and NEUTRAL[tag] == value

    def _strategy(self, appendage: ouch50.Appendage) -> SelfMatch:
        asked = appendage.get(Tag.AIQ_STRATEGY)
        return self._self_match if asked is None else asked.decode("ascii")

    @staticmethod
    def _terms(values: Mapping[str, Any], appendage: ouch50.Appendage) -> dict[str, bool]:
        return {
            "hidden": values["display"] == HIDDEN,
            "immediate": values["tif"] == TimeInForce.IMMEDIATE_OR_CANCEL,
            "post_only": appendage.get(Tag.POST_ONLY) == POST_ONLY,
        }

    def _lower(self, order: Order, size: int) -> None:
        """Cancels down to `size`, of which part may be gone already."""
        leaves = max(0, size - order.executed - order.prevented) if size else 0
        if leaves < order.leaves:
            self._engine.reduce(order, leaves, CancelReason.USER_REQUESTED)

    def _release(self) -> None:
        for order in self.live():
            pending, order.entry.pending = order.entry.pending, []
            for size in pending:
                self._lower(order, size)

    @staticmethod
    def _record(order: Order) -> OrderRecord:
        return OrderRecord(
            user_ref_num=order.token,
            symbol=order.symbol.name,
            side=order.side,
            quantity=order.leaves,
            price=order.price,
            order_ref=order.reference,
        )

    def _reject(self, values: Mapping[str, Any], reason: RejectReason) -> None:
        self.counters["rejected"] += 1
        self.ledger.rejected += 1
        answer = {
            "user_ref_num": values["user_ref_num"],
            "reason": int(reason),
            "clordid": values.get("clordid", ""),
        }
        self._send("J", self._clock(), answer)

    def _send(
        self,
        type_: str,
        time: int,
        values: Mapping[str, Value],
        appendage: Mapping[int, Value | bytes] | None = None,
    ) -> None:
        message: Message = ouch50.OUTBOUND[type_]
        octets = ouch50.encode(message, {"timestamp": time, **values}, appendage)
        if self._journal is not None:
            self._journal(self.account, "out", octets)
        self.stream.append(octets)
