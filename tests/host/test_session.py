"""The order session from the host, where the line to the card is not what it should be."""

import pytest

from tickgate.host import session
from tickgate.host.errors import CardRefused


def test_a_packet_that_may_have_an_octet_twice_breaks_the_session_off(card, driver):
    obey = card._command

    def command(register, word):
        if register.name == "session_octet" and len(card.heard) == 9:
            # The card takes the octet, and its reply is lost.
            card.faults.append(lambda reply: b"")
        obey(register, word)

    card._command = command
    with pytest.raises(CardRefused, match="log in again"):
        session.login(driver.registers, username="CARD", password="SECRET", numbers=range(1, 10))
    assert session.session_status(driver.registers).outcome == "aborted"
    assert card.heard == b"\0\x2fLCARD  SS"
