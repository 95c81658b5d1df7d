# amaranth: UnusedElaboratable=no
"""The control part as the host sees it: octets in, octets out, and what that does inside."""

import struct
import zlib
from functools import cache
from types import SimpleNamespace

import pytest
from amaranth.hdl import Cat, Value
from cobs import cobs
from simulated import Simulated

from tickgate.hdl.control import Control
from tickgate.spec import events, registers
from tickgate.spec.registers import (
    BY_NAME,
    IN_FORCE_BASE,
    MAX_WORDS,
    PAGE_WORDS,
    REGISTERS,
    SHADOW_BASE,
    Kind,
    Need,
    Opcode,
    Status,
    in_force_address,
    parameter_checksum,
    shadow_address,
)

SYMBOLS = 3
DEPTH = 4
PERIOD_PS = 6400
BUILT = {
    "width": 8,
    "symbols": SYMBOLS,
    "ticks": 64,
    "orders": 256,
    "locates": 128,
    "event_depth": DEPTH,
    "clock_period_ps": PERIOD_PS,
    "sessions": 0,
}
PATIENCE = 1500
"""Cycles that a reply may take; the longest request takes fewer."""

ROOMY_AND_SLOW = {"event_depth": 16, "clock_period_ps": 1_000_000}
"""Of a card whose cycles take a microsecond."""

ZERO_CHECKSUM = parameter_checksum([[0] * PAGE_WORDS] * SYMBOLS)
"""Names the pages as they are after reset."""

CONFIGS = [r for r in REGISTERS if r.kind is Kind.CONFIG]
COMMANDS = [r for r in REGISTERS if r.kind is Kind.COMMAND]
COUNTERS = [r for r in REGISTERS if r.kind is Kind.COUNTER]


def runs(chosen) -> list[list]:
    """Registers by address, as many as one request may be for at a time."""
    found = []
    for register in sorted(chosen, key=lambda register: register.address):
        after = found and register.address == found[-1][-1].address + 1
        if after and len(found[-1]) < MAX_WORDS:
            found[-1].append(register)
        else:
            found.append([register])
    return found


def ends(chosen) -> list:
    """Of registers, those at the ends of each run of addresses: tests of the bank take them all."""
    chosen = list(chosen)
    addresses = {r.address for r in chosen}
    return [r for r in chosen if not {r.address - 1, r.address + 1} <= addresses]


def seal(body: bytes) -> bytes:
    return cobs.encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0"


def request(opcode: int, tag: int, address: int, count: int, words=()) -> bytes:
    return seal(struct.pack(f"<BBHB{len(words)}I", opcode, tag, address, count, *words))


