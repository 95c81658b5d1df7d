"""Flipped bits of risk and order state while the card trades."""

import random

import pytest

from tickgate.sim.inject import BARE, LEFT_OUT, NEAR, Fate, Flip, Injector, protected

FLIPS = 500


@pytest.fixture(scope="module")
def injector():
    with Injector.opened(seed=1, quiet=True) as opened:
        yield opened


def probe(injector, name: str):
    (found,) = [each for each in injector.probes if each.name == name]
    return found


def test_the_session_has_orders_and_refusals_of_many_gates(injector):
    verdicts = injector.judged.values()
    approved = sum(each.approved for each in verdicts)
    assert approved == len(injector.frames)
    assert 30 < approved < len(verdicts) - 30
    alone = {each.reasons.bit_length() - 1 for each in verdicts if each.reasons.bit_count() == 1}
    assert len(alone) >= 3


def test_without_a_flip_the_card_does_the_same_again(injector):
    idle = probe(injector, "control.parameters.shadow.ram")
    assert injector.fate(Flip(idle, 0, 0, injector.begin + 100)) is Fate.MASKED


def test_no_flipped_bit_of_what_is_protected_makes_a_wrong_order(injector, seed):
    chance = random.Random(seed)
    kept = protected(each.name for each in injector.probes)
    fates = {name: [] for name in (True, False)}
    for _ in range(FLIPS):
        flip = injector.some_flip(chance)
        fates[flip.probe.name in kept].append((injector.fate(flip), flip))
    wrong = [flip for fate, flip in fates[True] if fate in (Fate.WRONG, Fate.REFUSED)]
    assert not wrong
    assert sum(fate is Fate.STOPPED for fate, _ in fates[True]) > 20


def test_every_memory_that_an_order_is_judged_by_is_protected(injector):
    kept = protected(each.name for each in injector.probes)
    memories = {each.name for each in injector.probes if each.depth > 1}
    assert {name for name in memories - kept if not name.startswith((*LEFT_OUT, *BARE))} == set()
    assert len(memories & kept) > 40


def test_an_order_that_is_changed_on_its_way_is_noticed(injector):
    at = next(
        at for at, each in injector.judged.items() if each.approved and at > injector.begin + NEAR
    )
    price = probe(injector, "risk.proposal")
    fates = {injector.fate(Flip(price, 0, bit, at)) for bit in range(8, 64)}
    assert Fate.WRONG in fates


def test_a_gate_that_a_flip_opens_is_closed_by_its_other_copy(injector):
    refused = [at for at, each in injector.judged.items() if each.reasons.bit_count() == 1]
    at = next(at for at in refused if at > injector.begin + NEAR)
    gate = injector.judged[at].reasons.bit_length() - 1
    fate = injector.fate(Flip(probe(injector, "risk.failed"), 0, gate, at))
    assert fate in (Fate.MASKED, Fate.STOPPED)


def test_the_number_of_an_order_is_right_even_if_a_bit_of_it_flips_as_it_leaves(injector):
    approved = (at for at, each in injector.judged.items() if each.approved)
    at = next(at for at in approved if at > injector.begin + NEAR)
    number = probe(injector, "risk.next_user_ref_num")
    assert {injector.fate(Flip(number, 0, bit, at)) for bit in range(0, 32, 5)} == {Fate.STOPPED}


def test_a_commit_that_was_not_asked_for_puts_nothing_in_force(injector):
    state = probe(injector, "control.parameters.walk.fsm_state")
    at = injector.begin + 1_000
    fates = {injector.fate(Flip(state, 0, bit, at)) for bit in range(state.width)}
    assert fates == {Fate.MASKED}
