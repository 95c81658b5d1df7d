"""The command `tickgate exchange`.

Exit codes: 0 done, 2 a mistake of the user.

Ref: docs/exchange.md.
"""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from tickgate.sim.capture import InputError

__all__ = ["exchange"]

LINE_INTERVAL = 0.5
OFF = "none"


def exchange(
    ouch: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where clients log in; port 0: any.")
    ] = "127.0.0.1:15001",
    feed_a: Annotated[
        str, typer.Option(metavar="GROUP:PORT", help="Line A of the feed; none: no such line.")
    ] = "233.54.12.111:26477",
    feed_b: Annotated[
        str, typer.Option(metavar="GROUP:PORT", help="Line B of the feed; none: no such line.")
    ] = "233.49.196.111:26478",
    interface: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Of the interface that the feed leaves by.")
    ] = "127.0.0.1",
    ttl: Annotated[int, typer.Option(min=0, max=255, help="Of the feed's datagrams.")] = 1,
    rerequest: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Retransmission server; none: no such.")
    ] = "127.0.0.1:26479",
    snapshot: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Snapshots (GLIMPSE); none: no such.")
    ] = "127.0.0.1:15002",
    operator: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The venue's desk; default: no such.")
    ] = OFF,
    symbols: Annotated[
        str,
        typer.Option(metavar="A,B,...", help="Symbols to trade; default: those of the flow."),
    ] = "",
    flow: Annotated[
        str | None,
        typer.Option(metavar="SEED:RATE", help="Generated orders of others, messages a second."),
    ] = None,
    itch: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Play the orders of an ITCH 5.0 file.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Messages of --itch a second.")] = 1000.0,
    accounts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who may log in (TOML); default: two.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every OUCH message (JSON lines).")
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the ledger at the end; - prints."),
    ] = None,
    announce: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the addresses (JSON) once it listens."),
    ] = None,
    session: Annotated[
        str, typer.Option(metavar="NAME", help="Of SoupBinTCP and MoldUDP64; default: a new one.")
    ] = "",
    datagram: Annotated[
        int, typer.Option(min=72, max=1472, help="Octets of the feed's datagrams, at most.")
    ] = 1400,
    heartbeat: Annotated[float, typer.Option(help="Seconds between heartbeats.")] = 1.0,
    timeout: Annotated[float, typer.Option(help="Seconds after which a silent client is gone.")] = (
        15.0
    ),
    login_timeout: Annotated[float, typer.Option(help="Seconds that a login may take.")] = 30.0,
    duration: Annotated[
        float | None, typer.Option(help="Seconds to trade; default: until Ctrl-C.")
    ] = None,
) -> None:
    """Runs a venue on sockets: OUCH 5.0 in, ITCH 5.0 out, price-time priority between."""
    from rich.console import Console

    from tickgate.sim import outputs
    from tickgate.sim.exchange.venue import BindError

    console = Console(stderr=json_file == Path("-"))
    for path in (json_file, journal, announce):
        if path is not None and path != Path("-"):
            outputs.require_writable(path)
    flow_plan = _plan_flow(flow, itch, rate, _names(symbols))
    with contextlib.ExitStack() as stack:
        settings = _settings(
            symbols=flow_plan.symbols,
            accounts=accounts,
            session=session,
            ouch=_address("--ouch", ouch),
            lines={
                option: _group(option, text)
                for option, text in (("--feed-a", feed_a), ("--feed-b", feed_b))
                if text != OFF
            },
            interface=_host("--interface", interface),
            ttl=ttl,
            rerequest=_optional("--rerequest", rerequest),
            snapshot=_optional("--snapshot", snapshot),
            datagram=datagram,
            timers=_timers(heartbeat, timeout, login_timeout),
            feed_heartbeat=heartbeat,
            journal=None if journal is None else stack.enter_context(outputs.create(journal)),
            notice=lambda text: console.print(text, highlight=False, markup=False),
        )
        run = _Run(
            settings=settings,
            flow=flow_plan,
            operator=_optional("--operator", operator),
            announce=announce,
            duration=duration,
            built_in=accounts is None,
            console=console,
        )
        try:
            summary = asyncio.run(run.run())
        except BindError as error:
            host, port = error.address
            raise InputError(
                f"{error.option} {host}:{port} cannot be had: {error.strerror}; "
                "choose another one, port 0 for any"
            ) from None
    _report(console, summary, json_file)


