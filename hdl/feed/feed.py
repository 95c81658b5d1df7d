"""The feed: from UDP payload to decoded messages in sequence.

Ref: MoldUDP64 Protocol Specification 1.00; NASDAQ TotalView-ITCH 5.0; docs/architecture.md,
"The feed".
"""

from amaranth.hdl import Module, Mux, ResetInserter
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.feed.decoder import Decoder
from tickgate.hdl.feed.lines import GAP_WAIT_BITS, LINE_TIMEOUT_BITS
from tickgate.hdl.feed.mold import AMOUNTS, Mold
from tickgate.hdl.feed.recovery import RECOVERY_WAIT_BITS
from tickgate.hdl.feed.symbols import SymbolTable
from tickgate.hdl.stream import SOURCES, Lookup, Message, Span, pipe, require_width

__all__ = ["Feed"]


class Feed(wiring.Component):
    """Gives every well-formed message that is due, once and in order, and says what is missing.

    Latency: `LATENCY` cycle from the word with the last octet of a message to `message`; 0 cycles
    from the word with the last octet of an order reference to `lookup` and `lookup_new`.
    Throughput: one word a cycle for ever, at any mix of messages.

    The rules of sequence are those of :class:`Mold`, those of messages those of :class:`Decoder`.
    A gap that the header of a datagram shows comes before or with its first message.

    Parameters
    ----------
    width : int
        Octets a cycle.
    symbols : int
        Symbols that can be tracked.
    locate_bits : int
        Stock locates below 2**locate_bits can be tracked.

    Members
    -------
    payload : In(stream of Span)
        UDP payload; see :class:`Mold`.
    line : In(range(len(SOURCES)))
        The source of a datagram, in the word that completes its header.
    cut, frame_bad : In(1)
        The frame of the last datagram was short, or damaged.
    tick : In(1), gap_wait : In(16), line_timeout, recovery_wait : In(24)
        A microsecond has passed; see :class:`Mold` for what is counted in them.
    give_up : In(1)
        What is due is not asked for any more.
    cycle : In(16)
        Counter of cycles, for the stamps.
    restart : In(1), start_sequence : In(64)
        Forgets the session and expects this sequence number; a datagram on its way is dropped.
    write : In(1), write_locate : In(16), write_symbol : In(range(symbols)), write_tracked : In(1)
        The host tracks a stock locate as a symbol, or no longer. Lost before `ready`.
    forget : In(1)
        Clears the table of stock locates; `ready` is low until that is done.
    ready : Out(1)
        The table of stock locates is clear after reset or `forget`, but for what was written since.
    lookup, lookup_new : Out(stream of Lookup)
        The reference of a message that changes a book, tracked or not, and the new one of a
        replacement. A message follows, unless its datagram breaks off or its side is bad.
    near, near_new : Out(1)
        A look-up may come in this cycle; see :class:`Decoder`.
    message : Out(stream of Message)
        Fields that the kind does not have are undefined, but `printable` is 1 and `code` is 0;
        so is the symbol of what is not tracked.
    gap : Out(1), gap_sequence : Out(32)
        Nothing built from earlier messages is whole. The number is that of the first message of
        the datagram that shows it, or what was due if that has no complete header.
    expected : Out(64)
        The sequence number due next.
    known, ended, waiting : Out(1), alive : Out(len(LINES))
        A session is known; its end was told; what one line missed is waited for; lines alive.
    recovering : Out(1), due_session : Out
        What is due is to be asked for; it is of this session.
    (others) : Out
        Counter strobes and amounts, see `COUNTERS`.
    """

    LATENCY = Mold.LATENCY + Decoder.LATENCY
    COUNTERS = ("messages", "tracked_messages", *Decoder.COUNTERS, *Mold.COUNTERS)

    def __init__(self, *, width: int, symbols: int, locate_bits: int = 14) -> None:
        require_width(width)
        self._width, self._symbols, self._locate_bits = width, symbols, locate_bits
        super().__init__(
            {
                "payload": In(stream.Signature(Span(width), always_ready=True)),
                "line": In(range(len(SOURCES))),
                "cut": In(1),
                "frame_bad": In(1),
                "tick": In(1),
                "gap_wait": In(GAP_WAIT_BITS),
                "line_timeout": In(LINE_TIMEOUT_BITS),
                "recovery_wait": In(RECOVERY_WAIT_BITS),
                "give_up": In(1),
                "cycle": In(16),
                "restart": In(1),
                "start_sequence": In(64),
                "write": In(1),
                "write_locate": In(16),
                "write_symbol": In(range(symbols)),
                "write_tracked": In(1),
                "forget": In(1),
                "ready": Out(1),
                "lookup": Out(stream.Signature(Lookup, always_ready=True)),
                "lookup_new": Out(stream.Signature(Lookup, always_ready=True)),
                "near": Out(1),
                "near_new": Out(1),
                "message": Out(stream.Signature(Message(symbols), always_ready=True)),
                "gap": Out(1),
                "gap_sequence": Out(32),
                "expected": Out(64),
                **Mold.STATE,
                **{name: Out(AMOUNTS.get(name, 1)) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.mold = mold = Mold(width=self._width)
        m.submodules.decoder = decoder = Decoder(width=self._width, symbols=self._symbols)
        symbols = SymbolTable(symbols=self._symbols, locate_bits=self._locate_bits)
        m.submodules.symbols = ResetInserter(self.forget)(symbols)
        pipe(m, wiring.flipped(self.payload), mold.payload)
        pipe(m, mold.blocks, decoder.blocks)
        pipe(m, decoder.lookup, wiring.flipped(self.lookup))
        pipe(m, decoder.lookup_new, wiring.flipped(self.lookup_new))
        pipe(m, decoder.message, wiring.flipped(self.message))
        for name in (
            *("line", "cut", "frame_bad", "tick", "gap_wait", "line_timeout"),
            *("recovery_wait", "give_up", "restart", "start_sequence"),
        ):
            m.d.comb += getattr(mold, name).eq(getattr(self, name))
        for name in Mold.STATE:
            m.d.comb += getattr(self, name).eq(getattr(mold, name))
        for name in ("write", "write_locate", "write_symbol", "write_tracked"):
            m.d.comb += getattr(symbols, name).eq(getattr(self, name))
        m.d.comb += [
            decoder.cycle.eq(self.cycle),
            self.near.eq(decoder.near),
            self.near_new.eq(decoder.near_new),
            symbols.find.eq(decoder.find),
            symbols.locate.eq(decoder.locate),
            decoder.tracked.eq(symbols.tracked),
            decoder.symbol.eq(symbols.symbol),
            self.ready.eq(symbols.ready),
            self.expected.eq(mold.expected),
            self.gap.eq(mold.gap | decoder.gap),
            self.gap_sequence.eq(Mux(mold.gap, mold.gap_sequence, mold.first_sequence)),
            self.messages.eq(self.message.valid),
            self.tracked_messages.eq(self.message.valid & self.message.payload.tracked),
        ]
        for part in (decoder, mold):
            for name in part.COUNTERS:
                m.d.comb += getattr(self, name).eq(getattr(part, name))
        return m
