"""Positions, what was paid for them, and the shares that are still open.

Ref: docs/risk.md, "Accounting"; gates 5, 6 and 30.
"""

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.guard import Twin
from tickgate.hdl.memory import TableMemory
from tickgate.hdl.order.manager.orders import Step
from tickgate.hdl.stream import CASH_BITS, POSITION_BITS, Order, Side

__all__ = ["OPEN_BITS", "RESERVE_BITS", "Account", "Accounts"]

HIGHEST, LOWEST = (1 << POSITION_BITS - 1) - 1, -(1 << POSITION_BITS - 1)
RESERVE_BITS = 33
OPEN_BITS = 44
"""Wide enough for 2,048 orders of 32 bits, and a bit more for what a venue adds to them."""


class _Open(data.Struct):
    """Shares a side; differences of two of these are right whatever was carried out."""

    buys: OPEN_BITS
    sells: OPEN_BITS


class _Turnover(data.Struct):
    """Shares, and shares times price in 1e-4 USD, of all executions."""

    bought_shares: 64
    bought_notional: 64
    sold_shares: 64
    sold_notional: 64


class Account(data.Struct):
    """What there is of one symbol.

    `position`: in shares, short is negative. `open_buys`, `open_sells`: shares that were sent and
    may still be executed. `bought_notional` over `bought_shares` is the average price of the
    buys, likewise of the sells; nothing is divided here, and so nothing is rounded. Profit is
    `sold_notional` - `bought_notional` + `position` times a price.
    """

    position: signed(POSITION_BITS)
    open_buys: OPEN_BITS
    open_sells: OPEN_BITS
    bought_shares: 64
    bought_notional: 64
    sold_shares: 64
    sold_notional: 64


