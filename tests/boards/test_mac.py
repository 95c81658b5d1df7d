# amaranth: UnusedElaboratable=no
"""The gigabit MAC, octet by octet at its GMII."""

from itertools import pairwise

import pytest
from amaranth.sim import Simulator

from tickgate.boards.mac import MacReceive, MacTransmit
from tickgate.spec.ethernet import INTERFRAME_GAP, MAX_FRAME, PREAMBLE_SIZE

SILENCE = (0, 0, 0)
PREAMBLE, START = 0x55, 0xD5


def wire(
    *, frame: bytes, preamble: int = 7, gap: int = INTERFRAME_GAP, error_at: int | None = None
):
    """The octet times (data, valid, error) of a frame; `error_at` counts from its first octet."""
    times = [(PREAMBLE, 1, 0)] * preamble + [(START, 1, 0)]
    times += [(octet, 1, int(at == error_at)) for at, octet in enumerate(frame)]
    return times + [SILENCE] * gap


def receive(times) -> list[tuple[int, bytes]]:
    """What the receiver makes of octet times: each frame and the cycle of its first octet.

    Checks that a frame comes without a pause, its first and last octet marked and no other.
    """
    dut = MacReceive()
    seen = []

    async def phy(ctx):
        for data, valid, error in [*times, *[SILENCE] * (dut.LATENCY + 1)]:
            ctx.set(dut.gmii, {"data": data, "valid": valid, "error": error})
            octets = dut.octets
            if ctx.get(octets.valid):
                payload = ctx.get(octets.payload)
                assert payload.count == 1
                seen.append((payload.data, payload.first, payload.last))
            else:
                seen.append(None)
            await ctx.tick()

    run(dut, phy)
    return split(seen)


def run(dut, *actors) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(8e-9)
    for actor in actors:
        simulator.add_testbench(actor)
    simulator.run()


def split(seen) -> list[tuple[int, bytes]]:
    frames, octets = [], None
    for cycle, octet in enumerate(seen):
        if octet is None:
            assert octets is None, f"a pause inside a frame in cycle {cycle}"
            continue
        data, first, last = octet
        assert first == (octets is None), f"cycle {cycle}"
        if first:
            octets, began = bytearray(), cycle
        octets.append(data)
        if last:
            frames.append((began, bytes(octets)))
            octets = None
    assert octets is None
    return frames


def frames_of(times) -> list[bytes]:
    return [frame for _, frame in receive(times)]


def inverted_end(octets: bytes) -> bytes:
    return octets[:-1] + bytes([octets[-1] ^ 0xFF])


def test_frames_come_whole_whatever_the_preamble_and_the_gap(generator):
    frames, times = [], [SILENCE]
    for _ in range(40):
        frame = generator.randbytes(generator.choice([1, 2, 3, 60, 64, 100]))
        frames.append(frame)
        times += wire(
            frame=frame,
            preamble=generator.choice([0, 1, 6, 7, 8, 20]),
            gap=generator.choice([1, 2, 12]),
        )
    assert frames_of(times) == frames


