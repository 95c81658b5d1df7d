"""The card at the full line rate and beyond it: is every message taken, and none kept waiting?

Ref: docs/architecture.md, "Throughput".
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np

from tickgate.hdl.book import OrderBook
from tickgate.hdl.core import TickToTrade
from tickgate.host.config import Config, FeedConfig, units
from tickgate.host.driver import Driver
from tickgate.sim.bench import market_config
from tickgate.sim.frames import Frames, Packer, arrange, line_rate_gaps
from tickgate.sim.market import INSTRUMENTS
from tickgate.sim.messages import Messages
from tickgate.sim.mixes import MIXES, STRETCH
from tickgate.sim.orders import LiveOrders
from tickgate.sim.result import DROPS
from tickgate.sim.session import FEED_ADDRESS, FEED_ADDRESS_B, FEED_PORT, FEED_PORT_B
from tickgate.sim.trace import Trace
from tickgate.sim.virtual import CLOCK_PERIOD_PS, Card
from tickgate.spec import ethernet

__all__ = [
    "DOUBTS",
    "GAPS",
    "KINDS",
    "LINES",
    "PACKINGS",
    "LineRate",
    "Load",
    "Waiting",
    "line_rate",
]

PACKINGS = {"single": 1, "full": STRETCH}
"""Messages in a datagram, as far as its frame has room."""

GAPS = {"wire": True, "none": False}
"""Between frames there is what the wire imposes, or nothing at all."""

LINES = {
    "one": ((FEED_ADDRESS, FEED_PORT),),
    "both": ((FEED_ADDRESS, FEED_PORT), (FEED_ADDRESS_B, FEED_PORT_B)),
}
"""Where each frame is sent, one copy after the other."""

KINDS = tuple(product(LINES, PACKINGS, GAPS))
"""All kinds of load: lines, packing and gap."""

DUPLICATES = "feed_duplicate_datagrams"
"""Counts the copies that come second, and must count nothing else."""

DOUBTS = (
    "book_unknown_reference",
    "book_over_execution",
    "book_duplicate_reference",
    "book_level_overflow",
    "book_disagreement",
)
"""Counters of messages that the books did not take as they were meant."""

DRAIN = 512
SLOWEST = TickToTrade.BOOK_AT + OrderBook.SLOW_LATENCY
"""Cycles from t0 in which a message is answered at the latest if none before it is in its way."""

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one mix in one kind of frames came to.

    Parameters
    ----------
    name : str
        Of the mix, its frames, its gaps and its lines.
    mix, frames, gap, lines : str
        Keys of `MIXES`, `PACKINGS`, `GAPS` and `LINES`.
    offered, accepted : int
        Messages sent, on however many lines; counted by the card. Those that only feed the books
        are in neither.
    second_copies, duplicates : int
        Datagrams that line B brought after line A; that the card counted as had before.
    dropped : int
        What `DROPS` and `DOUBTS` counted, of all that was sent. Of the duplicates, only by how many
        they are not the second copies.
    queue_high : int
        Messages, at most, that waited for an answer longer than `SLOWEST` cycles at one time. The
        receive path holds no queue, so there is none to be read.
    wrong_books : int
        Symbols whose last top is not what the orders that live at the end amount to.
    events_lost : int
        Events that found their queue full: nobody reads it meanwhile, and nothing waits for it.
    tops, orders : int
        Changes of a top of book; orders that left.
    cycles : int
        For the timed messages.
    octets : int
        On the wire in these, preamble and inter-frame gap included.
    messages_per_second : float
        At the nominal clock.
    line_load : float
        Octets on the wire in a cycle, by the width: 1 is the line rate.
    """

    name: str
    mix: str
    frames: str
    gap: str
    lines: str
    offered: int
    accepted: int
    second_copies: int
    duplicates: int
    dropped: int
    queue_high: int
    wrong_books: int
    events_lost: int
    tops: int
    orders: int
    cycles: int
    messages_per_second: float
    line_load: float

    @property
    def kept_up(self) -> bool:
        """True if nothing was lost or kept waiting."""
        return self.accepted == self.offered and not (
            self.dropped or self.queue_high or self.wrong_books
        )


