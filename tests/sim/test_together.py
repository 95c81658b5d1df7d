"""Venue, virtual card and host trade together: their books agree, and it would be told if not."""

import json
from dataclasses import replace

import pytest
from rich.console import Console
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapReader
from typer.testing import CliRunner

from tickgate.sim.capture import InputError
from tickgate.sim.cli import app
from tickgate.sim.together.books import CardBooks, Holding, HostBooks, compare
from tickgate.sim.together.day import OUCH_PORT, Outcome
from tickgate.sim.together.show import tables
from tickgate.sim.virtual import NamespaceError
from tickgate.spec import ouch50, soupbintcp
from tickgate.spec.ethernet import TCP_FIN, TCP_RST, TCP_SYN

BUY = {"user_ref_num": 7, "symbol": "ALFA", "side": "buy", "quantity": 100, "price": 3_000}
SELL = {"user_ref_num": 8, "symbol": "ALFA", "side": "sell", "quantity": 100, "price": 3_100}
MARKS = {"ALFA": 3_050, "BRVO": 10}


def fill(order, shares, price, **others):
    named = {name: order[name] for name in ("user_ref_num", "symbol", "side")}
    return named | {"shares": shares, "price": price, "broken": False} | others


VENUE = {
    "orders": [BUY | {"leaves": 0, "canceled": 0}, SELL | {"leaves": 0, "canceled": 70}],
    "fills": [fill(BUY, 60, 2_990), fill(BUY, 40, 3_000), fill(SELL, 30, 3_110)],
    "positions": {"ALFA": 70},
    "cash": -60 * 2_990 - 40 * 3_000 + 30 * 3_110,
    "profit": -60 * 2_990 - 40 * 3_000 + 30 * 3_110 + 70 * 3_050,
    "rejected": 0,
}
ALFA = Holding(
    position=70,
    bought_shares=100,
    bought_notional=60 * 2_990 + 40 * 3_000,
    sold_shares=30,
    sold_notional=30 * 3_110,
)
BOOKS = CardBooks(holdings={"ALFA": ALFA, "BRVO": Holding()}, approved=2, executions=3)
HOST = HostBooks(holdings={"ALFA": ALFA}, executions=3, cancelled=70)


def differing(venue=VENUE, card=BOOKS, sent=(BUY, SELL), host=HOST):
    return {row.what for row in compare(venue, card, sent, MARKS, host) if not row.agree}


def held(**changes):
    return replace(BOOKS, holdings={**BOOKS.holdings, "ALFA": replace(ALFA, **changes)})


def test_books_that_agree_have_no_difference():
    assert not differing()


@pytest.mark.parametrize(
    ("card", "differ"),
    [
        (replace(BOOKS, approved=3), {"orders"}),
        (replace(BOOKS, executions=2), {"executions"}),
        (held(open_shares=1), {"open shares"}),
        (held(position=71), {"ALFA position", "profit"}),
        (held(bought_shares=99), {"ALFA bought"}),
        (held(sold_shares=31), {"ALFA sold"}),
        (held(bought_notional=1), {"ALFA paid", "cash", "profit"}),
        (held(sold_notional=30 * 3_110 + 1), {"ALFA got", "cash", "profit"}),
    ],
)
def test_whatever_the_card_has_otherwise_is_told(card, differ):
    assert differing(card=card) == differ


@pytest.mark.parametrize(
    ("changes", "differ"),
    [
        ({"position": 71}, {"ALFA position", "profit"}),
        ({"bought_shares": 99}, {"ALFA bought"}),
        ({"sold_notional": 30 * 3_110 + 1}, {"ALFA got", "cash", "profit"}),
    ],
)
def test_whatever_the_host_was_told_of_its_fills_otherwise_is_told(changes, differ):
    told = replace(HOST, holdings={"ALFA": replace(ALFA, **changes)})
    assert differing(host=told) == differ
    assert "executions" in differing(host=HostBooks(holdings={}, executions=0, cancelled=70))
    assert differing(host=replace(HOST, cancelled=69)) == {"cancelled shares"}


@pytest.mark.parametrize(
    ("sent", "differ"),
    [
        ((BUY,), {"orders", "order 8"}),
        ((BUY, SELL, SELL | {"user_ref_num": 9}), {"orders", "order 9"}),
        ((BUY, SELL | {"price": 3_101}), {"order 8"}),
        ((BUY | {"side": "sell"}, SELL), {"order 7"}),
    ],
)
def test_whatever_the_host_was_told_otherwise_is_told(sent, differ):
    assert differing(sent=sent) == differ


def test_an_order_that_the_venue_rejected_is_one_that_left():
    venue = VENUE | {"rejected": 1}
    card = replace(BOOKS, approved=3)
    assert not differing(venue, card, (BUY, SELL, SELL | {"user_ref_num": 9}))
    assert differing(venue) == {"orders"}


def test_a_trade_that_the_venue_broke_is_none():
    venue = VENUE | {"fills": [*VENUE["fills"], fill(SELL, 5, 3_110, broken=True)]}
    assert not differing(venue)


