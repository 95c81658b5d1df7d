"""Registers that tell when a bit of them flips.

Ref: docs/risk.md, gate 34 (memory integrity). A single flipped bit is told; two that cancel are
not.
"""

from collections.abc import Iterable

from amaranth.hdl import Cat, Const, Module, Signal, Value

__all__ = ["Twin", "differ", "parity"]

CHUNK = 64
"""Bits whose parity is taken in one cycle."""


def parity(m: Module, word, *, name: str, when=1) -> Value:
    """Whether the number of ones in `word` is odd, one cycle later; 0 unless `when`.

    Of many bits the last step is left to the cycle in which it is used.
    """
    word = Value.cast(word)
    odd = Signal(-(-len(word) // CHUNK), name=name)
    chunks = [word[at : at + CHUNK].xor() for at in range(0, len(word), CHUNK)]
    m.d.sync += odd.eq(Cat(chunks) & Value.cast(when)[0].replicate(len(odd)))
    return odd.xor()


class Twin:
    """A register and its inverted copy, which take their values together.

    Parameters
    ----------
    register : Signal
    name : str
        Of the copy, if that of the register does not tell it.
    """

    def __init__(self, register, *, name: str = "") -> None:
        self.register = register
        value = Value.cast(register)
        mask = (1 << len(value)) - 1
        self.copy = Signal(
            len(value), name=f"{name or value.name}_inverted", init=~value.init & mask
        )

    def takes(self, value) -> list:
        """The statements by which both take a value."""
        given, width = Value.cast(value), len(self.copy)
        sign = given[-1] if given.shape().signed else Const(0, 1)
        whole = Cat(given, sign.replicate(max(0, width - len(given))))[:width]
        return [self.register.eq(value), self.copy.eq(~whole)]

    @property
    def differs(self) -> Value:
        """They are not the inverse of each other in this cycle."""
        return ~(Value.cast(self.register) ^ self.copy).all()


def differ(twins: Iterable[Twin]) -> Value:
    """Some of them do in this cycle."""
    return Cat(twin.differs for twin in twins).any()
