"""The gates that are judged outside of the risk gate, and hold whatever the order is.

Ref: docs/risk.md.
"""

from amaranth.lib import data

__all__ = ["Standing"]


class Standing(data.Struct):
    """What these gates say in this cycle, each by its name: 1, it passes.

    An order passes such a gate if its bit is 1 in the cycle of the intent.
    """

    kill_sources: 1
    host_heartbeat: 1
    token_order: 1
    repeated_execution: 1
    loss: 1
    unacknowledged: 1
    reject_storm: 1
    fill_integrity: 1
    audit_room: 1
