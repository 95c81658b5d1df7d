"""The commands of the simulator: `replay`, `demo`, `bench`, `campaign`, `prove`, `sim` and others.

Exit codes: 0 done, 1 the card differs from the golden models, 2 a mistake of the user.

Ref: docs/cli.md.
"""

import contextlib
import json
import signal
import threading
from collections.abc import Collection, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tickgate.sim.capture import InputError
from tickgate.sim.exchange.cli import exchange
from tickgate.sim.prove.cli import prove, prove_mutants
from tickgate.sim.together.cli import trade
from tickgate.spec.registers import MAX_SYMBOLS

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False)
bench = typer.Typer(help="Measures latency, and the speed of the simulation.", no_args_is_help=True)
app.add_typer(bench, name="bench")
app.command()(exchange)
app.command()(trade)
app.command()(prove)
app.command("prove-mutants")(prove_mutants)

Width = Annotated[int, typer.Option(help="Octets a cycle: 1 is 1 GbE, 8 is 10 GbE.")]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write all results as JSON; - prints.")
]
Capacity = Annotated[int, typer.Option(min=1, max=MAX_SYMBOLS, help="Symbols of the card.")]
Rate = Annotated[float, typer.Option(min=0, max=1, help="Share of frames on the network.")]
WIDTHS = (1, 2, 4, 8)

DEMO_STRATEGY = {"min_interval_ns": 200_000}
DEMO_LIMITS = {"max_long_shares": 12_000, "max_short_shares": 12_000, "collar_bps": 20}


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="ITCH 5.0 or a capture (pcap, pcapng); .gz too.")],
    symbols: Annotated[
        str, typer.Option(metavar="A,B,...", help="Symbols to follow; default: the busiest.")
    ] = "",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration of the card (TOML).")
    ] = None,
    width: Width = 8,
    check: Annotated[
        bool, typer.Option("--check", help="Compare everything with the golden models.")
    ] = False,
    json_file: Json = None,
    pcap: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the order frames as a capture.")
    ] = None,
    tops: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every change of a top as CSV.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw book, orders and latency (PNG).")
    ] = None,
    pack: Annotated[
        int | None,
        typer.Option(min=1, help="Messages in a datagram; default: those of one timestamp."),
    ] = None,
    gap: Annotated[
        int | None,
        typer.Option(min=0, help="Idle cycles between frames; default: the card comes to rest."),
    ] = None,
    line_rate: Annotated[
        bool, typer.Option("--line-rate", help="Frames back to back, at 100 % of the line rate.")
    ] = False,
    capacity: Capacity = 16,
    ticks: Annotated[int, typer.Option(help="Price levels of the card's books.")] = 4096,
    orders: Annotated[int, typer.Option(help="Live orders that the card can hold.")] = 131072,
) -> None:
    """Feeds market data into the virtual card and shows what comes out of it."""
    from tickgate.sim.replay import Options

    _require_width(width)
    _require_sizes(ticks, orders)
    options = Options(
        width=width,
        capacity=capacity,
        ticks=ticks,
        orders=orders,
        symbols=[name.strip() for name in symbols.split(",") if name.strip()],
        config=config,
        pack=pack,
        gap=gap,
        line_rate=line_rate,
        check=check,
        direct=True,
    )
    _replay(file, options, json_file=json_file, pcap=pcap, tops=tops, picture=picture)


@app.command()
def demo(
    messages: Annotated[int, typer.Option(min=2_000, help="Messages to generate.")] = 200_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated market.")] = 1,
    width: Width = 8,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go.")] = Path(
        "build/demo"
    ),
) -> None:
    """Generates a market, replays it with the strategy armed, checks everything and draws it."""
    from tickgate.sim import market
    from tickgate.sim.replay import Options

    _require_width(width)
    console = Console(stderr=True)
    with console.status(f"generating {messages:,} messages (seed {seed})"):
        generated = market.generate(seed=seed, messages=messages)
    file = output / "market.itch"
    try:
        output.mkdir(parents=True, exist_ok=True)
        file.write_bytes(generated.data)
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror}") from None
    options = Options(
        width=width, strategy=DEMO_STRATEGY, limits=DEMO_LIMITS, check=True, direct=True
    )
    _replay(
        file,
        options,
        json_file=output / "summary.json",
        pcap=output / "orders.pcap",
        tops=output / "tops.csv",
        picture=output / "picture.png",
        title=f"tickgate demo: a tick goes in, an order comes out (seed {seed})",
    )


