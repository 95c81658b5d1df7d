"""Every OUCH message of a day, in and out, one JSON object a line.

    {"time_ns": 34200000000123, "account": "CARD", "direction": "in", "message": "enter_order",
     "octets": "4f...", "values": {...}}

`values` is missing where the octets are no message; `appendage` is there where one is.
"""

import json
from collections.abc import Callable
from typing import TextIO

from tickgate.spec import ouch50
from tickgate.spec.fields import WireError

__all__ = ["Journal"]

TABLES = {"in": ouch50.INBOUND, "out": ouch50.OUTBOUND}


class Journal:
    """Writes messages to a file as they come."""

    def __init__(self, file: TextIO, *, clock: Callable[[], int]) -> None:
        self._file = file
        self._clock = clock

    def __call__(self, account: str, direction: str, octets: bytes) -> None:
        """Writes one message; `direction` is in or out, as the venue sees it."""
        row = {
            "time_ns": self._clock(),
            "account": account,
            "direction": direction,
            "octets": octets.hex(),
        }
        try:
            decoded = ouch50.decode(TABLES[direction], octets)
        except WireError as error:
            row["malformed"] = str(error)
        else:
            row["message"] = decoded.message.name
            row["values"] = decoded.values
            if decoded.appendage:
                row["appendage"] = {
                    str(tag): value.hex() if isinstance(value, bytes) else value
                    for tag, value in decoded.appendage.items()
                }
        self._file.write(json.dumps(row) + "\n")
