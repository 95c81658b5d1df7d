"""Flips single bits of risk and order state in a card that trades, and tells what comes of it.

A session is recorded once: a market, a card, a venue that answers. Then the card goes back, one bit
flips at the beginning of one cycle, and what it does with the same input is compared with what it
did, verdict by verdict and order by order.

Ref: docs/risk.md, gate 34 (memory integrity), "Flipped bits".
"""

import bisect
import contextlib
import functools
import random
import re
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Self

from tickgate.hdl.control.arming import NOT_KILLED_CODE
from tickgate.hdl.risk.gate import Gate
from tickgate.sim import market
from tickgate.sim.live import Desk
from tickgate.sim.model.segments import unpack_frame
from tickgate.sim.replay import Options, open_card, plan
from tickgate.sim.virtual.card import Log
from tickgate.sim.virtual.probed import Probe, ProbedCard
from tickgate.spec.registers import ARMED_CODE

__all__ = ["PARTS", "Fate", "Flip", "Injected", "Injector", "measure", "protected"]

PARTS = (
    "risk.",
    "order.manager.",
    "control.arming.",
    "control.parameters.",
    "control.account__",
)
"""Where bits flip: the gates, own orders and accounts, arming, parameters and account limits."""

CODES = re.compile(r"control\.arming\.\w+_code|control\.account__\w+|risk\.integrity\.seen")
"""Registers that are protected neither by a copy nor by a parity bit in each word."""
COPY = "_inverted"
LEFT_OUT = ("control.parameters.in_force.words.", "control.parameters.shadow.")
"""Memories that no order is judged by: for the host to read, and what a commit checks itself."""
BARE = (
    *("risk.crossing.", "risk.movement.", "risk.fills.", "risk.patrol."),
    "control.parameters.in_force.caps_",
)
"""Memories of gates 12, 22 and 28, which have no parity bit."""

SYMBOLS, TICKS, ORDERS = 8, 256, 1 << 12
MESSAGES, WARM_UP = 500, 3_000
"""That are recorded; before that, at most."""
SNAPSHOT_EVERY = 8
"""Messages."""
HORIZON = 4_000
"""Cycles in which what comes of a flip is looked for."""
NEAR = 12
"""Cycles up to a verdict in which an order is judged, and some more."""

STRATEGY = {"min_interval_ns": 1_000, "threshold_fraction": Decimal("0.55")}
LIMITS = {
    "max_long_shares": 600,
    "max_short_shares": 600,
    "short_locates_shares": 500,
    "collar_bps": 20,
    "max_book_spread_usd": Decimal("0.10"),
    "order_interval_ns": 2_000,
    "order_burst_ns": 4_000,
    "max_duplicates": 2,
    "duplicate_window_ns": 20_000,
}
"""Tight enough that many an order is refused, most of them by one gate alone."""

DETECTED = 1 << Gate.MEMORY_INTEGRITY | 1 << Gate.ARMED | 1 << Gate.KILL_SOURCES


class Fate(StrEnum):
    """What comes of a flipped bit.

    MASKED: the same orders. STOPPED: the card was killed or disarmed, or refused for that reason
    or for the flipped bit, and no order left that would not have left anyway. REFUSED: an order
    that was due was refused by another gate, or as busy; what comes after it is not judged. WRONG:
    an order left that would not have, or another one than should have.
    """

    MASKED = "masked"
    STOPPED = "stopped"
    REFUSED = "refused"
    WRONG = "wrong"


class Flip(NamedTuple):
    """One bit of a word of a register or memory, at the beginning of a cycle of the recording."""

    probe: Probe
    word: int
    bit: int
    cycle: int


class _Judged(NamedTuple):
    approved: bool
    reasons: int
    order: tuple


@dataclass
class Injected:
    """What came of all flips.

    Members
    -------
    fates : dict of str to Counter
        For each register or memory.
    wrong : list of str
        Each flip that ended so.
    orders, verdicts, cycles : int
        Of the recording.
    bits, probes : int
        That could flip.
    protected : set of str
        Of the registers and memories those of which a flipped bit is told.
    seconds : float
        Of the flips alone.
    """

    flips: int
    seed: int
    orders: int = 0
    verdicts: int = 0
    cycles: int = 0
    probes: int = 0
    bits: int = 0
    seconds: float = 0.0
    protected: set[str] = field(default_factory=set)
    fates: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)

    def total(self, *, protected: bool | None = None) -> Counter[str]:
        """By fate, of what is protected, of what is not, or of all."""
        total: Counter[str] = Counter({fate.value: 0 for fate in Fate})
        for name, counts in self.fates.items():
            if protected in (None, name in self.protected):
                total += counts
        return Counter({fate.value: total[fate.value] for fate in Fate})

    @property
    def right(self) -> bool:
        """Nothing that is protected made a wrong order."""
        total = self.total(protected=True)
        return not total[Fate.WRONG]

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self) | {
            "protected_names": sorted(self.protected),
            "fates": {name: dict(counts) for name, counts in sorted(self.fates.items())},
            "protected": dict(self.total(protected=True)),
            "unprotected": dict(self.total(protected=False)),
        }


