"""Compares everything that the card does with the golden models, octet for octet.

The models give the values. When something happens they cannot know, because it depends on the
cycle in which the card answers: those cycles are taken from the card's log, and how the answers
follow each other in time is checked here, by the latencies that the parts promise.

Ref: docs/architecture.md, "Verification".
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tickgate.hdl.book import OrderBook
from tickgate.hdl.core import TickToTrade
from tickgate.hdl.risk.collar import PriceCollar
from tickgate.hdl.risk.freshness import Freshness
from tickgate.hdl.risk.gate import RiskGate
from tickgate.hdl.risk.interval import Interval
from tickgate.hdl.risk.movement import Movement
from tickgate.hdl.risk.trading_state import TradingState
from tickgate.hdl.strategy.taker import Taker
from tickgate.host.config import Config, RerequestConfig
from tickgate.sim.model.book import BookModel, Top, Window
from tickgate.sim.model.feed import FeedModel, Gap, Message
from tickgate.sim.model.order import SEGMENT_SIZE, Session, encode
from tickgate.sim.model.risk import GATES, STANDING, AccountLimits, Limits, RiskModel
from tickgate.sim.model.strategy import StrategyParameters
from tickgate.sim.model.strategy import Taker as TakerModel
from tickgate.sim.reception import CAUSES
from tickgate.sim.trace import Trace
from tickgate.spec import ethernet, itch50, moldudp64
from tickgate.spec.gates import TIMES_IN_FORCE
from tickgate.spec.registers import BY_NAME

__all__ = ["Checker", "Difference"]

# From t0, when the gates know: a trading state, that a book is no longer trusted, a trade.
STATE_KNOWN = TickToTrade.BOOK_AT + TradingState.LATENCY
TRUST_LOST = TickToTrade.BOOK_AT + OrderBook.LATENCY
TRADE_SEEN = TickToTrade.BOOK_AT + OrderBook.TRADE_LATENCY
TRADE_KNOWN = TRADE_SEEN + 1 + PriceCollar.LATENCY
MOVE_KNOWN = TRADE_SEEN + Movement.LATENCY_TRADE + Movement.LATENCY
MESSAGE_KNOWN = TickToTrade.BOOK_AT + 1 + Freshness.LATENCY
# From the strobe of a gap.
GAP_KNOWN = 1
# From the end of a datagram's header: its line is known to be alive, a recovery begun or over.
HEADER_JUDGED = 3
# From the top of book: the price is examined, the intent judged, the verdict told.
EXAMINED = Taker.LATENCY_PREVIEW
JUDGED = Taker.LATENCY
TOLD = JUDGED + RiskGate.LATENCY
CLAIM = 1
"""Cycles for which the port is claimed before a service's frame begins."""

