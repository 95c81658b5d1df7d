"""Carries out the requests of the host and makes the replies.

Ref: tickgate.spec.registers.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.control.bus import BusSignature, Status
from tickgate.hdl.control.events import HeadSignature
from tickgate.hdl.control.frames import FrameSignature, ReplyOctet
from tickgate.spec.events import RECORD_WORDS
from tickgate.spec.registers import (
    MAX_WORDS,
    REPLY_FLAG,
    REPLY_HEADER_SIZE,
    REQUEST_HEADER_SIZE,
    Opcode,
)

__all__ = ["RequestExecutor"]

WORD_SIZE = 4


class _Header(data.Struct):
    opcode: 8
    tag: 8
    address: 16
    count: 8


class RequestExecutor(wiring.Component):
    """Executes one good frame after the other.

    Latency: a few cycles a word, twice for a WRITE. Throughput: one request at a time.

    A WRITE is checked to its last word before its first one takes effect. A request that fails
    tells its status and, if it was a register's, the address at fault.

    Members
    -------
    frame : In(FrameSignature())
    bus : Out(BusSignature())
    head : In(HeadSignature())
    reply : Out(stream.Signature(ReplyOctet))
    executed : Out(1)
        Strobe: a reply is complete.
    """

    frame: In(FrameSignature())
    bus: Out(BusSignature())
    head: In(HeadSignature())
    reply: Out(stream.Signature(ReplyOctet))
    executed: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.words = ram = memory.Memory(shape=32, depth=MAX_WORDS, init=[])
        words, word = ram.write_port(), ram.read_port(domain="comb")
        header, status = Signal(_Header), Signal(Status)
        at, index = Signal(range(128)), Signal(range(MAX_WORDS + 1))
        total, wait = Signal(range(MAX_WORDS + 1)), Signal(range(8))
        partial, apply = Signal(24), Signal()
        # Between two steps of `index`, and of `total`, there is time to know what follows from it.
        address = Signal(16)
        at_last, final = Signal(), Signal(range(WORD_SIZE * MAX_WORDS + REQUEST_HEADER_SIZE))
        m.d.sync += [
            address.eq(header.address + index),
            at_last.eq(index == header.count - 1),
            final.eq(WORD_SIZE * total + REPLY_HEADER_SIZE - 1),
        ]
        m.d.comb += [
            self.frame.address.eq(at),
            words.addr.eq(index),
            word.addr.eq(index),
            self.bus.access.address.eq(header.address + index),
            self.bus.access.write.eq(header.opcode == Opcode.WRITE),
            self.bus.access.apply.eq(apply),
            self.bus.access.word.eq(word.data),
            self.head.index.eq(index),
            self.head.acknowledged.eq(word.data),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [at.eq(0), index.eq(0), total.eq(0), apply.eq(0), wait.eq(0)]
                with m.If(self.frame.valid):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.sync += [header.eq(Cat(header.as_value()[8:], self.frame.octet)), at.eq(at + 1)]
                with m.If(at == REQUEST_HEADER_SIZE - 1):
                    m.next = "DECODE"
            with m.State("DECODE"):
                self._decode(m, header, status)
            with m.State("LOAD"):
                m.d.comb += words.data.eq(Cat(partial, self.frame.octet))
                m.d.sync += [partial.eq(words.data >> 8), at.eq(at + 1), wait.eq(wait + 1)]
                with m.If(wait == WORD_SIZE - 1):
                    m.d.comb += words.en.eq(1)
                    m.d.sync += [index.eq(index + 1), wait.eq(0)]
                    with m.If(at_last):
                        m.d.sync += index.eq(0)
                        m.next = "ACCESS"
                        with m.If(header.opcode == Opcode.EVENT):
                            m.next = "ACKNOWLEDGE"
            with m.State("ACCESS"):
                m.d.comb += self.bus.valid.eq(wait == 0)
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == BusSignature.LATENCY):
                    m.d.sync += wait.eq(0)
                    m.next = "RESULT"
            with m.State("RESULT"):
                self._conclude(m, header, status, words, index, total, apply, at_last, address)
            with m.State("ACKNOWLEDGE"):
                m.d.comb += self.head.acknowledge.eq(wait == 0)
                m.d.sync += [wait.eq(wait + 1), status.eq(Status.OK)]
                with m.If(wait == HeadSignature.SETTLING):
                    m.next = "PREPARE"
                    with m.If(self.head.present):
                        m.next = "COLLECT"
            with m.State("COLLECT"):
                m.d.comb += [words.en.eq(1), words.data.eq(self.head.word)]
                m.d.sync += index.eq(index + 1)
                with m.If(index == RECORD_WORDS - 1):
                    m.d.comb += self.head.delivered.eq(1)
                    m.d.sync += total.eq(RECORD_WORDS)
                    m.next = "PREPARE"
            with m.State("PREPARE"):
                m.d.sync += [at.eq(0), index.eq(0)]
                m.next = "REPLY"
            with m.State("REPLY"):
                self._reply(m, header, status, word, at, index, total, final)
        return m

    def _decode(self, m: Module, header, status: Signal) -> None:
        length, count = self.frame.length, header.count
        countable = (count != 0) & (count <= MAX_WORDS)
        loads = countable & (length == REQUEST_HEADER_SIZE + WORD_SIZE * count)
        m.d.sync += status.eq(Status.BAD_LENGTH)
        m.next = "PREPARE"
        with m.Switch(header.opcode):
            with m.Case(Opcode.READ):
                with m.If(countable & (length == REQUEST_HEADER_SIZE)):
                    m.next = "ACCESS"
            with m.Case(Opcode.WRITE):
                with m.If(loads):
                    m.next = "LOAD"
            with m.Case(Opcode.EVENT):
                with m.If(loads & (count == 1)):
                    m.next = "LOAD"
            with m.Default():
                m.d.sync += status.eq(Status.UNKNOWN_OPCODE)

    def _conclude(self, m, header, status, words, index, total, apply, at_last, address) -> None:
        """Goes on to the next word of a READ or WRITE, or ends it."""
        reads = header.opcode == Opcode.READ
        m.d.comb += words.data.eq(self.bus.word)
        m.d.sync += [status.eq(self.bus.status), index.eq(index + 1)]
        m.next = "ACCESS"
        with m.If(self.bus.status != Status.OK):
            m.d.comb += [
                words.en.eq(1),
                words.addr.eq(0),
                words.data.eq(address),
            ]
            m.d.sync += total.eq(1)
            m.next = "PREPARE"
        with m.Else():
            m.d.comb += words.en.eq(reads)
            with m.If(at_last):
                m.d.sync += [index.eq(0), apply.eq(1), total.eq(Mux(reads, header.count, 0))]
                with m.If(reads | apply):
                    m.next = "PREPARE"

    def _reply(self, m, header, status, word, at, index, total, final) -> None:
        octets = Array([header.opcode | REPLY_FLAG, header.tag, status, total])
        within = at[:2]
        reply = self.reply.payload
        m.d.comb += [
            self.reply.valid.eq(1),
            reply.octet.eq(
                Mux(
                    at < REPLY_HEADER_SIZE,
                    octets[within],
                    word.data.word_select(within, 8),
                )
            ),
            reply.last.eq(at == final),
        ]
        with m.If(self.reply.ready):
            m.d.sync += at.eq(at + 1)
            with m.If((at >= REPLY_HEADER_SIZE) & (within == WORD_SIZE - 1)):
                m.d.sync += index.eq(index + 1)
            with m.If(reply.last):
                m.d.comb += [self.frame.release.eq(1), self.executed.eq(1)]
                m.next = "IDLE"
