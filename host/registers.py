"""The card's registers by name, over a link.

Ref: docs/registers.md.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tickgate.host.errors import CardRefused, NotInForce, UserError
from tickgate.host.protocol import MAX_WORDS, Opcode, Reply, Status
from tickgate.host.transport import Link
from tickgate.spec.registers import BY_ADDRESS, BY_NAME, Kind, Register

__all__ = ["Registers", "find"]


def find(name: str) -> Register:
    """The register called `name`. Raises `UserError` that suggests the nearest name."""
    try:
        return BY_NAME[name]
    except KeyError:
        near = difflib.get_close_matches(name, BY_NAME, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; `tickgate registers list` has all"
        raise UserError(f"there is no register {name!r}{hint}") from None


class Registers:
    """Reads and writes registers; a configuration register is read back after each write.

    Every register is also an attribute: `registers.feed_port = 26477`, `registers.state`.

    Raises
    ------
    UserError
        No such register, a value that does not fit it, or one that cannot be written.
    CardRefused
        The card refused; `status` tells why.
    NotInForce
        A configuration register does not hold what was written.
    CardUnreachable
        No reply.
    """

    _link: Link

    def __init__(self, link: Link) -> None:
        object.__setattr__(self, "_link", link)

    @property
    def repeats(self) -> int:
        """Requests that were sent again so far: the card may have obeyed these twice."""
        return self._link.retries

    def read(self, name: str) -> int:
        """The register's word."""
        return self.read_many([name])[name]

    def read_fields(self, name: str) -> dict[str, int]:
        """The register's bit fields by name."""
        return find(name).unpack(self.read(name))

    def read_pair(self, name: str) -> int:
        """The 64 bits of the registers `name`_low and `name`_high, both of one moment."""
        values = self.read_many([f"{name}_low", f"{name}_high"])
        return values[f"{name}_high"] << 32 | values[f"{name}_low"]

    def read_many(self, names: Iterable[str]) -> dict[str, int]:
        """The words of registers by name, with as few requests as may be."""
        registers = [find(name) for name in names]
        words: dict[int, int] = {}
        for run in _runs(register.address for register in registers):
            words.update(zip(run, self.read_words(run[0], len(run)), strict=True))
        return {register.name: words[register.address] for register in registers}

    def write(self, name: str, value: int) -> None:
        """Writes one register."""
        self.write_many({name: value})

    def write_many(self, values: Mapping[str, int]) -> None:
        """Writes registers by name, then reads back those that hold their value."""
        words: dict[int, int] = {}
        for name, value in values.items():
            register = find(name)
            if not register.writable:
                raise UserError(f"register {name} is read-only ({register.kind.value})")
            if not 0 <= value < 1 << 32 or value & ~register.mask:
                raise UserError(
                    f"register {name}: {value:#x} sets reserved bits; the mask is "
                    f"{register.mask:#x}"
                )
            words[register.address] = value
        for run in _runs(words):
            self.write_words(run[0], [words[address] for address in run])
        held = [name for name in values if find(name).kind is Kind.CONFIG]
        for name, value in self.read_many(held).items():
            if value != values[name]:
                raise NotInForce(
                    f"register {name} holds {value:#x} after {values[name]:#x} was written to it"
                )

    def command(self, name: str) -> None:
        """Gives a command that has a code."""
        code = find(name).code
        if code is None:
            raise UserError(f"command {name} takes a value; write it")
        self.write(name, code)

    def read_words(self, address: int, count: int) -> list[int]:
        """`count` words from `address` on."""
        words: list[int] = []
        while len(words) < count:
            size = min(MAX_WORDS, count - len(words))
            reply = self._link.exchange(Opcode.READ, address + len(words), count=size)
            words += _accepted(reply, "reading", address + len(words))
        return words

    def write_words(self, address: int, words: Sequence[int]) -> None:
        """`words` to `address` on."""
        for start in range(0, len(words), MAX_WORDS):
            part = tuple(words[start : start + MAX_WORDS])
            reply = self._link.exchange(Opcode.WRITE, address + start, part)
            _accepted(reply, "writing", address + start)

    def take_event(self, acknowledge: int) -> tuple[int, ...]:
        """Acknowledges events below `acknowledge`; the words of the next record, or none."""
        reply = self._link.exchange(Opcode.EVENT, words=(acknowledge,))
        return _accepted(reply, "reading", None)

    def __getattr__(self, name: str) -> int:
        if name not in BY_NAME:
            raise AttributeError(f"the card has no register {name!r}")
        return self.read(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in BY_NAME:
            raise AttributeError(f"the card has no register {name!r}")
        self.write(name, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *BY_NAME]


def _runs(addresses: Iterable[int]) -> Iterator[list[int]]:
    """Consecutive addresses together, at most a frame's worth."""
    run: list[int] = []
    for address in sorted(set(addresses)):
        if run and (address != run[-1] + 1 or len(run) == MAX_WORDS):
            yield run
            run = []
        run.append(address)
    if run:
        yield run


def _accepted(reply: Reply, action: str, address: int | None) -> tuple[int, ...]:
    if reply.status == Status.OK:
        return reply.words
    where = "events"
    if address is not None:
        address = reply.words[0] if reply.words else address
        register = BY_ADDRESS.get(address)
        where = f"register {register.name}" if register else f"address {address:#06x}"
    try:
        why = Status(reply.status).doc
    except ValueError:
        why = f"status {reply.status}, which this host does not know"
    raise CardRefused(f"the card refused {action} {where}: {why}", status=reply.status)
