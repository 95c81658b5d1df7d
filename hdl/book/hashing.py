"""Two ways to spread order references over the sets of the store.

Ref: docs/architecture.md, "The book".
"""

from functools import reduce
from operator import getitem, xor

from amaranth.hdl import Cat, Value

__all__ = ["REFERENCE_BITS", "Hash", "hashes"]

REFERENCE_BITS = 64

_GOLDEN = 0x9E37_79B9_7F4A_7C15
"""Digits that form no pattern: sparse polynomials overflow several times as often."""


class Hash:
    """The residue of a reference, seen as a polynomial over GF(2), modulo `polynomial`.

    Invertible given the higher digits, so that only they need to be stored as a tag. Any run of as
    many references as there are sets, whatever the power of two between them, fills each set once.
    """

    def __init__(self, polynomial: int) -> None:
        if polynomial < 2 or not polynomial & 1:
            raise ValueError(f"polynomial must be odd and at least 3, not {polynomial}")
        self.bits = polynomial.bit_length() - 1
        residue, self._residues = 1, []
        for _ in range(REFERENCE_BITS):
            self._residues.append(residue)
            residue <<= 1
            if residue >> self.bits:
                residue ^= polynomial
        self._of_octets = [self._of_octet(at) for at in range(0, REFERENCE_BITS, 8)]

    def of(self, reference: int) -> int:
        """The set of a reference."""
        octets = reference.to_bytes(REFERENCE_BITS // 8, "little")
        return reduce(xor, map(getitem, self._of_octets, octets))

    def _of_octet(self, at: int) -> list[int]:
        """The sets of all references that have digits in the octet at bit `at` alone."""
        sets = [0]
        for residue in self._residues[at : at + 8]:
            sets += [residue ^ each for each in sets]
        return sets

    def circuit(self, reference: Value) -> Value:
        """The set of a reference in gateware."""
        return Cat(
            reduce(xor, (reference[n] for n, each in enumerate(self._residues) if each >> bit & 1))
            for bit in range(self.bits)
        )


def hashes(set_bits: int) -> tuple[Hash, Hash]:
    """The XOR fold into digits of `set_bits`, and the residue modulo an irreducible polynomial."""
    return Hash(1 << set_bits | 1), Hash(_irreducible(set_bits))


def _irreducible(degree: int) -> int:
    first = 1 << degree | _GOLDEN >> (64 - degree) | 1
    last = 2 << degree
    for polynomial in (*range(first, last, 2), *range(1 << degree | 1, first, 2)):
        if _is_irreducible(polynomial, degree):
            return polynomial
    raise ValueError(f"degree must be at least 1, not {degree}")


def _is_irreducible(polynomial: int, degree: int) -> bool:
    """No polynomial of up to half its degree divides it."""
    return all(_remainder(polynomial, other) for other in range(2, 2 << degree // 2))


def _remainder(dividend: int, divisor: int) -> int:
    while dividend.bit_length() >= divisor.bit_length():
        dividend ^= divisor << (dividend.bit_length() - divisor.bit_length())
    return dividend
