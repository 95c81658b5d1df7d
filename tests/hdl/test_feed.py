# amaranth: UnusedElaboratable=no
"""The feed against a plain reading of the same datagrams, message for message and to the cycle."""

import zlib
from dataclasses import dataclass, field

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from tickgate.hdl.eth import Receive
from tickgate.hdl.feed import Feed
from tickgate.hdl.stream import MessageKind, Octets, pipe
from tickgate.spec import fields, itch50, moldudp64
from tickgate.spec.ethernet import (
    ETHERNET,
    ETHERTYPE_IPV4,
    ETHERTYPE_VLAN,
    IPV4,
    PROTOCOL_UDP,
    UDP,
    VLAN_TAG,
    internet_checksum,
    parse_ipv4,
)

WIDTHS = (1, 4, 8)
SYMBOLS = 5
LOCATE_BITS = 4
TRACKED = {3: 0, 9: 4, 15: 2}
"""Symbols by stock locate."""

ADDRESS, PORT = parse_ipv4("233.54.12.111"), 26477
SESSION = "000017427A"
BOOK_TYPES = set(itch50.BOOK_TYPES)
KINDS = {
    **dict.fromkeys(itch50.MESSAGES, MessageKind.OTHER),
    "A": MessageKind.ADD,
    "F": MessageKind.ADD,
    "E": MessageKind.EXECUTE,
    "C": MessageKind.EXECUTE_PRICE,
    "X": MessageKind.CANCEL,
    "D": MessageKind.DELETE,
    "U": MessageKind.REPLACE,
    "P": MessageKind.TRADE,
    "H": MessageKind.TRADING_STATE,
    "S": MessageKind.SYSTEM,
    "W": MessageKind.BREACH,
}
SHARES = ("shares", "executed_shares", "canceled_shares")
PRICES = ("price", "execution_price")
CODES = ("trading_state", "event_code", "breached_level")
COUNTED_LATER = ("messages", "tracked_messages")


class Chain(wiring.Component):
    """Receive and Feed as the core joins them, with a counter of cycles from 0."""

    def __init__(self, *, width: int) -> None:
        self.receive = Receive(width=width)
        self.feed = Feed(width=width, symbols=SYMBOLS, locate_bits=LOCATE_BITS)
        super().__init__({"octets": In(self.receive.signature.members["octets"].signature.flip())})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.receive, m.submodules.feed = self.receive, self.feed
        pipe(m, wiring.flipped(self.octets), self.receive.octets)
        pipe(m, self.receive.payload, self.feed.payload)
        m.d.comb += [
            self.receive.address.eq(ADDRESS),
            self.receive.port.eq(PORT),
            self.receive.enable.eq(1),
            self.feed.truncated.eq(self.receive.truncated),
            self.feed.frame_bad.eq(self.receive.frame_bad),
        ]
        m.d.sync += self.feed.cycle.eq(self.feed.cycle + 1)
        return m


# What is sent


def make_message(generator, type_: str | None = None, **values) -> bytes:
    """A message with random fields, but for those named."""
    message = itch50.MESSAGES[type_ or generator.choice(list(itch50.MESSAGES))]
    random = {}
    for item in message.fields:
        if item.name == "type":
            continue
        if item.kind.is_text:
            random[item.name] = "".join(generator.choice("ABNQSTY12") for _ in range(item.size))
        else:
            random[item.name] = generator.randrange(item.maximum + 1)
    locates = (*TRACKED, 0, 7, 15 + 16, 3 + 256, 0xFFFF)
    random["stock_locate"] = generator.choice(locates)
    if "side" in random:
        random["side"] = generator.choice("BS")
    if "printable" in random:
        random["printable"] = generator.choice("YN")
    return message.pack(**{**random, **values})


def make_block(message: bytes) -> bytes:
    return len(message).to_bytes(moldudp64.BLOCK_LENGTH_SIZE, "big") + message


def make_datagram(sequence: int, messages, *, count=None, session=SESSION, tail=b"") -> bytes:
    count = len(messages) if count is None else count
    header = moldudp64.HEADER.pack(session=session, sequence=sequence, count=count)
    return header + b"".join(map(make_block, messages)) + tail


