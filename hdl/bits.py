"""One bit of many, by its number.

Amaranth makes a write to a bit that is chosen at run time a case for each of them, and a shift by
it an edge from each bit to each other: at 4,096 symbols minutes of elaboration.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value

__all__ = ["bit_of", "one_hot", "with_bit"]

GROUP_BITS = 6
"""A number is decoded so many bits at a time."""


def bit_of(word, index) -> Value:
    """Bit `index` of `word`."""
    return Value.cast(word).bit_select(index, 1)


def one_hot(m: Module, index, count: int, *, name: str) -> Value:
    """A word of `count` bits in which bit `index` is set; in groups where there are many.

    To be made outside of conditions. `name` is that of its signals.
    """
    index = Value.cast(index)
    mask = Signal(count, name=name)
    if len(index) <= GROUP_BITS:
        m.d.comb += mask.eq(1 << index)
        return mask
    member, group = Signal(1 << GROUP_BITS, name=f"{name}_member"), index[GROUP_BITS:]
    groups = Signal(1 << len(group), name=f"{name}_group")
    m.d.comb += [
        member.eq(1 << index[:GROUP_BITS]),
        groups.eq(1 << group),
        mask.eq(Cat(Mux(chosen, member, 0) for chosen in groups)),
    ]
    return mask


def with_bit(word, mask, value) -> Value:
    """`word`, in which the bits of `mask` are `value`."""
    return Mux(value, word | mask, word & ~mask)
