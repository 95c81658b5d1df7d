"""What is found out about an input before it is replayed."""

import numpy as np
import pytest

from tickgate.sim.capture import InputError
from tickgate.sim.messages import Messages
from tickgate.sim.scan import CENT, Scan, choose, place_window
from tickgate.spec import itch50, ouch50

LOCATES, TICKS = 1 << 14, 64


def make(type_: str, locate: int = 13, **values) -> bytes:
    """A message whose fields are 0 or blank where they are not given."""
    fields = {
        field.name: "" if field.kind.is_text else 0
        for field in itch50.MESSAGES[type_]
        if field.name != "type"
    }
    return itch50.MESSAGES[type_].pack(**{**fields, "stock_locate": locate, **values})


def add(reference: int, price: int, side: str = "B", **values) -> bytes:
    return make(
        "A", order_ref=reference, side=side, shares=100, price=price, stock="AAPL", **values
    )


def gather(messages: list[bytes]) -> Messages:
    sizes = np.array([len(each) for each in messages], np.int64)
    return Messages(
        octets=np.frombuffer(b"".join(messages), np.uint8),
        begin=np.cumsum(sizes) - sizes,
        size=sizes,
    )


def scanned(*batches: list[bytes]) -> Scan:
    scan = Scan()
    for batch in batches:
        scan.update(gather(batch))
    return scan


def chosen(scan: Scan, **keywords):
    return choose(scan, **{"capacity": 4, "locates": LOCATES, "ticks": TICKS, **keywords})


def test_messages_are_counted_by_type_and_malformed_ones_apart():
    scan = scanned([add(1, 100), make("D", order_ref=1), b"z" * 20, add(2, 100)[:-1]])
    assert (scan.messages, scan.malformed) == (4, 2)
    assert scan.by_type == {"A": 1, "D": 1}


def test_names_come_from_the_directory_or_else_from_any_message_that_has_one():
    scan = scanned(
        [add(1, 100, locate=1), make("R", 1, stock="DIR"), make("L", 2, stock="ZVZZT")],
        [make("D", 3, order_ref=7)],
    )
    assert [scan.name(locate) for locate in (1, 2, 3)] == ["DIR", "ZVZZT", "#3"]


def test_the_busiest_symbols_come_first_and_no_more_than_there_is_room_for():
    messages = [add(n, 100, locate=n % 4 + 1) for n in range(1, 8)]
    scan = scanned([*messages, *(make("P", 5, stock="TRADED") for _ in range(9))])
    assert [symbol.locate for symbol in chosen(scan)] == [2, 3, 4, 1]
    assert [symbol.locate for symbol in chosen(scan, capacity=2)] == [2, 3]
    assert [symbol.index for symbol in chosen(scan)] == [0, 1, 2, 3]


def test_symbols_are_found_by_name_or_locate_in_the_order_asked():
    scan = scanned([make("R", 13, stock="AAPL"), make("R", 14, stock="MSFT"), make("D", 7)])
    tracked = chosen(scan, names=["msft", "#7", "AAPL"])
    assert [symbol.name for symbol in tracked] == ["MSFT", "#7", "AAPL"]
    assert [symbol.named for symbol in tracked] == [True, False, True]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["AAPPL"], "no symbol 'AAPPL'; near: AAPL"),
        (["XYZ"], "no symbol 'XYZ'; it has AAPL, MSFT"),
        (["AAPL", "AAPL"], "asked for twice"),
        (["AAPL"] * 5, "5 symbols are asked for, the card has room for 4"),
        (["FAR"], "stock locate 20000, the card knows those below 16384"),
    ],
)
def test_what_cannot_be_followed_is_said(names, complaint):
    scan = scanned([make("R", 13, stock="AAPL"), make("R", 14, stock="MSFT")])
    if names == ["FAR"]:
        scan = scanned([make("R", 20000, stock="FAR")])
    with pytest.raises(InputError, match=complaint):
        chosen(scan, names=names)


def test_an_input_without_any_symbol_can_be_replayed():
    (symbol,) = chosen(scanned([make("S", 0, event_code="O")]))
    assert not symbol.named


# Whether a book is whole.


def whole(*batches: list[bytes], locate: int = 13, **keywords) -> bool:
    return scanned(*batches).is_whole(locate, **keywords)


def test_a_book_is_whole_if_nothing_shows_the_contrary():
    assert whole([add(1, 100), make("D", order_ref=1)])
    assert not whole([make("D", order_ref=1)])
    assert not whole([add(1, 100)], [make("U", orig_order_ref=2, new_order_ref=3)])


