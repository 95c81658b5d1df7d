"""The reports that docs/ keeps, and whether they are of the card as it is.

Place-and-route takes hours, so a report outlives the netlist it is of. Then it is marked as
*superseded*, and the documents that quote it say so. `python -m tickgate.boards.kept`, in the
repository, marks them all.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from tickgate.boards import ecpix5, timing
from tickgate.boards.build import digest, prepare

__all__ = ["SUPERSEDED", "marked", "netlist_of_the_board", "netlist_of_the_core", "reports"]

SUPERSEDED = "superseded"


@cache
def netlist_of_the_board() -> str:
    """The digest of the card for the ECPIX-5."""
    return digest(prepare(ecpix5.Platform(), ecpix5.Ecpix5(core=ecpix5.core())))


@cache
def netlist_of_the_core(width: int) -> str:
    """The digest of the core alone."""
    platform = timing.Platform(clock_hz=timing.CLOCKS_HZ[width])
    return digest(prepare(platform, timing.Folded(core=timing.core(width))))


def reports(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Callable[[], str]]]:
    """Each report of a kept file, and what makes the digest of its netlist of today."""
    if "cores" not in document:
        yield document, netlist_of_the_board
    for report in document.get("cores", ()):
        yield report, lambda width=report["width"]: netlist_of_the_core(width)


def marked(document: Mapping[str, Any]) -> dict[str, Any]:
    """A kept file with `SUPERSEDED` in each of its reports as it is today."""
    made = deepcopy(dict(document))
    for report, today in reports(made):
        report[SUPERSEDED] = report["netlist"] != today()
    return made


if __name__ == "__main__":
    for name in ("ecpix5.json", "timing.json"):
        path = Path("docs") / name
        if path.exists():
            text = json.dumps(marked(json.loads(path.read_text())), indent=2)
            path.write_text(text + "\n")
