"""Makes the book of one symbol whole again, or moves its window, while messages go on.

Ref: docs/architecture.md, "The book".
"""

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.bits import bit_of
from tickgate.hdl.book.hashing import REFERENCE_BITS, hashes
from tickgate.hdl.book.levels import Levels
from tickgate.hdl.book.placer import Placer
from tickgate.hdl.book.queue import Queue
from tickgate.hdl.book.types import Escape, Finding, Geometry, Injected, Peeked
from tickgate.hdl.book.walk import Walk
from tickgate.hdl.stream import Message, MessageKind, Recovered, Side, SnapshotOrder
from tickgate.spec.registers import RecoveryCause, RecoveryPhase

__all__ = ["Recovery"]


class Held(data.Struct):
    """What is kept of a message."""

    kind: MessageKind
    reference: REFERENCE_BITS
    new_reference: REFERENCE_BITS
    side: 1
    shares: 32
    price: 32
    sequence: 32


class Change(data.Struct):
    """What is to be done to an order; with `replaces`, then a new one takes its place."""

    kind: MessageKind
    reference: REFERENCE_BITS
    new_reference: REFERENCE_BITS
    side: 1
    shares: 32
    price: 32
    sequence: 32
    replaces: 1


class Step(enum.Enum, shape=5):
    """What is under way."""

    IDLE = 0
    DOUBT = 1
    SETTLE = 2
    WALK = 3
    LOWER = 4
    SETS = 5
    LOOK = 6
    TIMES = 7
    SUM = 8
    INJECT = 9
    VERIFY = 10
    VERIFYING = 11
    LOAD = 12
    PLACE = 13
    JOIN = 14
    DRAIN = 15
    DECLARE = 16
    WAIT = 17


