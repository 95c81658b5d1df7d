"""The book model against a naive book, against an independent book builder, and rule by rule."""

import random
from itertools import pairwise

import pytest

from tickgate.sim import market
from tickgate.sim.model import feed
from tickgate.sim.model.book import BookModel, Top, Trade, Window
from tickgate.sim.model.feed import BUY, SELL, Message

BASE, TICK, TICKS = 100_0000, 100, 64
END = BASE + TICKS * TICK
EVERYTHING = Window(base=0, tick=1, ticks=1 << 32)
AAPL = "aapl_20200130_locate13_10k.itch"


def add(reference, side, price, shares, locate=10):
    return Message("A", locate, 0, reference, 0, side, shares, price)


def execute(reference, shares, locate=10):
    return Message("E", locate, 0, reference, shares=shares)


def execute_price(reference, shares, price, printable=True, locate=10):
    return Message("C", locate, 0, reference, shares=shares, price=price, printable=printable)


def cancel(reference, shares, locate=10):
    return Message("X", locate, 0, reference, shares=shares)


def delete(reference, locate=10):
    return Message("D", locate, 0, reference)


def replace(reference, new_reference, shares, price, locate=10):
    return Message("U", locate, 0, reference, new_reference, shares=shares, price=price)


def book_of(window=None, whole=True):
    window = window or Window(base=BASE, tick=TICK, ticks=TICKS)
    book = BookModel(symbols={10: 0, 11: 1}, windows={0: window, 1: window})
    if whole:
        book.set_whole(0)
        book.set_whole(1)
    return book


def last_row(book, *messages):
    """The row of the last message, which must cause one."""
    row = None
    for sequence, message in enumerate(messages, 1):
        row = book.apply(message, sequence)
    assert row is not None
    return row


def causes(book):
    return {name: count for name, count in book.counters.items() if count}


class NaiveBook:
    """All orders in one list; everything else is worked out from it each time."""

    def __init__(self, window):
        self.window = window
        self.orders = {}
        self.trusted = {0: True, 1: True}
        self.told = {0: (0, 0, 0, 0, 0, 0, 0), 1: (0, 0, 0, 0, 0, 0, 0)}

    def apply(self, message):
        symbol = message.locate - 10
        order = self.orders.get(message.reference)
        known = order is not None and order["symbol"] == symbol
        if message.type == "A":
            self.add(symbol, message.reference, message.side, message.price, message.shares)
        elif not known:
            self.trusted[symbol] = False
        elif message.type in "DU":
            del self.orders[message.reference]
            if message.type == "U":
                self.add(
                    symbol, message.new_reference, order["side"], message.price, message.shares
                )
        else:
            if message.shares > order["shares"]:
                self.trusted[symbol] = False
            order["shares"] = max(0, order["shares"] - message.shares)
            if not order["shares"]:
                del self.orders[message.reference]

    def add(self, symbol, reference, side, price, shares):
        if reference in self.orders:
            self.trusted[symbol] = False
            return
        self.orders[reference] = {
            "symbol": symbol, "side": side, "price": price, "shares": shares
        }  # fmt: skip

    def top(self, symbol):
        window, levels, escaped = self.window, ({}, {}), (set(), set())
        for order in self.orders.values():
            if order["symbol"] != symbol:
                continue
            side, price = order["side"], order["price"]
            inside = window.base <= price < window.base + window.tick * window.ticks
            if inside and price % window.tick == 0:
                levels[side][price] = levels[side].get(price, 0) + order["shares"]
            elif not inside and (price < window.base) == (side == BUY):
                escaped[side].add("worse")
            else:
                escaped[side].add("better")
        exact, now = self.trusted[symbol], []
        for side, best in ((BUY, max), (SELL, min)):
            standing = {price: shares for price, shares in levels[side].items() if shares}
            price = best(standing, default=0)
            now += [int(bool(standing)), price, standing.get(price, 0)]
            exact &= "better" not in escaped[side]
            exact &= bool(standing) or "worse" not in escaped[side]
        return (*now, int(exact))

    def row(self, symbol):
        now = self.top(symbol)
        changed, self.told[symbol] = now != self.told[symbol], now
        return now if changed else None


