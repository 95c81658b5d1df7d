# amaranth: UnusedElaboratable=no

"""Random lives of orders against the model, and what must never pass in silence."""

import itertools

import pytest
from amaranth.hdl import Cat
from amaranth.lib import data
from amaranth.sim import Simulator

from tickgate.hdl.order.manager import OrderManager
from tickgate.hdl.order.manager.accounts import Account, Accounts
from tickgate.hdl.order.manager.told import Told
from tickgate.hdl.stream import ReportKind, Side
from tickgate.sim.model.orders import OrderManager as Model
from tickgate.sim.model.soupbin import Report

SYMBOLS, SLOTS = 4, 8
FIELDS = ("user_ref_num", "previous", "quantity", "price", "reference", "reason", "code")
TOLD = tuple(name for name, _ in Told(SYMBOLS))
TURNOVER = ("bought_shares", "bought_notional", "sold_shares", "sold_notional")
LIVE, DEAD = ord("L"), ord("D")
SETTLE = 10 * SLOTS
"""Cycles in which all orders are walked past."""


class Bench:
    """A manager beside its model; every method plays to both and compares."""

    def __init__(self) -> None:
        self.dut, self.model = OrderManager(symbols=SYMBOLS, slots=SLOTS), Model(SLOTS)
        self.counters = dict.fromkeys(OrderManager.COUNTERS, 0)
        self.violations = 0
        self.told: list[dict[str, int]] = []
        self.next_number = 1
        self.unsent: dict | None = None

    async def cycle(self, ctx) -> None:
        if self.unsent is not None:
            ctx.set(self.dut.sent.payload, self.unsent)
            ctx.set(self.dut.sent.valid, 1)
        told = ctx.get(Cat(getattr(self.dut, name) for name in self.counters))
        for n, name in enumerate(self.counters):
            self.counters[name] += told >> n & 1
        self.violations += ctx.get(self.dut.violation)
        if ctx.get(self.dut.told.valid):
            told = ctx.get(self.dut.told.payload)
            self.told.append({name: int(getattr(told[name], "value", told[name])) for name in TOLD})
        await ctx.tick()
        if self.unsent is not None:
            ctx.set(self.dut.sent.valid, 0)
            self.unsent = None

    async def idle(self, ctx, cycles: int) -> None:
        for _ in range(cycles):
            await self.cycle(ctx)

    def send(self, symbol: int, side: Side, quantity: int, *, number: int | None = None) -> int:
        """An order leaves in the cycle that comes."""
        if number is None:
            number = self.next_number
        self.next_number = max(self.next_number, number + 1)
        self.unsent = {
            "symbol": symbol,
            "side": side,
            "quantity": quantity,
            "price": 1,
            "user_ref_num": number,
        }
        self.model.send(number, symbol=symbol, buys=side == Side.BUY, quantity=quantity)
        return number

    async def report(self, ctx, kind: str, *, sequence=None, fits=True, **values: int) -> None:
        """A report; position and open shares must know of it in the next cycle."""
        if sequence is None:
            sequence = self.model.next_sequence
        reports = self.dut.reports
        ctx.set(self.dut.coming, values.get("user_ref_num", 0))
        ctx.set(reports.payload.sequence, sequence)
        await self.cycle(ctx)
        # Whatever else is there before it must not matter.
        ctx.set(self.dut.coming, 0)
        ctx.set(
            reports.payload,
            {"kind": ReportKind[kind], "fits": fits, "sequence": sequence, **values},
        )
        ctx.set(reports.valid, 1)
        await self.cycle(ctx)
        ctx.set(reports.valid, 0)
        self.model.report(Report(kind, fits, sequence, values))
        assert OrderManager.LATENCY == 1
        # What Replaced replaces follows one cycle later.
        await self.idle(ctx, int(kind == "REPLACED"))
        self.compare(ctx, turnover=False)
        await self.idle(ctx, int(kind != "REPLACED"))

    def compare(self, ctx, *, turnover: bool) -> None:
        model, dut = self.model, self.dut
        assert ctx.get(dut.next_sequence) == model.next_sequence
        for symbol in range(SYMBOLS):
            ctx.set(dut.symbol, symbol)
            seen = ctx.get(dut.account)
            account = model.account(symbol)
            assert seen.position == account.position
            assert seen.open_buys == model.open_shares(symbol, buys=True)
            assert seen.open_sells == model.open_shares(symbol, buys=False)
            if turnover:
                for name in TURNOVER:
                    assert seen[name] == getattr(account, name)

    async def settle(self, ctx, *, timeout: int = 0) -> None:
        """Compares all that there is, when nothing is on its way."""
        await self.idle(ctx, SETTLE)
        self.compare(ctx, turnover=True)
        dut, model = self.dut, self.model
        assert self.counters == model.counters
        assert self.told == [dict.fromkeys(TOLD, 0) | told for told in model.told]
        assert ctx.get(dut.room) == model.room
        assert ctx.get(dut.open_orders) == model.open_orders
        assert ctx.get(dut.unanswered) == model.unanswered
        overdue = ctx.get(dut.overdue_symbol) if ctx.get(dut.overdue) else None
        assert overdue == model.overdue(timeout)

    async def tick(self, ctx, ticks: int = 1) -> None:
        for _ in range(ticks):
            ctx.set(self.dut.tick, 1)
            await self.cycle(ctx)
            self.model.tick()
        ctx.set(self.dut.tick, 0)

    def run(self, play) -> None:
        async def testbench(ctx):
            while not ctx.get(self.dut.ready):
                await ctx.tick()
            await play(ctx)

        simulator = Simulator(self.dut)
        simulator.add_clock(1e-8)
        simulator.add_testbench(testbench)
        simulator.run()


