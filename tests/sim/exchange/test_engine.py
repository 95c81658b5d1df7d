"""The matching engine against a naive one, and what it publishes against the book that results."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickgate.sim.exchange.book import Symbol
from tickgate.sim.exchange.engine import DECREMENT, NEWEST, OLDEST, Engine
from tickgate.sim.exchange.itch import ItchFeed
from tickgate.sim.model import feed
from tickgate.sim.model.book import BookModel, Window
from tickgate.sim.model.feed import BUY, SELL
from tickgate.spec.itch50 import TradingState
from tickgate.spec.ouch50 import CancelReason

ALFA, BRVO = Symbol(name="ALFA", locate=13), Symbol(name="BRVO", locate=407)
SYMBOLS = (ALFA, BRVO)
CENT = 100
PRICE = 10_0000

deterministic = settings(derandomize=True, database=None, deadline=None, max_examples=150)


class Owner:
    """Notes what it is told, as (what, token, ...)."""

    def __init__(self, name="owner"):
        self.name = name
        self.told = []

    def accepted(self, order, time):
        self.told.append(("accepted", order.token, order.leaves))

    def replaced(self, old, order, time):
        self.told.append(("replaced", old.token, order.token, order.leaves))

    def executed(self, fill, time):
        what = "added" if fill.added else "removed"
        self.told.append((what, fill.order.token, fill.shares, fill.price, fill.match))

    def canceled(self, order, shares, reason, time):
        self.told.append(("canceled", order.token, shares, reason.value))

    def prevented(self, prevented, time):
        self.told.append(
            ("prevented", prevented.order.token, prevented.shares, prevented.prevented)
        )

    def broken(self, fill, time):
        self.told.append(("broken", fill.order.token, fill.match))


class Venue:
    """An engine, its feed, and a short way to enter orders by token."""

    def __init__(self):
        self.time = 0
        self.feed = ItchFeed(SYMBOLS)
        self.engine = Engine(SYMBOLS, market=self.feed, clock=self.clock)
        self.engine.start()
        self.orders = {}

    def clock(self):
        self.time += 1
        return self.time

    def enter(self, owner, token, side, price, shares, symbol=ALFA, **terms):
        order = self.engine.enter(
            owner, token, symbol=symbol, side=side, price=price, shares=shares, **terms
        )
        self.orders[token] = order
        return order

    def published(self, since=0):
        """Types, references and shares of the messages since then."""
        rows = []
        for octets in self.feed.messages[since:]:
            message = feed.decode(octets)
            if message.type in "AEXDUPB":
                rows.append((message.type, message.reference, message.shares))
        return rows


class Naive:
    """Price-time priority as one would do it by hand: a list, sorted anew for every trade."""

    def __init__(self):
        self.orders = []  # [arrival, token, side, price, shares, hidden]
        self.arrivals = 0
        self.trades = []

    def enter(self, token, side, price, shares, hidden=False, immediate=False):
        while shares:
            others = [o for o in self.orders if o[2] != side]
            others = [o for o in others if (o[3] <= price if side == BUY else o[3] >= price)]
            if not others:
                break
            others.sort(key=lambda o: (o[3] if side == BUY else -o[3], o[5], o[0]))
            best = others[0]
            amount = min(shares, best[4])
            self.trades.append((best[1], token, amount, best[3]))
            best[4] -= amount
            shares -= amount
            if not best[4]:
                self.orders.remove(best)
        if shares and not immediate:
            self.arrivals += 1
            self.orders.append([self.arrivals, token, side, price, shares, hidden])

    def find(self, token):
        return next((o for o in self.orders if o[1] == token), None)

    def reduce(self, token, leaves):
        order = self.find(token)
        order[4] = leaves
        if not leaves:
            self.orders.remove(order)

    def replace(self, token, new, price, shares, hidden=False, immediate=False):
        old = self.find(token)
        self.orders.remove(old)
        self.enter(new, old[2], price, shares, hidden, immediate)

    def resting(self, side):
        rows = [o for o in self.orders if o[2] == side]
        rows.sort(key=lambda o: (-o[3] if side == BUY else o[3], o[5], o[0]))
        return [(o[1], o[3], o[4], o[5]) for o in rows]


prices = st.integers(-6, 6).map(lambda n: PRICE + n * CENT)
sizes = st.integers(1, 9).map(lambda n: n * 50)
actions = st.lists(
    st.one_of(
        st.tuples(
            st.just("enter"),
            st.sampled_from((BUY, SELL)),
            prices,
            sizes,
            st.booleans(),
            st.integers(0, 9).map(lambda n: n < 2),
        ),
        st.tuples(st.just("reduce"), st.integers(0, 99), st.integers(0, 99)),
        st.tuples(st.just("replace"), st.integers(0, 99), prices, sizes, st.booleans()),
    ),
    min_size=1,
    max_size=60,
)


def play(steps):
    """Does the same to the venue and to the naive engine; returns both, and yields each step."""
    venue, naive = Venue(), Naive()
    owners = [Owner("a"), Owner("b")]
    entered = canceled = 0
    for token, step in enumerate(steps, 1):
        live = list(venue.engine.orders.values())
        if step[0] == "enter":
            _, side, price, shares, hidden, immediate = step
            entered += shares
            order = venue.enter(
                owners[token % 2], token, side, price, shares, hidden=hidden, immediate=immediate
            )
            naive.enter(token, side, price, shares, hidden, immediate)
        elif live and step[0] == "reduce":
            order = live[step[1] % len(live)]
            leaves = order.leaves * step[2] // 100
            canceled += order.leaves - leaves
            venue.engine.reduce(order, leaves, CancelReason.USER_REQUESTED)
            naive.reduce(order.token, leaves)
        elif live:
            order = live[step[1] % len(live)]
            naive.replace(order.token, token, step[2], step[3], step[4])
            entered += step[3]
            canceled += order.leaves
            venue.orders[token] = venue.engine.replace(
                order, token, price=step[2], shares=step[3], hidden=step[4]
            )
        yield venue, naive, owners, entered, canceled


def check(venue, naive, owners, entered, canceled):
    book = venue.engine.books["ALFA"]
    for side in (BUY, SELL):
        rows = [(o.token, o.price, o.leaves, o.hidden) for o in book.orders(side)]
        assert rows == naive.resting(side)
    trades = [
        (first.order.token, second.order.token, first.shares, first.price)
        for first, second in venue.engine.trades.values()
    ]
    assert trades == naive.trades
    bid, ask = book.best(BUY), book.best(SELL)
    assert bid is None or ask is None or bid.price < ask.price
    resting = sum(order.leaves for order in venue.engine.orders.values())
    cut_short = sum(
        row[2] for owner in owners for row in owner.told if row[0] == "canceled" and row[3] == "I"
    )
    traded = 2 * sum(row[2] for row in naive.trades)
    assert entered == resting + traded + canceled + cut_short


@deterministic
@given(actions)
def test_books_and_trades_are_those_of_a_naive_engine_after_every_step(steps):
    for state in play(steps):
        check(*state)


def rebuilt(messages):
    """The book of the card's model after each message, from the octets alone."""
    book = BookModel(
        symbols={13: 0, 407: 1},
        windows=dict.fromkeys((0, 1), Window(base=0, tick=1, ticks=1 << 32)),
    )
    for sequence, octets in enumerate(messages, 1):
        book.apply(feed.decode(octets), sequence)
        assert not any(book.counters.values())
        yield book


