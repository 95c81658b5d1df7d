"""The venue put together: engine, ports, feed and their sockets."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tickgate.sim.exchange.accounts import Account, default_accounts
from tickgate.sim.exchange.book import Symbol
from tickgate.sim.exchange.engine import Engine
from tickgate.sim.exchange.itch import ItchFeed
from tickgate.sim.exchange.mold import MAX_DATAGRAM, FeedServer, Line, Publisher, RerequestServer
from tickgate.sim.exchange.ouch import OuchPort
from tickgate.sim.exchange.server import SoupServer
from tickgate.sim.exchange.snapshot import SnapshotGate, snapshot
from tickgate.sim.exchange.soup import Session, Timers
from tickgate.sim.model.feed import BUY, SELL

__all__ = ["Address", "BindError", "Settings", "Venue", "day_clock", "new_session"]

Address = tuple[str, int]

DAY_NS = 86_400 * 1_000_000_000
START_OF_DAY, END_OF_DAY = "S", "E"


def day_clock() -> Callable[[], int]:
    """Nanoseconds since midnight, local time, from a clock that never steps back."""
    now = time.localtime()
    start = (now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec) * 1_000_000_000
    began = time.monotonic_ns()
    return lambda: (start + time.monotonic_ns() - began) % DAY_NS


def new_session() -> str:
    """A name of 10 characters that no run before this one had."""
    return f"TG{int(time.time()) % 10**8:08d}"


class BindError(OSError):
    """A socket that cannot be had; `option` says which."""

    def __init__(self, option: str, address: Address, error: OSError) -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.option = option
        self.address = address


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a venue is to be. Addresses are host and port; port 0 is any free one.

    `lines` are multicast groups and ports by the option that named them; `interface` is the
    address of the interface that they leave by. `notice` is told of sessions in a line of text.
    """

    symbols: Sequence[Symbol]
    accounts: Mapping[str, Account] = field(default_factory=default_accounts)
    session: str = field(default_factory=new_session)
    ouch: Address = ("127.0.0.1", 0)
    lines: Mapping[str, Address] = field(default_factory=dict)
    interface: str = "127.0.0.1"
    ttl: int = 1
    rerequest: Address | None = None
    snapshot: Address | None = None
    datagram: int = MAX_DATAGRAM
    feed_heartbeat: float = 1.0
    timers: Timers = field(default_factory=Timers)
    clock: Callable[[], int] = field(default_factory=day_clock)
    journal: Callable[[str, str, bytes], None] | None = None
    notice: Callable[[str], None] = lambda text: None


