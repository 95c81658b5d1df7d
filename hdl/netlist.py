"""Converts a component to RTLIL without spelling out the zeros of its memories.

Every memory of the card sweeps itself clear after reset, so that its initial content is of no
consequence. Written out bit by bit (`$meminit_v2`) it would take Amaranth 16 s and 1.6 GB for
13 Mbit, Yosys minutes, and keep the memory out of UltraRAM, which has no initial value.
"""

from amaranth.back import rtlil
from amaranth.hdl import Fragment
from amaranth.hdl._ast import SignalDict
from amaranth.hdl._ir import PortDirection, build_netlist
from amaranth.lib import wiring
from amaranth.lib.wiring import In

__all__ = ["to_rtlil"]


class _ModuleEmitter(rtlil.ModuleEmitter):
    """Leaves out initial contents that are all zero; the memory itself is declared elsewhere."""

    def emit_memory(self, cell_idx, cell) -> None:
        if any(cell.init):
            super().emit_memory(cell_idx, cell)


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
    return str(design)
