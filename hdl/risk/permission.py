"""What a symbol allows at all: sides, times in force, prices on the tick, quantities of whole lots.

Ref: docs/risk.md, gates 25 (permission) and 26 (tick and lot); SEC rule 612 for ticks, rule 600
for round lots; the divisibility of a number by an odd one without a division is that of Granlund
and Montgomery, "Division by invariant integers using multiplication", section 9.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.risk.limits import Limits
from tickgate.hdl.stream import Proposal, Side
from tickgate.spec.gates import LOT_SIZES, ORDER_TICKS, TIMES_IN_FORCE

__all__ = ["Permission", "TickAndLot"]

_WORD = 1 << 32


class Permission(wiring.Component):
    """Gate 25: the side and the time in force are among those that the symbol allows.

    Latency: `LATENCY` from the preview to the gate. Throughput: one preview a cycle.

    A time in force that no bit stands for is not allowed.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(Proposal(symbols))
    limits : In(Limits)
        Limits of the preview's symbol, in the cycle of the preview.
    time_in_force : In(8)
        The OUCH code that every order has.
    permitted : Out(1)
    """

    LATENCY = 1

    def __init__(self, *, symbols: int) -> None:
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "time_in_force": In(8),
                "permitted": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        side, limits = self.preview.side, self.limits
        in_time = 0
        for bit, code in enumerate(TIMES_IN_FORCE):
            in_time |= limits.allow_time_in_force[bit] & (self.time_in_force == ord(code))
        m.d.sync += self.permitted.eq(
            Mux(side == Side.BUY, limits.allow_buy, limits.allow_sell) & in_time
        )
        return m


class TickAndLot(wiring.Component):
    """Gate 26: the price is a multiple of the symbol's tick, the quantity one of its lot.

    Latency: `LATENCY` from the preview to the gate. Throughput: one preview a cycle.

    Ticks and lots that are not in the tables of `tickgate.spec.gates`, such as 0, refuse.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(Proposal(symbols))
    limits : In(Limits)
        Limits of the preview's symbol, in the cycle of the preview.
    on_grid : Out(1)
    """

    LATENCY = 1

    def __init__(self, *, symbols: int) -> None:
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "on_grid": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        on_tick = self._multiple(m, "tick", self.preview.price, self.limits.order_tick, ORDER_TICKS)
        in_lots = self._multiple(m, "lot", self.preview.quantity, self.limits.lot_size, LOT_SIZES)
        m.d.comb += self.on_grid.eq(on_tick & in_lots)
        return m

    def _multiple(self, m: Module, name: str, value, step, steps):
        """Whether `value` is a multiple of `step`, which is one of `steps`, in the next cycle."""
        held = Signal(8, name=f"{name}_step")
        m.d.sync += held.eq(step)
        odd_parts = {each: each // (each & -each) for each in steps}
        divides = {
            odd: self._divides(m, f"{name}_{odd}", value, odd)
            for odd in sorted(set(odd_parts.values()))
        }
        passes = 0
        for each, odd in odd_parts.items():
            twos = Signal(name=f"{name}_{each}_twos")
            m.d.sync += twos.eq((value & ((each & -each) - 1)) == 0)
            passes |= (held == each) & twos & divides[odd]
        return passes

    @staticmethod
    def _divides(m: Module, name: str, value, odd: int):
        """Whether `odd` divides `value`, of 32 bits, in the next cycle.

        It does if and only if value / odd modulo 2**32 is at most (2**32 - 1) / odd.
        """
        if odd == 1:
            return 1
        inverse = pow(odd, -1, _WORD)
        low, high = Signal(32, name=f"{name}_low"), Signal(16, name=f"{name}_high")
        quotient = Signal(32, name=f"{name}_quotient")
        m.d.sync += [low.eq(value[:16] * inverse), high.eq(value[16:] * (inverse & 0xFFFF))]
        m.d.comb += quotient.eq(low + (high << 16))
        return quotient <= (_WORD - 1) // odd
