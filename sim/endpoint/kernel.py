"""The card's end of the order session with the kernel's own TCP as its peer, over a TAP device.

Run as a program inside a user and network namespace of its own (`unshare -Urn`): it makes the
device, listens, and plays a session; the outcome is one line of JSON.

Ref: docs/architecture.md, "The order session".
"""

import argparse
import contextlib
import fcntl
import json
import random
import select
import socket
import struct
import sys
import time
from pathlib import Path

from tickgate.hdl.order.tcp.types import State
from tickgate.sim.endpoint.endpoint import Endpoint
from tickgate.sim.model.segments import Ends
from tickgate.sim.packets import HEARTBEAT, Packets
from tickgate.sim.virtual import Impairments, NetworkPort, Tap
from tickgate.spec.ethernet import format_ipv4

__all__ = ["main"]

INTERFACE = "tickgate0"
CARD_IP, VENUE_IP = 0x0AFE0002, 0x0AFE0001
CARD_MAC = 0x02AA00000001
VENUE_PORT = 15000
TICK_S = 0.01

SIOCSARP = 0x8955
ARPHRD_ETHER = 1
ATF_COMPLETE, ATF_PERMANENT = 0x02, 0x04


def _introduce(name: str) -> None:
    """Tells the kernel the card's MAC address: what answers to ARP is not part of this end."""
    address = struct.pack("HH4s8x", socket.AF_INET, 0, CARD_IP.to_bytes(4, "big"))
    hardware = struct.pack("H6s8x", ARPHRD_ETHER, CARD_MAC.to_bytes(6, "big"))
    request = struct.pack(
        "16s16si16x16s", address, hardware, ATF_COMPLETE | ATF_PERMANENT, name.encode()
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSARP, request)


class _Play:
    """One session: a login, orders and reports both ways, and the end of it."""

    def __init__(
        self, endpoint: Endpoint, tap: Tap, *, seed: int, impairments: Impairments, orders: int
    ) -> None:
        self._random = random.Random(seed)
        self._port = NetworkPort(tap, impairments=impairments, seed=seed)
        self._orders = orders
        self._endpoint = endpoint
        ends = Ends(
            source_mac=CARD_MAC,
            destination_mac=tap.mac,
            source_ip=CARD_IP,
            destination_ip=VENUE_IP,
            source_port=40001,
            destination_port=VENUE_PORT,
        )
        endpoint.configure(
            endpoints_local_mac=ends.source_mac,
            endpoints_gateway_mac=ends.destination_mac,
            endpoints_local_ip=ends.source_ip,
            endpoints_remote_ip=ends.destination_ip,
            endpoints_local_port=ends.source_port,
            endpoints_remote_port=ends.destination_port,
            isn=0xFFFFFF00,
            timing_rto_initial=20,
            timing_rto_min=20,
            timing_rto_max=200,
            timing_retries=15,
            timing_ack_delay=2,
            timing_keepalive_idle=500,
            timing_keepalive_interval=100,
            timing_keepalive_probes=5,
            timing_linger=5,
            timing_challenge_interval=1,
            heartbeat=100,
            silence=0,
        )
        self._server = socket.create_server((format_ipv4(VENUE_IP), VENUE_PORT))
        self._server.setblocking(False)
        self._venue: socket.socket | None = None
        self._ticked = time.monotonic()
        self.received = b""
        self.reports: list[int] = []

    def _turn(self) -> None:
        """What has come by now goes its way."""
        select.select([self._port], [], [], 0.001)
        self._endpoint.receive(self._port.arrivals())
        if time.monotonic() - self._ticked > TICK_S:
            self._ticked = time.monotonic()
            self._endpoint.command("tick")
        sent, reports = self._endpoint.take()
        self._port.deliver(sent)
        self.reports += [int(each["sequence"]) for each in reports]
        if self._venue is None:
            try:
                self._venue, _ = self._server.accept()
                self._venue.setblocking(False)
            except BlockingIOError:
                return
        with contextlib.suppress(BlockingIOError):
            self.received += self._venue.recv(1 << 16)

    def _until(self, done, what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"no {what} in {seconds} s; {self._endpoint.state}, {self._endpoint.outcome}, "
                    f"{len(self.received)} octets, {len(self.reports)} reports"
                )
            self._turn()

    def run(self) -> dict:
        """Plays it; returns what came of it."""
        endpoint, packets = self._endpoint, Packets(self._random)
        login = b"\0\x2fL" + b"x" * 46
        endpoint.command("connect")
        self._until(lambda: endpoint.state is State.ESTABLISHED, "connection")
        endpoint.host(login)
        self._until(lambda: self.received == login, "login")
        venue = self._venue
        assert venue is not None
        venue.setblocking(True)
        venue.sendall(packets.login(1))
        venue.setblocking(False)
        self._until(lambda: endpoint.status("may_order"), "answer to the login")
        stream, sent, told = login, 0, 0
        for n in range(self._orders):
            payload = struct.pack(">H", n) * 26
            self._until(lambda payload=payload: endpoint.order(payload), f"order {n}")
            stream += payload
            if self._random.random() < 0.5:
                data = packets.report() + HEARTBEAT
                venue.setblocking(True)
                venue.sendall(data)
                venue.setblocking(False)
                told, sent = told + 1, sent + len(data)
            self._turn()
        # Heartbeats may be among the orders, each at the place where it was sent.
        size = len(stream)
        self._until(lambda: len(self._without_heartbeats(login)) >= size, "order at the venue")
        self._until(lambda: len(self.reports) >= told, "report")
        whole = self._without_heartbeats(login) == stream
        endpoint.command("close")
        self._until(lambda: endpoint.state is not State.FIN_WAIT_1, "answer to FIN")
        venue.close()
        self._venue = None
        self._until(lambda: endpoint.state is State.CLOSED, "end")
        counters = endpoint.counters
        return {
            "orders_whole": whole,
            "reports_in_order": self.reports == list(range(1, told + 1)),
            "orders": self._orders,
            "reports": told,
            "outcome": endpoint.outcome.name,
            "faults": endpoint.faults,
            "retransmissions": counters["retransmissions"],
            "out_of_order": counters["out_of_order"],
            "duplicates": counters["duplicates"],
            "bad": {name: counters[name] for name in ("damaged", "ip_checksum", "tcp_checksum")},
        }

    def _without_heartbeats(self, login: bytes) -> bytes:
        rest, out = self.received[len(login) :], self.received[: len(login)]
        while rest:
            if rest[:3] == b"\0\1R":
                rest = rest[3:]
            else:
                out, rest = out + rest[:52], rest[52:]
        return out


def main() -> int:
    """Plays a session as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--impairments", type=json.loads, default={}, help="rates, as JSON")
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--library", type=Path, help="an endpoint of this width that was built")
    options = parser.parse_args()
    impairments = Impairments(**options.impairments)
    with (
        Tap(INTERFACE, address=f"{format_ipv4(VENUE_IP)}/24") as tap,
        Endpoint(width=options.width, library=options.library) as endpoint,
    ):
        _introduce(INTERFACE)
        play = _Play(
            endpoint, tap, seed=options.seed, impairments=impairments, orders=options.orders
        )
        sys.stdout.write(json.dumps(play.run()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
