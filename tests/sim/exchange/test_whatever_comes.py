"""Whatever a client sends, books, feed and ledgers stay what they should be."""

import pytest

from tickgate.sim.exchange.book import Symbol
from tickgate.sim.exchange.ouch import CancelMode
from tickgate.sim.exchange.venue import Settings, Venue
from tickgate.sim.model import feed
from tickgate.sim.model.book import BookModel, Window
from tickgate.sim.model.feed import BUY, SELL
from tickgate.spec import ouch50
from tickgate.spec.ouch50 import Tag

PRICE = 10_0000
MESSAGES = 2500


class Sender:
    """Draws messages for a port: mostly good ones, some damaged behind the numbers."""

    def __init__(self, generator):
        self.draw = generator

    def appendage(self):
        draw = self.draw
        values = {
            Tag.FIRM: "",
            Tag.MIN_QTY: draw.choice((0, 0, 5)),
            Tag.POST_ONLY: draw.choice("PN"),
            Tag.AIQ_STRATEGY: draw.choice((b"O", b"W", b"D", b"x")),
        }
        tag = draw.choice(list(values))
        return {tag: values[tag]}

    def message(self, port):
        draw = self.draw
        type_ = draw.choice("OOOOUUXMCDEQ")
        table = ouch50.INBOUND[type_]
        last = port.next_user_ref_num - 1
        past, ahead = max(0, last - draw.randrange(20)), last + draw.choice((0, 1, 1, 1, 2))
        live = port.live()
        if live and draw.random() < 0.7:
            past = draw.choice(live).token
        values = {
            "orig_user_ref_num": past,
            "user_ref_num": past if type_ in "XM" else ahead,
            "side": draw.choice("BSTE"),
            "quantity": draw.randrange(300),
            "symbol": draw.choice(("ALFA", "")) if type_ == "C" else "ALFA",
            "price": PRICE + 100 * draw.randrange(-5, 6),
            "tif": draw.choice("003"),
            "display": draw.choice("YYN"),
            "capacity": "P",
            "iso": "N",
            "cross_type": "N",
            "clordid": "x",
            "firm": draw.choice(("", "TGTE", "ELSE")) if draw.random() < 0.2 else "",
        }
        values = {name: value for name, value in values.items() if name in table}
        appendage = self.appendage() if type_ in "OU" and draw.random() < 0.3 else None
        octets = bytearray(ouch50.encode(table, values, appendage))
        if draw.random() < 0.1:
            place = draw.choice((0, *range(9, len(octets)))) if len(octets) > 9 else 0
            octets[place] = draw.randrange(256)
        if draw.random() < 0.03:
            del octets[draw.randrange(len(octets)) :]
        return bytes(octets)


@pytest.fixture
def venue():
    settings = Settings(symbols=[Symbol(name="ALFA", locate=13)], clock=iter(range(10**9)).__next__)
    venue = Venue(settings)
    venue.engine.start()
    return venue


def test_books_feed_and_ledgers_agree_after_any_messages(venue, generator):
    sender = Sender(generator)
    ports = list(venue.ports.values())
    model = BookModel(symbols={13: 0}, windows={0: Window(base=0, tick=1, ticks=1 << 32)})
    seen = 0
    book = venue.engine.books["ALFA"]
    for _ in range(MESSAGES):
        port = generator.choice(ports)
        port.received(sender.message(port))
        if generator.random() < 0.01:
            port.set_cancel_mode(generator.choice((*CancelMode.ALL, CancelMode.ACT)))
        if generator.random() < 0.002:
            port.left("by chance")
        if generator.random() < 0.002 and venue.engine.trades:
            match = generator.randrange(venue.engine.matches) + 1
            if all(not fill["broken"] for fill in fills(venue) if fill["match_number"] == match):
                venue.engine.break_trade(match)
        for octets in venue.feed.messages[seen:]:
            seen += 1
            model.apply(feed.decode(octets), seen)
        for side in (BUY, SELL):
            assert model.levels(0, side) == book.levels(side)
        bid, ask = book.best(BUY), book.best(SELL)
        assert bid is None or ask is None or bid.price < ask.price
    assert not any(model.counters.values())
    for port in ports:
        check_ledger(port)
        for counter in ("accepted", "replaced", "executed", "canceled", "rejected"):
            assert port.counters[counter] > 10, counter
        for counter in ("stale_user_ref", "not_live", "malformed"):
            assert port.counters[counter] > 10, counter
    assert sum(port.ledger.cash for port in ports) == 0
    assert sum(port.ledger.positions["ALFA"] for port in ports) == 0


def fills(venue):
    return [fill for port in venue.ports.values() for fill in port.ledger.fills]


def check_ledger(port):
    """The ledger against the port's orders, and against what its own fills amount to."""
    live = {order.token: order.leaves for order in port.live()}
    position = cash = 0
    for record in port.ledger.orders.values():
        assert record.leaves == live.get(record.user_ref_num, 0)
        assert (record.state == "live") == (record.user_ref_num in live)
        if record.state != "replaced":
            assert record.executed + record.canceled + record.leaves == record.quantity
    for fill in port.ledger.fills:
        if not fill["broken"]:
            signed = fill["shares"] if fill["side"] == "buy" else -fill["shares"]
            position += signed
            cash -= signed * fill["price"]
    assert (position, cash) == (port.ledger.positions["ALFA"], port.ledger.cash)


def test_what_a_client_is_told_adds_up_to_the_ledger(venue, generator):
    sender = Sender(generator)
    ports = list(venue.ports.values())
    for _ in range(MESSAGES):
        port = generator.choice(ports)
        port.received(sender.message(port))
    venue.engine.close()
    for port in ports:
        leaves, position, last = {}, 0, {}
        for sequence in range(1, port.stream.next_sequence):
            message, values, _ = ouch50.decode(ouch50.OUTBOUND, port.stream.message(sequence))
            number = values.get("user_ref_num")
            match message.type:
                case "A":
                    leaves[number] = values["quantity"]
                    last[number] = values["side"]
                case "U":
                    assert leaves.pop(values["orig_user_ref_num"]) > 0
                    leaves[number] = values["quantity"]
                    last[number] = values["side"]
                case "M":
                    assert 0 < values["quantity"] <= leaves[number]
                    leaves[number] = values["quantity"]
                case "E":
                    leaves[number] -= values["quantity"]
                    bought = last[number] == "B"
                    position += values["quantity"] if bought else -values["quantity"]
                case "C":
                    leaves[number] -= values["quantity"]
                case "D":
                    leaves[number] -= values["decrement_shares"]
            if number in leaves:
                assert leaves[number] >= 0
        assert not any(leaves.values())
        assert position == port.ledger.positions["ALFA"]
