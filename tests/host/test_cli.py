"""The command line, as a person and as a script use it."""

import json
import signal
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
import typer

from tickgate.host import cli
from tickgate.spec import glimpse50, itch50, soupbintcp
from tickgate.spec import registers as spec
from tickgate.spec.events import EventKind

PROGRAM = [sys.executable, "-c", "from tickgate.host.cli import main; main()"]


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs the command line; returns exit code, output and error output."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            cli.main(list(arguments))
        return caught.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def tickgate(run, served_pty):
    """The same with the port of a card."""
    return lambda *arguments: run("--timeout", "2", *arguments, "--port", served_pty)


@pytest.fixture
def file(tmp_path, text):
    """A good configuration file."""
    path = tmp_path / "desk.toml"
    path.write_text(text)
    return str(path)


@pytest.fixture
def configured(tickgate, file):
    """A command line whose card has a configuration in force."""
    assert tickgate("configure", file)[0] == 0
    return tickgate


@pytest.fixture
def live(card, tickgate, tmp_path, text):
    """A command line whose card may have an order session, with a venue that has told 41 reports.

    Also what the card has said to the venue.
    """
    path = tmp_path / "live.toml"
    path.write_text(text + "\n[live]\n")
    assert tickgate("configure", str(path), "--begin-day")[0] == 0
    heard = []

    def venue(packet):
        heard.append(packet)
        if packet[2:3] != b"L":
            return b""
        if packet[3:9] != b"CARD  ":
            return soupbintcp.pack("J", b"A")
        asked = int(packet[-20:]) or 42
        return soupbintcp.pack("A", b"     TODAY" + str(asked).rjust(20).encode())

    card.venue = venue
    card.set("due_sequence_low", 1)
    numbers = str(tmp_path / "numbers.json")

    def login(*arguments):
        return tickgate("login", "--password", "SECRET", "--numbers", numbers, *arguments)

    return SimpleNamespace(card=card, heard=heard, login=login, tickgate=tickgate, file=str(path))


# Doing


def test_an_order_session_from_login_to_logout(live):
    card, tickgate = live.card, live.tickgate
    told = "logged in; report 1 and order 1 are due, 1,000,000 orders may follow\n"
    assert live.login("--user", "CARD") == (0, told, "")
    assert live.heard[0][:19] == b"\x00\x2fLCARD  SECRET    "
    assert (card.get("next_user_ref_num"), card.get("session_number_end")) == (1, 1_000_001)
    code, out, _ = tickgate("session", "--json")
    status = json.loads(out)
    assert code == 0 and status["state"] == "established" and status["may_order"]
    assert status["next_hop"] is None
    card.set("next_hop_mac_high", 0x0200)
    card.set("next_hop_mac_low", 0x77)
    assert "02:00:00:00:00:77" in tickgate("session")[1]
    code, _, error = live.login("--user", "CARD")
    assert code == 4 and "the order session is established" in error
    code, _, error = tickgate("configure", live.file)
    assert code == 4 and "log it out" in error
    assert tickgate("logout") == (0, "logged out; 0 orders open\n", "")
    assert live.heard[-1] == soupbintcp.pack("O")
    # The card has used some of its numbers, and goes on with the others.
    card.set("next_user_ref_num", 300)
    assert "order 300 are due, 999,701 orders may follow" in live.login("--user", "CARD")[1]
    code, out, _ = tickgate("session", "--abort")
    assert code == 0 and "aborted" in out


