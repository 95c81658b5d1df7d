# amaranth: UnusedElaboratable=no

"""The next hop: whom the card asks for its address, how often, and what it takes for an answer."""

import pytest
from simulated import Simulated

from tickgate.hdl.order.hop import NextHop
from tickgate.hdl.order.tcp.types import Outcome

MAC, OTHER_MAC = 0x02_00_00_00_00_77, 0x02_00_00_00_00_66
HOP, OTHER = 0xC0_00_02_4D, 0xC0_00_02_4E
INTERVAL, TRIES = 3, 2
TICK = 4
"""Cycles."""


class Bench:
    """A next hop whose questions are made at once, and what it has said and counted."""

    def __init__(self, ctx, dut) -> None:
        self._ctx, self._dut, self.cycle = ctx, dut, 0
        self.asked, self.opened, self.counts = [], [], dict.fromkeys(NextHop.COUNTERS, 0)
        for name, value in {"ip": HOP, "interval": INTERVAL, "tries": TRIES, "idle": 1}.items():
            ctx.set(getattr(dut, name), value)

    def get(self, name):
        return self._ctx.get(getattr(self._dut, name))

    async def tick(self, **values):
        """A cycle with these inputs, the strobes among them for it alone."""
        ctx, dut = self._ctx, self._dut
        for name, value in values.items():
            ctx.set(getattr(dut, name), value)
        ctx.set(dut.tick, self.cycle % TICK == TICK - 1)
        ctx.set(dut.made, ctx.get(dut.wanted))
        for name in self.counts:
            self.counts[name] += ctx.get(getattr(dut, name))
        if ctx.get(dut.made):
            self.asked.append(self.cycle)
        if ctx.get(dut.opens):
            self.opened.append(ctx.get(dut.mac))
        await ctx.tick()
        self.cycle += 1
        for name in ("connect", "stop", "answered"):
            ctx.set(getattr(dut, name), 0)

    async def answer(self, ip, mac):
        await self.tick(answered=1, answer_ip=ip, answer_mac=mac)

    async def wait(self, cycles):
        for _ in range(cycles):
            await self.tick()


@pytest.fixture(scope="module")
def built():
    return Simulated(NextHop())


@pytest.fixture
def play(built):
    def run(scenario):
        async def drive(ctx):
            await scenario(Bench(ctx, built.dut))

        built.run(drive)

    return run


def test_a_configured_address_opens_at_once_and_asks_nobody(play):
    async def scenario(bench):
        await bench.tick(configured=MAC)
        await bench.tick(connect=1)
        assert bench.opened == [MAC]
        await bench.answer(HOP, OTHER_MAC)
        await bench.wait(4 * TICK * INTERVAL)
        assert bench.opened == [MAC] and bench.get("mac") == MAC and not bench.get("asking")
        assert not any(bench.counts.values())

    play(scenario)


def test_only_an_answer_of_the_hop_opens(play):
    async def scenario(bench):
        await bench.answer(HOP, OTHER_MAC)  # before anything was asked
        await bench.tick(connect=1)
        assert bench.get("asking") and not bench.opened
        await bench.answer(OTHER, OTHER_MAC)
        await bench.answer(HOP, 0)
        await bench.wait(3)
        assert bench.get("asking") and not bench.opened
        await bench.answer(HOP, MAC)
        await bench.answer(HOP, OTHER_MAC)  # a second one comes too late
        await bench.wait(3)
        assert bench.opened == [MAC] and not bench.get("asking")
        assert bench.counts == {"hop_questions": 1, "hop_answers": 1, "hop_unresolved": 0}
        assert bench.get("outcome") == Outcome.NONE
        # Each connection asks anew.
        await bench.tick(connect=1)
        await bench.answer(HOP, OTHER_MAC)
        await bench.wait(NextHop.LATENCY)
        assert bench.opened == [MAC, OTHER_MAC]

    play(scenario)


def test_the_address_does_not_change_under_a_frame(play):
    async def scenario(bench):
        await bench.tick(connect=1, idle=0)
        await bench.answer(HOP, MAC)
        await bench.wait(40)
        assert bench.get("asking") and not bench.opened and bench.get("mac") == 0
        await bench.tick(idle=1)
        await bench.wait(NextHop.LATENCY)
        assert bench.opened == [MAC]

    play(scenario)


def test_without_an_answer_it_is_tried_so_often_and_then_told(play):
    async def scenario(bench):
        await bench.tick(connect=1)
        begun = bench.cycle
        while bench.get("asking"):
            await bench.tick()
        assert len(bench.asked) == 1 + TRIES
        gaps = [b - a for a, b in zip(bench.asked, [*bench.asked[1:], bench.cycle], strict=True)]
        assert gaps[1:] == [TICK * INTERVAL] * TRIES and gaps[0] <= TICK * INTERVAL
        assert bench.cycle - begun <= (1 + TRIES) * TICK * INTERVAL
        assert bench.get("outcome") == Outcome.UNRESOLVED
        await bench.answer(HOP, MAC)
        await bench.wait(5)
        assert not bench.opened
        assert bench.counts == {"hop_questions": 3, "hop_answers": 0, "hop_unresolved": 1}
        # An answer to a later question is as good as one to the first.
        await bench.tick(connect=1)
        assert bench.get("outcome") == Outcome.NONE
        await bench.wait((1 + TRIES) * TICK * INTERVAL - 2 * TICK)
        await bench.answer(HOP, MAC)
        await bench.wait(NextHop.LATENCY)
        assert bench.opened == [MAC]

    play(scenario)


def test_without_a_hop_there_is_no_way(play):
    async def scenario(bench):
        await bench.tick(connect=1, ip=0)
        assert bench.get("outcome") == Outcome.UNRESOLVED and not bench.get("asking")
        assert bench.counts == {"hop_questions": 0, "hop_answers": 0, "hop_unresolved": 1}

    play(scenario)


def test_who_stops_it_is_not_connected_later(play):
    async def scenario(bench):
        await bench.tick(connect=1)
        await bench.wait(2)
        await bench.tick(stop=1)
        assert not bench.get("asking") and bench.get("outcome") == Outcome.ABORTED
        await bench.answer(HOP, MAC)
        await bench.wait(5)
        assert not bench.opened and not bench.counts["hop_unresolved"]

    play(scenario)
