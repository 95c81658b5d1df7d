"""A gigabit MAC as small as it can be: preamble, gap, and nothing else; the FCS is the core's.

Ref: IEEE 802.3, clauses 3 and 4 (frame, interpacket gap), 35 (GMII).
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.stream import Octets
from tickgate.spec.ethernet import INTERFRAME_GAP, PREAMBLE_SIZE

__all__ = ["Gmii", "MacReceive", "MacTransmit"]

PREAMBLE, START = 0x55, 0xD5


class Gmii(data.Struct):
    """One octet time of a GMII in one direction."""

    data: 8
    valid: 1
    error: 1


class MacReceive(wiring.Component):
    """Finds frames in the octets of a PHY.

    Latency: `LATENCY` cycles, one of them to learn whether an octet is the last. Throughput: one
    octet a cycle; one octet of gap is enough.

    A frame begins after the first start delimiter, however long its preamble is. A frame in which
    the PHY saw an error ends before the octet in error, with its last octet inverted: no error,
    not even one behind a whole frame, leaves an FCS that is right. What follows up to the next gap
    is skipped. So is the rest of a frame that was under way when the reset ended.

    Members
    -------
    gmii : In(Gmii)
    octets : Out(stream of Octets(1), always_ready)
        From destination MAC to FCS, without a pause.
    """

    LATENCY = 2

    gmii: In(Gmii)
    octets: Out(stream.Signature(Octets(1), always_ready=True))

    def elaborate(self, platform) -> Module:
        m = Module()
        # As if a frame were there during reset: only a gap seen after it counts as one.
        now = Signal(Gmii, init={"valid": 1})
        arriving = Signal()
        octet = Signal(8)
        held = Signal()
        first = Signal()
        m.d.sync += now.eq(self.gmii)
        m.d.comb += arriving.eq(now.valid & ~now.error)
        with m.FSM():
            with m.State("SKIP"):
                with m.If(~now.valid):
                    m.next = "PREAMBLE"
            with m.State("PREAMBLE"):
                with m.If(arriving & (now.data == START)):
                    m.next = "FRAME"
                with m.Elif(now.valid & now.error):
                    m.next = "SKIP"
            with m.State("FRAME"):
                m.d.sync += [octet.eq(now.data), held.eq(arriving), first.eq(~held)]
                with m.If(~arriving):
                    m.next = "PREAMBLE"
                    with m.If(now.valid):
                        m.next = "SKIP"
        m.d.comb += [
            self.octets.valid.eq(held),
            self.octets.payload.data.eq(Mux(now.valid & now.error, ~octet, octet)),
            self.octets.payload.count.eq(1),
            self.octets.payload.first.eq(first),
            self.octets.payload.last.eq(~arriving),
        ]
        return m


class MacTransmit(wiring.Component):
    """Sends frames with preamble before and gap after each.

    Latency: `LATENCY` cycles from the first octet offered to the first octet on the GMII, of which
    the preamble takes 8; up to 12 more within the gap after a frame. Throughput: one octet a cycle
    within a frame, whose source must not pause. A frame whose source does pause ends there with an
    error on the GMII, and the rest of it is taken and dropped.

    Frames are sent as they come: at least 60 octets and their FCS are the source's duty.

    Members
    -------
    octets : In(stream of Octets(1))
        From destination MAC to FCS.
    gmii : Out(Gmii)
    underrun : Out(1)
        One cycle for each frame that was cut short.
    """

    LATENCY = PREAMBLE_SIZE + 1

    octets: In(stream.Signature(Octets(1)))
    gmii: Out(Gmii)
    underrun: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        sent = Signal(range(PREAMBLE_SIZE))
        silence = Signal(range(INTERFRAME_GAP + 1))
        out = Signal(Gmii)
        m.d.sync += self.gmii.eq(out)
        with m.If(out.valid):
            m.d.sync += silence.eq(0)
        with m.Elif(silence != INTERFRAME_GAP):
            m.d.sync += silence.eq(silence + 1)
        with m.FSM():
            with m.State("GAP"):
                m.d.sync += sent.eq(1)
                with m.If(self.octets.valid & (silence == INTERFRAME_GAP)):
                    m.d.comb += [out.valid.eq(1), out.data.eq(PREAMBLE)]
                    m.next = "PREAMBLE"
            with m.State("PREAMBLE"):
                m.d.sync += sent.eq(sent + 1)
                m.d.comb += [out.valid.eq(1), out.data.eq(PREAMBLE)]
                with m.If(sent == PREAMBLE_SIZE - 1):
                    m.d.comb += out.data.eq(START)
                    m.next = "FRAME"
            with m.State("FRAME"):
                m.d.comb += [
                    self.octets.ready.eq(1),
                    out.valid.eq(1),
                    out.data.eq(self.octets.payload.data),
                ]
                with m.If(~self.octets.valid):
                    m.d.comb += [out.error.eq(1), self.underrun.eq(1)]
                    m.next = "DROP"
                with m.Elif(self.octets.payload.last):
                    m.next = "GAP"
            with m.State("DROP"):
                m.d.comb += self.octets.ready.eq(1)
                with m.If(self.octets.valid & self.octets.payload.last):
                    m.next = "GAP"
        return m
