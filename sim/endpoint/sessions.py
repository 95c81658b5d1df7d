"""Random sessions: a peer that does anything, and the card's end beside its model.

Ref: RFC 9293; docs/architecture.md, "The order session".
"""

import random
from dataclasses import dataclass, fields, replace

from tickgate.hdl.stream import ReportKind
from tickgate.sim.endpoint.endpoint import Endpoint
from tickgate.sim.endpoint.top import SETTINGS
from tickgate.sim.model.ordersession import OrderSession
from tickgate.sim.model.segments import (
    CAUSES,
    Ends,
    Segment,
    judge,
    pack_frame,
    unpack_frame,
)
from tickgate.sim.model.soupbin import Report
from tickgate.sim.model.tcp import Settings, State, TcpClient, Timing
from tickgate.sim.packets import Packets
from tickgate.spec.ethernet import FCS_SIZE, TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, fcs

__all__ = ["Difference", "RandomSession", "endpoint_ends"]

MODULUS = 1 << 32

FIELDS = ("user_ref_num", "previous", "quantity", "price", "reference", "reason", "code")

ENDS = Ends(
    source_mac=0x02AA00000001,
    destination_mac=0x02BB00000002,
    source_ip=0x0A010203,
    destination_ip=0x0A090807,
    source_port=40001,
    destination_port=15000,
)
"""From the card to the venue."""


ANY_FLAGS = (
    TCP_ACK,
    TCP_ACK,
    TCP_RST,
    TCP_RST | TCP_ACK,
    TCP_SYN,
    TCP_SYN | TCP_ACK,
    TCP_FIN | TCP_ACK,
    TCP_FIN,
    0,
    0x3F,
)


class Difference(AssertionError):
    """Card and model do not agree; says in what, and after which events."""


def endpoint_ends(endpoint: Endpoint, ends: Ends = ENDS) -> None:
    """Tells an endpoint where it is and whom it talks to."""
    endpoint.configure(
        endpoints_local_mac=ends.source_mac,
        endpoints_gateway_mac=ends.destination_mac,
        endpoints_local_ip=ends.source_ip,
        endpoints_remote_ip=ends.destination_ip,
        endpoints_local_port=ends.source_port,
        endpoints_remote_port=ends.destination_port,
    )


@dataclass
class _Peer:
    """The peer's side of the sequence space, as far as it matters for sensible segments."""

    nxt: int = 0
    received: int = 0
    window: int = 4000


