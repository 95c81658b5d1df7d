"""The limits of the account: those in force, and their checksum.

Ref: docs/risk.md, "Accounting"; tickgate.spec.registers, `account_checksum`.
"""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.control.registers import ports_of
from tickgate.hdl.fcs import FCS_INITIAL, Crc32
from tickgate.spec.registers import ACCOUNT_REGISTERS

__all__ = ["AccountInForce"]

OCTETS = 4
"""Of a word."""


class AccountInForce(wiring.Component):
    """Takes the registers that begin with `account_` into force, all at once.

    Latency: in force in the next cycle; their checksum LATENCY cycles after that. Throughput: what
    is taken meanwhile begins the checksum anew.

    Members
    -------
    take : In(1)
    written : In(wiring.Signature)
        What the registers hold.
    in_force : Out(wiring.Signature)
    checksum : Out(32)
        CRC-32 of those in force, each as 4 octets, little-endian, in the order of their addresses;
        0 before the first.
    settled : Out(1)
        It is.
    """

    LATENCY = OCTETS * len(ACCOUNT_REGISTERS) + 1

    def __init__(self) -> None:
        super().__init__(
            {
                "take": In(1),
                "written": In(ports_of(ACCOUNT_REGISTERS)),
                "in_force": Out(ports_of(ACCOUNT_REGISTERS)),
                "checksum": Out(32),
                "settled": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.crc = crc = Crc32(width=1)
        words = [getattr(self.in_force, register.name) for register in ACCOUNT_REGISTERS]
        index, octet, state = Signal(range(len(words) + 1)), Signal(range(OCTETS)), Signal(32)
        left = Signal()
        m.d.comb += [
            crc.state.eq(state),
            crc.data.eq(Array(words)[index].word_select(octet, 8)),
            crc.count.eq(1),
            self.settled.eq(~left),
        ]
        with m.If(left):
            m.d.sync += [state.eq(crc.next_state), octet.eq(octet + 1)]
            with m.If(octet == OCTETS - 1):
                m.d.sync += index.eq(index + 1)
            with m.If(index == len(words)):
                m.d.sync += [left.eq(0), self.checksum.eq(~state)]
        with m.If(self.take):
            m.d.sync += [state.eq(FCS_INITIAL), index.eq(0), octet.eq(0), left.eq(1)]
            for register in ACCOUNT_REGISTERS:
                in_force = getattr(self.in_force, register.name)
                m.d.sync += in_force.eq(getattr(self.written, register.name))
        return m
