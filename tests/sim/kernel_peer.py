"""Plays a market to a virtual card through the kernel's network; prints what came of it as JSON.

A program, since a network of one's own is for a whole process: see test_on_a_network.py.
"""

import json
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from tickgate.host.config import Config
from tickgate.host.driver import Driver
from tickgate.sim.feeding import configure
from tickgate.sim.replay import DRAIN, Options, plan
from tickgate.sim.virtual import Card, Impairments, NetworkPort, SerialServer, Tap
from tickgate.spec.ethernet import internet_checksum
from tickgate.spec.icmp import ECHO, ECHO_REPLY, ECHO_REQUEST

INTERFACE, ADDRESS = "tickgate0", "192.0.2.77"
PATIENCE = 30.0
SERVICES = {"arp": True, "icmp_echo": True, "igmp": True}
DATA = bytes(range(64))


def ping(address: str, count: int) -> list[int]:
    """Asks `count` times, each until it is answered; the numbers of the answers in order."""
    answered = []
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as asker:
        asker.settimeout(1)
        for number in range(count):
            fields = {"type": ECHO_REQUEST, "code": 0, "identifier": 7, "sequence": number}
            checksum = internet_checksum(ECHO.pack(checksum=0, **fields) + DATA)
            request = ECHO.pack(checksum=checksum, **fields) + DATA
            deadline = time.monotonic() + PATIENCE
            while number not in answered and time.monotonic() < deadline:
                asker.sendto(request, (address, 0))
                try:
                    reply = asker.recv(2048)[20:]
                    while reply[0] != ECHO_REPLY:
                        reply = asker.recv(2048)[20:]
                except TimeoutError:
                    continue
                if internet_checksum(reply) == 0 and reply[8:] == request[8:]:
                    answered.append(number)
    return answered


def datagrams(planned) -> list[bytes]:
    """The payloads of the market's frames."""
    feed = planned.config.feed
    payloads = []
    for frames in planned.source.frames((int(feed.address), feed.port)):
        begins = frames.starts + frames.payload_at
        payloads += [
            frames.octets[at : at + size].tobytes()
            for at, size in zip(begins.tolist(), frames.payload_size.tolist(), strict=True)
        ]
    return payloads


def shown(tops) -> list[tuple]:
    """Tops of book without the cycles that they came in; each with *exact* before it."""
    names = [name for name in tops.dtype.names if name not in ("cycle", "stamp")]
    return list(zip(tops["exact"].tolist(), tops[names].tolist(), strict=True))


def straight(planned) -> list[tuple]:
    """The tops of the same market without a network between."""
    feed = planned.config.feed
    with Card(width=8, quiet=True) as card:
        configure(card, planned)
        for frames in planned.source.frames((int(feed.address), feed.port)):
            card.send(frames.octets, frames.lengths, gap=20, drain=DRAIN)
        return shown(card.take().tops)


def main() -> None:
    """Argument 1: a file of ITCH. Argument 2: impairments as JSON."""
    impairments = Impairments(**json.loads(sys.argv[2]))
    planned = plan(Path(sys.argv[1]), Options())
    config = Config.from_dict({**planned.config.model_dump(), "network": SERVICES})
    planned = replace(planned, config=config)
    expected = straight(planned)
    with Tap(INTERFACE, address=f"{ADDRESS}/24") as tap, Card(width=8, quiet=True) as card:
        network = NetworkPort(tap, impairments=impairments, seed=1)
        configure(card, planned)
        stop, tops = threading.Event(), []
        with SerialServer(card) as server:
            arguments = {
                "stop": stop,
                "network": network,
                "observe": lambda log: tops.extend(shown(log.tops)),
            }
            serving = threading.Thread(target=server.run, kwargs=arguments)
            serving.start()
            answered = ping(str(config.session.source_ip), 20)
            group = (str(config.feed.address), config.feed.port)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as publisher:
                for number, payload in enumerate(datagrams(planned)):
                    before = network.inward.counts.passed
                    publisher.sendto(payload, group)
                    while number % 16 == 15 and network.inward.counts.passed <= before:
                        time.sleep(0.001)
            end = time.monotonic() + PATIENCE
            while tops != expected and time.monotonic() < end and not impairments.drop:
                time.sleep(0.05)
            time.sleep(0.3)
            stop.set()
            serving.join()
        counters = Driver(card.serial).counters()
        known = {top for _, top in expected}
        told = {
            "answered": answered,
            "expected_tops": len(expected),
            "tops": len(tops),
            "tops_equal": tops == expected,
            "exact_and_wrong": sum(exact and top not in known for exact, top in tops),
            "counters": {name: number for name, number in counters.items() if number},
            "summary": network.summary(),
            "inward": vars(network.inward.counts),
            "outward": vars(network.outward.counts),
            "network": vars(network.counts),
            "tx_faults": card.tx_faults,
        }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
