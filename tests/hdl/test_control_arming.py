"""Armed, disarmed, killed."""

import pytest
from amaranth.sim import Simulator

from tickgate.hdl.control.arming import KILLED_CODE, NOT_KILLED_CODE, Arming
from tickgate.spec.registers import ARMED_CODE, DISARMED_CODE


def run(scenario) -> None:
    dut = Arming()

    async def drive(ctx):
        async def strobe(*names):
            for name in names:
                ctx.set(getattr(dut, name), 1)
            await ctx.tick()
            for name in names:
                ctx.set(getattr(dut, name), 0)
            return ctx.get(dut.armed), ctx.get(dut.killed)

        await scenario(ctx, dut, strobe)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()


def test_after_reset_the_card_is_disarmed_and_cannot_be_armed_unprepared():
    async def scenario(ctx, dut, strobe):
        assert (ctx.get(dut.armed), ctx.get(dut.killed)) == (0, 0)
        assert await strobe("arm") == (0, 0)
        ctx.set(dut.prepared, 1)
        assert await strobe("arm") == (1, 0)
        assert await strobe() == (1, 0)

    run(scenario)


def test_a_disarm_wins_over_an_arm_and_a_kill_over_all():
    async def scenario(ctx, dut, strobe):
        ctx.set(dut.prepared, 1)
        assert await strobe("arm", "disarm") == (0, 0)
        assert await strobe("arm", "kill", "clear_kill") == (0, 1)
        assert await strobe("arm") == (0, 1)
        assert await strobe("arm", "clear_kill") == (0, 0)
        assert await strobe("arm") == (1, 0)
        assert await strobe("kill", "clear_kill") == (0, 1)
        assert await strobe("clear_kill") == (0, 0)
        assert await strobe() == (0, 0)

    run(scenario)


@pytest.mark.parametrize("bit", range(8))
def test_one_flipped_bit_of_either_code_stops_orders_and_is_not_forgotten(bit):
    async def scenario(ctx, dut, strobe):
        ctx.set(dut.prepared, 1)
        assert await strobe("arm") == (1, 0)
        ctx.set(dut.killed_code, NOT_KILLED_CODE ^ 1 << bit)
        assert (ctx.get(dut.armed), ctx.get(dut.killed), ctx.get(dut.armable)) == (0, 1, 0)
        assert ctx.get(dut.corrupt)
        assert await strobe() == (0, 1)
        assert await strobe("clear_kill") == (0, 0)
        assert await strobe("arm") == (1, 0)
        assert not ctx.get(dut.corrupt)
        ctx.set(dut.armed_code, ARMED_CODE ^ 1 << bit)
        assert (ctx.get(dut.armed), ctx.get(dut.corrupt)) == (0, 1)

    run(scenario)


@pytest.mark.parametrize("codes", [(ARMED_CODE, DISARMED_CODE), (NOT_KILLED_CODE, KILLED_CODE)])
def test_all_bits_must_flip_to_turn_one_code_into_the_other(codes):
    assert codes[0] ^ codes[1] == 0xFF
