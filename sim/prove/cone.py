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
    sources = {name: _NAME.findall(line)[1:] for name, line in named.items()}
    for line in steps:
        (following,) = _NEXT.findall(line)
        sources[following] = sources[following] + _NAME.findall(line)
    needed, left = set(), [f"|{top}_n {name}|" for name in signals]
    while left:
        name = left.pop()
        if name not in needed:
            needed.add(name)
            left.extend(each for each in sources.get(name, ()) if each in named)
    state = f"|{top}_s|"
    kept = [line for name, line in named.items() if name in needed]
    start, step = (
        "\n".join(line for line in each if needed.issuperset(set(_NAME.findall(line)) & set(named)))
        for each in (initial, steps)
    )
    return "\n".join(
        (
            f"(declare-sort {state} 0)",
            *kept,
            f"(define-fun |{top}_i| ((state {state})) Bool (and true true\n{start}\n))",
            f"(define-fun |{top}_t| ((state {state}) (next_state {state})) Bool",
            f"(and true true\n{step}\n))",
        )
    )
