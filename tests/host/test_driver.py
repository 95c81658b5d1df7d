"""The driver against a card in plain Python."""

import dataclasses
import random
import re

import pytest

from tickgate.host.config import Config
from tickgate.host.driver import Driver, Event
from tickgate.host.errors import (
    CardMismatch,
    CardRefused,
    CardUnreachable,
    ConfigError,
    NotInForce,
    UserError,
)
from tickgate.host.protocol import Reply
from tickgate.spec import registers as spec
from tickgate.spec.events import FIELDS, EventKind
from tickgate.spec.registers import Status


def lost(_):
    return b""


def written(card, name):
    """How often a register was written."""
    return sum(
        address <= spec.BY_NAME[name].address < address + len(words)
        for opcode, _, address, words in card.requests
        if opcode == spec.Opcode.WRITE
    )


# Opening


def test_a_card_tells_what_it_is(driver):
    assert (driver.identity.symbols, driver.identity.ticks) == (4, 1024)
    names = {r.name for r in spec.REGISTERS if r.kind is spec.Kind.IDENTITY}
    assert names == dataclasses.asdict(driver.identity).keys()


def test_a_card_with_another_register_map_is_refused_naming_both(card, port):
    card.set("map_hash", 0xDEAD_BEEF)
    with pytest.raises(CardMismatch) as caught:
        Driver(port)
    assert "0xdeadbeef" in str(caught.value)
    assert f"{spec.MAP_HASH:#010x}" in str(caught.value)
    assert port.closed


def test_a_card_with_another_protocol_version_is_refused(card, port):
    card.set("version", 2)
    with pytest.raises(CardMismatch, match=r"\(protocol 2\) and this host"):
        Driver(port)


def test_something_else_that_speaks_the_protocol_is_refused(card, port):
    card.set("magic", 0x1234)
    with pytest.raises(CardMismatch, match="no tickgate card: its first word is 0x00001234"):
        Driver(port)


def test_a_silent_card_is_unreachable_and_its_port_is_closed(card, port):
    card.faults.extend([lost] * 4)
    with pytest.raises(CardUnreachable):
        Driver(port)
    assert port.closed


# Registers


def test_a_register_is_an_attribute(card, driver):
    driver.registers.feed_port = 26477
    assert card.get("feed_port") == driver.registers.feed_port == 26477
    assert "feed_port" in dir(driver.registers)


def test_an_unknown_register_is_no_attribute(driver):
    with pytest.raises(AttributeError):
        driver.registers.feed_prot = 1
    with pytest.raises(AttributeError):
        _ = driver.registers.feed_prot
    with pytest.raises(UserError, match="did you mean feed_port"):
        driver.registers.read("feed_prot")


def test_a_register_that_does_not_hold_what_was_written_is_noticed(card, driver):
    card.stuck[spec.BY_NAME["feed_port"].address] = 7
    with pytest.raises(NotInForce, match="feed_port holds 0x7 after 0x8 was written"):
        driver.registers.feed_port = 8


def test_the_halves_of_a_number_are_read_in_one_request(card, driver):
    card.set("time_now_low", 2)
    card.set("time_now_high", 1)
    card.requests.clear()
    assert driver.registers.read_pair("time_now") == (1 << 32) + 2
    assert len(card.requests) == 1


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("feed_port", 1 << 16, "0x10000 sets reserved bits; the mask is 0xffff"),
        ("feed_port", -1, "reserved bits"),
        ("magic", 1, "read-only"),
        ("feed_gaps", 1, "read-only"),
    ],
)
def test_a_write_that_cannot_be_is_not_sent(card, driver, name, value, complaint):
    before = len(card.requests)
    with pytest.raises(UserError, match=complaint):
        driver.registers.write(name, value)
    assert len(card.requests) == before


def _status(status, words=()):
    """A fault that makes the reply one with this status."""
    return lambda reply: Reply(2, reply[2], status, tuple(words)).encode()


@pytest.mark.parametrize("status", [status for status in Status if status])
def test_every_refusal_carries_its_status_and_the_register_at_fault(card, driver, status):
    card.faults.append(_status(status, [spec.BY_NAME["tcp_window"].address]))
    with pytest.raises(CardRefused) as caught:
        driver.registers.tcp_window = 1
    assert caught.value.status == status
    assert str(caught.value) == f"the card refused writing register tcp_window: {status.doc}"


def test_a_status_of_tomorrow_is_a_refusal_too(card, driver):
    card.faults.append(_status(99))
    with pytest.raises(CardRefused, match="status 99, which this host does not know"):
        driver.registers.tcp_window = 1


