"""What is proved of the book: its hashes, its lists of the best levels, and trust.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal

from tickgate.hdl.book import hashing
from tickgate.hdl.book.hashing import hashes
from tickgate.hdl.book.levels import LevelList, Levels, grown, place_of
from tickgate.hdl.book.trust import Trust
from tickgate.hdl.book.types import Best, Geometry
from tickgate.sim.prove.engine import Harness, Method, Property

__all__ = ["PROPERTIES"]


class ListHarness(Harness):
    """One change of a list of levels, whatever list it is, or one level found for it.

    Any other level is beside it.

    That level has `total` shares in all, at `price`, whether it is listed or not.
    """

    KEY = 4

    def __init__(self) -> None:
        self._geometry = Geometry(symbols=1, ticks=1 << self.KEY, orders=32)
        count = Geometry.LEVELS
        super().__init__(
            {
                "live": count,
                "keys": self.KEY * count,
                "shares": 32 * count,
                "more": 1,
                "enable": 1,
                "add": 1,
                "found": 1,
                "end": 1,
                "key": self.KEY,
                "amount": 32,
                "other": self.KEY,
                "total": 32,
                "price": 32,
                "change_price": 32,
                "prices": 32 * count,
            },
            {"live_after": count, "keys_after": self.KEY * count, "dropped": 1, "total_after": 32},
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        g = self._geometry
        m.submodules.list = levels = LevelList(geometry=g)
        before, change, level = levels.before, levels.change, Signal(Best(g))
        after = Signal(Levels(g))
        m.d.comb += [
            before.live.eq(self.live),
            before.keys.as_value().eq(self.keys),
            before.shares.as_value().eq(self.shares),
            before.prices.as_value().eq(self.prices),
            before.more.eq(self.more),
            levels.enable.eq(self.enable & ~self.found),
            change.add.eq(self.add),
            change.key.eq(self.key),
            change.shares.eq(self.amount),
            change.price.eq(self.change_price),
            level.present.eq(~self.end),
            level.key.eq(self.key),
            level.price.eq(self.change_price),
            level.shares.eq(self.amount),
            after.eq(Mux(self.found & self.enable, grown(before, level, g), levels.after)),
        ]
        last = Signal(self.KEY)
        for n in range(g.LEVELS):
            m.d.comb += levels.places[n].eq(
                place_of(before.live[n], before.keys[n], self.key, before.shares[n] == self.amount)
            )
            with m.If(before.live[n]):
                m.d.comb += last.eq(before.keys[n])
        fits = Cat(
            ~(before.live[n] & (before.keys[n] == self.key)) | self._fits(before.shares[n])
            for n in range(g.LEVELS)
        ).all()
        follows = ~before.live[-1] & before.more & (self.end | ~before.live[0] | (self.key > last))
        changes = self.enable & ~self.found & (self.key == self.other)
        m.d.comb += self.total_after.eq(self.total)
        with m.If(changes):
            m.d.comb += self.total_after.eq(
                Mux(self.add, self.total + self.amount, self.total - self.amount)
            )
        # What is found is the first level that has shares and is not listed.
        unlisted = self.total.any() & ~self._lists(before)
        is_first = ~unlisted | (~self.end & (self.key <= self.other))
        is_it = (self.amount == self.total) & unlisted
        told = ~self.enable | ((self.key != self.other) | self.end | ~self.found | is_it) & (
            ~self.found | is_first
        )
        m.d.comb += [
            self.assumed.eq(
                self._is_list(before)
                & self.amount.any()
                & Mux(self.found, follows, fits)
                & self._is_of(before, self.total)
                & told
                & (~changes | self._fits(self.total))
                & ((self.key != self.other) | (self.change_price == self.price))
            ),
            self.holds.eq(self._is_list(after) & self._is_of(after, self.total_after)),
            self.seen.eq(levels.dropped & ~self.found),
            self.live_after.eq(after.live),
            self.keys_after.eq(after.keys.as_value()),
            self.dropped.eq(levels.dropped),
        ]
        return m

    def _fits(self, total):
        """The change can be one of a level with so many shares."""
        return Mux(self.add, total + self.amount < 1 << 32, total >= self.amount)

    def _lists(self, levels):
        """The other level is listed."""
        return Cat(
            levels.live[n] & (levels.keys[n] == self.other) for n in range(Geometry.LEVELS)
        ).any()

    def _is_of(self, levels, total):
        """The other level is listed with its shares and price, or empty, or beyond a list."""
        places = range(Geometry.LEVELS)
        here = [levels.live[n] & (levels.keys[n] == self.other) for n in places]
        right = [
            total.any() & (levels.shares[n] == total) & (levels.prices[n] == self.price)
            for n in places
        ]
        beyond = (
            levels.more & Cat(~levels.live[n] | (levels.keys[n] < self.other) for n in places).all()
        )
        return Cat(~here[n] | right[n] for n in places).all() & (
            ~total.any() | Cat(here).any() | beyond
        )

    def _is_list(self, levels):
        """In use from the first place on, best first, no level twice, none without shares."""
        count = Geometry.LEVELS
        unused = [
            ~(levels.keys[n].any() | levels.shares[n].any() | levels.prices[n].any())
            for n in range(count)
        ]
        return Cat(
            *(~levels.live[n + 1] | levels.live[n] for n in range(count - 1)),
            *(
                ~levels.live[n + 1] | (levels.keys[n] < levels.keys[n + 1])
                for n in range(count - 1)
            ),
            *(Mux(levels.live[n], levels.shares[n].any(), unused[n]) for n in range(count)),
        ).all()


class HashHarness(Harness):
    """The difference (XOR) of two references with the same tag, and that of their sets.

    A set is an XOR of digits of the reference, so that the one depends on the other alone.
    """

    SET_BITS = 11

    def __init__(self, *, table: int) -> None:
        self._table = table
        super().__init__({"difference": self.SET_BITS}, {"of_sets": self.SET_BITS})

    def elaborate(self, platform) -> Module:
        m = Module()
        each = hashes(self.SET_BITS)[self._table]
        tag = Const(0, hashing.REFERENCE_BITS - self.SET_BITS)
        m.d.comb += [
            self.of_sets.eq(each.circuit(Cat(self.difference, tag))),
            self.assumed.eq(self.difference.any()),
            self.holds.eq(self.of_sets.any()),
            self.seen.eq(self.of_sets[0]),
        ]
        return m


class TrustHarness(Harness):
    """Losses and updates, seen by any one symbol of four."""

    def __init__(self) -> None:
        inputs = {
            "near": 1,
            "valid": 1,
            "calm": 1,
            "gap": 1,
            "doubt": 1,
            "whole": 1,
            "value": 1,
            "hold": 1,
        }
        symbols = dict.fromkeys(
            ("symbol", "doubt_symbol", "whole_symbol", "hold_symbol", "any_symbol"), 2
        )
        super().__init__(inputs | symbols, {"owed": 1, "out": 1, "distrust": 1, "trust": 1})

    def elaborate(self, platform) -> Module:
        m = Module()
        geometry = Geometry(symbols=4, ticks=16, orders=32)
        m.submodules.trust = trust = Trust(geometry=geometry)
        which = self.any_symbol
        kept = Signal(2)
        begun, owed, was_owed = Signal(), Signal(), Signal()
        lost = self.gap | (self.doubt & (self.doubt_symbol == which))
        out = trust.out_valid & (trust.out.symbol == which)
        settled = out & trust.out.distrust
        alone = out & ~self.valid
        was_alone, was_trust = Signal(), Signal()
        repeats = Mux(was_trust, trust.out.trust | owed, trust.out.distrust)
        m.d.sync += [
            begun.eq(1),
            was_alone.eq(alone),
            was_trust.eq(trust.out.trust),
            kept.eq(which),
            owed.eq(lost | (owed & ~settled)),
            was_owed.eq(owed & ~settled),
        ]
        m.d.comb += [
            trust.near.eq(self.near),
            trust.update_valid.eq(self.valid),
            trust.update.symbol.eq(self.symbol),
            trust.calm.eq(self.calm),
            trust.gap.eq(self.gap),
            trust.doubt.eq(self.doubt),
            trust.doubt_symbol.eq(self.doubt_symbol),
            trust.hold.eq(self.hold),
            trust.hold_symbol.eq(self.hold_symbol),
            trust.whole.eq(self.whole),
            trust.whole_symbol.eq(self.whole_symbol),
            trust.whole_value.eq(self.value),
            self.assumed.eq((~begun | (kept == which)) & (~self.valid | (self.near & ~self.calm))),
            # What goes by itself was decided on a cycle ago.
            self.holds.eq(
                (~(out & owed & (self.valid | was_owed)) | trust.out.distrust)
                & (~owed | settled | trust.pending.bit_select(which, 1))
                & (~(was_alone & out) | repeats)
            ),
            self.seen.eq(alone & owed & trust.out.distrust),
            self.owed.eq(owed),
            self.out.eq(out),
            self.distrust.eq(trust.out.distrust),
            self.trust.eq(trust.out.trust),
        ]
        return m


PROPERTIES = (
    *(
        Property(
            name=f"hash-{which}-invertible",
            component="book: hashing",
            claim="two references with the same tag lie in different sets: a hit is never false",
            contract="none",
            size="2^11 sets, references of 64 bits",
            cover="a set with an odd number",
            method=Method.ALWAYS,
            depth=0,
            reached=0,
            make=lambda table=table: HashHarness(table=table),
        )
        for table, which in enumerate(("first", "second"))
    ),
    Property(
        name="list-of-the-best",
        component="book: best levels",
        claim="after any change the list is in order, without gaps or a level twice; any level "
        "with shares is listed with all of them and its price, or worse than all that are listed, "
        "and then the list says that there are more",
        contract="so it was before; no level loses more shares than it has, or passes 32 bits; "
        "what is found is the first level with shares that a list with room does not hold",
        size="16 ticks, lists as long as the card's",
        cover="a level is dropped to make room",
        method=Method.ALWAYS,
        depth=0,
        reached=0,
        make=ListHarness,
    ),
    Property(
        name="trust-told",
        component="book: trust",
        claim="after a loss, the next that any symbol is told is the loss; the host's word does "
        "not overtake it; until then the loss is pending; what it is told by itself, an update in "
        "the next cycle repeats",
        contract="calm means that no update comes in this cycle; an update is near when it comes",
        size="4 symbols",
        cover="a loss is told by itself",
        method=Method.INDUCTION,
        depth=2,
        reached=2,
        make=TrustHarness,
    ),
)
