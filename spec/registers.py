"""The register map of the card and the frames that carry it: one table for all who need it.

From this table come the gateware's register bank, the driver's attributes, the names of the command
line, docs/registers.md, and the map hash by which a driver refuses a card with another map.

Addresses, bits, opcodes and codes are never reused: an entry that goes leaves its number in
`RETIRED`. Reserved bits are rejected, not ignored.

Ref: docs/architecture.md, "Control"; docs/risk.md, gate 1.
"""

import enum
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tickgate.spec import events

__all__ = [
    "ACCOUNT_REGISTERS",
    "ARMED_CODE",
    "BANK_SYMBOLS",
    "BY_ADDRESS",
    "BY_NAME",
    "CRC_SIZE",
    "DELIMITER",
    "DISARMED_CODE",
    "IN_FORCE_BASE",
    "LEVELS",
    "MAGIC",
    "MAP_HASH",
    "MAX_REQUEST_SIZE",
    "MAX_SYMBOLS",
    "MAX_WORDS",
    "PAGE_WORDS",
    "PARAMETERS",
    "PARAMETERS_BY_NAME",
    "REGISTERS",
    "REPLY_FLAG",
    "REPLY_HEADER_SIZE",
    "REQUEST_HEADER_SIZE",
    "RETIRED",
    "SHADOW_BASE",
    "VERSION",
    "WORD_MASKS",
    "BitField",
    "Kind",
    "Need",
    "Opcode",
    "Parameter",
    "RecoveryCause",
    "RecoveryPhase",
    "Register",
    "Status",
    "account_checksum",
    "bank_of",
    "build_hash",
    "in_force_address",
    "map_text",
    "page_values",
    "page_words",
    "parameter_checksum",
    "render_markdown",
    "shadow_address",
]

VERSION = 1
MAGIC = 0x5447_4154
"""`TGAT`: the first word that a driver reads."""

MAX_WORDS = 16
"""Most data words of a frame."""
REQUEST_HEADER_SIZE = 5
"""Octets: opcode, tag, address (2, little-endian), count of words."""
REPLY_HEADER_SIZE = 4
"""Octets: opcode with `REPLY_FLAG`, tag, status, count of words."""
CRC_SIZE = 4
"""Octets of the CRC-32 (that of zlib, little-endian) over everything before it."""
MAX_REQUEST_SIZE = REQUEST_HEADER_SIZE + 4 * MAX_WORDS + CRC_SIZE
"""Octets of the longest request, before COBS."""
REPLY_FLAG = 0x80
DELIMITER = 0x00
"""Ends each frame; any number of them between frames does no harm."""


class Opcode(enum.IntEnum):
    """What a request asks for. The reply's opcode has `REPLY_FLAG` set.

    `READ`: no data; the reply holds `count` words from `address` on.
    `WRITE`: `count` words to `address` on; all take effect, in order, or none.
    `EVENT`: the address is unused, the one data word is 1 + the sequence number of the last event
    received (0 if none); the reply holds the next record, or no word if there is none. A record
    stays in the queue until it is acknowledged so; it is safe to ask twice.
    """

    READ = 0x01
    WRITE = 0x02
    EVENT = 0x03


class Status(enum.IntEnum):
    """What became of a request.

    A reply with `BAD_ADDRESS`, `READ_ONLY`, `ARMED`, `BAD_VALUE` or `NOT_NOW` has one data word:
    the address at fault.
    """

    OK = 0
    BAD_ADDRESS = 1
    READ_ONLY = 2
    ARMED = 3
    BAD_LENGTH = 4
    UNKNOWN_OPCODE = 5
    BAD_VALUE = 6
    NOT_NOW = 7

    @property
    def doc(self) -> str:
        """What it means, for people."""
        return _STATUS_DOC[self]


_STATUS_DOC = {
    Status.OK: "done",
    Status.BAD_ADDRESS: "no register at this address",
    Status.READ_ONLY: "the register cannot be written",
    Status.ARMED: "refused because the card is armed",
    Status.BAD_LENGTH: "the count of words is 0, more than 16, or not that of the frame",
    Status.UNKNOWN_OPCODE: "the card does not know this opcode",
    Status.BAD_VALUE: "a reserved bit is set, a code is wrong or an index is out of range",
    Status.NOT_NOW: "the card's state does not allow it: a commit is under way, or it cannot be "
    "armed (killed, no valid configuration, tables not ready, an alert, another hash than in "
    "`arm_...`); see `state` and `alerts`",
}


class Kind(enum.Enum):
    """How a register behaves."""

    IDENTITY = "constant of the build"
    COMMAND = "a write does something once; reads as 0"
    CONFIG = "holds what is written; writable while disarmed if it does not say otherwise"
    STATUS = "read-only"
    COUNTER = "read-only, counts modulo 2^32 from reset"


class Need(enum.Enum):
    """What a write needs of the card's state."""

    DISARMED = "disarmed"
    SETTLED = "no commit under way"
    ARMABLE = (
        "not killed, configuration valid, tables ready, no commit under way, no alert, and all "
        "hashes in arm_... those of the card"
    )

    @property
    def refusal(self) -> Status:
        """The status of a write that lacks it."""
        return Status.ARMED if self is Need.DISARMED else Status.NOT_NOW


@dataclass(frozen=True)
class BitField:
    """Bits of a register.

    Parameters
    ----------
    name : str
    low, width : int
        The lowest bit, and how many.
    doc : str
    below : str or None
        Identity register that bounds the value: it must be less.
    """

    name: str
    low: int
    width: int
    doc: str = ""
    below: str | None = None

    @property
    def mask(self) -> int:
        """The bits of the register that are this field's."""
        return ((1 << self.width) - 1) << self.low


@dataclass(frozen=True)
class Register:
    """One 32-bit register.

    Parameters
    ----------
    name : str
        The name everywhere: gateware, driver, command line, documentation.
    address : int
        Word address.
    kind : Kind
    doc : str
    width : int
        Bits from bit 0 that mean something; the others are reserved. Ignored where there are
        `fields`.
    fields : tuple of BitField
    code : int or None
        The one value that a command takes.
    needs : tuple of Need
    latched_by : str or None
        The register whose read freezes this one, so that both halves are of the same moment.
    amount : int
        Bits of the amount by which a counter may rise in one cycle.
    inside : bool
        The control part makes this value itself; the others come from the core's stages.
    """

    name: str
    address: int
    kind: Kind
    doc: str
    width: int = 32
    fields: tuple[BitField, ...] = ()
    code: int | None = None
    needs: tuple[Need, ...] = ()
    latched_by: str | None = None
    amount: int = 1
    inside: bool = False

    @property
    def mask(self) -> int:
        """The bits that are not reserved."""
        if self.fields:
            return sum(field.mask for field in self.fields)
        return (1 << self.width) - 1

    @property
    def writable(self) -> bool:
        """True for commands and configuration."""
        return self.kind in (Kind.COMMAND, Kind.CONFIG)

    def field(self, name: str) -> BitField:
        """The bit field of this name. Raises `KeyError`."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"register {self.name} has no field {name!r}")

    def pack(self, **values: int) -> int:
        """Makes a word from the values of all its fields.

        Raises `ValueError` naming the register and the field if a value is missing, unknown or too
        large.
        """
        word = 0
        for field in self.fields:
            if field.name not in values:
                raise ValueError(f"register {self.name}: field {field.name} is missing")
            word |= _fit(f"register {self.name}: {field.name}", values.pop(field.name), field)
        if values:
            raise ValueError(f"register {self.name} has no field {', '.join(values)}")
        return word

    def unpack(self, word: int) -> dict[str, int]:
        """Takes a word apart into its fields."""
        return {field.name: (word & field.mask) >> field.low for field in self.fields}


def _fit(what: str, value: int, field: "BitField | Parameter") -> int:
    if not 0 <= value < 1 << field.width:
        raise ValueError(f"{what} must be 0 to {(1 << field.width) - 1}, not {value}")
    return value << field.low


@dataclass(frozen=True)
class Parameter:
    """One value of a symbol's page, in a word of its own or with others.

    Parameters
    ----------
    name : str
    word : int
        Word of the page, 0 to 31.
    doc : str
        With the unit.
    low, width : int
        The lowest bit, and how many.
    fixed_while_armed : bool
        A commit that would change it is refused while the card is armed.
    """

    name: str
    word: int
    doc: str
    low: int = 0
    width: int = 32
    fixed_while_armed: bool = False

    @property
    def mask(self) -> int:
        """The bits of the word that are this parameter's."""
        return ((1 << self.width) - 1) << self.low


