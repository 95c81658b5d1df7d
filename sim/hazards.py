"""Seeded messages that aim at the hazards of a book: emptied levels, the same order, window edges.

Ref: docs/architecture.md, "The book"; NASDAQ TotalView-ITCH 5.0, sections 4.3 to 4.5.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from random import Random

import numpy as np

from tickgate.hdl.book.hashing import Hash, hashes
from tickgate.hdl.book.types import Geometry
from tickgate.sim.tape import rows_of

__all__ = ["CENT", "SHAPES", "Arena", "Shape", "generate"]

CENT = 100
"""The tick, in 1e-4 USD."""

BUY, SELL = ord("B"), ord("S")
ROOMY = 0.998
"""How often an order of a crowd is given a set that has room."""
DAY_BEGINS = 34_200_000_000_000


@dataclass(frozen=True, kw_only=True)
class Arena:
    """What the messages know of the card that they are for.

    Parameters
    ----------
    locates : tuple of int
        Stock locates of the tracked symbols.
    base : int
        The lowest price of every window, in 1e-4 USD; the tick is a cent.
    ticks : int
        Levels of a window.
    set_bits : int
        Bits of a set's number in the order store; see :func:`tickgate.hdl.book.hashing.hashes`.
    """

    locates: tuple[int, ...]
    base: int
    ticks: int
    set_bits: int


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A kind of trouble: what the messages of its bursts do, and how often.

    Parameters
    ----------
    about : str
    weights : mapping of str to float
        Actions (methods of `_Author`), by how often one is chosen.
    together : tuple of int
        How many symbols a burst interleaves; one of these.
    both_sides : bool
        A burst is about both sides of its symbols, else about one.
    depth : tuple of int
        How many levels a side is given before a burst, from and to.
    spacings : tuple of int
        Ticks between two of these levels; 0: another order on the same level.
    length : tuple of int
        Actions of a burst, from and to.
    anchors : tuple of float
        Where in the window an empty side begins, from 0 to 1.
    references : str
        `rising`; `sets`: in few sets of the store, never more than they have room for; `crowd`: in
        two of its sets alone, and now and then more than these and the stash hold, so that an order
        is lost.
    shares : tuple of int
    """

    about: str
    weights: Mapping[str, float]
    together: tuple[int, ...] = (1, 1, 2)
    both_sides: bool = False
    depth: tuple[int, int] = (3, 12)
    spacings: tuple[int, ...] = (1, 1, 2, 3)
    length: tuple[int, int] = (1, 40)
    anchors: tuple[float, ...] = (0.4, 0.5, 0.6)
    references: str = "rising"
    shares: tuple[int, ...] = (1, 7, 100, 100, 100, 300)

    @property
    def overflows(self) -> bool:
        """True if orders are meant to find no room."""
        return self.references == "crowd"


