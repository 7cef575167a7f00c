"""A clock step is distinguished from a slow answer, a frozen process and a small correction."""

from dataclasses import dataclass

import pytest

from trading_ops.reconciler.clocks import (
    ALERTMANAGER,
    DIFFERENCE_SECONDS,
    OURS,
    PROMETHEUS,
    SHOWN_SECONDS,
    UNKNOWN_SECONDS,
    Clocks,
    Offset,
    OnDate,
)

HOUR = 3600.0


@dataclass
class Host:
    """A host's clocks, as a test sets them."""

    wall: float = 1_700_000_000.0
    steady: float = 500.0

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def clocks(host: Host) -> Clocks:
    clocks = Clocks(wall=lambda: host.wall, steady=lambda: host.steady)
    clocks.read()
    return clocks


def answers(host: Host, on_date: OnDate, *, ahead: float = 0.0, took: float = 0.0) -> None:
    """Let another process show its clock: when it was asked, `took` seconds ago."""
    on_date(float(int(host.wall - took + ahead)), host.steady - took, host.steady)


def is_settled(clocks: Clocks) -> bool:
    """Whether the sources are believed."""
    return not clocks.unsettled


@pytest.mark.parametrize("step", [-HOUR, -6.0, 6.0, HOUR])
def test_a_step_of_ours_makes_the_view_unknown_for_a_bounded_time(
    clocks: Clocks, host: Host, step: float
) -> None:
    host.pass_by(15)
    host.wall += step
    clocks.read()
    [(name, seconds)] = clocks.steps
    assert (name, round(seconds)) == (OURS, step)
    assert not is_settled(clocks)
    assert OURS in clocks.problems()
    host.pass_by(UNKNOWN_SECONDS + 1)
    clocks.read()
    assert is_settled(clocks)
    host.pass_by(SHOWN_SECONDS)
    clocks.read()
    assert clocks.problems() == {}


def test_no_step_is_seen_while_time_passes(clocks: Clocks, host: Host) -> None:
    """An hour in which the process was frozen, a correction and a leap second are no steps."""
    prometheus = clocks.other(PROMETHEUS)
    for seconds in (0.01, 15.0, HOUR):
        host.pass_by(seconds)
        host.wall += 1.0
        clocks.read()
        answers(host, prometheus, took=0.2)
    assert clocks.steps == []
    assert not clocks.unsettled
    assert clocks.problems() == {}


def test_a_slow_answer_is_no_step(clocks: Clocks, host: Host) -> None:
    """The process was stopped for a minute between the answer and its reading."""
    prometheus = clocks.other(PROMETHEUS)
    answers(host, prometheus)
    host.pass_by(60)
    answers(host, prometheus, took=60)
    host.pass_by(1)
    answers(host, prometheus)
    assert clocks.steps == []


def test_a_slow_answer_hides_no_step(clocks: Clocks, host: Host) -> None:
    prometheus = clocks.other(PROMETHEUS)
    answers(host, prometheus)
    host.pass_by(60)
    answers(host, prometheus, took=60)
    answers(host, prometheus, ahead=-30)
    assert [name for name, _ in clocks.steps] == [PROMETHEUS]


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_a_clock_that_differs_is_reported_for_as_long_as_it_does(
    clocks: Clocks, host: Host, ahead: float
) -> None:
    """It was so before our start: remediation continues."""
    prometheus = clocks.other(PROMETHEUS)
    for _ in range(3):
        answers(host, prometheus, ahead=ahead)
        assert list(clocks.problems()) == [PROMETHEUS]
        assert not clocks.unsettled
        host.pass_by(SHOWN_SECONDS)
        clocks.read()
    answers(host, prometheus, ahead=DIFFERENCE_SECONDS / 2)
    assert clocks.unsettled  # it was set right, which is a step as well


def test_a_step_of_alertmanager_alone_leaves_the_view_known(clocks: Clocks, host: Host) -> None:
    alertmanager = clocks.other(ALERTMANAGER)
    answers(host, alertmanager)
    answers(host, alertmanager, ahead=HOUR)
    assert list(clocks.problems()) == [ALERTMANAGER]
    assert not clocks.unsettled


def test_offsets_that_overlap_may_be_equal() -> None:
    assert Offset(1.0, 3.0).ahead_of(Offset(2.0, 9.0)) == 0.0
    assert Offset(5.0, 6.0).ahead_of(Offset(1.0, 2.0)) == 3.0
    assert Offset(1.0, 2.0).ahead_of(Offset(5.0, 6.0)) == -3.0
