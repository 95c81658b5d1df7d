"""The reference sizes: that they can be built, and what they are made of."""

import pytest

from tickgate.hdl.control import parameters
from tickgate.sim import scale
from tickgate.sim.virtual import build, make_core
from tickgate.sim.virtual.top import VirtualTop
from tickgate.spec.registers import MAX_SYMBOLS

ROWS = """\
module \\one
  wire width 8 \\a
  memory width 4 size 16 \\block
  memory width 3 size 8 \\table
  cell $memrd_v2 $1
    parameter \\MEMID "\\\\block"
    parameter \\CLK_ENABLE 1
  end
  cell $memrd_v2 $2
    parameter \\MEMID "\\\\block"
    parameter \\CLK_ENABLE 1
  end
  cell $memrd_v2 $3
    parameter \\MEMID "\\\\table"
    parameter \\CLK_ENABLE 0
  end
  cell $memrd_v2 $4
    parameter \\MEMID "\\\\table"
    parameter \\CLK_ENABLE 0
  end
  cell $dff $5
    parameter \\WIDTH 7
  end
end
module \\two
  cell $dff $1
    parameter \\WIDTH 5
  end
end
"""


def test_a_netlist_is_counted_by_kind_of_memory():
    hardware = scale.hardware_of(ROWS)
    assert hardware == scale.Hardware(block_bits=64, table_bits=48, flip_flops=12)


def test_as_many_made_up_symbols_as_a_card_can_hold_have_names_and_locates_of_their_own():
    made = scale.instruments(MAX_SYMBOLS)
    assert len({each.name for each in made}) == len({each.locate for each in made}) == MAX_SYMBOLS
    assert all(len(each.name) <= 8 for each in made)


def test_the_largest_reference_size_elaborates_and_has_its_memories():
    size = scale.SIZES["large"]
    assert size.symbols == MAX_SYMBOLS > parameters.BANK_SYMBOLS
    options = {"symbols": size.symbols, "ticks": size.ticks, "orders": size.orders}
    made = build.netlist(
        lambda: VirtualTop(make_core(width=8, **options)),
        recipe=f"test of scale {options}",
        quiet=True,
    )
    hardware = scale.hardware_of((made.directory / "card.il").read_text())
    totals = 2 * size.symbols * size.ticks * 32
    store = size.orders * (1 + (64 - 18) + 12 + 1 + 2 + 32 + 32)
    assert totals + store < hardware.block_bits < 1.1 * (totals + store)
    # A few bits a symbol; everything else that there is for each symbol is in memories.
    assert hardware.flip_flops < 40_000 + 16 * size.symbols


def test_an_unknown_size_is_refused():
    with pytest.raises(KeyError):
        scale.measure("huge")
