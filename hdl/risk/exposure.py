"""What a symbol may become if every order sent is executed.

Ref: docs/risk.md, gates 5 (worst-case long), 6 (worst-case short) and 23 (short locate),
"Accounting"; Regulation SHO, rules 200 and 203, for what a short sale is and needs.
"""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.memory import TableMemory
from tickgate.hdl.risk.limits import Limits
from tickgate.hdl.stream import Proposal, Side

__all__ = ["Exposure"]


class _Reserved(data.Struct):
    """Shares of all orders approved and not released, a side.

    In all, modulo 2**33. What is left of them when that which was released is taken off needs no
    more: a reservation is made only when position + reserved + quantity is within a limit of 32
    bits, and no position is below -2**32.
    """

    buys: 33
    sells: 33


class Exposure(wiring.Component):
    """Gates 5, 6, 23: worst-case long and short, locates; keeps what approved orders reserve.

    Latency: `LATENCY` from the preview to the gates, `LATENCY_RESERVE` to the reservation.
    Throughput: one preview and one reservation a cycle, of the same symbol too; check and
    reservation are one step.

    - `within_long`: a sell, or position + reserved buys + quantity <= max_long.
    - `within_short`: a buy, or reserved sells + quantity - position <= max_short.
    - `within_locates`: a buy, or reserved sells + quantity - position <= short_locates.
    - `covered`: a buy, or reserved sells + quantity <= position: not a short sale.

    The gates count every reservation up to and including that of their own cycle. Only orders
    within both may reserve. What is released is told from outside; `clear` forgets the rest.

    Parameters
    ----------
    symbols : int

    Members
    -------
    preview : In(Proposal(symbols))
    limits : In(Limits)
        Limits of the preview's symbol, in the cycle of the preview.
    position : In(signed(33))
        Position of the preview's symbol, in the cycle of the preview.
    released_buys, released_sells : In(33)
        Of what was reserved for the preview's symbol, what is so no more, in all, in that cycle.
    within_long, within_short, within_locates, covered : Out(1)
    open_buys, open_sells : Out(1)
        Some share of the preview's symbol is reserved and not released, in the cycle of the preview
        (combinational).
    reserve : In(1)
        The preview of two cycles before is approved: its quantity is added to its side.
    clear : In(1)
        Sets all reserves to zero, in `symbols` cycles, rounded up to a power of two.
    ready : Out(1)
        Low while reserves are being cleared, after reset too; the gates fail until then.
    error : Out(1)
        A bit has flipped of what is kept here: in the cycle of the gate if the preview went by it.
    """

    LATENCY = 1
    LATENCY_RESERVE = 2

    def __init__(self, *, symbols: int) -> None:
        self._symbols = symbols
        super().__init__(
            {
                "preview": In(Proposal(symbols)),
                "limits": In(Limits),
                "position": In(signed(33)),
                "released_buys": In(33),
                "released_sells": In(33),
                "within_long": Out(1),
                "within_short": Out(1),
                "within_locates": Out(1),
                "covered": Out(1),
                "open_buys": Out(1),
                "open_sells": Out(1),
                "reserve": In(1),
                "clear": In(1),
                "ready": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = memory = ResetInserter(self.clear)(
            TableMemory(depth=self._symbols, shape=_Reserved, reads=2, checked=(0, 1))
        )
        checked, decided = Signal(Proposal(self._symbols)), Signal(Proposal(self._symbols))
        was_ready = Signal()
        m.d.comb += [
            self.ready.eq(memory.ready),
            self.error.eq(memory.error),
            memory.address(0).eq(self.preview.symbol),
            memory.address(1).eq(decided.symbol),
            memory.write.eq(self.reserve),
            memory.write_address.eq(decided.symbol),
            memory.write_data.eq(memory.data(1)),
            self.open_buys.eq(memory.data(0).buys != self.released_buys),
            self.open_sells.eq(memory.data(0).sells != self.released_sells),
        ]
        m.d.sync += [checked.eq(self.preview), decided.eq(checked), was_ready.eq(memory.ready)]
        for side, total, before in (
            (Side.BUY, memory.write_data.buys, memory.data(1).buys),
            (Side.SELL, memory.write_data.sells, memory.data(1).sells),
        ):
            with m.If(decided.side == side):
                m.d.comb += total.eq(before + decided.quantity)
        limits, reserved = self.limits, memory.data(0)
        for side, limit, within in (
            (Side.BUY, limits.max_long, self.within_long),
            (Side.SELL, limits.max_short, self.within_short),
            (Side.SELL, limits.short_locates, self.within_locates),
            (Side.SELL, 0, self.covered),
        ):
            fits = self._compare(m, side, limit, reserved, checked, decided)
            m.d.comb += within.eq(was_ready & memory.ready & ((checked.side != side) | fits))
        return m

    def _compare(self, m: Module, side: Side, limit, reserved, checked, decided) -> Signal:
        """Whether an order of this side stays within a limit of what its side may become."""
        # Two orders are on their way while the memory is read, each of which may reserve or not.
        # All four answers are made ready before the choice between them is known.
        preview, sell = self.preview, side is Side.SELL
        room, taken_by_decided, taken_by_checked = Signal(signed(37)), Signal(32), Signal(32)
        after_decided, after_checked, same = Signal(), Signal(), Signal()
        fits, fits_after = Signal(), Signal(4)

        def same_side(earlier):
            return Mux(earlier.side == side, earlier.quantity, 0)

        m.d.sync += [
            room.eq(
                limit
                - (-self.position if sell else self.position)
                - (
                    (reserved.sells - self.released_sells)[:33]
                    if sell
                    else (reserved.buys - self.released_buys)[:33]
                )
                - preview.quantity
            ),
            taken_by_decided.eq(same_side(decided)),
            taken_by_checked.eq(same_side(checked)),
            after_decided.eq(self.reserve & (decided.symbol == preview.symbol)),
            same.eq(checked.symbol == preview.symbol),
        ]
        m.d.comb += [
            after_checked.eq(self.reserve & same),
            fits_after[0b00].eq(room >= 0),
            fits_after[0b01].eq(room - taken_by_decided >= 0),
            fits_after[0b10].eq(room - taken_by_checked >= 0),
            fits_after[0b11].eq(room - taken_by_decided - taken_by_checked >= 0),
            fits.eq(fits_after.bit_select(Cat(after_decided, after_checked), 1)),
        ]
        return fits
