# amaranth: UnusedElaboratable=no

"""The card's end of the order session: at random against the model, and by the standards."""

import json
import random
import subprocess
import sys

import pytest

from tickgate.hdl.order.session import OrderSession
from tickgate.hdl.order.tcp.types import Outcome, State
from tickgate.sim.endpoint import Endpoint
from tickgate.sim.endpoint.endpoint import build
from tickgate.sim.endpoint.sessions import ENDS, RandomSession, endpoint_ends
from tickgate.sim.endpoint.top import SETTINGS
from tickgate.sim.model.segments import Segment, pack_frame, unpack_frame
from tickgate.sim.packets import HEARTBEAT, Packets
from tickgate.sim.virtual import NamespaceError, in_own_network
from tickgate.spec import ouch50, soupbintcp
from tickgate.spec.ethernet import TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN

WIDTH = 8
"""`make sessions` plays at the other one too."""
EVENTS = 5_000
LOSSY = {"drop": 0.05, "duplicate": 0.02, "reorder": 0.05, "corrupt": 0.02}
MODULUS = 1 << 32
ISN, PEER_ISN = 0xFFFFFFF0, 0xFFFFFFFA
WINDOW = 8000
TIMING = {
    "timing_rto_initial": 4,
    "timing_rto_min": 2,
    "timing_rto_max": 64,
    "timing_retries": 3,
    "timing_linger": 3,
    "heartbeat": 0,
    "silence": 0,
}


@pytest.fixture
def endpoint():
    with Endpoint(width=WIDTH) as built:
        endpoint_ends(built)
        built.configure(isn=ISN, **TIMING)
        yield built