STATES = ("H", "h", "Y", "S", "W")
WORD = 0xFFFF_FFFF
NS_PER_US = 1000


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Where card and models part.

    Parameters
    ----------
    what : str
        What was compared.
    message : int
        1-based index in the input of the message that it came from; 0 if it came from none.
    where : str
        The message in words.
    card, model : dict
        What each of them says, by field; empty if it says nothing.
    """

    what: str
    message: int
    where: str
    card: dict
    model: dict


class _Requests:
    """Follows, by the frames that the card sent, how often it has asked for the same in vain.

    Parameters
    ----------
    config : RerequestConfig or None
    """

    SLACK_US = 40
    """A request is made so long before its frame at most: the port is taken by an order."""

    def __init__(self, config: RerequestConfig | None) -> None:
        self._config = config
        self._sent: list[tuple[int, int]] = []
        self.begin()

    @property
    def patience_us(self) -> int:
        """How long after the last of its requests the card does not give up yet."""
        return max(self._config.interval_us - self.SLACK_US, 0) if self._config else 0

    def begin(self) -> None:
        """What is asked for from now on is something else."""
        self._sequence, self._times, self._last = -1, 0, 0

    def add(self, trace: Trace) -> None:
        """Takes the requests of a piece."""
        udp_at = ethernet.ETHERNET.size + ethernet.IPV4.size
        for frame in trace.services if self._config else ():
            udp = ethernet.UDP.unpack_from(frame.octets, udp_at)
            if udp["destination_port"] == self._config.port:
                request = moldudp64.REQUEST.unpack_from(frame.octets, udp_at + ethernet.UDP.size)
                self._sent.append((frame.first_cycle, request["sequence"]))

    def exhausted_at(self, before: int) -> int | None:
        """The cycle of the last request, if there is to be no other; of those before a cycle."""
        while self._sent and self._sent[0][0] < before:
            self._last, sequence = self._sent.pop(0)
            self._times = self._times + 1 if sequence == self._sequence else 1
            self._sequence = sequence
        return self._last if self._config and self._times >= self._config.tries else None


class Checker:
    """Follows the card through a replay with the golden models.

    The order store has a limit that the models do not know. A symbol that loses an order to it is
    told to be not exact by the card from then on, and is not compared further.

    Parameters
    ----------
    config : Config
        What the card acts by.
    ticks : int
        Levels of a price window.
    time_ns : callable
        The card's time in a cycle.
    store_overflowed : callable
        Whether the card has lost an order for want of room.

    Members
    -------
    abandoned : set of int
        Symbols that are not compared any more.
    tops, verdicts, frames : int
        How many were compared.
    """

    def __init__(
        self,
        *,
        config: Config,
        ticks: int,
        time_ns: Callable[[int], int],
        store_overflowed: Callable[[], bool],
    ) -> None:
        parameters = [symbol.parameters() for symbol in config.symbols]
        locates = {symbol.stock_locate: index for index, symbol in enumerate(config.symbols)}
        self._names = [symbol.name for symbol in config.symbols]
        self._time_ns = time_ns
        self._store_overflowed = store_overflowed
        self._feed = FeedModel(
            symbols=locates,
            expected=config.feed.start_sequence,
            gap_wait=config.feed.gap_wait_us,
            line_timeout=config.feed.line_timeout_us,
            recovery_wait=config.rerequest.wait_us if config.rerequest else 0,
        )
        self._requests = _Requests(config.rerequest)
        self._microseconds = 0
        self._book = BookModel(
            symbols=locates,
            windows={
                index: Window(
                    base=values["window_base"],
                    tick=100 if values["tick_is_cent"] else 1,
                    ticks=ticks,
                )
                for index, values in enumerate(parameters)
            },
        )
        self._taker = TakerModel({n: _strategy(values) for n, values in enumerate(parameters)})
        self._risk = RiskModel(
            {n: _limits(values) for n, values in enumerate(parameters)},
            account=_account(config.registers()),
        )
        self._risk.next_user_ref_num = config.session.user_ref_num_start
        self._risk.armed = self._risk.config_valid = True
        self._risk.standing = frozenset(STANDING)
        self._session = _session(config)
        self._risk.time_in_force = self._session.time_in_force
        self._tcp_sequence = config.session.tcp_sequence_start
        self._sending = (-RiskGate.ACCOUNTING, -1)
        self._causes: Counter[str | None] = Counter()
        self._left_out: Counter[str | None] = Counter()
        self._refusals: Counter[str] = Counter()
        self._stamp_offset: int | None = None
        self._recovering = False
        self._told: dict[int, Top] = {}
        self._updates: list[tuple[int, int, Callable[[], None]]] = []
        self.abandoned: set[int] = set()
        self.tops = self.verdicts = self.frames = 0

    def set_whole(self, symbols: list[int], tops) -> Difference | None:
        """The host declared these books whole; `tops` is what the card told thereupon."""
        expected = []
        for symbol in symbols:
            row = self._book.set_whole(symbol)
            if row is not None:
                expected.append(row)
                self._risk.top(row)
            self._risk.set_exact(symbol, True)
        self._told |= {row.symbol: row for row in map(_top, tops)}
        for row, model in zip(map(_top, tops), expected, strict=False):
            if row != model:
                return self._difference("top of book", 0, "host: whole", row, model)
        if len(tops) != len(expected):
            card, model = {"rows": len(tops)}, {"rows": len(expected)}
            return Difference(
                what="tops of book", message=0, where="host: whole", card=card, model=model
            )
        return None

    def restart_feed(self, sequence: int) -> None:
        """The host had the feed forget its session and expect this sequence number."""
        self._feed.restart(sequence)

    def compare(self, trace: Trace) -> Difference | None:
        """Compares one piece; returns the first difference, in the order of the input."""
        self._causes.update(trace.frames.causes)
        self._left_out.update(trace.left_out)
        for cycle in trace.log.gaps.tolist():
            for symbol in range(len(self._names)):
                self._later(cycle + GAP_KNOWN, lambda s=symbol: self._risk.set_exact(s, False))
        expected = self._expect(trace)
        return self._compare_tops(trace, expected) or self.compare_orders(trace)

    def compare_counters(
        self, counters: Mapping[str, int], *, cycles: tuple[int, int] = (0, 0)
    ) -> Difference | None:
        """Compares the card's counters at the end.

        `cycles` are those in which they were read, the first and the last: meanwhile a line may
        have been silent for too long, before or after it was asked.
        """
        expected = {}
        if counters["feed_recoveries_given_up"] > self._feed.counters["recoveries_given_up"]:
            # Since the last frame.
            self._feed.give_up()
        for cycle in cycles:
            self._pass_time(cycle, defaultdict(list))
            for name, count in self._feed.counters.items():
                told = counters[f"feed_{name}"]
                if expected.get(f"feed_{name}") != told:
                    expected[f"feed_{name}"] = count
        expected |= {f"eth_{cause}": self._causes[cause] for cause in CAUSES}
        expected |= {f"eth_{name}": self._left_out[name] for name in ("dropped", "overlong")}
        expected["eth_frames"] = self._causes.total()
        expected["orders_approved"] = self._refusals["approved"]
        expected["orders_refused"] = self._refusals["refused"]
        expected["refused_busy"] = self._refusals["busy"]
        expected |= {f"refused_gate_{gate}": self._refusals[f"gate_{gate}"] for gate in GATES}
        if not self.abandoned:
            expected |= {f"book_{name}": count for name, count in self._book.counters.items()}
            expected |= {"book_disagreement": 0, "book_store_overflow": 0}
        wrong = [name for name, count in expected.items() if counters[name] != count & WORD]
        if not wrong:
            return None
        return Difference(
            what="counters",
            message=0,
            where="at the end",
            card={name: counters[name] for name in wrong},
            model={name: expected[name] for name in wrong},
        )

    # The feed and the books.

    def _expect(self, trace: Trace) -> dict[int, list[tuple[Top, int, bool]]]:
        """By symbol, the rows that are due: each with its message, and whether from a gap."""
        frames = trace.frames
        rows: dict[int, list[tuple[Top, int, bool]]] = defaultdict(list)
        octets = frames.octets.tobytes()
        begins = (frames.starts + frames.payload_at).tolist()
        header_ends = (frames.payload_at + moldudp64.HEADER.size - 1) // trace.width
        judged = (trace.feed_starts + header_ends + HEADER_JUDGED).tolist()
        lines = frames.line.tolist()
        first_message = frames.frame.searchsorted(range(len(frames.lengths))).tolist()
        sequences, t0 = frames.sequence.tolist(), trace.feed_t0.tolist()
        sizes = frames.payload_size.tolist()
        gaps = trace.log.gaps.tolist()
        self._requests.add(trace)
        for number, size in enumerate(sizes):
            if size < 0 or trace.left_out[number] is not None:
                continue
            begin, first, cause = begins[number], first_message[number], frames.causes[number]
            self._give_up(trace, gaps, judged[number], rows)
            self._pass_time(judged[number], rows)
            items = self._feed.datagram(
                octets[begin : begin + size],
                line=lines[number],
                truncated=cause == "truncated",
                bad_fcs=cause == "fcs_errors",
            )
            self._recovers(judged[number])
            for item in items:
                if isinstance(item, Gap):
                    self._gap(item, rows)
                    continue
                at = first + item.sequence - sequences[first]
                row = self._apply(item.message, item.symbol, item.sequence, t0[at])
                if row is not None:
                    rows[row.symbol].append((row, at, False))
        if len(trace.log.gaps):
            self._give_up(trace, gaps, gaps[-1] + 1, rows)
            # What is not over by the last gap that the card told, is not over for the model either.
            self._pass_time(int(trace.log.gaps[-1]), rows)
        return rows

    def _pass_time(self, cycle: int, rows) -> None:
        """Lets the feed's microseconds pass that are over in a cycle, if they have not."""
        over = self._time_ns(cycle) // NS_PER_US
        for _ in range(over - self._microseconds):
            for gap in self._feed.tick():
                self._gap(gap, rows)
                self._recovers(cycle)
        self._microseconds = max(over, self._microseconds)

    def _give_up(self, trace: Trace, gaps: list[int], before: int, rows) -> None:
        """Ends a recovery before a cycle if the card has asked often enough, and told the gap."""
        asked = self._requests.exhausted_at(before)
        if asked is None or not self._feed.recovering:
            return
        due = self._time_ns(asked) + self._requests.patience_us * NS_PER_US
        told = [gap for gap in gaps if asked < gap < before and self._time_ns(gap) >= due]
        if told:
            self._pass_time(told[0], rows)
            for item in self._feed.give_up():
                self._gap(item, rows)
            self._recovers(told[0] + GAP_KNOWN)

    def _recovers(self, cycle: int) -> None:
        """Tells the gates, as of a cycle, whether what is missing may yet come."""
        recovering = self._feed.recovering
        if recovering != self._recovering:
            self._recovering = recovering
            self._requests.begin()
            self._later(cycle, lambda: self._risk.set_recovering(recovering))

    def _gap(self, gap: Gap, rows) -> None:
        for row in self._book.gap(gap.sequence):
            rows[row.symbol].append((row, -1, True))

    def _apply(self, message: Message, symbol: int | None, sequence: int, t0: int) -> Top | None:
        """Gives one message to the book, and to the gates for when they know it."""
        heard = self._time_ns(t0 + TickToTrade.BOOK_AT)
        self._later(t0 + MESSAGE_KNOWN, lambda: self._risk.heard(symbol, heard))
        if message.type in STATES:
            self._later(t0 + STATE_KNOWN, lambda: self._risk.message(message, symbol))
        if symbol is None:
            return None
        doubts = sum(self._book.counters.values())
        row = self._book.apply(message, sequence)
        if sum(self._book.counters.values()) != doubts:
            self._later(t0 + TRUST_LOST, lambda: self._risk.set_exact(symbol, False))
        trade = self._book.trade
        if trade is not None:
            time = self._time_ns(t0 + TRADE_SEEN)
            self._later(t0 + TRADE_KNOWN, lambda: self._risk.trade(trade, time))
            self._later(t0 + MOVE_KNOWN, lambda: self._risk.move(trade, time))
        return row

    def _compare_tops(self, trace: Trace, expected) -> Difference | None:
        told: dict[int, list[tuple[Top, int]]] = defaultdict(list)
        for at, row in enumerate(map(_top, trace.log.tops)):
            told[row.symbol].append((row, at))
        found = [
            self._compare_symbol(trace, symbol, told[symbol], expected.get(symbol, []))
            for symbol in sorted(told.keys() | expected.keys())
        ]
        differences = [difference for difference in found if difference is not None]
        return min(differences, key=lambda difference: difference.message, default=None)

    def _compare_symbol(self, trace: Trace, symbol: int, told, expected) -> Difference | None:
        if symbol in self.abandoned:
            wrong = next(((row, at) for row, at in told if row.exact), None)
            if wrong is None:
                return None
            message = int(trace.top_message[wrong[1]])
            return self._top_difference(trace, message, wrong[0], None, "top of a lost book")
        self.tops += len(told)
        place = 0
        lost = False
        for row, at in told:
            if lost:
                place = self._said(expected, place, self._told[symbol])
            before, self._told[symbol] = self._told.get(symbol), row
            # The loss of trust by a gap is told by itself or with the symbol's next message.
            if place < len(expected) and expected[place][2]:
                alone = not lost and row[:-1] == expected[place][0][:-1]
                place += 1
                lost = False
                if alone:
                    continue
            model, message, _ = expected[place] if place < len(expected) else (None, -1, False)
            if model is not None and model.exact:
                # What ends a frame may tell the loss before a message that ended a little earlier.
                lost = lost or (not row.exact and self._is_cut(trace, message, at))
                model = model._replace(exact=int(not lost))
            if row != model:
                if self._is_lost(symbol, row):
                    return None
                # Or with such a message that changes nothing else.
                if before and before.exact and row[1:-1] == (*before[1:-2], 0):
                    lost = self._is_cut(trace, int(trace.top_message[at]), at)
                    if lost:
                        continue
                message = int(trace.top_message[at]) if model is None else message
                return self._top_difference(trace, message, row, model)
            if not self._stamp_is_right(
                int(trace.log.tops["stamp"][at]), int(trace.feed_t0[message])
            ):
                return self._top_difference(trace, message, row, None, "time stamp of the top")
            place += 1
        if lost:
            place = self._said(expected, place, self._told[symbol])
            place += place < len(expected) and expected[place][2]
        for model, message, _ in expected[place:]:
            if self._is_lost(symbol, None):
                return None
            return self._top_difference(trace, message, None, model)
        return None

    @staticmethod
    def _said(expected, place: int, before: Top) -> int:
        """The first row from a place on that says more than the one told before, or is of a gap."""
        while (
            place < len(expected)
            and not expected[place][2]
            and expected[place][0][:-1] == before[:-1]
        ):
            place += 1
        return place

    @staticmethod
    def _is_cut(trace: Trace, message: int, row: int) -> bool:
        """True if the card told a gap in the frame of a message, and before a row of it."""
        if message < 0:
            return False
        start = trace.starts[trace.frames.frame[message]]
        gaps, cycle = trace.log.gaps.astype(np.int64), int(trace.log.tops["cycle"][row])
        return bool(((gaps > start) & (gaps < cycle)).any())

    def _stamp_is_right(self, stamp: int, t0: int) -> bool:
        offset = (stamp - t0) & 0xFFFF
        if self._stamp_offset is None:
            self._stamp_offset = offset
        return offset == self._stamp_offset

    def _is_lost(self, symbol: int, row: Top | None) -> bool:
        """True if the card has told that the order store overflowed: it does not claim more."""
        if (row is None or not row.exact) and self._store_overflowed():
            self.abandoned.add(symbol)
            return True
        return False

    # Strategy, risk and the frames.

    def compare_orders(self, trace: Trace) -> Difference | None:
        """Compares what followed from the tops of one piece, which were compared before."""
        log = trace.log
        verdicts = log.verdicts
        self._updates.sort(key=lambda update: update[:2])
        told = 0
        sent = zip(trace.sent.tolist(), trace.orders, strict=True)
        services = [(frame.first_cycle - CLAIM, frame.last_cycle) for frame in trace.services]
        for at, row in enumerate(map(_top, log.tops)):
            cycle = int(log.tops["cycle"][at])
            self._risk.top(row)
            proposal = self._taker.decide(row, self._time_ns(cycle))
            if proposal is None:
                continue
            self._catch_up(cycle + JUDGED)
            judged = cycle + JUDGED
            busy = any(first <= judged <= last for first, last in [self._sending, *services])
            verdict = self._risk.judge(
                proposal,
                self._time_ns(cycle + EXAMINED),
                interval_ns=self._time_ns(cycle + EXAMINED - Interval.LATENCY),
                transmit_busy=busy,
                accounting=0 <= judged - self._sending[0] < RiskGate.ACCOUNTING,
            )
            model = {
                "cycle": cycle + TOLD,
                "approved": int(verdict.approved),
                "reasons": verdict.reasons,
                **verdict.order._asdict(),
            }
            card = _fields(verdicts[told], model) if told < len(verdicts) else {}
            message = int(trace.top_message[at])
            if card != model:
                return self._located("verdict", trace, message, card, model)
            told += 1
            self.verdicts += 1
            self._count(verdict)
            if verdict.approved:
                frame = next(sent, None)
                difference = self._compare_frame(trace, message, verdict.order, cycle + TOLD, frame)
                if difference is not None:
                    return difference
                self._sending = (cycle + TOLD, frame[1].last_cycle)
        self._catch_up(None)
        if told < len(verdicts):
            message = int(trace.verdict_message[told])
            card = _fields(verdicts[told], verdicts.dtype.names)
            return self._located("verdict", trace, message, card, {})
        extra = next(sent, None)
        if extra is not None:
            return self._located("order frame", trace, -1, {"octets": extra[1].octets.hex()}, {})
        return None

    def _compare_frame(
        self, trace: Trace, message: int, order, told: int, sent
    ) -> Difference | None:
        """Compares the frame of an order that was approved in cycle `told`."""
        octets = encode(
            order,
            session=self._session,
            name=self._names[order.symbol],
            tcp_sequence=self._tcp_sequence,
        )
        self._tcp_sequence = (self._tcp_sequence + SEGMENT_SIZE) & WORD
        model = {"cycle": told, "octets": octets.hex()}
        card = {} if sent is None else {"cycle": sent[0], "octets": sent[1].octets.hex()}
        if card != model:
            return self._located("order frame", trace, message, card, model)
        self.frames += 1
        return None

    def _count(self, verdict) -> None:
        self._refusals["approved" if verdict.approved else "refused"] += 1
        self._refusals["busy"] += verdict.reasons & 1
        for gate in GATES:
            self._refusals[f"gate_{gate}"] += verdict.reasons >> gate & 1

    def _later(self, cycle: int, update: Callable[[], None]) -> None:
        """Something that the gates know from `cycle` on."""
        self._updates.append((cycle, len(self._updates), update))

    def _catch_up(self, cycle: int | None) -> None:
        """Tells the gates all that they know in `cycle`; None: everything."""
        done = 0
        for due, _, update in self._updates:
            if cycle is not None and due > cycle:
                break
            update()
            done += 1
        del self._updates[:done]

    # What to say.

    def _top_difference(
        self, trace: Trace, message: int, row: Top | None, model: Top | None, what="top of book"
    ) -> Difference:
        card = {} if row is None else row._asdict()
        return self._located(what, trace, message, card, {} if model is None else model._asdict())

    def _located(self, what: str, trace: Trace, message: int, card, model) -> Difference:
        frames = trace.frames
        if message < 0:
            return Difference(what=what, message=0, where="", card=card, model=model)
        messages = frames.messages
        begin, size = int(messages.begin[message]), int(messages.size[message])
        octets = messages.octets[begin : begin + size].tobytes()
        table = itch50.MESSAGES.get(chr(octets[0]))
        fields = table.unpack(octets) if table and table.size == size else {"octets": octets.hex()}
        where = ", ".join(f"{name} {value}" for name, value in fields.items())
        return Difference(
            what=what,
            message=frames.first_index + message,
            where=f"{where}, t0 in cycle {int(trace.t0[message])}",
            card=card,
            model=model,
        )

    def _difference(self, what: str, message: int, where: str, card, model) -> Difference:
        return Difference(
            what=what,
            message=message,
            where=where,
            card=card._asdict(),
            model={} if model is None else model._asdict(),
        )


