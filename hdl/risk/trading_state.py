"""Whether a symbol may be traded now, from what the exchange says on the feed.

Ref: docs/risk.md, gate 16 (trading state); NASDAQ TotalView-ITCH 5.0, System Event,
Stock Trading Action and MWCB Status messages.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.risk.limits import Limits
from tickgate.hdl.stream import Message, MessageKind, Proposal

__all__ = ["TradingState"]

TRADING = ord("T")
START_OF_MARKET_HOURS = ord("Q")
END_OF_MARKET_HOURS = ord("M")


class TradingState(wiring.Component):
    """Gate 16: the symbol trades, the market is open and no market-wide breaker has tripped.

    Latency: `LATENCY` from the preview to the gate; a message counts from the next cycle on.
    Throughput: one preview and one message a cycle.

    `tradable` if the last trading action of the symbol is T (none seen: not), no market-wide
    circuit breaker message has come since reset, and either the regular session is open (system
    event Q seen, no M after it) or the limits allow extended hours.

    Parameters
    ----------
    symbols : int

    Members
    -------
    messages : In(stream.Signature(Message(symbols), always_ready=True))
    preview : In(Proposal(symbols))
    limits : In(Limits)
        Limits of the preview's symbol, in the cycle of the preview.
    tradable : Out(1)
    regular_session : Out(1)
    breach : Out(1)
        A market-wide circuit breaker level has been breached since reset.
    """

    LATENCY = 1

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "messages": In(stream.Signature(Message(symbols), always_ready=True)),
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "tradable": Out(1),
                "regular_session": Out(1),
                "breach": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        message = self.messages.payload
        trading = Signal(self._symbols)
        symbol = Signal.like(self.preview.symbol)
        extended_hours = Signal()

        def told(kind: MessageKind):
            return self.messages.valid & (message.kind == kind)

        with m.If(told(MessageKind.TRADING_STATE) & message.tracked):
            m.d.sync += trading.bit_select(message.symbol, 1).eq(message.code == TRADING)
        with m.If(told(MessageKind.SYSTEM) & (message.code == START_OF_MARKET_HOURS)):
            m.d.sync += self.regular_session.eq(1)
        with m.If(told(MessageKind.SYSTEM) & (message.code == END_OF_MARKET_HOURS)):
            m.d.sync += self.regular_session.eq(0)
        with m.If(told(MessageKind.BREACH)):
            m.d.sync += self.breach.eq(1)
        m.d.sync += [
            symbol.eq(self.preview.symbol),
            extended_hours.eq(self.limits.extended_hours),
        ]
        m.d.comb += self.tradable.eq(
            trading.bit_select(symbol, 1) & ~self.breach & (self.regular_session | extended_hours)
        )
        return m
