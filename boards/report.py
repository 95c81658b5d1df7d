"""What place-and-route says of a build: clocks, cells, longest paths.

Ref: nextpnr documentation, "Report JSON".
"""

import json
import math
from dataclasses import asdict, dataclass

__all__ = ["Clock", "Leg", "Path", "Report", "read_report"]

GLOBAL_NET = "$glbnet$"


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A clock, as asked for and as closed."""

    name: str
    asked_mhz: float
    closed_mhz: float

    @property
    def met(self) -> bool:
        return self.closed_mhz >= self.asked_mhz


@dataclass(frozen=True, kw_only=True)
class Leg:
    """One leg of a path: its kind, its delay, and the net or the cell and port it goes through."""

    kind: str
    delay_ns: float
    through: str


@dataclass(frozen=True, kw_only=True)
class Path:
    """The longest path from one edge of a clock to the next."""

    clock: str
    legs: tuple[Leg, ...]

    @property
    def delay_ns(self) -> float:
        return round(sum(leg.delay_ns for leg in self.legs), 3)

    @property
    def routing_ns(self) -> float:
        return round(sum(leg.delay_ns for leg in self.legs if leg.kind == "routing"), 3)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A build in figures.

    `netlist` names the netlist that was built. `utilisation` maps a kind of cell to (used,
    available).
    """

    board: str
    device: str
    seed: int
    netlist: str
    clocks: tuple[Clock, ...]
    utilisation: dict[str, tuple[int, int]]
    longest_paths: tuple[Path, ...]

    def as_json(self) -> str:
        document = asdict(self)
        for clock, described in zip(self.clocks, document["clocks"], strict=True):
            described["met"] = clock.met
        document["utilisation"] = {
            kind: {"used": used, "available": available}
            for kind, (used, available) in self.utilisation.items()
        }
        for path, described in zip(self.longest_paths, document["longest_paths"], strict=True):
            described["delay_ns"] = path.delay_ns
            described["routing_ns"] = path.routing_ns
        return json.dumps(document, indent=2) + "\n"

    def as_text(self) -> str:
        lines = [f"{self.board} ({self.device}), placement seed {self.seed}", ""]
        lines += [f"{'clock':<40} {'asked':>10} {'closed':>10}"]
        for clock in self.clocks:
            met = "met" if clock.met else "NOT MET"
            lines.append(
                f"{clock.name:<40} {clock.asked_mhz:>6.2f} MHz {clock.closed_mhz:>6.2f} MHz  {met}"
            )
        lines += ["", f"{'cells':<16} {'used':>8} {'available':>10}"]
        for kind, (used, available) in self.utilisation.items():
            if used:
                share = 100 * used / available
                lines.append(f"{kind:<16} {used:>8} {available:>10} {share:>6.1f} %")
        for path in self.longest_paths:
            length = f"{path.delay_ns:.2f} ns, {path.routing_ns:.2f} ns of it routing"
            lines += ["", f"longest path of {path.clock}: {length}"]
            at = 0.0
            for leg in path.legs:
                at += leg.delay_ns
                lines.append(f"  {leg.kind:<10} {leg.delay_ns:>6.2f} {at:>6.2f}  {leg.through}")
        return "\n".join(lines) + "\n"


def read_report(text: str, *, board: str, device: str, seed: int, netlist: str) -> Report:
    """Takes the figures out of the JSON report of nextpnr.

    Paths from one clock to another, or to a pin, are left out: no clock is closed by them.
    """
    raw = json.loads(text)
    return Report(
        board=board,
        device=device,
        seed=seed,
        netlist=netlist,
        clocks=tuple(
            Clock(
                name=_net(name),
                asked_mhz=round(value["constraint"], 2),
                # Never rounded up to what was asked for.
                closed_mhz=math.floor(100 * value["achieved"]) / 100,
            )
            for name, value in sorted(raw["fmax"].items())
        ),
        utilisation={
            kind: (value["used"], value["available"])
            for kind, value in sorted(raw["utilization"].items())
        },
        longest_paths=tuple(
            sorted(
                (_path(path) for path in raw["critical_paths"] if _within_a_clock(path)),
                key=lambda path: path.clock,
            )
        ),
    )


def _within_a_clock(path: dict) -> bool:
    return path["from"] == path["to"] and path["from"].startswith(("posedge ", "negedge "))


def _path(path: dict) -> Path:
    _edge, _, clock = path["from"].partition(" ")
    legs = tuple(
        Leg(
            kind=leg["type"],
            delay_ns=round(leg["delay"], 3),
            through=leg.get("net") or f"{leg['to']['cell']}.{leg['to']['port']}",
        )
        for leg in path["path"]
    )
    return Path(clock=_net(clock), legs=legs)


def _net(name: str) -> str:
    return name.removeprefix(GLOBAL_NET)
