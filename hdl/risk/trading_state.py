"""Whether a symbol may be traded now, from what the exchange says on the feed.

Ref: docs/risk.md, gate 16 (trading state); NASDAQ TotalView-ITCH 5.0, System Event, Stock Trading
Action, Reg SHO Restriction, Operational Halt and MWCB Status messages.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.bits import bit_of, one_hot, with_bit
from tickgate.hdl.guard import Twin, differ
from tickgate.hdl.risk.limits import Limits
from tickgate.hdl.stream import Message, MessageKind, Proposal

__all__ = ["SymbolState", "TradingState"]

TRADING = ord("T")
UNRESTRICTED = ord("0")
HALTED, RESUMED = ord("H"), ord("T")
START_OF_MARKET_HOURS = ord("Q")
END_OF_MARKET_HOURS = ord("M")


class SymbolState(data.Struct):
    """What the exchange has said of a symbol; nothing, as long as it has not."""

    trading: 1
    operational_halt: 1
    short_sale_restricted: 1


class TradingState(wiring.Component):
    """Gate 16: the symbol trades, the market is open and no market-wide breaker has tripped.

    Latency: `LATENCY` from the preview to the gate; a message counts from the next cycle on.
    Throughput: one preview and one message a cycle.

    `tradable` if the last trading action of the symbol is T (none seen: not), Nasdaq has not halted
    it on its own market (operational halt H, and no T after it), no market-wide circuit breaker
    message has come since reset, and either the regular session is open (system event Q seen, no M
    after it) or the limits allow extended hours.

    Parameters
    ----------
    symbols : int

    Members
    -------
    messages : In(stream.Signature(Message(symbols), always_ready=True))
    shown : In(range(symbols)), state : Out(SymbolState)
        What is known of a symbol, 1 cycle later.
    preview : In(Proposal(symbols))
    limits : In(Limits)
        Limits of the preview's symbol, in the cycle of the preview.
    tradable : Out(1)
    restricted : Out(1)
        The restriction of short sales (Reg SHO 1 or 2) is in force for the preview's symbol; known
        when `tradable` is.
    regular_session : Out(1)
    breach : Out(1)
        A market-wide circuit breaker level has been breached since reset.
    error : Out(1)
        A bit has flipped of what is kept here, in this cycle or before (combinational).

    `twins` are what is kept.
    """

    LATENCY = 1

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "messages": In(stream.Signature(Message(symbols), always_ready=True)),
                "shown": In(range(symbols)),
                "state": Out(SymbolState),
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "tradable": Out(1),
                "restricted": Out(1),
                "regular_session": Out(1),
                "breach": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        message = self.messages.payload
        trading = Signal(self._symbols)
        halted = Signal(self._symbols)
        restricted = Signal(self._symbols)
        twins = [Twin(each) for each in (trading, halted, restricted)]
        session, breach = Twin(self.regular_session), Twin(self.breach)
        self.twins = (*twins, session, breach)
        m.d.comb += self.error.eq(differ(self.twins))
        symbol = Signal.like(self.preview.symbol)
        extended_hours = Signal()

        def told(kind: MessageKind):
            return self.messages.valid & (message.kind == kind)

        its = one_hot(m, message.symbol, self._symbols, name="its")
        with m.If(told(MessageKind.TRADING_STATE) & message.tracked):
            m.d.sync += twins[0].takes(with_bit(trading, its, message.code == TRADING))
        with m.If(told(MessageKind.SHORT_SALE_RESTRICTION) & message.tracked):
            restriction = message.code != UNRESTRICTED
            m.d.sync += twins[2].takes(with_bit(restricted, its, restriction))
        with m.If(told(MessageKind.OPERATIONAL_HALT) & message.tracked):
            with m.If((message.code == HALTED) | (message.code == RESUMED)):
                m.d.sync += twins[1].takes(with_bit(halted, its, message.code == HALTED))
        with m.If(told(MessageKind.SYSTEM) & (message.code == START_OF_MARKET_HOURS)):
            m.d.sync += session.takes(1)
        with m.If(told(MessageKind.SYSTEM) & (message.code == END_OF_MARKET_HOURS)):
            m.d.sync += session.takes(0)
        with m.If(told(MessageKind.BREACH)):
            m.d.sync += breach.takes(1)
        m.d.sync += [
            symbol.eq(self.preview.symbol),
            extended_hours.eq(self.limits.extended_hours),
            self.state.trading.eq(bit_of(trading, self.shown)),
            self.state.operational_halt.eq(bit_of(halted, self.shown)),
            self.state.short_sale_restricted.eq(bit_of(restricted, self.shown)),
        ]
        m.d.comb += self.restricted.eq(bit_of(restricted, symbol))
        m.d.comb += self.tradable.eq(
            bit_of(trading, symbol)
            & ~bit_of(halted, symbol)
            & ~self.breach
            & (self.regular_session | extended_hours)
        )
        return m
