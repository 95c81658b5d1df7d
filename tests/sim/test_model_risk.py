"""The risk model: each gate at its edge, alone, and what an approval changes."""

import random
from dataclasses import replace

import pytest

from tickgate.sim.model.book import Top, Trade
from tickgate.sim.model.feed import BUY, SELL, Message
from tickgate.sim.model.risk import GATES, STANDING, AccountLimits, Limits, RiskModel
from tickgate.sim.model.strategy import Proposal
from tickgate.spec import gates

LIMITS = Limits(
    max_long=1000,
    max_short=500,
    max_order_quantity=400,
    max_order_notional=400 * 101_0000,
    collar_bps=100,
    collar_absolute=2_0000,
    reference_max_age_us=1000,
    max_book_spread=500,
    order_tick=1,
    lot_size=1,
    allow_buy=True,
    allow_sell=True,
    allow_time_in_force=frozenset("3"),
    short_locates=1000,
    feed_max_age_us=2_000_000,
    symbol_max_age_us=2_000_000,
    band_high=0xFFFF_FFFF,
    band_until=(1 << 64) - 1,
    order_interval_ns=1,
    order_burst_ns=0xFFFF_FFFF,
    max_open_orders=0xFFFF_FFFF,
    max_duplicates=4,
    duplicate_window_ns=1,
    allow_self_trade=True,
    max_move=0xFFFF_FFFF,
)
ACCOUNT = AccountLimits(
    max_gross=1 << 64,
    max_net=1 << 64,
    max_open_orders=1 << 32,
    max_day_orders=1 << 32,
    max_day_shares=1 << 40,
    max_day_notional=1 << 64,
    max_loss=1 << 64,
    session_interval_ns=1,
    session_burst_ns=0xFFFF_FFFF,
    max_executions=1,
    move_window=10,
    fill_window=10,
)
NUMBERS = [
    *("max_long", "max_short", "max_order_quantity", "max_order_notional", "collar_bps"),
    *("collar_absolute", "reference_max_age_us", "max_book_spread", "order_tick", "lot_size"),
    *("feed_max_age_us", "symbol_max_age_us", "order_interval_ns", "max_open_orders"),
    *("max_duplicates", "duplicate_window_ns", "max_move"),
]
PRICE = 100_0000
NOW = 50_000_000


def system(code):
    return Message("S", 0, 0, code=code)


def state(code):
    return Message("H", 10, 0, code=code)


def top(bid, ask):
    return Top(0, int(bid > 0), bid, 1, int(ask > 0), ask, 1, 1, 0)


def ready(limits=LIMITS):
    """A model in which every gate passes."""
    risk = RiskModel(
        {0: limits}, ACCOUNT, armed=True, config_valid=True, standing=frozenset(STANDING)
    )
    risk.set_exact(0, True)
    risk.message(system("Q"), None)
    risk.message(state("T"), 0)
    risk.trade(Trade(0, PRICE), NOW)
    risk.heard(0, NOW)
    risk.top(top(PRICE - 100, PRICE + 100))
    return risk


def buy(quantity=100, price=PRICE):
    return Proposal(0, BUY, price, quantity, 7)


def sell(quantity=100, price=PRICE):
    return Proposal(0, SELL, price, quantity, 7)


def reasons(risk, proposal, time_ns=NOW, **more):
    verdict = risk.judge(proposal, time_ns, **more)
    assert verdict.approved == (not verdict.reasons)
    return {gate for gate in range(64) if verdict.reasons >> gate & 1}


def test_with_every_gate_passed_an_order_is_approved_with_the_next_reference_number():
    risk = ready()
    assert risk.judge(buy(), NOW).order == (0, BUY, PRICE, 100, 7, 1)
    assert risk.judge(sell(), NOW).order == (0, SELL, PRICE, 100, 7, 2)
    assert risk.next_user_ref_num == 3


def test_as_made_every_gate_that_depends_on_state_refuses():
    assert reasons(RiskModel({0: LIMITS}, ACCOUNT), buy()) == {
        *(1, 11, 13, 14, 15, 16),
        *STANDING,
    }
    assert reasons(RiskModel({0: Limits()}), buy()) == set(GATES) - {6, 22, 23, 24, 28, 34}


