"""Not too many messages in too little time.

Ref: docs/risk.md, gate 18 (message rate); the virtual scheduling form of the token bucket, ITU-T
I.371, annex A (generic cell rate algorithm).
"""

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.guard import Twin
from tickgate.hdl.memory import TableMemory
from tickgate.hdl.risk.limits import AccountLimits, Limits
from tickgate.hdl.stream import Proposal

__all__ = ["MessageRate"]


class MessageRate(wiring.Component):
    """Gate 18: a token is left in the bucket of the symbol, and one in that of the session.

    Latency: `LATENCY` from the preview to the gate, `LATENCY_APPROVED` to the buckets. Throughput:
    one preview and one approval a cycle.

    A bucket is kept as the time at which it is full again; an order moves that by one interval,
    from now on if it is past, to 2**64 - 1 at most. `within_rate` if, at the time in the cycle of
    the preview, the symbol's is at most order_burst_ns ahead, and the session's at most
    session_burst_ns, less session_reserve_ns which is kept for cancels. So a bucket holds
    1 + burst / interval tokens, and
    one comes back each interval; with an interval of 0 there are none. An approval counts for the
    previews of later cycles.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(Proposal(symbols))
    limits : In(Limits), account : In(AccountLimits)
        Limits in the cycle of the preview.
    time : In(64)
        In ns.
    approved : In(1)
        The preview of two cycles before is approved.
    clear : In(1)
        Fills all buckets, in `symbols` cycles, rounded up to a power of two.
    within_rate : Out(1)
    session_full_at : Out(64)
        When the bucket of the session is full again, in ns.
    ready : Out(1)
        Low while buckets are being filled, after reset too; the gate fails until then.
    error : Out(1)
        A bit has flipped of what is kept here: in the cycle of the gate if the preview went by it.

    `twins` are what is kept of the session.
    """

    LATENCY = 1
    LATENCY_APPROVED = 2

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "account": In(AccountLimits),
                "time": In(64),
                "approved": In(1),
                "clear": In(1),
                "within_rate": Out(1),
                "session_full_at": Out(64),
                "ready": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = memory = ResetInserter(self.clear)(
            TableMemory(depth=self._symbols, shape=64, checked=(0,))
        )
        limits, account = self.limits, self.account
        checked, decided = Signal.like(self.preview.symbol), Signal.like(self.preview.symbol)
        session, ready, differs = self.session_full_at, Signal(), Signal()
        self.twins = (twin := Twin(session),)
        m.d.sync += differs.eq(twin.differs)
        m.d.sync += [
            checked.eq(self.preview.symbol),
            decided.eq(checked),
            ready.eq(memory.ready),
        ]
        in_symbol, next_symbol = self._bucket(
            m, "symbol", memory.data(), limits.order_interval_ns, limits.order_burst_ns, 0
        )
        in_session, next_session = self._bucket(
            m,
            "session",
            session,
            account.session_interval_ns,
            account.session_burst_ns,
            account.session_reserve_ns,
        )
        m.d.comb += [
            self.ready.eq(memory.ready),
            self.error.eq(memory.error | differs),
            memory.address().eq(self.preview.symbol),
            memory.write.eq(self.approved),
            memory.write_address.eq(decided),
            memory.write_data.eq(next_symbol),
            self.within_rate.eq(ready & in_symbol & in_session),
        ]
        with m.If(self.clear):
            m.d.sync += twin.takes(0)
        with m.Elif(self.approved):
            m.d.sync += twin.takes(next_session)
        return m

    def _bucket(self, m: Module, name: str, full_at, interval, burst, reserve):
        """Whether a token is left in the next cycle, and in the one after when it is full."""
        ahead, allowed = Signal(64, name=f"{name}_ahead"), Signal(32, name=f"{name}_allowed")
        since, until = Signal(64, name=f"{name}_since"), Signal(64, name=f"{name}_until")
        step, after = Signal(32, name=f"{name}_step"), Signal(65, name=f"{name}_after")
        short, past = Signal(name=f"{name}_short"), Signal(name=f"{name}_past")
        m.d.sync += [
            past.eq(full_at <= self.time),
            ahead.eq(full_at - self.time),
            allowed.eq(burst - reserve),
            short.eq(burst < reserve),
            since.eq(self.time),
            until.eq(full_at),
            step.eq(interval),
            after.eq(Mux(past, since, until) + step),
        ]
        programmed = Signal(name=f"{name}_programmed")
        m.d.sync += programmed.eq(interval.any())
        # What would pass the end of time stays there: then no token ever comes back.
        bounded = after[:64] | after[64].replicate(64)
        return programmed & ~short & (past | (ahead <= allowed)), bounded
