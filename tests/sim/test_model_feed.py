"""The feed model against the tables of the specification and a plain account of what was sent."""

import random

import pytest

from tickgate.sim.model import feed
from tickgate.spec import itch50, moldudp64
from tickgate.spec.fields import WireError

SESSION = "0000000001"


def random_octets(rng, type_):
    """A message of `type_` with random numbers, and its fields by name."""
    message = itch50.MESSAGES[type_]
    values = {}
    for field in message:
        if field.name == "type":
            continue
        if field.name == "side":
            values[field.name] = rng.choice("BS")
        elif field.name == "printable":
            values[field.name] = rng.choice("YN")
        elif field.kind.is_text:
            values[field.name] = "".join(rng.choices("ABCHPQT", k=field.size))
        else:
            values[field.name] = rng.getrandbits(8 * field.size)
    return message.pack(**values), values


def delete(reference=7, locate=13):
    return itch50.MESSAGES["D"].pack(
        stock_locate=locate, tracking_number=0, timestamp=1, order_ref=reference
    )


def datagram(sequence, blocks, *, session=SESSION, count=None):
    header = moldudp64.HEADER.pack(
        session=session, sequence=sequence, count=len(blocks) if count is None else count
    )
    return header + b"".join(len(block).to_bytes(2, "big") + block for block in blocks)


def sequences(out):
    return [item.sequence for item in out if isinstance(item, feed.Delivered)]


def gaps(out):
    return [item for item in out if isinstance(item, feed.Gap)]


@pytest.fixture
def model():
    return feed.FeedModel(symbols={13: 4})


def expect(model, **counters):
    """What is counted, but for which line was first unless that is named."""
    seen = {name: count for name, count in model.counters.items() if count}
    assert {n: count for n, count in seen.items() if n[:4] != "won_" or n in counters} == counters


@pytest.mark.parametrize("type_", itch50.MESSAGES)
def test_a_decoded_message_has_the_fields_of_its_table(generator, type_):
    for _ in range(20):
        octets, values = random_octets(generator, type_)
        message = feed.decode(octets)
        names = values.get
        assert message.type == type_
        assert message.locate == values["stock_locate"]
        assert message.timestamp == values["timestamp"]
        if type_ in "AFECXDUP":
            assert message.reference == names("order_ref", names("orig_order_ref"))
            assert message.new_reference == names("new_order_ref", 0)
            assert message.side == (feed.SELL if names("side") == "S" else feed.BUY)
            shares = names("executed_shares", names("canceled_shares", 0))
            assert message.shares == names("shares", shares)
            assert message.price == names("price", names("execution_price", 0))
            assert message.printable == (names("printable", "Y") == "Y")
        code = names("trading_state", names("event_code", names("breached_level", "")))
        code = names("reg_sho_action", names("halt_action", code))
        if names("market_code", "Q") != "Q":
            code = ""
        assert message.code == code


def test_a_message_of_unknown_type_cannot_be_decoded():
    with pytest.raises(WireError, match="unknown"):
        feed.decode(b"!" + bytes(18))


def test_a_message_of_another_length_than_its_type_has_cannot_be_decoded():
    with pytest.raises(WireError, match="expected 19 octets, not 20"):
        feed.decode(delete() + b"\0")


def test_a_file_is_read_up_to_its_end_or_a_length_of_zero():
    framed = b"\0\x13" + delete(1) + b"\0\x13" + delete(2)
    assert [message.reference for message in feed.messages(framed)] == [1, 2]
    assert [message.reference for message in feed.messages(framed + b"\0\0junk")] == [1, 2]


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_file_that_ends_inside_a_message_is_an_error(cut):
    framed = b"\0\x13" + delete(1) + (b"\0\x13" + delete(2))[:cut]
    with pytest.raises(WireError, match="octet 21"):
        list(feed.messages(framed))


