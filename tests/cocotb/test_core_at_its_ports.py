"""The netlist of the virtual card under cocotb, pin by pin."""

from pathlib import Path

import pytest

from tickgate.hdl.core import TickToTrade
from tickgate.sim.virtual import CLOCK_PERIOD_PS, under_cocotb
from tickgate.sim.virtual.top import VirtualTop


@pytest.mark.parametrize("width", [1, 8])
def test_the_core_keeps_its_promises_at_its_pins(width, seed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    core = TickToTrade(
        width=width,
        symbols=4,
        ticks=1024,
        orders=2048,
        event_depth=64,
        clock_period_ps=CLOCK_PERIOD_PS[width],
    )
    under_cocotb.run(
        under_cocotb.build(VirtualTop(core), quiet=True),
        module="core_at_its_ports",
        work=tmp_path,
        environment={"BENCH_SEED": str(seed)},
    )
