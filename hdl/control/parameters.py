"""Parameters and limits of the symbols: shadow copies, and those in force.

Ref: tickgate.spec.registers, "Symbol pages"; docs/risk.md, theorem 7 (all or nothing).
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from tickgate.hdl.control.bus import BusSignature, Status
from tickgate.hdl.fcs import FCS_INITIAL, Crc32
from tickgate.hdl.guard import Twin, parity
from tickgate.hdl.memory import BlockMemory, Checked, Sweep
from tickgate.spec.registers import (
    BANK_SYMBOLS,
    IN_FORCE_BASE,
    MAX_SYMBOLS,
    PAGE_WORDS,
    PARAMETERS,
    PARAMETERS_BY_NAME,
    SHADOW_BASE,
    WORD_MASKS,
)

__all__ = [
    "READERS",
    "READ_ERRORS",
    "Commit",
    "ParameterStore",
    "ParametersInForce",
    "reader_layout",
    "reader_ports",
]

READERS = {
    "window": {"base": ("window_base",), "cent": ("tick_is_cent",)},
    "recovery": {"base": ("window_base",), "cent": ("tick_is_cent",)},
    "strategy": {
        "enable": ("strategy_enable",),
        "threshold": ("threshold",),
        "max_spread": ("max_spread",),
        "quantity": ("quantity",),
        "min_interval": ("min_interval_ns",),
    },
    "limits": {
        "max_long": ("max_long",),
        "max_short": ("max_short",),
        "max_order_quantity": ("max_order_quantity",),
        "max_order_notional": ("max_order_notional_low", "max_order_notional_high"),
        "collar_bps": ("collar_bps",),
        "collar_absolute": ("collar_absolute",),
        "reference_max_age_us": ("reference_max_age_us",),
        "extended_hours": ("extended_hours",),
        "max_book_spread": ("max_book_spread",),
        "order_tick": ("order_tick",),
        "lot_size": ("lot_size",),
        "allow_buy": ("allow_buy",),
        "allow_sell": ("allow_sell",),
        "allow_time_in_force": ("allow_time_in_force",),
        "short_locates": ("short_locates",),
        "feed_max_age_us": ("feed_max_age_us",),
        "symbol_max_age_us": ("symbol_max_age_us",),
        "band_low": ("band_low",),
        "band_high": ("band_high",),
        "band_until": ("band_until_low", "band_until_high"),
        "band_exempt": ("band_exempt",),
        "order_interval_ns": ("order_interval_ns",),
        "order_burst_ns": ("order_burst_ns",),
        "max_open_orders": ("max_open_orders",),
        "max_duplicates": ("max_duplicates",),
        "duplicate_window_ns": ("duplicate_window_ns",),
        "allow_self_trade": ("allow_self_trade",),
        "max_move": ("max_move",),
    },
    "caps": {"max_fills": ("max_fills",), "max_fill_shares": ("max_fill_shares",)},
    "name": {"name": ("name_low", "name_high")},
}
"""Who reads what: for each reader its members, each made of parameters, the lowest bits first."""

READ_ERRORS = data.StructLayout(dict.fromkeys(READERS, 1))
WORD_BITS = PAGE_WORDS.bit_length() - 1
PAGE_BITS = ceil_log2(BANK_SYMBOLS)
BANK_BITS = ceil_log2(MAX_SYMBOLS // BANK_SYMBOLS)


def reader_layout(reader: str) -> data.StructLayout:
    """What a reader gets, by member."""
    return data.StructLayout(
        {
            member: sum(PARAMETERS_BY_NAME[name].width for name in names)
            for member, names in READERS[reader].items()
        }
    )


def reader_ports(symbols: int) -> dict[str, Out]:
    """A port for each reader: `symbol` in, `data` out."""
    return {
        reader: Out(
            wiring.Signature({"symbol": In(range(symbols)), "data": Out(reader_layout(reader))})
        )
        for reader in READERS
    }


class ParametersInForce(wiring.Component):
    """Two banks of parameters: one in force, one to write.

    Latency: reads of the readers are combinational, those of words take
    `BlockMemory.READ_LATENCY` cycles. Throughput: a read a port and a cycle, one write a cycle.

    `flip` exchanges the banks for all ports and all symbols in one cycle. Both banks are swept
    clear after reset.

    Parameters
    ----------
    symbols : int

    Members
    -------
    ready : Out(1)
        The sweep is over; until then writes are lost.
    write : In(1), write_address, write_data : In
        Writes a word of a page that is not in force.
    flip : In(1)
        Strobe.
    address_0, address_1 : In, data_0, data_1 : Out(32)
        Two ports that read words in force.
    window, recovery, strategy, limits, caps, name : Out(wiring.Signature)
        A port for each of `READERS`: `symbol` in, `data` out.
    errors : Out(data.StructLayout)
        One bit for each of `READERS`: of what it has read in the cycle before a bit has flipped.
        All of them: it is not known which bank is in force, or whether the banks were cleared.
    """

    LATENCY = 0

    def __init__(self, *, symbols: int) -> None:
        if not 1 <= symbols <= MAX_SYMBOLS:
            raise ValueError(f"symbols must be 1 to {MAX_SYMBOLS}, not {symbols}")
        self._symbol_bits = ceil_log2(symbols)
        address = In(range(symbols * PAGE_WORDS))
        super().__init__(
            {
                "ready": Out(1),
                "write": In(1),
                "write_address": address,
                "write_data": In(32),
                "flip": In(1),
                "address_0": address,
                "data_0": Out(32),
                "address_1": address,
                "data_1": Out(32),
                "errors": Out(READ_ERRORS),
                **reader_ports(symbols),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        bank = Signal()
        twin = Twin(bank)
        m.submodules.sweep = sweep = Sweep(depth=2 << self._symbol_bits)
        # A second asynchronous port on the memories below would double them.
        m.submodules.words = words = BlockMemory(
            depth=2 * PAGE_WORDS << self._symbol_bits, shape=32, reads=2
        )
        m.d.comb += [
            self.ready.eq(~sweep.active & words.ready),
            words.write.eq(self.write),
            words.write_address.eq(self._word_address(self.write_address, ~bank)),
            words.write_data.eq(self.write_data),
            words.address(0).eq(self._word_address(self.address_0, bank)),
            words.address(1).eq(self._word_address(self.address_1, bank)),
            self.data_0.eq(words.data(0)),
            self.data_1.eq(words.data(1)),
        ]
        with m.If(self.flip):
            m.d.sync += twin.takes(~bank)
        in_doubt = Signal()
        m.d.sync += in_doubt.eq(twin.differs)
        for reader, members in READERS.items():
            port, read = getattr(self, reader), []
            for member, names in members.items():
                values = [self._value(m, reader, name, bank, sweep) for name in names]
                m.d.comb += port.data[member].eq(Cat(value.word for value in values))
                read += values
            # A bit that flips makes all of them together odd.
            odd = parity(m, Cat(read), name=f"{reader}_odd", when=~sweep.active)
            m.d.comb += self.errors[reader].eq(odd | in_doubt | sweep.broken)
        return m

    def _value(self, m: Module, reader: str, name: str, bank: Value, sweep: Sweep) -> data.View:
        """What is in force of one parameter of the symbol that `reader` asks for, and its parity.

        Each has a bit of its own, for words are written one by one.
        """
        symbol = getattr(self, reader).symbol
        parameter = PARAMETERS_BY_NAME[name]
        m.submodules[f"{reader}_{name}"] = ram = memory.Memory(
            shape=Checked(parameter.width), depth=2 << self._symbol_bits, init=[]
        )
        word = Mux(sweep.active, 0, (self.write_data >> parameter.low)[: parameter.width])
        write, read = ram.write_port(), ram.read_port(domain="comb")
        written = self.write & (self.write_address[:WORD_BITS] == parameter.word)
        m.d.comb += [
            write.en.eq(sweep.active | written),
            write.addr.eq(
                Mux(
                    sweep.active,
                    sweep.address,
                    self._address(self.write_address[WORD_BITS:], ~bank),
                )
            ),
            write.data.word.eq(word),
            write.data.odd.eq(word.xor()),
            read.addr.eq(self._address(symbol, bank)),
        ]
        return read.data

    def _address(self, symbol: Value, bank: Value) -> Value:
        return Cat(symbol[: self._symbol_bits], bank[0])

    def _word_address(self, address: Value, bank: Value) -> Value:
        return Cat(address[:WORD_BITS], self._address(address[WORD_BITS:], bank))


class Commit(wiring.Component):
    """Walks once through the shadow pages, copies them and takes their checksum.

    Latency: `CYCLES_A_WORD` cycles for each word of the shadow pages and a few more.

    Parameters
    ----------
    symbols : int

    Members
    -------
    start : In(1), checksum : In(32)
        Strobe, with the checksum that the host names. Ignored while one is under way.
    armed : In(1)
        What is fixed while armed must not change.
    movable : In(1), movable_symbol : In
        But for the window's base of this symbol, if that holds until the verdict.
    address : Out, word : In(32)
        Reads a word of the shadow pages, with the latency of :class:`BlockMemory`.
    taking : Out(1), in_force : In(32)
        `word` is taken now: it is to be copied to the bank not in force. `in_force` is the word
        that it would replace, read like `word`.
    busy : Out(1)
        From the cycle after `start` until the verdict.
    passed, failed : Out(1)
        Strobes: the verdict.
    fixed : Out(1)
        The checksum is right, but what is fixed while armed would change. Comes with `failed`.
    refitted : Out(1)
        That has changed. Comes with `passed`.
    """

    CYCLES_A_WORD = BlockMemory.READ_LATENCY + 5

    def __init__(self, *, symbols: int) -> None:
        self._words = symbols * PAGE_WORDS
        super().__init__(
            {
                "start": In(1),
                "checksum": In(32),
                "armed": In(1),
                "movable": In(1),
                "movable_symbol": In(range(symbols)),
                "address": Out(range(self._words)),
                "word": In(32),
                "taking": Out(1),
                "in_force": In(32),
                "busy": Out(1),
                "passed": Out(1),
                "failed": Out(1),
                "fixed": Out(1),
                "refitted": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.crc = crc = Crc32(width=1)
        expected, state = Signal(32), Signal(32)
        octets = Signal(32)
        step = Signal(range(max(BlockMemory.READ_LATENCY, 4)))
        changes, moves, stayed = Signal(), Signal(), Signal()
        # A flipped bit of the state must not make a verdict on a walk that there was not.
        ended = Signal()
        with m.If(~self.movable):
            m.d.sync += stayed.eq(0)
        m.d.comb += [
            crc.state.eq(state),
            crc.data.eq(octets[:8]),
            crc.count.eq(1),
            self.busy.eq(1),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.busy.eq(0)
                m.d.sync += [
                    expected.eq(self.checksum),
                    state.eq(FCS_INITIAL),
                    self.address.eq(0),
                    changes.eq(0),
                    moves.eq(0),
                    ended.eq(0),
                    stayed.eq(1),
                    step.eq(0),
                ]
                with m.If(self.start):
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.sync += step.eq(step + 1)
                with m.If(step == BlockMemory.READ_LATENCY - 1):
                    m.next = "TAKE"
            with m.State("TAKE"):
                m.d.comb += self.taking.eq(1)
                m.d.sync += [octets.eq(self.word), step.eq(0)]
                with m.If(((self.word ^ self.in_force) & self._fixed_bits()).any()):
                    with m.If(
                        (self.address[:WORD_BITS] == PARAMETERS_BY_NAME["window_base"].word)
                        & (self.address[WORD_BITS:] == self.movable_symbol)
                    ):
                        m.d.sync += moves.eq(1)
                    with m.Else():
                        m.d.sync += changes.eq(1)
                m.next = "SUM"
            with m.State("SUM"):
                m.d.sync += [state.eq(crc.next_state), octets.eq(octets >> 8), step.eq(step + 1)]
                with m.If(step == 3):
                    m.d.sync += [step.eq(0), self.address.eq(self.address + 1)]
                    m.next = "FETCH"
                    with m.If(self.address == self._words - 1):
                        m.d.sync += ended.eq(1)
                        m.next = "VERDICT"
            with m.State("VERDICT"):
                right, forbidden = Signal(), Signal()
                m.d.comb += [
                    right.eq(ended & (~state == expected)),
                    forbidden.eq(changes | (moves & ~(self.movable & stayed))),
                    self.passed.eq(right & ~(forbidden & self.armed)),
                    self.failed.eq(~self.passed),
                    self.fixed.eq(right & ~self.passed),
                    self.refitted.eq(self.passed & forbidden),
                ]
                m.next = "IDLE"
        return m

    def _fixed_bits(self) -> Value:
        """The bits of the word at `address` that must not change while armed."""
        masks = [
            sum(p.mask for p in PARAMETERS if p.word == word and p.fixed_while_armed)
            for word in range(PAGE_WORDS)
        ]
        bits = Const(0, 32)
        for word, mask in enumerate(masks):
            if mask:
                bits = Mux(self.address[:WORD_BITS] == word, mask, bits)
        return bits


class ParameterStore(wiring.Component):
    """The symbol pages behind the bus, from the first shadow page on.

    Latency: bus accesses take `BusSignature.LATENCY` at most; reads of the readers are
    combinational. Throughput: one access at a time; a read a reader and a cycle.

    Shadow pages can be written while no commit is under way. A commit with their checksum puts
    all of them in force in one cycle; with another one, or if it would change, while armed, what
    is fixed then, it changes nothing. All pages are 0 after reset.

    Parameters
    ----------
    symbols : int

    Members
    -------
    bus : In(BusSignature())
    bank : In(3)
        Register `page_bank`; of no effect if all symbols fit in one.
    commit : In(1), commit_checksum : In(32)
        Strobe; ignored while `settled` is low.
    armed, movable : In(1), movable_symbol : In
        As in :class:`Commit`.
    ready : Out(1)
        Memories are clear after reset.
    settled : Out(1)
        Ready, and no commit is under way.
    valid : Out(1)
        A commit has succeeded since reset.
    checksum : Out(32)
        That of the pages in force, 0 if none.
    committing, failed, fixed : Out(1)
        A commit is under way; the last one failed; it failed for what is fixed while armed.
    committed, refitted : Out(1)
        Strobe: new pages are in force from the next cycle on; what is fixed while armed is another.
    errors : Out(data.StructLayout)
        Of :class:`ParametersInForce`.
    window, recovery, strategy, limits, caps, name : Out(wiring.Signature)
        As in :class:`ParametersInForce`.
    """

    def __init__(self, *, symbols: int) -> None:
        if not 1 <= symbols <= MAX_SYMBOLS:
            raise ValueError(f"symbols must be 1 to {MAX_SYMBOLS}, not {symbols}")
        self._symbols = symbols
        super().__init__(
            {
                "bus": In(BusSignature()),
                "bank": In(BANK_BITS),
                "commit": In(1),
                "commit_checksum": In(32),
                "armed": In(1),
                "movable": In(1),
                "movable_symbol": In(range(symbols)),
                "ready": Out(1),
                "settled": Out(1),
                "valid": Out(1),
                "checksum": Out(32),
                "committing": Out(1),
                "failed": Out(1),
                "fixed": Out(1),
                "committed": Out(1),
                "refitted": Out(1),
                "errors": Out(READ_ERRORS),
                **reader_ports(symbols),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.shadow = shadow = BlockMemory(
            depth=self._symbols * PAGE_WORDS, shape=32, reads=2
        )
        m.submodules.in_force = in_force = ParametersInForce(symbols=self._symbols)
        m.submodules.walk = walk = Commit(symbols=self._symbols)
        for reader in READERS:
            wiring.connect(m, getattr(in_force, reader), wiring.flipped(getattr(self, reader)))
        m.d.comb += [
            self.ready.eq(shadow.ready & in_force.ready),
            self.errors.eq(in_force.errors),
            self.settled.eq(self.ready & ~walk.busy),
            self.committing.eq(walk.busy),
            self.committed.eq(walk.passed),
            self.refitted.eq(walk.refitted),
            walk.start.eq(self.commit & self.settled),
            walk.checksum.eq(self.commit_checksum),
            walk.armed.eq(self.armed),
            walk.movable.eq(self.movable),
            walk.movable_symbol.eq(self.movable_symbol),
            shadow.address(1).eq(walk.address),
            walk.word.eq(shadow.data(1)),
            in_force.address_1.eq(walk.address),
            walk.in_force.eq(in_force.data_1),
            in_force.write.eq(walk.taking),
            in_force.write_address.eq(walk.address),
            in_force.write_data.eq(shadow.data(1)),
            in_force.flip.eq(walk.passed),
        ]
        named = Signal(32)
        with m.If(walk.start):
            m.d.sync += named.eq(self.commit_checksum)
        with m.If(walk.passed):
            m.d.sync += [self.valid.eq(1), self.checksum.eq(named)]
        with m.If(walk.passed | walk.failed):
            m.d.sync += [self.failed.eq(walk.failed), self.fixed.eq(walk.fixed)]
        self._answer(m, shadow=shadow, in_force=in_force)
        return m

    def _answer(self, m: Module, *, shadow, in_force) -> None:
        access = self.bus.access
        word = access.address[:WORD_BITS]
        reads_in_force = Signal()
        page, symbol = Signal(16 - WORD_BITS), Signal(range(MAX_SYMBOLS))
        m.d.comb += [
            reads_in_force.eq(access.address >= IN_FORCE_BASE),
            page.eq(
                access.address[WORD_BITS:]
                - (Mux(reads_in_force, IN_FORCE_BASE, SHADOW_BASE) >> WORD_BITS)
            ),
            symbol.eq(page),
            shadow.address(0).eq(Cat(word, symbol)),
            in_force.address_0.eq(Cat(word, symbol)),
        ]
        no_page = symbol >= self._symbols
        if self._symbols > BANK_SYMBOLS:
            no_page |= page[PAGE_BITS:].any()
            m.d.comb += symbol[PAGE_BITS:].eq(self.bank)
        reserved = Signal(32)
        with m.Switch(word):
            for n, mask in enumerate(WORD_MASKS):
                with m.Case(n):
                    m.d.comb += reserved.eq(~mask & 0xFFFF_FFFF)
        checked = Signal()
        m.d.sync += checked.eq(self.bus.valid)
        with m.If(self.bus.valid):
            m.d.sync += self.bus.status.eq(Status.OK)
            with m.If(no_page):
                m.d.sync += self.bus.status.eq(Status.BAD_ADDRESS)
            with m.Elif(access.write & reads_in_force):
                m.d.sync += self.bus.status.eq(Status.READ_ONLY)
            with m.Elif(access.write & (access.word & reserved).any()):
                m.d.sync += self.bus.status.eq(Status.BAD_VALUE)
            with m.Elif(~self.ready | (access.write & ~self.settled)):
                m.d.sync += self.bus.status.eq(Status.NOT_NOW)
        m.d.comb += [
            shadow.write.eq(
                checked
                & access.write
                & access.apply
                & self.settled
                & (self.bus.status == Status.OK)
            ),
            shadow.write_address.eq(shadow.address(0)),
            shadow.write_data.eq(access.word),
        ]
        m.d.comb += self.bus.word.eq(Mux(reads_in_force, in_force.data_0, shadow.data(0)))
