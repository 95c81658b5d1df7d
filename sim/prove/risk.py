"""What is proved of the risk gates: each passes exactly when its formula holds.

Ref: docs/risk.md. The formulas are written from there, in plain wide arithmetic.
"""

from collections.abc import Callable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from tickgate.hdl.control.arming import Arming
from tickgate.hdl.risk.gate import Gate, RiskGate
from tickgate.hdl.risk.limits import Limits
from tickgate.hdl.stream import Message, MessageKind, Proposal, Side, Trade
from tickgate.sim.prove.engine import Harness, Method, Property
from tickgate.sim.prove.opened import inside, opened, read
from tickgate.spec.gates import OBLIGATORY

__all__ = ["PROPERTIES"]

SYMBOLS = 2


class Judged(data.Struct):
    """What a verdict is about: a preview, and what was in force in its cycle."""

    proposal: Proposal(SYMBOLS)
    limits: Limits
    position: signed(33)
    time: 64


class Known(data.Struct):
    """What is to be known of a symbol, kept by the harness."""

    buys: 34
    sells: 34
    has_reference: 1
    reference: 32
    reference_time: 64
    trades: 1
    halted: 1


INPUTS = {
    "preview": Proposal(SYMBOLS),
    "meant": 1,
    "limits": Limits,
    "position": signed(33),
    "exact_now": SYMBOLS,
    "message_valid": 1,
    "message": Message(SYMBOLS),
    "trade_valid": 1,
    "trade": Trade(SYMBOLS),
    "time": 64,
    "busy": 1,
    "load": 1,
    "start": 32,
}
"""Of the risk gate; `armed` and `killed` come beside."""


def drive(m: Module, harness: Harness, gate: RiskGate) -> Signal:
    """Connects `INPUTS` to the risk gate; returns the proposal of an intent in this cycle."""
    proposal = Signal(Proposal(SYMBOLS))
    m.d.sync += proposal.eq(harness.preview)
    m.d.comb += [
        gate.preview.valid.eq(1),
        gate.preview.payload.eq(harness.preview),
        gate.intents.valid.eq(harness.meant),
        gate.intents.payload.eq(proposal),
        gate.limits.eq(harness.limits),
        gate.position.eq(harness.position),
        gate.exact_now.eq(harness.exact_now),
        gate.messages.valid.eq(harness.message_valid),
        gate.messages.payload.eq(harness.message),
        gate.trades.valid.eq(harness.trade_valid),
        gate.trades.payload.eq(harness.trade),
        gate.time.eq(harness.time),
        gate.transmit_busy.eq(harness.busy),
        gate.load_user_ref_num.eq(harness.load),
        gate.user_ref_num_start.eq(harness.start),
    ]
    return proposal


