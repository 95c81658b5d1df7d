"""What an input holds, found before it is replayed: names, busiest symbols, price windows.

Ref: NASDAQ TotalView-ITCH 5.0, section 4.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tickgate.sim.capture import InputError
from tickgate.sim.messages import Messages
from tickgate.spec import itch50, ouch50

__all__ = ["Scan", "Tracked", "choose", "place_window"]

CENT = 100
"""The tick of prices from 1 USD on, in 1e-4 USD."""
DOLLAR = 10_000

BUYS, SELLS, TRADES = 0, 1, 2

# An order that is better than anything in the window makes the top inexact while it lives; one
# that the window misses on its far side costs nothing but itself.
BETTER_COST = 4
# Coverage that is given up to have the prices in the middle of the window.
SLACK = 0.005

MERGE_AT = 1 << 21

NAMING = [type_ for type_, message in itch50.MESSAGES.items() if "stock" in message]


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """A symbol that the card is to follow, and how.

    Parameters
    ----------
    index : int
        Of the symbol in the card.
    locate : int
        Stock locate.
    name : str
        Its name, or `#locate` where the input never tells it.
    tick, base : int
        Of the price window, in 1e-4 USD.
    whole : bool
        The input shows the symbol's book from its start.
    unknown_references : int
        References used without having been added.
    book_messages : int
    """

    index: int
    locate: int
    name: str
    tick: int
    base: int
    whole: bool
    unknown_references: int
    book_messages: int

    @property
    def named(self) -> bool:
        """True if the input tells the name, without which no order can be sent."""
        return not self.name.startswith("#")


class Scan:
    """Collects the facts of one pass over the messages of an input.

    Members
    -------
    messages : int
    malformed : int
        Messages of unknown type, or of another length than their type has.
    by_type : dict of str to int
    names : dict of int to str
        By stock locate.
    book_messages : array of int
        By stock locate.
    unknown_references : array of int
        By stock locate.
    directory_first : set of int
        Locates with a Stock Directory message before their first order.
    tradable : set of int
        Locates that were ever in the trading state T.
    market_opens : bool
        A system event says that regular market hours begin.
    first_ns, last_ns : int or None
        Timestamps, ns since midnight.
    """

    def __init__(self) -> None:
        self.messages = 0
        self.malformed = 0
        self.by_type: dict[str, int] = {}
        self.names: dict[int, str] = {}
        self.book_messages = np.zeros(1 << 16, np.int64)
        self.unknown_references = np.zeros(1 << 16, np.int64)
        self.directory_first: set[int] = set()
        self.tradable: set[int] = set()
        self.market_opens = False
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self._fallback_names: dict[int, str] = {}
        self._ordered = np.zeros(1 << 16, bool)
        self._live: dict[int, int] = {}
        self._unknown_at_gap: np.ndarray | None = None
        self._prices = (np.empty(0, np.uint64), np.empty(0, np.int64))
        self._pending: list[np.ndarray] = []
        self._pending_size = 0

    def update(self, batch: Messages, *, continuous: bool = True) -> None:
        """Takes the next messages of the input; not `continuous`: some are missing before them."""
        if not continuous and self._unknown_at_gap is None:
            self._unknown_at_gap = self.unknown_references.copy()
        sound = batch.well_formed
        self.messages += len(batch)
        self.malformed += len(batch) - int(np.count_nonzero(sound))
        batch = batch.of(sound)
        if not len(batch):
            return
        kinds, counts = np.unique(batch.types, return_counts=True)
        for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
            self.by_type[chr(kind)] = self.by_type.get(chr(kind), 0) + count
        times = batch.header("timestamp")
        self.first_ns = int(times[0]) if self.first_ns is None else self.first_ns
        self.last_ns = int(times[-1])
        self._take_names(batch)
        self._take_states(batch)
        self._take_trades(batch)
        self._take_orders(batch.of_type(*itch50.BOOK_TYPES))

    def prices(self, locate: int, kind: int) -> tuple[np.ndarray, np.ndarray]:
        """Prices of a symbol's orders (BUYS, SELLS) or TRADES, ascending, and how often each."""
        self._merge()
        keys, counts = self._prices
        first = (locate << 2 | kind) << 32
        begin, end = np.searchsorted(keys, np.array([first, first + (1 << 32)], np.uint64))
        return (keys[begin:end] & np.uint64(0xFFFF_FFFF)).astype(np.int64), counts[begin:end]

    def is_whole(self, locate: int, *, from_start: bool = True) -> bool:
        """True if nothing shows that the book of a symbol was not empty when the input began.

        `from_start`: the input may begin with the session. Otherwise, and where a reference of any
        symbol was never added, only a Stock Directory message before the first order will do.
        """
        # What comes after the first gap says nothing of the beginning.
        unknown = self.unknown_references
        if self._unknown_at_gap is not None:
            unknown = self._unknown_at_gap
        if unknown[locate]:
            return False
        all_known = from_start and not unknown.any()
        return bool(all_known or locate in self.directory_first)

    def name(self, locate: int) -> str:
        """The name of a symbol, or `#locate`."""
        return self.names.get(locate) or self._fallback_names.get(locate) or f"#{locate}"

    def locates(self) -> list[int]:
        """Every locate of a symbol with a book message or a name, the busiest first."""
        known = set(np.flatnonzero(self.book_messages).tolist())
        known.update(self.names, self._fallback_names)
        known.discard(0)
        return sorted(known, key=lambda locate: (-self.book_messages[locate], locate))

    def _take_names(self, batch: Messages) -> None:
        directory = batch.where("R")
        if len(directory):
            entries = batch.of(directory)
            for locate, text in zip(
                entries.header("stock_locate").tolist(),
                entries.texts("R", "stock").tolist(),
                strict=True,
            ):
                self.names[locate] = _name(text)
            self._note_first_directory(batch, directory)
        for type_ in NAMING:
            entries = batch.of_type(type_)
            locates = entries.header("stock_locate")
            _, firsts = np.unique(locates, return_index=True)
            texts = entries.of(firsts).texts(type_, "stock").tolist()
            for locate, text in zip(locates[firsts].tolist(), texts, strict=True):
                self._fallback_names.setdefault(locate, _name(text))

    def _note_first_directory(self, batch: Messages, directory: np.ndarray) -> None:
        orders = batch.where(*itch50.BOOK_TYPES)
        locates, firsts = np.unique(batch.of(orders).header("stock_locate"), return_index=True)
        first_order = dict(zip(locates.tolist(), orders[firsts].tolist(), strict=True))
        entries = batch.of(directory).header("stock_locate").tolist()
        for locate, at in zip(entries, directory.tolist(), strict=True):
            if not self._ordered[locate] and at < first_order.get(locate, at + 1):
                self.directory_first.add(locate)

    def _take_states(self, batch: Messages) -> None:
        actions = batch.of_type("H")
        states = actions.numbers("H", "trading_state") == ord(itch50.TradingState.TRADING)
        self.tradable.update(actions.of(states).header("stock_locate").tolist())
        events = batch.of_type("S").numbers("S", "event_code")
        self.market_opens |= bool((events == ord(itch50.EventCode.START_OF_MARKET_HOURS)).any())

    def _take_trades(self, batch: Messages) -> None:
        for type_, field in ("P", "price"), ("C", "execution_price"):
            trades = batch.of_type(type_)
            kinds = np.full(len(trades), TRADES)
            self._note_prices(trades.header("stock_locate"), kinds, trades.numbers(type_, field))

    def _take_orders(self, orders: Messages) -> None:
        """Follows each reference from its add on, and notes the prices of orders by side."""
        locates = orders.header("stock_locate")
        counts = np.bincount(locates.astype(np.int64), minlength=1 << 16)
        self.book_messages += counts
        self._ordered |= counts > 0
        types = orders.types
        adds = np.isin(types, [ord("A"), ord("F")])
        replaces = types == ord("U")
        sides = np.zeros(len(orders), np.int64)
        # F is laid out as A, and every book message has its first reference in the same place.
        sides[adds] = orders.of(adds).numbers("A", "side") == ord(itch50.SELL)
        references = orders.numbers("D", "order_ref")
        renewed = np.zeros(len(orders), np.uint64)
        renewed[replaces] = orders.of(replaces).numbers("U", "new_order_ref")
        found = self._follow(types, locates, sides, references, renewed)
        inherited = found[replaces]
        prices = np.zeros(len(orders), np.uint64)
        prices[adds] = orders.of(adds).numbers("A", "price")
        prices[replaces] = orders.of(replaces).numbers("U", "price")
        sides[replaces] = inherited
        priced = adds | (replaces & (found >= 0))
        self._note_prices(locates[priced], sides[priced], prices[priced])

    def _follow(self, types, locates, sides, references, renewed) -> np.ndarray:
        """The side of the order that each message names, -1 where it was never added."""
        live = self._live
        delete, replace = ord("D"), ord("U")
        found = [-1] * len(types)
        owners = (locates.astype(np.int64) << 1).tolist()
        adds = np.isin(types, [ord("A"), ord("F")]).tolist()
        rows = zip(
            types.tolist(),
            adds,
            owners,
            sides.tolist(),
            references.tolist(),
            renewed.tolist(),
            strict=True,
        )
        for at, (type_, add, owner, side, reference, new_reference) in enumerate(rows):
            if add:
                live[reference] = owner | side
                continue
            order = live.get(reference, -1)
            if order & ~1 != owner:
                self.unknown_references[owner >> 1] += 1
                continue
            found[at] = order & 1
            if type_ == delete:
                del live[reference]
            elif type_ == replace:
                del live[reference]
                live[new_reference] = order
        return np.array(found, np.int64)

    def _note_prices(self, locates: np.ndarray, kinds: np.ndarray, prices: np.ndarray) -> None:
        keys = locates.astype(np.uint64) << np.uint64(2) | kinds.astype(np.uint64)
        self._pending.append(keys << np.uint64(32) | prices)
        self._pending_size += len(keys)
        if self._pending_size > MERGE_AT:
            self._merge()

    def _merge(self) -> None:
        """Adds up what is pending, so that memory grows with distinct prices only."""
        if not self._pending_size:
            return
        keys, counts = self._prices
        pending = np.concatenate(self._pending)
        unique, place = np.unique(np.concatenate([keys, pending]), return_inverse=True)
        weights = np.concatenate([counts, np.ones(len(pending), np.int64)])
        self._prices = (unique, np.bincount(place, weights=weights).astype(np.int64))
        self._pending, self._pending_size = [], 0


