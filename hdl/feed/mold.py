"""MoldUDP64: from datagrams to message blocks, and what was missed or had before.

Ref: MoldUDP64 Protocol Specification 1.00, "Downstream Packet".
"""

import types

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from tickgate.hdl.feed.lines import (
    GAP_WAIT_BITS,
    LINE_TIMEOUT_BITS,
    Lines,
    line_counters,
)
from tickgate.hdl.feed.recovery import RECOVERY_WAIT_BITS, Recovery
from tickgate.hdl.stream import LINES, REPLIES, SOURCES, Span, pipe, require_width
from tickgate.spec.ethernet import ETHERNET, IPV4, UDP, VLAN_TAG
from tickgate.spec.moldudp64 import BLOCK_LENGTH_SIZE, END_OF_SESSION, HEADER, HEARTBEAT

__all__ = ["AMOUNTS", "SHORTEST_BLOCK", "Blocks", "Mold"]

AMOUNTS = {"missed_messages": 32, "duplicate_messages": 16}
"""Counters that rise by more than one, and the bits of the amount."""

FIRST_SEQUENCE = 1
"""MoldUDP64 counts the messages of a session from 1."""

SHORTEST_BLOCK = 6
"""With its length such a block fills a word of 8 octets, so that no word sees two messages begin
or two of them end."""

FIRST_LENGTH = HEADER.size + BLOCK_LENGTH_SIZE - 1
"""The octet of a datagram that completes the first block's length."""


def _alignments(width: int) -> tuple[int, ...]:
    """The lanes in which a datagram can begin, without and with a VLAN tag."""
    plain = ETHERNET.size + IPV4.size + UDP.size
    return tuple(sorted({plain % width, (plain + VLAN_TAG.size) % width}))


class Blocks(data.StructLayout):
    """A word of the message blocks of a datagram, and where messages begin and end in it.

    `fresh`: the first word of a datagram; a message that was left open is not continued.
    `begins`: the length of a message is complete here, its first octet is in lane `lane` (lane
    `width` is the first of the next word) and it has `length` octets.
    `looms`: known without looking at the word, if `begins` it does so in `lane`.
    `ends`: the last octet of a message is in this word. If `begins` too, and `length` fits, it is
    of the very message that begins.
    `end`: octets from this lane on are not of the datagram.
    `due`, `sequence`: of the message that ends or goes on; one that was had before is not due.
    """

    def __init__(self, width: int) -> None:
        require_width(width)
        super().__init__(
            {
                "data": unsigned(8 * width),
                "end": range(width + 1),
                "fresh": 1,
                "looms": 1,
                "begins": 1,
                "lane": range(width + 1),
                "length": 16,
                "ends": 1,
                "due": 1,
                "sequence": 32,
            }
        )