def random_message(rng, naive, faults):
    """A message that mostly makes sense for the orders that live."""
    locate = rng.choice([10, 10, 10, 11])
    live = [n for n, order in naive.orders.items() if order["symbol"] == locate - 10]
    price = BASE + rng.randrange(-3, TICKS + 3) * TICK + (50 if rng.random() < faults else 0)
    shares = rng.choice([0, 1, 100, 100, 300])
    fresh = rng.choice(list(naive.orders)) if naive.orders and rng.random() < faults else None
    fresh = rng.getrandbits(64) if fresh is None else fresh
    if not live or len(live) < rng.randrange(12):
        return add(fresh, rng.choice([BUY, SELL]), price, shares, locate)
    reference = rng.choice(live) if rng.random() > faults else rng.getrandbits(64)
    left = naive.orders.get(reference, {"shares": 5})["shares"]
    amount = (
        left if rng.random() < 0.5 else rng.randrange(left + (2 if rng.random() < faults else 1))
    )
    kind = rng.randrange(6)
    if kind == 0:
        return execute(reference, amount, locate)
    if kind == 1:
        return execute_price(reference, amount, price, locate=locate)
    if kind == 2:
        return cancel(reference, amount, locate)
    if kind == 3:
        return replace(reference, fresh, shares, price, locate)
    return delete(reference, locate)


@pytest.mark.parametrize("faults", [0.0, 0.02])
@pytest.mark.parametrize("run", range(6))
def test_every_row_is_that_of_a_naive_book(seed, run, faults):
    rng = random.Random(f"{seed} {run}")
    book = book_of()
    naive = NaiveBook(Window(base=BASE, tick=TICK, ticks=TICKS))
    for symbol in (0, 1):
        naive.row(symbol)
    rows = exact = 0
    for sequence in range(1, 3000):
        if sequence % 300 == 0:
            for symbol in (0, 1):
                naive.trusted[symbol] = True
                naive.row(symbol)
                book.set_whole(symbol)
        message = random_message(rng, naive, faults)
        naive.apply(message)
        row = book.apply(message, sequence)
        expected = naive.row(message.locate - 10)
        assert (row and row[1:8]) == expected, (sequence, message)
        assert row is None or (row.symbol, row.sequence) == (message.locate - 10, sequence)
        rows += row is not None
        exact += row is not None and row.exact
    assert book.orders == len(naive.orders)
    assert rows > 500 and exact > 20
    assert bool(causes(book)) == bool(faults)


def rows_of(data, locates):
    """(sequence, locate, bid, ask) of every change, from the model with a window for everything."""
    book = BookModel(
        symbols={locate: n for n, locate in enumerate(locates)},
        windows=dict.fromkeys(range(len(locates)), EVERYTHING),
    )
    for symbol in range(len(locates)):
        book.set_whole(symbol)
    rows = []
    for sequence, message in enumerate(feed.messages(data), 1):
        top = book.apply(message, sequence)
        if top is not None:
            assert top.exact
            rows.append((sequence, locates[top.symbol], *top[2:4], *top[5:7]))
    return rows, book


def independent_rows(data):
    itch_book = pytest.importorskip("itch_book", reason="needs the book builder itch-book")
    session = itch_book.Session(tables=["bbo"], depth=0, symbols=[])
    session.feed(data)
    table = session.take_bbo()
    columns = ("seq", "locate", "bid_px", "bid_sz", "ask_px", "ask_sz")
    rows = list(zip(*(table[name].tolist() for name in columns), strict=True))
    # That builder also tells a change of the number of orders at the best price.
    last = {}
    changes = []
    for row in rows:
        if last.get(row[1], (0, 0, 0, 0)) != row[2:]:
            last[row[1]] = row[2:]
            changes.append(row)
    return changes


