"""One's complement sums, a few words at a time.

Ref: RFC 1071.
"""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["OnesComplementSum"]

FAN_IN = 4
WORD = 16


class OnesComplementSum(wiring.Component):
    """Adds 16-bit words so that the carries come back in at the bottom.

    Latency: `latency` cycles, one for each layer of sums of four and one for the carries.
    Throughput: one set of words a cycle.

    Parameters
    ----------
    count : int
        Number of words.

    Members
    -------
    words : In(data.ArrayLayout(16, count))
    total : Out(16)
        Not inverted.
    """

    def __init__(self, *, count: int) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        self._count = count
        layers = 0
        while FAN_IN**layers < count:
            layers += 1
        self.latency = layers + 1
        super().__init__({"words": In(data.ArrayLayout(WORD, count)), "total": Out(WORD)})

    def elaborate(self, platform) -> Module:
        m = Module()
        terms = [self.words[n] for n in range(self._count)]
        while len(terms) > 1:
            terms = [self._add(m, terms[n : n + FAN_IN]) for n in range(0, len(terms), FAN_IN)]
        (total,) = terms
        once = Signal(unsigned(WORD + 1))
        m.d.comb += once.eq(total[:WORD] + total[WORD:])
        m.d.sync += self.total.eq(once[:WORD] + once[WORD:])
        return m

    @staticmethod
    def _add(m: Module, terms) -> Signal:
        total = sum(terms[1:], start=terms[0])
        registered = Signal.like(total, name="sum")
        m.d.sync += registered.eq(total)
        return registered
