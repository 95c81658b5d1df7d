"""Components Verilated, for tests of many cycles: some hundred times as fast as Amaranth's own."""

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path

from amaranth.hdl import ClockDomain, Module, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.sim.virtual.build import convert, library

__all__ = ["Packed", "Verilated"]

LOOP = Path(__file__).with_name("verilated.cpp")
WORD = 32


def words_of(bits: int) -> int:
    """Verilator has vectors of more than 64 bits as arrays of words; all are to be such ones."""
    return max(3, -(-bits // WORD))


class _Top(wiring.Component):
    def __init__(self, dut: wiring.Component) -> None:
        self._dut = dut
        self.words = [words_of(Value.cast(port).shape().width) for port in (dut.given, dut.gives)]
        given, gives = (WORD * words for words in self.words)
        super().__init__({"clk": In(1), "rst": In(1), "given": In(given), "gives": Out(gives)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.domains.sync = sync = ClockDomain()
        m.submodules.dut = dut = self._dut
        m.d.comb += [
            sync.clk.eq(self.clk),
            sync.rst.eq(self.rst),
            Value.cast(dut.given).eq(self.given),
            self.gives.eq(Value.cast(dut.gives)),
        ]
        return m


class Verilated:
    """A component that is clocked without a step of Python, each time from reset.

    Reset leaves memories as they are, as in the card; at first they hold anything.

    Parameters
    ----------
    dut : wiring.Component
        Has one input `given` and one output `gives`, each of any layout.
    """

    def __init__(self, dut: wiring.Component) -> None:
        top = _Top(dut)
        self._given, self._gives = (4 * words for words in top.words)
        header = "".join(
            f"constexpr unsigned {name} = {words};\n"
            for name, words in zip(("GIVEN", "GIVES"), top.words, strict=True)
        )
        verilog = convert(top, ports="{}", quiet=True) / "card.v"
        made = library(verilog, loop=LOOP, header=header, quiet=True) / "card.so"
        self._library = ctypes.CDLL(str(made))
        self._library.component_new.restype = ctypes.c_void_p
        self._library.component_run.argtypes = [
            *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint64)
        ]
        self._library.component_run.restype = None
        self._it = self._library.component_new()

    def run(self, given: Sequence[int]) -> list[int]:
        """What it gives in each cycle, before the clock edge, for what it is given there."""
        octets = b"".join(word.to_bytes(self._given, "little") for word in given)
        gives = ctypes.create_string_buffer(self._gives * len(given))
        self._library.component_run(self._it, octets, gives, len(given))
        raw, size = gives.raw, self._gives
        return [int.from_bytes(raw[at : at + size], "little") for at in range(0, len(raw), size)]


class Packed:
    """A layout and the values of its fields as one number, both ways."""

    def __init__(self, shape) -> None:
        self._fields = [
            (key, field.offset, (1 << field.width) - 1, _packed(field.shape))
            for key, field in data.Layout.cast(shape)
        ]
        self._last, self._word = None, 0

    def pack(self, values: Mapping) -> int:
        """Fields that are not told, or None, are 0. What is told must not change later on."""
        if values is self._last:
            return self._word
        word = 0
        for key, offset, mask, inner in self._fields:
            value = values.get(key)
            if value:
                word |= ((inner.pack(value) if inner else value) & mask) << offset
        self._last, self._word = values, word
        return word

    def unpack(self, word: int) -> dict:
        """Every field; none is taken to be signed."""
        return {
            key: inner.unpack(word >> offset & mask) if inner else word >> offset & mask
            for key, offset, mask, inner in self._fields
        }


def _packed(shape) -> Packed | None:
    try:
        return Packed(shape)
    except TypeError:
        return None
