"""RGMII on the DDR I/O cells of an ECP5.

Ref: RGMII 2.0, section 3; Lattice FPGA-TN-02035 (ECP5 high-speed I/O: IDDRX1F, ODDRX1F, DELAYG).
"""

from amaranth.hdl import Cat, ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import io, wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import In, Out

from tickgate.boards.mac import Gmii

__all__ = ["Rgmii"]

DELAY_TAP_PS = 25
DELAY_TAPS = 127


class Rgmii(wiring.Component):
    """One RGMII port at 1 Gbit/s: `rx` in the PHY's receive clock, `tx` in the core's.

    Drives the clock domain `rx`, which its parent defines: by the PHY's clock, in reset as long as
    `sync` is and until that clock runs. Latency: that of one DDR cell each way. Throughput: one
    octet a cycle each way.

    A link of 10 or 100 Mbit/s brings no frames: each octet comes as a nibble repeated, in which
    there is no start delimiter.

    Parameters
    ----------
    pins : object
        Ports `rx_clk`, `rx_ctrl`, `rx_data`, `tx_clk`, `tx_ctrl`, `tx_data`: the platform's
        resource, requested with `dir="-"`.
    transmit_delay_ps, receive_delay_ps : int
        Delay of the transmit clock and of the receive data, rounded down to the 25 ps of a DELAYG.
        The PHY's own delays count too: the clock's edges are to come 1.2 to 2 ns after the data's.

    Members
    -------
    rx : Out(Gmii), in the domain `rx`
    tx : In(Gmii), in the domain `sync`
    """

    rx: Out(Gmii)
    tx: In(Gmii)

    def __init__(self, *, pins, transmit_delay_ps: int, receive_delay_ps: int) -> None:
        for delay in (transmit_delay_ps, receive_delay_ps):
            if not 0 <= delay <= DELAY_TAPS * DELAY_TAP_PS:
                raise ValueError(
                    f"a DELAYG delays by 0 to {DELAY_TAPS * DELAY_TAP_PS} ps, not {delay}"
                )
        self._pins = pins
        self._transmit_delay_ps = transmit_delay_ps
        self._receive_delay_ps = receive_delay_ps
        super().__init__()

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.rx_clk = clock = io.Buffer("i", self._pins.rx_clk)
        m.d.comb += ClockSignal("rx").eq(clock.i)
        m.submodules.rx_reset = ResetSynchronizer(ResetSignal("sync"), domain="rx")

        low = Signal(4)
        high = Signal(4)
        valid = Signal()
        valid_xor_error = Signal()
        for n in range(4):
            self._receive(m, f"rx_data_{n}", self._pins.rx_data[n], low[n], high[n])
        self._receive(m, "rx_ctrl", self._pins.rx_ctrl, valid, valid_xor_error)
        m.d.comb += [
            self.rx.data.eq(Cat(low, high)),
            self.rx.valid.eq(valid),
            self.rx.error.eq(valid ^ valid_xor_error),
        ]

        for n in range(4):
            self._transmit(
                m, f"tx_data_{n}", self._pins.tx_data[n], self.tx.data[n], self.tx.data[4 + n]
            )
        self._transmit(
            m, "tx_ctrl", self._pins.tx_ctrl, self.tx.valid, self.tx.valid ^ self.tx.error
        )
        self._transmit(m, "tx_clk", self._pins.tx_clk, 1, 0, delay_ps=self._transmit_delay_ps)
        return m

    def _receive(self, m, name, pin, rising, falling) -> None:
        m.submodules[name] = buffer = io.Buffer("i", pin)
        m.submodules[f"{name}_ddr"] = Instance(
            "IDDRX1F",
            i_SCLK=ClockSignal("rx"),
            i_RST=0,
            i_D=_delayed(m, name, buffer.i, self._receive_delay_ps),
            o_Q0=rising,
            o_Q1=falling,
        )

    @staticmethod
    def _transmit(m, name, pin, rising, falling, *, delay_ps: int = 0) -> None:
        wire = Signal(name=f"{name}_wire")
        m.submodules[f"{name}_ddr"] = Instance(
            "ODDRX1F", i_SCLK=ClockSignal(), i_RST=0, i_D0=rising, i_D1=falling, o_Q=wire
        )
        m.submodules[name] = buffer = io.Buffer("o", pin)
        m.d.comb += buffer.o.eq(_delayed(m, name, wire, delay_ps))


def _delayed(m, name: str, wire, delay_ps: int):
    if not delay_ps:
        return wire
    delayed = Signal(name=f"{name}_delayed")
    m.submodules[f"{name}_delay"] = Instance(
        "DELAYG",
        p_DEL_MODE="USER_DEFINED",
        p_DEL_VALUE=delay_ps // DELAY_TAP_PS,
        i_A=wire,
        o_Z=delayed,
    )
    return delayed