def test_open_orders_are_cancelled_all_or_one_that_is_open(live):
    card, tickgate = live.card, live.tickgate
    card.set("own_orders", 3)
    assert tickgate("cancel", "--all") == (0, "cancelling 3 open orders\n", "")
    card.set("own_cancels", 0b101)
    assert tickgate("cancel", "7")[1] == "cancelling order 7; it waits for the session\n"
    assert card.cancelled == [None, 7]
    assert json.loads(tickgate("session", "--json")[1])["cancels_waiting"]
    card.set("own_cancels", 0b011)
    code, _, error = tickgate("cancel", "8")
    assert code == 4 and "order 8 is not open" in error
    for wrong, complaint in (
        (["0"], "must be 1 to 2^32 - 1, not 0"),
        ([], "either NUMBER or --all"),
        (["7", "--all"], "either NUMBER or --all"),
    ):
        code, _, error = tickgate("cancel", *wrong)
        assert code == 2 and complaint in error and len(card.cancelled) == 3
    card.set("session_live", 0)
    code, _, error = tickgate("cancel", "--all")
    assert code == 2 and "keeps no order session" in error


def test_a_card_that_has_lost_its_memory_skips_reports_and_gets_other_numbers(live):
    card = live.card
    assert live.login("--user", "CARD")[0] == 0
    live.tickgate("logout")
    card.set("session_number_end", 0)
    card.set("next_user_ref_num", 0)
    told = "logged in; report 42 and order 1000001 are due, 1,000,000 orders may follow\n"
    assert live.login("--user", "CARD", "--from-report", "0") == (0, told, "")
    live.tickgate("logout")
    assert "report 7 " in live.login("--user", "CARD", "--from-report", "7")[1]
    assert [int(packet[-20:]) for packet in live.heard if packet[2:3] == b"L"] == [1, 0, 7]
    live.tickgate("logout")
    card.set("own_orders", 3)
    code, _, error = live.login("--user", "CARD", "--from-report", "0")
    assert code == 2 and "3 orders may be open" in error


def test_a_login_that_is_refused_is_explained(live):
    code, _, error = live.login("--user", "NOBODY")
    assert code == 4 and "refuses the login" in error
    live.tickgate("session", "--abort")
    live.card.set("session_state", 1 << 15)  # spent
    code, _, error = live.login("--user", "CARD")
    assert code == 4 and "higher user reference number" in error


def test_positions_are_shown_and_set_while_disarmed(live):
    tickgate = live.tickgate
    given = ("--set", "-300", "--price", "412.5001")
    assert json.loads(tickgate("position", "MSFT", *given, "--json")[1])["position"] == -300
    cost = live.card.get("position_cost_high") << 32 | live.card.get("position_cost_low")
    assert cost == 300 * 412_5001
    assert json.loads(tickgate("position", "MSFT", "--json")[1])["position"] == -300
    code, _, error = tickgate("position", "MSFT", "--set", str(1 << 32), "--price", "1")
    assert code == 2 and "within 2^32" in error
    code, _, error = tickgate("position", "MSFT", "--set", "1")
    assert code == 2 and "--price" in error
    for price in ("none", "0.00001", "429497", "-1"):
        code, _, error = tickgate("position", "MSFT", "--set", "1", "--price", price)
        assert code == 2 and "price" in error
    live.card.state["armed"] = 1
    assert tickgate("position", "MSFT", "--set", "0")[0] == 4


def test_a_day_from_reset_to_kill(card, tickgate, file, config):
    checksum = f"{config.checksum(4):#010x}"
    assert tickgate("configure", file, "--begin-day") == (
        0,
        f"in force: 2 symbols, checksum {checksum}\n",
        "",
    )
    assert card.get("next_user_ref_num") == 100
    assert abs((card.get("time_now_high") << 32) - time.time_ns()) < 5 << 32
    assert tickgate("trust") == (0, "trusted: AAPL MSFT\n", "")
    assert card.whole == {0: 1, 1: 1}
    assert tickgate("trust", "MSFT", "--withdraw") == (0, "not trusted: MSFT\n", "")
    assert card.whole == {0: 1, 1: 0}
    assert tickgate("arm", "--config", file) == (0, "armed\n", "")
    assert card.state["armed"]
    assert tickgate("disarm") == (0, "disarmed\n", "")
    assert not card.state["armed"]
    assert tickgate("kill") == (0, "killed\n", "")
    assert card.state["killed"]
    assert tickgate("clear-fill-burst", "MSFT") == (0, "may be traded: MSFT\n", "")
    assert card.cleared == [1]
    assert tickgate("clear-kill") == (0, "kill cleared; disarmed\n", "")
    assert not card.state["killed"]
    code, _, err = tickgate("arm")
    assert (code, "has not acknowledged it: killed" in err) == (4, True)
    assert tickgate("acknowledge") == (0, "acknowledged: killed\n", "")
    assert tickgate("acknowledge") == (0, "acknowledged: nothing\n", "")
    assert tickgate("arm") == (0, "armed\n", "")