def test_configuration_is_refused_while_armed(card, driver):
    card.state["armed"] = 1
    with pytest.raises(CardRefused, match="because the card is armed") as caught:
        driver.registers.feed_port = 1
    assert caught.value.status == Status.ARMED


# Configuration


def test_a_configuration_is_in_force_after_apply(card, driver, config):
    checksum = driver.apply(config)
    assert checksum == config.checksum(4) == card.get("committed_checksum")
    assert card.in_force == [word for page in config.pages(4) for word in page]
    assert card.locates == {13: 0, 21: 1}
    for name, value in config.registers().items():
        assert card.get(name) == value, name
    assert driver.symbols() == ["AAPL", "MSFT", "", ""]
    assert driver.verify(config) == checksum


def test_pages_beyond_the_first_bank_are_written_and_read_in_theirs(
    large_card, large_driver, config
):
    pages = config.pages(1030)
    pages[512], pages[1029] = pages[0], pages[1]
    assert large_driver.commit_pages(pages) == spec.parameter_checksum(pages)
    assert large_card.in_force == [word for page in pages for word in page]
    assert large_driver.pages_in_force() == pages


def test_a_commit_that_takes_its_time_is_waited_for(card, driver, config):
    card.commit_reads = 5
    driver.apply(config)
    assert driver.verify(config)


def test_a_commit_that_never_ends_is_given_up(card, driver, config):
    card.commit_reads = 1 << 30
    with pytest.raises(CardRefused, match="its commit does not end"):
        driver.apply(config)


def test_a_commit_whose_reply_is_lost_while_the_card_works_is_done_once(card, driver, config):
    card.commit_reads = 3
    commit = spec.BY_NAME["commit"].address
    take = card._frame

    def lose_the_reply_to_the_first_commit(frame):
        done = written(card, "commit")
        reply = take(frame)
        first = not done and card.requests[-1][0] == 2 and card.requests[-1][2] == commit
        return b"" if first else reply

    card._frame = lose_the_reply_to_the_first_commit
    driver.apply(config)
    assert driver.link.retries == 1
    assert written(card, "commit") == 2
    assert card.get("committed_checksum") == config.checksum(4)


def test_what_another_program_left_in_the_shadow_is_not_committed(card, driver, config):
    card.shadow[3 * 16 + 8] = 1_000_000
    driver.apply(config)
    assert card.in_force[3 * 16 + 8] == 0


def test_a_shadow_that_does_not_hold_what_was_written_is_not_committed(card, driver, config):
    card.stuck[spec.shadow_address(0, 10)] = 0xFFFF
    with pytest.raises(NotInForce) as caught:
        driver.apply(config)
    assert str(caught.value) == (
        "symbol AAPL: the shadow copy holds 0xffff in max_order_quantity, not 0x12c"
    )
    assert not written(card, "commit")


def test_a_page_in_force_that_differs_is_noticed(card, driver, config):
    driver.apply(config)
    card.stuck[spec.in_force_address(1, 2)] = 1
    with pytest.raises(NotInForce, match="symbol MSFT: the page in force holds 0x1 in window_base"):
        driver.verify(config)


def test_a_register_that_changed_since_is_noticed(card, driver, config):
    driver.apply(config)
    card.set("destination_ip", 1)
    with pytest.raises(NotInForce, match="register destination_ip holds 0x1, not 0xc6336414"):
        driver.verify(config)


def test_a_checksum_that_the_card_does_not_accept_changes_nothing(card, driver, config):
    driver.apply(config)
    before = list(card.in_force)
    pages = driver.pages_in_force()
    pages[0][6] = 7
    commit = card._commit
    card._commit = lambda word: commit(word ^ 1)
    with pytest.raises(CardRefused, match="did not commit"):
        driver.commit_pages(pages)
    assert card.in_force == before


def test_an_armed_card_takes_no_whole_configuration(card, driver, config):
    driver.apply(config)
    driver.arm()
    before = len(card.requests)
    with pytest.raises(CardRefused, match="is armed; disarm it") as caught:
        driver.apply(config)
    assert caught.value.status == Status.ARMED
    assert all(opcode == spec.Opcode.READ for opcode, *_ in card.requests[before:])


def test_an_armed_card_takes_limits_but_no_other_window(card, driver, config):
    driver.apply(config)
    driver.arm()
    pages = driver.pages_in_force()
    pages[0][8] = 42
    driver.commit_pages(pages)
    assert card.in_force[8] == 42
    pages[0][2] += 100
    with pytest.raises(CardRefused, match="cannot change while it is armed") as caught:
        driver.commit_pages(pages)
    assert caught.value.status == Status.ARMED
    assert card.in_force[2] == 3_000_000


