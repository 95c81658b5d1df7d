"""The command line of the card: `tickgate`.

Exit codes: 0 done, 2 a mistake of the user, 3 the card cannot be reached, 4 the card refused or
does not hold what it was told, 5 the card and this host do not fit together, 130 interrupted.

Ref: docs/architecture.md, "Control".
"""

import contextlib
import dataclasses
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from typer.core import TyperGroup
from typer.exceptions import TyperException

from tickgate.host import glimpse
from tickgate.host import session as session_of_card
from tickgate.host.config import (
    Config,
    LimitsConfig,
    StrategyConfig,
    change,
    page_name,
    units,
    usd,
)
from tickgate.host.driver import Driver, Event, Recentred, RecoveryStatus
from tickgate.host.errors import CardRefused, HostError, UserError
from tickgate.host.fills import REPORTS, Fills
from tickgate.host.fills import describe as describe_report
from tickgate.host.numbers import NumberFile, default_path
from tickgate.host.recentre import Follower
from tickgate.host.registers import find
from tickgate.host.snapshot import Snapshot
from tickgate.host.transport import DEFAULT_BAUD, DEFAULT_TIMEOUT
from tickgate.host.worth import worth
from tickgate.spec.events import EventKind
from tickgate.spec.registers import MAP_HASH, REGISTERS, Kind, page_values, page_words
from tickgate.spec.registers import VERSION as PROTOCOL_VERSION

__all__ = ["PLUGIN_GROUP", "app", "main"]

PLUGIN_GROUP = "tickgate.commands"
"""Entry points of this group are `typer.Typer` objects; their commands appear beside ours."""


class _Commands(TyperGroup):
    """Our commands, and those of plug-ins once something asks for a command that is not ours."""

    _merged = False

    def list_commands(self, ctx: Any) -> list[str]:
        self._merge()
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            self._merge()
        return super().get_command(ctx, cmd_name)

    def _merge(self) -> None:
        if self._merged:
            return
        self._merged = True
        for point in sorted(entry_points(group=PLUGIN_GROUP), key=lambda point: point.name):
            for name, command in _load(point).items():
                if name in self.commands:
                    _complain(f"plug-in {point.name!r}: its command {name!r} exists already")
                else:
                    self.commands[name] = command


def _load(point: EntryPoint) -> Mapping[str, Any]:
    """The commands of a plug-in. One that is broken is said to be so and has none."""
    try:
        plugin = point.load()
        if not isinstance(plugin, typer.Typer):
            raise TypeError(f"it is a {type(plugin).__name__}, not a typer.Typer")
        return typer.main.get_group(plugin).commands
    # A plug-in is code of others: whatever it raises must not take our commands with it.
    except Exception as error:
        hint = ""
        if isinstance(error, ModuleNotFoundError):
            hint = "; install what it needs, such as `pip install 'tickgate[sim]'`"
        _complain(
            f"plug-in {point.name!r} ({point.value}) does not load and its commands are missing: "
            f"{type(error).__name__}: {error}{hint}"
        )
        return {}


def _complain(message: str) -> None:
    for line in message.splitlines():
        typer.echo(f"tickgate: {line}", err=True)


app = typer.Typer(
    cls=_Commands,
    help="Configures, arms and watches a tickgate card.",
    epilog="Exit codes: 0 done, 2 your mistake, 3 card unreachable, 4 card refused, "
    "5 card and host do not fit together.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
params = typer.Typer(help="Strategy parameters of the symbols.", no_args_is_help=True)
limits = typer.Typer(help="Risk limits of the symbols.", no_args_is_help=True)
registers = typer.Typer(help="Registers by name.", no_args_is_help=True)
app.add_typer(params, name="params")
app.add_typer(limits, name="limits")
app.add_typer(registers, name="registers")

Port = Annotated[
    str,
    typer.Option(
        "--port",
        envvar="TICKGATE_PORT",
        show_envvar=True,
        metavar="URL",
        help="The card's port: /dev/ttyUSB0, a pseudo-terminal, socket://host:port.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
File = Annotated[str, typer.Argument(metavar="FILE", help="A configuration file (TOML).")]
Symbol = Annotated[str, typer.Argument(metavar="SYMBOL", help="Its name, such as AAPL.")]
GlimpseUser = Annotated[
    str, typer.Option("--user", metavar="NAME", help="Of the GLIMPSE login, 6 characters.")
]
GlimpsePassword = Annotated[
    str,
    typer.Option(envvar="TICKGATE_GLIMPSE_PASSWORD", metavar="WORD", help="Of it, 10 characters."),
]


@dataclasses.dataclass(frozen=True)
class _Line:
    baud: int
    timeout: float


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(
            f"tickgate {version('tickgate')} "
            f"(register map {MAP_HASH:#010x}, protocol {PROTOCOL_VERSION})"
        )
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    baud: Annotated[
        int, typer.Option(min=1, envvar="TICKGATE_BAUD", help="Bits a second of the port.")
    ] = DEFAULT_BAUD,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.001, envvar="TICKGATE_TIMEOUT", help="Seconds after which a request is repeated."
        ),
    ] = DEFAULT_TIMEOUT,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    context.obj = _Line(baud, timeout)


@contextlib.contextmanager
def _card(context: typer.Context, port: str) -> Iterator[Driver]:
    line = context.find_object(_Line) or _Line(DEFAULT_BAUD, DEFAULT_TIMEOUT)
    with Driver.open(port, baud=line.baud, timeout=line.timeout) as driver:
        yield driver


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, default=str))


