"""An alert that comes and goes a thousand times: few incidents, few steps, one call."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import NOW, ONE_SHOT, make_attempt, make_incident, make_runbook, make_step
from trading_ops.domain.attempt import Attempt, AttemptState
from trading_ops.domain.decide import decide
from trading_ops.domain.decision import (
    AlertState,
    AttemptHistory,
    Close,
    Escalate,
    GlobalLimits,
    Reason,
    Run,
    Wait,
    World,
)
from trading_ops.domain.incident import Incident
from trading_ops.domain.runbook import LONGEST_WINDOW, Limits

LIMITS = GlobalLimits()
OWN = Limits(cooldown=timedelta(seconds=30), attempts=4)
BOOK = make_runbook(steps=(make_step(), ONE_SHOT, ONE_SHOT), limits=OWN, unless=())


class Flapping:
    """One alert's incidents and attempts; each fix works, and does not last."""

    def __init__(self) -> None:
        self.now = NOW
        self.incidents: list[Incident] = []
        self.attempts: list[Attempt] = []
        self.calls = 0

    def passes(self, view: AlertState) -> None:
        """One pass; what it starts is done and verified before the next one."""
        last = self.incidents[-1] if self.incidents else None
        if last is None or not last.is_open:
            if view is AlertState.ABSENT:
                return
            key = f"incident-{len(self.incidents)}"
            last = make_incident(id=key, opened_at=self.now, starts_at=self.now)
            self.incidents.append(last)
        if view is AlertState.FIRING and last.quiet_since is not None:
            last = replace(last, quiet_since=None)
        self.incidents[-1] = self.carried_out(last, view)

    def carried_out(self, incident: Incident, view: AlertState) -> Incident:
        history = AttemptHistory(
            incident=tuple(done for done in self.attempts if done.incident_id == incident.id),
            target=tuple(
                done for done in self.attempts if done.started_at > self.now - LONGEST_WINDOW
            ),
            episodes=sum(
                incident.opened_at - LIMITS.flap_window < other.opened_at <= incident.opened_at
                for other in self.incidents
            ),
        )
        match decide(incident, BOOK, history, World(view=view), LIMITS, self.now):
            case Run(step=index):
                step = BOOK.steps[index]
                self.attempts.append(
                    make_attempt(
                        incident_id=incident.id,
                        step=index,
                        action=step.action,
                        delivery=step.delivery,
                        state=AttemptState.VERIFIED,
                        started_at=self.now,
                        ended_at=self.now,
                        verified_at=self.now,
                    )
                )
            case Escalate():
                self.calls += 1
                return replace(incident, escalated_at=self.now)
            case Close():
                return replace(incident, closed_at=self.now)
            case Wait(reason=Reason.FLAPPING) if incident.quiet_since is None:
                return replace(incident, quiet_since=self.now)
        return incident

    def flap(self, fires: float, absent: float) -> None:
        """Fire and be absent for so many seconds, with a pass at each end and beginning."""
        for view, seconds in ((AlertState.FIRING, fires), (AlertState.ABSENT, absent)):
            self.passes(view)
            self.now += timedelta(seconds=seconds)
            self.passes(view)


gaps = st.tuples(st.integers(1, 120), st.integers(1, 290))


@settings(max_examples=max(5, settings().max_examples // 20), deadline=None)
@given(st.lists(gaps, min_size=7, max_size=7))
def test_flaps_of_any_pattern(cycle: list[tuple[int, int]]) -> None:
    """With gaps shorter than the quiet time: few incidents, and the limits kept."""
    flapping = Flapping()
    for number in range(140):
        flapping.flap(*cycle[number % len(cycle)])
    assert len(flapping.incidents) <= LIMITS.flap_episodes + most_apart(cycle)
    for action in {attempt.action for attempt in flapping.attempts}:
        starts = [attempt.started_at for attempt in flapping.attempts if attempt.action == action]
        for first, later in itertools.pairwise(starts):
            assert later - first >= OWN.cooldown
        for first, later in zip(starts, starts[OWN.attempts :], strict=False):
            assert later - first >= OWN.window
    assert flapping.calls <= len(flapping.incidents), (
        "once for each incident, of which there are few"
    )


def most_apart(cycle: list[tuple[int, int]]) -> int:
    """Return how many incidents may pass before three of them are within the window."""
    slowest = max(fires + absent for fires, absent in cycle)
    return 140 if 2 * slowest >= LIMITS.flap_window.total_seconds() else 0


@pytest.mark.parametrize("absent", [1, 30, 280])
def test_a_thousand_flaps_are_three_incidents_and_one_call(absent: int) -> None:
    """The third one takes all the rest, and an operator is called once."""
    flapping = Flapping()
    for _ in range(1000):
        flapping.flap(10, absent)
    assert len(flapping.incidents) == 3
    assert flapping.calls == 1
    assert len(flapping.attempts) <= 5


def test_what_stays_away_is_closed() -> None:
    """After its quiet time, and what comes much later starts again."""
    flapping = Flapping()
    for _ in range(5):
        flapping.flap(10, 20)
    flapping.now += LIMITS.flap_quiet
    flapping.passes(AlertState.ABSENT)
    assert not flapping.incidents[-1].is_open
    flapping.now += LIMITS.flap_window
    flapping.flap(10, 1)
    assert len(flapping.incidents) == 4
    assert not flapping.incidents[-1].is_open
