"""ITCH 5.0 against an independent decoder, the sizes of the specification, and a real session."""

import collections
import itertools

import pytest
from itch.parser import MessageParser

from tickgate.spec import itch50
from tickgate.spec.fields import Kind, WireError

SIZES = (
    "S12 R39 H25 Y20 L26 V35 W12 K28 J35 h21 A36 F40 E31 C36 X23 D19 U35 P44 Q40 B19 I50 N20 O48"
)
# The names that another decoder gives the same fields.
THEIR_NAMES = {
    "order_ref": "order_reference_number",
    "orig_order_ref": "order_reference_number",
    "new_order_ref": "new_order_reference_number",
    "side": "buy_sell_indicator",
    "canceled_shares": "cancelled_shares",
    "financial_status": "financial_status_indicator",
    "issue_subtype": "issue_sub_type",
    "short_sale_threshold": "short_sale_threshold_indicator",
    "luld_tier": "luld_ref",
    "etp_leverage": "etp_leverage_factor",
    "inverse": "inverse_indicator",
    "participant_state": "market_participant_state",
    "level1": "level1_price",
    "level2": "level2_price",
    "level3": "level3_price",
    "release_time": "ipo_release_time",
    "release_qualifier": "ipo_release_qualifier",
    "reference_price": "auction_collar_reference_price",
    "upper_price": "upper_auction_collar_price",
    "lower_price": "lower_auction_collar_price",
    "extension": "auction_collar_extention",
    "halt_action": "operational_halt_action",
    "current_ref_price": "current_reference_price",
    "price_variation": "variation_indicator",
    "open_eligibility": "open_eligibility_status",
    "min_price": "minimum_allowable_price",
    "max_price": "maximum_allowable_price",
    "near_exec_price": "near_execution_price",
    "near_exec_time": "near_execution_time",
    "lower_collar": "lower_price_range_collar",
    "upper_collar": "upper_price_range_collar",
}
LETTERS = "ABCXYZ0123"


def random_values(message, generator):
    return {
        field.name: "".join(generator.choices(LETTERS, k=generator.randint(1, field.size)))
        if field.kind.is_text
        else generator.randint(field.minimum, field.maximum)
        for field in message
        if field.fixed is None
    }


def test_the_types_their_order_and_their_sizes_are_those_of_the_specification():
    assert " ".join(f"{type_}{m.size}" for type_, m in itch50.MESSAGES.items()) == SIZES
    assert (itch50.SHORTEST, itch50.LONGEST, itch50.HEADER.size) == (12, 50, 11)
    assert set("AFECXDU") == set(itch50.BOOK_TYPES)


@pytest.mark.parametrize("type_", itch50.MESSAGES)
def test_what_is_packed_is_unpacked(type_, generator):
    message = itch50.MESSAGES[type_]
    for _ in range(50):
        values = random_values(message, generator)
        octets = message.pack(**values)
        assert octets[:1] == type_.encode()
        assert message.unpack(octets) == {"type": type_, **values}


@pytest.mark.parametrize("type_", itch50.MESSAGES)
def test_another_decoder_reads_the_same_values(type_, generator):
    message = itch50.MESSAGES[type_]
    for _ in range(50):
        values = random_values(message, generator)
        octets = message.pack(**values)
        theirs = MessageParser().get_message_type(octets)
        for name, value in values.items():
            other = getattr(theirs, THEIR_NAMES.get(name, name))
            assert (other.decode().rstrip() if isinstance(other, bytes) else other) == value, name
        assert len(vars(theirs)) == len(values)
        assert theirs.to_bytes() == octets


@pytest.mark.parametrize(
    ("type_", "name", "offset", "size"),
    [
        ("A", "order_ref", 11, 8),
        ("A", "side", 19, 1),
        ("A", "price", 32, 4),
        ("F", "attribution", 36, 4),
        ("E", "executed_shares", 19, 4),
        ("C", "printable", 31, 1),
        ("C", "execution_price", 32, 4),
        ("X", "canceled_shares", 19, 4),
        ("U", "new_order_ref", 19, 8),
        ("U", "price", 31, 4),
        ("P", "price", 32, 4),
        ("Q", "shares", 11, 8),
        ("V", "level3", 27, 8),
        ("K", "release_time", 19, 4),
        ("H", "trading_state", 19, 1),
        ("O", "near_exec_time", 32, 8),
    ],
)
def test_offsets_are_those_of_the_specification(type_, name, offset, size):
    message = itch50.MESSAGES[type_]
    assert (message.offset(name), message.field(name).size) == (offset, size)


def test_prices_have_4_decimals_but_those_of_the_decline_levels():
    for type_, message in itch50.MESSAGES.items():
        for field in message:
            is_price = field.name.endswith(("price", "_collar")) or field.name.startswith("level")
            assert is_price == (field.kind in (Kind.PRICE4, Kind.PRICE8)), (type_, field)
            assert (field.kind is Kind.PRICE8) == (type_ == "V" and is_price)


def test_the_order_reference_has_one_place_in_every_book_message():
    for type_ in itch50.BOOK_TYPES:
        name = "orig_order_ref" if type_ == "U" else "order_ref"
        assert itch50.MESSAGES[type_].offset(name) == 11


def test_a_message_of_another_type_is_refused():
    delete = itch50.MESSAGES["D"]
    octets = delete.pack(stock_locate=1, tracking_number=0, timestamp=0, order_ref=1)
    with pytest.raises(WireError, match="broken_trade: type: must be 'B', not 'D'"):
        itch50.MESSAGES["B"].unpack(octets)


def records(octets):
    at = 0
    while at < len(octets):
        length = int.from_bytes(octets[at : at + 2], "big")
        yield octets[at + 2 : at + 2 + length]
        at += 2 + length


def test_a_real_session_is_decoded_and_encoded_octet_for_octet(shared_data):
    octets = (shared_data / "aapl_20200130_locate13_10k.itch").read_bytes()
    counts = collections.Counter()
    times = []
    for record in records(octets):
        message = itch50.MESSAGES[chr(record[0])]
        values = message.unpack(record)
        assert message.pack(**values) == record
        assert values["stock_locate"] == 13
        assert values.get("stock", "AAPL") == "AAPL"
        counts[message.type] += 1
        times.append(values["timestamp"])
    assert dict(counts) == {
        "A": 4758, "D": 4083, "E": 849, "P": 240, "L": 52, "U": 7, "X": 6, "F": 2, "R": 1, "H": 1,
        "Y": 1,
    }  # fmt: skip
    assert all(before <= after for before, after in itertools.pairwise(times))
