"""What is proved of the worth of positions, and of the loss that stops the card.

Ref: docs/risk.md, gates 7 (gross exposure), 8 (net exposure), 30 (loss).
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed

from tickgate.hdl.risk.releases import Releases
from tickgate.hdl.risk.valuation import Price, Sums, Valuation, Walk
from tickgate.hdl.stream import CASH_BITS, POSITION_BITS, Freed, Top, Trade
from tickgate.sim.prove.engine import Harness, Method, Property
from tickgate.sim.prove.formulas import digits
from tickgate.sim.prove.opened import opened, read

__all__ = ["PROPERTIES"]

SYMBOLS = 2
LOWEST = -(1 << 63)
ROUND = 2 * SYMBOLS + Walk.PIPELINE


def _ago(m: Module, value: Value, cycles: int) -> Value:
    for _ in range(cycles):
        later = Signal.like(Value.cast(value), init=0)
        m.d.sync += later.eq(value)
        value = later
    return value


class WalkHarness(Harness):
    """The walk, beside a count of the cycles of a round."""

    def __init__(self) -> None:
        super().__init__({}, {"phase": 4})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.walk = walk = Walk(symbols=SYMBOLS)
        # Before the first round there is none.
        phase = Signal(range(ROUND + 1), init=ROUND)
        m.d.sync += phase.eq(Mux(phase >= ROUND - 1, 0, phase + 1))
        looks = phase < 2 * SYMBOLS
        m.d.comb += [
            self.phase.eq(phase),
            self.assumed.eq(1),
            self.holds.eq(
                (walk.looks == looks)
                & (walk.ends == (phase == ROUND - 1))
                & (~looks | ((walk.symbol == phase >> 1) & (walk.marks == phase[0])))
            ),
            self.seen.eq(walk.ends),
        ]
        return m


class SumsHarness(Harness):
    """The sums, beside others that need no pipeline: what was looked at counts when it is due."""

    def __init__(self) -> None:
        super().__init__(
            {
                "looks": 1,
                "marks": 1,
                "position": signed(POSITION_BITS),
                "price": Price,
                "cash": signed(CASH_BITS),
                "restart": 1,
            },
            {"gain": signed(CASH_BITS + 2)},
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.sums = sums = Sums(symbols=SYMBOLS)
        for name in ("looks", "marks", "position", "price", "cash", "restart"):
            m.d.comb += Value.cast(getattr(sums, name)).eq(Value.cast(getattr(self, name)))
        shorted, size = self.position < 0, Signal(POSITION_BITS)
        m.d.comb += size.eq(Mux(shorted, -self.position, self.position))
        outer, inner = digits(size, self.price.price)
        due, mixed = Sums.LATENCY - 1, Sums.CASH_LAG
        worth = (outer + (inner << 16))[: POSITION_BITS + 32]
        change = self.cash + _ago(m, Mux(shorted, -worth, worth).as_signed(), mixed)
        valued, marked = self.looks & ~self.marks, self.looks & self.marks
        totals = []
        for name, counts, amount in (
            ("long", _ago(m, valued & ~shorted, due), _ago(m, worth, due)),
            ("short", _ago(m, valued & shorted, due), _ago(m, worth, due)),
            ("gain", _ago(m, marked, due), _ago(m, change, due - mixed)),
        ):
            total = Signal.like(getattr(sums, name), name=f"{name}_total")
            m.d.sync += total.eq(Mux(self.restart, 0, total + Mux(counts, amount, 0)))
            totals.append(getattr(sums, name) == total)
        unknown = Signal()
        lacks = _ago(m, self.looks & ~self.price.present & self.position.any(), due)
        m.d.sync += unknown.eq(~self.restart & (unknown | lacks))
        m.d.comb += [
            self.gain.eq(sums.gain),
            self.assumed.eq(1),
            self.holds.eq(Cat(*totals, sums.unknown == unknown).all()),
            self.seen.eq(sums.long.any() & sums.short.any() & (sums.gain < 0)),
            self.eased.eq(~self.cash.any() & (self.price.price == 1)),
        ]
        return m


class ValuationHarness(Harness):
    """The valuation, and beside it what the feed has said of any one symbol (`which`)."""

    def __init__(self) -> None:
        super().__init__(
            {
                "which": range(SYMBOLS),
                "position": signed(POSITION_BITS),
                "cash": signed(CASH_BITS),
                "trade_valid": 1,
                "trade": Trade(SYMBOLS),
                "top_valid": 1,
                "top": Top(SYMBOLS),
                "max_loss": 64,
                "positions_ready": 1,
                "clear": 1,
            },
            {"profit": signed(64)},
            claims=("prices", "limit"),
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        valuation = Valuation(symbols=SYMBOLS)
        within = opened(m, "valuation", valuation)
        for name in ("position", "cash", "max_loss", "positions_ready", "clear"):
            m.d.comb += getattr(valuation, name).eq(getattr(self, name))
        for port, name in ((valuation.trades, "trade"), (valuation.tops, "top")):
            m.d.comb += [
                port.valid.eq(getattr(self, f"{name}_valid")),
                port.payload.eq(getattr(self, name)),
            ]
        m.d.comb += self.profit.eq(valuation.profit)
        self._price(m, within)
        self._limit(m, valuation)
        return m

    def _price(self, m: Module, within: Module) -> None:
        last, bid, ask, worse, expected = (
            Signal(Price, name=name) for name in ("last", "bid", "ask", "worse", "expected")
        )
        with m.If(self.trade_valid & (self.trade.symbol == self.which)):
            m.d.sync += [last.present.eq(1), last.price.eq(self.trade.price)]
        with m.If(self.top_valid & (self.top.symbol == self.which)):
            for side, name in ((bid, "bid"), (ask, "ask")):
                m.d.sync += [
                    side.present.eq(self.top[f"{name}_present"]),
                    side.price.eq(self.top[f"{name}_price"]),
                ]
        noted = read(m, within, "prints", self.which)
        seen = read(m, within, "seen", self.which)
        knows = Cat(
            noted.present == last.present,
            ~last.present | (noted.price == last.price),
            *(
                Value.cast(mine) == Value.cast(its)
                for mine, its in ((seen.bid, bid), (seen.ask, ask))
            ),
        ).all()
        walk, sums = within.submodules.walk, within.submodules.sums
        m.d.comb += worse.eq(Mux(self.position < 0, ask, bid))
        with m.If(walk.marks):
            m.d.comb += expected.eq(Mux(worse.present, worse, last))
        with m.Else():
            m.d.comb += expected.eq(Mux(last.present, last, worse))
        of_it = walk.looks & (walk.symbol == self.which)
        same = (sums.price.present == expected.present) & (
            ~expected.present | (sums.price.price == expected.price)
        )
        m.d.comb += [
            self.assumed_prices.eq(self.stays(m, self.which)),
            self.holds_prices.eq(knows & (~of_it | same)),
            self.seen_prices.eq(of_it & walk.marks & last.present & (expected.price > last.price)),
        ]

    def _limit(self, m: Module, valuation: Valuation) -> None:
        known, margin = valuation.known, valuation.profit + self.max_loss
        within, beyond = (_ago(m, known & each, 1) for each in (margin >= 0, margin < 0))
        shut = _ago(m, self.clear | ~self.positions_ready, 1)
        m.d.comb += [
            # At its bound the profit shown is less than that which is compared.
            self.assumed_limit.eq(valuation.profit != LOWEST),
            self.holds_limit.eq(
                (valuation.within_loss == within)
                & (valuation.beyond_loss == beyond)
                & ~(shut & known)
            ),
            self.seen_limit.eq(valuation.beyond_loss),
            self.eased_limit.eq((self.position == 0) & self.positions_ready & ~self.clear),
        ]


class ReleasesHarness(Harness):
    """What is released of any one report (that with `this`), and when; no other frees anything."""

    def __init__(self) -> None:
        super().__init__(
            {"freed": Freed, "this": 1, "passed": 1, "ready": 1},
            {"tells": 1, "notional": 64, "passes": 2},
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.releases = releases = Releases(symbols=SYMBOLS)
        released, freed = releases.released, self.freed
        m.d.comb += [
            releases.freed.valid.eq(self.this),
            releases.freed.payload.eq(freed),
            releases.passed.eq(self.passed),
            released.ready.eq(self.ready),
            self.tells.eq(released.valid),
            self.notional.eq(released.payload.notional),
        ]
        came, taken, executed, side = (Signal() for _ in range(4))
        notional, age, passes = Signal(64), Signal(2), Signal(2)
        with m.If(self.this):
            m.d.sync += [
                came.eq(1),
                executed.eq(freed.executed),
                side.eq(Value.cast(freed.side)),
                notional.eq(freed.shares),
            ]
        with m.If(came & (age < Releases.ARRIVAL)):
            m.d.sync += age.eq(age + 1)
        with m.Elif(came & self.passed & (passes < 2)):
            m.d.sync += passes.eq(passes + 1)
        with m.If(released.valid & self.ready):
            m.d.sync += taken.eq(1)
        its = (released.payload.notional == notional) & (Value.cast(released.payload.side) == side)
        m.d.comb += [
            self.passes.eq(passes),
            self.assumed.eq(~(self.this & came) & (freed.price == 1)),
            self.holds.eq(~released.valid | (came & ~taken & its & (~executed | (passes == 2)))),
            self.seen.eq(released.valid & executed),
        ]
        return m


def _property(name: str, **rest) -> Property:
    return Property(
        name=name,
        component="risk: valuation",
        about="gate 30",
        size=f"{SYMBOLS} symbols, all numbers in full width",
        method=Method.INDUCTION,
        **rest,
    )


PROPERTIES = (
    _property(
        "valuation-rounds",
        claim="a round looks at each symbol in its turn, first at its print and then at its mark, "
        f"and ends {Walk.PIPELINE} cycles after the last look; the next one begins then: each "
        f"symbol is looked at once in {ROUND} cycles",
        contract="none",
        cover="a round ends",
        depth=ROUND,
        reached=ROUND,
        make=WalkHarness,
    ),
    _property(
        "valuation-sums",
        claim="what is long and short is the sum of size x price of all that was looked at since "
        "the sums were 0, and profit that of cash + position x mark, in full width, each "
        f"{Sums.LATENCY} cycles later; unknown if a position had no price",
        contract="`product-by-digits`",
        cover="something is long, something short, and there is a loss",
        depth=Sums.LATENCY,
        reached=7,
        make=SumsHarness,
    ),
    _property(
        "valuation-prices",
        claim="each symbol is looked at with its last print, or while there was none, its mark; "
        "and with its mark, the bid of its last top if it is long, the ask if it is short, or "
        "where there is none, its last print",
        contract="none",
        cover="a mark is above the last print",
        depth=2,
        reached=2,
        make=ValuationHarness,
        of_many="prices",
    ),
    _property(
        "valuation-limit",
        claim="the gate passes exactly if the values are known and profit >= -`account_max_loss`, "
        "and kills exactly if they are and it is not, a cycle later; nothing is known in the cycle "
        "after positions were cleared",
        contract="the profit is not below -2^63",
        cover="a loss is beyond the limit",
        depth=2,
        reached=2 * ROUND + 2,
        make=ValuationHarness,
        of_many="limit",
    ),
    Property(
        name="released-once",
        component="risk: releases",
        about="gate 7",
        claim="what a report has freed is released once, as much of it and of the same side; of "
        "executed shares not before the second `passed` after it",
        contract="no other report; the price is 1, so that there is no product to be found",
        size="shares in full width",
        cover="what was executed is released",
        method=Method.BOUNDED,
        depth=10,
        reached=6,
        make=ReleasesHarness,
    ),
)