class Host:
    """Speaks to the control part over its streams."""

    def __init__(self, ctx, dut):
        self.ctx, self.dut, self.tag = ctx, dut, 0
        self._shadows: dict[int, list[int]] = {}

    async def send(self, octets: bytes) -> None:
        ctx, stream = self.ctx, self.dut.control_rx
        for octet in octets:
            ctx.set(stream.payload, octet)
            ctx.set(stream.valid, 1)
            assert ctx.get(stream.ready)
            await ctx.tick()
        ctx.set(stream.valid, 0)

    async def receive(self, patience=PATIENCE) -> bytes | None:
        """One frame without its delimiter, or None if none comes."""
        ctx, stream = self.ctx, self.dut.control_tx
        ctx.set(stream.ready, 1)
        octets = bytearray()
        try:
            for _ in range(patience):
                valid, octet = ctx.get(stream.valid), ctx.get(stream.payload)
                await ctx.tick()
                if valid and octet == 0:
                    return bytes(octets)
                if valid:
                    octets.append(octet)
        finally:
            ctx.set(stream.ready, 0)
        assert not octets
        return None

    async def ask(self, opcode, address, count, words=()) -> tuple[Status, list[int]]:
        self.tag = (self.tag + 37) % 256
        await self.send(request(opcode, self.tag, address, count, words))
        return self.open(await self.receive(), opcode)

    def open(self, frame: bytes | None, opcode: int) -> tuple[Status, list[int]]:
        assert frame is not None, "no reply"
        octets = cobs.decode(frame)
        body, crc = octets[:-4], octets[-4:]
        assert struct.unpack("<I", crc) == (zlib.crc32(body),)
        answered, tag, status, count = body[:4]
        assert (answered, tag) == (opcode | registers.REPLY_FLAG, self.tag)
        return Status(status), list(struct.unpack(f"<{count}I", body[4:]))

    async def read_words(self, address: int, count: int) -> list[int]:
        status, words = await self.ask(Opcode.READ, address, count)
        assert status is Status.OK
        assert len(words) == count
        return words

    async def read(self, name: str) -> int:
        (word,) = await self.read_words(BY_NAME[name].address, 1)
        return word

    async def read_all(self, registers_) -> dict[str, int]:
        """All of them by name, in requests as long as can be."""
        values = {}
        for run in runs(registers_):
            words = await self.read_words(run[0].address, len(run))
            values |= {r.name: word for r, word in zip(run, words, strict=True)}
        return values

    async def state(self) -> SimpleNamespace:
        return SimpleNamespace(**BY_NAME["state"].unpack(await self.read("state")))

    async def read_page(self, address: int) -> list[int]:
        return [
            word
            for at in range(0, PAGE_WORDS, MAX_WORDS)
            for word in await self.read_words(address + at, MAX_WORDS)
        ]

    async def write_page(self, address: int, page) -> Status:
        for at in range(0, PAGE_WORDS, MAX_WORDS):
            status = await self.write_words(address + at, page[at : at + MAX_WORDS])
            if status is not Status.OK:
                break
        return status

    async def write_words(self, address: int, words) -> Status:
        status, fault = await self.ask(Opcode.WRITE, address, len(words), words)
        if status is Status.OK:
            assert fault == []
        else:
            assert len(fault) == 1
            assert address <= fault[0] < address + len(words)
        return status

    async def write(self, name: str, word: int) -> Status:
        return await self.write_words(BY_NAME[name].address, [word])

    async def command(self, name: str) -> Status:
        return await self.write(name, BY_NAME[name].code)

    async def event(self, acknowledged: int) -> dict | None:
        status, words = await self.ask(Opcode.EVENT, 0, 1, [acknowledged])
        assert status is Status.OK
        return events.unpack(words) if words else None

    async def drain(self, acknowledged: int = 0) -> list[dict]:
        records = []
        while record := await self.event(acknowledged):
            records.append(record)
            acknowledged = record["sequence"] + 1
        return records

    async def write_pages(self, pages) -> None:
        """Those that are not there yet."""
        for symbol, page in enumerate(pages):
            if self._shadows.get(symbol, [0] * PAGE_WORDS) != page:
                assert await self.write_page(shadow_address(symbol), page) is Status.OK
                self._shadows[symbol] = list(page)

    async def settle(self) -> SimpleNamespace:
        for _ in range(30):
            state = await self.state()
            if not state.committing:
                return state
            await self.ctx.tick().repeat(100)
        raise AssertionError("the commit does not end")

    async def commit(self, pages) -> SimpleNamespace:
        await self.write_pages(pages)
        assert await self.write("commit", parameter_checksum(pages)) is Status.OK
        return await self.settle()

    async def get_armed(self) -> None:
        self.ctx.set(self.dut.tables_ready, 1)
        assert await self.write("commit", ZERO_CHECKSUM) is Status.OK
        await self.settle()
        assert await self.arm() is Status.OK
        assert self.ctx.get(self.dut.armed)

    async def arm(self, **changes: int) -> Status:
        """Arms for the card as it is, but for what is to be different."""
        meant = {
            "arm_map_hash": "map_hash",
            "arm_build_hash": "build_hash",
            "arm_pages": "committed_checksum",
            "arm_account": "account_checksum",
        }
        words = {name: await self.read(own) for name, own in meant.items()} | changes
        first = BY_NAME["arm_map_hash"].address
        assert await self.write_words(first, list(words.values())) is Status.OK
        return await self.command("arm")

    async def acknowledge(self) -> list[str]:
        """Acknowledges all alerts that there are."""
        word = await self.read("alerts")
        assert await self.write("acknowledge", word) is Status.OK
        return [name for name, bit in BY_NAME["alerts"].unpack(word).items() if bit]


@cache
def build(**changes) -> Simulated:
    return Simulated(Control(event_sources=2, **BUILT | changes), period=PERIOD_PS * 1e-12)


def run(scenario, *, watch=None, **changes) -> None:
    """Runs `scenario(host)`, with `watch(ctx, dut)` after each clock edge."""
    simulated = build(**changes)
    dut = simulated.dut

    async def observe(ctx):
        while True:
            await ctx.tick()
            watch(ctx, dut)

    background = None if watch is None else observe
    simulated.run(lambda ctx: scenario(Host(ctx, dut)), background=background)


def random_page(generator) -> list[int]:
    return [generator.getrandbits(32) & mask for mask in registers.WORD_MASKS]


def random_pages(generator, *, symbols=SYMBOLS) -> list[list[int]]:
    return [random_page(generator) for _ in range(symbols)]


def test_every_identity_register_tells_what_was_built():
    async def scenario(host):
        expected = BUILT | {
            "magic": 0x54474154,
            "version": registers.VERSION,
            "map_hash": registers.MAP_HASH,
            "build_hash": registers.build_hash(**BUILT),
        }
        identity = [r for r in REGISTERS if r.kind is Kind.IDENTITY]
        assert await host.read_all(identity) == expected

    run(scenario)


def test_every_configuration_register_reads_back_and_drives_its_port_and_no_other(generator):
    async def scenario(host):
        expected = {r.name: generator.getrandbits(32) & r.mask | 1 for r in CONFIGS}
        for run in runs(CONFIGS):
            words = [expected[register.name] for register in run]
            assert await host.write_words(run[0].address, words) is Status.OK
        for name, value in expected.items():
            assert host.ctx.get(Value.cast(getattr(host.dut.config, name))) == value
        assert await host.read_all(CONFIGS) == expected
        assert host.ctx.get(host.dut.config.tcp_ports.destination) == (expected["tcp_ports"] >> 16)

    run(scenario)


