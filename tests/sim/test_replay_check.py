"""The comparison with the golden models finds whatever is changed in what a real card has done."""

import copy
from dataclasses import replace

import pytest

from tickgate.sim import market
from tickgate.sim.check import Checker
from tickgate.sim.replay import Options, plan, run
from tickgate.sim.trace import Trace
from tickgate.sim.virtual import CLOCK_PERIOD_PS, Card

WIDTH = 8


class Recorder:
    """Keeps every piece of a replay."""

    def __init__(self):
        self.traces = []

    def take(self, trace, effects):
        self.traces.append(trace)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A plan and its pieces, of a replay that was found to be right."""
    file = tmp_path_factory.mktemp("market") / "market.itch"
    file.write_bytes(market.generate(seed=4, messages=4_000).data)
    planned = plan(file, Options(width=WIDTH, check=True))
    recorder = Recorder()
    result = run(planned, sinks=[recorder], quiet=True)
    assert result.difference is None
    assert result.orders > 20 and result.compared["frames"] == result.orders
    return planned, recorder.traces, result


def compare(planned, traces, counters=None):
    """The first difference that the checker finds in these pieces."""
    period = CLOCK_PERIOD_PS[WIDTH]
    checker = Checker(
        config=planned.config,
        ticks=planned.options.ticks,
        time_ns=lambda cycle: (cycle - Card.RESET_CYCLES) * period // 1000,
        store_overflowed=lambda: False,
    )
    whole = [symbol.index for symbol in planned.tracked if symbol.whole]
    rows = [
        {
            name: index if name == "symbol" else int(name == "exact")
            for name in (
                "symbol",
                "bid_present",
                "bid_price",
                "bid_shares",
                "ask_present",
                "ask_price",
                "ask_shares",
                "exact",
                "sequence",
            )
        }
        for index in whole
    ]
    assert checker.set_whole(whole, rows) is None
    assert checker.set_whole(whole, rows[:-1]) is not None or not rows
    for trace in traces:
        difference = checker.compare(trace)
        if difference is not None:
            return difference
    return None if counters is None else checker.compare_counters(counters)


def changed(trace: Trace, **parts) -> Trace:
    """The same piece with other parts in its log."""
    log = replace(copy.deepcopy(trace.log), **parts)
    return Trace(frames=trace.frames, log=log, width=WIDTH, tx_gap=20)


def test_what_the_card_did_is_right(played):
    planned, traces, result = played
    assert compare(planned, traces, result.counters) is None


TOP_FIELDS = (
    "symbol", "bid_present", "bid_price", "bid_shares", "ask_present", "ask_price", "ask_shares",
    "exact", "sequence", "stamp",
)  # fmt: skip


@pytest.mark.parametrize("name", TOP_FIELDS)
def test_a_change_of_any_field_of_a_top_is_found(played, generator, name):
    planned, traces, _ = played
    at = generator.randrange(1, len(traces))
    tops = traces[at].log.tops.copy()
    row = generator.randrange(len(tops))
    tops[name][row] ^= 1
    difference = compare(planned, [*traces[:at], changed(traces[at], tops=tops)])
    assert difference is not None
    if name not in ("symbol", "stamp", "sequence"):
        message = traces[at].frames.first_index + int(traces[at].top_message[row])
        assert (difference.what, difference.message) == ("top of book", message)
        assert difference.card[name] == difference.model[name] ^ 1
        assert "t0 in cycle" in difference.where


def test_a_missing_and_an_invented_top_are_found(played, generator):
    planned, traces, _ = played
    tops = traces[0].log.tops
    row = generator.randrange(len(tops))
    kept = [n for n in range(len(tops)) if n != row]
    difference = compare(planned, [changed(traces[0], tops=tops[kept])])
    assert difference.what == "top of book" and difference.model
    twice = sorted([*range(len(tops)), row])
    difference = compare(planned, [changed(traces[0], tops=tops[twice])])
    assert difference.what == "top of book" and difference.card


def with_orders(traces) -> int:
    return next(n for n, trace in enumerate(traces) if len(trace.log.tx_frames) > 2)


@pytest.mark.parametrize(
    "name",
    ["cycle", "approved", "reasons", "symbol", "side", "price", "quantity", "sequence",
     "user_ref_num"],
)  # fmt: skip
def test_a_change_of_any_field_of_a_verdict_is_found(played, name):
    planned, traces, _ = played
    at = with_orders(traces)
    verdicts = traces[at].log.verdicts.copy()
    verdicts[name][1] ^= 1
    difference = compare(planned, [*traces[:at], changed(traces[at], verdicts=verdicts)])
    # Without its approval an order's frame belongs to no verdict.
    assert difference.what == "verdict"
    assert difference.card[name] == difference.model[name] ^ 1


def test_a_missing_and_an_invented_verdict_are_found(played):
    planned, traces, _ = played
    at = with_orders(traces)
    log = traces[at].log
    fewer = changed(traces[at], verdicts=log.verdicts[:-1])
    assert compare(planned, [*traces[:at], fewer]) is not None
    more = changed(traces[at], verdicts=log.verdicts[[*range(len(log.verdicts)), 0]])
    assert compare(planned, [*traces[:at], more]).what == "verdict"


def test_a_change_of_any_octet_of_an_order_frame_is_found(played, generator):
    planned, traces, _ = played
    at = with_orders(traces)
    frames = traces[at].log.tx_frames
    for octet in generator.sample(range(len(frames[1].octets)), 12):
        octets = bytearray(frames[1].octets)
        octets[octet] ^= 1 << generator.randrange(8)
        wrong = [frames[0], replace(frames[1], octets=bytes(octets)), *frames[2:]]
        difference = compare(planned, [*traces[:at], changed(traces[at], tx_frames=wrong)])
        assert difference.what == "order frame"
        assert difference.card["octets"] == octets.hex()


def test_an_order_frame_that_is_missing_late_or_one_too_many_is_found(played):
    planned, traces, _ = played
    at = with_orders(traces)
    frames = traces[at].log.tx_frames
    late = replace(frames[0], first_cycle=frames[0].first_cycle + 1)
    for wrong in (frames[:-1], [*frames, frames[-1]], [late, *frames[1:]]):
        difference = compare(planned, [*traces[:at], changed(traces[at], tx_frames=wrong)])
        assert difference.what == "order frame"


@pytest.mark.parametrize(
    "name",
    ["feed_messages", "eth_frames", "book_disagreement", "orders_approved", "refused_gate_16"],
)
def test_a_counter_that_is_wrong_is_found(played, name):
    planned, traces, result = played
    counters = {**result.counters, name: result.counters[name] + 1}
    difference = compare(planned, traces, counters)
    assert difference.what == "counters"
    assert difference.card == {name: counters[name]}
    assert difference.model == {name: counters[name] - 1}
