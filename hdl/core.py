"""The card: from the octets of a market-data frame to the octets of an order frame.

Ref: docs/architecture.md.
"""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.bits import bit_of
from tickgate.hdl.book import OrderBook
from tickgate.hdl.control import Control
from tickgate.hdl.eth import Hold, Receive
from tickgate.hdl.feed import Feed
from tickgate.hdl.net import Arbiter, Services
from tickgate.hdl.order.entry import OrderEntry
from tickgate.hdl.order.hop import NextHop
from tickgate.hdl.order.tcp.staging import HostOctet
from tickgate.hdl.order.tcp.types import Outcome, State, Timing
from tickgate.hdl.risk.executions import Executions
from tickgate.hdl.risk.gate import Gate, RiskGate, Verdict
from tickgate.hdl.risk.releases import Releases
from tickgate.hdl.risk.valuation import Valuation
from tickgate.hdl.strategy.taker import Taker
from tickgate.hdl.stream import Octets, Top, pipe, require_width
from tickgate.spec.ethernet import INTERFRAME_GAP, PREAMBLE_SIZE
from tickgate.spec.events import EventKind
from tickgate.spec.registers import LEVELS

__all__ = ["TickToTrade"]

LOCATE_BITS = 14
"""Nasdaq numbers about 11,000 securities from 1."""

REPORTS, VERDICTS, GAPS = range(3)
"""Event sources, the one that must not wait first.

Reports come every third cycle at most and verdicts every second one, so neither loses its place.
Only what replaces an order is told in two cycles in a row, and the card sends no replaces."""