def protected(names: Iterable[str]) -> set[str]:
    """Those of all registers and memories of which a flipped bit is told, as docs/risk.md says.

    A memory is if there is what its parity is checked by, and so is whether it was swept; a
    register is if it has a copy.
    """
    names = set(names)
    copies = {name for name in names if name.endswith(COPY)}
    copied = {name for name in names if f"{name}{COPY}" in copies}
    checked = {name.rpartition(".odd_")[0] for name in names if ".odd_" in name}
    kept = {each for name in checked for each in (f"{name}.ram", *_sweep(name))}
    pages = "control.parameters.in_force"
    for name in names:
        if name.startswith(f"{pages}.") and name.endswith("_odd"):
            kept |= {each for each in names if each.startswith(f"{name.removesuffix('odd')}")}
            kept |= {*_sweep(pages)}
    return copies | copied | (kept & names) | {name for name in names if CODES.fullmatch(name)}


def _sweep(memory: str) -> Iterator[str]:
    yield from (f"{memory}.sweep.{name}" for name in ("done", "runs"))


class Injector:
    """A recorded session, and what the card makes of it with a bit flipped.

    Parameters
    ----------
    card : ProbedCard
        Has just been recorded.
    snapshots : list of int
        The cycle of each state that was kept, in order.
    logs : list of Log
        What the card did since the first of them.

    Members
    -------
    judged : dict
        Each verdict of the recording by its cycle.
    frames : dict of int to bytes
        Each order of the recording by the cycle of its first octet.
    begin, end : int
        Cycles of the recording.
    """

    def __init__(self, card: ProbedCard, snapshots: list[int], logs: list[Log]) -> None:
        self._card, self._snapshots = card, snapshots
        self.begin, self.end = snapshots[0], card.cycle
        self.judged = {at: each for log in logs for at, each in _judged(log)}
        self.frames = {at: each for log in logs for at, each in _order_frames(log).items()}
        self._codes = {
            each.name.rpartition(".")[2]: each
            for each in card.probes
            if each.name.startswith("control.arming.")
        }

    @classmethod
    @contextlib.contextmanager
    def opened(cls, *, seed: int, quiet: bool = False) -> Iterator[Self]:
        """Builds the card, has it trade for a while and records that."""
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "market.itch"
            file.write_bytes(market.generate(seed=seed, messages=MESSAGES + WARM_UP).data)
            options = Options(
                capacity=SYMBOLS,
                ticks=TICKS,
                orders=ORDERS,
                pack=1,
                strategy=STRATEGY,
                limits=LIMITS,
                direct=True,
            )
            planned = plan(file, options)
            make = functools.partial(ProbedCard, parts=PARTS)
            with open_card(planned, make=make, quiet=quiet) as card:
                yield cls(card, *_trade(card, Desk(card, planned)))

    @property
    def probes(self) -> list[Probe]:
        """What can be flipped."""
        return self._card.probes

    def some_flip(self, chance: random.Random) -> Flip:
        """Any bit of any register; half of the time in a cycle in which an order is judged."""
        probe = chance.choice(self.probes)
        last = self.end - HORIZON
        cycle = chance.randrange(self.begin, last)
        if chance.getrandbits(1):
            verdict = chance.choice([at for at in self.judged if self.begin + NEAR < at < last])
            cycle = verdict - chance.randrange(NEAR)
        return Flip(probe, chance.randrange(probe.depth), chance.randrange(probe.width), cycle)

    def fate(self, flip: Flip) -> Fate:
        """What comes of a flip within `HORIZON` cycles."""
        card = self._card
        number = bisect.bisect_right(self._snapshots, flip.cycle) - 1
        card.back_to(number)
        card.play(flip.cycle - self._snapshots[number])
        card.flip(flip.probe, flip.word, flip.bit)
        card.play(HORIZON)
        log = card.take()
        return self._compare(log, self._snapshots[number], flip.cycle + HORIZON)

    def _compare(self, log: Log, begin: int, end: int) -> Fate:
        now = dict(_judged(log))
        told = {at: each for at, each in self.judged.items() if begin <= at < end}
        stopped_at = None
        for at in sorted(now.keys() | told.keys()):
            is_, was = now.get(at), told.get(at)
            if is_ is not None and is_.approved:
                if stopped_at is not None or was is None or not was.approved:
                    return Fate.WRONG
                if is_.order != was.order:
                    return Fate.WRONG
            elif stopped_at is None:
                tells = is_ is not None and is_.reasons & DETECTED
                if was is not None and was.approved and not (tells or self._is_stopped()):
                    return Fate.REFUSED if self._same_frames(log, begin, at) else Fate.WRONG
                if tells or (was is not None and was.approved):
                    stopped_at = at
        if not self._same_frames(log, begin, stopped_at or end):
            return Fate.WRONG
        return Fate.STOPPED if stopped_at or self._is_stopped() else Fate.MASKED

    def _same_frames(self, log: Log, begin: int, end: int) -> bool:
        """The orders that began to leave in these cycles are octet by octet what they were.

        But for the last one, which may not be all there yet.
        """
        limit = end - 64
        now = {at: octets for at, octets in _order_frames(log).items() if at < limit}
        was = {at: octets for at, octets in self.frames.items() if begin <= at < limit}
        return now == was

    def _is_stopped(self) -> bool:
        """The card is killed or disarmed at the end."""
        codes = {name: self._card.look(probe) for name, probe in self._codes.items()}
        return codes["killed_code"] != NOT_KILLED_CODE or codes["armed_code"] != ARMED_CODE


