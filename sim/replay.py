"""Plays an input into a virtual card that the host has configured and armed, and takes its answers.

Ref: docs/architecture.md, "The virtual card".
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from tickgate.host.config import Config
from tickgate.host.driver import Driver, Event
from tickgate.sim.capture import InputError
from tickgate.sim.check import Checker, Difference
from tickgate.sim.frames import Frames, line_rate_gaps
from tickgate.sim.latency import Effects, Latency
from tickgate.sim.model.order import SEGMENT_SIZE
from tickgate.sim.result import Result
from tickgate.sim.scan import Scan, Tracked, choose
from tickgate.sim.session import (
    FEED_ADDRESS,
    FEED_PORT,
    default_config,
    match_config,
    tracked_by,
)
from tickgate.sim.source import Source, open_source
from tickgate.sim.trace import Trace
from tickgate.sim.virtual.card import CLOCK_PERIOD_PS, Card
from tickgate.spec import ethernet, moldudp64
from tickgate.spec.events import EventKind

__all__ = [
    "LOCATES",
    "Options",
    "Plan",
    "Progress",
    "Sink",
    "open_card",
    "plan",
    "play",
    "run",
    "unloaded_gap",
]

LOCATES = 1 << 14
"""Stock locates that the card knows."""

SLOWEST = 16
"""Cycles, and a few more, from t0 to the first octet of an order, whatever the message does."""

DRAIN = 512
"""Cycles after the last frame of a piece in which everything that it caused has left."""

TX_GAP = ethernet.PREAMBLE_SIZE + ethernet.INTERFRAME_GAP
EVENT_DEPTH = 1024
# Records that a piece leaves free in the event queue, for what no message causes.
EVENT_RESERVE = 24
UNARMED_PIECE = 1 << 15

Progress = Callable[[str, int, int | None], None]
"""Is told what is being done, how much of it is, and of how much, if that is known."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to replay.

    Parameters
    ----------
    width : int
        Octets a cycle.
    capacity, ticks, orders : int
        Size of the card: symbols, levels of a price window, live orders.
    symbols : sequence of str
        Names of those to follow; none: the busiest, or those of `config`.
    config : Path or None
        A configuration file of the host; None: `default_config`.
    strategy, limits : dict or None
        Replace some parameters and limits of the default configuration.
    pack : int or None
        Messages in a datagram; None: those of one timestamp.
    gap : int or None
        Idle cycles between frames; None: `unloaded_gap`.
    line_rate : bool
        Between frames there are preamble and inter-frame gap only, whatever `gap` says.
    check : bool
        Compare with the golden models.
    direct : bool
        The host has its octets brought to the card without a UART in between.
    """

    width: int = 8
    capacity: int = 16
    ticks: int = 4096
    orders: int = 131072
    symbols: Sequence[str] = ()
    config: Path | None = None
    strategy: dict | None = None
    limits: dict | None = None
    pack: int | None = None
    gap: int | None = None
    line_rate: bool = False
    check: bool = False
    direct: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An input that has been examined, and what the card is to do with it."""

    source: Source
    scan: Scan
    tracked: list[Tracked]
    config: Config
    options: Options


class Sink(Protocol):
    """Someone who wants to see each piece of a replay."""

    def take(self, trace: Trace, effects: np.ndarray) -> None:
        """Is given one piece, and the effect of each top of book in it."""
        ...


