"""The driver of one card: identity, configuration, arming, events and counters.

Ref: docs/architecture.md, "Control"; docs/risk.md, gate 1.
"""

import contextlib
import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from tickgate.host.config import Config, page_name
from tickgate.host.errors import CardMismatch, CardRefused, HostError, NotInForce, UserError
from tickgate.host.protocol import Status
from tickgate.host.registers import Registers
from tickgate.host.snapshot import Snapshot, SnapshotOrder
from tickgate.host.transport import (
    DEFAULT_BAUD,
    DEFAULT_TIMEOUT,
    Link,
    SerialLike,
    open_port,
)
from tickgate.spec import events as event_records
from tickgate.spec.ouch50 import MAX_PRICE
from tickgate.spec.registers import (
    BANK_SYMBOLS,
    BY_NAME,
    LEVELS,
    MAGIC,
    MAP_HASH,
    PAGE_WORDS,
    PARAMETERS,
    REGISTERS,
    VERSION,
    Kind,
    RecoveryCause,
    RecoveryPhase,
    account_checksum,
    bank_of,
    in_force_address,
    page_values,
    page_words,
    parameter_checksum,
    shadow_address,
)

__all__ = [
    "BookSide",
    "BookView",
    "CardStatus",
    "Driver",
    "Event",
    "Identity",
    "Level",
    "Recentred",
    "RecoveryStatus",
]

_ORDERS_AT_ONCE = 16
"""Orders of a snapshot between two looks at how many the card has taken."""

_RECENTRING = (RecoveryPhase.UNPLACING, RecoveryPhase.UNPLACED, RecoveryPhase.PLACING)

_POLLS = 2000
"""How often a state is read while waiting for the card to finish something of its own."""
_POLLS_A_SYMBOL, _LEVELS_A_POLL = 8, 16
"""How often more: a card of many symbols and levels has much to check and to clear."""


@dataclass(frozen=True)
class Identity:
    """What a card is: the constants of its build."""

    magic: int
    version: int
    map_hash: int
    build_hash: int
    width: int
    symbols: int
    ticks: int
    orders: int
    clock_period_ps: int
    locates: int
    event_depth: int
    sessions: int


@dataclass(frozen=True)
class CardStatus:
    """What a card is doing: the bits of register `state`, and the running numbers.

    `kill_causes` are those since the last `clear_kill`, `alerts` what was not acknowledged, by the
    names of their bits. `damaged`: where a flipped bit was seen since the last kill was cleared, as
    in register `integrity`.
    """

    armed: bool
    killed: bool
    config_valid: bool
    committing: bool
    commit_failed: bool
    commit_fixed: bool
    tables_ready: bool
    regular_session: bool
    breach: bool
    kill_causes: tuple[str, ...]
    alerts: tuple[str, ...]
    committed_checksum: int
    time_ns: int
    expected_sequence: int
    next_user_ref_num: int
    tcp_sequence: int
    events_pending: int
    damaged: tuple[str, ...] = ()


class Level(NamedTuple):
    """A price in 1e-4 USD and the shares there."""

    price: int
    shares: int


@dataclass(frozen=True)
class BookSide:
    """The best levels of a side, best first.

    `more`: others lie, or may lie, in the window beyond them. `complete`: as many as the card lists
    are here, or all there are; else the card had not found the next ones in time.
    """

    levels: list[Level]
    more: bool
    complete: bool


@dataclass(frozen=True)
class BookView:
    """Both sides of a symbol's book at one moment, after the message with `sequence` (32 bits).

    `trusted`: the book is whole. `exact`: moreover, no order that would be the best lies outside
    the window.
    """

    symbol: int
    sequence: int
    trusted: bool
    exact: bool
    bids: BookSide
    asks: BookSide


@dataclass(frozen=True)
class RecoveryStatus:
    """How far the recovery of a book is.

    `first`: from this sequence number on (its low 32 bits) the messages of the symbol are held;
    None until the card knows. `orders`: of the snapshot, in the book. `held`: messages, now.
    """

    phase: RecoveryPhase
    cause: RecoveryCause
    symbol: int
    first: int | None
    orders: int
    held: int


