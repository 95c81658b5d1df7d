"""What the exchange shows of itself: a table at its start, a line while it runs, tables at its end.

Amounts are shown in USD; inside they are integers of 1e-4 USD.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich import box
from rich.table import Table

from tickgate.sim.exchange.accounts import Account
from tickgate.sim.exchange.book import Symbol
from tickgate.sim.exchange.venue import Venue

__all__ = ["progress_line", "start_table", "summary_tables"]

WHAT = {
    "--ouch": "OUCH 5.0 over SoupBinTCP",
    "--feed-a": "ITCH 5.0 over MoldUDP64, line A",
    "--feed-b": "ITCH 5.0 over MoldUDP64, line B",
    "--rerequest": "MoldUDP64 retransmission",
    "--snapshot": "GLIMPSE 5.0 snapshots",
    "--operator": "operator, a command a line",
}


def usd(units: int) -> str:
    """An amount of 1e-4 USD for a person."""
    return f"{Decimal(units).scaleb(-4):,.2f}"


def start_table(
    venue: Venue,
    *,
    symbols: Sequence[Symbol],
    accounts: Mapping[str, Account],
    flow: str,
    shown: bool,
) -> Table:
    """Where the venue is and what it trades; passwords only if they are the built-in ones."""
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_row("session", venue.session)
    for option, (host, port) in venue.addresses.items():
        table.add_row(WHAT[option], f"{host}:{port}")
    names = [f"{symbol.name} ({symbol.locate})" for symbol in symbols]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    table.add_row("symbols (locate)", ", ".join(names[:8]) + more)
    users = [
        f"{name} / {account.password}" if shown else name for name, account in accounts.items()
    ]
    table.add_row("accounts (user / password)" if shown else "accounts", ", ".join(users))
    table.add_row("background flow", flow)
    return table


def progress_line(status: Mapping[str, int], *, seconds: float, rate: float) -> str:
    """How it goes."""
    return (
        f"{seconds:,.0f} s  {status['messages']:,} messages ({rate:,.0f}/s)  "
        f"{status['orders']:,} orders  {status['trades']:,} trades  "
        f"{status['logged_in']} logged in"
    )


def summary_tables(summary: Mapping[str, Any]) -> list[Table]:
    """What the day came to, by account and in all."""
    accounts = Table("account", box=box.SIMPLE, pad_edge=False)
    for name in ("orders", "rejected", "fills", "shares held", "cash USD", "profit USD"):
        accounts.add_column(name, justify="right")
    for row in summary["accounts"]:
        accounts.add_row(
            row["account"],
            f"{len(row['orders']):,}",
            f"{row['rejected']:,}",
            f"{len(row['fills']):,}",
            f"{sum(row['positions'].values()):,}",
            usd(row["cash"]),
            usd(row["profit"]),
        )
    totals = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    totals.add_column()
    totals.add_column(justify="right")
    for name, value in summary["status"].items():
        totals.add_row(name.replace("_", " "), f"{value:,}")
    for name, value in summary["flow"].items():
        totals.add_row(f"flow: {name.replace('_', ' ')}", f"{value:,}")
    return [accounts, totals]
