# amaranth: UnusedElaboratable=no

"""The connection where two things happen in one cycle, which whole sessions meet once in a year."""

import pytest
from amaranth.lib import data
from simulated import Simulated

from tickgate.hdl.order.tcp.connection import Connection
from tickgate.hdl.order.tcp.staging import Staging
from tickgate.hdl.order.tcp.types import Outcome, State, Wants
from tickgate.spec.ethernet import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN

ISN, PEER = 0x1000, 0x9000
WINDOW, ORDER, PACKET = 4096, 48, 64
TIMING = {"rto_initial": 2, "rto_min": 2, "rto_max": 8, "retries": 2, "linger": 3}


class Peer:
    """Drives a connection: segments, ticks, and what is picked, with what it wants seen."""

    def __init__(self, ctx, dut) -> None:
        self._ctx, self._dut = ctx, dut

    def get(self, name):
        return self._ctx.get(getattr(self._dut, name))

    @property
    def wants(self):
        wants = self.get("wants")
        return {name for name, _ in data.Layout.cast(Wants) if wants[name]}

    def set_timing(self, **times):
        for name, value in times.items():
            self._ctx.set(self._dut.timing[name], value)

    def set_segment(self, **values):
        self._ctx.set(self._dut.segment, {"window": WINDOW, **values})

    def offer(self, size):
        self._ctx.set(self._dut.packet_waits, 1)
        self._ctx.set(self._dut.packet_length, size)

    async def cycle(self, *picks, **strobes):
        ctx, dut = self._ctx, self._dut
        for name, value in strobes.items():
            ctx.set(getattr(dut, name), value)
        ctx.set(dut.picked, dict.fromkeys(picks, 1))
        await ctx.tick()
        ctx.set(dut.picked, {})
        for name in ("connect", "close", "abort", "arrives", "order", "tick"):
            ctx.set(getattr(dut, name), 0)

    async def settle(self, cycles=4):
        for _ in range(cycles):
            await self.cycle()

    async def segment(
        self, *picks, acknowledgement, flags=TCP_ACK, sequence=PEER + 1, window=WINDOW, **strobes
    ):
        self.set_segment(
            sequence=sequence, acknowledgement=acknowledgement, flags=flags, window=window
        )
        await self.settle(3)
        await self.cycle(*picks, arrives=1, **strobes)

    async def open(self, window=WINDOW):
        self.set_timing(**TIMING)
        await self.cycle(connect=1, isn=ISN)
        await self.settle(6)
        await self.cycle("syn")
        await self.segment(
            flags=TCP_SYN | TCP_ACK,
            sequence=PEER,
            acknowledgement=ISN + 1,
            window=window,
        )
        await self.cycle("ack")
        await self.settle()
        assert self.get("state") == State.ESTABLISHED and not self.wants

    async def packet(self, *, size=8):
        """The host's packet is there, and is picked once it is wanted."""
        await self.cycle(packet_waits=1, packet_length=size)
        while "packet" not in self.wants:
            await self.cycle()
        await self.cycle("packet", packet_waits=1)
        self._ctx.set(self._dut.packet_waits, 0)

    async def ticks(self, count):
        seen = set()
        for _ in range(count):
            await self.cycle(tick=1)
            await self.cycle()
            seen |= self.wants
        return seen


@pytest.fixture(scope="module")
def connection():
    return Simulated(
        Connection(
            window=WINDOW,
            ring_size=1024,
            longest_segment=1024,
            largest_order=ORDER,
            packet_size=PACKET,
        )
    )


@pytest.fixture
def play(connection):
    def run(scenario):
        async def drive(ctx):
            await scenario(Peer(ctx, connection.dut))

        connection.run(drive)

    return run


