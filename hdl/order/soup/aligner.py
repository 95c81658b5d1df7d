"""Packets of SoupBinTCP, cut out of a stream of octets and set at the beginning of a row.

Ref: SoupBinTCP 3.00, section 2.1: a packet is a length, which counts what follows, and that.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from tickgate.hdl.stream import require_width
from tickgate.spec.soupbintcp import LENGTH_SIZE

__all__ = ["Aligner", "Chunk", "Row", "row_size"]


def row_size(width: int) -> int:
    """Octets of a row: twice a word, so that packets of more than a word never pile up."""
    return 2 * width


class Chunk(data.StructLayout):
    """The next `count` octets of the stream; those beyond are 0."""

    def __init__(self, width: int) -> None:
        super().__init__({"data": 8 * width, "count": range(width + 1)})


class Row(data.StructLayout):
    """A row of a packet that began with its length at octet 0 of the row that is `first`.

    Every row but the `last` is full.
    """

    def __init__(self, width: int) -> None:
        super().__init__({"data": 8 * row_size(width), "first": 1, "last": 1})


class Aligner(wiring.Component):
    """Sets packets into rows, wherever they begin.

    Latency: `LATENCY` cycle from the last octet of a packet to its last row, if what came before it
    is gone. Throughput: a row a cycle, at most one packet; this is a word a cycle for packets of
    more than a word. A packet whose length is not in with the end of the one before costs a cycle.

    Parameters
    ----------
    width : int
        Octets a cycle.

    Members
    -------
    chunks : In(stream of Chunk)
    rows : Out(stream of Row)
    broken : Out(1)
        A length was 0, so that no packet can be found from there on; nothing is any more.
    idle : Out(1)
        There is not enough for another row.
    save, restore, clear : In(1)
        While idle, remember how it is; become again as remembered; forget all.
    """

    LATENCY = 1

    def __init__(self, *, width: int) -> None:
        require_width(width)
        self._width = width
        super().__init__(
            {
                "chunks": In(stream.Signature(Chunk(width))),
                "rows": Out(stream.Signature(Row(width), always_ready=True)),
                "broken": Out(1),
                "idle": Out(1),
                "save": In(1),
                "restore": In(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        width, row = self._width, row_size(self._width)
        capacity = 2 * row
        kept, count = Signal(8 * capacity), Signal(range(capacity + 1))
        # Of the packet at the beginning: octets left, whether that is known, whether any is gone.
        left, known, begun = Signal(17), Signal(), Signal()
        need, takes = Signal(range(row + 1)), Signal(range(row + 1))
        ends, going = Signal(), Signal()
        chunk, transfers = self.chunks.payload, self.chunks.valid & self.chunks.ready
        m.d.comb += [
            ends.eq(left <= row),
            need.eq(Mux(ends, left, row)),
            going.eq(known & ~self.broken & (count >= need)),
            takes.eq(Mux(going, need, 0)),
            self.idle.eq(~going & (known | self.broken | (count < LENGTH_SIZE))),
            self.chunks.ready.eq((count <= capacity - width) | self.broken),
            self.rows.valid.eq(going),
            self.rows.payload.data.eq(kept[: 8 * row]),
            self.rows.payload.first.eq(~begun),
            self.rows.payload.last.eq(ends),
        ]
        after, place = Signal.like(count), Signal(8 * capacity)
        m.d.comb += [
            after.eq(count - takes),
            place.eq(chunk.data << Cat(0, 0, 0, after)),
        ]
        rest = self._moved(kept, takes)
        m.d.sync += [
            kept.eq(rest | Mux(transfers, place, 0)),
            count.eq(after + Mux(transfers, chunk.count, 0)),
        ]
        # The length of the packet that follows lies behind the end of this one.
        ahead = kept.bit_select(Cat(0, 0, 0, need[: exact_log2(row) + 1]), 16)
        length = Signal(16)
        m.d.comb += length.eq(Cat(ahead[8:], ahead[:8]))
        with m.If(going):
            m.d.sync += [left.eq(left - need), begun.eq(~ends)]
            with m.If(ends):
                m.d.sync += known.eq(0)
                with m.If(count >= need + LENGTH_SIZE):
                    self._begin(m, length, left, known)
        with m.Elif(~known & (count >= LENGTH_SIZE) & ~self.broken):
            self._begin(m, Cat(kept[8:16], kept[:8]), left, known)
        with m.If(self.broken):
            m.d.sync += [kept.eq(0), count.eq(0)]
        self._remember(m, (kept, count, left, known, begun, self.broken))
        return m

    @staticmethod
    def _moved(kept, takes):
        for bit in range(len(takes)):
            kept = Mux(takes[bit], kept >> (8 << bit), kept)
        return kept

    def _begin(self, m: Module, length, left, known) -> None:
        m.d.sync += [left.eq(length + LENGTH_SIZE), known.eq(1)]
        with m.If(length == 0):
            m.d.sync += self.broken.eq(1)

    def _remember(self, m: Module, state) -> None:
        for signal in state:
            saved = Signal.like(signal, name=f"saved_{signal.name}")
            with m.If(self.save):
                m.d.sync += saved.eq(signal)
            with m.If(self.restore):
                m.d.sync += signal.eq(saved)
            with m.If(self.clear):
                m.d.sync += [signal.eq(0), saved.eq(0)]
