"""Memories as the card needs them: they clear themselves, and block RAM is read in two cycles.

Block RAM survives a soft reset, so every memory whose content matters sweeps itself to zero first
and says when it is ready. A one-cycle block RAM read followed by logic is the slowest path of an
ECP5 (about 125 MHz on speed 8), hence the output register.

What a block RAM reads from an address that is written in the same cycle is not defined. A memory
for which that matters gets logic around it to read what was there before; one that is *relaxed*
does without, because its user never looks at such data (see `tickgate.hdl.netlist.relax`).
"""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Module, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from tickgate.hdl.guard import parity

__all__ = ["RELAXED", "BlockMemory", "Checked", "DualPortMemory", "Sweep", "TableMemory"]

RELAXED = "tickgate.relaxed"
"""Attribute of a relaxed memory in the netlist."""


class Checked(data.StructLayout):
    """A word and a bit that makes the number of ones in both even."""

    def __init__(self, shape) -> None:
        super().__init__({"word": shape, "odd": 1})


class Sweep(wiring.Component):
    """Walks once through all addresses after reset.

    Latency: none. The sweep takes `depth` cycles.

    That it is over is kept twice, for a memory that is swept again has forgotten all: with one of
    both flipped it does not run, and says so.

    Members
    -------
    active : Out(1)
        High while the sweep runs; `address` is then to be cleared.
    address : Out(range(depth))
    broken : Out(1)
        Whether it is over is not known any more.

    `done` and `runs` are the registers that tell.
    """

    SWEPT = False
    """For proofs: memories start clear, and there is nothing to wait for."""

    def __init__(self, *, depth: int) -> None:
        self._depth = depth
        self.done = Signal(init=self.SWEPT, name="done")
        self.runs = Signal(init=not self.SWEPT, name="runs")
        super().__init__({"active": Out(1), "address": Out(range(depth)), "broken": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        done, runs = self.done, self.runs
        at = Signal(range(self._depth))
        m.d.comb += [
            self.active.eq(runs & ~done),
            self.broken.eq(runs == done),
            self.address.eq(at),
        ]
        with m.If(self.active):
            m.d.sync += at.eq(at + 1)
            with m.If(at == self._depth - 1):
                m.d.sync += [done.eq(1), runs.eq(0)]
        return m


class _Swept(wiring.Component):
    """One write port that yields to the sweep, and read ports of one domain."""

    READ_DOMAIN = "sync"
    BANK = None
    """Words of a bank, of which a memory may have up to `BANKS`; by default there is one."""
    BANKS = 4

    def __init__(
        self,
        *,
        depth: int,
        shape,
        reads: int = 1,
        relaxed: bool = False,
        checked: Sequence[int] = (),
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth must be positive, not {depth}")
        if not set(checked) <= set(range(reads)):
            raise ValueError(f"checked must be of {reads} read ports, not {tuple(checked)}")
        self._depth, self._shape, self._reads, self._relaxed = depth, shape, reads, relaxed
        self._checked = tuple(checked)
        members = {
            "ready": Out(1),
            "write": In(1),
            "write_address": In(range(depth)),
            "write_data": In(shape),
        }
        for n in range(reads):
            members[f"address_{n}"] = In(range(depth))
            members[f"data_{n}"] = Out(shape)
        if checked:
            members["error"] = Out(1)
        super().__init__(members)

    def address(self, n: int = 0):
        """The address input of read port `n`."""
        return getattr(self, f"address_{n}")

    def data(self, n: int = 0):
        """The data output of read port `n`."""
        return getattr(self, f"data_{n}")

    def elaborate(self, platform) -> Module:
        m = Module()
        # Of a checked one no address holds what was never written.
        size = 1 << ceil_log2(self._depth) if self._checked else self._depth
        shape = Checked(self._shape) if self._checked else self._shape
        m.submodules.sweep = sweep = Sweep(depth=size)
        write = Signal(data.StructLayout({"en": 1, "addr": range(size), "data": shape}))
        written = Value.cast(self.write_data)
        m.d.comb += [
            self.ready.eq(~sweep.active),
            write.en.eq(sweep.active | self.write),
            write.addr.eq(self.write_address),
            Value.cast(write.data).eq(Cat(written, written.xor()) if self._checked else written),
        ]
        with m.If(sweep.active):
            m.d.comb += [write.addr.eq(sweep.address), Value.cast(write.data).eq(0)]
        count = 1
        if self.BANK and self.BANK < size <= self.BANK * self.BANKS:
            count, size = -(-size // self.BANK), self.BANK
        banks = []
        for n in range(count):
            bank = memory.Memory(
                shape=shape,
                depth=size,
                init=[],
                attrs={RELAXED: 1} if self._relaxed else None,
            )
            m.submodules["ram" if n == 0 else f"ram_{n}"] = bank
            port = bank.write_port()
            m.d.comb += [
                port.en.eq(write.en & (count == 1 or write.addr[exact_log2(size) :] == n)),
                port.addr.eq(write.addr),
                port.data.eq(write.data),
            ]
            banks.append(bank)
        odd = []
        for n in range(self._reads):
            ports = [bank.read_port(domain=self.READ_DOMAIN) for bank in banks]
            self._read(m, ports, write, n)
            if n in self._checked:
                odd.append(parity(m, ports[0].data, name=f"odd_{n}", when=self.ready))
        if self._checked:
            m.d.comb += self.error.eq(Cat(sweep.broken, *odd).any())
        return m


class BlockMemory(_Swept):
    """A block RAM with an output register.

    Latency: `READ_LATENCY` cycles from address to data. Throughput: one read a port and one write
    a cycle. A read sees the writes of earlier cycles, not of its own; of a relaxed memory, a read
    in the cycle of a write to its address yields nothing that may be used.

    Parameters
    ----------
    depth : int
    shape : ShapeLike
    reads : int
        Number of read ports (each one costs a copy).
    relaxed : bool

    Members
    -------
    ready : Out(1)
        The sweep after reset is over; until then writes are lost.
    write, write_address, write_data : In
    address_n : In, data_n : Out
        Read port `n`.
    """

    READ_LATENCY = 2
    BANK = 1 << 14
    """The block RAMs of an ECP5 have no more words; what chooses between two of them must come
    behind the output registers, or these cannot be those of the blocks."""
    POISONED = False
    """For tests: what must not be used is wrong on purpose."""

    def _read(self, m, ports, write, n: int) -> None:
        address = self._physical_address(write, n)
        if self._relaxed and self.POISONED:
            collided = Signal(name=f"collided_{n}")
            m.d.sync += collided.eq(write.en & (write.addr == address))
        outputs = []
        for bank, port in enumerate(ports):
            m.d.comb += port.addr.eq(address)
            read = Value.cast(port.data)
            if self._relaxed and self.POISONED:
                read ^= collided.replicate(len(read))
            output = Signal(len(read), name=f"output_{n}_{bank}", reset_less=True)
            m.d.sync += output.eq(read)
            outputs.append(output)
        answer = outputs[0]
        if len(outputs) > 1:
            asked = Signal(range(len(outputs)), name=f"asked_{n}", reset_less=True)
            answers = Signal.like(asked, name=f"answers_{n}", reset_less=True)
            m.d.sync += [asked.eq(address[exact_log2(self.BANK) :]), answers.eq(asked)]
            answer = Array(outputs)[answers]
        m.d.comb += Value.cast(self.data(n)).eq(answer)

    def _physical_address(self, _write, n: int):
        return self.address(n)


class DualPortMemory(BlockMemory):
    """A relaxed block RAM whose second read port shares its address with the write port.

    Needs half the blocks of one with two read ports beside the write port. In a cycle with a write,
    the second port reads nothing that may be used. Other members as in :class:`BlockMemory`.

    Parameters
    ----------
    depth : int
    shape : ShapeLike
    """

    def __init__(self, *, depth: int, shape) -> None:
        super().__init__(depth=depth, shape=shape, reads=2, relaxed=True)

    def address(self, n: int = 0):
        """The address input of read port `n`."""
        return self.write_address if n else super().address()

    def _physical_address(self, write, n: int):
        return write.addr if n else self.address()


class TableMemory(_Swept):
    """A small memory of look-up tables.

    Latency: reads are combinational; `error` comes ERROR_LATENCY cycle after them. A read sees the
    writes of earlier cycles. Other members and parameters as in :class:`BlockMemory`.

    Parameters
    ----------
    checked : sequence of int
        Read ports that tell, in every cycle, of a bit that has flipped in the word which they read;
        each word then has a parity bit. Without any there is no `error`.

    Members
    -------
    error : Out(1)
        A checked port has read a word with an odd number of flipped bits, whoever meant to read
        it; or (in every cycle) it is not known whether the memory was swept.
    """

    READ_LATENCY = 0
    READ_DOMAIN = "comb"
    ERROR_LATENCY = 1

    def _read(self, m, ports, _write, n: int) -> None:
        (port,) = ports
        read = port.data.word if self._checked else port.data
        m.d.comb += [port.addr.eq(self.address(n)), self.data(n).eq(read)]