@bench.command()
def latency(
    file: Annotated[
        Path | None, typer.Argument(help="ITCH 5.0 or a capture; default: a generated market.")
    ] = None,
    width: Width = 8,
    messages: Annotated[
        int, typer.Option(min=2_000, help="Messages of the generated market.")
    ] = 50_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated market.")] = 1,
    json_file: Json = None,
) -> None:
    """Measures t0 to the top of book and to the order, unloaded and at 100 % line rate."""
    import tempfile

    from rich.text import Text

    from tickgate.sim import market
    from tickgate.sim.replay import Options, plan, run
    from tickgate.sim.summary import latency_tables

    _require_width(width)
    console = Console(stderr=json_file == Path("-"))
    with tempfile.TemporaryDirectory() as folder:
        if file is None:
            file = Path(folder) / "market.itch"
            file.write_bytes(market.generate(seed=seed, messages=messages).data)
        results = {}
        for load, options in (
            ("unloaded", Options(width=width, pack=1, direct=True)),
            ("line_rate", Options(width=width, line_rate=True, direct=True)),
        ):
            with _progress() as progress:
                planned = plan(file, options, progress)
            with _progress() as progress:
                results[load] = run(planned, progress=progress)
            console.print(Text(load.replace("_", " "), style="bold"))
            console.print(*latency_tables(results[load]))
    unloaded, loaded = (result.as_dict() for result in results.values())
    loaded.pop("order_list")
    unloaded.pop("order_list")
    _write_json(json_file, {**unloaded, "line_rate": loaded})
    _fail_on_difference(console, *results.values())


@bench.command()
def simulation(
    width: Width = 8,
    messages: Annotated[int, typer.Option(min=2_000, help="For the virtual card.")] = 200_000,
    cocotb_messages: Annotated[int, typer.Option(min=100, help="For cocotb.")] = 1_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated market.")] = 1,
    with_cocotb: Annotated[
        bool, typer.Option("--cocotb/--no-cocotb", help="Measure cocotb too.")
    ] = True,
    json_file: Json = None,
) -> None:
    """Measures how fast the virtual card runs, beside cocotb on the same netlist."""
    from tickgate.sim import bench as benches
    from tickgate.sim.summary import pace_table

    _require_width(width)
    measured = benches.simulation(
        width=width,
        messages=messages,
        cocotb_messages=cocotb_messages,
        seed=seed,
        with_cocotb=with_cocotb,
    )
    Console(stderr=json_file == Path("-")).print(pace_table(measured))
    _write_json(json_file, measured.to_dict())


@bench.command("line-rate")
def line_rate(
    width: Width = 8,
    messages: Annotated[
        int, typer.Option(min=8, help="Of each mix, over all kinds of frames, gaps and lines.")
    ] = 200_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the mixes.")] = 1,
    mixes: Annotated[
        list[str] | None,
        typer.Option("--mix", metavar="NAME", help="Only this one; again for more."),
    ] = None,
    json_file: Json = None,
) -> None:
    """Offers every mix of messages at 100 % of the line rate and beyond: nothing may be lost."""
    from tickgate.sim import linerate
    from tickgate.sim.mixes import MIXES
    from tickgate.sim.summary import line_rate_tables

    _require_width(width)
    _require_known("--mix", mixes, MIXES)
    console = Console(stderr=json_file == Path("-"))
    with _progress() as progress:
        measured = linerate.line_rate(
            width=width,
            messages=messages,
            seed=seed,
            mixes=mixes or list(MIXES),
            progress=progress,
        )
    console.print(*line_rate_tables(measured))
    _write_json(json_file, measured.as_dict())
    if not measured.kept_up:
        raise typer.Exit(1)


