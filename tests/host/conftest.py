"""A card in plain Python, written from docs/registers.md, and ways to reach it."""

import os
import pty
import select
import socket
import struct
import threading
import tty
import zlib
from collections import deque

import pytest

from tickgate.host.config import Config
from tickgate.host.driver import Driver
from tickgate.spec import events
from tickgate.spec import registers as spec

CONFIGURATION = """
[feed]
address = "233.54.12.111"
port = 26477
start_sequence = 0x1_0000_0005

[session]
source_mac = "02:00:00:00:00:01"
destination_mac = "02:00:5E:10:00:FE"
source_ip = "192.0.2.10"
destination_ip = "198.51.100.20"
source_port = 40001
destination_port = 15001
clordid = "DESK-7"
user_ref_num_start = 100
tcp_sequence_start = 4000000000

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
name = "AAPL"
stock_locate = 13
tick_usd = 0.01
window_base_usd = 300.00

[symbols.strategy]
enabled = true
threshold_fraction = 0.75
max_spread_usd = 0.05
quantity_shares = 100
min_interval_ns = 1_000_000

[symbols.limits]
max_long_shares = 5000
max_short_shares = 4000
max_order_quantity_shares = 300
max_order_notional_usd = 600000.0001
collar_bps = 50
collar_absolute_usd = 2.50
reference_max_age_us = 500000
max_book_spread_usd = 0.5
order_tick_usd = 0.01
lot_size_shares = 1
allow_buy = true
allow_sell = true
allow_time_in_force = ["immediate_or_cancel"]
short_locates_shares = 4000
feed_max_age_us = 60000000
symbol_max_age_us = 60000000
band_exempt = true
order_interval_ns = 1
order_burst_ns = 1000000
max_open_orders = 65535
max_duplicates = 4
duplicate_window_ns = 1
max_move_usd = 400000
max_fills = 60000
max_fill_shares = 1000000000
allow_self_trade = true

[[symbols]]
name = "MSFT"
stock_locate = 21
window_base_usd = 150
"""


MEANT = {
    "arm_map_hash": "map_hash",
    "arm_build_hash": "build_hash",
    "arm_pages": "committed_checksum",
    "arm_account": "account_checksum",
}


def stuff(octets: bytes) -> bytes:
    """COBS of fewer than 254 octets, with the delimiter."""
    parts = octets.split(b"\0")
    return b"".join(bytes([len(part) + 1]) + part for part in parts) + b"\0"


def unstuff(frame: bytes) -> bytes | None:
    """The octets of a COBS frame without its delimiter, or None."""
    parts = []
    while frame:
        code = frame[0]
        if len(frame) < code:
            return None
        parts.append(frame[1:code])
        frame = frame[code:]
    return b"\0".join(parts)


