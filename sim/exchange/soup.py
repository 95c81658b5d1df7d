"""The server's end of SoupBinTCP: streams that are kept, and sessions over whatever carries octets.

Ref: SoupBinTCP 3.00 and 4.00, sections 1.2 "SoupBinTCP Logical Packets" and 2; 4.10 for the
heartbeat timeout of a login.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from tickgate.spec import soupbintcp
from tickgate.spec.fields import Message, WireError

__all__ = ["Client", "Gate", "Link", "Session", "Stream", "Timers"]

WRITE_SIZE = 1 << 16
"""Octets of sequenced packets that are handed over at once, about."""


@dataclass(frozen=True, kw_only=True)
class Timers:
    """How long a session may be silent, in seconds."""

    heartbeat: float = soupbintcp.HEARTBEAT_INTERVAL_S
    peer: float = soupbintcp.PEER_TIMEOUT_S
    login: float = soupbintcp.LOGIN_TIMEOUT_S

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise ValueError(f"{name} must be more than 0 s, not {value}")


class Stream:
    """The sequenced messages of one user over the whole day; the first one has the number 1."""

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self.follower: Session | None = None

    @property
    def next_sequence(self) -> int:
        """The number of the next message."""
        return len(self._messages) + 1

    def append(self, message: bytes) -> None:
        """Keeps a message, and sends it if someone is logged in."""
        self._messages.append(message)
        if self.follower is not None:
            self.follower.pump()

    def message(self, sequence: int) -> bytes:
        """The message with that number, from 1."""
        return self._messages[sequence - 1]


class Client(Protocol):
    """What a user of the server is to its session."""

    stream: Stream

    def received(self, message: bytes) -> None:
        """An unsequenced message came."""

    def joined(self) -> None:
        """A session begins; its login is answered already."""

    def left(self, cause: str) -> None:
        """The session is over."""


class Gate(Protocol):
    """Who decides about logins."""

    session: str

    def admit(self, username: str, password: str) -> Client | None:
        """The client of that name, None if there is none or the password is wrong."""


class Link(Protocol):
    """What carries the octets of a session to the peer."""

    def write(self, data: bytes) -> None:
        """Sends octets, sooner or later."""

    def close(self) -> None:
        """Ends the connection once everything is sent."""


class _State(Enum):
    LOGIN = "login"
    LIVE = "live"
    CLOSED = "closed"


class Session:
    """One connection to the server, from the first octet to the last.

    A login with the number n gets every message from n on, then those that follow; 0 stands for
    the next one. What the peer sends that the protocol does not allow ends the connection. A
    second login of a user ends the session of the first: the peer that lost its connection cannot
    know that the server has not noticed.

    Nothing is queued beyond the stream itself: while the link is paused, nothing is written.

    Parameters
    ----------
    gate : Gate
    link : Link
    clock : callable
        Seconds, rising.
    timers : Timers

    Members
    -------
    client : Client or None
        Who is logged in.
    deadline : float
        When `tick` is due.
    cause : str
        Why the session is over, empty while it is not.
    """

    def __init__(
        self, *, gate: Gate, link: Link, clock: Callable[[], float], timers: Timers
    ) -> None:
        self.client: Client | None = None
        self.cause = ""
        self._gate = gate
        self._link = link
        self._clock = clock
        self._timers = timers
        self._state = _State.LOGIN
        self._rest = b""
        self._next = 0
        self._paused = False
        self._ending = False
        self._began = self._heard = self._spoke = clock()

    @property
    def deadline(self) -> float:
        """When `tick` is to be called, by the clock."""
        if self._state is _State.LOGIN:
            return self._began + self._timers.login
        return min(self._spoke + self._timers.heartbeat, self._heard + self._timers.peer)

    def tick(self) -> None:
        """Does what is due by now: a heartbeat, or the end of a silent peer."""
        now = self._clock()
        if self._state is _State.LOGIN:
            if now >= self._began + self._timers.login:
                self._close(f"no login within {self._timers.login:g} s")
        elif self._state is _State.LIVE:
            if now >= self._heard + self._timers.peer:
                self._close(f"silent for {self._timers.peer:g} s")
            elif now >= self._spoke + self._timers.heartbeat:
                self._write(soupbintcp.pack(soupbintcp.SERVER_HEARTBEAT))

    def receive(self, data: bytes) -> None:
        """Takes octets of the peer, cut anywhere."""
        if self._state is _State.CLOSED:
            return
        self._heard = self._clock()
        try:
            packets, self._rest = soupbintcp.split(self._rest + data)
        except WireError as error:
            self._close(f"broke the protocol: {error}")
            return
        for type_, payload in packets:
            self._packet(type_, payload)
            if self._state is _State.CLOSED:
                return

    def lost(self, cause: str = "connection lost") -> None:
        """The link is gone."""
        self._close(cause)

    def pause(self) -> None:
        """The link takes no more for now."""
        self._paused = True

    def resume(self) -> None:
        """The link takes octets again."""
        self._paused = False
        self.pump()

    def end(self) -> None:
        """Ends the session for the day, after all messages."""
        if self._state is _State.LIVE:
            self._ending = True
            self.pump()
        else:
            self._close("end of session")

    def pump(self) -> None:
        """Writes what the stream has and the link takes."""
        if self._state is not _State.LIVE or self.client is None:
            return
        stream = self.client.stream
        while not self._paused and self._next < stream.next_sequence:
            packets = bytearray()
            while self._next < stream.next_sequence and len(packets) < WRITE_SIZE:
                message = stream.message(self._next)
                packets += soupbintcp.pack(soupbintcp.SEQUENCED_DATA, message)
                self._next += 1
            self._write(bytes(packets))
        if self._ending and not self._paused:
            self._write(soupbintcp.pack(soupbintcp.END_OF_SESSION))
            self._close("end of session")

    def _packet(self, type_: str, payload: bytes) -> None:
        if type_ == soupbintcp.DEBUG:
            return
        if self._state is _State.LOGIN:
            if type_ == soupbintcp.LOGIN_REQUEST.type:
                self._login(payload)
            else:
                self._close(f"sent {soupbintcp.TYPES[type_]} before its login")
        elif type_ == soupbintcp.UNSEQUENCED_DATA:
            self.client.received(payload)
        elif type_ == soupbintcp.LOGOUT_REQUEST:
            self._close("logout")
        elif type_ != soupbintcp.CLIENT_HEARTBEAT:
            self._close(f"sent {soupbintcp.TYPES[type_]}, which a client may not")

    def _login(self, payload: bytes) -> None:
        packet = soupbintcp.pack(soupbintcp.LOGIN_REQUEST.type, payload)
        try:
            login = _login_table(packet).unpack(packet)
        except WireError as error:
            self._close(f"sent a login that is none: {error}")
            return
        client = self._gate.admit(str(login["username"]), str(login["password"]))
        if client is None:
            self._refuse("A", f"login as {login['username']!r} refused: name or password is wrong")
            return
        sequence = int(login["requested_sequence"]) or client.stream.next_sequence
        if str(login["requested_session"]) not in ("", self._gate.session):
            self._refuse("S", f"asked for the session {login['requested_session']!r}")
            return
        if sequence > client.stream.next_sequence:
            self._refuse("S", f"asked for message {sequence}, which is yet to come")
            return
        if client.stream.follower is not None:
            client.stream.follower.lost("another login of the same user")
        self.client, self._next, self._state = client, sequence, _State.LIVE
        client.stream.follower = self
        self._write(soupbintcp.LOGIN_ACCEPTED.pack(session=self._gate.session, sequence=sequence))
        client.joined()
        self.pump()

    def _refuse(self, reason: str, cause: str) -> None:
        self._write(soupbintcp.LOGIN_REJECTED.pack(reason=reason))
        self._close(cause)

    def _write(self, data: bytes) -> None:
        self._spoke = self._clock()
        self._link.write(data)

    def _close(self, cause: str) -> None:
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        self.cause = cause
        self._link.close()
        if self.client is not None:
            self.client.stream.follower = None
            self.client.left(cause)


def _login_table(packet: bytes) -> Message:
    if len(packet) == soupbintcp.LOGIN_REQUEST_410.size:
        return soupbintcp.LOGIN_REQUEST_410
    return soupbintcp.LOGIN_REQUEST
