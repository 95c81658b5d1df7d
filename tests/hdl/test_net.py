# amaranth: UnusedElaboratable=no

"""What the card owes its network: answers against a model, and read by another packet library."""

import zlib
from collections import Counter

import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.sim import Simulator
from scapy.layers.igmp import IGMP
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from tickgate.hdl.eth import Receive
from tickgate.hdl.net import Arbiter, Services
from tickgate.hdl.net.member import Member
from tickgate.hdl.net.request import Requester
from tickgate.sim.model.net import LONGEST, Station, leave, report
from tickgate.spec import igmp, moldudp64
from tickgate.spec.ethernet import format_ipv4, format_mac, parse_ipv4, parse_mac

WIDTHS = (1, 4, 8)
MAC, IP_ADDRESS = parse_mac("02:00:00:00:00:01"), parse_ipv4("192.0.2.10")
PEER_MAC, PEER = parse_mac("02:00:00:00:00:77"), parse_ipv4("192.0.2.77")
GROUP_A, GROUP_B = parse_ipv4("233.54.12.111"), parse_ipv4("239.255.0.9")
ROUTER_ALERT = b"\x94\x04\0\0"


def sealed(octets: bytes) -> bytes:
    octets = bytes(octets).ljust(60, b"\0")
    return octets + zlib.crc32(octets).to_bytes(4, "little")


def ether(**fields):
    return Ether(src=format_mac(PEER_MAC), dst=format_mac(MAC), **fields)


def arp(**fields):
    values = {
        "op": 1,
        "hwsrc": format_mac(PEER_MAC),
        "psrc": format_ipv4(PEER),
        "pdst": format_ipv4(IP_ADDRESS),
    }
    return Ether(src=format_mac(PEER_MAC), dst="ff:ff:ff:ff:ff:ff") / ARP(**{**values, **fields})


def arp_reply(**fields):
    frame = arp(op=2, **fields)
    frame.dst = format_mac(MAC)
    return frame


def ping(size: int = 56, *, ip: dict | None = None, mac: int = MAC, **fields):
    packet = IP(**{"src": format_ipv4(PEER), "dst": format_ipv4(IP_ADDRESS), **(ip or {})})
    data = Raw(bytes(n * 7 & 255 for n in range(size)))
    values = {"type": 8, "id": 0x1234, "seq": 5, **fields}
    return Ether(src=format_mac(PEER_MAC), dst=format_mac(mac)) / packet / ICMP(**values) / data


def query(group: int = 0, response_time: int = 1, more: bytes = b"", **fields):
    destination = format_ipv4(group or igmp.ALL_SYSTEMS)
    packet = IP(src=format_ipv4(PEER), dst=destination, ttl=1, proto=2)
    message = IGMP(type=0x11, mrcode=response_time, gaddr=format_ipv4(group), **fields)
    return Ether(src=format_mac(PEER_MAC), dst="01:00:5e:00:00:01") / packet / message / Raw(more)


