"""The card's end of the order session as a plain program: TCP, heartbeats, and what is read.

Ref: SoupBinTCP 3.00, section 2.2 (Client Heartbeat, Server Heartbeat).
"""

from dataclasses import dataclass, field

from tickgate.sim.model.segments import Segment
from tickgate.sim.model.soupbin import Inbound
from tickgate.sim.model.tcp import State, TcpClient
from tickgate.spec import soupbintcp

__all__ = ["OrderSession"]

HEARTBEAT = soupbintcp.pack(soupbintcp.CLIENT_HEARTBEAT)
LONGEST_TIME = 0xFFFF


@dataclass
class OrderSession:
    """A session of `tcp`; methods as there, each returns the segments that are then sent.

    `heartbeat`, `silence`: ticks, 0 for never.
    """

    tcp: TcpClient
    inbound: Inbound = field(default_factory=Inbound)
    heartbeat: int = 0
    silence: int = 0
    silent: bool = False
    _unsent: int = 0
    _quiet: int = 0

    @property
    def trading(self) -> bool:
        """Logged in, and the session has not ended."""
        return self.inbound.accepted and not self.inbound.ended and not self.inbound.lost

    @property
    def may_order(self) -> bool:
        """Whether an order may go out now."""
        return self.tcp.may_order and self.trading

    def connect(self, isn: int) -> list[Segment]:
        """The command to open."""
        if self.tcp.state is State.CLOSED:
            self.inbound.restart()
        return self._after(self.tcp.connect(isn))

    def close(self) -> list[Segment]:
        """The command to close."""
        return self._after(self.tcp.close())

    def abort(self) -> list[Segment]:
        """The command to break off."""
        return self._after(self.tcp.abort())

    def order(self, payload: bytes) -> Segment:
        """An order leaves."""
        self._unsent = 0
        return self.tcp.order(payload)

    def host(self, packet: bytes) -> list[Segment]:
        """The host hands in a packet."""
        if not self.tcp.waiting:
            self._unsent = 0
        return self._after(self.tcp.host(packet))

    def cancels(self, packets: bytes) -> list[Segment]:
        """Cancels are handed in."""
        if not self.tcp.cancels_waiting:
            self._unsent = 0
        return self._after(self.tcp.cancels(packets))

    def segment(self, segment: Segment) -> list[Segment]:
        """A sound segment arrives."""
        sent = self.tcp.segment(segment)
        if self.tcp.delivered:
            self.inbound.feed(bytes(self.tcp.delivered))
            self.tcp.delivered.clear()
            self.silent, self._quiet = False, 0
        return self._after(sent)

    def tick(self) -> list[Segment]:
        """The clock ticks."""
        self._quiet = min(self._quiet + 1, LONGEST_TIME)
        if self.silence and self._quiet >= self.silence:
            self.silent = True
        packets = []
        if self.heartbeat and self.tcp.state is State.ESTABLISHED and self.trading:
            self._unsent += 1
            # What the host waits to send is better than a heartbeat.
            if self._unsent >= self.heartbeat and self.tcp.waiting <= 1:
                packets.append(HEARTBEAT)
                self._unsent = 0
        return self._after(self.tcp.tick(packets))

    def _after(self, sent: list[Segment]) -> list[Segment]:
        if self.tcp.staged_anew:
            self._unsent, self.tcp.staged_anew = 0, False
        if self.tcp.state is not State.ESTABLISHED:
            self.silent, self._quiet = False, 0
        if self.tcp.state is not State.ESTABLISHED or not self.trading or not self.heartbeat:
            self._unsent = 0
        return sent
