"""SoupBinTCP against the packets of real sessions."""

import pytest
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tickgate.spec import soupbintcp
from tickgate.spec.fields import WireError


def tcp_data(frame):
    return Ether(frame)[TCP][Raw].load


@pytest.mark.parametrize(
    ("packet", "size"),
    [
        (soupbintcp.LOGIN_ACCEPTED, 33),
        (soupbintcp.LOGIN_REJECTED, 4),
        (soupbintcp.LOGIN_REQUEST, 49),
        (soupbintcp.LOGIN_REQUEST_410, 54),
    ],
)
def test_packets_have_the_size_of_the_specification_and_a_length_that_leaves_itself_out(
    packet, size
):
    assert packet.size == size
    assert packet.field("length").fixed == size - 2


def test_a_login_round_trips():
    values = {
        "username": "user",
        "password": "secret",
        "requested_session": "",
        "requested_sequence": 1,
    }
    octets = soupbintcp.LOGIN_REQUEST.pack(**values)
    assert octets == b"\x00/Luser  secret              " + b"1".rjust(20)
    assert soupbintcp.LOGIN_REQUEST.unpack(octets) == {"length": 47, "type": "L", **values}
    longer = soupbintcp.LOGIN_REQUEST_410.pack(**values, heartbeat_timeout=1500)
    assert longer == b"\x00\x34" + octets[2:] + b" 1500"


def test_a_short_session_is_padded_on_the_left():
    octets = soupbintcp.LOGIN_ACCEPTED.pack(session="AB", sequence=7)
    assert octets[3:13] == b"        AB"
    assert soupbintcp.LOGIN_ACCEPTED.unpack(octets)["session"] == "AB"


def test_heartbeats_are_three_octets():
    assert soupbintcp.pack(soupbintcp.CLIENT_HEARTBEAT) == b"\x00\x01R"
    assert soupbintcp.pack(soupbintcp.SERVER_HEARTBEAT) == b"\x00\x01H"


def test_a_stream_is_split_wherever_it_is_cut():
    stream = (
        soupbintcp.pack("+", b"hello")
        + soupbintcp.pack("S", b"one")
        + soupbintcp.pack("H")
        + soupbintcp.pack("Z")
    )
    for cut in range(len(stream) + 1):
        first, rest = soupbintcp.split(stream[:cut])
        second, left = soupbintcp.split(rest + stream[cut:])
        assert first + second == [("+", b"hello"), ("S", b"one"), ("H", b""), ("Z", b"")]
        assert left == b""


@pytest.mark.parametrize(
    ("stream", "complaint"),
    [
        (b"\x00\x00R", "at octet 0 has the length 0"),
        (b"\x00\x01H\x00\x01?", r"no SoupBinTCP packet has the type '\?' \(octet 3\)"),
        (b"\x00\x01\xff", "is not ASCII"),
    ],
)
def test_a_stream_that_cannot_be_followed_is_refused(stream, complaint):
    with pytest.raises(WireError, match=complaint):
        soupbintcp.split(stream)


def test_a_packet_of_no_known_type_or_too_long_is_refused():
    with pytest.raises(WireError, match="type 'Q'"):
        soupbintcp.pack("Q")
    with pytest.raises(WireError, match="length: 65536 is outside 0 to 65535"):
        soupbintcp.pack("U", bytes(65535))


def test_a_real_login_request_is_decoded_and_encoded_octet_for_octet(real_frames):
    (frame,) = real_frames("soupbin/LoginRequestPacket.pcap")
    octets = tcp_data(frame)
    values = soupbintcp.LOGIN_REQUEST.unpack(octets)
    assert soupbintcp.LOGIN_REQUEST.pack(**values) == octets
    assert (values["username"], values["requested_session"]) == ("user", "")
    assert values["requested_sequence"] == 0


def test_a_real_login_acceptance_is_decoded_and_encoded_octet_for_octet(real_frames):
    (frame,) = real_frames("soupbin/LoginAcceptedPacket.pcap")
    octets = tcp_data(frame)
    values = soupbintcp.LOGIN_ACCEPTED.unpack(octets)
    assert soupbintcp.LOGIN_ACCEPTED.pack(**values) == octets
    assert (values["session"], values["sequence"]) == ("1689192121", 135)


@pytest.mark.parametrize(("name", "type_"), [("Client", "R"), ("Server", "H")])
def test_real_heartbeats_are_decoded_and_encoded_octet_for_octet(real_frames, name, type_):
    (frame,) = real_frames(f"ouch50/{name}HeartbeatPacket.pcap")
    octets = tcp_data(frame)
    assert soupbintcp.split(octets) == ([(type_, b"")], b"")
    assert soupbintcp.pack(type_) == octets