def _top(record) -> Top:
    return Top(*(int(record[name]) for name in Top._fields))


def _fields(record, names) -> dict:
    return {name: int(record[name]) for name in names}


def _strategy(values: Mapping[str, int]) -> StrategyParameters:
    return StrategyParameters(
        enable=bool(values["strategy_enable"]),
        threshold=values["threshold"],
        max_spread=values["max_spread"],
        quantity=values["quantity"],
        min_interval=values["min_interval_ns"],
    )


def _limits(values: Mapping[str, int]) -> Limits:
    high, low = values["max_order_notional_high"], values["max_order_notional_low"]
    return Limits(
        max_long=values["max_long"],
        max_short=values["max_short"],
        max_order_quantity=values["max_order_quantity"],
        max_order_notional=high << 32 | low,
        collar_bps=values["collar_bps"],
        collar_absolute=values["collar_absolute"],
        reference_max_age_us=values["reference_max_age_us"],
        extended_hours=bool(values["extended_hours"]),
        max_book_spread=values["max_book_spread"],
        order_tick=values["order_tick"],
        lot_size=values["lot_size"],
        allow_buy=bool(values["allow_buy"]),
        allow_sell=bool(values["allow_sell"]),
        allow_time_in_force=frozenset(
            code
            for bit, code in enumerate(TIMES_IN_FORCE)
            if values["allow_time_in_force"] >> bit & 1
        ),
        short_locates=values["short_locates"],
        feed_max_age_us=values["feed_max_age_us"],
        symbol_max_age_us=values["symbol_max_age_us"],
        band_low=values["band_low"],
        band_high=values["band_high"],
        band_until=values["band_until_high"] << 32 | values["band_until_low"],
        band_exempt=bool(values["band_exempt"]),
        order_interval_ns=values["order_interval_ns"],
        order_burst_ns=values["order_burst_ns"],
        max_open_orders=values["max_open_orders"],
        max_duplicates=values["max_duplicates"],
        duplicate_window_ns=values["duplicate_window_ns"],
        allow_self_trade=bool(values["allow_self_trade"]),
        max_move=values["max_move"],
        max_fills=values["max_fills"],
        max_fill_shares=values["max_fill_shares"],
    )


