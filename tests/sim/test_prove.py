"""Proofs: what is claimed holds, and what does not hold is not proved."""

from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal

from tickgate.hdl.book import trust
from tickgate.sim.prove import engine, report
from tickgate.sim.prove.book import PROPERTIES
from tickgate.sim.prove.engine import Harness, Method, Property

PROOFS = Path(__file__).parents[2] / "docs" / "proofs.md"


class Counter(Harness):
    """Counts up by at most 2 a cycle; must never be `never`."""

    def __init__(self, *, never: int) -> None:
        self._never = never
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
        return m


def claim(never, method, depth, reached=3):
    texts = dict.fromkeys(("component", "claim", "contract", "size", "cover"), "")
    return Property(
        name="counter",
        method=method,
        depth=depth,
        reached=reached,
        make=lambda: Counter(never=never),
        **texts,
    )


def test_everything_that_is_claimed_is_proved_and_documented():
    outcomes = [engine.prove(each) for each in PROPERTIES]
    assert [outcome.result for outcome in outcomes] == ["proved"] * len(PROPERTIES)
    assert report.markdown(PROPERTIES, outcomes) == PROOFS.read_text()


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


def test_a_planted_bug_in_the_telling_of_losses_is_caught(monkeypatch):
    monkeypatch.setattr(trust, "lowest_set", lambda word: word[1])
    told = next(each for each in PROPERTIES if each.name == "trust-told")
    with pytest.raises(AssertionError):
        assert engine.prove(told).proved
