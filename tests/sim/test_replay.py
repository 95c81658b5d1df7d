"""`tickgate replay` and `tickgate demo` from the command line to the files that they write."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict

import pytest
from scapy.layers.inet import IP, TCP
from scapy.utils import PcapReader

from tickgate.hdl.core import TickToTrade
from tickgate.host.cli import main
from tickgate.host.driver import Driver
from tickgate.sim import market
from tickgate.sim.capture import ItchFile, write_capture
from tickgate.sim.faults import assemble, datagram
from tickgate.sim.frames import SESSION, Packer
from tickgate.sim.model.feed import messages
from tickgate.sim.reception import seal
from tickgate.sim.replay import unloaded_gap
from tickgate.spec import itch50, ouch50, soupbintcp

MESSAGES = 6_000


@pytest.fixture
def call(capsys):
    """Runs the command line; returns exit code, standard output and standard error."""

    def run(*arguments) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return ended.value.code, output.out, output.err

    return run


@pytest.fixture(scope="module")
def market_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("market") / "market.itch"
    path.write_bytes(market.generate(seed=5, messages=MESSAGES).data)
    return path


def messages_of(frames, number) -> list[bytes]:
    """The messages in a frame."""
    part = frames.messages.of(frames.frame == number)
    return [
        part.octets[at : at + size].tobytes()
        for at, size in zip(part.begin.tolist(), part.size.tolist(), strict=True)
    ]


def rows_of(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class PlainBook:
    """Best bid and ask of one symbol by search among its orders: slow and plain."""

    def __init__(self):
        self.orders = {}

    def apply(self, message) -> tuple[int, int, int, int]:
        orders, reference = self.orders, message.reference
        if message.type in ("A", "F"):
            orders[reference] = [message.side, message.price, message.shares]
        elif message.type in ("E", "C", "X"):
            orders[reference][2] -= message.shares
            if not orders[reference][2]:
                del orders[reference]
        elif message.type == "D":
            del orders[reference]
        elif message.type == "U":
            side = orders.pop(reference)[0]
            orders[message.new_reference] = [side, message.price, message.shares]
        top = []
        for side, best in ((0, max), (1, min)):
            prices = [price for at, price, _ in orders.values() if at == side]
            price = best(prices, default=0)
            top += [price, sum(s for at, p, s in orders.values() if (at, p) == (side, price))]
        return tuple(top)


@pytest.mark.parametrize("width", [1, 8])
def test_a_market_is_replayed_without_a_difference(call, tmp_path, market_file, width):
    files = {name: tmp_path / name for name in ("json", "tops", "pcap", "picture")}
    options = [each for name, path in files.items() for each in (f"--{name}", path)]
    code, output, errors = call("replay", market_file, "--check", "--width", width, *options)
    assert code == 0, output + errors
    assert "0 differences" in output
    result = json.loads(files["json"].read_text())
    assert result["differences"] == 0
    assert result["messages"] == sum(result["by_type"].values()) == MESSAGES
    assert result["orders"] > 30 and result["refusals"] > 0
    assert result["events"]["order_sent"] == result["orders"]
    assert result["dropped"] == dict.fromkeys(result["dropped"], 0)
    assert result["clock_hz_nominal"] == {1: 125_000_000, 8: 156_250_000}[width]
    assert result["cycles"] > MESSAGES * unloaded_gap(width) // 2
    to_top = TickToTrade.LATENCY - TickToTrade.DECIDE
    for what, cycles in (("t0_to_top", to_top), ("t0_to_order", TickToTrade.LATENCY)):
        assert set(result["latency"][what]) == {"improve", "resize", "empty"}
        for row in result["latency"][what].values():
            assert row["min"] == row["max"] == cycles
    assert files["picture"].read_bytes().startswith(b"\x89PNG")
    compare_tops(rows_of(files["tops"]), market_file, result)
    examine_orders(files["pcap"], result)


def compare_tops(rows, market_file, result) -> None:
    """Every top that is exact is that of a plain book after that message."""
    assert len(rows) == result["top_changes"]
    by_message = defaultdict(list)
    for row in rows:
        by_message[int(row["message"])].append(row)
    books = defaultdict(PlainBook)
    last = {}
    exact = 0
    for number, message in enumerate(messages(market_file.read_bytes()), 1):
        if message.type not in itch50.BOOK_TYPES:
            assert number not in by_message
            continue
        top = books[message.locate].apply(message)
        found = by_message.pop(number, [])
        assert len(found) <= 1
        for row in found:
            assert int(row["locate"]) == message.locate
            assert int(row["top_cycle"]) - int(row["t0_cycle"]) in (4, 5, 11)
            last[message.locate] = row
        row = last.get(message.locate)
        if row is not None and row["exact"] == "1":
            names = ("bid_price", "bid_shares", "ask_price", "ask_shares")
            assert tuple(int(row[name]) for name in names) == top
            exact += 1
    assert not by_message
    assert exact > 0.9 * MESSAGES


def examine_orders(path, result) -> None:
    """Each order frame is what scapy and the tables of OUCH say it should be."""
    with PcapReader(str(path)) as capture:
        packets = list(capture)
    assert len(packets) == len(result["order_list"]) == result["orders"]
    sequence = None
    for number, (packet, order) in enumerate(zip(packets, result["order_list"], strict=True), 1):
        checksums = packet[IP].chksum, packet[TCP].chksum
        del packet[IP].chksum, packet[TCP].chksum
        again = type(packet)(bytes(packet))
        assert (again[IP].chksum, again[TCP].chksum) == checksums
        data = bytes(packet[TCP].payload)[: packet[IP].len - 40]
        assert sequence in (None, packet[TCP].seq)
        sequence = packet[TCP].seq + len(data)
        header = soupbintcp.HEADER.unpack_from(data)
        assert header["length"] == len(data) - 2
        enter = ouch50.INBOUND["O"].unpack_from(data, soupbintcp.HEADER.size)
        assert (enter["user_ref_num"], enter["symbol"]) == (number, order["symbol"])
        assert (enter["side"], enter["price"], enter["quantity"]) == (
            order["side"],
            order["price"],
            order["quantity"],
        )
        assert order["t1_cycle"] - order["t0_cycle"] in (7, 8, 14)


@pytest.mark.parametrize("width", [1, 8])
def test_at_line_rate_nothing_is_lost(call, tmp_path, market_file, width):
    code, output, _ = call(
        "replay",
        market_file,
        "--check",
        "--line-rate",
        "--width",
        width,
        "--json",
        tmp_path / "json",
    )
    assert code == 0, output
    result = json.loads((tmp_path / "json").read_text())
    assert result["differences"] == 0
    assert result["dropped"] == dict.fromkeys(result["dropped"], 0)


@pytest.mark.parametrize("width", [1, 8])
def test_the_real_slice_is_replayed_without_a_difference(call, shared_data, tmp_path, width):
    file = shared_data / "aapl_20200130_locate13_10k.itch"
    code, output, _ = call("replay", file, "--check", "--width", width, "--json", tmp_path / "json")
    assert code == 0, output
    result = json.loads((tmp_path / "json").read_text())
    assert (result["messages"], result["differences"]) == (10_000, 0)
    (symbol,) = result["symbols"]
    top = symbol["top"]
    assert (top["bid_price"], top["ask_price"], top["exact"]) == (3_201_400, 3_203_000, 1)
    assert symbol["exact_top_changes"] == symbol["top_changes"] > 2_000


def test_a_slice_from_within_a_session_is_never_exact(call, shared_data, tmp_path):
    data = (shared_data / "aapl_20200130_locate13_10k.itch").read_bytes()
    at = 0
    for _ in range(2_000):
        at += 2 + int.from_bytes(data[at : at + 2], "big")
    (tmp_path / "slice").write_bytes(data[at:])
    code, output, _ = call(
        "replay", tmp_path / "slice", "--check", "--tops", tmp_path / "tops", "--json", "-"
    )
    assert code == 0
    result = json.loads(output)
    (symbol,) = result["symbols"]
    assert symbol["unknown_references"] > 0 and not symbol["whole"]
    assert result["counters"]["book_unknown_reference"] == symbol["unknown_references"]
    rows = rows_of(tmp_path / "tops")
    assert len(rows) > 1_000 and not any(int(row["exact"]) for row in rows)


def test_real_captures_are_replayed_without_a_difference(call, shared_data, tmp_path):
    for file in sorted((shared_data / "pcap" / "itch50").glob("*.pcap")):
        code, output, _ = call("replay", file, "--check", "--json", "-")
        assert code == 0, output
        result = json.loads(output)
        assert (result["differences"], result["malformed"]) == (0, 0)
        assert result["counters"]["feed_messages"] == result["messages"] > 0


def test_faults_in_a_capture_are_counted_and_no_top_after_them_is_exact(
    call, tmp_path, market_file, generator
):
    (batch,) = ItchFile(market_file).batches()
    packed = Packer(address=0xE936_0C6F, port=26477).frames(batch)
    starts, lengths = packed.starts.tolist(), packed.lengths.tolist()
    frames = [
        packed.octets[at : at + size].tobytes() for at, size in zip(starts, lengths, strict=True)
    ]
    first_fault = len(frames) // 2
    faults = sorted(generator.sample(range(first_fault, len(frames)), 24))
    for fault, at in enumerate(reversed(faults)):
        frame = frames[at]
        match fault % 4:
            case 0:
                frames[at] = frame[:-1] + bytes([frame[-1] ^ 0xFF])
            case 1:
                del frames[at]
            case 2:
                frames[at] = frame[:30]
            case 3:
                frames.insert(at, frame)
    write_capture(tmp_path / "capture", list(enumerate(frames)))
    code, output, errors = call(
        "replay", tmp_path / "capture", "--check", "--json", "-", "--tops", tmp_path / "tops"
    )
    assert code == 0, output + errors
    result = json.loads(output)
    assert result["differences"] == 0
    dropped = result["dropped"]
    # What is left of a frame that was cut has no FCS of its own.
    assert dropped["eth_fcs_errors"] == 12
    assert dropped["feed_duplicate_datagrams"] >= 6
    rows = rows_of(tmp_path / "tops")
    exact = [int(row["message"]) for row in rows if row["exact"] == "1"]
    bound = int(packed.frame.searchsorted(faults[-1])) + 1
    assert max(exact) < bound and min(exact) < 1_000


CONFIG = """\
[feed]
address = "239.1.2.3"
port = 4000
[session]
source_mac = "02:00:00:00:00:0a"
destination_mac = "02:00:00:00:00:0b"
source_ip = "192.0.2.1"
destination_ip = "192.0.2.2"
source_port = 5000
destination_port = 6000
user_ref_num_start = 700
[host]
heartbeat_off = true

