"""What is open no more, told to those that count what is open: when they may know of it.

Ref: docs/risk.md, gates 7 (gross exposure), 8 (net exposure), 19 (open orders), "Accounting".
"""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from tickgate.hdl.risk.account import HELD_BITS, Released
from tickgate.hdl.stream import Freed, Side

__all__ = ["Releases"]


class Releases(wiring.Component):
    """Releases what shares have reserved: of executed ones, once positions are worth as much.

    Latency: `LATENCY` cycles from `freed` to `released`, if the shares are not executed; of those
    that are, 2 from the second `passed` after they have come (`ARRIVAL` cycles after `freed`), or
    from a later one, if `released` had to wait just then; more if it waits. Throughput: a `freed`
    a cycle.

    What has come before a `passed` is in the worth of positions that the next one tells. Until
    then it stays reserved, so that it is never counted neither as open nor as held.

    Parameters
    ----------
    symbols : int
    depth : int
        Orders that end while who counts them has no time. One that finds no room counts as open
        for ever.

    Members
    -------
    freed : In(stream of Freed, always_ready)
    passed : In(1)
        From this cycle on positions are worth what was just added up, and it is begun anew.
    released : Out(stream.Signature(Released))
    held : Out(HELD_BITS)
        Notional that was freed, `HELD_LATENCY` cycles ago or earlier, and not released, until
        `HELD_LAG` cycles ago.
    ended : In(stream of range(symbols), always_ready)
        An order of this symbol is open no more.
    closed : Out(stream.Signature(range(symbols)))
        The same, for those who have to be waited for.
    clear : In(1)
        Forgets all.
    """

    ARRIVAL = 2
    LATENCY = 4
    HELD_LATENCY = 5
    HELD_LAG = 3

    def __init__(self, *, symbols: int, depth: int = 8) -> None:
        self._symbols, self._depth = symbols, depth
        super().__init__(
            {
                "freed": In(stream.Signature(Freed, always_ready=True)),
                "passed": In(1),
                "released": Out(stream.Signature(Released)),
                "held": Out(HELD_BITS),
                "ended": In(stream.Signature(range(symbols), always_ready=True)),
                "closed": Out(stream.Signature(range(symbols))),
                "clear": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        arrives, side, executed, notional = self._multiply(m)
        due = [Signal(64, name=f"due_{each.name.lower()}") for each in Side]
        buys, sells = (sum_.any() for sum_ in due)
        turns, moves, told = Signal(), Signal(), self.released
        m.d.comb += [
            moves.eq(~told.valid | told.ready),
            turns.eq(self.passed & Mux(moves, ~(buys & sells), ~(buys | sells))),
        ]
        with m.If(moves):
            m.d.sync += [
                told.valid.eq(buys | sells),
                told.payload.side.eq(Mux(buys, Side.BUY, Side.SELL)),
                told.payload.notional.eq(Mux(buys, *due)),
            ]
        for each, sum_, goes in zip(Side, due, (moves, moves & ~buys), strict=True):
            name = each.name.lower()
            fresh, older = Signal(64, name=f"fresh_{name}"), Signal(64, name=f"older_{name}")
            mine = arrives & (side == each)
            m.d.sync += [
                fresh.eq(Mux(turns, 0, fresh) + Mux(mine & executed, notional, 0)),
                sum_.eq(Mux(turns, older, Mux(goes, 0, sum_)) + Mux(mine & ~executed, notional, 0)),
            ]
            with m.If(turns):
                m.d.sync += older.eq(fresh)
            with m.If(self.clear):
                m.d.sync += [fresh.eq(0), older.eq(0), sum_.eq(0)]
        with m.If(self.clear):
            m.d.sync += told.valid.eq(0)
        self._hold(m, arrives, notional)
        self._close(m)
        return m

    def _multiply(self, m: Module):
        """Returns what was freed, and its notional, `ARRIVAL` cycles later."""
        freed = self.freed.payload
        outer, inner, notional = Signal(64), Signal(33), Signal(64)
        low, high = freed.shares[:16], freed.shares[16:]
        m.d.sync += [
            outer.eq(Cat(low * freed.price[:16], high * freed.price[16:])),
            inner.eq(low * freed.price[16:] + high * freed.price[:16]),
            notional.eq(outer + (inner << 16)),
        ]
        facts = [self.freed.valid, freed.side, freed.executed]
        for n in range(self.ARRIVAL):
            later = [Signal.like(fact, name=f"fact_{n}_{k}") for k, fact in enumerate(facts)]
            m.d.sync += [kept.eq(fact) for kept, fact in zip(later, facts, strict=True)]
            with m.If(self.clear):
                m.d.sync += later[0].eq(0)
            facts = later
        return (*facts, notional)

    def _hold(self, m: Module, arrives, notional) -> None:
        # In steps that are each one sum. What is released is taken off only when the sums of what
        # is open have long been less: who takes `held` from those never has too much left.
        comes, goes, change = Signal(64), Signal(64), Signal(signed(65))
        taken = self.released.valid & self.released.ready
        m.d.sync += [
            comes.eq(Mux(arrives, notional, 0)),
            goes.eq(Mux(taken, self.released.payload.notional, 0)),
            change.eq(comes - goes),
            self.held.eq(self.held + change),
        ]
        with m.If(self.clear):
            m.d.sync += [each.eq(0) for each in (comes, goes, change, self.held)]

    def _close(self, m: Module) -> None:
        m.submodules.ends = ends = ResetInserter(self.clear)(
            SyncFIFOBuffered(width=len(self.ended.payload), depth=self._depth)
        )
        m.d.comb += [
            ends.w_en.eq(self.ended.valid),
            ends.w_data.eq(self.ended.payload),
            self.closed.valid.eq(ends.r_rdy & ~self.clear),
            self.closed.payload.eq(ends.r_data),
            ends.r_en.eq(self.closed.ready & ~self.clear),
        ]
