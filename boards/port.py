"""A gigabit Ethernet port in the core's clock: RGMII, MAC, and the way between the two clocks.

Ref: IEEE 802.3, clause 40 (clock tolerance of 1000BASE-T).
"""

from amaranth.hdl import ClockDomain, DomainRenamer, Module
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import PulseSynchronizer
from amaranth.lib.fifo import AsyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from tickgate.boards.mac import MacReceive, MacTransmit
from tickgate.boards.rgmii import Rgmii
from tickgate.hdl.stream import Octets, pipe

__all__ = ["GigabitPort"]

FIFO_DEPTH = 16


class GigabitPort(wiring.Component):
    """Takes frames from a PHY and sends frames to it.

    Latency: of `transmitted` that of :class:`MacTransmit`; of `received` not constant, since two
    clocks meet. Throughput: a frame at line rate each way, for ever.

    Defines the clock domain `rx`, the PHY's. Received octets cross from it to the core's clock
    through a FIFO that is always read. By the standard the clocks differ by 200 ppm at most, which
    is 0.3 octets over the longest frame, and each gap makes up for it. When the core's clock is the
    faster one, an octet may come a cycle later than the one before it asks for.

    Parameters
    ----------
    pins, transmit_delay_ps, receive_delay_ps : of :class:`Rgmii`

    Members
    -------
    received : Out(stream of Octets(1), always_ready)
    transmitted : In(stream of Octets(1))
    overflow : Out(1)
        One cycle when received octets were lost for want of room: the clocks are out of bounds.
    underrun : Out(1)
        One cycle for each transmitted frame that was cut short.
    """

    received: Out(stream.Signature(Octets(1), always_ready=True))
    transmitted: In(stream.Signature(Octets(1)))
    overflow: Out(1)
    underrun: Out(1)

    def __init__(self, *, pins, transmit_delay_ps: int, receive_delay_ps: int) -> None:
        self._rgmii = Rgmii(
            pins=pins, transmit_delay_ps=transmit_delay_ps, receive_delay_ps=receive_delay_ps
        )
        super().__init__()

    def elaborate(self, platform) -> Module:
        m = Module()
        m.domains.rx = ClockDomain("rx")
        m.submodules.rgmii = rgmii = self._rgmii
        m.submodules.receive = receive = DomainRenamer("rx")(MacReceive())
        m.submodules.transmit = transmit = MacTransmit()
        m.submodules.fifo = fifo = AsyncFIFOBuffered(
            width=Octets(1).size, depth=FIFO_DEPTH, w_domain="rx", r_domain="sync"
        )
        m.submodules.lost = lost = PulseSynchronizer("rx", "sync")
        m.d.comb += [
            receive.gmii.eq(rgmii.rx),
            fifo.w_data.eq(receive.octets.payload),
            fifo.w_en.eq(receive.octets.valid),
            lost.i.eq(fifo.w_en & ~fifo.w_rdy),
            self.overflow.eq(lost.o),
            fifo.r_en.eq(1),
            self.received.payload.eq(fifo.r_data),
            self.received.valid.eq(fifo.r_rdy),
            rgmii.tx.eq(transmit.gmii),
            self.underrun.eq(transmit.underrun),
        ]
        pipe(m, wiring.flipped(self.transmitted), transmit.octets)
        return m
