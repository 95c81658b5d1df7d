"""Offers a virtual card to other programs: its UART as a pseudo-terminal and on TCP; its network.

Ref: pty(7), termios(3); pyserial, "URL Handlers" (`socket://`).
"""

import contextlib
import os
import selectors
import socket
import threading
import time
import tty
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

from tickgate.sim.virtual.card import Card, Log
from tickgate.sim.virtual.network import NetworkPort

__all__ = ["SerialServer"]

# Octets on their way to the card beyond which a client has to wait.
WRITE_AHEAD = 4096
CHUNK = 4096
# A card that is asked something is run at full speed until it has been silent for so many cycles;
# then a little in each pause, so that an idle card takes no processor and its clock goes on.
BUSY_CYCLES = 1 << 20
BUSY_SLICE = 4096
IDLE_SLICE = 512
IDLE_PAUSE = 0.02
# On a network an idle card keeps time instead, with a look at its wires this often, in seconds;
# what it has missed beyond this many cycles is let go.
NETWORK_PAUSE = 0.002
CATCH_UP = 100_000
# Idle cycles before each frame from the network: preamble and inter-frame gap at 1 octet a cycle.
GAP = 20


class SerialServer:
    """A pseudo-terminal, and on request a TCP port, whose octets pass over the card's UART.

    The pseudo-terminal is raw and stays open between clients; who opens it finds no leftovers
    after flushing its input, as pyserial does. Replies go to whichever client spoke last; what it
    does not read in time is lost, as on a UART.

    Parameters
    ----------
    card : Card
        Used only by the thread that calls `run`.
    link : path or None
        Symbolic link to the pseudo-terminal, replaced if it is one, removed at the end.
    tcp : int or None
        Port on 127.0.0.1 for one client at a time (`socket://127.0.0.1:PORT`); 0 takes a free one.

    Members
    -------
    path : str
        The pseudo-terminal.
    port : int or None
        The TCP port.

    Errors: OSError if the link or the port is taken.
    """

    def __init__(
        self, card: Card, *, link: str | Path | None = None, tcp: int | None = None
    ) -> None:
        self._card = card
        self._client: socket.socket | None = None
        self._reply = self._reply_to_terminal
        self._resources = contextlib.ExitStack()
        try:
            self._selector = self._resources.enter_context(selectors.DefaultSelector())
            self._open_terminal(None if link is None else Path(link))
            self._open_port(tcp)
        except BaseException:
            self._resources.close()
            raise

    def close(self) -> None:
        """Closes all attachments and removes the link."""
        self._drop_client()
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def run(
        self,
        *,
        stop: threading.Event | None = None,
        feed: Iterable[tuple] = (),
        network: NetworkPort | None = None,
        pace: int = 200_000,
        observe: Callable[[Log], None] | None = None,
    ) -> None:
        """Runs the card and serves its clients until `stop` is set (or Ctrl-C).

        Parameters
        ----------
        stop : threading.Event or None
        feed : iterable of (frames, lengths, gap)
            Put on rx one after another meanwhile, as in `Card.send`; short pieces keep the UART
            prompt. Serving goes on when it ends.
        network : NetworkPort or None
            Carries frames to and from the card meanwhile.
        pace : int
            Cycles a second that pass on a network when there is nothing to do, for its timers.
        observe : callable or None
            Is given what the card did, piece by piece.
        """
        pieces = iter(feed)
        feeding, busy = True, BUSY_CYCLES
        idle = self._idle_slices(pace if network else 0)
        pause = NETWORK_PAUSE if network else IDLE_PAUSE
        if network is not None:
            self._selector.register(network, selectors.EVENT_READ, lambda _: False)
        while stop is None or not stop.is_set():
            heard = self._listen(0 if busy > 0 else pause)
            piece = next(pieces, None) if feeding else None
            arrivals = [] if network is None else network.arrivals()
            if piece is not None:
                frames, lengths, gap = piece
                self._card.send(frames, lengths, gap=gap)
            feeding = piece is not None
            if arrivals:
                self._card.send(b"".join(arrivals), [len(frame) for frame in arrivals], gap=GAP)
            elif not feeding:
                self._card.run(BUSY_SLICE if busy > 0 else next(idle))
            spoken = self._take_replies()
            busy = BUSY_CYCLES if heard or spoken or feeding else busy - BUSY_SLICE
            log = self._card.take()
            if network is not None:
                network.deliver(log.tx_frames)
            if observe is not None:
                observe(log)

    @staticmethod
    def _idle_slices(pace: int) -> Iterator[int]:
        """Cycles of each idle turn: a few, or as many as `pace` asks for since the last one."""
        last = time.monotonic()
        while True:
            now = time.monotonic()
            yield min(int((now - last) * pace), CATCH_UP) if pace else IDLE_SLICE
            last = now

    def _open_terminal(self, link: Path | None) -> None:
        self._terminal, client_end = os.openpty()
        # Held open for ever: without it, the last client to leave would hang the line up.
        self._resources.callback(os.close, client_end)
        self._resources.callback(os.close, self._terminal)
        tty.setraw(client_end)
        os.set_blocking(self._terminal, False)
        self.path = os.ttyname(client_end)
        self._selector.register(self._terminal, selectors.EVENT_READ, self._hear_terminal)
        if link is not None:
            if link.is_symlink():
                link.unlink()
            link.symlink_to(self.path)
            self._resources.callback(link.unlink, missing_ok=True)

    def _open_port(self, tcp: int | None) -> None:
        self.port = None
        if tcp is not None:
            listener = self._resources.enter_context(
                socket.create_server(("127.0.0.1", tcp), backlog=4)
            )
            listener.setblocking(False)
            self.port = listener.getsockname()[1]
            self._listener = listener
            self._selector.register(listener, selectors.EVENT_READ, self._accept)

    def _listen(self, pause: float) -> bool:
        """Passes on what the clients wrote; tells whether there was anything."""
        if self._card.serial.out_waiting > WRITE_AHEAD:
            return True
        heard = False
        for key, _ in self._selector.select(pause):
            heard |= key.data(key.fileobj)
        return heard

    def _hear_terminal(self, terminal: int) -> bool:
        octets = os.read(terminal, CHUNK)
        self._reply = self._reply_to_terminal
        self._card.serial.write(octets)
        return True

    def _accept(self, listener: socket.socket) -> bool:
        self._client, _ = listener.accept()
        self._client.setblocking(False)
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.unregister(listener)
        self._selector.register(self._client, selectors.EVENT_READ, self._hear_client)
        return False

    def _hear_client(self, client: socket.socket) -> bool:
        try:
            octets = client.recv(CHUNK)
        except OSError:
            octets = b""
        if not octets:
            self._drop_client()
            return False
        self._reply = self._reply_to_client
        self._card.serial.write(octets)
        return True

    def _drop_client(self) -> None:
        if self._client is not None:
            self._selector.unregister(self._client)
            self._client.close()
            self._client = None
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
            self._reply = self._reply_to_terminal

    def _take_replies(self) -> bool:
        octets = self._card.serial.read_waiting()
        if octets:
            with contextlib.suppress(BlockingIOError):
                self._reply(octets)
        return bool(octets)

    def _reply_to_terminal(self, octets: bytes) -> None:
        os.write(self._terminal, octets)

    def _reply_to_client(self, octets: bytes) -> None:
        try:
            self._client.send(octets)
        except BlockingIOError:
            raise
        except OSError:
            self._drop_client()