def test_a_host_that_watches_answers_until_the_card_is_killed(card, configured, monkeypatch):
    def pause(_):
        if len(card.answers) == 3:
            card.state["killed"] = 1
            card.set_fields("kill_causes", pin=1, internal=1)

    monkeypatch.setattr(cli.time, "sleep", pause)
    code, _, err = configured("watch")
    assert (code, err) == (4, "tickgate: the card was killed by pin, internal\n")
    assert card.answers == [0xFFFF_FFFF] * 4
    assert "pin internal" in configured("status")[1]


def test_a_strategy_that_was_latched_off_is_enabled_anew(card, configured):
    card.set("strategy_executions", 7)
    assert configured("renew-strategy") == (0, "strategy enabled anew\n", "")
    assert card.get("strategy_executions") == 0


def test_configure_clears_old_locates(card, configured, file):
    card.locates[5] = 0
    assert configured("configure", file)[0] == 0
    assert card.locates == {13: 0, 21: 1}


def test_status_shows_identity_and_state(configured, config):
    code, out, err = configured("status")
    assert (code, err) == (0, "")
    assert f"{spec.MAP_HASH:#010x}" in out
    assert "AAPL MSFT" in out
    code, out, _ = configured("status", "--json")
    answer = json.loads(out)
    assert answer["identity"]["clock_period_ps"] == 6400
    assert answer["status"]["committed_checksum"] == config.checksum(4)
    assert answer["status"]["armed"] is False
    assert answer["symbols"] == ["AAPL", "MSFT", "", ""]


def test_limits_are_shown_in_the_units_of_the_file(configured):
    code, out, _ = configured("limits", "show", "AAPL")
    assert code == 0
    assert "600,000.0001" in out
    answer = json.loads(configured("limits", "show", "--json")[1])
    assert answer["AAPL"]["max_order_notional_usd"] == "600000.0001"
    assert answer["AAPL"]["collar_bps"] == 50
    assert answer["MSFT"]["max_long_shares"] == 0


@pytest.mark.parametrize(
    ("group", "assignment", "word", "value"),
    [
        ("params", "threshold_fraction=0.5", 4, 0x8000),
        ("params", "enabled=false", 3, 0b001),
        ("limits", "max_short_shares=7", 9, 7),
        ("limits", "extended_hours=true", 3, 0b111),
    ],
)
def test_set_changes_one_value_and_nothing_else(card, configured, group, assignment, word, value):
    card.state["armed"] = 1
    before = list(card.in_force)
    assert configured(group, "set", "AAPL", assignment)[0] == 0
    expected = [*before[:word], value, *before[word + 1 :]]
    assert card.in_force == expected


def test_push_takes_the_strategies_of_a_file_and_leaves_the_limits(
    card, configured, tmp_path, text
):
    changed = text.replace("quantity_shares = 100", "quantity_shares = 200")
    changed = changed.replace("collar_bps = 50", "collar_bps = 60")
    (tmp_path / "new.toml").write_text(changed)
    assert configured("params", "push", str(tmp_path / "new.toml"))[0] == 0
    assert (card.in_force[6], card.in_force[13]) == (200, 50)
    assert configured("limits", "push", str(tmp_path / "new.toml"))[0] == 0
    assert card.in_force[13] == 60


