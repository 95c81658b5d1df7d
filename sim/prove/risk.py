"""What is proved of the risk gates: each passes exactly when its formula holds.

Ref: docs/risk.md.
"""

from collections.abc import Callable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from tickgate.hdl.control.arming import Arming
from tickgate.hdl.risk.account import HELD_BITS, Released
from tickgate.hdl.risk.fills import FillBurst, FillCaps
from tickgate.hdl.risk.gate import COUNTING, Gate, RiskGate
from tickgate.hdl.risk.integrity import Faults
from tickgate.hdl.risk.limits import AccountLimits, Limits
from tickgate.hdl.risk.movement import Movement
from tickgate.hdl.risk.standing import Standing
from tickgate.hdl.stream import Execution, Message, MessageKind, Proposal, Side, Top, Trade
from tickgate.sim.prove.engine import Harness, Method, Property
from tickgate.sim.prove.formulas import (
    FORMULAS,
    digits,
    divides,
    measured,
    quotient,
    times,
    within_gross,
    worst_long,
    worst_short,
)
from tickgate.sim.prove.known import Knowledge
from tickgate.sim.prove.opened import inside, opened, read

__all__ = ["PROPERTIES"]

SYMBOLS = 2
WORD = 1 << 32


class Judged(data.Struct):
    """What a verdict is about: a preview, and what was in force in its cycle."""

    proposal: Proposal(SYMBOLS)
    limits: Limits
    account: AccountLimits
    position: signed(33)
    released_buys: 33
    released_sells: 33
    time_in_force: 8
    time: 64


INPUTS = {
    "preview": Proposal(SYMBOLS),
    "meant": 1,
    "limits": Limits,
    "account": AccountLimits,
    "position": signed(33),
    "released_buys": 33,
    "released_sells": 33,
    "long_value": 64,
    "short_value": 64,
    "values_known": 1,
    "held": HELD_BITS,
    "released_valid": 1,
    "released": Released,
    "closed_valid": 1,
    "closed": range(SYMBOLS),
    "standing": Standing,
    "exact_now": SYMBOLS,
    "message_valid": 1,
    "message": Message(SYMBOLS),
    "top_valid": 1,
    "top": Top(SYMBOLS),
    "trade_valid": 1,
    "trade": Trade(SYMBOLS),
    "executed_valid": 1,
    "executed": Execution(SYMBOLS),
    "caps": FillCaps,
    "release": 1,
    "release_symbol": range(SYMBOLS),
    "time_in_force": 8,
    "time": 64,
    "busy": 1,
    "load": 1,
    "start": 32,
    "faults": Faults,
    "forgive": 1,
}
"""Of the risk gate; `armed` and `killed` come beside."""


def drive(m: Module, harness: Harness, gate: RiskGate) -> Signal:
    """Connects `INPUTS` to the risk gate; returns the proposal of an intent in this cycle."""
    proposal = Signal(Proposal(SYMBOLS))
    m.d.sync += proposal.eq(harness.preview)
    same = ("limits", "account", "position", "long_value", "short_value", "exact_now", "time")
    for name in (*same, "values_known", "held", "standing"):
        m.d.comb += getattr(gate, name).eq(getattr(harness, name))
    for port, name in (
        (gate.released, "released"),
        (gate.closed, "closed"),
        (gate.messages, "message"),
        (gate.tops, "top"),
        (gate.trades, "trade"),
        (gate.executions, "executed"),
    ):
        m.d.comb += [
            port.valid.eq(getattr(harness, f"{name}_valid")),
            port.payload.eq(getattr(harness, name)),
        ]
    m.d.comb += [
        gate.preview.valid.eq(1),
        gate.preview.payload.eq(harness.preview),
        gate.intents.valid.eq(harness.meant),
        gate.intents.payload.eq(proposal),
        gate.time_in_force.eq(harness.time_in_force),
        gate.released_buys.eq(harness.released_buys),
        gate.released_sells.eq(harness.released_sells),
        gate.caps.eq(harness.caps),
        gate.release.eq(harness.release),
        gate.release_symbol.eq(harness.release_symbol),
        gate.transmit_busy.eq(harness.busy),
        gate.load_user_ref_num.eq(harness.load),
        gate.user_ref_num_start.eq(harness.start),
        gate.faults.eq(harness.faults),
        gate.forgive.eq(harness.forgive),
    ]
    return proposal


