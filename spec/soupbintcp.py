"""SoupBinTCP 3.00, 4.00 and 4.10: the packets of a session, over TCP.

Ref: SoupBinTCP 4.00, section 2.2 "SoupBinTCP Packet Types"; 4.10 adds the heartbeat timeout of a
login.

A packet is a length, which counts the type and not itself, a type and a payload. The sequence
number of a Sequenced Data packet is not sent: both sides count from that of the Login Accepted.
"""

from tickgate.spec.fields import Field, Kind, Message, Value, WireError

__all__ = [
    "CLIENT_HEARTBEAT",
    "DEBUG",
    "END_OF_SESSION",
    "HEADER",
    "HEARTBEAT_INTERVAL_S",
    "LENGTH_SIZE",
    "LOGIN_ACCEPTED",
    "LOGIN_REJECTED",
    "LOGIN_REQUEST",
    "LOGIN_REQUEST_410",
    "LOGIN_TIMEOUT_S",
    "LOGOUT_REQUEST",
    "PEER_TIMEOUT_S",
    "REJECT_REASONS",
    "SEQUENCED_DATA",
    "SERVER_HEARTBEAT",
    "TYPES",
    "UNSEQUENCED_DATA",
    "pack",
    "split",
]

LENGTH_SIZE = 2

HEARTBEAT_INTERVAL_S = 1  # send one after this much silence of one's own
PEER_TIMEOUT_S = 15  # a peer silent for this long is gone
LOGIN_TIMEOUT_S = 30  # a server closes a connection without a login

HEADER = Message(
    "header",
    (
        Field("length", 2, Kind.UINT, "octets after this field, the type included"),
        Field("type", 1, Kind.ALPHA),
    ),
)

# The types whose payload, if any, is not a table.
DEBUG = "+"
SEQUENCED_DATA = "S"
UNSEQUENCED_DATA = "U"
SERVER_HEARTBEAT = "H"
CLIENT_HEARTBEAT = "R"
END_OF_SESSION = "Z"
LOGOUT_REQUEST = "O"

TYPES: dict[str, str] = {
    "+": "debug",
    "A": "login_accepted",
    "J": "login_rejected",
    "S": "sequenced_data",
    "U": "unsequenced_data",
    "H": "server_heartbeat",
    "Z": "end_of_session",
    "L": "login_request",
    "R": "client_heartbeat",
    "O": "logout_request",
}

REJECT_REASONS: dict[str, str] = {
    "A": "not authorized: user name or password is wrong",
    "S": "session not available: it is invalid or not on this server",
}


def _packet(type_: str, *fields: Field, note: str = "") -> Message:
    length = 1 + sum(field.size for field in fields)
    return Message(
        TYPES[type_],
        (Field("length", 2, Kind.UINT, fixed=length), Field("type", 1, Kind.ALPHA), *fields),
        type=type_,
        note=note,
    )


LOGIN_ACCEPTED = _packet(
    "A",
    Field("session", 10, Kind.ALPHA_LEFT),
    Field("sequence", 20, Kind.ASCII_NUMBER, "of the next Sequenced Data packet"),
)

LOGIN_REJECTED = _packet("J", Field("reason", 1, Kind.ALPHA, "see REJECT_REASONS"))

_LOGIN_FIELDS = (
    Field("username", 6, Kind.ALPHA),
    Field("password", 10, Kind.ALPHA),
    Field("requested_session", 10, Kind.ALPHA, "blank: the current one"),
    Field("requested_sequence", 20, Kind.ASCII_NUMBER, "1: from the start, 0: from now"),
)

LOGIN_REQUEST = _packet("L", *_LOGIN_FIELDS)

LOGIN_REQUEST_410 = _packet(
    "L",
    *_LOGIN_FIELDS,
    Field("heartbeat_timeout", 5, Kind.ASCII_NUMBER, "milliseconds"),
    note="version 4.10",
)


def pack(type_: str, payload: bytes = b"") -> bytes:
    """Returns a packet with its length; `WireError` for an unknown type or too long a payload."""
    if type_ not in TYPES:
        raise WireError(f"no SoupBinTCP packet has the type {type_!r}")
    return HEADER.pack(length=1 + len(payload), type=type_) + payload


def split(data: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """Returns the (type, payload) of each whole packet in `data`, and the octets left over.

    Raises `WireError` for a length of 0 or an unknown type: the stream cannot be followed.
    """
    packets = []
    at = 0
    while len(data) - at >= HEADER.size:
        header: dict[str, Value] = HEADER.unpack_from(data, at)
        length, type_ = int(header["length"]), str(header["type"])
        if length == 0:
            raise WireError(f"a SoupBinTCP packet at octet {at} has the length 0")
        if type_ not in TYPES:
            raise WireError(f"no SoupBinTCP packet has the type {type_!r} (octet {at})")
        end = at + LENGTH_SIZE + length
        if end > len(data):
            break
        packets.append((type_, bytes(data[at + HEADER.size : end])))
        at = end
    return packets, bytes(data[at:])
