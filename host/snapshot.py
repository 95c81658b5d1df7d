"""Snapshots of a symbol's book: its live orders as they are after one message of the feed.

The file is JSON, with prices as text of at most four decimals:

    {"symbol": "AAPL", "sequence": 1234567, "orders": [
        {"reference": 42, "side": "buy", "shares": 100, "price_usd": "150.0100"}, ...]}

`sequence` is the MoldUDP64 sequence number of the last message that the snapshot reflects.

Ref: docs/architecture.md, "The book".
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tickgate.host.config import Usd32, units
from tickgate.host.errors import UserError

__all__ = ["Snapshot", "SnapshotOrder"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SnapshotOrder(_Model):
    """A live order."""

    reference: Annotated[int, Field(ge=0, lt=1 << 64, strict=True)]
    side: Literal["buy", "sell"]
    shares: Annotated[int, Field(ge=0, lt=1 << 32, strict=True)]
    price_usd: Usd32

    @property
    def price(self) -> int:
        """In 1e-4 USD."""
        return units(self.price_usd)


class Snapshot(_Model):
    """All live orders of a symbol after the message with `sequence`."""

    symbol: str
    sequence: Annotated[int, Field(ge=0, lt=1 << 64, strict=True)]
    orders: list[SnapshotOrder]

    @model_validator(mode="after")
    def _once(self) -> Self:
        seen: set[int] = set()
        for order in self.orders:
            if order.reference in seen:
                raise ValueError(f"reference {order.reference} is in it twice")
            seen.add(order.reference)
        return self

    @classmethod
    def from_text(cls, text: str, *, source: str) -> Self:
        """Reads a snapshot. Raises `UserError` that names `source` and what is wrong in it."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            what = first["msg"].removeprefix("Value error, ")
            what = what[:1].lower() + what[1:]
            raise UserError(": ".join(filter(None, (source, where, what)))) from None

    def to_text(self) -> str:
        """As a file has it."""
        return self.model_dump_json()
