"""Tells each change of a top of book once: at once where it can, else when the ladder knows.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.bits import bit_of
from tickgate.hdl.book.answer import Answer
from tickgate.hdl.book.best import BestLevels
from tickgate.hdl.book.ladder import Ladder
from tickgate.hdl.book.levels import Levels
from tickgate.hdl.book.refill import Refill
from tickgate.hdl.book.types import Best, Geometry, Update
from tickgate.hdl.memory import TableMemory
from tickgate.hdl.stream import Side, Top

__all__ = ["TopOfBook"]


class TopOfBook(wiring.Component):
    """Answers an update with the new top of book.

    Latency: `LATENCY` cycles from the update where the best levels are at hand; `SLOW_LATENCY`
    where a list of them is exhausted, or an earlier answer of the symbol is still being found. A
    fast answer that meets a slow one of another symbol waits one cycle. Throughput: an update
    every second cycle; right behind one that comes `alone`, another one that repeats its trust.

    A top is told when any of its prices, shares or its exactness differ from what was told last
    of the symbol; after reset that is an empty book that is not exact.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    ready : Out(1)
    next_symbol : In
        The symbol of the update of the next cycle, unless that comes `alone`.
    near : In(1)
        There may be an update in this cycle; known early.
    alone : In(1), alone_symbol : In, alone_near : In(1)
        It is of this symbol, and changes no level; that it may be so, known early.
    update_valid : In(1), update : In(Update)
    lost : In(symbols), all_lost : In(1)
        Books whose loss of trust has yet to come with an update: a top is not exact if the loss is
        known when it is made.
    tops : Out(stream of Top)
    quiet : Out(1)
        Nothing is on its way.
    trusted : Out(symbols)
        One bit a symbol: its book is whole.
    bids, asks : Out(Levels)
        The lists that the update of `BestLevels.LATENCY` cycles ago found.
    exact, escaped : Out(1)
        Whether the book was exact after the update of `LATENCY` cycles ago, and whether it had
        orders outside the window.
    level_overflow, overflow_symbol, disagreement : Out
        As in :class:`Ladder`.
    """

    LATENCY = BestLevels.LATENCY + Answer.LATENCY
    SLOW_LATENCY = Ladder.LATENCY + Answer.LATENCY

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "ready": Out(1),
                "next_symbol": In(range(geometry.symbols)),
                "near": In(1),
                "alone": In(1),
                "alone_symbol": In(range(geometry.symbols)),
                "alone_near": In(1),
                "update_valid": In(1),
                "update": In(Update(geometry)),
                "lost": In(geometry.symbols),
                "all_lost": In(1),
                "tops": Out(stream.Signature(Top(geometry.symbols), always_ready=True)),
                "quiet": Out(1),
                "trusted": Out(geometry.symbols),
                "bids": Out(Levels(geometry)),
                "asks": Out(Levels(geometry)),
                "exact": Out(1),
                "escaped": Out(1),
                "level_overflow": Out(1),
                "overflow_symbol": Out(range(geometry.symbols)),
                "disagreement": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        g = self._geometry
        m.submodules.ladder = ladder = Ladder(geometry=g)
        m.submodules.best = best = BestLevels(geometry=g)
        m.submodules.refill = refill = Refill(geometry=g, latency=Ladder.LATENCY)
        m.submodules.fast = fast = Answer(geometry=g)
        m.submodules.slow = slow = Answer(geometry=g)
        slow_path = Signal()
        m.d.comb += [
            best.next_symbol.eq(self.next_symbol),
            best.near.eq(self.near),
            best.alone.eq(self.alone),
            best.alone_symbol.eq(self.alone_symbol),
            best.alone_near.eq(self.alone_near),
            best.update_valid.eq(self.update_valid),
            best.update.eq(self.update),
            ladder.near.eq(self.near),
            ladder.update_valid.eq(self.update_valid),
            ladder.update.eq(self.update),
            refill.event.eq(best.event),
            ladder.ask_valid.eq(refill.ask_valid),
            ladder.ask.eq(refill.ask),
            refill.ask_taken.eq(ladder.ask_taken),
            refill.level.eq(ladder.best),
            refill.missed.eq(ladder.missed),
            best.found_valid.eq(refill.found_valid),
            best.found.eq(refill.found),
            refill.found_taken.eq(best.found_taken),
            refill.found_late.eq(best.found_late),
            slow_path.eq(best.mine_lost | best.other_lost | ladder.slow_before),
            ladder.slow.eq(slow_path),
            ladder.claim_valid.eq(~best.mine_lost),
            ladder.claim.eq(best.mine),
            fast.next_symbol.eq(self.update.symbol),
            fast.update_valid.eq(best.now_valid),
            fast.update.eq(best.now),
            fast.update.distrust.eq(best.now.distrust | best.overflow),
            fast.lost.eq(self._is_lost(best.now.symbol)),
            fast.bid.eq(best.bid),
            fast.ask.eq(best.ask),
            fast.tell.eq(best.now.last & ~slow_path),
            self.bids.eq(best.bids_listed),
            self.asks.eq(best.asks_listed),
            self.exact.eq(fast.top.exact),
            self.escaped.eq(fast.escaped),
            self.trusted.eq(fast.trusted),
            self.level_overflow.eq(ladder.level_overflow),
            self.overflow_symbol.eq(ladder.overflow_symbol),
            self.disagreement.eq(ladder.disagreement),
        ]
        self._settle(m, ladder, slow)
        self._tell(m, ladder, fast, slow)
        m.d.comb += self.ready.eq(
            ladder.ready & best.ready & fast.ready & slow.ready & m.submodules.told.ready
        )
        return m

    def _is_lost(self, symbol):
        return self.all_lost | bit_of(self.lost, symbol)

    def _settle(self, m, ladder, slow) -> None:
        """The best levels as the ladder knows them, in its own time."""
        g, settled = self._geometry, ladder.settled
        for side, output in ((Side.BUY, slow.bid), (Side.SELL, slow.ask)):
            memory = TableMemory(depth=g.symbols, shape=Best(g))
            m.submodules[f"settled_{side.name.lower()}"] = memory
            changed = ladder.settled_valid & settled.changes & (settled.side == side)
            m.d.comb += [
                memory.address().eq(settled.symbol),
                memory.write.eq(changed),
                memory.write_address.eq(settled.symbol),
                memory.write_data.eq(ladder.best),
                output.eq(Mux(changed, ladder.best, memory.data())),
            ]
        m.d.comb += [
            slow.next_symbol.eq(ladder.settling_symbol),
            slow.update_valid.eq(ladder.settled_valid),
            slow.update.eq(settled),
            slow.lost.eq(self._is_lost(settled.symbol)),
            slow.tell.eq(settled.last & ladder.settled_slow),
        ]

    def _tell(self, m, ladder, fast, slow) -> None:
        """Slow answers first; a fast one waits; what was told before is not told again."""
        shape = Top(self._geometry.symbols)
        book = slice(shape["bid_present"].offset, shape["sequence"].offset)
        m.submodules.told = told = TableMemory(
            depth=self._geometry.symbols, shape=book.stop - book.start, reads=2
        )
        waiting, waiting_top = Signal(), Signal(shape, reset_less=True)
        top, valid, changed = Signal(shape), Signal(), Signal()

        def books(top):
            return top.as_value()[book]

        def known(symbol, before, name):
            """What will have been told of a symbol after this cycle."""
            known = Signal(len(books(top)), name=f"told_{name}", reset_less=True)
            m.d.sync += known.eq(Mux(valid & (top.symbol == symbol), books(top), before))
            return known

        told_fast = known(fast.update.symbol, told.data(0), "fast")
        told_slow = known(slow.update.symbol, told.data(1), "slow")
        told_waiting = Signal.like(told_fast)
        m.d.comb += [
            valid.eq(fast.top_valid | slow.top_valid | waiting),
            top.eq(Mux(slow.top_valid, slow.top, Mux(waiting, waiting_top, fast.top))),
            changed.eq(
                Mux(
                    slow.top_valid,
                    books(slow.top) != told_slow,
                    Mux(waiting, books(waiting_top) != told_waiting, books(fast.top) != told_fast),
                )
            ),
        ]
        with m.If(fast.top_valid):
            m.d.sync += [
                waiting_top.eq(fast.top),
                told_waiting.eq(
                    Mux(valid & (top.symbol == fast.top.symbol), books(top), told_fast)
                ),
            ]
        m.d.sync += waiting.eq(
            Mux(slow.top_valid, fast.top_valid | waiting, fast.top_valid & waiting)
        )
        m.d.comb += [
            told.address(0).eq(fast.update.symbol),
            told.address(1).eq(slow.update.symbol),
            told.write.eq(valid),
            told.write_address.eq(top.symbol),
            told.write_data.eq(books(top)),
            self.tops.payload.eq(top),
            self.tops.valid.eq(valid & changed),
            self.quiet.eq(ladder.quiet & ~valid),
        ]
