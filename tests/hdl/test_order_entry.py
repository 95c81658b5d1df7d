# amaranth: UnusedElaboratable=no

"""Orders on a live session and their fills: from approval to the wire, and into the position."""

import functools
import itertools
import random

import pytest
from amaranth.hdl import Module
from simulated import Simulated

from tickgate.hdl.eth import Receive
from tickgate.hdl.order.cancels import PACKET_SIZE
from tickgate.hdl.order.entry import OrderEntry
from tickgate.hdl.order.manager import OrderManager
from tickgate.hdl.order.tcp.sender import Sender
from tickgate.hdl.order.tcp.types import State
from tickgate.hdl.stream import Side
from tickgate.sim.model.segments import Ends, Segment, pack_frame, unpack_frame
from tickgate.sim.packets import Packets
from tickgate.spec import ouch50, soupbintcp
from tickgate.spec.ethernet import TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN

WIDTHS = (1, 4, 8)
SYMBOLS, SLOTS = 4, 4
ENDS = Ends(
    source_mac=0x02AA00000001,
    destination_mac=0x02BB00000002,
    source_ip=0x0A010203,
    destination_ip=0x0A090807,
    source_port=40001,
    destination_port=15000,
)
ISN, PEER_ISN = 0xFFFFFFE0, 0x7FFFFFFF
TEMPLATE = {
    **{name: getattr(ENDS, name) for name in ("source_mac", "destination_mac")},
    **{name: getattr(ENDS, name) for name in ("source_ip", "destination_ip")},
    **{name: getattr(ENDS, name) for name in ("source_port", "destination_port")},
    # Not for what comes from the connection.
    "acknowledgement": 0xDEADBEEF,
    "window": 1,
    "time_in_force": ord("3"),
    "display": ord("Y"),
    "capacity": ord("P"),
    "intermarket_sweep": ord("N"),
    "cross_type": ord("N"),
    "clordid": int.from_bytes(b"TICKGATE      "),
}
TIMING = {"rto_initial": 100, "rto_min": 100, "rto_max": 100, "retries": 3, "ack_delay": 2}
STAGED = 32
SIZES = {
    "ring_size": 512,
    "longest_segment": 256,
    "mss": 400,
    "window": 2048,
    # So that few orders need several segments of cancels.
    "packet_size": STAGED,
}
LAST_NUMBER = 1_000
PROMISE = 8
"""Cycles from the last octet of a fill to the position (docs/architecture.md)."""


@functools.cache
def built(width: int, sessions: int) -> tuple[OrderEntry, Simulated]:
    """An order stage beside the card's receive path, which checks the FCS for it."""
    m = Module()
    m.submodules.dut = dut = OrderEntry(
        width=width, symbols=SYMBOLS, sessions=sessions, slots=SLOTS, **SIZES
    )
    m.submodules.check = check = Receive(width=width)
    m.d.comb += [
        check.octets.valid.eq(dut.rx.valid),
        check.octets.payload.eq(dut.rx.payload),
        dut.frame_ends.eq(check.frames),
        dut.frame_good.eq(~check.fcs_errors),
    ]
    return dut, Simulated(m)


