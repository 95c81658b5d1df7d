"""Faults on the wire: a seeded campaign of mutated frames against a virtual card.

After every mutated frame a good one follows, which has to be answered as if nothing had been. What
is expected of a mutated frame is said twice: by its kind, and by the models, which read it whole.

Ref: docs/architecture.md, "Verification"; RFC 791; RFC 768; MoldUDP64 1.00; IEEE 802.3, clause 3.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, Self

import numpy as np

from tickgate.hdl.core import TickToTrade
from tickgate.hdl.eth.receive import Receive
from tickgate.hdl.feed.mold import Mold
from tickgate.host.config import Config
from tickgate.host.driver import Driver
from tickgate.sim.check import Checker
from tickgate.sim.flow import Flow, Indexer
from tickgate.sim.frames import Frames, line_rate_gaps
from tickgate.sim.model.book import Top, Window
from tickgate.sim.model.feed import Delivered, FeedModel, Gap, wire_struct
from tickgate.sim.reception import CAUSES, receive, seal
from tickgate.sim.session import ACCOUNT, FEED_ADDRESS, FEED_PORT, HOST, SESSION
from tickgate.sim.trace import Trace
from tickgate.sim.virtual.card import CLOCK_PERIOD_PS, SMALL, Card
from tickgate.spec import ethernet, itch50, moldudp64

__all__ = [
    "CALM",
    "KINDS",
    "Bench",
    "Fault",
    "FaultFound",
    "Mutator",
    "Sender",
    "Tally",
    "assemble",
    "datagram",
    "run",
]

LOCATES = {5: 0, 9: 1}
"""Stock locate to symbol index, of what the card tracks."""
OTHER_LOCATE = 77
OTHER_SESSION = "SESSIONXYZ"
TICK, TICKS = 100, SMALL["ticks"]
BASE = 100_0000
BIDS, ASKS = range(2, 32), range(32, 62)
"""Levels of the window on which good orders lie: the best of them can be bettered seldom enough."""
LIVE_LIMIT = 24
FIRST = 1
FLOW = Flow(address=FEED_ADDRESS, port=FEED_PORT, first_sequence=FIRST, has_fcs=True)

TX_GAP = ethernet.PREAMBLE_SIZE + ethernet.INTERFRAME_GAP
DRAIN = 160
"""Cycles after which all is quiet."""

JUMBO, GIANT = 9_000, 16_000
OLD = 16
FAR = 1 << 62
"""A sequence number beyond which the sender begins a new session."""
HEADERS = ethernet.ETHERNET.size + ethernet.IPV4.size + ethernet.UDP.size
IP_AT = ethernet.ETHERNET.size

TO_TOP = TickToTrade.LATENCY - TickToTrade.DECIDE
SLOW_TO_TOP = TickToTrade.SLOW_LATENCY - TickToTrade.DECIDE

NOTHING, LOSS, ANY = "nothing", "a gap", "anything"
"""What a kind of mutation may do to the feed: `NOTHING` leaves every book exact."""

MALFORMED = frozenset(CAUSES) - {"fcs_errors"}
SOUND = frozenset([None])
TOLD = (*(name for name in Top._fields if name not in ("exact", "sequence")),)


MACS = ethernet.ETHERNET.pack(
    destination=ethernet.multicast_mac(FEED_ADDRESS), source=0x02_0000_0000_03, ethertype=0
)[: ethernet.ETHERNET.offset("ethertype")]
TCI, SOURCE_PORT = 0x6123, 4000
IPV4, UDP = wire_struct(ethernet.IPV4), wire_struct(ethernet.UDP)
IPV4_NAMES = [each.name for each in ethernet.IPV4]
MOLD = wire_struct(moldudp64.HEADER)
CHECKSUM = IPV4_NAMES.index("checksum")


class FaultFound(AssertionError):
    """The card did with a frame what it must not do."""


class Fault(NamedTuple):
    """A mutated frame; `kind` names an entry of `KINDS`."""

    kind: str
    octets: bytes


class Kind(NamedTuple):
    """How a frame is mutated, the causes it may be counted by, and its effect on the feed."""

    make: Callable[["Mutator"], bytes]
    causes: frozenset[str | None]
    effect: str


def assemble(payload: bytes, *, tags: Sequence[int] = (), **fields: int) -> bytes:
    """A frame without FCS to where the card listens; `fields` are header fields that differ.

    `tags` are the EtherTypes of tags before the IPv4 header. The checksum of the IPv4 header is
    right whatever the fields are, unless `checksum` is given.
    """
    values = {
        "destination": FEED_ADDRESS,
        "destination_port": FEED_PORT,
        "ethertype": ethernet.ETHERTYPE_IPV4,
        "version_ihl": ethernet.IPV4_VERSION_IHL,
        "total_length": ethernet.IPV4.size + ethernet.UDP.size + len(payload),
        "flags_fragment": ethernet.IPV4_DONT_FRAGMENT,
        "ttl": 16,
        "source": 0x0A01_0203,
        "protocol": ethernet.PROTOCOL_UDP,
        "length": ethernet.UDP.size + len(payload),
        **fields,
    }
    octets = MACS + b"".join((type_ << 16 | TCI).to_bytes(4, "big") for type_ in tags)
    octets += values["ethertype"].to_bytes(2, "big")
    header = [values.get(name, 0) for name in IPV4_NAMES]
    if "checksum" not in fields:
        header[CHECKSUM] = ethernet.internet_checksum(IPV4.pack(*header))
    octets += IPV4.pack(*header)
    octets += UDP.pack(SOURCE_PORT, values["destination_port"], values["length"], 0)
    return octets + payload


def datagram(
    blocks: Iterable[bytes], *, session: str, sequence: int, count: int | None = None
) -> bytes:
    """A MoldUDP64 datagram; `count` lies."""
    parts = list(blocks)
    header = MOLD.pack(session.encode(), sequence, len(parts) if count is None else count)
    prefix = moldudp64.BLOCK_LENGTH_SIZE
    return header + b"".join(len(part).to_bytes(prefix, "big") + part for part in parts)


class Sender:
    """Makes the good frames of a feed for whatever state a card's feed is in.

    Parameters
    ----------
    generator : random.Random

    Members
    -------
    feed : FeedModel
        What has come of the frames that were sent.
    gaps : int
        Gaps that the frame sent last showed.
    cause : str or None
        The counter by which it was counted.
    old : list of bytes
        Good frames the feed has had.
    """

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator
        self._reference = 1000
        self._live: dict[int, list[int]] = {}
        self._sessions = 0
        self.feed = FeedModel(symbols=LOCATES, expected=FIRST)
        self.gaps = 0
        self.cause: str | None = None
        self.old: list[bytes] = []

    @property
    def session(self) -> str:
        return f"SESSION{self._sessions:03}"

    def sent(self, frame: bytes) -> None:
        """The frame is on the wire: what follows is made with it in mind."""
        reception = receive(frame, (FEED_ADDRESS, FEED_PORT))
        self.cause, self.gaps = reception.cause, 0
        if reception.size < 0:
            return
        items = self.feed.datagram(
            frame[reception.at : reception.at + reception.size],
            truncated=reception.cause == "truncated",
            bad_fcs=reception.cause == "fcs_errors",
        )
        for item in items:
            if isinstance(item, Gap):
                self.gaps += 1
                self.old.clear()
            elif item.symbol is not None:
                self._apply(item)

    def next(self) -> bytes:
        """A good frame to be sent now, of a new session if the numbers of this one grow large."""
        if self.due > FAR:
            self._sessions = (self._sessions + 1) % 1000
            self.feed.expected = FIRST
        frame = self.frame()
        self.old = [*self.old[-OLD:], frame]
        return frame

    def frame(self, *, tagged: bool = False, least: int = 1) -> bytes:
        """The next good frame, with its FCS, of a few messages."""
        tags = (ethernet.ETHERTYPE_VLAN,) if tagged else ()
        return seal(assemble(self.payload(least=least), tags=tags))

    def payload(self, *, least: int = 1) -> bytes:
        """The next good datagram."""
        return datagram(self.blocks(least=least), session=self.session, sequence=self.due)

    @property
    def due(self) -> int:
        """The sequence number that the feed expects."""
        return self.feed.expected

    def blocks(self, *, least: int = 1) -> list[bytes]:
        """A few messages that a market may send next, an Add first."""
        free = list(self._live)
        count = max(least, self._generator.choice((4, 5) if self._is_crowded else (1, 1, 2, 3)))
        return [self._message(free) if n else self._add() for n in range(count)]

    def opening(self) -> bytes:
        """A frame that says that everything is traded."""
        states = [_pack("H", locate, trading_state="T") for locate in LOCATES]
        return seal(assemble(datagram(states, session=self.session, sequence=self.due)))

    def passing(self) -> list[bytes]:
        """An order that comes and goes."""
        add = self._add()
        header = itch50.HEADER.unpack_from(add)
        delete = _pack("D", header["stock_locate"], order_ref=self._reference)
        return [add, delete]

    @property
    def _is_crowded(self) -> bool:
        return len(self._live) > LIVE_LIMIT

    def _message(self, free: list[int]) -> bytes:
        """A message about one of the orders that are `free`, which then is so no longer."""
        generator = self._generator
        if not free or (not self._is_crowded and generator.random() < 0.3):
            return self._add()
        strays = [ref for ref in free if not WINDOW.holds(self._live[ref][2])]
        reference = generator.choice(strays or free)
        free.remove(reference)
        locate, _, price, shares = self._live[reference]
        type_ = "D" if self._is_crowded or strays else generator.choice("DDECXUP")
        part = generator.choice((shares, max(shares // 2, 1)))
        self._reference += 1
        return _pack(
            type_,
            locate,
            order_ref=reference,
            orig_order_ref=reference,
            new_order_ref=self._reference,
            executed_shares=part,
            canceled_shares=part,
            shares=shares + 1,
            side=itch50.BUY,
            price=price,
            execution_price=price,
        )

    def _add(self) -> bytes:
        generator = self._generator
        self._reference += generator.choice((1, 1, 4))
        side = generator.choice((itch50.BUY, itch50.SELL))
        level = generator.choice(BIDS if side == itch50.BUY else ASKS)
        locate = OTHER_LOCATE if generator.random() < 0.05 else generator.choice(list(LOCATES))
        return _pack(
            generator.choice("AAAF"),
            locate,
            order_ref=self._reference,
            side=side,
            shares=generator.choice((1, 100, 300, 5000)),
            price=BASE + level * TICK,
        )

    def _apply(self, item: Delivered) -> None:
        """Follows which orders live, so that the good messages are about them."""
        live, message = self._live, item.message
        if message.type in "AF":
            live.setdefault(
                message.reference, [message.locate, message.side, message.price, message.shares]
            )
            return
        order = live.get(message.reference)
        if order is None or order[0] != message.locate:
            return
        if message.type in "ECX":
            order[3] -= message.shares
        if message.type in "DU" or order[3] <= 0:
            del live[message.reference]
        if message.type == "U":
            new = [message.locate, order[1], message.price, message.shares]
            live.setdefault(message.new_reference, new)


WINDOW = Window(base=BASE, tick=TICK, ticks=TICKS)


def _pack(type_: str, locate: int, **values: int | str) -> bytes:
    """A message of any type: of `values` what it has, and something for what is not in them."""
    template, places = _template(type_)
    octets = bytearray(template)
    for name, value in (("stock_locate", locate), *values.items()):
        if name in places:
            begin, end = places[name]
            octets[begin:end] = (
                value.encode() if isinstance(value, str) else value.to_bytes(end - begin, "big")
            )
    return bytes(octets)


@cache
def _template(type_: str) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """A message of a type, and where its fields are."""
    message = itch50.MESSAGES[type_]
    places = {each.name: (message.offset(each.name), message.end(each.name)) for each in message}
    values = {each.name: "N" if each.kind.is_text else 1 for each in message if each.name != "type"}
    return message.pack(**values), places


class Mutator:
    """Makes mutated frames of the ones that a sender would send next.

    Parameters
    ----------
    generator : random.Random
    sender : Sender
    """

    def __init__(self, generator: random.Random, sender: Sender) -> None:
        self.generator = generator
        self.sender = sender

    def fault(self, kinds: Sequence[str]) -> Fault:
        """A frame of one of these kinds."""
        kind = self.generator.choice(kinds)
        if kind in LONG and self.generator.random() < LONG_SPARED:
            kind = self.generator.choice(kinds)
        return Fault(kind, KINDS[kind].make(self))

    # Bits

    def flipped(self) -> bytes:
        """One to three bits are wrong, anywhere: the FCS shows it."""
        return self._flip(self._frame(), self.generator.randrange(1, 4))

    def flipped_header(self) -> bytes:
        """A bit is wrong of the headers, and the FCS is right."""
        frame = self._frame()
        at = self.generator.randrange(HEADERS + moldudp64.HEADER.size + 2)
        return seal(self._flip(frame[: -ethernet.FCS_SIZE], 1, at))

    def flipped_and_sealed(self) -> bytes:
        """Bits are wrong anywhere, and the FCS is right."""
        frame = self._frame()[: -ethernet.FCS_SIZE]
        return seal(self._flip(frame, self.generator.randrange(1, 4)))

    # Where the frame ends

    def cut(self) -> bytes:
        """The frame breaks off."""
        frame = self._frame()
        return frame[: self.generator.randrange(1, len(frame))]

    def cut_and_sealed(self) -> bytes:
        """The frame breaks off, with a right FCS there."""
        frame = self._frame()[: -ethernet.FCS_SIZE]
        return seal(frame[: self.generator.randrange(len(frame))])

    def padded(self) -> bytes:
        """Octets follow the datagram, as they do in a short frame."""
        frame = self._frame()[: -ethernet.FCS_SIZE]
        return seal(frame + self.generator.randbytes(self.generator.randrange(1, 64)))

    def tiny(self) -> bytes:
        """Some octets."""
        return self.generator.randbytes(self.generator.randrange(1, ethernet.MIN_FRAME))

    def only_fcs(self) -> bytes:
        """A frame of nothing but an FCS."""
        return seal(b"")

    def runt(self) -> bytes:
        """Too few octets for the headers, with a right FCS."""
        frame = assemble(b"")
        return seal(frame[: self.generator.randrange(HEADERS - ethernet.FCS_SIZE + 1)])

    def jumbo(self) -> bytes:
        """A long frame, of one datagram with nothing behind it or with padding."""
        generator, sender = self.generator, self.sender
        size = generator.choice((ethernet.MAX_FRAME, JUMBO, GIANT)) - generator.randrange(64)
        room = size if generator.random() < 0.5 else generator.randrange(size)
        blocks = sender.blocks()
        while sum(map(len, blocks)) + 2 * len(blocks) + 200 < room:
            blocks += sender.passing()
        payload = datagram(blocks, session=sender.session, sequence=sender.due)
        octets = assemble(payload)
        return seal(octets + generator.randbytes(max(size - len(octets), 0)))

    def jumbo_noise(self) -> bytes:
        """A long frame of anything, without an FCS."""
        size = self.generator.choice((JUMBO, GIANT)) - self.generator.randrange(64)
        return self.generator.randbytes(size)

    def noise(self) -> bytes:
        """A frame of anything, with a right FCS."""
        return seal(self.generator.randbytes(self.generator.randrange(60, 200)))

    # Tags

    def tagged(self) -> bytes:
        """A good frame with a tag."""
        return self.sender.frame(tagged=True)

    def twice_tagged(self) -> bytes:
        """Two tags are not IPv4."""
        outer = self.generator.choice((ethernet.ETHERTYPE_VLAN, 0x88A8))
        return seal(assemble(self._payload(), tags=(outer, ethernet.ETHERTYPE_VLAN)))

    # Lengths

    def ip_lies(self) -> bytes:
        """IPv4 says another length than UDP."""
        payload = self._payload()
        return seal(assemble(payload, total_length=self._lie(28 + len(payload))))

    def udp_lies(self) -> bytes:
        """UDP says another length than IPv4."""
        payload = self._payload()
        return seal(assemble(payload, length=self._lie(8 + len(payload))))

    def both_lie(self) -> bytes:
        """IPv4 and UDP agree on a length, the frame has another."""
        payload = self._payload()
        size = self._lie(8 + len(payload))
        pad = self.generator.randbytes(self.generator.choice((0, 0, 3, 30)))
        return seal(assemble(payload + pad, length=size, total_length=(size + 20) & 0xFFFF))

    def into_the_fcs(self) -> bytes:
        """The last octets of the last message are the FCS."""
        payload = self._payload()
        missing = self.generator.randrange(1, ethernet.FCS_SIZE + 1)
        return seal(assemble(payload)[:-missing])

    def block_lies(self) -> bytes:
        """A message has another length than it says."""
        blocks = self.sender.blocks()
        chosen = self.generator.randrange(len(blocks))
        payload = self._datagram(blocks)
        at = moldudp64.HEADER.size + sum(2 + len(block) for block in blocks[:chosen])
        lie = self._lie(len(blocks[chosen])).to_bytes(2, "big")
        return self._sealed(payload[:at] + lie + payload[at + 2 :])

    def count_lies(self) -> bytes:
        """There are more messages, or fewer, than the header says."""
        blocks = self.sender.blocks()
        count = self._lie(len(blocks))
        return self._sealed(self._datagram(blocks, count=count))

    def short_datagram(self) -> bytes:
        """No room for the header of MoldUDP64."""
        size = self.generator.randrange(moldudp64.HEADER.size)
        return self._sealed(self._payload()[:size])

    # Headers

    def not_ip(self) -> bytes:
        type_ = self.generator.choice((ethernet.ETHERTYPE_ARP, 0x86DD, 0x0000, 0x05DC, 0x0801))
        return seal(assemble(self._payload(), ethertype=type_))

    def ip_version(self) -> bytes:
        version = self.generator.choice([n for n in range(16) if n != 4])
        return seal(assemble(self._payload(), version_ihl=version << 4 | 5))

    def ip_options(self) -> bytes:
        words = self.generator.choice([n for n in range(16) if n != 5])
        return seal(assemble(self._payload(), version_ihl=0x40 | words))

    def ip_checksum(self) -> bytes:
        frame = assemble(self._payload())
        at = IP_AT + ethernet.IPV4.offset("checksum")
        wrong = int.from_bytes(frame[at : at + 2], "big") ^ 1 << self.generator.randrange(16)
        return seal(frame[:at] + wrong.to_bytes(2, "big") + frame[at + 2 :])

    def ip_fragment(self) -> bytes:
        flags = self.generator.randrange(1, 1 << 14) | self.generator.choice((0, 0x4000, 0x8000))
        return seal(assemble(self._payload(), flags_fragment=flags))

    def not_udp(self) -> bytes:
        others = [n for n in range(256) if n != ethernet.PROTOCOL_UDP]
        return seal(assemble(self._payload(), protocol=self.generator.choice(others)))

    def not_for_us(self) -> bytes:
        if self.generator.random() < 0.5:
            port = FEED_PORT ^ 1 << self.generator.randrange(16)
            return seal(assemble(self._payload(), destination_port=port))
        address = FEED_ADDRESS ^ 1 << self.generator.randrange(32)
        return seal(assemble(self._payload(), destination=address))

    # The sequence

    def ahead(self) -> bytes:
        """Messages are missing before these."""
        far = self.generator.choice((1, 2, 60, 1 << 15, 1 << 16, 1 << 17, 1 << 32, 1 << 40))
        return self._sealed(self._datagram(self.sender.blocks(), sequence=self.sender.due + far))

    def had(self) -> bytes:
        """A frame that the feed has had, or one with some messages that it has had."""
        sender = self.sender
        if sender.old and self.generator.random() < 0.5:
            return self.generator.choice(sender.old)
        back = min(self.generator.randrange(1, 4), sender.due - 1)
        return self._sealed(
            self._datagram(sender.blocks(least=back + 1), sequence=sender.due - back)
        )

    def session_changes(self) -> bytes:
        """A session that the sender knows nothing of."""
        sequence = self.generator.choice((1, self.sender.due, self.generator.randrange(1, FAR)))
        blocks = self.sender.blocks()
        return self._sealed(datagram(blocks, session=OTHER_SESSION, sequence=sequence))

    def heartbeat(self) -> bytes:
        """Nothing but the number of the next message, perhaps with the end of the session."""
        count = self.generator.choice((moldudp64.HEARTBEAT, moldudp64.END_OF_SESSION))
        return self._sealed(self._datagram([], count=count))

    # Messages

    def no_such_message(self) -> bytes:
        """A message of no known type, or of a length that its type does not have."""
        blocks = self.sender.blocks()
        chosen = self.generator.randrange(len(blocks))
        block = blocks[chosen]
        if self.generator.random() < 0.5:
            blocks[chosen] = self.generator.randbytes(1) + block[1:]
        else:
            size = self.generator.randrange(1, 2 * len(block))
            blocks[chosen] = (block + bytes(len(block)))[:size]
        return self._sealed(self._datagram(blocks))

    def neither_buys_nor_sells(self) -> bytes:
        blocks = self.sender.blocks()
        at = itch50.MESSAGES["A"].offset("side")
        blocks[0] = blocks[0][:at] + b"?" + blocks[0][at + 1 :]
        return self._sealed(self._datagram(blocks))

    # Parts

    def _frame(self) -> bytes:
        return self.sender.frame(tagged=self.generator.random() < 0.2)

    def _payload(self) -> bytes:
        return self.sender.payload()

    def _datagram(
        self, blocks: list[bytes], *, sequence: int | None = None, count: int | None = None
    ) -> bytes:
        return datagram(
            blocks,
            session=self.sender.session,
            sequence=self.sender.due if sequence is None else sequence,
            count=count,
        )

    def _sealed(self, payload: bytes) -> bytes:
        tags = (ethernet.ETHERTYPE_VLAN,) if self.generator.random() < 0.2 else ()
        return seal(assemble(payload, tags=tags))

    def _flip(self, octets: bytes, bits: int, at: int | None = None) -> bytes:
        flipped = bytearray(octets)
        for bit in self.generator.sample(range(8 * len(octets)), bits):
            flipped[bit // 8 if at is None else at] ^= 1 << bit % 8
        return bytes(flipped)

    def _lie(self, truth: int) -> int:
        """Another number of 16 bits: near to the truth, or anything."""
        lies = {truth + n & 0xFFFF for n in (-20, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 8, 20)}
        lies |= {0, 1, 5, 6, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, self.generator.randrange(1 << 16)}
        return self.generator.choice(sorted(lies - {truth}))


def _one(cause: str | None) -> frozenset[str | None]:
    return frozenset([cause])


KINDS = {
    "flipped": Kind(Mutator.flipped, _one("fcs_errors"), ANY),
    "flipped_header": Kind(Mutator.flipped_header, MALFORMED | SOUND, ANY),
    "flipped_and_sealed": Kind(Mutator.flipped_and_sealed, MALFORMED | SOUND, ANY),
    "cut": Kind(Mutator.cut, _one("fcs_errors"), ANY),
    "cut_and_sealed": Kind(Mutator.cut_and_sealed, MALFORMED, ANY),
    "padded": Kind(Mutator.padded, SOUND, NOTHING),
    "tiny": Kind(Mutator.tiny, _one("fcs_errors"), NOTHING),
    "only_fcs": Kind(Mutator.only_fcs, _one("runts"), NOTHING),
    "runt": Kind(Mutator.runt, _one("runts"), NOTHING),
    "jumbo": Kind(Mutator.jumbo, SOUND, NOTHING),
    "jumbo_noise": Kind(Mutator.jumbo_noise, _one("fcs_errors"), NOTHING),
    "noise": Kind(Mutator.noise, _one("not_ip"), NOTHING),
    "tagged": Kind(Mutator.tagged, SOUND, NOTHING),
    "twice_tagged": Kind(Mutator.twice_tagged, _one("not_ip"), NOTHING),
    "ip_lies": Kind(Mutator.ip_lies, frozenset(["ip_length", "udp_length"]), NOTHING),
    "udp_lies": Kind(Mutator.udp_lies, _one("udp_length"), NOTHING),
    "both_lie": Kind(
        Mutator.both_lie, frozenset([None, "ip_length", "udp_length", "truncated"]), ANY
    ),
    "into_the_fcs": Kind(Mutator.into_the_fcs, _one("truncated"), LOSS),
    "block_lies": Kind(Mutator.block_lies, SOUND, LOSS),
    "count_lies": Kind(Mutator.count_lies, SOUND, LOSS),
    "short_datagram": Kind(Mutator.short_datagram, SOUND, LOSS),
    "not_ip": Kind(Mutator.not_ip, _one("not_ip"), NOTHING),
    "ip_version": Kind(Mutator.ip_version, _one("ip_version"), NOTHING),
    "ip_options": Kind(Mutator.ip_options, _one("ip_options"), NOTHING),
    "ip_checksum": Kind(Mutator.ip_checksum, _one("ip_checksum"), NOTHING),
    "ip_fragment": Kind(Mutator.ip_fragment, _one("ip_fragment"), NOTHING),
    "not_udp": Kind(Mutator.not_udp, _one("not_udp"), NOTHING),
    "not_for_us": Kind(Mutator.not_for_us, _one("not_for_us"), NOTHING),
    "ahead": Kind(Mutator.ahead, SOUND, LOSS),
    "had": Kind(Mutator.had, SOUND, NOTHING),
    "session_changes": Kind(Mutator.session_changes, SOUND, LOSS),
    "heartbeat": Kind(Mutator.heartbeat, SOUND, NOTHING),
    "no_such_message": Kind(Mutator.no_such_message, SOUND, ANY),
    "neither_buys_nor_sells": Kind(Mutator.neither_buys_nor_sells, SOUND, LOSS),
}
"""Every kind of mutation."""

CALM = tuple(name for name, kind in KINDS.items() if kind.effect == NOTHING)
"""Those that must not cost any book its trust."""

LONG = ("jumbo", "jumbo_noise")
LONG_SPARED = 0.9
"""How many of the long frames are not sent, since each takes the time of a hundred others."""


@dataclass
class Tally:
    """What a campaign did. `latency` is in cycles from t0 to the order, by what answered."""

    faults: int = 0
    good: int = 0
    cycles: int = 0
    gaps: int = 0
    exact_tops: int = 0
    exact_of_fcs: int = 0
    tops: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    causes: Counter[str | None] = field(default_factory=Counter)
    latency: Counter[int] = field(default_factory=Counter)
    exact_of: Counter[str | None] = field(default_factory=Counter)
    feed: dict[str, int] = field(default_factory=dict)


class Bench:
    """A virtual card that is armed, and everything that checks it. Also a context manager.

    Every check raises `FaultFound`.

    Parameters
    ----------
    width : int
        Octets a cycle.
    seed : int

    Members
    -------
    driver : Driver
    sender : Sender
    mutator : Mutator
    tally : Tally
    lost : bool
        There was a gap when something was played last.
    """

    def __init__(self, *, width: int, seed: int) -> None:
        self._card = Card(width=width, **SMALL, tx_gap=TX_GAP, uart_divisor=0, quiet=True)
        born = self._card.cycle
        self._last: dict[int, list[int]] = {}
        self.tally = Tally()
        self.lost = False
        self.generator = random.Random(f"{seed} {width}")
        self.sender = Sender(self.generator)
        self.mutator = Mutator(self.generator, self.sender)
        self.driver = Driver(self._card.serial)
        self._config = _config()
        self._checker = Checker(
            config=self._config,
            ticks=TICKS,
            time_ns=lambda cycle: (cycle - born) * CLOCK_PERIOD_PS[width] // 1000,
            store_overflowed=lambda: False,
        )
        self._indexer = Indexer(FLOW)
        self.driver.apply(self._config)
        self.driver.begin_day()
        self.driver.arm(self._config)
        self._card.take()
        self.declare_whole()
        self._send([lambda: Fault("", self.sender.opening())])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        self._card.close()

    def calm(self) -> Fault:
        """A fault that must not cost any book its trust."""
        return self.mutator.fault(CALM)

    def rough(self) -> Fault:
        """Any fault."""
        return self.mutator.fault(tuple(KINDS))

    def declare_whole(self) -> None:
        """The host declares every book whole; the card has to tell what the model does."""
        for symbol in LOCATES.values():
            self.driver.set_whole(symbol)
        self._card.run(DRAIN)
        trace = self._trace(self._indexer.frames([]))
        self._tells_more_than_a_loss(trace.log.tops)
        self._tell(self._checker.set_whole(list(LOCATES.values()), trace.log.tops))
        self._tell(self._checker.compare_orders(trace))

    def play(self, faults: Iterable[Callable[[], Fault]], *, back_to_back: bool = False) -> None:
        """Sends each fault and a good frame after it, and checks all that the card did.

        `faults` make the fault when it is its turn. `back_to_back`: without the gap that a wire
        has between frames.
        """

        def good() -> Fault:
            return Fault("", self.sender.next())

        self._send(
            (make for fault in faults for make in (fault, good)),
            back_to_back=back_to_back,
        )

    def _send(self, makes: Iterable[Callable[[], Fault]], *, back_to_back: bool = False) -> None:
        """Sends frames, of which those without a kind are good, and checks what the card did."""
        sent, expected, kinds = [], [], []
        for make in makes:
            kind, octets = make()
            self._put(kind, octets)
            sent.append(octets)
            expected.append(self.sender.gaps > 0)
            kinds.append(kind)
        frames = self._indexer.frames(sent)
        gap = 0 if back_to_back else line_rate_gaps(frames.lengths, width=self._card.width)
        self._card.send(frames.octets, frames.lengths, gap=gap, drain=DRAIN)
        trace = self._trace(frames)
        self.lost = len(trace.log.gaps) > 0
        self._check_gaps(trace, expected, kinds)
        self._check_latency(trace, kinds)
        self._check_trust(trace, kinds)
        self._tell(self._checker.compare(trace))
        self._count(trace, kinds)

    def restart_feed(self) -> None:
        """The host has the feed begin again, and declares every book whole."""
        self.driver.disarm()
        self.driver.restart_feed()
        self.driver.arm(self._config)
        self._checker.restart_feed(FIRST)
        self.sender.feed.restart(FIRST)
        self._indexer = Indexer(FLOW)
        self.declare_whole()

    def compare_counters(self) -> None:
        """Compares every counter of the card with those of the models."""
        self._tell(self._checker.compare_counters(self.driver.counters()))

    def _trace(self, frames: Frames) -> Trace:
        """What has been observed since the last time."""
        return Trace(frames=frames, log=self._card.take(), width=self._card.width, tx_gap=TX_GAP)

    def _put(self, kind: str, octets: bytes) -> None:
        """Tells the sender, and holds what the models say against what the kind does."""
        self.sender.sent(octets)
        cause, lost = self.sender.cause, self.sender.gaps > 0
        wanted = KINDS[kind] if kind else Kind(Mutator.tagged, SOUND, ANY)
        if cause not in wanted.causes:
            raise FaultFound(f"{kind}: the model counts {cause}: {octets.hex()}")
        if wanted.effect != ANY and lost != (wanted.effect == LOSS):
            raise FaultFound(f"{kind}: the model tells {'a' if lost else 'no'} gap: {octets.hex()}")

    def _tell(self, difference) -> None:
        if difference is not None:
            raise FaultFound(str(difference))

    def _check_gaps(self, trace: Trace, expected: list[bool], kinds: list[str]) -> None:
        """Each frame that shows a gap has to be told as one, in time, and no other."""
        width = self._card.width
        ends = trace.starts + -(-trace.frames.lengths // width) - 1
        late = ends + Receive.VERDICT_LATENCY + Mold.FAULT_LATENCY
        # None is told as a gap before its headers are in, by when the last one is over.
        owner = np.searchsorted(late, trace.log.gaps.astype(np.int64))
        told = np.bincount(owner, minlength=len(expected) + 1)[: len(expected)] > 0
        for at in np.flatnonzero(told != np.array(expected)).tolist():
            raise FaultFound(
                f"{kinds[at] or 'good frame'}: gap expected: {expected[at]}, told: {told[at]}: "
                f"{self._frame_of(trace, at)}"
            )

    def _check_latency(self, trace: Trace, kinds: list[str]) -> None:
        """Good frames are answered as ever: the add they begin with at once."""
        good = np.array([not kind for kind in kinds])
        frame, messages = trace.frames.frame, trace.top_message
        rows = np.flatnonzero((messages >= 0) & self._tells_more_than_a_loss(trace.log.tops))
        rows = rows[good[frame[messages[rows]]]]
        message = messages[rows]
        cycles = trace.log.tops["cycle"][rows].astype(np.int64) - trace.t0[message]
        first = np.append(True, frame[1:] != frame[:-1])[message] if len(frame) else []
        most = np.where(first, TO_TOP, SLOW_TO_TOP)
        for at in np.flatnonzero((cycles < TO_TOP) | (cycles > most)).tolist():
            number = int(frame[message[at]])
            raise FaultFound(
                f"after {kinds[number - 1]}: answered after {cycles[at]} cycles, not {most[at]}: "
                f"{self._frame_of(trace, number - 1)} {self._frame_of(trace, number)}"
            )
        known = trace.verdict_message[trace.sent_verdict]
        answers = trace.sent[known >= 0] - trace.t0[known[known >= 0]]
        self.tally.latency.update(answers.tolist())
        if len(answers) and not (
            TickToTrade.LATENCY <= answers.min() <= answers.max() <= TickToTrade.SLOW_LATENCY
        ):
            raise FaultFound(f"orders after {answers.min()} to {answers.max()} cycles")

    def _check_trust(self, trace: Trace, kinds: list[str]) -> None:
        """No top may be exact, and no order may leave, on octets that are the FCS of a frame."""
        frames = trace.frames
        ends = frames.lengths[frames.frame] - ethernet.FCS_SIZE
        of_fcs = np.append(frames.last_octets >= ends, False)
        exact = np.flatnonzero(of_fcs[trace.top_message] & (trace.log.tops["exact"] != 0))
        orders = trace.verdict_message[trace.sent_verdict]
        wrong = orders[of_fcs[orders]].tolist()
        self.tally.exact_of_fcs += len(exact)
        wrong += trace.top_message[exact].tolist()
        for message in wrong:
            number = int(frames.frame[message])
            raise FaultFound(
                f"{kinds[number]}: believed what is read out of the FCS: "
                f"{self._frame_of(trace, number)}"
            )

    def _tells_more_than_a_loss(self, tops: np.ndarray) -> np.ndarray:
        """Which rows say something else than that the book of their symbol is not exact any more.

        Such a loss is told when there is time.
        """
        more = np.ones(len(tops), bool)
        for at, row in enumerate(tops[list(TOLD)].tolist()):
            symbol, *told = row
            more[at] = told != self._last.get(symbol)
            self._last[symbol] = told
        return more

    def _count(self, trace: Trace, kinds: list[str]) -> None:
        tally = self.tally
        tally.faults += sum(map(bool, kinds))
        tally.good += len(kinds) - sum(map(bool, kinds))
        tally.kinds.update(kind for kind in kinds if kind)
        tally.causes.update(trace.frames.causes)
        tally.gaps += len(trace.log.gaps)
        exact = trace.log.tops["exact"] != 0
        tally.tops += len(exact)
        tally.exact_tops += int(exact.sum())
        messages = trace.top_message[exact & (trace.top_message >= 0)]
        owners = trace.frames.frame[messages].tolist()
        tally.exact_of.update(trace.frames.causes[owner] for owner in owners)
        tally.cycles = self._card.cycle

    @staticmethod
    def _frame_of(trace: Trace, number: int) -> str:
        frames = trace.frames
        start = int(frames.starts[number])
        return frames.octets[start : start + int(frames.lengths[number])].tobytes().hex()


def _config() -> Config:
    huge = 2_000_000_000
    symbols = [
        {
            "name": f"SYM{index}",
            "stock_locate": locate,
            "tick_usd": "0.01",
            "window_base_usd": str(BASE // 10_000),
            "strategy": {
                "enabled": True,
                "threshold_fraction": "0.85",
                "max_spread_usd": "1",
                "quantity_shares": 1,
                "min_interval_ns": 0,
            },
            "limits": {
                "max_long_shares": huge,
                "max_short_shares": huge,
                "max_order_quantity_shares": 1_000,
                "max_order_notional_usd": 50_000_000,
                "collar_bps": 5_000,
                "collar_absolute_usd": 50,
                "reference_max_age_us": 60_000_000,
                "extended_hours": True,
                "max_book_spread_usd": 50,
                "order_tick_usd": "0.01",
                "lot_size_shares": 1,
                "allow_buy": True,
                "allow_sell": True,
                "allow_time_in_force": ["immediate_or_cancel"],
                "short_locates_shares": huge,
                "feed_max_age_us": 60_000_000,
                "symbol_max_age_us": 600_000_000,
                "band_exempt": True,
                "order_interval_ns": 1,
                "order_burst_ns": 1_000_000_000,
                "max_open_orders": huge,
                "max_duplicates": 4,
                "duplicate_window_ns": 1,
                "max_move_usd": 400_000,
                "allow_self_trade": True,
            },
        }
        for locate, index in LOCATES.items()
    ]
    feed = {
        "address": ethernet.format_ipv4(FEED_ADDRESS),
        "port": FEED_PORT,
        "start_sequence": FIRST,
    }
    account = {
        **ACCOUNT,
        "max_open_orders": huge,
        "max_day_orders": huge,
        "session_interval_ns": 1,
        "session_burst_ns": 1_000_000_000,
    }
    return Config.from_dict(
        {
            "feed": feed,
            "session": SESSION,
            "account": account,
            "symbols": symbols,
            "host": HOST,
        },
        source="the campaign",
    )


CALM_PIECE, ROUGH_PIECE = 16, 12
"""Faults that are sent at once: those that leave the books whole, and those that may not."""
COUNTED = 64
"""Pieces between two looks at the counters."""


def run(seed: int, frames: int, width: int) -> Tally:
    """Sends at least so many mutated frames to a card of `width` octets a cycle.

    Raises `FaultFound` if the card does anything that it must not do.
    """
    began = time.perf_counter()
    with Bench(width=width, seed=seed) as bench:
        pieces = 0
        while bench.tally.faults < frames:
            back_to_back = pieces % 2 == 0
            bench.play([bench.calm] * CALM_PIECE, back_to_back=back_to_back)
            bench.play([bench.rough] * ROUGH_PIECE, back_to_back=back_to_back)
            bench.declare_whole()
            pieces += 1
            if pieces % COUNTED == 0:
                bench.compare_counters()
        bench.compare_counters()
    bench.tally.feed = bench.sender.feed.counters
    bench.tally.seconds = time.perf_counter() - began
    return bench.tally
