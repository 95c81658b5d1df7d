"""The register map and the event record as tables."""

import re
import zlib

import pytest

from tickgate.spec import events, registers
from tickgate.spec.registers import BY_NAME, PARAMETERS, REGISTERS, Kind, Need, Status


def test_names_and_addresses_are_unique_and_no_retired_address_is_in_use():
    assert len(BY_NAME) == len(REGISTERS)
    assert len({register.address for register in REGISTERS}) == len(REGISTERS)
    assert not registers.RETIRED & registers.BY_ADDRESS.keys()
    assert not BY_NAME.keys() & registers.PARAMETERS_BY_NAME.keys()


def test_every_bit_has_at_most_one_meaning():
    for register in REGISTERS:
        assert sum(f.mask for f in register.fields) == (register.mask if register.fields else 0)
        assert register.mask < 1 << 32
    for word, mask in enumerate(registers.WORD_MASKS):
        bits = [p.mask for p in PARAMETERS if p.word == word]
        assert sum(bits) == mask < 1 << 32


def test_configuration_can_be_changed_only_while_disarmed():
    for register in REGISTERS:
        if register.kind is Kind.CONFIG:
            shows = register.name == "page_bank"
            assert register.needs == (() if shows else (Need.DISARMED,))
    assert Need.DISARMED.refusal is Status.ARMED
    assert Need.ARMABLE.refusal is Need.SETTLED.refusal is Status.NOT_NOW


def test_every_command_is_guarded_by_a_code_or_by_fields_or_names_what_it_acts_upon():
    commands = [register for register in REGISTERS if register.kind is Kind.COMMAND]
    codes = [register.code for register in commands if register.code is not None]
    assert len(set(codes)) == len(codes)
    assert 0 not in codes
    free = [r.name for r in commands if r.code is None and not r.fields]
    # Those of a snapshot do nothing unless `recover` came before, and the book is not whole then.
    # A cancel is of the order whose number it is, if that is open. An answer is right or wrong.
    assert free == [
        "commit",
        "recover_reference_low",
        "recover_reference_high",
        "recover_shares",
        "recover_price",
        "recover_join",
        "cancel_order",
        "heartbeat_answer",
    ]


def test_a_word_is_packed_and_unpacked_by_fields():
    register = BY_NAME["symbol_write"]
    word = register.pack(locate=13, symbol=2, tracked=1)
    assert word == 1 << 31 | 2 << 16 | 13
    assert register.unpack(word) == {"locate": 13, "symbol": 2, "tracked": 1}
    with pytest.raises(ValueError, match="symbol_write: field tracked is missing"):
        register.pack(locate=13, symbol=2)
    with pytest.raises(ValueError, match="symbol_write: locate must be 0 to 65535, not 65536"):
        register.pack(locate=65536, symbol=2, tracked=1)
    with pytest.raises(ValueError, match="symbol_write has no field side"):
        register.pack(locate=1, symbol=2, tracked=1, side=0)
    with pytest.raises(KeyError, match="no field 'side'"):
        register.field("side")


def test_a_page_is_packed_and_unpacked_by_parameters(generator):
    values = {p.name: generator.getrandbits(p.width) for p in PARAMETERS}
    words = registers.page_words(values)
    assert len(words) == registers.PAGE_WORDS
    assert registers.page_values(words) == values
    assert registers.page_words({}) == [0] * registers.PAGE_WORDS
    with pytest.raises(ValueError, match="threshold must be 0 to 65535, not 65536"):
        registers.page_words({"threshold": 65536})
    with pytest.raises(ValueError, match="no parameter 'treshold'"):
        registers.page_words({"treshold": 1})
    with pytest.raises(ValueError, match="32 words, not 3"):
        registers.page_values([0] * 3)


def test_pages_lie_side_by_side_and_below_each_other():
    assert registers.shadow_address(0) == 0x1000
    assert registers.shadow_address(2, 5) == 0x1045
    assert registers.in_force_address(2, 5) == 0x8045
    last = registers.MAX_SYMBOLS - 1
    assert registers.shadow_address(last, 31) == 0x4FFF < registers.IN_FORCE_BASE
    assert registers.in_force_address(last, 31) == 0xBFFF
    assert [registers.bank_of(symbol) for symbol in (0, 511, 512, last)] == [0, 0, 1, 7]
    assert registers.bank_of(last) == registers.BY_NAME["page_bank"].mask
    assert registers.shadow_address(512 + 2, 5) == 0x1045
    with pytest.raises(ValueError, match="symbol index must be"):
        registers.shadow_address(registers.MAX_SYMBOLS)
    with pytest.raises(ValueError, match="words 0 to 31, not 32"):
        registers.in_force_address(0, 32)


def test_the_checksum_is_the_crc_of_the_words_as_little_endian_octets():
    pages = [[0x0403_0201] + [0] * 15, [0xFFFF_FFFF] * 16]
    octets = b"\1\2\3\4" + bytes(60) + b"\xff" * 64
    assert registers.parameter_checksum(pages) == zlib.crc32(octets)


def test_the_map_hash_covers_what_gateware_and_driver_must_agree_upon():
    text = registers.map_text()
    assert zlib.crc32(text.encode()) == registers.MAP_HASH
    for register in REGISTERS:
        assert f" {register.address:04x} {register.name} " in text
    for parameter in PARAMETERS:
        assert parameter.name in text
    for status in Status:
        assert status.name in text
    for field in events.FIELDS:
        assert f"event {field.word} {field.low} {field.width} {field.name}\n" in text


def test_the_build_hash_depends_on_every_value_and_not_on_their_order():
    one = registers.build_hash(symbols=16, ticks=64)
    assert one == registers.build_hash(ticks=64, symbols=16)
    assert len({one, registers.build_hash(symbols=64, ticks=16), registers.build_hash()}) == 3


def test_the_documentation_has_every_register_parameter_opcode_and_status():
    text = registers.render_markdown()
    names = set(re.findall(r"`\.?([a-z0-9_]+)`", text))
    for register in REGISTERS:
        assert register.name in names
        assert f"`0x{register.address:04X}`" in text
        assert names >= {field.name for field in register.fields}
    assert names >= registers.PARAMETERS_BY_NAME.keys()
    for entry in (*registers.Opcode, *Status, *events.EventKind):
        assert entry.name in text
    assert f"0x{registers.MAP_HASH:08X}" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.count("|") >= 3 for line in rows)


def test_an_event_record_fills_its_words_without_overlap():
    bits = 0
    for field in events.FIELDS:
        mask = ((1 << field.width) - 1) << field.offset
        assert not bits & mask, field.name
        bits |= mask
    assert bits < 1 << 32 * events.RECORD_WORDS


def test_an_event_record_is_packed_and_unpacked(generator):
    values = {field.name: generator.getrandbits(field.width) for field in events.FIELDS}
    values["kind"] = events.EventKind.GAP
    words = events.pack(values)
    assert len(words) == events.RECORD_WORDS
    assert events.unpack(words) == values
    assert type(events.unpack(words)["kind"]) is events.EventKind
    assert events.unpack(events.pack({"kind": 200}))["kind"] == 200
    with pytest.raises(ValueError, match="12 words, not 11"):
        events.unpack(words[1:])
    with pytest.raises(ValueError, match="no field 'sides'"):
        events.pack({"sides": 1})
    with pytest.raises(ValueError, match="side must be 0 to 1, not 2"):
        events.pack({"side": 2})
