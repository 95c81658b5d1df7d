"""The feed: MoldUDP64 datagrams in, decoded ITCH 5.0 messages in sequence out."""

from tickgate.hdl.feed.feed import Feed

__all__ = ["Feed"]
