"""A queue in block RAM whose output is a register: what is read from the RAM itself comes late.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Queue"]


class Queue(wiring.Component):
    """First in, first out, with the interface of Amaranth's FIFOs.

    Latency: 3 cycles from an entry to the output of an empty queue. Throughput: an entry a cycle.

    Parameters
    ----------
    width, depth : int
        Bits of an entry; entries, at least 3.

    Members
    -------
    w_data : In(width), w_en : In(1), w_rdy : Out(1)
    r_data : Out(width), r_en : In(1), r_rdy : Out(1)
    level : Out(range(depth + 1))
        Entries, that at the output included.
    waits : Out(1)
        There are any.
    """

    def __init__(self, *, width: int, depth: int) -> None:
        if depth < 3:
            raise ValueError(f"depth must be at least 3, not {depth}")
        self._width, self._depth = width, depth
        super().__init__(
            {
                "w_data": In(width),
                "w_en": In(1),
                "w_rdy": Out(1),
                "r_data": Out(width),
                "r_en": In(1),
                "r_rdy": Out(1),
                "level": Out(range(depth + 1)),
                "waits": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = inner = fifo.SyncFIFOBuffered(
            width=self._width, depth=self._depth - 1
        )
        moves, first = Signal(), Signal(self._width, reset_less=True)
        m.d.comb += [
            inner.w_data.eq(self.w_data),
            inner.w_en.eq(self.w_en),
            self.w_rdy.eq(inner.w_rdy),
            moves.eq(inner.r_rdy & (~self.r_rdy | self.r_en)),
            inner.r_en.eq(moves),
            self.r_data.eq(first),
            self.level.eq(inner.level + self.r_rdy),
            self.waits.eq(inner.level.any() | self.r_rdy),
        ]
        with m.If(~self.r_rdy | self.r_en):
            m.d.sync += [first.eq(inner.r_data), self.r_rdy.eq(inner.r_rdy)]
        return m