class Bench:
    """Receive and Services, and a port that is ready as a test says."""

    def __init__(self, width, *, arp=1, icmp=1, igmp=0, ip=IP_ADDRESS):
        self.width, self.frames = width, []
        self._words, self._enabled, self._ip = [], {"arp": arp, "icmp": icmp, "igmp": igmp}, ip

    def run(self, process, *, ready=lambda: True):
        m = Module()
        m.submodules.receive = receive = Receive(width=self.width)
        m.submodules.services = dut = Services(
            width=self.width, verdict_latency=Receive.VERDICT_LATENCY
        )
        m.d.comb += [
            dut.received.valid.eq(receive.octets.valid),
            dut.received.payload.eq(receive.octets.payload),
            dut.ends.eq(receive.frames),
            dut.bad.eq(receive.fcs_errors),
        ]
        self.dut, self.octets, self.ready = dut, receive.octets, ready
        out = dut.octets
        self._totals = {name: Signal(16, name=name) for name in Services.COUNTERS}
        m.d.sync += [total.eq(total + getattr(dut, n)) for n, total in self._totals.items()]
        # One look a cycle at all of it: looking is what takes the time.
        word = out.payload
        self._seen = Cat(out.valid, word.first, word.last, word.count, word.data)

        async def testbench(ctx):
            self.ctx = ctx
            ctx.set(dut.mac, MAC)
            ctx.set(dut.ip, self._ip)
            for name, value in self._enabled.items():
                ctx.set(getattr(dut, name), value)
            for _ in range(600):  # the memories sweep themselves clear
                await self.cycle()
            await process(self)

        simulator = Simulator(m)
        simulator.add_clock(1e-6)
        simulator.add_testbench(testbench)
        simulator.run()

    def counts(self):
        return {name: self.ctx.get(total) for name, total in self._totals.items()}

    async def cycle(self):
        ctx, ready = self.ctx, self.ready()
        ctx.set(self.dut.octets.ready, ready)
        seen = ctx.get(self._seen)
        if seen & 1 and ready:
            first, last = seen >> 1 & 1, seen >> 2 & 1
            bits = self.width.bit_length()
            count, word = seen >> 3 & (1 << bits) - 1, seen >> 3 + bits
            assert first == (not self._words) and (count == self.width or last)
            self._words.append(word.to_bytes(self.width, "little")[:count])
            if last:
                self.frames.append(b"".join(self._words))
                self._words = []
        else:
            assert not (self._words and ready), "a pause inside a frame"
        await ctx.tick()

    async def send(self, frame: bytes):
        ctx, word = self.ctx, self.octets.payload
        for at in range(0, len(frame), self.width):
            octets = frame[at : at + self.width]
            ctx.set(self.octets.valid, 1)
            ctx.set(word.data, int.from_bytes(octets, "little"))
            ctx.set(word.count, len(octets))
            ctx.set(word.first, at == 0)
            ctx.set(word.last, at + self.width >= len(frame))
            await self.cycle()
        ctx.set(self.octets.valid, 0)

    async def settle(self, cycles: int = 1200):
        for _ in range(cycles):
            await self.cycle()


REPLIES = {"arp_requests": "arp_replies", "echo_requests": "echo_replies"}
SOME = (
    *(arp(), arp(op=2), arp_reply(), arp(pdst="192.0.2.11"), arp(hwlen=8), bytes(arp())[:41]),
    *(ping(0), ping(18), ping(19), ping(LONGEST - 46), ping(LONGEST - 45)),
    *(ping(type=0), ping(chksum=1), ping(ip={"flags": "MF"}), ping(mac=PEER_MAC)),
    *(query(), query(GROUP_A, more=bytes(8)), query(chksum=5), ping(17)),
)
"""The whole card sees many more."""


@pytest.mark.parametrize("width", WIDTHS)
def test_each_frame_is_answered_or_counted_as_the_model_does(width, generator):
    station, bench, expected = Station(mac=MAC, ip=IP_ADDRESS), Bench(width, igmp=1), Counter()
    cases = generator.sample(SOME, 8) if width == 1 else SOME

    async def process(bench):
        for case in cases:
            frame = sealed(bytes(case))
            answer = station.answer(frame)
            bench.frames = []
            await bench.send(frame)
            await bench.settle(60 + (4 if answer.reply else 2) * min(len(frame), LONGEST))
            assert bench.frames == ([sealed(answer.reply)] if answer.reply else []), case
            expected.update([answer.counter, REPLIES.get(answer.counter)])
            assert bench.counts() == {name: expected[name] for name in Services.COUNTERS}, case

    bench.run(process)


