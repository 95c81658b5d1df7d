"""Remembers the best level of every side, so that most updates are answered at once.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.types import Best, Geometry, Update
from tickgate.hdl.memory import TableMemory
from tickgate.hdl.stream import Side

__all__ = ["FastBest"]


class Remembered(data.StructLayout):
    """The best of one side, unless it is `lost`: emptied, and its successor not yet found."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({"lost": 1, "best": Best(geometry)})


class FastBest(wiring.Component):
    """Works out the best levels after an update from the best levels before it.

    Latency: 0 cycles (combinational). Throughput: one update a cycle.

    A side whose best level is emptied is lost until the ladder has found the next one
    (`found_valid`). While it is lost, its updates are not answered here.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    ready : Out(1)
    update_valid : In(1), update : In(Update)
    mine, bid, ask : Out(Best)
        The best levels after the update: of its own side, and by name.
    mine_lost, other_lost : Out(1)
        The best of the update's side, or of the other one, is not known.
    found_valid : In(1), found_update : In(Update), found : In(Best)
        The ladder's answer for a lost side, which no later update has outdated.
    """

    LATENCY = 0

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "ready": Out(1),
                "update_valid": In(1),
                "update": In(Update(geometry)),
                "mine": Out(Best(geometry)),
                "bid": Out(Best(geometry)),
                "ask": Out(Best(geometry)),
                "mine_lost": Out(1),
                "other_lost": Out(1),
                "found_valid": In(1),
                "found_update": In(Update(geometry)),
                "found": In(Best(geometry)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        g, update = self._geometry, self.update
        m.submodules.bids = bids = TableMemory(depth=g.symbols, shape=Remembered(g))
        m.submodules.asks = asks = TableMemory(depth=g.symbols, shape=Remembered(g))
        mine, other, new = Signal(Remembered(g)), Signal(Remembered(g)), Signal(Remembered(g))
        sells = update.side == Side.SELL
        m.d.comb += [
            self.ready.eq(bids.ready & asks.ready),
            bids.address().eq(update.symbol),
            asks.address().eq(update.symbol),
            mine.eq(Mux(sells, asks.data(), bids.data())),
            other.eq(Mux(sells, bids.data(), asks.data())),
            new.eq(mine),
            self.mine.eq(new.best),
            self.bid.eq(Mux(sells, other.best, new.best)),
            self.ask.eq(Mux(sells, new.best, other.best)),
            self.mine_lost.eq(new.lost),
            self.other_lost.eq(other.lost),
        ]
        at_best = mine.best.present & (update.key == mine.best.key)
        with m.If(update.changes & ~mine.lost):
            with m.If(update.add):
                with m.If(at_best):
                    m.d.comb += new.best.shares.eq(mine.best.shares + update.shares)
                with m.Elif(~mine.best.present | (update.key < mine.best.key)):
                    m.d.comb += [
                        new.best.present.eq(1),
                        new.best.key.eq(update.key),
                        new.best.price.eq(update.price),
                        new.best.shares.eq(update.shares),
                    ]
            with m.Elif(at_best):
                m.d.comb += [
                    new.best.shares.eq(mine.best.shares - update.shares),
                    new.lost.eq(mine.best.shares == update.shares),
                ]

        # What the ladder found waits for a cycle in which the memory of its side is free.
        waiting, side, symbol = Signal(), Signal(Side), Signal(range(g.symbols))
        best = Signal(Best(g))
        writes = self.update_valid & update.changes
        outdated = writes & (Cat(update.side, update.symbol) == Cat(side, symbol))
        with m.If(self.found_valid):
            m.d.sync += [
                waiting.eq(1),
                side.eq(self.found_update.side),
                symbol.eq(self.found_update.symbol),
                best.eq(self.found),
            ]
        with m.Elif(~writes | (update.side != side) | outdated):
            m.d.sync += waiting.eq(0)
        for name, memory in ((Side.BUY, bids), (Side.SELL, asks)):
            with m.If(writes & (update.side == name)):
                m.d.comb += [
                    memory.write.eq(1),
                    memory.write_address.eq(update.symbol),
                    memory.write_data.eq(new),
                ]
            with m.Elif(waiting & (side == name)):
                m.d.comb += [
                    memory.write.eq(1),
                    memory.write_address.eq(symbol),
                    memory.write_data.best.eq(best),
                ]
        return m
