# amaranth: UnusedElaboratable=no

"""The receive path against a plain reading of the same frames, word for word."""

import zlib
from dataclasses import dataclass
from functools import cache

import pytest
from simulated import Simulated

from tickgate.hdl.eth import Receive
from tickgate.spec.ethernet import (
    ETHERNET,
    ETHERTYPE_IPV4,
    ETHERTYPE_VLAN,
    IPV4,
    MIN_FRAME,
    PROTOCOL_UDP,
    UDP,
    VLAN_TAG,
    internet_checksum,
    multicast_mac,
    ones_complement_sum,
    parse_ipv4,
)

WIDTHS = (1, 4, 8)
SHARE = {1: 4, 4: 2, 8: 1}
"""By width: of what is random a narrow word, which takes as many more cycles, sees so much less."""
ADDRESS = parse_ipv4("233.54.12.111")
PORT = 26477
CAUSES = tuple(name for name in Receive.COUNTERS if name != "frames")


def with_fcs(octets: bytes) -> bytes:
    return octets + zlib.crc32(octets).to_bytes(4, "little")


def make_frame(payload: bytes, *, tagged: bool = False, pad: bool = True, **fields) -> bytes:
    """A good frame, but for the named fields of the headers."""
    values = {
        "ethertype": ETHERTYPE_IPV4,
        "version_ihl": 0x45,
        "total_length": IPV4.size + UDP.size + len(payload),
        "flags_fragment": 0x4000,
        "protocol": PROTOCOL_UDP,
        "destination": ADDRESS,
        "destination_port": PORT,
        "length": UDP.size + len(payload),
        "options": b"",
        **fields,
    }
    values.setdefault("checksum", None)
    ethernet = {"destination": multicast_mac(ADDRESS), "source": 0x020000000001}
    if tagged:
        octets = ETHERNET.pack(**ethernet, ethertype=ETHERTYPE_VLAN)
        octets += VLAN_TAG.pack(tci=0x6123, ethertype=values["ethertype"])
    else:
        octets = ETHERNET.pack(**ethernet, ethertype=values["ethertype"])
    header = {
        "dscp_ecn": 0,
        "identification": 0x1234,
        "ttl": 16,
        "source": parse_ipv4("10.1.2.3"),
        **{field.name: values[field.name] for field in IPV4 if field.name in values},
    }
    if header["checksum"] is None:
        header["checksum"] = internet_checksum(IPV4.pack(**{**header, "checksum": 0}))
    octets += IPV4.pack(**header) + values["options"]
    udp_fields = ("destination_port", "length")
    octets += UDP.pack(source_port=4000, checksum=0, **{n: values[n] for n in udp_fields})
    octets += payload
    return with_fcs(octets.ljust(MIN_FRAME - 4, b"\0") if pad else octets)


@dataclass(frozen=True)
class Reading:
    """What is in a frame: the octets [begin, end) are payload to take; why it is counted."""

    begin: int
    end: int
    taken: bool
    cause: str | None
    frame_bad: bool
    cut: bool = False


def read_frame(frame: bytes, *, enable: bool = True, address: int = ADDRESS) -> Reading:
    """Reads a frame as a whole, which the gateware cannot."""
    tagged = frame[12:14] == ETHERTYPE_VLAN.to_bytes(2, "big")
    ip_at = ETHERNET.size + (VLAN_TAG.size if tagged else 0)
    begin = ip_at + IPV4.size + UDP.size
    good = len(frame) >= 4 and with_fcs(frame[:-4]) == frame
    if len(frame) <= begin:
        return Reading(begin, begin, False, "runts" if good else "fcs_errors", False)
    ip = IPV4.unpack_from(frame, ip_at)
    udp = UDP.unpack_from(frame, ip_at + IPV4.size)
    header_sum = ones_complement_sum(frame[ip_at : ip_at + IPV4.size])
    for_us = enable and (ip["destination"], udp["destination_port"]) == (address, PORT)
    checks = (
        ("not_ip", int.from_bytes(frame[ip_at - 2 : ip_at], "big") == ETHERTYPE_IPV4),
        ("ip_version", ip["version_ihl"] >> 4 == 4),
        ("ip_options", ip["version_ihl"] & 15 == 5),
        ("ip_checksum", header_sum == 0xFFFF),
        ("ip_length", ip["total_length"] >= 28),
        ("ip_fragment", ip["flags_fragment"] & 0x3FFF == 0),
        ("not_udp", ip["protocol"] == PROTOCOL_UDP),
        ("not_for_us", for_us),
        ("udp_length", udp["length"] == ip["total_length"] - 20),
    )
    cause = next((name for name, passed in checks if not passed), None)
    taken = cause is None
    end = begin + ip["total_length"] - 28 if taken else begin
    cut = taken and end + 4 > len(frame)
    if cut:
        cause = "truncated"
    return Reading(begin, end, taken, cause if good else "fcs_errors", taken and not good, cut)


