# amaranth: UnusedElaboratable=no
"""The order encoder's frames, read back by scapy and by the tables."""

import zlib
from dataclasses import dataclass

import pytest
from amaranth.sim import Simulator
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from tickgate.hdl.order.checksum import OnesComplementSum
from tickgate.hdl.order.encoder import FRAME_SIZE, SEGMENT_SIZE, OrderEncoder
from tickgate.spec import ouch50, soupbintcp
from tickgate.spec.ethernet import ones_complement_sum

WIDTHS = (1, 2, 4, 8)
SYMBOLS = 5
NAMES = ["AAPL", "MSFT", "A", "BRK.B", "ZVZZTEST"]
ENTER_ORDER = ouch50.INBOUND["O"]


@dataclass
class Sent:
    """A frame as it left: the cycles of its approval, first and last word, and its octets."""

    approved: int
    first: int
    last: int
    octets: bytes


def a_session(generator) -> dict:
    return {
        "destination_mac": generator.getrandbits(48),
        "source_mac": generator.getrandbits(48),
        "source_ip": generator.getrandbits(32),
        "destination_ip": generator.getrandbits(32),
        "source_port": generator.getrandbits(16),
        "destination_port": generator.getrandbits(16),
        "acknowledgement": generator.getrandbits(32),
        "window": generator.getrandbits(16),
        "time_in_force": ord(generator.choice("03")),
        "display": ord(generator.choice("YN")),
        "capacity": ord(generator.choice("AP")),
        "intermarket_sweep": ord(generator.choice("YN")),
        "cross_type": ord("N"),
        "clordid": int.from_bytes(bytes(generator.choices(b"ABCXYZ0189", k=14)), "big"),
    }


def an_order(generator) -> dict:
    return {
        "symbol": generator.randrange(SYMBOLS),
        "side": generator.getrandbits(1),
        "price": generator.choice([1, 0xFFFFFFFF, generator.getrandbits(32)]),
        "quantity": generator.choice([1, 0xFFFFFFFF, generator.getrandbits(32)]),
        "sequence": generator.getrandbits(32),
        "stamp": generator.getrandbits(16),
        "user_ref_num": generator.choice([1, 0xFFFFFFFF, generator.getrandbits(32)]),
    }