def test_after_an_unknown_reference_of_another_symbol_only_a_directory_will_do():
    foreign = make("D", 14, order_ref=9)
    assert not whole([foreign, add(1, 100)])
    assert whole([foreign, make("R"), add(1, 100)])
    assert not whole([foreign, add(1, 100), make("R")])
    assert not whole([foreign, add(1, 100)], [make("R"), add(2, 100)])


def test_within_a_session_only_a_directory_will_do():
    assert not whole([add(1, 100)], from_start=False)
    assert whole([make("R"), add(1, 100)], from_start=False)


def test_a_reference_of_another_symbol_is_unknown_and_a_renewed_one_is_known():
    renew = make("U", orig_order_ref=1, new_order_ref=2)
    assert whole([add(1, 100), renew, make("D", order_ref=2)])
    assert not whole([add(1, 100), renew, make("D", order_ref=1)])
    assert not whole([add(1, 100, locate=14), make("X", order_ref=1)])


def test_what_comes_after_a_gap_says_nothing_of_the_beginning():
    scan = scanned([add(1, 100)])
    scan.update(gather([make("D", order_ref=5)]), continuous=False)
    assert scan.is_whole(13)
    assert scan.unknown_references[13] == 1
    scan = scanned([make("D", order_ref=5)])
    scan.update(gather([add(1, 100)]), continuous=False)
    assert not scan.is_whole(13)


# The price window.


def window(*orders: tuple[str, int], trades: tuple[int, ...] = ()) -> tuple[int, int]:
    """Tick and base for orders of these sides and prices."""
    messages = [add(n, price, side) for n, (side, price) in enumerate(orders)]
    messages += [make("P", stock="AAPL", price=price) for price in trades]
    return place_window(scanned(messages), 13, TICKS)


SPAN = TICKS * CENT
STUBS = [("B", 100), ("S", 1_999_999_900)]


def test_stub_quotes_do_not_move_the_window():
    orders = [("B", 3_200_000 - 100 * n) for n in range(20)]
    orders += [("S", 3_200_100 + 100 * n) for n in range(20)]
    assert window(*orders) == window(*orders, *STUBS * 15)
    tick, base = window(*orders, *STUBS * 15)
    assert tick == CENT and base % CENT == 0
    assert base <= 3_200_000 - 1900 and base + SPAN > 3_200_100 + 1900


def test_the_window_is_around_the_middle_where_all_of_several_serve_as_well():
    _, base = window(("B", 500_000), ("S", 500_100), trades=(500_000, 500_100))
    assert abs(base + SPAN // 2 - 500_050) <= 2 * CENT


def test_no_order_may_be_better_than_the_window_if_that_can_be():
    # Many bids far below, few orders above: a bid above the window makes every top inexact.
    orders = [("B", 900_000 - 100 * (n % 40)) for n in range(60)]
    orders += [("B", 906_000 + 100 * n) for n in range(20)] + [("S", 908_100)]
    _, base = window(*orders)
    assert base + SPAN > 907_900


def test_prices_below_a_dollar_get_a_fine_tick_if_they_need_it():
    fine = [("B", 8_501 + n) for n in range(20)] + [("S", 8_525 + n) for n in range(20)]
    tick, base = window(*fine)
    assert tick == 1
    assert base <= 8_501 and base + TICKS > 8_544
    coarse = [("B", 8_500 - 100 * n) for n in range(20)] + [
        ("S", 8_600 + 100 * n) for n in range(9)
    ]
    assert window(*coarse)[0] == CENT
    assert window(*((side, price + 200_000) for side, price in fine))[0] == CENT


@pytest.mark.parametrize("price", [100, 1_999_999_900, 2_000_000_000])
def test_the_window_stays_where_prices_can_be(price):
    tick, base = window(*[("B", price)] * 9)
    assert base >= 0 and base % tick == 0
    assert base + TICKS * tick <= ouch50.MAX_PRICE
    assert window() == (CENT, 0)


def test_prices_are_remembered_by_side_in_bounded_memory(monkeypatch):
    monkeypatch.setattr("tickgate.sim.scan.MERGE_AT", 4)
    scan = scanned(
        [add(n, 100 * (n % 2 + 1), "S") for n in range(10)],
        [make("U", orig_order_ref=n, new_order_ref=100 + n, price=700) for n in range(3)],
    )
    prices, counts = scan.prices(13, 1)
    assert (prices.tolist(), counts.tolist()) == ([100, 200, 700], [5, 5, 3])
    assert not len(scan.prices(13, 0)[0])
