"""When each gate passes, written from docs/risk.md in plain wide arithmetic.

A formula takes the harness in the cycle of a verdict. Products and sums of what is in force in the
cycle of the preview are taken there, as in the gate, so that the solver sees that they are the
same; then their outcome waits for the verdict. Sums are written in the order in which the gate
takes them: that `a + b <= c` where `c - a - b >= 0` needs no proof, for nothing overflows here, but
would take the solver long. For the same reason what such a sum begins with is read from the gate:
that it is what has come is proved of all that the gate knows (`risk-known-...`).
"""

from collections.abc import Callable

from amaranth.hdl import Cat, Mux, Value

from tickgate.hdl.risk.gate import COUNTING, STANDING, Gate
from tickgate.hdl.risk.interval import NUMBER_BITS
from tickgate.hdl.stream import Side
from tickgate.spec.gates import (
    LOT_SIZES,
    OBLIGATORY,
    OBLIGATORY_OF_ACCOUNT,
    ORDER_TICKS,
    REMEMBERED_ORDERS,
    TIMES_IN_FORCE,
)

__all__ = [
    "FORMULAS",
    "digits",
    "divides",
    "measured",
    "quotient",
    "times",
    "within_gross",
    "worst_long",
    "worst_short",
]

WORD = 1 << 32


def digits(one, other):
    """`outer` and `inner`: one x other is outer + inner in the middle; a law of docs/proofs.md."""
    half = len(one) // 2
    low, high, other_low, other_high = one[:half], one[half:], other[:half], other[half:]
    outer = Cat((low * other_low)[: 2 * half], high * other_high)
    return outer, low * other_high + high * other_low


def times(factor: int, value: Value) -> Value:
    """Factor x value, as the sum of shifts that the gate takes; a law of docs/proofs.md."""
    if factor == 1000:
        return (value << 10) - (value << 4) - (value << 3)
    return sum((value << bit for bit in (10, 9, 8, 4)), start=value << 13)


def quotient(odd: int, value: Value) -> tuple[Value, Value]:
    """Both halves of what times an odd number is a value of 32 bits, modulo 2**32.

    A law of docs/proofs.md.
    """
    inverse = pow(odd, -1, WORD)
    return (value[:16] * inverse)[:32], (value[16:] * (inverse & 0xFFFF))[:16]


def divides(odd: int, value: Value) -> Value:
    """Whether an odd number divides a value of 32 bits: its quotient times it does not wrap."""
    if odd == 1:
        return Value.cast(1)
    low, high = quotient(odd, value)
    return (low + (high << 16))[:32] <= (WORD - 1) // odd


def _room(h, limit, side: Side):
    """What an order of a side leaves of a limit of what this side may become."""
    buy = side is Side.BUY
    position, known = h.judged.position, h.orders_then
    reserved, released = (
        (known.buys, h.judged.released_buys) if buy else (known.sells, h.judged.released_sells)
    )
    before = (reserved - released)[:33]
    room = limit + (-position if buy else position) - before - h.judged.proposal.quantity
    amounts = h.approved_buys if buy else h.approved_sells
    return room - amounts[1] - amounts[0]


def worst_long(h):
    """Gate 5."""
    is_sell = h.judged.proposal.side == Side.SELL
    return is_sell | (_room(h, h.judged.limits.max_long, Side.BUY) >= 0)


def worst_short(h):
    """Gate 6."""
    is_buy = h.judged.proposal.side == Side.BUY
    return is_buy | (_room(h, h.judged.limits.max_short, Side.SELL) >= 0)


def _located(h):
    is_buy = h.judged.proposal.side == Side.BUY
    return is_buy | (_room(h, h.judged.limits.short_locates, Side.SELL) >= 0)


def _above_bid(h):
    is_buy = h.judged.proposal.side == Side.BUY
    feed = h.feed_then
    above = feed.bid_present & (h.judged.proposal.price > feed.bid)
    return ~h.restricted_then | is_buy | (_room(h, 0, Side.SELL) >= 0) | above


def _quantity(h):
    quantity = h.judged.proposal.quantity
    return (
        (quantity > 0) & (quantity <= h.judged.limits.max_order_quantity) & (quantity <= 1_000_000)
    )


def _fits(h, room):
    """Whether quantity x price of the preview of this cycle is within `room`."""
    outer, inner = digits(h.now.proposal.quantity, h.now.proposal.price)
    return room - outer - (inner << 16) >= 0


