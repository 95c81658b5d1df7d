"""Snapshots: the displayed books as of a sequence number, for who missed too much of the feed.

Ref: GLIMPSE for TotalView-ITCH 5.0.
"""

from collections.abc import Callable, Iterator

from tickgate.sim.exchange.engine import Engine
from tickgate.sim.exchange.itch import ItchFeed
from tickgate.sim.exchange.soup import Stream
from tickgate.sim.model.feed import BUY, SELL
from tickgate.spec import glimpse50

__all__ = ["SnapshotGate", "snapshot"]


def snapshot(engine: Engine, feed: ItchFeed) -> Iterator[bytes]:
    """The messages that make a book what it is now, then the number of the message that follows.

    Orders of a symbol come in the order in which they trade, bids first. Hidden ones do not.
    """
    time = engine.clock()
    for name, symbol in engine.symbols.items():
        yield feed.directory(symbol, time)
        yield feed.trading_action(symbol, engine.states[name], time)
    for book in engine.books.values():
        for side in (BUY, SELL):
            for order in book.orders(side):
                if not order.hidden:
                    yield feed.add_order(order, time)
    yield glimpse50.END_OF_SNAPSHOT.pack(sequence=feed.next_sequence)


class _Reader:
    """One login: its stream is the snapshot of that moment."""

    def __init__(self, account: str, messages: Callable[[], Iterator[bytes]]) -> None:
        self.account = account
        self.stream = Stream()
        self._messages = messages

    def received(self, message: bytes) -> None:
        """GLIMPSE takes no messages."""

    def joined(self) -> None:
        """Takes the snapshot."""
        for message in self._messages():
            self.stream.append(message)

    def left(self, cause: str) -> None:
        """The stream goes with its reader."""


class SnapshotGate:
    """The `Gate` of a GLIMPSE server. Whoever may trade may read; each login is a new snapshot.

    Parameters
    ----------
    session : str
    admits : callable
        Whether a user name and password are known.
    messages : callable
        Takes the snapshot.

    Members
    -------
    taken : int
        Snapshots so far.
    """

    def __init__(
        self,
        *,
        session: str,
        admits: Callable[[str, str], bool],
        messages: Callable[[], Iterator[bytes]],
    ) -> None:
        self.session = session
        self.taken = 0
        self._admits = admits
        self._messages = messages

    def admit(self, username: str, password: str) -> _Reader | None:
        """A new reader."""
        if not self._admits(username, password):
            return None
        self.taken += 1
        return _Reader(username.upper(), self._messages)
