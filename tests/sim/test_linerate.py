"""The card takes every message at the line rate and beyond; the bench would tell if it did not."""

import json
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from tickgate.host.driver import Driver
from tickgate.sim import linerate
from tickgate.sim.cli import app
from tickgate.sim.linerate import KINDS, line_rate
from tickgate.sim.mixes import MIXES
from tickgate.sim.virtual import SMALL, Card

MESSAGES = {8: 8_000, 1: 1_000}
PAIRS = tuple(
    (lines, frames, gap)
    for lines, frames, gap in KINDS
    if (lines == "both") == ((frames == "full") == (gap == "wire"))
)
"""Half of all kinds, in which any two properties meet; the others are `make line-rate`'s."""


@pytest.fixture(autouse=True)
def small_card(monkeypatch):
    """Each load begins with empty tables: those of a small card are soon empty."""
    monkeypatch.setattr(linerate, "Card", partial(Card, **SMALL))


@pytest.mark.parametrize("width", [1, 8])
def test_nothing_is_lost_or_kept_waiting_at_the_line_rate_and_beyond(width, seed):
    messages = MESSAGES[width]
    measured = line_rate(width=width, messages=messages, seed=seed, kinds=PAIRS, quiet=True)
    assert len(measured.loads) == len(MIXES) * len(PAIRS)
    for load in measured.loads:
        assert load.kept_up, load
        assert load.offered == load.accepted == messages // len(PAIRS)
        assert load.duplicates == load.second_copies
        assert (load.second_copies > 0) == (load.lines == "both")
        if (load.lines, load.frames) == ("both", "single"):
            assert load.second_copies >= load.offered
        assert load.line_load >= 0.999
        if load.gap == "none":
            assert load.line_load > 1
    assert measured.kept_up and measured.offered == len(MIXES) * messages


def test_the_books_and_the_orders_are_at_work_meanwhile(seed):
    measured = line_rate(messages=8_000, seed=seed, mixes=("real mix",), kinds=PAIRS, quiet=True)
    assert all(load.tops > 300 for load in measured.loads)
    # In the first load the card has not been up for as long as its strategy pauses.
    assert all(load.orders > 0 for load in measured.loads[1:])


class Tampered(Card):
    """A card whose log is not what the card did."""

    def take(self):
        log = super().take()
        if len(log.tops) > 100:
            self.tamper(log.tops)
        return log


class WrongBook(Tampered):
    def tamper(self, tops):
        tops["bid_shares"][-1] += 1


class Slow(Tampered):
    def tamper(self, tops):
        # The line goes on: the longer, the more messages wait.
        tops["cycle"][50:100] += np.arange(50, dtype=np.uint64) * np.uint64(20)


def altered(name: str, by: int) -> type[Driver]:
    class Altered(Driver):
        """The driver of a card whose counter rises by itself."""

        reads = 0

        def counters(self):
            self.reads += 1
            counters = super().counters()
            return counters | {name: counters[name] + by * self.reads}

    return Altered


def two_loads():
    kinds = ("one", "single", "none"), ("both", "single", "none")
    return line_rate(messages=500, mixes=("one order, executes",), kinds=kinds, quiet=True)


def test_a_message_that_the_card_does_not_count_is_told(monkeypatch):
    monkeypatch.setattr(linerate, "Driver", altered("feed_messages", -1))
    measured = two_loads()
    assert [load.offered - load.accepted for load in measured.loads] == [1] * 2
    assert not measured.kept_up


@pytest.mark.parametrize(
    "name",
    [
        "eth_fcs_errors",
        "feed_missed_messages",
        "feed_duplicate_datagrams",
        "feed_held_datagrams",
        "book_unknown_reference",
    ],
)
def test_what_the_card_counts_as_lost_or_doubtful_is_told(monkeypatch, name):
    monkeypatch.setattr(linerate, "Driver", altered(name, 3))
    measured = two_loads()
    assert [load.dropped for load in measured.loads] == [3] * 2
    assert not measured.kept_up


def test_events_that_nobody_fetched_are_told_apart(monkeypatch):
    monkeypatch.setattr(linerate, "Driver", altered("events_lost", 5))
    measured = two_loads()
    assert [load.events_lost for load in measured.loads] == [5] * 2
    assert measured.kept_up


def test_a_book_that_is_wrong_at_the_end_is_told(monkeypatch):
    monkeypatch.setattr(linerate, "Card", partial(WrongBook, **SMALL))
    measured = two_loads()
    assert [load.wrong_books for load in measured.loads] == [1] * 2
    assert not measured.kept_up


def test_answers_that_come_later_and_later_are_a_queue(monkeypatch):
    monkeypatch.setattr(linerate, "Card", partial(Slow, **SMALL))
    measured = two_loads()
    assert all(load.queue_high > 10 for load in measured.loads)
    assert not measured.kept_up


def test_the_command_writes_what_each_mix_was_offered_and_took():
    arguments = ["bench", "line-rate", "--width", "8", "--messages", "400", "--json", "-"]
    result = CliRunner().invoke(app, [*arguments, "--mix", "replace storm"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert [load["mix"] for load in told["mixes"]] == ["replace storm"] * len(KINDS)
    for load in told["mixes"]:
        assert load["offered"] == load["accepted"] == 50
        assert load["dropped"] == load["queue_high"] == 0
        assert load["name"] == ", ".join(load[key] for key in ("mix", "frames", "gap", "lines"))
    assert {load["lines"] for load in told["mixes"]} == {"one", "both"}
    assert told["offered"] == told["accepted"] == 400


def test_the_command_fails_if_a_message_is_lost(monkeypatch):
    monkeypatch.setattr(linerate, "Driver", altered("eth_truncated", 1))
    result = CliRunner().invoke(
        app, ["bench", "line-rate", "--messages", "400", "--mix", "deletes"]
    )
    assert result.exit_code == 1
    assert "8 octets a cycle, one message a frame" in result.output


def test_an_unknown_mix_is_an_error_that_lists_them():
    result = CliRunner().invoke(app, ["bench", "line-rate", "--mix", "noise"])
    assert "replace storm" in str(result.exception)


@pytest.mark.parametrize("wrong", [{"messages": 7}, {"mixes": ()}])
def test_a_load_of_nothing_is_an_error(wrong):
    with pytest.raises(ValueError, match="at least 8 messages"):
        line_rate(**{"messages": 400, **wrong})