def test_registers_are_read_and_written_by_name(card, tickgate):
    assert tickgate("registers", "write", "feed_port=0x676D", "tcp_window=512")[0] == 0
    assert card.get("feed_port") == 0x676D
    code, out, _ = tickgate("registers", "read", "feed_port", "tcp_window", "--json")
    assert (code, json.loads(out)) == (0, {"feed_port": 0x676D, "tcp_window": 512})
    assert "0x0000676d" in tickgate("registers", "read", "feed_port")[1]
    everything = json.loads(tickgate("registers", "read", "--json")[1])
    assert everything["magic"] == spec.MAGIC
    assert "arm" not in everything


def test_registers_are_listed_without_a_card(run):
    code, out, _ = run("registers", "list", "--json")
    assert code == 0
    assert [entry["name"] for entry in json.loads(out)] == [r.name for r in spec.REGISTERS]
    assert "feed_port" in run("registers", "list")[1]


def test_a_book_is_shown_as_a_table_and_as_json(card, configured):
    view = spec.BY_NAME["book_view"].pack(
        symbol=0, bid_levels=2, bid_more=1, bid_complete=1, ask_levels=1, ask_more=0,
        ask_complete=1, trusted=1, exact=1, ready=1,
    )  # fmt: skip
    card.set("book_view", view)
    card.set("book_view_sequence", 77)
    for name, price, shares in (("bid", 3_000_000, 1_200), ("ask", 3_000_100, 50)):
        card.set(f"book_{name}_price_0", price)
        card.set(f"book_{name}_shares_0", shares)
    card.set("book_bid_price_1", 2_999_900)
    code, output, _ = configured("book", "AAPL")
    assert code == 0 and "AAPL, after message 77: exact" in output
    assert ["1,200", "300.0000", "300.0100", "50"] in [line.split() for line in output.splitlines()]
    assert "..." in output
    code, output, _ = configured("book", "AAPL", "--json")
    shown = json.loads(output)
    assert shown["asks"] == {
        "levels": [{"price_usd": "300.0100", "shares": 50}], "more": False, "complete": True
    }  # fmt: skip
    assert len(shown["bids"]["levels"]) == 2 and shown["sequence"] == 77 and shown["exact"]


def test_a_book_is_recovered_from_a_file(card, configured, tmp_path):
    path = tmp_path / "book.json"
    order = {"reference": 5, "side": "sell", "shares": 3, "price_usd": "300.01"}
    path.write_text(json.dumps({"symbol": "AAPL", "sequence": 1005, "orders": [order]}))
    code, output, errors = configured("recover", "AAPL", "--snapshot", str(path))
    assert (code, output) == (0, "whole: AAPL, from a snapshot of 1 orders\n")
    assert "held from message 1000 on" in errors
    assert card.snapshot == [(5, 0, 3, 3_000_100, 1)]
    code, output, _ = configured("recover", "AAPL", "--snapshot", str(path), "--json")
    assert json.loads(output) == {"symbol": "AAPL", "orders": 1, "first": 1000}
    code, _, errors = configured("recover", "AAPL", "--snapshot", str(tmp_path / "none"))
    assert code == 2 and "none" in errors


def test_a_book_is_recovered_from_a_venue_that_is_asked_when_the_card_holds(
    card, configured, serve
):
    def header(locate):
        return {"stock_locate": locate, "tracking_number": 0, "timestamp": 0, "stock": "AAPL"}

    state = itch50.MESSAGES["H"].pack(**header(13), trading_state="T", reserved="", reason="")
    order = {"order_ref": 5, "side": "S", "shares": 100, "price": 3_000_000}
    messages = (
        state,
        itch50.MESSAGES["A"].pack(**header(13), **order),
        glimpse50.END_OF_SNAPSHOT.pack(sequence=100),
    )
    login = soupbintcp.LOGIN_ACCEPTED.pack(session="TODAY", sequence=1)
    octets = login + b"".join(soupbintcp.pack("S", message) for message in messages)
    port, heard = serve(octets, stay=True)
    code, output, errors = configured(
        "recover", "AAPL", "--from", f"127.0.0.1:{port}", "--user", "ME", "--password", "WORD"
    )
    assert (code, output) == (0, "whole: AAPL, from a snapshot of 1 orders\n")
    assert f"reading 127.0.0.1:{port}" in errors
    assert heard[0][3:13] == b"ME    WORD"


