"""The mixes of the line-rate bench are what their names say, and what an exchange may send."""

import numpy as np
import pytest

from tickgate.host.config import units
from tickgate.sim.bench import market_config
from tickgate.sim.market import INSTRUMENTS
from tickgate.sim.mixes import MIXES, STRETCH
from tickgate.sim.model.book import BookModel, Window
from tickgate.sim.model.feed import messages as decoded

TICKS = 4096
COUNT = 4_000


def model() -> BookModel:
    config = market_config(INSTRUMENTS, ticks=TICKS)
    windows = {
        index: Window(base=units(symbol.window_base_usd), tick=units(symbol.tick_usd), ticks=TICKS)
        for index, symbol in enumerate(config.symbols)
    }
    locates = {symbol.stock_locate: index for index, symbol in enumerate(config.symbols)}
    return BookModel(symbols=locates, windows=windows)


def octets(batch) -> bytes:
    if not len(batch):
        return b""
    begin = int(batch.begin[0]) - 2
    return batch.octets[begin : int(batch.begin[-1] + batch.size[-1])].tobytes()


@pytest.mark.parametrize("mix", MIXES)
def test_a_mix_has_as_many_messages_as_asked_for_and_leaves_no_doubt(mix):
    book, count = model(), 0
    for stretch in MIXES[mix](COUNT, 5):
        count += len(stretch.timed)
        for message in decoded(octets(stretch.feeding) + octets(stretch.timed)):
            book.apply(message, 1)
            tops = [book.levels(n, side)[:1] for n in range(2) for side in (0, 1)]
            for bid, ask in (tops[:2], tops[2:]):
                assert not bid or not ask or bid[0][0] < ask[0][0]
    assert count == COUNT
    assert not any(book.counters.values())


def kinds(mix: str) -> set[str]:
    return {
        chr(type_) for stretch in MIXES[mix](COUNT, 5) for type_ in np.unique(stretch.timed.types)
    }


def test_the_types_are_those_of_the_names():
    assert kinds("deletes") == {"D"}
    assert kinds("one order, add and delete") == {"A", "D"}
    assert kinds("one order, executes") == {"E"}
    assert kinds("replace storm") == {"U"}
    assert kinds("one price level") == {"A", "X", "E", "D"}
    assert kinds("real mix") >= {"A", "D", "U", "E", "X", "F", "C", "P"}


def test_long_mixes_go_on_where_a_stretch_ends():
    for mix in ("one order, executes", "replace storm", "one price level"):
        book = model()
        first, second = MIXES[mix](STRETCH + 8, 5)
        assert (len(first.timed), len(second.timed), len(second.feeding)) == (STRETCH, 8, 0)
        for batch in (first.feeding, first.timed, second.timed):
            for message in decoded(octets(batch)):
                book.apply(message, 1)
        assert not any(book.counters.values())


def test_one_symbol_is_one_symbol():
    (stretch,) = MIXES["one symbol"](COUNT, 5)
    assert set(np.unique(stretch.timed.header("stock_locate")).tolist()) == {
        0, INSTRUMENTS[0].locate,
    }  # fmt: skip
