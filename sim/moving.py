"""A market that leaves its price windows at full load, and a host that moves them after it.

Ref: docs/architecture.md, "The book".
"""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tickgate.host.config import Config, usd
from tickgate.host.driver import Driver
from tickgate.host.recentre import Follower
from tickgate.sim.beside import PortBesideFeed
from tickgate.sim.model.book import BookModel, Top, Window
from tickgate.sim.model.feed import Message
from tickgate.sim.session import FEED_ADDRESS, FEED_PORT, SESSION
from tickgate.sim.tape import rows_of
from tickgate.sim.virtual import SMALL, Card
from tickgate.spec import ethernet

__all__ = [
    "MovingBench",
    "Tops",
    "configuration",
    "exact_cycles",
    "market",
    "measure",
    "truth",
]

CENT = 100
REST = 128
"""Cycles after which the card has told everything."""


class _Symbol:
    """One symbol of the market: its live orders, and the price about which they lie."""

    def __init__(self, locate: int, middle: int, draw: random.Random) -> None:
        self.locate, self.middle, self._draw = locate, float(middle), draw
        self.orders: dict[int, list[int]] = {}
        self._speed = 0.0

    def move(self, speed: float) -> None:
        if not self._speed or self._draw.random() < 0.001 or self.middle < 2000:
            away = 1 if self.middle < 2000 else self._draw.choice([-1, 1])
            self._speed = away * speed * self._draw.uniform(0.5, 1.5)
        self.middle += self._speed + self._draw.gauss(0, 4 * speed)

    def crossed(self) -> int | None:
        """An order that the price has passed."""
        middle = int(self.middle) * CENT
        for reference, (side, _, price) in self.orders.items():
            if price >= middle if side == ord("B") else price <= middle:
                return reference
        return None

    def price(self, side: int, reach: int) -> int:
        away = 1 + min(int(self._draw.expovariate(0.3)), reach)
        if self._draw.random() < 0.05:
            away = self._draw.randrange(reach, 4 * reach)
        off_grid = 50 * (self._draw.random() < 0.002)
        sign = -1 if side == ord("B") else 1
        return (int(self.middle) + sign * away) * CENT + off_grid


def market(
    *,
    locates: Sequence[int],
    middle: int,
    messages: int,
    seed: int,
    depth: int = 30,
    reach: int = 16,
    speed: float = 0.02,
) -> np.ndarray:
    """Messages of a market whose prices move on, symbol by symbol, as rows of `sim.tape`.

    Parameters
    ----------
    locates : sequence of int
        Stock locates of the symbols.
    middle : int
        Of all prices in the beginning, in cents; at least 2000.
    messages, seed : int
    depth : int
        Live orders of a symbol.
    reach : int
        Cents from the middle in which nearly all of them lie, the others up to four times that.
    speed : float
        Cents that the middle moves with each message of its symbol.
    """
    draw = random.Random(seed)
    symbols = [_Symbol(locate, middle, draw) for locate in locates]
    rows, reference = [], 0
    for number in range(messages):
        symbol = draw.choice(symbols)
        symbol.move(speed)
        row = {"type": "D", "new": 0, "side": 0, "shares": 0, "price": 0}
        target, action = symbol.crossed(), draw.random()
        if target is None and len(symbol.orders) < depth * draw.uniform(0.5, 1.5):
            reference += 1
            side, shares = draw.choice(b"BS"), draw.randrange(1, 1000)
            price, target = symbol.price(side, reach), reference
            symbol.orders[reference] = [side, shares, price]
            row |= {"type": "A", "side": side, "shares": shares, "price": price}
        elif target is None and action < 0.6:
            target = draw.choice(list(symbol.orders))
            order = symbol.orders[target]
            if action < 0.2:
                reference += 1
                price, shares = symbol.price(order[0], reach), draw.randrange(1, 1000)
                symbol.orders[reference] = [order[0], shares, price]
                row |= {"type": "U", "new": reference, "shares": shares, "price": price}
                del symbol.orders[target]
            else:
                shares = min(order[1], draw.randrange(1, 400))
                row |= {"type": "X" if action < 0.4 else "E", "shares": shares}
                order[1] -= shares
                if not order[1]:
                    del symbol.orders[target]
        else:
            target = draw.choice(list(symbol.orders)) if target is None else target
            del symbol.orders[target]
        fields = (row["side"], row["shares"], row["price"])
        rows.append((ord(row["type"]), symbol.locate, number, target, row["new"], *fields))
    return rows_of(rows)


