"""The card against the model of the book: generated messages that aim at hazards, by the million.

Ref: docs/architecture.md, "Verification".
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tickgate.hdl.book import OrderBook
from tickgate.hdl.book.types import Geometry
from tickgate.hdl.core import TickToTrade
from tickgate.host.config import Config, usd
from tickgate.host.driver import Driver
from tickgate.sim.check import Checker, Difference
from tickgate.sim.frames import Frames, Packer, line_rate_gaps
from tickgate.sim.hazards import CENT, SHAPES, Arena, generate
from tickgate.sim.latency import statistics
from tickgate.sim.session import FEED_ADDRESS, FEED_PORT, SESSION
from tickgate.sim.tape import write
from tickgate.sim.trace import Trace
from tickgate.sim.virtual import SMALL, Card
from tickgate.spec import ethernet

__all__ = ["ARENA", "PACES", "ROUND", "Budget", "Outcome", "campaign"]

SYMBOLS, TICKS = SMALL["symbols"], SMALL["ticks"]
BASE = 500_000
"""Of a small window, so that prices leave it and return; in 1e-4 USD."""

ARENA = Arena(
    locates=tuple(range(101, 101 + SYMBOLS)),
    base=BASE,
    ticks=TICKS,
    set_bits=Geometry(symbols=SYMBOLS, ticks=TICKS, orders=SMALL["orders"]).set_bits,
)

ROUND = 20_000
"""Messages of one shape, from empty books on."""

DRAIN = 128
"""Cycles after which the card is at rest."""

PAUSE = 40
"""Idle cycles, at most, of a random pause before a frame."""

PACES = ("back to back", "line rate", "pauses")
"""No idle cycle between frames; what the wire imposes; random pauses before some of the frames."""

Progress = Callable[[str, int, int | None], None]


@dataclass
class Outcome:
    """What a campaign came to.

    Members
    -------
    messages, rows : int
        Sent; changes of a top of book that were compared.
    by_shape : Counter
        Messages by shape.
    to_top : Counter
        Tops by cycles after t0.
    late : int
        Of these, how many `Budget` counts as late.
    difference : Difference or None
        The first one, which ended the campaign; then `shape`, `width` and `seed` are of its round.
    """

    messages: int = 0
    rows: int = 0
    cycles: int = 0
    seconds: float = 0.0
    abandoned: int = 0
    by_shape: Counter[str] = field(default_factory=Counter)
    to_top: Counter[int] = field(default_factory=Counter)
    late: int = 0
    difference: Difference | None = None
    shape: str = ""
    width: int = 0
    seed: int = 0
    round_messages: int = 0

    def as_dict(self) -> dict:
        """All of it in plain types; the names are stable."""
        difference = self.difference
        return {
            "messages": self.messages,
            "rows": self.rows,
            "cycles": self.cycles,
            "seconds": round(self.seconds, 3),
            "lost_books": self.abandoned,
            "by_shape": dict(self.by_shape),
            "late": self.late,
            "t0_to_top": statistics(self.to_top),
            "t0_to_top_cycles": {
                str(cycles): self.to_top[cycles] for cycles in sorted(self.to_top)
            },
            "difference": difference
            and {
                "shape": self.shape,
                "width": self.width,
                "seed": self.seed,
                "messages": self.round_messages,
                "what": difference.what,
                "message": difference.message,
                "where": difference.where,
                "card": difference.card,
                "model": difference.model,
            },
        }

    @property
    def again(self) -> str:
        """The command that shows the difference again."""
        return (
            f"tickgate campaign --width {self.width} --shape '{self.shape}' --seed {self.seed} "
            f"--messages {self.round_messages}"
        )


class Budget:
    """Checks the cycle in which each top of book is told.

    Every top comes `FAST` to `SLOW` cycles after t0. It comes within `FAST + 1` (a fast answer may
    have to let one of another symbol pass) unless so many messages took from its symbol that a
    list of best levels may be exhausted: `LEVELS`, with no pause of `REST` cycles, in which a list
    is whole again.

    Or unless the list was not made whole in its pause, because so many others grew in it. Tops that
    are late for that are counted, and are too many beyond `FEW` and one in `ONE_IN`.

    Members
    -------
    to_top : Counter
        Tops by cycles after t0.
    late : int
        Those later than `FAST + 1` without an exhausted list.
    """

    FAST = TickToTrade.BOOK_AT + OrderBook.LATENCY
    SLOW = TickToTrade.BOOK_AT + OrderBook.SLOW_LATENCY
    LEVELS = Geometry.LEVELS
    REST = 2 * LEVELS * OrderBook.SLOW_LATENCY
    FEW, ONE_IN = 1, 100_000

    def __init__(self, locates: Sequence[int]) -> None:
        self._index = np.full(1 << 16, -1, np.int64)
        self._index[list(locates)] = np.arange(len(locates))
        self._symbols = len(locates)
        self.to_top: Counter[int] = Counter()
        self.late = 0

    def compare(self, trace: Trace) -> Difference | None:
        """Checks one piece, before and after which the card is at rest."""
        messages, tops = trace.frames.messages, trace.log.tops
        known = np.flatnonzero(trace.top_message >= 0)
        at = trace.top_message[known]
        cycles = tops["cycle"][known].astype(np.int64) - trace.t0[at]
        values, counts = np.unique(cycles, return_counts=True)
        self.to_top.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        limit = np.full(len(messages), self.FAST + 1)
        limit[self._excused(trace)] = self.SLOW
        late = (cycles > limit[at]) & (cycles <= self.SLOW)
        self.late += int(np.count_nonzero(late))
        wrong = (cycles < self.FAST) | (cycles > self.SLOW)
        if self.late > self.FEW + self.to_top.total() // self.ONE_IN:
            wrong |= late
        if not wrong.any():
            return None
        first = int(np.argmax(wrong))
        message = int(at[first])
        return Difference(
            what="cycles from t0 to the top of book",
            message=trace.frames.first_index + message,
            where=f"type {chr(messages.types[message])}, t0 in cycle {int(trace.t0[message])}",
            card={"cycles": int(cycles[first])},
            model={"cycles": f"{self.FAST} to {int(limit[message])}"},
        )

    def _excused(self, trace: Trace) -> np.ndarray:
        """True for each message that may find a list exhausted."""
        messages = trace.frames.messages
        takes = np.isin(messages.types, [ord(each) for each in "ECXDU"])
        excused = np.zeros(len(messages), bool)
        symbols = self._index[messages.header("stock_locate").astype(np.int64)]
        for symbol in range(self._symbols):
            which = np.flatnonzero(symbols == symbol)
            if not len(which):
                continue
            begins = np.append(True, np.diff(trace.t0[which]) > self.REST)
            chain = np.cumsum(begins) - 1
            so_far = np.cumsum(takes[which])
            before = (so_far - takes[which])[begins]
            excused[which] = so_far - before[chain] >= self.LEVELS
        return excused


def campaign(
    *,
    messages: int,
    seed: int = 1,
    widths: Sequence[int] = (8,),
    shapes: Sequence[str] = tuple(SHAPES),
    progress: Progress = lambda what, done, total: None,
    quiet: bool = False,
) -> Outcome:
    """Sends `messages` messages in rounds of every shape through cards of every width.

    A round begins with empty books; round n has the seed `seed` + n. The first difference ends the
    campaign; the outcome tells it.

    Raises ValueError for no messages, widths or shapes.
    """
    if messages < 1 or not widths or not shapes:
        raise ValueError("a campaign needs messages, a width and a shape")
    outcome = Outcome()
    began = time.perf_counter()
    share, rest = divmod(messages, len(widths))
    for place, width in enumerate(widths):
        with Card(width=width, **SMALL, uart_divisor=0, quiet=quiet) as card:
            ring = _Ring(card, outcome)
            for number, name, size in _rounds(share + (place < rest), shapes):
                ring.play(name, size, seed + number)
                progress(f"width {width}", outcome.messages, messages)
                if outcome.difference is not None:
                    break
            outcome.cycles += ring.cycles
        if outcome.difference is not None:
            break
    outcome.seconds = time.perf_counter() - began
    return outcome


def _rounds(messages: int, shapes: Sequence[str]) -> Iterator[tuple[int, str, int]]:
    """Number, shape and size of each round; every shape has its turn, however few messages."""
    size = min(ROUND, -(-messages // len(shapes)))
    number = 0
    while messages:
        yield number, shapes[number % len(shapes)], min(size, messages)
        messages -= min(size, messages)
        number += 1


class _Ring:
    """A configured card on which rounds are played."""

    def __init__(self, card: Card, outcome: Outcome) -> None:
        self._card, self._outcome = card, outcome
        self._driver = Driver(card.serial)
        self._config = _config()
        self._driver.apply(self._config)
        self._counters = self._driver.counters()
        self.cycles = 0

    def play(self, name: str, messages: int, seed: int) -> None:
        """Plays one round and adds it to the outcome."""
        outcome, shape = self._outcome, SHAPES[name]
        rows = generate(shape, arena=ARENA, messages=messages, seed=seed)
        random = np.random.default_rng(seed)
        self._begin()
        checker, budget = self._checker(), Budget(ARENA.locates)
        difference = self._declare_whole(checker)
        packer = Packer(address=FEED_ADDRESS, port=FEED_PORT)
        if difference is None:
            frames = packer.frames(write(rows))
            difference = self._send(frames, checker, budget, random)
        difference = difference or self._end(checker, lossy=shape.overflows)
        outcome.messages += messages
        outcome.rows += checker.tops
        outcome.abandoned += len(checker.abandoned)
        outcome.by_shape[name] += messages
        outcome.to_top.update(budget.to_top)
        outcome.late += budget.late
        if difference is not None:
            outcome.difference = difference
            outcome.shape, outcome.width, outcome.seed = name, self._card.width, seed
            outcome.round_messages = messages

    def _begin(self) -> None:
        self._driver.begin_day()
        self._card.run(DRAIN)
        self._card.take()

    def _declare_whole(self, checker: Checker) -> Difference | None:
        symbols = list(range(SYMBOLS))
        for symbol in symbols:
            self._driver.set_whole(symbol)
        self._card.run(DRAIN)
        return checker.set_whole(symbols, self._card.take().tops)

    def _send(self, frames: Frames, checker, budget, random) -> Difference | None:
        card = self._card
        gaps = _gaps(frames, width=card.width, random=random)
        before = card.cycle
        card.send(frames.octets, frames.lengths, gap=gaps, drain=DRAIN)
        self.cycles += card.cycle - before
        trace = Trace(frames=frames, log=card.take(), width=card.width, tx_gap=0)
        return checker.compare(trace) or budget.compare(trace)

    def _end(self, checker: Checker, *, lossy: bool) -> Difference | None:
        before, self._counters = self._counters, self._driver.counters()
        risen = {name: count - before[name] & 0xFFFF_FFFF for name, count in self._counters.items()}
        if checker.abandoned and not lossy:
            return Difference(
                what="orders that found no room",
                message=0,
                where="in a shape that leaves room for every order",
                card={"book_store_overflow": risen["book_store_overflow"]},
                model={"book_store_overflow": 0},
            )
        return checker.compare_counters(risen)

    def _checker(self) -> Checker:
        lost = self._counters["book_store_overflow"]
        return Checker(
            config=self._config,
            ticks=TICKS,
            time_ns=lambda cycle: 0,
            store_overflowed=lambda: self._driver.registers.read("book_store_overflow") != lost,
        )


def _gaps(frames: Frames, *, width: int, random: np.random.Generator) -> np.ndarray:
    """Idle cycles before each frame, at a pace that changes after some hundred frames."""
    count = len(frames.lengths)
    wire = line_rate_gaps(frames.lengths, width=width)
    pauses = wire + random.integers(1, PAUSE, count) * (random.random(count) < 0.5)
    stretch = np.cumsum(random.random(count) < 1 / 200)
    pace = random.integers(0, len(PACES), stretch[-1] + 1)[stretch]
    return np.choose(pace, [np.zeros(count, np.int64), wire, pauses]).astype(np.uint32)


def _config() -> Config:
    feed = {"address": ethernet.format_ipv4(FEED_ADDRESS), "port": FEED_PORT}
    symbols = [
        {
            "name": f"HZRD{index}",
            "stock_locate": locate,
            "tick_usd": usd(CENT),
            "window_base_usd": usd(BASE),
            "strategy": {},
            "limits": {},
        }
        for index, locate in enumerate(ARENA.locates)
    ]
    return Config.from_dict({"feed": feed, "session": SESSION, "symbols": symbols})
