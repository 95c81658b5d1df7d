"""A market that leaves its windows, and what a card and a host make of it."""

import json
from dataclasses import fields

import numpy as np
import pytest

from tickgate.host.cli import main
from tickgate.sim import moving
from tickgate.sim.model.book import BookModel, Top, Window
from tickgate.sim.model.feed import decode
from tickgate.sim.moving import CENT, Tops, exact_cycles, market, measure, truth
from tickgate.sim.tape import write

LOCATES = (7, 9)


def decoded(rows):
    messages = write(rows)
    octets = messages.octets
    return [
        decode(octets[at : at + size].tobytes())
        for at, size in zip(messages.begin.tolist(), messages.size.tolist(), strict=True)
    ]


def test_the_market_is_one_that_a_book_can_follow_and_leaves_its_windows(seed):
    rows = market(locates=LOCATES, middle=5_000, messages=20_000, seed=seed, speed=0.05)
    messages = decoded(rows)
    assert set(rows["type"]) == set(b"AUXED")
    ticks = 64
    window = Window.around(500_000, tick=CENT, ticks=ticks)
    books = BookModel(
        symbols={locate: n for n, locate in enumerate(LOCATES)},
        windows={0: window, 1: window},
    )
    for symbol in range(2):
        books.set_whole(symbol)
    tops = [books.apply(message, n) for n, message in enumerate(messages, start=1)]
    exact = [top.exact for top in tops if top is not None]
    assert not any(books.counters.values()) and 0 < sum(exact) < len(exact)
    best = truth(messages, LOCATES)
    for symbol in range(2):
        bids = [top.bid_price for top in best if top.symbol == symbol and top.bid_present]
        assert max(bids) - min(bids) > ticks * CENT
    # It is a book: its best prices are not crossed for long.
    crossed = [top for top in best if top.bid_present and top.bid_price >= top.ask_price > 0]
    assert len(crossed) < len(best) / 4 and all(top.exact for top in best)
    again = market(locates=LOCATES, middle=5_000, messages=20_000, seed=seed, speed=0.05)
    assert (rows == again).all()


def top(sequence, price, *, exact=1):
    return Top(0, 1, price, 5, 0, 0, 0, exact, sequence)


TRUTH = [top(2, 100), top(5, 200), top(9, 300)]


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        (TRUTH, 0),
        # Not exact: whatever it says.
        ([top(2, 7, exact=0), top(5, 9, exact=0)], 0),
        # The host makes it exact again, between two messages.
        ([top(2, 100), top(5, 1, exact=0), top(0, 200), top(9, 300)], 0),
        ([top(2, 100), top(5, 1, exact=0), top(0, 300)], 0),
        ([top(2, 100), top(5, 200), top(7, 200, exact=0)], 0),
        # A wrong price, a top that is missing, one that is told late, one that is missing at last.
        ([top(2, 100), top(5, 201), top(9, 300)], 2),
        ([top(2, 100), top(9, 300)], 1),
        ([top(2, 100), top(6, 200), top(9, 300)], 1),
        ([top(2, 100), top(5, 200)], 1),
        ([top(2, 100), top(5, 1, exact=0), top(0, 100), top(9, 300)], 1),
    ],
)
def test_every_top_that_is_exact_is_held_against_the_truth(told, wrong):
    checks = Tops(TRUTH, 10)
    # A book without orders is the truth before the first one.
    assert len(checks.compare(told)) == wrong


def test_what_is_exact_is_counted():
    checks = Tops(TRUTH, 10)
    assert not checks.compare([top(2, 100), top(5, 1, exact=0), top(0, 200), top(9, 300)])
    assert (checks.returns, checks.compared) == (1, 2)
    tops = np.array([(12, 1), (15, 0), (16, 0), (30, 1)], [("cycle", "u8"), ("exact", "u1")])
    assert exact_cycles(tops, 10, 35) == 5 + 5
    assert exact_cycles(tops[:0], 10, 35) == 25


def test_windows_move_under_full_load_and_every_top_is_exact_or_flagged(seed):
    measured = measure(width=8, messages=40_000, pack=2, seed=seed, quiet=True)
    assert measured.differences == [] and measured.right
    assert measured.disagreements == 0
    assert measured.recentred >= measured.returned > 0 and measured.cents_moved > 0
    assert 0.3 < measured.exact_share < 1


@pytest.mark.parametrize("differences", [[], ["exact: this, not that"]])
def test_the_command_tells_it(monkeypatch, capsys, differences):
    asked = []

    def measured(**options):
        asked.append(options)
        numbers = dict.fromkeys((field.name for field in fields(moving.MovingBench)), 1)
        return moving.MovingBench(**{**numbers, "disagreements": 0, "differences": differences})

    monkeypatch.setattr(moving, "measure", measured)
    with pytest.raises(SystemExit) as ended:
        main(["bench", "recentre", "--messages", "20000", "--pack", "3", "--json", "-"])
    assert asked == [{"width": 8, "messages": 20_000, "pack": 3, "seed": 1}]
    told = capsys.readouterr()
    assert json.loads(told.out)["differences"] == differences
    assert bool(ended.value.code) == bool(differences)
    assert "books exact again thereby" in told.err
    assert all(each in told.err for each in differences)
