"""Remembers the best levels of every side, so that updates are answered at once.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.levels import Change, LevelList, Levels, ListEvent, first, place_of
from tickgate.hdl.book.levels import grown as list_grown
from tickgate.hdl.book.types import Best, Found, Geometry, Update
from tickgate.hdl.memory import TableMemory
from tickgate.hdl.stream import Side

__all__ = ["BestLevels"]


class BestLevels(wiring.Component):
    """Works out the best levels after an update from the best levels before it.

    Latency: `LATENCY` cycles. Throughput: an update every second cycle.

    Of each side the first `Geometry.LEVELS` levels are kept: when the best one empties, the next is
    at hand. The list grows again by what the ladder finds (`found`). A side whose list has run
    empty before that is lost: its updates are not answered here.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    ready : Out(1)
    next_symbol : In
        The symbol of the update of the next cycle, unless that comes `alone`.
    near : In(1)
        There may be an update in this cycle.
    alone : In(1), alone_symbol : In, alone_near : In(1)
        It is of this symbol, and changes no level; that it may be so, known early.
    update_valid : In(1), update : In(Update)
    found_valid : In(1), found : In(Found), found_taken : Out(1), found_late : Out(1)
        Taken in a cycle in which no update comes, nor is made; late if one of its side is made.
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
                "next_symbol": In(range(geometry.symbols)),
                "near": In(1),
                "alone": In(1),
                "alone_symbol": In(range(geometry.symbols)),
                "alone_near": In(1),
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
        symbol, row_symbol = Signal(range(g.symbols)), Signal(range(g.symbols))
        row_side = Signal(Side)
        valid, change = Signal(), Signal(Change(g))
        base, cent = Signal(32), Signal()
        m.d.comb += [
            self.found_taken.eq(~self.near & ~self.now_valid),
            self.found_late.eq(valid & (row_symbol == request.symbol) & (row_side == request.side)),
        ]
        m.d.sync += [
            self.now_valid.eq(self.update_valid),
            self.now.eq(update),
            symbol.eq(self.next_symbol),
            valid.eq(self.update_valid & update.changes),
            row_symbol.eq(update.symbol),
            row_side.eq(update.side),
            base.eq(update.base),
            cent.eq(update.cent),
            change.add.eq(update.add),
            change.key.eq(update.key),
            change.price.eq(update.price),
            change.shares.eq(update.shares),
        ]
        lists, grows = {}, {}
        for name in Side:
            lists[name] = levels = LevelList(geometry=g)
            m.submodules[f"{name.name.lower()}_list"] = levels
            memory = TableMemory(depth=g.symbols, shape=Levels(g), reads=2)
            m.submodules[name.name.lower()] = memory
            read, other = memory.data(0), memory.data(1)
            # What is found is added at once: the update that comes next may be of the same list.
            grows[name] = grown = Signal(Levels(g), name=f"grown_{name.name.lower()}")
            takes = self.found_valid & self.found_taken & (request.side == name)
            m.d.comb += [
                grown.eq(Mux(found.void, other, list_grown(other, found.level, g))),
                memory.address(0).eq(symbol),
                # Nothing that is found is taken where something may go alone: that is `near`.
                memory.address(1).eq(Mux(self.alone_near, self.alone_symbol, request.symbol)),
                memory.write.eq((valid & (row_side == name)) | (takes & ~found.void)),
                memory.write_address.eq(Mux(self.now_valid, row_symbol, request.symbol)),
                memory.write_data.eq(Mux(self.now_valid, levels.after, grown)),
                levels.change.eq(change),
            ]
            m.d.sync += [
                levels.enable.eq(self.update_valid & update.changes & (update.side == name)),
                levels.before.eq(Mux(self.alone, other, read)),
            ]
            for n in range(g.LEVELS):
                # Whose shares are taken is known last.
                equal = Mux(
                    update.takes_order,
                    ~(read.shares[n] ^ update.order_shares).any(),
                    ~(read.shares[n] ^ update.message_shares).any(),
                )
                m.d.sync += levels.places[n].eq(
                    place_of(read.live[n], read.keys[n], update.key, equal)
                )
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
        event, after = self.event, Signal(Levels(g))
        grown = Mux(request.side == Side.SELL, grows[Side.SELL], grows[Side.BUY])
        m.d.comb += after.eq(
            Mux(self.now_valid, Mux(sold, sells.after, buys.after), Levels(g)(grown))
        )
        m.d.sync += [
            event.valid.eq(valid | (self.found_valid & self.found_taken)),
            event.symbol.eq(Mux(self.now_valid, row_symbol, request.symbol)),
            event.side.eq(Mux(self.now_valid, row_side, request.side)),
            event.base.eq(Mux(self.now_valid, base, request.base)),
            event.cent.eq(Mux(self.now_valid, cent, request.cent)),
            event.key.eq(change.key),
            event.changed.eq(self.now_valid),
            event.beyond.eq(Mux(sold, sells.beyond, buys.beyond)),
            event.dropped.eq(self.now_valid & Mux(sold, sells.dropped, buys.dropped)),
            event.grew.eq(~self.now_valid & ~found.void),
            event.short.eq(~after.live[-1] & after.more),
            event.live.eq(after.live),
            event.keys.eq(after.keys),
        ]
        return m
