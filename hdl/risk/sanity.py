"""Whether the book that an order is priced by makes sense, and where its best bid is.

Ref: docs/risk.md, gates 15 (book sanity) and 24 (short-sale restriction; SEC rule 201). The best
bid is that of one venue, not the national one.
"""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.memory import TableMemory
from tickgate.hdl.risk.limits import Limits
from tickgate.hdl.stream import Proposal, Top

__all__ = ["BookSanity"]


class _Seen(data.Struct):
    bid_present: 1
    bid: 32
    open: 1
    spread: 32


class BookSanity(wiring.Component):
    """Gate 15: the last top of the symbol has both sides, apart, and not too far apart.

    Latency: `LATENCY` from the preview to the gates. Throughput: one preview and one top a cycle.

    - `sane`: bid and ask are present, bid < ask, and ask - bid <= max_book_spread.
    - `above_bid`: a bid is present and the price of the preview is above it.

    A top counts for the previews of later cycles. Before the first one both fail.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(Proposal(symbols))
    limits : In(Limits)
        Limits of the preview's symbol, in the cycle of the preview.
    tops : In(stream.Signature(Top(symbols), always_ready=True))
    sane, above_bid : Out(1)
    ready : Out(1)
        The memory has been cleared after reset; until then both fail and tops are lost.
    error : Out(1)
        A bit has flipped of what is kept here: in the cycle of the gate if the preview went by it.
    """

    LATENCY = 1

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "tops": In(stream.Signature(Top(symbols), always_ready=True)),
                "sane": Out(1),
                "above_bid": Out(1),
                "ready": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = memory = TableMemory(depth=self._symbols, shape=_Seen, checked=(0,))
        top, seen = self.tops.payload, Signal(_Seen)
        spread, width, cap = Signal(signed(33)), Signal(32), Signal(32)
        is_open, has_bid, above = Signal(), Signal(), Signal()
        m.d.comb += [
            self.ready.eq(memory.ready),
            self.error.eq(memory.error),
            spread.eq(top.ask_price - top.bid_price),
            memory.write.eq(self.tops.valid),
            memory.write_address.eq(top.symbol),
            memory.write_data.bid_present.eq(top.bid_present),
            memory.write_data.bid.eq(top.bid_price),
            memory.write_data.open.eq(Cat(top.bid_present, top.ask_present, spread > 0).all()),
            memory.write_data.spread.eq(spread),
            memory.address().eq(self.preview.symbol),
            seen.eq(memory.data()),
        ]
        m.d.sync += [
            is_open.eq(seen.open & memory.ready),
            has_bid.eq(seen.bid_present & memory.ready),
            width.eq(seen.spread),
            cap.eq(self.limits.max_book_spread),
            above.eq(self.preview.price > seen.bid),
        ]
        m.d.comb += [
            self.sane.eq(is_open & (width <= cap)),
            self.above_bid.eq(has_bid & above),
        ]
        return m
