"""Every gate has a component, a reason, a counter and a test; and what has them is in the table."""

import importlib
import re

import pytest
from amaranth.lib import data

from tickgate.hdl.risk import gate as gateware
from tickgate.hdl.risk.limits import AccountLimits, Limits
from tickgate.host.config import AccountConfig, LimitsConfig
from tickgate.sim.model import risk as model
from tickgate.sim.prove.catalogue import PROPERTIES
from tickgate.spec import events, gates, registers
from tickgate.spec.gates import BUILT, GATES

IN_FORCE = [gate for gate in GATES if gate.built]
NOT_LIMITS = {
    *("name_high", "name_low", "window_base", "tick_is_cent"),
    *("strategy_enable", "threshold", "max_spread", "quantity", "min_interval_ns"),
}
"""Parameters that shape the book and the strategy."""
THEOREMS = ("theorem 2", "theorem 3", "theorem 4", "theorem 5")


def test_the_numbers_rise_and_none_is_used_twice():
    numbers = [gate.number for gate in GATES]
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(range(1, 36))


def test_gateware_model_and_counters_have_the_gates_of_the_table_and_no_other():
    assert [gate.value for gate in gateware.Gate if gate.value] == list(BUILT)
    assert model.GATES == BUILT
    counters = [name for name in registers.BY_NAME if name.startswith("refused_gate_")]
    assert sorted(counters) == sorted(gate.counter for gate in IN_FORCE)
    for gate in IN_FORCE:
        assert registers.BY_NAME[gate.counter].doc == f"refused by gate {gate.number}, {gate.name}"
        assert gateware.Gate(gate.number).name == re.sub("[^a-z]", "_", gate.name).upper()


def test_every_reason_has_a_place_in_an_event():
    reasons = events.FIELDS_BY_NAME["reasons"]
    assert all(gate.event == f"reasons[{gate.number}]" for gate in IN_FORCE)
    assert max(BUILT) < reasons.width


@pytest.mark.parametrize("gate", IN_FORCE, ids=lambda gate: gate.name)
def test_component_and_tests_of_a_gate_exist(gate, repository):
    path, _, name = gate.component.partition("::")
    module = importlib.import_module("tickgate." + path.removesuffix(".py").replace("/", "."))
    assert name in module.__all__
    assert gate.properties and gate.tests
    for name in gate.properties:
        assert PROPERTIES[name].about in (f"gate {gate.number}", *THEOREMS), name
    for test in gate.tests:
        path, _, name = test.partition("::")
        assert f"\ndef {name}(" in (repository / path).read_text(), test


def test_every_limit_belongs_to_a_gate_and_every_gate_names_limits_that_there_are():
    named = {name for gate in GATES for name in gate.limits}
    session = {name for name in registers.BY_NAME if name.startswith(("session_", "host_"))}
    account = {register.name for register in registers.ACCOUNT_REGISTERS}
    assert named - session == registers.PARAMETERS_BY_NAME.keys() - NOT_LIMITS | account


def test_what_is_obligatory_is_a_limit_and_a_configuration_that_trades_must_have_it():
    assert set(gates.OBLIGATORY) <= {name for name, _ in data.Layout.cast(Limits)}
    keys = {re.sub("_(shares|usd)$", "", name) for name in LimitsConfig().missing()}
    assert keys - {"allow_buy", "band_exempt"} == set(gates.OBLIGATORY)
    assert set(gates.OBLIGATORY_OF_ACCOUNT) <= {name for name, _ in data.Layout.cast(AccountLimits)}
    keys = {re.sub("_(us|usd)$", "", name) for name in AccountConfig().missing()}
    assert keys == set(gates.OBLIGATORY_OF_ACCOUNT)
