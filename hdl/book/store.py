"""Keeps every live order of the tracked symbols, found by its reference number.

Ref: NASDAQ TotalView-ITCH 5.0, sections 4.3 to 4.5: only Add names side, symbol and price.
"""

from functools import reduce
from operator import xor

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.book.types import Geometry, StoredOrder
from tickgate.hdl.memory import BlockMemory

__all__ = ["Finding", "OrderStore", "StoreWrite"]


def fold(reference, set_bits: int) -> Value:
    """The set of a reference: the XOR of its digits of `set_bits`.

    Invertible given the higher digits, so that only they need to be stored as a tag.
    """
    digits = [reference[at : at + set_bits] for at in range(0, 64, set_bits)]
    return reduce(xor, digits)[:set_bits]


class Finding(data.StructLayout):
    """What a look-up told: the order if it is stored (`hit`), and a way to put a new one."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "hit": 1,
                "way": range(geometry.WAYS),
                "order": StoredOrder(geometry),
                "full": 1,
                "free_way": range(geometry.WAYS),
                "set": geometry.set_bits,
                "tag": 64 - geometry.set_bits,
            }
        )


class StoreWrite(data.StructLayout):
    """A way of a set to be written; `live` 0 frees it."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "set": geometry.set_bits,
                "way": range(geometry.WAYS),
                "live": 1,
                "tag": 64 - geometry.set_bits,
                "order": StoredOrder(geometry),
            }
        )


class OrderStore(wiring.Component):
    """Set-associative memory of orders.

    Latency: `LATENCY` cycles from a look-up to its finding. Throughput: one look-up and one write
    a cycle. A finding stays until the next of its kind. It reflects every write up to the second
    cycle after the look-up: later ones must not touch a set that is being looked up.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    ready : Out(1)
        The sweep after reset is over.
    find, find_new : In(1)
        Look up `reference` or `new_reference`; never both in one cycle.
    reference, new_reference : In(64)
    found, found_new : Out(Finding)
    write : In(1)
    update : In(StoreWrite)
    """

    LATENCY = BlockMemory.READ_LATENCY + 1

    def __init__(self, *, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "ready": Out(1),
                "find": In(1),
                "reference": In(64),
                "find_new": In(1),
                "new_reference": In(64),
                "found": Out(Finding(geometry)),
                "found_new": Out(Finding(geometry)),
                "write": In(1),
                "update": In(StoreWrite(geometry)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        geometry = self._geometry
        way_shape = data.StructLayout(
            {"live": 1, "tag": 64 - geometry.set_bits, "order": StoredOrder(geometry)}
        )
        reference = Signal(64)
        at = Signal(geometry.set_bits)
        m.d.comb += [
            reference.eq(Mux(self.find_new, self.new_reference, self.reference)),
            at.eq(fold(reference, geometry.set_bits)),
        ]

        # The look-up on its way through the memory, and the writes the memory did not yet show it.
        asked = [(self.find, self.find_new, at, reference[geometry.set_bits :])]
        wrote = [(self.write, self.update)]
        for stage in range(1, BlockMemory.READ_LATENCY + 1):
            asked.append(tuple(_delayed(m, f"{stage}", value) for value in asked[-1]))
            wrote.append(tuple(_delayed(m, f"{stage}", value) for value in wrote[-1]))
        find, find_new, asked_set, asked_tag = asked[-1]

        hits, frees, orders, readies = [], [], [], []
        for n in range(geometry.WAYS):
            m.submodules[f"way_{n}"] = memory = BlockMemory(
                depth=1 << geometry.set_bits, shape=way_shape, relaxed=True
            )
            m.d.comb += [
                memory.address().eq(at),
                memory.write.eq(self.write & (self.update.way == n)),
                memory.write_address.eq(self.update.set),
                memory.write_data.live.eq(self.update.live),
                memory.write_data.tag.eq(self.update.tag),
                memory.write_data.order.eq(self.update.order),
            ]
            way = Signal(way_shape, name=f"way_{n}")
            m.d.comb += way.eq(memory.data())
            for written, update in reversed(wrote):
                with m.If(written & (update.way == n) & (update.set == asked_set)):
                    m.d.comb += [
                        way.live.eq(update.live),
                        way.tag.eq(update.tag),
                        way.order.eq(update.order),
                    ]
            hits.append(way.live & (way.tag == asked_tag))
            frees.append(~way.live)
            orders.append(way.order)
            readies.append(memory.ready)
        m.d.comb += self.ready.eq(reduce(lambda a, b: a & b, readies))

        finding = Signal(Finding(geometry))
        m.d.comb += [
            finding.hit.eq(reduce(lambda a, b: a | b, hits)),
            finding.full.eq(~reduce(lambda a, b: a | b, frees)),
            finding.set.eq(asked_set),
            finding.tag.eq(asked_tag),
        ]
        for n in reversed(range(geometry.WAYS)):
            with m.If(hits[n]):
                m.d.comb += [finding.way.eq(n), finding.order.eq(orders[n])]
            with m.If(frees[n]):
                m.d.comb += finding.free_way.eq(n)
        with m.If(find):
            m.d.sync += self.found.eq(finding)
        with m.If(find_new):
            m.d.sync += self.found_new.eq(finding)
        return m


def _delayed(m: Module, suffix: str, value):
    later = Signal.like(value, name=f"later_{suffix}")
    m.d.sync += later.eq(value)
    return later
