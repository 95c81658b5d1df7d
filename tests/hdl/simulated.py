"""Components built once and simulated as often as tests ask, for building takes about a second."""

import re
from contextlib import ExitStack
from unittest import mock

from amaranth.sim import Simulator
from amaranth.sim._pyrtl import _PythonEmitter

from tickgate.hdl.memory import Sweep

__all__ = ["Simulated"]

STORE = re.compile(r"(slots\[\d+\])\.update\((next_\d+), -?\d+\)")
append = _PythonEmitter.append


def append_store(emitter, code: str) -> None:
    """Lets the simulator store a signal only if it changes, for few do in a cycle."""
    store = STORE.fullmatch(code)
    append(emitter, f"if {store[1]}.next != {store[2]}: {code}" if store else code)


class Simulated:
    """A component in the simulator, for one scenario after another, each of them from reset.

    Reset takes every register, every input and every memory back to where it began, so a scenario
    sees nothing of the one before it, not even of one that failed.

    Parameters
    ----------
    dut : wiring.Component
    period : float
        Seconds a clock cycle.
    swept : bool
        Memories are taken to be swept: they begin clear, and are ready in the first cycle.
    """

    def __init__(self, dut, *, period: float = 1e-8, swept: bool = True) -> None:
        self.dut = dut
        self._scenario = self._background = None
        self._ran = False
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(_PythonEmitter, "append", append_store))
            if swept:
                stack.enter_context(mock.patch.object(Sweep, "SWEPT", True))
            self._simulator = Simulator(dut)
        self._simulator.add_clock(period)
        self._simulator.add_testbench(self._drive)
        self._simulator.add_testbench(self._observe, background=True)

    def run(self, scenario, *, background=None) -> None:
        """Runs the testbench `scenario(ctx)` to its end, and beside it `background(ctx)`."""
        self._scenario, self._background = scenario, background
        if self._ran:
            self._simulator.reset()
        self._ran = True
        self._simulator.run()

    async def _drive(self, ctx) -> None:
        await self._scenario(ctx)

    async def _observe(self, ctx) -> None:
        if self._background is not None:
            await self._background(ctx)
