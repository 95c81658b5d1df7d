"""Frames of the feed in bulk: ITCH messages packed into MoldUDP64, UDP, IPv4 and Ethernet.

Ref: MoldUDP64 1.00; RFC 768; RFC 791; IEEE 802.3, clause 3.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tickgate.sim.messages import Messages
from tickgate.spec import ethernet, moldudp64

__all__ = ["MAX_PAYLOAD", "PAYLOAD_AT", "SESSION", "Frames", "Packer", "arrange", "line_rate_gaps"]

MAX_PAYLOAD = 1472
"""Octets of UDP payload in an Ethernet frame of the usual size."""

UDP_AT = ethernet.ETHERNET.size + ethernet.IPV4.size
PAYLOAD_AT = UDP_AT + ethernet.UDP.size
BLOCKS_AT = PAYLOAD_AT + moldudp64.HEADER.size

TTL = 21
SOURCE = ethernet.parse_ipv4("206.200.127.138")
SOURCE_MAC = ethernet.parse_mac("d4:af:f7:cb:20:d5")
SOURCE_PORT = 49653
SESSION = "000010059B"


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Frames back to back, from destination MAC to FCS, and where the feed's messages are.

    Parameters
    ----------
    octets : uint8 array
    lengths : int64 array
        Octets of each frame.
    payload_at, payload_size : int64 array
        UDP payload of each frame, from the frame's first octet; size -1 where the card takes none.
    messages : Messages
        In `octets`, in order.
    frame : int64 array
        Which frame each message is in.
    sequence : uint64 array
        MoldUDP64 sequence number of each message.
    due : bool array
        The feed has not had the message before.
    causes : list
        What is wrong with each frame (see `tickgate.sim.reception`), None where nothing is.
    line : uint8 array
        The line of the feed that each frame is for: 0 is A, 1 is B.
    first_index : int
        1-based index of the first message in the input.
    """

    octets: np.ndarray
    lengths: np.ndarray
    payload_at: np.ndarray
    payload_size: np.ndarray
    messages: Messages
    frame: np.ndarray
    sequence: np.ndarray
    due: np.ndarray
    causes: list[str | None]
    line: np.ndarray
    first_index: int

    @property
    def starts(self) -> np.ndarray:
        """Where each frame begins in `octets`."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def last_octets(self) -> np.ndarray:
        """Where the last octet of each message is in its frame."""
        return self.messages.begin + self.messages.size - 1 - self.starts[self.frame]

    def pieces(self, records: int) -> Iterator["Frames"]:
        """The same frames in pieces that hold at most so many frames and messages together.

        A frame that has more of its own is a piece by itself.
        """
        messages = np.bincount(self.frame, minlength=len(self.lengths))
        sums = np.cumsum(messages + 1)
        first = 0
        while first < len(self.lengths):
            passed = sums[first - 1] if first else 0
            last = int(np.searchsorted(sums, passed + records, side="right"))
            last = max(last, first + 1)
            yield self._piece(first, last)
            first = last

    def _piece(self, first: int, last: int) -> "Frames":
        lengths = self.lengths[first:last]
        at = int(self.lengths[:first].sum())
        begin, end = np.searchsorted(self.frame, [first, last]).tolist()
        octets = self.octets[at : at + int(lengths.sum())]
        return Frames(
            octets=octets,
            lengths=lengths,
            payload_at=self.payload_at[first:last],
            payload_size=self.payload_size[first:last],
            messages=Messages(
                octets=octets,
                begin=self.messages.begin[begin:end] - at,
                size=self.messages.size[begin:end],
            ),
            frame=self.frame[begin:end] - first,
            sequence=self.sequence[begin:end],
            due=self.due[begin:end],
            causes=self.causes[first:last],
            line=self.line[first:last],
            first_index=self.first_index + begin,
        )


class Packer:
    """Packs the messages of a file into frames, in one MoldUDP64 session from 1 on.

    Parameters
    ----------
    address : int
        Multicast IPv4 address of the feed.
    port : int
        UDP port of the feed.
    pack : int or None
        Messages in a datagram; None: those with the same timestamp share one. No datagram exceeds
        `MAX_PAYLOAD` octets.
    line : int
        The line of the feed that this is.
    """

    def __init__(self, *, address: int, port: int, pack: int | None = None, line: int = 0) -> None:
        if pack is not None and pack < 1:
            raise ValueError(f"pack must be at least 1, not {pack}")
        self._pack, self._line = pack, line
        self._next = 1
        self._template = np.frombuffer(_template(address, port), np.uint8)

    def frames(self, messages: Messages) -> Frames:
        """The frames of the next messages, each of which lies behind its length in `octets`."""
        prefix = moldudp64.BLOCK_LENGTH_SIZE
        sizes = messages.size + prefix
        firsts = self._datagrams(messages, sizes)
        counts = np.diff(firsts, append=len(messages))
        frame = np.repeat(np.arange(len(firsts)), counts)
        bodies = np.add.reduceat(sizes, firsts) if len(firsts) else np.empty(0, np.int64)
        lengths = BLOCKS_AT + bodies + ethernet.FCS_SIZE
        shift = np.arange(len(firsts)) * (BLOCKS_AT + ethernet.FCS_SIZE) + BLOCKS_AT
        octets = np.empty(int(lengths.sum()), np.uint8)
        if len(messages):
            begin = int(messages.begin[0]) - prefix
            body = messages.octets[begin : begin + int(sizes.sum())]
            octets[np.arange(len(body)) + np.repeat(shift, bodies)] = body
        sequence = np.arange(self._next, self._next + len(messages)).astype(np.uint64)
        first_index, self._next = self._next, self._next + len(messages)
        starts = np.cumsum(lengths) - lengths
        self._write_headers(octets, starts, bodies, sequence[firsts], counts)
        _write_fcs(octets, starts, lengths)
        return Frames(
            octets=octets,
            lengths=lengths,
            payload_at=np.full(len(firsts), PAYLOAD_AT),
            payload_size=bodies + moldudp64.HEADER.size,
            messages=Messages(
                octets=octets,
                begin=np.cumsum(sizes) - sizes + prefix + shift[frame],
                size=messages.size,
            ),
            frame=frame,
            sequence=sequence,
            due=np.ones(len(messages), bool),
            causes=[None] * len(firsts),
            line=np.full(len(firsts), self._line, np.uint8),
            first_index=first_index,
        )

    def _datagrams(self, messages: Messages, sizes: np.ndarray) -> np.ndarray:
        """The first message of each datagram."""
        count = len(messages)
        if self._pack is not None:
            firsts = np.arange(0, count, self._pack)
        else:
            times = messages.header("timestamp")
            firsts = np.flatnonzero(np.append(True, times[1:] != times[:-1]))[:count]
        room = MAX_PAYLOAD - moldudp64.HEADER.size
        ends = np.append(firsts[1:], count)
        sums = np.concatenate([[0], np.cumsum(sizes)])
        more = []
        for group in np.flatnonzero(sums[ends] - sums[firsts] > room).tolist():
            at, end = int(firsts[group]), int(ends[group])
            while sums[end] - sums[at] > room:
                at = int(np.searchsorted(sums, sums[at] + room, side="right")) - 1
                more.append(at)
        return np.sort(np.concatenate([firsts, np.array(more, np.int64)]))

    def _write_headers(self, octets, starts, bodies, sequence, counts) -> None:
        octets[starts[:, None] + np.arange(BLOCKS_AT)] = self._template
        total = ethernet.IPV4.size + ethernet.UDP.size + moldudp64.HEADER.size + bodies
        ip_at = starts + ethernet.ETHERNET.size
        udp_at, mold_at = starts + UDP_AT, starts + PAYLOAD_AT
        _put(octets, ip_at, ethernet.IPV4, "total_length", total)
        _put(octets, ip_at, ethernet.IPV4, "checksum", ~_sums(octets, ip_at, udp_at))
        _put(octets, mold_at, moldudp64.HEADER, "sequence", sequence)
        _put(octets, mold_at, moldudp64.HEADER, "count", counts)
        udp_length = total - ethernet.IPV4.size
        _put(octets, udp_at, ethernet.UDP, "length", udp_length)
        # The pseudo header: addresses, which lie before the UDP header, protocol and length.
        addresses = _sums(octets, ip_at + ethernet.IPV4.offset("source"), udp_at)
        datagrams = _sums(octets, udp_at, udp_at + udp_length)
        checksum = ~_fold(addresses + datagrams + ethernet.PROTOCOL_UDP + udp_length) & 0xFFFF
        _put(octets, udp_at, ethernet.UDP, "checksum", np.where(checksum, checksum, 0xFFFF))


def arrange(parts: Sequence[Frames], order: np.ndarray) -> Frames:
    """The frames of `parts` in another order: `order` counts them from the first of the first part.

    Frames may be left out, or come again. Of each message the first copy is due.
    """

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    counts = [len(part.lengths) for part in parts]
    before = np.cumsum([0, *counts[:-1]])
    owner = np.concatenate([part.frame + at for part, at in zip(parts, before, strict=True)])
    sizes = np.concatenate([part.messages.size for part in parts])
    within = np.concatenate([part.messages.begin - part.starts[part.frame] for part in parts])
    lengths, sequences = joined("lengths"), joined("sequence")
    firsts = np.cumsum(lengths) - lengths
    octets = joined("octets")[_ranges(firsts[order], lengths[order])]
    held = np.bincount(owner, minlength=len(lengths))[order]
    chosen = _ranges(np.searchsorted(owner, order), held)
    frame = np.repeat(np.arange(len(order)), held)
    starts = np.cumsum(lengths[order]) - lengths[order]
    due = np.zeros(len(chosen), bool)
    due[np.unique(sequences[chosen], return_index=True)[1]] = True
    causes = [cause for part in parts for cause in part.causes]
    return Frames(
        octets=octets,
        lengths=lengths[order],
        payload_at=joined("payload_at")[order],
        payload_size=joined("payload_size")[order],
        messages=Messages(octets=octets, begin=starts[frame] + within[chosen], size=sizes[chosen]),
        frame=frame,
        sequence=sequences[chosen],
        due=due,
        causes=[causes[at] for at in order.tolist()],
        line=joined("line")[order],
        first_index=parts[0].first_index,
    )


def _ranges(first: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The numbers from each `first` on, `size` of them, one range after the other."""
    return np.arange(int(size.sum())) + np.repeat(first - (np.cumsum(size) - size), size)


