"""When the book of a symbol is not what a recovery or re-centring needs it to be."""

import pytest
from amaranth.sim import Simulator

from tickgate.hdl.book.recovery import Recovery
from tickgate.hdl.book.types import Geometry
from tickgate.spec.registers import RecoveryCause, RecoveryPhase

GEOMETRY = Geometry(symbols=2, ticks=16, orders=32)
ATTEMPTS = 16
INJECTION = 4
"""Cycles that one takes."""


def ends(monkeypatch, command, *, empties_after, what):
    """Phase and cause after a command to a card without orders, and how often it was verified.

    The book says so often that it is not empty: by a level, by levels still to come, or by orders
    outside the window.
    """
    monkeypatch.setattr(Recovery, "ATTEMPTS", ATTEMPTS)
    dut, outcome = Recovery(geometry=GEOMETRY, depth=4), {}

    async def bench(ctx):
        async def ticks(count):
            for _ in range(count):
                await ctx.tick()

        ctx.set(getattr(dut, command), 1)
        ctx.set(dut.begin_symbol, 1)
        await ticks(1)
        ctx.set(getattr(dut, command), 0)
        verified = 0
        going = (RecoveryPhase.SWEEPING, RecoveryPhase.UNPLACING)
        while ctx.get(dut.recovered.phase) in going:
            if not ctx.get(dut.want):
                await ticks(1)
                continue
            verifies = not ctx.get(dut.peek)
            await ticks(INJECTION)
            full = verifies and verified < empties_after
            ctx.set(dut.injected, 1)
            await ticks(1)
            ctx.set(dut.injected, 0)
            if verifies:
                verified += 1
                for levels in (dut.bids, dut.asks):
                    ctx.set(levels.live, 1 if full and what == "a level" else 0)
                    ctx.set(levels.more, int(full and what == "more"))
                ctx.set(dut.listed_now, 1)
                await ticks(1)
                ctx.set(dut.listed_now, 0)
                ctx.set(dut.escaped, int(full and what == "outside"))
                ctx.set(dut.told_now, 1)
                await ticks(1)
                ctx.set(dut.told_now, 0)
                await ticks(1)
        outcome["phase"] = ctx.get(dut.recovered.phase)
        outcome["cause"] = ctx.get(dut.recovered.cause)
        outcome["stops"] = ctx.get(dut.holding) | ctx.get(dut.unplacing)
        outcome["verified"] = verified

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return outcome


@pytest.mark.parametrize("what", ["a level", "more", "outside"])
@pytest.mark.parametrize("command", ["begin", "recentre"])
def test_a_book_that_is_not_empty_without_its_orders_ends_it(monkeypatch, command, what):
    outcome = ends(monkeypatch, command, empties_after=ATTEMPTS, what=what)
    assert outcome == {
        "phase": RecoveryPhase.FAILED,
        "cause": RecoveryCause.NOT_EMPTY,
        "stops": 0,
        "verified": ATTEMPTS,
    }


@pytest.mark.parametrize(
    ("command", "phase"),
    [("begin", RecoveryPhase.LOADING), ("recentre", RecoveryPhase.UNPLACED)],
)
def test_a_book_that_takes_time_to_be_empty_is_waited_for(monkeypatch, command, phase):
    outcome = ends(monkeypatch, command, empties_after=ATTEMPTS - 1, what="more")
    assert outcome == {
        "phase": phase,
        "cause": RecoveryCause.NONE,
        "stops": 1,
        "verified": ATTEMPTS,
    }
