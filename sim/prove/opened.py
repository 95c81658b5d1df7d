"""Looks into parts under proof: memories get a read port more, for the harness.

Amaranth elaborates a part when all is put together; here it is done before, so that what is inside
can be reached. A memory is named by its place among the submodules, as in `m.submodules.totals`.
"""

from amaranth.hdl import Module, Value
from amaranth.lib import wiring

from tickgate.hdl.memory import Checked

__all__ = ["emptied", "inside", "opened", "read", "read_whole"]


def opened(m: Module, name: str, part: wiring.Component) -> Module:
    """Adds `part` to `m` as its submodule `name` and returns what is inside."""
    m.submodules[name] = part
    return _elaborated(part)


def inside(whole: Module, name: str) -> Module:
    """What is inside of the submodule `name` of an opened part."""
    part = getattr(whole.submodules, name)
    # A part whose reset is inserted is a wrapper around it.
    return _elaborated(getattr(part, "_elaboratable_", part))


def read(m: Module, whole: Module, name: str, address: Value) -> Value:
    """What the memory `name` of an opened part holds at `address` in this cycle."""
    data = read_whole(m, whole, name, address)
    return data.word if isinstance(data.shape(), Checked) else data


def read_whole(m: Module, whole: Module, name: str, address: Value) -> Value:
    """The same with its parity, if it is a checked memory."""
    port = inside(whole, name).submodules.ram.read_port(domain="comb")
    m.d.comb += port.addr.eq(address)
    return port.data


def _elaborated(part: wiring.Component) -> Module:
    made = part.elaborate(None)
    part.elaborate = lambda _platform: made
    return made


def emptied(part: wiring.Component) -> None:
    """Takes out what is inside of `part`: what its outputs are is then for the harness to say."""
    part.elaborate = lambda _platform: Module()
