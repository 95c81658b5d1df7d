"""Two lines of the feed, and frames that wait for their FCS, through the whole card.

Every top of book, verdict, order frame and counter is compared with the models'.
"""

import numpy as np
import pytest

from tickgate.host.config import Config
from tickgate.host.driver import Driver
from tickgate.sim import market
from tickgate.sim.check import Checker
from tickgate.sim.frames import MAX_PAYLOAD, Frames, Packer, arrange
from tickgate.sim.linerate import LINES
from tickgate.sim.model.book import BookModel, Top, Window
from tickgate.sim.model.feed import messages
from tickgate.sim.replay import DRAIN, TX_GAP, Options, plan, unloaded_gap
from tickgate.sim.trace import Trace
from tickgate.sim.virtual import CLOCK_PERIOD_PS, SMALL, Card
from tickgate.spec import ethernet

MESSAGES = 3_000
SIZES = Options(capacity=SMALL["symbols"], ticks=SMALL["ticks"], orders=SMALL["orders"])
GAP_WAIT_US, LINE_TIMEOUT_US = 100, 1_000
A, B = 0, 1
SKEW = 3
"""Datagrams by which line B is later, where it is."""


class Desk:
    """A card that the host has configured for two lines, and the models beside it.

    A datagram is named by its number, from 0 on, and sent on either line.

    Members
    -------
    numbers : range
        Of all datagrams.
    sizes : list of int
        Messages in each of them.
    """

    def __init__(self, card, planned, **feed):
        (address, port), (address_b, port_b) = LINES["both"]
        values = planned.config.model_dump()
        values["feed"] = {
            "address": ethernet.format_ipv4(address),
            "port": port,
            "address_b": ethernet.format_ipv4(address_b),
            "port_b": port_b,
            "gap_wait_us": GAP_WAIT_US,
            "line_timeout_us": LINE_TIMEOUT_US,
            **feed,
        }
        self.driver = Driver(card.serial)
        self._card, self._config = card, Config.from_dict(values)
        self._period = CLOCK_PERIOD_PS[card.width]
        ((batch, _),) = planned.source.messages()
        self._lines = [
            Packer(address=address, port=port, line=line).frames(batch)
            for line, (address, port) in enumerate(LINES["both"])
        ]
        self.sizes = np.bincount(self._lines[A].frame).tolist()
        self.numbers = range(len(self.sizes))
        self._start([symbol.index for symbol in planned.tracked])

    def _start(self, symbols):
        card, driver = self._card, self.driver
        driver.apply(self._config)
        driver.begin_day()
        card.run(DRAIN)
        card.take()
        for symbol in symbols:
            driver.set_whole(symbol)
        card.run(DRAIN)
        tops = card.take().tops
        driver.arm(self._config)
        card.take()
        self._checker = Checker(
            config=self._config,
            ticks=driver.identity.ticks,
            time_ns=lambda cycle: (cycle - Card.RESET_CYCLES) * self._period // 1000,
            store_overflowed=lambda: False,
        )
        assert self._checker.set_whole(symbols, tops) is None

    def play(self, order, *, damaged=(), pauses=None):
        """Sends datagrams, each a pair of line and number, and compares what the card did.

        `damaged`: those that arrive with a wrong octet in their last message. `pauses`: by place in
        `order`, microseconds before it. Returns the counters and the tops by sequence number.
        """
        places = [line * len(self.numbers) + number for line, number in order]
        frames = arrange(self._lines, np.array(places))
        for place in [order.index(each) for each in damaged]:
            _damage(frames, place)
        gaps = np.full(len(order), unloaded_gap(self._card.width), np.uint32)
        for place, microseconds in (pauses or {}).items():
            gaps[place] = microseconds * 1_000_000 // self._period
        card = self._card
        drain = DRAIN + MAX_PAYLOAD // card.width
        card.send(frames.octets, frames.lengths, gap=gaps, drain=drain)
        trace = Trace(
            frames=frames,
            log=card.take(),
            width=card.width,
            tx_gap=TX_GAP,
            await_fcs=self._config.feed.await_fcs,
        )
        self.state = self.driver.registers.read_fields("feed_state")
        asked = card.cycle
        counters = self.driver.counters()
        assert self._checker.compare(trace) is None
        assert self._checker.compare_counters(counters, cycles=(asked, card.cycle)) is None
        assert self._checker.frames == counters["orders_approved"]
        tops = [Top(*(int(row[name]) for name in Top._fields)) for row in trace.log.tops]
        return counters, sorted(tops, key=lambda top: top.sequence)

    def first_sequence(self, number):
        """The sequence number of a datagram."""
        return 1 + sum(self.sizes[:number])


