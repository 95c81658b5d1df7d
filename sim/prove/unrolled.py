"""A transition system, cycle by cycle, in terms of the inputs of all cycles up to that one.

As Yosys writes it, a system says of two states whether the one follows the other, and what a state
holds is to a solver an unknown function of the state. Here each register of a cycle is the very
term of the cycle before that it takes, so that what a part and its harness both reckon is one
term, and what no claim depends on is not there at all.

Ref: Yosys manual, `write_smt2`, for the form of the text.
"""

import functools
import re
from collections.abc import Collection
from typing import NamedTuple

__all__ = ["System"]

_STATE = "((state |{top}_s|))"
_OF_STATE = re.compile(r"\(\|([^|]+)\| state\)")
_CYCLE = "\0"
"""Where the number of the cycle is to be, in what is kept of a text."""
_USED = re.compile(rf"\|([^|]+)@{_CYCLE}\|")
_NAME = re.compile(r"\|([^|]+)\|")
_COMMENT = re.compile(r" ; .*")
_INPUT = re.compile(r"\(declare-fun \|([^|]+)\| \(\|[^|]+\|\) (.*)\)")
_STEP = re.compile(r"\(= (.*) \(\|([^|]+)\| next_state\)\)")
_BEGINS = re.compile(rf"\(= \|([^|]+)@{_CYCLE}\| (#b[01]+|true|false)\)")
_BIT_BEGINS = re.compile(
    rf"\(= \(= \(\(_ extract 0 0\) \|([^|]+)@{_CYCLE}\|\) #b1\) (true|false)\)"
)
_BITS = {"true": "#b1", "false": "#b0"}


class _Text(NamedTuple):
    """A transition system: sorts of inputs and registers, wires, and what registers begin with."""

    declared: dict[str, str]
    defined: dict[str, str]
    initial: list[str]
    steps: dict[str, str]


@functools.lru_cache(maxsize=4)
def _read(text: str, top: str) -> _Text:
    read = _Text({}, {}, [], {})
    state = _STATE.format(top=top)
    rules = {f"{top}_i": "initial", f"{top}_t": "steps"}
    inside = ""
    for each in text.splitlines():
        line = _OF_STATE.sub(rf"|\1@{_CYCLE}|", _COMMENT.sub("", each))
        if line.startswith("(define-fun"):
            name = _NAME.findall(line)[0]
            inside = rules.get(name, "")
            if state in line and not inside:
                read.defined[name] = line.partition(f"{state} ")[2]
        elif line.startswith("(declare-fun"):
            name, sort = _INPUT.fullmatch(line).groups()
            read.declared[name] = sort
        elif line.startswith("  ") and inside == "initial":
            read.initial.append(line.strip())
        elif line.startswith("  ") and inside == "steps":
            value, name = _STEP.fullmatch(line.strip()).groups()
            read.steps[name] = value
    return read


class System:
    """What of a transition system bears on some wires, ready to be told cycle by cycle.

    Parameters
    ----------
    text : str
        As Yosys writes it of the module `top`, flat. Its reset never comes.
    top : str
    wires : collection of str
        Those that are asked for.
    free : collection of str
        Wires of which each may have any value in any cycle, whatever drives it: what holds then,
        holds. Raises `ValueError` if nothing does, or more than one thing.
    """

    def __init__(
        self, text: str, top: str, wires: Collection[str], free: Collection[str] = ()
    ) -> None:
        self._top = top
        read = _read(text, top)
        self._declared, self._defined = dict(read.declared), dict(read.defined)
        self._initial, self._steps = list(read.initial), dict(read.steps)
        self._fixed = {self._driver("rst"): "false"} if self.has("rst") else {}
        for wire in free:
            self._release(wire)
        self._keep({f"{top}_n {wire}" for wire in wires})

    def has(self, wire: str) -> bool:
        """Whether a wire of this name is there to be asked for."""
        return f"{self._top}_n {wire}" in self._defined

    def at(self, wire: str, cycle: int) -> str:
        """The term that is the value of a wire in a cycle."""
        return f"|{self._top}_n {wire}@{cycle}|"

    def cycle(self, number: int, *, from_reset: bool) -> str:
        """What is to be said before that of later cycles; cycle 0 is reset, or any state."""
        begins = self._begins() if from_reset and not number else {}
        lines = []
        for name, sort in self._declared.items():
            value = self._fixed.get(name) or begins.get(name)
            if number and name in self._steps:
                value = self._in(self._steps[name], number - 1)
            named = f"|{name}@{number}|"
            lines.append(
                f"(declare-const {named} {sort})"
                if value is None
                else f"(define-fun {named} () {sort} {value})"
            )
        lines += [
            f"(define-fun |{name}@{number}| () {self._in(rest, number)}"
            for name, rest in self._defined.items()
        ]
        if from_reset and not number:
            lines += [f"(assert {self._in(line, 0)})" for line in self._initial]
        return "\n".join(lines)

    @staticmethod
    def _in(text: str, cycle: int) -> str:
        return text.replace(f"@{_CYCLE}|", f"@{cycle}|")

    def _keep(self, wanted: set[str]) -> None:
        """Forgets what none of these depends on, in whatever cycle."""
        reached, left = set(), list(wanted)
        while left:
            name = left.pop()
            if name not in reached:
                reached.add(name)
                texts = (self._defined.get(name, ""), self._steps.get(name, ""))
                left += [each for text in texts for each in _USED.findall(text)]
        self._initial = [line for line in self._initial if reached & set(_USED.findall(line))]
        # Such a line may begin something else as well, which then needs a name.
        begun = {name for line in self._initial for name in _USED.findall(line)}
        for table in (self._declared, self._defined, self._steps):
            for name in table.keys() - reached - (begun if table is self._declared else set()):
                shown = name.startswith(f"{self._top}_n ") and "." not in name
                if not shown or not reached.issuperset(_USED.findall(self._defined[name])):
                    del table[name]

    def _begins(self) -> dict[str, str]:
        """Values of registers that are told whole."""
        begins = {}
        for line in self._initial:
            if told := _BEGINS.fullmatch(line):
                begins[told[1]] = told[2]
            elif (told := _BIT_BEGINS.fullmatch(line)) and self._is_bit(told[1]):
                begins[told[1]] = _BITS[told[2]]
        return {name: value for name, value in begins.items() if name in self._steps}

    def _is_bit(self, name: str) -> bool:
        return self._declared.get(name) == "(_ BitVec 1)"

    def _driver(self, wire: str) -> str:
        """What drives a wire."""
        name = f"{self._top}_n {wire}"
        drivers = set(_USED.findall(self._defined.get(name, "")))
        if len(drivers) != 1:
            raise ValueError(f"no one thing drives a wire {wire!r}")
        return drivers.pop()

    def _release(self, wire: str) -> None:
        driver = self._driver(wire)
        self._initial = [line for line in self._initial if f"|{driver}@{_CYCLE}|" not in line]
        if self._steps.pop(driver, None) is None:
            rest = self._defined.pop(driver)
            self._declared[driver] = _sort(rest)


def _sort(rest: str) -> str:
    """The sort that a text begins with."""
    if not rest.startswith("("):
        return rest.partition(" ")[0]
    depth = 0
    for at, letter in enumerate(rest):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if not depth:
            return rest[: at + 1]
    raise ValueError(f"no sort: {rest!r}")
