"""The time of the card: in nanoseconds, and the passing of microseconds.

Ref: docs/architecture.md, "Control".
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Microsecond", "NanosecondTime"]

PS_PER_NS = 1000
PS_PER_US = 1_000_000


class NanosecondTime(wiring.Component):
    """Counts nanoseconds, exactly: the picoseconds that are left over are kept.

    Latency: a time that is set is there in the next cycle. After n cycles more it is that plus
    floor(n * clock_period_ps / 1000), modulo 2**64; before it is set it counts from 0 at reset.

    Parameters
    ----------
    clock_period_ps : int
        In ps, at least 1.

    Members
    -------
    set : In(1), start : In(64)
        Strobe: the time is `start`, in ns.
    now : Out(64)
        In ns.
    """

    def __init__(self, *, clock_period_ps: int) -> None:
        if not 1 <= clock_period_ps < 1 << 32:
            raise ValueError(f"clock_period_ps must be positive 32 bits, not {clock_period_ps}")
        self._whole, self._rest = divmod(clock_period_ps, PS_PER_NS)
        super().__init__({"set": In(1), "start": In(64), "now": Out(64)})

    def elaborate(self, platform) -> Module:
        m = Module()
        left_over = Signal(range(PS_PER_NS))
        total = Signal(range(2 * PS_PER_NS))
        carry = Signal()
        m.d.comb += [total.eq(left_over + self._rest), carry.eq(total >= PS_PER_NS)]
        m.d.sync += [
            left_over.eq(Mux(carry, total - PS_PER_NS, total)),
            self.now.eq(self.now + self._whole + carry),
        ]
        with m.If(self.set):
            m.d.sync += [self.now.eq(self.start), left_over.eq(0)]
        return m


class Microsecond(wiring.Component):
    """Strobes once a microsecond, whatever the time is set to.

    Latency: after n cycles it has strobed floor(n * clock_period_ps / 10**6) times; never more than
    once a cycle.

    Parameters
    ----------
    clock_period_ps : int
        In ps, at least 1.

    Members
    -------
    strobe : Out(1)
    """

    def __init__(self, *, clock_period_ps: int) -> None:
        if clock_period_ps < 1:
            raise ValueError(f"clock_period_ps must be positive, not {clock_period_ps}")
        self._step = min(clock_period_ps, PS_PER_US)
        super().__init__({"strobe": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        left_over = Signal(range(PS_PER_US))
        total = Signal(range(2 * PS_PER_US))
        m.d.comb += total.eq(left_over + self._step)
        m.d.sync += self.strobe.eq(total >= PS_PER_US)
        m.d.sync += left_over.eq(Mux(total >= PS_PER_US, total - PS_PER_US, total))
        return m
