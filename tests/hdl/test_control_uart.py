# amaranth: UnusedElaboratable=no
"""The serial port at the level of bits."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from tickgate.hdl.control.uart import Uart, UartReceiver, UartTransmitter

SEED = 115_200
OCTETS = bytes([0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80]) + random.Random(SEED).randbytes(20)
IDLE = 12
"""Bits of silence before and after what a test sends."""


def line_levels(octets: bytes, *, divisor: int, speed: float, stop: int = 1) -> list[int]:
    """The levels that a receiver's clock sees of a sender that is `speed` times as fast."""
    bits = [1] * IDLE
    for octet in octets:
        bits += [0, *(octet >> n & 1 for n in range(8)), stop]
    bits += [1] * IDLE
    cycles = int(len(bits) * divisor / speed)
    return [bits[min(int(n * speed / divisor), len(bits) - 1)] for n in range(cycles)]


def receive(levels: list[int], *, divisor: int, ready: bool = True) -> tuple[bytes, int, int]:
    dut = UartReceiver(divisor=divisor)
    received, errors, overruns = bytearray(), 0, 0

    async def line(ctx):
        nonlocal errors, overruns
        ctx.set(dut.received.ready, ready)
        for level in levels:
            ctx.set(dut.rx, level)
            await ctx.tick()
            if ready and ctx.get(dut.received.valid):
                received.append(ctx.get(dut.received.payload))
            errors += ctx.get(dut.framing_error)
            overruns += ctx.get(dut.overrun)
        if ctx.get(dut.received.valid) and not ready:
            received.append(ctx.get(dut.received.payload))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(line)
    simulator.run()
    return bytes(received), errors, overruns


@pytest.mark.parametrize("divisor", [4, 5, 16])
def test_what_a_uart_sends_comes_back_over_a_loop(divisor):
    m = Module()
    m.submodules.uart = uart = Uart(divisor=divisor)
    m.d.comb += uart.rx.eq(uart.tx)
    received = bytearray()

    async def sender(ctx):
        for octet in OCTETS:
            ctx.set(uart.octets.payload, octet)
            ctx.set(uart.octets.valid, 1)
            await ctx.tick().until(uart.octets.ready)
            ctx.set(uart.octets.valid, 0)

    async def receiver(ctx):
        ctx.set(uart.received.ready, 1)
        cycles = 0
        while len(received) < len(OCTETS):
            _, _, valid, octet, error = await ctx.tick().sample(
                uart.received.valid, uart.received.payload, uart.framing_error
            )
            assert not error
            if valid:
                received.append(octet)
            cycles += 1
            assert cycles < (len(OCTETS) + 2) * 10 * divisor + 50

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(sender)
    simulator.add_testbench(receiver)
    simulator.run()
    assert bytes(received) == OCTETS


@pytest.mark.parametrize(("divisor", "speed"), [(4, 0.98), (4, 1.02), (16, 0.96), (16, 1.04)])
def test_a_sender_that_is_a_little_slow_or_fast_is_understood(divisor, speed):
    levels = line_levels(OCTETS, divisor=divisor, speed=speed)
    assert receive(levels, divisor=divisor) == (OCTETS, 0, 0)


@pytest.mark.parametrize("divisor", [4, 16])
def test_a_sender_that_is_far_too_slow_is_not(divisor):
    received, _, _ = receive(line_levels(OCTETS, divisor=divisor, speed=0.9), divisor=divisor)
    assert received != OCTETS


def test_the_line_of_a_transmitter_has_one_start_bit_eight_data_bits_and_one_stop_bit():
    dut = UartTransmitter(divisor=4)
    levels = []

    async def sender(ctx):
        ctx.set(dut.octets.payload, 0b0101_0011)
        ctx.set(dut.octets.valid, 1)
        for _ in range(2 * 40 + 1):
            await ctx.tick()
            levels.append(ctx.get(dut.tx))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(sender)
    simulator.run()
    frame = [level for bit in (0, 1, 1, 0, 0, 1, 0, 1, 0, 1) for level in [bit] * 4]
    assert levels == [*frame, *frame, 0]


@pytest.mark.parametrize("divisor", [4, 16])
def test_an_octet_without_its_stop_bit_is_dropped_and_the_next_one_received(divisor):
    levels = line_levels(b"\x00", divisor=divisor, speed=1, stop=0)
    levels += line_levels(b"ok", divisor=divisor, speed=1)
    assert receive(levels, divisor=divisor) == (b"ok", 1, 0)


def test_a_short_dip_of_the_line_is_no_octet():
    assert receive([1] * 40 + [0] * 3 + [1] * 300, divisor=16) == (b"", 0, 0)


def test_an_octet_that_is_not_taken_is_replaced_by_the_next_and_counted():
    levels = line_levels(b"abc", divisor=4, speed=1)
    assert receive(levels, divisor=4, ready=False) == (b"c", 0, 2)


@pytest.mark.parametrize("part", [Uart, UartReceiver, UartTransmitter])
def test_a_bit_of_less_than_4_cycles_is_refused(part):
    with pytest.raises(ValueError, match="at least 4 cycles, not 3"):
        part(divisor=3)
