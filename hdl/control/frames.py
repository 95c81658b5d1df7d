"""Frames on a line of octets: COBS with a zero as delimiter, and a CRC-32 at the end.

Ref: S. Cheshire and M. Baker, "Consistent Overhead Byte Stuffing", 1997; CRC-32 of zlib;
tickgate.spec.registers.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.fcs import FCS_INITIAL, FCS_RESIDUE, Crc32
from tickgate.spec import registers

__all__ = ["FrameReceiver", "FrameSignature", "FrameTransmitter", "ReplyOctet"]

MIN_REQUEST_SIZE = registers.REQUEST_HEADER_SIZE + registers.CRC_SIZE
MAX_REPLY_SIZE = registers.REPLY_HEADER_SIZE + 4 * registers.MAX_WORDS + registers.CRC_SIZE
MAX_SENT_SIZE = MAX_REPLY_SIZE + 2
"""With the one code octet that so short a frame needs, and the delimiter."""


class FrameSignature(wiring.Signature):
    """A frame that is kept, seen from where it is kept.

    Members
    -------
    valid : Out(1), length : Out
        A good frame is here; octets without its CRC.
    address : In, octet : Out(8)
        Reads an octet of the frame, combinationally.
    release : In(1)
        Strobe: the frame is no longer needed.
    """

    def __init__(self) -> None:
        size = registers.MAX_REQUEST_SIZE
        super().__init__(
            {
                "valid": Out(1),
                "length": Out(range(size + 1)),
                "address": In(range(size)),
                "octet": Out(8),
                "release": In(1),
            }
        )


class FrameReceiver(wiring.Component):
    """Takes the stuffing off frames and keeps one until it has been dealt with.

    Latency: a frame is valid in the cycle after its delimiter. Throughput: an octet a cycle; the
    frame must be released before the first octet of the next one.

    A frame is given out only if its CRC is right. A frame that is not is dropped and counted, each
    with one cause, and the next one is not harmed: it begins after the next delimiter. Empty frames
    are ignored.

    Members
    -------
    octets : In(stream.Signature(8, always_ready=True))
    frame : Out(FrameSignature())
    crc_error : Out(1)
        Strobe: the CRC is wrong.
    framing_error : Out(1)
        Strobe: the delimiter came inside a block, or too early for a request.
    overrun : Out(1)
        Strobe: the frame is too long, or began while another one was kept.
    """

    octets: In(stream.Signature(8, always_ready=True))
    frame: Out(FrameSignature())
    crc_error: Out(1)
    framing_error: Out(1)
    overrun: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ram = ram = memory.Memory(shape=8, depth=registers.MAX_REQUEST_SIZE, init=[])
        m.submodules.crc = crc = Crc32(width=1)
        write, read = ram.write_port(), ram.read_port(domain="comb")
        state = Signal(32, init=FCS_INITIAL)
        count = Signal(range(registers.MAX_REQUEST_SIZE + 1))
        block = Signal(8)
        begun, skipping = Signal(), Signal()
        wanted, store = Signal(), Signal()
        octet = self.octets.payload
        m.d.comb += [
            read.addr.eq(self.frame.address),
            self.frame.octet.eq(read.data),
            write.addr.eq(count),
            write.en.eq(store),
            crc.state.eq(state),
            crc.data.eq(write.data),
            crc.count.eq(1),
            store.eq(wanted & ~self.overrun),
        ]
        with m.If(self.frame.release):
            m.d.sync += self.frame.valid.eq(0)
        with m.If(store):
            m.d.sync += [count.eq(count + 1), state.eq(crc.next_state)]
        with m.If(self.octets.valid):
            with m.If(octet == registers.DELIMITER):
                with m.If(begun & ~skipping):
                    self._judge(m, block=block, count=count, state=state)
                m.d.sync += [
                    begun.eq(0),
                    skipping.eq(0),
                    block.eq(0),
                    count.eq(0),
                    state.eq(FCS_INITIAL),
                ]
            with m.Elif(~skipping):
                m.d.sync += begun.eq(1)
                with m.If(block == 0):
                    # A block's length: the zero that ended the block before it is due now.
                    m.d.sync += block.eq(octet - 1)
                    m.d.comb += [wanted.eq(begun), write.data.eq(0)]
                with m.Else():
                    m.d.sync += block.eq(block - 1)
                    m.d.comb += [wanted.eq(1), write.data.eq(octet)]
                full = wanted & (count == registers.MAX_REQUEST_SIZE)
                with m.If((self.frame.valid & ~self.frame.release) | full):
                    m.d.comb += self.overrun.eq(1)
                    m.d.sync += skipping.eq(1)
        return m

    def _judge(self, m: Module, *, block: Signal, count: Signal, state: Signal) -> None:
        with m.If((block != 0) | (count < MIN_REQUEST_SIZE)):
            m.d.comb += self.framing_error.eq(1)
        with m.Elif(state != FCS_RESIDUE):
            m.d.comb += self.crc_error.eq(1)
        with m.Else():
            m.d.sync += [self.frame.valid.eq(1), self.frame.length.eq(count - registers.CRC_SIZE)]


class ReplyOctet(data.Struct):
    """An octet of a reply; `last` one before its CRC or not."""

    octet: 8
    last: 1


class FrameTransmitter(wiring.Component):
    """Adds the CRC to a reply, stuffs it and sends it.

    Latency: nothing leaves before the last octet is in and stuffed. Throughput: one reply at a
    time; an octet a cycle in, then an octet a cycle out.

    The stuffing is made in place: the octet that holds the place of a zero, or of the beginning, is
    written when the next zero or the end shows how far away that is.

    Members
    -------
    reply : In(stream.Signature(ReplyOctet))
        At most 68 octets.
    octets : Out(stream.Signature(8))
        To the line, the delimiter included.
    """

    reply: In(stream.Signature(ReplyOctet))
    octets: Out(stream.Signature(8))

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ram = ram = memory.Memory(shape=8, depth=MAX_SENT_SIZE, init=[])
        m.submodules.crc = crc = Crc32(width=1)
        write, read = ram.write_port(), ram.read_port(domain="comb")
        state = Signal(32, init=FCS_INITIAL)
        end = Signal(range(MAX_SENT_SIZE), init=1)
        place = Signal.like(end, init=0)
        sent = Signal.like(end, init=0)
        left = Signal(range(registers.CRC_SIZE + 1))
        put, octet = Signal(), Signal(8)
        m.d.comb += [
            crc.state.eq(state),
            crc.data.eq(self.reply.payload.octet),
            crc.count.eq(1),
            read.addr.eq(sent),
            self.octets.payload.eq(read.data),
        ]
        with m.If(put):
            m.d.comb += [
                write.en.eq(1),
                write.addr.eq(end),
                write.data.eq(octet),
            ]
            m.d.sync += end.eq(end + 1)
            with m.If(octet == registers.DELIMITER):
                m.d.comb += [write.addr.eq(place), write.data.eq(end - place)]
                m.d.sync += place.eq(end)
        with m.FSM():
            with m.State("BODY"):
                m.d.comb += [
                    self.reply.ready.eq(1),
                    octet.eq(self.reply.payload.octet),
                    put.eq(self.reply.valid),
                ]
                with m.If(self.reply.valid):
                    m.d.sync += [state.eq(crc.next_state), left.eq(registers.CRC_SIZE)]
                    with m.If(self.reply.payload.last):
                        m.next = "CRC"
            with m.State("CRC"):
                m.d.comb += [octet.eq(~state[:8]), put.eq(1)]
                m.d.sync += [state.eq(state >> 8), left.eq(left - 1)]
                with m.If(left == 1):
                    m.next = "END"
            with m.State("END"):
                # The end is stuffed as a zero is; the place it takes is that of the delimiter.
                m.d.comb += [octet.eq(registers.DELIMITER), put.eq(1)]
                m.next = "DELIMITER"
            with m.State("DELIMITER"):
                m.d.comb += [
                    write.en.eq(1),
                    write.addr.eq(place),
                    write.data.eq(registers.DELIMITER),
                ]
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.octets.valid.eq(1)
                with m.If(self.octets.ready):
                    m.d.sync += sent.eq(sent + 1)
                    with m.If(sent == place):
                        m.d.sync += [
                            sent.eq(0),
                            place.eq(0),
                            end.eq(1),
                            state.eq(FCS_INITIAL),
                        ]
                        m.next = "BODY"
        return m
