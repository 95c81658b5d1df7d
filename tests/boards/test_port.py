# amaranth: UnusedElaboratable=no
"""A gigabit port at its pins, against the RGMII of cocotbext-eth; the DDR cells are stand-ins."""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from amaranth.back import rtlil
from amaranth.hdl import IOPort
from amaranth.lib import io
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from tickgate.boards.port import GigabitPort
from tickgate.boards.rgmii import Rgmii
from tickgate.hdl import yosys
from tickgate.sim.virtual.build import VERILATOR_ROOT

HERE = Path(__file__).parent
INPUTS = {"rx_clk": 1, "rx_ctrl": 1, "rx_data": 4}
TESTS = 8
YOSYS_SCRIPT = "read_rtlil port.il; proc; memory_collect; write_verilog -norename -noattr port.v"
OUTPUTS = {"tx_clk": 1, "tx_ctrl": 1, "tx_data": 4}


def pins():
    wires = {name: IOPort(width, name=name) for name, width in {**INPUTS, **OUTPUTS}.items()}
    return SimpleNamespace(**{name: io.SingleEndedPort(wire) for name, wire in wires.items()})


def test_a_port_keeps_its_promises_at_its_pins(seed, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{VERILATOR_ROOT / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.syspath_prepend(HERE)
    port = GigabitPort(pins=pins(), transmit_delay_ps=2000, receive_delay_ps=0)
    streams = port.received, port.transmitted
    ports = [port.overflow, port.underrun, port.transmitted.ready]
    ports += [signal for each in streams for signal in (each.payload.as_value(), each.valid)]
    netlist = rtlil.convert(port, name="port", ports=ports, emit_src=False)
    (tmp_path / "port.il").write_text(netlist)
    subprocess.run([*yosys.COMMAND, "-q", "-p", YOSYS_SCRIPT], cwd=tmp_path, check=True)
    log = tmp_path / "cocotb.log"
    runner = get_runner("verilator")
    runner.build(
        sources=[tmp_path / "port.v", HERE / "cells.v"],
        hdl_toplevel="port",
        build_dir=tmp_path / "build",
        # The delay cell has a delay: Verilator makes coroutines of it, which GCC is to be told.
        build_args=["--timing", "-CFLAGS", "-std=c++20 -fcoroutines", "-Wno-lint", "-Wno-fatal"],
        timescale=("1ps", "1ps"),
        log_file=tmp_path / "build.log",
    )
    try:
        results = runner.test(
            hdl_toplevel="port",
            test_module="port_at_its_pins",
            build_dir=tmp_path / "build",
            test_dir=tmp_path,
            results_xml=str(tmp_path / "results.xml"),
            log_file=log,
            extra_env={"BENCH_SEED": str(seed), "COCOTB_ANSI_OUTPUT": "0"},
        )
    except SystemExit:
        pytest.fail(log.read_text())
    assert get_results(results) == (TESTS, 0)


@pytest.mark.parametrize("delays", [(-1, 0), (3200, 0), (0, 3200)])
def test_a_delay_that_the_cell_cannot_make_is_refused(delays):
    transmit, receive = delays
    with pytest.raises(ValueError, match="0 to 3175 ps"):
        Rgmii(pins=pins(), transmit_delay_ps=transmit, receive_delay_ps=receive)
