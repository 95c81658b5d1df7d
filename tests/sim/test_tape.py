"""Messages written in bulk are those that the tables of the specification describe."""

import pytest

from tickgate.sim.tape import ROW, TYPES, rows_of, write
from tickgate.spec import itch50

TIME = 0x0123_4567_89AB
VALUES = {
    "stock_locate": 13,
    "timestamp": TIME,
    "order_ref": (1 << 63) + 5,
    "orig_order_ref": (1 << 63) + 5,
    "new_order_ref": (1 << 62) + 9,
    "side": "S",
    "shares": 300,
    "executed_shares": 300,
    "canceled_shares": 300,
    "price": 123_400,
    "execution_price": 123_400,
    "printable": "Y",
}


def row(type_: str) -> tuple:
    return ord(type_), 13, TIME, (1 << 63) + 5, (1 << 62) + 9, ord("S"), 300, 123_400


def test_every_type_is_written_as_its_table_says():
    messages = write(rows_of([row(type_) for type_ in TYPES]))
    assert [chr(type_) for type_ in messages.types] == list(TYPES)
    assert messages.well_formed.all()
    octets = messages.octets.tobytes()
    for type_, begin, size in zip(
        TYPES, messages.begin.tolist(), messages.size.tolist(), strict=True
    ):
        assert int.from_bytes(octets[begin - 2 : begin], "big") == size
        told = itch50.MESSAGES[type_].unpack(octets[begin : begin + size])
        expected = {name: VALUES[name] for name in told if name in VALUES}
        if type_ == "P":  # a print names no order of the book, and has a match number
            expected |= {"order_ref": 0, "match_number": VALUES["order_ref"]}
        assert {name: told[name] for name in expected} == expected
        assert set(told) - set(expected) <= {
            "type", "tracking_number", "stock", "attribution", "match_number",
        }  # fmt: skip


def test_messages_of_many_types_lie_back_to_back_in_their_order():
    messages = write(rows_of([row(type_) for type_ in "ADADXU"]))
    assert bytes(messages.types) == b"ADADXU"
    assert (messages.begin[1:] - messages.begin[:-1] == messages.size[:-1] + 2).all()


def test_no_rows_are_no_messages():
    assert len(write(rows_of([]))) == 0
    assert rows_of([]).dtype == ROW


def test_a_type_that_is_not_of_the_book_is_an_error():
    with pytest.raises(ValueError, match="not 'S'"):
        write(rows_of([row("A"), row("S")]))
