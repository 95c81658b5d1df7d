"""Tests of the netlist under cocotb, run by test_core_at_its_ports.py: every pin driven here.

Inputs change at the falling edge of the clock and outputs are read just before the rising one, so
that nothing depends on the order in which a simulator evaluates.
"""

import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import (
    ClockCycles,
    Event,
    FallingEdge,
    ReadOnly,
    SimTimeoutError,
    Timer,
    with_timeout,
)
from cocotb.utils import get_sim_time
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tickgate.hdl.core import TickToTrade
from tickgate.host.config import Config
from tickgate.host.driver import Driver
from tickgate.spec import ethernet, itch50, moldudp64, ouch50, soupbintcp
from tickgate.spec.events import EventKind

PERIOD_NS = 10
UART_DIVISOR = 4
BIT = Timer(UART_DIVISOR * PERIOD_NS, "ns")
LOCATE = 4711
GROUP, PORT = "233.54.12.111", 26477

CONFIG = f"""
[feed]
address = "{GROUP}"
port = {PORT}

[session]
source_mac = "02:00:00:00:00:01"
destination_mac = "02:00:00:00:00:02"
source_ip = "192.0.2.1"
destination_ip = "192.0.2.2"
source_port = 40000
destination_port = 26000
tcp_sequence_start = 4294967290
user_ref_num_start = 5
clordid = "COCOTB"

[host]
heartbeat_off = true

[account]
max_gross_usd = 1000000000
max_net_usd = 1000000000
max_open_orders = 65535
max_day_orders = 1000000
max_day_shares = 1000000000
max_day_notional_usd = 10000000000
max_loss_usd = 10000000000
session_interval_ns = 1
session_burst_ns = 1000000
max_executions = 1000000
move_window_us = 1000000
fill_window_us = 1000
[[symbols]]
name = "ZVZZT"
stock_locate = {LOCATE}
window_base_usd = 99.00
[symbols.strategy]
enabled = true
threshold_fraction = 0.75
max_spread_usd = 0.05
quantity_shares = 100
[symbols.limits]
max_long_shares = 150
max_short_shares = 1000
max_order_quantity_shares = 500
max_order_notional_usd = 100000
collar_bps = 100
collar_absolute_usd = 1.00
reference_max_age_us = 60000000
max_book_spread_usd = 1.00
order_tick_usd = 0.01
lot_size_shares = 1
allow_buy = true
allow_sell = true
allow_time_in_force = ["immediate_or_cancel"]
short_locates_shares = 1000
feed_max_age_us = 60000000
symbol_max_age_us = 60000000
band_exempt = true
order_interval_ns = 1
order_burst_ns = 1000000
max_open_orders = 65535
max_duplicates = 4
duplicate_window_ns = 1
max_move_usd = 400000
allow_self_trade = true
"""


