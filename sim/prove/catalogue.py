"""All properties, in the order of docs/proofs.md."""

from tickgate.sim.prove import (
    book,
    cancels,
    control,
    ladder,
    memory,
    order,
    patrol,
    risk,
    segments,
    standing,
    tcp,
    top,
    valuation,
)
from tickgate.sim.prove.engine import Property

__all__ = ["PROPERTIES"]

_PARTS = (
    *(book, ladder, top, memory, risk, standing, valuation, patrol),
    *(order, cancels, segments, tcp, control),
)

PROPERTIES: dict[str, Property] = {each.name: each for part in _PARTS for each in part.PROPERTIES}