class Recovery(wiring.Component):
    """Makes the book of a symbol whole again from a snapshot, or moves its window.

    A recovery empties the book, fills it from a snapshot, and joins it to the feed again. From
    `begin` on, messages that would change the book of the symbol are held in a queue instead, and
    the symbol is not trusted. Its orders are found in the store, set by set, and deleted one by
    one, until a whole walk during which none of them changed place has found none; then its book
    must be empty. The orders of the snapshot follow, one at a time. `join` names the last message
    that the snapshot knows of: held messages up to it are dropped, the others applied in order.
    When the queue is empty and the feed has passed that message, messages go straight again and the
    book is declared whole, both in one cycle.

    It fails, and leaves the symbol untrusted and its messages where they always go, if a message
    may be missing or is not plausible, in the snapshot or behind it; `cause` tells why. `begin`
    starts from the beginning at any time.

    A re-centring holds no message. From `recentre` on the symbol is not trusted, and orders that
    are added are unplaced. The others are found in the store and taken out of the window one by
    one, until there is none and the window is empty. When the host has put another window in force
    (`movable`), `place` has messages place their orders in it, and the walk does so with those that
    are unplaced. When there is none, the book is declared whole if it was when this began and
    nothing has put that into doubt since. What was begun is to be finished: `begin` and
    `recentre` of another symbol are ignored until then.

    All changes take the way of messages, when :class:`Injector` lets them.

    Parameters
    ----------
    geometry : Geometry
    depth : int
        Messages that can be held.

    Members
    -------
    begin, recentre : In(1), begin_symbol : In, abort : In(1), place : In(1)
    order : In(1), order_number : In(31), order_is : In(SnapshotOrder)
        Taken if it has the number of those taken before, and they are done with.
    join : In(1), join_sequence : In(32)
        Ignored before the sweep, and twice.
    recovered : Out(Recovered)
    symbol : Out, base : In(32), cent : In(1)
        The symbol's window.
    message : In(1), sequence : In(32)
        Any message of the feed.
    lost : In(1)
        Messages are lost.
    overflow : In(1), overflow_symbol : In
        A level passed 32 bits.
    trusted : In(symbols), distrusted : In(1), distrusted_symbol : In
        Which books are trusted; an update takes the trust from this one, or the host does.
    denied : In(1)
        The host says that the symbol's book is not whole.
    withdraw : Out(1), withdraw_symbol : Out
        This symbol is to lose its trust.
    owned : Out(1)
        The host cannot declare the symbol's book whole.
    movable : Out(1)
        Its window may change.
    holding : Out(1)
        Messages of `symbol` are to be held.
    unplacing : Out(1)
        Orders that they add are to be unplaced.
    held_valid : In(1), held : In(Message)
        One that was.
    added : In(1)
        `held` adds an order that is unplaced.
    peek_placed, peek_unplaced : Out(1)
        Which of its orders are wanted.
    want, peek : Out(1), inject, injected : In(1)
        To and from :class:`Injector`; with `peek`, only the store is read.
    injection : Out(Injected), spare_set, spare_tag : Out
    found : In(Finding)
        With `injected`.
    peeked : In(Peeked)
        With `injected`, what was read; and what the stash has.
    listed_now, told_now : In(1), bids, asks : In(Levels), escaped : In(1)
        As in :class:`Viewer`.
    """

    SETTLING = 16
    """Cycles after which every message from before is in the book."""
    ATTEMPTS = 256

    def __init__(self, *, geometry: Geometry, depth: int = 512) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth}")
        self._geometry, self._depth = geometry, depth
        symbol = range(geometry.symbols)
        super().__init__(
            {
                "begin": In(1),
                "recentre": In(1),
                "begin_symbol": In(symbol),
                "abort": In(1),
                "place": In(1),
                "order": In(1),
                "order_number": In(31),
                "order_is": In(SnapshotOrder),
                "join": In(1),
                "join_sequence": In(32),
                "recovered": Out(Recovered(geometry.symbols)),
                "symbol": Out(symbol),
                "base": In(32),
                "cent": In(1),
                "message": In(1),
                "sequence": In(32),
                "lost": In(1),
                "overflow": In(1),
                "overflow_symbol": In(symbol),
                "trusted": In(geometry.symbols),
                "distrusted": In(1),
                "distrusted_symbol": In(symbol),
                "denied": In(1),
                "withdraw": Out(1),
                "withdraw_symbol": Out(symbol),
                "owned": Out(1),
                "movable": Out(1),
                "holding": Out(1),
                "unplacing": Out(1),
                "held_valid": In(1),
                "held": In(Message(geometry.symbols)),
                "added": In(1),
                "peek_placed": Out(1),
                "peek_unplaced": Out(1),
                "want": Out(1),
                "peek": Out(1),
                "inject": In(1),
                "injected": In(1),
                "injection": Out(Injected(geometry)),
                "spare_set": Out(data.ArrayLayout(geometry.set_bits, geometry.TABLES)),
                "spare_tag": Out(geometry.tag_bits),
                "found": In(Finding(geometry)),
                "peeked": In(Peeked(geometry)),
                "listed_now": In(1),
                "told_now": In(1),
                "bids": In(Levels(geometry)),
                "asks": In(Levels(geometry)),
                "escaped": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        g = self._geometry
        queue = Queue(width=Held.as_shape().size, depth=self._depth)
        # What is still on its way when a recovery begins, from before a loss or for the one before
        # it, is not held: `first` is told when the card has settled.
        flush = Signal()
        m.submodules.queue = ResetInserter(flush)(queue)
        m.submodules.placer = self._placer = Placer(geometry=g)
        m.submodules.walk = self._walk = Walk(geometry=g)
        self._step, self._places = Signal(Step), Signal()
        m.d.comb += flush.eq(~self.holding | (self._step == Step.SETTLE))
        self._phase, self._cause = Signal(RecoveryPhase), Signal(RecoveryCause)
        self._orders, self._first, self._first_known = Signal(31), Signal(32), Signal()
        self._recentres, self._doubted, self._doubts = Signal(), Signal(), Signal()
        self._bid, self._ask = Signal(32), Signal(32)
        # The last message of the feed; none is known after a loss.
        self._seen, self._seen_known = Signal(32), Signal()
        # The change that is worked upon, and its reference as the store has it.
        self._change = Signal(Change)
        self._tag, self._low = Signal(g.tag_bits), Signal(g.set_bits)
        self._differences = [
            each.circuit(Cat(Const(0, g.set_bits), self._tag)) for each in hashes(g.set_bits)
        ]
        self._count, self._base, self._cent = Signal(range(self.ATTEMPTS)), Signal(32), Signal()
        m.d.comb += [
            queue.w_data.eq(Cat(self.held[name] for name in Held.as_shape().members)),
            queue.w_en.eq(self.held_valid & self.holding),
            self.recovered.phase.eq(self._phase),
            self.recovered.cause.eq(self._cause),
            self.recovered.symbol.eq(self.symbol),
            self.recovered.orders.eq(self._orders),
            self.recovered.first.eq(self._first),
            self.recovered.first_known.eq(self._first_known),
            self.recovered.held.eq(queue.level),
            self.recovered.bid.eq(self._bid),
            self.recovered.ask.eq(self._ask),
        ]
        m.d.sync += self._places.eq(0)
        with m.Switch(self._step):
            with m.Case(Step.SETTLE):
                m.d.sync += [
                    self._base.eq(self.base),
                    self._cent.eq(self.cent),
                    self._count.eq(self._count + 1),
                ]
                with m.If(self._count == self.SETTLING - 1):
                    m.d.comb += self._walk.start.eq(1)
                    m.d.sync += self._count.eq(0)
                    self._go(m, Step.WALK)
            with m.Case(Step.VERIFY):
                m.d.comb += self.want.eq(1)
                with m.If(self.injected):
                    self._go(m, Step.VERIFYING)
            with m.Case(Step.VERIFYING):
                self._verify(m)
            with m.Case(Step.LOAD):
                self._load(m)
        self._find(m)
        self._apply(m)
        self._join(m, queue)
        self._recentre(m)
        self._watch(m, queue)
        self._begin(m)
        return m

    @staticmethod
    def _is_before(one, other):
        """True if one sequence number comes before another one; both have 32 bits."""
        return (one - other)[31]

    def _go(self, m, step: Step) -> None:
        m.d.sync += self._step.eq(step)

    def _place(self, m) -> None:
        m.d.sync += self._places.eq(1)
        self._go(m, Step.PLACE)

    def _fail(self, m, cause: RecoveryCause) -> None:
        m.d.sync += [
            self._phase.eq(RecoveryPhase.FAILED),
            self._cause.eq(cause),
            self.holding.eq(0),
            self.unplacing.eq(0),
        ]
        self._go(m, Step.IDLE)

    def _find(self, m) -> None:
        """Finds the orders of the symbol, as changes that delete them."""
        g, walk = self._geometry, self._walk
        set_, table = Signal(g.set_bits), Signal()
        m.d.comb += [
            walk.peeked.eq(self.peeked),
            walk.injected.eq(self.injected),
            self.peek_placed.eq(self._phase != RecoveryPhase.PLACING),
            self.peek_unplaced.eq(self._phase != RecoveryPhase.UNPLACING),
        ]
        with m.Switch(self._step):
            with m.Case(Step.WALK):
                m.d.comb += [self.want.eq(walk.want), self.peek.eq(1)]
                with m.If(walk.found):
                    m.d.sync += [
                        self._tag.eq(walk.tag),
                        set_.eq(walk.found_set),
                        table.eq(walk.table),
                    ]
                    self._go(m, Step.LOWER)
                with m.If(walk.done):
                    placed = self._phase == RecoveryPhase.PLACING
                    m.d.sync += self._step.eq(Mux(placed, Step.DECLARE, Step.VERIFY))
            with m.Case(Step.LOWER):
                m.d.sync += [
                    self._low.eq(set_ ^ Mux(table, self._differences[1], self._differences[0])),
                    self._change.eq(0),
                    self._change.kind.eq(MessageKind.DELETE),
                ]
                self._go(m, Step.SETS)
        sets = [Signal(g.set_bits, name=f"set_{n}") for n in range(g.TABLES)]
        for n in range(g.TABLES):
            m.d.sync += sets[n].eq(self._low ^ self._differences[n])
            m.d.comb += self.spare_set[n].eq(Mux(self.peek, walk.set, sets[n]))
        m.d.comb += self.spare_tag.eq(self._tag)

    def _verify(self, m) -> None:
        empty = Signal()
        with m.If(self.listed_now):
            m.d.sync += empty.eq(
                ~Cat(Cat(each.live, each.more) for each in (self.bids, self.asks)).any()
            )
        with m.If(self.told_now):
            m.d.sync += self._count.eq(self._count + 1)
            self._go(m, Step.VERIFY)
            with m.If(empty & ~self.escaped):
                m.d.sync += self._phase.eq(
                    Mux(self._recentres, RecoveryPhase.UNPLACED, RecoveryPhase.LOADING)
                )
                m.d.sync += self._step.eq(Mux(self._recentres, Step.WAIT, Step.LOAD))
            with m.Elif(self._count == self.ATTEMPTS - 1):
                self._fail(m, RecoveryCause.NOT_EMPTY)

    def _load(self, m) -> None:
        order, change = self.order_is, self._change
        with m.If(self.order & (self.order_number == self._orders)):
            m.d.sync += [
                change.eq(0),
                change.kind.eq(MessageKind.ADD),
                change.side.eq(order.side),
                change.shares.eq(order.shares),
                change.price.eq(order.price),
                Cat(self._low, self._tag).eq(order.reference),
            ]
            self._place(m)
        with m.If(self.join):
            m.d.sync += self._phase.eq(RecoveryPhase.JOINING)
            self._go(m, Step.JOIN)

    def _apply(self, m) -> None:
        """Injects a change, and judges what the store knows of it."""
        change, found, placer = self._change, self.found, self._placer
        injection = self.injection
        m.d.comb += [
            placer.start.eq(self._places),
            placer.price.eq(change.price),
            placer.base.eq(self._base),
            placer.cent.eq(self._cent),
            placer.side.eq(change.side),
            injection.symbol.eq(self.symbol),
            injection.base.eq(self._base),
            injection.cent.eq(self._cent),
            injection.level.eq(placer.level),
            injection.low.eq(placer.low),
            injection.high.eq(placer.high),
        ]
        for name in ("side", "shares", "price"):
            m.d.comb += injection[name].eq(change[name])
        adds = change.kind == MessageKind.ADD
        is_here = found.hit & (found.order.symbol == self.symbol)
        too_much = (change.kind != MessageKind.DELETE) & (change.shares > found.order.shares)
        with m.Switch(self._step):
            with m.Case(Step.PLACE):
                with m.If(placer.done & ~self._places):
                    m.d.sync += self._step.eq(Mux(self._recentres, Step.INJECT, Step.SETS))
            with m.Case(Step.SETS):
                m.d.sync += self._step.eq(Mux(self._recentres, Step.LOOK, Step.INJECT))
            with m.Case(Step.INJECT):
                m.d.comb += [
                    self.want.eq(1),
                    injection.kind.eq(change.kind),
                    injection.sequence.eq(change.sequence),
                ]
                with m.If(self.injected):
                    with m.If(self._recentres | (self._phase == RecoveryPhase.SWEEPING)):
                        m.d.comb += self._walk.resume.eq(1)
                        self._go(m, Step.WALK)
                    with m.Elif(adds & found.hit):
                        self._fail(m, RecoveryCause.DUPLICATE)
                    with m.Elif(adds & found.full):
                        self._fail(m, RecoveryCause.NO_ROOM)
                    with m.Elif(~adds & ~is_here):
                        self._fail(m, RecoveryCause.UNKNOWN)
                    with m.Elif(~adds & too_much):
                        self._fail(m, RecoveryCause.TOO_MUCH)
                    with m.Elif(change.replaces):
                        m.d.sync += [
                            change.replaces.eq(0),
                            change.kind.eq(MessageKind.ADD),
                            change.side.eq(found.order.side),
                            Cat(self._low, self._tag).eq(change.new_reference),
                        ]
                        self._place(m)
                    with m.Elif(self._phase == RecoveryPhase.LOADING):
                        m.d.sync += self._orders.eq(self._orders + 1)
                        self._go(m, Step.LOAD)
                    with m.Else():
                        self._go(m, Step.DRAIN)

    def _join(self, m, queue) -> None:
        """Applies what was held, and lets messages go straight again."""
        join, held, change = Signal(32), Signal(Held), self._change
        waits = queue.waits
        m.d.comb += held.eq(queue.r_data)
        with m.Switch(self._step):
            with m.Case(Step.LOAD):
                m.d.sync += join.eq(self.join_sequence)
            with m.Case(Step.JOIN):
                with m.If(self._first_known):
                    self._go(m, Step.DRAIN)
                    with m.If(self._is_before((join + 1)[:32], self._first)):
                        self._fail(m, RecoveryCause.MISSING)
            with m.Case(Step.DRAIN):
                m.d.comb += queue.r_en.eq(queue.r_rdy)
                # What is dropped is taken over too, and by the next one: the comparison comes late.
                m.d.sync += [change[name].eq(held[name]) for name in Held.as_shape().members]
                m.d.sync += [
                    Cat(self._low, self._tag).eq(held.reference),
                    change.replaces.eq(held.kind == MessageKind.REPLACE),
                ]
                with m.If(held.kind == MessageKind.REPLACE):
                    m.d.sync += change.kind.eq(MessageKind.DELETE)
                with m.If(queue.r_rdy & self._is_before(join, held.sequence)):
                    self._go(m, Step.SETS)
                    with m.If(held.kind == MessageKind.ADD):
                        self._place(m)
                with m.If(~waits & self._seen_known & ~self._is_before(self._seen, join)):
                    self._go(m, Step.DECLARE)
            with m.Case(Step.DECLARE):
                # When this is injected, no message of the symbol is on its way: see Injector.
                m.d.comb += [
                    self.want.eq(~waits),
                    self.injection.trust.eq(~(self._recentres & (self._doubted | self._doubts))),
                ]
                with m.If(waits):
                    self._go(m, Step.DRAIN)
                with m.If(self.inject & ~waits):
                    m.d.sync += [self.holding.eq(0), self._phase.eq(RecoveryPhase.DONE)]
                    self._go(m, Step.IDLE)

    def _watch(self, m, queue) -> None:
        """Follows the feed, and what ends a recovery."""
        first = (self._seen + 1)[:32]
        with m.If(self._step == Step.SETTLE):
            m.d.sync += [self._first.eq(first), self._first_known.eq(self._seen_known)]
        with m.Elif(self.holding & ~self._first_known & self.message):
            m.d.sync += [self._first.eq(self.sequence), self._first_known.eq(1)]
        with m.If(self.message):
            m.d.sync += [self._seen.eq(self.sequence), self._seen_known.eq(1)]
        with m.If(self.lost):
            m.d.sync += self._seen_known.eq(0)
        with m.If(self.holding):
            with m.If(self.held_valid & ~queue.w_rdy):
                self._fail(m, RecoveryCause.OVERFLOW)
            with m.If(self.overflow & (self.overflow_symbol == self.symbol)):
                self._fail(m, RecoveryCause.LEVEL_OVERFLOW)
            with m.If(self.lost):
                self._fail(m, RecoveryCause.GAP)
            with m.If(self.abort):
                self._fail(m, RecoveryCause.ABORTED)

    def _recentre(self, m) -> None:
        """Takes orders out of the window, and puts them back when it has moved."""
        g, change, order = self._geometry, self._change, self.found.order
        places = self._phase == RecoveryPhase.PLACING
        is_unplaced = order.escape == Escape.UNPLACED
        is_meant = self.found.hit & (order.symbol == self.symbol) & (is_unplaced == places)
        key = change.price[: g.key_bits]
        has_level, level = Signal(), Signal(g.key_bits)
        above_base = Signal(range(g.ticks * g.CENT))
        bid, ask = self._bid, self._ask
        known, side, price = Signal(), Signal(Side), Signal(32)
        m.d.comb += [
            side.eq(Mux(self.added, self.held.side, change.side)),
            price.eq(Mux(self.added, self.held.price, change.price)),
            level.eq(Mux(change.side == Side.BUY, ~key, key)),
            self.movable.eq(self._phase == RecoveryPhase.UNPLACED),
        ]
        with m.Switch(self._step):
            with m.Case(Step.DOUBT):
                m.d.sync += self._count.eq(self._count + 1)
                # What earlier messages and the host said of the book is known by now.
                with m.If(self._count == self.SETTLING - 1):
                    m.d.comb += self.withdraw.eq(1)
                    m.d.sync += [self.unplacing.eq(1), self._count.eq(0)]
                    self._go(m, Step.SETTLE)
                    with m.If(~bit_of(self.trusted, self.symbol)):
                        m.d.sync += self._doubted.eq(1)
            with m.Case(Step.LOOK):
                m.d.comb += self.want.eq(1)
                m.d.sync += [
                    change.side.eq(order.side),
                    change.price.eq(Cat(order.key, order.rest)),
                    has_level.eq(order.escape == Escape.NONE),
                ]
                with m.If(self.injected):
                    with m.If(~is_meant):
                        m.d.comb += self._walk.resume.eq(1)
                        self._go(m, Step.WALK)
                    with m.Elif(places):
                        m.d.sync += change.kind.eq(MessageKind.PLACE)
                        self._place(m)
                    with m.Else():
                        m.d.sync += change.kind.eq(MessageKind.UNPLACE)
                        self._go(m, Step.TIMES)
            with m.Case(Step.TIMES):
                m.d.sync += above_base.eq(Mux(self._cent, level * g.CENT, level))
                self._go(m, Step.SUM)
            with m.Case(Step.SUM):
                with m.If(has_level):
                    m.d.sync += change.price.eq(self._base + above_base)
                self._go(m, Step.INJECT)
            with m.Case(Step.INJECT):
                # That takes some cycles, of which an order that is added takes one at most.
                m.d.comb += known.eq(change.kind == MessageKind.UNPLACE)
            with m.Case(Step.WAIT):
                with m.If(self.place):
                    m.d.sync += [
                        self._phase.eq(RecoveryPhase.PLACING),
                        self.unplacing.eq(0),
                        self._count.eq(0),
                    ]
                    self._go(m, Step.SETTLE)
        with m.If((self.added | known) & (side == Side.BUY) & (price > bid)):
            m.d.sync += bid.eq(price)
        with m.If((self.added | known) & (side == Side.SELL) & (~ask.any() | (price < ask))):
            m.d.sync += ask.eq(price)
        # Whoever waits sees by this that it goes on.
        with m.If(self._recentres & self.injected):
            m.d.sync += self._orders.eq(self._orders + 1)
        m.d.comb += self._doubts.eq(
            self.lost
            | self.denied
            | (self.overflow & (self.overflow_symbol == self.symbol))
            | (self.distrusted & (self.distrusted_symbol == self.symbol))
        )
        with m.If(self._doubts):
            m.d.sync += self._doubted.eq(1)

    def _begin(self, m) -> None:
        """Begins what the host asks for, unless it is another symbol that is being re-centred."""
        recentring, goes_on = Signal(), Signal()
        begin, recentre = Signal(), Signal()
        m.d.comb += [
            recentring.eq(
                Cat(
                    self._phase == phase
                    for phase in (
                        RecoveryPhase.UNPLACING,
                        RecoveryPhase.UNPLACED,
                        RecoveryPhase.PLACING,
                    )
                ).any()
            ),
            goes_on.eq(recentring & (self._step != Step.DOUBT)),
            self.owned.eq(self.holding | recentring),
        ]
        with m.If(~recentring | (self.begin_symbol == self.symbol)):
            m.d.comb += [begin.eq(self.begin), recentre.eq(self.recentre)]
        m.d.comb += self.withdraw_symbol.eq(self.symbol)
        with m.If(begin | recentre):
            m.d.sync += [
                self._cause.eq(RecoveryCause.NONE),
                self.symbol.eq(self.begin_symbol),
                self._orders.eq(0),
                self._first_known.eq(0),
                self._count.eq(0),
                self._recentres.eq(recentre),
                self.holding.eq(begin),
                self.unplacing.eq(recentre & goes_on),
            ]
        with m.If(begin):
            m.d.comb += [self.withdraw.eq(1), self.withdraw_symbol.eq(self.begin_symbol)]
            m.d.sync += self._phase.eq(RecoveryPhase.SWEEPING)
            self._go(m, Step.SETTLE)
        with m.If(recentre):
            m.d.sync += self._phase.eq(RecoveryPhase.UNPLACING)
            self._go(m, Step.SETTLE)
            # When it begins anew, what was known of the book before still counts.
            with m.If(~goes_on):
                m.d.sync += [
                    self._doubted.eq(0),
                    self._bid.eq(0),
                    self._ask.eq(0),
                ]
                self._go(m, Step.DOUBT)
