"""Mixes of messages for the bench of the line rate, generated in bulk from a seed.

Ref: docs/architecture.md, "Throughput"; NASDAQ TotalView-ITCH 5.0, sections 4.3 to 4.5.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tickgate.sim import market
from tickgate.sim.capture import ItchFile
from tickgate.sim.market import INSTRUMENTS, Instrument
from tickgate.sim.messages import Messages
from tickgate.sim.tape import ROW, write

__all__ = ["MIXES", "STRETCH", "Stretch"]

STRETCH = 1 << 15
"""Messages at most that are sent without a rest; also the orders that feed them."""

REPLACED = 64
"""Orders that a storm of replaces turns round."""

REACH = 200
"""Ticks from the first price within which orders lie; the books never cross."""

SHARES = 100
MOST_SHARES = (1 << 32) - 1
OPEN = 34_200_000_000_000
FIRST_REFERENCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What goes in without a rest (`timed`), and before it what the books need for it."""

    feeding: Messages
    timed: Messages


def _blank(count: int, types: str, *, first: int) -> np.ndarray:
    """Rows with `types` in turn; `first` is the number of the first one in the whole mix."""
    rows = np.zeros(count, ROW)
    rows["type"] = np.resize(np.frombuffer(types.encode(), np.uint8), count)
    rows["time"] = OPEN + first + np.arange(count)
    rows["shares"] = SHARES
    return rows


def _place(rows: np.ndarray, random: np.random.Generator, instruments: Sequence[Instrument]):
    """Gives each row a symbol, a side and a price that does not cross."""
    count = len(rows)
    which = random.integers(0, len(instruments), count)
    sells = random.random(count) < 0.5
    away = random.integers(1, REACH, count) * np.where(sells, 1, -1)
    prices = np.array([instrument.price for instrument in instruments])
    ticks = np.array([instrument.tick for instrument in instruments])
    rows["locate"] = np.array([instrument.locate for instrument in instruments])[which]
    rows["side"] = np.where(sells, ord("S"), ord("B"))
    rows["price"] = prices[which] + away * ticks[which]


def _deletes(random: np.random.Generator, first: int, count: int):
    adds = _blank(count, "A", first=first)
    adds["reference"] = FIRST_REFERENCE + first + np.arange(count)
    _place(adds, random, INSTRUMENTS)
    deletes = adds[random.permutation(count)]
    deletes["type"] = ord("D")
    return adds, deletes


def _add_delete(_random: np.random.Generator, first: int, count: int):
    rows = _blank(count, "AD", first=first)
    rows["reference"] = FIRST_REFERENCE
    _place(rows, np.random.default_rng(0), INSTRUMENTS[:1])
    rows["side"], rows["price"] = rows["side"][0], rows["price"][0]
    return rows[:0], rows


def _executes(_random: np.random.Generator, first: int, count: int):
    order = _blank(1, "A", first=first)
    order["reference"] = FIRST_REFERENCE
    order["shares"] = MOST_SHARES
    _place(order, np.random.default_rng(0), INSTRUMENTS[:1])
    rows = np.repeat(order, count)
    rows["type"] = ord("E")
    rows["shares"] = 1
    return (order if not first else order[:0]), rows


def _replaces(random: np.random.Generator, first: int, count: int):
    adds = _blank(REPLACED, "A", first=0)
    _place(adds, np.random.default_rng(0), INSTRUMENTS)
    adds["reference"] = FIRST_REFERENCE + np.arange(REPLACED)
    number = first + np.arange(count)
    rows = adds[number % REPLACED]
    rows["type"] = ord("U")
    rows["reference"] = FIRST_REFERENCE + number
    rows["new_reference"] = FIRST_REFERENCE + REPLACED + number
    # The side stays with the order: a step towards the other side would cross the book.
    ticks = np.array([instrument.tick for instrument in INSTRUMENTS])
    owner = np.argmax(
        rows["locate"][:, None] == np.array([instrument.locate for instrument in INSTRUMENTS]), 1
    )
    away = random.integers(0, REACH, count) * np.where(rows["side"] == ord("S"), 1, -1)
    rows["price"] = rows["price"] + away * ticks[owner]
    return (adds if not first else adds[:0]), rows


def _one_level(_random: np.random.Generator, first: int, count: int):
    rows = _blank(count, "AXED", first=first)
    rows["reference"] = FIRST_REFERENCE + 1 + (first + np.arange(count)) // 4
    _place(rows, np.random.default_rng(0), INSTRUMENTS[:1])
    rows["side"], rows["price"] = rows["side"][0], rows["price"][0]
    rows["shares"][rows["type"] != ord("A")] = SHARES // 3
    order = rows[:1].copy()
    order["reference"] = FIRST_REFERENCE
    return (order if not first else order[:0]), rows


def _bulk(make: Callable) -> Callable[[int, int], Iterator[Stretch]]:
    """A mix whose stretches `make` gives as rows: those that feed it and those that are timed."""

    def mix(messages: int, seed: int) -> Iterator[Stretch]:
        random = np.random.default_rng(seed)
        for first in range(0, messages, STRETCH):
            feeding, timed = make(random, first, min(STRETCH, messages - first))
            yield Stretch(feeding=write(feeding), timed=write(timed))

    return mix


def _market(instruments: Sequence[Instrument]) -> Callable[[int, int], Iterator[Stretch]]:
    """The mix of a real day, in a generated market."""

    def mix(messages: int, seed: int) -> Iterator[Stretch]:
        least = LEAST_MARKET + messages
        data = market.generate(seed=seed, messages=least, instruments=instruments).data
        nothing = write(np.zeros(0, ROW))
        left = messages
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "market.itch"
            path.write_bytes(data)
            for batch in ItchFile(path).batches(STRETCH):
                part = batch.of(slice(0, left))
                left -= len(part)
                if len(part):
                    yield Stretch(feeding=nothing, timed=part)

    return mix


LEAST_MARKET = 2_000
"""More than the messages with which a generated day begins."""

MIXES: dict[str, Callable[[int, int], Iterator[Stretch]]] = {
    "deletes": _bulk(_deletes),
    "one order, add and delete": _bulk(_add_delete),
    "one order, executes": _bulk(_executes),
    "replace storm": _bulk(_replaces),
    "one price level": _bulk(_one_level),
    "one symbol": _market(INSTRUMENTS[:1]),
    "real mix": _market(INSTRUMENTS),
}
"""By name, what gives the stretches of a mix: of so many timed messages in all, from a seed."""
