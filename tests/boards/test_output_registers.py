"""Output registers of block RAM, in netlists made by hand and by Yosys."""

import copy
import json
import re
import subprocess

import pytest

from tickgate.boards import output_registers
from tickgate.hdl import yosys
from tickgate.hdl.memory import BlockMemory
from tickgate.hdl.netlist import to_rtlil

CLOCK, READ, KEPT = 2, 10, 20


def a_netlist() -> dict:
    """A block of which two bits of the side A are read, each into a register that is an output."""
    block = {
        "type": "DP16KD",
        "parameters": {
            "DATA_WIDTH_A": "10010",
            "DATA_WIDTH_B": "10010",
            **{f"REGMODE_{side}": "NOREG" for side in "AB"},
            **{f"CLK{side}MUX": f"CLK{side}" for side in "AB"},
        },
        "connections": {
            **{f"CLK{side}": [CLOCK] for side in "AB"},
            **{f"{name}{side}": ["1"] for name in ("CE", "OCE") for side in "AB"},
            **{f"RST{side}": ["0"] for side in "AB"},
            **{f"DOA{n}": [READ + n] for n in range(3)},
        },
    }
    registers = {
        f"register_{n}": {
            "type": "TRELLIS_FF",
            "parameters": {"CEMUX": "1 ", "CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET"},
            "connections": {"CLK": [CLOCK], "LSR": ["0"], "DI": [READ + n], "Q": [KEPT + n]},
        }
        for n in range(2)
    }
    cells = {"block": block, **registers}
    for cell in cells.values():
        cell["port_directions"] = {
            port: "output" if port == "Q" or port.startswith("DO") else "input"
            for port in (*cell["connections"], "CE")
        }
    ports = {"clk": {"bits": [CLOCK]}, "kept": {"bits": [KEPT, KEPT + 1]}}
    return {"modules": {"top": {"ports": ports, "cells": cells}}}


def test_registers_that_have_all_of_a_side_become_its_output_register():
    netlist = a_netlist()
    assert output_registers.absorb(netlist) == 1
    cells = netlist["modules"]["top"]["cells"]
    assert list(cells) == ["block"]
    block = cells["block"]
    assert block["parameters"]["REGMODE_A"] == "OUTREG"
    assert block["parameters"]["REGMODE_B"] == "NOREG"
    assert [block["connections"][f"DOA{n}"] for n in range(3)] == [[KEPT], [KEPT + 1], [READ + 2]]


def cell(name):
    return lambda netlist: netlist["modules"]["top"]["cells"][name]


def another_load(netlist):
    netlist["modules"]["top"]["ports"]["read"] = {"bits": [READ]}


REASONS = {
    "an enable": lambda n: cell("register_0")(n)["connections"].update(CE=[3]),
    "an enable that is a constant": lambda n: cell("register_0")(n)["parameters"].update(CEMUX="0"),
    "a reset": lambda n: cell("register_1")(n)["connections"].update(LSR=[3]),
    "one at the beginning": lambda n: cell("register_1")(n)["parameters"].update(REGSET="SET"),
    "another clock": lambda n: cell("register_0")(n)["connections"].update(CLK=[3]),
    "the other edge": lambda n: cell("register_0")(n)["parameters"].update(CLKMUX="INV"),
    "the other edge of the block": lambda n: cell("block")(n)["parameters"].update(CLKAMUX="INV"),
    "a port that is not always enabled": lambda n: cell("block")(n)["connections"].update(CEA=[3]),
    "a reset of the port": lambda n: cell("block")(n)["connections"].update(RSTA=[3]),
    "both sides as one": lambda n: cell("block")(n)["parameters"].update(DATA_WIDTH_B="100100"),
    "a register already": lambda n: cell("block")(n)["parameters"].update(REGMODE_A="OUTREG"),
    "a bit without a register": lambda n: cell("register_0")(n).update(type="LUT4"),
    "a bit that is wanted as it is": another_load,
}


@pytest.mark.parametrize("reason", REASONS)
def test_registers_stay_where_there_is(reason):
    netlist = a_netlist()
    REASONS[reason](netlist)
    before = copy.deepcopy(netlist)
    assert output_registers.absorb(netlist) == 0
    assert netlist == before


@pytest.mark.parametrize("shape", [18, 33])
def test_of_a_memory_as_yosys_makes_it_no_register_is_left(shape, tmp_path, capsys):
    memory = BlockMemory(depth=1024, shape=shape, relaxed=True)
    (tmp_path / "top.il").write_text(to_rtlil(memory))
    commands = "read_rtlil top.il; synth_ecp5 -top top; write_json top.json"
    subprocess.run([*yosys.COMMAND, "-q", "-p", commands], cwd=tmp_path, check=True)

    def cells(kind):
        netlist = json.loads((tmp_path / "top.json").read_text())
        named = netlist["modules"]["top"]["cells"].items()
        return [cell for _, cell in named if cell["type"] == kind]

    blocks, registers = len(cells("DP16KD")), len(cells("TRELLIS_FF"))
    output_registers.main(str(tmp_path / "top.json"))
    assert re.fullmatch(rf"output .* into {blocks} sides of block RAM\n", capsys.readouterr().out)
    assert blocks == -(-shape // 18)
    assert len(cells("TRELLIS_FF")) == registers - shape
