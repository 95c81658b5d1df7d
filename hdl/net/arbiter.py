"""The one port to the wire, which orders and services share; orders never wait for a service.

Ref: docs/architecture.md, "The network".
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.stream import Octets, require_width

__all__ = ["Arbiter"]


class Arbiter(wiring.Component):
    """Lets orders pass as if it were not there, and a service's frame when no order is near.

    Latency: 0 cycles (combinational) for orders. Throughput: that of `port`.

    A frame of a service first claims the port: `busy` is high for a cycle, so that no order is
    approved that would come in the next one. If one comes in this very cycle, approved before, it
    has the port, and the service waits for its end. So no order ever meets a service's frame, and
    none is queued: what is meant while `busy` is refused by the risk gate, as while another order
    is being sent. A frame that has begun is never interrupted.

    The port is claimed when for `quiet` cycles no order was sent and `activity` was low; if that
    does not happen within `PATIENCE` cycles, then as soon as no order was sent for `gap` cycles.

    Parameters
    ----------
    width : int
        Octets a cycle.
    quiet : int
        In cycles, at least 1: as long as an order may be on its way.
    gap : int
        In cycles: as long as the wire pauses after a frame.

    Members
    -------
    orders : In(stream of Octets)
        Begins in the cycle after an order was approved at the earliest, and not while `busy`.
    orders_busy : In(1)
        An order is being sent.
    services : In(stream of Octets)
    port : Out(stream of Octets)
    activity : In(1)
        Something has happened that may lead to an order.
    busy : Out(1)
        No order may be approved now.
    frames : Out(1), busy_cycles : Out(1)
        Counter strobes: a service's frame was sent; the port was kept from orders for a cycle.
    """

    LATENCY = 0
    PATIENCE = 4096
    COUNTERS = ("frames", "busy_cycles")

    def __init__(self, *, width: int, quiet: int, gap: int) -> None:
        require_width(width)
        if quiet < 1:
            raise ValueError(f"quiet must be at least 1 cycle, not {quiet}")
        if gap < 1:
            raise ValueError(f"gap must be at least 1 cycle, not {gap}")
        self._quiet, self._gap = quiet, gap
        octets = stream.Signature(Octets(width))
        super().__init__(
            {
                "orders": In(octets),
                "orders_busy": In(1),
                "services": In(octets),
                "port": Out(octets),
                "activity": In(1),
                "busy": Out(1),
                "frames": Out(1),
                "busy_cycles": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        claims, sending, ends = Signal(), Signal(), Signal()
        noise = Signal(range(self._quiet + 1), init=self._quiet)
        patience = Signal(range(self.PATIENCE))
        pause, calm = Signal(range(self._gap + 1), init=self._gap), Signal()
        ordering, impatient = Signal(), Signal()
        orders, services, port = self.orders, self.services, self.port
        m.d.comb += [
            ordering.eq(orders.valid | self.orders_busy),
            port.valid.eq(orders.valid | sending),
            port.payload.eq(Mux(sending, services.payload, orders.payload)),
            orders.ready.eq(port.ready & ~sending),
            services.ready.eq(port.ready & sending),
            ends.eq(sending & port.ready & services.payload.last),
            self.busy.eq(claims | sending),
            self.busy_cycles.eq(self.busy),
            self.frames.eq(ends),
        ]
        with m.If(self.activity | ordering):
            m.d.sync += noise.eq(self._quiet)
        with m.Elif(noise.any()):
            m.d.sync += noise.eq(noise - 1)
        with m.If(ordering):
            m.d.sync += pause.eq(self._gap)
        with m.Elif(pause.any()):
            m.d.sync += pause.eq(pause - 1)
        m.d.comb += calm.eq(~ordering & ~pause.any() & (~noise.any() | impatient))
        m.d.sync += impatient.eq(services.valid & (impatient | (patience == self.PATIENCE - 2)))
        with m.If(services.valid & ~sending):
            m.d.sync += patience.eq(patience + 1)
        with m.Else():
            m.d.sync += patience.eq(0)
        with m.If(claims):
            m.d.sync += [claims.eq(0), sending.eq(~orders.valid)]
        with m.Elif(services.valid & ~sending & calm):
            m.d.sync += claims.eq(1)
        with m.If(ends):
            m.d.sync += sending.eq(0)
        return m
