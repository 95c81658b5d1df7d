"""What a replay's picture is drawn from, collected piece by piece in bounded memory.

Ref: docs/cli.md, "demo".
"""

import numpy as np

from tickgate.sim.trace import Trace

__all__ = ["History"]

TOP = np.dtype([("time", "f8"), ("symbol", "u2"), ("bid", "u4"), ("ask", "u4"), ("exact", "u1")])
VERDICT = np.dtype(
    [("time", "f8"), ("symbol", "u2"), ("side", "u1"), ("price", "u4"), ("approved", "u1")]
)
LIMIT = 1 << 21
"""Records beyond which every second one is let go."""


class History:
    """Tops of book and verdicts over the time of the market, in seconds since midnight.

    Members
    -------
    tops, verdicts : structured array
        Prices in 1e-4 USD, 0 where there is none.
    """

    def __init__(self) -> None:
        self._tops: list[np.ndarray] = []
        self._verdicts: list[np.ndarray] = []

    @property
    def tops(self) -> np.ndarray:
        return np.concatenate(self._tops) if self._tops else np.empty(0, TOP)

    @property
    def verdicts(self) -> np.ndarray:
        return np.concatenate(self._verdicts) if self._verdicts else np.empty(0, VERDICT)

    def take(self, trace: Trace, effects: np.ndarray) -> None:
        """Keeps what the picture needs of one piece."""
        messages = trace.frames.messages
        times = np.zeros(len(messages))
        sound = messages.well_formed
        times[sound] = messages.of(sound).header("timestamp") * 1e-9
        self._keep(
            self._tops,
            trace.log.tops,
            TOP,
            {"bid": "bid_price", "ask": "ask_price"},
            times,
            trace.top_message,
        )
        self._keep(self._verdicts, trace.log.verdicts, VERDICT, {}, times, trace.verdict_message)

    @staticmethod
    def _keep(kept, records, dtype, names, times, message_of) -> None:
        known = message_of >= 0
        records, message_of = records[known], message_of[known]
        rows = np.empty(len(records), dtype)
        rows["time"] = times[message_of]
        for name in dtype.names[1:]:
            rows[name] = records[names.get(name, name)]
        kept.append(rows)
        if sum(map(len, kept)) > LIMIT:
            kept[:] = [np.concatenate(kept)[::2]]
