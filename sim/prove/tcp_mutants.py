"""The planted bugs of the TCP client.

Ref: sim/prove/tcp.py and segments.py, which must catch them.
"""

from tickgate.sim.prove.planting import Mutant

__all__ = ["TCP_MUTANTS"]

TCP_MUTANTS = (
    Mutant(
        name="tcp-timer-stops-with-a-packet",
        bug="a packet that leaves as all before it is acknowledged has no timer",
        module="order.tcp.connection",
        before="unseen = Cat(grows, recent",
        after="unseen = Cat(self.order, recent",
        catcher="unacked-timed",
    ),
    Mutant(
        name="tcp-early-ack-forgotten",
        bug="an acknowledgement of a FIN that has just been numbered does not count as that",
        module="order.tcp.connection",
        before="recent[: Acceptance.LATENCY]",
        after="recent",
        catcher="unacked-timed",
    ),
    Mutant(
        name="tcp-segment-overrides-timeout",
        bug="a segment that comes with the last timeout brings the connection back",
        module="order.tcp.connection",
        before="        self._arrive(m)\n        self._give_up(m)\n",
        after="        self._give_up(m)\n        self._arrive(m)\n",
        catcher="unacked-timed",
    ),
    Mutant(
        name="tcp-length-of-another",
        bug="a packet is chosen by the length of the one before it",
        module="order.tcp.connection",
        before="waits = self.packet_waits & offered",
        after="waits = self.packet_waits",
        catcher="unacked-timed",
    ),
    Mutant(
        name="tcp-waits-for-ever",
        bug="who has closed waits for the other side without an end",
        module="order.tcp.connection",
        before="self._among(State.TIME_WAIT, State.FIN_WAIT_2)",
        after="self._among(State.TIME_WAIT)",
        catcher="way-out-fin-wait-2",
    ),
    Mutant(
        name="tcp-close-forgotten",
        bug="FIN is not sent for the host's close",
        module="order.tcp.connection",
        before="            with m.Elif(self._is[State.ESTABLISHED]):\n"
        "                m.d.sync += self._closing.eq(1)\n",
        after="",
        catcher="unacked-timed",
    ),
    Mutant(
        name="tcp-never-closes",
        bug="FIN is not sent after the peer's",
        module="order.tcp.connection",
        before="open_ & self._closing &",
        after="self._is[State.ESTABLISHED] & self._closing &",
        catcher="way-out-close-wait",
    ),
    Mutant(
        name="tcp-fin-waits-for-the-peer",
        bug="FIN is not sent before the peer's",
        module="order.tcp.connection",
        before="open_ & self._closing &",
        after="self._is[State.CLOSE_WAIT] & self._closing &",
        catcher="way-out-established",
    ),
    Mutant(
        name="tcp-ring-bank",
        bug="the octets of a word go a row too far",
        module="order.tcp.ring",
        before="(at[:lane_bits] > bank)",
        after="(at[:lane_bits] >= bank)",
        catcher="ring-keeps",
    ),
    Mutant(
        name="tcp-record-a-lane-late",
        bug="the first octet of an order is not kept",
        module="order.tcp.recorder",
        before="(start <= lane)",
        after="(start < lane)",
        catcher="order-recorded",
    ),
    Mutant(
        name="tcp-packet-moved-short",
        bug="the octets of a packet are moved a place too far",
        module="order.tcp.staging",
        before="self.at.eq(self.at + 1)",
        after="self.at.eq(self.at + 2)",
        catcher="packet-moved",
    ),
    Mutant(
        name="tcp-notice-too-short",
        bug="a segment is chosen while an order may still begin",
        module="order.tcp.dispatcher",
        before="with m.If(waited != self._notice + 2):",
        after="with m.If(waited != self._notice):",
        catcher="dispatcher-leads",
    ),
    Mutant(
        name="tcp-timer-a-tick-late",
        bug="the timer runs a tick longer",
        module="order.tcp.timer",
        before="self.tick & self.running & (left <= 1)",
        after="self.tick & self.running & (left == 0)",
        catcher="timer-expires",
    ),
)
