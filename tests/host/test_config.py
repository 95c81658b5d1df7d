"""Configuration files, and what is said of those that are not good."""

import zlib
from decimal import Decimal

import pytest

from tickgate.host.config import (
    Config,
    LimitsConfig,
    LiveConfig,
    StrategyConfig,
    change,
    units,
    usd,
)
from tickgate.host.errors import ConfigError
from tickgate.spec import registers as spec


def test_every_configuration_register_but_the_time_has_its_value(config):
    expected = {
        "feed_address": 0xE936_0C6F,
        "feed_port": 26477,
        "feed_enable": 1,
        "feed_address_b": 0,
        "feed_port_b": 0,
        "feed_enable_b": 0,
        "gap_wait_us": 500,
        "line_timeout_us": 3_000_000,
        "await_fcs": 0,
        "start_sequence_low": 5,
        "start_sequence_high": 1,
        "services": 0,
        "rerequest_address": 0,
        "rerequest_ports": 0,
        "rerequest_mac_low": 0,
        "rerequest_mac_high": 0,
        "rerequest_wait_us": 0,
        "rerequest_interval_us": 0,
        "rerequest_limits": 0,
        "account_max_gross_low": 10**13 & 0xFFFF_FFFF,
        "account_max_gross_high": 10**13 >> 32,
        "account_max_net_low": 10**13 & 0xFFFF_FFFF,
        "account_max_net_high": 10**13 >> 32,
        "account_max_open_orders": 65_535,
        "account_max_day_orders": 10**6,
        "account_max_day_shares": 10**9,
        "account_max_day_notional_low": 10**14 & 0xFFFF_FFFF,
        "account_max_day_notional_high": 10**14 >> 32,
        "account_max_loss_low": 10**14 & 0xFFFF_FFFF,
        "account_max_loss_high": 10**14 >> 32,
        "account_session_interval_ns": 1,
        "account_session_burst_ns": 1_000_000,
        "account_session_reserve_ns": 0,
        "account_max_executions": 1_000_000,
        "account_unaudited": 0,
        "host_heartbeat": 1 << 31,
        "account_move_window": 30,
        "account_fill_window": 20,
        "session_live": 0,
        "session_cancel_on_disarm": 0,
        "session_keep_orders": 0,
        "session_tick_us": 0,
        **{f"session_times_{n}": 0 for n in range(5)},
        "session_limits": 0,
        "session_unanswered": 0,
        "session_rejects": 0,
        "destination_mac_low": 0x5E10_00FE,
        "destination_mac_high": 0x0200,
        "next_hop": 0,
        "source_mac_low": 1,
        "source_mac_high": 0x0200,
        "source_ip": 0xC000_020A,
        "destination_ip": 0xC633_6414,
        "tcp_ports": 15001 << 16 | 40001,
        "tcp_sequence_start": 4_000_000_000,
        "tcp_acknowledgement": 1,
        "tcp_window": 0xFFFF,
        "user_ref_num_start": 100,
        "order_attributes": int.from_bytes(b"3YPN", "little"),
        "order_cross_type": ord("N"),
        "clordid_0": int.from_bytes(b"DESK", "big"),
        "clordid_1": int.from_bytes(b"-7  ", "big"),
        "clordid_2": int.from_bytes(b"    ", "big"),
        "clordid_3": int.from_bytes(b"  ", "big"),
    }
    assert config.registers() == expected
    names = {r.name for r in spec.REGISTERS if r.kind is spec.Kind.CONFIG}
    others = {"time_low", "time_high", "page_bank", "session_isn"}
    others |= {"report_sequence_start_low", "report_sequence_start_high"}
    others |= {"session_number_end", "position_start"}
    others |= {name for name in names if name.startswith("arm_")}
    others |= {"position_cost_low", "position_cost_high"}
    assert names == expected.keys() | others


