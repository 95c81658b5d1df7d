# amaranth: UnusedElaboratable=no
"""The ECPIX-5: pins, clocks and resets as they go to the tools, and a bitstream of a small core."""

import json
import re

import pytest
from amaranth.hdl import Fragment
from amaranth.sim import Simulator
from amaranth_boards.ecpix5 import ECPIX585Platform

from tickgate.boards import ecpix5
from tickgate.boards.build import build
from tickgate.boards.phy_reset import PhyReset

PULLED_UP = {"IO_TYPE": "LVCMOS33", "PULLMODE": "UP"}
PLAIN = {"IO_TYPE": "LVCMOS33"}
# From the board's schematic, by way of amaranth-boards and litex-boards.
PINS = {
    "clk100_0__io": ("K23", PLAIN),
    "rst_0__io": ("AB1", PULLED_UP),
    "uart_0__rx__io": ("R26", PULLED_UP),
    "uart_0__tx__io": ("R24", PULLED_UP),
    "eth_rgmii_0__rst__io": ("C13", PLAIN),
    "eth_rgmii_0__tx_clk__io": ("A12", PLAIN),
    "eth_rgmii_0__tx_ctrl__io": ("C9", PLAIN),
    "eth_rgmii_0__tx_data__io[0]": ("D8", PLAIN),
    "eth_rgmii_0__tx_data__io[1]": ("C8", PLAIN),
    "eth_rgmii_0__tx_data__io[2]": ("B8", PLAIN),
    "eth_rgmii_0__tx_data__io[3]": ("A8", PLAIN),
    "eth_rgmii_0__rx_clk__io": ("E11", PLAIN),
    "eth_rgmii_0__rx_ctrl__io": ("A11", PLAIN),
    "eth_rgmii_0__rx_data__io[0]": ("B11", PULLED_UP),
    "eth_rgmii_0__rx_data__io[1]": ("A10", PULLED_UP),
    "eth_rgmii_0__rx_data__io[2]": ("B10", PULLED_UP),
    "eth_rgmii_0__rx_data__io[3]": ("A9", PULLED_UP),
    "rgb_led_0__r__io": ("T23", PULLED_UP),
    "rgb_led_0__g__io": ("R21", PULLED_UP),
    "rgb_led_0__b__io": ("T22", PULLED_UP),
}


@pytest.fixture(scope="module")
def files(echo_core):
    """The files that go to the tools."""
    plan = ecpix5.Platform().prepare(ecpix5.Ecpix5(core=echo_core()), name="card")
    return plan.files


def test_every_pin_is_where_the_board_has_it_with_its_levels_and_pulls(files):
    constraints = files["card.lpf"]
    sites = dict(re.findall(r'LOCATE COMP "(.+)" SITE "(.+)";', constraints))
    attributes = {
        port: dict(each.split("=") for each in text.split())
        for port, text in re.findall(r'IOBUF PORT "(.+?)" (.+);', constraints)
    }
    assert {port: (sites[port], attributes[port]) for port in sites} == PINS


def test_pins_and_polarity_are_those_that_amaranth_boards_publishes():
    ours, published = ecpix5.Platform(), ECPIX585Platform()
    assert (ours.device, ours.package, ours.speed) == ("LFE5UM5G-85F", "BG554", "8")
    theirs = polarities(published.lookup("eth_rgmii").ios)
    for name, polarity in polarities(ours.lookup("eth_rgmii").ios).items():
        assert polarity == theirs[name], name
    (mine,), (other,) = ours.lookup("rst").ios, published.lookup("rst").ios
    assert (mine.names, mine.invert) == (other.names, other.invert)


def polarities(parts):
    return {part.name: (part.ios[0].names, part.ios[0].invert) for part in parts}


def test_only_clocks_from_outside_are_constrained_by_hand(files):
    # The PLL's output takes its frequency from its input; a net may be renamed by Yosys.
    found = re.findall(r'FREQUENCY (\w+) "(.+)" (.+) HZ;', files["card.lpf"])
    assert sorted((kind, name, float(hertz)) for kind, name, hertz in found) == [
        ("PORT", "clk100_0__io", 100e6),
        ("PORT", "eth_rgmii_0__rx_clk__io", 125e6),
    ]