class Bench:
    """The actors around the netlist.

    `cycle` is the number of the next rising edge, as seen between a falling edge and it.
    """

    def __init__(self, dut) -> None:
        self.dut = dut
        self.width = len(dut.rx_data) // 8
        self.random = random.Random(int(os.environ["BENCH_SEED"]))
        self.tops: list[dict[str, int]] = []
        self.verdicts: list[dict[str, int]] = []
        self.gaps: list[int] = []
        self.sent: list[tuple[int, bytes]] = []
        self.octets, self.serial = OctetSerial(dut), PinSerial(dut)

    @property
    def cycle(self) -> int:
        return int(get_sim_time("ns")) // PERIOD_NS + 1

    async def start(self) -> None:
        dut = self.dut
        for pin in dut.rx_valid, dut.rx_data, dut.rx_count, dut.rx_first, dut.rx_last, dut.tx_ready:
            pin.value = 0
        dut.uart_rx.value = dut.direct.value = dut.control_tx_ready.value = 1
        dut.control_rx_valid.value = 0
        dut.rst.value = 1
        cocotb.start_soon(Clock(dut.clk, PERIOD_NS, "ns").start())
        await ClockCycles(dut.clk, 10)
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        self._listener = cocotb.start_soon(self.octets.listen())

    def plug_in(self) -> None:
        """From now on the host is at the pins of the UART."""
        self._listener.cancel()
        self.dut.direct.value = 0
        cocotb.start_soon(self.serial.listen())

    def observe(self) -> None:
        cocotb.start_soon(self.venue())
        cocotb.start_soon(self.watch())

    async def feed(self, frames: list[bytes]) -> list[list[int]]:
        """Sends frames with random idle cycles around and inside them.

        Returns the cycle of each word of each frame.
        """
        dut, cycles = self.dut, []
        for frame in frames:
            await self.pause(20)
            cycles.append([])
            for at in range(0, len(frame), self.width):
                if self.random.random() < 0.2:
                    await self.pause(4)
                word = frame[at : at + self.width]
                await FallingEdge(dut.clk)
                dut.rx_valid.value = 1
                dut.rx_data.value = int.from_bytes(word, "little")
                dut.rx_count.value = len(word)
                dut.rx_first.value = at == 0
                dut.rx_last.value = at + self.width >= len(frame)
                cycles[-1].append(self.cycle)
        await self.pause(1)
        return cycles

    async def pause(self, most: int) -> None:
        await FallingEdge(self.dut.clk)
        self.dut.rx_valid.value = 0
        self.dut.rx_data.value = self.random.getrandbits(8 * self.width)
        for _ in range(self.random.randrange(most)):
            await FallingEdge(self.dut.clk)

    async def venue(self) -> None:
        """Takes what the card sends, ready or not as it happens inside a frame."""
        dut, octets, first, held = self.dut, b"", 0, None
        while True:
            await FallingEdge(dut.clk)
            ready = not octets or self.random.random() < 0.7
            dut.tx_ready.value = ready
            await ReadOnly()
            if not dut.tx_valid.value:
                assert held is None, "valid fell before the word was taken"
                continue
            word = [
                int(pin.value) for pin in (dut.tx_data, dut.tx_count, dut.tx_first, dut.tx_last)
            ]
            assert held in (None, word), "a word changed before it was taken"
            held = None if ready else word
            if ready:
                data, count, begins, ends = word
                assert bool(begins) == (not octets), "first is out of place"
                assert count == self.width or ends, "a short word inside a frame"
                first = first if octets else self.cycle
                octets += data.to_bytes(self.width, "little")[:count]
                if ends:
                    self.sent.append((first, octets))
                    octets = b""

    async def watch(self) -> None:
        while True:
            await FallingEdge(self.dut.clk)
            await ReadOnly()
            if self.dut.top_valid.value:
                self.tops.append(self.record("top"))
            if self.dut.verdict_valid.value:
                self.verdicts.append(self.record("verdict"))
            if self.dut.gap.value:
                self.gaps.append(self.cycle)

    def record(self, prefix: str) -> dict[str, int]:
        fields = {"cycle": self.cycle}
        for handle in self.dut:
            name, _, field = handle._name.partition("_")
            if name == prefix and field != "valid":
                fields[field] = int(handle.value)
        return fields