@app.command()
def campaign(
    messages: Annotated[int, typer.Option(min=1, help="Over all widths.")] = 500_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the first round; each has the next.")] = 1,
    widths: Annotated[
        list[int] | None,
        typer.Option("--width", help="Octets a cycle; again for another one. Default: 8 and 1."),
    ] = None,
    shapes: Annotated[
        list[str] | None,
        typer.Option("--shape", metavar="NAME", help="Only this one; again for more."),
    ] = None,
    json_file: Json = None,
) -> None:
    """Tries the books hard: messages that aim at hazards, each top compared with the model."""
    from tickgate.sim import campaign as campaigns
    from tickgate.sim.hazards import SHAPES
    from tickgate.sim.summary import campaign_table, show_difference

    widths = widths or [8, 1]
    for width in widths:
        _require_width(width)
    _require_known("--shape", shapes, SHAPES)
    console = Console(stderr=json_file == Path("-"))
    with _progress() as progress:
        outcome = campaigns.campaign(
            messages=messages,
            seed=seed,
            widths=widths,
            shapes=shapes or list(SHAPES),
            progress=progress,
        )
    console.print(campaign_table(outcome))
    _write_json(json_file, outcome.as_dict())
    if outcome.difference is not None:
        show_difference(outcome.difference, console)
        console.print(f"once more: {outcome.again}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)


@bench.command()
def store(
    orders: Annotated[int, typer.Option(help="Orders that the tables can hold.")] = 16384,
    references: Annotated[str, typer.Option(help="real, dense, aligned or random.")] = "real",
    messages: Annotated[
        int, typer.Option(min=2, help="At each load, once it is reached.")
    ] = 200_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated references.")] = 1,
    json_file: Json = None,
) -> None:
    """Measures how full the order store may be: overflow by load, and for simpler schemes."""
    from tickgate.hdl.book.types import Geometry
    from tickgate.sim import storeload
    from tickgate.sim.summary import store_table

    _require_sizes(16, orders)
    if references not in storeload.REFERENCES:
        names = ", ".join(storeload.REFERENCES)
        raise InputError(f"--references must be one of {names}, not {references}")
    geometry = Geometry(symbols=16, ticks=1024, orders=orders)
    with _progress() as progress:
        points = []
        total = len(storeload.SCHEMES) * len(storeload.LOADS)
        for point in storeload.curve(geometry, references=references, messages=messages, seed=seed):
            points.append(point)
            progress("filling stores", len(points), total)
    Console(stderr=json_file == Path("-")).print(store_table(points))
    _write_json(json_file, [point.to_dict() for point in points])


@bench.command("recentre")
def bench_recentre(
    width: Width = 8,
    messages: Annotated[int, typer.Option(min=1000, help="Of the market.")] = 200_000,
    pack: Annotated[
        int | None, typer.Option(min=1, help="Messages of a frame at most; default: a full frame.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the market.")] = 1,
    json_file: Json = None,
) -> None:
    """Plays a market that keeps leaving its windows at line rate, while a host moves them."""
    from tickgate.sim import moving
    from tickgate.sim.summary import moving_table

    _require_width(width)
    console = Console(stderr=json_file == Path("-"))
    with console.status("playing"):
        measured = moving.measure(width=width, messages=messages, pack=pack, seed=seed)
    console.print(moving_table(measured))
    _write_json(json_file, measured.as_dict())
    for difference in measured.differences[:5]:
        console.print(difference, markup=False)
    if not measured.right:
        raise typer.Exit(1)


@bench.command()
def knight(
    gates: Annotated[
        list[int] | None,
        typer.Option("--gate", metavar="N", help="Only this one; again for more."),
    ] = None,
    width: Width = 8,
    json_file: Json = None,
) -> None:
    """Lets a strategy go wild, and shows where each gate that is there for it stops it."""
    from tickgate.sim import knight as tests
    from tickgate.sim.summary import knight_table

    _require_width(width)
    scenarios = {str(each.gate): each for each in tests.SCENARIOS}
    wanted = [str(gate) for gate in gates] if gates else list(scenarios)
    _require_known("--gate", wanted, scenarios)
    console = Console(stderr=json_file == Path("-"))
    with console.status("going wild"):
        stops = [tests.run(scenarios[gate], width=width) for gate in wanted]
    console.print(knight_table(stops))
    _write_json(json_file, [stop.as_dict() for stop in stops])
    if not all(stop.within for stop in stops):
        raise typer.Exit(1)


@bench.command()
def scale(
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size", metavar="NAME", help="Only this one; again for more."),
    ] = None,
    width: Width = 8,
    messages: Annotated[
        int | None,
        typer.Option(min=1, help="Of trading; default: 16 a symbol, but 50,000 at least."),
    ] = None,
    early_orders: Annotated[
        int, typer.Option(min=1, help="Orders of each symbol before trading begins.")
    ] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated market.")] = 1,
    json_file: Json = None,
) -> None:
    """Builds the card at its reference sizes, trades as many symbols, and compares everything."""
    from tickgate.sim import scale as scales
    from tickgate.sim.summary import scale_table, show_difference

    _require_width(width)
    _require_known("--size", sizes, scales.SIZES)
    console = Console(stderr=json_file == Path("-"))
    measured = []
    for name in sizes or scales.SIZES:
        with _progress() as progress:
            measured.append(
                scales.measure(
                    name,
                    messages=messages,
                    early_orders=early_orders,
                    seed=seed,
                    width=width,
                    progress=progress,
                )
            )
    console.print(scale_table(measured))
    _write_json(json_file, [each.as_dict() for each in measured])
    for each in measured:
        if each.difference is not None:
            show_difference(each.difference, console)
    if not all(each.right for each in measured):
        raise typer.Exit(1)


