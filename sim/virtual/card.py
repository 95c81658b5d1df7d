"""The virtual card: the Verilated core as a library, without any Python per cycle.

Ref: docs/architecture.md, "The virtual card".
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from amaranth.lib import wiring
from serial import PortNotOpenError, SerialException
from serial.serialutil import SerialBase, to_bytes

from tickgate.hdl.core import TickToTrade
from tickgate.hdl.stream import require_width
from tickgate.sim.virtual import build
from tickgate.sim.virtual.top import VirtualTop

__all__ = ["CLOCK_PERIOD_PS", "SMALL", "Card", "CardSerial", "Frame", "Log", "make_core"]

CLOCK_PERIOD_PS = {1: 8000, 2: 8000, 4: 3200, 8: 6400}
"""The clock period of 1 GbE (1 octet a cycle) and 10 GbE (4 and 8 octets a cycle)."""

SMALL: dict[str, int] = {"symbols": 8, "ticks": 256, "orders": 1 << 14, "event_depth": 64}
"""Sizes of a card whose tables are soon cleared and soon full: the one for tests and campaigns."""

# A call into the library is cut to about this many cycles, so that Ctrl-C is heard.
SLICE = 1 << 20

_STARTS, _GAPS, _TOPS, _VERDICTS, _FRAMES, _OCTETS = range(6)
_FRAME_RECORD = np.dtype([("first", "u8"), ("last", "u8"), ("length", "u8")])


def make_core(
    *,
    width: int = 8,
    symbols: int = 16,
    ticks: int = 4096,
    orders: int = 131072,
    event_depth: int = 1024,
    clock_period_ps: int | None = None,
) -> TickToTrade:
    """The core of a virtual card; the clock period by default as Ethernet gives it."""
    require_width(width)
    return TickToTrade(
        width=width,
        symbols=symbols,
        ticks=ticks,
        orders=orders,
        event_depth=event_depth,
        clock_period_ps=clock_period_ps or CLOCK_PERIOD_PS[width],
    )


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame the card has sent: cycles of its first and last word, octets with the FCS."""

    first_cycle: int
    last_cycle: int
    octets: bytes


@dataclass(frozen=True, kw_only=True)
class Log:
    """What was observed between two calls of :meth:`Card.take`.

    Cycle n of an input: the clock edge n samples it. Cycle n of an output: its value is valid
    before the clock edge n. So latency is a plain difference.

    Members
    -------
    starts : uint64 array
        The cycle in which the first word of each sent frame was on rx, in order. Octet o of a
        frame of start s is on rx in cycle s + o // width.
    tops : structured array
        `cycle` and the fields of `tickgate.hdl.stream.Top`.
    verdicts : structured array
        `cycle`, `approved`, `reasons` and the fields of `tickgate.hdl.stream.Order`.
    gaps : uint64 array
        The cycles in which the feed reported a gap.
    tx_frames : list of Frame
    """

    starts: np.ndarray
    tops: np.ndarray
    verdicts: np.ndarray
    gaps: np.ndarray
    tx_frames: list[Frame]


