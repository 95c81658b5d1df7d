"""User reference numbers on disk: none is given out twice, whatever happens."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tickgate.host.errors import UserError
from tickgate.host.numbers import BLOCK, END, NumberFile, default_path

CARD = "CARD@192.0.2.1:15000"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "numbers.json"


def test_each_block_is_above_all_before_it_and_accounts_are_apart(path):
    taken = [NumberFile(path).take(CARD) for _ in range(3)]
    assert [block.start for block in taken] == [1, 1 + BLOCK, 1 + 2 * BLOCK]
    assert all(len(block) == BLOCK for block in taken)
    assert NumberFile(path).take("OTHER@192.0.2.1:15000").start == 1


def test_what_a_card_still_has_of_the_latest_block_is_given_out_again_and_nothing_else(path):
    numbers = NumberFile(path)
    first = numbers.take(CARD, count=10)
    assert numbers.take(CARD, held=first[4:]) == first[4:]
    assert numbers.take(CARD, held=first[10:], count=10) == range(11, 21)
    # Of an older block, or of a card that lost its memory.
    assert numbers.take(CARD, held=first[4:], count=10) == range(21, 31)
    assert numbers.take(CARD, held=range(0), count=10) == range(31, 41)
    # The file knows less than the card.
    assert numbers.take(CARD, held=range(90, 100), count=10) == range(100, 110)


def test_processes_at_a_time_get_different_numbers(path):
    with ThreadPoolExecutor(8) as pool:
        blocks = list(pool.map(lambda _: NumberFile(path).take(CARD, count=5), range(40)))
    assert sorted(block.start for block in blocks) == list(range(1, 201, 5))


def test_what_is_given_out_is_on_the_disk_before_it_is_returned(path, monkeypatch):
    numbers = NumberFile(path)
    first = numbers.take(CARD)
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(5, "disk is full")))
    with pytest.raises(UserError, match="disk is full"):
        numbers.take(CARD)
    monkeypatch.undo()
    assert json.loads(path.read_text()) == {CARD: first.stop}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("{", "no file of numbers"), ('{"A": "1"}', "from 1 to"), ("[]", "from 1 to")],
)
def test_a_file_that_cannot_be_read_gives_no_numbers(path, text, complaint):
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        NumberFile(path).take(CARD)
    assert path.read_text() == text


def test_numbers_end(path):
    path.parent.mkdir()
    path.write_text(json.dumps({CARD: END - 10}))
    assert NumberFile(path).take(CARD, count=10).stop == END
    with pytest.raises(UserError, match="used up"):
        NumberFile(path).take(CARD, count=1)


def test_numbers_are_kept_in_the_user_s_state_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path().is_relative_to(tmp_path)
