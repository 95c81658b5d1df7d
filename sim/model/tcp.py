"""A TCP client with one connection, as a plain program on whole segments.

Ref: RFC 9293, sections 3.4 to 3.10; RFC 5961; RFC 5681, section 3.2; RFC 6582; RFC 6298 with the
integers of V. Jacobson, "Congestion Avoidance and Control" (1988), appendix A.

Where the standards leave a choice: a segment counts whole or not at all; what is out of order is
dropped; a SYN without ACK does not open; there is no congestion window.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from tickgate.sim.model.segments import Segment
from tickgate.spec.ethernet import TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN

__all__ = ["Outcome", "Settings", "State", "TcpClient", "Timing"]

MODULUS = 1 << 32
DEFAULT_MSS = 536
LEAST_MSS = 64
DUPLICATES = 3
LONGEST_TIME = 0xFFFF


class State(enum.Enum):
    """RFC 9293, section 3.3.2."""

    CLOSED = enum.auto()
    SYN_SENT = enum.auto()
    ESTABLISHED = enum.auto()
    FIN_WAIT_1 = enum.auto()
    FIN_WAIT_2 = enum.auto()
    CLOSING = enum.auto()
    TIME_WAIT = enum.auto()
    CLOSE_WAIT = enum.auto()
    LAST_ACK = enum.auto()


class Outcome(enum.Enum):
    """Why there is no connection."""

    NONE = enum.auto()
    FINISHED = enum.auto()
    ABORTED = enum.auto()
    REFUSED = enum.auto()
    RESET = enum.auto()
    TIMED_OUT = enum.auto()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes, all in octets."""

    window: int
    mss: int
    ring_size: int
    longest_segment: int
    largest_order: int
    packet_size: int


@dataclass(kw_only=True)
class Timing:
    """Times in ticks; see the fields of the same names in the card."""

    rto_initial: int = 10
    rto_min: int = 2
    rto_max: int = 64
    retries: int = 5
    ack_delay: int = 0
    keepalive_idle: int = 0
    keepalive_interval: int = 5
    keepalive_probes: int = 3
    linger: int = 8
    challenge_interval: int = 0


def _ahead(a: int, b: int) -> int:
    """How far `a` is ahead of `b` in the sequence space; negative if it is behind."""
    distance = (a - b) % MODULUS
    return distance - MODULUS if distance >= MODULUS // 2 else distance


