"""The order session of a card that keeps its own: login, logout, and how it stands.

Ref: SoupBinTCP 4.00, section 2.2; docs/registers.md, `session_state`.
"""

import ipaddress
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from tickgate.host.errors import CardRefused, UserError
from tickgate.host.registers import Registers
from tickgate.spec import soupbintcp
from tickgate.spec.ethernet import format_mac
from tickgate.spec.registers import BY_NAME

__all__ = [
    "Account",
    "SessionStatus",
    "abort",
    "account",
    "cancel",
    "held_numbers",
    "login",
    "logout",
    "session_status",
    "set_position",
    "venue",
]

STATES = (
    *("closed", "opening", "connecting", "established", "fin-wait-1", "fin-wait-2"),
    *("closing", "time-wait", "close-wait", "last-ack"),
)
OUTCOMES = ("none", "finished", "aborted", "refused", "reset", "timed out", "unresolved")
PATIENCE_S = 10.0


@dataclass(frozen=True)
class SessionStatus:
    """How the order session stands.

    `state` is that of the TCP connection, `outcome` why there is none. `spent`: the card has no
    user reference number for an order. `due_sequence` is the number of the report that comes next.
    `cancels_waiting`, `cancels_unanswered`: some are yet to be sent, or to be answered. `next_hop`
    is the MAC address that it sends to, configured or learnt by ARP; None if it knows none.
    """

    state: str
    outcome: str
    accepted: bool
    rejected: str | None
    ended: bool
    lost: bool
    silent: bool
    may_order: bool
    overdue: bool
    spent: bool
    due_sequence: int
    open_orders: int
    unanswered_orders: int
    cancels_waiting: bool
    cancels_unanswered: bool
    next_hop: str | None


@dataclass(frozen=True)
class Account:
    """What the card holds of a symbol: shares, and 1e-4 USD."""

    position: int
    open_buys: int
    open_sells: int
    bought_shares: int
    bought_notional: int
    sold_shares: int
    sold_notional: int


def session_status(registers: Registers) -> SessionStatus:
    """Reads how the session stands."""
    state, own = registers.read_fields("session_state"), registers.read_fields("own_orders")
    cancels = registers.read_fields("own_cancels")
    mac = registers.read_pair("next_hop_mac")
    flags = ("accepted", "ended", "lost", "silent", "may_order", "overdue", "spent")
    return SessionStatus(
        state=STATES[state["state"]],
        outcome=OUTCOMES[state["outcome"]],
        rejected=chr(state["reason"]) if state["rejected"] else None,
        due_sequence=registers.read_pair("due_sequence"),
        open_orders=own["open"],
        unanswered_orders=own["unanswered"],
        cancels_waiting=bool(cancels["waiting"]),
        cancels_unanswered=bool(cancels["unanswered"]),
        next_hop=format_mac(mac) if mac else None,
        **{name: bool(state[name]) for name in flags},
    )


def account(registers: Registers, symbol: int) -> Account:
    """Reads the account of the symbol with this index."""
    registers.write("show_symbol", BY_NAME["show_symbol"].pack(symbol=symbol))
    low, negative = registers.read("position_low"), registers.read("position_sign")
    names = ("bought_shares", "bought_notional", "sold_shares", "sold_notional")
    return Account(
        position=low - (negative << 32),
        open_buys=registers.read("open_buys"),
        open_sells=registers.read("open_sells"),
        **{name: registers.read_pair(name) for name in names},
    )


def set_position(registers: Registers, symbol: int, shares: int, *, price: int) -> None:
    """Tells a disarmed card what is held of the symbol with this index; less than 0 is short.

    `price` is that from which profit counts, in 1e-4 USD: what a share has cost, or its last close.
    """
    if not -(1 << 32) <= shares < 1 << 32:
        raise UserError(f"a position must be within 2^32 shares, not {shares}")
    if not 0 <= price < 1 << 32:
        raise UserError(f"the price of a share must be below 2^32 of 1e-4 USD, not {price}")
    cost = abs(shares) * price
    registers.write_many(
        {"position_cost_low": cost & 0xFFFF_FFFF, "position_cost_high": cost >> 32}
    )
    registers.write("position_start", shares & 0xFFFF_FFFF)
    word = BY_NAME["set_position"].pack(symbol=symbol, negative=int(shares < 0))
    registers.write("set_position", word)
    if account(registers, symbol).position != shares:
        raise CardRefused(f"the card did not take a position of {shares}; is it ready?")


def venue(registers: Registers) -> str:
    """Where the card's orders go: address and port."""
    address = registers.read("destination_ip")
    port = registers.read_fields("tcp_ports")["destination"]
    return f"{ipaddress.IPv4Address(address)}:{port}"


def held_numbers(registers: Registers) -> range:
    """The user reference numbers that the card may still use."""
    return range(registers.read("next_user_ref_num"), registers.read("session_number_end"))


