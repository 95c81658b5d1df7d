"""Background order flow: ITCH messages, generated or of a file, played as orders of others.

Ref: NASDAQ TotalView-ITCH 5.0, sections 4.3 to 4.4.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tickgate.sim.capture import InputError, ItchFile, open_input
from tickgate.sim.exchange.book import Order, Symbol
from tickgate.sim.exchange.engine import Engine, Fill, Prevented
from tickgate.sim.market import Instrument, stream
from tickgate.sim.model import feed
from tickgate.spec.fields import WireError
from tickgate.spec.itch50 import EventCode, TradingState
from tickgate.spec.ouch50 import CancelReason

__all__ = ["Crowd", "Pace", "file_messages", "file_symbols", "generated"]

TURN = 0.005
"""Seconds between two turns of the flow."""
LATE = 1.0
"""Seconds that the flow may be late before it gives up what it owes."""
MOST = 500
"""Messages in one turn, so that clients get theirs."""


class Crowd:
    """The participants behind a tape: the `Owner` of every order on it.

    An add is a limit order, a delete and a cancel take it back, a replace replaces it. An
    execution is an immediate-or-cancel order of the other side, of the same shares and at the
    price of the order that the tape names: it trades with whoever has priority by then, a client
    perhaps. Trading actions set the state of their symbol.

    What the tape wants of an order that a client took before is skipped, as are prints of hidden
    orders, new orders of a symbol that does not trade, and messages of symbols that the venue
    does not have; all are counted.

    Members
    -------
    counters : Counter
        played, gone, prints, halted, other_symbol, malformed, ignored.
    """

    def __init__(self, engine: Engine) -> None:
        self.counters: Counter[str] = Counter()
        self._engine = engine
        self._symbols = {symbol.locate: symbol for symbol in engine.symbols.values()}
        self._orders: dict[int, Order] = {}

    def play(self, octets: bytes) -> feed.Message | None:
        """Does what one message says; returns it, None where it is malformed."""
        try:
            message = feed.decode(octets)
        except WireError:
            self.counters["malformed"] += 1
            return None
        symbol = self._symbols.get(message.locate)
        if symbol is None:
            self.counters["other_symbol" if message.locate else "ignored"] += 1
        elif message.type in "AFUEC" and not self._engine.trades_in(symbol):
            self.counters["halted"] += 1
        elif message.type in "AF":
            self._add(message, symbol)
        elif message.type in "DXUEC":
            self._change(message, symbol)
        elif message.type == "H":
            self._state(message, symbol)
        else:
            self.counters["prints" if message.type == "P" else "ignored"] += 1
        return message

    def _add(self, message: feed.Message, symbol: Symbol) -> None:
        if not message.shares or not message.price:
            self.counters["malformed"] += 1
            return
        self.counters["played"] += 1
        order = self._engine.enter(
            self,
            message.reference,
            symbol=symbol,
            side=message.side,
            price=message.price,
            shares=message.shares,
        )
        self._keep(order)

    def _change(self, message: feed.Message, symbol: Symbol) -> None:
        order = self._orders.get(message.reference)
        if order is None:
            self.counters["gone"] += 1
            return
        self.counters["played"] += 1
        match message.type:
            case "D":
                self._engine.reduce(order, 0, CancelReason.USER_REQUESTED)
            case "X":
                leaves = max(0, order.leaves - message.shares)
                self._engine.reduce(order, leaves, CancelReason.USER_REQUESTED)
            case "U":
                self._forget(order)
                self._keep(
                    self._engine.replace(
                        order, message.new_reference, price=message.price, shares=message.shares
                    )
                )
            case _:
                self._engine.enter(
                    self,
                    0,
                    symbol=symbol,
                    side=1 - order.side,
                    price=order.price,
                    shares=message.shares,
                    immediate=True,
                )

    def _state(self, message: feed.Message, symbol: Symbol) -> None:
        if message.code not in set(TradingState):
            self.counters["malformed"] += 1
            return
        if message.code != self._engine.states[symbol.name]:
            self._engine.set_state(symbol, TradingState(message.code))
        self.counters["played"] += 1

    def _keep(self, order: Order) -> None:
        if order.leaves:
            self._orders[order.token] = order

    def _forget(self, order: Order) -> None:
        self._orders.pop(order.token, None)

    # Owner

    def accepted(self, order: Order, time: int) -> None:
        """The tape knows."""

    def replaced(self, old: Order, order: Order, time: int) -> None:
        """The tape knows."""

    def executed(self, fill: Fill, time: int) -> None:
        """An order that is filled is no longer kept."""
        if not fill.order.leaves:
            self._forget(fill.order)

    def canceled(self, order: Order, shares: int, reason: CancelReason, time: int) -> None:
        """An order that is gone is no longer kept."""
        if not order.leaves:
            self._forget(order)

    def prevented(self, prevented: Prevented, time: int) -> None:
        """Never: the tape's orders name no strategy."""

    def broken(self, fill: Fill, time: int) -> None:
        """The tape does not keep accounts."""


