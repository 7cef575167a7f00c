"""The gate from paper to live trading, as a pure state machine.

A run takes one bot through the stages of a plan. Each criterion of a stage is passed, failed or
unknown; unknown never passes. Only time counts in which the bot was observed working and every
criterion of the phase was passed. A failed criterion steps the run back.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

FRESH = timedelta(minutes=15)
"""Maximum age of results for an approval."""

ZERO = timedelta(0)


class CriterionStatus(StrEnum):
    """State of a criterion."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """No data, a partial answer, or not checked yet."""


class OnBreach(StrEnum):
    """Effect of a failed criterion in a phase."""

    WAIT = "wait"
    """The run waits."""

    RESTART = "restart"
    """The hours of the phase start again at zero."""

    REDUCE = "reduce"
    """The bot becomes reduce-only, and the run steps back one stage until an operator approves."""


class RunState(StrEnum):
    """State of a run."""

    RUNNING = "running"
    HELD = "held"
    """A criterion failed in a live stage: reduce-only until an operator approves."""

    ABORTED = "aborted"


def figure(value: float) -> str:
    """Format a value: `200,000,000`, `0.001`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"  # noqa: PLR2004


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit of a value, such as `< 0.001`."""

    operator: str
    value: float

    def holds(self, value: float) -> bool:
        """Whether a value is inside the limit; NaN never is."""
        match self.operator:
            case "<":
                return value < self.value
            case "<=":
                return value <= self.value
            case ">":
                return value > self.value
            case _:
                return value >= self.value

    def __str__(self) -> str:
        """Return the formatted limit."""
        return f"{self.operator} {figure(self.value)}"


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """A measured criterion; exactly one source is set."""

    name: str
    query: str = ""
    """PromQL with `$bot`, `$venue`, `$window` and `$run`; must return one sample."""

    check: str = ""
    """A built-in check, run by `trading-ops readiness check`."""

    command: tuple[str, ...] = ()
    """A program, run by `trading-ops readiness check`: exit code 0, or a number that is printed."""

    verified: tuple[str, ...] = ()
    """Actions that must each have a verified attempt on this bot."""

    drilled: tuple[str, ...] = ()
    """Alerts of which each must have had an incident of this bot that ended automatically."""

    restarts: bool = False
    """No restart without an attempt or maintenance window; `query` returns the start time."""

    limit: Limit | None = None
    waits: bool = False
    """While it fails, the stage is not passed, but failing is not a breach."""

    @property
    def is_run_by_command(self) -> bool:
        """Whether the command line measures it instead of the reconciler."""
        return bool(self.check or self.command)


@dataclass(frozen=True, kw_only=True)
class ReadinessStage:
    """One step of a plan."""

    name: str
    phase: str
    on_breach: OnBreach
    approval: bool = False
    """Entering it needs an operator's approval."""

    hours: float = 0.0
    """Required hours: of the phase if a breach restarts it, else of this stage."""

    sign_off_every: timedelta | None = None
    sign_off_for: timedelta = ZERO
    criteria: tuple[Criterion, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReadinessPlan:
    """The stages from paper to live trading."""

    present: str
    """PromQL: seconds of `$window` in which the bot was observed working."""

    stages: tuple[ReadinessStage, ...]

    def criteria(self, stage: int) -> dict[str, Criterion]:
        """Return the criteria in force at a stage; a later one replaces an earlier one by name."""
        return {
            criterion.name: criterion
            for at in self.stages[: stage + 1]
            for criterion in at.criteria
        }

    def own(self, stage: int) -> frozenset[str]:
        """Return the names of the criteria of the stage's phase, up to this stage."""
        phase = self.stages[stage].phase
        upto = self.stages[: stage + 1]
        return frozenset(
            criterion.name for at in upto if at.phase == phase for criterion in at.criteria
        )

    def first_of_phase(self, stage: int) -> int:
        """Return the first stage of a stage's phase."""
        phase = self.stages[stage].phase
        return next(index for index, at in enumerate(self.stages) if at.phase == phase)


@dataclass(frozen=True, kw_only=True)
class CriterionResult:
    """Result of one criterion."""

    status: CriterionStatus
    evidence: str
    at: datetime
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Observation of a bot from the last evaluation until a time."""

    until: datetime
    present: timedelta
    """Time in which the bot was observed working."""

    results: Mapping[str, CriterionResult]
    start: float | None = None
    """Start of the bot's process in Unix seconds; None: unknown."""


@dataclass(frozen=True, kw_only=True)
class ReadinessRun:
    """A bot's stored progress through a plan."""

    id: str
    bot: str
    begun_at: datetime
    entered_at: datetime
    """When the current stage was entered."""

    evaluated_until: datetime
    state: RunState = RunState.RUNNING
    stage: int = 0
    credited: timedelta = ZERO
    """Credited time."""

    ready: bool = False
    """Whether all conditions of the stage were met at the last evaluation."""

    signed_at: datetime | None = None
    start: float | None = None
    seen_at: datetime | None = None
    """When `start` was last observed."""

    breaches: int = 0
    reason: str = ""
    """Evidence of the last step back."""

    results: Mapping[str, CriterionResult] = field(default_factory=dict)
    passed: frozenset[str] = frozenset()
    """Criteria that have passed at least once."""

    @property
    def hold_key(self) -> str:
        """Return the id of the hold that the last step back places; each breach has its own."""
        return f"readiness-{self.id}-{self.breaches}"


@dataclass(frozen=True, kw_only=True)
class RunChange:
    """A change to record in the audit log."""

    kind: str
    note: str


def judge(
    criterion: Criterion, value: float | None, evidence: str, at: datetime
) -> CriterionResult:
    """Compare a measured value with the limit; not finite is unknown."""
    if value is None or not math.isfinite(value) or criterion.limit is None:
        return CriterionResult(status=CriterionStatus.UNKNOWN, evidence=evidence, at=at)
    status = CriterionStatus.PASSED if criterion.limit.holds(value) else CriterionStatus.FAILED
    return CriterionResult(status=status, evidence=evidence, at=at, value=value)


def judge_restarts(
    run: ReadinessRun, start: float | None, explained: str, at: datetime
) -> CriterionResult:
    """Compare the start of the bot's process with the last observed one."""
    if start is None:
        return CriterionResult(
            status=CriterionStatus.UNKNOWN, evidence="start of the process unknown", at=at
        )
    if run.start is None or start == run.start:
        return CriterionResult(
            status=CriterionStatus.PASSED, evidence="no restart", at=at, value=0.0
        )
    if explained:
        return CriterionResult(
            status=CriterionStatus.PASSED, evidence=f"explained by {explained}", at=at, value=0.0
        )
    evidence = "restart without a recorded attempt or maintenance window"
    return CriterionResult(status=CriterionStatus.FAILED, evidence=evidence, at=at, value=1.0)


def sign_off_due(plan: ReadinessPlan, run: ReadinessRun) -> datetime | None:
    """Return the deadline of the next sign-off; None: none is due."""
    stage = plan.stages[run.stage]
    if stage.sign_off_every is None:
        return None
    last = max(run.entered_at, run.signed_at or run.entered_at)
    return last + stage.sign_off_every if last < run.entered_at + stage.sign_off_for else None


def regressed(run: ReadinessRun) -> list[str]:
    """Return the criteria that had passed and now fail."""
    return sorted(
        name
        for name, result in run.results.items()
        if result.status is CriterionStatus.FAILED and name in run.passed
    )


def advance(
    plan: ReadinessPlan, run: ReadinessRun, seen: Observation, now: datetime
) -> tuple[ReadinessRun, tuple[RunChange, ...]]:
    """Return the run after an observation, and the changes to record.

    An observation that is not newer than the last one, or is from the future, is ignored.
    """
    if run.state is RunState.ABORTED or not run.evaluated_until < seen.until <= now:
        return run, ()
    results = _complete(plan, run, seen)
    failed = {name for name, result in results.items() if result.status is CriterionStatus.FAILED}
    waiting = {name for name, criterion in plan.criteria(run.stage).items() if criterion.waits}
    breaches = sorted(failed & (plan.own(run.stage) | run.passed) - waiting)
    passed = {name for name, result in results.items() if result.status is CriterionStatus.PASSED}
    overdue = (due := sign_off_due(plan, run)) is not None and due < seen.until
    after = replace(
        run,
        evaluated_until=seen.until,
        results=results,
        passed=run.passed | passed - waiting,
        start=run.start if seen.start is None else seen.start,
        seen_at=run.seen_at if seen.start is None else seen.until,
        ready=False,
    )
    if breaches:
        evidence = "; ".join(f"{name}: {results[name].evidence}" for name in breaches)
        return _step_back(plan, after, evidence, now)
    if run.state is RunState.HELD:
        return after, ()
    if plan.own(run.stage) <= passed | waiting and not overdue:
        present = max(ZERO, min(seen.present, seen.until - run.evaluated_until))
        after = replace(after, credited=run.credited + present)
    stage = plan.stages[run.stage]
    enough = after.credited >= timedelta(hours=stage.hours)
    if not (results.keys() == passed and enough and not overdue):
        return after, ()
    return _met(plan, replace(after, ready=True), now, was=run.ready)


def _complete(
    plan: ReadinessPlan, run: ReadinessRun, seen: Observation
) -> dict[str, CriterionResult]:
    """Return a result for each active criterion; unknown without an observation."""
    missing = CriterionResult(
        status=CriterionStatus.UNKNOWN, evidence="not measured yet", at=seen.until
    )
    return {name: seen.results.get(name, missing) for name in plan.criteria(run.stage)}


def _met(
    plan: ReadinessPlan, run: ReadinessRun, now: datetime, *, was: bool
) -> tuple[ReadinessRun, tuple[RunChange, ...]]:
    """Enter the next stage, or wait for approval."""
    stage = plan.stages[run.stage]
    last = run.stage + 1 == len(plan.stages)
    if last or plan.stages[run.stage + 1].approval:
        note = f"{run.bot}: {stage.phase}/{stage.name} is passed"
        note += "" if last else "; the next stage needs approval"
        return run, () if was else (RunChange(kind="readiness_passed", note=note),)
    entered = _enter(plan, run, run.stage + 1, now)
    note = f"{run.bot}: {stage.phase}/{stage.name} is passed"
    return entered, (RunChange(kind="readiness_advanced", note=note),)


def _enter(plan: ReadinessPlan, run: ReadinessRun, stage: int, now: datetime) -> ReadinessRun:
    before, after = plan.stages[run.stage], plan.stages[stage]
    goes_on = before.phase == after.phase and after.on_breach is OnBreach.RESTART
    return replace(
        run,
        stage=stage,
        credited=run.credited if goes_on else ZERO,
        entered_at=now,
        signed_at=None,
        ready=False,
    )


def _step_back(
    plan: ReadinessPlan, run: ReadinessRun, evidence: str, now: datetime
) -> tuple[ReadinessRun, tuple[RunChange, ...]]:
    stage, first = plan.stages[run.stage], plan.first_of_phase(run.stage)
    note = f"{run.bot}: {stage.phase}/{stage.name}: {evidence}"
    match stage.on_breach:
        case OnBreach.WAIT:
            return run, ()
        case OnBreach.RESTART:
            if not run.credited and run.stage == first:
                return run, ()
            back = _enter(plan, replace(run, credited=ZERO), first, now)
            back = replace(back, reason=evidence, breaches=run.breaches + 1)
            return back, (RunChange(kind="readiness_restarted", note=note),)
        case OnBreach.REDUCE:
            if run.state is RunState.HELD:
                return run, ()
            back = _enter(plan, run, max(first, run.stage - 1), now)
            back = replace(
                back, state=RunState.HELD, reason=evidence, breaches=run.breaches + 1, credited=ZERO
            )
            return back, (RunChange(kind="readiness_stepped_back", note=note),)


def refusal(plan: ReadinessPlan, run: ReadinessRun, now: datetime) -> str:
    """Return why the next stage cannot be approved now; empty if it can."""
    if run.state is RunState.ABORTED:
        return "the run was aborted: begin a new run"
    if now - run.evaluated_until > FRESH:
        return f"the last evaluation is from {run.evaluated_until:%Y-%m-%d %H:%M:%S} UTC, too old"
    if run.state is RunState.HELD:
        bad = [
            n for n, result in run.results.items() if result.status is not CriterionStatus.PASSED
        ]
        bad = sorted(set(bad) & (plan.own(run.stage) | set(regressed(run))))
        return f"these criteria are not passed: {', '.join(bad)}" if bad else ""
    if not run.ready:
        return f"{missing(plan, run, now)}"
    if run.stage + 1 == len(plan.stages):
        return "this is the last stage"
    return ""


def missing(plan: ReadinessPlan, run: ReadinessRun, now: datetime) -> str:
    """Return what a stage is still missing."""
    stage, found = plan.stages[run.stage], []
    names = [n for n, result in run.results.items() if result.status is not CriterionStatus.PASSED]
    if names or not run.results:
        found.append("not passed: " + (", ".join(sorted(names)) or "all criteria"))
    if run.credited < timedelta(hours=stage.hours):
        found.append(f"{run.credited / timedelta(hours=1):.1f} of {stage.hours:g} hours count")
    if (due := sign_off_due(plan, run)) is not None and due < now:
        found.append("a sign-off is overdue")
    return "; ".join(found) or "the next evaluation, within a minute"


def target_stage(run: ReadinessRun) -> int:
    """Return the stage that an approval enters: the next, or the current one after a step back."""
    return run.stage if run.state is RunState.HELD else run.stage + 1


def approve(plan: ReadinessPlan, run: ReadinessRun, now: datetime) -> ReadinessRun:
    """Return the run after an approval; check `refusal` first."""
    entered = _enter(plan, run, target_stage(run), now)
    return replace(entered, state=RunState.RUNNING)


def sign_off(run: ReadinessRun, now: datetime) -> ReadinessRun:
    """Return the run after a sign-off."""
    return replace(run, signed_at=now)


def abort(run: ReadinessRun) -> ReadinessRun:
    """Return the aborted run."""
    return replace(run, state=RunState.ABORTED, ready=False)


def with_checks(run: ReadinessRun, found: Mapping[str, CriterionResult]) -> ReadinessRun:
    """Return the run with check results, for the next evaluation."""
    return replace(run, results={**run.results, **found})
