"""Ethernet: frames in, the feed's payload out."""

from tickgate.hdl.eth.receive import Receive

__all__ = ["Receive"]
