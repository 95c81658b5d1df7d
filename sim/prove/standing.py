"""What is proved of the gates that are judged outside of the risk gate.

Ref: docs/risk.md.
"""

from amaranth.hdl import Cat, Module, Signal, Value

from tickgate.hdl.control.arming import Arming
from tickgate.hdl.control.kill import Causes, KillSources
from tickgate.sim.prove.engine import Harness, Method, Property

__all__ = ["PROPERTIES"]


class KillHarness(Harness):
    """What kills the card and what it knows of that, beside the causes that have come."""

    def __init__(self) -> None:
        strobes = dict.fromkeys(("arm", "disarm", "clear", "prepared"), 1)
        super().__init__({"now": Causes, **strobes}, {"causes": Causes, "killed": 1, "armed": 1})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.arming = arming = Arming()
        m.submodules.sources = sources = KillSources()
        now = Value.cast(self.now)
        m.d.comb += [
            sources.now.eq(self.now),
            sources.killed.eq(arming.killed),
            # As the bank of registers gives the command.
            sources.clear.eq(self.clear & ~arming.armed),
            arming.clear_kill.eq(sources.clear),
            arming.kill.eq(sources.kill),
            arming.arm.eq(self.arm),
            arming.disarm.eq(self.disarm),
            arming.prepared.eq(self.prepared),
            self.causes.eq(sources.causes),
            self.killed.eq(arming.killed),
            self.armed.eq(arming.armed),
        ]
        came, cleared = Signal.like(now), Signal()
        with m.If(now.any()):
            m.d.sync += came.eq(came | now)
        with m.Elif(sources.clear):
            m.d.sync += [came.eq(0), cleared.eq(cleared | came.any())]
        m.d.comb += [
            self.assumed.eq(1),
            self.holds.eq(
                Cat(
                    Value.cast(sources.causes) == came,
                    sources.passes == ~came.any(),
                    arming.killed == came.any(),
                    ~(came.any() & arming.armed),
                    ~arming.corrupt,
                ).all()
            ),
            self.seen.eq(cleared & came.all()),
        ]
        return m


PROPERTIES = (
    Property(
        name="kill-causes",
        component="control: kill",
        about="gate 2",
        claim="from the cycle after any cause on the card is killed and disarmed, gate 2 fails, "
        "and `kill_causes` names that cause, until the kill is cleared in a cycle without one; "
        "without a cause the card is not killed, and gate 2 passes",
        contract="none",
        size="all causes",
        cover="all causes at once, after an earlier kill was cleared",
        method=Method.INDUCTION,
        depth=1,
        reached=3,
        make=KillHarness,
    ),
)