@deterministic
@given(actions)
def test_the_published_book_is_the_displayed_one_after_every_step(steps):
    venue, model = None, None
    seen = 0
    for venue, *_ in play(steps):
        if model is None:
            messages = venue.feed.messages
            model = rebuilt(iter_growing(messages))
        while seen < len(venue.feed.messages):
            book = next(model)
            seen += 1
        for side in (BUY, SELL):
            assert book.levels(0, side) == venue.engine.books["ALFA"].levels(side)


def iter_growing(messages):
    """The messages of a list that grows meanwhile."""
    at = 0
    while True:
        yield messages[at]
        at += 1


def test_the_same_calls_give_the_same_octets():
    def run():
        venue = Venue()
        a, b = Owner(), Owner()
        venue.enter(a, 1, BUY, PRICE, 100)
        venue.enter(b, 2, SELL, PRICE, 40)
        venue.enter(b, 3, SELL, PRICE + CENT, 40)
        return venue.feed.messages, a.told, b.told

    assert run() == run()


def test_an_order_trades_at_the_price_of_the_one_that_rests():
    venue, a, b = Venue(), Owner(), Owner()
    venue.enter(a, 1, SELL, PRICE, 100)
    venue.enter(b, 2, BUY, PRICE + 5 * CENT, 60)
    assert a.told[1:] == [("added", 1, 60, PRICE, 1)]
    assert b.told[1:] == [("removed", 2, 60, PRICE, 1)]


