"""What a wire format is made of: messages of fields of whole octets, big-endian.

Ref: the kinds are the data types of NASDAQ TotalView-ITCH 5.0 ("Data Types"), OUCH 5.0 ("Data
Types") and SoupBinTCP 4.00 ("Data Types").
"""

import dataclasses
import enum
from collections.abc import Iterator

__all__ = ["Field", "Kind", "Message", "Value", "WireError"]

Value = int | str


class WireError(ValueError):
    """A value that does not fit its field, or octets that are not what the table says."""


class Kind(enum.Enum):
    """How the octets of a field are read; every number is big-endian."""

    UINT = "unsigned integer"
    INT = "signed integer, two's complement"
    ALPHA = "ASCII text, padded with spaces on the right"
    ALPHA_LEFT = "ASCII text, padded with spaces on the left"
    PRICE4 = "unsigned integer, in 1e-4 USD"
    PRICE8 = "unsigned integer, in 1e-8 of the unit"
    TIME_NS = "unsigned integer, nanoseconds since midnight"
    SECONDS = "unsigned integer, seconds since midnight"
    ASCII_NUMBER = "decimal digits, padded with spaces on the left"

    @property
    def is_text(self) -> bool:
        """True if the value is a `str`; otherwise it is an `int`."""
        return self in (Kind.ALPHA, Kind.ALPHA_LEFT)


