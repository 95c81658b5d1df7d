# amaranth: UnusedElaboratable=no
"""The taker against its model, and at each of its thresholds."""

import pytest
from amaranth.sim import Simulator

from tickgate.hdl.strategy.taker import Taker
from tickgate.sim.model import book as model_book
from tickgate.sim.model import strategy as model

SYMBOLS = 3
WORD = 0xFFFF_FFFF

TOP = {
    "symbol": 1,
    "bid_present": 1,
    "bid_price": 100_0000,
    "bid_shares": 300,
    "ask_present": 1,
    "ask_price": 100_0100,
    "ask_shares": 100,
    "exact": 1,
    "sequence": 7,
    "stamp": 9,
}
PARAMETERS = {
    "enable": 1,
    "threshold": 0xC000,
    "max_spread": 100,
    "quantity": 50,
    "min_interval": 1000,
}


def simulate(cycles, *, symbols=SYMBOLS) -> list[dict | None]:
    """Runs one (top or None, parameters, time) a cycle; returns for each what was intended.

    Previews and intents must come exactly when the taker says, and agree.
    """
    dut = Taker(symbols=symbols)
    previews, intents = [], []

    async def market(ctx):
        assert not ctx.get(dut.ready)
        await ctx.tick().until(dut.ready)
        for top, parameters, time in [*cycles, *[(None, PARAMETERS, 0)] * dut.LATENCY]:
            ctx.set(dut.tops.valid, top is not None)
            if top is not None:
                ctx.set(dut.tops.payload, top)
                assert ctx.get(dut.parameters_symbol) == top["symbol"]
            ctx.set(dut.parameters, parameters)
            ctx.set(dut.time, time)
            for port, seen in ((dut.preview, previews), (dut.intents, intents)):
                seen.append(read(ctx.get(port.payload)) if ctx.get(port.valid) else None)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(8e-9)
    simulator.add_testbench(market)
    simulator.run()
    previews = previews[dut.LATENCY_PREVIEW :][: len(cycles)]
    intents = intents[dut.LATENCY :][: len(cycles)]
    for (top, _, _), preview, intent in zip(cycles, previews, intents, strict=True):
        assert (preview is None) == (top is None)
        assert intent in (None, preview)
    return intents


def read(proposal) -> dict:
    names = ("symbol", "price", "quantity", "sequence", "stamp")
    return {"side": proposal.side.value, **{name: getattr(proposal, name) for name in names}}


def decide(cycles) -> list[dict | None]:
    """The same by the model."""
    taker = model.Taker({})
    expected = []
    for top, parameters, time in cycles:
        if top is None:
            expected.append(None)
            continue
        values = {**parameters, "enable": bool(parameters["enable"])}
        taker.parameters[top["symbol"]] = model.StrategyParameters(**values)
        fields = {name: top[name] for name in model_book.Top._fields}
        proposal = taker.decide(model_book.Top(**fields), time)
        expected.append(proposal and {**proposal._asdict(), "stamp": top["stamp"]})
    return expected


def a_top(generator) -> dict:
    bid = generator.choice([generator.randrange(1, 2000), WORD - 50, 100_0000])
    shares = [
        generator.choice([0, 1, 100, 300, 301, WORD, generator.getrandbits(32)]) for _ in "ba"
    ]
    return {
        "symbol": generator.choice([0, 0, 0, 1, 2]),
        "bid_present": generator.random() < 0.95,
        "bid_price": bid,
        "bid_shares": shares[0],
        "ask_present": generator.random() < 0.95,
        "ask_price": min(WORD, max(0, bid + generator.randrange(-1, 6))),
        "ask_shares": shares[1],
        "exact": generator.random() < 0.95,
        "sequence": generator.getrandbits(32),
        "stamp": generator.getrandbits(16),
    }


def some_parameters(generator) -> dict:
    return {
        "enable": generator.random() < 0.95,
        "threshold": generator.choice([0, 1, 0x8000, 0x8001, 0xC000, 0xC001, 0xFFFF]),
        "max_spread": generator.choice([0, 3, 4, 5, WORD]),
        "quantity": generator.getrandbits(32),
        "min_interval": generator.choice([0, 8, 16, 17, 40, WORD]),
    }


