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

    Latency: `LATENCY` cycles from an amount to a reading that has it; `READ_LATENCY` from `valid`
    of the bus to `value`. Throughput: all of them count in every cycle; one is read every
    `BusSignature.LATENCY` cycles.

    Members
    -------
    count : In(wiring.Signature)
        For each counter by name, the amount by which it rises in this cycle.
    valid : In(1), access : In(Access)
        What is on the bus of the registers.
    value : Out(32)
        The value of the counter at its address; 0 where there is none.
    """

    LATENCY = 2
    READ_LATENCY = 1
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

        asked_row, known, asked = Signal(rows), Signal(), Signal()
        turn, row = Signal(rows), Signal(rows)
        with m.Switch(self.access.address):
            for n, register in enumerate(counters):
                with m.Case(register.address):
                    m.d.comb += [asked_row.eq(n), known.eq(1)]
        m.d.comb += [asked.eq(self.valid & known), row.eq(Mux(asked, asked_row, turn))]
        with m.If(totals.ready & ~asked):
            m.d.sync += turn.eq(Mux(turn == rows[-1], 0, turn + 1))

        collected = [
            self._collect(m, register, totals.ready & (row == n))
            for n, register in enumerate(counters)
        ]
        total = Signal(32)
        m.d.comb += [
            total.eq(totals.data() + Array(collected)[row]),
            totals.address().eq(row),
            totals.write.eq(totals.ready),
            totals.write_address.eq(row),
            totals.write_data.eq(total),
        ]
        with m.If(self.valid):
            m.d.sync += self.value.eq(Mux(known & totals.ready, total, 0))
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
