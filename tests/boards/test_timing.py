# amaranth: UnusedElaboratable=no
"""A small core between two pins, placed and routed alone."""

import pytest
from amaranth.hdl import Cat, Fragment, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from tickgate.boards import timing


@pytest.mark.parametrize("width", timing.CLOCKS_HZ)
def test_the_core_that_is_timed_counts_time_by_the_clock_it_is_held_against(width):
    core = timing.core(width)
    Fragment.get(timing.Folded(core=core), timing.Platform(clock_hz=timing.CLOCKS_HZ[width]))
    assert core._control._built["clock_period_ps"] * timing.CLOCKS_HZ[width] == 1e12


def test_a_core_is_timed_against_the_clock_that_its_width_needs(echo_core, tmp_path):
    report = timing.time_core(echo_core(), width=8, directory=tmp_path)
    (clock,) = report.clocks
    assert clock.asked_mhz == 156.25
    assert clock.closed_mhz > 200
    assert report.device == "LFE5UM5G-85F-8BG554"
    (path,) = report.longest_paths
    assert path.start.endswith(".Q")
    assert path.delay_ns == pytest.approx(1000 / clock.closed_mhz, abs=0.01)
    assert any(arrival.component.startswith("core") for arrival in report.arrivals)
    used = {kind: count for kind, (count, _) in report.utilisation.items() if count}
    assert used["DCCA"] == 2  # clock and reset
    assert used["TRELLIS_IO"] == 4


class Plain(wiring.Component):
    """Ports of several kinds, nine bits in and five out."""

    word: In(data.StructLayout({"low": 3, "high": 4}))
    flags: In(1).array(2)
    sums: Out(data.ArrayLayout(2, 2))
    busy: Out(1)

    def elaborate(self, platform) -> Module:
        raise AssertionError("something stands in for it")


def test_what_stands_in_for_a_part_lets_each_input_bit_reach_each_output_bit():
    def outputs(changed):
        """All outputs in each cycle, where one input bit is high in one of them."""
        part, seen = Plain(), []

        async def testbench(ctx):
            inputs = Cat(part.word, part.flags)
            ctx.set(inputs, changed)
            for _ in range(20):
                await ctx.tick()
                seen.append(ctx.get(Cat(part.sums, part.busy)))
                ctx.set(inputs, 0)

        simulator = Simulator(timing.stand_in(part))
        simulator.add_clock(1e-6)
        simulator.add_testbench(testbench)
        simulator.run()
        return seen

    assert set(outputs(0)) == {0}
    for bit in range(9):
        assert set(outputs(1 << bit)) == {0, *(1 << n for n in range(5))}, f"input bit {bit}"


def test_of_a_part_that_is_timed_alone_nothing_is_replaced_and_of_the_others_everything():
    core = timing.parts_of(timing.core(1), {"hold"})
    top = Fragment.get(core, timing.Platform(clock_hz=timing.CLOCKS_HZ[1]))
    parts = {name: fragment for fragment, name, _ in top.subfragments}
    assert set(parts) == set(timing.PARTS)
    assert {name for name, part in parts.items() if part.subfragments} == {"hold"}
