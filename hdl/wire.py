"""The headers of a frame as hardware values, octet by octet in the order of the wire.

Ref: tickgate.spec, whose tables give the order and the sizes; RFC 1071 for the words of a checksum.
"""

from collections.abc import Mapping, Sequence

from amaranth.hdl import Cat, Const, Value

from tickgate.spec import ethernet
from tickgate.spec.fields import Message

__all__ = ["place", "words_to_add"]


def place(headers: Sequence[Message], values: Mapping[str, Mapping]) -> list[Value]:
    """Returns the octets of these headers, one after the other.

    `values` gives, by the name of a header, its fields by name: numbers, or values whose lowest
    bits are the field. Those not given are their fixed number, or 0. Raises `KeyError` for a field
    or a header that is not there.
    """
    if unknown := values.keys() - {header.name for header in headers}:
        raise KeyError(f"no header {', '.join(unknown)}")
    octets = []
    for header in headers:
        given = values.get(header.name, {})
        if unknown := given.keys() - {field.name for field in header}:
            raise KeyError(f"{header.name} has no field {', '.join(unknown)}")
        for field in header:
            fixed = field.fixed if isinstance(field.fixed, int) else 0
            value = given.get(field.name, fixed)
            octets += [_octet(value, n) for n in reversed(range(field.size))]
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
