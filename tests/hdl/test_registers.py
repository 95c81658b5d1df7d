"""Every register of the table at its own bus, where an access takes a few cycles."""

from functools import cache

import pytest
from amaranth.hdl import Value
from simulated import Simulated

from tickgate.hdl.control.bus import BusSignature
from tickgate.hdl.control.registers import RegisterBank
from tickgate.spec import registers
from tickgate.spec.registers import REGISTERS, SHADOW_BASE, Kind, Need, Status

SYMBOLS, LOCATES = 3, 128
IDENTITY = {r.name: 5 for r in REGISTERS if r.kind is Kind.IDENTITY} | {
    "symbols": SYMBOLS,
    "locates": LOCATES,
}
CONFIGS = [r for r in REGISTERS if r.kind is Kind.CONFIG]
COMMANDS = [r for r in REGISTERS if r.kind is Kind.COMMAND]


class Requester:
    """Asks the bank over its bus."""

    def __init__(self, ctx, dut) -> None:
        self.ctx, self.dut = ctx, dut

    async def ask(self, address: int, word: int | None = None) -> Status:
        """Reads, or writes a word."""
        ctx, bus = self.ctx, self.dut.bus
        access = {"address": address, "write": word is not None, "apply": 1, "word": word or 0}
        ctx.set(bus.access, access)
        ctx.set(bus.valid, 1)
        await ctx.tick()
        ctx.set(bus.valid, 0)
        await ctx.tick().repeat(BusSignature.LATENCY - 1)
        return Status(ctx.get(bus.status))

    async def read(self, address: int) -> int:
        assert await self.ask(address) is Status.OK
        return self.ctx.get(self.dut.bus.word)

    def configured(self) -> dict[str, int]:
        config = self.dut.config
        return {r.name: self.ctx.get(Value.cast(getattr(config, r.name))) for r in CONFIGS}


@cache
def build() -> Simulated:
    return Simulated(RegisterBank(identity=IDENTITY))


def run(scenario) -> list[str]:
    """Runs `scenario(requester)`; returns the commands that it gave."""
    simulated, given = build(), []
    valids = [(r.name, getattr(simulated.dut.command, r.name).valid) for r in COMMANDS]

    async def watch(ctx):
        while True:
            await ctx.tick()
            given.extend(name for name, valid in valids if ctx.get(valid))

    simulated.run(lambda ctx: scenario(Requester(ctx, simulated.dut)), background=watch)
    return given


def test_what_is_read_only_cannot_be_written():
    async def scenario(requester):
        for register in REGISTERS:
            if not register.writable:
                status = await requester.ask(register.address, 0)
                assert status is Status.READ_ONLY, register.name
        assert set(requester.configured().values()) == {0}

    assert run(scenario) == []


def test_an_address_without_a_register_is_refused():
    holes = [a + 1 for a in registers.BY_ADDRESS if a + 1 not in registers.BY_ADDRESS]
    holes += [a - 1 for a in registers.BY_ADDRESS if a and a - 1 not in registers.BY_ADDRESS]
    holes += [0x0FFF, SHADOW_BASE - 1]

    async def scenario(requester):
        for address in holes:
            assert await requester.ask(address) is Status.BAD_ADDRESS, address
            assert await requester.ask(address, 0) is Status.BAD_ADDRESS, address

    assert run(scenario) == []


def test_a_reserved_bit_a_wrong_code_and_an_index_out_of_range_are_refused():
    wrong = [(r, ~r.mask & r.mask + 1) for r in CONFIGS if r.mask + 1 < 1 << 32]
    wrong += [(r, 1 << 31) for r in CONFIGS if not r.mask >> 31]
    wrong += [(r, r.code ^ 1) for r in COMMANDS if r.code is not None]
    wrong += [(r, 0) for r in COMMANDS if r.code is not None]
    whole, symbol_write = registers.BY_NAME["whole"], registers.BY_NAME["symbol_write"]
    wrong += [(whole, SYMBOLS), (whole, 1 << 17)]
    wrong += [(symbol_write, word) for word in (LOCATES, SYMBOLS << 16, 1 << 28)]

    async def scenario(requester):
        for register, word in wrong:
            status = await requester.ask(register.address, word)
            assert status is Status.BAD_VALUE, (register.name, word)
        assert set(requester.configured().values()) == {0}

    assert run(scenario) == []


@pytest.mark.parametrize("need", [Need.DISARMED, Need.SETTLED, Need.ARMABLE])
def test_what_the_state_of_the_card_forbids_is_refused_and_wrong_words_before_that(need):
    guarded = [r for r in REGISTERS if need in r.needs]
    assert guarded

    async def scenario(requester):
        ctx, dut = requester.ctx, requester.dut
        ctx.set(dut.armed, need is Need.DISARMED)
        ctx.set(dut.committing, need is Need.SETTLED)
        ctx.set(dut.armable, need is not Need.ARMABLE)
        for register in guarded:
            word = register.code or 0
            status = await requester.ask(register.address, word)
            assert status is need.refusal, register.name
            if register.code is not None or register.mask < 0xFFFF_FFFF:
                bad = word ^ 1 if register.code is not None else register.mask + 1
                assert await requester.ask(register.address, bad) is Status.BAD_VALUE
        assert set(requester.configured().values()) == {0}

    assert run(scenario) == []


def test_every_configuration_register_takes_its_words_and_no_other_does(generator):
    async def scenario(requester):
        expected = dict.fromkeys((r.name for r in CONFIGS), 0)
        for register in CONFIGS:
            expected[register.name] = generator.getrandbits(32) & register.mask | 1
            status = await requester.ask(register.address, expected[register.name])
            assert status is Status.OK
            assert requester.configured() == expected
        for register in CONFIGS:
            assert await requester.read(register.address) == expected[register.name]

    assert run(scenario) == []
