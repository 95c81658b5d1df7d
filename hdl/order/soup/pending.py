"""Records that wait until what they were read from is known to be good.

Ref: docs/architecture.md, "The order session".
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.soup.decoder import Record

__all__ = ["Pending"]


class Pending(wiring.Component):
    """Keeps records until they are all believed, or all forgotten.

    Latency: from `commit` to the first record `LATENCY` cycle if nothing was there before.
    Throughput: a record a cycle in, one every SPACING cycles out.

    Parameters
    ----------
    depth : int
        Records that can wait, a power of two.

    Members
    -------
    records : In(stream of Record)
    commit, drop : In(1)
        What came since the last of these is to be passed on; is void.
    pause : In(1)
        No record is passed on; to be known in the cycle after one.
    passed : Out(stream of Record)
    coming : Out(32)
        The user reference number of the record that is passed on in the next cycle, if one is.
    waits : Out(1), crowded : Out(1)
        There is something to be passed on; more than half of the places are taken.
    """

    LATENCY = 1
    READ_LATENCY = 2
    SPACING = READ_LATENCY + 1

    def __init__(self, *, depth: int) -> None:
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two of at least 2, not {depth}")
        self._depth = depth
        records = stream.Signature(Record, always_ready=True)
        super().__init__(
            {
                "records": In(records),
                "commit": In(1),
                "drop": In(1),
                "pause": In(1),
                "passed": Out(records),
                "coming": Out(32),
                "waits": Out(1),
                "crowded": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ram = ram = memory.Memory(shape=Record, depth=self._depth, init=[])
        write_port, read_port = ram.write_port(), ram.read_port()
        write, committed, read = (Signal(range(2 * self._depth)) for _ in range(3))
        # The first record does not go through the memory, which would take too long.
        head, head_full, head_good = Signal(Record), Signal(), Signal()
        asked = Signal(self.READ_LATENCY)
        out, just_passed = Signal(Record), Signal()
        asks, to_head, leaves = Signal(), Signal(), Signal()
        m.d.comb += [
            to_head.eq(~head_full & (read == write) & ~asked.any() & ~just_passed),
            leaves.eq(head_full & head_good & ~self.pause),
            asks.eq((read != committed) & ~self.pause & ~asked.any() & ~head_full),
            write_port.en.eq(self.records.valid & ~to_head),
            write_port.addr.eq(write),
            write_port.data.eq(self.records.payload),
            read_port.addr.eq(read),
            self.passed.valid.eq(leaves | asked[-1]),
            self.passed.payload.eq(Mux(leaves, head, out)),
            self.coming.eq(
                Mux(
                    asked[0],
                    read_port.data.user_ref_num,
                    Mux(head_full, head.user_ref_num, self.records.payload.user_ref_num),
                )
            ),
            self.waits.eq((head_full & head_good) | (read != committed) | asked.any()),
            self.crowded.eq((write - read)[: len(write)] > self._depth // 2),
        ]
        m.d.sync += [
            just_passed.eq(self.passed.valid),
            asked.eq(asked << 1 | asks),
            out.eq(read_port.data),
        ]
        with m.If(asks):
            m.d.sync += read.eq(read + 1)
        with m.If(leaves):
            m.d.sync += head_full.eq(0)
        with m.If(self.records.valid):
            with m.If(to_head):
                m.d.sync += [head.eq(self.records.payload), head_full.eq(1), head_good.eq(0)]
            with m.Else():
                m.d.sync += write.eq(write + 1)
        with m.If(self.commit):
            m.d.sync += [committed.eq(write), head_good.eq(1)]
        with m.If(self.drop):
            m.d.sync += [write.eq(committed), head_full.eq(head_full & head_good & ~leaves)]
        return m