def _identity(address: int, name: str, doc: str) -> Register:
    return Register(name, address, Kind.IDENTITY, doc)


def _command(address: int, name: str, doc: str, **keywords) -> Register:
    return Register(name, address, Kind.COMMAND, doc, **keywords)


def _config(address: int, name: str, doc: str, **keywords) -> Register:
    return Register(name, address, Kind.CONFIG, doc, needs=(Need.DISARMED,), **keywords)


def _status(address: int, name: str, doc: str, **keywords) -> Register:
    return Register(name, address, Kind.STATUS, doc, **keywords)


def _counter(address: int, name: str, doc: str, **keywords) -> Register:
    return Register(name, address, Kind.COUNTER, doc, **keywords)


class RecoveryPhase(enum.IntEnum):
    """How far the recovery or re-centring of a book is; see `recover_state`."""

    NONE = 0
    SWEEPING = 1
    LOADING = 2
    JOINING = 3
    DONE = 4
    FAILED = 5
    UNPLACING = 6
    UNPLACED = 7
    PLACING = 8

    @property
    def doc(self) -> str:
        """What it means, for people."""
        return _PHASE_DOC[self]


_PHASE_DOC = {
    RecoveryPhase.NONE: "nothing since reset or clear_books",
    RecoveryPhase.SWEEPING: "the orders that the book still has are deleted",
    RecoveryPhase.LOADING: "the book is empty, and takes the orders of a snapshot",
    RecoveryPhase.JOINING: "what was held is applied",
    RecoveryPhase.DONE: "over; a recovered book is whole, and its messages go straight",
    RecoveryPhase.FAILED: "given up; the book is not trusted",
    RecoveryPhase.UNPLACING: "orders are taken out of the window that is to move",
    RecoveryPhase.UNPLACED: "the window is empty, and may be committed anew, armed or not",
    RecoveryPhase.PLACING: "the orders are placed in the window in force",
}


class RecoveryCause(enum.IntEnum):
    """Why a recovery failed; see `recover_state`."""

    NONE = 0
    GAP = 1
    OVERFLOW = 2
    MISSING = 3
    DUPLICATE = 4
    NO_ROOM = 5
    UNKNOWN = 6
    TOO_MUCH = 7
    LEVEL_OVERFLOW = 8
    NOT_EMPTY = 9
    ABORTED = 10

    @property
    def doc(self) -> str:
        """What it means, for people."""
        return _CAUSE_DOC[self]


_CAUSE_DOC = {
    RecoveryCause.NONE: "it did not",
    RecoveryCause.GAP: "messages were lost meanwhile, or the feed was restarted",
    RecoveryCause.OVERFLOW: "more messages came than can be held",
    RecoveryCause.MISSING: "the snapshot is older than the first message held",
    RecoveryCause.DUPLICATE: "an order was added that the card has already",
    RecoveryCause.NO_ROOM: "the store has no room for an order",
    RecoveryCause.UNKNOWN: "a message after the snapshot names an order that is not in the book",
    RecoveryCause.TOO_MUCH: "a message after the snapshot takes more shares than an order has",
    RecoveryCause.LEVEL_OVERFLOW: "a price level passed 2^32 - 1 shares",
    RecoveryCause.NOT_EMPTY: "the book is not empty without its orders; it needs clear_books",
    RecoveryCause.ABORTED: "recover_abort was written",
}

LEVELS = 6
"""Levels of a side in `book_view`."""


def _numbered(meanings: type[RecoveryPhase] | type[RecoveryCause]) -> str:
    """The values of a field and what they mean."""
    return "; ".join(f"{each.value}: {each.doc}" for each in meanings)


def _levels(address: int) -> list[Register]:
    """A price and a total for each level of both sides, in the order of the book."""
    names = [
        (f"book_{side}_{what}_{n}", f"{side} {n + 1} of book_view, {meaning}; 0 if there is none")
        for side in ("bid", "ask")
        for n in range(LEVELS)
        for what, meaning in (("price", "in 1e-4 USD"), ("shares", "in shares"))
    ]
    return [_status(address + n, name, doc) for n, (name, doc) in enumerate(names)]


RETIRED: frozenset[int] = frozenset()
"""Addresses that once were registers and must never be again."""

