"""Input files: what is read from them, and what is said of those that cannot be used."""

import gzip
import struct

import numpy as np
import pytest
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgWriter, PcapReader, PcapWriter

from tickgate.host.errors import UserError
from tickgate.sim.capture import CaptureFile, InputError, ItchFile, open_input, write_capture
from tickgate.spec import itch50


def delete(reference: int) -> bytes:
    return itch50.MESSAGES["D"].pack(
        stock_locate=13, tracking_number=0, timestamp=reference, order_ref=reference
    )


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def read(path, **keywords) -> list[bytes]:
    batches = open_input(path).batches(**keywords)
    return [
        batch.octets[begin : begin + size].tobytes()
        for batch in batches
        for begin, size in zip(batch.begin.tolist(), batch.size.tolist(), strict=True)
    ]


MESSAGES = [delete(n) for n in range(300)]


@pytest.mark.parametrize("batch", [1, 7, 1000])
@pytest.mark.parametrize("zipped", [False, True])
def test_itch_messages_come_whole_and_in_order(tmp_path, monkeypatch, batch, zipped):
    monkeypatch.setattr("tickgate.sim.capture.READ_SIZE", 100)
    path = tmp_path / "input"
    path.write_bytes(gzip.compress(framed(*MESSAGES), mtime=0) if zipped else framed(*MESSAGES))
    assert isinstance(open_input(path), ItchFile)
    assert read(path, messages=batch) == MESSAGES


def test_a_length_of_zero_ends_the_session(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(framed(*MESSAGES[:5]) + b"\0\0" + framed(*MESSAGES[5:9]))
    assert read(path) == MESSAGES[:5]


def test_a_message_of_unknown_type_is_passed_on_behind_the_first(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(framed(MESSAGES[0], b"z" * 20, MESSAGES[1]))
    assert read(path) == [MESSAGES[0], b"z" * 20, MESSAGES[1]]


def test_every_cut_is_noticed_and_located(tmp_path, monkeypatch):
    monkeypatch.setattr("tickgate.sim.capture.READ_SIZE", 16)
    path = tmp_path / "input"
    data = framed(*MESSAGES[:3])
    for size in range(22, len(data)):
        path.write_bytes(data[:size])
        if size % 21 == 0:
            assert read(path) == MESSAGES[: size // 21]
            continue
        place = f"message {size // 21 + 1}, which begins at octet {size // 21 * 21}:"
        with pytest.raises(InputError, match=place):
            read(path)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (b"\0", "no message"),
        (b"\0\0" + framed(*MESSAGES[:2]), "would have 0 octets"),
        (b"hello, world\n" * 9, "neither a capture nor ITCH 5.0"),
        (b"\0" * 1000, "neither a capture nor ITCH 5.0"),
        (framed(MESSAGES[0][:-1]), "would have 18 octets and type 'D'"),
        (
            framed(MESSAGES[0]) + b"\xff\xff" + b"x" * 100,
            "message 2, at octet 21, would have 65535",
        ),
        (framed(MESSAGES[0], b"D12"), "message 2, at octet 21, would have 3 octets"),
        (gzip.compress(framed(*MESSAGES), mtime=0)[:100], "gzip file is cut off"),
        (gzip.compress(framed(*MESSAGES), mtime=0)[:-4] + b"none", "gzip file is damaged"),
    ],
)
def test_what_is_no_input_is_said_in_one_line(tmp_path, data, complaint):
    path = tmp_path / "input"
    path.write_bytes(data)
    with pytest.raises(InputError, match=complaint) as caught:
        read(path)
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_opened_is_said_so(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        open_input(tmp_path / "missing")
    with pytest.raises(InputError, match="Is a directory"):
        open_input(tmp_path)


FRAMES = [
    bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / (b"x" * n))
    for n in (46, 47, 48, 1400)
]


@pytest.mark.parametrize(
    "writer",
    [
        lambda path: PcapWriter(path, linktype=1),
        lambda path: PcapWriter(path, linktype=1, nano=True),
        lambda path: PcapWriter(path, linktype=1, endianness=">"),
        lambda path: PcapWriter(path, linktype=1, gz=True),
        PcapNgWriter,
    ],
    ids=["pcap", "nanoseconds", "big-endian", "gzip", "pcapng"],
)
def test_captures_of_every_kind_give_their_frames(tmp_path, writer):
    path = tmp_path / "capture"
    with writer(str(path)) as capture:
        capture.write([Ether(frame) for frame in FRAMES])
    opened = open_input(path)
    assert isinstance(opened, CaptureFile)
    assert list(opened.frames()) == FRAMES


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


@pytest.mark.parametrize("order", "<>")
def test_pcapng_blocks_of_every_packet_kind_are_read_in_either_byte_order(tmp_path, order):
    frame = FRAMES[2] + b"yz"
    packet = frame + bytes(-len(frame) % 4)
    size = len(frame)
    path = tmp_path / "capture"
    path.write_bytes(
        block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
        + block(1, struct.pack(order + "HHI", 1, 0, 0), order)
        + block(0xBAD, b"unknown!", order)
        + block(3, struct.pack(order + "I", size) + packet, order)
        + block(2, struct.pack(order + "HHIIII", 0, 0, 0, 0, size, size) + packet, order)
        + block(6, struct.pack(order + "IIIII", 0, 0, 0, size, size) + packet, order)
    )
    assert list(open_input(path).frames()) == [frame] * 3


@pytest.mark.parametrize(
    ("writer", "last"), [(lambda path: PcapWriter(path, linktype=1), 77), (PcapNgWriter, 96)]
)
def test_a_capture_that_is_cut_off_anywhere_is_noticed(tmp_path, writer, last):
    path = tmp_path / "capture"
    with writer(str(path)) as capture:
        capture.write([Ether(frame) for frame in FRAMES[:2]])
    data = path.read_bytes()
    last = len(data) - last
    for size in range(last + 1, len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match="cut off inside"):
            list(open_input(path).frames())
    path.write_bytes(data[:last])
    assert list(open_input(path).frames()) == FRAMES[:1]


@pytest.mark.parametrize(
    ("link", "captured", "complaint"),
    [(113, 60, "link type 113 is not Ethernet"), (1, 40, "captured to 40 of its 60 octets")],
)
def test_a_capture_that_cannot_be_replayed_is_refused(tmp_path, link, captured, complaint):
    path = tmp_path / "capture"
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    path.write_bytes(header + struct.pack("<IIII", 0, 0, captured, 60) + FRAMES[0][:captured])
    with pytest.raises(InputError, match=complaint):
        list(open_input(path).frames())


def test_a_written_capture_is_read_by_another_program(tmp_path):
    path = tmp_path / "capture"
    write_capture(path, [(1_500_000_000 + n, frame) for n, frame in enumerate(FRAMES)])
    with PcapReader(str(path)) as capture:
        packets = list(capture)
    assert [bytes(packet) for packet in packets] == FRAMES
    assert np.isclose(float(packets[0].time), 1.5)
    with pytest.raises(InputError, match="cannot be written"):
        write_capture(tmp_path / "missing" / "capture", [])
