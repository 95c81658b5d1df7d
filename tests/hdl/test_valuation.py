# amaranth: UnusedElaboratable=no

"""What positions are worth and what is released, from orders, reports and prices; Verilated."""

import functools
import itertools
from dataclasses import dataclass, field

import pytest
from amaranth.hdl import Module, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from verilated import Packed, Verilated

from tickgate.hdl.order.manager import OrderManager
from tickgate.hdl.order.manager.accounts import Accounts
from tickgate.hdl.risk.account import HELD_BITS, AccountExposure
from tickgate.hdl.risk.counts import OpenOrders
from tickgate.hdl.risk.limits import OrderLimits
from tickgate.hdl.risk.releases import Releases
from tickgate.hdl.risk.valuation import Sums, Valuation, Walk
from tickgate.hdl.stream import Order, Proposal, Report, ReportKind, Top, Trade, pipe
from tickgate.sim.model.book import Top as BookTop
from tickgate.sim.model.book import Trade as Print
from tickgate.sim.model.valuation import ValuationModel

SYMBOLS, SLOTS = 3, 64
BUY, SELL = 0, 1
WIDE = (1 << 64) - 1
STROBED = {
    "preview": Proposal(SYMBOLS),
    "sent": Order(SYMBOLS),
    "report": Report,
    "trade": Trade(SYMBOLS),
    "top": Top(SYMBOLS),
}
TOLD = {
    "coming": 32,
    "max_loss": 64,
    "max_gross": 64,
    "blocked": 1,
    "load": 1,
    "load_symbol": range(SYMBOLS),
    "start": 33,
    "cost": 64,
    "clear": 1,
}
SHOWN = {
    "known": 1,
    "long_value": 64,
    "short_value": 64,
    "profit": 64,
    "within_loss": 1,
    "beyond_loss": 1,
    "passed": 1,
    "beyond_gross": 1,
    "buys": 64,
    "sells": 64,
    "held": HELD_BITS,
    "open_orders": 32,
}
ROUND = Valuation(symbols=SYMBOLS).round_cycles
APPROVED = 2
"""Cycles from the preview of an order until it is approved, and sent."""
LATE = AccountExposure.LATENCY_APPROVED - APPROVED
"""And from then on, until what it reserves is open."""
SETTLED = 2 * ROUND + Releases.LATENCY + 8
"""After so many cycles without anything new all is known of what there was, and released."""


