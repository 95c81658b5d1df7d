# amaranth: UnusedElaboratable=no

"""What waits for the FCS of its frame, word for word and to the cycle."""

from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import pytest
from simulated import Simulated

from tickgate.hdl.eth import Hold, Receive
from tickgate.spec.ethernet import ETHERNET, FCS_SIZE, IPV4, MIN_FRAME, UDP

WIDTHS = (1, 4, 8)
PAYLOAD_AT = ETHERNET.size + IPV4.size + UDP.size
LONGEST = 1500 - IPV4.size - UDP.size


@dataclass(frozen=True)
class Frame:
    """A frame with so many octets of payload; `for_us` or not, and what is wrong with it."""

    size: int
    line: int = 0
    for_us: bool = True
    bad: bool = False
    truncated: bool = False


@dataclass
class Traffic:
    """What Receive gives in each cycle, and what is to come of it."""

    width: int
    words: dict = field(default_factory=dict)  # by cycle: the span, and the line
    ends: dict = field(default_factory=dict)  # by cycle: the frame
    datagrams: list = field(default_factory=list)  # of each frame, its words and its last cycle
    cycle: int = 0

    def add(self, frame: Frame, generator) -> None:
        """One more frame, with no idle cycle before it."""
        width, start, words = self.width, self.cycle, []
        begin, end = PAYLOAD_AT, PAYLOAD_AT + frame.size
        for at in range(begin // width * width, end, width) if frame.for_us else ():
            words.append(
                {
                    "data": generator.getrandbits(8 * width),
                    "begin": max(begin - at, 0),
                    "end": min(end - at, width),
                    "first": at <= begin,
                    "last": at + width >= end,
                }
            )
            self.words[start + at // width] = (words[-1], frame.line)
        length = max(end + FCS_SIZE, MIN_FRAME)
        self.cycle += -(-length // width)
        self.datagrams.append((words, self.cycle - 1))
        self.ends[self.cycle - 1 + Receive.VERDICT_LATENCY] = frame


@cache
def build(width: int) -> Simulated:
    return Simulated(Hold(width=width))


def run(traffic: Traffic, *, wait=lambda _: 1) -> tuple[dict, dict]:
    """By cycle, the words that were passed, each with its line; and what was counted."""
    simulated, passed = build(traffic.width), {}
    dut = simulated.dut
    longest = max(len(words) for words, _ in traffic.datagrams)
    drained = traffic.cycle + 2 * min(longest, LONGEST // traffic.width) + 100
    counts = dict.fromkeys(Hold.COUNTERS, 0)

    async def testbench(ctx):
        ctx.set(dut.wait, wait(0))
        while not ctx.get(dut.ready):
            await ctx.tick()
        line = 0
        for cycle in range(drained):
            span, following = traffic.words.get(cycle, (None, line))
            frame = traffic.ends.get(cycle)
            ctx.set(dut.wait, wait(cycle))
            ctx.set(dut.payload.valid, span is not None)
            if span is not None:
                ctx.set(dut.payload.payload, span)
            ctx.set(dut.line, line)
            ctx.set(dut.ends, frame is not None)
            ctx.set(dut.frame_bad, frame is not None and frame.bad)
            ctx.set(dut.truncated, frame is not None and frame.truncated)
            ctx.set(dut.cut, frame is not None and frame.truncated)
            if ctx.get(dut.passed.valid):
                word = dut.passed.payload
                seen = {name: ctx.get(word[name]) for name in ("data", "begin", "end")}
                seen |= {name: bool(ctx.get(word[name])) for name in ("first", "last")}
                passed[cycle] = (seen, ctx.get(dut.passed_line))
            if not wait(cycle):
                assert ctx.get(dut.passed_bad) == (frame is not None and frame.bad)
                assert ctx.get(dut.passed_cut) == (frame is not None and frame.truncated)
            for name in counts:
                counts[name] += ctx.get(getattr(dut, name))
            await ctx.tick()
            # Receive knows the line one cycle after the first word.
            line = following

    simulated.run(testbench)
    return passed, {name: count for name, count in counts.items() if count}


def split(passed: dict) -> list:
    """Takes apart what was passed: the words of each datagram, and the cycle of the first."""
    datagrams = []
    for cycle, (word, _) in sorted(passed.items()):
        if word["first"]:
            datagrams.append(([], cycle))
        datagrams[-1][0].append(word)
    return datagrams


def make(width, frames, generator) -> Traffic:
    traffic = Traffic(width)
    for frame in frames:
        traffic.add(frame, generator)
    return traffic


@pytest.mark.parametrize("width", WIDTHS)
def test_what_does_not_wait_passes_in_the_same_cycle_whatever_becomes_of_its_frame(
    width, generator
):
    assert Hold.LATENCY == 0
    frames = [Frame(30), Frame(50, bad=True), Frame(9, truncated=True), Frame(LONGEST), Frame(40)]
    traffic = make(width, frames, generator)
    passed, counts = run(traffic, wait=lambda _: 0)
    assert {cycle: word for cycle, (word, _) in passed.items()} == {
        cycle: word for cycle, (word, _) in traffic.words.items()
    }
    assert not counts


@pytest.mark.parametrize("width", WIDTHS)
def test_a_datagram_that_waits_comes_whole_so_many_cycles_after_its_frame(width, generator):
    sizes = (1, 7, 8, 9, 20, 60, 300)
    traffic = Traffic(width)
    for size in sizes:
        traffic.add(Frame(size), generator)
        traffic.cycle += 400
    datagrams = split(run(traffic)[0])
    assert datagrams == [(words, last + Hold.HELD_LATENCY) for words, last in traffic.datagrams]


@pytest.mark.parametrize("width", WIDTHS)
def test_frames_of_any_length_back_to_back_all_pass_in_order_with_their_line(width, generator):
    sizes = [1, 1, 1, 90, 1, 30, 3, LONGEST, LONGEST, 2, 18, 18, 18, 200, 5]
    frames = [
        Frame(size, line=generator.randrange(2), for_us=generator.random() < 0.8) for size in sizes
    ]
    traffic = make(width, frames, generator)
    passed, counts = run(traffic)
    datagrams = split(passed)
    assert [words for words, _ in datagrams] == [words for words, _ in traffic.datagrams if words]
    assert not counts
    # The line counts from the second word on.
    lines = [line for _, (word, line) in sorted(passed.items()) if not word["first"]]
    assert lines == [
        frame.line
        for frame, (words, _) in zip(frames, traffic.datagrams, strict=True)
        for _ in words[1:]
    ]
    for (words, first), (_, next_) in pairwise(datagrams):
        assert next_ - (first + len(words) - 1) > PAYLOAD_AT // width


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_damaged_or_short_is_left_out_whole_and_counted(width, generator):
    frames = [Frame(40), Frame(50, bad=True), Frame(60), Frame(9, truncated=True), Frame(1)]
    frames += [Frame(LONGEST, bad=True), Frame(33)]
    traffic = make(width, frames, generator)
    passed, counts = run(traffic)
    sound = [
        words
        for frame, (words, _) in zip(frames, traffic.datagrams, strict=True)
        if not frame.bad and not frame.truncated
    ]
    assert [words for words, _ in split(passed)] == sound
    assert counts == {"dropped": 3}


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_too_long_to_be_held_is_left_out_and_what_follows_passes(width, generator):
    frames = [
        Frame(40),
        Frame(2100),
        Frame(60),
        Frame(9000 if width == 8 else 4200),
        Frame(2100, bad=True),
        Frame(50),
    ]
    traffic = make(width, frames, generator)
    passed, counts = run(traffic)
    kept = [traffic.datagrams[n][0] for n in (0, 2, 5)]
    assert [words for words, _ in split(passed)] == kept
    assert counts == {"overlong": 2, "dropped": 1}


@pytest.mark.parametrize("width", WIDTHS)
def test_a_change_of_mind_never_divides_a_datagram(width, generator):
    period = generator.randrange(240, 480) // width
    frames = [Frame(generator.choice((1, 1, 1, 20, 200))) for _ in range(40)]
    traffic = make(width, frames, generator)
    passed, _ = run(traffic, wait=lambda cycle: cycle // period % 2)
    sent = [words for words, _ in traffic.datagrams]
    seen = [words for words, _ in split(passed)]
    remaining = iter(sent)
    assert all(words in remaining for words in seen)
    assert len(seen) > len(sent) / 3
