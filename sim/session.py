"""The configuration that a replay runs with, and how the card is told: through the driver only.

Ref: docs/architecture.md, "Control"; docs/risk.md.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from tickgate.host.config import Config, units, usd
from tickgate.sim.capture import InputError
from tickgate.sim.scan import Scan, Tracked
from tickgate.spec import ethernet

__all__ = [
    "FEED_ADDRESS",
    "FEED_ADDRESS_B",
    "FEED_PORT",
    "FEED_PORT_B",
    "default_config",
    "match_config",
    "tracked_by",
]

FEED_ADDRESS = ethernet.parse_ipv4("233.54.12.111")
FEED_PORT = 26477
FEED_ADDRESS_B = ethernet.parse_ipv4("233.49.196.111")
FEED_PORT_B = 26478

SESSION = {
    "source_mac": "02:00:00:00:00:01",
    "destination_mac": "02:00:00:00:00:02",
    "source_ip": "192.0.2.10",
    "destination_ip": "192.0.2.20",
    "source_port": 49152,
    "destination_port": 15001,
}
"""Addresses that are set aside for documentation and local use."""

STRATEGY = {
    "enabled": True,
    "threshold_fraction": Decimal("0.85"),
    "quantity_shares": 100,
    "min_interval_ns": 50_000,
}
MAX_SPREAD = Decimal("0.0005")
"""Of the price in the middle of the window; at least 0.02 USD."""
MIN_SPREAD_USD = Decimal("0.02")

LIMITS = {
    "max_long_shares": 100_000,
    "max_short_shares": 100_000,
    "max_order_quantity_shares": 1_000,
    "max_order_notional_usd": Decimal(50_000_000),
    "collar_bps": 500,
    "collar_absolute_usd": Decimal(50),
    "reference_max_age_us": 60_000_000,
    "max_book_spread_usd": Decimal(50),
    "lot_size_shares": 1,
    "allow_buy": True,
    "allow_sell": True,
    "allow_time_in_force": ["immediate_or_cancel"],
    "short_locates_shares": 100_000,
    "feed_max_age_us": 60_000_000,
    "symbol_max_age_us": 600_000_000,
    "band_exempt": True,
    "order_interval_ns": 1_000,
    "order_burst_ns": 1_000_000,
    "max_open_orders": 1_000_000,
    "max_duplicates": 4,
    "duplicate_window_ns": 1_000,
    "max_move_usd": Decimal(400_000),
    "max_fills": 0xFFFF,
    "max_fill_shares": 1_000_000_000,
    # Where there is no venue, nobody tells when an order is over.
    "allow_self_trade": True,
}
ACCOUNT = {
    "max_gross_usd": Decimal(100_000_000_000),
    "max_net_usd": Decimal(100_000_000_000),
    "max_open_orders": 1_000_000,
    "max_day_orders": 1_000_000,
    "max_day_shares": 1_000_000_000,
    "max_day_notional_usd": Decimal(100_000_000_000),
    "max_loss_usd": Decimal(100_000_000_000),
    "session_interval_ns": 1_000,
    "session_burst_ns": 1_000_000,
    "session_reserve_ns": 100_000,
    "max_executions": 0xFFFF_FFFF,
    # Who simulates does not read the events in time.
    "allow_unaudited": True,
    "move_window_us": 1_000_000,
    "fill_window_us": 1_000_000,
}
HOST = {"heartbeat_off": True}


def default_config(
    scan: Scan,
    tracked: Sequence[Tracked],
    *,
    ticks: int,
    address: int,
    port: int,
    start_sequence: int,
    strategy: dict | None = None,
    limits: dict | None = None,
) -> Config:
    """A configuration under which the strategy trades every symbol whose name is known.

    Its limits are generous but finite; `strategy` and `limits` replace some of it. Orders may
    leave outside market hours only where the input never says that market hours begin.
    """
    symbols = []
    for symbol in tracked:
        middle = usd(symbol.base + ticks * symbol.tick // 2)
        spread = max((middle * MAX_SPREAD).quantize(Decimal("0.01")), MIN_SPREAD_USD)
        symbols.append(
            {
                "name": symbol.name,
                "stock_locate": symbol.locate,
                "tick_usd": usd(symbol.tick),
                "window_base_usd": usd(symbol.base),
                "strategy": {
                    **STRATEGY,
                    "max_spread_usd": spread,
                    **(strategy or {}),
                    "enabled": symbol.named,
                },
                "limits": {
                    **LIMITS,
                    "order_tick_usd": usd(symbol.tick),
                    "extended_hours": not scan.market_opens,
                    **(limits or {}),
                },
            }
        )
    return Config.from_dict(
        {
            "feed": {
                "address": ethernet.format_ipv4(address),
                "port": port,
                "start_sequence": start_sequence,
            },
            "session": SESSION,
            "account": ACCOUNT,
            "host": HOST,
            "symbols": symbols,
        },
        source="the default configuration",
    )


def match_config(path: Path, scan: Scan, names: Sequence[str]) -> Config:
    """The configuration of a file, of its symbols only those in `names` if there are any.

    Raises `ConfigError` for what is
    wrong with the file, `InputError` for a symbol that the file does not have, or that has another
    stock locate in the input.
    """
    config = Config.from_file(path)
    if names:
        by_name = {symbol.name: symbol for symbol in config.symbols}
        missing = [name for name in names if name not in by_name]
        if missing:
            raise InputError(
                f"{path}: has no symbol {missing[0]!r}; it has {', '.join(sorted(by_name))}"
            )
        config = config.model_copy(update={"symbols": [by_name[name] for name in names]})
    locates = {scan.name(locate): locate for locate in scan.locates()}
    for symbol in config.symbols:
        locate = locates.get(symbol.name, symbol.stock_locate)
        if locate != symbol.stock_locate:
            raise InputError(
                f"{path}: {symbol.name} has stock_locate {symbol.stock_locate}, in the input it "
                f"has {locate}"
            )
    return config


def tracked_by(config: Config, scan: Scan, *, from_start: bool) -> list[Tracked]:
    """What the input says of the symbols of a configuration."""
    return [
        Tracked(
            index=index,
            locate=symbol.stock_locate,
            name=symbol.name,
            tick=units(symbol.tick_usd),
            base=units(symbol.window_base_usd),
            whole=scan.is_whole(symbol.stock_locate, from_start=from_start),
            unknown_references=int(scan.unknown_references[symbol.stock_locate]),
            book_messages=int(scan.book_messages[symbol.stock_locate]),
        )
        for index, symbol in enumerate(config.symbols)
    ]
