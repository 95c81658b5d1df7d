"""LambdaConcept ECPIX-5 (LFE5UM5G-85F): one gigabit RGMII port, a UART, the core at one octet a cycle.

Not run on hardware yet: built and timed with the open toolchain, simulated up to the MAC.

Ref: amaranth-boards, ecpix5 (pins); Lattice FPGA-TN-02200 (sysCLOCK PLL); Microchip KSZ9031RNX data
sheet, "RGMII interface" (the PHY delays its receive clock itself, the transmit clock is ours).
"""

from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    DomainRenamer,
    Elaboratable,
    Instance,
    Module,
    Signal,
)
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.fifo import AsyncFIFO
from amaranth_boards.ecpix5 import ECPIX585Platform

from tickgate.boards.mac import MacReceive, MacTransmit
from tickgate.boards.rgmii import Rgmii
from tickgate.hdl.control.uart import Uart
from tickgate.hdl.core import TickToTrade
from tickgate.hdl.stream import Octets, pipe

__all__ = ["CLOCK_HZ", "PARAMETERS", "Ecpix5", "platform"]

CLOCK_HZ = 125_000_000
BAUD = 1_000_000
PARAMETERS = {
    "width": 1,
    "symbols": 8,
    "ticks": 1024,
    "orders": 8192,
    "event_depth": 64,
    "clock_period_ps": 8000,
}
RECEIVE_FIFO_DEPTH = 16


def platform() -> ECPIX585Platform:
    """The platform with pins and device."""
    return ECPIX585Platform()


class Clocks(Elaboratable):
    """Makes the 125 MHz of the core from the board's 100 MHz; holds it in reset until locked."""

    def elaborate(self, platform) -> Module:
        m = Module()
        m.domains.sync = ClockDomain("sync")
        m.submodules.clk100 = clk100 = io.Buffer("i", platform.request("clk100", dir="-"))
        platform.add_clock_constraint(clk100.i, 100e6)
        m.submodules.rst = rst = io.Buffer("i", platform.request("rst", dir="-"))
        clock, locked = Signal(), Signal()
        # 100 MHz / 4 is compared with 125 MHz / 5; the oscillator runs at 125 MHz * 5 = 625 MHz.
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI="100",
            a_FREQUENCY_PIN_CLKOP="125",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA",
            p_CLKI_DIV=4,
            p_CLKFB_DIV=5,
            p_FEEDBK_PATH="CLKOP",
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=5,
            p_CLKOP_CPHASE=2,
            p_CLKOP_FPHASE=0,
            i_CLKI=clk100.i,
            i_CLKFB=clock,
            i_RST=0,
            i_STDBY=0,
            i_PHASESEL0=0,
            i_PHASESEL1=0,
            i_PHASEDIR=1,
            i_PHASESTEP=1,
            i_PHASELOADREG=1,
            i_PLLWAKESYNC=0,
            i_ENCLKOP=0,
            o_CLKOP=clock,
            o_LOCK=locked,
        )
        m.d.comb += ClockSignal("sync").eq(clock)
        platform.add_clock_constraint(clock, CLOCK_HZ)
        m.submodules.reset = ResetSynchronizer(~locked | rst.i, domain="sync")
        return m


class Ecpix5(Elaboratable):
    """The card: clocks, RGMII, MAC, core, UART at 1 Mbaud.

    Frames cross from the PHY's clock to the core's through a FIFO: with at most 100 ppm between the
    two, the drift over the longest frame is less than one octet of its 16.
    """

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.clocks = Clocks()
        m.submodules.core = core = TickToTrade(**PARAMETERS)
        m.submodules.uart = uart = Uart(divisor=CLOCK_HZ // BAUD)
        m.submodules.rgmii = rgmii = Rgmii(
            pins=platform.request("eth_rgmii", 0, dir={
                name: "-"
                for name in (
                    "rst", "mdio", "mdc", "tx_clk", "tx_ctrl", "tx_data",
                    "rx_clk", "rx_ctrl", "rx_data",
                )
            }),
            transmit_delay_ps=2000,
            receive_delay_ps=0,
        )
        m.submodules.receive = receive = DomainRenamer("rx")(MacReceive())
        m.submodules.transmit = transmit = MacTransmit()
        m.submodules.fifo = fifo = AsyncFIFO(
            width=Octets(1).size, depth=RECEIVE_FIFO_DEPTH, w_domain="rx", r_domain="sync"
        )
        m.d.comb += [
            receive.gmii.eq(rgmii.rx),
            fifo.w_data.eq(receive.octets.payload),
            fifo.w_en.eq(receive.octets.valid),
            core.rx.payload.eq(fifo.r_data),
            core.rx.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(1),
            rgmii.tx.eq(transmit.gmii),
        ]
        pipe(m, core.tx, transmit.octets)
        pipe(m, core.control_tx, uart.transmit)
        pipe(m, uart.receive, core.control_rx)
        pins = platform.request("uart", 0, dir={"rx": "-", "tx": "-"})
        m.submodules.uart_rx = uart_rx = io.Buffer("i", pins.rx)
        m.submodules.uart_tx = uart_tx = io.Buffer("o", pins.tx)
        m.d.comb += [uart.rx.eq(uart_rx.i), uart_tx.o.eq(uart.tx)]
        return m
