"""Runs the netlist of the virtual card under cocotb: the same Verilog, another way to drive it.

Needs cocotb (the extra `dev`), make and perl.

Ref: cocotb 2.1, "Building HDL and Running Tests".
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import Verilator

from tickgate.sim.virtual.build import (
    MODULE,
    VERILATOR_ROOT,
    BuildError,
    digest,
    netlist,
    published,
)
from tickgate.sim.virtual.top import VirtualTop

__all__ = ["CocotbFailure", "build", "run"]

EVERYTHING_VISIBLE = "--public-flat-rw"
PINS_VISIBLE = ("--public-depth", "1")
BUILD_ARGUMENTS = (
    *PINS_VISIBLE,
    *("-O3", "--x-assign", "fast", "--no-timing", "-Wno-lint", "-Wno-fatal"),
)


class CocotbFailure(AssertionError):
    """Tests under cocotb failed; says which, and the end of their log."""


class _Runner(Verilator):
    """cocotb's own, with the pins alone visible: a quarter of the code."""

    def _build_command(self):
        commands = super()._build_command()
        return [[word for word in words if word != EVERYTHING_VISIBLE] for words in commands]


def build(top: VirtualTop, *, quiet: bool = False) -> Path:
    """Builds the executable of a card, or finds it in the cache; returns its directory.

    Errors: `BuildError` if a tool is missing or fails.
    """
    found = netlist(lambda: top, quiet=quiet)
    for tool in "make", "perl", "g++":
        if shutil.which(tool) is None:
            raise BuildError(f"No {tool}, which Verilator needs under cocotb: install {tool}.")
    versions = [metadata.version(package) for package in ("cocotb", "verilator")]
    key = digest(found.directory.name, *versions, *BUILD_ARGUMENTS)
    directory = found.directory.parent / f"cocotb-{key}"
    with published(directory) as scratch:
        if scratch is not None:
            _build(found.verilog, scratch)
    return directory


def run(
    directory: Path,
    *,
    module: str,
    work: Path,
    seed: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs the cocotb tests of a module on a built card.

    Parameters
    ----------
    directory : Path
        From `build`.
    module : str
        Name of the module, which `sys.path` finds.
    work : Path
        Where the log and the results go.
    seed : int or None
        Of cocotb's random numbers.
    environment : mapping or None
        Further environment variables for the tests.

    Errors: `CocotbFailure`; also if the simulator ended before it ran any.
    """
    log, results = work / "cocotb.log", work / "results.xml"
    results.unlink(missing_ok=True)
    # The runner raises after failures too; what it has written tells more.
    with contextlib.suppress(RuntimeError, SystemExit):
        _Runner().test(
            hdl_toplevel=MODULE,
            hdl_toplevel_lang="verilog",
            test_module=module,
            build_dir=directory,
            test_dir=work,
            results_xml=str(results),
            log_file=log,
            seed=seed,
            extra_env={"COCOTB_ANSI_OUTPUT": "0", **(environment or {})},
        )
    tests, failed = get_results(results) if results.exists() else (0, 0)
    if failed or not tests:
        tail = "\n".join(log.read_text().splitlines()[-60:]) if log.exists() else "no log"
        raise CocotbFailure(f"{module}: {failed} of {tests} tests failed\n{tail}")


def _build(verilog: Path, scratch: Path) -> None:
    log = scratch / "build.log"
    with _verilator_in_environment():
        try:
            _Runner().build(
                sources=[verilog],
                hdl_toplevel=MODULE,
                build_dir=scratch,
                build_args=BUILD_ARGUMENTS,
                log_file=log,
            )
        except (RuntimeError, SystemExit) as error:
            tail = "\n".join(log.read_text().splitlines()[-30:])
            raise BuildError(f"cocotb's build failed: {error}\n{tail}") from None
    for path in scratch.iterdir():
        if path.name != MODULE:
            path.unlink()


@contextlib.contextmanager
def _verilator_in_environment() -> Iterator[None]:
    """The package's Verilator first on the path, and what its makefile lacks.

    The package was configured without a compiler, so that its makefile names a precompiled header
    without the option to include it; designs of more than a file or two then do not build.
    """
    before = dict(os.environ)
    os.environ["PATH"] = f"{VERILATOR_ROOT / 'bin'}{os.pathsep}{before['PATH']}"
    os.environ["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
