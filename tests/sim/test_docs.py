"""The latency that the components claim is the latency that is measured."""

import pytest

from tickgate.hdl.core import TickToTrade
from tickgate.sim.docs import MUST, budget, measure


def test_the_stages_add_up_to_the_core():
    assert sum(fast for _, fast, _ in budget()) == TickToTrade.LATENCY
    assert sum(slow for *_, slow in budget()) == TickToTrade.SLOW_LATENCY


@pytest.mark.parametrize("width", [1, 8])
def test_the_measured_latency_is_the_sum_of_the_budget(width):
    latency = measure(width, line_rate=False)["t0_to_order"]
    for effect, cycles in (
        ("improve", TickToTrade.LATENCY),
        ("resize", TickToTrade.LATENCY),
        ("empty", TickToTrade.SLOW_LATENCY),
    ):
        assert latency[effect]["count"] > 0, effect
        assert latency[effect]["min"] == latency[effect]["max"] == cycles <= MUST[effect], effect
