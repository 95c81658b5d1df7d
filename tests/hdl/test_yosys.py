"""Yosys from its Python package, called as its own command would be."""

import subprocess

from tickgate.hdl import yosys

NETLIST = "module \\top\n wire input 1 \\a\n wire output 2 \\b\n connect \\b \\a\nend\n"


def run(*arguments, cwd):
    return subprocess.run(
        [*yosys.COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_scripts_are_run_and_then_commands_and_the_log_is_kept(tmp_path):
    (tmp_path / "top.il").write_text(NETLIST)
    (tmp_path / "read.ys").write_text("read_rtlil top.il  # a comment\n")
    done = run("-q", "-l", "log", "-p", "stat; write_verilog top.v", "read.ys", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "module top(a, b);" in (tmp_path / "top.v").read_text()
    assert "2 ports" in (tmp_path / "log").read_text()


def test_the_first_error_ends_it_and_is_told_even_where_nothing_else_is(tmp_path):
    done = run("-q", "-p", "\nread_rtlil missing.il\nwrite_verilog top.v\n", cwd=tmp_path)
    assert done.returncode == 1
    assert (done.stdout, "missing.il' not found" in done.stderr) == ("", True)
    assert not (tmp_path / "top.v").exists()
    assert "calls all the other proc_" in run("-p", "help proc", cwd=tmp_path).stdout


def test_it_says_its_version(tmp_path):
    assert run("--version", cwd=tmp_path).stdout == f"Yosys {yosys.version()}\n"
