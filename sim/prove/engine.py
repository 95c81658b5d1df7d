"""Bounded model checking and induction: Yosys makes a transition system, Bitwuzla searches it.

Ref: Yosys manual, `write_smt2`; Niemetz and Preiner, "Bitwuzla" (CAV 2023); Sheeran, Singh and
Stalmarck, "Checking Safety Properties Using Induction and a SAT-Solver" (FMCAD 2000).
"""

import contextlib
import enum
import functools
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Module, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from bitwuzla import Option, Options, Parser, Result, TermManager

from tickgate.hdl import yosys
from tickgate.hdl.memory import BlockMemory, Sweep
from tickgate.sim.prove.unrolled import System

__all__ = ["Harness", "Method", "Outcome", "Property", "prove", "transition_system"]

TOP = "harness"
YOSYS_SCRIPT = f"""
read_rtlil {TOP}.il
hierarchy -top {TOP}
proc
flatten
opt
memory -nordff -nomap
memory_nordff
opt -full
dffunmap
opt_clean
write_smt2 -wires {TOP}.smt2
"""


class Method(enum.Enum):
    """How far a proof goes."""

    ALWAYS = "all inputs"
    """Holds in any single step, whatever came before: complete for parts without a memory."""
    BOUNDED = "all runs from reset"
    """No run from reset up to the depth breaks it."""
    INDUCTION = "for ever"
    """No run from reset up to the depth breaks it, and no run from anywhere that keeps to it for as
    long."""


class Harness(wiring.Component):
    """A part under proof, with what is assumed of its inputs and claimed of its outputs.

    Parameters
    ----------
    inputs : dict of str to ShapeLike
        Free in every cycle.
    shown : dict of str to ShapeLike
        Outputs for who reads a counterexample.
    claims : tuple of str
        Several properties of one part, which is then made once: each has outputs of its own, named
        with an underscore and its name behind.

    Members
    -------
    assumed : Out(1)
        The inputs of this cycle keep to the contract.
    holds : Out(1)
        The property.
    seen : Out(1)
        What some run has to reach, so that the property is not true for want of cases.
    eased : Out(1)
        Where the run to be found is long: what else its inputs keep to, so that it is found soon.
    """

    def __init__(
        self, inputs: dict, shown: dict | None = None, *, claims: tuple[str, ...] = ("",)
    ) -> None:
        shapes = {**inputs, **(shown or {})}
        self.told = [name for name, shape in shapes.items() if Shape.cast(shape).width]
        super().__init__(
            {
                **{name: In(shape) for name, shape in inputs.items()},
                **{name: Out(shape) for name, shape in (shown or {}).items()},
                **{
                    _output(name, claim): Out(1, init=name == "eased")
                    for name in ("assumed", "holds", "seen", "eased")
                    for claim in claims
                },
            }
        )

    @staticmethod
    def stays(m: Module, value: Value) -> Value:
        """True while `value` is what it was a cycle ago: assumed of an input, that is any one."""
        begun, before = Signal(), Signal.like(value)
        m.d.sync += [begun.eq(1), before.eq(value)]
        return ~begun | (value == before)


def _output(name: str, claim: str) -> str:
    return f"{name}_{claim}" if claim else name


@dataclass(frozen=True, kw_only=True)
class Property:
    """One claim of docs/proofs.md.

    Parameters
    ----------
    name : str
    component : str
    claim, contract, size, cover : str
        What holds; what is assumed of the inputs; sizes of the instance; what the cover reaches.
    method : Method
    depth : int
        Cycles; of an induction, the longest run that the step starts with.
    reached : int
        The cycle in which the cover is reached first.
    make : callable
        Makes the harness. Those of the same one should have the same function here.
    of_many : str
        Which of the claims of the harness, if it has several.
    free : tuple of str
        Wires of the harness, by their path, whose values are any in the proof, but not in the
        cover: then it holds whatever makes them.
    about : str
        What it is of: a theorem or gates of RISK.md's numbering, or empty.
    quick : bool
        Cheap enough to belong to what every change is tested with.
    """

    name: str
    component: str
    claim: str
    contract: str
    size: str
    cover: str
    method: Method
    depth: int
    reached: int
    make: Callable[[], Harness]
    of_many: str = ""
    free: tuple[str, ...] = ()
    about: str = ""
    quick: bool = True


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a property.

    Members
    -------
    counterexample : list of dict, or None
        Values by name, cycle by cycle, of a run that breaks it.
    uncovered : str
        How the cover fails: not reached, or in another cycle than stated; empty if it is right.
    seconds : float
        CPU time.
    """

    name: str
    counterexample: list[dict[str, int]] | None = None
    uncovered: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def proved(self) -> bool:
        """True if it holds as stated, and not for want of cases."""
        return self.counterexample is None and not self.uncovered

    @property
    def result(self) -> str:
        """In a word or two."""
        if self.counterexample is not None:
            return "broken"
        return self.uncovered or "proved"


def prove(each: Property) -> Outcome:
    """Tries to break a property, and reaches its cover."""
    began = _cpu_time()
    harness, text = transition_system(each.make)
    counterexample, uncovered = None, ""
    if each.method is not Method.ALWAYS:
        search = _Search(harness, text, each.of_many, free=each.free)
        counterexample = search.break_within(each.depth)
    if counterexample is None and each.method is not Method.BOUNDED:
        depth = 0 if each.method is Method.ALWAYS else each.depth
        search = _Search(harness, text, each.of_many, free=each.free, from_reset=False)
        counterexample = search.break_step(depth)
    if counterexample is None:
        uncovered = _cover(each, harness, text)
    return Outcome(
        name=each.name,
        counterexample=counterexample,
        uncovered=uncovered,
        seconds=_cpu_time() - began,
    )


def _cpu_time() -> float:
    """Of this process and of those that it has waited for, in s."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _cover(each: Property, harness: Harness, text: str) -> str:
    anywhere = each.method is Method.ALWAYS
    limit = each.depth - 1 if each.method is Method.BOUNDED else max(each.depth, each.reached)
    search = _Search(harness, text, each.of_many, from_reset=not anywhere, cover=True)
    reached = search.reach(limit)
    if reached is None:
        return "cover not reached"
    return "" if reached == each.reached else f"cover reached in cycle {reached}"