@cache
def build(width: int) -> Simulated:
    return Simulated(Receive(width=width))


def check_frames(width, frames, *, idle=None, enable=True, address=ADDRESS, other=None):
    """Sends frames and compares every cycle. `idle` says before each word how many cycles.

    All are of the first line; `other` is address and port of the second, if that is enabled.

    Returns how often each cause was counted.
    """
    simulated = build(width)
    dut = simulated.dut
    counts = dict.fromkeys(Receive.COUNTERS, 0)
    due = []  # the strobes of this cycle, the next one and so on

    async def cycle(ctx, expected_payload):
        """One clock cycle: what must be there now, and the strobes of the last frame."""
        span = dut.payload.payload
        assert ctx.get(dut.payload.valid) == (expected_payload is not None)
        if expected_payload is not None:
            seen = tuple(ctx.get(span[name]) for name in ("begin", "end", "first", "last"))
            assert seen == expected_payload
            assert ctx.get(span.data) == ctx.get(dut.octets.payload.data)
            if not expected_payload[2]:
                assert ctx.get(dut.line) == 0
        strobes = {name for name in Receive.COUNTERS if ctx.get(getattr(dut, name))}
        strobes |= {name for name in ("frame_bad", "cut") if ctx.get(getattr(dut, name))}
        assert strobes == (due.pop(0) if due else set())
        for name in strobes & counts.keys():
            counts[name] += 1
        await ctx.tick()

    async def send(ctx, frame):
        reading = read_frame(frame, enable=enable, address=address)
        for at in range(0, len(frame), width):
            for _ in range(idle() if idle else 0):
                ctx.set(dut.octets.valid, 0)
                await cycle(ctx, None)
            count = min(width, len(frame) - at)
            last = at + width >= len(frame)
            data = int.from_bytes(frame[at : at + width], "little")
            word = {"data": data, "count": count, "first": at == 0, "last": last}
            ctx.set(dut.octets.payload, word)
            if not ctx.get(dut.octets.valid):
                ctx.set(dut.octets.valid, 1)
            begin = max(reading.begin - at, 0)
            end = min(reading.end - at, count)
            first = at <= reading.begin < at + width
            expected = None
            if reading.taken and (begin < end or (first and reading.begin == reading.end)):
                ends = last or reading.end <= at + width
                expected = (begin, end, first, ends)
            if last:
                verdict = {"frames", reading.cause, "frame_bad" if reading.frame_bad else None}
                due.extend(set() for _ in range(Receive.VERDICT_LATENCY - len(due)))
                due.append(verdict - {None})
                due[Receive.CUT_LATENCY] |= {"cut"} if reading.cut else set()
            await cycle(ctx, expected)

    async def testbench(ctx):
        ctx.set(dut.address[0], address)
        ctx.set(dut.port[0], PORT)
        ctx.set(dut.enable[0], enable)
        if other is not None:
            for port, value in zip((dut.address, dut.port, dut.enable), (*other, 1), strict=True):
                ctx.set(port[1], value)
        for frame in frames:
            await send(ctx, frame)
        ctx.set(dut.octets.valid, 0)
        for _ in range(Receive.VERDICT_LATENCY + 2):
            await cycle(ctx, None)

    simulated.run(testbench)
    assert counts["frames"] == len(frames)
    return {name: count for name, count in counts.items() if count and name != "frames"}


