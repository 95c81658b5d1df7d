"""The venue's desk, line by line; and what is written of a day."""

import asyncio
import io
import json

import pytest

from tickgate.sim.capture import InputError
from tickgate.sim.exchange.accounts import default_accounts, read_accounts
from tickgate.sim.exchange.journal import Journal
from tickgate.sim.exchange.operator import Operator
from tickgate.spec import soupbintcp


def test_the_desk_halts_breaks_restates_and_holds_cancels(trade):
    async def scenario(venue, connect):
        desk = Operator(venue)
        reader, writer = await asyncio.open_connection(*await desk.start("127.0.0.1", 0))

        async def ask(line):
            writer.write(line.encode() + b"\n")
            return json.loads(await asyncio.wait_for(reader.readline(), 10))

        card, other = await connect("CARD"), await connect("OTHER")
        await card.expect("S"), await other.expect("S")
        assert (await ask("status"))["logged_in"] == 2
        assert await ask("halt alfa") == {"ok": True}
        await card.enter(1)
        await card.expect("J")
        assert await ask("resume ALFA") == {"ok": True}
        await card.enter(2, quantity=150)
        await other.enter(1, side="S", quantity=50)
        await card.expect("A", "E")
        assert (await ask("break 1"))["ok"]
        await card.expect("B")
        assert (await ask("cancels card pend"))["ok"]
        await card.ouch("X", user_ref_num=2, quantity=0)
        await card.expect("P")
        assert (await ask("restate CARD 2 100"))["ok"]
        await card.expect("R")
        book = await ask("book ALFA")
        order = {"reference": 1, "side": "buy", "shares": 100, "price_usd": "10.0000"}
        assert book["orders"] == [order]
        assert book["sequence"] == len(venue.feed.messages)
        assert (await ask("ledger"))["trades"] == 1
        assert (await ask("disconnect CARD"))["ok"]
        assert await card.packet() is None
        writer.write(b"x" * 5000)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        await desk.stop()

    trade(scenario)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", "commands are status, halt"),
        ("explode", "commands are status, halt"),
        ("halt", "usage: halt SYMBOL"),
        ("halt NONE", "no symbol 'NONE'; there are ALFA, BRVO"),
        ("cancels NOBODY pend", "no account 'NOBODY'; there are CARD, OTHER"),
        ("cancels CARD maybe", "cancel mode must be act, pend, reject"),
        ("break 1", "no trade 1; the last one is 0"),
        ("break one", "'one' is not a whole number"),
        ("restate CARD 1 1", "no order 1 of CARD is live"),
        ("disconnect CARD", "CARD is not connected"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(trade, line, error):
    async def scenario(venue, connect):
        answer = Operator(venue).answer(line)
        assert not answer["ok"] and answer["error"].startswith(error)

    trade(scenario)


def test_the_journal_has_every_message_with_its_values(trade):
    text = io.StringIO()

    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.enter(1, appendage={2: "TGTE"})
        await card.send(soupbintcp.pack("U", b"?"))
        await card.expect("S", "A")
        await card.answered()

    trade(scenario, journal=Journal(text, clock=lambda: 7))
    rows = [json.loads(line) for line in text.getvalue().splitlines()]
    card = [row for row in rows if row["account"] == "CARD"]
    assert [(row["direction"], row.get("message")) for row in card[:6]] == [
        ("out", "system_event"),
        ("in", "enter_order"),
        ("out", "accepted"),
        ("in", None),
        ("in", "account_query"),
        ("out", "account_query_response"),
    ]
    assert card[1]["values"]["clordid"] == "order1" and card[1]["appendage"] == {"2": "TGTE"}
    assert "no OUCH 5.0 message" in card[3]["malformed"] and card[3]["octets"] == "3f"


def test_accounts_are_read_from_a_file(tmp_path):
    path = tmp_path / "accounts.toml"
    path.write_text(
        '[accounts.trader]\npassword = "p"\nfirm = "TGTE"\nself_match = "decrement"\n'
        "cancel_on_disconnect = false\n"
    )
    accounts = read_accounts(path)
    assert list(accounts) == ["TRADER"]
    assert not accounts["TRADER"].cancel_on_disconnect
    assert accounts["TRADER"].self_match == "decrement"
    assert list(default_accounts()) == ["CARD", "OTHER"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("accounts", "is not TOML"),
        ("[accounts]\n", "accounts: Dictionary should have at least 1 item"),
        ("[accounts.TOOLONGNAME]\n", "accounts.TOOLONGNAME"),
        ("[accounts.A]\nsecret = 1\n", "accounts.A.secret: Extra inputs are not permitted"),
        ('[accounts.A]\nself_match = "never"\n', "must be one of trade, cancel-oldest"),
        ('[accounts.A]\npassword = "elevenchars"\n', "accounts.A.password"),
        ("[accounts.A]\n[accounts.a]\n", "differ only in the case"),
    ],
)
def test_a_file_of_accounts_that_is_wrong_says_where(tmp_path, text, error):
    path = tmp_path / "accounts.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"accounts\.toml: ") as raised:
        read_accounts(path)
    assert error in str(raised.value)


def test_a_file_of_accounts_that_is_not_there_says_so(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_accounts(tmp_path / "none.toml")
