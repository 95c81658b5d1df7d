"""The order session from the host, where the line to the card is not what it should be."""

import pytest

from tickgate.host import session
from tickgate.host.errors import CardRefused, UserError


def login(driver) -> None:
    session.login(driver.registers, username="CARD", password="SECRET", numbers=range(1, 10))


def test_a_card_without_a_live_session_does_not_log_in(card, driver):
    with pytest.raises(UserError, match=r"no \[live\]"):
        login(driver)
    assert not card.heard and not card.get("session_isn")


def test_a_packet_that_may_have_an_octet_twice_breaks_the_session_off(card, driver):
    obey = card._command

    def command(register, word):
        if register.name == "session_octet" and len(card.heard) == 9:
            # The card takes the octet, and its reply is lost.
            card.faults.append(lambda reply: b"")
        obey(register, word)

    card._command = command
    card.set("session_live", 1)
    with pytest.raises(CardRefused, match="log in again"):
        login(driver)
    assert session.session_status(driver.registers).outcome == "aborted"
    assert card.heard == b"\0\x2fLCARD  SS"
