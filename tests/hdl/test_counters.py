"""Counters that collect, and one memory of totals: nothing may be missing from a reading."""

import pytest
from amaranth.sim import Simulator

from tickgate.hdl.control.bus import BusSignature
from tickgate.hdl.control.counters import CounterBank
from tickgate.spec.registers import REGISTERS, Kind

COUNTERS = [register for register in REGISTERS if register.kind is Kind.COUNTER]


def run(scenario) -> None:
    dut = CounterBank()
    simulator = Simulator(dut)
    simulator.add_clock(8e-9)

    async def testbench(ctx):
        await scenario(ctx, dut)

    simulator.add_testbench(testbench)
    simulator.run()


async def ask(ctx, dut, address: int) -> int:
    ctx.set(dut.access.address, address)
    ctx.set(dut.valid, 1)
    await ctx.tick().repeat(CounterBank.READ_LATENCY)
    ctx.set(dut.valid, 0)
    return ctx.get(dut.value)


@pytest.mark.parametrize("every", [BusSignature.LATENCY, 50])
def test_a_reading_has_all_that_was_counted_before_it(generator, every):
    """From reset on, with all of them counting as much as they can for long."""

    async def scenario(ctx, dut):
        totals, on_their_way = dict.fromkeys(COUNTERS, 0), []
        for cycle in range(1500):
            amounts = {}
            for register in COUNTERS:
                most = 2**register.amount - 1
                amounts[register] = most if cycle < 600 else generator.choice((0, most))
                ctx.set(getattr(dut.count, register.name), amounts[register])
            # What is counted in this cycle and in the one before is not in yet.
            on_their_way.append(amounts)
            if len(on_their_way) > CounterBank.LATENCY:
                for register, amount in on_their_way.pop(0).items():
                    totals[register] = totals[register] + amount & 0xFFFF_FFFF
            if cycle % every or cycle < 2 * len(COUNTERS):
                await ctx.tick()
                continue
            register = generator.choice(COUNTERS)
            assert await ask(ctx, dut, register.address) == totals[register], register.name

    run(scenario)


def test_where_there_is_no_counter_there_is_nothing(generator):
    async def scenario(ctx, dut):
        for register in COUNTERS:
            ctx.set(getattr(dut.count, register.name), 1)
        await ctx.tick().repeat(3 * len(COUNTERS))
        assert await ask(ctx, dut, COUNTERS[0].address) > len(COUNTERS)
        taken = {register.address for register in REGISTERS}
        for address in generator.sample(range(1 << 16), 50):
            if address not in taken:
                assert await ask(ctx, dut, address) == 0

    run(scenario)
