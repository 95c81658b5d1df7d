"""What `tickgate bench simulation` runs under cocotb: frames in, tops counted, nothing more.

One coroutine does both, the least that a testbench in Python can do in each cycle.

Ref: cocotb 2.1, "Writing Testbenches".
"""

import json
import os
import time
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

__all__ = ["pace"]


@cocotb.test()
async def pace(dut) -> None:
    """Sends the frames of the file PACE_FRAMES and writes the pace to PACE_RESULT."""
    with np.load(os.environ["PACE_FRAMES"]) as stored:
        octets, lengths, gap = stored["octets"].tobytes(), stored["lengths"], int(stored["gap"])
    width = len(dut.rx_data) // 8
    clock = dut.clk
    dut.rst.value = 1
    dut.uart_rx.value = 1
    dut.tx_ready.value = 1
    dut.rx_valid.value = 0
    cocotb.start_soon(Clock(clock, 10, "ns").start())
    for _ in range(10):
        await FallingEdge(clock)
    dut.rst.value = 0
    cycles = tops = at = 0
    began = time.perf_counter()
    for length in lengths.tolist():
        for offset in range(0, length, width):
            count = min(width, length - offset)
            dut.rx_valid.value = 1
            dut.rx_data.value = int.from_bytes(octets[at : at + count], "little")
            dut.rx_count.value = count
            dut.rx_first.value = offset == 0
            dut.rx_last.value = offset + width >= length
            await FallingEdge(clock)
            tops += bool(dut.top_valid.value)
            cycles += 1
            at += count
        dut.rx_valid.value = 0
        for _ in range(gap):
            await FallingEdge(clock)
            tops += bool(dut.top_valid.value)
            cycles += 1
    seconds = time.perf_counter() - began
    result = {"cycles": cycles, "seconds": seconds, "tops": tops}
    Path(os.environ["PACE_RESULT"]).write_text(json.dumps(result))
