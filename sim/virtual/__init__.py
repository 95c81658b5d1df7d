"""The Verilated core as a fast library, and its serial and network attachments."""

from tickgate.sim.virtual.build import BuildError
from tickgate.sim.virtual.card import (
    CLOCK_PERIOD_PS,
    SMALL,
    Card,
    CardSerial,
    Frame,
    Log,
    make_core,
)
from tickgate.sim.virtual.impair import Impairments, Wire
from tickgate.sim.virtual.namespace import NamespaceError, in_own_network
from tickgate.sim.virtual.network import NetworkPort
from tickgate.sim.virtual.serve import SerialServer
from tickgate.sim.virtual.tap import Tap, TapError

__all__ = [
    "CLOCK_PERIOD_PS",
    "SMALL",
    "BuildError",
    "Card",
    "CardSerial",
    "Frame",
    "Impairments",
    "Log",
    "NamespaceError",
    "NetworkPort",
    "SerialServer",
    "Tap",
    "TapError",
    "Wire",
    "in_own_network",
    "make_core",
]