def _judged(log: Log) -> Iterator[tuple[int, _Judged]]:
    """Each verdict by its cycle."""
    names = [name for name in log.verdicts.dtype.names if name not in ("cycle", "stamp")]
    names = [name for name in names if name not in ("approved", "reasons")]
    for row in log.verdicts:
        order = tuple(int(row[name]) for name in names)
        yield int(row["cycle"]), _Judged(bool(row["approved"]), int(row["reasons"]), order)


def _order_frames(log: Log) -> dict[int, bytes]:
    """Each order that has left by the cycle of its first octet."""
    return {
        frame.first_cycle: frame.octets
        for frame in log.tx_frames
        if unpack_frame(frame.octets).payload[2:4] == b"UO"
    }


def _trade(card: ProbedCard, desk: Desk) -> tuple[list[int], list[Log]]:
    """Logs in, trades for a while, and records the rest; returns the cycles of the states kept."""
    desk.login(range(1, 1_000_000))
    desk.driver.arm(desk.config)
    if not desk.play(lambda: len(desk.venue.orders) == 3, messages=WARM_UP):
        raise RuntimeError("the market makes no orders")
    snapshots: list[int] = []
    logs: list[Log] = []
    card.record()
    for _ in range(MESSAGES // SNAPSHOT_EVERY):
        card.keep()
        snapshots.append(card.cycle)
        desk.play(lambda: False, messages=SNAPSHOT_EVERY, seen=logs.append)
    return snapshots, logs


def measure(
    *, flips: int, seed: int, quiet: bool = False, progress: Callable[[int], None] = lambda _: None
) -> Injected:
    """Flips so many bits, each in a session that is otherwise the same.

    Parameters
    ----------
    flips, seed : int
    quiet : bool
        Show no progress while building.
    progress : callable
        Is told how many flips are done.
    """
    chance = random.Random(seed)
    injected = Injected(flips=flips, seed=seed)
    with Injector.opened(seed=seed, quiet=quiet) as injector:
        injected.orders = len(injector.frames)
        injected.verdicts = len(injector.judged)
        injected.cycles = injector.end - injector.begin
        injected.probes = len(injector.probes)
        injected.protected = protected(each.name for each in injector.probes)
        injected.bits = sum(each.width * each.depth for each in injector.probes)
        began = time.process_time()
        for done in range(flips):
            flip = injector.some_flip(chance)
            fate = injector.fate(flip)
            injected.fates[flip.probe.name][fate.value] += 1
            if fate is Fate.WRONG:
                probe = flip.probe
                injected.wrong.append(
                    f"{probe.name}[{flip.word}] bit {flip.bit}, cycle {flip.cycle}"
                )
            progress(done + 1)
        injected.seconds = time.process_time() - began
    return injected
