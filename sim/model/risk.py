"""Model of the risk gates: judges each proposal by every gate and keeps what the gates look at.

Ref: docs/architecture.md, "Risk"; the gate numbers are those of the gates table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tickgate.sim.model.book import Trade
from tickgate.sim.model.feed import BUY, SELL, Message
from tickgate.sim.model.strategy import Proposal

__all__ = ["GATES", "Limits", "Order", "RiskModel", "Verdict"]

GATES = (1, 4, 5, 6, 9, 10, 11, 13, 16)
"""The gates that the card has; gate g is bit g of the reasons. Bit 0: the transmit port is busy."""

BUSY = 0
QUANTITY_MAX = 1_000_000
TIME = (1 << 64) - 1
WORD = (1 << 32) - 1
RESERVE = 1 << 33
"""What is reserved and released adds up modulo this."""


class Order(NamedTuple):
    """A proposal and the user reference number that it has, or would have had."""

    symbol: int
    side: int
    price: int
    quantity: int
    sequence: int
    user_ref_num: int


class Verdict(NamedTuple):
    """The outcome for one proposal: `reasons` has a bit for each failed gate, 0 if approved."""

    approved: bool
    reasons: int
    order: Order


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one symbol; a limit of 0 is one not programmed, which gate 4 refuses.

    Shares, 1e-4 USD, basis points of the reference price, and microseconds.
    """

    max_long: int = 0
    max_short: int = 0
    max_order_quantity: int = 0
    max_order_notional: int = 0
    collar_bps: int = 0
    collar_absolute: int = 0
    reference_max_age_us: int = 0
    extended_hours: bool = False

    def __post_init__(self) -> None:
        for name, bits in (
            ("max_long", 32),
            ("max_short", 32),
            ("max_order_quantity", 32),
            ("max_order_notional", 64),
            ("collar_bps", 16),
            ("collar_absolute", 32),
            ("reference_max_age_us", 32),
        ):
            value = getattr(self, name)
            if not 0 <= value < 1 << bits:
                raise ValueError(f"{name} must fit {bits} bits, not {value}")

    @property
    def present(self) -> bool:
        """True if every limit is programmed."""
        return all(
            (
                self.max_long,
                self.max_short,
                self.max_order_quantity,
                self.max_order_notional,
                self.collar_bps,
                self.collar_absolute,
                self.reference_max_age_us,
            )
        )


@dataclass
class _Account:
    """The state of one symbol."""

    limits: Limits
    position: int = 0
    released_buys: int = 0
    released_sells: int = 0
    open_buys: int = 0
    open_sells: int = 0
    reference: int | None = None
    reference_time: int = 0
    exact: bool = False
    trading: bool = False
    halted: bool = False