class FakeCard:
    """The register side of a card: frames in, frames out.

    `requests` holds the requests carried out as (opcode, tag, address, words). `faults` holds what
    happens to the next replies, one each: a function from the reply's octets to those that arrive.
    `snapshot` holds the orders of a recovery as (reference low, high, shares, price, side);
    `outcome` gives the fields of `recover_state` after the sequence number that joins, `unplaced`
    those after `recentre`.
    `commit_reads` is how many reads of `state` a commit takes.
    """

    def __init__(self, *, symbols=4, ticks=1024, locates=64, sessions=1):
        self.words = {r.address: 0 for r in spec.REGISTERS}
        self.symbols = symbols
        self.shadow = [0] * symbols * spec.PAGE_WORDS
        self.in_force = list(self.shadow)
        self.requests = []
        self.faults = deque()
        self.stuck = {}
        self.locates = {}
        self.whole = {}
        self.cleared: list[int] = []
        self.snapshot = []
        self.outcome = lambda sequence: {"phase": 4}
        self.unplaced = {"phase": 7}
        self.queue = deque()
        self.commit_reads = 0
        self._committing = 0
        self._pending = b""
        self._delivered = False
        self.heard = b""
        self.cancelled = []
        self.answers = []
        self.venue = lambda packet: b""
        self.state = {f.name: 0 for f in spec.BY_NAME["state"].fields} | {"tables_ready": 1}
        identity = {
            "magic": spec.MAGIC,
            "version": spec.VERSION,
            "map_hash": spec.MAP_HASH,
            "build_hash": 0xB01D,
            "width": 8,
            "symbols": symbols,
            "ticks": ticks,
            "orders": 4096,
            "clock_period_ps": 6400,
            "locates": locates,
            "event_depth": 64,
            "sessions": sessions,
        }
        for name, value in identity.items():
            self.set(name, value)

    def set(self, name, value):
        """Gives a register its value."""
        self.words[spec.BY_NAME[name].address] = value

    def get(self, name):
        """The value of a register."""
        return self.words[spec.BY_NAME[name].address]

    def set_fields(self, name, **values):
        """Gives a register the value of these fields, the others being 0."""
        register = spec.BY_NAME[name]
        self.set(name, register.pack(**{field.name: 0 for field in register.fields} | values))

    def report(self, **values):
        """Puts an event in the queue."""
        self.queue.append(values)

    def take(self, octets):
        """Octets from the host; returns those to it."""
        self._pending += octets
        *frames, self._pending = self._pending.split(b"\0")
        return b"".join(self._frame(frame) for frame in frames if frame)

    def _frame(self, frame):
        body = unstuff(frame)
        if (
            body is None
            or len(body) < 9
            or zlib.crc32(body[:-4]) != struct.unpack("<I", body[-4:])[0]
        ):
            return b""
        opcode, tag, address, count = struct.unpack_from("<BBHB", body)
        words = struct.unpack(f"<{(len(body) - 9) // 4}I", body[5:-4])
        status, answer = self._execute(opcode, address, count, words)
        self.requests.append((opcode, tag, address, words))
        reply = struct.pack(
            f"<BBBB{len(answer)}I", opcode | 0x80, tag, status, len(answer), *answer
        )
        reply = stuff(reply + struct.pack("<I", zlib.crc32(reply)))
        return self.faults.popleft()(reply) if self.faults else reply

    def _execute(self, opcode, address, count, words):
        if opcode == 3:
            if self._delivered and words[0] == self.queue[0]["sequence"] + 1:
                self.queue.popleft()
            self._delivered = bool(self.queue)
            return 0, events.pack(self.queue[0]) if self.queue else []
        if opcode not in (1, 2):
            return 5, []
        if not 1 <= count <= 16 or len(words) != (count if opcode == 2 else 0):
            return 4, []
        answer = []
        for n in range(count):
            status, word = self._access(address + n, words[n] if opcode == 2 else None)
            if status:
                return status, [address + n]
            answer.append(word)
        return 0, answer if opcode == 1 else []

    def _access(self, address, word):
        offset = self._offset(address, spec.SHADOW_BASE)
        if offset is not None:
            if word is None:
                return 0, self.stuck.get(address, self.shadow[offset])
            if self._committing:
                return 7, 0
            if word & ~spec.WORD_MASKS[offset % spec.PAGE_WORDS]:
                return 6, 0
            self.shadow[offset] = word
            return 0, 0
        offset = self._offset(address, spec.IN_FORCE_BASE)
        if offset is not None:
            held = self.in_force[offset]
            return (2, 0) if word is not None else (0, self.stuck.get(address, held))
        register = spec.BY_ADDRESS.get(address)
        if register is None:
            return 1, 0
        if word is None:
            return 0, self._read(register)
        return self._write(register, word), 0

    def _offset(self, address, base):
        """The word among all pages that has this address now, or None."""
        shown = spec.BANK_SYMBOLS * spec.PAGE_WORDS
        bank = self.get("page_bank") if self.symbols > spec.BANK_SYMBOLS else 0
        offset = address - base + bank * shown
        return offset if 0 <= address - base < shown and offset < len(self.shadow) else None

    def _read(self, register):
        if register.name == "state":
            self.state["committing"] = int(self._committing > 0)
            self._committing = max(0, self._committing - 1)
            return register.pack(**self.state)
        return self.stuck.get(register.address, self.words[register.address])

    def _write(self, register, word):
        if not register.writable:
            return 2
        if word & ~register.mask or register.code not in (None, word):
            return 6
        for need in register.needs:
            armable = self.state["config_valid"] and self.state["tables_ready"]
            lacks = {
                spec.Need.DISARMED: self.state["armed"],
                spec.Need.SETTLED: self._committing,
                spec.Need.ARMABLE: self.state["killed"]
                or not armable
                or self.get("alerts")
                or any(self.get(meant) != self.get(own) for meant, own in MEANT.items()),
            }[need]
            if lacks:
                return int(need.refusal)
        if register.kind is spec.Kind.CONFIG:
            self.words[register.address] = word
        else:
            self._command(register, word)
        return 0

    def _command(self, register, word):
        match register.name:
            case "arm":
                self.state["armed"] = 1
            case "disarm":
                self.state["armed"] = 0
            case "kill":
                self.state |= {"armed": 0, "killed": 1}
                self.set_fields("kill_causes", host=1)
                self.set_fields("alerts", killed=1)
            case "clear_kill":
                self.state["killed"] = 0
                self.set_fields("kill_causes")
            case "acknowledge":
                self.set("alerts", self.get("alerts") & ~word)
            case "heartbeat_answer":
                self.answers.append(word)
            case "renew_strategy":
                self.set("strategy_executions", 0)
            case "clear_fill_burst":
                self.cleared.append(word)
            case "commit":
                self._commit(word)
            case "whole":
                self.whole[word & 0xFFFF] = word >> 16
            case "recover":
                self._recovery(phase=2, cause=0, first_known=1, symbol=word)
                self.set("recover_first", 1000)
                self.set("recover_orders", 0)
                self.snapshot = []
            case "recover_abort":
                self._recovery(phase=5, cause=10)
            case "recentre":
                self._recovery(**{"cause": 0, "symbol": word} | self.unplaced)
            case "recentre_place":
                self._recovery(phase=4)
            case "recover_order":
                names = ("reference_low", "reference_high", "shares", "price")
                if word & 0x7FFF_FFFF == len(self.snapshot):
                    order = [self.words[spec.BY_NAME[f"recover_{name}"].address] for name in names]
                    self.snapshot.append((*order, word >> 31))
                    self.set("recover_orders", len(self.snapshot))
            case "recover_join":
                self._recovery(**self.outcome(word))
            case "recover_reference_low" | "recover_reference_high":
                self.words[register.address] = word
            case "recover_shares" | "recover_price":
                self.words[register.address] = word
            case "symbol_write":
                fields = register.unpack(word)
                self.locates.pop(fields["locate"], None)
                if fields["tracked"]:
                    self.locates[fields["locate"]] = fields["symbol"]
            case "clear_locates":
                self.locates.clear()
            case "time_set":
                self.set("time_now_low", self.get("time_low"))
                self.set("time_now_high", self.get("time_high"))
            case "load_session":
                self.set("next_user_ref_num", self.get("user_ref_num_start"))
                self.set("tcp_sequence", self.get("tcp_sequence_start"))
            case "session_connect":
                self._session(state=3, outcome=0, accepted=0, rejected=0, room=1)
            case "session_close":
                self._session(state=0, outcome=1, accepted=0, may_order=0)
            case "session_abort":
                self._session(state=0, outcome=2, accepted=0, may_order=0)
            case "session_octet":
                self.heard += bytes([word & 0xFF])
                if word >> 8:
                    self._answer(self.venue(self.heard))
                    self.heard = b""
            case "cancel_all" | "cancel_order":
                self.cancelled.append(word if register.name == "cancel_order" else None)
            case "load_report_sequence":
                for half in ("low", "high"):
                    self.set(f"due_sequence_{half}", self.get(f"report_sequence_start_{half}"))
            case "set_position":
                self.set("position_low", self.get("position_start"))
                self.set("position_sign", word >> 31)
            case "restart_feed":
                self.set("expected_sequence_low", self.get("start_sequence_low"))
                self.set("expected_sequence_high", self.get("start_sequence_high"))

    def _session(self, **fields):
        register = spec.BY_NAME["session_state"]
        held = register.unpack(self.get("session_state"))
        self.set("session_state", register.pack(**(held | fields)))

    def _answer(self, packet):
        """The venue's answer to a packet, in SoupBinTCP."""
        match packet[2:3]:
            case b"A":
                self._session(accepted=1, may_order=1)
                self.set("told_sequence_low", int(packet[-20:]))
            case b"J":
                self._session(rejected=1, reason=packet[3])

    def _recovery(self, **fields):
        register = spec.BY_NAME["recover_state"]
        held = register.unpack(self.get("recover_state"))
        self.set("recover_state", register.pack(**(held | fields)))

    def _commit(self, checksum):
        octets = struct.pack(f"<{len(self.shadow)}I", *self.shadow)
        fixed = (0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF, 1)
        changes = any(
            (self.shadow[n] ^ self.in_force[n]) & fixed[n % 16]
            for n in range(len(self.shadow))
            if n % 16 < 4
        )
        movable = self.get("recover_state") & 0xF == 7
        self.state["commit_fixed"] = int(self.state["armed"] and changes and not movable)
        wrong = zlib.crc32(octets) != checksum
        self.state["commit_failed"] = int(wrong or self.state["commit_fixed"])
        if not self.state["commit_failed"]:
            self.in_force = list(self.shadow)
            self.set("committed_checksum", checksum)
            account = {r.name: self.get(r.name) for r in spec.ACCOUNT_REGISTERS}
            self.set("account_checksum", spec.account_checksum(account))
            self.state["config_valid"] = 1
            self._committing = self.commit_reads


