# amaranth: UnusedElaboratable=no

"""The venue's packets, cut into segments at any octet, against a reading of the whole stream."""

from functools import cache

import pytest
from amaranth.hdl import Cat
from simulated import Simulated

from tickgate.hdl.order.soup.inbound import Inbound
from tickgate.hdl.stream import ReportKind
from tickgate.sim.model.soupbin import Inbound as Model
from tickgate.sim.model.soupbin import Report
from tickgate.sim.packets import HEARTBEAT, Packets
from tickgate.spec import ouch50, soupbintcp

WIDTHS = (1, 4, 8)
LONGEST = 600
FIELDS = ("user_ref_num", "previous", "quantity", "price", "reference", "reason", "code")
HEADERS = 54


def login(sequence: int, *, text: bytes | None = None) -> bytes:
    return Packets(None).login(sequence, text=text)


def some_packets(generator, count) -> bytes:
    packets = Packets(generator)
    return b"".join(packets.some() for _ in range(count))


def pack_report(generator, type_: str) -> bytes:
    message = ouch50.OUTBOUND[type_]
    return soupbintcp.pack("S", ouch50.encode(message, Packets(generator).values(message)))


def cut(generator, data: bytes, sizes) -> list[bytes]:
    pieces = []
    while data:
        size = generator.choice(sizes)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@cache
def build(width: int) -> Simulated:
    return Simulated(Inbound(width=width, longest=LONGEST))