@dataclass
class RiskModel:
    """Judges proposals; an approval reserves exposure at once, a refusal changes nothing.

    Fails closed: as made it is disarmed, no book is exact, no symbol trades and no reference
    price is known. What is reserved is released by `set_released` and `start_of_day` only.

    Parameters
    ----------
    limits : mapping of int to Limits
        By symbol index.
    next_user_ref_num : int
        The number of the next order approved.

    Members
    -------
    armed, killed, config_valid : bool
        What gate 1 looks at; set by the host.
    regular_session, breach : bool
        What gate 16 looks at beside the symbol's state; set by `system` messages.
    """

    limits: Mapping[int, Limits]
    next_user_ref_num: int = 1
    armed: bool = False
    killed: bool = False
    config_valid: bool = False
    regular_session: bool = field(default=False, init=False)
    breach: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._accounts = {index: _Account(limits) for index, limits in self.limits.items()}
        self._recovering = False

    def set_limits(self, symbol: int, limits: Limits) -> None:
        """Puts other limits in force; exposure and reference price stay."""
        self._accounts[symbol].limits = limits

    def set_position(self, symbol: int, position: int) -> None:
        """The host states the position: shares, negative if short."""
        if not -(1 << 32) <= position < 1 << 32:
            raise ValueError(f"position must fit 33 bits with sign, not {position}")
        self._accounts[symbol].position = position

    def set_released(self, symbol: int, *, buys: int, sells: int) -> None:
        """States how many of the shares that were reserved so far are so no more, modulo 2**33."""
        account = self._accounts[symbol]
        account.released_buys, account.released_sells = buys, sells

    def set_recovering(self, recovering: bool) -> None:
        """Whether messages that are missing may yet come, for whatever symbol."""
        self._recovering = bool(recovering)

    def set_exact(self, symbol: int, exact: bool) -> None:
        """Whether the book of `symbol` is exact now."""
        self._accounts[symbol].exact = bool(exact)

    def start_of_day(self) -> None:
        """Releases every reserve and zeroes every position. Raises RuntimeError while armed."""
        if self.armed:
            raise RuntimeError("start of day while armed: disarm first")
        for account in self._accounts.values():
            account.position = account.open_buys = account.open_sells = 0
            account.released_buys = account.released_sells = 0

    def trade(self, trade: Trade, time_ns: int) -> None:
        """A print makes the reference price of its symbol."""
        account = self._accounts[trade.symbol]
        account.reference = trade.price
        account.reference_time = time_ns

    def message(self, message: Message, symbol: int | None) -> None:
        """Follows the trading state: H and h of a tracked `symbol`, S and W of the whole market.

        Any other message changes nothing.
        """
        if message.type == "H":
            if symbol is not None:
                self._accounts[symbol].trading = message.code == "T"
        elif message.type == "h":
            if symbol is not None and message.code in ("H", "T"):
                self._accounts[symbol].halted = message.code == "H"
        elif message.type == "S":
            if message.code == "Q":
                self.regular_session = True
            elif message.code == "M":
                self.regular_session = False
        elif message.type == "W":
            self.breach = True

    def exposure(self, symbol: int) -> tuple[int, int, int]:
        """Position, open buys and open sells of `symbol`, in shares."""
        account = self._accounts[symbol]
        return (
            account.position,
            (account.open_buys - account.released_buys) % RESERVE,
            (account.open_sells - account.released_sells) % RESERVE,
        )

    def judge(self, proposal: Proposal, time_ns: int, *, transmit_busy: bool = False) -> Verdict:
        """Evaluates every gate; if all pass, reserves the exposure and takes a reference number."""
        account = self._accounts[proposal.symbol]
        limits = account.limits
        _, buys, sells = self.exposure(proposal.symbol)
        buys += proposal.quantity if proposal.side == BUY else 0
        sells += proposal.quantity if proposal.side == SELL else 0
        passes = {
            1: self.armed and not self.killed and self.config_valid,
            4: limits.present,
            5: proposal.side != BUY or account.position + buys <= limits.max_long,
            6: proposal.side != SELL or sells - account.position <= limits.max_short,
            9: 0 < proposal.quantity <= min(limits.max_order_quantity, QUANTITY_MAX),
            10: proposal.quantity * proposal.price <= limits.max_order_notional,
            11: self._within_collar(account, proposal.price, time_ns),
            13: account.exact and not self._recovering,
            16: account.trading
            and not account.halted
            and not self.breach
            and (self.regular_session or limits.extended_hours),
        }
        reasons = sum(1 << gate for gate, passed in passes.items() if not passed)
        if transmit_busy:
            reasons |= 1 << BUSY
        order = Order(*proposal, self.next_user_ref_num)
        if not reasons:
            account.open_buys = (buys + account.released_buys) % RESERVE
            account.open_sells = (sells + account.released_sells) % RESERVE
            self.next_user_ref_num = (self.next_user_ref_num + 1) & WORD
        return Verdict(not reasons, reasons, order)

    @staticmethod
    def _within_collar(account: _Account, price: int, time_ns: int) -> bool:
        reference, limits = account.reference, account.limits
        if reference is None:
            return False
        age = (time_ns - account.reference_time) & TIME
        distance = abs(price - reference)
        return (
            age <= limits.reference_max_age_us * 1000
            and distance * 10_000 <= reference * limits.collar_bps
            and distance <= limits.collar_absolute
        )