SHAPES = {
    "staircase": Shape(
        about="the best level emptied up to 20 times running",
        weights={"empty": 1},
        depth=(1, 20),
        length=(1, 20),
    ),
    "staircase of pairs": Shape(
        about="the best levels of two symbols emptied in turn",
        weights={"empty": 1},
        together=(2,),
        depth=(1, 20),
        length=(2, 40),
    ),
    "staircase on both sides": Shape(
        about="bid and ask emptied in turn, of one symbol or two",
        weights={"empty": 1},
        both_sides=True,
        depth=(1, 12),
        length=(2, 40),
    ),
    "staircase with improving": Shape(
        about="levels emptied while better ones are added",
        weights={"empty": 5, "improve": 2, "join": 1},
    ),
    "staircase with new steps": Shape(
        about="levels emptied while orders come between the next ones",
        weights={"empty": 5, "between": 4},
        spacings=(2, 3, 5, 16, 17),
        depth=(3, 20),
    ),
    "staircase with missing steps": Shape(
        about="levels emptied while deeper ones go, the 2nd to the 10th best",
        weights={"empty": 4, "undercut": 4, "deepen": 1},
        depth=(8, 20),
    ),
    "staircase of all kinds": Shape(
        about="everything that may happen around an emptied best level",
        weights={
            "empty": 8, "improve": 2, "join": 1, "between": 3, "undercut": 3, "deepen": 1,
            "trim": 1, "lift": 2, "sink": 3, "flicker": 1,
        },
        depth=(4, 20),
        spacings=(1, 2, 3, 5, 16),
        length=(5, 80),
        together=(1, 2, 2),
        both_sides=True,
    ),
    "replace across the best": Shape(
        about="replaces that take the best away, bring a better one, or pass between the next",
        weights={"sink": 4, "lift": 4, "bounce": 2, "empty": 1},
        depth=(3, 10),
        together=(1, 2),
    ),
    "same order": Shape(
        about="an order added, reduced, replaced and deleted in successive messages",
        weights={"flicker": 3, "bounce": 3, "whittle": 3},
        depth=(1, 4),
        both_sides=True,
    ),
    "same level": Shape(
        about="all orders on one or two levels",
        weights={"join": 4, "trim": 3, "empty_one": 4, "rejoin": 3, "empty": 1},
        spacings=(0, 0, 0, 1),
        depth=(1, 6),
    ),
    "locked and crossed": Shape(
        about="orders at and beyond the best of the other side",
        weights={"cross": 4, "empty": 4, "improve": 1, "lift": 2, "sink": 1},
        both_sides=True,
        depth=(1, 6),
    ),
    "edges of the window": Shape(
        about="prices at the edges and beyond, and off the grid; orders that leave and return",
        weights={
            "escape": 3, "leave": 3, "come_back": 3, "empty": 4, "improve": 2, "deepen": 2,
            "between": 1, "forget_escaped": 3,
        },
        anchors=(0.0, 0.02, 0.98, 1.0),
        depth=(1, 4),
        both_sides=True,
    ),
    "far apart": Shape(
        about="levels in different words of the bitmap, at the ends of them",
        weights={"empty": 5, "between": 2, "improve": 1, "undercut": 2, "sink": 2, "lift": 2},
        spacings=(15, 16, 17, 31, 32, 33),
        depth=(1, 8),
        anchors=(0.1, 0.5, 0.9),
        together=(1, 2),
    ),
    "many symbols": Shape(
        about="every symbol in turn",
        weights={"empty": 4, "improve": 1, "between": 2, "undercut": 1, "sink": 1, "join": 1},
        together=(3, 5, 8),
        both_sides=True,
        depth=(1, 8),
    ),
    "sets of the store": Shape(
        about="references that share the sets of the order store, until these are full",
        weights={"empty": 4, "improve": 2, "join": 2, "flicker": 2, "bounce": 3, "sink": 2},
        references="sets",
        depth=(1, 6),
    ),
    "no room": Shape(
        about="orders for which the store has no room",
        weights={"empty": 3, "improve": 3, "join": 3, "bounce": 2, "undercut": 2, "deepen": 2},
        references="crowd",
        depth=(1, 8),
    ),
    "doubtful": Shape(
        about="unknown and repeated references, executions of too much, orders of others",
        weights={"empty": 4, "improve": 4, "doubt": 1, "nothing": 2, "bounce": 1, "print": 1},
        both_sides=True,
        depth=(1, 8),
    ),
}  # fmt: skip
"""What the campaign is made of."""


