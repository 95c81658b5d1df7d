"""What the host is told of its own orders.

Ref: tickgate.spec.events; OUCH 5.0, section 3.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.manager.orders import Step
from tickgate.hdl.stream import Report, ReportKind, Side
from tickgate.spec.events import EventKind

__all__ = ["Teller", "Told"]


class Told(data.StructLayout):
    """What has become of an order: fields of an event, by the names of `tickgate.spec.events`."""

    def __init__(self, symbols: int) -> None:
        super().__init__(
            {
                "kind": 4,
                "side": Side,
                "symbol": range(symbols),
                "user_ref_num": 32,
                "quantity": 32,
                "price": 32,
                "reasons": 64,
                "message_sequence": 32,
                "code": 8,
                "detail": 32,
            }
        )


class Teller(wiring.Component):
    """Tells of each step of an order, and of nothing else.

    Latency: LATENCY cycle. Throughput: a step a cycle.

    So a report that was there before, or that changes no order, is not told, and what is told as
    executed is what the accounts add up.

    Parameters
    ----------
    symbols : int

    Members
    -------
    step : In(Step), steps : In(1)
    report : In(Report), due : In(1)
        The report that makes the step. A step without one is that of the order which the report of
        the cycle before has replaced.
    told : Out(stream of Told)
    """

    LATENCY = 1

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "step": In(Step(symbols)),
                "steps": In(1),
                "report": In(Report),
                "due": In(1),
                "told": Out(stream.Signature(Told(symbols), always_ready=True)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        # First of all a register: accounts and orders must not wait for it.
        step, report, replaced = Signal(Step(self._symbols)), Signal(Report), Signal()
        m.d.sync += [self.told.valid.eq(self.steps), step.eq(self.step), replaced.eq(~self.due)]
        with m.If(self.due):
            m.d.sync += report.eq(self.report)
        told = self.told.payload
        # A modification that contradicts may add shares, which are not taken off.
        grows = step.after > step.before
        m.d.comb += [
            told.side.eq(step.side),
            told.symbol.eq(step.symbol),
            told.user_ref_num.eq(step.user_ref_num),
            told.message_sequence.eq(report.sequence[:32]),
            told.kind.eq(EventKind.CANCELLED),
            told.quantity.eq(Mux(grows, 0, step.before - step.after)),
            told.detail.eq(step.after),
        ]
        with m.If(~replaced):
            with m.Switch(report.kind):
                with m.Case(ReportKind.ACCEPTED, ReportKind.REPLACED):
                    self._copy(m, EventKind.ACCEPTED, report)
                with m.Case(ReportKind.EXECUTED):
                    self._copy(m, EventKind.FILLED, report)
                with m.Case(ReportKind.REJECTED):
                    m.d.comb += [
                        told.kind.eq(EventKind.REJECTED),
                        told.detail.eq(report.reason),
                    ]
                with m.Default():
                    m.d.comb += told.code.eq(report.reason)
        return m

    def _copy(self, m: Module, kind: EventKind, report) -> None:
        told = self.told.payload
        m.d.comb += [
            told.kind.eq(kind),
            told.quantity.eq(report.quantity),
            told.price.eq(report.price),
            told.reasons.eq(report.reference),
            told.code.eq(report.code),
        ]
