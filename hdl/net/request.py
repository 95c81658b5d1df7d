"""Asks for what the feed has missed, until it has it or gives up.

Ref: MoldUDP64 Protocol Specification 1.00, "Request Packet".
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Request", "Requester"]


class Request(data.Struct):
    """What is asked for, and of whom. `session`: characters, the first one on top."""

    mac: 48
    ip: 32
    source_port: 16
    destination_port: 16
    session: 80
    sequence: 64
    count: 16


class Requester(wiring.Component):
    """Sends a request while the feed recovers, and another when it was answered or was not.

    Latency: none that matters. Throughput: one request at a time.

    A request asks for `count` messages from what is due on, whatever is known to be missing: as
    many as a reply can hold, so that it also brings what was published meanwhile. What is missing
    beyond that is asked for as soon as all of it is there; else the next request follows `interval`
    ticks after the last, for what is due then. `tries` requests in a row after which nothing new
    has come, and `interval` after the last of them, are the end of it (`give_up`).

    Members
    -------
    tick : In(1), interval : In(16), tries : In(8), count : In(16)
    recovering : In(1), expected : In(64)
        Of the feed.
    wanted : Out(1), sequence : Out(64), made : In(1)
        A request is to be sent; until it is made.
    give_up : Out(1)
        Strobe.
    requests : Out(1)
        Counter strobe: one was made.
    """

    COUNTERS = ("requests",)

    def __init__(self) -> None:
        super().__init__(
            {
                "tick": In(1),
                "interval": In(16),
                "tries": In(8),
                "count": In(16),
                "recovering": In(1),
                "expected": In(64),
                "wanted": Out(1),
                "sequence": Out(64),
                "made": In(1),
                "give_up": Out(1),
                "requests": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        left, tries = Signal(16), Signal(8)
        progress, new, answered = Signal(64), Signal(), Signal()
        waiting = Signal()
        # What follows from a new number is known two cycles later, long before the next one.
        m.d.sync += [
            progress.eq(self.expected - self.sequence),
            new.eq(progress.any()),
            answered.eq(progress >= self.count),
        ]
        m.d.comb += self.requests.eq(self.made)
        with m.If(self.tick & left.any()):
            m.d.sync += left.eq(left - 1)
        with m.If(self.made):
            m.d.sync += [self.wanted.eq(0), left.eq(self.interval), waiting.eq(1)]
        m.d.sync += self.give_up.eq(0)
        settled = Signal(3)
        m.d.sync += settled.eq(settled << 1 | 1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += tries.eq(self.tries)
                with m.If(self.recovering):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.sync += settled.eq(0)
                with m.If(~self.recovering):
                    m.next = "IDLE"
                with m.Elif(~tries.any()):
                    m.d.sync += self.give_up.eq(1)
                    m.next = "OVER"
                with m.Elif(~self.wanted):
                    m.d.sync += [
                        self.wanted.eq(1),
                        self.sequence.eq(self.expected),
                        tries.eq(tries - 1),
                        waiting.eq(0),
                    ]
                    m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(~self.recovering):
                    m.next = "IDLE"
                with m.Elif(waiting & settled[-1]):
                    with m.If(new):
                        m.d.sync += tries.eq(self.tries)
                    with m.If(answered | ~left.any()):
                        m.next = "ASK"
            with m.State("OVER"):
                with m.If(~self.recovering):
                    m.next = "IDLE"
        return m
