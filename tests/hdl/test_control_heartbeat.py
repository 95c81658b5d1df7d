# amaranth: UnusedElaboratable=no
"""The host shows that it is alive, or is told to be silent."""

import pytest
from simulated import Simulated

from tickgate.hdl.control.heartbeat import Heartbeat
from tickgate.sim.model.standing import HeartbeatModel

WORD = 0xFFFF_FFFF
HEARTBEAT = Simulated(Heartbeat())
KNOWN = 2
"""Cycles from a change to what is told of it."""


class Bench:
    """A heartbeat beside its model."""

    def __init__(self, ctx) -> None:
        self.ctx, self.dut, self.model = ctx, HEARTBEAT.dut, HeartbeatModel()

    def configure(self, timeout_ms: int, *, off: bool = False) -> None:
        self.ctx.set(self.dut.timeout, timeout_ms)
        self.ctx.set(self.dut.off, off)
        self.model.timeout_ms, self.model.off = timeout_ms, off

    async def arm(self, armed: bool) -> None:
        self.ctx.set(self.dut.armed, armed)
        self.model.arm(armed)
        await self.ctx.tick()

    async def pass_time(self, microseconds: int) -> None:
        self.ctx.set(self.dut.microsecond, 1)
        await self.ctx.tick().repeat(microseconds)
        self.ctx.set(self.dut.microsecond, 0)
        self.model.pass_time(microseconds)

    async def answer(self, word: int) -> bool:
        ctx, dut = self.ctx, self.dut
        right = self.model.answer(ctx.get(dut.challenge), word)
        ctx.set(dut.answer.payload, word)
        ctx.set(dut.answer.valid, 1)
        assert (ctx.get(dut.right), ctx.get(dut.wrong)) == (right, not right)
        await ctx.tick()
        ctx.set(dut.answer.valid, 0)
        return right

    async def told(self) -> tuple[bool, bool]:
        await self.ctx.tick().repeat(KNOWN)
        told = bool(self.ctx.get(self.dut.passes)), bool(self.ctx.get(self.dut.silent))
        assert told == (self.model.passes, self.model.is_silent)
        return told


@pytest.mark.parametrize("timeout", [1, 3])
def test_a_host_that_is_silent_for_longer_than_it_may_be_is_told(timeout):
    async def scenario(ctx):
        bench = Bench(ctx)
        bench.configure(timeout)
        await bench.arm(False)
        await bench.pass_time(5000)
        assert await bench.told() == (True, False)
        for _ in range(2):
            await bench.arm(True)
            await bench.pass_time(1000 * (timeout + 1) - 1)
            assert await bench.told() == (True, False)
            await bench.pass_time(1)
            assert await bench.told() == (False, True)
            await bench.arm(False)
            assert await bench.told() == (True, False)

    HEARTBEAT.run(scenario)


def test_only_the_answer_to_the_last_challenge_counts(generator):
    async def scenario(ctx):
        bench = Bench(ctx)
        bench.configure(1)
        await bench.arm(True)
        met, seen = set(), set()
        for _ in range(40):
            challenge = ctx.get(bench.dut.challenge)
            seen.add(challenge)
            flipped = 1 << generator.randrange(32)
            words = [~challenge & WORD, challenge, ~challenge & WORD ^ flipped, 0]
            await bench.pass_time(generator.choice([1, 900, 1100]))
            right = await bench.answer(generator.choice(words[:1] * 3 + words))
            assert (ctx.get(bench.dut.challenge) != challenge) == right
            met.add((right, await bench.told()))
        assert len(met) == 3 and (True, (False, True)) not in met
        assert len(seen) > 10

    HEARTBEAT.run(scenario)


def test_without_a_timeout_nothing_passes_unless_the_host_is_not_asked():
    async def scenario(ctx):
        bench = Bench(ctx)
        bench.configure(0)
        await bench.arm(True)
        assert await bench.told() == (False, False)
        await bench.pass_time(3000)
        assert await bench.told() == (False, False)
        bench.configure(0, off=True)
        assert await bench.told() == (True, False)
        bench.configure(1, off=True)
        assert await bench.told() == (True, False)

    HEARTBEAT.run(scenario)
