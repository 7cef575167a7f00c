"""Whatever happens to a run, in any order, with restarts of the reconciler anywhere in between."""

import json
from datetime import timedelta
from pathlib import Path

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.builders import NOW
from trading_ops.domain.readiness import (
    CriterionResult,
    CriterionStatus,
    Observation,
    OnBreach,
    ReadinessRun,
    RunState,
    advance,
    approve,
    refusal,
    sign_off,
)
from trading_ops.readiness.plan import load_plan

PLAN = load_plan(Path("none"))
NAMES = sorted({criterion.name for stage in PLAN.stages for criterion in stage.criteria})


class Qualification(RuleBasedStateMachine):
    """A bot that sometimes fails, a Prometheus that sometimes is silent, an operator."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.approved = 0
        self.run_ = ReadinessRun(id="r", bot="a", begun_at=NOW, entered_at=NOW, evaluated_until=NOW)

    @rule(
        hours=st.integers(1, 200),
        present=st.floats(-1, 2),
        bad=st.dictionaries(
            st.sampled_from(NAMES),
            st.sampled_from([CriterionStatus.UNKNOWN, CriterionStatus.FAILED]),
            max_size=2,
        ),
        quiet=st.booleans(),
    )
    def observe(
        self, hours: int, present: float, bad: dict[str, CriterionStatus], *, quiet: bool
    ) -> None:
        before, span = self.run_, timedelta(hours=hours)
        self.now += span
        bad = {} if quiet else bad
        results = {
            name: CriterionResult(
                status=bad.get(name, CriterionStatus.PASSED), evidence="", at=self.now
            )
            for name in NAMES
        }
        seen = Observation(until=self.now, present=present * span, results=results)
        after, _ = advance(PLAN, before, seen, self.now)
        self.run_ = after
        force = PLAN.criteria(before.stage)
        unmet = {name for name in bad if name in force}
        assert after.credited <= before.credited + span
        if unmet:
            assert after.stage <= before.stage
            assert not after.ready
        if after.stage > before.stage:
            assert not PLAN.stages[after.stage].approval
        failed = {name for name in unmet if bad[name] is CriterionStatus.FAILED}
        waiting = {name for name, criterion in force.items() if criterion.waits}
        if (failed - waiting) & (PLAN.own(before.stage) | before.passed):
            self.stepped_back(before, after)

    def stepped_back(self, before: ReadinessRun, after: ReadinessRun) -> None:
        match PLAN.stages[before.stage].on_breach:
            case OnBreach.RESTART:
                assert not after.credited
                assert after.stage == PLAN.first_of_phase(before.stage)
            case OnBreach.REDUCE:
                assert after.state is RunState.HELD
                assert not after.credited
            case OnBreach.WAIT:
                assert after.stage == before.stage

    @rule()
    def person_approves(self) -> None:
        if not refusal(PLAN, self.run_, self.now):
            self.run_ = approve(PLAN, self.run_, self.now)
            self.approved += 1

    @rule()
    def person_signs_off(self) -> None:
        self.run_ = sign_off(self.run_, self.now)

    @rule()
    def reconciler_restarts(self) -> None:
        """What is stored is all that is needed to continue."""
        stored = json.loads(json.dumps(msgspec.to_builtins(self.run_)))
        again = msgspec.convert(stored, ReadinessRun)
        assert again == self.run_
        self.run_ = again

    @rule()
    def old_observation_comes_again(self) -> None:
        seen = Observation(until=self.now, present=timedelta(hours=1), results={})
        assert advance(PLAN, self.run_, seen, self.now) == (self.run_, ()) or (
            self.run_.evaluated_until < self.now
        )

    @invariant()
    def hours_never_grow_faster_than_time(self) -> None:
        assert timedelta(0) <= self.run_.credited <= self.now - NOW

    @invariant()
    def live_stages_were_approved(self) -> None:
        live = sum(stage.approval for stage in PLAN.stages[: self.run_.stage + 1])
        assert self.approved >= live


TestQualification = Qualification.TestCase
TestQualification.settings = settings(max_examples=60, stateful_step_count=30)
