"""Finds the lowest set bit of a word."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value

__all__ = ["lowest_in_groups", "lowest_set"]

GROUP = 64
"""Bits that are searched at once where there are many."""


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


def lowest_in_groups(m: Module, word, *, name: str) -> Value:
    """As `lowest_set`, of a word of any length: the first group in which there is one, and then it.

    To be made outside of conditions. `name` is that of its signals.
    """
    padded = Signal(1 << max(1, (len(word) - 1).bit_length()), name=f"{name}_padded")
    size = min(GROUP, len(padded))
    groups = Signal(len(padded) // size, name=f"{name}_groups")
    members = Signal(size, name=f"{name}_members")
    group = Signal(range(len(groups)), name=f"{name}_group")
    m.d.comb += [
        padded.eq(word),
        groups.eq(Cat(padded[at : at + size].any() for at in range(0, len(padded), size))),
        group.eq(lowest_set(groups)),
        members.eq(padded.word_select(group, size)),
    ]
    return Cat(lowest_set(members), group)
