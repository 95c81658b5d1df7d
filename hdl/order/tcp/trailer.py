"""Puts the frame check sequence behind a frame.

Ref: IEEE 802.3, clause 3.2.9.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.fcs import FCS_INITIAL, Crc32
from tickgate.hdl.stream import Octets, require_width
from tickgate.spec.ethernet import FCS_SIZE

__all__ = ["Trailer"]


class Trailer(wiring.Component):
    """Passes a frame on with its FCS, wherever in a word it ends.

    Latency: `LATENCY` cycle. Throughput: one word a cycle, and one cycle or more without a word
    after each frame.

    Parameters
    ----------
    width : int
        Octets a cycle.

    Members
    -------
    bare : In(stream of Octets), whole : Out(stream of Octets)
        Without and with FCS.
    """

    LATENCY = 1

    def __init__(self, *, width: int) -> None:
        require_width(width)
        self._width = width
        octets = stream.Signature(Octets(width))
        super().__init__({"bare": In(octets), "whole": Out(octets)})

    def elaborate(self, platform) -> Module:
        m = Module()
        width = self._width
        m.submodules.crc = crc = Crc32(width=width)
        word, out = self.bare.payload, self.whole.payload
        state, held, holding = Signal(32), Signal.like(word), Signal()
        # What of the FCS does not fit in the last word.
        rest, rest_count = Signal(32), Signal(range(FCS_SIZE + 1))
        sent = self.whole.valid & self.whole.ready
        m.d.comb += [
            self.bare.ready.eq(~rest_count.any() & (~holding | (self.whole.ready & ~held.last))),
            self.whole.valid.eq(holding | rest_count.any()),
            crc.state.eq(Mux(word.first, FCS_INITIAL, state)),
            crc.data.eq(word.data),
            crc.count.eq(word.count),
        ]
        with m.If(sent):
            m.d.sync += holding.eq(0)
        with m.If(self.bare.valid & self.bare.ready):
            m.d.sync += [holding.eq(1), held.eq(word), state.eq(crc.next_state)]

        total = Signal(range(width + FCS_SIZE + 1))
        tailed = Signal(8 * (width + FCS_SIZE))
        m.d.comb += total.eq(held.count + FCS_SIZE)
        with m.Switch(held.count):
            for count in range(1, width + 1):
                with m.Case(count):
                    octets = Cat(held.data[: 8 * count], ~state)
                    m.d.comb += tailed.eq(Cat(octets, Const(0, 8 * (width - count))))
        with m.If(holding):
            m.d.comb += [
                out.data.eq(Mux(held.last, tailed, held.data)),
                out.first.eq(held.first),
                out.last.eq(held.last & (total <= width)),
                out.count.eq(Mux(held.last & (total <= width), total, width)),
            ]
        with m.Else():
            m.d.comb += [
                out.data.eq(rest),
                out.last.eq(rest_count <= width),
                out.count.eq(Mux(rest_count <= width, rest_count, width)),
            ]
        with m.If(sent & holding & held.last & (total > width)):
            m.d.sync += [rest.eq(tailed[8 * width :]), rest_count.eq(total - width)]
        with m.Elif(sent & ~holding):
            m.d.sync += [
                rest.eq(rest >> 8 * width),
                rest_count.eq(Mux(rest_count > width, rest_count - width, 0)),
            ]
        return m
