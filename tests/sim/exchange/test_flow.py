"""Background flow: a tape's messages as orders, what clients change of it, and other readers."""

import asyncio
from itertools import islice

import pytest

from tickgate.sim import market
from tickgate.sim.capture import InputError
from tickgate.sim.exchange.book import Symbol
from tickgate.sim.exchange.engine import Engine
from tickgate.sim.exchange.flow import Crowd, Pace, file_messages, file_symbols, generated
from tickgate.sim.exchange.itch import ItchFeed
from tickgate.sim.model import feed
from tickgate.sim.model.book import BookModel, Window
from tickgate.sim.model.feed import BUY, SELL
from tickgate.spec import itch50

AAPL = "aapl_20200130_locate13_10k.itch"
PRICE = 320_0000
EVERYTHING = Window(base=0, tick=1, ticks=1 << 32)


def venue_of(symbols):
    itch = ItchFeed(symbols)
    time = iter(range(1, 1 << 40))
    engine = Engine(symbols, market=itch, clock=lambda: next(time))
    engine.start()
    return engine, itch, Crowd(engine)


def message(type_, locate=13, **values):
    return itch50.MESSAGES[type_].pack(
        stock_locate=locate, tracking_number=0, timestamp=0, **values
    )


def add(reference, side="S", shares=100, price=PRICE, locate=13):
    return message(
        "A", locate, order_ref=reference, side=side, shares=shares, stock="AAPL", price=price
    )


def executed(reference, shares):
    return message("E", order_ref=reference, executed_shares=shares, match_number=1)


def displayed(book):
    """Best bid and ask as the book model tells them."""
    top = []
    for side in (BUY, SELL):
        levels = book.levels(side)
        top += levels[0] if levels else (0, 0)
    return tuple(top)


def levels_of(messages, symbols):
    """The book model after all messages."""
    index = {symbol.locate: n for n, symbol in enumerate(symbols)}
    model = BookModel(symbols=index, windows=dict.fromkeys(index.values(), EVERYTHING))
    for sequence, octets in enumerate(messages, 1):
        model.apply(feed.decode(octets), sequence)
    return model


def test_without_clients_the_books_are_those_of_the_tape():
    instruments = market.INSTRUMENTS
    symbols = [Symbol(name=i.name, locate=i.locate, tick=i.tick) for i in instruments]
    engine, itch, crowd = venue_of(symbols)
    opening, messages = generated(7, instruments)
    tape = opening + list(islice(messages, 6000))
    for octets in tape:
        crowd.play(octets)
    wanted, got = levels_of(tape, symbols), levels_of(itch.messages, symbols)
    for index, symbol in enumerate(symbols):
        for side in (BUY, SELL):
            levels = engine.books[symbol.name].levels(side)
            assert wanted.levels(index, side) == got.levels(index, side) == levels
    assert not crowd.counters["gone"] and not crowd.counters["malformed"]
    assert engine.matches == sum(octets[:1] in (b"E", b"C") for octets in tape) > 100


def test_an_independent_book_builder_reads_the_same_tops_at_every_sequence_number():
    itch_book = pytest.importorskip("itch_book", reason="needs the book builder itch-book")
    instruments = market.INSTRUMENTS[:3]
    symbols = [Symbol(name=i.name, locate=i.locate) for i in instruments]
    engine, itch, crowd = venue_of(symbols)
    opening, messages = generated(3, instruments)
    truth = {}
    for octets in opening + list(islice(messages, 5000)):
        crowd.play(octets)
        for symbol in symbols:
            row = displayed(engine.books[symbol.name])
            truth.setdefault(symbol.locate, []).append((len(itch.messages), row))
    session = itch_book.Session(tables=["bbo"], depth=0, symbols=[])
    session.feed(b"".join(len(octets).to_bytes(2, "big") + octets for octets in itch.messages))
    table = session.take_bbo()
    columns = ("seq", "locate", "bid_px", "bid_sz", "ask_px", "ask_sz")
    rows = list(zip(*(table[name].tolist() for name in columns), strict=True))
    compared = 0
    for locate, states in truth.items():
        mine = iter([row for row in rows if row[1] == locate])
        pending, now = next(mine), (0, 0, 0, 0)
        for sequence, top in states:
            while pending is not None and pending[0] <= sequence:
                now, pending = pending[2:], next(mine, None)
            assert now == top, (locate, sequence)
            compared += 1
    assert compared == 3 * (len(opening) + 5000)


