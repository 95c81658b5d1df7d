"""OUCH 5.0 against the sizes of the specification and the life of a real order."""

import pytest
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tickgate.spec import ouch50, soupbintcp
from tickgate.spec.fields import Kind, WireError
from tickgate.spec.ouch50 import Tag

SIZES_IN = "O47 U40 X9 M10 C19 D11 E11 Q1"
SIZES_OUT = "S10 A64 U68 C18 D31 E36 B36 F49 J29 P13 I13 T30 M18 R16 X27 G19 K19 Q13"
# Places of the fields, as independent implementations have them.
PLACES_IN = """
O user_ref_num@1 side@5 quantity@6 symbol@10 price@18 tif@26 display@27 capacity@28 iso@29
  cross_type@30 clordid@31
U orig_user_ref_num@1 user_ref_num@5 quantity@9 price@13 tif@21 display@22 iso@23 clordid@24
X user_ref_num@1 quantity@5
M user_ref_num@1 side@5 quantity@6
C user_ref_num@1 firm@5 symbol@9
D user_ref_num@1 firm@5
E user_ref_num@1 firm@5
Q
"""
PLACES_OUT = """
S event_code@9
A user_ref_num@9 side@13 quantity@14 symbol@18 price@26 tif@34 display@35 order_ref@36
  capacity@44 iso@45 cross_type@46 order_state@47 clordid@48
U orig_user_ref_num@9 user_ref_num@13 side@17 quantity@18 symbol@22 price@30 tif@38
  display@39 order_ref@40 capacity@48 iso@49 cross_type@50 order_state@51 clordid@52
C user_ref_num@9 quantity@13 reason@17
D user_ref_num@9 decrement_shares@13 reason@17 qty_prevented@18 execution_price@22
  liquidity@30
E user_ref_num@9 quantity@13 price@17 liquidity@25 match_number@26
B user_ref_num@9 match_number@13 reason@21 clordid@22
F user_ref_num@9 quantity@13 price@17 liquidity@25 match_number@26 reason@34 clordid@35
J user_ref_num@9 reason@13 clordid@15
P user_ref_num@9
I user_ref_num@9
T user_ref_num@9 price@13 display@21 order_ref@22
M user_ref_num@9 side@13 quantity@14
R user_ref_num@9 reason@13
X user_ref_num@9 firm@13 symbol@17
G user_ref_num@9 firm@13
K user_ref_num@9 firm@13
Q next_user_ref_num@9
"""
LETTERS = "ABCXYZ0123"
EVERY = [
    pytest.param(direction, message, id=f"{name}-{message.name}")
    for name, direction, more in (
        ("in", ouch50.INBOUND, ()),
        ("out", ouch50.OUTBOUND, (ouch50.AIQ_CANCELED_WITH_STRATEGY,)),
    )
    for message in (*direction.values(), *more)
]


def random_values(message, generator):
    return {
        field.name: "".join(generator.choices(LETTERS, k=generator.randint(1, field.size)))
        if field.kind.is_text
        else generator.randint(field.minimum, field.maximum)
        for field in message
        if field.fixed is None and field.name != "appendage_len"
    }


def random_appendage(generator):
    tags = generator.sample(sorted(ouch50.APPENDAGE_TAGS), generator.randrange(5))
    appendage = {}
    for tag in tags:
        field = ouch50.APPENDAGE_TAGS[tag]
        appendage[int(tag)] = (
            "".join(generator.choices(LETTERS, k=field.size))
            if field.kind.is_text
            else generator.randint(field.minimum, field.maximum)
        )
    if generator.random() < 0.3:
        appendage[int(Tag.LOCATE_BROKER)] = generator.randbytes(4)
    return appendage


@pytest.mark.parametrize(
    ("direction", "sizes"), [(ouch50.INBOUND, SIZES_IN), (ouch50.OUTBOUND, SIZES_OUT)]
)
def test_the_types_and_their_sizes_are_those_of_the_specification(direction, sizes):
    assert " ".join(f"{type_}{message.size}" for type_, message in direction.items()) == sizes


def test_prices_are_8_octets_times_8_and_reference_numbers_4():
    for direction in (ouch50.INBOUND, ouch50.OUTBOUND):
        for field in (field for message in direction.values() for field in message):
            if field.kind in (Kind.PRICE4, Kind.TIME_NS):
                assert field.size == 8
            if field.name.endswith("user_ref_num"):
                assert field.size == 4


@pytest.mark.parametrize(
    ("direction", "places"), [(ouch50.INBOUND, PLACES_IN), (ouch50.OUTBOUND, PLACES_OUT)]
)
def test_every_field_is_where_independent_implementations_have_it(direction, places):
    common = {"type", "timestamp", "appendage_len"}
    ours = " ".join(
        " ".join(
            [
                type_,
                *(f"{f.name}@{message.offset(f.name)}" for f in message if f.name not in common),
            ]
        )
        for type_, message in direction.items()
    )
    assert ours == " ".join(places.split())
    for message in direction.values():
        if "timestamp" in message:
            assert message.offset("timestamp") == 1
        if "appendage_len" in message:
            assert message.offset("appendage_len") == message.size - 2


def test_the_appendage_length_may_be_absent_where_the_specification_says_so():
    optional = {f"in-{type_}" for type_ in "XMQ"} | {f"out-{type_}" for type_ in "CDBJPITMQ"}
    assert optional == {
        f"{name}-{type_}"
        for name, direction in (("in", ouch50.INBOUND), ("out", ouch50.OUTBOUND))
        for type_, message in direction.items()
        if message in ouch50.OPTIONAL_APPENDAGE
    }