REGISTERS: tuple[Register, ...] = (
    _identity(0x0000, "magic", "the letters TGAT"),
    _identity(0x0001, "version", "version of the frame protocol"),
    _identity(0x0002, "map_hash", "CRC-32 of the register map"),
    _identity(0x0003, "build_hash", "CRC-32 of the parameters of the core"),
    _identity(0x0004, "width", "octets a cycle on the wire side"),
    _identity(0x0005, "symbols", "tracked symbols"),
    _identity(0x0006, "ticks", "price levels of a side of a book"),
    _identity(0x0007, "orders", "live orders in the store"),
    _identity(0x0008, "clock_period_ps", "clock period in ps"),
    _identity(0x0009, "locates", "stock locate codes that can be tracked: 0 to this less 1"),
    _identity(0x000A, "event_depth", "events that the queue holds"),
    _identity(0x000B, "sessions", "order sessions that the card keeps"),
    _command(0x0100, "arm", "lets orders leave", code=0x4152_4D21, needs=(Need.ARMABLE,)),
    _command(0x0101, "disarm", "stops new orders; see session_cancel_on_disarm", code=0x5354_4F50),
    _command(0x0102, "kill", "stops new orders, latched, and cancels open ones", code=0x4B49_4C4C),
    _command(
        0x0103,
        "clear_kill",
        "ends the kill; the card stays disarmed",
        code=0x434C_5231,
        needs=(Need.DISARMED,),
    ),
    _command(
        0x0104,
        "commit",
        "puts all shadow pages in force if this is their CRC-32",
        needs=(Need.SETTLED,),
    ),
    _command(
        0x0105,
        "whole",
        "declares that a symbol's book is whole, or is not",
        fields=(
            BitField("symbol", 0, 16, "symbol index", below="symbols"),
            BitField("value", 16, 1, "1: the book is whole (empty or complete) now"),
        ),
    ),
    _command(
        0x0106,
        "start_of_day",
        "clears all exposure",
        code=0x534F_4431,
        needs=(Need.DISARMED,),
    ),
    _command(
        0x0107,
        "restart_feed",
        "forgets the feed's session; expects start_sequence",
        code=0x5253_5446,
        needs=(Need.DISARMED,),
    ),
    _command(
        0x0108,
        "time_set",
        "sets the time to time_low and time_high",
        code=0x5449_4D45,
        needs=(Need.DISARMED,),
    ),
    _command(
        0x0109,
        "symbol_write",
        "maps a stock locate to a symbol index",
        fields=(
            BitField("locate", 0, 16, "stock locate code", below="locates"),
            BitField("symbol", 16, 12, "symbol index", below="symbols"),
            BitField("tracked", 31, 1, "1: this locate is that symbol; 0: it is not tracked"),
        ),
        needs=(Need.DISARMED,),
    ),
    _command(
        0x010A,
        "load_session",
        "takes user_ref_num_start and tcp_sequence_start as the next numbers",
        code=0x4C53_4553,
        needs=(Need.DISARMED,),
    ),
    _command(
        0x010B,
        "clear_locates",
        "forgets which stock locates are tracked; tables_ready is low meanwhile",
        code=0x434C_524C,
        needs=(Need.DISARMED,),
    ),
    _command(
        0x010C,
        "clear_books",
        "empties all books, none of them whole; tables_ready is low meanwhile",
        code=0x434C_5242,
        needs=(Need.DISARMED,),
    ),
    _command(
        0x010D,
        "show_symbol",
        "chooses the symbol of symbol_state",
        fields=(BitField("symbol", 0, 16, "symbol index", below="symbols"),),
    ),
    _command(
        0x0120,
        "show_book",
        "takes the best levels of a symbol, all in one cycle: see book_view",
        fields=(BitField("symbol", 0, 16, "symbol index", below="symbols"),),
    ),
    _command(
        0x0121,
        "recover",
        "empties the book of a symbol for a snapshot, and holds its messages; gives up another "
        "recovery, but is ignored while another symbol is re-centred",
        fields=(BitField("symbol", 0, 16, "symbol index", below="symbols"),),
    ),
    _command(0x0122, "recover_abort", "gives up the recovery under way", code=0x5143_4142),
    _command(0x0123, "recover_reference_low", "reference of the next snapshot order, low half"),
    _command(0x0124, "recover_reference_high", "its high half"),
    _command(0x0125, "recover_shares", "shares of the next snapshot order"),
    _command(0x0126, "recover_price", "its price, in 1e-4 USD"),
    _command(
        0x0127,
        "recover_order",
        "adds the snapshot order, if its number is that in recover_orders",
        fields=(
            BitField("number", 0, 31, "orders of the snapshot before it"),
            BitField("side", 31, 1, "0: to buy; 1: to sell"),
        ),
    ),
    _command(
        0x0128,
        "recover_join",
        "the snapshot is complete; low half of the sequence number of the last message in it",
    ),
    _command(
        0x0129,
        "recentre",
        "takes the orders of a symbol out of its window, so that it can move; gives up a recovery, "
        "but is ignored while another symbol is re-centred",
        fields=(BitField("symbol", 0, 16, "symbol index", below="symbols"),),
    ),
    _command(
        0x012A,
        "recentre_place",
        "places them in the window in force; ignored before all are taken out",
        code=0x5245_504C,
    ),
    _command(
        0x0130,
        "session_connect",
        "opens the TCP connection of the order session, if it is closed",
        code=0x4F50_454E,
        needs=(Need.DISARMED,),
    ),
    _command(0x0131, "session_close", "sends FIN when all is sent", code=0x434C_4F53),
    _command(0x0132, "session_abort", "sends RST, and forgets the connection", code=0x4142_5254),
    _command(
        0x0133,
        "session_octet",
        "an octet of a packet of SoupBinTCP for the venue; lost if session_state has no room",
        fields=(
            BitField("data", 0, 8),
            BitField("last", 8, 1, "1: the packet ends with it"),
        ),
    ),
    _command(
        0x0134,
        "load_report_sequence",
        "takes report_sequence_start as the sequence number of the report that is due",
        code=0x4C52_5351,
        needs=(Need.DISARMED,),
    ),
    _command(
        0x0135,
        "set_position",
        "sets the position of a symbol to position_start, in shares, less 2^32 if it is negative, "
        "and what it has cost to position_cost",
        fields=(
            BitField("symbol", 0, 16, "symbol index", below="symbols"),
            BitField("negative", 31, 1, "1: short"),
        ),
        needs=(Need.DISARMED,),
    ),
    _command(0x0136, "cancel_all", "cancels all own orders that are open", code=0x4341_4E41),
    _command(
        0x0137,
        "cancel_order",
        "cancels the own order with this user reference number; see own_cancels",
    ),
    _command(
        0x0138,
        "heartbeat_answer",
        "the bits of heartbeat_challenge, inverted: the host is alive",
    ),
    _command(
        0x0139,
        "renew_strategy",
        "enables the strategy anew after so many executions that it was latched off",
        code=0x5245_4E57,
    ),
    _command(
        0x013A,
        "acknowledge",
        "takes note of the alerts whose bits are set",
        fields=(
            BitField("killed", 0, 1, "see alerts"),
            BitField("strategy_off", 1, 1),
        ),
    ),
    _command(
        0x013B,
        "clear_fill_burst",
        "lets a symbol trade again that gate 28 has stopped",
        fields=(BitField("symbol", 0, 16, "symbol index", below="symbols"),),
    ),
    _config(0x0200, "feed_address", "multicast IPv4 address of the feed, line A"),
    _config(0x0201, "feed_port", "UDP port of the feed, line A", width=16),
    _config(0x0202, "feed_enable", "1: line A is received", width=1),
    _config(
        0x0203,
        "start_sequence_low",
        "sequence number that restart_feed expects, low half",
    ),
    _config(0x0204, "start_sequence_high", "its high half"),
    _config(0x0205, "time_low", "time that time_set sets, in ns, low half"),
    _config(0x0206, "time_high", "its high half"),
    _config(0x0207, "feed_address_b", "multicast IPv4 address of the feed, line B"),
    _config(0x0208, "feed_port_b", "UDP port of the feed, line B", width=16),
    _config(0x0209, "feed_enable_b", "1: line B is received", width=1),
    _config(
        0x020A,
        "gap_wait_us",
        "how long the other line may take to bring what one has missed; 0: a gap at once",
        width=16,
    ),
    _config(
        0x020B,
        "line_timeout_us",
        "silence after which a line is not waited for; 0: neither ever is",
        width=24,
    ),
    _config(
        0x020C,
        "await_fcs",
        "1: a frame is acted upon when its FCS is known to be right; 0: at once",
        width=1,
    ),
    _config(
        0x0210,
        "destination_mac_low",
        "MAC address of the next hop, last 4 octets; 0 in both: session_connect asks for it",
    ),
    _config(0x0211, "destination_mac_high", "its first 2 octets", width=16),
    _config(0x0212, "source_mac_low", "MAC address of the card, last 4 octets"),
    _config(0x0213, "source_mac_high", "its first 2 octets", width=16),
    _config(0x0214, "source_ip", "IPv4 address of the card"),
    _config(0x0215, "destination_ip", "IPv4 address of the venue"),
    _config(
        0x0216,
        "tcp_ports",
        "TCP ports of the order session",
        fields=(BitField("source", 0, 16), BitField("destination", 16, 16)),
    ),
    _config(0x0217, "tcp_sequence_start", "TCP sequence number that load_session sets"),
    _config(0x0218, "tcp_acknowledgement", "TCP acknowledgement number of each order"),
    _config(0x0219, "tcp_window", "TCP window of each order", width=16),
    _config(0x0220, "user_ref_num_start", "user reference number that load_session sets"),
    _config(
        0x0221,
        "order_attributes",
        "OUCH 5.0 codes of each order, as ASCII",
        fields=(
            BitField("time_in_force", 0, 8),
            BitField("display", 8, 8),
            BitField("capacity", 16, 8),
            BitField("intermarket_sweep", 24, 8),
        ),
    ),
    _config(
        0x0222,
        "order_cross_type",
        "OUCH 5.0 cross type of each order, as ASCII",
        width=8,
    ),
    Register(
        "page_bank",
        0x022F,
        Kind.CONFIG,
        "on a card of more than 512 symbols, the 512 of them whose pages are shown: those from "
        "512 times this on; writable at any time",
        width=3,
    ),
    _config(0x0223, "clordid_0", "client order id, characters 1 to 4, the first on top"),
    _config(0x0224, "clordid_1", "characters 5 to 8"),
    _config(0x0225, "clordid_2", "characters 9 to 12"),
    _config(0x0226, "clordid_3", "characters 13 and 14", width=16),
    _config(
        0x0230,
        "services",
        "what the card does for its network, as source_mac and source_ip",
        fields=(
            BitField("arp", 0, 1, "answers ARP requests"),
            BitField("icmp_echo", 1, 1, "answers ICMP echo requests"),
            BitField("igmp", 2, 1, "joins the groups of the feed, and answers queries"),
        ),
    ),
    _config(
        0x0238,
        "next_hop",
        "IPv4 address that is asked for by ARP where destination_mac is 0: that of the venue, or "
        "of the gateway to it",
    ),
    _config(0x0231, "rerequest_address", "IPv4 address of the server that retransmits"),
    _config(
        0x0232,
        "rerequest_ports",
        "UDP ports of requests; replies come to source_ip and the source port",
        fields=(BitField("source", 0, 16), BitField("destination", 16, 16)),
    ),
    _config(
        0x0233, "rerequest_mac_low", "MAC address of that server or the gateway, last 4 octets"
    ),
    _config(0x0234, "rerequest_mac_high", "its first 2 octets", width=16),
    _config(
        0x0235,
        "rerequest_wait_us",
        "how long nothing of what no line brings may come by request until it is a gap; 0: nothing "
        "is requested",
        width=24,
    ),
    _config(0x0236, "rerequest_interval_us", "time after which to ask again", width=16),
    _config(
        0x0237,
        "rerequest_limits",
        "how requests are made",
        fields=(
            BitField("tries", 0, 8, "requests in a row without an answer before giving up"),
            BitField("count", 16, 16, "messages of each request, at most what a reply can hold"),
        ),
    ),
    _config(0x0250, "account_max_gross_low", "limit, in 1e-4 USD, low half"),
    _config(0x0251, "account_max_gross_high", "its high half"),
    _config(0x0252, "account_max_net_low", "limit, in 1e-4 USD, low half"),
    _config(0x0253, "account_max_net_high", "its high half"),
    _config(0x0254, "account_max_open_orders", "limit, in orders"),
    _config(0x0255, "account_max_day_orders", "limit, in orders"),
    _config(0x0256, "account_max_day_shares", "limit, in shares"),
    _config(0x0257, "account_max_day_notional_low", "limit, in 1e-4 USD, low half"),
    _config(0x0258, "account_max_day_notional_high", "its high half"),
    _config(0x0278, "account_max_loss_low", "limit, in 1e-4 USD, low half"),
    _config(0x0279, "account_max_loss_high", "its high half"),
    _config(
        0x0259,
        "account_session_interval_ns",
        "time after which the session may send another message, in ns; 0: no order may leave",
    ),
    _config(0x025A, "account_session_burst_ns", "how far messages may be ahead of that, in ns"),
    _config(0x025B, "account_session_reserve_ns", "how much of that is kept for cancels, in ns"),
    _config(
        0x025C,
        "account_unaudited",
        "1: orders may leave though the queue of events has no room for their record",
        width=1,
    ),
    _config(
        0x025D,
        "account_max_executions",
        "limit, in executions since the strategy was enabled: as many latch it off",
    ),
    _config(
        0x025E,
        "account_move_window",
        "within what time max_move holds: the binary logarithm of ns",
        width=6,
    ),
    _config(
        0x025F,
        "account_fill_window",
        "within what time max_fills and max_fill_shares hold: the binary logarithm of ns",
        width=6,
    ),
    _config(
        0x0260,
        "session_live",
        "1: orders leave on the card's own TCP connection; 0: with the numbers of tcp_*",
        width=1,
    ),
    _config(0x0261, "session_tick_us", "the unit of the times that follow", width=16),
    *(
        _config(
            0x0262 + n,
            f"session_times_{n}",
            "times of the order session in ticks, see tickgate.hdl.order.tcp.types.Timing",
            fields=(BitField(low, 0, 16), BitField(high, 16, 16)),
        )
        for n, (low, high) in enumerate(
            (
                ("rto_initial", "rto_min"),
                ("rto_max", "ack_delay"),
                ("keepalive_idle", "keepalive_interval"),
                ("linger", "challenge_interval"),
                ("heartbeat", "silence"),
            )
        )
    ),
    _config(
        0x0267,
        "session_limits",
        "how often the order session tries, and how long it waits for an answer to an order",
        fields=(
            BitField("retries", 0, 8),
            BitField("keepalive_probes", 8, 8),
            BitField("order_timeout", 16, 16, "in ticks; 0: for ever"),
        ),
    ),
    _config(0x026A, "session_isn", "TCP sequence number that session_connect begins with"),
    _config(
        0x026B,
        "session_number_end",
        "on the order session, the first user reference number that no order may have",
    ),
    _config(0x026C, "position_start", "what set_position sets, modulo 2^32"),
    _config(
        0x0276,
        "position_cost_low",
        "what was paid for that position, or received for a short one, in 1e-4 USD; low half",
    ),
    _config(0x0277, "position_cost_high", "its high half"),
    _config(
        0x026D,
        "session_cancel_on_disarm",
        "1: while disarmed, own orders that are open are cancelled, as they are by a kill",
        width=1,
    ),
    _config(
        0x026E,
        "session_unanswered",
        "what of orders without an answer stops others",
        fields=(
            BitField("most", 0, 16, "orders that may be unanswered at a time"),
            BitField(
                "kill_timeout",
                16,
                16,
                "in ticks: how old one may be until it kills the card; 0: any age",
            ),
        ),
    ),
    _config(
        0x026F,
        "session_rejects",
        "how many orders the venue may reject",
        fields=(
            BitField("window", 0, 16, "within so many ticks, from the first to the last"),
            BitField("most", 16, 4, "so many; one more kills the card"),
        ),
    ),
    _config(
        0x0270,
        "host_heartbeat",
        "how long the host of an armed card may be silent",
        fields=(
            BitField("timeout", 0, 16, "in ms; 0: none is programmed, and no order may leave"),
            BitField("off", 31, 1, "1: for ever"),
        ),
    ),
    _config(0x0271, "arm_map_hash", "map_hash of the card that arm is meant for"),
    _config(0x0272, "arm_build_hash", "its build_hash"),
    _config(0x0273, "arm_pages", "its committed_checksum"),
    _config(0x0274, "arm_account", "its account_checksum"),
    _config(
        0x0275,
        "session_keep_orders",
        "1: own orders stay open when a gate stops their symbol; 0: they are cancelled",
        width=1,
    ),
    _config(0x0268, "report_sequence_start_low", "what load_report_sequence sets, low half"),
    _config(0x0269, "report_sequence_start_high", "its high half"),
    _status(
        0x0300,
        "state",
        "what the card is doing",
        inside=True,
        fields=(
            BitField("armed", 0, 1, "orders may leave"),
            BitField("killed", 1, 1, "latched until clear_kill"),
            BitField("config_valid", 2, 1, "a commit has succeeded since reset"),
            BitField("committing", 3, 1, "a commit is being checked"),
            BitField("commit_failed", 4, 1, "the last commit changed nothing"),
            BitField("tables_ready", 5, 1, "all memories are clear after reset"),
            BitField("regular_session", 6, 1, "the feed said that market hours have begun"),
            BitField("breach", 7, 1, "a market-wide circuit breaker has tripped"),
            BitField(
                "commit_fixed",
                8,
                1,
                "the last commit failed because it would have changed, while armed, what is "
                "fixed then; if only commit_failed is set, its checksum was wrong",
            ),
        ),
    ),
    _status(
        0x0301,
        "committed_checksum",
        "CRC-32 of the pages in force; 0 if none",
        inside=True,
    ),
    _status(
        0x0302,
        "time_now_low",
        "time in ns, low half; freezes the high half",
        inside=True,
    ),
    _status(0x0303, "time_now_high", "its high half", inside=True, latched_by="time_now_low"),
    _status(
        0x0304,
        "expected_sequence_low",
        "next feed sequence number; freezes the high half",
    ),
    _status(
        0x0305,
        "expected_sequence_high",
        "its high half",
        latched_by="expected_sequence_low",
    ),
    _status(0x0306, "next_user_ref_num", "user reference number of the next order"),
    _status(0x0307, "tcp_sequence", "TCP sequence number of the next order"),
    _status(0x0308, "events_pending", "events in the queue", inside=True),
    _status(
        0x0309,
        "feed_state",
        "what the feed knows of session and lines",
        fields=(
            BitField("session_known", 0, 1, "a session was seen since restart_feed"),
            BitField("session_ended", 1, 1, "its end was told"),
            BitField("alive_a", 2, 1, "line A has brought it within line_timeout_us"),
            BitField("alive_b", 3, 1, "line B has"),
            BitField("waiting", 4, 1, "what one line has missed may come on the other"),
            BitField("joined_a", 5, 1, "the card is a member of line A's group"),
            BitField("joined_b", 6, 1, "it is of line B's"),
            BitField("recovering", 7, 1, "what no line has brought is being requested"),
        ),
    ),
    _status(
        0x030A,
        "symbol_state",
        "what the feed has said of the symbol that show_symbol chose",
        fields=(
            BitField("symbol", 0, 16, "symbol index"),
            BitField("trading", 16, 1, "trading action T, and no other since"),
            BitField("operational_halt", 17, 1, "Nasdaq has halted it on its own market"),
            BitField("short_sale_restricted", 18, 1, "Reg SHO short sale price test in force"),
            BitField("fill_burst", 19, 1, "gate 28 has stopped it, until clear_fill_burst"),
        ),
    ),
    _status(
        0x030B,
        "kill_causes",
        "what has killed the card since the last clear_kill",
        inside=True,
        fields=(
            BitField("host", 0, 1, "the command"),
            BitField("pin", 1, 1, "the pin for it; no clear_kill counts while that is high"),
            BitField(
                "integrity",
                2,
                1,
                "a bit has flipped: of what register integrity names, or of the code for armed "
                "or killed",
            ),
            BitField("session", 3, 1, "what the venue sends cannot be read; as long as that lasts"),
            BitField("internal", 4, 1, "the two paths to the top of a book disagree"),
            BitField("token_order", 5, 1, "gate 20: a user reference number was used twice"),
            BitField(
                "unacknowledged",
                6,
                1,
                "gate 31: an order was not answered within the timeout for a kill; until it is",
            ),
            BitField("reject_storm", 7, 1, "gate 32: the venue has rejected too many orders"),
            BitField("fill_integrity", 8, 1, "gate 33: reports of the venue cannot be"),
            BitField("host_heartbeat", 9, 1, "gate 3: the host has not answered in time"),
            BitField("gross_exposure", 16, 1, "gate 7: more is held and open than its limit"),
            BitField("loss", 17, 1, "gate 30: more is lost than its limit"),
        ),
    ),
    _status(
        0x030C,
        "heartbeat_challenge",
        "what heartbeat_answer must answer, all bits inverted; changes with each right answer",
        inside=True,
    ),
    _status(
        0x030D,
        "strategy_executions",
        "executions of own orders since renew_strategy, or since reset",
    ),
    _status(
        0x030E,
        "integrity",
        "where a flipped bit was seen since clear_kill; orders are refused while any is set",
        fields=(
            BitField("exposure", 0, 1, "shares reserved by approved orders"),
            BitField("price_reference", 1, 1, "last trades"),
            BitField("book", 2, 1, "last tops as the gates know them"),
            BitField("freshness", 3, 1, "times of the last messages"),
            BitField("trading_state", 4, 1, "trading states, session and breach of the market"),
            BitField("rate", 5, 1, "buckets of the message rate"),
            BitField("open_orders", 6, 1, "numbers of open orders"),
            BitField("duplicates", 7, 1, "last orders"),
            BitField("daily_totals", 8, 1, "orders, shares and notional of the day"),
            BitField("account_exposure", 9, 1, "notional of open orders"),
            BitField("order_number", 10, 1, "next user reference number"),
            BitField("limits", 11, 1, "limits and name of a symbol"),
            BitField("strategy", 12, 1, "parameters of its strategy"),
            BitField("parameters", 13, 1, "window or tick of its book"),
            BitField("account_limits", 14, 1, "limits of the account"),
            BitField("accounts", 15, 1, "positions, open and traded shares"),
            BitField("own_orders", 16, 1, "own orders"),
        ),
    ),
    _status(
        0x0310,
        "alerts",
        "what has happened and was not acknowledged; none, or the card cannot be armed",
        inside=True,
        fields=(
            BitField("killed", 0, 1, "the card was killed"),
            BitField("strategy_off", 1, 1, "gate 27: the strategy was latched off"),
        ),
    ),
    _status(
        0x030F,
        "account_checksum",
        "CRC-32 of the registers account_... that are in force; 0 if none",
        inside=True,
    ),
    _status(
        0x0380,
        "book_view",
        "the book of the symbol that show_book chose, as it was at one moment",
        fields=(
            BitField("symbol", 0, 16, "symbol index"),
            BitField("bid_levels", 16, 3, "bids listed"),
            BitField("bid_more", 19, 1, "more bids lie, or may lie, in the window"),
            BitField("bid_complete", 20, 1, "0: listed bids are missing, for want of time"),
            BitField("ask_levels", 21, 3, "asks listed"),
            BitField("ask_more", 24, 1, "more asks lie, or may lie, in the window"),
            BitField("ask_complete", 25, 1, "0: listed asks are missing, for want of time"),
            BitField("trusted", 29, 1, "the book is whole"),
            BitField("exact", 30, 1, "its top is exact"),
            BitField("ready", 31, 1, "0: it has yet to be taken"),
        ),
    ),
    _status(
        0x0381,
        "book_view_sequence",
        "low half of the sequence number of the last message before that moment",
    ),
    *_levels(0x0382),
    _status(
        0x03A0,
        "recover_state",
        "the last recovery or re-centring of a book",
        fields=(
            BitField("phase", 0, 4, _numbered(RecoveryPhase)),
            BitField("cause", 4, 4, "why it failed: " + _numbered(RecoveryCause)),
            BitField("first_known", 15, 1, "recover_first is known"),
            BitField("symbol", 16, 16, "symbol index"),
        ),
    ),
    _status(
        0x03A1,
        "recover_orders",
        "orders of the snapshot that were added; steps of a re-centring that were taken",
        width=31,
    ),
    _status(
        0x03A2,
        "recover_first",
        "low half of the sequence number from which on all messages of the symbol are held",
    ),
    _status(0x03A3, "recover_held", "messages held now", width=16),
    _status(
        0x03A4,
        "recentre_bid",
        "highest price to buy among the orders that the last re-centring took out of the window "
        "and those that were added meanwhile, in 1e-4 USD; 0 if there was none",
    ),
    _status(0x03A5, "recentre_ask", "lowest price to sell among them; 0 if there was none"),
    _status(
        0x03B0,
        "session_state",
        "the order session",
        fields=(
            BitField("state", 0, 4, "of the connection, see tickgate.hdl.order.tcp.types.State"),
            BitField("outcome", 4, 3, "why there is none, see Outcome there"),
            BitField("room", 7, 1, "session_octet takes another one"),
            BitField("accepted", 8, 1, "the login was accepted"),
            BitField("rejected", 9, 1, "it was rejected"),
            BitField("ended", 10, 1, "the venue has ended the session"),
            BitField("lost", 11, 1, "what the venue sends cannot be read"),
            BitField("silent", 12, 1, "the venue has said nothing for too long"),
            BitField("may_order", 13, 1, "an order may go"),
            BitField("overdue", 14, 1, "an order was not answered in time"),
            BitField("spent", 15, 1, "the next user reference number was used, or may not be"),
            BitField("reason", 16, 8, "why the login was rejected, as ASCII"),
        ),
    ),
    _status(0x03B1, "due_sequence_low", "report that is due; freezes the high half"),
    _status(0x03B2, "due_sequence_high", "its high half", latched_by="due_sequence_low"),
    _status(
        0x03C0,
        "told_sequence_low",
        "report that the venue sends next, by its answer to the login; freezes the high half",
    ),
    _status(0x03C1, "told_sequence_high", "its high half", latched_by="told_sequence_low"),
    _status(
        0x03B3,
        "own_orders",
        "own orders that may still be executed, and those without an answer",
        fields=(BitField("open", 0, 16), BitField("unanswered", 16, 16)),
    ),
    _status(
        0x03C2,
        "own_cancels",
        "cancels of own orders",
        fields=(
            BitField("waiting", 0, 1, "some are yet to be sent"),
            BitField("unanswered", 1, 1, "some were sent, and the venue has not answered"),
            BitField("found", 2, 1, "the order of the last cancel_order was open"),
        ),
    ),
    _status(
        0x03C3,
        "next_hop_mac_low",
        "MAC address that the order session sends to, last 4 octets: as configured, or learnt by "
        "ARP when it was last opened; 0 in both if there is none yet; freezes the others",
    ),
    _status(
        0x03C4,
        "next_hop_mac_high",
        "its first 2 octets",
        width=16,
        latched_by="next_hop_mac_low",
    ),
    _status(0x03B4, "position_low", "of the symbol that show_symbol chose, in shares; low half"),
    _status(0x03B5, "position_sign", "1: short", width=1, latched_by="position_low"),
    _status(0x03B6, "open_buys", "shares of its orders that may still be bought"),
    _status(0x03B7, "open_sells", "and sold"),
    *(
        _status(
            0x03B8 + 2 * n + half,
            f"{what}_{('low', 'high')[half]}",
            f"{doc}; {('low half, freezes the high one', 'high half')[half]}",
            latched_by=f"{what}_low" if half else None,
        )
        for n, (what, doc) in enumerate(
            (
                ("bought_shares", "shares bought of it"),
                ("bought_notional", "shares times price, in 1e-4 USD"),
                ("sold_shares", "shares sold of it"),
                ("sold_notional", "shares times price, in 1e-4 USD"),
            )
        )
        for half in range(2)
    ),
    _status(
        0x03D4,
        "valuation",
        "what is known of the worth of all positions",
        fields=(
            BitField("known", 0, 1, "each one has a price; while not, gates 7, 8 and 30 fail"),
            BitField("within_loss", 1, 1, "profit is not below the limit of gate 30"),
            BitField("beyond_loss", 2, 1, "it is: kills while armed"),
            BitField("beyond_gross", 3, 1, "more is held and open than gate 7 allows: so does it"),
        ),
    ),
    *(
        _status(
            0x03D5 + 2 * n + half,
            f"{what}_{('low', 'high')[half]}",
            f"{doc}, in 1e-4 USD; {('low half, freezes the high one', 'high half')[half]}",
            latched_by=f"{what}_low" if half else None,
        )
        for n, (what, doc) in enumerate(
            (
                ("long_value", "what all long positions are worth at the last prints"),
                ("short_value", "what all short positions are worth at the last prints"),
                ("profit", "sold - bought + position x best bid or ask; negative modulo 2^64"),
            )
        )
        for half in range(2)
    ),
    _counter(0x0400, "eth_frames", "frames received"),
    _counter(0x0401, "eth_fcs_errors", "frames with a wrong FCS"),
    _counter(0x0402, "eth_not_ip", "frames that are not IPv4"),
    _counter(0x0403, "eth_not_udp", "IPv4 packets that are not UDP"),
    _counter(0x0404, "eth_ip_version", "IPv4 packets of another version"),
    _counter(0x0405, "eth_ip_options", "IPv4 packets with options"),
    _counter(0x0406, "eth_ip_fragment", "IPv4 fragments"),
    _counter(0x0407, "eth_ip_checksum", "IPv4 headers with a wrong checksum"),
    _counter(0x0408, "eth_ip_length", "IPv4 packets of an impossible length"),
    _counter(0x0409, "eth_not_for_us", "datagrams for other addresses or ports"),
    _counter(0x040A, "eth_udp_length", "datagrams of an impossible length"),
    _counter(0x040B, "eth_runts", "frames that ended inside the headers"),
    _counter(0x040C, "eth_truncated", "frames that ended inside the payload"),
    _counter(0x040D, "eth_dropped", "frames damaged or truncated that await_fcs left out"),
    _counter(0x040E, "eth_overlong", "frames that await_fcs left out for being too long"),
    _counter(0x0420, "feed_messages", "messages decoded"),
    _counter(0x0421, "feed_tracked_messages", "messages of tracked symbols"),
    _counter(0x0422, "feed_gaps", "gaps in the sequence"),
    _counter(0x0423, "feed_missed_messages", "messages missed in gaps", amount=32),
    _counter(0x0424, "feed_session_changes", "changes of the MoldUDP64 session"),
    _counter(0x0425, "feed_bad_datagrams", "datagrams whose blocks do not add up"),
    _counter(0x0426, "feed_bad_blocks", "message blocks shorter than 6 octets"),
    _counter(0x0427, "feed_heartbeats", "heartbeats"),
    _counter(0x0428, "feed_ends_of_session", "end of session datagrams"),
    _counter(0x0429, "feed_duplicate_datagrams", "datagrams that had nothing new"),
    _counter(0x042A, "feed_duplicate_messages", "messages skipped as already seen", amount=16),
    _counter(0x042B, "feed_unknown_types", "messages of unknown type"),
    _counter(0x042C, "feed_length_mismatches", "messages of known type and wrong length"),
    _counter(0x042D, "feed_bad_sides", "adds that are neither buy nor sell"),
    _counter(0x042E, "feed_held_datagrams", "datagrams left out while the other line was awaited"),
    _counter(
        0x042F,
        "feed_other_sessions",
        "datagrams left out for being of another session than the other line's",
    ),
    _counter(0x0430, "feed_won_a", "datagrams with something new that came on line A"),
    _counter(0x0431, "feed_won_b", "datagrams with something new that came on line B"),
    _counter(0x0432, "feed_filled_a", "waits that line A ended with what was due"),
    _counter(0x0433, "feed_filled_b", "waits that line B ended with what was due"),
    _counter(0x0434, "feed_lost_a", "times that line A fell silent or left the session"),
    _counter(0x0435, "feed_lost_b", "times that line B fell silent or left the session"),
    _counter(0x0436, "feed_waits_expired", "waits that ended without what was due: gaps"),
    _counter(0x0437, "feed_replies_used", "replies to requests that had something new"),
    _counter(0x0438, "feed_recoveries", "times that what no line had brought was requested"),
    _counter(0x0439, "feed_recovered", "times that all of it came"),
    _counter(0x043A, "feed_recoveries_given_up", "times that it did not: gaps"),
    _counter(0x0440, "book_unknown_reference", "messages that name an order not in the book"),
    _counter(0x0441, "book_over_execution", "reductions by more shares than there are"),
    _counter(0x0442, "book_store_overflow", "orders that found no room"),
    _counter(0x0443, "book_duplicate_reference", "orders added twice"),
    _counter(0x0444, "book_level_overflow", "price levels with more than 2^32 - 1 shares"),
    _counter(
        0x0445,
        "book_disagreement",
        "disagreements of the two paths to the top: an error",
    ),
    _counter(0x0460, "orders_approved", "orders that passed every gate"),
    _counter(0x0461, "orders_refused", "orders that some gate refused"),
    _counter(0x0462, "refused_busy", "refused: the transmit port was taken"),
    _counter(0x0463, "refused_gate_1", "refused by gate 1, armed"),
    _counter(0x046C, "refused_gate_2", "refused by gate 2, kill sources"),
    _counter(0x046D, "refused_gate_3", "refused by gate 3, host heartbeat"),
    _counter(0x0464, "refused_gate_4", "refused by gate 4, limits present"),
    _counter(0x0465, "refused_gate_5", "refused by gate 5, worst-case long"),
    _counter(0x0466, "refused_gate_6", "refused by gate 6, worst-case short"),
    _counter(0x0467, "refused_gate_9", "refused by gate 9, order quantity"),
    _counter(0x0468, "refused_gate_10", "refused by gate 10, order notional"),
    _counter(0x0469, "refused_gate_11", "refused by gate 11, price collar"),
    _counter(0x0470, "refused_gate_12", "refused by gate 12, collar over time"),
    _counter(0x046A, "refused_gate_13", "refused by gate 13, feed trust"),
    _counter(0x046B, "refused_gate_16", "refused by gate 16, trading state"),
    _counter(0x0472, "refused_gate_15", "refused by gate 15, book sanity"),
    _counter(0x047E, "refused_gate_22", "refused by gate 22, self-trade"),
    _counter(0x0478, "refused_gate_23", "refused by gate 23, short locate"),
    _counter(0x0479, "refused_gate_24", "refused by gate 24, short-sale restriction"),
    _counter(0x047A, "refused_gate_25", "refused by gate 25, permission"),
    _counter(0x047B, "refused_gate_26", "refused by gate 26, tick and lot"),
    _counter(0x046E, "refused_gate_7", "refused by gate 7, gross exposure"),
    _counter(0x046F, "refused_gate_8", "refused by gate 8, net exposure"),
    _counter(0x0471, "refused_gate_14", "refused by gate 14, staleness"),
    _counter(0x0473, "refused_gate_17", "refused by gate 17, limit up/down band"),
    _counter(0x0474, "refused_gate_18", "refused by gate 18, message rate"),
    _counter(0x0475, "refused_gate_19", "refused by gate 19, open orders"),
    _counter(0x0476, "refused_gate_20", "refused by gate 20, token order"),
    _counter(0x047D, "refused_gate_27", "refused by gate 27, repeated execution"),
    _counter(0x0485, "refused_gate_31", "refused by gate 31, unacknowledged"),
    _counter(0x0486, "refused_gate_32", "refused by gate 32, reject storm"),
    _counter(0x0487, "refused_gate_33", "refused by gate 33, fill integrity"),
    _counter(0x0488, "refused_gate_35", "refused by gate 35, audit room"),
    _counter(0x0477, "refused_gate_21", "refused by gate 21, duplicate"),
    _counter(0x047F, "refused_gate_28", "refused by gate 28, fill burst"),
    _counter(0x047C, "refused_gate_29", "refused by gate 29, daily totals"),
    _counter(0x0489, "refused_gate_30", "refused by gate 30, loss"),
    _counter(0x04B4, "refused_gate_34", "refused by gate 34, memory integrity"),
    _counter(0x0480, "events_lost", "events that found the queue full", amount=8, inside=True),
    _counter(0x0481, "serial_frames", "request frames executed", inside=True),
    _counter(0x0482, "serial_crc_errors", "request frames with a wrong CRC", inside=True),
    _counter(
        0x0483,
        "serial_framing_errors",
        "request frames that are not COBS or too short",
        inside=True,
    ),
    _counter(
        0x0484,
        "serial_overruns",
        "request frames that were too long or came while one was waiting",
        inside=True,
    ),
    _counter(0x048A, "heartbeats", "right answers of the host to heartbeat_challenge", inside=True),
    _counter(0x048B, "heartbeats_wrong", "wrong ones", inside=True),
    _counter(0x0490, "net_arp_requests", "ARP requests for the card"),
    _counter(0x0491, "net_arp_ignored", "ARP packets that are no business of the card"),
    _counter(0x0492, "net_arp_malformed", "ARP packets that are short or of other networks"),
    _counter(0x0493, "net_arp_replies", "ARP replies made"),
    _counter(0x0494, "net_echo_requests", "ICMP echo requests for the card"),
    _counter(0x0495, "net_icmp_ignored", "ICMP messages for others, and of other types"),
    _counter(0x0496, "net_icmp_malformed", "ICMP messages with wrong lengths or checksums"),
    _counter(0x0497, "net_echo_replies", "ICMP echo replies made"),
    _counter(0x0498, "net_igmp_queries", "IGMP queries"),
    _counter(0x0499, "net_igmp_ignored", "IGMP messages that are no queries"),
    _counter(0x049A, "net_igmp_malformed", "IGMP messages with wrong lengths or checksums"),
    _counter(0x049B, "net_reports", "IGMP reports made"),
    _counter(0x049C, "net_leaves", "IGMP leaves made"),
    _counter(0x049D, "net_too_long", "frames of ARP, ICMP or IGMP that are longer than 256 octets"),
    _counter(0x049E, "net_overruns", "such frames that came while another was being answered"),
    _counter(0x049F, "net_frames", "frames that a service has sent"),
    _counter(0x04A0, "net_busy_cycles", "clock cycles for which these kept the port from orders"),
    _counter(0x04A1, "net_requests", "requests for missed messages made"),
    _counter(0x04A2, "net_arp_answers", "ARP replies to the card"),
    _counter(0x04A3, "order_hop_questions", "ARP requests for the next hop to the venue made"),
    _counter(0x04A4, "order_hop_answers", "answers to them that were taken"),
    _counter(0x04A5, "order_hop_unresolved", "connections not opened for want of an answer"),
    *(
        _counter(0x04C0 + n, f"order_{name}", doc)
        for n, (name, doc) in enumerate(
            (
                ("others", "frames that are no segments of the order session"),
                ("segments", "sound segments"),
                ("damaged", "segments with a wrong FCS"),
                ("ip_options", "segments with IPv4 options or of another version"),
                ("ip_checksum", "segments with a wrong IPv4 checksum"),
                ("ip_length", "segments without room for the headers"),
                ("ip_fragment", "fragments"),
                ("other_port", "segments of other ports"),
                ("tcp_offset", "segments whose TCP header is too short or too long"),
                ("truncated", "segments that ended early"),
                ("overlong", "segments with too much payload"),
                ("tcp_checksum", "segments with a wrong TCP checksum"),
                ("duplicates", "payload that was there before"),
                ("out_of_order", "payload ahead of what is due, or that could not be taken"),
                ("resets", "RST that counted"),
                ("challenges", "challenge acknowledgements sent"),
                ("retransmissions", "segments sent again"),
                ("timeouts", "expiries of the retransmission timer"),
                ("stray", "segments without a connection"),
                ("debugs", "debug packets"),
                ("unsequenced", "unsequenced packets"),
                ("unknown_packets", "packets of unknown type or wrong length"),
                ("unfit_reports", "reports that cannot be read"),
                ("unread", "segments that came before the last one was read"),
                ("repetitions", "reports that were there before"),
                ("executions", "executions of own orders"),
                ("unknown_orders", "reports on orders that are not known"),
                ("overfills", "executions of more than was open"),
                ("contradictions", "reports that contradict the state of their order"),
                ("unfit", "reports in sequence that cannot be read"),
                ("unreconciled", "broken and corrected trades"),
                ("missed", "gaps in the sequence of reports"),
                ("reused_numbers", "orders whose number does not rise"),
                ("overruns", "orders that took the slot of an open one"),
                ("position_overflows", "positions at their bound"),
                ("turnover_overflows", "shares or notional at their bound"),
                ("cancels", "Cancel Orders made"),
                ("cancels_pending", "Cancel Pending of the venue"),
                ("cancels_refused", "Cancel Reject of the venue"),
                ("rejects", "Rejected of the venue"),
            )
        )
    ),
)

