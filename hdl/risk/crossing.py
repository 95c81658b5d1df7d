"""No own order meets another one.

Ref: docs/risk.md, gate 22 (self-trade).
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.memory import TableMemory
from tickgate.hdl.risk.limits import Limits
from tickgate.hdl.stream import Proposal, Side

__all__ = ["SelfTrade"]


class SelfTrade(wiring.Component):
    """Gate 22: no own order of the other side that may be open is at a price that would cross.

    Latency: `LATENCY` from the preview to the gate, `LATENCY_APPROVED` to what is remembered.
    Throughput: one preview a cycle, an approval every third one.

    Remembered of each symbol are the highest price of own buys and the lowest one of own sells,
    of all orders that were approved since that side was last without an open share. So it errs on
    the safe side: the price of an order that is over counts while another one of its side is open.
    `apart` if the limits allow own orders to meet (allow_self_trade); or for a buy, no sell is open
    or the price is below the lowest sell; for a sell, no buy is open or the price is above the
    highest buy. What is open is known in the cycle of the preview. An approval counts for the
    previews of later cycles.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(Proposal(symbols))
    limits : In(Limits)
        Limits of the preview's symbol, in the cycle of the preview.
    open_buys, open_sells : In(1)
        Some share of the preview's symbol is open on that side, in flight or at the venue, in the
        cycle of the preview.
    approved : In(1)
        The preview of two cycles before is approved; none of the two previews after it is.
    apart : Out(1)
    ready : Out(1)
        Memories have been cleared after reset; until then the gate fails and approvals are lost.
    """

    LATENCY = 1
    LATENCY_APPROVED = 2

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "open_buys": In(1),
                "open_sells": In(1),
                "approved": In(1),
                "apart": Out(1),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        preview, ready, allowed = self.preview, Signal(), Signal()
        m.submodules.buys = buys = TableMemory(depth=self._symbols, shape=32)
        m.submodules.sells = sells = TableMemory(depth=self._symbols, shape=32)
        m.d.comb += self.ready.eq(buys.ready & sells.ready)
        m.d.sync += [ready.eq(self.ready), allowed.eq(self.limits.allow_self_trade)]
        checked, decided = Signal.like(preview), Signal.like(preview)
        m.d.sync += [checked.eq(preview), decided.eq(checked)]
        clear = {}
        for side, table, is_open, beyond in (
            (Side.BUY, buys, self.open_buys, preview.price > buys.data()),
            (Side.SELL, sells, self.open_sells, preview.price < sells.data()),
        ):
            # Beyond all open ones of this side is where one of the other side meets none of them,
            # and where one of this side is the next to be met.
            name = side.name.lower()
            clear[side], extreme = Signal(name=f"clear_of_{name}"), Signal(name=f"extreme_{name}")
            m.d.sync += [
                clear[side].eq(~is_open | beyond),
                extreme.eq(clear[side] & (checked.side == side)),
            ]
            m.d.comb += [
                table.address().eq(preview.symbol),
                table.write.eq(self.approved & extreme),
                table.write_address.eq(decided.symbol),
                table.write_data.eq(decided.price),
            ]
        other_side = Mux(checked.side == Side.BUY, clear[Side.SELL], clear[Side.BUY])
        m.d.comb += self.apart.eq(ready & (allowed | other_side))
        return m
