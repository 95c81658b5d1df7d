"""Whether orders may leave at all.

Ref: docs/risk.md, gate 1 (armed) and theorems 3 and 4.
"""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.spec.registers import ARMED_CODE, DISARMED_CODE

__all__ = ["KILLED_CODE", "NOT_KILLED_CODE", "Arming"]

NOT_KILLED_CODE = 0x96
KILLED_CODE = 0x69


class Arming(wiring.Component):
    """Keeps whether the card is armed and whether it is killed.

    Latency: `LATENCY` cycles from a strobe to its effect.

    Both are kept as codes of eight bits, and whatever is not exactly the code for armed is
    disarmed, whatever is not exactly the code for not killed is killed: a flipped bit stops orders.
    Reset leaves the card disarmed. A kill disarms too, and wins over all else in its cycle; a
    disarm wins over an arm.

    Members
    -------
    arm, disarm, kill, clear_kill : In(1)
        Strobes. `arm` counts only while `armable`, `clear_kill` only while disarmed.
    prepared : In(1)
        All but a kill that the card needs to be armed: configuration, tables.
    armed, killed : Out(1)
    armed_code, killed_code : Out(8)
        The codes themselves.
    armable : Out(1)
        `prepared` and not killed.
    corrupt : Out(1)
        One of the codes is none.
    """

    LATENCY = 1

    arm: In(1)
    disarm: In(1)
    kill: In(1)
    clear_kill: In(1)
    prepared: In(1)
    armed: Out(1)
    killed: Out(1)
    armed_code: Out(8, init=DISARMED_CODE)
    killed_code: Out(8, init=NOT_KILLED_CODE)
    armable: Out(1)
    corrupt: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.comb += [
            self.killed.eq(self.killed_code != NOT_KILLED_CODE),
            self.armed.eq((self.armed_code == ARMED_CODE) & ~self.killed),
            self.armable.eq(self.prepared & ~self.killed),
            self.corrupt.eq(
                ((self.armed_code != ARMED_CODE) & (self.armed_code != DISARMED_CODE))
                | ((self.killed_code != KILLED_CODE) & (self.killed_code != NOT_KILLED_CODE))
            ),
        ]
        with m.If(self.kill):
            m.d.sync += [self.killed_code.eq(KILLED_CODE), self.armed_code.eq(DISARMED_CODE)]
        with m.Elif(self.disarm | self.killed):
            m.d.sync += self.armed_code.eq(DISARMED_CODE)
        with m.Elif(self.arm & self.armable):
            m.d.sync += self.armed_code.eq(ARMED_CODE)
        with m.If(self.clear_kill & ~self.armed & ~self.kill):
            m.d.sync += self.killed_code.eq(NOT_KILLED_CODE)
        return m
