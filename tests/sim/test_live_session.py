"""The whole card on a live session: login, orders of a market, fills, and what the card holds."""

from collections import Counter
from contextlib import contextmanager

import pytest

from tickgate.hdl.core import TickToTrade
from tickgate.hdl.order.entry import OrderEntry
from tickgate.hdl.risk.gate import RiskGate
from tickgate.host import session
from tickgate.host.errors import CardRefused, UserError
from tickgate.host.fills import REPORTS, Fills
from tickgate.sim import market
from tickgate.sim.live import GATEWAY, GATEWAY_MAC, Desk, encode
from tickgate.sim.model.net import Station
from tickgate.sim.replay import Options, open_card, plan
from tickgate.spec import ethernet, ouch50, soupbintcp
from tickgate.spec.events import EventKind
from tickgate.spec.registers import BY_NAME

MESSAGES = 2_000
SOME = 250
"""Messages, among which there are some that make an order."""


class Compared(Desk):
    """A desk whose card must hold, and tell, what the venue says."""

    def holds_what_the_venue_says(self) -> bool:
        accounts = [session.account(self.registers, each.index) for each in self.planned.tracked]
        assert all(held.open_buys == held.open_sells == 0 for held in accounts)
        bought = [self.venue.bought[symbol.name] for symbol in self.planned.tracked]
        return [held.position for held in accounts] == bought

    def the_host_is_told_what_the_venue_says(self) -> bool:
        """Takes all events; each report on an order of the card must be in them once, in order."""
        events = list(self.driver.events())
        fills = Fills()
        for event in events:
            fills.take(event)
        names = (
            "kind",
            "message_sequence",
            "user_ref_num",
            "quantity",
            "price",
            "reasons",
            "detail",
        )
        reports = [event for event in events if event.kind in REPORTS]
        told = [tuple(getattr(event, name) for name in names) for event in reports]
        assert told == list(self._said())
        for symbol in self.planned.tracked:
            held = session.account(self.registers, symbol.index)
            traded = fills.symbols[symbol.index]
            for name in ("bought_shares", "bought_notional", "sold_shares", "sold_notional"):
                assert getattr(traded, name) == getattr(held, name)
        return not fills.lost and not any(order.open for order in fills.orders.values())

    def _said(self):
        left = {order["user_ref_num"]: order["quantity"] for order in self.venue.orders}
        for sequence, packet in enumerate(self.venue.reports, 1):
            ((_, body),) = soupbintcp.split(packet)[0]
            report = ouch50.decode(ouch50.OUTBOUND, body).values
            number, quantity = report["user_ref_num"], report["quantity"]
            kind, match = EventKind.ACCEPTED, 0
            if report["type"] == "E":
                kind, match = EventKind.FILLED, report["match_number"]
                left[number] -= quantity
            yield kind, sequence, number, quantity, report["price"], match, left[number]


@pytest.fixture(scope="module")
def market_file(tmp_path_factory, request):
    file = tmp_path_factory.mktemp("market") / "market.itch"
    seed = request.config.getoption("seed")
    file.write_bytes(market.generate(seed=seed, messages=MESSAGES).data)
    return file


@pytest.fixture
def opened(market_file):
    @contextmanager
    def at(width: int, *, limits: dict | None = None, **session):
        planned = plan(
            market_file,
            Options(width=width, pack=1, direct=True, strategy={"min_interval_ns": 1_000}),
        )
        with open_card(planned, quiet=True) as card:
            yield Compared(card, planned, limits, session=session)
            assert card.tx_faults == 0

    return at


