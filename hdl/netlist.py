"""Makes RTLIL as synthesis wants it: without the zeros of memories, and with what they leave open.

Every memory of the card sweeps itself clear after reset, so that its initial content is of no
consequence. Written out bit by bit (`$meminit_v2`) it would take Amaranth 16 s and 1.6 GB for
13 Mbit, Yosys minutes, and keep the memory out of UltraRAM, which has no initial value.
"""

import contextlib
import gc
import re
from collections.abc import Iterator

from amaranth.back import rtlil
from amaranth.hdl import Fragment
from amaranth.hdl._ast import SignalDict
from amaranth.hdl._ir import PortDirection, build_netlist
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from tickgate.hdl.memory import RELAXED

__all__ = ["relax", "to_rtlil"]

MODULE = re.compile(r"^module .*?^end$", re.MULTILINE | re.DOTALL)
RELAXED_MEMORY = re.compile(
    rf"^ *attribute \\{re.escape(RELAXED)} 1\n(?: *attribute .*\n)* *memory .* \\(\S+)$",
    re.MULTILINE,
)
READ_PORT = re.compile(r"^ *cell \$memrd_v2 .*?^ *end$", re.MULTILINE | re.DOTALL)
MEMORY_NAME = re.compile(r'parameter \\MEMID "\\\\(.+)"')
COLLISIONS = re.compile(r"(parameter \\COLLISION_X_MASK (\d+)')0+$", re.MULTILINE)


class _ModuleEmitter(rtlil.ModuleEmitter):
    """Leaves out initial contents that are all zero; the memory itself is declared elsewhere."""

    def emit_memory(self, cell_idx, cell) -> None:
        if any(cell.init):
            super().emit_memory(cell_idx, cell)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Nothing is garbage before the end, and to look for it would take a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_uncollected()
def to_rtlil(component: wiring.Component, *, name: str = "top") -> str:
    """The RTLIL text of a component, its ports named as `amaranth.back.rtlil.convert` names them.

    No source locations: the same hardware gives the same text wherever its source lies.

    Parameters
    ----------
    component : wiring.Component
    name : str
        Name of the top module.
    """
    ports = {}
    for path, member, value in component.signature.flatten(component):
        direction = PortDirection.Input if member.flow == In else PortDirection.Output
        signal = value.as_value() if hasattr(value, "as_value") else value
        ports["__".join(map(str, path))] = (signal, direction)
    netlist = build_netlist(Fragment.get(component, None), ports=ports, name=name)
    empty = rtlil.EmptyModuleChecker(netlist)
    design = rtlil.Design(emit_src=False)
    names = SignalDict()
    for index, module in enumerate(netlist.modules):
        if empty.is_empty(index):
            continue
        builder = design.module(".".join(module.name), src_loc=module.src_loc)
        if index == 0:
            builder.attribute("top", 1)
        _ModuleEmitter(builder, netlist, module, names, empty_checker=empty).emit()
    return relax(str(design))


def relax(text: str) -> str:
    """Leaves open, in RTLIL, what relaxed memories read from an address that is being written.

    Ref: Yosys documentation, "Memories", COLLISION_X_MASK.
    """

    def in_module(module: re.Match) -> str:
        relaxed = set(RELAXED_MEMORY.findall(module[0]))

        def in_port(port: re.Match) -> str:
            if MEMORY_NAME.search(port[0])[1] not in relaxed:
                return port[0]
            return COLLISIONS.sub(lambda found: found[1] + "1" * int(found[2]), port[0])

        return READ_PORT.sub(in_port, module[0])

    return MODULE.sub(in_module, text)