class Books(wiring.Component):
    """What orders, reports and prices come to, by way of all that adds it up."""

    GIVEN = data.StructLayout({**STROBED, **{f"{name}_valid": 1 for name in STROBED}, **TOLD})
    GIVES = data.StructLayout(SHOWN)

    def __init__(self) -> None:
        super().__init__({"given": In(self.GIVEN), "gives": Out(self.GIVES)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.manager = manager = OrderManager(symbols=SYMBOLS, slots=SLOTS)
        m.submodules.valuation = valuation = Valuation(symbols=SYMBOLS)
        m.submodules.releases = releases = Releases(symbols=SYMBOLS)
        m.submodules.exposure = exposure = AccountExposure(symbols=SYMBOLS)
        m.submodules.limits = limits = OrderLimits(symbols=SYMBOLS)
        m.submodules.counts = counts = OpenOrders(symbols=SYMBOLS)
        given, gives = self.given, self.gives
        for name, port in (
            ("sent", manager.sent),
            ("report", manager.reports),
            ("trade", valuation.trades),
            ("top", valuation.tops),
        ):
            m.d.comb += [
                Value.cast(port.payload).eq(Value.cast(given[name])),
                port.valid.eq(given[f"{name}_valid"]),
            ]
        for part in (limits, exposure, counts):
            m.d.comb += part.preview.eq(given.preview)
        for part in (exposure, counts):
            m.d.comb += [part.approved.eq(given.sent_valid), part.clear.eq(given.clear)]
        pipe(m, manager.freed, releases.freed)
        pipe(m, manager.closed, releases.ended)
        pipe(m, releases.closed, counts.released)
        # What waits to be taken is not lost.
        m.d.comb += [
            exposure.released.payload.eq(releases.released.payload),
            exposure.released.valid.eq(releases.released.valid & ~given.blocked),
            releases.released.ready.eq(exposure.released.ready & ~given.blocked),
            manager.coming.eq(given.coming),
            manager.load_position.eq(given.load),
            manager.load_symbol.eq(given.load_symbol),
            manager.start_position.eq(given.start),
            manager.start_cost.eq(given.cost),
            manager.clear.eq(given.clear),
            manager.walked.eq(valuation.symbol),
            valuation.position.eq(manager.walked_position),
            valuation.cash.eq(manager.walked_cash),
            valuation.positions_ready.eq(manager.ready),
            valuation.max_loss.eq(given.max_loss),
            valuation.clear.eq(given.clear),
            releases.passed.eq(valuation.passed),
            releases.clear.eq(given.clear),
            exposure.account.max_gross.eq(given.max_gross),
            exposure.notional_outer.eq(limits.notional_outer),
            exposure.notional_inner.eq(limits.notional_inner),
            exposure.long_value.eq(valuation.long_value),
            exposure.short_value.eq(valuation.short_value),
            exposure.known.eq(valuation.known),
            exposure.held.eq(releases.held),
            gives.beyond_gross.eq(exposure.beyond_gross),
            gives.buys.eq(exposure.buys),
            gives.sells.eq(exposure.sells),
            gives.held.eq(releases.held),
            gives.open_orders.eq(counts.total),
        ]
        names = ("known", "long_value", "short_value", "within_loss", "beyond_loss", "passed")
        for name in (*names, "profit"):
            m.d.comb += Value.cast(gives[name]).eq(getattr(valuation, name))
        return m


@functools.cache
def bench() -> tuple[Verilated, Packed, Packed]:
    return Verilated(Books()), Packed(Books.GIVEN), Packed(Books.GIVES)


@dataclass
class Own:
    symbol: int
    side: int
    price: int
    open: int
    ended: bool = False


@dataclass
class Day:
    """Cycles of a day, and what they should come to; all of it is run at the end."""

    max_loss: int = WIDE
    max_gross: int = WIDE
    cycles: list[dict] = field(default_factory=list)
    model: ValuationModel = field(default_factory=ValuationModel)
    orders: dict[int, Own] = field(default_factory=dict)
    expected: dict[int, dict] = field(default_factory=dict)
    sequence: int = 0

    def __post_init__(self) -> None:
        self.idle(2 * SLOTS + 2 * ROUND)

    def cycle(self, **given) -> int:
        told = {"max_loss": self.max_loss, "max_gross": self.max_gross, **given}
        told |= {f"{name}_valid": 1 for name in STROBED if name in given}
        if "coming" in given:
            told["report_valid"] = 0
        self.cycles.append(told)
        return len(self.cycles) - 1

    def idle(self, cycles: int = SETTLED, **given) -> int:
        for _ in range(cycles):
            self.cycle(**given)
        return len(self.cycles) - 1

    def trade(self, symbol: int, price: int) -> None:
        self.model.trade(Print(symbol=symbol, price=price))
        self.cycle(trade={"symbol": symbol, "price": price})

    def top(self, symbol: int, bid: int | None, ask: int | None) -> None:
        top = {
            "symbol": symbol,
            "bid_present": int(bid is not None),
            "bid_price": bid or 0,
            "bid_shares": 1,
            "ask_present": int(ask is not None),
            "ask_price": ask or 0,
            "ask_shares": 1,
            "exact": 1,
            "sequence": 0,
        }
        self.model.top(BookTop(**top))
        self.cycle(top=top)

    def load(self, symbol: int, position: int, price: int) -> None:
        cost = abs(position) * price
        held = self.model.holding(symbol)
        held.position, held.cash = position, -cost if position >= 0 else cost
        given = {"load_symbol": symbol, "start": position % (1 << 33), "cost": cost}
        self.cycle(load=1, **given)
        self.idle(2, **given)

    def order(self, symbol: int, side: int, price: int, quantity: int) -> int:
        """An order that is approved and leaves."""
        proposal = {"symbol": symbol, "side": side, "price": price, "quantity": quantity}
        number = len(self.orders) + 1
        self.orders[number] = Own(symbol, side, price, quantity)
        self.cycle(preview=proposal)
        self.idle(APPROVED - 1)
        self.cycle(sent={**proposal, "user_ref_num": number})
        self.idle(LATE)
        return number

    def report(self, kind: str, number: int, quantity: int = 0, price: int = 0, **more) -> int:
        """Returns the cycle after which position and open shares are what the report says."""
        self.sequence += 1
        own, its = self.orders[number], self.model.holding(self.orders[number].symbol)
        report = {
            "kind": ReportKind[kind].value,
            "fits": 1,
            "sequence": self.sequence,
            "user_ref_num": number,
            "quantity": quantity,
            "price": price,
        }
        self.cycle(coming=number, report=report, **more)
        at = self.cycle(report=report, **more)
        self.cycle(**more)
        if kind == "EXECUTED":
            sign = 1 if own.side == BUY else -1
            its.position += sign * quantity
            its.cash -= sign * quantity * price
        if kind in ("EXECUTED", "CANCELED"):
            own.open -= quantity
        elif kind == "REJECTED":
            own.open = 0
        own.ended = not own.open
        return at

    def open_notional(self, side: int) -> int:
        return sum(own.open * own.price for own in self.orders.values() if own.side == side)

    def expect(self) -> None:
        """Compares all with the model, now that it must be so."""
        values = self.model.values()
        told = {"known": int(values.known)}
        if values.known:
            within = values.profit + self.max_loss >= 0
            told |= {name: getattr(values, name) for name in ("long_value", "short_value")}
            shown = min(max(values.profit, -(1 << 63)), (1 << 63) - 1)
            told |= {"profit": shown % (1 << 64)}
            told |= {"within_loss": int(within), "beyond_loss": int(not within)}
            used = values.long_value + values.short_value
            used += self.open_notional(BUY) + self.open_notional(SELL)
            told["beyond_gross"] = int(used > self.max_gross)
        else:
            told |= {"within_loss": 0, "beyond_loss": 0, "beyond_gross": 0}
        told |= {"buys": self.open_notional(BUY), "sells": self.open_notional(SELL), "held": 0}
        told["open_orders"] = sum(not own.ended for own in self.orders.values())
        self.expected[len(self.cycles) - 1] = told

    def settle(self) -> None:
        self.idle()
        self.expect()

    def run(self) -> list[dict]:
        """Runs all of it and compares; returns what was shown in each cycle."""
        books, given, gives = bench()
        shown = [gives.unpack(word) for word in books.run([given.pack(c) for c in self.cycles])]
        assert self.expected
        for at, told in self.expected.items():
            assert {name: shown[at][name] for name in told} == told, at
        return shown


def a_day(**limits: int) -> Day:
    """One with prices for all symbols, at which nothing was lost."""
    day = Day(**limits)
    for symbol in range(SYMBOLS):
        day.trade(symbol, 100)
        day.top(symbol, 100, 100)
    return day


def test_the_cash_is_of_the_executions_that_the_position_is_of():
    assert Accounts.CASH_LAG == Valuation.CASH_LAG
    assert Walk.PIPELINE == Sums.LATENCY


def test_values_are_those_of_the_model_whatever_happens(generator):
    day = Day(max_loss=10**12)
    day.expect()
    alive: set[int] = set()
    for _ in range(400):
        what, symbol = generator.random(), generator.randrange(SYMBOLS)
        price = generator.choice([0, 1, 999_999, 2**31 + 3, 2**32 - 1, generator.randrange(2**32)])
        if what < 0.15:
            day.trade(symbol, price)
        elif what < 0.3:
            sides = [generator.choice([None, price, price // 2]) for _ in range(2)]
            day.top(symbol, *sides)
        elif what < 0.35:
            extremes = [2**32 - 1, -(2**32), 0]
            position = generator.choice([*extremes, generator.randrange(-(2**20), 2**20)])
            if abs(day.model.holding(symbol).position) < 2**20:
                day.load(symbol, position, price)
        elif what < 0.55 and len(alive) < 8:
            quantity = generator.choice([1, 100, 2**20 - 1, 2**17 + 1])
            alive.add(day.order(symbol, generator.randrange(2), price, quantity))
        elif alive:
            number = generator.choice(sorted(alive))
            own = day.orders[number]
            part = generator.choice([own.open, max(own.open // 3, 1)])
            # No position is to leave what 33 bits hold.
            wide = abs(day.model.holding(own.symbol).position) > 2**31
            kind = generator.choice(["CANCELED"] if wide else ["EXECUTED", "EXECUTED", "CANCELED"])
            day.report(kind, number, part, price, blocked=int(generator.random() < 0.2))
            if own.ended:
                alive.remove(number)
        if generator.random() < 0.2:
            day.settle()
    day.settle()
    shown = day.run()
    seen = list(day.expected.values())
    for name in ("known", "within_loss", "beyond_loss"):
        assert {told.get(name) for told in seen} >= {0, 1}, name
    assert any(told["known"] and told["long_value"] > 2**32 for told in seen)
    assert any(told["known"] and told["short_value"] > 2**32 for told in seen)
    passed = [at for at, now in enumerate(shown) if now["passed"]]
    assert {later - at for at, later in itertools.pairwise(passed)} == {ROUND}


def test_what_is_executed_is_open_or_held_at_any_time_and_is_not_measured_twice(generator):
    """At one price for all, what is open and held changes only with orders and cancels."""
    price, day = 100, a_day()
    steps, alive = [(0, 0)], []
    """Cycles, and what is open and held from then on."""

    def change(at: int, shares: int) -> None:
        steps.append((at, steps[-1][1] + shares * price))

    for _ in range(300):
        day.max_gross = steps[-1][1]
        if generator.random() < 0.3 and len(alive) < 12:
            quantity = generator.randrange(1, 1000)
            before = len(day.cycles) + APPROVED
            # The limit that is not to be passed rises with what is approved.
            day.max_gross += quantity * price
            alive.append(day.order(generator.randrange(SYMBOLS), BUY, price, quantity))
            change(before, quantity)
        elif alive:
            number = generator.choice(alive)
            own = day.orders[number]
            part = generator.choice([own.open, max(own.open // 2, 1)])
            kind = generator.choice(["EXECUTED", "EXECUTED", "CANCELED"])
            at = day.report(kind, number, part, price, blocked=int(generator.random() < 0.3))
            if kind == "CANCELED":
                # Until it is released it is reserved.
                change(at, -part)
                day.idle(12)
            if own.ended:
                alive.remove(number)
        day.idle(generator.choice([0, 0, 1, 2, 5, ROUND]))
    day.settle()
    shown = day.run()
    assert not any(now["beyond_gross"] for now in shown)
    levels, at_least = iter([*steps[1:], (len(shown), 0)]), 0
    at_next, following = next(levels)
    most = 0
    for at, now in enumerate(shown):
        if at >= at_next:
            at_least = following
            at_next, following = next(levels)
        approved = any(at - LATE - 1 <= when <= at for when, _ in steps)
        counted = sum(now[name] for name in ("long_value", "short_value", "buys", "sells"))
        assert counted >= at_least or approved, at
        most = max(most, counted - at_least)
    assert most, "nothing that was executed was ever reserved beside its worth"


@pytest.mark.parametrize(("over", "beyond"), [(-1, 0), (0, 0), (1, 1)])
def test_more_held_and_open_than_the_gross_limit_is_beyond(over, beyond):
    day = a_day(max_gross=100 * 100 + 50 * 100 + 30 * 100 - over)
    day.load(0, 100, 100)
    day.load(1, -50, 100)
    day.order(2, BUY, 100, 30)
    day.settle()
    assert day.expected[len(day.cycles) - 1]["beyond_gross"] == beyond
    day.run()


@pytest.mark.parametrize(("over", "beyond"), [(-1, 0), (0, 0), (1, 1)])
def test_a_loss_is_within_its_limit_or_beyond(over, beyond):
    day = a_day(max_loss=100 * 7 + 50 * 3 + 10 * 1 - over)
    # 100 shares held since 107 and now at a bid of 100; 50 short since 97, at an ask of 100; 10
    # shares bought and sold at once for one less each.
    day.load(0, 100, 107)
    day.load(1, -50, 97)
    for side, price in ((BUY, 101), (SELL, 100)):
        day.report("EXECUTED", day.order(2, side, price, 10), 10, price)
    day.settle()
    expected = day.expected[len(day.cycles) - 1]
    assert (expected["beyond_loss"], expected["within_loss"]) == (beyond, 1 - beyond)
    day.run()


def test_positions_are_marked_at_the_worse_side_and_worth_their_last_print():
    day = Day()
    day.load(0, 10, 50)
    day.settle()
    assert not day.expected[len(day.cycles) - 1]["known"]
    # The wrong side is none.
    day.top(0, None, 70)
    day.settle()
    day.top(0, 60, 70)
    day.settle()
    assert day.model.values() == (True, 600, 0, 100)
    day.trade(0, 64)
    day.settle()
    assert day.model.values() == (True, 640, 0, 100)
    day.load(1, -10, 50)
    day.trade(1, 52)
    day.settle()
    assert day.model.values() == (True, 640, 520, 80)
    day.top(1, 40, 55)
    day.settle()
    assert day.model.values() == (True, 640, 520, 50)
    day.top(1, 40, None)
    day.settle()
    assert day.model.values() == (True, 640, 520, 80)
    day.run()


def test_what_is_beyond_64_bits_is_not_known():
    day = Day()
    day.trade(0, 2**32 - 1)
    day.load(0, 2**32 - 1, 2**32 - 1)
    day.settle()
    assert day.expected[len(day.cycles) - 1]["known"]
    day.trade(1, 2**32 - 1)
    day.load(1, 2**32 - 1, 2**32 - 1)
    day.settle()
    assert not day.expected[len(day.cycles) - 1]["known"]
    day.run()


def test_a_new_day_begins_with_nothing_and_is_not_known_before_it_is_added_up():
    day = a_day()
    day.load(0, 100, 101)
    number = day.order(1, BUY, 100, 7)
    day.report("EXECUTED", number, 3, 100)
    day.settle()
    at = day.cycle(clear=1)
    day.model.holdings.clear()
    day.orders.clear()
    day.idle(SLOTS)
    day.settle()
    shown = day.run()
    assert shown[at]["known"] and shown[at]["long_value"]
    unknown = [now for now in shown[at + 1 :] if not now["known"]]
    assert unknown and shown[-1]["known"]
    assert not any(now["known"] and now["long_value"] for now in shown[at + 1 :])


def test_an_order_that_ends_is_open_no_more():
    day = a_day()
    numbers = [day.order(n % SYMBOLS, n & 1, 100, 10) for n in range(6)]
    day.settle()
    for number, kind, shares in zip(
        numbers,
        ("ACCEPTED", "EXECUTED", "CANCELED", "REJECTED", "EXECUTED", "CANCELED"),
        (10, 10, 10, 0, 9, 9),
        strict=True,
    ):
        day.report(kind, number, shares, 100)
    day.settle()
    assert day.expected[len(day.cycles) - 1]["open_orders"] == 3
    day.run()


def test_orders_that_end_in_a_row_are_each_told():
    """Of two reports in the least time, each ends an order, while another one is approved."""
    day = a_day()
    numbers = [day.order(n % SYMBOLS, BUY, 100, 10) for n in range(12)]
    for number in numbers[:6]:
        day.report("REJECTED", number)
    for number in numbers[6:]:
        day.order(0, BUY, 100, 1)
        day.report("REJECTED", number)
    day.settle()
    assert day.expected[len(day.cycles) - 1]["open_orders"] == 6
    day.run()
