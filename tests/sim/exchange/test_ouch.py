"""OUCH 5.0 at the venue's TCP port, by a client of sockets and tables."""

import pytest

from tickgate.sim.exchange.ouch import OuchPort
from tickgate.spec import ouch50, soupbintcp
from tickgate.spec.itch50 import TradingState
from tickgate.spec.ouch50 import RejectReason, Tag

PRICE = 10_0000
CENT = 100


def test_an_order_is_accepted_as_it_was_entered(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        assert (await card.expect("S"))["event_code"] == "S"
        await card.enter(1, side="T", quantity=300, appendage={Tag.FIRM: "TGTE"})
        accepted = await card.message()
        assert accepted.message.type == "A"
        assert accepted.appendage == {Tag.FIRM: "TGTE"}
        expected = {
            "user_ref_num": 1,
            "side": "T",
            "quantity": 300,
            "symbol": "ALFA",
            "price": PRICE,
            "order_ref": 1,
            "order_state": "L",
            "clordid": "order1",
        }
        assert expected.items() <= accepted.values.items()

    trade(scenario)


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 50, 51])
def test_a_session_cut_into_pieces_of_any_size_is_the_same(trade, piece):
    async def scenario(venue, connect):
        card = await connect()
        card.piece = piece
        await card.login()
        await card.enter(1)
        await card.replace(1, 2, price=PRICE - CENT)
        await card.ouch("X", user_ref_num=2, quantity=0)
        await card.expect("S", "A", "U", "C")

    trade(scenario)


def test_a_trade_is_told_to_both_sides_and_booked(trade):
    async def scenario(venue, connect):
        card, other = await connect("CARD"), await connect("OTHER")
        await card.expect("S"), await other.expect("S")
        await other.enter(1, side="S", quantity=100)
        await other.enter(2, side="S", quantity=100, price=PRICE + CENT)
        await other.expect("A", "A")
        await card.enter(7, quantity=150, price=PRICE + CENT, tif="3")
        _, first, second = await card.expect("A", "E", "E")
        assert [first["quantity"], first["price"], first["liquidity"]] == [100, PRICE, "R"]
        assert [second["quantity"], second["price"]] == [50, PRICE + CENT]
        added, _ = await other.expect("E", "E")
        assert added["liquidity"] == "A" and added["match_number"] == first["match_number"]
        ledger = venue.ledger()
        mine, theirs = ledger["accounts"]
        assert mine["positions"] == {"ALFA": 150} and theirs["positions"] == {"ALFA": -150}
        assert mine["cash"] == -theirs["cash"] == -(100 * PRICE + 50 * (PRICE + CENT))
        assert mine["profit"] == 100 * CENT == -theirs["profit"]
        assert [order["state"] for order in theirs["orders"]] == ["executed", "live"]
        assert theirs["orders"][1]["leaves"] == 50

    trade(scenario)


