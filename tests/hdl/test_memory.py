# amaranth: UnusedElaboratable=no
"""Memories: what the simulator sees, and what synthesis is told."""

import re
import subprocess

import pytest
from amaranth.hdl import Module, Value
from amaranth.sim import Simulator

from tickgate.hdl import yosys
from tickgate.hdl.memory import BlockMemory, DualPortMemory, Sweep, TableMemory
from tickgate.hdl.netlist import to_rtlil
from tickgate.sim.prove.opened import opened

DEPTH, WIDTH = 1024, 18
"""One block RAM of an ECP5."""


def collisions(memory) -> list[str]:
    """For each clocked read port, whether it may read anything while its address is written."""
    ports = re.findall(r"cell \$memrd_v2.*?^ *end$", to_rtlil(memory), re.MULTILINE | re.DOTALL)
    return [
        re.search(r"COLLISION_X_MASK 1'(.)", port)[1]
        for port in ports
        if r"parameter \CLK_ENABLE 1" in port
    ]


def test_synthesis_is_told_of_relaxed_memories_alone():
    assert collisions(BlockMemory(depth=DEPTH, shape=WIDTH)) == ["0"]
    assert collisions(BlockMemory(depth=DEPTH, shape=WIDTH, reads=2, relaxed=True)) == ["1", "1"]
    assert collisions(DualPortMemory(depth=DEPTH, shape=WIDTH)) == ["1", "1"]
    assert collisions(TableMemory(depth=16, shape=WIDTH)) == []


@pytest.mark.parametrize(
    ("memory", "blocks"),
    [
        (DualPortMemory(depth=DEPTH, shape=WIDTH), 1),
        (BlockMemory(depth=DEPTH, shape=WIDTH, reads=2, relaxed=True), 2),
    ],
    ids=["shared port", "own ports"],
)
def test_a_second_read_port_on_the_address_of_the_writes_needs_no_second_block(
    memory, blocks, tmp_path
):
    (tmp_path / "top.il").write_text(to_rtlil(memory))
    subprocess.run(
        [
            *(*yosys.COMMAND, "-q", "-p"),
            "read_rtlil top.il; synth_ecp5 -top top; tee -o stat.txt stat",
        ],
        cwd=tmp_path,
        check=True,
    )
    found = re.search(r"(\d+)\s+DP16KD", (tmp_path / "stat.txt").read_text())
    assert int(found[1]) == blocks


@pytest.mark.parametrize("depth", [32, 31])
@pytest.mark.parametrize("make", [BlockMemory, DualPortMemory])
def test_a_memory_of_several_banks_is_as_one(make, depth, monkeypatch, generator):
    monkeypatch.setattr(BlockMemory, "BANK", 8)
    memory = make(depth=depth, shape=8)
    kept, asked = [0] * depth, []

    async def testbench(ctx):
        while not ctx.get(memory.ready):
            await ctx.tick()
        for _ in range(500):
            address, writes = generator.randrange(depth), generator.random() < 0.5
            ctx.set(memory.address(), address)
            ctx.set(memory.write, writes)
            at, value = generator.randrange(depth), generator.randrange(256)
            ctx.set(memory.write_address, at)
            ctx.set(memory.write_data, value)
            # Of a relaxed one, what is read while it is written is not looked at.
            hidden = make is DualPortMemory and writes and at == address
            asked.append(None if hidden else kept[address])
            if writes:
                kept[at] = value
            await ctx.tick()
            if len(asked) > 1 and asked[-2] is not None:
                assert ctx.get(memory.data()) == asked[-2]

    simulator = Simulator(memory)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    banks = [
        name for name in to_rtlil(make(depth=depth, shape=8)).splitlines() if " memory " in name
    ]
    assert len(banks) == 4


@pytest.mark.parametrize("poisoned", [False, True])
def test_what_a_relaxed_memory_reads_while_it_is_written_can_be_poisoned(poisoned, monkeypatch):
    monkeypatch.setattr(BlockMemory, "POISONED", poisoned)
    memory = BlockMemory(depth=4, shape=8, relaxed=True)

    async def testbench(ctx):
        while not ctx.get(memory.ready):
            await ctx.tick()
        ctx.set(memory.write, 1)
        ctx.set(memory.write_data, 0x5A)
        await ctx.tick()
        ctx.set(memory.write, 0)
        await ctx.tick()
        assert ctx.get(memory.data()) == (0xFF if poisoned else 0)
        await ctx.tick()
        assert ctx.get(memory.data()) == 0x5A

    simulator = Simulator(memory)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("symbols", [3, 4])
def test_a_checked_memory_tells_of_any_bit_that_flips_in_the_word_it_reads(symbols):
    memory = TableMemory(depth=symbols, shape=70, reads=2, checked=(1,))
    ram = opened(Module(), "memory", memory).submodules.ram
    words = [(n * 0x1234567) ** 3 % 2**70 for n in range(symbols)]

    async def testbench(ctx):
        async def errors() -> list[int]:
            """Of each address, those included that no one writes; both ports read it."""
            told = []
            for address in range(4):
                for port in memory.address(0), memory.address(1):
                    ctx.set(port, address)
                await ctx.tick()
                told.append(ctx.get(memory.error))
            return told

        row = Value.cast(ram.data[1])
        ctx.set(row, 1)
        ctx.set(memory.address(1), 1)
        while not ctx.get(memory.ready):
            # Whatever it holds before it is swept.
            assert not ctx.get(memory.error)
            await ctx.tick()
        assert await errors() == [0] * 4
        for address, word in enumerate(words):
            ctx.set(memory.write, 1)
            ctx.set(memory.write_address, address)
            ctx.set(memory.write_data, word)
            await ctx.tick()
        ctx.set(memory.write, 0)
        assert await errors() == [0] * 4
        held = ctx.get(row)
        for bit in range(71):
            ctx.set(row, held ^ 1 << bit)
            assert await errors() == [0, 1, 0, 0]
        ctx.set(row, held)
        ctx.set(memory.address(1), 0)
        await ctx.tick()
        ctx.set(row, held ^ 1)
        ctx.set(memory.address(0), 1)
        await ctx.tick()
        assert not ctx.get(memory.error)

    simulator = Simulator(memory)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("flag", ["done", "runs"])
def test_a_sweep_of_which_it_is_not_known_that_it_is_over_does_not_begin_anew(flag):
    sweep = Sweep(depth=4)
    register = getattr(sweep, flag)

    async def testbench(ctx):
        while ctx.get(sweep.active):
            assert not ctx.get(sweep.broken)
            await ctx.tick()
        ctx.set(register, not ctx.get(register))
        await ctx.tick()
        assert (ctx.get(sweep.active), ctx.get(sweep.broken)) == (0, 1)

    simulator = Simulator(sweep)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


def test_a_port_that_is_not_there_cannot_be_checked():
    with pytest.raises(ValueError, match="checked must be of 1 read ports"):
        TableMemory(depth=4, shape=8, checked=(1,))
