"""Finds the lowest set bit of a word."""

from amaranth.hdl import Cat, Mux, Value

__all__ = ["lowest_set"]


def lowest_set(word) -> Value:
    """Index of the lowest set bit of `word`, whose length is a power of two; 0 if there is none.

    Depth grows with the logarithm of the length.
    """
    word = Value.cast(word)
    half = len(word) // 2
    if half == 0:
        return Cat()
    low, high = word[:half], word[half:]
    in_low = low.any()
    if half == 1:
        return ~in_low & high.any()
    return Cat(Mux(in_low, lowest_set(low), lowest_set(high)), ~in_low & high.any())
