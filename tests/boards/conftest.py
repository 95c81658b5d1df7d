"""A small core for boards, and tools that only pretend."""

import json
from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.stream import Octets, pipe

FMAX = {"$glbnet$clk": {"achieved": 130.5, "constraint": 125}}
NEXTPNR_REPORT = {
    "fmax": FMAX,
    "utilization": {"TRELLIS_FF": {"used": 1, "available": 83640}},
    "critical_paths": [],
    "detailed_net_timings": [],
}


class Echo(wiring.Component):
    """Sends back what it receives, at once: just enough that nothing around it is left out."""

    rx: In(stream.Signature(Octets(1), always_ready=True))
    tx: Out(stream.Signature(Octets(1)))
    control_rx: In(stream.Signature(8))
    control_tx: Out(stream.Signature(8))

    def elaborate(self, platform) -> Module:
        m = Module()
        pipe(m, wiring.flipped(self.control_rx), wiring.flipped(self.control_tx))
        m.d.sync += [self.tx.payload.eq(self.rx.payload), self.tx.valid.eq(self.rx.valid)]
        return m


@pytest.fixture(scope="session")
def echo_core() -> type[Echo]:
    """A core of the board's size 0."""
    return Echo


@pytest.fixture
def program(tmp_path):
    """Makes an executable of a shell script."""

    def make(name: str, script: str) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\nset -e\n{script}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def pretended_tools(program, monkeypatch, tmp_path) -> Path:
    """Takes the place of Yosys, nextpnr and ecppack; returns nextpnr's report to be changed."""
    report = tmp_path / "pretended.json"
    report.write_text(json.dumps(NEXTPNR_REPORT))
    monkeypatch.setenv("YOSYS", str(program("yosys", "echo '{\"modules\": {}}' > tickgate.json")))
    nextpnr = f"cp {report} tickgate.report.json\necho config > tickgate.config"
    monkeypatch.setenv("NEXTPNR_ECP5", str(program("nextpnr", nextpnr)))
    monkeypatch.setenv("ECPPACK", str(program("ecppack", "echo bits > tickgate.bit")))
    return report


@pytest.fixture
def nothing_on_path(monkeypatch, tmp_path) -> None:
    """A PATH without a program."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