class Accounts(wiring.Component):
    """Adds up what is sent, and what becomes of it.

    Latency: position and open shares LATENCY cycle after `step`, or after `sent`; shares and
    notional TURNOVER_LATENCY cycles after `step`. Throughput: an order and a step a cycle, of the
    same symbol too.

    A sum that would overflow stays at its bound, and says so.

    Parameters
    ----------
    symbols : int

    Members
    -------
    sent : In(stream of Order)
    step : In(Step), steps : In(1), price : In(32)
        What becomes of an order; the price of what it fills.
    symbol : In(range(symbols)), account : Out(Account)
        Any symbol, and its account, combinational.
    watched : In(range(symbols)), watched_account : Out(Account)
        Another one.
    released_buys, released_sells : Out(RESERVE_BITS)
        What was released of `symbol` in all, modulo 2**RESERVE_BITS: for a gate that adds up itself
        what it reserves.
    walked : In(range(symbols)), walked_position : Out(signed(POSITION_BITS))
        A third one, and its position, combinational.
    walked_cash : Out(signed(CASH_BITS))
        Of what was `walked` `CASH_LAG` cycles ago: what was sold of it less what was bought, and
        less what the position had cost that was loaded, in 1e-4 USD. It is of the same executions
        as `walked_position` was then.
    load : In(1), load_symbol : In(range(symbols)), start : In(signed(POSITION_BITS)), cost : In(64)
        Sets the position of a symbol, and what was paid for it (of a short one: received), in the
        next cycle without a step; the other three must not change before.
    position_overflow, turnover_overflow : Out(1)
    ready : Out(1)
        Memories are clear.
    error : Out(1)
        A bit has flipped in what was read of `symbol`, or was added to, in the cycle before.
    clear : In(1)
        Sets all to zero, in `symbols` cycles, rounded up to a power of two.
    """

    LATENCY = 1
    TURNOVER_LATENCY = 4
    CASH_LAG = TURNOVER_LATENCY - LATENCY

    def __init__(self, *, symbols: int) -> None:
        if symbols < 1:
            raise ValueError(f"symbols must be at least 1, not {symbols}")
        self._symbols = symbols
        super().__init__(
            {
                "sent": In(stream.Signature(Order(symbols), always_ready=True)),
                "step": In(Step(symbols)),
                "steps": In(1),
                "price": In(32),
                "symbol": In(range(symbols)),
                "account": Out(Account),
                "watched": In(range(symbols)),
                "watched_account": Out(Account),
                "released_buys": Out(RESERVE_BITS),
                "released_sells": Out(RESERVE_BITS),
                "walked": In(range(symbols)),
                "walked_position": Out(signed(POSITION_BITS)),
                "walked_cash": Out(signed(CASH_BITS)),
                "load": In(1),
                "load_symbol": In(range(symbols)),
                "start": In(signed(POSITION_BITS)),
                "cost": In(64),
                "position_overflow": Out(1),
                "turnover_overflow": Out(1),
                "ready": Out(1),
                "error": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        self._loads = Signal()
        tables = {
            name: ResetInserter(self.clear)(
                TableMemory(depth=self._symbols, shape=shape, reads=reads, checked=checked)
            )
            for name, shape, reads, checked in (
                ("positions", signed(POSITION_BITS), 4, (0, 1, 3)),
                ("reserved", _Open, 3, (0, 1)),
                ("released", _Open, 3, (0, 1)),
                ("turnover", _Turnover, 3, (0, 1)),
                ("cash", signed(CASH_BITS), 2, (0, 1)),
            )
        }
        for name, table in tables.items():
            m.submodules[name] = table
        positions, reserved, released, turnover, cash = tables.values()
        for table in (positions, reserved, released, turnover):
            m.d.comb += [table.address(0).eq(self.symbol), table.address(2).eq(self.watched)]
        m.d.comb += [
            self.ready.eq(~self._any_waits(tables)),
            self.error.eq(Cat(table.error for table in tables.values()).any()),
            self.released_buys.eq(released.data(0).buys),
            self.released_sells.eq(released.data(0).sells),
        ]
        for account, n in ((self.account, 0), (self.watched_account, 2)):
            m.d.comb += [
                account.position.eq(positions.data(n)),
                account.open_buys.eq(reserved.data(n).buys - released.data(n).buys),
                account.open_sells.eq(reserved.data(n).sells - released.data(n).sells),
            ]
            for name, _ in data.Layout.cast(_Turnover):
                m.d.comb += account[name].eq(turnover.data(n)[name])
        order, step = self.sent.payload, self.step
        self._add(m, reserved, self.sent.valid, order.symbol, order.side, order.quantity)
        freed = step.before - step.after
        self._add(m, released, self.steps, step.symbol, step.side, freed)
        m.d.comb += [
            self.position_overflow.eq(self._move(m, positions)),
            self.turnover_overflow.eq(self._turn_over(m, turnover, cash)),
            positions.address(3).eq(self.walked),
            self.walked_position.eq(positions.data(3)),
            cash.address(0).eq(self._later(m, self.walked, self.CASH_LAG)),
            self.walked_cash.eq(cash.data(0)),
        ]
        return m

    @staticmethod
    def _later(m: Module, value, cycles: int):
        for n in range(cycles):
            kept = Signal.like(value, name=f"walked_{n}")
            m.d.sync += kept.eq(value)
            value = kept
        return value

    @staticmethod
    def _any_waits(tables):
        waits = Const(0, 1)
        for table in tables.values():
            waits |= ~table.ready
        return waits

    @staticmethod
    def _add(m: Module, table: TableMemory, when, symbol, side, amount) -> None:
        """Adds to one side of a symbol. Open shares that were taken off are added to `released`."""
        before, sums = table.data(1), table.write_data
        m.d.comb += [
            table.address(1).eq(symbol),
            table.write_address.eq(symbol),
            table.write.eq(when),
            sums.buys.eq(before.buys + Mux(side == Side.BUY, amount, 0)),
            sums.sells.eq(before.sells + Mux(side == Side.BUY, 0, amount)),
        ]

    def _move(self, m: Module, positions: TableMemory):
        step, total, loads = self.step, Signal(signed(POSITION_BITS + 1)), self._loads
        high, low = Signal(), Signal()
        before = positions.data(1)
        # Twice, for a flipped bit of it would set a position.
        twin = Twin(loads, name="loads")
        with m.If(self.load):
            m.d.sync += twin.takes(1)
        with m.Elif(~self.steps):
            m.d.sync += twin.takes(0)
        m.d.comb += [
            positions.address(1).eq(step.symbol),
            positions.write_address.eq(Mux(self.steps, step.symbol, self.load_symbol)),
            positions.write.eq(self.steps | (loads & ~twin.copy)),
            total.eq(Mux(step.side == Side.BUY, before + step.fills, before - step.fills)),
            high.eq(total > HIGHEST),
            low.eq(total < LOWEST),
            positions.write_data.eq(Mux(high, HIGHEST, Mux(low, LOWEST, total))),
        ]
        with m.If(~self.steps):
            m.d.comb += positions.write_data.eq(self.start)
        return self.steps & (high | low)

    def _turn_over(self, m: Module, turnover: TableMemory, cash: TableMemory):
        """The product takes its time; nothing waits for it.

        A position that is loaded takes the same way: as if it were bought, or sold short, for its
        cost, but of no turnover.
        """
        step, begins = self.step, ~self.steps
        now = {
            "valid": self.steps | self._loads,
            "begins": begins,
            "symbol": Mux(begins, self.load_symbol, step.symbol),
            "sells": Mux(begins, self.start < 0, step.side == Side.SELL),
            "shares": step.fills,
            "product": Mux(begins, self.cost, step.fills * self.price),
        }
        for n in range(self.TURNOVER_LATENCY - 1):
            later = {
                name: Signal.like(Value.cast(value), name=f"{name}_{n}")
                for name, value in now.items()
            }
            m.d.sync += [kept.eq(now[name]) for name, kept in later.items()]
            now = later
        valid, begins, symbol, sells, shares, product = now.values()
        m.d.comb += [
            cash.address(1).eq(symbol),
            cash.write_address.eq(symbol),
            cash.write.eq(valid),
            cash.write_data.eq(Mux(begins, 0, cash.data(1)) + Mux(sells, product, -product)),
        ]
        before, after = turnover.data(1), turnover.write_data
        m.d.comb += [
            turnover.address(1).eq(symbol),
            turnover.write_address.eq(symbol),
            turnover.write.eq(valid & ~begins),
        ]
        lost = Const(0, 1)
        for mine, done in (("bought", ~sells), ("sold", sells)):
            for name, amount in (("shares", shares), ("notional", product)):
                field = f"{mine}_{name}"
                total = Signal(65, name=f"{field}_total")
                m.d.comb += [
                    total.eq(before[field] + Mux(done, amount, 0)),
                    after[field].eq(Mux(total[-1], (1 << 64) - 1, total)),
                ]
                lost |= total[-1]
        return valid & ~begins & lost
