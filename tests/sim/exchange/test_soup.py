"""The server's end of SoupBinTCP, step by step: time is told, octets come cut anywhere."""

import pytest

from tickgate.sim.exchange.soup import Session, Stream, Timers
from tickgate.spec import soupbintcp

LOGIN = {"username": "user", "password": "pass", "requested_session": "", "requested_sequence": 1}


class Client:
    def __init__(self):
        self.stream = Stream()
        self.heard = []
        self.joins = 0
        self.causes = []

    def received(self, message):
        self.heard.append(message)

    def joined(self):
        self.joins += 1

    def left(self, cause):
        self.causes.append(cause)


class Peer:
    """A session, with everything around it: the gate, the link and the clock."""

    session = "TODAY"

    def __init__(self, client=None, **timers):
        self.client = client or Client()
        self.now = 0.0
        self.octets = b""
        self.closed = False
        self.timers = Timers(**timers)
        self.under_test = self.connection()

    def connection(self):
        return Session(gate=self, link=self, clock=lambda: self.now, timers=self.timers)

    def admit(self, username, password):
        return self.client if (username, password) == ("user", "pass") else None

    def write(self, data):
        assert not self.closed
        self.octets += data

    def close(self):
        self.closed = True

    def login(self, **values):
        self.under_test.receive(soupbintcp.LOGIN_REQUEST.pack(**LOGIN | values))

    def sent(self):
        """The packets since last asked."""
        packets, rest = soupbintcp.split(self.octets)
        assert not rest
        self.octets = b""
        return packets

    def wait(self, seconds):
        """Lets time pass, as the loop would: to each deadline in turn."""
        end = self.now + seconds
        while self.under_test.deadline <= end and not self.under_test.cause:
            self.now = self.under_test.deadline
            self.under_test.tick()
        self.now = end


def accepted(sequence=1):
    packet = soupbintcp.LOGIN_ACCEPTED.pack(session="TODAY", sequence=sequence)
    return "A", packet[soupbintcp.HEADER.size :]


def test_a_login_is_accepted_with_the_session_and_the_next_number():
    peer = Peer()
    peer.login()
    assert peer.sent() == [accepted()]
    assert peer.client.joins == 1 and peer.under_test.client is peer.client


@pytest.mark.parametrize("size", range(1, 20))
def test_octets_may_be_cut_anywhere(size):
    peer = Peer()
    data = soupbintcp.LOGIN_REQUEST.pack(**LOGIN)
    for n in range(20):
        data += soupbintcp.pack("U", bytes([n]) * n) + soupbintcp.pack("R")
    for at in range(0, len(data), size):
        peer.under_test.receive(data[at : at + size])
    assert peer.client.heard == [bytes([n]) * n for n in range(20)]


def test_a_login_of_version_410_is_taken():
    peer = Peer()
    login = soupbintcp.LOGIN_REQUEST_410.pack(**LOGIN, heartbeat_timeout=15000)
    peer.under_test.receive(login)
    assert peer.sent() == [accepted()]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"username": "nobody"}, "A"),
        ({"password": "wrong"}, "A"),
        ({"requested_session": "YESTERDAY"}, "S"),
        ({"requested_sequence": 2}, "S"),
    ],
)
def test_a_login_that_cannot_be_is_rejected_with_the_reason(values, reason):
    peer = Peer()
    peer.login(**values)
    assert peer.sent() == [("J", reason.encode())]
    assert peer.closed and peer.under_test.cause and not peer.client.joins


@pytest.mark.parametrize("sequence", [0, 1, 2, 3, 4])
def test_messages_are_replayed_from_the_number_asked_for(sequence):
    peer = Peer()
    for n in (1, 2, 3):
        peer.client.stream.append(b"%d" % n)
    peer.login(requested_sequence=sequence)
    first = sequence or 4
    assert peer.sent() == [accepted(first)] + [("S", b"%d" % n) for n in range(first, 4)]
    peer.client.stream.append(b"4")
    assert peer.sent() == [("S", b"4")]