class RandomSession:
    """Plays random events to an endpoint and its model, and compares all that can be seen.

    Parameters
    ----------
    endpoint : Endpoint
        Out of reset, or left closed by a session before; its model begins with it.
    generator : random.Random
    """

    def __init__(self, endpoint: Endpoint, generator: random.Random) -> None:
        self._endpoint, self._random = endpoint, generator
        self._session = OrderSession(TcpClient(Settings(**SETTINGS), Timing()))
        self._model = self._session.tcp
        self._packets = Packets(generator)
        self._stream, self._stream_at = b"", 0  # what the peer sends, and the number it begins at
        self._judged = dict.fromkeys((*CAUSES, "segments"), 0)
        self._peer = _Peer()
        self._late: list[Segment] = []  # what the peer may send again
        self._history: list[str] = []
        self.events = self.reports = 0
        endpoint_ends(endpoint)
        self._retime()

    def run(self, events: int) -> None:
        """Plays so many events; raises `Difference` at the first one."""
        for _ in range(events):
            self._event()
            self.events += 1

    # Events.

    def _event(self) -> None:
        chance = self._random.random()
        state = self._model.state
        if state is State.CLOSED:
            if chance < 0.7:
                self._connect()
            elif chance < 0.8:
                self._retime()
            else:
                self._any_segment()
        elif state is State.SYN_SENT and chance < 0.6:
            self._answer_to_syn()
        elif chance < 0.35:
            self._likely_segment()
        elif chance < 0.50:
            self._tick()
        elif chance < 0.72:
            self._order()
        elif chance < 0.78:
            self._host()
        elif chance < 0.80:
            self._cancels()
        elif chance < 0.86:
            self._again()
        elif chance < 0.92:
            self._damaged()
        elif chance < 0.98:
            self._any_segment()
        elif chance < 0.985:
            self._command("close", self._session.close)
        elif chance < 0.988:
            self._command("abort", self._session.abort)
        else:
            self._command("connect", lambda: self._session.connect(0))

    def _retime(self) -> None:
        pick = self._random.choice
        minimum = pick((1, 2, 5))
        timing = Timing(
            rto_initial=pick((1, 3, 10)),
            rto_min=minimum,
            rto_max=pick((minimum, 16, 40, 0xFFFF)),
            retries=pick((0, 2, 5)),
            ack_delay=pick((0, 0, 1, 3)),
            keepalive_idle=pick((0, 0, 1, 7)),
            keepalive_interval=pick((1, 4)),
            keepalive_probes=pick((0, 1, 3)),
            linger=pick((0, 1, 6)),
            challenge_interval=pick((0, 0, 3)),
        )
        self._model.timing = timing
        self._session.heartbeat, self._session.silence = pick((0, 0, 2, 5)), pick((0, 3, 9))
        self._endpoint.configure(
            heartbeat=self._session.heartbeat,
            silence=self._session.silence,
            **{f"timing_{each.name}": getattr(timing, each.name) for each in fields(timing)},
        )
        self._history.append(f"timing {timing}")

    def _connect(self) -> None:
        # Near the ends of the sequence space more often than chance would have it.
        isn = self._random.choice((0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFF000, 0x7FFFFFF0, None))
        if isn is None:
            isn = self._random.randrange(MODULUS)
        near = self._random.choice((0xFFFFFFF8, 0xFFFFF800, 0x7FFFFF00, None))
        self._peer = _Peer(
            nxt=self._random.randrange(MODULUS) if near is None else near,
            window=self._random.choice((0, 30, 60, 300, 4000, 65535)),
        )
        self._late.clear()
        self._endpoint.configure(isn=isn)
        self._command("connect", lambda: self._session.connect(isn))

    def _command(self, name: str, act) -> None:
        self._endpoint.command(name)
        self._compare(name, act())

    def _tick(self) -> None:
        for _ in range(self._random.choice((1, 1, 1, 2, 5))):
            self._endpoint.command("tick")
            self._compare("tick", self._session.tick())

    def _order(self) -> None:
        payload = self._random.randbytes(self._random.choice((52, 52, 43, 12, 1)))
        may = self._session.may_order
        left = self._endpoint.order(payload)
        if left != may:
            self._fail("order", f"may order: card {left}, model {may}")
        expected = [self._session.order(payload)] if may else []
        self._compare("order", expected)

    def _host(self) -> None:
        packet = self._random.randbytes(self._random.choice((3, 3, 49, 64, 65, 150)))
        if self._model.state is State.SYN_SENT or self._random.random() < 0.7:
            self._endpoint.host(packet)
            self._compare(f"host {len(packet)}", self._session.host(packet))

    def _cancels(self) -> None:
        """As the card does, only on a session.

        One at a time: whether a packet of the host's goes while the next ones are written is a
        matter of cycles.
        """
        open_ = self._session.trading and self._model.state is State.ESTABLISHED
        if open_ and not self._model.cancels_waiting:
            packets = self._random.randbytes(12 * self._random.choice((1, 2, 5)))
            self._endpoint.cancels(packets)
            self._compare(f"cancels {len(packets)}", self._session.cancels(packets))

    def _receive(self, segment: Segment, what: str) -> None:
        frame = pack_frame(segment, ENDS.reversed())
        self._endpoint.receive([frame], gap=self._random.choice((0, 1, 9)))
        cause = judge(frame, ENDS.reversed(), longest=SETTINGS["mss"])
        self._judged[cause or "segments"] += 1
        self._compare(f"{what} {segment}", self._session.segment(segment) if not cause else [])

    def _answer_to_syn(self) -> None:
        peer, right = self._peer, self._model.snd_nxt
        mss = self._random.choice((None, 0, 40, 100, 600, 0xFFFF))
        options = b"" if mss is None else b"\x02\x04" + mss.to_bytes(2, "big")
        options = (
            self._random.choice((b"", b"\x01", b"\x01\x01\x04\x02", b"\x03\x03\x07")) + options
        )
        options += self._random.choice((b"", b"\x00\x02\x04\x01\x00", b"\x08\x0a" + bytes(8)))
        chance = self._random.random()
        flags = (
            TCP_SYN | TCP_ACK
            if chance < 0.7
            else self._random.choice((TCP_SYN, TCP_RST | TCP_ACK, TCP_ACK, TCP_RST))
        )
        segment = Segment(
            sequence=peer.nxt,
            acknowledgement=right if self._random.random() < 0.9 else self._number(right),
            flags=flags,
            window=peer.window,
            options=options.ljust(-(-len(options) // 4) * 4, b"\0"),
        )
        self._stream_at = (peer.nxt + 1) % MODULUS
        self._stream = self._packets.login() if self._random.random() < 0.9 else b""
        self._receive(segment, "answer to SYN")
        peer.nxt = (peer.nxt + 1) % MODULUS
        peer.received = right

    def _likely_segment(self) -> None:
        """What a good peer would send next: octets, an acknowledgement, a window, a FIN."""
        peer, pick = self._peer, self._random.choice
        if self._random.random() < 0.1:
            peer.window = pick((0, 20, 52, 100, 4000, 65535))
        ahead = (self._model.snd_nxt - peer.received) % MODULUS
        if ahead < 1 << 20 and self._random.random() < 0.8:
            peer.received = (
                peer.received + pick((0, 0, 1, 52, ahead, ahead, ahead // 2))
            ) % MODULUS
            if (self._model.snd_nxt - peer.received) % MODULUS > 1 << 20:
                peer.received = self._model.snd_nxt
        size = pick((0, 0, 1, 3, 7, 8, 40, 97, SETTINGS["mss"]))
        flags = TCP_ACK | (TCP_PSH if size else 0)
        if self._random.random() < 0.02:
            flags |= TCP_FIN
        segment = Segment(
            sequence=self._model.rcv_nxt,
            acknowledgement=peer.received,
            flags=flags,
            window=peer.window,
            payload=self._payload(self._model.rcv_nxt, size),
        )
        self._late.append(segment)
        # Some are lost, and some are late, and then out of order.
        if self._random.random() < 0.9:
            self._receive(segment, "segment")
        if self._random.random() < 0.15:
            self._receive(
                replace(
                    segment,
                    sequence=(segment.sequence + 2 * size + 1) % MODULUS,
                    payload=self._payload(
                        segment.sequence + 2 * size + 1, self._random.randrange(size + 1)
                    ),
                ),
                "ahead",
            )

    def _again(self) -> None:
        """What was sent once is sent again, once or more often."""
        if not self._late:
            return
        segment = self._random.choice(self._late[-6:])
        if self._random.random() < 0.5:
            segment = replace(segment, acknowledgement=self._peer.received)
        for _ in range(self._random.choice((1, 1, 3, 4))):
            self._receive(segment, "again")

    def _payload(self, sequence: int, size: int) -> bytes:
        """What the peer's stream has there; anything where it has not begun."""
        at = (sequence - self._stream_at) % MODULUS
        if at >= 1 << 24:
            return self._random.randbytes(size)
        while len(self._stream) < at + size:
            self._stream += self._packets.some()
        return self._stream[at : at + size]

    def _number(self, near: int) -> int:
        return (
            near + self._random.choice((-70000, -5000, -2, -1, 0, 1, 2, 51, 5000, 1 << 31))
        ) % MODULUS

    def _any_segment(self) -> None:
        pick, model = self._random.choice, self._model
        sequence = self._number(pick((model.rcv_nxt, model.rcv_nxt + SETTINGS["window"])))
        segment = Segment(
            sequence=sequence,
            acknowledgement=self._number(pick((model.snd_una, model.snd_nxt))),
            flags=pick(ANY_FLAGS),
            window=pick((0, 60, 5000, 65535)),
            payload=self._payload(sequence, pick((0, 0, 0, 1, 30))),
        )
        self._receive(segment, "any")

    def _damaged(self) -> None:
        """A frame that is not what was sent, with a right FCS or without."""
        segment = Segment(
            sequence=self._model.rcv_nxt,
            acknowledgement=self._model.snd_nxt,
            window=self._peer.window,
            payload=self._payload(self._model.rcv_nxt, self._random.choice((0, 5, 40))),
        )
        octets = bytearray(pack_frame(segment, ENDS.reversed()))
        headers = self._random.random() < 0.6
        at = self._random.randrange(8 * 12, 8 * (54 if headers else len(octets)))
        octets[at // 8] ^= 1 << at % 8
        if self._random.random() < 0.3:
            del octets[self._random.randrange(20, len(octets)) :]
        if self._random.random() < 0.7:
            octets[-FCS_SIZE:] = fcs(bytes(octets[:-FCS_SIZE])).to_bytes(FCS_SIZE, "little")
        frame = bytes(octets)
        cause = judge(frame, ENDS.reversed(), longest=SETTINGS["mss"])
        self._judged[cause or "segments"] += 1
        self._endpoint.receive([frame])
        answers = [] if cause else self._session.segment(unpack_frame(frame))
        self._compare(f"damaged {cause} {frame.hex()}", answers)

    # Comparison.

    def _compare(self, what: str, expected: list[Segment]) -> None:
        self._history.append(what)
        del self._history[:-12]
        sent, reports = self._endpoint.take()
        seen = []
        for each in sent:
            if cause := judge(each.octets, ENDS, longest=1 << 16):
                self._fail(what, f"the card sent a frame that is no segment: {cause}")
            seen.append(unpack_frame(each.octets))
        if seen != expected:
            self._fail(what, f"sent {seen}, model {expected}")
        self._compare_reports(what, reports)
        model, endpoint = self._model, self._endpoint
        names = ("state", "outcome", "may_order", "sequence", "acknowledgement")
        card = dict(
            zip(
                names,
                (
                    endpoint.state.name,
                    endpoint.outcome.name,
                    bool(endpoint.status("may_order")),
                    endpoint.status("sequence"),
                    endpoint.status("acknowledgement"),
                ),
                strict=True,
            )
        )
        if model.state is State.CLOSED:
            names = names[:3]
        elif model.state is State.SYN_SENT:
            names = names[:4]
        wanted = {
            "state": model.state.name,
            "outcome": model.outcome.name,
            "may_order": self._session.may_order,
            "sequence": model.snd_nxt,
            "acknowledgement": model.rcv_nxt,
        }
        for name in names:
            if card[name] != wanted[name]:
                self._fail(what, f"{name}: card {card[name]}, model {wanted[name]}")
        inbound = self._session.inbound
        login = (inbound.accepted, inbound.rejected or 0, inbound.ended)
        shown = endpoint.status("login")
        if (bool(shown & 1), shown >> 2 & 0xFF, bool(shown >> 10 & 1)) != login:
            self._fail(what, f"login: card {shown:#x}, model {login}")
        for name, wanted in (
            ("next_sequence", inbound.next_sequence),
            ("lost", inbound.lost),
            ("silent", self._session.silent),
        ):
            if endpoint.status(name) != wanted:
                self._fail(what, f"{name}: card {endpoint.status(name)}, model {wanted}")
        if self._endpoint.faults:
            self._fail(what, "a stream broke its rules")
        if self.events % 16 == 0:
            self._compare_counters(what)

    def _compare_reports(self, what: str, reports) -> None:
        model = self._session.inbound
        seen = []
        for record in reports:
            values = {name: int(record[name]) for name in FIELDS if record[name]}
            fits = bool(record["fits"])
            kind = ReportKind(int(record["kind"])).name
            seen.append(Report(kind, fits, int(record["sequence"]), values if fits else {}))
        expected = [
            report if report.fits else Report(report.kind, False, report.sequence, {})
            for report in model.reports
        ]
        model.reports.clear()
        if seen != expected:
            self._fail(what, f"reported {seen}, model {expected}")
        self.reports += len(seen)

    def _compare_counters(self, what: str) -> None:
        counters = self._endpoint.counters
        expected = {**self._judged, **self._model.counters, **self._session.inbound.counters}
        expected["unread"] = 0
        if counters != expected:
            self._fail(what, f"counters {counters}, expected {expected}")

    def _fail(self, what: str, why: str) -> None:
        lines = "\n  ".join(self._history)
        raise Difference(f"event {self.events}, {what}: {why}\nafter\n  {lines}")
