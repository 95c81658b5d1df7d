"""The order books of all tracked symbols and their tops.

Ref: NASDAQ TotalView-ITCH 5.0, sections 4.3 to 4.5; docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.best import BestLevels
from tickgate.hdl.book.flow import MessageFlow
from tickgate.hdl.book.injector import Injector
from tickgate.hdl.book.recovery import Recovery
from tickgate.hdl.book.top import TopOfBook
from tickgate.hdl.book.trust import Trust
from tickgate.hdl.book.types import Geometry
from tickgate.hdl.book.view import Viewer
from tickgate.hdl.stream import (
    BookView,
    Lookup,
    Message,
    Recovered,
    SnapshotOrder,
    Top,
    Trade,
    pipe,
)
from tickgate.spec.registers import LEVELS

__all__ = ["OrderBook"]


class OrderBook(wiring.Component):
    """Builds the books from messages and tells every change of a top of book.

    Latency: `LATENCY` cycles from a message to its top; `SLOW_LATENCY` where so many best levels of
    a side were emptied in a row that the next one is not at hand, or the symbol's answer to an
    earlier such message is still to come. Throughput: a message every second cycle.

    What makes a book untrusted: a gap, an unknown order reference, an execution or cancellation of
    more shares than there are, a reference added twice, an order that finds no room. Each is
    counted; the top of book then says that it is not exact until the host declares it whole.

    A reset must last `CLEARING` cycles: what says that data are valid is reset, and data that are
    on their way, which are not, come to nothing.

    Parameters
    ----------
    symbols, ticks, orders : int
        Capacity: symbols, levels of the price window of a side, live orders.
    held : int
        Messages that can be held while a book is made whole again.

    Members
    -------
    ready : Out(1)
        Memories are clear after reset.
    lookup, lookup_new, messages : In(stream), near, near_new : In(1)
        As in :class:`MessageFlow`.
    gap : In(1), gap_sequence : In(32)
        Messages were lost before the one with this sequence number.
    whole, whole_symbol, whole_value : In
        The host declares a symbol's book whole (empty or complete), or not.
    show : In(1), show_symbol : In, view : Out(BookView)
        The host asks for the best levels of a symbol; see :class:`Viewer`.
    begin, recentre, begin_symbol, abort, place, order, order_number, order_is, join, join_sequence,
    recovered, movable
        The host makes the book of a symbol whole again or moves its window; see :class:`Recovery`.
        Meanwhile, it cannot declare it whole.
    restarted : In(1)
        The feed begins anew.
    recovery_symbol : Out, recovery_base : In(32), recovery_cent : In(1)
        Price window of the symbol that is recovered.
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
    CLEARING = SLOW_LATENCY + 2
    TRADE_LATENCY = MessageFlow.TRADE_LATENCY
    COUNTERS = (
        "unknown_reference",
        "over_execution",
        "store_overflow",
        "duplicate_reference",
        "level_overflow",
        "disagreement",
    )

    def __init__(self, *, symbols: int, ticks: int, orders: int, held: int = 512) -> None:
        self._held = held
        self._geometry = Geometry(symbols=symbols, ticks=ticks, orders=orders)
        super().__init__(
            {
                "ready": Out(1),
                "lookup": In(stream.Signature(Lookup, always_ready=True)),
                "lookup_new": In(stream.Signature(Lookup, always_ready=True)),
                "near": In(1),
                "near_new": In(1),
                "messages": In(stream.Signature(Message(symbols), always_ready=True)),
                "gap": In(1),
                "gap_sequence": In(32),
                "whole": In(1),
                "whole_symbol": In(range(symbols)),
                "whole_value": In(1),
                "show": In(1),
                "show_symbol": In(range(symbols)),
                "view": Out(BookView(symbols, LEVELS)),
                "begin": In(1),
                "recentre": In(1),
                "begin_symbol": In(range(symbols)),
                "abort": In(1),
                "place": In(1),
                "order": In(1),
                "order_number": In(31),
                "order_is": In(SnapshotOrder),
                "join": In(1),
                "join_sequence": In(32),
                "recovered": Out(Recovered(symbols)),
                "movable": Out(1),
                "restarted": In(1),
                "recovery_symbol": Out(range(symbols)),
                "recovery_base": In(32),
                "recovery_cent": In(1),
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
        m.submodules.injector = injector = Injector()
        m.submodules.recovery = recovery = Recovery(geometry=self._geometry, depth=self._held)
        m.submodules.viewer = viewer = Viewer(geometry=self._geometry)
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
        # The sum whose carry it is, and the comparison, leave no time for what follows from them.
        m.d.sync += [
            trust.doubt.eq(top.level_overflow),
            trust.doubt_symbol.eq(top.overflow_symbol),
            self.disagreement.eq(top.disagreement),
        ]
        m.d.comb += [
            self.ready.eq(flow.ready & top.ready),
            flow.near.eq(self.near),
            flow.near_new.eq(self.near_new),
            self.window_symbol.eq(flow.window_symbol),
            flow.window_base.eq(self.window_base),
            flow.window_cent.eq(self.window_cent),
            trust.near.eq(flow.near_update),
            trust.update_valid.eq(flow.update_valid),
            trust.update.eq(flow.update),
            trust.calm.eq(top.quiet & ~flow.busy & ~injector.busy),
            trust.gap.eq(self.gap),
            trust.gap_sequence.eq(self.gap_sequence),
            trust.hold.eq(recovery.withdraw),
            trust.hold_symbol.eq(recovery.withdraw_symbol),
            trust.whole.eq(
                self.whole
                & ~(self.whole_value & recovery.owned & (self.whole_symbol == recovery.symbol))
            ),
            trust.whole_symbol.eq(self.whole_symbol),
            trust.whole_value.eq(self.whole_value),
            top.next_symbol.eq(flow.next_symbol),
            top.near.eq(trust.out_near),
            top.alone.eq(trust.out_alone),
            top.alone_symbol.eq(trust.out_alone_symbol),
            top.alone_near.eq(trust.out_alone_near),
            top.update_valid.eq(trust.out_valid),
            top.update.eq(trust.out),
            top.lost.eq(trust.pending),
            top.all_lost.eq(self.gap),
            self.trades.valid.eq(flow.trade_valid),
            self.trades.payload.eq(flow.trade),
            self.trusted.eq(top.trusted & ~lost),
            self.unknown_reference.eq(flow.unknown_reference),
            self.over_execution.eq(flow.over_execution),
            self.store_overflow.eq(flow.store_overflow),
            self.duplicate_reference.eq(flow.duplicate_reference),
            self.level_overflow.eq(trust.doubt),
        ]
        self._inject(m, flow, top, injector, viewer, recovery)
        self._recover(m, flow, trust, top, recovery)
        return m

    def _inject(self, m, flow, top, injector, viewer, recovery) -> None:
        """What the book does besides messages, when there are none."""
        sequence = Signal(32)
        with m.If(self.messages.valid):
            m.d.sync += sequence.eq(self.messages.payload.sequence)
        after = Signal(TopOfBook.LATENCY)
        m.d.sync += after.eq(Cat(injector.injected, after))
        m.d.comb += [
            injector.looks_up.eq(self.lookup.valid | self.lookup_new.valid),
            injector.near.eq(self.near | self.near_new),
            injector.message.eq(self.messages.valid),
            injector.first.eq(viewer.want),
            injector.second.eq(recovery.want),
            flow.peek.eq(recovery.peek & ~injector.is_first),
            flow.inject.eq(injector.inject & ~flow.peek),
            flow.spare.eq(injector.spare),
            flow.spare_set.eq(recovery.spare_set),
            flow.spare_tag.eq(recovery.spare_tag),
            recovery.inject.eq(injector.inject & ~injector.is_first),
            recovery.injected.eq(injector.injected & ~injector.is_first),
            recovery.listed_now.eq(viewer.listed_now),
            recovery.told_now.eq(viewer.told_now),
            viewer.show.eq(self.show),
            viewer.symbol.eq(self.show_symbol),
            viewer.injected.eq(injector.injected & injector.is_first),
            viewer.listed_now.eq(after[BestLevels.LATENCY - 1]),
            viewer.told_now.eq(after[TopOfBook.LATENCY - 1]),
            viewer.bids.eq(top.bids),
            viewer.asks.eq(top.asks),
            viewer.exact.eq(top.exact),
            viewer.trusted.eq(self.trusted),
            viewer.sequence.eq(sequence),
            self.view.eq(viewer.view),
        ]
        with m.If(injector.is_first):
            m.d.comb += flow.injected.symbol.eq(viewer.wanted_symbol)
        with m.Else():
            m.d.comb += flow.injected.eq(recovery.injection)

    def _recover(self, m, flow, trust, top, recovery) -> None:
        for name in (
            *("begin", "recentre", "begin_symbol", "abort", "place", "order", "order_number"),
            *("order_is", "join", "join_sequence"),
        ):
            m.d.comb += getattr(recovery, name).eq(getattr(self, name))
        m.d.sync += [
            recovery.distrusted.eq(flow.update_valid & flow.update.distrust),
            recovery.distrusted_symbol.eq(flow.update.symbol),
        ]
        m.d.comb += [
            recovery.trusted.eq(self.trusted),
            recovery.denied.eq(
                self.whole & ~self.whole_value & (self.whole_symbol == recovery.symbol)
            ),
            self.movable.eq(recovery.movable),
            flow.unplacing.eq(recovery.unplacing),
            recovery.added.eq(flow.added),
            flow.peek_placed.eq(recovery.peek_placed),
            flow.peek_unplaced.eq(recovery.peek_unplaced),
            self.recovered.eq(recovery.recovered),
            self.recovery_symbol.eq(recovery.symbol),
            recovery.base.eq(self.recovery_base),
            recovery.cent.eq(self.recovery_cent),
            recovery.message.eq(self.messages.valid),
            recovery.sequence.eq(self.messages.payload.sequence),
            recovery.lost.eq(self.gap | self.restarted),
            recovery.overflow.eq(trust.doubt),
            recovery.overflow_symbol.eq(trust.doubt_symbol),
            flow.hold.eq(recovery.holding),
            flow.hold_symbol.eq(recovery.symbol),
            flow.peek_symbol.eq(recovery.symbol),
            recovery.held_valid.eq(flow.held_valid),
            recovery.held.eq(flow.held),
            recovery.found.eq(flow.found),
            recovery.peeked.eq(flow.peeked),
            recovery.bids.eq(top.bids),
            recovery.asks.eq(top.asks),
            recovery.escaped.eq(top.escaped),
        ]
