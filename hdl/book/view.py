"""The best levels of one symbol, as the host sees them: all of one moment.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.bits import bit_of
from tickgate.hdl.book.levels import Levels
from tickgate.hdl.book.types import Geometry
from tickgate.hdl.stream import BookSide, BookView

__all__ = ["Viewer", "is_complete"]


def is_complete(levels):
    """True when a list holds all levels that it has room for."""
    return levels.live[-1] | ~levels.more


class Viewer(wiring.Component):
    """Takes both lists of a symbol in one cycle and holds them until it is asked again.

    It has an update without any effect injected, and takes what the book answers. If a list is
    short because the ladder has yet to bring a level, it does so again, up to `ATTEMPTS` times;
    then it takes what there is, and says so.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    show : In(1), symbol : In
        Take the book of this symbol.
    want : Out(1), wanted_symbol : Out
        An update of this symbol is to be injected.
    injected : In(1)
        It leaves now.
    listed_now, told_now : In(1)
        `bids` and `asks`, and then `exact` and `trusted`, are those after that update.
    bids, asks : In(Levels), exact : In(1), trusted : In(symbols)
    sequence : In(32)
        That of the last message.
    view : Out(BookView)
    """

    ATTEMPTS = 256

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        symbol = range(geometry.symbols)
        super().__init__(
            {
                "show": In(1),
                "symbol": In(symbol),
                "want": Out(1),
                "wanted_symbol": Out(symbol),
                "injected": In(1),
                "listed_now": In(1),
                "told_now": In(1),
                "bids": In(Levels(geometry)),
                "asks": In(Levels(geometry)),
                "exact": In(1),
                "trusted": In(geometry.symbols),
                "sequence": In(32),
                "view": Out(BookView(geometry.symbols, geometry.LEVELS)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        view = self.view
        attempts = Signal(range(self.ATTEMPTS))
        mine = Signal()
        m.d.comb += view.symbol.eq(self.wanted_symbol)
        with m.If(self.injected & self.want):
            m.d.sync += [self.want.eq(0), mine.eq(1), view.sequence.eq(self.sequence)]
        with m.If(self.listed_now & mine):
            for side, levels in (view.bids, self.bids), (view.asks, self.asks):
                self._take(m, side, levels)
        with m.If(self.told_now & mine):
            whole = view.bids.complete & view.asks.complete
            last = attempts == self.ATTEMPTS - 1
            m.d.sync += [
                mine.eq(0),
                view.exact.eq(self.exact),
                view.trusted.eq(bit_of(self.trusted, self.wanted_symbol)),
                view.ready.eq(whole | last),
                self.want.eq(~(whole | last)),
                attempts.eq(attempts + 1),
            ]
        with m.If(self.show):
            m.d.sync += [
                self.wanted_symbol.eq(self.symbol),
                self.want.eq(1),
                mine.eq(0),
                attempts.eq(0),
                view.ready.eq(0),
            ]
        return m

    def _take(self, m, side: BookSide, levels) -> None:
        m.d.sync += [
            side.more.eq(levels.more),
            side.complete.eq(is_complete(levels)),
            side.levels.eq(sum(levels.live[n] for n in range(self._geometry.LEVELS))),
            Cat(side.prices).eq(Cat(levels.prices)),
            Cat(side.shares).eq(Cat(levels.shares)),
        ]