@dataclass(frozen=True, kw_only=True)
class LineRate:
    """All loads of one width."""

    width: int
    seed: int
    loads: list[Load]
    seconds: float

    @property
    def offered(self) -> int:
        return sum(load.offered for load in self.loads)

    @property
    def kept_up(self) -> bool:
        """True if the card did under every load."""
        return all(load.kept_up for load in self.loads)

    def as_dict(self) -> dict:
        """All of it in plain types; the names are stable."""
        return {
            "width": self.width,
            "seed": self.seed,
            "clock_period_ps": CLOCK_PERIOD_PS[self.width],
            "mixes": [asdict(load) for load in self.loads],
            "offered": self.offered,
            "accepted": sum(load.accepted for load in self.loads),
            "dropped": sum(load.dropped for load in self.loads),
            "queue_high": max(load.queue_high for load in self.loads),
            "wall_seconds": round(self.seconds, 3),
        }


class Waiting:
    """Finds how many messages wait at one time for an answer that is late.

    Members
    -------
    high : int
        The most of them.
    tops : int
        Answers that were examined.
    """

    def __init__(self) -> None:
        self.high = self.tops = 0

    def take(self, trace: Trace) -> None:
        """Takes frames after which the card came to rest."""
        known = np.flatnonzero(trace.top_message >= 0)
        self.tops += len(known)
        told = trace.log.tops["cycle"][known].astype(np.int64)
        due = trace.t0[trace.top_message[known]] + SLOWEST
        late = told > due
        # An answer that is told in the cycle in which another becomes late is out of the way.
        at = np.concatenate([told[late], due[late]])
        step = np.repeat([-1, 1], np.count_nonzero(late))
        waiting = np.cumsum(step[np.lexsort((step, at))])
        self.high = max(self.high, int(waiting.max(initial=0)))


def line_rate(
    *,
    width: int = 8,
    messages: int = 200_000,
    seed: int = 1,
    mixes: Sequence[str] = tuple(MIXES),
    kinds: Sequence[tuple[str, str, str]] = KINDS,
    progress: Progress = lambda what, done, total: None,
    quiet: bool = False,
) -> LineRate:
    """Sends `messages` messages of each mix, split among `kinds` of lines, packings and gaps.

    The card is armed and trades; its books are emptied before each load.

    Raises ValueError for fewer messages than there are kinds, or no mix.
    """
    if messages < len(kinds) or not mixes:
        raise ValueError(f"a load needs a mix, and at least {len(kinds)} messages, not {messages}")
    began = time.perf_counter()
    loads = []
    total = messages // len(kinds) * len(kinds) * len(mixes)
    with Card(width=width, uart_divisor=0, quiet=quiet) as card:
        bench = _Bench(card)
        for mix in mixes:
            for lines, frames, gap in kinds:
                load = bench.run(
                    mix,
                    frames=frames,
                    gap=gap,
                    lines=lines,
                    messages=messages // len(kinds),
                    seed=seed,
                )
                loads.append(load)
                progress(f"width {width}", sum(load.offered for load in loads), total)
    return LineRate(width=width, seed=seed, loads=loads, seconds=time.perf_counter() - began)


