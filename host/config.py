"""The configuration of a card as a TOML file, with units in the keys.

Prices are `Decimal` here and integers of 1e-4 USD on the card; nothing is ever a float.

Ref: NASDAQ OUCH 5.0, section 2.1 "Enter Order"; docs/risk.md; docs/registers.md.
"""

import difflib
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from tickgate.host.errors import ConfigError
from tickgate.spec import ouch50
from tickgate.spec.gates import LOT_SIZES, ORDER_TICKS, REMEMBERED_ORDERS, TIMES_IN_FORCE
from tickgate.spec.registers import (
    BY_NAME,
    PAGE_WORDS,
    Kind,
    page_values,
    page_words,
    parameter_checksum,
)

__all__ = [
    "UNITS_A_USD",
    "AccountConfig",
    "Config",
    "FeedConfig",
    "HostConfig",
    "LimitsConfig",
    "LiveConfig",
    "NetworkConfig",
    "RerequestConfig",
    "SessionConfig",
    "StrategyConfig",
    "SymbolConfig",
    "change",
    "page_name",
    "units",
    "usd",
]

UNITS_A_USD = 10_000
_THRESHOLD_ONE = 1 << 16


def units(price: Decimal) -> int:
    """Turns a price in USD into units of 1e-4 USD. Raises `ValueError` if it is none."""
    try:
        scaled = price * UNITS_A_USD
        whole = scaled == scaled.to_integral_value()
    except InvalidOperation:
        whole = False
    if not whole:
        raise ValueError(f"{price} USD is not a multiple of 0.0001 USD")
    return int(price * UNITS_A_USD)


def usd(amount: int) -> Decimal:
    """Turns units of 1e-4 USD into USD with four decimals."""
    return Decimal(amount).scaleb(-4)


