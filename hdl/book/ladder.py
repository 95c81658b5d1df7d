"""Shares at every level of the price window, and the best level found through two bitmaps.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.priority import lowest_set
from tickgate.hdl.book.types import Best, Geometry, Update
from tickgate.hdl.memory import BlockMemory, TableMemory
from tickgate.hdl.stream import Side

__all__ = ["Ladder"]


class Ladder(wiring.Component):
    """Applies updates in order and tells the best level of the updated side after each.

    Latency: `LATENCY` cycles, whatever the data. Throughput: one update a cycle, hazards on the
    same level included.

    Every memory is written and read for a result in one stage, so that a result reflects exactly
    the updates up to its own: level totals and the words of the bitmap in stage 3, the summary of
    the words in stage 3, the totals once more in stage 5. Stage 2 forwards what the block RAM,
    asked in stage 0, could not know yet.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    ready : Out(1)
    update_valid : In(1), update : In(Update), slow : In(1), claim_valid : In(1), claim : In(Best)
        `slow` and the best level that the fast path claims, if it knows one, travel along.
    settled_valid, settled, settled_slow, settled_claimed : Out
        The update of `LATENCY` cycles ago.
    best : Out(Best)
        Best level of its side after it.
    superseded : Out(1)
        A later update of the same side of the same symbol is on its way.
    slow_before : Out(1)
        An earlier slow update of `update.symbol` is still on its way.
    quiet : Out(1)
        No update is on its way.
    level_overflow : Out(1), overflow_symbol : Out
        The total of a level passed 32 bits.
    disagreement : Out(1)
        The claim of the fast path was not what the bitmaps say.
    """

    MODIFY = BlockMemory.READ_LATENCY
    STORE = MODIFY + 1
    FIND = STORE + BlockMemory.READ_LATENCY
    LATENCY = FIND + BlockMemory.READ_LATENCY

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "ready": Out(1),
                "update_valid": In(1),
                "update": In(Update(geometry)),
                "slow": In(1),
                "claim_valid": In(1),
                "claim": In(Best(geometry)),
                "settled_valid": Out(1),
                "settled": Out(Update(geometry)),
                "settled_slow": Out(1),
                "settled_claimed": Out(1),
                "best": Out(Best(geometry)),
                "superseded": Out(1),
                "slow_before": Out(1),
                "quiet": Out(1),
                "level_overflow": Out(1),
                "overflow_symbol": Out(range(geometry.symbols)),
                "disagreement": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        g = self._geometry
        levels = g.sides * g.ticks
        m.submodules.totals = totals = BlockMemory(depth=levels, shape=32)
        m.submodules.best_totals = best_totals = BlockMemory(depth=levels, shape=32)
        m.submodules.words = words = BlockMemory(
            depth=g.sides << g.word_bits, shape=1 << g.bit_bits, reads=2
        )
        m.submodules.summaries = summaries = TableMemory(depth=g.sides, shape=1 << g.word_bits)
        m.d.comb += self.ready.eq(totals.ready & best_totals.ready & words.ready & summaries.ready)

        valid, update, slow = [self.update_valid], [self.update], [self.slow]
        changes = [self.update_valid & self.update.changes]
        claim_valid, claim = [self.claim_valid], [self.claim]
        for stage in range(1, self.LATENCY + 1):
            for chain in (valid, update, slow, changes, claim_valid, claim):
                later = Signal.like(chain[-1], name=f"stage_{stage}")
                m.d.sync += later.eq(chain[-1])
                chain.append(later)

        def row(stage):
            return Cat(update[stage].side, update[stage].symbol)

        def level(stage):
            return Cat(update[stage].key, row(stage))

        def word(stage):
            return update[stage].key[g.bit_bits :]

        def carried(value, first, last):
            """`value` is of stage `first`; its copies in the later stages up to `last`."""
            copies = {first: value}
            for stage in range(first + 1, last + 1):
                copies[stage] = Signal.like(value, name=f"stage_{stage}")
                m.d.sync += copies[stage].eq(copies[stage - 1])
            return copies

        # Stage 0: ask for the total of the level and the word of the bitmap it is in.
        m.d.comb += [
            totals.address().eq(level(0)),
            words.address(0).eq(Cat(word(0), row(0))),
        ]

        # Stage 2: the new total and word.
        at = self.MODIFY
        new_total, overflow = Signal(32), Signal()
        new_word, word_occupied = Signal(1 << g.bit_bits), Signal()
        total = carried(new_total, at, self.LATENCY)
        bitmap = carried(new_word, at, self.FIND)
        occupied = carried(word_occupied, at, self.STORE)
        old_total, old_word = Signal(32), Signal(1 << g.bit_bits)
        m.d.comb += [old_total.eq(totals.data()), old_word.eq(words.data(0))]
        for stage in range(at + BlockMemory.READ_LATENCY + 1, at, -1):
            with m.If(changes[stage] & (level(stage) == level(at))):
                m.d.comb += old_total.eq(total[stage])
            with m.If(changes[stage] & (Cat(word(stage), row(stage)) == Cat(word(at), row(at)))):
                m.d.comb += old_word.eq(bitmap[stage])
        bit = Signal(1 << g.bit_bits)
        m.d.comb += [
            bit.eq(1 << update[at].key[: g.bit_bits]),
            self.overflow_symbol.eq(update[at].symbol),
            self.level_overflow.eq(changes[at] & update[at].add & overflow),
        ]
        with m.If(update[at].add):
            m.d.comb += Cat(new_total, overflow).eq(old_total + update[at].shares)
        with m.Else():
            m.d.comb += new_total.eq(old_total - update[at].shares)
        with m.If(update[at].add | (old_total != update[at].shares)):
            m.d.comb += [new_word.eq(old_word | bit), word_occupied.eq(1)]
        with m.Else():
            m.d.comb += [new_word.eq(old_word & ~bit), word_occupied.eq(new_word.any())]

        # Stage 3: store them, and find the first word with a level in it.
        at = self.STORE
        summary, mark = Signal(1 << g.word_bits), Signal(1 << g.word_bits)
        first_word, any_level, in_own_word = Signal(g.word_bits), Signal(), Signal()
        m.d.comb += [
            totals.write.eq(changes[at]),
            totals.write_address.eq(level(at)),
            totals.write_data.eq(total[at]),
            words.write.eq(changes[at]),
            words.write_address.eq(Cat(word(at), row(at))),
            words.write_data.eq(bitmap[at]),
            mark.eq(1 << word(at)),
            summaries.address().eq(row(at)),
            summary.eq(summaries.data()),
            summaries.write.eq(changes[at]),
            summaries.write_address.eq(row(at)),
            summaries.write_data.eq(summary),
            first_word.eq(lowest_set(summary)),
            any_level.eq(summary.any()),
            in_own_word.eq(changes[at] & (first_word == word(at))),
            words.address(1).eq(Cat(first_word, row(at))),
        ]
        with m.If(changes[at]):
            m.d.comb += summary.eq(
                Mux(occupied[at], summaries.data() | mark, summaries.data() & ~mark)
            )
        first_word = carried(first_word, at, self.FIND)
        any_level = carried(any_level, at, self.LATENCY)
        in_own_word = carried(in_own_word, at, self.FIND)

        # Stage 5: find the first level in that word, and ask for its total.
        at = self.FIND
        found_word, key, own_level = Signal(1 << g.bit_bits), Signal(g.key_bits), Signal()
        m.d.comb += [
            found_word.eq(Mux(in_own_word[at], bitmap[at], words.data(1))),
            key.eq(Cat(lowest_set(found_word), first_word[at])),
            own_level.eq(changes[at] & (key == update[at].key)),
            best_totals.address().eq(Cat(key, row(at))),
            best_totals.write.eq(changes[at]),
            best_totals.write_address.eq(level(at)),
            best_totals.write_data.eq(total[at]),
        ]
        key = carried(key, at, self.LATENCY)
        own_level = carried(own_level, at, self.LATENCY)

        # Stage 6: its price.
        at = self.FIND + 1
        tick, price = Signal(g.key_bits), Signal(32)
        m.d.comb += tick.eq(Mux(update[at].side == Side.BUY, ~key[at], key[at]))
        m.d.sync += price.eq(update[at].base + Mux(update[at].cent, tick * Geometry.CENT, tick))

        # Stage 7: the answer.
        at = self.LATENCY
        m.d.comb += [
            self.settled_valid.eq(valid[at]),
            self.settled.eq(update[at]),
            self.settled_slow.eq(slow[at]),
            self.settled_claimed.eq(claim_valid[at]),
            self.superseded.eq(
                Cat(changes[stage] & (row(stage) == row(at)) for stage in range(at)).any()
            ),
            self.slow_before.eq(
                Cat(
                    valid[stage] & slow[stage] & (update[stage].symbol == self.update.symbol)
                    for stage in range(1, at)
                ).any()
            ),
            self.quiet.eq(~Cat(valid[1:]).any()),
            self.disagreement.eq(changes[at] & claim_valid[at] & (claim[at] != self.best)),
        ]
        with m.If(any_level[at]):
            m.d.comb += [
                self.best.present.eq(1),
                self.best.key.eq(key[at]),
                self.best.price.eq(price),
                self.best.shares.eq(Mux(own_level[at], total[at], best_totals.data())),
            ]
        return m
