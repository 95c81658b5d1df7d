"""The feed on the network: datagrams, heartbeats, two lines, retransmission."""

import asyncio
import socket
import struct

import pytest

from tickgate.sim.exchange.mold import Line, Publisher, RerequestServer, downstream
from tickgate.sim.model import feed
from tickgate.sim.model.book import BookModel, Window
from tickgate.sim.model.feed import BUY, SELL
from tickgate.spec import moldudp64

PRICE = 10_0000
GROUPS = {"--feed-a": "239.255.12.111", "--feed-b": "239.255.12.112"}
PATIENCE = 60


def parts(datagram):
    """Session, sequence, count and messages of a datagram."""
    header = moldudp64.HEADER.unpack_from(datagram)
    messages, at = [], moldudp64.HEADER.size
    while at < len(datagram):
        size = int.from_bytes(datagram[at : at + 2], "big")
        messages.append(datagram[at + 2 : at + 2 + size])
        at += 2 + size
    return header["session"], header["sequence"], header["count"], messages


def request(sequence, count, session="TODAY"):
    return moldudp64.REQUEST.pack(session=session, sequence=sequence, count=count)


@pytest.fixture
def messages():
    return [bytes([n]) * (10 + n) for n in range(40)]


@pytest.mark.parametrize("limit", [60, 72, 100, 1400])
def test_datagrams_hold_each_message_once_and_no_more_octets_than_allowed(messages, limit):
    sent = []
    publisher = Publisher(session="TODAY", messages=messages, lines=[sent.append], limit=limit)
    publisher.flush()
    taken, due = [], 1
    for datagram in sent:
        session, sequence, count, blocks = parts(datagram)
        assert (session, sequence, count) == ("TODAY", due, len(blocks))
        assert len(datagram) <= limit or count == 1
        taken += blocks
        due += count
    assert taken == messages and publisher.next_sequence == 41
    publisher.flush()
    assert publisher.datagrams == len(sent)


def test_both_lines_carry_the_same_octets(messages):
    a, b = [], []
    publisher = Publisher(session="TODAY", messages=messages, lines=[a.append, b.append])
    publisher.flush()
    publisher.heartbeat()
    publisher.end()
    assert a == b
    assert [parts(datagram)[1:] for datagram in a[-2:]] == [(41, 0, []), (41, 0xFFFF, [])]


def test_a_request_is_answered_with_as_many_messages_as_fit(messages):
    server = RerequestServer(session="TODAY", messages=messages, limit=100)
    assert parts(server.answer(request(5, 2))) == ("TODAY", 5, 2, messages[4:6])
    _, sequence, count, blocks = parts(server.answer(request(5, 30)))
    assert (sequence, blocks) == (5, messages[4 : 4 + count]) and 0 < count < 30
    assert parts(server.answer(request(40, 9))) == ("TODAY", 40, 1, messages[39:])
    assert server.counters == {"answered": 3, "messages": 2 + count + 1}


@pytest.mark.parametrize(
    ("datagram", "cause"),
    [
        (b"", "malformed"),
        (request(1, 1)[:-1], "malformed"),
        (request(1, 1) + b"x", "malformed"),
        (request(1, 1, "OTHER"), "wrong_session"),
        (request(0, 1), "out_of_range"),
        (request(41, 1), "out_of_range"),
        (request(1, 0), "out_of_range"),
    ],
)
def test_a_request_that_cannot_be_served_is_counted_and_not_answered(messages, datagram, cause):
    server = RerequestServer(session="TODAY", messages=messages)
    assert server.answer(datagram) is None
    assert server.counters == {cause: 1}


def test_a_datagram_that_the_system_does_not_take_is_counted():
    line = Line("127.0.0.1", 9)
    line(bytes(70_000))
    line.close()
    assert line.failures == 1


def test_an_interface_that_is_not_there_is_an_error():
    with pytest.raises(OSError):  # noqa: PT011
        Line("239.255.0.1", 9, interface="192.0.2.77")


