"""The commands `build` and `flash`."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

__all__ = ["app"]

app = typer.Typer()
BOARDS = ("ecpix5",)

BoardName = Annotated[str, typer.Argument(help="Board: " + ", ".join(BOARDS))]
Directory = Annotated[
    Path | None, typer.Option(help="Where the build lies (default: build/BOARD).")
]


def _check(board: str) -> None:
    if board not in BOARDS:
        Console(stderr=True).print(f"no board {board!r}; there is: {', '.join(BOARDS)}")
        raise typer.Exit(2)


@app.command()
def build(
    board: BoardName,
    directory: Directory = None,
    seed: Annotated[int, typer.Option(help="Seed of the placement.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Build the bitstream of a board, and report the clocks it closes."""
    _check(board)
    from tickgate.boards import ecpix5
    from tickgate.boards.build import BuildError
    from tickgate.boards.build import build as build_board

    directory = directory or Path("build") / board
    console = Console(stderr=True)
    try:
        with console.status("build") as status:
            report = build_board(
                ecpix5.platform(),
                board_name=board,
                design=ecpix5.Ecpix5(),
                directory=directory,
                seed=seed,
                progress=lambda stage, seconds: status.update(f"{stage} ({seconds:.0f} s)"),
            )
    except BuildError as error:
        console.print(str(error), markup=False)
        raise typer.Exit(1) from None
    typer.echo(report.as_json() if as_json else report.as_text(), nl=False)
    console.print(f"bitstream: {directory / 'tickgate.bit'}", markup=False)


@app.command()
def flash(
    board: BoardName,
    directory: Directory = None,
    persistent: Annotated[
        bool, typer.Option(help="Write the SPI flash instead of the FPGA's own memory.")
    ] = False,
) -> None:
    """Load a board with its bitstream through openFPGALoader."""
    _check(board)
    console = Console(stderr=True)
    bitstream = (directory or Path("build") / board) / "tickgate.bit"
    if not bitstream.exists():
        console.print(f"{bitstream} is missing: run `tickgate build {board}` first", markup=False)
        raise typer.Exit(2)
    tool = os.environ.get("OPENFPGALOADER", "openFPGALoader")
    if shutil.which(tool) is None:
        console.print(
            f"{tool} is not installed: take it from your distribution's package openfpgaloader, "
            "or name it in the environment variable OPENFPGALOADER",
            markup=False,
        )
        raise typer.Exit(2)
    command = [tool, "--board", board, "--write-flash" if persistent else "--write-sram"]
    result = subprocess.run([*command, str(bitstream)], check=False)
    if result.returncode:
        console.print(f"{tool} failed with exit code {result.returncode}; is the board attached?")
        raise typer.Exit(1)
