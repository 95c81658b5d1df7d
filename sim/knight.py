"""The Knight test: a strategy gone wild, and what of the card's gates stops it, and where.

A market in which the bid is always the heavier side, so that the strategy buys on every tick; a
venue that fills all of it at once. One gate at a time has a limit, all others are wide open.

Ref: docs/risk.md; SEC, administrative proceeding 3-15570 (Knight Capital, 2013).
"""

import collections
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path

from tickgate.host import session
from tickgate.host.config import usd
from tickgate.host.worth import worth
from tickgate.sim.live import Desk
from tickgate.sim.replay import Options, open_card, plan
from tickgate.spec import itch50

__all__ = ["SCENARIOS", "Scenario", "Stop", "run", "tape"]

LOCATE, NAME = 7, "KNIGHT"
START, CENT = 50_0000, 100
QUANTITY = 100
TICKS = 200
EVENTS_EACH = 32
"""Ticks after which the host takes the card's events."""
STOPPED = 32
"""After so many ticks without an order it has been stopped."""
WIDE = {
    "order_interval_ns": 1,
    "order_burst_ns": 1_000_000_000,
    "max_duplicates": 4,
    "duplicate_window_ns": 1,
    "max_long_shares": 1_000_000_000,
    "reference_max_age_us": 4_000_000_000,
    "feed_max_age_us": 4_000_000_000,
    "symbol_max_age_us": 4_000_000_000,
    "collar_bps": 9_000,
}
STRATEGY = {
    "threshold_fraction": Decimal("0.5"),
    "quantity_shares": QUANTITY,
    "min_interval_ns": 0,
    "max_spread_usd": Decimal(1),
}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One gate that is to stop it.

    Parameters
    ----------
    gate : int
    name : str
    limit : int
        Orders, or 1e-4 USD.
    drift : int
        Cents that the price moves every few ticks.
    kills : str
        The cause that the card is killed by; empty: it only refuses.
    account, limits : dict
        The section of the account, and of the symbol, that sets the limit.
    """

    gate: int
    name: str
    limit: int
    drift: int = 0
    kills: str = ""
    account: dict = field(default_factory=dict)
    limits: dict = field(default_factory=dict)


ORDERS, GROSS, LOSS = 20, 101_000, 400
INTERVAL_NS = 100_000_000
"""Longer than all of it takes."""
SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        gate=7,
        name="gross exposure",
        limit=GROSS * 10_000,
        drift=10,
        kills="gross_exposure",
        account={"max_gross_usd": Decimal(GROSS)},
    ),
    Scenario(
        gate=18,
        name="message rate",
        limit=ORDERS,
        limits={
            "order_interval_ns": INTERVAL_NS,
            "order_burst_ns": (ORDERS - 1) * INTERVAL_NS,
        },
    ),
    Scenario(
        gate=30,
        name="loss",
        limit=LOSS * 10_000,
        drift=-1,
        kills="loss",
        account={"max_loss_usd": Decimal(LOSS)},
    ),
)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Where it was stopped. Sums in 1e-4 USD; a loss is positive.

    `used` is what the gate limits, as the last order found it (and with it, but for a loss);
    `refused` are the ticks whose order that gate refused, and `ticks` all. What is held and lost is
    that of the tick of the kill, or of the last one.
    """

    gate: int
    name: str
    limit: int
    used: int
    ticks: int
    orders: int
    position: int
    gross: int
    loss: int
    refused: int
    others_refused: int
    kill_causes: tuple[str, ...]

    @property
    def within(self) -> bool:
        """Whether no order left beyond the limit, and it was stopped at all."""
        return self.used <= self.limit and self.orders > 0 and self.ticks < TICKS

    def as_dict(self) -> dict:
        """All of it in plain types."""
        money = {name: str(usd(getattr(self, name))) for name in ("gross", "loss")}
        in_usd = self.gate != 18
        limited = {
            name: str(usd(getattr(self, name))) if in_usd else getattr(self, name)
            for name in ("limit", "used")
        }
        return {**asdict(self), **money, **limited, "within": self.within}


def _message(type_: str, **values: int | str) -> bytes:
    message = itch50.MESSAGES[type_]
    every = {each.name: " " if each.kind.is_text else 0 for each in message if each.name != "type"}
    common = {"stock_locate": LOCATE, "stock": NAME}
    every |= {name: value for name, value in common.items() if name in every}
    octets = message.pack(**(every | values))
    return len(octets).to_bytes(2, "big") + octets