def easy_day(harness: Harness, *, orders: int) -> Value:
    """In every cycle the same feed and the same order, of which all limits allow so many.

    For covers that take many cycles. Strobes of the host come as they like.
    """

    def all_ones(layout, **but: int) -> dict[str, int]:
        widths = {name: field.width for name, field in data.Layout.cast(layout)}
        return {name: (1 << width) - 1 for name, width in widths.items()} | but

    limits = {"order_tick": 1, "lot_size": 1, "max_duplicates": 4, "max_open_orders": orders}
    constant = {
        **dict.fromkeys(INPUTS, 0),
        "preview": {"price": 1, "quantity": 1},
        "limits": all_ones(Limits, band_low=0, **limits),
        "account": all_ones(AccountLimits, session_reserve_ns=0),
        "released": {},
        "standing": all_ones(Standing),
        "values_known": 1,
        "faults": {},
        "exact_now": (1 << SYMBOLS) - 1,
        "message_valid": 1,
        "message": {"kind": MessageKind.TRADING_STATE, "tracked": 1, "code": ord("T")},
        "top_valid": 1,
        "top": {"bid_present": 1, "bid_price": 1, "ask_present": 1, "ask_price": 2},
        "trade_valid": 1,
        "trade": {"price": 1},
        "executed": {},
        "caps": {},
        "time_in_force": ord("3"),
    }
    of_host = ("meant", "load", "start")
    return Cat(
        Value.cast(getattr(harness, name)) == Value.cast(Const(constant[name], shape))
        for name, shape in INPUTS.items()
        if name not in of_host
    ).all()


