"""Approved orders as Ethernet frames, each one TCP segment with one OUCH 5.0 Enter Order.

Ref: OUCH 5.0, 3.1 (Enter Order Message); SoupBinTCP 4.00, 2.2 (Unsequenced Data Packet); RFC 9293,
3.1; RFC 791, 3.1. The tables are those of tickgate.spec.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.fcs import FCS_INITIAL, Crc32
from tickgate.hdl.order.checksum import OnesComplementSum
from tickgate.hdl.stream import Octets, Order, Side, require_width
from tickgate.hdl.wire import place, words_to_add
from tickgate.spec import ethernet, ouch50, soupbintcp

__all__ = ["FRAME_SIZE", "SEGMENT_SIZE", "OrderEncoder", "SessionRegisters"]

ENTER_ORDER = ouch50.INBOUND["O"]
HEADERS = (ethernet.ETHERNET, ethernet.IPV4, ethernet.TCP, soupbintcp.HEADER, ENTER_ORDER)
IPV4_AT = ethernet.ETHERNET.size
TCP_AT = IPV4_AT + ethernet.IPV4.size
DATA_AT = TCP_AT + ethernet.TCP.size

TTL = 64

FRAME_SIZE = sum(header.size for header in HEADERS)
"""Octets of a frame without its FCS."""

SEGMENT_SIZE = FRAME_SIZE - DATA_AT
"""Octets by which a frame advances the TCP sequence number."""


class SessionRegisters(data.Struct):
    """What is the same in each order of a session. Characters are ASCII codes.

    `clordid`: 14 characters, the first one on top.
    """

    destination_mac: 48
    source_mac: 48
    source_ip: 32
    destination_ip: 32
    source_port: 16
    destination_port: 16
    acknowledgement: 32
    window: 16
    time_in_force: 8
    display: 8
    capacity: 8
    intermarket_sweep: 8
    cross_type: 8
    clordid: 112


class OrderEncoder(wiring.Component):
    """Sends each approved order as one Ethernet frame, FCS included.

    Latency: `LATENCY` from `approved` to the first word (combinational: it holds nothing of the
    order). Throughput: one frame in `words` cycles, without bubbles while `octets.ready`.

    A word stays until it is transferred. The order, the symbol's name, the sequence number and
    `session.acknowledgement` are taken with `approved`; the rest of `session` must not change from
    `SETTLING` cycles before it until the frame has left. The TCP checksum is computed while the
    first words leave. An order that comes while `busy` is lost: the risk gate refuses it before.

    Parameters
    ----------
    width : int
        Octets a cycle.
    symbols : int

    Members
    -------
    approved : In(stream.Signature(Order(symbols), always_ready=True))
    busy : Out(1)
        From the cycle after `approved` until that in which the last word is transferred.
    session : In(SessionRegisters)
    name_symbol : Out(range(symbols))
        Symbol whose name is wanted in this cycle.
    name : In(64)
        Eight characters padded with spaces on the right, the first one on top.
    sequence : Out(32)
        TCP sequence number of the next frame; moves by `SEGMENT_SIZE` with each order.
    sequence_start : In(32), load_sequence : In(1)
        Sets `sequence`; a frame under way is not touched.
    octets : Out(stream.Signature(Octets(width)))
    """

    LATENCY = 0
    SETTLING = 4

    def __init__(self, *, width: int, symbols: int) -> None:
        require_width(width)
        if symbols < 1:
            raise ValueError(f"symbols must be at least 1, not {symbols}")
        self._width, self._symbols = width, symbols
        self.words = FRAME_SIZE // width + max(1, ethernet.FCS_SIZE // width)
        super().__init__(
            {
                "approved": In(stream.Signature(Order(symbols), always_ready=True)),
                "busy": Out(1),
                "session": In(SessionRegisters),
                "name_symbol": Out(range(symbols)),
                "name": In(64),
                "sequence": Out(32),
                "sequence_start": In(32),
                "load_sequence": In(1),
                "octets": Out(stream.Signature(Octets(width))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        order, name = Signal(Order(self._symbols)), Signal(64)
        sequence, acknowledgement = Signal(32), Signal(32)
        m.d.comb += self.name_symbol.eq(self.approved.payload.symbol)
        # Whether it is approved comes late; what is taken in idle cycles does no harm.
        with m.If(~self.busy):
            m.d.sync += [
                order.eq(self.approved.payload),
                name.eq(self.name),
                sequence.eq(self.sequence),
                acknowledgement.eq(self.session.acknowledgement),
            ]
        with m.If(self.approved.valid):
            m.d.sync += self.sequence.eq(self.sequence + SEGMENT_SIZE)
        with m.If(self.load_sequence):
            m.d.sync += self.sequence.eq(self.sequence_start)
        self._send(m, self._frame(m, order, name, sequence, acknowledgement))
        return m

    def _frame(self, m: Module, order, name, sequence, acknowledgement) -> list[Value]:
        ipv4_checksum, tcp_checksum = Signal(16), Signal(16)
        fixed = place(HEADERS, self._fixed_fields())
        live = place(
            HEADERS,
            {
                "tcp": {"sequence": sequence, "acknowledgement": acknowledgement},
                "enter_order": {
                    "user_ref_num": order.user_ref_num,
                    "side": Mux(order.side == Side.SELL, Const(ord("S"), 8), Const(ord("B"), 8)),
                    "quantity": order.quantity,
                    "symbol": name,
                    "price": order.price,
                },
            },
        )
        # One's complement sums do not care for order: all that the session knows is added up
        # long before, which leaves few words to add while the frame is on its way.
        pseudo_header = [
            word
            for address in (self.session.source_ip, self.session.destination_ip)
            for word in (address[:16], address[16:])
        ]
        segment_size = FRAME_SIZE - TCP_AT
        session_words = words_to_add(fixed[TCP_AT:], ethernet.PROTOCOL_TCP + segment_size)
        m.d.comb += ipv4_checksum.eq(~self._sum(m, "ipv4_sum", words_to_add(fixed[IPV4_AT:TCP_AT])))
        session_sum = self._sum(m, "session_sum", pseudo_header + session_words)
        m.d.comb += tcp_checksum.eq(
            ~self._sum(m, "segment_sum", [session_sum, *words_to_add(live[TCP_AT:])])
        )
        checksums = place(
            HEADERS, {"ipv4": {"checksum": ipv4_checksum}, "tcp": {"checksum": tcp_checksum}}
        )
        return [
            next((octet for octet in layers if not isinstance(octet, Const)), layers[-1])
            for layers in zip(checksums, live, fixed, strict=True)
        ]

    def _fixed_fields(self) -> dict:
        session = self.session
        return {
            "ethernet": {
                "destination": session.destination_mac,
                "source": session.source_mac,
                "ethertype": ethernet.ETHERTYPE_IPV4,
            },
            "ipv4": {
                "version_ihl": ethernet.IPV4_VERSION_IHL,
                "total_length": FRAME_SIZE - IPV4_AT,
                "flags_fragment": ethernet.IPV4_DONT_FRAGMENT,
                "ttl": TTL,
                "protocol": ethernet.PROTOCOL_TCP,
                "source": session.source_ip,
                "destination": session.destination_ip,
            },
            "tcp": {
                "source_port": session.source_port,
                "destination_port": session.destination_port,
                "data_offset": ethernet.TCP_DATA_OFFSET,
                "flags": ethernet.TCP_PSH | ethernet.TCP_ACK,
                "window": session.window,
            },
            "header": {
                "length": SEGMENT_SIZE - soupbintcp.LENGTH_SIZE,
                "type": ord(soupbintcp.UNSEQUENCED_DATA),
            },
            "enter_order": {
                "type": ord(ENTER_ORDER.type),
                "tif": session.time_in_force,
                "display": session.display,
                "capacity": session.capacity,
                "iso": session.intermarket_sweep,
                "cross_type": session.cross_type,
                "clordid": session.clordid,
            },
        }

    @staticmethod
    def _sum(m: Module, name: str, words: list[Value]) -> Value:
        m.submodules[name] = adder = OnesComplementSum(count=len(words))
        m.d.comb += [adder.words[n].eq(word) for n, word in enumerate(words)]
        return adder.total

    def _send(self, m: Module, frame: list[Value]) -> None:
        # The word to come waits in a register, so that neither the selection among all words nor
        # the FCS stands between the order and the wire.
        width, size = self._width, 8 * min(self._width, ethernet.FCS_SIZE)
        frame_words = FRAME_SIZE // width
        m.submodules.crc = crc = Crc32(width=width)
        index, state, waiting = Signal(range(self.words)), Signal(32), Signal(8 * width)
        word, last = self.octets.payload, Signal()
        m.d.comb += [
            self.octets.valid.eq(self.approved.valid | self.busy),
            last.eq(index == self.words - 1),
            word.data.eq(waiting),
            word.first.eq(index == 0),
            word.last.eq(last),
            word.count.eq(Mux(last, min(width, ethernet.FCS_SIZE), width)),
            crc.state.eq(Mux(index == 0, FCS_INITIAL, state)),
            crc.data.eq(waiting),
            crc.count.eq(width),
        ]
        with m.If(self.approved.valid):
            m.d.sync += self.busy.eq(1)
        with m.Elif(~self.busy):
            m.d.sync += waiting.eq(Cat(frame[:width]))
        with m.If(self.octets.valid & self.octets.ready):
            m.d.sync += [index.eq(index + 1), state.eq(crc.next_state)]
            with m.Switch(index):
                for n in range(1, frame_words):
                    with m.Case(n - 1):
                        m.d.sync += waiting.eq(Cat(frame[n * width : (n + 1) * width]))
                with m.Case(frame_words - 1):
                    m.d.sync += waiting.eq(~crc.next_state[:size])
                with m.Case(self.words - 1):
                    m.d.sync += [index.eq(0), self.busy.eq(0), waiting.eq(Cat(frame[:width]))]
                with m.Default():
                    m.d.sync += [state.eq(state >> size), waiting.eq(~(state >> size)[:size])]
