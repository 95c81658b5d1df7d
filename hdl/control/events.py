"""The queue of events for the host.

Ref: tickgate.spec.events; docs/architecture.md, "Control": no event is lost silently.
"""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from tickgate.spec.events import FIELDS, RECORD_WORDS

__all__ = ["MAX_SOURCES", "ROOM", "Event", "EventQueue", "HeadSignature"]

MAX_SOURCES = 16
ROOM = 16


class Event(data.StructLayout):
    """What a stage reports: the fields of `tickgate.spec.events` that are not stamped."""

    def __init__(self, symbols: int) -> None:
        narrow = {"kind": 4, "symbol": range(symbols)}
        super().__init__(
            {
                field.name: narrow.get(field.name, field.width)
                for field in FIELDS
                if not field.stamped
            }
        )


class _Record(data.StructLayout):
    def __init__(self, symbols: int) -> None:
        super().__init__({"sequence": 32, "time": 64, "event": Event(symbols)})


class HeadSignature(wiring.Signature):
    """The oldest event of a queue, seen from the queue.

    Members
    -------
    present : Out(1)
        There is one.
    index : In, word : Out(32)
        A word of its record.
    delivered : In(1)
        Strobe: it is on its way to the host.
    acknowledge : In(1), acknowledged : In(32)
        Strobe: if it has been delivered and `acknowledged` is its sequence number + 1, it leaves
        the queue; `SETTLING` cycles later the next one is here. Any other number does nothing.
    """

    SETTLING = 4

    def __init__(self) -> None:
        super().__init__(
            {
                "present": Out(1),
                "index": In(range(RECORD_WORDS)),
                "word": Out(32),
                "delivered": In(1),
                "acknowledge": In(1),
                "acknowledged": In(32),
            }
        )


class EventQueue(wiring.Component):
    """Numbers, stamps and keeps events until the host has acknowledged them.

    Latency: an event is at the head a few cycles after its strobe if the queue is empty.
    Throughput: an event a cycle. All sources may report in the same cycle; each may then wait with
    one event, the lower source goes first.

    An event that finds the queue full, or its source's place taken, is lost: it is counted and its
    sequence number is used up, so that the host sees the hole.

    Parameters
    ----------
    symbols : int
    sources : int
        1 to 16.
    depth : int
        Events in the queue.

    Members
    -------
    sources : In(stream.Signature(Event(symbols), always_ready=True)).array(sources)
    time : In(64)
        In ns.
    head : Out(HeadSignature())
    pending : Out(32)
        Events in the queue.
    room : Out(1)
        At least 16 more events fit (half the depth if that is less), as of the cycle before: none
        of them that is taken from its source up to `ROOM_LASTS` cycles later is lost.
    lost : Out(8)
        Events lost in this cycle.
    """

    ROOM_LASTS = ROOM - 4

    def __init__(self, *, symbols: int, sources: int, depth: int) -> None:
        if not 1 <= sources <= MAX_SOURCES:
            raise ValueError(f"sources must be 1 to {MAX_SOURCES}, not {sources}")
        if depth < 2:
            raise ValueError(f"depth must be at least 2 events, not {depth}")
        self._symbols, self._depth = symbols, depth
        super().__init__(
            {
                "sources": In(stream.Signature(Event(symbols), always_ready=True)).array(sources),
                "time": In(64),
                "head": Out(HeadSignature()),
                "pending": Out(32),
                "room": Out(1),
                "lost": Out(8),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        layout = _Record(self._symbols)
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=layout.size, depth=self._depth)
        record = Signal(layout)
        sequence = Signal(32)
        waiting, overtaken = [], []
        taken = Const(0, 1)
        for n, source in enumerate(self.sources):
            held = Signal(_Record(self._symbols), name=f"held_{n}")
            full = Signal(name=f"full_{n}")
            go = full & ~taken
            taken = taken | full
            waiting.append((go, held))
            overtaken.append(source.valid & full & ~go)
            with m.If(go):
                m.d.sync += full.eq(0)
            with m.If(source.valid & (go | ~full)):
                m.d.sync += [
                    full.eq(1),
                    held.event.eq(source.payload),
                    held.time.eq(self.time),
                ]
        for go, held in waiting:
            with m.If(go):
                m.d.comb += record.eq(held)
        refused = Signal()
        numbers = Signal(8)
        m.d.comb += [
            record.sequence.eq(sequence),
            fifo.w_data.eq(record),
            fifo.w_en.eq(taken),
            refused.eq(taken & ~fifo.w_rdy),
            numbers.eq(sum(overtaken)),
            self.lost.eq(numbers + refused),
            self.pending.eq(fifo.level),
        ]
        m.d.sync += self.room.eq(fifo.level <= self._depth - min(ROOM, self._depth // 2))
        m.d.sync += sequence.eq(sequence + numbers + taken)
        self._show(m, fifo)
        return m

    def _show(self, m: Module, fifo: SyncFIFOBuffered) -> None:
        # A block RAM without an output register is slow, and nobody waits for what it shows.
        head = Signal(_Record(self._symbols))
        delivered, acknowledge, matches = Signal(), Signal(), Signal()
        m.d.sync += [
            head.eq(fifo.r_data),
            self.head.present.eq(fifo.r_rdy),
            acknowledge.eq(self.head.acknowledge),
            matches.eq(self.head.acknowledged == (head.sequence + 1)[:32]),
        ]
        words = [Signal(32, name=f"word_{n}") for n in range(RECORD_WORDS)]
        record = Cat(words)
        for field in FIELDS:
            value = head[field.name] if field.stamped else head.event[field.name]
            m.d.comb += record[field.offset : field.offset + field.width].eq(value)
        with m.Switch(self.head.index):
            for n, word in enumerate(words):
                with m.Case(n):
                    m.d.comb += self.head.word.eq(word)
        with m.If(self.head.delivered & self.head.present):
            m.d.sync += delivered.eq(1)
        with m.If(acknowledge & delivered & matches):
            m.d.comb += fifo.r_en.eq(1)
            m.d.sync += delivered.eq(0)
