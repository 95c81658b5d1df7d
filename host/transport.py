"""A serial port to the card, and requests over it that survive lost and damaged frames.

Ref: pySerial, "URL Handlers".
"""

import os
from typing import Protocol, cast
from urllib.parse import urlsplit

import serial

from tickgate.host.errors import CardUnreachable, FrameError, UserError
from tickgate.host.protocol import DELIMITER, MAX_WORDS, Opcode, Reply, Request

__all__ = ["DEFAULT_BAUD", "DEFAULT_TIMEOUT", "Link", "SerialLike", "open_port"]

DEFAULT_BAUD = 115_200
DEFAULT_TIMEOUT = 0.5
"""Seconds of silence after which a request counts as lost."""

_DISCARD_LIMIT = 8192
"""Octets that are no answer before an attempt is given up: a port that babbles has no silence."""


class SerialLike(Protocol):
    """What a link needs of a port: pySerial's `Serial`, or anything that behaves like it.

    `read` returns after `size` octets or after the port's own timeout with fewer.
    """

    @property
    def name(self) -> str | None: ...

    @property
    def in_waiting(self) -> int: ...

    def read(self, size: int = 1, /) -> bytes: ...

    def write(self, data: bytes, /) -> int | None: ...

    def reset_input_buffer(self) -> None: ...

    def close(self) -> None: ...


def open_port(
    url: str, *, baud: int = DEFAULT_BAUD, timeout: float = DEFAULT_TIMEOUT
) -> SerialLike:
    """Opens any port that `serial.serial_for_url` takes, for this program alone.

    Parameters
    ----------
    url : str
        A device (`/dev/ttyUSB0`, a pseudo-terminal) or a URL such as `socket://127.0.0.1:5000`.
    baud : int
        Bits a second; of no effect on a pseudo-terminal or a socket.
    timeout : float
        Seconds that a read waits.

    Raises
    ------
    UserError
        The URL cannot be one.
    CardUnreachable
        The port is not there, not permitted or in use.
    """
    try:
        if url.startswith("socket:") and not (urlsplit(url).hostname and urlsplit(url).port):
            raise ValueError("a socket is socket://host:port")
        port = serial.serial_for_url(url, do_not_open=True)
        port.baudrate = baud
        port.timeout = timeout
        port.write_timeout = max(timeout, 1.0)
        port.exclusive = True
    except ValueError as error:
        raise UserError(f"--port {url!r}: {error}") from None
    try:
        port.open()
    except (serial.SerialException, OSError) as error:
        raise CardUnreachable(f"cannot open port {url!r}: {_explain(error)}") from None
    return cast(SerialLike, port)


def _explain(error: Exception) -> str:
    text = str(error)
    if isinstance(error, PermissionError) or "Permission denied" in text:
        return "permission denied; may this user open serial ports (group dialout)?"
    if "No such file" in text:
        return "there is no such device; is the card connected, or the virtual card running?"
    if "exclusively lock" in text or "Resource temporarily unavailable" in text:
        return "another program has it open; close that first"
    if "refused" in text:
        return "connection refused; is the virtual card running and serving this port?"
    return text


class Link:
    """Requests to the card, one at a time, each repeated until its own reply comes.

    A request is sent up to `attempts` times under one tag; a reply with another tag is late and
    is dropped, a damaged one is as good as lost. Because every request is idempotent, it does
    not matter which of its replies arrives.

    Parameters
    ----------
    port : SerialLike
        An open port; its own read timeout decides how long an attempt waits.
    attempts : int
        How often a request is sent before the card counts as unreachable, at least 1.
    first_tag : int or None
        The tag before that of the first request; None draws one, so that replies to a program
        that ended early are not taken for replies to this one.

    Members
    -------
    retries, late_replies, damaged_replies : int
        What went wrong on the line so far.
    """

    def __init__(
        self, port: SerialLike, *, attempts: int = 4, first_tag: int | None = None
    ) -> None:
        if attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {attempts!r}")
        self.port = port
        self.attempts = attempts
        self.retries = 0
        self.late_replies = 0
        self.damaged_replies = 0
        self._tag = os.urandom(1)[0] if first_tag is None else first_tag & 0xFF
        self._received = bytearray()
        self._guarded("reset", port.reset_input_buffer)

    def exchange(
        self, opcode: Opcode, address: int = 0, words: tuple[int, ...] = (), *, count: int = 0
    ) -> Reply:
        """Sends one request and returns its reply, whatever its status.

        `count` is the words to read; a request with `words` has the count of those. Raises
        `CardUnreachable` when no attempt was answered.
        """
        count = count or len(words)
        if not 1 <= count <= MAX_WORDS:
            raise ValueError(f"a frame carries 1 to {MAX_WORDS} words, not {count}")
        self._tag = (self._tag + 1) & 0xFF
        request = Request(opcode, self._tag, address, count, words)
        damaged = self.damaged_replies
        frame = request.encode()
        for attempt in range(self.attempts):
            if attempt:
                self.retries += 1
                # Ends whatever part of a frame the card may be waiting to see the end of.
                frame = DELIMITER + request.encode()
            self._guarded("write", lambda octets=frame: self.port.write(octets))
            reply = self._await(request)
            if reply is not None:
                return reply
        name = self.port.name or "the port"
        if self.damaged_replies > damaged:
            hint = "only damaged frames came back; check --baud and that this is a tickgate card"
        else:
            hint = "nothing came back; is it powered and the right port?"
        raise CardUnreachable(f"no reply from the card on {name} to {self.attempts} tries: {hint}")

    def close(self) -> None:
        """Closes the port."""
        self.port.close()

    def _await(self, request: Request) -> Reply | None:
        """Returns the reply to `request`, or None after a silence."""
        discarded = 0
        while discarded < _DISCARD_LIMIT:
            frame = self._frame()
            if frame is None:
                return None
            discarded += len(frame) + 1
            if not frame:
                continue
            try:
                reply = Reply.decode(frame)
            except FrameError:
                self.damaged_replies += 1
                continue
            if reply.answers(request):
                return reply
            self.late_replies += 1
        return None

    def _frame(self) -> bytes | None:
        """Returns the octets up to the next delimiter, or None after a silence."""
        while True:
            frame, delimiter, rest = self._received.partition(DELIMITER)
            if delimiter:
                self._received = rest
                return bytes(frame)
            octets = self._guarded(
                "read", lambda: self.port.read(max(1, min(self.port.in_waiting, 4096)))
            )
            if not octets or len(self._received) > _DISCARD_LIMIT:
                self._received.clear()
                return None
            self._received += octets

    def _guarded(self, action, call):
        try:
            return call()
        except (serial.SerialException, OSError) as error:
            name = self.port.name or "the port"
            raise CardUnreachable(f"lost the card on {name} ({action}): {error}") from None
