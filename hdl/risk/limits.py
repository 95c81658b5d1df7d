"""Limits of a symbol, and the gates that need nothing but the limits and the order.

Ref: docs/risk.md, gates 4 (limits present), 9 (order quantity), 10 (order notional).
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.stream import Proposal
from tickgate.spec.gates import OBLIGATORY, OBLIGATORY_OF_ACCOUNT

__all__ = ["MAX_SHARES", "AccountLimits", "Limits", "OrderLimits", "nanoseconds"]

MAX_SHARES = 1_000_000
"""No order is larger, whatever the limits say."""


class Limits(data.Struct):
    """Limits of one symbol. A limit of zero has not been programmed.

    `max_long`, `max_short`, `max_order_quantity`: shares.
    `max_order_notional`, `collar_absolute`: 1e-4 USD.
    `collar_bps`: 1e-4 of the reference price.
    `reference_max_age_us`: microseconds.
    `extended_hours`: orders may leave outside the regular session.
    `max_book_spread`, `order_tick`: 1e-4 USD.
    `lot_size`, `short_locates`: shares.
    `allow_buy`, `allow_sell`, `allow_time_in_force`: what may leave; the bits of the last one are
    in the order of `tickgate.spec.gates.TIMES_IN_FORCE`.
    `feed_max_age_us`, `symbol_max_age_us`: microseconds.
    `band_low`, `band_high`: 1e-4 USD. `band_until`: time in ns. `band_exempt`: there is no band.
    `allow_self_trade`: own orders may meet.
    `max_move`: 1e-4 USD.
    `order_interval_ns`, `order_burst_ns`, `duplicate_window_ns`: ns.
    `max_open_orders`, `max_duplicates`: orders.
    """

    max_long: 32
    max_short: 32
    max_order_quantity: 32
    max_order_notional: 64
    collar_bps: 16
    collar_absolute: 32
    reference_max_age_us: 32
    extended_hours: 1
    max_book_spread: 32
    order_tick: 8
    lot_size: 8
    allow_buy: 1
    allow_sell: 1
    allow_time_in_force: 4
    short_locates: 32
    feed_max_age_us: 32
    symbol_max_age_us: 32
    band_low: 32
    band_high: 32
    band_until: 64
    band_exempt: 1
    order_interval_ns: 32
    order_burst_ns: 32
    max_open_orders: 32
    max_duplicates: 4
    duplicate_window_ns: 32
    allow_self_trade: 1
    max_move: 32


class AccountLimits(data.Struct):
    """Limits of all symbols together. A limit of zero has not been programmed.

    `max_gross`, `max_net`, `max_day_notional`, `max_loss`: 1e-4 USD. `max_day_shares`: shares.
    `max_open_orders`, `max_day_orders`: orders. `session_interval_ns`, `session_burst_ns`,
    `session_reserve_ns`: ns. `max_executions`: executions. `move_window`, `fill_window`: binary
    logarithms of ns.
    """

    max_gross: 64
    max_net: 64
    max_open_orders: 32
    max_day_orders: 32
    max_day_shares: 32
    max_day_notional: 64
    max_loss: 64
    session_interval_ns: 32
    session_burst_ns: 32
    session_reserve_ns: 32
    max_executions: 32
    move_window: 6
    fill_window: 6


def nanoseconds(microseconds):
    """1000 times as much, by shifts and one carry chain."""
    return (microseconds << 10) - (microseconds << 4) - (microseconds << 3)


class OrderLimits(wiring.Component):
    """Gates 4, 9 and 10: limits present, order quantity, order notional.

    Latency: `LATENCY` from the preview to the gates. Throughput: one preview a cycle.

    - `limits_present`: no limit is zero, of those that `OBLIGATORY` and `OBLIGATORY_OF_ACCOUNT` of
      `tickgate.spec.gates` name.
    - `within_quantity`: 0 < quantity <= max_order_quantity, and at most `MAX_SHARES`.
    - `within_notional`: quantity * price <= max_order_notional.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(Proposal(symbols))
    limits : In(Limits)
        Limits of the preview's symbol, in the cycle of the preview.
    account : In(AccountLimits)
        In the same cycle.
    limits_present, within_quantity, within_notional : Out(1)
    notional_outer : Out(64), notional_inner : Out(33)
        Of the preview in the cycle before: quantity * price is the former + the latter * 2**16.
    """

    LATENCY = 1

    def __init__(self, *, symbols: int) -> None:
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "account": In(AccountLimits),
                "limits_present": Out(1),
                "within_quantity": Out(1),
                "within_notional": Out(1),
                "notional_outer": Out(64),
                "notional_inner": Out(33),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        quantity, limits = self.preview.quantity, self.limits
        obligatory = [limits[name] for name in OBLIGATORY]
        obligatory += [self.account[name] for name in OBLIGATORY_OF_ACCOUNT]
        m.d.sync += [
            self.limits_present.eq(Cat(each.any() for each in obligatory).all()),
            self.within_quantity.eq(
                quantity.any() & (quantity <= limits.max_order_quantity) & (quantity <= MAX_SHARES)
            ),
        ]
        self._compare_notional(m)
        return m

    def _compare_notional(self, m: Module) -> None:
        # 32 x 32 bits and a comparison are too long for one cycle of an ECP5 at 125 MHz: the
        # products of the halves are registered and meet the limit after.
        quantity, price = self.preview.quantity, self.preview.price
        outer, inner, limit = self.notional_outer, self.notional_inner, Signal(64)
        m.d.sync += [
            outer.eq(Cat(quantity[:16] * price[:16], quantity[16:] * price[16:])),
            inner.eq(quantity[:16] * price[16:] + quantity[16:] * price[:16]),
            limit.eq(self.limits.max_order_notional),
        ]
        m.d.comb += self.within_notional.eq(limit - outer - (inner << 16) >= 0)