def good_frames(generator, count, longest=80):
    return [
        make_frame(
            generator.randbytes(generator.randrange(1, longest)), tagged=generator.random() < 0.5
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_payload_passes_in_the_same_cycle_with_no_idle_cycle_between_frames(width, generator):
    assert Receive.LATENCY == 0
    assert check_frames(width, good_frames(generator, 40 // SHARE[width])) == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_idle_cycles_inside_and_between_frames_change_nothing(width, generator):
    def idle():
        return generator.choice((0, 0, 1, 2))

    assert check_frames(width, good_frames(generator, 20 // SHARE[width]), idle=idle) == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_payload_of_every_length_ends_where_udp_says_and_not_with_the_padding(width):
    # A narrow word sees every alignment in few of them, and both sides of what is padded.
    lengths = range(26) if width == 8 else (0, 1, 2, 3, 13, 14, 15, 17, 18, 19, 25)
    frames = [
        make_frame(bytes(range(1, length + 1)), tagged=tagged, pad=pad)
        for tagged in (False, True)
        for pad in (False, True)
        for length in lengths
    ]
    assert check_frames(width, frames) == {}


REJECTED = {
    "not_ip": {"ethertype": 0x0806},
    "ip_version": {"version_ihl": 0x65},
    "ip_options": {"version_ihl": 0x46, "options": bytes(4), "total_length": 62, "length": 38},
    "ip_checksum": {"checksum": 0xBEEF},
    "ip_length": {"total_length": 27},
    "ip_fragment": {"flags_fragment": 0x2000},
    "not_udp": {"protocol": 6},
    "not_for_us": {"destination_port": PORT + 1},
    "udp_length": {"length": 30},
}
VARIANTS = (
    *REJECTED.items(),
    ("not_ip", {"ethertype": ETHERTYPE_VLAN, "tagged": True}),
    ("ip_options", {"version_ihl": 0x44}),
    ("ip_length", {"total_length": 0}),
    ("ip_fragment", {"flags_fragment": 0x0001}),
    ("ip_fragment", {"flags_fragment": 0x1000}),
    ("not_for_us", {"destination": ADDRESS ^ 1}),
    ("not_for_us", {"destination": ADDRESS ^ 1 << 16}),
    ("not_for_us", {"destination_port": PORT ^ 0x8000}),
    ("udp_length", {"length": 7}),
    ("udp_length", {"length": 39}),
    ("udp_length", {"length": 37}),
    ("truncated", {"total_length": 59, "length": 39, "pad": False}),
    ("truncated", {"total_length": 0xFFFF, "length": 0xFFEB}),
)


@pytest.mark.parametrize("tagged", [False, True], ids=["plain", "tagged"])
@pytest.mark.parametrize("width", WIDTHS)
def test_each_rejected_header_is_counted_by_its_one_cause_and_the_next_frame_passes(width, tagged):
    good = make_frame(b"The quick brown fox.", tagged=tagged)
    frames, expected = [], {}
    for cause, fields in VARIANTS:
        frames += [make_frame(bytes(range(30)), **{"tagged": tagged, **fields}), good]
        expected[cause] = expected.get(cause, 0) + 1
    assert set(expected) == set(CAUSES) - {"fcs_errors", "runts"}
    assert check_frames(width, frames) == expected


@pytest.mark.parametrize("width", WIDTHS)
def test_a_reserved_flag_or_dont_fragment_is_no_fragment(width):
    frames = [make_frame(b"payload", flags_fragment=flags) for flags in (0, 0x4000, 0x8000, 0xC000)]
    assert check_frames(width, frames) == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_an_ip_checksum_is_right_whatever_its_carries(width, generator):
    # An address that ends in ones leaves the rest of the header a sum that just carries.
    for address in (ADDRESS, ADDRESS | 0xFFFF, ADDRESS | 0xFFF8):
        frames = []
        for _ in range(12 // SHARE[width]):
            fields = {
                "destination": address,
                "identification": generator.choice((0, 0xFFFF, generator.randrange(0x10000))),
                "source": generator.choice((0, 0xFFFFFFFF, generator.randrange(1 << 32))),
                "tagged": generator.random() < 0.5,
            }
            frames.append(make_frame(b"payload", **fields))
            at = ETHERNET.size + IPV4.offset("checksum")
            at += VLAN_TAG.size if fields["tagged"] else 0
            checksum = int.from_bytes(frames[-1][at : at + 2], "big")
            frames += [
                make_frame(b"payload", **fields, checksum=wrong & 0xFFFF)
                for wrong in (checksum + 1, checksum - 1)
            ]
        assert set(check_frames(width, frames, address=address)) == {"ip_checksum"}


@pytest.mark.parametrize("width", WIDTHS)
def test_a_frame_cut_off_at_any_octet_is_a_runt_or_truncated_and_the_next_one_passes(width):
    counts = {}
    # A narrow word sees the same alignment with and without a tag.
    tags = (False, True) if width == 8 else (True,)
    for tagged in tags:
        whole = make_frame(bytes(range(1, 14)), tagged=tagged, pad=False)[:-4]
        frames = [with_fcs(whole[:size]) for size in range(len(whole))]
        good = make_frame(b"!", tagged=tagged)
        sent = [frame for cut in frames for frame in (cut, good)]
        for cause, count in check_frames(width, sent).items():
            counts[cause] = counts.get(cause, 0) + count
    # By the octets before the new FCS: up to 38 (42 with a tag); 39, where the FCS overwrites half
    # the UDP length; 40 to 54.
    runts = sum(43 if tagged else 39 for tagged in tags)
    assert counts == {"runts": runts, "udp_length": len(tags), "truncated": 15 * len(tags)}


@pytest.mark.parametrize("width", WIDTHS)
def test_a_frame_that_breaks_off_without_an_fcs_is_an_fcs_error(width):
    whole = make_frame(bytes(range(1, 14)), tagged=True, pad=False)
    frames = [whole[:size] for size in range(1, len(whole), 1 if width == 8 else 3)]
    sent = [frame for cut in frames for frame in (cut, whole)]
    assert check_frames(width, sent) == {"fcs_errors": len(frames)}


@pytest.mark.parametrize("width", WIDTHS)
def test_any_wrong_bit_is_an_fcs_error_and_nothing_else(width, generator):
    frames = []
    for frame in good_frames(generator, 40 // SHARE[width], longest=40):
        at, bit = generator.randrange(len(frame)), generator.randrange(8)
        frames += [frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1 :], frame]
    assert check_frames(width, frames) == {"fcs_errors": 40 // SHARE[width]}


@pytest.mark.parametrize("width", WIDTHS)
def test_random_damage_with_a_right_fcs_is_read_as_a_whole_frame_would_be(width, generator):
    frames = []
    for frame in good_frames(generator, 160 // SHARE[width], longest=30):
        octets = bytearray(frame[:-4])
        for _ in range(generator.randrange(3)):
            octets[generator.randrange(12, 46)] = generator.choice((0, 8, 0x45, 0x81, 255))
        frames.append(with_fcs(bytes(octets)[: generator.choice((None, generator.randrange(80)))]))
    counts = check_frames(width, frames, idle=lambda: generator.random() < 0.1)
    assert len(counts) > 5 // SHARE[width]


OTHER_ADDRESS, OTHER_PORT = parse_ipv4("233.49.196.111"), 26478
OWN_ADDRESS, REPLY_PORT = parse_ipv4("192.0.2.10"), 40002


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("enabled", [(1, 1, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 0)])
def test_each_datagram_is_taken_as_of_the_source_whose_address_and_port_it_has(width, enabled):
    first = {"destination": ADDRESS, "destination_port": PORT}
    second = {"destination": OTHER_ADDRESS, "destination_port": OTHER_PORT}
    third = {"destination": OWN_ADDRESS, "destination_port": REPLY_PORT}
    mixed = [first | {"destination_port": OTHER_PORT}, second | {"destination_port": PORT}]
    mixed += [third, third | {"destination_port": PORT}, first | {"destination_port": REPLY_PORT}]
    near = [second | {"destination": OTHER_ADDRESS ^ 1 << bit} for bit in (0, 15, 16, 31)]
    sent = [first, second, *mixed, second, first, *near, third, second, first, first]
    simulated, taken = build(width), []
    dut = simulated.dut
    counts = {"not_for_us": 0, "frames": 0}

    async def testbench(ctx):
        ctx.set(dut.address[0], ADDRESS)
        ctx.set(dut.port[0], PORT)
        ctx.set(dut.address[1], OTHER_ADDRESS)
        ctx.set(dut.port[1], OTHER_PORT)
        ctx.set(dut.address[2], OWN_ADDRESS)
        ctx.set(dut.port[2], REPLY_PORT)
        for line in range(3):
            ctx.set(dut.enable[line], enabled[line])
        for number, fields in enumerate(sent):
            frame = make_frame(bytes(range(30)), tagged=number % 3 == 1, **fields)
            for at in range(0, len(frame), width):
                part = frame[at : at + width]
                word = {"data": int.from_bytes(part, "little"), "count": len(part)}
                ends = {"first": at == 0, "last": at + width >= len(frame)}
                ctx.set(dut.octets.payload, word | ends)
                ctx.set(dut.octets.valid, 1)
                if ctx.get(dut.payload.valid) and ctx.get(dut.payload.payload.last):
                    taken.append((number, ctx.get(dut.line)))
                for name in counts:
                    counts[name] += ctx.get(getattr(dut, name))
                await ctx.tick()
        ctx.set(dut.octets.valid, 0)
        for _ in range(Receive.VERDICT_LATENCY + 1):
            for name in counts:
                counts[name] += ctx.get(getattr(dut, name))
            await ctx.tick()

    simulated.run(testbench)
    sources = [
        next((n for n, s in enumerate((first, second, third)) if s is f), None) for f in sent
    ]
    assert taken == [(n, at) for n, at in enumerate(sources) if at is not None and enabled[at]]
    assert counts == {"frames": len(sent), "not_for_us": len(sent) - len(taken)}


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_for_both_lines_is_of_the_first(width):
    frames = [make_frame(b"payload")] * 2
    assert check_frames(width, frames, other=(ADDRESS, PORT)) == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_a_disabled_receiver_takes_nothing(width, generator):
    frames = good_frames(generator, 5)
    assert check_frames(width, frames, enable=False) == {"not_for_us": 5}


def test_a_width_that_is_no_power_of_two_is_refused():
    with pytest.raises(ValueError, match="width must be 1, 2, 4 or 8"):
        Receive(width=3)
