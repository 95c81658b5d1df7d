"""Puts the registers behind block RAM into the block RAM, which Yosys leaves outside.

Without its output register, a block RAM of an ECP5 gives its data when most of a cycle is over.
`python -m tickgate.boards.output_registers FILE` does it to a netlist of Yosys in place.

Ref: Yosys manual, `write_json`; Lattice FPGA-TN-02204 (ECP5 memory), "Output Register".
"""

import json
import sys
from collections import Counter
from pathlib import Path

__all__ = ["absorb", "main"]

BITS = 18
"""Of one side of a block; a port of 36 bits spans both, and is left as it is."""
PLAIN_REGISTER = {"CEMUX": "1", "CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET"}
"""A flip-flop that takes its input at every rising edge and begins with 0."""


def absorb(netlist: dict) -> int:
    """Absorbs, in each module, the registers of all sides of a block RAM that have nothing else.

    That is a side whose every bit in use goes to the input of one flip-flop and nowhere else; these
    have the clock of the side, no enable and no reset, and the side is always enabled. Changes
    `netlist`, a document of `write_json`, and returns how many sides were given their register.
    """
    return sum(_absorb_in(module) for module in netlist["modules"].values())


def _absorb_in(module: dict) -> int:
    cells = module["cells"]
    loads: Counter = Counter()
    registers = {}
    for port in module["ports"].values():
        loads.update(port["bits"])
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                loads.update(bits)
        if cell["type"] == "TRELLIS_FF":
            (data,) = cell["connections"].get("DI", [None])
            registers[data] = name
    blocks = [cell for cell in cells.values() if cell["type"] == "DP16KD"]
    absorbed = 0
    for block in blocks:
        for side in "AB":
            outputs = {
                port: bit
                for port in (f"DO{side}{n}" for n in range(BITS))
                for bit in block["connections"].get(port, [])
                if loads[bit]
            }
            names = [registers.get(bit) for bit in outputs.values()]
            if (
                outputs
                and all(loads[bit] == 1 for bit in outputs.values())
                and all(name and _is_plain(cells[name], block, side) for name in names)
                and _is_steady(block, side)
            ):
                for port, name in zip(outputs, names, strict=True):
                    block["connections"][port] = cells.pop(name)["connections"]["Q"]
                block["parameters"][f"REGMODE_{side}"] = "OUTREG"
                absorbed += 1
    return absorbed


def _is_plain(register: dict, block: dict, side: str) -> bool:
    """Whether a flip-flop does what the output register of a side does."""
    parameters, connections = register["parameters"], register["connections"]
    return (
        all(parameters[name].strip() == value for name, value in PLAIN_REGISTER.items())
        and "CE" not in connections
        and connections["LSR"] == ["0"]
        and connections["CLK"] == block["connections"][f"CLK{side}"]
    )


def _is_steady(block: dict, side: str) -> bool:
    """Whether a side has a register to give: always enabled, never reset, of its own."""
    parameters, connections = block["parameters"], block["connections"]
    return (
        all(int(parameters[f"DATA_WIDTH_{each}"], 2) <= BITS for each in "AB")
        and parameters[f"REGMODE_{side}"] == "NOREG"
        and parameters[f"CLK{side}MUX"] == f"CLK{side}"
        and connections[f"CE{side}"] == connections[f"OCE{side}"] == ["1"]
        and connections[f"RST{side}"] == ["0"]
    )


def main(file: str) -> None:
    """Rewrites a netlist."""
    path = Path(file)
    netlist = json.loads(path.read_text())
    absorbed = absorb(netlist)
    path.write_text(json.dumps(netlist))
    sys.stdout.write(f"output registers absorbed into {absorbed} sides of block RAM\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
