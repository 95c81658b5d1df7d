"""A serial port: 8 data bits, no parity, one stop bit.

Ref: docs/architecture.md, "Control".
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["Uart", "UartReceiver", "UartTransmitter"]

MIN_DIVISOR = 4


def _require_divisor(divisor: int) -> int:
    if divisor < MIN_DIVISOR:
        raise ValueError(f"a UART bit takes at least {MIN_DIVISOR} cycles, not {divisor}")
    return divisor


class UartReceiver(wiring.Component):
    """Takes octets off a serial line.

    Latency: an octet is valid about half a bit after its stop bit began. Throughput: the line's;
    an octet that is not taken by the time the next one is complete is replaced by it.

    Each bit is sampled once, in its middle; the clocks of the two ends may differ by 2 % at a
    divisor of 4, and by 4 % at 16. An octet whose stop bit is low is dropped, and nothing more is
    received until the line is idle again.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit, at least 4.

    Members
    -------
    rx : In(1, init=1)
        The line, idle high, of any clock.
    received : Out(stream.Signature(8))
    framing_error : Out(1)
        Strobe: an octet was dropped for want of its stop bit.
    overrun : Out(1)
        Strobe: an octet was lost because it was not taken in time.
    """

    def __init__(self, *, divisor: int) -> None:
        self._divisor = _require_divisor(divisor)
        super().__init__(
            {
                "rx": In(1, init=1),
                "received": Out(stream.Signature(8)),
                "framing_error": Out(1),
                "overrun": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        wait = Signal(range(self._divisor))
        bits = Signal(range(8))
        octet = Signal(8)
        with m.If(self.received.ready):
            m.d.sync += self.received.valid.eq(0)
        m.d.sync += wait.eq(wait - 1)
        with m.FSM():
            with m.State("IDLE"):
                # The first low cycle is seen: the middle of the bit is divisor // 2 after its
                # beginning, of which the synchroniser's grid has already cost half a cycle.
                m.d.sync += wait.eq((self._divisor - 1) // 2 - 1)
                with m.If(~line):
                    m.next = "START"
            with m.State("START"):
                with m.If(wait == 0):
                    m.d.sync += [wait.eq(self._divisor - 1), bits.eq(0)]
                    m.next = "DATA"
                    with m.If(line):
                        m.next = "IDLE"
            with m.State("DATA"):
                with m.If(wait == 0):
                    m.d.sync += [
                        wait.eq(self._divisor - 1),
                        octet.eq(Cat(octet[1:], line)),
                        bits.eq(bits + 1),
                    ]
                    with m.If(bits == 7):
                        m.next = "STOP"
            with m.State("STOP"):
                with m.If(wait == 0):
                    with m.If(line):
                        m.d.comb += self.overrun.eq(self.received.valid & ~self.received.ready)
                        m.d.sync += [self.received.valid.eq(1), self.received.payload.eq(octet)]
                        m.next = "IDLE"
                    with m.Else():
                        m.d.comb += self.framing_error.eq(1)
                        m.next = "BREAK"
            with m.State("BREAK"):
                with m.If(line):
                    m.next = "IDLE"
        return m


class UartTransmitter(wiring.Component):
    """Puts octets on a serial line.

    Latency: the start bit is on the line in the cycle after the octet is taken. Throughput: an
    octet every 10 bits.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit, at least 4.

    Members
    -------
    octets : In(stream.Signature(8))
    tx : Out(1, init=1)
        The line, idle high, straight from a flip-flop.
    """

    def __init__(self, *, divisor: int) -> None:
        self._divisor = _require_divisor(divisor)
        super().__init__({"octets": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        wait = Signal(range(self._divisor))
        frame = Signal(9)
        left = Signal(range(11))
        idle = Signal()
        m.d.comb += [idle.eq((left == 0) & (wait == 0)), self.octets.ready.eq(idle)]
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(left != 0):
            m.d.sync += [
                self.tx.eq(frame[0]),
                frame.eq(Cat(frame[1:], 1)),
                left.eq(left - 1),
                wait.eq(self._divisor - 1),
            ]
        with m.Elif(self.octets.valid):
            m.d.sync += [
                self.tx.eq(0),
                frame.eq(Cat(self.octets.payload, 1)),
                left.eq(9),
                wait.eq(self._divisor - 1),
            ]
        return m


class Uart(wiring.Component):
    """A serial port: receiver and transmitter of the same speed.

    Latency, throughput, errors: those of :class:`UartReceiver` and :class:`UartTransmitter`.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit, at least 4.

    Members
    -------
    rx : In(1, init=1), tx : Out(1, init=1)
        The lines.
    received : Out(stream.Signature(8))
        Octets from the line.
    octets : In(stream.Signature(8))
        Octets to the line.
    framing_error, overrun : Out(1)
        Strobes of the receiver.
    """

    def __init__(self, *, divisor: int = MIN_DIVISOR) -> None:
        self._divisor = _require_divisor(divisor)
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "received": Out(stream.Signature(8)),
                "octets": In(stream.Signature(8)),
                "framing_error": Out(1),
                "overrun": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(divisor=self._divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(divisor=self._divisor)
        wiring.connect(m, receiver.received, wiring.flipped(self.received))
        wiring.connect(m, wiring.flipped(self.octets), transmitter.octets)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            self.framing_error.eq(receiver.framing_error),
            self.overrun.eq(receiver.overrun),
        ]
        return m
