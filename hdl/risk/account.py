"""What all symbols together may come to.

Ref: docs/risk.md, gates 7 (gross exposure) and 8 (net exposure), "Accounting".
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.guard import Twin, differ
from tickgate.hdl.risk.limits import AccountLimits
from tickgate.hdl.stream import Proposal, Side

__all__ = ["HELD_BITS", "AccountExposure", "Released"]

HELD_BITS = 66
"""Of notional of both sides."""


class Released(data.Struct):
    """A part of an order that is open no more: its side, and what was reserved for it."""

    side: Side
    notional: 64


class AccountExposure(wiring.Component):
    """Gates 7 and 8: gross and net exposure of the account, with the order.

    Latency: `LATENCY` from the preview to the gates, `LATENCY_APPROVED` to the sums. Throughput:
    one preview a cycle; one approval or release a cycle.

    With n = quantity * price of the order and the notional of all orders open on each side,

    - `within_gross`: long value + short value + open buys + open sells + n <= max_gross;
    - `within_net`: for a buy long value - short value + open buys + n <= max_net, for a sell
      short value - long value + open sells + n <= max_net;

    and both fail while the values are not known. Beside any order, `beyond_gross`: what positions
    are worth and what is open now, without what is `held`, is known to be more than max_gross.

    An approval counts for the previews from `LATENCY_APPROVED` cycles after its own on. No sum can
    overflow: what is approved fits its limit.

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
    long_value, short_value : In(64)
        What positions are worth: the sum over the symbols that are long, and over those that are
        short, of abs(position) * reference price; in 1e-4 USD.
    known : In(1)
        These are the values of all positions.
    held : In(HELD_BITS)
        What is open no more of what `released` will tell; see `Releases`.
    approved : In(1)
        The preview of two cycles before is approved.
    released : In(stream.Signature(Released))
        Waits while an order is approved. More than is open leaves nothing open.
    clear : In(1)
        Nothing is open.
    within_gross, within_net, beyond_gross : Out(1)
    buys, sells : Out(64)
        Notional of the orders open on each side.
    error : Out(1)
        A bit has flipped of what is kept here: in the cycle of the gate if the preview went by it.

    `twins` are what is kept.
    """

    LATENCY = 1
    LATENCY_APPROVED = 6

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "account": In(AccountLimits),
                "notional_outer": In(64),
                "notional_inner": In(33),
                "long_value": In(64),
                "short_value": In(64),
                "known": In(1),
                "held": In(HELD_BITS),
                "approved": In(1),
                "released": In(stream.Signature(Released)),
                "clear": In(1),
                "within_gross": Out(1),
                "within_net": Out(1),
                "beyond_gross": Out(1),
                "buys": Out(64),
                "sells": Out(64),
                "error": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        sides = [Signal(Side, name=f"side_{n}") for n in range(3)]
        notionals = [Signal(64, name=f"notional_{n}") for n in range(2)]
        approved, buys, sells, total = Signal(), self.buys, self.sells, Signal(65)
        m.d.sync += [
            sides[0].eq(self.preview.side),
            sides[1].eq(sides[0]),
            sides[2].eq(sides[1]),
            notionals[0].eq(self.notional_outer + (self.notional_inner << 16)),
            notionals[1].eq(notionals[0]),
            approved.eq(self.approved & ~self.clear),
        ]
        release = self.released.payload
        self.twins = Twin(buys), Twin(sells)
        for side, sum_, twin in zip((Side.BUY, Side.SELL), (buys, sells), self.twins, strict=True):
            with m.If(self.clear):
                m.d.sync += twin.takes(0)
            with m.Elif(approved & (sides[2] == side)):
                m.d.sync += twin.takes(sum_ + notionals[1])
            with m.Elif(~approved & self.released.valid & (release.side == side)):
                m.d.sync += twin.takes(Mux(release.notional <= sum_, sum_ - release.notional, 0))
        m.d.sync += self.error.eq(differ(self.twins))
        m.d.comb += self.released.ready.eq(~approved)
        # Each side waits for the sum of both, so that both gates know the same orders.
        open_buys, open_sells = Signal(64), Signal(64)
        m.d.sync += [total.eq(buys + sells), open_buys.eq(buys), open_sells.eq(sells)]
        self._compare(m, open_buys, open_sells, total)
        return m

    def _compare(self, m: Module, buys, sells, total) -> None:
        value, net = Signal(65), Signal(signed(65))
        used, long, short = Signal(66), Signal(signed(67)), Signal(signed(67))
        room_gross, room_net = Signal(signed(68)), Signal(signed(69))
        limits, sell = self.account, self.preview.side == Side.SELL
        # Known as long ago as the values in either room are. What is released was taken off both
        # there and from what is held. Out of reset, long before the card can be armed, both rooms
        # are of nothing, and that is known.
        known, held = Signal(3, init=0b111), Signal(HELD_BITS)
        m.d.sync += [known.eq(Cat(self.known, known)), held.eq(self.held)]
        m.d.sync += [
            self.beyond_gross.eq(known[-1] & (room_gross + held < 0)),
            value.eq(self.long_value + self.short_value),
            net.eq(self.long_value - self.short_value),
            used.eq(total + value),
            long.eq(buys + net),
            short.eq(sells - net),
            room_gross.eq(limits.max_gross - used),
            room_net.eq(limits.max_net - Mux(sell, short, long)),
        ]
        outer, inner = self.notional_outer, self.notional_inner << 16
        m.d.comb += [
            self.within_gross.eq(known[-1] & (room_gross - outer - inner >= 0)),
            self.within_net.eq(known[-1] & (room_net - outer - inner >= 0)),
        ]
