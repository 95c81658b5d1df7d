"""Prices within the band that the exchanges allow.

Ref: docs/risk.md, gate 17 (limit up/down band); the Limit Up-Limit Down plan. The host supplies the
band, for the card has no feed that carries it.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.risk.limits import Limits
from tickgate.hdl.stream import Proposal

__all__ = ["PriceBand"]


class PriceBand(wiring.Component):
    """Gate 17: the price is within the symbol's band, which has not expired.

    Latency: `LATENCY` from the preview to the gate. Throughput: one preview a cycle.

    `within_band` if band_low <= price <= band_high and the time in the cycle of the preview is
    below band_until; or if the symbol is exempt. A band that is not programmed has expired.

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
    within_band : Out(1)
    """

    LATENCY = 1

    def __init__(self, *, symbols: int) -> None:
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "time": In(64),
                "within_band": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        price, limits = self.preview.price, self.limits
        above, below, in_time, exempt = Signal(), Signal(), Signal(), Signal()
        m.d.sync += [
            above.eq(price >= limits.band_low),
            below.eq(price <= limits.band_high),
            in_time.eq(self.time < limits.band_until),
            exempt.eq(limits.band_exempt),
        ]
        m.d.comb += self.within_band.eq(exempt | (above & below & in_time))
        return m