def test_a_displayed_order_trades_before_an_older_hidden_one_at_its_price():
    venue, a, b = Venue(), Owner(), Owner()
    venue.enter(a, 1, SELL, PRICE, 100, hidden=True)
    venue.enter(a, 2, SELL, PRICE, 100)
    at = len(venue.feed.messages)
    venue.enter(b, 3, BUY, PRICE, 150)
    assert [row[:3] for row in a.told[2:]] == [("added", 2, 100), ("added", 1, 50)]
    assert venue.published(at) == [("E", 2, 100), ("P", 0, 50)]


def test_nothing_of_a_hidden_order_is_shown_but_its_trades():
    venue, a = Venue(), Owner()
    at = len(venue.feed.messages)
    order = venue.enter(a, 1, SELL, PRICE, 100, hidden=True)
    venue.engine.reduce(order, 60, CancelReason.USER_REQUESTED)
    order = venue.engine.replace(order, 2, price=PRICE + CENT, shares=60, hidden=True)
    venue.engine.reduce(order, 0, CancelReason.USER_REQUESTED)
    assert not venue.published(at)
    shown = venue.engine.replace(
        venue.enter(a, 3, SELL, PRICE, 100, hidden=True), 4, price=PRICE, shares=100
    )
    venue.engine.replace(shown, 5, price=PRICE, shares=100, hidden=True)
    assert [row[0] for row in venue.published(at)] == ["A", "D"]


def test_immediate_or_cancel_never_rests_and_is_never_shown():
    venue, a, b = Venue(), Owner(), Owner()
    venue.enter(a, 1, SELL, PRICE, 30)
    at = len(venue.feed.messages)
    venue.enter(b, 2, BUY, PRICE, 100, immediate=True)
    assert b.told[1:] == [("removed", 2, 30, PRICE, 1), ("canceled", 2, 70, "I")]
    assert venue.published(at) == [("E", 1, 30)]
    assert not venue.engine.orders


def test_a_post_only_order_that_would_trade_is_cancelled():
    venue, a, b = Venue(), Owner(), Owner()
    venue.enter(a, 1, SELL, PRICE, 30)
    venue.enter(b, 2, BUY, PRICE, 100, post_only=True)
    assert b.told == [("accepted", 2, 100), ("canceled", 2, 100, "G")]
    venue.enter(b, 3, BUY, PRICE - CENT, 100, post_only=True)
    assert venue.engine.books["ALFA"].best(BUY).token == 3


def test_a_partial_cancel_keeps_the_place_and_a_replace_loses_it():
    venue, a = Venue(), Owner()
    first = venue.enter(a, 1, SELL, PRICE, 100)
    second = venue.enter(a, 2, SELL, PRICE, 100)
    venue.engine.reduce(first, 10, CancelReason.USER_REQUESTED)
    assert venue.engine.books["ALFA"].best(SELL) is first
    venue.engine.replace(first, 3, price=PRICE, shares=10)
    assert venue.engine.books["ALFA"].best(SELL) is second
    assert venue.published()[-2:] == [("X", 1, 90), ("U", 1, 10)]


def test_a_replace_that_crosses_trades_and_shows_what_is_left_as_a_new_order():
    venue, a, b = Venue(), Owner(), Owner()
    venue.enter(a, 1, SELL, PRICE, 100)
    order = venue.enter(b, 2, BUY, PRICE - CENT, 50)
    at = len(venue.feed.messages)
    venue.engine.replace(order, 3, price=PRICE, shares=120)
    assert venue.published(at) == [("D", 2, 0), ("E", 1, 100), ("A", 3, 20)]
    assert b.told[1:] == [("replaced", 2, 3, 120), ("removed", 3, 100, PRICE, 1)]


