"""Writes the payload of an order into the ring while its frame leaves.

Ref: RFC 9293, section 3.8.1.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.tcp.receive import OPTIONS_AT
from tickgate.hdl.stream import Octets, require_width

__all__ = ["Recorder"]


class Recorder(wiring.Component):
    """Finds the payload in the words of a frame without TCP options, and where it belongs.

    Latency: `LATENCY` cycle. Throughput: one word a cycle.

    Parameters
    ----------
    width : int
        Octets a cycle.
    ring_size : int
    longest : int
        Most octets of payload.

    Members
    -------
    order : In(1), size : In(range(longest + 1)), sequence : In(32)
        A frame begins in this cycle or later: octets of its payload, and the number of the first.
    sent : In(stream of Octets)
        The words as they are transferred; ready is not looked at.
    at, data, mask : Out
        For `Ring`.
    """

    LATENCY = 1

    def __init__(self, *, width: int, ring_size: int, longest: int) -> None:
        require_width(width)
        self._width, self._longest = width, longest
        super().__init__(
            {
                "order": In(1),
                "size": In(range(longest + 1)),
                "sequence": In(32),
                "sent": In(stream.Signature(Octets(width), always_ready=True)),
                "at": Out(range(ring_size)),
                "data": Out(8 * width),
                "mask": Out(width),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        width, word, valid = self._width, self.sent.payload, self.sent.valid
        at = Signal.like(self.at)
        # Counted from the beginning of the word that comes next.
        until_start = Signal(range(OPTIONS_AT + 1))
        until_stop = Signal(range(OPTIONS_AT + self._longest + 1))
        self._ahead = at, until_start, until_stop
        with m.If(self.order):
            m.d.sync += [
                at.eq(self.sequence - OPTIONS_AT),
                until_start.eq(OPTIONS_AT),
                until_stop.eq(OPTIONS_AT + self.size),
            ]
        now_at = Mux(self.order, (self.sequence - OPTIONS_AT)[: len(at)], at)
        start = Mux(self.order, OPTIONS_AT, until_start)
        stop = Mux(self.order, OPTIONS_AT + self.size, until_stop)
        with m.If(valid):
            m.d.sync += [
                at.eq(now_at + width),
                until_start.eq(Mux(start > width, start - width, 0)),
                until_stop.eq(Mux(stop > width, stop - width, 0)),
            ]
        inside = Cat((start <= lane) & (stop > lane) for lane in range(width))
        m.d.sync += [
            self.at.eq(now_at),
            self.data.eq(word.data),
            self.mask.eq(Mux(valid, inside, 0)),
        ]
        return m
