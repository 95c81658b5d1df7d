"""The pre-trade gates: numbers, rules, what each of them is built of and what shows that it works.

From this table come the table of docs/risk.md and the check that no gate is without a component, a
reason in the events, a counter and a test (tests/spec/test_gates.py).

Ref: docs/risk.md; the numbers are those of the project's list of controls, in which SEC rule 15c3-5
and MiFID II RTS 6 are mapped.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tickgate.spec.ouch50 import TimeInForce

__all__ = [
    "BUILT",
    "BY_NUMBER",
    "GATES",
    "LOT_SIZES",
    "OBLIGATORY",
    "OBLIGATORY_OF_ACCOUNT",
    "ORDER_TICKS",
    "REMEMBERED_ORDERS",
    "TIMES_IN_FORCE",
    "Gate",
    "render_missing",
    "render_table",
    "render_trace",
]

ORDER_TICKS: tuple[int, ...] = (1, 50, 100)
"""Ticks that an order's price may have, in 1e-4 USD: SEC rule 612."""

LOT_SIZES: tuple[int, ...] = (1, 10, 40, 100)
"""Lots that an order's quantity may be of, in shares: 1, and the round lots of SEC rule 600."""

REMEMBERED_ORDERS = 4
"""Orders of a symbol among which gate 21 looks for the same one."""

TIMES_IN_FORCE: tuple[TimeInForce, ...] = (
    TimeInForce.DAY,
    TimeInForce.IMMEDIATE_OR_CANCEL,
    TimeInForce.EXTENDED_HOURS,
    TimeInForce.AFTER_HOURS,
)
"""The time in force of each bit of `allow_time_in_force`, the lowest first."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate.

    Parameters
    ----------
    number : int
        Its bit in the reasons of a verdict and of an event.
    name : str
    passes : str
        When, in words.
    scope : str
        What its limits and sums belong to: card, session, account, symbol, strategy.
    limits : tuple of str
        Parameters of a page that it goes by.
    component : str
        File and class of the gateware; empty where it is not built.
    properties : tuple of str
        Properties that are proven of it.
    tests : tuple of str
        Files and functions.
    missing : str
        What it waits for, where it is not built; what it does not do yet, where it is.
    """

    number: int
    name: str
    passes: str
    scope: str
    limits: tuple[str, ...] = ()
    component: str = ""
    properties: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    missing: str = ""

    @property
    def built(self) -> bool:
        """True if the card has it."""
        return bool(self.component)

    @property
    def event(self) -> str:
        """Where an event tells that it failed."""
        return f"reasons[{self.number}]"

    @property
    def counter(self) -> str:
        """The register that counts what it refused."""
        return f"refused_gate_{self.number}"


_TEST = "tests/hdl/test_risk.py::test_"
_VALUATION = "tests/hdl/test_valuation.py::test_"
_JUDGED_ELSEWHERE = f"{_TEST}a_gate_that_is_judged_elsewhere_is_asked_in_the_cycle_of_the_decision"

