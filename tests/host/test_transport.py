"""Requests over lines that lose, damage, delay and repeat."""

import random

import pytest
import serial

from tickgate.host.errors import CardUnreachable, UserError
from tickgate.host.protocol import Opcode, Reply, Status
from tickgate.host.transport import Link, open_port
from tickgate.spec.registers import BY_NAME

PORT = BY_NAME["feed_port"].address


def lost(_):
    return b""


def damaged(reply):
    return reply[:3] + bytes([reply[3] ^ 0x40]) + reply[4:]


def cut(reply):
    return reply[:-4]


@pytest.fixture
def link(port):
    return Link(port, first_tag=0)


@pytest.mark.parametrize("fault", [lost, damaged, cut])
def test_a_request_whose_reply_does_not_arrive_is_sent_again_under_the_same_tag(card, link, fault):
    card.faults.extend([fault, fault])
    assert link.exchange(Opcode.WRITE, PORT, (26477,)).status == Status.OK
    assert card.get("feed_port") == 26477
    assert card.requests == [(Opcode.WRITE, 1, PORT, (26477,))] * 3
    assert link.retries == 2
    assert link.damaged_replies == (2 if fault is damaged else 0)


def test_a_request_that_the_card_hears_only_in_part_is_sent_again(card, link, port):
    port.write(b"\x05\x01\x02")
    assert link.exchange(Opcode.READ, PORT, count=1).words == (0,)
    assert link.retries == 1


def test_a_late_reply_is_dropped_and_not_taken_for_the_next_one(card, link):
    held = []

    def late(reply):
        held.append(reply)
        return b""

    card.set("feed_port", 1)
    card.set("tcp_window", 2)
    card.faults.extend([late, lambda reply: reply, lambda reply: held[0] + reply])
    assert link.exchange(Opcode.READ, PORT, count=1).words == (1,)
    assert link.exchange(Opcode.READ, BY_NAME["tcp_window"].address, count=1).words == (2,)
    assert (link.retries, link.late_replies) == (1, 1)


def test_a_repeated_reply_is_dropped(card, link):
    card.set("tcp_window", 2)
    card.faults.append(lambda reply: reply + reply)
    link.exchange(Opcode.READ, PORT, count=1)
    assert link.exchange(Opcode.READ, BY_NAME["tcp_window"].address, count=1).words == (2,)
    assert link.late_replies == 1


def test_a_request_that_lost_its_end_does_not_spoil_the_next_one(card, make_port):
    class Lossy(make_port):
        losses = 1

        def write(self, data, /):
            self.losses, lost = 0, self.losses
            return super().write(data[: len(data) - lost])

    link = Link(Lossy(card), attempts=2)
    assert link.exchange(Opcode.READ, PORT, count=1).words == (0,)
    assert link.retries == 1


def test_replies_to_a_program_before_this_one_are_not_read(card, port):
    port.received = Reply(Opcode.READ, 1, Status.OK, (7,)).encode()
    link = Link(port, first_tag=0)
    assert link.exchange(Opcode.READ, PORT, count=1).words == (0,)


def test_tags_wrap_without_harm(card, link):
    for value in range(600):
        link.exchange(Opcode.WRITE, PORT, (value,))
    assert {tag for _, tag, _, _ in card.requests} == set(range(256))
    assert card.get("feed_port") == 599


def test_a_card_that_never_answers_is_unreachable_after_all_attempts(card, link):
    card.faults.extend([lost] * 10)
    with pytest.raises(CardUnreachable, match="memory to 4 tries: nothing came back"):
        link.exchange(Opcode.READ, PORT, count=1)
    assert len(card.requests) == 4


def test_only_damaged_replies_point_to_the_speed_of_the_line(card, link):
    card.faults.extend([damaged] * 10)
    with pytest.raises(CardUnreachable, match="--baud"):
        link.exchange(Opcode.READ, PORT, count=1)


def test_a_line_that_babbles_is_given_up(make_port, card):
    class Babbling(make_port):
        in_waiting = 64

        def read(self, size=1, /):
            return b"\x02" * size

    with pytest.raises(CardUnreachable):
        Link(Babbling(card), attempts=2).exchange(Opcode.READ, PORT, count=1)


def test_a_port_that_repeats_what_it_hears_is_no_card():
    with pytest.raises(CardUnreachable, match="damaged"):
        Link(open_port("loop://", timeout=0.01)).exchange(Opcode.READ, PORT, count=1)


def test_a_port_that_breaks_is_unreachable(make_port, card):
    class Broken(make_port):
        def write(self, data, /):
            raise serial.SerialException("device disconnected")

    with pytest.raises(CardUnreachable, match=r"lost the card on memory \(write\): device disc"):
        Link(Broken(card)).exchange(Opcode.READ, PORT, count=1)


@pytest.mark.parametrize("count", [0, 17])
def test_a_frame_carries_1_to_16_words(link, count):
    with pytest.raises(ValueError, match="1 to 16 words"):
        link.exchange(Opcode.READ, PORT, count=count)


def test_what_is_written_over_a_bad_line_is_what_the_card_holds(card, link, request):
    chance = random.Random(request.config.getoption("seed"))

    def bad(reply):
        return chance.choice([reply, reply, reply, b"", damaged(reply), reply + reply, cut(reply)])

    for value in range(300):
        card.faults.extend([bad] * 4)
        try:
            link.exchange(Opcode.WRITE, PORT, (value,))
        except CardUnreachable:
            continue
        finally:
            card.faults.clear()
        reply = link.exchange(Opcode.READ, PORT, count=1)
        assert reply.words == (value,)


def test_a_pseudo_terminal_reaches_the_card(card, served_pty):
    link = Link(open_port(served_pty, timeout=2))
    assert link.exchange(Opcode.WRITE, PORT, (26477,)).status == Status.OK
    link.close()
    assert card.get("feed_port") == 26477


def test_a_socket_reaches_the_card(card, served_tcp):
    link = Link(open_port(served_tcp, timeout=2))
    assert link.exchange(Opcode.WRITE, PORT, (26477,)).status == Status.OK
    link.close()
    assert card.get("feed_port") == 26477


def test_a_port_has_one_user_at_a_time(served_pty):
    first = open_port(served_pty)
    with pytest.raises(CardUnreachable, match="another program has it open"):
        open_port(served_pty)
    first.close()
    open_port(served_pty).close()


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("/dev/no-such-card", CardUnreachable, "no such device"),
        ("socket://127.0.0.1:1", CardUnreachable, "connection refused"),
        ("carrier-pigeon://roof", UserError, "carrier-pigeon"),
        ("socket://nowhere", UserError, "socket://host:port"),
        ("socket://nowhere:x", UserError, "Port could not be cast"),
    ],
)
def test_a_port_that_does_not_open_says_why(url, error, message):
    with pytest.raises(error, match=message):
        open_port(url)
