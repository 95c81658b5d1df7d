"""Which own orders are open, and for how long the venue has not answered.

Ref: docs/risk.md, gates 19 (open orders) and 31 (unacknowledged).
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.guard import Twin, differ
from tickgate.hdl.order.manager.orders import Entry, OrderState

__all__ = ["Watch"]


class Watch(wiring.Component):
    """Walks along the orders, always at the oldest one that is open, and that is not answered.

    Latency: `room` and the counts follow LATENCY cycle after what changes them; the oldest ones are
    found at one number every 2 cycles. Throughput: an order every second cycle.

    Parameters
    ----------
    symbols : int
    slots : int
        Orders that find room from the oldest open one to the newest.

    Members
    -------
    sends : In(1), number : In(32)
        An order is sent.
    ends, answers : In(1)
        As in `Step`.
    walk : Out(32), walked : In(Entry)
        Of `OrderTable`.
    time : In(16), timeout, patience : In(16)
        How old an unanswered order may be in ticks until it is overdue, and until it is given up;
        0: any age.
    most_unanswered : In(16)
        Orders that may be unanswered at a time.
    room : Out(1)
        The order after the newest one finds a slot.
    overrun : Out(1)
        The order that is sent takes the slot of one that may be open.
    open_orders, unanswered : Out(range(slots + 1))
    overdue : Out(1), overdue_symbol : Out(range(symbols))
        The oldest unanswered order is older; its symbol. What became of it is not known.
    error : Out(1)
        A bit of the counts had flipped in the cycle before.
    given_up : Out(1)
        It is older than `patience`; until it is answered.
    answered : Out(1)
        Gate 31 passes: no order is overdue, and one more would not be too many. LATENCY cycles
        after `unanswered` and `overdue`.
    clear : In(1)
        All orders are forgotten.
    """

    LATENCY = 1

    def __init__(self, *, symbols: int, slots: int) -> None:
        self._slots = slots
        count = range(slots + 1)
        super().__init__(
            {
                "sends": In(1),
                "number": In(32),
                "ends": In(1),
                "answers": In(1),
                "walk": Out(32),
                "walked": In(Entry(symbols)),
                "time": In(16),
                "timeout": In(16),
                "patience": In(16),
                "most_unanswered": In(16),
                "room": Out(1),
                "overrun": Out(1),
                "open_orders": Out(count),
                "unanswered": Out(count),
                "overdue": Out(1),
                "overdue_symbol": Out(range(symbols)),
                "error": Out(1),
                "given_up": Out(1),
                "answered": Out(1, init=1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.sync += self.answered.eq(~self.overdue & (self.unanswered < self.most_unanswered))
        following, first_open, first_unanswered = Signal(32), Signal(32), Signal(32)
        turn, settled = Signal(), Signal()
        used = Signal(32)
        m.d.comb += [
            used.eq(following - first_open),
            self.overrun.eq(
                self.sends
                & self.open_orders.any()
                & ((self.number - first_open)[:32] >= self._slots)
            ),
            self.walk.eq(Mux(turn, first_unanswered, first_open)),
        ]
        m.d.sync += [
            turn.eq(~turn),
            # What was read when an order was sent may not know of it.
            settled.eq(~self.sends),
            self.room.eq((used < self._slots) & ~self.sends),
        ]
        counts = Twin(self.open_orders), Twin(self.unanswered)
        for twin, less in zip(counts, (self.ends, self.answers), strict=True):
            m.d.sync += twin.takes((twin.register + self.sends - less)[: len(twin.copy)])
        m.d.sync += self.error.eq(differ(counts))
        walked = self.walked
        waits = walked.known & (walked.state == OrderState.SENT)
        alive = waits | (walked.known & (walked.state == OrderState.LIVE))
        with m.If(settled & turn & ~alive & (first_open != following)):
            m.d.sync += first_open.eq(first_open + 1)
        with m.If(settled & ~turn):
            age = (self.time - walked.time)[:16]
            late = self.timeout.any() & (age > self.timeout)
            over = self.patience.any() & (age > self.patience)
            m.d.sync += [
                self.overdue.eq(waits & (self.overdue | late)),
                self.given_up.eq(waits & (self.given_up | over)),
                self.overdue_symbol.eq(walked.symbol),
            ]
            with m.If(~waits & (first_unanswered != following)):
                m.d.sync += first_unanswered.eq(first_unanswered + 1)
        with m.If(self.sends):
            m.d.sync += following.eq(self.number + 1)
            with m.If(self.open_orders == 0):
                m.d.sync += first_open.eq(self.number)
            with m.If(self.unanswered == 0):
                m.d.sync += first_unanswered.eq(self.number)
        with m.If(self.clear):
            m.d.sync += [
                *counts[0].takes(0),
                *counts[1].takes(0),
                self.overdue.eq(0),
                self.given_up.eq(0),
                first_open.eq(following),
                first_unanswered.eq(following),
            ]
        return m
