"""The card's end of the order session alone, Verilated, as a fast library."""

from tickgate.sim.endpoint.endpoint import Endpoint

__all__ = ["Endpoint"]
