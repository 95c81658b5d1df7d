"""A gigabit MAC as small as it can be: preamble, gap, and nothing else; the FCS is the core's.

Ref: IEEE 802.3, clauses 3 and 4 (frame, interpacket gap), 35 (GMII).
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.stream import Octets

__all__ = ["Gmii", "MacReceive", "MacTransmit"]

PREAMBLE, START = 0x55, 0xD5
PREAMBLE_OCTETS = 7
GAP_OCTETS = 12


class Gmii(data.Struct):
    """One octet time of a GMII in one direction."""

    data: 8
    valid: 1
    error: 1


class MacReceive(wiring.Component):
    """Finds frames in the octets of a PHY.

    Latency: `LATENCY` cycles, the second to learn which octet is the last. Throughput: one octet a
    cycle. A frame in which the PHY saw an error ends at that octet, so that its FCS fails.

    Members
    -------
    gmii : In(Gmii)
    octets : Out(stream of Octets(1), always_ready)
        From destination MAC to FCS.
    """

    LATENCY = 2

    gmii: In(Gmii)
    octets: Out(stream.Signature(Octets(1), always_ready=True))

    def elaborate(self, platform) -> Module:
        m = Module()
        now = Signal(Gmii)
        in_frame, held, first = Signal(), Signal(), Signal()
        octet = Signal(8)
        goes_on = Signal()
        m.d.sync += now.eq(self.gmii)
        m.d.comb += goes_on.eq(now.valid & ~now.error)
        with m.If(~goes_on):
            m.d.sync += [in_frame.eq(0), held.eq(0)]
        with m.Elif(in_frame):
            m.d.sync += [octet.eq(now.data), held.eq(1), first.eq(~held)]
        with m.Elif(now.data == START):
            m.d.sync += in_frame.eq(1)
        m.d.comb += [
            self.octets.valid.eq(held),
            self.octets.payload.data.eq(octet),
            self.octets.payload.count.eq(1),
            self.octets.payload.first.eq(first),
            self.octets.payload.last.eq(~goes_on),
        ]
        return m


class MacTransmit(wiring.Component):
    """Sends frames with preamble before and gap after each.

    Latency: 8 octets of preamble from the first valid octet. Throughput: one octet a cycle within
    a frame. A source that pauses inside a frame makes the frame end with an error (`underrun`).

    Members
    -------
    octets : In(stream of Octets(1))
    gmii : Out(Gmii)
    underrun : Out(1)
        One cycle for each frame that was cut short.
    """

    octets: In(stream.Signature(Octets(1)))
    gmii: Out(Gmii)
    underrun: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        count = Signal(range(max(PREAMBLE_OCTETS, GAP_OCTETS) + 1))
        out = Signal(Gmii)
        m.d.sync += self.gmii.eq(out)
        with m.FSM():
            with m.State("wait"):
                with m.If(self.octets.valid):
                    m.d.comb += [out.valid.eq(1), out.data.eq(PREAMBLE)]
                    m.d.sync += count.eq(1)
                    m.next = "announce"
            with m.State("announce"):
                m.d.comb += [out.valid.eq(1), out.data.eq(PREAMBLE)]
                m.d.sync += count.eq(count + 1)
                with m.If(count == PREAMBLE_OCTETS):
                    m.d.comb += out.data.eq(START)
                    m.next = "send"
            with m.State("send"):
                m.d.sync += count.eq(1)
                m.d.comb += [
                    self.octets.ready.eq(1),
                    out.valid.eq(1),
                    out.data.eq(self.octets.payload.data),
                ]
                with m.If(~self.octets.valid):
                    m.d.comb += [out.error.eq(1), self.underrun.eq(1)]
                    m.next = "pause"
                with m.Elif(self.octets.payload.last):
                    m.next = "pause"
            with m.State("pause"):
                m.d.sync += count.eq(count + 1)
                with m.If(count == GAP_OCTETS):
                    m.next = "wait"
        return m
