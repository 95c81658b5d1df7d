"""Snapshots from a GLIMPSE server: one of plain octets here, the exchange's in tests/sim."""

import json
import socket

import pytest

from tickgate.host import glimpse
from tickgate.host.cli import main
from tickgate.host.errors import UserError
from tickgate.host.snapshot import Snapshot

LOGIN = b"\x00\x2fL" + b"USER  " + b"PASS      " + b" " * 10 + b"1".rjust(20)
ACCEPTED = b"\x00\x1fA" + b"     TODAY" + b"1".rjust(20)
END = b"G" + b"1235".rjust(20)


def packet(octets, type_=b"S"):
    return (len(octets) + 1).to_bytes(2, "big") + type_ + octets


def add(reference, side, shares, price, stock=b"ALFA    "):
    number = reference.to_bytes(8, "big")
    head = b"A" + (13).to_bytes(2, "big") + bytes(8)
    return head + number + side + shares.to_bytes(4, "big") + stock + price.to_bytes(4, "big")


def action(stock=b"ALFA    "):
    return b"H" + (13).to_bytes(2, "big") + bytes(8) + stock + b"T     "


WHOLE = (
    ACCEPTED
    + packet(b"hello", b"+")
    + packet(action())
    + packet(action(b"BRVO    "))
    + packet(b"", b"H")
    + packet(add(7, b"B", 100, 320_1234))
    + packet(add(8, b"S", 5, 5_000_0001, b"BRVO    "))
    + packet(add(9, b"S", 50, 5_000_0001))
    + packet(END)
)


def take(port, symbol="ALFA", **options):
    return glimpse.take(
        "127.0.0.1", port, symbol, **{"username": "USER", "password": "PASS", **options}
    )


@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
def test_the_book_of_the_symbol_is_read_and_of_no_other(serve, piece):
    port, heard = serve(WHOLE, piece=piece, stay=True)
    book = take(port)
    assert heard == [LOGIN]
    assert (book.symbol, book.sequence) == ("ALFA", 1234)
    rows = [(o.reference, o.side, o.shares, str(o.price_usd)) for o in book.orders]
    assert rows == [(7, "buy", 100, "320.1234"), (9, "sell", 50, "5000.0001")]


def test_the_command_prints_what_recover_reads(serve, capsys):
    port, _ = serve(WHOLE, stay=True)
    with pytest.raises(SystemExit) as ended:
        main(["snapshot", "ALFA", "--from", f"127.0.0.1:{port}", "--user=USER", "--password=PASS"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert Snapshot.from_text(printed, source="the standard input").sequence == 1234
    assert json.loads(printed) == {
        "symbol": "ALFA",
        "sequence": 1234,
        "orders": [
            {"reference": 7, "side": "buy", "shares": 100, "price_usd": "320.1234"},
            {"reference": 9, "side": "sell", "shares": 50, "price_usd": "5000.0001"},
        ],
    }


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (b"\x00\x02JA", "refused the login, not authorized"),
        (b"\x00\x02JS", "refused the login, session not available"),
        (WHOLE.replace(b"ALFA", b"ALFB"), "the venue has no symbol 'ALFA'"),
    ],
)
def test_what_the_user_got_wrong_is_said(serve, octets, error):
    port, _ = serve(octets)
    with pytest.raises(UserError, match=error):
        take(port)


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (WHOLE[:-1], "ended the session before the end"),
        (ACCEPTED + packet(b"", b"Z"), "ended the session before the end"),
        (ACCEPTED + packet(b"?"), "is not GLIMPSE 5.0: no ITCH"),
        (ACCEPTED + packet(b""), "is not GLIMPSE 5.0: no ITCH"),
        (ACCEPTED + packet(END[:-1]), "is not GLIMPSE 5.0: end_of_snapshot"),
        (ACCEPTED + packet(action()[:-1]), "is not GLIMPSE 5.0: stock_trading_action"),
        (WHOLE.replace(END, b"G" + b"0".rjust(20)), "is not GLIMPSE 5.0: Input should be"),
        (WHOLE.replace(packet(END), packet(add(7, b"B", 1, 1)) * 2 + packet(END)), "twice"),
        (b"HTTP/1.1 400 Bad Request", "is not SoupBinTCP"),
    ],
)
def test_a_server_that_is_none_is_told_apart(serve, octets, error):
    port, _ = serve(octets)
    with pytest.raises(glimpse.VenueUnreachable, match=error):
        take(port)


def test_recover_wants_a_file_or_a_server_but_not_both(capsys):
    for options in ([], ["--snapshot=x", "--from=127.0.0.1:1"]):
        with pytest.raises(SystemExit) as ended:
            main(["recover", "ALFA", "--port=loop://", *options])
        assert ended.value.code == 2
        assert "either --snapshot FILE or --from HOST:PORT" in capsys.readouterr().err


def test_a_server_that_says_nothing_is_given_up(serve):
    port, _ = serve(ACCEPTED, stay=True)
    with pytest.raises(glimpse.VenueUnreachable, match=r"no snapshot within 0\.1 s"):
        take(port, timeout=0.1)


def test_a_port_where_nobody_listens_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(glimpse.VenueUnreachable, match=f"127.0.0.1:{port}: Connection refused"):
        take(port)


def test_a_name_that_no_login_can_carry_is_refused():
    with pytest.raises(UserError, match="longer than 6 characters"):
        take(1, username="TOOLONG")


@pytest.mark.parametrize("source", ["here", "here:", "here:0", ":5"])
def test_a_source_that_is_no_address_is_refused(source, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["snapshot", "ALFA", "--from", source, "--user=USER"])
    assert ended.value.code == 2
    assert "--from must be HOST:PORT" in capsys.readouterr().err
