"""Seeded order flow: a start of day and then trading in a few symbols, as ITCH 5.0 messages.

Ref: NASDAQ TotalView-ITCH 5.0; the message mix is that of a full Nasdaq day (2019-12-30).
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, log1p

import numpy as np

from tickgate.sim.model.feed import BUY, SELL, wire_struct
from tickgate.spec import itch50

__all__ = ["INSTRUMENTS", "MIX", "Instrument", "Market", "generate", "stream"]

MIX = {
    "A": 0.436,
    "D": 0.426,
    "U": 0.081,
    "E": 0.021,
    "F": 0.013,
    "X": 0.010,
    "P": 0.010,
    "C": 0.003,
}
"""Share of each message type in the flow after the open."""

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
OPEN = 9 * HOUR + HOUR // 2

STUB_BID = 100
STUB_ASK = 1_999_999_900
"""Prices in 1e-4 USD of the far orders with which market makers meet their duty to quote."""

ROUND_LOTS = (100, 100, 100, 100, 200, 200, 300, 400, 500, 500, 800, 1000, 2000, 5000)
ODD_LOTS = 0.25
SWEEPS = 0.45
EARLY_ORDERS = 200

RATE = 20_000.0
"""Messages a second after the open, on average."""
BURST = 12
"""Messages in a burst, on average."""
WITHIN_BURST = 400
"""Nanoseconds between two messages of a burst, on average."""
LOYALTY = 0.75
"""Share of a burst's messages that are of the symbol that began it."""

SIDE, TICK, SHARES = range(3)
"""Places in an order that the exchange keeps."""

ATTRIBUTIONS = (b"NSDQ", b"ATDF", b"CDRG", b"NITE", b"SUFI")


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """A symbol of the generated market. Prices in 1e-4 USD.

    `half_spread` and `reach` are in ticks: half of the usual spread, and how far from its
    first value the price may walk. `activity` is the share of the flow, relative to the others.
    """

    name: str
    locate: int
    price: int
    tick: int = 100
    half_spread: float = 1.0
    reach: int = 400
    activity: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.locate <= 0xFFFF:
            raise ValueError(f"locate must be in 1..65535, not {self.locate}")
        if self.tick < 1 or self.price % self.tick:
            raise ValueError(f"price {self.price} must be a multiple of the tick {self.tick}")
        if self.price <= (self.reach + 1) * self.tick:
            raise ValueError(f"price {self.price} must be more than {self.reach + 1} ticks")


INSTRUMENTS = (
    Instrument(name="ALFA", locate=13, price=3_201_500, half_spread=2.0, activity=3.0),
    Instrument(name="BRVO", locate=407, price=1_672_300, half_spread=1.0, activity=2.0),
    Instrument(name="CHRL", locate=1021, price=412_700, half_spread=0.6, activity=1.5),
    Instrument(name="DLTA", locate=2500, price=2_985_000, half_spread=4.0, activity=1.0),
    Instrument(name="ECHO", locate=3766, price=118_400, half_spread=0.6, activity=1.0),
    Instrument(name="FXTR", locate=5127, price=8_500, tick=1, half_spread=3.0, activity=0.5),
    Instrument(name="GOLF", locate=6890, price=871_900, half_spread=1.5, activity=0.7),
    Instrument(name="HOTL", locate=8203, price=249_100, half_spread=1.0, activity=0.3),
)
"""Eight made-up symbols, one of them below a dollar, where the tick is 0.0001 USD."""


@dataclass(frozen=True)
class Market:
    """Generated messages, each after its length in two octets, and what they trade."""

    data: bytes
    messages: int
    instruments: tuple[Instrument, ...]


class _Draws:
    """Uniform numbers in [0, 1), drawn from the generator a block at a time."""

    BLOCK = 65536

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._numbers = iter(())

    def real(self) -> float:
        for number in self._numbers:
            return number
        self._numbers = iter(self._rng.random(self.BLOCK).tolist())
        return next(self._numbers)

    def below(self, limit: int) -> int:
        return int(self.real() * limit)