@dataclass(frozen=True)
class Recentred:
    """A window that was moved, in 1e-4 USD.

    `bid`, `ask`: the best prices among the orders that were in the store; 0 if there was none.
    `trusted`: the book is whole, as it was before.
    """

    symbol: int
    base: int
    bid: int
    ask: int
    trusted: bool


@dataclass(frozen=True)
class Event:
    """One event record; `lost_before` events between the last one and this one are lost."""

    sequence: int
    kind: int
    side: int
    symbol: int
    time: int
    user_ref_num: int
    quantity: int
    price: int
    reasons: int
    message_sequence: int
    latency_cycles: int
    code: int
    detail: int
    lost_before: int = field(default=0, kw_only=True)

    @property
    def gates(self) -> list[int]:
        """The gates that refused, by number; 0 is the transmit port."""
        return [gate for gate in range(64) if self.reasons >> gate & 1]


class Driver:
    """Drives one card over an open port. Also a context manager that closes the port.

    Opening reads the card's identity and refuses a card with another register map, so that no word
    ever lands in a register of another meaning.

    Parameters
    ----------
    port : SerialLike
        A pySerial port, or anything that behaves like one.
    attempts : int
        How often a request is sent before the card counts as unreachable.
    first_tag : int or None
        See `Link`.

    Members
    -------
    identity : Identity
    registers : Registers
    link : Link
        With the counts of what went wrong on the line.

    Raises
    ------
    CardMismatch
        It is not a tickgate card, or its register map is another one.
    CardUnreachable
        No reply.
    """

    def __init__(
        self, port: SerialLike, *, attempts: int = 4, first_tag: int | None = None
    ) -> None:
        self.link = Link(port, attempts=attempts, first_tag=first_tag)
        self.registers = Registers(self.link)
        self._acknowledge = 0
        try:
            self.identity = self._identify()
        except Exception:
            port.close()
            raise

    @classmethod
    def open(
        cls,
        url: str,
        *,
        baud: int = DEFAULT_BAUD,
        timeout: float = DEFAULT_TIMEOUT,
        attempts: int = 4,
    ) -> Self:
        """Opens the port at `url` (see `open_port`) and the card on it."""
        return cls(open_port(url, baud=baud, timeout=timeout), attempts=attempts)

    def close(self) -> None:
        """Closes the port."""
        self.link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _identify(self) -> Identity:
        first = self.registers.read_many(["magic", "version", "map_hash"])
        if first["magic"] != MAGIC:
            raise CardMismatch(
                f"this is no tickgate card: its first word is {first['magic']:#010x}, "
                f"not {MAGIC:#010x}"
            )
        if first["map_hash"] != MAP_HASH or first["version"] != VERSION:
            raise CardMismatch(
                f"the card has register map {first['map_hash']:#010x} (protocol "
                f"{first['version']}) and this host {MAP_HASH:#010x} (protocol {VERSION}); "
                "install the host software of the card's release, or load its bitstream"
            )
        names = [register.name for register in REGISTERS if register.kind is Kind.IDENTITY]
        return Identity(**self.registers.read_many(names))

    # State

    def status(self) -> CardStatus:
        """What the card is doing now."""
        numbers = self.registers.read_many(
            ["state", "committed_checksum", "next_user_ref_num", "tcp_sequence", "events_pending"]
        )
        bits = BY_NAME["state"].unpack(numbers["state"])
        return CardStatus(
            kill_causes=self._set_in("kill_causes"),
            alerts=self._set_in("alerts"),
            **{name: bool(bit) for name, bit in bits.items()},
            committed_checksum=numbers["committed_checksum"],
            next_user_ref_num=numbers["next_user_ref_num"],
            tcp_sequence=numbers["tcp_sequence"],
            events_pending=numbers["events_pending"],
            time_ns=self.registers.read_pair("time_now"),
            expected_sequence=self.registers.read_pair("expected_sequence"),
            damaged=self._set_in("integrity"),
        )

    def _set_in(self, name: str) -> tuple[str, ...]:
        """The fields of a register of flags that are set."""
        return tuple(field for field, is_set in self.registers.read_fields(name).items() if is_set)

    def counters(self) -> dict[str, int]:
        """All counters by name."""
        return self.registers.read_many(
            register.name for register in REGISTERS if register.kind is Kind.COUNTER
        )

    # Pages

    def pages_in_force(self) -> list[list[int]]:
        """The page of each symbol that the card acts by."""
        return self._pages(in_force_address)

    def symbols(self) -> list[str]:
        """The names of the symbols in force by index; empty where there is none."""
        return [page_name(page) for page in self.pages_in_force()]

    def symbol_index(self, name: str) -> int:
        """The index of the symbol called `name`. Raises `UserError` that tells the names."""
        names = {used: index for index, used in enumerate(self.symbols()) if used}
        if name in names:
            return names[name]
        near = difflib.get_close_matches(name.upper(), names, n=1, cutoff=0.5)
        known = ", ".join(names) or "none: apply a configuration first"
        hint = f"did you mean {near[0]}?" if near else f"its symbols are {known}"
        raise UserError(f"the card has no symbol {name!r}; {hint}")

    def commit_pages(self, pages: Sequence[Sequence[int]]) -> int:
        """Puts `pages`, one for each symbol of the card, in force all at once.

        Writes the shadow where it differs, reads it back, commits with its CRC-32 and reads what is
        in force. Returns the checksum. Raises `CardRefused` if the card keeps what it had, or
        `NotInForce` if it does not hold what was written.
        """
        symbols = self.identity.symbols
        if len(pages) != symbols or any(len(page) != PAGE_WORDS for page in pages):
            raise ValueError(f"expected {symbols} pages of {PAGE_WORDS} words")
        wanted = [list(page) for page in pages]
        self._stage(wanted)
        checksum = parameter_checksum(wanted)
        self._commit(checksum)
        self._compare(self.pages_in_force(), wanted, "the page in force")
        return checksum

    def _stage(self, wanted: list[list[int]]) -> None:
        """Makes the shadow what is wanted."""
        self._settle()
        held = self._pages(shadow_address)
        for symbol in self._symbols_shown():
            if held[symbol] != wanted[symbol]:
                self.registers.write_words(shadow_address(symbol), wanted[symbol])
        self._compare(self._pages(shadow_address), wanted, "the shadow copy")

    def _commit(self, checksum: int) -> None:
        accepted = self._try_commit(checksum)
        bits, committed = self._settle(), self.registers.read("committed_checksum")
        if not accepted and (committed != checksum or bits["commit_failed"]):
            # NOT_NOW is either the card's answer to a request that came again because the reply
            # to the first was lost, and then the work is done, or another commit was under way.
            self._try_commit(checksum)
            bits, committed = self._settle(), self.registers.read("committed_checksum")
        if bits["commit_fixed"]:
            raise CardRefused(
                "the card kept its configuration: the name, tick or window of a symbol cannot "
                "change while it is armed; disarm it first",
                status=Status.ARMED,
            )
        if bits["commit_failed"] or committed != checksum:
            raise CardRefused(
                f"the card did not commit: it holds checksum {committed:#010x} and "
                f"{checksum:#010x} was asked for; what was in force still is"
            )

    def _try_commit(self, checksum: int) -> bool:
        try:
            self.registers.write("commit", checksum)
        except CardRefused as error:
            if error.status != Status.NOT_NOW:
                raise
            return False
        return True

    def _pages(self, address: Callable[[int], int]) -> list[list[int]]:
        return [
            self.registers.read_words(address(symbol), PAGE_WORDS)
            for symbol in self._symbols_shown()
        ]

    def _symbols_shown(self) -> Iterator[int]:
        """All symbol indices, each while the card shows the bank that its pages are in."""
        for symbol in range(self.identity.symbols):
            if symbol % BANK_SYMBOLS == 0:
                self._show_bank_of(symbol)
            yield symbol

    def _show_bank_of(self, symbol: int) -> None:
        if self.identity.symbols > BANK_SYMBOLS:
            self.registers.write("page_bank", bank_of(symbol))

    def _compare(self, held: list[list[int]], wanted: list[list[int]], what: str) -> None:
        for symbol, (there, here) in enumerate(zip(held, wanted, strict=True)):
            for word in range(PAGE_WORDS):
                if there[word] != here[word]:
                    names = "/".join(p.name for p in PARAMETERS if p.word == word)
                    raise NotInForce(
                        f"symbol {page_name(here) or symbol}: {what} holds {there[word]:#x} in "
                        f"{names}, not {here[word]:#x}"
                    )

    def _settle(self) -> dict[str, int]:
        return self._wait("committing", 0, "its commit does not end")

    def _wait(self, bit: str, value: int, complaint: str) -> dict[str, int]:
        symbols, ticks = self.identity.symbols, self.identity.ticks
        polls = _POLLS + symbols * (_POLLS_A_SYMBOL + ticks // _LEVELS_A_POLL)
        for _ in range(polls):
            bits = self.registers.read_fields("state")
            if bits[bit] == value:
                return bits
        raise CardRefused(f"the card does not become ready: {complaint}")

    # Configuration

    def apply(self, config: Config) -> int:
        """Puts a whole configuration in force and verifies it. Returns its checksum.

        The card must be disarmed, and stays so. The table of stock locates is made anew. Books and
        the day's numbers are not touched: see `begin_day`.

        Raises
        ------
        ConfigError
            The card cannot hold it.
        CardRefused
            The card is armed, or refused.
        NotInForce
            The card does not hold what was written.
        """
        identity = self.identity
        config.require_fit(
            symbols=identity.symbols,
            ticks=identity.ticks,
            locates=identity.locates,
            sessions=identity.sessions,
        )
        state = self.registers.read_fields("state")
        if state["armed"]:
            raise CardRefused(
                "the card is armed; disarm it before a whole configuration", status=Status.ARMED
            )
        if self.registers.read_fields("session_state")["state"]:
            raise CardRefused(
                "the card has an order session; log it out before a whole configuration"
            )
        self._wait("tables_ready", 1, "its tables are not clear")
        self.registers.write_many(config.registers())
        checksum = self.commit_pages(config.pages(identity.symbols))
        self.registers.command("clear_locates")
        self._wait("tables_ready", 1, "its tables are not clear")
        for index, symbol in enumerate(config.symbols):
            self.track(symbol.stock_locate, index)
        self.verify(config)
        return checksum

    def verify(self, config: Config) -> int:
        """Raises `NotInForce` unless `config` is what the card acts by; returns its checksum.

        The table of stock locates cannot be read, and is not compared.
        """
        identity = self.identity
        config.require_fit(
            symbols=identity.symbols,
            ticks=identity.ticks,
            locates=identity.locates,
            sessions=identity.sessions,
        )
        wanted = config.registers()
        for name, value in self.registers.read_many(wanted).items():
            if value != wanted[name]:
                raise NotInForce(f"register {name} holds {value:#x}, not {wanted[name]:#x}")
        pages = config.pages(identity.symbols)
        self._compare(self.pages_in_force(), pages, "the page in force")
        checksum = parameter_checksum(pages)
        held = self.registers.read_many(["committed_checksum", "state"])
        if held["committed_checksum"] != checksum:
            raise NotInForce(
                f"the card committed {held['committed_checksum']:#010x}, not {checksum:#010x}"
            )
        return checksum

    def track(self, locate: int, symbol: int) -> None:
        """Makes messages with stock locate `locate` those of the symbol with this index."""
        word = BY_NAME["symbol_write"].pack(locate=locate, symbol=symbol, tracked=1)
        self.registers.write("symbol_write", word)

    def untrack(self, locate: int) -> None:
        """Makes messages with stock locate `locate` those of no symbol."""
        word = BY_NAME["symbol_write"].pack(locate=locate, symbol=0, tracked=0)
        self.registers.write("symbol_write", word)

    # The day

    def begin_day(self, *, time_ns: int | None = None) -> None:
        """Starts a trading day on a disarmed card.

        Takes the session's first user reference number and TCP sequence number, clears all
        exposure, empties all books, and expects the feed's start sequence in whatever session comes
        first. `time_ns` sets the card's time; None leaves it.
        """
        if time_ns is not None:
            self.set_time(time_ns)
        self.load_session()
        self.start_of_day()
        self.registers.command("clear_books")
        self._wait("tables_ready", 1, "its tables are not clear")
        self.restart_feed()

    def set_time(self, time_ns: int) -> None:
        """Sets the card's time."""
        if not 0 <= time_ns < 1 << 64:
            raise UserError(f"time must be 0 to 2^64 - 1 ns, not {time_ns}")
        self.registers.write_many({"time_low": time_ns & 0xFFFF_FFFF, "time_high": time_ns >> 32})
        self.registers.command("time_set")

    def load_session(self) -> None:
        """Takes user_ref_num_start and tcp_sequence_start as the next numbers."""
        self.registers.command("load_session")

    def start_of_day(self) -> None:
        """Clears all exposure."""
        self.registers.command("start_of_day")

    def restart_feed(self) -> None:
        """Forgets the feed's session and expects the configured start sequence."""
        self.registers.command("restart_feed")

    def clear_fill_burst(self, symbol: int | str) -> None:
        """Lets a symbol trade again that gate 28 has stopped."""
        index = self.symbol_index(symbol) if isinstance(symbol, str) else symbol
        packed = BY_NAME["clear_fill_burst"].pack(symbol=index)
        self.registers.write("clear_fill_burst", packed)

    def set_whole(self, symbol: int | str, whole: bool = True) -> None:
        """Declares that a symbol's book is whole (empty or complete) now, or that it is not."""
        index = self.symbol_index(symbol) if isinstance(symbol, str) else symbol
        self.registers.write("whole", BY_NAME["whole"].pack(symbol=index, value=int(whole)))

    def book(self, symbol: int | str) -> BookView:
        """The best levels of a symbol's book as they were at one moment.

        Raises `CardRefused` if the card does not come to take them, for want of a cycle without
        messages.
        """
        index = self.symbol_index(symbol) if isinstance(symbol, str) else symbol
        self.registers.write("show_book", BY_NAME["show_book"].pack(symbol=index))
        for _ in range(_POLLS):
            shown = self.registers.read_fields("book_view")
            if shown["ready"]:
                break
        else:
            raise CardRefused("the card found no time to take the book; try again")
        names = [
            f"book_{side}_{what}_{n}"
            for side in ("bid", "ask")
            for n in range(LEVELS)
            for what in ("price", "shares")
        ]
        words = self.registers.read_many([*names, "book_view_sequence"])
        sides = [
            BookSide(
                levels=[
                    Level(words[f"book_{side}_price_{n}"], words[f"book_{side}_shares_{n}"])
                    for n in range(shown[f"{side}_levels"])
                ],
                more=bool(shown[f"{side}_more"]),
                complete=bool(shown[f"{side}_complete"]),
            )
            for side in ("bid", "ask")
        ]
        return BookView(
            symbol=shown["symbol"],
            sequence=words["book_view_sequence"],
            trusted=bool(shown["trusted"]),
            exact=bool(shown["exact"]),
            bids=sides[0],
            asks=sides[1],
        )

    # Recovery

    def recovery(self) -> RecoveryStatus:
        """How far the last recovery is."""
        words = self.registers.read_many(
            ["recover_state", "recover_orders", "recover_first", "recover_held"]
        )
        state = BY_NAME["recover_state"].unpack(words["recover_state"])
        return RecoveryStatus(
            phase=RecoveryPhase(state["phase"]),
            cause=RecoveryCause(state["cause"]),
            symbol=state["symbol"],
            first=words["recover_first"] if state["first_known"] else None,
            orders=words["recover_orders"],
            held=words["recover_held"],
        )

    def recover(
        self,
        symbol: int | str,
        snapshot: Callable[[RecoveryStatus], Snapshot],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> RecoveryStatus:
        """Makes the book of a symbol whole again while messages go on; may be done while armed.

        `snapshot` is called once the messages of the symbol are held and its book is empty: what
        it returns must not be older than the message before the first one held. `progress` is told
        how many of the snapshot's orders are in the book, of how many.

        Whatever goes wrong, the symbol stays untrusted, and its messages go their ordinary way.

        Raises
        ------
        UserError
            The snapshot is of another symbol.
        CardRefused
            The card gave up, for the cause that it tells; try again with a new snapshot.
        """
        name = symbol if isinstance(symbol, str) else self.symbols()[symbol]
        index = self.symbol_index(symbol) if isinstance(symbol, str) else symbol
        self.registers.write("recover", BY_NAME["recover"].pack(symbol=index))
        try:
            state = self._await_phase(index, RecoveryPhase.LOADING, "does not empty the book")
            taken = snapshot(state)
            if taken.symbol != name:
                raise UserError(f"the snapshot is of {taken.symbol!r}, not of {name!r}")
            self._load(index, taken, progress)
            self.registers.write("recover_join", taken.sequence & 0xFFFF_FFFF)
            return self._await_phase(
                index,
                RecoveryPhase.DONE,
                f"does not come to message {taken.sequence} or to the end of what it holds",
            )
        except BaseException:
            # Another symbol's recovery may have taken the place of this one.
            with contextlib.suppress(HostError):
                if self.recovery().symbol == index:
                    self.registers.command("recover_abort")
            raise

    # Re-centring

    def recentre(self, symbol: int | str, base: int | None = None) -> Recentred:
        """Moves the price window of a symbol while messages go on; may be done while armed.

        `base` is the lowest price of the new one, in 1e-4 USD; None: the best prices of the book
        come into its middle, or it stays where it is if there are none. The symbol is not trusted
        from the beginning on, and trusted again at the end if it was before and nothing has put
        its book into doubt since.

        If this ends early, what was begun stays: the symbol is not trusted, and the card takes no
        other symbol until a second call has finished it.

        Raises
        ------
        UserError
            The base is no multiple of the tick or too high.
        CardRefused
            The card is at work on another symbol, or finds no time, or its ladder is broken.
        """
        pages = self.pages_in_force()
        index = self.symbol_index(symbol) if isinstance(symbol, str) else symbol
        if base is not None:
            self._require_window(pages[index], base)
        # What takes long comes first: from here to the end the symbol is not trusted.
        self._stage(pages)
        now = self.recovery()
        # What an earlier call has begun is finished.
        if not (now.symbol == index and now.phase == RecoveryPhase.UNPLACED):
            self.registers.write("recentre", BY_NAME["recentre"].pack(symbol=index))
            self._await_window(index, RecoveryPhase.UNPLACED)
        best = self.registers.read_many(["recentre_bid", "recentre_ask"])
        bid, ask = best["recentre_bid"], best["recentre_ask"]
        if base is None:
            base = self._centred(pages[index], bid, ask)
        pages[index] = page_words(page_values(pages[index]) | {"window_base": base})
        self._show_bank_of(index)
        self.registers.write_words(shadow_address(index), pages[index])
        # Its checksum says that the card holds what was written.
        self._commit(parameter_checksum(pages))
        self.registers.command("recentre_place")
        self._await_window(index, RecoveryPhase.DONE)
        return Recentred(
            symbol=index, base=base, bid=bid, ask=ask, trusted=self.book(index).trusted
        )

    def _require_window(self, page: Sequence[int], base: int) -> None:
        """Raises `UserError` unless the symbol of a page can have a window with this base."""
        tick, ticks = _tick(page), self.identity.ticks
        if base % tick or not 0 <= base <= MAX_PRICE - ticks * tick:
            raise UserError(
                f"the base of a window must be a multiple of {tick} from 0 to "
                f"{MAX_PRICE - ticks * tick} (1e-4 USD), not {base}"
            )

    def _centred(self, page: Sequence[int], bid: int, ask: int) -> int:
        """The base of the window that has the middle of these prices, if any, in its own."""
        prices = [price for price in (bid, ask) if price]
        if not prices:
            return page_values(page)["window_base"]
        tick, ticks = _tick(page), self.identity.ticks
        lowest = sum(prices) // len(prices) // tick - ticks // 2
        return min(max(0, lowest), MAX_PRICE // tick - ticks) * tick

    def _await_window(self, symbol: int, phase: RecoveryPhase) -> None:
        orders, stalled = -1, 0
        # There may be any number of orders, but some of them must get their turn.
        while stalled < _POLLS:
            state = self.recovery()
            if state.phase == RecoveryPhase.FAILED:
                raise CardRefused(f"the re-centring failed: {state.cause.doc}")
            if state.symbol != symbol or state.phase == RecoveryPhase.NONE:
                raise CardRefused(
                    f"the card is at work on symbol {state.symbol} ({state.phase.doc}); "
                    "finish that first"
                )
            if state.phase == phase:
                return
            stalled = stalled + 1 if state.orders == orders else 0
            orders = state.orders
        raise CardRefused("the card finds no time to go through its orders; try again")

    def _load(self, symbol: int, snapshot: Snapshot, progress: Callable[[int, int], None]) -> None:
        orders, added, stalled = snapshot.orders, 0, 0
        progress(0, len(orders))
        while added < len(orders):
            for number in range(added, min(added + _ORDERS_AT_ONCE, len(orders))):
                self._add(number, orders[number])
            state = self._recovering(symbol)
            # An order that came while the card was busy with the one before is not taken.
            stalled = stalled + 1 if state.orders == added else 0
            if stalled == _POLLS:
                raise CardRefused("the card takes no more orders of the snapshot; try again")
            added = state.orders
            progress(added, len(orders))

    def _add(self, number: int, order: SnapshotOrder) -> None:
        values = {
            "recover_reference_low": order.reference & 0xFFFF_FFFF,
            "recover_reference_high": order.reference >> 32,
            "recover_shares": order.shares,
            "recover_price": order.price,
            "recover_order": BY_NAME["recover_order"].pack(
                number=number, side=int(order.side == "sell")
            ),
        }
        self.registers.write_many(values)

    def _recovering(self, symbol: int) -> RecoveryStatus:
        state = self.recovery()
        if state.phase == RecoveryPhase.FAILED:
            raise CardRefused(f"the recovery failed: {state.cause.doc}; try again")
        if state.phase in _RECENTRING:
            raise CardRefused(
                f"symbol {state.symbol} is being re-centred ({state.phase.doc}); finish that first"
            )
        if state.symbol != symbol or state.phase == RecoveryPhase.NONE:
            raise CardRefused("the recovery was ended by another one, or by clear_books")
        return state

    def _await_phase(self, symbol: int, phase: RecoveryPhase, complaint: str) -> RecoveryStatus:
        for _ in range(_POLLS):
            state = self._recovering(symbol)
            if state.phase == phase:
                return state
        raise CardRefused(f"the card {complaint}; is there a feed?")

    # Arming

    def arm(self, config: Config | None = None) -> None:
        """Lets orders leave; with `config`, only if that is what the card acts by.

        The card is told by the hashes of its registers, its build and its configuration what is
        meant, and arms only if they are its own: without `config`, those of what is in force.

        Raises `NotInForce` if it acts by another configuration, or `CardRefused` that tells why it
        does not arm, such as an alert that was not acknowledged.
        """
        if config is not None:
            self.verify(config)
        self.registers.write_many(self._meant(config))
        try:
            self.registers.command("arm")
        except CardRefused as error:
            if error.status != Status.NOT_NOW:
                raise
            raise CardRefused(
                f"the card cannot be armed: {self._obstacles()}", status=error.status
            ) from None
        if not self.registers.read_fields("state")["armed"]:
            raise CardRefused(f"the card did not arm: {self._obstacles()}")

    def _meant(self, config: Config | None) -> dict[str, int]:
        """What the host takes the card to be and to hold."""
        if config is None:
            held = self.registers.read_many(["committed_checksum", "account_checksum"])
            pages, account = held["committed_checksum"], held["account_checksum"]
        else:
            pages = config.checksum(self.identity.symbols)
            account = account_checksum(config.registers())
        return {
            "arm_map_hash": MAP_HASH,
            "arm_build_hash": self.identity.build_hash,
            "arm_pages": pages,
            "arm_account": account,
        }

    def alerts(self) -> tuple[str, ...]:
        """What has happened and was not acknowledged, by the names of the bits."""
        return tuple(name for name, kept in self.registers.read_fields("alerts").items() if kept)

    def acknowledge(self) -> tuple[str, ...]:
        """Takes note of all alerts; returns them. Raises `CardRefused` if one comes again."""
        alerts = self.alerts()
        register = BY_NAME["acknowledge"]
        noted = {field.name: int(field.name in alerts) for field in register.fields}
        self.registers.write("acknowledge", register.pack(**noted))
        if again := set(self.alerts()) & set(alerts):
            raise CardRefused(f"the card alerts again: {', '.join(sorted(again))}")
        return alerts

    def disarm(self) -> None:
        """Stops new orders."""
        self._stop("disarm")

    def kill(self) -> None:
        """Stops new orders until `clear_kill`."""
        self._stop("kill")
        if not self.registers.read_fields("state")["killed"]:
            raise CardRefused("the card took the kill and is not killed")

    def clear_kill(self) -> None:
        """Ends the kill; the card stays disarmed."""
        self.registers.command("clear_kill")
        if self.registers.read_fields("state")["killed"]:
            raise CardRefused("the card is still killed: something other than the host holds it")

    def _mismatches(self) -> list[str]:
        """What of the card is not what it is armed for."""
        both = {
            "arm_map_hash": "map_hash",
            "arm_build_hash": "build_hash",
            "arm_pages": "committed_checksum",
            "arm_account": "account_checksum",
        }
        words = self.registers.read_many([*both, *both.values()])
        return [own for meant, own in both.items() if words[meant] != words[own]]

    def _stop(self, command: str) -> None:
        self.registers.command(command)
        if self.registers.read_fields("state")["armed"]:
            raise CardRefused(f"the card took {command} and is still armed")

    def _obstacles(self) -> str:
        bits, causes = self.registers.read_fields("state"), ", ".join(self._set_in("kill_causes"))
        alerts, others = ", ".join(self.alerts()), ", ".join(self._mismatches())
        reasons = [
            text
            for stands, text in (
                (bits["killed"], f"it is killed by {causes or 'no known cause'} (clear the kill)"),
                (alerts, f"it alerts the host, who has not acknowledged it: {alerts}"),
                (others, f"it is not what the host takes it for: {others} differ"),
                (not bits["config_valid"], "no configuration is in force (apply one)"),
                (not bits["tables_ready"], "its tables are still being cleared (try again)"),
                (bits["committing"], "a commit is under way (try again)"),
            )
            if stands
        ]
        return ", and ".join(reasons) or "its state shows no reason; see `tickgate status`"

    def beat(self) -> None:
        """Answers the challenge of the card, so that it knows that its host is alive."""
        challenge = self.registers.read("heartbeat_challenge")
        self.registers.write("heartbeat_answer", ~challenge & 0xFFFF_FFFF)

    def renew_strategy(self) -> None:
        """Enables the strategy anew after so many executions that it was latched off."""
        self.registers.command("renew_strategy")
        if self.registers.read("strategy_executions"):
            raise CardRefused("the card took renew_strategy and still counts its executions")

    # Events

    def events(self) -> Iterator[Event]:
        """The events that wait, oldest first; ends when there are none.

        An event is acknowledged when the next one is asked for: if the caller does not come back
        for more, the card keeps it and gives it again.
        """
        while (event := self.next_event()) is not None:
            yield event

    def next_event(self) -> Event | None:
        """Acknowledges the last event and returns the next one, or None if none waits."""
        words = self.registers.take_event(self._acknowledge)
        if not words:
            return None
        values = event_records.unpack(words)
        sequence = values["sequence"]
        event = Event(**values, lost_before=self._lost_before(sequence))
        self._acknowledge = (sequence + 1) & 0xFFFF_FFFF
        return event

    def _lost_before(self, sequence: int) -> int:
        if self._acknowledge == 0:
            # The first event here may have any number: programs before this one read the others.
            return 0
        if sequence < self._acknowledge and self._acknowledge - sequence < 1 << 31:
            # The card was reset and counts from 0; the acknowledgement fell on new events.
            return sequence
        return (sequence - self._acknowledge) & 0xFFFF_FFFF


def _tick(page: Sequence[int]) -> int:
    """The tick of a symbol's window, in 1e-4 USD."""
    return 100 if page_values(page)["tick_is_cent"] else 1
