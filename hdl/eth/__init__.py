"""Ethernet: frames in, the feed's payload out."""

from tickgate.hdl.eth.hold import Hold
from tickgate.hdl.eth.receive import Receive

__all__ = ["Hold", "Receive"]
