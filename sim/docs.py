"""Makes the generated documents: `python -m tickgate.sim.docs`, in the repository, writes them all.

Ref: docs/architecture.md, "Time".
"""

import difflib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tickgate.hdl.book import OrderBook
from tickgate.hdl.control.arming import Arming
from tickgate.hdl.core import TickToTrade
from tickgate.hdl.eth.receive import Receive
from tickgate.hdl.feed import Feed
from tickgate.hdl.order.encoder import OrderEncoder
from tickgate.hdl.order.entry import OrderEntry
from tickgate.hdl.risk.gate import RiskGate
from tickgate.hdl.strategy.taker import Taker
from tickgate.sim import market
from tickgate.sim.prove.catalogue import PROPERTIES
from tickgate.sim.prove.report import markdown
from tickgate.sim.replay import Options, plan, run
from tickgate.spec import gates
from tickgate.spec.registers import render_markdown

__all__ = ["DOCUMENTS", "MUST", "budget", "demo_output", "measure", "outdated", "readme", "render"]

SEED, MESSAGES = 1, 10_000
WIDTHS = (8, 1)
MUST = {"improve": 8, "resize": 11, "empty": 14}
"""Most cycles from t0 to the first octet of the order, by effect on the best level."""
EFFECT = {
    "improve": "improves the best",
    "resize": "leaves the best standing",
    "empty": "empties the best",
}


def budget() -> list[tuple[str, int, int]]:
    """Stage, cycles, and cycles where the list of best levels is exhausted."""
    return [
        ("eth: header checks", Receive.LATENCY, Receive.LATENCY),
        ("feed: sequence, decoding", Feed.LATENCY, Feed.LATENCY),
        ("book: order store, ladder, top", OrderBook.LATENCY, OrderBook.SLOW_LATENCY),
        ("strategy: taker", Taker.LATENCY, Taker.LATENCY),
        ("risk: all gates", RiskGate.LATENCY, RiskGate.LATENCY),
        ("order: first octet of the frame", OrderEncoder.LATENCY, OrderEncoder.LATENCY),
    ]


