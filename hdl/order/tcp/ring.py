"""The octets that were sent and not yet acknowledged, at their sequence numbers.

Ref: RFC 9293, section 3.8.1 (retransmission).
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from tickgate.hdl.stream import require_width

__all__ = ["Ring"]


class Ring(wiring.Component):
    """Keeps the last `size` octets of a stream, written and read at any octet, a word a cycle.

    Latency: `READ_LATENCY` enabled cycles from `read_at` to `data`. Throughput: one write and one
    read a cycle. What is read in the cycle in which it is written, or was never written, is not
    defined.

    Each lane has a block RAM of its own, so that a word may begin anywhere.

    Parameters
    ----------
    width : int
        Octets a cycle.
    size : int
        Octets, a power of two of at least 2 * width.

    Members
    -------
    write_at : In(range(size))
        Place of the octet in lane 0; the others follow.
    write_data : In(8 * width), write_mask : In(width)
        One bit for each lane that is to be written.
    read_at : In(range(size)), read_enable : In(1)
    data : Out(8 * width)
    """

    READ_LATENCY = 2

    def __init__(self, *, width: int, size: int) -> None:
        require_width(width)
        if size < 2 * width or size & (size - 1):
            raise ValueError(f"size must be a power of two of at least {2 * width}, not {size}")
        self._width, self._size = width, size
        super().__init__(
            {
                "write_at": In(range(size)),
                "write_data": In(8 * width),
                "write_mask": In(width),
                "read_at": In(range(size)),
                "read_enable": In(1),
                "data": Out(8 * width),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        width, lane_bits = self._width, exact_log2(self._width)
        depth = self._size // width
        data = self._rotated(self.write_data, self.write_at[:lane_bits], left=True, unit=8)
        mask = self._rotated(self.write_mask, self.write_at[:lane_bits], left=True, unit=1)
        self._lane = lane = Signal(max(1, lane_bits))
        read = []
        for bank in range(width):
            m.submodules[f"bank_{bank}"] = ram = memory.Memory(shape=8, depth=depth, init=[])
            write_port, read_port = ram.write_port(), ram.read_port()
            m.d.comb += [
                write_port.en.eq(mask[bank]),
                write_port.addr.eq(self._row(self.write_at, bank, lane_bits)),
                write_port.data.eq(data[8 * bank : 8 * bank + 8]),
                read_port.en.eq(self.read_enable),
                read_port.addr.eq(self._row(self.read_at, bank, lane_bits)),
            ]
            read.append(read_port.data)
        with m.If(self.read_enable):
            m.d.sync += [
                lane.eq(self.read_at[:lane_bits]),
                self.data.eq(self._rotated(Cat(read), lane[:lane_bits], left=False, unit=8)),
            ]
        return m

    @staticmethod
    def _row(at, bank: int, lane_bits: int):
        return at[lane_bits:] + (at[:lane_bits] > bank)

    @staticmethod
    def _rotated(value, lanes, *, left: bool, unit: int):
        for bit in range(len(lanes)):
            places = unit << bit
            turned = value.rotate_left(places) if left else value.rotate_right(places)
            value = Mux(lanes[bit], turned, value)
        return value