@pytest.mark.parametrize("pace", [1.0, 0.5])
def test_it_intends_what_the_model_intends(pace, generator):
    parameters = [some_parameters(generator) for _ in range(SYMBOLS)]
    time, cycles = 2**64 - 4000, []
    for _ in range(3000):
        time = (time + generator.choice([0, 7, 8, 8, 8, 9, 100])) % 2**64
        if generator.random() < 0.02:
            parameters[generator.randrange(SYMBOLS)] = some_parameters(generator)
        if generator.random() < 0.001:
            time -= time % 2**20
        top = a_top(generator) if generator.random() < pace else None
        cycles.append((top, parameters[top["symbol"]] if top else PARAMETERS, time))
    intents = simulate(cycles)
    assert intents == decide(cycles)
    fired = sum(intent is not None for intent in intents)
    assert 100 < fired < 0.8 * len(cycles), fired


def intended(top=None, parameters=None) -> bool:
    (intent,) = simulate([({**TOP, **(top or {})}, {**PARAMETERS, **(parameters or {})}, 5)])
    return intent is not None


def test_the_heavier_bid_buys_at_the_ask_and_the_heavier_ask_sells_at_the_bid():
    (buy,) = simulate([(TOP, PARAMETERS, 0)])
    assert buy == {
        "symbol": 1, "side": 0, "price": 100_0100, "quantity": 50, "sequence": 7, "stamp": 9
    }  # fmt: skip
    (sell,) = simulate([({**TOP, "bid_shares": 100, "ask_shares": 300}, PARAMETERS, 0)])
    assert sell == {**buy, "side": 1, "price": 100_0000}


@pytest.mark.parametrize(("threshold", "fires"), [(0, 0), (0xBFFF, 1), (0xC000, 1), (0xC001, 0)])
def test_three_quarters_of_the_shares_reach_a_threshold_of_three_quarters(threshold, fires):
    assert intended(parameters={"threshold": threshold}) == fires


@pytest.mark.parametrize(
    ("spread", "fires"), [(-1, 0), (0, 0), (1, 1), (99, 1), (100, 1), (101, 0)]
)
def test_the_spread_is_positive_and_at_most_the_widest(spread, fires):
    assert intended({"ask_price": TOP["bid_price"] + spread}) == fires


@pytest.mark.parametrize("missing", ["bid_present", "ask_present", "exact"])
def test_half_a_book_or_one_that_is_not_exact_gives_no_intent(missing):
    assert intended({missing: 1})
    assert not intended({missing: 0})


def test_a_disabled_strategy_gives_no_intent():
    assert not intended(parameters={"enable": 0})


@pytest.mark.parametrize(("elapsed", "fires"), [(999, False), (1000, True), (1001, True)])
@pytest.mark.parametrize("cycles_between", [0, 1, 2, 5])
def test_the_interval_is_kept_however_close_the_tops(cycles_between, elapsed, fires):
    idle = [(None, PARAMETERS, 20_000)] * cycles_between
    later = (TOP, PARAMETERS, 10_000 + elapsed)
    intents = simulate([(TOP, PARAMETERS, 10_000), *idle, later])
    assert intents[0]
    assert bool(intents[-1]) == fires


def test_only_what_fired_starts_the_interval_and_only_for_its_symbol():
    thin, other = {**TOP, "bid_shares": 100}, {**TOP, "symbol": 2}
    cycles = [(thin, PARAMETERS, 0), (TOP, PARAMETERS, 8), (other, PARAMETERS, 16)]
    assert [bool(intent) for intent in simulate(cycles)] == [False, True, True]


def test_tops_in_every_cycle_fire_once_an_interval():
    cycles = [(TOP, PARAMETERS, 8 * n) for n in range(400)]
    fired = [n for n, intent in enumerate(simulate(cycles, symbols=2)) if intent]
    assert fired == [0, 125, 250, 375]


def test_no_symbols_are_refused():
    with pytest.raises(ValueError, match="symbols must be at least 1"):
        Taker(symbols=0)
