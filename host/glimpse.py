"""Takes a snapshot of a symbol's book from a GLIMPSE 5.0 server.

Ref: GLIMPSE for TotalView-ITCH 5.0; SoupBinTCP 4.00, section 2.
"""

import contextlib
import socket
import time
from collections.abc import Generator

from pydantic import ValidationError

from tickgate.host.config import usd
from tickgate.host.errors import HostError, UserError
from tickgate.host.snapshot import Snapshot, SnapshotOrder
from tickgate.spec import glimpse50, itch50, soupbintcp
from tickgate.spec.fields import WireError

__all__ = ["VenueUnreachable", "take"]

READ_SIZE = 1 << 16


class VenueUnreachable(HostError):
    """The server cannot be reached, went away, or does not speak GLIMPSE 5.0."""

    exit_code = 3


def take(
    host: str, port: int, symbol: str, *, username: str, password: str, timeout: float = 15.0
) -> Snapshot:
    """Logs in, reads the snapshot that the server then takes, and leaves.

    Orders come best price first and then oldest, bids before asks. `timeout` is in seconds, for
    the whole of it. Raises `VenueUnreachable`, or `UserError` if the login is refused or the
    venue does not have the symbol.
    """
    where = f"{host}:{port}"
    known = False
    orders = []
    with contextlib.closing(_messages(host, port, username, password, timeout)) as messages:
        for message in messages:
            type_ = chr(message[0]) if message else ""
            try:
                if type_ == glimpse50.END_OF_SNAPSHOT.type:
                    end = glimpse50.END_OF_SNAPSHOT.unpack(message)
                    if not known:
                        raise UserError(f"{where}: the venue has no symbol {symbol!r}")
                    sequence = int(end["sequence"]) - 1
                    return Snapshot(symbol=symbol, sequence=sequence, orders=orders)
                if type_ not in itch50.MESSAGES:
                    raise WireError(f"no ITCH 5.0 message has the type {type_!r}")
                values = itch50.MESSAGES[type_].unpack(message)
            except WireError as error:
                raise VenueUnreachable(f"{where}: is not GLIMPSE 5.0: {error}") from None
            except ValidationError as error:
                what = error.errors()[0]["msg"]
                raise VenueUnreachable(f"{where}: is not GLIMPSE 5.0: {what}") from None
            if values.get("stock") != symbol:
                continue
            known = True
            if "order_ref" in values:
                orders.append(
                    SnapshotOrder(
                        reference=int(values["order_ref"]),
                        side="buy" if values["side"] == itch50.BUY else "sell",
                        shares=int(values["shares"]),
                        price_usd=usd(int(values["price"])),
                    )
                )
    raise VenueUnreachable(f"{where}: ended the session before the end of the snapshot")


def _messages(
    host: str, port: int, username: str, password: str, timeout: float
) -> Generator[bytes, None, None]:
    """The sequenced messages of a session, until the server ends it."""
    where = f"{host}:{port}"
    until = time.monotonic() + timeout
    try:
        login = soupbintcp.LOGIN_REQUEST.pack(
            username=username, password=password, requested_session="", requested_sequence=1
        )
    except WireError as error:
        raise UserError(str(error)) from None
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(login)
            rest = b""
            while True:
                connection.settimeout(max(until - time.monotonic(), 1e-3))
                data = connection.recv(READ_SIZE)
                packets, rest = soupbintcp.split(rest + data)
                for type_, payload in packets:
                    if type_ == soupbintcp.LOGIN_REJECTED.type:
                        reason = soupbintcp.REJECT_REASONS.get(payload.decode("latin-1"), "?")
                        raise UserError(f"{where}: refused the login, {reason}")
                    if type_ == soupbintcp.END_OF_SESSION:
                        return
                    if type_ == soupbintcp.SEQUENCED_DATA:
                        yield payload
                if not data:
                    return
    except WireError as error:
        raise VenueUnreachable(f"{where}: is not SoupBinTCP: {error}") from None
    except TimeoutError:
        raise VenueUnreachable(f"{where}: no snapshot within {timeout:g} s") from None
    except OSError as error:
        raise VenueUnreachable(f"{where}: {error.strerror or error}") from None
