"""The Ethernet frame check sequence, any number of octets of a word in one step.

Ref: IEEE 802.3, 3.2.9 (CRC-32, polynomial 0x04C11DB7, here reflected: 0xEDB88320).
"""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.stream import require_width

__all__ = ["FCS_INITIAL", "FCS_RESIDUE", "Crc32"]

POLYNOMIAL = 0xEDB88320

FCS_INITIAL = 0xFFFFFFFF
"""State before the first octet of a frame."""

FCS_RESIDUE = 0xDEBB20E3
"""State after the last octet of the FCS of a good frame."""


def _remainder(bit: int, octets: int) -> int:
    """What a lone set bit of a message of `octets` octets leaves in a state that began as zero."""
    state = 0
    for position in range(8 * octets):
        state ^= position == bit
        state = state >> 1 ^ (POLYNOMIAL if state & 1 else 0)
    return state


class Crc32(wiring.Component):
    """Takes the state of a frame check sequence past the first `count` octets of a word.

    Latency: 0 cycles (combinational). Throughput: one word a cycle.

    A frame begins with the state `FCS_INITIAL`. Its FCS is the inverted state after its last
    octet, least significant octet first on the wire; a frame received with its FCS is good if the
    state ends as `FCS_RESIDUE`.

    Parameters
    ----------
    width : int
        Octets of a word.

    Members
    -------
    state : In(32)
        State before the word.
    data : In(8 * width)
        Octet 0, the first on the wire, in bits 7:0; octets from `count` on do not matter.
    count : In(range(width + 1))
        Octets that count. With 0 the state stays as it is.
    next_state : Out(32)
        State after the word.
    """

    LATENCY = 0

    def __init__(self, *, width: int) -> None:
        require_width(width)
        self._width = width
        super().__init__(
            {
                "state": In(32),
                "data": In(8 * width),
                "count": In(range(width + 1)),
                "next_state": Out(32),
            }
        )

    def elaborate(self, platform) -> Module:
        # The CRC is linear and blind to leading zeros: a short word, moved up against the end of
        # the word, needs the same matrix as a full one. What is left of a state that is longer
        # than the word passes by.
        m = Module()
        bits = 8 * self._width
        mixed = Signal(max(bits, 32))
        aligned = Signal(bits)
        beyond = Signal(32)
        m.d.comb += mixed.eq(self.state ^ self.data)
        with m.Switch(self.count):
            for count in range(self._width + 1):
                with m.Case(count):
                    m.d.comb += aligned.eq(Cat(Const(0, bits - 8 * count), mixed[: 8 * count]))
                    m.d.comb += beyond.eq(self.state[8 * count :] if count < 4 else 0)
        columns = [_remainder(bit, self._width) for bit in range(bits)]
        for row in range(32):
            taps = [aligned[bit] for bit in range(bits) if columns[bit] >> row & 1]
            m.d.comb += self.next_state[row].eq(Cat(taps).xor() ^ beyond[row])
        return m
