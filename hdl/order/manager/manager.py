# amaranth: UnusedElaboratable=no
"""Own orders from the moment they are sent to the last report of the venue.

Ref: docs/risk.md, "Accounting"; OUCH 5.0, section 3; SoupBinTCP 3.00, section 2.2 (sequence).
"""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.guard import Twin
from tickgate.hdl.order.manager.accounts import RESERVE_BITS, Account, Accounts
from tickgate.hdl.order.manager.numbers import Numbers
from tickgate.hdl.order.manager.orders import OrderTable
from tickgate.hdl.order.manager.rejects import Rejects
from tickgate.hdl.order.manager.told import Teller, Told
from tickgate.hdl.order.manager.watch import Watch
from tickgate.hdl.stream import (
    CASH_BITS,
    POSITION_BITS,
    Execution,
    Freed,
    Order,
    Report,
    ReportKind,
    pipe,
)

__all__ = ["OrderManager"]


class OrderManager(wiring.Component):
    """Follows every order, and keeps position, open shares and turnover of every symbol.

    Latency: position and open shares know of a report LATENCY cycle after it. Throughput: an order
    every second cycle, a report every SPACING cycles.

    Reports count in sequence. One whose number was there before is a repetition, as after a login
    that asked for too much, and changes nothing. One that is ahead counts, and so does the gap
    before it: then something was missed. Nothing is released but by a report.

    A report on an order may come two cycles after it was sent at the earliest.

    Parameters
    ----------
    symbols : int
    slots : int
        Orders that are kept, a power of two; see `OrderTable` and `room`.

    Members
    -------
    sent : In(stream of Order)
        Leaves in this cycle; also what replaces another one.
    reports : In(stream of Report), coming : In(32)
        As of `OrderSession`. The number of the order, and the sequence number of the report, must
        be there in the cycle before the report.
    next_sequence : Out(64)
        Of the report that is due.
    load : In(1), load_sequence : In(64)
        Sets it.
    tick : In(1), timeout, patience : In(16), most_unanswered : In(16)
        See `Watch`.
    room, open_orders, unanswered, overdue, overdue_symbol, given_up, answered : Out
        Of `Watch`.
    begins : In(1), next_number : In(32), end_number : In(32), spent, in_order : Out(1)
        Of `Numbers`, `in_order` its `passes`.
    most_rejects : In, reject_window : In(16), storm : Out(1)
        Of `Rejects`.
    load_position, load_symbol, start_position, start_cost
        `load`, `load_symbol`, `start` and `cost` of `Accounts`.
    symbol : In(range(symbols)), account : Out(Account), released_buys, released_sells : Out,
    watched : In(range(symbols)), watched_account : Out(Account), walked, walked_position,
    walked_cash
        Of `Accounts`.
    violation : Out(1)
        Something is not as it should be, and position or open shares may not be those that the
        venue has: a strobe, a cycle after any of the counters from `unknown_orders` on.
    order_error, account_error : Out(1)
        `error` of `OrderTable`, `Watch`, `Numbers`, `Rejects`, or of the number that is due;
        `error` of `Accounts`.
    ready : Out(1), clear : In(1)
        Memories are clear. Forgets orders and accounts, but neither the sequence nor the last
        user reference number.
    told : Out(stream of Told)
        For the host: what a report has made of an order, once.
    freed : Out(stream of Freed), closed : Out(stream of range(symbols))
        A report has freed shares of an order, or ended an order of this symbol: a strobe, a cycle
        after the report. Shares that a venue adds are not told: that is a violation.
    executed : Out(stream of Execution)
        Each report of an execution that counts.
    followed : Out(1)
        The order of `sent` is followed.
    ended : Out(1), ended_number : Out(32)
        This order may not be executed any more, from this cycle on.
    repetitions, executions, rejects : Out(1)
        Counter strobes: reports that were there before; executions that counted; Rejected.
    cancels_pending, cancels_refused : Out(1)
        Counter strobes: Cancel Pending, Cancel Reject; the order of `reports` stays as it is.
    unknown_orders, overfills, contradictions : Out(1)
        Counter strobes; see `OrderTable`. What an unknown order has executed is in no position:
        nothing tells its symbol.
    unfit, unreconciled, missed, overruns : Out(1)
        Counter strobes: reports that cannot be read; broken and corrected trades, which name what
        is kept by no one here; gaps in the sequence; orders that take the slot of one that may be
        open.
    reused_numbers : Out(1)
        Counter strobe: orders whose number does not rise, which are not followed.
    position_overflows, turnover_overflows : Out(1)
        Counter strobes of `Accounts`.
    """

    LATENCY = Accounts.LATENCY
    SPACING = OrderTable.SPACING
    VIOLATIONS = (
        "unknown_orders",
        "overfills",
        "contradictions",
        "unfit",
        "unreconciled",
        "missed",
        "overruns",
        "position_overflows",
        "turnover_overflows",
    )
    COUNTERS = (
        *("repetitions", "executions", "rejects", "cancels_pending", "cancels_refused"),
        *("reused_numbers", *VIOLATIONS),
    )

    def __init__(self, *, symbols: int, slots: int = 64) -> None:
        self._orders = OrderTable(symbols=symbols, slots=slots)
        self._accounts = Accounts(symbols=symbols)
        self._watch = Watch(symbols=symbols, slots=slots)
        self._teller = Teller(symbols=symbols)
        self._numbers, self._rejects = Numbers(), Rejects()
        count = range(slots + 1)
        super().__init__(
            {
                "sent": In(stream.Signature(Order(symbols), always_ready=True)),
                "reports": In(stream.Signature(Report, always_ready=True)),
                "coming": In(32),
                "next_sequence": Out(64, init=1),
                "load": In(1),
                "load_sequence": In(64),
                "tick": In(1),
                "timeout": In(16),
                "patience": In(16),
                "most_unanswered": In(16),
                "room": Out(1),
                "open_orders": Out(count),
                "unanswered": Out(count),
                "overdue": Out(1),
                "overdue_symbol": Out(range(symbols)),
                "given_up": Out(1),
                "answered": Out(1),
                "begins": In(1),
                "next_number": In(32),
                "end_number": In(32),
                "spent": Out(1),
                "in_order": Out(1),
                "most_rejects": In(Rejects.BITS),
                "reject_window": In(16),
                "storm": Out(1),
                "load_position": In(1),
                "load_symbol": In(range(symbols)),
                "start_position": In(signed(POSITION_BITS)),
                "start_cost": In(64),
                "walked": In(range(symbols)),
                "walked_position": Out(signed(POSITION_BITS)),
                "walked_cash": Out(signed(CASH_BITS)),
                "freed": Out(stream.Signature(Freed, always_ready=True)),
                "closed": Out(stream.Signature(range(symbols), always_ready=True)),
                "symbol": In(range(symbols)),
                "account": Out(Account),
                "watched": In(range(symbols)),
                "watched_account": Out(Account),
                "released_buys": Out(RESERVE_BITS),
                "released_sells": Out(RESERVE_BITS),
                "told": Out(stream.Signature(Told(symbols), always_ready=True)),
                "executed": Out(stream.Signature(Execution(symbols), always_ready=True)),
                "followed": Out(1),
                "ended": Out(1),
                "ended_number": Out(32),
                "violation": Out(1),
                "order_error": Out(1),
                "account_error": Out(1),
                "ready": Out(1),
                "clear": In(1),
                **{name: Out(1) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.orders = orders = self._orders
        m.submodules.accounts = accounts = self._accounts
        m.submodules.watch = watch = self._watch
        m.submodules.teller = teller = self._teller
        m.submodules.numbers = numbers = self._numbers
        m.submodules.rejects = rejects = self._rejects
        pipe(m, teller.told, wiring.flipped(self.told))
        order, report, ticks = self.sent.payload, self.reports.payload, Signal(32)
        time = ticks[:16]
        with m.If(self.tick):
            m.d.sync += ticks.eq(ticks + 1)
        due = self._sequence(m)
        sends = numbers.counts
        for part in (orders, accounts):
            m.d.comb += [part.sent.payload.eq(order), part.sent.valid.eq(sends)]
        m.d.comb += [
            orders.time.eq(time),
            orders.coming.eq(self.coming),
            orders.report.payload.eq(report),
            orders.report.valid.eq(due & report.fits),
            orders.clear.eq(self.clear),
            accounts.step.eq(orders.step),
            accounts.steps.eq(orders.steps),
            teller.step.eq(orders.step),
            teller.steps.eq(orders.steps),
            teller.report.eq(report),
            teller.due.eq(due),
            accounts.price.eq(report.price),
            accounts.symbol.eq(self.symbol),
            accounts.clear.eq(self.clear),
            accounts.load.eq(self.load_position),
            accounts.load_symbol.eq(self.load_symbol),
            accounts.start.eq(self.start_position),
            accounts.cost.eq(self.start_cost),
            accounts.walked.eq(self.walked),
            self.walked_position.eq(accounts.walked_position),
            self.walked_cash.eq(accounts.walked_cash),
            self.account.eq(accounts.account),
            accounts.watched.eq(self.watched),
            self.watched_account.eq(accounts.watched_account),
            self.released_buys.eq(accounts.released_buys),
            self.released_sells.eq(accounts.released_sells),
            self.executed.valid.eq(self.executions),
            self.executed.payload.symbol.eq(orders.step.symbol),
            self.executed.payload.shares.eq(orders.step.fills),
            self.followed.eq(sends),
            self.ended.eq(orders.steps & orders.step.ends),
            self.ended_number.eq(orders.step.user_ref_num),
            orders.walk.eq(watch.walk),
            watch.walked.eq(orders.walked),
            watch.sends.eq(sends),
            watch.number.eq(order.user_ref_num),
            watch.ends.eq(self.ended),
            watch.answers.eq(orders.steps & orders.step.answers),
            watch.time.eq(time),
            watch.timeout.eq(self.timeout),
            watch.patience.eq(self.patience),
            watch.most_unanswered.eq(self.most_unanswered),
            watch.clear.eq(self.clear),
            self.account_error.eq(accounts.error),
            numbers.sends.eq(self.sent.valid),
            numbers.number.eq(order.user_ref_num),
            numbers.begins.eq(self.begins),
            numbers.next_number.eq(self.next_number),
            numbers.end_number.eq(self.end_number),
            self.reused_numbers.eq(numbers.reused),
            self.spent.eq(numbers.spent),
            self.in_order.eq(numbers.passes),
            rejects.rejects.eq(self.rejects),
            rejects.time.eq(ticks),
            rejects.most.eq(self.most_rejects),
            rejects.window.eq(self.reject_window),
            rejects.clear.eq(self.clear),
            self.storm.eq(rejects.storm),
            self.ready.eq(orders.ready & accounts.ready & rejects.ready),
            self.room.eq(watch.room & self.ready),
        ]
        counts = ("open_orders", "unanswered", "overdue", "overdue_symbol")
        for name in (*counts, "given_up", "answered"):
            m.d.comb += getattr(self, name).eq(getattr(watch, name))
        self._free(m, orders)
        self._count(m, due)
        return m

    def _free(self, m: Module, orders: OrderTable) -> None:
        step, freed = orders.step, self.freed.payload
        m.d.sync += [
            self.freed.valid.eq(orders.steps & (step.after < step.before)),
            freed.side.eq(step.side),
            freed.price.eq(step.price),
            freed.executed.eq(step.fills.any()),
            freed.shares.eq(step.before - step.after),
            self.closed.valid.eq(self.ended),
            self.closed.payload.eq(step.symbol),
        ]

    def _sequence(self, m: Module) -> Signal:
        """Returns whether a report counts."""
        number, later = self.reports.payload.sequence, self.next_sequence + 1
        old, ahead, due = Signal(), Signal(), Signal()
        # In the cycle before, for a comparison of so many bits is long.
        m.d.sync += [old.eq(number < self.next_sequence), ahead.eq(number > self.next_sequence)]
        m.d.comb += [
            due.eq(self.reports.valid & ~old),
            self.repetitions.eq(self.reports.valid & old),
            self.missed.eq(due & ahead),
        ]
        self._due = Twin(self.next_sequence)
        with m.If(due):
            m.d.sync += self._due.takes(later[:64])
            with m.If(ahead):
                m.d.sync += self._due.takes((number + 1)[:64])
        with m.If(self.load):
            m.d.sync += self._due.takes(self.load_sequence)
        return due

    def _count(self, m: Module, due) -> None:
        report, orders = self.reports.payload, self._orders
        executed = report.kind == ReportKind.EXECUTED
        broken = report.kind == ReportKind.BROKEN_TRADE
        corrected = report.kind == ReportKind.TRADE_CORRECTION
        m.d.comb += [
            self.executions.eq(orders.steps & due & executed),
            self.rejects.eq(due & report.fits & (report.kind == ReportKind.REJECTED)),
            self.cancels_pending.eq(orders.pending),
            self.cancels_refused.eq(orders.refused),
            self.unknown_orders.eq(orders.unknown),
            self.overfills.eq(orders.overfill),
            self.contradictions.eq(orders.contradiction),
            self.unfit.eq(due & ~report.fits),
            self.unreconciled.eq(due & report.fits & (broken | corrected)),
            self.overruns.eq(self._watch.overrun | (self.sent.valid & ~self.ready)),
            self.position_overflows.eq(self._accounts.position_overflow),
            self.turnover_overflows.eq(self._accounts.turnover_overflow),
        ]
        differs = Signal()
        m.d.sync += differs.eq(self._due.differs)
        m.d.comb += self.order_error.eq(
            Cat(part.error for part in (orders, self._watch, self._numbers, self._rejects)).any()
            | differs
        )
        violated = [getattr(self, name) for name in self.VIOLATIONS]
        any_of_them = violated[0]
        for each in violated[1:]:
            any_of_them |= each
        m.d.sync += self.violation.eq(any_of_them)