class Receiver:
    """A socket that has joined a group on loopback."""

    def __init__(self, group):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind((group, 0))
        join = struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton("127.0.0.1"))
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, join)
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    async def datagram(self):
        return await asyncio.wait_for(
            asyncio.get_running_loop().sock_recv(self.socket, 2048), PATIENCE
        )

    async def until_end(self):
        """All datagrams up to the end of session."""
        datagrams = []
        while not datagrams or parts(datagrams[-1])[2] != moldudp64.END_OF_SESSION:
            datagrams.append(await self.datagram())
        return datagrams


@pytest.fixture
def receivers():
    made = {option: Receiver(group) for option, group in GROUPS.items()}
    yield made
    for receiver in made.values():
        receiver.socket.close()


def lines_to(receivers):
    return {option: (GROUPS[option], receiver.port) for option, receiver in receivers.items()}


def test_what_comes_by_multicast_rebuilds_the_book_of_the_venue(trade, receivers, generator):
    books = {}

    async def scenario(venue, connect):
        clients = [await connect(name) for name in ("CARD", "OTHER")]
        for number in range(1, 201):
            await generator.choice(clients).enter(
                number,
                side=generator.choice("BS"),
                quantity=generator.randrange(1, 500),
                price=PRICE + 100 * generator.randrange(-5, 6),
                tif=generator.choice("003"),
                display=generator.choice("YYN"),
            )
        for client in clients:
            await client.ouch("Q")
            while (await client.message()).message.type != "Q":
                pass
        for side in (BUY, SELL):
            books[side] = venue.engine.books["ALFA"].levels(side)
        books["until"] = venue.feed.next_sequence
        await venue.stop()
        return [await receiver.until_end() for receiver in receivers.values()], venue.feed.messages

    (line_a, line_b), published = trade(scenario, lines=lines_to(receivers))
    assert line_a == line_b
    model = BookModel(symbols={13: 0}, windows={0: Window(base=0, tick=1, ticks=1 << 32)})
    due = 1
    for datagram in line_a:
        _, sequence, _, blocks = parts(datagram)
        assert sequence == due
        for octets in blocks:
            if due < books["until"]:
                model.apply(feed.decode(octets), due)
            assert octets == published[due - 1]
            due += 1
    assert not any(model.counters.values())
    for side in (BUY, SELL):
        assert model.levels(0, side) == books[side] != []
    assert due == len(published) + 1
    ends = [parts(datagram)[1:3] for datagram in line_a[-1:]]
    assert ends == [(due, moldudp64.END_OF_SESSION)]


def test_silence_is_filled_with_heartbeats_that_tell_the_next_number(trade, receivers):
    async def scenario(venue, connect):
        receiver = receivers["--feed-a"]
        first = parts(await receiver.datagram())
        beats = [parts(await receiver.datagram())[1:] for _ in range(3)]
        assert first[1] == 1
        assert beats == [(first[2] + 1, 0, [])] * 3

    trade(scenario, lines=lines_to(receivers), feed_heartbeat=0.01)


def test_what_was_missed_comes_from_the_retransmission_server(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        for number in range(1, 101):
            await card.enter(number)
        await card.expect("S", *"A" * 100)
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.setblocking(False)
            asker.connect(venue.addresses["--rerequest"])
            taken = []
            while len(taken) < len(venue.feed.messages):
                asker.send(request(len(taken) + 1, 0xFFFF))
                answer = await asyncio.wait_for(loop.sock_recv(asker, 2048), PATIENCE)
                session, sequence, _, blocks = parts(answer)
                assert (session, sequence) == ("TODAY", len(taken) + 1)
                taken += blocks
        assert taken == venue.feed.messages

    trade(scenario, rerequest=("127.0.0.1", 0))


def test_a_datagram_of_everything_has_no_more_than_was_asked_for(messages):
    _, count = downstream("TODAY", messages, 3, last=7)
    assert count == 5
