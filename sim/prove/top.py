"""What is proved of the top of book: the lists of the best levels and the bitmaps agree.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal

from tickgate.hdl.book.top import TopOfBook
from tickgate.hdl.book.types import Geometry
from tickgate.sim.prove.engine import Harness, Method, Property

__all__ = ["PROPERTIES"]


class ShortLists(Geometry):
    """Lists that are soon full, and soon empty."""

    LEVELS = 2


class TopHarness(Harness):
    """The top of book of one symbol, and the shares of every level beside it."""

    SHARES = 2
    TOTAL = 5

    def __init__(self) -> None:
        self._geometry = ShortLists(symbols=1, ticks=16, orders=32)
        super().__init__(
            {
                "valid": 1,
                "add": 1,
                "side": 1,
                "key": self._geometry.key_bits,
                "shares": self.SHARES,
            },
            {"lost": 1, "disagreement": 1},
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        g = self._geometry
        m.submodules.top = top = TopOfBook(geometry=g)
        update = top.update
        totals = Array(Signal(self.TOTAL, name=f"total_{n}") for n in range(g.sides * g.ticks))
        total, was_valid, emptied = Signal(self.TOTAL), Signal(), Signal(2)
        m.d.comb += [
            top.near.eq(self.valid),
            top.update_valid.eq(self.valid),
            update.changes.eq(1),
            update.last.eq(1),
            update.add.eq(self.add),
            update.side.eq(self.side),
            update.key.eq(self.key),
            update.price.eq(Mux(self.side, self.key, ~self.key)),
            update.shares.eq(self.shares),
            update.order_shares.eq(self.shares),
            update.takes_order.eq(1),
            total.eq(totals[Cat(self.key, self.side)]),
        ]
        m.d.sync += was_valid.eq(self.valid)
        empties = ~self.add & (total == self.shares)
        with m.If(self.valid):
            m.d.sync += [
                totals[Cat(self.key, self.side)].eq(
                    Mux(self.add, total + self.shares, total - self.shares)
                ),
                emptied.eq(Mux(empties & (emptied != 3), emptied + 1, emptied)),
            ]
        m.d.comb += [
            self.assumed.eq(
                ~self.valid
                | (~was_valid & self.shares.any() & Mux(self.add, ~total[-1], self.shares <= total))
            ),
            self.holds.eq(~top.disagreement),
            self.seen.eq(top.tops.valid & emptied.any()),
            self.disagreement.eq(top.disagreement),
        ]
        return m


PROPERTIES = (
    Property(
        name="top-agrees",
        component="book: top of book",
        claim="the best level that the lists tell at once is the one that the bitmaps find; and no "
        "answer of the ladder that is waited for is missed",
        contract="updates come two cycles apart or more; none takes more shares from a level than "
        "it has",
        size="1 symbol, 16 ticks, lists of 2 levels, 1 to 3 shares an update",
        cover="the top changes after a level was emptied",
        method=Method.BOUNDED,
        depth=12,
        reached=4,
        make=TopHarness,
        quick=False,
    ),
)
