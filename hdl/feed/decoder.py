"""ITCH 5.0: from octets at any alignment to the fields the card looks at.

Ref: NASDAQ TotalView-ITCH 5.0, section 4 "Message Formats".
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from tickgate.hdl.feed.mold import SHORTEST_BLOCK, Blocks
from tickgate.hdl.stream import Lookup, Message, MessageKind, Side, require_width
from tickgate.spec import itch50
from tickgate.spec.moldudp64 import BLOCK_LENGTH_SIZE

__all__ = ["Decoder"]

KINDS = {
    "A": MessageKind.ADD,
    "F": MessageKind.ADD,
    "E": MessageKind.EXECUTE,
    "C": MessageKind.EXECUTE_PRICE,
    "X": MessageKind.CANCEL,
    "D": MessageKind.DELETE,
    "U": MessageKind.REPLACE,
    "P": MessageKind.TRADE,
    "H": MessageKind.TRADING_STATE,
    "S": MessageKind.SYSTEM,
    "W": MessageKind.BREACH,
    "Y": MessageKind.SHORT_SALE_RESTRICTION,
    "h": MessageKind.OPERATIONAL_HALT,
}
"""The others are of kind OTHER."""

SHARES = {
    "A": "shares",
    "F": "shares",
    "E": "executed_shares",
    "C": "executed_shares",
    "X": "canceled_shares",
    "U": "shares",
    "P": "shares",
}
PRICES = {
    "A": "price",
    "F": "price",
    "C": "execution_price",
    "U": "price",
    "P": "price",
}

TYPE_AT = itch50.HEADER.offset("type")
LOCATE_AT = itch50.HEADER.offset("stock_locate")
REFERENCE_AT = itch50.MESSAGES["D"].offset("order_ref")
NEW_REFERENCE_AT = itch50.MESSAGES["U"].offset("new_order_ref")
SIDE_AT = itch50.MESSAGES["A"].offset("side")
PRINTABLE_AT = itch50.MESSAGES["C"].offset("printable")
STATE_AT = itch50.MESSAGES["H"].offset("trading_state")
"""The Reg SHO action of Y and the market code of h are in the same place."""
HALT_AT = itch50.MESSAGES["h"].offset("halt_action")
EVENT_AT = itch50.MESSAGES["S"].offset("event_code")
"""That of W is in the same place."""

LAST_AT = max(itch50.MESSAGES[type_].end(name) for type_, name in PRICES.items()) - 1


def _places(names: dict[str, str]) -> dict[int, set[MessageKind]]:
    """The kinds of message by the offset of the field that `names` names for each type."""
    places = {}
    for type_, name in names.items():
        places.setdefault(itch50.MESSAGES[type_].offset(name), set()).add(KINDS[type_])
    return places


def _rows(width: int) -> int:
    """Words over which the fields of a message can lie, and one more for what comes after."""
    return (width - 1 + LAST_AT) // width + 2


class _Fields(wiring.Component):
    """Collects the fields of a message from words that hold it at any alignment.

    Latency: `LATENCY` cycle; of `reference_now` and `new_reference_now` 0 cycles. Throughput: one
    word a cycle.

    One rotation puts octet k of the message into place k mod `width`; an enable for each octet
    says whether it is there. What is taken from a cycle without a word is taken again with it,
    since `row` stays, and no field lies in row 0.

    Members
    -------
    data : In(8 * width)
    lane : In(range(width)), row : In(range(rows))
        Lane of the message's first octet, and words since then (the last value for all later).
    kind : In(MessageKind)
        Of the message, from octet 19 on.
    reference, new_reference, shares, price, side, side_valid, printable, state, event, halt : Out
    reference_arrives, new_reference_arrives : Out(1)
        The last octet of the number is in this word, if it is one of the message.
    reference_now, new_reference_now : Out(64)
        The number, in that word.
    """

    LATENCY = 1

    def __init__(self, *, width: int) -> None:
        self._width = width
        super().__init__(
            {
                "data": In(8 * width),
                "lane": In(range(width)),
                "row": In(range(_rows(width))),
                "kind": In(MessageKind),
                "reference": Out(64),
                "new_reference": Out(64),
                "shares": Out(32),
                "price": Out(32),
                "side": Out(Side),
                "side_valid": Out(1),
                "printable": Out(1),
                "state": Out(8),
                "event": Out(8),
                "halt": Out(8),
                "reference_arrives": Out(1),
                "reference_now": Out(64),
                "new_reference_arrives": Out(1),
                "new_reference_now": Out(64),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        turned = self._turned(m)
        arrives = {octet: Signal(name=f"arrives_{octet}") for octet in range(LAST_AT + 1)}
        for octet, arrival in arrives.items():
            row, after = divmod(octet, self._width)
            early = after + self.lane < self._width
            m.d.comb += arrival.eq(self.row == Mux(early, row, row + 1))

        def place(octet: int):
            return turned.word_select(octet % self._width, 8)

        kept = {}
        references = (
            *range(REFERENCE_AT, REFERENCE_AT + 8),
            *range(NEW_REFERENCE_AT, NEW_REFERENCE_AT + 8),
        )
        for octet in sorted({*references, STATE_AT, EVENT_AT, HALT_AT}):
            kept[octet] = Signal(8, name=f"octet_{octet}")
            with m.If(arrives[octet]):
                m.d.sync += kept[octet].eq(place(octet))

        for name, at in (("reference", REFERENCE_AT), ("new_reference", NEW_REFERENCE_AT)):
            octets = range(at + 7, at - 1, -1)
            # In the word with the last octet, those more than a word before it are kept.
            now = Cat(
                place(octet)
                if octet == at + 7
                else Mux(arrives[octet], place(octet), kept[octet])
                if at + 7 - octet < self._width
                else kept[octet]
                for octet in octets
            )
            m.d.comb += [
                getattr(self, name).eq(Cat(kept[octet] for octet in octets)),
                getattr(self, f"{name}_now").eq(now),
                getattr(self, f"{name}_arrives").eq(arrives[at + 7]),
            ]
        for name, at in (("state", STATE_AT), ("event", EVENT_AT), ("halt", HALT_AT)):
            m.d.comb += getattr(self, name).eq(kept[at])
        with m.If(arrives[SIDE_AT]):
            sells = place(SIDE_AT) == ord(itch50.SELL)
            m.d.sync += [
                self.side.eq(Mux(sells, Side.SELL, Side.BUY)),
                self.side_valid.eq(sells | (place(SIDE_AT) == ord(itch50.BUY))),
            ]
        with m.If(arrives[PRINTABLE_AT]):
            m.d.sync += self.printable.eq(place(PRINTABLE_AT) == ord("Y"))
        for number, names in ((self.shares, SHARES), (self.price, PRICES)):
            with m.Switch(self.kind):
                for at, kinds in _places(names).items():
                    with m.Case(*sorted(kinds, key=lambda kind: kind.value)):
                        for octet in range(4):
                            with m.If(arrives[at + octet]):
                                part = number.word_select(3 - octet, 8)
                                m.d.sync += part.eq(place(at + octet))
        return m

    def _turned(self, m: Module) -> Signal:
        """The word, rotated so that what is in `lane` comes first."""
        turned = Signal(8 * self._width)
        rotated = self.data
        for bit in range(exact_log2(self._width)):
            rotated = Mux(self.lane[bit], rotated.rotate_right(8 << bit), rotated)
        m.d.comb += turned.eq(rotated)
        return turned


class _Classifier(wiring.Component):
    """Says what a message is by its type and length.

    Latency: 0 cycles (combinational); `steady_kind`, `steady_book` 1 cycle.

    Members
    -------
    type : In(8), length : In(16)
    kind : Out(MessageKind)
        NONE if the type is unknown.
    fits : Out(1)
        The length is that of the type.
    book : Out(1)
        The type is one of those that change a book.
    steady_kind, steady_book : Out
        `kind`; `book` and `fits`.
    """

    LATENCY = 0

    def __init__(self) -> None:
        super().__init__(
            {
                "type": In(8),
                "length": In(16),
                "kind": Out(MessageKind),
                "fits": Out(1),
                "book": Out(1),
                "steady_kind": Out(MessageKind),
                "steady_book": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        size = Signal(range(itch50.LONGEST + 1))
        with m.Switch(self.type):
            for type_, message in itch50.MESSAGES.items():
                with m.Case(ord(type_)):
                    m.d.comb += [
                        self.kind.eq(KINDS.get(type_, MessageKind.OTHER)),
                        size.eq(message.size),
                        self.book.eq(type_ in itch50.BOOK_TYPES),
                    ]
        m.d.comb += self.fits.eq(self.length == size)
        m.d.sync += [
            self.steady_kind.eq(self.kind),
            self.steady_book.eq(self.book & self.fits),
        ]
        return m


class Decoder(wiring.Component):
    """Decodes the messages of a datagram, a word at a time.

    Latency: `LATENCY` cycle from the word with the last octet of a message to `message`, and from
    the word with the last octet of an order reference 0 cycles to `lookup` and `lookup_new`.
    Throughput: one word a cycle for ever.

    Every message that is due, of known type and of its length is delivered. Others are counted:
    `unknown_types`; `length_mismatches`; `bad_sides`, orders that are neither to buy nor to sell.
    If such a message would have changed a book, that is a gap. A message that is not due or does
    not end leaves no trace but perhaps a lookup.

    Parameters
    ----------
    width : int
        Octets a cycle.
    symbols : int

    Members
    -------
    blocks : In(stream of Blocks)
    cycle : In(16)
        Counter of cycles; its value at the last octet of a message becomes the message's stamp.
    find : Out(1), locate : Out(16)
        The stock locate of a message, in the cycle of its last octet.
    tracked : In(1), symbol : In(range(symbols))
        What became of it, `SymbolTable.LATENCY` cycles later, until that of the next.
    lookup, lookup_new : Out(stream of Lookup)
        The reference of a message that changes a book, and the new one of a replacement.
    near, near_new : Out(1)
        A look-up may come in this cycle, of either kind but never of both: known from the start of
        the cycle, when whether it does is not.
    message : Out(stream of Message)
        Fields that the kind does not have are undefined, but `printable` is 1 and `code` is 0.
    gap : Out(1)
    unknown_types, length_mismatches, bad_sides : Out(1)
        Counter strobes.
    """

    LATENCY = 1
    COUNTERS = ("unknown_types", "length_mismatches", "bad_sides")

    def __init__(self, *, width: int, symbols: int) -> None:
        require_width(width)
        self._width = width
        super().__init__(
            {
                "blocks": In(stream.Signature(Blocks(width), always_ready=True)),
                "cycle": In(16),
                "find": Out(1),
                "locate": Out(16),
                "tracked": In(1),
                "symbol": In(range(symbols)),
                "lookup": Out(stream.Signature(Lookup, always_ready=True)),
                "lookup_new": Out(stream.Signature(Lookup, always_ready=True)),
                "near": Out(1),
                "near_new": Out(1),
                "message": Out(stream.Signature(Message(symbols), always_ready=True)),
                "gap": Out(1),
                **{name: Out(1) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.fields = fields = _Fields(width=self._width)
        m.submodules.classifier = classifier = _Classifier()
        width, word, valid = self._width, self.blocks.payload, self.blocks.valid
        going, open_ = Signal(), Signal()
        lane = Signal(range(width))
        row = Signal(range(_rows(width)))
        m.d.comb += [
            going.eq(valid & open_ & ~word.fresh),
            fields.data.eq(word.data),
            fields.lane.eq(lane),
            fields.row.eq(row),
            fields.kind.eq(classifier.steady_kind),
        ]
        with m.If(valid):
            with m.If(row != _rows(width) - 1):
                m.d.sync += row.eq(row + 1)
            with m.If(word.fresh | word.ends):
                m.d.sync += open_.eq(0)
            with m.If(word.begins):
                m.d.sync += [
                    open_.eq(1),
                    classifier.length.eq(word.length),
                    lane.eq(word.lane),
                    row.eq(word.lane != width),
                ]
        self._open(m, going=going, lane=lane, row=row, classifier=classifier)
        self._look_up(m, going=going, open_=open_, lane=lane, fields=fields, classifier=classifier)
        at_once = self._ends_with_its_type(m, going=going, row=row)
        self._close(m, at_once=at_once, fields=fields, classifier=classifier)
        return m

    def _open(self, m: Module, *, going, lane, row, classifier) -> None:
        """Takes the type and the stock locate of a message."""
        width, word, valid = self._width, self.blocks.payload, self.blocks.valid
        # A message that begins here may share the word with the end of another, whose type was
        # taken before, and its locate too unless it is too short to be decoded.
        looms, lane_now, row_now = Signal(), Signal.like(lane), Signal.like(row)
        place = Signal(range(width + LOCATE_AT + 1))
        before = Signal(8)
        m.d.comb += [
            looms.eq(word.looms & (word.lane != width)),
            lane_now.eq(Mux(looms, word.lane, lane)),
            row_now.eq(Mux(looms, 0, row)),
            place.eq(lane_now + LOCATE_AT + 1),
        ]
        with m.If(valid):
            m.d.sync += before.eq(word.data[-8:])
        here = Mux(looms, valid & word.begins, going)
        with m.If(here & (row_now == TYPE_AT)):
            m.d.sync += classifier.type.eq(word.data.word_select(lane_now, 8))
        shift = exact_log2(width)
        low = place[:shift]
        m.d.comb += [
            self.find.eq(here & (row_now == place[shift:])),
            self.locate.eq(
                Cat(
                    word.data.word_select(low, 8),
                    Cat(before, word.data)[: 8 * width].word_select(low, 8),
                )
            ),
        ]

    def _look_up(self, m: Module, *, going, open_, lane, fields, classifier) -> None:
        word = self.blocks.payload
        wanted = going & word.due & classifier.steady_book
        for lookup, near, name, at, condition in (
            (self.lookup, self.near, "reference", REFERENCE_AT, 1),
            (
                self.lookup_new,
                self.near_new,
                "new_reference",
                NEW_REFERENCE_AT,
                classifier.steady_kind == MessageKind.REPLACE,
            ),
        ):
            within = (lane + at + 7)[: exact_log2(self._width)] < word.end
            arrives = getattr(fields, f"{name}_arrives")
            m.d.comb += [
                near.eq(open_ & condition & arrives),
                lookup.valid.eq(wanted & condition & arrives & within),
                lookup.payload.reference.eq(getattr(fields, f"{name}_now")),
            ]

    def _ends_with_its_type(self, m: Module, *, going, row) -> Signal:
        """Whether a message ends in the word that has its type, before it can be classified.

        Only a word of 8 octets holds that much, and no known message is that short.
        """
        at_once = Signal()
        word = self.blocks.payload
        if self._width > SHORTEST_BLOCK:
            # With another message's last octet and a length before it, it would be in lane 3.
            begun_here = word.begins & (word.lane < 1 + BLOCK_LENGTH_SIZE)
            begun_before = going & (row == TYPE_AT)
            m.d.comb += at_once.eq(self.blocks.valid & word.ends & (begun_here | begun_before))
        return at_once

    def _close(self, m: Module, *, at_once, fields, classifier) -> None:
        word, message = self.blocks.payload, self.message.payload
        ends, tiny, known, bad_side = Signal(), Signal(), Signal(), Signal()
        kind = Signal(MessageKind)
        m.d.comb += [
            ends.eq(self.blocks.valid & word.ends & word.due & ~at_once),
            known.eq(classifier.kind != MessageKind.NONE),
            bad_side.eq((classifier.kind == MessageKind.ADD) & ~fields.side_valid),
        ]
        mismatch = known & ((ends & ~classifier.fits) | tiny)
        no_order = ends & known & classifier.fits & bad_side
        m.d.sync += [
            tiny.eq(at_once & word.due),
            self.unknown_types.eq((ends | tiny) & ~known),
            self.length_mismatches.eq(mismatch),
            self.bad_sides.eq(no_order),
            self.gap.eq((mismatch & classifier.book) | no_order),
            self.message.valid.eq(ends & known & classifier.fits & ~bad_side),
            kind.eq(classifier.kind),
            message.sequence.eq(word.sequence),
            message.stamp.eq(self.cycle),
        ]
        for name in ("reference", "new_reference", "side", "shares", "price"):
            m.d.comb += message[name].eq(getattr(fields, name))
        m.d.comb += [
            message.kind.eq(kind),
            message.symbol.eq(self.symbol),
            message.tracked.eq(self.tracked),
            message.printable.eq(fields.printable | (kind != MessageKind.EXECUTE_PRICE)),
        ]
        with m.Switch(kind):
            with m.Case(MessageKind.TRADING_STATE, MessageKind.SHORT_SALE_RESTRICTION):
                m.d.comb += message.code.eq(fields.state)
            with m.Case(MessageKind.OPERATIONAL_HALT):
                # The halt of another market is not ours.
                m.d.comb += message.code.eq(Mux(fields.state == ord("Q"), fields.halt, 0))
            with m.Case(MessageKind.SYSTEM, MessageKind.BREACH):
                m.d.comb += message.code.eq(fields.event)
