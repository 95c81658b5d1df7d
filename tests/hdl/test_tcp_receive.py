# amaranth: UnusedElaboratable=no

"""The receive side of the TCP client against a plain reading of the same frames."""

from dataclasses import replace
from functools import cache

import pytest
from amaranth.hdl import Cat
from scapy.layers.inet import IP
from scapy.layers.inet import TCP as SCAPY_TCP
from scapy.layers.l2 import Ether
from simulated import Simulated

from tickgate.hdl.order.tcp.receive import Receive
from tickgate.sim.model.segments import CAUSES, Ends, Segment, judge, pack_frame, unpack_frame
from tickgate.spec import ethernet

WIDTHS = (1, 4, 8)
LONGEST = 96
ENDS = Ends(
    source_mac=0x02AA00000001,
    destination_mac=0x02BB00000002,
    source_ip=ethernet.parse_ipv4("10.1.2.3"),
    destination_ip=ethernet.parse_ipv4("10.9.8.7"),
    source_port=15000,
    destination_port=40001,
)


@cache
def build(width: int) -> Simulated:
    return Simulated(Receive(width=width, longest=LONGEST))


def check(width, frames, *, idle=None) -> dict[str, int]:
    """Sends frames and compares what comes of each; returns how often each cause was counted."""
    simulated = build(width)
    dut = simulated.dut
    counts = dict.fromkeys(Receive.COUNTERS, 0)
    verdict = Cat(dut.judged, dut.arrives, *(getattr(dut, name) for name in counts))
    words = []  # by cycle: valid, data, count, first, last
    ends = {}  # by cycle: frame
    for frame in frames:
        for at in range(0, len(frame), width):
            words += [None] * (idle() if idle else 0)
            octets = frame[at : at + width]
            words.append((octets, at == 0, at + width >= len(frame)))
        ends[len(words) - 1] = frame

    async def testbench(ctx):
        for name, value in (
            ("remote_ip", ENDS.source_ip),
            ("local_ip", ENDS.destination_ip),
            ("remote_port", ENDS.source_port),
            ("local_port", ENDS.destination_port),
        ):
            ctx.set(dut.endpoints[name], value)
        payload, firsts, segments = b"", 0, {}
        for cycle in range(len(words) + 10):
            word = words[cycle] if cycle < len(words) else None
            ctx.set(dut.octets.valid, word is not None)
            if word is not None:
                octets, first, last = word
                # What is beyond the end of a frame is not zero.
                data = int.from_bytes(octets.ljust(width, b"\xa5"), "little")
                ctx.set(
                    dut.octets.payload,
                    {"data": data, "count": len(octets), "first": first, "last": last},
                )
            checked = ends.get(cycle - Receive.CHECK_LATENCY)
            ctx.set(dut.ends, checked is not None)
            if checked is not None:
                good = ethernet.fcs(checked[:-4]) == int.from_bytes(checked[-4:], "little")
                ctx.set(dut.good, good)
            if ctx.get(dut.payload.valid):
                span = dut.payload.payload
                begin, end = ctx.get(span.begin), ctx.get(span.end)
                assert begin < end
                payload += ctx.get(span.data).to_bytes(width, "little")[begin:end]
                firsts += ctx.get(span.first)
            judged = ends.get(cycle - dut.verdict_latency)
            if any(cycle + n - dut.verdict_latency in ends for n in range(Receive.SETTLED + 1)):
                segments[cycle] = ctx.get(dut.segment)
            told = ctx.get(verdict)
            assert told & 1 == (judged is not None)
            if judged is None:
                assert not told
            else:
                strobes = {name for n, name in enumerate(counts) if told >> (2 + n) & 1}
                cause = judge(judged, ENDS, longest=LONGEST)
                assert strobes == {cause or "segments"}, (judged, cause, strobes)
                assert told >> 1 & 1 == (cause is None)
                if cause is None:
                    expected = unpack_frame(judged)
                    assert payload == expected.payload
                    assert firsts == bool(payload)
                    for settled in range(cycle - Receive.SETTLED, cycle + 1):
                        seen = segments[settled]
                        assert (seen.sequence, seen.acknowledgement, seen.flags) == (
                            expected.sequence,
                            expected.acknowledgement,
                            expected.flags,
                        )
                        assert (seen.window, seen.length) == (expected.window, len(payload))
                for name in strobes:
                    counts[name] += 1
                payload, firsts = b"", 0
            await ctx.tick()

    simulated.run(testbench)
    return {name: count for name, count in counts.items() if count}