def test_reasons_name_the_gates_of_the_table():
    assert GATES == gates.BUILT


@pytest.mark.parametrize("gate", STANDING)
def test_a_gate_that_is_judged_elsewhere_refuses_unless_it_passes(gate):
    risk = ready()
    risk.standing -= {gate}
    assert reasons(risk, buy()) == {gate}


@pytest.mark.parametrize("changes", [{"armed": False}, {"killed": True}, {"config_valid": False}])
def test_gate_1_refuses_unless_armed_with_a_valid_configuration_and_not_killed(changes):
    risk = ready()
    for name, value in changes.items():
        setattr(risk, name, value)
    assert reasons(risk, buy()) == {1}


@pytest.mark.parametrize("name", NUMBERS)
def test_gate_4_refuses_if_any_limit_is_not_programmed(name):
    # A sell of 1 share, so that the limit's own gate tells nothing more than it must.
    assert 4 in reasons(ready(replace(LIMITS, **{name: 0})), sell(1))
    assert reasons(ready(), sell(1)) == set()


def test_gate_5_reserves_what_was_approved_and_refuses_what_would_exceed_the_long_limit():
    risk = ready()
    for _ in range(2):
        assert reasons(risk, buy(400)) == set()
    assert reasons(risk, buy(201)) == {5}
    assert reasons(risk, sell(1)) == set()
    assert reasons(risk, buy(200)) == set()
    assert reasons(risk, buy(1)) == {5}
    assert risk.exposure(0) == (0, 1000, 1)


def test_gate_6_reserves_what_was_approved_and_refuses_what_would_exceed_the_short_limit():
    risk = ready()
    assert reasons(risk, sell(400)) == set()
    assert reasons(risk, sell(101)) == {6}
    assert reasons(risk, sell(100)) == set()
    assert reasons(risk, sell(1)) == {6}
    assert reasons(risk, buy(1)) == set()
    assert risk.exposure(0) == (0, 1, 500)


def test_the_position_counts_for_the_long_limit_and_against_the_short_limit():
    risk = ready()
    risk.set_position(0, 900)
    assert reasons(risk, buy(101)) == {5}
    assert reasons(risk, sell(400)) == set()
    risk.set_position(0, -400)
    assert reasons(risk, sell(1)) == {6}
    assert reasons(risk, buy(400)) == set()


def test_a_reserve_never_outgrows_33_bits_whatever_the_position():
    widest = replace(
        LIMITS,
        max_long=0xFFFF_FFFF,
        max_order_quantity=1_000_000,
        max_order_notional=(1 << 64) - 1,
    )
    risk = ready(widest)
    risk.set_position(0, -(1 << 32))
    now = NOW
    while reasons(risk, buy(1_000_000), now) == set():
        now += 2
    assert reasons(risk, buy(1_000_000), now) == {5}
    assert (1 << 33) - 1_000_000 <= risk.exposure(0)[1] < 1 << 33


@pytest.mark.parametrize(("quantity", "refusal"), [(0, {9}), (1, set()), (400, set()), (401, {9})])
def test_gate_9_wants_a_quantity_from_1_to_the_limit(quantity, refusal):
    risk = ready(replace(LIMITS, max_order_notional=(1 << 64) - 1))
    assert reasons(risk, buy(quantity)) == refusal


@pytest.mark.parametrize(("quantity", "refusal"), [(1_000_000, set()), (1_000_001, {9})])
def test_gate_9_never_lets_more_than_a_million_shares_pass(quantity, refusal):
    limits = replace(
        LIMITS,
        max_long=0xFFFF_FFFF,
        max_order_quantity=0xFFFF_FFFF,
        max_order_notional=(1 << 64) - 1,
    )
    assert reasons(ready(limits), buy(quantity)) == refusal


@pytest.mark.parametrize(("price", "refusal"), [(101_0000, set()), (101_0001, {10, 11})])
def test_gate_10_compares_the_whole_product(price, refusal):
    assert reasons(ready(), buy(400, price)) == refusal


