"""An implementation of others logs in and trades: SoupBinTCP and OUCH of nasdaq-protocols.

The package brings the session, and OUCH messages as something that its user declares; those of
OUCH 5.0 are declared here, in its own types, from the specification and apart from spec/.
"""

import asyncio

import pytest

soup = pytest.importorskip("nasdaq_protocols.soup", reason="needs nasdaq-protocols")
ouch = pytest.importorskip("nasdaq_protocols.ouch", reason="needs nasdaq-protocols")
from nasdaq_protocols.common.message import (  # noqa: E402
    CharAscii,
    Field,
    FixedAsciiString,
    Record,
    UnsignedIntBE,
    UnsignedLongBE,
    UnsignedShortBE,
)

PRICE = 10_0000
PATIENCE = 60


def text(size):
    return FixedAsciiString(size)


class EnterOrder(ouch.Message, indicator=ord("O"), direction="incoming"):
    class BodyRecord(Record):
        Fields = (
            Field("user_ref_num", UnsignedIntBE),
            Field("side", CharAscii),
            Field("quantity", UnsignedIntBE),
            Field("symbol", text(8)),
            Field("price", UnsignedLongBE),
            Field("time_in_force", CharAscii),
            Field("display", CharAscii),
            Field("capacity", CharAscii),
            Field("intermarket_sweep", CharAscii),
            Field("cross_type", CharAscii),
            Field("cl_ord_id", text(14)),
            Field("appendage_length", UnsignedShortBE),
        )


class CancelOrder(ouch.Message, indicator=ord("X"), direction="incoming"):
    class BodyRecord(Record):
        Fields = (Field("user_ref_num", UnsignedIntBE), Field("quantity", UnsignedIntBE))


class SystemEvent(ouch.Message, indicator=ord("S"), direction="outgoing"):
    class BodyRecord(Record):
        Fields = (Field("timestamp", UnsignedLongBE), Field("event_code", CharAscii))


class Accepted(ouch.Message, indicator=ord("A"), direction="outgoing"):
    class BodyRecord(Record):
        Fields = (
            Field("timestamp", UnsignedLongBE),
            Field("user_ref_num", UnsignedIntBE),
            Field("side", CharAscii),
            Field("quantity", UnsignedIntBE),
            Field("symbol", text(8)),
            Field("price", UnsignedLongBE),
            Field("time_in_force", CharAscii),
            Field("display", CharAscii),
            Field("order_reference_number", UnsignedLongBE),
            Field("capacity", CharAscii),
            Field("intermarket_sweep", CharAscii),
            Field("cross_type", CharAscii),
            Field("order_state", CharAscii),
            Field("cl_ord_id", text(14)),
            Field("appendage_length", UnsignedShortBE),
        )


class Executed(ouch.Message, indicator=ord("E"), direction="outgoing"):
    class BodyRecord(Record):
        Fields = (
            Field("timestamp", UnsignedLongBE),
            Field("user_ref_num", UnsignedIntBE),
            Field("quantity", UnsignedIntBE),
            Field("price", UnsignedLongBE),
            Field("liquidity_flag", CharAscii),
            Field("match_number", UnsignedLongBE),
            Field("appendage_length", UnsignedShortBE),
        )


class Canceled(ouch.Message, indicator=ord("C"), direction="outgoing"):
    class BodyRecord(Record):
        Fields = (
            Field("timestamp", UnsignedLongBE),
            Field("user_ref_num", UnsignedIntBE),
            Field("quantity", UnsignedIntBE),
            Field("reason", CharAscii),
        )


def order(number, side, quantity):
    message = EnterOrder()
    message.user_ref_num = number
    message.side = side
    message.quantity = quantity
    message.symbol = "ALFA"
    message.price = PRICE
    message.time_in_force = "0"
    message.display = "Y"
    message.capacity = "P"
    message.intermarket_sweep = "N"
    message.cross_type = "N"
    message.cl_ord_id = f"peer{number}"
    message.appendage_length = 0
    return message


async def log_in(venue, user, sequence=1, password="SECRET"):
    return await ouch.connect_async(
        venue.addresses["--ouch"],
        user,
        password,
        "",
        sequence=sequence,
        client_heartbeat_interval=1,
        server_heartbeat_interval=5,
    )


async def expect(session, *classes):
    messages = []
    for wanted in classes:
        message = await asyncio.wait_for(session.receive_message(), PATIENCE)
        assert type(message) is wanted, message
        messages.append(message)
    return messages


def test_another_implementation_logs_in_trades_and_returns(trade):
    async def scenario(venue, connect):
        buyer, seller = await log_in(venue, "CARD"), await log_in(venue, "OTHER")
        seller.send_message(order(1, "S", 100))
        _, accepted = await expect(seller, SystemEvent, Accepted)
        assert (accepted.user_ref_num, accepted.quantity, accepted.symbol) == (1, 100, "ALFA")
        assert (accepted.price, accepted.order_state, accepted.cl_ord_id) == (PRICE, "L", "peer1")
        buyer.send_message(order(1, "B", 140))
        *_, executed = await expect(buyer, SystemEvent, Accepted, Executed)
        assert (executed.quantity, executed.price, executed.liquidity_flag) == (100, PRICE, "R")
        (sold,) = await expect(seller, Executed)
        assert (sold.match_number, sold.liquidity_flag) == (executed.match_number, "A")
        cancel = CancelOrder()
        cancel.user_ref_num, cancel.quantity = 1, 0
        buyer.send_message(cancel)
        (canceled,) = await expect(buyer, Canceled)
        assert (canceled.quantity, canceled.reason) == (40, "U")
        await buyer.close()
        again = await log_in(venue, "CARD", sequence=4)
        (replayed,) = await expect(again, Canceled)
        assert replayed.timestamp == canceled.timestamp
        await again.close()
        await seller.close()
        first, second = venue.ledger()["accounts"]
        assert first["positions"] == {"ALFA": 100} and second["positions"] == {"ALFA": -100}
        assert first["cash"] == -second["cash"] == -100 * PRICE

    trade(scenario)


def test_another_implementation_understands_why_it_may_not_log_in(trade):
    async def scenario(venue, connect):
        with pytest.raises(ConnectionRefusedError, match="NOT_AUTHORIZED"):
            await log_in(venue, "CARD", password="wrong")
        with pytest.raises(ConnectionRefusedError, match="SESSION_NOT_AVAILABLE"):
            await log_in(venue, "CARD", sequence=99)

    trade(scenario)
