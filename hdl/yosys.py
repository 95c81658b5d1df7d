"""Yosys as a program: the native one of its Python package, called as its own command would be.

`python -m tickgate.hdl.yosys [-q] [-l LOG] [-p COMMANDS] [SCRIPT ...]`, or `tickgate-yosys`.

Ref: Yosys manual, "yosys - Yosys Open SYnthesis Suite"; `pyosys`.
"""

import argparse
import os
import sys
from importlib import metadata
from pathlib import Path

__all__ = ["COMMAND", "main", "version"]

COMMAND = (sys.executable, "-m", "tickgate.hdl.yosys")


def version() -> str:
    """The version of Yosys that is installed."""
    return metadata.version("pyosys")


def main(arguments: list[str] | None = None) -> None:
    """Runs scripts, then the commands of `-p`.

    What Yosys says goes to the standard output, or to LOG. Ends the process with 1 at the first
    error, which goes to the standard error output.
    """
    parser = argparse.ArgumentParser(prog="tickgate-yosys")
    parser.add_argument("-V", "--version", action="version", version=f"Yosys {version()}")
    parser.add_argument("-q", action="store_true", help="say nothing but errors")
    parser.add_argument("-l", metavar="LOG", type=Path, help="write the log to this file")
    parser.add_argument("-p", metavar="COMMANDS", default="", help="commands to run")
    parser.add_argument("scripts", nargs="*", type=Path, metavar="SCRIPT")
    given = parser.parse_args(arguments)

    try:
        from pyosys import libyosys  # noqa: PLC0415, for a tickgate without it can say so
    except ImportError:
        parser.error("pyosys is missing: pip install 'tickgate[sim]'")

    commands = "\n".join([*(each.read_text() for each in given.scripts), given.p])
    if given.l or given.q:
        with (given.l or Path(os.devnull)).open("w") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
    libyosys.run_pass(commands, libyosys.Design())


if __name__ == "__main__":
    main()