GATES: tuple[Gate, ...] = (
    Gate(
        number=1,
        name="armed",
        passes="the card is armed (an 8-bit code, not one flip-flop) and not killed; a reset "
        "disarms; arming needs a committed configuration, clear memories, the hashes of register "
        "map, build and configuration, and that no alert is unacknowledged",
        scope="card",
        component="hdl/control/arming.py::Arming",
        properties=(
            "gate-1-armed",
            "killed-no-order",
            "reset-disarmed",
            "alerts-kept",
        ),
        tests=(
            f"{_TEST}an_order_leaves_only_armed_and_not_killed_in_the_cycle_of_the_decision",
            "tests/hdl/test_control_arming.py::test_one_flipped_bit_of_either_code_stops_orders_and_is_not_forgotten",
            "tests/hdl/test_control.py::test_a_card_is_armed_only_by_who_knows_what_it_is",
            "tests/hdl/test_control.py::test_what_alerts_is_kept_until_it_is_acknowledged_and_lasting_is_no_alert_again",
        ),
    ),
    Gate(
        number=2,
        name="kill sources",
        passes="the card is not killed, and none of the causes that `kill_causes` names has come "
        "since the kill was cleared: host, pin, integrity, session, internal",
        scope="card",
        component="hdl/control/kill.py::KillSources",
        properties=("gate-2-kill-sources", "kill-causes", "killed-no-order"),
        tests=(
            _JUDGED_ELSEWHERE,
            "tests/hdl/test_control.py::test_each_cause_kills_and_is_told_until_it_is_cleared",
        ),
    ),
    Gate(
        number=3,
        name="host heartbeat",
        passes="the milliseconds since the host last answered the challenge of the card, or armed "
        "it, are at most `host_heartbeat.timeout`, which must not be 0; or `host_heartbeat.off`; "
        "a silence that is longer kills an armed card",
        scope="card",
        limits=("host_heartbeat",),
        component="hdl/control/heartbeat.py::Heartbeat",
        properties=("gate-3-host-heartbeat", "heartbeat-in-time"),
        tests=(
            _JUDGED_ELSEWHERE,
            "tests/hdl/test_control_heartbeat.py::test_a_host_that_is_silent_for_longer_than_it_may_be_is_told",
            "tests/hdl/test_control.py::test_a_silent_host_kills_an_armed_card",
        ),
    ),
    Gate(
        number=4,
        name="limits present",
        passes="every limit of the symbol, and every one of the account, that must not be 0 is "
        "programmed",
        scope="symbol, account",
        limits=(),
        component="hdl/risk/limits.py::OrderLimits",
        properties=("gate-4-limits-present",),
        tests=(
            f"{_TEST}a_limit_that_is_not_programmed_refuses",
            f"{_TEST}a_limit_of_the_account_that_is_not_programmed_refuses",
        ),
    ),
    Gate(
        number=5,
        name="worst-case long",
        passes="a sell, or position + open buys + quantity <= `max_long`",
        scope="symbol",
        limits=("max_long",),
        component="hdl/risk/exposure.py::Exposure",
        properties=("gate-5-worst-case-long", "approved-within-limits"),
        tests=(
            f"{_TEST}the_worst_case_is_within_its_limit",
            f"{_TEST}reservations_in_every_cycle_are_never_lost",
        ),
    ),
    Gate(
        number=6,
        name="worst-case short",
        passes="a buy, or open sells + quantity - position <= `max_short`",
        scope="symbol",
        limits=("max_short",),
        component="hdl/risk/exposure.py::Exposure",
        properties=("gate-6-worst-case-short", "approved-within-limits"),
        tests=(
            f"{_TEST}the_worst_case_is_within_its_limit",
            f"{_TEST}reservations_in_every_cycle_are_never_lost",
        ),
    ),
    Gate(
        number=7,
        name="gross exposure",
        passes="what all positions are worth + the notional of all open orders + quantity x price "
        "<= `account_max_gross`; kills when more than that is held and open, without a new order",
        scope="account",
        limits=("account_max_gross_low", "account_max_gross_high"),
        component="hdl/risk/account.py::AccountExposure",
        properties=(
            "gate-7-gross-exposure",
            "gate-7-measured",
            "released-once",
            "approved-within-limits",
        ),
        tests=(
            f"{_TEST}gross_exposure_is_within_its_limit",
            f"{_VALUATION}more_held_and_open_than_the_gross_limit_is_beyond",
            "tests/sim/test_knight.py::test_gross_exposure_stops_it",
        ),
    ),
    Gate(
        number=8,
        name="net exposure",
        passes="for a buy, long - short positions + the notional of all open buys + quantity x "
        "price <= `account_max_net`; for a sell, the same the other way round",
        scope="account",
        limits=("account_max_net_low", "account_max_net_high"),
        component="hdl/risk/account.py::AccountExposure",
        properties=("gate-8-net-exposure",),
        tests=(f"{_TEST}net_exposure_is_within_its_limit_in_both_directions",),
    ),
    Gate(
        number=9,
        name="order quantity",
        passes="0 < quantity <= `max_order_quantity`, and at most 1,000,000",
        scope="symbol",
        limits=("max_order_quantity",),
        component="hdl/risk/limits.py::OrderLimits",
        properties=("gate-9-order-quantity",),
        tests=(f"{_TEST}the_quantity_is_positive_and_within_both_limits",),
    ),
    Gate(
        number=10,
        name="order notional",
        passes="quantity x price <= `max_order_notional`",
        scope="symbol",
        limits=("max_order_notional_low", "max_order_notional_high"),
        component="hdl/risk/limits.py::OrderLimits",
        properties=("gate-10-order-notional",),
        tests=(f"{_TEST}the_notional_is_exact_to_the_last_bit",),
    ),
    Gate(
        number=11,
        name="price collar",
        passes="the reference price (the last print seen on this venue's feed) is valid and not "
        "older than `reference_max_age_us`; the price is within `collar_bps` of it and within "
        "`collar_absolute`",
        scope="symbol",
        limits=("collar_bps", "collar_absolute", "reference_max_age_us"),
        component="hdl/risk/collar.py::PriceCollar",
        properties=("gate-11-price-collar",),
        tests=(
            f"{_TEST}the_price_is_within_the_collar_on_both_sides",
            f"{_TEST}the_reference_is_fresh",
        ),
    ),
    Gate(
        number=12,
        name="collar over time",
        passes="highest - lowest price < `max_move`, of the prints of this interval and the one "
        "before, and the last one before those; intervals of 2^`account_move_window` ns follow "
        "each other, so that no move within this time is missed, and some count for twice as long",
        scope="symbol",
        limits=("max_move", "account_move_window"),
        component="hdl/risk/movement.py::Movement",
        properties=("gate-12-collar-over-time",),
        tests=(f"{_TEST}the_reference_has_moved_less_than_its_cap_within_the_window",),
    ),
    Gate(
        number=13,
        name="feed trust",
        passes="the symbol's book is trusted in this very cycle",
        scope="symbol",
        component="hdl/risk/gate.py::RiskGate",
        properties=("gate-13-feed-trust",),
        tests=(f"{_TEST}the_book_is_exact_in_the_cycle_of_the_decision",),
    ),
    Gate(
        number=14,
        name="staleness",
        passes="a message of the feed has come within `feed_max_age_us`, and one of the symbol "
        "within `symbol_max_age_us`; heartbeats are no messages",
        scope="symbol",
        limits=("feed_max_age_us", "symbol_max_age_us"),
        component="hdl/risk/freshness.py::Freshness",
        properties=("gate-14-staleness",),
        tests=(f"{_TEST}feed_and_symbol_have_been_heard_of_lately",),
    ),
    Gate(
        number=15,
        name="book sanity",
        passes="in the symbol's last top of book bid and ask are present, bid < ask, and ask - bid "
        "<= `max_book_spread`",
        scope="symbol",
        limits=("max_book_spread",),
        component="hdl/risk/sanity.py::BookSanity",
        properties=("gate-15-book-sanity",),
        tests=(f"{_TEST}the_book_has_two_sides_apart_and_near_each_other",),
    ),
    Gate(
        number=16,
        name="trading state",
        passes="trading action T seen and none since that stops trading, no operational halt of "
        "Nasdaq, no market-wide breach, regular session open (or `extended_hours` granted); "
        "unknown is not tradable",
        scope="symbol",
        limits=("extended_hours",),
        component="hdl/risk/trading_state.py::TradingState",
        properties=("gate-16-trading-state",),
        tests=(f"{_TEST}the_symbol_trades_and_the_market_is_open",),
    ),
    Gate(
        number=17,
        name="limit up/down band",
        passes="`band_low` <= price <= `band_high` and time < `band_until`, all supplied by the "
        "host; or the symbol is exempt (`band_exempt`)",
        scope="symbol",
        limits=("band_low", "band_high", "band_until_low", "band_until_high", "band_exempt"),
        component="hdl/risk/band.py::PriceBand",
        properties=("gate-17-limit-up-down-band",),
        tests=(f"{_TEST}the_price_is_within_a_band_that_has_not_expired",),
    ),
    Gate(
        number=18,
        name="message rate",
        passes="a token is left in the symbol's bucket, of 1 + `order_burst_ns` / "
        "`order_interval_ns`, and one in the session's, of which a reserve is kept for cancels",
        scope="symbol, session",
        limits=(
            "order_interval_ns",
            "order_burst_ns",
            "account_session_interval_ns",
            "account_session_burst_ns",
            "account_session_reserve_ns",
        ),
        component="hdl/risk/rate.py::MessageRate",
        properties=("gate-18-message-rate",),
        tests=(f"{_TEST}a_bucket_holds_so_many_tokens_and_fills_by_one_each_interval",),
        missing="K when sustained; cancels, which would draw on the reserve",
    ),
    Gate(
        number=19,
        name="open orders",
        passes="orders open of the symbol < `max_open_orders`, and of all symbols < "
        "`account_max_open_orders`",
        scope="symbol, account",
        limits=("max_open_orders", "account_max_open_orders"),
        component="hdl/risk/counts.py::OpenOrders",
        properties=("gate-19-open-orders",),
        tests=(
            f"{_TEST}no_more_orders_are_open_than_may_be",
            f"{_VALUATION}an_order_that_ends_is_open_no_more",
        ),
    ),
    Gate(
        number=20,
        name="token order",
        passes="without `[live]`; or the user reference number is the one after that of the last "
        "order, or the first after a login, higher than all since reset, and below "
        "`session_number_end`; a number that was used twice kills",
        scope="session",
        limits=("session_number_end",),
        component="hdl/order/manager/numbers.py::Numbers",
        properties=("gate-20-token-order", "numbers-rise", "number-once"),
        tests=(
            _JUDGED_ELSEWHERE,
            "tests/hdl/test_order_standing.py::test_numbers_follow_one_another_and_none_is_used_twice",
            "tests/hdl/test_order_entry.py::test_no_order_may_go_with_a_number_that_was_used_or_is_not_given",
        ),
    ),
    Gate(
        number=21,
        name="duplicate",
        passes="of the last 4 orders of the symbol that were approved, fewer than `max_duplicates` "
        "(1 to 4) have this side, price and quantity and are not older than `duplicate_window_ns`",
        scope="symbol",
        limits=("max_duplicates", "duplicate_window_ns"),
        component="hdl/risk/duplicates.py::Duplicates",
        properties=("gate-21-duplicate",),
        tests=(f"{_TEST}the_same_order_is_sent_only_so_often_within_its_window",),
        missing="K for repeats; the same order sent again after 4 others of its symbol is not "
        "noticed",
    ),
    Gate(
        number=22,
        name="self-trade",
        passes="for a buy, no own sell of the symbol is open, in flight or at the venue, or the "
        "price is below that of all own sells approved since the last moment at which none was; "
        "for a sell, the same with own buys, above. So the price of an order that is over may "
        "still count: it errs on the safe side. Or own orders may meet (`allow_self_trade`), as "
        "they must where nobody reports what has become of them",
        scope="symbol",
        limits=("allow_self_trade",),
        component="hdl/risk/crossing.py::SelfTrade",
        properties=("gate-22-self-trade",),
        tests=(
            f"{_TEST}no_own_order_meets_one_that_may_be_open",
            f"{_TEST}own_orders_that_are_over_are_in_the_way_until_none_of_their_side_is_open",
        ),
    ),
    Gate(
        number=23,
        name="short locate",
        passes="a buy, or open sells + quantity - position <= `short_locates`; 0: nothing is sold "
        "short",
        scope="symbol",
        limits=("short_locates",),
        component="hdl/risk/exposure.py::Exposure",
        properties=("gate-23-short-locate",),
        tests=(f"{_TEST}a_short_sale_needs_locates_for_all_that_is_short",),
    ),
    Gate(
        number=24,
        name="short-sale restriction",
        passes="no Reg SHO restriction (1 or 2) of the symbol is in force; or a buy; or a sell of "
        "shares held: open sells + quantity <= position; or a bid is present in the last top of "
        "book, and the price is above it",
        scope="symbol",
        component="hdl/risk/gate.py::RiskGate",
        properties=("gate-24-short-sale-restriction",),
        tests=(f"{_TEST}under_a_restriction_a_short_sale_is_above_the_best_bid",),
    ),
    Gate(
        number=25,
        name="permission",
        passes="the side is allowed (`allow_buy`, `allow_sell`), and so is the time in force of "
        "all orders (`allow_time_in_force`)",
        scope="symbol",
        limits=("allow_buy", "allow_sell", "allow_time_in_force"),
        component="hdl/risk/permission.py::Permission",
        properties=("gate-25-permission",),
        tests=(f"{_TEST}what_is_not_allowed_is_refused",),
    ),
    Gate(
        number=26,
        name="tick and lot",
        passes="the price is a multiple of `order_tick`, which is 0.0001, 0.005 or 0.01 USD; the "
        "quantity is one of `lot_size`, which is 1, 10, 40 or 100 shares",
        scope="symbol",
        limits=("order_tick", "lot_size"),
        component="hdl/risk/permission.py::TickAndLot",
        properties=("gate-26-tick-and-lot",),
        tests=(f"{_TEST}prices_are_on_the_tick_and_quantities_in_whole_lots",),
    ),
    Gate(
        number=27,
        name="repeated execution",
        passes="executions of own orders since the strategy was enabled < "
        "`account_max_executions`; as many latch it off until `renew_strategy`",
        scope="strategy",
        limits=("account_max_executions",),
        component="hdl/risk/executions.py::Executions",
        properties=("gate-27-repeated-execution", "executions-counted"),
        tests=(
            _JUDGED_ELSEWHERE,
            "tests/hdl/test_risk_executions.py::test_a_strategy_is_off_after_so_many_executions_until_it_is_enabled_anew",
        ),
    ),
    Gate(
        number=28,
        name="fill burst",
        passes="since the host last cleared it (start of day, or `clear_fill_burst`), no fill of "
        "the symbol was one too many: the fills of its interval and of the one before, itself "
        "included, were at most `max_fills`, and their shares at most `max_fill_shares`; intervals "
        "are of 2^`account_fill_window` ns, so that no burst within this time is missed",
        scope="symbol",
        limits=("max_fills", "max_fill_shares", "account_fill_window"),
        component="hdl/risk/fills.py::FillBurst",
        properties=("gate-28-fill-burst",),
        tests=(
            f"{_TEST}more_fills_or_shares_than_the_caps_within_the_window_stop_a_symbol",
            f"{_TEST}a_symbol_that_was_filled_too_fast_is_stopped_until_the_host_clears_it",
        ),
    ),
    Gate(
        number=29,
        name="daily totals",
        passes="with this order, orders <= `account_max_day_orders`, shares <= "
        "`account_max_day_shares`, notional <= `account_max_day_notional`; since start of day",
        scope="account",
        limits=(
            "account_max_day_orders",
            "account_max_day_shares",
            "account_max_day_notional_low",
            "account_max_day_notional_high",
        ),
        component="hdl/risk/counts.py::DailyTotals",
        properties=("gate-29-daily-totals",),
        tests=(f"{_TEST}the_totals_of_the_day_are_within_their_limits",),
    ),
    Gate(
        number=30,
        name="loss",
        passes="what was sold - what was bought + what positions are worth at the worse side of "
        "the last top of book >= - `account_max_loss`, since start of day, and each position has a "
        "price; kills when it is known to be below",
        scope="account",
        limits=("account_max_loss_low", "account_max_loss_high"),
        component="hdl/risk/valuation.py::Valuation",
        properties=(
            "gate-30-loss",
            "valuation-rounds",
            "valuation-sums",
            "valuation-prices",
            "valuation-limit",
        ),
        tests=(
            f"{_VALUATION}a_loss_is_within_its_limit_or_beyond",
            "tests/sim/test_knight.py::test_a_loss_stops_it",
        ),
    ),
    Gate(
        number=31,
        name="unacknowledged",
        passes="without `[live]`; or the oldest order without an answer is not older than "
        "`order_timeout`, and fewer than `session_unanswered.most` are without; one older than "
        "`kill_timeout` kills",
        scope="session",
        limits=("session_limits", "session_unanswered"),
        component="hdl/order/manager/watch.py::Watch",
        properties=("gate-31-unacknowledged", "unanswered-capped"),
        tests=(
            _JUDGED_ELSEWHERE,
            "tests/hdl/test_order_manager.py::test_an_order_without_an_answer_stops_others_and_then_kills",
            "tests/hdl/test_order_manager.py::test_so_many_orders_may_be_without_an_answer_and_no_more",
        ),
        missing="P: open orders of the symbol stay",
    ),
    Gate(
        number=32,
        name="reject storm",
        passes="since the kill was cleared, the venue has rejected at most "
        "`session_rejects.most` orders within any `session_rejects.window`; more kill",
        scope="session",
        limits=("session_rejects",),
        component="hdl/order/manager/rejects.py::Rejects",
        properties=("gate-32-reject-storm", "rejects-counted"),
        tests=(
            _JUDGED_ELSEWHERE,
            "tests/hdl/test_order_standing.py::test_more_rejects_than_allowed_within_the_window_are_a_storm",
        ),
    ),
    Gate(
        number=33,
        name="fill integrity",
        passes="since the kill was cleared, every report of the venue could be: it named an order "
        "of the card, executed no more than was open, suited the state, could be read, and none "
        "was missing; what could not be kills",
        scope="session",
        component="hdl/order/manager/manager.py::OrderManager",
        properties=("gate-33-fill-integrity", "killed-no-order"),
        tests=(
            _JUDGED_ELSEWHERE,
            "tests/hdl/test_order_manager.py::test_what_does_not_fit_together_is_counted_once_and_is_a_violation",
        ),
    ),
    Gate(
        number=34,
        name="memory integrity",
        passes="no flipped bit is seen in what the gates go by, and none was since `clear_kill`: "
        "every word of limits, strategy, positions, own orders and of what the gates keep of a "
        "symbol has a parity bit, sums have inverted copies; one that is seen kills",
        scope="card",
        component="hdl/risk/integrity.py::Integrity",
        properties=("gate-34-memory-integrity", "parity-of-memory"),
        tests=(
            f"{_TEST}a_flipped_bit_refuses_until_the_host_forgives_it",
            f"{_TEST}a_flipped_bit_in_any_memory_of_the_gate_refuses_the_order_that_reads_it",
            f"{_TEST}a_sum_that_differs_from_its_copy_refuses_and_is_told",
            "tests/hdl/test_control_parameters.py::test_a_flipped_bit_is_told_to_who_reads_it",
        ),
        missing="what gates 12, 22 and 28 keep of a symbol has no parity bit",
    ),
    Gate(
        number=35,
        name="audit room",
        passes="the queue of events has room for the record of this order and of 15 other events; "
        "or `account_unaudited`",
        scope="card",
        limits=("account_unaudited",),
        component="hdl/control/events.py::EventQueue",
        properties=("gate-35-audit-room", "audit-room-lasts"),
        tests=(
            _JUDGED_ELSEWHERE,
            "tests/hdl/test_control_events.py::test_room_and_pending_follow_the_queue",
        ),
    ),
)

