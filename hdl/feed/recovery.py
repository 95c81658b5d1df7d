"""What no line brings any more, and may yet come as the reply to a request.

Ref: MoldUDP64 Protocol Specification 1.00, "Request Packet"; docs/architecture.md, "The feed".
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RECOVERY_WAIT_BITS", "Recovery"]

RECOVERY_WAIT_BITS = 24


class _State(data.Struct):
    """What a damaged header must not decide. `newest` is due when all that was seen is had."""

    active: 1
    over: 1
    newest: 64


class Recovery(wiring.Component):
    """Knows whether what is due is asked for, and when that is to end.

    Latency: 1 cycle from `judge` to `active`. Throughput: a datagram every 4 cycles.

    It begins with a message that no line will bring, and ends when all messages are had that were
    ahead of it: those that have come meanwhile, too. If `wait` ticks pass in which what is due does
    not move on, or with `give_up`, that is a gap (`expired`), and there is no other recovery until
    what is due moves on.

    Members
    -------
    tick : In(1), wait : In(24)
        In ticks; 0: there is no recovery.
    give_up : In(1)
        It is not asked for any more.
    judge : In(1), held : In(1), advanced : In(1), changed : In(1)
        A datagram of a line is judged: it is ahead of what is due. A datagram is judged: it moves
        that on; it begins another session.
    following : In(64)
        The number after the last message of that datagram, from the cycle before `judge` on: what
        is due after it if it moves that on.
    missed : In(1), line_expired : In(1)
        No line can bring what is due: said of the datagram that is judged; by the time.
    begins, revert : In(1)
        A datagram begins; the last one was damaged: what it said is forgotten.
    restart : In(1)
    patient : Out(1)
        What is ahead of what is due can be held.
    active : Out(1)
    expired : Out(1)
        It has ended in a gap.
    begun, caught_up : Out(1)
        Strobes.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "tick": In(1),
                "wait": In(RECOVERY_WAIT_BITS),
                "give_up": In(1),
                "judge": In(1),
                "held": In(1),
                "advanced": In(1),
                "changed": In(1),
                "following": In(64),
                "missed": In(1),
                "line_expired": In(1),
                "begins": In(1),
                "revert": In(1),
                "restart": In(1),
                "patient": Out(1),
                "active": Out(1),
                "expired": Out(1),
                "begun": Out(1),
                "caught_up": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        state, before = Signal(_State), Signal(_State)
        left = Signal(RECOVERY_WAIT_BITS)
        ends, starts, reaches, passes = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.active.eq(state.active),
            starts.eq(self.patient & ~state.active & (self.missed | self.line_expired)),
            ends.eq(state.active & (~left.any() | self.give_up)),
            self.begun.eq(starts),
            self.caught_up.eq(state.active & self.judge & self.advanced & ~self.changed & reaches),
        ]
        m.d.sync += [
            self.patient.eq(self.wait.any() & ~state.over),
            self.expired.eq(ends),
            reaches.eq(self.following >= state.newest),
            passes.eq(self.following > state.newest),
        ]
        with m.If(self.tick & left.any()):
            m.d.sync += left.eq(left - 1)
        # Of what was held while a line was waited for, the newest counts, too.
        with m.If(self.judge & self.held & passes):
            m.d.sync += state.newest.eq(self.following)
        with m.If(starts):
            m.d.sync += [state.active.eq(1), left.eq(self.wait)]
        # What comes in parts may take as long as it does.
        with m.If(state.active & self.judge & self.advanced):
            m.d.sync += left.eq(self.wait)
        with m.If(self.judge & self.advanced):
            m.d.sync += state.over.eq(0)
        with m.If(self.caught_up):
            m.d.sync += state.active.eq(0)
        with m.If(ends):
            for place in (state, before):
                m.d.sync += [place.active.eq(0), place.over.eq(1)]
        with m.If(self.judge & self.changed):
            m.d.sync += [state.active.eq(0), state.newest.eq(0)]
        with m.If(self.begins):
            m.d.sync += before.eq(state)
        with m.If(self.revert):
            m.d.sync += state.eq(before)
        with m.If(self.restart):
            m.d.sync += [state.eq(0), before.eq(0)]
        return m
