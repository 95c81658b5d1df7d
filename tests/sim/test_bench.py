"""The bench of the simulation measures what it says."""

import pytest

from tickgate.sim import bench

MESSAGES = 5_000


@pytest.fixture(scope="module")
def measured() -> bench.SimulationBench:
    return bench.simulation(messages=MESSAGES, with_cocotb=False, quiet=True)


def test_the_bench_counts_what_went_through_the_card(measured):
    assert measured.card.messages == MESSAGES
    assert measured.card.seconds > 0
    # The books were at work: in a market like this, every few messages change a top.
    assert MESSAGES / 10 < measured.tops < MESSAGES
    # 32 messages a datagram take at least 19 octets and their length each, at 8 octets a cycle.
    assert MESSAGES * 21 / 8 < measured.card.cycles < MESSAGES * 50 / 8


def test_the_bench_gives_its_rates_as_plain_data(measured):
    plain = measured.to_dict()
    card = plain["virtual_card"]
    assert card["cycles_per_second"] == round(card["cycles"] / card["seconds"])
    assert card["messages_per_second"] == round(card["messages"] / card["seconds"])
    assert (plain["width"], plain["symbols"]) == (8, 8)
    assert plain["cocotb"] is None and plain["ratio"] is None


def test_the_ratio_is_that_of_the_cycles_in_the_same_time():
    fast = bench.Pace(cycles=1_000, messages=100, seconds=1.0)
    slow = bench.Pace(cycles=100, messages=10, seconds=2.0)
    both = bench.SimulationBench(width=8, symbols=1, tops=0, card=fast, cocotb=slow)
    assert both.ratio == 20
    assert both.to_dict()["cocotb"]["messages_per_second"] == 5
