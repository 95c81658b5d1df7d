"""What is proved of the ladder: its answers, held against any one level.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Module, Mux, Signal

from tickgate.hdl.book.ladder import Ladder
from tickgate.hdl.book.types import Geometry
from tickgate.hdl.stream import Side
from tickgate.sim.prove.engine import Harness, Method, Property
from tickgate.sim.prove.opened import opened, read

__all__ = ["PROPERTIES"]


class LadderHarness(Harness):
    """A ladder, and the total of any one level (`row`, `level`) beside it.

    What is said of any one level is said of all: no level with shares comes before the answer, and
    the answer is a level with shares.
    """

    def __init__(self, *, answers: bool, symbols: int = 1, ticks: int = 16) -> None:
        self._answers = answers
        self._geometry = g = Geometry(symbols=symbols, ticks=ticks, orders=32)
        super().__init__(
            {
                "row": range(g.sides),
                "level": g.key_bits,
                "near": 1,
                "valid": 1,
                "changes": 1,
                "add": 1,
                "symbol": range(symbols),
                "side": 1,
                "key": g.key_bits,
                "shares": 32,
                "base": 32,
                "cent": 1,
                "ask_symbol": range(symbols),
                "ask_side": 1,
                "bounded": 1,
                "after": g.key_bits,
            },
            {
                "total": 32,
                "present": 1,
                "best": g.key_bits,
                "best_shares": 32,
                "missed": 1,
                "claims": 6,
            },
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        g = self._geometry
        ladder = Ladder(geometry=g)
        inside = opened(m, "ladder", ladder)
        update, ask, best = ladder.update, ladder.ask, ladder.best
        m.d.comb += [
            ladder.near.eq(self.near),
            ladder.update_valid.eq(self.valid),
            update.changes.eq(self.changes),
            update.add.eq(self.add),
            update.symbol.eq(self.symbol),
            update.side.eq(self.side),
            update.key.eq(self.key),
            update.shares.eq(self.shares),
            update.base.eq(self.base),
            update.cent.eq(self.cent),
            ladder.ask_valid.eq(1),
            ask.symbol.eq(self.ask_symbol),
            ask.side.eq(self.ask_side),
            ask.bounded.eq(self.bounded),
            ask.after.eq(self.after),
            ask.base.eq(self.base),
            ask.cent.eq(self.cent),
        ]
        total = Signal(32)
        changed = Signal()
        m.d.comb += changed.eq(
            self.valid
            & self.changes
            & (Cat(self.side, self.symbol) == self.row)
            & (self.key == self.level)
        )
        with m.If(changed):
            m.d.sync += total.eq(Mux(self.add, total + self.shares, total - self.shares))

        def later(value, stages):
            for _ in range(stages):
                past = Signal.like(value)
                m.d.sync += past.eq(value)
                value = past
            return value

        after_write, after_store = later(total, ladder.WRITE), later(total, ladder.STORE)
        then = later(total, ladder.LATENCY - 1)
        row = later(
            Mux(self.near, Cat(self.side, self.symbol), Cat(self.ask_side, self.ask_symbol)),
            ladder.LATENCY,
        )
        bounded = later(~self.near & self.bounded, ladder.LATENCY)
        after = later(self.after, ladder.LATENCY)
        base, cent = later(self.base, ladder.LATENCY), later(self.cent, ladder.LATENCY)
        follows = ~bounded | (self.level > after)
        word_at = Cat(self.level[g.bit_bits :], self.row)
        word = read(m, inside, "words", word_at)
        summary = read(m, inside, "summaries", self.row)
        tick = Mux(self.row[0] == Side.BUY.value, ~self.level, self.level)
        mine = row == self.row
        is_it = mine & best.present & (best.key == self.level)
        claims = Cat(
            read(m, inside, "totals", Cat(self.level, self.row)) == after_write,
            word.bit_select(self.level[: g.bit_bits], 1) == after_store.any(),
            summary.bit_select(self.level[g.bit_bits :], 1) == word.any(),
            ~(mine & follows & then.any()) | (best.present & (best.key <= self.level)),
            ~is_it | (then.any() & follows & (ladder.missed | (best.shares == then))),
            ~is_it | (best.price == (base + Mux(cent, tick * Geometry.CENT, tick))[:32]),
        )
        memories, answers = claims[:3].all(), claims[3:].all()
        m.d.comb += [
            self.assumed.eq(
                self.stays(m, Cat(self.row, self.level))
                & (self.near | ~self.valid)
                & (memories if self._answers else 1)
                & (
                    ~changed
                    | (
                        self.shares.any()
                        & Mux(self.add, total + self.shares < 1 << 32, self.shares <= total)
                    )
                )
            ),
            self.holds.eq(answers if self._answers else memories),
            self.seen.eq(
                is_it & bounded & ~ladder.missed
                if self._answers
                else after_write.any() & ~total.any()
            ),
            self.total.eq(total),
            self.present.eq(best.present),
            self.best.eq(best.key),
            self.missed.eq(ladder.missed),
            self.claims.eq(claims),
        ]
        return m


CONTRACT = (
    "no update takes more shares from a level than it has, takes or adds none, or has its total "
    "pass 32 bits"
)

PROPERTIES = (
    Property(
        name="ladder-memories",
        component="book: ladder",
        claim="the total of any level in memory is the sum of its updates, its bit in the bitmap "
        "tells whether that is zero, and the summary whether a word of the bitmap is",
        contract=CONTRACT,
        size="2 symbols, 16 ticks",
        cover="a level is empty of which the memory has shares",
        method=Method.INDUCTION,
        depth=5,
        reached=5,
        make=lambda: LadderHarness(answers=False),
    ),
    Property(
        name="ladder-answers",
        component="book: ladder",
        claim="the answer to an update or a request is the best level with shares, of those that "
        "are asked for: none is before it, and its total and price are those after that update",
        contract=CONTRACT + "; `ladder-memories`",
        size="2 symbols, 16 ticks",
        cover="the level that follows another one is told",
        method=Method.INDUCTION,
        depth=7,
        reached=8,
        make=lambda: LadderHarness(answers=True),
    ),
)
