"""The state of each own order.

Ref: OUCH 5.0, section 3; docs/risk.md, "Accounting".
"""

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from tickgate.hdl.memory import TableMemory
from tickgate.hdl.stream import Order, Report, ReportKind, Side

__all__ = ["Entry", "OrderState", "OrderTable", "Step"]

DEAD = ord("D")
"""Order state of an order that was accepted and is over."""


class OrderState(enum.Enum, shape=3):
    """Where an order is. The first two may still be executed, the others are for ever."""

    SENT = 0
    """And nothing heard of it since."""
    LIVE = 1
    FILLED = 2
    CANCELED = 3
    REJECTED = 4
    REPLACED = 5


class Step(data.StructLayout):
    """What a report does to an order.

    `user_ref_num`, `symbol`, `side`, `price`: of the order. `before`, `after`: shares that are
    open.
    `fills`: the quantity that is executed, if any, else 0. `ends`, `answers`: it was to be executed
    still, and is not any more; it was `SENT`.
    """

    def __init__(self, symbols: int) -> None:
        super().__init__(
            {
                "user_ref_num": 32,
                "symbol": range(symbols),
                "side": Side,
                "price": 32,
                "before": 32,
                "after": 32,
                "fills": 32,
                "ends": 1,
                "answers": 1,
            }
        )


class _Sent(data.StructLayout):
    """An order as it was sent. User reference number 0 is no order."""

    def __init__(self, symbols: int) -> None:
        super().__init__(
            {
                "user_ref_num": 32,
                "symbol": range(symbols),
                "side": Side,
                "price": 32,
                "quantity": 32,
                "time": 16,
            }
        )


class _Reported(data.Struct):
    """What reports have made of the order with this number."""

    user_ref_num: 32
    state: OrderState
    open: 32


class Entry(data.StructLayout):
    """What is known of a number. `known`: an order with it was sent, and not forgotten since."""

    def __init__(self, symbols: int) -> None:
        super().__init__(
            {
                "known": 1,
                "symbol": range(symbols),
                "side": Side,
                "price": 32,
                "quantity": 32,
                "time": 16,
                "state": OrderState,
                "open": 32,
            }
        )


