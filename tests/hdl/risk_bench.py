"""The risk gate, Verilated: cycles as tests tell them go in, verdicts come out."""

import functools
from collections.abc import Iterator

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from verilated import Packed, Verilated

from tickgate.hdl.risk.account import HELD_BITS, Released
from tickgate.hdl.risk.fills import FillCaps
from tickgate.hdl.risk.gate import STANDING, Refusal, RiskGate, Verdict
from tickgate.hdl.risk.integrity import Faults
from tickgate.hdl.risk.limits import AccountLimits, Limits
from tickgate.hdl.risk.standing import Standing
from tickgate.hdl.stream import Execution, Message, MessageKind, Order, Proposal, Top, Trade
from tickgate.sim.model import risk as model

__all__ = ["BUY", "KINDS", "SELL", "SYMBOLS", "pulled", "simulate", "top"]

SYMBOLS = 3
BUY, SELL = 0, 1
KINDS = {
    "H": MessageKind.TRADING_STATE,
    "S": MessageKind.SYSTEM,
    "W": MessageKind.BREACH,
    "Y": MessageKind.SHORT_SALE_RESTRICTION,
    "h": MessageKind.OPERATIONAL_HALT,
}
STROBED = {
    "preview": Proposal(SYMBOLS),
    "intents": Proposal(SYMBOLS),
    "messages": Message(SYMBOLS),
    "tops": Top(SYMBOLS),
    "trades": Trade(SYMBOLS),
    "executions": Execution(SYMBOLS),
}
OFFERED = {"released": Released, "closed": range(SYMBOLS)}
TOLD = {
    "limits": Limits,
    "position": 33,
    "account": AccountLimits,
    "long_value": 64,
    "short_value": 64,
    "values_known": 1,
    "held": HELD_BITS,
    "released_buys": 33,
    "released_sells": 33,
    "caps": FillCaps,
    "release": 1,
    "release_symbol": range(SYMBOLS),
    "armed": 1,
    "killed": 1,
    "standing": Standing,
    "exact_now": SYMBOLS,
    "time_in_force": 8,
    "time": 64,
    "transmit_busy": 1,
    "load_user_ref_num": 1,
    "user_ref_num_start": 32,
    "start_of_day": 1,
    "faults": Faults,
    "forgive": 1,
}
VERDICTS = {
    "verdicts": Verdict(SYMBOLS),
    "approved": Order(SYMBOLS),
    "refused": Refusal(SYMBOLS),
    "pulls": range(SYMBOLS),
}
SHOWN = {"ready": 1, "limits_symbol": range(SYMBOLS)}
CLEARING = [{"values_known": 1}] * (2 * SYMBOLS + 2)
"""Cycles in which memories are cleared."""