def test_a_live_session_has_its_times_in_ticks(text):
    registers = Config.from_text(f"{text}\n[live]\nrto_min_ms = 300\n", source="x").registers()
    assert registers["session_live"] == 1 and registers["session_tick_us"] == 1000
    assert registers["session_cancel_on_disarm"] == registers["session_keep_orders"] == 0
    assert registers["session_times_0"] == 300 << 16 | 1000
    assert registers["session_times_4"] == 15_000 << 16 | 1_000
    assert registers["session_limits"] == 1_000 << 16 | 5 << 8 | 6
    # A login says it.
    assert "user_ref_num_start" not in registers


MAC_LINE = 'destination_mac = "02:00:5E:10:00:FE"\n'


@pytest.mark.parametrize(
    ("lines", "venue", "hop"),
    [
        ("prefix_bits = 24", "192.0.2.255", 0xC000_02FF),
        ('prefix_bits = 24\ngateway = "192.0.2.1"', "192.0.3.0", 0xC000_0201),
        ('prefix_bits = 1\ngateway = "192.0.2.1"', "198.51.100.20", 0xC633_6414),
    ],
)
def test_a_card_without_the_address_of_the_next_hop_asks_the_venue_or_the_gateway(
    text, lines, venue, hop
):
    text = text.replace(MAC_LINE, f"{lines}\n").replace("198.51.100.20", venue)
    registers = Config.from_text(f"{text}\n[live]\n", source="x").registers()
    assert registers["next_hop"] == hop
    assert registers["destination_mac_low"] == registers["destination_mac_high"] == 0


@pytest.mark.parametrize(
    ("lines", "live", "reason"),
    [
        ("", "[live]", "give destination_mac, or prefix_bits"),
        ("prefix_bits = 1", "", "without .live. the card asks nobody"),
        ("prefix_bits = 24", "[live]", "198.51.100.20 is not on the network of 192.0.2.10"),
        ('prefix_bits = 24\ngateway = "192.0.3.1"', "[live]", "gateway 192.0.3.1 is not on the"),
        ("prefix_bits = 31", "[live]", "less than or equal to 30"),
        (f"{MAC_LINE}prefix_bits = 24", "[live]", "no use for prefix_bits"),
    ],
)
def test_a_next_hop_that_cannot_be_found_is_refused(text, lines, live, reason):
    text = text.replace(MAC_LINE, f"{lines}\n")
    with pytest.raises(ConfigError, match=reason):
        Config.from_text(f"{text}\n{live}\n", source="x")


def test_a_second_line_is_enabled_by_its_address_and_port(text):
    lines = 'port = 26477\naddress_b = "233.49.196.111"\nport_b = 26478\ngap_wait_us = 7'
    registers = Config.from_text(text.replace("port = 26477", lines, 1), source="x").registers()
    assert registers["feed_address_b"] == 0xE931_C46F and registers["feed_port_b"] == 26478
    assert registers["feed_enable_b"] == 1 and registers["gap_wait_us"] == 7


def test_what_the_card_does_for_its_network_is_asked_for_one_by_one(text):
    text = text + "\n[network]\narp = true\nigmp = true\n"
    assert Config.from_text(text, source="x").registers()["services"] == 0b101


def test_a_server_that_retransmits_is_asked_as_the_file_says(text):
    server = 'address = "198.51.100.30"\nmac = "02:00:5e:10:00:fd"\nport = 18001\n'
    server += "source_port = 40002\nwait_us = 5000\ntries = 3\n"
    registers = Config.from_text(f"{text}\n[rerequest]\n{server}", source="x").registers()
    assert registers["rerequest_address"] == 0xC633_641E
    assert registers["rerequest_ports"] == 18001 << 16 | 40002
    assert registers["rerequest_mac_low"] == 0x5E10_00FD
    assert registers["rerequest_mac_high"] == 0x0200
    assert (registers["rerequest_wait_us"], registers["rerequest_interval_us"]) == (5000, 1000)
    assert registers["rerequest_limits"] == 25 << 16 | 3


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("address", '"233.54.12.111"', "must be the address of one station"),
        ("wait_us", "0", "greater than or equal to 1"),
        ("messages", "65535", "less than 65535"),
    ],
)
def test_a_server_that_cannot_be_asked_is_refused(text, key, value, reason):
    values = {"address": '"198.51.100.30"', "mac": '"02:00:5e:10:00:fd"', "port": "18001"}
    lines = {**values, "source_port": "40002", key: value}.items()
    server = "".join(f"{name} = {item}\n" for name, item in lines)
    with pytest.raises(ConfigError, match=f"rerequest.{key}: .*{reason}"):
        Config.from_text(f"{text}\n[rerequest]\n{server}", source="x")


