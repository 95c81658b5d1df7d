"""A feed for a virtual card that serves its host meanwhile: once, or over and over.

Ref: docs/cli.md, "sim".
"""

from collections.abc import Iterator

import numpy as np

from tickgate.host.driver import Driver
from tickgate.sim.capture import InputError
from tickgate.sim.frames import Frames, Packer
from tickgate.sim.messages import Messages
from tickgate.sim.orders import LiveOrders
from tickgate.sim.replay import Plan, unloaded_gap
from tickgate.sim.source import ItchSource
from tickgate.sim.virtual.card import Card
from tickgate.spec import itch50

__all__ = ["configure", "feed_pieces"]

PIECE = 64
"""Frames and messages between two looks at the serial port."""


def configure(card: Card, planned: Plan) -> None:
    """Tells the card over its UART all that it has to know; it stays disarmed."""
    driver = Driver(card.serial)
    driver.apply(planned.config)
    driver.begin_day()
    for symbol in planned.tracked:
        if symbol.whole:
            driver.set_whole(symbol.index)
    card.take()


def feed_pieces(
    planned: Plan, *, loop: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """The frames of an input in short pieces, as `SerialServer.run` takes them.

    With `loop` the input comes again and again in one session: after each round every order that
    is left is deleted, so that the next round finds empty books. Raises `InputError` if the input
    is a capture, whose sequence numbers cannot come again.
    """
    feed = planned.config.feed
    destination = int(feed.address), feed.port
    if not loop:
        return _pieces(planned.source.frames(destination), planned)
    if not isinstance(planned.source, ItchSource):
        raise InputError(f"{planned.source.path}: only a file of ITCH messages can be looped")
    return _pieces(_rounds(planned.source, destination), planned)


def _pieces(batches: Iterator[Frames], planned: Plan) -> Iterator[tuple]:
    gap = unloaded_gap(planned.options.width)
    for frames in batches:
        for piece in frames.pieces(PIECE):
            yield piece.octets, piece.lengths, gap


def _rounds(source: ItchSource, destination: tuple[int, int]) -> Iterator[Frames]:
    address, port = destination
    packer = Packer(address=address, port=port, pack=source.pack)
    while True:
        orders = LiveOrders({locate: locate for locate in range(1 << 16)})
        for batch, _ in source.messages():
            frames = packer.frames(batch)
            orders.update(frames)
            yield frames
        yield packer.frames(_deletes(orders))


def _deletes(orders: LiveOrders) -> Messages:
    delete = itch50.MESSAGES["D"]
    prefix = delete.size.to_bytes(2, "big")
    octets = b"".join(
        prefix
        + delete.pack(stock_locate=locate, tracking_number=0, timestamp=number, order_ref=reference)
        for number, (reference, locate) in enumerate(orders.references())
    )
    begin = np.arange(len(orders)) * (len(prefix) + delete.size) + len(prefix)
    return Messages(
        octets=np.frombuffer(octets, np.uint8),
        begin=begin,
        size=np.full(len(orders), delete.size),
    )
