# amaranth: UnusedElaboratable=no
"""Cancels own orders: all that are open, or one, once there is a cause.

Ref: OUCH 5.0, section 2 (Cancel Order) and 3 (Cancel Pending, Cancel Reject); docs/proofs.md,
`cancels-in-time`.
"""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from tickgate.hdl.bits import bit_of, one_hot
from tickgate.hdl.order.tcp.staging import HostOctet
from tickgate.hdl.stream import pipe
from tickgate.hdl.wire import place
from tickgate.spec import ouch50, soupbintcp

__all__ = ["PACKET_SIZE", "Canceller", "Stage"]

CANCEL_ORDER = ouch50.INBOUND["X"]
PACKET_SIZE = soupbintcp.HEADER.size + CANCEL_ORDER.size


class Stage(enum.Enum, shape=2):
    """What is being done: JOIN looks for a cancel that follows in the same segment.

    The last octet of one tells whether one follows, and so END sends it when that is known.
    """

    IDLE = 0
    WRITE = 1
    JOIN = 2
    END = 3


class _Writer(wiring.Component):
    """Writes Cancel Orders, as many together as fit in a segment.

    Latency: 1 cycle from `takes` to the first octet. Throughput: one every PACKET_SIZE + 1 cycles,
    one cycle more after the last of a segment.

    Members
    -------
    may : In(1)
        The session takes another one.
    any : In(1), here : In(1), number : In(32)
        Some order is to be cancelled; it is this one.
    takes : Out(1)
        This one is written next.
    octets : Out(stream of HostOctet)
        `last` ends what is sent together.

    `stage`, `at`, `count`, `last` are its registers: octets and cancels of the segment before this
    one, and whether it is the last one.
    """

    def __init__(self, *, together: int) -> None:
        self._together = together
        self.stage, self.at = Signal(Stage), Signal(range(PACKET_SIZE))
        self.count, self.last = Signal(range(together)), Signal()
        super().__init__(
            {
                "may": In(1),
                "any": In(1),
                "here": In(1),
                "number": In(32),
                "takes": Out(1),
                "octets": Out(stream.Signature(HostOctet)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        number, ready = Signal(32), Signal()
        at, count, last = self.at, self.count, self.last
        # Quantity 0 is all of it.
        octets = place(
            (soupbintcp.HEADER, CANCEL_ORDER),
            {
                soupbintcp.HEADER.name: {
                    "length": PACKET_SIZE - soupbintcp.LENGTH_SIZE,
                    "type": ord(soupbintcp.UNSEQUENCED_DATA),
                },
                CANCEL_ORDER.name: {"type": ord(CANCEL_ORDER.type), "user_ref_num": number},
            },
        )
        with m.Switch(at):
            for n, octet in enumerate(octets):
                with m.Case(n):
                    m.d.comb += self.octets.payload.data.eq(octet)
        m.d.comb += self.takes.eq(ready & self.here)
        with m.If(self.takes):
            m.d.sync += number.eq(self.number)
        with m.Switch(self.stage):
            with m.Case(Stage.IDLE):
                m.d.comb += ready.eq(self.may)
                with m.If(self.takes):
                    m.d.sync += self.stage.eq(Stage.WRITE)
            with m.Case(Stage.WRITE):
                m.d.comb += self.octets.valid.eq(1)
                with m.If(self.octets.ready):
                    m.d.sync += at.eq(at + 1)
                    with m.If(at == PACKET_SIZE - 2):
                        m.d.sync += self.stage.eq(Stage.JOIN)
            with m.Case(Stage.JOIN):
                full = count == self._together - 1
                with m.If(full | ~self.may | ~self.any):
                    m.d.sync += [last.eq(1), self.stage.eq(Stage.END)]
                with m.Else():
                    m.d.comb += ready.eq(1)
                    with m.If(self.takes):
                        m.d.sync += [last.eq(0), self.stage.eq(Stage.END)]
            with m.Case(Stage.END):
                m.d.comb += [self.octets.valid.eq(1), self.octets.payload.last.eq(last)]
                with m.If(self.octets.ready):
                    m.d.sync += [
                        at.eq(0),
                        count.eq(Mux(last, 0, count + 1)),
                        self.stage.eq(Mux(last, Stage.IDLE, Stage.WRITE)),
                    ]
        return m


class Canceller(wiring.Component):
    """Has each order cancelled that is open when there is a cause, or is sent while one lasts.

    Latency: from a cause to the last octet of the last cancel at most `cycles(slots)` cycles, while
    `open` and `octets.ready`. Throughput: one cancel every PACKET_SIZE + 3 cycles or better.

    A cause makes a cancel of each order that it concerns and that is open, unless one was sent
    that is not answered yet. It waits until it can be sent, or the order has ended. It is answered
    by the end of the order, or by Cancel Pending or Cancel Reject, after which the order is open
    as before; only another cause makes another cancel of it. What was sent on a connection that
    has ended, and not answered, is sent again.

    Parameters
    ----------
    slots : int
        Of `OrderManager`.
    symbols : int
    segment_size : int
        Most octets that are sent together.

    Members
    -------
    sent : In(1), number : In(32), symbol : In(range(symbols))
        An order of this symbol leaves, with this number.
    ends : In(1), ended : In(32)
        This one may not be executed any more.
    answers : In(1), answered : In(32)
        The cancel of this one was answered.
    stopped : In(1)
        A cause for all, as long as it is high.
    cancel_all : In(1)
        A cause for all that were sent before this cycle or leave in it.
    pull : In(1), pull_symbol : In(range(symbols))
        A cause for all of this symbol that were sent before this cycle.
    cancel : In(1), cancel_number : In(32)
        A cause for this one; not in two cycles in a row.
    found : Out(1)
        That one was open, 2 cycles later and until the next.
    open : In(1), closed : In(1)
        Cancels may be sent; there is no connection.
    octets : Out(stream of HostOctet)
        Of `OrderSession`.
    waits, asked : Out(1)
        Some cancel is yet to be sent; some was sent and is not answered. A cycle late.
    cancels : Out(1)
        Counter strobe: a cancel is written.
    clear : In(1)
        All orders are forgotten.

    `writer`, `wanted`, `at` are what is inside: one bit for each slot whose cancel is to be sent,
    and where it is looked for one.
    """

    CYCLES_EACH = PACKET_SIZE + 3

    @classmethod
    def cycles(cls, slots: int) -> int:
        """From a cause to the last octet of the last cancel, at most: one may be under way."""
        return cls.CYCLES_EACH * (slots + 1)

    def __init__(self, *, slots: int, symbols: int, segment_size: int) -> None:
        if segment_size < PACKET_SIZE:
            raise ValueError(f"segment_size must be at least {PACKET_SIZE}, not {segment_size}")
        self._slots, self._slot_bits = slots, exact_log2(slots)
        self.together = segment_size // PACKET_SIZE
        self.writer = _Writer(together=self.together)
        self.wanted, self.at = Signal(slots), Signal(self._slot_bits)
        super().__init__(
            {
                "sent": In(1),
                "number": In(32),
                "symbol": In(range(symbols)),
                "ends": In(1),
                "ended": In(32),
                "answers": In(1),
                "answered": In(32),
                "stopped": In(1),
                "cancel_all": In(1),
                "pull": In(1),
                "pull_symbol": In(range(symbols)),
                "cancel": In(1),
                "cancel_number": In(32),
                "found": Out(1),
                "open": In(1),
                "closed": In(1),
                "octets": Out(stream.Signature(HostOctet)),
                "waits": Out(1),
                "asked": Out(1),
                "cancels": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        writer = self.writer
        m.submodules.writer = ResetInserter(self.closed)(writer)
        pipe(m, writer.octets, wiring.flipped(self.octets))
        bits = self._slot_bits
        m.submodules.kept = kept = memory.Memory(shape=32 - bits, depth=self._slots, init=[])
        write, read = kept.write_port(), kept.read_port(domain="comb")
        wanted, at = self.wanted, self.at
        looks, look = Signal(), Signal(32)
        here = bit_of(wanted, at)
        m.d.sync += [looks.eq(self.cancel), look.eq(self.cancel_number)]
        m.d.comb += [
            write.en.eq(self.sent),
            write.addr.eq(self.number[:bits]),
            write.data.eq(self.number[bits:]),
            read.addr.eq(Mux(looks, look[:bits], at)),
            writer.may.eq(self.open),
            writer.any.eq(wanted.any()),
            writer.here.eq(here & ~looks),
            writer.number.eq(Cat(at, read.data)),
            self.cancels.eq(writer.takes),
        ]
        with m.If(wanted.any() & ~here):
            m.d.sync += at.eq(at + 1)
        masks = {
            name: Mux(when, one_hot(m, number, self._slots, name=name), 0)
            for name, when, number in (
                ("sent", self.sent, self.number[:bits]),
                ("ended", self.ends, self.ended[:bits]),
                ("answered", self.answers, self.answered[:bits]),
                ("taken", writer.takes, at),
                ("named", looks & (read.data == look[bits:]), look[:bits]),
            )
        }
        self._decide(m, wanted, looks, **masks)
        return m

    def _decide(self, m: Module, wanted, looks, *, sent, ended, answered, taken, named) -> None:
        """Which orders are open, whose cancel is wanted, and whose was asked for."""
        alive, asked, was_stopped = (Signal(self._slots), Signal(self._slots), Signal())
        every = self.cancel_all | (self.stopped & ~was_stopped)
        pulled = self._of_symbol(m, sent) & self.pull.replicate(self._slots)
        concerned = alive & (named | pulled | every.replicate(self._slots))
        again = asked & self.closed.replicate(self._slots)
        unanswered = (asked | taken) & ~answered & ~again
        new = sent & (self.stopped | every).replicate(self._slots)
        m.d.sync += [
            was_stopped.eq(self.stopped),
            alive.eq((alive & ~ended) | sent),
            asked.eq(unanswered & ~ended & ~sent),
            wanted.eq(
                (((wanted & ~taken) | again | (concerned & ~unanswered)) & ~ended & ~sent) | new
            ),
            self.waits.eq(wanted.any()),
            self.asked.eq(asked.any()),
        ]
        with m.If(looks):
            m.d.sync += self.found.eq((named & alive).any())
        with m.If(self.clear):
            m.d.sync += [alive.eq(0), asked.eq(0), wanted.eq(0)]

    def _of_symbol(self, m: Module, sent):
        """A bit for each slot whose order is of the symbol that is pulled."""
        symbols = [Signal.like(self.symbol, name=f"symbol_{n}") for n in range(self._slots)]
        for n, symbol in enumerate(symbols):
            with m.If(sent[n]):
                m.d.sync += symbol.eq(self.symbol)
        return Cat(symbol == self.pull_symbol for symbol in symbols)
