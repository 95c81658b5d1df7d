"""The commands `tickgate prove` and `tickgate prove-mutants`.

Exit codes: 0 all proved, or all mutants caught; 1 not so; 2 a mistake of the user.

Ref: docs/proofs.md.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tickgate.sim.capture import InputError

__all__ = ["prove", "prove_mutants"]

Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="NAME", help="Again for more; default: all.")
]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write all results as JSON; - prints.")
]


def prove(
    only: Only = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only what takes seconds: the part of make test.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Proves what docs/proofs.md claims of the gateware, by model checking and induction."""
    engine = _engine()
    from tickgate.sim.prove.catalogue import PROPERTIES
    from tickgate.sim.prove.report import depth_of

    _require_known(only, PROPERTIES)
    chosen = [
        each
        for each in PROPERTIES.values()
        if (not only or each.name in only) and (each.quick or not quick)
    ]
    console = Console(stderr=json_file == Path("-"), highlight=False, soft_wrap=True)
    name_width = max((len(each.name) for each in chosen), default=0)
    console.print(f"{'property':{name_width}}  {'how far':32}  {'CPU s':>7}  result", style="bold")
    rows, proved = [], True
    for each in chosen:
        outcome = engine.prove(each)
        proved &= outcome.proved
        console.print(
            f"{each.name:{name_width}}  {depth_of(each):32}  {outcome.seconds:7.1f}  ",
            f"[{'green' if outcome.proved else 'red'}]{outcome.result}[/]",
            sep="",
        )
        for cycle, values in enumerate(outcome.counterexample or ()):
            told = " ".join(f"{name}={value:#x}" for name, value in values.items())
            console.print(f"  {cycle:3} {told}")
        rows.append(
            {
                "name": each.name,
                "part": each.component,
                "of": each.about,
                "method": each.method.value,
                "depth": each.depth,
                "cover_cycle": each.reached,
                "seconds": round(outcome.seconds, 2),
                "result": outcome.result,
                "counterexample": outcome.counterexample,
            }
        )
    _write_json(json_file, rows)
    if not proved:
        raise typer.Exit(1)


def prove_mutants(only: Only = None, json_file: Json = None) -> None:
    """Plants each of a list of bugs in the gateware: a property must then not be proved."""
    _engine()
    from tickgate.sim.prove.mutants import MUTANTS
    from tickgate.sim.prove.planting import try_mutant

    _require_known(only, MUTANTS)
    console = Console(stderr=json_file == Path("-"), highlight=False, soft_wrap=True)
    rows = []
    for mutant in MUTANTS.values():
        if only and mutant.name not in only:
            continue
        result = try_mutant(mutant)
        caught = result != "proved"
        console.print(
            f"[{'green' if caught else 'red'}]{'caught' if caught else 'MISSED'}[/] "
            f"{mutant.name}: {mutant.bug} ({mutant.catcher}: {result})"
        )
        rows.append({"name": mutant.name, "property": mutant.catcher, "caught": caught})
    _write_json(json_file, rows)
    if not all(row["caught"] for row in rows):
        raise typer.Exit(1)


def _engine() -> Any:
    try:
        from tickgate.sim.prove import engine
    except ModuleNotFoundError as error:
        if error.name != "bitwuzla":
            raise
        raise InputError("the solver is missing: pip install 'tickgate[dev]'") from None
    return engine


def _require_known(names: list[str] | None, known: Collection[str]) -> None:
    for name in names or ():
        if name not in known:
            raise InputError(f"--only must be one of {', '.join(known)}, not {name!r}")


def _write_json(path: Path | None, value: Any) -> None:
    from tickgate.sim import outputs

    if path is None:
        return
    text = json.dumps(value, indent=2)
    if path == Path("-"):
        typer.echo(text)
        return
    with outputs.create(path) as file:
        file.write(text + "\n")