class Pace:
    """Plays messages at a rate, in the loop's time.

    Who is late catches up, but no more than by a second's worth; the rest is given up.

    Parameters
    ----------
    messages : iterable of bytes
    play : callable
    rate : float
        Messages a second.

    Members
    -------
    played : int
    ended : bool
        There are no more messages.
    """

    def __init__(
        self, messages: Iterable[bytes], play: Callable[[bytes], object], *, rate: float
    ) -> None:
        if rate <= 0:
            raise ValueError(f"rate must be positive, not {rate}")
        self.played = 0
        self.ended = False
        self._messages = iter(messages)
        self._play = play
        self._rate = rate

    async def run(self) -> None:
        """Plays until the messages end, or until it is cancelled."""
        clock = asyncio.get_running_loop().time
        owed, last = 0.0, clock()
        while not self.ended:
            await asyncio.sleep(TURN)
            now = clock()
            owed = min(owed + (now - last) * self._rate, max(1.0, LATE * self._rate))
            last = now
            turn = min(int(owed), MOST)
            owed -= self.take(turn)

    def take(self, count: int) -> int:
        """Plays up to so many messages at once, and returns how many there were."""
        for done in range(count):
            message = next(self._messages, None)
            if message is None:
                self.ended = True
                return done
            self._play(message)
            self.played += 1
        return count


def generated(seed: int, instruments: Iterable[Instrument]) -> tuple[list[bytes], Iterator[bytes]]:
    """A generated market: the messages before the open, and those that follow without end."""
    messages = stream(seed=seed, instruments=tuple(instruments))
    opening = []
    for octets in messages:
        opening.append(octets)
        if feed.decode(octets).code == EventCode.START_OF_MARKET_HOURS:
            break
    return opening, messages


def file_messages(path: Path) -> Iterator[bytes]:
    """The messages of an ITCH file. Raises `InputError` as `ItchFile` does."""
    for batch in _open(path).batches():
        octets = batch.octets.tobytes()
        for begin, size in zip(batch.begin.tolist(), batch.size.tolist(), strict=True):
            yield octets[begin : begin + size]


def file_symbols(path: Path, names: Iterable[str] = ()) -> list[Symbol]:
    """The symbols of an ITCH file by its directory and its orders, or those that are asked for.

    Raises `InputError` where a name is not in the file, or none is.
    """
    found: dict[str, int] = {}
    for batch in _open(path).batches():
        for type_ in ("R", "A", "F"):
            part = batch.of_type(type_)
            if len(part):
                texts = (text.decode("latin-1").strip() for text in part.texts(type_, "stock"))
                found.update(zip(texts, part.header("stock_locate").tolist(), strict=True))
    names = list(names)
    for name in names:
        if name not in found:
            known = ", ".join(sorted(found)[:8]) or "none"
            raise InputError(f"{path}: has no symbol {name!r}; it has {known}")
    if not found:
        raise InputError(f"{path}: names no symbol: no Stock Directory and no Add Order is in it")
    try:
        return [Symbol(name=name, locate=found[name]) for name in names or found]
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def _open(path: Path) -> ItchFile:
    opened = open_input(path)
    if not isinstance(opened, ItchFile):
        raise InputError(f"{path}: is a capture; --itch takes a file of ITCH 5.0 messages")
    return opened
