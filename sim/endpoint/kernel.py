"""The card's end of the order session with the kernel's own TCP as its peer, over a TAP device.

Run as a program inside a user and network namespace of its own (`unshare -Urn`): it makes the
device, listens, and plays a session; the outcome is one line of JSON.

Ref: docs/architecture.md, "The order session".
"""

import argparse
import contextlib
import fcntl
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time

from tickgate.hdl.order.tcp.types import State
from tickgate.sim.endpoint.endpoint import Endpoint
from tickgate.sim.model.segments import Ends
from tickgate.sim.packets import HEARTBEAT, Packets
from tickgate.spec.ethernet import FCS_SIZE, MIN_FRAME, fcs, format_ipv4, format_mac

__all__ = ["main"]

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000

NAME = "tickgate0"
CARD_IP, VENUE_IP = 0x0AFE0002, 0x0AFE0001
CARD_MAC = 0x02AA00000001
VENUE_PORT = 15000
TICK_S = 0.01


class _Wire:
    """The TAP device, whose frames may be lost, doubled or delayed on the way."""

    def __init__(self, generator: random.Random, *, loss: float) -> None:
        self._random, self._loss = generator, loss
        self._device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(
            self._device, TUNSETIFF, struct.pack("16sH22x", NAME.encode(), IFF_TAP | IFF_NO_PI)
        )
        for command in (
            f"link set {NAME} up",
            f"addr add {format_ipv4(VENUE_IP)}/24 dev {NAME}",
            f"neigh replace {format_ipv4(CARD_IP)} lladdr {format_mac(CARD_MAC)} dev {NAME}",
        ):
            subprocess.run(["ip", *command.split()], check=True)
        with socket.socket() as probe:
            info = fcntl.ioctl(probe, 0x8927, struct.pack("256s", NAME.encode()))
        self.mac = int.from_bytes(info[18:24], "big")

    def _arrives(self, frame: bytes) -> list[bytes]:
        if self._random.random() < self._loss:
            return []
        return [frame] * (2 if self._random.random() < self._loss / 5 else 1)

    def frames(self, wait: float) -> list[bytes]:
        """What the kernel has sent, FCS added."""
        frames = []
        while select.select([self._device], [], [], wait)[0]:
            octets = os.read(self._device, 4096).ljust(MIN_FRAME - FCS_SIZE, b"\0")
            frames += self._arrives(octets + fcs(octets).to_bytes(FCS_SIZE, "little"))
            wait = 0
        if len(frames) > 1 and self._random.random() < self._loss:
            self._random.shuffle(frames)
        return frames

    def send(self, frame: bytes) -> None:
        """To the kernel, which gets no FCS."""
        for each in self._arrives(frame[:-FCS_SIZE]):
            os.write(self._device, each)


class _Play:
    """One session: a login, orders and reports both ways, and the end of it."""

    def __init__(self, *, width: int, seed: int, loss: float, orders: int) -> None:
        self._random = random.Random(seed)
        self._wire = _Wire(self._random, loss=loss)
        self._orders = orders
        self._endpoint = endpoint = Endpoint(width=width)
        ends = Ends(
            source_mac=CARD_MAC,
            destination_mac=self._wire.mac,
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
            timing_rto_min=4,
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
        self._endpoint.receive(self._wire.frames(0.001))
        if time.monotonic() - self._ticked > TICK_S:
            self._ticked = time.monotonic()
            self._endpoint.command("tick")
        sent, reports = self._endpoint.take()
        for each in sent:
            self._wire.send(each.octets)
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
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--orders", type=int, default=200)
    options = parser.parse_args()
    play = _Play(width=options.width, seed=options.seed, loss=options.loss, orders=options.orders)
    sys.stdout.write(json.dumps(play.run()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
