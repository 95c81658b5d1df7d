"""Snapshot files, and a recovery as the host conducts it."""

import json

import pytest

from tickgate.host.errors import CardRefused, UserError
from tickgate.host.snapshot import Snapshot
from tickgate.spec.registers import RecoveryCause, RecoveryPhase

GOOD = {
    "symbol": "MSFT",
    "sequence": 0x1_0000_0400,
    "orders": [
        {"reference": (1 << 63) + 5, "side": "buy", "shares": 100, "price_usd": "150.0100"},
        {"reference": 7, "side": "sell", "shares": 30, "price_usd": "150.02"},
    ],
}


def text_of(**changes):
    return json.dumps(GOOD | changes)


def order_of(**changes):
    return {"orders": [GOOD["orders"][0] | changes]}


@pytest.fixture
def configured(driver, config):
    driver.apply(config)
    return driver


def test_a_snapshot_is_what_its_file_says_and_is_written_back_the_same():
    snapshot = Snapshot.from_text(text_of(), source="book.json")
    assert (snapshot.symbol, snapshot.sequence) == ("MSFT", 0x1_0000_0400)
    assert [(o.reference, o.side, o.shares, o.price) for o in snapshot.orders] == [
        ((1 << 63) + 5, "buy", 100, 1_500_100),
        (7, "sell", 30, 1_500_200),
    ]
    assert Snapshot.from_text(snapshot.to_text(), source="again") == snapshot


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "book.json: invalid JSON"),
        ("[]", "book.json: input should be an object"),
        (text_of(extra=1), "book.json: extra: extra inputs are not permitted"),
        (text_of(sequence=-1), "book.json: sequence: input should be greater than or equal to 0"),
        (text_of(sequence="7"), "book.json: sequence: input should be a valid integer"),
        (text_of(**order_of(side="both")), "book.json: orders.0.side: input should be 'buy' or"),
        (text_of(**order_of(shares=1 << 32)), "book.json: orders.0.shares: input should be less"),
        (text_of(**order_of(reference=1 << 64)), "book.json: orders.0.reference: input should"),
        (text_of(**order_of(price_usd="1.00005")), "book.json: orders.0.price_usd: .*0.0001 USD"),
        (text_of(**order_of(price_usd=1.5)), "book.json: orders.0.price_usd: .*decimal number"),
        (text_of(**order_of(price_usd="429496.7296")), "book.json: orders.0.price_usd: .*0 to"),
        (text_of(orders=[GOOD["orders"][0]] * 2), "book.json: .*reference .* is in it twice"),
    ],
)
def test_a_bad_snapshot_is_named_with_what_is_wrong(text, complaint):
    with pytest.raises(UserError, match=complaint):
        Snapshot.from_text(text, source="book.json")


def test_a_recovery_loads_all_orders_and_joins(card, configured):
    seen, done = [], []

    def snapshot(state):
        seen.append(state)
        return Snapshot.from_text(text_of(), source="")

    state = configured.recover("MSFT", snapshot, lambda *progress: done.append(progress))
    assert state.phase == RecoveryPhase.DONE and state.symbol == 1
    assert [(s.phase, s.first) for s in seen] == [(RecoveryPhase.LOADING, 1000)]
    assert card.snapshot == [(5, 1 << 31, 100, 1_500_100, 0), (7, 0, 30, 1_500_200, 1)]
    assert done == [(0, 2), (2, 2)]
    joined = [words for _, _, _, words in card.requests if words == (0x400,)]
    assert len(joined) == 1


def test_a_recovery_that_fails_says_why_and_is_aborted(card, configured):
    card.outcome = lambda sequence: {"phase": 5, "cause": int(RecoveryCause.MISSING)}
    with pytest.raises(CardRefused, match="the snapshot is older than the first message held"):
        configured.recover("MSFT", lambda state: Snapshot.from_text(text_of(), source=""))
    with pytest.raises(UserError, match="the snapshot is of 'MSFT', not of 'AAPL'"):
        configured.recover("AAPL", lambda state: Snapshot.from_text(text_of(), source=""))
    assert configured.recovery().cause == RecoveryCause.ABORTED


def test_the_recovery_of_another_symbol_is_not_aborted(card, configured):
    def disturbed(state):
        card._recovery(phase=2, symbol=0)
        return Snapshot.from_text(text_of(), source="")

    with pytest.raises(CardRefused, match="ended by another one"):
        configured.recover("MSFT", disturbed)
    assert configured.recovery().phase == RecoveryPhase.LOADING


def test_an_order_that_the_card_did_not_take_is_sent_again(card, configured):
    take, refuses = card._command, [True]

    def busy(register, word):
        if register.name != "recover_order" or not refuses or not refuses.pop():
            take(register, word)

    card._command = busy
    configured.recover("MSFT", lambda state: Snapshot.from_text(text_of(), source=""))
    assert [order[0] for order in card.snapshot] == [5, 7]