class Venue:
    """A peer that does what it is told; it keeps the two ends of the sequence space."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.sequence, self.acknowledgement, self.window = PEER_ISN, 0, WINDOW

    def send(self, payload: bytes = b"", flags: int = TCP_ACK, **changes) -> list[Segment]:
        """Sends a segment; returns what comes back."""
        values = {
            "sequence": self.sequence,
            "acknowledgement": self.acknowledgement,
            "window": self.window,
            **changes,
        }
        segment = Segment(flags=flags, payload=payload, **values)
        self._endpoint.receive([pack_frame(segment, ENDS.reversed())])
        if "sequence" not in changes:
            self.sequence = (self.sequence + segment.length) % MODULUS
        return self.hear()

    def hear(self) -> list[Segment]:
        """What the card has sent; it is taken as received if it is what comes next."""
        segments = [unpack_frame(sent.octets) for sent in self._endpoint.take()[0]]
        for segment in segments:
            if segment.flags & TCP_SYN:
                self.acknowledgement = segment.sequence
            if segment.sequence == self.acknowledgement:
                self.acknowledgement = (segment.sequence + segment.length) % MODULUS
        return segments

    def open(self, login: bool = True) -> None:
        """Accepts a connection and, as the venue does, a login."""
        self._endpoint.command("connect")
        (syn,) = self.hear()
        assert syn.flags == TCP_SYN and syn.mss == SETTINGS["mss"]
        (ack,) = self.send(flags=TCP_SYN | TCP_ACK, options=b"\x02\x04\x05\xb4")
        assert (ack.flags, ack.acknowledgement) == (TCP_ACK, self.sequence)
        if login:
            self.send(Packets(random.Random(1)).login(1), flags=TCP_ACK | TCP_PSH)
            assert self._endpoint.status("may_order")


@pytest.fixture
def venue(endpoint):
    return Venue(endpoint)


def test_random_sessions_are_what_the_model_makes_of_them(generator):
    with Endpoint(width=WIDTH) as built:
        session = RandomSession(built, generator)
        session.run(EVENTS)
        assert session.reports > 100
        # Each kind of trouble was met, but for those that so few events need not bring.
        unmet = {name for name, count in built.counters.items() if not count}
        assert unmet <= {"unread", "ip_length", "ip_fragment", "overlong", "tcp_offset"}


def test_a_connection_opens_sends_orders_and_closes_and_its_numbers_wrap(endpoint, venue):
    venue.open()
    payloads = [bytes([n]) * 52 for n in range(10)]
    for payload in payloads:
        assert endpoint.order(payload)
    sent = venue.hear()
    assert [segment.payload for segment in sent] == payloads
    assert [segment.sequence for segment in sent] == [
        (ISN + 1 + 52 * n) % MODULUS for n in range(10)
    ]
    assert venue.send() == []
    endpoint.command("close")
    (fin,) = venue.hear()
    assert fin.flags == TCP_FIN | TCP_ACK and endpoint.state is State.FIN_WAIT_1
    assert venue.send() == [] and endpoint.state is State.FIN_WAIT_2
    (ack,) = venue.send(flags=TCP_FIN | TCP_ACK)
    assert ack.acknowledgement == venue.sequence and endpoint.state is State.TIME_WAIT
    for _ in range(TIMING["timing_linger"]):
        endpoint.command("tick")
    assert (endpoint.state, endpoint.outcome) == (State.CLOSED, Outcome.FINISHED)


def test_the_peer_may_close_first(endpoint, venue):
    venue.open()
    (answer,) = venue.send(flags=TCP_FIN | TCP_ACK)
    assert (answer.flags, answer.acknowledgement) == (TCP_FIN | TCP_ACK, venue.sequence)
    assert endpoint.state is State.LAST_ACK and not endpoint.order(b"too late")
    venue.send()
    assert (endpoint.state, endpoint.outcome) == (State.CLOSED, Outcome.FINISHED)


def test_an_order_leaves_in_the_cycle_in_which_it_may_with_the_acknowledgement_of_then(endpoint):
    assert OrderSession.LATENCY == 0
    venue = Venue(endpoint)
    venue.open()
    endpoint.receive(
        [pack_frame(Segment(sequence=venue.sequence, acknowledgement=venue.acknowledgement,
                            window=WINDOW, payload=HEARTBEAT), ENDS.reversed())]
    )  # fmt: skip
    venue.hear()
    before = endpoint.cycle
    assert endpoint.order(b"x" * 52)
    (sent,), _ = endpoint.take()
    assert sent.order and sent.cycle == before
    assert unpack_frame(sent.octets).acknowledgement == (venue.sequence + 3) % MODULUS


def test_a_full_window_refuses_orders_and_a_probe_finds_it_open_again(endpoint, venue):
    venue.open()
    venue.window = 60
    venue.send()
    assert endpoint.order(b"x" * 52)
    assert not endpoint.order(b"y" * 52)
    venue.hear()
    venue.window = 0
    venue.send()
    assert not endpoint.order(b"y" * 52)
    probes = []
    for _ in range(20):
        endpoint.command("tick")
        probes += venue.hear()
    assert probes and all(probe.payload == b"" for probe in probes)
    assert {probe.sequence for probe in probes} == {(venue.acknowledgement - 1) % MODULUS}
    # Each one is twice as long after the one before.
    assert len(probes) <= 4
    venue.window = WINDOW
    venue.send()
    assert endpoint.order(b"y" * 52)


def test_what_is_lost_is_sent_again_after_a_timeout_that_doubles(endpoint, venue):
    venue.open()
    assert endpoint.order(b"a" * 52) and endpoint.order(b"b" * 52)
    first = [unpack_frame(each.octets) for each in endpoint.take()[0]]
    ticks, times = 0, []
    while endpoint.state is State.ESTABLISHED:
        endpoint.command("tick")
        ticks += 1
        for each in endpoint.take()[0]:
            again = unpack_frame(each.octets)
            times.append(ticks)
            if not again.flags & TCP_RST:
                assert again.sequence == first[0].sequence
                assert again.payload == b"a" * 52 + b"b" * 52
    waits = [later - earlier for earlier, later in zip([0, *times[:-1]], times, strict=True)]
    assert waits == [waits[0] * 2**n for n in range(len(waits))]
    assert len(times) == TIMING["timing_retries"] + 1
    assert endpoint.outcome is Outcome.TIMED_OUT


def test_three_duplicate_acknowledgements_bring_back_what_is_missing_at_once(endpoint, venue):
    venue.open()
    for n in range(5):
        assert endpoint.order(bytes([n]) * 52)
    endpoint.take()
    missing = venue.acknowledgement
    answers = [venue.send(acknowledgement=missing) for _ in range(3)]
    assert answers[:2] == [[], []]
    (again,) = answers[2]
    assert again.sequence == missing and again.payload[:52] == bytes(52)


def test_resets_count_only_with_the_number_that_is_due(endpoint, venue):
    venue.open()
    challenge = venue.send(flags=TCP_RST, sequence=(venue.sequence + 5) % MODULUS)
    assert [each.flags for each in challenge] == [TCP_ACK]
    assert venue.send(flags=TCP_RST, sequence=(venue.sequence - 5) % MODULUS) == []
    assert endpoint.state is State.ESTABLISHED
    assert venue.send(flags=TCP_RST) == []
    assert (endpoint.state, endpoint.outcome) == (State.CLOSED, Outcome.RESET)
    # An old peer that goes on is told.
    (answer,) = venue.send(b"hello")
    assert answer.flags == TCP_RST and answer.sequence == venue.acknowledgement


def test_aborting_sends_a_reset_and_a_refused_connection_is_told(endpoint, venue):
    venue.open()
    endpoint.command("abort")
    (reset,) = venue.hear()
    assert reset.flags == TCP_RST | TCP_ACK and reset.sequence == venue.acknowledgement
    assert endpoint.outcome is Outcome.ABORTED
    endpoint.command("connect")
    venue.hear()
    venue.acknowledgement = (ISN + 1) % MODULUS
    assert venue.send(flags=TCP_RST | TCP_ACK) == []
    assert endpoint.outcome is Outcome.REFUSED


def test_heartbeats_are_sent_when_nothing_else_is_and_a_silent_venue_is_noticed(endpoint, venue):
    endpoint.configure(heartbeat=3, silence=7)
    venue.open()
    heartbeats = 0
    for tick in range(1, 7):
        endpoint.command("tick")
        sent = venue.hear()
        assert bool(sent) == (tick % 3 == 0), tick
        heartbeats += len(sent)
        assert all(each.payload == soupbintcp.pack("R") for each in sent)
        venue.send()
        assert not endpoint.status("silent")
    assert heartbeats == 2
    endpoint.command("tick")
    assert endpoint.status("silent")
    venue.send(HEARTBEAT)
    assert not endpoint.status("silent")


def test_no_order_comes_between_the_pieces_of_a_packet_and_all_of_it_is_sent(endpoint, venue):
    venue.open()
    packet = bytes(range(150))
    endpoint.host(packet, settle=False)
    # The first piece is under way, the last one not even here.
    endpoint.run(100)
    for n in range(3):
        assert endpoint.order(bytes([n]) * 12, patience=5000)
    sent = venue.hear()
    payloads = [each.payload for each in sent]
    assert b"".join(payloads).startswith(packet)
    assert payloads[-3:] == [bytes([n]) * 12 for n in range(3)]


def test_orders_host_and_acknowledgements_share_a_port_that_stalls(endpoint, venue):
    venue.open()
    endpoint.stall(3)
    stream, base = b"", venue.acknowledgement
    for n in range(20):
        venue.send(HEARTBEAT)
        if n % 4 == 0:
            endpoint.host(b"\0\1R", settle=False)
        assert endpoint.order(bytes([n]) * 43, patience=5000)
        for segment in venue.hear():
            if segment.payload:
                assert segment.sequence == (base + len(stream)) % MODULUS
                stream += segment.payload
    assert len(stream) == 20 * 43 + 5 * 3 and endpoint.faults == 0


@pytest.mark.parametrize("impairments", [{}, LOSSY], ids=["on a good wire", "on a bad wire"])
def test_the_kernel_s_own_tcp_hears_every_order_once_and_is_heard(impairments, seed):
    arguments = ["--orders", "60", "--width", str(WIDTH), "--seed", str(seed)]
    arguments += ["--library", str(build(WIDTH)), "--impairments", json.dumps(impairments)]
    command = [sys.executable, "-m", "tickgate.sim.endpoint.kernel", *arguments]
    try:
        peer = in_own_network(command, stdout=subprocess.PIPE, text=True)
    except NamespaceError as error:
        pytest.skip(str(error))
    with peer:
        out, _ = peer.communicate(timeout=240)
    assert peer.returncode == 0
    told = json.loads(out)
    assert told["orders_whole"] and told["reports_in_order"] and told["reports"] > 10
    assert told["outcome"] == "FINISHED" and told["faults"] == 0
    # On a busy machine the kernel may be late, and so something sent again, on a good wire, too.
    assert told["retransmissions"] > 0 or not impairments


def test_a_fill_is_reported_in_the_latency_that_the_session_promises(endpoint, venue):
    venue.open()
    promise = OrderSession(width=WIDTH, **SETTINGS).report_latency
    # A cycle is left for the position.
    assert promise <= 7
    values = {"timestamp": 1, "user_ref_num": 7, "quantity": 100, "price": 1_234_500}
    values |= {"liquidity": "R", "match_number": 99}
    packet = soupbintcp.pack("S", ouch50.encode(ouch50.OUTBOUND["E"], values))
    # Whatever of it has come in the segment before.
    for cut in range(len(packet)):
        if cut:
            venue.send(packet[:cut])
        rest = packet[cut:]
        segment = Segment(
            sequence=venue.sequence,
            acknowledgement=venue.acknowledgement,
            window=WINDOW,
            payload=rest,
        )
        venue.sequence = (venue.sequence + len(rest)) % MODULUS
        last_octet = endpoint.cycle + (54 + len(rest) - 1) // WIDTH
        endpoint.receive([pack_frame(segment, ENDS.reversed())], gap=0)
        _, (report,) = endpoint.take()
        assert (report["user_ref_num"], report["quantity"], report["price"]) == (7, 100, 1_234_500)
        assert int(report["cycle"]) - last_octet <= promise
