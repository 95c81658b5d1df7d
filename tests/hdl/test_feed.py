# amaranth: UnusedElaboratable=no

"""The feed against a plain reading of the same datagrams, message for message and to the cycle."""

import zlib
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise

import pytest
from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from simulated import Simulated

from tickgate.hdl.eth import Hold, Receive
from tickgate.hdl.feed import Feed
from tickgate.hdl.feed.mold import Mold
from tickgate.hdl.feed.symbols import SymbolTable
from tickgate.hdl.stream import MessageKind, pipe
from tickgate.sim.model.feed import Delivered, FeedModel, Gap
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

WIDTHS = (1, 8)
ALIGNED = (1, 4, 8)
"""Where it is the alignment, or chance, that a test is about."""
SHARE = {1: 4, 4: 2, 8: 1}
"""By width: of what is random a narrow word, which takes as many more cycles, sees so much less."""
TAGS = {1: (True,), 4: (True,), 8: (False, True)}
"""By width: a narrow word sees the same alignment with and without a tag."""
SYMBOLS = 5
LOCATE_BITS = 4
TRACKED = {3: 0, 9: 4, 15: 2}
"""Symbols by stock locate."""

ADDRESSES = tuple(map(parse_ipv4, ("233.54.12.111", "233.49.196.111", "192.0.2.10")))
PORTS = 26477, 26478, 40002
SESSION = "000017427A"
HEADER_LAST = moldudp64.HEADER.size - 1
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
    "Y": MessageKind.SHORT_SALE_RESTRICTION,
    "h": MessageKind.OPERATIONAL_HALT,
}
SHARES = ("shares", "executed_shares", "canceled_shares")
PRICES = ("price", "execution_price")
CODES = ("trading_state", "event_code", "breached_level", "reg_sho_action", "halt_action")
CODED = ("TRADING_STATE", "SYSTEM", "BREACH", "SHORT_SALE_RESTRICTION", "OPERATIONAL_HALT")


class Chain(wiring.Component):
    """Receive, Hold and Feed as the core joins them, with a counter of cycles from 0."""

    def __init__(self, *, width: int) -> None:
        self.receive, self.hold = Receive(width=width), Hold(width=width)
        self.feed = Feed(width=width, symbols=SYMBOLS, locate_bits=LOCATE_BITS)
        self.anything = Signal()
        super().__init__({"octets": In(self.receive.signature.members["octets"].signature.flip())})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.receive, m.submodules.hold = self.receive, self.hold
        m.submodules.feed = self.feed
        pipe(m, wiring.flipped(self.octets), self.receive.octets)
        pipe(m, self.receive.payload, self.hold.payload)
        pipe(m, self.hold.passed, self.feed.payload)
        m.d.comb += [
            Cat(self.receive.address).eq(Cat(*(Const(address, 32) for address in ADDRESSES))),
            Cat(self.receive.port).eq(Cat(*(Const(port, 16) for port in PORTS))),
            Cat(self.receive.enable).eq(~0),
            self.hold.line.eq(self.receive.line),
            self.hold.ends.eq(self.receive.frames),
            self.hold.cut.eq(self.receive.cut),
            self.hold.truncated.eq(self.receive.truncated),
            self.hold.frame_bad.eq(self.receive.frame_bad),
            self.feed.line.eq(self.hold.passed_line),
            self.feed.cut.eq(self.hold.passed_cut),
            self.feed.frame_bad.eq(self.hold.passed_bad),
        ]
        strobes = [self.feed.message.valid, self.feed.lookup.valid, self.feed.lookup_new.valid]
        strobes += [self.feed.gap, *(getattr(self.feed, name) for name in Feed.COUNTERS)]
        strobes += [getattr(self.hold, name) for name in Hold.COUNTERS]
        m.d.comb += self.anything.eq(Cat(strobes).any())
        m.d.sync += self.feed.cycle.eq(self.feed.cycle + 1)
        return m


@cache
def build(width: int) -> Simulated:
    return Simulated(Chain(width=width))


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


def make_frame(
    payload: bytes, *, tagged: bool = False, total_length: int | None = None, line: int = 0
) -> bytes:
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
        "destination": ADDRESSES[line],
    }
    octets += IPV4.pack(**header, checksum=internet_checksum(IPV4.pack(**header, checksum=0)))
    octets += UDP.pack(
        source_port=1, destination_port=PORTS[line], length=total - IPV4.size, checksum=0
    )
    octets = (octets + payload).ljust(60, b"\0")
    return octets + zlib.crc32(octets).to_bytes(4, "little")


# What must come of it


def read_fields(message: fields.Message, octets: bytes) -> dict:
    """The values by name; text as it is on the wire, whatever it is."""
    values = {}
    for item in message:
        part = octets[message.offset(item.name) :][: item.size]
        text = item.kind.is_text
        values[item.name] = part.decode("latin-1") if text else int.from_bytes(part, "big")
    return values


@dataclass
class Expected:
    """What a datagram gives: by the octet of the payload that completes it, or as a whole."""

    messages: list = field(default_factory=list)  # (octet, type, values, sequence)
    lookups: list = field(default_factory=list)  # (octet, reference)
    new_lookups: list = field(default_factory=list)
    gap_sequences: list = field(default_factory=list)
    gap_in_header: bool = False
    counts: dict = field(default_factory=dict)


class Reader:
    """Reads datagrams as a whole; remembers the session and what is due."""

    def __init__(self, *, expected: int = 1) -> None:
        self.expected, self.session = expected, None

    def read(self, payload: bytes, *, truncated: bool = False, bad: bool = False) -> Expected:
        before = self.expected, self.session
        out = Expected()
        sequence = self._read(payload, out)
        if (truncated or bad) and "duplicate_datagrams" not in out.counts:
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
            out.gap_in_header = True
            expected = first
        self.session = header["session"]
        if announced in (0, 0xFFFF):
            count("ends_of_session" if announced else "heartbeats")
            announced = 0
        if first > expected:
            count("gaps")
            count("missed_messages", min(first - expected, 2**32 - 1))
            out.gap_sequences.append(first)
            out.gap_in_header = True
        if announced and first + announced <= expected:
            count("duplicate_datagrams")
            self.expected = expected
            return first
        self.expected = max(expected, first + announced)
        had = max(expected - first, 0) if announced else 0
        count("won_a", int(announced > 0))
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
            values = read_fields(message, octets)
            count("messages")
            count("tracked_messages", values["stock_locate"] in TRACKED)
            out.messages.append((last, message.type, values, sequence))


def pick(values, names, default=None):
    return next((values[name] for name in names if name in values), default)


