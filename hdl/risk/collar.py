"""Orders stay near the price of the last trade.

Ref: docs/risk.md, gate 11 (price collar). The reference is the last trade print of one venue's
feed, not of the consolidated tape.
"""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.memory import TableMemory
from tickgate.hdl.risk.limits import Limits, nanoseconds
from tickgate.hdl.stream import Proposal, Trade

__all__ = ["PriceCollar"]


class _Reference(data.Struct):
    valid: 1
    price: 32
    time: 64


def _times_10_000(value):
    # A sum of shifts is one carry chain; 32 bits in multipliers of 18 would be two and a sum.
    return sum((value << bit for bit in (10, 9, 8, 4)), start=value << 13)


class PriceCollar(wiring.Component):
    """Gate 11: the price is close to a reference that is fresh.

    Latency: `LATENCY` from the preview to the gate. Throughput: one preview and one trade a cycle.

    `within_collar` if a trade of the symbol has been seen and
    time - trade time <= reference_max_age_us * 1000, and with distance = abs(price - reference)
    distance * 10000 <= reference * collar_bps and distance <= collar_absolute. All times are those
    of the cycles of the trade and of the preview. A trade counts for the previews of later cycles.
    A reference from the future (the clock was set back) is not fresh.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(Proposal(symbols))
    limits : In(Limits)
        Limits of the preview's symbol, in the cycle of the preview.
    time : In(64)
        In ns.
    trades : In(stream.Signature(Trade(symbols), always_ready=True))
    within_collar : Out(1)
    ready : Out(1)
        The memory has been cleared after reset; until then the gate fails and trades are lost.
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
                "time": In(64),
                "trades": In(stream.Signature(Trade(symbols), always_ready=True)),
                "within_collar": Out(1),
                "ready": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = memory = TableMemory(
            depth=self._symbols, shape=_Reference, checked=(0,)
        )
        reference, known = Signal(_Reference), Signal()
        m.d.comb += [
            self.ready.eq(memory.ready),
            self.error.eq(memory.error),
            memory.write.eq(self.trades.valid),
            memory.write_address.eq(self.trades.payload.symbol),
            memory.write_data.valid.eq(1),
            memory.write_data.price.eq(self.trades.payload.price),
            memory.write_data.time.eq(self.time),
            memory.address().eq(self.preview.symbol),
            reference.eq(memory.data()),
        ]
        m.d.sync += known.eq(memory.ready & reference.valid)
        m.d.comb += self.within_collar.eq(
            known
            & self._fresh(m, reference)
            & self._within_bps(m, reference)
            & self._within_absolute(m, reference)
        )
        return m

    def _fresh(self, m: Module, reference):
        age, max_age, limit = Signal(64), Signal(42), self.limits.reference_max_age_us
        m.d.sync += [
            age.eq(self.time - reference.time),
            max_age.eq(nanoseconds(limit)),
        ]
        return age <= max_age

    def _within_bps(self, m: Module, reference):
        # Both signs of the distance at once, so that no product waits for a difference; and each
        # as one sum, which is one carry chain, where a comparison of a sum would be two.
        price, middle, bps = Signal(46), Signal(46), self.limits.collar_bps
        low, high = Signal(32), Signal(32)
        m.d.sync += [
            price.eq(_times_10_000(self.preview.price)),
            middle.eq(_times_10_000(reference.price)),
            low.eq(reference.price[:16] * bps),
            high.eq(reference.price[16:] * bps),
        ]
        band = low + (high << 16)
        return (middle + band - price >= 0) & (price + band - middle >= 0)

    def _within_absolute(self, m: Module, reference):
        distance, limit = Signal(signed(33)), Signal(32)
        m.d.sync += [
            distance.eq(self.preview.price - reference.price),
            limit.eq(self.limits.collar_absolute),
        ]
        return (distance <= limit) & (-distance <= limit)
