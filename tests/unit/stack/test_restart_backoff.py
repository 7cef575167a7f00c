import pytest

from trading_ops_lab.supervisor.restart_backoff import RestartPauses, is_failing, pause_before


@pytest.mark.parametrize(
    ("starts", "now", "failing"),
    [
        ([], 0.0, False),
        ([1.0, 2.0, 3.0, 4.0], 5.0, False),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 6.0, True),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 600.9, True),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 601.0, False),
    ],
)
def test_five_restarts_in_ten_minutes_are_failing(
    starts: list[float], now: float, failing: bool
) -> None:
    """Until the first one has left the window."""
    assert is_failing(starts, now) is failing


def test_the_pause_is_bounded() -> None:
    """A process is tried at least each minute, for ever."""
    assert pause_before([9.0] * 32, 10.0) == 60.0


def test_the_limit_can_be_another_one() -> None:
    """Count and window are taken from the limit that is given."""
    pauses = RestartPauses(count=1, window_seconds=10.0)
    assert is_failing([0.0], 9.9, pauses)
    assert not is_failing([0.0], 10.0, pauses)


@pytest.mark.parametrize(
    ("starts", "pause"), [([], 0.0), ([9.0], 0.5), ([8.0, 9.0], 1.0), ([7.0, 8.0, 9.0], 2.0)]
)
def test_pauses_double(starts: list[float], pause: float) -> None:
    """The first restart is immediate, and each further one waits twice as long."""
    assert pause_before(starts, 10.0) == pause


def test_old_restarts_do_not_lengthen_the_pause() -> None:
    """A restart that left the window is forgotten."""
    assert pause_before([0.0], 600.0) == 0.0
