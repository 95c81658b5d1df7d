"""Whether the host is alive and can read what the card says.

Ref: docs/risk.md, gate 3.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.spec.registers import MAGIC

__all__ = ["Heartbeat"]

TAPS = 0x8020_0003
"""x^32 + x^22 + x^2 + x + 1: all numbers but 0 follow one another."""
MICROSECONDS = 1000
"""Of a millisecond."""


class Heartbeat(wiring.Component):
    """Gives the host a number to answer, and measures how long that takes while the card is armed.

    Latency: `challenge` changes one cycle after its answer; `passes` and `silent` follow the time
    by two cycles. Throughput: an answer a cycle.

    The answer is the challenge with all bits inverted. A wrong one changes nothing.

    Members
    -------
    challenge : Out(32)
    answer : In(stream.Signature(32, always_ready=True))
    microsecond : In(1)
        Strobe: one has passed.
    armed : In(1)
    timeout : In(16)
        In ms, 0: not programmed.
    off : In(1)
        The host is not asked to be alive.
    passes : Out(1)
        Gate 3: off; or a timeout is programmed, and the whole milliseconds since the last right
        answer, or since the card was armed, are at most as many.
    silent : Out(1)
        They are more.
    right, wrong : Out(1)
        Counter strobes.
    """

    challenge: Out(32, init=MAGIC)
    answer: In(stream.Signature(32, always_ready=True))
    microsecond: In(1)
    armed: In(1)
    timeout: In(16)
    off: In(1)
    passes: Out(1)
    silent: Out(1)
    right: Out(1)
    wrong: Out(1)

    def __init__(self) -> None:
        super().__init__()
        self.fraction, self.since = Signal(range(MICROSECONDS)), Signal(17)

    def elaborate(self, platform) -> Module:
        m = Module()
        fraction, since = self.fraction, self.since
        late = since > self.timeout
        m.d.comb += [
            self.right.eq(self.answer.valid & (self.answer.payload == ~self.challenge)),
            self.wrong.eq(self.answer.valid & ~self.right),
        ]
        m.d.sync += [
            self.passes.eq(self.off | (self.timeout.any() & ~late)),
            self.silent.eq(~self.off & self.timeout.any() & late),
        ]
        with m.If(self.right):
            shifted = Cat(self.challenge[1:], 0)
            m.d.sync += self.challenge.eq(shifted ^ Mux(self.challenge[0], TAPS, 0))
        with m.If(self.right | ~self.armed):
            m.d.sync += [fraction.eq(0), since.eq(0)]
        with m.Elif(self.microsecond):
            m.d.sync += fraction.eq(fraction + 1)
            with m.If(fraction == MICROSECONDS - 1):
                m.d.sync += fraction.eq(0)
                with m.If(~since[-1]):
                    m.d.sync += since.eq(since + 1)
        return m
