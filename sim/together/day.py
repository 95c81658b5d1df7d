"""A day of trading: the venue, the card and its host are three programs on one network.

The program below (`python -m tickgate.sim.together.day OPTIONS`, as JSON) is the host; it starts
the other two. It must have a network of its own: see `tickgate.sim.virtual.namespace`.

Ref: docs/exchange.md, "Together with the card".
"""

import contextlib
import ctypes
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from tickgate.host import glimpse, session
from tickgate.host.config import Config
from tickgate.host.driver import Driver
from tickgate.host.errors import CardRefused, HostError
from tickgate.host.fills import Fills
from tickgate.host.numbers import NumberFile
from tickgate.host.snapshot import Snapshot
from tickgate.sim.bench import market_config
from tickgate.sim.market import INSTRUMENTS
from tickgate.sim.together.books import CardBooks, Holding, HostBooks, Row, compare
from tickgate.sim.together.show import tables
from tickgate.sim.virtual import Card, Impairments
from tickgate.sim.virtual.namespace import interface_mac
from tickgate.spec.events import EventKind

__all__ = ["DayError", "Options", "Outcome", "trade"]

DEVICE, VENUE, CARD = "tickgate0", "192.0.2.1", "192.0.2.10"
OUCH_PORT, SNAPSHOT_PORT, REREQUEST_PORT, CARD_PORT = 15001, 15002, 26479, 26480
LINE_A, LINE_B = ("233.54.12.111", 26477), ("233.49.196.111", 26478)
CLOCK_PERIOD_PS = 1_000_000
"""Of the card's time: that of `tickgate sim --tap`, whose timers suit a simulation."""
USER = PASSWORD = "CARD"
PR_SET_PDEATHSIG = 1
START_S, SETTLE_S = 300.0, 60.0
SIDES = ("buy", "sell")
TICKGATE = (sys.executable, "-c", "from tickgate.host.cli import main; main()")


class DayError(RuntimeError):
    """The day could not be held; says why."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the day is to be.

    Parameters
    ----------
    orders : int
        After so many the card is disarmed.
    seconds : float
        Or after so long.
    rate : float
        Messages of the other participants, a second.
    seed : int
        Of the market, and of what becomes of frames.
    rest : bool
        What is not executed at once rests in the book, until the card is killed in the end; else
        the venue cancels it at once.
    impairments : dict
        Of the card's wire, each way: as `Impairments`.
    pcap : str or None
        Where to record the frames at the kernel's end of that wire.
    """

    orders: int = 200
    seconds: float = 300.0
    rate: float = 300.0
    seed: int = 1
    rest: bool = False
    impairments: dict[str, float] = field(default_factory=dict)
    pcap: str | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the day came to.

    `rows` compare the books of account; `events_lost` is how many events the host was too late
    for, `recovered` how many books it made whole from a snapshot, `wire` what became of the frames.
    """

    rows: list[Row]
    seconds: float
    events_lost: int
    recovered: int
    wire: str
    counters: dict[str, int]

    @property
    def differences(self) -> list[Row]:
        """Rows in which the books do not agree."""
        return [row for row in self.rows if not row.agree]

    def as_dict(self) -> dict[str, Any]:
        """All of it in plain types."""
        return {
            **asdict(self),
            "differences": [asdict(row) for row in self.differences],
        }


def configuration(mac: str, *, rest: bool = False) -> Config:
    """That of a card that trades all symbols of the generated market, on a session of its own."""
    made = market_config(INSTRUMENTS, ticks=4096).model_dump()
    made["feed"] |= {"address": LINE_A[0], "port": LINE_A[1], "gap_wait_us": 2_000}
    made["feed"] |= {"address_b": LINE_B[0], "port_b": LINE_B[1]}
    made["network"] = {"arp": True, "icmp_echo": True, "igmp": True}
    made["rerequest"] = {
        "address": VENUE,
        "mac": mac,
        "port": REREQUEST_PORT,
        "source_port": CARD_PORT,
        "wait_us": 400_000,
        "interval_us": 20_000,
        "tries": 20,
    }
    made["session"] |= {"source_ip": CARD, "destination_ip": VENUE, "destination_port": OUCH_PORT}
    made["session"] |= {"destination_mac": None, "prefix_bits": 24}
    if rest:
        made["session"] |= {"time_in_force": "day"}
    # A second of the simulation is about a fifth of one of the card.
    made["live"] = {"rto_initial_ms": 100, "rto_min_ms": 40, "order_timeout_ms": 5_000}
    made["host"] = {"heartbeat_timeout_ms": 10_000}
    made["live"] |= {"order_kill_timeout_ms": 30_000}
    for symbol in made["symbols"]:
        symbol["strategy"] |= {"min_interval_ns": 20_000_000}
        symbol["limits"] |= {
            "allow_time_in_force": [made["session"]["time_in_force"]],
            "allow_self_trade": False,
        }
    return Config.from_dict(made)


def trade(options: Options, *, progress: Callable[[str], None]) -> Outcome:
    """Holds the day in the network of this process. Raises `DayError`."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tickgate-")))
        progress("building the card")
        Card(width=8, clock_period_ps=CLOCK_PERIOD_PS).close()
        card = stack.enter_context(_program("sim", *_wire(options), "--link", folder / "card"))
        _await(card, lambda: (folder / "card").exists(), "the card")
        driver = stack.enter_context(Driver.open(str(folder / "card")))
        config = configuration(interface_mac(DEVICE), rest=options.rest)
        progress("configuring the card")
        driver.apply(config)
        driver.begin_day()
        for symbol in config.symbols:
            driver.set_whole(symbol.name)
        venue = stack.enter_context(_program("exchange", *_venue(options, folder)))
        _await(venue, lambda: (folder / "addresses").exists(), "the venue")
        progress("logging in")
        _log_in(driver, NumberFile(folder / "numbers"))
        driver.arm(config)
        began = time.monotonic()
        names = [symbol.name for symbol in config.symbols]
        notes = _Notes()
        recovered = _follow(driver, names, options, progress, notes)
        seconds = time.monotonic() - began
        if options.rest:
            driver.kill()
        else:
            driver.disarm()
        progress("waiting for the last reports")
        _settle(driver)
        notes.take(driver)
        books = _books(driver, names)
        counters = driver.counters()
        session.logout(driver.registers, patience_s=SETTLE_S)
        _end(venue)
        wire = _end(card)
        ledger = json.loads((folder / "ledger").read_text())
    orders = [{**order, "symbol": names[order["symbol"]]} for order in notes.sent]
    (account,) = (each for each in ledger["accounts"] if each["account"] == USER)
    return Outcome(
        rows=compare(account, books, orders, ledger["marks"], notes.books(names)),
        seconds=seconds,
        events_lost=notes.fills.lost,
        recovered=recovered,
        wire=wire.strip().splitlines()[-1].removeprefix("frames: "),
        counters={name: count for name, count in counters.items() if count},
    )