def test_the_longest_frame_and_the_delimiter_as_data_come_whole():
    frames = [bytes([START, PREAMBLE, START, START]) * (MAX_FRAME // 4), bytes([START])]
    assert frames_of([SILENCE, *(time for frame in frames for time in wire(frame=frame))]) == frames


def test_the_receiver_has_the_latency_that_it_says():
    (began, _), *others = receive([SILENCE, *wire(frame=bytes(64))])
    assert not others
    assert began == 1 + PREAMBLE_SIZE + MacReceive.LATENCY


def test_a_preamble_without_a_delimiter_or_without_a_frame_brings_nothing():
    no_delimiter = [(PREAMBLE, 1, 0)] * 80
    no_frame = wire(frame=b"", gap=1)
    times = [SILENCE, *no_delimiter, SILENCE, *no_frame, *wire(frame=b"frame")]
    assert frames_of(times) == [b"frame"]


@pytest.mark.parametrize("at", [1, 2, 30, 63])
def test_a_frame_with_an_error_ends_there_with_a_wrong_octet_and_the_rest_is_skipped(at):
    # The rest holds a delimiter, which must not begin a second frame.
    bad = bytes(range(at + 1)) + bytes([START]) + bytes(range(70))
    times = [SILENCE, *wire(frame=bad, error_at=at, gap=1), *wire(frame=b"next")]
    assert frames_of(times) == [inverted_end(bad[:at]), b"next"]


def test_an_error_in_the_first_octet_or_before_it_brings_no_frame():
    in_preamble = [(PREAMBLE, 1, 0), (PREAMBLE, 1, 1), *wire(frame=b"lost", preamble=3)]
    in_delimiter = [(PREAMBLE, 1, 0), (START, 1, 1), *wire(frame=b"lost", preamble=0)]
    first = wire(frame=b"lost", error_at=0)
    times = [SILENCE, *in_preamble, *in_delimiter, *first, *wire(frame=b"next")]
    assert frames_of(times) == [b"next"]


def test_an_error_behind_a_whole_frame_makes_its_fcs_wrong():
    frame = bytes(range(64))
    times = [SILENCE, *wire(frame=frame + b"?", error_at=64)]
    assert frames_of(times) == [inverted_end(frame)]


def test_an_error_in_the_gap_is_not_of_a_frame():
    # RGMII and GMII: error without valid is carrier extension, false carrier or in-band status.
    frame = wire(frame=b"frame", gap=0)
    assert frames_of([(0x0E, 0, 1), *frame, (0x0F, 0, 1), *frame, SILENCE]) == [b"frame"] * 2


def test_the_rest_of_a_frame_that_was_under_way_at_reset_is_skipped():
    rest = [(octet, 1, 0) for octet in bytes(9) + bytes([START]) + bytes(9)]
    assert frames_of([*rest, SILENCE, *wire(frame=b"frame")]) == [b"frame"]


def transmit(frames, *, pauses=(), gaps=None):
    """Offers frames to the transmitter; returns the GMII's octet times and the underruns.

    `pauses` has (frame, octet): the source has nothing to offer for one cycle before that octet.
    `gaps` has the idle cycles before each frame.
    """
    dut = MacTransmit()
    times, offered, underruns = [], [], []
    done = False

    async def source(ctx):
        nonlocal done
        for number, frame in enumerate(frames):
            for _ in range(gaps[number] if gaps else 0):
                await ctx.tick()
            offered.append(len(times))
            for at, octet in enumerate(frame):
                if (number, at) in pauses:
                    ctx.set(dut.octets.valid, 0)
                    await ctx.tick()
                ctx.set(dut.octets.valid, 1)
                ctx.set(
                    dut.octets.payload,
                    {"data": octet, "count": 1, "first": at == 0, "last": at == len(frame) - 1},
                )
                await ctx.tick().until(dut.octets.ready)
            ctx.set(dut.octets.valid, 0)
        await ctx.tick().repeat(dut.LATENCY + INTERFRAME_GAP)
        done = True

    async def phy(ctx):
        while not done:
            gmii = ctx.get(dut.gmii)
            times.append((gmii.data, gmii.valid, gmii.error))
            if ctx.get(dut.underrun):
                underruns.append(len(times))
            await ctx.tick()

    run(dut, source, phy)
    return times, offered, len(underruns)


def bursts(times) -> list[tuple[int, list]]:
    """The runs of octet times in which valid is high, with the cycle in which each begins."""
    found, before = [], 0
    for cycle, time in enumerate(times):
        if time[1]:
            if not before:
                found.append((cycle, []))
            found[-1][1].append(time)
        else:
            assert time[2] == 0, "an error outside of a frame"
        before = time[1]
    return found


def test_frames_back_to_back_leave_with_their_preamble_and_exactly_twelve_octets_of_gap(generator):
    frames = [generator.randbytes(generator.randint(64, 120)) for _ in range(20)]
    times, _, underruns = transmit(frames)
    assert underruns == 0
    seen = bursts(times)
    assert [burst for _, burst in seen] == [wire(frame=frame, gap=0) for frame in frames]
    for (began, burst), (next_began, _) in pairwise(seen):
        assert next_began - (began + len(burst)) == INTERFRAME_GAP == 12


def test_frames_that_come_after_a_pause_leave_with_the_latency_that_the_transmitter_says(generator):
    frames = [generator.randbytes(64) for _ in range(10)]
    gaps = [generator.randint(INTERFRAME_GAP + 1, 40) for _ in frames]
    times, offered, _ = transmit(frames, gaps=gaps)
    first_octets = [began + PREAMBLE_SIZE for began, _ in bursts(times)]
    assert first_octets == [cycle + MacTransmit.LATENCY for cycle in offered]


@pytest.mark.parametrize("gap", range(INTERFRAME_GAP + 2))
def test_no_gap_is_shorter_than_twelve_octets(gap):
    (began, burst), (next_began, _) = bursts(transmit([bytes(64)] * 2, gaps=[20, gap])[0])
    assert next_began - began - len(burst) == max(gap, INTERFRAME_GAP)


@pytest.mark.parametrize("at", [1, 2, 40, 63])
def test_a_frame_whose_source_pauses_ends_with_an_error_and_its_rest_is_dropped(at):
    cut, after = bytes(range(64)), bytes(range(64, 128))
    times, _, underruns = transmit([cut, after], pauses=[(0, at)])
    assert underruns == 1
    (began, burst), (next_began, whole) = bursts(times)
    *octets, (_, valid, error) = burst
    assert octets == wire(frame=cut[:at], gap=0)
    assert (valid, error) == (1, 1)
    assert whole == wire(frame=after, gap=0)
    assert next_began - began - len(burst) >= INTERFRAME_GAP


def test_what_the_transmitter_sends_the_receiver_finds(generator):
    frames = [generator.randbytes(generator.randint(1, 80)) for _ in range(20)]
    gaps = [generator.randint(0, 30) for _ in frames]
    assert frames_of(transmit(frames, gaps=gaps)[0]) == frames