def _damage(frames: Frames, place: int) -> None:
    """Another octet in a frame's last message, but none of its reference, and so a wrong FCS."""
    message = int(np.flatnonzero(frames.frame == place)[-1])
    octet = int(frames.messages.begin[message]) + 5
    frames.octets[octet] ^= 1
    frames.causes[place] = "fcs_errors"


def alternating(numbers):
    """Each datagram on A and then on B."""
    return [(line, number) for number in numbers for line in (A, B)]


def skewed(numbers):
    """Each datagram on A, and on B later than the next ones on A."""
    order = [(number, A, number) for number in numbers]
    order += [(number + SKEW, B, number) for number in numbers]
    return [(line, number) for _, line, number in sorted(order)]


@pytest.fixture(scope="module")
def planned(tmp_path_factory, request):
    file = tmp_path_factory.mktemp("market") / "market.itch"
    seed = request.config.getoption("seed")
    file.write_bytes(market.generate(seed=seed, messages=MESSAGES).data)
    return plan(file, SIZES)


@pytest.fixture(scope="module")
def undisturbed(planned):
    """The tops that the models tell if each message comes once, in order."""
    symbols = {symbol.locate: symbol.index for symbol in planned.tracked}
    windows = {
        symbol.index: Window(base=symbol.base, tick=symbol.tick, ticks=planned.options.ticks)
        for symbol in planned.tracked
    }
    book = BookModel(symbols=symbols, windows=windows)
    for index in windows:
        book.set_whole(index)
    data = planned.source.path.read_bytes()
    rows = [
        book.apply(message, sequence)
        for sequence, message in enumerate(messages(data), start=1)
        if message.locate in symbols
    ]
    tops = [row for row in rows if row is not None]
    assert len(tops) > 500 < sum(top.exact for top in tops)
    return tops


@pytest.fixture(params=[1, 8])
def card(request):
    with Card(width=request.param, **SMALL, tx_gap=TX_GAP, uart_divisor=0, quiet=True) as card:
        yield card


@pytest.fixture
def desk(card, planned):
    return Desk(card, planned)


def test_line_b_alone_is_enough(desk, undisturbed):
    counters, tops = desk.play([(B, number) for number in desk.numbers])
    assert tops == undisturbed and counters["orders_approved"] > 0
    assert counters["feed_won_b"] == len(desk.numbers)
    assert counters["feed_won_a"] == counters["eth_not_for_us"] == 0
    assert (desk.state["alive_a"], desk.state["alive_b"]) == (0, 1)


def test_each_message_counts_once_whichever_line_brings_it_first(desk, generator, undisturbed):
    order = []
    for number in desk.numbers:
        order += generator.sample([(A, number), (B, number)], 2)
    counters, tops = desk.play(order)
    assert tops == undisturbed and counters["orders_approved"] > 0
    assert counters["feed_duplicate_datagrams"] == len(desk.numbers)
    assert counters["feed_won_a"] > 100 < counters["feed_won_b"]
    assert counters["feed_messages"] == sum(desk.sizes)
    assert counters["feed_gaps"] == counters["feed_held_datagrams"] == 0


def test_what_a_loses_b_fills_and_every_book_stays_exact(desk, undisturbed):
    lost = len(desk.numbers) // 2
    order = [each for each in skewed(desk.numbers) if each not in [(A, lost), (A, lost + 1)]]
    counters, tops = desk.play(order)
    assert tops == undisturbed and counters["orders_approved"] > 0
    assert counters["feed_filled_b"] > 0 < counters["feed_held_datagrams"]
    assert counters["feed_messages"] == sum(desk.sizes)
    assert counters["feed_gaps"] == counters["feed_waits_expired"] == 0


