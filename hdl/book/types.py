"""What the parts of the book tell each other.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Value
from amaranth.lib import data, enum
from amaranth.utils import exact_log2

from tickgate.hdl.stream import MessageKind, Side
from tickgate.spec.registers import LEVELS

__all__ = [
    "Best",
    "Escape",
    "Finding",
    "Found",
    "Geometry",
    "Injected",
    "Peeked",
    "Placement",
    "Request",
    "StoreWrite",
    "StoredOrder",
    "Update",
    "is_outside",
]


class Escape(enum.Enum, shape=2):
    """Where a price lies that has no place in the window.

    `BETTER` than what the window can show (or off the grid inside it) endangers the top of book;
    `WORSE` does only while the side is empty. `UNPLACED` are orders of a symbol whose window is
    about to move: they are in the store alone, and count as nothing. So one bit says that a price
    is too good for the window, the other that it is too bad, and both that it is unplaced.
    """

    NONE = 0
    BETTER = 1
    WORSE = 2
    UNPLACED = 3


class Geometry:
    """Sizes of a book: symbols, ticks of the price window a side, orders in the store.

    A level is named by its *key*: the tick for asks, the inverted tick for bids, so that on both
    sides the lower key is the better price.
    """

    CENT = 100
    TABLES = 2
    WAYS = 4
    LEVELS = LEVELS
    STASH = 8
    SLOTS = TABLES * WAYS
    PLACES = SLOTS + STASH

    def __init__(self, *, symbols: int, ticks: int, orders: int) -> None:
        if symbols < 1:
            raise ValueError(f"symbols must be at least 1, not {symbols}")
        if ticks & (ticks - 1) or not 16 <= ticks <= 4096:
            raise ValueError(f"ticks must be a power of two from 16 to 4096, not {ticks}")
        if orders & (orders - 1) or orders < 4 * self.SLOTS:
            raise ValueError(f"orders must be a power of two of at least 32, not {orders}")
        self.symbols, self.ticks, self.orders = symbols, ticks, orders
        self.key_bits = exact_log2(ticks)
        self.bit_bits = self.key_bits // 2
        self.word_bits = self.key_bits - self.bit_bits
        self.set_bits = exact_log2(orders // self.SLOTS)
        self.tag_bits = 64 - self.set_bits
        self.count_bits = (orders + self.STASH).bit_length()
        self.sides = 2 * symbols


class Placement(data.StructLayout):
    """A price as the window sees it: `inside` it with a key, or the way in which it escapes."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({"inside": 1, "escape": Escape, "key": geometry.key_bits})


class StoredOrder(data.StructLayout):
    """What the store keeps of an order.

    Of one that has a level the `key`; of any other one the price, of which `key` are the low bits.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "symbol": range(geometry.symbols),
                "side": Side,
                "escape": Escape,
                "key": geometry.key_bits,
                "rest": 32 - geometry.key_bits,
                "shares": 32,
            }
        )


def is_outside(escape):
    """True if an order is counted among those outside the window."""
    code = Value.cast(escape)
    return code[0] ^ code[1]


class Finding(data.StructLayout):
    """What a look-up told: the order if it is stored (`hit`), and a place to put a new one.

    `set` (one for each table) and `tag` together are the reference.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "hit": 1,
                "way": range(geometry.PLACES),
                "order": StoredOrder(geometry),
                "full": 1,
                "free_way": range(geometry.PLACES),
                "set": data.ArrayLayout(geometry.set_bits, geometry.TABLES),
                "tag": geometry.tag_bits,
            }
        )


class StoreWrite(data.StructLayout):
    """A place of the order store to be written; `live` 0 frees it.

    `way` counts the ways of the first table, those of the second, then the stash.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "set": data.ArrayLayout(geometry.set_bits, geometry.TABLES),
                "way": range(geometry.PLACES),
                "live": 1,
                "tag": geometry.tag_bits,
                "order": StoredOrder(geometry),
            }
        )


class Update(data.StructLayout):
    """One change of one side of one book, or of its trust; messages are one or two of them.

    `changes`: the level `key` gains (`add`) or loses `shares`. These are `order_shares` if it
    `takes_order`, else `message_shares`: both of them are known before that is.
    `escapes`: the side's count of orders in `escape` goes up (`add`) or down by one.
    `distrust`, `trust`: the symbol's book is known to be broken, or declared whole; the former
    prevails.
    `last`: the message is complete after this update, so its top of book may be told.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "symbol": range(geometry.symbols),
                "side": Side,
                "changes": 1,
                "escapes": 1,
                "escape": Escape,
                "add": 1,
                "key": geometry.key_bits,
                "price": 32,
                "base": 32,
                "cent": 1,
                "shares": 32,
                "order_shares": 32,
                "message_shares": 32,
                "takes_order": 1,
                "distrust": 1,
                "trust": 1,
                "last": 1,
                "sequence": 32,
                "stamp": 16,
            }
        )


class Injected(data.StructLayout):
    """What takes the way of a message without being one.

    As a message, with its place in the window: `level`, the tick, if it is neither `low` nor
    `high`. One of kind `NONE` changes nothing; `trust` declares the symbol's book whole. `UNPLACE`
    takes an order out of the window and leaves it in the store with `price`, `PLACE` puts it back.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "kind": MessageKind,
                "symbol": range(geometry.symbols),
                "side": Side,
                "shares": 32,
                "price": 32,
                "sequence": 32,
                "base": 32,
                "cent": 1,
                "level": geometry.key_bits,
                "low": 1,
                "high": 1,
                "trust": 1,
            }
        )


class Peeked(data.StructLayout):
    """What the store has of one symbol in set n of either table, or in the stash.

    `hit`: an order, of `table`; with the set, its tag is its reference. `collided`: not known, for
    something was written. `moved`: an order of the symbol changes place in this cycle.
    `in_stash`: there is one in the stash. `stashed`: this one, known by its first set.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "hit": 1,
                "table": range(geometry.TABLES),
                "tag": geometry.tag_bits,
                "collided": 1,
                "moved": 1,
                "in_stash": 1,
                "stashed": 1,
                "stashed_tag": geometry.tag_bits,
                "stashed_set": geometry.set_bits,
            }
        )


class Best(data.StructLayout):
    """The best level of one side; all zero if not `present`."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({"present": 1, "key": geometry.key_bits, "price": 32, "shares": 32})


class Request(data.StructLayout):
    """Asks which level of a side comes next: the first one, or with `bounded` that after `after`.

    `base` and `cent` are the window in which its price is to be told.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "symbol": range(geometry.symbols),
                "side": Side,
                "bounded": 1,
                "after": geometry.key_bits,
                "base": 32,
                "cent": 1,
            }
        )


class Found(data.StructLayout):
    """The answer to a request; `void` if the side has changed since so that it is no answer."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({"request": Request(geometry), "level": Best(geometry), "void": 1})
