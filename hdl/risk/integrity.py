"""Whether what the gates go by is what was written.

Ref: docs/risk.md, gate 34 (memory integrity).
"""

from amaranth.hdl import Module, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Faults", "Integrity"]


class Faults(data.Struct):
    """Where a flipped bit was seen: one bit a place.

    Of the gate: `exposure` (reserved shares), `price_reference`, `book` (last tops), `freshness`,
    `trading_state`, `rate`, `open_orders`, `duplicates`, `daily_totals`, `account_exposure`,
    `order_number`. Of what it is told: `limits` (and names) and `strategy` of the symbol, other
    `parameters`, `account_limits`, `accounts` (positions, open and traded shares), `own_orders`.
    """

    exposure: 1
    price_reference: 1
    book: 1
    freshness: 1
    trading_state: 1
    rate: 1
    open_orders: 1
    duplicates: 1
    daily_totals: 1
    account_exposure: 1
    order_number: 1
    limits: 1
    strategy: 1
    parameters: 1
    account_limits: 1
    accounts: 1
    own_orders: 1


class Integrity(wiring.Component):
    """Gate 34: no flipped bit is seen, and none was since the host has forgiven the last.

    Latency: 0 cycles (combinational). Throughput: any number of faults a cycle.

    Members
    -------
    faults : In(Faults)
        In this cycle.
    forgive : In(1)
        Strobe: forgets those of the cycles before.
    clean : Out(1)
    kill : Out(1)
        One is seen in this cycle.
    seen : Out(Faults)
        Those of the cycles before, not forgiven.
    """

    faults: In(Faults)
    forgive: In(1)
    clean: Out(1)
    kill: Out(1)
    seen: Out(Faults)

    def elaborate(self, platform) -> Module:
        m = Module()
        now, before = Value.cast(self.faults), Value.cast(self.seen)
        m.d.comb += [self.kill.eq(now.any()), self.clean.eq(~(now | before).any())]
        with m.If(self.forgive):
            m.d.sync += before.eq(now)
        with m.Else():
            m.d.sync += before.eq(before | now)
        return m
