"""What the host asks of a book while messages go on: its best levels, and to be whole again."""

import pytest

from tickgate.hdl.book.hashing import hashes
from tickgate.hdl.book.types import Geometry
from tickgate.host.config import Config, usd
from tickgate.host.driver import Driver
from tickgate.host.errors import CardRefused, UserError
from tickgate.host.snapshot import Snapshot, SnapshotOrder
from tickgate.sim.beside import PortBesideFeed
from tickgate.sim.hazards import CENT, Arena, Shape, generate
from tickgate.sim.model.book import BookModel, Top, Window
from tickgate.sim.session import FEED_ADDRESS, FEED_PORT, SESSION
from tickgate.sim.tape import rows_of
from tickgate.sim.virtual import SMALL, Card
from tickgate.spec import ethernet
from tickgate.spec.registers import RecoveryCause, RecoveryPhase

WIDTH, SYMBOLS, TICKS = 8, 4, SMALL["ticks"]
BASE = 500_000
LISTED = 6
ARENA = Arena(
    locates=tuple(range(101, 101 + SYMBOLS)),
    base=BASE,
    ticks=TICKS,
    set_bits=Geometry(symbols=SYMBOLS, ticks=TICKS, orders=SMALL["orders"]).set_bits,
)
SHAPE = Shape(
    about="everything but what cannot be trusted",
    weights={
        "empty": 6,
        "improve": 5,
        "join": 5,
        "between": 3,
        "undercut": 3,
        "deepen": 2,
        "sink": 2,
        "lift": 2,
        "bounce": 2,
        "flicker": 2,
        "whittle": 2,
        "escape": 1,
        "leave": 1,
        "come_back": 1,
        "forget_escaped": 2,
        "print": 1,
    },
    together=(1, 2, 4),
    both_sides=True,
    depth=(3, 10),
)


def flow(messages, seed):
    """A generated feed in which, as in the market, no reference number comes again."""
    rows = generate(SHAPE, arena=ARENA, messages=messages, seed=seed)
    names, number = {}, 1 << 40
    for row in rows:
        reference, new = int(row["reference"]), int(row["new_reference"])
        number += 1
        match chr(row["type"]):
            case "A" | "F":
                names[reference] = number
            case "U" if reference != new:
                names[new] = number
        row["reference"] = names.get(reference, reference)
        row["new_reference"] = names.get(new, new)
    return rows


def configuration():
    """All symbols in windows that prices leave, and no limits: nothing is to be sent."""
    symbols = [
        {
            "name": f"SYM{index}",
            "stock_locate": locate,
            "tick_usd": usd(CENT),
            "window_base_usd": usd(BASE),
            "strategy": {},
            "limits": {},
        }
        for index, locate in enumerate(ARENA.locates)
    ]
    feed = {"address": ethernet.format_ipv4(FEED_ADDRESS), "port": FEED_PORT}
    return Config.from_dict({"feed": feed, "session": SESSION, "symbols": symbols})


def model():
    """The books as the specification has them, all whole."""
    window = Window(base=BASE, tick=CENT, ticks=TICKS)
    books = BookModel(
        symbols={locate: index for index, locate in enumerate(ARENA.locates)},
        windows=dict.fromkeys(range(SYMBOLS), window),
    )
    for symbol in range(SYMBOLS):
        books.set_whole(symbol)
    return books


@pytest.fixture(scope="module")
def built():
    with Card(width=WIDTH, **SMALL, uart_divisor=0, quiet=True) as card:
        Driver(card.serial).apply(configuration())
        yield card


@pytest.fixture
def card(built):
    """A configured card with empty books, all whole."""
    driver = Driver(built.serial)
    driver.begin_day()
    for symbol in range(SYMBOLS):
        driver.set_whole(symbol)
    built.run(128)
    built.take()
    return built


