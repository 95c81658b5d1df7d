"""LambdaConcept ECPIX-5 (LFE5UM5G-85F): one gigabit port, a UART, the core at one octet a cycle.

Not run on hardware yet: built and timed with the open toolchain, simulated up to the pins.

Ref: amaranth-boards, ecpix5 (pins); Lattice FPGA-TN-02200 (sysCLOCK PLL); Microchip KSZ9031RNX data
sheet DS00002117, 3.9 (RGMII) and "Strapping options".
"""

from amaranth.build import Attrs, Clock, Pins, PinsN, Resource, Subsignal
from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    DomainRenamer,
    Elaboratable,
    Instance,
    Module,
    ResetSignal,
    Signal,
)
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer
from amaranth_boards.ecpix5 import ECPIX585Platform

from tickgate.boards.global_reset import GlobalReset
from tickgate.boards.phy_reset import PhyReset
from tickgate.boards.port import GigabitPort
from tickgate.hdl.control.uart import Uart
from tickgate.hdl.core import TickToTrade
from tickgate.hdl.stream import pipe

__all__ = ["BAUD", "CLOCK_HZ", "PARAMETERS", "Ecpix5", "Platform", "core"]

CLOCK_HZ = 125_000_000
BAUD = 115_200
"""What the driver takes unless told otherwise."""
# Without an order session, with which the card fills the device so far that it was never routed.
PARAMETERS = {
    "width": 1,
    "symbols": 8,
    "ticks": 1024,
    "orders": 8192,
    "event_depth": 64,
    "clock_period_ps": 1_000_000_000_000 // CLOCK_HZ,
    "sessions": 0,
}
# The PHY delays its receive clock by 1.2 ns itself, and leaves the transmit clock to us.
TRANSMIT_DELAY_PS, RECEIVE_DELAY_PS = 2000, 0

LVCMOS33 = Attrs(IO_TYPE="LVCMOS33")
PULLED_UP = Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP")
RESOURCES = [
    Resource("rst", 0, PinsN("AB1", dir="i"), PULLED_UP),
    # The PHY reads RXD[3:0] as straps when its reset ends: all high is "RGMII, advertise all".
    # The board has no resistors there.
    Resource(
        "eth_rgmii",
        0,
        Subsignal("rst", PinsN("C13", dir="o"), LVCMOS33),
        Subsignal("tx_clk", Pins("A12", dir="o"), LVCMOS33),
        Subsignal("tx_ctrl", Pins("C9", dir="o"), LVCMOS33),
        Subsignal("tx_data", Pins("D8 C8 B8 A8", dir="o"), LVCMOS33),
        Subsignal("rx_clk", Pins("E11", dir="i"), Clock(CLOCK_HZ), LVCMOS33),
        Subsignal("rx_ctrl", Pins("A11", dir="i"), LVCMOS33),
        Subsignal("rx_data", Pins("B11 A10 B10 A9", dir="i"), PULLED_UP),
    ),
]


class Platform(ECPIX585Platform):
    """The board's pins and device, with the pull-ups that the PHY's straps need."""

    resources = [  # noqa: RUF012 - what an Amaranth platform is made of
        *RESOURCES,
        *(
            resource
            for resource in ECPIX585Platform.resources
            if resource.name not in {ours.name for ours in RESOURCES}
        ),
    ]


def core() -> TickToTrade:
    """The core at the size this board holds."""
    return TickToTrade(**PARAMETERS)


class Clocks(Elaboratable):
    """Makes 125 MHz of the board's 100 MHz, for two domains that the parent defines.

    `power` leaves reset when the PLL has locked, `sync` when `ready` is high as well.

    Parameters
    ----------
    ready : Value
    """

    def __init__(self, *, ready) -> None:
        self._ready = ready

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.clk100 = clk100 = io.Buffer("i", platform.request("clk100", dir="-"))
        m.submodules.rst = rst = io.Buffer("i", platform.request("rst", dir="-"))
        clock = Signal()
        locked = Signal()
        # 100 MHz / 4 is compared with 125 MHz / 5; the oscillator runs at 125 MHz * 5 = 625 MHz.
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI="100",
            a_FREQUENCY_PIN_CLKOP="125",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
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
        m.d.comb += [ClockSignal("power").eq(clock), ClockSignal("sync").eq(clock)]
        m.submodules.power = ResetSynchronizer(~locked | rst.i, domain="power")
        m.submodules.sync = GlobalReset(asserted=ResetSignal("power") | ~self._ready)
        return m


class Ecpix5(Elaboratable):
    """The card: clocks, a gigabit port, a core, and a UART for the host.

    The core leaves reset once the PHY is ready, 10.1 ms after the PLL has locked. The first RGB LED
    is green from then on, and red as well once octets were lost between PHY and core, which must
    not happen.

    Parameters
    ----------
    core : wiring.Component
        With the streams `rx`, `tx`, `control_rx`, `control_tx` of :class:`TickToTrade` at width 1.
    """

    def __init__(self, *, core) -> None:
        self._core = core

    def elaborate(self, platform) -> Module:
        m = Module()
        m.domains.power = ClockDomain("power")
        m.domains.sync = ClockDomain("sync")
        m.submodules.phy_reset = phy_reset = DomainRenamer("power")(PhyReset(clock_hz=CLOCK_HZ))
        m.submodules.clocks = Clocks(ready=phy_reset.ready)
        pins = _request(platform, "eth_rgmii")
        m.submodules.port = port = GigabitPort(
            pins=pins, transmit_delay_ps=TRANSMIT_DELAY_PS, receive_delay_ps=RECEIVE_DELAY_PS
        )
        m.submodules.core = core = self._core
        pipe(m, port.received, core.rx)
        pipe(m, core.tx, port.transmitted)
        m.submodules.phy_reset_pin = phy_reset_pin = io.Buffer("o", pins.rst)
        m.d.comb += phy_reset_pin.o.eq(phy_reset.reset)
        self._serial(m, platform, core)
        self._light(m, platform, port)
        return m

    @staticmethod
    def _serial(m, platform, core) -> None:
        pins = _request(platform, "uart")
        m.submodules.uart = uart = Uart(divisor=round(CLOCK_HZ / BAUD))
        m.submodules.uart_rx = rx = io.Buffer("i", pins.rx)
        m.submodules.uart_tx = tx = io.Buffer("o", pins.tx)
        m.d.comb += [uart.rx.eq(rx.i), tx.o.eq(uart.tx)]
        pipe(m, uart.received, core.control_rx)
        pipe(m, core.control_tx, uart.octets)

    @staticmethod
    def _light(m, platform, port) -> None:
        pins = _request(platform, "rgb_led")
        lost = Signal()
        with m.If(port.overflow | port.underrun):
            m.d.sync += lost.eq(1)
        for name, lit in ("r", lost), ("g", ~ResetSignal("sync")), ("b", 0):
            m.submodules[f"led_{name}"] = led = io.Buffer("o", getattr(pins, name))
            m.d.comb += led.o.eq(lit)


def _request(platform, name: str):
    """The bare ports of a resource, to be buffered by whoever uses them."""
    parts = platform.lookup(name).ios
    return platform.request(name, dir={part.name: "-" for part in parts})
