# amaranth: UnusedElaboratable=no
"""Parameters in force: all or nothing, for every reader and in every cycle."""

from functools import cache

import pytest
from amaranth.hdl import Module, Value
from amaranth.sim import Simulator
from simulated import Simulated

from tickgate.hdl.control.bus import BusSignature
from tickgate.hdl.control.parameters import READERS, Commit, ParameterStore, reader_layout
from tickgate.sim.prove.opened import inside, opened
from tickgate.spec import registers
from tickgate.spec.registers import (
    PAGE_WORDS,
    PARAMETERS,
    Status,
    in_force_address,
    page_values,
    parameter_checksum,
    shadow_address,
)

SYMBOLS = 2
ZERO = [[0] * PAGE_WORDS] * SYMBOLS


def random_pages(generator, *, symbols=SYMBOLS) -> list[list[int]]:
    return [
        [generator.getrandbits(32) & mask for mask in registers.WORD_MASKS] for _ in range(symbols)
    ]


def reader_views(pages) -> tuple[int, ...]:
    """What the readers see of these pages, in the order of `look`."""
    views = []
    for page in pages:
        values = page_values(page)
        for members in READERS.values():
            view, low = 0, 0
            for names in members.values():
                for name in names:
                    view |= values[name] << low
                    low += registers.PARAMETERS_BY_NAME[name].width
            views.append(view)
    return tuple(views)


def look(ctx, dut, *, symbols=SYMBOLS) -> tuple[int, ...]:
    views = []
    for symbol in range(symbols):
        for reader in READERS:
            ctx.set(getattr(dut, reader).symbol, symbol)
            views.append(ctx.get(Value.cast(getattr(dut, reader).data)))
    return tuple(views)


async def access(ctx, dut, address, *, write=None, apply=True) -> tuple[Status, int]:
    given = {"address": address, "write": write is not None, "apply": apply, "word": write or 0}
    ctx.set(dut.bus.access, given)
    ctx.set(dut.bus.valid, 1)
    await ctx.tick()
    ctx.set(dut.bus.valid, 0)
    await ctx.tick().repeat(BusSignature.LATENCY - 1)
    return Status(ctx.get(dut.bus.status)), ctx.get(dut.bus.word)


async def write_pages(ctx, dut, pages) -> None:
    for symbol, page in enumerate(pages):
        for word, value in enumerate(page):
            status, _ = await access(ctx, dut, shadow_address(symbol, word), write=value)
            assert status is Status.OK


async def commit(ctx, dut, checksum, *, each_cycle=lambda: None) -> int:
    """Commits and returns the cycles it took; calls `each_cycle` in every one of them."""
    assert ctx.get(dut.settled)
    ctx.set(dut.commit, 1)
    ctx.set(dut.commit_checksum, checksum)
    await ctx.tick()
    ctx.set(dut.commit, 0)
    cycles = 0
    while ctx.get(dut.committing):
        each_cycle()
        await ctx.tick()
        cycles += 1
    each_cycle()
    return cycles


@cache
def build(symbols: int) -> Simulated:
    return Simulated(ParameterStore(symbols=symbols))


def run(scenario, *, symbols=SYMBOLS) -> None:
    simulated = build(symbols)
    dut = simulated.dut

    async def drive(ctx):
        await ctx.tick().until(dut.ready)
        await scenario(ctx, dut)

    simulated.run(drive)


def test_every_parameter_has_a_reader_and_keeps_its_width():
    for reader, members in READERS.items():
        widths = [
            sum(registers.PARAMETERS_BY_NAME[name].width for name in names)
            for names in members.values()
        ]
        assert reader_layout(reader).size == sum(widths)
    read = {name for members in READERS.values() for names in members.values() for name in names}
    assert read == {parameter.name for parameter in PARAMETERS}