def message_facts(type_, values, sequence, stamp) -> dict:
    """The fields of a Message that the kind has."""
    facts = {
        "kind": KINDS[type_].value,
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
    if KINDS[type_].name in CODED and values.get("market_code", "Q") == "Q":
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
        self.simulated, self.seen = build(width), Seen()
        self.dut = self.simulated.dut

    def run(self, testbench) -> None:
        async def process(ctx):
            self.ctx = ctx
            while not ctx.get(self.dut.feed.ready & self.dut.hold.ready):
                await self.tick()
            for locate, symbol in TRACKED.items():
                await self.track(locate, symbol, 1)
            await testbench(self)
            await self.quiet(8)

        self.simulated.run(process)

    async def track(self, locate, symbol, tracked) -> None:
        feed = self.dut.feed
        self.ctx.set(feed.write, 1)
        self.ctx.set(feed.write_locate, locate)
        self.ctx.set(feed.write_symbol, symbol)
        self.ctx.set(feed.write_tracked, tracked)
        await self.quiet(1)
        self.ctx.set(feed.write, 0)

    async def tick(self) -> None:
        if self.ctx.get(self.dut.anything):
            self.note()
        await self.ctx.tick()
        self.cycle += 1

    def note(self) -> None:
        ctx, feed, seen = self.ctx, self.dut.feed, self.seen
        if ctx.get(feed.message.valid):
            payload = feed.message.payload
            values = {name: ctx.get(payload[name]) for name, _ in payload.shape()}
            seen.messages[self.cycle] = {
                name: getattr(value, "value", value) for name, value in values.items()
            }
        for lookup, near, noted in (
            (feed.lookup, feed.near, seen.lookups),
            (feed.lookup_new, feed.near_new, seen.new_lookups),
        ):
            if ctx.get(lookup.valid):
                assert ctx.get(near)
                noted[self.cycle] = ctx.get(lookup.payload.reference)
        assert not (ctx.get(feed.near) and ctx.get(feed.near_new))
        if ctx.get(feed.gap):
            seen.gaps[self.cycle] = ctx.get(feed.gap_sequence)
        for part in (feed, self.dut.hold):
            for name in part.COUNTERS:
                amount = ctx.get(getattr(part, name))
                if amount:
                    seen.counts[name] = seen.counts.get(name, 0) + amount

    async def quiet(self, cycles: int) -> None:
        if cycles:
            self.ctx.set(self.dut.octets.valid, 0)
        for _ in range(cycles):
            await self.tick()

    async def send(self, frame: bytes, *, restart_at: int = -1) -> list[int]:
        """Returns for each octet of the frame the cycle in which it was on rx.

        The host restarts the feed in the cycle of word `restart_at`.
        """
        octets, cycles = self.dut.octets, []
        for number, at in enumerate(range(0, len(frame), self.width)):
            await self.quiet(self.idle() if self.idle else 0)
            part = frame[at : at + self.width]
            word = {
                "data": int.from_bytes(part, "little"),
                "count": len(part),
                "first": at == 0,
                "last": at + self.width >= len(frame),
            }
            self.ctx.set(octets.payload, word)
            if not self.ctx.get(octets.valid):
                self.ctx.set(octets.valid, 1)
            if restart_at >= 0:
                self.ctx.set(self.dut.feed.restart, number == restart_at)
            cycles += [self.cycle] * len(part)
            await self.tick()
        return cycles

    async def microseconds(self, count: int) -> None:
        """So many of them pass, in as many cycles."""
        self.ctx.set(self.dut.feed.tick, 1)
        await self.quiet(count)
        self.ctx.set(self.dut.feed.tick, 0)

    async def restart(self, sequence: int) -> None:
        self.ctx.set(self.dut.feed.start_sequence, sequence)
        self.ctx.set(self.dut.feed.restart, 1)
        await self.quiet(1)
        self.ctx.set(self.dut.feed.restart, 0)


@dataclass
class Sent:
    """A frame to send, and what Receive takes of it."""

    frame: bytes
    payload: bytes
    offset: int
    truncated: bool = False
    bad: bool = False


def sound(payload: bytes, *, tagged: bool = False) -> Sent:
    return Sent(make_frame(payload, tagged=tagged), payload, 46 if tagged else 42)


def damaged(payload: bytes, *, at: int = -1, tagged: bool = False) -> Sent:
    """A frame with a wrong bit: in its FCS, or in octet `at` of the payload."""
    offset = 46 if tagged else 42
    frame = bytearray(make_frame(payload, tagged=tagged))
    frame[offset + at if at >= 0 else -1] ^= 4
    return Sent(bytes(frame), bytes(frame[offset : offset + len(payload)]), offset, bad=True)


def lying(payload: bytes, *, missing: int, tagged: bool = False) -> Sent:
    """A frame with a right FCS whose lengths speak of `missing` octets more than it has."""
    offset = 46 if tagged else 42
    length = len(payload) + missing
    frame = make_frame(payload, tagged=tagged, total_length=28 + length)
    taken = frame[offset : offset + length]
    return Sent(frame, taken, offset, truncated=offset + length + 4 > len(frame))


def check(width, script, *, idle=None, start=None, reader=None) -> Seen:
    """Sends what `script` holds and compares everything that comes of it, to the cycle."""
    bench = Bench(width, idle=idle)
    reader = reader or Reader()
    windows = []

    async def testbench(bench):
        if start is not None:
            await bench.restart(start)
            reader.expected = start
        for sent in script:
            expected = reader.read(sent.payload, truncated=sent.truncated, bad=sent.bad)
            windows.append((sent, expected, await bench.send(sent.frame)))

    bench.run(testbench)
    messages, lookups, new_lookups, counts = {}, {}, {}, {}
    for sent, expected, cycles in windows:
        on_rx = cycles[sent.offset :]
        for octet, type_, values, sequence in expected.messages:
            facts = message_facts(type_, values, sequence, on_rx[octet])
            messages[on_rx[octet] + Feed.LATENCY] = facts
        lookups |= {on_rx[octet]: reference for octet, reference in expected.lookups}
        new_lookups |= {on_rx[octet]: reference for octet, reference in expected.new_lookups}
        for name, amount in expected.counts.items():
            counts[name] = counts.get(name, 0) + amount
    seen = bench.seen
    assert seen.lookups == lookups
    assert seen.new_lookups == new_lookups
    assert seen.messages.keys() == messages.keys()
    for cycle, facts in messages.items():
        assert {name: seen.messages[cycle][name] for name in facts} == facts
    assert seen.counts == counts
    check_gaps(seen, windows, messages)
    return seen


def check_gaps(seen, windows, messages) -> None:
    """Each gap must show in its datagram, and one in the header before the first message."""
    begins = [cycles[sent.offset] for sent, _, cycles in windows] + [1 << 60]
    for number, (sent, expected, cycles) in enumerate(windows):
        window = range(begins[number] + 1, begins[number + 1] + 1)
        gaps = {cycle: gap for cycle, gap in seen.gaps.items() if cycle in window}
        assert set(gaps.values()) == {gap % 2**32 for gap in expected.gap_sequences}
        if gaps and not expected.gap_in_header:
            assert max(gaps) <= cycles[-1] + Receive.VERDICT_LATENCY + Mold.FAULT_LATENCY
        if sent.truncated and expected.gap_sequences:
            assert cycles[-1] + Receive.CUT_LATENCY in gaps
        if expected.gap_in_header:
            shows = cycles[sent.offset + HEADER_LAST] + Mold.GAP_LATENCY
            assert shows in gaps and (sent.truncated or min(gaps) == shows)
            assert all(cycle not in messages for cycle in range(window.start, min(gaps)))


# The tests


def random_script(generator, count, *, longest=6, types=None, first=1):
    script, sequence = [], first
    for _ in range(count):
        size = generator.randrange(1, longest + 1)
        messages = [
            make_message(generator, generator.choice(types) if types else None) for _ in range(size)
        ]
        payload = make_datagram(sequence, messages)
        script.append(sound(payload, tagged=generator.random() < 0.5))
        sequence += size
    return script


@pytest.mark.parametrize("width", ALIGNED)
def test_messages_at_any_alignment_arrive_one_cycle_after_their_last_octet(width, generator):
    assert Feed.LATENCY == 1
    seen = check(width, random_script(generator, 20 // SHARE[width]))
    assert seen.counts["messages"] > 20 / SHARE[width]
    assert 0 < seen.counts["tracked_messages"] < seen.counts["messages"]
    assert not seen.gaps


@pytest.mark.parametrize("width", ALIGNED)
def test_idle_cycles_change_nothing(width, generator):
    def idle():
        return generator.choice((0, 0, 1, 3))

    check(width, random_script(generator, 12 // SHARE[width]), idle=idle)


@pytest.mark.parametrize("width", ALIGNED)
def test_every_type_in_every_alignment_is_decoded(width, generator):
    script, sequence = [], 1
    for tagged, group in ((False, sorted(itch50.MESSAGES)), (True, list(itch50.BOOK_TYPES))):
        for shift in range(width):
            filler = bytes(12 + shift)
            messages = [make_message(generator, type_) for type_ in group]
            script.append(sound(make_datagram(sequence, [filler, *messages]), tagged=tagged))
            sequence += 1 + len(messages)
    seen = check(width, script)
    assert seen.counts["unknown_types"] == 2 * width


@pytest.mark.parametrize("width", ALIGNED)
def test_back_to_back_deletes_are_looked_up_in_the_cycle_of_octet_18_at_full_line_rate(
    width, generator
):
    deletes = [make_message(generator, "D") for _ in range(40)]
    script = [sound(make_datagram(1 + n, deletes[n : n + 20])) for n in range(0, 40, 20)]
    seen = check(width, script)
    cycles = sorted(seen.lookups)
    # check() holds each lookup against the cycle of octet 18, here also the end of the message.
    assert len(cycles) == 40 and sorted(seen.messages) == [cycle + 1 for cycle in cycles]
    assert min(b - a for a, b in pairwise(cycles)) == 21 // width


@pytest.mark.parametrize("width", ALIGNED)
def test_a_datagram_cut_off_at_any_octet_is_bad_and_the_next_one_is_taken(width, generator):
    script, sequence = [], 1
    for tagged in TAGS[width]:
        messages = [make_message(generator, type_) for type_ in ("S", "D")[width == 1 :]]
        for cut in range(len(make_datagram(1, messages))):
            script.append(sound(make_datagram(sequence, messages)[:cut], tagged=tagged))
            sequence += len(messages) if cut >= 20 else 0
            script.append(sound(make_datagram(sequence, messages[-1:]), tagged=tagged))
            sequence += 1
    seen = check(width, script)
    assert seen.counts["bad_datagrams"] == len(script) / 2
    assert "gaps" not in seen.counts


@pytest.mark.parametrize("width", WIDTHS)
def test_a_count_that_lies_is_a_bad_datagram_and_its_messages_pass(width, generator):
    script, sequence = [], 1
    for tagged in TAGS[width]:
        for count in (1, 2, 4, 200):
            messages = [make_message(generator, "D") for _ in range(3)]
            script.append(sound(make_datagram(sequence, messages, count=count), tagged=tagged))
            sequence += count
        script.append(sound(make_datagram(sequence, messages), tagged=tagged))
        sequence += len(messages)
    seen = check(width, script)
    assert seen.counts["bad_datagrams"] == 4 * len(TAGS[width])
    assert seen.counts["messages"] == len(TAGS[width]) * (1 + 2 + 3 + 3 + 3)


@pytest.mark.parametrize("width", WIDTHS)
def test_octets_left_over_make_a_bad_datagram_of_any_kind(width, generator):
    script, sequence = [], 1
    for tagged in TAGS[width]:
        for tail in (b"\0", b"\0\0", bytes(3), make_block(bytes(6)), bytes(12), bytes(40)):
            for messages, count in (([make_message(generator, "X")], 1), ([], 0), ([], 0xFFFF)):
                payload = make_datagram(sequence, messages, count=count, tail=tail)
                script.append(sound(payload, tagged=tagged))
                sequence += len(messages)
    seen = check(width, script)
    assert seen.counts["bad_datagrams"] == len(script)
    assert seen.counts["heartbeats"] == seen.counts["ends_of_session"] == len(script) / 3
    assert "bad_blocks" not in seen.counts


@pytest.mark.parametrize("width", WIDTHS)
def test_a_block_length_that_lies_ends_in_one_cause_and_the_next_datagram_is_taken(
    width, generator
):
    script, sequence = [], 1
    for tagged in TAGS[width]:
        for length in (0, 1, 5, 6, 7, 11, 18, 20, 60, 0x4000, 0x8000, 0xFFFE, 0xFFFF):
            delete, add = make_message(generator, "D"), make_message(generator, "A")
            payload = make_datagram(sequence, [delete, delete, add])
            at = 20 + 2 + len(delete)
            payload = payload[:at] + length.to_bytes(2, "big") + payload[at + 2 :]
            script.append(sound(payload, tagged=tagged))
            script.append(sound(make_datagram(sequence + 3, [add]), tagged=tagged))
            sequence += 4
    seen = check(width, script)
    assert seen.counts["bad_blocks"] >= 3 * len(TAGS[width])
    assert seen.counts["bad_datagrams"] >= 4 * len(TAGS[width])


@pytest.mark.parametrize("width", WIDTHS)
def test_the_shortest_blocks_are_skipped_as_unknown_or_of_wrong_length(width, generator):
    script, sequence = [], 1
    for tagged in TAGS[width]:
        for shift in range(width):
            # A system event of 6 octets, then one of 12: the second must not vouch for the first.
            event = make_message(generator, "S")
            parts = [bytes(12 + shift), event[:6], event, event[:7], b"?" * 7, event, b"D" * 6]
            parts += [b"z" * 6, b"y" * 6, b"A" * 8, make_message(generator, "E"), b"S" * 6]
            script.append(sound(make_datagram(sequence, parts), tagged=tagged))
            sequence += len(parts)
    seen = check(width, script)
    assert seen.counts["unknown_types"] == len(script) * 4
    assert seen.counts["length_mismatches"] == len(script) * 5
    assert seen.counts["messages"] == len(script) * 3


@pytest.mark.parametrize("width", WIDTHS)
def test_a_wrong_length_is_a_gap_only_for_a_type_that_changes_a_book(width, generator):
    script, sequence = [], 1
    types = [*itch50.MESSAGES] if width == 8 else ["S", "Q", *itch50.BOOK_TYPES]
    for type_ in types:
        message = make_message(generator, type_)
        parts = [message[:-1], make_message(generator, "D"), message + b"\0", message, message[:8]]
        script.append(sound(make_datagram(sequence, parts)))
        sequence += len(parts)
    seen = check(width, script)
    assert seen.counts["length_mismatches"] == 3 * len(types)
    assert len(seen.gaps) == 3 * len(itch50.BOOK_TYPES)


@pytest.mark.parametrize("width", WIDTHS)
def test_unknown_types_are_skipped_by_length_and_counted(width, generator):
    unknown = [octet for octet in range(256) if chr(octet) not in itch50.MESSAGES]
    parts = []
    for octet in generator.sample(unknown, 32 // SHARE[width]):
        parts.append(bytes([octet]) + generator.randbytes(generator.randrange(5, 60)))
        parts.append(make_message(generator, "U"))
    seen = check(width, [sound(make_datagram(1, parts))])
    assert seen.counts["unknown_types"] == seen.counts["messages"] == 32 // SHARE[width]
    assert not seen.gaps


@pytest.mark.parametrize("width", WIDTHS)
def test_an_order_that_is_neither_to_buy_nor_to_sell_is_a_gap(width, generator):
    parts = [
        make_message(generator, "A", side="X"),
        make_message(generator, "A", side="B"),
        make_message(generator, "F", side="b"),
        make_message(generator, "P", side="X"),
        make_message(generator, "F", side="S"),
    ]
    seen = check(width, [sound(make_datagram(1, parts))])
    assert seen.counts["bad_sides"] == 2 and seen.counts["messages"] == 3


@pytest.mark.parametrize("width", WIDTHS)
def test_gaps_duplicates_and_overlaps_follow_the_sequence_past_32_bits(width, generator):
    stream = [make_message(generator, generator.choice("SDAXUC")) for _ in range(60)]
    first = 2**32 - 30

    def part(begin, end, **options):
        payload = make_datagram(first + begin, stream[begin:end], **options)
        return sound(payload, tagged=generator.random() < 0.5)

    script = [
        part(0, 3),
        part(0, 3),  # a duplicate
        part(1, 2),  # an older one
        part(2, 6),  # one of four was had
        part(3, 7),  # three of four
        part(9, 10),  # 2 missed
        part(7, 9),  # too late
        part(10, 30),
        part(30, 34),  # past 2**32
        part(28, 36),
        part(34, 35),
        part(38, 41),
        part(41, 41),  # heartbeats
        part(41, 41, count=0xFFFF),
        part(43, 43),  # 2 missed
        part(40, 40),  # an old heartbeat
        part(45, 45, count=0xFFFF),
        part(45, 60),
    ]
    seen = check(width, script, start=first)
    assert seen.counts["gaps"] == 4 and seen.counts["missed_messages"] == 2 + 2 + 2 + 2
    assert seen.counts["duplicate_datagrams"] == 4
    assert seen.counts["duplicate_messages"] == 1 + 3 + 6
    assert seen.counts["heartbeats"] == 3 and seen.counts["ends_of_session"] == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_sequence_numbers_are_compared_in_all_their_64_bits(width, generator):
    delete = make_message(generator, "D")
    numbers = (1 << 40, 2 << 40, (2 << 40) + 1, 5, 1 << 63, (1 << 63) + 1, 1 << 62, 2**64 - 9)
    script = [sound(make_datagram(number, [delete])) for number in numbers]
    seen = check(width, script)
    assert seen.counts["gaps"] == 4 and seen.counts["duplicate_datagrams"] == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_a_duplicate_is_not_looked_into(width, generator):
    delete = make_message(generator, "D")
    script = [sound(make_datagram(1, [delete] * 9))]
    for tagged in TAGS[width]:
        script += [
            sound(make_datagram(2, [], count=3), tagged=tagged),
            sound(make_datagram(2, [delete], count=3, tail=b"\0\0\0"), tagged=tagged),
            sound(make_datagram(2, [bytes(3), delete]), tagged=tagged),
            sound(make_datagram(2, [b"D" * 6, delete]), tagged=tagged),
        ]
    seen = check(width, [*script, sound(make_datagram(10, [delete]))])
    assert seen.counts == {
        "messages": 10,
        "duplicate_datagrams": 4 * len(TAGS[width]),
        "won_a": 2,
        **({"tracked_messages": 10} if "tracked_messages" in seen.counts else {}),
    }
    assert not seen.gaps


@pytest.mark.parametrize("width", WIDTHS)
def test_another_session_is_a_gap_and_counts_on_from_its_own_number(width, generator):
    delete = make_message(generator, "D")
    script = [
        sound(make_datagram(1, [delete], session="FIRST")),
        sound(make_datagram(1, [delete, delete], session="SECOND"), tagged=True),
        sound(make_datagram(3, [delete], session="SECOND")),
        sound(make_datagram(9, [], session="THIRD")),
        sound(make_datagram(9, [delete], session="THIRD")),
    ]
    seen = check(width, script)
    assert seen.counts["session_changes"] == 2 and "gaps" not in seen.counts
    assert sorted(seen.gaps.values()) == [1, 9]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_damaged_header_does_not_decide_what_is_due_next(width, generator):
    delete = make_message(generator, "D")
    script, sequence = [sound(make_datagram(1, [delete]))], 2
    for tagged in TAGS[width]:
        for at in (-1, 0, 9, 10, 14, 17, 18, 19, 20, 21, 25):
            payload = make_datagram(sequence, [delete, delete])
            script += [damaged(payload, at=at, tagged=tagged), sound(payload, tagged=tagged)]
            sequence += 2
        script += [damaged(make_datagram(sequence, [])), sound(make_datagram(sequence, []))]
        script += [damaged(b"short"), sound(make_datagram(sequence, [delete]))]
        sequence += 1
    seen = check(width, script)
    assert seen.counts["messages"] >= 1 + len(TAGS[width]) * (11 * 2 + 1)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_damaged_first_datagram_does_not_decide_the_session(width, generator):
    delete = make_message(generator, "D")
    script = [
        damaged(make_datagram(1, [delete]), at=0),
        sound(make_datagram(1, [delete])),
        sound(make_datagram(2, [delete])),
    ]
    seen = check(width, script)
    assert "session_changes" not in seen.counts


@pytest.mark.parametrize("width", WIDTHS)
def test_a_frame_shorter_than_its_lengths_say_is_a_gap(width, generator):
    script, sequence = [], 1
    for tagged in TAGS[width]:
        for missing in (0, 1, 2, 3, 4, 5, 9, 30, 1000):
            messages = [make_message(generator, "D"), make_message(generator, "A")]
            whole = make_datagram(sequence, messages)
            script.append(lying(whole[: len(whole) - missing], missing=missing, tagged=tagged))
            # The count cannot be seen where nothing but the header's place is left.
            sequence += 2 if len(script[-1].payload) >= 20 else 0
            script.append(sound(make_datagram(sequence, [messages[0]]), tagged=tagged))
            sequence += 1
    seen = check(width, script)
    assert seen.counts["messages"] >= len(script) / 2 and len(seen.gaps) >= 8 * len(TAGS[width])


@pytest.mark.parametrize("width", WIDTHS)
def test_a_restart_forgets_session_and_sequence_and_drops_the_datagram_on_its_way(width, generator):
    delete = make_message(generator, "D")
    frame = make_frame(make_datagram(1, [delete] * 5, session="OLD"))
    bench = Bench(width)
    delays = range(42 // width, len(frame) // width, 13 if width == 1 else 1)

    async def testbench(bench):
        for delay in delays:
            await bench.restart(1)
            bench.seen.messages.clear()
            feed = bench.dut.feed
            bench.ctx.set(feed.start_sequence, 77)
            cycles = await bench.send(frame, restart_at=delay)
            bench.ctx.set(feed.restart, 0)
            await bench.quiet(4)
            limit = cycles[delay * width] + Feed.LATENCY
            assert all(cycle <= limit for cycle in bench.seen.messages)
            assert bench.ctx.get(feed.expected) == 77
            bench.seen.messages.clear()
            await bench.send(make_frame(make_datagram(77, [delete], session="NEW")))
            await bench.quiet(3)
            assert len(bench.seen.messages) == 1
            assert bench.ctx.get(feed.expected) == 78

    bench.run(testbench)
    assert "session_changes" not in bench.seen.counts and "gaps" not in bench.seen.counts


@pytest.mark.parametrize("width", WIDTHS)
def test_the_host_can_track_a_locate_otherwise_or_no_longer(width, generator):
    bench = Bench(width)
    locates = (3, 9, 4, 3 + 16)

    async def testbench(bench):
        assert len(bench.seen.messages) == 0
        for sequence, writes in ((1, ()), (5, ((3, 1, 1), (9, 0, 0), (4, 3, 1), (3 + 16, 2, 1)))):
            for write in writes:
                await bench.track(*write)
            deletes = [make_message(generator, "D", stock_locate=locate) for locate in locates]
            await bench.send(make_frame(make_datagram(sequence, deletes)))
            await bench.quiet(3)

    bench.run(testbench)
    seen = list(bench.seen.messages.values())
    assert [message["tracked"] for message in seen] == [1, 1, 0, 0, 1, 0, 1, 0]
    symbols = [message["symbol"] for message in seen if message["tracked"]]
    assert symbols == [0, 4, 1, 3]


@pytest.mark.parametrize("width", ALIGNED)
def test_random_streams_with_everything_that_can_go_wrong(width, generator):
    script, sequence = [], 1
    for _ in range(60 // SHARE[width]):
        size = generator.randrange(5)
        messages = [make_message(generator, generator.choice("SDAUXEPH")) for _ in range(size)]
        step = generator.choice((0, 0, 0, 0, 1, 3, -1, -2))
        tagged = generator.random() < 0.5
        first = max(sequence + step, 0)
        payload = make_datagram(first, messages, session=generator.choice((SESSION, SESSION, "Z")))
        mutation = generator.randrange(8)
        if mutation == 0:
            payload = payload[: generator.randrange(len(payload) + 1)]
        elif mutation == 1:
            octets = bytearray(payload)
            octets[generator.randrange(18, len(payload))] ^= 1 << generator.randrange(8)
            payload = bytes(octets)
        elif mutation == 2:
            payload += generator.randbytes(generator.randrange(20))
        if mutation == 3:
            at = generator.randrange(-1, len(payload))
            script.append(damaged(payload, at=at, tagged=tagged))
        elif mutation == 4:
            missing = generator.randrange(1, 9)
            script.append(lying(payload, missing=missing, tagged=tagged))
        else:
            script.append(sound(payload, tagged=tagged))
            sequence = first + size
    check(width, script, idle=lambda: generator.random() < 0.1)


# Two lines


A, B, REPLY = 0, 1, 2
GAP_WAIT, LINE_TIMEOUT = 20, 200
STATES = ("known", "ended", "waiting", "recovering")
BEYOND = 50
"""Octets that a truncated datagram is said to have and has not."""


@dataclass(frozen=True)
class Arrival:
    """A datagram on a line, some microseconds after the one before it."""

    line: int
    payload: bytes
    after: int = 0
    truncated: bool = False
    bad: bool = False
    tagged: bool = False

    def frame(self) -> bytes:
        if self.truncated:
            length = len(self.payload) + BEYOND
            return make_frame(self.payload, total_length=28 + length, line=self.line)
        frame = make_frame(self.payload, tagged=self.tagged, line=self.line)
        return frame[:-1] + bytes([frame[-1] ^ 1]) if self.bad else frame

    def taken(self) -> bytes:
        """The payload as Receive takes it: beyond a short one comes what else is in the frame."""
        return self.frame()[42:] if self.truncated else self.payload


def on(line: int, begin: int, end: int, **options) -> Arrival:
    """The messages from `begin` to `end` - 1 on a line; each has its number as reference."""
    names = ("after", "truncated", "bad", "tagged")
    keywords = {name: options.pop(name) for name in names if name in options}
    header = {"stock_locate": 3, "tracking_number": 0, "timestamp": 0}
    delete = itch50.MESSAGES["D"]
    messages = [delete.pack(**header, order_ref=number) for number in range(begin, end)]
    return Arrival(line, make_datagram(begin, messages, **options), **keywords)


@dataclass
class Outcome:
    """What two lines came to: message numbers, and whether there was a gap, by arrival."""

    messages: list = field(default_factory=list)
    gaps: list = field(default_factory=list)
    counts: dict = field(default_factory=dict)
    expected: int = 0


def play(
    width,
    arrivals,
    *,
    gap_wait=GAP_WAIT,
    line_timeout=LINE_TIMEOUT,
    recovery_wait=0,
    start=1,
    wait=False,
) -> Outcome:
    """Sends what arrives to gateware and model; they must agree after each datagram.

    With `wait` for the FCS, what is damaged must not reach the feed at all. `None` among the
    arrivals says that nothing is asked for any more.
    """
    waits = {"gap_wait": gap_wait, "line_timeout": line_timeout, "recovery_wait": recovery_wait}
    model = FeedModel(symbols=TRACKED, expected=start, **waits)
    bench, outcome, dropped = Bench(width), Outcome(), []

    async def agree(bench, items, where, held=0):
        await bench.quiet(Mold.FAULT_LATENCY + Receive.VERDICT_LATENCY)
        if wait:
            await bench.quiet(Hold.HELD_LATENCY + held // width)
        get, feed, seen = bench.ctx.get, bench.dut.feed, bench.seen
        numbers = [item.message.reference for item in items if isinstance(item, Delivered)]
        lost = any(isinstance(item, Gap) for item in items)
        assert [message["reference"] for message in seen.messages.values()] == numbers, where
        assert bool(seen.gaps) == lost, where
        assert get(feed.expected) == model.expected, where
        for name in STATES:
            assert get(getattr(feed, name)) == getattr(model, name), (name, where)
        assert get(feed.alive) == model.alive[A] | model.alive[B] << 1, where
        seen.messages.clear()
        seen.gaps.clear()
        return numbers, lost

    async def testbench(bench):
        await bench.restart(start)
        bench.ctx.set(bench.dut.hold.wait, wait)
        for name, microseconds in waits.items():
            bench.ctx.set(getattr(bench.dut.feed, name), microseconds)
        for number, arrival in enumerate(arrivals):
            items = []
            if arrival is None:
                bench.ctx.set(bench.dut.feed.give_up, 1)
                await bench.quiet(1)
                bench.ctx.set(bench.dut.feed.give_up, 0)
                _, lost = await agree(bench, model.give_up(), f"{number}: given up")
                outcome.gaps += [number] if lost else []
                continue
            if arrival.after:
                await bench.microseconds(arrival.after)
                for _ in range(arrival.after):
                    items += model.tick()
                _, lost = await agree(bench, items, f"before {number}: {arrival}")
                outcome.gaps += [f"before {number}"] if lost else []
            await bench.send(arrival.frame())
            items = []
            if wait and (arrival.bad or arrival.truncated):
                dropped.append(number)
            else:
                items = model.datagram(
                    arrival.taken(),
                    line=arrival.line,
                    truncated=arrival.truncated,
                    bad_fcs=arrival.bad,
                )
            held = len(arrival.frame())
            numbers, lost = await agree(bench, items, f"{number}: {arrival}", held)
            outcome.messages += numbers
            outcome.gaps += [number] if lost else []

    bench.run(testbench)
    expected = model.counters | {"dropped": len(dropped)}
    assert bench.seen.counts == {name: n for name, n in expected.items() if n}
    outcome.counts, outcome.expected = bench.seen.counts, model.expected
    return outcome


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_copy_of_each_message_wins_whatever_the_skew_and_the_packing(width):
    lead = [on(A, n, n + 3, after=1) for n in range(1, 31, 3)]
    late = [on(B, n, min(n + 7, 41), after=1, tagged=n > 20) for n in range(1, 41, 7)]
    outcome = play(width, [*lead, *late], line_timeout=10_000)
    assert outcome.messages == list(range(1, 41)) and not outcome.gaps
    assert outcome.counts["won_a"] == 10 and outcome.counts["won_b"] == 2
    assert outcome.counts["duplicate_datagrams"] == 4
    assert outcome.counts["duplicate_messages"] == 30 - 28


@pytest.mark.parametrize("width", WIDTHS)
def test_what_one_line_loses_the_other_brings_and_no_book_is_lost(width):
    outcome = play(
        width,
        [
            on(B, 1, 2),
            on(A, 1, 5),
            on(A, 10, 12),  # 5 to 9 lost
            on(A, 12, 13, after=3),
            on(B, 3, 7, after=GAP_WAIT - 4),
            on(A, 13, 14),  # now 7 is waited for
            on(B, 7, 14, after=GAP_WAIT - 1),
            on(A, 14, 15),
        ],
    )
    assert outcome.messages == list(range(1, 15)) and not outcome.gaps
    assert outcome.counts["held_datagrams"] == 3 and outcome.counts["filled_b"] == 2
    assert "gaps" not in outcome.counts and "filled_a" not in outcome.counts


@pytest.mark.parametrize("width", WIDTHS)
def test_what_both_lines_lose_is_a_gap_as_soon_as_both_have_passed_it(width):
    outcome = play(
        width, [on(A, 1, 3), on(B, 1, 3), on(A, 5, 7), on(B, 4, 6, after=2), on(A, 7, 8)]
    )
    assert outcome.messages == [1, 2, 4, 5] and outcome.gaps == [3]
    # 6 was held on A, and A is waited for no more than B is.
    assert outcome.counts["missed_messages"] == 1 and outcome.counts["held_datagrams"] == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_a_wait_that_ends_in_vain_is_a_gap_then_and_the_next_datagram_is_taken(width):
    outcome = play(
        width,
        [
            on(B, 1, 2),
            on(A, 1, 2),
            on(A, 3, 4),
            on(A, 4, 5, after=GAP_WAIT - 1),
            on(A, 5, 6, after=1),
            on(A, 6, 7),
            on(B, 2, 7),  # too late
        ],
    )
    assert outcome.messages == [1, 5, 6] and outcome.gaps == ["before 4", 4]
    assert outcome.counts["waits_expired"] == outcome.counts["gaps"] == 1
    assert outcome.counts["missed_messages"] == 3


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("gap_wait", "line_timeout"), [(0, LINE_TIMEOUT), (GAP_WAIT, 0)])
def test_with_nothing_to_wait_for_a_jump_is_a_gap_at_once(width, gap_wait, line_timeout):
    arrivals = [on(B, 1, 2), on(A, 1, 2), on(A, 3, 4)]
    outcome = play(width, arrivals, gap_wait=gap_wait, line_timeout=line_timeout)
    assert outcome.messages == [1, 3] and outcome.gaps == [2]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dead", [A, B])
def test_either_line_may_die_and_the_other_is_then_alone(width, dead):
    living = 1 - dead
    arrivals = [on(dead, 1, 2), on(living, 1, 3)]
    arrivals += [on(living, n, n + 1, after=LINE_TIMEOUT // 4) for n in (3, 4, 5, 6)]
    arrivals += [on(living, 8, 9), on(dead, 8, 9), on(dead, 10, 11), on(living, 9, 11)]
    outcome = play(width, arrivals)
    assert outcome.messages == [1, 2, 3, 4, 5, 6, 8, 9, 10] and outcome.gaps == [6]
    assert outcome.counts[f"lost_{'ab'[dead]}"] == 1
    assert outcome.counts["held_datagrams"] == outcome.counts[f"filled_{'ab'[living]}"] == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_a_heartbeat_ahead_of_the_other_line_is_held_too_and_keeps_its_line_alive(width):
    arrivals = [on(A, 1, 2), on(B, 1, 2), on(A, 4, 4), on(B, 2, 4)]
    arrivals += [on(B, 4, 4, after=LINE_TIMEOUT - 1) for _ in range(3)]
    outcome = play(width, [*arrivals, on(A, 6, 7)])
    assert outcome.messages == [1, 2, 3] and not outcome.gaps
    assert outcome.counts["heartbeats"] == 4 and outcome.counts["held_datagrams"] == 2
    assert outcome.counts["lost_a"] == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_another_session_on_one_line_is_left_out_while_the_other_is_alive_in_the_present_one(width):
    old = {"session": "YESTERDAY"}
    arrivals = [on(A, 1, 3), on(B, 1, 3)]
    arrivals += [on(B, 500, 502, **old), on(A, 3, 4), on(B, 502, 503, **old), on(B, 3, 5)]
    outcome = play(width, arrivals)
    assert outcome.messages == [1, 2, 3, 4] and not outcome.gaps
    assert outcome.counts["other_sessions"] == 2 and "session_changes" not in outcome.counts
    assert outcome.counts["lost_b"] == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_of_what_is_left_out_is_due_however_near_its_number_is(width):
    # In the lower 16 bits, which are compared first, 0xFFFF is 1 behind 0. Messages as short as
    # these pass before the rest of the datagram is dropped.
    short = Arrival(A, make_datagram(0xFFFF, [b"D" * 6] * 4))
    arrivals = [on(B, 0, 0), on(A, 0, 0), short, on(B, 0, 9)]
    arrivals += [on(A, 5, 9), on(B, 7, 12, session="OTHER"), on(B, 9, 10)]
    outcome = play(width, arrivals, start=0)
    assert outcome.messages == list(range(10)) and not outcome.gaps
    assert outcome.counts["held_datagrams"] == outcome.counts["other_sessions"] == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_both_lines_change_session_one_after_the_other_with_one_gap(width):
    new = {"session": "TOMORROW"}
    arrivals = [on(A, 1, 3), on(B, 1, 3)]
    arrivals += [on(A, 1, 2, **new), on(B, 3, 4), on(A, 2, 3, **new)]  # A is ahead, B still old
    arrivals += [on(B, 1, 3, **new), on(A, 3, 4, **new), on(B, 3, 4, **new)]
    outcome = play(width, arrivals)
    assert outcome.messages == [1, 2, 3, 1, 2, 3] and outcome.gaps == [5]
    assert outcome.counts["session_changes"] == 1 and outcome.counts["other_sessions"] == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_a_session_that_has_ended_gives_way_to_the_next_on_the_first_line_that_has_it(width):
    end, new = {"count": 0xFFFF}, {"session": "TOMORROW"}
    arrivals = [on(A, 1, 3), on(B, 1, 3), on(A, 3, 3, **end), on(A, 1, 2, **new)]
    arrivals += [on(B, 3, 3, **end), on(B, 1, 3, **new), on(A, 2, 4, **new)]
    outcome = play(width, arrivals)
    assert outcome.messages == [1, 2, 1, 2, 3] and outcome.gaps == [3]
    assert outcome.counts["session_changes"] == 1
    assert outcome.counts["other_sessions"] == 1 and outcome.counts["ends_of_session"] == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_damage_to_what_is_not_looked_into_is_no_gap_and_decides_nothing(width):
    arrivals = [on(A, 1, 4), on(B, 1, 4, bad=True), on(B, 2, 4, truncated=True)]
    arrivals += [on(B, 3, 4), on(A, 6, 7, bad=True), on(A, 4, 5, bad=True), on(B, 4, 6)]
    outcome = play(width, arrivals)
    # Only what was taken of a damaged frame cannot be taken back, and comes once more.
    assert outcome.messages == [1, 2, 3, 4, 4, 5] and outcome.gaps == [5]
    assert outcome.counts["held_datagrams"] == 1


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("first", [2**32 - 4, 2**64 - 10])
def test_two_lines_go_past_the_bounds_of_32_bits_and_to_those_of_64(width, first):
    arrivals = [on(A, first, first + 2), on(B, first, first + 3)]
    arrivals += [on(A, first + 5, first + 6), on(B, first + 3, first + 9), on(A, first + 6, first)]
    arrivals += [on(B, first + 9, first + 9), on(A, first + 9, first + 9)]
    outcome = play(width, arrivals, start=first)
    assert outcome.messages == [*range(first, first + 9)] and not outcome.gaps
    assert outcome.expected == first + 9


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("missed", "told"), [(2**32 - 1, 2**32 - 1), (2**32, 2**32 - 1)])
def test_more_than_can_be_counted_is_counted_as_the_most_that_can(width, missed, told):
    outcome = play(width, [on(A, 1, 2), on(A, 2 + missed, 3 + missed)])
    assert outcome.counts["missed_messages"] == told


@pytest.mark.parametrize("width", WIDTHS)
def test_with_the_fcs_awaited_no_damage_harms_what_comes_whole_on_the_other_line(width):
    arrivals = [on(A, 1, 4), on(B, 1, 4), on(A, 4, 6, bad=True), on(B, 4, 5, truncated=True)]
    arrivals += [on(A, 6, 9), on(B, 4, 7, after=3), on(B, 9, 11, bad=True), on(A, 9, 12)]
    outcome = play(width, [*arrivals, on(B, 7, 11)], wait=True)
    assert outcome.messages == list(range(1, 11)) and not outcome.gaps
    assert outcome.counts["dropped"] == 3 and outcome.counts["filled_b"] == 2


@pytest.mark.parametrize("wait", [False, True], ids=["at once", "awaiting the FCS"])
@pytest.mark.parametrize("width", ALIGNED)
def test_whatever_becomes_of_two_lines_gateware_and_model_agree(width, wait, generator):
    outcome = play(width, sorted_arrivals(width, generator), line_timeout=60, wait=wait)
    assert outcome.counts["won_a"] + outcome.counts["won_b"] > 10 / SHARE[width]


@pytest.mark.parametrize("width", WIDTHS)
def test_what_one_line_alone_loses_comes_as_replies_and_no_book_is_lost(width):
    arrivals = [
        *(on(A, 1, 4), on(A, 6, 8), on(A, 8, 9)),
        on(REPLY, 5, 6),  # of two replies the second is first: it must come again
        *(on(REPLY, 4, 5), on(A, 9, 10), on(REPLY, 5, 7), on(REPLY, 5, 7)),
        *(on(REPLY, 7, 9), on(A, 10, 12), on(REPLY, 9, 12), on(A, 12, 13), on(REPLY, 11, 14)),
        *(on(A, 13, 15, after=300), on(A, 16, 17), on(REPLY, 15, 40), on(A, 17, 30)),
    ]
    outcome = play(width, arrivals, recovery_wait=100)
    assert outcome.messages == list(range(1, 40)) and not outcome.gaps
    assert outcome.counts["recoveries"] == outcome.counts["recovered"] == 2
    assert outcome.counts["replies_used"] == 6
    assert outcome.counts["held_datagrams"] == 6
    assert "gaps" not in outcome.counts and "waits_expired" not in outcome.counts


@pytest.mark.parametrize("width", WIDTHS)
def test_a_reply_that_never_comes_is_a_gap_when_the_wait_is_over(width):
    outcome = play(
        width,
        [
            *(on(A, 1, 2), on(A, 3, 4), on(A, 4, 5, after=99), on(A, 5, 6, after=1)),
            *(on(REPLY, 2, 5), on(A, 7, 8), on(A, 8, 9, after=100), on(A, 9, 10)),
        ],
        recovery_wait=100,
    )
    assert outcome.messages == [1, 5, 8, 9] and outcome.gaps == ["before 3", 3, "before 6", 6]
    assert outcome.counts["recoveries_given_up"] == outcome.counts["waits_expired"] == 2
    assert outcome.counts["recoveries"] == outcome.counts["gaps"] == 2


@pytest.mark.parametrize("width", [1, 8])
def test_a_loss_that_comes_in_parts_may_take_as_long_as_something_comes(width):
    parts = [on(REPLY, 2, 3, after=80), on(A, 6, 7, after=10), on(REPLY, 3, 5, after=80)]
    whole = [on(A, 1, 2), on(A, 5, 6), *parts, on(REPLY, 5, 7, after=80)]
    outcome = play(width, whole, recovery_wait=100)
    assert outcome.messages == [1, 2, 3, 4, 5, 6] and not outcome.gaps
    assert outcome.counts["recoveries"] == outcome.counts["recovered"] == 1
    # A reply of what was had already is no progress.
    stuck = [on(A, 1, 2), on(A, 5, 6), *parts, on(REPLY, 2, 5, after=80), on(A, 7, 8, after=30)]
    outcome = play(width, [*stuck, on(A, 8, 9)], recovery_wait=100)
    assert outcome.messages == [1, 2, 3, 4, 7, 8] and outcome.gaps == ["before 6", 6]
    assert outcome.counts["recoveries_given_up"] == 1


@pytest.mark.parametrize("width", [1, 8])
def test_giving_up_is_a_gap_at_once_and_what_comes_late_may_still_be_taken(width):
    outcome = play(
        width, [on(A, 1, 2), on(A, 3, 4), None, on(REPLY, 2, 4), on(A, 4, 5)], recovery_wait=100
    )
    assert outcome.messages == [1, 2, 3, 4] and outcome.gaps == [2]
    assert outcome.counts["replies_used"] == 1


@pytest.mark.parametrize("width", [1, 8])
def test_only_what_both_lines_lose_is_asked_for(width):
    arrivals = [
        *(on(A, 1, 3), on(B, 1, 3), on(A, 5, 6), on(B, 3, 6), on(A, 7, 8)),
        *(on(B, 8, 9), on(REPLY, 6, 9), on(A, 10, 11), on(B, 6, 8, after=GAP_WAIT)),
        *(on(REPLY, 9, 11), on(B, 11, 12), on(A, 11, 12)),
    ]
    outcome = play(width, arrivals, recovery_wait=1_000)
    assert outcome.messages == list(range(1, 12)) and not outcome.gaps
    assert outcome.counts["filled_b"] == 1 and outcome.counts["recoveries"] == 2


@pytest.mark.parametrize("width", [1, 8])
def test_replies_begin_no_session_and_show_no_gap(width):
    arrivals = [on(REPLY, 1, 2), on(A, 1, 2), on(REPLY, 5, 6), on(REPLY, 2, 3, session="Z")]
    outcome = play(width, [*arrivals, on(A, 2, 3)], recovery_wait=100)
    assert outcome.messages == [1, 2] and not outcome.gaps
    assert outcome.counts["other_sessions"] == 2 and outcome.counts["held_datagrams"] == 1
    assert "recoveries" not in outcome.counts


def test_a_damaged_number_decides_not_what_is_caught_up_with():
    arrivals = [on(A, 1, 2), on(A, 3, 4), on(A, 900, 901, bad=True), on(REPLY, 2, 4), on(A, 4, 5)]
    outcome = play(8, arrivals, recovery_wait=100)
    assert outcome.messages == [1, 2, 3, 4] and outcome.counts["recovered"] == 1


@pytest.mark.parametrize("width", [1, 8])
def test_whatever_becomes_of_lines_and_replies_gateware_and_model_agree(width, generator):
    arrivals = []
    for arrival in sorted_arrivals(width, generator):
        if generator.random() < 0.4:
            continue
        arrivals.append(arrival)
        if generator.random() < 0.4:
            begin = max(int.from_bytes(arrival.payload[10:18]) - generator.randrange(9), 1)
            reply = on(REPLY, begin, begin + generator.choice((0, 2, 6, 20)))
            arrivals.append(replace(reply, bad=generator.random() < 0.1))
        if generator.random() < 0.05:
            arrivals.append(None)
    outcome = play(width, arrivals, gap_wait=3, line_timeout=60, recovery_wait=30)
    if width == 8:
        assert outcome.counts["recoveries"] > 1 and outcome.counts["replies_used"] > 0


def sorted_arrivals(width, generator) -> list[Arrival]:
    """One stream on both lines: packed and delayed otherwise, with losses, damage and silence."""
    arrivals = []
    for line in (A, B):
        begin, delay, silent_until = 1, 0, 0
        while begin < 10 + 60 // SHARE[width]:
            end = begin + generator.choice((0, 1, 1, 2, 3, 5))
            if generator.random() < 0.1:
                delay = generator.choice((0, 0, 3, 15, 40))
            if generator.random() < 0.02:
                silent_until = begin + 25
            time = 4 * begin + delay
            options = {"tagged": generator.random() < 0.5}
            lot = generator.random()
            if lot < 0.04:
                options["bad"] = True
            elif lot < 0.06:
                options = {"truncated": True}
            elif lot < 0.09:
                options |= {"session": "Z", "count": generator.choice((end - begin, 0xFFFF))}
            elif lot < 0.11:
                options["count"] = 0xFFFF
            kept = lot > 0.2 or lot < 0.11
            if kept and begin >= silent_until:
                again = max(1, begin - generator.choice((0, 0, 0, 2, 9)))
                copies = generator.choice((1, 1, 1, 1, 2))
                arrivals += [(time, on(line, again, end, **options))] * copies
            begin = end + (begin == end and generator.random() < 0.3)
    arrivals.sort(key=lambda item: item[0])
    times = [time for time, _ in arrivals]
    steps = [0, *(later - earlier for earlier, later in pairwise(times))]
    return [replace(it, after=step) for step, (_, it) in zip(steps, arrivals, strict=True)]


@pytest.mark.parametrize(("symbols", "locate_bits"), [(0, 14), (4, 0), (4, 17)])
def test_impossible_parameters_are_refused(symbols, locate_bits):
    with pytest.raises(ValueError, match="must be"):
        SymbolTable(symbols=symbols, locate_bits=locate_bits)