PAGE_WORDS = 32
"""Words of a symbol's page."""
SHADOW_BASE = 0x1000
"""Address of the first shadow page: read and write at any time but during a commit."""
IN_FORCE_BASE = 0x8000
"""Address of the first page in force: read-only."""
BANK_SYMBOLS = 512
"""Symbols whose pages have an address at a time."""
MAX_SYMBOLS = 4096

PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "name_high",
        0,
        "symbol, characters 1 to 4, the first on top",
        fixed_while_armed=True,
    ),
    Parameter("name_low", 1, "symbol, characters 5 to 8", fixed_while_armed=True),
    Parameter(
        "window_base",
        2,
        "lowest price of the book's window, in 1e-4 USD, a multiple of the tick",
        fixed_while_armed=True,
    ),
    Parameter(
        "tick_is_cent",
        3,
        "1: the tick is 0.01 USD; 0: it is 0.0001 USD",
        low=0,
        width=1,
        fixed_while_armed=True,
    ),
    Parameter("strategy_enable", 3, "1: the strategy may act", low=1, width=1),
    Parameter("extended_hours", 3, "1: orders may leave outside market hours", low=2, width=1),
    Parameter(
        "threshold",
        4,
        "share of the heavier side at the touch, in 2^-16; 0: never",
        width=16,
    ),
    Parameter("max_spread", 5, "widest spread to cross, in 1e-4 USD"),
    Parameter("quantity", 6, "shares of each order"),
    Parameter("min_interval_ns", 7, "time between two intents, in ns"),
    Parameter("max_long", 8, "limit, in shares"),
    Parameter("max_short", 9, "limit, in shares"),
    Parameter("max_order_quantity", 10, "limit, in shares"),
    Parameter("max_order_notional_low", 11, "limit, in 1e-4 USD, low half"),
    Parameter("max_order_notional_high", 12, "its high half"),
    Parameter("collar_bps", 13, "limit, in 1e-4 of the reference price", width=16),
    Parameter("collar_absolute", 14, "limit, in 1e-4 USD"),
    Parameter("reference_max_age_us", 15, "limit, in microseconds"),
    Parameter("max_book_spread", 16, "limit, in 1e-4 USD"),
    Parameter("order_tick", 17, "prices are multiples of it: 1, 50 or 100, in 1e-4 USD", width=8),
    Parameter(
        "lot_size", 17, "quantities are multiples of it: 1, 10, 40 or 100 shares", low=8, width=8
    ),
    Parameter("allow_buy", 17, "1: orders to buy may leave", low=16, width=1),
    Parameter("allow_sell", 17, "1: orders to sell may leave", low=17, width=1),
    Parameter(
        "allow_time_in_force",
        17,
        "times in force with which orders may leave, one bit each, from the lowest: day, "
        "immediate or cancel, extended hours, after hours",
        low=20,
        width=4,
    ),
    Parameter("band_exempt", 17, "1: no limit up/down band applies", low=24, width=1),
    Parameter("allow_self_trade", 17, "1: own orders may meet", low=25, width=1),
    Parameter("short_locates", 18, "shares that may be sold short; 0: none"),
    Parameter("feed_max_age_us", 19, "limit, in microseconds"),
    Parameter("symbol_max_age_us", 20, "limit, in microseconds"),
    Parameter("band_low", 21, "lowest price of the limit up/down band, in 1e-4 USD"),
    Parameter("band_high", 22, "highest price of the band, in 1e-4 USD"),
    Parameter("band_until_low", 23, "time in ns from which on the band has expired, low half"),
    Parameter("band_until_high", 24, "its high half"),
    Parameter("order_interval_ns", 25, "time after which another order may leave, in ns"),
    Parameter("order_burst_ns", 26, "how far orders may be ahead of that, in ns"),
    Parameter("max_open_orders", 27, "limit, in orders"),
    Parameter("duplicate_window_ns", 28, "how long an order is remembered, in ns"),
    Parameter("max_duplicates", 29, "limit, in orders: 1 to 4 that are the same", width=4),
    Parameter("max_fills", 29, "limit, in fills", low=16, width=16),
    Parameter("max_fill_shares", 31, "limit, in shares"),
    Parameter("max_move", 30, "limit of what the reference may move, in 1e-4 USD"),
)

