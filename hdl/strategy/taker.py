"""The taker: buys or sells at the touch when the queue on one side outweighs the other.

Ref: docs/architecture.md, "Strategy".
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.memory import TableMemory
from tickgate.hdl.stream import Proposal, Side, Top

__all__ = ["StrategyParameters", "Taker"]


class StrategyParameters(data.Struct):
    """Parameters of one symbol.

    `enable`: the strategy may act.
    `threshold`: share of the heavier side in all shares at the touch, Q0.16; 0 means never.
    `max_spread`: widest spread to cross, in 1e-4 USD.
    `quantity`: shares of each order.
    `min_interval`: time between two intents of the symbol, in ns.
    """

    enable: 1
    threshold: 16
    max_spread: 32
    quantity: 32
    min_interval: 32


class _LastFired(data.Struct):
    fired: 1
    time: 64


class _Candidate(data.StructLayout):
    """A top of book on its way, with the facts known one cycle after it."""

    def __init__(self, symbols: int) -> None:
        super().__init__(
            {
                "valid": 1,
                "proposal": Proposal(symbols),
                "eligible": 1,
                "threshold": 16,
                "heavier": 32,
                "total": 33,
                "time": 64,
                "min_interval": 32,
            }
        )


class Taker(wiring.Component):
    """Proposes an order for each top of book and says one cycle later whether it is meant.

    Latency: `LATENCY_PREVIEW` cycles to `preview`, `LATENCY` to `intents`. Throughput: one top a
    cycle, of the same symbol too.

    A top is acted upon if its book is exact and the strategy enabled, both sides are present and
    not crossed or locked, the spread is at most `max_spread`, and with total = bid shares + ask
    shares the heavier side has shares * 65536 >= threshold * total (threshold not 0). Then the
    intent buys at the ask if the bid is at least as heavy, else sells at the bid. Nothing fires
    within `min_interval` of the last intent of the symbol, approved or refused, by `time` in the
    cycles of the two tops, modulo 2**64. All integers; no rounding.

    Parameters
    ----------
    symbols : int

    Members
    -------
    tops : In(stream.Signature(Top(symbols), always_ready=True))
    parameters_symbol : Out(range(symbols))
        Symbol whose parameters are wanted in this cycle.
    parameters : In(StrategyParameters)
    time : In(64)
        In ns.
    idle_symbol : In(range(symbols))
        The symbol that a preview has in the next cycle, if it is not valid then.
    preview : Out(stream.Signature(Proposal(symbols), always_ready=True))
        What the intent of each top would be.
    intents : Out(stream.Signature(Proposal(symbols), always_ready=True))
        In each cycle the preview of the cycle before, valid if it is meant.
    ready : Out(1)
        The memory has been cleared after reset; until then nothing fires.
    """

    LATENCY_PREVIEW = 1
    LATENCY = 2

    def __init__(self, *, symbols: int) -> None:
        if symbols < 1:
            raise ValueError(f"symbols must be at least 1, not {symbols}")
        self._symbols = symbols
        super().__init__(
            {
                "tops": In(stream.Signature(Top(symbols), always_ready=True)),
                "parameters_symbol": Out(range(symbols)),
                "parameters": In(StrategyParameters),
                "time": In(64),
                "idle_symbol": In(range(symbols)),
                "preview": Out(stream.Signature(Proposal(symbols), always_ready=True)),
                "intents": Out(stream.Signature(Proposal(symbols), always_ready=True)),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.last_fired = last_fired = TableMemory(depth=self._symbols, shape=_LastFired)
        candidate = Signal(_Candidate(self._symbols))
        weighed = Signal(_Candidate(self._symbols))
        low, high, cooled = Signal(32), Signal(33), Signal()
        m.d.comb += [
            self.ready.eq(last_fired.ready),
            self.parameters_symbol.eq(self.tops.payload.symbol),
            self.preview.valid.eq(candidate.valid),
            self.preview.payload.eq(candidate.proposal),
            self.intents.payload.eq(weighed.proposal),
        ]
        m.d.sync += [
            weighed.eq(candidate),
            low.eq(candidate.threshold * candidate.total[:16]),
            high.eq(candidate.threshold * candidate.total[16:]),
        ]
        self._propose(m, candidate)
        self._cool_down(m, last_fired, candidate, weighed, cooled)
        # The sum of the halves of threshold * total and its comparison are one carry chain.
        outweighs = (weighed.heavier << 16) - (high << 16) - low >= 0
        m.d.comb += self.intents.valid.eq(weighed.valid & weighed.eligible & cooled & outweighs)
        return m

    def _propose(self, m: Module, candidate) -> None:
        top, parameters = self.tops.payload, self.parameters
        buys = Signal()
        m.d.comb += buys.eq(top.bid_shares >= top.ask_shares)
        # That the spread is narrow is one sum, so one carry chain, and not two one after the other.
        narrow = top.bid_price + parameters.max_spread - top.ask_price >= 0
        proposal = candidate.proposal
        m.d.sync += [
            candidate.valid.eq(self.tops.valid),
            proposal.symbol.eq(Mux(self.tops.valid, top.symbol, self.idle_symbol)),
            proposal.side.eq(Mux(buys, Side.BUY, Side.SELL)),
            proposal.price.eq(Mux(buys, top.ask_price, top.bid_price)),
            proposal.quantity.eq(parameters.quantity),
            proposal.sequence.eq(top.sequence),
            proposal.stamp.eq(top.stamp),
            candidate.eligible.eq(
                Cat(
                    self.ready,
                    parameters.enable,
                    parameters.threshold != 0,
                    top.exact,
                    top.bid_present,
                    top.ask_present,
                    top.ask_price > top.bid_price,
                    narrow,
                ).all()
            ),
            candidate.threshold.eq(parameters.threshold),
            candidate.heavier.eq(Mux(buys, top.bid_shares, top.ask_shares)),
            candidate.total.eq(top.bid_shares + top.ask_shares),
            candidate.time.eq(self.time),
            candidate.min_interval.eq(parameters.min_interval),
        ]

    def _cool_down(self, m: Module, last_fired, candidate, weighed, cooled) -> None:
        # The intent before this one is decided in the cycle in which this one reads the memory,
        # so the time since it is taken as well, and the choice follows when it is known.
        remembered, fired, follows = Signal(_LastFired), Signal(), Signal()
        since_remembered, since_previous = Signal(64), Signal(64)
        m.d.comb += [
            last_fired.address().eq(candidate.proposal.symbol),
            remembered.eq(last_fired.data()),
            last_fired.write.eq(self.intents.valid),
            last_fired.write_address.eq(weighed.proposal.symbol),
            last_fired.write_data.fired.eq(1),
            last_fired.write_data.time.eq(weighed.time),
            cooled.eq(
                Mux(
                    follows,
                    since_previous >= weighed.min_interval,
                    ~fired | (since_remembered >= weighed.min_interval),
                )
            ),
        ]
        m.d.sync += [
            fired.eq(remembered.fired),
            since_remembered.eq(candidate.time - remembered.time),
            since_previous.eq(candidate.time - weighed.time),
            follows.eq(self.intents.valid & (weighed.proposal.symbol == candidate.proposal.symbol)),
        ]
