"""The shapes of the campaign hold the hazards that they are named after."""

from dataclasses import replace
from functools import cache
from itertools import groupby, pairwise

import numpy as np
import pytest

from tickgate.hdl.book.hashing import hashes
from tickgate.hdl.book.types import Geometry
from tickgate.sim.campaign import ARENA
from tickgate.sim.hazards import CENT, SHAPES, generate
from tickgate.sim.model.book import BookModel, Window
from tickgate.sim.model.feed import BUY, SELL, messages
from tickgate.sim.tape import write

MESSAGES = 4_000
END = ARENA.base + ARENA.ticks * CENT


@cache
def rows(name: str) -> np.ndarray:
    return generate(SHAPES[name], arena=ARENA, messages=MESSAGES, seed=1)


@cache
def applied(name: str):
    """The model after a shape, and each message with the top before and after it."""
    symbols = {locate: index for index, locate in enumerate(ARENA.locates)}
    window = Window(base=ARENA.base, tick=CENT, ticks=ARENA.ticks)
    model = BookModel(symbols=symbols, windows=dict.fromkeys(symbols.values(), window))
    tops = dict.fromkeys(symbols.values())
    for symbol in tops:
        tops[symbol] = model.set_whole(symbol)
    steps = []
    for message in messages(write(rows(name)).octets.tobytes()):
        symbol = symbols[message.locate]
        before = tops[symbol]
        tops[symbol] = model.apply(message, 1) or before
        steps.append((message, before, tops[symbol]))
    return model, steps


def emptied(step) -> bool:
    _, before, after = step
    lower = before.bid_present and (not after.bid_present or after.bid_price < before.bid_price)
    higher = before.ask_present and (not after.ask_present or after.ask_price > before.ask_price)
    return bool(lower or higher)


@pytest.mark.parametrize("name", SHAPES)
def test_the_same_seed_gives_the_same_messages_and_another_one_others(name):
    shape, size = SHAPES[name], {"arena": ARENA, "messages": 500}
    assert (generate(shape, seed=1, **size) == generate(shape, seed=1, **size)).all()
    assert (generate(shape, seed=1, **size) != generate(shape, seed=2, **size)).any()


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "doubtful"])
def test_only_the_doubtful_shape_holds_what_no_exchange_sends(name):
    model, _ = applied(name)
    assert not any(model.counters.values())


def test_the_doubtful_shape_raises_every_doubt():
    model, _ = applied("doubtful")
    for doubt in ("unknown_reference", "over_execution", "duplicate_reference"):
        assert model.counters[doubt] > 10


@pytest.mark.parametrize("name", ["staircase", "staircase of pairs", "staircase on both sides"])
def test_a_staircase_empties_best_levels_many_times_running(name):
    _, steps = applied(name)
    runs = [len(list(run)) for falling, run in groupby(steps, key=emptied) if falling]
    assert max(runs) > 2 * Geometry.LEVELS


def test_a_staircase_of_pairs_empties_two_symbols_in_turn():
    _, steps = applied("staircase of pairs")
    falling = [emptied(step) and step[0].locate for step in steps]
    in_turn = [bool(a and b and a != b) for a, b in pairwise(falling)]
    assert max(len(list(run)) for both, run in groupby(in_turn) if both) >= 10


def test_new_steps_come_exactly_between_the_next_levels():
    model_steps = applied("staircase of all kinds")[1]
    behind = 0
    for message, before, after in model_steps:
        if message.type == "A" and before == after:
            behind += 1
    assert behind > MESSAGES / 20


def test_books_are_locked_and_crossed():
    _, steps = applied("locked and crossed")
    both = [after for _, _, after in steps if after.bid_present and after.ask_present]
    assert sum(top.bid_price == top.ask_price for top in both) > 50
    assert sum(top.bid_price > top.ask_price for top in both) > 50


def test_prices_leave_the_window_on_every_side_and_books_are_exact_again():
    _, steps = applied("edges of the window")
    for side in (BUY, SELL):
        prices = [
            message.price for message, _, _ in steps if message.type == "A" and message.side == side
        ]
        assert min(prices) < ARENA.base and max(prices) >= END
        assert any(price % CENT for price in prices)
    changes = [(before.exact, after.exact) for _, before, after in steps]
    assert changes.count((1, 0)) > 10 and changes.count((0, 1)) > 10


@cache
def set_of(reference: int) -> tuple[int, ...]:
    return tuple(each.of(reference) for each in hashes(ARENA.set_bits))


@pytest.mark.parametrize(("name", "most"), [("sets of the store", 8), ("no room", 17)])
def test_sets_of_the_store_are_filled_to_the_brim(name, most):
    live, fullest = {}, 0
    for message, _, _ in applied(name)[1]:
        if message.type == "A":
            live[message.reference] = message.shares
        elif message.type == "U":
            del live[message.reference]
            live[message.new_reference] = message.shares
        elif message.type in "DXEC":
            live[message.reference] -= message.shares if message.type != "D" else 1 << 40
            if live[message.reference] <= 0:
                del live[message.reference]
        if message.type in "AFU":
            reference = message.new_reference or message.reference
            live.setdefault(reference, message.shares)
            own = set_of(reference)
            fullest = max(fullest, sum(set_of(other) == own for other in live))
    assert fullest == most


def test_an_action_that_no_author_knows_is_an_error():
    with pytest.raises(AttributeError):
        generate(
            replace(SHAPES["staircase"], weights={"vanish": 1}), arena=ARENA, messages=9, seed=1
        )