ARMED_CODE = 0xA5
DISARMED_CODE = 0x5A
"""The codes in which the card keeps whether it is armed; whatever is not `ARMED_CODE` is not."""


def _by_name(entries: Iterable) -> dict:
    named = {}
    for entry in entries:
        if entry.name in named:
            raise ValueError(f"{entry.name} is in the table twice")
        named[entry.name] = entry
    return named


BY_NAME: Mapping[str, Register] = _by_name(REGISTERS)
BY_ADDRESS: Mapping[int, Register] = {register.address: register for register in REGISTERS}
PARAMETERS_BY_NAME: Mapping[str, Parameter] = _by_name(PARAMETERS)
ACCOUNT_REGISTERS: tuple[Register, ...] = tuple(
    sorted(
        (r for r in REGISTERS if r.kind is Kind.CONFIG and r.name.startswith("account_")),
        key=lambda register: register.address,
    )
)
"""The limits of the account: they come into force with a commit."""
WORD_MASKS: tuple[int, ...] = tuple(
    sum(parameter.mask for parameter in PARAMETERS if parameter.word == word)
    for word in range(PAGE_WORDS)
)
"""The bits of each word of a page that are not reserved."""


def _page_address(base: int, symbol: int, word: int) -> int:
    if not 0 <= symbol < MAX_SYMBOLS:
        raise ValueError(f"symbol index must be 0 to {MAX_SYMBOLS - 1}, not {symbol}")
    if not 0 <= word < PAGE_WORDS:
        raise ValueError(f"a page has words 0 to {PAGE_WORDS - 1}, not {word}")
    return base + symbol % BANK_SYMBOLS * PAGE_WORDS + word


