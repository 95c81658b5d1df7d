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
            catcher="list-of-the-best",
        ),
        Mutant(
            name="hash-without-a-digit",
            bug="a digit of the reference goes into no set",
            module="book.hashing",
            before="for n, each in enumerate(self._residues) if each >> bit & 1",
            after="for n, each in enumerate(self._residues) if n != 5 and each >> bit & 1",
            catcher="hash-second-invertible",
        ),
        Mutant(
            name="list-empties-twice",
            bug="a level that loses its last shares stays in the list",
            module="book.levels",
            before="removes.eq(((counts & ~change.add).replicate(count) & same & leaves).any()),",
            after="removes.eq(((counts & change.add).replicate(count) & same & leaves).any()),",
            catcher="list-of-the-best",
        ),
        Mutant(
            name="list-forgets-more",
            bug="a level that is dropped to make room is not known to be there",
            module="book.levels",
            before="| self.dropped | self.beyond",
            after="| self.beyond",
            catcher="list-of-the-best",
        ),
        Mutant(
            name="ladder-forwards-too-little",
            bug="the total of an update of a few cycles ago is not seen",
            module="book.ladder",
            before="for ahead in range(self.WRITE + BlockMemory.READ_LATENCY - at, 0, -1):",
            after="for ahead in range(self.WRITE + BlockMemory.READ_LATENCY - at - 1, 0, -1):",
            catcher="ladder-memories",
        ),
        Mutant(
            name="ladder-summary-stays",
            bug="a word of the bitmap that empties is not taken from the summary",
            module="book.ladder",
            before="summaries.data() | mark, summaries.data() & ~mark)",
            after="summaries.data() | mark, summaries.data())",
            catcher="ladder-memories",
        ),
        Mutant(
            name="ladder-tells-the-same",
            bug="the level that follows another one is that one",
            module="book.ladder",
            before="old_word & ~(bit | (bit - 1))",
            after="old_word & ~(bit - 1)",
            catcher="ladder-answers",
        ),
        Mutant(
            name="ladder-misses-a-total",
            bug="a total that is being written by the next update counts as read",
            module="book.ladder",
            before="(self.update_valid | (level(self.WRITE) == total_wanted))",
            after="self.update_valid",
            catcher="ladder-answers",
        ),
    )
}
