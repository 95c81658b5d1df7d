"""The registers of the card, made from the table.

Ref: tickgate.spec.registers.
"""

from collections.abc import Iterable, Mapping

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.hdl.control.bus import BusSignature, Status
from tickgate.spec.registers import BY_NAME, REGISTERS, Kind, Need, Register

__all__ = [
    "RegisterBank",
    "amounts_of",
    "commands_of",
    "ports_of",
    "registers_of",
    "shape_of",
]

GROUP_BITS = 4
"""A read chooses among 16 registers in one cycle and among the groups in the next."""


def registers_of(*kinds: Kind, inside: bool | None = None) -> list[Register]:
    """The registers of these kinds; with `inside`, only those made by the control part or not."""
    return [
        register
        for register in REGISTERS
        if register.kind in kinds and inside in (None, register.inside)
    ]


def shape_of(register: Register) -> Shape | data.Layout:
    """The shape of a register's value: its fields by name, or a plain number."""
    if not register.fields:
        return unsigned(register.width)
    width = max(field.low + field.width for field in register.fields)
    fields = {f.name: data.Field(unsigned(f.width), f.low) for f in register.fields}
    return data.FlexibleLayout(width, fields)


def ports_of(registers: Iterable[Register], shape=shape_of) -> wiring.Signature:
    """A signature with a member for each register, of the shape that `shape` gives it."""
    return wiring.Signature({register.name: Out(shape(register)) for register in registers})


def amounts_of(registers: Iterable[Register]) -> wiring.Signature:
    """A signature with a member for each counter: the amount by which it rises."""
    return ports_of(registers, lambda register: unsigned(register.amount))


def commands_of(registers: Iterable[Register]) -> wiring.Signature:
    """A signature with a stream for each command, of the words written to it."""
    return ports_of(
        registers, lambda register: stream.Signature(shape_of(register), always_ready=True)
    )


class RegisterBank(wiring.Component):
    """Every register of the table behind the bus; addresses from the shadow pages on are not its.

    Latency: `BusSignature.LATENCY - 1` at most. Throughput: one access at a time.

    A write is accepted whole or refused whole. What it is refused for, in this order: no such
    register, read-only, reserved bits or a wrong code or index, the state of the card. A
    configuration register changes, and a command is given, in one cycle.

    Parameters
    ----------
    identity : Mapping of str to int
        The value of each identity register.

    Members
    -------
    bus : In(BusSignature())
    config : Out(wiring.Signature)
        For each configuration register by name, its value.
    command : Out(wiring.Signature)
        For each command by name, a stream of the words written to it.
    values : In(wiring.Signature)
        For each status register by name, its value.
    counter : In(32)
        The value of the counter on the bus, `BusSignature.LATENCY - 2` cycles after `valid`; 0 if
        that is none.
    armed : In(1)
        Refuses what needs a disarmed card.
    committing : In(1)
        Refuses what needs that no commit is under way.
    armable : In(1)
        Lets the card be armed.
    """

    def __init__(self, *, identity: Mapping[str, int]) -> None:
        expected = {register.name for register in registers_of(Kind.IDENTITY)}
        if expected != identity.keys():
            raise ValueError(f"identity must have the keys {sorted(expected)}")
        for name, value in identity.items():
            if not 0 <= value < 1 << 32:
                raise ValueError(f"identity register {name} must be 32 bits, not {value}")
        self._identity = dict(identity)
        super().__init__(
            {
                "bus": In(BusSignature()),
                "config": Out(ports_of(registers_of(Kind.CONFIG))),
                "command": Out(commands_of(registers_of(Kind.COMMAND))),
                "values": In(ports_of(registers_of(Kind.STATUS))),
                "counter": In(32),
                "armed": In(1),
                "committing": In(1),
                "armable": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        checked = Signal()
        m.d.sync += checked.eq(self.bus.valid)
        for register in registers_of(Kind.COMMAND):
            m.d.sync += getattr(self.command, register.name).valid.eq(0)
        with m.If(self.bus.valid):
            m.d.sync += self.bus.status.eq(Status.BAD_ADDRESS)
            with m.Switch(self.bus.access.address):
                for register in REGISTERS:
                    with m.Case(register.address):
                        m.d.sync += self.bus.status.eq(self._judge(register))
        access = self.bus.access
        with m.If(checked & access.write & access.apply & (self.bus.status == Status.OK)):
            with m.Switch(access.address):
                for register in registers_of(Kind.CONFIG, Kind.COMMAND):
                    with m.Case(register.address):
                        self._write(m, register)
        self._read(m)
        return m

    def _judge(self, register: Register) -> Value:
        """The status of the access on the bus if it is for this register."""
        write, word = self.bus.access.write, self.bus.access.word
        if not register.writable:
            return Mux(write, Status.READ_ONLY, Status.OK)
        lacking = {
            Need.DISARMED: self.armed,
            Need.SETTLED: self.committing,
            Need.ARMABLE: ~self.armable,
        }
        bad = (word & ~register.mask & 0xFFFF_FFFF).any()
        if register.code is not None:
            bad = word != register.code
        for field in register.fields:
            if field.below is not None:
                bad |= word[field.low : field.low + field.width] >= self._identity[field.below]
        status = Const(Status.OK, Status)
        for need in reversed(register.needs):
            status = Mux(lacking[need], Status(need.refusal), status)
        return Mux(write, Mux(bad, Status.BAD_VALUE, status), Status.OK)

    def _write(self, m: Module, register: Register) -> None:
        word = self.bus.access.word
        if register.kind is Kind.CONFIG:
            m.d.sync += Value.cast(getattr(self.config, register.name)).eq(word)
        else:
            command = getattr(self.command, register.name)
            m.d.sync += [command.valid.eq(1), Value.cast(command.payload).eq(word)]

    def _read(self, m: Module) -> None:
        address = self.bus.access.address
        groups: dict[int, dict[int, Value]] = {}
        for register in registers_of(Kind.IDENTITY, Kind.CONFIG, Kind.STATUS):
            group, member = divmod(register.address, 1 << GROUP_BITS)
            groups.setdefault(group, {})[member] = self._value(m, register)
        chosen = {group: Signal(32, name=f"group_{group:02x}") for group in groups}
        for group, members in groups.items():
            with m.If(self.bus.valid):
                m.d.sync += chosen[group].eq(0)
                with m.Switch(address[:GROUP_BITS]):
                    for member, value in members.items():
                        with m.Case(member):
                            m.d.sync += chosen[group].eq(value)
        m.d.sync += self.bus.word.eq(self.counter)
        with m.Switch(address[GROUP_BITS:]):
            for group, word in chosen.items():
                with m.Case(group):
                    m.d.sync += self.bus.word.eq(word)

    def _value(self, m: Module, register: Register) -> Value:
        """What a read of the register gives; makes the latch if it has one."""
        if register.kind is Kind.IDENTITY:
            return Const(self._identity[register.name], 32)
        if register.kind is Kind.CONFIG:
            return Value.cast(getattr(self.config, register.name))
        value = Value.cast(getattr(self.values, register.name))
        if register.latched_by is None:
            return value
        latched = Signal.like(value, name=f"{register.name}_latched")
        trigger = BY_NAME[register.latched_by].address
        access = self.bus.access
        with m.If(self.bus.valid & ~access.write & (access.address == trigger)):
            m.d.sync += latched.eq(value)
        return latched
