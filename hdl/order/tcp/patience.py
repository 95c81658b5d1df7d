"""The slow timers of a connection: how long it waits for a peer that says nothing.

Ref: RFC 9293, sections 3.6.1 (TIME-WAIT), 3.8.4 (keep-alives), 3.8.6.1 (zero window probes),
3.8.6.3 (delayed acknowledgements); RFC 5961, section 7 (throttling).
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.tcp.types import Timing

__all__ = ["Patience"]


class Patience(wiring.Component):
    """Counts ticks, each of its timers for itself.

    Latency: what a tick brings comes with it (combinational).

    Members
    -------
    tick : In(1), timing : In(Timing)
    heard : In(1)
        A segment of the peer has come.
    alive : In(1), idle : In(1)
        Keep-alives are meaningful: there is a connection; nothing waits to be acknowledged.
    blocked : In(1), timeout : In(16)
        The window of the peer has no room for what may be sent, though nothing is on its way; how
        long the first probe then waits. The following ones wait twice as long each, up to
        `rto_max`.
    linger : In(1), lingering : In(1)
        Begin to wait for the end; waits for it.
    delay : In(1), delayed : In(1)
        Begin to wait with an acknowledgement; waits with it.
    challenge : In(1), may_challenge : Out(1)
        An acknowledgement that anyone could provoke was sent; another one may be.
    probe : Out(1), lost : Out(1)
        Probe the peer; it has not answered too many of the probes.
    ends : Out(1), acknowledge : Out(1)
        `linger` is over; `delay` is.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "tick": In(1),
                "timing": In(Timing),
                "heard": In(1),
                "alive": In(1),
                "idle": In(1),
                "blocked": In(1),
                "timeout": In(16),
                "linger": In(1),
                "lingering": In(1),
                "delay": In(1),
                "delayed": In(1),
                "challenge": In(1),
                "may_challenge": Out(1),
                "probe": Out(1),
                "lost": Out(1),
                "ends": Out(1),
                "acknowledge": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        timing = self.timing
        keep, keep_lost = self._keep_alive(m)
        persist, persist_lost = self._persist(m)
        m.d.comb += [
            self.probe.eq(keep | persist),
            self.lost.eq(keep_lost | persist_lost),
            self.ends.eq(self._countdown(m, self.linger, self.lingering, timing.linger)),
            self.acknowledge.eq(self._countdown(m, self.delay, self.delayed, timing.ack_delay)),
        ]
        since = Signal(16)
        m.d.comb += self.may_challenge.eq(since == 0)
        with m.If(self.tick & since.any()):
            m.d.sync += since.eq(since - 1)
        with m.If(self.challenge):
            m.d.sync += since.eq(timing.challenge_interval)
        return m

    def _countdown(self, m: Module, begins, runs, length):
        left = Signal(16)
        with m.If(self.tick & left.any()):
            m.d.sync += left.eq(left - 1)
        with m.If(begins):
            m.d.sync += left.eq(length)
        return self.tick & runs & (left <= 1)

    def _keep_alive(self, m: Module):
        timing, quiet, probes = self.timing, Signal(16), Signal(8)
        patience = Mux(probes.any(), timing.keepalive_interval, timing.keepalive_idle)
        due = self.tick & self.alive & self.idle & (quiet + 1 >= patience)
        due &= timing.keepalive_idle.any()
        lost = due & (probes >= timing.keepalive_probes)
        with m.If(self.tick & ~quiet.all()):
            m.d.sync += quiet.eq(quiet + 1)
        with m.If(due):
            m.d.sync += [quiet.eq(0), probes.eq(probes + 1)]
        with m.If(self.heard | ~self.alive):
            m.d.sync += [quiet.eq(0), probes.eq(0)]
        return due & ~lost, lost

    def _persist(self, m: Module):
        timing, waited, patience, probes = self.timing, Signal(16), Signal(16), Signal(8)
        fresh = Signal()
        m.d.sync += fresh.eq(~self.blocked | (fresh & ~self.tick))
        due = self.tick & self.blocked & (waited + 1 >= patience)
        lost = due & (probes >= timing.retries)
        with m.If(~self.blocked):
            m.d.sync += waited.eq(0)
        with m.Elif(self.tick):
            m.d.sync += waited.eq(waited + 1)
        # What was learnt from the segment that closed the window counts too.
        with m.If(fresh):
            m.d.sync += patience.eq(self.timeout)
        with m.If(due):
            twice = patience << 1
            m.d.sync += [
                waited.eq(0),
                patience.eq(Mux(twice > timing.rto_max, timing.rto_max, twice)),
                probes.eq(probes + 1),
            ]
        with m.If(self.heard | ~self.blocked):
            m.d.sync += probes.eq(0)
        return due & ~lost, lost
