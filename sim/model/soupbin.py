"""The client's side of SoupBinTCP as a plain program: from the venue's octets to what they say.

Ref: SoupBinTCP 3.00, sections 2 and 3; SoupBinTCP 4.00; OUCH 5.0, section 3, and appendix A.
"""

from dataclasses import dataclass, field

from tickgate.spec import ouch50, soupbintcp

__all__ = ["Inbound", "Report"]

KINDS = {
    "S": "SYSTEM",
    "A": "ACCEPTED",
    "U": "REPLACED",
    "C": "CANCELED",
    "D": "AIQ_CANCELED",
    "E": "EXECUTED",
    "B": "BROKEN_TRADE",
    "F": "TRADE_CORRECTION",
    "J": "REJECTED",
    "P": "CANCEL_PENDING",
    "I": "CANCEL_REJECT",
    "T": "PRIORITY_UPDATE",
    "M": "MODIFIED",
    "R": "RESTATED",
}

NAMES = {
    "orig_user_ref_num": "previous",
    "decrement_shares": "quantity",
    "order_ref": "reference",
    "match_number": "reference",
    "order_state": "code",
    "liquidity": "code",
    "event_code": "code",
}
"""Fields that a report calls by another name. `display` is its code in a Priority Update alone."""

FIELDS = ("user_ref_num", "previous", "quantity", "price", "reference", "reason", "code")


@dataclass(frozen=True)
class Report:
    """One Sequenced Data packet; `values` by name, those that are not 0."""

    kind: str
    fits: bool
    sequence: int
    values: dict[str, int]


def _lengths_agree(size: int, data: bytes) -> bool:
    """Whether an appendage that begins, with its length, at `size` is as long as it says."""
    said = int.from_bytes(data[size : size + 2], "big")
    return len(data) >= size + 2 and size + 2 + said == len(data)


def _fits(type_: str, data: bytes) -> bool:
    messages = [ouch50.OUTBOUND[type_]]
    if type_ == "D":
        messages.append(ouch50.AIQ_CANCELED_WITH_STRATEGY)
    for message in messages:
        if "appendage_len" in message:
            if _lengths_agree(message.size - 2, data):
                return True
        elif len(data) == message.size or (
            message in ouch50.OPTIONAL_APPENDAGE and _lengths_agree(message.size, data)
        ):
            return True
    return False


@dataclass
class Inbound:
    """Reads what the venue sends, however it is cut."""

    next_sequence: int = 0
    session: str = ""
    accepted: bool = False
    rejected: int | None = None
    ended: bool = False
    lost: bool = False
    reports: list[Report] = field(default_factory=list)
    counters: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("debugs", "unsequenced", "unknown_packets", "unfit_reports"), 0
        )
    )
    _rest: bytes = b""
    _broken: bool = False
    _met: bool = False

    def restart(self) -> None:
        """A new connection; the sequence goes on."""
        self.accepted, self.rejected, self.ended, self.lost = False, None, False, False
        self._rest, self._broken, self._met = b"", False, False

    def feed(self, octets: bytes) -> None:
        """More of the stream."""
        if self._broken:
            return
        data, at = self._rest + octets, 0
        while len(data) - at >= soupbintcp.LENGTH_SIZE:
            length = int.from_bytes(data[at : at + 2], "big")
            if length == 0:
                self.lost = self._broken = True
                return
            end = at + soupbintcp.LENGTH_SIZE + length
            if len(data) < end:
                break
            self._packet(chr(data[at + 2]), data[at + 3 : end])
            at = end
        self._rest = data[at:]

    def _packet(self, type_: str, body: bytes) -> None:
        match type_:
            case "S":
                self._report(body)
            case "A" if len(body) == 30:
                self._login(body)
            case "J" if len(body) == 1:
                self.rejected = body[0]
            case "Z" if not body:
                self.ended = True
            case "H" if not body:
                pass
            case "+":
                self.counters["debugs"] += 1
            case "U":
                self.counters["unsequenced"] += 1
            case _:
                self.counters["unknown_packets"] += 1

    def _login(self, body: bytes) -> None:
        if self._met:
            self.lost = True
            return
        self._met = True
        self.session = body[:10].decode("latin-1")
        digits = body[10:].decode("latin-1").strip(" ")
        if digits.isascii() and digits.isdecimal() and int(digits) < 1 << 64:
            self.next_sequence, self.accepted = int(digits), True
        else:
            self.lost = True

    def _report(self, body: bytes) -> None:
        sequence, self.next_sequence = self.next_sequence, self.next_sequence + 1
        type_ = body[:1].decode("latin-1")
        if type_ not in ouch50.OUTBOUND:
            report = Report("UNKNOWN", False, sequence, {})
        elif not _fits(type_, body):
            report = Report(KINDS.get(type_, "OTHER"), False, sequence, {})
        elif type_ not in KINDS:
            report = Report("OTHER", True, sequence, {})
        else:
            report = self._decode(type_, body, sequence)
        self.counters["unfit_reports"] += not report.fits
        self.reports.append(report)

    @staticmethod
    def _decode(type_: str, body: bytes, sequence: int) -> Report:
        message, values = ouch50.OUTBOUND[type_], {}
        for each in message:
            name = NAMES.get(each.name, each.name)
            if each.name == "display":
                name = "code" if type_ == "T" else "display"
            if name in FIELDS:
                at = message.offset(each.name)
                # Characters are told as their codes, so that all fields are numbers.
                values[name] = int.from_bytes(body[at : at + each.size], "big")
        fits = values.get("price", 0) < 1 << 32
        return Report(KINDS[type_], fits, sequence, {k: v for k, v in values.items() if v})
