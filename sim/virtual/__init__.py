"""The Verilated core as a fast library, and its serial attachments."""

from tickgate.sim.virtual.build import BuildError
from tickgate.sim.virtual.card import CLOCK_PERIOD_PS, Card, CardSerial, Frame, Log, make_core
from tickgate.sim.virtual.serve import SerialServer

__all__ = [
    "CLOCK_PERIOD_PS",
    "BuildError",
    "Card",
    "CardSerial",
    "Frame",
    "Log",
    "SerialServer",
    "make_core",
]
