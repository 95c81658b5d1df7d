"""A blotter of events: what becomes of each order, and what the fills come to."""

from tickgate.host.driver import Event
from tickgate.host.fills import Fills, OwnOrder, Traded
from tickgate.spec import events
from tickgate.spec.events import EventKind


def event(kind: int, *, lost_before: int = 0, **values: int) -> Event:
    record = events.unpack(events.pack({"kind": kind, "symbol": 2, "user_ref_num": 7, **values}))
    return Event(**record, lost_before=lost_before)


def test_an_order_is_followed_from_the_card_to_its_end():
    fills = Fills()
    sent = {"quantity": 100, "price": 50}
    assert fills.take(event(EventKind.ORDER_SENT, **sent)) is None
    assert fills.orders[7] == OwnOrder(2, False, quantity=100, open=100)
    assert fills.take(event(EventKind.ACCEPTED, detail=100, **sent)) is None
    fill = fills.take(
        event(EventKind.FILLED, quantity=60, price=49, detail=40, reasons=1 << 63, time=5)
    )
    assert fill is not None
    assert (fill.shares, fill.price, fill.open, fill.time) == (60, 49, 40, 5)
    assert fill.match_number == 1 << 63
    fills.take(event(EventKind.CANCELLED, quantity=40, detail=0))
    assert fills.orders[7] == OwnOrder(2, False, quantity=100, executed=60, open=0)
    fills.take(event(EventKind.FILLED, user_ref_num=8, quantity=10, price=51, side=1))
    assert fills.symbols == {2: Traded(60, 60 * 49, 10, 510, last_price=51)}
    assert fills.executions == 2


def test_the_reason_of_a_rejection_is_no_shares():
    fills = Fills()
    fills.take(event(EventKind.ORDER_SENT, quantity=100))
    fills.take(event(EventKind.REJECTED, quantity=100, detail=0x0A))
    assert fills.orders[7].open == 0 and not fills.symbols


def test_what_was_lost_is_counted_and_the_rest_is_taken():
    fills = Fills()
    assert fills.take(event(EventKind.FILLED, quantity=5, price=3, detail=9, lost_before=4))
    assert fills.orders[7] == OwnOrder(2, False, quantity=None, executed=5, open=9)
    fills.take(event(EventKind.GAP, lost_before=2))
    assert fills.lost == 6


def test_other_events_and_kinds_that_are_not_known_change_nothing_but_the_losses():
    fills = Fills()
    for kind in {*range(16)} - {1, 3, 4, 5, 9}:
        assert fills.take(event(kind, quantity=5, detail=9)) is None
    assert not fills.orders and not fills.symbols and not fills.lost