def test_another_library_understands_the_answers():
    bench = Bench(8)

    async def process(bench):
        await bench.send(sealed(bytes(arp())))
        await bench.settle(300)
        await bench.send(sealed(bytes(ping(33))))
        await bench.settle(400)

    bench.run(process)
    reply, echo = (Ether(frame[:-4]) for frame in bench.frames)
    assert (reply.dst, reply.src) == (format_mac(PEER_MAC), format_mac(MAC))
    assert (reply[ARP].op, reply[ARP].hwsrc) == (2, format_mac(MAC))
    assert (reply[ARP].psrc, reply[ARP].pdst) == (format_ipv4(IP_ADDRESS), format_ipv4(PEER))
    assert (echo[IP].src, echo[IP].dst) == (format_ipv4(IP_ADDRESS), format_ipv4(PEER))
    assert (echo[ICMP].type, echo[ICMP].id, echo[ICMP].seq) == (0, 0x1234, 5)
    assert bytes(echo[Raw])[:33] == bytes(n * 7 & 255 for n in range(33))
    for layer in (IP, ICMP):
        told = echo[layer].chksum
        del echo[layer].chksum
        assert Ether(bytes(echo))[layer].chksum == told


@pytest.mark.parametrize("width", [1, 8])
def test_a_frame_that_comes_meanwhile_is_counted_and_one_that_is_damaged_is_not_read(width):
    bench = Bench(width)

    async def process(bench):
        good = sealed(bytes(ping(60)))
        await bench.send(good[:-1] + bytes([good[-1] ^ 1]))
        for _ in range(3):
            await bench.send(good)
        await bench.settle(1500)
        bench.told = bench.counts()

    bench.run(process)
    assert bench.told["overruns"] == 2
    assert bench.told["echo_requests"] == bench.told["echo_replies"] == len(bench.frames) == 1


@pytest.mark.parametrize("service", ["arp", "icmp", "igmp"])
def test_a_service_that_is_off_looks_into_nothing(service):
    bench = Bench(8, **{"arp": 1, "icmp": 1, "igmp": 1, service: 0})
    frame = {"arp": arp(), "icmp": ping(), "igmp": query()}[service]

    async def process(bench):
        await bench.send(sealed(bytes(frame)))
        await bench.settle(400)
        assert not any(bench.counts().values())

    bench.run(process)
    assert not bench.frames


def test_the_card_asks_for_an_address_and_reads_answers_while_it_does():
    bench, told = Bench(8, arp=0), []

    async def process(bench):
        ctx, dut = bench.ctx, bench.dut

        async def hear(*frames):
            for frame in frames:
                await bench.send(sealed(bytes(frame)))
                for _ in range(300):
                    if ctx.get(dut.arp_answers):
                        told.append((ctx.get(dut.answer_ip), ctx.get(dut.answer_mac)))
                    await bench.cycle()

        ctx.set(dut.asked, PEER)
        ctx.set(dut.asking, 1)
        ctx.set(dut.ask, 1)
        while not ctx.get(dut.asks):
            await bench.cycle()
        await bench.cycle()
        ctx.set(dut.ask, 0)
        # Requests stay without an answer, as that service is off; replies to others are not read.
        await hear(arp_reply(), arp(), arp_reply(pdst="192.0.2.11"), arp(op=2))
        ctx.set(dut.asking, 0)
        await hear(arp_reply())
        counts = bench.counts()
        assert (counts["arp_answers"], counts["arp_ignored"], counts["arp_replies"]) == (1, 3, 0)

    bench.run(process)
    assert told == [(PEER, PEER_MAC)]
    (frame,) = bench.frames
    question = Ether(frame[:-4])
    assert (question.dst, question.src) == ("ff:ff:ff:ff:ff:ff", format_mac(MAC))
    assert (question[ARP].op, question[ARP].hwsrc) == (1, format_mac(MAC))
    assert (question[ARP].psrc, question[ARP].pdst) == (format_ipv4(IP_ADDRESS), format_ipv4(PEER))
    assert question[ARP].hwdst == "00:00:00:00:00:00" and frame == sealed(frame[:-4])


def test_a_card_without_an_address_answers_nobody():
    bench = Bench(8, ip=0)

    async def process(bench):
        await bench.send(sealed(bytes(arp(pdst="0.0.0.0"))))
        await bench.settle(300)
        await bench.send(sealed(bytes(ping(ip={"dst": "0.0.0.0"}))))
        await bench.settle(300)
        counts = bench.counts()
        assert counts["arp_ignored"] == counts["icmp_ignored"] == 1

    bench.run(process)
    assert not bench.frames


