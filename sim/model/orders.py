"""Own orders and what becomes of them, as a plain program.

Ref: OUCH 5.0, section 2 (Cancel Order) and 3 (what each message says of its order); docs/risk.md,
"Accounting".
"""

from dataclasses import dataclass, field

from tickgate.sim.model.soupbin import Report
from tickgate.spec.events import EventKind

__all__ = ["Account", "OrderManager", "OwnOrder"]

ALIVE = ("SENT", "LIVE")
MOST_SHARES, FEWEST_SHARES = (1 << 32) - 1, -(1 << 32)
MOST = (1 << 64) - 1

WITHOUT_ORDER = ("SYSTEM", "OTHER", "UNKNOWN")
UNRECONCILED = ("BROKEN_TRADE", "TRADE_CORRECTION")


@dataclass
class OwnOrder:
    """An order; `open` are the shares that may still be executed.

    `cancel`: WANTED is to be sent; ASKED was sent on this connection, and not answered since.
    """

    symbol: int
    buys: bool
    quantity: int
    open: int
    state: str = "SENT"
    age: int = 0
    cancel: str = ""

    @property
    def alive(self) -> bool:
        """Whether anything may still become of it."""
        return self.state in ALIVE


@dataclass
class Account:
    """Of one symbol: shares held, and bought and sold, with shares times price."""

    position: int = 0
    bought_shares: int = 0
    bought_notional: int = 0
    sold_shares: int = 0
    sold_notional: int = 0