class _References:
    """Order reference numbers: rising in each partition, interleaved in blocks between them."""

    PARTITIONS = 3
    BLOCK = 64

    def __init__(self) -> None:
        self._blocks = 157
        self._next = [self._block() for _ in range(self.PARTITIONS)]

    def take(self, partition: int) -> int:
        reference = self._next[partition]
        if (reference + 1) % self.BLOCK:
            self._next[partition] = reference + 1
        else:
            self._next[partition] = self._block()
        return reference

    def _block(self) -> int:
        self._blocks += 1
        return self._blocks * self.BLOCK


class _Stock:
    """The exchange's book of one symbol, and the value that its orders follow."""

    def __init__(self, instrument: Instrument, partition: int, draws: _Draws) -> None:
        self.instrument = instrument
        self.name = instrument.name.ljust(8).encode("ascii")
        self.partition = partition
        self.value = 0.0
        self.orders: dict[int, list] = {}
        self._draws = draws
        self._drift = 0.0
        self._regime = 0
        self._queues: tuple[dict, dict] = ({}, {})
        self._ticks: tuple[list, list] = ([], [])
        self._live: list[int] = []
        self._place: dict[int, int] = {}

    def walk(self, step: float) -> None:
        """Moves the value by one step of a random walk with trends, within reach."""
        if not self._regime:
            self._regime = 500 + self._draws.below(4000)
            self._drift = (self._draws.real() - 0.5) * 0.08
        self._regime -= 1
        reach = self.instrument.reach
        self.value = max(-reach, min(reach, self.value + self._drift + 0.06 * step))
        if abs(self.value) == reach:
            self._drift = -abs(self._drift) if self.value > 0 else abs(self._drift)

    def best(self, side: int) -> int | None:
        """Tick of the best level, relative to the first price."""
        ticks = self._ticks[side]
        return (ticks[-1] if side == BUY else ticks[0]) if ticks else None

    def price(self, tick: int) -> int:
        return self.instrument.price + tick * self.instrument.tick

    def aim(self, side: int) -> int:
        """A tick for a new order of `side`: it never crosses the book."""
        draws = self._draws
        depth = draws.real()
        if depth < 0.35:
            offset = 0
        elif depth < 0.85:
            offset = 1 + int(-4.0 * log1p(-draws.real()))
        elif depth < 0.99:
            offset = draws.below(60)
        else:
            offset = draws.below(400)
        half = self.instrument.half_spread
        lowest = 1 - self.instrument.price // self.instrument.tick
        other = self.best(1 - side)
        if side == BUY:
            tick = floor(self.value - half) - offset
            return max(lowest, tick if other is None else min(tick, other - 1))
        tick = ceil(self.value + half) + offset
        return max(lowest + 1, tick if other is None else max(tick, other + 1))

    def put(self, reference: int, side: int, tick: int, shares: int) -> None:
        self.orders[reference] = [side, tick, shares]
        queue = self._queues[side].get(tick)
        if queue is None:
            queue = self._queues[side][tick] = {}
            insort(self._ticks[side], tick)
        queue[reference] = None
        self._place[reference] = len(self._live)
        self._live.append(reference)

    def remove(self, reference: int) -> None:
        side, tick, _ = self.orders.pop(reference)
        queue = self._queues[side][tick]
        del queue[reference]
        if not queue:
            del self._queues[side][tick]
            ticks = self._ticks[side]
            del ticks[bisect_left(ticks, tick)]
        last = self._live.pop()
        place = self._place.pop(reference)
        if last != reference:
            self._live[place] = last
            self._place[last] = place

    def first(self, side: int) -> int:
        """The order of the best level that has waited longest."""
        return next(iter(self._queues[side][self.best(side)]))

    def thin_side(self) -> int:
        """The side that is empty, else either."""
        for side in (BUY, SELL):
            if not self._ticks[side]:
                return side
        return int(self._draws.real() < 0.5)

    def hit_side(self) -> int:
        """The side whose orders trade next: mostly the one the value moves towards."""
        bid, ask = self.best(BUY), self.best(SELL)
        if bid is None or ask is None or self._draws.real() < 0.3:
            return int(self._draws.real() < 0.5)
        return SELL if self.value > (bid + ask) / 2 else BUY

    def any(self) -> int:
        """An order picked at random."""
        return self._live[self._draws.below(len(self._live))]

    def stale(self) -> int | None:
        """An order at a best level that the value has left behind."""
        bid, ask = self.best(BUY), self.best(SELL)
        half = self.instrument.half_spread
        if ask is not None and ask < self.value + half - 0.5:
            return self.first(SELL)
        if bid is not None and bid > self.value - half + 0.5:
            return self.first(BUY)
        return None


