"""Durations are printed as Prometheus reads them."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from trading_ops.config.files import parse_duration
from trading_ops.domain.durations import format_duration


def test_only_the_units_that_count_are_printed() -> None:
    hour = timedelta(hours=1)
    minute = timedelta(minutes=1, seconds=30)
    assert [format_duration(duration) for duration in (hour, minute, timedelta())] == [
        "1h",
        "1m30s",
        "0s",
    ]


@given(st.integers(min_value=0, max_value=10**11))
def test_what_is_printed_can_be_read_back(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration
