"""What the risk gate is to know, kept by who proves that it does.

Ref: docs/risk.md.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import Component

from tickgate.hdl.bits import bit_of
from tickgate.hdl.risk.fills import FillCaps
from tickgate.hdl.risk.gate import RiskGate
from tickgate.hdl.risk.integrity import Faults
from tickgate.hdl.risk.interval import NUMBER_BITS
from tickgate.hdl.stream import MessageKind, Side
from tickgate.sim.prove.opened import inside, read, read_whole
from tickgate.spec.gates import REMEMBERED_ORDERS

__all__ = ["Knowledge", "Known", "KnownOfAccount", "KnownOfFeed", "KnownOfFills", "KnownOfMoves"]

TIME_MAX = (1 << 64) - 1
TELLS = {
    "exposure": "exposure",
    "price_reference": "collar",
    "book": "sanity",
    "freshness": "freshness",
    "rate": "rate",
    "open_orders": "open_orders",
    "duplicates": "duplicates",
    "trading_state": "trading_state",
    "daily_totals": "totals",
    "account_exposure": "account_exposure",
}
"""The part of the gate that tells of each fault in it."""
WITHOUT_MEMORY = ("trading_state", "totals", "account_exposure")
LOOKED_AT_LAST = "trading_state"
"""In the cycle of the intent, and not in that of the preview."""


class KnownOfFeed(data.Struct):
    """What the feed has said of a symbol: its last trade, trading state, last message, last top."""

    has_reference: 1
    reference: 32
    reference_time: 64
    trades: 1
    halted: 1
    restricted: 1
    heard: 1
    heard_at: 64
    bid_present: 1
    bid: 32
    ask_present: 1
    ask: 32


class KnownOfMoves(data.Struct):
    """What the trades of a symbol but for the last cycle's have made of its price.

    The interval of the last one; lowest and highest price of that interval, and of it and the one
    before: of all trades and the last one before those.
    """

    ever: 1
    last: 32
    interval: NUMBER_BITS
    low: 32
    high: 32
    low_of_both: 32
    high_of_both: 32


class Sent(data.Struct):
    """An approved order, and the time of its preview."""

    ever: 1
    side: Side
    price: 32
    quantity: 32
    time: 64


class Known(data.Struct):
    """What orders have made of a symbol: shares of all, rate, number, the last, highest and lowest.

    Orders that are closed are not counted; all shares are, modulo 2**33, as what is released.
    """

    buys: 33
    sells: 33
    full_at: 64
    open_orders: 32
    sent: data.ArrayLayout(Sent, REMEMBERED_ORDERS)
    highest_buy: 32
    lowest_sell: 32


class KnownOfFills(data.Struct):
    """What the fills of a symbol amount to, two cycles after the last one.

    The interval of the last one; number and shares of those of that interval, and of that and the
    one before; whether one was too many, a cycle later.
    """

    interval: NUMBER_BITS
    fills: 16
    shares: 32
    fills_of_both: 16
    shares_of_both: 32
    burst: 1


class KnownOfAccount(data.Struct):
    """What orders have made of all symbols: of the rate, the number, what is open, the day."""

    full_at: 64
    open_orders: 32
    open_buys: 64
    open_sells: 64
    day_orders: 32
    day_shares: 32
    day_notional: 64


class Knowledge:
    """Follows all that comes, for one symbol (`which`) and for all, and asks the gate for the same.

    An order counts from the cycle after its verdict on.

    Parameters
    ----------
    m : Module
    harness
        Has `which`, the inputs of the gate, `judged` (see `Judged`) and `notional` (that of the
        order judged).
    gate : RiskGate
    gate_inside : Module
        As opened.
    """

    def __init__(self, m: Module, harness, gate: RiskGate, gate_inside: Module) -> None:
        self._m, self._harness, self._gate, self._inside = m, harness, gate, gate_inside
        self.orders, self.feed, self.account = Signal(Known), Signal(KnownOfFeed), KnownOfAccount
        self.account = Signal(KnownOfAccount)
        self.market_open, self.breach = Signal(), Signal()
        self.market_heard, self.market_heard_at = Signal(), Signal(64)
        self._was_approved, self._was_buy = Signal(), Signal()
        self._was_of_it, self._was_notional = Signal(), Signal(64)
        m.d.sync += [
            self._was_approved.eq(gate.approved.valid),
            self._was_of_it.eq(self._is_of_it(gate.approved.payload.symbol)),
            self._was_buy.eq(gate.approved.payload.side == Side.BUY),
            self._was_notional.eq(harness.notional),
        ]
        self._hear()
        self._move()
        self._fill()
        self._suspect()
        self._reserve()
        self._count()
        self._sum()

    def _is_of_it(self, symbol) -> Value:
        return symbol == self._harness.which

    def part(self, name: str) -> Component:
        """A part of the gate, whose outputs can be looked at."""
        return getattr(self._inside.submodules, name)

    def _memory(self, name: str, address) -> Value:
        return read(self._m, inside(self._inside, name), "memory", address)

    def _hear(self) -> None:
        m, h, feed = self._m, self._harness, self.feed
        message, top = h.message, h.top
        of_it = message.tracked & self._is_of_it(message.symbol)

        def told(kind, code=None):
            is_so = h.message_valid & (message.kind == kind)
            return is_so if code is None else is_so & (message.code == ord(code))

        with m.If(h.trade_valid & self._is_of_it(h.trade.symbol)):
            m.d.sync += [
                feed.has_reference.eq(1),
                feed.reference.eq(h.trade.price),
                feed.reference_time.eq(h.time),
            ]
        with m.If(told(MessageKind.TRADING_STATE) & of_it):
            m.d.sync += feed.trades.eq(message.code == ord("T"))
        with m.If(told(MessageKind.OPERATIONAL_HALT, "H") & of_it):
            m.d.sync += feed.halted.eq(1)
        with m.If(told(MessageKind.OPERATIONAL_HALT, "T") & of_it):
            m.d.sync += feed.halted.eq(0)
        with m.If(told(MessageKind.SHORT_SALE_RESTRICTION) & of_it):
            m.d.sync += feed.restricted.eq(message.code != ord("0"))
        with m.If(told(MessageKind.SYSTEM, "Q")):
            m.d.sync += self.market_open.eq(1)
        with m.If(told(MessageKind.SYSTEM, "M")):
            m.d.sync += self.market_open.eq(0)
        with m.If(told(MessageKind.BREACH)):
            m.d.sync += self.breach.eq(1)
        with m.If(h.message_valid):
            m.d.sync += [self.market_heard.eq(1), self.market_heard_at.eq(h.time)]
        with m.If(h.message_valid & of_it):
            m.d.sync += [feed.heard.eq(1), feed.heard_at.eq(h.time)]
        with m.If(h.top_valid & self._is_of_it(top.symbol)):
            m.d.sync += [
                feed.bid_present.eq(top.bid_present),
                feed.bid.eq(top.bid_price),
                feed.ask_present.eq(top.ask_present),
                feed.ask.eq(top.ask_price),
            ]
        self.feed_before = Signal(KnownOfFeed)
        m.d.sync += self.feed_before.eq(feed)

    def _move(self) -> None:
        m, h, moves = self._m, self._harness, Signal(KnownOfMoves)
        self.moves, self.interval = moves, Signal(NUMBER_BITS)
        m.d.sync += self.interval.eq((h.time >> h.account.move_window)[:NUMBER_BITS])
        price, last = self.feed.reference, moves.last
        same = moves.ever & (self.interval == moves.interval)
        next_one = moves.ever & (self.interval == (moves.interval + 1)[:NUMBER_BITS])

        def lower(one, other):
            return Mux(one < other, one, other)

        def higher(one, other):
            return Mux(one > other, one, other)

        with m.If(h.ago(h.trade_valid & self._is_of_it(h.trade.symbol), 1)):
            m.d.sync += [moves.ever.eq(1), moves.last.eq(price), moves.interval.eq(self.interval)]
            for further, now, both in (
                (lower, moves.low, moves.low_of_both),
                (higher, moves.high, moves.high_of_both),
            ):
                anew = Mux(moves.ever, further(price, last), price)
                before = Mux(next_one, further(price, now), anew)
                m.d.sync += [
                    now.eq(Mux(same, further(price, now), anew)),
                    both.eq(Mux(same, further(price, both), before)),
                ]

    def _fill(self) -> None:
        m, h, filled, interval = self._m, self._harness, Signal(KnownOfFills), Signal(NUMBER_BITS)
        self.filled, self.fill_interval = filled, interval
        m.d.sync += interval.eq((h.time >> h.account.fill_window)[:NUMBER_BITS])
        executed = h.executed_valid & self._is_of_it(h.executed.symbol)
        then, caps = h.ago(interval, 1), FillCaps(h.ago(Value.cast(h.caps), 2))
        same, next_one = filled.interval == then, (filled.interval + 1)[:NUMBER_BITS] == then

        def more(before, amount, width):
            most = (1 << width) - 1
            return Mux(before + amount > most, most, before + amount)

        shares = h.ago(h.executed.shares, 2)
        with m.If(h.ago(executed, 2)):
            m.d.sync += filled.interval.eq(then)
            for now, both, amount, width in (
                (filled.fills, filled.fills_of_both, 1, 16),
                (filled.shares, filled.shares_of_both, shares, 32),
            ):
                m.d.sync += [
                    now.eq(more(Mux(same, now, 0), amount, width)),
                    both.eq(more(Mux(same, both, Mux(next_one, now, 0)), amount, width)),
                ]
        too_many = (filled.fills_of_both > caps.max_fills) | (
            filled.shares_of_both > caps.max_fill_shares
        )
        with m.If(h.ago(executed, 3) & too_many):
            m.d.sync += filled.burst.eq(1)
        with m.Elif(h.release & self._is_of_it(h.release_symbol)):
            m.d.sync += filled.burst.eq(0)

    def _suspect(self) -> None:
        """`faults`: all that are seen in this cycle or were before."""
        m, h = self._m, self._harness
        before, now = Signal(Faults), Signal(Faults)
        self.faults_before, self.faults = before, Signal(Faults)
        for name, _ in data.Layout.cast(Faults):
            own = self.part(TELLS[name]).error if name in TELLS else 0
            if name == "order_number":
                own = h.ago(self._gate.number.differs, 1)
            m.d.comb += now[name].eq(h.faults[name] | own)
        m.d.comb += self.faults.as_value().eq(now.as_value() | before.as_value())
        forgives = h.forgive & ~h.armed
        m.d.sync += before.as_value().eq(Mux(forgives, now.as_value(), self.faults.as_value()))

    def odd(self, symbol) -> Value:
        """Of what the gate keeps of a symbol, or of all, a bit has flipped, or an odd number."""
        words = [
            read_whole(self._m, inside(self._inside, name), "memory", symbol)
            for name in TELLS.values()
            if name not in WITHOUT_MEMORY
        ]
        twins = []
        for name in TELLS.values():
            inside(self._inside, name)
            if name != LOOKED_AT_LAST:
                twins += getattr(self.part(name), "twins", ())
        flipped = [Value.cast(word).xor() for word in words]
        flipped += [Value.cast(twin.register) != ~twin.copy for twin in twins]
        return Cat(flipped).any()

    def _approved_of_it(self) -> Value:
        approved = self._gate.approved
        return approved.valid & self._is_of_it(approved.payload.symbol)

    def _reserve(self) -> None:
        m, orders, order = self._m, self.orders, self._gate.approved.payload
        judged, price = self._harness.judged, self._harness.judged.proposal.price
        with m.If(self._approved_of_it()):
            with m.If(order.side == Side.BUY):
                m.d.sync += orders.buys.eq(orders.buys + order.quantity)
                others = orders.buys != judged.released_buys
                keeps = others & (orders.highest_buy >= price)
                m.d.sync += orders.highest_buy.eq(Mux(keeps, orders.highest_buy, price))
            with m.Else():
                m.d.sync += orders.sells.eq(orders.sells + order.quantity)
                others = orders.sells != judged.released_sells
                keeps = others & (orders.lowest_sell <= price)
                m.d.sync += orders.lowest_sell.eq(Mux(keeps, orders.lowest_sell, price))

    def _count(self) -> None:
        m, h, orders, account = self._m, self._harness, self.orders, self.account
        judged, approved, of_it = h.judged, self._gate.approved.valid, self._approved_of_it()

        def full(before, interval):
            after = Mux(before <= judged.time, judged.time, before) + interval
            return Mux(after > TIME_MAX, TIME_MAX, after)

        with m.If(of_it):
            newest = orders.sent[0]
            m.d.sync += [
                orders.full_at.eq(full(orders.full_at, judged.limits.order_interval_ns)),
                *(orders.sent[n].eq(orders.sent[n - 1]) for n in range(1, REMEMBERED_ORDERS)),
                newest.ever.eq(1),
                newest.time.eq(judged.time),
                *(newest[name].eq(judged.proposal[name]) for name in ("side", "price", "quantity")),
            ]
        with m.If(approved):
            m.d.sync += account.full_at.eq(
                full(account.full_at, judged.account.session_interval_ns)
            )
        closes = h.closed_valid & ~self._was_approved
        its = closes & self._is_of_it(h.closed)
        held = Mux(self._is_of_it(h.closed), orders.open_orders, self._other()) != 0
        m.d.sync += [
            orders.open_orders.eq(orders.open_orders + of_it - (its & held)),
            account.open_orders.eq(account.open_orders + approved - (closes & held)),
        ]

    def _other(self) -> Value:
        """Orders of the symbol that `which` is not, as the gate has them."""
        if not hasattr(self, "_other_orders"):
            self._other_orders = self._memory("open_orders", ~self._harness.which)
        return self._other_orders

    def _sum(self) -> None:
        m, h, account = self._m, self._harness, self.account
        approved, order = self._gate.approved.valid, self._gate.approved.payload
        for total, side in ((account.open_buys, Side.BUY), (account.open_sells, Side.SELL)):
            freed, left = Signal(64), Signal(64)
            with m.If(h.released_valid & ~self._was_approved & (h.released.side == side)):
                m.d.comb += freed.eq(h.released.notional)
            m.d.comb += left.eq(Mux(freed <= total, total - freed, 0))
            m.d.sync += total.eq(left + Mux(approved & (order.side == side), h.notional, 0))
        with m.If(approved):
            m.d.sync += [
                account.day_orders.eq(account.day_orders + 1),
                account.day_shares.eq(account.day_shares + order.quantity),
                account.day_notional.eq(account.day_notional + h.notional),
            ]

    def agreements(self) -> dict[str, Value]:
        """By group, whether the gate knows the same in this cycle."""
        h, gate, feed, orders, account = (
            self._harness,
            self._gate,
            self.feed,
            self.orders,
            self.account,
        )
        which, state, before = h.which, gate.state, self.feed_before
        filled, fills = self.filled, self._memory("fills", which)
        moves, noted = self.moves, self._memory("movement", which)
        reserved = self._memory("exposure", which)
        reference = self._memory("collar", which)
        heard, seen = self._memory("freshness", which), self._memory("sanity", which)
        freshness, rate = self.part("freshness"), self.part("rate")
        counts, totals = self.part("open_orders"), self.part("totals")
        sums, pending = self.part("account_exposure"), self._was_approved
        spread = feed.ask - feed.bid
        sent = self._memory("duplicates", which)
        pending_of_it = pending & self._was_of_it
        crossing, same_reserve = inside(self._inside, "crossing"), Signal()
        m = self._m
        m.d.comb += same_reserve.eq(
            (reserved.buys == orders.buys) & (reserved.sells == orders.sells)
        )
        return {
            "reserved": same_reserve,
            "extremes": Cat(
                same_reserve,
                read(m, crossing, "buys", which) == orders.highest_buy,
                read(m, crossing, "sells", which) == orders.lowest_sell,
            ).all(),
            "trade": Cat(
                reference.valid == feed.has_reference,
                ~reference.valid | (reference.price == feed.reference),
                ~reference.valid | (reference.time == feed.reference_time),
            ).all(),
            "moves": Cat(
                noted.ever == moves.ever,
                noted.last == moves.last,
                noted.interval == moves.interval,
                noted.now.low == moves.low,
                noted.now.high == moves.high,
                noted.both.low == moves.low_of_both,
                noted.both.high == moves.high_of_both,
                self.part("movement").number == self.interval,
            ).all(),
            "fills": Cat(
                fills.interval == filled.interval,
                fills.now.fills == filled.fills,
                fills.now.shares == filled.shares,
                fills.both.fills == filled.fills_of_both,
                fills.both.shares == filled.shares_of_both,
                bit_of(self.part("fills").bursts, which) == filled.burst,
            ).all(),
            "state": Cat(
                state.trading == before.trades,
                state.operational_halt == before.halted,
                state.short_sale_restricted == before.restricted,
                gate.regular_session == self.market_open,
                gate.breach == self.breach,
            ).all(),
            "heard": Cat(
                freshness.heard == self.market_heard,
                freshness.heard_at == self.market_heard_at,
                heard.ever == feed.heard,
                heard.time == feed.heard_at,
            ).all(),
            "top": Cat(
                seen.bid_present == feed.bid_present,
                seen.bid == feed.bid,
                seen.open == (feed.bid_present & feed.ask_present & (spread > 0)),
                seen.spread == spread[:32],
            ).all(),
            "rate": Cat(
                self._memory("rate", which) == orders.full_at,
                rate.session_full_at == account.full_at,
            ).all(),
            "sent": sent.as_value() == orders.sent.as_value(),
            "open": Cat(
                (self._memory("open_orders", which) + pending_of_it)[:32] == orders.open_orders,
                (counts.total + pending)[:32] == account.open_orders,
            ).all(),
            "notional": Cat(
                (sums.buys + Mux(pending & self._was_buy, self._was_notional, 0))[:64]
                == account.open_buys,
                (sums.sells + Mux(pending & ~self._was_buy, self._was_notional, 0))[:64]
                == account.open_sells,
            ).all(),
            "day": Cat(
                totals.orders == account.day_orders,
                totals.shares == account.day_shares,
                totals.notional == account.day_notional,
            ).all(),
            "faults": gate.faults_seen.as_value() == self.faults_before.as_value(),
        }
