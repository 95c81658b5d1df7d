"""The event records of the card: fixed-size, numbered, with a time in nanoseconds.

Each record is `RECORD_WORDS` 32-bit words, little-endian. Numbers rise by one an event, also for
events that found the queue full: a hole in the numbers is a loss.

Ref: docs/architecture.md, "Control".
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "FIELDS",
    "FIELDS_BY_NAME",
    "RECORD_WORDS",
    "EventField",
    "EventKind",
    "pack",
    "unpack",
]

RECORD_WORDS = 12


class EventKind(enum.IntEnum):
    """What happened."""

    ORDER_SENT = 1
    REFUSED = 2
    ACCEPTED = 3
    FILLED = 4
    CANCELLED = 5
    STATE_CHANGED = 6
    GAP = 7
    CONFIG_COMMITTED = 8
    REJECTED = 9

    @property
    def doc(self) -> str:
        """What it means, for people."""
        return _KIND_DOC[self]


_KIND_DOC = {
    EventKind.ORDER_SENT: "an order passed every gate and leaves; `latency_cycles` is t1 - t0",
    EventKind.REFUSED: "an order was refused; bit g of `reasons` is gate g, bit 0 a busy port",
    EventKind.ACCEPTED: "the venue accepted an order, with `quantity` shares at `price`; `detail` "
    "of them are open (0 if `code`, the order state, is D)",
    EventKind.FILLED: "the venue executed `quantity` shares of an order at `price`, and the "
    "position has them; `detail` are still open, `code` is the liquidity flag",
    EventKind.CANCELLED: "`quantity` shares were taken off an order, by a cancel, a modification "
    "or another order in its place; `detail` are still open, `code` is the venue's reason, if any",
    EventKind.STATE_CHANGED: "`detail` is the new value of register `state`",
    EventKind.GAP: "messages before `message_sequence` were lost",
    EventKind.CONFIG_COMMITTED: "`detail` is the checksum of the pages now in force",
    EventKind.REJECTED: "the venue rejected an order, of `quantity` shares; `detail` is its reason",
}


@dataclass(frozen=True)
class EventField:
    """One field of a record.

    Parameters
    ----------
    name : str
    word : int
        Word of the record in which it begins.
    low, width : int
        The lowest bit in that word, and how many; those beyond bit 31 go on in the next word.
    doc : str
        With the unit.
    stamped : bool
        The event queue supplies it, not the stage that reports the event.
    """

    name: str
    word: int
    low: int
    width: int
    doc: str
    stamped: bool = False

    @property
    def offset(self) -> int:
        """The lowest bit of the field in the whole record."""
        return 32 * self.word + self.low


FIELDS: tuple[EventField, ...] = (
    EventField("sequence", 0, 0, 32, "number of the event, from 0 at reset", stamped=True),
    EventField("kind", 1, 0, 8, "what happened: see `EventKind`"),
    EventField("side", 1, 8, 1, "0: buy, 1: sell"),
    EventField("symbol", 1, 16, 16, "symbol index"),
    EventField("time", 2, 0, 64, "time of the event, in ns", stamped=True),
    EventField("user_ref_num", 4, 0, 32, "user reference number of the order"),
    EventField("quantity", 5, 0, 32, "shares"),
    EventField("price", 6, 0, 32, "in 1e-4 USD"),
    EventField(
        "reasons",
        7,
        0,
        64,
        "gates that refused, one bit each; of an order accepted its "
        "reference number in ITCH, of one filled the match number",
    ),
    EventField(
        "message_sequence",
        9,
        0,
        32,
        "low half of the sequence number: of the feed, or of "
        "SoupBinTCP if a report of the venue is told",
    ),
    EventField("latency_cycles", 10, 0, 16, "clock cycles from t0 to t1"),
    EventField("code", 10, 16, 8, "character that depends on the kind; 0 is none"),
    EventField("detail", 11, 0, 32, "depends on the kind"),
)

FIELDS_BY_NAME: Mapping[str, EventField] = {field.name: field for field in FIELDS}


def unpack(words: Sequence[int]) -> dict[str, int]:
    """Takes a record apart into its fields by name.

    `kind` is an `EventKind` if it is a known one, else the number. Raises `ValueError` if there
    are not `RECORD_WORDS` words.
    """
    if len(words) != RECORD_WORDS:
        raise ValueError(f"an event record has {RECORD_WORDS} words, not {len(words)}")
    record = sum(word << 32 * n for n, word in enumerate(words))
    values = {f.name: record >> f.offset & (1 << f.width) - 1 for f in FIELDS}
    if values["kind"] in EventKind._value2member_map_:
        values["kind"] = EventKind(values["kind"])
    return values


def pack(values: Mapping[str, int]) -> list[int]:
    """Makes the words of a record; fields not given are 0.

    Raises `ValueError` naming the field if one is unknown or does not fit.
    """
    record = 0
    for name, value in values.items():
        if name not in FIELDS_BY_NAME:
            raise ValueError(f"an event record has no field {name!r}")
        field = FIELDS_BY_NAME[name]
        if not 0 <= value < 1 << field.width:
            raise ValueError(
                f"event field {name} must be 0 to {(1 << field.width) - 1}, not {value}"
            )
        record |= value << field.offset
    return [record >> 32 * n & 0xFFFF_FFFF for n in range(RECORD_WORDS)]
