"""Plants a bug in the gateware and asks whether the property that should catch it does.

That takes a process of its own, in which the text of a module is changed as it is imported; no file
is changed. `python -m tickgate.sim.prove.planting NAME` is that process.
"""

import importlib.abc
import importlib.machinery
import json
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module

__all__ = ["Mutant", "try_mutant"]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A planted bug.

    Parameters
    ----------
    name, bug : str
        What is wrong then.
    module : str
        Whose text is changed, below `tickgate.hdl`.
    before, after : str
        A piece of it that is there once, and what stands in its place.
    catcher : str
        The property that must not hold any more.
    """

    name: str
    bug: str
    module: str
    before: str
    after: str
    catcher: str


def try_mutant(mutant: Mutant) -> str:
    """The result of the property that must catch the bug, with the bug planted."""
    ran = subprocess.run(
        [sys.executable, "-m", "tickgate.sim.prove.planting", mutant.name],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(f"{mutant.name}: {ran.stderr}")
    return json.loads(ran.stdout)


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles a module from its text with the bug in it."""

    mutant: Mutant

    def get_code(self, fullname: str):
        text = self.get_data(self.path).decode()
        if text.count(self.mutant.before) != 1:
            raise ValueError(f"{self.mutant.name}: its place is not there once in {self.path}")
        text = text.replace(self.mutant.before, self.mutant.after)
        return compile(text, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the module with the bug in it."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname, path, target=None):
        if fullname != f"tickgate.hdl.{self._mutant.module}":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return None
        spec.loader = _Loader(fullname, spec.origin)
        spec.loader.mutant = self._mutant
        return spec


def _main(name: str) -> None:
    mutant = import_module("tickgate.sim.prove.mutants").MUTANTS[name]
    sys.meta_path.insert(0, _Finder(mutant))
    # What is imported from here on has the bug in it.
    properties = import_module("tickgate.sim.prove.catalogue").PROPERTIES
    outcome = import_module("tickgate.sim.prove.engine").prove(properties[mutant.catcher])
    json.dump(outcome.result, sys.stdout)


if __name__ == "__main__":
    _main(sys.argv[1])
