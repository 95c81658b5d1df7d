"""Remembers the best levels of every side, so that updates are answered at once.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.levels import Change, LevelList, Levels, ListEvent, first
from tickgate.hdl.book.types import Best, Found, Geometry, Update
from tickgate.hdl.memory import TableMemory
from tickgate.hdl.stream import Side

__all__ = ["BestLevels"]


class BestLevels(wiring.Component):
    """Works out the best levels after an update from the best levels before it.

    Latency: `LATENCY` cycles. Throughput: one update a cycle.

    Of each side the first `Geometry.LEVELS` levels are kept: when the best one empties, the next is
    at hand. The list grows again by what the ladder finds (`found`). A side whose list has run
    empty before that is lost: its updates are not answered here.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    ready : Out(1)
    update_valid : In(1), update : In(Update)
    found_valid : In(1), found : In(Found), found_taken : Out(1)
        Taken in a cycle without an update.
    now_valid : Out(1), now : Out(Update)
        The update of `LATENCY` cycles ago.
    mine, bid, ask : Out(Best)
        The best levels after it: of its own side, and by name.
    overflow : Out(1)
        The total of the level that it changed passed 32 bits.
    mine_lost, other_lost : Out(1)
        The best of its side, or of the other one, is not known.
    mine_listed, other_listed : Out(Levels)
        The lists that the update found.
    event : Out(ListEvent)
        What has become of a list in this cycle.
    """

    LATENCY = 1

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "ready": Out(1),
                "update_valid": In(1),
                "update": In(Update(geometry)),
                "found_valid": In(1),
                "found": In(Found(geometry)),
                "found_taken": Out(1),
                "now_valid": Out(1),
                "now": Out(Update(geometry)),
                "mine": Out(Best(geometry)),
                "bid": Out(Best(geometry)),
                "ask": Out(Best(geometry)),
                "overflow": Out(1),
                "mine_lost": Out(1),
                "other_lost": Out(1),
                "mine_listed": Out(Levels(geometry)),
                "other_listed": Out(Levels(geometry)),
                "event": Out(ListEvent(geometry)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        g, update, found = self._geometry, self.update, self.found
        m.submodules.list = levels = LevelList(geometry=g)
        request = found.request

        # Read the lists of the symbol, as they are after the change that is being made.
        symbol, side = Signal(range(g.symbols)), Signal(Side)
        m.d.comb += [
            symbol.eq(Mux(self.update_valid, update.symbol, request.symbol)),
            side.eq(Mux(self.update_valid, update.side, request.side)),
            self.found_taken.eq(~self.update_valid),
        ]
        valid, row_symbol, row_side = Signal(), Signal.like(symbol), Signal(Side)
        lists = {}
        for name in Side:
            m.submodules[name.name.lower()] = memory = TableMemory(depth=g.symbols, shape=Levels(g))
            m.d.comb += [
                memory.address().eq(symbol),
                memory.write.eq(valid & (row_side == name)),
                memory.write_address.eq(row_symbol),
                memory.write_data.eq(levels.after),
            ]
            lists[name] = memory.data()
        m.d.comb += self.ready.eq(m.submodules.buy.ready & m.submodules.sell.ready)
        mine, other = Signal(Levels(g)), Signal(Levels(g))
        sells = side == Side.SELL
        again = valid & (row_symbol == symbol)
        finds = Signal()
        base, cent = Signal(32), Signal()
        enable, change = Signal(), Signal(Change(g))
        m.d.sync += [
            mine.eq(Mux(sells, lists[Side.SELL], lists[Side.BUY])),
            other.eq(Mux(sells, lists[Side.BUY], lists[Side.SELL])),
            self.now_valid.eq(self.update_valid),
            self.now.eq(update),
            valid.eq(Mux(self.update_valid, update.changes, self.found_valid)),
            enable.eq(Mux(self.update_valid, update.changes, self.found_valid & ~found.void)),
            finds.eq(~self.update_valid),
            row_symbol.eq(symbol),
            row_side.eq(side),
            base.eq(Mux(self.update_valid, update.base, request.base)),
            cent.eq(Mux(self.update_valid, update.cent, request.cent)),
            change.add.eq(update.add),
            change.found.eq(~self.update_valid),
            change.end.eq(~found.level.present),
            change.key.eq(Mux(self.update_valid, update.key, found.level.key)),
            change.price.eq(Mux(self.update_valid, update.price, found.level.price)),
            change.shares.eq(Mux(self.update_valid, update.shares, found.level.shares)),
        ]
        with m.If(again & (row_side == side)):
            m.d.sync += mine.eq(levels.after)
        with m.If(again & (row_side != side)):
            m.d.sync += other.eq(levels.after)

        # Make the change.
        after = levels.after
        best, others = first(after, g), first(other, g)
        m.d.comb += [
            levels.before.eq(mine),
            levels.enable.eq(enable),
            levels.change.eq(change),
            self.mine_listed.eq(mine),
            self.other_listed.eq(other),
            self.mine.eq(best),
            self.bid.eq(Mux(self.now.side == Side.SELL, others, best)),
            self.ask.eq(Mux(self.now.side == Side.SELL, best, others)),
            self.overflow.eq(levels.overflow),
            self.mine_lost.eq(~after.live[0] & after.more),
            self.other_lost.eq(~other.live[0] & other.more),
            self.event.valid.eq(valid),
            self.event.symbol.eq(row_symbol),
            self.event.side.eq(row_side),
            self.event.base.eq(base),
            self.event.cent.eq(cent),
            self.event.key.eq(change.key),
            self.event.changed.eq(~finds),
            self.event.beyond.eq(levels.beyond),
            self.event.dropped.eq(levels.dropped),
            self.event.short.eq(~after.live[-1] & after.more),
            self.event.live.eq(after.live),
            self.event.keys.eq(after.keys),
        ]
        return m