def test_what_differs_is_shown_with_each_side(capsys):
    rows = compare(VENUE, held(sold_shares=31), (BUY,), MARKS, HOST)
    outcome = Outcome(
        rows=rows, seconds=1, events_lost=3, recovered=2, wire="9 to card", counters={}
    )
    for part in tables(outcome):
        Console(width=120).print(part)
    shown = capsys.readouterr().out
    assert "2 books were made whole" in shown
    assert "3 differences" in shown and "3 events were lost" in shown
    (line,) = (line for line in shown.splitlines() if line.strip().startswith("ALFA sold"))
    assert line.split() == ["ALFA", "sold", "30", "31", "30", "differ"]
    assert "order 8" in shown and "order 7" not in shown


def test_without_a_network_of_its_own_it_says_what_to_do(monkeypatch):
    def refuse(*_, **__):
        raise NamespaceError("no network of its own")

    monkeypatch.setattr("tickgate.sim.virtual.in_own_network", refuse)
    result = CliRunner().invoke(app, ["trade"])
    assert "tickgate demo" in str(result.exception)


def streams(capture) -> tuple[dict[int, bytes], dict[int, list[str]]]:
    """What each port of the order session has sent, and what an analyser would flag of it."""
    due, sent, flagged, last = {}, {}, {}, {}
    with RawPcapReader(str(capture)) as reader:
        packets = [packet[IP] for octets, _ in reader if TCP in (packet := Ether(octets))]
    for packet in packets:
        segment, flags = packet[TCP], int(packet[TCP].flags)
        here, there = segment.sport, segment.dport
        # Short frames are padded.
        payload = bytes(segment.payload)[: packet.len - 4 * (packet.ihl + segment.dataofs)]
        if flags & TCP_SYN:
            flagged.setdefault(here, []).extend(["a second SYN"] * (here in due))
            due[here], sent[here] = segment.seq + 1 & 0xFFFF_FFFF, b""
            continue
        same = (segment.seq, segment.ack, segment.window)
        if segment.seq != due[here]:
            flagged[here].append("sent again, out of order, or missed")
        elif not segment.window or flags & TCP_RST:
            flagged[here].append("a window of nothing, or a reset")
        elif due[there] - segment.ack & 0xFFFF_FFFF >= 1 << 31:
            flagged[here].append("acknowledged and never sent")
        elif not payload and not flags & TCP_FIN and last.get(here) == same:
            flagged[here].append("acknowledged twice")
        else:
            due[here] = due[here] + len(payload) + bool(flags & TCP_FIN) & 0xFFFF_FFFF
            sent[here] += payload
        last[here] = None if payload else same
    return sent, flagged


@pytest.fixture
def day(tmp_path_factory, request):
    """Holds a day over a wire; returns what is told of it, and the capture."""

    def of(*wire):
        place = tmp_path_factory.mktemp("day")
        file, capture = place / "day.json", place / "wire.pcap"
        arguments = ["trade", "--orders", "24", "--json", str(file), "--pcap", str(capture), *wire]
        seed = str(request.config.getoption("seed"))
        result = CliRunner().invoke(app, [*arguments, "--seed", seed])
        if isinstance(result.exception, InputError):
            pytest.skip(str(result.exception))
        assert result.exit_code == 0, result.output
        return json.loads(file.read_text()), capture

    return of


def agree(held) -> None:
    """Whether venue, card and host agree on every order, fill and cent."""
    rows = {row["what"]: row for row in held["rows"]}
    assert not held["differences"] and not held["events_lost"]
    assert rows["orders"]["venue"] >= 24 and rows["executions"]["venue"] > 5
    assert rows["open shares"]["card"] == 0 and rows["cash"]["venue"]
    # The kernel has told the card by ARP where the venue is.
    assert held["counters"]["order_hop_answers"] == 1


def test_over_a_bad_wire_venue_card_and_host_agree_on_everything(day):
    held, capture = day("--drop", "0.05", "--reorder", "0.02", "--duplicate", "0.01")
    agree(held)
    assert "dropped" in held["wire"] and any(streams(capture)[1].values())


def test_over_a_good_wire_they_agree_and_an_analyser_would_flag_nothing(day):
    # A machine that stops the card for a fifth of a second makes the kernel send again.
    for _attempt in range(3):
        held, capture = day("--rest")
        agree(held)
        assert "dropped" not in held["wire"]
        sent, flagged = streams(capture)
        # What the kernel sends again the card acknowledges again.
        of_venue = flagged.pop(OUCH_PORT)
        if not of_venue:
            break
    assert not of_venue, of_venue
    assert not any(flagged.values()), flagged
    venue = sent.pop(OUCH_PORT)
    (card,) = sent.values()
    packets, rest = soupbintcp.split(card)
    assert rest == b"" and [type_ for type_, _ in packets[:1]] == ["L"]
    told = [ouch50.decode(ouch50.INBOUND, body) for type_, body in packets if type_ == "U"]
    cancels = [each.values["user_ref_num"] for each in told if each.message.type == "X"]
    orders = [each for each in told if each.message.type == "O"]
    rows = {row["what"]: row for row in held["rows"]}
    assert len(orders) == rows["orders"]["venue"]
    # What rested to the end was cancelled by the kill, each order once.
    assert cancels and len(set(cancels)) == len(cancels) == held["counters"]["order_cancels"]
    assert len(orders) + len(cancels) == len(told) and rows["cancelled shares"]["venue"]
    packets, rest = soupbintcp.split(venue)
    assert rest == b"" and packets[0][0] == "A"
    reports = [ouch50.decode(ouch50.OUTBOUND, body) for type_, body in packets if type_ == "S"]
    assert len(reports) > 2 * len(orders)