def test_windows_are_moved(card, configured):
    card.set_fields("book_view", ready=1)
    card.set("recentre_bid", 2_900_000)
    code, output, _ = configured("recentre", "AAPL", "MSFT")
    assert (code, output.splitlines()) == (
        0,
        [f"{name}: window from 284.8800 USD on, not trusted" for name in ("AAPL", "MSFT")],
    )
    code, output, _ = configured("recentre", "AAPL", "--base", "250.10", "--json")
    assert code == 0 and json.loads(output) == {
        "symbol": "AAPL", "base": "250.1000", "bid": "290.0000", "ask": "0.0000", "trusted": False
    }  # fmt: skip
    for wrong, complaint in (
        (["AAPL", "--base", "250.105"], "multiple of 100"),
        (["AAPL", "--base", "1e-9"], "is no price in USD"),
        (["AAPL", "--base", "high"], "is no price in USD"),
        (["AAPL", "MSFT", "--base", "1"], "--base goes with one symbol"),
        (["--watch", "--base", "1"], "--base goes with one symbol"),
        ([], "name the symbols, or give --watch"),
    ):
        code, _, errors = configured("recentre", *wrong)
        assert code == 2 and complaint in errors


def test_windows_are_watched_until_interrupted(card, configured, monkeypatch):
    card.set_fields("book_view", ready=1, trusted=1)
    card.set("recentre_ask", 1_000_000)
    rounds = iter([None, None])

    def interrupt(seconds):
        if next(rounds, "over") == "over":
            raise KeyboardInterrupt

    monkeypatch.setattr(cli.time, "sleep", interrupt)
    code, output, _ = configured("recentre", "--watch", "MSFT")
    assert (code, output) == (130, "MSFT: window from 94.8800 USD on, trusted\n")


def test_counters_show_what_is_not_zero(card, tickgate):
    card.set("feed_gaps", 3)
    out = tickgate("counters")[1]
    assert "feed_gaps" in out
    assert "feed_heartbeats" not in out
    assert "feed_heartbeats" in tickgate("counters", "--all")[1]
    assert json.loads(tickgate("counters", "--json")[1])["feed_gaps"] == 3


def test_events_are_shown_with_names_and_prices(card, configured):
    order = {"symbol": 1, "side": 1, "quantity": 100, "price": 3_000_100, "time": 12}
    card.report(sequence=0, kind=EventKind.ORDER_SENT, user_ref_num=7, latency_cycles=7, **order)
    card.report(sequence=3, kind=EventKind.REFUSED, reasons=1 << 5 | 1 << 11, **order)
    card.report(sequence=4, kind=EventKind.GAP, message_sequence=99)
    card.report(sequence=5, kind=EventKind.STATE_CHANGED, detail=0b101)
    card.report(sequence=6, kind=99)
    code, out, _ = configured("events", "--json")
    assert code == 0
    sent, refused, gap, changed, unknown = map(json.loads, out.splitlines())
    assert sent == {
        "sequence": 0,
        "time_ns": 12,
        "kind": "ORDER_SENT",
        "message_sequence": 0,
        "symbol": "MSFT",
        "side": "sell",
        "quantity": 100,
        "price_usd": "300.0100",
        "user_ref_num": 7,
        "latency_cycles": 7,
    }
    assert (refused["gates"], refused["lost_before"]) == ([5, 11], 2)
    assert gap == {"sequence": 4, "time_ns": 0, "kind": "GAP", "message_sequence": 99}
    assert changed["state"] == ["armed", "config_valid"]
    assert unknown["kind"] == 99
    assert not card.queue
    assert configured("events") == (0, "", "")


