"""Keeps a frame that comes an octet at a time, and sends it without a pause.

Ref: IEEE 802.3 clause 3.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from tickgate.hdl.memory import TableMemory
from tickgate.hdl.net.capture import SLOT
from tickgate.hdl.stream import Octets, require_width

__all__ = ["Play"]


class Play(wiring.Component):
    """Sends each frame that was put in, as soon as its last octet is there.

    Latency: 3 cycles from the last octet in to the first word out. Throughput: a word in each cycle
    in which `octets.ready` is high; one frame at a time.

    A word stays until it is transferred.

    Parameters
    ----------
    width : int
        Octets a cycle.

    Members
    -------
    put : In(1), octet : In(8), last : In(1)
        An octet of a frame of at most `SLOT` octets, while there is `room`.
    room : Out(1)
        No frame is under way.
    octets : Out(stream of Octets)
    """

    def __init__(self, *, width: int) -> None:
        require_width(width)
        self._width = width
        super().__init__(
            {
                "put": In(1),
                "octet": In(8),
                "last": In(1),
                "room": Out(1),
                "octets": Out(stream.Signature(Octets(width))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        width, shift = self._width, exact_log2(self._width)
        m.submodules.kept = kept = TableMemory(depth=SLOT // width, shape=8 * width)
        into, word = Signal(range(SLOT)), Signal(8 * width)
        lane = into[:shift]
        whole = Signal(8 * width)
        m.d.comb += whole.eq(word)
        with m.Switch(lane):
            for n in range(width):
                with m.Case(n):
                    m.d.comb += whole.word_select(n, 8).eq(self.octet)
        m.d.comb += [
            kept.write.eq(self.put),
            kept.write_address.eq(into[shift:]),
            kept.write_data.eq(whole),
        ]
        final, count = Signal(range(SLOT // width)), Signal(range(width + 1))
        with m.If(self.put):
            m.d.sync += [word.eq(whole), into.eq(into + 1)]
            with m.If(self.last):
                m.d.sync += [into.eq(0), final.eq(into[shift:]), count.eq(lane + 1)]
        self._send(m, kept, final=final, count=count)
        return m

    def _send(self, m: Module, kept: TableMemory, *, final, count) -> None:
        out, valid = self.octets.payload, self.octets.valid
        index, loaded, empty = Signal.like(final), Signal(), Signal(init=1)
        with m.If(self.put):
            m.d.sync += empty.eq(0)
        m.d.comb += [self.room.eq(empty & kept.ready), kept.address().eq(index)]
        with m.If(self.put & self.last):
            m.d.sync += [loaded.eq(1), index.eq(0)]
        with m.If(loaded & (~valid | self.octets.ready)):
            last = index == final
            m.d.sync += [
                valid.eq(1),
                out.data.eq(kept.data()),
                out.first.eq(index == 0),
                out.last.eq(last),
                out.count.eq(Mux(last, count, self._width)),
                index.eq(index + 1),
                loaded.eq(~last),
            ]
        with m.Elif(valid & self.octets.ready):
            m.d.sync += [valid.eq(0), empty.eq(1)]