def test_every_status_register_of_the_core_shows_its_input(generator):
    shown = [r for r in REGISTERS if r.kind is Kind.STATUS and not r.inside]

    async def scenario(host):
        values = {register.name: generator.getrandbits(32) & register.mask for register in shown}
        for name, value in values.items():
            host.ctx.set(Value.cast(getattr(host.dut.status, name)), value)
        assert await host.read_all(shown) == values
        for bit in ("tables_ready", "regular_session", "breach"):
            host.ctx.set(getattr(host.dut, bit), 1)
            state = vars(await host.state())
            assert [name for name, value in state.items() if value] == [bit]
            host.ctx.set(getattr(host.dut, bit), 0)

    run(scenario)


def test_reading_the_low_half_freezes_the_high_half():
    async def scenario(host):
        status = host.dut.status
        host.ctx.set(status.expected_sequence_low, 0xFFFF_FFFF)
        host.ctx.set(status.expected_sequence_high, 7)
        assert await host.read("expected_sequence_low") == 0xFFFF_FFFF
        host.ctx.set(status.expected_sequence_low, 0)
        host.ctx.set(status.expected_sequence_high, 8)
        assert await host.read("expected_sequence_high") == 7
        assert await host.read("expected_sequence_low") == 0
        assert await host.read("expected_sequence_high") == 8

    run(scenario)


def test_every_counter_of_the_core_counts_its_own_input_only():
    core = [r for r in COUNTERS if not r.inside]

    async def scenario(host):
        expected = dict.fromkeys((r.name for r in core), 0)
        # Those whose number has the bit, then the others: of any two, each once rises alone, and
        # every one comes to another number of cycles.
        for bit in range(len(core).bit_length()):
            for value, cycles in ((1, 2 << bit), (0, 1)):
                chosen = [r for n, r in enumerate(core) if n >> bit & 1 == value]
                for register in chosen:
                    amount = (1 << register.amount) - 1
                    host.ctx.set(getattr(host.dut.count, register.name), amount)
                    expected[register.name] += cycles * amount
                await host.ctx.tick().repeat(cycles)
                for register in chosen:
                    host.ctx.set(getattr(host.dut.count, register.name), 0)
        await host.ctx.tick().repeat(2)
        expected = {name: count % (1 << 32) for name, count in expected.items()}
        assert await host.read_all(core) == expected

    run(scenario)


@cache
def any_command(dut) -> Value:
    return Cat(getattr(dut.command, register.name).valid for register in COMMANDS)


def good_word(register) -> int:
    return register.code if register.code is not None else 0


def test_a_command_is_given_for_one_cycle_with_its_word_and_reads_as_0():
    given = []

    def watch(ctx, dut):
        if not ctx.get(any_command(dut)):
            return
        for register in COMMANDS:
            command = getattr(dut.command, register.name)
            if ctx.get(command.valid):
                given.append((register.name, ctx.get(Value.cast(command.payload))))

    async def scenario(host):
        for register in COMMANDS:
            if Need.ARMABLE in register.needs:
                await host.settle()
                assert await host.write("commit", ZERO_CHECKSUM) is Status.OK
                await host.settle()
                host.ctx.set(host.dut.tables_ready, 1)
                # What it is to know of the card is then written.
                assert await host.arm() is Status.OK
                assert await host.command("disarm") is Status.OK
                given.clear()
            assert await host.write(register.name, good_word(register)) is Status.OK
            assert given == [(register.name, good_word(register))]
            given.clear()
        assert set((await host.read_all(COMMANDS)).values()) == {0}
        word = BY_NAME["symbol_write"].pack(locate=127, symbol=2, tracked=1)
        assert await host.write("symbol_write", word) is Status.OK
        assert await host.write("whole", 1 << 16 | 1) is Status.OK
        assert given == [("symbol_write", word), ("whole", 1 << 16 | 1)]

    run(scenario, watch=watch)


