"""The netlist that every simulator runs: the core with its UART, behind plain ports.

Ref: docs/architecture.md, "The virtual card".
"""

from collections.abc import Iterator

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.control.uart import Uart
from tickgate.hdl.stream import pipe

__all__ = ["VirtualTop", "fields_of"]


def fields_of(layout: data.Layout) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """The leaves of a layout as (name, path, bits), nested ones by their own name only."""
    for key, field in layout:
        if isinstance(field.shape, data.Layout):
            for name, path, bits in fields_of(field.shape):
                yield name, (key, *path), bits
        else:
            yield key, (key,), field.width


class VirtualTop(wiring.Component):
    """A core and its UART, every field of every payload a port of its own.

    Latency: 0 cycles; nothing but wires between the core's streams and these ports.

    Parameters
    ----------
    core : wiring.Component
        `tickgate.hdl.core.TickToTrade`, or anything with the same ports.
    uart_divisor : int
        Clock cycles of one UART bit, at least 4.

    Members
    -------
    clk : In(1), rst : In(1)
        The reset takes effect one cycle later.
    rx_data, rx_count, rx_first, rx_last, rx_valid : In
        Receive stream, which never stalls.
    tx_data, tx_count, tx_first, tx_last, tx_valid : Out, tx_ready : In
        Transmit stream.
    uart_rx : In(1), uart_tx : Out(1)
        8N1, idle high.
    direct : In(1)
        The control streams are on the ports below, a whole octet a cycle, and the UART is idle.
    control_rx_payload, control_rx_valid : In, control_rx_ready : Out(1)
    control_tx_payload, control_tx_valid : Out, control_tx_ready : In(1)
    top_valid : Out(1), top_<field> : Out
        A top of book changed.
    verdict_valid : Out(1), verdict_<field> : Out
        Risk has judged an order intent.
    gap : Out(1)
        The feed lost messages.
    """

    def __init__(self, core: wiring.Component, *, uart_divisor: int = 4) -> None:
        self.core = core
        self.uart_divisor = uart_divisor
        octets = core.rx.payload.shape()
        self.width = octets["data"].width // 8
        self.top_layout = core.tops.payload.shape()
        self.verdict_layout = core.verdicts.payload.shape()
        members = {"clk": In(1), "rst": In(1), "gap": Out(1)}
        members |= {"uart_rx": In(1, init=1), "uart_tx": Out(1, init=1), "direct": In(1)}
        for direction, back, name in (In, Out, "rx"), (Out, In, "tx"):
            members[f"control_{name}_payload"] = direction(8)
            members[f"control_{name}_valid"] = direction(1)
            members[f"control_{name}_ready"] = back(1)
        for direction, name in (In, "rx"), (Out, "tx"):
            members[f"{name}_valid"] = direction(1)
            for field, _, bits in fields_of(octets):
                members[f"{name}_{field}"] = direction(bits)
        members["tx_ready"] = In(1)
        for name, layout in ("top", self.top_layout), ("verdict", self.verdict_layout):
            members[f"{name}_valid"] = Out(1)
            for field, _, bits in fields_of(layout):
                members[f"{name}_{field}"] = Out(bits)
        super().__init__(members)

    def elaborate(self, platform) -> Module:
        m = Module()
        # Through a register, the reset is no input of all next-state logic, which the simulators
        # would evaluate twice a cycle for its sake.
        m.domains.sync = sync = ClockDomain()
        m.domains.pins = pins = ClockDomain(reset_less=True)
        m.d.comb += [sync.clk.eq(self.clk), pins.clk.eq(self.clk)]
        m.d.pins += sync.rst.eq(self.rst)
        m.submodules.core = core = self.core
        m.submodules.uart = uart = Uart(divisor=self.uart_divisor)
        m.d.comb += [uart.rx.eq(self.uart_rx), self.uart_tx.eq(uart.tx)]
        with m.If(self.direct):
            m.d.comb += [
                core.control_rx.payload.eq(self.control_rx_payload),
                core.control_rx.valid.eq(self.control_rx_valid),
                self.control_rx_ready.eq(core.control_rx.ready),
                self.control_tx_payload.eq(core.control_tx.payload),
                self.control_tx_valid.eq(core.control_tx.valid),
                core.control_tx.ready.eq(self.control_tx_ready),
            ]
        with m.Else():
            pipe(m, uart.received, core.control_rx)
            pipe(m, core.control_tx, uart.octets)
        m.d.comb += [
            core.rx.valid.eq(self.rx_valid),
            self.tx_valid.eq(core.tx.valid),
            core.tx.ready.eq(self.tx_ready),
            self.top_valid.eq(core.tops.valid),
            self.verdict_valid.eq(core.verdicts.valid),
            self.gap.eq(core.gap),
        ]
        for field, _, _ in fields_of(core.rx.payload.shape()):
            m.d.comb += [
                core.rx.payload[field].eq(getattr(self, f"rx_{field}")),
                getattr(self, f"tx_{field}").eq(core.tx.payload[field]),
            ]
        for name, payload in ("top", core.tops.payload), ("verdict", core.verdicts.payload):
            for field, path, _ in fields_of(payload.shape()):
                value = payload
                for key in path:
                    value = value[key]
                m.d.comb += getattr(self, f"{name}_{field}").eq(value)
        return m
