"""SoupBinTCP sessions on TCP: an asyncio server that hands octets and time to `Session`."""

import asyncio
from collections.abc import Callable

from tickgate.sim.exchange.soup import Gate, Session, Timers

__all__ = ["SoupServer"]


class SoupServer:
    """Listens, and keeps one `Session` a connection.

    Parameters
    ----------
    gate : Gate
    timers : Timers
    ended : callable or None
        Called with each session that is over.

    Members
    -------
    sessions : set of Session
        Those that are not over.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        timers: Timers,
        ended: Callable[[Session], None] | None = None,
    ) -> None:
        self.sessions: set[Session] = set()
        self._gate = gate
        self._timers = timers
        self._ended = ended
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listens there, port 0 being any free one, and returns where. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port)
        return self._server.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        """Ends every session for the day, and listens no more."""
        for session in list(self.sessions):
            session.end()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def open(self, link: "_Connection") -> Session:
        """A session for a new connection."""
        clock = asyncio.get_running_loop().time
        session = Session(gate=self._gate, link=link, clock=clock, timers=self._timers)
        self.sessions.add(session)
        return session

    def over(self, session: Session) -> None:
        """A session has ended."""
        if session in self.sessions:
            self.sessions.remove(session)
            if self._ended is not None:
                self._ended(session)


class _Connection(asyncio.Protocol):
    """A TCP connection, as the `Link` of a session."""

    def __init__(self, server: SoupServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._session = self._server.open(self)
        self._arm()

    def data_received(self, data: bytes) -> None:
        self._session.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._session.lost("connection lost" if exc is None else f"connection lost: {exc}")
        self._server.over(self._session)

    def pause_writing(self) -> None:
        self._session.pause()

    def resume_writing(self) -> None:
        self._session.resume()

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._disarm()
        self._transport.close()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_at(self._session.deadline, self._due)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._session.tick()
        if not self._session.cause:
            self._arm()
