"""The gate that every order passes before its first octet leaves.

Ref: docs/risk.md.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.bits import bit_of
from tickgate.hdl.guard import Twin
from tickgate.hdl.risk.account import HELD_BITS, AccountExposure, Released
from tickgate.hdl.risk.band import PriceBand
from tickgate.hdl.risk.collar import PriceCollar
from tickgate.hdl.risk.counts import DailyTotals, OpenOrders
from tickgate.hdl.risk.crossing import SelfTrade
from tickgate.hdl.risk.duplicates import Duplicates
from tickgate.hdl.risk.exposure import Exposure
from tickgate.hdl.risk.fills import FillBurst, FillCaps
from tickgate.hdl.risk.freshness import Freshness
from tickgate.hdl.risk.integrity import Faults, Integrity
from tickgate.hdl.risk.limits import AccountLimits, Limits, OrderLimits
from tickgate.hdl.risk.movement import Movement
from tickgate.hdl.risk.patrol import Patrol
from tickgate.hdl.risk.permission import Permission, TickAndLot
from tickgate.hdl.risk.rate import MessageRate
from tickgate.hdl.risk.sanity import BookSanity
from tickgate.hdl.risk.standing import Standing
from tickgate.hdl.risk.trading_state import SymbolState, TradingState
from tickgate.hdl.stream import Execution, Message, Order, Proposal, Top, Trade

__all__ = ["COUNTING", "PULLING", "STANDING", "Gate", "Refusal", "RiskGate", "Verdict"]


class Gate(enum.IntEnum):
    """Bit of each gate in the reasons of a refusal: its number in docs/risk.md.

    `BUSY` is no gate of the list: the transmit port is taken, and an order that waits goes stale.
    """

    BUSY = 0
    ARMED = 1
    KILL_SOURCES = 2
    HOST_HEARTBEAT = 3
    LIMITS_PRESENT = 4
    WORST_CASE_LONG = 5
    WORST_CASE_SHORT = 6
    GROSS_EXPOSURE = 7
    NET_EXPOSURE = 8
    ORDER_QUANTITY = 9
    ORDER_NOTIONAL = 10
    PRICE_COLLAR = 11
    COLLAR_OVER_TIME = 12
    FEED_TRUST = 13
    STALENESS = 14
    BOOK_SANITY = 15
    TRADING_STATE = 16
    LIMIT_UP_DOWN_BAND = 17
    MESSAGE_RATE = 18
    OPEN_ORDERS = 19
    TOKEN_ORDER = 20
    DUPLICATE = 21
    SELF_TRADE = 22
    SHORT_LOCATE = 23
    SHORT_SALE_RESTRICTION = 24
    PERMISSION = 25
    TICK_AND_LOT = 26
    REPEATED_EXECUTION = 27
    FILL_BURST = 28
    DAILY_TOTALS = 29
    LOSS = 30
    UNACKNOWLEDGED = 31
    REJECT_STORM = 32
    FILL_INTEGRITY = 33
    MEMORY_INTEGRITY = 34
    AUDIT_ROOM = 35


PULLING = (
    Gate.COLLAR_OVER_TIME,
    Gate.FEED_TRUST,
    Gate.STALENESS,
    Gate.BOOK_SANITY,
    Gate.TRADING_STATE,
    Gate.FILL_BURST,
)
"""Gates that do not go by the order, and pull those of the symbol when they fail."""

COUNTING = (
    Gate.GROSS_EXPOSURE,
    Gate.NET_EXPOSURE,
    Gate.MESSAGE_RATE,
    Gate.OPEN_ORDERS,
    Gate.DUPLICATE,
    Gate.SELF_TRADE,
    Gate.DAILY_TOTALS,
)
"""Gates that go by orders approved before, and are not asked while one is being entered."""

STANDING = tuple(Gate[name.upper()] for name, _ in data.Layout.cast(Standing))
"""Gates that are judged elsewhere."""


class Refusal(data.StructLayout):
    """A proposal that was refused, and all reasons: bit g set means that gate g failed."""

    def __init__(self, symbols: int) -> None:
        super().__init__({"proposal": Proposal(symbols), "reasons": 64})


class Verdict(data.StructLayout):
    """What became of an intent. `reasons` is 0 if and only if `approved`.

    The user reference number of a refused order is the one that it would have had.
    """

    def __init__(self, symbols: int) -> None:
        super().__init__({"approved": 1, "reasons": 64, "order": Order(symbols)})


class RiskGate(wiring.Component):
    """Approves an intent if no gate fails, else refuses it with every reason.

    Latency: `LATENCY` cycles from the intent to the verdict, whatever the data. Throughput: one
    intent a cycle, of the same symbol too.

    All gates are evaluated in parallel, whether or not others fail, in the cycle of the intent.
    An approval reserves the quantity in the exposure of the symbol, of which the intent of the
    next cycle already knows, and takes the next user reference number; a refusal changes nothing.
    An intent at most `ACCOUNTING` cycles after the one approved before it is refused as busy, and
    the gates that go by orders before it (`COUNTING`) are then not asked.
    Out of reset no reference, no trading state and no exposure is known, so all is refused.

    The gates that do not go by the order (`PULLING`) look at the symbol of every preview, valid or
    not. When one of them begins to fail, the orders of the symbol are to be pulled: that is told
    once, at most `pull_latency(symbols)` cycles later, if what is not valid has the symbol that is
    wanted for it and not more than every second preview is valid.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(stream.Signature(Proposal(symbols), always_ready=True))
        Comes one cycle before the intent. One that is not valid should have the symbol that was
        `wanted` in the cycle before.
    wanted : Out(range(symbols))
    intents : In(stream.Signature(Proposal(symbols), always_ready=True))
        Valid if the preview of the cycle before is meant; the payload is that preview, always.
    limits_symbol : Out(range(symbols))
        Symbol whose limits and position are wanted in this cycle.
    limits : In(Limits)
    position : In(signed(33))
        In shares, short is negative.
    account : In(AccountLimits)
    long_value, short_value : In(64)
        What all positions are worth, in 1e-4 USD; see :class:`AccountExposure`.
    values_known : In(1), held : In(HELD_BITS)
        `known` and `held` of it.
    released : In(stream.Signature(Released))
        See :class:`AccountExposure`.
    released_buys, released_sells : In(33)
        Of `Exposure`.
    closed : In(stream.Signature(range(symbols)))
        An order of this symbol is open no more.
    executions : In(stream.Signature(Execution(symbols), always_ready=True)),
    caps_symbol : Out(range(symbols)), caps : In(FillCaps), release : In(1),
    release_symbol : In(range(symbols)), bursts : Out(symbols)
        See :class:`FillBurst`.
    armed, killed : In(1)
    standing : In(Standing)
    exact_now : In(symbols)
        One bit a symbol: its book is exact in this cycle.
    messages : In(stream.Signature(Message(symbols), always_ready=True))
        Decoded feed; only trading states, system events and breaches matter here.
    tops : In(stream.Signature(Top(symbols), always_ready=True))
        Every top of book, at the latest in the cycle before the preview that follows from it.
    trades : In(stream.Signature(Trade(symbols), always_ready=True))
    time_in_force : In(8)
        The OUCH code that every order has.
    time : In(64)
        In ns.
    transmit_busy : In(1)
        No order can be accepted in the next cycle, leaving aside the one now approved.
    user_ref_num_start : In(32), load_user_ref_num : In(1)
        Sets the next user reference number, while disarmed.
    start_of_day : In(1)
        Clears all exposure and all counts, while disarmed.
    faults : In(Faults)
        Flipped bits seen outside: of what belongs to a preview one cycle after it at the latest.
    forgive : In(1)
        Of `Integrity`, while disarmed.
    approved : Out(stream.Signature(Order(symbols), always_ready=True))
    refused : Out(stream.Signature(Refusal(symbols), always_ready=True))
    verdicts : Out(stream.Signature(Verdict(symbols), always_ready=True))
        Both, for those who watch.
    pulls : Out(stream.Signature(range(symbols), always_ready=True))
        All open orders of this symbol should be cancelled.
    next_user_ref_num : Out(32)
    beyond_gross : Out(1)
        Of :class:`AccountExposure`.
    regular_session, breach : Out(1)
    shown : In(range(symbols)), state : Out(SymbolState)
        What the exchange has said of a symbol, 1 cycle later.
    damaged : Out(1)
        `kill` of `Integrity`: what the gates go by may be wrong, and no order may leave.
    faults_seen : Out(Faults)
        `seen` of `Integrity`.
    ready : Out(1)
        Memories are clear; until then every intent is refused.
    """

    LATENCY = 1
    ACCOUNTING = AccountExposure.LATENCY_APPROVED - 1

    @classmethod
    def pull_latency(cls, symbols: int) -> int:
        """From a gate that begins to fail to `pulls`, at most."""
        return Patrol.cycles(symbols) + 1 + cls.LATENCY + Patrol.LATENCY

    def __init__(self, *, symbols: int) -> None:
        if symbols < 1:
            raise ValueError(f"symbols must be at least 1, not {symbols}")
        self._symbols = symbols

        def strobed(shape):
            return stream.Signature(shape, always_ready=True)

        super().__init__(
            {
                "preview": In(strobed(Proposal(symbols))),
                "intents": In(strobed(Proposal(symbols))),
                "wanted": Out(range(symbols)),
                "pulls": Out(strobed(range(symbols))),
                "limits_symbol": Out(range(symbols)),
                "limits": In(Limits),
                "position": In(signed(33)),
                "account": In(AccountLimits),
                "long_value": In(64),
                "short_value": In(64),
                "values_known": In(1),
                "held": In(HELD_BITS),
                "released": In(stream.Signature(Released)),
                "closed": In(stream.Signature(range(symbols))),
                "released_buys": In(33),
                "released_sells": In(33),
                "executions": In(strobed(Execution(symbols))),
                "caps_symbol": Out(range(symbols)),
                "caps": In(FillCaps),
                "release": In(1),
                "release_symbol": In(range(symbols)),
                "bursts": Out(symbols),
                "armed": In(1),
                "killed": In(1),
                "standing": In(Standing),
                "exact_now": In(symbols),
                "messages": In(strobed(Message(symbols))),
                "tops": In(strobed(Top(symbols))),
                "trades": In(strobed(Trade(symbols))),
                "time_in_force": In(8),
                "time": In(64),
                "transmit_busy": In(1),
                "user_ref_num_start": In(32),
                "load_user_ref_num": In(1),
                "start_of_day": In(1),
                "faults": In(Faults),
                "forgive": In(1),
                "approved": Out(strobed(Order(symbols))),
                "refused": Out(strobed(Refusal(symbols))),
                "verdicts": Out(strobed(Verdict(symbols))),
                "next_user_ref_num": Out(32, init=1),
                "beyond_gross": Out(1),
                "regular_session": Out(1),
                "breach": Out(1),
                "shown": In(range(symbols)),
                "state": Out(SymbolState),
                "damaged": Out(1),
                "faults_seen": Out(Faults),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.order_limits = order_limits = OrderLimits(symbols=self._symbols)
        m.submodules.exposure = exposure = Exposure(symbols=self._symbols)
        m.submodules.collar = collar = PriceCollar(symbols=self._symbols)
        m.submodules.movement = movement = Movement(symbols=self._symbols)
        m.submodules.trading_state = trading_state = TradingState(symbols=self._symbols)
        m.submodules.sanity = sanity = BookSanity(symbols=self._symbols)
        m.submodules.permission = permission = Permission(symbols=self._symbols)
        m.submodules.grid = grid = TickAndLot(symbols=self._symbols)
        m.submodules.freshness = freshness = Freshness(symbols=self._symbols)
        m.submodules.band = band = PriceBand(symbols=self._symbols)
        m.submodules.rate = rate = MessageRate(symbols=self._symbols)
        m.submodules.open_orders = open_orders = OpenOrders(symbols=self._symbols)
        m.submodules.duplicates = duplicates = Duplicates(symbols=self._symbols)
        m.submodules.crossing = crossing = SelfTrade(symbols=self._symbols)
        m.submodules.fills = fills = FillBurst(symbols=self._symbols)
        m.submodules.totals = totals = DailyTotals(symbols=self._symbols)
        m.submodules.account_exposure = account = AccountExposure(symbols=self._symbols)
        m.submodules.integrity = integrity = Integrity()
        counting = (rate, open_orders, duplicates, totals, account)
        by_symbol = (order_limits, exposure, collar, trading_state, sanity, permission, grid)
        of_time = (movement, freshness, band, rate, duplicates)
        for part in (*by_symbol, *of_time, open_orders, crossing):
            m.d.comb += [part.preview.eq(self.preview.payload), part.limits.eq(self.limits)]
        m.d.comb += fills.preview.eq(self.preview.payload)
        for part in (totals, account):
            m.d.comb += [
                part.preview.eq(self.preview.payload),
                part.notional_outer.eq(order_limits.notional_outer),
                part.notional_inner.eq(order_limits.notional_inner),
            ]
        for part in (order_limits, movement, rate, open_orders, totals, account, fills):
            m.d.comb += part.account.eq(self.account)
        for part in counting:
            m.d.comb += [
                part.approved.eq(self.approved.valid),
                part.clear.eq(self.start_of_day & ~self.armed),
            ]
        for part in (collar, *of_time, fills):
            m.d.comb += part.time.eq(self.time)
        swept = (exposure, collar, movement, sanity, freshness, rate, open_orders, duplicates)
        ready = Cat(part.ready for part in (*swept, crossing, fills)).all()
        accounting = self._accounting(m)
        passes = {
            Gate.BUSY: ~self.transmit_busy & ~accounting,
            Gate.ARMED: self.armed & ~self.killed & ready,
            Gate.LIMITS_PRESENT: order_limits.limits_present,
            Gate.WORST_CASE_LONG: exposure.within_long,
            Gate.WORST_CASE_SHORT: exposure.within_short,
            Gate.GROSS_EXPOSURE: account.within_gross,
            Gate.NET_EXPOSURE: account.within_net,
            Gate.ORDER_QUANTITY: order_limits.within_quantity,
            Gate.ORDER_NOTIONAL: order_limits.within_notional,
            Gate.PRICE_COLLAR: collar.within_collar,
            Gate.COLLAR_OVER_TIME: movement.steady,
            Gate.FEED_TRUST: bit_of(self.exact_now, self.intents.payload.symbol),
            Gate.STALENESS: freshness.fresh,
            Gate.BOOK_SANITY: sanity.sane,
            Gate.TRADING_STATE: trading_state.tradable,
            Gate.LIMIT_UP_DOWN_BAND: band.within_band,
            Gate.MESSAGE_RATE: rate.within_rate,
            Gate.OPEN_ORDERS: open_orders.within_open,
            Gate.DUPLICATE: duplicates.original,
            Gate.SELF_TRADE: crossing.apart,
            Gate.SHORT_LOCATE: exposure.within_locates,
            Gate.SHORT_SALE_RESTRICTION: (
                ~trading_state.restricted | exposure.covered | sanity.above_bid
            ),
            Gate.PERMISSION: permission.permitted,
            Gate.TICK_AND_LOT: grid.on_grid,
            Gate.FILL_BURST: fills.calm,
            Gate.DAILY_TOTALS: totals.within_day,
            Gate.MEMORY_INTEGRITY: integrity.clean,
        }
        passes |= {gate: passes[gate] | accounting for gate in COUNTING}
        passes |= {gate: self.standing[gate.name.lower()] for gate in STANDING}
        m.d.comb += [
            self.ready.eq(ready),
            self.limits_symbol.eq(self.preview.payload.symbol),
            fills.clear.eq(self.start_of_day & ~self.armed),
            fills.release.eq(self.release),
            fills.release_symbol.eq(self.release_symbol),
            fills.caps.eq(self.caps),
            self.caps_symbol.eq(fills.caps_symbol),
            self.bursts.eq(fills.bursts),
            exposure.position.eq(self.position),
            exposure.released_buys.eq(self.released_buys),
            exposure.released_sells.eq(self.released_sells),
            exposure.clear.eq(self.start_of_day & ~self.armed),
            exposure.reserve.eq(self.approved.valid),
            crossing.open_buys.eq(exposure.open_buys),
            crossing.open_sells.eq(exposure.open_sells),
            crossing.approved.eq(self.approved.valid),
            freshness.messages.payload.eq(self.messages.payload),
            freshness.messages.valid.eq(self.messages.valid),
            account.long_value.eq(self.long_value),
            account.short_value.eq(self.short_value),
            account.known.eq(self.values_known),
            account.held.eq(self.held),
            self.beyond_gross.eq(account.beyond_gross),
            *(part.trades.payload.eq(self.trades.payload) for part in (collar, movement)),
            *(part.trades.valid.eq(self.trades.valid) for part in (collar, movement)),
            sanity.tops.payload.eq(self.tops.payload),
            sanity.tops.valid.eq(self.tops.valid),
            permission.time_in_force.eq(self.time_in_force),
            trading_state.messages.payload.eq(self.messages.payload),
            trading_state.messages.valid.eq(self.messages.valid),
            self.regular_session.eq(trading_state.regular_session),
            self.breach.eq(trading_state.breach),
            trading_state.shown.eq(self.shown),
            self.state.eq(trading_state.state),
            integrity.forgive.eq(self.forgive & ~self.armed),
            self.damaged.eq(integrity.kill),
            self.faults_seen.eq(integrity.seen),
        ]
        own = {
            "exposure": exposure,
            "price_reference": collar,
            "book": sanity,
            "freshness": freshness,
            "rate": rate,
            "open_orders": open_orders,
            "duplicates": duplicates,
            "trading_state": trading_state,
            "daily_totals": totals,
            "account_exposure": account,
        }
        self.number = Twin(self.next_user_ref_num)
        numbered = Signal()
        m.d.sync += numbered.eq(self.number.differs)
        told = {**{name: part.error for name, part in own.items()}, "order_number": numbered}
        for name, _ in data.Layout.cast(Faults):
            mine = told.get(name, 0)
            m.d.comb += integrity.faults[name].eq(self.faults[name] | mine)
        wiring.connect(m, wiring.flipped(self.released), account.released)
        wiring.connect(m, wiring.flipped(self.executions), fills.executions)
        wiring.connect(m, wiring.flipped(self.closed), open_orders.released)
        m.submodules.patrol = self._patrol = patrol = Patrol(symbols=self._symbols)
        wiring.connect(m, patrol.pulls, wiring.flipped(self.pulls))
        m.d.comb += [
            self.wanted.eq(patrol.wanted),
            patrol.looked.eq(self.preview.payload.symbol),
        ]
        self._conclude(m, passes)
        return m

    def _accounting(self, m: Module):
        """An order was approved less than `ACCOUNTING` cycles ago."""
        earlier = Signal(self.ACCOUNTING - 1)
        m.d.sync += earlier.eq(Cat(self.approved.valid, earlier))
        return self.approved.valid | earlier.any()

    def _conclude(self, m: Module, passes: dict) -> None:
        # Each gate has its flip-flop, and the verdict is drawn behind them: the longest
        # comparison and the conjunction of all would not fit in one cycle.
        valid, failed = Signal(name="valid"), Signal(64, name="failed")
        proposal = Signal(Proposal(self._symbols))
        # What each gate says is kept twice, and either copy refuses; and an intent that there is
        # not is busy. So no one flipped bit of these makes an order.
        passes[Gate.BUSY] &= self.intents.valid
        fine, lost = Signal(len(passes), name="fine"), Signal()
        m.d.sync += fine.eq(Cat(passes.values()))
        # No gate looks at it, so what is wrong with it in this very cycle is put right.
        number, following = Signal(32), Signal(32)
        self.number_odd = Signal(init=1, name="number_odd")
        is_right = self.next_user_ref_num.xor() == self.number_odd
        m.d.comb += number.eq(Mux(is_right, self.next_user_ref_num, ~self.number.copy))
        verdict = self.verdicts.payload
        order, patrol = verdict.order, self._patrol
        m.d.sync += [valid.eq(self.intents.valid), proposal.eq(self.intents.payload)]
        m.d.sync += [failed[gate].eq(~passed) for gate, passed in passes.items()]
        m.d.comb += [order[name].eq(proposal[name]) for name, _ in Proposal(self._symbols)]
        m.d.comb += [
            order.user_ref_num.eq(number),
            lost.eq(~failed.any() & ~fine.all()),
            verdict.reasons.eq(failed | (lost << Gate.MEMORY_INTEGRITY)),
            verdict.approved.eq(~failed.any() & fine.all()),
            self.verdicts.valid.eq(valid),
            self.approved.payload.eq(order),
            self.approved.valid.eq(valid & verdict.approved),
            self.refused.payload.reasons.eq(verdict.reasons),
            self.refused.payload.proposal.eq(proposal),
            self.refused.valid.eq(valid & ~verdict.approved),
            patrol.judged.eq(proposal.symbol),
            patrol.fails.eq(Cat(failed[gate] for gate in PULLING).any()),
        ]
        with m.If(self.load_user_ref_num & ~self.armed):
            m.d.comb += following.eq(self.user_ref_num_start)
        with m.Elif(self.approved.valid):
            m.d.comb += following.eq(number + 1)
        with m.If(self.approved.valid | (self.load_user_ref_num & ~self.armed)):
            m.d.sync += [*self.number.takes(following), self.number_odd.eq(following.xor())]
