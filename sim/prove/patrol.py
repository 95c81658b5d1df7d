"""What is proved of the patrol: it comes to every symbol in time, and tells each cause once.

Ref: docs/risk.md, consequence P.
"""

from amaranth.hdl import Cat, Module, Mux, Signal

from tickgate.hdl.risk.patrol import Patrol
from tickgate.sim.prove.engine import Harness, Method, Property
from tickgate.sim.prove.opened import opened, read

__all__ = ["PROPERTIES"]

SYMBOLS = 3


class PatrolHarness(Harness):
    """A patrol whose looks are at what it wanted a cycle ago, or at what a preview names."""

    def __init__(self) -> None:
        super().__init__(
            {
                "which": range(SYMBOLS),
                "previews": 1,
                "preview": range(SYMBOLS),
                "judged": range(SYMBOLS),
                "fails": 1,
            },
            {"since": 8},
            claims=("time", "once"),
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        patrol = Patrol(symbols=SYMBOLS)
        patrol_inside = opened(m, "patrol", patrol)
        before, previewed, looked = Signal(range(SYMBOLS)), Signal(), Signal(range(SYMBOLS))
        m.d.comb += [
            looked.eq(Mux(self.previews, self.preview, before)),
            patrol.looked.eq(looked),
            patrol.judged.eq(self.judged),
            patrol.fails.eq(self.fails),
        ]
        m.d.sync += [before.eq(patrol.wanted), previewed.eq(self.previews)]
        within = Cat(self.preview < SYMBOLS, self.judged < SYMBOLS, self.which < SYMBOLS).all()
        contract = within & ~(self.previews & previewed) & self.stays(m, self.which)
        self._time(m, patrol, contract, looked)
        kept = read(m, patrol_inside, "memory", self.which)
        self._once(m, patrol, contract, kept)
        return m

    def _time(self, m: Module, patrol: Patrol, contract, looked) -> None:
        """Cycles since a look at the symbol began."""
        since = Signal(8)
        m.d.sync += since.eq(Mux(looked == self.which, 1, since + 1))
        m.d.comb += [
            self.since.eq(since),
            self.assumed_time.eq(contract),
            self.holds_time.eq(since <= Patrol.cycles(SYMBOLS)),
            self.seen_time.eq(since == Patrol.cycles(SYMBOLS) - 1),
        ]

    def _once(self, m: Module, patrol: Patrol, contract, kept) -> None:
        failed, tells = Signal(), Signal()
        its = self.judged == self.which
        with m.If(its):
            m.d.sync += failed.eq(self.fails)
        m.d.sync += tells.eq(its & self.fails & ~failed)
        pulls = patrol.pulls
        m.d.comb += [
            self.assumed_once.eq(contract),
            self.holds_once.eq(
                ((pulls.valid & (pulls.payload == self.which)) == tells) & (kept == failed)
            ),
            self.seen_once.eq(pulls.valid & its & ~self.fails),
        ]


PROPERTIES = (
    Property(
        name="pulled-once",
        component="risk: patrol",
        about="consequence P",
        claim="a symbol is told exactly in the cycle after a look at it that failed, while the one "
        "before did not or there was none",
        contract="symbols are those that there are",
        size=f"{SYMBOLS} symbols",
        cover="it is told and has recovered",
        method=Method.INDUCTION,
        depth=2,
        reached=1,
        make=PatrolHarness,
        of_many="once",
    ),
    Property(
        name="looked-at-in-time",
        component="risk: patrol",
        about="consequence P",
        claim="between the beginnings of two looks at any symbol there are at most "
        "`Patrol.cycles` cycles, three times as many as symbols",
        contract="a look is at what was wanted in the cycle before, unless a preview comes; no two "
        "previews come in a row",
        size=f"{SYMBOLS} symbols",
        cover="it takes one cycle less than that",
        method=Method.BOUNDED,
        depth=24,
        reached=8,
        make=PatrolHarness,
        of_many="time",
    ),
)
