"""Faults on the wire: whatever comes, the card counts it once and answers the next good frame."""

from functools import partial

import pytest

from tickgate.hdl.core import TickToTrade
from tickgate.sim.faults import KINDS, Bench, Fault, assemble, datagram, run
from tickgate.sim.model.feed import FeedModel
from tickgate.sim.reception import CAUSES, seal
from tickgate.spec import ethernet, moldudp64

WIDTHS = (1, 8)
CAMPAIGN = {1: 4_000, 8: 96_000}
"""Mutated frames by width: 100 thousand in all; those of width 4 are `make campaign`'s."""

VLAN = (ethernet.ETHERTYPE_VLAN,)
OF_TWO_LINES = {
    *("held_datagrams", "other_sessions", "waits_expired"),
    *("won_b", "filled_a", "filled_b", "lost_a", "lost_b"),
}
"""Feed counters that stay zero on one line."""
OF_REPLIES = {"recoveries", "recovered", "recoveries_given_up", "replies_used"}
"""Feed counters that stay zero where nothing is requested again."""
HEADERS = (
    ethernet.ETHERNET.size + ethernet.IPV4.size + ethernet.UDP.size + moldudp64.HEADER.size + 2
)
"""Octets up to the length of the first message."""


@pytest.fixture(scope="module", params=WIDTHS)
def bench(request):
    with Bench(width=request.param, seed=request.config.getoption("seed")) as bench:
        yield bench
        bench.compare_counters()


def two_messages(bench, *, tags=()) -> bytes:
    """A good frame, without FCS, of two messages and always of the same length."""
    blocks = bench.sender.passing()
    while blocks[0][:1] != b"A":
        blocks = bench.sender.passing()
    payload = datagram(blocks, session=bench.sender.session, sequence=bench.sender.due)
    return assemble(payload, tags=tags)


def play_one(bench, make) -> None:
    """Plays one fault while every book is exact."""
    bench.play([make], back_to_back=True)
    if bench.lost:
        bench.declare_whole()


@pytest.mark.parametrize("width", sorted(CAMPAIGN))
def test_a_campaign_of_mutated_frames_finds_no_fault_of_the_card(seed, width):
    assert sum(CAMPAIGN.values()) >= 100_000
    tally = run(seed=seed, frames=CAMPAIGN[width], width=width)
    assert tally.faults >= CAMPAIGN[width] and tally.good > tally.faults
    assert set(tally.kinds) == set(KINDS) and min(tally.kinds.values()) > 20
    assert set(tally.causes) == {None, *CAUSES}
    assert {name for name in FeedModel.COUNTERS if not tally.feed[name]} == (
        OF_TWO_LINES | OF_REPLIES
    )
    assert tally.exact_tops > tally.tops / 4
    assert TickToTrade.LATENCY in tally.latency


@pytest.mark.parametrize("tags", [(), VLAN], ids=["plain", "tagged"])
@pytest.mark.parametrize("kind", ["cut", "cut_and_sealed"])
def test_a_frame_that_ends_at_any_octet_leaves_the_next_one_whole(bench, kind, tags):
    size = len(two_messages(bench, tags=tags))
    sizes = range(1, size + ethernet.FCS_SIZE) if kind == "cut" else range(size)
    for end in sizes:

        def make(end=end):
            frame = two_messages(bench, tags=tags)
            return Fault(kind, seal(frame)[:end] if kind == "cut" else seal(frame[:end]))

        play_one(bench, make)
    bench.compare_counters()


@pytest.mark.parametrize("tags", [(), VLAN], ids=["plain", "tagged"])
@pytest.mark.parametrize("kind", ["flipped", "flipped_header"])
def test_any_wrong_bit_of_the_headers_leaves_the_next_frame_whole(bench, kind, tags):
    def make(at, bit):
        frame = two_messages(bench, tags=tags)
        sealed = bytearray(seal(frame))
        sealed[at] ^= 1 << bit
        octets = bytes(sealed)
        return Fault(kind, octets if kind == "flipped" else seal(octets[: -ethernet.FCS_SIZE]))

    for at in range(HEADERS + len(tags) * ethernet.VLAN_TAG.size):
        for bit in range(8):
            play_one(bench, partial(make, at, bit))
    bench.compare_counters()


def test_a_huge_sequence_number_is_a_gap_and_restart_feed_makes_the_feed_hear_again(bench):
    sender = bench.sender
    bench.restart_feed()
    bench.play([bench.calm])
    due = sender.due

    def make():
        payload = datagram(sender.blocks(), session=sender.session, sequence=1 << 48)
        return Fault("ahead", seal(assemble(payload)))

    def deaf():
        payload = datagram(sender.blocks(), session=sender.session, sequence=due)
        return Fault("had", seal(assemble(payload)))

    play_one(bench, make)
    assert bench.lost
    assert sender.due >> 48 and bench.driver.status().expected_sequence == sender.due
    before = bench.driver.counters()
    bench.play([deaf])
    after = bench.driver.counters()
    assert after["feed_duplicate_datagrams"] == before["feed_duplicate_datagrams"] + 1
    bench.restart_feed()
    exact = bench.tally.exact_tops
    bench.play([bench.calm] * 8)
    assert bench.driver.status().expected_sequence == sender.due < 1 << 32
    assert bench.tally.exact_tops > exact
