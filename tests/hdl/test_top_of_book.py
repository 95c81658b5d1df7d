"""The best levels and the ladder, update by update, at the pace of the wire and beyond it."""

import random
from collections import Counter
from functools import cache

import pytest
from simulated import Simulated

from tickgate.hdl.book.top import TopOfBook
from tickgate.hdl.book.types import Geometry
from tickgate.hdl.memory import BlockMemory
from tickgate.hdl.stream import Side

SYMBOLS, TICKS = 2, 64
BASE, CENT = 10_0000, 100
GEOMETRY = Geometry(symbols=SYMBOLS, ticks=TICKS, orders=64)
MESSAGE = 21 / 8
"""Cycles of the shortest message at 8 octets a cycle."""


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    monkeypatch.setattr(BlockMemory, "POISONED", True)


class Plain:
    """Shares at each price, and what becomes of the top; prices in ticks."""

    def __init__(self):
        self.levels = {(symbol, side): Counter() for symbol in range(SYMBOLS) for side in (0, 1)}

    def change(self, symbol, side, tick, shares):
        levels = self.levels[symbol, side]
        levels[tick] += shares
        assert levels[tick] >= 0
        if not levels[tick]:
            del levels[tick]

    def top(self, symbol):
        bids, asks = self.levels[symbol, 0], self.levels[symbol, 1]
        bid, ask = max(bids, default=None), min(asks, default=None)
        shown = []
        for levels, tick in (bids, bid), (asks, ask):
            shown += [0, 0] if tick is None else [BASE + CENT * tick, levels[tick]]
        return tuple(shown)


@cache
def build() -> Simulated:
    return Simulated(TopOfBook(geometry=GEOMETRY))


def run(messages, *, exact=None):
    """`messages`: cycle, symbol, and the changes (side, tick, shares) in every second cycle.

    Returns the tops as (symbol, top, latency), and the disagreements. `exact` collects what they
    say of themselves.
    """
    simulated = build()
    dut = simulated.dut
    plan = {}
    for cycle, symbol, changes in messages:
        for n, change in enumerate(changes):
            at = cycle - 2 * (len(changes) - 1 - n)
            assert not plan.keys() & {at - 1, at, at + 1}
            plan[at] = symbol, *change, n == len(changes) - 1, cycle & 0xFFFF
    end = max(plan) + 40
    rows, disagreements = [], []

    async def drive(ctx):
        while not ctx.get(dut.ready):
            await ctx.tick()
        update = dut.update
        ctx.set(update.base, BASE)
        ctx.set(update.cent, 1)
        ctx.set(update.changes, 1)
        if exact is not None:
            ctx.set(update.trust, 1)
        for cycle in range(end):
            change = plan.get(cycle)
            ctx.set(dut.next_symbol, plan.get(cycle + 1, (0,))[0])
            ctx.set(dut.near, change is not None)
            ctx.set(dut.update_valid, change is not None)
            if change is not None:
                symbol, side, tick, shares, last, stamp = change
                ctx.set(update.symbol, symbol)
                ctx.set(update.side, side)
                ctx.set(update.add, shares > 0)
                ctx.set(update.key, tick if side else TICKS - 1 - tick)
                ctx.set(update.price, BASE + CENT * tick)
                ctx.set(update.shares, abs(shares))
                # Those of the order or of the message, in turn; the others are in the way.
                takes_order = cycle & 1
                ctx.set(update.takes_order, takes_order)
                ctx.set(update.order_shares, abs(shares) if takes_order else 7)
                ctx.set(update.message_shares, 7 if takes_order else abs(shares))
                ctx.set(update.last, last)
                ctx.set(update.stamp, stamp)
            if ctx.get(dut.tops.valid):
                top = ctx.get(dut.tops.payload)
                shown = top.bid_price, top.bid_shares, top.ask_price, top.ask_shares
                rows.append((top.symbol, shown, (cycle - top.stamp) & 0xFFFF))
                if exact is not None:
                    exact.append(top.exact)
            disagreements.append(ctx.get(dut.disagreement))
            await ctx.tick()

    simulated.run(drive)
    return rows, sum(disagreements)


def expected(messages):
    """The changes of the tops of each symbol, in order."""
    book, last = Plain(), dict.fromkeys(range(SYMBOLS), (0, 0, 0, 0))
    tops = {symbol: [] for symbol in range(SYMBOLS)}
    for _, symbol, changes in messages:
        for change in changes:
            book.change(symbol, *change)
        top = book.top(symbol)
        if top != last[symbol]:
            last[symbol] = top
            tops[symbol].append(top)
    return tops