def test_a_generated_day_gives_the_rows_of_an_independent_book_builder():
    day = market.generate(seed=5, messages=40_000)
    rows, book = rows_of(day.data, [instrument.locate for instrument in day.instruments])
    assert len(rows) > 5000
    assert rows == independent_rows(day.data)
    assert not causes(book)


def test_a_real_morning_gives_the_rows_of_an_independent_book_builder(shared_data):
    data = (shared_data / AAPL).read_bytes()
    rows, book = rows_of(data, [13])
    assert rows == independent_rows(data)
    assert rows[-1][2:] == (320_1400, 25, 320_3000, 100)
    assert (len(book.levels(0, BUY)), len(book.levels(0, SELL))) == (79, 63)
    assert not causes(book)


def test_in_a_window_of_a_real_morning_whatever_is_called_exact_is_right(shared_data):
    data = (shared_data / AAPL).read_bytes()
    truth = {row[0]: row[2:] for row in independent_rows(data)}
    window = Window.around(320_0000, tick=100, ticks=256)
    book = BookModel(symbols={13: 0}, windows={0: window})
    book.set_whole(0)
    now = (0, 0, 0, 0)
    exact = inexact = 0
    for sequence, message in enumerate(feed.messages(data), 1):
        top = book.apply(message, sequence)
        now = truth.get(sequence, now)
        if top is not None and top.exact:
            assert (*top[2:4], *top[5:7]) == now
            exact += 1
        elif top is not None:
            inexact += 1
    assert exact > 500 and inexact > 10


def test_the_first_row_says_that_the_host_declared_the_book_whole():
    book = book_of(whole=False)
    assert book.set_whole(0) == Top(0, 0, 0, 0, 0, 0, 0, 1, 0)
    assert book.set_whole(0) is None


def test_before_the_host_declares_it_whole_no_top_is_exact():
    row = last_row(book_of(whole=False), add(1, BUY, BASE, 100))
    assert row == Top(0, 1, BASE, 100, 0, 0, 0, 0, 1)


def test_orders_of_one_price_are_one_level():
    row = last_row(book_of(), add(1, SELL, BASE, 100), add(2, SELL, BASE, 50))
    assert (row.ask_price, row.ask_shares) == (BASE, 150)


def test_a_message_below_the_best_causes_no_row():
    book = book_of()
    book.apply(add(1, BUY, BASE + 2 * TICK, 100), 1)
    assert book.apply(add(2, BUY, BASE, 100), 2) is None


def test_an_emptied_best_level_uncovers_the_next_one():
    row = last_row(book_of(), add(1, BUY, BASE, 7), add(2, BUY, BASE + TICK, 9), delete(2))
    assert (row.bid_price, row.bid_shares) == (BASE, 7)


def test_a_replace_causes_one_row_with_the_state_after_both_halves():
    row = last_row(book_of(), add(1, SELL, BASE, 100), replace(1, 2, 40, BASE + TICK))
    assert (row.ask_present, row.ask_price, row.ask_shares) == (1, BASE + TICK, 40)


def test_a_replace_may_keep_its_reference():
    book = book_of()
    row = last_row(book, add(1, SELL, BASE, 100), replace(1, 1, 40, BASE + TICK))
    assert (row.ask_price, row.ask_shares, row.exact) == (BASE + TICK, 40, 1)


def test_an_untracked_locate_changes_nothing():
    book = book_of()
    assert book.apply(add(1, BUY, BASE, 100, locate=12), 1) is None
    assert book.apply(delete(9, locate=12), 2) is None
    assert book.orders == 0 and not causes(book)


@pytest.mark.parametrize("type_", "PQBRHYSILVWKJhNO")
def test_types_that_are_not_of_the_book_do_not_touch_it(type_):
    book = book_of()
    assert book.apply(Message(type_, 10, 0, 1, 0, BUY, 100, BASE), 1) is None
    assert book.orders == 0