class _References:
    """Order reference numbers: rising, or aimed at few sets of the order store."""

    SETS = 8

    def __init__(self, random: Random, *, kind: str, set_bits: int) -> None:
        self._random, self._kind, self._bits = random, kind, 2 * set_bits
        self._next = random.getrandbits(40) + 1
        # References of one residue modulo both polynomials share both sets.
        self._hash = Hash(
            _product(*(1 << set_bits | h.of(1 << set_bits) for h in hashes(set_bits)))
        )
        crowd = kind == "crowd"
        self._room = Geometry.PLACES if crowd else Geometry.SLOTS
        self._sets = random.sample(range(1 << self._bits), 1 if crowd else self.SETS)
        self._live = dict.fromkeys(self._sets, 0)
        self._free: deque[int] = deque(maxlen=8)

    def take(self) -> int | None:
        """A reference that is not in use; None if there is no room for its order."""
        random = self._random
        if self._kind == "rising":
            if self._free and random.random() < 0.1:
                return self._free.popleft()
            self._next += 1
            return self._next
        full = self._room + (self._kind == "crowd" and random.random() >= ROOMY)
        for _ in range(4):
            place = random.choice(self._sets)
            if self._live[place] < full:
                self._live[place] += 1
                high = random.getrandbits(63 - self._bits) + 1 << self._bits
                return high | self._hash.of(high) ^ place
        return None

    def give(self, reference: int) -> None:
        """The order with this reference is no more."""
        if self._kind == "rising":
            self._free.append(reference)
        else:
            self._live[self._hash.of(reference)] -= 1


def _product(one: int, other: int) -> int:
    """Of two polynomials over GF(2)."""
    product = 0
    while other:
        product ^= one if other & 1 else 0
        one, other = one << 1, other >> 1
    return product


