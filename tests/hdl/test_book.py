"""The gateware's books against the model, at the pace of the wire."""

import random
from functools import cache

import pytest
from simulated import Simulated

from tickgate.hdl.book import OrderBook
from tickgate.hdl.book.window import reciprocal
from tickgate.hdl.memory import BlockMemory
from tickgate.hdl.stream import MessageKind
from tickgate.sim.model import book as model
from tickgate.sim.model.feed import Message
from tickgate.spec import itch50

SYMBOLS, TICKS, ORDERS = 4, 64, 4096
BASES = {0: 100_0000, 1: 5_0000, 2: 0, 3: 20_0000}
CENT = {0: True, 1: True, 2: False, 3: True}
KINDS = {
    "A": MessageKind.ADD,
    "F": MessageKind.ADD,
    "E": MessageKind.EXECUTE,
    "C": MessageKind.EXECUTE_PRICE,
    "X": MessageKind.CANCEL,
    "D": MessageKind.DELETE,
    "U": MessageKind.REPLACE,
    "P": MessageKind.TRADE,
}


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    monkeypatch.setattr(BlockMemory, "POISONED", True)


def window(symbol):
    return model.Window(base=BASES[symbol], tick=100 if CENT[symbol] else 1, ticks=TICKS)


def a_price(rng, symbol, centre):
    tick = 100 if CENT[symbol] else 1
    choice = rng.random()
    if choice < 0.02:
        return rng.choice([1, 199_999_9900 // 100, BASES[symbol] + TICKS * tick])
    if choice < 0.03:
        return BASES[symbol] + 50 + rng.randrange(TICKS) * tick
    at = min(TICKS - 1, max(0, int(rng.gauss(centre, 4))))
    return BASES[symbol] + at * tick


def order_flow(rng, count, *, symbols=SYMBOLS, mishaps=0.0, live_limit=100):
    """Messages that aim at hazards: few levels, few orders, crossed books, the same order twice."""
    live = {}
    reference = 1000
    flow = []
    while len(flow) < count:
        symbol = rng.randrange(symbols)
        mine = [ref for ref, (of, _) in live.items() if of == symbol]
        action = rng.random()
        fields = {"locate": symbol}
        if rng.random() < mishaps:
            fields.update(type=rng.choice("EXDUC"), reference=rng.choice([1, 2, reference + 50]))
            fields.update(
                shares=rng.randrange(1, 500), new_reference=reference, price=BASES[symbol]
            )
            if mine and rng.random() < 0.4:
                fields.update(type=rng.choice("EX"), reference=rng.choice(mine), shares=100_000)
                live.pop(fields["reference"])
            elif mine and rng.random() < 0.3:
                fields.update(type="A", reference=rng.choice(mine), side=0)
            reference += 1
        elif not mine or (action < 0.45 and len(live) < live_limit):
            fields.update(
                type=rng.choice("AAAF"),
                reference=reference,
                side=rng.randrange(2),
                shares=rng.choice([1, 100, 100, 300, 5000]),
                price=a_price(rng, symbol, TICKS // 2),
            )
            live[reference] = (symbol, fields["shares"])
            reference += rng.choice([1, 1, 4, 4096])
        else:
            target = rng.choice(mine[-6:])
            shares = live[target][1]
            fields["reference"] = target
            if action < 0.70 or shares == 0:
                fields["type"] = "D"
                live.pop(target)
            elif action < 0.85:
                fields.update(
                    type="U",
                    new_reference=target if rng.random() < 0.05 else reference,
                    shares=rng.choice([1, 100, 200]),
                    price=a_price(rng, symbol, TICKS // 2),
                )
                live.pop(target)
                live[fields["new_reference"]] = (symbol, fields["shares"])
                reference += 3
            else:
                part = shares if rng.random() < 0.5 else rng.randrange(1, shares + 1)
                fields.update(
                    type=rng.choice("EECX"),
                    shares=part,
                    price=BASES[symbol],
                    printable=rng.randrange(2),
                )
                live[target] = (symbol, shares - part)
                if part == shares:
                    live.pop(target)
        flow.append(fields)
    return flow


def schedule(flow, width, rng, *, idle=0):
    """Cycles in which reference, new reference and end of each message are on the wire."""
    at, plan = 3 * width, []
    for fields in flow:
        start = at + 2
        size = itch50.MESSAGES[fields["type"]].size
        end = start + size - 1
        plan.append(
            (
                (start + 18) // width,
                (start + 26) // width if fields["type"] == "U" else None,
                end // width,
            )
        )
        at = end + 1
        if idle and rng.random() < 0.5:
            at += rng.randrange(idle) * width
    return plan


def as_model_message(fields):
    blank = dict.fromkeys(Message._fields, 0)
    blank.update(fields)
    return Message(**blank)


def expected_rows(flow, *, gaps=()):
    books = model.BookModel(
        symbols={n: n for n in range(SYMBOLS)}, windows={n: window(n) for n in range(SYMBOLS)}
    )
    rows, trades = [], []
    for symbol in range(SYMBOLS):
        row = books.set_whole(symbol)
        if row:
            rows.append(row)
    for sequence, fields in enumerate(flow, 1):
        row = books.apply(as_model_message(fields), sequence)
        if row:
            rows.append(row)
        if books.trade:
            trades.append(tuple(books.trade))
    return books, rows, trades


@cache
def build(orders: int) -> Simulated:
    return Simulated(OrderBook(symbols=SYMBOLS, ticks=TICKS, orders=orders))


def run(flow, plan, *, orders=ORDERS, gaps=(), wholes=()):
    """Rows, trades and counts; `gaps` and `wholes` (of symbol 0) are cycles of the plan."""
    simulated = build(orders)
    dut = simulated.dut
    finds, news, ends = {}, {}, {}
    for fields, (find, new, end) in zip(flow, plan, strict=True):
        assert find not in finds and end not in ends
        finds[find] = fields["reference"]
        if new is not None:
            assert new not in finds and new not in news
            news[new] = fields["new_reference"]
        ends[end] = fields
    rows, trades, counts = [], [], dict.fromkeys(OrderBook.COUNTERS, 0)
    sequence = 0

    async def feed(ctx):
        nonlocal sequence
        while not ctx.get(dut.ready):
            await ctx.tick()
        for symbol in range(SYMBOLS):
            ctx.set(dut.whole, 1)
            ctx.set(dut.whole_symbol, symbol)
            ctx.set(dut.whole_value, 1)
            await ctx.tick()
            ctx.set(dut.whole, 0)
            await ctx.tick().repeat(16)
        await ctx.tick().repeat(20)
        message = dut.messages.payload
        ctx.set(dut.whole_symbol, 0)
        for cycle in range(max([plan[-1][2], *gaps, *wholes]) + 30):
            ctx.set(dut.gap, cycle in gaps)
            ctx.set(dut.whole, cycle in wholes)
            ctx.set(dut.near, cycle in finds)
            ctx.set(dut.near_new, cycle in news)
            ctx.set(dut.lookup.valid, cycle in finds)
            ctx.set(dut.lookup.payload.reference, finds.get(cycle, 0))
            ctx.set(dut.lookup_new.valid, cycle in news)
            ctx.set(dut.lookup_new.payload.reference, news.get(cycle, 0))
            fields = ends.get(cycle - 1)
            ctx.set(dut.messages.valid, fields is not None)
            if cycle in ends:
                ctx.set(message.symbol, ends[cycle]["locate"])
            if fields is not None:
                sequence += 1
                ctx.set(message.kind, KINDS[fields["type"]])
                ctx.set(message.symbol, fields["locate"])
                ctx.set(message.tracked, 1)
                ctx.set(message.reference, fields["reference"])
                ctx.set(message.new_reference, fields.get("new_reference", 0))
                ctx.set(message.side, fields.get("side", 0))
                ctx.set(message.shares, fields.get("shares", 0))
                ctx.set(message.price, fields.get("price", 0))
                ctx.set(message.printable, fields.get("printable", 1))
                ctx.set(message.sequence, sequence)
                ctx.set(message.stamp, (cycle - 1) & 0xFFFF)
                ctx.set(dut.window_base, BASES[fields["locate"]])
                ctx.set(dut.window_cent, CENT[fields["locate"]])
            await ctx.tick()

    async def watch(ctx):
        cycle = 0
        async for _, _, valid, top, trade_valid, trade, *strobes in ctx.tick().sample(
            dut.tops.valid,
            dut.tops.payload,
            dut.trades.valid,
            dut.trades.payload,
            *(getattr(dut, name) for name in OrderBook.COUNTERS),
        ):
            if valid:
                rows.append(
                    (
                        top.symbol,
                        top.bid_present,
                        top.bid_price,
                        top.bid_shares,
                        top.ask_present,
                        top.ask_price,
                        top.ask_shares,
                        top.exact,
                        top.sequence,
                    )
                )
            if trade_valid:
                trades.append((trade.symbol, trade.price))
            for name, strobe in zip(OrderBook.COUNTERS, strobes, strict=True):
                counts[name] += strobe
            cycle += 1

    simulated.run(feed, background=watch)
    return rows, trades, counts


def by_symbol(rows):
    """Rows of one symbol come in order; those of two symbols may overtake each other."""
    return {n: [tuple(row) for row in rows if row[0] == n] for n in range(SYMBOLS)}


@pytest.mark.parametrize("width", [1, 8])
@pytest.mark.parametrize("symbols", [1, SYMBOLS])
@pytest.mark.parametrize("idle", [0, 12])
def test_every_top_is_that_of_the_model(width, symbols, idle):
    rng = random.Random(f"{width} {symbols} {idle}")
    flow = order_flow(rng, 250 if width == 8 else 80, symbols=symbols)
    _, expected, trades_expected = expected_rows(flow)
    rows, trades, counts = run(flow, schedule(flow, width, rng, idle=idle))
    for symbol, mine in by_symbol(expected).items():
        for n, (want, got) in enumerate(zip(mine, by_symbol(rows)[symbol], strict=False)):
            assert got == want, f"row {n} of symbol {symbol}"
        assert len(by_symbol(rows)[symbol]) == len(mine)
    assert trades == trades_expected
    assert counts == dict.fromkeys(OrderBook.COUNTERS, 0)


def test_mishaps_are_counted_and_take_the_trust_away():
    rng = random.Random("mishaps")
    flow = order_flow(rng, 300, mishaps=0.05)
    books, expected, _ = expected_rows(flow)
    rows, _, counts = run(flow, schedule(flow, 8, rng))
    assert by_symbol(rows) == by_symbol(expected)
    for name in ("unknown_reference", "over_execution", "duplicate_reference"):
        assert books.counters[name] > 0, name
        assert counts[name] == books.counters[name], name
    assert counts["disagreement"] == 0


def test_an_order_without_room_is_counted_and_never_leads_to_an_exact_lie():
    rng = random.Random("overflow")
    flow = order_flow(rng, 800, symbols=1, live_limit=60)
    _, expected, _ = expected_rows(flow)
    rows, _, counts = run(flow, schedule(flow, 8, rng), orders=32)
    assert counts["store_overflow"] > 0
    truth = {}
    state = None
    expected_at = {row[-1]: row for row in by_symbol(expected)[0]}
    for sequence in range(len(flow) + 1):
        state = expected_at.get(sequence, state)
        truth[sequence] = state
    mine = by_symbol(rows)[0]
    assert [row for row in mine if row[7] and row[:7] != truth[row[-1]][:7]] == []
    assert mine[-1][7] == 0


def test_trust_that_goes_by_itself_just_before_a_replace_is_not_forgotten():
    # By turns a loss and the host's word, so many cycles from a message; then all is told.
    around = [-6, -5, -4, -3, -2, -1, 0]
    pace, shares = 64, range(2, 2 * len(around) + 2)
    order = {"locate": 0, "side": 0, "price": BASES[0]}
    flow = [order | {"type": "A", "reference": 1, "shares": 1}]
    flow += [
        order | {"type": "U", "reference": each - 1, "new_reference": each, "shares": each}
        for each in shares
    ]
    starts = [pace * n for n in range(1, len(flow) + 1)]
    plan = [(starts[0] - 3, None, starts[0] - 1), *((at - 3, at - 2, at - 1) for at in starts[1:])]
    gaps = [at + by for at, by in zip(starts[1::2], around, strict=True)]
    wholes = [at + by for at, by in zip(starts[2::2], around, strict=True)]
    rows, _, counts = run(flow, plan, orders=32, gaps=gaps, wholes=wholes)
    exact = {each: [row[7] for row in rows if row[0] == 0 and row[3] == each] for each in shares}
    for lost, whole, by in zip(shares[::2], shares[1::2], around, strict=True):
        assert exact[lost][0] == 0, f"a loss {-by} cycles before a Replace"
        assert any(exact[whole]), f"a book declared whole {-by} cycles before a Replace"
    assert counts == dict.fromkeys(OrderBook.COUNTERS, 0)


def test_the_reciprocal_divides_every_offset_of_the_largest_window():
    factor, shift, zeros = reciprocal(100, 4096 * 100)
    for offset in range(4096 * 100):
        product = offset * factor
        assert product >> shift == offset // 100
        fraction = product & ((1 << shift) - 1)
        assert (fraction >> (shift - zeros) == 0) == (offset % 100 == 0)