class RiskHarness(Harness):
    """The risk gate, and what is to be known of any one symbol (`which`) beside it.

    Its claims: that the gate knows each group of :class:`Knowledge` as the harness does; and, if
    it knows them all, what holds of a verdict on an intent of that symbol (`CLAIMS`).
    """

    def __init__(self) -> None:
        super().__init__(
            {"which": range(SYMBOLS), **INPUTS, "armed": 1, "killed": 1},
            {"verdict": 1, "approved": 1, "reasons": 64},
            claims=(*GROUPS, *CLAIMS, "within_limits", "measured"),
        )

    def elaborate(self, platform) -> Module:
        self._module = m = Module()
        self.gate = gate = RiskGate(symbols=SYMBOLS)
        gate_inside = opened(m, "gate", gate)
        self.now, self.judged = Signal(Judged), Signal(Judged)
        for name, _ in data.Layout.cast(Judged):
            source = self.preview if name == "proposal" else getattr(self, name)
            m.d.comb += self.now[name].eq(source)
        m.d.comb += [
            self.judged.as_value().eq(self.ago(self.now.as_value(), 2)),
            gate.armed.eq(self.armed),
            gate.killed.eq(self.killed),
            gate.shown.eq(self.which),
        ]
        drive(m, self, gate)
        outer, inner = digits(self.preview.quantity, self.preview.price)
        self.notional = self.ago((outer + (inner << 16))[:64], 2)
        self.knowledge = Knowledge(m, self, gate, gate_inside)
        # Read as the gate reads it, so that the solver sees that products of it are the same.
        self.noted = read(m, inside(gate_inside, "collar"), "memory", self.preview.symbol)
        self._remember(gate)
        # There is no preview before the first cycle.
        begun = Signal()
        m.d.sync += begun.eq(1)
        contract = self.stays(m, self.which) & (begun | ~self.meant)
        of_it = gate.verdicts.valid & (self.judged.proposal.symbol == self.which)
        agreements = self.knowledge.agreements()
        apart = ~gate.approved.valid | (gate.verdicts.valid & ~self.accounting_then)
        for name, agrees in agreements.items():
            assumed = contract & apart if name in OF_ORDERS else contract
            if name == "fills":
                assumed &= ~self.executed_valid | ~self.ago(self.executed_valid, 1)
            self._claim(name, assumed, agrees, gate.approved.valid)
        for name, (claim, cover, needs) in CLAIMS.items():
            knows = Cat(Const(1, 1), *(agreements[group] for group in needs)).all()
            self._claim(name, contract & knows, ~of_it | claim(self), of_it & cover(self))
        proved = Cat(~of_it | CLAIMS[gate.name.lower()][0](self) for gate in OF_LIMITS).all()
        within, takes_all = ~of_it | _is_within_limits(self), of_it & _takes_all_room(self)
        self._claim("within_limits", contract & proved, within, takes_all)
        self._claim("measured", Const(1, 1), gate.beyond_gross == measured(self), gate.beyond_gross)
        m.d.comb += [
            self.verdict.eq(gate.verdicts.valid),
            self.approved.eq(gate.approved.valid),
            self.reasons.eq(gate.verdicts.payload.reasons),
            self.eased_open_orders.eq(easy_day(self, orders=1)),
        ]
        return m

    def _claim(self, name: str, assumed, holds, seen) -> None:
        self._module.d.comb += [
            getattr(self, f"assumed_{name}").eq(assumed),
            getattr(self, f"holds_{name}").eq(holds),
            getattr(self, f"seen_{name}").eq(seen),
        ]

    def ago(self, value: Value, cycles: int) -> Value:
        """What a value was so many cycles before."""
        for _ in range(cycles):
            later = Signal.like(Value.cast(value), init=0)
            self._module.d.sync += later.eq(value)
            value = later
        return value

    def _remember(self, gate: RiskGate) -> None:
        """Facts of the cycles of preview and intent, in that of the verdict."""
        knowledge, symbol = self.knowledge, self.ago(self.preview.symbol, 1)
        feed, limits = knowledge.feed, self.ago(self.limits.extended_hours, 1)
        self.armed_then, self.killed_then = self.ago(self.armed, 1), self.ago(self.killed, 1)
        self.exact_then = self.ago(self.exact_now.bit_select(symbol, 1), 1)
        self.busy_then = self.ago(self.busy, 1)
        self.standing_then = Signal(Standing)
        self._module.d.comb += self.standing_then.as_value().eq(
            self.ago(self.standing.as_value(), 1)
        )
        hours = knowledge.market_open | limits
        self.trading_then = self.ago(feed.trades & ~feed.halted & ~knowledge.breach & hours, 1)
        self.restricted_then = self.ago(feed.restricted, 1)
        approved = [self.ago(gate.approved.valid, n) for n in range(1, RiskGate.ACCOUNTING + 1)]
        self.accounting_then = Cat(approved).any()
        for name in ("orders", "feed", "moves", "filled", "account"):
            known = getattr(knowledge, name)
            then = Signal(known.shape())
            self._module.d.comb += then.as_value().eq(self.ago(known.as_value(), 2))
            setattr(self, f"{name}_then", then)
        self.interval_then = self.ago(knowledge.interval, 2)
        self.damaged_then = self.ago(knowledge.faults.as_value().any(), 1)
        self.odd_then = self.ago(knowledge.odd(self.preview.symbol), 2)
        self.market_heard_then = self.ago(knowledge.market_heard, 2)
        self.market_heard_at_then = self.ago(knowledge.market_heard_at, 2)
        # What was approved in the cycles of preview and intent.
        order = gate.approved.payload
        for side, name in (Side.BUY, "approved_buys"), (Side.SELL, "approved_sells"):
            mine = gate.approved.valid & (order.symbol == self.which) & (order.side == side)
            amount = Mux(mine, order.quantity, 0)
            setattr(self, name, [self.ago(amount, 1), self.ago(amount, 2)])


def name_of(gate: Gate) -> str:
    """The property that a gate passes exactly when it should."""
    return f"gate-{gate.value}-{gate.name.lower().replace('_', '-')}"


def _reason(gate: Gate):
    return lambda h: h.gate.verdicts.payload.reasons[gate] != FORMULAS[gate][1](h)


def _alone(gate: Gate):
    return lambda h: h.gate.verdicts.payload.reasons == Const(1 << gate, 64)