def test_offsets_from_a_peg_are_signed_and_a_reject_reason_is_a_number():
    appendage = {Tag.PEG_OFFSET: -100, Tag.DISCRETION_PEG_OFFSET: -1}
    assert ouch50.unpack_appendage(ouch50.pack_appendage(appendage)) == appendage
    assert ouch50.OUTBOUND["J"].field("reason").kind is Kind.UINT


@pytest.mark.parametrize(("direction", "message"), EVERY)
def test_every_message_round_trips_with_every_appendage_it_may_have(direction, message, generator):
    for _ in range(30):
        values = random_values(message, generator)
        appendages = [random_appendage(generator), {}]
        if message in ouch50.OPTIONAL_APPENDAGE:
            appendages.append(None)
        elif "appendage_len" not in message:
            appendages = [None]
        for appendage in appendages:
            octets = ouch50.encode(message, values, appendage)
            decoded = ouch50.decode(direction, octets)
            assert decoded.message == message
            assert decoded.appendage == appendage
            assert {name: decoded.values[name] for name in values} == values
            assert ouch50.encode(*decoded) == octets


def test_an_appendage_has_the_octets_of_the_real_example():
    assert ouch50.pack_appendage({Tag.FIRM: "LIME"}) == b"\x00\x06\x05\x02LIME"
    assert ouch50.unpack_appendage(b"\x00\x06\x05\x02LIME") == {Tag.FIRM: "LIME"}


def test_a_tag_of_no_known_size_stays_octets():
    assert ouch50.unpack_appendage(b"\x00\x04\x03\xc8\x01\x02") == {200: b"\x01\x02"}
    assert ouch50.pack_appendage({200: b"\x01\x02"}) == b"\x00\x04\x03\xc8\x01\x02"


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [
        (b"\x00", "expected a length of 2 octets"),
        (b"\x00\x07\x05\x02LIME", "length 7 where 6 octets follow"),
        (b"\x00\x06\x06\x02LIME", "element at octet 2 has the length 6"),
        (b"\x00\x01\x00", "element at octet 2 has the length 0"),
        (b"\x00\x05\x04\x02LIM", "firm: expected 4 octets, not 3"),
        (b"\x00\x06\x02\x0cY\x02\x0cN", "tag 12 is there twice"),
    ],
)
def test_an_appendage_that_is_broken_is_refused(octets, complaint):
    with pytest.raises(WireError, match=complaint):
        ouch50.unpack_appendage(octets)


@pytest.mark.parametrize(
    ("appendage", "complaint"),
    [
        ({256: b""}, "tag 256 is outside 0 to 255"),
        ({Tag.FIRM: b"LIME"}, "tag 2 takes a value, not octets"),
        ({Tag.FIRM: "LIMES"}, "firm: 'LIMES' is longer than 4"),
        ({Tag.LOCATE_BROKER: "LIME"}, "tag 26 has no known size and takes octets"),
        ({200: bytes(255)}, "tag 200 has 255 octets; at most 254 fit"),
    ],
)
def test_an_appendage_that_does_not_fit_is_refused(appendage, complaint):
    with pytest.raises(WireError, match=complaint):
        ouch50.pack_appendage(appendage)


@pytest.mark.parametrize(
    ("direction", "octets", "complaint"),
    [
        (ouch50.INBOUND, b"", "has the type ''"),
        (ouch50.INBOUND, b"Z", "has the type 'Z'"),
        (ouch50.OUTBOUND, b"O" + bytes(46), "has the type 'O'"),
        (ouch50.INBOUND, b"X" + bytes(7), "cancel_order: expected 9 octets at offset 0, only 8"),
        (ouch50.INBOUND, b"X" + bytes(9), "expected a length of 2 octets, only 1"),
        (ouch50.INBOUND, b"O" + bytes(47), "length 0 where 1 octets follow"),
        (ouch50.OUTBOUND, b"S" + bytes(10), "system_event: expected 10 octets, not 11"),
    ],
)
def test_a_message_of_unknown_type_or_wrong_length_is_refused(direction, octets, complaint):
    with pytest.raises(WireError, match=complaint):
        ouch50.decode(direction, octets)


def test_a_message_that_takes_no_appendage_refuses_one():
    with pytest.raises(WireError, match="system_event: takes no appendage"):
        ouch50.encode(ouch50.OUTBOUND["S"], {"timestamp": 0, "event_code": "S"}, {})


@pytest.mark.parametrize(
    ("name", "soup_type", "direction", "expected"),
    [
        (
            "EnterOrderMessage",
            "U",
            ouch50.INBOUND,
            {"user_ref_num": 113, "side": "T", "quantity": 225, "symbol": "CVLT"},
        ),
        (
            "OrderAcceptedMessage",
            "S",
            ouch50.OUTBOUND,
            {"side": "B", "quantity": 40, "symbol": "ADBE", "order_state": "L", "tif": "5"},
        ),
        (
            "CancelOrderMessage",
            "U",
            ouch50.INBOUND,
            {"user_ref_num": 7679601, "quantity": 0},
        ),
        (
            "CanceledMessage",
            "S",
            ouch50.OUTBOUND,
            {"user_ref_num": 7682701, "quantity": 40, "reason": "U"},
        ),
    ],
)
def test_real_messages_are_decoded_and_encoded_octet_for_octet(
    real_frames, name, soup_type, direction, expected
):
    (frame,) = real_frames(f"ouch50/{name}.pcap")
    packets, left = soupbintcp.split(Ether(frame)[TCP][Raw].load)
    ((type_, octets),) = packets
    assert (type_, left) == (soup_type, b"")
    decoded = ouch50.decode(direction, octets)
    assert ouch50.encode(*decoded) == octets
    assert {field: decoded.values[field] for field in expected} == expected
