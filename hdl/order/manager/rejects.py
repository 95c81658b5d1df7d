"""Whether the venue rejects too many orders in too short a time.

Ref: docs/risk.md, gate 32.
"""

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.memory import TableMemory

__all__ = ["Rejects"]


class Rejects(wiring.Component):
    """Remembers when the last orders were rejected.

    Latency: LATENCY cycle from a reject to `storm`. Throughput: a reject every LATENCY + 1 cycles.

    The window slides: of any two rejects with `most` others between them, the later one tells.

    Members
    -------
    rejects : In(1), time : In(32)
        An order was rejected; the time in ticks, which no two rejects to compare may have wrapped
        between them.
    most : In(BITS), window : In(16)
        So many rejects are allowed within so many ticks, from the first to the last.
    storm : Out(1)
        Strobe: more came.
    clear : In(1)
        Forgets them, in `SLOTS` cycles.
    ready : Out(1)
    error : Out(1)
        A bit has flipped in what was read in the cycle before.
    """

    LATENCY = 1
    BITS = 4
    SLOTS = 1 << BITS

    rejects: In(1)
    time: In(32)
    most: In(BITS)
    window: In(16)
    storm: Out(1)
    clear: In(1)
    ready: Out(1)
    error: Out(1)

    def __init__(self) -> None:
        super().__init__()
        # Where the next one is kept, and how many of those before it are known.
        self.at, self.known = Signal(self.BITS), Signal(self.BITS)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.times = times = ResetInserter(self.clear)(
            TableMemory(depth=self.SLOTS, shape=32, checked=(0,))
        )
        at, known, age = self.at, self.known, Signal(32)
        m.d.comb += [
            self.ready.eq(times.ready),
            self.error.eq(times.error),
            times.address().eq(at - self.most),
            times.write.eq(self.rejects),
            times.write_address.eq(at),
            times.write_data.eq(self.time),
            # With none allowed it is this one.
            age.eq(Mux(self.most.any(), self.time - times.data(), 0)),
        ]
        m.d.sync += self.storm.eq(self.rejects & (known >= self.most) & (age <= self.window))
        with m.If(self.rejects):
            m.d.sync += at.eq(at + 1)
            with m.If(~known.all()):
                m.d.sync += known.eq(known + 1)
        with m.If(self.clear):
            m.d.sync += known.eq(0)
        return m