@pytest.mark.parametrize("width", [4, 8])
def test_a_port_that_pauses_gets_whole_frames(width, generator):
    bench = Bench(width)

    async def process(bench):
        await bench.send(sealed(bytes(ping(40))))
        await bench.settle(1500)

    bench.run(process, ready=lambda: generator.random() < 0.5)
    reply = Station(mac=MAC, ip=IP_ADDRESS).answer(sealed(bytes(ping(40)))).reply
    assert bench.frames == [sealed(reply)]


def test_groups_are_reported_when_joined_and_left():
    bench, seen = Bench(8, igmp=1), []

    async def listen(bench, line, group, listens=1):
        bench.ctx.set(bench.dut.group[line], group)
        bench.ctx.set(bench.dut.listens[line], listens)
        await bench.settle(320)
        seen.append(bench.frames)
        bench.frames = []

    async def process(bench):
        await listen(bench, 0, GROUP_A)
        await listen(bench, 1, IP_ADDRESS)
        await listen(bench, 1, GROUP_B)
        await listen(bench, 0, GROUP_B)
        await listen(bench, 0, 0, 0)
        await listen(bench, 0, GROUP_B)
        bench.ctx.set(bench.dut.igmp, 0)
        await bench.settle(500)
        seen.append(bench.frames)
        bench.told = bench.counts()

    bench.run(process)
    report_a, report_b = (sealed(report(MAC, IP_ADDRESS, group)) for group in (GROUP_A, GROUP_B))
    leave_a, leave_b = (sealed(leave(MAC, IP_ADDRESS, group)) for group in (GROUP_A, GROUP_B))
    # Line A goes over to B's group, and leaves that to B; of two that leave together one says so.
    assert seen == [[report_a], [], [report_b], [leave_a, report_b], [], [report_b], [leave_b]]
    assert (bench.told["reports"], bench.told["leaves"]) == (4, 2)
    told, gone = Ether(report_a[:-4]), Ether(leave_a[:-4])
    assert (told.dst, told[IP].ttl, told[IP].dst) == ("01:00:5e:36:0c:6f", 1, "233.54.12.111")
    assert bytes(told[IP])[20:24] == ROUTER_ALERT
    assert (told[IGMP].type, told[IGMP].gaddr) == (0x16, "233.54.12.111")
    assert (gone[IP].dst, gone[IGMP].type, gone[IGMP].gaddr) == ("224.0.0.2", 0x17, "233.54.12.111")
    for packet in (told, gone):
        checksum = packet[IGMP].chksum
        del packet[IGMP].chksum
        assert Ether(bytes(packet))[IGMP].chksum == checksum


