"""Fields and messages: what goes in comes out, and what does not fit is refused by name."""

import pytest

from tickgate.spec.fields import Field, Kind, Message, WireError

SAMPLE = Message(
    "sample",
    (
        Field("type", 1, Kind.ALPHA),
        Field("count", 2, Kind.UINT),
        Field("offset", 4, Kind.INT),
        Field("stock", 8, Kind.ALPHA),
        Field("session", 10, Kind.ALPHA_LEFT),
        Field("sequence", 20, Kind.ASCII_NUMBER),
    ),
    type="s",
)
VALUES = {"count": 258, "offset": -2, "stock": "AAPL", "session": "A B", "sequence": 135}


def test_octets_are_big_endian_and_padded_as_the_kind_says():
    assert SAMPLE.pack(**VALUES) == (
        b"s\x01\x02\xff\xff\xff\xfeAAPL           A B                 135"
    )


def test_what_is_packed_is_unpacked():
    assert SAMPLE.unpack(SAMPLE.pack(**VALUES)) == {"type": "s", **VALUES}


def test_offsets_follow_from_the_order():
    assert [SAMPLE.offset(field.name) for field in SAMPLE] == [0, 1, 3, 7, 15, 25]
    assert (SAMPLE.size, SAMPLE.end("session"), SAMPLE.end("sequence")) == (45, 25, 45)
    assert SAMPLE.field("stock").size == 8
    assert "stock" in SAMPLE
    assert "price" not in SAMPLE


def test_unpack_from_reads_a_header_and_leaves_the_rest():
    octets = b"??" + SAMPLE.pack(**VALUES) + b"rest"
    assert SAMPLE.unpack_from(octets, 2)["count"] == 258


@pytest.mark.parametrize("digits", [b"135".rjust(20), b"135".ljust(20), b"135".rjust(20, b"0")])
def test_a_number_in_ascii_is_read_with_either_padding(digits):
    assert Field("sequence", 20, Kind.ASCII_NUMBER).decode(digits) == 135


@pytest.mark.parametrize(
    ("kind", "size", "lowest", "highest"),
    [
        (Kind.UINT, 1, 0, 255),
        (Kind.INT, 4, -(2**31), 2**31 - 1),
        (Kind.PRICE4, 4, 0, 2**32 - 1),
        (Kind.PRICE8, 8, 0, 2**64 - 1),
        (Kind.TIME_NS, 6, 0, 2**48 - 1),
        (Kind.SECONDS, 4, 0, 2**32 - 1),
        (Kind.ASCII_NUMBER, 5, 0, 99999),
    ],
)
def test_a_number_goes_to_the_edge_of_its_field_and_no_further(kind, size, lowest, highest):
    field = Field("value", size, kind)
    for value in (lowest, highest):
        assert field.decode(field.encode(value)) == value
    for value in (lowest - 1, highest + 1):
        with pytest.raises(WireError, match=rf"value: {value} is outside {lowest} to {highest}"):
            field.encode(value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"count": 65536}, "sample: count: 65536 is outside 0 to 65535"),
        ({"count": 1.0}, "count: expected a whole number, not 1.0"),
        ({"count": True}, "count: expected a whole number, not True"),
        ({"count": "1"}, "count: expected a whole number, not '1'"),
        ({"stock": 1}, "stock: expected text, not 1"),
        ({"stock": "ABCDEFGHI"}, "stock: 'ABCDEFGHI' is longer than 8 characters"),
        ({"stock": "É"}, "stock: 'É' is not ASCII"),
        ({"type": "t"}, "type: must be 's', not 't'"),
        ({"price": 1, "colour": 2}, "sample: has no field colour, price"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(change, complaint):
    with pytest.raises(WireError) as error:
        SAMPLE.pack(**{**VALUES, **change})
    assert complaint in str(error.value)


def test_a_missing_value_is_refused_by_name():
    with pytest.raises(WireError, match="sample: field stock has no value"):
        SAMPLE.pack(**{name: value for name, value in VALUES.items() if name != "stock"})


@pytest.mark.parametrize(
    ("at", "octets", "complaint"),
    [
        (0, b"t", "sample: type: must be 's', not 't'"),
        (7, b"\xff", "stock: .* is not ASCII"),
        (25, b" " * 20, "sequence: .* is not a decimal number"),
        (25, b"1 2".rjust(20), "sequence: .* is not a decimal number"),
        (25, b"1\n".rjust(20), "sequence: .* is not a decimal number"),
        (25, b"-1".rjust(20), "sequence: .* is not a decimal number"),
    ],
)
def test_octets_that_are_not_of_the_kind_are_refused(at, octets, complaint):
    good = SAMPLE.pack(**VALUES)
    with pytest.raises(WireError, match=complaint):
        SAMPLE.unpack(good[:at] + octets + good[at + len(octets) :])


@pytest.mark.parametrize("size", [0, 44, 46])
def test_another_size_is_refused(size):
    with pytest.raises(WireError, match=f"sample: expected 45 octets, not {size}"):
        SAMPLE.unpack(bytes(size))


def test_a_header_cut_short_is_refused():
    with pytest.raises(WireError, match="expected 45 octets at offset 2, only 43 are there"):
        SAMPLE.unpack_from(bytes(45), 2)


def test_a_field_of_another_size_is_refused():
    with pytest.raises(WireError, match="count: expected 2 octets, not 3"):
        SAMPLE.field("count").decode(b"123")


def test_an_unknown_field_name_is_a_key_error():
    with pytest.raises(KeyError, match="message sample has no field 'price'"):
        SAMPLE.offset("price")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Field("a b", 1, Kind.UINT), "not an identifier"),
        (lambda: Field("a", 0, Kind.UINT), "at least 1 octet"),
        (lambda: Field("a", 1, Kind.UINT, fixed=256), "256 is outside"),
        (lambda: Message("m", ()), "at least one"),
        (lambda: Message("m", (Field("a", 1, Kind.UINT),) * 2), "must be unique"),
        (lambda: Message("m", (Field("a", 1, Kind.UINT),), type="m"), "no field named 'type'"),
    ],
)
def test_a_table_that_contradicts_itself_cannot_be_made(make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make()