def test_stock_locates_of_an_earlier_configuration_are_forgotten(card, driver, config, text):
    driver.apply(config)
    driver.apply(Config.from_text(text.replace("stock_locate = 21", "stock_locate = 34")))
    assert card.locates == {13: 0, 34: 1}


def test_tables_that_are_not_clear_yet_are_waited_for(card, driver, config):
    card.state["tables_ready"] = 0
    read, left = card._read, [5]

    def become_ready(register):
        left[0] -= 1
        card.state["tables_ready"] = int(left[0] <= 0)
        return read(register)

    card._read = become_ready
    driver.apply(config)
    assert left[0] <= 0


def test_a_configuration_too_large_for_the_card_is_not_begun(make_card, make_port, config):
    card = make_card(symbols=1)
    driver = Driver(make_port(card))
    before = len(card.requests)
    with pytest.raises(ConfigError, match="the card tracks 1"):
        driver.apply(config)
    assert len(card.requests) == before


def test_a_bad_line_does_not_spoil_a_configuration(make_card, make_port, config, request):
    chance = random.Random(request.config.getoption("seed"))
    card = make_card()
    driver = Driver(make_port(card), attempts=20)
    card.commit_reads = 2

    def bad(reply):
        changed = reply[:2] + bytes([reply[2] ^ 1 << chance.randrange(8)]) + reply[3:]
        return chance.choice([reply, reply, b"", changed, reply + reply, reply[:-1]])

    for _ in range(5):
        card.faults.extend([bad] * 20_000)
        driver.apply(config)
        card.faults.clear()
        assert driver.verify(config)
    assert min(driver.link.retries, driver.link.damaged_replies, driver.link.late_replies) > 50


# The day and the state


def test_a_day_begins_with_the_configured_numbers(card, driver, config):
    driver.apply(config)
    driver.begin_day(time_ns=(3 << 32) + 4)
    status = driver.status()
    assert status.next_user_ref_num == 100
    assert status.tcp_sequence == 4_000_000_000
    assert status.expected_sequence == (1 << 32) + 5
    assert status.time_ns == (3 << 32) + 4
    assert written(card, "start_of_day") == 1


def test_the_time_is_left_alone_unless_it_is_given(card, driver, config):
    driver.apply(config)
    driver.begin_day()
    assert written(card, "time_set") == 0


def test_a_book_is_declared_whole_by_name_or_index(card, driver, config):
    driver.apply(config)
    driver.set_whole("MSFT")
    driver.set_whole(0)
    assert card.whole == {0: 1, 1: 1}
    driver.set_whole("MSFT", False)
    assert card.whole == {0: 1, 1: 0}


def test_an_unknown_symbol_gets_a_hint(driver, config):
    with pytest.raises(UserError, match="none: apply a configuration first"):
        driver.symbol_index("AAPL")
    driver.apply(config)
    with pytest.raises(UserError, match=re.escape("no symbol 'appl'; did you mean AAPL?")):
        driver.symbol_index("appl")
    with pytest.raises(UserError, match="its symbols are AAPL, MSFT"):
        driver.symbol_index("")


def test_arming_disarming_and_killing_show_in_the_state(driver, config):
    driver.apply(config)
    driver.arm(config)
    assert driver.status().armed
    driver.disarm()
    assert not driver.status().armed
    driver.arm()
    driver.kill()
    status = driver.status()
    assert (status.armed, status.killed, status.kill_causes) == (False, True, ("host",))
    with pytest.raises(CardRefused, match=r"it is killed by host \(clear the kill\)"):
        driver.arm()
    driver.clear_kill()
    with pytest.raises(CardRefused, match="has not acknowledged it: killed"):
        driver.arm()
    assert driver.status().alerts == ("killed",)
    assert driver.acknowledge() == ("killed",)
    assert driver.acknowledge() == ()
    driver.arm()


def test_an_alert_that_comes_again_is_not_acknowledged(card, driver):
    card.set_fields("alerts", killed=1)
    card._command = lambda register, word: None
    with pytest.raises(CardRefused, match="alerts again: killed"):
        driver.acknowledge()


@pytest.mark.parametrize(
    "name", ["map_hash", "build_hash", "committed_checksum", "account_checksum"]
)
def test_a_card_that_is_not_what_the_host_takes_it_for_does_not_arm(card, driver, config, name):
    driver.apply(config)
    card.set(name, card.get(name) ^ 1)
    # What is compared before is right.
    driver.verify = lambda config: None
    with pytest.raises(CardRefused, match=f"not what the host takes it for: {name} differ"):
        driver.arm(config)
    assert not card.state["armed"]


def test_the_host_shows_that_it_is_alive_by_the_answer_to_the_challenge(card, driver):
    card.set("heartbeat_challenge", 0x1234_5678)
    driver.beat()
    assert card.answers == [0xEDCB_A987]


