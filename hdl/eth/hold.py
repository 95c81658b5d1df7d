"""A datagram passes at once, or waits until the FCS of its frame is known to be right.

Ref: IEEE 802.3 clause 3; docs/architecture.md, "The feed".
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.eth.receive import PAYLOAD_AT, Receive
from tickgate.hdl.memory import BlockMemory
from tickgate.hdl.stream import SOURCES, Span, require_width

__all__ = ["Hold"]

CAPACITY = 2048
"""Octets: room for the longest frame of Ethernet without jumbo frames, and what is left of the one
before it."""

MARGIN = 4
"""Words that may yet be read again, or are written before that there is no room is known."""


class _Kept(data.StructLayout):
    def __init__(self, width: int) -> None:
        super().__init__({"span": Span(width), "line": range(len(SOURCES))})


class Hold(wiring.Component):
    """Passes datagrams on; with `wait`, only whole ones of frames whose FCS was right.

    Latency: without `wait`, `LATENCY` cycles (combinational); with it, `HELD_LATENCY` cycles from
    the last word of a frame to the first word of its payload, if none is before it. Throughput: a
    word a cycle, frames back to back, for ever.

    With `wait`, t0 is still where it was, on the receive stream: all of the frame after the
    message, and then the datagram up to it once more, come on top of what a message takes.

    What is passed on with `wait` has the distance between datagrams that frames give them. A frame
    that is damaged or shorter than it says is left out (`dropped`), as is one that is longer than
    the memory (`overlong`). `wait` takes effect between two datagrams; what is held when it ends is
    left out.

    Parameters
    ----------
    width : int
        Octets a cycle.

    Members
    -------
    wait : In(1)
    payload : In(stream of Span), line : In(range(len(SOURCES)))
        As Receive gives them.
    ends, frame_bad, truncated, cut : In(1)
        Of Receive: a frame has ended (`frames`), and what was wrong with it.
    passed : Out(stream of Span), passed_line : Out(range(len(SOURCES)))
        The same, for the feed.
    passed_bad, passed_cut : Out(1)
        What was wrong with the last datagram; never with `wait`.
    ready : Out(1)
        The memory is clear after reset; until then nothing can be held.
    dropped, overlong : Out(1)
        Counter strobes.
    """

    LATENCY = 0
    HELD_LATENCY = Receive.VERDICT_LATENCY + 1 + BlockMemory.READ_LATENCY
    COUNTERS = ("dropped", "overlong")

    def __init__(self, *, width: int) -> None:
        require_width(width)
        self._width = width
        span = stream.Signature(Span(width), always_ready=True)
        super().__init__(
            {
                "wait": In(1),
                "payload": In(span),
                "line": In(range(len(SOURCES))),
                "ends": In(1),
                "frame_bad": In(1),
                "truncated": In(1),
                "cut": In(1),
                "passed": Out(span),
                "passed_line": Out(range(len(SOURCES))),
                "passed_bad": Out(1),
                "passed_cut": Out(1),
                "ready": Out(1),
                **{name: Out(1) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        depth = CAPACITY // self._width
        m.submodules.kept = kept = BlockMemory(depth=depth, shape=_Kept(self._width))
        holding, open_ = Signal(), Signal()
        # One bit more than an address has, so that full is not empty.
        at = {name: Signal(range(2 * depth), name=name) for name in ("write", "commit", "read")}
        emerges, between = self._read(m, kept, at=at, holding=holding)
        with m.If(self.payload.valid):
            m.d.sync += open_.eq(1)
        with m.If(self.ends):
            m.d.sync += open_.eq(0)
        with m.If(between & ~open_ & ~self.payload.valid):
            m.d.sync += holding.eq(self.wait)
        self._write(m, kept, at=at, holding=holding, depth=depth)
        with m.If(~holding):
            m.d.sync += [pointer.eq(0) for pointer in at.values()]
        out = kept.data()
        m.d.comb += [
            self.ready.eq(kept.ready),
            self.passed.valid.eq((self.payload.valid & ~holding) | emerges),
            self.passed.payload.eq(Mux(holding, out.span, self.payload.payload)),
            self.passed_line.eq(Mux(holding, out.line, self.line)),
            self.passed_bad.eq(self.frame_bad & ~holding),
            self.passed_cut.eq(self.cut & ~holding),
        ]
        return m

    def _write(self, m: Module, kept: BlockMemory, *, at, holding, depth: int) -> None:
        room, lacks_room = Signal(), Signal()
        used = Signal.like(at["write"])
        bad = self.frame_bad | self.truncated
        m.d.comb += [
            used.eq(at["write"] - at["read"]),
            kept.write.eq(self.payload.valid),
            kept.write_address.eq(at["write"]),
            kept.write_data.span.eq(self.payload.payload),
            kept.write_data.line.eq(self.line),
            self.overlong.eq(holding & self.ends & lacks_room & ~bad),
            self.dropped.eq(holding & self.ends & bad),
        ]
        m.d.sync += room.eq(kept.ready & (used < depth - MARGIN))
        with m.If(self.payload.valid):
            with m.If(room):
                m.d.sync += at["write"].eq(at["write"] + 1)
            with m.Else():
                m.d.sync += lacks_room.eq(1)
        with m.If(self.ends):
            m.d.sync += lacks_room.eq(0)
            with m.If(bad | lacks_room):
                m.d.sync += at["write"].eq(at["commit"])
            with m.Else():
                m.d.sync += at["commit"].eq(at["write"])

    def _read(self, m: Module, kept: BlockMemory, *, at, holding) -> tuple[Signal, Signal]:
        """Returns whether a word emerges, and whether no datagram is half read."""
        # That a word is the last is known when it emerges; what was asked for after it is asked
        # for again, when the datagrams are as far apart as their frames were.
        gap = PAYLOAD_AT // self._width
        pause = Signal(range(gap))
        asked = Signal(BlockMemory.READ_LATENCY)
        emerged = Signal.like(at["read"])
        emerges, ends, asks = asked[-1], Signal(), Signal()
        m.d.comb += [
            kept.address().eq(at["read"]),
            asks.eq((at["read"] != at["commit"]) & ~pause.any()),
            ends.eq(emerges & kept.data().span.last),
        ]
        with m.If(pause.any()):
            m.d.sync += pause.eq(pause - 1)
        with m.If(asks):
            m.d.sync += at["read"].eq(at["read"] + 1)
        m.d.sync += asked.eq((asked << 1 | asks) & holding.replicate(len(asked)))
        with m.If(emerges):
            m.d.sync += emerged.eq(emerged + 1)
        with m.If(ends):
            m.d.sync += [
                asked.eq(0),
                at["read"].eq(emerged + 1),
                pause.eq(gap - BlockMemory.READ_LATENCY),
            ]
        with m.If(~holding):
            m.d.sync += emerged.eq(0)
        # Inside a datagram the next word has always been asked for.
        return emerges, ~asked.any()
