"""Numbers are written as they are, whatever writes them and whatever is among them."""

import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops.instrument.numbers import Encode, encoder, plainly, printable, text_of

ENCODERS: list[Encode] = [orjson.dumps, plainly]

strange = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=5),
    st.sampled_from(["1,2", "[1]", "1.5", "l", math.nan, math.inf, -math.inf, 10**400, 1j]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.decimals(),
    st.binary(max_size=3),
)
number = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([-0.0, 0.1, 1e22]))


@pytest.mark.parametrize("encode", ENCODERS)
@given(values=st.lists(number, min_size=1, max_size=20))
def test_every_digit_is_there(encode: Encode, values: list[object]) -> None:
    """What is read back is the very number, be it -0.0, beyond 64 bits or not finite."""
    found = printable(values, encode)
    assert [repr(float(text)) for text in found] == [
        repr(float(text_of(value))) for value in values
    ]


@pytest.mark.parametrize("encode", ENCODERS)
@given(values=st.lists(st.one_of(number, strange), min_size=1, max_size=20))
def test_what_is_no_number_spoils_no_other(encode: Encode, values: list[object]) -> None:
    """Anything may be in a gauge: a text for each, in its place."""
    found = [float(text) for text in printable(values, encode)]
    wanted = [float(text_of(value)) for value in values]
    assert list(map(repr, found)) == list(map(repr, wanted))


def test_without_orjson_it_is_python_itself() -> None:
    """The base install has nothing but prometheus_client."""
    assert encoder("orjson", "dumps") is orjson.dumps
    assert encoder("not_there", "dumps") is plainly