class Venue:
    """Reports as a venue makes them of the orders it has; now and then some that it must not."""

    def __init__(self, bench: Bench, generator) -> None:
        self._bench, self._random = bench, generator
        self.kinds: set[str] = set()
        self._odd_kinds = itertools.cycle([kind.name for kind in ReportKind])

    async def report(self, ctx) -> None:
        generator, model = self._random, self._bench.model
        alive = [number for number, order in model.orders.items() if order.alive]
        chance = generator.random()
        if not alive or chance < 0.2:
            await self._odd(ctx)
            return
        number = generator.choice(alive)
        order = model.orders[number]
        kind = generator.choice(
            ("ACCEPTED", "ACCEPTED", "ACCEPTED", "REPLACED", "REJECTED")
            if order.state == "SENT"
            else (
                *("EXECUTED", "EXECUTED", "EXECUTED", "CANCELED", "AIQ_CANCELED", "MODIFIED"),
                *("CANCEL_PENDING", "CANCEL_REJECT"),
            )
        )
        values = {"user_ref_num": number}
        match kind:
            case "ACCEPTED" | "REPLACED":
                values["quantity"] = order.quantity - generator.choice((0, 0, 1))
                values["code"] = generator.choice((LIVE, LIVE, LIVE, DEAD))
                if kind == "REPLACED":
                    values["previous"] = generator.choice(alive)
            case "EXECUTED" | "CANCELED" | "AIQ_CANCELED":
                values["quantity"] = generator.choice((order.open, 1, order.open // 2))
                values["quantity"] += generator.random() < 0.1
                values["price"] = generator.randrange(1, 2_000_000_000)
            case "MODIFIED":
                values["quantity"] = generator.randrange(order.open + 1)
        await self._tell(ctx, kind, **values)

    async def _odd(self, ctx) -> None:
        """Anything about any order, that is there or not, in sequence or not."""
        generator, model = self._random, self._bench.model
        known = list(model.orders) or [1]
        kind = next(self._odd_kinds)
        values = {
            "user_ref_num": generator.choice((*known, 0, 1 << 31, known[0] + SLOTS)),
            "previous": generator.choice((*known, 0, 12345)),
            "quantity": generator.choice((0, 1, 5, 10**6, (1 << 32) - 1)),
            "price": generator.choice((1, (1 << 32) - 1)),
            "code": generator.choice((LIVE, DEAD, 0)),
        }
        sequence = model.next_sequence + generator.choice((0, 0, -1, -7, 1, 100))
        await self._tell(
            ctx, kind, sequence=max(sequence, 0), fits=generator.random() < 0.8, **values
        )

    async def _tell(self, ctx, kind: str, **values) -> None:
        self.kinds.add(kind)
        if kind in ("ACCEPTED", "REPLACED", "EXECUTED"):
            values["reference"] = self._random.getrandbits(64)
        elif kind in ("CANCELED", "AIQ_CANCELED", "REJECTED"):
            values["reason"] = self._random.getrandbits(16 if kind == "REJECTED" else 8)
        await self._bench.report(ctx, kind, **values)


def test_random_lives_of_orders_are_what_the_model_makes_of_them(generator):
    bench = Bench()
    venue, timeout = Venue(bench, generator), 3

    async def play(ctx):
        ctx.set(bench.dut.timeout, timeout)
        for n in range(500):
            chance = generator.random()
            if chance < 0.3 and ctx.get(bench.dut.room):
                assert bench.model.room
                if not bench.model.open_orders and generator.random() < 0.5:
                    bench.next_number += generator.choice((1, 3, 2 * SLOTS))
                side = generator.choice((Side.BUY, Side.SELL))
                bench.send(generator.randrange(SYMBOLS), side, generator.choice((2, 100, 10**6)))
                # In the same cycle as anything else, but no report on it comes at once.
                await bench.idle(ctx, generator.choice((2, 3, 9)))
            elif chance < 0.35:
                await bench.tick(ctx, generator.choice((1, 2)))
            elif chance < 0.8:
                await venue.report(ctx)
            if n % 25 == 0:
                await bench.settle(ctx, timeout=timeout)
        await bench.settle(ctx, timeout=timeout)
        ctx.set(bench.dut.clear, 1)
        bench.model.clear()
        await bench.cycle(ctx)
        ctx.set(bench.dut.clear, 0)
        await bench.settle(ctx, timeout=timeout)

    bench.run(play)
    assert venue.kinds == {kind.name for kind in ReportKind}
    met = {name for name, count in bench.counters.items() if count}
    assert met == set(bench.counters) - {"reused_numbers", "overruns", "turnover_overflows"} - (
        {"position_overflows"} - met
    )


def test_an_order_that_leaves_in_the_cycle_of_a_report_is_followed():
    bench = Bench()

    async def play(ctx):
        first = bench.send(1, Side.BUY, 100)
        await bench.idle(ctx, 3)
        for _ in range(3):
            # The next order, of the same symbol, leaves with the last cycle of the report.
            ctx.set(bench.dut.coming, first)
            ctx.set(bench.dut.reports.payload.sequence, bench.model.next_sequence)
            await bench.cycle(ctx)
            values = {"user_ref_num": first, "quantity": 100, "price": 7}
            ctx.set(
                bench.dut.reports.payload,
                {
                    "kind": ReportKind.EXECUTED,
                    "fits": 1,
                    "sequence": bench.model.next_sequence,
                    **values,
                },
            )
            ctx.set(bench.dut.reports.valid, 1)
            bench.model.report(Report("EXECUTED", True, bench.model.next_sequence, values))
            first = bench.send(1, Side.BUY, 100)
            await bench.cycle(ctx)
            ctx.set(bench.dut.reports.valid, 0)
            await bench.settle(ctx)
        assert bench.model.account(1).position == 300

    bench.run(play)


@pytest.mark.parametrize(
    ("kind", "values", "counter"),
    [
        ("EXECUTED", {"user_ref_num": 1, "quantity": 101}, "overfills"),
        ("EXECUTED", {"user_ref_num": 77, "quantity": 1}, "unknown_orders"),
        ("CANCELED", {"user_ref_num": 1, "quantity": 101}, "contradictions"),
        ("ACCEPTED", {"user_ref_num": 1, "quantity": 100, "code": LIVE}, "contradictions"),
        ("REJECTED", {"user_ref_num": 1}, "contradictions"),
        ("MODIFIED", {"user_ref_num": 1, "quantity": 101}, "contradictions"),
        ("BROKEN_TRADE", {"user_ref_num": 1, "reference": 5}, "unreconciled"),
        ("TRADE_CORRECTION", {"user_ref_num": 1, "quantity": 3}, "unreconciled"),
        ("CANCEL_PENDING", {"user_ref_num": 9}, "unknown_orders"),
        ("EXECUTED", {"user_ref_num": 1, "quantity": 1, "fits": False}, "unfit"),
        ("SYSTEM", {"sequence": 9}, "missed"),
    ],
)
def test_what_does_not_fit_together_is_counted_once_and_is_a_violation(kind, values, counter):
    bench = Bench()

    async def play(ctx):
        bench.send(0, Side.SELL, 100)
        await bench.idle(ctx, 3)
        await bench.report(ctx, "ACCEPTED", user_ref_num=1, quantity=100, code=LIVE)
        await bench.settle(ctx)
        assert bench.violations == 0
        await bench.report(ctx, kind, **values)
        await bench.settle(ctx)
        assert bench.violations == 1
        assert {name for name in OrderManager.VIOLATIONS if bench.counters[name]} == {counter}

    bench.run(play)


def test_a_fill_after_the_cancel_counts_and_a_repetition_does_not():
    bench = Bench()

    async def play(ctx):
        bench.send(2, Side.BUY, 100)
        await bench.idle(ctx, 3)
        await bench.report(ctx, "ACCEPTED", user_ref_num=1, quantity=100, code=LIVE)
        await bench.report(ctx, "EXECUTED", user_ref_num=1, quantity=30, price=10)
        await bench.report(ctx, "EXECUTED", user_ref_num=1, quantity=30, price=10, sequence=2)
        await bench.report(ctx, "CANCELED", user_ref_num=1, quantity=70)
        assert bench.counters["repetitions"] == 1 and bench.violations == 0
        await bench.report(ctx, "EXECUTED", user_ref_num=1, quantity=70, price=11)
        await bench.settle(ctx)
        assert bench.counters["overfills"] == 1 and bench.violations == 1
        account = bench.model.account(2)
        assert (account.position, account.bought_notional) == (100, 300 + 770)

    bench.run(play)


def test_a_replace_holds_both_orders_until_it_is_answered():
    bench = Bench()

    async def play(ctx):
        bench.send(0, Side.BUY, 100)
        await bench.idle(ctx, 3)
        await bench.report(ctx, "ACCEPTED", user_ref_num=1, quantity=100, code=LIVE)
        bench.send(0, Side.BUY, 150)
        await bench.idle(ctx, 3)
        assert bench.model.open_shares(0, buys=True) == 250
        bench.compare(ctx, turnover=True)
        await bench.report(ctx, "EXECUTED", user_ref_num=1, quantity=40, price=1)
        await bench.report(ctx, "REPLACED", user_ref_num=2, previous=1, quantity=110, code=LIVE)
        await bench.settle(ctx)
        assert bench.model.open_shares(0, buys=True) == 110
        assert bench.model.orders[1].state == "REPLACED" and bench.violations == 0
        # A replace that is refused leaves the order as it is.
        bench.send(0, Side.BUY, 200)
        await bench.idle(ctx, 3)
        await bench.report(ctx, "REJECTED", user_ref_num=3)
        await bench.settle(ctx)
        assert bench.model.open_shares(0, buys=True) == 110 and bench.violations == 0

    bench.run(play)


def test_an_order_without_an_answer_keeps_its_shares_and_is_told_until_there_is_one():
    bench = Bench()

    async def play(ctx):
        ctx.set(bench.dut.timeout, 5)
        bench.send(3, Side.SELL, 100)
        await bench.tick(ctx, 5)
        bench.send(1, Side.SELL, 100)
        await bench.settle(ctx, timeout=5)
        await bench.tick(ctx, 1)
        await bench.settle(ctx, timeout=5)
        assert ctx.get(bench.dut.overdue) and ctx.get(bench.dut.overdue_symbol) == 3
        # Ages are told by few bits; what was once too old stays so, whatever they say.
        ctx.set(bench.dut.timeout, (1 << 16) - 1)
        await bench.settle(ctx, timeout=5)
        assert bench.model.open_shares(3, buys=False) == 100
        await bench.report(ctx, "ACCEPTED", user_ref_num=1, quantity=100, code=LIVE)
        await bench.report(ctx, "ACCEPTED", user_ref_num=2, quantity=100, code=LIVE)
        await bench.settle(ctx, timeout=5)
        assert not ctx.get(bench.dut.overdue)

    bench.run(play)


def test_an_order_without_room_or_with_a_number_that_was_there_is_counted():
    bench = Bench()

    async def play(ctx):
        for _ in range(SLOTS):
            assert ctx.get(bench.dut.room)
            bench.send(0, Side.BUY, 1)
            await bench.idle(ctx, 3)
        assert not ctx.get(bench.dut.room)
        # The oldest one is in the way, not those behind it.
        for number in range(2, SLOTS + 1):
            await bench.report(ctx, "REJECTED", user_ref_num=number)
        await bench.settle(ctx)
        assert not ctx.get(bench.dut.room)
        bench.send(0, Side.BUY, 1, number=5)
        await bench.idle(ctx, 2)
        assert bench.counters["reused_numbers"] == 1 and bench.violations == 0
        await bench.settle(ctx)
        await bench.report(ctx, "REJECTED", user_ref_num=1)
        await bench.settle(ctx)
        assert ctx.get(bench.dut.room)
        last = bench.send(0, Side.BUY, 1)
        await bench.idle(ctx, 3)
        bench.send(1, Side.BUY, 1, number=last + SLOTS)
        await bench.idle(ctx, 3)
        assert bench.counters["overruns"] == bench.model.counters["overruns"] == 1
        assert bench.violations == 1

    bench.run(play)


@pytest.mark.parametrize(("patience", "age"), [(7, 6), (7, 7), (7, 8), (0, 9)])
def test_an_order_without_an_answer_stops_others_and_then_kills(patience, age):
    bench = Bench()

    async def play(ctx):
        ctx.set(bench.dut.timeout, 5)
        ctx.set(bench.dut.patience, patience)
        ctx.set(bench.dut.most_unanswered, SLOTS)
        bench.send(3, Side.SELL, 100)
        await bench.tick(ctx, 5)
        await bench.settle(ctx, timeout=5)
        assert ctx.get(bench.dut.answered)
        await bench.tick(ctx, age - 5)
        await bench.settle(ctx, timeout=5)
        given_up = 0 < patience < age
        assert (ctx.get(bench.dut.answered), ctx.get(bench.dut.given_up)) == (0, given_up)
        # Ages are told by few bits; what was once too old stays so, whatever they say.
        ctx.set(bench.dut.patience, (1 << 16) - 1)
        await bench.settle(ctx, timeout=5)
        assert ctx.get(bench.dut.given_up) == given_up
        await bench.report(ctx, "ACCEPTED", user_ref_num=1, quantity=100, code=LIVE)
        await bench.settle(ctx, timeout=5)
        assert (ctx.get(bench.dut.answered), ctx.get(bench.dut.given_up)) == (1, 0)

    bench.run(play)


@pytest.mark.parametrize("most", [0, 1, 3])
def test_so_many_orders_may_be_without_an_answer_and_no_more(most):
    bench = Bench()

    async def play(ctx):
        ctx.set(bench.dut.most_unanswered, most)
        await bench.idle(ctx, 2)
        for n in range(4):
            assert ctx.get(bench.dut.answered) == (n < most)
            bench.send(0, Side.BUY, 1)
            await bench.idle(ctx, 4)
        for n in range(4):
            assert ctx.get(bench.dut.answered) == (4 - n < most)
            await bench.report(ctx, "REJECTED", user_ref_num=n + 1)
            await bench.idle(ctx, 4)
        assert ctx.get(bench.dut.answered) == (most > 0)

    bench.run(play)


def test_sums_stay_at_their_bounds_and_say_so():
    bench = Bench()
    most = (1 << 32) - 1

    async def play(ctx):
        for side in (Side.BUY, Side.SELL):
            number = bench.send(2, side, 100)
            await bench.idle(ctx, 3)
            for _ in range(3):
                await bench.report(ctx, "EXECUTED", user_ref_num=number, quantity=most, price=most)
                await bench.idle(ctx, Accounts.TURNOVER_LATENCY)
        await bench.settle(ctx)
        assert bench.counters["position_overflows"] == 3
        assert bench.counters["turnover_overflows"] == 4

    bench.run(play)


@pytest.mark.parametrize("start", [700, -700, -(1 << 32), (1 << 32) - 1])
def test_a_position_begins_where_the_host_says_and_no_fill_is_lost_meanwhile(start):
    bench = Bench()

    async def play(ctx):
        ctx.set(bench.dut.load_symbol, 1)
        ctx.set(bench.dut.start_position, start)
        for symbol in (1, 2):
            number = bench.send(symbol, Side.SELL if start > 0 else Side.BUY, 100)
            await bench.idle(ctx, 3)
            # The fill comes in the very cycle in which the position would be set.
            sequence = bench.model.next_sequence
            ctx.set(bench.dut.coming, number)
            ctx.set(bench.dut.reports.payload.sequence, sequence)
            ctx.set(bench.dut.load_position, symbol == 2)
            await bench.cycle(ctx)
            ctx.set(bench.dut.load_position, 0)
            values = {"user_ref_num": number, "quantity": 100, "price": 7}
            ctx.set(
                bench.dut.reports.payload,
                {"kind": ReportKind.EXECUTED, "fits": 1, "sequence": sequence, **values},
            )
            ctx.set(bench.dut.reports.valid, 1)
            bench.model.report(Report("EXECUTED", True, sequence, values))
            await bench.cycle(ctx)
            ctx.set(bench.dut.reports.valid, 0)
        bench.model.account(1).position = start
        await bench.settle(ctx)
        number = bench.send(1, Side.SELL if start > 0 else Side.BUY, 5)
        await bench.idle(ctx, 3)
        await bench.report(ctx, "EXECUTED", user_ref_num=number, quantity=5, price=7)
        await bench.settle(ctx)
        assert abs(bench.model.account(2).position) == 100 and bench.violations == 0

    bench.run(play)


def test_the_sequence_goes_on_where_the_host_says():
    bench = Bench()

    async def play(ctx):
        ctx.set(bench.dut.load_sequence, 1 << 40)
        ctx.set(bench.dut.load, 1)
        await bench.cycle(ctx)
        ctx.set(bench.dut.load, 0)
        bench.model.next_sequence = 1 << 40
        await bench.report(ctx, "SYSTEM")
        await bench.report(ctx, "SYSTEM", sequence=5)
        await bench.settle(ctx)
        assert bench.counters["repetitions"] == 1 and bench.violations == 0

    bench.run(play)


def test_the_account_is_wide_enough_for_all_orders_that_are_kept():
    widths = {name: field.width for name, field in data.Layout.cast(Account)}
    assert widths["open_buys"] == widths["open_sells"] >= 32 + 11
