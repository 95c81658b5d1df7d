"""Too many fills in too little time: someone knows better.

Ref: docs/risk.md, gate 28 (fill burst).
"""

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.bits import bit_of, one_hot
from tickgate.hdl.memory import TableMemory
from tickgate.hdl.risk.interval import NUMBER_BITS, Interval
from tickgate.hdl.risk.limits import AccountLimits
from tickgate.hdl.stream import Execution, Proposal

__all__ = ["FillBurst", "FillCaps"]

COUNT_BITS = 16


class FillCaps(data.Struct):
    """Of one symbol: the most fills, and the most shares of them, within the window."""

    max_fills: COUNT_BITS
    max_fill_shares: 32


class _Sum(data.Struct):
    fills: COUNT_BITS
    shares: 32


class _Filled(data.Struct):
    """Of the interval of the last fill, and of that and the one before."""

    interval: NUMBER_BITS
    now: _Sum
    both: _Sum


class FillBurst(wiring.Component):
    """Gate 28: not more fills of the symbol within the window than its caps, since last cleared.

    Latency: `LATENCY` from the preview to the gate, `LATENCY_EXECUTION` from a fill to the previews
    that it counts for. Throughput: one preview a cycle, a fill every SPACING cycles.

    Time is divided in intervals of 2**fill_window ns (:class:`Interval`); a fill belongs to that of
    its cycle. With each one, the fills and the shares of its symbol in this interval and the one
    before are compared with the caps in force: if either is above, the gate fails for the symbol
    until it is cleared. Sums stay at their highest number. So no burst within 2**fill_window ns is
    missed. Fills of 2**NUMBER_BITS intervals ago may count again, should none have come since.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(Proposal(symbols))
    account : In(AccountLimits)
    time : In(64)
        In ns.
    executions : In(stream.Signature(Execution(symbols), always_ready=True))
    caps_symbol : Out(range(symbols)), caps : In(FillCaps)
        Symbol whose caps are wanted in this cycle.
    release : In(1), release_symbol : In(range(symbols))
        Clears a symbol. What was filled still counts with the next fill.
    clear : In(1)
        Clears all, and what was filled, in `symbols` cycles.
    calm : Out(1)
    bursts : Out(symbols)
        One bit a symbol: its gate fails.
    number : Out(NUMBER_BITS)
        Of the interval of the cycle before.
    ready : Out(1)
        Low while what was filled is being cleared, after reset too; until then the gate fails and
        fills do not count.
    """

    LATENCY = 1
    LATENCY_EXECUTION = 4
    SPACING = 2

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "account": In(AccountLimits),
                "time": In(64),
                "executions": In(stream.Signature(Execution(symbols), always_ready=True)),
                "caps_symbol": Out(range(symbols)),
                "caps": In(FillCaps),
                "release": In(1),
                "release_symbol": In(range(symbols)),
                "clear": In(1),
                "calm": Out(1),
                "bursts": Out(symbols),
                "number": Out(NUMBER_BITS),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.interval = interval = Interval()
        m.submodules.memory = memory = ResetInserter(self.clear)(
            TableMemory(depth=self._symbols, shape=_Filled)
        )
        burst, ready, failed = Signal(self._symbols), Signal(), Signal()
        m.d.comb += [
            self.ready.eq(memory.ready),
            interval.time.eq(self.time),
            interval.window.eq(self.account.fill_window),
            self.number.eq(interval.number),
            self.bursts.eq(burst),
            self.calm.eq(ready & ~failed),
        ]
        m.d.sync += [ready.eq(memory.ready), failed.eq(bit_of(burst, self.preview.symbol))]
        above, symbol = self._add(m, memory)
        its = one_hot(m, symbol, self._symbols, name="its")
        released = one_hot(m, self.release_symbol, self._symbols, name="released")
        m.d.sync += burst.eq((burst & ~Mux(self.release, released, 0)) | Mux(above, its, 0))
        with m.If(self.clear):
            m.d.sync += burst.eq(0)
        return m

    def _add(self, m: Module, memory: TableMemory):
        """Returns whether a fill is above the caps, and its symbol.

        In the first cycle after the fill, what there was is looked up; in the second one it is
        added to; in the third one the sum is compared.
        """
        fills = [Signal.like(self.executions.payload, name=f"fill_{n}") for n in range(3)]
        valid = [Signal(name=f"valid_{n}") for n in range(3)]
        caps = [Signal(FillCaps, name=f"caps_{n}") for n in range(2)]
        before, after, total = memory.data(), memory.write_data, Signal(_Sum)
        now, both, interval = Signal(_Sum), Signal(_Sum), Signal(NUMBER_BITS)
        same = before.interval == self.number
        follows = (before.interval + 1)[:NUMBER_BITS] == self.number
        goes_on = memory.ready & ~self.clear
        m.d.comb += [
            self.caps_symbol.eq(fills[0].symbol),
            memory.address().eq(fills[0].symbol),
            memory.write.eq(valid[1]),
            memory.write_address.eq(fills[1].symbol),
            after.interval.eq(interval),
            *self._more(after.now, now, fills[1].shares),
            *self._more(after.both, both, fills[1].shares),
        ]
        m.d.sync += [
            interval.eq(self.number),
            now.eq(Mux(same, before.now, 0)),
            both.eq(Mux(same, before.both, Mux(follows, before.now, 0))),
            total.eq(after.both),
            caps[0].eq(self.caps),
            caps[1].eq(caps[0]),
        ]
        stages = (self.executions.valid, *valid[:2]), (self.executions.payload, *fills[:2])
        for n, (was_valid, fill) in enumerate(zip(*stages, strict=True)):
            m.d.sync += [valid[n].eq(was_valid & goes_on), fills[n].eq(fill)]
        above = (total.fills > caps[1].max_fills) | (total.shares > caps[1].max_fill_shares)
        return valid[2] & above, fills[2].symbol

    @staticmethod
    def _more(after, before, shares) -> list:
        total = Signal(33)
        return [
            total.eq(before.shares + shares),
            after.fills.eq(before.fills + ~before.fills.all()),
            after.shares.eq(total[:32] | total[32].replicate(32)),
        ]
