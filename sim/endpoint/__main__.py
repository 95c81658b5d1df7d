"""Random sessions in any number: `python -m tickgate.sim.endpoint --width 8 --events 100000`."""

import argparse
import random
import sys

from tickgate.sim.endpoint.endpoint import Endpoint
from tickgate.sim.endpoint.sessions import Difference, RandomSession

EVENTS = 10_000
"""After so many, another endpoint out of reset."""


def main() -> int:
    """Plays sessions as told on the command line; 1 if card and model differ."""
    parser = argparse.ArgumentParser(prog="python -m tickgate.sim.endpoint", description=__doc__)
    parser.add_argument("--width", type=int, choices=(1, 4, 8), default=8)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    reports = cycles = 0
    for part, first in enumerate(range(0, options.events, EVENTS)):
        seed = f"{options.seed}.{part}"
        with Endpoint(width=options.width, memory_seed=part + 1, quiet=False) as endpoint:
            session = RandomSession(endpoint, random.Random(seed))
            try:
                session.run(min(EVENTS, options.events - first))
            except Difference as difference:
                sys.stderr.write(f"width {options.width}, seed {seed}: {difference}\n")
                return 1
            reports, cycles = reports + session.reports, cycles + endpoint.cycle
    sys.stdout.write(
        f"{options.events} events at width {options.width}, {reports} reports, {cycles} cycles: "
        "card and model agree\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
