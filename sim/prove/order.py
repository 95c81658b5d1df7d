"""What is proved of the way of an approved order to the wire.

Ref: docs/risk.md.
"""

from amaranth.hdl import Module, Signal

from tickgate.hdl.order.encoder import FRAME_SIZE, OrderEncoder
from tickgate.sim.prove.engine import Harness, Method, Property

__all__ = ["PROPERTIES"]

WIDTH = 8


class EncoderHarness(Harness):
    """An order encoder, and whether an approval has its frame under way."""

    def __init__(self) -> None:
        super().__init__({"approved": 1, "ready": 1}, {"valid": 1, "last": 1, "granted": 1})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.encoder = encoder = OrderEncoder(width=WIDTH, symbols=2)
        octets = encoder.octets
        granted, leaves, sent = Signal(), Signal(), Signal()
        m.d.comb += [
            encoder.approved.valid.eq(self.approved),
            octets.ready.eq(self.ready),
            leaves.eq(octets.valid & octets.ready & octets.payload.last),
        ]
        with m.If(self.approved):
            m.d.sync += granted.eq(1)
        with m.If(leaves):
            m.d.sync += [granted.eq(0), sent.eq(1)]
        m.d.comb += [
            self.assumed.eq(~(self.approved & encoder.busy)),
            self.holds.eq((~octets.valid | self.approved | granted) & (encoder.busy == granted)),
            self.seen.eq(sent & self.approved),
            self.valid.eq(octets.valid),
            self.last.eq(octets.payload.last),
            self.granted.eq(granted),
        ]
        return m


PROPERTIES = (
    Property(
        name="order-approved",
        component="order: encoder",
        about="theorem 1",
        claim="no octet of an order is transmitted but from an approval on, to the last one of its "
        "frame; `busy` tells so",
        contract="no order is approved while the encoder is busy (gate 0)",
        size="8 octets a cycle",
        cover="a second order is approved after the first one has left",
        method=Method.INDUCTION,
        depth=1,
        # As many words as a frame and its FCS have.
        reached=FRAME_SIZE // WIDTH + 1,
        make=EncoderHarness,
    ),
)
