"""A wire that is not perfect: frames lost, doubled, late, out of order, damaged.

Ref: docs/cli.md, "sim".
"""

import heapq
import random
from dataclasses import dataclass, field, fields

__all__ = ["Impairments", "Wire"]


@dataclass(frozen=True, kw_only=True)
class Impairments:
    """What a wire does to a frame: rates from 0 to 1, drawn independently; seconds.

    `drop`: it is lost. `duplicate`: it comes twice. `reorder`: it is held back for `hold`, so that
    frames after it overtake it. `corrupt`: one of its bits is turned over. Of a frame that comes
    twice, the latter two befall one copy. `delay`: every frame takes as long.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    delay: float = 0.0
    hold: float = 0.005

    def __post_init__(self) -> None:
        for each in fields(self):
            value, rate = getattr(self, each.name), each.name not in ("delay", "hold")
            if not value >= 0 or (rate and value > 1):
                bounds = "between 0 and 1" if rate else "0 or more seconds"
                raise ValueError(f"{each.name} must be {bounds}, not {value}")


@dataclass
class Counts:
    """What a wire has done so far, in frames."""

    passed: int = 0
    dropped: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0


@dataclass
class Wire:
    """One direction of an imperfect wire. What it does to frame n is fixed by its seed.

    Parameters
    ----------
    impairments : Impairments
    seed : int

    Members
    -------
    counts : Counts
    """

    impairments: Impairments
    seed: int = 0
    counts: Counts = field(default_factory=Counts, init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._under_way: list[tuple[float, int, bytes]] = []
        self._number = 0

    def put(self, frame: bytes, now: float) -> None:
        """A frame enters at time `now`, in seconds."""
        its, draw = self.impairments, self._random.random
        # As many draws for every frame, so that one fate does not change the next.
        dropped, doubled, late, damaged = (
            draw() < rate for rate in (its.drop, its.duplicate, its.reorder, its.corrupt)
        )
        bit = self._random.randrange(8 * len(frame))
        self.counts.passed += 1
        if dropped:
            self.counts.dropped += 1
            return
        copies = [frame] * (1 + doubled)
        if damaged:
            at, mask = bit // 8, 1 << bit % 8
            copies[0] = frame[:at] + bytes([frame[at] ^ mask]) + frame[at + 1 :]
        self.counts.corrupted += damaged
        self.counts.duplicated += doubled
        self.counts.reordered += late
        for n, copy in enumerate(copies):
            self._number += 1
            due = now + its.delay + (its.hold if late and n == 0 else 0.0)
            heapq.heappush(self._under_way, (due, self._number, copy))

    def take(self, now: float) -> list[bytes]:
        """The frames that have arrived by `now`."""
        frames = []
        while self._under_way and self._under_way[0][0] <= now:
            frames.append(heapq.heappop(self._under_way)[2])
        return frames

    @property
    def under_way(self) -> bool:
        """Whether anything is still to arrive."""
        return bool(self._under_way)