def login(
    registers: Registers,
    *,
    username: str,
    password: str,
    numbers: range,
    session: str = "",
    sequence: int | None = None,
    patience_s: float = PATIENCE_S,
    now: Callable[[], float] = time.monotonic,
) -> SessionStatus:
    """Opens the connection and logs in; the card is disarmed.

    `numbers` are the user reference numbers of the orders to come. The reports to come are those
    from the one on that is due, or from `sequence` on; 0 skips all that the venue has told before,
    for a card that knows of no order: after that its positions are what `set_position` says.

    Raises
    ------
    UserError
        There are no numbers, the configuration has no `[live]`, or reports are to be skipped while
        orders are open.
    CardRefused
        The card does not take them, or the venue cannot be reached, does not answer, or refuses.
    """
    if not numbers or numbers.step != 1:
        raise UserError("a login needs user reference numbers")
    _require_live(registers)
    status = _await(registers, lambda it: it.state != "time-wait", patience_s, now)
    if status.state != "closed":
        raise CardRefused(f"the order session is {status.state}: log out first, or abort")
    if sequence == 0 and status.open_orders:
        raise UserError(
            f"{status.open_orders} orders may be open whose reports would be skipped; log in "
            "without skipping, or begin a new day"
        )
    registers.write_many(
        {
            "user_ref_num_start": numbers.start,
            "session_number_end": numbers.stop,
            "session_isn": secrets.randbits(32),
        }
    )
    registers.command("load_session")
    if session_status(registers).spent:
        raise CardRefused(
            f"the card has used a higher user reference number than {numbers.start}; give it others"
        )
    if sequence:
        _expect_report(registers, sequence)
    registers.command("session_connect")
    status = _await(
        registers, lambda it: it.state not in ("opening", "connecting"), patience_s, now
    )
    if status.state != "established":
        raise CardRefused(f"no connection to the venue: {status.state}, {status.outcome}")
    request = soupbintcp.LOGIN_REQUEST.pack(
        username=username,
        password=password,
        requested_session=session,
        requested_sequence=status.due_sequence if sequence is None else sequence,
    )
    send(registers, request)
    status = _await(
        registers,
        lambda it: it.accepted or it.rejected is not None or it.state != "established",
        patience_s,
        now,
    )
    if status.rejected is not None:
        reason = soupbintcp.REJECT_REASONS.get(status.rejected, status.rejected)
        raise CardRefused(f"the venue refuses the login: {reason}")
    if not status.accepted:
        raise CardRefused(f"no answer to the login: {status.state}, {status.outcome}")
    if sequence == 0:
        _expect_report(registers, registers.read_pair("told_sequence"))
    return session_status(registers)


def _require_live(registers: Registers) -> None:
    if not registers.read("session_live"):
        raise UserError("the configuration of the card has no [live]: it keeps no order session")


def _expect_report(registers: Registers, sequence: int) -> None:
    registers.write_many(
        {
            "report_sequence_start_low": sequence & 0xFFFF_FFFF,
            "report_sequence_start_high": sequence >> 32,
        }
    )
    registers.command("load_report_sequence")


def logout(
    registers: Registers,
    *,
    patience_s: float = PATIENCE_S,
    now: Callable[[], float] = time.monotonic,
) -> SessionStatus:
    """Logs out and closes the connection; returns how it ended.

    Raises `CardRefused` if it has not ended in time; then `abort` is left.
    """
    if session_status(registers).state == "established":
        send(registers, soupbintcp.pack(soupbintcp.LOGOUT_REQUEST))
    registers.command("session_close")
    return _await(registers, lambda it: it.state in ("closed", "time-wait"), patience_s, now)


def cancel(registers: Registers, number: int | None = None) -> SessionStatus:
    """Has the order with this user reference number cancelled, or all that are open.

    The card sends the cancels as soon as it has a session, and follows what becomes of them; an
    order whose cancel is under way already gets no other one. Returns how the session stands.

    Raises
    ------
    UserError
        No order can have this number, or the configuration has no `[live]`.
    CardRefused
        The order is not open.
    """
    _require_live(registers)
    if number is None:
        registers.command("cancel_all")
        return session_status(registers)
    if not 0 < number < 1 << 32:
        raise UserError(f"a user reference number must be 1 to 2^32 - 1, not {number}")
    registers.write("cancel_order", number)
    if not registers.read_fields("own_cancels")["found"]:
        raise CardRefused(f"order {number} is not open: it has ended, or was never sent")
    return session_status(registers)


def abort(registers: Registers) -> None:
    """Breaks the connection off."""
    registers.command("session_abort")


def send(registers: Registers, packet: bytes) -> None:
    """Hands in a packet, an octet at a time.

    An octet that is written twice is sent twice, and what follows it makes no sense to the venue.
    Where that may have happened, for a reply of the card was lost, the connection is broken off.

    Raises `CardRefused` if the session does not take the packet, or was broken off.
    """
    for n, octet in enumerate(packet):
        if not registers.read_fields("session_state")["room"]:
            raise CardRefused("the order session takes no more octets; is it connected?")
        last = int(n + 1 == len(packet))
        before = registers.repeats
        registers.write("session_octet", BY_NAME["session_octet"].pack(data=octet, last=last))
        if registers.repeats != before:
            abort(registers)
            raise CardRefused(
                "the line to the card failed while a packet for the venue was handed in, and the "
                "order session was broken off; log in again"
            )


def _await(
    registers: Registers,
    done: Callable[[SessionStatus], bool],
    patience_s: float,
    now: Callable[[], float],
) -> SessionStatus:
    deadline = now() + patience_s
    while not done(status := session_status(registers)):
        if now() > deadline:
            raise CardRefused(
                f"the venue has not answered in {patience_s:g} s: {status.state}, {status.outcome}"
            )
    return status
