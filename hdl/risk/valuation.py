"""What positions are worth, and what was gained or lost with them.

Ref: docs/risk.md, gates 7 (gross exposure), 8 (net exposure), 30 (loss), "Accounting".
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.memory import TableMemory
from tickgate.hdl.stream import CASH_BITS, POSITION_BITS, Top, Trade

__all__ = ["Price", "Sums", "Valuation", "Walk"]

PRICE_BITS = 32
WORTH_BITS = POSITION_BITS + PRICE_BITS
HIGHEST, LOWEST = (1 << 63) - 1, -(1 << 63)


class Price(data.Struct):
    """In 1e-4 USD, if there is one."""

    present: 1
    price: PRICE_BITS


class _Top(data.Struct):
    bid: Price
    ask: Price


class Walk(wiring.Component):
    """Looks at each symbol twice, one after the other, and when that is added up, begins again.

    Latency: none. Throughput: a look a cycle, but for the last `PIPELINE` cycles of a round.

    Parameters
    ----------
    symbols : int

    Members
    -------
    looks : Out(1), symbol : Out(range(symbols)), marks : Out(1)
        This symbol is looked at in this cycle: first without, then with `marks`.
    ends : Out(1)
        All that was looked at is added up; another round begins in the next cycle.
    """

    PIPELINE = 5
    """Cycles from the last look until it is added up."""

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        members = {"looks": Out(1), "symbol": Out(range(symbols)), "marks": Out(1), "ends": Out(1)}
        super().__init__(members)

    def elaborate(self, platform) -> Module:
        m = Module()
        begun, after, last = Signal(), Signal(self.PIPELINE), Signal()
        m.d.comb += [
            last.eq(self.looks & self.marks & (self.symbol == self._symbols - 1)),
            self.ends.eq(after[-1]),
        ]
        m.d.sync += [begun.eq(1), after.eq(Cat(last, after))]
        # The first round, after reset, begins by itself.
        with m.If(self.ends | ~begun):
            m.d.sync += [self.looks.eq(1), self.marks.eq(0), self.symbol.eq(0)]
        with m.Elif(self.looks):
            m.d.sync += self.marks.eq(~self.marks)
            with m.If(self.marks):
                m.d.sync += [self.looks.eq(~last), self.symbol.eq(Mux(last, 0, self.symbol + 1))]
        return m


class Sums(wiring.Component):
    """Adds up what positions are worth, those that are long, those that are short; and the profit.

    Latency: `LATENCY` cycles from a look to the sums. Throughput: a look a cycle.

    A look adds abs(position) x price to `long` or `short`, or, if it `marks`, cash + position x
    price to `gain`. No sum can overflow.

    Parameters
    ----------
    symbols : int
        Of which each is looked at twice.

    Members
    -------
    looks, marks : In(1)
    position : In(signed(POSITION_BITS)), price : In(Price)
        Of the look in this cycle.
    cash : In(signed(CASH_BITS))
        Of the look of `CASH_LAG` cycles ago.
    restart : In(1)
        The sums are 0 in the next cycle.
    long, short, gain : Out
    unknown : Out(1)
        There was a position without a price.
    """

    CASH_LAG = 3
    LATENCY = 5

    def __init__(self, *, symbols: int) -> None:
        more = (symbols - 1).bit_length()
        super().__init__(
            {
                "looks": In(1),
                "marks": In(1),
                "position": In(signed(POSITION_BITS)),
                "price": In(Price),
                "cash": In(signed(CASH_BITS)),
                "restart": In(1),
                "long": Out(WORTH_BITS + more),
                "short": Out(WORTH_BITS + more),
                "gain": Out(signed(CASH_BITS + 1 + more)),
                "unknown": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        facts = {
            "looks": self.looks,
            "marks": self.marks,
            "shorted": self.position < 0,
            "unknown": self.looks & ~self.price.present & self.position.any(),
        }
        stages = []
        for n in range(self.LATENCY - 1):
            kept = {name: Signal(name=f"{name}_{n}") for name in facts}
            m.d.sync += [kept[name].eq(fact) for name, fact in facts.items()]
            stages.append(kept)
            facts = kept
        # In one cycle each: the size of the position; products of halves; the worth of the
        # position; with cash, which comes now; the sums.
        size, price = Signal(POSITION_BITS), Signal(PRICE_BITS)
        outer, inner, worth = Signal(WORTH_BITS), Signal(34), Signal(WORTH_BITS)
        value, change = Signal(WORTH_BITS), Signal(signed(CASH_BITS + 1))
        shorted = stages[self.CASH_LAG - 1]["shorted"]
        m.d.sync += [
            size.eq(Mux(self.position < 0, -self.position, self.position)),
            price.eq(self.price.price),
            outer.eq(Cat(size[:16] * price[:16], size[16:] * price[16:])),
            inner.eq(size[:16] * price[16:] + size[16:] * price[:16]),
            worth.eq(outer + (inner << 16)),
            value.eq(worth),
            change.eq(Mux(shorted, self.cash - worth, self.cash + worth)),
        ]
        last = stages[-1]
        valued, marked = last["looks"] & ~last["marks"], last["looks"] & last["marks"]
        for sum_, counts, amount in (
            (self.long, valued & ~last["shorted"], value),
            (self.short, valued & last["shorted"], value),
            (self.gain, marked, change),
        ):
            m.d.sync += sum_.eq(Mux(self.restart, 0, sum_ + Mux(counts, amount, 0)))
        m.d.sync += self.unknown.eq(~self.restart & (self.unknown | last["unknown"]))
        return m


class Valuation(wiring.Component):
    """Adds up what all positions are worth, a symbol every second cycle, again and again.

    Latency: what changes in a cycle is in the values at most `2 * round_cycles` later, and in
    `within_loss` one cycle more. Throughput: the values change once a round.

    A round takes each symbol once, at the price of a print and at a mark:

    - its last print; before the first one, its mark;
    - its mark: the best bid of the last top if it is long, the best ask if it is short; where the
      side is absent, its last print.

    `long_value` and `short_value` are the sums of abs(position) x print over the symbols that are
    long, and short. `profit` is the sum of cash + position x mark over all. A symbol that has a
    position but neither price makes all of it unknown, until it has one.

    Parameters
    ----------
    symbols : int

    Members
    -------
    symbol : Out(range(symbols)), position : In(signed(POSITION_BITS))
        Which one is looked at, and what is held of it in this cycle.
    cash : In(signed(CASH_BITS))
        What was received for all that was sold of the symbol that was looked at `CASH_LAG` cycles
        ago, less what was paid for all that was bought, as of that cycle.
    trades : In(stream of Trade, always_ready), tops : In(stream of Top, always_ready)
        A price counts for what is looked at from the next cycle on.
    max_loss : In(64)
        In 1e-4 USD.
    positions_ready : In(1)
        What positions are can be told; nothing is known before.
    clear : In(1)
        Positions are about to change all at once: nothing is known until they are added up.
    known : Out(1)
        The values are those of all positions, and none is beyond 64 bits.
    long_value, short_value : Out(64)
    profit : Out(signed(64))
        In 1e-4 USD; a loss is negative. At its bound where it is beyond it.
    within_loss, beyond_loss : Out(1)
        It is known that profit >= -max_loss; that it is not.
    passed : Out(1)
        The values are those of another round from this cycle on, and the next one begins.
    """

    CASH_LAG = Sums.CASH_LAG

    def __init__(self, *, symbols: int) -> None:
        if symbols < 1:
            raise ValueError(f"symbols must be at least 1, not {symbols}")
        self._symbols = symbols
        self.round_cycles = 2 * symbols + Walk.PIPELINE
        super().__init__(
            {
                "symbol": Out(range(symbols)),
                "position": In(signed(POSITION_BITS)),
                "cash": In(signed(CASH_BITS)),
                "trades": In(stream.Signature(Trade(symbols), always_ready=True)),
                "tops": In(stream.Signature(Top(symbols), always_ready=True)),
                "max_loss": In(64),
                "positions_ready": In(1),
                "clear": In(1),
                "known": Out(1),
                "long_value": Out(64),
                "short_value": Out(64),
                "profit": Out(signed(64)),
                "within_loss": Out(1),
                "beyond_loss": Out(1),
                "passed": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.walk = walk = Walk(symbols=self._symbols)
        m.submodules.sums = sums = Sums(symbols=self._symbols)
        ready, print_, mark = self._prices(m)
        closed, void = Signal(), Signal(init=1)
        m.d.comb += [
            self.symbol.eq(walk.symbol),
            sums.looks.eq(walk.looks),
            sums.marks.eq(walk.marks),
            sums.position.eq(self.position),
            sums.price.eq(Mux(walk.marks, mark, print_)),
            sums.cash.eq(self.cash),
            sums.restart.eq(walk.ends),
            closed.eq(self.clear | ~self.positions_ready | ~ready),
        ]
        # A round in which not all could be looked at tells nothing.
        with m.If(closed):
            m.d.sync += void.eq(1)
        with m.Elif(walk.ends):
            m.d.sync += void.eq(0)
        self._tell(m, walk.ends, sums, void | closed, closed)
        return m

    def _prices(self, m: Module):
        """Returns whether there are any, print and mark of the symbol that is looked at."""
        m.submodules.prints = prints = TableMemory(depth=self._symbols, shape=Price)
        m.submodules.seen = seen = TableMemory(depth=self._symbols, shape=_Top)
        trade, top = self.trades.payload, self.tops.payload
        m.d.comb += [
            prints.write.eq(self.trades.valid),
            prints.write_address.eq(trade.symbol),
            prints.write_data.present.eq(1),
            prints.write_data.price.eq(trade.price),
            prints.address().eq(self.symbol),
            seen.write.eq(self.tops.valid),
            seen.write_address.eq(top.symbol),
            seen.write_data.bid.present.eq(top.bid_present),
            seen.write_data.bid.price.eq(top.bid_price),
            seen.write_data.ask.present.eq(top.ask_present),
            seen.write_data.ask.price.eq(top.ask_price),
            seen.address().eq(self.symbol),
        ]
        print_, mark = Signal(Price), Signal(Price)
        worse, last = Signal(Price), prints.data()
        m.d.comb += [
            worse.eq(Mux(self.position < 0, seen.data().ask, seen.data().bid)),
            print_.eq(Mux(last.present, last, worse)),
            mark.eq(Mux(worse.present, worse, last)),
        ]
        return prints.ready & seen.ready, print_, mark

    def _tell(self, m: Module, ends, sums: Sums, void, closed) -> None:
        profit = Signal(sums.gain.shape())
        margin = Signal(signed(len(profit) + 1))
        beyond = sums.long[64:].any() | sums.short[64:].any()
        m.d.sync += self.passed.eq(ends)
        with m.If(ends):
            m.d.sync += [
                self.long_value.eq(sums.long),
                self.short_value.eq(sums.short),
                profit.eq(sums.gain),
                self.known.eq(~void & ~sums.unknown & ~beyond),
            ]
        with m.If(closed):
            m.d.sync += self.known.eq(0)
        high, low = profit > HIGHEST, profit < LOWEST
        m.d.comb += [
            self.profit.eq(Mux(high, HIGHEST, Mux(low, LOWEST, profit))),
            margin.eq(profit + self.max_loss),
        ]
        m.d.sync += [
            self.within_loss.eq(self.known & (margin >= 0)),
            self.beyond_loss.eq(self.known & (margin < 0)),
        ]
