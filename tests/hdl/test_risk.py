# amaranth: UnusedElaboratable=no
"""The risk gate against its model, and each gate at its limit."""

import itertools

import pytest
from amaranth.hdl import Module, ResetInserter, Signal, Value
from amaranth.lib import data
from amaranth.sim import Simulator
from amaranth.utils import ceil_log2
from risk_bench import BUY, KINDS, SELL, SYMBOLS, pulled, simulate, top
from simulated import Simulated

from tickgate.hdl.risk.collar import PriceCollar
from tickgate.hdl.risk.exposure import Exposure
from tickgate.hdl.risk.gate import COUNTING, STANDING, Gate, RiskGate
from tickgate.hdl.risk.integrity import Faults
from tickgate.hdl.risk.trading_state import TradingState
from tickgate.sim.model import risk as model
from tickgate.sim.model.book import Top, Trade
from tickgate.sim.model.feed import Message
from tickgate.sim.model.strategy import Proposal
from tickgate.sim.prove.opened import inside, opened

WORD = 0xFFFF_FFFF
REFERENCE = 100_0000
VALUES_KNOWN, RELEASE_KNOWN, ENTERED, FILL_KNOWN = 3, 4, 2, 4
"""Cycles from values of positions, and from a release, to the first verdict that goes by them; from
a verdict to the cycle in which its order is added to the sums; from a fill to the first preview
that it counts for."""
CAPS = {"max_fills": 0xFFFF, "max_fill_shares": WORD}
BID, ASK = REFERENCE - 100, REFERENCE + 100
LIMITS = {
    "max_long": 1000,
    "max_short": 1000,
    "max_order_quantity": 500,
    "max_order_notional": 500 * REFERENCE,
    "collar_bps": 100,
    "collar_absolute": 2_0000,
    "reference_max_age_us": 10,
    "extended_hours": 0,
    "max_book_spread": 500,
    "order_tick": 1,
    "lot_size": 1,
    "allow_buy": 1,
    "allow_sell": 1,
    "allow_time_in_force": 0b0010,
    "short_locates": 2000,
    "feed_max_age_us": WORD,
    "symbol_max_age_us": WORD,
    "band_low": 0,
    "band_high": WORD,
    "band_until": 2**64 - 1,
    "band_exempt": 0,
    "order_interval_ns": 1,
    "order_burst_ns": WORD,
    "max_open_orders": 100,
    "max_duplicates": 4,
    "duplicate_window_ns": 1,
    "allow_self_trade": 1,
    "max_move": WORD,
}
ACCOUNT = {
    "max_gross": 2**64 - 1,
    "max_net": 2**64 - 1,
    "max_open_orders": 1000,
    "max_day_orders": 1000,
    "max_day_shares": WORD,
    "max_day_notional": 2**64 - 1,
    "max_loss": 2**64 - 1,
    "session_interval_ns": 1,
    "session_burst_ns": WORD,
    "session_reserve_ns": 0,
    "max_executions": 1,
    "move_window": 10,
    "fill_window": 10,
}
OPTIONAL = {
    *("extended_hours", "allow_buy", "allow_sell", "short_locates", "order_burst_ns"),
    *("band_low", "band_high", "band_until", "band_exempt", "allow_self_trade"),
}
OF_SELLS = {Gate.WORST_CASE_SHORT, Gate.SHORT_LOCATE, Gate.SHORT_SALE_RESTRICTION}
PROPOSAL = {
    "symbol": 1,
    "side": BUY,
    "price": REFERENCE,
    "quantity": 100,
    "sequence": 70,
    "stamp": 9,
}
NOTIONAL = PROPOSAL["quantity"] * PROPOSAL["price"]
CYCLE = {
    "preview": None,
    "meant": True,
    "limits": LIMITS,
    "position": 0,
    "account": ACCOUNT,
    "values_known": 1,
    "held": 0,
    "long_value": 0,
    "short_value": 0,
    "released": None,
    "released_shares": (0, 0),
    "closed": None,
    "armed": 1,
    "killed": 0,
    "standing": frozenset(STANDING),
    "exact": (1 << SYMBOLS) - 1,
    "message": None,
    "top": None,
    "trade": None,
    "fill": None,
    "let_go": None,
    "caps": CAPS,
    "time_in_force": "3",
    "time": 1_000_000,
    "busy": 0,
    "load": None,
    "start_of_day": 0,
    "faults": {},
    "forgive": 0,
}
OPENING = [
    {**CYCLE, "message": ("S", None, "Q")},
    *({**CYCLE, "message": ("H", symbol, "T")} for symbol in range(SYMBOLS)),
    *({**CYCLE, "trade": (symbol, REFERENCE)} for symbol in range(SYMBOLS)),
    *({**CYCLE, "top": (symbol, BID, ASK)} for symbol in range(SYMBOLS)),
]
PARTS = {
    "exposure": "exposure",
    "collar": "price_reference",
    "sanity": "book",
    "freshness": "freshness",
    "rate": "rate",
    "open_orders": "open_orders",
    "duplicates": "duplicates",
}
"""Parts of the gate that have a memory, and what the host is told if a bit of it flips."""
KEEPERS = {
    "account_exposure": "account_exposure",
    "totals": "daily_totals",
    "open_orders": "open_orders",
    "rate": "rate",
    "freshness": "freshness",
    "trading_state": "trading_state",
}
"""Parts of it that keep registers twice."""
IDLE = {**CYCLE}
SWEEP = 1 << ceil_log2(SYMBOLS)
"""Cycles in which the memories of the gate are cleared."""
PAUSE = [IDLE] * RiskGate.ACCOUNTING
"""What an order takes to be accounted for."""


def cycle(proposal=None, /, **facts) -> dict:
    """One cycle with a preview that differs from `PROPOSAL` as told, and is meant."""
    return {**CYCLE, "preview": {**PROPOSAL, **(proposal or {})}, **facts}


def bits(*gates) -> int:
    return sum(1 << gate for gate in gates)


def of_model(limits) -> model.Limits:
    flags = ("extended_hours", "allow_buy", "allow_sell", "allow_self_trade")
    allowed = limits["allow_time_in_force"]
    codes = {code for bit, code in enumerate("035E") if allowed >> bit & 1}
    converted = {name: bool(limits[name]) for name in flags}
    converted["allow_time_in_force"] = frozenset(codes)
    return model.Limits(**limits | converted)


class Entered:
    """What is open in the card's sums, in which an order comes `ENTERED` cycles after its verdict.

    What is closed or released and not there yet, is not there: an order that is still being added
    stays whole.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._notional, self._orders = [0, 0], [0] * SYMBOLS

    def add(self, order) -> None:
        self._notional[order.side] += order.price * order.quantity
        self._orders[order.symbol] += 1

    def take(self, now) -> tuple:
        """The side and the notional that are released in a cycle, and the symbol, if any."""
        side, freed, closed = BUY, 0, now["closed"]
        if now["released"]:
            side = now["released"]["side"]
            freed = min(now["released"]["notional"], self._notional[side])
            self._notional[side] -= freed
        if closed is not None and self._orders[closed]:
            self._orders[closed] -= 1
        else:
            closed = None
        return side, freed, closed


def judge(cycles) -> list[tuple]:
    """The same by the model. A trade counts from the next cycle's previews on."""
    risk = model.RiskModel({symbol: model.Limits() for symbol in range(SYMBOLS)})
    risk.config_valid = True
    verdicts, earlier, before, entered, last = [], {**IDLE, "time": 0}, IDLE, None, None
    sums, taken, new_day, faults = Entered(), [], -1, False
    for at, now in enumerate([*cycles, IDLE]):
        risk.armed, risk.killed = bool(now["armed"]), bool(now["killed"])
        risk.standing = frozenset(gate.value for gate in now["standing"])
        if now["load"] is not None and not now["armed"]:
            risk.next_user_ref_num = now["load"]
        account = cycles[at - VALUES_KNOWN] if at >= VALUES_KNOWN else CYCLE
        risk.long_value, risk.short_value = account["long_value"], account["short_value"]
        risk.values_known = bool(account["values_known"])
        risk.account = model.AccountLimits(**before["account"])
        if last and entered + ENTERED == at:
            sums.add(last)
        taken.append(sums.take(now))
        if at >= RELEASE_KNOWN:
            risk.released(*taken[at - RELEASE_KNOWN][:2])
        risk.damaged = faults or any(now["faults"].values())
        forgives = now["forgive"] and not now["armed"]
        faults = any(now["faults"].values()) if forgives else risk.damaged
        if before["preview"] and before["meant"]:
            proposal = {name: before["preview"][name] for name in Proposal._fields}
            symbol, limits = proposal["symbol"], before["limits"]
            risk.set_limits(symbol, of_model(limits))
            risk.time_in_force = before["time_in_force"]
            risk.set_position(symbol, before["position"])
            buys, sells = before["released_shares"]
            risk.set_released(symbol, buys=buys, sells=sells)
            risk.set_exact(symbol, now["exact"] >> symbol & 1)
            verdict = risk.judge(
                Proposal(**proposal),
                before["time"],
                interval_ns=earlier["time"],
                transmit_busy=bool(now["busy"]),
                accounting=entered is not None and at - entered <= RiskGate.ACCOUNTING,
            )
            if verdict.approved:
                entered, last = at, verdict.order
            verdicts.append(tuple(verdict))
        if now["start_of_day"] and not now["armed"]:
            risk.start_of_day()
            new_day = at
            sums.clear()
            last = None
        if at and taken[at - 1][2] is not None:
            risk.closed(taken[at - 1][2])
        if before["top"]:
            risk.top(Top(**top(*before["top"])))
        if before["trade"]:
            risk.trade(Trade(*before["trade"]), before["time"])
        if earlier["trade"]:
            risk.move(Trade(*earlier["trade"]), earlier["time"])
        if before["let_go"] is not None:
            risk.clear_fill_burst(before["let_go"])
        filled_at = at - FILL_KNOWN
        if filled_at > new_day and cycles[filled_at]["fill"]:
            symbol, shares = cycles[filled_at]["fill"]
            risk.set_limits(symbol, model.Limits(**cycles[filled_at + 1]["caps"]))
            risk.fill(symbol, shares, cycles[filled_at]["time"])
        if before["message"]:
            risk.heard(before["message"][1], before["time"])
        if now["message"]:
            kind, symbol, code = now["message"]
            risk.message(Message(type=kind, locate=0, timestamp=0, code=code), symbol)
        earlier, before = (before if at else earlier), now
    return verdicts


