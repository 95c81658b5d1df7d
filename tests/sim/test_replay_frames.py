"""Packing messages into frames and finding them again; what becomes of frames that are bad."""

import random
from itertools import pairwise

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from tickgate.sim.capture import CaptureFile, InputError, ItchFile, write_capture
from tickgate.sim.flow import find_flow, flow_frames
from tickgate.sim.frames import MAX_PAYLOAD, Frames, Packer, arrange, line_rate_gaps
from tickgate.sim.messages import Messages
from tickgate.sim.reception import CAUSES, receive, seal
from tickgate.sim.source import CaptureSource, open_source
from tickgate.spec import itch50, moldudp64

ADDRESS, PORT = 0xE936_0C6F, 26477


def make_messages(generator: random.Random, count: int, *, bursts: int = 4) -> list[bytes]:
    """Deletes, adds and directories, some of which share a timestamp."""
    made, time = [], 1
    for number in range(count):
        time += generator.randrange(bursts) == 0
        type_ = generator.choice("DAR")
        octets = bytearray(generator.randbytes(itch50.MESSAGES[type_].size))
        octets[0:11] = itch50.HEADER.pack(
            type=type_, stock_locate=number % 7 + 1, tracking_number=0, timestamp=time
        )
        made.append(bytes(octets))
    return made


def as_file(path, messages: list[bytes]) -> ItchFile:
    path.write_bytes(b"".join(len(each).to_bytes(2, "big") + each for each in messages))
    return ItchFile(path)


def frame_list(frames: Frames) -> list[bytes]:
    edges = [*frames.starts.tolist(), len(frames.octets)]
    return [frames.octets[begin:end].tobytes() for begin, end in pairwise(edges)]


def message_list(messages: Messages) -> list[bytes]:
    return [
        messages.octets[begin : begin + size].tobytes()
        for begin, size in zip(messages.begin.tolist(), messages.size.tolist(), strict=True)
    ]


@pytest.mark.parametrize("pack", [None, 1, 3, 1000])
def test_every_message_is_in_a_frame_that_scapy_finds_right(tmp_path, generator, pack):
    wanted = make_messages(generator, 400, bursts=40)
    file = as_file(tmp_path / "input", wanted)
    packer = Packer(address=ADDRESS, port=PORT, pack=pack)
    found, sequence = [], 1
    for batch in file.batches(150):
        for octets in frame_list(packer.frames(batch)):
            packet = Ether(octets[:-4])
            assert octets == seal(octets[:-4])
            assert packet.dst == "01:00:5e:36:0c:6f"
            assert (packet[IP].dst, packet[UDP].dport) == ("233.54.12.111", PORT)
            checksums = packet[IP].chksum, packet[UDP].chksum
            del packet[IP].chksum, packet[UDP].chksum
            again = Ether(bytes(packet))
            assert (again[IP].chksum, again[UDP].chksum) == checksums
            payload = bytes(packet[UDP].payload)
            assert len(payload) <= MAX_PAYLOAD
            header = moldudp64.HEADER.unpack_from(payload)
            assert header["sequence"] == sequence
            sequence += header["count"]
            if pack is not None:
                assert header["count"] <= pack
            at = moldudp64.HEADER.size
            for _ in range(header["count"]):
                size = int.from_bytes(payload[at : at + 2], "big")
                found.append(payload[at + 2 : at + 2 + size])
                at += 2 + size
            assert at == len(payload)
    assert found == wanted


def test_messages_of_one_timestamp_share_a_datagram_and_others_do_not(tmp_path, generator):
    wanted = make_messages(generator, 300, bursts=3)
    (batch,) = as_file(tmp_path / "input", wanted).batches()
    frames = Packer(address=ADDRESS, port=PORT).frames(batch)
    times = batch.header("timestamp")
    together = times[1:] == times[:-1]
    assert together.any() and not together.all()
    assert np.array_equal(frames.frame[1:] == frames.frame[:-1], together)


def test_the_last_octet_of_each_message_is_where_it_is_said_to_be(tmp_path, generator):
    wanted = make_messages(generator, 200)
    (batch,) = as_file(tmp_path / "input", wanted).batches()
    frames = Packer(address=ADDRESS, port=PORT).frames(batch)
    octets = frame_list(frames)
    for message, frame, last in zip(
        wanted, frames.frame.tolist(), frames.last_octets.tolist(), strict=True
    ):
        assert octets[frame][last + 1 - len(message) : last + 1] == message


