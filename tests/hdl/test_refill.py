"""Lists that are short, all at a time: each has its answer, however long nobody takes any."""

import pytest
from amaranth.sim import Simulator

from tickgate.hdl.book.refill import Refill
from tickgate.hdl.book.types import Geometry
from tickgate.hdl.stream import Side

GEOMETRY = Geometry(symbols=5, ticks=16, orders=32)
LATENCY = 3
LISTS = [(symbol, side) for symbol in range(GEOMETRY.symbols) for side in Side]


def answers(*, busy, deaf, grows=()):
    """What is told of each list after one event for each of them, as (after, symbol, side).

    For so many cycles the ladder takes no request (`busy`), and then nobody an answer (`deaf`).
    Meanwhile the lists at these places grow without help, and are not short any more.
    """
    dut, told = Refill(geometry=GEOMETRY, latency=LATENCY), []

    async def bench(ctx):
        async def cycle():
            taken = ctx.get(dut.found_valid) and ctx.get(dut.found_taken)
            if taken and not ctx.get(dut.found.void):
                request = dut.found.request
                told.append(tuple(map(ctx.get, (request.after, request.symbol, request.side))))
            await ctx.tick()

        async def event(place, *, short):
            symbol, side = LISTS[place]
            ctx.set(dut.event.valid, 1)
            ctx.set(dut.event.symbol, symbol)
            ctx.set(dut.event.side, side)
            ctx.set(dut.event.grew, not short)
            ctx.set(dut.event.short, short)
            ctx.set(dut.event.live, 1)
            ctx.set(dut.event.keys[0], place)
            await cycle()
            ctx.set(dut.event.valid, 0)

        ctx.set(dut.level.present, 1)
        ctx.set(dut.level.key, GEOMETRY.ticks - 1)
        ctx.set(dut.ask_taken, not busy)
        for place in range(len(LISTS)):
            await event(place, short=True)
        for _ in range(busy):
            await cycle()
        ctx.set(dut.ask_taken, 1)
        for _ in range(deaf):
            await cycle()
        for place in grows:
            await event(place, short=False)
        ctx.set(dut.found_taken, 1)
        for _ in range(8 * len(LISTS)):
            await cycle()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return told


@pytest.mark.parametrize(("busy", "deaf"), [(0, 0), (0, 40), (40, 0), (40, 40)])
def test_each_list_has_its_answer_once(busy, deaf):
    every = [(place, symbol, side) for place, (symbol, side) in enumerate(LISTS)]
    assert sorted(answers(busy=busy, deaf=deaf)) == every


def test_what_is_not_short_any_more_is_not_told():
    grows = (0, 3, 9)
    rest = [place for place in range(len(LISTS)) if place not in grows]
    assert sorted(after for after, _, _ in answers(busy=40, deaf=40, grows=grows)) == rest