OWN = {"symbol": 1, "user_ref_num": 7, "time": 12}
FILL = {"kind": EventKind.FILLED, "price": 3_000_000, **OWN}
FILLS = [
    {"sequence": 4, "kind": EventKind.ORDER_SENT, "quantity": 100, "price": 3_000_100, **OWN},
    {"sequence": 5, "quantity": 30, "detail": 70, "message_sequence": 8, **FILL}
    | {"reasons": 1 << 40, "code": ord("R")},
    {"sequence": 6, "kind": EventKind.GAP},
    {"sequence": 7, "quantity": 20, "detail": 50, **FILL, "price": 3_000_100},
]


def test_what_the_venue_says_of_an_order_is_shown_in_words(card, configured):
    card.report(sequence=0, kind=EventKind.ACCEPTED, quantity=100, detail=100, code=76, **OWN)
    card.report(sequence=1, kind=EventKind.CANCELLED, quantity=50, code=ord("I"), detail=0, **OWN)
    card.report(sequence=2, kind=EventKind.CANCELLED, quantity=50, code=200, detail=1, **OWN)
    card.report(sequence=3, kind=EventKind.REJECTED, quantity=100, detail=0x0A, **OWN)
    card.report(sequence=4, kind=EventKind.REJECTED, quantity=100, detail=999, **OWN)
    card.report(**FILLS[1])
    code, out, _ = configured("events", "--json")
    accepted, cancelled, odd, rejected, unheard, filled = map(json.loads, out.splitlines())
    assert code == 0
    assert (accepted["open"], accepted["order_state"]) == (100, "L")
    assert (cancelled["reason"], cancelled["open"]) == ("immediate_or_cancel", 0)
    assert (odd["reason"], odd["open"]) == (200, 1)
    assert (rejected["reason"], unheard["reason"]) == ("processing_error", 999)
    assert "price_usd" not in cancelled and "price_usd" not in rejected
    assert filled == {
        "sequence": 5,
        "time_ns": 12,
        "kind": "FILLED",
        "symbol": "MSFT",
        "side": "buy",
        "quantity": 30,
        "price_usd": "300.0000",
        "user_ref_num": 7,
        "report_sequence": 8,
        "open": 70,
        "match_number": 1 << 40,
        "liquidity": "R",
    }


def test_fills_are_shown_and_added_up_and_all_that_was_taken_is_kept(card, configured, tmp_path):
    file = tmp_path / "events.jsonl"
    for record in FILLS:
        card.report(**record)
    code, out, said = configured("fills", "--json", "--keep", str(file))
    first, second, totals = map(json.loads, out.splitlines())
    assert (code, said, card.queue) == (0, "", type(card.queue)())
    assert [first["quantity"], second["quantity"]] == [30, 20]
    kept = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record["sequence"] for record in kept] == [4, 5, 6, 7]
    assert kept[1] == first
    assert totals == {
        "orders": 1,
        "fills": 2,
        "events_lost": 0,
        "symbols": [
            {
                "symbol": "MSFT",
                "bought_shares": 50,
                "bought_usd": "15000.2000",
                "sold_shares": 0,
                "sold_usd": "0.0000",
                "last_price_usd": "300.0100",
            }
        ],
    }


def test_a_hole_in_the_events_is_told_with_the_fills(card, configured):
    card.report(**FILLS[1])
    card.report(**FILLS[3] | {"sequence": 9, "side": 1})
    code, out, said = configured("fills")
    assert code == 0
    assert out.count("FILLED") == 2 and "2 fills of 1 orders" in out
    (row,) = (line.split() for line in out.splitlines() if line.split()[:1] == ["MSFT"])
    assert row == ["MSFT", "30", "9000.0000", "20", "6000.2000", "300.0100"]
    assert "3 events were lost" in said and "tickgate position" in said


