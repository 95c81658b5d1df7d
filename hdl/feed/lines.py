"""The two lines of the feed: which of them can still bring what the other has missed.

Ref: MoldUDP64 Protocol Specification 1.00; docs/architecture.md, "The feed".
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.stream import LINES, SOURCES

__all__ = ["GAP_WAIT_BITS", "LINE_TIMEOUT_BITS", "Lines", "line_counters"]

GAP_WAIT_BITS = 16
LINE_TIMEOUT_BITS = 24


def line_counters(name: str) -> tuple[str, ...]:
    """The names of a counter that each line has."""
    return tuple(f"{name}_{line}" for line in LINES)


class _Wait(data.Struct):
    """What a damaged header must not decide: who is ahead of what is due, and whether one waits."""

    ahead: len(LINES)
    waiting: 1


class Lines(wiring.Component):
    """Knows of each line whether it is alive, and whether what is due can still come on it.

    Latency: 1 cycle from a strobe to the outputs, 2 to `patient` and `protected`. Throughput: a
    strobe a cycle.

    A line is alive from a datagram of the session until `line_timeout` ticks have come without
    another one, or until it brings another session. A line is ahead if it has brought a datagram
    beyond what is due, until what is due moves on: it will not bring what it has missed.

    Members
    -------
    tick : In(1)
        A microsecond has passed.
    gap_wait : In(16), line_timeout : In(24)
        In ticks.
    line : In(range(len(SOURCES)))
        The source of the datagram that is being judged.
    told : In(1)
        It is of the session.
    stray : In(1)
        It is of another session, which is not taken.
    held : In(1)
        It is of a line, beyond what is due, and is not taken.
    advanced : In(1), missed : In(1), changed : In(1)
        It moves on what is due; by leaving out messages; by beginning another session.
    begins, revert : In(1)
        A datagram begins; the last one was damaged: who was ahead when it began, is.
    restart : In(1)
        Nothing is known of either line.
    patient : Out(len(LINES))
        The other line may bring what this one has missed.
    protected : Out(len(LINES))
        The other line is alive.
    expired : Out(1)
        A wait is over: what was missed does not come.
    alive : Out(len(LINES)), waiting : Out(1)
    filled : Out(len(LINES)), lost : Out(len(LINES))
        Strobes: a line ended a wait with what was due; it is not alive any more.
    """

    def __init__(self) -> None:
        lines = len(LINES)
        super().__init__(
            {
                "tick": In(1),
                "gap_wait": In(GAP_WAIT_BITS),
                "line_timeout": In(LINE_TIMEOUT_BITS),
                "line": In(range(len(SOURCES))),
                **{
                    name: In(1)
                    for name in ("told", "stray", "held", "advanced", "missed", "changed")
                },
                **{name: In(1) for name in ("begins", "revert", "restart")},
                "patient": Out(lines),
                "protected": Out(lines),
                "expired": Out(1),
                "alive": Out(lines),
                "waiting": Out(1),
                "filled": Out(lines),
                "lost": Out(lines),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        wait, before = Signal(_Wait), Signal(_Wait)
        left = Signal(GAP_WAIT_BITS)
        m.d.comb += self.waiting.eq(wait.waiting)
        m.d.sync += self.expired.eq(self.tick & wait.waiting & (left == 1))
        with m.If(self.tick & left.any()):
            m.d.sync += left.eq(left - 1)
        with m.If(self.held):
            m.d.sync += wait.waiting.eq(1)
            for line in range(len(LINES)):
                with m.If(self.line == line):
                    m.d.sync += wait.ahead[line].eq(1)
            with m.If(~wait.waiting):
                m.d.sync += left.eq(self.gap_wait)
        with m.If(self.advanced):
            m.d.sync += wait.eq(0)
        with m.If(self.begins):
            m.d.sync += before.eq(wait)
        with m.If(self.revert):
            m.d.sync += wait.eq(before)
        with m.If(self.restart):
            m.d.sync += [wait.eq(0), before.eq(0)]
        over = Signal()
        m.d.comb += over.eq(~self.gap_wait.any() | (wait.waiting & ~left.any()))
        for line in range(len(LINES)):
            this, other = self.line == line, 1 - line
            self._follow(m, line, this)
            m.d.sync += [
                self.patient[line].eq(self.alive[other] & ~wait.ahead[other] & ~over),
                self.protected[line].eq(self.alive[other]),
                self.filled[line].eq(
                    this & wait.waiting & self.advanced & ~self.missed & ~self.changed
                ),
            ]
        return m

    def _follow(self, m: Module, line: int, this) -> None:
        """Keeps whether a line is alive."""
        alive = self.alive[line]
        left = Signal(LINE_TIMEOUT_BITS, name=f"left_{line}")
        silent = Signal(name=f"silent_{line}")
        m.d.comb += silent.eq(
            (self.tick & (left == 1)) | (self.stray & this) | (self.changed & ~this)
        )
        with m.If(self.tick & left.any()):
            m.d.sync += left.eq(left - 1)
        with m.If(silent):
            m.d.sync += [left.eq(0), alive.eq(0)]
        with m.If(self.told & this):
            m.d.sync += [left.eq(self.line_timeout), alive.eq(self.line_timeout.any())]
        with m.If(self.restart):
            m.d.sync += [left.eq(0), alive.eq(0)]
        m.d.sync += self.lost[line].eq(alive & silent & ~(self.told & this) & ~self.restart)
