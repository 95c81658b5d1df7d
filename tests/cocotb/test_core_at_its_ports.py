"""The netlist of the virtual card under cocotb, pin by pin."""

import json
from pathlib import Path

import numpy as np
import pytest

from tickgate.sim.virtual import make_core, under_cocotb
from tickgate.sim.virtual.top import VirtualTop

WIDTH = 8
"""Of the two that there are everywhere else the faster one: cocotb runs a few thousand cycles a
second, and the card takes a minute to compile."""


@pytest.fixture(scope="module")
def built() -> Path:
    core = make_core(width=WIDTH, symbols=2, ticks=256, orders=1024, event_depth=64)
    return under_cocotb.build(VirtualTop(core), quiet=True)


def test_the_core_keeps_its_promises_at_its_pins(built, seed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    under_cocotb.run(
        built,
        module="core_at_its_ports",
        work=tmp_path,
        environment={"BENCH_SEED": str(seed)},
    )


def test_the_pace_of_cocotb_is_that_of_the_cycles_it_ran(built, tmp_path):
    lengths = np.array([64, 71, 100])
    stored, result = tmp_path / "frames.npz", tmp_path / "result.json"
    np.savez(stored, octets=np.zeros(lengths.sum(), np.uint8), lengths=lengths, gap=3)
    under_cocotb.run(
        built,
        module="tickgate.sim.virtual.cocotb_pace",
        work=tmp_path,
        environment={"PACE_FRAMES": str(stored), "PACE_RESULT": str(result)},
    )
    measured = json.loads(result.read_text())
    assert measured["cycles"] == (-(-lengths // WIDTH) + 3).sum()
    assert measured["seconds"] > 0


def test_a_failure_under_cocotb_is_told_with_its_log(built, tmp_path):
    with pytest.raises(under_cocotb.CocotbFailure, match=r"cocotb_pace: 1 of 1(.|\n)*PACE_FRAMES"):
        under_cocotb.run(built, module="tickgate.sim.virtual.cocotb_pace", work=tmp_path)