def truth(messages: Sequence[Message], locates: Sequence[int]) -> list[Top]:
    """Every change of the best of all orders, wherever they are."""
    books = BookModel(
        symbols={locate: index for index, locate in enumerate(locates)},
        windows=dict.fromkeys(range(len(locates)), Window(base=0, tick=1, ticks=1 << 31)),
    )
    for symbol in range(len(locates)):
        books.set_whole(symbol)
    rows = [books.apply(message, n) for n, message in enumerate(messages, start=1)]
    return [row for row in rows if row is not None]


class Tops:
    """Holds the tops that a card tells of one symbol against the truth.

    A top that is exact must be that of the moment, and while tops are exact none may be missing.

    Parameters
    ----------
    rows : sequence of Top
        The truth about the symbol.
    messages : int
        In all.

    Members
    -------
    returns : int
        How often a top was exact again because the host moved the window.
    compared : int
        Tops that are exact.
    """

    def __init__(self, rows: Sequence[Top], messages: int) -> None:
        self._rows, self._messages = rows, messages
        self._numbers = np.array([row.sequence for row in rows], dtype=np.int64)
        self.returns = self.compared = 0

    def _state(self, sequence: int) -> tuple[int, ...]:
        """The best prices after a message."""
        at = int(np.searchsorted(self._numbers, sequence, side="right"))
        return tuple(self._rows[at - 1][1:7]) if at else (0,) * 6

    def compare(self, told: Sequence[Top], *, exact: bool = True) -> list[str]:
        """What is wrong with the tops told from the first message to the last; nothing if empty.

        `exact`: whether the book was before.
        """
        wrong = []
        ends = [*told, Top(0, 0, 0, 0, 0, 0, 0, 0, self._messages + 1)]
        before = Top(0, 0, 0, 0, 0, 0, 0, int(exact), 0)
        for row in ends:
            if not row.sequence:
                # Told because of the host, at a time that only the next message bounds.
                self.returns += row.exact and not before.exact
                before = row
                continue
            if before.exact:
                now = self._state(row.sequence - 1)
                if before[1:7] != now:
                    wrong.append(f"exact before message {row.sequence}: {before}, not {now}")
            if row.exact:
                self.compared += 1
                if row[1:7] != self._state(row.sequence):
                    wrong.append(f"exact: {row}, not {self._state(row.sequence)}")
            before = row
        return wrong


def exact_cycles(tops: np.ndarray, began: int, ended: int) -> int:
    """For how many of these cycles the last top told of a symbol, exact at first, was exact."""
    edges = np.concatenate([[began], tops["cycle"].astype(np.int64), [ended]])
    exact = np.concatenate([[True], tops["exact"] != 0])
    return int(np.diff(edges)[exact].sum())


def configuration(locates: Sequence[int], *, base: int) -> Config:
    """All symbols, with windows from `base` (1e-4 USD) on; nothing is to be sent."""
    symbols = [
        {
            "name": f"SYM{index}",
            "stock_locate": locate,
            "tick_usd": usd(CENT),
            "window_base_usd": usd(base),
            "strategy": {},
            "limits": {},
        }
        for index, locate in enumerate(locates)
    ]
    feed = {"address": ethernet.format_ipv4(FEED_ADDRESS), "port": FEED_PORT}
    return Config.from_dict({"feed": feed, "session": SESSION, "symbols": symbols})