def choose(
    scan: Scan,
    *,
    capacity: int,
    locates: int,
    ticks: int,
    names: Sequence[str] = (),
    from_start: bool = True,
) -> list[Tracked]:
    """The symbols to follow: those named, else the busiest that the card has room for.

    Parameters
    ----------
    capacity : int
        Symbols that the card can follow.
    locates : int
        Stock locates that the card knows.
    ticks : int
        Levels of a price window.
    names : sequence of str
        Names, or `#locate`; none: the busiest.
    from_start : bool
        See `Scan.is_whole`.

    Raises `InputError` for a name that the input does not hold, and for too many.
    """
    if len(names) > capacity:
        raise InputError(
            f"{len(names)} symbols are asked for, the card has room for {capacity}: "
            "ask for fewer, or for a card with --capacity"
        )
    known = scan.locates()
    if names:
        chosen = _find(scan, known, names)
        beyond = [locate for locate in chosen if locate >= locates]
        if beyond:
            raise InputError(
                f"{scan.name(beyond[0])} has stock locate {beyond[0]}, the card knows those "
                f"below {locates}"
            )
    else:
        # A card follows at least one symbol, even where the input has none.
        chosen = [locate for locate in known or [1] if locate < locates][:capacity]
    tracked = []
    for index, locate in enumerate(chosen):
        tick, base = place_window(scan, locate, ticks)
        tracked.append(
            Tracked(
                index=index,
                locate=locate,
                name=scan.name(locate),
                tick=tick,
                base=base,
                whole=scan.is_whole(locate, from_start=from_start),
                unknown_references=int(scan.unknown_references[locate]),
                book_messages=int(scan.book_messages[locate]),
            )
        )
    return tracked


