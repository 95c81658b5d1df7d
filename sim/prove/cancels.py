"""What is proved of the cancels that a cause makes: they are written in a bounded time.

Ref: docs/risk.md, theorem 10.
"""

from amaranth.hdl import Cat, Module, Mux, Signal

from tickgate.hdl.order.cancels import PACKET_SIZE, Canceller, Stage
from tickgate.sim.prove.engine import Harness, Method, Property

__all__ = ["PROPERTIES"]

SLOTS, SYMBOLS, TOGETHER = 8, 2, 3


CAUSES = ("sent", "cancel_all", "pull", "cancel", "stopped")
EVENTS = ("ends", "answers", "clear")
NUMBERS = ("number", "cancel_number", "ended", "answered")


class CancelHarness(Harness):
    """A canceller, and how many cycles it has left at most until all is written."""

    def __init__(self) -> None:
        super().__init__(
            {
                **dict.fromkeys((*CAUSES, *EVENTS, "open", "closed", "ready"), 1),
                **dict.fromkeys(NUMBERS, 32),
                **dict.fromkeys(("symbol", "pull_symbol"), range(SYMBOLS)),
            },
            {"left": 16, "wanted": SLOTS, "stage": Stage, "octet": range(PACKET_SIZE)},
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.canceller = canceller = Canceller(
            slots=SLOTS, symbols=SYMBOLS, segment_size=TOGETHER * PACKET_SIZE
        )
        writer, octets = canceller.writer, canceller.octets
        for name in (*CAUSES, *EVENTS, *NUMBERS, "symbol", "pull_symbol", "open", "closed"):
            m.d.comb += getattr(canceller, name).eq(getattr(self, name))
        # A cause, or something in the way, leaves as much to do as before, or more.
        stopped, cancelled, calm, was_calm = Signal(), Signal(), Signal(), Signal()
        before, follows = Signal.like(self.left), Signal()
        m.d.sync += [
            stopped.eq(self.stopped),
            cancelled.eq(self.cancel),
            was_calm.eq(calm),
            before.eq(self.left),
        ]
        caused = self.sent | self.cancel_all | self.pull | cancelled | (self.stopped & ~stopped)
        m.d.comb += [
            calm.eq(self.open & self.ready & ~caused),
            octets.ready.eq(self.ready),
            follows.eq((writer.stage == Stage.END) & ~writer.last),
            self.wanted.eq(canceller.wanted),
            self.stage.eq(writer.stage),
            self.octet.eq(writer.at),
            self.left.eq(self._left(m, canceller)),
            self.assumed.eq(~(self.open & self.closed)),
            self.holds.eq(
                (self.left < Canceller.cycles(SLOTS))
                & Mux(
                    writer.stage == Stage.WRITE,
                    writer.at < PACKET_SIZE - 1,
                    writer.at == Mux(writer.stage == Stage.IDLE, 0, PACKET_SIZE - 1),
                )
                & (writer.count + follows < TOGETHER)
                & (~was_calm | (self.left < before) | (self.left == 0))
            ),
            self.seen.eq(octets.valid & octets.payload.last),
        ]
        return m

    @staticmethod
    def _left(m: Module, canceller: Canceller):
        """Of the one that is being written; of each that waits; and until the farthest is found."""
        writer, wanted = canceller.writer, canceller.wanted
        ahead, farthest, count = Signal(SLOTS), Signal(range(SLOTS)), Signal(range(SLOTS + 1))
        m.d.comb += [
            ahead.eq(Cat(wanted, wanted) >> canceller.at),
            count.eq(sum(wanted[n] for n in range(SLOTS))),
        ]
        for n in range(SLOTS):
            with m.If(ahead[n]):
                m.d.comb += farthest.eq(n)
        writing, whole = Signal(range(2 * PACKET_SIZE)), PACKET_SIZE + 1
        with m.Switch(writer.stage):
            with m.Case(Stage.WRITE):
                m.d.comb += writing.eq(whole - writer.at)
            with m.Case(Stage.JOIN):
                m.d.comb += writing.eq(2)
            with m.Case(Stage.END):
                m.d.comb += writing.eq(Mux(writer.last, 1, 1 + whole))
        return writing + (whole + 1) * count + farthest


PROPERTIES = (
    Property(
        name="cancels-in-time",
        component="order: cancels",
        about="theorem 10",
        claim="each cycle without a cause brings the last octet of the last cancel nearer, until "
        "it is written; it is never farther than `Canceller.cycles`; and no segment has more "
        "cancels than it may",
        contract="in that cycle the session is open and takes the octet; it is never both open "
        "and closed",
        size=f"{SLOTS} slots, {TOGETHER} cancels in a segment",
        cover="the last octet of a segment is written",
        method=Method.INDUCTION,
        depth=2,
        reached=14,
        make=CancelHarness,
    ),
)
