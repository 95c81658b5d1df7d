"""The core alone on the device of the ECPIX-5: the clock it closes, and the paths that set it.

A core of more octets a cycle than a board's port has can be timed without that port; so can some
of its parts, among registers that stand for the others.
"""

import math
from collections.abc import Callable, Collection
from pathlib import Path

from amaranth.build import Attrs, Clock, Pins, Resource
from amaranth.hdl import (
    Cat,
    ClockDomain,
    ClockSignal,
    Const,
    Elaboratable,
    Module,
    Signal,
    Value,
)
from amaranth.lib import io
from amaranth.lib.wiring import In
from amaranth.vendor import LatticeECP5Platform

from tickgate.boards import ecpix5
from tickgate.boards.build import build
from tickgate.boards.global_reset import GlobalReset
from tickgate.boards.report import Report
from tickgate.hdl.core import TickToTrade

__all__ = [
    "CLOCKS_HZ",
    "PARTS",
    "Folded",
    "Platform",
    "core",
    "parts_of",
    "stand_in",
    "time_core",
]

CLOCKS_HZ = {1: 125_000_000, 8: 156_250_000}
"""What a core of so many octets a cycle needs: gigabit and ten-gigabit Ethernet."""
# With a longer queue of events, which is then in block RAM, the device has too few blocks.
CAPACITY = {"symbols": 16, "ticks": 1024, "orders": 16384, "event_depth": 16}
PORTS = ("rx", "tx", "control_rx", "control_tx", "kill_pin")
"""The others are for those who watch; no board connects them."""
PARTS = (
    *("receive", "hold", "feed", "book", "strategy", "risk", "order"),
    *("valuation", "releases", "executions", "hop", "services", "arbiter", "control"),
)
"""What a core consists of, each by the name that it has there."""
LUT_INPUTS = 4
LVCMOS33 = Attrs(IO_TYPE="LVCMOS33")


class Platform(LatticeECP5Platform):
    """The device of the ECPIX-5 with a clock and three pins.

    Parameters
    ----------
    clock_hz : int
    """

    device = ecpix5.Platform.device
    package = ecpix5.Platform.package
    speed = ecpix5.Platform.speed
    connectors = ()

    resources = (
        Resource("rst", 0, Pins("AB1", dir="i"), LVCMOS33),
        Resource("stimulus", 0, Pins("A11", dir="i"), LVCMOS33),
        Resource("response", 0, Pins("B11", dir="o"), LVCMOS33),
    )

    def __init__(self, *, clock_hz: int) -> None:
        super().__init__()
        self.add_resources([Resource("clk", 0, Pins("K23", dir="i"), Clock(clock_hz), LVCMOS33)])


class Folded(Elaboratable):
    """A core between registers: all of its inputs from one pin, all of its outputs to another.

    Whatever is between two registers of the core, or between one of the core and one of these, is
    timed; nothing of it can be left out.

    Parameters
    ----------
    core : wiring.Component
        With the streams `rx`, `tx`, `control_rx`, `control_tx` of :class:`TickToTrade`.
    """

    def __init__(self, *, core) -> None:
        self._core = core

    def elaborate(self, platform) -> Module:
        m = Module()
        pins = {
            name: io.Buffer(direction, platform.request(name, dir="-"))
            for name, direction in (
                ("clk", "i"),
                ("rst", "i"),
                ("stimulus", "i"),
                ("response", "o"),
            )
        }
        for name, pin in pins.items():
            m.submodules[f"{name}_pin"] = pin
        m.domains.sync = ClockDomain("sync")
        m.d.comb += ClockSignal("sync").eq(pins["clk"].i)
        m.submodules.reset = GlobalReset(asserted=pins["rst"].i)
        m.submodules.core = core = self._core
        inputs, outputs = [], []
        for path, member, value in core.signature.flatten(core):
            if path[0] in PORTS:
                (inputs if member.flow == In else outputs).append(Value.cast(value))
        _spread(m, pins["stimulus"].i, inputs)
        m.d.comb += pins["response"].o.eq(_folded(m, outputs))
        return m


def stand_in(component) -> Module:
    """Registers in the place of a component: from each input, to each output.

    Each output depends on all inputs, some cycles later, so nothing beside it can be left out. The
    value means nothing.
    """
    m = Module()
    inputs, outputs = [], []
    for _, member, value in component.signature.flatten(component):
        if isinstance(value, Const):
            continue  # what is always ready
        (inputs if member.flow == In else outputs).append(Value.cast(value))
    _spread(m, _folded(m, inputs), outputs)
    return m


def _spread(m: Module, bit, values: list[Value]) -> None:
    """Drives `values` from registers: `bit` and what it was in the cycles before."""
    given = Signal(len(Cat(values)), reset_less=True)
    m.d.sync += given.eq(Cat(bit, given))
    m.d.comb += Cat(values).eq(given)


def _folded(m: Module, values: list[Value]) -> Signal:
    """The parity of `values`, a look-up table from register to register."""
    folded = Signal(len(Cat(values)), reset_less=True)
    m.d.sync += folded.eq(Cat(values))
    while len(folded) > 1:
        fewer = Signal(math.ceil(len(folded) / LUT_INPUTS), reset_less=True)
        for n, bit in enumerate(fewer):
            m.d.sync += bit.eq(folded[n * LUT_INPUTS : (n + 1) * LUT_INPUTS].xor())
        folded = fewer
    return folded


def core(width: int) -> TickToTrade:
    """The largest core that the device holds."""
    own = {"width": width, "clock_period_ps": 1_000_000_000_000 // CLOCKS_HZ[width]}
    return TickToTrade(**{**ecpix5.PARAMETERS, **CAPACITY, **own})


def parts_of(core, parts: Collection[str]):
    """Leaves nothing of a core but these of its `PARTS`, and what connects them.

    What is timed then is every path that does not leave them: one that goes through another part
    ends at what stands in for it (:func:`stand_in`). Returns the core.
    """
    for name in PARTS:
        if name not in parts:
            part = vars(core)[f"_{name}"]
            part.elaborate = lambda platform, part=part: stand_in(part)
    return core


def time_core(
    core,
    *,
    width: int,
    directory: Path,
    parts: Collection[str] = (),
    seed: int = 1,
    progress: Callable[[str, float], None] = lambda stage, seconds: None,
) -> Report:
    """Places and routes a core of `width` octets a cycle, asking for the clock it needs.

    With `parts`, these of it alone; see :func:`parts_of`. Other parameters and errors as of
    :func:`tickgate.boards.build.build`.
    """
    name = "core alone"
    if parts:
        core = parts_of(core, parts)
        name = f"{', '.join(parts)} of the core"
    return build(
        Platform(clock_hz=CLOCKS_HZ[width]),
        board=f"{name}, width {width}",
        design=Folded(core=core),
        directory=directory,
        seed=seed,
        progress=progress,
    )
