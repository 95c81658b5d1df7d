"""What all positions of a card are worth, and what was gained or lost with them.

Ref: docs/risk.md, gates 7 (gross exposure) and 30 (loss); docs/registers.md, `valuation`.
"""

from dataclasses import dataclass

from tickgate.host.registers import Registers

__all__ = ["Worth", "worth"]


@dataclass(frozen=True)
class Worth:
    """In 1e-4 USD. A loss is a profit below 0.

    `known`: each position has a price. `within_loss`: profit is not below the limit of gate 30;
    `beyond_loss`: it is. `beyond_gross`: more is held and open than gate 7 allows.
    """

    known: bool
    within_loss: bool
    beyond_loss: bool
    beyond_gross: bool
    long_value: int
    short_value: int
    profit: int


def worth(registers: Registers) -> Worth:
    """Reads what positions are worth at the last prints, and the profit at the best bid or ask."""
    flags = registers.read_fields("valuation")
    profit = registers.read_pair("profit")
    return Worth(
        **{name: bool(bit) for name, bit in flags.items()},
        long_value=registers.read_pair("long_value"),
        short_value=registers.read_pair("short_value"),
        profit=profit - ((profit >> 63) << 64),
    )
