"""The latency that the components claim is the latency that is measured."""

import re

from tickgate.hdl.core import TickToTrade
from tickgate.sim.docs import EFFECT, MUST, WIDTHS, budget


def test_the_stages_add_up_to_the_core():
    assert sum(fast for _, fast, _ in budget()) == TickToTrade.LATENCY
    assert sum(slow for *_, slow in budget()) == TickToTrade.SLOW_LATENCY


def test_the_measured_latency_is_the_sum_of_the_budget(repository):
    """In the document; that it is what is measured today, tests/docs/test_documents.py says."""
    table = re.findall(
        r"^\| (.*?) \| t0 to order \| (\d+) \| \d+ \| \d+ \| (\d+) \| ([\d,]+) \| (\d+) \|$",
        (repository / "docs" / "latency.md").read_text(),
        re.MULTILINE,
    )
    assert len(table) == len(WIDTHS) * len(("unloaded", "line rate")) * len(EFFECT)
    musts = {words: MUST[effect] for effect, words in EFFECT.items()}
    for words, least, most, count, must in table:
        assert int(least) == int(most) == TickToTrade.LATENCY <= int(must) == musts[words]
        assert int(count.replace(",", "")) > 0


def test_even_an_answer_from_the_ladder_meets_the_budget_of_an_emptied_level():
    assert MUST["empty"] >= TickToTrade.SLOW_LATENCY