def bank_of(symbol: int) -> int:
    """The value of `page_bank` under which a symbol's pages are shown."""
    return symbol // BANK_SYMBOLS


def shadow_address(symbol: int, word: int = 0) -> int:
    """Address of a word of a symbol's shadow page, in its bank."""
    return _page_address(SHADOW_BASE, symbol, word)


def in_force_address(symbol: int, word: int = 0) -> int:
    """Address of a word of a symbol's page in force, in its bank."""
    return _page_address(IN_FORCE_BASE, symbol, word)


def page_words(values: Mapping[str, int]) -> list[int]:
    """Makes a page from parameters by name; those not given are 0.

    Raises `ValueError` naming the parameter if one is unknown or does not fit.
    """
    words = [0] * PAGE_WORDS
    for name, value in values.items():
        if name not in PARAMETERS_BY_NAME:
            raise ValueError(f"there is no parameter {name!r}")
        parameter = PARAMETERS_BY_NAME[name]
        words[parameter.word] |= _fit(f"parameter {name}", value, parameter)
    return words


def page_values(words: Sequence[int]) -> dict[str, int]:
    """Takes a page apart into parameters by name.

    Raises `ValueError` if there are not `PAGE_WORDS` words.
    """
    if len(words) != PAGE_WORDS:
        raise ValueError(f"a page has {PAGE_WORDS} words, not {len(words)}")
    return {p.name: (words[p.word] & p.mask) >> p.low for p in PARAMETERS}