def outcome(*cycles, opening=OPENING) -> list[int]:
    """Reasons of each intent after the opening, about which the model must agree."""
    cycles = [*opening, *cycles]
    verdicts = simulate(cycles)
    assert verdicts == judge(cycles)
    return [reasons for _, reasons, _ in verdicts]


def some_limits(generator) -> dict:
    """Limits of which most are wide and some bite."""
    wide = {
        "max_long": WORD,
        "max_short": WORD,
        "max_order_quantity": 1_000_000,
        "max_order_notional": 2**64 - 1,
        "collar_bps": 100,
        "collar_absolute": WORD,
        "reference_max_age_us": WORD,
        "extended_hours": 1,
        "max_book_spread": WORD,
        "order_tick": 1,
        "lot_size": 1,
        "allow_buy": 1,
        "allow_sell": 1,
        "allow_time_in_force": 0b1111,
        "short_locates": WORD,
        "feed_max_age_us": WORD,
        "symbol_max_age_us": WORD,
        "band_low": 0,
        "band_high": WORD,
        "band_until": 2**64 - 1,
        "band_exempt": 0,
        "order_interval_ns": 1,
        "order_burst_ns": WORD,
        "max_open_orders": WORD,
        "max_duplicates": 4,
        "duplicate_window_ns": 1,
        "allow_self_trade": 1,
        "max_move": WORD,
    }
    tight = {
        "max_long": [1000, 3000],
        "max_short": [1000, 3000],
        "max_order_quantity": [100, 500, WORD],
        "max_order_notional": [100 * REFERENCE, 2**33],
        "collar_bps": [1, 10_000, 0xFFFF],
        "collar_absolute": [1, 1_0000],
        "reference_max_age_us": [1, 10],
        "extended_hours": [0],
        "max_book_spread": [200, 250],
        "order_tick": [50, 100, 3],
        "lot_size": [10, 40, 100, 7],
        "allow_buy": [0],
        "allow_sell": [0],
        "allow_time_in_force": [0b0010, 0b1101],
        "short_locates": [0, 900, 3000],
        "feed_max_age_us": [1],
        "symbol_max_age_us": [1, 2],
        "band_low": [REFERENCE, REFERENCE + 1],
        "band_high": [REFERENCE - 1, REFERENCE],
        "band_until": [CYCLE["time"] + 1_000_000],
        "band_exempt": [1],
        "order_interval_ns": [1000, 5000],
        "order_burst_ns": [0, 500, 5000],
        "max_open_orders": [1, 1, 2],
        "max_duplicates": [1, 2, 5],
        "duplicate_window_ns": [3000, 100_000],
        "allow_self_trade": [0],
        "max_move": [1, 2],
    }
    limits = {
        name: generator.choice(tight[name]) if generator.random() < 0.12 else value
        for name, value in wide.items()
    }
    if generator.random() < 0.1:
        limits[generator.choice(list(limits))] = 0
    return limits


def a_preview(generator, limits, references) -> dict:
    symbol = generator.choice([0, 0, 0, 1, 2])
    reference = references[symbol]
    allowed = reference * limits["collar_bps"] // 10_000
    distance = generator.choice([0, 1, allowed, allowed + 1, limits["collar_absolute"]])
    price = reference + generator.choice([-1, 1]) * (distance + generator.choice([-1, 0, 0, 1]))
    quantities = [1, 10, 10, 100, 101, limits["max_order_quantity"], 1_000_001, 0, WORD]
    return {
        "symbol": symbol,
        "side": generator.getrandbits(1),
        "price": min(WORD, max(0, price)),
        "quantity": generator.choice(quantities),
        "sequence": generator.getrandbits(32),
        "stamp": generator.getrandbits(16),
    }


def some_account_limits(generator) -> dict:
    tight = {
        "max_gross": [10**9, 10**11],
        "max_net": [10**9, 10**11],
        "max_open_orders": [1, 3],
        "max_day_orders": [20, 50],
        "max_day_shares": [5_000, 10**6],
        "max_day_notional": [10**9, 10**12],
        "max_loss": [1, 1, 1, 0],
        "session_interval_ns": [1000, 0],
        "session_burst_ns": [0, 5000],
        "session_reserve_ns": [0, 4000, WORD],
        "max_executions": [1, WORD],
    }
    return {
        name: generator.choice(tight[name])
        if name in tight and generator.random() < 0.15
        else value
        for name, value in ACCOUNT.items()
    }


def a_release(generator) -> dict:
    notional = generator.choice([0, 100 * REFERENCE, 10**9, 2**64 - 1])
    return {"side": generator.getrandbits(1), "notional": notional}


def a_random_cycle(generator, limits, account, references, time) -> dict:
    def rarely(value, otherwise, chance=0.02):
        return value if generator.random() < chance else otherwise

    symbol = generator.randrange(SYMBOLS)
    messages = [("H", symbol, "T"), ("H", symbol, generator.choice("THPQ")), ("H", None, "H")]
    messages += [("h", symbol, generator.choice("TTTTTTTH"))]
    messages += [("Y", symbol, generator.choice("0012"))]
    bid, ask = (generator.choice([None, 0, 100, 200]) for _ in "ba")
    top = (
        symbol,
        bid and max(0, references[symbol] - bid),
        ask and min(WORD, references[symbol] + ask),
    )
    messages += [("S", None, "Q"), ("S", None, generator.choice("QMOSEC"))]
    trade = rarely((symbol, generator.choice([1, REFERENCE, REFERENCE + 1, WORD])), None, 0.05)
    preview = rarely(a_preview(generator, limits[0], references), None, 0.8)
    if preview:
        same = limits[preview["symbol"]]
        preview = a_preview(generator, same, references) | {"symbol": preview["symbol"]}
    at = preview["symbol"] if preview else 0
    if trade:
        references[symbol] = trade[1]
    return {
        "preview": preview,
        "meant": generator.random() < 0.7,
        "limits": limits[at],
        "account": account,
        "values_known": rarely(0, 1, 0.05),
        "held": 0,
        "long_value": rarely(generator.choice([0, 10**9, 2**64 - 1]), 0, 0.1),
        "short_value": rarely(generator.choice([0, 10**9, 2**64 - 1]), 0, 0.1),
        "closed": rarely(symbol, None, 0.02),
        "released": rarely(a_release(generator), None, 0.05),
        "released_shares": tuple(
            rarely(generator.choice([1, 100, 500, 2**33 - 1]), 0, 0.03) for _ in range(2)
        ),
        "position": rarely(generator.choice([-(2**32), 2**32 - 1, -500]), 0, 0.1),
        "armed": rarely(0, 1),
        "killed": rarely(1, 0),
        "standing": rarely(
            frozenset(gate for gate in STANDING if generator.getrandbits(1)), frozenset(STANDING)
        ),
        "exact": rarely(generator.randrange(1 << SYMBOLS), (1 << SYMBOLS) - 1, 0.05),
        "message": rarely(generator.choice(messages), None, 0.1),
        "top": rarely(top, rarely((symbol, BID, ASK), None, 0.2), 0.05),
        "trade": trade,
        "fill": rarely((symbol, generator.choice([1, 400, WORD])), None, 0.1),
        "let_go": rarely(symbol, None),
        "caps": {"max_fills": 20, "max_fill_shares": WORD - 1},
        "time_in_force": rarely("0", "3", 0.05),
        "time": time,
        "busy": rarely(1, 0, 0.1),
        "load": rarely(generator.choice([0, 5, WORD]), None),
        "start_of_day": 0,
        "faults": {},
        "forgive": 0,
    }


def test_it_judges_as_the_model_judges(generator):
    limits = [some_limits(generator) for _ in range(SYMBOLS)]
    references, time, cycles = [REFERENCE] * SYMBOLS, CYCLE["time"], []
    for n in range(3000):
        time = (time + generator.choice([0, 8, 8, 8, 1000])) % 2**64
        if n % 20 == 0:
            limits[generator.randrange(SYMBOLS)] = some_limits(generator)
        if n % 50 == 0:
            account = some_account_limits(generator)
        cycles.append(a_random_cycle(generator, limits, account, references, time))
        if n % 2:
            cycles[-1]["fill"] = None
    for start in 1000, 2650:
        cycles[start]["faults"] = {"limits": 1}
        cycles[start + 40] |= {"forgive": 1, "armed": 0}
    cycles[2700]["message"] = ("W", None, "1")
    verdicts = simulate([*OPENING, *cycles])
    assert verdicts == judge([*OPENING, *cycles])
    approved = sum(verdict[0] for verdict in verdicts)
    assert approved > 8, approved
    seen = {gate for gate in Gate for verdict in verdicts if verdict[1] >> gate & 1}
    assert seen == set(Gate)


