"""The picture of a replay: book, orders and latency on one page.

Ref: docs/cli.md, "demo".
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator, StrMethodFormatter

from tickgate.sim.capture import InputError
from tickgate.sim.history import History
from tickgate.sim.latency import CLASSES
from tickgate.sim.result import Result
from tickgate.sim.summary import GATE_NAMES

__all__ = ["draw"]

PAPER, PANEL, INK, FAINT, GRID = "#0d1117", "#131a24", "#e6edf3", "#8b98a9", "#232d3b"
BID, ASK = "#2fbf9b", "#f2705b"
SENT, REFUSED = "#f5c451", "#6b7686"
CLASS_COLOURS = {"improve": "#5aa9e6", "resize": "#9b8cf2", "empty": "#f2a65a"}
CLASS_LABELS = {
    "improve": "improves the best",
    "resize": "changes its size",
    "empty": "empties it",
}

CLOCK_STEPS = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200)
"""Seconds between two marks of the time axis."""

LEVELS, LEAST_LEVELS = 24, 6
"""Ticks shown on each side of the touch; more, where there are so few levels within."""
LEAST_ROWS = 6

CLOSER = 320
"""Tops in the closer look."""

STEPS = 6000
"""Points of a line: more than there are dots across the page."""


def draw(result: Result, history: History, path: Path, *, title: str) -> None:
    """Writes the picture: PNG, or what the suffix asks of matplotlib.

    The symbol shown is the one with the most orders. Raises `InputError` if the file cannot be
    written.
    """
    figure = Figure(figsize=(16, 12), dpi=110, facecolor=PAPER)
    grid = figure.add_gridspec(
        3,
        12,
        left=0.05,
        right=0.975,
        top=0.885,
        bottom=0.06,
        hspace=0.32,
        wspace=1.1,
    )
    symbol = _featured(result, history)
    name = result.tracked[symbol].name
    tops = _two_sided(history, symbol)
    _heading(figure, result, title)
    _prices(
        _panel(figure, grid[0, :9], f"{name}: best bid and ask, and orders"), history, symbol, tops
    )
    closer = _panel(figure, grid[1, :9], f"{name}: a closer look")
    _prices(closer, history, symbol, _busiest(history, symbol, tops))
    _depth(_panel(figure, grid[:2, 9:], f"{name}: the book at the end"), result, symbol)
    _latency(_panel(figure, grid[2, :5], "Latency from the last octet of the message"), result)
    _verdicts(_panel(figure, grid[2, 5:9], "Orders by symbol"), result)
    _gates(_panel(figure, grid[2, 9:], "Refusals by gate"), result)
    try:
        figure.savefig(path, facecolor=PAPER, format=path.suffix.removeprefix(".") or "png")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def _featured(result: Result, history: History) -> int:
    """The symbol with the most orders; of those with as many, the one with the most tops."""
    sent = history.verdicts[history.verdicts["approved"] != 0]
    count = len(result.tracked)
    orders = np.bincount(sent["symbol"], minlength=count)
    tops = np.bincount(history.tops["symbol"], minlength=count)
    return int(np.lexsort((tops, orders))[-1])


def _panel(figure: Figure, place, title: str):
    axes = figure.add_subplot(place, facecolor=PANEL)
    axes.set_title(title, color=INK, fontsize=11.5, loc="left", pad=9, fontweight="bold")
    axes.tick_params(colors=FAINT, labelsize=9, length=0)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _heading(figure: Figure, result: Result, title: str) -> None:
    figure.text(0.05, 0.962, title, color=INK, fontsize=19, fontweight="bold", va="center")
    report = result.latency.report()
    facts = [
        f"{result.messages:,} messages",
        f"{len(result.tracked)} symbol{'s' if len(result.tracked) > 1 else ''}",
        f"{result.top_changes:,} changes of a top of book",
        f"{result.orders:,} orders",
        f"{result.refusals:,} refusals",
    ]
    fast = report["t0_to_order"]["improve"]["p50"]
    if fast is not None:
        facts.append(f"tick to trade {fast} cycles (median, best improved)")
    figure.text(0.05, 0.931, "   ·   ".join(facts), color=FAINT, fontsize=11.5, va="center")
    if result.failed:
        verdict, colour = "card and models differ", ASK
    elif result.compared is None:
        verdict, colour = "not compared with the models", FAINT
    else:
        verdict, colour = "0 differences from the golden models", BID
    figure.text(
        0.975, 0.962, verdict, color=colour, fontsize=13, ha="right", va="center", fontweight="bold"
    )


def _two_sided(history: History, symbol: int) -> np.ndarray:
    """The tops of a symbol that have both sides, without a long idle time at the beginning."""
    tops = history.tops[history.tops["symbol"] == symbol]
    tops = tops[(tops["bid"] > 0) & (tops["ask"] > 0)]
    early = tops["time"][: len(tops) // 5]
    if len(early) > 1:
        pauses = np.diff(early)
        longest = int(np.argmax(pauses))
        if pauses[longest] > (tops["time"][-1] - tops["time"][0]) / 5:
            return tops[longest + 1 :]
    return tops


def _busiest(history: History, symbol: int, tops: np.ndarray) -> np.ndarray:
    """The `CLOSER` tops in a row in whose time most orders leave."""
    verdicts = history.verdicts[history.verdicts["symbol"] == symbol]
    sent = np.sort(verdicts["time"][verdicts["approved"] != 0])
    first = np.arange(0, max(len(tops) - CLOSER, 1), CLOSER // 8)
    last = np.minimum(first + CLOSER, len(tops)) - 1
    if not len(tops):
        return tops
    orders = np.searchsorted(sent, tops["time"][last]) - np.searchsorted(sent, tops["time"][first])
    pick = int(np.argmax(orders))
    return tops[first[pick] : last[pick] + 1]


def _prices(axes, history: History, symbol: int, tops: np.ndarray) -> None:
    if len(tops) < 2:
        _say(axes, "never had two sides for long")
        return
    thin = tops[:: max(1, len(tops) // STEPS)]
    time, bid, ask = thin["time"], thin["bid"] / 1e4, thin["ask"] / 1e4
    axes.fill_between(time, bid, ask, step="post", color=INK, alpha=0.10, linewidth=0)
    axes.step(time, bid, where="post", color=BID, linewidth=1.1)
    axes.step(time, ask, where="post", color=ASK, linewidth=1.1)
    verdicts = history.verdicts[
        (history.verdicts["symbol"] == symbol)
        & (history.verdicts["time"] >= time[0])
        & (history.verdicts["time"] <= tops["time"][-1])
    ]
    size = np.clip(6000 / max(len(verdicts), 1), 14, 70)
    for side, marker in ((0, "^"), (1, "v")):
        for approved, colour, order in ((0, REFUSED, 3), (1, SENT, 4)):
            chosen = verdicts[(verdicts["side"] == side) & (verdicts["approved"] == approved)]
            axes.scatter(
                chosen["time"],
                chosen["price"] / 1e4,
                marker=marker,
                s=size,
                color=colour,
                edgecolors=PANEL,
                linewidths=0.4,
                zorder=order,
                alpha=0.95,
            )
    low, high = np.quantile(bid, 0.002), np.quantile(ask, 0.998)
    margin = max((high - low) * 0.12, 0.02)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(time[0], max(time[-1], time[0] + 1e-3))
    step = next((step for step in CLOCK_STEPS if (time[-1] - time[0]) / step < 9), CLOCK_STEPS[-1])
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _clock(value, step)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.2f}"))
    axes.set_ylabel("USD", color=FAINT, fontsize=9)
    _legend(
        axes,
        [
            Line2D([], [], color=ASK, label="best ask"),
            Line2D([], [], color=BID, label="best bid"),
            _mark("^", SENT, "buys at the ask"),
            _mark("v", SENT, "sells at the bid"),
            _mark("o", REFUSED, "refused"),
        ],
        loc="upper left",
        ncols=5,
    )


def _clock(seconds: float, step: float) -> str:
    whole = round(seconds, 6)
    text = f"{int(whole) // 3600:02d}:{int(whole) // 60 % 60:02d}"
    if step >= 60:
        return text
    return f"{text}:{int(whole) % 60:02d}" if step >= 1 else f"{text}:{whole % 60:06.3f}"


def _depth(axes, result: Result, symbol: int) -> None:
    buys, sells = result.live_orders.depth(symbol)
    sides = (sorted(buys.items(), reverse=True), BID), (sorted(sells.items()), ASK)
    sides = [(levels, colour) for levels, colour in sides if levels]
    if not sides:
        _say(axes, "is empty")
        return
    tick = result.tracked[symbol].tick
    reach = max(abs(levels[:LEAST_LEVELS][-1][0] - levels[0][0]) for levels, _ in sides)
    span = max(LEVELS * tick, min(reach, sides[0][0][0][0] // 50)) + tick
    height = max(0.9 * tick, span / 60) / 1e4
    widest = 1
    for levels, colour in sides:
        near = [level for level in levels if abs(level[0] - levels[0][0]) <= span]
        prices = [price / 1e4 for price, _ in near]
        shares = np.array([shares for _, shares in near])
        sums = np.cumsum(shares)
        axes.barh(prices, sums, height=height, color=colour, alpha=0.22)
        axes.barh(prices, shares, height=height, color=colour)
        widest = max(widest, int(sums[-1]))
    touch = [levels[0][0] for levels, _ in sides]
    axes.set_ylim((min(touch) - span) / 1e4, (max(touch) + span) / 1e4)
    axes.set_xlim(0, widest * 1.05)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.2f}" if tick > 1 else "{x:,.4f}"))
    axes.set_xlabel("shares at the price, and up to it (pale)", color=FAINT, fontsize=9)


def _latency(axes, result: Result) -> None:
    """Counts on a logarithmic axis: a single slow answer is to be seen."""
    sources = (result.latency.to_top, "book"), (result.latency.to_order, "order")
    bars: dict[tuple[int, str], dict[str, int]] = {}
    for counts, what in sources:
        for (_, effect), counter in counts.items():
            for name, effects in CLASSES.items():
                if effect in effects:
                    for cycles, count in counter.items():
                        bar = bars.setdefault((cycles, what), {})
                        bar[name] = bar.get(name, 0) + count
    if not bars:
        _say(axes, "no top of book changed")
        return
    width = 0.26
    for (cycles, what), parts in bars.items():
        for place, name in enumerate(CLASSES):
            if count := parts.get(name, 0):
                axes.bar(
                    cycles + (place - 1) * width,
                    count,
                    width=width * 0.92,
                    color=CLASS_COLOURS[name],
                    alpha=0.45 if what == "book" else 1.0,
                )
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7, top=max(max(parts.values()) for parts in bars.values()) * 12)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0, max(cycles for cycles, _ in bars) + 1.5)
    axes.grid(axis="x", visible=False)
    label = "clock cycles (solid: first octet of the order; pale: top of book)"
    axes.set_xlabel(label, color=FAINT, fontsize=9)
    handles = [_mark("s", CLASS_COLOURS[name], CLASS_LABELS[name]) for name in CLASSES]
    _legend(axes, handles, loc="upper left", ncols=3)


def _verdicts(axes, result: Result) -> None:
    names = [symbol.name for symbol in result.tracked]
    at = np.arange(len(names))
    sent = np.array([result.verdicts_by_symbol.get((i, True), 0) for i in at])
    refused = np.array([result.verdicts_by_symbol.get((i, False), 0) for i in at])
    axes.barh(at, sent, color=SENT, height=0.62, label="sent")
    axes.barh(at, refused, left=sent, color=REFUSED, height=0.62, label="refused")
    axes.set_yticks(at, names, color=INK)
    axes.set_ylim(max(len(names), LEAST_ROWS) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlim(0, max(1, (sent + refused).max() * 1.08))
    _legend(axes, None, loc="lower right", bbox_to_anchor=(1.01, 0.99), ncols=2)


def _gates(axes, result: Result) -> None:
    gates = result.refusals_by_gate
    if not gates:
        _say(axes, "nothing was refused")
        return
    at = np.arange(len(gates))
    axes.barh(at, list(gates.values()), color=REFUSED, height=0.5)
    for place, (gate, count) in enumerate(gates.items()):
        label = f"{gate}  {GATE_NAMES.get(gate, '')}  {count:,}"
        axes.text(0, place - 0.29, label, color=INK, fontsize=9, va="bottom")
    axes.set_yticks([])
    axes.set_ylim(max(len(gates), 3) - 0.5, -0.9)
    axes.set_xlim(0, max(gates.values()) * 1.08)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _say(axes, text: str) -> None:
    axes.text(0.5, 0.5, text, color=FAINT, ha="center", va="center", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def _mark(marker: str, colour: str, label: str) -> Line2D:
    return Line2D([], [], marker=marker, color=colour, linestyle="", markersize=6, label=label)


def _legend(axes, handles, **where) -> None:
    axes.legend(
        handles=handles,
        frameon=False,
        labelcolor=INK,
        fontsize=9,
        handletextpad=0.5,
        columnspacing=1.4,
        **where,
    )
