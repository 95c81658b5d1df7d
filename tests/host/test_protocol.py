"""Frames, as octets."""

import zlib

import pytest
from cobs import cobs

from tickgate.host.errors import FrameError
from tickgate.host.protocol import Reply, Request

# Made by hand: the body 01 07 02 03 02, its CRC-32 0xA0320095, COBS on paper.
READ = Request(opcode=1, tag=7, address=0x0302, count=2)
READ_FRAME = bytes.fromhex("07 01 07 02 03 02 95 03 32 a0 00")
WRITE = Request(opcode=2, tag=255, address=0x1000, count=1, words=(0x00C0FFEE,))


def test_a_request_is_the_octets_of_the_document():
    assert READ.encode() == READ_FRAME
    assert Request.decode(READ_FRAME[:-1]) == READ


def test_a_frame_has_no_zero_but_its_delimiter():
    frame = WRITE.encode()
    assert frame.index(0) == len(frame) - 1
    assert Request.decode(frame[:-1]) == WRITE


def test_every_single_changed_bit_of_a_reply_is_noticed():
    frame = Reply(opcode=1, tag=9, status=0, words=(0, 0xFFFF_FFFF)).encode()[:-1]
    for bit in range(8 * len(frame)):
        octets = bytearray(frame)
        octets[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError):
            Reply.decode(bytes(octets))


@pytest.mark.parametrize("size", range(12))
def test_a_cut_frame_is_noticed(size):
    frame = Reply(opcode=1, tag=9, status=0, words=(1,)).encode()
    with pytest.raises(FrameError):
        Reply.decode(frame[:size])


def test_a_request_is_no_reply():
    with pytest.raises(FrameError):
        Reply.decode(READ.encode()[:-1])
    body = bytes([0x01, 9, 0, 0])
    with pytest.raises(FrameError, match="not that of a reply"):
        Reply.decode(cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")))


def test_a_reply_holds_as_many_words_as_it_announces():
    body = bytes([0x81, 9, 0, 2, 1, 2, 3, 4])
    with pytest.raises(FrameError, match="announces 2 words and holds 1"):
        Reply.decode(cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")))


def test_a_reply_answers_the_request_with_its_opcode_tag_and_count_only():
    assert Reply(1, 7, 0, (1, 2)).answers(READ)
    assert Reply(1, 7, 1, (0x0302,)).answers(READ)
    assert not Reply(1, 7, 0, (1,)).answers(READ)
    assert not Reply(1, 6, 0, (1, 2)).answers(READ)
    assert not Reply(2, 7, 0, ()).answers(READ)