def parameter_checksum(pages: Iterable[Sequence[int]]) -> int:
    """The value with which `commit` names these pages: one for each symbol, in order."""
    crc = 0
    for page in pages:
        for word in page:
            crc = zlib.crc32(word.to_bytes(4, "little"), crc)
    return crc


def account_checksum(values: Mapping[str, int]) -> int:
    """The card's `account_checksum` when these registers, by name, are in force."""
    crc = 0
    for register in ACCOUNT_REGISTERS:
        crc = zlib.crc32(values[register.name].to_bytes(4, "little"), crc)
    return crc


def map_text() -> str:
    """The map as canonical text: everything that gateware and driver must agree upon."""
    lines = [f"protocol {VERSION}"]
    lines += [f"opcode {opcode.value} {opcode.name}" for opcode in Opcode]
    lines += [f"status {status.value} {status.name}" for status in Status]
    for register in sorted(REGISTERS, key=lambda register: register.address):
        needs = ",".join(need.name for need in register.needs)
        code = "" if register.code is None else f"{register.code:08x}"
        lines.append(
            f"register {register.address:04x} {register.name} {register.kind.name} "
            f"{register.mask:08x} {code} {needs} {register.latched_by or ''}".rstrip()
        )
        lines += [f"  {f.low} {f.width} {f.name} {f.below or ''}".rstrip() for f in register.fields]
    lines.append(f"pages {SHADOW_BASE:04x} {IN_FORCE_BASE:04x} {PAGE_WORDS} {BANK_SYMBOLS}")
    lines += [f"parameter {p.word} {p.low} {p.width} {p.name}" for p in PARAMETERS]
    lines += [f"kind {kind.value} {kind.name}" for kind in events.EventKind]
    lines += [f"event {f.word} {f.low} {f.width} {f.name}" for f in events.FIELDS]
    return "\n".join(lines) + "\n"


