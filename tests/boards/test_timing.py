# amaranth: UnusedElaboratable=no
"""A small core between two pins, placed and routed alone."""

import pytest
from amaranth.hdl import Fragment

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
