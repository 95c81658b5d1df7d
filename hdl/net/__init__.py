"""What a station of a network owes its neighbours: it answers ARP, ICMP echo and IGMP queries."""

from tickgate.hdl.net.arbiter import Arbiter
from tickgate.hdl.net.services import Services

__all__ = ["Arbiter", "Services"]
