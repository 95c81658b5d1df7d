"""Models of the gates that hold whatever the order is.

Ref: docs/risk.md.
"""

from dataclasses import dataclass, field

__all__ = ["ExecutionModel", "HeartbeatModel", "NumberModel", "RejectModel"]


@dataclass
class HeartbeatModel:
    """Gate 3: the host answers, and in time.

    `timeout_ms` 0: none is programmed. `silent_us`: since the last right answer, or since armed.
    """

    timeout_ms: int = 0
    off: bool = False
    armed: bool = False
    silent_us: int = 0

    def pass_time(self, microseconds: int) -> None:
        """So long nothing is heard of the host."""
        self.silent_us += microseconds if self.armed else 0

    def arm(self, armed: bool) -> None:
        """The card is armed, or disarmed: then no time passes."""
        self.armed, self.silent_us = armed, self.silent_us if armed and self.armed else 0

    def answer(self, challenge: int, answer: int) -> bool:
        """The host answers; whether it is right."""
        if challenge + answer != (1 << 32) - 1:
            return False
        self.silent_us = 0
        return True

    @property
    def is_silent(self) -> bool:
        """Whether that kills an armed card."""
        return bool(self.timeout_ms) and not self.off and not self._in_time

    @property
    def passes(self) -> bool:
        """Whether an order may leave."""
        return self.off or (self.timeout_ms > 0 and self._in_time)

    @property
    def _in_time(self) -> bool:
        return self.silent_us // 1000 <= self.timeout_ms


@dataclass
class ExecutionModel:
    """Gate 27: fewer executions than `most` since the strategy was enabled; else it is off."""

    most: int = 0
    count: int = 0
    off: bool = False

    def look(self) -> None:
        """The strategy is latched off at the limit that is in force now."""
        self.off = self.off or 0 < self.most <= self.count

    def execute(self) -> None:
        """An own order is executed."""
        self.count = min(self.count + 1, (1 << 32) - 1)

    def renew(self) -> None:
        """The host enables it anew."""
        self.count, self.off = 0, False

    @property
    def passes(self) -> bool:
        """Whether an order may leave."""
        return self.count < self.most and not self.off


@dataclass
class NumberModel:
    """Gate 20: numbers follow one another, and none is used twice.

    `end` is the first number that no order may have.
    """

    end: int = 0
    used: set[int] = field(default_factory=set)
    begun: bool = True

    def begin(self) -> None:
        """The host gives other numbers."""
        self.begun = True

    def is_spent(self, number: int) -> bool:
        """Whether an order has had this number or a higher one, or it is not given."""
        return number >= self.end or any(each >= number for each in {0} | self.used)

    def passes(self, number: int) -> bool:
        """Whether the next order may have this number."""
        follows = self.begun or number - 1 == max(self.used)
        return follows and not self.is_spent(number)

    def send(self, number: int) -> bool:
        """An order leaves with it; whether that is sound. A number that is not changes nothing."""
        if any(each >= number for each in {0} | self.used):
            return False
        self.used.add(number)
        self.begun = False
        return True


@dataclass
class RejectModel:
    """Gate 32: at most `most` rejects within `window` ticks."""

    most: int
    window: int
    times: list[int] = field(default_factory=list)

    def reject(self, time: int) -> bool:
        """An order is rejected; whether there are too many now."""
        self.times.append(time)
        return sum(time - each <= self.window for each in self.times) > self.most

    def clear(self) -> None:
        """The start of a day."""
        self.times.clear()