class _Side:
    """The live orders of one side by price."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.levels: dict[int, list[int]] = {}
        self.escaped: list[int] = []

    def ranked(self) -> list[int]:
        """Prices, the best first."""
        return sorted(self.levels, reverse=self.side == BUY)

    def best(self) -> int | None:
        if not self.levels:
            return None
        return max(self.levels) if self.side == BUY else min(self.levels)

    def worse(self, price: int, ticks: int) -> int:
        """The price so many ticks worse; negative ticks: better."""
        return price - ticks * CENT if self.side == BUY else price + ticks * CENT


class _Author:
    """Writes the messages of one symbol. An action writes one or a few of them.

    An action that the book leaves no room for becomes an `add` near the best.
    """

    MOST = 48
    """Orders of a side from which on actions take away."""

    def __init__(self, writer: "_Writer", locate: int) -> None:
        self._writer, self._locate = writer, locate
        self._random = writer.random
        self.sides = {side: _Side(side) for side in (BUY, SELL)}
        self._orders: dict[int, list[int]] = {}

    # What a burst begins with.

    def refill(self, side: _Side) -> None:
        """Gives a side its levels, in any order."""
        random, shape = self._random, self._writer.shape
        missing = random.randint(*shape.depth) - len(side.levels)
        if missing <= 0:
            return
        price = side.ranked()[-1] if side.levels else self._anchor(side)
        prices = []
        for _ in range(missing):
            prices.append(price)
            price = side.worse(price, random.choice(shape.spacings))
        order = random.randrange(3)
        if order == 0:
            prices.reverse()
        elif order == 1:
            random.shuffle(prices)
        for each in prices:
            self._add(side, each)

    # Actions.

    def empty(self, side: _Side) -> None:
        """The best level goes, order by order."""
        best = side.best()
        if best is None or len(side.levels[best]) > self._random.randint(1, 12):
            self.empty_one(side)
            return
        for reference in list(side.levels[best]):
            self._finish(side, reference)

    def empty_one(self, side: _Side) -> None:
        """One order of the best level goes."""
        best = side.best()
        if best is None:
            self.improve(side)
        else:
            self._finish(side, self._random.choice(side.levels[best]))

    def improve(self, side: _Side) -> None:
        best = side.best()
        if best is None:
            self._add(side, self._anchor(side))
        else:
            self._add(side, side.worse(best, -self._random.randint(1, 3)))

    def join(self, side: _Side) -> None:
        best = side.best()
        self._add(side, self._anchor(side) if best is None else best)

    def between(self, side: _Side) -> None:
        self._add(side, self._between(side))

    def undercut(self, side: _Side) -> None:
        """A level behind the best goes."""
        ranked = side.ranked()
        if len(ranked) < 2:
            self.deepen(side)
            return
        price = ranked[self._random.randrange(1, min(10, len(ranked)))]
        for reference in list(side.levels[price]):
            self._finish(side, reference)

    def deepen(self, side: _Side) -> None:
        ranked = side.ranked()
        if not ranked:
            self.improve(side)
        else:
            self._add(side, side.worse(ranked[-1], self._random.randint(0, 4)))

    def trim(self, side: _Side) -> None:
        """The best level loses some shares."""
        reference = self._pick(side, 0)
        if reference is None or not self._reduce(reference):
            self.join(side)

    def whittle(self, side: _Side) -> None:
        """An order goes in several parts."""
        reference = self._pick(side, 1)
        if reference is None:
            self.join(side)
            return
        for _ in range(self._random.randint(1, 4)):
            if not self._reduce(reference):
                break
        self._finish(side, reference)

    def flicker(self, side: _Side) -> None:
        """An order comes and goes in two messages."""
        best = side.best()
        ticks = self._random.choice((-2, -1, 0, 0, 1, 2))
        price = self._anchor(side) if best is None else side.worse(best, ticks)
        reference = self._add(side, price)
        if reference is not None:
            self._finish(side, reference)

    def bounce(self, side: _Side) -> None:
        """An order is replaced several times running."""
        reference = self._pick(side, 2)
        if reference is None:
            self.improve(side)
            return
        for _ in range(self._random.randint(1, 6)):
            reference = self._replace(side, reference, self._near(side))
            if reference is None:
                break

    def lift(self, side: _Side) -> None:
        """An order from behind comes to the best, before it or near it."""
        reference = self._pick(side, 10)
        if reference is None:
            self.improve(side)
        else:
            self._replace(side, reference, self._near(side))

    def sink(self, side: _Side) -> None:
        """An order of the best level moves behind others, or stays."""
        reference = self._pick(side, 0)
        if reference is None:
            self.improve(side)
            return
        ranked = side.ranked()
        other = self._random.choice(ranked)
        price = self._random.choice((self._between(side), other, side.worse(ranked[-1], 1)))
        self._replace(side, reference, price)

    def rejoin(self, side: _Side) -> None:
        """An order is replaced by one on the same level."""
        reference = self._pick(side, 1)
        if reference is None:
            self.join(side)
        else:
            self._replace(side, reference, self._orders[reference][1])

    def cross(self, side: _Side) -> None:
        """An order at the best of the other side, or beyond it."""
        best = self.sides[BUY + SELL - side.side].best()
        if best is None:
            self.improve(side)
        else:
            self._add(side, side.worse(best, -self._random.choice((0, 0, 1, 2, 5))))

    def escape(self, side: _Side) -> None:
        self._add(side, self._outside())

    def leave(self, side: _Side) -> None:
        """An order moves to where the window has no level."""
        reference = self._pick(side, 1)
        if reference is None:
            self.escape(side)
        else:
            self._replace(side, reference, self._outside())

    def come_back(self, side: _Side) -> None:
        """An order without a level moves into the window."""
        if not side.escaped:
            self.escape(side)
        else:
            self._replace(side, self._random.choice(side.escaped), self._near(side))

    def forget_escaped(self, side: _Side) -> None:
        """An order without a level goes, or loses some shares."""
        if not side.escaped:
            self.escape(side)
            return
        reference = self._random.choice(side.escaped)
        if self._random.random() < 0.3:
            self._reduce(reference)
        else:
            self._finish(side, reference)

    def doubt(self, side: _Side) -> None:
        """A message after which the book cannot be trusted."""
        random, write = self._random, self._writer.write
        reference = self._pick(side, 3)
        choice = random.randrange(4)
        if choice == 0 or reference is None:
            stranger = random.getrandbits(62) | 1 << 62
            type_ = random.choice("DXECU")
            write(type_, self._locate, stranger, stranger + 1, side.side, 1, self._near(side))
        elif choice == 1:
            much = self._orders[reference][0] + random.choice((1, 2, 1000))
            self._end(side, reference, random.choice("XEC"), much)
        elif choice == 2:
            write("A", self._locate, reference, 0, side.side, 100, self._near(side))
        else:
            write("D", self._writer.stranger(self._locate), reference, 0, side.side, 0, 0)

    def nothing(self, side: _Side) -> None:
        """A message that changes no level: of no shares."""
        random, write = self._random, self._writer.write
        reference = self._pick(side, 3)
        if reference is None:
            self.improve(side)
        elif random.random() < 0.5:
            write(random.choice("XEC"), self._locate, reference, 0, side.side, 0, self._near(side))
        else:
            self._add(side, self._near(side), shares=0)

    def print(self, side: _Side) -> None:
        self._writer.write("P", self._locate, 7, 0, side.side, 100, self._near(side))

    # Prices.

    def _anchor(self, side: _Side) -> int:
        """Where an empty side begins."""
        arena = self._writer.arena
        level = int(self._random.choice(self._writer.shape.anchors) * (arena.ticks - 1))
        away = self._random.randint(0, 3)
        return self._inside(side.worse(arena.base + level * CENT, away))

    def _inside(self, price: int) -> int:
        arena = self._writer.arena
        return max(arena.base, min(price, arena.base + (arena.ticks - 1) * CENT))

    def _near(self, side: _Side) -> int:
        best = side.best()
        if best is None:
            return self._anchor(side)
        return self._inside(side.worse(best, self._random.choice((-2, -1, -1, 0, 0, 1, 1, 2, 4))))

    def _between(self, side: _Side) -> int:
        """A price between two of the first levels, if there is one."""
        ranked = side.ranked()
        if len(ranked) < 2:
            return self._near(side)
        at = self._random.randrange(min(4, len(ranked) - 1))
        room = abs(ranked[at + 1] - ranked[at]) // CENT
        return side.worse(ranked[at], self._random.randint(min(1, room - 1), max(1, room - 1)))

    def _outside(self) -> int:
        """A price for which the window has no level: beyond its edges, or off the grid."""
        arena, random = self._writer.arena, self._random
        end = arena.base + arena.ticks * CENT
        return random.choice(
            (
                end,
                end + CENT,
                end - 1,
                end - CENT + 1,
                end + random.randrange(100 * CENT),
                arena.base - CENT,
                arena.base - 1,
                arena.base + 1,
                arena.base - random.randrange(1, min(arena.base, 100 * CENT)),
                random.randrange(1, 1 << 31),
            )
        )

    # Messages.

    def _pick(self, side: _Side, reach: int) -> int | None:
        """An order of the best level or of so many behind it."""
        if not side.levels:
            return None
        if not reach:
            price = side.best()
        else:
            ranked = side.ranked()
            price = ranked[self._random.randrange(min(reach + 1, len(ranked)))]
        return self._random.choice(side.levels[price])

    def _shares(self) -> int:
        return self._random.choice(self._writer.shape.shares)

    def _add(self, side: _Side, price: int, *, shares: int | None = None) -> int | None:
        if len(self._orders) > 2 * self.MOST and side.levels:
            self._finish(side, self._pick(side, 5))
            return None
        reference = self._writer.references.take()
        if reference is None:
            if side.levels:
                self._finish(side, self._pick(side, 1))
            elif side.escaped:
                self._finish(side, side.escaped[0])
            return None
        shares = self._shares() if shares is None else shares
        type_ = "F" if self._random.random() < 0.05 else "A"
        self._writer.write(type_, self._locate, reference, 0, side.side, shares, price)
        self._keep(side, reference, shares, price)
        return reference

    def _replace(self, side: _Side, reference: int, price: int) -> int | None:
        references = self._writer.references
        keeps = self._random.random() < 0.05
        new = reference if keeps else references.take()
        if new is None:
            self._finish(side, reference)
            return None
        shares, before = self._orders.pop(reference)
        if self._random.random() < 0.5:
            shares = self._shares()
        self._writer.write("U", self._locate, reference, new, side.side, shares, price)
        self._forget(side, reference, before)
        if not keeps:
            references.give(reference)
        self._keep(side, new, shares, price)
        return new

    def _reduce(self, reference: int) -> bool:
        """Takes some of an order's shares; False if it has too few."""
        order = self._orders[reference]
        if order[0] < 2:
            return False
        amount = self._random.randint(1, min(order[0] - 1, 50))
        order[0] -= amount
        self._writer.write(
            self._random.choice("XEC"), self._locate, reference, 0, BUY, amount, order[1]
        )
        return True

    def _finish(self, side: _Side, reference: int) -> None:
        """An order goes: deleted, cancelled or executed."""
        type_ = self._random.choice("DDDDDXEC")
        self._end(side, reference, type_, self._orders[reference][0])

    def _end(self, side: _Side, reference: int, type_: str, shares: int) -> None:
        _, price = self._orders.pop(reference)
        self._writer.write(type_, self._locate, reference, 0, side.side, shares, price)
        self._forget(side, reference, price)
        self._writer.references.give(reference)

    def _keep(self, side: _Side, reference: int, shares: int, price: int) -> None:
        self._orders[reference] = [shares, price]
        if self._writer.has_level(price):
            side.levels.setdefault(price, []).append(reference)
        else:
            side.escaped.append(reference)

    def _forget(self, side: _Side, reference: int, price: int) -> None:
        level = side.levels.get(price)
        if level is None:
            side.escaped.remove(reference)
            return
        level.remove(reference)
        if not level:
            del side.levels[price]


