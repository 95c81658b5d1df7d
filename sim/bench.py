"""How fast the simulation runs: the virtual card, and cocotb on the very same netlist.

Ref: docs/architecture.md, "The virtual card".
"""

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tickgate.host.config import Config, usd
from tickgate.host.driver import Driver
from tickgate.sim import market
from tickgate.sim.capture import ItchFile
from tickgate.sim.frames import Frames, Packer
from tickgate.sim.session import ACCOUNT, FEED_ADDRESS, FEED_PORT, HOST, LIMITS, SESSION, STRATEGY
from tickgate.sim.virtual import Card, make_core
from tickgate.sim.virtual.top import VirtualTop
from tickgate.spec import ethernet

try:
    from tickgate.sim.virtual import under_cocotb
except ImportError:  # cocotb is only in the extra `dev`
    under_cocotb = None

__all__ = ["Pace", "SimulationBench", "market_config", "simulation"]


PACK = 32
"""Messages in a datagram: dense, as in the busiest moments of a day."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What a simulation did, and how long it took."""

    cycles: int
    messages: int
    seconds: float

    @property
    def cycles_per_second(self) -> float:
        return self.cycles / self.seconds

    @property
    def messages_per_second(self) -> float:
        return self.messages / self.seconds


@dataclass(frozen=True, kw_only=True)
class SimulationBench:
    """The pace of the virtual card and of cocotb; the latter None where cocotb is missing."""

    width: int
    symbols: int
    tops: int
    card: Pace
    cocotb: Pace | None

    @property
    def ratio(self) -> float | None:
        """How many cycles the card runs in the time that cocotb takes for one."""
        if self.cocotb is None:
            return None
        return self.card.cycles_per_second / self.cocotb.cycles_per_second

    def to_dict(self) -> dict:
        """Everything as plain data, rates included."""

        def rates(pace: Pace | None) -> dict | None:
            return pace and {
                **asdict(pace),
                "cycles_per_second": round(pace.cycles_per_second),
                "messages_per_second": round(pace.messages_per_second),
            }

        return {
            "width": self.width,
            "symbols": self.symbols,
            "tops": self.tops,
            "virtual_card": rates(self.card),
            "cocotb": rates(self.cocotb),
            "ratio": self.ratio and round(self.ratio, 1),
        }


def simulation(
    *,
    width: int = 8,
    messages: int = 200_000,
    cocotb_messages: int = 1_000,
    seed: int = 1,
    with_cocotb: bool = True,
    quiet: bool = False,
) -> SimulationBench:
    """Runs generated market data through a card at line rate, all of its symbols tracked.

    The virtual card is configured, so that books, strategy and risk do their
    work; the card under cocotb is not, which makes it no slower. Neither the builds nor the
    configuration count.

    Parameters
    ----------
    width : int
        Octets a cycle.
    messages, cocotb_messages : int
        ITCH messages for the one and for the other, which get the same frames from the first on.
    seed : int
        Of the market.
    with_cocotb : bool
        Measure cocotb too, if it is installed.
    quiet : bool
        Show no progress while building.
    """
    generated = market.generate(seed=seed, messages=messages)
    pieces = _pack(generated.data)
    gap = -(-(ethernet.PREAMBLE_SIZE + ethernet.INTERFRAME_GAP) // width)
    with Card(width=width, uart_divisor=0, quiet=quiet) as card:
        driver = Driver(card.serial)
        config = market_config(generated.instruments, ticks=driver.identity.ticks)
        driver.apply(config)
        driver.begin_day()
        for symbol in config.symbols:
            driver.set_whole(symbol.name)
        driver.arm(config)
        card.take()
        first, began = card.cycle, time.perf_counter()
        for frames in pieces:
            card.send(frames.octets, frames.lengths, gap=gap)
        seconds, cycles = time.perf_counter() - began, card.cycle - first
        tops = len(card.take().tops)
    pace = None
    if with_cocotb and under_cocotb is not None:
        pace = _pace_of_cocotb(pieces[0], cocotb_messages, width=width, gap=gap, quiet=quiet)
    return SimulationBench(
        width=width,
        symbols=len(config.symbols),
        tops=tops,
        card=Pace(cycles=cycles, messages=messages, seconds=seconds),
        cocotb=pace,
    )


def _pack(data: bytes) -> list[Frames]:
    packer = Packer(address=FEED_ADDRESS, port=FEED_PORT, pack=PACK)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.itch"
        path.write_bytes(data)
        return [packer.frames(batch) for batch in ItchFile(path).batches()]


def market_config(instruments: Sequence[market.Instrument], *, ticks: int) -> Config:
    """A configuration that trades every instrument, its first price in the middle of the window."""
    symbols = [
        {
            "name": instrument.name,
            "stock_locate": instrument.locate,
            "tick_usd": usd(instrument.tick),
            "window_base_usd": usd(max(0, instrument.price - ticks // 2 * instrument.tick)),
            "strategy": {**STRATEGY, "max_spread_usd": usd(10 * instrument.tick)},
            "limits": {**LIMITS, "order_tick_usd": usd(instrument.tick)},
        }
        for instrument in instruments
    ]
    feed = {"address": ethernet.format_ipv4(FEED_ADDRESS), "port": FEED_PORT}
    return Config.from_dict(
        {"feed": feed, "session": SESSION, "account": ACCOUNT, "host": HOST, "symbols": symbols}
    )


def _pace_of_cocotb(frames: Frames, messages: int, *, width: int, gap: int, quiet: bool) -> Pace:
    count = int(frames.frame[min(messages, len(frames.messages)) - 1]) + 1
    lengths = frames.lengths[:count]
    directory = under_cocotb.build(VirtualTop(make_core(width=width)), quiet=quiet)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        stored, result = work / "frames.npz", work / "result.json"
        np.savez(stored, octets=frames.octets[: lengths.sum()], lengths=lengths, gap=gap)
        under_cocotb.run(
            directory,
            module="tickgate.sim.virtual.cocotb_pace",
            work=work,
            environment={"PACE_FRAMES": str(stored), "PACE_RESULT": str(result)},
        )
        measured = json.loads(result.read_text())
    sent = int(np.searchsorted(frames.frame, count))
    return Pace(cycles=measured["cycles"], messages=sent, seconds=measured["seconds"])