DAY = {
    "limits": {
        **dict.fromkeys(("max_long", "max_short", "short_locates"), 2500),
        "max_open_orders": 5,
        "max_duplicates": 2,
        "duplicate_window_ns": 2000,
        "order_interval_ns": 300,
        "order_burst_ns": 400,
        "reference_max_age_us": WORD,
    },
    "account": {
        "max_gross": 22 * NOTIONAL,
        "max_net": 12 * NOTIONAL,
        "max_open_orders": 12,
        "max_day_orders": 30,
        "max_day_shares": 2900,
        "max_day_notional": 28 * NOTIONAL,
        "session_interval_ns": 80,
        "session_burst_ns": 900,
        "session_reserve_ns": 300,
    },
    "caps": {"max_fills": 8, "max_fill_shares": 700},
}
"""Limits that a day of about 30 orders meets, each of them."""


EVENTS = ("preview", "released", "closed", "trade", "top", "message", "load", "fill", "let_go")
"""What may come in a cycle; beside it, what is told changes, such as limits and a position."""


def a_life(generator, length: int) -> tuple[list[dict], int]:
    """Cycles of orders, fills, cancels, commits, kills and new days; and how many events."""

    def maybe(chance, value):
        return value if generator.random() < chance else None

    cycles, time, events = [], CYCLE["time"], 0
    account = {**ACCOUNT, **DAY["account"]}
    limits = [{**LIMITS, **DAY["limits"]} for _ in range(SYMBOLS)]
    positions, value, down, filled = [0] * SYMBOLS, 0, 0, False
    while len(cycles) < length:
        facts = {"account": account, "time": time}
        if generator.random() < 0.002:
            filled = False
            cycles.append({**IDLE, **facts, "armed": 0, "start_of_day": 1})
            cycles += [{**IDLE, **facts}] * (SYMBOLS + len(PAUSE))
            positions, events = [0] * SYMBOLS, events + 1
        if generator.random() < 0.01:
            # Fills move a position, and what all positions are worth.
            at = generator.randrange(SYMBOLS)
            positions[at] = min(500, max(-500, positions[at] + generator.choice([-100, 100])))
            value, events = generator.choice([0, 5 * NOTIONAL, 10 * NOTIONAL]), events + 2
        if generator.random() < 0.01:
            # A commit.
            at = generator.randrange(SYMBOLS)
            narrow = generator.choice([{}, {"max_long": 400}, {"allow_self_trade": 0}])
            limits[at], events = {**LIMITS, **DAY["limits"], **narrow}, events + 1
        if generator.random() < 0.005:
            down, events = generator.randrange(20), events + 1
        time += generator.choice([0, 8, 8, 20])
        symbol, other = (generator.randrange(SYMBOLS) for _ in "so")
        order = {
            "symbol": symbol,
            "side": generator.getrandbits(1),
            "quantity": generator.choice([50, 100, 100, 200]),
        }
        release = {"side": generator.getrandbits(1), "notional": NOTIONAL}
        now = cycle(order) if generator.random() < 0.6 else dict(IDLE)
        now |= {
            **facts,
            "limits": limits[symbol],
            "position": positions[symbol],
            "values_known": int(generator.random() > 0.02),
            "long_value": value,
            "killed": int(down > 0),
            "closed": maybe(0.05, other),
            "released": maybe(0.04, release),
            "trade": maybe(0.7, (other, generator.choice([REFERENCE - 1, REFERENCE]))),
            "top": maybe(0.7, (other, BID, generator.choice([ASK, ASK + 1]))),
            "message": maybe(0.7, ("Y", other, generator.choice("00000001"))),
            "load": maybe(0.002, 5),
            "fill": None if filled else maybe(0.05, (other, 100)),
            "let_go": maybe(0.02, other),
            "caps": DAY["caps"],
        }
        filled = now["fill"] is not None
        down = max(0, down - 1)
        events += sum(now[name] is not None for name in EVENTS)
        cycles.append(now)
    return cycles, events


def test_the_lives_of_orders_are_as_the_model_has_them(generator, request):
    left = request.config.getoption("risk_events")
    while left > 0:
        cycles, events = a_life(generator, length=36_500)
        verdicts = simulate([*OPENING, *cycles])
        assert verdicts == judge([*OPENING, *cycles])
        assert sum(verdict[0] for verdict in verdicts) > len(cycles) // 75
        seen = {gate for gate in Gate for verdict in verdicts if verdict[1] >> gate & 1}
        assert seen >= {Gate.BUSY, Gate.ARMED, Gate.WORST_CASE_LONG, *COUNTING}
        left -= events


def test_an_order_within_every_limit_is_approved():
    assert outcome(cycle(), *PAUSE, cycle({"side": SELL})) == [0, 0]


def test_out_of_reset_every_fact_is_against_an_order():
    cold = {**IDLE, "armed": 0, "exact": 0, "standing": frozenset()}
    zero = {"limits": dict.fromkeys(LIMITS, 0), "account": dict.fromkeys(ACCOUNT, 0)}
    order = cycle(armed=0, exact=0, **zero)
    harmless = {
        *(Gate.BUSY, Gate.SELF_TRADE, Gate.FILL_BURST, Gate.MEMORY_INTEGRITY),
        *OF_SELLS,
    }
    assert outcome(order, cold, opening=[]) == [bits(*(set(Gate) - harmless))]
    unknown = bits(Gate.PRICE_COLLAR, Gate.STALENESS, Gate.BOOK_SANITY, Gate.TRADING_STATE)
    assert outcome(cycle(), opening=[]) == [unknown]


@pytest.mark.parametrize("facts", [{"armed": 0}, {"killed": 1}, {"armed": 0, "killed": 1}])
def test_an_order_leaves_only_armed_and_not_killed_in_the_cycle_of_the_decision(facts):
    assert outcome(cycle(), {**IDLE, **facts}) == [bits(Gate.ARMED)]
    assert outcome(cycle(**facts), IDLE) == [0]


@pytest.mark.parametrize("gate", STANDING, ids=lambda gate: gate.name)
def test_a_gate_that_is_judged_elsewhere_is_asked_in_the_cycle_of_the_decision(gate):
    facts = {"standing": frozenset(STANDING) - {gate}}
    assert outcome(cycle(), {**IDLE, **facts}) == [bits(gate)]
    assert outcome(cycle(**facts), IDLE) == [0]


@pytest.mark.parametrize("name", [name for name in LIMITS if name not in OPTIONAL])
def test_a_limit_that_is_not_programmed_refuses(name):
    (reasons,) = outcome(cycle(limits={**LIMITS, name: 0}))
    assert reasons >> Gate.LIMITS_PRESENT & 1


@pytest.mark.parametrize("name", ACCOUNT)
def test_a_limit_of_the_account_that_is_not_programmed_refuses(name):
    # No other gate misses a limit of zero of what is below zero.
    facts = {"account": {**ACCOUNT, name: 0}, "short_value": 2**63}
    before = [{**IDLE, **facts}] * VALUES_KNOWN
    reasons = outcome(*before, cycle(**facts))
    optional = name in ("session_burst_ns", "session_reserve_ns")
    assert reasons[0] >> Gate.LIMITS_PRESENT & 1 == (not optional)


@pytest.mark.parametrize(("over", "passes"), [(-1, True), (0, True), (1, False)])
@pytest.mark.parametrize("held", [0, 300, -100, WORD - 250])
@pytest.mark.parametrize(("side", "gate"), [(BUY, 5), (SELL, 6)])
def test_the_worst_case_is_within_its_limit(side, gate, held, over, passes):
    facts = {"position": held if side == BUY else -held}
    limits = {**LIMITS, "short_locates": WORD}
    facts["limits"] = {**limits, "max_long" if side == BUY else "max_short": held + 250}
    first = cycle({"side": side, "quantity": 100}, **facts)
    second = cycle({"side": side, "quantity": 150 + over}, **facts)
    reasons = outcome(first, *PAUSE, second)
    # The widest limit there is, is as wide as the locates.
    assert [each & ~bits(Gate.SHORT_LOCATE) for each in reasons] == [0, 0 if passes else bits(gate)]


@pytest.mark.parametrize("side", [BUY, SELL])
def test_the_most_extreme_position_does_not_wrap(side):
    limits = {**LIMITS, "max_long": 1, "max_short": WORD, "short_locates": WORD}
    reasons = outcome(cycle({"side": side}, limits=limits, position=-(2**32)))
    worst = bits(Gate.WORST_CASE_SHORT, Gate.SHORT_LOCATE)
    assert reasons == [worst if side == SELL else 0]


@pytest.mark.parametrize(("side", "other", "gate"), [(BUY, SELL, 5), (SELL, BUY, 6)])
def test_exposure_is_reserved_with_the_approval_and_only_then(side, other, gate):
    order = {"side": side, "quantity": 500}
    full, busy = bits(gate), bits(Gate.BUSY)
    refused = {**IDLE, "killed": 1}
    assert outcome(
        cycle(order), refused, cycle(order), cycle(order), *PAUSE, cycle(order), *PAUSE,
        cycle(order), IDLE, cycle({**order, "side": other}), *PAUSE, cycle({**order, "symbol": 2}),
    ) == [bits(Gate.ARMED), 0, busy, 0, full, 0, 0]  # fmt: skip


@pytest.mark.parametrize(("side", "gate"), [(BUY, 5), (SELL, 6)])
def test_what_is_released_may_be_reserved_again_and_no_share_more(side, gate):
    order, rest = {"side": side, "quantity": 500}, {"side": side, "quantity": 300}
    more = {"side": side, "quantity": 301}

    limits = {**LIMITS, "max_long": 500, "max_short": 500}

    def after(released, proposal):
        both = (released, 0) if side == BUY else (0, released)
        return cycle(proposal, released_shares=both, limits=limits)

    assert outcome(
        after(0, order), *PAUSE, after(0, order), IDLE, after(300, more), IDLE,
        after(300, rest), *PAUSE,
        after(300, {**rest, "quantity": 1}), IDLE, after(800, order), *PAUSE, after(800, rest),
    ) == [0, bits(gate), bits(gate), 0, bits(gate), 0, bits(gate)]  # fmt: skip


