"""User reference numbers, given out once and for ever, whatever becomes of card and host.

Ref: OUCH 5.0, section 2 (user reference numbers); docs/risk.md, gate 20.
"""

import fcntl
import json
import os
from pathlib import Path

from tickgate.host.errors import UserError

__all__ = ["BLOCK", "NumberFile", "default_path"]

BLOCK = 1_000_000
"""Numbers that a login is given: so many orders may leave before the next one."""
END = (1 << 32) - 1
"""The first number that is not given out."""


def default_path() -> Path:
    """Where the numbers are kept if nothing else is said: in the user's state directory."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "tickgate" / "user-reference-numbers.json"


class NumberFile:
    """For each account of a venue, the first number that was never given out, in a JSON file.

    What is given out is on the disk before it is returned, so that a crash wastes numbers and
    repeats none. Several processes may use the file at a time.

    Parameters
    ----------
    path : Path
        Is made, with its folders, if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self, account: str, *, held: range = range(0), count: int = BLOCK) -> range:
        """Gives out numbers of `account`, all of them higher than any before.

        `held` are the unused ones that the card says it has: they are returned again if the file
        knows that these are the latest that were given out. Raises `UserError` if the file cannot
        be used, or there are no more.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                kept = self._read()
                start = kept.get(account, 1)
                if held and held.stop == start:
                    return held
                numbers = range(max(start, held.stop), max(start, held.stop) + count)
                if numbers.stop > END:
                    raise UserError(
                        f"{self._path}: the user reference numbers of {account} are used up; on a "
                        "new day of the venue, with a card that was reset, take its line out"
                    )
                self._write({**kept, account: numbers.stop})
        except OSError as error:
            raise UserError(f"{self._path}: {error.strerror or error}") from error
        return numbers

    def _read(self) -> dict[str, int]:
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise UserError(f"{self._path}: this is no file of numbers: {error}") from error
        if not isinstance(kept, dict) or not all(
            type(number) is int and 1 <= number <= END for number in kept.values()
        ):
            raise UserError(f"{self._path}: it must give each account a number from 1 to {END}")
        return kept

    def _write(self, kept: dict[str, int]) -> None:
        fresh = self._path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(json.dumps(kept, indent=2, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
