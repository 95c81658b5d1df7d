"""Packets as a venue sends them, and as it should not, made by a generator.

Ref: SoupBinTCP 3.00, section 2.2; OUCH 5.0, section 3 and appendix A.
"""

import random

from tickgate.spec import ouch50, soupbintcp
from tickgate.spec.fields import Kind, Message

__all__ = ["HEARTBEAT", "Packets"]

HEARTBEAT = soupbintcp.pack(soupbintcp.SERVER_HEARTBEAT)

APPENDAGES = (None, None, {}, {2: "LIME"}, {14: "ABCD", 29: b"x" * 9})


class Packets:
    """Makes packets.

    Parameters
    ----------
    generator : random.Random
    """

    def __init__(self, generator: random.Random) -> None:
        self._random = generator

    def values(self, message: Message) -> dict:
        """Any values that the fields of a message can hold, prices as OUCH allows them."""
        values = {}
        for each in message:
            if each.fixed is not None or each.name == "appendage_len":
                continue
            if each.kind.is_text:
                values[each.name] = "".join(self._random.choices("AB 9xyz", k=each.size))
            elif each.kind is Kind.PRICE4:
                values[each.name] = self._random.randrange(ouch50.MAX_PRICE + 1)
            else:
                values[each.name] = self._random.randrange(each.maximum + 1)
        return values

    def login(self, sequence: int | None = None, *, text: bytes | None = None) -> bytes:
        """A Login Accepted; `text` are the 20 characters of its number, if they shall be odd."""
        if sequence is None:
            sequence = self._random.randrange(1, 10**9)
        digits = str(sequence).rjust(20).encode() if text is None else text
        return soupbintcp.pack("A", b"    SESS01" + digits)

    def report(self) -> bytes:
        """A message of OUCH in a Sequenced Data packet."""
        choice = self._random.choice
        message = choice(
            (*ouch50.OUTBOUND.values(), ouch50.AIQ_CANCELED_WITH_STRATEGY, ouch50.OUTBOUND["E"])
        )
        appendage = choice(APPENDAGES)
        if "appendage_len" not in message and message not in ouch50.OPTIONAL_APPENDAGE:
            appendage = None
        return soupbintcp.pack("S", ouch50.encode(message, self.values(message), appendage))

    def odd(self) -> bytes:
        """A packet that is not what it should be, or that is nothing to an order."""
        kind, generator = self._random.randrange(7), self._random
        if kind == 0:
            return soupbintcp.pack("S", generator.randbytes(generator.randrange(80)))
        if kind == 1:
            body = self.report()[3:]
            cut = body[: generator.randrange(len(body))]
            return soupbintcp.pack("S", generator.choice((cut, body + b"??")))
        if kind == 2:
            return b"\0\5?abcd"
        if kind == 3:
            return soupbintcp.pack("+", b"hello"[: generator.randrange(6)])
        if kind == 4:
            return soupbintcp.pack("U", generator.randbytes(20))
        if kind == 5:
            return soupbintcp.pack(generator.choice("AJZH"), bytes(2))
        executed = ouch50.OUTBOUND["E"]
        body = bytearray(ouch50.encode(executed, self.values(executed)))
        body[executed.offset("price") + generator.randrange(4)] = 1
        return soupbintcp.pack("S", bytes(body))

    def some(self) -> bytes:
        """One packet or a few, as they come."""
        chance = self._random.random()
        if chance < 0.6:
            return self.report()
        if chance < 0.8:
            return HEARTBEAT * self._random.choice((1, 1, 2, 9))
        return self.odd()