@dataclass
class OrderManager:
    """Follows orders by what the venue reports, and counts what does not fit together.

    `slots`: orders are forgotten when one is sent whose number is the same modulo this. `stopped`:
    no order may stay open. `told`: what the host is to hear of its orders, as fields of
    `tickgate.spec.events`.
    """

    slots: int
    next_sequence: int = 1
    stopped: bool = False
    orders: dict[int, OwnOrder] = field(default_factory=dict)
    accounts: dict[int, Account] = field(default_factory=dict)
    counters: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            (
                "repetitions",
                "executions",
                "rejects",
                "cancels_pending",
                "cancels_refused",
                "unknown_orders",
                "overfills",
                "contradictions",
                "unfit",
                "unreconciled",
                "missed",
                "reused_numbers",
                "overruns",
                "position_overflows",
                "turnover_overflows",
            ),
            0,
        )
    )
    told: list[dict[str, int]] = field(default_factory=list)
    _last: int = 0

    def account(self, symbol: int) -> Account:
        """The account of a symbol."""
        return self.accounts.setdefault(symbol, Account())

    def open_shares(self, symbol: int, *, buys: bool) -> int:
        """Shares of one side of a symbol that may still be executed."""
        return sum(
            order.open
            for order in self.orders.values()
            if order.symbol == symbol and order.buys == buys
        )

    @property
    def open_orders(self) -> int:
        """Orders of which something may still become."""
        return sum(order.alive for order in self.orders.values())

    @property
    def unanswered(self) -> int:
        """Orders of which nothing was heard."""
        return sum(order.state == "SENT" for order in self.orders.values())

    @property
    def room(self) -> bool:
        """Whether the next order finds its slot empty, and so would all after the oldest one."""
        return self._has_room(self._last + 1)

    def _has_room(self, number: int) -> bool:
        alive = [number for number, order in self.orders.items() if order.alive]
        return not alive or number - min(alive) < self.slots

    def overdue(self, timeout: int) -> int | None:
        """The symbol of the oldest unanswered order, if it is older than `timeout` ticks."""
        unanswered = [number for number, order in self.orders.items() if order.state == "SENT"]
        if not timeout or not unanswered:
            return None
        oldest = self.orders[min(unanswered)]
        return oldest.symbol if oldest.age > timeout else None

    def tick(self) -> None:
        """Time passes."""
        for order in self.orders.values():
            order.age += 1

    def clear(self) -> None:
        """The start of a day."""
        self.orders.clear()
        self.accounts.clear()

    def send(self, number: int, *, symbol: int, buys: bool, quantity: int) -> None:
        """An order leaves. It is followed only if its number is higher than any before."""
        if number <= self._last:
            self.counters["reused_numbers"] += 1
            return
        self.counters["overruns"] += not self._has_room(number)
        self._last = number
        for other in [each for each in self.orders if each % self.slots == number % self.slots]:
            del self.orders[other]
        self.orders[number] = OwnOrder(symbol, buys, quantity, quantity)
        if self.stopped:
            self.orders[number].cancel = "WANTED"

    @property
    def cancelling(self) -> dict[int, str]:
        """The orders whose cancel is to be sent, or is not answered."""
        return {
            number: order.cancel
            for number, order in self.orders.items()
            if order.alive and order.cancel
        }

    def stop(self, stopped: bool) -> None:
        """From now on no order may stay open, or it may again."""
        if stopped and not self.stopped:
            self.cancel_all()
        self.stopped = stopped

    def cancel_all(self) -> None:
        """A cause to cancel all that is open."""
        for number in self.orders:
            self.cancel(number)

    def pull(self, symbol: int) -> None:
        """A cause to cancel all that is open of a symbol."""
        for number, order in self.orders.items():
            if order.symbol == symbol:
                self.cancel(number)

    def cancel(self, number: int) -> bool:
        """A cause to cancel this order; whether it is open."""
        order = self.orders.get(number)
        if order is None or not order.alive:
            return False
        order.cancel = order.cancel or "WANTED"
        return True

    def ask(self) -> set[int]:
        """The numbers of the Cancel Orders that the session takes now, each of them whole."""
        asked = {number for number, cancel in self.cancelling.items() if cancel == "WANTED"}
        for number in asked:
            self.orders[number].cancel = "ASKED"
        return asked

    def disconnect(self) -> None:
        """The connection is over; whether the venue has read what was sent last is not known."""
        for number in self.cancelling:
            self.orders[number].cancel = "WANTED"

    def report(self, report: Report) -> None:
        """A message of the venue."""
        count = self.counters
        if report.sequence < self.next_sequence:
            count["repetitions"] += 1
            return
        count["missed"] += report.sequence > self.next_sequence
        self.next_sequence = report.sequence + 1
        if not report.fits:
            count["unfit"] += 1
            return
        count["unreconciled"] += report.kind in UNRECONCILED
        count["rejects"] += report.kind == "REJECTED"
        if report.kind in WITHOUT_ORDER:
            return
        order = self.orders.get(report.values.get("user_ref_num", 0))
        if order is None:
            count["unknown_orders"] += 1
        else:
            self._change(order, report)

    def _change(self, order: OwnOrder, report: Report) -> None:
        quantity, before, suits = report.values.get("quantity", 0), order.open, True
        match report.kind:
            case "ACCEPTED" | "REPLACED":
                suits = order.state == "SENT" and quantity <= order.quantity
                if order.state == "SENT":
                    self._accept(order, report, quantity)
            case "EXECUTED":
                self._execute(order, report)
            case "CANCELED" | "AIQ_CANCELED":
                suits = order.alive and quantity <= order.open
                if order.alive:
                    order.open = max(order.open - quantity, 0)
                    order.state = "LIVE" if order.open else "CANCELED"
                    self._tell_cancelled(order, report, before, report.values.get("reason", 0))
            case "REJECTED":
                suits = order.state == "SENT"
                if suits:
                    order.open, order.state = 0, "REJECTED"
                    reason = report.values.get("reason", 0)
                    self._tell(EventKind.REJECTED, order, report, quantity=before, detail=reason)
            case "CANCEL_PENDING" | "CANCEL_REJECT":
                count = "cancels_pending" if report.kind == "CANCEL_PENDING" else "cancels_refused"
                self.counters[count] += 1
                if order.cancel == "ASKED":
                    order.cancel = ""
            case "MODIFIED":
                suits = order.state == "LIVE" and quantity <= order.open
                if order.state == "LIVE":
                    order.open, order.state = quantity, "LIVE" if quantity else "CANCELED"
                    self._tell_cancelled(order, report, before)
        self.counters["contradictions"] += not suits

    def _accept(self, order: OwnOrder, report: Report, quantity: int) -> None:
        dead = report.values.get("code") == ord("D")
        order.open, order.state = (0, "CANCELED") if dead else (quantity, "LIVE")
        self._tell_traded(EventKind.ACCEPTED, order, report)
        if report.kind == "REPLACED":
            previous = self.orders.get(report.values.get("previous", 0))
            if previous is None or previous is order or not previous.alive:
                self.counters["contradictions"] += 1
            else:
                before = previous.open
                previous.open, previous.state = 0, "REPLACED"
                self._tell_cancelled(previous, report, before, number=report.values["previous"])

    def _execute(self, order: OwnOrder, report: Report) -> None:
        quantity, price = (report.values.get(name, 0) for name in ("quantity", "price"))
        self.counters["executions"] += 1
        self.counters["overfills"] += quantity > order.open
        order.open = max(order.open - quantity, 0)
        if order.alive:
            order.state = "LIVE" if order.open else "FILLED"
        self._tell_traded(EventKind.FILLED, order, report)
        account = self.account(order.symbol)
        position = account.position + (quantity if order.buys else -quantity)
        account.position = min(max(position, FEWEST_SHARES), MOST_SHARES)
        names = (
            ("bought_shares", "bought_notional") if order.buys else ("sold_shares", "sold_notional")
        )
        sums = [getattr(account, name) for name in names]
        totals = [sums[0] + quantity, sums[1] + quantity * price]
        for name, total in zip(names, totals, strict=True):
            setattr(account, name, min(total, MOST))
        self.counters["position_overflows"] += position != account.position
        self.counters["turnover_overflows"] += any(total > MOST for total in totals)

    def _tell(self, kind: EventKind, order: OwnOrder, report: Report, **values: int) -> None:
        self.told.append(
            {
                "kind": kind,
                "symbol": order.symbol,
                "side": int(not order.buys),
                "user_ref_num": report.values["user_ref_num"],
                "message_sequence": report.sequence & 0xFFFF_FFFF,
                "detail": order.open,
                **values,
            }
        )

    def _tell_traded(self, kind: EventKind, order: OwnOrder, report: Report) -> None:
        names = {"quantity": "quantity", "price": "price", "reasons": "reference", "code": "code"}
        values = {name: report.values.get(its, 0) for name, its in names.items()}
        self._tell(kind, order, report, **values)

    def _tell_cancelled(
        self,
        order: OwnOrder,
        report: Report,
        before: int,
        reason: int = 0,
        *,
        number: int | None = None,
    ) -> None:
        number = report.values["user_ref_num"] if number is None else number
        values = {
            "quantity": max(before - order.open, 0),
            "code": reason & 0xFF,
            "user_ref_num": number,
        }
        self._tell(EventKind.CANCELLED, order, report, **values)