class _HeaderFields(wiring.Component):
    """Keeps the fields of the last header.

    Latency: 1 cycle; `sequence_now` and `count_now` 0 cycles. Throughput: one word a cycle.

    Members
    -------
    payload : In(stream of Span)
    session, sequence, count : Out
    sequence_now, count_now : Out
        As they are in the word that completes the header.
    """

    LATENCY = 1

    def __init__(self, *, width: int) -> None:
        self._width = width
        fields = {field.name: Out(8 * field.size) for field in HEADER}
        super().__init__(
            {
                "payload": In(stream.Signature(Span(width), always_ready=True)),
                "sequence_now": Out(64),
                "count_now": Out(16),
                **fields,
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        width, word = self._width, self.payload.payload
        words = (HEADER.size + width) // width + 1
        number, begin = Signal(range(words + 1)), Signal(range(width + 1))
        octets = Signal(8 * HEADER.size)
        octets_now = Signal.like(octets)
        begin_now = Mux(number == 0, word.begin, begin)
        m.d.comb += octets_now.eq(octets)
        alignments = _alignments(width)
        for begin_at in alignments:
            aligned = (begin_now == begin_at) if len(alignments) > 1 else 1
            for octet in range(HEADER.size):
                at, lane = divmod(begin_at + octet, width)
                with m.If((number == at) & aligned):
                    place = octets_now.word_select(HEADER.size - 1 - octet, 8)
                    m.d.comb += place.eq(word.data.word_select(lane, 8))
        with m.If(self.payload.valid):
            m.d.sync += [begin.eq(begin_now), octets.eq(octets_now)]
            with m.If(number != words):
                m.d.sync += number.eq(number + 1)
            with m.If(word.last):
                m.d.sync += number.eq(0)
        for field in HEADER:
            at, end = HEADER.offset(field.name), HEADER.end(field.name)
            m.d.comb += getattr(self, field.name).eq(octets[8 * (HEADER.size - end) :])
            if f"{field.name}_now" in self.signature.members:
                now = Cat(
                    self._completing(octet, octets, begin) for octet in reversed(range(at, end))
                )
                m.d.comb += getattr(self, f"{field.name}_now").eq(now)
        return m

    def _completing(self, octet: int, octets: Signal, begin: Signal):
        """An octet of the header in the word that completes it: from there, or from earlier."""
        value = octets.word_select(HEADER.size - 1 - octet, 8)
        for begin_at in _alignments(self._width):
            at, lane = divmod(begin_at + octet, self._width)
            if at == (begin_at + HEADER.size - 1) // self._width:
                live = self.payload.payload.data.word_select(lane, 8)
                alone = len(_alignments(self._width)) == 1
                value = live if alone else Mux(begin == begin_at, live, value)
        return value


class _Walker(wiring.Component):
    """Finds where the header and each message of a datagram end.

    Latency: 0 cycles to `header_ends` and `blocks`; 1 cycle to `short_block`, `bad_end`,
    `short_header`. Throughput: one word a cycle.

    Members
    -------
    payload : In(stream of Span)
    messages : In(16), carries : In(1)
        Messages that the header announces, and whether it does, in the word with `header_ends`.
    drop : In(1)
        The rest of the datagram is of no interest.
    forget : In(1)
        As `drop`, inside the header too.
    header_ends : Out(1)
        The last octet of the header is in this word.
    short_header : Out(1)
        The datagram ended inside its header.
    blocks : Out(stream of Blocks)
        `due` and `sequence` are not driven.
    short_block : Out(1)
        A block is too short to be walked; the rest of the datagram is not walked.
    bad_end : Out(1)
        The datagram ended before its messages did, or went on after them.
    """

    LATENCY = 0

    def __init__(self, *, width: int) -> None:
        self._width = width
        super().__init__(
            {
                "payload": In(stream.Signature(Span(width), always_ready=True)),
                "messages": In(16),
                "carries": In(1),
                "drop": In(1),
                "forget": In(1),
                "header_ends": Out(1),
                "short_header": Out(1),
                "blocks": Out(stream.Signature(Blocks(width), always_ready=True)),
                "short_block": Out(1),
                "bad_end": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        width, word, valid = self._width, self.payload.payload, self.payload.valid
        blocks = self.blocks.payload
        # Octets from lane 0 of this word to the end of the next length, modulo 2**17, so that a
        # length never found goes past unseen. The header is counted like a message.
        ahead, near = Signal(17), Signal()
        lane = ahead[: exact_log2(width) + 2]
        in_header, walking = Signal(), Signal()
        left, more, more_now = Signal(16), Signal(), Signal()
        passes_end, active, length_here, stops = Signal(), Signal(), Signal(), Signal()
        # What these are if this word is one; `valid` is late.
        header_here, walked = Signal(), Signal()
        too_short = self._too_short(m, lane)
        # A word of one octet in which a header or a message goes on has it.
        end = word.end if width > 1 else 1
        shares_word = any(
            (begin + HEADER.size - 1) // width == (begin + FIRST_LENGTH) // width
            for begin in _alignments(width)
        )
        m.d.comb += [
            passes_end.eq(near & (lane >= 2) & (lane < width + 2) & (lane <= end + 1)),
            header_here.eq(in_header & passes_end),
            walked.eq(walking | header_here),
            self.header_ends.eq(valid & header_here),
            active.eq(valid & walked),
            more_now.eq(Mux(header_here, self.carries, more) if shares_word else more),
            blocks.looms.eq(near & (lane < width)),
            length_here.eq(walked & blocks.looms & (lane < end)),
            self.blocks.valid.eq(active),
            blocks.data.eq(word.data),
            blocks.end.eq(end),
            blocks.fresh.eq(header_here),
            stops.eq(length_here & (~more_now | too_short)),
            blocks.begins.eq(length_here & ~stops),
            blocks.lane.eq(lane[: exact_log2(width)] + 1),
            blocks.ends.eq((walked & ~header_here & passes_end) | self._ends_at_once()),
        ]
        self._step(m, ahead=ahead, near=near, lane=lane, found=length_here)
        with m.If(valid):
            with m.If(walked):
                left_now = Mux(header_here, self.messages, left)
                more_left = Mux(header_here, self.carries, more)
                m.d.sync += [
                    left.eq(left_now - length_here),
                    more.eq(more_left & ~(length_here & (left_now == 1))),
                    in_header.eq(0),
                    walking.eq(1),
                ]
            with m.If(word.first):
                m.d.sync += in_header.eq(1)
            with m.If(word.last | stops):
                m.d.sync += [in_header.eq(0), walking.eq(0)]
        with m.If(self.drop | self.forget):
            m.d.sync += walking.eq(0)
        with m.If(self.forget):
            m.d.sync += in_header.eq(0)
        m.d.sync += [
            self.short_block.eq(valid & stops & more_now),
            self.short_header.eq(valid & word.last & (word.first | in_header) & ~walked),
        ]
        surplus, unfinished = Signal(), self._unfinished(m, ahead, more, walked=walked & ~stops)
        m.d.sync += surplus.eq(valid & stops & ~more_now)
        m.d.comb += self.bad_end.eq(surplus | unfinished)
        return m

    def _too_short(self, m: Module, lane):
        """Whether the length that may be here is below `SHORTEST_BLOCK`."""
        width, data = self._width, self.payload.payload.data
        octets = [data.word_select(n, 8) for n in range(width)]
        before_zero = Signal()
        with m.If(self.payload.valid):
            m.d.sync += before_zero.eq(octets[-1] == 0)
        zero = Cat(before_zero, *(octet == 0 for octet in octets))[:width]
        low = Cat(octet < SHORTEST_BLOCK for octet in octets)
        place = lane[: exact_log2(width)]
        return zero.bit_select(place, 1) & low.bit_select(place, 1)

    def _step(self, m: Module, *, ahead: Signal, near: Signal, lane, found) -> None:
        """Reads the length that may be here, and moves on to the next word."""
        width, word = self._width, self.payload.payload
        length = self.blocks.payload.length
        before = Signal(8)
        place = lane[: exact_log2(width)]
        m.d.comb += length.eq(
            Cat(
                word.data.word_select(place, 8),
                Cat(before, word.data)[: 8 * width].word_select(place, 8),
            )
        )
        onward, jump = Signal.like(ahead), Signal.like(ahead)
        distant = len(lane)
        m.d.comb += [
            onward.eq(ahead - width),
            jump.eq(length + (place + (BLOCK_LENGTH_SIZE - width))),
        ]
        with m.If(self.payload.valid):
            m.d.sync += [
                before.eq(word.data[-8:]),
                ahead.eq(Mux(found, jump, onward)),
                near.eq(Mux(found, ~jump[distant:].any(), ~onward[distant:].any())),
            ]
            with m.If(word.first):
                m.d.sync += [ahead.eq(word.begin + FIRST_LENGTH - width), near.eq(0)]

    def _ends_at_once(self):
        """Whether the message that begins in this word ends in it too."""
        blocks = self.blocks.payload
        if self._width <= SHORTEST_BLOCK:
            return Const(0, 1)
        return (
            blocks.begins
            & ~blocks.length[3:].any()
            & (blocks.lane + blocks.length[:3] <= blocks.end)
        )

    def _unfinished(self, m: Module, ahead: Signal, more: Signal, *, walked):
        """Whether the datagram ended with the last word, but its messages did not end with it."""
        word, valid = self.payload.payload, self.payload.valid
        closes = Signal()
        end = Signal.like(word.end)
        m.d.sync += [closes.eq(valid & word.last & walked & ~self.forget), end.eq(word.end)]
        boundary = (ahead + self._width - 1)[: len(ahead)]
        return closes & (more | (boundary != end))


class _Position(data.Struct):
    """Where the feed stands: the session, if one was seen, whether it has ended, and what is due.

    `expected`: the sequence number due next.
    """

    known: 1
    ended: 1
    session: 8 * HEADER.field("session").size
    expected: 64


class _SequenceCheck(wiring.Component):
    """Compares each header with what is due, and numbers the messages.

    Latency: 1 cycle from `header_ends` to `due` and `sequence`, which follow `message_ends`; 2
    cycles to `gap`; `HAD_LATENCY` cycles to `ignored` and `drop`; `VERDICT_LATENCY` cycles to
    `expected` and the counters. Throughput: a header every `VERDICT_LATENCY` cycles.

    The comparison of 64 bits is all that a short message does not leave time for: the differences
    and what follows from them take a cycle each.

    Members
    -------
    begins : In(1)
        A datagram has begun: `revert` returns to what stands now.
    header_ends : In(1), sequence_now : In(64), carries : In(1)
        The header is complete in this word; whether it announces messages.
    session, first, count : In
        The header's fields, from the next cycle on.
    message_ends : In(1)
        The next message is the current one from the next cycle on.
    revert : In(1)
        The last datagram was damaged, so its header is not to be believed.
    restart : In(1), start_sequence : In(64)
        Forgets the session and loads what is due.
    line, tick, gap_wait, line_timeout : In
        As those of :class:`Lines`; `line` is that of the datagram whose header ends.
    recovery_wait : In(24), give_up : In(1)
        As `wait` and `give_up` of :class:`Recovery`.
    due : Out(1), sequence : Out(32)
        Of the current message.
    ignored : Out(1)
        Nothing of the datagram is taken: every message was had before, or the other line decides.
    drop : Out(1)
        That has just become known.
    expected : Out(64)
    gap : Out(1)
        Messages were missed, or the session changed.
    expired : Out(1)
        What was waited for does not come.
    known, ended, waiting : Out(1), alive : Out(len(LINES))
        The session is known; it has ended; what one line missed is waited for; lines alive.
    recovering : Out(1), due_session : Out
        What is due can only come as a reply; it is of this session.
    (others) : Out
        Counter strobes and amounts, see `COUNTERS`.
    """

    HAD_LATENCY = 3
    VERDICT_LATENCY = HAD_LATENCY + 1
    COUNTERS = (
        "heartbeats",
        "ends_of_session",
        "gaps",
        "missed_messages",
        "session_changes",
        "duplicate_datagrams",
        "duplicate_messages",
        "held_datagrams",
        "other_sessions",
        "waits_expired",
        *line_counters("won"),
        *line_counters("filled"),
        *line_counters("lost"),
        "replies_used",
        "recoveries",
        "recovered",
        "recoveries_given_up",
    )
    STATE = types.MappingProxyType(
        {
            "known": Out(1),
            "ended": Out(1),
            "waiting": Out(1),
            "alive": Out(len(LINES)),
            "recovering": Out(1),
            "due_session": Out(8 * HEADER.field("session").size),
        }
    )

    def __init__(self) -> None:
        super().__init__(
            {
                "begins": In(1),
                "header_ends": In(1),
                "sequence_now": In(64),
                "carries": In(1),
                "session": In(8 * HEADER.field("session").size),
                "first": In(64),
                "count": In(16),
                "message_ends": In(1),
                "revert": In(1),
                "restart": In(1),
                "start_sequence": In(64),
                "line": In(range(len(SOURCES))),
                "tick": In(1),
                "gap_wait": In(GAP_WAIT_BITS),
                "line_timeout": In(LINE_TIMEOUT_BITS),
                "recovery_wait": In(RECOVERY_WAIT_BITS),
                "give_up": In(1),
                "due": Out(1),
                "sequence": Out(32),
                "ignored": Out(1),
                "drop": Out(1),
                "expected": Out(64),
                "gap": Out(1),
                "expired": Out(1),
                **self.STATE,
                **{name: Out(AMOUNTS.get(name, 1)) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        initial = {"expected": FIRST_SEQUENCE}
        position, before = Signal(_Position, init=initial), Signal(_Position, init=initial)
        compare, subtract, judge = Signal(), Signal(), Signal()
        m.d.sync += [
            compare.eq(self.header_ends & ~self.restart),
            subtract.eq(compare & ~self.restart),
            judge.eq(subtract & ~self.restart),
        ]

        m.submodules.lines = lines = Lines()
        m.submodules.recovery = recovery = Recovery()
        changed, repeats, missed = Signal(), Signal(), Signal()
        held, stray, doubtful, replied = Signal(), Signal(), Signal(), Signal()
        line, carries, following = Signal.like(self.line), Signal(), Signal(64)
        changed_now = position.known & (position.session != self.session)
        behind_now = self.sequence_now < position.expected
        beyond_now = self.sequence_now > position.expected
        # Replies never show a gap nor another session: they only bring what was asked for.
        reply, alone = self.line == REPLIES, Signal()
        line_patient, patient, protected = Signal(), Signal(), Signal()
        m.d.comb += [
            line_patient.eq(lines.patient.bit_select(self.line[0], 1)),
            patient.eq(reply | line_patient | recovery.patient),
            protected.eq(reply | (lines.protected.bit_select(self.line[0], 1) & ~position.ended)),
        ]
        changed_now |= reply & ~position.known
        with m.If(self.header_ends):
            m.d.sync += [
                line.eq(self.line),
                changed.eq(changed_now & ~protected),
                stray.eq(changed_now & protected),
                repeats.eq(~changed_now & behind_now),
                missed.eq(~changed_now & beyond_now & ~patient),
                held.eq(~changed_now & beyond_now & patient),
                alone.eq(~changed_now & beyond_now & ~line_patient & ~reply),
                replied.eq(reply),
                doubtful.eq(Mux(changed_now, protected, behind_now | (beyond_now & patient))),
                carries.eq(self.carries),
            ]
        m.d.comb += [self.expected.eq(position.expected), self.drop.eq(judge & self.ignored)]
        m.d.sync += [
            self.gap.eq(compare & (changed | missed)),
            following.eq(self.first + Mux(carries, self.count, 0)),
        ]
        aside = held | stray
        had, behind, beyond = self._number(
            m, carries=carries, doubtful=doubtful, aside=aside, compare=compare
        )
        new = carries & ~self.ignored
        facts = {
            "heartbeats": self.count == HEARTBEAT,
            "ends_of_session": self.count == END_OF_SESSION,
            "gaps": missed,
            "missed_messages": Mux(missed, beyond, 0),
            "session_changes": changed,
            "duplicate_datagrams": had & ~aside,
            "duplicate_messages": Mux(repeats & new, behind, 0),
            "held_datagrams": held,
            "other_sessions": stray,
            **{name: new & (line == n) for n, name in enumerate(line_counters("won"))},
            "replies_used": new & replied,
        }
        for name, fact in facts.items():
            m.d.sync += getattr(self, name).eq(Mux(judge, fact, 0))
        advanced = new | missed | changed
        self._follow_lines(
            m,
            lines,
            line=line,
            told=judge & ~stray,
            stray=judge & stray,
            held=judge & held & ~replied & ~alone,
            advanced=judge & advanced,
            missed=judge & missed,
            changed=judge & changed,
        )

        m.d.comb += [
            recovery.judge.eq(judge),
            recovery.held.eq(held & ~replied),
            recovery.advanced.eq(advanced),
            recovery.changed.eq(changed),
            recovery.following.eq(following),
            recovery.missed.eq(judge & alone),
        ]
        self._follow_recovery(m, lines, recovery)
        ends = self.count == END_OF_SESSION
        with m.If(judge & ~aside):
            m.d.sync += [position.known.eq(1), position.session.eq(self.session)]
            with m.If(~repeats | new):
                m.d.sync += [
                    position.expected.eq(following),
                    position.ended.eq(ends | (position.ended & ~advanced)),
                ]
        with m.If(self.begins):
            m.d.sync += before.eq(position)
        with m.If(self.revert):
            m.d.sync += position.eq(before)
        with m.If(self.restart):
            for place in (position, before):
                m.d.sync += [
                    place.known.eq(0),
                    place.ended.eq(0),
                    place.expected.eq(self.start_sequence),
                ]
        m.d.comb += [
            self.known.eq(position.known),
            self.ended.eq(position.ended),
            self.due_session.eq(position.session),
        ]
        return m

    def _follow_recovery(self, m: Module, lines: Lines, recovery: Recovery) -> None:
        """A wait for a line that is over is a gap only if what is due cannot be asked for."""
        expired = Signal()
        m.d.comb += [
            expired.eq((lines.expired & ~recovery.patient) | recovery.expired),
            recovery.tick.eq(self.tick),
            recovery.wait.eq(self.recovery_wait),
            recovery.give_up.eq(self.give_up),
            recovery.line_expired.eq(lines.expired),
            recovery.begins.eq(self.begins),
            recovery.revert.eq(self.revert),
            recovery.restart.eq(self.restart),
            self.expired.eq(expired),
            self.waits_expired.eq(expired),
            self.recovering.eq(recovery.active),
            self.recoveries.eq(recovery.begun),
            self.recovered.eq(recovery.caught_up),
            self.recoveries_given_up.eq(recovery.expired),
        ]

    def _follow_lines(self, m: Module, lines: Lines, **judgement) -> None:
        """Tells the lines of a judgement, and the outside of them."""
        for name in ("tick", "gap_wait", "line_timeout", "begins", "revert", "restart"):
            m.d.comb += getattr(lines, name).eq(getattr(self, name))
        for name, fact in judgement.items():
            m.d.comb += getattr(lines, name).eq(fact)
        m.d.comb += [
            self.alive.eq(lines.alive),
            self.waiting.eq(lines.waiting),
        ]
        for counter in ("filled", "lost"):
            for n, name in enumerate(line_counters(counter)):
                m.d.comb += getattr(self, name).eq(getattr(lines, counter)[n])

    def _number(self, m: Module, *, carries, doubtful, aside, compare) -> tuple:
        """Drives `due`, `sequence` and `ignored`.

        Returns whether all was had, and how many messages the header is behind and beyond.
        """
        index = Signal(16)
        behind, far, had = Signal(16), Signal(), Signal()
        beyond, most = Signal(64), Signal(32)
        # Below 2**16, the difference is that of the lower halves; only their borrow joins them to
        # the rest, whose comparison need not wait for it.
        half = len(behind)
        same, next_ = Signal(), Signal()
        with m.If(self.header_ends):
            upper, upper_due = self.sequence_now[half:], self.expected[half:]
            m.d.sync += [same.eq(upper_due == upper), next_.eq(_is_next(upper_due, upper))]
        difference = Signal(half + 1)
        m.d.comb += [
            difference.eq(self.expected[:half] - self.first[:half]),
            self.due.eq(~doubtful | (~compare & ~far & (index >= behind))),
            self.sequence.eq(self.first + index),
        ]
        all_had = carries & doubtful & (far | (behind >= self.count))
        m.d.sync += [
            had.eq(all_had),
            self.ignored.eq(all_had | aside),
            most.eq(Mux(beyond[len(most) :].any(), ~0, beyond)),
        ]
        with m.If(compare):
            m.d.sync += [
                behind.eq(difference),
                far.eq(aside | ~(same | (next_ & difference[half]))),
                beyond.eq(self.first - self.expected),
            ]
        with m.If(self.message_ends):
            m.d.sync += index.eq(index + 1)
        with m.If(self.begins):
            m.d.sync += index.eq(0)
        return had, behind, most


def _is_next(later, earlier):
    """Whether `later` is `earlier` + 1 (mod 2**n), without a carry: a - b - 1 = a + ~b = 0."""
    inverted = ~earlier
    return ((later ^ inverted) ^ ((later | inverted) << 1)[: len(later)]) == 0


class Mold(wiring.Component):
    """Walks through the message blocks of MoldUDP64 datagrams and keeps the sequence of two lines.

    Latency: `LATENCY` cycles (combinational) from `payload` to `blocks`; `GAP_LATENCY` cycles from
    the last octet of a header to the `gap` that it shows, 0 cycles from `cut`, `FAULT_LATENCY` from
    the word that shows any other at most. Throughput: one word a cycle for ever.

    Of a datagram with sequence number s and n messages, where e is due, on either line:
    s > e is a gap (`gaps`, `missed_messages`), and all messages pass; s + n <= e is a duplicate
    (`duplicate_datagrams`) that is not looked into; of an overlap the first e - s messages are not
    due (`duplicate_messages`). In each case max(e, s + n) is due next. A heartbeat or end of
    session has n = 0. The first session is taken as it is; another one after it is a gap
    (`session_changes`), and counts on from s. Numbers are modulo 2**64, `missed_messages` at most
    2**32 - 1 a gap.

    So the first copy of each message wins. s > e is no gap yet while the other line may bring e:
    if it is alive (see :class:`Lines`), has brought nothing beyond e, and no longer than
    `gap_wait` has passed since the first such datagram. Until then these are not looked into
    (`held_datagrams`): nothing is put in order, what was held must come again on the other line. A
    wait that ends without e is a gap (`waits_expired`), and the next s > e is taken. Another
    session is not taken (`other_sessions`) while the other line is alive in the present one, unless
    that has ended. What is not looked into may be damaged: that is no gap.

    With `recovery_wait`, what would be a gap by these rules is waited for, so long, as the reply to
    a request (`recoveries`; see :class:`Recovery`). Replies come as from a third source, and follow
    the same rules but for these: they say nothing of a line, and never show a gap nor another
    session; without a session of the lines nothing of them is taken.

    A datagram shorter than its header, or that ends elsewhere than its last message, is one of
    `bad_datagrams`; a block of less than 6 octets, which ends the walk, one of `bad_blocks`. Both
    are gaps, as are a frame that is cut and one whose FCS is wrong. After the latter, what was due
    before its datagram is due again, since a damaged sequence number must not decide what comes
    next.

    Parameters
    ----------
    width : int
        Octets a cycle.

    Members
    -------
    payload : In(stream of Span)
        Datagrams begin in the lane in which the payload of UDP does. Each has a word `first` and
        a word `last`, and only these may hold fewer than `width` octets. There are the headers of
        a frame between two of them.
    line : In(range(len(SOURCES)))
        The source of a datagram, in the word that completes its header.
    cut, frame_bad : In(1)
        The frame of the last datagram was short, or damaged; 1 and 2 cycles after its end.
    tick : In(1), gap_wait : In(16), line_timeout : In(24)
        A microsecond has passed; for how many of them what one line missed is waited for, and
        after how many a silent line is dead.
    recovery_wait : In(24), give_up : In(1)
        For how many of them nothing may come of what both missed; it is not asked for any more.
    restart : In(1), start_sequence : In(64)
        Forgets the session and expects this sequence number. A datagram on its way is dropped.
    blocks : Out(stream of Blocks)
    expected : Out(64)
        The sequence number due next.
    gap : Out(1), gap_sequence : Out(32)
        What was built from earlier messages is not whole from the message with this sequence
        number on, the first of the datagram (or what was due, if its header is not complete).
    first_sequence : Out(32)
        Sequence number of the last datagram.
    known, ended, waiting : Out(1), alive : Out(len(LINES))
        A session is known; its end was told; what one line missed is waited for; lines alive.
    recovering : Out(1), due_session : Out
        What is due is to be asked for; it is of this session.
    (others) : Out
        Counter strobes and amounts, see `COUNTERS` and `AMOUNTS`: of each line, datagrams with
        something new that it was the first to bring (`won_`), waits that it ended with what was due
        (`filled_`), and how often it was dead (`lost_`).
    """

    LATENCY = 0
    GAP_LATENCY = 2
    FAULT_LATENCY = _SequenceCheck.HAD_LATENCY + 1
    COUNTERS = (*_SequenceCheck.COUNTERS, "bad_datagrams", "bad_blocks")
    STATE = _SequenceCheck.STATE

    def __init__(self, *, width: int) -> None:
        require_width(width)
        self._width = width
        super().__init__(
            {
                "payload": In(stream.Signature(Span(width), always_ready=True)),
                "line": In(range(len(SOURCES))),
                "cut": In(1),
                "frame_bad": In(1),
                "tick": In(1),
                "gap_wait": In(GAP_WAIT_BITS),
                "line_timeout": In(LINE_TIMEOUT_BITS),
                "recovery_wait": In(RECOVERY_WAIT_BITS),
                "give_up": In(1),
                "restart": In(1),
                "start_sequence": In(64),
                "blocks": Out(stream.Signature(Blocks(width), always_ready=True)),
                "expected": Out(64),
                "gap": Out(1),
                "gap_sequence": Out(32),
                "first_sequence": Out(32),
                **self.STATE,
                **{name: Out(AMOUNTS.get(name, 1)) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.header = header = _HeaderFields(width=self._width)
        m.submodules.walker = walker = _Walker(width=self._width)
        m.submodules.check = check = _SequenceCheck()
        span = self.payload.payload
        m.d.comb += [header.payload.valid.eq(self.payload.valid), header.payload.payload.eq(span)]
        pipe(m, wiring.flipped(self.payload), walker.payload)
        m.d.comb += [
            check.carries.eq(
                (header.count_now != HEARTBEAT) & (header.count_now != END_OF_SESSION)
            ),
            walker.messages.eq(header.count_now),
            walker.carries.eq(check.carries),
            walker.drop.eq(check.drop),
            walker.forget.eq(self.restart),
            check.header_ends.eq(walker.header_ends),
            check.sequence_now.eq(header.sequence_now),
            check.session.eq(header.session),
            check.first.eq(header.sequence),
            check.count.eq(header.count),
            check.message_ends.eq(walker.blocks.valid & walker.blocks.payload.ends),
            self.blocks.valid.eq(walker.blocks.valid),
            self.blocks.payload.eq(walker.blocks.payload),
            self.blocks.payload.due.eq(check.due),
            self.blocks.payload.sequence.eq(check.sequence),
            self.expected.eq(check.expected),
            self.first_sequence.eq(header.sequence),
        ]
        # A cycle late, which is long before the header ends.
        m.d.sync += check.begins.eq(self.payload.valid & span.first)
        for name in (
            *("line", "tick", "gap_wait", "line_timeout", "recovery_wait", "give_up"),
            *("restart", "start_sequence"),
        ):
            m.d.comb += getattr(check, name).eq(getattr(self, name))
        for name in (*check.COUNTERS, *check.STATE):
            if name != "recovering":
                m.d.comb += getattr(self, name).eq(getattr(check, name))
        self._report(m, header=header, walker=walker, check=check)
        return m

    def _report(self, m: Module, *, header, walker, check) -> None:
        complete = Signal()
        with m.If(self.payload.valid & self.payload.payload.first):
            m.d.sync += complete.eq(0)
        with m.If(walker.header_ends):
            m.d.sync += complete.eq(1)
        # Whether the datagram is looked into, or may be anything, is known no earlier; nor is what
        # there is to revert.
        bad_end = self._later(m, walker.bad_end)
        short_block = self._later(m, walker.short_block)
        damaged = self._later(m, self.cut | self.frame_bad)
        m.d.comb += check.revert.eq(self._later(m, self.frame_bad))
        bad_datagram = walker.short_header | (bad_end & ~check.ignored)
        bad_block = short_block & ~check.ignored
        later, expired, expected = Signal(), Signal(), Signal(32)
        m.d.sync += [
            self.bad_datagrams.eq(bad_datagram),
            self.bad_blocks.eq(bad_block),
            later.eq(bad_datagram | bad_block | (damaged & ~(complete & check.ignored))),
            expired.eq(check.expired),
            expected.eq(check.expected),
        ]
        # Until the gap that a recovery ends in is told, it has not ended.
        m.d.comb += self.recovering.eq(check.recovering | check.expired | expired)
        in_datagram = complete & ~expired
        # What was read out of an FCS must not be believed: this gap comes at once, and once more.
        cut = self.cut & ~(complete & check.ignored)
        m.d.comb += [
            self.gap.eq(check.gap | cut | later | expired),
            self.gap_sequence.eq(Mux(in_datagram, header.sequence, expected)),
        ]

    def _later(self, m: Module, strobe) -> Signal:
        delayed = Signal(_SequenceCheck.HAD_LATENCY - 1)
        m.d.sync += delayed.eq(Cat(strobe, delayed))
        return delayed[-1]