def some_segment(generator, length=None) -> Segment:
    length = generator.randrange(60) if length is None else length
    return Segment(
        sequence=generator.randrange(1 << 32),
        acknowledgement=generator.randrange(1 << 32),
        flags=generator.randrange(64),
        window=generator.randrange(1 << 16),
        payload=generator.randbytes(length),
        options=generator.choice((b"", b"", b"\x01" * 4, generator.randbytes(12), bytes(40))),
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_segments_of_every_length_and_with_options_pass_back_to_back(width, generator):
    frames = [
        pack_frame(some_segment(generator, length), ENDS, pad=generator.random() < 0.7)
        for length in (*range(14), LONGEST)
    ]
    assert check(width, frames) == {"segments": len(frames)}


@pytest.mark.parametrize("width", WIDTHS)
def test_idle_cycles_inside_and_between_frames_change_nothing(width, generator):
    frames = [pack_frame(some_segment(generator), ENDS) for _ in range(15)]
    assert check(width, frames, idle=lambda: generator.choice((0, 0, 1, 3))) == {"segments": 15}


WRONG = (
    ("others", {"ethertype": 0x0806}),
    ("others", {"protocol": ethernet.PROTOCOL_UDP}),
    ("others", {"source": ENDS.source_ip ^ 1}),
    ("others", {"source": ENDS.source_ip ^ 1 << 31}),
    ("others", {"destination": ENDS.destination_ip ^ 1 << 15}),
    ("others", {"destination": ENDS.destination_ip ^ 1 << 16}),
    ("ip_options", {"version_ihl": 0x46}),
    ("ip_options", {"version_ihl": 0x65}),
    ("ip_checksum", {"ip_checksum": 0xBEEF}),
    ("ip_length", {"total_length": 39}),
    ("ip_length", {"total_length": 0}),
    ("ip_fragment", {"flags_fragment": 0x2000}),
    ("ip_fragment", {"flags_fragment": 0x0001}),
    ("other_port", {"source_port": ENDS.source_port ^ 1}),
    ("other_port", {"destination_port": ENDS.destination_port ^ 0x8000}),
    ("tcp_offset", {"data_offset": 0x40}),
    ("tcp_offset", {"data_offset": 0xF0}),
    ("truncated", {"total_length": 40 + 21}),
    ("truncated", {"total_length": 0xFFFF}),
    ("tcp_checksum", {"tcp_checksum": 0x1234}),
    ("tcp_checksum", {"total_length": 40 + 19}),
)


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_wrong_is_counted_by_its_one_cause_and_the_next_segment_passes(width, generator):
    frames, expected = [], {"segments": 0}
    for cause, wrong in WRONG:
        segment = replace(some_segment(generator, 20), options=b"")
        if "total_length" in wrong and cause == "tcp_checksum":
            wrong = {**wrong, "tcp_checksum": 0x4321}
        bad = pack_frame(segment, ENDS, **wrong)
        assert judge(bad, ENDS, longest=LONGEST) == cause
        frames += [bad, pack_frame(some_segment(generator, 9), ENDS)]
        expected[cause] = expected.get(cause, 0) + 1
        expected["segments"] += 1
    frames.append(pack_frame(some_segment(generator, LONGEST + 1), ENDS))
    good = pack_frame(some_segment(generator, 30), ENDS)
    frames.append(good[:-1] + bytes([good[-1] ^ 0x10]))
    expected |= {"overlong": 1, "damaged": 1}
    assert set(expected) == {*CAUSES, "segments"}
    assert check(width, frames) == expected


@pytest.mark.parametrize("width", WIDTHS)
def test_a_frame_cut_off_at_any_octet_is_no_segment_and_the_next_one_is(width, generator):
    whole = pack_frame(replace(some_segment(generator, 5), options=b""), ENDS, pad=False)
    frames, wholes = [], 0
    for size in range(1, len(whole) - 4):
        cut = whole[:size]
        if size % 2:
            cut += ethernet.fcs(cut).to_bytes(4, "little")
        frames += [cut] * generator.randrange(1, 3)
        if width > 1 or size % 4 == 0:
            frames.append(whole)
            wholes += 1
    counts = check(width, frames)
    assert counts["segments"] == wholes
    assert {"others", "damaged", "truncated"} <= counts.keys()


@pytest.mark.parametrize("width", WIDTHS)
def test_any_one_damaged_bit_that_the_fcs_does_not_show_is_found_by_a_checksum(width, generator):
    whole = pack_frame(some_segment(generator, 33), ENDS)[:-4]
    frames = []
    for _ in range(12 if width == 1 else 30):
        at = generator.randrange(8 * ethernet.ETHERNET.size, 8 * len(whole))
        octets = bytearray(whole)
        octets[at // 8] ^= 1 << at % 8
        frames.append(bytes(octets) + ethernet.fcs(bytes(octets)).to_bytes(4, "little"))
    counts = check(width, frames)
    assert set(counts) & {"ip_checksum", "tcp_checksum"}
    assert "segments" not in counts


def test_frames_that_scapy_makes_are_read_as_scapy_reads_them(generator):
    frames = []
    for length in (0, 1, 40):
        frame = Ether(dst="02:bb:00:00:00:02", src="02:aa:00:00:00:01") / IP(
            src="10.1.2.3", dst="10.9.8.7"
        )
        frame /= SCAPY_TCP(
            sport=15000, dport=40001, flags="SA", seq=7, ack=9, options=[("MSS", 1300)]
        )
        octets = bytes(frame / generator.randbytes(length)).ljust(60, b"\0")
        frames.append(octets + ethernet.fcs(octets).to_bytes(4, "little"))
        segment = unpack_frame(frames[-1])
        assert (segment.sequence, segment.acknowledgement, segment.mss) == (7, 9, 1300)
    assert check(8, frames) == {"segments": 3}
