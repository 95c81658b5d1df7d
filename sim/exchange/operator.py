"""The venue's own desk: a TCP port that takes a command a line and answers with JSON a line.

    status                       how many orders, trades, messages and sessions there are
    halt SYMBOL                  orders in it are rejected from now on; those that rest stay
    resume SYMBOL
    break MATCH_NUMBER           voids a trade: Broken Trade to both sides and in the feed
    cancels ACCOUNT act|pend|reject
                                 what becomes of an account's cancels, as around a cross
    restate ACCOUNT USER_REF_NUM SHARES
                                 Restated, with the displayed quantity
    disconnect ACCOUNT           drops its connection
    book SYMBOL                  the displayed orders after the message with that sequence number
    ledger                       what the exchange writes at its end

An answer is `{"ok": true, ...}` or `{"ok": false, "error": "..."}`.
"""

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tickgate.sim.exchange.book import Symbol
from tickgate.sim.exchange.ledger import SIDES
from tickgate.sim.exchange.ouch import OuchPort
from tickgate.sim.exchange.venue import Venue
from tickgate.sim.model.feed import BUY, SELL
from tickgate.spec.itch50 import TradingState

__all__ = ["Operator"]

LONGEST_LINE = 4096


class _Refused(ValueError):
    """A command that cannot be done, with what to do instead."""


class Operator:
    """Serves the desk of one venue."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._server: asyncio.Server | None = None
        self.transports: set[asyncio.Transport] = set()
        self._commands: dict[str, tuple[Callable[..., dict[str, Any]], str]] = {
            "status": (self._status, ""),
            "halt": (self._halt, "SYMBOL"),
            "resume": (self._resume, "SYMBOL"),
            "break": (self._break, "MATCH_NUMBER"),
            "cancels": (self._cancels, "ACCOUNT act|pend|reject"),
            "restate": (self._restate, "ACCOUNT USER_REF_NUM SHARES"),
            "disconnect": (self._disconnect, "ACCOUNT"),
            "book": (self._book, "SYMBOL"),
            "ledger": (self._ledger, ""),
        }

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listens there, port 0 being any free one, and returns where. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Desk(self), host, port)
        return self._server.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        """Listens no more, and drops who is connected."""
        if self._server is not None:
            self._server.close()
            for transport in list(self.transports):
                transport.close()
            await self._server.wait_closed()

    def answer(self, line: str) -> dict[str, Any]:
        """Does what a line says."""
        words = line.split()
        name = words[0].lower() if words else ""
        if name not in self._commands:
            return {"ok": False, "error": f"commands are {', '.join(self._commands)}"}
        command, arguments = self._commands[name]
        if len(words) - 1 != len(arguments.split()):
            return {"ok": False, "error": f"usage: {name} {arguments}".rstrip()}
        try:
            return {"ok": True, **command(*words[1:])}
        except (ValueError, KeyError) as error:
            return {"ok": False, "error": str(error.args[0])}

    def _symbol(self, name: str) -> Symbol:
        symbols = self._venue.engine.symbols
        if name.upper() not in symbols:
            raise _Refused(f"no symbol {name!r}; there are {', '.join(symbols)}")
        return symbols[name.upper()]

    def _port(self, name: str) -> OuchPort:
        ports = self._venue.ports
        if name.upper() not in ports:
            raise _Refused(f"no account {name!r}; there are {', '.join(ports)}")
        return ports[name.upper()]

    @staticmethod
    def _number(text: str) -> int:
        if not text.isdecimal():
            raise _Refused(f"{text!r} is not a whole number")
        return int(text)

    def _status(self) -> dict[str, Any]:
        return self._venue.status()

    def _halt(self, name: str) -> dict[str, Any]:
        self._venue.engine.set_state(self._symbol(name), TradingState.HALTED)
        return {}

    def _resume(self, name: str) -> dict[str, Any]:
        self._venue.engine.set_state(self._symbol(name), TradingState.TRADING)
        return {}

    def _break(self, match: str) -> dict[str, Any]:
        number = self._number(match)
        if number not in self._venue.engine.trades:
            raise _Refused(f"no trade {number}; the last one is {self._venue.engine.matches}")
        self._venue.engine.break_trade(number)
        return {}

    def _cancels(self, account: str, mode: str) -> dict[str, Any]:
        self._port(account).set_cancel_mode(mode)
        return {}

    def _restate(self, account: str, user_ref_num: str, shares: str) -> dict[str, Any]:
        port = self._port(account)
        port.restate(self._number(user_ref_num), display_quantity=self._number(shares))
        return {}

    def _disconnect(self, account: str) -> dict[str, Any]:
        port = self._port(account)
        if port.stream.follower is None:
            raise _Refused(f"{port.account} is not connected")
        port.stream.follower.lost("disconnected by the operator")
        return {}

    def _book(self, name: str) -> dict[str, Any]:
        symbol = self._symbol(name)
        book = self._venue.engine.books[symbol.name]
        return {
            "symbol": symbol.name,
            "sequence": len(self._venue.feed.messages),
            "orders": [
                {
                    "reference": order.reference,
                    "side": SIDES[order.side],
                    "shares": order.leaves,
                    "price_usd": str(Decimal(order.price).scaleb(-4)),
                }
                for side in (BUY, SELL)
                for order in book.orders(side)
                if not order.hidden
            ],
        }

    def _ledger(self) -> dict[str, Any]:
        return self._venue.ledger()


class _Desk(asyncio.Protocol):
    """A connection to the desk."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._transport: asyncio.Transport | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._operator.transports.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._operator.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            answer = self._operator.answer(line.decode("utf-8", "replace"))
            self._transport.write(json.dumps(answer).encode() + b"\n")
        if len(self._rest) > LONGEST_LINE:
            self._transport.close()