def _exact(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise ValueError(f"give a decimal number such as 0.05, not {value!r}")
    return value


def _text(value: Any) -> Any:
    if not isinstance(value, str | IPv4Address):
        raise ValueError(f'give it in quotes, such as "192.0.2.1", not {value!r}')
    return value


def _usd(bits: int) -> AfterValidator:
    def check(price: Decimal) -> Decimal:
        if not 0 <= units(price) < 1 << bits:
            raise ValueError(f"must be 0 to {usd((1 << bits) - 1)} USD, not {price}")
        return price

    return AfterValidator(check)


def _threshold(value: Decimal) -> Decimal:
    if not 0 <= _threshold_code(value) < _THRESHOLD_ONE:
        raise ValueError(f"must be at least 0 and below 0.99999, not {value}")
    return value


def _threshold_code(value: Decimal) -> int:
    """Rounds up, so that the card never acts below the threshold that was asked for."""
    return int((value * _THRESHOLD_ONE).to_integral_value(ROUND_CEILING))


def _mac(value: str) -> str:
    octets = value.split(":")
    if len(octets) != 6 or not all(
        len(octet) == 2 and set(octet.lower()) <= set("0123456789abcdef") for octet in octets
    ):
        raise ValueError(f'must be six octets such as "02:00:00:00:00:01", not {value!r}')
    if int(octets[0], 16) & 1 or not int("".join(octets), 16):
        raise ValueError(f"must be the address of one station, not {value!r}")
    return value.lower()


def _station(value: IPv4Address) -> IPv4Address:
    if value.is_multicast or value.is_unspecified or value == IPv4Address("255.255.255.255"):
        raise ValueError(f"must be the address of one station, not {value}")
    return value


def _printable(value: str) -> str:
    if not all("!" <= character <= "~" for character in value):
        raise ValueError(f"must be printable ASCII without spaces, not {value!r}")
    return value


def _upper(value: str) -> str:
    if value != value.upper():
        raise ValueError(f"must be in upper case: {value.upper()!r}")
    return value


def _one_of(values: Sequence[int], unit: str) -> AfterValidator:
    def check(value: Any) -> Any:
        number = units(value) if isinstance(value, Decimal) else value
        if number and number not in values:
            told = [str(usd(each).normalize()) if unit == "USD" else str(each) for each in values]
            raise ValueError(f"must be {', '.join(told[:-1])} or {told[-1]} {unit}, not {value}")
        return value

    return AfterValidator(check)


U16 = Annotated[int, Field(strict=True, ge=0, lt=1 << 16)]
Milliseconds = U16

OF_A_LOGIN = ("session_isn", "session_number_end")
"""Configuration registers that are written anew for each connection."""
U32 = Annotated[int, Field(strict=True, ge=0, lt=1 << 32)]
U64 = Annotated[int, Field(strict=True, ge=0, lt=1 << 64)]
Port = Annotated[int, Field(strict=True, ge=1, lt=1 << 16)]
Shares = Annotated[int, Field(strict=True, ge=0, le=ouch50.MAX_QUANTITY)]
Bool = Annotated[bool, Field(strict=True)]
Usd32 = Annotated[Decimal, BeforeValidator(_exact), _usd(32)]
Usd64 = Annotated[Decimal, BeforeValidator(_exact), _usd(64)]
Fraction = Annotated[Decimal, BeforeValidator(_exact), AfterValidator(_threshold)]
Mac = Annotated[str, AfterValidator(_mac)]
Address = Annotated[IPv4Address, BeforeValidator(_text)]
Station = Annotated[Address, AfterValidator(_station)]

OrderTick = Annotated[Decimal, BeforeValidator(_exact), _one_of(ORDER_TICKS, "USD")]
LotSize = Annotated[int, Field(strict=True), _one_of(LOT_SIZES, "shares")]
TimeInForce = Literal["day", "immediate_or_cancel", "extended_hours", "after_hours"]
NO_MAC = "00:00:00:00:00:00"

_TIME_IN_FORCE = {
    "day": ouch50.TimeInForce.DAY,
    "immediate_or_cancel": ouch50.TimeInForce.IMMEDIATE_OR_CANCEL,
    "extended_hours": ouch50.TimeInForce.EXTENDED_HOURS,
    "after_hours": ouch50.TimeInForce.AFTER_HOURS,
}
_ALLOWED_TIMES = {name: 1 << TIMES_IN_FORCE.index(code) for name, code in _TIME_IN_FORCE.items()}
_DISPLAY = {"visible": "Y", "hidden": "N", "attributable": "A"}
_CAPACITY = {"agency": "A", "principal": "P", "riskless_principal": "R"}
_CROSS_TYPE = {"continuous": "N"}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FeedConfig(_Section):
    """`[feed]`: which datagrams the card takes, of one line (A) or of two.

    With line B, both `gap_wait_us` (how long the other line may take to bring what one has missed)
    and `line_timeout_us` (silence after which a line is not waited for) apply.
    """

    address: Address
    port: Port
    address_b: Address | None = None
    port_b: Port | None = None
    gap_wait_us: Annotated[int, Field(strict=True, ge=0, lt=1 << 16)] = 500
    line_timeout_us: Annotated[int, Field(strict=True, ge=0, lt=1 << 24)] = 3_000_000
    await_fcs: Bool = False
    start_sequence: Annotated[int, Field(strict=True, ge=1, lt=1 << 64)] = 1
    enabled: Bool = True

    @model_validator(mode="after")
    def _line_b_is_whole(self) -> Self:
        if (self.address_b is None) != (self.port_b is None):
            raise ValueError("address_b and port_b come together")
        return self

    def registers(self) -> dict[str, int]:
        """Register values by name."""
        return {
            "feed_address": int(self.address),
            "feed_port": self.port,
            "feed_enable": int(self.enabled),
            "feed_address_b": int(self.address_b or 0),
            "feed_port_b": self.port_b or 0,
            "feed_enable_b": int(self.enabled and self.address_b is not None),
            "gap_wait_us": self.gap_wait_us,
            "line_timeout_us": self.line_timeout_us,
            "await_fcs": int(self.await_fcs),
            **_halves("start_sequence", self.start_sequence),
        }


class SessionConfig(_Section):
    """`[session]`: the order session and what every order has in common.

    `destination_mac` is that of the venue, or of the gateway to it. Without it a card that keeps
    the connection itself asks for it by ARP when it opens one: of the venue, if that is within the
    first `prefix_bits` of `source_ip`, else of `gateway`.
    """

    source_mac: Mac
    destination_mac: Mac | None = None
    source_ip: Station
    prefix_bits: Annotated[int, Field(strict=True, ge=1, le=30)] | None = None
    gateway: Station | None = None
    destination_ip: Station
    source_port: Port
    destination_port: Port
    tcp_sequence_start: U32 = 1
    tcp_acknowledgement: U32 = 1
    tcp_window: U16 = 0xFFFF
    user_ref_num_start: Annotated[int, Field(strict=True, ge=1, lt=1 << 32)] = 1
    time_in_force: TimeInForce = "immediate_or_cancel"
    display: Literal["visible", "hidden", "attributable"] = "visible"
    capacity: Literal["agency", "principal", "riskless_principal"] = "principal"
    intermarket_sweep: Bool = False
    cross_type: Literal["continuous"] = "continuous"
    clordid: Annotated[str, Field(max_length=14), AfterValidator(_printable)] = "TICKGATE"

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if self.destination_mac is not None:
            if self.prefix_bits is not None or self.gateway is not None:
                raise ValueError("with a destination_mac there is no use for prefix_bits, gateway")
            return self
        if self.prefix_bits is None:
            raise ValueError("give destination_mac, or prefix_bits for the card to ask for it")
        if not self._on_the_network(self.destination_ip):
            if self.gateway is None:
                raise ValueError(
                    f"{self.destination_ip} is not on the network of {self.source_ip}: give the "
                    "gateway to it"
                )
            if not self._on_the_network(self.gateway):
                raise ValueError(
                    f"the gateway {self.gateway} is not on the network of {self.source_ip}"
                )
        return self

    def _on_the_network(self, address: IPv4Address) -> bool:
        return (int(address) ^ int(self.source_ip)) >> 32 - (self.prefix_bits or 0) == 0

    @property
    def next_hop(self) -> IPv4Address | None:
        """Whom the card asks for its MAC address; nobody, if that is configured."""
        if self.destination_mac is not None:
            return None
        return self.destination_ip if self._on_the_network(self.destination_ip) else self.gateway

    def registers(self) -> dict[str, int]:
        """Register values by name."""
        clordid = self.clordid.ljust(14).encode("ascii")
        return {
            **_mac_halves("destination_mac", self.destination_mac or NO_MAC),
            "next_hop": int(self.next_hop or 0),
            **_mac_halves("source_mac", self.source_mac),
            "source_ip": int(self.source_ip),
            "destination_ip": int(self.destination_ip),
            "tcp_ports": BY_NAME["tcp_ports"].pack(
                source=self.source_port, destination=self.destination_port
            ),
            "tcp_sequence_start": self.tcp_sequence_start,
            "tcp_acknowledgement": self.tcp_acknowledgement,
            "tcp_window": self.tcp_window,
            "user_ref_num_start": self.user_ref_num_start,
            "order_attributes": BY_NAME["order_attributes"].pack(
                time_in_force=ord(_TIME_IN_FORCE[self.time_in_force]),
                display=ord(_DISPLAY[self.display]),
                capacity=ord(_CAPACITY[self.capacity]),
                intermarket_sweep=ord("Y" if self.intermarket_sweep else "N"),
            ),
            "order_cross_type": ord(_CROSS_TYPE[self.cross_type]),
            **{f"clordid_{n}": int.from_bytes(clordid[4 * n : 4 * n + 4], "big") for n in range(4)},
        }


class NetworkConfig(_Section):
    """`[network]`: what the card does for its network, as `source_mac` and `source_ip`.

    All of it is off unless asked for.
    """

    arp: Bool = False
    icmp_echo: Bool = False
    igmp: Bool = False

    def registers(self) -> dict[str, int]:
        """Register values by name."""
        return {
            "services": BY_NAME["services"].pack(
                arp=int(self.arp), icmp_echo=int(self.icmp_echo), igmp=int(self.igmp)
            ),
        }


class HostConfig(_Section):
    """`[host]`: for how long the host of an armed card may be silent before the card is killed.

    It must say one of both: a timeout, within which `tickgate watch` or another program that stays
    at the card has to answer again and again, or `heartbeat_off = true`.
    """

    heartbeat_timeout_ms: U16 = 0
    heartbeat_off: Bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.heartbeat_timeout_ms and self.heartbeat_off:
            raise ValueError("heartbeat_off = true and a heartbeat_timeout_ms exclude each other")
        return self

    def registers(self) -> dict[str, int]:
        """Register values by name."""
        return {
            "host_heartbeat": BY_NAME["host_heartbeat"].pack(
                timeout=self.heartbeat_timeout_ms, off=int(self.heartbeat_off)
            )
        }


class RerequestConfig(_Section):
    """`[rerequest]`: the server that retransmits what no line of the feed has brought.

    `mac` is that of the server, or of the gateway to it. `wait_us` bounds the time in which nothing
    of a loss is made good before it is a gap, `interval_us` and `tries` how often the card asks for
    the same without an answer, `messages` what one reply can hold.
    """

    address: Station
    mac: Mac
    port: Port
    source_port: Port
    wait_us: Annotated[int, Field(strict=True, ge=1, lt=1 << 24)] = 20_000
    interval_us: Annotated[int, Field(strict=True, ge=1, lt=1 << 16)] = 1_000
    tries: Annotated[int, Field(strict=True, ge=1, lt=1 << 8)] = 5
    messages: Annotated[int, Field(strict=True, ge=1, lt=0xFFFF)] = 25

    def registers(self) -> dict[str, int]:
        """Register values by name."""
        return {
            "rerequest_address": int(self.address),
            "rerequest_ports": BY_NAME["rerequest_ports"].pack(
                source=self.source_port, destination=self.port
            ),
            **_mac_halves("rerequest_mac", self.mac),
            "rerequest_wait_us": self.wait_us,
            "rerequest_interval_us": self.interval_us,
            "rerequest_limits": BY_NAME["rerequest_limits"].pack(
                tries=self.tries, count=self.messages
            ),
        }


class StrategyConfig(_Section):
    """`[symbols.strategy]`: the parameters of a symbol's strategy."""

    enabled: Bool = False
    threshold_fraction: Fraction = Decimal(0)
    max_spread_usd: Usd32 = Decimal(0)
    quantity_shares: Shares = 0
    min_interval_ns: U32 = 0

    def parameters(self) -> dict[str, int]:
        """Page parameters by name."""
        return {
            "strategy_enable": int(self.enabled),
            "threshold": _threshold_code(self.threshold_fraction),
            "max_spread": units(self.max_spread_usd),
            "quantity": self.quantity_shares,
            "min_interval_ns": self.min_interval_ns,
        }

    @classmethod
    def from_parameters(cls, values: Mapping[str, int]) -> Self:
        """What the card holds, shown as it is, even if a file could not say so."""
        return cls.model_construct(
            enabled=bool(values["strategy_enable"]),
            threshold_fraction=Decimal(values["threshold"]) / _THRESHOLD_ONE,
            max_spread_usd=usd(values["max_spread"]),
            quantity_shares=values["quantity"],
            min_interval_ns=values["min_interval_ns"],
        )


def _power_of_two(microseconds: int) -> int:
    """The binary logarithm of ns that are at least as long; 0 for 0."""
    return (microseconds * 1000 - 1).bit_length() if microseconds else 0


class AccountConfig(_Section):
    """`[account]`: the risk limits of all symbols together. A limit of 0 lets no order pass.

    But for the burst and the reserve, which may be 0: at most 1 + session_burst_ns /
    session_interval_ns messages leave at once, then one each interval; session_reserve_ns of the
    burst is kept for cancels. After `max_executions` the strategy is off until it is enabled anew
    (`tickgate renew-strategy`). With `allow_unaudited`, orders leave even while the card's queue of
    events, which the host has to read, has no room for their record. `move_window_us` and
    `fill_window_us` are rounded up to a power of two of ns. They come into force with the next
    commit.
    """

    max_gross_usd: Usd64 = Decimal(0)
    max_net_usd: Usd64 = Decimal(0)
    max_open_orders: U32 = 0
    max_day_orders: U32 = 0
    max_day_shares: U32 = 0
    max_day_notional_usd: Usd64 = Decimal(0)
    max_loss_usd: Usd64 = Decimal(0)
    session_interval_ns: U32 = 0
    session_burst_ns: U32 = 0
    session_reserve_ns: U32 = 0
    max_executions: U32 = 0
    allow_unaudited: Bool = False
    move_window_us: U32 = 0
    fill_window_us: U32 = 0

    def missing(self) -> list[str]:
        """The keys without which the card refuses every order."""
        free = {"session_burst_ns", "session_reserve_ns", "allow_unaudited"}
        return [name for name, value in self if name not in free and not value]

    def registers(self) -> dict[str, int]:
        """Register values by name."""
        return {
            **_halves("account_max_gross", units(self.max_gross_usd)),
            **_halves("account_max_net", units(self.max_net_usd)),
            "account_max_open_orders": self.max_open_orders,
            "account_max_day_orders": self.max_day_orders,
            "account_max_day_shares": self.max_day_shares,
            **_halves("account_max_day_notional", units(self.max_day_notional_usd)),
            **_halves("account_max_loss", units(self.max_loss_usd)),
            "account_session_interval_ns": self.session_interval_ns,
            "account_session_burst_ns": self.session_burst_ns,
            "account_session_reserve_ns": self.session_reserve_ns,
            "account_max_executions": self.max_executions,
            "account_unaudited": int(self.allow_unaudited),
            "account_move_window": _power_of_two(self.move_window_us),
            "account_fill_window": _power_of_two(self.fill_window_us),
        }


_NOT_NEEDED = {
    *("extended_hours", "allow_buy", "allow_sell", "short_locates_shares", "order_burst_ns"),
    *("band_low_usd", "band_high_usd", "band_until_ns", "band_exempt", "allow_self_trade"),
    *("max_fills", "max_fill_shares"),
}


class LimitsConfig(_Section):
    """`[symbols.limits]`: the risk limits of a symbol. A limit of 0 lets no order pass.

    But for `short_locates_shares`, with which 0 lets nothing be sold short, and `order_burst_ns`:
    at most 1 + order_burst_ns / order_interval_ns orders leave at once, then one each interval.
    Either the limit up/down band is given or the symbol is exempt. `allow_self_trade` lets own
    orders meet: without `[live]` nothing tells that they are over, and all stay in the way. With
    `max_fills` or `max_fill_shares` of 0 the first fill stops the symbol.
    """

    max_long_shares: U32 = 0
    max_short_shares: U32 = 0
    max_order_quantity_shares: U32 = 0
    max_order_notional_usd: Usd64 = Decimal(0)
    collar_bps: U16 = 0
    collar_absolute_usd: Usd32 = Decimal(0)
    reference_max_age_us: U32 = 0
    extended_hours: Bool = False
    max_book_spread_usd: Usd32 = Decimal(0)
    order_tick_usd: OrderTick = Decimal(0)
    lot_size_shares: LotSize = 0
    allow_buy: Bool = False
    allow_sell: Bool = False
    allow_time_in_force: tuple[TimeInForce, ...] = ()
    short_locates_shares: U32 = 0
    feed_max_age_us: U32 = 0
    symbol_max_age_us: U32 = 0
    band_low_usd: Usd32 = Decimal(0)
    band_high_usd: Usd32 = Decimal(0)
    band_until_ns: U64 = 0
    band_exempt: Bool = False
    order_interval_ns: U32 = 0
    order_burst_ns: U32 = 0
    max_open_orders: U32 = 0
    max_duplicates: Annotated[int, Field(strict=True, ge=0, le=REMEMBERED_ORDERS)] = 0
    duplicate_window_ns: U32 = 0
    allow_self_trade: Bool = False
    max_move_usd: Usd32 = Decimal(0)
    max_fills: U16 = 0
    max_fill_shares: U32 = 0

    def missing(self) -> list[str]:
        """The keys without which the card refuses every order."""
        needed = set(type(self).model_fields) - _NOT_NEEDED
        missing = [name for name, value in self if name in needed and not value]
        if not (self.allow_buy or self.allow_sell):
            missing.append("allow_buy")
        if not (self.band_exempt or (self.band_high_usd and self.band_until_ns)):
            missing.append("band_exempt")
        return missing

    def parameters(self) -> dict[str, int]:
        """Page parameters by name."""
        return {
            "max_long": self.max_long_shares,
            "max_short": self.max_short_shares,
            "max_order_quantity": self.max_order_quantity_shares,
            **_halves("max_order_notional", units(self.max_order_notional_usd)),
            "collar_bps": self.collar_bps,
            "collar_absolute": units(self.collar_absolute_usd),
            "reference_max_age_us": self.reference_max_age_us,
            "extended_hours": int(self.extended_hours),
            "max_book_spread": units(self.max_book_spread_usd),
            "order_tick": units(self.order_tick_usd),
            "lot_size": self.lot_size_shares,
            "allow_buy": int(self.allow_buy),
            "allow_sell": int(self.allow_sell),
            "allow_time_in_force": sum(
                _ALLOWED_TIMES[name] for name in set(self.allow_time_in_force)
            ),
            "short_locates": self.short_locates_shares,
            "feed_max_age_us": self.feed_max_age_us,
            "symbol_max_age_us": self.symbol_max_age_us,
            "band_low": units(self.band_low_usd),
            "band_high": units(self.band_high_usd),
            **_halves("band_until", self.band_until_ns),
            "band_exempt": int(self.band_exempt),
            "order_interval_ns": self.order_interval_ns,
            "order_burst_ns": self.order_burst_ns,
            "max_open_orders": self.max_open_orders,
            "max_duplicates": self.max_duplicates,
            "duplicate_window_ns": self.duplicate_window_ns,
            "allow_self_trade": int(self.allow_self_trade),
            "max_move": units(self.max_move_usd),
            "max_fills": self.max_fills,
            "max_fill_shares": self.max_fill_shares,
        }

    @classmethod
    def from_parameters(cls, values: Mapping[str, int]) -> Self:
        """What the card holds, shown as it is, even if a file could not say so."""
        notional = values["max_order_notional_high"] << 32 | values["max_order_notional_low"]
        return cls.model_construct(
            max_long_shares=values["max_long"],
            max_short_shares=values["max_short"],
            max_order_quantity_shares=values["max_order_quantity"],
            max_order_notional_usd=usd(notional),
            collar_bps=values["collar_bps"],
            collar_absolute_usd=usd(values["collar_absolute"]),
            reference_max_age_us=values["reference_max_age_us"],
            extended_hours=bool(values["extended_hours"]),
            max_book_spread_usd=usd(values["max_book_spread"]),
            order_tick_usd=usd(values["order_tick"]),
            lot_size_shares=values["lot_size"],
            allow_buy=bool(values["allow_buy"]),
            allow_sell=bool(values["allow_sell"]),
            allow_time_in_force=tuple(
                name for name, bit in _ALLOWED_TIMES.items() if values["allow_time_in_force"] & bit
            ),
            short_locates_shares=values["short_locates"],
            feed_max_age_us=values["feed_max_age_us"],
            symbol_max_age_us=values["symbol_max_age_us"],
            band_low_usd=usd(values["band_low"]),
            band_high_usd=usd(values["band_high"]),
            band_until_ns=values["band_until_high"] << 32 | values["band_until_low"],
            band_exempt=bool(values["band_exempt"]),
            order_interval_ns=values["order_interval_ns"],
            order_burst_ns=values["order_burst_ns"],
            max_open_orders=values["max_open_orders"],
            max_duplicates=values["max_duplicates"],
            duplicate_window_ns=values["duplicate_window_ns"],
            allow_self_trade=bool(values["allow_self_trade"]),
            max_move_usd=usd(values["max_move"]),
            max_fills=values["max_fills"],
            max_fill_shares=values["max_fill_shares"],
        )


class SymbolConfig(_Section):
    """`[[symbols]]`: one tracked symbol; its place in the file is its index on the card."""

    name: Annotated[
        str, Field(min_length=1, max_length=8), AfterValidator(_printable), AfterValidator(_upper)
    ]
    stock_locate: Annotated[int, Field(strict=True, ge=1, lt=1 << 16)]
    tick_usd: Annotated[Decimal, BeforeValidator(_exact)] = Decimal("0.01")
    window_base_usd: Usd32
    strategy: StrategyConfig = StrategyConfig()
    limits: LimitsConfig = LimitsConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tick_usd not in (Decimal("0.01"), Decimal("0.0001")):
            raise ValueError(f"tick_usd must be 0.01 or 0.0001, not {self.tick_usd}")
        if units(self.window_base_usd) % units(self.tick_usd):
            raise ValueError(
                f"window_base_usd must be a multiple of tick_usd ({self.tick_usd}), "
                f"not {self.window_base_usd}"
            )
        if self.strategy.enabled:
            missing = self.limits.missing()
            if missing:
                raise ValueError(
                    "strategy.enabled needs every limit above 0, or the card refuses each order; "
                    f"set limits.{', limits.'.join(missing)}"
                )
        return self

    def parameters(self) -> dict[str, int]:
        """Page parameters by name."""
        name = self.name.ljust(8).encode("ascii")
        return {
            "name_high": int.from_bytes(name[:4], "big"),
            "name_low": int.from_bytes(name[4:], "big"),
            "window_base": units(self.window_base_usd),
            "tick_is_cent": int(self.tick_usd == Decimal("0.01")),
            **self.strategy.parameters(),
            **self.limits.parameters(),
        }

    def words(self) -> list[int]:
        """The words of the symbol's page."""
        return page_words(self.parameters())


class LiveConfig(_Section):
    """`[live]`: orders leave on a TCP connection that the card keeps itself.

    Without this section they leave with the numbers of `[session]`, and nothing is received. All
    times are in milliseconds, 0 for never where that makes sense; `tick_us` is their unit in the
    card, which a slow simulation makes longer. `order_timeout_ms` is how long the venue may take to
    answer an order before no other one leaves, `order_kill_timeout_ms` before the card is killed;
    `max_unanswered` orders may wait for their answers at a time. More than `max_rejects` orders
    rejected within `reject_window_ms` kill the card. With `cancel_on_disarm`, a card that is
    disarmed cancels its open orders; one that is killed always does. With `pull_orders` the card
    cancels the open orders of a symbol that a gate has stopped: 12, 13, 14, 15, 16 or 28.
    """

    tick_us: Annotated[int, Field(strict=True, ge=1, lt=1 << 16)] = 1_000
    rto_initial_ms: Milliseconds = 1_000
    rto_min_ms: Milliseconds = 200
    rto_max_ms: Milliseconds = 60_000
    ack_delay_ms: Milliseconds = 0
    keepalive_idle_ms: Milliseconds = 0
    keepalive_interval_ms: Milliseconds = 1_000
    linger_ms: Milliseconds = 1_000
    challenge_interval_ms: Milliseconds = 100
    heartbeat_ms: Milliseconds = 1_000
    silence_ms: Milliseconds = 15_000
    order_timeout_ms: Milliseconds = 1_000
    order_kill_timeout_ms: Milliseconds = 5_000
    max_unanswered: Annotated[U16, Field(ge=1)] = 64
    max_rejects: Annotated[int, Field(strict=True, ge=0, lt=1 << 4)] = 10
    reject_window_ms: Milliseconds = 1_000
    retries: Annotated[int, Field(strict=True, ge=1, lt=1 << 8)] = 6
    keepalive_probes: Annotated[int, Field(strict=True, ge=1, lt=1 << 8)] = 5
    cancel_on_disarm: Bool = False
    pull_orders: Bool = True

    @model_validator(mode="after")
    def _refuses_before_it_kills(self) -> Self:
        if 0 < self.order_kill_timeout_ms < self.order_timeout_ms:
            raise ValueError(
                "order_kill_timeout_ms must be 0 (never) or at least order_timeout_ms "
                f"({self.order_timeout_ms}), not {self.order_kill_timeout_ms}"
            )
        return self

    def registers(self) -> dict[str, int]:
        """Register values by name."""
        values = {"session_live": 1, "session_tick_us": self.tick_us}
        values["session_cancel_on_disarm"] = int(self.cancel_on_disarm)
        values["session_keep_orders"] = int(not self.pull_orders)
        for name, register in BY_NAME.items():
            if name.startswith("session_times_"):
                fields = {each.name: getattr(self, f"{each.name}_ms") for each in register.fields}
                values[name] = register.pack(**fields)
        values["session_limits"] = BY_NAME["session_limits"].pack(
            retries=self.retries,
            keepalive_probes=self.keepalive_probes,
            order_timeout=self.order_timeout_ms,
        )
        values["session_unanswered"] = BY_NAME["session_unanswered"].pack(
            most=self.max_unanswered, kill_timeout=self.order_kill_timeout_ms
        )
        values["session_rejects"] = BY_NAME["session_rejects"].pack(
            window=self.reject_window_ms, most=self.max_rejects
        )
        return values


class Config(_Section):
    """A whole configuration. Build it with `from_file`, `from_text` or `from_dict`."""

    feed: FeedConfig
    session: SessionConfig
    network: NetworkConfig = NetworkConfig()
    host: HostConfig = HostConfig()
    rerequest: RerequestConfig | None = None
    account: AccountConfig = AccountConfig()
    live: LiveConfig | None = None
    symbols: Annotated[list[SymbolConfig], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.live is None and self.session.destination_mac is None:
            raise ValueError("without [live] the card asks nobody: give session.destination_mac")
        for key in ("name", "stock_locate"):
            values = [getattr(symbol, key) for symbol in self.symbols]
            twice = [value for value in values if values.count(value) > 1]
            if twice:
                raise ValueError(f"two symbols have the {key} {twice[0]!r}")
        trades = any(symbol.strategy.enabled for symbol in self.symbols)
        if trades and not (self.host.heartbeat_timeout_ms or self.host.heartbeat_off):
            raise ValueError(
                "a strategy that is enabled needs host.heartbeat_timeout_ms above 0, or "
                "host.heartbeat_off = true, or the card refuses each order"
            )
        missing = self.account.missing()
        if missing and trades:
            raise ValueError(
                "a strategy that is enabled needs every limit of the account above 0, or the card "
                f"refuses each order; set account.{', account.'.join(missing)}"
            )
        return self

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Reads a file. Raises `ConfigError` naming the file, the key and what to do."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"{path}: cannot be read: {reason}") from None
        return cls.from_text(text, source=str(path))

    @classmethod
    def from_text(cls, text: str, *, source: str = "configuration") -> Self:
        """Reads TOML; `source` names it in errors. Raises `ConfigError`."""
        try:
            values = tomllib.loads(text, parse_float=Decimal)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{source}: is not TOML: {error}") from None
        return cls.from_dict(values, source=source)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "configuration") -> Self:
        """Takes the tables of a file as dictionaries. Raises `ConfigError`."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _explain(error, cls, source, values) from None

    def registers(self) -> dict[str, int]:
        """Configuration registers by name: all but the time."""
        sections = [self.feed, self.session, self.network, self.host, self.rerequest]
        sections += [self.account, self.live]
        values = {
            name: 0
            for name, register in BY_NAME.items()
            if name.startswith(("rerequest_", "session_"))
            and register.kind is Kind.CONFIG
            and name not in OF_A_LOGIN
        }
        for section in sections:
            values |= section.registers() if section else {}
        if self.live:
            # A login says with which number orders go on.
            del values["user_ref_num_start"]
        return values

    def pages(self, symbols: int) -> list[list[int]]:
        """The page of each of the card's `symbols`; those beyond this file's are all zero.

        Raises `ConfigError` if the card has fewer symbols than the file.
        """
        if len(self.symbols) > symbols:
            raise ConfigError(
                f"the configuration has {len(self.symbols)} symbols and the card tracks {symbols}; "
                f"remove {self.symbols[symbols].name} and those after it"
            )
        pages = [symbol.words() for symbol in self.symbols]
        return pages + [[0] * PAGE_WORDS for _ in range(symbols - len(pages))]

    def checksum(self, symbols: int) -> int:
        """The value that `commit` takes for these pages on a card of `symbols`."""
        return parameter_checksum(self.pages(symbols))

    def index(self, name: str) -> int:
        """The card's index of the symbol called `name`. Raises `ConfigError`."""
        for index, symbol in enumerate(self.symbols):
            if symbol.name == name:
                return index
        raise ConfigError(f"the configuration has no symbol {name!r}")

    def require_fit(self, *, symbols: int, ticks: int, locates: int, sessions: int) -> None:
        """Raises `ConfigError` if a card with these parameters cannot hold the configuration."""
        self.pages(symbols)
        if self.live and not sessions:
            raise ConfigError(
                "[live]: this card was built without an order session; remove the section, "
                "or build one with sessions = 1"
            )
        for symbol in self.symbols:
            if symbol.stock_locate >= locates:
                raise ConfigError(
                    f"symbol {symbol.name}: stock_locate {symbol.stock_locate} is beyond the "
                    f"card's table, which ends at {locates - 1}"
                )
            top = units(symbol.window_base_usd) + ticks * units(symbol.tick_usd)
            if top > ouch50.MAX_PRICE:
                raise ConfigError(
                    f"symbol {symbol.name}: a window of {ticks} ticks from window_base_usd ends "
                    f"at {usd(top)} USD, above {usd(ouch50.MAX_PRICE)}; lower window_base_usd"
                )


def page_name(words: Sequence[int]) -> str:
    """The symbol's name in a page; empty if the page is not in use."""
    values = page_values(words)
    octets = (values["name_high"] << 32 | values["name_low"]).to_bytes(8, "big")
    return octets.decode("ascii", "replace").strip(" \0")


Section = StrategyConfig | LimitsConfig


def change(section: Section, assignments: Sequence[str], *, source: str) -> Section:
    """Returns `section` with `NAME=VALUE` assignments applied, values as in the TOML file.

    Raises `ConfigError` naming `source`, the key and what to do.
    """
    values: dict[str, Any] = dict(section)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"{source}: {assignment!r} is not NAME=VALUE")
        try:
            values[name.strip()] = _value(text)
        except ValueError:
            raise ConfigError(
                f"{source}: {name}: {text!r} is no value; "
                "give a number such as 0.05, or true or false"
            ) from None
    try:
        return type(section).model_validate(values)
    except ValidationError as error:
        raise _explain(error, type(section), source, values) from None


