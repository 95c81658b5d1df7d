"""Model of the risk gates: judges each proposal by every gate and keeps what the gates look at.

Ref: docs/architecture.md, "Risk"; the gate numbers are those of the gates table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tickgate.sim.model.book import Top, Trade
from tickgate.sim.model.feed import BUY, SELL, Message
from tickgate.sim.model.strategy import Proposal
from tickgate.spec.gates import LOT_SIZES, ORDER_TICKS

__all__ = ["GATES", "STANDING", "Limits", "Order", "RiskModel", "Verdict"]

GATES = (
    *(1, 2, 3, 4, 5, 6, 7, 8, 9),
    *(10, 11, 12, 13, 14, 15, 16, 17, 18, 19),
    *(20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30),
    *(31, 32, 33, 34, 35),
)
"""The gates that the card has; gate g is bit g of the reasons. Bit 0: the transmit port is busy."""

STANDING = (2, 3, 20, 27, 30, 31, 32, 33, 35)
"""Those of them that hold whatever the order is, by what is known outside of this model."""
BUSY = 0
COUNTING = (7, 8, 18, 19, 21, 22, 29)
"""Gates that go by the orders approved before; not asked while one is being accounted for."""
REMEMBERED = 4
QUANTITY_MAX = 1_000_000
TIME = (1 << 64) - 1
WORD = (1 << 32) - 1
PRINTS = 10_000
"""Prints that are kept, unless more of them count."""
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

    Shares, 1e-4 USD, basis points of the reference price, and microseconds. `short_locates` may
    be 0. `allow_time_in_force` holds the OUCH codes.
    """

    max_long: int = 0
    max_short: int = 0
    max_order_quantity: int = 0
    max_order_notional: int = 0
    collar_bps: int = 0
    collar_absolute: int = 0
    reference_max_age_us: int = 0
    extended_hours: bool = False
    max_book_spread: int = 0
    order_tick: int = 0
    lot_size: int = 0
    allow_buy: bool = False
    allow_sell: bool = False
    allow_time_in_force: frozenset[str] = frozenset()
    short_locates: int = 0
    feed_max_age_us: int = 0
    symbol_max_age_us: int = 0
    band_low: int = 0
    band_high: int = 0
    band_until: int = 0
    band_exempt: bool = False
    order_interval_ns: int = 0
    order_burst_ns: int = 0
    max_open_orders: int = 0
    max_duplicates: int = 0
    duplicate_window_ns: int = 0
    allow_self_trade: bool = False
    max_move: int = 0
    max_fills: int = 0
    max_fill_shares: int = 0

    def __post_init__(self) -> None:
        for name, bits in (
            ("max_long", 32),
            ("max_short", 32),
            ("max_order_quantity", 32),
            ("max_order_notional", 64),
            ("collar_bps", 16),
            ("collar_absolute", 32),
            ("reference_max_age_us", 32),
            ("max_book_spread", 32),
            ("order_tick", 8),
            ("lot_size", 8),
            ("short_locates", 32),
            ("feed_max_age_us", 32),
            ("symbol_max_age_us", 32),
            ("band_low", 32),
            ("band_high", 32),
            ("band_until", 64),
            ("order_interval_ns", 32),
            ("order_burst_ns", 32),
            ("max_open_orders", 32),
            ("max_duplicates", 4),
            ("duplicate_window_ns", 32),
            ("max_move", 32),
            ("max_fills", 16),
            ("max_fill_shares", 32),
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
                self.max_book_spread,
                self.order_tick,
                self.lot_size,
                self.allow_time_in_force,
                self.feed_max_age_us,
                self.symbol_max_age_us,
                self.order_interval_ns,
                self.max_open_orders,
                self.max_duplicates,
                self.duplicate_window_ns,
                self.max_move,
            )
        )