def test_the_best_levels_are_those_of_one_moment_under_full_load(card, seed):
    feed = PortBesideFeed(card, flow(30_000, seed))
    driver = Driver(feed)
    views = []
    while not feed.over:
        views.append(driver.book(len(views) % SYMBOLS))
    assert driver.registers.read("book_disagreement") == 0
    assert len(views) > 10
    books, exact, views = model(), dict.fromkeys(range(SYMBOLS), 1), sorted(views, key=sequence)
    deep = 0
    for number, message in enumerate(feed.messages, start=1):
        top = books.apply(message, number)
        if top is not None:
            exact[top.symbol] = top.exact
        while views and views[0].sequence == number:
            view = views.pop(0)
            assert view.trusted and view.exact == exact[view.symbol]
            for side, shown in enumerate((view.bids, view.asks)):
                levels = books.levels(view.symbol, side)
                assert shown.levels == levels[: len(shown.levels)]
                assert not shown.complete or len(shown.levels) == min(LISTED, len(levels))
                assert shown.more or len(shown.levels) == len(levels)
                deep += shown.more
    assert not views and deep > 0


def sequence(view):
    return view.sequence


def test_at_rest_every_list_is_complete(card, seed):
    feed = PortBesideFeed(card, flow(2_000, seed))
    driver = Driver(feed)
    feed.advance(len(feed.frames.lengths))
    books = model()
    for number, message in enumerate(feed.messages, start=1):
        books.apply(message, number)
    for symbol in range(SYMBOLS):
        view = driver.book(symbol)
        assert view.symbol == symbol and view.sequence == len(feed.messages)
        for side, shown in enumerate((view.bids, view.asks)):
            levels = books.levels(symbol, side)
            assert shown.complete and shown.levels == levels[:LISTED]
            # A full list does not know whether it is the whole side.
            assert shown.more == (len(levels) >= LISTED)
    driver.set_whole(1, whole=False)
    view = driver.book(1)
    assert not view.trusted and not view.exact


PAUSE = 400
"""Idle cycles before a frame, at which a book can be recovered over the UART."""


class Truth:
    """The books as they are if nothing is lost, message by message."""

    def __init__(self, feed):
        self._messages = feed.messages
        books = model()
        rows = [books.apply(message, n) for n, message in enumerate(feed.messages, start=1)]
        self.rows = [row for row in rows if row is not None]

    def rows_after(self, symbol, sequence, *, to=1 << 32):
        """The changes of a symbol's top after a message."""
        return [row for row in self.rows if row.symbol == symbol and sequence < row.sequence <= to]

    def state(self, symbol, sequence):
        """The top of a symbol after a message, and whether it is exact."""
        rows = [row for row in self.rows if row.symbol == symbol and row.sequence <= sequence]
        return rows[-1][1:-1]

    def snapshot(self, symbol, sequence):
        """The snapshot of a symbol after a message."""
        books = model()
        for number, message in enumerate(self._messages[:sequence], start=1):
            books.apply(message, number)
        orders = [
            SnapshotOrder(
                reference=reference,
                side=("buy", "sell")[side],
                shares=shares,
                price_usd=usd(price),
            )
            for reference, side, shares, price in books.live(symbol)
        ]
        return Snapshot(symbol=f"SYM{symbol}", sequence=sequence, orders=orders)


class Tops:
    """The tops that a card tells, as rows of the model."""

    def __init__(self, card):
        self._card = card
        self.last = dict.fromkeys(range(SYMBOLS), (0, 0, 0, 0, 0, 0, 1))
        self.latencies = {symbol: set() for symbol in range(SYMBOLS)}

    def take(self):
        """The rows since the last time."""
        self._card.run(128)
        log = self._card.take()
        rows = [Top(*(int(row[name]) for name in Top._fields)) for row in log.tops]
        for row in rows:
            self.last[row.symbol] = row[1:-1]
        for row in log.tops[log.tops["sequence"] > 0]:
            latency = int(row["cycle"] - row["stamp"]) & 0xFFFF
            self.latencies[int(row["symbol"])].add(latency)
        return rows


def of(rows, symbol):
    return [row for row in rows if row.symbol == symbol]


@pytest.fixture
def desk(card, seed):
    """A feed that has begun, a driver, the truth, and what the card tells."""

    def make(*, messages=8_000, begun=60):
        feed = PortBesideFeed(card, flow(messages, seed), pause=PAUSE, steady=False)
        tops = Tops(card)
        feed.advance(begun)
        tops.take()
        return feed, Driver(feed), Truth(feed), tops

    return make


def lose(feed, frames=3):
    """The next frames do not arrive; the one after them shows it."""
    feed.lost |= set(range(feed.next, feed.next + frames))
    feed.advance(frames + 1)


def oldest(feed, state):
    return state.first - 1


def of_now(feed, state):
    return feed.last_sequence


