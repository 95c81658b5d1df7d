"""The curve of load against overflow of the order store."""

import json

import pytest
from typer.testing import CliRunner

from tickgate.hdl.book.types import Geometry
from tickgate.sim import storeload
from tickgate.sim.capture import InputError
from tickgate.sim.cli import app

GEOMETRY = Geometry(symbols=16, ticks=1024, orders=2048)
ONE_HASH, TWO_HASHES, _, ALL_TRACKED, A_QUARTER = storeload.SCHEMES


def measure(scheme, load, **options):
    (point,) = storeload.curve(GEOMETRY, schemes=[scheme], loads=[load], messages=20_000, **options)
    return point


@pytest.mark.parametrize("references", storeload.REFERENCES)
def test_no_order_overflows_at_85_percent(seed, references):
    point = measure(A_QUARTER, 0.85, references=references, seed=seed)
    assert (point.overflow, point.inserted) == (0, int(0.85 * 2048) + 10_000)
    assert 0 < point.most_stashed <= GEOMETRY.STASH


def test_simpler_schemes_overflow_long_before(seed):
    rates = [measure(each, 0.85, seed=seed).rate for each in (ONE_HASH, TWO_HASHES)]
    assert rates[0] > rates[1] > 0.01
    assert measure(ALL_TRACKED, 0.85, seed=seed).rate < rates[1] / 10


def test_an_overfull_store_counts_what_does_not_fit(seed):
    point = measure(ALL_TRACKED, 1.0, seed=seed)
    assert point.most_stashed == GEOMETRY.STASH
    assert point.overflow > 0


def test_the_same_seed_gives_the_same_curve(seed):
    assert measure(ALL_TRACKED, 1.0, seed=seed) == measure(ALL_TRACKED, 1.0, seed=seed)
    assert measure(ALL_TRACKED, 1.0, seed=seed) != measure(ALL_TRACKED, 1.0, seed=seed + 1)


def test_the_memory_is_that_of_the_block_rams():
    geometry = Geometry(symbols=16, ticks=1024, orders=16384)
    # 1 + 53 + 71 bits in 2,048 sets: 14 block RAMs of 2,048 by 9 for each of eight ways.
    assert storeload.memory(TWO_HASHES, geometry) == (16384 * 125, 112)


def test_unknown_references_are_refused():
    with pytest.raises(ValueError, match="references must be one of real, dense"):
        measure(ONE_HASH, 0.5, references="sorted")
    with pytest.raises(InputError, match="--references must be one of real, dense"):
        CliRunner().invoke(
            app, ["bench", "store", "--references", "sorted"], catch_exceptions=False
        )


def test_the_command_writes_the_curve():
    result = CliRunner().invoke(
        app, ["bench", "store", "--orders", "64", "--messages", "100", "--json", "-"]
    )
    assert result.exit_code == 0, result.output
    points = json.loads(result.stdout)
    assert len(points) == len(storeload.SCHEMES) * len(storeload.LOADS)
    assert points[0]["load"] == 0.5 and points[0]["rate"] > 0
    assert "block RAMs" in result.stderr
