"""Octets of the host's side of the session, kept until they may be sent together.

Ref: SoupBinTCP 3.00, section 2: a packet must not be divided by another one.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["HostOctet", "Staging"]


class HostOctet(data.Struct):
    """One octet of a packet; `last` ends the packet."""

    data: 8
    last: 1


class Staging(wiring.Component):
    """Collects a packet, or as much of it as there is room for, and moves it into the ring.

    Latency: a packet is `available` one cycle after its last octet; it moves at one octet a cycle,
    the first in the cycle after `move`. Throughput: one packet after the other.

    Parameters
    ----------
    size : int
        Most octets that are sent at once, a power of two.
    ring_size : int

    Members
    -------
    octets : In(stream of HostOctet)
    discard : In(1)
        Forgets what is there and what comes, until the end of the packet that is under way. What
        moves already goes on: its segment is about to be sent. Not together with `move`.
    fresh : In(1)
        What comes is the beginning of a packet.
    available : Out(1), length : Out(range(size + 1)), ends : Out(1)
        There is something to send; how much; the packet ends with it.
    move : In(1), sequence : In(32)
        Take it out, to the place of this number.
    moving : Out(1)
        From the cycle after `move` until the last octet is written.
    at, data, mask : Out
        For lane 0 of `Ring`.
    """

    def __init__(self, *, size: int, ring_size: int) -> None:
        if size < 2 or size & (size - 1):
            raise ValueError(f"size must be a power of two of at least 2, not {size}")
        self._size = size
        super().__init__(
            {
                "octets": In(stream.Signature(HostOctet)),
                "discard": In(1),
                "fresh": In(1),
                "available": Out(1),
                "length": Out(range(size + 1)),
                "ends": Out(1),
                "move": In(1),
                "sequence": In(32),
                "moving": Out(1),
                "at": Out(range(ring_size)),
                "data": Out(8),
                "mask": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.kept = kept = memory.Memory(shape=8, depth=self._size, init=[])
        write, read = kept.write_port(), kept.read_port(domain="comb")
        word = self.octets.payload
        taken = Signal.like(self.length)
        # In the middle of a packet whose beginning was discarded, or sent.
        inside, skipping = Signal(), Signal()
        self._within = taken, inside, skipping
        transfers = self.octets.valid & self.octets.ready
        m.d.comb += [
            self.octets.ready.eq(~self.available & ~self.moving & ~self.fresh),
            write.en.eq(transfers & ~skipping),
            write.addr.eq(self.length),
            write.data.eq(word.data),
            read.addr.eq(taken),
            self.data.eq(read.data),
            self.mask.eq(self.moving),
        ]
        with m.If(transfers):
            m.d.sync += inside.eq(~word.last)
            with m.If(skipping):
                m.d.sync += skipping.eq(~word.last)
            with m.Else():
                m.d.sync += [
                    self.length.eq(self.length + 1),
                    self.available.eq(word.last | (self.length == self._size - 1)),
                    self.ends.eq(word.last),
                ]
        with m.If(self.move):
            m.d.sync += [
                self.available.eq(0),
                self.moving.eq(1),
                taken.eq(0),
                self.at.eq(self.sequence),
            ]
        with m.If(self.moving):
            m.d.sync += [taken.eq(taken + 1), self.at.eq(self.at + 1)]
            with m.If(taken + 1 == self.length):
                m.d.sync += [self.moving.eq(0), self.length.eq(0)]
        with m.If(self.discard):
            m.d.sync += [
                self.available.eq(0),
                skipping.eq((inside | transfers) & ~(transfers & word.last)),
            ]
            with m.If(~self.moving):
                m.d.sync += self.length.eq(0)
        with m.If(self.fresh):
            m.d.sync += [inside.eq(0), skipping.eq(0)]
        return m