class PinSerial:
    """The UART pins as a serial port for the host's driver, which runs in a bridge."""

    name = "pins"

    def __init__(self, dut) -> None:
        self._dut = dut
        self._received = bytearray()
        self._arrived = Event()

    @property
    def in_waiting(self) -> int:
        return len(self._received)

    def close(self) -> None:
        pass

    def reset_input_buffer(self) -> None:
        self._received.clear()

    @resume
    async def write(self, octets: bytes) -> int:
        await FallingEdge(self._dut.clk)
        for octet in octets:
            for bit in (0, *(octet >> n & 1 for n in range(8)), 1):
                self._dut.uart_rx.value = bit
                await BIT
        return len(octets)

    @resume
    async def read(self, size: int = 1) -> bytes:
        while len(self._received) < size:
            self._arrived.clear()
            try:
                await with_timeout(self._arrived.wait(), 100, "us")
            except SimTimeoutError:
                break
        octets = bytes(self._received[:size])
        del self._received[:size]
        return octets

    async def listen(self) -> None:
        line = self._dut.uart_tx
        while True:
            await FallingEdge(line)
            await Timer(UART_DIVISOR * PERIOD_NS // 2, "ns")
            octet = 0
            for bit in range(8):
                await BIT
                octet |= int(line.value) << bit
            await BIT
            assert line.value, "no stop bit"
            self._received.append(octet)
            self._arrived.set()


class OctetSerial(PinSerial):
    """As PinSerial, but past the UART: whole octets, one a cycle."""

    name = "octets"

    @resume
    async def write(self, octets: bytes) -> int:
        dut = self._dut
        for octet in octets:
            await FallingEdge(dut.clk)
            dut.control_rx_payload.value, dut.control_rx_valid.value = octet, 1
            await ReadOnly()
            while not dut.control_rx_ready.value:
                await FallingEdge(dut.clk)
                await ReadOnly()
        await FallingEdge(dut.clk)
        dut.control_rx_valid.value = 0
        return len(octets)

    async def listen(self) -> None:
        dut = self._dut
        while True:
            await FallingEdge(dut.clk)
            await ReadOnly()
            if dut.control_tx_valid.value:
                self._received.append(int(dut.control_tx_payload.value))
                self._arrived.set()


def datagram(sequence: int, messages: list[bytes], *, port: int = PORT) -> bytes:
    """A frame of the feed with its FCS, made by scapy."""
    header = moldudp64.HEADER.pack(session="COCOTB", sequence=sequence, count=len(messages))
    blocks = b"".join(len(message).to_bytes(2, "big") + message for message in messages)
    frame = bytes(
        Ether(src="02:00:00:00:00:09", dst="01:00:5e:36:0c:6f")
        / IP(src="192.0.2.9", dst=GROUP, ttl=1)
        / UDP(sport=1, dport=port)
        / Raw(header + blocks)
    )
    return frame + ethernet.fcs(frame).to_bytes(4, "little")


def message(kind: str, **fields) -> bytes:
    if "stock" in {field.name for field in itch50.MESSAGES[kind].fields}:
        fields.setdefault("stock", "ZVZZT")
    fields = {"stock_locate": LOCATE, "tracking_number": 0, "timestamp": 0, **fields}
    return itch50.MESSAGES[kind].pack(**fields)


def add(ref: int, side: str, shares: int, price: int) -> bytes:
    return message("A", order_ref=ref, side=side, shares=shares, price=price)


async def configured(dut) -> tuple[Bench, Driver]:
    """A card that is configured, armed, and whose book is whole."""
    bench = Bench(dut)
    await bench.start()

    @bridge
    def configure() -> Driver:
        driver = Driver(bench.octets)
        config = Config.from_text(CONFIG)
        driver.apply(config)
        driver.begin_day(time_ns=0)
        driver.set_whole("ZVZZT")
        driver.arm(config)
        return driver

    driver = await configure()
    assert driver.link.retries == 0
    bench.observe()
    return bench, driver


OPENING = [
    message("S", stock_locate=0, event_code="Q"),
    message("H", trading_state="T", reserved=" ", reason=""),
]

TRADE = message("P", order_ref=0, side="B", shares=1, price=1_000_100, match_number=1)


@cocotb.test()
async def tops_follow_the_feed_and_an_order_leaves_that_risk_approved(dut) -> None:
    bench, _ = await configured(dut)
    frames = [
        datagram(1, OPENING),
        datagram(3, [add(1, "B", 300, 1_000_000), add(2, "S", 100, 1_000_200)]),
        datagram(5, [TRADE]),
        datagram(6, [add(9, "B", 7, 1_000_000)], port=PORT + 1),
        datagram(6, [add(3, "B", 100, 1_000_000)]),
    ]
    words = await bench.feed(frames)
    await ClockCycles(dut.clk, 400)
    await bench.feed([datagram(7, [add(4, "B", 100, 1_000_000), message("D", order_ref=2)])])
    await ClockCycles(dut.clk, 100)

    # Sequence, bid, shares, ask, shares: message 4 crosses no threshold but finds no reference
    # price; message 6 is an order; message 7 would exceed the long limit with that order.
    assert [
        (top["sequence"], top["bid_price"], top["bid_shares"], top["ask_price"], top["ask_shares"])
        for top in bench.tops
    ] == [
        (3, 1_000_000, 300, 0, 0),
        (4, 1_000_000, 300, 1_000_200, 100),
        (6, 1_000_000, 400, 1_000_200, 100),
        (7, 1_000_000, 500, 1_000_200, 100),
        (8, 1_000_000, 500, 0, 0),
    ]
    assert all(top["exact"] for top in bench.tops)
    assert bench.gaps == []
    assert [
        (verdict["sequence"], verdict["approved"], verdict["reasons"]) for verdict in bench.verdicts
    ] == [(4, 0, 1 << 11), (6, 1, 0), (7, 0, 1 << 5)]

    ((first_cycle, octets),) = bench.sent
    last_word = len(frames[4]) - 5
    t0 = words[4][last_word // bench.width]
    assert first_cycle - t0 == TickToTrade.LATENCY
    check_order(octets)

    bench.plug_in()

    @bridge
    def ask() -> tuple:
        driver = Driver(bench.serial)
        return list(driver.events()), driver.counters()

    events, counters = await ask()
    assert counters["orders_approved"] == 1 and counters["orders_refused"] == 2
    assert counters["eth_frames"] == 6 and counters["eth_not_for_us"] == 1
    assert counters["feed_messages"] == 8
    sent = [event for event in events if event.kind == EventKind.ORDER_SENT]
    assert [(event.user_ref_num, event.latency_cycles) for event in sent] == [
        (5, TickToTrade.LATENCY)
    ]


def check_order(octets: bytes) -> None:
    frame, fcs = octets[:-4], octets[-4:]
    assert ethernet.fcs(frame).to_bytes(4, "little") == fcs
    packet = Ether(frame)
    sums = packet[IP].chksum, packet[TCP].chksum
    del packet[IP].chksum, packet[TCP].chksum
    again = Ether(bytes(packet))
    assert (again[IP].chksum, again[TCP].chksum) == sums
    assert (packet.src, packet.dst) == ("02:00:00:00:00:01", "02:00:00:00:00:02")
    assert (packet[IP].src, packet[IP].dst) == ("192.0.2.1", "192.0.2.2")
    assert (packet[TCP].sport, packet[TCP].dport) == (40000, 26000)
    assert packet[TCP].seq == 4294967290 and packet[TCP].flags == "PA"
    ((kind, order),), rest = soupbintcp.split(bytes(packet[TCP].payload))
    assert kind == soupbintcp.UNSEQUENCED_DATA and rest == b""
    fields = ouch50.INBOUND["O"].unpack(order)
    assert (
        fields
        | {
            "user_ref_num": 5,
            "side": "B",
            "quantity": 100,
            "symbol": "ZVZZT",
            "price": 1_000_200,
            "tif": "3",
            "clordid": "COCOTB",
            "appendage_len": 0,
        }
        == fields
    )


@cocotb.test()
async def a_missing_datagram_stops_orders(dut) -> None:
    bench, driver = await configured(dut)
    opening = [*OPENING, TRADE, add(1, "B", 100, 1_000_000), add(2, "S", 100, 1_000_200)]
    await bench.feed([datagram(1, opening), datagram(7, [add(4, "B", 900, 1_000_000)])])
    await ClockCycles(dut.clk, 200)
    assert len(bench.gaps) == 1
    assert [(top["sequence"], top["exact"]) for top in bench.tops[:2]] == [(4, 1), (5, 1)]
    assert {(top["sequence"], top["exact"]) for top in bench.tops[2:]} == {(7, 0)}
    assert bench.tops[-1]["bid_shares"] == 1000
    assert bench.sent == [] and bench.verdicts == []

    @bridge
    def count() -> dict[str, int]:
        return driver.counters()

    counters = await count()
    assert counters["feed_gaps"] == 1 and counters["feed_missed_messages"] == 1
