# amaranth: UnusedElaboratable=no
"""The commands `build`, `timing` and `flash`, by tools that pretend."""

import json

import pytest
from typer.testing import CliRunner

from tickgate.boards import ecpix5, timing
from tickgate.boards.cli import app


@pytest.fixture(autouse=True)
def small_core(monkeypatch, echo_core, tmp_path):
    monkeypatch.setattr(ecpix5, "core", echo_core)
    monkeypatch.setattr(timing, "core", lambda width: echo_core())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENFPGALOADER", raising=False)


@pytest.fixture
def bitstream(tmp_path):
    path = tmp_path / "build" / "ecpix5" / "tickgate.bit"
    path.parent.mkdir(parents=True)
    path.write_text("bits")
    return path


@pytest.fixture
def loader(program, tmp_path, monkeypatch):
    """An openFPGALoader on the PATH that notes its arguments."""
    path = program("openFPGALoader", f'printf "%s\\n" "$@" > {tmp_path / "arguments"}')
    monkeypatch.setenv("PATH", str(path.parent), prepend=":")
    return tmp_path / "arguments"


def run(*arguments):
    return CliRunner().invoke(app, arguments)


@pytest.mark.usefixtures("pretended_tools")
def test_build_prints_the_report_and_says_where_the_bitstream_is(tmp_path):
    result = run("build", "ecpix5")
    assert result.exit_code == 0, result.output
    assert result.stdout == (tmp_path / "build/ecpix5/report.txt").read_text()
    assert "bitstream: build/ecpix5/tickgate.bit" in result.stderr
    assert "elaboration (after 0 s)" in result.stderr


@pytest.mark.usefixtures("pretended_tools")
def test_build_prints_json_alone_on_standard_output(tmp_path):
    result = run("build", "ecpix5", "--json", "--directory", "elsewhere", "--seed", "4")
    assert json.loads(result.stdout)["seed"] == 4
    assert (tmp_path / "elsewhere" / "report.json").read_text() == result.stdout


@pytest.mark.usefixtures("pretended_tools")
def test_build_ends_with_1_and_a_message_if_a_tool_fails(program, monkeypatch):
    monkeypatch.setenv("YOSYS", str(program("yosys", "echo 'ERROR: too large' >&2; exit 1")))
    result = run("build", "ecpix5")
    assert result.exit_code == 1
    assert "synthesis failed" in result.stderr
    assert "ERROR: too large" in result.stderr
    assert result.stdout == ""


@pytest.mark.usefixtures("pretended_tools")
def test_timing_prints_the_reports_of_the_widths_as_json(tmp_path):
    result = run("timing", "--json", "--seed", "4")
    assert result.exit_code == 0, result.output
    cores = json.loads(result.stdout)["cores"]
    assert [(core["width"], core["seed"]) for core in cores] == [(1, 4), (8, 4)]
    for core in cores:
        kept = json.loads(
            (tmp_path / f"build/timing/width-{core.pop('width')}/report.json").read_text()
        )
        assert core == kept
    assert "width 8: elaboration (after 0 s)" in result.stderr


@pytest.mark.usefixtures("pretended_tools")
def test_timing_prints_the_report_of_one_width_as_text(tmp_path):
    result = run("timing", "--width", "8", "--directory", "elsewhere")
    assert result.stdout == (tmp_path / "elsewhere/width-8/report.txt").read_text()


def test_timing_of_a_width_that_no_line_has_is_a_mistake_of_the_user():
    result = run("timing", "--width", "1", "--width", "3")
    assert result.exit_code == 2
    assert "no core of width 3 is timed; there is: 1, 8" in result.stderr


@pytest.mark.usefixtures("pretended_tools")
def test_timing_of_a_part_leaves_the_others_out_and_has_a_directory_of_its_own(
    monkeypatch, tmp_path
):
    asked = []
    monkeypatch.setattr(timing, "parts_of", lambda core, parts: asked.append(parts) or core)
    result = run("timing", "--width", "1", "--part", "book", "--part", "feed", "--part", "book")
    assert result.exit_code == 0, result.output
    assert asked == [["feed", "book"]]
    assert result.stdout.startswith("feed, book of the core, width 1 (")
    assert (tmp_path / "build/timing/width-1-feed-book/report.json").exists()


def test_timing_of_a_part_that_the_core_does_not_have_is_a_mistake_of_the_user():
    result = run("timing", "--part", "ladder")
    assert result.exit_code == 2
    assert "no part 'ladder'; it has: receive, hold, feed, book" in result.stderr


@pytest.mark.usefixtures("pretended_tools")
def test_timing_ends_with_1_and_a_message_if_a_tool_fails(program, monkeypatch):
    monkeypatch.setenv("YOSYS", str(program("yosys", "echo 'ERROR: too large' >&2; exit 1")))
    result = run("timing", "--width", "1")
    assert result.exit_code == 1
    assert "ERROR: too large" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["build", "flash"])
def test_a_board_that_is_not_there_is_a_mistake_of_the_user(command):
    result = run(command, "ecpix6")
    assert result.exit_code == 2
    assert "no board 'ecpix6'; there is: ecpix5" in result.stderr


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ([], ["--board", "ecpix5", "--write-sram"]),
        (["--persistent"], ["--board", "ecpix5", "--write-flash"]),
        (["--loader-board", "ecpix5_r03"], ["--board", "ecpix5_r03", "--write-sram"]),
    ],
)
def test_flash_calls_openfpgaloader_with_board_and_bitstream(
    loader, bitstream, tmp_path, options, arguments
):
    result = run("flash", "ecpix5", *options)
    assert result.exit_code == 0, result.output
    expected = [*arguments, str(bitstream.relative_to(tmp_path))]
    assert loader.read_text().splitlines() == expected


@pytest.mark.usefixtures("bitstream", "nothing_on_path")
def test_flash_says_what_to_do_where_openfpgaloader_is_missing():
    result = run("flash", "ecpix5")
    assert result.exit_code == 2
    assert "openFPGALoader is not installed: " in result.stderr
    assert "apt install openfpgaloader" in result.stderr


@pytest.mark.usefixtures("bitstream")
def test_flash_ends_with_1_if_openfpgaloader_fails(program, monkeypatch):
    failing = program("loader", "echo 'no cable' >&2; exit 3")
    monkeypatch.setenv("OPENFPGALOADER", str(failing))
    result = run("flash", "ecpix5")
    assert result.exit_code == 1
    assert "failed with exit code 3" in result.stderr


@pytest.mark.usefixtures("loader")
def test_flash_without_a_bitstream_tells_to_build_one(loader):
    result = run("flash", "ecpix5")
    assert result.exit_code == 2
    assert "run `tickgate build ecpix5` first" in result.stderr
    assert not loader.exists()
