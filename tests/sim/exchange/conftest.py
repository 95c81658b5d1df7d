"""A venue on loopback, and clients that are nothing but sockets and the tables of spec/."""

import asyncio
import contextlib

import pytest

from tickgate.sim.exchange.accounts import Account
from tickgate.sim.exchange.book import Symbol
from tickgate.sim.exchange.venue import Settings, Venue
from tickgate.spec import ouch50, soupbintcp

SYMBOLS = (Symbol(name="ALFA", locate=13), Symbol(name="BRVO", locate=407))
ACCOUNTS = {
    "CARD": Account(password="SECRET", firm="TGTE"),
    "OTHER": Account(password="SECRET", firm="OTHR", cancel_on_disconnect=False),
}
PATIENCE = 60


class Clock:
    """A clock that moves by one with each look."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        self.now += 1
        return self.now


class RawClient:
    """The client's end of SoupBinTCP with OUCH in it; waits for what it is told to expect."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.sequence = None
        self.piece = None

    @classmethod
    async def connect(cls, address):
        return cls(*await asyncio.open_connection(*address))

    async def send(self, octets):
        """Writes octets at once, or in pieces of `piece` octets."""
        size = self.piece or len(octets)
        for at in range(0, len(octets), size):
            self.writer.write(octets[at : at + size])
            await self.writer.drain()
            if self.piece:
                await asyncio.sleep(0)

    async def packet(self):
        """The next packet that is no heartbeat; None where the stream ends."""
        while True:
            try:
                head = await asyncio.wait_for(self.reader.readexactly(2), PATIENCE)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            body = await self.reader.readexactly(int.from_bytes(head, "big"))
            type_, payload = chr(body[0]), body[1:]
            if type_ != soupbintcp.SERVER_HEARTBEAT:
                return type_, payload

    async def login(self, user="CARD", password="SECRET", session="", sequence=1):
        """Logs in; returns the session's name, or the reason of the reject."""
        await self.send(
            soupbintcp.LOGIN_REQUEST.pack(
                username=user,
                password=password,
                requested_session=session,
                requested_sequence=sequence,
            )
        )
        type_, payload = await self.packet()
        packet = soupbintcp.pack(type_, payload)
        if type_ == "J":
            return soupbintcp.LOGIN_REJECTED.unpack(packet)["reason"]
        values = soupbintcp.LOGIN_ACCEPTED.unpack(packet)
        self.sequence = values["sequence"]
        return values["session"]

    async def message(self):
        """The next sequenced message, decoded."""
        type_, payload = await self.packet()
        assert type_ == soupbintcp.SEQUENCED_DATA, (type_, payload)
        self.sequence += 1
        return ouch50.decode(ouch50.OUTBOUND, payload)

    async def expect(self, *types):
        """The values of the next messages, which have to be of these types."""
        messages = [await self.message() for _ in types]
        assert "".join(m.message.type for m in messages) == "".join(types), messages
        return messages[0].values if len(types) == 1 else [m.values for m in messages]

    async def ouch(self, type_, appendage=None, **values):
        """Sends one message."""
        octets = ouch50.encode(ouch50.INBOUND[type_], values, appendage)
        await self.send(soupbintcp.pack(soupbintcp.UNSEQUENCED_DATA, octets))

    async def enter(self, number, side="B", quantity=100, price=10_0000, appendage=None, **other):
        """Sends an Enter Order."""
        values = {
            "user_ref_num": number,
            "side": side,
            "quantity": quantity,
            "symbol": "ALFA",
            "price": price,
            "tif": "0",
            "display": "Y",
            "capacity": "P",
            "iso": "N",
            "cross_type": "N",
            "clordid": f"order{number}",
        }
        await self.ouch("O", appendage, **values | other)

    async def replace(self, original, number, quantity=100, price=10_0000, **other):
        """Sends a Replace Order."""
        values = {
            "orig_user_ref_num": original,
            "user_ref_num": number,
            "quantity": quantity,
            "price": price,
            "tif": "0",
            "display": "Y",
            "iso": "N",
            "clordid": f"order{number}",
        }
        await self.ouch("U", **values | other)

    async def answered(self):
        """Waits until the venue has dealt with all that was sent: it answers a query last."""
        await self.ouch("Q")
        return (await self.expect("Q"))["next_user_ref_num"]

    async def close(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@pytest.fixture
def raw_client():
    """The class of the clients, for a connection elsewhere than to the OUCH port."""
    return RawClient


@pytest.fixture
def trade():
    """Runs a coroutine function with a venue that has begun; it may connect clients."""

    def run(scenario, **settings):
        async def main():
            venue = Venue(
                Settings(
                    **{
                        "symbols": SYMBOLS,
                        "accounts": ACCOUNTS,
                        "session": "TODAY",
                        "clock": Clock(),
                        **settings,
                    }
                )
            )
            await venue.start()
            clients = []

            async def connect(user=None, **login):
                client = await RawClient.connect(venue.addresses["--ouch"])
                clients.append(client)
                if user is not None:
                    assert await client.login(user, **login) == "TODAY"
                return client

            try:
                return await scenario(venue, connect)
            finally:
                await venue.stop()
                for client in clients:
                    await client.close()

        return asyncio.run(main())

    return run