class Bench:
    """Drives an encoder a cycle at a time and keeps what it sends."""

    def __init__(self, ctx, dut) -> None:
        self.ctx, self.dut = ctx, dut
        self.cycle = 0
        self.sent: list[Sent] = []
        self._approved = None
        self._words: list[tuple[int, bytes]] = []
        self._waiting = None

    async def step(self, *, order=None, ready=True) -> None:
        """One cycle, in which `order` is approved."""
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.approved.valid, order is not None)
        if order is not None:
            assert not ctx.get(dut.busy)
            self._approved = self.cycle
            ctx.set(dut.approved.payload, order)
            ctx.set(dut.name, int.from_bytes(NAMES[ctx.get(dut.name_symbol)].ljust(8).encode()))
        ctx.set(dut.octets.ready, ready)
        in_flight = self._approved is not None
        assert ctx.get(dut.octets.valid) == in_flight
        assert ctx.get(dut.busy) == (in_flight and order is None)
        if in_flight:
            self._observe(ready)
        await ctx.tick()
        ctx.set(dut.name, 0)
        self.cycle += 1

    def _observe(self, ready) -> None:
        word = self.ctx.get(self.dut.octets.payload)
        now = (word.data, word.count, word.first, word.last)
        assert self._waiting in (None, now), "a word changed before it was transferred"
        self._waiting = None if ready else now
        assert word.first == (not self._words)
        if ready:
            octets = word.data.to_bytes(self.dut.octets.payload.data.shape().width // 8, "little")
            self._words.append((self.cycle, octets[: word.count]))
            if word.last:
                frame = b"".join(octets for _, octets in self._words)
                self.sent.append(Sent(self._approved, self._words[0][0], self.cycle, frame))
                self._approved, self._words = None, []

    async def send(self, order, *, ready=lambda: True) -> Sent:
        """Approves an order and waits for the end of its frame."""
        count = len(self.sent)
        await self.step(order=order, ready=ready())
        while len(self.sent) == count:
            await self.step(ready=ready())
        return self.sent[-1]


def simulate(width, bench_test) -> None:
    dut = OrderEncoder(width=width, symbols=SYMBOLS)

    async def testbench(ctx):
        await bench_test(ctx, dut, Bench(ctx, dut))

    simulator = Simulator(dut)
    simulator.add_clock(8e-9)
    simulator.add_testbench(testbench)
    simulator.run()


async def configure(ctx, dut, session, sequence) -> None:
    ctx.set(dut.session, session)
    ctx.set(dut.sequence_start, sequence)
    ctx.set(dut.load_sequence, 1)
    await ctx.tick()
    ctx.set(dut.load_sequence, 0)
    assert ctx.get(dut.sequence) == sequence
    await ctx.tick().repeat(dut.SETTLING - 1)


def check(octets, order, session, sequence) -> None:
    """Every octet of a frame, by readers that do not know the encoder."""
    assert len(octets) == FRAME_SIZE + 4 == 108
    assert zlib.crc32(octets[:-4]).to_bytes(4, "little") == octets[-4:]
    frame = Ether(octets[:-4])
    rebuilt = Ether(octets[:-4])
    del rebuilt[IP].chksum, rebuilt[TCP].chksum
    assert bytes(rebuilt) == octets[:-4], "a checksum is wrong"
    assert int(frame.dst.replace(":", ""), 16) == session["destination_mac"]
    assert int(frame.src.replace(":", ""), 16) == session["source_mac"]
    assert frame.type == 0x0800
    ip, tcp = frame[IP], frame[TCP]
    assert (ip.version, ip.ihl, ip.tos, ip.len, ip.id) == (4, 5, 0, 90, 0)
    assert (ip.flags, ip.frag, ip.ttl, ip.proto) == ("DF", 0, 64, 6)
    assert octets[26:30] == session["source_ip"].to_bytes(4)
    assert octets[30:34] == session["destination_ip"].to_bytes(4)
    assert (tcp.sport, tcp.dport) == (session["source_port"], session["destination_port"])
    assert (tcp.seq, tcp.ack) == (sequence, session["acknowledgement"])
    assert (tcp.dataofs, tcp.flags, tcp.window) == (5, "PA", session["window"])
    assert (tcp.reserved, tcp.urgptr) == (0, 0)
    packet = bytes(tcp.payload)
    assert len(packet) == SEGMENT_SIZE == 50
    assert soupbintcp.HEADER.unpack_from(packet) == {"length": 48, "type": "U"}
    assert ENTER_ORDER.unpack(packet[3:]) == {
        "type": "O",
        "user_ref_num": order["user_ref_num"],
        "side": "BS"[order["side"]],
        "quantity": order["quantity"],
        "symbol": NAMES[order["symbol"]],
        "price": order["price"],
        "tif": chr(session["time_in_force"]),
        "display": chr(session["display"]),
        "capacity": chr(session["capacity"]),
        "iso": chr(session["intermarket_sweep"]),
        "cross_type": chr(session["cross_type"]),
        "clordid": session["clordid"].to_bytes(14).decode(),
        "appendage_len": 0,
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_frames_are_right_to_the_last_octet_with_and_without_stalls(width, generator):

    async def venue(ctx, dut, bench):
        for _ in range(3):
            session, sequence = a_session(generator), generator.getrandbits(32)
            await configure(ctx, dut, session, sequence)
            for pace in (1.0, 0.5, 0.1, 1.0):
                order = an_order(generator)
                sent = await bench.send(order, ready=lambda pace=pace: generator.random() < pace)
                check(sent.octets, order, session, sequence)
                sequence = (sequence + 50) % 2**32
                assert ctx.get(dut.sequence) == sequence

    simulate(width, venue)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_word_leaves_with_the_approval_and_no_bubble_follows(width, generator):

    async def venue(ctx, dut, bench):
        session = a_session(generator)
        await configure(ctx, dut, session, 0xFFFF_FFFF)
        orders = [an_order(generator) for _ in range(4)]
        for order in orders:
            await bench.send(order)
        for n, (order, sent) in enumerate(zip(orders, bench.sent, strict=True)):
            assert sent.first - sent.approved == dut.LATENCY
            assert sent.last - sent.first + 1 == dut.words == 104 // width + max(1, 4 // width)
            check(sent.octets, order, session, (0xFFFF_FFFF + 50 * n) % 2**32)
        assert [sent.approved for sent in bench.sent[1:]] == [s.last + 1 for s in bench.sent[:-1]]

    simulate(width, venue)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_sequence_number_loaded_during_a_frame_is_that_of_the_next(width, generator):

    async def venue(ctx, dut, bench):
        session, order = a_session(generator), an_order(generator)
        await configure(ctx, dut, session, 1000)
        await bench.step(order=order)
        ctx.set(dut.sequence_start, 77)
        ctx.set(dut.load_sequence, 1)
        await bench.step()
        ctx.set(dut.load_sequence, 0)
        while not bench.sent:
            await bench.step()
        check(bench.sent[0].octets, order, session, 1000)
        check((await bench.send(order)).octets, order, session, 77)

    simulate(width, venue)


@pytest.mark.parametrize("width", WIDTHS)
def test_an_order_acknowledges_what_was_received_when_it_was_approved(width, generator):

    async def venue(ctx, dut, bench):
        session = a_session(generator)
        await configure(ctx, dut, session, 5)
        for n in range(4):
            order = an_order(generator)
            # It may have changed in the cycle before, and changes in the one after.
            session["acknowledgement"] = generator.getrandbits(32)
            ctx.set(dut.session.acknowledgement, session["acknowledgement"])
            await bench.step(order=order)
            ctx.set(dut.session.acknowledgement, generator.getrandbits(32))
            while len(bench.sent) == n:
                await bench.step()
            check(bench.sent[n].octets, order, session, 5 + 50 * n)

    simulate(width, venue)


def test_nothing_leaves_without_an_approval():
    async def venue(ctx, dut, bench):
        for _ in range(200):
            await bench.step()
        assert not bench.sent

    simulate(8, venue)


@pytest.mark.parametrize(("width", "symbols"), [(3, 1), (8, 0)])
def test_impossible_parameters_are_refused(width, symbols):
    with pytest.raises(ValueError, match="must be"):
        OrderEncoder(width=width, symbols=symbols)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 16, 17])
def test_words_are_added_with_every_carry_brought_back(count, generator):
    dut = OnesComplementSum(count=count)
    sets = [[0] * count, [0xFFFF] * count, [0xFFFF] + [1] * (count - 1)]
    sets += [generator.choices([0, 1, 0xFFFF, 0xFFFE, 0x8000], k=count) for _ in range(40)]
    sets += [[generator.getrandbits(16) for _ in range(count)] for _ in range(40)]
    totals = []

    async def words(ctx):
        for words in sets + [[0] * count] * dut.latency:
            ctx.set(dut.words, words)
            await ctx.tick()
            totals.append(ctx.get(dut.total))

    simulator = Simulator(dut)
    simulator.add_clock(8e-9)
    simulator.add_testbench(words)
    simulator.run()
    expected = [ones_complement_sum(b"".join(w.to_bytes(2) for w in words)) for words in sets]
    assert totals[dut.latency - 1 :][: len(sets)] == expected
