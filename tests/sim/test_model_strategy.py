"""The taker model, rule by rule and against exact fractions."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from tickgate.sim.model.book import Top
from tickgate.sim.model.feed import BUY, SELL
from tickgate.sim.model.strategy import Proposal, StrategyParameters, Taker

PARAMETERS = StrategyParameters(
    enable=True, threshold=49152, max_spread=200, quantity=100, min_interval=1000
)
TOP = Top(3, 1, 100_0000, 300, 1, 100_0200, 100, 1, 42)


def decide(top=TOP, parameters=PARAMETERS, time_ns=0):
    return Taker({3: parameters}).decide(top, time_ns)


def test_shares_at_the_bid_make_it_buy_at_the_ask():
    assert decide() == Proposal(3, BUY, 100_0200, 100, 42)


def test_shares_at_the_ask_make_it_sell_at_the_bid():
    assert decide(TOP._replace(bid_shares=100, ask_shares=300)) == Proposal(
        3, SELL, 100_0000, 100, 42
    )


def test_the_bid_wins_a_tie():
    even = TOP._replace(bid_shares=50, ask_shares=50)
    assert decide(even, replace(PARAMETERS, threshold=32768)).side == BUY
    assert decide(even, replace(PARAMETERS, threshold=32769)) is None


def test_the_threshold_itself_is_enough():
    assert decide(TOP._replace(bid_shares=300, ask_shares=100)) is not None
    assert decide(TOP._replace(bid_shares=2_999_999, ask_shares=1_000_000)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"exact": 0},
        {"bid_present": 0, "bid_price": 0, "bid_shares": 0},
        {"ask_present": 0, "ask_price": 0, "ask_shares": 0},
        {"ask_price": 100_0000},
        {"ask_price": 99_9900},
        {"ask_price": 100_0201},
        {"symbol": 2},
    ],
)
def test_it_stays_quiet_on_a_top_that_is_not_to_be_used(changes):
    assert decide(TOP._replace(**changes)) is None


@pytest.mark.parametrize("changes", [{"enable": False}, {"threshold": 0}])
def test_it_stays_quiet_where_parameters_say_so(changes):
    assert decide(parameters=replace(PARAMETERS, **changes)) is None


def test_default_parameters_never_fire():
    assert decide(parameters=StrategyParameters()) is None


def test_after_it_fired_it_stays_quiet_for_the_interval_on_that_symbol_only():
    taker = Taker({3: PARAMETERS, 4: PARAMETERS})
    assert taker.decide(TOP, 5000)
    assert taker.decide(TOP, 5999) is None
    assert taker.decide(TOP._replace(symbol=4), 5999)
    assert taker.decide(TOP, 6000)
    assert taker.decide(TOP, 6999) is None


def test_a_top_that_would_not_fire_does_not_prolong_the_interval():
    taker = Taker({3: PARAMETERS})
    assert taker.decide(TOP, 5000)
    assert taker.decide(TOP, 5900) is None
    assert taker.decide(TOP._replace(exact=0), 5950) is None
    assert taker.decide(TOP, 6000)


def test_time_that_wraps_is_an_interval_like_any_other():
    taker = Taker({3: PARAMETERS})
    assert taker.decide(TOP, (1 << 64) - 500)
    assert taker.decide(TOP, 499) is None
    assert taker.decide(TOP, 500)


def test_parameters_may_change_between_decisions():
    taker = Taker({3: replace(PARAMETERS, enable=False)})
    assert taker.decide(TOP, 0) is None
    taker.parameters[3] = PARAMETERS
    assert taker.decide(TOP, 0)


@pytest.mark.parametrize("field", ["threshold", "max_spread", "quantity", "min_interval"])
@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_a_parameter_that_does_not_fit_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        StrategyParameters(**{field: value})


@pytest.mark.parametrize("run", range(4))
def test_the_decision_is_that_of_exact_fractions(seed, run):
    rng = random.Random(f"{seed} {run}")
    fired = 0
    for _ in range(3000):
        scale = 1 << rng.randrange(33)
        bid, ask = 1 + rng.randrange(scale), 1 + rng.randrange(scale)
        bid, ask = min(bid, 0xFFFF_FFFF), min(ask, 0xFFFF_FFFF)
        threshold = rng.choice([32768, 65535, rng.randrange(1, 65536)])
        proposal = decide(
            TOP._replace(bid_shares=bid, ask_shares=ask), replace(PARAMETERS, threshold=threshold)
        )
        outweighs = Fraction(max(bid, ask), bid + ask) >= Fraction(threshold, 65536)
        assert (proposal is not None) == outweighs
        if proposal:
            assert proposal.side == (BUY if bid >= ask else SELL)
            fired += 1
    assert 300 < fired < 2900
