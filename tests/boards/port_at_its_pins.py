"""Tests of a gigabit port under cocotb, run by test_port.py: RGMII here, frames there."""

import logging
import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, Timer, with_timeout
from cocotb.utils import get_sim_time
from cocotbext.eth import GmiiFrame, RgmiiSink, RgmiiSource

from tickgate.hdl.stream import Octets
from tickgate.spec.ethernet import INTERFRAME_GAP, PREAMBLE_SIZE

PERIOD_PS = 8000
# As far apart as the standard allows two clocks to be: 200 ppm, either one the faster.
PHY_PERIODS_PS = (PERIOD_PS - 2, PERIOD_PS, PERIOD_PS + 2)
TRANSMIT_DELAY_PS = 2000


class Bench:
    def __init__(self, dut, phy_period_ps: int = PERIOD_PS) -> None:
        self.dut = dut
        self.random = random.Random(f"{os.environ['BENCH_SEED']} {phy_period_ps}")
        self.received: list[bytes] = []
        self.lost = self.underruns = 0
        self.phy_period_ps = phy_period_ps
        self.phy = RgmiiSource(dut.rx_data, dut.rx_ctrl, dut.rx_clk)
        self.peer = RgmiiSink(dut.tx_data, dut.tx_ctrl, dut.tx_clk)
        for end in self.phy, self.peer:
            end.log.setLevel(logging.WARNING)

    async def start(self) -> None:
        dut = self.dut
        dut.transmitted__valid.value = 0
        dut.rst.value = 1
        cocotb.start_soon(Clock(dut.rx_clk, self.phy_period_ps, unit="ps").start())
        cocotb.start_soon(Clock(dut.clk, PERIOD_PS, unit="ps").start(start_high=False))
        await Timer(10 * PERIOD_PS, "ps")
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        cocotb.start_soon(self.watch())
        # The receive clock's own reset ends a few of its cycles later.
        await Timer(10 * PERIOD_PS, "ps")

    async def watch(self) -> None:
        dut, octets = self.dut, bytearray()
        while True:
            # Inputs change at the falling edge: what holds before the rising one is what counts.
            await FallingEdge(dut.clk)
            await Timer(PERIOD_PS // 4, "ps")
            self.lost += int(dut.overflow.value)
            self.underruns += int(dut.underrun.value)
            if dut.received__valid.value:
                word = Octets(1).from_bits(int(dut.received__payload.value))
                assert word.first == (not octets)
                octets.append(word.data)
                if word.last:
                    self.received.append(bytes(octets))
                    octets.clear()

    async def transmit(self, frame: bytes, *, pause_at: int | None = None) -> None:
        dut = self.dut
        for at, octet in enumerate(frame):
            if at == pause_at:
                dut.transmitted__valid.value = 0
                await FallingEdge(dut.clk)
            word = {"data": octet, "count": 1, "first": at == 0, "last": at == len(frame) - 1}
            dut.transmitted__payload.value = Octets(1).const(word).as_value().value
            dut.transmitted__valid.value = 1
            await Timer(1, "ps")
            while not dut.transmitted__ready.value:
                await FallingEdge(dut.clk)
                await Timer(1, "ps")
            await FallingEdge(dut.clk)
        dut.transmitted__valid.value = 0

    async def sent(self) -> GmiiFrame:
        return await with_timeout(self.peer.recv(), 3000 * PERIOD_PS, "ps")

    def frames(self, count: int) -> list[bytes]:
        return [self.random.randbytes(self.random.randint(64, 200)) for _ in range(count)]


@cocotb.test()
@cocotb.parametrize(phy_period_ps=PHY_PERIODS_PS)
async def frames_of_the_phy_come_whole_and_in_order(dut, phy_period_ps):
    bench = Bench(dut, phy_period_ps)
    await bench.start()
    frames = [*bench.frames(10), bench.random.randbytes(1518), *bench.frames(2)]
    for frame in frames:
        await bench.phy.send(GmiiFrame.from_raw_payload(frame))
    await bench.phy.wait()
    await Timer(30 * PERIOD_PS, "ps")
    assert bench.received == frames
    assert bench.lost == 0


@cocotb.test()
async def octets_that_come_too_fast_are_told_to_be_lost(dut):
    bench = Bench(dut, PERIOD_PS * 9 // 10)
    await bench.start()
    await bench.phy.send(GmiiFrame.from_raw_payload(bench.random.randbytes(400)))
    await bench.phy.wait()
    await Timer(30 * PERIOD_PS, "ps")
    assert bench.lost > 0


@cocotb.test()
async def an_error_of_the_phy_ends_the_frame(dut):
    bench = Bench(dut)
    await bench.start()
    bad, good = bench.frames(2)
    frame = GmiiFrame.from_raw_payload(bad)
    frame.error = [0] * len(frame)
    frame.error[PREAMBLE_SIZE + 20] = 1
    await bench.phy.send(GmiiFrame(frame))
    await bench.phy.send(GmiiFrame.from_raw_payload(good))
    await bench.phy.wait()
    await Timer(30 * PERIOD_PS, "ps")
    cut, whole = bench.received
    assert cut == bad[:19] + bytes([bad[19] ^ 0xFF])
    assert whole == good


@cocotb.test()
async def frames_of_the_core_leave_whole_with_preamble_and_gap(dut):
    bench = Bench(dut)
    await bench.start()
    frames, seen = bench.frames(10), []
    await Timer(20 * PERIOD_PS, "ps")
    for frame in frames:
        await bench.transmit(frame)
    seen = [await bench.sent() for _ in frames]
    assert [bytes(each.get_payload(strip_fcs=False)) for each in seen] == frames
    assert all(bytes(each.get_preamble()) == b"\x55" * 7 + b"\xd5" for each in seen)
    assert all(each.error is None for each in seen)
    octets = PREAMBLE_SIZE + INTERFRAME_GAP
    for frame, this, after in zip(frames, seen, seen[1:], strict=False):
        assert after.sim_time_start - this.sim_time_start == PERIOD_PS * (octets + len(frame))
    assert bench.underruns == 0


@cocotb.test()
async def a_frame_cut_short_leaves_with_an_error_and_is_counted(dut):
    bench = Bench(dut)
    await bench.start()
    cut, whole = bench.frames(2)
    await bench.transmit(cut, pause_at=40)
    await bench.transmit(whole)
    seen = await bench.sent()
    assert bytes(seen.get_payload(strip_fcs=False))[:-1] == cut[:40]
    assert list(seen.error) == [0] * (PREAMBLE_SIZE + 40) + [1]
    assert bytes((await bench.sent()).get_payload(strip_fcs=False)) == whole
    assert bench.underruns == 1


@cocotb.test()
async def the_transmit_clock_rises_in_the_middle_of_the_first_nibble(dut):
    bench = Bench(dut)
    await bench.start()
    await Timer(20 * PERIOD_PS, "ps")
    for _ in range(20):
        await RisingEdge(dut.clk)
        core = get_sim_time("ps")
        await RisingEdge(dut.tx_clk)
        assert get_sim_time("ps") - core == TRANSMIT_DELAY_PS
        await FallingEdge(dut.tx_clk)
        assert get_sim_time("ps") - core == TRANSMIT_DELAY_PS + PERIOD_PS // 2