class _Bench:
    """A configured card under one load after the other."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._driver = Driver(card.serial)
        self._config = market_config(INSTRUMENTS, ticks=self._driver.identity.ticks)
        self._driver.apply(self._config)

    def run(self, mix: str, *, frames: str, gap: str, lines: str, messages: int, seed: int) -> Load:
        """Runs one load from empty books on."""
        card, driver = self._card, self._driver
        driver.disarm()
        driver.registers.write_many(_listening(lines).registers())
        driver.begin_day()
        for symbol in range(len(self._config.symbols)):
            driver.set_whole(symbol)
        driver.arm()
        card.run(DRAIN)
        card.take()
        before = driver.counters()
        sending = _Sending(
            card,
            self._config,
            ticks=driver.identity.ticks,
            pack=PACKINGS[frames],
            wire=GAPS[gap],
            lines=LINES[lines],
        )
        for stretch in MIXES[mix](messages, seed):
            sending.feed(stretch.feeding)
            sending.time(stretch.timed)
        risen = {
            name: count - before[name] & 0xFFFF_FFFF for name, count in driver.counters().items()
        }
        duplicates = risen[DUPLICATES]
        seconds = sending.cycles * CLOCK_PERIOD_PS[card.width] * 1e-12
        return Load(
            name=f"{mix}, {frames}, {gap}, {lines}",
            mix=mix,
            frames=frames,
            gap=gap,
            lines=lines,
            offered=sending.timed,
            accepted=risen["feed_messages"] - sending.fed,
            second_copies=sending.second_copies,
            duplicates=duplicates,
            dropped=sum(risen[name] for name in (*DROPS, *DOUBTS) if name != DUPLICATES)
            + abs(duplicates - sending.second_copies),
            queue_high=sending.waiting.high,
            wrong_books=sending.wrong_books(),
            events_lost=risen["events_lost"],
            tops=sending.waiting.tops,
            orders=risen["orders_approved"],
            cycles=sending.cycles,
            messages_per_second=round(sending.timed / seconds),
            line_load=round(sending.octets / (sending.cycles * card.width), 4),
        )


def _listening(lines: str) -> FeedConfig:
    """Where the feed comes."""
    (address, port), *others = LINES[lines]
    feed = {"address": ethernet.format_ipv4(address), "port": port}
    for address_b, port_b in others:
        feed |= {"address_b": ethernet.format_ipv4(address_b), "port_b": port_b}
    return FeedConfig.model_validate(feed)


class _Sending:
    """One load on its way, and what is known of it.

    Members
    -------
    fed, timed : int
        Messages that were sent for the others, and those.
    cycles, octets : int
        On the wire in the timed messages, preamble and inter-frame gap included, and in how long.
    second_copies : int
        Frames of line B that were sent.
    """

    def __init__(
        self, card: Card, config: Config, *, ticks: int, pack: int, wire: bool, lines: Sequence
    ) -> None:
        self._card, self._wire = card, wire
        self._packers = [
            Packer(address=address, port=port, pack=pack, line=line)
            for line, (address, port) in enumerate(lines)
        ]
        self._windows = [
            (units(symbol.window_base_usd), units(symbol.tick_usd) * ticks)
            for symbol in config.symbols
        ]
        self._live = LiveOrders(
            {symbol.stock_locate: index for index, symbol in enumerate(config.symbols)}
        )
        self._told = dict.fromkeys(range(len(config.symbols)), (0, 0, 0, 0))
        self.waiting = Waiting()
        self.fed = self.timed = self.cycles = self.octets = self.second_copies = 0

    def feed(self, messages: Messages) -> None:
        """Sends what the next stretch needs."""
        self.fed += len(messages)
        self._send(messages)

    def time(self, messages: Messages) -> None:
        """Sends a stretch and adds up its time."""
        self.timed += len(messages)
        cycles, octets = self._send(messages)
        self.cycles += cycles
        self.octets += octets

    def wrong_books(self) -> int:
        """Symbols whose last top is not what their live orders amount to."""
        return sum(self._best(symbol) != told for symbol, told in self._told.items())

    def _send(self, messages: Messages) -> tuple[int, int]:
        """Sends messages and lets the card come to rest; cycles and octets on the wire."""
        card = self._card
        frames = self._frames(messages)
        self.second_copies += int(np.count_nonzero(frames.line))
        gaps = line_rate_gaps(frames.lengths, width=card.width) if self._wire else 0
        before = card.cycle
        card.send(frames.octets, frames.lengths, gap=gaps)
        cycles = card.cycle - before
        card.run(DRAIN)
        self._live.update(frames)
        trace = Trace(frames=frames, log=card.take(), width=card.width, tx_gap=0)
        self.waiting.take(trace)
        columns = (trace.log.tops[name].tolist() for name in _TOLD)
        for symbol, *told in zip(*columns, strict=True):
            self._told[symbol] = tuple(told)
        around = ethernet.PREAMBLE_SIZE + ethernet.INTERFRAME_GAP
        return cycles, int(frames.lengths.sum()) + around * len(frames.lengths)

    def _frames(self, messages: Messages) -> Frames:
        """The frames of all lines: each of the first, then its copies."""
        parts = [packer.frames(messages) for packer in self._packers]
        count = len(parts[0].lengths)
        return arrange(parts, np.arange(len(parts) * count).reshape(len(parts), count).T.ravel())

    def _best(self, symbol: int) -> tuple[int, int, int, int]:
        """Best bid and its shares, best ask and its shares, of what the window can show."""
        base, span = self._windows[symbol]
        best = []
        for levels, pick in zip(self._live.depth(symbol), (max, min), strict=True):
            prices = [price for price in levels if base <= price < base + span]
            price = pick(prices, default=0)
            best += [price, levels.get(price, 0)]
        return tuple(best)


_TOLD = ("symbol", "bid_price", "bid_shares", "ask_price", "ask_shares")