def _wire(options: Options) -> Iterator[str]:
    yield from ("--tap", DEVICE, "--address", f"{VENUE}/24", "--seed", str(options.seed))
    if options.pcap is not None:
        yield from ("--pcap", options.pcap)
    for name, value in options.impairments.items():
        yield f"--{name}"
        yield str(value)


def _venue(options: Options, folder: Path) -> list[str]:
    return [
        *("--ouch", f"{VENUE}:{OUCH_PORT}", "--interface", VENUE),
        *("--snapshot", f"{VENUE}:{SNAPSHOT_PORT}"),
        *("--feed-a", "{}:{}".format(*LINE_A), "--feed-b", "{}:{}".format(*LINE_B)),
        *("--rerequest", f"{VENUE}:{REREQUEST_PORT}", "--timeout", "60"),
        *("--flow", f"{options.seed}:{options.rate:g}"),
        *("--announce", str(folder / "addresses"), "--json", str(folder / "ledger")),
    ]


@contextlib.contextmanager
def _program(*arguments) -> Iterator[subprocess.Popen]:
    """A command of tickgate that runs meanwhile, in a process group of its own."""
    process = subprocess.Popen(
        [*TICKGATE, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
        preexec_fn=_end_with_parent,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def _end_with_parent() -> None:
    """Has this process ended (SIGTERM) when the one that started it ends. Ref: prctl(2)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _await(process: subprocess.Popen, ready: Callable[[], bool], name: str) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if process.poll() is not None:
            raise DayError(f"{name} did not start: {process.communicate()[0].strip()}")
        if time.monotonic() > deadline:
            raise DayError(f"{name} was not ready in {START_S:g} s")
        time.sleep(0.05)


def _end(process: subprocess.Popen) -> str:
    """Ends a program as Ctrl-C would; returns what it has said."""
    process.send_signal(signal.SIGINT)
    try:
        said, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        raise DayError("a program does not end") from None
    if process.returncode:
        raise DayError(f"a program failed: {said.strip()}")
    return said


def _log_in(driver: Driver, kept: NumberFile) -> None:
    numbers = kept.take(f"{USER}@{session.venue(driver.registers)}")
    session.login(
        driver.registers, username=USER, password=PASSWORD, numbers=numbers, patience_s=SETTLE_S
    )


@dataclass
class _Notes:
    """What the host was told by the card's events: the orders that left, and its fills."""

    sent: list[dict[str, Any]] = field(default_factory=list)
    fills: Fills = field(default_factory=Fills)
    cancelled: int = 0

    def take(self, driver: Driver, limit: int | None = None) -> None:
        """Takes the events that wait, up to so many orders, and none that come meanwhile.

        A card that is disarmed refuses for ever, and a slow host would not come to an end.
        """
        for event in itertools.islice(driver.events(), driver.status().events_pending):
            self.fills.take(event)
            if event.kind == EventKind.CANCELLED:
                self.cancelled += event.quantity
            if event.kind == EventKind.ORDER_SENT:
                order = {"side": SIDES[event.side], "quantity": event.quantity}
                order |= {"price": event.price, "symbol": event.symbol}
                self.sent.append(order | {"user_ref_num": event.user_ref_num})
                if limit is not None and len(self.sent) >= limit:
                    break

    def books(self, names: list[str]) -> HostBooks:
        """What the fills come to."""
        holdings = {}
        for index, traded in self.fills.symbols.items():
            sums = asdict(traded)
            del sums["last_price"]
            position = traded.bought_shares - traded.sold_shares
            holdings[names[index]] = Holding(position=position, **sums)
        return HostBooks(
            holdings=holdings, executions=self.fills.executions, cancelled=self.cancelled
        )


def _follow(
    driver: Driver,
    names: list[str],
    options: Options,
    progress: Callable[[str], None],
    notes: _Notes,
) -> int:
    """Takes note of orders and fills, until there are enough orders or it took too long.

    Meanwhile a book that the feed's losses have broken is made whole from a snapshot. Returns how
    many books were made whole.
    """
    recovered, deadline = 0, time.monotonic() + options.seconds
    for name in itertools.cycle(names):
        driver.beat()
        notes.take(driver, options.orders)
        progress(f"{len(notes.sent):,} of {options.orders:,} orders")
        if len(notes.sent) >= options.orders or time.monotonic() > deadline:
            return recovered
        status = session.session_status(driver.registers)
        if status.state != "established":
            raise DayError(f"the order session is {status.state}: {status.outcome}")
        if driver.status().killed:
            raise DayError("the card was killed; its counters say why")
        recovered += _mend(driver, name)
    raise AssertionError("names go round for ever")


def _mend(driver: Driver, name: str) -> bool:
    """Makes the book of a symbol whole if it is not; returns whether it has done so."""

    def snapshot(_) -> Snapshot:
        return glimpse.take(VENUE, SNAPSHOT_PORT, name, username=USER, password=PASSWORD)

    try:
        if driver.book(name).trusted:
            return False
        driver.recover(name, snapshot)
    except CardRefused:
        # The card found no time, or another loss came between; the next round tries again.
        return False
    return True


def _settle(driver: Driver) -> None:
    """Waits until each order has come to its end."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        status = session.session_status(driver.registers)
        if not status.open_orders and not status.unanswered_orders:
            return
        if time.monotonic() > deadline:
            raise DayError(
                f"{status.open_orders} orders are open, {status.unanswered_orders} unanswered"
            )


def _books(driver: Driver, names: list[str]) -> CardBooks:
    holdings = {}
    for index, name in enumerate(names):
        held = asdict(session.account(driver.registers, index))
        open_shares = held.pop("open_buys") + held.pop("open_sells")
        holdings[name] = Holding(**held, open_shares=open_shares)
    counters = driver.counters()
    return CardBooks(
        holdings=holdings,
        approved=counters["orders_approved"],
        executions=counters["order_executions"],
    )


def main() -> None:
    """Holds a day; argument 1: the options as JSON. Argument 2: where to write all as JSON."""
    options, file = Options(**json.loads(sys.argv[1])), sys.argv[2]
    Impairments(**options.impairments)
    _end_with_parent()
    # What was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console()
    try:
        with console.status("") as status:
            outcome = trade(options, progress=lambda what: status.update(what))
    except (DayError, HostError) as error:
        console.print(f"[red]the day ended early:[/] {error}", highlight=False)
        sys.exit(1)
    Path(file).write_text(json.dumps(outcome.as_dict(), indent=2) + "\n")
    for part in tables(outcome):
        console.print(part)
    sys.exit(bool(outcome.differences))


if __name__ == "__main__":
    main()
