"""The commands `build`, `timing` and `flash`.

Exit codes: 0 done, 1 a tool failed, 2 a mistake of the user or a tool that is missing.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

__all__ = ["app"]

app = typer.Typer()
BOARDS = ("ecpix5",)
BITSTREAM = "tickgate.bit"
WIDTHS = (1, 8)

BoardName = Annotated[str, typer.Argument(help="Board: " + ", ".join(BOARDS))]
Directory = Annotated[
    Path | None, typer.Option(help="Where the build lies (default: build/BOARD).")
]


@app.command()
def build(
    board: BoardName,
    directory: Directory = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the placement.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Build the bitstream of a board, and report the clocks it closes."""
    console = Console(stderr=True)
    directory = _place(console, board, directory)
    try:
        from tickgate.boards import ecpix5
        from tickgate.boards.build import BuildError
        from tickgate.boards.build import build as build_board
    except ModuleNotFoundError as error:
        _stop(console, 2, f"{error.name} is missing: pip install 'tickgate[sim]'")
    try:
        with console.status("") as status:
            report = build_board(
                ecpix5.Platform(),
                board=board,
                design=ecpix5.Ecpix5(core=ecpix5.core()),
                directory=directory,
                seed=seed,
                progress=_Progress(console, status),
            )
    except BuildError as error:
        _stop(console, 1, str(error))
    typer.echo(report.as_json() if as_json else report.as_text(), nl=False)
    _say(console, f"bitstream: {directory / BITSTREAM}")


@app.command()
def timing(
    width: Annotated[
        list[int], typer.Option(help="Octets a cycle, 1 or 8; may be given more than once.")
    ] = list(WIDTHS),  # noqa: B006 - Typer copies it
    part: Annotated[
        list[str] | None,
        typer.Option(help="Only this part of the core, as `book`; may be given more than once."),
    ] = None,
    directory: Annotated[Path, typer.Option(help="Where the builds lie.")] = Path("build/timing"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the placement.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")] = False,
) -> None:
    """Place and route the core alone, or parts of it, and report the clock it closes."""
    console = Console(stderr=True)
    for each in width:
        if each not in WIDTHS:
            _stop(console, 2, f"no core of width {each} is timed; there is: 1, 8")
    try:
        from tickgate.boards import timing as core_timing
        from tickgate.boards.build import BuildError
    except ModuleNotFoundError as error:
        _stop(console, 2, f"{error.name} is missing: pip install 'tickgate[sim]'")
    # In the order of the core, and each of them once.
    parts = [name for name in core_timing.PARTS if name in (part or ())]
    for name in part or ():
        if name not in parts:
            _stop(
                console, 2, f"the core has no part {name!r}; it has: {', '.join(core_timing.PARTS)}"
            )
    reports = {}
    for each in width:
        try:
            with console.status("") as status:
                reports[each] = core_timing.time_core(
                    core_timing.core(each),
                    width=each,
                    parts=parts,
                    directory=directory / "-".join([f"width-{each}", *parts]),
                    seed=seed,
                    progress=_Progress(console, status, prefix=f"width {each}: "),
                )
        except BuildError as error:
            _stop(console, 1, str(error))
    if as_json:
        cores = [{"width": each} | report.as_document() for each, report in reports.items()]
        typer.echo(json.dumps({"cores": cores}, indent=2))
    else:
        typer.echo("\n".join(report.as_text() for report in reports.values()), nl=False)


@app.command()
def flash(
    board: BoardName,
    directory: Directory = None,
    persistent: Annotated[
        bool, typer.Option(help="Write the SPI flash instead of the FPGA's own memory.")
    ] = False,
    loader_board: Annotated[
        str | None,
        typer.Option(help="The board's name in openFPGALoader, as ecpix5_r03 (default: BOARD)."),
    ] = None,
) -> None:
    """Load a board with its bitstream through openFPGALoader."""
    console = Console(stderr=True)
    bitstream = _place(console, board, directory) / BITSTREAM
    if not bitstream.exists():
        _stop(console, 2, f"{bitstream} is missing: run `tickgate build {board}` first")
    tool = os.environ.get("OPENFPGALOADER", "openFPGALoader")
    if shutil.which(tool) is None:
        _stop(
            console,
            2,
            f"{tool} is not installed: take it from your distribution (Debian: apt install "
            "openfpgaloader), or name another in the environment variable OPENFPGALOADER",
        )
    target = "--write-flash" if persistent else "--write-sram"
    command = [tool, "--board", loader_board or board, target, str(bitstream)]
    result = subprocess.run(command, check=False)
    if result.returncode:
        _stop(
            console,
            1,
            f"{tool} failed with exit code {result.returncode}: is the board connected, and may "
            "you use its USB device?",
        )


def _place(console: Console, board: str, directory: Path | None) -> Path:
    if board not in BOARDS:
        _stop(console, 2, f"no board {board!r}; there is: {', '.join(BOARDS)}")
    return directory or Path("build") / board


def _stop(console: Console, code: int, why: str) -> NoReturn:
    _say(console, why)
    raise typer.Exit(code)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Progress:
    """Shows the stage of a build: on a terminal as it goes, elsewhere one line a stage."""

    def __init__(self, console: Console, status, *, prefix: str = "") -> None:
        self._console, self._status, self._prefix, self._stage = console, status, prefix, ""

    def __call__(self, stage: str, seconds: float) -> None:
        self._status.update(f"{self._prefix}{stage} ({seconds:.0f} s)")
        if stage != self._stage and not self._console.is_terminal:
            _say(self._console, f"{self._prefix}{stage} (after {seconds:.0f} s)")
        self._stage = stage
