"""Remembers the best levels of every side, so that updates are answered at once.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.levels import Change, LevelList, Levels, ListEvent, first, place_of
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
    found_valid : In(1), found : In(Found), found_taken : Out(1), found_late : Out(1)
        Taken in a cycle without an update, unless its side has changed in the cycle before: then
        it is late.
    now_valid : Out(1), now : Out(Update)
        The update of `LATENCY` cycles ago.
    mine, bid, ask : Out(Best)
        The best levels after it: of its own side, and by name.
    overflow : Out(1)
        The total of the level that it changed passed 32 bits.
    mine_lost, other_lost : Out(1)
        The best of its side, or of the other one, is not known.
    bids_listed, asks_listed : Out(Levels)
        The lists that the update found.
    event : Out(ListEvent)
        What has become of a list in the last cycle.
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
                "found_late": Out(1),
                "now_valid": Out(1),
                "now": Out(Update(geometry)),
                "mine": Out(Best(geometry)),
                "bid": Out(Best(geometry)),
                "ask": Out(Best(geometry)),
                "overflow": Out(1),
                "mine_lost": Out(1),
                "other_lost": Out(1),
                "bids_listed": Out(Levels(geometry)),
                "asks_listed": Out(Levels(geometry)),
                "event": Out(ListEvent(geometry)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        g, update, found = self._geometry, self.update, self.found
        request = found.request

        # The lists of the symbol are read, and the level of the change is found in them.
        symbol, side, key = Signal(range(g.symbols)), Signal(Side), Signal(g.key_bits)
        m.d.comb += [
            symbol.eq(Mux(self.update_valid, update.symbol, request.symbol)),
            side.eq(Mux(self.update_valid, update.side, request.side)),
            key.eq(Mux(self.update_valid, update.key, found.level.key)),
        ]
        valid, row_symbol, row_side = Signal(), Signal.like(symbol), Signal(Side)
        base, cent, finds = Signal(32), Signal(), Signal()
        change = Signal(Change(g))
        # What a change that is being made does to the answer is told in the next cycle.
        changing = valid & (row_symbol == request.symbol) & (row_side == request.side)
        m.d.comb += [
            self.found_taken.eq(~self.update_valid & ~changing),
            self.found_late.eq(changing),
        ]
        takes = self.found_valid & ~changing
        changes = Mux(self.update_valid, update.changes, takes)
        m.d.sync += [
            self.now_valid.eq(self.update_valid),
            self.now.eq(update),
            valid.eq(changes),
            finds.eq(~self.update_valid),
            row_symbol.eq(symbol),
            row_side.eq(side),
            base.eq(Mux(self.update_valid, update.base, request.base)),
            cent.eq(Mux(self.update_valid, update.cent, request.cent)),
            change.add.eq(update.add),
            change.found.eq(~self.update_valid),
            change.end.eq(~found.level.present),
            change.key.eq(key),
            change.price.eq(Mux(self.update_valid, update.price, found.level.price)),
            change.shares.eq(Mux(self.update_valid, update.shares, found.level.shares)),
        ]
        again = Signal()
        m.d.comb += again.eq(row_symbol == symbol)
        lists = {}
        for name in Side:
            lists[name] = levels = LevelList(geometry=g)
            m.submodules[f"{name.name.lower()}_list"] = levels
            memory = TableMemory(depth=g.symbols, shape=Levels(g))
            m.submodules[name.name.lower()] = memory
            read = memory.data()
            m.d.comb += [
                memory.address().eq(symbol),
                memory.write.eq(valid & (row_side == name)),
                memory.write_address.eq(row_symbol),
                memory.write_data.eq(levels.after),
                levels.change.eq(change),
                levels.fresh_place.eq(place_of(1, change.key, key)),
            ]
            m.d.sync += levels.enable.eq(
                (side == name) & Mux(self.update_valid, update.changes, takes & ~found.void)
            )
            # Both as if the change that is being made were of these lists, and as if it were not.
            for n in range(g.LEVELS):
                before = levels.before
                m.d.comb += levels.other_places[n].eq(place_of(before.live[n], before.keys[n], key))
                m.d.sync += levels.places[n].eq(
                    Mux(again, levels.places_after[n], place_of(read.live[n], read.keys[n], key))
                )
            m.d.sync += levels.before.eq(Mux(again, levels.after, read))
        m.d.comb += self.ready.eq(m.submodules.buy.ready & m.submodules.sell.ready)

        # The change is made.
        buys, sells = lists[Side.BUY], lists[Side.SELL]
        bid, ask = first(buys.after, g), first(sells.after, g)
        bid_lost, ask_lost = (~each.after.live[0] & each.after.more for each in (buys, sells))
        sold = row_side == Side.SELL
        m.d.comb += [
            self.bids_listed.eq(buys.before),
            self.asks_listed.eq(sells.before),
            self.bid.eq(bid),
            self.ask.eq(ask),
            self.mine.eq(Mux(sold, ask, bid)),
            self.overflow.eq(buys.overflow | sells.overflow),
            self.mine_lost.eq(Mux(sold, ask_lost, bid_lost)),
            self.other_lost.eq(Mux(sold, bid_lost, ask_lost)),
        ]
        after = Signal(Levels(g))
        m.d.comb += after.eq(Mux(sold, sells.after, buys.after))
        m.d.sync += [
            self.event.valid.eq(valid),
            self.event.symbol.eq(row_symbol),
            self.event.side.eq(row_side),
            self.event.base.eq(base),
            self.event.cent.eq(cent),
            self.event.key.eq(change.key),
            self.event.changed.eq(~finds),
            self.event.beyond.eq(Mux(sold, sells.beyond, buys.beyond)),
            self.event.dropped.eq(Mux(sold, sells.dropped, buys.dropped)),
            self.event.short.eq(~after.live[-1] & after.more),
            self.event.live.eq(after.live),
            self.event.keys.eq(after.keys),
        ]
        return m
