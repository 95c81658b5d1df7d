"""The same order again and again is a mistake.

Ref: docs/risk.md, gate 21 (duplicate).
"""

from amaranth.hdl import Module, ResetInserter, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.memory import TableMemory
from tickgate.hdl.risk.limits import Limits
from tickgate.hdl.stream import Proposal, Side
from tickgate.spec.gates import REMEMBERED_ORDERS

__all__ = ["Duplicates"]


class _Sent(data.Struct):
    ever: 1
    side: Side
    price: 32
    quantity: 32
    time: 64


class Duplicates(wiring.Component):
    """Gate 21: of the symbol's last orders fewer than max_duplicates were the same and are recent.

    Latency: `LATENCY` from the preview to the gate, `LATENCY_APPROVED` to what is remembered.
    Throughput: one preview and one approval a cycle.

    The last `REMEMBERED_ORDERS` approved orders of each symbol are remembered. One of them is the
    same if it has the side, price and quantity of the preview and time - its time is at most
    duplicate_window_ns, or below 0 as after the clock was set back; both times are those of the
    previews. `original` if fewer than
    max_duplicates are the same, and max_duplicates is 1 to `REMEMBERED_ORDERS`. An approval counts
    for the previews of later cycles.

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
    approved : In(1)
        The preview of two cycles before is approved.
    clear : In(1)
        Forgets all orders, in `symbols` cycles, rounded up to a power of two.
    original : Out(1)
    ready : Out(1)
        Low while orders are being forgotten, after reset too; the gate fails until then.
    error : Out(1)
        A bit has flipped of what is kept here: in the cycle of the gate if the preview went by it.
    """

    LATENCY = 1
    LATENCY_APPROVED = 2

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "time": In(64),
                "approved": In(1),
                "clear": In(1),
                "original": Out(1),
                "ready": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        orders = data.ArrayLayout(_Sent, REMEMBERED_ORDERS)
        m.submodules.memory = memory = ResetInserter(self.clear)(
            TableMemory(depth=self._symbols, shape=orders, reads=2, checked=(0, 1))
        )
        checked, decided = Signal(_Sent), Signal(_Sent)
        symbols = [Signal.like(self.preview.symbol, name=f"symbol_{n}") for n in range(2)]
        m.d.sync += [
            checked.ever.eq(1),
            checked.time.eq(self.time),
            *(checked[name].eq(self.preview[name]) for name in ("side", "price", "quantity")),
            decided.eq(checked),
            symbols[0].eq(self.preview.symbol),
            symbols[1].eq(symbols[0]),
        ]
        m.d.comb += [
            self.ready.eq(memory.ready),
            self.error.eq(memory.error),
            memory.address(0).eq(self.preview.symbol),
            memory.address(1).eq(symbols[1]),
            memory.write.eq(self.approved),
            memory.write_address.eq(symbols[1]),
            memory.write_data[0].eq(decided),
            *(memory.write_data[n].eq(memory.data(1)[n - 1]) for n in range(1, REMEMBERED_ORDERS)),
        ]
        same = [self._is_same(m, n, memory.data(0)[n]) for n in range(REMEMBERED_ORDERS)]
        most, ready = Signal.like(self.limits.max_duplicates), Signal()
        m.d.sync += [most.eq(self.limits.max_duplicates), ready.eq(memory.ready)]
        m.d.comb += self.original.eq(ready & (most <= REMEMBERED_ORDERS) & (sum(same) < most))
        return m

    def _is_same(self, m: Module, n: int, sent):
        preview = self.preview
        alike, age = Signal(name=f"alike_{n}"), Signal(signed(65), name=f"age_{n}")
        window = Signal(32, name=f"window_{n}")
        m.d.sync += [
            alike.eq(
                sent.ever
                & (sent.side == preview.side)
                & (sent.price == preview.price)
                & (sent.quantity == preview.quantity)
            ),
            age.eq(self.time - sent.time),
            window.eq(self.limits.duplicate_window_ns),
        ]
        return alike & (age <= window)