def test_a_symbol_becomes_the_words_of_its_page(config):
    assert config.symbols[0].words() == [
        int.from_bytes(b"AAPL", "big"),
        int.from_bytes(b"    ", "big"),
        3_000_000,
        0b011,
        0xC000,
        500,
        100,
        1_000_000,
        5000,
        4000,
        300,
        6_000_000_001 & 0xFFFF_FFFF,
        6_000_000_001 >> 32,
        50,
        25_000,
        500_000,
        5_000,
        100 | 1 << 8 | 0b11 << 16 | 0b0010 << 20 | 0b11 << 24,
        4_000,
        60_000_000,
        60_000_000,
        *[0] * 4,
        1,
        1_000_000,
        65_535,
        1,
        4 | 60_000 << 16,
        4_000_000_000,
        1_000_000_000,
    ]


def test_a_symbol_without_strategy_and_limits_is_watched_only(config):
    words = config.symbols[1].words()
    assert words[2:] == [1_500_000, 0b001, *[0] * 28]


def test_pages_beyond_the_file_are_empty_and_count_in_the_checksum(config):
    pages = config.pages(3)
    assert pages[2] == [0] * 32
    octets = b"".join(word.to_bytes(4, "little") for page in pages for word in page)
    assert config.checksum(3) == zlib.crc32(octets)


def test_what_is_in_force_reads_as_what_was_configured(config):
    symbol = config.symbols[0]
    held = spec.page_values(symbol.words())
    assert StrategyConfig.from_parameters(held) == symbol.strategy
    assert LimitsConfig.from_parameters(held) == symbol.limits


def test_prices_are_exact(text):
    config = Config.from_text(text.replace("max_spread_usd = 0.05", "max_spread_usd = 0.0007"))
    assert config.symbols[0].strategy.max_spread_usd == Decimal("0.0007")
    assert units(Decimal("429496.7295")) == 0xFFFF_FFFF
    assert usd(0xFFFF_FFFF) == Decimal("429496.7295")