@bench.command()
def inject(
    flips: Annotated[int, typer.Option(min=1, help="Bits to flip, one at a time.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Of the market and of the flips.")] = 1,
    json_file: Json = None,
) -> None:
    """Flips bits of risk and order state while the card trades, and tells what came of each."""
    from tickgate.sim import inject as injection
    from tickgate.sim.summary import injection_table

    with _progress() as progress:
        injected = injection.measure(
            flips=flips, seed=seed, progress=lambda done: progress("flipping bits", done, flips)
        )
    console = Console(stderr=json_file == Path("-"))
    console.print(injection_table(injected))
    for line in injected.wrong:
        console.print(line, markup=False, highlight=False)
    _write_json(json_file, injected.as_dict())
    if not injected.right:
        raise typer.Exit(1)


@app.command()
def sim(
    link: Annotated[
        Path | None, typer.Option(metavar="PATH", help="A name for the pseudo-terminal.")
    ] = None,
    tcp: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, metavar="PORT", help="Also serve socket://127.0.0.1:PORT; 0: any."
        ),
    ] = None,
    feed: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Configure the card for this input and play it in meanwhile."
        ),
    ] = None,
    loop: Annotated[
        bool, typer.Option("--loop", help="Play the feed again and again (ITCH files only).")
    ] = False,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration for the feed (TOML).")
    ] = None,
    width: Width = 8,
    capacity: Capacity = 16,
    ticks: Annotated[int, typer.Option(help="Price levels of the card's books.")] = 4096,
    orders: Annotated[int, typer.Option(help="Live orders that the card can hold.")] = 131072,
    tap: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Its network port is a TAP device of this name."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="A.B.C.D/N", help="The kernel's address on the TAP device."),
    ] = None,
    clock_period_ns: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1000,
            metavar="NS",
            help="Of the card's time; by default that of its width, and on a network 1000, so that "
            "its timers suit a simulation.",
        ),
    ] = None,
    pace: Annotated[
        int,
        typer.Option(min=1000, help="Cycles a second that an idle card on a network runs."),
    ] = 200_000,
    drop: Rate = 0.0,
    duplicate: Rate = 0.0,
    reorder: Rate = 0.0,
    corrupt: Rate = 0.0,
    delay_ms: Annotated[
        float, typer.Option(min=0, help="Of every frame on the network, each way.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of what becomes of frames.")] = 0,
    pcap: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Record the frames at the kernel's end of the network."),
    ] = None,
) -> None:
    """Runs a virtual card whose UART is a pseudo-terminal, until Ctrl-C."""
    from tickgate.sim.capture import capture_writer
    from tickgate.sim.feeding import configure, feed_pieces
    from tickgate.sim.replay import Options, plan
    from tickgate.sim.virtual import Card, Impairments, NetworkPort, SerialServer, Tap, TapError

    _require_width(width)
    _require_sizes(ticks, orders)
    if loop and feed is None:
        raise InputError("--loop needs --feed")
    impairments = Impairments(
        drop=drop, duplicate=duplicate, reorder=reorder, corrupt=corrupt, delay=delay_ms / 1000
    )
    if tap is None and (address or pcap or impairments != Impairments()):
        raise InputError("--address, --pcap and what happens to frames need --tap")
    period_ns = clock_period_ns or (None if tap is None else 1000)
    options = Options(width=width, capacity=capacity, ticks=ticks, orders=orders, config=config)
    planned = None
    if feed is not None:
        with _progress() as progress:
            planned = plan(feed, options, progress)
    pieces = iter(()) if planned is None else feed_pieces(planned, loop=loop)
    with contextlib.ExitStack() as stack:
        network = None
        if tap is not None:
            try:
                device = stack.enter_context(Tap(tap, address=address))
            except TapError as error:
                raise InputError(str(error)) from None
            record = None if pcap is None else stack.enter_context(capture_writer(pcap))
            network = NetworkPort(device, impairments=impairments, seed=seed, record=record)
        card = stack.enter_context(
            Card(
                width=width,
                symbols=capacity,
                ticks=ticks,
                orders=orders,
                clock_period_ps=None if period_ns is None else 1000 * period_ns,
            )
        )
        if planned is not None:
            configure(card, planned)
        try:
            server = stack.enter_context(SerialServer(card, link=link, tcp=tcp))
        except OSError as error:
            raise InputError(f"{link or tcp}: cannot be served: {error.strerror}") from None
        stop = stack.enter_context(_until_stopped())
        _announce(server, link, planned)
        if tap is not None:
            typer.echo(f"network port: {tap}")
        server.run(stop=stop, feed=pieces, network=network, pace=pace)
        if network is not None:
            typer.echo(f"frames: {network.summary()}")


