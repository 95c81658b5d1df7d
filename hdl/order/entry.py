# amaranth: UnusedElaboratable=no
"""The order stage with a live session: approved orders out, the venue's reports into positions.

Ref: docs/architecture.md, "The order session" and "Own orders".
"""

from amaranth.hdl import Module, Mux
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.cancels import PACKET_SIZE, Canceller
from tickgate.hdl.order.encoder import SEGMENT_SIZE, OrderEncoder, SessionRegisters
from tickgate.hdl.order.manager import OrderManager
from tickgate.hdl.order.session import OrderSession
from tickgate.hdl.order.tcp.client import TcpClient
from tickgate.hdl.order.tcp.sender import Sender
from tickgate.hdl.order.tcp.types import State
from tickgate.hdl.stream import Order, pipe

__all__ = ["OrderEntry"]


class OrderEntry(wiring.Component):
    """Sends approved orders on a live session, and follows them by what the venue reports.

    Latency: from `approved` to the first word of its frame LATENCY cycles (combinational); from the
    last octet of a fill on `rx`, at the end of its segment, to `account` at most
    `position_latency` cycles; from a cause to cancel orders until the last cancel is on its way to
    the port at most `cancel_latency` cycles, while the session is open, its window and ring have
    room, the port is free and nothing else is to be sent. Throughput: an order each time its frame
    has left; the line rate on `rx`.

    `busy` is for the risk gate, which decides in one cycle and approves in the next: an order may
    still be approved in the cycle after one without `busy`. Nothing is queued.

    Parameters
    ----------
    width : int
        Octets a cycle.
    symbols : int
    sessions : int
        1, or 0: then it cannot be `live`, no order may be approved while it is to be, and all that
        is told of a session is zero. Such a card is a good deal smaller.
    slots : int
        Orders that are followed at a time; see `OrderManager`.
    window, mss, and the others
        Sizes of `TcpClient`.

    Members
    -------
    live : In(1)
        Orders go on the connection, and are followed. Without, they leave with the numbers of
        `template` and `sequence_start`, as if there were no session.
    sequence_start : In(32), load_sequence : In(1)
        Of `OrderEncoder`, while not `live`.
    approved : In(stream of Order)
    busy : Out(1)
        No order may be approved in the next cycle: one is leaving, the session is not one on which
        orders may go, the venue is silent, the window or the ring is full, or there is no slot for
        it.
    in_order, answered : Out(1)
        Gates 20 and 31: the next number may be used; no order is overdue, nor are too many
        unanswered. Both pass while not `live`.
    template : In(SessionRegisters)
        Must not change but while the connection is closed; `acknowledgement` and `window` are
        looked up in the connection instead.
    name_symbol : Out(range(symbols)), name : In(64)
        Of `OrderEncoder`.
    tx : Out(stream of Octets)
    sending : Out(1)
        A frame is leaving or about to: no one else's may begin.
    next_tcp_sequence : Out(32)
        Of the next order.
    due_sequence : Out(64)
        Of the report that the manager waits for; what a login should ask for.
    report_load, report_start
        `load`, `load_sequence` of `OrderManager`.
    stopped, cancel_all, pull, cancel : In(1), pull_symbol : In(range(symbols)),
    cancel_number : In(32), cancel_found, cancels_wait, cancels_asked : Out(1)
        `stopped`, `cancel_all`, `pull`, `cancel`, `pull_symbol`, `cancel_number`, `found`, `waits`,
        `asked` of `Canceller`.
    reading : Out(1)
        `busy` of `OrderSession`.
    order_error, account_error, rx, and the others
        Of `OrderSession` and `OrderManager`, by their names.
    """

    LATENCY = OrderEncoder.LATENCY + OrderSession.LATENCY
    COUNTERS = (*OrderSession.COUNTERS, *OrderManager.COUNTERS, "cancels")
    OF_SESSION = (
        *("rx", "frame_ends", "frame_good", "tx", "host", "port", "holds"),
        *("connect", "close", "abort", "isn", "timing", "tick", "heartbeat", "silence"),
        *("state", "outcome", "may_order", "sequence", "acknowledgement"),
        *("login", "session", "next_sequence", "lost", "silent"),
    )
    OF_MANAGER = (
        *("timeout", "symbol", "account", "open_orders", "unanswered", "overdue"),
        *("most_unanswered", "patience", "given_up", "most_rejects", "reject_window", "storm"),
        *("overdue_symbol", "violation", "clear", "ready", "watched", "watched_account"),
        *("released_buys", "released_sells", "next_number", "end_number", "spent"),
        *("load_position", "load_symbol", "start_position", "start_cost", "told", "executed"),
        *("walked", "walked_position", "walked_cash", "freed", "closed"),
        *("order_error", "account_error"),
    )
    RENAMED = (
        ("due_sequence", "next_sequence"),
        ("report_load", "load"),
        ("report_start", "load_sequence"),
    )

    SLOTS = 64
    """If nothing is said."""

    def __init__(
        self, *, width: int, symbols: int, sessions: int = 1, slots: int = SLOTS, **sizes: int
    ) -> None:
        if sessions not in (0, 1):
            raise ValueError(f"sessions must be 0 or 1, not {sessions}")
        self._sessions = sessions
        self._encoder = OrderEncoder(width=width, symbols=symbols)
        self._session = OrderSession(width=width, largest_order=SEGMENT_SIZE, **sizes)
        self._manager = OrderManager(symbols=symbols, slots=slots)
        packets = {name: sizes[name] for name in ("packet_size", "notice") if name in sizes}
        self._canceller = Canceller(
            slots=slots,
            symbols=symbols,
            segment_size=packets.get("packet_size", TcpClient.PACKET_SIZE),
        )
        self.cancel_latency = self.cancels_within(width=width, slots=slots, **packets)
        self.position_latency = self._session.report_latency + OrderManager.LATENCY
        session, manager = self._session.signature.members, self._manager.signature.members
        super().__init__(
            {
                "live": In(1),
                "sequence_start": In(32),
                "load_sequence": In(1),
                "next_tcp_sequence": Out(32),
                "sending": Out(1),
                "approved": In(stream.Signature(Order(symbols), always_ready=True)),
                "busy": Out(1),
                "in_order": Out(1),
                "answered": Out(1),
                "template": In(SessionRegisters),
                "name_symbol": Out(range(symbols)),
                "name": In(64),
                **{name: session[name] for name in (*self.OF_SESSION, *OrderSession.COUNTERS)},
                **{name: manager[name] for name in (*self.OF_MANAGER, *OrderManager.COUNTERS)},
                **{mine: manager[its] for mine, its in self.RENAMED},
                "reading": Out(1),
                "stopped": In(1),
                "cancel_all": In(1),
                "pull": In(1),
                "pull_symbol": In(range(symbols)),
                "cancel": In(1),
                "cancel_number": In(32),
                "cancel_found": Out(1),
                "cancels_wait": Out(1),
                "cancels_asked": Out(1),
                "cancels": Out(1),
            }
        )

    @staticmethod
    def cancels_within(
        *,
        width: int,
        slots: int = SLOTS,
        packet_size: int = TcpClient.PACKET_SIZE,
        notice: int = TcpClient.NOTICE,
    ) -> int:
        """`cancel_latency` of one that is built so."""
        together = packet_size // PACKET_SIZE
        segments, size = -(-slots // together), together * PACKET_SIZE
        # Of a segment: written; moved into the ring, once no order may begin; sent. The next one is
        # written meanwhile.
        writing = together * (PACKET_SIZE + 1)
        moving = TcpClient.PACKET_LATENCY + notice + size
        waiting = max(0, Sender.cycles(size, width=width) - writing)
        return Canceller.cycles(slots) + segments * moving + (segments - 1) * waiting

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.encoder = encoder = self._encoder
        m.submodules.manager = manager = self._manager
        self._pass(m, manager, (*self.OF_MANAGER, *manager.COUNTERS))
        for mine, its in self.RENAMED:
            self._pass(m, manager, (its,), mine=mine)
        m.d.comb += [
            encoder.approved.payload.eq(self.approved.payload),
            encoder.approved.valid.eq(self.approved.valid),
            manager.sent.payload.eq(self.approved.payload),
            manager.tick.eq(self.tick),
            manager.begins.eq(self.load_sequence),
            self.in_order.eq(~self.live | manager.in_order),
            self.answered.eq(~self.live | manager.answered),
            self.name_symbol.eq(encoder.name_symbol),
            encoder.name.eq(self.name),
            self.next_tcp_sequence.eq(encoder.sequence),
        ]
        if self._sessions:
            self._live(m, encoder, manager)
        else:
            pipe(m, encoder.octets, wiring.flipped(self.tx))
            m.d.comb += [
                encoder.session.eq(self.template),
                encoder.load_sequence.eq(self.load_sequence),
                encoder.sequence_start.eq(self.sequence_start),
                self.busy.eq(encoder.busy | self.live),
                self.sending.eq(encoder.busy),
            ]
        return m

    def _live(self, m: Module, encoder, manager) -> None:
        """Between encoder and manager, the session."""
        m.submodules.session = session = self._session
        self._pass(m, session, (*self.OF_SESSION, *session.COUNTERS))
        pipe(m, encoder.octets, session.orders)
        pipe(m, session.reports, manager.reports)
        goes = self.approved.valid & self.live
        blocked = ~session.may_order | session.silent | ~manager.room
        m.d.comb += [
            manager.sent.valid.eq(goes),
            session.order.eq(goes),
            session.order_size.eq(SEGMENT_SIZE),
            manager.coming.eq(session.coming),
            # One cycle late, which is early enough: no order may go in the cycle after a change.
            encoder.load_sequence.eq(self.live | self.load_sequence),
            encoder.sequence_start.eq(Mux(self.live, session.sequence, self.sequence_start)),
            self.busy.eq(encoder.busy | (self.live & blocked)),
            self.sending.eq(encoder.busy | session.holds),
            self.reading.eq(session.busy),
        ]
        self._configure(m, encoder, session)
        self._cancel(m, session, manager)

    def _cancel(self, m: Module, session, manager) -> None:
        m.submodules.canceller = canceller = self._canceller
        pipe(m, canceller.octets, session.cancels)
        closed = (session.state == State.CLOSED) | (session.state == State.OPENING)
        m.d.comb += [
            canceller.sent.eq(manager.followed),
            canceller.number.eq(manager.sent.payload.user_ref_num),
            canceller.symbol.eq(manager.sent.payload.symbol),
            canceller.ends.eq(manager.ended),
            canceller.ended.eq(manager.ended_number),
            canceller.answers.eq(manager.cancels_pending | manager.cancels_refused),
            canceller.answered.eq(manager.reports.payload.user_ref_num),
            canceller.open.eq(session.trading),
            canceller.closed.eq(closed),
            canceller.clear.eq(self.clear),
            self.cancel_found.eq(canceller.found),
            self.cancels_wait.eq(canceller.waits),
            self.cancels_asked.eq(canceller.asked),
            self.cancels.eq(canceller.cancels),
        ]
        for name in ("stopped", "cancel_all", "pull", "pull_symbol", "cancel", "cancel_number"):
            m.d.comb += getattr(canceller, name).eq(getattr(self, name))

    def _configure(self, m: Module, encoder, session) -> None:
        template, ends = self.template, session.endpoints
        live = {"acknowledgement": session.acknowledgement, "window": session.window}
        for name, _ in data.Layout.cast(SessionRegisters):
            value = template[name]
            if name in live:
                value = Mux(self.live, live[name], value)
            m.d.comb += encoder.session[name].eq(value)
        m.d.comb += [
            ends.local_mac.eq(template.source_mac),
            ends.gateway_mac.eq(template.destination_mac),
            ends.local_ip.eq(template.source_ip),
            ends.remote_ip.eq(template.destination_ip),
            ends.local_port.eq(template.source_port),
            ends.remote_port.eq(template.destination_port),
        ]

    def _pass(self, m: Module, part, names, *, mine: str | None = None) -> None:
        for name in names:
            own, its = getattr(self, mine or name), getattr(part, name)
            member = self.signature.members[mine or name]
            if not member.is_port:
                pair = (wiring.flipped(own), its)
                pipe(m, *(pair if member.flow is In else reversed(pair)))
            else:
                m.d.comb += its.eq(own) if member.flow is In else own.eq(its)