def _table(*heads: str, title: str | None = None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def _show(table: Table) -> None:
    Console().print(table)


@app.command()
def status(context: typer.Context, port: Port, as_json: AsJson = False) -> None:
    """Shows what the card is and what it is doing."""
    with _card(context, port) as card:
        state = dataclasses.asdict(card.status())
        symbols = card.symbols()
        identity = dataclasses.asdict(card.identity)
        held = worth(card.registers)
    if as_json:
        worths = dataclasses.asdict(held)
        _print_json({"identity": identity, "status": state, "symbols": symbols, "worth": worths})
        return
    table = _table("", "")
    for name in ("map_hash", "build_hash", "committed_checksum"):
        table.add_row(name, f"{(identity | state)[name]:#010x}")
    for name in ("width", "symbols", "ticks", "orders", "sessions", "clock_period_ps"):
        table.add_row(name, f"{identity[name]:,}")
    for name, value in state.items():
        if isinstance(value, bool):
            table.add_row(name, "[bold]yes[/bold]" if value else "no")
        elif isinstance(value, tuple):
            table.add_row(name, " ".join(value) or "none")
        elif name != "committed_checksum":
            table.add_row(name, f"{value:,}")
    for name in ("long_value", "short_value", "profit"):
        value = f"{usd(getattr(held, name)):,} USD"
        table.add_row(name, value if held.known else "not known")
    table.add_row("symbols in force", " ".join(filter(None, symbols)) or "none")
    _show(table)


@app.command()
def check(file: File) -> None:
    """Checks a configuration file without a card."""
    config = Config.from_file(file)
    typer.echo(f"{file}: good, {len(config.symbols)} symbols")


@app.command()
def configure(
    context: typer.Context,
    file: File,
    port: Port,
    begin_day: Annotated[
        bool,
        typer.Option(
            "--begin-day",
            help="Also take the session's first numbers, clear exposure and books, restart the "
            "feed and set the card's time to this machine's (ns since 1970).",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Puts a whole configuration in force on a disarmed card and verifies it."""
    config = Config.from_file(file)
    with _card(context, port) as card:
        checksum = card.apply(config)
        if begin_day:
            card.begin_day(time_ns=time.time_ns())
    if as_json:
        _print_json({"checksum": checksum, "symbols": [symbol.name for symbol in config.symbols]})
    else:
        typer.echo(f"in force: {len(config.symbols)} symbols, checksum {checksum:#010x}")


@app.command()
def arm(
    context: typer.Context,
    port: Port,
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Arm only if this configuration is in force."),
    ] = None,
) -> None:
    """Lets orders leave."""
    wanted = Config.from_file(config) if config else None
    with _card(context, port) as card:
        card.arm(wanted)
    typer.echo("armed")


@app.command()
def login(
    context: typer.Context,
    port: Port,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="At most 6 characters.")],
    password: Annotated[
        str,
        typer.Option(envvar="TICKGATE_PASSWORD", metavar="WORD", help="At most 10 characters."),
    ] = "",
    session: Annotated[
        str,
        typer.Option("--session", metavar="NAME", help="Of the venue; the current one if none."),
    ] = "",
    sequence: Annotated[
        int | None,
        typer.Option(
            "--from-report",
            min=0,
            help="Ask for reports from this number on, not from the one that is due; 0 skips "
            "all so far: for a card that has lost its memory.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--numbers",
            metavar="FILE",
            envvar="TICKGATE_NUMBERS",
            help="Where it is kept which user reference numbers were given out.",
        ),
    ] = None,
) -> None:
    """Connects the card to the venue and logs in, from the report on that is due."""
    kept = NumberFile(file or default_path())
    with _card(context, port) as card:
        registers = card.registers
        numbers = kept.take(
            f"{user}@{session_of_card.venue(registers)}",
            held=session_of_card.held_numbers(registers),
        )
        status = session_of_card.login(
            registers,
            username=user,
            password=password,
            numbers=numbers,
            session=session,
            sequence=sequence,
        )
    typer.echo(
        f"logged in; report {status.due_sequence} and order {numbers.start} are due, "
        f"{len(numbers):,} orders may follow"
    )


@app.command()
def logout(context: typer.Context, port: Port) -> None:
    """Logs the card out of the venue, and closes the connection."""
    with _card(context, port) as card:
        status = session_of_card.logout(card.registers)
    typer.echo(f"logged out; {status.open_orders} orders open")


@app.command()
def session(
    context: typer.Context,
    port: Port,
    abort: Annotated[
        bool, typer.Option("--abort", help="Break the connection off, with a reset.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Shows how the order session stands."""
    with _card(context, port) as card:
        if abort:
            session_of_card.abort(card.registers)
        status = dataclasses.asdict(session_of_card.session_status(card.registers))
    if as_json:
        _print_json(status)
        return
    table = _table("", "")
    for name, value in status.items():
        table.add_row(name.replace("_", " "), str(value))
    _show(table)


@app.command()
def position(
    context: typer.Context,
    port: Port,
    symbol: Symbol,
    shares: Annotated[
        int | None,
        typer.Option("--set", metavar="SHARES", help="What is held; less than 0 is short."),
    ] = None,
    price: Annotated[
        str | None,
        typer.Option(
            "--price", metavar="USD", help="With --set: what a share has cost, or its last close."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Shows what the card holds of a symbol, what is open, and what was turned over."""
    cost = None if price is None else _price(price)
    if shares and cost is None:
        raise UserError("a position needs a --price, from which profit and loss count")
    with _card(context, port) as card:
        index = card.symbol_index(symbol)
        if shares is not None:
            session_of_card.set_position(card.registers, index, shares, price=cost or 0)
        held = dataclasses.asdict(session_of_card.account(card.registers, index))
    if as_json:
        _print_json(held)
        return
    table = _table("", "")
    for name, value in held.items():
        table.add_row(name.replace("_", " "), str(value))
    _show(table)


@app.command()
def cancel(
    context: typer.Context,
    port: Port,
    number: Annotated[
        int | None, typer.Argument(metavar="[NUMBER]", help="An order's user reference number.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All orders that are open.")] = False,
) -> None:
    """Cancels an order of the card at the venue, or all that are open."""
    if every == (number is not None):
        raise UserError("cancel either NUMBER or --all")
    with _card(context, port) as card:
        status = session_of_card.cancel(card.registers, number)
    what = f"order {number}" if number is not None else f"{status.open_orders} open orders"
    waits = "; it waits for the session" if status.cancels_waiting else ""
    typer.echo(f"cancelling {what}{waits}")


@app.command()
def disarm(context: typer.Context, port: Port) -> None:
    """Stops new orders; with cancel_on_disarm, also cancels those that are open."""
    with _card(context, port) as card:
        card.disarm()
    typer.echo("disarmed")


@app.command()
def kill(context: typer.Context, port: Port) -> None:
    """Stops new orders, latched until clear-kill, and cancels those that are open."""
    with _card(context, port) as card:
        card.kill()
    typer.echo("killed")


@app.command()
def clear_kill(context: typer.Context, port: Port) -> None:
    """Ends a kill; the card stays disarmed until its alert is acknowledged and it is armed."""
    with _card(context, port) as card:
        card.clear_kill()
    typer.echo("kill cleared; disarmed")


@app.command()
def acknowledge(context: typer.Context, port: Port) -> None:
    """Takes note of what the card alerts its host of, without which it cannot be armed."""
    with _card(context, port) as card:
        alerts = card.acknowledge()
    typer.echo(f"acknowledged: {', '.join(alerts) or 'nothing'}")


@app.command()
def renew_strategy(context: typer.Context, port: Port) -> None:
    """Enables the strategy anew after max_executions have latched it off."""
    with _card(context, port) as card:
        card.renew_strategy()
    typer.echo("strategy enabled anew")


@app.command()
def watch(
    context: typer.Context,
    port: Port,
    interval_ms: Annotated[
        int, typer.Option(min=0, help="Milliseconds between answers to the card.")
    ] = 100,
) -> None:
    """Stays at the card and shows it that its host is alive; ends when the card is killed.

    So do `events --follow`, `fills --follow` and `recentre --watch`.
    """
    with _card(context, port) as card:
        while True:
            card.beat()
            state = card.status()
            if state.killed:
                raise CardRefused(f"the card was killed by {', '.join(state.kill_causes)}")
            time.sleep(interval_ms / 1000)


@app.command()
def clear_fill_burst(
    context: typer.Context,
    port: Port,
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL...")],
) -> None:
    """Lets symbols trade again that gate 28 has stopped for too many fills."""
    with _card(context, port) as card:
        for index in [card.symbol_index(name) for name in symbols]:
            card.clear_fill_burst(index)
    typer.echo(f"may be traded: {' '.join(symbols)}")


@app.command()
def trust(
    context: typer.Context,
    port: Port,
    symbols: Annotated[
        list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="All if none is given.")
    ] = None,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Declare that the books are not whole.")
    ] = False,
) -> None:
    """Declares that the books of symbols are whole (empty or complete) now."""
    with _card(context, port) as card:
        names = symbols or [name for name in card.symbols() if name]
        if not names:
            raise UserError("the card has no symbols; apply a configuration first")
        for index in [card.symbol_index(name) for name in names]:
            card.set_whole(index, not withdraw)
    typer.echo(f"{'not trusted' if withdraw else 'trusted'}: {' '.join(names)}")


@app.command()
def snapshot(
    symbol: Symbol,
    source: Annotated[
        str, typer.Option("--from", metavar="HOST:PORT", help="A GLIMPSE 5.0 server.")
    ],
    username: GlimpseUser,
    password: GlimpsePassword = "",
) -> None:
    """Prints the book of a symbol, as the venue has it now, as JSON."""
    typer.echo(_take_snapshot(source, symbol, username, password).to_text())


def _take_snapshot(source: str, symbol: str, username: str, password: str) -> Snapshot:
    host, _, port = source.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise UserError(f"--from must be HOST:PORT, such as 127.0.0.1:15002, not {source!r}")
    return glimpse.take(host, int(port), symbol, username=username, password=password)


@app.command()
def book(context: typer.Context, symbol: Symbol, port: Port, as_json: AsJson = False) -> None:
    """Shows the best levels of a symbol's book, all of one moment."""
    with _card(context, port) as card:
        view = card.book(symbol)
    if as_json:
        record: dict[str, Any] = dataclasses.asdict(view) | {"symbol": symbol}
        for side, levels in (("bids", view.bids), ("asks", view.asks)):
            record[side]["levels"] = [
                {"price_usd": str(usd(level.price)), "shares": level.shares}
                for level in levels.levels
            ]
        _print_json(record)
        return
    words = [("exact" if view.exact else "not exact"), *([] if view.trusted else ["not trusted"])]
    table = _table(
        *("bid shares", "bid USD", "ask USD", "ask shares"),
        title=f"{symbol}, after message {view.sequence}: {', '.join(words)}",
    )
    for bid, ask in itertools.zip_longest(view.bids.levels, view.asks.levels):
        table.add_row(
            *((f"{bid.shares:,}", f"{usd(bid.price)}") if bid else ("", "")),
            *((f"{usd(ask.price)}", f"{ask.shares:,}") if ask else ("", "")),
        )
    ends = [
        ("..." if side.complete else "missing") if side.more else ""
        for side in (view.bids, view.asks)
    ]
    if any(ends):
        table.add_row("", ends[0], ends[1], "")
    _show(table)


@app.command()
def recover(
    context: typer.Context,
    symbol: Symbol,
    port: Port,
    snapshot: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help="The snapshot; it is read when the card holds."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="HOST:PORT", help="A GLIMPSE 5.0 server, asked when the card holds."
        ),
    ] = None,
    username: GlimpseUser = "",
    password: GlimpsePassword = "",
    as_json: AsJson = False,
) -> None:
    """Makes the book of a symbol whole again from a snapshot, while the feed goes on."""
    if (snapshot is None) == (source is None):
        raise UserError("give either --snapshot FILE or --from HOST:PORT")

    def read(state: RecoveryStatus) -> Snapshot:
        first = "not known yet" if state.first is None else f"{state.first}"
        typer.echo(f"held from message {first} on; reading {snapshot or source}", err=True)
        if source is not None:
            return _take_snapshot(source, symbol, username, password)
        return _read_snapshot(snapshot or "")

    bar = Progress(console=Console(stderr=True), transient=True)
    with _card(context, port) as card, bar:
        task = bar.add_task("orders", total=None)
        state = card.recover(
            symbol, read, lambda done, total: bar.update(task, completed=done, total=total)
        )
    if as_json:
        _print_json({"symbol": symbol, "orders": state.orders, "first": state.first})
    else:
        typer.echo(f"whole: {symbol}, from a snapshot of {state.orders} orders")


@app.command()
def recentre(
    context: typer.Context,
    port: Port,
    symbols: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SYMBOL]...", help="With --watch, all if none is given."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="USD",
            help="Lowest price of the window; default: the best prices come into its middle.",
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Look again and again, and move the windows that need it."),
    ] = False,
    interval_ms: Annotated[
        int, typer.Option(min=0, help="Milliseconds between rounds of looks.")
    ] = 100,
    pause_ms: Annotated[
        int, typer.Option(min=0, help="Milliseconds between two moves of the same window.")
    ] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Moves the price window of symbols, while the feed goes on and orders leave."""
    if not symbols and not watch:
        raise UserError("name the symbols, or give --watch")
    if base is not None and (watch or len(symbols or ()) != 1):
        raise UserError("--base goes with one symbol, and without --watch")
    lowest = None if base is None else _price(base)

    def tell(name: str, done: Recentred) -> None:
        if as_json:
            prices = {key: str(usd(getattr(done, key))) for key in ("base", "bid", "ask")}
            _print_json({"symbol": name, **prices, "trusted": done.trusted})
        else:
            trusted = "trusted" if done.trusted else "not trusted"
            typer.echo(f"{name}: window from {usd(done.base)} USD on, {trusted}")

    with _card(context, port) as card:
        if not watch:
            for name in symbols or ():
                tell(name, card.recentre(name, lowest))
            return
        follower = Follower(card, symbols or None, pause_s=pause_ms / 1000)
        while True:
            for name in follower.symbols:
                card.beat()
                done = follower.look(name)
                if done is not None:
                    tell(name, done)
            time.sleep(interval_ms / 1000)


def _price(text: str) -> int:
    """A price in 1e-4 USD. Raises `UserError`."""
    try:
        return units(Decimal(text))
    except (ArithmeticError, ValueError) as error:
        raise UserError(f"{text!r} is no price in USD: {error}") from None


def _read_snapshot(name: str) -> Snapshot:
    if name == "-":
        return Snapshot.from_text(sys.stdin.read(), source="the standard input")
    try:
        text = Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name}: {error}") from None
    return Snapshot.from_text(text, source=name)


@app.command()
def counters(
    context: typer.Context,
    port: Port,
    every: Annotated[bool, typer.Option("--all", help="Also those that are 0.")] = False,
    as_json: AsJson = False,
) -> None:
    """Shows the counters."""
    with _card(context, port) as card:
        values = card.counters()
    if as_json:
        _print_json(values)
        return
    table = _table("counter", "value", "meaning")
    for name, value in values.items():
        if value or every:
            table.add_row(name, f"{value:,}", find(name).doc)
    _show(table)


Follow = Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until interrupted.")]
Interval = Annotated[
    int, typer.Option("--interval-ms", min=0, help="Milliseconds between looks while following.")
]
AsLines = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


@app.command()
def events(
    context: typer.Context,
    port: Port,
    follow: Follow = False,
    interval_ms: Interval = 50,
    as_json: AsLines = False,
) -> None:
    """Takes the events that wait from the card and shows them."""
    with _card(context, port) as card:
        names = card.symbols()
        for event in _take_events(card, interval_ms if follow else None):
            record = _describe_event(event, names)
            typer.echo(json.dumps(record) if as_json else _event_line(record))


def _take_events(card: Driver, interval_ms: int | None) -> Iterator[Event]:
    """The events that wait and, with an interval, all that come."""
    yield from card.events()
    while interval_ms is not None:
        card.beat()
        time.sleep(interval_ms / 1000)
        yield from card.events()


@app.command()
def fills(
    context: typer.Context,
    port: Port,
    follow: Follow = False,
    interval_ms: Interval = 50,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Append every event that is taken, as `events --json` prints it."
        ),
    ] = None,
    as_json: AsLines = False,
) -> None:
    """Takes the events that wait from the card, and shows the fills and what they come to."""
    blotter = Fills()
    with _card(context, port) as card, _appended(keep) as kept:
        names = card.symbols()
        try:
            for event in _take_events(card, interval_ms if follow else None):
                record = _describe_event(event, names)
                if kept is not None:
                    print(json.dumps(record), file=kept, flush=True)
                if blotter.take(event):
                    typer.echo(json.dumps(record) if as_json else _event_line(record))
        finally:
            _show_totals(blotter, names, as_json=as_json)


def _appended(file: Path | None) -> contextlib.AbstractContextManager[TextIO | None]:
    try:
        return contextlib.nullcontext() if file is None else file.open("a")
    except OSError as error:
        raise UserError(f"{file}: {error}") from None


def _show_totals(blotter: Fills, names: Sequence[str], *, as_json: bool) -> None:
    rows = [
        {
            "symbol": _symbol_name(index, names),
            "bought_shares": traded.bought_shares,
            "bought_usd": str(usd(traded.bought_notional)),
            "sold_shares": traded.sold_shares,
            "sold_usd": str(usd(traded.sold_notional)),
            "last_price_usd": str(usd(traded.last_price or 0)),
        }
        for index, traded in sorted(blotter.symbols.items())
    ]
    totals = {
        "orders": len(blotter.orders),
        "fills": blotter.executions,
        "events_lost": blotter.lost,
    }
    if as_json:
        typer.echo(json.dumps(totals | {"symbols": rows}))
        return
    if rows:
        table = _table(*(name.replace("_", " ") for name in rows[0]))
        for row in rows:
            table.add_row(*map(str, row.values()))
        _show(table)
    typer.echo(f"{blotter.executions:,} fills of {len(blotter.orders):,} orders")
    if blotter.lost:
        typer.echo(
            f"{blotter.lost:,} events were lost, and fills may be among them: "
            "what `tickgate position` shows still holds",
            err=True,
        )


def _describe_event(event: Event, names: Sequence[str]) -> dict[str, Any]:
    """The fields of an event that its kind uses, for people and scripts."""
    kind = event.kind
    record: dict[str, Any] = {
        "sequence": event.sequence,
        "time_ns": event.time,
        "kind": EventKind(kind).name if kind in tuple(EventKind) else kind,
    }
    if event.lost_before:
        record["lost_before"] = event.lost_before
    if kind in (EventKind.STATE_CHANGED, EventKind.CONFIG_COMMITTED):
        record["detail"] = event.detail
        if kind == EventKind.STATE_CHANGED:
            bits = find("state").unpack(event.detail)
            record["state"] = [name for name, bit in bits.items() if bit]
        return record
    if kind not in REPORTS:
        record["message_sequence"] = event.message_sequence
    if kind == EventKind.GAP:
        return record
    record |= {
        "symbol": _symbol_name(event.symbol, names),
        "side": "sell" if event.side else "buy",
        "quantity": event.quantity,
    }
    if kind not in (EventKind.CANCELLED, EventKind.REJECTED):
        record["price_usd"] = str(usd(event.price))
    if kind == EventKind.REFUSED:
        record["gates"] = event.gates
    else:
        record["user_ref_num"] = event.user_ref_num
    if kind == EventKind.ORDER_SENT:
        record["latency_cycles"] = event.latency_cycles
    return record | describe_report(event) if kind in REPORTS else record


def _symbol_name(index: int, names: Sequence[str]) -> str | int:
    return (names[index] if index < len(names) else "") or index


def _event_line(record: dict[str, Any]) -> str:
    rest = " ".join(
        f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in record.items()
        if name not in ("sequence", "time_ns", "kind")
    )
    return f"{record['sequence']:>8} {record['time_ns']:>20} {record['kind']:<16} {rest}"


def _add_section(
    group: typer.Typer, key: str, section: type[StrategyConfig | LimitsConfig]
) -> None:
    """Gives `group` the commands show, set and push for the part `key` of a symbol's page."""

    @group.command()
    def show(
        context: typer.Context,
        port: Port,
        symbols: Annotated[
            list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="All if none is given.")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Shows what is in force."""
        with _card(context, port) as card:
            pages = card.pages_in_force()
            names = symbols or [name for name in map(page_name, pages) if name]
            indices = [card.symbol_index(name) for name in names]
        values = {
            name: dict(section.from_parameters(page_values(pages[index])))
            for name, index in zip(names, indices, strict=True)
        }
        if as_json:
            _print_json(values)
            return
        table = _table("", *names)
        for field in section.model_fields:
            table.add_row(field, *(_cell(values[name][field]) for name in names))
        _show(table)

    @group.command("set")
    def set_(
        context: typer.Context,
        symbol: Symbol,
        assignments: Annotated[
            list[str],
            typer.Argument(metavar="NAME=VALUE...", help=f"Of {', '.join(section.model_fields)}."),
        ],
        port: Port,
    ) -> None:
        """Changes values of one symbol, all at once. May be done while armed."""
        # Judged before the card is touched: a mistake must not depend on what is in force.
        change(section(), assignments, source=symbol)
        with _card(context, port) as card:
            pages = card.pages_in_force()
            index = card.symbol_index(symbol)
            held = page_values(pages[index])
            changed = change(section.from_parameters(held), assignments, source=symbol)
            pages[index] = page_words(held | changed.parameters())
            checksum = card.commit_pages(pages)
        typer.echo(f"in force: {symbol}, checksum {checksum:#010x}")

    @group.command()
    def push(context: typer.Context, file: File, port: Port) -> None:
        """Takes these values of all symbols from a file, all at once. May be done while armed."""
        config = Config.from_file(file)
        with _card(context, port) as card:
            pages = card.pages_in_force()
            for symbol in config.symbols:
                index = card.symbol_index(symbol.name)
                values = getattr(symbol, key).parameters()
                pages[index] = page_words(page_values(pages[index]) | values)
            checksum = card.commit_pages(pages)
        typer.echo(f"in force: {len(config.symbols)} symbols, checksum {checksum:#010x}")


_add_section(params, "strategy", StrategyConfig)
_add_section(limits, "limits", LimitsConfig)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:,}"


@registers.command("list")
def list_registers(as_json: AsJson = False) -> None:
    """Lists all registers; needs no card."""
    if as_json:
        _print_json(
            [
                {"name": r.name, "address": r.address, "kind": r.kind.name.lower(), "doc": r.doc}
                for r in REGISTERS
            ]
        )
        return
    table = _table("address", "name", "kind", "meaning")
    for register in REGISTERS:
        table.add_row(
            f"{register.address:#06x}", register.name, register.kind.name.lower(), register.doc
        )
    _show(table)


@registers.command()
def read(
    context: typer.Context,
    port: Port,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="All if none is given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Reads registers."""
    readable = [register.name for register in REGISTERS if register.kind is not Kind.COMMAND]
    wanted = [find(name).name for name in names or readable]
    with _card(context, port) as card:
        values = card.registers.read_many(wanted)
    if as_json:
        _print_json(values)
        return
    table = _table("name", "hex", "decimal")
    for name, value in values.items():
        table.add_row(name, f"{value:#010x}", f"{value:,}")
    _show(table)


@registers.command()
def write(
    context: typer.Context,
    assignments: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...")],
    port: Port,
) -> None:
    """Writes registers; values are decimal, or hexadecimal after 0x."""
    values = {}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        try:
            values[find(name).name] = int(text, 0)
        except ValueError:
            raise UserError(
                f"{assignment!r} is not NAME=VALUE with a whole number such as 26477 or 0x1F"
            ) from None
    with _card(context, port) as card:
        card.registers.write_many(values)
    typer.echo(f"written: {' '.join(values)}")


def _run(call: Callable[[], Any]) -> int:
    try:
        result = call()
    except HostError as error:
        _complain(str(error))
        return error.exit_code
    except TyperException as error:
        message = error.format_message()
        if message:
            _complain(" ".join(message.split()))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 130
    return result if isinstance(result, int) else 0


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its code."""
    sys.exit(_run(lambda: app(args=arguments, prog_name="tickgate", standalone_mode=False)))
