"""What the card owes its network, from the frames that come to the frames that answer them.

Ref: docs/architecture.md, "The network".
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.net.capture import Capture
from tickgate.hdl.net.compose import Compose, Kind
from tickgate.hdl.net.examine import Examine
from tickgate.hdl.net.member import Member
from tickgate.hdl.net.play import Play
from tickgate.hdl.net.request import Request, Requester
from tickgate.hdl.stream import LINES, Octets, pipe, require_width

__all__ = ["Services"]

SEEDS = (0x5A, 0xC3)
"""So that the members of two groups do not answer one query together."""


class Services(wiring.Component):
    """Answers ARP and ICMP echo requests and IGMP queries, joins groups, requests what is missed.

    Asks by ARP for an address on behalf of others.

    Latency: none that matters. Throughput: one answer at a time. Frames that come while one is
    being answered are left out (`overruns`); none is looked into whose FCS is wrong.

    Parameters
    ----------
    width : int
        Octets a cycle.
    verdict_latency : int
        Cycles from the last word of a frame to `ends`.

    Members
    -------
    received : In(stream of Octets), ends : In(1), bad : In(1)
        All frames; a frame has ended, its FCS is wrong.
    tick : In(1)
        A microsecond has passed.
    mac : In(48), ip : In(32)
        Of the card.
    arp, icmp, igmp : In(1)
        What it does at all.
    group : In(32), listens : In(1), arrays by line
        The feed's groups, and whether they are received.
    asking : In(1), ask : In(1), asked : In(32), asks : Out(1)
        ARP replies are to be read; a request for `asked` is to be sent, until it was.
    answer_ip : Out(32), answer_mac : Out(48)
        With `arp_answers`, who it is of.
    octets : Out(stream of Octets)
        Frames with their FCS.
    joined : Out(len(LINES))
    recovering : In(1), request : In(Request), interval : In(16), tries : In(8), give_up : Out(1)
        The feed lacks what is due, and how to ask for it; see :class:`Requester`. `sequence` is
        what is due, `count` what a reply can hold.
    (others) : Out(1)
        Counter strobes, see `COUNTERS`: those of :class:`Examine`, `overruns`, and the frames made.
    """

    COUNTERS = (
        *(*Examine.COUNTERS, "overruns", "arp_replies", "echo_replies"),
        *(*Member.COUNTERS, *Requester.COUNTERS),
    )

    def __init__(self, *, width: int, verdict_latency: int) -> None:
        require_width(width)
        self._width, self._verdict_latency = width, verdict_latency
        super().__init__(
            {
                "received": In(stream.Signature(Octets(width), always_ready=True)),
                "ends": In(1),
                "bad": In(1),
                "tick": In(1),
                "mac": In(48),
                "ip": In(32),
                "arp": In(1),
                "icmp": In(1),
                "igmp": In(1),
                "group": In(32).array(len(LINES)),
                "listens": In(1).array(len(LINES)),
                "asking": In(1),
                "ask": In(1),
                "asked": In(32),
                "asks": Out(1),
                "answer_ip": Out(32),
                "answer_mac": Out(48),
                "octets": Out(stream.Signature(Octets(width))),
                "joined": Out(len(LINES)),
                "recovering": In(1),
                "request": In(Request),
                "interval": In(16),
                "tries": In(8),
                "give_up": Out(1),
                **{name: Out(1) for name in self.COUNTERS},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.capture = capture = Capture(
            width=self._width, verdict_latency=self._verdict_latency
        )
        m.submodules.examine = examine = Examine()
        m.submodules.compose = compose = Compose()
        m.submodules.play = play = Play(width=self._width)
        pipe(m, wiring.flipped(self.received), capture.octets)
        pipe(m, play.octets, wiring.flipped(self.octets))
        for name in ("ends", "bad", "icmp", "igmp"):
            m.d.comb += getattr(capture, name).eq(getattr(self, name))
        m.d.comb += [capture.arp.eq(self.arp | self.asking), examine.arp.eq(self.arp)]
        for name in ("full", "length", "overlong", "octet"):
            m.d.comb += getattr(examine, name).eq(getattr(capture, name))
        for part in (examine, compose):
            m.d.comb += [part.mac.eq(self.mac), part.ip.eq(self.ip)]
        m.d.comb += [
            capture.release.eq(examine.release),
            capture.address.eq(Mux(examine.answering, compose.address, examine.address)),
            compose.octet.eq(capture.octet),
            compose.finding.eq(examine.finding),
            compose.wanted[Kind.ARP_REPLY].eq(examine.arp_reply),
            compose.wanted[Kind.ECHO_REPLY].eq(examine.echo_reply),
            examine.answered.eq(self.arp_replies | self.echo_replies),
            self.arp_replies.eq(compose.made[Kind.ARP_REPLY]),
            self.echo_replies.eq(compose.made[Kind.ECHO_REPLY]),
            compose.wanted[Kind.ARP_REQUEST].eq(self.ask),
            compose.asked.eq(self.asked),
            self.asks.eq(compose.made[Kind.ARP_REQUEST]),
            self.answer_ip.eq(examine.finding.ip),
            self.answer_mac.eq(examine.finding.mac),
            self.overruns.eq(capture.overrun),
            compose.room.eq(play.room),
            play.put.eq(compose.put),
            play.octet.eq(compose.out),
            play.last.eq(compose.last),
        ]
        for name in Examine.COUNTERS:
            m.d.comb += getattr(self, name).eq(getattr(examine, name))
        self._join(m, examine, compose)
        self._ask(m, compose)
        return m

    def _ask(self, m: Module, compose: Compose) -> None:
        m.submodules.requester = requester = Requester()
        for name in ("tick", "interval", "tries", "recovering"):
            m.d.comb += getattr(requester, name).eq(getattr(self, name))
        m.d.comb += [
            requester.count.eq(self.request.count),
            requester.expected.eq(self.request.sequence),
            requester.made.eq(compose.made[Kind.REQUEST]),
            self.requests.eq(requester.requests),
            self.give_up.eq(requester.give_up),
            compose.wanted[Kind.REQUEST].eq(requester.wanted),
            compose.request.eq(self.request),
            compose.request.sequence.eq(requester.sequence),
        ]

    def _join(self, m: Module, examine: Examine, compose: Compose) -> None:
        same = Signal()
        members = [Member(seed=seed) for seed in SEEDS]
        for line, member in enumerate(members):
            m.submodules[f"member_{LINES[line]}"] = member
            m.d.comb += [
                member.tick.eq(self.tick),
                member.enable.eq(self.igmp & self.listens[line]),
                member.group.eq(self.group[line]),
                member.query.eq(examine.query),
                member.asked.eq(examine.finding.group),
                member.response_time.eq(examine.finding.response_time),
                self.joined[line].eq(member.joined),
            ]
        first, second = members
        # If both leave the same group together, the first one says so.
        m.d.comb += [first.shared.eq(second.stays & same), second.shared.eq(first.joined & same)]
        m.d.sync += same.eq(first.membership.group == second.membership.group)
        # A frame of one must not become that of the other while it is made.
        turn, made = Signal(), compose.made[Kind.MEMBERSHIP]
        wanted = Mux(turn, second.wanted, first.wanted)
        with m.If(~wanted):
            m.d.sync += turn.eq(second.wanted)
        m.d.comb += [
            compose.wanted[Kind.MEMBERSHIP].eq(wanted),
            compose.membership.eq(Mux(turn, second.membership, first.membership)),
            first.made.eq(made & ~turn),
            second.made.eq(made & turn),
            self.reports.eq(first.reports | second.reports),
            self.leaves.eq(first.leaves | second.leaves),
        ]
