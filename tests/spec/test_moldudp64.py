"""MoldUDP64 against real datagrams."""

import pytest

from tickgate.spec import ethernet, itch50, moldudp64

HEADERS = (ethernet.ETHERNET, ethernet.VLAN_TAG, ethernet.IPV4, ethernet.UDP)


def blocks(payload):
    at = moldudp64.HEADER.size
    while at < len(payload):
        length = int.from_bytes(payload[at : at + moldudp64.BLOCK_LENGTH_SIZE], "big")
        at += moldudp64.BLOCK_LENGTH_SIZE
        yield payload[at : at + length]
        at += length


@pytest.mark.parametrize("table", [moldudp64.HEADER, moldudp64.REQUEST])
def test_header_and_request_are_20_octets_with_the_same_places(table):
    octets = table.pack(session="000010059B", sequence=2**64 - 1, count=0xFFFF)
    assert octets == b"000010059B" + b"\xff" * 10
    assert table.unpack(octets) == {
        "session": "000010059B",
        "sequence": 2**64 - 1,
        "count": moldudp64.END_OF_SESSION,
    }


def test_real_datagrams_are_decoded_and_encoded_octet_for_octet(real_frames):
    seen = set()
    for frame in real_frames("itch50/*.pcap"):
        payload = frame[sum(header.size for header in HEADERS) :]
        header = moldudp64.HEADER.unpack_from(payload)
        rebuilt = moldudp64.HEADER.pack(**header)
        messages = list(blocks(payload))
        for octets in messages:
            message = itch50.MESSAGES[chr(octets[0])]
            again = message.pack(**message.unpack(octets))
            rebuilt += len(again).to_bytes(moldudp64.BLOCK_LENGTH_SIZE, "big") + again
            seen.add(message.type)
        assert rebuilt == payload
        assert len(messages) == header["count"]
    assert seen >= set("ADEHILU")
