"""The bugs that `tickgate prove-mutants` plants: changes of a line of the gateware.

Each must be caught by a property; which one is said beside it.
"""

from tickgate.sim.prove.planting import Mutant

__all__ = ["MUTANTS"]

MUTANTS: dict[str, Mutant] = {
    each.name: each
    for each in (
        Mutant(
            name="trust-doubt-forgotten",
            bug="a level that overflows takes the trust of no symbol",
            module="book.trust",
            before="self.pending.eq(left | lost | withheld)",
            after="self.pending.eq(left | withheld)",
            catcher="trust-told",
        ),
        Mutant(
            name="trust-word-overtakes",
            bug="the host's word on a book goes before a loss that is pending",
            module="book.trust",
            before="with m.If(self.calm & self.pending.any()):",
            after="with m.If(self.calm & ~word & self.pending.any()):",
            catcher="trust-told",
        ),
        Mutant(
            name="list-place-of-last",
            bug="a level that is added moves the last one of a full list nowhere",
            module="book.levels",
            before="moves = place & Mux(inserts, better[n - 1] if n else 1, removes)",
            after="moves = place & Mux(inserts, better[n] if n else 1, removes)",
            catcher="list-sorted",
        ),
        Mutant(
            name="hash-without-a-digit",
            bug="a digit of the reference goes into no set",
            module="book.hashing",
            before="for n, each in enumerate(self._residues) if each >> bit & 1",
            after="for n, each in enumerate(self._residues) if n != 5 and each >> bit & 1",
            catcher="hash-second-invertible",
        ),
    )
}