@dataclass(kw_only=True)
class _Flow:
    """Who trades beside the clients."""

    symbols: list[Any]
    opening: list[bytes] = field(default_factory=list)
    messages: Iterator[bytes] | None = None
    rate: float = 0.0
    text: str = "none: only clients trade"


@dataclass(kw_only=True)
class _Run:
    """One run of the venue, with the things around it."""

    settings: Any
    flow: _Flow
    operator: tuple[str, int] | None
    announce: Path | None
    duration: float | None
    built_in: bool
    console: Any

    async def run(self) -> dict[str, Any]:
        """Runs the venue until it is stopped, and returns what it came to."""
        from tickgate.sim.exchange.flow import Crowd, Pace
        from tickgate.sim.exchange.operator import Operator
        from tickgate.sim.exchange.venue import BindError, Venue

        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        venue = Venue(self.settings)
        crowd, desk = Crowd(venue.engine), Operator(venue)
        tasks = []
        await venue.start()
        try:
            if self.operator is not None:
                try:
                    venue.addresses["--operator"] = await desk.start(*self.operator)
                except OSError as error:
                    raise BindError("--operator", self.operator, error) from None
            for octets in self.flow.opening:
                crowd.play(octets)
            self._show_start(venue)
            if self.flow.messages is not None:
                pace = Pace(self.flow.messages, crowd.play, rate=self.flow.rate)
                tasks.append(asyncio.create_task(pace.run()))
            if self.console.is_terminal:
                tasks.append(asyncio.create_task(self._watch(venue)))
            await self._wait(stop, tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            status = venue.status()
            await venue.stop()
            await desk.stop()
        return {
            **venue.ledger(),
            "status": {**status, "messages": len(venue.feed.messages)},
            "flow": dict(crowd.counters),
            "ports": {name: dict(port.counters) for name, port in venue.ports.items()},
        }

    async def _wait(self, stop: asyncio.Event, tasks: list[asyncio.Task]) -> None:
        """Until the end is asked for, the time is over, or a task has failed."""
        end = asyncio.create_task(stop.wait())
        tasks.append(end)
        watched = set(tasks)
        limit = None if self.duration is None else time.monotonic() + self.duration
        while not end.done():
            left = None if limit is None else limit - time.monotonic()
            if left is not None and left <= 0:
                return
            done, watched = await asyncio.wait(
                watched, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()

    async def _watch(self, venue: Any) -> None:
        """Shows how it goes in a line of the terminal."""
        from rich.live import Live
        from rich.text import Text

        from tickgate.sim.exchange.show import progress_line

        began = last = time.monotonic()
        messages = venue.status()["messages"]
        live = Live(console=self.console, transient=True, auto_refresh=False)
        with live:
            while True:
                status, moment = venue.status(), time.monotonic()
                rate = (status["messages"] - messages) / max(moment - last, 1e-3)
                messages, last = status["messages"], moment
                line = progress_line(status, seconds=moment - began, rate=rate)
                live.update(Text(line), refresh=True)
                await asyncio.sleep(LINE_INTERVAL)

    def _show_start(self, venue: Any) -> None:
        from tickgate.sim import outputs
        from tickgate.sim.exchange.show import start_table

        table = start_table(
            venue,
            symbols=self.settings.symbols,
            accounts=self.settings.accounts,
            flow=self.flow.text,
            shown=self.built_in,
        )
        self.console.print(table)
        self.console.print("trading; Ctrl-C ends the day", highlight=False)
        if self.announce is not None:
            addresses = {option.lstrip("-"): where for option, where in venue.addresses.items()}
            with outputs.create(self.announce) as file:
                file.write(json.dumps({"session": venue.session, **addresses}) + "\n")


def _report(console: Any, summary: dict[str, Any], json_file: Path | None) -> None:
    from tickgate.sim import outputs
    from tickgate.sim.exchange.show import summary_tables

    console.print(*summary_tables(summary))
    if json_file is None:
        return
    text = json.dumps(summary, indent=2)
    if json_file == Path("-"):
        typer.echo(text)
        return
    with outputs.create(json_file) as file:
        file.write(text + "\n")
    console.print(f"wrote {json_file}", highlight=False, soft_wrap=True)


def _plan_flow(flow: str | None, itch: Path | None, rate: float, names: list[str]) -> _Flow:
    """The symbols, and who trades them beside the clients."""
    from tickgate.sim.exchange.book import Symbol
    from tickgate.sim.exchange.flow import file_messages, file_symbols, generated
    from tickgate.sim.market import INSTRUMENTS

    if flow is not None and itch is not None:
        raise InputError("--flow and --itch exclude each other: leave one of them out")
    if rate <= 0:
        raise InputError(f"--rate must be more than 0 messages a second, not {rate:g}")
    if itch is not None:
        return _Flow(
            symbols=file_symbols(itch, names),
            messages=file_messages(itch),
            rate=rate,
            text=f"{itch}, {rate:,.0f} messages a second",
        )
    known = {instrument.name: instrument for instrument in INSTRUMENTS}
    if flow is None:
        if not names:
            names = list(known)
        try:
            return _Flow(
                symbols=[
                    Symbol(name=name, locate=known[name].locate if name in known else number)
                    for number, name in enumerate(names, 1)
                ]
            )
        except ValueError as error:
            raise InputError(f"--symbols: {error}") from None
    seed, pace = _seed_and_rate(flow)
    for name in names:
        if name not in known:
            raise InputError(f"--flow has no symbol {name!r}; it has {', '.join(known)}")
    chosen = [known[name] for name in names or known]
    opening, messages = generated(seed, chosen)
    return _Flow(
        symbols=[
            Symbol(name=instrument.name, locate=instrument.locate, tick=instrument.tick)
            for instrument in chosen
        ],
        opening=opening,
        messages=messages,
        rate=pace,
        text=f"generated from seed {seed}, {pace:,.0f} messages a second",
    )


def _seed_and_rate(text: str) -> tuple[int, float]:
    seed, _, rate = text.partition(":")
    try:
        parsed = int(seed), float(rate or 1000)
    except ValueError:
        parsed = -1, 0.0
    if parsed[0] < 0 or not 0 < parsed[1] < 1e9:
        raise InputError(
            f"--flow must be SEED:RATE, such as 1:2000 for 2,000 messages a second, not {text!r}"
        )
    return parsed


def _settings(**values: Any) -> Any:
    from tickgate.sim.exchange.accounts import default_accounts, read_accounts
    from tickgate.sim.exchange.journal import Journal
    from tickgate.sim.exchange.venue import Settings, day_clock, new_session

    clock = day_clock()
    file, session = values.pop("accounts"), values.pop("session") or new_session()
    if not (session.isascii() and session.isalnum() and len(session) <= 10):
        raise InputError(f"--session must be at most 10 letters and digits, not {session!r}")
    journal = values.pop("journal")
    return Settings(
        accounts=default_accounts() if file is None else read_accounts(file),
        session=session,
        clock=clock,
        journal=None if journal is None else Journal(journal, clock=clock),
        **values,
    )


def _timers(heartbeat: float, timeout: float, login_timeout: float) -> Any:
    from tickgate.sim.exchange.soup import Timers

    for option, value in (
        ("--heartbeat", heartbeat),
        ("--timeout", timeout),
        ("--login-timeout", login_timeout),
    ):
        if value <= 0:
            raise InputError(f"{option} must be more than 0 seconds, not {value:g}")
    return Timers(heartbeat=heartbeat, peer=timeout, login=login_timeout)


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip().upper() for name in text.split(",") if name.strip()))


def _host(option: str, text: str) -> str:
    import ipaddress

    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise InputError(f"{option} must be an IPv4 address, not {text!r}") from None


def _address(option: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise InputError(f"{option} must be HOST:PORT, such as 127.0.0.1:15001, not {text!r}")
    return host, int(port)


def _group(option: str, text: str) -> tuple[str, int]:
    host, port = _address(option, text)
    if not port:
        raise InputError(f"{option} needs a port other than 0: receivers must know it")
    return _host(option, host), port


def _optional(option: str, text: str) -> tuple[str, int] | None:
    return None if text == OFF else _address(option, text)