def test_messages_in_sequence_are_delivered_with_their_symbol(model):
    out = model.datagram(datagram(1, [delete(1), delete(2, locate=14)]))
    assert [(item.sequence, item.symbol, item.message.reference) for item in out] == [
        (1, 4, 1),
        (2, None, 2),
    ]
    assert model.expected == 3
    expect(model, messages=2, tracked_messages=1)


def test_a_datagram_beyond_the_expected_one_is_a_gap_before_its_messages(model):
    out = model.datagram(datagram(5, [delete()]))
    assert out[0] == feed.Gap(sequence=5, first_missing=1, missed=4)
    assert sequences(out) == [5]
    assert model.expected == 6
    expect(model, gaps=1, missed_messages=4, messages=1, tracked_messages=1)


def test_a_datagram_had_already_is_dropped(model):
    model.datagram(datagram(1, [delete(), delete()]))
    assert model.datagram(datagram(1, [delete(), delete()])) == []
    assert model.datagram(datagram(2, [delete()])) == []
    assert model.expected == 3
    expect(model, duplicate_datagrams=2, messages=2, tracked_messages=2)


def test_of_a_datagram_had_in_part_the_rest_is_delivered(model):
    model.datagram(datagram(1, [delete(), delete()]))
    out = model.datagram(datagram(2, [delete(20), delete(30), delete(40)]))
    assert [item.message.reference for item in out] == [30, 40]
    assert sequences(out) == [3, 4]
    expect(model, duplicate_messages=1, messages=4, tracked_messages=4)


@pytest.mark.parametrize(
    ("count", "counter"),
    [(moldudp64.HEARTBEAT, "heartbeats"), (moldudp64.END_OF_SESSION, "ends_of_session")],
)
def test_a_datagram_without_messages_shows_a_gap_only_if_it_is_ahead(model, count, counter):
    assert model.datagram(datagram(1, [], count=count)) == []
    assert model.datagram(datagram(0, [], count=count)) == []
    out = model.datagram(datagram(3, [], count=count))
    assert out == [feed.Gap(sequence=3, first_missing=1, missed=2)]
    assert model.expected == 3
    expect(model, gaps=1, missed_messages=2, **{counter: 3})


def test_another_session_is_a_gap_and_replaces_the_one_before(model):
    model.datagram(datagram(1, [delete(), delete()]))
    out = model.datagram(datagram(1, [delete()], session="0000000002"))
    assert gaps(out) and sequences(out) == [1]
    assert model.expected == 2
    assert model.datagram(datagram(2, [delete()], session="0000000002"))
    expect(model, session_changes=1, messages=4, tracked_messages=4)


def test_a_restart_takes_the_next_session_without_a_gap(model):
    model.datagram(datagram(1, [delete()]))
    model.restart(100)
    assert sequences(model.datagram(datagram(100, [delete()], session="another"))) == [100]
    expect(model, messages=2, tracked_messages=2)


def test_a_header_cut_short_is_a_gap(model):
    out = model.datagram(datagram(1, [])[:19])
    assert len(gaps(out)) == 1
    assert model.expected == 1
    expect(model, bad_datagrams=1)


@pytest.mark.parametrize("cut", [1, 18, 19, 20])
def test_a_datagram_that_ends_inside_a_block_is_a_gap_after_what_was_whole(model, cut):
    out = model.datagram(datagram(1, [delete(), delete()])[:-cut])
    assert sequences(out) == [1]
    assert isinstance(out[-1], feed.Gap)
    assert model.expected == 3
    expect(model, bad_datagrams=1, messages=1, tracked_messages=1)