def test_a_real_morning_is_played_as_liquidity(shared_data):
    path = shared_data / AAPL
    symbols = file_symbols(path)
    assert [(symbol.name, symbol.locate) for symbol in symbols] == [("AAPL", 13)]
    _, itch, crowd = venue_of(symbols)
    tape = list(file_messages(path))
    for octets in tape:
        crowd.play(octets)
    wanted, got = levels_of(tape, symbols), levels_of(itch.messages, symbols)
    for side in (BUY, SELL):
        assert wanted.levels(0, side) == got.levels(0, side) != []
    assert sum(crowd.counters.values()) == len(tape) == 10_000


def test_a_client_in_front_of_the_tape_gets_its_executions():
    symbols = (Symbol(name="AAPL", locate=13),)
    engine, _, crowd = venue_of(symbols)
    _, _, client = venue_of(symbols)
    filled = []
    client.executed = lambda fill, time: filled.append((fill.shares, fill.price, fill.added))
    engine.enter(client, 1, symbol=symbols[0], side=SELL, price=PRICE - 100, shares=30)
    crowd.play(add(1))
    crowd.play(executed(1, 50))
    assert filled == [(30, PRICE - 100, True)]
    assert engine.books["AAPL"].levels(SELL) == [(PRICE, 80)]


def test_what_a_client_took_is_skipped_and_counted():
    symbols = (Symbol(name="AAPL", locate=13),)
    engine, _, crowd = venue_of(symbols)
    _, _, client = venue_of(symbols)
    crowd.play(add(1))
    engine.enter(client, 1, symbol=symbols[0], side=BUY, price=PRICE, shares=100)
    for octets in (
        message("D", order_ref=1),
        message("X", order_ref=1, canceled_shares=5),
        message("U", orig_order_ref=1, new_order_ref=2, shares=5, price=PRICE),
        executed(1, 10),
    ):
        crowd.play(octets)
    assert crowd.counters == {"played": 1, "gone": 4}
    assert not engine.orders


def test_replaces_and_cancels_of_the_tape_change_its_orders():
    engine, _, crowd = venue_of((Symbol(name="AAPL", locate=13),))
    crowd.play(add(1))
    crowd.play(message("X", order_ref=1, canceled_shares=40))
    assert engine.books["AAPL"].levels(SELL) == [(PRICE, 60)]
    crowd.play(message("U", orig_order_ref=1, new_order_ref=2, shares=70, price=PRICE + 100))
    crowd.play(executed(2, 20))
    assert engine.books["AAPL"].levels(SELL) == [(PRICE + 100, 50)]
    crowd.play(message("D", order_ref=2))
    assert not engine.orders and not crowd.counters["gone"]


def test_what_cannot_be_played_is_counted_by_cause():
    engine, _, crowd = venue_of((Symbol(name="AAPL", locate=13),))
    halt = {"stock": "AAPL", "reserved": "", "reason": ""}
    crowd.play(b"?")
    crowd.play(add(1, shares=0))
    crowd.play(add(2, locate=14))
    crowd.play(message("S", 0, event_code="O"))
    crowd.play(message("H", trading_state="?", **halt))
    crowd.play(add(3))
    crowd.play(message("H", trading_state="H", **halt))
    crowd.play(add(4))
    crowd.play(message("D", order_ref=3))
    crowd.play(message("H", trading_state="T", **halt))
    crowd.play(add(5))
    assert crowd.counters == {
        "malformed": 3,
        "other_symbol": 1,
        "ignored": 1,
        "halted": 1,
        "played": 5,
    }
    assert [order.token for order in engine.orders.values()] == [5]


def test_a_pace_plays_all_messages_and_no_faster_than_its_rate():
    played = []

    async def main():
        pace = Pace([b"x"] * 60, played.append, rate=600)
        clock = asyncio.get_running_loop().time
        begin = clock()
        await pace.run()
        return pace, clock() - begin

    pace, seconds = asyncio.run(main())
    assert len(played) == pace.played == 60 and pace.ended
    assert seconds >= 59 / 600


def test_a_rate_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="rate must be positive"):
        Pace([], print, rate=0)


def test_the_same_seed_gives_the_same_flow_without_end():
    def first(seed):
        opening, messages = generated(seed, market.INSTRUMENTS)
        return opening + list(islice(messages, 9000))

    assert first(1) == first(1) != first(2)


def test_a_file_without_the_symbol_or_of_another_kind_is_refused(tmp_path, shared_data):
    with pytest.raises(InputError, match="has no symbol 'MSFT'; it has AAPL"):
        file_symbols(shared_data / AAPL, ["MSFT"])
    capture = shared_data / "pcap" / "itch50" / "OrderDeleteMessage.pcap"
    with pytest.raises(InputError, match="is a capture"):
        file_symbols(capture)
    nameless = tmp_path / "nameless.itch"
    octets = message("D", order_ref=1)
    nameless.write_bytes(len(octets).to_bytes(2, "big") + octets)
    with pytest.raises(InputError, match="names no symbol"):
        file_symbols(nameless)