def test_a_file_that_cannot_be_written_leaves_the_events_on_the_card(card, configured, tmp_path):
    card.report(**FILLS[0])
    code, _, said = configured("fills", "--keep", str(tmp_path))
    assert (code, len(card.queue)) == (2, 1)
    assert str(tmp_path) in said


def test_following_events_waits_for_more(card, served_pty):
    card.report(sequence=0, kind=EventKind.GAP, message_sequence=1)
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from tickgate.host.cli import main; main()",
            "events",
            "--follow",
            "--port",
            served_pty,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background may have the signal ignored, and it is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert "message_sequence=1" in process.stdout.readline()
        card.report(sequence=1, kind=EventKind.GAP, message_sequence=2)
        assert "message_sequence=2" in process.stdout.readline()
        process.send_signal(2)
        assert process.wait(10) == 130
        assert process.stderr.read() == ""


def test_a_socket_serves_as_well(run, served_tcp, monkeypatch):
    monkeypatch.setenv("TICKGATE_PORT", served_tcp)
    assert json.loads(run("--timeout", "2", "status", "--json")[1])["identity"]["width"] == 8


def test_check_judges_a_file_without_a_card(run, file):
    assert run("check", file) == (0, f"{file}: good, 2 symbols\n", "")


# Failing


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["check", "none.toml"], "tickgate: none.toml: cannot be read: No such file or directory"),
        (["status"], "tickgate: Missing option '--port' (env var: 'TICKGATE_PORT')."),
        (["stauts"], "tickgate: No such command 'stauts'. Did you mean 'status'?"),
        (["status", "--prot", "x"], "tickgate: No such option: --prot"),
        (["--baud", "fast", "status"], "tickgate: Invalid value for '--baud'"),
        (["status", "--port", "pigeon://x"], "tickgate: --port 'pigeon://x': "),
        (["registers", "read", "feed_prot", "--port", "x"], "did you mean feed_port?"),
        (["registers", "write", "feed_port=x", "--port", "x"], "is not NAME=VALUE with a whole"),
        (["registers", "write", "feed_port", "--port", "x"], "is not NAME=VALUE with a whole"),
        (
            ["limits", "set", "AAPL", "colar_bps=1", "--port", "x"],
            "tickgate: AAPL: colar_bps: unknown key; did you mean collar_bps?",
        ),
    ],
)
def test_a_mistake_is_one_line_and_code_2(run, arguments, complaint, monkeypatch, tmp_path):
    monkeypatch.delenv("TICKGATE_PORT", raising=False)
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert complaint in err
    assert err.count("\n") == 1


def test_a_mistake_about_the_cards_symbols_is_code_2(configured):
    code, out, err = configured("params", "set", "APL", "enabled=false")
    assert (code, out) == (2, "")
    assert err == "tickgate: the card has no symbol 'APL'; did you mean AAPL?\n"


def test_a_bad_file_is_code_2_and_the_card_is_not_touched(card, tickgate, file, text, tmp_path):
    (tmp_path / "desk.toml").write_text(text.replace("collar_bps", "colar_bps"))
    code, _, err = tickgate("configure", file)
    assert code == 2
    assert f"tickgate: {file}: symbols[AAPL].limits.colar_bps: unknown key" in err
    assert not card.requests


def test_a_card_that_is_not_there_is_code_3(run):
    code, out, err = run("status", "--port", "/dev/no-such-card")
    assert (code, out) == (3, "")
    assert err == (
        "tickgate: cannot open port '/dev/no-such-card': there is no such device; is the card "
        "connected, or the virtual card running?\n"
    )