def measure(width: int, *, line_rate: bool) -> dict[str, Any]:
    """Latency by class of a generated market, checked against the golden models on the way.

    Raises `RuntimeError` on any difference from the models.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "market.itch"
        file.write_bytes(market.generate(seed=SEED, messages=MESSAGES).data)
        load = {"line_rate": True} if line_rate else {"pack": 1}
        result = run(plan(file, Options(width=width, check=True, direct=True, **load)))
    if result.failed:
        raise RuntimeError(f"width {width}: the card differs from the models")
    return result.as_dict()["latency"]


def _cells(values: dict[str, Any]) -> str:
    shown = (values[name] for name in ("min", "p50", "p99", "max", "count"))
    return " | ".join("-" if value is None else f"{value:,}" for value in shown)


def _measured(lines: list[str]) -> None:
    for width in WIDTHS:
        for line_rate in (False, True):
            latency = measure(width, line_rate=line_rate)
            load = "100 % line rate" if line_rate else "unloaded, one message a frame"
            lines += [
                f"### {width} octet{'s' if width > 1 else ''} a cycle, {load}",
                "",
                "| the message ... | path | min | p50 | p99 | max | count | must |",
                "|---|---|---|---|---|---|---|---|",
            ]
            for effect, words in EFFECT.items():
                for path, name in (("t0_to_top", "t0 to top"), ("t0_to_order", "t0 to order")):
                    must = MUST[effect] if path == "t0_to_order" else ""
                    lines.append(f"| {words} | {name} | {_cells(latency[path][effect])} | {must} |")
            lines.append("")


def _clocked(lines: list[str], board: dict[str, Any] | None, cores: list[dict[str, Any]]) -> None:
    placed = [(f"{core['width']}, the core alone", core) for core in cores]
    if board is not None:
        placed.insert(0, (f"1, the card for the {board['board']}", board))
    if not placed:
        lines.append(
            "No report of place-and-route is kept: `make bitstream` and `make timing` write them."
        )
        return
    fast, slow = TickToTrade.LATENCY, TickToTrade.SLOW_LATENCY
    lines += ["What place-and-route gave, with the open tools:", ""]
    columns = "octets a cycle | device | asked, MHz | closed, MHz | ns a cycle"
    lines += [
        f"| {columns} | {fast} cycles, ns | {slow} cycles, ns |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_timed(what, report) for what, report in placed]
    if any(report.get("superseded") for _, report in placed):
        lines += ["", "(*): of an earlier state of the card; it has changed since."]
    lines += ["", "Where its time goes, in the longest path of each:", ""]
    lines += ["| octets a cycle | from | to | ns | of that, routing |", "|---|---|---|---|---|"]
    for what, report in placed:
        path = max(report["longest_paths"], key=lambda each: each["delay_ns"])
        lines.append(
            f"| {what} | `{path['start']}` | `{path['end']}` "
            f"| {path['delay_ns']:.1f} | {path['routing_ns']:.1f} |"
        )


def _timed(what: str, report: dict[str, Any]) -> str:
    """A row for the clock that is furthest from what was asked."""
    clock = min(report["clocks"], key=lambda each: each["closed_mhz"] / each["asked_mhz"])
    period = 1000 / clock["closed_mhz"]
    mark = " (*)" if report.get("superseded") else ""
    return (
        f"| {what}{mark} | {report['device']} | {clock['asked_mhz']:g} | {clock['closed_mhz']:.1f} "
        f"({'met' if clock['met'] else 'not met'}) | {period:.2f} "
        f"| {TickToTrade.LATENCY * period:.0f} | {TickToTrade.SLOW_LATENCY * period:.0f} |"
    )


def render(board: dict[str, Any] | None, cores: list[dict[str, Any]]) -> str:
    """The whole document; `board` and `cores` are reports of place-and-route, where there are."""
    lines = [
        "# Latency",
        "",
        "Generated by `make docs` from simulation of the very netlist, and checked by `make test`.",
        "",
        "In clock cycles from t0, the edge at which the last octet of the message is on the",
        "receive stream, to t1, the edge at which the first octet of the order's frame is on the",
        "transmit stream.",
        "",
        "## Budget",
        "",
        "| stage | cycles | where the list of best levels is exhausted |",
        "|---|---|---|",
    ]
    stages = budget()
    lines += [f"| {stage} | {cycles} | {emptied} |" for stage, cycles, emptied in stages]
    fast, slow = (sum(stage[column] for stage in stages) for column in (1, 2))
    lines += [
        f"| **tick to trade** | **{fast}** | **{slow}** |",
        "",
        "## Measured",
        "",
        f"A generated market (seed {SEED}, {MESSAGES:,} messages, 8 symbols), every top of book",
        "and every order compared with the golden models.",
        "",
    ]
    _measured(lines)
    lines += [
        "Where a maximum is above its minimum, so many best levels of a side were emptied in a row",
        "that the list of the next ones was exhausted, and the ladder answered; or an answer met",
        "such a one of another symbol.",
        "",
        *_killed(),
        "## The clock",
        "",
    ]
    _clocked(lines, board, cores)
    return "\n".join(lines) + "\n"


def _killed() -> list[str]:
    """How long a kill takes at most."""
    return [
        "## A kill",
        "",
        "No order is approved later than the cycle after a kill (`killed-no-order` in",
        f"[proofs.md](proofs.md)). With {OrderEntry.SLOTS} orders open, the last cancel is on its",
        "way to the port at most so many cycles after it, while the session is open, window and",
        "ring have room, the port is free and nothing else is to be sent: see *Cancels* in",
        "[architecture.md](architecture.md).",
        "",
        "| octets a cycle | cycles |",
        "|---|---|",
        *(
            f"| {width} | {Arming.LATENCY + OrderEntry.cancels_within(width=width):,} |"
            for width in (8, 1)
        ),
        "",
    ]


def demo_output() -> str:
    """What `tickgate demo` prints, less what depends on the machine."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from tickgate.host.cli import main; main()", "demo"]
        printed = subprocess.run(
            [*command, "--output", folder],
            env={**os.environ, "COLUMNS": "80"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    lines = [line.rstrip() for line in printed.splitlines()]
    tables = lines[lines.index("Last top of book") : _starting(lines, "Cycles from t0, the last")]
    verdict = lines[_starting(lines, "0 differences") : _starting(lines, "wrote ")]
    return "\n".join([*tables, *verdict])


def _starting(lines: list[str], words: str) -> int:
    return next(n for n, line in enumerate(lines) if line.startswith(words))


def readme(text: str) -> str:
    """README.md with the demo's output between its two marks."""
    shown = (f"    {line}".rstrip() for line in demo_output().splitlines())
    return _between(text, "demo", "\n".join(shown))


def _risk(text: str) -> str:
    """docs/risk.md with the tables of the gates between their marks."""
    for part, table in (
        ("gates", gates.render_table),
        ("what is missing", gates.render_missing),
        ("what shows it", gates.render_trace),
    ):
        text = _between(text, part, table())
    return text


def _between(text: str, part: str, made: str) -> str:
    """The text with what is made for a part between the two marks of it."""
    begins, ends = f"<!-- {part} -->", f"<!-- end of {part} -->"
    before, rest = text.split(begins)
    _, after = rest.split(ends)
    return f"{before}{begins}\n\n{made}\n\n{ends}{after}"


def _kept(root: Path, name: str) -> Any:
    """What a report says, None if it is not kept."""
    path = root / "docs" / name
    return json.loads(path.read_text()) if path.exists() else None


def _latency(root: Path) -> str:
    timing = _kept(root, "timing.json")
    return render(_kept(root, "ecpix5.json"), timing["cores"] if timing else [])


DOCUMENTS: Mapping[str, Callable[[Path], str]] = {
    "docs/registers.md": lambda _: render_markdown(),
    "docs/proofs.md": lambda _: markdown(PROPERTIES.values()),
    "docs/risk.md": lambda root: _risk((root / "docs" / "risk.md").read_text()),
    "docs/latency.md": _latency,
    "README.md": lambda root: readme((root / "README.md").read_text()),
}
"""Every generated document, by its path, and what makes it for a repository."""


def outdated(name: str, root: Path) -> str:
    """How a document differs from what it should be; empty if it does not."""
    texts = (root / name).read_text(), DOCUMENTS[name](root)
    sides = (text.splitlines(keepends=True) for text in texts)
    return "".join(difflib.unified_diff(*sides, f"{name}, as it is", f"{name}, as generated"))


if __name__ == "__main__":
    repository = Path.cwd()
    for document, make in DOCUMENTS.items():
        sys.stderr.write(f"docs: {document} ...\n")
        text = make(repository)
        (repository / document).write_text(text)
