"""The feed on the network: MoldUDP64 on two lines, and retransmission of what was missed.

Ref: MoldUDP64 Protocol Specification 1.00, "Downstream Packet" and "Request Packet".
"""

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable, Sequence

from tickgate.spec import moldudp64
from tickgate.spec.fields import WireError

__all__ = ["MAX_DATAGRAM", "FeedServer", "Line", "Publisher", "RerequestServer", "downstream"]

MAX_DATAGRAM = 1400
"""Octets of UDP payload, so that a frame fits an Ethernet of 1,500 with room for a tunnel."""

PREFIX = moldudp64.BLOCK_LENGTH_SIZE


def downstream(
    session: str,
    messages: Sequence[bytes],
    first: int,
    *,
    last: int | None = None,
    limit: int = MAX_DATAGRAM,
) -> tuple[bytes, int]:
    """A datagram with the messages from the number `first` on that fit, and how many those are.

    The messages' numbers begin with 1. There is always room for one.
    """
    last = len(messages) if last is None else min(last, len(messages))
    blocks = bytearray()
    count = 0
    while first + count <= last and count < moldudp64.END_OF_SESSION - 1:
        message = messages[first + count - 1]
        size = moldudp64.HEADER.size + len(blocks) + PREFIX + len(message)
        if count and size > limit:
            break
        blocks += len(message).to_bytes(PREFIX, "big") + message
        count += 1
    header = moldudp64.HEADER.pack(session=session, sequence=first, count=count)
    return header + blocks, count


class Publisher:
    """Turns a growing list of messages into datagrams, each of which goes to every line.

    Parameters
    ----------
    session : str
    messages : sequence of bytes
        Only ever appended to.
    lines : sequence of callable
        Each takes a datagram.
    limit : int
        Octets of a datagram.

    Members
    -------
    next_sequence : int
        Of the first message that has not been sent.
    datagrams : int
        Sent, heartbeats included, once for all lines.
    """

    def __init__(
        self,
        *,
        session: str,
        messages: Sequence[bytes],
        lines: Sequence[Callable[[bytes], None]],
        limit: int = MAX_DATAGRAM,
    ) -> None:
        self.next_sequence = 1
        self.datagrams = 0
        self._session = session
        self._messages = messages
        self._lines = lines
        self._limit = limit

    def flush(self) -> None:
        """Sends what is new."""
        while self.next_sequence <= len(self._messages):
            datagram, count = downstream(
                self._session, self._messages, self.next_sequence, limit=self._limit
            )
            self._send(datagram)
            self.next_sequence += count

    def heartbeat(self) -> None:
        """Tells the next sequence number."""
        self._empty(moldudp64.HEARTBEAT)

    def end(self) -> None:
        """Tells that there will be no further message."""
        self._empty(moldudp64.END_OF_SESSION)

    def _empty(self, count: int) -> None:
        self._send(
            moldudp64.HEADER.pack(session=self._session, sequence=self.next_sequence, count=count)
        )

    def _send(self, datagram: bytes) -> None:
        self.datagrams += 1
        for line in self._lines:
            line(datagram)


class Line:
    """A UDP socket that sends to one group and port. Raises OSError where that cannot be.

    Parameters
    ----------
    group : str
        An IPv4 address, multicast or not.
    port : int
    interface : str
        The address of the interface that multicast leaves by.
    ttl : int
        How many routers multicast may pass, and one.

    Members
    -------
    failures : int
        Datagrams that the system did not take. Receivers see a gap and ask for them.
    """

    def __init__(self, group: str, port: int, *, interface: str = "127.0.0.1", ttl: int = 1):
        self.where = group, port
        self.failures = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if ipaddress.IPv4Address(group).is_multicast:
                options = (
                    (socket.IP_MULTICAST_IF, socket.inet_aton(interface)),
                    (socket.IP_MULTICAST_LOOP, 1),
                    (socket.IP_MULTICAST_TTL, ttl),
                )
                for option, value in options:
                    self._socket.setsockopt(socket.IPPROTO_IP, option, value)
        except OSError:
            self._socket.close()
            raise

    def __call__(self, datagram: bytes) -> None:
        """Sends a datagram."""
        try:
            self._socket.sendto(datagram, self.where)
        except OSError:
            self.failures += 1

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


class FeedServer:
    """Runs a publisher: flushes soon after each message, and fills silence with heartbeats.

    Messages of one event of the loop share datagrams. `interval` is the silence, in seconds, after
    which a heartbeat is sent.
    """

    def __init__(self, publisher: Publisher, *, interval: float = 1.0) -> None:
        self._publisher = publisher
        self._interval = interval
        self._soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins; the loop must be running."""
        self._loop = asyncio.get_running_loop()
        self._publisher.flush()
        self._arm()

    def told(self) -> None:
        """There is a new message."""
        if self._timer is not None and self._soon is None:
            self._soon = self._loop.call_soon(self._flush)

    async def stop(self, *, repeats: int = 3, pause: float = 0.05) -> None:
        """Sends what is left, then the end of session so many times, if it ever began."""
        if self._timer is None:
            return
        for handle in (self._soon, self._timer):
            if handle is not None:
                handle.cancel()
        self._timer = self._soon = None
        self._publisher.flush()
        for repeat in range(repeats):
            if repeat:
                await asyncio.sleep(pause)
            self._publisher.end()

    def _flush(self) -> None:
        self._soon = None
        self._publisher.flush()
        self._timer.cancel()
        self._arm()

    def _beat(self) -> None:
        self._publisher.heartbeat()
        self._arm()

    def _arm(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._beat)


class RerequestServer(asyncio.DatagramProtocol):
    """Answers requests with one datagram each, to whoever asked.

    It holds as many of the messages as fit; the rest is to be asked for again. A request that is
    malformed, of another session, or for what is yet to come has no answer and is counted.

    Members
    -------
    counters : Counter
        answered, messages, malformed, wrong_session, out_of_range.
    """

    def __init__(
        self, *, session: str, messages: Sequence[bytes], limit: int = MAX_DATAGRAM
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._session = session
        self._messages = messages
        self._limit = limit
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listens there, port 0 being any free one, and returns where. Raises OSError."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
        return self._transport.get_extra_info("sockname")[:2]

    def stop(self) -> None:
        """Listens no more."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        """A request came."""
        answer = self.answer(data)
        if answer is not None:
            self._transport.sendto(answer, addr)

    def answer(self, data: bytes) -> bytes | None:
        """The datagram that answers a request, None if there is none."""
        try:
            request = moldudp64.REQUEST.unpack(data)
        except WireError:
            self.counters["malformed"] += 1
            return None
        first, count = int(request["sequence"]), int(request["count"])
        if request["session"] != self._session:
            self.counters["wrong_session"] += 1
            return None
        if not 1 <= first <= len(self._messages) or not count:
            self.counters["out_of_range"] += 1
            return None
        datagram, sent = downstream(
            self._session, self._messages, first, last=first + count - 1, limit=self._limit
        )
        self.counters["answered"] += 1
        self.counters["messages"] += sent
        return datagram
