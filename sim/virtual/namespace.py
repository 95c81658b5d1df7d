"""A network of one's own, without root: a user and network namespace for this process.

Ref: user_namespaces(7), network_namespaces(7), unshare(2), netdevice(7).
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = [
    "NamespaceError",
    "enter_own_network",
    "in_own_network",
    "interface_mac",
    "set_interface",
]

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
SIOCSIFADDR, SIOCSIFNETMASK = 0x8916, 0x891C
SIOCADDRT, SIOCGIFHWADDR = 0x890B, 0x8927
IFF_UP = 0x1
RTF_UP = 0x1
MULTICAST = "224.0.0.0", "240.0.0.0"


class NamespaceError(OSError):
    """The system does not let this process have a network of its own; says what to do."""


def in_own_network(command: Sequence[str], **options) -> subprocess.Popen:
    """Starts a program in a network of its own; see `enter_own_network`.

    `options` are those of `subprocess.Popen`. Raises `NamespaceError`.
    """
    try:
        return subprocess.Popen(command, preexec_fn=enter_own_network, **options)
    except subprocess.SubprocessError:
        raise NamespaceError(
            "no network of its own: unprivileged user namespaces must be allowed (sysctl "
            "kernel.unprivileged_userns_clone, user.max_user_namespaces), or run it as root"
        ) from None


def enter_own_network() -> None:
    """Moves this process into a network where nothing is but a loopback device, which it brings up.

    Everything that it starts from now on lives there too, and what it makes there ends with the
    last of them. The process must have one thread only, which one that has loaded NumPy has not: as
    a rule `in_own_network` is meant. Raises `NamespaceError`.
    """
    user, group = os.geteuid(), os.getegid()
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        code = ctypes.get_errno()
        raise NamespaceError(code, f"no network of its own: {os.strerror(code)}")
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {user} 1"),
        ("gid_map", f"0 {group} 1"),
    ):
        Path("/proc/self", name).write_text(line)
    set_interface("lo", "127.0.0.1", "255.0.0.0")


def set_interface(name: str, address: str, netmask: str, *, multicast: bool = False) -> None:
    """Gives an interface of this network its address and brings it up.

    With `multicast` it is also where multicast goes. Raises OSError, as a rule for want of rights.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:

        def ask(request: int, value: bytes) -> bytes:
            return fcntl.ioctl(control, request, struct.pack("16s24s", name.encode(), value))

        ask(SIOCSIFADDR, _socket_address(address))
        ask(SIOCSIFNETMASK, _socket_address(netmask))
        (flags,) = struct.unpack_from("H", ask(SIOCGIFFLAGS, b""), 16)
        ask(SIOCSIFFLAGS, struct.pack("H", flags | IFF_UP))
        if multicast:
            _add_route(control, name, *MULTICAST)


def interface_mac(name: str) -> str:
    """The MAC address of an interface of this network, as in 02:00:5e:00:53:01.

    Raises OSError if there is no such interface.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16s24x", name.encode())
        return fcntl.ioctl(control, SIOCGIFHWADDR, request)[18:24].hex(":")


def _add_route(control: socket.socket, name: str, destination: str, netmask: str) -> None:
    # struct rtentry of a 64-bit machine: padding, destination, gateway, mask, flags, device.
    device = ctypes.create_string_buffer(name.encode())
    entry = struct.pack(
        "@L16s16s16sHhLPhPLLH",
        0,
        _socket_address(destination),
        _socket_address("0.0.0.0"),
        _socket_address(netmask),
        RTF_UP,
        0,
        0,
        0,
        0,
        ctypes.addressof(device),
        0,
        0,
        0,
    )
    fcntl.ioctl(control, SIOCADDRT, entry)


def _socket_address(address: str) -> bytes:
    return struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