class Venue:
    """A day of trading, from `start` to `stop`.

    It is the `Gate` of its OUCH server: a user name is an account, and an account a port.

    Members
    -------
    engine : Engine
    feed : ItchFeed
    ports : dict of str to OuchPort
        By user name.
    session : str
        The name of the SoupBinTCP and MoldUDP64 sessions.
    addresses : dict of str to Address
        Where it listens and sends, by option.
    """

    def __init__(self, settings: Settings) -> None:
        self.session = settings.session
        self.addresses: dict[str, Address] = {}
        self.lines: dict[str, Line] = {}
        self.feed = ItchFeed(settings.symbols, told=self._told)
        self.engine = Engine(settings.symbols, market=self.feed, clock=settings.clock)
        self.ports = {
            name: OuchPort(
                name,
                engine=self.engine,
                clock=settings.clock,
                firm=account.firm,
                self_match=account.self_match,
                cancel_on_disconnect=account.cancel_on_disconnect,
                journal=settings.journal,
                notice=settings.notice,
            )
            for name, account in settings.accounts.items()
        }
        self.rerequest = RerequestServer(
            session=self.session, messages=self.feed.messages, limit=settings.datagram
        )
        self.publisher: Publisher | None = None
        self._settings = settings
        self.snapshots = SnapshotGate(
            session=self.session,
            admits=lambda username, password: self.admit(username, password) is not None,
            messages=lambda: snapshot(self.engine, self.feed),
        )
        self._ouch = SoupServer(self, timers=settings.timers, ended=self._ended)
        self._snapshot = SoupServer(self.snapshots, timers=settings.timers)
        self._feed: FeedServer | None = None

    def status(self) -> dict[str, int]:
        """How much there is of everything."""
        return {
            "messages": len(self.feed.messages),
            "datagrams": 0 if self.publisher is None else self.publisher.datagrams,
            "send_failures": sum(line.failures for line in self.lines.values()),
            "orders": len(self.engine.orders),
            "trades": self.engine.matches,
            "connections": len(self._ouch.sessions),
            "logged_in": sum(port.connected for port in self.ports.values()),
            "received": sum(port.counters["received"] for port in self.ports.values()),
            "snapshots": self.snapshots.taken,
            "rerequests": self.rerequest.counters["answered"],
        }

    def admit(self, username: str, password: str) -> OuchPort | None:
        """The port of a user; names and passwords are not case-sensitive."""
        account = self._settings.accounts.get(username.upper())
        if account is None or account.password.upper() != password.upper():
            return None
        return self.ports[username.upper()]

    async def start(self) -> None:
        """Opens the sockets and begins the day. Raises BindError, with nothing left open."""
        try:
            await self._bind()
        except BindError:
            await self._release()
            raise
        self.engine.start()
        for port in self.ports.values():
            port.system_event(START_OF_DAY)
        self._feed.start()

    async def stop(self) -> None:
        """Ends the day, once: orders time out, clients and receivers are told, sockets close."""
        if not self.engine.open:
            return
        self.engine.close()
        for port in self.ports.values():
            port.system_event(END_OF_DAY)
        await self._release()

    def marks(self) -> dict[str, int]:
        """The price of each symbol's last trade; of one without, the middle of its book, or 0."""
        marks = {}
        for name, book in self.engine.books.items():
            prices = [order.price for side in (BUY, SELL) if (order := book.best(side))]
            marks[name] = sum(prices) // len(prices) if prices else 0
        for fill, _ in self.engine.trades.values():
            marks[fill.order.symbol.name] = fill.price
        return marks

    def ledger(self) -> dict[str, Any]:
        """What every account ordered, traded and holds; prices are integers of 1e-4 USD."""
        marks = self.marks()
        return {
            "session": self.session,
            "messages": len(self.feed.messages),
            "trades": self.engine.matches,
            "marks": marks,
            "accounts": [port.ledger.as_dict(marks) for port in self.ports.values()],
        }

    async def _bind(self) -> None:
        settings = self._settings
        for option, address in settings.lines.items():
            try:
                line = Line(*address, interface=settings.interface, ttl=settings.ttl)
            except OSError as error:
                raise BindError(option, address, error) from None
            self.lines[option] = line
            self.addresses[option] = address
        self.publisher = Publisher(
            session=self.session,
            messages=self.feed.messages,
            lines=list(self.lines.values()),
            limit=settings.datagram,
        )
        self._feed = FeedServer(self.publisher, interval=settings.feed_heartbeat)
        for option, server, address in (
            ("--rerequest", self.rerequest, settings.rerequest),
            ("--snapshot", self._snapshot, settings.snapshot),
            ("--ouch", self._ouch, settings.ouch),
        ):
            if address is None:
                continue
            try:
                self.addresses[option] = await server.start(*address)
            except OSError as error:
                raise BindError(option, address, error) from None

    async def _release(self) -> None:
        await self._ouch.stop()
        await self._snapshot.stop()
        if self._feed is not None:
            await self._feed.stop()
        self.rerequest.stop()
        for line in self.lines.values():
            line.close()

    def _told(self) -> None:
        if self._feed is not None:
            self._feed.told()

    def _ended(self, session: Session) -> None:
        if session.client is None:
            self._settings.notice(f"a connection without a login: {session.cause}")