def line_rate_gaps(lengths: np.ndarray, *, width: int) -> np.ndarray:
    """Idle cycles before each frame at 100 % of the line rate, `width` octets a cycle.

    On the wire each frame has a preamble before it and an inter-frame gap after that; on the
    stream it begins with a new word.
    """
    around = ethernet.PREAMBLE_SIZE + ethernet.INTERFRAME_GAP
    starts = -(-(np.cumsum(lengths + around) - lengths) // width)
    ends = starts + -(-lengths // width)
    return np.maximum(starts - np.append(0, ends[:-1]), 0).astype(np.uint32)


def _template(address: int, port: int) -> bytes:
    """The headers of a frame; lengths, checksums, sequence and count are 0."""
    return (
        ethernet.ETHERNET.pack(
            destination=ethernet.multicast_mac(address),
            source=SOURCE_MAC,
            ethertype=ethernet.ETHERTYPE_IPV4,
        )
        + ethernet.IPV4.pack(
            version_ihl=ethernet.IPV4_VERSION_IHL,
            dscp_ecn=0,
            total_length=0,
            identification=0,
            flags_fragment=ethernet.IPV4_DONT_FRAGMENT,
            ttl=TTL,
            protocol=ethernet.PROTOCOL_UDP,
            checksum=0,
            source=SOURCE,
            destination=address,
        )
        + ethernet.UDP.pack(source_port=SOURCE_PORT, destination_port=port, length=0, checksum=0)
        + moldudp64.HEADER.pack(session=SESSION, sequence=0, count=0)
    )


def _put(octets, at, layout, name: str, values: np.ndarray) -> None:
    """Writes a number into the same header field of many frames."""
    first, size = layout.offset(name), layout.field(name).size
    values = values.astype(np.uint64)
    for octet in range(size):
        octets[at + first + octet] = (values >> np.uint64(8 * (size - 1 - octet))).astype(np.uint8)


def _sums(octets: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The one's complement sum of 16-bit words over [begin, end) of each frame."""
    if not len(begin):
        return np.empty(0, np.int64)
    first, last = int(begin[0]), int(end[-1])
    ranges = np.stack([begin, end], axis=1).ravel() - first
    sums = np.zeros(len(begin), np.int64)
    # Which octets are the upper ones depends on where the frame begins.
    parity = (np.arange(last - first) + first) & 1
    for odd in (0, 1):
        chosen = octets[first:last] * (parity == odd)
        totals = np.add.reduceat(np.append(chosen, 0), ranges, dtype=np.int64)[::2]
        sums += np.where(begin & 1 == odd, totals << 8, totals)
    return _fold(sums)


def _fold(sums: np.ndarray) -> np.ndarray:
    for _ in range(3):
        sums = (sums & 0xFFFF) + (sums >> 16)
    return sums


def _write_fcs(octets: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> None:
    view = memoryview(octets)
    ends = starts + lengths - ethernet.FCS_SIZE
    codes = [
        ethernet.fcs(view[start:end])
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    fcs = np.array(codes, "<u4").view(np.uint8).reshape(-1, ethernet.FCS_SIZE)
    octets[ends[:, None] + np.arange(ethernet.FCS_SIZE)] = fcs