class _Writer:
    """Collects the messages of a shape, and what its authors have in common."""

    def __init__(self, shape: Shape, arena: Arena, random: Random) -> None:
        self.shape, self.arena, self.random = shape, arena, random
        self.references = _References(random, kind=shape.references, set_bits=arena.set_bits)
        self.rows: list[tuple] = []
        self._authors = [_Author(self, locate) for locate in arena.locates]
        self._actions = list(shape.weights)
        self._sums = list(accumulate(shape.weights.values()))
        self._time = DAY_BEGINS
        self._one_by_one = False

    def write(
        self,
        type_: str,
        locate: int,
        reference: int,
        new_reference: int,
        side: int,
        shares: int,
        price: int,
    ) -> None:
        """Appends a message."""
        if self._one_by_one:
            self._time += 1
        row = ord(type_), locate, self._time, reference, new_reference, side, shares, price
        self.rows.append(row)

    def has_level(self, price: int) -> bool:
        """True if the window has a level for a price."""
        level, rest = divmod(price - self.arena.base, CENT)
        return not rest and 0 <= level < self.arena.ticks

    def stranger(self, locate: int) -> int:
        """The locate of another symbol; of the same one if there is no other."""
        others = [other for other in self.arena.locates if other != locate]
        return self.random.choice(others) if others else locate

    def burst(self) -> None:
        """Gives some symbols their levels and does with them what the shape does."""
        random, shape = self.random, self.shape
        many = min(random.choice(shape.together), len(self._authors))
        places = []
        for author in random.sample(self._authors, many):
            sides = list(author.sides.values())
            chosen = sides if shape.both_sides else [random.choice(sides)]
            places += [(author, side) for side in chosen]
        random.shuffle(places)
        self._one_by_one = random.random() < 0.1
        for author, side in places:
            author.refill(side)
        if random.random() < 0.5:
            self._time += 1
        self._one_by_one = random.random() < 0.15
        actions = random.choices(
            self._actions, cum_weights=self._sums, k=random.randint(*shape.length)
        )
        for turn, action in enumerate(actions):
            at = turn if random.random() < 0.8 else random.randrange(len(places))
            author, side = places[at % len(places)]
            getattr(author, action)(side)
        self._time += 1


def generate(shape: Shape, *, arena: Arena, messages: int, seed: int) -> np.ndarray:
    """Messages of a shape, as an array of `tickgate.sim.tape.ROW`.

    The same arguments give the same messages. Those of one timestamp belong together: they are
    meant to come without any pause, in one datagram if it has room. The books are empty before.
    """
    writer = _Writer(shape, arena, Random(seed))
    while len(writer.rows) < messages:
        writer.burst()
    return rows_of(writer.rows[:messages])
