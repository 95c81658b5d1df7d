"""The outcome of a replay, for people and for programs.

Ref: docs/cli.md, "replay".
"""

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tickgate.sim.check import Difference
from tickgate.sim.latency import Latency, statistics
from tickgate.sim.orders import LiveOrders
from tickgate.sim.scan import Scan, Tracked
from tickgate.spec.registers import REGISTERS, Kind

if TYPE_CHECKING:
    from tickgate.sim.replay import Options

__all__ = ["DROPS", "Result"]

DROPS = (
    *(
        register.name
        for register in REGISTERS
        if register.kind is Kind.COUNTER
        and register.name.startswith("eth_")
        and register.name not in ("eth_frames", "eth_not_for_us")
    ),
    "feed_missed_messages",
    "feed_bad_datagrams",
    "feed_bad_blocks",
    "feed_duplicate_datagrams",
    "feed_duplicate_messages",
    "feed_held_datagrams",
    "feed_other_sessions",
    "feed_unknown_types",
    "feed_length_mismatches",
    "feed_bad_sides",
    "book_store_overflow",
)
"""Counters of what the card let go."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a replay came to.

    Parameters
    ----------
    path : str
    options : Options
    tracked : list of Tracked
    scan : Scan
    messages : int
        In the frames that were sent.
    top_changes, orders, refusals : int
    reasons : dict of int to int
        How many refusals had each vector of reasons.
    verdicts_by_symbol : dict of (int, bool) to int
        By symbol index and whether approved.
    rows_by_symbol, exact_rows_by_symbol : dict of int to int
    final_tops : dict of int to dict
        The last top of each symbol that had one.
    order_list : list of dict
    events : dict of str to int
        Events that the host has read, by kind.
    events_lost : int
    counters : dict of str to int
        The card's, at the end.
    difference : Difference or None
    compared : dict of str to int, or None
        How many tops, verdicts and frames the golden models agreed upon; None if nobody asked.
    abandoned : list of int
        Symbols that were not compared to the end, because the order store overflowed.
    latency : Latency
    live_orders : LiveOrders
    cycles : int
        From the first frame to the end.
    clock_period_ps : int
    wall_seconds : float
        Likewise.
    tx_faults : int
        Breaches of the rules of the transmit stream.
    retries : int
        Requests that the host had to repeat.
    """

    path: str
    options: "Options"
    tracked: list[Tracked]
    scan: Scan
    messages: int
    top_changes: int
    orders: int
    refusals: int
    reasons: dict[int, int]
    verdicts_by_symbol: dict[tuple[int, bool], int]
    rows_by_symbol: dict[int, int]
    exact_rows_by_symbol: dict[int, int]
    final_tops: dict[int, dict[str, int]]
    order_list: list[dict[str, Any]]
    events: dict[str, int]
    events_lost: int
    counters: dict[str, int]
    difference: Difference | None
    compared: dict[str, int] | None
    abandoned: list[int]
    latency: Latency
    live_orders: LiveOrders
    cycles: int
    clock_period_ps: int
    wall_seconds: float
    tx_faults: int
    retries: int

    @property
    def failed(self) -> bool:
        """True if the card did what it should not."""
        return self.difference is not None or self.tx_faults > 0

    @property
    def differences(self) -> int | None:
        """0 or 1, since the first one ends the replay; None if nobody looked."""
        return int(self.failed) if self.compared is not None or self.failed else None

    @property
    def simulated_seconds(self) -> float:
        """What the cycles would take on hardware."""
        return self.cycles * self.clock_period_ps * 1e-12

    @property
    def refusals_by_gate(self) -> dict[int, int]:
        """How many refusals each gate had a part in; 0 is the transmit port."""
        gates: Counter[int] = Counter()
        for reasons, count in self.reasons.items():
            for gate in range(reasons.bit_length()):
                if reasons >> gate & 1:
                    gates[gate] += count
        return dict(sorted(gates.items()))

    @property
    def dropped(self) -> dict[str, int]:
        """What the card let go, by cause."""
        return {name: self.counters[name] for name in DROPS} | {"events": self.events_lost}

    def as_dict(self) -> dict[str, Any]:
        """All of it in plain types; the names are stable."""
        return {
            "input": self.path,
            "width": self.options.width,
            "messages": self.messages,
            "malformed": self.scan.malformed,
            "by_type": dict(sorted(self.scan.by_type.items())),
            "tracked_messages": self.counters["feed_tracked_messages"],
            "symbols": [self._symbol(symbol) for symbol in self.tracked],
            "top_changes": self.top_changes,
            "orders": self.orders,
            "refusals": self.refusals,
            "refusals_by_gate": {str(gate): n for gate, n in self.refusals_by_gate.items()},
            "differences": self.differences,
            "compared": self.compared,
            "difference": self.difference and dataclasses.asdict(self.difference),
            "not_compared": [self.tracked[index].name for index in self.abandoned],
            "dropped": self.dropped,
            "counters": self.counters,
            "events": self.events,
            "cycles": self.cycles,
            "clock_period_ps": self.clock_period_ps,
            "clock_hz_nominal": round(1e12 / self.clock_period_ps),
            "simulated_seconds": self.simulated_seconds,
            "wall_seconds": self.wall_seconds,
            "messages_per_second": self.messages / self.wall_seconds,
            "cycles_per_second": self.cycles / self.wall_seconds,
            "latency": self.latency.report(),
            "latency_by_type": self.latency.report_by_type(),
            "frame_to_order": statistics(self.latency.frame_to_order),
            "tx_faults": self.tx_faults,
            "serial_retries": self.retries,
            "order_list": self.order_list,
        }

    def _symbol(self, symbol: Tracked) -> dict[str, Any]:
        rows = self.rows_by_symbol.get(symbol.index, 0)
        return {
            **dataclasses.asdict(symbol),
            "top": self.final_tops.get(symbol.index),
            "top_changes": rows,
            "exact_top_changes": self.exact_rows_by_symbol.get(symbol.index, 0),
            "orders": self.verdicts_by_symbol.get((symbol.index, True), 0),
            "refusals": self.verdicts_by_symbol.get((symbol.index, False), 0),
        }