@pytest.mark.parametrize("width", [8, 1])
def test_orders_leave_on_the_session_and_their_fills_are_what_the_card_holds(opened, width):
    with opened(width) as desk:
        venue, driver = desk.venue, desk.driver
        status = desk.login(range(1, 1_000))
        assert status.may_order and status.due_sequence == 1
        assert venue.logins[0].startswith(b"CARD  SECRET")
        driver.arm(desk.config)
        assert desk.play(lambda: len(venue.orders) == 12)
        status = session.session_status(desk.registers)
        assert status.due_sequence == 1 + len(venue.reports)
        assert (status.open_orders, status.unanswered_orders) == (0, 0)
        assert driver.counters()["order_executions"] == 24
        assert [order["user_ref_num"] for order in venue.orders] == list(range(1, 13))
        assert desk.holds_what_the_venue_says()
        assert desk.the_host_is_told_what_the_venue_says()
        # As fast as without a session.
        assert desk.latencies == {TickToTrade.LATENCY: 12}
        driver.disarm()
        with pytest.raises(CardRefused, match="log it out"):
            driver.apply(desk.config)
        ended = session.logout(desk.registers, now=venue.now)
        assert ended.state in ("closed", "time-wait") and not ended.may_order


def test_a_session_that_breaks_off_is_resumed_with_other_numbers_and_what_was_missed(opened):
    with opened(8) as desk:
        venue, driver = desk.venue, desk.driver
        desk.login(range(100, 1_000))
        driver.arm(desk.config)
        assert desk.play(lambda: len(venue.orders) == 3)
        venue.answers = False
        assert desk.play(lambda: len(venue.orders) == 4)
        venue.reset()
        broken = session.session_status(desk.registers)
        assert (broken.state, broken.outcome) == ("closed", "reset")
        assert (broken.open_orders, broken.unanswered_orders) == (1, 1)
        assert not desk.play(lambda: len(venue.orders) > 4, messages=SOME)
        assert desk.registers.read("refused_busy")
        driver.disarm()
        # What was used is not used again; what is open is not forgotten.
        with pytest.raises(CardRefused, match="higher user reference number"):
            desk.login(range(103, 1_000))
        with pytest.raises(UserError, match="may be open"):
            desk.login(range(200, 1_000), sequence=0)
        venue.answers = True
        status = desk.login(range(200, 202))
        assert b"           10" in venue.logins[-1]
        assert status.may_order and status.open_orders == 0
        assert desk.holds_what_the_venue_says()
        driver.arm(desk.config)
        assert not desk.play(lambda: len(venue.orders) == 7, messages=SOME)
        numbers = [order["user_ref_num"] for order in venue.orders]
        assert numbers == [100, 101, 102, 103, 200, 201]
        assert session.session_status(desk.registers).spent
        assert desk.holds_what_the_venue_says()
        assert desk.the_host_is_told_what_the_venue_says()
        assert not driver.status().killed


def test_a_fill_of_an_order_that_is_not_the_card_s_kills_it(opened):
    with opened(8) as desk:
        venue, driver = desk.venue, desk.driver
        # A venue with a past, and a card that knows nothing of it.
        venue.reports = [encode("E", user_ref_num=5, quantity=100, price=1)] * 7
        first, *_ = desk.planned.tracked
        session.set_position(desk.registers, first.index, -300, price=50_0000)
        venue.bought[first.name] = -300
        status = desk.login(range(1_000, 2_000), sequence=0)
        assert status.may_order and status.due_sequence == 8
        driver.arm(desk.config)
        assert desk.play(lambda: len(venue.orders) == 3)
        assert desk.holds_what_the_venue_says() and not driver.status().killed
        venue.tell(encode("E", user_ref_num=5, quantity=100, price=1))
        assert driver.status().killed and driver.counters()["order_unknown_orders"] == 1
        with pytest.raises(CardRefused, match="killed"):
            driver.arm(desk.config)
        refused = driver.counters()["refused_gate_1"]
        assert not desk.play(lambda: len(venue.orders) > 3, messages=SOME)
        assert driver.counters()["refused_gate_1"] > refused
        driver.clear_kill()
        driver.acknowledge()
        driver.arm(desk.config)