@pytest.mark.parametrize(
    ("side", "price", "exact"),
    [
        (BUY, BASE, 1),
        (BUY, END - TICK, 1),
        (BUY, END, 0),
        (SELL, BASE, 1),
        (SELL, BASE - TICK, 0),
        (SELL, END - TICK, 1),
        (BUY, BASE + 1, 0),
        (SELL, BASE + 1, 0),
    ],
)
def test_a_top_is_not_exact_while_a_better_price_has_no_level(side, price, exact):
    book = book_of()
    book.apply(add(1, BUY, BASE + 5 * TICK, 1), 1)
    before = book.apply(add(2, SELL, BASE + 9 * TICK, 1), 2)
    after = book.apply(add(3, side, price, 1), 3)
    assert (after or before).exact == exact
    if not exact:
        assert book.apply(delete(3), 4).exact == 1


@pytest.mark.parametrize(("side", "price"), [(BUY, BASE - TICK), (SELL, END), (SELL, 199_999_9900)])
def test_a_worse_price_without_a_level_matters_only_while_its_side_is_empty(side, price):
    book = book_of()
    assert book.apply(add(1, side, price, 100), 1).exact == 0
    assert book.apply(add(2, side, BASE, 100), 2).exact == 1
    assert book.apply(delete(2), 3).exact == 0
    assert book.apply(delete(1), 4).exact == 1


@pytest.mark.parametrize(
    "message",
    [execute(9, 1), execute_price(9, 1, BASE), cancel(9, 1), delete(9), replace(9, 8, 1, BASE)],
)
def test_an_unknown_reference_takes_the_trust_and_changes_nothing_else(message):
    book = book_of()
    row = last_row(book, add(1, BUY, BASE, 5), message)
    assert row == Top(0, 1, BASE, 5, 0, 0, 0, 0, 2)
    assert book.orders == 1
    assert causes(book) == {"unknown_reference": 1}


@pytest.mark.parametrize(
    "message",
    [
        execute(1, 1, locate=11),
        execute_price(1, 1, BASE, locate=11),
        cancel(1, 1, locate=11),
        delete(1, locate=11),
        replace(1, 8, 1, BASE, locate=11),
    ],
)
def test_a_reference_of_another_symbol_is_unknown(message):
    book = book_of()
    row = last_row(book, add(1, BUY, BASE, 5), message)
    assert row == Top(1, 0, 0, 0, 0, 0, 0, 0, 2)
    assert book.levels(0, BUY) == [(BASE, 5)]
    assert causes(book) == {"unknown_reference": 1}


@pytest.mark.parametrize("make", [execute, cancel])
def test_more_shares_than_are_left_remove_the_order_and_take_the_trust(make):
    book = book_of()
    row = last_row(book, add(1, BUY, BASE, 5), add(2, BUY, BASE, 3), make(1, 6))
    assert row == Top(0, 1, BASE, 3, 0, 0, 0, 0, 3)
    assert book.orders == 1
    assert causes(book) == {"over_execution": 1}


def test_a_reference_stored_already_takes_the_trust_and_adds_nothing():
    book = book_of()
    row = last_row(book, add(1, BUY, BASE, 5), add(1, BUY, BASE + TICK, 9))
    assert row == Top(0, 1, BASE, 5, 0, 0, 0, 0, 2)
    assert causes(book) == {"duplicate_reference": 1}


def test_a_replace_by_a_reference_stored_already_still_removes_the_original():
    book = book_of()
    row = last_row(
        book, add(1, BUY, BASE, 5), add(2, BUY, BASE + TICK, 9), replace(2, 1, 7, BASE + TICK)
    )
    assert row == Top(0, 1, BASE, 5, 0, 0, 0, 0, 3)
    assert causes(book) == {"duplicate_reference": 1}


