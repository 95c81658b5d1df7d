"""The card at its reference sizes: what it takes to build and run, and that it is right.

Ref: docs/architecture.md, "Scale".
"""

import re
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tickgate.sim import market
from tickgate.sim.check import Difference
from tickgate.sim.replay import Options, open_card, plan, play
from tickgate.sim.virtual import Card

__all__ = ["SIZES", "Hardware", "ScaleBench", "Size", "hardware_of", "instruments", "measure"]

Progress = Callable[[str, int, int | None], None]

EARLY_ORDERS = 8
"""Of each symbol before trading begins, unless said otherwise; beside the two far ones."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a card has room for."""

    symbols: int
    ticks: int
    orders: int


SIZES = {
    "small": Size(symbols=16, ticks=1024, orders=1 << 14),
    "medium": Size(symbols=64, ticks=4096, orders=1 << 18),
    "large": Size(symbols=4096, ticks=512, orders=1 << 21),
}
"""The reference sizes: an ECP5-85F, and two that want UltraRAM."""


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What a netlist is made of, before any synthesis.

    Members
    -------
    block_bits : int
        Bits of memories that are read in two cycles: block RAM or UltraRAM.
    table_bits : int
        Bits of memories that are read in the same cycle: look-up tables. A memory with several
        read ports counts once for each.
    flip_flops : int
    """

    block_bits: int
    table_bits: int
    flip_flops: int


@dataclass(frozen=True, kw_only=True)
class ScaleBench:
    """What one size came to.

    Members
    -------
    build_seconds : dict of str to float
        CPU time of each step of the build, when it was built.
    mebibytes : int
        Most memory that this process has had so far, models and all.
    configure_seconds, cycles_per_second, messages_per_second
        Of the host until the card is armed; of the simulated card; of card, models and comparison.
    active : int
        Symbols whose top of book has changed.
    live_orders : int
        At the end.
    tops, verdicts, frames : int
        Compared with the models.
    difference : Difference or None
    """

    name: str
    size: Size
    hardware: Hardware
    build_seconds: dict[str, float]
    mebibytes: int
    configure_seconds: float
    messages: int
    cycles: int
    cycles_per_second: float
    messages_per_second: float
    active: int
    live_orders: int
    lost_books: int
    disagreements: int
    tops: int
    verdicts: int
    frames: int
    difference: Difference | None

    @property
    def right(self) -> bool:
        """True if the card did what the models say, in every book."""
        return self.difference is None and not self.disagreements

    def as_dict(self) -> dict:
        """All of it in plain types; the names are stable."""
        return asdict(self) | {"differences": int(self.difference is not None)}


class _TimedCard(Card):
    """A card that knows how long it has simulated."""

    seconds = 0.0

    def send(self, frames, lengths, **options) -> None:
        began = time.process_time()
        super().send(frames, lengths, **options)
        self.seconds += time.process_time() - began


def measure(
    name: str,
    *,
    messages: int | None = None,
    early_orders: int = EARLY_ORDERS,
    seed: int = 1,
    width: int = 8,
    progress: Progress = lambda what, done, total: None,
    quiet: bool = False,
) -> ScaleBench:
    """Plays a generated market of as many symbols as a size has, at line rate, all compared.

    Parameters
    ----------
    name : str
        One of `SIZES`.
    messages : int or None
        Of trading, after the start of the day; None: 16 a symbol, but 50,000 at least.
    early_orders : int
        Of each symbol before trading begins.
    seed, width : int
    """
    size = SIZES[name]
    traded = max(50_000, 16 * size.symbols) if messages is None else messages
    generated = market.generate(
        seed=seed,
        messages=3 + (5 + early_orders) * size.symbols + traded,
        instruments=instruments(size.symbols),
        early_orders=early_orders,
    )
    options = Options(
        width=width,
        capacity=size.symbols,
        ticks=size.ticks,
        orders=size.orders,
        line_rate=True,
        check=True,
        direct=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.itch"
        path.write_bytes(generated.data)
        planned = plan(path, options, progress)
        with open_card(planned, make=_TimedCard, quiet=quiet) as card:
            began = time.process_time()
            # The memories clear themselves, a price level a cycle and side; asking is slower.
            card.run(2 * size.symbols * size.ticks)
            result = play(planned, card, progress=progress)
            whole = time.process_time() - began
            hardware = hardware_of(card.verilog.with_name("card.il").read_text())
            build_seconds, sending = card.build_seconds, card.seconds
    playing = min(whole, result.wall_seconds)
    compared = result.compared or {}
    return ScaleBench(
        name=name,
        size=size,
        hardware=hardware,
        build_seconds=build_seconds,
        mebibytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        configure_seconds=round(whole - playing, 2),
        messages=result.messages,
        cycles=result.cycles,
        cycles_per_second=round(result.cycles / sending),
        messages_per_second=round(result.messages / playing),
        active=len(result.rows_by_symbol),
        live_orders=len(result.live_orders),
        lost_books=len(result.abandoned),
        disagreements=result.counters["book_disagreement"],
        difference=result.difference,
        **{what: compared[what] for what in ("tops", "verdicts", "frames")},
    )


def instruments(count: int) -> Sequence[market.Instrument]:
    """Made-up symbols of all prices, from 3 to 300 USD; the first ones are the busiest."""
    return [
        market.Instrument(
            name=f"S{number:04d}",
            locate=number + 1,
            price=30_000 + 100 * (number * 7919 % 29_700),
            half_spread=0.6 + number % 5 / 2,
            reach=200,
            activity=1 / (1 + number / 64),
        )
        for number in range(count)
    ]


_MODULE = re.compile(r"^module .*?^end$", re.MULTILINE | re.DOTALL)
_MEMORY = re.compile(r"^ *memory width (\d+) size (\d+) \\(\S+)$", re.MULTILINE)
_READ_PORT = re.compile(r"^ *cell \$memrd_v2 .*?^ *end$", re.MULTILINE | re.DOTALL)
_MEMORY_ID = re.compile(r'parameter \\MEMID "\\\\(.+)"')
_CLOCKED = re.compile(r"parameter \\CLK_ENABLE 1\b")
_FLIP_FLOP = re.compile(r"^ *cell \$a?dff\b.*?^ *end$", re.MULTILINE | re.DOTALL)
_WIDTH = re.compile(r"parameter \\WIDTH (\d+)")


def hardware_of(rtlil: str) -> Hardware:
    """Counts what a netlist is made of."""
    block = table = flip_flops = 0
    for module in _MODULE.findall(rtlil):
        bits = {name: int(width) * int(depth) for width, depth, name in _MEMORY.findall(module)}
        blocks = set()
        for port in _READ_PORT.findall(module):
            name = _MEMORY_ID.search(port)[1]
            if _CLOCKED.search(port):
                blocks.add(name)
            else:
                table += bits[name]
        block += sum(bits[name] for name in blocks)
        flip_flops += sum(int(_WIDTH.search(cell)[1]) for cell in _FLIP_FLOP.findall(module))
    return Hardware(block_bits=block, table_bits=table, flip_flops=flip_flops)
