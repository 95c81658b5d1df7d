# amaranth: UnusedElaboratable=no
"""What `build` does with its tools when they fail, by tools that pretend."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tickgate.boards import ecpix5, kept
from tickgate.boards.build import BuildError, build, digest, prepare

DOCS = Path(__file__).parents[2] / "docs"
DIGEST_OF_THE_CARD = "from tickgate.boards import kept; print(kept.netlist_of_the_board())"


def attempt(echo_core, directory, **options):
    design = ecpix5.Ecpix5(core=echo_core())
    return build(ecpix5.Platform(), board="ecpix5", design=design, directory=directory, **options)


@pytest.fixture(autouse=True)
def place(tmp_path):
    return tmp_path / "build"


@pytest.mark.usefixtures("pretended_tools")
def test_bitstream_and_reports_are_left_in_the_directory(echo_core, place):
    report = attempt(echo_core, place)
    assert (place / "tickgate.bit").read_text() == "bits\n"
    assert (place / "report.json").read_text() == report.as_json()
    assert (place / "report.txt").read_text() == report.as_text()
    assert [clock.closed_mhz for clock in report.clocks] == [130.5]


def test_a_clock_that_is_not_met_is_reported_and_no_error(echo_core, place, pretended_tools):
    raw = json.loads(pretended_tools.read_text())
    raw["fmax"]["$glbnet$clk"]["achieved"] = 99.0
    pretended_tools.write_text(json.dumps(raw))
    (clock,) = attempt(echo_core, place).clocks
    assert not clock.met


@pytest.mark.usefixtures("pretended_tools")
@pytest.mark.parametrize(
    ("variable", "stage"),
    [("YOSYS", "synthesis"), ("NEXTPNR_ECP5", "place and route"), ("ECPPACK", "pack")],
)
def test_a_tool_that_fails_is_told_with_its_last_words_and_leaves_no_report(
    echo_core, place, program, monkeypatch, variable, stage
):
    place.mkdir()
    (place / "report.json").write_text("of an earlier build")
    (place / "tickgate.bit").write_text("of an earlier build")
    monkeypatch.setenv(variable, str(program("fails", "echo 'ERROR: no room' >&2; exit 1")))
    with pytest.raises(BuildError, match=rf"(?s){stage} failed, see .*build\.log.*ERROR: no room"):
        attempt(echo_core, place)
    assert not (place / "report.json").exists()
    assert not (place / "tickgate.bit").exists()


@pytest.mark.usefixtures("pretended_tools")
def test_a_tool_that_is_missing_is_named_before_anything_is_done(echo_core, place, monkeypatch):
    monkeypatch.setenv("ECPPACK", "no-such-ecppack")
    with pytest.raises(BuildError, match=r"no-such-ecppack is missing: .*variable ECPPACK"):
        attempt(echo_core, place)
    assert not place.exists()


def test_a_clock_constraint_that_is_not_heeded_is_an_error(
    echo_core, place, program, monkeypatch, pretended_tools
):
    script = f"""echo "Warning: net 'a.b' does not exist in design, ignoring clock constraint" >&2
cp {pretended_tools} tickgate.report.json; touch tickgate.config"""
    monkeypatch.setenv("NEXTPNR_ECP5", str(program("nextpnr", script)))
    with pytest.raises(BuildError, match=r"did not heed a constraint: .*net 'a\.b'"):
        attempt(echo_core, place)


@pytest.mark.usefixtures("pretended_tools")
def test_place_and_route_without_a_report_is_an_error(echo_core, place, program, monkeypatch):
    monkeypatch.setenv("NEXTPNR_ECP5", str(program("nextpnr", "touch tickgate.config")))
    with pytest.raises(BuildError, match=r"left no tickgate\.report\.json"):
        attempt(echo_core, place)


@pytest.mark.usefixtures("pretended_tools")
def test_an_interrupted_build_leaves_no_tool_running(echo_core, place, program, monkeypatch):
    monkeypatch.setenv("YOSYS", str(program("yosys", "echo $$ > running; sleep 60")))

    def interrupt(stage, seconds):
        if (place / "running").exists() and (place / "running").read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(echo_core, place, progress=interrupt)
    tool = int((place / "running").read_text())
    for _ in range(50):
        try:
            os.kill(tool, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the tool still runs")


@pytest.fixture
def netlist_of_the_card():
    return kept.netlist_of_the_board()


def test_the_same_design_has_the_same_netlist_in_every_process(netlist_of_the_card):
    # Sets of strings and of enumerations come in an order that differs from process to process.
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    told = subprocess.run(
        [sys.executable, "-c", DIGEST_OF_THE_CARD],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == netlist_of_the_card


def test_another_design_has_another_netlist(echo_core, netlist_of_the_card):
    assert (
        digest(prepare(ecpix5.Platform(), ecpix5.Ecpix5(core=echo_core()))) != netlist_of_the_card
    )


@pytest.mark.parametrize("name", ["ecpix5.json", "timing.json"])
def test_a_report_that_is_kept_says_whether_it_is_of_the_card_as_it_is(name):
    if not (DOCS / name).exists():
        pytest.skip(f"no docs/{name} is kept")
    document = json.loads((DOCS / name).read_text())
    assert document == kept.marked(document), "make docs"


def test_a_report_of_another_netlist_is_marked_as_superseded(netlist_of_the_card):
    assert kept.marked({"netlist": netlist_of_the_card})[kept.SUPERSEDED] is False
    assert kept.marked({"netlist": "another"})[kept.SUPERSEDED] is True
