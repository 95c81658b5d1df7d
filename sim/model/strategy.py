"""Model of the taker: buys or sells at the touch when one side of the top outweighs the other.

Ref: docs/architecture.md, "Strategy".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tickgate.sim.model.book import Top
from tickgate.sim.model.feed import BUY, SELL

__all__ = ["Proposal", "StrategyParameters", "Taker"]

TIME = 0xFFFF_FFFF_FFFF_FFFF


class Proposal(NamedTuple):
    """An order that the strategy would send. Price in 1e-4 USD, quantity in shares."""

    symbol: int
    side: int
    price: int
    quantity: int
    sequence: int


@dataclass(frozen=True, kw_only=True)
class StrategyParameters:
    """What the host sets for one symbol; the default never fires.

    `threshold` is a share of the two best levels in 1/65536, 0 means never; `max_spread` is in
    1e-4 USD, `quantity` in shares, `min_interval` in ns.
    """

    enable: bool = False
    threshold: int = 0
    max_spread: int = 0
    quantity: int = 0
    min_interval: int = 0

    def __post_init__(self) -> None:
        for name, bits in (
            ("threshold", 16),
            ("max_spread", 32),
            ("quantity", 32),
            ("min_interval", 32),
        ):
            value = getattr(self, name)
            if not 0 <= value < 1 << bits:
                raise ValueError(f"{name} must fit {bits} bits, not {value}")


class Taker:
    """Decides on each top of book whether to take the touch.

    It buys at the ask when the bid's shares are at least `threshold` of both sides' shares, and
    sells at the bid when the ask's are; the bid wins a tie. Both sides are present, not locked
    and not crossed, no wider than `max_spread`, and the top is exact. After it fired it stays
    quiet on the symbol for `min_interval`, whatever risk made of the proposal.

    Parameters
    ----------
    parameters : mapping of int to StrategyParameters
        By symbol index; a symbol without any never fires. `parameters` may be changed between
        two decisions.
    """

    def __init__(self, parameters: Mapping[int, StrategyParameters]) -> None:
        self.parameters = dict(parameters)
        self._fired: dict[int, int] = {}

    def decide(self, top: Top, time_ns: int) -> Proposal | None:
        """The proposal for `top`, seen at `time_ns` (64 bits), if any."""
        parameters = self.parameters.get(top.symbol)
        if parameters is None or not parameters.enable or not parameters.threshold:
            return None
        if not (top.exact and top.bid_present and top.ask_present):
            return None
        spread = top.ask_price - top.bid_price
        if spread <= 0 or spread > parameters.max_spread:
            return None
        total = top.bid_shares + top.ask_shares
        if max(top.bid_shares, top.ask_shares) * 65536 < parameters.threshold * total:
            return None
        fired = self._fired.get(top.symbol)
        if fired is not None and (time_ns - fired) & TIME < parameters.min_interval:
            return None
        self._fired[top.symbol] = time_ns
        side = BUY if top.bid_shares >= top.ask_shares else SELL
        price = top.ask_price if side == BUY else top.bid_price
        return Proposal(top.symbol, side, price, parameters.quantity, top.sequence)
