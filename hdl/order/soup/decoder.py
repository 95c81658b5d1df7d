"""What the packets of a venue say: reports of OUCH 5.0, and the session's own.

Ref: SoupBinTCP 3.00, section 2.2 and SoupBinTCP 4.00; OUCH 5.0, section 3, and appendix A.
"""

from amaranth.hdl import Cat, Module, Mux, Shape, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.order.soup.aligner import Row, row_size
from tickgate.hdl.stream import ReportKind, require_width
from tickgate.spec import ouch50, soupbintcp
from tickgate.spec.soupbintcp import HEADER, LOGIN_ACCEPTED, LOGIN_REJECTED

__all__ = ["LOGIN_SIZE", "Decoder", "Record", "RecordKind"]

KINDS = {
    "S": ReportKind.SYSTEM,
    "A": ReportKind.ACCEPTED,
    "U": ReportKind.REPLACED,
    "C": ReportKind.CANCELED,
    "D": ReportKind.AIQ_CANCELED,
    "E": ReportKind.EXECUTED,
    "B": ReportKind.BROKEN_TRADE,
    "F": ReportKind.TRADE_CORRECTION,
    "J": ReportKind.REJECTED,
    "P": ReportKind.CANCEL_PENDING,
    "I": ReportKind.CANCEL_REJECT,
    "T": ReportKind.PRIORITY_UPDATE,
    "M": ReportKind.MODIFIED,
    "R": ReportKind.RESTATED,
}
"""The others that OUCH knows are of kind OTHER."""

SOURCES = {
    "user_ref_num": ("user_ref_num",),
    "previous": ("orig_user_ref_num",),
    "quantity": ("quantity", "decrement_shares"),
    "price": ("price",),
    "reference": ("order_ref", "match_number"),
    "reason": ("reason",),
    "code": ("order_state", "liquidity", "event_code", "display"),
}
"""The fields of a report, and those of a message that they are: the first that it has."""

APPENDAGE_SIZE = 2

LOGIN_SIZE = LOGIN_ACCEPTED.size - HEADER.size
"""Octets of what a Login Accepted says."""


def _source(type_: str, name: str):
    """The place in a message of a field of its report, as (offset, size); None without one."""
    message = ouch50.OUTBOUND[type_]
    if type_ not in KINDS:
        return None
    for field in SOURCES[name]:
        if field in message:
            return message.offset(field), message.field(field).size
    return None


def _lengths(type_: str) -> list[tuple[int, int | None]]:
    """The ways in which a message may end: its size, and where then an appendage's length is."""
    messages = [ouch50.OUTBOUND[type_]]
    if type_ == ouch50.AIQ_CANCELED_WITH_STRATEGY.type:
        messages.append(ouch50.AIQ_CANCELED_WITH_STRATEGY)
    ways = []
    for message in messages:
        if "appendage_len" in message:
            ways.append((message.size, message.offset("appendage_len")))
        else:
            ways.append((message.size, None))
            if message in ouch50.OPTIONAL_APPENDAGE:
                ways.append((message.size + APPENDAGE_SIZE, message.size))
    return ways


class RecordKind(enum.Enum, shape=3):
    """What a packet is to the session. Heartbeats of the server are nothing."""

    REPORT = 0
    ACCEPTED = 1
    REJECTED = 2
    END = 3
    DEBUG = 4
    UNSEQUENCED = 5
    UNKNOWN = 6


class Record(data.Struct):
    """One packet.

    The fields from `report` on are those of `tickgate.hdl.stream.Report`; `reason` is also that of
    a Login Rejected.
    """

    kind: RecordKind
    report: ReportKind
    fits: 1
    user_ref_num: 32
    previous: 32
    quantity: 32
    price: 32
    reference: 64
    reason: 16
    code: 8