@pytest.mark.parametrize("count", [1, 2])
def test_octets_left_over_or_blocks_that_never_came_are_a_gap(model, count):
    extra = b"x" if count == 1 else b""
    out = model.datagram(datagram(1, [delete()], count=count) + extra)
    assert sequences(out) == [1]
    assert isinstance(out[-1], feed.Gap)
    assert model.expected == 1 + count
    expect(model, bad_datagrams=1, messages=1, tracked_messages=1)


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_block_too_short_to_walk_ends_its_datagram_and_is_a_gap(model, length):
    out = model.datagram(datagram(1, [delete(), bytes(length), delete()]))
    assert sequences(out) == [1]
    assert isinstance(out[-1], feed.Gap)
    assert model.expected == 4
    expect(model, bad_blocks=1, messages=1, tracked_messages=1)


def test_an_unknown_type_is_counted_and_skipped(model):
    out = model.datagram(datagram(1, [b"!" + bytes(18), delete()]))
    assert sequences(out) == [2]
    assert not gaps(out)
    expect(model, unknown_types=1, messages=1, tracked_messages=1)


@pytest.mark.parametrize("type_", itch50.MESSAGES)
def test_a_wrong_length_is_skipped_and_is_a_gap_if_the_type_changes_a_book(model, generator, type_):
    octets, _ = random_octets(generator, type_)
    out = model.datagram(datagram(1, [octets + b"\0", delete()]))
    assert sequences(out) == [2]
    assert len(gaps(out)) == (type_ in itch50.BOOK_TYPES)
    expect(model, length_mismatches=1, messages=1, tracked_messages=1)


@pytest.mark.parametrize("fault", ["truncated", "bad_fcs"])
def test_a_damaged_frame_is_a_gap_after_its_messages(model, fault):
    out = model.datagram(datagram(1, [delete()]), **{fault: True})
    assert sequences(out) == [1]
    assert isinstance(out[-1], feed.Gap)
    expect(model, messages=1, tracked_messages=1)


def test_a_damaged_sequence_number_does_not_make_the_feed_deaf(model):
    model.datagram(datagram(1 << 40, [delete()]), bad_fcs=True)
    assert model.expected == 1
    assert sequences(model.datagram(datagram(1, [delete()]))) == [1]


def test_an_add_that_is_neither_buy_nor_sell_is_skipped_and_is_a_gap(model, generator):
    octets, _ = random_octets(generator, "A")
    side = itch50.MESSAGES["A"].offset("side")
    out = model.datagram(datagram(1, [octets[:side] + b"X" + octets[side + 1 :], delete()]))
    assert sequences(out) == [2]
    assert len(gaps(out)) == 1
    expect(model, bad_sides=1, messages=1, tracked_messages=1)


@pytest.mark.parametrize("run", range(8))
def test_whatever_is_lost_or_repeated_each_message_comes_once_and_the_gaps_add_up(model, seed, run):
    rng = random.Random(f"{seed} {run}")
    sent, start = [], 1
    while start < 400:
        count = rng.randrange(0, 6)
        sent.append((start, count))
        start += count
    arriving = []
    for begin, count in sent:
        begin = max(1, begin - rng.choice([0, 0, 0, 1, 2, 9]))
        if rng.random() < 0.85:
            arriving += [(begin, count)] * rng.choice([1, 1, 1, 2])
    delivered, missing = [], []
    for begin, count in arriving:
        blocks = [delete(begin + n) for n in range(count)]
        for item in model.datagram(datagram(begin, blocks)):
            if isinstance(item, feed.Gap):
                missing += range(item.first_missing, item.first_missing + item.missed)
            else:
                assert item.message.reference == item.sequence
                delivered.append(item.sequence)
    assert delivered == sorted(set(delivered))
    assert sorted(delivered + missing) == list(range(1, model.expected))
    assert model.counters["messages"] == len(delivered)
    assert model.counters["missed_messages"] == len(missing)
    assert delivered and missing


# Two lines


@pytest.fixture
def lines():
    """A model of which both lines have brought message 1, and 2 is due."""
    model = feed.FeedModel(symbols={13: 4}, gap_wait=5, line_timeout=50)
    for line in (0, 1):
        model.datagram(datagram(1, [delete(1)]), line=line)
    assert model.expected == 2 and model.alive == [True, True]
    return model