def test_the_next_intent_knows_the_reservation_of_the_one_before():
    order = {"quantity": 500}
    limits = {**LIMITS, "max_long": 900}
    reasons = outcome(cycle(order, limits=limits), cycle(order, limits=limits))
    assert reasons == [0, bits(Gate.BUSY, Gate.WORST_CASE_LONG)]


@pytest.mark.parametrize(
    ("quantity", "limit", "passes"),
    [
        (0, 500, False),
        (1, 500, True),
        (499, 500, True),
        (500, 500, True),
        (501, 500, False),
        (999_999, WORD, True),
        (1_000_000, WORD, True),
        (1_000_001, WORD, False),
    ],
)
def test_the_quantity_is_positive_and_within_both_limits(quantity, limit, passes):
    wide = {"max_long": WORD, "max_order_notional": 2**64 - 1, "max_order_quantity": limit}
    reasons = outcome(cycle({"quantity": quantity}, limits={**LIMITS, **wide}))
    assert reasons == [0 if passes else bits(Gate.ORDER_QUANTITY)]


@pytest.mark.parametrize("price", [1, 0xFFFF, 0x10000, REFERENCE, WORD])
@pytest.mark.parametrize("quantity", [1, 0xFFFF, 0x10001, 1_000_000, WORD])
def test_the_notional_is_exact_to_the_last_bit(price, quantity):
    order = {"price": price, "quantity": quantity}
    notional = price * quantity
    for limit, passes in ((notional - 1, False), (notional, True), (notional + 1, True)):
        if limit:
            (reasons,) = outcome(cycle(order, limits={**LIMITS, "max_order_notional": limit}))
            assert (reasons >> Gate.ORDER_NOTIONAL & 1) == (not passes)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("distance", "passes"), [(9999, True), (1_0000, True), (1_0001, False)])
@pytest.mark.parametrize("limit", ["collar_bps", "collar_absolute"])
def test_the_price_is_within_the_collar_on_both_sides(limit, distance, passes, sign):
    limits = {**LIMITS, "collar_bps": 0xFFFF, "collar_absolute": WORD, "max_order_notional": 2**60}
    limits[limit] = 100 if limit == "collar_bps" else 1_0000
    reasons = outcome(cycle({"price": REFERENCE + sign * distance}, limits=limits))
    assert reasons == [0 if passes else bits(Gate.PRICE_COLLAR)]


@pytest.mark.parametrize(
    ("age", "passes"), [(0, True), (9_999, True), (10_000, True), (10_001, False), (-1, False)]
)
def test_the_reference_is_fresh(age, passes):
    (reasons,) = outcome(cycle(time=1_000_000 + age))
    assert reasons & ~bits(Gate.STALENESS) == (0 if passes else bits(Gate.PRICE_COLLAR))


