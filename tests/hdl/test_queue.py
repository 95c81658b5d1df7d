# amaranth: UnusedElaboratable=no
"""The queue of the book, entry by entry beside a list."""

import random

import pytest
from amaranth.sim import Simulator

from tickgate.hdl.book.queue import Queue


@pytest.mark.parametrize("depth", [3, 8])
def test_what_goes_in_comes_out_in_order_and_as_much_as_fits(depth):
    dut = Queue(width=16, depth=depth)
    rng = random.Random(depth)
    held, fullest = [], 0

    async def drive(ctx):
        nonlocal fullest
        for cycle in range(2000):
            busy = 0.8 if (cycle // 100) % 2 else 0.3
            enters, leaves, entry = rng.random() < busy, rng.random() > busy, rng.getrandbits(16)
            assert ctx.get(dut.level) == len(held)
            assert ctx.get(dut.waits) == bool(held)
            fullest = max(fullest, len(held))
            ctx.set(dut.w_en, enters)
            ctx.set(dut.w_data, entry)
            ctx.set(dut.r_en, leaves)
            if ctx.get(dut.r_rdy):
                assert ctx.get(dut.r_data) == held[0]
                if leaves:
                    held.pop(0)
            if enters and ctx.get(dut.w_rdy):
                held.append(entry)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    assert fullest == depth


def test_a_queue_too_short_for_its_register_is_refused():
    with pytest.raises(ValueError, match="at least 3, not 2"):
        Queue(width=1, depth=2)
