"""Proofs: what is claimed holds, and what does not hold is not proved."""

import json
from importlib import import_module
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal

from tickgate.host.cli import main
from tickgate.sim.prove import engine, report
from tickgate.sim.prove.catalogue import PROPERTIES
from tickgate.sim.prove.engine import Harness, Method, Property
from tickgate.sim.prove.mutants import MUTANTS
from tickgate.sim.prove.planting import try_mutant

PROOFS = Path(__file__).parents[2] / "docs" / "proofs.md"


class Counter(Harness):
    """Counts up by at most 2 a cycle; must never be `never`."""

    def __init__(self, *, never: int, eased: bool = False) -> None:
        self._never, self._eased = never, eased
        super().__init__({"step": 4}, {"count": 4})

    def elaborate(self, platform) -> Module:
        m = Module()
        count = Signal(4)
        m.d.sync += count.eq(count + self.step)
        m.d.comb += [
            self.count.eq(count),
            self.assumed.eq((self.step <= 2) & ~self.step[0]),
            self.holds.eq(count != self._never),
            self.seen.eq(count == 6),
        ]
        if self._eased:
            m.d.comb += self.eased.eq((self.step == 0) | (count != 2))
        return m


def claim(never, method, depth, reached=3, *, free=(), eased=False):
    texts = dict.fromkeys(("component", "claim", "contract", "size", "cover"), "")
    return Property(
        name="counter",
        method=method,
        depth=depth,
        reached=reached,
        free=free,
        make=lambda: Counter(never=never, eased=eased),
        **texts,
    )


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


@pytest.mark.parametrize("name", [name for name, each in PROPERTIES.items() if each.quick])
def test_what_is_claimed_is_proved(name):
    outcome = engine.prove(PROPERTIES[name])
    assert outcome.counterexample is None
    assert outcome.result == "proved"


def test_the_document_of_the_proofs_is_current():
    assert report.markdown(PROPERTIES.values()) == PROOFS.read_text()


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_planted_bug_has_its_place_and_its_property(mutant):
    text = Path(import_module(f"tickgate.hdl.{mutant.module}").__file__).read_text()
    assert text.count(mutant.before) == 1
    assert mutant.before != mutant.after
    assert mutant.catcher in PROPERTIES


def test_a_planted_bug_is_caught():
    assert try_mutant(MUTANTS["trust-doubt-forgotten"]) == "broken"


def test_the_command_prints_what_is_proved(capsys):
    assert run("prove", "--only", "hash-first-invertible", "--json", "-") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["result"] == "proved" and row["counterexample"] is None
    assert row["method"] == "all inputs" and isinstance(row["seconds"], float)


def test_the_command_names_what_is_not_proved(capsys, monkeypatch):
    monkeypatch.setitem(PROPERTIES, "counter", claim(8, Method.BOUNDED, 10))
    assert run("prove", "--only", "counter") == 1
    shown = capsys.readouterr().out
    assert "broken" in shown and "count=0x8" in shown


def test_the_commands_refuse_unknown_names(capsys):
    for command in ("prove", "prove-mutants"):
        assert run(command, "--only", "nothing") == 2
        assert "--only must be one of" in capsys.readouterr().err


def test_what_is_broken_within_the_depth_comes_with_the_shortest_run():
    outcome = engine.prove(claim(8, Method.BOUNDED, 10))
    assert not outcome.proved and outcome.result == "broken"
    assert [row["count"] for row in outcome.counterexample] == [0, 2, 4, 6, 8]
    assert engine.prove(claim(8, Method.BOUNDED, 4)).proved


def test_induction_does_not_take_what_holds_only_from_reset():
    assert engine.prove(claim(7, Method.BOUNDED, 12)).proved
    assert engine.prove(claim(7, Method.INDUCTION, 3)).result == "broken"


def test_a_cover_that_is_not_reached_in_its_cycle_is_no_proof():
    assert engine.prove(claim(7, Method.BOUNDED, 4, reached=2)).result == "cover reached in cycle 3"
    assert engine.prove(claim(6, Method.BOUNDED, 3, reached=2)).result == "cover not reached"


def test_what_is_free_has_any_value_in_the_proof_but_its_own_one_in_the_cover():
    assert engine.prove(claim(7, Method.BOUNDED, 12, free=("count",))).result == "broken"
    assert engine.prove(claim(16, Method.BOUNDED, 12, free=("count",))).proved
    assert engine.prove(claim(16, Method.INDUCTION, 2, free=("count",))).proved
    with pytest.raises(ValueError, match="no one thing drives a wire 'amount'"):
        engine.prove(claim(16, Method.BOUNDED, 1, free=("amount",)))


def test_a_run_to_be_found_keeps_to_what_eases_it():
    assert engine.prove(claim(7, Method.BOUNDED, 5, eased=True)).result == "cover not reached"
    assert engine.prove(claim(8, Method.BOUNDED, 5, eased=True)).result == "broken"
