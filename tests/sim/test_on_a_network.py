"""The virtual card as a station of the kernel's network: the kernel's own stack is the peer."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tickgate.host.cli import main
from tickgate.sim import market
from tickgate.sim.virtual import (
    Impairments,
    NamespaceError,
    Tap,
    TapError,
    Wire,
    in_own_network,
)

PEER = Path(__file__).with_name("kernel_peer.py")
MESSAGES = 2_000
LOSSY = {"drop": 0.05, "duplicate": 0.05, "reorder": 0.05, "corrupt": 0.05}


@pytest.fixture(scope="module")
def play(tmp_path_factory, request):
    file = tmp_path_factory.mktemp("market") / "market.itch"
    seed = request.config.getoption("seed")
    file.write_bytes(market.generate(seed=seed, messages=MESSAGES).data)

    def run(impairments):
        command = [sys.executable, str(PEER), str(file), json.dumps(impairments)]
        try:
            peer = in_own_network(command, stdout=subprocess.PIPE, text=True)
        except NamespaceError as error:
            pytest.skip(str(error))
        with peer:
            out, _ = peer.communicate(timeout=240)
        assert peer.returncode == 0
        return json.loads(out)

    return run


def test_the_kernel_finds_the_card_pings_it_and_feeds_it(play):
    told = play({})
    counters = told["counters"]
    assert told["answered"] == list(range(20)) and counters["net_echo_replies"] == 20
    assert counters["net_arp_replies"] > 0 < counters["net_reports"]
    assert told["tops_equal"] and told["expected_tops"] > 100
    assert told["tx_faults"] == 0 == told["network"]["bad_fcs"] == told["network"]["refused"]


def test_what_a_bad_wire_does_is_seen_and_never_a_wrong_top(play):
    told = play(LOSSY)
    counters, inward, outward = told["counters"], told["inward"], told["outward"]
    assert told["answered"] == list(range(20))
    assert min(inward[name] for name in ("dropped", "duplicated", "reordered", "corrupted")) > 0
    assert counters["eth_fcs_errors"] == inward["corrupted"]
    assert told["network"]["bad_fcs"] == outward["corrupted"]
    assert counters["feed_gaps"] > 0 < told["tops"] and told["exact_and_wrong"] == 0


def test_a_wire_does_what_its_seed_says_and_counts_it():
    frames = [bytes([n]) * 64 for n in range(200)]
    fates = Impairments(drop=0.2, duplicate=0.2, reorder=0.2, corrupt=0.2, delay=1.0, hold=2.0)
    took = []
    for _ in range(2):
        wire = Wire(fates, seed=5)
        for n, frame in enumerate(frames):
            wire.put(frame, n / 100)
        assert wire.take(0.99) == []
        took.append(wire.take(10.0))
        assert not wire.under_way
        counts = wire.counts
    assert took[0] == took[1]
    assert counts.passed == 200 and len(took[0]) == 200 - counts.dropped + counts.duplicated
    assert sum(frame not in frames for frame in took[0]) == counts.corrupted > 10
    numbers = [frame[1] for frame in took[0] if frame in frames]
    late = sum(second < first for first, second in itertools.pairwise(numbers))
    assert 0 < late <= counts.reordered and Wire(fates, seed=6).take(0) == []


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [({"drop": 1.1}, "drop must be between 0 and 1"), ({"delay": -1.0}, "delay must be 0 or more")],
)
def test_an_impossible_wire_is_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        Impairments(**wrong)


def test_a_device_that_cannot_be_made_is_explained():
    with pytest.raises(TapError, match="1 to 15 octets"):
        Tap("a-name-that-is-too-long")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--drop", "0.1"], "need --tap"),
        (["--address", "192.0.2.1/24"], "need --tap"),
        (["--tap", "a-name-that-is-too-long"], "1 to 15 octets"),
        (["--tap", "t", "--address", "192.0.2.1/77"], "192.0.2.1/77"),
        (["--tap", "t", "--address", "here"], "here"),
    ],
)
def test_a_wrong_option_of_the_network_is_said_in_a_line(options, complaint, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["sim", *options])
    assert ended.value.code == 2 and complaint in capsys.readouterr().err