@dataclasses.dataclass(frozen=True)
class Field:
    """One field: `size` octets of one `kind`.

    Parameters
    ----------
    name : str
        The name by which `Message.pack` and `Message.unpack` know the value.
    size : int
        Octets, at least 1.
    kind : Kind
        How the octets are read.
    doc : str
        What a reader of the table needs to know.
    fixed : int or str or None
        The only value the field may have. `Message.pack` supplies it; any other is an error.
    """

    name: str
    size: int
    kind: Kind
    doc: str = ""
    fixed: Value | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"field name {self.name!r} is not an identifier")
        if self.size < 1:
            raise ValueError(f"field {self.name}: size must be at least 1 octet, not {self.size}")
        if self.fixed is not None:
            self.encode(self.fixed)

    @property
    def minimum(self) -> int:
        """The least number the field can hold (0 for text)."""
        return -(1 << (8 * self.size - 1)) if self.kind is Kind.INT else 0

    @property
    def maximum(self) -> int:
        """The greatest number the field can hold; for text, the greatest length."""
        match self.kind:
            case Kind.ALPHA | Kind.ALPHA_LEFT:
                return self.size
            case Kind.ASCII_NUMBER:
                return 10**self.size - 1
            case Kind.INT:
                return (1 << (8 * self.size - 1)) - 1
            case _:
                return (1 << (8 * self.size)) - 1

    def encode(self, value: Value) -> bytes:
        """Returns the `size` octets of `value`. Raises `WireError` if it does not fit."""
        if self.fixed is not None and value != self.fixed:
            raise WireError(f"{self.name}: must be {self.fixed!r}, not {value!r}")
        if self.kind.is_text:
            return self._encode_text(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise WireError(f"{self.name}: expected a whole number, not {value!r}")
        if not self.minimum <= value <= self.maximum:
            raise WireError(
                f"{self.name}: {value} is outside {self.minimum} to {self.maximum} "
                f"({self.size} octets, {self.kind.value})"
            )
        if self.kind is Kind.ASCII_NUMBER:
            return str(value).rjust(self.size).encode("ascii")
        return value.to_bytes(self.size, "big", signed=self.kind is Kind.INT)

    def _encode_text(self, value: Value) -> bytes:
        if not isinstance(value, str):
            raise WireError(f"{self.name}: expected text, not {value!r}")
        if not value.isascii():
            raise WireError(f"{self.name}: {value!r} is not ASCII")
        if len(value) > self.size:
            raise WireError(f"{self.name}: {value!r} is longer than {self.size} characters")
        left = self.kind is Kind.ALPHA_LEFT
        return (value.rjust(self.size) if left else value.ljust(self.size)).encode("ascii")

    def decode(self, octets: bytes) -> Value:
        """Returns the value of exactly `size` octets, text without its padding.

        Numbers in ASCII are accepted with spaces on either side or zeros on the left: venues
        differ. Raises `WireError` if the octets cannot be a value of this field.
        """
        if len(octets) != self.size:
            raise WireError(f"{self.name}: expected {self.size} octets, not {len(octets)}")
        value = self._decode(octets)
        if self.fixed is not None and value != self.fixed:
            raise WireError(f"{self.name}: must be {self.fixed!r}, not {value!r}")
        return value

    def _decode(self, octets: bytes) -> Value:
        if not self.kind.is_text and self.kind is not Kind.ASCII_NUMBER:
            return int.from_bytes(octets, "big", signed=self.kind is Kind.INT)
        if not octets.isascii():
            raise WireError(f"{self.name}: {octets!r} is not ASCII")
        text = octets.decode("ascii")
        if self.kind is Kind.ALPHA:
            return text.rstrip(" ")
        if self.kind is Kind.ALPHA_LEFT:
            return text.lstrip(" ")
        digits = text.strip(" ")
        if not digits.isdecimal():
            raise WireError(f"{self.name}: {text!r} is not a decimal number")
        return int(digits)


@dataclasses.dataclass(frozen=True)
class Message:
    """A fixed sequence of fields, without gaps.

    Parameters
    ----------
    name : str
        The name of the message in lower case.
    fields : tuple of Field
        In the order of the wire.
    type : str or None
        The one character of the field named `type`, which becomes fixed.
    note : str
        What is easy to get wrong.
    """

    name: str
    fields: tuple[Field, ...]
    type: str | None = None
    note: str = ""
    _spans: dict[str, tuple[Field, int]] = dataclasses.field(init=False, repr=False, compare=False)
    _size: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fields = tuple(self.fields)
        names = [item.name for item in fields]
        if not fields or len(set(names)) != len(names):
            raise ValueError(f"message {self.name}: field names must be unique and at least one")
        if self.type is not None:
            if "type" not in names:
                raise ValueError(f"message {self.name}: has a type but no field named 'type'")
            fields = tuple(
                dataclasses.replace(item, fixed=self.type) if item.name == "type" else item
                for item in fields
            )
        spans = {}
        offset = 0
        for item in fields:
            spans[item.name] = (item, offset)
            offset += item.size
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "_spans", spans)
        object.__setattr__(self, "_size", offset)

    @property
    def size(self) -> int:
        """Octets of the whole message."""
        return self._size

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def __contains__(self, name: str) -> bool:
        return name in self._spans

    def field(self, name: str) -> Field:
        """Returns the field called `name`; `KeyError` if there is none."""
        return self._span(name)[0]

    def offset(self, name: str) -> int:
        """Returns the octet, from 0, in which the field called `name` begins."""
        return self._span(name)[1]

    def end(self, name: str) -> int:
        """Returns the octet after the last one of the field called `name`."""
        item, offset = self._span(name)
        return offset + item.size

    def pack(self, **values: Value) -> bytes:
        """Returns the `size` octets of a message; every field without a fixed value is required.

        Raises `WireError` that names the message, the field, the value and its range.
        """
        unknown = values.keys() - self._spans.keys()
        if unknown:
            raise WireError(f"{self.name}: has no field {', '.join(sorted(unknown))}")
        octets = bytearray()
        for item in self.fields:
            value = values.get(item.name, item.fixed)
            if value is None:
                raise WireError(f"{self.name}: field {item.name} has no value")
            try:
                octets += item.encode(value)
            except WireError as error:
                raise WireError(f"{self.name}: {error}") from None
        return bytes(octets)

    def unpack(self, data: bytes) -> dict[str, Value]:
        """Returns the values of exactly `size` octets by field name, fixed ones included."""
        if len(data) != self.size:
            raise WireError(f"{self.name}: expected {self.size} octets, not {len(data)}")
        return self.unpack_from(data)

    def unpack_from(self, data: bytes, offset: int = 0) -> dict[str, Value]:
        """As `unpack`, of the `size` octets at `offset`; more may follow (headers)."""
        if len(data) - offset < self.size:
            raise WireError(
                f"{self.name}: expected {self.size} octets at offset {offset}, "
                f"only {max(len(data) - offset, 0)} are there"
            )
        values = {}
        for item in self.fields:
            octets = bytes(data[offset : offset + item.size])
            try:
                values[item.name] = item.decode(octets)
            except WireError as error:
                raise WireError(f"{self.name}: {error}") from None
            offset += item.size
        return values

    def _span(self, name: str) -> tuple[Field, int]:
        try:
            return self._spans[name]
        except KeyError:
            raise KeyError(f"message {self.name} has no field {name!r}") from None