class Bench:
    """A venue that does what it is told, a cycle at a time."""

    def __init__(self, width: int, *, sessions: int = 1) -> None:
        self.dut, self._simulated = built(width, sessions)
        self.width, self.cycles, self.window = width, 0, 8000
        self.sequence, self.acknowledgement = PEER_ISN, 0
        self.frames: list[bytes] = []
        self._frame = b""

    async def cycle(self, ctx) -> None:
        ctx.set(self.dut.tx.ready, 1)
        if ctx.get(self.dut.tx.valid):
            word = ctx.get(self.dut.tx.payload)
            assert word.first == (not self._frame)
            self._frame += word.data.to_bytes(self.width, "little")[: word.count]
            if word.last:
                self.frames.append(self._frame)
                self._frame = b""
        await ctx.tick()
        self.cycles += 1

    async def idle(self, ctx, cycles: int) -> None:
        for _ in range(cycles):
            await self.cycle(ctx)

    async def cancels(self, ctx, cycles: int) -> list[list[int]]:
        """The numbers of the Cancel Orders of so many cycles, by segment; nothing else is heard."""
        await self.idle(ctx, cycles)
        segments = []
        while self.frames:
            packets, rest = soupbintcp.split((await self.hear(ctx)).payload)
            assert not rest and {type_ for type_, _ in packets} <= {"U"}
            bodies = [ouch50.decode(ouch50.INBOUND, body).values for _, body in packets]
            assert all((body["type"], body["quantity"]) == ("X", 0) for body in bodies)
            segments.append([body["user_ref_num"] for body in bodies])
        return [segment for segment in segments if segment]

    async def host(self, ctx, packet: bytes) -> None:
        """The host hands in a packet."""
        host = self.dut.host
        for n, octet in enumerate(packet):
            ctx.set(host.payload, {"data": octet, "last": n + 1 == len(packet)})
            ctx.set(host.valid, 1)
            while not ctx.get(host.ready):
                await self.cycle(ctx)
            await self.cycle(ctx)
        ctx.set(host.valid, 0)

    async def strobe(self, ctx, name: str) -> None:
        ctx.set(getattr(self.dut, name), 1)
        await self.cycle(ctx)
        ctx.set(getattr(self.dut, name), 0)

    async def hear(self, ctx) -> Segment:
        """The next segment of the card."""
        for _ in range(200 + 200 // self.width):
            if self.frames:
                break
            await self.cycle(ctx)
        segment = unpack_frame(self.frames.pop(0))
        assert segment.window == 2048
        if segment.flags & TCP_SYN:
            self.acknowledgement = segment.sequence
        assert segment.sequence == self.acknowledgement
        self.acknowledgement = (segment.sequence + segment.length) % (1 << 32)
        return segment

    async def send(self, ctx, payload: bytes = b"", flags: int = TCP_ACK) -> int:
        """Sends a segment; returns in which cycle the last octet before the FCS was on `rx`."""
        segment = Segment(
            sequence=self.sequence,
            acknowledgement=self.acknowledgement,
            flags=flags,
            window=self.window,
            payload=payload,
        )
        self.sequence = (self.sequence + segment.length) % (1 << 32)
        octets, rx = pack_frame(segment, ENDS.reversed()), self.dut.rx
        last_octet = 0
        for at in range(0, len(octets), self.width):
            part = octets[at : at + self.width]
            ctx.set(
                rx.payload,
                {
                    "data": int.from_bytes(part, "little"),
                    "count": len(part),
                    "first": at == 0,
                    "last": at + self.width >= len(octets),
                },
            )
            ctx.set(rx.valid, 1)
            if at <= 54 + len(payload) - 1:
                last_octet = self.cycles
            await self.cycle(ctx)
        ctx.set(rx.valid, 0)
        return last_octet

    async def open(self, ctx) -> None:
        assert ctx.get(self.dut.busy)
        await self.strobe(ctx, "connect")
        assert (await self.hear(ctx)).flags == TCP_SYN
        await self.send(ctx, flags=TCP_SYN | TCP_ACK)
        await self.hear(ctx)
        assert ctx.get(self.dut.busy)
        await self.send(ctx, Packets(random.Random(1)).login(1), TCP_ACK | TCP_PSH)
        for _ in range(60):
            await self.cycle(ctx)
        assert not ctx.get(self.dut.busy)

    async def approve(self, ctx, number: int, side: Side, quantity: int) -> None:
        assert not ctx.get(self.dut.busy)
        ctx.set(
            self.dut.approved.payload,
            {
                "symbol": 2,
                "side": side,
                "price": 1_234_500,
                "quantity": quantity,
                "user_ref_num": number,
            },
        )
        ctx.set(self.dut.approved.valid, 1)
        await self.cycle(ctx)
        ctx.set(self.dut.approved.valid, 0)
        ctx.set(self.dut.next_number, number + 1)
        assert ctx.get(self.dut.busy)

    def run(self, play) -> None:
        dut = self.dut

        async def testbench(ctx):
            ctx.set(dut.template, TEMPLATE)
            ctx.set(dut.timing, TIMING)
            ctx.set(dut.isn, ISN)
            ctx.set(dut.port, 1)
            ctx.set(dut.live, 1)
            ctx.set(dut.name, int.from_bytes(b"AAPL    "))
            ctx.set(dut.symbol, 2)
            ctx.set(dut.end_number, LAST_NUMBER + 1)
            ctx.set(dut.next_number, 1)
            while not ctx.get(dut.ready):
                await self.cycle(ctx)
            await play(ctx)

        self._simulated.run(testbench)


def report(type_: str, **values) -> bytes:
    message = ouch50.OUTBOUND[type_]
    whole = dict.fromkeys((each.name for each in message if each.fixed is None), 0)
    texts = {each.name: "" for each in message if each.kind.is_text and each.fixed is None}
    whole.pop("appendage_len", None)
    return soupbintcp.pack("S", ouch50.encode(message, {**whole, **texts, **values}))


@pytest.mark.parametrize("width", WIDTHS)
def test_an_order_leaves_on_the_session_and_its_fill_is_in_the_position_in_time(width):
    bench = Bench(width)
    dut = bench.dut
    assert OrderEntry.LATENCY == 0 and dut.position_latency <= PROMISE

    async def play(ctx):
        await bench.open(ctx)
        at = bench.cycles
        await bench.approve(ctx, 1, Side.BUY, 100)
        assert ctx.get(dut.account.open_buys) == 100
        order = await bench.hear(ctx)
        assert order.acknowledgement == bench.sequence and order.payload[:3] == b"\0\x30U"
        entered = ouch50.INBOUND["O"].unpack(order.payload[3:])
        assert (entered["user_ref_num"], entered["quantity"], entered["side"]) == (1, 100, "B")
        assert entered["symbol"] == "AAPL" and bench.cycles - at <= 110 // width + 10

        accepted = report("A", user_ref_num=1, quantity=100, order_state="L")
        filled = report("E", user_ref_num=1, quantity=30, price=1_234_400)
        last = await bench.send(ctx, accepted + filled)
        while ctx.get(dut.account.position) != 30:
            await bench.cycle(ctx)
        # Each report of a segment waits for that before it.
        assert bench.cycles - last <= dut.position_latency + OrderManager.SPACING
        for _ in range(60):
            await bench.cycle(ctx)
        assert ctx.get(dut.account.position) == 30 and ctx.get(dut.account.open_buys) == 70
        # The next order tells the venue what has come, in the very cycle in which it may go.
        last = await bench.send(ctx, report("E", user_ref_num=1, quantity=70, price=1_234_500))
        while ctx.get(dut.account.position) != 100:
            await bench.cycle(ctx)
            assert bench.cycles - last <= PROMISE
        assert bench.cycles - last <= dut.position_latency
        assert ctx.get(dut.account.open_buys) == 0
        while ctx.get(dut.busy):
            await bench.cycle(ctx)
        bench.frames.clear()
        await bench.approve(ctx, 2, Side.SELL, 5)
        assert ctx.get(dut.account.open_sells) == 5
        assert ctx.get(dut.account.bought_notional) == 30 * 1_234_400 + 70 * 1_234_500
        assert ctx.get(dut.due_sequence) == 4

    bench.run(play)


def test_no_order_may_go_without_a_session_a_slot_or_an_answer_in_time():
    bench = Bench(8)
    dut = bench.dut

    async def play(ctx):
        ctx.set(dut.timeout, 1)
        ctx.set(dut.most_unanswered, SLOTS)
        await bench.open(ctx)
        await bench.approve(ctx, 1, Side.BUY, 100)
        await bench.hear(ctx)
        for _ in range(8):
            await bench.cycle(ctx)
        assert not ctx.get(dut.busy)
        for _ in range(2):
            await bench.strobe(ctx, "tick")
        for _ in range(8):
            await bench.cycle(ctx)
        assert ctx.get(dut.overdue) and not ctx.get(dut.answered)
        await bench.send(ctx, report("A", user_ref_num=1, quantity=100, order_state="L"))
        for _ in range(40):
            await bench.cycle(ctx)
        assert ctx.get(dut.answered) and not ctx.get(dut.busy)
        await bench.send(ctx, soupbintcp.pack("Z"))
        for _ in range(40):
            await bench.cycle(ctx)
        assert ctx.get(dut.busy) and ctx.get(dut.login.ended)
        await bench.send(ctx, flags=TCP_FIN | TCP_ACK)
        for _ in range(60):
            await bench.cycle(ctx)
        assert ctx.get(dut.state) == State.LAST_ACK and ctx.get(dut.busy)

    bench.run(play)


def test_no_order_may_go_with_a_number_that_was_used_or_is_not_given():
    bench = Bench(8)
    dut = bench.dut

    async def settled(ctx) -> bool:
        """Whether an order may go."""
        while ctx.get(dut.sending):
            await bench.cycle(ctx)
        for _ in range(4):
            await bench.cycle(ctx)
        # Only the slot of the last one is in the way.
        assert ctx.get(dut.busy) == (ctx.get(dut.open_orders) > 1)
        return ctx.get(dut.in_order)

    async def play(ctx):
        await bench.open(ctx)
        await bench.approve(ctx, 7, Side.BUY, 100)
        assert await settled(ctx)
        for number, may in ((7, False), (1, False), (0, False), (8, True), (LAST_NUMBER, False)):
            ctx.set(dut.next_number, number)
            assert await settled(ctx) == may
            assert ctx.get(dut.spent) == (number < 8)
        # The host gives others.
        await bench.strobe(ctx, "load_sequence")
        assert await settled(ctx)
        ctx.set(dut.next_number, LAST_NUMBER + 1)
        assert not await settled(ctx)
        # It does not take long: the last number is the last one.
        ctx.set(dut.next_number, LAST_NUMBER)
        assert await settled(ctx)
        await bench.approve(ctx, LAST_NUMBER, Side.BUY, 100)
        assert not await settled(ctx)
        # Nor are numbers forgotten with the day's orders.
        await bench.strobe(ctx, "clear")
        ctx.set(dut.next_number, 8)
        while not ctx.get(dut.ready):
            await bench.cycle(ctx)
        assert not await settled(ctx)

    bench.run(play)


def test_no_order_may_go_while_the_venue_is_silent():
    bench = Bench(8)
    dut = bench.dut

    async def play(ctx):
        ctx.set(dut.silence, 2)
        await bench.open(ctx)
        for _ in range(2):
            assert not ctx.get(dut.busy)
            await bench.strobe(ctx, "tick")
            await bench.cycle(ctx)
        assert ctx.get(dut.silent) and ctx.get(dut.busy)
        await bench.send(ctx, soupbintcp.pack(soupbintcp.SERVER_HEARTBEAT))
        for _ in range(40):
            await bench.cycle(ctx)
        assert not ctx.get(dut.silent) and not ctx.get(dut.busy)

    bench.run(play)


def test_a_reset_in_the_middle_of_an_order_lets_it_end_whole_and_keeps_its_shares():
    bench = Bench(1)
    dut = bench.dut

    async def play(ctx):
        await bench.open(ctx)
        await bench.approve(ctx, 1, Side.BUY, 100)
        # The first octets of the order are out when the venue's reset comes.
        await bench.send(ctx, flags=TCP_RST)
        assert ctx.get(dut.state) == State.ESTABLISHED and ctx.get(dut.sending)
        while ctx.get(dut.state) != State.CLOSED:
            await bench.cycle(ctx)
            assert bench.frames or ctx.get(dut.sending)
        order = await bench.hear(ctx)
        assert order.length == len(order.payload) == 50
        assert ctx.get(dut.busy) and not bench.frames
        assert ctx.get(dut.account.open_buys) == 100 and ctx.get(dut.unanswered) == 1

    bench.run(play)


def test_an_order_is_followed_over_the_end_of_a_connection():
    bench = Bench(8)
    dut = bench.dut

    async def play(ctx):
        await bench.open(ctx)
        await bench.approve(ctx, 1, Side.BUY, 100)
        await bench.hear(ctx)
        await bench.strobe(ctx, "abort")
        for _ in range(60):
            await bench.cycle(ctx)
        assert ctx.get(dut.state) == State.CLOSED and ctx.get(dut.busy)
        assert ctx.get(dut.account.open_buys) == 100
        bench.frames.clear()
        bench.sequence, bench.acknowledgement = PEER_ISN, 0
        await bench.open(ctx)
        # A login that asked for too much brings what was there, and then what was missed.
        await bench.send(ctx, report("A", user_ref_num=1, quantity=100, order_state="L"))
        await bench.send(ctx, report("E", user_ref_num=1, quantity=100, price=1))
        for _ in range(60):
            await bench.cycle(ctx)
        assert ctx.get(dut.account.position) == 100 and ctx.get(dut.account.open_buys) == 0

    bench.run(play)


@pytest.mark.parametrize("width", [8, 1])
def test_a_kill_cancels_all_open_orders_in_the_time_that_is_promised(width):
    bench, slots = Bench(width), SLOTS
    dut = bench.dut
    together = STAGED // PACKET_SIZE
    sending = Sender.cycles(PACKET_SIZE * together, width=width)

    async def play(ctx):
        await bench.open(ctx)
        for number in range(1, slots + 1):
            await bench.approve(ctx, number, Side.BUY, 100)
            while ctx.get(dut.sending):
                await bench.cycle(ctx)
            await bench.idle(ctx, 4)
        for number in range(1, slots + 1):
            await bench.send(ctx, report("A", user_ref_num=number, quantity=100, order_state="L"))
        await bench.idle(ctx, 200)
        bench.frames.clear()
        bench.acknowledgement = ctx.get(dut.sequence)
        await bench.send(ctx)
        await bench.idle(ctx, 60)

        ctx.set(dut.stopped, 1)
        began, count = bench.cycles, -(-slots // together)
        while len(bench.frames) < count:
            await bench.cycle(ctx)
        taken = bench.cycles - began - sending
        assert 0.7 * dut.cancel_latency < taken <= dut.cancel_latency, (taken, dut.cancel_latency)
        segments = await bench.cancels(ctx, 0)
        assert [len(segment) for segment in segments] == [together] * count
        assert sorted(itertools.chain(*segments)) == list(range(1, slots + 1))
        assert ctx.get(dut.cancels_asked) and not ctx.get(dut.cancels_wait)

        # Nothing is asked twice, and an order that is filled before is none that went wrong.
        await bench.send(ctx, report("C", user_ref_num=1, quantity=100, reason="U"))
        await bench.send(ctx, report("P", user_ref_num=2))
        await bench.send(ctx, report("I", user_ref_num=3))
        await bench.send(ctx, report("E", user_ref_num=4, quantity=100, price=1))
        assert not await bench.cancels(ctx, 200)
        assert not ctx.get(dut.cancels_asked) and not ctx.get(dut.cancels_wait)
        assert ctx.get(dut.open_orders) == 2
        # A cancel that was refused is for the host to repeat.
        ctx.set(dut.cancel_number, 3)
        await bench.strobe(ctx, "cancel")
        assert await bench.cancels(ctx, 400) == [[3]]
        assert ctx.get(dut.cancel_found) and ctx.get(dut.cancels_asked)
        await bench.send(ctx, report("C", user_ref_num=3, quantity=100, reason="U"))
        await bench.idle(ctx, 60)
        assert ctx.get(dut.open_orders) == 1 and not ctx.get(dut.cancels_asked)
        await bench.strobe(ctx, "cancel")
        await bench.idle(ctx, 2)
        assert not ctx.get(dut.cancel_found)

    bench.run(play)


def test_cancels_wait_for_window_and_session_and_no_order_comes_between():
    bench = Bench(8)
    dut = bench.dut

    async def play(ctx):
        await bench.open(ctx)
        for number in (1, 2):
            await bench.approve(ctx, number, Side.BUY, 100)
            await bench.hear(ctx)
            await bench.idle(ctx, 8)
        # Room for an order, and for 2 cancels that go before it, but not for both.
        bench.window = 60
        await bench.send(ctx)
        await bench.idle(ctx, 40)
        assert not ctx.get(dut.busy)
        await bench.strobe(ctx, "cancel_all")
        held = 0
        while not bench.frames:
            await bench.cycle(ctx)
            # Until then one may go; from then on it may not.
            assert not held or ctx.get(dut.busy)
            held += ctx.get(dut.busy)
        assert held and await bench.cancels(ctx, 10) == [[1, 2]]
        assert ctx.get(dut.busy)
        bench.window = 8000
        await bench.send(ctx, report("C", user_ref_num=1, quantity=100, reason="U"))
        await bench.send(ctx, report("I", user_ref_num=2))
        await bench.idle(ctx, 40)
        assert not ctx.get(dut.busy) and not ctx.get(dut.cancels_asked)
        # Neither the window nor the session is open.
        bench.window = 3
        await bench.send(ctx)
        ctx.set(dut.stopped, 1)
        assert not await bench.cancels(ctx, 300)
        await bench.strobe(ctx, "abort")
        await bench.idle(ctx, 60)
        assert ctx.get(dut.cancels_wait)
        assert not ctx.get(dut.cancels_asked)
        bench.frames.clear()
        bench.window = 8000
        bench.sequence, bench.acknowledgement = PEER_ISN, 0
        await bench.strobe(ctx, "connect")
        await bench.hear(ctx)
        await bench.send(ctx, flags=TCP_SYN | TCP_ACK)
        assert not await bench.cancels(ctx, 200)
        await bench.send(ctx, Packets(random.Random(1)).login(3), TCP_ACK | TCP_PSH)
        assert await bench.cancels(ctx, 300) == [[2]]
        await bench.send(ctx, report("C", user_ref_num=2, quantity=100, reason="U"))
        await bench.idle(ctx, 60)
        assert ctx.get(dut.open_orders) == 0 and not ctx.get(dut.cancels_asked)

    bench.run(play)


def test_cancels_go_before_packets_of_the_host_but_not_within_one_and_no_fin_before_them():
    bench = Bench(8)
    dut = bench.dut
    packet, logout = bytes(STAGED + 18), soupbintcp.pack(soupbintcp.LOGOUT_REQUEST)

    async def sees(ctx, window: int, payloads: list[bytes]) -> list[Segment]:
        """What the card sends as soon as there is this window."""
        bench.window = window
        await bench.send(ctx)
        segments = [await bench.hear(ctx) for _ in payloads]
        begun = [
            each.payload[: len(wanted)] for each, wanted in zip(segments, payloads, strict=True)
        ]
        assert begun == payloads
        await bench.idle(ctx, 100)
        assert not bench.frames
        return segments

    async def play(ctx):
        await bench.open(ctx)
        for number in (1, 2):
            await bench.approve(ctx, number, Side.BUY, 100)
            await bench.hear(ctx)
            await bench.idle(ctx, 8)
        await sees(ctx, STAGED + 3, [])
        await bench.host(ctx, packet)
        assert (await bench.hear(ctx)).payload == packet[:STAGED]
        await bench.strobe(ctx, "cancel_all")
        await bench.idle(ctx, 200)
        assert not bench.frames and ctx.get(dut.busy)
        await sees(ctx, 8000, [packet[STAGED:], b"\0\x0aUX"])
        for number in (1, 2):
            await bench.send(ctx, report("I", user_ref_num=number))
            await bench.idle(ctx, 60)
        bench.frames.clear()
        # What does not fit waits, and the FIN behind it.
        await sees(ctx, 2, [])
        await bench.host(ctx, logout)
        await bench.strobe(ctx, "cancel_all")
        await bench.idle(ctx, 100)
        await bench.strobe(ctx, "close")
        await bench.idle(ctx, 100)
        assert not bench.frames
        segments = await sees(ctx, 8000, [b"\0\x0aUX", logout, b""])
        assert [bool(each.flags & TCP_FIN) for each in segments] == [False, False, True]

    bench.run(play)


@pytest.mark.parametrize("width", WIDTHS)
def test_without_a_session_orders_leave_as_frames_and_none_may_go_that_wants_one(width):
    bench = Bench(width, sessions=0)
    dut = bench.dut

    async def play(ctx):
        for _ in range(4):
            await bench.cycle(ctx)
            assert ctx.get(dut.busy)
        await bench.strobe(ctx, "connect")
        for _ in range(60):
            await bench.cycle(ctx)
            assert ctx.get(dut.busy) and not ctx.get(dut.may_order)
        assert ctx.get(dut.state) == State.CLOSED and not bench.frames

        ctx.set(dut.live, 0)
        ctx.set(dut.sequence_start, 7_000)
        await bench.strobe(ctx, "load_sequence")
        await bench.cycle(ctx)
        sizes = []
        for number in (1, 2):
            await bench.approve(ctx, number, Side.BUY, 100)
            while ctx.get(dut.sending):
                await bench.cycle(ctx)
            order = unpack_frame(bench.frames.pop())
            sizes.append(len(order.payload))
            assert order.sequence == 7_000 + sum(sizes[:-1])
            assert order.acknowledgement == TEMPLATE["acknowledgement"]
            entered = ouch50.INBOUND["O"].unpack(order.payload[3:])
            assert (entered["user_ref_num"], entered["quantity"]) == (number, 100)
        # None of them is followed.
        assert ctx.get(dut.account.open_buys) == ctx.get(dut.open_orders) == 0

    bench.run(play)


def test_there_is_one_session_or_none():
    with pytest.raises(ValueError, match="sessions must be 0 or 1, not 2"):
        OrderEntry(width=8, symbols=SYMBOLS, sessions=2)
