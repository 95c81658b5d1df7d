"""Keeps a frame of ARP, ICMP or IGMP so that it can be read octet by octet.

Ref: IEEE 802.3 clause 3; RFC 826; RFC 791.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from tickgate.hdl.memory import BlockMemory
from tickgate.hdl.stream import Octets, require_width
from tickgate.spec.ethernet import (
    ETHERNET,
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    IPV4,
    PROTOCOL_ICMP,
    PROTOCOL_IGMP,
)

__all__ = ["SLOT", "Capture"]

SLOT = 256
"""Octets of a frame that are kept, FCS included."""

TYPE_AT = ETHERNET.offset("ethertype")
PROTOCOL_AT = ETHERNET.size + IPV4.offset("protocol")
OCTETS = (TYPE_AT, TYPE_AT + 1, PROTOCOL_AT)
"""What of a frame tells whether a service may answer it."""

HEADERS = ETHERNET.size + IPV4.size


class Capture(wiring.Component):
    """Keeps one frame at a time that a service may answer, once its FCS is known to be right.

    Latency: none that matters; `READ_LATENCY` cycles from `address` to `octet`. Throughput: a word
    a cycle, frames back to back; of frames that services may answer, one until `release`.

    A frame that comes meanwhile is left out (`overrun`). A frame with an 802.1Q tag is none of
    these, since the services speak without one; nor is one without all of an Ethernet and an IPv4
    header.

    Parameters
    ----------
    width : int
        Octets a cycle.
    verdict_latency : int
        Cycles from the last word of a frame to `ends`.

    Members
    -------
    octets : In(stream of Octets)
    ends, bad : In(1)
        A frame has ended; its FCS is wrong.
    arp, icmp, igmp : In(1)
        Keep frames of these.
    full : Out(1), length : Out(range(SLOT + 1)), overlong : Out(1)
        A frame is kept, and how many octets it has with its FCS; of one that has more than `SLOT`,
        only its first ones are there.
    address : In(range(SLOT)), octet : Out(8)
        Reads that frame.
    release : In(1)
        It is not wanted any more.
    overrun : Out(1)
        Counter strobe.
    """

    READ_LATENCY = BlockMemory.READ_LATENCY + 1

    def __init__(self, *, width: int, verdict_latency: int) -> None:
        require_width(width)
        self._width, self._delay = width, verdict_latency
        super().__init__(
            {
                "octets": In(stream.Signature(Octets(width), always_ready=True)),
                "ends": In(1),
                "bad": In(1),
                "arp": In(1),
                "icmp": In(1),
                "igmp": In(1),
                "full": Out(1),
                "length": Out(range(SLOT + 1)),
                "overlong": Out(1),
                "address": In(range(SLOT)),
                "octet": Out(8),
                "release": In(1),
                "overrun": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        width, words = self._width, SLOT // self._width
        m.submodules.kept = kept = BlockMemory(depth=2 * words, shape=8 * width)
        # So late, the last word of a frame is there together with what is known of its FCS.
        word, valid = self.octets.payload, self.octets.valid
        for _ in range(self._delay):
            word_before, valid_before = word, valid
            word, valid = Signal(Octets(width)), Signal()
            m.d.sync += [word.eq(word_before), valid.eq(valid_before)]
        number, slot, sought, wanted = Signal(range(words + 1)), Signal(), Signal(), Signal()
        beyond = number == words
        m.d.comb += [
            kept.write.eq(valid & ~beyond),
            kept.write_address.eq(Cat(number[: exact_log2(words)], slot)),
            kept.write_data.eq(word.data),
            sought.eq(self._is_sought(m, word, valid, number)),
            wanted.eq(self.ends & ~self.bad & sought & kept.ready),
            self.overrun.eq(wanted & self.full),
        ]
        with m.If(valid):
            m.d.sync += number.eq(Mux(word.last, 0, Mux(beyond, number, number + 1)))
        with m.If(self.release):
            m.d.sync += self.full.eq(0)
        with m.If(wanted & ~self.full):
            m.d.sync += [
                slot.eq(~slot),
                self.full.eq(1),
                self.length.eq((number << exact_log2(width)) + word.count),
                self.overlong.eq(beyond),
            ]
        m.d.comb += kept.address().eq(Cat(self.address[exact_log2(width) :], ~slot))
        lane = self.address[: exact_log2(width)]
        for _ in range(BlockMemory.READ_LATENCY):
            lane_before, lane = lane, Signal.like(lane, name="lane")
            m.d.sync += lane.eq(lane_before)
        m.d.sync += self.octet.eq(kept.data().word_select(lane, 8))
        return m

    def _is_sought(self, m: Module, word, valid, number):
        """Whether the frame that ends in this word is one that the services may answer."""
        width = self._width
        octets = {at: Signal(8, name=f"octet_{at}") for at in OCTETS}
        for at, octet in octets.items():
            here, lane = divmod(at, width)
            with m.If(valid & (number == here)):
                m.d.sync += octet.eq(word.data.word_select(lane, 8))
        ethertype = Cat(octets[TYPE_AT + 1], octets[TYPE_AT])
        ip, protocol = Signal(), octets[PROTOCOL_AT]
        arp, icmp, igmp = Signal(), Signal(), Signal()
        m.d.comb += ip.eq(ethertype == ETHERTYPE_IPV4)
        m.d.sync += [
            arp.eq((ethertype == ETHERTYPE_ARP) & self.arp),
            icmp.eq(ip & (protocol == PROTOCOL_ICMP) & self.icmp),
            igmp.eq(ip & (protocol == PROTOCOL_IGMP) & self.igmp),
        ]
        return (number >= HEADERS // width) & (arp | icmp | igmp)
