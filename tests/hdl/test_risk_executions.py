# amaranth: UnusedElaboratable=no
"""The strategy is latched off after so many executions."""

import pytest
from simulated import Simulated

from tickgate.hdl.risk.executions import Executions
from tickgate.sim.model.standing import ExecutionModel

EXECUTIONS = Simulated(Executions())


@pytest.mark.parametrize("most", [1, 3])
def test_a_strategy_is_off_after_so_many_executions_until_it_is_enabled_anew(most):
    dut, model = EXECUTIONS.dut, ExecutionModel()

    async def strobe(ctx, name: str) -> None:
        ctx.set(getattr(dut, name), 1)
        await ctx.tick()
        ctx.set(getattr(dut, name), 0)

    async def told(ctx) -> bool:
        await ctx.tick().repeat(Executions.LATENCY)
        model.look()
        assert (ctx.get(dut.passes), ctx.get(dut.latched)) == (model.passes, model.off)
        assert ctx.get(dut.count) == model.count
        return model.passes

    def allow(ctx, limit: int) -> None:
        ctx.set(dut.most, limit)
        model.most = limit

    async def scenario(ctx):
        assert not await told(ctx)
        allow(ctx, most)
        for _ in range(2):
            for n in range(most + 2):
                assert await told(ctx) == (n < most)
                await strobe(ctx, "executed")
                model.execute()
            # More is allowed, which enables nothing.
            allow(ctx, most + 10)
            assert not await told(ctx)
            allow(ctx, most)
            await strobe(ctx, "renew")
            model.renew()
        assert await told(ctx)
        allow(ctx, 0)
        assert not await told(ctx)
        allow(ctx, most)
        assert await told(ctx)

    EXECUTIONS.run(scenario)
