"""Builds and drives the Verilated end of the order session.

Ref: docs/architecture.md, "The order session".
"""

import ctypes
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from tickgate.hdl.order.session import OrderSession
from tickgate.hdl.order.tcp.types import Outcome, State
from tickgate.sim.endpoint.top import SETTINGS, EndpointTop
from tickgate.sim.virtual.build import convert, octets_of, record_type
from tickgate.sim.virtual.build import library as compile_loop

__all__ = ["Endpoint", "Sent", "build"]

LOOP = Path(__file__).with_name("loop.cpp")
FRAMES, OCTETS, REPORTS, STARTS = range(4)
FRAME = np.dtype([("cycle", np.uint64), ("length", np.uint64), ("order", np.uint64)])


@dataclass(frozen=True)
class Sent:
    """A frame that left, FCS included: in which cycle it began, and whether it was an order."""

    cycle: int
    octets: bytes
    order: bool


def _header(width: int) -> str:
    lines = [
        f"constexpr unsigned WIDTH = {width};",
        f"constexpr unsigned WINDOW = {SETTINGS['window']};",
        f"constexpr unsigned REPORT_SPACING = {OrderSession.SPACING};",
        f"constexpr unsigned COUNTER_COUNT = {len(EndpointTop.COUNTERS)};",
    ]
    for name in ("CONFIG", "STATUS", "COMMANDS", "COUNTERS"):
        fields = " ".join(f"X({n}, {each})" for n, each in enumerate(getattr(EndpointTop, name)))
        lines.append(f"#define {name}(X) {fields}")
    report = " ".join(
        f"X(std::uint{8 * octets_of(bits)}_t, {name})" for name, bits in EndpointTop.REPORT.items()
    )
    lines.append(f"#define REPORT(X) {report}")
    return "\n".join(lines) + "\n"


@functools.cache
def build(width: int, *, quiet: bool = True) -> Path:
    """Makes the library of an endpoint; returns where it is."""
    verilog = convert(EndpointTop(width=width), ports="{}", quiet=quiet) / "card.v"
    return compile_loop(verilog, loop=LOOP, header=_header(width), quiet=quiet) / "card.so"