def test_a_level_beyond_32_bits_wraps_and_takes_the_trust():
    book = book_of()
    row = last_row(book, add(1, BUY, BASE, 0xFFFF_FFFF), add(2, BUY, BASE, 3))
    assert row == Top(0, 1, BASE, 2, 0, 0, 0, 0, 2)
    assert book.apply(delete(1), 3).bid_shares == 3
    assert causes(book) == {"level_overflow": 1}


def test_an_order_without_shares_makes_no_level_but_is_known():
    book = book_of()
    assert book.apply(add(1, BUY, BASE, 0), 1) is None
    assert book.orders == 1
    assert book.apply(delete(1), 2) is None
    assert book.orders == 0 and not causes(book)


def test_a_gap_takes_the_trust_of_every_symbol_and_the_host_gives_it_back():
    book = book_of()
    book.apply(add(1, BUY, BASE, 5), 1)
    assert book.gap(77) == [Top(0, 1, BASE, 5, 0, 0, 0, 0, 77), Top(1, 0, 0, 0, 0, 0, 0, 0, 77)]
    assert book.gap(78) == []
    assert book.set_whole(0) == Top(0, 1, BASE, 5, 0, 0, 0, 1, 0)


def test_an_execution_prints_the_price_of_the_resting_order_if_that_has_a_level():
    book = book_of()
    book.apply(add(1, BUY, BASE, 5), 1)
    book.apply(add(2, BUY, BASE - TICK, 5), 2)
    book.apply(execute(1, 2), 3)
    assert book.trade == Trade(0, BASE)
    for message in (execute(2, 2), execute(9, 2), cancel(1, 1), delete(1)):
        book.apply(message, 4)
        assert book.trade is None


def test_an_execution_at_another_price_prints_that_one_if_it_is_printable():
    book = book_of()
    book.apply(add(1, BUY, BASE, 5), 1)
    book.apply(execute_price(1, 1, 123), 2)
    assert book.trade == Trade(0, 123)
    book.apply(execute_price(1, 1, 124, printable=False), 3)
    assert book.trade is None
    assert book.levels(0, BUY) == [(BASE, 3)]


def test_a_trade_message_prints_its_price():
    book = book_of()
    book.apply(Message("P", 10, 0, 0, 0, BUY, 100, 4321), 1)
    assert book.trade == Trade(0, 4321)
    book.apply(Message("P", 12, 0, 0, 0, BUY, 100, 4321), 2)
    assert book.trade is None


def test_sequence_numbers_are_told_with_32_bits():
    assert book_of().apply(add(1, BUY, BASE, 5), (1 << 32) + 6).sequence == 6


@pytest.mark.parametrize(
    "values",
    [
        {"base": 150, "tick": 100, "ticks": 64},
        {"base": -100, "tick": 100, "ticks": 64},
        {"base": 0, "tick": 0, "ticks": 64},
        {"base": 0, "tick": 1, "ticks": 0},
    ],
)
def test_an_impossible_window_is_refused(values):
    with pytest.raises(ValueError, match="must be"):
        Window(**values)


def test_a_window_around_a_price_does_not_begin_below_zero():
    assert Window.around(320_1450, tick=100, ticks=64).base == 320_1400 - 32 * 100
    assert Window.around(5, tick=1, ticks=64) == Window(base=0, tick=1, ticks=64)


def test_a_tracked_symbol_without_a_window_is_refused():
    with pytest.raises(ValueError, match="symbol 1"):
        BookModel(symbols={10: 0, 11: 1}, windows={0: EVERYTHING})


def test_levels_are_told_best_first():
    book = book_of()
    last_row(book, *(add(n, n % 2, BASE + n * TICK, n) for n in range(1, 9)))
    for side, order in ((BUY, 1), (SELL, -1)):
        prices = [price for price, _ in book.levels(0, side)]
        assert len(prices) == 4
        assert all(order * (a - b) > 0 for a, b in pairwise(prices))
