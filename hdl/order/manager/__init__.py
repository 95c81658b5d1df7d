"""Own orders and what became of them: states, open shares, positions."""

from tickgate.hdl.order.manager.manager import OrderManager
from tickgate.hdl.order.manager.orders import OrderState

__all__ = ["OrderManager", "OrderState"]