def ahead(feed, state):
    return feed.last_sequence + 40


@pytest.mark.parametrize("age", [oldest, of_now, ahead])
def test_after_a_gap_each_book_becomes_exact_again_while_messages_go_on(desk, age):
    feed, driver, truth, tops = desk()
    lose(feed)
    assert not any(row.exact for row in tops.take()[-1:])
    held, compared = [], 0
    for symbol in range(SYMBOLS):

        def snapshot(state, symbol=symbol):
            # Some are held before, some after it.
            feed.advance(20)
            held.append(driver.recovery().held)
            return truth.snapshot(symbol, age(feed, state))

        state = driver.recover(symbol, snapshot)
        assert (state.phase, state.symbol) == (RecoveryPhase.DONE, symbol)
        rows, here = tops.take(), feed.last_sequence
        assert tops.last[symbol] == truth.state(symbol, here)
        feed.advance(20)
        rows = tops.take()
        for recovered in range(symbol + 1):
            expected = truth.rows_after(recovered, here, to=feed.last_sequence)
            assert of(rows, recovered) == expected
            compared += len(expected)
        assert not any(row.exact for row in rows if row.symbol > symbol)
    here = feed.last_sequence
    feed.advance(len(feed.frames.lengths))
    rows = tops.take()
    for symbol in range(SYMBOLS):
        assert of(rows, symbol) == truth.rows_after(symbol, here)
        compared += len(of(rows, symbol))
    assert any(held) and compared > 500
    assert driver.registers.read("book_disagreement") == 0


def test_the_recovery_of_one_book_is_not_noticed_in_the_others(desk):
    feed, driver, truth, tops = desk()
    usual = set.union(*tops.latencies.values())
    driver.set_whole(0, whole=False)
    tops.take()
    here = feed.last_sequence
    driver.recover(0, lambda state: truth.snapshot(0, feed.last_sequence))
    rows = tops.take()
    for symbol in range(1, SYMBOLS):
        expected = truth.rows_after(symbol, here, to=feed.last_sequence)
        assert of(rows, symbol) == expected and len(expected) > 5
        assert tops.latencies[symbol] <= usual


def fails(driver, cause, snapshot, symbol=0):
    """Whether a recovery fails for this cause, and leaves the symbol untrusted."""
    with pytest.raises(CardRefused, match=cause.doc.split(";")[0][:20].replace("^", r"\^")):
        driver.recover(symbol, snapshot)
    state = driver.recovery()
    assert (state.phase, state.cause, state.symbol) == (RecoveryPhase.FAILED, cause, symbol)
    assert not driver.book(symbol).trusted
    return True


def succeeds(feed, driver, truth, tops, symbol=0):
    """Whether a recovery leads to the book as it is."""
    driver.recover(symbol, lambda state: truth.snapshot(symbol, feed.last_sequence))
    tops.take()
    return tops.last[symbol] == truth.state(symbol, feed.last_sequence)


def test_more_messages_than_can_be_held_end_it_and_it_may_be_tried_again(desk):
    feed, driver, truth, tops = desk(messages=16_000)

    def late(state):
        feed.advance(1_600)
        return truth.snapshot(0, feed.last_sequence)

    assert fails(driver, RecoveryCause.OVERFLOW, late)
    assert succeeds(feed, driver, truth, tops)


def test_a_gap_meanwhile_ends_it_and_it_may_be_tried_again(desk):
    feed, driver, truth, tops = desk()

    def with_a_gap(state):
        lose(feed)
        return truth.snapshot(0, feed.last_sequence)

    assert fails(driver, RecoveryCause.GAP, with_a_gap)
    assert succeeds(feed, driver, truth, tops)


