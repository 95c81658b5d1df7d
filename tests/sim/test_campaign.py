"""The campaign: half a million hazardous messages, and how it tells a card that is wrong."""

import json

import pytest
from typer.testing import CliRunner

from tickgate.sim import campaign as campaigns
from tickgate.sim.campaign import Budget, campaign
from tickgate.sim.cli import app
from tickgate.sim.hazards import SHAPES
from tickgate.sim.virtual import Card

MESSAGES = {8: 500_000, 1: 30_000}
"""At one octet a cycle messages are too far apart to meet each other; more: `make campaign`."""
FEW = 2_000


@pytest.mark.parametrize("width", MESSAGES)
def test_hazardous_messages_give_the_tops_of_the_model_in_time(seed, width):
    messages = MESSAGES[width]
    outcome = campaign(messages=messages, seed=seed, widths=(width,), quiet=True)
    assert outcome.difference is None, outcome.as_dict()["difference"]
    assert outcome.messages == messages and set(outcome.by_shape) == set(SHAPES)
    assert outcome.rows > messages / 2
    assert outcome.late <= outcome.rows / Budget.ONE_IN
    assert min(outcome.to_top) == Budget.FAST and max(outcome.to_top) <= Budget.SLOW
    # Orders found no room in the shape that is made for it, and in no other.
    assert outcome.abandoned > 0


class Tampered(Card):
    """A card whose log is not what the card did."""

    ROW = 200

    def take(self):
        log = super().take()
        if len(log.tops) > self.ROW:
            self.tamper(log.tops)
        return log


class WrongShares(Tampered):
    def tamper(self, tops):
        tops["bid_shares"][self.ROW] += 1


class WrongExact(Tampered):
    def tamper(self, tops):
        tops["exact"][self.ROW] ^= 1


class Late(Tampered):
    def tamper(self, tops):
        tops["cycle"][self.ROW] += Budget.SLOW


class AllSlow(Tampered):
    def tamper(self, tops):
        tops["cycle"] += 3


@pytest.mark.parametrize(
    ("tampered", "what"),
    [
        (WrongShares, "top of book"),
        (WrongExact, "top of book"),
        (Late, "cycles from t0 to the top of book"),
        (AllSlow, "cycles from t0 to the top of book"),
    ],
)
def test_the_first_difference_ends_the_campaign_and_names_its_round(monkeypatch, tampered, what):
    monkeypatch.setattr(campaigns, "Card", tampered)
    shapes = ("staircase", "same level")
    outcome = campaign(messages=FEW, seed=7, shapes=shapes, quiet=True)
    assert outcome.difference.what == what
    assert (outcome.shape, outcome.width, outcome.seed) == ("staircase", 8, 7)
    assert outcome.messages == outcome.round_messages == FEW / 2
    assert outcome.as_dict()["difference"]["card"] != outcome.as_dict()["difference"]["model"]


def test_the_command_prints_both_sides_and_how_to_see_it_again(monkeypatch):
    monkeypatch.setattr(campaigns, "Card", WrongShares)
    arguments = ["campaign", "--messages", "1000", "--width", "8", "--shape", "same level"]
    result = CliRunner().invoke(app, [*arguments, "--seed", "9"])
    assert result.exit_code == 1
    assert "First difference: top of book" in result.output
    assert "--width 8 --shape 'same level' --seed 9 --messages 1000" in result.output


def test_the_command_writes_json(monkeypatch):
    result = CliRunner().invoke(
        app, ["campaign", "--messages", "1000", "--width", "8", "--json", "-"]
    )
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["messages"] == 1000 and told["difference"] is None
    assert sum(told["by_shape"].values()) == 1000
    assert sum(told["t0_to_top_cycles"].values()) == told["t0_to_top"]["count"]


def test_an_unknown_shape_is_an_error_that_lists_them():
    result = CliRunner().invoke(app, ["campaign", "--shape", "spiral"])
    assert "staircase" in str(result.exception)


@pytest.mark.parametrize("wrong", [{"messages": 0}, {"widths": ()}, {"shapes": ()}])
def test_a_campaign_of_nothing_is_an_error(wrong):
    with pytest.raises(ValueError, match="needs messages"):
        campaign(**{"messages": 10, **wrong})
