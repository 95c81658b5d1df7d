"""A one's complement sum that takes an octet at a time.

Ref: RFC 1071.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.net.capture import SLOT

__all__ = ["SerialSum"]

WORD = 16
CARRIES = 8
"""Of at most SLOT // 2 words and a start, the carries are few."""


class SerialSum(wiring.Component):
    """Adds the octets of 16-bit words so that the carries come back in at the bottom.

    Latency: `LATENCY` cycles from the last octet to `total`. Throughput: an octet a cycle.

    For at most `SLOT` octets between two strobes of `clear`.

    Members
    -------
    clear : In(1), start : In(16)
        The sum begins anew, with this.
    add : In(1), octet : In(8), upper : In(1)
        One octet, of the upper or the lower half of a word.
    total : Out(16)
        Not inverted.
    """

    LATENCY = 3

    def __init__(self) -> None:
        if SLOT // 2 >= 1 << CARRIES:
            raise ValueError(f"the carries of {SLOT} octets do not fit")
        super().__init__(
            {
                "clear": In(1),
                "start": In(WORD),
                "add": In(1),
                "octet": In(8),
                "upper": In(1),
                "total": Out(WORD),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        raw, once = Signal(WORD + CARRIES), Signal(WORD + 1)
        with m.If(self.add):
            m.d.sync += raw.eq(raw + Mux(self.upper, Cat(Const(0, 8), self.octet), self.octet))
        with m.If(self.clear):
            m.d.sync += raw.eq(self.start)
        m.d.sync += [
            once.eq(raw[:WORD] + raw[WORD:]),
            self.total.eq(once[:WORD] + once[WORD:]),
        ]
        return m
