"""Windows that follow the market, on a card in plain Python."""

import pytest

from tickgate.host.driver import BookSide, BookView, Level
from tickgate.host.errors import CardRefused, UserError
from tickgate.host.recentre import Follower, is_leaving
from tickgate.spec import registers as spec

AAPL, MSFT = 0, 1
BASE = 3_000_000
SPAN = 1024 * 100


def base_of(card, symbol):
    return card.in_force[symbol * spec.PAGE_WORDS + 2]


def shows(card, *, bid=None, ask=None, exact=1, trusted=1):
    """The book that the card shows, whatever symbol is asked for."""
    sides = {
        f"{name}_{field}": int(price is not None)
        for name, price in (("bid", bid), ("ask", ask))
        for field in ("levels", "complete")
    }
    card.set_fields("book_view", ready=1, exact=exact, trusted=trusted, **sides)
    for name, price in (("bid", bid), ("ask", ask)):
        card.set(f"book_{name}_price_0", price or 0)


@pytest.fixture
def armed(card, driver, config):
    driver.apply(config)
    driver.arm()
    shows(card, bid=BASE + 5_000, ask=BASE + 5_200)
    return driver


def test_the_best_prices_come_into_the_middle_of_the_window(card, armed):
    card.set("recentre_bid", 2_900_000)
    card.set("recentre_ask", 2_900_300)
    done = armed.recentre("AAPL")
    assert (done.symbol, done.base, done.bid, done.ask) == (AAPL, 2_848_900, 2_900_000, 2_900_300)
    assert done.trusted and base_of(card, AAPL) == done.base
    assert base_of(card, MSFT) == 1_500_000
    # Of one side alone, too; and never below nothing.
    card.set("recentre_ask", 0)
    assert armed.recentre("AAPL").base == 2_848_800
    card.set("recentre_bid", 700)
    assert armed.recentre("AAPL").base == 0


def test_a_base_is_taken_as_it_is_or_refused_before_the_card_is_touched(card, armed):
    assert armed.recentre("AAPL", 2_000_000).base == base_of(card, AAPL) == 2_000_000
    card.requests.clear()
    for wrong in (2_000_050, -100, 2_000_000_000):
        with pytest.raises(UserError, match="must be a multiple of 100"):
            armed.recentre("AAPL", wrong)
    assert all(opcode == spec.Opcode.READ for opcode, *_ in card.requests)


def test_without_an_order_the_window_stays_and_a_second_call_finishes_what_was_begun(card, armed):
    assert armed.recentre("AAPL").base == BASE
    assert base_of(card, AAPL) == BASE
    card.set_fields("recover_state", phase=spec.RecoveryPhase.UNPLACED, symbol=AAPL)
    card.requests.clear()
    assert armed.recentre("AAPL", 100_000).base == 100_000
    begun = [a for o, _, a, _ in card.requests if o == spec.Opcode.WRITE]
    assert spec.BY_NAME["recentre"].address not in begun
    assert armed.recovery().phase == spec.RecoveryPhase.DONE


def test_a_card_that_is_at_work_elsewhere_or_gives_up_is_told(card, armed):
    card.unplaced = {"phase": 6, "symbol": 1}
    with pytest.raises(CardRefused, match=r"at work on symbol 1 .* finish that first"):
        armed.recentre("AAPL", BASE)
    card.unplaced = {"phase": 5, "cause": 9}
    with pytest.raises(CardRefused, match="not empty without its orders"):
        armed.recentre("AAPL", BASE)
    card.unplaced = {"phase": 6}
    with pytest.raises(CardRefused, match="finds no time"):
        armed.recentre("AAPL", BASE)
    assert base_of(card, AAPL) == BASE


def view(bid=None, ask=None, *, exact=True, trusted=True):
    def side(price):
        levels = [] if price is None else [Level(price, 1)]
        return BookSide(levels=levels, more=False, complete=True)

    return BookView(
        symbol=0, sequence=1, trusted=trusted, exact=exact, bids=side(bid), asks=side(ask)
    )


@pytest.mark.parametrize(
    ("book", "leaves"),
    [
        (view(), False),
        (view(exact=False), True),
        (view(exact=False, trusted=False), False),
        (view(BASE, exact=False, trusted=False), False),
        (view(BASE + SPAN // 2, BASE + SPAN // 2 + 100), False),
        (view(BASE + SPAN // 4, BASE + SPAN // 4), False),
        (view(BASE + SPAN // 4 - 100), True),
        (view(ask=BASE + 3 * SPAN // 4 - 100), False),
        (view(ask=BASE + 3 * SPAN // 4), True),
        (view(BASE + SPAN // 2, exact=False), True),
    ],
)
def test_when_the_market_leaves_a_window(book, leaves):
    assert is_leaving(book, base=BASE, span=SPAN) == leaves


def test_a_follower_moves_a_window_when_it_must_and_not_too_often(card, armed):
    follower = Follower(armed, pause_s=1000)
    assert follower.symbols == {"AAPL": AAPL, "MSFT": MSFT}
    card.set("recentre_bid", BASE + 2 * SPAN)
    shows(card, bid=BASE + SPAN // 2)
    assert follower.look("AAPL") is None
    shows(card, bid=BASE + SPAN - 100, exact=0)
    done = follower.look("AAPL")
    assert done is not None and done.base == base_of(card, AAPL) == BASE + 2 * SPAN - SPAN // 2
    assert follower.look("AAPL") is None
    assert follower.look("MSFT") is not None
    # Where it is now counts, not where it was.
    follower = Follower(armed, ["AAPL"], pause_s=0)
    shows(card, bid=BASE + 2 * SPAN)
    assert follower.look("AAPL") is None
    with pytest.raises(UserError, match="did you mean AAPL"):
        Follower(armed, ["AAPX"])
