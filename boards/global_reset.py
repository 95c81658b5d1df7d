"""A reset on a clock's wires.

Ref: Lattice FPGA-TN-02200, "Dynamic Clock Control".
"""

from amaranth.hdl import Elaboratable, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib.cdc import AsyncFFSynchronizer

__all__ = ["GlobalReset"]


class GlobalReset(Elaboratable):
    """Resets the domain `sync` of the parent as long as `asserted`, and two cycles more.

    nextpnr makes clocks global by itself, and of resets only those that it is told to. In general
    routing, the 10,000 registers of the core would take their share of every tile's wires.

    Parameters
    ----------
    asserted : Value
        Of any clock.
    """

    def __init__(self, *, asserted: Value) -> None:
        self._asserted = asserted

    def elaborate(self, platform) -> Module:
        m = Module()
        reset = Signal()
        m.submodules.synchronizer = AsyncFFSynchronizer(self._asserted, reset, o_domain="sync")
        m.submodules.buffer = Instance("DCCA", i_CLKI=reset, i_CE=1, o_CLKO=ResetSignal("sync"))
        return m