def numbered(begin, end):
    return datagram(begin, [delete(number) for number in range(begin, end)])


def pass_time(model, microseconds):
    return [item for _ in range(microseconds) for item in model.tick()]


def test_the_first_copy_wins_and_the_second_is_a_duplicate(lines):
    assert sequences(lines.datagram(numbered(2, 5), line=1)) == [2, 3, 4]
    assert sequences(lines.datagram(numbered(2, 4), line=0)) == []
    assert sequences(lines.datagram(numbered(4, 7), line=0)) == [5, 6]
    expect(
        lines,
        messages=6,
        tracked_messages=6,
        duplicate_datagrams=2,
        duplicate_messages=1,
        won_a=2,
        won_b=1,
    )


def test_what_one_line_missed_is_awaited_and_brought_by_the_other(lines):
    assert lines.datagram(numbered(4, 6), line=0) == []
    assert lines.waiting and pass_time(lines, 4) == []
    assert sequences(lines.datagram(numbered(2, 6), line=1)) == [2, 3, 4, 5]
    assert not lines.waiting
    assert lines.counters["filled_b"] == lines.counters["held_datagrams"] == 1


def test_a_wait_in_vain_is_a_gap_when_it_is_over_and_what_is_ahead_is_taken_then(lines):
    lines.datagram(numbered(4, 6), line=0)
    assert pass_time(lines, 5) == [feed.Gap(sequence=2, first_missing=2, missed=0)]
    out = lines.datagram(numbered(6, 7), line=0)
    assert out[0] == feed.Gap(sequence=6, first_missing=2, missed=4)
    assert sequences(out) == [6]
    assert lines.counters["waits_expired"] == lines.counters["gaps"] == 1


def test_what_both_lines_have_passed_is_a_gap_at_once(lines):
    assert lines.datagram(numbered(4, 6), line=0) == []
    assert sequences(lines.datagram(numbered(3, 6), line=1)) == [3, 4, 5]
    assert lines.counters["missed_messages"] == 1


def test_a_silent_line_is_not_awaited(lines):
    pass_time(lines, 49)
    lines.datagram(numbered(2, 3), line=0)
    pass_time(lines, 1)
    assert lines.alive == [True, False]
    assert len(gaps(lines.datagram(numbered(4, 5), line=0))) == 1
    assert lines.counters["lost_b"] == 1


def test_an_old_session_on_one_line_is_left_out(lines):
    old = datagram(7, [delete()], session="old")
    assert lines.datagram(old, line=1) == [] and lines.alive == [True, False]
    assert sequences(lines.datagram(numbered(2, 3), line=1)) == [2]
    assert lines.alive == [True, True]
    assert lines.counters["other_sessions"] == 1 and lines.counters["session_changes"] == 0


def test_the_end_of_a_session_makes_way_for_the_next(lines):
    lines.datagram(datagram(2, [], count=moldudp64.END_OF_SESSION))
    assert lines.ended
    out = lines.datagram(datagram(1, [delete()], session="next"))
    assert sequences(out) == [1] and len(gaps(out)) == 1
    assert not lines.ended and lines.alive == [True, False]


def test_damage_to_a_copy_that_came_second_is_no_gap(lines):
    lines.datagram(numbered(2, 4))
    assert lines.datagram(numbered(2, 4), line=1, bad_fcs=True) == []
    assert lines.datagram(numbered(9, 12), line=1, truncated=True) == []
    assert lines.waiting


def test_a_damaged_datagram_ahead_does_not_begin_a_wait(lines):
    assert lines.datagram(numbered(9, 12), line=1, bad_fcs=True) == []
    assert not lines.waiting


def test_more_messages_missed_than_can_be_counted_are_counted_as_the_most(model):
    model.datagram(datagram(2**40, [delete()]))
    assert model.counters["missed_messages"] == 2**32 - 1