class MemoryPort:
    """A port to a card in the same thread: where a real one would wait, this one times out."""

    name = "memory"

    def __init__(self, card):
        self.card = card
        self.closed = False
        self.received = b""

    @property
    def in_waiting(self):
        return len(self.received)

    def read(self, size=1, /):
        octets, self.received = self.received[:size], self.received[size:]
        return octets

    def write(self, data, /):
        self.received += self.card.take(bytes(data))
        return len(data)

    def reset_input_buffer(self):
        self.received = b""

    def close(self):
        self.closed = True


@pytest.fixture
def text():
    """A good configuration file."""
    return CONFIGURATION


@pytest.fixture
def config(text):
    """The same, read."""
    return Config.from_text(text)


@pytest.fixture
def make_card():
    """Makes a card."""
    return FakeCard


@pytest.fixture
def card():
    """A card as it is after reset."""
    return FakeCard()


@pytest.fixture
def large_card():
    """A card whose pages do not all have an address at a time."""
    return FakeCard(symbols=1030)


@pytest.fixture
def large_driver(large_card):
    """A driver on it."""
    return Driver(MemoryPort(large_card), first_tag=0)


@pytest.fixture
def port(card):
    """A port to it."""
    return MemoryPort(card)


@pytest.fixture
def make_port():
    """Makes a port to a card in the same thread."""
    return MemoryPort


