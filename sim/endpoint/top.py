"""The netlist of the card's end of the order session, behind plain ports.

Ref: docs/architecture.md, "The order session".
"""

from typing import ClassVar

from amaranth.hdl import ClockDomain, Module, Shape
from amaranth.lib import wiring
from amaranth.lib.data import Layout
from amaranth.lib.wiring import In

from tickgate.hdl.eth import Receive
from tickgate.hdl.order.session import OrderSession
from tickgate.hdl.order.tcp.types import Endpoints, Timing
from tickgate.hdl.stream import Report
from tickgate.sim.virtual.top import fields_of

__all__ = ["SETTINGS", "EndpointTop"]

SETTINGS = {
    "largest_order": 52,
    "ring_size": 1024,
    "packet_size": 64,
    "window": 4096,
    "mss": 600,
    "longest_segment": 256,
}
"""Small, so that every limit is met often."""


class EndpointTop(wiring.Component):
    """An order session beside the card's receive path, which checks the FCS for it.

    Parameters
    ----------
    width : int
        Octets a cycle.

    Members
    -------
    clk : In(1), rst : In(1)
    rx_<field>, rx_valid : In, tx_<field>, tx_valid : Out, tx_ready : In
    orders_<field>, orders_valid : In, orders_ready : Out
    host_data : In(8), host_last : In(1), host_valid : In(1), host_ready : Out(1)
    cancels_data, cancels_last, cancels_valid : In, cancels_ready : Out
    reports_<field>, reports_valid : Out
    Everything else as in `OrderSession`, but `session`; fields of configuration have names of
    their own.
    """

    CONFIG = (
        *(f"endpoints_{name}" for name, _, _ in fields_of(Layout.cast(Endpoints))),
        *(f"timing_{name}" for name, _, _ in fields_of(Layout.cast(Timing))),
        "isn",
        "heartbeat",
        "silence",
    )
    STATUS = (
        "state",
        "outcome",
        "may_order",
        "sequence",
        "acknowledgement",
        "holds",
        "login",
        "next_sequence",
        "lost",
        "silent",
    )
    REPORT: ClassVar = {name: bits for name, _, bits in fields_of(Layout.cast(Report))}
    # `abort` alone would be a word of C++.
    COMMANDS = ("do_connect", "do_close", "do_abort", "do_tick")
    COUNTERS = OrderSession.COUNTERS

    def __init__(self, *, width: int) -> None:
        self.width = width
        self._session = OrderSession(width=width, **SETTINGS)
        members = {"clk": In(1), "rst": In(1)}
        for name, member in self._session.signature.members.items():
            if not member.is_port:
                flow = member.flow
                layout = member.signature.members["payload"].shape
                members[f"{name}_valid"] = flow(1)
                if not member.signature.always_ready:
                    members[f"{name}_ready"] = flow.flip()(1)
                for field, _, bits in fields_of(Layout.cast(layout)):
                    members[f"{name}_{field}"] = flow(bits)
            elif name in ("endpoints", "timing"):
                for field, _, bits in fields_of(Layout.cast(member.shape)):
                    members[f"{name}_{field}"] = In(bits)
            elif name not in ("frame_ends", "frame_good", "port", "session"):
                members[self._port(name)] = member.flow(Shape.cast(member.shape).width)
        super().__init__(members)

    def _port(self, name: str) -> str:
        return f"do_{name}" if f"do_{name}" in self.COMMANDS else name

    def elaborate(self, platform) -> Module:
        m = Module()
        m.domains.sync = sync = ClockDomain()
        m.domains.pins = pins = ClockDomain(reset_less=True)
        m.d.comb += [sync.clk.eq(self.clk), pins.clk.eq(self.clk)]
        m.d.pins += sync.rst.eq(self.rst)
        m.submodules.check = check = Receive(width=self.width)
        m.submodules.session = session = self._session
        m.d.comb += [
            session.frame_ends.eq(check.frames),
            session.frame_good.eq(~check.fcs_errors),
            session.port.eq(1),
            check.octets.valid.eq(session.rx.valid),
            check.octets.payload.eq(session.rx.payload),
        ]
        for name, member in session.signature.members.items():
            inner = getattr(session, name)
            if not member.is_port:
                self._connect_stream(m, name, member, inner)
            elif name in ("endpoints", "timing"):
                for field, _, _ in fields_of(Layout.cast(member.shape)):
                    m.d.comb += inner[field].eq(getattr(self, f"{name}_{field}"))
            elif hasattr(self, self._port(name)):
                mine = getattr(self, self._port(name))
                m.d.comb += inner.eq(mine) if member.flow is In else mine.eq(inner)
        return m

    def _connect_stream(self, m: Module, name: str, member, inner) -> None:
        pairs = [(f"{name}_valid", inner.valid, member.flow is In)]
        if not member.signature.always_ready:
            pairs.append((f"{name}_ready", inner.ready, member.flow is not In))
        for field, _, _ in fields_of(Layout.cast(inner.payload.shape())):
            pairs.append((f"{name}_{field}", inner.payload[field], member.flow is In))
        for port, value, inwards in pairs:
            mine = getattr(self, port)
            m.d.comb += value.eq(mine) if inwards else mine.eq(value)