def place_window(scan: Scan, locate: int, ticks: int) -> tuple[int, int]:
    """Tick and base of the window of `ticks` levels that serves a symbol best.

    It holds the most orders and trades and lets the fewest orders be better than itself; within
    `SLACK` of that, its middle is nearest to the median price. The tick is a cent, or 0.0001 USD
    for a symbol below 1 USD whose window is better for it.
    """
    kinds = [scan.prices(locate, kind) for kind in (BUYS, SELLS, TRADES)]
    prices, counts = (np.concatenate(parts) for parts in zip(*kinds, strict=True))
    if not len(prices):
        return CENT, 0
    order = np.argsort(prices)
    cumulated = np.cumsum(counts[order])
    middle = int(prices[order][np.searchsorted(cumulated, (cumulated[-1] + 1) // 2)])
    best = None
    for tick in (CENT, 1) if middle < DOLLAR else (CENT,):
        score, base = _best_base(kinds, tick, ticks, middle)
        if best is None or score > best[0]:
            best = (score, tick, base)
    return best[1], best[2]


def _best_base(kinds, tick: int, ticks: int, middle: int) -> tuple[int, int]:
    """The score and base of the best window with this tick."""
    span = tick * ticks
    prices = np.unique(np.concatenate([prices for prices, _ in kinds]))
    aligned = prices // tick * tick
    edges = np.concatenate([aligned, aligned + tick, aligned - span, aligned - span + tick])
    highest = (ouch50.MAX_PRICE - span) // tick * tick
    starts = np.unique(np.clip(edges, 0, highest))
    if starts[0]:
        starts = np.concatenate([[0], starts])
    score = np.zeros(len(starts), np.int64)
    for kind, (at, counts) in enumerate(kinds):
        on_grid = at % tick == 0
        regular = _Counter(at[on_grid], counts[on_grid])
        odd = _Counter(at[~on_grid], counts[~on_grid])
        score += regular.between(starts, starts + span)
        if kind == BUYS:
            score -= BETTER_COST * (regular.from_(starts + span) + odd.from_(starts))
        elif kind == SELLS:
            score -= BETTER_COST * (regular.below(starts) + odd.below(starts + span))
    total = sum(int(counts.sum()) for _, counts in kinds)
    good = np.flatnonzero(score >= score.max() - int(SLACK * total))
    wish = min(max(0, (middle - span // 2) // tick * tick), highest)
    last = np.append(starts[1:] - tick, max(int(starts[-1]), wish))
    nearest = np.clip(wish, starts, last)
    pick = good[np.argmin(np.abs(nearest[good] - wish))]
    return int(score[pick]), int(nearest[pick])


class _Counter:
    """How many orders have a price in a range; `prices` ascend."""

    def __init__(self, prices: np.ndarray, counts: np.ndarray) -> None:
        self._prices = prices
        self._sums = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def below(self, prices: np.ndarray) -> np.ndarray:
        return self._sums[np.searchsorted(self._prices, prices)]

    def from_(self, prices: np.ndarray) -> np.ndarray:
        return self._sums[-1] - self.below(prices)

    def between(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        return self.below(end) - self.below(begin)


def _name(text: bytes) -> str:
    return text.decode("latin-1").rstrip()


def _find(scan: Scan, known: Iterable[int], names: Sequence[str]) -> list[int]:
    by_name = {scan.name(locate): locate for locate in reversed(list(known))}
    by_name.update({f"#{locate}": locate for locate in known})
    found = []
    for name in names:
        locate = by_name.get(name, by_name.get(name.upper()))
        if locate is None:
            raise InputError(f"the input has no symbol {name!r}{_near(name, by_name)}")
        if locate in found:
            raise InputError(f"symbol {name!r} is asked for twice")
        found.append(locate)
    return found


def _near(name: str, by_name: dict[str, int]) -> str:
    candidates = sorted(candidate for candidate in by_name if not candidate.startswith("#"))
    near = difflib.get_close_matches(name.upper(), candidates, n=5, cutoff=0.5)
    if near:
        return f"; near: {', '.join(near)}"
    if 0 < len(candidates) <= 8:
        return f"; it has {', '.join(candidates)}"
    return f"; it has {len(candidates)} others" if candidates else ""
