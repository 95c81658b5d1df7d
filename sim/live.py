"""A card on a live session, in one process with its host and a plain venue at the other end.

Ref: OUCH 5.0, SoupBinTCP 4.00; docs/architecture.md, "The virtual card".
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from tickgate.hdl.order.entry import OrderEntry
from tickgate.host import session
from tickgate.host.config import Config
from tickgate.host.driver import Driver
from tickgate.sim.model.net import Station
from tickgate.sim.model.segments import Ends, Segment, pack_frame, unpack_frame
from tickgate.sim.replay import DRAIN, Plan
from tickgate.sim.virtual import Card, Log
from tickgate.spec import ethernet, ouch50, soupbintcp
from tickgate.spec.ethernet import TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN

__all__ = ["GATEWAY", "GATEWAY_MAC", "Desk", "Venue", "encode"]

GATEWAY, GATEWAY_MAC = ethernet.parse_ipv4("192.0.2.1"), "02:00:5e:00:53:01"
MODULUS = 1 << 32
WINDOW = 60_000
ENTER, CANCEL = ouch50.INBOUND["O"], ouch50.INBOUND["X"]


def encode(type_: str, **values) -> bytes:
    """A message of the venue in a packet; what is not given is 0."""
    message = ouch50.OUTBOUND[type_]
    given = {
        each.name: "" if each.kind.is_text else 0
        for each in message
        if each.fixed is None and each.name != "appendage_len"
    }
    return soupbintcp.pack("S", ouch50.encode(message, given | values))


class Venue:
    """A venue at the other end of the wire: it accepts all, and fills every order in halves.

    While orders `rest` it fills none. It does what a Cancel Order asks for, or `refuses`. What it
    has said is kept, and said again to who asks for it in a login.
    """

    def __init__(self, card: Card, config: Config) -> None:
        its = config.session
        self._card = card
        self._ends = Ends(
            source_mac=ethernet.parse_mac(its.source_mac),
            destination_mac=ethernet.parse_mac(its.destination_mac or GATEWAY_MAC),
            source_ip=int(its.source_ip),
            destination_ip=int(its.destination_ip),
            source_port=its.source_port,
            destination_port=its.destination_port,
        )
        self._sequence, self._acknowledgement = 0xFFFF_FF00, 0
        self._stream = b""
        self._clock, self._matches = itertools.count(), itertools.count(1 << 40)
        self.orders: list[dict] = []
        self.reports: list[bytes] = []
        self.logins: list[bytes] = []
        self.bought: Counter[str] = Counter()
        self.answers, self.rests, self.refuses = True, False, False
        self.resolve = Station(mac=ethernet.parse_mac(GATEWAY_MAC), ip=GATEWAY).answer
        self.questions: list[bytes] = []
        self.macs: set[int] = set()
        self.cancels: list[int] = []
        self.open: dict[int, int] = {}

    def now(self) -> float:
        """The time, for whom waits: it passes as the session goes on."""
        self.turn()
        return next(self._clock) / 1000

    def turn(self) -> None:
        """Answers all that the card has sent."""
        self.hear(self._card.take().tx_frames)

    def hear(self, frames) -> None:
        """Answers these frames of the card."""
        for octets in (frame.octets for frame in frames):
            header = ethernet.ETHERNET.unpack_from(octets)
            if header["ethertype"] == ethernet.ETHERTYPE_ARP:
                self.questions.append(octets)
                self.put_unsealed(self.resolve(octets).reply)
                continue
            self.macs.add(header["destination"])
            segment = unpack_frame(octets)
            if segment.flags & TCP_SYN:
                self._acknowledgement, self._stream = (segment.sequence + 1) % MODULUS, b""
                self._send(flags=TCP_SYN | TCP_ACK)
            elif segment.sequence == self._acknowledgement and segment.length:
                self._acknowledgement = (segment.sequence + segment.length) % MODULUS
                self._stream += segment.payload
                answer = b"".join(self._read())
                fin = segment.flags & TCP_FIN
                self._send(answer, TCP_ACK | (TCP_PSH if answer else 0) | fin)

    def reset(self) -> None:
        """Breaks the connection off."""
        self._send(flags=TCP_RST)

    def tell(self, *reports: bytes) -> None:
        """Says something of itself."""
        self.reports += reports
        self._send(b"".join(reports), TCP_ACK | TCP_PSH)

    def _read(self):
        packets, self._stream = soupbintcp.split(self._stream)
        for type_, body in packets:
            if type_ == "L":
                self.logins.append(body)
                asked = int(body[-20:]) or len(self.reports) + 1
                yield soupbintcp.pack("A", b"    SESS01" + str(asked).rjust(20).encode())
                yield from self.reports[asked - 1 :]
            elif type_ == "U" and body[:1] == b"X":
                told = list(self._cancel(CANCEL.unpack(body)["user_ref_num"]))
                self.reports += told
                yield from told
            elif type_ == "U":
                order = ENTER.unpack(body)
                self.orders.append(order)
                told = list(self._fill(order))
                self.reports += told
                if self.answers:
                    yield from told

    def _fill(self, order):
        number, quantity = order["user_ref_num"], order["quantity"]
        price = order["price"]
        yield encode("A", user_ref_num=number, quantity=quantity, price=price, order_state="L")
        if self.rests:
            self.open[number] = quantity
            return
        half = quantity // 2
        sign = 1 if order["side"] == "B" else -1
        for part in (half, quantity - half):
            if part:
                self.bought[order["symbol"]] += sign * part
                match = next(self._matches)
                yield encode(
                    "E", user_ref_num=number, quantity=part, price=price, match_number=match
                )

    def _cancel(self, number):
        self.cancels.append(number)
        if self.refuses:
            yield encode("I", user_ref_num=number)
        elif number in self.open:
            quantity = self.open.pop(number)
            yield encode("C", user_ref_num=number, quantity=quantity, reason="U")

    def _send(self, payload: bytes = b"", flags: int = TCP_ACK) -> None:
        segment = Segment(
            sequence=self._sequence,
            acknowledgement=self._acknowledgement,
            flags=flags,
            window=WINDOW,
            payload=payload,
        )
        self._sequence = (self._sequence + segment.length) % MODULUS
        self.put(pack_frame(segment, self._ends.reversed()))

    def put_unsealed(self, frame: bytes | None) -> None:
        """Has a frame come that yet lacks its FCS, if it is one."""
        if frame is not None:
            self.put(frame + ethernet.fcs(frame).to_bytes(ethernet.FCS_SIZE, "little"))

    def put(self, frame: bytes) -> None:
        """Has a frame come to the card."""
        octets = np.frombuffer(frame, np.uint8)
        self._card.send(octets, np.array([len(frame)]), gap=20, drain=DRAIN)


class Desk:
    """A card on a market, with its host and its venue.

    `sections` replace values of sections of the planned configuration, `limits` those of every
    symbol.
    """

    def __init__(
        self, card: Card, planned: Plan, limits: dict | None = None, **sections: dict
    ) -> None:
        self.card, self.planned = card, planned
        values = {**planned.config.model_dump(), "live": {"heartbeat_ms": 0}}
        for symbol in values["symbols"]:
            symbol["limits"] = {**symbol["limits"], "allow_self_trade": False, **(limits or {})}
        for name, section in sections.items():
            values[name] = {**values[name], **section}
        self.config = Config.from_dict(values)
        self.driver, self.venue = Driver(card.serial), Venue(card, self.config)
        self.registers = self.driver.registers
        self.driver.apply(self.config)
        self.driver.begin_day()
        for symbol in planned.tracked:
            self.driver.set_whole(symbol.index)
        card.run(DRAIN)
        feed = self.config.feed
        self._frames = itertools.chain.from_iterable(
            self._split(frames) for frames in planned.source.frames((int(feed.address), feed.port))
        )
        self.latencies: Counter[int] = Counter()

    def lose(self, frames: int) -> int:
        """Loses some of the market; how long after the card told it the last cancel was sent."""
        octets = next(itertools.islice(self._frames, frames, None))
        self.card.take()
        drain = OrderEntry.cancels_within(width=self.card.width)
        self.card.send(octets, np.array([len(octets)]), gap=20, drain=drain)
        log = self.card.take()
        self.venue.hear(log.tx_frames)
        sent = [frame.first_cycle for frame in log.tx_frames if unpack_frame(frame.octets).length]
        return max(sent) - int(log.gaps[0])

    @staticmethod
    def _split(frames) -> Iterator[np.ndarray]:
        if len(frames.lengths) != len(frames.messages):
            raise ValueError("a frame of the market must hold one message: plan with pack=1")
        at = 0
        for length in frames.lengths.tolist():
            yield frames.octets[at : at + length]
            at += length

    def login(self, numbers: range, **asked) -> session.SessionStatus:
        """Logs in; `asked` as of `tickgate.host.session.login`."""
        return session.login(
            self.registers,
            username="CARD",
            password="SECRET",
            numbers=numbers,
            now=self.venue.now,
            **asked,
        )

    def play(
        self,
        until: Callable[[], bool],
        *,
        messages: int | None = None,
        seen: Callable[[Log], None] = lambda _log: None,
    ) -> bool:
        """Feeds some of the market, a message a frame, until it holds; returns whether it did.

        `seen` gets each log of the card.
        """
        width = self.card.width
        drain = 60 + 200 // width
        for octets in itertools.islice(self._frames, messages):
            self.card.send(octets, np.array([len(octets)]), gap=20, drain=drain)
            log = self.card.take()
            seen(log)
            last_octet = int(log.starts[-1]) + (len(octets) - ethernet.FCS_SIZE - 1) // width
            for sent in log.tx_frames:
                if unpack_frame(sent.octets).payload[2:3] == b"U":
                    self.latencies[sent.first_cycle - last_octet] += 1
            self.venue.hear(log.tx_frames)
            if until():
                return True
        return False