[account]
max_gross_usd = 1000000000
max_net_usd = 1000000000
max_open_orders = 65535
max_day_orders = 1000000
max_day_shares = 1000000000
max_day_notional_usd = 10000000000
max_loss_usd = 10000000000
session_interval_ns = 1
session_burst_ns = 1000000
max_executions = 1000000
move_window_us = 1000000
fill_window_us = 1000
[[symbols]]
name = "BRVO"
stock_locate = 407
window_base_usd = 150.00
[symbols.strategy]
enabled = true
threshold_fraction = 0.6
max_spread_usd = 0.5
quantity_shares = 7
[symbols.limits]
max_long_shares = 70
max_short_shares = 70
max_order_quantity_shares = 7
max_order_notional_usd = 9999
collar_bps = 500
collar_absolute_usd = 9
reference_max_age_us = 20
max_book_spread_usd = 5
order_tick_usd = 0.01
lot_size_shares = 1
allow_buy = true
allow_sell = true
allow_time_in_force = ["immediate_or_cancel"]
short_locates_shares = 70
feed_max_age_us = 60000000
symbol_max_age_us = 60000000
band_exempt = true
order_interval_ns = 1
order_burst_ns = 1000000
max_open_orders = 65535
max_duplicates = 4
duplicate_window_ns = 1
max_move_usd = 400000
allow_self_trade = true
[[symbols]]
name = "ALFA"
stock_locate = 13
window_base_usd = 300.00
"""


def test_a_configuration_of_the_host_is_used(call, tmp_path, market_file):
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    code, output, errors = call("replay", market_file, "--check", "--config", config, "--json", "-")
    assert code == 0, output + errors
    result = json.loads(output)
    assert result["differences"] == 0
    assert [symbol["name"] for symbol in result["symbols"]] == ["BRVO", "ALFA"]
    assert result["order_list"][0]["user_ref_num"] == 700
    assert {order["quantity"] for order in result["order_list"]} == {7}
    assert result["orders"] <= 20
    # Few trades are as fresh as 20 us of the card's time.
    assert result["refusals_by_gate"]["5"] and result["refusals_by_gate"]["11"]
    config.write_text(config.read_text().replace("= 407", "= 408"))
    code, _, errors = call("replay", market_file, "--config", config)
    assert code == 2
    assert "BRVO has stock_locate 408, in the input it has 407" in errors


LINE_B = """[feed]
address_b = "239.1.2.4"
port_b = 4001
line_timeout_us = 100
"""


@pytest.mark.parametrize("arguments", [["--width", "1"], ["--line-rate"]])
@pytest.mark.parametrize(
    "feed", [LINE_B, LINE_B + "await_fcs = true\n"], ids=["line B", "await_fcs"]
)
def test_a_second_line_and_frames_that_wait_for_their_fcs_are_checked_too(
    call, tmp_path, market_file, feed, arguments
):
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.replace("[feed]\n", feed))
    code, output, errors = call(
        "replay", market_file, "--check", "--config", config, "--json", "-", *arguments
    )
    assert code == 0, output + errors
    result = json.loads(output)
    assert result["differences"] == 0 and result["compared"]["tops"] > 100 < result["refusals"]
    assert result["orders"] == result["compared"]["frames"] > 0
    counters = result["counters"]
    assert counters["feed_won_a"] > counters["feed_won_b"] == 0
    assert counters["feed_lost_b"] == 0


def test_what_await_fcs_leaves_out_of_a_capture_is_counted_and_checked(call, tmp_path, market_file):
    (batch,) = ItchFile(market_file).batches()
    frames = Packer(address=0xE936_0C6F, port=26477, pack=5).frames(batch)
    last = len(frames.lengths) - 1
    octets = [
        frames.octets[at : at + size].tobytes()
        for at, size in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True)
    ]
    with_messages = [messages_of(frames, number) for number in range(last + 1)]
    sequence = 1 + sum(map(len, with_messages[: last - 100]))
    jumbo = datagram(
        [each for part in with_messages[last - 100 : last - 80] for each in part],
        session=SESSION,
        sequence=sequence,
    )
    octets[last - 50] = octets[last - 50][:-1] + bytes([octets[last - 50][-1] ^ 1])
    octets[last - 40] = seal(octets[last - 40][:-30])
    octets[last - 100 : last - 80] = [seal(assemble(jumbo))]
    write_capture(tmp_path / "capture", list(enumerate(octets)))
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.replace("[feed]\n", "[feed]\nawait_fcs = true\n"))
    code, output, errors = call(
        "replay", tmp_path / "capture", "--check", "--config", config, "--json", "-"
    )
    assert code == 0, output + errors
    counters = json.loads(output)["counters"]
    assert (counters["eth_dropped"], counters["eth_overlong"]) == (2, 1)
    assert counters["feed_gaps"] == 3 and counters["feed_missed_messages"] == 22 * 5


REREQUEST = """
[rerequest]
address = "198.51.100.30"
mac = "02:00:00:00:00:30"
port = 18001
source_port = 40002
wait_us = 5000
interval_us = 4
tries = 3
"""


@pytest.mark.parametrize("width", [1, 8])
def test_what_a_capture_lacks_is_asked_for_and_no_order_leaves_meanwhile(
    call, tmp_path, market_file, width
):
    (batch,) = ItchFile(market_file).batches()
    frames = Packer(address=0xE936_0C6F, port=26477, pack=3).frames(batch)
    octets = [
        frames.octets[at : at + size].tobytes()
        for at, size in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True)
    ]
    # One that is ahead is left out, and has to come again; the last loss is never made good.
    swapped = range(300, len(octets) - 200, 4)
    for at in reversed(swapped):
        octets[at : at + 2] = [octets[at + 1], octets[at], octets[at + 1]]
    lost = len(octets) - 190
    missed = len(messages_of(frames, len(frames.lengths) - 190))
    del octets[lost]
    write_capture(tmp_path / "capture", list(enumerate(octets)))
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.replace("[[symbols]]", REREQUEST + "\n[[symbols]]", 1))
    arguments = ("--check", "--config", config, "--json", "-", "--width", str(width))
    code, output, errors = call("replay", tmp_path / "capture", *arguments)
    assert code == 0, output + errors
    result = json.loads(output)
    counters = result["counters"]
    assert result["differences"] == 0 and result["refusals_by_gate"]["13"] > 0
    assert counters["feed_recovered"] == len(swapped)
    assert counters["feed_recoveries"] == len(swapped) + 1
    assert counters["feed_recoveries_given_up"] == 1
    assert counters["net_requests"] > len(swapped) and counters["feed_missed_messages"] >= missed


def test_a_capture_is_not_played_with_a_second_line(call, tmp_path):
    capture, config = tmp_path / "feed.pcap", tmp_path / "config.toml"
    payload = datagram([b"S" + bytes(11)], session="SESSION", sequence=1)
    write_capture(capture, [(0, seal(assemble(payload)))])
    config.write_text(CONFIG.replace("[feed]\n", LINE_B))
    code, _, errors = call("replay", capture, "--check", "--config", config)
    assert code == 2
    assert "of a capture one line is played; remove feed.address_b and port_b" in errors


def test_some_symbols_are_followed_on_request(call, market_file):
    code, output, _ = call(
        "replay", market_file, "--check", "--symbols", "hotl,ALFA", "--json", "-"
    )
    assert code == 0
    result = json.loads(output)
    assert [symbol["name"] for symbol in result["symbols"]] == ["HOTL", "ALFA"]
    assert result["tracked_messages"] < MESSAGES


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["missing"], "cannot be read: No such file or directory"),
        (["{empty}"], "is empty"),
        (["{garbage}"], "neither a capture nor ITCH 5.0"),
        (["{cut}"], "cut off inside message 5998"),
        (["{market}", "--symbols", "ALFFA"], "no symbol 'ALFFA'; near: ALFA"),
        (["{market}", "--symbols", "A,B,C", "--capacity", "2"], "room for 2"),
        (["{market}", "--width", "3"], "--width must be one of 1, 2, 4, 8, not 3"),
        (["{market}", "--ticks", "1000"], "--ticks must be a power of two from 16 to 4096"),
        (["{market}", "--orders", "8"], "--orders must be a power of two from 32"),
        (["{market}", "--config", "missing"], "cannot be read"),
        (["{market}", "--json", "missing/json"], "cannot be written"),
        (["{market}", "--tops", "missing/tops"], "cannot be written"),
        (["{market}", "--pcap", "missing/pcap"], "cannot be written"),
        (["{market}", "--picture", "missing/picture.png"], "cannot be written"),
        (["{market}", "--gap", "-1"], "gap"),
        (["{market}", "--pack", "0"], "pack"),
    ],
)
def test_a_mistake_is_told_in_a_line_with_exit_code_2(
    call, tmp_path, market_file, arguments, complaint
):
    data = market_file.read_bytes()
    files = {"empty": b"", "garbage": b"garbage\n" * 9, "cut": data[:-60]}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    names = {name: tmp_path / name for name in files} | {"market": market_file}
    code, output, errors = call("replay", *(each.format(**names) for each in arguments))
    assert code == 2
    assert complaint in errors
    assert "Traceback" not in errors and not output
    assert sum(line.startswith("tickgate: ") for line in errors.splitlines()) == 1


def test_a_difference_ends_the_replay_with_both_sides_and_exit_code_1(
    call, market_file, monkeypatch
):
    monkeypatch.setattr("tickgate.sim.check.TOLD", 4)
    code, output, _ = call("replay", market_file, "--check")
    assert code == 1
    assert "First difference: verdict, at message" in output
    assert "FAILED" in output
    code, output, _ = call("replay", market_file, "--check", "--json", "-")
    assert code == 1
    result = json.loads(output)
    assert result["differences"] == 1
    assert result["difference"]["card"]["cycle"] == result["difference"]["model"]["cycle"] - 1


def test_the_demo_writes_its_files_and_finds_no_difference(call, tmp_path):
    code, output, errors = call("demo", "--messages", 5_000, "--seed", 9, "--output", tmp_path)
    assert code == 0, output + errors
    assert "0 differences" in output
    names = {"market.itch", "orders.pcap", "picture.png", "summary.json", "tops.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_bench_latency_is_one_constant_unloaded_and_at_line_rate(call):
    code, output, errors = call("bench", "latency", "--messages", 4_000, "--json", "-")
    assert code == 0, output + errors
    result = json.loads(output)
    to_top = TickToTrade.LATENCY - TickToTrade.DECIDE
    for what, expected in (("t0_to_top", to_top), ("t0_to_order", TickToTrade.LATENCY)):
        for name in ("improve", "resize", "empty"):
            unloaded, loaded = (
                each["latency"][what][name] for each in (result, result["line_rate"])
            )
            assert unloaded["count"] > 0
            for numbers in (unloaded, loaded) if loaded["count"] else (unloaded,):
                assert {numbers[key] for key in ("min", "p50", "p99", "max")} == {expected}
    assert result["line_rate"]["dropped"] == result["dropped"]


def test_a_served_card_trades_a_looped_feed_until_it_is_interrupted(tmp_path, market_file):
    link = tmp_path / "card"
    command = [
        sys.executable, "-c", "from tickgate.host.cli import main; main()",
        "sim", "--link", link, "--feed", market_file, "--loop",
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == f"serial port: {link}\n"
        assert "configured and disarmed: ALFA" in server.stdout.readline()
        with Driver.open(str(link), timeout=20) as driver:
            assert not driver.status().armed
            driver.arm()
            before = driver.counters()
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                counters = driver.counters()
                rounds = counters["feed_messages"] // MESSAGES
                if rounds > 1 and counters["orders_approved"] > before["orders_approved"]:
                    break
            assert rounds > 1
            assert counters["orders_approved"] > before["orders_approved"]
            # Empty books at the end of each round: the next one finds nothing twice.
            assert counters["book_duplicate_reference"] == 0
            assert counters["feed_gaps"] == 0
    finally:
        os.kill(server.pid, signal.SIGINT)
        assert server.wait(timeout=60) == 0
        server.stdout.close()
    assert not link.is_symlink()