def tape(drift: int) -> Iterator[bytes]:
    """The market: a heavy bid, a light ask 2 cents above; each message of the end is a tick."""
    bid, ask, shares, price = 1, 2, 1_000_000, START
    add = {"side": "B", "shares": shares, "price": price - 2 * CENT}
    yield _message("S", event_code="Q", stock_locate=0)
    yield _message("R", round_lot_size=100)
    yield _message("H", trading_state="T")
    yield _message("A", order_ref=bid, **add)
    add |= {"side": "S", "shares": QUANTITY, "price": price}
    yield _message("P", shares=1, price=price, side="B")
    yield _message("A", order_ref=ask, **add)
    following = 3
    for tick in range(TICKS):
        if drift and tick % 4 == 3:
            price += drift * CENT
            moved = {"bid": price - 2 * CENT, "ask": price}
            for side in ("bid", "ask") if drift < 0 else ("ask", "bid"):
                old = bid if side == "bid" else ask
                new = {"orig_order_ref": old, "price": moved[side]}
                size = shares if side == "bid" else QUANTITY
                yield _message("U", new_order_ref=following, shares=size, **new)
                bid, ask = (following, ask) if side == "bid" else (bid, following)
                following += 1
            yield _message("P", shares=1, price=price, side="B")
        shares -= 1
        yield _message("X", order_ref=bid, canceled_shares=1)


def run(scenario: Scenario, *, width: int = 8, quiet: bool = False) -> Stop:
    """Lets the strategy go wild until the gate of this scenario has stopped it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "knight.itch"
        file.write_bytes(b"".join(tape(scenario.drift)))
        options = Options(
            width=width,
            pack=1,
            direct=True,
            strategy=STRATEGY,
            limits={**WIDE, **scenario.limits},
        )
        planned = plan(file, options)
        with open_card(planned, quiet=quiet) as card:
            wide = {"session_interval_ns": 1, "session_burst_ns": 1_000_000_000}
            return _play(Desk(card, planned, account={**wide, **scenario.account}), scenario)


def _play(desk: Desk, scenario: Scenario) -> Stop:
    """A tick at a time, and what was used up before each of them."""
    held = None
    desk.login(range(1, 100_000))
    desk.driver.arm(desk.config)
    venue, registers, used, idle, ticks = desk.venue, desk.registers, 0, 0, 0
    while ticks < TICKS and idle < STOPPED:
        before, orders = _used(desk, scenario), len(venue.orders)
        desk.play(lambda: True, messages=1)
        ticks += 1
        if held is None and desk.driver.status().killed:
            held = worth(registers)
        if ticks % EVENTS_EACH == 0:
            # Or the card would lose some.
            collections.deque(desk.driver.events(), maxlen=0)
        if len(venue.orders) > orders:
            used, idle = _with_the_order(scenario, before, venue.orders[-1]), 0
        elif orders:
            idle += 1
    counters, held = desk.driver.counters(), held or worth(registers)
    refusing = {name for name in counters if name.startswith("refused_gate_") and counters[name]}
    mine, dead = f"refused_gate_{scenario.gate}", {"refused_gate_1", "refused_gate_2"}
    (symbol,) = desk.planned.tracked
    return Stop(
        gate=scenario.gate,
        name=scenario.name,
        limit=scenario.limit,
        used=used,
        ticks=ticks,
        orders=len(venue.orders),
        position=session.account(registers, symbol.index).position,
        gross=held.long_value + held.short_value,
        loss=-held.profit,
        refused=counters[mine],
        others_refused=sum(counters[name] for name in refusing - {mine} - dead),
        kill_causes=desk.driver.status().kill_causes,
    )


def _used(desk: Desk, scenario: Scenario) -> int:
    held = worth(desk.registers)
    match scenario.gate:
        case 7:
            return held.long_value + held.short_value
        case 30:
            return max(-held.profit, 0)
        case _:
            return len(desk.venue.orders)


def _with_the_order(scenario: Scenario, used: int, order: dict) -> int:
    match scenario.gate:
        case 7:
            return used + order["quantity"] * order["price"]
        case 30:
            return used
        case _:
            return used + 1