def test_a_report_is_repeated_after_a_second_and_a_query_answered_within_its_time(generator):
    step = 2  # of 390 us each, which the test has no time for
    dut = Member(seed=generator.randrange(1, 256), step_us=step)
    second, waited = 2560 * step, []

    async def testbench(ctx):
        async def made():
            await ctx.tick()
            ctx.set(dut.made, 1)
            assert ctx.get(dut.reports)
            await ctx.tick()
            ctx.set(dut.made, 0)

        async def wait(microseconds):
            for passed in range(microseconds + step):
                if ctx.get(dut.wanted):
                    await made()
                    return passed
                await ctx.tick()
            return None

        async def ask(group, time):
            ctx.set(dut.asked, group)
            ctx.set(dut.response_time, time)
            ctx.set(dut.query, 1)
            await ctx.tick()
            ctx.set(dut.query, 0)
            await ctx.tick().repeat(3)

        ctx.set(dut.tick, 1)
        ctx.set(dut.group, GROUP_A)
        ctx.set(dut.enable, 1)
        await ctx.tick().repeat(3)
        assert ctx.get(dut.wanted)
        await made()
        assert second - 5 * step <= await wait(second) <= second
        for group in (0, GROUP_A, GROUP_A):
            await ask(group, 2)
            waited.append(await wait(second // 5))
        await ask(GROUP_B, 1)
        assert await wait(second // 10) is None
        # The second query brings the answer forward, a third one does not put it off.
        await ask(0, 0)
        await ask(GROUP_A, 1)
        await ask(0, 255)
        assert await wait(second // 10) is not None
        assert await wait(second // 5) is None

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert all(0 <= time <= second // 5 for time in waited) and len(set(waited)) > 1


@pytest.mark.parametrize("width", [1, 8])
def test_orders_pass_at_once_and_a_service_waits_until_no_order_is_near(width, generator):
    quiet, words = 7, 9
    dut = Arbiter(width=width, quiet=quiet, gap=3)
    left = {"orders": 0, "services": 0}
    log = {"orders": [], "services": [], "busy": 0, "frames": 0, "claims": 0}

    async def testbench(ctx):
        ctx.set(dut.port.ready, 1)
        meant, near, before = False, quiet, quiet
        for cycle in range(2_500):
            # The gate: what was meant in the cycle before begins now.
            if meant:
                left["orders"] = words
            busy_order = 0 < left["orders"] < words or (left["orders"] == words and not meant)
            if not left["services"] and generator.random() < 0.1:
                left["services"] = words
            wire = {}
            for name in ("orders", "services"):
                source, rest = getattr(dut, name), left[name]
                ctx.set(source.valid, rest > 0)
                ctx.set(source.payload.data, (rest + (100 if name == "orders" else 0)) & 255)
                ctx.set(source.payload.count, width)
                ctx.set(source.payload.first, rest == words)
                ctx.set(source.payload.last, rest == 1)
            ctx.set(dut.orders_busy, busy_order)
            active = generator.random() < 0.05
            ctx.set(dut.activity, active)
            seen, data = ctx.get(dut.port.valid), ctx.get(dut.port.payload.data)
            wire = {name: ctx.get(getattr(dut, name).ready) for name in ("orders", "services")}
            busy = ctx.get(dut.busy)
            assert ctx.get(dut.busy_cycles) == busy
            if left["orders"]:
                assert seen and wire["orders"] and data == left["orders"] + 100
                assert not wire["services"]
            elif wire["services"] and left["services"]:
                assert busy and seen and data == left["services"]
                if left["services"] == words:
                    assert before >= quiet
                    log["services"].append(cycle)
            else:
                assert not seen
            claimed = busy and not wire["services"]
            before = before if claimed else near
            near = 0 if active or left["orders"] else near + 1
            log["frames"] += ctx.get(dut.frames)
            for name in ("orders", "services"):
                if left[name] and wire[name]:
                    left[name] -= 1
            meant = generator.random() < 0.03 and not busy and not left["orders"]
            meant = meant and not busy_order
            log["orders"] += [cycle] if meant else []
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert len(log["orders"]) > 20 < len(log["services"])
    assert log["frames"] == len(log["services"]) - (0 < left["services"] < words)


def test_a_service_that_has_waited_long_enough_goes_between_two_orders():
    dut = Arbiter(width=8, quiet=4, gap=2)

    async def testbench(ctx):
        ctx.set(dut.port.ready, 1)
        ctx.set(dut.activity, 1)
        ctx.set(dut.services.valid, 1)
        await ctx.tick().repeat(Arbiter.PATIENCE - 4)
        assert not ctx.get(dut.busy) and not ctx.get(dut.services.ready)
        # The claim meets an order that was approved in the cycle before: that goes first.
        ctx.set(dut.orders_busy, 1)
        await ctx.tick().repeat(10)
        assert not ctx.get(dut.busy)
        ctx.set(dut.orders_busy, 0)
        await ctx.tick().repeat(2)
        assert not ctx.get(dut.busy)
        await ctx.tick()
        assert ctx.get(dut.busy) and not ctx.get(dut.services.ready)
        ctx.set(dut.orders.valid, 1)
        assert ctx.get(dut.orders.ready)
        await ctx.tick()
        assert not ctx.get(dut.busy) and ctx.get(dut.orders.ready)
        ctx.set(dut.orders.valid, 0)
        await ctx.tick().repeat(4)
        assert ctx.get(dut.busy) and ctx.get(dut.services.ready)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def test_a_request_is_what_another_library_reads_and_its_checksum_is_right():
    bench, asked = Bench(8), {"session": "000010059B", "sequence": (7 << 32) + 99, "count": 25}

    async def process(bench):
        request = bench.dut.request
        server = {"mac": PEER_MAC, "ip": PEER, "source_port": 40_002, "destination_port": 18_002}
        session = int.from_bytes(asked["session"].encode(), "big")
        for name, value in {**server, **asked, "session": session}.items():
            bench.ctx.set(request[name], value)
        bench.ctx.set(bench.dut.tries, 1)
        bench.ctx.set(bench.dut.interval, 9)
        bench.ctx.set(bench.dut.recovering, 1)
        await bench.settle(300)
        assert bench.counts()["requests"] == 1

    bench.run(process)
    (frame,) = bench.frames
    assert frame == sealed(frame[:-4])
    told = Ether(frame[:-4])
    assert (told.dst, told.src) == (format_mac(PEER_MAC), format_mac(MAC))
    assert (told[IP].src, told[IP].dst) == (format_ipv4(IP_ADDRESS), format_ipv4(PEER))
    assert (told[UDP].sport, told[UDP].dport) == (40_002, 18_002)
    assert moldudp64.REQUEST.unpack(bytes(told[UDP].payload)) == asked
    sums = told[IP].chksum, told[UDP].chksum
    del told[IP].chksum, told[UDP].chksum
    again = Ether(bytes(told))
    assert (again[IP].chksum, again[UDP].chksum) == sums


def test_requests_follow_what_has_come_and_end_when_nothing_does():
    dut, log = Requester(), []
    interval, tries, count = 50, 3, 10

    async def testbench(ctx):
        async def expect(sequence, *, after):
            """A request for what is due, so many microseconds from now, which is made at once."""
            for passed in range(after + 6):
                assert not ctx.get(dut.give_up)
                if ctx.get(dut.wanted):
                    assert ctx.get(dut.sequence) == sequence and passed >= after, passed
                    break
                await ctx.tick()
            else:
                raise AssertionError("no request")
            log.append(sequence)
            await ctx.tick().repeat(5)
            ctx.set(dut.made, 1)
            assert ctx.get(dut.requests)
            await ctx.tick()
            ctx.set(dut.made, 0)

        for name, value in (("tick", 1), ("interval", interval), ("tries", tries)):
            ctx.set(getattr(dut, name), value)
        ctx.set(dut.count, count)
        ctx.set(dut.expected, 100)
        await ctx.tick().repeat(interval)
        assert not ctx.get(dut.wanted)
        ctx.set(dut.recovering, 1)
        await expect(100, after=0)
        await expect(100, after=interval - 2)
        # All that was asked for is there: what else is missing is asked for at once.
        ctx.set(dut.expected, 100 + count)
        await expect(110, after=0)
        # Some of it is: after a while, for the rest, and as often as at first.
        ctx.set(dut.expected, 113)
        for _ in range(tries):
            await expect(113, after=interval - 2)
        for _ in range(interval + 5):
            assert not ctx.get(dut.wanted)
            await ctx.tick()
            if ctx.get(dut.give_up):
                log.append("given up")
        # Not until the feed has something else to recover.
        await ctx.tick().repeat(interval)
        assert not ctx.get(dut.wanted) and not ctx.get(dut.give_up)
        ctx.set(dut.recovering, 0)
        await ctx.tick().repeat(2)
        ctx.set(dut.recovering, 1)
        await expect(113, after=0)
        ctx.set(dut.recovering, 0)
        await ctx.tick().repeat(3 * interval)
        assert not ctx.get(dut.wanted)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert log == [100, 100, 110, 113, 113, 113, "given up", 113]