class _Tape:
    """Writes messages, each after its length."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._heads = {
            type_: message.size.to_bytes(2, "big") for type_, message in itch50.MESSAGES.items()
        }
        self._structs = {type_: wire_struct(itch50.MESSAGES[type_]) for type_ in MIX}

    def order(self, type_: str, locate: int, time: int, *values) -> None:
        """A message of trading; `values` are those of the fields after the header."""
        self.parts.append(self._heads[type_])
        self.parts.append(
            self._structs[type_].pack(
                type_.encode(), locate, 0, time >> 32, time & 0xFFFF_FFFF, *values
            )
        )

    def other(self, type_: str, locate: int, time: int, **values) -> None:
        """Any message, its fields by name."""
        self.parts.append(self._heads[type_])
        self.parts.append(
            itch50.MESSAGES[type_].pack(
                stock_locate=locate, tracking_number=0, timestamp=time, **values
            )
        )

    @property
    def messages(self) -> int:
        return len(self.parts) // 2


class _Exchange:
    """Turns drawn message types into the messages of one day.

    A message that the book cannot serve (a Delete where few orders are left) becomes an Add.
    """

    FEW = 24
    SIDES = (b"B", b"S")

    def __init__(self, rng: np.random.Generator, instruments: Sequence[Instrument]) -> None:
        self.tape = _Tape()
        self._draws = draws = _Draws(rng)
        self.stocks = [
            _Stock(instrument, n % _References.PARTITIONS, draws)
            for n, instrument in enumerate(instruments)
        ]
        self._references = _References()
        self._match = 20_000
        self._sweep: _Stock | None = None
        self._displaced: deque[str] = deque()
        self._serve = {
            "D": self._delete,
            "U": self._replace,
            "X": self._cancel,
            "E": self._execute,
            "C": self._execute,
            "P": self._print,
        }

    def start_of_day(self, early_orders: int = EARLY_ORDERS) -> None:
        """System events, the directory of symbols, and the orders of the early hours."""
        tape, draws = self.tape, self._draws
        tape.other("S", 0, 3 * HOUR, event_code="O")
        time = 3 * HOUR + SECOND
        for stock in self.stocks:
            time += 40_000
            self._introduce(stock.instrument, time)
        tape.other("S", 0, 4 * HOUR, event_code="S")
        time = 7 * HOUR
        for stock in self.stocks:
            for side, price in ((BUY, STUB_BID), (SELL, STUB_ASK)):
                time += 1 + draws.below(SECOND)
                self._write_add("A", stock, time, self._reference(stock), side, 100, price)
            for n in range(early_orders):
                time += 1 + draws.below(SECOND)
                self._add("A", stock, time, n % 2)
        tape.other("S", 0, OPEN, event_code="Q")

    def trade(self, type_: str, stock: _Stock, time: int) -> None:
        """One message of the flow.

        An execution may sweep on: the next one then comes at once, and the type that was due
        comes where a later execution would have, so that the mix stays what it was.
        """
        if self._sweep is not None:
            stock, self._sweep = self._sweep, None
            if type_ != "E":
                self._displaced.append(type_)
                type_ = "E"
        elif type_ == "E" and self._displaced:
            type_ = self._displaced.popleft()
        if type_ == "A" or type_ == "F":
            self._add(type_, stock, time, stock.thin_side())
        elif len(stock.orders) < self.FEW or not self._serve[type_](type_, stock, time):
            self._add("A", stock, time, stock.thin_side())

    def _introduce(self, instrument: Instrument, time: int) -> None:
        tape, name, locate = self.tape, instrument.name, instrument.locate
        tape.other(
            "R",
            locate,
            time,
            stock=name,
            market_category="Q",
            financial_status="N",
            round_lot_size=100,
            round_lots_only="N",
            issue_classification="C",
            issue_subtype="Z",
            authenticity="P",
            short_sale_threshold="N",
            ipo_flag="N",
            luld_tier="1",
            etp_flag="N",
            etp_leverage=0,
            inverse="N",
        )
        tape.other("H", locate, time + 100, stock=name, trading_state="T", reserved="", reason="")
        tape.other("Y", locate, time + 200, stock=name, reg_sho_action="0")

    def _reference(self, stock: _Stock) -> int:
        return self._references.take(stock.partition)

    def _match_number(self) -> int:
        self._match += 1
        return self._match

    def _size(self) -> int:
        if self._draws.real() < ODD_LOTS:
            return 1 + self._draws.below(99)
        return ROUND_LOTS[self._draws.below(len(ROUND_LOTS))]

    def _add(self, type_: str, stock: _Stock, time: int, side: int) -> bool:
        reference, tick, shares = self._reference(stock), stock.aim(side), self._size()
        stock.put(reference, side, tick, shares)
        self._write_add(type_, stock, time, reference, side, shares, stock.price(tick))
        return True

    def _write_add(
        self,
        type_: str,
        stock: _Stock,
        time: int,
        reference: int,
        side: int,
        shares: int,
        price: int,
    ) -> None:
        values = [reference, self.SIDES[side], shares, stock.name, price]
        if type_ == "F":
            values.append(ATTRIBUTIONS[self._draws.below(len(ATTRIBUTIONS))])
        self.tape.order(type_, stock.instrument.locate, time, *values)

    def _delete(self, type_: str, stock: _Stock, time: int) -> bool:
        reference = stock.stale() if self._draws.real() < 0.6 else None
        if reference is None:
            reference = stock.any()
        stock.remove(reference)
        self.tape.order(type_, stock.instrument.locate, time, reference)
        return True

    def _replace(self, type_: str, stock: _Stock, time: int) -> bool:
        original = stock.stale() if self._draws.real() < 0.3 else None
        if original is None:
            original = stock.any()
        side, _, shares = stock.orders[original]
        stock.remove(original)
        reference, tick = self._reference(stock), stock.aim(side)
        if self._draws.real() < 0.3:
            shares = self._size()
        stock.put(reference, side, tick, shares)
        self.tape.order(
            type_, stock.instrument.locate, time, original, reference, shares, stock.price(tick)
        )
        return True

    def _cancel(self, type_: str, stock: _Stock, time: int) -> bool:
        reference = stock.any()
        order = stock.orders[reference]
        if order[SHARES] < 2:
            return False
        amount = 1 + self._draws.below(order[SHARES] - 1)
        order[SHARES] -= amount
        self.tape.order(type_, stock.instrument.locate, time, reference, amount)
        return True

    def _execute(self, type_: str, stock: _Stock, time: int) -> bool:
        draws = self._draws
        side = stock.hit_side()
        if stock.best(side) is None:
            return False
        reference = stock.first(side)
        order = stock.orders[reference]
        amount = order[SHARES]
        if amount > 1 and draws.real() < 0.3:
            amount = 1 + draws.below(amount - 1)
        values = [reference, amount, self._match_number()]
        if type_ == "C":
            better = draws.below(2) * (1 if side == BUY else -1)
            values += [b"N" if draws.real() < 0.1 else b"Y", stock.price(order[TICK] + better)]
        self.tape.order(type_, stock.instrument.locate, time, *values)
        if amount == order[SHARES]:
            stock.remove(reference)
            if type_ == "E" and draws.real() < SWEEPS:
                self._sweep = stock
        else:
            order[SHARES] -= amount
        return True

    def _print(self, type_: str, stock: _Stock, time: int) -> bool:
        self.tape.order(
            type_,
            stock.instrument.locate,
            time,
            0,
            b"B",
            self._size(),
            stock.name,
            stock.price(round(stock.value)),
            self._match_number(),
        )
        return True


def _times(
    rng: np.random.Generator, messages: int, rate: float, start: int
) -> tuple[np.ndarray, np.ndarray]:
    """Timestamps from `start` on, and the number of the burst that each message belongs to."""
    starts = rng.random(messages) < 1 / BURST
    starts[0] = True
    within = np.where(rng.random(messages) < 0.05, 0, rng.exponential(WITHIN_BURST, messages))
    pause = max(BURST * SECOND / rate - (BURST - 1) * WITHIN_BURST, WITHIN_BURST)
    steps = np.where(starts, rng.exponential(pause, messages), within).astype(np.int64)
    return start + np.cumsum(steps), np.cumsum(starts) - 1


def generate(
    *,
    seed: int = 1,
    messages: int = 200_000,
    instruments: Sequence[Instrument] = INSTRUMENTS,
    rate: float = RATE,
    early_orders: int = EARLY_ORDERS,
) -> Market:
    """Generates a start of day and then trading, `messages` messages in all.

    The same arguments give the same octets. Timestamps never fall; messages come in bursts, most
    of them of one symbol. No book is ever locked or crossed.

    Parameters
    ----------
    seed : int
        Of the one generator that everything is drawn from.
    messages : int
        At least as many as the start of day of the instruments takes.
    instruments : sequence of Instrument
        Symbols, with distinct locates.
    rate : float
        Messages a second after the open, on average.
    early_orders : int
        Orders of each symbol before the open, beside the two far ones.

    Raises ValueError where the messages do not suffice or two instruments share a locate.
    """
    locates = [instrument.locate for instrument in instruments]
    if not locates or len(set(locates)) != len(locates):
        raise ValueError("instruments must be at least one, and their locates distinct")
    if rate <= 0:
        raise ValueError(f"rate must be positive, not {rate}")
    rng = np.random.default_rng(seed)
    exchange = _Exchange(rng, instruments)
    exchange.start_of_day(early_orders)
    flow = messages - exchange.tape.messages
    if flow < 1:
        raise ValueError(f"messages must be more than {exchange.tape.messages}, not {messages}")
    _trade(exchange, rng, flow, rate=rate)
    return Market(b"".join(exchange.tape.parts), exchange.tape.messages, tuple(instruments))


def stream(
    *, seed: int = 1, instruments: Sequence[Instrument] = INSTRUMENTS, block: int = 4096
) -> Iterator[bytes]:
    """Generates a start of day and then trading without end, message by message.

    As `generate`, but timestamps are those of a `rate` of its default, and the octets after the
    start of day are others: what is drawn is drawn a block of messages at a time.
    """
    rng = np.random.default_rng(seed)
    exchange = _Exchange(rng, instruments)
    exchange.start_of_day()
    last = OPEN
    while True:
        yield from exchange.tape.parts[1::2]
        exchange.tape.parts.clear()
        last = _trade(exchange, rng, block, start=last)


def _trade(
    exchange: _Exchange,
    rng: np.random.Generator,
    flow: int,
    *,
    rate: float = RATE,
    start: int = OPEN,
) -> int:
    """Draws so many messages of trading from `start` on; returns the time of the last one."""
    activity = np.array([stock.instrument.activity for stock in exchange.stocks])
    activity /= activity.sum()
    times, bursts = _times(rng, flow, rate, start)
    leaders = rng.choice(len(activity), size=bursts[-1] + 1, p=activity)
    strays = rng.choice(len(activity), size=flow, p=activity)
    stocks = np.where(rng.random(flow) < LOYALTY, leaders[bursts], strays)
    shares = np.array(list(MIX.values()))
    types = rng.choice(list(MIX), size=flow, p=shares / shares.sum())
    steps = rng.standard_normal(flow)
    for type_, index, time, step in zip(
        types.tolist(), stocks.tolist(), times.tolist(), steps.tolist(), strict=True
    ):
        stock = exchange.stocks[index]
        stock.walk(step)
        exchange.trade(type_, stock, time)
    return int(times[-1])
