"""Ethernet to TCP against another packet library, known checksums and real captures."""

import zlib

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether

from tickgate.spec import ethernet, moldudp64
from tickgate.spec.fields import WireError

MAC = 0x0100_5E36_0C6F
ADDRESS = 0xE936_0C6F


def random_values(message, generator):
    return {
        field.name: generator.randint(0, field.maximum) for field in message if field.fixed is None
    }


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (ethernet.ETHERNET, 14),
        (ethernet.VLAN_TAG, 4),
        (ethernet.ARP, 28),
        (ethernet.IPV4, 20),
        (ethernet.UDP, 8),
        (ethernet.TCP, 20),
    ],
)
def test_headers_have_the_size_of_their_standard_and_round_trip(message, size, generator):
    assert message.size == size
    for _ in range(50):
        values = random_values(message, generator)
        unpacked = message.unpack(message.pack(**values))
        assert {name: unpacked[name] for name in values} == values


def test_another_library_builds_the_same_ethernet_tag_and_udp_headers():
    theirs = bytes(
        Ether(dst="01:00:5e:36:0c:6f", src="d4:af:f7:cb:20:d5")
        / Dot1Q(vlan=0x8D, prio=1)
        / IP(src="206.200.127.138", dst="233.54.12.111", ttl=21, id=0xBBAA)
        / UDP(sport=49653, dport=26477, chksum=0xBA78)
        / b"0123456789"
    )
    ip = {
        "version_ihl": ethernet.IPV4_VERSION_IHL,
        "dscp_ecn": 0,
        "total_length": 38,
        "identification": 0xBBAA,
        "flags_fragment": 0,
        "ttl": 21,
        "protocol": ethernet.PROTOCOL_UDP,
        "source": ethernet.parse_ipv4("206.200.127.138"),
        "destination": ADDRESS,
    }
    checksum = ethernet.internet_checksum(ethernet.IPV4.pack(**ip, checksum=0))
    ours = (
        ethernet.ETHERNET.pack(
            destination=MAC,
            source=ethernet.parse_mac("d4:af:f7:cb:20:d5"),
            ethertype=ethernet.ETHERTYPE_VLAN,
        )
        + ethernet.VLAN_TAG.pack(tci=0x208D, ethertype=ethernet.ETHERTYPE_IPV4)
        + ethernet.IPV4.pack(**ip, checksum=checksum)
        + ethernet.UDP.pack(source_port=49653, destination_port=26477, length=18, checksum=0xBA78)
        + b"0123456789"
    )
    assert ours == theirs


def test_another_library_builds_the_same_tcp_segment_and_checksum():
    theirs = bytes(
        IP(src="10.0.0.1", dst="10.0.0.2", flags="DF", id=0)
        / TCP(sport=4000, dport=5000, seq=7, ack=9, flags="PA", window=512)
        / b"odd"
    )
    header = {
        "source_port": 4000,
        "destination_port": 5000,
        "sequence": 7,
        "acknowledgement": 9,
        "data_offset": ethernet.TCP_DATA_OFFSET,
        "flags": ethernet.TCP_PSH | ethernet.TCP_ACK,
        "window": 512,
        "urgent": 0,
    }
    pseudo = ethernet.tcp_pseudo_header(0x0A00_0001, 0x0A00_0002, ethernet.PROTOCOL_TCP, 23)
    checksum = ethernet.internet_checksum(pseudo + ethernet.TCP.pack(**header, checksum=0) + b"odd")
    assert ethernet.TCP.pack(**header, checksum=checksum) + b"odd" == theirs[20:]
    assert ethernet.ones_complement_sum(pseudo + theirs[20:]) == 0xFFFF


def test_another_library_builds_the_same_arp_request():
    theirs = bytes(
        ARP(hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", hwdst="00:00:00:00:00:00", pdst="10.0.0.2")
    )
    assert theirs == ethernet.ARP.pack(
        operation=ethernet.ARP_REQUEST,
        sender_mac=0x0200_0000_0001,
        sender_ip=0x0A00_0001,
        target_mac=0,
        target_ip=0x0A00_0002,
    )


def test_the_checksum_is_that_of_the_example_of_the_standard():
    words = bytes.fromhex("0001f203f4f5f6f7")
    assert ethernet.ones_complement_sum(words) == 0xDDF2
    assert (
        ethernet.ones_complement_sum(words[4:], ethernet.ones_complement_sum(words[:4])) == 0xDDF2
    )
    assert ethernet.internet_checksum(words) == 0x220D


def test_the_fcs_of_the_check_string_and_its_residue():
    assert ethernet.fcs(b"123456789") == 0xCBF4_3926
    frame = bytes(range(60))
    whole = frame + ethernet.fcs(frame).to_bytes(4, "little")
    assert zlib.crc32(whole) == 0x2144_DF1C


def test_header_lengths_are_read_from_their_half_octets():
    assert ethernet.ipv4_version(0x46) == 4
    assert ethernet.ipv4_header_length(0x46) == 24
    assert ethernet.tcp_header_length(0x80) == 32


def test_addresses_are_read_and_written():
    assert ethernet.parse_ipv4("233.54.12.111") == ADDRESS
    assert ethernet.format_ipv4(ADDRESS) == "233.54.12.111"
    assert ethernet.parse_mac("01:00:5e:36:0c:6f") == MAC
    assert ethernet.format_mac(MAC) == "01:00:5e:36:0c:6f"


def test_a_multicast_group_has_its_ethernet_address():
    assert ethernet.multicast_mac(ADDRESS) == MAC
    assert ethernet.multicast_mac(0xEFFF_FFFF) == 0x0100_5E7F_FFFF
    with pytest.raises(WireError, match=r"10\.0\.0\.1 is not an IPv4 multicast address"):
        ethernet.multicast_mac(0x0A00_0001)


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.x", "1.2.3.-4"])
def test_an_address_that_is_none_is_refused(text):
    with pytest.raises(WireError, match="is not an IPv4 address"):
        ethernet.parse_ipv4(text)


@pytest.mark.parametrize("text", ["", "01:00:5e:36:0c", "0100:5e:36:0c:6f:0", "01:00:5e:36:0c:zz"])
def test_an_ethernet_address_that_is_none_is_refused(text):
    with pytest.raises(WireError, match="is not an Ethernet address"):
        ethernet.parse_mac(text)


def test_real_feed_frames_are_decoded_and_encoded_octet_for_octet(real_frames):
    frames = real_frames("itch50/*.pcap")
    assert len(frames) == 9
    for frame in frames:
        at, rebuilt = 0, b""
        for header in (ethernet.ETHERNET, ethernet.VLAN_TAG, ethernet.IPV4, ethernet.UDP):
            values = header.unpack_from(frame, at)
            rebuilt += header.pack(**values)
            at += header.size
            if header is ethernet.IPV4:
                assert values["ttl"] == 21
                assert values["total_length"] == len(frame) - 18
                assert ethernet.multicast_mac(values["destination"]) == MAC
                assert ethernet.ones_complement_sum(header.pack(**values)) == 0xFFFF
        assert rebuilt == frame[:at]
        assert values["length"] == 8 + len(frame) - at
        assert moldudp64.HEADER.unpack_from(frame, at)["session"] == "000010059B"
