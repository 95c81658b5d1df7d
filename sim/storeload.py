"""How full the order store may be: overflow against load, for its scheme and for simpler ones.

Ref: docs/architecture.md, "The book".
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import ceil

from tickgate.hdl.book.hashing import REFERENCE_BITS, hashes
from tickgate.hdl.book.types import Geometry, StoredOrder

__all__ = ["LOADS", "REFERENCES", "SCHEMES", "Point", "Scheme", "curve", "memory"]

LOADS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
"""Live orders, as a share of the slots."""

YOUNG = 0.9
"""Share of the orders that die soon after they came; the others may live all day."""
YOUNG_AGE = 30
"""Orders that come after such a one while it lives, on average."""
BURST = 0.4
"""Share of the orders that come right after another one of the tracked symbols."""
TRACKED_EVERY = 40
"""References between two orders of the tracked symbols otherwise, on average."""

BLOCK_RAM = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
"""Shapes of an ECP5's block RAM: depth and width."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A way to keep orders, in sets of four ways.

    `moves`: attempts to move an order of the stash, for each message of a tracked symbol.
    """

    name: str
    tables: int = 2
    stash: int = 0
    moves: float = 0.0


SCHEMES = (
    Scheme(name="one hash", tables=1),
    Scheme(name="two hashes"),
    Scheme(name="stash", stash=Geometry.STASH),
    Scheme(name="moves, all tracked", stash=Geometry.STASH, moves=0.85),
    Scheme(name="moves, a quarter", stash=Geometry.STASH, moves=3.5),
)
"""The last two are the gateware's. A move fits between two messages that are three cycles apart."""

REFERENCES = {
    "real": "rising, those of the tracked symbols in bursts",
    "dense": "rising by one",
    "aligned": "rising by 2^20",
    "random": "without any order",
}


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point of the curve: of the orders `inserted`, so many found no room (`overflow`)."""

    scheme: str
    references: str
    load: float
    live: int
    inserted: int
    overflow: int
    most_stashed: int
    memory_bits: int
    block_rams: int

    @property
    def rate(self) -> float:
        return self.overflow / self.inserted

    def to_dict(self) -> dict:
        """Everything as plain data."""
        return {**asdict(self), "rate": self.rate}


def memory(scheme: Scheme, geometry: Geometry) -> tuple[int, int]:
    """Bits of the tables, and block RAMs of an ECP5 that hold them."""
    depth = geometry.orders // (scheme.tables * geometry.WAYS)
    width = 1 + REFERENCE_BITS - (depth.bit_length() - 1) + StoredOrder(geometry).size
    blocks = min(ceil(depth / deep) * ceil(width / wide) for deep, wide in BLOCK_RAM)
    return geometry.orders * width, blocks * scheme.tables * geometry.WAYS


def curve(
    geometry: Geometry,
    *,
    schemes: Sequence[Scheme] = SCHEMES,
    loads: Sequence[float] = LOADS,
    references: str = "real",
    messages: int = 400_000,
    seed: int = 1,
) -> Iterator[Point]:
    """Fills the store to each load, and keeps it there for so many messages."""
    if references not in REFERENCES:
        raise ValueError(f"references must be one of {', '.join(REFERENCES)}, not {references}")
    for scheme in schemes:
        bits, blocks = memory(scheme, geometry)
        for load in loads:
            live = int(load * geometry.orders)
            store = _Store(scheme, geometry, seed)
            for reference, added in _flow(references, live, messages, seed):
                if added:
                    store.add(reference)
                else:
                    store.remove(reference)
                store.move()
            yield Point(
                scheme=scheme.name,
                references=references,
                load=load,
                live=live,
                inserted=live + messages // 2,
                overflow=store.overflow,
                most_stashed=store.most_stashed,
                memory_bits=bits,
                block_rams=blocks,
            )


def _flow(references: str, live: int, messages: int, seed: int) -> Iterator[tuple[int, bool]]:
    """References that come (True) or go: up to so many, then in turns."""
    rng = random.Random(seed)
    orders: list[int] = []
    places: dict[int, int] = {}
    young: list[int] = []
    numbers = _numbers(references, rng)

    def come() -> tuple[int, bool]:
        reference = next(numbers)
        places[reference] = len(orders)
        orders.append(reference)
        young.append(reference)
        return reference, True

    def go() -> tuple[int, bool]:
        reference = None
        if rng.random() < YOUNG:
            age = int(rng.expovariate(1 / YOUNG_AGE))
            reference = young.pop(max(0, len(young) - 1 - age)) if young else None
        if reference not in places:
            reference = orders[int(rng.random() * len(orders))]
        at, other = places.pop(reference), orders.pop()
        if other != reference:
            orders[at], places[other] = other, at
        if len(young) > 64 * YOUNG_AGE:
            del young[: 32 * YOUNG_AGE]
        return reference, False

    for _ in range(live):
        yield come()
    for message in range(messages):
        yield go() if message & 1 == 0 else come()


def _numbers(references: str, rng: random.Random) -> Iterator[int]:
    reference = rng.getrandbits(28)
    while True:
        yield reference
        if references == "random":
            reference = rng.getrandbits(REFERENCE_BITS)
        elif references == "real":
            # As in a day of Nasdaq, where those of a symbol are the same modulo 4.
            burst = rng.random() < BURST
            reference += 4 * (1 if burst else 1 + int(rng.expovariate(1 / TRACKED_EVERY)))
        else:
            reference += 1 if references == "dense" else 1 << 20


class _Store:
    """What the gateware does, in the order of messages instead of cycles."""

    def __init__(self, scheme: Scheme, geometry: Geometry, seed: int) -> None:
        sets = geometry.orders // (scheme.tables * geometry.WAYS)
        self._hashes = hashes(sets.bit_length() - 1)[: scheme.tables]
        self._tables = [[[None] * geometry.WAYS for _ in range(sets)] for _ in range(scheme.tables)]
        self._stash: list[int | None] = [None] * scheme.stash
        self._came_from = [0] * scheme.stash
        self._turn = 0
        self._moves, self._due = scheme.moves, 0.0
        self._rng = random.Random(seed)
        self.overflow = self.most_stashed = 0

    def add(self, reference: int) -> None:
        if self._placed(reference):
            return
        if None not in self._stash:
            self.overflow += 1
            return
        self._stash[self._stash.index(None)] = reference
        self.most_stashed = max(self.most_stashed, len(self._stash) - self._stash.count(None))

    def remove(self, reference: int) -> None:
        for places in (*self._sets(reference), self._stash):
            if reference in places:
                places[places.index(reference)] = None
                return

    def move(self) -> None:
        """Does the moves for which a message leaves time."""
        self._due += self._moves
        while self._due >= 1:
            self._due -= 1
            for _ in self._stash:
                if self._stash[self._turn] is not None:
                    self._step(self._turn)
                    break
                self._turn = (self._turn + 1) % len(self._stash)

    def _step(self, at: int) -> None:
        reference = self._stash[at]
        if self._placed(reference):
            self._stash[at] = None
            return
        table = 1 - self._came_from[at]
        way = int(self._rng.random() * Geometry.WAYS)
        places = self._sets(reference)[table]
        self._stash[at], places[way] = places[way], reference
        self._came_from[at] = table

    def _placed(self, reference: int) -> bool:
        places = max(self._sets(reference), key=lambda places: places.count(None))
        if None not in places:
            return False
        places[places.index(None)] = reference
        return True

    def _sets(self, reference: int) -> list[list]:
        return [
            table[each.of(reference)]
            for table, each in zip(self._tables, self._hashes, strict=True)
        ]