def _value(text: str) -> Any:
    """One value as in the file. Raises `ValueError`."""
    table = tomllib.loads(f"value = {text}", parse_float=Decimal)
    if len(table) != 1:
        raise ValueError("more than a value")
    return table["value"]


def _halves(name: str, value: int) -> dict[str, int]:
    return {f"{name}_low": value & 0xFFFF_FFFF, f"{name}_high": value >> 32}


def _mac_halves(name: str, mac: str) -> dict[str, int]:
    return _halves(name, int(mac.replace(":", ""), 16))


def _explain(
    error: ValidationError, model: type[BaseModel], source: str, values: Mapping[str, Any]
) -> ConfigError:
    """One line for each thing that is wrong."""
    lines = []
    for item in error.errors(include_url=False):
        path = item["loc"]
        reason = _REASONS.get(item["type"], _plain)(item, _keys(model, path[:-1]))
        where = _where(path, values)
        lines.append(f"{source}: {where}{': ' if where else ''}{reason}")
    return ConfigError("\n".join(lines))


def _plain(item: Any, _keys: Sequence[str]) -> str:
    message = item["msg"].removeprefix("Value error, ").replace("Input should", "should")
    given = item["input"]
    if item["type"] == "value_error" or isinstance(given, dict | list | BaseModel):
        return message
    return f"{message}, not {str(given) if isinstance(given, Decimal) else repr(given)}"


def _unknown(item: Any, keys: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(item["loc"][-1]), keys, n=1)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; the keys here are {', '.join(keys)}"


def _missing(_item: Any, _keys: Sequence[str]) -> str:
    return "is missing; add it"


_REASONS: dict[str, Callable[[Any, Sequence[str]], str]] = {
    "extra_forbidden": _unknown,
    "missing": _missing,
}


def _where(path: Sequence[int | str], values: Mapping[str, Any]) -> str:
    """The path as a person would look for it: `symbols[AAPL].limits.collar_bps`."""
    parts: list[str] = []
    here: Any = values
    for step in path:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            here = None
        if isinstance(step, int):
            name = here.get("name") if isinstance(here, dict) else None
            parts[-1] += f"[{name}]" if isinstance(name, str) else f"[{step}]"
        else:
            parts.append(step)
    return ".".join(parts)


def _keys(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """The keys of the table at `path`."""
    here: Any = model
    for step in path:
        if isinstance(step, int):
            here = typing.get_args(here)[0]
        else:
            here = here.model_fields[step].annotation
        if isinstance(here, types.UnionType):
            here = typing.get_args(here)[0]
    return list(here.model_fields) if hasattr(here, "model_fields") else []
