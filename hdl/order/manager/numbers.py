"""Which user reference number the next order may have.

Ref: docs/risk.md, gate 20 and theorem 5; OUCH 5.0, section 2.1 "Enter Order".
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.guard import Twin

__all__ = ["Numbers"]


class Numbers(wiring.Component):
    """Knows the last number that was used, apart from who counts them, and holds him to it.

    Latency: `spent` and `passes` know of an order LATENCY cycles after it, and of `next_number` in
    the next cycle. Throughput: an order every LATENCY cycles.

    Members
    -------
    sends : In(1), number : In(32)
        An order with this number leaves.
    counts : Out(1), reused : Out(1)
        It does, and the number is higher than all before; it is not.
    begins : In(1)
        Strobe: the host gives other numbers; the next order may have any one of them.
    next_number, end_number : In(32)
        The number of the next order, and the first one that no order may have.
    spent : Out(1)
        An order has had the next number or a higher one, or it is not among those that were given.
    passes : Out(1)
        Gate 20: not `spent`, and the last number + 1, or the first since `begins`.
    error : Out(1)
        A bit of the last number had flipped in the cycle before.
    """

    LATENCY = 2

    sends: In(1)
    number: In(32)
    counts: Out(1)
    reused: Out(1)
    begins: In(1)
    next_number: In(32)
    end_number: In(32)
    spent: Out(1)
    passes: Out(1)
    error: Out(1)

    def __init__(self) -> None:
        super().__init__()
        self.last, self.first = Signal(32), Signal(init=1)

    def elaborate(self, platform) -> Module:
        m = Module()
        last, first, spent = self.last, self.first, Signal()
        m.d.comb += [
            self.reused.eq(self.sends & (self.number <= last)),
            self.counts.eq(self.sends & ~self.reused),
            spent.eq((self.next_number <= last) | (self.next_number >= self.end_number)),
        ]
        m.d.sync += [
            self.spent.eq(spent),
            self.passes.eq(~spent & (first | (self.next_number - last == 1))),
        ]
        newest = Twin(last, name="last")
        m.d.sync += self.error.eq(newest.differs)
        with m.If(self.counts):
            m.d.sync += [*newest.takes(self.number), first.eq(0)]
        with m.If(self.begins):
            m.d.sync += first.eq(1)
        return m
