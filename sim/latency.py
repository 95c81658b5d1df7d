"""Latency by what a message did to the top of book: counted in clock cycles, never estimated.

Ref: docs/architecture.md, "Time".
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np

from tickgate.sim.orders import LiveOrders, Removal
from tickgate.sim.trace import Trace

__all__ = ["CLASSES", "EFFECTS", "Effects", "Latency", "statistics"]

EFFECTS = ("improve", "join", "resize", "empty", "other")
"""A side got a better best price; shares were added at the best, taken from it; the best level was
emptied, though a Replace may have filled another one; the prices and shares stayed."""

CLASSES = {"improve": ("improve",), "resize": ("join", "resize"), "empty": ("empty",)}
"""The classes in which latency is reported, by the effects in each."""

IMPROVE, JOIN, RESIZE, EMPTY, OTHER = range(len(EFFECTS))
NO_ASK = 1 << 33


class Effects:
    """Tells for each change of a top of book what effect its message had.

    Parameters
    ----------
    symbols : mapping of int to int
        Stock locate to symbol index.

    Members
    -------
    orders : LiveOrders
        Those of the tracked symbols after the last message seen.
    last : dict of int to tuple
        Bid price, bid shares, ask price, ask shares of each symbol.
    """

    def __init__(self, symbols: Mapping[int, int]) -> None:
        self.orders = LiveOrders(symbols)
        self.last: dict[int, tuple[int, int, int, int]] = defaultdict(lambda: (0, 0, 0, 0))

    def classify(self, trace: Trace) -> np.ndarray:
        """The index in `EFFECTS` of each top of book in the log."""
        removals = self.orders.update(trace.frames)
        tops = trace.log.tops
        effects = np.empty(len(tops), np.int64)
        rows = zip(
            tops["symbol"].tolist(),
            tops["bid_price"].tolist(),
            tops["bid_shares"].tolist(),
            tops["ask_price"].tolist(),
            tops["ask_shares"].tolist(),
            trace.top_message.tolist(),
            strict=True,
        )
        for at, (symbol, *now, message) in enumerate(rows):
            before, self.last[symbol] = self.last[symbol], tuple(now)
            effects[at] = _effect(before, now, removals.get(message))
        return effects


def _effect(before, now, removal: Removal | None) -> int:
    bid, bid_shares, ask, ask_shares = now
    old_bid, old_bid_shares, old_ask, old_ask_shares = before
    if removal is not None:
        best = (old_bid, old_bid_shares) if removal.side == 0 else (old_ask, old_ask_shares)
        if best == (removal.price, removal.shares):
            return EMPTY
    ask, old_ask = ask or NO_ASK, old_ask or NO_ASK
    if bid > old_bid or ask < old_ask:
        return IMPROVE
    if bid < old_bid or ask > old_ask:
        return EMPTY
    if bid_shares > old_bid_shares or ask_shares > old_ask_shares:
        return JOIN
    if bid_shares < old_bid_shares or ask_shares < old_ask_shares:
        return RESIZE
    return OTHER


class Latency:
    """How often each latency was seen, by message type and effect.

    Members
    -------
    to_top : dict of (str, str) to Counter
        Cycles from t0 to the top of book.
    to_order : dict of (str, str) to Counter
        Cycles from t0 to the first octet of the order frame.
    frame_to_order : Counter
        Cycles from the first octet of the frame that brought the message to that of the order's;
        it contains the time that the frame takes to come in.
    """

    def __init__(self) -> None:
        self.to_top: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        self.to_order: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        self.frame_to_order: Counter[int] = Counter()

    def add(self, trace: Trace, effects: np.ndarray) -> None:
        """Takes the tops and orders of one piece."""
        tops = np.flatnonzero((trace.top_message >= 0) & (effects != OTHER))
        messages = trace.top_message[tops]
        cycles = trace.log.tops["cycle"][tops].astype(np.int64) - trace.t0[messages]
        types = trace.frames.messages.types
        _count(self.to_top, types[messages], effects[tops], cycles)
        self._add_orders(trace, effects, types)

    def _add_orders(self, trace: Trace, effects: np.ndarray, types: np.ndarray) -> None:
        messages = trace.verdict_message[trace.sent_verdict]
        effect_of = dict(zip(trace.top_message.tolist(), effects.tolist(), strict=True))
        known = np.flatnonzero(messages >= 0)
        messages, sent = messages[known], trace.sent[known]
        caused = np.array([effect_of.get(message, OTHER) for message in messages.tolist()], int)
        _count(self.to_order, types[messages], caused, sent - trace.t0[messages])
        starts = trace.starts[trace.frames.frame[messages]]
        self.frame_to_order.update((sent - starts).tolist())

    def report(self) -> dict[str, dict[str, dict[str, int]]]:
        """Statistics by class, of t0 to the top of book and of t0 to the order."""
        return {
            "t0_to_top": _by_class(self.to_top),
            "t0_to_order": _by_class(self.to_order),
        }

    def report_by_type(self) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
        """Statistics by message type and effect, likewise."""
        return {
            "t0_to_top": _by_type(self.to_top),
            "t0_to_order": _by_type(self.to_order),
        }


def _count(into, types: np.ndarray, effects: np.ndarray, cycles: np.ndarray) -> None:
    rows = Counter(zip(types.tolist(), effects.tolist(), cycles.tolist(), strict=True))
    for (type_, effect, latency), count in rows.items():
        into[chr(type_), EFFECTS[effect]][latency] += count


def _by_class(counts) -> dict[str, dict[str, int]]:
    report = {}
    for name, effects in CLASSES.items():
        merged: Counter[int] = Counter()
        for (_, effect), counter in counts.items():
            if effect in effects:
                merged.update(counter)
        report[name] = statistics(merged)
    return report


def _by_type(counts) -> dict[str, dict[str, dict[str, int]]]:
    report: dict[str, dict[str, dict[str, int]]] = defaultdict(dict)
    for type_, effect in sorted(counts, key=lambda key: (key[0], EFFECTS.index(key[1]))):
        report[type_][effect] = statistics(counts[type_, effect])
    return dict(report)


def statistics(counter: Counter[int] | None) -> dict[str, int | None]:
    """Count, min, p50, p99 and max of latencies by how often each was seen.

    A percentile is the least latency that at least so many have or are below; None of none.
    """
    total = counter.total() if counter else 0
    if not total:
        return {"count": 0, "min": None, "p50": None, "p99": None, "max": None}
    values = sorted(counter)
    sums = np.cumsum([counter[value] for value in values])
    quantiles = {}
    for name, hundredths in (("p50", 50), ("p99", 99)):
        quantiles[name] = values[int(np.searchsorted(sums, -(-total * hundredths // 100)))]
    return {"count": total, "min": values[0], **quantiles, "max": values[-1]}