@pytest.mark.parametrize("symbols", [1, 2])
def test_no_reader_sees_a_mix_of_old_and_new_in_any_cycle_of_a_commit(symbols, generator):
    stages = [random_pages(generator, symbols=symbols) for _ in range(2)]

    async def scenario(ctx, dut):
        before = reader_views([[0] * PAGE_WORDS] * symbols)
        assert look(ctx, dut, symbols=symbols) == before
        for pages in stages:
            seen = []
            await write_pages(ctx, dut, pages)
            assert look(ctx, dut, symbols=symbols) == before
            await commit(
                ctx,
                dut,
                parameter_checksum(pages),
                each_cycle=lambda seen=seen: seen.append(look(ctx, dut, symbols=symbols)),
            )
            after = reader_views(pages)
            assert seen == [before] * (len(seen) - 1) + [after]
            before = after
            assert ctx.get(dut.checksum) == parameter_checksum(pages)
            assert (ctx.get(dut.valid), ctx.get(dut.failed)) == (1, 0)

    run(scenario, symbols=symbols)


def test_a_wrong_checksum_changes_nothing_in_any_cycle(generator):
    async def scenario(ctx, dut):
        first, second = (random_pages(generator, symbols=1) for _ in range(2))
        await write_pages(ctx, dut, first)
        await commit(ctx, dut, parameter_checksum(first))
        await write_pages(ctx, dut, second)
        for wrong in (parameter_checksum(first), parameter_checksum(second) ^ 1 << 31, 0):
            await commit(
                ctx,
                dut,
                wrong,
                each_cycle=lambda: check(look(ctx, dut, symbols=1) == reader_views(first)),
            )
            assert (ctx.get(dut.valid), ctx.get(dut.failed), ctx.get(dut.fixed)) == (1, 1, 0)
            assert ctx.get(dut.checksum) == parameter_checksum(first)

    run(scenario, symbols=1)


def check(fact: bool) -> None:
    assert fact


def test_a_commit_takes_the_time_it_says():
    async def scenario(ctx, dut):
        cycles = await commit(ctx, dut, parameter_checksum(ZERO))
        assert cycles == SYMBOLS * PAGE_WORDS * Commit.CYCLES_A_WORD + 1

    run(scenario)


def test_while_armed_a_commit_may_change_all_but_what_is_fixed(generator):
    def changed(page, parameters) -> list[int]:
        page = list(page)
        for parameter in parameters:
            bit = generator.randrange(parameter.low, parameter.low + parameter.width)
            page[parameter.word] ^= 1 << bit
        return page

    async def scenario(ctx, dut):
        pages = random_pages(generator, symbols=1)
        await write_pages(ctx, dut, pages)
        await commit(ctx, dut, parameter_checksum(pages))
        ctx.set(dut.armed, 1)
        free = [each for each in PARAMETERS if not each.fixed_while_armed]
        changes = [[each] for each in PARAMETERS if each.fixed_while_armed]
        for parameters in [*changes, free, [PARAMETERS[0], *free]]:
            wanted = [changed(pages[0], parameters)]
            await write_pages(ctx, dut, wanted)
            await commit(ctx, dut, parameter_checksum(wanted))
            fixed = parameters != free
            assert (ctx.get(dut.failed), ctx.get(dut.fixed)) == (fixed, fixed), parameters
            pages = pages if fixed else wanted
            assert look(ctx, dut, symbols=1) == reader_views(pages)

    assert PARAMETERS[0].fixed_while_armed
    run(scenario, symbols=1)