class RiskHarness(Harness):
    """The risk gate, and what is to be known of any one symbol (`which`) beside it.

    Parameters
    ----------
    claim : callable or None
        `claim(harness)` is what holds of a verdict on an intent of that symbol, if the gate knows
        the same as the harness. None claims that it does.
    cover : callable
        `cover(harness)` is what some verdict on one must reach.
    """

    def __init__(self, claim: Callable[..., Value] | None, cover: Callable[..., Value]) -> None:
        self._claim, self._cover = claim, cover
        super().__init__(
            {"which": range(SYMBOLS), **INPUTS, "armed": 1, "killed": 1},
            {"verdict": 1, "reasons": 64},
        )

    def elaborate(self, platform) -> Module:
        self._module = m = Module()
        self.gate = gate = RiskGate(symbols=SYMBOLS)
        gate_inside = opened(m, "gate", gate)
        (
            self.judged,
            self.now,
            was,
        ) = Signal(Judged), Signal(Judged), Signal(Judged)
        self.known, self.known_before = Signal(Known), Signal(Known)
        self.armed_then, self.killed_then = Signal(), Signal()
        self.exact_then, self.busy_then = Signal(), Signal()
        self.open, self.breach = Signal(), Signal()
        self.trading_then = Signal()
        m.d.comb += [
            self.now.proposal.eq(self.preview),
            self.now.limits.eq(self.limits),
            self.now.position.eq(self.position),
            self.now.time.eq(self.time),
            gate.armed.eq(self.armed),
            gate.killed.eq(self.killed),
            gate.shown.eq(self.which),
        ]
        drive(m, self, gate)
        # A verdict comes two cycles after its preview and one after its intent.
        m.d.sync += [
            was.eq(self.now),
            self.judged.eq(was),
            self.armed_then.eq(self.armed),
            self.killed_then.eq(self.killed),
            self.exact_then.eq(self.exact_now.bit_select(was.proposal.symbol, 1)),
            self.busy_then.eq(self.busy | gate.approved.valid),
        ]
        # There is no preview before the first cycle.
        begun = Signal()
        m.d.sync += begun.eq(1)
        agrees = self._know(m, gate, gate_inside)
        verdict = gate.verdicts
        of_it = verdict.valid & (self.judged.proposal.symbol == self.which)
        m.d.comb += [
            self.assumed.eq(
                self.stays(m, self.which) & (begun | ~self.meant) & (agrees if self._claim else 1)
            ),
            self.holds.eq(~of_it | self._claim(self) if self._claim else agrees),
            self.seen.eq(of_it & self._cover(self)),
            self.verdict.eq(verdict.valid),
            self.reasons.eq(verdict.payload.reasons),
        ]
        return m

    def of_preview(self, value: Value) -> Value:
        """A fact of the cycle of the preview, in that of the verdict."""
        for _ in range(2):
            later = Signal()
            self._module.d.sync += later.eq(value)
            value = later
        return value

    def _know(self, m: Module, gate: RiskGate, gate_inside: Module) -> Value:
        """Follows what is known; returns whether the gate knows the same."""
        known, message = self.known, self.message
        approved = gate.approved.payload
        with m.If(gate.approved.valid & (approved.symbol == self.which)):
            with m.If(approved.side == Side.BUY):
                m.d.sync += known.buys.eq(known.buys + approved.quantity)
            with m.Else():
                m.d.sync += known.sells.eq(known.sells + approved.quantity)
        with m.If(self.trade_valid & (self.trade.symbol == self.which)):
            m.d.sync += [
                known.has_reference.eq(1),
                known.reference.eq(self.trade.price),
                known.reference_time.eq(self.time),
            ]
        of_it = message.tracked & (message.symbol == self.which)

        def told(kind, code=None):
            is_so = self.message_valid & (message.kind == kind)
            return is_so if code is None else is_so & (message.code == ord(code))

        with m.If(told(MessageKind.TRADING_STATE) & of_it):
            m.d.sync += known.trades.eq(message.code == ord("T"))
        with m.If(told(MessageKind.OPERATIONAL_HALT, "H") & of_it):
            m.d.sync += known.halted.eq(1)
        with m.If(told(MessageKind.OPERATIONAL_HALT, "T") & of_it):
            m.d.sync += known.halted.eq(0)
        with m.If(told(MessageKind.SYSTEM, "Q")):
            m.d.sync += self.open.eq(1)
        with m.If(told(MessageKind.SYSTEM, "M")):
            m.d.sync += self.open.eq(0)
        with m.If(told(MessageKind.BREACH)):
            m.d.sync += self.breach.eq(1)
        hours = Signal()
        m.d.sync += [
            self.known_before.eq(known),
            hours.eq(self.limits.extended_hours),
            self.trading_then.eq(known.trades & ~known.halted & ~self.breach & (self.open | hours)),
        ]
        # In the cycle of the preview, and what was approved in that cycle and the next.
        self.known_then = Signal(Known)
        m.d.sync += self.known_then.eq(self.known_before)
        for side, name in (Side.BUY, "approved_buys"), (Side.SELL, "approved_sells"):
            amounts = [Signal(32, name=f"{name}_{n}") for n in range(2)]
            mine = gate.approved.valid & (approved.symbol == self.which) & (approved.side == side)
            m.d.sync += [amounts[0].eq(Mux(mine, approved.quantity, 0)), amounts[1].eq(amounts[0])]
            setattr(self, name, amounts)
        state = gate.state
        reserved = read(m, inside(gate_inside, "exposure"), "memory", self.which)
        collar = inside(gate_inside, "collar")
        reference = read(m, collar, "memory", self.which)
        # Read as the gate reads it, so that the solver sees that products of it are the same.
        self.noted = read(m, collar, "memory", self.preview.symbol)
        return Cat(
            reserved.buys == known.buys,
            reserved.sells == known.sells,
            reference.valid == known.has_reference,
            ~reference.valid | (reference.price == known.reference),
            ~reference.valid | (reference.time == known.reference_time),
            state.trading == self.known_before.trades,
            state.operational_halt == self.known_before.halted,
            gate.regular_session == self.open,
            gate.breach == self.breach,
        ).all()