def test_whatever_stops_the_card_cancels_its_orders_and_the_host_may_cancel_one(opened):
    with opened(8) as desk:
        venue, driver, registers = desk.venue, desk.driver, desk.registers
        venue.rests = True

        def trade(count: int) -> list[int]:
            """Has the venue hold so many orders; returns their numbers."""
            driver.arm()
            before = len(venue.orders)
            assert desk.play(lambda: len(venue.orders) == before + count)
            return [order["user_ref_num"] for order in venue.orders[before:]]

        def cancelled() -> list[int]:
            """Those that the venue was asked to cancel since; all open ones are then over."""
            desk.card.run(OrderEntry.cancels_within(width=8))
            venue.turn()
            numbers, venue.cancels = venue.cancels, []
            status = session.session_status(registers)
            assert status.open_orders == len(venue.open)
            assert not status.cancels_waiting and not status.cancels_unanswered
            return numbers

        desk.login(range(1, 1_000))
        numbers = trade(7)
        with pytest.raises(CardRefused, match="not open"):
            session.cancel(registers, 8)
        session.cancel(registers, 3)
        assert cancelled() == [3]
        with pytest.raises(CardRefused, match="order 3 is not open"):
            session.cancel(registers, 3)
        # A disarm leaves them, as the configuration has it; what is refused stays open.
        driver.disarm()
        assert not cancelled()
        venue.refuses = True
        session.cancel(registers)
        assert sorted(cancelled()) == [number for number in numbers if number != 3]
        venue.refuses = False
        driver.kill()
        assert sorted(cancelled()) == [number for number in numbers if number != 3]
        assert not venue.open and driver.status().killed
        counters = driver.counters()
        assert (counters["order_cancels"], counters["order_cancels_refused"]) == (13, 6)

        # A session that breaks off: the cancels wait for the next one.
        driver.clear_kill()
        driver.acknowledge()
        numbers = trade(2)
        venue.reset()
        driver.kill()
        assert session.session_status(registers).cancels_waiting
        desk.login(range(100, 1_000))
        assert sorted(cancelled()) == numbers and not venue.open
        driver.clear_kill()
        driver.acknowledge()
        registers.write("session_cancel_on_disarm", 1)
        numbers = trade(2)
        driver.disarm()
        assert sorted(cancelled()) == numbers and not venue.open
        assert not driver.status().killed
        assert desk.holds_what_the_venue_says()


def test_a_card_asks_for_the_address_of_its_next_hop_and_trades_by_way_of_it(opened):
    gateway = ethernet.format_ipv4(GATEWAY)
    with opened(8, destination_mac=None, prefix_bits=28, gateway=gateway) as desk:
        venue, driver, registers = desk.venue, desk.driver, desk.registers
        target = ethernet.ETHERNET.size + ethernet.ARP.offset("target_ip")
        answer, stranger = venue.resolve, Station(mac=0x02_00_00_00_00_99, ip=GATEWAY + 1)

        def ask_another(question: bytes):
            ip = (GATEWAY + 1).to_bytes(4, "big")
            return stranger.answer(question[:target] + ip + question[target + 4 :])

        def counters() -> list[int]:
            names = ("order_hop_questions", "order_hop_answers", "order_hop_unresolved")
            return [registers.read(name) for name in names]

        # One answers whom nobody has asked, and nothing is sent to anyone. Time passes quickly.
        venue.resolve = ask_another
        times = registers.read("session_times_0")
        registers.write_many({"session_tick_us": 1, "session_times_0": 20})
        with pytest.raises(CardRefused, match="no connection to the venue: closed, unresolved"):
            desk.login(range(1, 1_000))
        tries = 1 + desk.config.live.retries
        assert counters() == [tries, 0, 1] and len(venue.questions) == tries
        assert registers.read("net_arp_answers") == tries
        asked = ethernet.ARP.unpack_from(venue.questions[0], ethernet.ETHERNET.size)
        assert (asked["operation"], asked["target_ip"]) == (ethernet.ARP_REQUEST, GATEWAY)
        assert asked["sender_ip"] == int(desk.config.session.source_ip)
        # The answer comes when it is too late.
        venue.put_unsealed(answer(venue.questions[0]).reply)
        assert session.session_status(registers).next_hop is None and not venue.macs

        venue.resolve = answer
        registers.write_many({"session_tick_us": 1_000, "session_times_0": times})
        status = desk.login(range(1, 1_000))
        assert status.may_order and status.next_hop == GATEWAY_MAC
        assert counters() == [tries + 1, 1, 1]
        driver.arm(desk.config)
        assert desk.play(lambda: len(venue.orders) == 3)
        assert desk.latencies == {TickToTrade.LATENCY: 3} and desk.holds_what_the_venue_says()
        assert venue.macs == {ethernet.parse_mac(GATEWAY_MAC)}


