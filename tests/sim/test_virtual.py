"""The virtual card's own machinery, on a core so simple that every cycle is known."""

import contextlib
import os
import random
import select
import threading
from itertools import pairwise

import numpy as np
import pytest
import serial
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.stream import Octets, Order, Top
from tickgate.sim.virtual import BuildError, Card, SerialServer, build, make_core
from tickgate.sim.virtual.top import VirtualTop

SEED = 20191230
WRITES_MEMORY, BUBBLES, GAP = 0xDD, 0xEE, 0xFF


class LoopbackCore(wiring.Component):
    """Sends each frame back whole, each control octet with its lowest bit inverted.

    Latency: `LATENCY` cycles from the last word of a frame to the monitors, which carry that word
    (`top_bid_price`, `verdict_reasons`) and the frame's number (`top_sequence`,
    `verdict_user_ref_num`); `top_ask_price` is a word of a memory that only a frame whose first
    octet is 0xDD writes. `gap` strobes for a first octet 0xFF. After a frame with a first octet
    0xEE, a bubble follows each word on tx.
    """

    LATENCY = 3

    def __init__(self, *, width: int) -> None:
        self._width = width
        verdict = data.StructLayout({"approved": 1, "reasons": 64, "order": Order(4)})
        super().__init__(
            {
                "rx": In(stream.Signature(Octets(width), always_ready=True)),
                "tx": Out(stream.Signature(Octets(width))),
                "control_rx": In(stream.Signature(8)),
                "control_tx": Out(stream.Signature(8)),
                "tops": Out(wiring.Signature({"valid": Out(1), "payload": Out(Top(4))})),
                "verdicts": Out(wiring.Signature({"valid": Out(1), "payload": Out(verdict)})),
                "gap": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.store = store = fifo.SyncFIFOBuffered(
            width=Octets(self._width).size, depth=1024
        )
        m.submodules.answers = answers = fifo.SyncFIFOBuffered(width=8, depth=1024)
        m.submodules.table = table = memory.Memory(shape=32, depth=256, init=[])
        written, read = table.write_port(), table.read_port()
        frames, bubbles, bubble = Signal(16), Signal(), Signal()
        word, begins = self.rx.payload.data, self.rx.valid & self.rx.payload.first
        arrived = self.rx.valid & self.rx.payload.last
        left = self.tx.valid & self.tx.ready & self.tx.payload.last
        m.d.sync += [
            frames.eq(frames + arrived - left),
            bubbles.eq(bubbles | (begins & (word[:8] == BUBBLES))),
            bubble.eq(bubbles & ~bubble),
        ]
        m.d.comb += [
            store.w_data.eq(self.rx.payload),
            store.w_en.eq(self.rx.valid),
            self.tx.payload.eq(store.r_data),
            self.tx.valid.eq(store.r_rdy & (frames != 0) & ~bubble),
            store.r_en.eq(self.tx.valid & self.tx.ready),
            answers.w_data.eq(self.control_rx.payload ^ 1),
            answers.w_en.eq(self.control_rx.valid),
            self.control_rx.ready.eq(answers.w_rdy),
            self.control_tx.payload.eq(answers.r_data),
            self.control_tx.valid.eq(answers.r_rdy),
            answers.r_en.eq(self.control_tx.ready),
            self.gap.eq(begins & (word[:8] == GAP)),
            written.en.eq(begins & (word[:8] == WRITES_MEMORY)),
            written.data.eq(1),
            read.addr.eq(77),
        ]
        number = Signal(32)
        m.d.sync += number.eq(number + arrived)
        seen = Cat(number, arrived, word)
        for stage in range(self.LATENCY):
            later = Signal(len(seen), name=f"seen_{stage}")
            m.d.sync += later.eq(seen)
            seen = later
        m.d.comb += [
            self.tops.valid.eq(seen[32]),
            self.tops.payload.bid_price.eq(seen[33:]),
            self.tops.payload.ask_price.eq(read.data),
            self.tops.payload.sequence.eq(seen[:32]),
            self.verdicts.valid.eq(seen[32]),
            self.verdicts.payload.approved.eq(seen[33]),
            self.verdicts.payload.reasons.eq(seen[33:]),
            self.verdicts.payload.order.user_ref_num.eq(seen[:32]),
        ]
        return m


@pytest.fixture(params=[1, 8])
def width(request) -> int:
    return request.param


@pytest.fixture
def card(width):
    with Card(core=LoopbackCore(width=width), quiet=True) as card:
        yield card


def random_frames(count: int, *, seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """Frames of 20 to 90 octets, none of which begins with an octet that means something."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(20, 91, count, dtype=np.uint32)
    frames = generator.integers(0, 256, int(lengths.sum()), dtype=np.uint8)
    frames[np.cumsum(lengths) - lengths] = 0
    return frames, lengths


def pieces(frames: np.ndarray, lengths: np.ndarray) -> list[bytes]:
    return [part.tobytes() for part in np.split(frames, np.cumsum(lengths)[:-1])]


def words_of(lengths, width: int):
    return -(-lengths.astype(np.int64) // width)


def test_frames_pass_in_and_out_octet_for_octet(card):
    frames, lengths = random_frames(60)
    card.send(frames, lengths, gap=3, drain=8000)
    log = card.take()
    assert [frame.octets for frame in log.tx_frames] == pieces(frames, lengths)
    assert card.tx_faults == 0


def test_frames_of_one_call_start_after_exactly_their_gap(card, width):
    frames, lengths = random_frames(30)
    gaps = np.random.default_rng(SEED).integers(0, 9, 30, dtype=np.uint32)
    began = card.cycle
    card.send(frames, lengths, gap=gaps)
    ends = began + np.cumsum(words_of(lengths, width) + gaps)
    assert card.cycle == ends[-1]
    assert card.take().starts.tolist() == (ends - words_of(lengths, width)).tolist()


def test_a_latency_of_the_core_is_the_difference_of_two_cycles_of_the_log(card, width):
    frames, lengths = random_frames(30)
    card.send(frames, lengths, gap=2, drain=100)
    log = card.take()
    last_words = log.starts.astype(np.int64) + words_of(lengths, width) - 1
    assert (log.tops["cycle"] - last_words == LoopbackCore.LATENCY).all()
    assert (log.verdicts["cycle"] - last_words == LoopbackCore.LATENCY).all()


def test_monitors_carry_every_field(card, width):
    frames, lengths = random_frames(30)
    card.send(frames, lengths, gap=1, drain=100)
    log = card.take()
    last_words = [
        int.from_bytes(frame[(len(frame) - 1) // width * width :], "little")
        for frame in pieces(frames, lengths)
    ]
    assert log.verdicts["reasons"].tolist() == last_words
    assert log.verdicts["approved"].tolist() == [word & 1 for word in last_words]
    assert log.verdicts["user_ref_num"].tolist() == list(range(30))
    assert log.tops["bid_price"].tolist() == [word & 0xFFFFFFFF for word in last_words]
    assert log.tops["sequence"].tolist() == list(range(30))


def test_a_gap_strobe_is_logged_with_its_cycle(card):
    card.send(bytes([GAP]) + bytes(63) + bytes(64), [64, 64], gap=5)
    log = card.take()
    assert log.gaps.tolist() == log.starts[:1].tolist()


def test_what_was_taken_is_not_given_again(card):
    card.send(*random_frames(3), drain=1000)
    assert len(card.take().tx_frames) == 3
    again = card.take()
    assert [len(part) for part in (again.starts, again.tops, again.verdicts)] == [0, 0, 0]
    assert again.tx_frames == []


@pytest.mark.parametrize("tx_gap", [0, 20])
def test_sent_frames_are_as_far_apart_as_ethernet_makes_them(width, tx_gap):
    frames, lengths = random_frames(40)
    with Card(core=LoopbackCore(width=width), tx_gap=tx_gap, quiet=True) as card:
        card.send(frames, lengths, drain=9000)
        sent = card.take().tx_frames
    apart = [after.first_cycle - before.first_cycle for before, after in pairwise(sent)]
    least = [-(-(len(frame.octets) + tx_gap) // width) for frame in sent[:-1]]
    assert all(real >= needed for real, needed in zip(apart, least, strict=True))
    # The loopback cannot send a frame before it has the whole of it; the last ones wait for tx.
    assert apart[-5:] == least[-5:] or tx_gap == 0


def test_each_bubble_inside_a_sent_frame_is_a_fault(card, width):
    card.send(bytes([BUBBLES]) + bytes(63), [64], drain=500)
    assert card.tx_faults == 64 // width - 1


def test_a_frame_that_comes_right_after_a_reset_is_whole(card):
    for _ in range(2):
        card.send(bytes(range(64)), [64], drain=500)
        assert [frame.octets for frame in card.take().tx_frames] == [bytes(range(64))]
        card.reset()
    assert card.tx_faults == 0


def test_frames_and_lengths_that_disagree_are_refused(card):
    with pytest.raises(ValueError, match="add up to 64 octets, the frames to 65"):
        card.send(bytes(65), [64])
    with pytest.raises(ValueError, match="frame 1 is empty"):
        card.send(bytes(64), [64, 0])


def test_memories_start_with_random_content_on_request(width):
    def word(seed: int) -> int:
        with Card(core=LoopbackCore(width=width), memory_seed=seed, quiet=True) as card:
            card.send(bytes(64), [64], drain=10)
            return int(card.take().tops["ask_price"][0])

    assert word(0) == 0
    assert word(1) != 0
    assert word(1) == word(1) != word(2)


def test_a_trace_of_everything_is_written_on_request(tmp_path):
    with Card(core=LoopbackCore(width=8), trace=tmp_path / "card.vcd", quiet=True) as card:
        card.send(bytes(64), [64], drain=10)
    trace = (tmp_path / "card.vcd").read_text()
    assert "rx_data" in trace and "seen_0" in trace and "#60" in trace


def test_several_cards_of_different_make_live_side_by_side():
    with (
        Card(core=LoopbackCore(width=1), quiet=True) as narrow,
        Card(core=LoopbackCore(width=8), quiet=True) as wide,
        Card(core=LoopbackCore(width=8), quiet=True) as third,
    ):
        narrow.send(bytes(64), [64], drain=200)
        wide.send(bytes(128), [64, 64], drain=200)
        assert [len(each.take().tops) for each in (narrow, wide, third)] == [1, 2, 0]
        assert third.cycle < wide.cycle < narrow.cycle


def test_a_closed_card_says_so(card):
    card.close()
    with pytest.raises(RuntimeError, match="closed"):
        card.run(1)


def test_a_card_is_built_once_and_then_found_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "cache_directory", lambda: tmp_path)
    Card(core=LoopbackCore(width=1), quiet=True).close()

    def compile_again(*arguments, **options):
        raise AssertionError("built a second time")

    monkeypatch.setattr(build, "_compile", compile_again)
    Card(core=LoopbackCore(width=1), quiet=True).close()
    with pytest.raises(AssertionError, match="second time"):
        Card(core=LoopbackCore(width=1), uart_divisor=5, quiet=True)
    assert not list(tmp_path.glob("**/building-*"))


def test_a_known_recipe_is_found_without_elaborating_until_the_sources_change(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(build, "cache_directory", lambda: tmp_path)
    made = []

    def make_top() -> VirtualTop:
        made.append(VirtualTop(LoopbackCore(width=8)))
        return made[-1]

    first = build.netlist(make_top, recipe="loopback 8", quiet=True)
    assert build.netlist(make_top, recipe="loopback 8", quiet=True) == first
    assert len(made) == 1
    assert build.netlist(make_top, recipe="loopback, eight", quiet=True) == first
    assert len(made) == 2
    monkeypatch.setattr(build, "SOURCES", "edited")
    assert build.netlist(make_top, recipe="loopback 8", quiet=True) == first
    assert len(made) == 3
    assert first.ports == build.Ports.of(made[0])


def test_a_width_that_ethernet_does_not_have_is_refused():
    with pytest.raises(ValueError, match="width must be"):
        make_core(width=3)


def test_a_missing_compiler_is_told_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(BuildError, match=r"No C\+\+ compiler.*apt install g\+\+"):
        Card(core=LoopbackCore(width=8), quiet=True)


def test_serial_octets_travel_both_ways_over_the_pins(card):
    octets = random.Random(SEED).randbytes(300)
    assert card.serial.write(octets) == 300
    assert card.serial.read(300) == bytes(octet ^ 1 for octet in octets)
    assert card.serial.framing_errors == 0


def test_a_serial_octet_takes_ten_bits_each_way(width):
    for divisor in (4, 7):
        with Card(core=LoopbackCore(width=width), uart_divisor=divisor, quiet=True) as card:
            began = card.cycle
            card.serial.write(b"x" * 50)
            card.serial.read(50)
            assert 50 * 10 * divisor <= card.cycle - began <= 52 * 10 * divisor


def test_without_a_uart_a_serial_octet_takes_a_cycle_each_way(width):
    octets = random.Random(SEED).randbytes(300)
    with Card(core=LoopbackCore(width=width), uart_divisor=0, quiet=True) as card:
        began = card.cycle
        card.serial.write(octets)
        assert card.serial.read(300) == bytes(octet ^ 1 for octet in octets)
        assert 300 <= card.cycle - began <= 310
        assert card.serial.in_waiting == 0


def test_a_serial_read_gives_up_when_its_patience_is_over(card):
    card.serial.timeout = 0.01
    began = card.cycle
    card.serial.write(b"a")
    assert card.serial.read(2) == b"`"
    assert card.cycle - began == 0.01 * card.serial.CYCLES_A_SECOND
    card.serial.timeout = 0
    assert card.serial.read(1) == b""


def test_waiting_for_serial_octets_lets_time_pass(card):
    card.serial.write(b"abc")
    while card.serial.in_waiting < 3:
        card.serial.flush()
    assert card.serial.read(card.serial.in_waiting) == b"`cb"


def test_serial_input_that_nobody_wants_is_flushed(card):
    card.serial.write(b"abc")
    card.serial.flush()
    card.run(200)
    card.serial.reset_input_buffer()
    assert card.serial.read_waiting() == b""


def test_a_serial_port_that_is_closed_refuses_and_opens_again(card):
    card.serial.close()
    with pytest.raises(serial.PortNotOpenError):
        card.serial.write(b"a")
    card.serial.open()
    card.serial.write(b"a")
    assert card.serial.read(1) == b"`"


def test_serial_octets_flow_while_frames_do(card):
    card.serial.write(b"abc")
    frames, lengths = random_frames(200)
    card.send(frames, lengths, drain=200)
    assert card.serial.read_waiting() == b"`cb"


@contextlib.contextmanager
def served(card, *, feed=(), observe=None, **options):
    """A server of a card's UART that runs in a thread of its own."""
    stop = threading.Event()
    with SerialServer(card, **options) as server:
        thread = threading.Thread(
            target=server.run, kwargs={"stop": stop, "feed": feed, "observe": observe}
        )
        thread.start()
        try:
            yield server
        finally:
            stop.set()
            thread.join()


def ask(port: str, octets: bytes) -> bytes:
    with serial.serial_for_url(port, timeout=5) as line:
        line.write(octets)
        return line.read(len(octets))


def test_a_pseudo_terminal_carries_every_octet_unchanged(card):
    octets = bytes(range(256)) * 3
    with served(card) as server:
        assert ask(server.path, octets) == bytes(octet ^ 1 for octet in octets)


def test_a_pseudo_terminal_is_raw_for_who_knows_nothing_of_terminals(card):
    octets = b"\x03\x04\r\nabc\x11\x13\x1a\x7f"
    with served(card) as server:
        client = os.open(server.path, os.O_RDWR | os.O_NOCTTY)
        try:
            os.write(client, octets)
            answer = b""
            while len(answer) < len(octets) and select.select([client], [], [], 5)[0]:
                answer += os.read(client, 64)
        finally:
            os.close(client)
    assert answer == bytes(octet ^ 1 for octet in octets)


def test_clients_of_a_pseudo_terminal_come_and_go(card):
    with served(card) as server:
        for n in range(20):
            assert ask(server.path, bytes([n, 0, 10, 13])) == bytes([n ^ 1, 1, 11, 12])


def test_a_client_that_leaves_without_reading_leaves_nothing_to_the_next(card):
    with served(card) as server:
        for _ in range(3):
            with serial.Serial(server.path, timeout=5) as line:
                line.write(b"nobody reads the answer")
                line.flush()
        with serial.Serial(server.path, timeout=0.3) as line:
            while line.read(64):
                pass
            line.write(b"a")
            assert line.read(1) == b"`"


def test_a_link_names_the_pseudo_terminal_and_goes_with_it(card, tmp_path):
    link = tmp_path / "card"
    link.symlink_to(tmp_path / "left by an earlier run")
    with served(card, link=link) as server:
        assert os.path.realpath(link) == server.path
        assert ask(str(link), b"abc") == b"`cb"
    assert not link.is_symlink()


def test_a_link_does_not_replace_a_file(card, tmp_path):
    (tmp_path / "card").write_text("precious")
    with pytest.raises(FileExistsError):
        SerialServer(card, link=tmp_path / "card")
    assert (tmp_path / "card").read_text() == "precious"


def test_a_tcp_port_serves_one_client_after_another(card):
    with served(card, tcp=0) as server:
        for n in range(5):
            assert ask(f"socket://127.0.0.1:{server.port}", bytes([n, 255])) == bytes([n ^ 1, 254])
        assert ask(server.path, b"abc") == b"`cb"


def test_a_feed_is_played_while_clients_are_served(card):
    frames, lengths = random_frames(50)
    seen, all_seen = [], threading.Event()

    def observe(log) -> None:
        seen.extend(frame.octets for frame in log.tx_frames)
        if len(seen) == 4 * 50:
            all_seen.set()

    # 25 idle cycles: the loopback must not fall behind, at any width.
    with served(card, feed=[(frames, lengths, 25)] * 4, observe=observe) as server:
        assert ask(server.path, b"abc") == b"`cb"
        assert all_seen.wait(10)
    assert seen == pieces(frames, lengths) * 4
