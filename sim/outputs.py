"""Files that a replay fills piece by piece: every top of book as CSV, every order frame as pcap.

Ref: docs/cli.md, "replay".
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from tickgate.sim.capture import InputError, write_capture
from tickgate.sim.scan import Tracked
from tickgate.sim.trace import Trace

__all__ = ["OrderCapture", "TopsFile", "create", "require_writable"]

COLUMNS = (
    "message",
    "symbol",
    "locate",
    "bid_price",
    "bid_shares",
    "ask_price",
    "ask_shares",
    "exact",
    "t0_cycle",
    "top_cycle",
)
FROM_CARD = ("bid_price", "bid_shares", "ask_price", "ask_shares", "exact")


@contextlib.contextmanager
def create(path: Path) -> Iterator[TextIO]:
    """Opens a file to write. Raises `InputError` if it cannot be written."""
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            yield file
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def require_writable(path: Path) -> None:
    """Raises `InputError` if a file cannot be written, before there is anything to write."""
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


class TopsFile:
    """One row for each change of a top of book, in the order in which the card told them.

    `message` is the 1-based index in the input; it is 0, as is `t0_cycle`, where the loss of
    messages and not a message is the cause. Prices in 1e-4 USD, 0 where there is none.
    """

    def __init__(self, file: TextIO, tracked: Sequence[Tracked]) -> None:
        self._file = file
        self._labels = [f"{symbol.name},{symbol.locate}" for symbol in tracked]
        file.write(",".join(COLUMNS) + "\n")

    def take(self, trace: Trace, effects: np.ndarray) -> None:
        """Writes the rows of one piece."""
        tops, messages = trace.log.tops, trace.top_message
        known = messages >= 0
        t0 = np.zeros(len(tops), np.int64)
        t0[known] = trace.t0[messages[known]]
        indices = np.where(known, trace.frames.first_index + messages, 0)
        rows = zip(
            indices.tolist(),
            [self._labels[symbol] for symbol in tops["symbol"].tolist()],
            *(tops[name].tolist() for name in FROM_CARD),
            t0.tolist(),
            tops["cycle"].tolist(),
            strict=True,
        )
        self._file.writelines(",".join(map(str, row)) + "\n" for row in rows)


class OrderCapture:
    """Keeps the order frames with the time, from the first cycle on, at which each left.

    Parameters
    ----------
    path : Path
    clock_period_ps : int
    """

    def __init__(self, path: Path, *, clock_period_ps: int) -> None:
        self._path = path
        self._period_ps = clock_period_ps
        self._frames: list[tuple[int, bytes]] = []

    def take(self, trace: Trace, effects: np.ndarray) -> None:
        """Keeps the frames of one piece."""
        self._frames += [
            (frame.first_cycle * self._period_ps // 1000, frame.octets)
            for frame in trace.log.tx_frames
        ]

    def write(self) -> None:
        """Writes the file. Raises `InputError` if that cannot be done."""
        write_capture(self._path, self._frames)
