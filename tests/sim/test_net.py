"""What the card owes its network, through the whole card: beside a feed and orders, and alone."""

import numpy as np
import pytest
from scapy.layers.igmp import IGMP
from scapy.layers.inet import ICMP, IP, IPOption_Router_Alert
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from tickgate.host.config import Config
from tickgate.host.driver import Driver
from tickgate.sim import market
from tickgate.sim.check import Checker
from tickgate.sim.frames import Frames, arrange
from tickgate.sim.messages import Messages
from tickgate.sim.model.net import LONGEST, Station, leave, report
from tickgate.sim.reception import seal
from tickgate.sim.replay import DRAIN, TX_GAP, Options, plan, unloaded_gap
from tickgate.sim.trace import Trace
from tickgate.sim.virtual import CLOCK_PERIOD_PS, Card
from tickgate.spec import ethernet

MESSAGES = 2_000
PEER, PEER_MAC = "192.0.2.77", "02:00:00:00:00:77"
REPLIES = {"arp_requests": "arp_replies", "echo_requests": "echo_replies"}


@pytest.fixture(scope="module")
def planned(tmp_path_factory, request):
    file = tmp_path_factory.mktemp("market") / "market.itch"
    seed = request.config.getoption("seed")
    file.write_bytes(market.generate(seed=seed, messages=MESSAGES).data)
    return plan(file, Options())


@pytest.fixture(scope="module")
def session(planned):
    return planned.config.session


@pytest.fixture(params=[1, 8])
def card(request):
    with Card(width=request.param, tx_gap=TX_GAP, uart_divisor=0, quiet=True) as card:
        yield card


def configured(planned, **sections):
    values = planned.config.model_dump()
    return Config.from_dict({**values, **sections})


def prepare(card, config):
    driver = Driver(card.serial)
    driver.apply(config)
    driver.begin_day()
    card.run(DRAIN)
    return driver


def station(session):
    mac, ip = ethernet.parse_mac(session.source_mac), int(session.source_ip)
    return Station(mac=mac, ip=ip), mac, ip


