"""What every test may ask for: real market data if it is there, and a repeatable generator."""

import gc
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.utils import RawPcapReader

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
DEFAULT_SEED = 20200130


def pytest_addoption(parser):
    parser.addoption(
        "--seed",
        type=int,
        default=DEFAULT_SEED,
        help=f"seed of the random inputs (default: {DEFAULT_SEED})",
    )
    parser.addoption(
        "--risk-events",
        type=int,
        default=100_000,
        help="events in the random lives of orders that the risk gate is held to (100000)",
    )


def pytest_report_header(config):
    data = "present" if SHARED_DATA.is_dir() else "absent: tests on real market data are skipped"
    return [f"seed: {config.getoption('seed')}", f"real market data: {data}"]


def pytest_collection_finish():
    """What is there by now stays: to look through it for garbage again and again takes long."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_make_parametrize_id(val):
    """Octets are named by their number: every process must give a test the same name."""
    return f"{len(val)}-octets" if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data beside the repository; without it the test is skipped."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real market data is not part of the project: no ../shared/data beside it")
    return SHARED_DATA


@pytest.fixture(scope="session")
def real_frames(shared_data) -> Callable[[str], list[bytes]]:
    """Reads the frames, without FCS, of the real captures that match a pattern under pcap/."""

    def read(pattern: str) -> list[bytes]:
        frames = []
        for path in sorted((shared_data / "pcap").glob(pattern)):
            with RawPcapReader(str(path)) as capture:
                frames += [octets for octets, _ in capture]
        assert frames, f"no capture matches {pattern}"
        return frames

    return read


@pytest.fixture
def seed(request) -> int:
    """The seed of this run, given by --seed."""
    return request.config.getoption("seed")


@pytest.fixture
def generator(request, seed) -> random.Random:
    """Random numbers that depend on --seed and on the test, and on nothing else."""
    return random.Random(f"{seed} {request.node.nodeid}")