class _RoundTrip:
    """The retransmission timeout and what it is learnt from."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._eighths: int | None = None
        self._quarters = 0
        self.timeout = timing.rto_initial

    def measure(self, ticks: int) -> None:
        if self._eighths is None:
            self._eighths, self._quarters = 8 * ticks, 2 * ticks
        else:
            error = ticks - self._eighths // 8
            self._eighths += error
            self._quarters += abs(error) - self._quarters // 4
        wanted = self._eighths // 8 + max(1, self._quarters)
        self.timeout = min(max(wanted, self._timing.rto_min), self._timing.rto_max)

    def back_off(self) -> None:
        self.timeout = min(2 * self.timeout, self._timing.rto_max)


@dataclass
class TcpClient:
    """One connection. Each method returns the segments that the client then sends, orders apart.

    `delivered` collects what the peer sent, in order; `counters` what the card counts.
    """

    settings: Settings
    timing: Timing
    state: State = State.CLOSED
    outcome: Outcome = Outcome.NONE
    delivered: bytearray = field(default_factory=bytearray)
    counters: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            (
                "duplicates",
                "out_of_order",
                "resets",
                "challenges",
                "retransmissions",
                "timeouts",
                "stray",
            ),
            0,
        )
    )

    def __post_init__(self) -> None:
        self.rcv_nxt = 0
        self._probe: Segment | None = None  # the last one
        self.staged_anew = False  # a packet that waited for another one is now the next
        self._wants: set[str] = set()
        self._host: list[tuple[bytes, bool]] = []
        self._cancels: list[bytes] = []
        self._challenge_wait = 0
        self._begin(0)

    def _begin(self, isn: int) -> None:
        self.snd_una, self.snd_nxt = isn, (isn + 1) % MODULUS
        self._in_flight = bytearray()
        self._snd_wnd = self._max_wnd = self._wl1 = self._wl2 = 0
        self.mss = min(DEFAULT_MSS, self.settings.longest_segment)
        self._closing = self._fin_sent = self._divided = False
        self._wants.clear()
        self._host.clear()
        self._cancels.clear()
        self._duplicates, self._recover = 0, None
        self._retries, self._round_trip = 0, _RoundTrip(self.timing)
        self._rto_left: int | None = None
        self._timed: tuple[int, int] | None = None  # number that ends it, ticks
        self._delayed: int | None = None
        self._linger = 0
        self._quiet = self._probes = 0
        self._blocked_for, self._patience, self._unanswered = 0, 0, 0

    # What the card shows.

    @property
    def flight(self) -> int:
        """Numbers that were sent and not acknowledged."""
        return (self.snd_nxt - self.snd_una) % MODULUS

    @property
    def may_order(self) -> bool:
        """Whether an order may go out now."""
        return (
            self.state is State.ESTABLISHED
            and not self._closing
            and not self._divided
            and self._fits(self.settings.largest_order)
        )

    def _fits(self, octets: int) -> bool:
        return self.flight + octets <= min(self._snd_wnd, self.settings.ring_size)

    # What happens.

    def connect(self, isn: int) -> list[Segment]:
        """The command to open."""
        if self.state is State.CLOSED:
            self._begin(isn)
            self.state, self.outcome = State.SYN_SENT, Outcome.NONE
            self._wants.add("syn")
        return self._send()

    def close(self) -> list[Segment]:
        """The command to close."""
        if self.state is State.SYN_SENT:
            self._end(Outcome.ABORTED)
        elif self.state is State.ESTABLISHED:
            self._closing = True
        return self._send()

    def abort(self) -> list[Segment]:
        """The command to break off."""
        if self.state is not State.CLOSED:
            tells = self.state in (
                State.ESTABLISHED,
                State.FIN_WAIT_1,
                State.FIN_WAIT_2,
                State.CLOSE_WAIT,
            )
            self._end(Outcome.ABORTED)
            if tells:
                self._reset()
        return self._send()

    def order(self, payload: bytes) -> Segment:
        """An order leaves; the segment that it is."""
        segment = self._make(payload=payload, flags=TCP_ACK | TCP_PSH)
        self._advance(payload)
        self._blocked_for = self._unanswered = self._patience = 0
        return segment

    def host(self, packet: bytes) -> list[Segment]:
        """The host hands in a packet."""
        self._hand_in(packet)
        return self._send()

    def cancels(self, packets: bytes) -> list[Segment]:
        """Whole packets that go before those of the host, all in one segment."""
        if self.state is not State.CLOSED:
            self._cancels.append(packets)
        return self._send()

    @property
    def waiting(self) -> int:
        """Pieces of packets that wait to be sent."""
        return len(self._host)

    @property
    def cancels_waiting(self) -> int:
        """How many times cancels wait to be sent."""
        return len(self._cancels)

    def _hand_in(self, packet: bytes) -> None:
        if self.state is not State.CLOSED:
            size = self.settings.packet_size
            pieces = [packet[at : at + size] for at in range(0, len(packet), size)]
            self._host += [(piece, n == len(pieces) - 1) for n, piece in enumerate(pieces)]

    def tick(self, packets: Iterable[bytes] = ()) -> list[Segment]:
        """The clock ticks, and these packets are then handed in."""
        if self._timed:
            self._timed = (self._timed[0], min(self._timed[1] + 1, LONGEST_TIME))
        if self._challenge_wait:
            self._challenge_wait -= 1
        if self._delayed is not None:
            self._delayed -= 1
            if self._delayed <= 0:
                self._delayed = None
                self._wants.add("ack")
        lost = self._keep_alive()
        lost = self._persist() or lost
        if self._rto_left is not None:
            self._rto_left -= 1
            if self._rto_left <= 0:
                lost = self._time_out() or lost
        if self.state in (State.TIME_WAIT, State.FIN_WAIT_2):
            self._linger -= 1
            if self._linger <= 0:
                finished = self.state is State.TIME_WAIT
                self._end(Outcome.FINISHED if finished else Outcome.TIMED_OUT)
        if lost:
            tells = self.state is not State.SYN_SENT
            self._end(Outcome.TIMED_OUT)
            if tells:
                self._reset()
        for packet in packets:
            self._hand_in(packet)
        return self._send()

    def segment(self, segment: Segment) -> list[Segment]:
        """A sound segment of the peer arrives."""
        if self.state is State.CLOSED:
            self.counters["stray"] += 1
            self._refuse(segment)
        elif self.state is State.SYN_SENT:
            self._answer_to_syn(segment)
        else:
            self._quiet = self._probes = self._unanswered = 0
            self._arrive(segment)
        return self._send()

    # RFC 9293, section 3.10.7.

    def _refuse(self, segment: Segment) -> None:
        if segment.flags & TCP_RST:
            return
        self._wants.add("reset")
        if segment.flags & TCP_ACK:
            self._rst = Segment(sequence=segment.acknowledgement, flags=TCP_RST)
        else:
            end = (segment.sequence + segment.length) % MODULUS
            self._rst = Segment(sequence=0, acknowledgement=end, flags=TCP_RST | TCP_ACK)

    def _answer_to_syn(self, segment: Segment) -> None:
        acked = segment.flags & TCP_ACK
        if acked and segment.acknowledgement != self.snd_nxt:
            self._refuse(segment)
        elif segment.flags & TCP_RST:
            if acked:
                self.counters["resets"] += 1
                self._end(Outcome.REFUSED)
        elif acked and segment.flags & TCP_SYN:
            self.state = State.ESTABLISHED
            self.rcv_nxt = (segment.sequence + 1) % MODULUS
            self.snd_una = segment.acknowledgement
            self._snd_wnd = self._max_wnd = segment.window
            self._wl1, self._wl2 = segment.sequence, segment.acknowledgement
            self._rto_left, self._retries = None, 0
            if self._timed:
                self._round_trip.measure(self._timed[1])
                self._timed = None
            if segment.mss is not None:
                self.mss = min(max(segment.mss, LEAST_MSS), self.settings.longest_segment)
            self._quiet = self._probes = self._unanswered = 0
            self._wants.discard("syn")
            self._wants.add("ack")

    def _acceptable(self, segment: Segment) -> bool:
        def inside(number: int) -> bool:
            return (number - self.rcv_nxt) % MODULUS < self.settings.window

        last = segment.sequence + segment.length - 1
        return inside(segment.sequence) or (segment.length > 0 and inside(last))

    def _arrive(self, segment: Segment) -> None:
        due = segment.sequence == self.rcv_nxt
        if segment.flags & TCP_RST:
            if self.state is State.TIME_WAIT:
                return
            if due:
                self.counters["resets"] += 1
                self._end(Outcome.RESET)
            elif self._acceptable(segment):
                self._challenge()
        elif segment.flags & TCP_SYN:
            self._challenge()
        elif not self._acceptable(segment):
            self.counters["duplicates"] += bool(segment.payload)
            self._wants.add("ack")
            if self.state is State.TIME_WAIT:
                self._linger = self.timing.linger
        elif segment.flags & TCP_ACK:
            ahead = _ahead(segment.acknowledgement, self.snd_una)
            if ahead > self.flight or ahead < -self._max_wnd:
                self._challenge()
            else:
                fin_acked = self._acknowledged(segment, ahead)
                self._take(segment, due=due, fin_acked=fin_acked)

    def _acknowledged(self, segment: Segment, ahead: int) -> bool:
        """Returns whether our FIN is acknowledged by this."""
        if self._snd_wnd == 0:
            self._retries = 0
        if ahead > 0:
            self.snd_una = segment.acknowledgement
            del self._in_flight[:ahead]
            self._retries = self._duplicates = 0
            if self._timed and _ahead(segment.acknowledgement, self._timed[0]) >= 0:
                self._round_trip.measure(self._timed[1])
                self._timed = None
            self._rto_left = self._round_trip.timeout if self.flight else None
            if self._recover is not None:
                if not self.flight or _ahead(segment.acknowledgement, self._recover) >= 0:
                    self._recover = None
                else:
                    self._wants.add("retransmission")
        elif ahead == 0 and self.flight and segment.length == 0 and segment.window == self._snd_wnd:
            self._duplicates += 1
            if self._duplicates == DUPLICATES and self._recover is None:
                self._wants.add("retransmission")
                self._recover = self.snd_nxt
        if ahead >= 0:
            later = _ahead(segment.sequence, self._wl1)
            if later > 0 or (later == 0 and _ahead(segment.acknowledgement, self._wl2) >= 0):
                self._snd_wnd = segment.window
                self._max_wnd = max(self._max_wnd, segment.window)
                self._wl1, self._wl2 = segment.sequence, segment.acknowledgement
        return ahead > 0 and not self.flight and self._fin_sent

    def _take(self, segment: Segment, *, due: bool, fin_acked: bool) -> None:
        receives = self.state in (State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2)
        fin = bool(segment.flags & TCP_FIN)
        if receives and due:
            self.delivered += segment.payload
            self.rcv_nxt = (segment.sequence + len(segment.payload) + fin) % MODULUS
        elif segment.payload:
            self.counters["out_of_order"] += 1
        if fin or (segment.payload and not (receives and due)):
            self._wants.add("ack")
            self._delayed = None
        elif segment.payload:
            if self._delayed is not None or self.timing.ack_delay == 0:
                self._wants.add("ack")
                self._delayed = None
            else:
                self._delayed = self.timing.ack_delay
        self._change(ended=receives and due and fin, fin_acked=fin_acked)

    def _change(self, *, ended: bool, fin_acked: bool) -> None:
        match self.state:
            case State.ESTABLISHED if ended:
                self.state, self._closing = State.CLOSE_WAIT, True
            case State.FIN_WAIT_1 if ended and fin_acked:
                self._wait()
            case State.FIN_WAIT_1 if ended:
                self.state = State.CLOSING
            case State.FIN_WAIT_1 if fin_acked:
                self.state, self._linger = State.FIN_WAIT_2, self.timing.linger
                self._quiet = self._probes = 0
            case State.FIN_WAIT_2 if ended:
                self._wait()
            case State.CLOSING if fin_acked:
                self._wait()
            case State.LAST_ACK if fin_acked:
                self._end(Outcome.FINISHED)

    def _wait(self) -> None:
        self.state, self._linger = State.TIME_WAIT, self.timing.linger

    def _challenge(self) -> None:
        if self._challenge_wait == 0:
            self.counters["challenges"] += 1
            self._challenge_wait = self.timing.challenge_interval
            self._wants.add("ack")

    def _end(self, outcome: Outcome) -> None:
        self.state, self.outcome = State.CLOSED, outcome
        self._wants.clear()
        self._host.clear()
        self._cancels.clear()
        self._rto_left = self._delayed = None
        self._divided = False

    def _reset(self) -> None:
        self._wants.add("reset")
        self._rst = Segment(
            sequence=self.snd_nxt, acknowledgement=self.rcv_nxt, flags=TCP_RST | TCP_ACK
        )

    # Timers.

    def _time_out(self) -> bool:
        """Returns whether it was the last time."""
        self.counters["timeouts"] += 1
        lost = self._retries == self.timing.retries
        self._retries += 1
        self._timed = None
        self._round_trip.back_off()
        self._rto_left = self._round_trip.timeout
        if self.state is State.SYN_SENT:
            self._wants.add("syn")
        else:
            self._wants.add("retransmission")
            self._recover, self._duplicates = self.snd_nxt, 0
        return lost

    def _keep_alive(self) -> bool:
        timing = self.timing
        if self.state not in (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_2):
            self._quiet = self._probes = 0
            return False
        self._quiet = min(self._quiet + 1, LONGEST_TIME)
        patience = timing.keepalive_interval if self._probes else timing.keepalive_idle
        if not timing.keepalive_idle or self.flight or self._quiet < patience:
            return False
        self._quiet = 0
        if self._probes == timing.keepalive_probes:
            return True
        self._probes += 1
        self._wants.add("probe")
        return False

    def _persist(self) -> bool:
        if not self._blocked:
            return False
        if not self._patience:
            self._patience = self._round_trip.timeout
        self._blocked_for += 1
        if self._blocked_for < self._patience:
            return False
        if self._unanswered == self.timing.retries:
            return True
        self._blocked_for = 0
        self._patience = min(2 * self._patience, self.timing.rto_max)
        self._unanswered += 1
        self._wants.add("probe")
        return False

    # What leaves.

    def _make(self, *, sequence: int | None = None, payload: bytes = b"", flags: int) -> Segment:
        return Segment(
            sequence=self.snd_nxt if sequence is None else sequence % MODULUS,
            acknowledgement=self.rcv_nxt,
            flags=flags,
            window=self.settings.window,
            payload=bytes(payload),
        )

    def _advance(self, payload: bytes, *, fin: bool = False) -> None:
        self._in_flight += payload
        self.snd_nxt = (self.snd_nxt + len(payload) + fin) % MODULUS
        if self._timed is None:
            self._timed = (self.snd_nxt, 0)
        if self._rto_left is None:
            self._rto_left = self._round_trip.timeout
        self._delayed = None

    def _send(self) -> list[Segment]:
        segments = []
        while (segment := self._next()) is not None:
            segments.append(segment)
            if (
                segment.flags & TCP_ACK
                and not segment.flags & TCP_RST
                and segment is not self._probe
            ):
                # Whatever leaves acknowledges what has come.
                self._delayed = None
                self._wants.discard("ack")
        if not self._blocked:
            self._blocked_for = self._unanswered = self._patience = 0
        return segments

    @property
    def _blocked(self) -> bool:
        """Nothing is on its way, and there is no room for an order or for a packet of the host."""
        open_ = self.state in (State.ESTABLISHED, State.CLOSE_WAIT)
        sizes = self.settings.largest_order, self.settings.packet_size
        return open_ and not self.flight and self._snd_wnd < max(sizes)

    def _next(self) -> Segment | None:
        open_ = self.state in (State.ESTABLISHED, State.CLOSE_WAIT)
        wants = self._wants
        if "reset" in wants:
            wants.remove("reset")
            window = self.settings.window
            return Segment(
                sequence=self._rst.sequence,
                acknowledgement=self._rst.acknowledgement,
                flags=self._rst.flags,
                window=window,
            )
        if "syn" in wants:
            wants.remove("syn")
            return self._syn()
        if "retransmission" in wants:
            wants.remove("retransmission")
            if self.flight:
                return self._again()
        if open_ and self._cancels and not self._divided:
            # What does not fit yet is in the way of the host's.
            if self._fits(len(self._cancels[0])):
                packets = self._cancels.pop(0)
                self.staged_anew |= bool(self._cancels)
                segment = self._make(payload=packets, flags=TCP_ACK | TCP_PSH)
                self._advance(packets)
                return segment
        elif open_ and self._host and self._fits(len(self._host[0][0])):
            piece, ends = self._host.pop(0)
            self.staged_anew |= bool(self._host)
            segment = self._make(payload=piece, flags=TCP_ACK | TCP_PSH)
            self._advance(piece)
            self._divided = not ends
            return segment
        if open_ and self._closing and not self._host and not self._cancels:
            self.state = State.FIN_WAIT_1 if self.state is State.ESTABLISHED else State.LAST_ACK
            segment = self._make(flags=TCP_ACK | TCP_FIN)
            self._advance(b"", fin=True)
            self._fin_sent = True
            return segment
        if "probe" in wants:
            wants.remove("probe")
            self._probe = self._make(sequence=self.snd_una - 1, flags=TCP_ACK)
            return self._probe
        if "ack" in wants:
            return self._make(flags=TCP_ACK)
        return None

    def _syn(self) -> Segment:
        if self._retries == 0:
            self._timed = (self.snd_nxt, 0)
        if self._rto_left is None:
            self._rto_left = self._round_trip.timeout
        return Segment(
            sequence=self.snd_una,
            flags=TCP_SYN,
            window=self.settings.window,
            options=b"\x02\x04" + self.settings.mss.to_bytes(2, "big"),
        )

    def _again(self) -> Segment:
        self.counters["retransmissions"] += 1
        self._timed = self._delayed = None
        payload = bytes(self._in_flight[: self.mss])
        flags = TCP_ACK | (TCP_PSH if payload else 0)
        if self._fin_sent and len(self._in_flight) <= self.mss:
            flags |= TCP_FIN
        return self._make(sequence=self.snd_una, payload=payload, flags=flags)
