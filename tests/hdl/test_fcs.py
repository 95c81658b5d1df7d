# amaranth: UnusedElaboratable=no
"""The frame check sequence against zlib."""

import zlib

import pytest
from amaranth.sim import Simulator

from tickgate.hdl.fcs import FCS_INITIAL, FCS_RESIDUE, Crc32

WIDTHS = (1, 2, 4, 8)


@pytest.mark.parametrize("width", WIDTHS)
def test_any_number_of_octets_a_step_gives_the_crc_of_zlib(width, generator):
    dut = Crc32(width=width)

    async def words(ctx):
        for _ in range(300):
            before, word = generator.randbytes(generator.randrange(9)), generator.randbytes(width)
            count = generator.randint(0, width)
            ctx.set(dut.state, zlib.crc32(before) ^ FCS_INITIAL)
            ctx.set(dut.data, int.from_bytes(word, "little"))
            ctx.set(dut.count, count)
            await ctx.delay(1e-9)
            assert ctx.get(dut.next_state) ^ FCS_INITIAL == zlib.crc32(before + word[:count])

    simulator = Simulator(dut)
    simulator.add_testbench(words)
    simulator.run()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_frame_with_its_fcs_leaves_the_residue_and_one_with_a_wrong_bit_does_not(
    width, generator
):
    frame = generator.randbytes(12)
    good = frame + zlib.crc32(frame).to_bytes(4, "little")
    wrong = [
        good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]
        for at in range(len(good))
        for bit in range(8)
    ]
    residues = []

    async def frames(ctx):
        for octets in (good, *wrong):
            state = FCS_INITIAL
            for at in range(0, len(octets), width):
                ctx.set(dut.state, state)
                ctx.set(dut.data, int.from_bytes(octets[at : at + width], "little"))
                ctx.set(dut.count, width)
                await ctx.delay(1e-9)
                state = ctx.get(dut.next_state)
            residues.append(state)

    dut = Crc32(width=width)
    simulator = Simulator(dut)
    simulator.add_testbench(frames)
    simulator.run()
    assert residues[0] == FCS_RESIDUE
    assert FCS_RESIDUE not in residues[1:]


def test_a_width_that_is_no_power_of_two_is_refused():
    with pytest.raises(ValueError, match="width must be 1, 2, 4 or 8"):
        Crc32(width=3)