def _account(registers: Mapping[str, int]) -> AccountLimits:
    def whole(name: str) -> int:
        low, high = (registers[f"account_{name}_{half}"] for half in ("low", "high"))
        return high << 32 | low

    return AccountLimits(
        max_gross=whole("max_gross"),
        max_net=whole("max_net"),
        max_open_orders=registers["account_max_open_orders"],
        max_day_orders=registers["account_max_day_orders"],
        max_day_shares=registers["account_max_day_shares"],
        max_day_notional=whole("max_day_notional"),
        max_loss=whole("max_loss"),
        session_interval_ns=registers["account_session_interval_ns"],
        session_burst_ns=registers["account_session_burst_ns"],
        session_reserve_ns=registers["account_session_reserve_ns"],
        max_executions=registers["account_max_executions"],
        move_window=registers["account_move_window"],
        fill_window=registers["account_fill_window"],
    )


def _session(config: Config) -> Session:
    registers = config.registers()
    ports = BY_NAME["tcp_ports"].unpack(registers["tcp_ports"])
    codes = BY_NAME["order_attributes"].unpack(registers["order_attributes"])

    def mac(name: str) -> int:
        return registers[f"{name}_high"] << 32 | registers[f"{name}_low"]

    return Session(
        destination_mac=mac("destination_mac"),
        source_mac=mac("source_mac"),
        source_ip=registers["source_ip"],
        destination_ip=registers["destination_ip"],
        source_port=ports["source"],
        destination_port=ports["destination"],
        acknowledgement=registers["tcp_acknowledgement"],
        window=registers["tcp_window"],
        time_in_force=chr(codes["time_in_force"]),
        display=chr(codes["display"]),
        capacity=chr(codes["capacity"]),
        intermarket_sweep=chr(codes["intermarket_sweep"]),
        cross_type=chr(registers["order_cross_type"]),
        clordid=config.session.clordid,
    )
