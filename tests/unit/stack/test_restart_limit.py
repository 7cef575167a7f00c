import pytest

from trading_ops.stack.restart_limit import RestartLimit, pause_before, restart_allowed


@pytest.mark.parametrize(
    ("starts", "now", "allowed"),
    [
        ([], 0.0, True),
        ([1.0, 2.0, 3.0, 4.0], 5.0, True),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 6.0, False),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 600.9, False),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 601.0, True),
    ],
)
def test_five_restarts_in_ten_minutes_are_the_limit(
    starts: list[float], now: float, allowed: bool
) -> None:
    """The sixth restart is refused until the first one has left the window."""
    assert restart_allowed(starts, now) is allowed


def test_the_limit_can_be_another_one() -> None:
    """Count and window are taken from the limit that is given."""
    limit = RestartLimit(count=1, window_seconds=10.0)
    assert not restart_allowed([0.0], 9.9, limit)
    assert restart_allowed([0.0], 10.0, limit)


@pytest.mark.parametrize(
    ("starts", "pause"), [([], 0.0), ([9.0], 0.5), ([8.0, 9.0], 1.0), ([7.0, 8.0, 9.0], 2.0)]
)
def test_pauses_double(starts: list[float], pause: float) -> None:
    """The first restart is immediate, and each further one waits twice as long."""
    assert pause_before(starts, 10.0) == pause


def test_old_restarts_do_not_lengthen_the_pause() -> None:
    """A restart that left the window is forgotten."""
    assert pause_before([0.0], 600.0) == 0.0
