# amaranth: UnusedElaboratable=no
"""A TCP client: one connection, its segments in and out, beside the path of the orders.

Ref: RFC 9293; DESIGN: docs/architecture.md, "The order session".
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.tcp.connection import Connection
from tickgate.hdl.order.tcp.dispatcher import Dispatcher
from tickgate.hdl.order.tcp.options import OptionReader
from tickgate.hdl.order.tcp.receive import Receive
from tickgate.hdl.order.tcp.recorder import Recorder
from tickgate.hdl.order.tcp.ring import Ring
from tickgate.hdl.order.tcp.sender import Sender
from tickgate.hdl.order.tcp.staging import HostOctet, Staging
from tickgate.hdl.order.tcp.types import Endpoints, Outcome, State, Timing
from tickgate.hdl.stream import Octets, Span, pipe, require_width

__all__ = ["TcpClient"]


class TcpClient(wiring.Component):
    """Keeps a TCP connection for orders that are built elsewhere, and for packets of the host.

    Latency: orders pass from `orders` to `tx` in LATENCY cycles (combinational); what is received
    passes on in `Receive.LATENCY` cycles, and may be believed when `judged`, `verdict_latency`
    after the last word of its frame. Throughput: the line rate, for ever, both ways.

    An order may go while `may_order`, which is known ahead: it falls before the connection's own
    segments need the port, and rises after them. It leaves in the cycle of `order`, with the
    numbers that `sequence` and `acknowledgement` have in that cycle. Its octets are kept as they
    pass, and are sent again when they are lost. An order is never queued.

    A packet is on its way to the port PACKET_LATENCY + `notice` cycles, and one for each octet,
    after the last one was handed in, if there is room and nothing else to be sent.

    The host's octets are sent packet by packet. A packet that is longer than `packet_size` goes
    in pieces; no order comes between them. Cancels go before what the host has handed in, but not
    between such pieces either. While there is no connection, and none is being opened, octets of
    both are thrown away.

    Parameters
    ----------
    width : int
        Octets a cycle.
    ring_size : int
        Octets that may be sent and not acknowledged; a power of two.
    largest_order : int
        Most octets of payload of an order.
    packet_size : int
        Most octets that the host's side sends at once; a power of two.
    window : int
        Octets of the receive window. Nothing of what is received is kept, so it never closes.
    mss : int
        Most octets of payload that the peer may send in a segment.
    longest_segment : int
        Most octets of payload in what is sent again.
    notice : int
        An order may still begin so many cycles after `may_order` has fallen.

    Members
    -------
    rx : In(stream of Octets), frame_ends, frame_good : In(1)
        As `Receive` wants them.
    tx : Out(stream of Octets)
    orders : In(stream of Octets)
        Frames of orders, which begin in the cycle of `order` or later and have no TCP options.
    order : In(1), order_size : In(range(largest_order + 1))
        An order leaves; octets of its payload.
    may_order : Out(1), sequence : Out(32), acknowledgement : Out(32)
    host : In(stream of HostOctet)
    cancels : In(stream of HostOctet)
        Whole packets, at most `packet_size` octets up to one with `last`: a segment.
    payload : Out(stream of Span), judged : Out(1), take : Out(1)
        What the peer sends, in order. All of it since the `judged` before counts only if there is
        `take` with `judged`.
    spoiled : In(1)
        It cannot be taken, and shall be sent again.
    port : In(1), holds : Out(1)
        The port is free but for orders; no order and no frame of anyone else may begin now.
    connect, close, abort : In(1), isn : In(32), endpoints : In(Endpoints), timing : In(Timing)
        See `Connection`. `endpoints` must not change but while `state` is CLOSED and not `holds`.
    tick : In(1)
        The unit of `timing`.
    state : Out(State), outcome : Out(Outcome)
    ... : Out(1)
        Counter strobes of `Receive` and `Connection`.
    """

    LATENCY = 0
    PACKET_SIZE, NOTICE = 64, 4
    PACKET_LATENCY = 3 + 5
    """Until it is chosen and its length compared, and until its job is made."""
    COUNTERS = (*Receive.COUNTERS, *Connection.COUNTERS)

    def __init__(
        self,
        *,
        width: int,
        largest_order: int,
        ring_size: int = 4096,
        packet_size: int = PACKET_SIZE,
        window: int = 16384,
        mss: int = 1460,
        longest_segment: int = 1024,
        notice: int = NOTICE,
    ) -> None:
        require_width(width)
        if mss > window:
            raise ValueError(f"a segment of {mss} octets does not fit a window of {window}")
        self._receive = Receive(width=width, longest=mss)
        self._connection = Connection(
            window=window,
            ring_size=ring_size,
            longest_segment=longest_segment,
            largest_order=largest_order,
            packet_size=packet_size,
        )
        self._dispatcher = Dispatcher(notice=notice, packet_size=packet_size)
        self._sender = Sender(width=width, ring_size=ring_size, window=window, mss=mss)
        self._ring = Ring(width=width, size=ring_size)
        self._recorder = Recorder(width=width, ring_size=ring_size, longest=largest_order)
        self._staging = Staging(size=packet_size, ring_size=ring_size)
        self._cancels = Staging(size=packet_size, ring_size=ring_size)
        self._options = OptionReader(width=width)
        self.window, self.payload_latency = window, Receive.LATENCY
        self.verdict_latency = self._receive.verdict_latency
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
                "payload": Out(stream.Signature(Span(width), always_ready=True)),
                "judged": Out(1),
                "take": Out(1),
                "spoiled": In(1),
                "port": In(1, init=1),
                "holds": Out(1),
                "connect": In(1),
                "close": In(1),
                "abort": In(1),
                "isn": In(32),
                "endpoints": In(Endpoints),
                "timing": In(Timing),
                "tick": In(1),
                "state": Out(State),
                "outcome": Out(Outcome),
                **{name: Out(1) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.receive = receive = self._receive
        m.submodules.connection = connection = self._connection
        m.submodules.dispatcher = dispatcher = self._dispatcher
        m.submodules.sender = sender = self._sender
        m.submodules.ring = ring = self._ring
        m.submodules.recorder = recorder = self._recorder
        m.submodules.staging = staging = self._staging
        m.submodules.cancels = self._cancels
        m.submodules.options = options = self._options

        pipe(m, wiring.flipped(self.rx), receive.octets)
        pipe(m, receive.payload, wiring.flipped(self.payload))
        pipe(m, dispatcher.jobs, sender.jobs)
        pipe(m, wiring.flipped(self.host), staging.octets)
        pipe(m, wiring.flipped(self.cancels), self._cancels.octets)
        self._read(m, receive, connection, options)
        self._write(m, connection, dispatcher, staging, recorder, ring)
        self._port(m, connection, dispatcher, sender, recorder)
        for name in ("connect", "close", "abort", "isn", "timing", "tick", "order", "order_size"):
            m.d.comb += getattr(connection, name).eq(getattr(self, name))
        for part in (receive, connection):
            for name in part.COUNTERS:
                m.d.comb += getattr(self, name).eq(getattr(part, name))
        m.d.comb += [
            sender.endpoints.eq(self.endpoints),
            sender.read_data.eq(ring.data),
            ring.read_at.eq(sender.read_at),
            ring.read_enable.eq(sender.read_enable),
            self.sequence.eq(connection.numbers.nxt),
            self.acknowledgement.eq(connection.numbers.received),
            self.state.eq(connection.state),
            self.outcome.eq(connection.outcome),
        ]
        return m

    def _read(self, m: Module, receive, connection, options) -> None:
        m.d.comb += [
            receive.ends.eq(self.frame_ends),
            receive.good.eq(self.frame_good),
            receive.endpoints.eq(self.endpoints),
            connection.segment.eq(receive.segment),
            connection.arrives.eq(receive.arrives),
            connection.spoiled.eq(self.spoiled),
            self.judged.eq(receive.judged),
            self.take.eq(connection.take),
            options.octets.payload.eq(self.rx.payload),
            options.octets.valid.eq(self.rx.valid),
            options.read.eq(connection.options),
            options.length.eq(receive.options),
            connection.mss_read.eq(options.done),
            connection.mss_found.eq(options.found),
            connection.mss.eq(options.mss),
        ]

    def _write(self, m: Module, connection, dispatcher, staging, recorder, ring) -> None:
        """The host's octets and the cancels go into the ring while no order does."""
        idle = (connection.state == State.CLOSED) | (connection.state == State.OPENING)
        cancels, moves = self._cancels, dispatcher.picked.packet
        # A packet of the host must have neither an order nor a cancel within it.
        self._divided = divided = Signal()
        # What goes next, with its length; not told in the cycle in which another one is chosen.
        first, chosen = Signal(), Signal()
        waits = Mux(chosen, cancels.available, staging.available) & (chosen == first)
        m.d.comb += first.eq(cancels.available & ~divided)
        m.d.sync += chosen.eq(first)
        for each in (staging, cancels):
            m.d.comb += [
                each.discard.eq(idle),
                each.fresh.eq(connection.state == State.OPENING),
                each.sequence.eq(connection.numbers.nxt),
            ]
        moving = staging.moving | cancels.moving
        m.d.comb += [
            staging.move.eq(moves & ~chosen),
            cancels.move.eq(moves & chosen),
            connection.packet_waits.eq(waits),
            connection.packet_length.eq(Mux(chosen, cancels.length, staging.length)),
            dispatcher.packet_length.eq(connection.packet_length),
            dispatcher.moving.eq(moving),
        ]
        for name in ("at", "data", "mask"):
            of_packet = Mux(cancels.moving, getattr(cancels, name), getattr(staging, name))
            of_either = Mux(moving, of_packet, getattr(recorder, name))
            m.d.comb += getattr(ring, f"write_{name}").eq(of_either)
        with m.If(staging.move):
            m.d.sync += divided.eq(~staging.ends)
        with m.If(connection.state == State.CLOSED):
            m.d.sync += divided.eq(0)
        more = self.host.valid | staging.length.any() | self.cancels.valid | cancels.length.any()
        m.d.comb += connection.packet_divided.eq(divided | more)

    def _port(self, m: Module, connection, dispatcher, sender, recorder) -> None:
        ordering, mine = Signal(), Signal()
        for name in ("wants", "reset", "numbers", "peer_mss", "fin_sent"):
            m.d.comb += getattr(dispatcher, name).eq(getattr(connection, name))
        m.d.comb += [
            connection.picked.eq(dispatcher.picked),
            dispatcher.order_busy.eq(ordering),
            dispatcher.port.eq(self.port),
            self.holds.eq(dispatcher.holds),
            mine.eq(sender.octets.valid),
            self.tx.valid.eq(mine | self.orders.valid),
            self.tx.payload.eq(Mux(mine, sender.octets.payload, self.orders.payload)),
            sender.octets.ready.eq(self.tx.ready),
            self.orders.ready.eq(self.tx.ready & ~mine),
            recorder.order.eq(self.order),
            recorder.size.eq(self.order_size),
            recorder.sequence.eq(connection.numbers.nxt),
            recorder.sent.valid.eq(self.orders.valid & self.orders.ready),
            recorder.sent.payload.eq(self.orders.payload),
        ]
        with m.If(recorder.sent.valid & self.orders.payload.last):
            m.d.sync += ordering.eq(0)
        with m.If(self.order):
            m.d.sync += ordering.eq(1)
        wanted = connection.wants.as_value().any()
        m.d.sync += self.may_order.eq(
            connection.room & ~dispatcher.holds & ~wanted & ~self._divided & self.port
        )
