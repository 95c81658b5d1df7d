"""Which stock locates are tracked, and as which symbol.

Ref: NASDAQ TotalView-ITCH 5.0, section 4.2.1 (stock locate codes are assigned anew each day).
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.memory import BlockMemory
from tickgate.spec.itch50 import HEADER

__all__ = ["SymbolTable"]

LOCATE_BITS = 8 * HEADER.field("stock_locate").size


class _Entry(data.StructLayout):
    def __init__(self, symbols: int) -> None:
        super().__init__({"tracked": 1, "symbol": range(symbols)})


class SymbolTable(wiring.Component):
    """Maps a stock locate to its symbol, from a table that the host writes.

    Latency: `LATENCY` cycles; the answer stays until that of the next `find`. Throughput: one
    `find` a cycle.

    Nothing is tracked after reset. A locate of more than `locate_bits` bits never is; writing one
    is without effect, as is writing before `ready`.

    Parameters
    ----------
    symbols : int
    locate_bits : int
        The table has 2**locate_bits places.

    Members
    -------
    ready : Out(1)
        The table has been cleared after reset.
    find : In(1), locate : In(16)
    tracked : Out(1), symbol : Out(range(symbols))
        `symbol` is undefined if the locate is not tracked.
    write : In(1), write_locate : In(16), write_symbol : In(range(symbols)), write_tracked : In(1)
    """

    LATENCY = BlockMemory.READ_LATENCY

    def __init__(self, *, symbols: int, locate_bits: int = 14) -> None:
        if symbols < 1:
            raise ValueError(f"symbols must be at least 1, not {symbols}")
        if not 1 <= locate_bits <= LOCATE_BITS:
            raise ValueError(f"locate_bits must be 1 to {LOCATE_BITS}, not {locate_bits}")
        self._symbols, self._locate_bits = symbols, locate_bits
        super().__init__(
            {
                "ready": Out(1),
                "find": In(1),
                "locate": In(LOCATE_BITS),
                "tracked": Out(1),
                "symbol": Out(range(symbols)),
                "write": In(1),
                "write_locate": In(LOCATE_BITS),
                "write_symbol": In(range(symbols)),
                "write_tracked": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.table = table = BlockMemory(
            depth=1 << self._locate_bits, shape=_Entry(self._symbols)
        )
        bits = self._locate_bits
        entry = _Entry(self._symbols)
        answer, kept = Signal(entry), Signal(entry)
        locate, within = Signal(LOCATE_BITS), Signal()
        found = Signal(self.LATENCY)
        # The locate goes to the memory in every cycle, wanted or not: what says that it is comes
        # late, and in time for the answer.
        m.d.comb += [
            table.address().eq(self.locate),
            table.write.eq(self.write & ~self.write_locate[bits:].any()),
            table.write_address.eq(self.write_locate),
            table.write_data.symbol.eq(self.write_symbol),
            table.write_data.tracked.eq(self.write_tracked),
            answer.symbol.eq(table.data().symbol),
            answer.tracked.eq(table.data().tracked & within & table.ready),
            self.ready.eq(table.ready),
            self.tracked.eq(Mux(found[-1], answer.tracked, kept.tracked)),
            self.symbol.eq(Mux(found[-1], answer.symbol, kept.symbol)),
        ]
        m.d.sync += [
            locate.eq(self.locate),
            within.eq(~locate[bits:].any()),
            found.eq(Cat(self.find, found)),
            kept.tracked.eq(self.tracked),
            kept.symbol.eq(self.symbol),
        ]
        return m
