"""The one message of GLIMPSE that ITCH does not have."""

import pytest

from tickgate.spec import glimpse50
from tickgate.spec.fields import WireError


def test_the_end_of_a_snapshot_is_a_type_and_a_number_in_20_digits():
    end = glimpse50.END_OF_SNAPSHOT
    assert end.size == 21
    assert end.pack(sequence=1235) == b"G" + b" " * 16 + b"1235"


@pytest.mark.parametrize("digits", [b"%020d" % 1235, b"1235".rjust(20), b"1235".ljust(20)])
def test_the_number_may_be_padded_on_either_side(digits):
    assert glimpse50.END_OF_SNAPSHOT.unpack(b"G" + digits)["sequence"] == 1235


def test_a_number_that_is_none_is_refused():
    with pytest.raises(WireError, match="not a decimal number"):
        glimpse50.END_OF_SNAPSHOT.unpack(b"G" + b"x" * 20)