def test_while_armed_the_window_of_one_symbol_may_move_if_it_may_to_the_end(generator):
    async def scenario(ctx, dut):
        told = []

        async def try_to_commit(pages, *, each_cycle=lambda: None):
            told.clear()

            def watch():
                each_cycle()
                told.append(ctx.get(dut.refitted))

            await write_pages(ctx, dut, pages)
            await commit(ctx, dut, parameter_checksum(pages), each_cycle=watch)
            return not ctx.get(dut.failed), any(told)

        def moved(*symbols, word="window_base"):
            changed = [list(page) for page in pages]
            for symbol in symbols:
                changed[symbol][registers.PARAMETERS_BY_NAME[word].word] ^= 1
            return changed

        pages = random_pages(generator)
        # Disarmed, and told.
        assert await try_to_commit(pages) == (True, True)
        assert await try_to_commit(pages) == (True, False)
        ctx.set(dut.armed, 1)
        ctx.set(dut.movable_symbol, 1)
        assert await try_to_commit(moved(1)) == (False, False)
        ctx.set(dut.movable, 1)
        for wrong in (
            moved(0),
            moved(0, 1),
            moved(1, word="tick_is_cent"),
            moved(1, word="name_low"),
        ):
            assert await try_to_commit(wrong) == (False, False)
        cycles = 0

        def falls_once():
            nonlocal cycles
            cycles += 1
            ctx.set(dut.movable, cycles != 20)

        assert await try_to_commit(moved(1), each_cycle=falls_once) == (False, False)
        assert look(ctx, dut) == reader_views(pages)
        assert await try_to_commit(moved(1)) == (True, False)
        assert look(ctx, dut) == reader_views(moved(1))

    run(scenario)


def test_a_write_that_only_asks_writes_nothing():
    async def scenario(ctx, dut):
        address = shadow_address(1, 6)
        assert await access(ctx, dut, address, write=7, apply=False) == (Status.OK, 0)
        assert await access(ctx, dut, address) == (Status.OK, 0)
        await access(ctx, dut, address, write=7)
        assert await access(ctx, dut, address) == (Status.OK, 7)
        assert await access(ctx, dut, in_force_address(1, 6)) == (Status.OK, 0)

    run(scenario)


def test_a_flipped_bit_is_told_to_who_reads_it(generator):
    dut = ParameterStore(symbols=SYMBOLS)
    banks = inside(opened(Module(), "store", dut), "in_force")
    simulated = Simulated(dut)
    pages = random_pages(generator)

    async def scenario(ctx):
        async def told(symbol: int) -> set[str]:
            for reader in READERS:
                ctx.set(getattr(dut, reader).symbol, symbol)
            await ctx.tick()
            return {reader for reader in READERS if ctx.get(dut.errors[reader])}

        await ctx.tick().until(dut.ready)
        await write_pages(ctx, dut, pages)
        await commit(ctx, dut, parameter_checksum(pages))
        for reader, members in READERS.items():
            for name in (name for names in members.values() for name in names):
                # The bank in force after one commit is the second one.
                word = Value.cast(getattr(banks.submodules, f"{reader}_{name}").data[SYMBOLS + 1])
                held = ctx.get(word)
                ctx.set(word, held ^ 1 << generator.randrange(len(word)))
                assert await told(0) == set()
                assert await told(1) == {reader}
                ctx.set(word, held)
                assert await told(1) == set()

    simulated.run(scenario)


def test_nothing_is_answered_before_the_memories_are_clear():
    dut = ParameterStore(symbols=SYMBOLS)

    async def drive(ctx):
        assert not ctx.get(dut.settled)
        status, _ = await access(ctx, dut, shadow_address(0), write=1)
        assert status is Status.NOT_NOW
        status, _ = await access(ctx, dut, shadow_address(0))
        assert status is Status.NOT_NOW
        ctx.set(dut.commit, 1)
        await ctx.tick()
        ctx.set(dut.commit, 0)
        await ctx.tick()
        assert not ctx.get(dut.committing)
        await ctx.tick().until(dut.ready)
        assert await access(ctx, dut, shadow_address(0)) == (Status.OK, 0)
        assert not ctx.get(dut.valid)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()


@pytest.mark.parametrize("symbols", [0, registers.MAX_SYMBOLS + 1])
def test_more_symbols_than_there_are_pages_are_refused(symbols):
    with pytest.raises(ValueError, match="symbols must be 1 to"):
        ParameterStore(symbols=symbols)