def test_a_card_that_is_silent_is_code_3(card, run, served_pty):
    card.faults.extend([lambda reply: b""] * 10)
    code, _, err = run("--timeout", "0.01", "status", "--port", served_pty)
    assert code == 3
    assert "no reply from the card on /dev/pts/" in err


def test_what_the_card_refuses_is_code_4(tickgate):
    code, out, err = tickgate("arm")
    assert (code, out) == (4, "")
    assert err == ("tickgate: the card cannot be armed: no configuration is in force (apply one)\n")


def test_a_card_that_is_armed_refuses_to_be_configured_with_code_4(card, configured, file):
    card.state["armed"] = 1
    code, _, err = configured("configure", file)
    assert (code, err) == (
        4,
        "tickgate: the card is armed; disarm it before a whole configuration\n",
    )
    code, _, err = configured("registers", "write", "feed_port=1")
    assert code == 4
    assert "the card refused writing register feed_port: refused because the card is" in err


def test_a_card_with_another_map_is_code_5(card, tickgate):
    card.set("map_hash", 1)
    code, _, err = tickgate("kill")
    assert code == 5
    assert "0x00000001" in err
    assert not card.state["killed"]


def test_a_mistake_has_no_traceback_in_a_real_process(tmp_path):
    (tmp_path / "bad.toml").write_text("feed = 1")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from tickgate.host.cli import main; main()",
            "check",
            str(tmp_path / "bad.toml"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert all(line.startswith("tickgate: ") for line in done.stderr.splitlines())


# Around


def test_the_version_names_the_map(run):
    code, out, _ = run("--version")
    assert code == 0
    assert f"register map {spec.MAP_HASH:#010x}" in out


def test_without_a_command_there_is_help(run):
    for arguments in ([], ["params"], ["--help"]):
        _, out, err = run(*arguments)
        assert "Usage: tickgate" in out
        assert err == ""


def _plugins(monkeypatch, *values):
    points = [
        EntryPoint(name=f"plugin{n}", value=value, group=cli.PLUGIN_GROUP)
        for n, value in enumerate(values)
    ]
    monkeypatch.setattr(cli, "entry_points", lambda group: points)


@pytest.fixture
def plugin(monkeypatch):
    """A module with commands of its own."""
    app = typer.Typer()

    @app.command()
    def replay(name: str):
        """Says a name."""
        typer.echo(f"replaying {name}")

    @app.command()
    def status():
        """Is ours already."""

    module = type(sys)("a_plugin")
    module.app, module.number = app, 7
    monkeypatch.setitem(sys.modules, "a_plugin", module)


def test_commands_of_plugins_stand_beside_ours(run, plugin, monkeypatch):
    _plugins(monkeypatch, "a_plugin:app")
    code, out, err = run("replay", "tape")
    assert (code, out) == (0, "replaying tape\n")
    assert err == "tickgate: plug-in 'plugin0': its command 'status' exists already\n"
    assert "Says a name." in run("--help")[1]


def test_a_plugin_is_not_loaded_for_a_command_of_ours(run, monkeypatch, file):
    _plugins(monkeypatch, "no_such_module:app")
    assert run("check", file) == (0, f"{file}: good, 2 symbols\n", "")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (
            "no_such_module:app",
            "ModuleNotFoundError: No module named 'no_such_module'; install what it needs",
        ),
        ("a_plugin:nothing", "AttributeError: "),
        ("a_plugin:number", "TypeError: it is a int, not a typer.Typer"),
    ],
)
def test_a_broken_plugin_is_named_and_takes_nothing_else_with_it(
    run, plugin, monkeypatch, value, complaint
):
    _plugins(monkeypatch, value, "a_plugin:app")
    code, out, err = run("replay", "tape")
    assert (code, out) == (0, "replaying tape\n")
    assert f"tickgate: plug-in 'plugin0' ({value}) does not load" in err
    assert complaint in err
    code, out, _ = run("--help")
    assert code == 0
    assert "configure" in out
