"""What the requests of the host look like inside the card.

Ref: tickgate.spec.registers.
"""

from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from tickgate.spec import registers

__all__ = ["Access", "BusSignature", "Status"]


class Status(enum.IntEnum, shape=4):
    """The table's status codes, as a shape."""

    OK = registers.Status.OK
    BAD_ADDRESS = registers.Status.BAD_ADDRESS
    READ_ONLY = registers.Status.READ_ONLY
    ARMED = registers.Status.ARMED
    BAD_LENGTH = registers.Status.BAD_LENGTH
    UNKNOWN_OPCODE = registers.Status.UNKNOWN_OPCODE
    BAD_VALUE = registers.Status.BAD_VALUE
    NOT_NOW = registers.Status.NOT_NOW


class Access(data.Struct):
    """One read or write of a register.

    A write without `apply` changes nothing: it asks what its status would be.
    """

    address: 16
    write: 1
    apply: 1
    word: 32


class BusSignature(wiring.Signature):
    """A bus of one access at a time, seen from the one who asks.

    The answer to an access is there `LATENCY` cycles after its `valid` and stays until the next
    one; the access is held as long.

    Members
    -------
    valid : Out(1), access : Out(Access)
    status : In(Status), word : In(32)
    """

    LATENCY = 5

    def __init__(self) -> None:
        super().__init__(
            {"valid": Out(1), "access": Out(Access), "status": In(Status), "word": In(32)}
        )
