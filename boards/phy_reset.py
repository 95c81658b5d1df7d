"""The reset of an Ethernet PHY, as long as its data sheet asks for.

Ref: Microchip KSZ9031RNX data sheet DS00002117, "Reset timing": reset is let go 10 ms after the
supplies are stable, and 100 us later the PHY may be spoken to.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

__all__ = ["PhyReset"]

RESET_US = 10_000
SETTLE_US = 100


class PhyReset(wiring.Component):
    """Holds a PHY in reset for 10 ms, then waits another 100 us, then says that it is ready.

    Begins when the reset of its own domain ends. Once ready, it stays so until that reset.

    Parameters
    ----------
    clock_hz : int
        Of the domain `sync`; at least 10 kHz, so that both times are whole cycles.

    Members
    -------
    reset : Out(1, init=1)
    ready : Out(1)
    """

    reset: Out(1, init=1)
    ready: Out(1)

    def __init__(self, *, clock_hz: int) -> None:
        if clock_hz < 10_000:
            raise ValueError(f"clock_hz must be at least 10000, not {clock_hz}")
        # Rounded up: never shorter than asked for.
        self._released = -(-clock_hz * RESET_US // 1_000_000)
        self._ready = self._released - (-clock_hz * SETTLE_US // 1_000_000)
        super().__init__()

    def elaborate(self, platform) -> Module:
        m = Module()
        cycle = Signal(range(self._ready + 1))
        with m.If(~self.ready):
            m.d.sync += cycle.eq(cycle + 1)
        with m.If(cycle == self._released):
            m.d.sync += self.reset.eq(0)
        with m.If(cycle == self._ready):
            m.d.sync += self.ready.eq(1)
        return m
