"""What a message did to the top of book, and the statistics of latency by that."""

from collections import Counter

import numpy as np
import pytest

from tickgate.sim.frames import Packer
from tickgate.sim.latency import EFFECTS, Effects, Latency, statistics
from tickgate.sim.messages import Messages
from tickgate.sim.trace import Trace
from tickgate.sim.virtual.card import Frame, Log
from tickgate.spec import ethernet, itch50

LOCATE = 13
WIDTH = 8
ORDER_SIZE = 108
TOP = np.dtype(
    [
        (name, "u8")
        for name in (
            "cycle", "symbol", "bid_price", "bid_shares", "ask_price", "ask_shares", "exact",
            "sequence",
        )
    ]
)  # fmt: skip
VERDICT = np.dtype([(name, "u8") for name in ("cycle", "approved", "sequence")])


def make(type_: str, time: int, **values) -> bytes:
    fields = {
        field.name: "" if field.kind.is_text else 0
        for field in itch50.MESSAGES[type_]
        if field.name != "type"
    }
    values = {**fields, "stock_locate": LOCATE, "timestamp": time, **values}
    return itch50.MESSAGES[type_].pack(**values)


def pack(messages: list[bytes]):
    octets = b"".join(len(each).to_bytes(2, "big") + each for each in messages)
    sizes = np.array([len(each) for each in messages], np.int64)
    batch = Messages(
        octets=np.frombuffer(octets, np.uint8),
        begin=np.cumsum(sizes + 2) - sizes,
        size=sizes,
    )
    return Packer(address=0xE936_0C6F, port=26477, pack=1).frames(batch)


def order_frame() -> bytes:
    """As much of an order's frame as tells it from others."""
    octets = bytearray(ORDER_SIZE)
    ethertype = ethernet.ETHERNET.offset("ethertype")
    octets[ethertype : ethertype + 2] = ethernet.ETHERTYPE_IPV4.to_bytes(2, "big")
    octets[ethernet.ETHERNET.size + ethernet.IPV4.offset("protocol")] = ethernet.PROTOCOL_TCP
    return bytes(octets)


def trace_of(messages, tops=(), verdicts=(), sent=(), starts=None, tx_gap=20) -> Trace:
    frames = pack(messages)
    starts = np.arange(len(messages)) * 100 if starts is None else np.array(starts)
    log = Log(
        starts=starts.astype(np.uint64),
        tops=np.array(list(tops), TOP),
        verdicts=np.array(list(verdicts), VERDICT),
        gaps=np.empty(0, np.uint64),
        tx_frames=[
            Frame(first_cycle=first, last_cycle=last, octets=order_frame()) for first, last in sent
        ],
    )
    return Trace(frames=frames, log=log, width=WIDTH, tx_gap=tx_gap)


def effects_of(*steps) -> list[str]:
    """The effects of messages, each with the top (bid, shares, ask, shares) after it or None."""
    messages = [message for message, _ in steps]
    tops = [(0, 0, *top, 1, n) for n, (_, top) in enumerate(steps, 1) if top is not None]
    codes = Effects({LOCATE: 0}).classify(trace_of(messages, tops))
    return [EFFECTS[code] for code in codes]


def add(reference: int, side: str, shares: int, price: int) -> bytes:
    return make("A", 1, order_ref=reference, side=side, shares=shares, price=price)


def test_each_effect_is_told_from_the_tops_around_it():
    assert effects_of(
        (add(1, "B", 100, 1000), (1000, 100, 0, 0)),
        (add(2, "S", 50, 1100), (1000, 100, 1100, 50)),
        (add(3, "B", 10, 1000), (1000, 110, 1100, 50)),
        (add(4, "S", 10, 1050), (1000, 110, 1050, 10)),
        (make("X", 1, order_ref=1, canceled_shares=5), (1000, 105, 1050, 10)),
        (make("D", 1, order_ref=4), (1000, 105, 1100, 50)),
        (make("D", 1, order_ref=2), (1000, 105, 0, 0)),
        (make("P", 1), (1000, 105, 0, 0)),
    ) == ["improve", "improve", "join", "improve", "resize", "empty", "empty", "other"]


@pytest.mark.parametrize(
    ("shares", "price", "top", "effect"),
    [
        (100, 1200, (1200, 100, 0, 0), "empty"),
        (300, 1000, (1000, 300, 0, 0), "empty"),
        (100, 900, (950, 7, 0, 0), "empty"),
    ],
)
def test_a_replace_that_takes_all_of_the_best_level_empties_it(shares, price, top, effect):
    replace = make("U", 1, orig_order_ref=1, new_order_ref=3, shares=shares, price=price)
    first = (add(1, "B", 100, 1000), (1000, 100, 0, 0)), (add(2, "B", 7, 950), None)
    assert effects_of(*first, (replace, top)) == ["improve", effect]


