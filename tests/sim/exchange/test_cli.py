"""`tickgate exchange` as a program: it starts, says where it is, trades, and ends cleanly."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tickgate.host import cli
from tickgate.spec import moldudp64

PROGRAM = [sys.executable, "-c", "from tickgate.host.cli import main; main()"]
QUIET = ("--ouch", "127.0.0.1:0", "--feed-a", "none", "--feed-b", "none")
ANY = (
    "--ouch=127.0.0.1:0",
    "--rerequest=127.0.0.1:0",
    "--snapshot=127.0.0.1:0",
    "--operator=127.0.0.1:0",
    "--feed-a=239.255.12.113:26477",
    "--feed-b=none",
)


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs the command line; returns exit code, output and error output."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            cli.main(["exchange", *arguments])
        return caught.value.code, *capsys.readouterr()

    return run


class Program:
    """The program in a process of its own."""

    def __init__(self, folder, *arguments):
        self.announcement = folder / "addresses.json"
        self.process = subprocess.Popen(
            [*PROGRAM, "exchange", *ANY, "--announce", str(self.announcement), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )

    def addresses(self):
        """Waits until it listens, and tells where."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if self.announcement.exists() and (text := self.announcement.read_text()):
                return json.loads(text)
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)
        raise AssertionError("it does not say where it listens")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_trades_until_a_signal_and_then_writes_the_ledger(tmp_path, raw_client, number):
    ledger, journal = tmp_path / "ledger.json", tmp_path / "journal.jsonl"
    program = Program(tmp_path, "--flow=1:200", "--json", str(ledger), "--journal", str(journal))
    try:
        addresses = program.addresses()

        async def client():
            card = await raw_client.connect(addresses["ouch"])
            assert await card.login("CARD", "CARD") == addresses["session"]
            await card.enter(1, price=99_999_00, quantity=10, tif="3")
            *_, executed = await card.expect("S", "A", "E")
            await card.enter(2, price=1_0000)
            await card.expect("A")
            program.process.send_signal(number)
            canceled, event = await card.expect("C", "S")
            assert (canceled["reason"], event["event_code"]) == ("T", "E")
            assert await card.packet() == ("Z", b"")
            await card.close()
            return executed

        executed = asyncio.run(client())
        output, errors = program.process.communicate(timeout=120)
    finally:
        program.process.kill()
        program.process.wait()
    assert (program.process.returncode, errors) == (0, "")
    assert "OUCH 5.0 over SoupBinTCP" in output and "CARD: logged in" in output
    assert "CARD: end of session" in output
    assert f"wrote {ledger}" in output
    card = json.loads(ledger.read_text())["accounts"][0]
    assert card["positions"] == {"ALFA": 10}
    assert card["cash"] == -10 * executed["price"]
    assert [order["state"] for order in card["orders"]] == ["executed", "canceled"]
    names = [json.loads(line)["message"] for line in journal.read_text().splitlines()]
    assert names.count("enter_order") == 2 and names.count("executed") == 1


def test_it_ends_by_itself_after_a_duration_and_prints_the_ledger(run):
    code, output, errors = run(
        *QUIET, "--rerequest=none", "--snapshot=none", "--duration=0.1", "--json=-"
    )
    assert code == 0
    assert json.loads(output)["trades"] == 0
    assert "OUCH 5.0 over SoupBinTCP" in errors


def test_a_terminal_shows_how_it_goes(run, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    code, output, _ = run(*QUIET, "--rerequest=none", "--snapshot=none", "--duration=0.1")
    assert code == 0
    assert "0 s  27 messages (0/s)  0 orders  0 trades  0 logged in" in output


def test_the_orders_of_a_file_are_played(run, tmp_path, shared_data):
    path = shared_data / "aapl_20200130_locate13_10k.itch"
    code, output, _ = run(
        *QUIET,
        "--rerequest=none",
        "--snapshot=none",
        "--duration=0.5",
        "--itch",
        str(path),
        "--rate=2000",
        "--json",
        str(tmp_path / "ledger.json"),
    )
    assert code == 0 and "AAPL (13)" in output
    written = json.loads((tmp_path / "ledger.json").read_text())
    assert written["flow"]["played"] > 100
    assert list(written["marks"]) == ["AAPL"] and written["marks"]["AAPL"] > 0


MISTAKES = [
    (("--ouch", "localhost"), "--ouch must be HOST:PORT, such as 127.0.0.1:15001"),
    (("--ouch", "192.0.2.1:1"), "--ouch 192.0.2.1:1 cannot be had"),
    (("--feed-a", "239.0.0.1:0"), "--feed-a needs a port other than 0"),
    (("--feed-a", "group:5"), "--feed-a must be an IPv4 address"),
    (("--interface", "eth0"), "--interface must be an IPv4 address, not 'eth0'"),
    (("--interface", "192.0.2.1", "--feed-a", "239.0.0.1:9"), "--feed-a 239.0.0.1:9 cannot be had"),
    (("--flow", "one"), "--flow must be SEED:RATE"),
    (("--flow", "1:0"), "--flow must be SEED:RATE"),
    (("--flow", "1:5", "--symbols", "NONE"), "--flow has no symbol 'NONE'; it has ALFA"),
    (("--flow", "1", "--itch", "x"), "--flow and --itch exclude each other"),
    (("--itch", "nothing.itch"), "nothing.itch: cannot be read"),
    (("--rate", "0"), "--rate must be more than 0"),
    (("--symbols", "TOOLONGNAME"), "--symbols: symbol 'TOOLONGNAME' must be 1 to 8"),
    (("--accounts", "nothing.toml"), "nothing.toml: cannot be read"),
    (("--session", "no spaces"), "--session must be at most 10 letters and digits"),
    (("--heartbeat", "0"), "--heartbeat must be more than 0 seconds"),
    (("--timeout", "0"), "--timeout must be more than 0 seconds"),
    (("--json", "/nowhere/x.json"), "/nowhere/x.json: cannot be written"),
    (("--operator", "192.0.2.1:1"), "--operator 192.0.2.1:1 cannot be had"),
]


@pytest.mark.parametrize(("arguments", "error"), MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_do(run, arguments, error):
    quiet = ("--rerequest=none", "--snapshot=none", "--duration=0")
    code, _, errors = run(*QUIET, *quiet, *arguments)
    assert code == 2
    assert errors.startswith(f"tickgate: {error}") and errors.count("\n") == 1


def test_the_datagrams_of_the_feed_always_have_room_for_a_message():
    longest = 50
    assert moldudp64.HEADER.size + moldudp64.BLOCK_LENGTH_SIZE + longest == 72