def test_a_packet_that_leaves_as_all_before_it_is_acknowledged_is_sent_again(play):
    async def scenario(peer):
        await peer.open()
        await peer.packet()
        await peer.cycle(packet_waits=1, packet_length=8)
        await peer.settle()
        await peer.segment("packet", acknowledgement=ISN + 9)
        await peer.cycle(packet_waits=0)
        assert "retransmission" in await peer.ticks(TIMING["rto_max"])

    play(scenario)


def test_a_packet_is_not_wanted_before_its_length_is_compared(play):
    async def scenario(peer):
        await peer.open(window=PACKET + 8)
        await peer.packet(size=8)
        await peer.settle()
        # One octet more than there is room for, with the length of the one before still in mind.
        await peer.cycle(packet_length=PACKET)
        await peer.settle()
        peer.offer(PACKET + 1)
        for _ in range(6):
            assert "packet" not in peer.wants
            await peer.cycle()

    play(scenario)


def test_the_end_of_patience_ends_whatever_arrives_with_it(play):
    async def scenario(peer):
        await peer.open()
        peer.set_timing(retries=0)
        await peer.cycle(close=1)
        await peer.settle()
        await peer.cycle("fin")
        await peer.ticks(TIMING["rto_min"] - 1)
        assert peer.get("state") == State.FIN_WAIT_1
        await peer.segment(flags=TCP_ACK | TCP_FIN, acknowledgement=ISN + 1, tick=1)
        assert peer.get("state") == State.CLOSED and peer.get("outcome") == Outcome.TIMED_OUT
        assert peer.wants == {"reset"}

    play(scenario)


@pytest.mark.parametrize("later", [1, 2, 3, 4])
def test_a_fin_that_is_acknowledged_at_once_is_acknowledged_or_challenged(play, later):
    async def scenario(peer):
        await peer.open()
        await peer.cycle(close=1)
        await peer.settle()
        peer.set_segment(sequence=PEER + 1, acknowledgement=ISN + 2, flags=TCP_ACK)
        await peer.cycle("fin")
        await peer.settle(later - 1)
        await peer.cycle(arrives=1)
        seen = later > 2
        assert peer.get("state") == (State.FIN_WAIT_2 if seen else State.FIN_WAIT_1)
        assert peer.get("numbers")["una"] == ISN + 1 + seen
        assert peer.wants == (set() if seen else {"ack"})

    play(scenario)


def test_an_order_that_leaves_behind_the_end_is_not_sent_again(play):
    async def scenario(peer):
        await peer.open()
        await peer.segment(flags=TCP_RST, acknowledgement=0)
        await peer.cycle(order=1, order_size=ORDER)
        assert not await peer.ticks(4 * TIMING["rto_max"])
        assert peer.get("state") == State.CLOSED and peer.get("outcome") == Outcome.RESET

    play(scenario)


def test_a_window_without_room_for_a_packet_is_probed(play):
    async def scenario(peer):
        await peer.open(window=PACKET - 1)
        assert "probe" in await peer.ticks(TIMING["rto_max"])

    play(scenario)


def test_a_packet_that_moves_is_moved_whole():
    staging = Staging(size=8, ring_size=64)
    packet, written = bytes(range(1, 6)), {}

    async def scenario(ctx):
        for n, octet in enumerate(packet):
            ctx.set(staging.octets.payload, {"data": octet, "last": n == len(packet) - 1})
            ctx.set(staging.octets.valid, 1)
            await ctx.tick()
        ctx.set(staging.octets.valid, 0)
        ctx.set(staging.sequence, 62)
        ctx.set(staging.move, 1)
        await ctx.tick()
        ctx.set(staging.move, 0)
        ctx.set(staging.discard, 1)
        for _ in range(2 * len(packet)):
            if ctx.get(staging.mask):
                written[ctx.get(staging.at)] = ctx.get(staging.data)
            await ctx.tick()
        assert not ctx.get(staging.moving) and not ctx.get(staging.length)

    Simulated(staging).run(scenario)
    assert written == {(62 + n) % 64: octet for n, octet in enumerate(packet)}