class Endpoint:
    """One end of a session, out of reset; a context manager.

    Nothing happens in it but what is asked for; each call that takes a limit runs until the
    session is quiet again, and raises `TimeoutError` if it is not in so many cycles.

    Parameters
    ----------
    width : int
        Octets a cycle.
    memory_seed : int
        Of the contents that memories have at first; 0 for none.
    quiet : bool
        Show no progress while building.
    library : Path or None
        One that `build` has made of this width.
    """

    LIMIT = 200_000

    def __init__(
        self,
        *,
        width: int,
        memory_seed: int = 1,
        quiet: bool = True,
        library: Path | None = None,
    ) -> None:
        self._library = ctypes.CDLL(str(library or build(width, quiet=quiet)))
        self._declare()
        self._it = self._library.endpoint_new(memory_seed)

    def _declare(self) -> None:
        pointer, number, octets = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_char_p
        for name, result, arguments in (
            ("new", pointer, [number]),
            ("delete", None, [pointer]),
            ("set", None, [pointer, ctypes.c_uint, number]),
            ("get", number, [pointer, ctypes.c_uint]),
            ("command", None, [pointer, ctypes.c_uint]),
            ("receive", None, [pointer, octets, number, number]),
            ("host", None, [pointer, octets, number]),
            ("cancels", None, [pointer, octets, number]),
            ("order", ctypes.c_bool, [pointer, octets, number, number]),
            ("run", None, [pointer, number]),
            ("settle", ctypes.c_bool, [pointer, number]),
            ("stall", None, [pointer, number]),
            ("cycle", number, [pointer]),
            ("faults", number, [pointer]),
            ("counters", ctypes.POINTER(number), [pointer]),
            ("log", number, [pointer, ctypes.c_uint, ctypes.POINTER(pointer)]),
            ("forget", None, [pointer]),
        ):
            function = getattr(self._library, f"endpoint_{name}")
            function.restype, function.argtypes = result, arguments

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Frees the simulation."""
        if self._it:
            self._library.endpoint_delete(self._it)
            self._it = None

    def configure(self, **values: int) -> None:
        """Sets fields of configuration, such as `isn` or `timing_retries`."""
        for name, value in values.items():
            self._library.endpoint_set(self._it, EndpointTop.CONFIG.index(name), value)

    def status(self, name: str) -> int:
        """What the session shows, such as `sequence` or `may_order`."""
        return self._library.endpoint_get(self._it, EndpointTop.STATUS.index(name))

    @property
    def state(self) -> State:
        """State of the connection."""
        return State(self.status("state"))

    @property
    def outcome(self) -> Outcome:
        """Why there is no connection."""
        return Outcome(self.status("outcome"))

    @property
    def counters(self) -> dict[str, int]:
        """How often each counter was struck since reset."""
        values = self._library.endpoint_counters(self._it)
        return {name: values[n] for n, name in enumerate(EndpointTop.COUNTERS)}

    @property
    def cycle(self) -> int:
        """Cycles since the beginning."""
        return self._library.endpoint_cycle(self._it)

    @property
    def faults(self) -> int:
        """How often a stream broke its own rules, or a report came unannounced or too soon."""
        return self._library.endpoint_faults(self._it)

    def command(self, name: str, *, settle: bool = True) -> None:
        """Gives a command or a tick."""
        self._library.endpoint_command(self._it, EndpointTop.COMMANDS.index(f"do_{name}"))
        if settle:
            self.settle()

    def receive(self, frames: Iterable[bytes], *, gap: int = 3, settle: bool = True) -> None:
        """Frames arrive, FCS included, with so many cycles before each."""
        for frame in frames:
            self._library.endpoint_receive(self._it, frame, len(frame), gap)
        if settle:
            self.settle()

    def host(self, packet: bytes, *, settle: bool = True) -> None:
        """The host hands in a packet."""
        self._library.endpoint_host(self._it, packet, len(packet))
        if settle:
            self.settle()

    def cancels(self, packets: bytes, *, settle: bool = True) -> None:
        """Cancels are handed in, to be sent together."""
        self._library.endpoint_cancels(self._it, packets, len(packets))
        if settle:
            self.settle()

    def order(self, payload: bytes, *, patience: int = 0, settle: bool = True) -> bool:
        """An order leaves; False if it may not within so many cycles."""
        left = self._library.endpoint_order(self._it, payload, len(payload), patience)
        if left and settle:
            self.settle()
        return left

    def stall(self, one_in: int) -> None:
        """The port refuses one word in so many at random; 0 for none."""
        self._library.endpoint_stall(self._it, one_in)

    def run(self, cycles: int) -> None:
        """Lets time pass without ticks."""
        self._library.endpoint_run(self._it, cycles)

    def settle(self) -> None:
        """Runs until the session is quiet."""
        if not self._library.endpoint_settle(self._it, self.LIMIT):
            raise TimeoutError(f"the session is not quiet after {self.LIMIT} cycles")

    def take(self) -> tuple[list[Sent], np.ndarray]:
        """What was sent, and what was reported, since the last time."""
        frames = self._log(FRAMES, FRAME)
        octets = self._log(OCTETS, np.dtype(np.uint8)).tobytes()
        reports = self._log(REPORTS, record_type(EndpointTop.REPORT))
        sent, at = [], 0
        for cycle, length, order in frames.tolist():
            sent.append(Sent(cycle, octets[at : at + length], bool(order)))
            at += length
        self._library.endpoint_forget(self._it)
        return sent, reports

    def _log(self, kind: int, dtype: np.dtype) -> np.ndarray:
        data = ctypes.c_void_p()
        count = self._library.endpoint_log(self._it, kind, ctypes.byref(data))
        if not count:
            return np.empty(0, dtype)
        content = ctypes.string_at(data.value, count * dtype.itemsize)
        return np.frombuffer(content, dtype)