def test_a_threshold_between_two_steps_is_rounded_up(text):
    config = Config.from_text(text.replace("= 0.75", "= 0.70001"))
    assert config.symbols[0].strategy.parameters()["threshold"] == 45876
    assert Decimal(45875) / 65536 < Decimal("0.70001") < Decimal(45876) / 65536


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("port = 26477", "prot = 26477", "feed.prot: unknown key; did you mean port?"),
        (
            "port = 26477",
            "zzz = 26477",
            "feed.zzz: unknown key; the keys here are address, port, address_b, port_b",
        ),
        ("port = 26477", "port = 26477\nport_b = 1", "feed: address_b and port_b come together"),
        ("port = 26477", "port = 26477\ngap_wait_us = 65536", "feed.gap_wait_us: should be less"),
        ("port = 26477", "", "feed.port: is missing; add it"),
        ("port = 26477", "port = 0", "feed.port: should be greater than or equal to 1, not 0"),
        ("port = 26477", "port = true", "feed.port: should be a valid integer, not True"),
        ("port = 26477", 'port = "26477"', "feed.port: should be a valid integer, not '26477'"),
        ('"233.54.12.111"', "5", "feed.address: give it in quotes"),
        ('"233.54.12.111"', '"233.54.12"', "feed.address: "),
        ('"192.0.2.10"', '"224.0.0.1"', "session.source_ip: must be the address of one station"),
        ("02:00:00:00:00:01", "02:00:00:00:01", "session.source_mac: must be six octets"),
        ("02:00:00:00:00:01", "01:00:5e:00:00:01", "must be the address of one station"),
        ("DESK-7", "DESK 7", "session.clordid: must be printable ASCII without spaces"),
        ("DESK-7", "DESK-7-AND-MORE", "session.clordid: "),
        (
            "collar_bps = 50",
            "colar_bps = 50",
            "symbols[AAPL].limits.colar_bps: unknown key; did you mean collar_bps?",
        ),
        (
            "collar_bps = 50",
            "",
            "symbols[AAPL]: strategy.enabled needs every limit above 0, or the card refuses each",
        ),
        (
            "max_spread_usd = 0.05",
            "max_spread_usd = 0.00005",
            "symbols[AAPL].strategy.max_spread_usd: 0.00005 USD is not a multiple of 0.0001 USD",
        ),
        (
            "max_spread_usd = 0.05",
            "max_spread_usd = 429496.7296",
            "must be 0 to 429496.7295 USD, not 429496.7296",
        ),
        ("max_spread_usd = 0.05", "max_spread_usd = -0.01", "must be 0 to 429496.7295 USD"),
        ("max_spread_usd = 0.05", "max_spread_usd = nan", "max_spread_usd: "),
        ("max_spread_usd = 0.05", "max_spread_usd = true", "give a decimal number such as 0.05"),
        ("= 0.75", "= 1", "threshold_fraction: must be at least 0 and below 0.99999, not 1"),
        ("quantity_shares = 100", "quantity_shares = 1000000", "less than or equal to 999999"),
        ("= 300.00", "= 300.005", "window_base_usd must be a multiple of tick_usd (0.01)"),
        ("tick_usd = 0.01", "tick_usd = 0.05", "tick_usd must be 0.01 or 0.0001, not 0.05"),
        ('"MSFT"', '"AAPL"', "two symbols have the name 'AAPL'"),
        ("stock_locate = 21", "stock_locate = 13", "two symbols have the stock_locate 13"),
        ('"MSFT"', '"msft"', "symbols[msft].name: must be in upper case: 'MSFT'"),
        ('"MSFT"', '"ABCDEFGHI"', "symbols[ABCDEFGHI].name: "),
        ("[feed]", "[feed", "is not TOML: "),
    ],
)
def test_a_mistake_is_named_with_its_file_and_key(text, before, after, complaint):
    assert before in text
    with pytest.raises(ConfigError) as caught:
        Config.from_text(text.replace(before, after, 1), source="desk.toml")
    assert str(caught.value).startswith("desk.toml: ")
    assert complaint in str(caught.value)


def test_a_strategy_needs_a_word_on_the_heartbeat_of_its_host(text):
    silent = text.replace("heartbeat_off = true\n", "")
    with pytest.raises(ConfigError, match=r"needs host\.heartbeat_timeout_ms above 0, or host"):
        Config.from_text(silent, source="desk.toml")
    Config.from_text(silent.replace("enabled = true", "enabled = false"), source="desk.toml")
    alive = silent.replace("[host]\n", "[host]\nheartbeat_timeout_ms = 2000\n")
    assert Config.from_text(alive, source="desk.toml").registers()["host_heartbeat"] == 2000
    both = text.replace("[host]\n", "[host]\nheartbeat_timeout_ms = 2000\n")
    with pytest.raises(ConfigError, match="exclude each other"):
        Config.from_text(both, source="desk.toml")


def test_orders_are_refused_before_the_card_is_killed_for_want_of_an_answer(text):
    def live(timeout: int, kill: int) -> str:
        times = f"order_timeout_ms = {timeout}\norder_kill_timeout_ms = {kill}\n"
        return f"{text}\n[live]\n{times}max_unanswered = 9\nmax_rejects = 3\n"

    for kill in (0, 300, 301):
        registers = Config.from_text(live(300, kill), source="x").registers()
        assert registers["session_unanswered"] == kill << 16 | 9
        assert registers["session_rejects"] == 3 << 16 | 1000
    with pytest.raises(ConfigError, match=r"must be 0 \(never\) or at least order_timeout_ms"):
        Config.from_text(live(300, 299), source="x")