def test_a_strategy_is_enabled_anew(card, driver):
    card.set("strategy_executions", 7)
    driver.renew_strategy()
    assert card.get("strategy_executions") == 0
    card.set("strategy_executions", 7)
    card._command = lambda register, word: None
    with pytest.raises(CardRefused, match="still counts its executions"):
        driver.renew_strategy()


def test_a_card_without_configuration_says_why_it_does_not_arm(driver):
    with pytest.raises(CardRefused, match="no configuration is in force") as caught:
        driver.arm()
    assert caught.value.status == Status.NOT_NOW


def test_arming_with_another_configuration_than_the_cards_is_refused(driver, config, text):
    driver.apply(config)
    with pytest.raises(NotInForce, match="AAPL: the page in force holds 0x12c"):
        driver.arm(Config.from_text(text.replace("= 300\n", "= 301\n")))
    assert not driver.status().armed


@pytest.mark.parametrize(
    ("command", "effect", "complaint"),
    [
        ("arm", {}, "did not arm"),
        ("disarm", {"armed": 1}, "took disarm and is still armed"),
        ("kill", {"armed": 1}, "took kill and is still armed"),
        ("kill", {"armed": 0}, "took the kill and is not killed"),
        ("clear_kill", {"killed": 1}, "still killed"),
    ],
)
def test_a_command_that_has_no_effect_is_an_error(card, driver, config, command, effect, complaint):
    driver.apply(config)
    card._command = lambda register, word: None
    card.state |= effect
    if command == "clear_kill":
        card.state["armed"] = 0
    with pytest.raises(CardRefused, match=complaint):
        getattr(driver, command)()


def test_counters_are_a_dictionary_of_all(card, driver):
    card.set("feed_gaps", 3)
    card.set("serial_overruns", 4)
    counters = driver.counters()
    assert counters["feed_gaps"] == 3
    assert counters["serial_overruns"] == 4
    assert counters.keys() == {r.name for r in spec.REGISTERS if r.kind is spec.Kind.COUNTER}


# Events


def test_events_come_once_each_in_order_and_leave_the_card(card, driver):
    for n in range(5):
        card.report(sequence=n, kind=EventKind.GAP, message_sequence=100 + n)
    assert [event.message_sequence for event in driver.events()] == [100, 101, 102, 103, 104]
    assert not card.queue
    card.report(sequence=5, kind=EventKind.GAP)
    assert [event.sequence for event in driver.events()] == [5]


def test_an_event_has_every_field_of_the_record(card, driver):
    values = {field.name: index + 1 for index, field in enumerate(FIELDS)}
    values |= {"side": 1, "reasons": 1 << 63 | 1 << 11 | 1, "kind": EventKind.REFUSED}
    card.report(**values)
    event = next(driver.events())
    assert {name: getattr(event, name) for name in values} == values
    assert event.gates == [0, 11, 63]
    assert {field.name for field in dataclasses.fields(Event)} == values.keys() | {"lost_before"}


def test_lost_and_damaged_replies_neither_lose_nor_repeat_an_event(card, driver, request):
    chance = random.Random(request.config.getoption("seed"))
    for n in range(200):
        card.report(sequence=n, kind=EventKind.GAP)
    card.faults.extend(
        [lambda reply: chance.choice([reply, reply, b"", reply + reply, reply[:-2]])] * 5000
    )
    driver.link.attempts = 50
    assert [event.sequence for event in driver.events()] == list(range(200))


def test_an_event_that_was_not_dealt_with_comes_again(card, driver, make_port):
    card.report(sequence=0, kind=EventKind.GAP)
    card.report(sequence=1, kind=EventKind.GAP)
    for event in driver.events():
        if event.sequence == 1:
            break
    again = Driver(make_port(card))
    assert [event.sequence for event in again.events()] == [1]


def test_a_hole_in_the_numbers_is_told(card, driver):
    for n in (7, 8, 12):
        card.report(sequence=n, kind=EventKind.GAP)
    assert [event.lost_before for event in driver.events()] == [0, 0, 3]


def test_a_card_that_was_reset_is_told_as_a_loss(card, driver):
    card.report(sequence=70, kind=EventKind.GAP)
    list(driver.events())
    card.queue.clear()
    card.report(sequence=3, kind=EventKind.GAP)
    event = driver.next_event()
    assert event is not None
    assert event.lost_before == 3


def test_a_driver_closes_its_port(port):
    with Driver(port):
        assert not port.closed
    assert port.closed


def test_a_driver_opens_a_pseudo_terminal_and_a_socket(served_pty, served_tcp):
    for url in (served_pty, served_tcp):
        with Driver.open(url, timeout=2) as driver:
            assert driver.identity.width == 8
