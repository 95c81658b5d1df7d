# amaranth: UnusedElaboratable=no
"""The order session: TCP, SoupBinTCP and OUCH as the card's end speaks them.

Ref: RFC 9293; SoupBinTCP 3.00, section 2.2 (heartbeats) and 3; OUCH 5.0, section 3.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.soup.inbound import SESSION_BITS, Inbound, Login
from tickgate.hdl.order.tcp.client import TcpClient
from tickgate.hdl.order.tcp.staging import HostOctet
from tickgate.hdl.order.tcp.types import Endpoints, Outcome, State, Timing
from tickgate.hdl.stream import Octets, Report, pipe, require_width
from tickgate.spec import soupbintcp
from tickgate.spec.ethernet import FCS_SIZE

__all__ = ["OrderSession"]

HEARTBEAT = soupbintcp.pack(soupbintcp.CLIENT_HEARTBEAT)


class _Heart(wiring.Component):
    """Puts a heartbeat between the host's packets when nothing was sent for a while.

    Latency: 0 cycles from `host` to `octets` (combinational). Throughput: an octet a cycle.

    Members
    -------
    tick : In(1), interval : In(16)
        Ticks of silence before a heartbeat; 0 for none.
    alive : In(1), sent : In(1)
        Logged in; something leaves.
    restart : In(1)
        The host begins anew with a packet.
    host : In(stream of HostOctet), octets : Out(stream of HostOctet)
    """

    LATENCY = 0

    def __init__(self) -> None:
        super().__init__(
            {
                "tick": In(1),
                "interval": In(16),
                "alive": In(1),
                "restart": In(1),
                "sent": In(1),
                "host": In(stream.Signature(HostOctet)),
                "octets": Out(stream.Signature(HostOctet)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        silent, due, beating, inside = Signal(16), Signal(), Signal(), Signal()
        at = Signal(range(len(HEARTBEAT)))
        with m.If(self.tick):
            m.d.sync += silent.eq(silent + 1)
            with m.If(silent + 1 >= self.interval):
                m.d.sync += due.eq(1)
        with m.If(self.sent | ~self.alive | (self.interval == 0)):
            m.d.sync += [silent.eq(0), due.eq(0)]
        beat = Signal(8)
        with m.Switch(at):
            for n, octet in enumerate(HEARTBEAT):
                with m.Case(n):
                    m.d.comb += beat.eq(octet)
        taken = self.octets.valid & self.octets.ready
        m.d.comb += [
            self.octets.valid.eq(beating | self.host.valid),
            self.octets.payload.data.eq(Mux(beating, beat, self.host.payload.data)),
            self.octets.payload.last.eq(
                Mux(beating, at == len(HEARTBEAT) - 1, self.host.payload.last)
            ),
            self.host.ready.eq(self.octets.ready & ~beating),
        ]
        with m.If(beating):
            with m.If(taken):
                m.d.sync += at.eq(at + 1)
                with m.If(at == len(HEARTBEAT) - 1):
                    m.d.sync += [at.eq(0), beating.eq(0)]
        with m.Else():
            with m.If(taken):
                m.d.sync += inside.eq(~self.host.payload.last)
            with m.Elif(due & ~inside & ~self.host.valid):
                m.d.sync += [beating.eq(1), due.eq(0), silent.eq(0)]
        with m.If(self.restart):
            m.d.sync += [inside.eq(0), beating.eq(0), at.eq(0)]
        return m


class OrderSession(wiring.Component):
    """A session with the venue over one TCP connection, beside the path of the orders.

    Latency: orders pass from `orders` to `tx` in LATENCY cycles (combinational); a report comes at
    most `report_latency` cycles after the last octet of its message was on `rx`, if the segment
    ends with it, and after those before it in the segment, every SPACING cycles one. A packet that
    is shorter than a word, such as a heartbeat, in front of it in the segment costs a cycle or two.
    Throughput: the line rate, both ways.

    The host opens the connection, hands in its login and its logout as packets of SoupBinTCP, and
    decides what becomes of a venue that is silent. Heartbeats are sent here, and the venue's
    packets are read here. A report is told once, in sequence; whether its number is the one that
    was last, is for `next_sequence` and the login to say.

    Parameters
    ----------
    width : int
        Octets a cycle.
    largest_order, and the others
        As of `TcpClient`.

    Members
    -------
    rx, frame_ends, frame_good, tx, orders, order, order_size, may_order, sequence, acknowledgement,
    host, cancels, port, holds, connect, close, abort, isn, endpoints, timing, tick, state, outcome
        Of `TcpClient`. `may_order` only after a login that was accepted, and before the end of
        the session.
    trading : Out(1)
        Connected and logged in.
    heartbeat : In(16), silence : In(16)
        Ticks without anything sent before a heartbeat is; without anything received before the
        venue is `silent`. 0 for never.
    reports : Out(stream of Report), coming : Out(32), login : Out(Login), session : Out(80),
    next_sequence : Out(64), lost : Out(1)
        Of `Inbound`.
    silent : Out(1)
    busy : Out(1)
        Something that was received is still being read.
    ... : Out(1)
        Counter strobes of `TcpClient` and `Inbound`.
    """

    LATENCY = TcpClient.LATENCY
    SPACING = Inbound.SPACING
    COUNTERS = (*TcpClient.COUNTERS, *Inbound.COUNTERS)
    PASSED = (
        "rx",
        "frame_ends",
        "frame_good",
        "tx",
        "orders",
        "cancels",
        "order",
        "order_size",
        "sequence",
        "acknowledgement",
        "port",
        "holds",
        "connect",
        "close",
        "abort",
        "isn",
        "endpoints",
        "timing",
        "tick",
        "state",
        "outcome",
    )

    def __init__(self, *, width: int, largest_order: int, mss: int = 1460, **sizes: int) -> None:
        require_width(width)
        self._client = TcpClient(width=width, largest_order=largest_order, mss=mss, **sizes)
        self._inbound = Inbound(width=width, longest=mss)
        self.window = self._client.window
        fcs_words = max(1, FCS_SIZE // width)
        judging = fcs_words + self._client.verdict_latency
        reading = self._client.payload_latency + Inbound.READ_LATENCY
        self.report_latency = max(judging, reading) + Inbound.LATENCY
        octets = stream.Signature(Octets(width))
        super().__init__(
            {
                "rx": In(stream.Signature(Octets(width), always_ready=True)),
                "frame_ends": In(1),
                "frame_good": In(1),
                "tx": Out(octets),
                "orders": In(octets),
                "order": In(1),
                "order_size": In(range(largest_order + 1)),
                "may_order": Out(1),
                "sequence": Out(32),
                "acknowledgement": Out(32),
                "host": In(stream.Signature(HostOctet)),
                "cancels": In(stream.Signature(HostOctet)),
                "trading": Out(1),
                "port": In(1, init=1),
                "holds": Out(1),
                "connect": In(1),
                "close": In(1),
                "abort": In(1),
                "isn": In(32),
                "endpoints": In(Endpoints),
                "timing": In(Timing),
                "heartbeat": In(16),
                "silence": In(16),
                "tick": In(1),
                "state": Out(State),
                "outcome": Out(Outcome),
                "reports": Out(stream.Signature(Report, always_ready=True)),
                "coming": Out(32),
                "login": Out(Login),
                "session": Out(SESSION_BITS),
                "next_sequence": Out(64),
                "lost": Out(1),
                "silent": Out(1),
                "busy": Out(1),
                **{name: Out(1) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.client = client = self._client
        m.submodules.inbound = inbound = self._inbound
        m.submodules.heart = heart = _Heart()
        for name in self.PASSED:
            mine, its = getattr(self, name), getattr(client, name)
            member = self.signature.members[name]
            if not member.is_port:
                pair = (wiring.flipped(mine), its)
                pipe(m, *(pair if member.flow is In else reversed(pair)))
            else:
                m.d.comb += its.eq(mine) if member.flow is In else mine.eq(its)
        pipe(m, client.payload, inbound.payload)
        pipe(m, inbound.reports, wiring.flipped(self.reports))
        pipe(m, wiring.flipped(self.host), heart.host)
        pipe(m, heart.octets, client.host)
        trading = inbound.login.accepted & ~inbound.login.ended & ~inbound.lost
        m.d.comb += [
            client.spoiled.eq(inbound.spoiled),
            inbound.judged.eq(client.judged),
            inbound.take.eq(client.take),
            inbound.restart.eq(client.state == State.OPENING),
            self.may_order.eq(client.may_order & trading),
            heart.restart.eq(client.state == State.OPENING),
            heart.tick.eq(self.tick),
            heart.interval.eq(self.heartbeat),
            self.trading.eq((client.state == State.ESTABLISHED) & trading),
            heart.alive.eq(self.trading),
            heart.sent.eq(
                self.order
                | (heart.octets.valid & heart.octets.ready)
                | (client.cancels.valid & client.cancels.ready)
            ),
            self.busy.eq(inbound.busy),
        ]
        for name in ("coming", "login", "session", "next_sequence", "lost"):
            m.d.comb += getattr(self, name).eq(getattr(inbound, name))
        for part in (client, inbound):
            for name in part.COUNTERS:
                m.d.comb += getattr(self, name).eq(getattr(part, name))
        self._listen(m, client, inbound)
        return m

    def _listen(self, m: Module, client, inbound) -> None:
        """How long the venue has said nothing."""
        quiet = Signal(16)
        with m.If(self.tick & ~quiet.all()):
            m.d.sync += quiet.eq(quiet + 1)
        with m.If(self.tick & self.silence.any() & (quiet + 1 >= self.silence)):
            m.d.sync += self.silent.eq(1)
        with m.If(inbound.heard | (client.state != State.ESTABLISHED)):
            m.d.sync += [quiet.eq(0), self.silent.eq(0)]
