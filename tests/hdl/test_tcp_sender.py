# amaranth: UnusedElaboratable=no

"""The connection's own segments, as frames, against frames that the model writes as wholes."""

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from tickgate.hdl.order.tcp.ring import Ring
from tickgate.hdl.order.tcp.sender import Sender
from tickgate.sim.model.segments import Ends, Segment, pack_frame
from tickgate.spec.ethernet import TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN

WIDTHS = (1, 4, 8)
RING = 256
WINDOW = 0x3456
MSS = 1234
ENDS = Ends(
    source_mac=0x02AA00000001,
    destination_mac=0x02BB00000002,
    source_ip=0x0A010203,
    destination_ip=0x0A090807,
    source_port=15000,
    destination_port=40001,
)


def check(width, content, jobs, *, stalls=lambda: False) -> None:
    """Sends segments out of a ring with this content; the port may have a mind of its own."""
    m = Module()
    m.submodules.ring = ring = Ring(width=width, size=RING)
    m.submodules.dut = dut = Sender(width=width, ring_size=RING, window=WINDOW, mss=MSS)
    m.d.comb += [
        ring.read_at.eq(dut.read_at),
        ring.read_enable.eq(dut.read_enable),
        dut.read_data.eq(ring.data),
    ]

    async def fill(ctx):
        for at in range(3, RING + 3, width):
            octets = bytes(content[(at + n) % RING] for n in range(width))
            ctx.set(ring.write_at, at % RING)
            ctx.set(ring.write_data, int.from_bytes(octets, "little"))
            ctx.set(ring.write_mask, (1 << width) - 1)
            await ctx.tick()
        ctx.set(ring.write_mask, 0)

    async def send(ctx, segment):
        job = {
            "sequence": segment.sequence,
            "acknowledgement": segment.acknowledgement,
            "flags": segment.flags,
            "length": len(segment.payload),
            "mss": bool(segment.options),
        }
        ctx.set(dut.jobs.payload, job)
        ctx.set(dut.jobs.valid, 1)
        frame, ended = b"", False
        while not ended:
            ready = not stalls()
            ctx.set(dut.octets.ready, ready)
            ended = ctx.get(dut.jobs.ready)
            if ctx.get(dut.octets.valid) and ready:
                word = dut.octets.payload
                assert ctx.get(word.first) == (not frame)
                assert ctx.get(word.last) == ended
                count = ctx.get(word.count)
                assert 0 < count <= width and (ended or count == width)
                frame += ctx.get(word.data).to_bytes(width, "little")[:count]
            else:
                assert not ended
            await ctx.tick()
        ctx.set(dut.jobs.valid, 0)
        assert frame == pack_frame(segment, ENDS)
        await ctx.tick()

    async def testbench(ctx):
        for name, value in (
            ("local_mac", ENDS.source_mac),
            ("gateway_mac", ENDS.destination_mac),
            ("local_ip", ENDS.source_ip),
            ("remote_ip", ENDS.destination_ip),
            ("local_port", ENDS.source_port),
            ("remote_port", ENDS.destination_port),
        ):
            ctx.set(dut.endpoints[name], value)
        await fill(ctx)
        for segment in jobs:
            await send(ctx, segment)

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


def make(generator, content, length, flags=TCP_ACK | TCP_PSH, *, mss=False) -> Segment:
    sequence = generator.randrange(1 << 32)
    return Segment(
        sequence=sequence,
        acknowledgement=generator.randrange(1 << 32),
        flags=flags,
        window=WINDOW,
        payload=bytes(content[(sequence + n) % RING] for n in range(length)),
        options=b"\x02\x04" + MSS.to_bytes(2, "big") if mss else b"",
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_segments_of_every_length_leave_whole_with_their_checksums(width, generator):
    content = generator.randbytes(RING)
    jobs = [make(generator, content, length) for length in (*range(width + 10), 60, RING)]
    jobs += [make(generator, content, 0, flags) for flags in (TCP_ACK | TCP_FIN, TCP_RST)]
    jobs.append(make(generator, content, 0, TCP_SYN, mss=True))
    jobs.append(make(generator, content, 2))
    check(width, content, jobs)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_port_that_stalls_at_any_word_changes_nothing(width, generator):
    content = generator.randbytes(RING)
    jobs = [make(generator, content, length) for length in (0, 7, 8, 33)]
    check(width, content, jobs, stalls=lambda: generator.random() < 0.4)
