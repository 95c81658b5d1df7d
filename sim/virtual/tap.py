"""A TAP device: a network interface of the kernel whose other end is this program.

Ref: Linux, Documentation/networking/tuntap.rst.
"""

import contextlib
import errno
import fcntl
import ipaddress
import os
import socket
import struct
from typing import Self

from tickgate.sim.virtual.namespace import set_interface

__all__ = ["Tap", "TapError"]

DEVICE = "/dev/net/tun"
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
SIOCGIFHWADDR = 0x8927
NAME_SIZE = 15
READ_SIZE = 1 << 16


class TapError(OSError):
    """The device cannot be made; says why and what to do."""


class Tap:
    """A TAP device that exists as long as this object is open; never blocks.

    Parameters
    ----------
    name : str
        Of the interface, at most 15 octets.
    address : str or None
        The kernel's address on it and the length of its network's prefix: `"10.0.0.1/24"`. With
        one the interface is brought up, and multicast leaves by it; without, that is up to others.

    Members
    -------
    name : str
    mac : int
        Of the kernel's end.

    Errors: `TapError`.
    """

    def __init__(self, name: str, *, address: str | None = None) -> None:
        self.name = name
        if not 0 < len(name.encode()) <= NAME_SIZE:
            raise TapError(f"{name!r}: an interface's name has 1 to {NAME_SIZE} octets")
        interface = None if address is None else _interface(address)
        with contextlib.ExitStack() as undo:
            try:
                self._file = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                undo.callback(os.close, self._file)
                flags = struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI)
                fcntl.ioctl(self._file, TUNSETIFF, flags)
                if interface is not None:
                    set_interface(name, str(interface.ip), str(interface.netmask), multicast=True)
                self.mac = self._hardware_address()
            except OSError as error:
                raise TapError(f"{name}: no TAP device: {_reason(error)}") from None
            undo.pop_all()

    def fileno(self) -> int:
        """For select: readable when the kernel has sent something."""
        return self._file

    def close(self) -> None:
        """Removes the interface."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def read(self, limit: int) -> list[bytes]:
        """Up to `limit` frames that the kernel has sent, from destination MAC on, without FCS."""
        frames = []
        while len(frames) < limit:
            try:
                frames.append(os.read(self._file, READ_SIZE))
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.EIO:  # the interface is down
                    raise
                break
        return frames

    def write(self, frame: bytes) -> bool:
        """Hands a frame without FCS to the kernel; False if it does not take it."""
        try:
            os.write(self._file, frame)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EAGAIN, errno.ENOBUFS):
                raise
            return False
        return True

    def _hardware_address(self) -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            answer = fcntl.ioctl(control, SIOCGIFHWADDR, struct.pack("40s", self.name.encode()))
        return int.from_bytes(answer[18:24], "big")


def _interface(address: str) -> ipaddress.IPv4Interface:
    try:
        return ipaddress.IPv4Interface(address)
    except ValueError as error:
        raise TapError(f"{address}: no address and network such as 10.0.0.1/24: {error}") from None


def _reason(error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.EACCES):
        return f"{error.strerror}; run it as root, or inside `unshare -Urn`"
    if error.errno == errno.ENOENT:
        return f"this system has no {DEVICE}"
    if error.errno == errno.EBUSY:
        return "another program holds an interface of this name"
    return error.strerror or str(error)
