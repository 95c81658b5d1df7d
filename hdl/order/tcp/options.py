"""The Maximum Segment Size that a peer announces.

Ref: RFC 9293, section 3.2 (options may come in any order and at any octet).
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from tickgate.hdl.order.tcp.receive import OPTIONS_AT
from tickgate.hdl.stream import Octets, require_width

__all__ = ["OptionReader"]

LONGEST = 40
END, NOP, MSS = range(3)
MSS_SIZE = 4


class OptionReader(wiring.Component):
    """Keeps the options of each frame as it passes, and reads those of the last one on demand.

    Latency: from `read` to `done` LATENCY cycles at most. Throughput: one frame at a time; what
    passes while one is read is not kept.

    Parameters
    ----------
    width : int
        Octets a cycle.

    Members
    -------
    octets : In(stream of Octets)
    read : In(1), length : In(range(41))
        Octets of options.
    done : Out(1), found : Out(1), mss : Out(16)
        All were read; the option was there, and what it says.
    """

    LATENCY = LONGEST + 2

    def __init__(self, *, width: int) -> None:
        require_width(width)
        self._width = width
        super().__init__(
            {
                "octets": In(stream.Signature(Octets(width), always_ready=True)),
                "read": In(1),
                "length": In(range(LONGEST + 1)),
                "done": Out(1),
                "found": Out(1),
                "mss": Out(16),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        left, reading, at = Signal(range(LONGEST + 1)), Signal(), Signal(range(2 * LONGEST))
        octet = self._keep(m, at, reading)
        # Of the option under way: whether its kind and its length have passed, what is left of it.
        inside, sized, remaining, is_mss = Signal(), Signal(), Signal(8), Signal()
        ends = (left == 0) | (~inside & (octet == END)) | (inside & ~sized & (octet < 2))
        m.d.sync += self.done.eq(reading & ends)
        with m.If(reading):
            m.d.sync += [at.eq(at + 1), left.eq(left - 1), reading.eq(~ends)]
            with m.If(~inside):
                m.d.sync += [inside.eq(octet != NOP), sized.eq(0), is_mss.eq(octet == MSS)]
            with m.Elif(~sized):
                m.d.sync += [sized.eq(1), remaining.eq(octet - 2), inside.eq(octet != 2)]
                with m.If(octet != MSS_SIZE):
                    m.d.sync += is_mss.eq(0)
            with m.Else():
                m.d.sync += [remaining.eq(remaining - 1), inside.eq(remaining != 1)]
                with m.If(is_mss & ~self.found):
                    m.d.sync += self.mss.eq(self.mss << 8 | octet)
                    with m.If((remaining == 1) & ~ends):
                        m.d.sync += self.found.eq(1)
        with m.If(self.read):
            m.d.sync += [
                reading.eq(1),
                left.eq(self.length),
                at.eq(OPTIONS_AT % self._width),
                inside.eq(0),
                self.found.eq(0),
            ]
        return m

    def _keep(self, m: Module, at: Signal, reading: Signal):
        """Returns the octet at `at`, counted from the word in which the first option may begin."""
        width, word = self._width, self.octets.payload
        first = OPTIONS_AT // width
        depth = -(-(OPTIONS_AT + LONGEST) // width) - first
        m.submodules.kept = kept = memory.Memory(shape=8 * width, depth=depth, init=[])
        write, read = kept.write_port(), kept.read_port(domain="comb")
        index = Signal(range(first + depth + 1))
        with m.If(self.octets.valid):
            with m.If(word.last):
                m.d.sync += index.eq(0)
            with m.Elif(index != first + depth):
                m.d.sync += index.eq(index + 1)
        shift = exact_log2(width)
        m.d.comb += [
            write.en.eq(self.octets.valid & ~reading & (index >= first) & (index < first + depth)),
            write.addr.eq(index - first),
            write.data.eq(word.data),
            read.addr.eq(at[shift:]),
        ]
        return read.data.word_select(at[:shift], 8) if shift else read.data
