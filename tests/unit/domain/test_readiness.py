"""The gate from paper to live: what passes, what counts, and what steps back."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.builders import NOW
from trading_ops.domain.readiness import (
    CriterionResult,
    CriterionStatus,
    Observation,
    OnBreach,
    ReadinessPlan,
    ReadinessRun,
    RunChange,
    RunState,
    advance,
    approve,
    figure,
    judge,
    judge_restarts,
    refusal,
    regressed,
    sign_off,
    sign_off_due,
)
from trading_ops.readiness.plan import load_plan

PLAN = load_plan(Path("none"))
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FIRST_LIVE = next(i for i, stage in enumerate(PLAN.stages) if stage.phase == "live")


def new_run(**over: Any) -> ReadinessRun:
    values: dict[str, Any] = {
        "id": "run-1",
        "bot": "alpha",
        "begun_at": NOW,
        "entered_at": NOW,
        "evaluated_until": NOW,
    }
    return ReadinessRun(**(values | over))


def seen(
    run: ReadinessRun,
    *,
    for_: timedelta = MINUTE,
    plan: ReadinessPlan = PLAN,
    **statuses: CriterionStatus,
) -> Observation:
    """Return an observation in which everything is passed, but for what is named."""
    until = run.evaluated_until + for_
    results = {
        name: CriterionResult(status=CriterionStatus.PASSED, evidence="measured", at=until)
        for name in plan.criteria(run.stage)
    }
    for name, status in statuses.items():
        key = name.replace("_", "-")
        results[key] = CriterionResult(status=status, evidence="measured", at=until)
    return Observation(until=until, present=for_, results=results)


def step(run: ReadinessRun, **how: Any) -> tuple[ReadinessRun, tuple[RunChange, ...]]:
    found = seen(run, **how)
    return advance(PLAN, run, found, found.until)


def at_stage(stage: int, **over: Any) -> ReadinessRun:
    passed = frozenset(n for n, criterion in PLAN.criteria(stage).items() if not criterion.waits)
    return new_run(stage=stage, passed=passed, **over)


def test_a_bot_that_does_everything_right_needs_its_hours_and_every_approval() -> None:
    """Through the shipped plan: 120 hours of paper, then three live stages of 48 hours each."""
    run, approvals, hours = new_run(), 0, 0
    while not (run.stage == len(PLAN.stages) - 1 and run.ready):
        run, _ = step(run, for_=HOUR)
        run, hours = sign_off(run, run.evaluated_until), hours + 1
        if run.stage + 1 < len(PLAN.stages) and not refusal(PLAN, run, run.evaluated_until):
            run, approvals = approve(PLAN, run, run.evaluated_until), approvals + 1
        assert hours < 300
    assert (hours, approvals) == (1 + 120 + 3 * 48, 3)


@pytest.mark.parametrize("stage", range(len(PLAN.stages)))
@pytest.mark.parametrize("status", [CriterionStatus.UNKNOWN, CriterionStatus.FAILED])
def test_every_criterion_alone_keeps_a_run_from_passing(
    stage: int, status: CriterionStatus
) -> None:
    """Whichever one it is, and whether it has failed or nothing is known of it."""
    for name in PLAN.criteria(stage):
        run = replace(at_stage(stage), credited=timedelta(hours=500))
        after, _ = step(run, **{name.replace("-", "_"): status})
        assert not after.ready
        assert after.stage <= stage


@pytest.mark.parametrize("stage", range(1, len(PLAN.stages)))
def test_a_breach_at_every_criterion_steps_back(stage: int) -> None:
    """In the paper phase the hours start again; a live stage goes back one and is held."""
    for name, criterion in PLAN.criteria(stage).items():
        if criterion.waits:
            continue
        run = replace(at_stage(stage), credited=HOUR)
        after, changes = step(run, **{name.replace("-", "_"): CriterionStatus.FAILED})
        assert after.credited == timedelta(0)
        assert after.breaches == 1
        assert name in after.reason
        if PLAN.stages[stage].on_breach is OnBreach.RESTART:
            assert (after.state, after.stage) == (RunState.RUNNING, 1)
            assert [change.kind for change in changes] == ["readiness_restarted"]
        else:
            assert (after.state, after.stage) == (RunState.HELD, max(FIRST_LIVE, stage - 1))
            assert [change.kind for change in changes] == ["readiness_stepped_back"]
        assert regressed(after) == [name]


@pytest.mark.parametrize("stage", range(1, len(PLAN.stages)))
def test_a_criterion_that_waits_keeps_the_hours_and_is_not_lost(stage: int) -> None:
    for name, criterion in PLAN.criteria(stage).items():
        if not criterion.waits:
            continue
        run, _ = step(replace(at_stage(stage), credited=HOUR))
        after, changes = step(run, **{name.replace("-", "_"): CriterionStatus.FAILED})
        assert (after.credited, after.breaches, changes) == (HOUR + 2 * MINUTE, 0, ())
        assert regressed(after) == []


def test_time_without_data_counts_as_nothing() -> None:
    """Neither an unknown criterion nor a bot that was not seen adds to the hours."""
    run = at_stage(1)
    after, _ = step(run, feed=CriterionStatus.UNKNOWN)
    assert after.credited == timedelta(0)
    found = replace(seen(run), present=timedelta(seconds=20))
    assert advance(PLAN, run, found, found.until)[0].credited == timedelta(seconds=20)


def test_what_is_not_newer_or_from_the_future_changes_nothing() -> None:
    """A clock that was put back counts no hour twice."""
    run, _ = step(at_stage(1))
    assert advance(PLAN, run, seen(run, for_=timedelta(0)), NOW + HOUR) == (run, ())
    assert advance(PLAN, run, seen(run, for_=-MINUTE), NOW + HOUR) == (run, ())
    assert advance(PLAN, run, seen(run), run.evaluated_until) == (run, ())


def test_a_held_run_counts_nothing_until_a_person_approves() -> None:
    """The approval enters the stage that it stepped back to, once the criteria are passed."""
    held, _ = step(replace(at_stage(FIRST_LIVE + 1)), exposure=CriterionStatus.FAILED)
    bad, _ = step(held, daily_loss=CriterionStatus.UNKNOWN)
    assert "daily-loss" in refusal(PLAN, bad, bad.evaluated_until)
    good, _ = step(held)
    assert (good.state, good.credited) == (RunState.HELD, timedelta(0))
    assert refusal(PLAN, good, good.evaluated_until) == ""
    again = approve(PLAN, good, good.evaluated_until)
    assert (again.state, again.stage) == (RunState.RUNNING, FIRST_LIVE)


def test_an_approval_needs_recent_results() -> None:
    run = replace(at_stage(0), ready=True)
    ready = replace(at_stage(FIRST_LIVE - 1), credited=120 * HOUR)
    ready, _ = step(ready)
    assert refusal(PLAN, ready, ready.evaluated_until) == ""
    assert "too old" in refusal(PLAN, ready, ready.evaluated_until + HOUR)
    assert refusal(PLAN, replace(run, state=RunState.ABORTED), NOW)


def test_an_overdue_sign_off_stops_the_hours_and_the_schedule_ends() -> None:
    run = at_stage(FIRST_LIVE)
    assert sign_off_due(PLAN, run) == NOW + 4 * HOUR
    late, _ = step(replace(run, evaluated_until=NOW + 4 * HOUR))
    assert late.credited == timedelta(0)
    signed, _ = step(sign_off(late, late.evaluated_until))
    assert signed.credited == MINUTE
    assert sign_off_due(PLAN, sign_off(run, NOW + 48 * HOUR)) is None


def test_a_restart_needs_an_explanation() -> None:
    """However long nothing was seen in between."""
    run = at_stage(1, start=100.0)
    assert judge_restarts(run, None, "", NOW).status is CriterionStatus.UNKNOWN
    assert judge_restarts(run, 100.0, "", NOW).status is CriterionStatus.PASSED
    assert judge_restarts(run, 200.0, "", NOW).status is CriterionStatus.FAILED
    assert judge_restarts(run, 200.0, "attempt 1", NOW).status is CriterionStatus.PASSED
    assert judge_restarts(new_run(), 200.0, "", NOW).status is CriterionStatus.PASSED


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_value_that_is_no_number_is_unknown(value: float | None) -> None:
    memory = PLAN.criteria(0)["memory"]
    assert judge(memory, value, "", NOW).status is CriterionStatus.UNKNOWN
    assert judge(memory, 199e6, "", NOW).status is CriterionStatus.PASSED
    assert judge(memory, 200e6, "", NOW).status is CriterionStatus.FAILED


@pytest.mark.parametrize(
    ("value", "text"), [(2e8, "200,000,000"), (0.001, "0.001"), (1.0, "1"), (-1234.5, "-1,234")]
)
def test_figures_are_written_without_exponents(value: float, text: str) -> None:
    """A limit of 200 MB is not shown as 2e+08."""
    assert figure(value) == text
