"""The proofs as a table for people: docs/proofs.md."""

from collections.abc import Iterable

from tickgate.sim.prove.engine import Property

__all__ = ["depth_of", "markdown"]

HEAD = """\
# Proofs

Generated from `sim/prove` by `make docs`; do not edit. `make prove` proves every line of it, or
fails; `make test` those that are *quick*. Yosys makes a transition system of a part of the card
and of what is claimed of it, Bitwuzla looks for inputs that break the claim. How far:

- *all inputs*: one step, from any state that the contract allows;
- *all runs from reset*: every run of so many cycles, whatever comes in within the contract;
- *for ever*: by induction over so many cycles: it holds from reset, and where it has held for so
  many cycles, from whatever state, it holds in the next one.

Each claim has a cover: a case that the contract must allow, reached first in the cycle that is
stated, so that the claim is not true for want of cases. The contract is what the part's docstring
asks of who uses it, or another property, named there, that holds by itself. *Any* names what has
any value in the proof, whatever drives it, and its own one in the cover. Memories are clear as
after their sweep; what a relaxed memory reads from an address that is being written is wrong on
purpose. Numbers of gates are those of [risk.md](risk.md).

"""


def depth_of(each: Property) -> str:
    """How far it is proved, in words."""
    return each.method.value + (f", {each.depth} cycles" if each.depth else "")


def markdown(properties: Iterable[Property]) -> str:
    """docs/proofs.md: what `make prove` holds to be proved."""
    table = [
        "property",
        "part",
        "of",
        "what holds",
        "contract",
        "size",
        "how far",
        "cover",
        "quick",
    ]
    lines = [_row(table), _row(["---"] * len(table)), *map(_line, properties)]
    return HEAD + "".join(lines)


def _line(each: Property) -> str:
    return _row(
        (
            f"`{each.name}`",
            each.component,
            each.about,
            each.claim,
            "; ".join((each.contract, *(f"any `{wire}`" for wire in each.free))),
            each.size,
            depth_of(each),
            f"{each.cover} (cycle {each.reached})",
            "yes" if each.quick else "no",
        )
    )


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
