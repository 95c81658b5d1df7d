# amaranth: UnusedElaboratable=no
"""The queue of events: order, numbers, losses, acknowledgement."""

import pytest
from amaranth.sim import Simulator

from tickgate.hdl.control.events import MAX_SOURCES, EventQueue, HeadSignature
from tickgate.spec import events

SYMBOLS = 5


class Queue:
    """The ports of a queue as a test uses them."""

    def __init__(self, ctx, dut):
        self.ctx, self.dut = ctx, dut

    async def report(self, reports: dict[int, int]) -> int:
        """For one cycle source n reports an event of detail `reports[n]`; returns the losses."""
        for n, source in enumerate(self.dut.sources):
            self.ctx.set(source.valid, n in reports)
            self.ctx.set(source.payload, {"kind": 6, "detail": reports.get(n, 0)})
        lost = self.ctx.get(self.dut.lost)
        self.ctx.set(self.dut.time, self.ctx.get(self.dut.time) + 10)
        await self.ctx.tick()
        return lost

    async def settle(self) -> int:
        return sum([await self.report({}) for _ in range(8)])

    def look(self) -> dict | None:
        if not self.ctx.get(self.dut.head.present):
            return None
        words = []
        for n in range(events.RECORD_WORDS):
            self.ctx.set(self.dut.head.index, n)
            words.append(self.ctx.get(self.dut.head.word))
        return events.unpack(words)

    async def strobe(self, **inputs) -> None:
        for name, value in inputs.items():
            self.ctx.set(getattr(self.dut.head, name), value)
        await self.ctx.tick()
        for name in inputs:
            self.ctx.set(getattr(self.dut.head, name), 0)

    async def acknowledge(self, number: int) -> None:
        await self.strobe(acknowledge=1, acknowledged=number)
        await self.ctx.tick().repeat(HeadSignature.SETTLING - 1)

    async def drain(self) -> list[dict]:
        records = []
        while record := self.look():
            records.append(record)
            await self.strobe(delivered=1)
            await self.acknowledge(record["sequence"] + 1)
        return records


def run(scenario, *, sources=3, depth=8) -> None:
    dut = EventQueue(symbols=SYMBOLS, sources=sources, depth=depth)

    async def drive(ctx):
        await scenario(Queue(ctx, dut))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()


def test_reports_and_verdicts_at_their_full_rates_and_a_loss_of_the_feed_lose_no_event():
    async def scenario(queue):
        lost = 0
        for cycle in range(36):
            reports = {n: cycle for n, every in ((0, 3), (1, 2), (2, 7)) if cycle % every == 0}
            lost += await queue.report(reports)
        assert lost + await queue.settle() == 0
        assert len(await queue.drain()) == 12 + 18 + 6

    run(scenario, depth=64)


def test_sources_that_report_in_the_same_cycle_are_all_kept_the_lower_first():
    async def scenario(queue):
        assert await queue.report({0: 10, 1: 11, 2: 12}) == 0
        assert await queue.report({0: 20}) == 0
        assert await queue.settle() == 0
        records = await queue.drain()
        assert [(r["sequence"], r["detail"], r["time"]) for r in records] == [
            (0, 10, 10),
            (1, 20, 20),
            (2, 11, 10),
            (3, 12, 10),
        ]

    run(scenario)


def test_a_source_reports_an_event_in_every_cycle():
    async def scenario(queue):
        for n in range(8):
            assert await queue.report({0: n}) == 0
        assert await queue.settle() == 0
        assert [record["detail"] for record in await queue.drain()] == list(range(8))

    run(scenario)


def test_an_event_whose_source_still_waits_with_one_is_lost_and_leaves_a_hole():
    async def scenario(queue):
        lost = [await queue.report({0: n, 1: 100 + n}) for n in range(3)]
        lost.append(await queue.settle())
        assert sum(lost) == 2
        records = await queue.drain()
        assert [record["detail"] for record in records] == [0, 1, 2, 100]
        numbers = [record["sequence"] for record in records]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == 5

    run(scenario)


def test_every_event_is_kept_or_counted_and_numbers_show_how_many_are_missing(generator):
    async def scenario(queue):
        reported = lost = 0
        kept = []
        for _ in range(30):
            for _ in range(generator.randrange(20)):
                chosen = {n: 1 for n in range(3) if generator.random() < 0.4}
                reported += len(chosen)
                lost += await queue.report(chosen)
            lost += await queue.settle()
            kept += await queue.drain()
        await queue.report({0: 1})
        await queue.settle()
        (last,) = await queue.drain()
        assert lost > 0
        assert len(kept) + lost == reported
        assert last["sequence"] == reported
        numbers = [record["sequence"] for record in kept]
        assert numbers == sorted(set(numbers))

    run(scenario)


def test_only_the_number_after_a_delivered_event_removes_it():
    async def scenario(queue):
        await queue.report({0: 5})
        await queue.report({0: 6})
        await queue.settle()
        await queue.acknowledge(1)
        assert queue.look()["detail"] == 5, "it has not been delivered"
        await queue.strobe(delivered=1)
        for wrong in (0, 2, 0xFFFF_FFFF):
            await queue.acknowledge(wrong)
            assert queue.look()["detail"] == 5
        await queue.acknowledge(1)
        assert queue.look()["detail"] == 6
        await queue.acknowledge(1)
        await queue.acknowledge(2)
        assert queue.look()["detail"] == 6
        await queue.strobe(delivered=1)
        await queue.acknowledge(2)
        assert queue.look() is None
        await queue.strobe(delivered=1)
        await queue.acknowledge(3)
        await queue.report({0: 7})
        await queue.settle()
        assert queue.look()["detail"] == 7

    run(scenario)


def test_room_and_pending_follow_the_queue():
    async def scenario(queue):
        ctx, dut = queue.ctx, queue.dut
        await queue.settle()
        for n in range(40):
            assert ctx.get(dut.pending) == n
            assert ctx.get(dut.room) == (n <= 40 - 16)
            await queue.report({0: n})
            await queue.settle()
        assert (ctx.get(dut.pending), ctx.get(dut.room)) == (40, 0)
        await queue.drain()
        assert (ctx.get(dut.pending), ctx.get(dut.room)) == (0, 1)

    run(scenario, depth=40)


@pytest.mark.parametrize(
    "wrong", [{"sources": 0}, {"sources": MAX_SOURCES + 1}, {"depth": 1}], ids=str
)
def test_a_queue_of_impossible_size_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        EventQueue(**{"symbols": SYMBOLS, "sources": 1, "depth": 2} | wrong)