class TickToTrade(wiring.Component):
    """Turns market data into orders, under limits that the host sets.

    Latency, in cycles from the last octet of an ITCH message on `rx` to the first octet of the
    order on `tx`: `LATENCY`, whatever the message does to the book; `SLOW_LATENCY` where so many
    best levels in a row were emptied that the list of the next ones is exhausted; one more than
    `LATENCY` where the answer meets such a one of another symbol. Throughput: the line rate of
    `rx`, for ever.

    Disarmed after reset. `tx` must take the words of a frame without long pauses: while one is
    under way, further orders are refused, not queued. What the card sends for its network's sake
    shares `tx` with the orders, and delays none; see :class:`Arbiter`.

    Parameters
    ----------
    width : int
        Octets a cycle: 1, 4 or 8.
    symbols : int
        Tracked symbols.
    ticks : int
        Price levels of the window of a side.
    orders : int
        Live orders in the store.
    event_depth : int
        Events that wait for the host.
    clock_period_ps : int
        In ps; for the time.
    sessions : int
        Order sessions that the card keeps: 1, or 0 for a smaller card, whose orders leave as frames
        of a connection that someone else keeps. See :class:`OrderEntry`.

    Members
    -------
    rx : In(stream of Octets, always_ready), tx : Out(stream of Octets)
        Frames from destination MAC to FCS.
    control_rx : In(stream of 8 bits), control_tx : Out(stream of 8 bits)
        Serial frames of the host; see tickgate.spec.registers.
    kill_pin : In(1)
        Of whatever clock: 1 kills the card, if it is held for a few cycles.
    tops, verdicts : Out(stream, always_ready), gap : Out(1)
        For those who watch: every change of a top of book, every judgement, every loss.
    """

    BOOK_AT = Receive.LATENCY + Hold.LATENCY + Feed.LATENCY
    DECIDE = Taker.LATENCY + RiskGate.LATENCY + OrderEntry.LATENCY
    LATENCY = BOOK_AT + OrderBook.LATENCY + DECIDE
    SLOW_LATENCY = BOOK_AT + OrderBook.SLOW_LATENCY + DECIDE

    def __init__(
        self,
        *,
        width: int,
        symbols: int,
        ticks: int,
        orders: int,
        event_depth: int,
        clock_period_ps: int,
        sessions: int = 1,
    ) -> None:
        require_width(width)
        self._symbols, self._sessions = symbols, sessions
        self._receive = Receive(width=width)
        self._hold = Hold(width=width)
        self._feed = Feed(width=width, symbols=symbols, locate_bits=LOCATE_BITS)
        self._book = OrderBook(symbols=symbols, ticks=ticks, orders=orders)
        self._strategy = Taker(symbols=symbols)
        self._risk = RiskGate(symbols=symbols)
        self._valuation = Valuation(symbols=symbols)
        self._releases = Releases(symbols=symbols)
        self._executions = Executions()
        self._order = OrderEntry(width=width, symbols=symbols, sessions=sessions)
        self._hop = NextHop()
        self._services = Services(width=width, verdict_latency=Receive.VERDICT_LATENCY)
        on_its_way = OrderBook.SLOW_LATENCY + self.DECIDE
        gap = -(-(PREAMBLE_SIZE + INTERFRAME_GAP) // width)
        self._arbiter = Arbiter(width=width, quiet=on_its_way, gap=gap)
        self._control = Control(
            width=width,
            symbols=symbols,
            ticks=ticks,
            orders=orders,
            locates=1 << LOCATE_BITS,
            event_depth=event_depth,
            event_sources=3,
            clock_period_ps=clock_period_ps,
            sessions=sessions,
        )
        super().__init__(
            {
                "rx": In(stream.Signature(Octets(width), always_ready=True)),
                "tx": Out(stream.Signature(Octets(width))),
                "control_rx": In(stream.Signature(8)),
                "control_tx": Out(stream.Signature(8)),
                "kill_pin": In(1),
                "tops": Out(stream.Signature(Top(symbols), always_ready=True)),
                "verdicts": Out(stream.Signature(Verdict(symbols), always_ready=True)),
                "gap": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.receive = receive = self._receive
        m.submodules.hold = hold = self._hold
        m.submodules.feed = feed = self._feed
        book = self._book
        m.submodules.strategy = strategy = self._strategy
        m.submodules.risk = risk = self._risk
        m.submodules.executions = self._executions
        m.submodules.valuation = self._valuation
        m.submodules.releases = self._releases
        m.submodules.order = order = self._order
        m.submodules.hop = self._hop
        m.submodules.services = self._services
        m.submodules.arbiter = self._arbiter
        m.submodules.control = control = self._control
        m.submodules.book = ResetInserter(self._clears_books(m))(book)

        pipe(m, wiring.flipped(self.rx), receive.octets)
        pipe(m, receive.payload, hold.payload)
        pipe(m, hold.passed, feed.payload)
        pipe(m, feed.lookup, book.lookup)
        pipe(m, feed.lookup_new, book.lookup_new)
        pipe(m, feed.message, book.messages)
        pipe(m, book.tops, strategy.tops)
        pipe(m, strategy.preview, risk.preview)
        pipe(m, strategy.intents, risk.intents)
        pipe(m, risk.approved, order.approved)
        pipe(m, order.executed, risk.executions)
        self._share_port(m, receive, feed, order)
        pipe(m, wiring.flipped(self.control_rx), control.control_rx)
        pipe(m, control.control_tx, wiring.flipped(self.control_tx))

        self._tell_losses(m, receive, hold, feed, book, control)
        self._tell_risk(m, feed, book, risk, order, control)
        self._value_positions(m, book, risk, order, control)
        self._configure(m, receive, hold, feed, book, strategy, risk, order, control)
        self._show_book(m, book.view, book.recovered, control.status)
        self._hold_session(m, order, control)
        self._count(m, receive, hold, feed, book, risk, control)
        self._report(m, feed, risk, order, control)
        m.d.comb += [
            self.tops.payload.eq(book.tops.payload),
            self.tops.valid.eq(book.tops.valid),
            self.verdicts.payload.eq(risk.verdicts.payload),
            self.verdicts.valid.eq(risk.verdicts.valid),
            self.gap.eq(feed.gap),
        ]
        return m

    def _share_port(self, m, receive, feed, order) -> None:
        services, arbiter, hop = self._services, self._arbiter, self._hop
        pipe(m, order.tx, arbiter.orders)
        pipe(m, services.octets, arbiter.services)
        pipe(m, arbiter.port, wiring.flipped(self.tx))
        m.d.comb += [
            services.received.valid.eq(self.rx.valid),
            services.received.payload.eq(self.rx.payload),
            services.ends.eq(receive.frames),
            services.bad.eq(receive.fcs_errors),
            arbiter.orders_busy.eq(order.sending),
            order.port.eq(~arbiter.busy),
            order.rx.valid.eq(self.rx.valid),
            order.rx.payload.eq(self.rx.payload),
            order.frame_ends.eq(receive.frames),
            order.frame_good.eq(~receive.fcs_errors),
            arbiter.activity.eq(feed.tracked_messages),
            services.asking.eq(hop.asking),
            services.ask.eq(hop.wanted),
            services.asked.eq(hop.ip),
            hop.made.eq(services.asks),
            hop.answered.eq(services.arp_answers),
            hop.answer_ip.eq(services.answer_ip),
            hop.answer_mac.eq(services.answer_mac),
            hop.idle.eq(~order.sending),
        ]

    def _clears_books(self, m: Module) -> Signal:
        """Straight from a flip-flop, for its way to the whole book is long."""
        clears, left = Signal(), Signal(range(OrderBook.CLEARING))
        m.d.sync += clears.eq(left.any())
        with m.If(self._control.command.clear_books.valid):
            m.d.sync += [clears.eq(1), left.eq(OrderBook.CLEARING - 1)]
        with m.Elif(left.any()):
            m.d.sync += left.eq(left - 1)
        return clears

    @staticmethod
    def _tell_losses(m, receive, hold, feed, book, control) -> None:
        m.d.comb += [
            hold.line.eq(receive.line),
            hold.ends.eq(receive.frames),
            hold.cut.eq(receive.cut),
            hold.truncated.eq(receive.truncated),
            hold.frame_bad.eq(receive.frame_bad),
            feed.line.eq(hold.passed_line),
            feed.cut.eq(hold.passed_cut),
            feed.frame_bad.eq(hold.passed_bad),
            book.near.eq(feed.near),
            book.near_new.eq(feed.near_new),
            # What lies in a window by its old base is nowhere in the new one.
            book.gap.eq(feed.gap | control.refitted),
            book.gap_sequence.eq(feed.gap_sequence),
        ]

    def _tell_risk(self, m, feed, book, risk, order, control) -> None:
        executions = self._executions
        m.d.comb += [
            executions.executed.eq(order.executions),
            executions.renew.eq(control.command.renew_strategy.valid),
            executions.most.eq(control.account.account_max_executions),
            control.status.strategy_executions.eq(executions.count),
            control.alarm.strategy_off.eq(executions.latched),
            risk.messages.payload.eq(feed.message.payload),
            risk.messages.valid.eq(feed.message.valid),
            risk.tops.payload.eq(book.tops.payload),
            risk.tops.valid.eq(book.tops.valid),
            risk.trades.payload.eq(book.trades.payload),
            risk.trades.valid.eq(book.trades.valid),
            # What comes late may be out of date: no order until all of it is there.
            risk.exact_now.eq(book.trusted & ~feed.recovering.replicate(self._symbols)),
            risk.transmit_busy.eq(order.busy | self._arbiter.busy),
            risk.armed.eq(control.armed),
            risk.killed.eq(control.killed),
            risk.standing.kill_sources.eq(control.unkilled),
            risk.standing.host_heartbeat.eq(control.host_alive),
            risk.standing.repeated_execution.eq(executions.passes),
            risk.standing.token_order.eq(order.in_order),
            risk.standing.unacknowledged.eq(order.answered),
            risk.standing.reject_storm.eq(~control.kill_causes.reject_storm),
            risk.standing.fill_integrity.eq(~control.kill_causes.fill_integrity),
            risk.standing.audit_room.eq(control.events_room | control.account.account_unaudited),
            risk.time.eq(control.time),
            order.symbol.eq(risk.limits_symbol),
            risk.position.eq(order.account.position),
            risk.faults.limits.eq(control.errors.limits | control.errors.name),
            risk.faults.strategy.eq(control.errors.strategy),
            risk.faults.parameters.eq(control.errors.window | control.errors.recovery),
            risk.faults.account_limits.eq(control.account_error),
            risk.faults.accounts.eq(order.account_error),
            risk.faults.own_orders.eq(order.order_error),
            risk.released_buys.eq(order.released_buys),
            risk.released_sells.eq(order.released_sells),
        ]

    def _value_positions(self, m, book, risk, order, control) -> None:
        """What is held and lost, and what is open no more, for the gates of the account."""
        valuation, releases, status = self._valuation, self._releases, control.status
        pipe(m, order.freed, releases.freed)
        pipe(m, order.closed, releases.ended)
        pipe(m, releases.released, risk.released)
        pipe(m, releases.closed, risk.closed)
        clears, flags = control.command.start_of_day.valid, status.valuation
        m.d.comb += [
            order.walked.eq(valuation.symbol),
            valuation.position.eq(order.walked_position),
            valuation.cash.eq(order.walked_cash),
            valuation.positions_ready.eq(order.ready),
            valuation.trades.payload.eq(book.trades.payload),
            valuation.trades.valid.eq(book.trades.valid),
            valuation.tops.payload.eq(book.tops.payload),
            valuation.tops.valid.eq(book.tops.valid),
            valuation.max_loss.eq(risk.account.max_loss),
            valuation.clear.eq(clears),
            releases.passed.eq(valuation.passed),
            releases.clear.eq(clears),
            risk.long_value.eq(valuation.long_value),
            risk.short_value.eq(valuation.short_value),
            risk.values_known.eq(valuation.known),
            risk.held.eq(releases.held),
            risk.standing.loss.eq(valuation.within_loss),
            flags.known.eq(valuation.known),
            flags.within_loss.eq(valuation.within_loss),
            flags.beyond_loss.eq(valuation.beyond_loss),
            flags.beyond_gross.eq(risk.beyond_gross),
        ]
        for name in ("long_value", "short_value", "profit"):
            low, high = getattr(status, f"{name}_low"), getattr(status, f"{name}_high")
            m.d.comb += Cat(low, high).eq(getattr(valuation, name))

    def _configure(self, m, receive, hold, feed, book, strategy, risk, order, control) -> None:
        config, command, session = control.config, control.command, order.template
        services, request = self._services, self._services.request
        # Read with the limits, for what is wrong with it is to refuse the order.
        on_its_way = Taker.LATENCY - Taker.LATENCY_PREVIEW + RiskGate.LATENCY
        names = [Signal(64, name=f"name_{n}") for n in range(on_its_way)]
        m.d.sync += [
            later.eq(name)
            for later, name in zip(names, [control.name.data.name, *names], strict=False)
        ]
        m.d.comb += [
            self._hop.configured.eq(Cat(config.destination_mac_low, config.destination_mac_high)),
            self._hop.ip.eq(config.next_hop),
            session.destination_mac.eq(self._hop.mac),
            session.source_mac.eq(Cat(config.source_mac_low, config.source_mac_high)),
            feed.start_sequence.eq(Cat(config.start_sequence_low, config.start_sequence_high)),
            Cat(receive.address).eq(
                Cat(config.feed_address, config.feed_address_b, config.source_ip)
            ),
            Cat(receive.port).eq(
                Cat(config.feed_port, config.feed_port_b, config.rerequest_ports.source)
            ),
            Cat(receive.enable).eq(
                Cat(config.feed_enable, config.feed_enable_b, config.rerequest_wait_us.any())
            ),
            hold.wait.eq(config.await_fcs),
            feed.gap_wait.eq(config.gap_wait_us),
            feed.line_timeout.eq(config.line_timeout_us),
            feed.tick.eq(control.microsecond),
            services.tick.eq(control.microsecond),
            services.mac.eq(session.source_mac),
            services.ip.eq(config.source_ip),
            services.arp.eq(config.services.arp),
            services.icmp.eq(config.services.icmp_echo),
            services.igmp.eq(config.services.igmp),
            Cat(services.group).eq(Cat(config.feed_address, config.feed_address_b)),
            Cat(services.listens).eq(Cat(config.feed_enable, config.feed_enable_b)),
            request.mac.eq(Cat(config.rerequest_mac_low, config.rerequest_mac_high)),
            request.ip.eq(config.rerequest_address),
            request.source_port.eq(config.rerequest_ports.source),
            request.destination_port.eq(config.rerequest_ports.destination),
            request.session.eq(feed.due_session),
            request.sequence.eq(feed.expected),
            request.count.eq(config.rerequest_limits.count),
            services.tries.eq(config.rerequest_limits.tries),
            services.interval.eq(config.rerequest_interval_us),
            services.recovering.eq(feed.recovering),
            feed.give_up.eq(services.give_up),
            feed.recovery_wait.eq(config.rerequest_wait_us),
            feed.restart.eq(command.restart_feed.valid),
            feed.forget.eq(command.clear_locates.valid),
            feed.write.eq(command.symbol_write.valid),
            feed.write_locate.eq(command.symbol_write.payload.locate),
            feed.write_symbol.eq(command.symbol_write.payload.symbol),
            feed.write_tracked.eq(command.symbol_write.payload.tracked),
            book.begin.eq(command.recover.valid),
            book.recentre.eq(command.recentre.valid),
            book.begin_symbol.eq(
                Mux(
                    command.recentre.valid,
                    command.recentre.payload.symbol,
                    command.recover.payload.symbol,
                )
            ),
            book.place.eq(command.recentre_place.valid),
            control.movable.eq(book.movable),
            book.abort.eq(command.recover_abort.valid),
            book.order.eq(command.recover_order.valid),
            book.order_number.eq(command.recover_order.payload.number),
            book.order_is.side.eq(command.recover_order.payload.side),
            book.join.eq(command.recover_join.valid),
            book.join_sequence.eq(command.recover_join.payload),
            book.restarted.eq(command.restart_feed.valid),
            control.recovery.symbol.eq(book.recovery_symbol),
            book.recovery_base.eq(control.recovery.data.base),
            book.recovery_cent.eq(control.recovery.data.cent),
            book.show.eq(command.show_book.valid),
            book.show_symbol.eq(command.show_book.payload.symbol),
            book.whole.eq(command.whole.valid),
            book.whole_symbol.eq(command.whole.payload.symbol),
            book.whole_value.eq(command.whole.payload.value),
            control.window.symbol.eq(book.window_symbol),
            book.window_base.eq(control.window.data.base),
            book.window_cent.eq(control.window.data.cent),
            control.strategy.symbol.eq(strategy.parameters_symbol),
            strategy.idle_symbol.eq(risk.wanted),
            strategy.time.eq(control.time),
            control.limits.symbol.eq(risk.limits_symbol),
            risk.time_in_force.eq(config.order_attributes.time_in_force),
            risk.user_ref_num_start.eq(config.user_ref_num_start),
            risk.load_user_ref_num.eq(command.load_session.valid),
            risk.start_of_day.eq(command.start_of_day.valid),
            risk.release.eq(command.clear_fill_burst.valid),
            risk.release_symbol.eq(command.clear_fill_burst.payload.symbol),
            control.caps.symbol.eq(risk.caps_symbol),
            risk.forgive.eq(command.clear_kill.valid),
            control.name.symbol.eq(risk.limits_symbol),
            order.name.eq(names[-1]),
            order.sequence_start.eq(config.tcp_sequence_start),
            order.load_sequence.eq(command.load_session.valid),
            session.source_ip.eq(config.source_ip),
            session.destination_ip.eq(config.destination_ip),
            session.source_port.eq(config.tcp_ports.source),
            session.destination_port.eq(config.tcp_ports.destination),
            session.acknowledgement.eq(config.tcp_acknowledgement),
            session.window.eq(config.tcp_window),
            session.cross_type.eq(config.order_cross_type),
            session.clordid.eq(
                Cat(config.clordid_3, config.clordid_2, config.clordid_1, config.clordid_0)
            ),
        ]
        for name, kept in (
            ("recover_reference_low", book.order_is.reference[:32]),
            ("recover_reference_high", book.order_is.reference[32:]),
            ("recover_shares", book.order_is.shares),
            ("recover_price", book.order_is.price),
        ):
            word = Signal(32, name=name)
            m.d.comb += kept.eq(word)
            with m.If(getattr(command, name).valid):
                m.d.sync += word.eq(getattr(command, name).payload)
        shown = Signal.like(risk.shown)
        m.d.comb += risk.shown.eq(shown)
        with m.If(command.show_symbol.valid):
            m.d.sync += shown.eq(command.show_symbol.payload.symbol)
        for name in ("time_in_force", "display", "capacity", "intermarket_sweep"):
            m.d.comb += session[name].eq(config.order_attributes[name])
        for reader, parameters in (
            (control.strategy.data, strategy.parameters),
            (control.limits.data, risk.limits),
            (control.caps.data, risk.caps),
        ):
            for name, _ in data.Layout.cast(parameters.shape()):
                m.d.comb += parameters[name].eq(reader[name])
        for name, _ in data.Layout.cast(risk.account.shape()):
            whole = getattr(control.account, f"account_{name}", None)
            halves = [
                getattr(control.account, f"account_{name}_{half}", None) for half in ("low", "high")
            ]
            m.d.comb += risk.account[name].eq(Cat(halves) if whole is None else whole)
        m.d.comb += [
            control.tables_ready.eq(
                hold.ready & feed.ready & book.ready & strategy.ready & risk.ready & order.ready
            ),
            control.regular_session.eq(risk.regular_session),
            control.breach.eq(risk.breach),
            control.kill.internal.eq(book.disagreement),
            control.kill.integrity.eq(risk.damaged),
            control.kill.session.eq(order.lost),
            control.kill.token_order.eq(order.reused_numbers),
            control.kill.unacknowledged.eq(order.given_up),
            control.kill.reject_storm.eq(order.storm),
            control.kill.fill_integrity.eq(order.violation),
            control.kill_pin.eq(self.kill_pin),
            control.kill.gross_exposure.eq(control.armed & risk.beyond_gross),
            control.kill.loss.eq(control.armed & self._valuation.beyond_loss),
            control.status.symbol_state.symbol.eq(risk.shown),
            control.status.symbol_state.trading.eq(risk.state.trading),
            control.status.symbol_state.fill_burst.eq(bit_of(risk.bursts, risk.shown)),
            control.status.symbol_state.operational_halt.eq(risk.state.operational_halt),
            control.status.symbol_state.short_sale_restricted.eq(risk.state.short_sale_restricted),
            control.status.feed_state.session_known.eq(feed.known),
            control.status.feed_state.session_ended.eq(feed.ended),
            Value.cast(control.status.integrity).eq(risk.faults_seen),
            Cat(control.status.feed_state.alive_a, control.status.feed_state.alive_b).eq(
                feed.alive
            ),
            control.status.feed_state.waiting.eq(feed.waiting),
            control.status.feed_state.recovering.eq(feed.recovering),
            Cat(control.status.feed_state.joined_a, control.status.feed_state.joined_b).eq(
                services.joined
            ),
            control.status.expected_sequence_low.eq(feed.expected[:32]),
            control.status.expected_sequence_high.eq(feed.expected[32:]),
            control.status.next_user_ref_num.eq(risk.next_user_ref_num),
            control.status.tcp_sequence.eq(order.next_tcp_sequence),
        ]

    def _hold_session(self, m, order, control) -> None:
        """The host's side of the order session."""
        config, command, status = control.config, control.command, control.status
        hop, octet, waits = self._hop, Signal(HostOctet), Signal()
        opens = command.session_connect.valid & config.session_live & self._sessions
        loaded = Signal.like(command.set_position.payload)
        since, tick = Signal(16), Signal()
        times = [getattr(config, f"session_times_{n}") for n in range(5)]
        for name, _ in data.Layout.cast(Timing):
            fields = [*times, config.session_limits]
            (source,) = [each[name] for each in fields if name in dict(each.shape())]
            m.d.comb += order.timing[name].eq(source)
        m.d.comb += [
            tick.eq(control.microsecond & (since + 1 >= config.session_tick_us)),
            order.live.eq(config.session_live),
            order.tick.eq(tick),
            order.heartbeat.eq(times[4].heartbeat),
            order.silence.eq(times[4].silence),
            order.timeout.eq(config.session_limits.order_timeout),
            order.patience.eq(config.session_unanswered.kill_timeout),
            order.most_unanswered.eq(config.session_unanswered.most),
            order.most_rejects.eq(config.session_rejects.most),
            order.reject_window.eq(config.session_rejects.window),
            order.isn.eq(config.session_isn),
            hop.connect.eq(opens & (order.state == State.CLOSED)),
            hop.stop.eq(command.session_close.valid | command.session_abort.valid),
            hop.tick.eq(tick),
            hop.interval.eq(order.timing.rto_initial),
            hop.tries.eq(order.timing.retries),
            order.connect.eq(hop.opens),
            order.close.eq(command.session_close.valid),
            order.abort.eq(command.session_abort.valid),
            order.clear.eq(command.start_of_day.valid),
            order.next_number.eq(status.next_user_ref_num),
            order.end_number.eq(config.session_number_end),
            order.pull.eq(self._risk.pulls.valid & ~config.session_keep_orders),
            order.pull_symbol.eq(self._risk.pulls.payload),
            order.stopped.eq(control.killed | (config.session_cancel_on_disarm & ~control.armed)),
            order.cancel_all.eq(command.cancel_all.valid),
            order.cancel.eq(command.cancel_order.valid),
            order.cancel_number.eq(command.cancel_order.payload),
            status.own_cancels.waiting.eq(order.cancels_wait),
            status.own_cancels.unanswered.eq(order.cancels_asked),
            status.own_cancels.found.eq(order.cancel_found),
            order.load_position.eq(command.set_position.valid),
            order.load_symbol.eq(loaded.symbol),
            order.start_position.eq(Cat(config.position_start, loaded.negative)),
            order.start_cost.eq(Cat(config.position_cost_low, config.position_cost_high)),
            order.report_load.eq(command.load_report_sequence.valid),
            order.report_start.eq(
                Cat(config.report_sequence_start_low, config.report_sequence_start_high)
            ),
            order.host.valid.eq(waits),
            order.host.payload.eq(octet),
            order.watched.eq(control.status.symbol_state.symbol),
            Cat(status.due_sequence_low, status.due_sequence_high).eq(order.due_sequence),
            Cat(status.told_sequence_low, status.told_sequence_high).eq(order.next_sequence),
            status.own_orders.open.eq(order.open_orders),
            status.own_orders.unanswered.eq(order.unanswered),
            Cat(status.position_low, status.position_sign).eq(order.watched_account.position),
            status.open_buys.eq(order.watched_account.open_buys),
            status.open_sells.eq(order.watched_account.open_sells),
            status.session_state.state.eq(Mux(hop.asking, State.OPENING, order.state)),
            status.session_state.outcome.eq(
                Mux(hop.outcome == Outcome.NONE, order.outcome, hop.outcome)
            ),
            status.session_state.room.eq(~waits),
            Cat(status.next_hop_mac_low, status.next_hop_mac_high).eq(hop.mac),
        ]
        with m.If(control.microsecond):
            m.d.sync += since.eq(Mux(tick, 0, since + 1))
        with m.If(command.session_octet.valid & ~waits):
            m.d.sync += [
                waits.eq(1),
                octet.data.eq(command.session_octet.payload.data),
                octet.last.eq(command.session_octet.payload.last),
            ]
        with m.Elif(order.host.ready):
            m.d.sync += waits.eq(0)
        with m.If(command.set_position.valid):
            m.d.sync += loaded.eq(command.set_position.payload)
        for name in ("lost", "silent", "may_order", "overdue", "spent"):
            m.d.comb += status.session_state[name].eq(getattr(order, name))
        for name in ("accepted", "rejected", "ended", "reason"):
            m.d.comb += status.session_state[name].eq(order.login[name])
        for name in ("bought_shares", "bought_notional", "sold_shares", "sold_notional"):
            low, high = getattr(status, f"{name}_low"), getattr(status, f"{name}_high")
            m.d.comb += Cat(low, high).eq(order.watched_account[name])

    @staticmethod
    def _show_book(m, view, recovery, status) -> None:
        shown, recovered = status.book_view, status.recover_state
        m.d.comb += [
            status.book_view_sequence.eq(view.sequence),
            status.recover_orders.eq(recovery.orders),
            status.recover_first.eq(recovery.first),
            status.recover_held.eq(recovery.held),
            status.recentre_bid.eq(recovery.bid),
            status.recentre_ask.eq(recovery.ask),
        ]
        for name in ("phase", "cause", "symbol", "first_known"):
            m.d.comb += recovered[name].eq(recovery[name])
        for name in ("ready", "symbol", "trusted", "exact"):
            m.d.comb += shown[name].eq(view[name])
        for side, levels in (("bid", view.bids), ("ask", view.asks)):
            for name in ("levels", "more", "complete"):
                m.d.comb += shown[f"{side}_{name}"].eq(levels[name])
            for n in range(LEVELS):
                m.d.comb += [
                    getattr(status, f"book_{side}_price_{n}").eq(levels.prices[n]),
                    getattr(status, f"book_{side}_shares_{n}").eq(levels.shares[n]),
                ]

    def _count(self, m, receive, hold, feed, book, risk, control) -> None:
        count, verdict = control.count, risk.verdicts
        parts = (
            *(("eth", receive), ("eth", hold), ("feed", feed), ("book", book)),
            *(("net", self._services), ("net", self._arbiter), ("order", self._order)),
            ("order", self._hop),
        )
        for prefix, part in parts:
            for name in part.COUNTERS:
                m.d.comb += getattr(count, f"{prefix}_{name}").eq(getattr(part, name))
        m.d.comb += [
            count.orders_approved.eq(risk.approved.valid),
            count.orders_refused.eq(risk.refused.valid),
        ]
        for gate in Gate:
            name = "refused_busy" if gate is Gate.BUSY else f"refused_gate_{gate.value}"
            m.d.comb += getattr(count, name).eq(verdict.valid & verdict.payload.reasons[gate])

    def _report(self, m, feed, risk, order, control) -> None:
        cycle = Signal(16)
        m.d.sync += cycle.eq(cycle + 1)
        verdict, told = risk.verdicts.payload, order.told
        order = verdict.order
        reported, decided, lost = (control.events[n] for n in (REPORTS, VERDICTS, GAPS))
        for name, _ in told.payload.shape():
            m.d.comb += reported.payload[name].eq(told.payload[name])
        m.d.comb += [
            feed.cycle.eq(cycle),
            reported.valid.eq(told.valid),
            decided.valid.eq(risk.verdicts.valid),
            decided.payload.side.eq(order.side),
            decided.payload.symbol.eq(order.symbol),
            decided.payload.user_ref_num.eq(order.user_ref_num),
            decided.payload.quantity.eq(order.quantity),
            decided.payload.price.eq(order.price),
            decided.payload.reasons.eq(verdict.reasons),
            decided.payload.message_sequence.eq(order.sequence),
            decided.payload.latency_cycles.eq(cycle - order.stamp),
            lost.valid.eq(feed.gap),
            lost.payload.kind.eq(EventKind.GAP),
            lost.payload.message_sequence.eq(feed.gap_sequence),
        ]
        with m.If(verdict.approved):
            m.d.comb += decided.payload.kind.eq(EventKind.ORDER_SENT)
        with m.Else():
            m.d.comb += decided.payload.kind.eq(EventKind.REFUSED)
