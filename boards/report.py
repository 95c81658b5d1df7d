"""What place-and-route says of a build: clocks, cells, longest paths.

Ref: nextpnr documentation, "Report JSON".
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Arrival", "Clock", "Leg", "Path", "Report", "read_report"]

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
    def start(self) -> str:
        return self.legs[0].through

    @property
    def end(self) -> str:
        return self.legs[-1].through

    @property
    def routing_ns(self) -> float:
        return round(sum(leg.delay_ns for leg in self.legs if leg.kind == "routing"), 3)


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """What comes last, after an edge of its clock, to the registers of a component."""

    component: str
    register: str
    clock: str
    delay_ns: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """A build in figures.

    `netlist` names the netlist that was built. `utilisation` maps a kind of cell to (used,
    available). `arrivals` has one for each component down to the second level, the latest first.
    """

    board: str
    device: str
    seed: int
    netlist: str
    clocks: tuple[Clock, ...]
    utilisation: dict[str, tuple[int, int]]
    longest_paths: tuple[Path, ...]
    arrivals: tuple[Arrival, ...]

    def as_document(self) -> dict[str, Any]:
        """What :meth:`as_json` writes."""
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
            described["start"] = path.start
            described["end"] = path.end
        return document

    def as_json(self) -> str:
        return json.dumps(self.as_document(), indent=2) + "\n"

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
        lines += ["", f"{'latest arrival in':<24} {'ns':>6}  register"]
        lines += [
            f"{arrival.component:<24} {arrival.delay_ns:>6.2f}  {arrival.register}"
            for arrival in self.arrivals
        ]
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
        arrivals=_arrivals(raw["detailed_net_timings"]),
    )


def _within_a_clock(path: dict) -> bool:
    return path["from"] == path["to"] and path["from"].startswith(("posedge ", "negedge "))


def _arrivals(nets: list[dict]) -> tuple[Arrival, ...]:
    latest: dict[str, Arrival] = {}
    for net in nets:
        for end in net["endpoints"]:
            if net["event"] != end["event"]:
                continue
            _least, most = end["delay"]
            arrival = Arrival(
                component=".".join(end["cell"].split(".")[:-1][:2]),
                register=f"{end['cell']}.{end['port']}",
                clock=_net(end["event"].partition(" ")[2]),
                delay_ns=round(most, 3),
            )
            known = latest.get(arrival.component)
            if known is None or known.delay_ns < arrival.delay_ns:
                latest[arrival.component] = arrival
    return tuple(sorted(latest.values(), key=lambda arrival: -arrival.delay_ns))


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
