"""What is proved of memories whose words are checked.

Ref: docs/risk.md, gate 34 (memory integrity).
"""

from amaranth.hdl import Module, Signal, Value

from tickgate.hdl.memory import TableMemory
from tickgate.sim.prove.engine import Harness, Method, Property
from tickgate.sim.prove.opened import opened

__all__ = ["PROPERTIES"]

DEPTH, WIDTH = 4, 96


class CheckedHarness(Harness):
    """A checked memory in which any bit of any word may flip, and any one word (`which`) of it."""

    def __init__(self) -> None:
        super().__init__(
            {
                "which": range(DEPTH),
                "write": 1,
                "write_address": range(DEPTH),
                "write_data": WIDTH,
                "address": range(DEPTH),
                "flip": 1,
                "flip_address": range(DEPTH),
                "flip_bit": range(WIDTH + 1),
            },
            {"error": 1},
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        memory = TableMemory(depth=DEPTH, shape=WIDTH, checked=(0,))
        ram = opened(m, "memory", memory).submodules.ram
        # All of a word, its parity too, as it lies there: of `which`, and of what is to be flipped.
        looks, struck = ram.read_port(domain="comb"), ram.read_port(domain="comb")
        strikes = ram.write_port()
        m.d.comb += [
            memory.write.eq(self.write),
            memory.write_address.eq(self.write_address),
            memory.write_data.eq(self.write_data),
            memory.address().eq(self.address),
            looks.addr.eq(self.which),
            struck.addr.eq(self.flip_address),
            strikes.addr.eq(self.flip_address),
            strikes.en.eq(self.flip),
            Value.cast(strikes.data).eq(Value.cast(struck.data) ^ (1 << self.flip_bit)),
            self.error.eq(memory.error),
        ]
        flipped, due, asked = Signal(), Signal(), Signal()
        with m.If(self.write & (self.write_address == self.which)):
            m.d.sync += flipped.eq(0)
        with m.Elif(self.flip & (self.flip_address == self.which)):
            m.d.sync += flipped.eq(~flipped)
        m.d.sync += [due.eq(flipped), asked.eq(self.address == self.which)]
        at_once = self.write & self.flip & (self.write_address == self.flip_address)
        m.d.comb += [
            self.assumed.eq(self.stays(m, self.which) & ~at_once & (self.flip_bit <= WIDTH)),
            self.holds.eq(
                (Value.cast(looks.data).xor() == flipped) & (~asked | (memory.error == due))
            ),
            self.seen.eq(memory.error & due & asked),
        ]
        return m


PROPERTIES = (
    Property(
        name="parity-of-memory",
        component="memory",
        about="gate 34",
        claim="one cycle after a checked port reads a word, `error` tells exactly whether a number "
        "of its bits that is odd, its parity bit among them, has flipped since it was written",
        contract="no bit of a word flips in the cycle in which it is written; the memory was swept",
        size=f"{DEPTH} words of {WIDTH} bits",
        cover="a bit that has flipped is told",
        method=Method.INDUCTION,
        depth=2,
        reached=2,
        make=CheckedHarness,
    ),
)
