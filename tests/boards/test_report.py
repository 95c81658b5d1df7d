"""What is read out of nextpnr's report, from a small one."""

import json

import pytest

from tickgate.boards.report import read_report


def leg(kind, delay, *, source, target, net=None):
    described = {
        "type": kind,
        "delay": delay,
        "from": {"cell": source[0], "port": source[1], "loc": [1, 2]},
        "to": {"cell": target[0], "port": target[1], "loc": [1, 2]},
    }
    return described if net is None else {**described, "net": net}


def arrives(cell, delay, *, launched="posedge $glbnet$clk"):
    """A net and the one register that it ends in."""
    end = {"cell": cell, "port": "DI", "event": "posedge $glbnet$clk", "delay": [0.1, delay]}
    return {"net": "", "driver": "", "port": "F", "event": launched, "endpoints": [end]}


FLOP, LUT = "book.best_FF", "book.best_LUT4"
RAW = {
    "fmax": {
        "$glbnet$rx_clk": {"achieved": 250.239, "constraint": 125},
        "$glbnet$clk": {"achieved": 124.9999, "constraint": 125},
    },
    "utilization": {
        "TRELLIS_FF": {"used": 205, "available": 83640},
        "DP16KD": {"used": 104, "available": 208},
        "ALU54B": {"used": 0, "available": 78},
    },
    "critical_paths": [
        {
            "from": "posedge $glbnet$clk",
            "to": "posedge $glbnet$clk",
            "path": [
                leg("clk-to-q", 0.309, source=(FLOP, "Q"), target=(FLOP, "Q")),
                leg("routing", 5.5, source=(FLOP, "Q"), target=(LUT, "A"), net="book.best[3]"),
                leg("logic", 0.141, source=(LUT, "A"), target=(LUT, "F")),
                leg("routing", 2.05, source=(LUT, "F"), target=(FLOP, "DI"), net="book.next[3]"),
                leg("setup", 0.0, source=(FLOP, "DI"), target=(FLOP, "DI")),
            ],
        },
        {"from": "posedge $glbnet$clk", "to": "posedge $glbnet$rx_clk", "path": []},
        {"from": "<async>", "to": "posedge $glbnet$clk", "path": []},
        {"from": "<async>", "to": "<async>", "path": []},
    ],
    "detailed_net_timings": [
        arrives("book.best_FF", 3.5),
        arrives("book.ladder.total_FF", 7.8594),
        arrives("feed.mold.next_FF", 8.25),
        arrives("feed.mold.next_FF", 9.5, launched="posedge $glbnet$rx_clk"),
        arrives("book.ladder.held_FF", 2.0),
    ],
}


@pytest.fixture
def report():
    return read_report(
        json.dumps(RAW), board="ecpix5", device="LFE5UM5G-85F-8BG554", seed=7, netlist="0a1b"
    )


def test_each_clock_has_what_was_asked_and_what_was_closed(report):
    clocks = [(clock.name, clock.asked_mhz, clock.closed_mhz, clock.met) for clock in report.clocks]
    assert clocks == [("clk", 125, 124.99, False), ("rx_clk", 125, 250.23, True)]


def test_utilisation_has_used_and_available(report):
    assert report.utilisation == {
        "ALU54B": (0, 78),
        "DP16KD": (104, 208),
        "TRELLIS_FF": (205, 83640),
    }


def test_the_longest_path_is_that_within_a_clock_leg_by_leg(report):
    (path,) = report.longest_paths
    assert path.clock == "clk"
    assert path.delay_ns == 8.0
    assert path.routing_ns == 7.55
    assert [(each.kind, each.delay_ns, each.through) for each in path.legs] == [
        ("clk-to-q", 0.309, "book.best_FF.Q"),
        ("routing", 5.5, "book.best[3]"),
        ("logic", 0.141, "book.best_LUT4.F"),
        ("routing", 2.05, "book.next[3]"),
        ("setup", 0.0, "book.best_FF.DI"),
    ]


def test_the_json_form_holds_the_same_figures(report):
    document = json.loads(report.as_json())
    assert document["board"] == "ecpix5"
    assert document["device"] == "LFE5UM5G-85F-8BG554"
    assert document["seed"] == 7
    assert document["clocks"] == [
        {"name": "clk", "asked_mhz": 125, "closed_mhz": 124.99, "met": False},
        {"name": "rx_clk", "asked_mhz": 125, "closed_mhz": 250.23, "met": True},
    ]
    assert document["utilisation"]["DP16KD"] == {"used": 104, "available": 208}
    (path,) = document["longest_paths"]
    assert (path["clock"], path["delay_ns"], path["routing_ns"]) == ("clk", 8.0, 7.55)
    assert path["legs"][1] == {"kind": "routing", "delay_ns": 5.5, "through": "book.best[3]"}


def test_the_text_form_says_which_clocks_are_not_met_and_leaves_out_unused_cells(report):
    text = report.as_text()
    lines = [line.split() for line in text.splitlines()]
    assert ["clk", "125.00", "MHz", "124.99", "MHz", "NOT", "MET"] in lines
    assert ["rx_clk", "125.00", "MHz", "250.23", "MHz", "met"] in lines
    assert ["DP16KD", "104", "208", "50.0", "%"] in lines
    assert "longest path of clk: 8.00 ns, 7.55 ns of it routing" in text
    assert ["routing", "5.50", "5.81", "book.best[3]"] in lines
    assert "ALU54B" not in text


def test_each_component_has_its_latest_arrival_within_a_clock_and_the_latest_comes_first(report):
    found = [(each.component, each.register, each.delay_ns) for each in report.arrivals]
    assert found == [
        ("feed.mold", "feed.mold.next_FF.DI", 8.25),
        ("book.ladder", "book.ladder.total_FF.DI", 7.859),
        ("book", "book.best_FF.DI", 3.5),
    ]
    assert {each.clock for each in report.arrivals} == {"clk"}
    assert json.loads(report.as_json())["arrivals"][0]["component"] == "feed.mold"
    assert "book.ladder                7.86  book.ladder.total_FF.DI" in report.as_text()
