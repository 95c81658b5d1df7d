"""How many orders there are, and how many there were today.

Ref: docs/risk.md, gates 19 (open orders) and 29 (daily totals), "Accounting".
"""

from amaranth.hdl import Module, ResetInserter, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.guard import Twin, differ
from tickgate.hdl.memory import TableMemory
from tickgate.hdl.risk.limits import AccountLimits, Limits
from tickgate.hdl.stream import Proposal

__all__ = ["DailyTotals", "OpenOrders"]

COUNT_BITS = 32


class OpenOrders(wiring.Component):
    """Gate 19: with this order no more are open than the symbol, and the account, may have.

    Latency: `LATENCY` from the preview to the gate, `LATENCY_APPROVED` to the count. Throughput:
    one preview a cycle; one approval or release a cycle.

    `within_open` if orders open of the symbol < max_open_orders, and of all symbols together <
    the account's. An approval counts for the previews of later cycles.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(Proposal(symbols))
    limits : In(Limits), account : In(AccountLimits)
        Limits in the cycle of the preview.
    approved : In(1)
        The preview of two cycles before is approved.
    released : In(stream.Signature(range(symbols)))
        An order of this symbol is open no more. Waits while an order is approved.
    clear : In(1)
        Forgets all open orders, in `symbols` cycles, rounded up to a power of two.
    within_open : Out(1)
    total : Out(32)
        Orders open of all symbols together.
    ready : Out(1)
        Low while counts are being cleared, after reset too; the gate fails until then.
    error : Out(1)
        A bit has flipped of what is kept here: in the cycle of the gate if the preview went by it.

    `twins` are what is kept of all symbols together.
    """

    LATENCY = 1
    LATENCY_APPROVED = 3

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "account": In(AccountLimits),
                "approved": In(1),
                "released": In(stream.Signature(range(symbols))),
                "clear": In(1),
                "within_open": Out(1),
                "total": Out(COUNT_BITS),
                "ready": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = memory = ResetInserter(self.clear)(
            TableMemory(depth=self._symbols, shape=COUNT_BITS, reads=2, checked=(0, 1))
        )
        symbols = [Signal.like(self.preview.symbol, name=f"symbol_{n}") for n in range(3)]
        approved, total, held, differs = Signal(), self.total, memory.data(1), Signal()
        self.twins = (twin := Twin(total),)
        m.d.sync += differs.eq(twin.differs)
        releases = self.released.valid & self.released.ready
        m.d.comb += [
            self.ready.eq(memory.ready),
            self.error.eq(memory.error | differs),
            self.released.ready.eq(memory.ready & ~approved),
            memory.address(0).eq(self.preview.symbol),
            memory.address(1).eq(symbols[2]),
            memory.write_address.eq(memory.address(1)),
            memory.write_data.eq(held + 1),
            memory.write.eq(approved),
        ]
        with m.If(~approved):
            m.d.comb += [
                memory.address(1).eq(self.released.payload),
                memory.write_data.eq(held - 1),
                memory.write.eq(releases & held.any()),
            ]
        with m.If(self.clear):
            m.d.sync += twin.takes(0)
        with m.Elif(approved):
            m.d.sync += twin.takes((total + 1)[:COUNT_BITS])
        with m.Elif(releases & held.any()):
            m.d.sync += twin.takes((total - 1)[:COUNT_BITS])
        m.d.sync += [
            symbols[0].eq(self.preview.symbol),
            symbols[1].eq(symbols[0]),
            symbols[2].eq(symbols[1]),
            approved.eq(self.approved & ~self.clear),
            self.within_open.eq(
                memory.ready
                & (memory.data(0) < self.limits.max_open_orders)
                & (total < self.account.max_open_orders)
            ),
        ]
        return m


class DailyTotals(wiring.Component):
    """Gate 29: orders, shares and notional of the day stay within the account's.

    Latency: `LATENCY` from the preview to the gate, `LATENCY_APPROVED` to the totals. Throughput:
    one preview and one approval a cycle.

    `within_day` if orders + 1 <= max_day_orders, shares + quantity <= max_day_shares and notional +
    quantity * price <= max_day_notional. An approval counts for the previews of later cycles.
    Nothing but `clear` takes anything off. No sum can overflow: what is approved fits its limit.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(Proposal(symbols))
    account : In(AccountLimits)
        Limits in the cycle of the preview.
    notional_outer : In(64), notional_inner : In(33)
        Of the preview in the cycle before: quantity * price is the former + the latter * 2**16.
    approved : In(1)
        The preview of two cycles before is approved.
    clear : In(1)
        A new day.
    within_day : Out(1)
    orders : Out(32), shares : Out(32), notional : Out(64)
        Of the day.
    error : Out(1)
        A bit has flipped of what is kept here: in the cycle of the gate if the preview went by it.

    `twins` are what is kept.
    """

    LATENCY = 1
    LATENCY_APPROVED = 2

    def __init__(self, *, symbols: int) -> None:
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "account": In(AccountLimits),
                "notional_outer": In(64),
                "notional_inner": In(33),
                "approved": In(1),
                "clear": In(1),
                "within_day": Out(1),
                "orders": Out(32),
                "shares": Out(32),
                "notional": Out(64),
                "error": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        account = self.account
        quantity, decided = Signal(32), Signal(32)
        another, room_shares, room_notional = Signal(), Signal(signed(33)), Signal(signed(65))
        notional = Signal(64)
        m.d.sync += [
            quantity.eq(self.preview.quantity),
            decided.eq(quantity),
            notional.eq(self.notional_outer + (self.notional_inner << 16)),
            another.eq(self.orders < account.max_day_orders),
            room_shares.eq(account.max_day_shares - self.shares),
            room_notional.eq(account.max_day_notional - self.notional),
        ]
        m.d.comb += self.within_day.eq(
            another
            & (room_shares - quantity >= 0)
            & (room_notional - self.notional_outer - (self.notional_inner << 16) >= 0)
        )
        self.twins = tuple(Twin(total) for total in (self.orders, self.shares, self.notional))
        for twin, amount in zip(self.twins, (1, decided, notional), strict=True):
            with m.If(self.clear):
                m.d.sync += twin.takes(0)
            with m.Elif(self.approved):
                m.d.sync += twin.takes(twin.register + amount)
        m.d.sync += self.error.eq(differ(self.twins))
        return m
