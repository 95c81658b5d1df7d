"""What the only line of the feed loses, asked for by the whole card and brought as replies."""

from collections import Counter

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tickgate.host.config import Config
from tickgate.host.driver import Driver
from tickgate.sim import market
from tickgate.sim.frames import SESSION, Packer
from tickgate.sim.model.book import BookModel, Top, Window
from tickgate.sim.model.feed import REPLIES, FeedModel, messages
from tickgate.sim.reception import seal
from tickgate.sim.replay import DRAIN, TX_GAP, Options, plan
from tickgate.sim.virtual import CLOCK_PERIOD_PS, SMALL, Card
from tickgate.spec import moldudp64

MESSAGES = 2_000
SIZES = Options(capacity=SMALL["symbols"], ticks=SMALL["ticks"], orders=SMALL["orders"])
SERVER, SERVER_MAC, SERVER_PORT, OWN_PORT = "198.51.100.30", "02:00:00:00:00:30", 18_001, 40_002
WAIT_US, INTERVAL_US, TRIES, COUNT = 60_000, 100, 10, 8
HEADERS = 42
DATAGRAMS = 400
"""So many of the feed's are published where most are lost and asked for."""


@pytest.fixture(scope="module")
def planned(tmp_path_factory, request):
    file = tmp_path_factory.mktemp("market") / "market.itch"
    seed = request.config.getoption("seed")
    file.write_bytes(market.generate(seed=seed, messages=MESSAGES).data)
    return plan(file, SIZES)


@pytest.fixture(params=[1, 8])
def card(request):
    with Card(width=request.param, **SMALL, tx_gap=TX_GAP, uart_divisor=0, quiet=True) as card:
        yield card


class Desk:
    """A card with one line, the server that retransmits, and the model of the feed beside them.

    Members
    -------
    tops : list of Top
    asked : list of (int, int)
        Sequence number and count of each request.
    """

    def __init__(self, card, planned):
        self._card, config = card, planned.config
        rerequest = {
            "address": SERVER,
            "mac": SERVER_MAC,
            "port": SERVER_PORT,
            "source_port": OWN_PORT,
            "wait_us": WAIT_US,
            "interval_us": INTERVAL_US,
            "tries": TRIES,
            "messages": COUNT,
        }
        values = config.model_dump()
        for symbol in values["symbols"]:
            symbol["strategy"]["enabled"] = False
        self.config = Config.from_dict({**values, "rerequest": rerequest})
        self._session = self.config.session
        self.driver = Driver(card.serial)
        self.driver.apply(self.config)
        self.driver.begin_day()
        for symbol in planned.tracked:
            self.driver.set_whole(symbol.index)
        card.run(DRAIN)
        card.take()
        ((batch, _),) = planned.source.messages()
        packer = Packer(address=int(config.feed.address), port=config.feed.port)
        frames = packer.frames(batch)
        starts, lengths = frames.starts.tolist(), frames.lengths.tolist()
        octets = frames.octets.tobytes()
        self.frames = [octets[at : at + length] for at, length in zip(starts, lengths, strict=True)]
        held = frames.messages
        self._blocks = [
            octets[begin - 2 : begin + size]
            for begin, size in zip(held.begin.tolist(), held.size.tolist(), strict=True)
        ]
        self.sizes = np.bincount(frames.frame).tolist()
        self._published = 0
        self.tops, self.asked = [], []
        self.model = FeedModel(symbols={}, recovery_wait=WAIT_US)

    def publish(self, number, *, lost=False, pause_us=12):
        """The next datagram of the feed, after a pause; returns the requests that the card sent."""
        self._published += self.sizes[number]
        if lost:
            return []
        self.model.datagram(self.frames[number][HEADERS:-4])
        return self._send(self.frames[number], pause_us)

    def wait(self, microseconds):
        """Lets time pass; returns the requests that the card sent."""
        self._card.run(self._cycles(microseconds))
        return self._take()

    def reply(self, sequence, count):
        """The server sends so many messages, or what it has of them."""
        blocks = self._blocks[sequence - 1 : min(sequence - 1 + count, self._published)]
        header = {"session": SESSION, "sequence": sequence, "count": len(blocks)}
        payload = moldudp64.HEADER.pack(**header) + b"".join(blocks)
        self.model.datagram(payload, line=REPLIES)
        packet = IP(src=SERVER, dst=str(self._session.source_ip))
        datagram = packet / UDP(sport=SERVER_PORT, dport=OWN_PORT) / Raw(payload)
        frame = bytes(Ether(src=SERVER_MAC, dst=self._session.source_mac) / datagram)
        return self._send(seal(frame.ljust(60, b"\0")), 1)

    def _cycles(self, microseconds):
        return microseconds * 1_000_000 // CLOCK_PERIOD_PS[self._card.width]

    def _send(self, frame, pause_us):
        self._card.send(frame, [len(frame)], gap=self._cycles(pause_us))
        return self._take()

    def _take(self):
        log = self._card.take()
        self.tops += [Top(*(int(row[name]) for name in Top._fields)) for row in log.tops]
        requests = []
        for frame in log.tx_frames:
            told = Ether(frame.octets[:-4])
            assert (told.dst, told.src) == (SERVER_MAC, self._session.source_mac)
            assert (told[IP].dst, told[IP].src) == (SERVER, str(self._session.source_ip))
            assert (told[UDP].dport, told[UDP].sport) == (SERVER_PORT, OWN_PORT)
            request = moldudp64.REQUEST.unpack(bytes(told[UDP].payload))
            assert request["session"] == SESSION
            requests.append((request["sequence"], request["count"]))
        self.asked += requests
        return requests

    def compare_counters(self):
        counters = self.driver.counters()
        for name, count in self.model.counters.items():
            if name != "tracked_messages":
                assert counters[f"feed_{name}"] == count, name
        assert counters["net_requests"] == counters["net_frames"] == len(self.asked)
        return counters