def _known(h):
    # Out of reset it is known that nothing is held.
    return ~h.ago(~h.values_known, 2)


def within_gross(h):
    """Gate 7, where no order is being accounted for."""
    held = h.knowledge.part("account_exposure")
    used = held.buys + held.sells + (h.long_value + h.short_value)
    fits = _fits(h, h.now.account.max_gross - h.ago(used, 2))
    return h.ago(_known(h) & fits, 2)


def measured(h):
    """Of gate 7, what kills."""
    sums = h.knowledge.part("account_exposure")
    used = sums.buys + sums.sells + (h.long_value + h.short_value)
    room = h.account.max_gross - h.ago(used, 2) + h.held
    return h.ago(_known(h) & (room < 0), 2)


def _net(h):
    held, net = h.knowledge.part("account_exposure"), h.long_value - h.short_value
    long, short = h.ago(held.buys + net, 2), h.ago(held.sells - net, 2)
    sells = h.now.proposal.side == Side.SELL
    fits = _fits(h, h.now.account.max_net - Mux(sells, short, long))
    return h.ago(_known(h) & fits, 2)


def _fresh(h, heard, heard_at, max_age_us):
    age = (h.now.time - heard_at)[:64]
    return heard & (age <= times(1000, max_age_us))


def _collar(h):
    noted, limits = h.noted, h.now.limits
    distance = h.now.proposal.price - noted.price
    price, middle = times(10_000, h.now.proposal.price), times(10_000, noted.price)
    band = noted.price[:16] * limits.collar_bps + ((noted.price[16:] * limits.collar_bps) << 16)
    return Cat(
        _fresh(h, noted.valid, noted.time, limits.reference_max_age_us),
        distance <= limits.collar_absolute,
        -distance <= limits.collar_absolute,
        middle + band - price >= 0,
        price + band - middle >= 0,
    ).all()


def _steady(h):
    moves, interval = h.moves_then, h.interval_then
    since = (interval - moves.interval)[:NUMBER_BITS]
    move = Mux(
        moves.ever & (since == 0),
        (moves.high_of_both - moves.low_of_both)[:32],
        Mux(moves.ever & (since == 1), (moves.high - moves.low)[:32], 0),
    )
    return move < h.judged.limits.max_move


def _heard_lately(h):
    def fresh(heard, heard_at, max_age_us):
        age = (h.judged.time - heard_at)[:64]
        return heard & (age <= times(1000, max_age_us))

    limits, feed = h.judged.limits, h.feed_then
    return fresh(h.market_heard_then, h.market_heard_at_then, limits.feed_max_age_us) & fresh(
        feed.heard, feed.heard_at, limits.symbol_max_age_us
    )


def _sane(h):
    feed = h.feed_then
    spread = feed.ask - feed.bid
    is_open = feed.bid_present & feed.ask_present & (spread > 0)
    return is_open & (spread <= h.judged.limits.max_book_spread)


def _band(h):
    price, limits = h.judged.proposal.price, h.judged.limits
    within = (limits.band_low <= price) & (price <= limits.band_high)
    return limits.band_exempt | (within & (h.judged.time < limits.band_until))


def _rate(h):
    limits, account, time = h.judged.limits, h.judged.account, h.judged.time
    allowed = account.session_burst_ns - account.session_reserve_ns
    return Cat(
        limits.order_interval_ns != 0,
        account.session_interval_ns != 0,
        h.orders_then.full_at - time <= limits.order_burst_ns,
        allowed >= 0,
        h.account_then.full_at - time <= allowed,
    ).all()


def _open_orders(h):
    return (h.orders_then.open_orders < h.judged.limits.max_open_orders) & (
        h.account_then.open_orders < h.judged.account.max_open_orders
    )


def _original(h):
    order, limits = h.judged.proposal, h.judged.limits
    same = sum(
        sent.ever
        & (sent.side == order.side)
        & (sent.price == order.price)
        & (sent.quantity == order.quantity)
        & (h.judged.time - sent.time <= limits.duplicate_window_ns)
        for sent in (h.orders_then.sent[n] for n in range(REMEMBERED_ORDERS))
    )
    return (limits.max_duplicates <= REMEMBERED_ORDERS) & (same < limits.max_duplicates)