def unloaded_gap(width: int) -> int:
    """Idle cycles after which a frame's order has left when the next frame's first message is in.

    Before a message can be in, the headers of its frame have to be.
    """
    order = ethernet.IPV4.size + ethernet.TCP.size + SEGMENT_SIZE + TX_GAP
    headers = ethernet.IPV4.size + ethernet.UDP.size + moldudp64.HEADER.size
    return SLOWEST + -(-max(order - headers, 0) // width)


def _silent(what: str, done: int, total: int | None) -> None:
    """The progress of which nobody wants to know."""


def plan(path: Path, options: Options, progress: Progress = _silent) -> Plan:
    """Examines an input and settles what to follow in it.

    Raises `InputError` or `ConfigError` for what the user has to change.
    """
    source = open_source(path, pack=options.pack)
    scan = Scan()
    for batch, continuous in source.messages():
        scan.update(batch, continuous=continuous)
        progress("examining the input", scan.messages, None)
    if not scan.messages:
        raise InputError(f"{path}: holds no message")
    if options.config is not None:
        config = match_config(options.config, scan, options.symbols)
        if source.destination is not None:
            config = _listen_to(config, source)
        tracked = tracked_by(config, scan, from_start=source.from_start)
        return Plan(source=source, scan=scan, tracked=tracked, config=config, options=options)
    tracked = choose(
        scan,
        capacity=options.capacity,
        locates=LOCATES,
        ticks=options.ticks,
        names=options.symbols,
        from_start=source.from_start,
    )
    address, port = source.destination or (FEED_ADDRESS, FEED_PORT)
    config = default_config(
        scan,
        tracked,
        ticks=options.ticks,
        address=address,
        port=port,
        start_sequence=source.first_sequence,
        strategy=options.strategy,
        limits=options.limits,
    )
    return Plan(source=source, scan=scan, tracked=tracked, config=config, options=options)


def _listen_to(config: Config, source: Source) -> Config:
    """The configuration, listening to where a capture's feed goes.

    Raises `InputError` if it has a line B: of a capture one line is taken.
    """
    if config.feed.address_b is not None:
        raise InputError(
            f"{source.path}: of a capture one line is played; remove feed.address_b and port_b "
            "from the configuration"
        )
    address, port = source.destination
    values = config.model_dump()
    values["feed"] |= {
        "address": ethernet.format_ipv4(address),
        "port": port,
        "start_sequence": source.first_sequence,
    }
    return Config.from_dict(values, source="the configuration")


def run(
    planned: Plan,
    *,
    sinks: Iterable[Sink] = (),
    progress: Progress = _silent,
    quiet: bool = False,
) -> Result:
    """Replays what is planned on a card of that size. `quiet`: no progress while it is built.

    A first difference from the models, or between the card's events and what it did, ends the
    replay; the result tells it. Raises `BuildError` or `HostError` if there is no card to work
    with.
    """
    with open_card(planned, quiet=quiet) as card:
        return play(planned, card, sinks=sinks, progress=progress)


def open_card(planned: Plan, *, make: type[Card] = Card, quiet: bool = False) -> Card:
    """The card that a plan is made for."""
    options = planned.options
    return make(
        width=options.width,
        symbols=max(options.capacity, len(planned.tracked)),
        ticks=options.ticks,
        orders=options.orders,
        event_depth=EVENT_DEPTH,
        tx_gap=TX_GAP,
        uart_divisor=0 if options.direct else Card.UART_DIVISOR,
        quiet=quiet,
    )


def play(
    planned: Plan, card: Card, *, sinks: Iterable[Sink] = (), progress: Progress = _silent
) -> Result:
    """Replays what is planned on a card that has just been opened for it; as `run` does."""
    return _Replay(planned, card, list(sinks), progress).run()


@dataclass
class _Totals:
    """What adds up over the pieces."""

    messages: int = 0
    tops: int = 0
    orders: int = 0
    refusals: int = 0
    reasons: Counter[int] = field(default_factory=Counter)
    by_symbol: Counter[tuple[int, bool]] = field(default_factory=Counter)
    rows: Counter[int] = field(default_factory=Counter)
    exact_rows: Counter[int] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    events_lost: int = 0
    final: dict[int, dict[str, int]] = field(default_factory=dict)
    order_list: list[dict] = field(default_factory=list)


class _Replay:
    """One replay on one card."""

    def __init__(self, planned: Plan, card: Card, sinks: list[Sink], progress: Progress) -> None:
        self._plan, self._card, self._sinks, self._progress = planned, card, sinks, progress
        self._born = card.cycle
        self._period_ps = CLOCK_PERIOD_PS[planned.options.width]
        self._driver = Driver(card.serial)
        self._config = planned.config
        locates = {symbol.locate: symbol.index for symbol in planned.tracked}
        self._effects = Effects(locates)
        self._latency = Latency()
        self._totals = _Totals()
        self._checker = None
        if planned.options.check:
            self._checker = Checker(
                config=self._config,
                ticks=planned.options.ticks,
                time_ns=self._time_ns,
                store_overflowed=lambda: bool(self._driver.registers.read("book_store_overflow")),
            )

    def run(self) -> Result:
        """Configures, arms, replays, reads and disarms."""
        difference = self._set_up()
        first_cycle, began = self._card.cycle, time.perf_counter()
        total = self._plan.scan.messages
        pieces = self._pieces()
        while difference is None and (piece := next(pieces, None)) is not None:
            difference = self._play(piece)
            self._progress("replaying", self._totals.messages, total)
        wall = time.perf_counter() - began
        cycles = self._card.cycle - first_cycle
        asked = self._card.cycle
        counters = self._driver.counters()
        told = self._card.cycle
        status = self._driver.status()
        if difference is None and self._checker is not None:
            difference = self._checker.compare_counters(counters, cycles=(asked, told))
        self._driver.disarm()
        return self._result(difference, counters, status, cycles, wall)

    def _set_up(self) -> Difference | None:
        self._progress("configuring the card", 0, None)
        driver = self._driver
        driver.apply(self._config)
        driver.begin_day()
        self._card.run(DRAIN)
        self._card.take()
        whole = [symbol.index for symbol in self._plan.tracked if symbol.whole]
        for index in whole:
            driver.set_whole(index)
        self._card.run(DRAIN)
        tops = self._card.take().tops
        driver.arm(self._config)
        self._read_events()
        self._card.take()
        return self._checker.set_whole(whole, tops) if self._checker is not None else None

    def _pieces(self) -> Iterable[Frames]:
        """The frames in pieces that cannot cause more events than the card's queue holds."""
        armed = any(symbol.strategy.enabled for symbol in self._config.symbols)
        records = EVENT_DEPTH - EVENT_RESERVE if armed else UNARMED_PIECE
        feed = self._config.feed
        for frames in self._plan.source.frames((int(feed.address), feed.port)):
            yield from frames.pieces(records)

    def _play(self, frames: Frames) -> Difference | None:
        card = self._card
        await_fcs = self._config.feed.await_fcs
        # What is kept has to be read once more.
        drain = DRAIN + await_fcs * int(frames.lengths.max()) // card.width
        card.send(frames.octets, frames.lengths, gap=self._gaps(frames), drain=drain)
        trace = Trace(
            frames=frames,
            log=card.take(),
            width=card.width,
            tx_gap=TX_GAP,
            await_fcs=await_fcs,
            requests=self._config.rerequest is not None,
        )
        effects = self._effects.classify(trace)
        self._latency.add(trace, effects)
        self._add_up(trace)
        for sink in self._sinks:
            sink.take(trace, effects)
        difference = self._checker.compare(trace) if self._checker is not None else None
        return difference or self._compare_events(trace, self._read_events())

    def _gaps(self, frames: Frames) -> np.ndarray | int:
        """Idle cycles before each frame."""
        options, width = self._plan.options, self._card.width
        if not options.line_rate:
            return unloaded_gap(width) if options.gap is None else options.gap
        return line_rate_gaps(frames.lengths, width=width)

    def _time_ns(self, cycle: int) -> int:
        """The card's time: it counts from its reset."""
        return (cycle - self._born) * self._period_ps // 1000

    def _read_events(self) -> list[Event]:
        events = list(self._driver.events())
        for event in events:
            name = event.kind.name if isinstance(event.kind, EventKind) else str(event.kind)
            self._totals.events[name.lower()] += 1
            self._totals.events_lost += event.lost_before
        return events

    def _add_up(self, trace: Trace) -> None:
        totals, log = self._totals, trace.log
        totals.messages += len(trace.frames.messages)
        totals.tops += len(log.tops)
        symbols = log.tops["symbol"]
        _count(totals.rows, symbols)
        _count(totals.exact_rows, symbols[log.tops["exact"] != 0])
        last = dict(zip(symbols.tolist(), range(len(symbols)), strict=True))
        for symbol, at in last.items():
            row = log.tops[at]
            totals.final[symbol] = {name: int(row[name]) for name in _TOP_COLUMNS}
        verdicts = log.verdicts
        approved = verdicts["approved"] != 0
        totals.orders += int(np.count_nonzero(approved))
        totals.refusals += int(np.count_nonzero(~approved))
        totals.by_symbol.update(zip(verdicts["symbol"].tolist(), approved.tolist(), strict=True))
        totals.reasons.update(verdicts["reasons"][~approved].tolist())
        names = [symbol.name for symbol in self._plan.tracked]
        messages = trace.verdict_message[trace.sent_verdict].tolist()
        for verdict, message, sent in zip(
            verdicts[trace.sent_verdict], messages, trace.sent.tolist(), strict=False
        ):
            totals.order_list.append(
                {
                    "user_ref_num": int(verdict["user_ref_num"]),
                    "symbol": names[int(verdict["symbol"])],
                    "side": "BS"[int(verdict["side"])],
                    "price": int(verdict["price"]),
                    "quantity": int(verdict["quantity"]),
                    "message": trace.frames.first_index + message if message >= 0 else 0,
                    "t0_cycle": int(trace.t0[message]) if message >= 0 else 0,
                    "t1_cycle": sent,
                }
            )

    def _compare_events(self, trace: Trace, events: list[Event]) -> Difference | None:
        """What the card reports of its verdicts has to be what it did."""
        if self._totals.events_lost:
            return None
        reported = [
            event for event in events if event.kind in (EventKind.ORDER_SENT, EventKind.REFUSED)
        ]
        verdicts = trace.log.verdicts
        t0 = trace.feed_t0[trace.verdict_message].tolist()
        for at in range(max(len(reported), len(verdicts))):
            told = {} if at >= len(reported) else _told(reported[at])
            done = {} if at >= len(verdicts) else _done(verdicts[at], t0[at])
            if told != done:
                message = int(trace.verdict_message[at]) if at < len(verdicts) else -1
                return Difference(
                    what="event",
                    message=trace.frames.first_index + message if message >= 0 else 0,
                    where="what the event queue tells, and what the card was seen to do",
                    card=told,
                    model=done,
                )
        return None

    def _result(self, difference, counters, status, cycles: int, wall: float) -> Result:
        totals, scan = self._totals, self._plan.scan
        return Result(
            path=str(self._plan.source.path),
            options=self._plan.options,
            tracked=self._plan.tracked,
            scan=scan,
            messages=totals.messages,
            top_changes=totals.tops,
            orders=totals.orders,
            refusals=totals.refusals,
            reasons=dict(totals.reasons),
            verdicts_by_symbol=dict(totals.by_symbol),
            rows_by_symbol=dict(totals.rows),
            exact_rows_by_symbol=dict(totals.exact_rows),
            final_tops=totals.final,
            order_list=totals.order_list,
            events=dict(totals.events),
            events_lost=totals.events_lost,
            counters=counters,
            difference=difference,
            compared=self._compared(),
            abandoned=sorted(self._checker.abandoned) if self._checker is not None else [],
            latency=self._latency,
            live_orders=self._effects.orders,
            cycles=cycles,
            clock_period_ps=self._period_ps,
            wall_seconds=wall,
            tx_faults=self._card.tx_faults,
            retries=self._driver.link.retries,
        )

    def _compared(self) -> dict[str, int] | None:
        checker = self._checker
        if checker is None:
            return None
        return {"tops": checker.tops, "verdicts": checker.verdicts, "frames": checker.frames}


_TOP_COLUMNS = ("bid_price", "bid_shares", "ask_price", "ask_shares", "exact")


def _count(counter: Counter[int], values: np.ndarray) -> None:
    for value, count in zip(*np.unique(values, return_counts=True), strict=True):
        counter[int(value)] += int(count)


def _told(event: Event) -> dict[str, int]:
    return {
        "approved": int(event.kind == EventKind.ORDER_SENT),
        "symbol": event.symbol,
        "side": event.side,
        "price": event.price,
        "quantity": event.quantity,
        "user_ref_num": event.user_ref_num,
        "sequence": event.message_sequence,
        "reasons": event.reasons,
        "latency_cycles": event.latency_cycles,
    }


def _done(verdict, t0: int) -> dict[str, int]:
    names = (
        "approved",
        "symbol",
        "side",
        "price",
        "quantity",
        "user_ref_num",
        "sequence",
        "reasons",
    )
    done = {name: int(verdict[name]) for name in names}
    return done | {"latency_cycles": int(verdict["cycle"]) - t0}
