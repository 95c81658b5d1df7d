"""Turns messages into updates of levels, and keeps the order store in step.

Ref: NASDAQ TotalView-ITCH 5.0, sections 4.3 (add), 4.4 (modify), 4.5 (trade).
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.store import OrderStore
from tickgate.hdl.book.types import (
    Escape,
    Finding,
    Geometry,
    Injected,
    Peeked,
    Placement,
    StoredOrder,
    StoreWrite,
    Update,
    is_outside,
)
from tickgate.hdl.book.window import Window
from tickgate.hdl.stream import Lookup, Message, MessageKind, Side, Trade

__all__ = ["MessageFlow"]


def is_one_of(kind, *kinds):
    """True when `kind` is one of `kinds`."""
    return Cat(kind == each for each in kinds).any()


class MessageFlow(wiring.Component):
    """Resolves each message against the order store and tells which level changes by how much.

    Latency: an update leaves `LATENCY` cycles after its message; of a Replace, the removal leaves
    with it. Throughput: a message every second cycle, as fast as the wire can bring them, with an
    update every second cycle at most.

    Looks up start with `lookup`, ahead of the message, so that an order is found in the cycle
    `LATENCY` after the message even when its reference number ends the message (Delete).

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    ready : Out(1)
        Memories are clear after reset.
    busy : Out(1)
        A message is here or has yet to become an update.
    lookup, lookup_new : In(stream of Lookup)
        The reference number of a message as soon as it is in; at the latest one cycle before
        `messages`, or of a Replace three cycles, and the second one two.
    near, near_new : In(1)
        One of them is high in the cycle of a look-up of its kind, and perhaps in others, but never
        both. The reference is to be looked up whether it is valid or not.
    messages : In(stream of Message)
        The symbol of a Replace is there in the cycle before, too.
    window_symbol : Out, window_base : In(32), window_cent : In(1)
        Price window of a symbol, read in the cycle of the message.
    inject : In(1), injected : In(Injected)
        What is an update in the next cycle, when its finding stands. There must be no message now,
        nor in the two cycles before and the next one, nor a Replace in the one after.
    hold : In(1), hold_symbol : In, held_valid : Out(1), held : Out(Message)
        Messages that would change the book of this symbol do not; they are told, a cycle later.
    unplacing : In(1), added : Out(1)
        Orders that messages add to the book of this symbol are unplaced; `held` is such an Add.
    peek, peek_placed, peek_unplaced : In(1), peek_symbol : In, peeked : Out(Peeked),
    found : Out(Finding)
        As in :class:`OrderStore`.
    spare : In(1), spare_set, spare_tag : In
        Looks up this reference for it, `Injector.LATENCY` cycles before the update; without effect
        in the cycle of a `lookup`.
    next_symbol : Out
        That of the update of the next cycle, if one comes.
    near_update : Out(1)
        There may be an update in this cycle; known from its start. `update` is of its symbol then.
    update_valid, update : Out
    trade_valid, trade : Out
        Prints that may serve as reference price, `TRADE_LATENCY` cycles after the message.
    unknown_reference, over_execution, store_overflow, duplicate_reference : Out(1)
        One cycle for each such message; each takes the trust from the symbol's book.
    """

    LATENCY = 2
    TRADE_LATENCY = LATENCY + 1

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        symbols = geometry.symbols
        super().__init__(
            {
                "ready": Out(1),
                "busy": Out(1),
                "lookup": In(stream.Signature(Lookup, always_ready=True)),
                "lookup_new": In(stream.Signature(Lookup, always_ready=True)),
                "near": In(1),
                "near_new": In(1),
                "messages": In(stream.Signature(Message(symbols), always_ready=True)),
                "window_symbol": Out(range(symbols)),
                "window_base": In(32),
                "window_cent": In(1),
                "hold": In(1),
                "hold_symbol": In(range(symbols)),
                "unplacing": In(1),
                "added": Out(1),
                "held_valid": Out(1),
                "held": Out(Message(symbols)),
                "peek": In(1),
                "peek_symbol": In(range(symbols)),
                "peek_placed": In(1),
                "peek_unplaced": In(1),
                "peeked": Out(Peeked(geometry)),
                "found": Out(Finding(geometry)),
                "inject": In(1),
                "injected": In(Injected(geometry)),
                "spare": In(1),
                "spare_set": In(data.ArrayLayout(geometry.set_bits, geometry.TABLES)),
                "spare_tag": In(geometry.tag_bits),
                "next_symbol": Out(range(symbols)),
                "near_update": Out(1),
                "update_valid": Out(1),
                "update": Out(Update(geometry)),
                "trade_valid": Out(1),
                "trade": Out(Trade(symbols)),
                "unknown_reference": Out(1),
                "over_execution": Out(1),
                "store_overflow": Out(1),
                "duplicate_reference": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        geometry = self._geometry
        symbols = geometry.symbols
        m.submodules.store = store = OrderStore(geometry=geometry)
        m.submodules.window = window = Window(geometry=geometry)
        m.d.comb += [
            self.ready.eq(store.ready),
            store.near.eq(self.near),
            store.near_new.eq(self.near_new),
            store.find.eq(self.lookup.valid),
            store.reference.eq(self.lookup.payload.reference),
            store.find_new.eq(self.lookup_new.valid),
            store.new_reference.eq(self.lookup_new.payload.reference),
            self.window_symbol.eq(self.messages.payload.symbol),
            window.price.eq(self.messages.payload.price),
            window.base.eq(self.window_base),
            window.cent.eq(self.window_cent),
            store.peek.eq(self.peek),
            store.peek_symbol.eq(self.peek_symbol),
            store.peek_placed.eq(self.peek_placed),
            store.peek_unplaced.eq(self.peek_unplaced),
            self.peeked.eq(store.peeked),
            self.found.eq(store.found),
            store.spare.eq(self.spare),
            store.spare_set.eq(self.spare_set),
            store.spare_tag.eq(self.spare_tag),
            window.given.eq(self.inject),
            window.given_level.eq(self.injected.level),
            window.given_low.eq(self.injected.low),
            window.given_high.eq(self.injected.high),
        ]

        arriving = Signal()
        m.d.comb += arriving.eq(
            self.messages.valid
            & self.messages.payload.tracked
            & is_one_of(
                self.messages.payload.kind,
                MessageKind.ADD,
                MessageKind.EXECUTE,
                MessageKind.EXECUTE_PRICE,
                MessageKind.CANCEL,
                MessageKind.DELETE,
                MessageKind.REPLACE,
                MessageKind.TRADE,
            )
        )
        shape = data.StructLayout(
            {"message": Message(symbols), "base": 32, "cent": 1, "keeps_reference": 1, "trust": 1}
        )
        soon_valid, now_valid = Signal(), Signal()
        now_updates, now_inserts, now_adds, now_trades = Signal(), Signal(), Signal(), Signal()
        soon, now = Signal(shape, reset_less=True), Signal(shape, reset_less=True)
        here = Signal(shape)
        is_special, is_held, arrives, replaces = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            is_special.eq(self.messages.payload.symbol == self.hold_symbol),
            is_held.eq(self.hold & is_special & (self.messages.payload.kind != MessageKind.TRADE)),
            window.unplaced.eq(self.unplacing & is_special),
            arrives.eq(arriving & ~is_held),
            replaces.eq(arrives & (self.messages.payload.kind == MessageKind.REPLACE)),
            self.held.eq(soon.message),
            here.message.eq(self.messages.payload),
            here.base.eq(self.window_base),
            here.cent.eq(self.window_cent),
        ]
        m.d.sync += [
            self.held_valid.eq(arriving & is_held),
            self.added.eq(
                arrives
                & is_special
                & self.unplacing
                & (self.messages.payload.kind == MessageKind.ADD)
            ),
            soon_valid.eq(arrives),
            now_updates.eq(self.inject | (soon_valid & (soon.message.kind != MessageKind.TRADE))),
            now_adds.eq(soon_valid & (soon.message.kind == MessageKind.ADD)),
            now_inserts.eq(
                soon_valid & is_one_of(soon.message.kind, MessageKind.ADD, MessageKind.REPLACE)
            ),
            soon.eq(here),
            now_valid.eq(soon_valid | self.inject),
            now.eq(soon),
            now.keeps_reference.eq(soon.message.new_reference == soon.message.reference),
            now.trust.eq(0),
            now_trades.eq(soon_valid),
        ]
        with m.If(self.inject):
            m.d.sync += [
                now_adds.eq(self.injected.kind == MessageKind.ADD),
                now_inserts.eq(is_one_of(self.injected.kind, MessageKind.ADD, MessageKind.PLACE)),
            ]
            for name in ("kind", "symbol", "side", "shares", "price", "sequence"):
                m.d.sync += now.message[name].eq(self.injected[name])
            for name in ("base", "cent", "trust"):
                m.d.sync += now[name].eq(self.injected[name])
            m.d.sync += now.message.stamp.eq(0)

        m.d.comb += [
            self.busy.eq(arriving | soon_valid | now_valid),
            self.next_symbol.eq(
                Mux(
                    self.inject,
                    self.injected.symbol,
                    Mux(soon_valid, soon.message.symbol, self.messages.payload.symbol),
                )
            ),
            self.near_update.eq(now_valid | self.messages.valid),
            self.update_valid.eq(replaces | now_updates),
        ]

        # The level is worked out by itself, for what follows from it is long.
        order, place = store.found.order, Signal(Placement(geometry))
        m.d.comb += place.eq(Mux(self.update.side == Side.BUY, window.bid, window.ask))
        self._half(m, store, place, here, replaces, first_half=True)
        with m.If(now_valid):
            self._half(m, store, place, now, now_valid, first_half=False)
        m.d.comb += [
            # Of a removal, nothing is told.
            self.update.sequence.eq(now.message.sequence),
            self.update.stamp.eq(now.message.stamp),
            self.update.order_shares.eq(order.shares),
            self.update.message_shares.eq(now.message.shares),
            self.update.shares.eq(Mux(self.update.takes_order, order.shares, now.message.shares)),
            self.update.side.eq(Mux(now_adds, now.message.side, order.side)),
            self.update.key.eq(Mux(now_inserts, place.key, order.key)),
        ]
        self._trades(m, store, now, now_trades)
        return m

    def _half(self, m, store, place, held, valid, *, first_half: bool) -> None:
        """The removal by a Replace (`first_half`), or all that any other message does."""
        message, found, write = held.message, store.found, store.update
        order, update = found.order, self.update
        known = found.hit & (order.symbol == message.symbol)
        m.d.comb += [
            update.symbol.eq(message.symbol),
            update.base.eq(held.base),
            update.cent.eq(held.cent),
        ]
        if first_half:
            # What is found does not wait for whether it is meant; only facts do.
            self._remove(m, update, order, known)
            self._address(m, write, found)
            m.d.comb += [
                update.last.eq(0),
                write.live.eq(0),
                store.write.eq(valid & known),
            ]
            return

        m.d.comb += [
            update.last.eq(1),
            update.takes_order.eq(0),
            update.trust.eq(held.trust),
            update.changes.eq(0),
            update.escapes.eq(0),
            store.write.eq(0),
        ]
        with m.Switch(message.kind):
            with m.Case(MessageKind.ADD):
                self._insert(m, place, store, found, message, message.shares, Const(1))
            with m.Case(MessageKind.PLACE):
                room = self._same_room(m, found)
                waits = known & (order.escape == Escape.UNPLACED)
                self._insert(m, place, store, room, message, order.shares, waits)
                m.d.comb += update.takes_order.eq(1)
            with m.Case(MessageKind.UNPLACE):
                self._remove(m, update, order, known)
                self._address(m, write, found)
                m.d.comb += [
                    store.write.eq(known & (order.escape != Escape.UNPLACED)),
                    write.live.eq(1),
                    write.order.eq(order),
                    write.order.escape.eq(Escape.UNPLACED),
                    Cat(write.order.key, write.order.rest).eq(message.price),
                ]
            with m.Case(MessageKind.REPLACE):
                # The removal freed the order but its finding stands until the next look-up.
                finding = self._room(m, held, found, store.found_new)
                self._insert(m, place, store, finding, message, message.shares, known)
                with m.If(~known):
                    m.d.comb += [self.unknown_reference.eq(1), update.distrust.eq(1)]
            with m.Case(
                MessageKind.EXECUTE,
                MessageKind.EXECUTE_PRICE,
                MessageKind.CANCEL,
                MessageKind.DELETE,
            ):
                self._reduce(m, store, found, message, known)

    def _reduce(self, m, store, found, message, known) -> None:
        order, update, write = found.order, self.update, store.update
        wholly = Signal()
        m.d.comb += wholly.eq(
            (message.kind == MessageKind.DELETE) | (message.shares >= order.shares)
        )
        self._remove(m, update, order, known)
        self._address(m, write, found)
        m.d.comb += [
            update.takes_order.eq(wholly),
            update.escapes.eq(known & wholly & is_outside(order.escape)),
            store.write.eq(known),
            write.live.eq(~wholly),
            write.order.eq(order),
            write.order.shares.eq(order.shares - message.shares),
            self.over_execution.eq(
                known & (message.kind != MessageKind.DELETE) & (message.shares > order.shares)
            ),
            self.unknown_reference.eq(~known),
            update.distrust.eq(~known | self.over_execution),
        ]

    def _insert(self, m, place, store, finding, message, shares, wanted) -> None:
        update, write = self.update, store.update
        new = wanted & ~finding.hit
        m.d.comb += [
            # What the store has no room for could never be taken away again.
            update.changes.eq(new & ~finding.full & place.inside & shares.any()),
            update.escapes.eq(new & ~finding.full & is_outside(place.escape)),
            update.escape.eq(place.escape),
            update.add.eq(1),
            update.price.eq(message.price),
            self.duplicate_reference.eq(wanted & finding.hit),
            self.store_overflow.eq(new & finding.full),
            update.distrust.eq(finding.hit | finding.full),
            store.write.eq(new & ~finding.full),
            write.live.eq(1),
            write.set.eq(finding.set),
            write.tag.eq(finding.tag),
            write.way.eq(finding.free_way),
            write.order.symbol.eq(message.symbol),
            write.order.side.eq(update.side),
            write.order.escape.eq(place.escape),
            Cat(write.order.key, write.order.rest).eq(message.price),
            write.order.shares.eq(shares),
        ]
        with m.If(place.inside):
            m.d.comb += write.order.key.eq(place.key)

    def _room(self, m, held, found, found_new) -> Signal:
        """Where a replacement goes: should it keep its reference, then where the original was."""
        room = Signal(Finding(self._geometry))
        m.d.comb += room.eq(found_new)
        with m.If(held.keeps_reference):
            m.d.comb += [room.hit.eq(0), room.full.eq(0), room.free_way.eq(found.way)]
        return room

    def _same_room(self, m, found) -> Signal:
        """The place of an order that is found, as room for it."""
        room = Signal(Finding(self._geometry), name="same_room")
        m.d.comb += [room.eq(found), room.hit.eq(0), room.full.eq(0), room.free_way.eq(found.way)]
        return room

    @staticmethod
    def _remove(m, update, order: StoredOrder, known) -> None:
        m.d.comb += [
            update.changes.eq(known & (order.escape == Escape.NONE) & order.shares.any()),
            update.escapes.eq(known & is_outside(order.escape)),
            update.escape.eq(order.escape),
            update.add.eq(0),
            update.takes_order.eq(1),
        ]

    @staticmethod
    def _address(m, write: StoreWrite, found) -> None:
        m.d.comb += [write.set.eq(found.set), write.tag.eq(found.tag), write.way.eq(found.way)]

    def _trades(self, m, store, held, valid) -> None:
        message, order = held.message, store.found.order
        level = Signal(self._geometry.key_bits)
        m.d.comb += level.eq(Mux(order.side == Side.BUY, ~order.key, order.key))
        m.d.sync += [
            self.trade_valid.eq(0),
            self.trade.symbol.eq(message.symbol),
            self.trade.price.eq(message.price),
        ]
        with m.If(valid & is_one_of(message.kind, MessageKind.TRADE)):
            m.d.sync += self.trade_valid.eq(1)
        with m.If(valid & (message.kind == MessageKind.EXECUTE_PRICE)):
            m.d.sync += self.trade_valid.eq(message.printable)
        with m.If(valid & (message.kind == MessageKind.EXECUTE)):
            m.d.sync += [
                self.trade_valid.eq(
                    store.found.hit
                    & (order.symbol == message.symbol)
                    & (order.escape == Escape.NONE)
                ),
                self.trade.price.eq(held.base + Mux(held.cent, level * Geometry.CENT, level)),
            ]