def test_a_replace_that_leaves_some_of_the_best_level_is_what_it_came_to():
    first = (add(1, "B", 100, 1000), (1000, 100, 0, 0)), (add(2, "B", 7, 1000), (1000, 107, 0, 0))

    def replace(price: int) -> bytes:
        return make("U", 1, orig_order_ref=1, new_order_ref=3, shares=9, price=price)

    assert effects_of(*first, (replace(1100), (1100, 9, 0, 0)))[-1] == "improve"
    assert effects_of(*first, (replace(1000), (1000, 16, 0, 0)))[-1] == "resize"
    # An execution has left less of the order than the level holds, or all that it holds.
    execute = make("E", 1, order_ref=2, executed_shares=7)
    assert (
        effects_of(*first, (execute, (1000, 100, 0, 0)), (replace(1100), (1100, 9, 0, 0)))[-1]
        == "empty"
    )


def test_depth_is_what_the_orders_add_up_to():
    effects = Effects({LOCATE: 0})
    messages = [
        add(1, "B", 100, 1000),
        add(2, "B", 7, 1000),
        add(3, "S", 5, 1100),
        make("C", 1, order_ref=1, executed_shares=30),
        make("E", 1, order_ref=3, executed_shares=5),
        make("U", 1, orig_order_ref=2, new_order_ref=9, shares=8, price=990),
        add(4, "S", 5, 1200),
        make("D", 1, order_ref=77),
    ]
    effects.classify(trace_of(messages))
    assert effects.orders.depth(0) == ({1000: 70, 990: 8}, {1200: 5})
    assert len(effects.orders) == 3


def test_latency_is_counted_from_the_last_octet_of_the_message():
    messages = [add(1, "B", 100, 1000), make("D", 1, order_ref=1)]
    probe = trace_of(messages)
    t0 = probe.t0.tolist()
    # Headers and the length come before the message, which ends in the word of its last octet.
    assert t0 == [(62 + 2 + 36 - 1) // WIDTH, 100 + (62 + 2 + 19 - 1) // WIDTH]
    tops = [(t0[0] + 4, 0, 1000, 100, 0, 0, 1, 1), (t0[1] + 11, 0, 0, 0, 0, 0, 1, 2)]
    verdicts = [(t0[0] + 7, 1, 1), (t0[1] + 14, 0, 2)]
    trace = trace_of(messages, tops, verdicts, sent=[(t0[0] + 7, t0[0] + 20)])
    latency = Latency()
    latency.add(trace, Effects({LOCATE: 0}).classify(trace))
    assert latency.to_top == {("A", "improve"): Counter({4: 1}), ("D", "empty"): Counter({11: 1})}
    assert latency.to_order == {("A", "improve"): Counter({7: 1})}
    assert latency.frame_to_order == Counter({t0[0] + 7: 1})
    report = latency.report()
    assert report["t0_to_top"]["empty"] == {"count": 1, "min": 11, "p50": 11, "p99": 11, "max": 11}
    assert report["t0_to_order"]["resize"]["count"] == 0
    assert latency.report_by_type()["t0_to_order"]["A"]["improve"]["max"] == 7


@pytest.mark.parametrize(
    ("taken", "offered"), [(117, 117), (118, 107), (119, 119)], ids=["early", "at once", "later"]
)
def test_an_order_that_waits_for_the_port_was_offered_with_its_verdict(taken, offered):
    # 108 octets leave half a word, 4 octets, of the gap of 20: 2 more words.
    messages = [add(1, "B", 100, 1000), add(2, "B", 100, 1001)]
    verdicts = [(50, 1, 1), (107, 1, 2)]
    trace = trace_of(messages, (), verdicts, sent=[(50, 115), (taken, taken + 13)])
    assert trace.sent.tolist() == [50, offered]


def test_a_number_that_comes_again_means_the_nearer_message():
    trace = trace_of(
        [add(1, "B", 1, 1), add(2, "B", 1, 2), add(3, "B", 1, 3)],
        tops=[(t, 0, 1, 1, 0, 0, 1, s) for t, s in ((20, 1), (220, 1), (120, 2), (0, 9))],
    )
    trace.frames.sequence[2] = 1
    assert trace.top_message.tolist() == [0, 2, 1, -1]
    trace = trace_of([add(1, "B", 1, 1), add(2, "B", 1, 2)], tops=[(20, 0, 1, 1, 0, 0, 1, 2)])
    trace.frames.due[1] = False
    assert trace.top_message.tolist() == [-1]


def test_percentiles_are_latencies_that_were_seen():
    assert statistics(Counter({4: 99, 11: 1})) == {
        "count": 100, "min": 4, "p50": 4, "p99": 4, "max": 11
    }  # fmt: skip
    assert statistics(Counter({4: 98, 11: 2}))["p99"] == 11
    assert statistics(Counter({4: 1, 11: 1}))["p50"] == 4
    assert statistics(None)["min"] is None