def loses_trust(desk, tops, undisturbed, number):
    """Whether the tops before a datagram are as ever, and none after it is exact."""
    first = desk.first_sequence(number)
    before = [top for top in tops if top.sequence < first]
    after = [top for top in tops if top.sequence >= desk.first_sequence(number + 1)]
    assert before == [top for top in undisturbed if top.sequence < first]
    return len(after) > 100 and not any(top.exact for top in after)


def test_what_both_lines_lose_is_a_gap_after_which_no_book_is_exact(desk, undisturbed):
    lost = len(desk.numbers) // 2
    order = [each for each in alternating(desk.numbers) if each[1] != lost]
    counters, tops = desk.play(order)
    assert loses_trust(desk, tops, undisturbed, lost)
    assert counters["feed_gaps"] == counters["feed_held_datagrams"] == 1
    assert counters["feed_missed_messages"] == desk.sizes[lost]
    assert counters["feed_waits_expired"] == 0


def test_a_wait_in_vain_is_a_gap_when_it_is_over(desk, undisturbed):
    lost = len(desk.numbers) // 2
    order = [each for each in alternating(desk.numbers) if each not in [(A, lost), (B, lost)]]
    order.remove((B, lost + 1))
    place = order.index((A, lost + 2))
    counters, tops = desk.play(order, pauses={place: 2 * GAP_WAIT_US})
    assert loses_trust(desk, tops, undisturbed, lost)
    assert counters["feed_waits_expired"] == counters["feed_gaps"] == 1
    assert counters["feed_missed_messages"] == desk.sizes[lost] + desk.sizes[lost + 1]
    assert counters["feed_lost_a"] == counters["feed_lost_b"] == 0


def test_when_a_dies_b_goes_on_alone_and_is_not_kept_waiting(desk, undisturbed):
    dies = len(desk.numbers) // 3
    lost = 2 * dies
    order = [each for each in alternating(desk.numbers) if each[0] == B or each[1] < dies]
    order.remove((B, lost))
    pause = 6 * LINE_TIMEOUT_US // 10
    pauses = {order.index((B, number)): pause for number in (dies + 1, dies + 2)}
    counters, tops = desk.play(order, pauses=pauses)
    assert (desk.state["alive_a"], desk.state["alive_b"]) == (0, 1)
    assert (counters["feed_lost_a"], counters["feed_lost_b"]) == (1, 0)
    assert loses_trust(desk, tops, undisturbed, lost)
    assert counters["feed_gaps"] == 1
    assert counters["feed_held_datagrams"] == counters["feed_waits_expired"] == 0


def test_a_damaged_frame_costs_all_trust_if_its_fcs_was_not_awaited(desk, undisturbed):
    damaged = len(desk.numbers) // 2
    counters, tops = desk.play(alternating(desk.numbers), damaged=[(A, damaged)])
    assert loses_trust(desk, tops, undisturbed, damaged)
    assert counters["eth_fcs_errors"] == 1 and counters["eth_dropped"] == 0


def test_with_await_fcs_a_damaged_frame_is_left_out_and_b_keeps_every_book_exact(
    card, planned, undisturbed
):
    desk = Desk(card, planned, await_fcs=True)
    damaged = len(desk.numbers) // 2
    counters, tops = desk.play(alternating(desk.numbers), damaged=[(A, damaged)])
    assert tops == undisturbed and counters["orders_approved"] > 0
    assert counters["eth_fcs_errors"] == counters["eth_dropped"] == 1
    assert counters["feed_messages"] == sum(desk.sizes)
    assert counters["feed_won_b"] == 1
    assert counters["feed_gaps"] == counters["feed_held_datagrams"] == 0


def test_with_await_fcs_a_damaged_frame_is_a_loss_like_any_other_if_b_is_later(
    card, planned, undisturbed
):
    desk = Desk(card, planned, await_fcs=True)
    damaged = len(desk.numbers) // 2
    counters, tops = desk.play(skewed(desk.numbers), damaged=[(A, damaged)])
    assert tops == undisturbed and counters["orders_approved"] > 0
    assert counters["eth_dropped"] == 1
    assert counters["feed_filled_b"] > 0 < counters["feed_held_datagrams"]
    assert counters["feed_gaps"] == 0
