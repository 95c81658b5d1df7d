"""What a day came to, for people."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tickgate.sim.together.books import Row

__all__ = ["tables"]

MONEY = ("paid", "got", "cash", "profit")


def tables(outcome: Any) -> Iterator[Table | Text]:
    """The figures of each, and whether they agree; of single orders only those that do not."""
    table = Table("", box=box.SIMPLE, pad_edge=False)
    for name in ("venue", "card", "host", ""):
        table.add_column(name, justify="right")
    of_orders = [row for row in outcome.rows if row.what.startswith("order ")]
    for row in outcome.rows:
        if row not in of_orders or not row.agree:
            verdict = "" if row.agree else "[red]differ[/]"
            table.add_row(
                row.what, *(_cell(row, who) for who in ("venue", "card", "host")), verdict
            )
    yield table
    yield Text(f"wire to and from the card: {outcome.wire}")
    if outcome.events_lost:
        yield Text(f"{outcome.events_lost:,} events were lost: the host reads too slowly")
    yield Text(
        f"{len(outcome.differences)} differences among venue, card and host: "
        f"{len(of_orders):,} orders and {len(outcome.rows) - len(of_orders)} figures compared, "
        f"in {outcome.seconds:,.0f} s of trading"
    )


def _cell(row: Row, who: str) -> str:
    value = getattr(row, who)
    if value is None:
        return ""
    if isinstance(value, int):
        if row.what.split()[-1] in MONEY:
            return f"{Decimal(value).scaleb(-4):,.4f}"
        return f"{value:,}"
    return str(value)
