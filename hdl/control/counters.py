"""The counters of the card: what they count, collected bit by bit and added up in one memory.

Ref: tickgate.spec.registers.
"""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.control.bus import Access
from tickgate.hdl.control.registers import amounts_of, registers_of
from tickgate.hdl.memory import TableMemory
from tickgate.spec.registers import Kind, Register

__all__ = ["CounterBank"]


class CounterBank(wiring.Component):
    """All counters of the table: 32 bits, modulo 2**32, 0 after reset.

    Each counter collects in a few bits of its own. One after the other, one a cycle, what they have
    collected is added to their totals, which are in a memory. The one that is asked for has its
    turn at once, so that nothing is missing from what the host reads.

    Latency: an amount is in every reading whose `valid` comes `LATENCY` cycles later, or more;
    `READ_LATENCY` cycles from `valid` of the bus to `value`. Throughput: all of them count in every
    cycle; one is read every `BusSignature.LATENCY` cycles.

    Members
    -------
    count : In(wiring.Signature)
        For each counter by name, the amount by which it rises in this cycle.
    valid : In(1), access : In(Access)
        What is on the bus of the registers.
    value : Out(32)
        The value of the counter at its address; 0 where there is none.
    """

    LATENCY = 1
    READ_LATENCY = 3
    ROUNDS = 3
    """How long a counter may have to wait for its turn: the sweep of the totals, a round, and the
    turns that others have out of turn."""

    def __init__(self) -> None:
        self._counters = registers_of(Kind.COUNTER)
        super().__init__(
            {
                "count": In(amounts_of(self._counters)),
                "valid": In(1),
                "access": In(Access),
                "value": Out(32),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        counters = self._counters
        rows = range(len(counters))
        m.submodules.totals = totals = TableMemory(depth=len(counters), shape=32)

        # Whose turn it is; what that one has collected; its total. A register after each.
        turn, next_row, row, summed = (
            Signal(rows, name=name) for name in ("turn", "next_row", "row", "summed_row")
        )
        known = Signal(self.READ_LATENCY - 1)
        m.d.comb += next_row.eq(turn)
        with m.If(totals.ready & ~self.valid):
            m.d.sync += turn.eq(Mux(turn == rows[-1], 0, turn + 1))
        m.d.sync += [row.eq(next_row), summed.eq(row), known.eq(known << 1)]
        with m.If(self.valid):
            with m.Switch(self.access.address):
                for n, register in enumerate(counters):
                    with m.Case(register.address):
                        m.d.comb += next_row.eq(n)
                        m.d.sync += known[0].eq(1)

        collected = [
            self._collect(m, register, totals.ready & (row == n))
            for n, register in enumerate(counters)
        ]
        total, amount = Signal(32), Signal(max(len(each) for each in collected))
        m.d.sync += amount.eq(Mux(totals.ready, Array(collected)[row], 0))
        m.d.comb += [
            total.eq(totals.data() + amount),
            totals.address().eq(summed),
            totals.write.eq(totals.ready),
            totals.write_address.eq(summed),
            totals.write_data.eq(total),
        ]
        # What the bus last asked for, or 0.
        with m.If(self.valid):
            m.d.sync += self.value.eq(0)
        with m.If(known[-1] & totals.ready):
            m.d.sync += self.value.eq(total)
        return m

    def _collect(self, m: Module, register: Register, taken) -> Signal:
        """What a counter has collected since it was last taken."""
        most = self.ROUNDS * len(self._counters) * (2**register.amount - 1)
        collected = Signal(min(32, most.bit_length()), name=f"{register.name}_collected")
        # Registered first, so that the adder burdens no path of the stage that counts.
        amount = Signal(register.amount, name=f"{register.name}_amount")
        m.d.sync += [
            amount.eq(getattr(self.count, register.name)),
            collected.eq(Mux(taken, 0, collected) + amount),
        ]
        return collected
