"""Generated order flow: reproducible, consistent, and shaped like a day of the real market."""

import time
from collections import Counter
from itertools import pairwise

import pytest

from tickgate.sim import market
from tickgate.sim.model import feed
from tickgate.sim.model.book import BookModel, Window

LOCATES = {instrument.locate: n for n, instrument in enumerate(market.INSTRUMENTS)}


@pytest.fixture(scope="module")
def day():
    return market.generate()


@pytest.fixture(scope="module")
def decoded(day):
    return list(feed.messages(day.data))


@pytest.fixture(scope="module")
def tops(decoded):
    """Every change of every top, with the type of the message that caused it."""
    book = BookModel(
        symbols=LOCATES,
        windows=dict.fromkeys(LOCATES.values(), Window(base=0, tick=1, ticks=1 << 32)),
    )
    rows = [(message.type, book.apply(message, n)) for n, message in enumerate(decoded, 1)]
    assert not any(book.counters.values())
    return [row for row in rows if row[1] is not None]


def test_the_same_seed_gives_the_same_octets_and_another_seed_others():
    one, again, other = (market.generate(seed=seed, messages=5000) for seed in (3, 3, 4))
    assert one == again
    assert one.data != other.data


def test_there_are_as_many_messages_as_asked_for(day, decoded):
    assert day.messages == len(decoded) == 200_000
    assert market.generate(messages=4321).messages == 4321


def test_a_day_is_generated_in_seconds():
    start = time.monotonic()
    market.generate(seed=2)
    assert time.monotonic() - start < 15


def test_the_day_starts_as_a_day_does(decoded):
    assert [m.code for m in decoded if m.type == "S"] == ["O", "S", "Q"]
    assert decoded[0].code == "O"
    begun = next(n for n, m in enumerate(decoded) if m.code == "S" and m.type == "S")
    opened = next(n for n, m in enumerate(decoded) if m.code == "Q")
    assert [m.type for m in decoded[1:begun]] == ["R", "H", "Y"] * 8
    assert {m.code for m in decoded[1:begun] if m.type == "H"} == {"T"}
    assert {m.type for m in decoded[begun + 1 : opened]} == {"A"}
    assert decoded[opened].timestamp == 34_200 * 10**9
    assert {m.locate for m in decoded[begun + 1 : opened]} == set(LOCATES)


def test_the_directory_names_the_symbols(day):
    directory = [block for block in feed.blocks(day.data) if block[:1] == b"R"]
    names = [block[11:19].decode().rstrip() for block in directory]
    assert names == [instrument.name for instrument in day.instruments]


def test_the_mix_is_that_of_a_full_nasdaq_day(decoded):
    counts = Counter(message.type for message in decoded)
    assert set(market.MIX) == set(counts) - set("SRHY")
    for type_, share in (("A", 43.6), ("D", 42.6), ("U", 8.1), ("E", 2.1), ("X", 1.0)):
        assert 100 * counts[type_] / len(decoded) == pytest.approx(share, rel=0.1, abs=0.1)
    assert min(counts[type_] for type_ in "FCP") > 400


def test_time_never_falls_and_comes_in_bursts(decoded):
    times = [message.timestamp for message in decoded]
    steps = [b - a for a, b in pairwise(times)]
    assert min(steps) == 0
    traded = sorted(steps[-100_000:])
    assert traded[50_000] < 1000
    assert traded[-2000] > 500_000
    assert times[-1] < 24 * 3600 * 10**9


def test_references_rise_in_a_symbol_but_not_across_symbols(decoded):
    taken = [
        (m.locate, m.new_reference if m.type == "U" else m.reference)
        for m in decoded
        if m.type in "AFU"
    ]
    references = [reference for _, reference in taken]
    assert len(set(references)) == len(references)
    for locate in LOCATES:
        of_symbol = [reference for where, reference in taken if where == locate]
        assert of_symbol == sorted(of_symbol)
    falls = sum(b < a for a, b in pairwise(references))
    assert falls > len(references) / 10


def test_no_book_is_locked_or_crossed(tops):
    assert all(
        top.bid_price < top.ask_price for _, top in tops if top.bid_present and top.ask_present
    )


def test_prices_move_and_stay_in_reach(tops):
    for n, instrument in enumerate(market.INSTRUMENTS):
        ticks = [
            (top.bid_price + top.ask_price) / 2 / instrument.tick
            for _, top in tops
            if top.symbol == n and top.bid_price > market.STUB_BID
            and top.ask_price and top.ask_price < market.STUB_ASK
        ]  # fmt: skip
        assert max(ticks) - min(ticks) > 30, instrument.name
        assert max(abs(tick - instrument.price / instrument.tick) for tick in ticks) < 500


def test_best_levels_are_improved_and_emptied_on_both_sides(tops):
    emptied, improved = Counter(), Counter()
    before = {}
    for type_, top in tops:
        last = before.get(top.symbol, top)
        before[top.symbol] = top
        emptied["bid", type_] += top.bid_price < last.bid_price
        emptied["ask", type_] += top.ask_price > last.ask_price > 0
        improved["bid", type_] += top.bid_price > last.bid_price
        improved["ask", type_] += top.ask_price < last.ask_price
    for side in ("bid", "ask"):
        assert improved[side, "A"] > 500
        assert emptied[side, "D"] > 500
        assert emptied[side, "U"] > 50
        assert emptied[side, "E"] > 50


def test_order_sizes_are_mostly_round_lots(decoded):
    sizes = [message.shares for message in decoded if message.type == "A"]
    assert 0.6 < sum(size % 100 == 0 for size in sizes) / len(sizes) < 0.9
    assert Counter(sizes).most_common(1)[0][0] == 100
    assert min(sizes) >= 1 and max(sizes) <= 10_000


def test_prices_lie_on_the_tick_of_their_symbol(decoded):
    for message in decoded:
        if message.type in "AFU":
            instrument = market.INSTRUMENTS[LOCATES[message.locate]]
            assert message.price % instrument.tick == 0
            assert 0 < message.price <= market.STUB_ASK


@pytest.mark.parametrize(
    "arguments",
    [
        {"messages": 100},
        {"instruments": ()},
        {"instruments": (market.INSTRUMENTS[0], market.INSTRUMENTS[0])},
        {"rate": 0},
    ],
)
def test_what_cannot_be_generated_is_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        market.generate(**arguments)


@pytest.mark.parametrize(
    "values",
    [
        {"locate": 0, "price": 100_0000},
        {"locate": 1, "price": 100_0050},
        {"locate": 1, "price": 1_0000},
    ],
)
def test_an_impossible_instrument_is_refused(values):
    with pytest.raises(ValueError, match="must be"):
        market.Instrument(name="X", **values)