def make_frame(payload: bytes, *, tagged: bool = False, total_length: int | None = None) -> bytes:
    mac = {"destination": 0x01005E360C6F, "source": 0x020000000001}
    if tagged:
        octets = ETHERNET.pack(**mac, ethertype=ETHERTYPE_VLAN)
        octets += VLAN_TAG.pack(tci=5, ethertype=ETHERTYPE_IPV4)
    else:
        octets = ETHERNET.pack(**mac, ethertype=ETHERTYPE_IPV4)
    total = IPV4.size + UDP.size + len(payload) if total_length is None else total_length
    header = {
        "version_ihl": 0x45,
        "dscp_ecn": 0,
        "total_length": total,
        "identification": 7,
        "flags_fragment": 0,
        "ttl": 9,
        "protocol": PROTOCOL_UDP,
        "source": 0x0A000001,
        "destination": ADDRESS,
    }
    octets += IPV4.pack(**header, checksum=internet_checksum(IPV4.pack(**header, checksum=0)))
    octets += UDP.pack(
        source_port=1, destination_port=PORT, length=total - IPV4.size, checksum=0
    )
    octets = (octets + payload).ljust(60, b"\0")
    return octets + zlib.crc32(octets).to_bytes(4, "little")


# What must come of it


@dataclass
class Expected:
    """What a datagram gives: by the octet of the payload that completes it, or as a whole."""

    messages: list = field(default_factory=list)  # (octet, type, values, sequence)
    lookups: list = field(default_factory=list)  # (octet, reference)
    new_lookups: list = field(default_factory=list)
    gap_sequences: list = field(default_factory=list)
    gap_by: int | None = None  # the octet by whose message a gap must be known
    counts: dict = field(default_factory=dict)


class Reader:
    """Reads datagrams as a whole; remembers the session and what is due."""

    def __init__(self, *, expected: int = 1) -> None:
        self.expected, self.session = expected, None

    def read(self, payload: bytes, *, truncated: bool = False, bad: bool = False) -> Expected:
        before = self.expected, self.session
        out = Expected()
        sequence = self._read(payload, out)
        if truncated or bad:
            out.gap_sequences.append(sequence)
        if bad:
            self.expected, self.session = before
        return out

    def _read(self, payload: bytes, out: Expected) -> int:
        def count(name, amount=1):
            if amount:
                out.counts[name] = out.counts.get(name, 0) + amount

        try:
            header = moldudp64.HEADER.unpack_from(payload)
        except fields.WireError:
            count("bad_datagrams")
            out.gap_sequences.append(self.expected)
            return self.expected
        first, announced = header["sequence"], header["count"]
        expected = self.expected
        if self.session not in (None, header["session"]):
            count("session_changes")
            out.gap_sequences.append(first)
            out.gap_by = 0
            expected = first
        self.session = header["session"]
        if announced in (0, 0xFFFF):
            count("ends_of_session" if announced else "heartbeats")
            announced = 0
        if first > expected:
            count("gaps")
            count("missed_messages", first - expected)
            out.gap_sequences.append(first)
            out.gap_by = 0
        if announced and first + announced <= expected:
            count("duplicate_datagrams")
            self.expected = expected
            return first
        self.expected = max(expected, first + announced)
        had = max(expected - first, 0) if announced else 0
        count("duplicate_messages", had)
        cause = self._walk(payload, first, announced, had, out, count)
        if cause:
            count(cause)
            out.gap_sequences.append(first)
        return first

    def _walk(self, payload, first, announced, had, out, count) -> str | None:
        at = moldudp64.HEADER.size
        for number in range(announced):
            if at + 2 > len(payload):
                return "bad_datagrams"
            size = int.from_bytes(payload[at : at + 2], "big")
            if size < 6:
                return "bad_blocks"
            at += 2
            octets = payload[at : at + size]
            due = number >= had
            if due:
                self._look_up(octets, size, at, out)
            if at + size > len(payload):
                return "bad_datagrams"
            at += size
            if due:
                self._decode(octets, at - 1, first, first + number, out, count)
        return "bad_datagrams" if at != len(payload) else None

    def _look_up(self, octets, size, at, out) -> None:
        type_ = chr(octets[0]) if octets else ""
        if type_ not in BOOK_TYPES or itch50.MESSAGES[type_].size != size:
            return
        for wanted, offset in ((out.lookups, 11), (out.new_lookups, 19)):
            number = octets[offset : offset + 8]
            if (offset == 11 or type_ == "U") and len(number) == 8:
                wanted.append((at + offset + 7, int.from_bytes(number, "big")))

    def _decode(self, octets, last, first, sequence, out, count) -> None:
        message = itch50.MESSAGES.get(chr(octets[0]))
        if message is None:
            count("unknown_types")
        elif message.size != len(octets):
            count("length_mismatches")
            if message.type in BOOK_TYPES:
                out.gap_sequences.append(first)
        elif message.type in "AF" and octets[19] not in b"BS":
            count("bad_sides")
            out.gap_sequences.append(first)
        else:
            values = message.unpack(octets)
            count("messages")
            count("tracked_messages", values["stock_locate"] in TRACKED)
            out.messages.append((last, message.type, values, sequence))