def test_an_immediate_order_without_a_counterpart_is_cancelled(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.enter(1, quantity=70, tif="3")
        *_, canceled = await card.expect("S", "A", "C")
        assert (canceled["quantity"], canceled["reason"]) == (70, "I")

    trade(scenario)


def test_a_cancel_names_the_size_that_may_execute_in_all(trade):
    async def scenario(venue, connect):
        card, other = await connect("CARD"), await connect("OTHER")
        await card.enter(1, quantity=500)
        await card.expect("S", "A")
        await other.enter(1, side="S", quantity=100)
        await card.expect("E")
        await card.ouch("X", user_ref_num=1, quantity=300)
        assert (await card.expect("C"))["quantity"] == 200
        await card.ouch("X", user_ref_num=1, quantity=400)
        await card.ouch("X", user_ref_num=1, quantity=100)
        assert (await card.expect("C"))["quantity"] == 200
        assert venue.ports["CARD"].ledger.orders[1].state == "canceled"

    trade(scenario)


def test_a_replace_names_the_size_of_the_whole_chain(trade):
    async def scenario(venue, connect):
        card, other = await connect("CARD"), await connect("OTHER")
        await card.enter(1, quantity=500)
        await card.expect("S", "A")
        await other.enter(1, side="S", quantity=100)
        await card.expect("E")
        await card.replace(1, 2, quantity=500)
        first = await card.expect("U")
        assert (first["orig_user_ref_num"], first["user_ref_num"], first["quantity"]) == (1, 2, 400)
        await card.replace(2, 3, quantity=600, price=PRICE - CENT)
        second = await card.expect("U")
        assert (second["quantity"], second["price"], second["side"]) == (500, PRICE - CENT, "B")
        await card.replace(3, 4, quantity=100)
        assert (await card.expect("C"))["quantity"] == 500
        assert await card.answered() == 4
        ledger = venue.ports["CARD"].ledger
        assert [order.state for order in ledger.orders.values()] == [
            "replaced",
            "replaced",
            "canceled",
        ]
        assert ledger.positions == {"ALFA": 100}

    trade(scenario)


def test_a_replace_with_invalid_details_takes_the_order_out(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.enter(1)
        await card.replace(1, 2, quantity=1_000_000)
        *_, canceled = await card.expect("S", "A", "C")
        assert canceled["quantity"] == 100
        assert await card.answered() == 2

    trade(scenario)


def test_user_reference_numbers_that_do_not_rise_are_ignored(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.enter(5)
        await card.enter(5)
        await card.enter(4)
        await card.replace(5, 5)
        await card.replace(5, 3)
        await card.expect("S", "A")
        assert await card.answered() == 6
        assert venue.ports["CARD"].counters["stale_user_ref"] == 4
        await card.enter(6, symbol="NONE")
        await card.enter(6)
        await card.expect("J")
        assert await card.answered() == 7

    trade(scenario)


def test_what_is_not_live_is_ignored_and_counted(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.ouch("X", user_ref_num=9, quantity=0)
        await card.replace(9, 10)
        await card.ouch("M", user_ref_num=9, side="B", quantity=1)
        await card.expect("S")
        assert await card.answered() == 1
        assert venue.ports["CARD"].counters["not_live"] == 3

    trade(scenario)


@pytest.mark.parametrize("octets", [b"", b"?", b"O", b"X" + bytes(7), bytes(47)])
def test_octets_that_are_no_message_are_ignored_and_counted(trade, octets):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.send(soupbintcp.pack("U", octets))
        await card.expect("S")
        assert await card.answered() == 1
        assert venue.ports["CARD"].counters["malformed"] == 1

    trade(scenario)


REJECTS = [
    ({"symbol": "NONE"}, RejectReason.INVALID_SYMBOL),
    ({"side": "X"}, RejectReason.INVALID_SIDE),
    ({"quantity": 0}, RejectReason.INVALID_QUANTITY),
    ({"quantity": 1_000_000}, RejectReason.INVALID_QUANTITY),
    ({"price": 0}, RejectReason.INVALID_PRICE),
    ({"price": PRICE + 1}, RejectReason.INVALID_PRICE),
    ({"price": ouch50.MAX_PRICE + CENT}, RejectReason.INVALID_PRICE),
    ({"price": ouch50.MARKET_IN_CROSS}, RejectReason.INVALID_PRICE),
    ({"display": "Z"}, RejectReason.INVALID_DISPLAY),
    ({"display": ""}, RejectReason.INVALID_DISPLAY),
    ({"iso": "?"}, RejectReason.ISO_NOT_ALLOWED),
    ({"cross_type": "O"}, RejectReason.INVALID_CROSS_ORDER),
    ({"capacity": "?"}, RejectReason.OTHER),
    ({"tif": "6"}, RejectReason.OTHER),
    ({"appendage": {Tag.FIRM: "ELSE"}}, RejectReason.FIRM_NOT_AUTHORIZED),
    ({"appendage": {Tag.MIN_QTY: 5}}, RejectReason.INVALID_MIN_QUANTITY),
    ({"appendage": {Tag.MAX_FLOOR: 5}}, RejectReason.INVALID_MAX_FLOOR),
    ({"appendage": {Tag.PEG_OFFSET: -5}}, RejectReason.PEGGING_NOT_ALLOWED),
    ({"appendage": {Tag.ROUTE: "LIST"}}, RejectReason.ROUTING_NOT_ALLOWED),
    ({"appendage": {Tag.EXPIRE_TIME: 5}}, RejectReason.OTHER),
    ({"appendage": {Tag.USER_REF_IDX: 1}}, RejectReason.OTHER),
    ({"appendage": {Tag.AIQ_STRATEGY: b"y"}}, RejectReason.OTHER),
]


def test_an_order_that_cannot_be_is_rejected_with_the_reason(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.expect("S")
        for number, (values, reason) in enumerate(REJECTS, 1):
            await card.enter(number, **values)
            rejected = await card.expect("J")
            assert rejected["reason"] == reason, values
            assert rejected["user_ref_num"] == number
            assert rejected["clordid"] == f"order{number}"
        assert venue.ledger()["accounts"][0]["rejected"] == len(REJECTS)
        assert not venue.engine.orders

    trade(scenario)


def test_attributes_that_change_nothing_are_taken_and_repeated(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.expect("S")
        appendage = {Tag.CUSTOMER_TYPE: "N", Tag.MIN_QTY: 0, Tag.GROUP_ID: 7}
        await card.enter(1, appendage=appendage)
        assert (await card.message()).appendage == appendage

    trade(scenario)


def test_a_halt_rejects_orders_and_replaces_but_lets_cancels_pass(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.enter(1)
        await card.expect("S", "A")
        venue.engine.set_state(venue.engine.symbols["ALFA"], TradingState.HALTED)
        await card.enter(2)
        await card.replace(1, 3, quantity=50)
        first, second = await card.expect("J", "J")
        assert first["reason"] == second["reason"] == RejectReason.HALTED
        assert await card.answered() == 4
        await card.ouch("X", user_ref_num=1, quantity=0)
        await card.expect("C")

    trade(scenario)


def test_a_modify_lowers_the_size_and_changes_the_kind_of_sale_in_place(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.enter(1, side="S", quantity=100)
        await card.enter(2, side="S", quantity=100)
        await card.expect("S", "A", "A")
        await card.ouch("M", user_ref_num=1, side="T", quantity=40)
        modified = await card.expect("M")
        assert (modified["side"], modified["quantity"]) == ("T", 40)
        assert venue.engine.books["ALFA"].best(1).token == 1
        assert chr(venue.feed.messages[-1][0]) == "X"
        await card.ouch("M", user_ref_num=1, side="B", quantity=40)
        await card.ouch("M", user_ref_num=1, side="T", quantity=41)
        await card.expect("I", "I")
        record = venue.ports["CARD"].ledger.orders[1]
        assert (record.canceled, record.leaves) == (60, 40)
        other = await connect("OTHER")
        await other.enter(1, quantity=15)
        await card.expect("E")
        await card.ouch("M", user_ref_num=1, side="S", quantity=35)
        assert (await card.expect("M"))["quantity"] == 20
        await card.ouch("M", user_ref_num=1, side="S", quantity=15)
        await card.expect("I")

    trade(scenario)


def test_a_mass_cancel_takes_one_symbol_one_side_or_all(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.expect("S")
        await card.enter(1)
        await card.enter(2, symbol="BRVO")
        await card.enter(3, symbol="BRVO", side="S", price=PRICE + CENT)
        await card.expect("A", "A", "A")
        mass = {"firm": "TGTE", "symbol": "BRVO"}
        await card.ouch("C", {Tag.SIDE: "S"}, user_ref_num=4, **mass)
        first, answer = await card.expect("C", "X")
        assert first["user_ref_num"] == 3 and answer["symbol"] == "BRVO"
        await card.ouch("C", user_ref_num=5, firm="", symbol="")
        await card.expect("C", "C", "X")
        await card.ouch("C", user_ref_num=6, firm="ELSE", symbol="")
        await card.ouch("C", user_ref_num=7, firm="", symbol="NONE")
        wrong = await card.expect("J", "J")
        assert [row["reason"] for row in wrong] == [
            RejectReason.FIRM_NOT_AUTHORIZED,
            RejectReason.INVALID_SYMBOL,
        ]

    trade(scenario)


def test_order_entry_can_be_disabled_and_enabled(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.expect("S")
        await card.enter(1)
        await card.expect("A")
        await card.ouch("D", user_ref_num=2, firm="TGTE")
        await card.enter(3)
        await card.replace(1, 4)
        _, *rejected = await card.expect("G", "J", "J")
        assert {row["reason"] for row in rejected} == {RejectReason.FIRM_NOT_AUTHORIZED}
        await card.ouch("E", user_ref_num=5, firm="")
        await card.enter(6)
        await card.expect("K", "A")
        await card.ouch("D", user_ref_num=7, firm="ELSE")
        await card.expect("J")

    trade(scenario)


def test_self_match_prevention_is_asked_for_by_the_order(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        aiq = {Tag.AIQ_STRATEGY: b"D"}
        await card.enter(1, side="S", quantity=100, appendage=aiq)
        await card.enter(2, side="B", quantity=60, appendage=aiq)
        *_, resting, incoming = await card.expect("S", "A", "A", "D", "D")
        assert [resting["user_ref_num"], resting["decrement_shares"]] == [1, 60]
        assert [resting["qty_prevented"], resting["execution_price"]] == [60, PRICE]
        assert [resting["reason"], resting["liquidity"], incoming["liquidity"]] == ["Q", "A", "R"]
        await card.replace(1, 3, quantity=100)
        assert (await card.expect("U"))["quantity"] == 40
        await card.replace(3, 4, quantity=90)
        assert (await card.expect("U"))["quantity"] == 30
        await card.ouch("X", user_ref_num=4, quantity=70)
        assert (await card.expect("C"))["quantity"] == 20

    trade(scenario)


def test_cancels_may_pend_or_be_rejected_around_a_cross(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        port: OuchPort = venue.ports["CARD"]
        await card.enter(1)
        await card.expect("S", "A")
        port.set_cancel_mode("reject")
        await card.ouch("X", user_ref_num=1, quantity=0)
        await card.expect("I")
        port.set_cancel_mode("pend")
        await card.ouch("X", user_ref_num=1, quantity=40)
        await card.replace(1, 2)
        _, rejected = await card.expect("P", "J")
        assert rejected["reason"] == RejectReason.REPLACE_NOT_ALLOWED
        assert port.live()[0].leaves == 100
        port.set_cancel_mode("act")
        assert (await card.expect("C"))["quantity"] == 60
        with pytest.raises(ValueError, match="cancel mode must be"):
            port.set_cancel_mode("sometimes")

    trade(scenario)


def test_a_broken_trade_and_a_restatement_are_told(trade):
    async def scenario(venue, connect):
        card, other = await connect("CARD"), await connect("OTHER")
        await other.enter(1, side="S")
        await other.expect("S", "A")
        await card.enter(1, quantity=150)
        *_, executed = await card.expect("S", "A", "E")
        venue.engine.break_trade(executed["match_number"])
        broken = await card.expect("B")
        assert broken["match_number"] == executed["match_number"]
        assert (broken["reason"], broken["clordid"]) == ("S", "order1")
        await other.expect("E", "B")
        ledger = venue.ledger()["accounts"]
        assert [row["cash"] for row in ledger] == [0, 0]
        assert [row["positions"] for row in ledger] == [{}, {}]
        assert ledger[0]["fills"][0]["broken"]
        venue.ports["CARD"].restate(1, display_quantity=50)
        restated = await card.message()
        assert (restated.message.type, restated.values["reason"]) == ("R", "R")
        assert restated.appendage == {Tag.DISPLAY_QUANTITY: 50}
        with pytest.raises(KeyError, match="no order 1 of OTHER is live"):
            venue.ports["OTHER"].restate(1, display_quantity=50)

    trade(scenario)


def test_a_client_that_returns_gets_what_it_missed(trade):
    async def scenario(venue, connect):
        card, other = await connect("CARD"), await connect("OTHER")
        await other.enter(1, side="S", quantity=100)
        await other.expect("S", "A")
        await other.close()
        await card.enter(1, quantity=60)
        await card.expect("S", "A", "E")
        again = await connect("OTHER", session="TODAY", sequence=3)
        assert again.sequence == 3
        assert (await again.expect("E"))["quantity"] == 60
        await again.close()
        anew = await connect("OTHER")
        await anew.expect("S", "A", "E")
        await anew.enter(1)
        await anew.enter(2)
        assert (await anew.expect("A"))["user_ref_num"] == 2

    trade(scenario)


@pytest.mark.parametrize("how", ["logout", "close", "reset", "garbage"])
def test_a_lost_session_cancels_the_orders_of_an_account_that_wants_it(trade, how):
    async def scenario(venue, connect):
        card, other = await connect("CARD"), await connect("OTHER")
        for client in (card, other):
            await client.enter(1)
            await client.expect("S", "A")
        for client in (card, other):
            if how == "logout":
                await client.send(soupbintcp.pack("O"))
            elif how == "garbage":
                await client.send(b"\x00\x00\x00")
            elif how == "reset":
                client.writer.transport.abort()
            if how in ("logout", "garbage"):
                assert await client.packet() is None
            await client.close()
        back = await connect("CARD", sequence=3)
        canceled = await back.expect("C")
        assert (canceled["quantity"], canceled["reason"]) == (100, "Z")
        assert [order.owner.account for order in venue.engine.orders.values()] == ["OTHER"]

    trade(scenario)


def test_the_end_of_the_day_is_told_after_the_last_cancel(trade):
    async def scenario(venue, connect):
        card = await connect("CARD")
        await card.enter(1)
        await card.expect("S", "A")
        await venue.stop()
        canceled, event = await card.expect("C", "S")
        assert (canceled["reason"], event["event_code"]) == ("T", "E")
        assert await card.packet() == ("Z", b"")
        assert await card.packet() is None

    trade(scenario)


def test_many_clients_trade_at_once_and_shares_and_cash_are_conserved(trade, generator):
    async def scenario(venue, connect):
        clients = [await connect(name) for name in ("CARD", "OTHER")]
        for number in range(1, 201):
            client = generator.choice(clients)
            await client.enter(
                number,
                side=generator.choice("BS"),
                quantity=generator.randrange(1, 500),
                price=PRICE + CENT * generator.randrange(-3, 4),
                tif=generator.choice("03"),
            )
        for client in clients:
            await client.ouch("Q")
            while (await client.message()).message.type != "Q":
                pass
        ledger = venue.ledger()["accounts"]
        assert sum(row["cash"] for row in ledger) == 0
        assert sum(row["positions"].get("ALFA", 0) for row in ledger) == 0
        for row in ledger:
            for order in row["orders"]:
                parts = order["executed"] + order["canceled"] + order["leaves"]
                assert parts == order["quantity"]
        assert venue.engine.matches > 20

    trade(scenario)
