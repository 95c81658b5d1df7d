"""Snapshots over GLIMPSE: joined with the feed at the number they tell, they give the book."""

import asyncio

import pytest

from tickgate.host import glimpse
from tickgate.sim.exchange.operator import Operator
from tickgate.sim.model import feed
from tickgate.sim.model.book import BookModel, Window
from tickgate.sim.model.feed import BUY, SELL
from tickgate.spec import glimpse50

PRICE = 10_0000
SNAPSHOT = {"snapshot": ("127.0.0.1", 0)}


async def spin(venue, connect_to, user="CARD"):
    """Logs in and reads to the end of the snapshot; returns messages and the number told."""
    reader = await connect_to(venue.addresses["--snapshot"])
    assert await reader.login(user) == "TODAY"
    messages = []
    while True:
        type_, payload = await reader.packet()
        assert type_ == "S"
        if payload[:1] == b"G":
            await reader.close()
            return messages, glimpse50.END_OF_SNAPSHOT.unpack(payload)["sequence"]
        messages.append(payload)


def test_a_snapshot_and_the_feed_from_its_number_on_give_the_book(trade, generator, raw_client):
    async def scenario(venue, connect):
        card = await connect("CARD")

        async def some(first):
            for number in range(first, first + 60):
                await card.enter(
                    number,
                    side=generator.choice("BS"),
                    quantity=generator.randrange(1, 300),
                    price=PRICE + 100 * generator.randrange(-4, 5),
                    display=generator.choice("YYN"),
                )
            await card.ouch("Q")
            while (await card.message()).message.type != "Q":
                pass

        await some(1)
        snapshot, sequence = await spin(venue, raw_client.connect)
        assert sequence == venue.feed.next_sequence
        assert {chr(octets[0]) for octets in snapshot} == {"R", "H", "A"}
        await some(100)
        model = BookModel(symbols={13: 0}, windows={0: Window(base=0, tick=1, ticks=1 << 32)})
        for octets in snapshot + venue.feed.messages[sequence - 1 :]:
            model.apply(feed.decode(octets), 1)
        assert not any(model.counters.values())
        for side in (BUY, SELL):
            assert model.levels(0, side) == venue.engine.books["ALFA"].levels(side) != []

    trade(scenario, **SNAPSHOT)


def test_orders_come_in_the_order_in_which_they_trade(trade, raw_client):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.enter(1, quantity=100)
        await card.enter(2, quantity=200)
        await card.enter(3, quantity=300, price=PRICE + 100)
        await card.replace(1, 4, quantity=90)
        await card.expect("S", "A", "A", "A", "U")
        snapshot, _ = await spin(venue, raw_client.connect)
        adds = [feed.decode(octets) for octets in snapshot if octets[:1] == b"A"]
        assert [(m.reference, m.shares) for m in adds] == [(3, 300), (2, 200), (4, 90)]

    trade(scenario, **SNAPSHOT)


@pytest.mark.parametrize(("login", "reason"), [({"password": "x"}, "A"), ({"sequence": 2}, "S")])
def test_a_reader_that_may_not_is_rejected(trade, raw_client, login, reason):
    async def scenario(venue, connect):
        reader = await raw_client.connect(venue.addresses["--snapshot"])
        assert await reader.login(**login) == reason
        await reader.close()

    trade(scenario, **SNAPSHOT)


def test_readers_do_not_touch_the_trading_session(trade, raw_client):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.enter(1)
        await card.expect("S", "A")
        await spin(venue, raw_client.connect)
        await spin(venue, raw_client.connect)
        assert await card.answered() == 2
        assert len(venue.engine.orders) == 1
        assert venue.status()["snapshots"] == 2

    trade(scenario, **SNAPSHOT)


def test_the_host_and_the_desk_tell_the_same_book(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.enter(1, quantity=100)
        await card.enter(2, quantity=50, price=PRICE + 1200)
        await card.enter(3, quantity=70, display="N")
        await card.enter(4, side="S", quantity=30, price=PRICE + 1300, symbol="BRVO")
        await card.expect("S", "A", "A", "A", "A")
        login = {"username": "card", "password": "secret"}
        taken = await asyncio.to_thread(
            glimpse.take, *venue.addresses["--snapshot"], "ALFA", **login
        )
        rows = [(o.reference, o.side, o.shares, str(o.price_usd)) for o in taken.orders]
        assert rows == [(2, "buy", 50, "10.1200"), (1, "buy", 100, "10.0000")]
        assert taken.sequence == len(venue.feed.messages)
        desk = Operator(venue).answer("book ALFA")
        assert desk["sequence"] == taken.sequence
        assert [tuple(order.values()) for order in desk["orders"]] == rows

    trade(scenario, **SNAPSHOT)
