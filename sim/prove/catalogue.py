"""All properties, in the order of docs/proofs.md."""

from tickgate.sim.prove import book, ladder
from tickgate.sim.prove.engine import Property

__all__ = ["PROPERTIES"]

PROPERTIES: dict[str, Property] = {
    each.name: each for each in (*book.PROPERTIES, *ladder.PROPERTIES)
}