@pytest.mark.parametrize(
    ("strategy", "told", "left"),
    [
        (OLDEST, [("prevented", 1, 100, 60)], [(3, 60)]),
        (NEWEST, [("prevented", 3, 60, 60)], [(1, 100)]),
        (DECREMENT, [("prevented", 1, 60, 60), ("prevented", 3, 60, 60)], [(1, 40)]),
    ],
)
def test_orders_of_one_owner_give_way_as_the_strategy_says(strategy, told, left):
    venue, a = Venue(), Owner()
    venue.enter(a, 1, SELL, PRICE, 100, self_match=strategy)
    venue.enter(a, 3, BUY, PRICE, 60, self_match=strategy)
    assert a.told[2:] == told
    assert [(o.token, o.leaves) for o in venue.engine.orders.values()] == left
    assert not venue.engine.trades


def test_self_match_prevention_shows_in_the_feed_and_another_owner_trades_on():
    venue, a, b = Venue(), Owner(), Owner()
    venue.enter(a, 1, SELL, PRICE, 50, self_match=OLDEST)
    venue.enter(b, 2, SELL, PRICE, 50)
    at = len(venue.feed.messages)
    venue.enter(a, 3, BUY, PRICE, 60, self_match=OLDEST)
    assert venue.published(at) == [("D", 1, 0), ("E", 2, 50), ("A", 3, 10)]


def test_without_a_strategy_on_both_orders_an_owner_trades_with_itself():
    venue, a = Venue(), Owner()
    venue.enter(a, 1, SELL, PRICE, 50, self_match=OLDEST)
    venue.enter(a, 2, BUY, PRICE, 50)
    assert [row[0] for row in a.told] == ["accepted", "accepted", "added", "removed"]


def test_a_broken_trade_is_told_to_both_sides_once():
    venue, a, b = Venue(), Owner(), Owner()
    venue.enter(a, 1, SELL, PRICE, 50)
    venue.enter(b, 2, BUY, PRICE, 50)
    venue.engine.break_trade(1)
    assert a.told[-1] == ("broken", 1, 1) and b.told[-1] == ("broken", 2, 1)
    assert venue.published()[-1][0] == "B"
    with pytest.raises(KeyError, match="broken already"):
        venue.engine.break_trade(1)
    with pytest.raises(KeyError):
        venue.engine.break_trade(2)


def test_the_day_begins_with_the_directory_and_ends_with_every_order_timed_out():
    venue, a = Venue(), Owner()
    types = [chr(octets[0]) for octets in venue.feed.messages]
    assert types == ["S", "S", "R", "Y", "R", "Y", "H", "H", "S"]
    venue.enter(a, 1, SELL, PRICE, 50)
    venue.enter(a, 2, BUY, PRICE - CENT, 50, hidden=True)
    venue.engine.close()
    assert a.told[2:] == [("canceled", 1, 50, "T"), ("canceled", 2, 50, "T")]
    codes = [feed.decode(octets).code for octets in venue.feed.messages if octets[:1] == b"S"]
    assert codes == ["O", "S", "Q", "M", "E", "C"]
    assert not venue.engine.orders and not venue.engine.open


def test_a_halt_is_published_and_leaves_the_orders():
    venue, a = Venue(), Owner()
    venue.enter(a, 1, SELL, PRICE, 50)
    venue.engine.set_state(ALFA, TradingState.HALTED)
    message = feed.decode(venue.feed.messages[-1])
    assert (message.type, message.locate, message.code) == ("H", 13, "H")
    assert len(venue.engine.orders) == 1


@pytest.mark.parametrize(
    ("symbols", "what"),
    [
        ((ALFA, Symbol(name="ALFA", locate=14)), "distinct"),
        ((ALFA, Symbol(name="CHRL", locate=13)), "distinct"),
    ],
)
def test_symbols_that_cannot_be_told_apart_are_refused(symbols, what):
    with pytest.raises(ValueError, match=what):
        Engine(symbols, market=ItchFeed(symbols), clock=int)


@pytest.mark.parametrize(
    "wrong", [{"name": "TOOLONGNAME"}, {"name": ""}, {"locate": 0}, {"locate": 65536}, {"tick": 0}]
)
def test_a_symbol_that_no_wire_format_can_carry_is_refused(wrong):
    with pytest.raises(ValueError):  # noqa: PT011
        Symbol(**{"name": "ALFA", "locate": 13, **wrong})


def test_prices_of_a_dollar_and_more_keep_to_the_tick():
    assert ALFA.allows(1_0000) and ALFA.allows(9_999) and ALFA.allows(1)
    assert not ALFA.allows(1_0001) and not ALFA.allows(0)
