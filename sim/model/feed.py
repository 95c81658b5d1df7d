"""Model of the feed: ITCH 5.0 messages from octets, and the sequence rules of MoldUDP64.

Ref: NASDAQ TotalView-ITCH 5.0, section 4; MoldUDP64 1.00.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from struct import Struct
from typing import NamedTuple

from tickgate.spec import fields, itch50, moldudp64

__all__ = [
    "BUY",
    "SELL",
    "Delivered",
    "FeedModel",
    "Gap",
    "Message",
    "blocks",
    "decode",
    "messages",
    "wire_struct",
]

BUY, SELL = 0, 1
"""Sides, as the card numbers them."""

SHORTEST_BLOCK = 6
SIDE_AT = itch50.MESSAGES["A"].offset("side")
"""The card does not walk blocks below this length."""

WORD = 0xFFFF_FFFF
SEQUENCES = 1 << 64

LINES = "ab"
"""The names of the two lines, by number."""

REPLIES = len(LINES)
"""The number of the source of replies to requests."""


class Message(NamedTuple):
    """One ITCH 5.0 message, with the fields that the card looks at.

    `type` is the character of the specification. What a type does not carry is 0, `printable`
    True, `code` empty. `shares`: added (A, F), executed (E, C), cancelled (X), new total (U),
    traded (P). `price`: limit (A, F, U) or print (C, P), in 1e-4 USD. `code`: trading state (H),
    event code (S), breached level (W), Reg SHO action (Y), halt action (h) if it is of Nasdaq
    itself.
    """

    type: str
    locate: int
    timestamp: int
    reference: int = 0
    new_reference: int = 0
    side: int = BUY
    shares: int = 0
    price: int = 0
    printable: bool = True
    code: str = ""


class Delivered(NamedTuple):
    """A well-formed message that is due. `symbol` is None where its locate is not tracked."""

    sequence: int
    symbol: int | None
    message: Message


class Gap(NamedTuple):
    """From here on, no book is known to be whole.

    `sequence` is that of the first message of the datagram that showed it. `missed` messages from
    `first_missing` on never came; it is 0 where what was missed is not known.
    """

    sequence: int
    first_missing: int
    missed: int


def wire_struct(message: fields.Message, *names: str) -> Struct:
    """A `Struct` of the named fields, all by default, that passes over the others.

    Text stays octets with its padding. A field of 6 octets is two numbers, the upper 16 bits and
    the lower 32.
    """
    numbers = {1: "B", 2: "H", 4: "I", 6: "HI", 8: "Q"}
    codes = []
    for field in message.fields:
        if names and field.name not in names:
            codes.append(f"{field.size}x")
        elif field.kind.is_text:
            codes.append(f"{field.size}s")
        else:
            codes.append(numbers[field.size])
    return Struct(">" + "".join(codes))


def _add(type_: str, unpack: Callable, octets: bytes) -> Message:
    locate, high, low, reference, side, shares, price = unpack(octets)
    side = SELL if side == b"S" else BUY
    return Message(type_, locate, high << 32 | low, reference, 0, side, shares, price)


def _reduce(type_: str, unpack: Callable, octets: bytes) -> Message:
    locate, high, low, reference, shares = unpack(octets)
    return Message(type_, locate, high << 32 | low, reference, 0, BUY, shares)


def _execute_price(type_: str, unpack: Callable, octets: bytes) -> Message:
    locate, high, low, reference, shares, printable, price = unpack(octets)
    time = high << 32 | low
    return Message(type_, locate, time, reference, 0, BUY, shares, price, printable == b"Y")


def _delete(type_: str, unpack: Callable, octets: bytes) -> Message:
    locate, high, low, reference = unpack(octets)
    return Message(type_, locate, high << 32 | low, reference)


def _replace(type_: str, unpack: Callable, octets: bytes) -> Message:
    locate, high, low, reference, new_reference, shares, price = unpack(octets)
    time = high << 32 | low
    return Message(type_, locate, time, reference, new_reference, BUY, shares, price)


def _state(type_: str, unpack: Callable, octets: bytes) -> Message:
    locate, high, low, code = unpack(octets)
    return Message(type_, locate, high << 32 | low, code=code.decode("latin-1"))


def _halt(type_: str, unpack: Callable, octets: bytes) -> Message:
    locate, high, low, market, action = unpack(octets)
    code = action.decode("latin-1") if market == b"Q" else ""
    return Message(type_, locate, high << 32 | low, code=code)


def _other(type_: str, unpack: Callable, octets: bytes) -> Message:
    locate, high, low = unpack(octets)
    return Message(type_, locate, high << 32 | low)


HEADER = wire_struct(moldudp64.HEADER)

ADD = (_add, "order_ref", "side", "shares", "price")
FIELDS = {
    "A": ADD,
    "F": ADD,
    "P": ADD,
    "E": (_reduce, "order_ref", "executed_shares"),
    "X": (_reduce, "order_ref", "canceled_shares"),
    "C": (_execute_price, "order_ref", "executed_shares", "printable", "execution_price"),
    "D": (_delete, "order_ref"),
    "U": (_replace, "orig_order_ref", "new_order_ref", "shares", "price"),
    "H": (_state, "trading_state"),
    "S": (_state, "event_code"),
    "W": (_state, "breached_level"),
    "Y": (_state, "reg_sho_action"),
    "h": (_halt, "market_code", "halt_action"),
}
"""How a type is taken apart, and the fields that takes beside locate and timestamp."""


def _decoder(type_: str, message: fields.Message) -> Callable[[bytes], Message]:
    make, *names = FIELDS.get(type_, (_other,))
    unpack = wire_struct(message, "stock_locate", "timestamp", *names).unpack_from
    return partial(make, type_, unpack)


DECODERS = {
    ord(type_): (message.size, _decoder(type_, message))
    for type_, message in itch50.MESSAGES.items()
}
"""Size and decoder by the type's octet."""


