"""Counters that collect, and one memory of totals: nothing may be missing from a reading."""

from functools import cache

import pytest
from amaranth.hdl import Cat
from simulated import Simulated

from tickgate.hdl.control.bus import BusSignature
from tickgate.hdl.control.counters import CounterBank
from tickgate.spec.registers import REGISTERS, Kind

COUNTERS = [register for register in REGISTERS if register.kind is Kind.COUNTER]
LOWS = [sum(register.amount for register in COUNTERS[:n]) for n in range(len(COUNTERS))]


@cache
def build() -> Simulated:
    return Simulated(CounterBank(), swept=False)


def run(scenario) -> None:
    simulated = build()
    simulated.run(lambda ctx: scenario(ctx, simulated.dut))


def count(ctx, dut, amounts: dict) -> None:
    """Sets the amount of every counter: all at once, which takes the simulator one step."""
    ctx.set(
        Cat(getattr(dut.count, register.name) for register in COUNTERS),
        sum(amounts[r] << low for r, low in zip(COUNTERS, LOWS, strict=True)),
    )


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
            count(ctx, dut, amounts)
            # What is counted in this cycle is not in yet.
            on_their_way.append(amounts)
            while len(on_their_way) > CounterBank.LATENCY:
                for register, amount in on_their_way.pop(0).items():
                    totals[register] = totals[register] + amount & 0xFFFF_FFFF
            if cycle % every or cycle < 2 * len(COUNTERS):
                await ctx.tick()
                continue
            register = generator.choice(COUNTERS)
            assert await ask(ctx, dut, register.address) == totals[register], register.name
            on_their_way += [amounts] * (CounterBank.READ_LATENCY - 1)

    run(scenario)


def test_where_there_is_no_counter_there_is_nothing(generator):
    async def scenario(ctx, dut):
        count(ctx, dut, dict.fromkeys(COUNTERS, 1))
        await ctx.tick().repeat(3 * len(COUNTERS))
        assert await ask(ctx, dut, COUNTERS[0].address) > len(COUNTERS)
        taken = {register.address for register in REGISTERS}
        for address in generator.sample(range(1 << 16), 50):
            if address not in taken:
                assert await ask(ctx, dut, address) == 0

    run(scenario)