class GateAtHand(wiring.Component):
    """The gate, all that goes in as one payload, all that comes out as another.

    What is offered and would have to wait has not come: `..._taken` tells. As a strategy does, it
    gives a preview that is not valid the symbol that was wanted, and an intent that is not valid
    the preview before.
    """

    GIVEN = data.StructLayout(
        {**STROBED, **OFFERED, **{f"{name}_valid": 1 for name in (*STROBED, *OFFERED)}, **TOLD}
    )
    GIVES = data.StructLayout(
        {
            **{f"{name}_valid": 1 for name in VERDICTS},
            **{f"{name}_taken": 1 for name in OFFERED},
            **SHOWN,
            **VERDICTS,
        }
    )

    def __init__(self) -> None:
        super().__init__({"given": In(self.GIVEN), "gives": Out(self.GIVES)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.gate = gate = RiskGate(symbols=SYMBOLS)
        given, gives = self.given, self.gives

        def copy(to, source) -> None:
            m.d.comb += Value.cast(to).eq(Value.cast(source))

        for name in (*STROBED, *OFFERED):
            port = getattr(gate, name)
            copy(port.payload, given[name])
            copy(port.valid, given[f"{name}_valid"] & (name in STROBED or port.ready))
        wanted, before = Signal(range(SYMBOLS)), Signal(Proposal(SYMBOLS))
        m.d.sync += [wanted.eq(gate.wanted), before.eq(gate.preview.payload)]
        with m.If(~given.preview_valid):
            m.d.comb += gate.preview.payload.symbol.eq(wanted)
        with m.If(~given.intents_valid):
            copy(gate.intents.payload, before)
        for name in TOLD:
            copy(getattr(gate, name), given[name])
        for name in VERDICTS:
            port = getattr(gate, name)
            copy(gives[name], port.payload)
            copy(gives[f"{name}_valid"], port.valid)
        for name in OFFERED:
            port = getattr(gate, name)
            copy(gives[f"{name}_taken"], port.valid & port.ready)
        for name in SHOWN:
            copy(gives[name], getattr(gate, name))
        return m


@functools.cache
def bench() -> tuple[Verilated, Packed, Packed]:
    return Verilated(GateAtHand()), Packed(GateAtHand.GIVEN), Packed(GateAtHand.GIVES)


def simulate(cycles: list[dict]) -> list[tuple]:
    """Returns (approved, reasons, order) of each preview that was meant, as the gate says.

    What could not be taken when it was offered is taken out of `cycles`.
    """
    idle = {**cycles[0], **dict.fromkeys(("preview", "released", "closed", "message", "top"))}
    idle |= {"trade": None, "fill": None, "let_go": None, "load": None, "start_of_day": 0}
    told = [*cycles, *[idle] * (1 + RiskGate.LATENCY)]
    intents, shown = play(told)
    due = [None] * RiskGate.LATENCY + intents
    verdicts = []
    for now, intent, was in zip(told, due, shown, strict=False):
        for name in OFFERED:
            if now[name] is not None and not was[f"{name}_taken"]:
                now[name] = None
        if now["preview"]:
            assert was["limits_symbol"] == now["preview"]["symbol"]
        assert was["verdicts_valid"] == (intent is not None)
        assert was["approved_valid"] + was["refused_valid"] == was["verdicts_valid"]
        if intent is not None:
            verdicts.append(read(was, intent))
    return verdicts


def play(told: list[dict]) -> tuple[list, Iterator[dict]]:
    """The intent of each cycle, and what comes out in each."""
    gate, given, gives = bench()
    intents = [None, *(now["preview"] if now["meant"] else None for now in told)]
    words = [given.pack(ports(now, intent)) for now, intent in zip(told, intents, strict=False)]
    shown = gate.run([*map(given.pack, CLEARING), *words])
    assert not gives.unpack(shown[0])["ready"]
    assert gives.unpack(shown[len(CLEARING) - 1])["ready"]
    return intents, map(gives.unpack, shown[len(CLEARING) :])


def pulled(cycles: list[dict]) -> list[tuple[int, int]]:
    """Cycle and symbol of all pulls."""
    _, shown = play(cycles)
    return [(at, was["pulls"]) for at, was in enumerate(shown) if was["pulls_valid"]]


def ports(now: dict, intent: dict | None) -> dict:
    """What the gate is given in a cycle."""
    buys, sells = now["released_shares"]
    of_gate = {
        **{name: now[name] for name in ("position", "armed", "killed", "time", "start_of_day")},
        "standing": {gate.name.lower(): int(gate in now["standing"]) for gate in STANDING},
        **{name: now[name] for name in ("limits", "account", "long_value", "short_value")},
        **{name: now[name] for name in ("faults", "forgive")},
        **{name: now[name] for name in ("values_known", "held")},
        "released_buys": buys,
        "released_sells": sells,
        "caps": now["caps"],
        "release": int(now["let_go"] is not None),
        "release_symbol": now["let_go"],
        "executions": now["fill"] and dict(zip(("symbol", "shares"), now["fill"], strict=True)),
        "exact_now": now["exact"],
        "transmit_busy": now["busy"],
        "load_user_ref_num": int(now["load"] is not None),
        "user_ref_num_start": now["load"],
        "time_in_force": ord(now["time_in_force"]),
        "preview": now["preview"],
        "intents": intent,
        "released": now["released"],
        "closed": now["closed"],
        "messages": now["message"] and message(*now["message"]),
        "tops": now["top"] and top(*now["top"]),
        "trades": now["trade"] and dict(zip(("symbol", "price"), now["trade"], strict=True)),
    }
    for name in (*STROBED, *OFFERED):
        of_gate[f"{name}_valid"] = int(of_gate[name] is not None)
    return of_gate


def message(kind: str, symbol: int | None, code: str) -> dict:
    fields = {"kind": KINDS[kind].value, "symbol": symbol, "tracked": int(symbol is not None)}
    return {**fields, "code": ord(code)}


def top(symbol: int, bid: int | None, ask: int | None) -> dict:
    """The top with these prices, or without where one is None."""
    return {
        "symbol": symbol,
        "bid_present": int(bid is not None),
        "bid_price": bid or 0,
        "bid_shares": 10,
        "ask_present": int(ask is not None),
        "ask_price": ask or 0,
        "ask_shares": 10,
        "exact": 1,
        "sequence": 0,
    }


def read(was: dict, intent: dict) -> tuple:
    """The verdict, which must be told alike on all three ports, and must name the intent."""
    verdict = was["verdicts"]
    order, approved, reasons = verdict["order"], verdict["approved"], verdict["reasons"]
    assert was["approved_valid"] == approved
    if approved:
        assert was["approved"] == order
    else:
        assert was["refused"]["reasons"] == reasons
        assert was["refused"]["proposal"].items() <= order.items()
    assert order["stamp"] == intent["stamp"]
    return bool(approved), reasons, model.Order(**{n: order[n] for n in model.Order._fields})
