"""Input files: ITCH 5.0 messages, each after its length, and packet captures, either gzipped.

Ref: NASDAQ BinaryFILE 1.00; draft-ietf-opsawg-pcap (pcap); draft-ietf-opsawg-pcapng (pcapng).
"""

import contextlib
import gzip
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tickgate.host.errors import UserError
from tickgate.sim.messages import Messages
from tickgate.spec import itch50

__all__ = ["CaptureFile", "InputError", "ItchFile", "capture_writer", "open_input", "write_capture"]

GZIP_MAGIC = b"\x1f\x8b"
PCAP_ORDERS = {
    b"\xa1\xb2\xc3\xd4": ">",
    b"\xd4\xc3\xb2\xa1": "<",
    b"\xa1\xb2\x3c\x4d": ">",
    b"\x4d\x3c\xb2\xa1": "<",
}
PCAP_NANOSECONDS = b"\x4d\x3c\xb2\xa1"
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
LINK_ETHERNET = 1

SECTION, INTERFACE, OBSOLETE_PACKET, SIMPLE_PACKET, ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 6
LONGEST_BLOCK = 1 << 26

LENGTH_SIZE = 2
LONGEST = 1450
"""Octets of the longest message believed: one that fits a datagram."""

READ_SIZE = 1 << 22


class InputError(UserError, ValueError):
    """A file that cannot be replayed: what is wrong with it, and where."""


def open_input(path: Path) -> "ItchFile | CaptureFile":
    """Tells by the first octets what `path` holds. Raises `InputError` if it is neither."""
    with _open(path) as file:
        head = _read(file, LENGTH_SIZE + itch50.LONGEST, path)
    if not head:
        raise InputError(f"{path}: the file is empty")
    if head[:4] in PCAP_ORDERS or head[:4] == PCAPNG_MAGIC:
        return CaptureFile(path)
    _require_itch(head, path)
    return ItchFile(path)


@dataclass(frozen=True)
class ItchFile:
    """Messages of ITCH 5.0, each after its length in two octets; a length of 0 ends the session.

    Members
    -------
    path : Path
    """

    path: Path

    def batches(self, messages: int = 1 << 16) -> Iterator[Messages]:
        """All messages in order, at most so many at once; each is preceded by its length.

        Raises `InputError` where the file ends inside a message or holds what cannot be one.
        """
        with _open(self.path) as file:
            rest, base, count = b"", 0, 0
            ended = False
            while not ended and (piece := _read(file, READ_SIZE, self.path)):
                data = rest + piece
                begin, size, at, ended = self._walk(data, base, count)
                octets = np.frombuffer(data, np.uint8)
                for first in range(0, len(begin), messages):
                    part = slice(first, first + messages)
                    yield Messages(octets=octets, begin=begin[part], size=size[part])
                count += len(begin)
                base += at
                rest = data[at:]
        if rest and not ended:
            raise InputError(
                f"{self.path}: the file is cut off inside message {count + 1}, which begins at "
                f"octet {base}: {self._missing(rest)}"
            )

    def _walk(self, data: bytes, base: int, count: int):
        """The whole messages in `data`: begins, sizes, the octets passed, and if it is the end."""
        begins: list[int] = []
        at, end, size = 0, len(data), 0
        while at + LENGTH_SIZE <= end:
            size = data[at] << 8 | data[at + 1]
            following = at + LENGTH_SIZE + size
            if not itch50.HEADER.size <= size <= LONGEST or following > end:
                break
            begins.append(at + LENGTH_SIZE)
            at = following
        else:
            size = itch50.HEADER.size
        if size and not itch50.HEADER.size <= size <= LONGEST:
            raise InputError(
                f"{self.path}: message {count + len(begins) + 1}, at octet {base + at}, would have "
                f"{size} octets: no ITCH 5.0 message has"
            )
        begin = np.array(begins, np.int64)
        sizes = np.diff(begin, append=at + LENGTH_SIZE) - LENGTH_SIZE
        return begin, sizes, at, not size

    @staticmethod
    def _missing(rest: bytes) -> str:
        if len(rest) < LENGTH_SIZE:
            return f"only {len(rest)} octet of its length is there"
        return (
            f"{len(rest) - LENGTH_SIZE} of its {int.from_bytes(rest[:LENGTH_SIZE], 'big')} "
            "octets are there"
        )