def pick(values, names, default=None):
    return next((values[name] for name in names if name in values), default)


def message_facts(type_, values, sequence, stamp) -> dict:
    """The fields of a Message that the kind has."""
    facts = {
        "kind": KINDS[type_],
        "tracked": values["stock_locate"] in TRACKED,
        "symbol": TRACKED.get(values["stock_locate"]),
        "reference": pick(values, ("order_ref", "orig_order_ref")),
        "new_reference": values.get("new_order_ref"),
        "side": {"B": 0, "S": 1}.get(values.get("side")),
        "shares": pick(values, SHARES) if type_ != "Q" else None,
        "price": pick(values, PRICES),
        "printable": values.get("printable", "Y") == "Y",
        "code": 0,
        "sequence": sequence % 2**32,
        "stamp": stamp % 2**16,
    }
    if KINDS[type_] in (MessageKind.TRADING_STATE, MessageKind.SYSTEM, MessageKind.BREACH):
        facts["code"] = ord(pick(values, CODES))
    return {name: fact for name, fact in facts.items() if fact is not None}


# The bench


@dataclass
class Seen:
    """What was on the outputs, by the cycle."""

    messages: dict = field(default_factory=dict)
    lookups: dict = field(default_factory=dict)
    new_lookups: dict = field(default_factory=dict)
    gaps: dict = field(default_factory=dict)
    counts: dict = field(default_factory=dict)


class Bench:
    """Sends frames through Receive and Feed and notes the cycle of everything.

    `cycle` counts clock cycles from reset; octet k of a frame is on rx in the cycle
    `octet_cycles[k]` of what `send` returns.
    """

    def __init__(self, width: int, *, idle=None) -> None:
        self.width, self.idle, self.cycle = width, idle, 0
        self.dut, self.seen = Chain(width=width), Seen()

    def run(self, testbench) -> None:
        async def process(ctx):
            self.ctx = ctx
            while not ctx.get(self.dut.feed.ready):
                await self.tick()
            for locate, symbol in TRACKED.items():
                await self.track(locate, symbol, 1)
            await testbench(self)
            await self.quiet(8)

        simulator = Simulator(self.dut)
        simulator.add_clock(1e-8)
        simulator.add_testbench(process)
        simulator.run()

    async def track(self, locate, symbol, tracked) -> None:
        feed = self.dut.feed
        self.ctx.set(feed.write, 1)
        self.ctx.set(feed.write_locate, locate)
        self.ctx.set(feed.write_symbol, symbol)
        self.ctx.set(feed.write_tracked, tracked)
        await self.tick()
        self.ctx.set(feed.write, 0)

    async def tick(self) -> None:
        ctx, feed, seen = self.ctx, self.dut.feed, self.seen
        if ctx.get(feed.message.valid):
            seen.messages[self.cycle] = {
                name: ctx.get(feed.message.payload[name])
                for name, _ in feed.message.payload.shape()
            }
        for lookup, noted in ((feed.lookup, seen.lookups), (feed.lookup_new, seen.new_lookups)):
            if ctx.get(lookup.valid):
                noted[self.cycle] = ctx.get(lookup.payload.reference)
        if ctx.get(feed.gap):
            seen.gaps[self.cycle] = ctx.get(feed.gap_sequence)
        for name in Feed.COUNTERS:
            amount = ctx.get(getattr(feed, name))
            if amount:
                seen.counts[name] = seen.counts.get(name, 0) + amount
        await ctx.tick()
        self.cycle += 1

    async def quiet(self, cycles: int) -> None:
        self.ctx.set(self.dut.octets.valid, 0)
        for _ in range(cycles):
            await self.tick()

    async def send(self, frame: bytes) -> list[int]:
        """Returns for each octet of the frame the cycle in which it was on rx."""
        octets, cycles = self.dut.octets, []
        for at in range(0, len(frame), self.width):
            await self.quiet(self.idle() if self.idle else 0)
            part = frame[at : at + self.width]
            self.ctx.set(octets.valid, 1)
            self.ctx.set(octets.payload.data, int.from_bytes(part, "little"))
            self.ctx.set(octets.payload.count, len(part))
            self.ctx.set(octets.payload.first, at == 0)
            self.ctx.set(octets.payload.last, at + self.width >= len(frame))
            cycles += [self.cycle] * len(part)
            await self.tick()
        self.ctx.set(octets.valid, 0)
        return cycles

    async def restart(self, sequence: int) -> None:
        self.ctx.set(self.dut.feed.start_sequence, sequence)
        self.ctx.set(self.dut.feed.restart, 1)
        await self.tick()
        self.ctx.set(self.dut.feed.restart, 0)
