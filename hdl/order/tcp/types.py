"""What the parts of the TCP client tell each other.

Ref: RFC 9293, sections 3.3.2 (states) and 3.10.7 (what a segment brings).
"""

from amaranth.lib import data, enum

__all__ = ["Endpoints", "Job", "Outcome", "Segment", "State", "Timing", "Wants"]


class State(enum.Enum, shape=4):
    """State of the connection. OPENING lasts a few cycles, until all registers have settled."""

    CLOSED = 0
    OPENING = 1
    SYN_SENT = 2
    ESTABLISHED = 3
    FIN_WAIT_1 = 4
    FIN_WAIT_2 = 5
    CLOSING = 6
    TIME_WAIT = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9


class Outcome(enum.Enum, shape=3):
    """Why there is no connection."""

    NONE = 0
    """There never was one since reset, or there is one."""
    FINISHED = 1
    """Both sides have sent FIN, and ours was acknowledged."""
    ABORTED = 2
    """By command."""
    REFUSED = 3
    """RST in answer to SYN."""
    RESET = 4
    """RST later."""
    TIMED_OUT = 5
    """The peer did not answer, neither to retransmissions nor to probes."""
    UNRESOLVED = 6
    """The next hop did not answer, or there is none."""


class Endpoints(data.Struct):
    """The two ends of the connection, and the next hop to the far one."""

    local_mac: 48
    gateway_mac: 48
    local_ip: 32
    remote_ip: 32
    local_port: 16
    remote_port: 16


class Segment(data.Struct):
    """A sound segment of the peer; `length` counts payload alone, `flags` are as on the wire."""

    sequence: 32
    acknowledgement: 32
    flags: 8
    window: 16
    length: 16


class Timing(data.Struct):
    """Times in ticks, and how often something is tried.

    `rto_initial`, `rto_min`, `rto_max`: retransmission timeout before anything was measured, and
    its bounds. `retries`: retransmissions in a row without an answer before the connection is
    given up. `ack_delay`: how long one segment may wait to be acknowledged; 0 is not at all.
    `keepalive_idle`, `keepalive_interval`, `keepalive_probes`: silence of the peer before it is
    probed (0: never), time between probes, and how many of them may stay without an answer.
    `linger`: how long TIME-WAIT lasts, and how long FIN-WAIT-2 waits for the peer.
    `challenge_interval`: at most one challenge acknowledgement in this time.
    """

    rto_initial: 16
    rto_min: 16
    rto_max: 16
    retries: 8
    ack_delay: 16
    keepalive_idle: 16
    keepalive_interval: 16
    keepalive_probes: 8
    linger: 16
    challenge_interval: 16


class Job(data.Struct):
    """A segment to be sent: `length` octets of the ring from `sequence` on, with these headers.

    `mss`: with the option Maximum Segment Size, and then without payload.
    """

    sequence: 32
    acknowledgement: 32
    flags: 8
    length: 16
    mss: 1


class Wants(data.Struct):
    """What there is to be sent, the first of these first.

    `reset`: RST, as `Connection.reset` says. `syn`. `retransmission`: of the first octets that are
    not acknowledged. `packet`: what the host has handed in. `fin`. `probe`: an octet's number that
    was acknowledged long ago, so that the peer must answer. `ack`.
    """

    reset: 1
    syn: 1
    retransmission: 1
    packet: 1
    fin: 1
    probe: 1
    ack: 1
