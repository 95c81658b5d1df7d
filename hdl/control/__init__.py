"""The host's side of the card: registers, parameters, events, time and arming."""

from tickgate.hdl.control.control import Control

__all__ = ["Control"]
