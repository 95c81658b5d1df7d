"""The order books of all tracked symbols and their tops.

Ref: NASDAQ TotalView-ITCH 5.0, sections 4.3 to 4.5; docs/architecture.md, "The book".
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.flow import MessageFlow
from tickgate.hdl.book.top import TopOfBook
from tickgate.hdl.book.trust import Trust
from tickgate.hdl.book.types import Geometry
from tickgate.hdl.stream import Lookup, Message, Top, Trade, pipe

__all__ = ["OrderBook"]


class OrderBook(wiring.Component):
    """Builds the books from messages and tells every change of a top of book.

    Latency: `LATENCY` cycles from a message to its top; `SLOW_LATENCY` where so many best levels of
    a side were emptied in a row that the next one is not at hand, or the symbol's answer to an
    earlier such message is still to come. Throughput: a message every second cycle.

    What makes a book untrusted: a gap, an unknown order reference, an execution or cancellation of
    more shares than there are, a reference added twice, an order that finds no room. Each is
    counted; the top of book then says that it is not exact until the host declares it whole.

    Parameters
    ----------
    symbols, ticks, orders : int
        Capacity: symbols, levels of the price window of a side, live orders.

    Members
    -------
    ready : Out(1)
        Memories are clear after reset.
    lookup, lookup_new, messages : In(stream)
        As in :class:`MessageFlow`.
    gap : In(1), gap_sequence : In(32)
        Messages were lost before the one with this sequence number.
    whole, whole_symbol, whole_value : In
        The host declares a symbol's book whole (empty or complete), or not.
    window_symbol : Out, window_base : In(32), window_cent : In(1)
        Price window of a symbol, read in the cycle of its message.
    tops : Out(stream of Top)
    trades : Out(stream of Trade)
    trusted : Out(symbols)
        One bit a symbol: its book is trusted in this very cycle.
    unknown_reference, over_execution, store_overflow, duplicate_reference, level_overflow,
    disagreement : Out(1)
        Counter strobes. The last one is the checker of the two paths to the top of book: any is an
        error of the card.
    """

    LATENCY = MessageFlow.LATENCY + TopOfBook.LATENCY
    SLOW_LATENCY = MessageFlow.LATENCY + TopOfBook.SLOW_LATENCY
    TRADE_LATENCY = MessageFlow.TRADE_LATENCY
    COUNTERS = (
        "unknown_reference",
        "over_execution",
        "store_overflow",
        "duplicate_reference",
        "level_overflow",
        "disagreement",
    )

    def __init__(self, *, symbols: int, ticks: int, orders: int) -> None:
        self._geometry = Geometry(symbols=symbols, ticks=ticks, orders=orders)
        super().__init__(
            {
                "ready": Out(1),
                "lookup": In(stream.Signature(Lookup, always_ready=True)),
                "lookup_new": In(stream.Signature(Lookup, always_ready=True)),
                "messages": In(stream.Signature(Message(symbols), always_ready=True)),
                "gap": In(1),
                "gap_sequence": In(32),
                "whole": In(1),
                "whole_symbol": In(range(symbols)),
                "whole_value": In(1),
                "window_symbol": Out(range(symbols)),
                "window_base": In(32),
                "window_cent": In(1),
                "tops": Out(stream.Signature(Top(symbols), always_ready=True)),
                "trades": Out(stream.Signature(Trade(symbols), always_ready=True)),
                "trusted": Out(symbols),
                **{name: Out(1) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.flow = flow = MessageFlow(geometry=self._geometry)
        m.submodules.trust = trust = Trust(geometry=self._geometry)
        m.submodules.top = top = TopOfBook(geometry=self._geometry)
        pipe(m, wiring.flipped(self.lookup), flow.lookup)
        pipe(m, wiring.flipped(self.lookup_new), flow.lookup_new)
        pipe(m, wiring.flipped(self.messages), flow.messages)
        pipe(m, top.tops, wiring.flipped(self.tops))
        # A loss is pending until it leaves for the top of book, and known there when it arrives.
        lost = leaving = trust.pending
        for cycle in range(TopOfBook.LATENCY):
            left = Signal.like(trust.pending, name=f"left_{cycle}")
            m.d.sync += left.eq(leaving)
            leaving = left
            lost |= left
        m.d.comb += [
            self.ready.eq(flow.ready & top.ready),
            self.window_symbol.eq(flow.window_symbol),
            flow.window_base.eq(self.window_base),
            flow.window_cent.eq(self.window_cent),
            trust.update_valid.eq(flow.update_valid),
            trust.update.eq(flow.update),
            trust.calm.eq(top.quiet & ~flow.busy),
            trust.gap.eq(self.gap),
            trust.gap_sequence.eq(self.gap_sequence),
            trust.doubt.eq(top.level_overflow),
            trust.doubt_symbol.eq(top.overflow_symbol),
            trust.whole.eq(self.whole),
            trust.whole_symbol.eq(self.whole_symbol),
            trust.whole_value.eq(self.whole_value),
            top.update_valid.eq(trust.out_valid),
            top.update.eq(trust.out),
            self.trades.valid.eq(flow.trade_valid),
            self.trades.payload.eq(flow.trade),
            self.trusted.eq(top.trusted & ~lost),
            self.unknown_reference.eq(flow.unknown_reference),
            self.over_execution.eq(flow.over_execution),
            self.store_overflow.eq(flow.store_overflow),
            self.duplicate_reference.eq(flow.duplicate_reference),
            self.level_overflow.eq(top.level_overflow),
            self.disagreement.eq(top.disagreement),
        ]
        return m
