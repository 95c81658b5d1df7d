"""ITCH 5.0 messages of the book written in bulk, from one row of numbers for each.

Ref: NASDAQ TotalView-ITCH 5.0, sections 4.3 to 4.5.
"""

import numpy as np

from tickgate.sim.messages import Messages
from tickgate.spec import itch50, moldudp64

__all__ = ["ROW", "TYPES", "rows_of", "write"]

ROW = np.dtype(
    [
        ("type", "u1"),
        ("locate", "u2"),
        ("time", "u8"),
        ("reference", "u8"),
        ("new_reference", "u8"),
        ("side", "u1"),
        ("shares", "u4"),
        ("price", "u4"),
    ]
)
"""A message: `type` and `side` as the octets of the specification; `reference` names the order, or
is the match number of a print; what a type does not carry is passed over."""

_FIELDS = {
    "A": {"order_ref": "reference", "side": "side", "shares": "shares", "price": "price"},
    "F": {"order_ref": "reference", "side": "side", "shares": "shares", "price": "price"},
    "E": {"order_ref": "reference", "executed_shares": "shares"},
    "C": {"order_ref": "reference", "executed_shares": "shares", "execution_price": "price"},
    "X": {"order_ref": "reference", "canceled_shares": "shares"},
    "D": {"order_ref": "reference"},
    "U": {
        "orig_order_ref": "reference",
        "new_order_ref": "new_reference",
        "shares": "shares",
        "price": "price",
    },
    "P": {"side": "side", "shares": "shares", "price": "price", "match_number": "reference"},
}
"""Which column each field of a type comes from."""

TYPES = tuple(_FIELDS)
"""The types that can be written."""

_CONSTANTS = {"stock": b"TICKGATE", "attribution": b"NSDQ", "printable": b"Y"}
_PREFIX = moldudp64.BLOCK_LENGTH_SIZE


def _block(type_: str) -> np.dtype:
    """A message behind its length; the octets of the time are two numbers."""
    message = itch50.MESSAGES[type_]
    at = _PREFIX + itch50.HEADER.offset("timestamp")
    names, formats, offsets = ["length", "time_high", "time_low"], [">u2", ">u2", ">u4"], [0, at]
    offsets.append(at + 2)
    for field in message.fields:
        if field.name != "timestamp":
            names.append(field.name)
            formats.append(f"S{field.size}" if field.name in _CONSTANTS else f">u{field.size}")
            offsets.append(_PREFIX + message.offset(field.name))
    return np.dtype(
        {
            "names": names,
            "formats": formats,
            "offsets": offsets,
            "itemsize": _PREFIX + message.size,
        }
    )


_BLOCKS = {type_: _block(type_) for type_ in TYPES}
_SIZES = np.zeros(256, np.int64)
for _type in TYPES:
    _SIZES[ord(_type)] = itch50.MESSAGES[_type].size


def rows_of(rows: list[tuple]) -> np.ndarray:
    """An array of `ROW` from tuples."""
    table = np.empty(len(rows), ROW)
    if rows:
        for name, column in zip(ROW.names, zip(*rows, strict=True), strict=True):
            table[name] = np.array(column, ROW[name])
    return table


def write(rows: np.ndarray) -> Messages:
    """The messages of an array of `ROW`, each behind its length in two octets.

    Raises ValueError for a type that is not one of `TYPES`.
    """
    size = _SIZES[rows["type"]]
    if not size.all():
        wrong = rows["type"][int(np.argmin(size))]
        raise ValueError(f"type must be one of {', '.join(TYPES)}, not {chr(wrong)!r}")
    begin = np.cumsum(size + _PREFIX) - size
    octets = np.empty(int(begin[-1] + size[-1]) if len(rows) else 0, np.uint8)
    for type_, fields in _FIELDS.items():
        which = np.flatnonzero(rows["type"] == ord(type_))
        if not len(which):
            continue
        chosen, blocks = rows[which], np.zeros(len(which), _BLOCKS[type_])
        blocks["length"] = itch50.MESSAGES[type_].size
        blocks["type"] = ord(type_)
        blocks["stock_locate"] = chosen["locate"]
        blocks["time_high"] = chosen["time"] >> np.uint64(32)
        blocks["time_low"] = chosen["time"] & np.uint64(0xFFFF_FFFF)
        for field, column in fields.items():
            blocks[field] = chosen[column]
        for field, text in _CONSTANTS.items():
            if field in blocks.dtype.names:
                blocks[field] = text
        width = blocks.dtype.itemsize
        at = begin[which] - _PREFIX
        octets[at[:, None] + np.arange(width)] = blocks.view(np.uint8).reshape(-1, width)
    return Messages(octets=octets, begin=begin, size=size)
