"""Headers as octets in the order of the wire, from the tables of tickgate.spec.

Ref: docs/architecture.md; RFC 1071 for the words of a checksum.
"""

from collections.abc import Mapping, Sequence

from amaranth.hdl import Cat, Const, Value

from tickgate.spec import ethernet
from tickgate.spec.fields import Message

__all__ = ["place", "words_to_add"]


def place(
    headers: Sequence[Message], values: Mapping[str, Mapping[str, int | Value]]
) -> list[Value]:
    """Returns the octets of `headers`, one after the other.

    `values` gives, for each header, fields by name; those not given are 0.
    """
    octets = []
    for header in headers:
        given = values.get(header.name, {})
        if unknown := given.keys() - {field.name for field in header}:
            raise KeyError(f"{header.name} has no field {', '.join(unknown)}")
        for field in header:
            octets += [_octet(given.get(field.name, 0), n) for n in reversed(range(field.size))]
    return octets


def _octet(value: int | Value, n: int) -> Value:
    if isinstance(value, int):
        return Const(value >> 8 * n & 0xFF, 8)
    return value[8 * n : 8 * n + 8] if 8 * n < len(value) else Const(0, 8)


def words_to_add(octets: Sequence[Value], constant: int = 0) -> list[Value]:
    """Returns the words of a checksum over `octets`, all that is constant added up in one."""
    words = []
    for high, low in zip(octets[::2], octets[1::2], strict=True):
        if isinstance(high, Const) and isinstance(low, Const):
            constant = ethernet.ones_complement_sum(bytes([high.value, low.value]), constant)
        else:
            words.append(Cat(low, high))
    return [*words, Const(constant, 16)] if constant else words
