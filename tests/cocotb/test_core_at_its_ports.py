"""The netlist of the virtual card under cocotb, pin by pin."""

from pathlib import Path

import pytest

from tickgate.sim.virtual import make_core, under_cocotb
from tickgate.sim.virtual.top import VirtualTop


@pytest.mark.parametrize("width", [1, 8])
def test_the_core_keeps_its_promises_at_its_pins(width, seed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    core = make_core(width=width, symbols=2, ticks=256, orders=1024, event_depth=64)
    under_cocotb.run(
        under_cocotb.build(VirtualTop(core), quiet=True),
        module="core_at_its_ports",
        work=tmp_path,
        environment={"BENCH_SEED": str(seed)},
    )
