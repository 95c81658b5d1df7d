"""The model of the order frame, read back by scapy and by the tables."""

from dataclasses import replace

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from tickgate.sim.model.feed import BUY, SELL
from tickgate.sim.model.order import SEGMENT_SIZE, Session, encode
from tickgate.sim.model.risk import Order
from tickgate.spec import ethernet, ouch50, soupbintcp
from tickgate.spec.fields import WireError

SESSION = Session(
    destination_mac=0x02_00_00_00_00_01,
    source_mac=0x02_00_00_00_00_02,
    source_ip=ethernet.parse_ipv4("10.1.2.3"),
    destination_ip=ethernet.parse_ipv4("10.1.2.4"),
    source_port=40001,
    destination_port=26400,
    acknowledgement=0x89ABCDEF,
    window=12345,
    clordid="tickgate-00001",
)
ORDER = Order(3, SELL, 320_1400, 250, 99, 0x01020304)


def frame(order=ORDER, session=SESSION, tcp_sequence=0xFFFF_FFFF):
    return encode(order, session=session, name="AAPL", tcp_sequence=tcp_sequence)


def test_a_frame_is_104_octets_and_its_check_sequence():
    assert len(frame()) == 108
    assert SEGMENT_SIZE == 50
    octets, check = frame()[:-4], frame()[-4:]
    assert ethernet.fcs(octets).to_bytes(4, "little") == check


def test_the_headers_are_those_of_the_session_and_their_checksums_good():
    packet = Ether(frame()[:-4])
    assert (packet.dst, packet.src) == ("02:00:00:00:00:01", "02:00:00:00:00:02")
    ip, tcp = packet[IP], packet[TCP]
    assert (ip.src, ip.dst, ip.len, ip.ttl, ip.id) == ("10.1.2.3", "10.1.2.4", 90, 64, 0)
    assert str(ip.flags) == "DF"
    assert (tcp.sport, tcp.dport, tcp.window, tcp.dataofs) == (40001, 26400, 12345, 5)
    assert (tcp.seq, tcp.ack, str(tcp.flags)) == (0xFFFF_FFFF, 0x89ABCDEF, "PA")
    checksums = ip.chksum, tcp.chksum
    del ip.chksum, tcp.chksum
    again = Ether(bytes(packet))
    assert (again[IP].chksum, again[TCP].chksum) == checksums


@pytest.mark.parametrize(("side", "letter"), [(BUY, "B"), (SELL, "S")])
def test_the_order_is_one_unsequenced_packet_with_an_enter_order(side, letter):
    data = bytes(Ether(frame(ORDER._replace(side=side))[:-4])[TCP].payload)
    packets, rest = soupbintcp.split(data)
    assert rest == b""
    ((type_, payload),) = packets
    assert type_ == soupbintcp.UNSEQUENCED_DATA
    assert ouch50.INBOUND["O"].unpack(payload) == {
        "type": "O",
        "user_ref_num": 0x01020304,
        "side": letter,
        "quantity": 250,
        "symbol": "AAPL",
        "price": 320_1400,
        "tif": "3",
        "display": "Y",
        "capacity": "P",
        "iso": "N",
        "cross_type": "N",
        "clordid": "tickgate-00001",
        "appendage_len": 0,
    }


def test_a_value_that_does_not_fit_is_refused():
    with pytest.raises(WireError, match="clordid"):
        frame(session=replace(SESSION, clordid="x" * 15))