def _announce(server: Any, link: Path | None, planned: Any) -> None:
    """Tells where the card is, and what it needs to trade."""
    where = str(link or server.path)
    typer.echo(f"serial port: {where}")
    if server.port is not None:
        typer.echo(f"serial port: socket://127.0.0.1:{server.port}")
    if planned is not None:
        names = " ".join(symbol.name for symbol in planned.config.symbols)
        typer.echo(f"configured and disarmed: {names}")
        typer.echo(f"to let orders leave: tickgate arm --port {where}")


@contextlib.contextmanager
def _until_stopped() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _replay(file: Path, options: Any, *, json_file, pcap, tops, picture, title=None) -> None:
    """Replays a file, shows the result and writes what is asked for."""
    from tickgate.sim import outputs
    from tickgate.sim.history import History
    from tickgate.sim.replay import plan, run
    from tickgate.sim.report import draw
    from tickgate.sim.summary import show
    from tickgate.sim.virtual import CLOCK_PERIOD_PS

    console = Console(stderr=json_file == Path("-"))
    for path in (json_file, pcap, picture):
        if path is not None and path != Path("-"):
            outputs.require_writable(path)
    history = History() if picture is not None else None
    capture = None
    with contextlib.ExitStack() as stack:
        with _progress() as progress:
            planned = plan(file, options, progress)
        sinks: list[Any] = [] if history is None else [history]
        if tops is not None:
            stream = stack.enter_context(outputs.create(tops))
            sinks.append(outputs.TopsFile(stream, planned.tracked))
        if pcap is not None:
            period = CLOCK_PERIOD_PS[options.width]
            capture = outputs.OrderCapture(pcap, clock_period_ps=period)
            sinks.append(capture)
        with _progress() as progress:
            result = run(planned, sinks=sinks, progress=progress)
    show(result, console)
    if capture is not None:
        capture.write()
    if history is not None:
        draw(result, history, picture, title=title or f"tickgate replay: {file.name}")
    _write_json(json_file, result.as_dict())
    for path in (tops, pcap, picture, json_file):
        if path is not None and path != Path("-"):
            console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    _fail_on_difference(console, result)


def _fail_on_difference(console: Console, *results: Any) -> None:
    from tickgate.sim.summary import show_difference

    for result in results:
        if result.difference is not None:
            show_difference(result.difference, console)
    if any(result.failed for result in results):
        raise typer.Exit(1)


def _require_width(width: int) -> None:
    if width not in WIDTHS:
        raise InputError(f"--width must be one of {', '.join(map(str, WIDTHS))}, not {width}")


def _require_known(option: str, names: list[str] | None, known: Collection[str]) -> None:
    for name in names or ():
        if name not in known:
            raise InputError(f"{option} must be one of {', '.join(known)}, not {name!r}")


def _require_sizes(ticks: int, orders: int) -> None:
    for name, value, least, most in (("ticks", ticks, 16, 4096), ("orders", orders, 32, 1 << 24)):
        if value & (value - 1) or not least <= value <= most:
            raise InputError(f"--{name} must be a power of two from {least} to {most}, not {value}")


def _write_json(path: Path | None, value: Any) -> None:
    from tickgate.sim import outputs

    if path is None:
        return
    text = json.dumps(value, indent=2, default=_plain)
    if path == Path("-"):
        typer.echo(text)
        return
    with outputs.create(path) as file:
        file.write(text + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal | Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    """Shows on stderr what is being done: a bar on a terminal, else a line for each thing."""
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    tasks: dict[str, Any] = {}

    def report(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            if console.is_terminal:
                # Only now: the card draws its own bars while it is built.
                bars.start()
            else:
                console.print(f"{what} ...", highlight=False)
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total)

    try:
        yield report
    finally:
        if console.is_terminal:
            bars.stop()