OBLIGATORY: tuple[str, ...] = (
    "max_long",
    "max_short",
    "max_order_quantity",
    "max_order_notional",
    "collar_bps",
    "collar_absolute",
    "reference_max_age_us",
    "max_book_spread",
    "order_tick",
    "lot_size",
    "allow_time_in_force",
    "feed_max_age_us",
    "symbol_max_age_us",
    "order_interval_ns",
    "max_open_orders",
    "max_duplicates",
    "duplicate_window_ns",
    "max_move",
)
"""Limits of a symbol that gate 4 wants not to be zero."""

OBLIGATORY_OF_ACCOUNT: tuple[str, ...] = (
    "max_gross",
    "max_net",
    "max_open_orders",
    "max_day_orders",
    "max_day_shares",
    "max_day_notional",
    "max_loss",
    "session_interval_ns",
    "max_executions",
    "move_window",
    "fill_window",
)
"""Limits of the account that it wants not to be zero."""

BY_NUMBER: Mapping[int, Gate] = {gate.number: gate for gate in GATES}
BUILT: tuple[int, ...] = tuple(gate.number for gate in GATES if gate.built)
"""The numbers of the gates that the card has."""


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def render_table() -> str:
    """The gates that are built, for docs/risk.md."""
    rows = [(f"{gate.number} {gate.name}", gate.passes, gate.scope) for gate in GATES if gate.built]
    return _table(("gate", "passes when", "scope"), rows)


def render_missing() -> str:
    """The gates that are not built, and what those that are do not do."""
    rows = [(f"{gate.number} {gate.name}", gate.missing) for gate in GATES if gate.missing]
    return _table(("gate", "missing"), rows)


def render_trace() -> str:
    """What each gate is made of and what shows that it works."""
    rows = [
        (
            str(gate.number),
            f"`{gate.component}`",
            ", ".join(gate.properties) or "none yet",
            "<br>".join(f"`{test}`" for test in gate.tests),
            f"`{gate.event}`",
            f"`{gate.counter}`",
        )
        for gate in GATES
        if gate.built
    ]
    return _table(("gate", "component", "properties", "tests", "event", "counter"), rows)