def arp(session, **fields):
    values = {"op": 1, "hwsrc": PEER_MAC, "psrc": PEER, "pdst": str(session.source_ip)}
    return Ether(src=PEER_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(**{**values, **fields})


def ping(session, size=56, *, ip=None, mac=None, **fields):
    packet = IP(**{"src": PEER, "dst": str(session.source_ip), **(ip or {})})
    message = ICMP(**{"type": 8, "id": 0x1234, "seq": 5, **fields})
    frame = Ether(src=PEER_MAC, dst=mac or session.source_mac)
    return frame / packet / message / Raw(bytes(n * 7 & 255 for n in range(size)))


def query(group="0.0.0.0", more=b"", **fields):
    packet = IP(src=PEER, dst="224.0.0.1", ttl=1, proto=2)
    message = IGMP(type=0x11, mrcode=1, gaddr=group, **fields)
    return Ether(src=PEER_MAC, dst="01:00:5e:00:00:01") / packet / message / Raw(more)


def frames_of_every_kind(session, generator):
    bad_operation = bytearray(bytes(arp(session)))
    bad_operation[20:22] = b"\0\7"
    yield from (arp(session), arp(session, op=2), arp(session, pdst="192.0.2.11"))
    yield from (arp(session, psrc="0.0.0.0"), bad_operation, bytes(arp(session))[:41])
    for fields in ({"hwtype": 6}, {"ptype": 0x86DD}, {"hwlen": 8}, {"plen": 16}):
        yield arp(session, **fields)
    yield arp(session, hwsrc="03:00:00:00:00:01")
    yield from (ping(session, size) for size in range(0, LONGEST - 40, 5))
    yield from (ping(session, 600), ping(session, LONGEST - 46), ping(session, LONGEST - 45))
    yield from (ping(session, **{name: 1}) for name in ("type", "code", "chksum"))
    yield from (ping(session, type=0), ping(session, mac=PEER_MAC))
    headers = (
        *({"dst": "192.0.2.11"}, {"flags": "MF"}, {"frag": 3}, {"chksum": 7}, {"version": 5}),
        *({"len": 27}, {"len": 400}, {"ihl": 4}, {"options": [IPOption_Router_Alert()]}),
        *({"src": "233.1.1.1"}, {"src": "0.0.0.0"}),
    )
    yield from (ping(session, ip=header) for header in headers)
    yield from (query(), query("233.54.12.111"), query(more=bytes(8)), query(chksum=5))
    yield Ether(dst=session.source_mac) / Dot1Q(vlan=5) / IP(dst=str(session.source_ip)) / ICMP()
    whole = (arp(session), ping(session, 8), ping(session, 61), query("233.54.12.111"))
    for _ in range(400):
        octets = bytearray(bytes(generator.choice(whole)))
        for _ in range(generator.choice([1, 1, 2])):
            octets[generator.randrange(len(octets))] ^= 1 << generator.randrange(8)
        yield octets


def counters_of(driver):
    return {
        name.removeprefix("net_"): count
        for name, count in driver.counters().items()
        if name.startswith("net_")
    }


def test_each_frame_is_answered_or_counted_as_the_model_does(card, planned, session, generator):
    driver = prepare(card, configured(planned, network={"arp": True, "icmp_echo": True}))
    model, _, _ = station(session)
    card.take()
    frames = [seal(bytes(f).ljust(60, b"\0")) for f in frames_of_every_kind(session, generator)]
    # With IGMP off its frames are none of these.
    answers = [
        answer._replace(counter=None) if (answer.counter or "").startswith("igmp") else answer
        for answer in map(model.answer, frames)
    ]
    lengths = np.array([len(frame) for frame in frames])
    # Longer than the answer to the frame before takes.
    gaps = 150 + 5 * np.minimum(np.append(0, lengths[:-1]), LONGEST)
    card.send(b"".join(frames), lengths, gap=gaps, drain=DRAIN)
    sent = [frame.octets for frame in card.take().tx_frames]
    expected = [seal(answer.reply) for answer in answers if answer.reply is not None]
    assert len(expected) > 100 and sent == expected
    counters = counters_of(driver)
    told = [answer.counter for answer in answers]
    told += [REPLIES.get(name) for name in told]
    for name in counters:
        if name not in ("frames", "busy_cycles", "too_long"):
            assert counters[name] == told.count(name), name
    assert counters["frames"] == len(expected) and counters["busy_cycles"] > 9 * len(expected)
    assert counters["arp_malformed"] > 10 < counters["icmp_malformed"] and card.tx_faults == 0


def test_groups_are_joined_by_the_configuration_and_left_by_another(card, planned, session):
    config = configured(planned, network={"igmp": True})
    driver = prepare(card, config)
    _, mac, ip = station(session)
    group = int(config.feed.address)
    assert driver.registers.read_fields("feed_state")["joined_a"] == 1
    feed = {**planned.config.feed.model_dump(), "enabled": False}
    driver.apply(configured(planned, network={"igmp": True}, feed=feed))
    card.run(DRAIN)
    sent = [frame.octets for frame in card.take().tx_frames]
    assert sent == [seal(report(mac, ip, group)), seal(leave(mac, ip, group))]
    assert driver.registers.read_fields("feed_state")["joined_a"] == 0
    counters = counters_of(driver)
    assert counters["reports"] == counters["leaves"] == 1


def requests(session, count) -> Frames:
    """So many ARP requests, as frames of which the feed takes nothing."""
    frame = seal(bytes(arp(session)).ljust(60, b"\0"))
    none, octets = np.empty(0, np.int64), np.frombuffer(frame * count, np.uint8)
    return Frames(
        octets=octets,
        lengths=np.full(count, len(frame)),
        payload_at=np.full(count, 42),
        payload_size=np.full(count, -1),
        messages=Messages(octets=octets, begin=none, size=none),
        frame=none,
        sequence=none.astype(np.uint64),
        due=none.astype(bool),
        causes=["not_ip"] * count,
        line=np.zeros(count, np.uint8),
        first_index=1,
    )


def test_a_service_never_delays_an_order_and_one_that_it_costs_is_refused(
    card, planned, session, generator
):
    symbols = planned.config.model_dump()["symbols"]
    for symbol in symbols:
        symbol["strategy"]["min_interval_ns"] = 0
    config = configured(planned, network={"arp": True}, symbols=symbols)
    driver = prepare(card, config)
    symbols = [symbol.index for symbol in planned.tracked]
    card.take()
    for symbol in symbols:
        driver.set_whole(symbol)
    card.run(DRAIN)
    tops = card.take().tops
    driver.arm(config)
    card.take()
    checker = Checker(
        config=config,
        ticks=driver.identity.ticks,
        time_ns=lambda cycle: (cycle - Card.RESET_CYCLES) * CLOCK_PERIOD_PS[card.width] // 1000,
        store_overflowed=lambda: False,
    )
    assert checker.set_whole(symbols, tops) is None
    feed = config.feed
    (market_frames,) = planned.source.frames((int(feed.address), feed.port))
    count = len(market_frames.lengths)
    asked = requests(session, count)
    order = [at for number in range(count) for at in (number, count + number)]
    frames = arrange([market_frames, asked], np.array(order))
    gaps = [generator.choice([0, 30, 200, unloaded_gap(card.width)]) for _ in range(len(order))]
    card.send(frames.octets, frames.lengths, gap=np.array(gaps, np.uint32), drain=DRAIN)
    trace = Trace(frames=frames, log=card.take(), width=card.width, tx_gap=TX_GAP)
    assert checker.compare(trace) is None
    counters = driver.counters()
    assert checker.compare_counters(counters) is None
    assert checker.frames == counters["orders_approved"] == len(trace.orders) > 10
    assert len(trace.services) == counters["net_frames"] == counters["net_arp_requests"] > 100
    assert counters["net_arp_requests"] + counters["net_overruns"] == count
    assert counters["refused_busy"] > 0 == card.tx_faults