def test_an_address_without_a_register_is_refused():
    holes = [r.address + 1 for r in ends(REGISTERS) if r.address + 1 not in registers.BY_ADDRESS]
    holes = [holes[0], holes[len(holes) // 2], holes[-1], 0x0FFF, 0x7FFF, 0xFFFF]
    holes += [SHADOW_BASE + PAGE_WORDS * SYMBOLS, IN_FORCE_BASE + PAGE_WORDS * SYMBOLS]

    async def scenario(host):
        for address in holes:
            assert await host.ask(Opcode.READ, address, 1) == (Status.BAD_ADDRESS, [address])
            assert await host.ask(Opcode.WRITE, address, 1, [0]) == (
                Status.BAD_ADDRESS,
                [address],
            )
        assert await host.ask(Opcode.READ, holes[0] - 1, 2) == (Status.BAD_ADDRESS, [holes[0]])

    run(scenario)


def test_what_is_read_only_cannot_be_written():
    async def scenario(host):
        for register in ends(r for r in REGISTERS if not r.writable):
            assert await host.write(register.name, 0) is Status.READ_ONLY
        assert await host.write_words(in_force_address(1, 3), [0]) is Status.READ_ONLY
        assert await host.read("magic") == registers.MAGIC

    run(scenario)


def test_a_reserved_bit_a_wrong_code_and_an_index_out_of_range_are_refused():
    wrong = [(r.name, ~r.mask & r.mask + 1) for r in ends(CONFIGS) if r.mask + 1 < 1 << 32]
    wrong += [(r.name, r.code ^ 1) for r in ends(COMMANDS) if r.code is not None]
    wrong += [("whole", SYMBOLS), ("whole", 1 << 17)]
    wrong += [("symbol_write", 128), ("symbol_write", SYMBOLS << 16), ("symbol_write", 1 << 28)]
    given = []

    def watch(ctx, dut):
        if ctx.get(any_command(dut)):
            given.append(ctx.get(dut.time))

    async def scenario(host):
        for name, word in wrong:
            assert await host.write(name, word) is Status.BAD_VALUE, (name, word)
        assert set((await host.read_all(CONFIGS)).values()) == {0}
        for word, mask in enumerate(registers.WORD_MASKS):
            if mask != 0xFFFF_FFFF:
                top = shadow_address(0, word)
                assert await host.write_words(top, [mask + 1]) is Status.BAD_VALUE
        assert await host.read_page(shadow_address(0)) == [0] * PAGE_WORDS
        assert given == []

    run(scenario, watch=watch)


def test_an_armed_card_refuses_configuration_and_commands_that_need_it_disarmed():
    guarded = [r for r in REGISTERS if Need.DISARMED in r.needs]
    assert len(guarded) > len(CONFIGS)
    given = []

    def watch(ctx, dut):
        if ctx.get(any_command(dut)):
            given.append(ctx.get(dut.time))

    async def scenario(host):
        await host.get_armed()
        given.clear()
        for register in ends(guarded):
            assert await host.write(register.name, good_word(register)) is Status.ARMED
        assert given == []
        assert await host.write("feed_port", 1 << 16) is Status.BAD_VALUE
        assert await host.command("disarm") is Status.OK
        assert await host.write("feed_port", 26477) is Status.OK
        assert host.ctx.get(host.dut.config.feed_port) == 26477

    run(scenario, watch=watch)


def test_a_request_of_the_wrong_length_or_an_unknown_opcode_is_refused():
    feed_address = BY_NAME["feed_address"].address

    async def scenario(host):
        for opcode, count, words in [
            (Opcode.READ, 0, []),
            (Opcode.READ, 17, []),
            (Opcode.READ, 255, []),
            (Opcode.READ, 1, [0]),
            (Opcode.WRITE, 0, []),
            (Opcode.WRITE, 1, []),
            (Opcode.WRITE, 2, [1]),
            (Opcode.WRITE, 1, [1, 1]),
            (Opcode.WRITE, 17, [1] * 16),
            (Opcode.EVENT, 0, []),
            (Opcode.EVENT, 1, []),
            (Opcode.EVENT, 2, [0, 0]),
        ]:
            answer = await host.ask(opcode, feed_address, count, words)
            assert answer == (Status.BAD_LENGTH, []), (opcode, count)
        body = struct.pack("<BBHB3s", Opcode.WRITE, host.tag, feed_address, 1, b"abc")
        await host.send(seal(body))
        assert host.open(await host.receive(), Opcode.WRITE) == (Status.BAD_LENGTH, [])
        for opcode in (0x00, 0x04, 0x40, 0x7F):
            answer = await host.ask(opcode, feed_address, 1, [1])
            assert answer == (Status.UNKNOWN_OPCODE, [])
        assert await host.read("feed_address") == 0

    run(scenario)


def test_a_write_of_many_words_takes_effect_wholly_or_not_at_all(generator):
    first = BY_NAME["destination_mac_low"].address
    names = [registers.BY_ADDRESS[first + n].name for n in range(10)]

    async def scenario(host):
        words = [generator.getrandbits(32) & BY_NAME[name].mask for name in names]
        broken = [*words[:-1], 1 << 16]
        assert await host.ask(Opcode.WRITE, first, 10, broken) == (Status.BAD_VALUE, [first + 9])
        assert await host.read_words(first, 10) == [0] * 10
        assert await host.ask(Opcode.WRITE, first, 11, [*words, 0]) == (
            Status.BAD_ADDRESS,
            [first + 10],
        )
        assert await host.read_words(first, 10) == [0] * 10
        assert await host.write_words(first, words) is Status.OK
        assert await host.read_words(first, 10) == words

    run(scenario)


def test_16_words_are_written_and_read_in_one_frame(generator):
    async def scenario(host):
        page = random_page(generator)[:16]
        assert await host.write_words(shadow_address(2), page) is Status.OK
        assert await host.read_words(shadow_address(2), 16) == page
        zeros = [0] * 16
        assert await host.write_words(shadow_address(2), zeros) is Status.OK
        assert await host.read_words(shadow_address(2), 16) == zeros
        assert await host.read_words(shadow_address(1), 16) == zeros

    run(scenario)


def test_a_frame_with_any_one_bit_wrong_does_nothing_and_the_next_one_is_understood():
    good = request(Opcode.WRITE, 5, BY_NAME["feed_port"].address, 1, [0x00_1234])
    errors = ("serial_crc_errors", "serial_framing_errors", "serial_overruns")

    async def scenario(host):
        damaged, enough = 0, 48
        for bit in range(8 * (len(good) - 1)):
            wrong = bytearray(good)
            wrong[bit // 8] ^= 1 << bit % 8
            await host.send(bytes(wrong))
            assert await host.receive(patience=enough) is None, bit
            assert host.ctx.get(host.dut.config.feed_port) == 0
            # An octet that turned into a delimiter makes two frames of one.
            damaged += sum(1 for frame in wrong.split(b"\0") if frame)
        counted = [await host.read(name) for name in errors]
        assert sum(counted) == damaged
        assert counted[0] > 0
        assert counted[1] > 0
        host.tag = 5
        await host.send(good)
        assert host.open(await host.receive(patience=enough), Opcode.WRITE) == (Status.OK, [])
        assert host.ctx.get(host.dut.config.feed_port) == 0x1234

    run(scenario)


@pytest.mark.parametrize(
    ("octets", "counter"),
    [
        (request(Opcode.READ, 1, 0, 1)[:-3] + b"\0", "serial_framing_errors"),
        (seal(b"\1\1\0\0"), "serial_framing_errors"),
        (b"\x01\0", "serial_framing_errors"),
        (cobs.encode(b"\1\1\0\0\1abcd") + b"\0", "serial_crc_errors"),
        (seal(bytes(range(1, 71))), "serial_overruns"),
        (b"\xff" * 300 + b"\0", "serial_overruns"),
    ],
    ids=["cut", "short", "one block without octets", "crc", "one octet too long", "endless"],
)
def test_a_frame_that_is_no_request_is_counted_by_its_cause_and_the_next_one_is_understood(
    octets, counter
):
    async def scenario(host):
        await host.send(octets)
        assert await host.receive(patience=200) is None
        for name in ("serial_crc_errors", "serial_framing_errors", "serial_overruns"):
            assert await host.read(name) == (name == counter)

    run(scenario)


def test_the_longest_frame_fits():
    async def scenario(host):
        await host.send(seal(struct.pack("<BBHB64s", Opcode.WRITE, 0, 0xFFF0, 16, b"\xff" * 64)))
        assert host.open(await host.receive(), Opcode.WRITE) == (Status.BAD_ADDRESS, [0xFFF0])
        assert await host.read("serial_overruns") == 0

    run(scenario)


def test_delimiters_between_frames_do_no_harm():
    async def scenario(host):
        await host.send(b"\0\0\0")
        assert await host.read("magic") == registers.MAGIC
        for name in ("serial_crc_errors", "serial_framing_errors", "serial_overruns"):
            assert await host.read(name) == 0

    run(scenario)


def test_a_request_that_comes_before_the_last_one_is_answered_is_counted_and_dropped():
    async def scenario(host):
        await host.send(request(Opcode.READ, 9, BY_NAME["magic"].address, 1))
        await host.send(request(Opcode.READ, 10, BY_NAME["version"].address, 1))
        host.tag = 9
        assert host.open(await host.receive(), Opcode.READ) == (Status.OK, [registers.MAGIC])
        assert await host.receive(patience=200) is None
        assert await host.read("serial_overruns") == 1
        assert await host.read("version") == registers.VERSION

    run(scenario)


def test_a_reply_waits_for_the_line_and_stays_the_same(generator):
    async def scenario(host):
        ctx, stream = host.ctx, host.dut.control_tx
        page = random_page(generator)[:16]
        await host.write_words(shadow_address(0), page)
        host.tag = 3
        await host.send(request(Opcode.READ, 3, shadow_address(0), 16))
        octets = bytearray()
        while not octets or octets[-1]:
            await ctx.tick().until(stream.valid)
            octet = ctx.get(stream.payload)
            for _ in range(generator.randrange(4)):
                await ctx.tick()
                assert ctx.get(stream.valid)
                assert ctx.get(stream.payload) == octet
            ctx.set(stream.ready, 1)
            await ctx.tick()
            ctx.set(stream.ready, 0)
            octets.append(octet)
        assert host.open(bytes(octets[:-1]), Opcode.READ) == (Status.OK, page)

    run(scenario)


def test_frames_that_were_executed_are_counted():
    async def scenario(host):
        assert [await host.read("serial_frames") for _ in range(3)] == [0, 1, 2]

    run(scenario)


def test_a_commit_of_the_shadow_pages_puts_them_in_force(generator):
    async def scenario(host):
        rest = random_pages(generator, symbols=SYMBOLS - 1)
        for _ in range(2):
            pages = random_pages(generator, symbols=1) + rest
            assert (await host.commit(pages)).commit_failed == 0
            assert await host.read("committed_checksum") == parameter_checksum(pages)
            for n, page in enumerate(pages):
                assert await host.read_page(in_force_address(n)) == page
                for reader in (host.dut.window, host.dut.strategy, host.dut.limits, host.dut.name):
                    host.ctx.set(reader.symbol, n)
                p = registers.page_values(page)
                assert host.ctx.get(host.dut.window.data.base) == p["window_base"]
                assert host.ctx.get(host.dut.strategy.data.threshold) == p["threshold"]
                assert host.ctx.get(host.dut.limits.data.max_long) == p["max_long"]
                assert host.ctx.get(host.dut.name.data.name) == (
                    p["name_high"] << 32 | p["name_low"]
                )

    run(scenario)


def test_the_limits_of_the_account_come_into_force_with_a_commit_and_not_before(generator):
    names = [r.name for r in CONFIGS if r.name.startswith("account_")]
    assert names

    async def scenario(host):
        def in_force():
            return {
                name: host.ctx.get(Value.cast(getattr(host.dut.account, name))) for name in names
            }

        before = dict.fromkeys(names, 0)
        for right in (True, False, True):
            written = {name: generator.getrandbits(32) & BY_NAME[name].mask for name in names}
            for name, word in written.items():
                assert await host.write(name, word) is Status.OK
                assert in_force() == before
            assert await host.write("commit", ZERO_CHECKSUM ^ (not right)) is Status.OK
            await host.settle()
            before = written if right else before
            assert in_force() == before

    run(scenario)


def test_a_commit_with_a_wrong_checksum_changes_nothing(generator):
    async def scenario(host):
        zero = [[0] * PAGE_WORDS]
        first, second = (zero + random_pages(generator, symbols=2) for _ in range(2))
        await host.write_pages(second)
        assert await host.write("commit", parameter_checksum(second) ^ 1) is Status.OK
        state = await host.settle()
        assert (state.config_valid, state.commit_failed, state.commit_fixed) == (0, 1, 0)
        assert await host.read("committed_checksum") == 0

        assert (await host.commit(first)).commit_failed == 0
        await host.write_pages(second)
        assert await host.write("commit", parameter_checksum(first)) is Status.OK
        state = await host.settle()
        assert (state.config_valid, state.commit_failed, state.commit_fixed) == (1, 1, 0)
        assert await host.read("committed_checksum") == parameter_checksum(first)
        for n, page in enumerate(first[:2]):
            assert await host.read_page(in_force_address(n)) == page
            assert await host.read_page(shadow_address(n)) == second[n]
        assert (await host.commit(second)).commit_failed == 0

    run(scenario)


def test_during_a_commit_what_is_in_force_can_be_read_and_the_shadows_not_written(generator):
    async def scenario(host):
        rest = [[0] * PAGE_WORDS] * 4
        first, second = ([*random_pages(generator, symbols=1), *rest] for _ in range(2))
        await host.commit(first)
        await host.write_pages(second)
        assert await host.write("commit", parameter_checksum(second)) is Status.OK
        assert (await host.state()).committing
        assert await host.write("commit", parameter_checksum(second)) is Status.NOT_NOW
        assert await host.write_page(shadow_address(0), first[0]) is Status.NOT_NOW
        words = await host.read_page(in_force_address(0))
        assert (await host.state()).committing, "the walk ended before the test did"
        assert words == first[0]
        assert (await host.settle()).commit_failed == 0
        assert await host.read_page(in_force_address(0)) == second[0]

    run(scenario, symbols=5)


@pytest.mark.parametrize("name", ["window_base", "max_long"])
def test_an_armed_card_takes_new_parameters_but_not_those_that_are_fixed(name, generator):
    parameter = registers.PARAMETERS_BY_NAME[name]

    async def scenario(host):
        pages = [[0] * PAGE_WORDS] * SYMBOLS
        await host.get_armed()
        changed = [list(page) for page in pages]
        changed[1][parameter.word] = 5
        state = await host.commit(changed)
        fixed = parameter.fixed_while_armed
        assert (state.armed, state.commit_failed, state.commit_fixed) == (1, fixed, fixed)
        in_force = pages if fixed else changed
        assert await host.read("committed_checksum") == parameter_checksum(in_force)
        assert await host.read_page(in_force_address(1)) == in_force[1]

    run(scenario)


def test_a_card_is_armed_only_with_a_valid_configuration_and_clear_tables_and_not_killed():
    async def scenario(host):
        ctx, dut = host.ctx, host.dut
        assert not ctx.get(dut.armed)
        assert not ctx.get(dut.killed)
        ctx.set(dut.tables_ready, 1)
        assert await host.command("arm") is Status.NOT_NOW
        ctx.set(dut.tables_ready, 0)
        await host.commit([[0] * PAGE_WORDS] * SYMBOLS)
        assert await host.command("arm") is Status.NOT_NOW
        ctx.set(dut.tables_ready, 1)
        assert await host.write("arm", 1) is Status.BAD_VALUE
        assert not ctx.get(dut.armed)
        assert await host.arm() is Status.OK
        assert ctx.get(dut.armed)
        assert (await host.state()).armed
        assert await host.write("disarm", 0) is Status.BAD_VALUE
        assert ctx.get(dut.armed)
        assert await host.command("disarm") is Status.OK
        assert not ctx.get(dut.armed)

    run(scenario)


def test_a_killed_card_is_disarmed_and_stays_so_until_the_kill_is_cleared_and_it_is_armed_again():
    async def scenario(host):
        ctx, dut = host.ctx, host.dut
        await host.get_armed()
        assert await host.command("kill") is Status.OK
        for _ in range(2):
            assert (ctx.get(dut.armed), ctx.get(dut.killed)) == (0, 1)
            state = await host.state()
            assert (state.armed, state.killed) == (0, 1)
            assert await host.command("arm") is Status.NOT_NOW
        assert await host.command("clear_kill") is Status.OK
        assert (ctx.get(dut.armed), ctx.get(dut.killed)) == (0, 0)
        assert await host.command("arm") is Status.NOT_NOW
        assert await host.acknowledge() == ["killed"]
        assert await host.command("arm") is Status.OK
        ctx.set(dut.kill, {"internal": 1})
        await ctx.tick()
        ctx.set(dut.kill, {})
        assert (ctx.get(dut.armed), ctx.get(dut.killed)) == (0, 1)

    run(scenario)


def test_each_cause_kills_and_is_told_until_it_is_cleared():
    causes = [field.name for field in BY_NAME["kill_causes"].fields]

    async def scenario(host):
        ctx, dut = host.ctx, host.dut

        async def told() -> list[str]:
            word = BY_NAME["kill_causes"].unpack(await host.read("kill_causes"))
            killed = {ctx.get(dut.killed), 1 - ctx.get(dut.unkilled), (await host.state()).killed}
            assert killed == {int(any(word.values()))}
            return [name for name, value in word.items() if value]

        await host.get_armed()
        assert await told() == []
        for cause in causes:
            ctx.set(dut.kill, {cause: 1})
            await ctx.tick()
            ctx.set(dut.kill, {})
            assert not ctx.get(dut.armed)
            assert await told() == [cause]
            assert await host.command("kill") is Status.OK
            assert await told() == sorted({cause, "host"}, key=causes.index)
            assert await host.command("clear_kill") is Status.OK
            assert await told() == []
            assert await host.acknowledge() == ["killed"]
            assert await host.command("arm") is Status.OK
        ctx.set(dut.kill_pin, 1)
        await ctx.tick().repeat(4)
        assert not ctx.get(dut.armed)
        assert await host.command("clear_kill") is Status.OK
        assert await told() == ["pin"]
        ctx.set(dut.kill_pin, 0)
        await ctx.tick().repeat(4)
        assert await told() == ["pin"]
        assert await host.command("clear_kill") is Status.OK
        assert await told() == []

    run(scenario)


def test_a_card_is_armed_only_by_who_knows_what_it_is(generator):
    names = ("arm_map_hash", "arm_build_hash", "arm_pages", "arm_account")

    async def scenario(host):
        account = {r.name: generator.getrandbits(32) & r.mask for r in registers.ACCOUNT_REGISTERS}
        for name, word in account.items():
            assert await host.write(name, word) is Status.OK
        assert await host.read("account_checksum") == 0
        await host.get_armed()
        assert await host.read("account_checksum") == registers.account_checksum(account)
        assert await host.write("arm_pages", 0) is Status.ARMED
        assert await host.command("disarm") is Status.OK
        # What is not in force counts for nothing.
        assert await host.write("account_max_gross_low", 5) is Status.OK
        assert await host.read("account_checksum") == registers.account_checksum(account)
        for name in names:
            wrong = generator.getrandbits(32)
            assert await host.arm(**{name: wrong}) is Status.NOT_NOW
            assert not host.ctx.get(host.dut.armed)
        assert await host.arm() is Status.OK

    run(scenario)


def test_what_alerts_is_kept_until_it_is_acknowledged_and_lasting_is_no_alert_again():
    async def scenario(host):
        ctx, dut = host.ctx, host.dut
        await host.get_armed()
        assert await host.acknowledge() == []
        ctx.set(dut.alarm, {"strategy_off": 1})
        await ctx.tick().repeat(2)
        # It stops no card that is armed.
        assert ctx.get(dut.armed)
        assert await host.command("disarm") is Status.OK
        assert await host.command("arm") is Status.NOT_NOW
        assert await host.write("acknowledge", 1) is Status.OK
        assert await host.command("arm") is Status.NOT_NOW
        assert await host.acknowledge() == ["strategy_off"]
        assert await host.command("arm") is Status.OK
        ctx.set(dut.alarm, {})
        await ctx.tick().repeat(2)
        ctx.set(dut.alarm, {"strategy_off": 1})
        await ctx.tick().repeat(2)
        ctx.set(dut.alarm, {})
        assert await host.command("kill") is Status.OK
        assert await host.acknowledge() == ["killed", "strategy_off"]

    run(scenario)


def test_a_silent_host_kills_an_armed_card():
    heartbeat = BY_NAME["host_heartbeat"]

    async def scenario(host):
        ctx, dut = host.ctx, host.dut

        async def beat() -> None:
            challenge = await host.read("heartbeat_challenge")
            assert await host.write("heartbeat_answer", challenge ^ 0xFFFF_FFFF) is Status.OK

        assert await host.write("host_heartbeat", heartbeat.pack(timeout=1, off=0)) is Status.OK
        await host.get_armed()
        assert await host.write("host_heartbeat", heartbeat.pack(timeout=9, off=0)) is Status.ARMED
        for _ in range(4):
            await ctx.tick().repeat(700)
            await beat()
        assert await host.write("heartbeat_answer", 0) is Status.OK
        assert ctx.get(dut.armed) and ctx.get(dut.host_alive)
        await ctx.tick().repeat(2100)
        assert not ctx.get(dut.armed) and not ctx.get(dut.host_alive)
        causes = BY_NAME["kill_causes"].unpack(await host.read("kill_causes"))
        assert [name for name, came in causes.items() if came] == ["host_heartbeat"]
        assert (await host.read("heartbeats"), await host.read("heartbeats_wrong")) == (4, 1)
        assert await host.command("clear_kill") is Status.OK
        assert ctx.get(dut.host_alive)

    run(scenario, **ROOMY_AND_SLOW)


def test_the_time_is_set_by_command_and_goes_on_without_drift():
    start = (7 << 32) - 3

    async def scenario(host):
        ctx, dut = host.ctx, host.dut
        assert await host.write("time_low", start & 0xFFFF_FFFF) is Status.OK
        assert await host.write("time_high", start >> 32) is Status.OK
        assert ctx.get(dut.time) < 1 << 32
        host.tag = 1
        word = BY_NAME["time_set"].code
        await host.send(request(Opcode.WRITE, 1, BY_NAME["time_set"].address, 1, [word]))
        while ctx.get(dut.time) < start:
            await ctx.tick()
        for cycles in range(400):
            assert ctx.get(dut.time) == start + cycles * PERIOD_PS // 1000
            await ctx.tick()
        assert host.open(await host.receive(), Opcode.WRITE) == (Status.OK, [])
        before = ctx.get(dut.time)
        low, high = await host.read_words(BY_NAME["time_now_low"].address, 2)
        assert before < high << 32 | low < ctx.get(dut.time)

    run(scenario)


def report(host, source: int, **values) -> None:
    stream = host.dut.events[source]
    host.ctx.set(stream.valid, bool(values))
    host.ctx.set(stream.payload, values)


def test_an_event_is_delivered_whole_and_again_until_it_is_acknowledged(generator):
    async def scenario(host):
        fields = {
            "kind": events.EventKind.REFUSED,
            "side": 1,
            "symbol": 2,
            "user_ref_num": generator.getrandbits(32),
            "quantity": generator.getrandbits(32),
            "price": generator.getrandbits(32),
            "reasons": generator.getrandbits(64),
            "message_sequence": generator.getrandbits(32),
            "latency_cycles": generator.getrandbits(16),
            "code": generator.getrandbits(8),
            "detail": generator.getrandbits(32),
        }
        now = host.ctx.get(host.dut.time)
        report(host, 0, **fields)
        report(host, 1, kind=events.EventKind.GAP, message_sequence=77)
        await host.ctx.tick()
        report(host, 0)
        report(host, 1)
        assert await host.read("events_pending") == 2
        first = await host.event(0)
        assert first == fields | {"sequence": 0, "time": now}
        assert type(first["kind"]) is events.EventKind
        assert await host.event(0) == first
        assert await host.event(77) == first
        second = await host.event(1)
        assert (second["kind"], second["sequence"]) == (events.EventKind.GAP, 1)
        assert second["message_sequence"] == 77
        assert await host.event(1) == second
        assert await host.event(2) is None
        assert await host.event(2) is None
        assert await host.read("events_pending") == 0

    run(scenario)


def test_events_that_find_the_queue_full_are_counted_and_leave_a_hole_in_the_numbers():
    async def scenario(host):
        for n in range(DEPTH + 3):
            report(host, 1, kind=events.EventKind.GAP, message_sequence=n)
            await host.ctx.tick()
        report(host, 1)
        lost = DEPTH + 3 - await host.read("events_pending")
        assert lost > 0
        assert await host.read("events_lost") == lost
        records = await host.drain()
        kept = DEPTH + 3 - lost
        assert [record["sequence"] for record in records] == list(range(kept))
        assert [record["message_sequence"] for record in records] == list(range(kept))
        report(host, 1, kind=events.EventKind.GAP, message_sequence=99)
        await host.ctx.tick()
        report(host, 1)
        (record,) = await host.drain(kept)
        assert (record["sequence"], record["message_sequence"]) == (DEPTH + 3, 99)
        assert await host.read("events_lost") == lost

    run(scenario)


def test_every_change_of_state_and_every_commit_is_an_event():
    async def scenario(host):
        await host.get_armed()
        assert await host.command("kill") is Status.OK
        records = await host.drain()
        changes = [
            BY_NAME["state"].unpack(record["detail"])
            for record in records
            if record["kind"] == events.EventKind.STATE_CHANGED
        ]
        assert [[name for name, value in state.items() if value] for state in changes] == [
            ["tables_ready"],
            ["config_valid", "tables_ready"],
            ["armed", "config_valid", "tables_ready"],
            ["killed", "config_valid", "tables_ready"],
        ]
        (commit,) = (r for r in records if r["kind"] == events.EventKind.CONFIG_COMMITTED)
        assert commit["detail"] == ZERO_CHECKSUM
        assert len(records) == 5
        times = [record["time"] for record in records]
        assert times == sorted(times)

    run(scenario, **ROOMY_AND_SLOW)


@pytest.mark.parametrize(
    "wrong",
    [
        {"symbols": 0},
        {"symbols": registers.MAX_SYMBOLS + 1},
        {"event_depth": 1},
        {"clock_period_ps": 0},
        {"sessions": -1},
        {"ticks": 1 << 32},
        {"event_sources": 20},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_control_part_that_cannot_be_built_is_refused_at_once(wrong):
    with pytest.raises(ValueError, match="must be"):
        Control(**BUILT | wrong)
