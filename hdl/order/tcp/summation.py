"""The one's complement sum of octets that come a word at a time.

Ref: RFC 1071.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.stream import require_width

__all__ = ["StretchSum"]


class StretchSum(wiring.Component):
    """Adds up a stretch of octets that begins with the upper half of a 16-bit word.

    Latency: `LATENCY` cycles from a word to `total` and `right`. Throughput: one word a cycle.

    Parameters
    ----------
    width : int
        Octets a cycle.

    Members
    -------
    valid : In(1), data : In(8 * width)
        Octets outside the stretch are 0. What is in an even lane is an upper half.
    opens : In(1), start : In(17)
        The word is the first of a stretch; what else is to be summed.
    total : Out(17)
        To be folded once more.
    right : Out(1)
        The sum is 0xFFFF.
    """

    LATENCY = 2

    def __init__(self, *, width: int) -> None:
        require_width(width)
        self._width = width
        super().__init__(
            {
                "valid": In(1),
                "data": In(8 * width),
                "opens": In(1),
                "start": In(17),
                "total": Out(17),
                "right": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        valid, opens, start = Signal(), Signal(), Signal(17)
        added, total = Signal(18), Signal(20)
        m.d.sync += [valid.eq(self.valid), opens.eq(self.opens), start.eq(self.start)]
        if self._width == 1:
            low, low_next = Signal(), Signal()
            m.d.comb += low_next.eq(low & ~self.opens)
            m.d.sync += added.eq(Mux(low_next, self.data, self.data << 8))
            with m.If(self.valid):
                m.d.sync += low.eq(~low_next)
        else:
            octets = [self.data.word_select(n, 8) for n in range(self._width)]
            halves = [Cat(low, high) for high, low in zip(octets[::2], octets[1::2], strict=True)]
            m.d.sync += added.eq(sum(halves))
        with m.If(valid):
            # Four words a cycle leave at most 19 bits, so that one fold a cycle is enough.
            m.d.sync += total.eq(Mux(opens, start, total[:16] + total[16:]) + added)
        # What carries again when the carries are folded in is far from 0xFFFF.
        m.d.comb += [self.total.eq(total[:16] + total[16:]), self.right.eq(self.total == 0xFFFF)]
        return m