def _is_within_limits(h):
    return ~h.gate.approved.valid | (worst_long(h) & worst_short(h) & within_gross(h))


def _takes_all_room(h):
    order = h.judged.proposal
    room = h.judged.limits.max_long == h.judged.position + order.quantity
    return h.gate.approved.valid & (order.side == Side.BUY) & room


NEEDS: dict[Gate, tuple[str, ...]] = {
    Gate.WORST_CASE_LONG: ("reserved",),
    Gate.WORST_CASE_SHORT: ("reserved",),
    Gate.GROSS_EXPOSURE: ("notional",),
    Gate.NET_EXPOSURE: ("notional",),
    Gate.PRICE_COLLAR: ("trade",),
    Gate.COLLAR_OVER_TIME: ("moves",),
    Gate.FILL_BURST: ("fills",),
    Gate.STALENESS: ("heard",),
    Gate.BOOK_SANITY: ("top",),
    Gate.TRADING_STATE: ("state",),
    Gate.MESSAGE_RATE: ("rate",),
    Gate.OPEN_ORDERS: ("open",),
    Gate.DUPLICATE: ("sent",),
    Gate.SELF_TRADE: ("reserved", "extremes"),
    Gate.SHORT_LOCATE: ("reserved",),
    Gate.SHORT_SALE_RESTRICTION: ("reserved", "state", "top"),
    Gate.DAILY_TOTALS: ("day",),
    Gate.MEMORY_INTEGRITY: ("faults",),
}
"""What a gate has to know, in the words of `GROUPS`."""
CLAIMS: dict[str, tuple[Callable[..., Value], Callable[..., Value], tuple[str, ...]]] = {
    **{gate.name.lower(): (_reason(gate), _alone(gate), NEEDS.get(gate, ())) for gate in FORMULAS},
}
OF_LIMITS = (Gate.BUSY, Gate.WORST_CASE_LONG, Gate.WORST_CASE_SHORT, Gate.GROSS_EXPOSURE)
"""Gates by which what is approved is within limits."""
GROUPS = {
    "trade": "price and time of its last trade",
    "moves": "how far its trades have moved in this interval and the one before",
    "fills": "number and shares of its fills in this interval and the one before; whether one was "
    "too many",
    "state": "its trading state, session and breach of the market",
    "heard": "time of its last message, and of the last one of any symbol",
    "top": "its last top",
    "reserved": "shares of all approved orders on either side",
    "rate": "time at which its bucket is full, and that of the session",
    "sent": "its last 4 approved orders",
    "extremes": "highest price of buys and lowest of sells approved since none of the side was "
    "open; and their shares, as of `risk-known-reserved`",
    "open": "number of its open orders, and of all symbols together",
    "notional": "notional of open orders on either side, of all symbols together",
    "day": "orders, shares and notional of the day, of all symbols together",
    "faults": "where flipped bits were seen since the host, with the card disarmed, forgave them",
}
OF_ORDERS = {"rate": 3, "sent": 3, "extremes": 4, "open": 4, "notional": 4, "day": 3}
"""Groups that orders make, none of which comes while the gate is busy with another one; and after
how many cycles a run from anywhere has all of an order that was on its way."""


OF_FILLS = {"fills": 4}
"""Likewise, of a fill."""


