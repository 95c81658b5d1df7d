"""Which registers and memories of a card there are, and what Verilator has made of each.

Ref: Yosys manual, `write_verilog`; Verilator manual, "Signal naming" (names in C++).
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Storage", "header", "storage"]

MODULE = re.compile(r"^module (\S+) ?\(.*?^endmodule", re.MULTILINE | re.DOTALL)
NAME = r"(\\\S+ |\w+)"
DECLARED = re.compile(
    rf"^  (?:output )?reg (?:signed )?(?:\[(\d+):0\] )?{NAME}\s*(?:\[(\d+):0\])?(?: = .*)?;$",
    re.MULTILINE,
)
CLOCKED = re.compile(rf"^ +{NAME}\s*(?:\[.*\]\s*)?<= ", re.MULTILINE)
MEMBER = re.compile(
    r"^ +(?:VlUnpacked<)?(?:[CSIQ]Data|VlWide<\d+>)/\*(\d+):0\*/(?:, (\d+)>)? (\w+);$", re.MULTILINE
)
INSTANCE = re.compile(rf"^  {NAME} *{NAME} *\(\n(.*?)^  \);$", re.MULTILINE | re.DOTALL)
CONNECTED = re.compile(rf"^    \.{NAME}\({NAME}\),?$", re.MULTILINE)
NUMBER = re.compile(r"\$\d+")


class Storage(NamedTuple):
    """A register, or a memory of more than one word.

    `name` is its place in the card and its own name: `risk.exposure.memory.ram`. Numbers by which
    Amaranth tells apart what has the same name come last.
    """

    path: str
    name: str
    width: int
    depth: int


def storage(verilog: str, parts: Sequence[str]) -> Iterator[Storage]:
    """What is written with the clock and has a name that begins like one of `parts`."""
    for module in MODULE.finditer(verilog):
        path = module[1].lstrip("\\")
        place = NUMBER.sub("", path).removeprefix("card.core.")
        clocked = {name.strip().lstrip("\\") for name in CLOCKED.findall(module[0])}
        for msb, name, last in DECLARED.findall(module[0]):
            own = name.strip().lstrip("\\")
            if own in clocked and f"{place}.{own}".startswith(tuple(parts)):
                yield Storage(
                    f"{path}.{own}", f"{place}.{own}", int(msb or 0) + 1, int(last or 0) + 1
                )


def header(directory: Path, parts: Sequence[str]) -> str:
    """C++ for the loop: `PROBES(X)`, an X(name, member, width, depth) for each storage.

    Parameters
    ----------
    directory : Path
        With the netlist, and what Verilator has made of it.
    parts : sequence of str

    Errors: ValueError if Verilator has left out so much that its names are not as is thought here.
    """
    text = (directory / "card.v").read_text()
    members = {}
    for found in MEMBER.finditer((directory / "Vcard___024root.h").read_text()):
        members[_path_of(found[3])] = found
    wanted, outer, there = list(storage(text, parts)), _outer_names(text), []
    for each in wanted:
        # A register that is an output is known by the name that it has further out.
        path = each.path
        while path and path not in members:
            path = outer.get(path, "")
        if path:
            found = members[path]
            if (int(found[1]) + 1, int(found[2] or 1)) == (each.width, each.depth):
                there.append((each, found[3]))
    if not wanted or 10 * len(there) < 9 * len(wanted):
        raise ValueError(f"of {len(wanted)} registers and memories only {len(there)} are found")
    rows = "".join(
        f' \\\n    X("{each.name}", {member}, {each.width}, {each.depth})' for each, member in there
    )
    return f"#define PROBES(X){rows}\n"


def _outer_names(verilog: str) -> dict[str, str]:
    """For each port of a module that is a whole signal of the one around it, the path of that."""
    names = {}
    for module in MODULE.finditer(verilog):
        path = module[1].lstrip("\\")
        for inner, _, ports in INSTANCE.findall(module[0]):
            place = inner.strip().lstrip("\\")
            for port, signal in CONNECTED.findall(ports):
                own, around = (each.strip().lstrip("\\") for each in (port, signal))
                names[f"{place}.{own}"] = f"{path}.{around}"
    return names


def _path_of(member: str) -> str:
    """The path of what Verilator calls so."""
    dotted = member.replace("__DOT__", ".")
    return re.sub("__0([0-9A-F]{2})", lambda code: chr(int(code[1], 16)), dotted)
