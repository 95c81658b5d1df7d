"""What is proved of parameters and limits: they come into force all at once, or not at all.

Ref: docs/architecture.md, "Control".
"""

from amaranth.hdl import Cat, Module, Signal, Value

from tickgate.hdl.control.parameters import READERS, ParametersInForce
from tickgate.sim.prove.engine import Harness, Method, Property
from tickgate.spec.registers import PAGE_WORDS

__all__ = ["PROPERTIES"]

SYMBOLS = 2


class BanksHarness(Harness):
    """Both banks of parameters, while one of them is written, and any symbol of them."""

    def __init__(self) -> None:
        super().__init__(
            {
                "symbol": range(SYMBOLS),
                "write": 1,
                "address": range(SYMBOLS * PAGE_WORDS),
                "word": 32,
                "flip": 1,
            },
            {"changed": 1},
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.banks = banks = ParametersInForce(symbols=SYMBOLS)
        ports = [getattr(banks, reader) for reader in READERS]
        m.d.comb += [
            banks.write.eq(self.write),
            banks.write_address.eq(self.address),
            banks.write_data.eq(self.word),
            banks.flip.eq(self.flip),
            *(port.symbol.eq(self.symbol) for port in ports),
        ]
        seen = Value.cast(Cat(port.data for port in ports))
        before, flipped, begun = Signal.like(seen), Signal(), Signal()
        m.d.sync += [before.eq(seen), flipped.eq(self.flip), begun.eq(1)]
        m.d.comb += [
            self.changed.eq(begun & (seen != before)),
            self.assumed.eq(self.stays(m, self.symbol)),
            self.holds.eq(~self.changed | flipped),
            self.seen.eq(self.changed),
        ]
        return m


PROPERTIES = (
    Property(
        name="commit-at-once",
        component="control: parameters",
        about="theorem 7",
        claim="what the readers get of any symbol changes in the cycle of an exchange of the banks "
        "alone: no word that a commit copies is in force before all are",
        contract="none",
        size="2 symbols, all parameters",
        cover="a parameter changes",
        method=Method.INDUCTION,
        depth=1,
        reached=1,
        make=BanksHarness,
    ),
)