class PassageHarness(Harness):
    """The risk gate behind what arms it, and every verdict that comes out."""

    def __init__(self) -> None:
        strobes = dict.fromkeys(("arm", "disarm", "kill", "clear_kill", "prepared"), 1)
        shown = {"verdict": 1, "approved": 1, "may": 1, "dead": 1, "virgin": 1, "number": 32}
        super().__init__({**INPUTS, **strobes}, shown, claims=("killed", "reset", "number", "each"))

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.arming = arming = Arming()
        gate = RiskGate(symbols=SYMBOLS)
        opened(m, "gate", gate)
        intended = drive(m, self, gate)
        m.d.comb += [
            arming.arm.eq(self.arm),
            arming.disarm.eq(self.disarm),
            arming.kill.eq(self.kill),
            arming.clear_kill.eq(self.clear_kill),
            arming.prepared.eq(self.prepared),
            gate.armed.eq(arming.armed),
            gate.killed.eq(arming.killed),
        ]
        begun, meant, proposal = Signal(), Signal(), Signal(Proposal(SYMBOLS))
        m.d.sync += [begun.eq(1), meant.eq(self.meant), proposal.eq(intended)]
        agrees = self._follow(m, arming, gate)
        for name, (claim, cover) in self._claims(m, gate, meant, proposal).items():
            m.d.comb += [
                getattr(self, f"assumed_{name}").eq(begun | ~self.meant),
                getattr(self, f"holds_{name}").eq(agrees & claim),
                getattr(self, f"seen_{name}").eq(cover),
            ]
        m.d.comb += [
            self.eased_number.eq(easy_day(self, orders=2)),
            self.verdict.eq(gate.verdicts.valid),
            self.approved.eq(gate.approved.valid),
        ]
        return m

    def _follow(self, m: Module, arming: Arming, gate: RiskGate) -> Value:
        """What the host's strobes amount to; returns whether the parts know the same.

        `may`: orders may leave. `dead`: a kill has come and no arming after it. `virgin`: no arming
        has come since reset.
        """
        killed, arms = Signal(), Signal()
        self.was_dead, self.was_virgin = Signal(), Signal(init=1)
        may, dead, virgin, number = Signal(), Signal(), Signal(init=1), Signal(32, init=1)
        m.d.comb += [
            arms.eq(self.arm & self.prepared & ~killed & ~self.kill & ~self.disarm),
            self.may.eq(may),
            self.dead.eq(dead),
            self.virgin.eq(virgin),
            self.number.eq(number),
        ]
        m.d.sync += [self.was_dead.eq(dead), self.was_virgin.eq(virgin)]
        with m.If(self.kill):
            m.d.sync += [killed.eq(1), may.eq(0), dead.eq(1)]
        with m.Elif(self.clear_kill & ~may):
            m.d.sync += killed.eq(0)
        with m.If(self.disarm):
            m.d.sync += may.eq(0)
        with m.If(arms):
            m.d.sync += [may.eq(1), dead.eq(0), virgin.eq(0)]
        with m.If(self.load & ~may):
            m.d.sync += number.eq(self.start)
        with m.Elif(gate.approved.valid):
            m.d.sync += number.eq(number + 1)
        return Cat(
            arming.armed == may,
            arming.killed == killed,
            ~(may & (killed | dead | virgin)),
            gate.next_user_ref_num == number,
            ~gate.number.differs,
            gate.number_odd == number.xor(),
        ).all()

    def _claims(self, m: Module, gate: RiskGate, meant, proposal) -> dict[str, tuple]:
        verdict, order = gate.verdicts.payload, gate.verdicts.payload.order
        approved = gate.approved.valid
        once_more = Signal()
        with m.If(approved):
            m.d.sync += once_more.eq(1)
        same = Cat(order[name] == proposal[name] for name, _ in Proposal(SYMBOLS)).all()
        return {
            "killed": (~(approved & self.was_dead), self.was_dead & ~self.dead & self.may),
            "reset": (~(approved & self.was_virgin), approved),
            "number": (
                ~approved | (gate.approved.payload.user_ref_num == self.number),
                approved & once_more,
            ),
            "each": (
                (gate.verdicts.valid == meant)
                & (gate.refused.valid == (meant & ~verdict.approved))
                & (approved == (meant & verdict.approved))
                & (verdict.approved == ~verdict.reasons.any())
                & (~meant | same),
                gate.refused.valid & once_more,
            ),
        }


DEPTH_ENTERED = RiskGate.ACCOUNTING
"""After so many cycles a run from anywhere has all of an order that was being accounted for."""
REACHED = {
    # An order has to be open before it.
    Gate.OPEN_ORDERS: 3 + RiskGate.ACCOUNTING + 1,
    # Two trades, or a fill.
    Gate.COLLAR_OVER_TIME: 3 + Movement.LATENCY_TRADE,
    Gate.FILL_BURST: 2 + FillBurst.LATENCY_EXECUTION,
}
OF_INTENT = "the intent is the preview of the cycle before; no start of day meanwhile"
LAWS_OF: dict[Gate, str] = {
    **dict.fromkeys(
        (Gate.GROSS_EXPOSURE, Gate.NET_EXPOSURE, Gate.ORDER_NOTIONAL, Gate.DAILY_TOTALS),
        "`product-by-digits`",
    ),
    Gate.PRICE_COLLAR: "`product-by-digits`, `product-by-10000`, `product-by-1000`",
    Gate.STALENESS: "`product-by-1000`",
    Gate.TICK_AND_LOT: "`divisible-by-5`, `divisible-by-25`",
}
"""Laws by which the formula of a gate says what it is said to."""


