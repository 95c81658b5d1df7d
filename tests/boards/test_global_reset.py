"""The reset of the core, with a wire in place of the device's global buffer."""

from amaranth.hdl import ClockDomain, Module, Signal
from amaranth.sim import Simulator

from tickgate.boards import global_reset
from tickgate.boards.global_reset import GlobalReset


def wire(kind, *, i_CLKI, i_CE, o_CLKO):  # noqa: N803 - the cell's own names
    assert kind == "DCCA"
    m = Module()
    m.d.comb += o_CLKO.eq(i_CLKI & i_CE)
    return m


def test_registers_are_held_while_it_is_asserted_and_two_cycles_more(monkeypatch):
    monkeypatch.setattr(global_reset, "Instance", wire)
    asserted, cycles = Signal(init=1), Signal(8)
    m = Module()
    m.domains.sync = ClockDomain()
    m.submodules.reset = GlobalReset(asserted=asserted)
    m.d.sync += cycles.eq(cycles + 1)

    async def drive(ctx):
        for _ in range(2):
            ctx.set(asserted, 1)
            await ctx.delay(5e-6)
            assert ctx.get(cycles) == 0
            ctx.set(asserted, 0)
            await ctx.delay(2e-6)
            assert ctx.get(cycles) == 0
            await ctx.delay(7e-6)
            assert ctx.get(cycles) == 7

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