def test_a_strategy_needs_the_limits_of_the_account(text):
    with pytest.raises(ConfigError, match=r"set account\.max_day_orders$"):
        Config.from_text(text.replace("max_day_orders = 1000000\n", ""), source="desk.toml")
    Config.from_text(text.replace("enabled = true", "enabled = false"), source="desk.toml")


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("band_exempt = true", "", "set limits.band_exempt"),
        ("allow_buy = true\nallow_sell = true", "", "set limits.allow_buy"),
        ("order_tick_usd = 0.01", "order_tick_usd = 0.02", "must be 0.0001, 0.005 or 0.01 USD"),
        ("lot_size_shares = 1\n", "lot_size_shares = 2\n", "must be 1, 10, 40 or 100 shares"),
        ("max_duplicates = 4", "max_duplicates = 5", "less than or equal to 4, not 5"),
    ],
)
def test_a_limit_that_would_refuse_all_or_that_the_card_has_not_is_named(
    text, before, after, complaint
):
    assert before in text
    with pytest.raises(ConfigError) as caught:
        Config.from_text(text.replace(before, after, 1), source="desk.toml")
    assert complaint in str(caught.value)


def test_all_mistakes_are_named_at_once(text):
    bad = text.replace("port = 26477", "prot = 26477").replace("collar_bps", "colar_bps")
    with pytest.raises(ConfigError) as caught:
        Config.from_text(bad, source="desk.toml")
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "feed.port",
        "feed.prot",
        "symbols[AAPL].limits.colar_bps",
    ]


def test_a_float_from_python_is_refused(text):
    with pytest.raises(ConfigError, match=r"x: max_spread_usd: give a decimal number"):
        change(StrategyConfig.model_construct(max_spread_usd=0.05), [], source="x")


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        Config.from_file(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"bad\.toml: cannot be read: it is not UTF-8"):
        Config.from_file(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("card", "complaint"),
    [
        ({"symbols": 1}, "has 2 symbols and the card tracks 1; remove MSFT and those after it"),
        ({"locates": 21}, "symbol MSFT: stock_locate 21 is beyond the card's table, which ends"),
        ({"ticks": 1 << 25}, "symbol AAPL: a window of 33554432 ticks from window_base_usd ends"),
    ],
)
def test_a_card_that_is_too_small_is_noticed(config, card, complaint):
    good = {"symbols": 2, "ticks": 4096, "locates": 22, "sessions": 1}
    config.require_fit(**good)
    with pytest.raises(ConfigError, match=complaint):
        config.require_fit(**good | card)


def test_a_card_without_an_order_session_is_noticed_where_one_is_wanted(config):
    card = {"symbols": 2, "ticks": 4096, "locates": 22, "sessions": 0}
    config.require_fit(**card)
    with pytest.raises(ConfigError, match="this card was built without an order session; remove"):
        config.model_copy(update={"live": LiveConfig()}).require_fit(**card)


def test_assignments_change_what_they_name_only(config):
    before = config.symbols[0].limits
    after = change(before, ["collar_bps=75", "max_order_notional_usd = 1.5"], source="AAPL")
    assert after == before.model_copy(
        update={"collar_bps": 75, "max_order_notional_usd": Decimal("1.5")}
    )


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ("collar_bps", "AAPL: 'collar_bps' is not NAME=VALUE"),
        ("collar_bps=fifty", "AAPL: collar_bps: 'fifty' is no value; give a number such as 0.05"),
        ("colar_bps=50", "AAPL: colar_bps: unknown key; did you mean collar_bps?"),
        ("collar_bps=-1", "AAPL: collar_bps: should be greater than or equal to 0, not -1"),
        ("extended_hours=1", "AAPL: extended_hours: should be a valid boolean, not 1"),
        ("collar_bps=1\nmax_long_shares=2", "collar_bps: '1\\nmax_long_shares=2' is no value"),
    ],
)
def test_a_wrong_assignment_is_named(config, assignment, complaint):
    with pytest.raises(ConfigError) as caught:
        change(config.symbols[0].limits, [assignment], source="AAPL")
    assert complaint in str(caught.value)