@pytest.fixture
def driver(port):
    """A driver on it."""
    return Driver(port, first_tag=0)


@pytest.fixture
def served_pty(card):
    """The path of a pseudo-terminal with the card behind it."""
    master, slave = pty.openpty()
    tty.setraw(master)
    tty.setraw(slave)
    with _Server(card, master):
        yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


@pytest.fixture
def served_tcp(card):
    """The URL of a socket with the card behind it, for one connection at a time."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve():
        while not stop.is_set():
            if not select.select([listener], [], [], 0.05)[0]:
                continue
            connection, _ = listener.accept()
            with connection:
                _answer(card, connection.fileno(), stop)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"socket://127.0.0.1:{listener.getsockname()[1]}"
    stop.set()
    thread.join()
    listener.close()


class _Server:
    def __init__(self, card, descriptor):
        self._stop = threading.Event()
        self._thread = threading.Thread(target=_answer, args=(card, descriptor, self._stop))

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def _answer(card, descriptor, stop):
    while not stop.is_set():
        if select.select([descriptor], [], [], 0.05)[0]:
            try:
                octets = os.read(descriptor, 4096)
            except OSError:
                return
            if not octets:
                return
            os.write(descriptor, card.take(octets))


@pytest.fixture
def serve():
    """Serves octets, in pieces, to one client; returns the port and what the client sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    heard, threads = [], []

    def start(octets, *, piece=1 << 16, stay=False):
        def run():
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(100))
                for at in range(0, len(octets), piece):
                    connection.sendall(octets[at : at + piece])
                if stay:
                    connection.settimeout(10)
                    connection.recv(1)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return listener.getsockname()[1], heard

    yield start
    for thread in threads:
        thread.join()
    listener.close()
