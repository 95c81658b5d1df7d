"""The whole card on a live session: login, orders of a market, fills, and what the card holds."""

import itertools
from collections import Counter

import numpy as np
import pytest

from tickgate.host import session
from tickgate.host.config import Config
from tickgate.host.driver import Driver
from tickgate.sim import market
from tickgate.sim.model.segments import Ends, Segment, pack_frame, unpack_frame
from tickgate.sim.replay import DRAIN, TX_GAP, Options, plan
from tickgate.sim.virtual import Card
from tickgate.spec import ethernet, ouch50, soupbintcp
from tickgate.spec.ethernet import TCP_ACK, TCP_FIN, TCP_PSH, TCP_SYN

MESSAGES = 2_000
MODULUS = 1 << 32
WINDOW = 60_000
ENTER = ouch50.INBOUND["O"]


def encode(type_: str, **values) -> bytes:
    message = ouch50.OUTBOUND[type_]
    given = {
        each.name: "" if each.kind.is_text else 0
        for each in message
        if each.fixed is None and each.name != "appendage_len"
    }
    return soupbintcp.pack("S", ouch50.encode(message, given | values))


class Venue:
    """A venue at the other end of the wire: it accepts all, and fills every order in halves."""

    def __init__(self, card: Card, config: Config) -> None:
        its = config.session
        self._card = card
        self._ends = Ends(
            source_mac=ethernet.parse_mac(its.source_mac),
            destination_mac=ethernet.parse_mac(its.destination_mac),
            source_ip=int(its.source_ip),
            destination_ip=int(its.destination_ip),
            source_port=its.source_port,
            destination_port=its.destination_port,
        )
        self._sequence, self._acknowledgement = 0xFFFF_FF00, 0
        self._stream = b""
        self._clock = itertools.count()
        self.orders: list[dict] = []
        self.logins: list[bytes] = []
        self.bought: Counter[str] = Counter()

    def now(self) -> float:
        """The time, for whom waits: it passes as the session goes on."""
        self.turn()
        return next(self._clock) / 1000

    def turn(self) -> None:
        """Answers all that the card has sent."""
        self.hear([frame.octets for frame in self._card.take().tx_frames])

    def hear(self, frames) -> None:
        for octets in frames:
            segment = unpack_frame(octets)
            if segment.flags & TCP_SYN:
                self._acknowledgement = (segment.sequence + 1) % MODULUS
                self._send(flags=TCP_SYN | TCP_ACK)
            elif segment.sequence == self._acknowledgement and segment.length:
                self._acknowledgement = (segment.sequence + segment.length) % MODULUS
                self._stream += segment.payload
                answer = b"".join(self._answers())
                fin = segment.flags & TCP_FIN
                self._send(answer, TCP_ACK | (TCP_PSH if answer else 0) | fin)

    def _answers(self):
        packets, self._stream = soupbintcp.split(self._stream)
        for type_, body in packets:
            if type_ == "L":
                self.logins.append(body)
                sequence = body[-20:].decode().strip()
                yield soupbintcp.pack("A", b"    SESS01" + sequence.rjust(20).encode())
            elif type_ == "U":
                order = ENTER.unpack(body)
                self.orders.append(order)
                yield from self._fill(order)

    def _fill(self, order):
        number, quantity = order["user_ref_num"], order["quantity"]
        yield encode("A", user_ref_num=number, quantity=quantity, order_state="L")
        half = quantity // 2
        sign = 1 if order["side"] == "B" else -1
        for part in (half, quantity - half):
            if part:
                self.bought[order["symbol"]] += sign * part
                yield encode("E", user_ref_num=number, quantity=part, price=order["price"])

    def _send(self, payload: bytes = b"", flags: int = TCP_ACK) -> None:
        segment = Segment(
            sequence=self._sequence,
            acknowledgement=self._acknowledgement,
            flags=flags,
            window=WINDOW,
            payload=payload,
        )
        self._sequence = (self._sequence + segment.length) % MODULUS
        frame = pack_frame(segment, self._ends.reversed())
        octets = np.frombuffer(frame, np.uint8)
        self._card.send(octets, np.array([len(frame)]), gap=20, drain=DRAIN)


@pytest.fixture(scope="module")
def planned(tmp_path_factory, request):
    file = tmp_path_factory.mktemp("market") / "market.itch"
    seed = request.config.getoption("seed")
    file.write_bytes(market.generate(seed=seed, messages=MESSAGES).data)
    return plan(file, Options())


def test_orders_leave_on_the_session_and_their_fills_are_what_the_card_holds(planned):
    config = Config.from_dict({**planned.config.model_dump(), "live": {"heartbeat_ms": 0}})
    with Card(width=8, tx_gap=TX_GAP, quiet=True) as card:
        driver, venue = Driver(card.serial), Venue(card, config)
        driver.apply(config)
        driver.begin_day()
        for symbol in planned.tracked:
            driver.set_whole(symbol.index)
        card.run(DRAIN)
        status = session.login(driver.registers, username="CARD", password="SECRET", now=venue.now)
        assert status.may_order and status.due_sequence == 1
        assert venue.logins[0].startswith(b"CARD  SECRET")
        driver.arm(config)
        feed = config.feed
        for frames in planned.source.frames((int(feed.address), feed.port)):
            at = 0
            for length in frames.lengths.tolist():
                octets = frames.octets[at : at + length]
                card.send(octets, np.array([length]), gap=20, drain=DRAIN)
                at += length
                venue.turn()
        assert len(venue.orders) > 5
        status = session.session_status(driver.registers)
        counters = driver.counters()
        assert status.due_sequence == 1 + 3 * len(venue.orders)
        assert (status.open_orders, status.unanswered_orders) == (0, 0)
        assert counters["order_executions"] == 2 * len(venue.orders)
        numbers = [order["user_ref_num"] for order in venue.orders]
        assert numbers == list(range(1, len(numbers) + 1))
        for symbol in planned.tracked:
            held = session.account(driver.registers, symbol.index)
            assert held.position == venue.bought[symbol.name]
            assert held.open_buys == held.open_sells == 0
        driver.disarm()
        assert session.logout(driver.registers, now=venue.now).state in ("closed", "time-wait")
        assert card.tx_faults == 0
