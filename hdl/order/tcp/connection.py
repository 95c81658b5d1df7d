"""The connection: its state, its sequence numbers, and what they demand to be sent.

Ref: RFC 9293, sections 3.5 to 3.10; RFC 5961 (blind attacks); RFC 5681, section 3.2, and RFC 6582
(loss told by duplicate acknowledgements, recovery from more than one); RFC 6298 (retransmission).
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.tcp.acceptance import Acceptance, Numbers
from tickgate.hdl.order.tcp.patience import Patience
from tickgate.hdl.order.tcp.timer import RetransmissionTimer
from tickgate.hdl.order.tcp.types import Outcome, Segment, State, Timing, Wants
from tickgate.spec.ethernet import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN

__all__ = ["DEFAULT_MSS", "LEAST_MSS", "Connection", "Reset"]

DEFAULT_MSS = 536
"""Of a peer that says nothing."""

LEAST_MSS = 64
"""Whatever a peer says."""

DUPLICATES = 3
"""Duplicate acknowledgements that tell of a loss."""

SETTLING = Acceptance.LATENCY + 1
"""Cycles for which a comparison may still rest on what was before."""


class Reset(data.Struct):
    """Of an RST: its numbers, and its flags."""

    sequence: 32
    acknowledgement: 32
    flags: 8


class Connection(wiring.Component):
    """Follows one connection from SYN to the end, as the side that opens it.

    Latency: `take` is combinational with `arrives`; a segment counts for all else in the cycle
    after it. Throughput: a segment every SPACING cycles.

    A segment is taken if it begins with the octet that is due; what it has beyond that which was
    received before is not cut out of it. All else that brings octets is dropped, and answered with
    an acknowledgement of what is due. RST counts if it has the number that is due; RST and SYN
    elsewhere in the window, and acknowledgements of what was never sent, are answered with a
    challenge. A SYN without ACK is ignored when one was sent (no simultaneous open). There is no
    congestion window: what may be on its way is bounded by the peer's window and the ring.

    Parameters
    ----------
    window : int
        Octets of the receive window, always the same.
    ring_size : int
        Octets that may be sent and not acknowledged.
    longest_segment : int
        Most octets of payload in a segment that is sent again.
    largest_order : int
        Octets for which there must be room before an order may go.
    packet_size : int
        Most octets that the host hands in at once.

    Members
    -------
    connect, close, abort : In(1)
        Open, if closed; send FIN when all is sent; send RST and forget it.
    isn : In(32)
        Of a connection that opens; see RFC 9293, section 3.4.1.
    tick : In(1), timing : In(Timing)
    arrives : In(1), segment : In(Segment)
        As `Receive` gives them.
    spoiled : In(1)
        The payload of this segment cannot be taken now.
    take : Out(1)
        It is taken.
    mss_read : In(1), mss_found : In(1), mss : In(16)
        What options said, some time after the segment with SYN.
    options : Out(1)
        Read the options of this segment.
    order : In(1), order_size : In(range(largest_order + 1))
        An order leaves, with so many octets.
    picked : In(Wants), packet_length : In(range(packet_size + 1))
        What is sent now, one of `wants`. Together with none of the others, not with `order`.
    packet_waits : In(1), packet_divided : In(1)
        There is something of the host; more of a packet must come before FIN.
    wants : Out(Wants)
        `packet` only if there is room.
    reset : Out(Reset)
    numbers : Out(Numbers), peer_mss : Out(16), fin_sent : Out(1)
    room : Out(1)
        Established and not closing, with room for an order of `largest_order` octets.
    state : Out(State), outcome : Out(Outcome)
    duplicates, out_of_order, resets, challenges, retransmissions, timeouts, stray : Out(1)
        Counter strobes: payload that was there before, payload ahead of what is due or that could
        not be taken, RST that counted, challenges, what was sent again (by timer or by duplicate
        acknowledgements), expiries, segments while there is no connection.
    """

    SPACING = SETTLING + 1
    COUNTERS = (
        "duplicates",
        "out_of_order",
        "resets",
        "challenges",
        "retransmissions",
        "timeouts",
        "stray",
    )

    def __init__(
        self,
        *,
        window: int,
        ring_size: int,
        longest_segment: int,
        largest_order: int,
        packet_size: int,
    ) -> None:
        if not LEAST_MSS <= longest_segment <= ring_size:
            raise ValueError(
                f"longest_segment must be {LEAST_MSS} to {ring_size} octets, not {longest_segment}"
            )
        if not 0 < largest_order <= ring_size or not 0 < packet_size <= ring_size:
            raise ValueError("an order and a packet must find room in the ring")
        self._window, self._ring_size = window, ring_size
        self._longest_segment, self._largest_order = longest_segment, largest_order
        self._largest_sent = max(largest_order, packet_size)
        super().__init__(
            {
                "connect": In(1),
                "close": In(1),
                "abort": In(1),
                "isn": In(32),
                "tick": In(1),
                "timing": In(Timing),
                "arrives": In(1),
                "segment": In(Segment),
                "spoiled": In(1),
                "take": Out(1),
                "mss_read": In(1),
                "mss_found": In(1),
                "mss": In(16),
                "options": Out(1),
                "order": In(1),
                "order_size": In(range(largest_order + 1)),
                "picked": In(Wants),
                "packet_length": In(range(packet_size + 1)),
                "packet_waits": In(1),
                "packet_divided": In(1),
                "wants": Out(Wants),
                "reset": Out(Reset),
                "numbers": Out(Numbers),
                "peer_mss": Out(16),
                "fin_sent": Out(1),
                "room": Out(1),
                "state": Out(State),
                "outcome": Out(Outcome),
                **{name: Out(1) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.acceptance = acceptance = Acceptance(window=self._window)
        m.submodules.timer = self._timer = RetransmissionTimer()
        m.submodules.patience = self._patience = Patience()
        self._relation = acceptance.relation
        m.d.comb += [acceptance.segment.eq(self.segment), acceptance.numbers.eq(self.numbers)]
        self._declare(m)
        self._watch(m)
        self._send(m)
        self._grow_old(m)
        self._arrive(m)
        self._give_up(m)
        self._command(m)
        return m

    def _declare(self, m: Module) -> None:
        self._snd_window = Signal(16)
        self._flight = Signal(32)
        self._is = {state: Signal(name=f"is_{state.name.lower()}") for state in State}
        for state, here in self._is.items():
            m.d.comb += here.eq(self.state == state)
        self._synchronized = Signal()
        self._closing, self._want = Signal(), Signal(Wants)
        self._delayed, self._duplicates = Signal(), Signal(range(DUPLICATES + 1))
        self._recovering, self._retries = Signal(), Signal(8)
        self._timed, self._elapsed = Signal(), Signal(16)
        self._opening = Signal(range(SETTLING + 1))
        self._awaits_mss = Signal()
        closed = [self._is[each] for each in (State.CLOSED, State.OPENING, State.SYN_SENT)]
        m.d.comb += self._synchronized.eq(~Cat(closed).any())

    def _among(self, *states: State):
        return Cat(self._is[state] for state in states).any()

    def _watch(self, m: Module) -> None:
        """What follows from the numbers, a few cycles behind them."""
        numbers, want = self.numbers, self._want
        # While a comparison may not know of what was just sent, not all is acknowledged.
        recent, grows, offered = Signal(SETTLING), Signal(), Signal()
        m.d.comb += grows.eq(self.order | self.picked.packet | self.picked.fin)
        m.d.sync += [
            offered.eq(self.packet_waits),
            self._flight.eq(numbers.nxt - numbers.una),
            recent.eq(recent << 1 | grows),
        ]
        unseen = Cat(grows, recent[: Acceptance.LATENCY]).any()
        self._all_acked = self._relation.ack_all & ~unseen
        timed_since = Signal(SETTLING)
        m.d.sync += timed_since.eq((timed_since << 1 | self._timed) & self._timed.replicate(3))
        self._measures = self._timed & timed_since.all() & self._relation.ack_timed

        limit = Signal(17)
        m.d.comb += limit.eq(
            Mux(self._snd_window > self._ring_size, self._ring_size, self._snd_window)
        )
        order_fits, packet_fits = Signal(), Signal()
        m.d.sync += [
            order_fits.eq(self._flight + self._largest_order <= limit),
            packet_fits.eq(self._flight + self.packet_length <= limit),
            self.room.eq(
                self._is[State.ESTABLISHED]
                & ~self._closing
                & order_fits
                & ~recent.any()
                & ~self.order
            ),
        ]
        open_ = self._among(State.ESTABLISHED, State.CLOSE_WAIT)
        # The length of a packet that has just come is not compared yet.
        waits = self.packet_waits & offered
        m.d.comb += [
            self.wants.eq(want),
            self.wants.packet.eq(open_ & waits & packet_fits & ~recent.any()),
            self.wants.fin.eq(
                open_ & self._closing & ~self.packet_waits & ~self.packet_divided & ~self.fin_sent
            ),
            self._patience.blocked.eq(
                open_ & (self._flight == 0) & (self._snd_window < self._largest_sent)
            ),
        ]

    def _send(self, m: Module) -> None:
        """What leaves changes what is to be sent."""
        numbers, want, picked, timer = self.numbers, self._want, self.picked, self._timer
        size = Mux(self.order, self.order_size, Mux(picked.fin, 1, self.packet_length))
        after = Signal(32)
        m.d.comb += after.eq(numbers.nxt + size)
        with m.If(self.order | picked.packet | picked.fin):
            m.d.sync += numbers.nxt.eq(after)
            m.d.comb += timer.start.eq(1)
            with m.If(~self._timed):
                m.d.sync += [self._timed.eq(1), self._elapsed.eq(0), numbers.timed.eq(after)]
        with m.If(picked.syn):
            m.d.comb += timer.start.eq(1)
            m.d.sync += want.syn.eq(0)
            with m.If(self._retries == 0):
                m.d.sync += [self._timed.eq(1), self._elapsed.eq(0), numbers.timed.eq(numbers.nxt)]
        with m.If(picked.retransmission):
            m.d.sync += [want.retransmission.eq(0), self._timed.eq(0)]
            m.d.comb += self.retransmissions.eq(1)
        with m.If(picked.fin):
            m.d.sync += self.fin_sent.eq(1)
            with m.If(self._is[State.ESTABLISHED]):
                m.d.sync += self.state.eq(State.FIN_WAIT_1)
            with m.Else():
                m.d.sync += self.state.eq(State.LAST_ACK)
        for name in ("reset", "probe"):
            with m.If(picked[name]):
                m.d.sync += want[name].eq(0)
        # Whatever leaves acknowledges what has come; but an order may have been made before that.
        with m.If(picked.retransmission | picked.packet | picked.fin | picked.ack):
            m.d.sync += [self._delayed.eq(0), want.ack.eq(0)]
        with m.If(self.order):
            m.d.sync += self._delayed.eq(0)

    def _grow_old(self, m: Module) -> None:
        """What a tick brings."""
        want, timer, patience = self._want, self._timer, self._patience
        timing = self.timing
        m.d.comb += [
            timer.tick.eq(self.tick),
            timer.initial.eq(timing.rto_initial),
            timer.minimum.eq(timing.rto_min),
            timer.maximum.eq(timing.rto_max),
            timer.measurement.eq(self._elapsed),
            patience.tick.eq(self.tick),
            patience.timing.eq(timing),
            patience.heard.eq(self.arrives & self._synchronized),
            patience.alive.eq(self._among(State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_2)),
            patience.idle.eq(self._flight == 0),
            patience.timeout.eq(timer.timeout),
            patience.lingering.eq(self._among(State.TIME_WAIT, State.FIN_WAIT_2)),
            patience.delayed.eq(self._delayed),
            self.timeouts.eq(timer.expired),
        ]
        with m.If(self.tick & self._timed & ~self._elapsed.all()):
            m.d.sync += self._elapsed.eq(self._elapsed + 1)
        with m.If(patience.acknowledge):
            m.d.sync += [want.ack.eq(1), self._delayed.eq(0)]
        with m.If(patience.probe):
            m.d.sync += want.probe.eq(1)
        with m.If(timer.expired):
            m.d.sync += [self._retries.eq(self._retries + 1), self._timed.eq(0)]
            with m.If(self._is[State.SYN_SENT]):
                m.d.sync += want.syn.eq(1)
            with m.Else():
                m.d.sync += [
                    want.retransmission.eq(1),
                    self._recovering.eq(1),
                    self.numbers.recover.eq(self.numbers.nxt),
                    self._duplicates.eq(0),
                ]

    def _give_up(self, m: Module) -> None:
        """What a tick ends, whatever else comes in this cycle."""
        timer, patience = self._timer, self._patience
        with m.If(self._is[State.CLOSED]):
            # An order may leave on a connection that has just ended; it is not sent again.
            m.d.comb += timer.stop.eq(1)
        with m.If(patience.ends):
            self._end(m, Mux(self._is[State.TIME_WAIT], Outcome.FINISHED, Outcome.TIMED_OUT))
        with m.If(patience.lost | (timer.expired & (self._retries >= self.timing.retries))):
            self._end(m, Outcome.TIMED_OUT)
            with m.If(~self._is[State.SYN_SENT]):
                self._send_reset(m)

    def _arrive(self, m: Module) -> None:
        """What a segment brings."""
        flags, relation = self.segment.flags, self._relation
        ack, rst = (flags & TCP_ACK).any(), (flags & TCP_RST).any()
        syn, state = (flags & TCP_SYN).any(), self._is
        brings = self.segment.length.any()
        late = ~relation.acceptable & ~rst
        known = relation.ack_new | relation.ack_same | relation.ack_old
        with m.If(self.arrives & state[State.CLOSED]):
            m.d.comb += self.stray.eq(1)
            self._answer_with_reset(m, ack=ack, rst=rst)
        with m.If(self.arrives & state[State.SYN_SENT]):
            self._open(m, ack=ack, rst=rst, syn=syn)
        with m.If(self.arrives & self._synchronized):
            with m.If(rst):
                with m.If(relation.due & ~state[State.TIME_WAIT]):
                    m.d.comb += self.resets.eq(1)
                    self._end(m, Outcome.RESET)
                with m.Elif(relation.acceptable & ~state[State.TIME_WAIT]):
                    self._challenge(m)
            with m.Elif(syn):
                self._challenge(m)
            with m.Elif(late):
                m.d.comb += self.duplicates.eq(brings)
                m.d.sync += self._want.ack.eq(1)
                with m.If(state[State.TIME_WAIT]):
                    m.d.comb += self._patience.linger.eq(1)
            with m.Elif(ack):
                with m.If(known):
                    self._receive(m, brings=brings)
                with m.Else():
                    self._challenge(m)

    def _answer_with_reset(self, m: Module, *, ack, rst) -> None:
        segment = self.segment
        counted = (segment.flags & TCP_SYN).any() + (segment.flags & TCP_FIN).any()
        with m.If(~rst):
            m.d.sync += [
                self._want.reset.eq(1),
                self.reset.sequence.eq(Mux(ack, segment.acknowledgement, 0)),
                self.reset.acknowledgement.eq(
                    Mux(ack, 0, (segment.sequence + segment.length + counted)[:32])
                ),
                self.reset.flags.eq(Mux(ack, TCP_RST, TCP_RST | TCP_ACK)),
            ]

    def _open(self, m: Module, *, ack, rst, syn) -> None:
        numbers, relation, segment = self.numbers, self._relation, self.segment
        acked = ack & relation.ack_new
        with m.If(ack & ~relation.ack_new):
            self._answer_with_reset(m, ack=ack, rst=rst)
        with m.Elif(rst):
            with m.If(acked):
                m.d.comb += self.resets.eq(1)
                self._end(m, Outcome.REFUSED)
        with m.Elif(syn & acked):
            m.d.comb += [
                self.options.eq(1),
                self._timer.stop.eq(1),
                self._timer.measured.eq(self._measures),
            ]
            m.d.sync += [
                self.state.eq(State.ESTABLISHED),
                self._want.syn.eq(0),
                self._want.ack.eq(1),
                self._retries.eq(0),
                self._timed.eq(0),
                self._awaits_mss.eq(1),
                numbers.received.eq(segment.sequence + 1),
                numbers.una.eq(segment.acknowledgement),
                self._snd_window.eq(segment.window),
                numbers.max_window.eq(segment.window),
                numbers.wl1.eq(segment.sequence),
                numbers.wl2.eq(segment.acknowledgement),
            ]

    def _challenge(self, m: Module) -> None:
        with m.If(self._patience.may_challenge):
            m.d.comb += [self.challenges.eq(1), self._patience.challenge.eq(1)]
            m.d.sync += self._want.ack.eq(1)

    def _receive(self, m: Module, *, brings) -> None:
        """An acceptable segment in a synchronized state, its acknowledgement not out of place."""
        fin_acked = self._take_acknowledgement(m, brings=brings)
        numbers, relation, segment, timing = (
            self.numbers,
            self._relation,
            self.segment,
            self.timing,
        )
        fin = (segment.flags & TCP_FIN).any()
        receives = self._among(State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2)
        due = receives & relation.due & ~(brings & self.spoiled)
        ended = Signal()
        m.d.comb += [self.take.eq(due & brings), ended.eq(due & fin)]
        with m.If(due):
            m.d.sync += numbers.received.eq(segment.sequence + segment.length + fin)
        with m.Elif(brings):
            m.d.comb += self.out_of_order.eq(1)
        with m.If(fin | (brings & (~due | self._delayed | (timing.ack_delay == 0)))):
            m.d.sync += [self._want.ack.eq(1), self._delayed.eq(0)]
        with m.Elif(brings):
            m.d.sync += self._delayed.eq(1)
            m.d.comb += self._patience.delay.eq(1)
        with m.Switch(self.state):
            with m.Case(State.ESTABLISHED):
                with m.If(ended):
                    m.d.sync += [self.state.eq(State.CLOSE_WAIT), self._closing.eq(1)]
                    # A FIN of our own may be on its way to be picked in this very cycle.
                    with m.If(self.picked.fin):
                        m.d.sync += self.state.eq(State.CLOSING)
            with m.Case(State.FIN_WAIT_1):
                with m.If(ended & fin_acked):
                    self._wait_for_time(m)
                with m.Elif(ended):
                    m.d.sync += self.state.eq(State.CLOSING)
                with m.Elif(fin_acked):
                    m.d.sync += self.state.eq(State.FIN_WAIT_2)
                    m.d.comb += self._patience.linger.eq(1)
            with m.Case(State.FIN_WAIT_2):
                with m.If(ended):
                    self._wait_for_time(m)
            with m.Case(State.CLOSING):
                with m.If(fin_acked):
                    self._wait_for_time(m)
            with m.Case(State.LAST_ACK):
                with m.If(fin_acked):
                    self._end(m, Outcome.FINISHED)

    def _take_acknowledgement(self, m: Module, *, brings):
        """Returns whether our FIN is acknowledged by this segment."""
        numbers, relation, segment, timer = (
            self.numbers,
            self._relation,
            self.segment,
            self._timer,
        )
        same_window = segment.window == self._snd_window
        bare = ~brings & ~(segment.flags & TCP_FIN).any()
        with m.If(self._snd_window == 0):
            m.d.sync += self._retries.eq(0)
        with m.If(relation.ack_new):
            m.d.sync += [
                numbers.una.eq(segment.acknowledgement),
                self._retries.eq(0),
                self._duplicates.eq(0),
            ]
            m.d.comb += [
                timer.stop.eq(self._all_acked),
                timer.restart.eq(~self._all_acked),
                timer.measured.eq(self._measures),
            ]
            with m.If(self._measures):
                m.d.sync += self._timed.eq(0)
            with m.If(self._all_acked | relation.ack_recover):
                m.d.sync += self._recovering.eq(0)
            with m.If(self._all_acked):
                m.d.sync += self._want.retransmission.eq(0)
            with m.Elif(self._recovering & ~relation.ack_recover):
                m.d.sync += self._want.retransmission.eq(1)
        with m.Elif(relation.ack_same & self._flight.any() & bare & same_window):
            with m.If(self._duplicates != DUPLICATES):
                m.d.sync += self._duplicates.eq(self._duplicates + 1)
            with m.If((self._duplicates == DUPLICATES - 1) & ~self._recovering):
                m.d.sync += [
                    self._want.retransmission.eq(1),
                    self._recovering.eq(1),
                    numbers.recover.eq(numbers.nxt),
                ]
        with m.If(~relation.ack_old & relation.newer):
            m.d.sync += [
                self._snd_window.eq(segment.window),
                numbers.wl1.eq(segment.sequence),
                numbers.wl2.eq(segment.acknowledgement),
            ]
            with m.If(segment.window > numbers.max_window):
                m.d.sync += numbers.max_window.eq(segment.window)
        return relation.ack_new & self._all_acked & self.fin_sent

    def _wait_for_time(self, m: Module) -> None:
        m.d.sync += self.state.eq(State.TIME_WAIT)
        m.d.comb += self._patience.linger.eq(1)

    def _end(self, m: Module, outcome) -> None:
        m.d.sync += [
            self.state.eq(State.CLOSED),
            self.outcome.eq(outcome),
            self._want.eq(0),
            self._delayed.eq(0),
        ]
        m.d.comb += self._timer.stop.eq(1)

    def _send_reset(self, m: Module) -> None:
        m.d.sync += [
            self._want.reset.eq(1),
            self.reset.sequence.eq(self.numbers.nxt),
            self.reset.acknowledgement.eq(self.numbers.received),
            self.reset.flags.eq(TCP_RST | TCP_ACK),
        ]

    def _command(self, m: Module) -> None:
        numbers = self.numbers
        with m.If(self._is[State.OPENING]):
            m.d.sync += self._opening.eq(self._opening + 1)
            with m.If(self._opening == SETTLING):
                m.d.sync += [self.state.eq(State.SYN_SENT), self._want.syn.eq(1)]
        with m.If(self.mss_read & self._awaits_mss):
            m.d.sync += self._awaits_mss.eq(0)
            with m.If(self.mss_found):
                m.d.sync += self.peer_mss.eq(self.mss)
                with m.If(self.mss < LEAST_MSS):
                    m.d.sync += self.peer_mss.eq(LEAST_MSS)
                with m.Elif(self.mss > self._longest_segment):
                    m.d.sync += self.peer_mss.eq(self._longest_segment)
        with m.If(self.close):
            with m.If(self._among(State.OPENING, State.SYN_SENT)):
                self._end(m, Outcome.ABORTED)
            with m.Elif(self._is[State.ESTABLISHED]):
                m.d.sync += self._closing.eq(1)
        with m.If(self.abort & ~self._is[State.CLOSED]):
            self._end(m, Outcome.ABORTED)
            with m.If(
                self._among(State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSE_WAIT)
            ):
                self._send_reset(m)
        with m.If(self.connect & self._is[State.CLOSED]):
            m.d.comb += self._timer.reset.eq(1)
            m.d.sync += [
                self.state.eq(State.OPENING),
                self.outcome.eq(Outcome.NONE),
                self._opening.eq(0),
                self._want.eq(0),
                self._closing.eq(0),
                self.fin_sent.eq(0),
                self._retries.eq(0),
                self._duplicates.eq(0),
                self._recovering.eq(0),
                self._timed.eq(0),
                self._awaits_mss.eq(0),
                self.peer_mss.eq(min(DEFAULT_MSS, self._longest_segment)),
                numbers.una.eq(self.isn),
                numbers.nxt.eq(self.isn + 1),
            ]
