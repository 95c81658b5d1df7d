"""Chooses what is sent next, and sees to it that no order leaves meanwhile.

Ref: RFC 9293, section 3.10.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.tcp.acceptance import Numbers
from tickgate.hdl.order.tcp.connection import Reset
from tickgate.hdl.order.tcp.types import Job, Wants
from tickgate.spec.ethernet import TCP_ACK, TCP_FIN, TCP_PSH, TCP_SYN

__all__ = ["Dispatcher"]


class Dispatcher(wiring.Component):
    """Makes one job after the other of what a connection wants.

    Latency: from a want to its job `notice` + 5 cycles, an order that is under way, and the time
    until the port is free. Throughput: one segment at a time.

    Orders come first: a segment waits until the order that is under way has left. But while one
    waits or is sent, no order may begin. What is to be sent is decided at the end of the wait.

    Parameters
    ----------
    notice : int
        An order may still begin so many cycles after `holds` has risen.
    packet_size : int

    Members
    -------
    wants : In(Wants), reset : In(Reset), numbers : In(Numbers), peer_mss : In(16), fin_sent : In(1)
        Of `Connection`.
    packet_length : In(range(packet_size + 1))
    moving : In(1)
        The packet is still on its way into the ring.
    order_busy : In(1), port : In(1)
        An order is leaving; nothing else needs the port.
    picked : Out(Wants)
        What is sent, for one cycle.
    holds : Out(1)
    jobs : Out(stream of Job)
    """

    def __init__(self, *, notice: int, packet_size: int) -> None:
        if notice < 0:
            raise ValueError(f"notice must not be negative, but is {notice}")
        self._notice = notice
        super().__init__(
            {
                "wants": In(Wants),
                "reset": In(Reset),
                "numbers": In(Numbers),
                "peer_mss": In(16),
                "fin_sent": In(1),
                "packet_length": In(range(packet_size + 1)),
                "moving": In(1),
                "order_busy": In(1),
                "port": In(1),
                "picked": Out(Wants),
                "holds": Out(1),
                "jobs": Out(stream.Signature(Job)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        kind, chosen = Signal(Wants), Signal(Wants)
        wanted = self.wants.as_value()
        # The lowest bit that is set is what comes first.
        m.d.comb += chosen.as_value().eq(wanted & -wanted)
        waited = Signal(range(self._notice + 3))
        length, sequence = Signal(32), Signal(32)
        numbers = self.numbers
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += waited.eq(0)
                with m.If(wanted.any()):
                    m.d.sync += self.holds.eq(1)
                    m.next = "HOLD"
            with m.State("HOLD"):
                with m.If(waited != self._notice + 2):
                    m.d.sync += waited.eq(waited + 1)
                with m.Elif(~wanted.any()):
                    m.d.sync += self.holds.eq(0)
                    m.next = "IDLE"
                with m.Elif(~self.order_busy & self.port):
                    m.d.comb += self.picked.eq(chosen)
                    m.d.sync += [
                        kind.eq(chosen),
                        length.eq(numbers.nxt - numbers.una - self.fin_sent),
                        sequence.eq(
                            Mux(chosen.retransmission | chosen.syn, numbers.una, numbers.nxt)
                        ),
                    ]
                    with m.If(chosen.packet):
                        m.d.sync += length.eq(self.packet_length)
                    with m.If(chosen.probe):
                        m.d.sync += sequence.eq(numbers.una - 1)
                    m.next = "MAKE"
            with m.State("MAKE"):
                self._make(m, kind, length=length, sequence=sequence)
                m.next = "MOVE"
            with m.State("MOVE"):
                with m.If(~self.moving):
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.jobs.valid.eq(1)
                with m.If(self.jobs.ready):
                    m.d.sync += self.holds.eq(0)
                    m.next = "IDLE"
        return m

    def _make(self, m: Module, kind, *, length, sequence) -> None:
        job = self.jobs.payload
        fits = length <= self.peer_mss
        m.d.sync += [
            job.sequence.eq(sequence),
            job.acknowledgement.eq(self.numbers.received),
            job.flags.eq(TCP_ACK),
            job.length.eq(0),
            job.mss.eq(0),
        ]
        with m.If(kind.reset):
            m.d.sync += [
                job.sequence.eq(self.reset.sequence),
                job.acknowledgement.eq(self.reset.acknowledgement),
                job.flags.eq(self.reset.flags),
            ]
        with m.If(kind.syn):
            m.d.sync += [job.acknowledgement.eq(0), job.flags.eq(TCP_SYN), job.mss.eq(1)]
        with m.If(kind.fin):
            m.d.sync += job.flags.eq(TCP_ACK | TCP_FIN)
        with m.If(kind.packet):
            m.d.sync += [job.flags.eq(TCP_ACK | TCP_PSH), job.length.eq(length)]
        with m.If(kind.retransmission):
            m.d.sync += job.length.eq(Mux(fits, length, self.peer_mss))
            with m.If(length.any()):
                m.d.sync += job.flags.eq(
                    Mux(fits & self.fin_sent, TCP_ACK | TCP_PSH | TCP_FIN, TCP_ACK | TCP_PSH)
                )
            with m.Else():
                m.d.sync += job.flags.eq(TCP_ACK | TCP_FIN)
