"""What a replay came to, as tables for a person.

Ref: docs/cli.md, "replay".
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import groupby
from math import nan

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tickgate.sim.bench import SimulationBench
from tickgate.sim.campaign import Outcome
from tickgate.sim.check import Difference
from tickgate.sim.inject import Fate, Injected
from tickgate.sim.knight import Stop
from tickgate.sim.latency import statistics
from tickgate.sim.linerate import LineRate
from tickgate.sim.moving import MovingBench
from tickgate.sim.result import Result
from tickgate.sim.scale import ScaleBench
from tickgate.sim.storeload import Point
from tickgate.spec import itch50

__all__ = [
    "GATE_NAMES",
    "campaign_table",
    "injection_table",
    "knight_table",
    "latency_tables",
    "line_rate_tables",
    "moving_table",
    "notes",
    "pace_table",
    "scale_table",
    "show",
    "show_difference",
    "store_table",
]

GATE_NAMES = {
    0: "transmit port taken",
    1: "not armed",
    4: "limits missing",
    5: "worst-case long",
    6: "worst-case short",
    9: "order quantity",
    10: "order notional",
    11: "price collar",
    13: "book not trusted",
    16: "trading state",
}

FRAMES = {"single": "one message a frame", "full": "full frames"}
LINES = {"one": "on line A", "both": "on both lines"}

EFFECT_NAMES = {
    "improve": "improves the best",
    "join": "joins the best",
    "resize": "takes from the best",
    "empty": "empties the best",
    "other": "other",
}


def show(result: Result, console: Console) -> None:
    """Prints everything."""
    console.print(
        f"\n{result.messages:,} messages in {result.path}", highlight=False, soft_wrap=True
    )
    console.print(_types(result))
    console.print(_symbols(result))
    if result.orders or result.refusals:
        console.print(_orders(result))
    console.print(*latency_tables(result))
    dropped = {name: count for name, count in result.dropped.items() if count}
    if dropped:
        console.print(_dropped(dropped))
    for note in notes(result):
        console.print(f"- {note}", soft_wrap=True, highlight=False)
    console.print(_speed(result))
    console.print(_verdict(result))


def show_difference(difference: Difference, console: Console) -> None:
    """Prints both sides of a difference."""
    where = f"at message {difference.message}" if difference.message else "before any message"
    table = _table(f"First difference: {difference.what}, {where}", "", "card", "model")
    for name in {**difference.card, **difference.model}:
        sides = [str(side.get(name, "nothing")) for side in (difference.card, difference.model)]
        table.add_row(name, *sides, style=None if sides[0] == sides[1] else "bold red")
    console.print(table)
    if difference.where:
        console.print(difference.where, soft_wrap=True, highlight=False)


def pace_table(measured: SimulationBench) -> Table:
    """The pace of the simulation."""
    table = _table(
        f"Simulation at {measured.width} octets a cycle, {measured.symbols} symbols",
        "",
        ">cycles a second",
        ">messages a second",
    )
    for name, pace in (("virtual card", measured.card), ("cocotb, same netlist", measured.cocotb)):
        if pace is None:
            table.add_row(name, "not installed", "-")
        else:
            rates = pace.cycles_per_second, pace.messages_per_second
            table.add_row(name, *(f"{rate:,.0f}" for rate in rates))
    if measured.ratio is not None:
        table.add_row("", f"{measured.ratio:,.1f} times", "")
    return table


def moving_table(measured: MovingBench) -> Table:
    """What became of the books of a market that moves."""
    title = f"A moving market at line rate, {measured.width} octets a cycle"
    table = _table(title, "", ">")
    for name, value in (
        ("symbols", f"{measured.symbols:,}"),
        ("price levels a side", f"{measured.ticks:,}"),
        ("messages", f"{measured.messages:,}"),
        ("windows moved", f"{measured.recentred:,}"),
        ("by how many cents, all in all", f"{measured.cents_moved:,}"),
        ("books exact again thereby", f"{measured.returned:,}"),
        ("time in which the top was exact", f"{measured.exact_share:.2%}"),
        ("books exact at the end", f"{measured.exact_at_end:,}"),
        ("tops", f"{measured.tops:,}"),
        ("exact ones, compared", f"{measured.exact_tops:,}"),
        ("disagreements of the checker", f"{measured.disagreements:,}"),
        ("differences", f"{len(measured.differences):,}"),
    ):
        table.add_row(name, value)
    return table


def knight_table(stops: Sequence[Stop]) -> Table:
    """Where each gate has stopped a strategy gone wild."""
    columns = ("gate", ">limit", ">used by the last order", ">orders", ">position")
    table = _table("A strategy gone wild", *columns, ">held, USD", ">loss, USD", "stopped by")
    for stop in stops:
        told = stop.as_dict()
        ends = "kill: " + ", ".join(stop.kill_causes) if stop.kill_causes else "refusals"
        sums = (told["limit"], told["used"], f"{stop.orders:,}", f"{stop.position:,}")
        gate = f"{stop.gate} {stop.name}"
        table.add_row(gate, *map(str, sums), told["gross"], told["loss"], ends)
    return table


def injection_table(injected: Injected) -> Table:
    """What came of flipped bits: of what is protected, of the rest, and where it was not masked."""
    title = (
        f"{injected.flips:,} flipped bits, of {injected.bits:,} in {injected.probes:,} registers "
        f"and memories, while {injected.orders:,} of {injected.verdicts:,} intents became orders"
    )
    table = _table(title, "", *(f">{fate.value}" for fate in Fate))
    rows = [
        ("all that is protected", injected.total(protected=True)),
        ("all that is not", injected.total(protected=False)),
    ]
    rows += [
        (f"not protected: {name}", counts)
        for name, counts in sorted(injected.fates.items())
        if name not in injected.protected and (counts[Fate.REFUSED] or counts[Fate.WRONG])
    ]
    for name, counts in rows:
        table.add_row(name, *(f"{counts[fate.value]:,}" for fate in Fate))
    return table


def scale_table(measured: Sequence[ScaleBench]) -> Table:
    """What the card took and did at each size."""
    table = _table("The card at its reference sizes", "", *(f">{each.name}" for each in measured))

    def row(name: str, of: Callable[[ScaleBench], str]) -> None:
        table.add_row(name, *(of(each) for each in measured))

    row("symbols", lambda each: f"{each.size.symbols:,}")
    row("price levels a side", lambda each: f"{each.size.ticks:,}")
    row("orders in the store", lambda each: f"{each.size.orders:,}")
    row("block memory, Mbit", lambda each: f"{each.hardware.block_bits / 1e6:,.1f}")
    row("table memory, kbit", lambda each: f"{each.hardware.table_bits / 1e3:,.0f}")
    row("flip-flops", lambda each: f"{each.hardware.flip_flops:,}")
    for step in ("elaboration", "yosys", "verilator", "compiler"):
        row(f"{step}, CPU s", lambda each, step=step: f"{each.build_seconds.get(step, nan):.1f}")
    row("memory of the simulation, MiB", lambda each: f"{each.mebibytes:,}")
    row("configuring the card, CPU s", lambda each: f"{each.configure_seconds:.1f}")
    row("cycles simulated a second", lambda each: f"{each.cycles_per_second:,}")
    row("messages a second, all compared", lambda each: f"{each.messages_per_second:,}")
    row("messages", lambda each: f"{each.messages:,}")
    row("symbols with a top of book", lambda each: f"{each.active:,}")
    row("orders live at the end", lambda each: f"{each.live_orders:,}")
    row("tops compared", lambda each: f"{each.tops:,}")
    row("verdicts compared", lambda each: f"{each.verdicts:,}")
    row("books lost for want of room", lambda each: f"{each.lost_books:,}")
    row("differences", lambda each: f"{int(each.difference is not None):,}")
    return table


def campaign_table(outcome: Outcome) -> Table:
    """What a campaign sent and how soon the card answered."""
    table = _table(f"Campaign: {outcome.messages:,} messages", "shape", ">messages")
    for name, messages in outcome.by_shape.items():
        table.add_row(name, f"{messages:,}")
    cycles = ", ".join(f"{at}: {outcome.to_top[at]:,}" for at in sorted(outcome.to_top))
    table.caption = (
        f"{outcome.rows:,} changes of a top compared with the model; cycles from t0: {cycles}, "
        f"{outcome.late:,} late; "
        f"{outcome.messages / outcome.seconds:,.0f} messages a second"
    )
    table.caption_justify = "left"
    return table


def line_rate_tables(measured: LineRate) -> list[Table]:
    """What the card was offered under each load, and took: a table for each kind of frames."""

    def kind(load) -> tuple[str, str]:
        return load.frames, load.lines

    tables = []
    for (frames, lines), loads in groupby(sorted(measured.loads, key=kind), kind):
        table = _table(
            f"{measured.width} octets a cycle, {FRAMES[frames]}, {LINES[lines]}",
            "mix",
            ">load",
            ">offered",
            ">accepted",
            ">dropped",
            ">queue",
            ">M/s",
        )
        for load in loads:
            table.add_row(
                load.mix,
                f"{load.line_load:.1%}",
                f"{load.offered:,}",
                f"{load.accepted:,}",
                f"{load.dropped:,}",
                f"{load.queue_high:,}",
                f"{load.messages_per_second / 1e6:.2f}",
                style=None if load.kept_up else "bold red",
            )
        tables.append(table)
    wrong = sum(load.wrong_books for load in measured.loads)
    lost = sum(load.events_lost for load in measured.loads)
    tables[-1].caption = (
        "load: of the line rate, above it without any gap; M/s: million messages a second; "
        f"wrong books at the end: {wrong}; events that found their queue full: {lost:,}"
    )
    tables[-1].caption_justify = "left"
    return tables


def store_table(points: Sequence[Point]) -> Table:
    """Overflow of the order store by load and scheme, as a share of the orders that came."""
    schemes = {point.scheme: point for point in points}
    table = _table(
        f"Overflow of the order store, references {points[0].references}",
        "load",
        *(f">{name}" for name in schemes),
    )
    for load, row in groupby(sorted(points, key=lambda point: point.load), lambda each: each.load):
        rates = (f"{point.rate:.2g}" if point.overflow else "0" for point in row)
        table.add_row(f"{load:.0%}", *rates)
    table.add_section()
    table.add_row("memory bits", *(f"{point.memory_bits:,}" for point in schemes.values()))
    table.add_row("block RAMs", *(f"{point.block_rams}" for point in schemes.values()))
    return table


def notes(result: Result) -> list[str]:
    """What a reader has to know to take the numbers right."""
    found = []
    partial = [symbol for symbol in result.tracked if not symbol.whole and symbol.book_messages]
    unknown = sum(symbol.unknown_references for symbol in result.tracked)
    if partial:
        names = ", ".join(symbol.name for symbol in partial)
        found.append(
            f"The input begins within the session, as far as it shows, for {names}: those books "
            "are never exact."
        )
    if unknown:
        found.append(f"{unknown:,} messages of these symbols name an order that was never added.")
    if not result.scan.market_opens and any(symbol.book_messages for symbol in result.tracked):
        found.append(
            "No system event says that market hours begin; without --config, orders may leave "
            "outside of them."
        )
    if result.scan.malformed:
        found.append(
            f"{result.scan.malformed:,} messages are of unknown type or wrong length; the card "
            "skips them."
        )
    if result.abandoned:
        names = ", ".join(result.tracked[index].name for index in result.abandoned)
        found.append(
            f"The order store overflowed. The card says that {names} is not exact from then on; "
            "the models, which have no limit, were not compared further. Use a larger --orders."
        )
    if result.events_lost:
        found.append(f"{result.events_lost:,} events were lost: the card's queue was full.")
    if _waited(result):
        found.append(
            "Where a maximum is above its minimum, an answer waited for that to an earlier message "
            "that had emptied a level: of the same symbol, or of another one in the same cycle."
        )
    return found


def _waited(result: Result) -> bool:
    return any(
        effect != "empty" and len(counter) > 1
        for (_, effect), counter in result.latency.to_top.items()
    )


def _types(result: Result) -> Table:
    table = _table("Messages", "type", "", ">count", ">share")
    total = sum(result.scan.by_type.values()) or 1
    for type_, count in sorted(result.scan.by_type.items(), key=lambda item: -item[1]):
        name = itch50.MESSAGES[type_].name.replace("_", " ")
        table.add_row(type_, name, f"{count:,}", f"{100 * count / total:.1f} %")
    return table


def _symbols(result: Result) -> Table:
    table = _table(
        "Last top of book",
        "symbol",
        ">changes",
        ">exact",
        ">bid",
        ">ask",
        ">orders",
        ">refused",
    )
    for symbol in result.tracked:
        top = result.final_tops.get(symbol.index, {})
        rows = result.rows_by_symbol.get(symbol.index, 0)
        exact = result.exact_rows_by_symbol.get(symbol.index, 0)
        bid, ask = _price(top.get("bid_price", 0)), _price(top.get("ask_price", 0))
        table.add_row(
            symbol.name,
            f"{rows:,}",
            f"{100 * exact / rows:.1f} %" if rows else "-",
            f"{top['bid_shares']:,} x {bid}" if bid else "-",
            f"{ask} x {top['ask_shares']:,}" if ask else "-",
            f"{result.verdicts_by_symbol.get((symbol.index, True), 0):,}",
            f"{result.verdicts_by_symbol.get((symbol.index, False), 0):,}",
            style="yellow" if top and not top["exact"] else None,
        )
    return table


def _orders(result: Result) -> Table:
    table = _table("Orders", "", ">count")
    table.add_row("approved by every gate and sent", f"{result.orders:,}")
    table.add_row("refused", f"{result.refusals:,}")
    for gate, count in result.refusals_by_gate.items():
        label = f"gate {gate}" if gate else "port"
        table.add_row(f"  {label}: {GATE_NAMES.get(gate, '?')}", f"{count:,}")
    return table


def latency_tables(result: Result) -> tuple[Table, Table]:
    """Latency to the top of book and to the order, by message type and effect, then by class."""
    latency, report = result.latency, result.latency.report()
    to_top = _latency_table(
        "Cycles from t0, the last octet of the message, to the top of book",
        latency.to_top,
        report["t0_to_top"],
    )
    to_order = _latency_table(
        "Cycles from t0 to the first octet of the order",
        latency.to_order,
        report["t0_to_order"],
    )
    whole = statistics(latency.frame_to_order)
    if whole["count"]:
        to_order.add_section()
        to_order.add_row("all", "from the first octet of the frame", *_cells(whole))
    return to_top, to_order


def _latency_table(title: str, counts: dict, classes: dict) -> Table:
    table = _table(title, "type", "effect", ">min", ">p50", ">p99", ">max", ">count")
    order = list(EFFECT_NAMES)
    for type_, effect in sorted(counts, key=lambda key: (order.index(key[1]), key[0])):
        numbers = statistics(counts[type_, effect])
        table.add_row(type_, EFFECT_NAMES[effect], *_cells(numbers))
    table.add_section()
    for name, numbers in classes.items():
        table.add_row("all", name, *_cells(numbers), style="bold")
    return table


def _cells(numbers: dict) -> list[str]:
    if not numbers["count"]:
        return ["-"] * 4 + ["0"]
    return [*(str(numbers[name]) for name in ("min", "p50", "p99", "max")), f"{numbers['count']:,}"]


def _dropped(dropped: dict[str, int]) -> Table:
    table = _table("Dropped or skipped", "cause", ">count")
    for name, count in dropped.items():
        table.add_row(name, f"{count:,}")
    return table


def _speed(result: Result) -> Text:
    mega = result.cycles / result.wall_seconds / 1e6
    return Text(
        f"{result.wall_seconds:.1f} s: {result.messages / result.wall_seconds:,.0f} messages a "
        f"second, {mega:.2f} million cycles a second; {result.cycles:,} cycles of "
        f"{result.clock_period_ps / 1000:g} ns are {result.simulated_seconds * 1000:.2f} ms of "
        "card time."
    )


def _verdict(result: Result) -> Text:
    if result.tx_faults:
        return Text(f"FAILED: {result.tx_faults} faults on the transmit stream", style="bold red")
    if result.difference is not None:
        return Text("FAILED: card and models differ", style="bold red")
    if result.compared is None:
        return Text("Not compared with the golden models; --check does.")
    compared = result.compared
    return Text(
        f"0 differences from the golden models: {compared['tops']:,} tops of book, "
        f"{compared['verdicts']:,} verdicts and {compared['frames']:,} order frames compared.",
        style="bold green",
    )


def _price(price: int) -> str:
    """A price in USD, with as many decimals as it needs; empty if there is none."""
    if not price:
        return ""
    return str(Decimal(price // 100).scaleb(-2) if price % 100 == 0 else Decimal(price).scaleb(-4))


def _table(title: str, *heads: str) -> Table:
    """A table; a head that begins with > is of numbers."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        min_width=len(title) + 2,
    )
    for head in heads:
        right = head.startswith(">")
        name = head.removeprefix(">")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    return table