# Products and sums of what is in force in the cycle of the preview are taken there, as in the gate,
# so that the solver sees that they are the same; then their outcome waits for the verdict.
#
# Sums are written in the order in which the gate takes them: that `a + b <= c` where
# `c - a - b >= 0` needs no proof, for nothing overflows here, but would take the solver long.


def _worst_long(h):
    order, limits = h.judged.proposal, h.judged.limits
    room = limits.max_long - h.judged.position - h.known_then.buys - order.quantity
    return (order.side == Side.SELL) | (room - h.approved_buys[1] - h.approved_buys[0] >= 0)


def _worst_short(h):
    order, limits = h.judged.proposal, h.judged.limits
    room = limits.max_short + h.judged.position - h.known_then.sells - order.quantity
    return (order.side == Side.BUY) | (room - h.approved_sells[1] - h.approved_sells[0] >= 0)


def _quantity(h):
    quantity = h.judged.proposal.quantity
    return (
        (quantity > 0) & (quantity <= h.judged.limits.max_order_quantity) & (quantity <= 1_000_000)
    )


def digits(one, other):
    """`outer` and `inner`: one x other is outer + inner in the middle, as in `PRODUCTS`."""
    half = len(one) // 2
    low, high, other_low, other_high = one[:half], one[half:], other[:half], other[half:]
    outer = Cat((low * other_low)[: 2 * half], high * other_high)
    return outer, low * other_high + high * other_low


def _notional(h):
    order = h.now.proposal
    limit = h.now.limits.max_order_notional
    outer, inner = digits(order.quantity, order.price)
    return limit - outer - (inner << 16) >= 0


def _fresh(h):
    age = (h.now.time - h.noted.time)[:64]
    return age <= times(1000, h.now.limits.reference_max_age_us)


def _within_absolute(h):
    distance, limit = h.now.proposal.price - h.noted.price, h.now.limits.collar_absolute
    return (distance <= limit) & (-distance <= limit)


def _within_bps(h):
    bps = h.now.limits.collar_bps
    price, middle = times(10_000, h.now.proposal.price), times(10_000, h.noted.price)
    band = h.noted.price[:16] * bps + ((h.noted.price[16:] * bps) << 16)
    return (middle + band - price >= 0) & (price + band - middle >= 0)


def times(factor: int, value: Value) -> Value:
    """Factor x value, as the sum of shifts that the gate takes; see `PRODUCTS`."""
    if factor == 1000:
        return (value << 10) - (value << 4) - (value << 3)
    return sum((value << bit for bit in (10, 9, 8, 4)), start=value << 13)


def _collar(h):
    return h.noted.valid & _fresh(h) & _within_bps(h) & _within_absolute(h)


FORMULAS: dict[Gate, tuple[str, Callable[..., Value]]] = {
    Gate.BUSY: (
        "the port is free, and no order was approved in the cycle of the intent",
        lambda h: ~h.busy_then,
    ),
    Gate.ARMED: (
        "armed and not killed in the cycle of the intent",
        lambda h: h.armed_then & ~h.killed_then,
    ),
    Gate.LIMITS_PRESENT: (
        "every limit of the symbol that must not be zero is not",
        lambda h: Cat(h.judged.limits[name] != 0 for name in OBLIGATORY).all(),
    ),
    Gate.WORST_CASE_LONG: (
        "a sell, or position + open buys + quantity <= `max_long`",
        _worst_long,
    ),
    Gate.WORST_CASE_SHORT: (
        "a buy, or open sells + quantity - position <= `max_short`",
        _worst_short,
    ),
    Gate.ORDER_QUANTITY: (
        "0 < quantity <= `max_order_quantity`, and quantity <= 1,000,000",
        _quantity,
    ),
    Gate.ORDER_NOTIONAL: (
        "quantity x price <= `max_order_notional`, in full width",
        lambda h: h.of_preview(_notional(h)),
    ),
    Gate.PRICE_COLLAR: (
        (
            "a trade of the symbol has been seen, its age <= `reference_max_age_us` x 1000, the "
            "distance of the price from it <= `collar_absolute`, and distance x 10,000 <= "
            "reference x `collar_bps`, in full width"
        ),
        lambda h: h.of_preview(_collar(h)),
    ),
    Gate.FEED_TRUST: (
        "the book of the symbol is exact in the cycle of the intent",
        lambda h: h.exact_then,
    ),
    Gate.TRADING_STATE: (
        (
            "the last trading action of the symbol is T, no operational halt, no breach, and the "
            "regular session is open or extended hours are granted"
        ),
        lambda h: h.trading_then,
    ),
}


