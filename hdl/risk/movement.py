"""How far the price of trades has moved lately.

Ref: docs/risk.md, gate 12 (collar over time). The reference is the last trade print of one venue's
feed, not of the consolidated tape.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.memory import TableMemory
from tickgate.hdl.risk.interval import NUMBER_BITS, Interval
from tickgate.hdl.risk.limits import AccountLimits, Limits
from tickgate.hdl.stream import Proposal, Trade

__all__ = ["Movement"]


class _Range(data.Struct):
    low: 32
    high: 32


class _Moved(data.Struct):
    """Prices of a symbol as of the interval of its last trade.

    `now`: of this interval, beginning with the last one before it. `both`: of the interval before
    as well, likewise.
    """

    ever: 1
    interval: NUMBER_BITS
    last: 32
    now: _Range
    both: _Range


class Movement(wiring.Component):
    """Gate 12: the reference has moved less than max_move within the window.

    Latency: `LATENCY` from the preview to the gate, `LATENCY_TRADE` from a trade to what is
    remembered. Throughput: one preview and one trade a cycle, of the same symbol too.

    Time is divided in intervals of 2**move_window ns (:class:`Interval`); a trade belongs to that
    of its cycle, a preview to that of the cycle before. `steady` if highest - lowest < max_move,
    of the prices of all trades of the preview's interval and of the one before it, and the last one
    before those; of no trade at all, highest - lowest is 0. So no move within 2**move_window ns
    is missed, and some count up to twice as long. A trade that was 2**NUMBER_BITS intervals ago may
    count again, should none have come since. While the clock is set back nothing is known of
    moves; then the collar has no reference.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(Proposal(symbols))
    limits : In(Limits), account : In(AccountLimits)
        Limits of the preview's symbol, in the cycle of the preview; those of the account at any
        time.
    time : In(64)
        In ns.
    trades : In(stream.Signature(Trade(symbols), always_ready=True))
    steady : Out(1)
    number : Out(NUMBER_BITS)
        Of the interval of the cycle before.
    ready : Out(1)
        The memory has been cleared after reset; until then the gate fails and trades are lost.
    """

    LATENCY = 1
    LATENCY_TRADE = 2

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "account": In(AccountLimits),
                "time": In(64),
                "trades": In(stream.Signature(Trade(symbols), always_ready=True)),
                "steady": Out(1),
                "number": Out(NUMBER_BITS),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.interval = interval = Interval()
        m.submodules.memory = memory = TableMemory(depth=self._symbols, shape=_Moved, reads=2)
        m.d.comb += [
            self.ready.eq(memory.ready),
            interval.time.eq(self.time),
            interval.window.eq(self.account.move_window),
            self.number.eq(interval.number),
        ]
        self._look(m, memory)
        self._note(m, memory)
        return m

    def _look(self, m: Module, memory: TableMemory) -> None:
        moved, number, ready, cap = memory.data(0), self.number, Signal(), Signal(32)
        in_now, in_both, at_now, at_next = Signal(32), Signal(32), Signal(), Signal()
        move = Signal(32)
        m.d.sync += [
            ready.eq(memory.ready),
            cap.eq(self.limits.max_move),
            in_now.eq(moved.now.high - moved.now.low),
            in_both.eq(moved.both.high - moved.both.low),
            at_now.eq(moved.ever & (moved.interval == number)),
            at_next.eq(moved.ever & ((moved.interval + 1)[:NUMBER_BITS] == number)),
        ]
        m.d.comb += [
            memory.address(0).eq(self.preview.symbol),
            move.eq(Mux(at_now, in_both, Mux(at_next, in_now, 0))),
            self.steady.eq(ready & (move < cap)),
        ]

    def _note(self, m: Module, memory: TableMemory) -> None:
        # A cycle after the trade: there is no time to look something up and compare it in its own,
        # and the number of its interval comes in this one.
        trade, trades, number = Signal.like(self.trades.payload), Signal(), self.number
        before, after = memory.data(1), memory.write_data
        price, last, now, both = trade.price, Signal(_Range), Signal(_Range), Signal(_Range)
        m.d.sync += [trades.eq(self.trades.valid), trade.eq(self.trades.payload)]
        m.d.comb += [
            memory.address(1).eq(trade.symbol),
            memory.write.eq(trades),
            memory.write_address.eq(trade.symbol),
            after.ever.eq(1),
            after.interval.eq(number),
            after.last.eq(price),
            self._widened(last, price, before.last, before.last),
            self._widened(now, price, before.now.low, before.now.high),
            self._widened(both, price, before.both.low, before.both.high),
            after.now.eq(last),
            after.both.eq(last),
        ]
        with m.If(~before.ever):
            for kept in (after.now, after.both):
                m.d.comb += [kept.low.eq(price), kept.high.eq(price)]
        with m.Elif(before.interval == number):
            m.d.comb += [after.now.eq(now), after.both.eq(both)]
        with m.Elif((before.interval + 1)[:NUMBER_BITS] == number):
            m.d.comb += after.both.eq(now)

    @staticmethod
    def _widened(wider, price, low, high) -> list:
        """Makes a range of these ends that holds the price too."""
        return [
            wider.low.eq(Mux(price < low, price, low)),
            wider.high.eq(Mux(price > high, price, high)),
        ]