@dataclass(frozen=True, kw_only=True)
class MovingBench:
    """What became of the books.

    Members
    -------
    messages, cycles : int
    tops, exact_tops : int
        Told, and of them those that were compared, because they are exact.
    recentred : int
        Windows that were moved.
    cents_moved : int
        By how much, all in all.
    returned : int
        How often a book was exact again at the end of that.
    exact_share : float
        Of the time of all books, in how much the last top told was exact.
    exact_at_end : int
        Books that were exact at the end.
    disagreements : int
        The card's own checker.
    differences : list of str
        Where an exact top was not that of the market, or missing.
    """

    width: int
    symbols: int
    ticks: int
    messages: int
    cycles: int
    tops: int
    exact_tops: int
    recentred: int
    cents_moved: int
    returned: int
    exact_share: float
    exact_at_end: int
    disagreements: int
    differences: list[str]

    @property
    def right(self) -> bool:
        """True if nothing exact was wrong and every window that moved left its book exact."""
        return not self.differences and not self.disagreements and self.returned > 0

    def as_dict(self) -> dict:
        """All of it in plain types; the names are stable."""
        return asdict(self)


def measure(
    *,
    width: int = 8,
    messages: int = 100_000,
    seed: int = 1,
    pack: int | None = None,
    symbols: int = 4,
    quiet: bool = False,
) -> MovingBench:
    """Plays a moving market at the line rate to a card whose windows a host moves meanwhile.

    The host follows as fast as the card answers it, past the UART. With `pack`, frames are no
    larger than so many messages.
    """
    locates = range(101, 101 + symbols)
    middle, ticks = 10_000, SMALL["ticks"]
    rows = market(
        locates=locates,
        middle=middle,
        messages=messages,
        seed=seed,
        reach=ticks // 4,
        speed=ticks / 12_800,
    )
    base = (middle - ticks // 2) * CENT
    with Card(width=width, **SMALL, uart_divisor=0, quiet=quiet) as card:
        driver = Driver(card.serial)
        driver.apply(configuration(locates, base=base))
        driver.begin_day()
        for symbol in range(symbols):
            driver.set_whole(symbol)
        card.run(REST)
        card.take()
        feed, began = PortBesideFeed(card, rows, pack=pack), card.cycle
        driver = Driver(feed)
        follower = Follower(driver, pause_s=0)
        bases, moved, recentred = dict.fromkeys(follower.symbols, base), 0, 0
        while not feed.over:
            for name in follower.symbols:
                done = follower.look(name)
                if done is not None:
                    recentred += 1
                    moved += abs(done.base - bases[name]) // CENT
                    bases[name] = done.base
        card.run(REST)
        ended = card.cycle
        log = card.take()
        disagreements = driver.registers.read("book_disagreement")
    told = [Top(*(int(row[name]) for name in Top._fields)) for row in log.tops]
    rows_of_truth = truth(feed.messages, locates)
    differences, exact, returned, compared, at_end = [], 0, 0, 0, 0
    for symbol in range(symbols):
        mine = [row for row in told if row.symbol == symbol]
        checks = Tops([row for row in rows_of_truth if row.symbol == symbol], len(feed.messages))
        differences += [f"SYM{symbol}: {each}" for each in checks.compare(mine)]
        exact += exact_cycles(log.tops[log.tops["symbol"] == symbol], began, ended)
        returned, compared = returned + checks.returns, compared + checks.compared
        at_end += mine[-1].exact if mine else 1
    return MovingBench(
        width=width,
        symbols=symbols,
        ticks=ticks,
        messages=len(feed.messages),
        cycles=ended - began,
        tops=len(told),
        exact_tops=compared,
        recentred=recentred,
        cents_moved=moved,
        returned=returned,
        exact_share=round(exact / symbols / (ended - began), 4),
        exact_at_end=at_end,
        disagreements=disagreements,
        differences=differences,
    )