def _reason(gate: Gate):
    return lambda h: h.gate.verdicts.payload.reasons[gate] != FORMULAS[gate][1](h)


def _alone(gate: Gate):
    return lambda h: h.gate.verdicts.payload.reasons == Const(1 << gate, 64)


class PassageHarness(Harness):
    """The risk gate behind what arms it, and every verdict that comes out.

    Parameters
    ----------
    claim : str
        Which of the claims of `_claims`.
    """

    def __init__(self, claim: str) -> None:
        self._claim = claim
        strobes = dict.fromkeys(("arm", "disarm", "kill", "clear_kill", "prepared"), 1)
        shown = {"verdict": 1, "approved": 1, "may": 1, "dead": 1, "virgin": 1, "number": 32}
        super().__init__({**INPUTS, **strobes}, shown)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.arming = arming = Arming()
        m.submodules.gate = gate = RiskGate(symbols=SYMBOLS)
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
        claim, cover = self._claims(m, gate, meant, proposal)[self._claim]
        m.d.comb += [
            self.assumed.eq(begun | ~self.meant),
            self.holds.eq(agrees & claim),
            self.seen.eq(cover),
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


KNOWN = Property(
    name="risk-known",
    component="risk: gates",
    claim="what the gate knows of any symbol is what has come: shares of all approved orders on "
    "either side, price and time of the last trade, trading state; and of the market",
    contract="the intent is the preview of the cycle before; no start of day meanwhile",
    size="2 symbols, all numbers in full width",
    cover="an order is approved",
    method=Method.INDUCTION,
    depth=3,
    reached=3,
    make=lambda: RiskHarness(None, lambda h: h.gate.approved.valid),
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
PRODUCTS = (
    _product(1000, 32, name="1000", text="1000 x is 1024 x - 16 x - 8 x"),
    _product(
        10_000,
        12,
        name="10000",
        text="10,000 x is (8192 + 1024 + 512 + 256 + 16) x: a law that the gates use at 32 bits",
    ),
    _product(
        None,
        8,
        name="digits",
        text="a product is the sum of the products of the halves of its factors, each in its "
        "place: a law that the gates use at 32 bits",
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
        make=lambda: PassageHarness(claim),
    )


THEOREMS = (
    Property(
        name="approved-within-limits",
        component="risk: gates",
        about="theorem 2, without gross exposure",
        claim="the position and all shares of approved orders, this one included, are within "
        "`max_long` and `max_short`, those in force in the cycle of the preview",
        contract=f"{KNOWN.contract}; `{KNOWN.name}`",
        size="2 symbols, all numbers in full width",
        cover="an order is approved that takes all room there is",
        method=Method.INDUCTION,
        depth=2,
        reached=3,
        quick=False,
        make=lambda: RiskHarness(
            lambda h: ~h.gate.approved.valid | (_worst_long(h) & _worst_short(h)),
            lambda h: (
                h.gate.approved.valid
                & (h.judged.limits.max_long == h.judged.position + h.judged.proposal.quantity)
                & (h.judged.proposal.side == Side.BUY)
            ),
        ),
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
        reached=5,
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
    KNOWN,
    *PRODUCTS,
    *THEOREMS,
    *(
        Property(
            name=f"gate-{gate.value}-{gate.name.lower().replace('_', '-')}",
            component="risk: gates",
            about=f"gate {gate.value}" if gate else "busy",
            claim=f"it passes exactly when: {text}",
            contract=f"{KNOWN.contract}; `{KNOWN.name}`; products as in `product-by-...`",
            size="2 symbols, all numbers in full width",
            cover="it alone refuses an order",
            method=Method.INDUCTION,
            depth=2,
            # Without a trade the collar refuses at once; all else has to wait for one.
            reached=2 if gate is Gate.PRICE_COLLAR else 3,
            quick=gate not in (Gate.ORDER_NOTIONAL, Gate.PRICE_COLLAR),
            make=lambda gate=gate: RiskHarness(_reason(gate), _alone(gate)),
        )
        for gate, (text, _) in FORMULAS.items()
    ),
)