def _knowing(*gates: Gate) -> str:
    """The contract of what is proved of gates that know what they need."""
    needs = dict.fromkeys(group for gate in gates for group in NEEDS.get(gate, ()))
    laws = dict.fromkeys(LAWS_OF[gate] for gate in gates if gate in LAWS_OF)
    return "; ".join((OF_INTENT, *(f"`risk-known-{group}`" for group in needs), *laws))


APPROVALS = ("approved",)
"""Whether an order is approved: what a gate knows and says of it holds whatever all gates say."""

KNOWN = tuple(
    Property(
        name=f"risk-known-{group}",
        component="risk: gates",
        claim=f"what the gate knows of any symbol is what has come: {text}",
        contract=f"{OF_INTENT}; `gate-0-busy`" if group in OF_ORDERS else OF_INTENT,
        size="2 symbols, all numbers in full width",
        cover="an order is approved",
        method=Method.INDUCTION,
        depth=(OF_ORDERS | OF_FILLS).get(group, 3),
        reached=3,
        make=RiskHarness,
        of_many=group,
        free=APPROVALS,
    )
    for group, text in GROUPS.items()
)


class ProductHarness(Harness):
    """Two ways to multiply: of `one` and a constant, or, without a constant, `one` and `other`."""

    def __init__(self, factor: int | None, width: int) -> None:
        self._factor, self._width = factor, width
        super().__init__({"one": width, "other": width})

    def elaborate(self, platform) -> Module:
        m = Module()
        if self._factor is None:
            plain = self.one * self.other
            outer, inner = digits(self.one, self.other)
            made = outer + (inner << self._width // 2)
        else:
            plain = self.one * self._factor
            made = times(self._factor, self.one)
        m.d.comb += [
            self.assumed.eq(1),
            self.holds.eq(plain == made),
            self.seen.eq(plain[-1]),
        ]
        return m


class QuotientHarness(Harness):
    """What the gates take to be a number of 32 bits divided by an odd one."""

    def __init__(self, odd: int) -> None:
        self._odd = odd
        super().__init__({"whole": 32}, {"low": 32, "high": 16})

    def elaborate(self, platform) -> Module:
        m = Module()
        whole, odd = self.whole, self._odd
        m.d.comb += [
            Cat(self.low, self.high).eq(Cat(*quotient(odd, whole))),
            self.assumed.eq(1),
            self.holds.eq(
                ((self.low * odd)[:32] == whole[:16]) & ((self.high * odd)[:16] == whole[16:])
            ),
            self.seen.eq((whole + odd >= WORD) & divides(odd, whole)),
        ]
        return m


def _product(factor: int | None, width: int, *, name: str, text: str) -> Property:
    return Property(
        name=f"product-by-{name}",
        component="risk: arithmetic",
        claim=text,
        contract="none",
        size=f"{width} bits",
        cover="the highest bit of the product is set",
        method=Method.ALWAYS,
        depth=0,
        reached=0,
        make=lambda: ProductHarness(factor, width),
    )


# Of the last two laws the gates use the case of 32 bits, for which the solver does not end.
LAWS = (
    _product(1000, 32, name="1000", text="1000 x is 1024 x - 16 x - 8 x"),
    _product(
        10_000,
        12,
        name="10000",
        text="10,000 x is (8192 + 1024 + 512 + 256 + 16) x: a law that the gates use at 32 bits",
    ),
    _product(
        None,
        6,
        name="digits",
        text="a product is the sum of the products of the halves of its factors, each in its "
        "place: a law that the gates use at 32 bits",
    ),
    *(
        Property(
            name=f"divisible-by-{odd}",
            component="risk: arithmetic",
            claim=f"what the gate takes for the quotient of either half of x, times {odd}, is that "
            "half, modulo 2^32 and 2^16; so the sum of both is the quotient of x modulo 2^32, and "
            f"{odd} divides x exactly when it is at most (2^32 - 1) / {odd}: times {odd} it does "
            "not wrap",
            contract="none",
            size="32 bits",
            cover=f"the greatest multiple of {odd}",
            method=Method.ALWAYS,
            depth=0,
            reached=0,
            make=lambda odd=odd: QuotientHarness(odd),
        )
        for odd in (5, 25)
    ),
)


def _passage(
    claim: str, *, name: str, theorem: str, text: str, cover: str, reached: int
) -> Property:
    return Property(
        name=name,
        component="risk: gates and arming",
        about=theorem,
        claim=text,
        contract="the intent is the preview of the cycle before",
        size="2 symbols",
        cover=cover,
        method=Method.INDUCTION,
        depth=2,
        reached=reached,
        make=PassageHarness,
        of_many=claim,
    )


THEOREMS = (
    Property(
        name="approved-within-limits",
        component="risk: gates",
        about="theorem 2",
        claim="the position and all shares of approved orders that were not released, this one "
        "included, are within `max_long` and `max_short`, gross exposure is within "
        "`account_max_gross`: the limits in force in the cycle of the preview",
        contract="; ".join(f"`{name_of(gate)}`" for gate in OF_LIMITS),
        size="2 symbols, all numbers in full width",
        cover="an order is approved that takes all room there is",
        method=Method.INDUCTION,
        depth=1,
        reached=3,
        make=RiskHarness,
        of_many="within_limits",
    ),
    Property(
        name="gate-7-measured",
        component="risk: gates",
        about="gate 7",
        claim="it kills exactly when these values are known, and what is long + what is short + "
        "notional of open buys and sells > `account_max_gross` + what is open no more of it, in "
        "full width: four cycles later",
        contract="none",
        size="2 symbols, all numbers in full width",
        cover="more is held than the limit",
        method=Method.INDUCTION,
        depth=5,
        reached=4,
        make=RiskHarness,
        of_many="measured",
    ),
    _passage(
        "killed",
        name="killed-no-order",
        theorem="theorem 3",
        text="from the cycle after a kill on no intent is approved, until the card is armed again, "
        "which takes that the kill is cleared; the last order is approved one cycle after the kill",
        cover="the card is armed again after a kill",
        reached=3,
    ),
    _passage(
        "reset",
        name="reset-disarmed",
        theorem="theorem 4",
        text="after reset no intent is approved before the card is armed, with all prepared",
        cover="an order is approved",
        reached=3,
    ),
    _passage(
        "number",
        name="number-once",
        theorem="theorem 5",
        text="each approved order has the user reference number after that of the last one, unless "
        "the host has set it while the card was disarmed; a refusal takes none",
        cover="a second order is approved",
        reached=3 + RiskGate.ACCOUNTING + 1,
    ),
    _passage(
        "each",
        name="verdict-each",
        theorem="theorems 9 (a verdict for each) and 12",
        text="each intent has one verdict, in the next cycle, of that very proposal: approved "
        "exactly if no gate gives a reason, else refused; there is no other verdict",
        cover="a refusal after an approval",
        reached=4,
    ),
)


PROPERTIES = (
    *KNOWN,
    *LAWS,
    *THEOREMS,
    *(
        Property(
            name=name_of(gate),
            component="risk: gates",
            about=f"gate {gate.value}" if gate else "busy",
            claim=f"it passes exactly when: {text}",
            contract=_knowing(gate),
            size="2 symbols, all numbers in full width",
            cover="it alone refuses an order",
            method=Method.INDUCTION,
            depth=DEPTH_ENTERED if gate in COUNTING or gate is Gate.BUSY else 2,
            reached=REACHED.get(gate, 3),
            make=RiskHarness,
            of_many=gate.name.lower(),
            free=APPROVALS,
        )
        for gate, (text, _) in FORMULAS.items()
    ),
)