MAP_HASH = zlib.crc32(map_text().encode("ascii"))
"""CRC-32 of the map; the card carries it in `map_hash`."""


def build_hash(**parameters: int) -> int:
    """CRC-32 of the core's parameters by name, for `build_hash`."""
    text = "".join(f"{name} {value}\n" for name, value in sorted(parameters.items()))
    return zlib.crc32(text.encode("ascii"))


def _check_table() -> None:
    if len(BY_ADDRESS) != len(REGISTERS):
        raise ValueError("two registers have the same address")
    if RETIRED & BY_ADDRESS.keys():
        raise ValueError("a retired address is in use again")
    for register in REGISTERS:
        if register.address >= SHADOW_BASE:
            raise ValueError(f"register {register.name} lies in the pages")
        if register.mask != _union(register.fields) and register.fields:
            raise ValueError(f"fields of register {register.name} overlap")
    for word, mask in enumerate(WORD_MASKS):
        if mask != _union(p for p in PARAMETERS if p.word == word):
            raise ValueError(f"parameters of word {word} overlap")


def _union(fields: "Iterable[BitField | Parameter]") -> int:
    mask = 0
    for field in fields:
        mask |= field.mask
    return mask


_check_table()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---" for _ in head) + "|"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def _describe(register: Register) -> str:
    parts = [register.doc]
    if register.code is not None:
        parts.append(f"code `0x{register.code:08X}`")
    if register.kind is Kind.COMMAND and register.needs:
        parts.append("needs: " + "; ".join(need.value for need in register.needs))
    return ". ".join(parts)


def _bits(low: int, width: int) -> str:
    return str(low) if width == 1 else f"{low + width - 1}:{low}"


_MARKDOWN_HEAD = f"""\
# Registers

Generated from `spec/registers.py`; do not edit.

Map hash `0x{MAP_HASH:08X}`, protocol version {VERSION}. Registers are 32-bit words with word
addresses. A reserved bit must be written as 0; a write that sets one is refused.

## Frames

Request: opcode 1, tag 1, address 2, count 1, the words (at most {MAX_WORDS}), CRC-32 (zlib) over
all of it. Reply: opcode | 0x80, the same tag, status 1, count 1, the words, CRC-32. Little-endian;
COBS-encoded, then a zero octet. A frame that arrives damaged is counted and not answered: ask
again. Everything is safe to repeat.
"""

_MARKDOWN_EVENTS = f"""\
## Events

An event is a record of {events.RECORD_WORDS} words. Numbers rise by one an event, also for
events that found the queue full and were lost: a hole in the numbers is a loss.
"""

_MARKDOWN_PAGES = f"""\
## Symbol pages

Symbol i has its shadow page at `0x{SHADOW_BASE:04X}` + {PAGE_WORDS} i, which can be written at
any time but during a commit, and its page in force at `0x{IN_FORCE_BASE:04X}` + {PAGE_WORDS} i,
which is read-only. `commit` with the CRC-32 of all shadow pages (each word as 4 octets,
little-endian, in address order) puts all of them in force in one clock cycle; with any other value
it changes nothing.

The pages of {BANK_SYMBOLS} symbols have an address at a time: i is the symbol index less
{BANK_SYMBOLS} times `page_bank`.
"""


def render_markdown() -> str:
    """The map as docs/registers.md."""
    lines = [_MARKDOWN_HEAD]
    opcodes = [(f"`0x{opcode.value:02X}`", opcode.name) for opcode in Opcode]
    lines += _table(("opcode", "name"), opcodes)
    lines += _table(("status", "name", "meaning"), _status_rows())
    for kind in Kind:
        lines += [
            f"## {kind.name.capitalize()} registers",
            "",
            f"{kind.value.capitalize()}.",
            "",
        ]
        lines += _table(("address", "name", "bits", "meaning"), _register_rows(kind))
    lines.append(_MARKDOWN_PAGES)
    lines += _table(("word", "bits", "name", "meaning", "fixed while armed"), _parameter_rows())
    lines.append(_MARKDOWN_EVENTS)
    kinds = [(str(kind.value), kind.name, kind.doc) for kind in events.EventKind]
    lines += _table(("kind", "name", "meaning"), kinds)
    fields = [(str(f.word), _bits(f.low, f.width), f"`{f.name}`", f.doc) for f in events.FIELDS]
    lines += _table(("word", "bits", "name", "meaning"), fields)
    return "\n".join(lines)


def _status_rows() -> Iterable[Sequence[str]]:
    return [(str(status.value), status.name, status.doc) for status in Status]


def _register_rows(kind: Kind) -> Iterable[Sequence[str]]:
    for register in sorted(REGISTERS, key=lambda register: register.address):
        if register.kind is kind:
            bits = "" if register.fields else _bits(0, register.width)
            yield (
                f"`0x{register.address:04X}`",
                f"`{register.name}`",
                bits,
                _describe(register),
            )
            for field in register.fields:
                yield "", f"`.{field.name}`", _bits(field.low, field.width), field.doc


def _parameter_rows() -> Iterable[Sequence[str]]:
    for p in PARAMETERS:
        fixed = "yes" if p.fixed_while_armed else ""
        yield str(p.word), _bits(p.low, p.width), f"`{p.name}`", p.doc, fixed