class Decoder(wiring.Component):
    """Collects the octets of a packet from its rows, and says what they mean.

    Latency: `LATENCY` cycles from the last row of a packet to its record. Throughput: a packet a
    cycle.

    Parameters
    ----------
    width : int
        Octets a cycle of the stream that the rows come from.

    Members
    -------
    rows : In(stream of Row)
    records : Out(stream of Record)
    login : Out(8 * LOGIN_SIZE)
        Session and sequence number of the first Login Accepted since `clear`, the first character
        on top.
    idle : Out(1)
        No record is on its way.
    save, restore, clear : In(1)
        As in `Aligner`.
    """

    LATENCY = 2

    def __init__(self, *, width: int) -> None:
        require_width(width)
        self._row = row_size(width)
        super().__init__(
            {
                "rows": In(stream.Signature(Row(width), always_ready=True)),
                "records": Out(stream.Signature(Record, always_ready=True)),
                "login": Out(8 * LOGIN_SIZE),
                "idle": Out(1),
                "save": In(1),
                "restore": In(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        octets = self._collect(m)
        whole = Signal()
        m.d.sync += whole.eq(self.rows.valid & self.rows.payload.last & ~self.restore)
        length = Signal(16)
        m.d.comb += [
            length.eq(Cat(octets[1], octets[0])),
            self.idle.eq(~whole & ~self.records.valid),
        ]
        record, wanted = Signal(Record), Signal()
        self._read_packet(m, octets, length, record, wanted, whole)
        self._read_report(m, octets, length, record)
        m.d.sync += [
            self.records.valid.eq(whole & wanted & ~self.restore),
            self.records.payload.eq(record),
        ]
        return m

    def _collect(self, m: Module) -> dict[int, Signal]:
        """The octets that matter, by their place in the packet."""
        body = HEADER.size
        used = {*range(body), *range(body, LOGIN_ACCEPTED.size), body}
        for type_ in ouch50.OUTBOUND:
            for name in SOURCES:
                if place := _source(type_, name):
                    used |= set(range(body + place[0], body + sum(place)))
            for _, at in _lengths(type_):
                if at is not None:
                    used |= {body + at, body + at + 1}
        rows = max(used) // self._row + 1
        row, octets = Signal(range(rows + 1)), {}
        index = Mux(self.rows.payload.first, 0, row)
        with m.If(self.rows.valid & (index != rows)):
            m.d.sync += row.eq(index + 1)
        for at in sorted(used):
            octets[at] = Signal(8, name=f"octet_{at}")
            with m.If(self.rows.valid & (index == at // self._row)):
                m.d.sync += octets[at].eq(self.rows.payload.data.word_select(at % self._row, 8))
        for signal in (row, *octets.values()):
            saved = Signal.like(signal, name=f"saved_{signal.name}")
            with m.If(self.save):
                m.d.sync += saved.eq(signal)
            with m.If(self.restore):
                m.d.sync += signal.eq(saved)
        with m.If(self.clear):
            m.d.sync += row.eq(0)
        return octets

    @staticmethod
    def _number(octets, at: int, size: int):
        return Cat(octets[at + n] for n in reversed(range(size)))

    def _read_packet(self, m: Module, octets, length, record, wanted, whole) -> None:
        """Tells by the type of the packet what it is, if it has the length that this must have."""
        kind, body = record.kind, HEADER.size
        m.d.comb += [wanted.eq(1), kind.eq(RecordKind.UNKNOWN), record.fits.eq(1)]
        # A later one must not change what may still have to be read.
        met, saved_met = Signal(), Signal()
        with m.If(whole & (kind == RecordKind.ACCEPTED) & ~met):
            m.d.sync += [self.login.eq(self._number(octets, body, LOGIN_SIZE)), met.eq(1)]
        with m.If(self.save):
            m.d.sync += saved_met.eq(met)
        with m.If(self.restore):
            m.d.sync += met.eq(saved_met)
        with m.If(self.clear):
            m.d.sync += [met.eq(0), saved_met.eq(0)]
        right = {
            LOGIN_ACCEPTED.type: LOGIN_ACCEPTED.size - soupbintcp.LENGTH_SIZE,
            LOGIN_REJECTED.type: LOGIN_REJECTED.size - soupbintcp.LENGTH_SIZE,
            soupbintcp.END_OF_SESSION: 1,
        }
        with m.Switch(octets[HEADER.offset("type")]):
            for type_, which in (
                (soupbintcp.SEQUENCED_DATA, RecordKind.REPORT),
                (LOGIN_ACCEPTED.type, RecordKind.ACCEPTED),
                (LOGIN_REJECTED.type, RecordKind.REJECTED),
                (soupbintcp.END_OF_SESSION, RecordKind.END),
                (soupbintcp.DEBUG, RecordKind.DEBUG),
                (soupbintcp.UNSEQUENCED_DATA, RecordKind.UNSEQUENCED),
            ):
                with m.Case(ord(type_)):
                    if type_ in right:
                        fits = length == right[type_]
                        m.d.comb += kind.eq(Mux(fits, which, RecordKind.UNKNOWN))
                    else:
                        m.d.comb += kind.eq(which)
            with m.Case(ord(soupbintcp.SERVER_HEARTBEAT)):
                m.d.comb += wanted.eq(length != 1)

    def _read_report(self, m: Module, octets, length, record) -> None:
        body = HEADER.size
        is_report = Signal()
        m.d.comb += is_report.eq(octets[body - 1] == ord(soupbintcp.SEQUENCED_DATA))
        with m.If(octets[body - 1] == ord(LOGIN_REJECTED.type)):
            m.d.comb += record.reason.eq(octets[body])
        size = length - 1
        with m.If(is_report):
            m.d.comb += [record.report.eq(ReportKind.UNKNOWN), record.fits.eq(0)]
            with m.Switch(octets[body]):
                for type_ in ouch50.OUTBOUND:
                    with m.Case(ord(type_)):
                        self._read_message(m, octets, size, record, type_)

    def _read_message(self, m: Module, octets, size, record, type_: str) -> None:
        body, ways = HEADER.size, []
        for least, at in _lengths(type_):
            if at is None:
                ways.append(size == least)
            else:
                said = self._number(octets, body + at, APPENDAGE_SIZE)
                ways.append((size >= least) & (size == least + said))
        m.d.comb += [
            record.report.eq(KINDS.get(type_, ReportKind.OTHER)),
            record.fits.eq(Cat(ways).any()),
        ]
        for name in SOURCES:
            if (place := _source(type_, name)) is None:
                continue
            value = self._number(octets, body + place[0], place[1])
            m.d.comb += record[name].eq(value)
            beyond = value[Shape.cast(record[name].shape()).width :]
            if len(beyond):
                with m.If(beyond.any()):
                    m.d.comb += record.fits.eq(0)