def test_a_recovery_that_breaks_off_leaves_the_card_as_it_was(desk):
    feed, driver, truth, tops = desk()

    def breaks(state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        driver.recover(0, breaks)
    state = driver.recovery()
    assert (state.phase, state.cause) == (RecoveryPhase.FAILED, RecoveryCause.ABORTED)
    # Without a word to the card: the next recovery begins anew, with another symbol or the same.
    for symbol in (2, 0):
        driver.registers.write("recover", symbol)
        feed.advance(120)
    assert driver.recovery().phase == RecoveryPhase.LOADING
    assert succeeds(feed, driver, truth, tops)
    driver.set_whole(2, whole=False)
    assert succeeds(feed, driver, truth, tops, symbol=2)


def test_a_snapshot_that_cannot_be_right_is_refused(desk):
    feed, driver, truth, tops = desk()
    other = truth.snapshot(1, feed.last_sequence).orders[0].reference

    def too_old(state):
        return truth.snapshot(0, state.first - 2)

    def of_another(state):
        return truth.snapshot(1, feed.last_sequence)

    def with_a_strange_order(state):
        good = truth.snapshot(0, feed.last_sequence)
        order = good.orders[0].model_copy(update={"reference": other})
        return good.model_copy(update={"orders": [*good.orders, order]})

    def without_orders(state):
        feed.advance(60)
        return truth.snapshot(0, state.first - 1).model_copy(update={"orders": []})

    assert fails(driver, RecoveryCause.MISSING, too_old)
    with pytest.raises(UserError, match="the snapshot is of 'SYM1', not of 'SYM0'"):
        driver.recover(0, of_another)
    assert driver.recovery().cause == RecoveryCause.ABORTED
    assert fails(driver, RecoveryCause.DUPLICATE, with_a_strange_order)
    assert fails(driver, RecoveryCause.UNKNOWN, without_orders)
    assert succeeds(feed, driver, truth, tops)


def test_a_level_that_is_too_large_ends_it_and_it_may_be_tried_again(desk):
    feed, driver, truth, tops = desk()
    huge = [
        SnapshotOrder(reference=n, side="buy", shares=(1 << 32) - 1, price_usd=usd(BASE))
        for n in (1, 2)
    ]

    def with_huge_orders(state):
        good = truth.snapshot(0, feed.last_sequence)
        return good.model_copy(update={"orders": [*good.orders, *huge]})

    assert fails(driver, RecoveryCause.LEVEL_OVERFLOW, with_huge_orders)
    assert driver.registers.read("book_level_overflow") > 0
    assert succeeds(feed, driver, truth, tops)


def test_a_window_that_moves_under_its_orders_takes_the_trust(card):
    driver = Driver(card.serial)
    for symbol in range(SYMBOLS):
        driver.set_whole(symbol)
    values = configuration().model_dump()
    values["symbols"][1]["limits"]["max_long_shares"] = 5
    driver.apply(Config.from_dict(values))
    assert all(driver.book(symbol).trusted for symbol in range(SYMBOLS))
    values["symbols"][1]["window_base_usd"] += 1
    driver.apply(Config.from_dict(values))
    assert not any(driver.book(symbol).trusted for symbol in range(SYMBOLS))
    driver.apply(configuration())


def test_a_book_cannot_be_declared_whole_while_it_is_recovered(desk):
    feed, driver, truth, tops = desk()

    def impatient(state):
        driver.set_whole(0)
        assert not driver.book(0).trusted
        return truth.snapshot(0, feed.last_sequence)

    driver.recover(0, impatient)
    tops.take()
    assert tops.last[0] == truth.state(0, feed.last_sequence)


def crowd(generator, count):
    """References that share both of their sets."""
    first, second = hashes(ARENA.set_bits)
    alike = []
    while len(alike) < 4:
        reference = generator.getrandbits(63)
        if not first.of(reference) and not second.of(reference):
            alike.append(reference)
    one = generator.getrandbits(63)
    sums = [0]
    for each in alike:
        sums += [each ^ other for other in sums]
    return [one ^ each for each in sums[:count]]


def test_orders_for_which_both_sets_are_full_are_swept_too(card, generator):
    references = crowd(generator, 14)
    rows = [
        (ord("A"), ARENA.locates[n % 3 == 0], n, reference, 0, ord("BS"[n & 1]), 100 + n, price)
        for n, reference in enumerate(references)
        for price in [BASE + (40 if n & 1 else 10) * CENT + n * CENT]
    ]
    feed = PortBesideFeed(card, rows_of(rows), pause=PAUSE, steady=False)
    driver, truth, tops = Driver(feed), Truth(feed), Tops(card)
    feed.advance(len(rows))
    tops.take()
    for symbol in (0, 1, 0):
        driver.set_whole(symbol, whole=False)
        assert succeeds(feed, driver, truth, tops, symbol=symbol)
        assert driver.recovery().orders == len(truth.snapshot(symbol, len(rows)).orders)
    assert driver.registers.read("book_store_overflow") == 0