def _apart(h):
    order, judged, known = h.judged.proposal, h.judged, h.orders_then
    no_sells = known.sells == judged.released_sells
    no_buys = known.buys == judged.released_buys
    return judged.limits.allow_self_trade | Mux(
        order.side == Side.BUY,
        no_sells | (order.price < known.lowest_sell),
        no_buys | (order.price > known.highest_buy),
    )


def _permitted(h):
    order, limits = h.judged.proposal, h.judged.limits
    side = Mux(order.side == Side.BUY, limits.allow_buy, limits.allow_sell)
    in_time = Cat(
        limits.allow_time_in_force[bit] & (h.judged.time_in_force == ord(code))
        for bit, code in enumerate(TIMES_IN_FORCE)
    )
    return side & in_time.any()


def _on_grid(h):
    def multiple(value, step, steps):
        twos = {each: each & -each for each in steps}
        return Cat(
            (step == each) & ((value & (twos[each] - 1)) == 0) & divides(each // twos[each], value)
            for each in steps
        ).any()

    order, limits = h.now.proposal, h.now.limits
    return multiple(order.price, limits.order_tick, ORDER_TICKS) & multiple(
        order.quantity, limits.lot_size, LOT_SIZES
    )


def _within_day(h):
    judged, account = h.judged, h.account_then
    notional = h.now.account.max_day_notional - h.knowledge.part("totals").notional
    return Cat(
        account.day_orders + 1 <= judged.account.max_day_orders,
        judged.account.max_day_shares - account.day_shares - judged.proposal.quantity >= 0,
        h.ago(_fits(h, notional), 2),
    ).all()


def _limits_present(h):
    judged = h.judged
    return Cat(
        *(judged.limits[name] != 0 for name in OBLIGATORY),
        *(judged.account[name] != 0 for name in OBLIGATORY_OF_ACCOUNT),
    ).all()


_ALONE: dict[Gate, tuple[str, Callable[..., Value]]] = {
    Gate.BUSY: (
        (
            "the port is free, and no order was approved in the cycle of the intent or in one of "
            "the four before"
        ),
        lambda h: ~h.busy_then & ~h.accounting_then,
    ),
    Gate.ARMED: (
        "armed and not killed in the cycle of the intent",
        lambda h: h.armed_then & ~h.killed_then,
    ),
    **{
        gate: (
            f"`standing.{gate.name.lower()}` is 1 in the cycle of the intent",
            lambda h, gate=gate: h.standing_then[gate.name.lower()],
        )
        for gate in STANDING
    },
    Gate.LIMITS_PRESENT: (
        "every limit of the symbol and of the account that must not be zero is not",
        _limits_present,
    ),
    Gate.WORST_CASE_LONG: (
        (
            "a sell, or position + open buys + quantity <= `max_long`; open are the shares of all "
            "approved orders less those that are told to be released"
        ),
        worst_long,
    ),
    Gate.WORST_CASE_SHORT: (
        "a buy, or open sells + quantity - position <= `max_short`; open as of gate 5",
        worst_short,
    ),
    Gate.GROSS_EXPOSURE: (
        (
            "what is long + what is short + notional of open buys and sells + quantity x price <= "
            "`account_max_gross`, in full width, and these values are known; values and releases "
            "are those of two cycles before the preview"
        ),
        within_gross,
    ),
    Gate.NET_EXPOSURE: (
        (
            "long - short + open buys + quantity x price <= `account_max_net` of a buy, short - "
            "long + open sells + quantity x price of a sell, in full width, and these values are "
            "known; values and releases are those of two cycles before the preview"
        ),
        _net,
    ),
    Gate.ORDER_QUANTITY: (
        "0 < quantity <= `max_order_quantity`, and quantity <= 1,000,000",
        _quantity,
    ),
    Gate.ORDER_NOTIONAL: (
        "quantity x price <= `max_order_notional`, in full width",
        lambda h: h.ago(_fits(h, h.now.limits.max_order_notional), 2),
    ),
    Gate.PRICE_COLLAR: (
        (
            "a trade of the symbol has been seen, its age <= `reference_max_age_us` x 1000, the "
            "distance of the price from it <= `collar_absolute`, and distance x 10,000 <= "
            "reference x `collar_bps`, in full width"
        ),
        lambda h: h.ago(_collar(h), 2),
    ),
    Gate.COLLAR_OVER_TIME: (
        (
            "highest - lowest price < `max_move`, of the trades, up to two cycles before the "
            "preview, of the interval of the cycle before it and of the interval before that, and "
            "the last one before those; of no trade, 0 < `max_move`; intervals modulo 2^16"
        ),
        _steady,
    ),
    Gate.FEED_TRUST: (
        "the book of the symbol is exact in the cycle of the intent",
        lambda h: h.exact_then,
    ),
    Gate.STALENESS: (
        (
            "a message of the feed and one of the symbol have been heard, their ages <= "
            "`feed_max_age_us` x 1000 and `symbol_max_age_us` x 1000"
        ),
        _heard_lately,
    ),
    Gate.BOOK_SANITY: (
        "the last top of the symbol has a bid and an ask, and 0 < ask - bid <= `max_book_spread`",
        _sane,
    ),
    Gate.TRADING_STATE: (
        (
            "the last trading action of the symbol is T, no operational halt, no breach, and the "
            "regular session is open or extended hours are granted"
        ),
        lambda h: h.trading_then,
    ),
    Gate.LIMIT_UP_DOWN_BAND: (
        "the symbol is exempt, or `band_low` <= price <= `band_high` and time < `band_until`",
        _band,
    ),
    Gate.MESSAGE_RATE: (
        (
            "neither interval is 0; the time at which the bucket of the symbol is full again is at"
            " most `order_burst_ns` ahead, that of the session at most burst - reserve, which is "
            "not below 0"
        ),
        _rate,
    ),
    Gate.OPEN_ORDERS: (
        "orders open of the symbol < `max_open_orders`, of all symbols < `account_max_open_orders`",
        _open_orders,
    ),
    Gate.DUPLICATE: (
        (
            "of the last 4 orders of the symbol fewer than `max_duplicates`, of at most 4, have "
            "its side, price and quantity and an age <= `duplicate_window_ns`, or are from the "
            "future"
        ),
        _original,
    ),
    Gate.SELF_TRADE: (
        (
            "own orders may meet; or, of a buy, no share of a sell is open or the price is below "
            "the lowest of the sells approved since there was none, of a sell, no share of a buy "
            "is open or the price is above the highest of the buys approved since; what is open as "
            "of gate 5"
        ),
        _apart,
    ),
    Gate.SHORT_LOCATE: (
        "a buy, or open sells + quantity - position <= `short_locates`",
        _located,
    ),
    Gate.SHORT_SALE_RESTRICTION: (
        (
            "no restriction is in force in the cycle of the intent, or a buy, or open sells + "
            "quantity <= position, or there is a bid and the price is above it"
        ),
        _above_bid,
    ),
    Gate.PERMISSION: (
        "side and time in force are among those that the symbol allows",
        _permitted,
    ),
    Gate.TICK_AND_LOT: (
        (
            "the price is a multiple of `order_tick`, of 1, 50 or 100, and the quantity one of "
            "`lot_size`, of 1, 10, 40 or 100"
        ),
        lambda h: h.ago(_on_grid(h), 2),
    ),
    Gate.FILL_BURST: (
        (
            "no fill up to four cycles before the preview was one too many, since the symbol was "
            "last cleared: fills and their shares, of its interval and the one before, itself "
            "included, were at most `max_fills` and `max_fill_shares`, in force a cycle after it; "
            "sums stay at their highest number, intervals are modulo 2^16"
        ),
        lambda h: ~h.filled_then.burst,
    ),
    Gate.DAILY_TOTALS: (
        (
            "orders + 1 <= `account_max_day_orders`, shares + quantity <= `account_max_day_shares`"
            " and notional + quantity x price <= `account_max_day_notional`, in full width"
        ),
        _within_day,
    ),
    Gate.MEMORY_INTEGRITY: (
        (
            "no flipped bit was seen up to the cycle of the intent since the host forgave the "
            "last; in the cycle of the preview no word that the gate keeps of the symbol is odd, "
            "with its parity, and no sum that it keeps differs from its inverted copy"
        ),
        lambda h: ~(h.damaged_then | h.odd_then),
    ),
}

FORMULAS: dict[Gate, tuple[str, Callable[..., Value]]] = {
    gate: (
        f"an order is being accounted for (busy), or {text}",
        lambda h, formula=formula: h.accounting_then | formula(h),
    )
    if gate in COUNTING
    else (text, formula)
    for gate, (text, formula) in _ALONE.items()
}
"""What each gate promises, and whether it should pass."""