@functools.cache
def transition_system(make: Callable[[], Harness]) -> tuple[Harness, str]:
    """A harness, and its transition system in the language of SMT-LIB as Yosys writes it.

    Memories are clear as after their sweep. What a relaxed memory reads from an address that is
    being written is wrong on purpose.
    """
    with _set(Sweep, "elaborate", _swept), _set(BlockMemory, "POISONED", True):
        harness = make()
        text = rtlil.convert(harness, name=TOP, emit_src=False)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / f"{TOP}.il").write_text(text)
        ran = subprocess.run(
            [*yosys.COMMAND, "-q", "-p", YOSYS_SCRIPT],
            cwd=scratch,
            check=False,
            capture_output=True,
            text=True,
        )
        if ran.returncode:
            raise RuntimeError(f"Yosys makes no transition system: {ran.stdout}{ran.stderr}")
        return harness, (scratch / f"{TOP}.smt2").read_text()


def _swept(*_) -> Module:
    """A sweep that is over, even where a run begins anywhere: `active` stays low."""
    return Module()


@contextlib.contextmanager
def _set(owner: type, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


class _Search:
    """Runs of a transition system, one cycle longer at a time."""

    def __init__(
        self,
        harness: Harness,
        text: str,
        claim: str = "",
        *,
        free: tuple[str, ...] = (),
        from_reset: bool = True,
        cover: bool = False,
    ) -> None:
        # Where a run begins anywhere, the first cycle may have any state.
        self._claim, self._from_reset = claim, from_reset
        about = ("assumed", "seen", "eased") if cover else ("assumed", "holds")
        self._system = System(text, TOP, [_output(name, claim) for name in about], free)
        self._told = [name for name in harness.told if self._system.has(name)]
        options = Options()
        options.set(Option.PRODUCE_MODELS, True)
        self._parser = Parser(TermManager(), options)
        self._cycles = 0

    def break_within(self, depth: int) -> list[dict[str, int]] | None:
        """A run of at most `depth` cycles in whose last one the property does not hold."""
        for cycle in range(depth):
            self._extend()
            if self._is_possible(f"(not {self._at('holds', cycle)})"):
                return self._run()
            self._say(f"(assert {self._at('holds', cycle)})")
        return None

    def break_step(self, depth: int) -> list[dict[str, int]] | None:
        """`depth` cycles, from anywhere, in which the property holds, and one in which not."""
        for cycle in range(depth + 1):
            self._extend()
            if cycle < depth:
                self._say(f"(assert {self._at('holds', cycle)})")
        return self._run() if self._is_possible(f"(not {self._at('holds', depth)})") else None

    def reach(self, depth: int) -> int | None:
        """The first cycle, at most `depth`, in which the cover can be seen."""
        for cycle in range(depth + 1):
            self._extend()
            self._say(f"(assert {self._at('eased', cycle)})")
            if self._is_possible(self._at("seen", cycle)):
                return cycle
        return None

    def _extend(self) -> None:
        self._say(self._system.cycle(self._cycles, from_reset=self._from_reset))
        self._say(f"(assert {self._at('assumed', self._cycles)})")
        self._cycles += 1

    def _at(self, name: str, cycle: int) -> str:
        return self._system.at(_output(name, self._claim), cycle)

    def _say(self, text: str) -> None:
        self._parser.parse(text, False, False)

    def _is_possible(self, condition: str) -> bool:
        found = self._parser.bitwuzla().check_sat(self._parser.parse_term(condition))
        if found is Result.UNKNOWN:
            raise RuntimeError("the solver has no answer")
        return found is Result.SAT

    def _run(self) -> list[dict[str, int]]:
        return [
            {name: self._value(name, cycle) for name in self._told} for cycle in range(self._cycles)
        ]

    def _value(self, name: str, cycle: int) -> int:
        term = self._parser.parse_term(self._system.at(name, cycle))
        value = self._parser.bitwuzla().get_value(term).value(10)
        return int(value)