@pytest.mark.parametrize(
    ("price", "refusal"),
    [(99_0000, set()), (98_9999, {11}), (101_0000, set()), (101_0001, {11})],
)
def test_gate_11_keeps_the_price_within_basis_points_of_the_reference(price, refusal):
    assert reasons(ready(), buy(1, price)) == refusal


@pytest.mark.parametrize(
    ("price", "refusal"),
    [(98_0000, set()), (97_9999, {11}), (102_0000, set()), (102_0001, {11})],
)
def test_gate_11_keeps_the_price_within_the_absolute_collar(price, refusal):
    assert reasons(ready(replace(LIMITS, collar_bps=10000)), buy(1, price)) == refusal


@pytest.mark.parametrize(("age", "refusal"), [(0, set()), (1_000_000, set()), (1_000_001, {11})])
def test_gate_11_wants_a_fresh_reference(age, refusal):
    assert reasons(ready(), buy(), NOW + age) == refusal


def test_gate_11_refuses_when_the_time_went_back():
    assert reasons(ready(), buy(), NOW - 1) == {11, 14}


def test_gate_11_follows_the_last_print():
    risk = ready()
    risk.trade(Trade(0, 2 * PRICE), NOW)
    assert reasons(risk, buy(1)) == {11}
    risk.trade(Trade(0, PRICE), NOW)
    assert reasons(risk, buy(1)) == set()


def test_gate_13_wants_the_book_exact():
    risk = ready()
    risk.set_exact(0, False)
    assert reasons(risk, buy()) == {13}


@pytest.mark.parametrize("code", "HPQ")
def test_gate_16_wants_the_symbol_trading(code):
    risk = ready()
    risk.message(state(code), 0)
    assert reasons(risk, buy()) == {16}
    risk.message(state("T"), 0)
    assert reasons(risk, buy()) == set()


def test_gate_16_refuses_while_nasdaq_itself_has_halted_the_symbol():
    risk = ready()
    for code, refused in (("H", {16}), ("", {16}), ("T", set()), ("", set())):
        risk.message(Message("h", 10, 0, code=code), 0)
        risk.message(state("T"), 0)
        assert reasons(risk, buy(1)) == refused
    risk.message(Message("h", 10, 0, code="H"), None)
    assert reasons(risk, buy(1)) == set()


def test_gate_16_does_not_listen_to_the_state_of_an_untracked_symbol():
    risk = ready()
    risk.message(state("H"), None)
    assert reasons(risk, buy()) == set()


def test_gate_16_wants_the_regular_session_unless_extended_hours_are_allowed():
    risk = ready()
    for n, code in enumerate("OSEC", start=1):
        risk.message(system(code), None)
        assert reasons(risk, buy(n)) == set()
    risk.message(system("M"), None)
    assert reasons(risk, buy(5)) == {16}
    risk.set_limits(0, replace(LIMITS, extended_hours=True))
    assert reasons(risk, buy(5)) == set()


def test_gate_16_refuses_after_a_market_wide_breach_even_in_extended_hours():
    risk = ready(replace(LIMITS, extended_hours=True))
    risk.message(Message("W", 0, 0, code="1"), None)
    assert reasons(risk, buy()) == {16}


def test_gate_4_refuses_if_no_time_in_force_is_allowed():
    assert reasons(ready(replace(LIMITS, allow_time_in_force=frozenset())), buy()) == {4, 25}


@pytest.mark.parametrize(
    ("bid", "ask", "refusal"),
    [
        (PRICE, PRICE + 500, set()),
        (PRICE, PRICE + 501, {15}),
        (PRICE, PRICE, {15}),
        (PRICE + 1, PRICE, {15}),
        (0, PRICE, {15}),
        (PRICE, 0, {15}),
    ],
)
def test_gate_15_refuses_a_book_that_makes_no_sense(bid, ask, refusal):
    risk = ready()
    risk.top(top(bid, ask))
    assert reasons(risk, buy()) == refusal


def test_gate_23_refuses_what_is_short_beyond_the_locates():
    risk = ready(replace(LIMITS, short_locates=30))
    risk.set_position(0, 100)
    assert reasons(risk, sell(131)) == {23}
    assert reasons(risk, sell(130)) == set()
    assert reasons(risk, sell(1)) == {23}
    assert reasons(risk, buy(1)) == set()


