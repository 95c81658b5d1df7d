"""The latency that the components claim is the latency that is measured."""

import pytest

from tickgate.hdl.core import TickToTrade
from tickgate.sim.docs import MUST, budget, measure


def test_the_stages_add_up_to_the_core():
    assert sum(fast for _, fast, _ in budget()) == TickToTrade.LATENCY
    assert sum(slow for *_, slow in budget()) == TickToTrade.SLOW_LATENCY


@pytest.mark.parametrize("width", [1, 8])
@pytest.mark.parametrize("line_rate", [False, True])
def test_the_measured_latency_is_the_sum_of_the_budget(width, line_rate):
    latency = measure(width, line_rate=line_rate)["t0_to_order"]
    for effect, must in MUST.items():
        row = latency[effect]
        assert row["count"] > 0, effect
        assert row["min"] == row["max"] == TickToTrade.LATENCY <= must, effect


def test_even_an_answer_from_the_ladder_meets_the_budget_of_an_emptied_level():
    assert MUST["empty"] >= TickToTrade.SLOW_LATENCY