def staircase(side, levels):
    """Adds a level a message, the best first, with time to rest; then takes them in that order."""
    ticks = list(range(5, 5 + 3 * levels, 3))
    if side == Side.BUY.value:
        ticks = [TICKS - 1 - tick for tick in ticks]
    messages = [(10 + 16 * n, 0, [(side, tick, 100 + n)]) for n, tick in enumerate(ticks)]
    begins = messages[-1][0] + 40
    messages += [
        (begins + int(n * MESSAGE), 0, [(side, tick, -100 - n)]) for n, tick in enumerate(ticks)
    ]
    return messages


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_six_levels_emptied_back_to_back_are_answered_as_fast_as_any(side):
    messages = staircase(side.value, 12)[: 12 + 6]
    rows, disagreements = run(messages)
    assert [top for _, top, _ in rows] == expected(messages)[0]
    assert {latency for *_, latency in rows} == {TopOfBook.LATENCY}
    assert disagreements == 0


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_an_exhausted_list_is_answered_by_the_ladder_and_recovers(side):
    messages = staircase(side.value, 18)
    rest = messages[-1][0] + 40
    messages += [(cycle + rest, *other) for cycle, *other in staircase(side.value, 6)]
    rows, disagreements = run(messages)
    assert [top for _, top, _ in rows] == expected(messages)[0]
    latencies = [latency for *_, latency in rows]
    assert set(latencies) == {TopOfBook.LATENCY, TopOfBook.SLOW_LATENCY}
    # The first level that is added, and those that are emptied.
    assert set(latencies[-7:]) == {TopOfBook.LATENCY}
    assert disagreements == 0


def random_messages(rng, count, *, spread, replaces):
    """Messages near the best, from a few ticks, so that levels empty and come back all the time."""
    book, messages, at = Plain(), [], 10.0
    while len(messages) < count:
        at += MESSAGE if rng.random() < 0.9 else rng.randrange(3, 30)
        symbol = 0 if rng.random() < 0.8 else 1
        side = rng.randrange(2)
        levels = book.levels[symbol, side]

        def taken(levels=levels, side=side):
            ranked = sorted(levels, reverse=side == Side.BUY.value)
            tick = ranked[min(len(ranked) - 1, int(rng.expovariate(1 / 3)))]
            shares = levels[tick] if rng.random() < 0.8 else rng.randint(1, levels[tick])
            return side, tick, -shares

        centre = TICKS // 2 + (spread if side == Side.SELL.value else -spread)
        added = side, min(TICKS - 1, max(0, int(rng.gauss(centre, 6)))), rng.randint(1, 3)
        if not levels or (len(levels) < 16 and rng.random() < 0.5):
            changes = [added]
        elif rng.random() < replaces:
            changes = [taken(), added]
            at += 2
        else:
            changes = [taken()]
        for change in changes:
            book.change(symbol, *change)
        messages.append((int(at), symbol, changes))
    return messages


@pytest.mark.parametrize(("spread", "replaces"), [(5, 0.0), (5, 0.3), (0, 0.1), (-5, 0.5)])
def test_every_top_is_right_whatever_the_levels_do(spread, replaces):
    rng = random.Random(f"{spread} {replaces}")
    messages = random_messages(rng, 600, spread=spread, replaces=replaces)
    rows, disagreements = run(messages)
    for symbol, tops in expected(messages).items():
        assert [top for of, top, _ in rows if of == symbol] == tops
    # A fast answer that meets a slow one waits for it.
    fast, slow = TopOfBook.LATENCY, TopOfBook.SLOW_LATENCY
    assert {latency for *_, latency in rows} <= {fast, fast + 1, slow}
    assert sum(latency == fast for *_, latency in rows) > 0.95 * len(rows)
    assert disagreements == 0


@pytest.mark.parametrize("above", [0, 8])
def test_a_total_that_passes_32_bits_is_never_called_exact(above):
    """The level is the best, or comes to be it from behind the list."""
    better = [(10 + 16 * n, 0, [(1, 2 + n, 7)]) for n in range(above)]
    begins = 10 + 16 * above
    fills = [(begins + 16 * n, 0, [(1, 40, shares)]) for n, shares in enumerate((2**32 - 2, 1))]
    exact = []
    run(better + fills, exact=exact)
    assert all(exact)
    overflows = [(begins + 40, 0, [(1, 40, 3)])]
    rows, told = [], []
    rows, _ = run(better + fills + overflows, exact=told)
    assert told[: len(exact)] == exact and len(told) == len(exact) + (not above)
    if not above:
        assert rows[-1][1] == (0, 0, BASE + CENT * 40, 2) and told[-1] == 0
