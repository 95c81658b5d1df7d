"""One bit of many, by its number."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from tickgate.hdl.bits import bit_of, one_hot, with_bit


class Bits(wiring.Component):
    def __init__(self, count: int) -> None:
        self._count = count
        super().__init__(
            {
                "word": In(count),
                "index": In(range(count)),
                "value": In(1),
                "bit": Out(1),
                "mask": Out(count),
                "changed": Out(count),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        mask = one_hot(m, self.index, self._count, name="its")
        m.d.comb += [
            self.bit.eq(bit_of(self.word, self.index)),
            self.mask.eq(mask),
            self.changed.eq(with_bit(self.word, mask, self.value)),
        ]
        return m


@pytest.mark.parametrize("count", [1, 2, 5, 16, 64, 65, 300])
def test_a_bit_is_read_and_changed_and_no_other(count, generator: random.Random):
    dut = Bits(count)

    async def bench(ctx):
        for _ in range(60):
            word, index = generator.getrandbits(count), generator.randrange(count)
            value = generator.getrandbits(1)
            ctx.set(dut.word, word)
            ctx.set(dut.index, index)
            ctx.set(dut.value, value)
            await ctx.delay(1e-9)
            assert ctx.get(dut.bit) == word >> index & 1
            assert ctx.get(dut.mask) == 1 << index
            assert ctx.get(dut.changed) == word & ~(1 << index) | value << index

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()