def test_gate_24_refuses_a_short_sale_at_or_below_the_bid_while_restricted():
    risk = ready()
    risk.set_position(0, 50)
    bid = PRICE - 100
    assert reasons(risk, sell(51, bid)) == set()
    risk.set_position(0, 100)
    risk.message(Message("Y", 10, 0, code="1"), 0)
    assert reasons(risk, sell(50, bid)) == {24}
    assert reasons(risk, sell(50, bid + 1)) == set()
    assert reasons(risk, buy(50, bid)) == set()
    risk.top(top(0, PRICE))
    assert reasons(risk, sell(1, PRICE)) == {15, 24}
    risk.message(Message("Y", 10, 0, code="0"), 0)
    assert reasons(risk, sell(1, PRICE)) == {15}


def test_gate_25_refuses_sides_and_times_in_force_that_are_not_allowed():
    assert reasons(ready(replace(LIMITS, allow_buy=False)), buy()) == {25}
    assert reasons(ready(replace(LIMITS, allow_buy=False)), sell()) == set()
    assert reasons(ready(replace(LIMITS, allow_sell=False)), sell()) == {25}
    risk = ready()
    risk.time_in_force = "0"
    assert reasons(risk, buy()) == {25}


@pytest.mark.parametrize(
    ("tick", "lot", "price", "quantity", "refusal"),
    [
        (100, 1, PRICE, 7, set()),
        (100, 1, PRICE + 1, 7, {26}),
        (50, 10, PRICE + 50, 10, set()),
        (50, 10, PRICE + 50, 11, {26}),
        (1, 40, PRICE + 1, 80, set()),
        (2, 1, PRICE, 7, {26}),
        (1, 2, PRICE, 8, {26}),
    ],
)
def test_gate_26_refuses_what_is_off_the_tick_or_the_lot(tick, lot, price, quantity, refusal):
    risk = ready(replace(LIMITS, order_tick=tick, lot_size=lot))
    assert reasons(risk, buy(quantity, price)) == refusal


def test_while_an_order_is_accounted_for_the_port_is_busy_and_counting_gates_are_not_asked():
    risk = ready()
    risk.account = AccountLimits()
    assert reasons(risk, buy()) == {4, 7, 8, 18, 19, 29}
    assert reasons(risk, buy(), accounting=True) == {0, 4}


@pytest.mark.parametrize(("over", "refusal"), [(-1, set()), (0, set()), (1, {7})])
def test_gate_7_counts_positions_and_open_orders_of_both_sides(over, refusal):
    risk = ready()
    risk.long_value, risk.short_value = 30, 70
    assert reasons(risk, buy(10)) == reasons(risk, sell(20)) == set()
    risk.account = replace(ACCOUNT, max_gross=100 + 60 * PRICE - over)
    assert reasons(risk, sell(30)) == refusal
    if refusal:
        risk.released(BUY, 1)
        assert reasons(risk, sell(30)) == set()


@pytest.mark.parametrize(("over", "refusal"), [(-1, set()), (0, set()), (1, {8})])
def test_gate_8_counts_each_direction_for_itself(over, refusal):
    risk = ready()
    risk.long_value, risk.short_value = 30, 70
    assert reasons(risk, buy(10)) == reasons(risk, sell(20)) == set()
    risk.account = replace(ACCOUNT, max_net=40 + 50 * PRICE - over)
    assert reasons(risk, sell(30)) == refusal
    risk.account = replace(ACCOUNT, max_net=-40 + 50 * PRICE - over)
    assert reasons(risk, buy(40)) == ({8} if refusal else set())


@pytest.mark.parametrize(("age", "refusal"), [(1000, set()), (1001, {14})])
@pytest.mark.parametrize("name", ["feed_max_age_us", "symbol_max_age_us"])
def test_gate_14_refuses_when_feed_or_symbol_has_not_been_heard_of(name, age, refusal):
    risk = ready(replace(LIMITS, **{name: 1}))
    assert reasons(risk, buy(), NOW + age) == refusal