@dataclass(frozen=True)
class CaptureFile:
    """Ethernet frames of a pcap or pcapng file.

    Members
    -------
    path : Path
    """

    path: Path

    def frames(self) -> Iterator[bytes]:
        """All frames in order, as captured.

        Raises `InputError` where the file ends inside a frame, frames were not captured whole,
        or they are not Ethernet.
        """
        with _open(self.path) as file:
            magic = _read(file, 4, self.path)
            records = self._pcapng(file) if magic == PCAPNG_MAGIC else self._pcap(file, magic)
            for number, (original, frame) in enumerate(records, 1):
                if len(frame) < original:
                    raise InputError(
                        f"{self.path}: frame {number} was captured to {len(frame)} of its "
                        f"{original} octets: capture whole frames (tcpdump -s 0)"
                    )
                yield frame

    def _pcap(self, file: BinaryIO, magic: bytes) -> Iterator[tuple[int, bytes]]:
        order = PCAP_ORDERS[magic]
        *_, link = struct.unpack(order + "HHiIII", self._whole(file, 20, "its header"))
        self._require_ethernet(link & 0xFFFF)
        number = 0
        while header := _read(file, 16, self.path):
            number += 1
            if len(header) < 16:
                raise self._cut_off(f"the header of frame {number}")
            *_, captured, original = struct.unpack(order + "IIII", header)
            if captured > LONGEST_BLOCK:
                raise InputError(f"{self.path}: frame {number} would have {captured} octets")
            yield original, self._whole(file, captured, f"frame {number}")

    def _pcapng(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        order, links, snaps = "<", [], []
        kind: int | None = SECTION
        while kind is not None:
            if kind == SECTION:
                length = self._whole(file, 4, "a section header")
                magic = self._whole(file, 4, "a section header")
                if magic not in (b"\x1a\x2b\x3c\x4d", b"\x4d\x3c\x2b\x1a"):
                    raise InputError(f"{self.path}: the section header has no byte order")
                order, links, snaps = ("<" if magic[0] == 0x4D else ">"), [], []
                self._body(file, struct.unpack(order + "I", length)[0], 12, "a section header")
            else:
                length = self._whole(file, 4, "a block")
                body = self._body(file, struct.unpack(order + "I", length)[0], 8, "a block")
                if kind == INTERFACE:
                    link, _, snap = struct.unpack_from(order + "HHI", body)
                    links.append(link)
                    snaps.append(snap)
                elif kind in (ENHANCED_PACKET, OBSOLETE_PACKET, SIMPLE_PACKET):
                    yield self._packet(kind, order, body, links, snaps)
            head = _read(file, 4, self.path)
            if head and len(head) < 4:
                raise self._cut_off("a block")
            kind = struct.unpack(order + "I", head)[0] if head else None

    def _packet(self, kind: int, order: str, body: bytes, links, snaps) -> tuple[int, bytes]:
        try:
            if kind == SIMPLE_PACKET:
                interface, at = 0, 4
                (original,) = struct.unpack_from(order + "I", body)
                captured = min(original, snaps[0] or original)
            else:
                layout = "IIIII" if kind == ENHANCED_PACKET else "HHIIII"
                interface, *_, captured, original = struct.unpack_from(order + layout, body)
                at = 20
            link = links[interface]
        except (IndexError, struct.error):
            raise InputError(f"{self.path}: a packet block is malformed") from None
        self._require_ethernet(link)
        if at + captured > len(body):
            raise InputError(f"{self.path}: a packet block is shorter than its packet")
        return original, body[at : at + captured]

    def _body(self, file: BinaryIO, length: int, passed: int, what: str) -> bytes:
        """What follows the first `passed` octets of a block, without the length at its end."""
        if not passed + 4 <= length <= LONGEST_BLOCK or length % 4:
            raise InputError(f"{self.path}: {what} would have {length} octets")
        return self._whole(file, length - passed, what)[:-4]

    def _whole(self, file: BinaryIO, size: int, what: str) -> bytes:
        data = _read(file, size, self.path)
        if len(data) < size:
            raise self._cut_off(what)
        return data

    def _cut_off(self, what: str) -> InputError:
        return InputError(f"{self.path}: the file is cut off inside {what}")

    def _require_ethernet(self, link: int) -> None:
        if link != LINK_ETHERNET:
            raise InputError(f"{self.path}: link type {link} is not Ethernet (1)")


def write_capture(path: Path, frames: list[tuple[int, bytes]]) -> None:
    """Writes a pcap file of Ethernet frames, each with its time in ns; the frames end in an FCS.

    Raises `InputError` if the file cannot be written.
    """
    with capture_writer(path) as put:
        for time_ns, frame in frames:
            put(time_ns, frame)


@contextlib.contextmanager
def capture_writer(path: Path) -> Iterator[Callable[[int, bytes], None]]:
    """A pcap file that grows frame by frame: yields what takes a time in ns and a frame.

    Raises `InputError` if the file cannot be written.
    """
    # The link type could say that an FCS is there; several readers then do not know the type.
    header = struct.pack("<HHiIII", 2, 4, 0, 0, 1 << 18, LINK_ETHERNET)
    with contextlib.ExitStack() as stack:
        with _writing(path):
            file = stack.enter_context(path.open("wb"))
            file.write(PCAP_NANOSECONDS + header)

        def put(time_ns: int, frame: bytes) -> None:
            seconds, rest = divmod(time_ns, 1_000_000_000)
            with _writing(path):
                file.write(struct.pack("<IIII", seconds, rest, len(frame), len(frame)) + frame)

        yield put


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            zipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            if zipped:
                with gzip.open(file) as unzipped:
                    yield unzipped
            else:
                yield file
    except OSError as error:
        if error.strerror is None:
            raise
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _read(file: BinaryIO, size: int, path: Path) -> bytes:
    """Reads `size` octets, fewer at the end of the file only."""
    try:
        data = file.read(size)
        while 0 < len(data) < size and (more := file.read(size - len(data))):
            data += more
    except EOFError:
        raise InputError(f"{path}: the gzip file is cut off") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the gzip file is damaged: {error}") from None
    return data


def _require_itch(head: bytes, path: Path) -> None:
    """The first message has to be one of ITCH 5.0, as far as it is there."""
    if len(head) <= LENGTH_SIZE:
        raise InputError(f"{path}: {len(head)} octets hold no message: not ITCH 5.0")
    size, type_ = int.from_bytes(head[:LENGTH_SIZE], "big"), chr(head[LENGTH_SIZE])
    message = itch50.MESSAGES.get(type_)
    if message is None or message.size != size:
        raise InputError(
            f"{path}: neither a capture nor ITCH 5.0: the first message would have {size} octets "
            f"and type {type_!r}"
        )