def test_a_trade_moves_the_reference_of_its_symbol_for_later_previews():
    trade = (1, REFERENCE // 2)
    reasons = outcome(cycle(trade=trade), cycle(), *PAUSE, cycle({"symbol": 2}))
    assert reasons == [0, bits(Gate.BUSY, Gate.PRICE_COLLAR), 0]


BEGIN = 1 << 30
"""Of an interval."""


def look(time: int, price: int = REFERENCE, symbol: int = 1) -> list[dict]:
    """An order, in a cycle after one of this time."""
    limits = {**LIMITS, "max_move": 40, "reference_max_age_us": WORD}
    order = {"symbol": symbol, "price": price}
    return [now | {"time": BEGIN + time} for now in (IDLE, cycle(order, limits=limits), *PAUSE)]


def prints(*moves: tuple[int, int]) -> list[dict]:
    """Trades at these times, so far from the reference."""
    trades = [
        {**CYCLE, "trade": (1, REFERENCE + price), "time": BEGIN + time} for time, price in moves
    ]
    return [now for trade in trades for now in (trade, {**trade, "trade": None})]


@pytest.mark.parametrize(("move", "passes"), [(39, True), (40, False), (41, False)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_reference_has_moved_less_than_its_cap_within_the_window(sign, move, passes):
    far, away = bits(Gate.COLLAR_OVER_TIME), sign * move
    expected = 0 if passes else far
    # In one interval; in two; at once after a long time; and back again.
    for trades in (
        [(1, 0), (2, away)],
        [(0, 0), (1023, away)],
        [(0, sign), (0, away), (0, 0)],
        [(-1, 0), (0, away)],
        [(-1024, 0), (0, away)],
        [(-1025, away), (1023, 0)],
        [(-500_000, away), (5, 0)],
    ):
        assert outcome(*prints(*trades), *look(1023)) == [expected], trades
        assert outcome(*prints(*trades), *look(1023, symbol=2)) == [0]
    # What has moved in an interval, by all that came in it and the last one before, counts
    # through the next one.
    late = prints((1023, away))
    assert outcome(*late, *look(1024), *look(2047), *look(2048)) == [expected, expected, 0]
    steps = prints((0, sign * 20), (1024, away))
    assert outcome(*steps, *look(1024), *look(2048)) == [expected, 0]
    back = prints((0, away), (1024, sign * 20))
    rest = [*prints((2048, sign * 20)), *look(2048), *look(3072)]
    assert outcome(*back, *look(1024), *rest) == [expected, 0, 0]


def test_a_trade_moves_the_reference_from_the_second_preview_on():
    limits = {**LIMITS, "max_move": 1}
    order = cycle(limits=limits)
    moved = bits(Gate.COLLAR_OVER_TIME)
    trade = order | {"trade": (1, REFERENCE + 1)}
    killed = {**order, "killed": 1}
    reasons = outcome(killed | trade, killed, killed, {**IDLE, "killed": 1})
    assert reasons == [each | bits(Gate.ARMED) for each in (0, 0, moved)]


def test_the_book_is_exact_in_the_cycle_of_the_decision():
    assert outcome(cycle(exact=0), {**IDLE, "exact": 0b010}) == [0]
    assert outcome(cycle(), {**IDLE, "exact": 0b101}) == [bits(Gate.FEED_TRUST)]


@pytest.mark.parametrize(
    ("messages", "extended_hours", "passes"),
    [
        ([], 0, True),
        ([("H", 1, "H")], 0, False),
        ([("H", 1, "P")], 0, False),
        ([("H", 1, "Q")], 0, False),
        ([("H", 1, "H"), ("H", 1, "T")], 0, True),
        ([("H", 2, "H")], 0, True),
        ([("H", None, "H")], 0, True),
        ([("h", 1, "H")], 0, False),
        ([("h", 1, "H"), ("H", 1, "T"), ("h", 1, "\0")], 0, False),
        ([("h", 1, "H"), ("h", 1, "T")], 0, True),
        ([("h", 2, "H")], 0, True),
        ([("h", None, "H")], 0, True),
        ([("Y", 1, "1")], 0, True),
        ([("S", None, "M")], 0, False),
        ([("S", None, "M")], 1, True),
        ([("S", None, "M"), ("S", None, "Q")], 0, True),
        ([("S", None, "E")], 0, True),
        ([("W", None, "1")], 1, False),
        ([("W", None, "1"), ("H", 1, "T"), ("S", None, "Q")], 1, False),
    ],
)
def test_the_symbol_trades_and_the_market_is_open(messages, extended_hours, passes):
    news = [{**CYCLE, "message": message} for message in messages]
    limits = {**LIMITS, "extended_hours": extended_hours}
    reasons = outcome(*news, cycle(limits=limits))
    assert reasons == [0 if passes else bits(Gate.TRADING_STATE)]


def test_what_the_exchange_has_said_of_each_symbol_is_shown():
    told = [
        (("H", 0, "T"), (0, 0b001)),
        (("Y", 0, "1"), (0, 0b101)),
        (("h", 0, "H"), (0, 0b111)),
        (("H", 0, "P"), (0, 0b110)),
        (("Y", 1, "2"), (1, 0b100)),
        (("Y", 0, "0"), (0, 0b010)),
        (("h", 0, "\0"), (0, 0b010)),
        (("Y", None, "1"), (0, 0b010)),
        (("h", None, "T"), (0, 0b010)),
        (("h", 0, "T"), (0, 0b000)),
        (("H", 2, "T"), (1, 0b100)),
    ]
    dut = TradingState(symbols=SYMBOLS)

    async def testbench(ctx):
        for (type_, symbol, code), (shown, state) in told:
            ctx.set(dut.messages.valid, 1)
            fields = {"kind": KINDS[type_], "symbol": symbol or 0, "tracked": symbol is not None}
            ctx.set(dut.messages.payload, {**fields, "code": ord(code)})
            ctx.set(dut.shown, shown)
            await ctx.tick()
            ctx.set(dut.messages.valid, 0)
            await ctx.tick()
            assert ctx.get(dut.state.as_value()) == state

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


def test_a_busy_port_refuses_in_the_cycle_of_the_decision():
    assert outcome(cycle(), {**IDLE, "busy": 1}) == [bits(Gate.BUSY)]
    assert outcome(cycle(busy=1), IDLE) == [0]


def test_a_refusal_names_every_gate_that_failed():
    zero = dict.fromkeys(LIMITS, 0)
    order = {"price": REFERENCE + 1, "quantity": 1_000_001}
    facts = {"armed": 0, "busy": 1, "exact": 0, "standing": frozenset(), "faults": {"rate": 1}}
    late = {"time": CYCLE["time"] + 1, "account": dict.fromkeys(ACCOUNT, 0)}
    # More was released than reserved, so that something is open.
    late["released_shares"] = (1, 1)
    caps = {"max_fills": 0, "max_fill_shares": 0}
    news = [
        {**CYCLE, **facts, "fill": (1, 1), "caps": caps},
        *[{**CYCLE, **facts, "caps": caps}] * FILL_KNOWN,
        {**CYCLE, **facts, "message": ("W", None, "3"), "top": (1, WORD, WORD)},
        {**CYCLE, **facts, "message": ("Y", 1, "1")},
    ]
    reasons = outcome(*news, cycle(order, limits=zero, **late), {**IDLE, **facts})
    assert reasons == [bits(*(set(Gate) - OF_SELLS))]
    sell = {**order, "side": SELL}
    reasons = outcome(*news, cycle(sell, limits=zero, **late), {**IDLE, **facts})
    # No price of a sell is at most that of no buy.
    assert reasons == [bits(*(set(Gate) - {Gate.WORST_CASE_LONG, Gate.SELF_TRADE}))]


def test_the_user_reference_number_moves_with_approvals_only_and_is_loaded_only_disarmed():
    cycles = [
        *OPENING,
        {**IDLE, "armed": 0, "load": 41},
        cycle(),
        *PAUSE,
        cycle(),
        {**IDLE, "killed": 1},
    ]
    cycles += [cycle(load=7), *PAUSE, cycle(), IDLE]
    verdicts = simulate(cycles)
    assert verdicts == judge(cycles)
    assert [(v[0], v[2].user_ref_num) for v in verdicts] == [
        (True, 41), (False, 42), (True, 42), (True, 43)
    ]  # fmt: skip


def test_a_preview_that_is_not_meant_has_no_verdict_and_no_effect():
    order = {"quantity": 500}
    spared = [cycle(order, meant=False)] * 5
    assert outcome(*spared, cycle(order), *PAUSE, cycle(order)) == [0, 0]


@pytest.mark.parametrize("armed", [0, 1])
def test_the_start_of_day_clears_exposure_while_disarmed(armed):
    order = cycle({"quantity": 500})
    start = {**IDLE, "start_of_day": 1, "armed": armed}
    cycles = [*OPENING, order, *PAUSE, order, *PAUSE, start, *[IDLE] * SWEEP, order]
    verdicts = simulate(cycles)
    assert [v[1] for v in verdicts] == [0, 0, bits(Gate.WORST_CASE_LONG) if armed else 0]


def test_no_order_passes_while_exposure_is_being_cleared():
    start = {**IDLE, "start_of_day": 1, "armed": 0}
    worst = {Gate.WORST_CASE_LONG, Gate.WORST_CASE_SHORT, Gate.SHORT_LOCATE}
    swept = worst | {Gate.MESSAGE_RATE, Gate.OPEN_ORDERS, Gate.DUPLICATE}
    early = {Gate.ARMED, Gate.FILL_BURST} | swept
    expected = [{Gate.ARMED} | worst, *[early] * SYMBOLS, *[swept] * (SWEEP - SYMBOLS), set()]
    outcomes = [simulate([*OPENING, {**start, "preview": PROPOSAL}])]
    outcomes += [simulate([*OPENING, start, *[IDLE] * n, cycle()]) for n in range(SWEEP + 1)]
    assert [verdict[1] for (verdict,) in outcomes] == [bits(*gates) for gates in expected]


def test_reservations_in_every_cycle_are_never_lost(generator):
    dut = Exposure(symbols=2)
    limits = {**LIMITS, "max_long": 40, "max_short": 60}
    reserved, passed = {}, 0

    def a_preview() -> dict:
        return {
            "symbol": generator.choice([0, 0, 1]),
            "side": generator.choice([BUY, BUY, SELL]),
            "quantity": generator.choice([0, 1, 2, 3]),
        }

    def take(preview) -> bool:
        """Reserves in the plain reference, mostly if it fits."""
        key, limit = (preview["symbol"], preview["side"]), (40, 60)[preview["side"]]
        fits = reserved.get(key, 0) + preview["quantity"] <= limit
        assert gates == ((fits, 1) if preview["side"] == BUY else (1, fits))
        if not fits or generator.random() < 0.2:
            return False
        reserved[key] = reserved.get(key, 0) + preview["quantity"]
        return True

    async def orders(ctx):
        nonlocal passed, gates
        await ctx.tick().until(dut.ready)
        ctx.set(dut.limits, limits)
        for _ in range(10):
            checked, reserve = None, False
            for n in range(400):
                preview = a_preview() if n < 390 else None
                ctx.set(dut.preview, preview or {})
                ctx.set(dut.reserve, reserve)
                gates = ctx.get(dut.within_long), ctx.get(dut.within_short)
                reserve = checked is not None and take(checked)
                passed += reserve
                checked = preview
                await ctx.tick()
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            await ctx.tick().until(dut.ready)
            reserved.clear()

    gates = None
    simulator = Simulator(dut)
    simulator.add_clock(8e-9)
    simulator.add_testbench(orders)
    simulator.run()
    assert passed > 500


@pytest.mark.parametrize(("beyond", "passes"), [(0, True), (1, False)])
def test_the_greatest_age_of_a_reference_is_exact_too(beyond, passes):
    limits = {**LIMITS, "reference_max_age_us": WORD}
    reasons = outcome(cycle(limits=limits, time=CYCLE["time"] + WORD * 1000 + beyond))
    assert reasons == [0 if passes else bits(Gate.PRICE_COLLAR, Gate.STALENESS)]


def test_a_symbol_that_never_traded_has_no_reference_not_even_zero():
    opening = [now for now in OPENING if not now["trade"]]
    (reasons,) = outcome(cycle({"price": 0}, time=0), opening=opening)
    assert reasons == bits(Gate.PRICE_COLLAR, Gate.STALENESS)


def test_a_reference_does_not_survive_a_reset():
    reset = Signal()
    dut = PriceCollar(symbols=2)
    within = []

    async def card(ctx):
        ctx.set(dut.limits, LIMITS)
        ctx.set(dut.preview, {**PROPOSAL, "symbol": 1})
        await ctx.tick().until(dut.ready)
        ctx.set(dut.trades.payload, {"symbol": 1, "price": REFERENCE})
        ctx.set(dut.trades.valid, 1)
        await ctx.tick()
        ctx.set(dut.trades.valid, 0)
        await ctx.tick()
        assert ctx.get(dut.within_collar)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        for _ in range(8):
            await ctx.tick()
            within.append(ctx.get(dut.within_collar))

    simulator = Simulator(ResetInserter(reset)(dut))
    simulator.add_clock(8e-9)
    simulator.add_testbench(card)
    simulator.run()
    assert not any(within)


@pytest.mark.parametrize(
    ("bid", "ask", "passes"),
    [
        (REFERENCE, REFERENCE + 499, True),
        (REFERENCE, REFERENCE + 500, True),
        (REFERENCE, REFERENCE + 501, False),
        (REFERENCE, REFERENCE + 1, True),
        (REFERENCE, REFERENCE, False),
        (REFERENCE + 1, REFERENCE, False),
        (WORD, 0, False),
        (None, REFERENCE, False),
        (REFERENCE, None, False),
        (None, None, False),
    ],
)
def test_the_book_has_two_sides_apart_and_near_each_other(bid, ask, passes):
    reasons = outcome({**CYCLE, "top": (1, bid, ask)}, cycle())
    assert reasons == [0 if passes else bits(Gate.BOOK_SANITY)]
    assert outcome({**CYCLE, "top": (2, bid, ask)}, cycle()) == [0]


def test_no_book_is_sane_before_it_was_seen_and_a_top_counts_from_the_next_cycle_on():
    assert outcome(cycle(), opening=OPENING[:-SYMBOLS]) == [bits(Gate.BOOK_SANITY)]
    assert outcome(cycle(top=(1, None, ASK))) == [0]


@pytest.mark.parametrize(("over", "passes"), [(-1, True), (0, True), (1, False)])
@pytest.mark.parametrize(("locates", "position"), [(0, 300), (0, 1), (50, 200), (250, -100)])
def test_a_short_sale_needs_locates_for_all_that_is_short(locates, position, over, passes):
    facts = {"limits": {**LIMITS, "short_locates": locates}, "position": position}
    if locates + position + over:
        reasons = outcome(cycle({"side": SELL, "quantity": locates + position + over}, **facts))
        assert reasons == [0 if passes else bits(Gate.SHORT_LOCATE)]
    assert outcome(cycle({"side": BUY}, **facts)) == [0]


def test_open_sells_use_up_locates():
    sell = cycle({"side": SELL, "quantity": 60}, limits={**LIMITS, "short_locates": 119})
    assert outcome(sell, *PAUSE, sell) == [0, bits(Gate.SHORT_LOCATE)]


@pytest.mark.parametrize("action", ["1", "2"])
@pytest.mark.parametrize(
    ("side", "price", "position", "passes"),
    [
        (SELL, BID - 1, 0, False),
        (SELL, BID, 0, False),
        (SELL, BID + 1, 0, True),
        (SELL, BID, 99, False),
        (SELL, BID, 100, True),
        (SELL, BID, 101, True),
        (BUY, BID, 0, True),
    ],
)
def test_under_a_restriction_a_short_sale_is_above_the_best_bid(
    side, price, position, passes, action
):
    order = cycle({"side": side, "price": price}, position=position)
    restricted = {**CYCLE, "message": ("Y", 1, action)}
    reasons = [0 if passes else bits(Gate.SHORT_SALE_RESTRICTION)]
    assert outcome(restricted, order) == reasons
    assert outcome({**CYCLE, "message": ("Y", 2, action)}, order) == [0]
    assert outcome(restricted, {**CYCLE, "message": ("Y", 1, "0")}, order) == [0]


def test_under_a_restriction_and_without_a_bid_nothing_is_sold_short():
    restricted = {**CYCLE, "message": ("Y", 1, "1"), "top": (1, None, ASK)}
    reasons = outcome(restricted, cycle({"side": SELL, "price": WORD - 1}))
    assert reasons[0] >> Gate.SHORT_SALE_RESTRICTION & 1


def test_shares_that_are_being_sold_are_not_held_twice():
    sell = cycle({"side": SELL, "price": BID}, position=199)
    restricted = {**CYCLE, "message": ("Y", 1, "1")}
    assert outcome(restricted, sell, *PAUSE, sell) == [0, bits(Gate.SHORT_SALE_RESTRICTION)]


@pytest.mark.parametrize(
    ("changes", "side", "code", "passes"),
    [
        ({"allow_buy": 0}, BUY, "3", False),
        ({"allow_buy": 0}, SELL, "3", True),
        ({"allow_sell": 0}, SELL, "3", False),
        ({"allow_sell": 0}, BUY, "3", True),
        ({"allow_time_in_force": 0b0001}, BUY, "0", True),
        ({"allow_time_in_force": 0b1110}, BUY, "0", False),
        ({"allow_time_in_force": 0b0010}, BUY, "3", True),
        ({"allow_time_in_force": 0b1101}, BUY, "3", False),
        ({"allow_time_in_force": 0b0100}, BUY, "5", True),
        ({"allow_time_in_force": 0b1011}, BUY, "5", False),
        ({"allow_time_in_force": 0b1000}, BUY, "E", True),
        ({"allow_time_in_force": 0b0111}, BUY, "E", False),
        ({"allow_time_in_force": 0b1111}, BUY, "6", False),
        ({"allow_time_in_force": 0b1111}, BUY, "\0", False),
    ],
)
def test_what_is_not_allowed_is_refused(changes, side, code, passes):
    order = cycle({"side": side}, limits={**LIMITS, **changes}, time_in_force=code)
    assert outcome(order) == [0 if passes else bits(Gate.PERMISSION)]


def test_prices_are_on_the_tick_and_quantities_in_whole_lots(generator):
    wide = {
        **dict.fromkeys(("max_long", "max_short", "collar_absolute", "max_order_quantity"), WORD),
        "max_order_notional": 2**64 - 1,
    }
    orders, grid = [], []
    for tick, lot in itertools.product([1, 50, 100, 2, 25, 99, 255], [1, 10, 40, 100, 5, 20, 255]):
        for _ in range(12):
            price = generator.randrange(WORD // tick) * tick + generator.choice([-1, 0, 0, 0, 1])
            quantity = generator.randrange(WORD // lot) * lot + generator.choice([-1, 0, 0, 0, 1])
            limits = {**LIMITS, **wide, "order_tick": tick, "lot_size": lot}
            orders.append(
                cycle({"price": price & WORD, "quantity": quantity & WORD}, limits=limits)
            )
            known = tick in (1, 50, 100) and lot in (1, 10, 40, 100)
            grid.append(known and not (price & WORD) % tick and not (quantity & WORD) % lot)
    reasons = outcome(*orders)
    assert [not reason >> Gate.TICK_AND_LOT & 1 for reason in reasons] == grid
    assert 50 < sum(grid) < len(grid) - 50


@pytest.mark.parametrize(
    ("name", "age", "passes"),
    [
        ("feed_max_age_us", 9_999, True),
        ("feed_max_age_us", 10_000, True),
        ("feed_max_age_us", 10_001, False),
        ("feed_max_age_us", -1, False),
        ("symbol_max_age_us", 9_999, True),
        ("symbol_max_age_us", 10_000, True),
        ("symbol_max_age_us", 10_001, False),
        ("symbol_max_age_us", -1, False),
    ],
)
def test_feed_and_symbol_have_been_heard_of_lately(name, age, passes):
    symbol = 1 if name == "symbol_max_age_us" else None
    limits = {**LIMITS, "reference_max_age_us": WORD, name: 10}
    other = "symbol_max_age_us" if symbol is None else "feed_max_age_us"
    limits[other] = WORD
    then = CYCLE["time"] + 50_000
    news = {**CYCLE, "message": ("Y", symbol, "0"), "time": then}
    reasons = outcome(news, cycle(limits=limits, time=then + age))
    assert reasons == [0 if passes else bits(Gate.STALENESS)]


def test_a_message_of_another_symbol_refreshes_the_feed_only():
    limits = {**LIMITS, "reference_max_age_us": WORD, "symbol_max_age_us": 10}
    then = CYCLE["time"] + 10_001
    news = {**CYCLE, "message": ("Y", 2, "0"), "time": then}
    reasons = outcome(news, cycle(limits=limits, time=then))
    assert reasons == [bits(Gate.STALENESS)]


@pytest.mark.parametrize(
    ("price", "early", "exempt", "passes"),
    [
        (REFERENCE - 101, 1, 0, False),
        (REFERENCE - 100, 1, 0, True),
        (REFERENCE + 100, 1, 0, True),
        (REFERENCE + 101, 1, 0, False),
        (REFERENCE, 1, 0, True),
        (REFERENCE, 0, 0, False),
        (REFERENCE, -1, 0, False),
        (REFERENCE + 101, -1, 1, True),
    ],
)
def test_the_price_is_within_a_band_that_has_not_expired(price, early, exempt, passes):
    band = {
        "band_low": REFERENCE - 100,
        "band_high": REFERENCE + 100,
        "band_until": CYCLE["time"] + early,
        "band_exempt": exempt,
    }
    reasons = outcome(cycle({"price": price}, limits={**LIMITS, **band}))
    assert reasons == [0 if passes else bits(Gate.LIMIT_UP_DOWN_BAND)]


def orders(*proposals, **facts) -> list[dict]:
    """Cycles with these orders, each after the one before has been accounted for."""
    return [now for each in proposals for now in (cycle(each, **facts), *PAUSE)]


@pytest.mark.parametrize(("over", "passes"), [(-1, True), (0, True), (1, False)])
@pytest.mark.parametrize("values", [(0, 0), (7, 0), (0, 9), (2**63, 2**62)])
def test_gross_exposure_is_within_its_limit(values, over, passes):
    limit = sum(values) + 3 * NOTIONAL - over
    facts = {"long_value": values[0], "short_value": values[1]}
    facts["account"] = {**ACCOUNT, "max_gross": limit}
    before = [{**IDLE, **facts}] * VALUES_KNOWN
    cycles = orders({}, {"side": SELL, "symbol": 2}, {"symbol": 0}, **facts)
    held = [{**now, **facts} for now in cycles]
    assert outcome(*before, *held) == [0, 0, 0 if passes else bits(Gate.GROSS_EXPOSURE)]


def test_while_it_is_not_known_what_positions_are_worth_no_order_is_within_exposure():
    unknown = {**IDLE, "values_known": 0}
    reasons = bits(Gate.GROSS_EXPOSURE) | bits(Gate.NET_EXPOSURE)
    order = orders({})
    assert outcome(*[unknown] * VALUES_KNOWN, {**order[0], "values_known": 0}, *order[1:]) == [
        reasons
    ]
    known = [IDLE] * VALUES_KNOWN
    assert outcome(*[unknown] * VALUES_KNOWN, *known, *order) == [0]
    # Known now, and not known when the sums were made.
    assert outcome(*[unknown] * VALUES_KNOWN, *known[2:], *order) == [reasons]


@pytest.mark.parametrize(("over", "passes"), [(-1, True), (0, True), (1, False)])
@pytest.mark.parametrize("side", [BUY, SELL])
@pytest.mark.parametrize("values", [(0, 0), (0, 2 * NOTIONAL + 5), (2 * NOTIONAL + 5, 0)])
def test_net_exposure_is_within_its_limit_in_both_directions(values, side, over, passes):
    signed = (values[0] - values[1]) * (1 if side == BUY else -1)
    facts = {"long_value": values[0], "short_value": values[1]}
    facts["account"] = {**ACCOUNT, "max_net": signed + 3 * NOTIONAL - over}
    if facts["account"]["max_net"] < 0:
        facts["account"]["max_net"], passes = 0, signed + 3 * NOTIONAL <= 0
    other = BUY + SELL - side
    before = [{**IDLE, **facts}] * VALUES_KNOWN
    wide = {**facts, "account": ACCOUNT}
    cycles = orders({"side": side}, {"side": other}, {"side": side, "symbol": 2}, **wide)
    last = orders({"side": side, "symbol": 0}, **facts)
    held = [{**now, **facts, "account": now["account"]} for now in (*cycles[:12], *last)]
    assert len(cycles[:12]) == 2 * (1 + len(PAUSE))
    first = cycle({"side": side, "symbol": 2}, **wide)
    reasons = outcome(*before, *held[:12], first, *[{**IDLE, **facts}] * len(PAUSE), *held[12:])
    assert reasons == [0, 0, 0, 0 if passes else bits(Gate.NET_EXPOSURE)]


def test_what_is_released_is_free_again_and_never_more_than_was_open():
    account = {**ACCOUNT, "max_gross": 2 * NOTIONAL}
    full = bits(Gate.GROSS_EXPOSURE)
    release = {**CYCLE, "released": {"side": BUY, "notional": NOTIONAL}}
    excess = {**CYCLE, "released": {"side": SELL, "notional": 2**64 - 1}}
    assert outcome(
        *orders({}, {}, {}, account=account), release, *PAUSE, *orders({}, {}, account=account),
        excess, *PAUSE, *orders({}, account=account),
    ) == [0, 0, full, 0, full, full]  # fmt: skip


@pytest.mark.parametrize("bucket", ["symbol", "session"])
def test_a_bucket_holds_so_many_tokens_and_fills_by_one_each_interval(bucket):
    limits, account = dict(LIMITS), dict(ACCOUNT)
    if bucket == "symbol":
        limits |= {"order_interval_ns": 100, "order_burst_ns": 200}
    else:
        account |= {"session_interval_ns": 100, "session_burst_ns": 250}
        account["session_reserve_ns"] = 50
    facts = {"limits": limits, "account": account}
    start = CYCLE["time"] + 1000
    empty = bits(Gate.MESSAGE_RATE)

    def at(*times):
        return [now for time in times for now in orders({"symbol": 1}, time=start + time, **facts)]

    assert outcome(*at(0, 0, 0, 0)) == [0, 0, 0, empty]
    assert outcome(*at(0, 0, 0, 99, 100, 100)) == [0, 0, 0, empty, 0, empty]
    assert outcome(*at(0, 0, 0, 300, 300, 300, 300)) == [0, 0, 0, 0, 0, 0, empty]
    assert outcome(*at(0, 0, 0, 250, 250, 250)) == [0, 0, 0, 0, 0, empty]
    other = orders({"symbol": 2}, time=start, **facts)
    assert outcome(*at(0, 0, 0), *other) == [0, 0, 0, 0 if bucket == "symbol" else empty]


def test_a_session_without_tokens_for_orders_sends_none():
    account = {**ACCOUNT, "session_burst_ns": 4, "session_reserve_ns": 5}
    assert outcome(cycle(account=account)) == [bits(Gate.MESSAGE_RATE)]


def test_a_bucket_that_would_be_full_after_the_end_of_time_is_never_full_again():
    end = 2**64 - 1
    facts = {"limits": {**LIMITS, "order_interval_ns": 100, "order_burst_ns": 100}}
    facts["limits"]["band_exempt"] = 1
    empty = bits(Gate.MESSAGE_RATE)
    last = orders({}, time=end, **facts)
    news = {**CYCLE, "message": ("Y", 1, "0"), "trade": (1, REFERENCE), "time": end}
    # The clock begins anew.
    anew = {"message": ("Y", 1, "0"), "trade": (1, REFERENCE), "time": 5}
    begun = orders({}, time=5, **facts)
    assert outcome(news, *last, {**CYCLE, **anew}, *begun) == [0, empty]


def test_no_more_orders_are_open_than_may_be():
    full = bits(Gate.OPEN_ORDERS)
    few = {"limits": {**LIMITS, "max_open_orders": 2}}
    assert outcome(*orders({}, {}, {}, {"symbol": 2}, **few)) == [0, 0, full, 0]
    closed = {**CYCLE, "closed": 1}
    assert outcome(*orders({}, {}, {}, **few), closed, *orders({}, {}, **few)) == [
        0, 0, full, 0, full
    ]  # fmt: skip
    few = {"account": {**ACCOUNT, "max_open_orders": 2}}
    assert outcome(*orders({}, {"symbol": 2}, {}, **few)) == [0, 0, full]
    # What is not open cannot be closed.
    idle = {**CYCLE, "closed": 0}
    assert outcome(idle, *orders({}, {"symbol": 2}, {}, **few)) == [0, 0, full]
    assert outcome(*orders({}, {"symbol": 2}, **few), closed, *orders({}, {}, **few)) == [
        0, 0, 0, full
    ]  # fmt: skip


@pytest.mark.parametrize("most", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("age", [99, 100, 101])
def test_the_same_order_is_sent_only_so_often_within_its_window(most, age):
    limits = {**LIMITS, "max_duplicates": most, "duplicate_window_ns": 100}
    start, again = CYCLE["time"] + 1000, bits(Gate.DUPLICATE)
    first = orders(*[{}] * 5, limits=limits, time=start)
    later = orders({}, limits=limits, time=start + age)
    sent = most if most <= 4 else 0
    expected = [0] * sent + [again] * (5 - sent)
    expected.append(0 if sent and age > 100 else again)
    missing = 0 if most else bits(Gate.LIMITS_PRESENT)
    assert outcome(*first, *later) == [reasons | missing for reasons in expected]


def test_an_order_from_the_future_is_a_duplicate():
    limits = {**LIMITS, "max_duplicates": 1, "duplicate_window_ns": 100}
    limits |= {"order_burst_ns": WORD, "reference_max_age_us": WORD}
    later, earlier = (orders({}, limits=limits, time=CYCLE["time"] + n) for n in (1000, 999))
    assert outcome(*later, *earlier) == [0, bits(Gate.DUPLICATE)]


@pytest.mark.parametrize("change", [{"side": SELL}, {"price": REFERENCE + 1}, {"quantity": 99}])
def test_another_order_is_no_duplicate(change):
    limits = {**LIMITS, "max_duplicates": 1, "duplicate_window_ns": WORD}
    again = bits(Gate.DUPLICATE)
    reasons = outcome(*orders({}, change, {}, change, {"symbol": 2}, limits=limits))
    assert reasons == [0, 0, again, again, 0]


OWN = {**LIMITS, "allow_self_trade": 0}


def own(side: int, price: int, *over: int, **changes) -> list[dict]:
    """An order of the symbol while so many shares of buys and sells were released in all."""
    facts = {"limits": OWN, "released_shares": over or (0, 0)}
    return orders({"side": side, "price": REFERENCE + price, **changes}, **facts)


@pytest.mark.parametrize("away", [-1, 0, 1])
@pytest.mark.parametrize(("side", "other", "sign"), [(BUY, SELL, 1), (SELL, BUY, -1)])
def test_no_own_order_meets_one_that_may_be_open(side, other, sign, away):
    meets = bits(Gate.SELF_TRADE)
    expected = 0 if away > 0 else meets
    # The highest buy and the lowest sell count, whichever came last.
    for prices in ((0,), (-3, 0), (0, -3), (-1, 0, 0, -2)):
        before = [now for price in prices for now in own(side, sign * price)]
        against = own(other, sign * away)
        assert outcome(*before, *against) == [*[0] * len(prices), expected]
        assert outcome(*before, *own(other, -sign * 5, symbol=2)) == [0] * (len(prices) + 1)
    free = orders({"side": other, "price": REFERENCE + sign * away})
    assert outcome(*own(side, 0), *free) == [0, 0]


@pytest.mark.parametrize(("side", "other", "sign"), [(BUY, SELL, 1), (SELL, BUY, -1)])
def test_own_orders_that_are_over_are_in_the_way_until_none_of_their_side_is_open(
    side, other, sign
):
    meets = bits(Gate.SELF_TRADE)

    def after(over: int) -> tuple[int, int]:
        return (over, 0) if side == BUY else (0, over)

    two = [*own(side, sign * 2), *own(side, 0)]
    # A share of the second one is open, and the price of the first one counts.
    assert outcome(*two, *own(other, sign * 2, *after(199))) == [0, 0, meets]
    assert outcome(*two, *own(other, sign * 3, *after(199))) == [0, 0, 0]
    assert outcome(*two, *own(other, -sign, *after(200))) == [0, 0, 0]
    # The next one begins anew.
    again = [*two, *own(side, -sign, *after(200))]
    assert outcome(*again, *own(other, -sign, *after(200))) == [0, 0, 0, meets]
    assert outcome(*again, *own(other, 0, *after(200))) == [0, 0, 0, 0]


def test_an_order_that_is_being_accounted_for_is_in_the_way_of_the_next():
    sell = cycle({"side": SELL}, limits=OWN)
    late = [*PAUSE, sell]
    assert outcome(cycle(limits=OWN), *late) == [0, bits(Gate.SELF_TRADE)]
    assert outcome(cycle(limits=OWN), *late[1:]) == [0, bits(Gate.BUSY)]


def filled(*fills: tuple[int, int], **facts) -> list[dict]:
    """Fills of the symbol: at these times, so many shares; and until they count."""
    cycles = [{"time": BEGIN + time, "fill": (1, shares)} for time, shares in fills]
    pauses = [{"time": now["time"]} for now in cycles]
    between = [now for pair in zip(cycles, pauses, strict=True) for now in pair]
    last = [between[-1] | {"fill": None}] * FILL_KNOWN
    caps = {"max_fills": 3, "max_fill_shares": 400}
    return [{**CYCLE, "caps": caps, **facts, **now} for now in (*between, *last)]


@pytest.mark.parametrize(
    ("fills", "passes"),
    [
        ([(0, 1)] * 2, True),
        ([(0, 1)] * 3, True),
        ([(0, 1)] * 4, False),
        ([(0, 399)], True),
        ([(0, 200), (1, 200)], True),
        ([(0, 200), (1, 201)], False),
        ([(0, WORD), (2048, 1)], False),
        ([(0, 200), (1023, 100), (1024, 101)], False),
        ([(0, 200), (1023, 200), (2048, 200)], True),
        ([(0, 200), (1024, 200), (2048, 201)], False),
        ([(0, 200), (1024, 100), (2048, 300)], True),
        ([(0, 1), (0, 1), (1024, 1), (2047, 1)], False),
        ([(0, 1), (0, 1), (1024, 1), (2048, 1), (2048, 1)], True),
        ([(0, WORD), (1, WORD)], False),
    ],
)
def test_more_fills_or_shares_than_the_caps_within_the_window_stop_a_symbol(fills, passes):
    facts = {"limits": {**LIMITS, "reference_max_age_us": WORD}}
    later = {"time": BEGIN + 1_000_000}
    order, other = ({**now, **later} for now in (cycle(**facts), cycle({"symbol": 2}, **facts)))
    expected = [0 if passes else bits(Gate.FILL_BURST), 0]
    assert outcome(*filled(*fills), order, *PAUSE, other) == expected


def test_a_symbol_that_was_filled_too_fast_is_stopped_until_the_host_clears_it():
    burst = bits(Gate.FILL_BURST)
    limits = {**LIMITS, "reference_max_age_us": WORD}

    def after(time: int, **facts) -> list[dict]:
        now = {**CYCLE, "time": BEGIN + time, **facts}
        return [now, *orders({}, limits=limits, time=BEGIN + time)]

    too_many = filled(*[(0, 1)] * 4)
    assert outcome(*too_many, *after(0), *after(5000), *after(5000, let_go=0)) == [burst] * 3
    # What was filled counts on while its interval does.
    again = filled((1024, 1))
    assert outcome(*too_many, *after(9, let_go=1), *again, *after(1024)) == [0, burst]
    again = filled((2048, 1))
    assert outcome(*too_many, *after(9, let_go=1), *again, *after(2048)) == [0, 0]
    wide = {"caps": CAPS}
    assert outcome(*filled(*[(0, 1)] * 4, **wide), *after(0)) == [0]
    start = [{**IDLE, "start_of_day": 1, "armed": 0}, *[IDLE] * SYMBOLS]
    begun = [*start, *filled((0, 1)), *after(0)]
    assert outcome(*too_many, *after(0), *begun) == [burst, 0]


def test_the_fill_that_is_one_too_many_counts_from_the_fourth_preview_on():
    facts = {"caps": {"max_fills": 0, "max_fill_shares": WORD}, "killed": 1}
    looks = [cycle(**facts) for _ in range(FILL_KNOWN + 1)]
    looks[0]["fill"] = (1, 5)
    reasons = outcome(*looks, {**IDLE, **facts})
    expected = [0] * FILL_KNOWN + [bits(Gate.FILL_BURST)]
    assert reasons == [each | bits(Gate.ARMED) for each in expected]


SETTLED = RiskGate.pull_latency(SYMBOLS)
AGED = {**LIMITS, "feed_max_age_us": 1, "symbol_max_age_us": 1, "reference_max_age_us": WORD}


def lasting(**facts) -> list[dict]:
    """A cause, and so many cycles that all is told of it."""
    strobes = dict.fromkeys(("trade", "fill", "message", "top", "let_go"))
    return [{**CYCLE, **facts}, *[{**CYCLE, **facts, **strobes}] * (SETTLED + FILL_KNOWN)]


@pytest.mark.parametrize(
    ("fails", "recovers"),
    [
        ({"trade": (1, REFERENCE + 5), "limits": {**LIMITS, "max_move": 5}}, {"limits": LIMITS}),
        ({"exact": 0b101}, {}),
        ({"limits": AGED, "time": CYCLE["time"] + 1001}, {}),
        ({"top": (1, None, ASK)}, {"top": (1, BID, ASK)}),
        ({"message": ("H", 1, "H")}, {"message": ("H", 1, "T")}),
        ({"fill": (1, 5), "caps": {"max_fills": 0, "max_fill_shares": WORD}}, {"let_go": 1}),
    ],
    ids=["moves", "trust", "stale", "book", "state", "fills"],
)
def test_what_stops_a_symbol_pulls_its_orders_once_each_time(fails, recovers):
    before = [*OPENING, *lasting(), *lasting()]
    if "time" in fails:
        before.append({**CYCLE, "message": ("Y", 2, "0"), "time": fails["time"]})
    after = [*lasting(**fails), *lasting(**{**fails, "trade": None, "fill": None, "top": None})]
    again = [*lasting(**recovers), *after]
    pulls = pulled([*before, *after, *again])
    causes = [at - len(before) for at, symbol in pulls if at >= len(before)]
    others = {symbol for at, symbol in pulls if at >= len(before)}
    if "time" in fails:
        # Symbol 2 was heard of, and 0 is as old as 1.
        stale = [symbol for at, symbol in pulls if 0 <= at - len(before) < len(after)]
        assert sorted(stale) == [0, 1]
        return
    assert others == {1} and len(causes) == 2
    late = FILL_KNOWN if "fill" in fails else 0
    assert 0 < causes[0] <= SETTLED + late
    assert len(after) < causes[1]


def test_orders_are_pulled_in_time_at_whatever_moment_and_load(generator):
    def loaded(cycles: int, at: int) -> list[dict]:
        """Previews of one symbol in every second cycle, or in some."""
        busy = generator.choice([lambda n: n % 2 == at % 2, lambda _: generator.random() < 0.3])
        return [
            cycle({"symbol": symbol}, killed=1) if busy(n) else {**IDLE, "killed": 1}
            for n in range(cycles)
        ]

    opening, latest = [*OPENING, *lasting(), *lasting()], 0
    for at in range(2, 40):
        symbol = generator.randrange(SYMBOLS)
        told = generator.randrange(SYMBOLS)
        cycles = [*opening, *loaded(at, at), *loaded(2 * SETTLED, at)]
        # A book is not trusted: known in the very cycle.
        for now in cycles[len(opening) + at :]:
            now["exact"] &= ~(1 << told)
        first = [when for when, _ in pulled(cycles) if when >= len(opening)]
        assert len(first) == 1
        latest = max(latest, first[0] - len(opening) - at)
    assert SYMBOLS < latest <= SETTLED


@pytest.mark.parametrize(
    ("name", "limit"),
    [("max_day_orders", 2), ("max_day_shares", 200), ("max_day_notional", 2 * NOTIONAL)],
)
def test_the_totals_of_the_day_are_within_their_limits(name, limit):
    for over, third in ((-1, False), (0, False), (1, name == "max_day_orders")):
        account = {**ACCOUNT, name: limit + over}
        full = bits(Gate.DAILY_TOTALS)
        expected = [0, full if over < 0 else 0, 0 if third else full]
        closed = {**CYCLE, "closed": 1, "released": {"side": BUY, "notional": NOTIONAL}}
        cycles = [*orders({}, {"symbol": 2}, account=account), closed, *PAUSE]
        assert outcome(*cycles, *orders({}, account=account)) == expected


def test_a_new_day_clears_counts_totals_and_buckets():
    limits = {**LIMITS, "max_duplicates": 1, "duplicate_window_ns": WORD, "order_burst_ns": 0}
    limits |= {"max_open_orders": 1, "order_interval_ns": WORD, "max_long": 100}
    account = {**ACCOUNT, "max_day_orders": 1, "max_gross": NOTIONAL, "max_net": NOTIONAL}
    account |= {"session_interval_ns": WORD, "session_burst_ns": 0}
    order = orders({}, limits=limits, account=account)
    start = [{**IDLE, "start_of_day": 1, "armed": 0}, *[IDLE] * SWEEP, *PAUSE]
    verdicts = simulate([*OPENING, *order, *order, *start, *order])
    again = bits(Gate.WORST_CASE_LONG, *(set(COUNTING) - {Gate.SELF_TRADE}))
    assert [verdict[1] for verdict in verdicts] == [0, again, 0]


@pytest.mark.parametrize("name", [name for name, _ in data.Layout.cast(Faults)])
def test_a_flipped_bit_refuses_until_the_host_forgives_it(name):
    broken, fault = bits(Gate.MEMORY_INTEGRITY), {"faults": {name: 1}}
    # Seen in the cycle of the intent, in which the order is judged.
    seen = [cycle(), {**IDLE, **fault}, *PAUSE]
    armed, disarmed = {**IDLE, "forgive": 1}, {**IDLE, "forgive": 1, "armed": 0}
    again = [cycle(), {**disarmed, **fault}, cycle(), disarmed, cycle(), *PAUSE]
    reasons = outcome(*seen, *orders({}), armed, *orders({}), disarmed, *orders({}), *again)
    disarmed_too = broken | bits(Gate.ARMED)
    assert reasons == [broken, broken, broken, 0, disarmed_too, disarmed_too, 0]


def test_a_flipped_bit_in_any_memory_of_the_gate_refuses_the_order_that_reads_it():
    gate = RiskGate(symbols=SYMBOLS)
    parts = opened(Module(), "gate", gate)
    memories = {
        told: inside(inside(parts, name), "memory").submodules.ram for name, told in PARTS.items()
    }
    simulated = Simulated(gate)
    for told, ram in memories.items():

        async def scenario(ctx, ram=ram, told=told):
            word = Value.cast(ram.data[1])

            async def reasons(symbol: int) -> int:
                ctx.set(gate.preview.payload.symbol, symbol)
                await ctx.tick()
                ctx.set(gate.intents.payload.symbol, symbol)
                ctx.set(gate.intents.valid, 1)
                killed = ctx.get(gate.damaged)
                await ctx.tick()
                ctx.set(gate.intents.valid, 0)
                assert ctx.get(gate.verdicts.valid)
                found = ctx.get(gate.verdicts.payload.reasons)
                assert killed == found >> Gate.MEMORY_INTEGRITY & 1
                return killed

            await ctx.tick().until(gate.ready)
            ctx.set(word, ctx.get(word) ^ 1 << len(word) // 3)
            assert not await reasons(2)
            assert await reasons(1)
            seen = [key for key, _ in data.Layout.cast(Faults) if ctx.get(gate.faults_seen[key])]
            assert seen == [told]

        simulated.run(scenario)


def test_a_sum_that_differs_from_its_copy_refuses_and_is_told():
    gate = RiskGate(symbols=SYMBOLS)
    parts = opened(Module(), "gate", gate)
    kept = {"order_number": (gate.number,)}
    for name, told in KEEPERS.items():
        inside(parts, name)
        kept[told] = getattr(parts.submodules, name).twins
    simulated = Simulated(gate)
    for told, twins in kept.items():
        for each in (half for twin in twins for half in (twin.register, twin.copy)):

            async def scenario(ctx, each=each, told=told):
                register = Value.cast(each)
                await ctx.tick().until(gate.ready)
                ctx.set(register, ctx.get(register) ^ 1 << len(register) // 2)
                await ctx.tick()
                ctx.set(gate.intents.valid, 1)
                assert ctx.get(gate.damaged)
                await ctx.tick()
                assert ctx.get(gate.verdicts.payload.reasons) >> Gate.MEMORY_INTEGRITY & 1
                assert ctx.get(gate.faults_seen[told])

            simulated.run(scenario)


def test_no_symbols_are_refused():
    with pytest.raises(ValueError, match="symbols must be at least 1"):
        RiskGate(symbols=0)