def test_nothing_is_written_while_the_link_is_paused_and_all_of_it_later():
    peer = Peer()
    peer.login()
    peer.sent()
    peer.under_test.pause()
    for n in range(5):
        peer.client.stream.append(bytes([n]))
    assert not peer.octets
    peer.under_test.resume()
    assert peer.sent() == [("S", bytes([n])) for n in range(5)]


def test_the_server_sends_a_heartbeat_after_each_second_of_its_own_silence():
    peer = Peer()
    peer.login()
    peer.sent()
    peer.wait(0.9)
    peer.client.stream.append(b"x")
    peer.wait(0.9)
    assert peer.sent() == [("S", b"x")]
    peer.wait(0.2)
    assert peer.sent() == [("H", b"")]
    peer.wait(3)
    assert peer.sent() == [("H", b"")] * 3


def test_a_client_that_is_silent_for_15_seconds_is_gone():
    peer = Peer()
    peer.login()
    peer.wait(14.9)
    assert not peer.closed
    peer.under_test.receive(soupbintcp.pack("R"))
    peer.wait(14.9)
    assert not peer.closed
    peer.wait(0.2)
    assert peer.closed and peer.client.causes == ["silent for 15 s"]
    assert peer.client.stream.follower is None


def test_a_connection_without_a_login_is_closed_after_30_seconds():
    peer = Peer()
    peer.wait(29.9)
    assert not peer.closed and not peer.octets
    peer.wait(0.2)
    assert peer.closed and peer.under_test.cause == "no login within 30 s"


def test_a_debug_packet_does_not_stand_for_a_login():
    peer = Peer()
    peer.under_test.receive(soupbintcp.pack("+", b"hello"))
    assert not peer.closed
    peer.wait(31)
    assert peer.closed


@pytest.mark.parametrize("type_", "ASHZJL")
def test_what_a_client_may_not_send_ends_the_session(type_):
    peer = Peer()
    peer.login()
    peer.under_test.receive(soupbintcp.pack(type_))
    assert peer.closed and "may not" in peer.client.causes[0]


@pytest.mark.parametrize("type_", "URO")
def test_nothing_but_a_login_may_come_first(type_):
    peer = Peer()
    peer.under_test.receive(soupbintcp.pack(type_, b"x" if type_ == "U" else b""))
    assert peer.closed and "before its login" in peer.under_test.cause


@pytest.mark.parametrize("octets", [b"\x00\x00U", b"\x00\x01?", soupbintcp.pack("L", b"short")])
def test_octets_that_are_no_packet_end_the_connection(octets):
    peer = Peer()
    peer.under_test.receive(octets)
    assert peer.closed and peer.under_test.cause
    peer.login()
    assert not peer.octets


def test_a_logout_ends_the_session_and_what_follows_is_not_heard():
    peer = Peer()
    peer.login()
    peer.under_test.receive(soupbintcp.pack("O") + soupbintcp.pack("U", b"late"))
    assert peer.closed and peer.client.causes == ["logout"] and not peer.client.heard


def test_the_end_of_session_follows_the_last_message():
    peer = Peer()
    peer.login()
    peer.sent()
    peer.under_test.pause()
    peer.client.stream.append(b"last")
    peer.under_test.end()
    assert not peer.closed
    peer.under_test.resume()
    assert peer.sent() == [("S", b"last"), ("Z", b"")]
    assert peer.closed


def test_a_second_login_of_a_user_ends_the_first_session():
    first = Peer()
    first.login()
    first.sent()
    second = Peer(client=first.client)
    second.login()
    assert first.closed and first.client.causes == ["another login of the same user"]
    first.client.stream.append(b"x")
    assert second.sent() == [accepted(), ("S", b"x")] and not first.sent()


def test_a_lost_connection_is_told_once():
    peer = Peer()
    peer.login()
    peer.under_test.lost()
    peer.under_test.lost()
    assert peer.client.causes == ["connection lost"]


@pytest.mark.parametrize("name", ["heartbeat", "peer", "login"])
def test_timers_that_cannot_be_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be more than 0 s"):
        Timers(**{name: 0})