def run(width, segments, *, gap=lambda: 12, settle=True):
    """Sends segments as (payload, taken or not); returns model, reports, counts and latencies.

    A segment that was to be taken and could not be is sent again.
    """
    simulated, model = build(width), Model()
    dut = simulated.dut
    counts = dict.fromkeys(Inbound.COUNTERS, 0)
    reports, latencies = [], []
    verdict = 2 if width == 1 else 4
    clock = {"now": 0, "next": 0}

    async def cycle(ctx):
        report = dut.reports.payload
        if ctx.get(dut.reports.valid):
            assert clock["announced"] == (ctx.get(report.user_ref_num), ctx.get(report.sequence))
            assert clock["now"] >= clock["next"]
            clock["next"] = clock["now"] + Inbound.SPACING
            values = {name: ctx.get(report[name]) for name in FIELDS}
            reports.append(
                Report(
                    ctx.get(report.kind).name,
                    bool(ctx.get(report.fits)),
                    ctx.get(report.sequence),
                    {name: value for name, value in values.items() if value}
                    if ctx.get(report.fits)
                    else {},
                )
            )
            latencies.append(clock["now"] - clock["last"])
        told = ctx.get(Cat(getattr(dut, name) for name in counts))
        for n, name in enumerate(counts):
            counts[name] += told >> n & 1
        clock["announced"] = (ctx.get(dut.coming), ctx.get(report.sequence))
        clock["now"] += 1
        await ctx.tick()

    async def send(ctx, payload, taken) -> bool:
        begin = HEADERS % width if width > 1 else 0
        padded = bytes(begin) + payload
        for at in range(0, len(padded), width):
            word = padded[at : at + width]
            first = at == 0
            ctx.set(
                dut.payload.payload,
                {
                    # What is not payload is anything.
                    "data": int.from_bytes(word.ljust(width, b"\xa5"), "little"),
                    "begin": begin if first else 0,
                    "end": len(word),
                    "first": first,
                    "last": at + width >= len(padded),
                },
            )
            ctx.set(dut.payload.valid, 1)
            await cycle(ctx)
        # The word was on the receive stream a cycle before; the FCS follows it.
        ctx.set(dut.payload.valid, 0)
        clock["last"] = clock["now"] - 2
        for _ in range(-(-4 // width) + verdict - 2):
            await cycle(ctx)
        spoiled = ctx.get(dut.spoiled)
        ctx.set(dut.judged, 1)
        ctx.set(dut.take, taken and not spoiled)
        await cycle(ctx)
        ctx.set(dut.judged, 0)
        ctx.set(dut.take, 0)
        return not spoiled

    async def testbench(ctx):
        ctx.set(dut.restart, 1)
        await cycle(ctx)
        ctx.set(dut.restart, 0)
        for payload, taken in segments:
            while not await send(ctx, payload, taken):
                assert not settle or taken is None
                for _ in range(60):
                    await cycle(ctx)
            if taken:
                model.feed(payload)
            for _ in range(gap()):
                await cycle(ctx)
        for _ in range(LONGEST):
            await cycle(ctx)
        shown = {
            "accepted": bool(ctx.get(dut.login.accepted)),
            "rejected": ctx.get(dut.login.reason) if ctx.get(dut.login.rejected) else None,
            "ended": bool(ctx.get(dut.login.ended)),
            "lost": bool(ctx.get(dut.lost)),
            "next_sequence": ctx.get(dut.next_sequence),
        }
        assert shown == {name: getattr(model, name) for name in shown}
        if model.accepted:
            assert ctx.get(dut.session).to_bytes(10, "big").decode() == model.session

    simulated.run(testbench)
    expected = [
        report if report.fits else Report(report.kind, False, report.sequence, {})
        for report in model.reports
    ]
    assert reports == expected
    assert {**counts, "unread": 0} == {**model.counters, "unread": 0}
    return model, counts, latencies


@pytest.mark.parametrize("width", WIDTHS)
def test_packets_cut_at_any_octet_are_read_as_the_whole_stream_is(width, generator):
    data = login(generator.randrange(1, 10**9))
    for type_ in ouch50.OUTBOUND:
        data += pack_report(generator, type_)
    data += soupbintcp.pack("S", b"?") + some_packets(generator, 8 if width == 1 else 20)
    pieces = cut(generator, data, (1, 2, 3, 5, 8, 16, 39, 60, 200))
    model, *_ = run(width, [(piece, True) for piece in pieces], gap=lambda: 30)
    assert {report.kind for report in model.reports} == {kind.name for kind in ReportKind}
    assert not all(report.fits for report in model.reports)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_segment_that_is_void_leaves_no_trace(width, generator):
    data = login(7) + some_packets(generator, 8 if width == 1 else 20)
    segments = []
    for piece in cut(generator, data, (1, 4, 9, 33, 90)):
        if generator.random() < 0.4:
            segments.append((generator.randbytes(generator.randrange(1, 90)), False))
        if generator.random() < 0.3:
            segments.append((piece, False))
        segments.append((piece, True))
    run(width, segments, gap=lambda: 30)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_fill_is_told_within_six_or_seven_cycles_of_its_last_octet(width, generator):
    segments = [(login(1), True)]
    for _ in range(10):
        packet = pack_report(generator, "E")
        segments.append((HEARTBEAT * generator.randrange(3) + packet, True))
    model, _, latencies = run(width, segments, gap=lambda: 60)
    assert len(model.reports) == 10
    # One more cycle is left for the position.
    assert max(latencies) <= 7


@pytest.mark.parametrize("width", WIDTHS)
def test_many_packets_in_a_segment_are_all_told_in_order(width, generator):
    one = pack_report(generator, "C")
    segments = [(login(1) + one * 20, True), (one * (LONGEST // len(one)), True)]
    segments += [(HEARTBEAT * (LONGEST // 3), True), (one, True)]
    model, *_ = run(width, segments, gap=lambda: 200)
    assert len(model.reports) == 20 + LONGEST // len(one) + 1
    assert model.next_sequence == 1 + len(model.reports)


def test_a_segment_that_comes_before_the_last_one_is_read_is_not_taken(generator):
    one = pack_report(generator, "C")
    segments = [(login(1), True), (HEARTBEAT * 150 + one, True), (one * 2, True), (one, True)]
    model, counts, _ = run(8, segments, gap=lambda: 0, settle=False)
    assert len(model.reports) == 4
    assert counts["unread"] > 0


@pytest.mark.parametrize("text", [b" " * 20, b"12 4".rjust(20), b"9" * 20, b"-1".rjust(20)])
def test_a_login_without_a_number_is_of_no_use(text):
    model, *_ = run(4, [(login(0, text=text), True)])
    assert model.lost and not model.accepted


def test_a_second_login_is_of_no_use():
    for between in (60, 0):
        segments = [(login(5) + HEARTBEAT, True), (login(9), True)]
        model, *_ = run(8, segments, gap=lambda between=between: between)
        assert model.lost and model.next_sequence == 5


def test_nothing_that_follows_a_login_changes_its_number(generator):
    one = pack_report(generator, "C")
    later = soupbintcp.pack("A", bytes(2)) + one + login(77) + one
    # Reports before the login, too: they delay it, while the rest is already read.
    model, *_ = run(8, [(one * 8 + login(5) + one + later, True), (login(99), False), (one, True)])
    assert model.lost and model.next_sequence == 9


def test_numbers_of_a_login_may_be_padded_either_way_and_fill_64_bits():
    for text, value in (
        (b"42".ljust(20), 42),
        (b"42".zfill(20), 42),
        (str(2**64 - 1).encode(), -1),
    ):
        model, *_ = run(8, [(login(0, text=text), True)])
        assert model.next_sequence == value % 2**64


@pytest.mark.parametrize("width", WIDTHS)
def test_a_refused_login_the_end_of_a_session_and_a_length_of_zero_are_told(width):
    model, *_ = run(width, [(soupbintcp.pack("J", b"S"), True)])
    assert model.rejected == ord("S")
    model, *_ = run(width, [(login(3) + soupbintcp.pack("Z"), True)])
    assert model.ended and not model.lost
    model, *_ = run(width, [(login(3) + b"\0\0" + HEARTBEAT, True), (HEARTBEAT * 30, True)])
    assert model.lost
