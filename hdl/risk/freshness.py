"""Whether the feed and the symbol have been heard of lately.

Ref: docs/risk.md, gate 14 (staleness).
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.guard import Twin, differ
from tickgate.hdl.memory import TableMemory
from tickgate.hdl.risk.limits import Limits, nanoseconds
from tickgate.hdl.stream import Message, Proposal

__all__ = ["Freshness"]


class _Heard(data.Struct):
    ever: 1
    time: 64


class Freshness(wiring.Component):
    """Gate 14: the last message of the feed, and the last one of the symbol, are not too old.

    Latency: `LATENCY` from the preview to the gate. Throughput: one preview and one message a
    cycle.

    `fresh` if a message of the feed and one of the symbol have come, time - time of the former <=
    feed_max_age_us * 1000 and time - time of the latter <= symbol_max_age_us * 1000, all modulo
    2**64. All times are those of the cycles of the messages and of the preview. A message counts
    for the previews of later cycles. Heartbeats are no messages.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(Proposal(symbols))
    limits : In(Limits)
        Limits of the preview's symbol, in the cycle of the preview.
    time : In(64)
        In ns.
    messages : In(stream.Signature(Message(symbols), always_ready=True))
    fresh : Out(1)
    heard : Out(1), heard_at : Out(64)
        A message of the feed has come; the time of the last one, in ns.
    ready : Out(1)
        The memory has been cleared after reset; until then the gate fails.
    error : Out(1)
        A bit has flipped of what is kept here: in the cycle of the gate if the preview went by it.

    `twins` are what is kept of the feed.
    """

    LATENCY = 1

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "time": In(64),
                "messages": In(stream.Signature(Message(symbols), always_ready=True)),
                "fresh": Out(1),
                "heard": Out(1),
                "heard_at": Out(64),
                "ready": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = memory = TableMemory(depth=self._symbols, shape=_Heard, checked=(0,))
        feed, symbol, differs = Signal(_Heard), Signal(_Heard), Signal()
        message = self.messages.payload
        m.d.comb += [
            self.ready.eq(memory.ready),
            self.error.eq(memory.error | differs),
            memory.write.eq(self.messages.valid & message.tracked),
            memory.write_address.eq(message.symbol),
            memory.write_data.ever.eq(1),
            memory.write_data.time.eq(self.time),
            memory.address().eq(self.preview.symbol),
            symbol.eq(memory.data()),
            feed.ever.eq(self.heard),
            feed.time.eq(self.heard_at),
        ]
        self.twins = heard, heard_at = Twin(self.heard), Twin(self.heard_at)
        with m.If(self.messages.valid):
            m.d.sync += [*heard.takes(1), *heard_at.takes(self.time)]
        m.d.sync += differs.eq(differ(self.twins))
        limits, ready = self.limits, Signal()
        m.d.sync += ready.eq(memory.ready)
        m.d.comb += self.fresh.eq(
            ready
            & self._is_fresh(m, "feed", feed, limits.feed_max_age_us)
            & self._is_fresh(m, "symbol", symbol, limits.symbol_max_age_us)
        )
        return m

    def _is_fresh(self, m: Module, name: str, heard, limit):
        age, max_age = Signal(64, name=f"{name}_age"), Signal(42, name=f"{name}_max_age")
        ever = Signal(name=f"{name}_ever")
        m.d.sync += [
            ever.eq(heard.ever),
            age.eq(self.time - heard.time),
            max_age.eq(nanoseconds(limit)),
        ]
        return ever & (age <= max_age)