class OrderTable(wiring.Component):
    """Keeps the orders, and changes them as the venue reports.

    Latency: `step` is combinational with `report`; the state of a replaced order follows as a step
    of its own in the next cycle. Throughput: an order a cycle, a report every SPACING cycles.

    An order is kept in the slot of the low bits of its number, and forgotten when another one is
    sent with the same ones.

    - Accepted, Replaced: an order of which nothing was heard is live with the quantity that is
      told, or over if it is dead. What Replaced replaces is over.
    - Executed: that much less is open; the order is filled if nothing is. Executed counts in full
      even when less was open, or nothing.
    - Canceled, AIQ Canceled: that much less is open; the order is over if nothing is.
    - Rejected: an order of which nothing was heard is over.
    - Modified: so much is open.
    - Cancel Pending and Cancel Reject leave the order as it is, and are told.
    - Priority Update, Restated change nothing.

    Parameters
    ----------
    symbols : int
    slots : int
        A power of two.

    Members
    -------
    sent : In(stream of Order), time : In(16)
        Is kept as of this time.
    coming : In(32)
        The number of the report of the next cycle, if there is one.
    report : In(stream of Report)
        Those that fit and are due.
    step : Out(Step), steps : Out(1)
    unknown : Out(1), overfill : Out(1), contradiction : Out(1)
        The report is about an order that is not known; executes more than was open; does
        otherwise not suit the state. What an order has open is never less for it than the report
        says.
    pending : Out(1), refused : Out(1)
        The report is a Cancel Pending, a Cancel Reject, of an order that is known.
    walk : In(32), walked : Out(Entry)
        Any number, and its entry in the next cycle.
    ready : Out(1)
        Memories are clear.
    error : Out(1)
        A bit has flipped in what was read in the cycle before.
    clear : In(1)
        Forgets all orders, in `slots` cycles.
    """

    SPACING = 3

    def __init__(self, *, symbols: int, slots: int) -> None:
        if slots < 2:
            raise ValueError(f"slots must be at least 2, not {slots}")
        self._symbols, self._slots, self._slot_bits = symbols, slots, exact_log2(slots)
        super().__init__(
            {
                "sent": In(stream.Signature(Order(symbols), always_ready=True)),
                "time": In(16),
                "coming": In(32),
                "report": In(stream.Signature(Report, always_ready=True)),
                "step": Out(Step(symbols)),
                "steps": Out(1),
                "unknown": Out(1),
                "overfill": Out(1),
                "contradiction": Out(1),
                "pending": Out(1),
                "refused": Out(1),
                "walk": In(32),
                "walked": Out(Entry(symbols)),
                "ready": Out(1),
                "error": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        # Orders are written as they are sent, and what is reported of them elsewhere: so neither
        # has to wait for the other.
        m.submodules.sent_ram = sent = ResetInserter(self.clear)(
            TableMemory(depth=self._slots, shape=_Sent(self._symbols), reads=2, checked=(0, 1))
        )
        m.submodules.reported_ram = reported = ResetInserter(self.clear)(
            TableMemory(depth=self._slots, shape=_Reported, reads=2, checked=(0, 1))
        )
        order, report = self.sent.payload, self.report.payload
        # The order that is replaced is looked at in the cycle of the report that says so.
        replaces = self.report.valid & (report.kind == ReportKind.REPLACED)
        named = Mux(replaces, report.previous, self.coming)
        entry = self._read(m, sent, reported, 0, named, name="entry")
        m.d.comb += self.walked.eq(self._read(m, sent, reported, 1, self.walk, name="walked"))
        m.d.comb += [
            self.ready.eq(sent.ready & reported.ready),
            self.error.eq(sent.error | reported.error),
            sent.write.eq(self.sent.valid),
            sent.write_address.eq(order.user_ref_num[: self._slot_bits]),
            sent.write_data.time.eq(self.time),
        ]
        for name in ("user_ref_num", "symbol", "side", "price", "quantity"):
            m.d.comb += sent.write_data[name].eq(order[name])
        replaced, ends_previous, same = Signal(32), Signal(), Signal()
        m.d.sync += [
            replaced.eq(report.previous),
            ends_previous.eq(replaces & entry.known & (entry.state == OrderState.SENT)),
            same.eq(report.previous == report.user_ref_num),
        ]
        after, state = Signal(32), Signal(OrderState)
        changes = Signal()
        ended = ends_previous & entry.known & ~same & self._alive(entry.state)
        self._decide(m, entry, ends_previous, ended, after=after, state=state, changes=changes)
        number = Mux(ends_previous, replaced, report.user_ref_num)
        m.d.comb += [
            reported.write.eq(changes),
            reported.write_address.eq(number[: self._slot_bits]),
            reported.write_data.user_ref_num.eq(number),
            reported.write_data.state.eq(state),
            reported.write_data.open.eq(after),
            self.steps.eq(changes),
            self.step.user_ref_num.eq(number),
            self.step.symbol.eq(entry.symbol),
            self.step.side.eq(entry.side),
            self.step.price.eq(entry.price),
            self.step.before.eq(entry.open),
            self.step.after.eq(after),
        ]
        was_alive, is_alive = self._alive(entry.state), self._alive(state)
        m.d.comb += [
            self.step.ends.eq(was_alive & ~is_alive),
            self.step.answers.eq((entry.state == OrderState.SENT) & (state != OrderState.SENT)),
        ]
        return m

    def _read(self, m: Module, sent, reported, port: int, number, *, name: str):
        """Returns the entry of a number, in the next cycle."""
        entry = Signal(Entry(self._symbols), name=name)
        order, became = sent.data(port), reported.data(port)
        heard = became.user_ref_num == number
        m.d.comb += [
            memory.address(port).eq(number[: self._slot_bits]) for memory in (sent, reported)
        ]
        m.d.sync += [
            entry.known.eq((order.user_ref_num == number) & number.any()),
            entry.symbol.eq(order.symbol),
            entry.side.eq(order.side),
            entry.price.eq(order.price),
            entry.quantity.eq(order.quantity),
            entry.time.eq(order.time),
            entry.state.eq(Mux(heard, became.state, OrderState.SENT)),
            entry.open.eq(Mux(heard, became.open, order.quantity)),
        ]
        return entry

    @staticmethod
    def _alive(state):
        return (state == OrderState.SENT) | (state == OrderState.LIVE)

    def _decide(self, m: Module, entry, ends_previous, ended, *, after, state, changes) -> None:
        report = self.report.payload
        alive, unheard = self._alive(entry.state), entry.state == OrderState.SENT
        known, left, beyond = entry.known, Signal(32), Signal()
        m.d.comb += [
            beyond.eq(report.quantity > entry.open),
            left.eq(Mux(beyond, 0, entry.open - report.quantity)),
            after.eq(entry.open),
            state.eq(entry.state),
        ]
        with m.If(ends_previous):
            m.d.comb += [
                changes.eq(ended),
                after.eq(0),
                state.eq(OrderState.REPLACED),
                self.contradiction.eq(~ended),
            ]
        with m.Elif(self.report.valid):
            with m.Switch(report.kind):
                with m.Case(ReportKind.ACCEPTED, ReportKind.REPLACED):
                    m.d.comb += [
                        self.contradiction.eq(
                            known & (~unheard | (report.quantity > entry.quantity))
                        ),
                        changes.eq(known & unheard),
                        state.eq(OrderState.LIVE),
                        after.eq(report.quantity),
                    ]
                    with m.If(report.code == DEAD):
                        m.d.comb += [state.eq(OrderState.CANCELED), after.eq(0)]
                with m.Case(ReportKind.EXECUTED):
                    m.d.comb += [
                        self.overfill.eq(known & beyond),
                        changes.eq(known),
                        self.step.fills.eq(report.quantity),
                        after.eq(left),
                    ]
                    with m.If(alive):
                        m.d.comb += state.eq(Mux(left.any(), OrderState.LIVE, OrderState.FILLED))
                with m.Case(ReportKind.CANCELED, ReportKind.AIQ_CANCELED):
                    m.d.comb += [
                        self.contradiction.eq(known & (~alive | beyond)),
                        changes.eq(known & alive),
                        after.eq(left),
                        state.eq(Mux(left.any(), OrderState.LIVE, OrderState.CANCELED)),
                    ]
                with m.Case(ReportKind.REJECTED):
                    m.d.comb += [
                        self.contradiction.eq(known & ~unheard),
                        changes.eq(known & unheard),
                        after.eq(0),
                        state.eq(OrderState.REJECTED),
                    ]
                with m.Case(ReportKind.CANCEL_PENDING):
                    m.d.comb += self.pending.eq(known)
                with m.Case(ReportKind.CANCEL_REJECT):
                    m.d.comb += self.refused.eq(known)
                with m.Case(ReportKind.MODIFIED):
                    live = entry.state == OrderState.LIVE
                    m.d.comb += [
                        self.contradiction.eq(known & (~live | beyond)),
                        changes.eq(known & live),
                        after.eq(report.quantity),
                        state.eq(Mux(report.quantity.any(), OrderState.LIVE, OrderState.CANCELED)),
                    ]
            with m.Switch(report.kind):
                with m.Case(ReportKind.SYSTEM, ReportKind.OTHER, ReportKind.UNKNOWN):
                    m.d.comb += self.unknown.eq(0)
                with m.Default():
                    m.d.comb += self.unknown.eq(~known)
