# amaranth: UnusedElaboratable=no
"""The time in nanoseconds."""

import pytest
from amaranth.sim import Simulator

from tickgate.hdl.control.time import Microsecond, NanosecondTime


@pytest.mark.parametrize("period", [1, 999, 1000, 3200, 6400, 8000, 6401, 10_999])
def test_the_time_is_exact_after_any_number_of_cycles(period):
    dut = NanosecondTime(clock_period_ps=period)
    start = (1 << 64) - 100

    async def drive(ctx):
        for cycles in range(1100):
            assert ctx.get(dut.now) == cycles * period // 1000
            await ctx.tick()
        ctx.set(dut.set, 1)
        ctx.set(dut.start, start)
        await ctx.tick()
        ctx.set(dut.set, 0)
        for cycles in range(1100):
            assert ctx.get(dut.now) == (start + cycles * period // 1000) % (1 << 64)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()


@pytest.mark.parametrize("period", [999_999, 1_000_000, 400_000, 8_000, 6_401])
def test_a_microsecond_is_told_once_for_each_that_has_passed(period):
    dut = Microsecond(clock_period_ps=period)

    async def drive(ctx):
        told = 0
        for cycles in range(1100):
            told += ctx.get(dut.strobe)
            assert told == cycles * period // 1_000_000
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()


@pytest.mark.parametrize("period", [0, -1, 1 << 32])
def test_a_clock_period_out_of_range_is_refused(period):
    with pytest.raises(ValueError, match="clock_period_ps must be"):
        NanosecondTime(clock_period_ps=period)
    if period < 1:
        with pytest.raises(ValueError, match="clock_period_ps must be"):
            Microsecond(clock_period_ps=period)