def undisturbed(planned, data):
    symbols = {symbol.locate: symbol.index for symbol in planned.tracked}
    windows = {
        symbol.index: Window(base=symbol.base, tick=symbol.tick, ticks=planned.options.ticks)
        for symbol in planned.tracked
    }
    book = BookModel(symbols=symbols, windows=windows)
    for index in windows:
        book.set_whole(index)
    rows = [
        book.apply(message, sequence)
        for sequence, message in enumerate(messages(data), start=1)
        if message.locate in symbols
    ]
    return [row for row in rows if row is not None]


def test_what_the_only_line_loses_comes_as_replies_and_every_book_stays_exact(
    card, planned, generator
):
    desk, did, pending, lost = Desk(card, planned), Counter(), [], 0
    for number in range(DATAGRAMS):
        # Never the first one, without which there is no session, nor the last one.
        loses = 0 < number < DATAGRAMS - 1 and generator.random() < (0.6 if lost else 0.08)
        lost += loses
        lost = 0 if lost > 6 else lost
        # In a burst the card is behind until there is a pause.
        pause = generator.choice([1, 40]) if loses or pending else 20
        pending = desk.publish(number, lost=loses, pause_us=pause)
        for _ in range(200):
            if not pending:
                break
            sequence, count = pending.pop(0)
            assert count == COUNT
            does = generator.choice(["answers", "answers", "repeats", "overlaps", "is silent"])
            did[does] += 1
            if does == "is silent":
                pending += desk.wait(INTERVAL_US + 20)
                continue
            if does == "overlaps":
                pending += desk.reply(max(sequence - 3, 1), 6)
            pending += desk.reply(sequence, count)
            if does == "repeats":
                pending += desk.reply(sequence, count)
            pending += desk.wait(12)
        else:
            raise AssertionError("the card goes on asking")
    for _ in range(20):
        for request in desk.wait(INTERVAL_US):
            desk.reply(*request)
    published = sum(desk.sizes[:DATAGRAMS])
    tops = undisturbed(planned, planned.source.path.read_bytes())
    expected = [top for top in tops if top.sequence <= published]
    assert sorted(desk.tops, key=lambda top: top.sequence) == expected and len(expected) > 100
    counters = desk.compare_counters()
    assert counters["feed_recoveries"] == counters["feed_recovered"] > 3
    assert counters["feed_gaps"] == counters["feed_waits_expired"] == 0
    assert counters["feed_replies_used"] > 3 < counters["feed_duplicate_datagrams"]
    assert min(did.values()) > 0 and len(did) == 4


def test_a_server_that_never_answers_is_asked_a_few_times_and_then_it_is_a_gap(card, planned):
    desk, lost = Desk(card, planned), 5
    for number in range(lost):
        desk.publish(number)
    desk.publish(lost, lost=True)
    desk.publish(lost + 1)
    for _ in range(TRIES + 1):
        desk.wait(INTERVAL_US + 20)
    first = 1 + sum(desk.sizes[:lost])
    assert desk.asked == [(first, COUNT)] * TRIES
    desk.model.give_up()
    before = len(desk.tops)
    for number in range(lost + 2, len(desk.frames)):
        desk.publish(number, pause_us=2)
    desk.wait(20)
    assert len(desk.tops) > before + 100 and not any(top.exact for top in desk.tops[before:])
    counters = desk.compare_counters()
    assert counters["feed_recoveries_given_up"] == counters["feed_waits_expired"] == 1
    assert counters["feed_missed_messages"] == desk.sizes[lost] + desk.sizes[lost + 1]


def test_a_late_reply_and_one_for_another_session_do_no_harm(card, planned):
    desk = Desk(card, planned)
    desk.reply(1, 3)
    for number in range(20):
        desk.publish(number)
    desk.reply(2, 5)
    assert desk.asked == []
    counters = desk.compare_counters()
    assert counters["feed_other_sessions"] == counters["feed_duplicate_datagrams"] == 1
    assert counters["feed_messages"] == sum(desk.sizes[:20])
