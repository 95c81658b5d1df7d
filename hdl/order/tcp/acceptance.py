"""How a segment's numbers lie to those of the connection.

Ref: RFC 9293, sections 3.4 and 3.10.7.4; RFC 5961, sections 3 to 5.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.tcp.types import Segment
from tickgate.spec.ethernet import TCP_FIN, TCP_SYN

__all__ = ["Acceptance", "Numbers", "Relation"]


class Numbers(data.Struct):
    """The sequence numbers of the connection.

    SND.UNA, SND.NXT, RCV.NXT, SND.WL1, SND.WL2, the largest SND.WND there was, the number after the
    octets whose round trip is measured, and that after all that was sent when a loss was found.
    """

    una: 32
    nxt: 32
    received: 32
    wl1: 32
    wl2: 32
    max_window: 16
    timed: 32
    recover: 32


class Relation(data.Struct):
    """`due`: begins where the connection expects. `acceptable`: some of it is in the window.

    The acknowledgement is `ack_new` (of something not acknowledged before), `ack_same` (as the last
    one), `ack_old` (older, but not older than a window); if none of them, it is of what was never
    sent, or ancient. `ack_all`, `ack_timed`, `ack_recover`: up to the end of all that was sent, of
    what is measured, of what was sent before a loss was found. `newer`: its window counts.
    """

    due: 1
    acceptable: 1
    ack_new: 1
    ack_same: 1
    ack_old: 1
    ack_all: 1
    ack_timed: 1
    ack_recover: 1
    newer: 1


class Acceptance(wiring.Component):
    """Compares a segment with the connection.

    Latency: `LATENCY` cycles from `segment` and `numbers` to `relation`. Throughput: a comparison
    a cycle.

    Parameters
    ----------
    window : int
        Octets of the receive window, always the same.

    Members
    -------
    segment : In(Segment), numbers : In(Numbers), relation : Out(Relation)
    """

    LATENCY = 2

    def __init__(self, *, window: int) -> None:
        if not 0 < window < 1 << 16:
            raise ValueError(f"window must be 1 to 65535 octets, not {window}")
        self._window = window
        super().__init__(
            {"segment": In(Segment), "numbers": In(Numbers), "relation": Out(Relation)}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        segment, numbers, relation = self.segment, self.numbers, self.relation
        ahead, span = Signal(32), Signal(17)
        last = Signal(32)
        acked, behind, flight = Signal(32), Signal(32), Signal(32)
        since_wl1, since_wl2 = Signal(32), Signal(32)
        timed, recovered = Signal(32), Signal(32)
        counted = (segment.flags & TCP_SYN).any() + (segment.flags & TCP_FIN).any()
        m.d.sync += [
            ahead.eq(segment.sequence - numbers.received),
            span.eq(segment.length + counted),
            acked.eq(segment.acknowledgement - numbers.una),
            behind.eq(numbers.una - segment.acknowledgement),
            flight.eq(numbers.nxt - numbers.una),
            since_wl1.eq(segment.sequence - numbers.wl1),
            since_wl2.eq(segment.acknowledgement - numbers.wl2),
            timed.eq(segment.acknowledgement - numbers.timed),
            recovered.eq(segment.acknowledgement - numbers.recover),
        ]
        m.d.comb += last.eq(ahead + span - 1)
        m.d.sync += [
            relation.due.eq(ahead == 0),
            relation.acceptable.eq((ahead < self._window) | ((span != 0) & (last < self._window))),
            relation.ack_new.eq((acked != 0) & (acked <= flight)),
            relation.ack_same.eq(acked == 0),
            relation.ack_old.eq((behind != 0) & (behind <= numbers.max_window)),
            relation.ack_all.eq(acked == flight),
            relation.ack_timed.eq(~timed[-1]),
            relation.ack_recover.eq(~recovered[-1]),
            relation.newer.eq(
                ((since_wl1 != 0) & ~since_wl1[-1]) | ((since_wl1 == 0) & ~since_wl2[-1])
            ),
        ]
        return m
