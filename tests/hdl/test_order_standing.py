# amaranth: UnusedElaboratable=no
"""Numbers of orders, and rejects of the venue, against their models and at their limits."""

import pytest
from simulated import Simulated

from tickgate.hdl.order.manager.numbers import Numbers
from tickgate.hdl.order.manager.rejects import Rejects
from tickgate.sim.model.standing import NumberModel, RejectModel

WORD = 0xFFFF_FFFF
NUMBERS, REJECTS = Simulated(Numbers()), Simulated(Rejects())


def test_numbers_follow_one_another_and_none_is_used_twice(generator):
    dut, model = NUMBERS.dut, NumberModel()
    met = set()

    async def scenario(ctx):
        for _ in range(300):
            last = max({0} | model.used)
            if generator.random() < 0.1:
                model.end = min(WORD, last + generator.choice([0, 1, 2, 10, WORD]))
            if generator.random() < 0.1:
                ctx.set(dut.begins, 1)
                model.begin()
            number = (last + generator.choice([1, 1, 1, 2, 0, -1, 9])) & WORD
            ctx.set(dut.next_number, number)
            ctx.set(dut.end_number, model.end)
            await ctx.tick()
            ctx.set(dut.begins, 0)
            await ctx.tick().repeat(Numbers.LATENCY - 1)
            passes, spent = model.passes(number), model.is_spent(number)
            assert (ctx.get(dut.passes), ctx.get(dut.spent)) == (passes, spent)
            met.add((passes, spent))
            if passes or generator.random() < 0.2:
                ctx.set(dut.number, number)
                ctx.set(dut.sends, 1)
                sound = model.send(number)
                assert (ctx.get(dut.counts), ctx.get(dut.reused)) == (sound, not sound)
                await ctx.tick()
                ctx.set(dut.sends, 0)

    NUMBERS.run(scenario)
    assert met == {(True, False), (False, True), (False, False)}


@pytest.mark.parametrize("most", [0, 1, 7, 15])
def test_more_rejects_than_allowed_within_the_window_are_a_storm(most, generator):
    dut, model = REJECTS.dut, RejectModel(most, window=20)

    async def reject(ctx, time: int) -> bool:
        ctx.set(dut.time, time)
        ctx.set(dut.rejects, 1)
        await ctx.tick()
        ctx.set(dut.rejects, 0)
        told = bool(ctx.get(dut.storm))
        await ctx.tick()
        assert not ctx.get(dut.storm)
        return told

    async def forget(ctx) -> None:
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        model.clear()
        while not ctx.get(dut.ready):
            await ctx.tick()

    async def scenario(ctx):
        ctx.set(dut.most, most)
        ctx.set(dut.window, model.window)
        # At the limit: as many as are allowed, and the next one a tick before, in and after the
        # end of the window.
        for late in (-1, 0, 1):
            await forget(ctx)
            for _ in range(most):
                assert not await reject(ctx, 100)
            assert await reject(ctx, 100 + model.window + late) == (late <= 0 or most == 0)
        await forget(ctx)
        time, storms = WORD - 50, 0
        for _ in range(200):
            time += generator.choice([0, 0, 1, 2, 9, 40])
            expected = model.reject(time)
            assert await reject(ctx, time & WORD) == expected
            storms += expected
        assert storms

    REJECTS.run(scenario)