def test_a_gate_that_stops_a_symbol_has_its_orders_cancelled_in_time(opened):
    with opened(8, limits={"max_fills": 2}) as desk:
        venue, driver = desk.venue, desk.driver
        venue.rests = True
        index = {each.name: each.index for each in desk.planned.tracked}
        symbols = max(desk.planned.options.capacity, len(index))

        def trade(count: int) -> list[tuple[str, list[int]]]:
            """Has the venue hold orders of so many symbols; returns their numbers, by symbol."""
            driver.arm()
            assert desk.play(lambda: len(own()) >= count)
            venue.cancels.clear()
            return list(own().items())

        def own() -> dict[str, list[int]]:
            held: dict[str, list[int]] = {}
            for order in venue.orders:
                if order["user_ref_num"] in venue.open:
                    held.setdefault(order["symbol"], []).append(order["user_ref_num"])
            return held

        def cancelled() -> list[int]:
            """Those that the venue was asked to cancel since."""
            desk.card.run(OrderEntry.cancels_within(width=8))
            venue.turn()
            numbers, venue.cancels = venue.cancels, []
            return sorted(numbers)

        def stops(name: str) -> int:
            desk.registers.write("show_symbol", BY_NAME["show_symbol"].pack(symbol=index[name]))
            return desk.registers.read_fields("symbol_state")["fill_burst"]

        def whole(name: str, is_so: bool) -> None:
            driver.set_whole(index[name], is_so)

        desk.login(range(1, 1_000))
        (first, firsts), (second, seconds) = trade(2)
        # Its book is not to be trusted; that of the other one is. Once, however long it lasts.
        whole(first, False)
        assert cancelled() == firsts
        assert not cancelled() and list(own()) == [second]
        # What the venue refuses is asked for again with the next cause.
        venue.refuses = True
        whole(second, False)
        assert cancelled() == seconds
        assert not cancelled()
        venue.refuses = False
        whole(second, True)
        assert not cancelled()
        # A book that is whole again may be reason enough for another order.
        seconds = own()[second]
        whole(second, False)
        assert cancelled() == seconds and not venue.open
        # The host may say that they stay.
        driver.disarm()
        desk.registers.write("session_keep_orders", 1)
        whole(first, True)
        whole(second, True)
        ((third, thirds),) = trade(1)
        whole(third, False)
        assert not cancelled() and own() == {third: thirds}
        # All of them, once some of the feed is missing.
        driver.disarm()
        desk.registers.write("session_keep_orders", 0)
        whole(third, True)
        numbers = sorted(number for _, each in trade(2) for number in each)
        late = desk.lose(3)
        assert sorted(venue.cancels) == numbers and not venue.open
        assert 0 < late <= 1 + RiskGate.pull_latency(symbols) + OrderEntry.cancels_within(width=8)
        # Every order has two fills, so that the second one of a symbol stops it.
        for name in index:
            whole(name, True)
        venue.rests, before = False, len(venue.orders)
        assert desk.play(lambda: desk.registers.read("refused_gate_28"))
        filled = Counter(order["symbol"] for order in venue.orders[before:])
        stopped = {name for name in index if stops(name)}
        assert stopped and stopped == {name for name, count in filled.items() if count > 1}
        for name in stopped:
            driver.clear_fill_burst(name)
        assert not any(map(stops, index))
        assert not driver.status().killed
        assert desk.holds_what_the_venue_says()