def test_gate_17_refuses_outside_the_band_and_after_it_has_expired():
    band = replace(LIMITS, band_low=PRICE, band_high=PRICE + 1, band_until=NOW + 1)
    assert reasons(ready(band), buy(1, PRICE)) == reasons(ready(band), buy(1, PRICE + 1)) == set()
    assert reasons(ready(band), buy(1, PRICE - 1)) == {17}
    assert reasons(ready(band), buy(1, PRICE + 2)) == {17}
    assert reasons(ready(band), buy(1, PRICE), NOW + 1) == {17}
    assert reasons(ready(replace(band, band_exempt=True)), buy(1, PRICE + 2), NOW + 1) == set()


def test_gate_18_refuses_when_a_bucket_is_empty():
    risk = ready(replace(LIMITS, order_interval_ns=100, order_burst_ns=100))
    told = [reasons(risk, buy(1, PRICE + n), NOW + at) for n, at in enumerate((0, 0, 99, 100))]
    assert told == [set(), set(), {18}, set()]
    risk = ready()
    risk.account = replace(ACCOUNT, session_interval_ns=9, session_burst_ns=9, session_reserve_ns=9)
    assert [reasons(risk, buy(), NOW + at) for at in (0, 8, 9)] == [set(), {18}, set()]


def test_gate_19_refuses_one_more_open_order():
    risk = ready(replace(LIMITS, max_open_orders=1))
    assert [reasons(risk, buy(n)) for n in (1, 2)] == [set(), {19}]
    risk.closed(0)
    assert reasons(risk, buy(3)) == set()


def test_gate_21_refuses_the_same_order_again_within_its_window():
    risk = ready(replace(LIMITS, max_duplicates=1, duplicate_window_ns=50))
    assert reasons(risk, buy()) == set()
    assert reasons(risk, buy(), NOW + 50) == {21}
    assert reasons(risk, sell(), NOW + 50) == set()
    assert reasons(risk, buy(), NOW + 51) == set()


def test_gate_22_refuses_what_could_meet_an_own_order_that_may_be_open():
    risk = ready(replace(LIMITS, allow_self_trade=False))
    for price in (PRICE, PRICE - 2):
        assert reasons(risk, buy(10, price)) == set()
    assert reasons(risk, sell(10, PRICE)) == {22}
    assert reasons(risk, sell(10, PRICE + 1)) == set()
    assert reasons(risk, buy(10, PRICE + 1)) == {22}
    # The price of one that is over counts while another one of its side is open.
    risk.set_released(0, buys=19, sells=10)
    assert reasons(risk, buy(10, PRICE + 1)) == set()
    assert reasons(risk, sell(10, PRICE + 1)) == {22}
    risk.set_released(0, buys=30, sells=10)
    assert reasons(risk, sell(10, PRICE - 5)) == set()


@pytest.mark.parametrize(
    "limit", [{"max_day_orders": 1}, {"max_day_shares": 101}, {"max_day_notional": 101 * PRICE}]
)
def test_gate_29_refuses_what_the_day_has_no_room_for(limit):
    risk = ready()
    risk.account = replace(ACCOUNT, **limit)
    assert reasons(risk, buy()) == set()
    assert reasons(risk, buy(2)) == {29}
    risk.armed = False
    risk.start_of_day()
    risk.armed = True
    assert reasons(risk, buy(2)) == set()


def test_gate_28_stops_a_symbol_after_a_burst_of_fills_until_the_host_clears_it():
    risk = ready(replace(LIMITS, max_fills=3, max_fill_shares=100))
    begin = 1 << 40
    for at, shares in ((0, 60), (1023, 20), (1024, 20)):
        risk.fill(0, shares, begin + at)
        assert reasons(risk, buy(1)) == set()
    risk.fill(0, 1, begin + 2047)
    assert reasons(risk, buy(2)) == {28}
    risk.clear_fill_burst(0)
    assert reasons(risk, buy(3)) == set()
    for shares in (79, 1):
        risk.fill(0, shares, begin + 2048)
    assert reasons(risk, buy(4)) == {28}
    risk.armed = False
    risk.start_of_day()
    risk.armed = True
    risk.fill(0, 100, begin + 2048)
    assert reasons(risk, buy(5)) == set()
    risk.fill(0, 1, begin + 2048)
    assert reasons(risk, buy(6)) == {28}