@pytest.mark.parametrize("records", [1, 2, 10, 64, 10_000])
def test_pieces_are_the_same_frames_and_no_larger_than_asked(tmp_path, generator, records):
    wanted = make_messages(generator, 250)
    (batch,) = as_file(tmp_path / "input", wanted).batches()
    whole = Packer(address=ADDRESS, port=PORT).frames(batch)
    pieces = list(whole.pieces(records))
    assert [frame for piece in pieces for frame in frame_list(piece)] == frame_list(whole)
    index = 1
    found = []
    for piece in pieces:
        size = len(piece.lengths) + len(piece.messages)
        assert size <= records or len(piece.lengths) == 1
        assert piece.first_index == index
        assert piece.sequence.tolist() == list(range(index, index + len(piece.messages)))
        index += len(piece.messages)
        found += message_list(piece.messages)
    assert found == wanted


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_frames_at_line_rate_come_one_word_after_their_place_on_the_wire_at_most(width):
    lengths = np.array([66, 67, 71, 100, 1514, 104, 104, 105, 104])
    gaps = line_rate_gaps(lengths, width=width)
    words = -(-lengths // width)
    starts = np.cumsum(gaps) + np.cumsum(words) - words
    late = starts * width - (np.cumsum(lengths + 20) - lengths)
    assert ((late >= 0) & (late < width)).all()


def captured(tmp_path, frames: list[bytes]) -> CaptureFile:
    write_capture(tmp_path / "capture", list(enumerate(frames)))
    return CaptureFile(tmp_path / "capture")


def make_frames(tmp_path, messages: list[bytes], **where) -> list[bytes]:
    (batch,) = as_file(tmp_path / "input", messages).batches()
    packer = Packer(**{"address": ADDRESS, "port": PORT, "pack": 2, **where})
    return frame_list(packer.frames(batch))


@pytest.mark.parametrize("with_fcs", [False, True])
def test_the_busiest_flow_of_a_capture_is_the_feed(tmp_path, generator, with_fcs):
    wanted = make_messages(generator, 60)
    others = make_frames(tmp_path, make_messages(generator, 20), port=1234)
    noise = bytes(Ether() / IP(dst="192.0.2.1") / UDP(dport=53) / Raw(b"not MoldUDP64" * 3))
    frames = make_frames(tmp_path, wanted) + others + [seal(noise)]
    capture = captured(tmp_path, frames if with_fcs else [frame[:-4] for frame in frames])
    flow = find_flow(capture)
    assert (flow.address, flow.port, flow.has_fcs) == (ADDRESS, PORT, with_fcs)
    (found,) = flow_frames(capture, flow)
    assert frame_list(found) == frames
    assert message_list(found.messages) == wanted
    assert found.causes.count("not_for_us") == len(others) + 1
    assert found.due.all()


def test_tagged_frames_are_passed_through_as_they_are(tmp_path, generator):
    wanted = make_messages(generator, 10)
    tagged = []
    for frame in make_frames(tmp_path, wanted):
        packet = Ether(frame[:-4])
        tagged.append(bytes(Ether(dst=packet.dst) / Dot1Q(vlan=141) / packet.payload))
    capture = captured(tmp_path, tagged)
    (found,) = flow_frames(capture, find_flow(capture))
    assert frame_list(found) == list(map(seal, tagged))
    assert message_list(found.messages) == wanted


def test_messages_that_the_feed_has_had_are_not_due(tmp_path, generator):
    wanted = make_messages(generator, 12)
    frames = make_frames(tmp_path, wanted)
    overlap = make_frames(tmp_path, wanted, pack=5)[1]
    capture = captured(tmp_path, [frames[0], frames[0], frames[1], frames[2], overlap, *frames[5:]])
    (found,) = flow_frames(capture, find_flow(capture))
    due = np.flatnonzero(found.due)
    assert found.sequence[due].tolist() == list(range(1, 13))
    assert message_list(found.messages.of(due)) == wanted


def test_another_session_begins_anew(tmp_path, generator):
    first, second = make_messages(generator, 4), make_messages(generator, 6)
    later = []
    for frame in make_frames(tmp_path, second):
        body = bytearray(frame[:-4])
        body[42:52] = b"another   "
        later.append(seal(bytes(body)))
    capture = captured(tmp_path, make_frames(tmp_path, first) + later)
    (found,) = flow_frames(capture, find_flow(capture))
    assert found.due.all()
    assert message_list(found.messages) == first + second


def test_what_is_missing_in_a_capture_is_told(tmp_path, generator):
    frames = make_frames(tmp_path, make_messages(generator, 20))
    damaged = frames[6][:-1] + bytes([frames[6][-1] ^ 1])
    write_capture(
        tmp_path / "capture", list(enumerate([*frames[:3], *frames[4:6], damaged, *frames[7:]]))
    )
    source = open_source(tmp_path / "capture")
    assert isinstance(source, CaptureSource)
    assert source.from_start and source.first_sequence == 1
    parts = [(len(batch), continuous) for batch, continuous in source.messages()]
    assert sum(count for count, _ in parts) == 18
    assert parts[0] == (6, True)
    assert parts[1] == (4, False)
    assert not any(continuous for _, continuous in parts[1:])


@pytest.mark.parametrize(
    "payload", [b"", b"x" * 19, b"x" * 60, moldudp64.HEADER.pack(session="S", sequence=1, count=0)]
)
def test_a_capture_without_itch_in_moldudp64_is_refused(tmp_path, payload):
    frame = bytes(Ether() / IP(dst="233.54.12.111") / UDP(dport=PORT) / Raw(payload))
    with pytest.raises(InputError, match="none of its 1 frames carries ITCH"):
        find_flow(captured(tmp_path, [frame]))


SOUND = Ether() / IP(dst="233.54.12.111") / UDP(dport=PORT) / Raw(b"x" * 40)


def changed(at: int, value: int) -> bytes:
    """The sound frame with an octet of its IPv4 header changed and the checksum right again."""
    octets = bytearray(bytes(SOUND))
    octets[at] = value
    octets[24:26] = bytes(2)
    total = sum(int.from_bytes(octets[n : n + 2], "big") for n in range(14, 34, 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    octets[24:26] = (total ^ 0xFFFF).to_bytes(2, "big")
    return bytes(octets)


@pytest.mark.parametrize(
    ("cause", "frame"),
    [
        (None, seal(bytes(SOUND))),
        ("fcs_errors", bytes(SOUND) + b"none"),
        ("runts", seal(bytes(SOUND)[:38])),
        ("not_ip", seal(bytes(Ether(type=0x0806) / Raw(b"x" * 60)))),
        ("ip_version", seal(changed(14, 0x65))),
        ("ip_options", seal(changed(14, 0x46))),
        ("ip_checksum", seal(bytes(SOUND)[:22] + b"\1" + bytes(SOUND)[23:])),
        ("ip_length", seal(changed(17, 27))),
        ("ip_fragment", seal(changed(20, 0x20))),
        ("ip_fragment", seal(changed(21, 0x01))),
        ("not_udp", seal(changed(23, 6))),
        ("not_for_us", seal(changed(33, 1))),
        ("udp_length", seal(changed(17, 69))),
        ("truncated", seal(bytes(SOUND)[:-1])),
    ],
)
def test_each_kind_of_bad_frame_has_its_cause(cause, frame):
    assert cause is None or cause in CAUSES
    reception = receive(frame, (ADDRESS, PORT))
    assert reception.cause == cause
    taken = cause in (None, "fcs_errors", "truncated")
    assert (reception.size >= 0) == taken
    if cause is None:
        assert frame[reception.at : reception.at + reception.size] == b"x" * 40


def test_frames_are_arranged_with_their_messages_and_the_first_copy_is_due(tmp_path, generator):
    (batch,) = as_file(tmp_path / "input", make_messages(generator, 60)).batches(100)
    parts = [Packer(address=ADDRESS, port=PORT + line, line=line).frames(batch) for line in (0, 1)]
    wanted = [each for part in parts for each in frame_list(part)]
    count = len(wanted) // 2
    order = [*generator.sample(range(2 * count), count), 3]
    frames = arrange(parts, np.array(order))
    assert frame_list(frames) == [wanted[at] for at in order]
    assert frames.line.tolist() == [at // count for at in order]
    in_frames, sequences, seen = [], [], set()
    for at in order:
        inside = parts[0].frame == at % count
        in_frames += message_list(parts[0].messages.of(inside))
        sequences += parts[0].sequence[inside].tolist()
    assert message_list(frames.messages) == in_frames
    assert frames.sequence.tolist() == sequences
    assert frames.due.tolist() == [not (each in seen or seen.add(each)) for each in sequences]
    for number, last in zip(frames.frame.tolist(), frames.last_octets.tolist(), strict=True):
        assert last < frames.lengths[number]
