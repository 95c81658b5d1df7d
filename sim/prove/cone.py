"""What of a transition system bears on some of its signals.

A solver takes all of a system that it is given, for what a state holds is to it a function of the
state: nothing of it can be left out by substitution.

Ref: Yosys manual, `write_smt2`, for the form of the text.
"""

import re

__all__ = ["cone"]

_NAME = re.compile(r"\|[^|]+\|")
_NEXT = re.compile(r"\((\|[^|]+\|) next_state\)")
_COMMENT = re.compile(r" ; .*")


def cone(text: str, top: str, signals: tuple[str, ...]) -> str:
    """The part of a transition system, as Yosys writes it, on which `signals` depend.

    Parameters
    ----------
    text : str
        Of the module `top`.
    signals : tuple of str
        Names of wires, in any cycle.
    """
    lines = [_COMMENT.sub("", line) for line in text.splitlines()]
    named: dict[str, str] = {}
    rules: dict[str, list[str]] = {f"|{top}_i|": [], f"|{top}_t|": []}
    inside: list[str] | None = None
    for line in lines:
        if line.startswith(("(define-fun", "(declare-fun")):
            name = _NAME.findall(line)[0]
            inside = rules.get(name)
            if inside is None:
                named[name] = line
        elif inside is not None and line.startswith("  "):
            inside.append(line)
    initial, steps = rules.values()
    made_of = {name: set(_NAME.findall(line)) & named.keys() for name, line in named.items()}
    follows = {name: set() for name in named}
    for line in steps:
        (following,) = _NEXT.findall(line)
        follows[following].update(set(_NAME.findall(line)) & named.keys())
    needed = _reached({f"|{top}_n {name}|" for name in signals}, made_of, follows)
    steps = [line for line in steps if _NEXT.findall(line)[0] in needed]
    # One line may begin what is needed and what is not.
    initial = [line for line in initial if not needed.isdisjoint(_NAME.findall(line))]
    begun = {name for line in initial for name in _NAME.findall(line) if name in named}
    kept = _reached(needed | begun, made_of)
    state, start, step = f"|{top}_s|", "\n".join(initial), "\n".join(steps)
    return "\n".join(
        (
            f"(declare-sort {state} 0)",
            *(line for name, line in named.items() if name in kept),
            f"(define-fun |{top}_i| ((state {state})) Bool (and true true\n{start}\n))",
            f"(define-fun |{top}_t| ((state {state}) (next_state {state})) Bool",
            f"(and true true\n{step}\n))",
        )
    )


def _reached(names: set[str], *ways: dict[str, set[str]]) -> set[str]:
    reached, left = set(), list(names)
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left.extend(each for way in ways for each in way.get(name, ()))
    return reached
