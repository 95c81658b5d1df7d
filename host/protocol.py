"""The frames between host and card: request and reply, CRC-32, COBS.

Ref: docs/architecture.md, "Control"; S. Cheshire and M. Baker, "Consistent Overhead Byte
Stuffing", 1997; CRC-32 as in zlib.

A request is opcode, tag, address (16 bits), count, data words, CRC-32; a reply is opcode with
bit 7 set, the same tag, status, count, data words, CRC-32. Everything is little-endian. The CRC
covers all octets before it; COBS removes the zeros, and one zero ends the frame.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from cobs import cobs

from tickgate.host.errors import FrameError
from tickgate.spec import registers
from tickgate.spec.registers import MAX_WORDS, Opcode, Status

__all__ = ["DELIMITER", "MAX_WORDS", "Opcode", "Reply", "Request", "Status"]

DELIMITER = bytes([registers.DELIMITER])

_REQUEST_HEADER = struct.Struct("<BBHB")
_REPLY_HEADER = struct.Struct("<BBBB")
_CRC = struct.Struct("<I")


@dataclass(frozen=True)
class Request:
    """One request. `count` is the words to read, or those that `words` holds."""

    opcode: int
    tag: int
    address: int
    count: int
    words: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """Returns the frame with its delimiter."""
        header = _REQUEST_HEADER.pack(self.opcode, self.tag, self.address, self.count)
        return _seal(header + _pack_words(self.words))

    @classmethod
    def decode(cls, frame: bytes) -> "Request":
        """Reads a frame without its delimiter. Raises `FrameError`."""
        body = _unseal(frame, _REQUEST_HEADER.size)
        opcode, tag, address, count = _REQUEST_HEADER.unpack_from(body)
        return cls(opcode, tag, address, count, _unpack_words(body[_REQUEST_HEADER.size :]))


@dataclass(frozen=True)
class Reply:
    """One reply to the request of the same `opcode` and `tag`.

    `words` is what was asked for, or with most refusals the address at fault.
    """

    opcode: int
    tag: int
    status: int
    words: tuple[int, ...] = ()

    def answers(self, request: Request) -> bool:
        """True if this is a reply to `request`, and not a late one to an earlier request."""
        if (self.opcode, self.tag) != (request.opcode, request.tag):
            return False
        if request.opcode != Opcode.READ or self.status != Status.OK:
            return True
        return len(self.words) == request.count

    def encode(self) -> bytes:
        """Returns the frame with its delimiter."""
        header = _REPLY_HEADER.pack(
            self.opcode | registers.REPLY_FLAG, self.tag, self.status, len(self.words)
        )
        return _seal(header + _pack_words(self.words))

    @classmethod
    def decode(cls, frame: bytes) -> "Reply":
        """Reads a frame without its delimiter. Raises `FrameError`."""
        body = _unseal(frame, _REPLY_HEADER.size)
        opcode, tag, status, count = _REPLY_HEADER.unpack_from(body)
        words = _unpack_words(body[_REPLY_HEADER.size :])
        if not opcode & registers.REPLY_FLAG:
            raise FrameError(f"opcode {opcode:#04x} is not that of a reply")
        if len(words) != count:
            raise FrameError(f"the reply announces {count} words and holds {len(words)}")
        return cls(opcode & ~registers.REPLY_FLAG, tag, status, words)


def _seal(body: bytes) -> bytes:
    return cobs.encode(body + _CRC.pack(zlib.crc32(body))) + DELIMITER


def _unseal(frame: bytes, header_size: int) -> bytes:
    try:
        octets = cobs.decode(frame)
    except cobs.DecodeError as error:
        raise FrameError(f"COBS: {error}") from None
    body, crc = octets[: -_CRC.size], octets[-_CRC.size :]
    if len(body) < header_size or (len(body) - header_size) % 4:
        raise FrameError(f"{len(octets)} octets are no frame")
    if crc != _CRC.pack(zlib.crc32(body)):
        raise FrameError("CRC-32 differs")
    return body


def _pack_words(words: Iterable[int]) -> bytes:
    return b"".join(struct.pack("<I", word) for word in words)


def _unpack_words(octets: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(octets) // 4}I", octets)
