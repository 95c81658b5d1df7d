"""What a day came to, for people."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tickgate.sim.together.books import FIGURES, Row

__all__ = ["tables"]

MONEY = ("paid", "got", "cash", "profit")
WHO = ("venue", "card", "host")


def tables(outcome: Any) -> Iterator[Table | Text]:
    """Totals as each of the three has them, what was traded by symbol, and all that differs."""
    of_orders = [row for row in outcome.rows if row.what.startswith("order ")]
    of_symbols = {tuple(row.what.split()): row for row in outcome.rows if _of_symbol(row)}
    totals = [row for row in outcome.rows if row not in of_orders and not _of_symbol(row)]
    yield _side_by_side(totals)
    symbols = Table("symbol", box=box.SIMPLE, pad_edge=False)
    for figure in FIGURES:
        symbols.add_column(figure, justify="right")
    for name in dict.fromkeys(name for name, _ in of_symbols):
        symbols.add_row(name, *(_cell(of_symbols[name, each], "venue") for each in FIGURES))
    yield symbols
    differing = [row for row in outcome.differences if row not in totals]
    if differing:
        yield _side_by_side(differing)
    yield Text(f"wire: {outcome.wire}")
    if outcome.recovered:
        yield Text(f"{outcome.recovered:,} books were made whole again from a snapshot")
    if outcome.events_lost:
        yield Text(f"{outcome.events_lost:,} events were lost: the host reads too slowly")
    yield Text(
        f"{len(outcome.differences)} differences among venue, card and host: "
        f"{len(of_orders):,} orders and {len(outcome.rows) - len(of_orders)} figures compared, "
        f"in {outcome.seconds:,.0f} s of trading"
    )


def _of_symbol(row: Row) -> bool:
    return row.what.split()[-1] in FIGURES


def _side_by_side(rows: list[Row]) -> Table:
    table = Table("", box=box.SIMPLE, pad_edge=False)
    for name in (*WHO, ""):
        table.add_column(name, justify="right")
    for row in rows:
        cells = (_cell(row, who) for who in WHO)
        table.add_row(row.what, *cells, "" if row.agree else "[red]differ[/]")
    return table


def _cell(row: Row, who: str) -> str:
    value = getattr(row, who)
    if isinstance(value, int):
        money = row.what.split()[-1] in MONEY
        return f"{Decimal(value).scaleb(-4):,.2f}" if money else f"{value:,}"
    return "" if value is None else str(value)
