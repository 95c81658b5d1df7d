"""Membership of the feed's multicast groups, as a host of IGMP version 2 keeps it.

Ref: RFC 2236, section 3 (reports, leaves) and 6 (the host's states); RFC 3376, section 7 (routers
of version 3 serve hosts of version 2).
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.net.compose import Membership
from tickgate.spec import igmp

__all__ = ["Member"]

STEP_US = 390
"""A 256th of the unit of a response time, rounded down, so that no answer is late."""

STEPS_A_UNIT = 256
REPEAT_STEPS = 10 * STEPS_A_UNIT
"""A report that nobody asked for is sent again a second later, in case the first was lost."""

SEED = 0x5A
LFSR_TAPS = 0xB8


class Member(wiring.Component):
    """Reports a group when it is joined and when a router asks, and leaves it.

    Latency: none that matters. Throughput: one frame at a time.

    The group is joined while `enable` is high and `group` is a multicast address; a change is a
    leave and a join. A join is reported at once, and again after a second. A query, for all groups
    or for this one, is answered within its response time, at a moment that is drawn by lot so that
    the hosts of a network do not answer all at once; a second query can only bring that forward.
    Reports of other hosts do not silence this one, so that a switch that listens knows the port.

    Parameters
    ----------
    seed : int
        1 to 255: begins the lots.
    step_us : int
        The unit of all its times, which are those of the standard with the default.

    Members
    -------
    tick : In(1)
        A microsecond has passed.
    enable : In(1), group : In(32)
    shared : In(1)
        Another part is a member of the group too: it is not left.
    query : In(1), asked : In(32), response_time : In(8)
        Strobe: a router asks for the members of a group, or of all if that is 0.
    wanted : Out(1), membership : Out(Membership), made : In(1)
        A frame is to be sent; until it is made.
    joined, stays : Out(1)
        It is a member; and goes on being one.
    reports, leaves : Out(1)
        Counter strobes: what was made.
    """

    COUNTERS = ("reports", "leaves")

    def __init__(self, *, seed: int, step_us: int = STEP_US) -> None:
        if not 1 <= seed <= 255:
            raise ValueError(f"seed must be 1 to 255, not {seed}")
        if step_us < 1:
            raise ValueError(f"step_us must be at least 1, not {step_us}")
        self._seed, self._step = seed, step_us
        super().__init__(
            {
                "tick": In(1),
                "enable": In(1),
                "group": In(32),
                "shared": In(1),
                "query": In(1),
                "asked": In(32),
                "response_time": In(8),
                "wanted": Out(1),
                "membership": Out(Membership),
                "made": In(1),
                "joined": Out(1),
                "stays": Out(1),
                "reports": Out(1),
                "leaves": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        membership, joined = self.membership, self.joined
        group, multicast, same = Signal(32), Signal(), Signal()
        m.d.sync += [
            group.eq(self.group),
            multicast.eq(self.enable & (self.group[28:] == igmp.ALL_SYSTEMS >> 28)),
        ]
        m.d.comb += [
            same.eq(multicast & (group == membership.group)),
            self.stays.eq(joined & same),
            self.reports.eq(self.made & ~membership.leaves),
            self.leaves.eq(self.made & membership.leaves),
        ]
        with m.If(self.made):
            m.d.sync += [self.wanted.eq(0), membership.leaves.eq(0)]
        joins = ~joined & multicast & ~self.wanted
        expires = self._wait(m, joins=joins)
        with m.If(joins):
            m.d.sync += [joined.eq(1), membership.group.eq(group), self.wanted.eq(1)]
        with m.Elif(joined & ~self.wanted & ~same):
            m.d.sync += [
                joined.eq(0),
                membership.leaves.eq(~self.shared),
                self.wanted.eq(~self.shared),
            ]
        with m.Elif(joined & expires):
            m.d.sync += self.wanted.eq(1)
        return m

    def _wait(self, m: Module, *, joins) -> Signal:
        """Returns when the next report is due."""
        steps, step = Signal(range(self._step + 1)), Signal()
        m.d.sync += step.eq(self.tick & (steps == self._step - 1))
        with m.If(self.tick):
            m.d.sync += steps.eq(Mux(steps == self._step - 1, 0, steps + 1))
        lot, drawn, left = Signal(8, init=self._seed), Signal(16), Signal(16)
        for_all, for_us, asked, drawing = Signal(), Signal(), Signal(), Signal()
        v1 = self.response_time == 0
        m.d.sync += [
            lot.eq((lot >> 1) ^ Mux(lot[0], LFSR_TAPS, 0)),
            drawn.eq(lot * Mux(v1, igmp.V1_RESPONSE_TIME, self.response_time)),
            for_all.eq(self.asked == 0),
            for_us.eq(self.asked == self.membership.group),
            drawing.eq(self.query),
        ]
        m.d.comb += asked.eq(drawing & (for_all | for_us) & self.joined)
        expires = Signal()
        m.d.comb += expires.eq(step & (left == 1))
        with m.If(step & left.any()):
            m.d.sync += left.eq(left - 1)
        with m.If(asked & (~left.any() | (drawn < left))):
            m.d.sync += left.eq(drawn)
        with m.If(joins):
            m.d.sync += left.eq(REPEAT_STEPS)
        with m.If(~self.joined & ~joins):
            m.d.sync += left.eq(0)
        return expires
