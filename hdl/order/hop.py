"""The next hop to the venue: its MAC address as configured, or asked for when a session is opened.

Ref: RFC 826; RFC 1122, section 2.3.2.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.tcp.types import Outcome

__all__ = ["NextHop"]


class NextHop(wiring.Component):
    """Lets a connection be opened once the MAC address of the next hop is known.

    Latency: 0 cycles from `connect` to `opens` if `configured` is not 0; else LATENCY from the
    answer, while `idle`. Throughput: one connection at a time.

    With `configured` 0, `ip` is asked for by ARP: at once, and again every `interval` ticks,
    `tries` times. If there is no answer an interval after the last of them, or `ip` is 0, the
    connection is not opened, and the outcome is UNRESOLVED. What was learnt is asked for anew with
    each `connect`. An answer counts if it is from `ip`, while it is asked for.

    Members
    -------
    configured : In(48), ip : In(32)
        MAC address, and IPv4 address to ask for, of the next hop; 0 for none.
    interval : In(16), tries : In(8), tick : In(1)
    connect : In(1), stop : In(1)
        Open, to be told only while there is no connection, and of no effect while `asking`; give it
        up.
    idle : In(1)
        Nothing is being sent that has `mac` in it.
    wanted : Out(1), made : In(1)
        A question is to be sent, until it is made.
    answered : In(1), answer_ip : In(32), answer_mac : In(48)
        An answer has come, and from whom.
    opens : Out(1), mac : Out(48)
        Open the connection; by way of this address. It follows `configured` in a cycle, and else
        changes only while `asking`.
    asking : Out(1), outcome : Out(Outcome)
        NONE but after a `connect` that came to nothing.
    hop_questions, hop_answers, hop_unresolved : Out(1)
        Counter strobes: made, taken, given up.
    """

    LATENCY = 2
    COUNTERS = ("hop_questions", "hop_answers", "hop_unresolved")

    def __init__(self) -> None:
        super().__init__(
            {
                "configured": In(48),
                "ip": In(32),
                "interval": In(16),
                "tries": In(8),
                "tick": In(1),
                "connect": In(1),
                "stop": In(1),
                "idle": In(1),
                "wanted": Out(1),
                "made": In(1),
                "answered": In(1),
                "answer_ip": In(32),
                "answer_mac": In(48),
                "opens": Out(1),
                "mac": Out(48),
                "asking": Out(1),
                "outcome": Out(Outcome),
                **{name: Out(1) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        left, tries, learnt = Signal(16), Signal(8), Signal(48)
        known, found, opening = Signal(), Signal(), Signal()
        from_hop = self.answered & (self.answer_ip == self.ip) & self.answer_mac.any()
        m.d.comb += [
            known.eq(self.configured.any()),
            self.hop_questions.eq(self.made),
            self.opens.eq((self.connect & known & ~self.asking) | opening),
        ]
        m.d.sync += opening.eq(0)
        with m.If(known):
            m.d.sync += self.mac.eq(self.configured)
        with m.If(self.made):
            m.d.sync += self.wanted.eq(0)
        with m.If(self.asking):
            with m.If(self.stop):
                self._end(m, Outcome.ABORTED)
            with m.Elif(found):
                # A frame that is leaving must not have parts of two addresses.
                with m.If(self.idle):
                    self._end(m, Outcome.NONE)
                    m.d.sync += [opening.eq(1), self.mac.eq(learnt)]
            with m.Elif(from_hop):
                m.d.comb += self.hop_answers.eq(1)
                m.d.sync += [learnt.eq(self.answer_mac), found.eq(1), self.wanted.eq(0)]
            with m.Elif(self.tick & (left > 1)):
                m.d.sync += left.eq(left - 1)
            with m.Elif(self.tick & tries.any()):
                m.d.sync += [left.eq(self.interval), tries.eq(tries - 1), self.wanted.eq(1)]
            with m.Elif(self.tick):
                self._give_up(m)
        with m.Elif(self.connect):
            m.d.sync += self.outcome.eq(Outcome.NONE)
            with m.If(~known & self.ip.any()):
                m.d.sync += [
                    self.asking.eq(1),
                    self.wanted.eq(1),
                    found.eq(0),
                    left.eq(self.interval),
                    tries.eq(self.tries),
                ]
            with m.Elif(~known):
                self._give_up(m)
        return m

    def _give_up(self, m: Module) -> None:
        self._end(m, Outcome.UNRESOLVED)
        m.d.comb += self.hop_unresolved.eq(1)

    def _end(self, m: Module, outcome: Outcome) -> None:
        m.d.sync += [self.asking.eq(0), self.wanted.eq(0), self.outcome.eq(outcome)]