def decode(octets: bytes) -> Message:
    """Decodes one message. Raises `WireError` for an unknown type or a length that is not its."""
    size, decoder = DECODERS.get(octets[0] if octets else -1, (0, None))
    if decoder is None:
        raise fields.WireError(f"unknown ITCH 5.0 type {bytes(octets[:1])!r}")
    if len(octets) != size:
        raise fields.WireError(
            f"ITCH 5.0 type {chr(octets[0])}: expected {size} octets, not {len(octets)}"
        )
    return decoder(octets)


def blocks(data: bytes) -> Iterator[bytes]:
    """The messages of a file, each after its length in two octets, until a length of 0 or the end.

    Raises `WireError` where the data ends inside a message.
    """
    at, end = 0, len(data)
    while at < end:
        length = int.from_bytes(data[at : at + 2], "big")
        if at + 2 > end or at + 2 + length > end:
            raise fields.WireError(f"the data ends inside the message at octet {at}")
        if not length:
            return
        at += 2
        yield data[at : at + length]
        at += length


def messages(data: bytes) -> Iterator[Message]:
    """Decodes the messages of a file (see `blocks` and `decode`)."""
    return map(decode, blocks(data))


class FeedModel:
    """Takes MoldUDP64 datagrams and gives each message that is due, once and in order, and gaps.

    They come on two lines that carry the same; each message is taken from whichever is first.

    - A datagram beyond the expected sequence number is a gap; its messages are taken.
    - One that was had in full is dropped; of one that was had in part the rest is taken.
    - The first session seen is the session; another one replaces it and is a gap. But while the
      other line is alive and the session has not ended, another session is left out.
    - A line is alive from a datagram of the session until `line_timeout` microseconds have passed
      without another, or another session has come on it.
    - A datagram beyond the expected sequence number is left out while the other line may bring
      what comes before it: that is alive, has itself brought nothing beyond the expected number,
      and since the first one left out less than `gap_wait` microseconds have passed. When they
      have passed, that is a gap.
    - With `recovery_wait`, what would be a gap by these rules is none yet: from then on what is
      ahead is left out, until all messages are had that were ahead. If the expected number does
      not move on for `recovery_wait` microseconds, or if that is given up, it is a gap, and the
      next one is one at once unless the expected number has moved on meanwhile.
    - Replies to requests are a third source. They fill what is missing as a line does; what is
      ahead of the expected number, of another session, or before there is a session, is left out.
      They do not keep a line alive, nor have a line waited for.
    - What is left out, or was had in full, may be damaged in any way.
    - What cannot be walked (a header or block cut short, a block of less than 6 octets, octets
      left over) ends the datagram and is a gap; the next datagram is expected to follow it.
    - A message of unknown type, or of another length than its type has, is skipped; the latter is
      a gap if the type changes a book.

    Parameters
    ----------
    symbols : mapping of int to int
        Stock locate to symbol index, of the tracked symbols.
    expected : int
        The sequence number due next.
    gap_wait, line_timeout, recovery_wait : int
        In microseconds, or whatever `tick` is called with.

    Members
    -------
    expected : int
    counters : dict
        By name, see `COUNTERS`.
    alive : list of bool
        By line.
    waiting, known, ended, recovering : bool
        A line may bring what the other has missed; a session is known; its end was told; what is
        missing is to be asked for.
    """

    COUNTERS = (
        "messages",
        "tracked_messages",
        "gaps",
        "missed_messages",
        "duplicate_datagrams",
        "duplicate_messages",
        "heartbeats",
        "ends_of_session",
        "session_changes",
        "bad_datagrams",
        "bad_blocks",
        "unknown_types",
        "length_mismatches",
        "bad_sides",
        "held_datagrams",
        "other_sessions",
        "waits_expired",
        *(f"{name}_{line}" for name in ("won", "filled", "lost") for line in LINES),
        "replies_used",
        "recoveries",
        "recovered",
        "recoveries_given_up",
    )

    BELIEVED = (
        *("_session", "expected", "ended", "waiting", "_ahead"),
        *("recovering", "_given_up", "_newest"),
    )
    """What a datagram says that is only believed if it was not damaged."""

    def __init__(
        self,
        *,
        symbols: Mapping[int, int],
        expected: int = 1,
        gap_wait: int = 0,
        line_timeout: int = 0,
        recovery_wait: int = 0,
    ) -> None:
        self._symbols = dict(symbols)
        self._gap_wait, self._line_timeout = gap_wait, line_timeout
        self._recovery_wait = recovery_wait
        self.counters = dict.fromkeys(self.COUNTERS, 0)
        self.restart(expected)

    @property
    def known(self) -> bool:
        """Whether a session is known."""
        return self._session is not None

    def restart(self, expected: int) -> None:
        """Forgets the session and the lines, and expects a sequence number. Counters go on."""
        self._session: bytes | None = None
        self.expected = expected
        self.ended = self.waiting = False
        self.alive = [False, False]
        self._silent_for = [0, 0]
        self._ahead: frozenset[int] = frozenset()
        self._wait_left = self._recovery_left = 0
        self.recovering = self._given_up = False
        self._newest = 0

    def tick(self) -> list[Delivered | Gap]:
        """A microsecond passes; returns the gap that this is, if any."""
        for line in range(len(LINES)):
            self._silent_for[line] += 1
            if self._silent_for[line] == self._line_timeout:
                self._lose(line)
        expires = self.waiting and self._wait_left == 1
        self._wait_left = max(self._wait_left - 1, 0)
        self._recovery_left = max(self._recovery_left - 1, 0)
        if self.recovering and not self._recovery_left:
            return self.give_up()
        if not expires:
            return []
        if self._can_recover:
            self._recover()
            return []
        return [self._expire()]

    def give_up(self) -> list[Delivered | Gap]:
        """What is missing is not asked for any more; returns the gap that this is, if any."""
        if not self.recovering:
            return []
        self.recovering, self._given_up = False, True
        self.counters["recoveries_given_up"] += 1
        return [self._expire()]

    def _expire(self) -> Gap:
        self.counters["waits_expired"] += 1
        return Gap(self.expected & WORD, self.expected, 0)

    @property
    def _can_recover(self) -> bool:
        return self._recovery_wait > 0 and not self._given_up

    def _recover(self) -> None:
        if not self.recovering:
            self.counters["recoveries"] += 1
            self.recovering, self._recovery_left = True, self._recovery_wait

    def datagram(
        self, payload: bytes, *, line: int = 0, truncated: bool = False, bad_fcs: bool = False
    ) -> list[Delivered | Gap]:
        """What one UDP payload gives, in order.

        `truncated`: its frame ended before it was complete; `bad_fcs`: its frame was damaged.
        Either is known at the end only, and is a gap if anything of it may have been taken. What a
        damaged datagram says of session and sequence is forgotten again.
        """
        out: list[Delivered | Gap] = []
        before = {name: getattr(self, name) for name in self.BELIEVED}
        sequence, ignored = self._datagram(payload, line, out)
        if self.recovering and self.expected >= self._newest:
            self.recovering = False
            self.counters["recovered"] += 1
        if bad_fcs:
            # A damaged sequence number must not make the feed deaf to all that comes after.
            for name, value in before.items():
                setattr(self, name, value)
        if (truncated or bad_fcs) and not ignored:
            out.append(Gap(sequence & WORD, self.expected, 0))
        return out

    def _lose(self, line: int) -> None:
        self.counters[f"lost_{LINES[line]}"] += self.alive[line]
        self.alive[line] = False

    def _datagram(self, payload: bytes, line: int, out: list[Delivered | Gap]) -> tuple[int, bool]:
        """Appends to `out`; returns the sequence number, and whether nothing is looked into."""
        counters = self.counters
        if len(payload) < HEADER.size:
            counters["bad_datagrams"] += 1
            out.append(Gap(self.expected & WORD, self.expected, 0))
            return self.expected, False
        session, sequence, count = HEADER.unpack_from(payload)
        ends = count == moldudp64.END_OF_SESSION
        if ends or count == moldudp64.HEARTBEAT:
            counters["ends_of_session" if ends else "heartbeats"] += 1
            count = 0
        if not self._is_of_session(session, line, sequence, out):
            counters["other_sessions"] += 1
            return sequence, True
        if line != REPLIES:
            self._silent_for[line] = 0
            self.alive[line] = self._line_timeout > 0
        if self._must_wait(sequence, line):
            counters["held_datagrams"] += 1
            if line != REPLIES:
                self._newest = max(self._newest, (sequence + count) % SEQUENCES)
            return sequence, True
        if sequence > self.expected:
            missed = min(sequence - self.expected, WORD)
            counters["gaps"] += 1
            counters["missed_messages"] += missed
            out.append(Gap(sequence & WORD, self.expected, missed))
            self._advance(sequence)
        elif count and sequence + count > self.expected and line != REPLIES:
            counters[f"filled_{LINES[line]}"] += self.waiting
        if count and sequence + count <= self.expected:
            counters["duplicate_datagrams"] += 1
            return sequence, True
        skip = 0
        if count:
            skip = self.expected - sequence
            counters["duplicate_messages"] += skip
            counters["replies_used" if line == REPLIES else f"won_{LINES[line]}"] += 1
            self._advance((sequence + count) % SEQUENCES)
        self.ended = self.ended or (ends and sequence == self.expected)
        cause = self._walk(payload, sequence, count, skip, out)
        if cause is not None:
            counters[cause] += 1
            out.append(Gap(sequence & WORD, self.expected, 0))
        return sequence, False

    def _advance(self, expected: int) -> None:
        self.expected = expected
        self.ended = self.waiting = self._given_up = False
        self._ahead = frozenset()
        self._recovery_left = self._recovery_wait

    def _is_of_session(
        self, session: bytes, line: int, sequence: int, out: list[Delivered | Gap]
    ) -> bool:
        """Whether a session is the present one, if necessary from now on."""
        if line == REPLIES:
            return session == self._session
        if self._session is None:
            self._session = session
        if session == self._session:
            return True
        other = 1 - line
        if self.alive[other] and not self.ended:
            self._lose(line)
            return False
        self._session = session
        self.counters["session_changes"] += 1
        out.append(Gap(sequence & WORD, sequence, 0))
        self._lose(other)
        self._advance(sequence)
        self.recovering, self._newest = False, 0
        return True

    def _must_wait(self, sequence: int, line: int) -> bool:
        """Whether a sequence number is ahead of what the other line may still bring."""
        if sequence <= self.expected:
            return False
        if line == REPLIES or self._waits_for_other(line):
            return True
        if self._can_recover:
            self._recover()
            return True
        return False

    def _waits_for_other(self, line: int) -> bool:
        """Whether the other line may bring what this one has missed; if so, it is waited for."""
        other = 1 - line
        if not self.alive[other] or other in self._ahead:
            return False
        if self.waiting and not self._wait_left:
            return False
        if not self._gap_wait:
            return False
        if not self.waiting:
            self._wait_left = self._gap_wait
        self.waiting = True
        self._ahead |= {line}
        return True

    def _walk(
        self, payload: bytes, sequence: int, count: int, skip: int, out: list[Delivered | Gap]
    ) -> str | None:
        """Takes `count` blocks but the first `skip`; returns the counter of what was wrong."""
        at, end = HEADER.size, len(payload)
        for number in range(count):
            start = at + moldudp64.BLOCK_LENGTH_SIZE
            if start > end:
                return "bad_datagrams"
            length = int.from_bytes(payload[at:start], "big")
            if length < SHORTEST_BLOCK:
                return "bad_blocks"
            at = start + length
            if at > end:
                return "bad_datagrams"
            if number >= skip:
                self._take(payload[start:at], sequence, sequence + number, out)
        return "bad_datagrams" if at != end else None

    def _take(self, octets: bytes, first: int, sequence: int, out: list[Delivered | Gap]) -> None:
        counters = self.counters
        size, decoder = DECODERS.get(octets[0], (0, None))
        if decoder is None:
            counters["unknown_types"] += 1
        elif len(octets) != size:
            counters["length_mismatches"] += 1
            if chr(octets[0]) in itch50.BOOK_TYPES:
                out.append(Gap(first & WORD, sequence, 0))
        elif chr(octets[0]) in "AF" and octets[SIDE_AT] not in b"BS":
            counters["bad_sides"] += 1
            out.append(Gap(first & WORD, sequence, 0))
        else:
            message = decoder(octets)
            symbol = self._symbols.get(message.locate)
            counters["messages"] += 1
            counters["tracked_messages"] += symbol is not None
            out.append(Delivered(sequence, symbol, message))
