"""Looks into parts under proof: memories get a read port more, for the harness.

Amaranth elaborates a part when all is put together; here it is done before, so that what is inside
can be reached. A memory is named by its place among the submodules, as in `m.submodules.totals`.
"""

from amaranth.hdl import Module, Value
from amaranth.lib import wiring

__all__ = ["opened", "read"]


def opened(m: Module, name: str, part: wiring.Component) -> Module:
    """Adds `part` to `m` as its submodule `name` and returns what is inside."""
    m.submodules[name] = part
    return _inside(part)


def read(m: Module, inside: Module, name: str, address: Value) -> Value:
    """What the memory `name` holds at `address` in this cycle; `inside` is an opened part."""
    port = _inside(getattr(inside.submodules, name)).submodules.ram.read_port(domain="comb")
    m.d.comb += port.addr.eq(address)
    return port.data


def _inside(part: wiring.Component) -> Module:
    inside = part.elaborate(None)
    part.elaborate = lambda _platform: inside
    return inside
