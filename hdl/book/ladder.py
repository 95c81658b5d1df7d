"""Shares at every level of the price window, and the best level found through two bitmaps.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.priority import lowest_set
from tickgate.hdl.book.types import Best, Geometry, Request, Update
from tickgate.hdl.memory import BlockMemory, DualPortMemory, TableMemory
from tickgate.hdl.stream import Side

__all__ = ["Ladder"]


class Ladder(wiring.Component):
    """Applies updates in order and tells the best level of the updated side after each.

    In a cycle in which none can come it takes a request for the level that follows another one.

    Latency: `LATENCY` cycles, whatever the data. Throughput: one update or request a cycle, hazards
    on the same level included.

    A result reflects exactly the updates up to its own: the words of the bitmap and their summary
    are written and searched in stage 3, the totals are written in stage 4 and read in stage 5.
    Stage 2 forwards what the block RAM, asked in stage 0, could not know yet.

    The totals have two ports, for the reads of stages 0 and 5 and the writes of stage 4. A result
    whose total found neither of them free, or was being written by the next update, is `missed`:
    with messages two cycles apart, never that of an update which is the last of its message.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    ready : Out(1)
    near : In(1)
        There may be an update in this cycle; known early.
    update_valid : In(1), update : In(Update)
    slow : In(1), claim_valid : In(1), claim : In(Best)
        Of the update of one cycle ago: whether its answer is to come from here, and the best level
        of its side, if it is known.
    ask_valid : In(1), ask : In(Request), ask_taken : Out(1)
    settled_valid, settled, settled_slow : Out
        The update of `LATENCY` cycles ago.
    settling_symbol : Out
        The symbol of that which is settled in the next cycle.
    best : Out(Best)
        Best level of its side after it; or the answer to the request of `LATENCY` cycles ago.
    missed : Out(1)
        The shares of `best` are not known.
    slow_before : Out(1)
        A slow update of the symbol is still on its way before the update of one cycle ago.
    quiet : Out(1)
        No update is on its way.
    level_overflow : Out(1), overflow_symbol : Out
        The total of a level passed 32 bits.
    disagreement : Out(1)
        The claim was not what the bitmaps say; or a slow answer was missed.
    """

    MODIFY = BlockMemory.READ_LATENCY
    STORE = MODIFY + 1
    WRITE = STORE + 1
    FIND = STORE + BlockMemory.READ_LATENCY
    LATENCY = FIND + BlockMemory.READ_LATENCY

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "ready": Out(1),
                "near": In(1),
                "update_valid": In(1),
                "update": In(Update(geometry)),
                "slow": In(1),
                "claim_valid": In(1),
                "claim": In(Best(geometry)),
                "ask_valid": In(1),
                "ask": In(Request(geometry)),
                "ask_taken": Out(1),
                "settled_valid": Out(1),
                "settled": Out(Update(geometry)),
                "settled_slow": Out(1),
                "settling_symbol": Out(range(geometry.symbols)),
                "best": Out(Best(geometry)),
                "missed": Out(1),
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
        m.submodules.totals = totals = DualPortMemory(depth=levels, shape=32)
        m.submodules.words = words = BlockMemory(
            depth=g.sides << g.word_bits, shape=1 << g.bit_bits, reads=2, relaxed=True
        )
        m.submodules.summaries = summaries = TableMemory(depth=g.sides, shape=1 << g.word_bits)
        m.d.comb += self.ready.eq(totals.ready & words.ready & summaries.ready)

        entry, bounded = Signal(Update(g)), Signal()
        m.d.comb += [entry.eq(self.update), self.ask_taken.eq(~self.near)]
        with m.If(~self.near):
            m.d.comb += [
                entry.symbol.eq(self.ask.symbol),
                entry.side.eq(self.ask.side),
                entry.key.eq(self.ask.after),
                bounded.eq(self.ask_valid & self.ask.bounded),
            ]

        def carried(value, first, last=self.LATENCY):
            """`value` is of stage `first`; its copies in the later stages up to `last`."""
            copies = {first: value}
            for stage in range(first + 1, last + 1):
                copies[stage] = Signal.like(value, name=f"stage_{stage}", reset_less=True)
                m.d.sync += copies[stage].eq(copies[stage - 1])
            return copies

        valid, update = carried(self.update_valid, 0), carried(entry, 0)
        # The window is wanted late, and whether an update is near by much.
        was_near = Signal()
        window = Signal(data.StructLayout({"base": 32, "cent": 1}), reset_less=True)
        m.d.sync += [
            was_near.eq(self.near),
            window.base.eq(self.ask.base),
            window.cent.eq(self.ask.cent),
        ]
        with m.If(~was_near):
            m.d.sync += [update[2].base.eq(window.base), update[2].cent.eq(window.cent)]
        changes = carried(self.update_valid & self.update.changes, 0)
        slow, claim_valid, claim = (
            carried(value, 1) for value in (self.slow, self.claim_valid, self.claim)
        )

        def row(stage):
            return Cat(update[stage].side, update[stage].symbol)

        def level(stage):
            return Cat(update[stage].key, row(stage))

        def word(stage):
            return update[stage].key[g.bit_bits :]

        def forwarded(what, made, read, most):
            """In stage 2: what one of the `most` updates ahead made of the same, else `read`.

            Known a stage before, but for what the update just ahead makes of it in this stage.
            """
            before = self.MODIFY - 1
            same = [
                changes[before + ahead] & (what(before + ahead) == what(before))
                for ahead in range(1, most + 1)
            ]
            just_ahead, ahead = Signal(), Signal()
            value = Signal(len(read), reset_less=True)
            m.d.sync += [just_ahead.eq(same[0]), ahead.eq(Cat(same[1:]).any())]
            m.d.sync += value.eq(made[before + most])
            for n in range(most - 1, 1, -1):
                with m.If(same[n - 1]):
                    m.d.sync += value.eq(made[before + n])
            return Mux(just_ahead, made[self.MODIFY + 1], Mux(ahead, value, read))

        # Stage 0: ask for the total of the level and the word of the bitmap it is in.
        m.d.comb += words.address(0).eq(Cat(word(0), row(0)))

        # Stage 2: the new total and word.
        at = self.MODIFY
        new_total, overflow = Signal(32), Signal()
        new_word, word_occupied = Signal(1 << g.bit_bits), Signal()
        total = carried(new_total, at)
        bitmap = carried(new_word, at, self.FIND)
        occupied = carried(word_occupied, at, self.STORE)
        bounded = carried(bounded, 0, self.STORE)
        old_total, old_word = Signal(32), Signal(1 << g.bit_bits)
        m.d.comb += [
            old_total.eq(forwarded(level, total, totals.data(), self.WRITE)),
            old_word.eq(
                forwarded(
                    lambda stage: Cat(word(stage), row(stage)), bitmap, words.data(0), self.STORE
                )
            ),
            self.overflow_symbol.eq(update[at].symbol),
            self.level_overflow.eq(changes[at] & update[at].add & overflow),
        ]
        m.d.sync += update[at + 1].distrust.eq(update[at].distrust | self.level_overflow)
        with m.If(update[at].add):
            m.d.comb += Cat(new_total, overflow).eq(old_total + update[at].shares)
        with m.Else():
            m.d.comb += new_total.eq(old_total - update[at].shares)
        # The bit of the level; of a request also those before, so that what lies after is left.
        bit, before = Signal(len(old_word)), Signal(len(old_word))
        mask, without = Signal(len(old_word), reset_less=True), Signal(len(old_word))
        key, remains = update[at - 1].key[: g.bit_bits], Signal()
        m.d.comb += [
            bit.eq(1 << key),
            before.eq(~(~0 << key)),
            remains.eq(~bounded[at] & (update[at].add | (old_total != update[at].shares))),
            without.eq(old_word & ~mask),
            new_word.eq(Mux(remains, old_word | mask, without)),
            # Not of the new word: whether the level remains is the last to be known.
            word_occupied.eq(remains | without.any()),
        ]
        m.d.sync += mask.eq(Mux(bounded[at - 1], bit | before, bit))
        words_after = Signal(1 << g.word_bits)
        m.d.comb += words_after.eq(~0)
        with m.If(bounded[at]):
            m.d.comb += words_after.eq(~0 << (word(at) + 1))
        words_after = carried(words_after, at, self.STORE)

        # The summary of the next stage, and the bit of the word in it.
        summary = Signal(1 << g.word_bits)
        kept, mark = (Signal.like(summary, name=n, reset_less=True) for n in ("kept", "mark"))
        same_row = Signal()
        m.d.comb += summaries.address().eq(row(at))
        m.d.sync += [
            same_row.eq(changes[at] & (row(at) == row(at - 1))),
            kept.eq(Mux(same_row, summary, summaries.data())),
            mark.eq(1 << word(at)),
        ]

        # Stage 3: store the word, and find the first one with a level in it.
        at = self.STORE
        candidates, stays = Signal(1 << g.word_bits), Signal()
        first_word, any_level, in_own_word = Signal(g.word_bits), Signal(), Signal()
        m.d.comb += [
            words.write.eq(changes[at]),
            words.write_address.eq(Cat(word(at), row(at))),
            words.write_data.eq(bitmap[at]),
            summary.eq(kept),
            summaries.write.eq(changes[at]),
            summaries.write_address.eq(row(at)),
            summaries.write_data.eq(summary),
            stays.eq(bounded[at] & occupied[at]),
            candidates.eq(summary & words_after[at]),
            first_word.eq(Mux(stays, word(at), lowest_set(candidates))),
            any_level.eq(stays | candidates.any()),
            in_own_word.eq(stays | (changes[at] & (first_word == word(at)))),
            words.address(1).eq(Cat(first_word, row(at))),
        ]
        with m.If(changes[at]):
            m.d.comb += summary.eq(Mux(occupied[at], kept | mark, kept & ~mark))
        first_word = carried(first_word, at, self.FIND)
        any_level = carried(any_level, at)
        in_own_word = carried(in_own_word, at, self.FIND)

        # Stage 5: find the first level in that word, and ask for its total.
        at = self.FIND
        own_first, key = Signal(g.bit_bits), Signal(g.key_bits)
        m.d.sync += own_first.eq(lowest_set(bitmap[at - 1]))
        found_first = Mux(in_own_word[at], own_first, lowest_set(words.data(1)))
        m.d.comb += key.eq(Cat(found_first, first_word[at]))

        # The ports of the totals: writes have the second one, new updates the first.
        writes = changes[self.WRITE]
        total_wanted = Cat(key, row(at))
        m.d.comb += [
            totals.address(0).eq(Mux(self.near, level(0), total_wanted)),
            totals.write.eq(writes),
            totals.write_address.eq(Mux(writes, level(self.WRITE), total_wanted)),
            totals.write_data.eq(total[self.WRITE]),
        ]
        on_first = carried(writes, at)
        missed = carried(writes & (self.near | (level(self.WRITE) == total_wanted)), at)
        key = carried(key, at)

        # Stage 6: its price.
        at = self.FIND + 1
        tick, price = Signal(g.key_bits), Signal(32, reset_less=True)
        m.d.comb += tick.eq(Mux(update[at].side == Side.BUY, ~key[at], key[at]))
        m.d.sync += price.eq(update[at].base + Mux(update[at].cent, tick * Geometry.CENT, tick))

        # Stage 7: the answer.
        at = self.LATENCY
        m.d.comb += [
            self.settled_valid.eq(valid[at]),
            self.settled.eq(update[at]),
            self.settling_symbol.eq(update[at - 1].symbol),
            self.settled_slow.eq(slow[at]),
            self.slow_before.eq(
                Cat(
                    valid[stage] & slow[stage] & (update[stage].symbol == update[1].symbol)
                    for stage in range(2, at + 1)
                ).any()
            ),
            self.missed.eq(missed[at]),
            self.quiet.eq(~Cat(valid[stage] for stage in range(1, at + 1)).any()),
            self.disagreement.eq(
                Mux(
                    missed[at],
                    changes[at] & slow[at] & update[at].last,
                    changes[at] & claim_valid[at] & (claim[at] != self.best),
                )
            ),
        ]
        with m.If(any_level[at]):
            m.d.comb += [
                self.best.present.eq(1),
                self.best.key.eq(key[at]),
                self.best.price.eq(price),
                self.best.shares.eq(Mux(on_first[at], totals.data(0), totals.data(1))),
            ]
        return m
