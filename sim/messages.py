"""ITCH 5.0 messages in bulk: one array of octets, and columns of fields taken from it by NumPy.

Ref: NASDAQ TotalView-ITCH 5.0, section 4.
"""

from dataclasses import dataclass

import numpy as np

from tickgate.spec import itch50

__all__ = ["Messages"]

_SIZES = np.zeros(256, np.int64)
for _type, _message in itch50.MESSAGES.items():
    _SIZES[ord(_type)] = _message.size


@dataclass(frozen=True, kw_only=True)
class Messages:
    """Messages that lie anywhere in `octets`, in order.

    Parameters
    ----------
    octets : uint8 array
    begin : int64 array
        Where the type octet of each message is.
    size : int64 array
        Octets of each message.
    """

    octets: np.ndarray
    begin: np.ndarray
    size: np.ndarray

    def __len__(self) -> int:
        return len(self.begin)

    @property
    def types(self) -> np.ndarray:
        """The type octet of each message; 0 where a message has no octet."""
        if not len(self.octets):
            return np.zeros(len(self), np.uint8)
        at = np.minimum(self.begin, len(self.octets) - 1)
        return np.where(self.size > 0, self.octets[at], 0).astype(np.uint8)

    @property
    def well_formed(self) -> np.ndarray:
        """True where the type is known and the message has its length."""
        return (self.size > 0) & (_SIZES[self.types] == self.size)

    def of(self, which: np.ndarray) -> "Messages":
        """Those messages that a mask or an array of indices names."""
        return Messages(octets=self.octets, begin=self.begin[which], size=self.size[which])

    def of_type(self, *types: str) -> "Messages":
        """The well-formed messages of the given types."""
        return self.of(self.where(*types))

    def where(self, *types: str) -> np.ndarray:
        """The indices of the well-formed messages of the given types."""
        wanted = np.zeros(256, bool)
        wanted[[ord(type_) for type_ in types]] = True
        return np.flatnonzero(wanted[self.types] & self.well_formed)

    def header(self, name: str) -> np.ndarray:
        """A number of the header of every message, which all have to be long enough for it."""
        return self._numbers(itch50.HEADER.offset(name), itch50.HEADER.field(name).size)

    def numbers(self, type_: str, name: str) -> np.ndarray:
        """A number of the messages, which all have to be of a type laid out as `type_`."""
        message = itch50.MESSAGES[type_]
        return self._numbers(message.offset(name), message.field(name).size)

    def texts(self, type_: str, name: str) -> np.ndarray:
        """A text, with its padding, of messages that are all laid out as `type_`."""
        message = itch50.MESSAGES[type_]
        size = message.field(name).size
        at = self.begin[:, None] + message.offset(name) + np.arange(size)
        return np.ascontiguousarray(self.octets[at]).view(f"S{size}").ravel()

    def _numbers(self, offset: int, size: int) -> np.ndarray:
        at = self.begin + offset
        values = self.octets[at].astype(np.uint64)
        for octet in range(1, size):
            values = values << np.uint64(8) | self.octets[at + octet]
        return values