@dataclass(frozen=True, kw_only=True)
class AccountLimits:
    """The limits of all symbols together; one of 0 is not programmed, which gate 4 refuses.

    1e-4 USD, orders, shares, executions, and nanoseconds, of which `move_window` and `fill_window`
    are binary logarithms. `session_burst_ns` and `session_reserve_ns` may be 0.
    """

    max_gross: int = 0
    max_net: int = 0
    max_open_orders: int = 0
    max_day_orders: int = 0
    max_day_shares: int = 0
    max_day_notional: int = 0
    max_loss: int = 0
    session_interval_ns: int = 0
    session_burst_ns: int = 0
    session_reserve_ns: int = 0
    max_executions: int = 0
    move_window: int = 0
    fill_window: int = 0

    @property
    def present(self) -> bool:
        """True if every limit that must not be 0 is programmed."""
        return all(
            (
                self.max_gross,
                self.max_net,
                self.max_open_orders,
                self.max_day_orders,
                self.max_day_shares,
                self.max_day_notional,
                self.max_loss,
                self.session_interval_ns,
                self.max_executions,
                self.move_window,
                self.fill_window,
            )
        )


class _Sent(NamedTuple):
    side: int
    price: int
    quantity: int
    time: int


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
    restricted: bool = False
    top: Top | None = None
    message_time: int | None = None
    full_at: int = 0
    open_orders: int = 0
    sent: list[_Sent] = field(default_factory=list)
    highest_buy: int = 0
    lowest_sell: int = 0
    prints: list[tuple[int, int]] = field(default_factory=list)
    """Time in ns and price."""
    fills: list[tuple[int, int]] = field(default_factory=list)
    """Time in ns and shares."""
    burst: bool = False


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
    standing : frozenset of int
        Gates of `STANDING` that pass.
    account : AccountLimits
    long_value, short_value : int
        What positions are worth, those that are long and those that are short, in 1e-4 USD.
    values_known : bool
        Whether these are the values of all positions.
    time_in_force : str
        The OUCH code of all orders.
    damaged : bool
        A flipped bit was seen in what the gates go by: what gate 34 looks at.
    regular_session, breach : bool
        What gate 16 looks at beside the symbol's state; set by `system` messages.
    """

    limits: Mapping[int, Limits]
    account: AccountLimits = AccountLimits()
    next_user_ref_num: int = 1
    armed: bool = False
    killed: bool = False
    config_valid: bool = False
    standing: frozenset[int] = frozenset()
    time_in_force: str = "3"
    damaged: bool = False
    long_value: int = 0
    short_value: int = 0
    values_known: bool = True
    regular_session: bool = field(default=False, init=False)
    breach: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._accounts = {index: _Account(limits) for index, limits in self.limits.items()}
        self._message_time: int | None = None
        self._recovering = False
        self._forget_day()

    def _forget_day(self) -> None:
        self._session_full_at = 0
        self._open_notional = {BUY: 0, SELL: 0}
        self._day_orders = self._day_shares = self._day_notional = 0
        for account in self._accounts.values():
            account.full_at = account.open_orders = 0
            account.sent.clear()
            account.fills.clear()
            account.burst = False

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
        self._forget_day()

    def released(self, side: int, notional: int) -> None:
        """So much of what was reserved for orders of a side is open no more."""
        self._open_notional[side] = max(0, self._open_notional[side] - notional)

    def closed(self, symbol: int) -> None:
        """An order of this symbol is open no more."""
        account = self._accounts[symbol]
        account.open_orders = max(0, account.open_orders - 1)

    def heard(self, symbol: int | None, time_ns: int) -> None:
        """A message of the feed has come, of a tracked `symbol` or none."""
        self._message_time = time_ns
        if symbol is not None:
            self._accounts[symbol].message_time = time_ns

    def top(self, top: Top) -> None:
        """The book of a symbol has another top."""
        self._accounts[top.symbol].top = top

    def trade(self, trade: Trade, time_ns: int) -> None:
        """A print makes the reference price of its symbol."""
        account = self._accounts[trade.symbol]
        account.reference = trade.price
        account.reference_time = time_ns

    def move(self, trade: Trade, time_ns: int) -> None:
        """A print may be a move of the reference price; to be told beside `trade`."""
        prints = self._accounts[trade.symbol].prints
        prints.append((time_ns, trade.price))
        if len(prints) > PRINTS:
            del prints[: -len(self._moves(prints, time_ns))]

    def fill(self, symbol: int, shares: int, time_ns: int) -> None:
        """So many shares of an own order were executed."""
        account, window = self._accounts[symbol], self.account.fill_window
        account.fills.append((time_ns, shares))
        counted, now = [], time_ns >> window
        for at, each in reversed(account.fills):
            if now - (at >> window) not in (0, 1):
                break
            counted.append(each)
        limits = account.limits
        if len(counted) > limits.max_fills or sum(counted) > limits.max_fill_shares:
            account.burst = True

    def clear_fill_burst(self, symbol: int) -> None:
        """The host lets a symbol trade again."""
        self._accounts[symbol].burst = False

    def message(self, message: Message, symbol: int | None) -> None:
        """Follows the trading state: H, h, Y of a tracked `symbol`, S and W of the whole market.

        Any other message changes nothing.
        """
        if message.type == "H":
            if symbol is not None:
                self._accounts[symbol].trading = message.code == "T"
        elif message.type == "h":
            if symbol is not None and message.code in ("H", "T"):
                self._accounts[symbol].halted = message.code == "H"
        elif message.type == "Y":
            if symbol is not None:
                self._accounts[symbol].restricted = message.code != "0"
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

    def judge(
        self,
        proposal: Proposal,
        time_ns: int,
        *,
        interval_ns: int | None = None,
        transmit_busy: bool = False,
        accounting: bool = False,
    ) -> Verdict:
        """Evaluates every gate; if all pass, reserves the exposure and takes a reference number.

        `interval_ns`: the time that tells the interval of gate 12, if it is another one.
        `accounting`: the order approved before is being accounted for; the port is then busy.
        """
        account = self._accounts[proposal.symbol]
        limits = account.limits
        _, buys, sells = self.exposure(proposal.symbol)
        buys += proposal.quantity if proposal.side == BUY else 0
        sells += proposal.quantity if proposal.side == SELL else 0
        passes = {
            1: self.armed and not self.killed and self.config_valid,
            4: limits.present and self.account.present,
            5: proposal.side != BUY or account.position + buys <= limits.max_long,
            6: proposal.side != SELL or sells - account.position <= limits.max_short,
            9: 0 < proposal.quantity <= min(limits.max_order_quantity, QUANTITY_MAX),
            10: proposal.quantity * proposal.price <= limits.max_order_notional,
            11: self._within_collar(account, proposal.price, time_ns),
            12: self._move(account, time_ns if interval_ns is None else interval_ns)
            < limits.max_move,
            13: account.exact and not self._recovering,
            7: self.values_known and self._gross(proposal) <= self.account.max_gross,
            8: self.values_known and self._net(proposal) <= self.account.max_net,
            14: self._is_recent(self._message_time, limits.feed_max_age_us, time_ns)
            and self._is_recent(account.message_time, limits.symbol_max_age_us, time_ns),
            15: self._is_sane(account),
            17: limits.band_exempt
            or (
                (limits.band_low <= proposal.price <= limits.band_high)
                and time_ns < limits.band_until
            ),
            18: self._within_rate(account, time_ns),
            19: account.open_orders < limits.max_open_orders
            and sum(each.open_orders for each in self._accounts.values())
            < self.account.max_open_orders,
            21: self._is_original(account, proposal, time_ns),
            22: limits.allow_self_trade or self._is_apart(proposal),
            16: account.trading
            and not account.halted
            and not self.breach
            and (self.regular_session or limits.extended_hours),
            23: proposal.side != SELL or sells - account.position <= limits.short_locates,
            24: not account.restricted
            or proposal.side != SELL
            or sells <= account.position
            or (account.top is not None and self._is_above_bid(account.top, proposal.price)),
            25: (limits.allow_buy if proposal.side == BUY else limits.allow_sell)
            and self.time_in_force in limits.allow_time_in_force,
            26: limits.order_tick in ORDER_TICKS
            and proposal.price % limits.order_tick == 0
            and limits.lot_size in LOT_SIZES
            and proposal.quantity % limits.lot_size == 0,
            28: not account.burst,
            29: self._day_orders < self.account.max_day_orders
            and self._day_shares + proposal.quantity <= self.account.max_day_shares
            and self._day_notional + _notional(proposal) <= self.account.max_day_notional,
            34: not self.damaged,
        }
        passes |= {gate: gate in self.standing for gate in STANDING}
        if accounting:
            passes |= dict.fromkeys(COUNTING, True)
        reasons = sum(1 << gate for gate, passed in passes.items() if not passed)
        if transmit_busy or accounting:
            reasons |= 1 << BUSY
        order = Order(*proposal, self.next_user_ref_num)
        if not reasons:
            self._note_price(proposal)
            account.open_buys = (buys + account.released_buys) % RESERVE
            account.open_sells = (sells + account.released_sells) % RESERVE
            self._account_for(account, proposal, time_ns)
            self.next_user_ref_num = (self.next_user_ref_num + 1) & WORD
        return Verdict(not reasons, reasons, order)

    def _account_for(self, account: _Account, proposal: Proposal, time_ns: int) -> None:
        self._open_notional[proposal.side] += _notional(proposal)
        self._day_orders += 1
        self._day_shares += proposal.quantity
        self._day_notional += _notional(proposal)
        account.open_orders += 1
        full_at = max(account.full_at, time_ns) + account.limits.order_interval_ns
        account.full_at = min(full_at, TIME)
        session = max(self._session_full_at, time_ns) + self.account.session_interval_ns
        self._session_full_at = min(session, TIME)
        sent = _Sent(proposal.side, proposal.price, proposal.quantity, time_ns)
        account.sent = [sent, *account.sent][:REMEMBERED]

    def _gross(self, proposal: Proposal) -> int:
        positions = self.long_value + self.short_value
        return positions + sum(self._open_notional.values()) + _notional(proposal)

    def _net(self, proposal: Proposal) -> int:
        positions = self.long_value - self.short_value
        positions = positions if proposal.side == BUY else -positions
        return positions + self._open_notional[proposal.side] + _notional(proposal)

    def _within_rate(self, account: _Account, time_ns: int) -> bool:
        allowed = self.account.session_burst_ns - self.account.session_reserve_ns
        return (
            self.account.session_interval_ns > 0
            and account.limits.order_interval_ns > 0
            and allowed >= 0
            and account.full_at - time_ns <= account.limits.order_burst_ns
            and self._session_full_at - time_ns <= allowed
        )

    def _is_apart(self, proposal: Proposal) -> bool:
        account = self._accounts[proposal.symbol]
        _, buys, sells = self.exposure(proposal.symbol)
        if proposal.side == BUY:
            return not sells or proposal.price < account.lowest_sell
        return not buys or proposal.price > account.highest_buy

    def _note_price(self, proposal: Proposal) -> None:
        """To be called before what an approved order reserves counts as open."""
        account, price = self._accounts[proposal.symbol], proposal.price
        _, buys, sells = self.exposure(proposal.symbol)
        if proposal.side == BUY:
            account.highest_buy = max(account.highest_buy, price) if buys else price
        else:
            account.lowest_sell = min(account.lowest_sell, price) if sells else price

    @staticmethod
    def _is_original(account: _Account, proposal: Proposal, time_ns: int) -> bool:
        most, window = account.limits.max_duplicates, account.limits.duplicate_window_ns
        order = (proposal.side, proposal.price, proposal.quantity)
        same = sum(sent[:3] == order and time_ns - sent.time <= window for sent in account.sent)
        return same < most <= REMEMBERED

    @staticmethod
    def _is_recent(heard: int | None, max_age_us: int, time_ns: int) -> bool:
        return heard is not None and (time_ns - heard) & TIME <= max_age_us * 1000

    def _move(self, account: _Account, time_ns: int) -> int:
        """What the reference has moved in this interval and the one before."""
        seen = self._moves(account.prints, time_ns)
        return max(seen) - min(seen) if seen else 0

    def _moves(self, prints: list[tuple[int, int]], time_ns: int) -> list[int]:
        now, seen = time_ns >> self.account.move_window, []
        for at, price in reversed(prints):
            seen.append(price)
            if now - (at >> self.account.move_window) not in (0, 1):
                break
        return seen

    @staticmethod
    def _is_sane(account: _Account) -> bool:
        top = account.top
        return (
            top is not None
            and bool(top.bid_present and top.ask_present)
            and 0 < top.ask_price - top.bid_price <= account.limits.max_book_spread
        )

    @staticmethod
    def _is_above_bid(top: Top, price: int) -> bool:
        return bool(top.bid_present) and price > top.bid_price

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


def _notional(proposal: Proposal) -> int:
    return proposal.quantity * proposal.price
