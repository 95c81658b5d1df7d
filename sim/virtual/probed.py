"""A virtual card whose registers and memories can be changed, and that can go back in time.

Ref: docs/architecture.md, "Verification".
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from tickgate.sim.virtual.card import Card

__all__ = ["Probe", "ProbedCard"]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A register, or a memory of `depth` words; see `tickgate.sim.virtual.probes.Storage`."""

    number: int
    name: str
    width: int
    depth: int


class ProbedCard(Card):
    """A card that keeps its states and what it receives, and plays that again with a bit flipped.

    Parameters
    ----------
    parts : sequence of str
        How the names of what can be changed begin, such as `risk.`.

    Other parameters and members as in :class:`Card`.

    Members
    -------
    probes : list of Probe
    """

    def __init__(self, *, parts: Sequence[str], **parameters) -> None:
        super().__init__(probes=tuple(parts), **parameters)
        self._declare()
        self.probes = [self._probe(number) for number in range(self._library.card_probes())]

    def record(self) -> None:
        """Keeps what is sent to the card from now on; forgets what was kept before."""
        self._library.card_record(self._open())

    def keep(self) -> int:
        """Keeps the state of the card; returns what to come back to it by."""
        return self._library.card_keep(self._open())

    def back_to(self, number: int) -> None:
        """Makes the card what it was; nothing is recorded any more. What was logged is lost."""
        self._library.card_back_to(self._open(), number)

    def play(self, cycles: int) -> None:
        """Runs with what the card received in these cycles when that was recorded."""
        self._library.card_play(self._open(), cycles)

    def flip(self, probe: Probe, word: int, bit: int) -> None:
        """Flips a bit right after the clock edge: the cycle to come sees it so."""
        if not (0 <= word < probe.depth and 0 <= bit < probe.width):
            raise ValueError(f"{probe.name} has no bit {bit} of word {word}")
        self._library.card_flip(self._open(), probe.number, word, bit)

    def look(self, probe: Probe, word: int = 0) -> int:
        """What a word holds, its lowest 64 bits."""
        return self._library.card_look(self._open(), probe.number, word)

    def _declare(self) -> None:
        handle, number = ctypes.c_void_p, ctypes.c_uint64
        pointer = ctypes.POINTER(number)
        for name, (result, *arguments) in {
            "probes": (number,),
            "probe": (ctypes.c_char_p, number, pointer, pointer),
            "record": (None, handle),
            "keep": (number, handle),
            "back_to": (None, handle, number),
            "play": (None, handle, number),
            "flip": (None, handle, number, number, number),
            "look": (number, handle, number, number),
        }.items():
            function = getattr(self._library, f"card_{name}")
            function.restype, function.argtypes = result, arguments

    def _probe(self, number: int) -> Probe:
        width, depth = ctypes.c_uint64(), ctypes.c_uint64()
        name = self._library.card_probe(number, ctypes.byref(width), ctypes.byref(depth))
        return Probe(number=number, name=name.decode(), width=width.value, depth=depth.value)