class Card:
    """A simulated card. All loops run in C++; any number of cards may exist at once.

    One thread at a time may use a card and its `serial`.

    Parameters
    ----------
    width, symbols, ticks, orders, event_depth, clock_period_ps
        As in `make_core`.
    core : wiring.Component or None
        A core to use instead of `TickToTrade`, with the same ports.
    uart_divisor : int
        Clock cycles of one UART bit; 0: the host's octets come whole, one a cycle, past the UART.
        For whatever tells a card more than the simulation should spend its time on.
    tx_gap : int
        Octets of preamble and inter-frame gap after each sent frame, in which the card's
        transmit stream waits.
    memory_seed : int
        Not 0: the memories start with random content, as a warm FPGA's do.
    trace : path or None
        Writes a VCD file of everything, one time unit a clock edge. For debugging: slow.
    probes : sequence of str
        Of `build`; for :class:`tickgate.sim.virtual.probed.ProbedCard`.
    quiet : bool
        Show no progress while building.

    Members
    -------
    cycle : int
        The number of clock edges so far, never reset.
    serial : CardSerial
    tx_faults : int
        Breaches of the transmit stream's rules, which would corrupt a frame on a wire: a bubble
        inside a frame, `first` or `last` out of place, a short word that is not the last.
    width : int
    verilog : Path
        The netlist that runs.
    build_seconds : dict of str to float
        As in `Artefact.seconds`.

    Errors: `BuildError` if it cannot be built.
    """

    RESET_CYCLES = 16
    UART_DIVISOR = 4

    def __init__(
        self,
        *,
        width: int = 8,
        symbols: int = 16,
        ticks: int = 4096,
        orders: int = 131072,
        event_depth: int = 1024,
        clock_period_ps: int | None = None,
        core: wiring.Component | None = None,
        uart_divisor: int = UART_DIVISOR,
        tx_gap: int = 20,
        memory_seed: int = 0,
        trace: str | Path | None = None,
        probes: Sequence[str] = (),
        quiet: bool = False,
    ) -> None:
        self._handle = None
        if tx_gap < 0:
            raise ValueError(f"tx_gap must not be negative, but is {tx_gap}")
        parameters = {
            "width": width,
            "symbols": symbols,
            "ticks": ticks,
            "orders": orders,
            "event_depth": event_depth,
            "clock_period_ps": clock_period_ps,
        }
        divisor = uart_divisor or self.UART_DIVISOR
        artefact = build.build(
            lambda: VirtualTop(core or make_core(**parameters), uart_divisor=divisor),
            recipe=repr((parameters, divisor)) if core is None else None,
            trace=trace is not None,
            probes=probes,
            quiet=quiet,
        )
        self.width = artefact.ports.width
        self.uart_divisor = uart_divisor
        self.verilog = artefact.verilog
        self.build_seconds = artefact.seconds
        self._top_type = build.record_type(artefact.ports.top)
        self._verdict_type = build.record_type(artefact.ports.verdict)
        self._library = _load(artefact.library)
        for kind, expected in (_TOPS, self._top_type), (_VERDICTS, self._verdict_type):
            size = self._library.card_record_size(kind)
            if size != expected.itemsize:
                raise AssertionError(f"record {kind}: {size} octets in C++, {expected} in NumPy")
        path = b"" if trace is None else str(Path(trace)).encode()
        self._handle = self._library.card_new(tx_gap, not uart_divisor, memory_seed, path)
        self.serial = CardSerial(self)
        self.reset()

    def close(self) -> None:
        """Ends the simulation and completes the trace; the card cannot be used afterwards."""
        if self._handle is not None:
            self._library.card_delete(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    @property
    def cycle(self) -> int:
        return self._library.card_cycle(self._open())

    @property
    def tx_faults(self) -> int:
        return self._library.card_tx_faults(self._open())

    def reset(self) -> None:
        """Resets the core; what is on the UART and the frame being sent are lost."""
        self._library.card_reset(self._open(), self.RESET_CYCLES)

    def run(self, cycles: int) -> None:
        """Lets the time pass with nothing on rx."""
        handle = self._open()
        while cycles > 0:
            self._library.card_run(handle, min(cycles, SLICE))
            cycles -= SLICE

    def send(
        self,
        frames: np.ndarray | bytes,
        lengths: np.ndarray | list[int],
        *,
        gap: np.ndarray | int = 0,
        drain: int = 0,
    ) -> None:
        """Puts frames on rx, a word a cycle, without a bubble inside a frame.

        Parameters
        ----------
        frames : uint8 array or bytes
            All frames back to back, each from destination MAC to FCS.
        lengths : uint32 array
            Octets of each frame.
        gap : uint32 array or int
            Idle cycles before each frame.
        drain : int
            Cycles to run after the last frame.

        Errors: ValueError if the lengths do not add up to `frames`, or one is 0.
        """
        handle = self._open()
        octets = np.frombuffer(frames, np.uint8) if isinstance(frames, bytes) else frames
        octets = np.ascontiguousarray(octets, np.uint8)
        sizes = np.ascontiguousarray(lengths, np.uint32)
        gaps = np.ascontiguousarray(np.broadcast_to(np.asarray(gap, np.uint32), sizes.shape))
        ends = np.cumsum(sizes, dtype=np.uint64)
        total = int(ends[-1]) if len(ends) else 0
        if total != len(octets):
            raise ValueError(f"the lengths add up to {total} octets, the frames to {len(octets)}")
        if not sizes.all():
            raise ValueError(f"frame {int(np.argmin(sizes))} is empty")
        cycles = np.cumsum(sizes // self.width + gaps, dtype=np.uint64)
        at, octet = 0, 0
        while at < len(sizes):
            passed = int(cycles[at - 1]) if at else 0
            to = max(at + 1, int(np.searchsorted(cycles, passed + SLICE)))
            self._library.card_send(
                handle,
                octets.ctypes.data + octet,
                sizes.ctypes.data + 4 * at,
                gaps.ctypes.data + 4 * at,
                to - at,
            )
            at, octet = to, int(ends[to - 1])
        self.run(drain)

    def take(self) -> Log:
        """Everything observed since the last call."""
        records = self._records(_FRAMES, _FRAME_RECORD)
        octets = self._records(_OCTETS, np.dtype("u1")).tobytes()
        tx_frames, at = [], 0
        for first, last, length in records.tolist():
            sent = octets[at : at + length]
            tx_frames.append(Frame(first_cycle=first, last_cycle=last, octets=sent))
            at += length
        log = Log(
            starts=self._records(_STARTS, np.dtype("u8")),
            tops=self._records(_TOPS, self._top_type),
            verdicts=self._records(_VERDICTS, self._verdict_type),
            gaps=self._records(_GAPS, np.dtype("u8")),
            tx_frames=tx_frames,
        )
        self._library.card_forget(self._open())
        return log

    def _records(self, kind: int, dtype: np.dtype) -> np.ndarray:
        data = ctypes.c_void_p()
        count = self._library.card_log(self._open(), kind, ctypes.byref(data))
        if not count:
            return np.empty(0, dtype)
        return np.frombuffer(ctypes.string_at(data, count * dtype.itemsize), dtype).copy()

    def _open(self) -> int:
        if self._handle is None:
            raise RuntimeError("this card is closed")
        return self._handle


class CardSerial(SerialBase):
    """The UART of a virtual card as a pyserial port.

    Each octet travels bit by bit over the UART pins; time passes in `read`, `flush` and whatever
    else runs the card. `write` only queues. `in_waiting` lets one octet's time pass, so that a loop
    around it ends, or `LOOK` cycles where octets do not take the UART.

    `timeout` counts simulated patience: `CYCLES_A_SECOND` clock cycles for each second, about what
    a simulation runs in a second of real time.
    """

    CYCLES_A_SECOND = 1_000_000
    LOOK = 40
    BAUDRATES = (115200,)

    def __init__(self, card: Card) -> None:
        self._card = card
        super().__init__(timeout=1)
        self.name = "virtual card"
        self.is_open = True

    def open(self) -> None:
        """Opens the port again after `close`."""
        if self.is_open:
            raise SerialException("Port is already open.")
        self.is_open = True
        self.reset_input_buffer()

    def close(self) -> None:
        """Closes the port; the card goes on and keeps what arrives until it is opened again."""
        self.is_open = False

    def _reconfigure_port(self) -> None:
        """Settings of a line that does not exist are accepted and ignored."""

    @property
    def framing_errors(self) -> int:
        """Octets from the card whose stop bit was low."""
        return self._call("framing_errors")

    @property
    def in_waiting(self) -> int:
        self._card.run(10 * self._card.uart_divisor or self.LOOK)
        return self._call("waiting")

    @property
    def out_waiting(self) -> int:
        """Octets written and not yet on the line."""
        return self._call("pending")

    def read(self, size: int = 1) -> bytes:
        """Up to `size` octets: fewer if the timeout passes first."""
        if self._timeout is None:
            while self._call("wait", size, SLICE) < size:
                pass
        else:
            patience = int(self._timeout * self.CYCLES_A_SECOND)
            while patience > 0 and self._call("wait", size, min(patience, SLICE)) < size:
                patience -= SLICE
        return self._read(size)

    def read_waiting(self) -> bytes:
        """What has arrived, without letting any time pass."""
        return self._read(self._call("waiting"))

    def write(self, data) -> int:
        octets = to_bytes(data)
        self._call("write", octets, len(octets))
        return len(octets)

    def flush(self) -> None:
        """Runs until everything written is on the line."""
        while self._call("flush", SLICE):
            pass

    def reset_input_buffer(self) -> None:
        self.read_waiting()

    def reset_output_buffer(self) -> None:
        self._call("discard_pending")

    def _update_break_state(self) -> None: ...

    def _update_rts_state(self) -> None: ...

    def _update_dtr_state(self) -> None: ...

    def _read(self, size: int) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        count = self._call("read", buffer, size)
        return buffer.raw[:count]

    def _call(self, function: str, *arguments) -> int:
        if not self.is_open:
            raise PortNotOpenError()
        library, handle = self._card._library, self._card._open()
        return getattr(library, f"card_serial_{function}")(handle, *arguments)


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    handle, octets, number = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64
    signatures = {
        "card_new": (handle, number, number, number, ctypes.c_char_p),
        "card_delete": (None, handle),
        "card_cycle": (number, handle),
        "card_reset": (None, handle, number),
        "card_run": (None, handle, number),
        "card_send": (None, handle, octets, octets, octets, number),
        "card_log": (number, handle, ctypes.c_uint, ctypes.POINTER(ctypes.c_void_p)),
        "card_record_size": (number, ctypes.c_uint),
        "card_forget": (None, handle),
        "card_tx_faults": (number, handle),
        "card_serial_write": (None, handle, octets, number),
        "card_serial_read": (number, handle, octets, number),
        "card_serial_wait": (number, handle, number, number),
        "card_serial_flush": (number, handle, number),
        "card_serial_waiting": (number, handle),
        "card_serial_pending": (number, handle),
        "card_serial_discard_pending": (None, handle),
        "card_serial_framing_errors": (number, handle),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