@pytest.mark.parametrize(("move", "passes"), [(-41, False), (-40, False), (-39, True), (40, False)])
def test_gate_12_refuses_while_the_reference_has_moved_in_this_interval_or_the_one_before(
    move, passes
):
    risk = ready(replace(LIMITS, max_move=40))
    begin = (NOW // 1024 + 1) * 1024
    risk.move(Trade(0, PRICE), begin - 10_000)
    risk.move(Trade(0, PRICE + move), begin + 1023)
    risk.trade(Trade(0, PRICE), begin)
    expected = set() if passes else {12}
    assert [reasons(risk, buy(1), begin + at) for at in (1023, 2047, 2048)] == [
        expected, expected, set()
    ]  # fmt: skip
    risk.move(Trade(0, PRICE + move // 2), begin + 2048)
    assert reasons(risk, buy(1), begin + 2048) == set()


def test_a_busy_port_refuses_with_bit_0():
    assert reasons(ready(), buy(), transmit_busy=True) == {0}


def test_a_refusal_carries_every_reason():
    risk = RiskModel({0: Limits(max_long=1, max_order_quantity=1)}, damaged=True)
    assert reasons(risk, buy(2), transmit_busy=True) == {0, *GATES} - {6, 22, 23, 24, 28}
    assert reasons(risk, sell(2)) == set(GATES) - {5, 22, 24, 28}


def test_gate_34_refuses_while_a_flipped_bit_was_seen():
    risk = ready()
    risk.damaged = True
    assert reasons(risk, buy()) == {34}
    risk.damaged = False
    assert reasons(risk, buy()) == set()


def test_a_start_of_day_releases_reserves_and_only_while_disarmed():
    risk = ready()
    risk.judge(buy(), NOW)
    with pytest.raises(RuntimeError, match="disarm"):
        risk.start_of_day()
    risk.armed = False
    risk.start_of_day()
    assert risk.exposure(0) == (0, 0, 0)


@pytest.mark.parametrize("position", [1 << 32, -(1 << 32) - 1])
def test_a_position_beyond_33_bits_is_refused(position):
    with pytest.raises(ValueError, match="position"):
        ready().set_position(0, position)


@pytest.mark.parametrize("name", [*NUMBERS, "short_locates"])
@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_a_limit_that_does_not_fit_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Limits(**{name: value})


@pytest.mark.parametrize("run", range(4))
def test_what_is_approved_never_breaks_a_limit_and_a_refusal_changes_nothing(seed, run):
    rng = random.Random(f"{seed} {run}")
    risk = ready()
    outcomes = [0, 0]
    for _ in range(2000):
        if rng.random() < 0.02:
            risk.armed = False
            risk.start_of_day()
            risk.set_position(0, rng.randrange(-500, 1000))
            risk.armed = rng.random() < 0.8
        if rng.random() < 0.05:
            risk.killed = rng.random() < 0.2
        before = (*risk.exposure(0), risk.next_user_ref_num)
        make = rng.choice([buy, sell])
        proposal = make(rng.randrange(0, 450), PRICE + rng.randrange(-1_1000, 1_1000))
        verdict = risk.judge(proposal, NOW + rng.randrange(1_100_000))
        position, buys, sells = risk.exposure(0)
        outcomes[verdict.approved] += 1
        if not verdict.approved:
            assert (position, buys, sells, risk.next_user_ref_num) == before
            continue
        assert risk.armed and not risk.killed
        assert position + buys <= LIMITS.max_long or proposal.side == SELL
        assert sells - position <= LIMITS.max_short or proposal.side == BUY
        assert buys + sells == before[1] + before[2] + proposal.quantity
        assert verdict.order.user_ref_num == before[3] == risk.next_user_ref_num - 1
        assert abs(proposal.price - PRICE) * 10_000 <= PRICE * LIMITS.collar_bps
        assert proposal.quantity * proposal.price <= LIMITS.max_order_notional
    assert min(outcomes) > 30