def test_the_pll_makes_the_clock_that_the_core_counts_with_within_its_range(files):
    (pll,) = re.findall(r"cell \\EHXPLLL.*?\n  end\n", files["card.il"], re.DOTALL)
    value = {
        name: int(text)
        for name, text in re.findall(r"parameter \\(\w+) (?:signed )?(\d+)$", pll, re.MULTILINE)
    }
    compared = 100e6 / value["CLKI_DIV"]
    clock = compared * value["CLKFB_DIV"]
    assert clock == ecpix5.CLOCK_HZ
    assert clock * ecpix5.PARAMETERS["clock_period_ps"] == 1e12
    # Lattice FPGA-DS-02012: the phase detector takes 10 to 400 MHz, the oscillator 400 to 800.
    assert 10e6 <= compared <= 400e6
    assert 400e6 <= clock * value["CLKOP_DIV"] <= 800e6


def test_the_core_fits_the_board_at_its_size():
    Fragment.get(ecpix5.Ecpix5(core=ecpix5.core()), ecpix5.Platform())


@pytest.mark.parametrize("clock_hz", [10_000, 999_999, 1_000_000])
def test_the_phy_is_held_in_reset_for_ten_milliseconds_and_ready_a_tenth_of_one_later(clock_hz):
    dut = PhyReset(clock_hz=clock_hz)
    times = {}

    async def watch(ctx):
        cycle = 0
        while not ctx.get(dut.ready):
            assert ctx.get(dut.reset) == ("released" not in times)
            await ctx.tick()
            cycle += 1
            if not ctx.get(dut.reset):
                times.setdefault("released", cycle / clock_hz)
        times["ready"] = cycle / clock_hz
        for _ in range(100):
            await ctx.tick()
            assert (ctx.get(dut.reset), ctx.get(dut.ready)) == (0, 1)

    simulator = Simulator(dut)
    simulator.add_clock(1 / clock_hz)
    simulator.add_testbench(watch)
    simulator.run()
    assert 10e-3 <= times["released"] <= 10e-3 + 2 / clock_hz
    assert 100e-6 <= times["ready"] - times["released"] <= 100e-6 + 2 / clock_hz


def test_a_clock_too_slow_to_count_the_reset_is_refused():
    with pytest.raises(ValueError, match="at least 10000"):
        PhyReset(clock_hz=9999)


def test_the_open_tools_make_a_bitstream_and_a_true_report(echo_core, tmp_path):
    stages = []
    report = build(
        ecpix5.Platform(),
        board="ecpix5",
        design=ecpix5.Ecpix5(core=echo_core()),
        directory=tmp_path,
        seed=3,
        progress=lambda stage, seconds: stages.append(stage),
    )
    assert list(dict.fromkeys(stages)) == ["elaboration", "synthesis", "place and route", "pack"]
    assert (tmp_path / "tickgate.bit").read_bytes().find(b"\xff\xff\xbd\xb3") > 0
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(report.as_json())
    assert (tmp_path / "report.txt").read_text() == report.as_text()

    raw = json.loads((tmp_path / "tickgate.report.json").read_text())
    assert (report.device, report.seed) == ("LFE5UM5G-85F-8BG554", 3)
    assert [clock.asked_mhz for clock in report.clocks] == [125, 125]
    assert all(clock.met for clock in report.clocks)
    # Two ways to the same figure: the period of a clock is the delay of its longest path.
    for clock, path in zip(report.clocks, report.longest_paths, strict=True):
        assert clock.name == path.clock
        assert path.delay_ns == pytest.approx(1000 / clock.closed_mhz, abs=0.01)
    used = {kind: count for kind, (count, _) in report.utilisation.items() if count}
    assert used["EHXPLLL"] == 1
    assert used["DCCA"] == 3  # two clocks, and the reset of the core
    assert used["SIOLOGIC"] == 11  # five inputs, five outputs, the transmit clock
    assert used["TRELLIS_IO"] == len(PINS)
    assert used["TRELLIS_FF"] == raw["utilization"]["TRELLIS_FF"]["used"] > 100
    # 80 taps of 25 ps on the one pin that is delayed.
    taps = re.findall(r"DELAY\.DEL_VALUE (\d+)", (tmp_path / "tickgate.config").read_text())
    assert sorted(set(taps)) == ["0000000", f"{80:07b}"]
    assert taps.count(f"{80:07b}") == 1
