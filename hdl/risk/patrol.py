"""Looks at every symbol again and again, and has its orders pulled when it may not be traded.

Ref: docs/risk.md, consequence P (pull the symbol's quotes).
"""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.memory import TableMemory

__all__ = ["Patrol"]


class Patrol(wiring.Component):
    """Walks along the symbols, and says once when one begins to fail.

    Latency: a look that fails is told LATENCY cycle later. Every symbol is looked at at least once
    in `cycles(symbols)` cycles, if no more than every second look is at one that was not asked
    for. Throughput: a look a cycle.

    A symbol that fails is told once, until a look at it has not failed.

    Parameters
    ----------
    symbols : int

    Members
    -------
    wanted : Out(range(symbols))
        To be looked at. Changes in the cycle after `looked` was the same.
    looked : In(range(symbols))
        A look at this symbol begins.
    judged : In(range(symbols)), fails : In(1)
        A look at this one has ended, in any cycle.
    pulls : Out(stream.Signature(range(symbols), always_ready=True))
    """

    LATENCY = 1

    @classmethod
    def cycles(cls, symbols: int) -> int:
        """Between the beginnings of two looks at a symbol, at most."""
        return 3 * symbols

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "wanted": Out(range(symbols)),
                "looked": In(range(symbols)),
                "judged": In(range(symbols)),
                "fails": In(1),
                "pulls": Out(stream.Signature(range(symbols), always_ready=True)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = memory = TableMemory(depth=self._symbols, shape=1)
        with m.If(self.looked == self.wanted):
            m.d.sync += self.wanted.eq(self.wanted + 1)
            with m.If(self.wanted == self._symbols - 1):
                m.d.sync += self.wanted.eq(0)
        m.d.comb += [
            memory.address().eq(self.judged),
            memory.write.eq(1),
            memory.write_address.eq(self.judged),
            memory.write_data.eq(self.fails),
        ]
        m.d.sync += [
            self.pulls.valid.eq(self.fails & ~memory.data()),
            self.pulls.payload.eq(self.judged),
        ]
        return m
