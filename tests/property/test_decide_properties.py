"""What must hold for every decision, whatever is known: found by looking for a counterexample."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import (
    NOW,
    ONE_SHOT,
    SAFE,
    make_approval,
    make_attempt,
    make_incident,
    make_runbook,
    make_step,
)
from trading_ops.domain.approval import ApprovalState, digest
from trading_ops.domain.attempt import RUNNING, Attempt, AttemptState, DeliverySemantics
from trading_ops.domain.decide import decide
from trading_ops.domain.decision import (
    AlertState,
    AttemptHistory,
    Close,
    Decision,
    Escalate,
    GlobalLimits,
    Pause,
    Run,
    Wait,
    World,
)
from trading_ops.domain.incident import Incident
from trading_ops.domain.maintenance import Maintenance
from trading_ops.domain.runbook import Limits, Runbook
from trading_ops.reconciler.metrics import kind_of, possible_decisions

PAUSE = Pause(owner="ada", reason="why", expires_at=NOW + timedelta(hours=1))
WINDOW = Maintenance(
    target="alpha", owner="ada", reason="why", begins_at=NOW, ends_at=NOW + timedelta(hours=1)
)
APPROVED = make_step(approval=True)
seconds = st.integers(0, 7200).map(lambda number: NOW - timedelta(seconds=number))

attempts = st.builds(
    make_attempt,
    state=st.sampled_from(AttemptState),
    step=st.integers(0, 3),
    action=st.sampled_from(["reconnect_broker", "restart_bot", "halt_trading"]),
    runbook=st.sampled_from(["BotSick", "Other"]),
    started_at=seconds,
    ended_at=st.none() | seconds,
    verified_at=st.none() | seconds,
)
histories = st.builds(
    AttemptHistory,
    incident=st.lists(attempts, max_size=4).map(tuple),
    target=st.lists(attempts, max_size=6).map(tuple),
    everywhere=st.integers(0, 30),
    episodes=st.integers(1, 5),
)
runbooks = st.none() | st.builds(
    make_runbook,
    steps=st.lists(st.sampled_from([make_step(), ONE_SHOT, SAFE, APPROVED]), max_size=3).map(tuple),
    limits=st.builds(
        Limits,
        cooldown=st.integers(0, 600).map(lambda number: timedelta(seconds=number)),
        attempts=st.integers(1, 5),
        window=st.integers(60, 3600).map(lambda number: timedelta(seconds=number)),
    ),
    unless=st.sampled_from([(), ("VenueDown",)]),
    observe_only=st.booleans(),
)
worlds = st.builds(
    World,
    view=st.sampled_from(AlertState),
    pause=st.sampled_from([None, PAUSE]),
    observe_only=st.booleans(),
    target_registered=st.booleans(),
    blocking=st.sampled_from([(), ("VenueDown",)]),
    failing_targets=st.integers(0, 6),
    precondition=st.sampled_from([None, "it is well"]),
    target_observe_only=st.booleans(),
    maintenance=st.sampled_from([None, WINDOW]),
    halted=st.sampled_from([None, "by ada: why"]),
    failing_peak=st.integers(0, 6),
    peers=st.integers(0, 5),
    failing_peers=st.integers(0, 5),
    approvals=st.builds(
        make_approval,
        state=st.sampled_from(ApprovalState),
        params=st.sampled_from([{}, {"other": "x"}]),
        expires_at=st.integers(-60, 600).map(lambda number: NOW + timedelta(seconds=number)),
    ).map(lambda build: {build.digest: build}),
)
incidents = st.builds(
    make_incident,
    starts_at=seconds,
    escalated_at=st.none() | seconds,
    quiet_since=st.none() | seconds,
)
LIMITS = GlobalLimits()
POSSIBLE = frozenset(possible_decisions())


def answer(
    incident: Incident, runbook: Runbook | None, history: AttemptHistory, world: World
) -> Decision:
    return decide(incident, runbook, history, world, LIMITS, NOW)


@given(incidents, runbooks, histories, worlds)
def test_it_is_total_and_every_answer_has_its_metric(
    incident: Incident, runbook: Runbook | None, history: AttemptHistory, world: World
) -> None:
    """No combination is without an answer, and none without a counter created at zero."""
    decision = answer(incident, runbook, history, world)
    assert (kind_of(decision), decision.reason) in POSSIBLE


@given(incidents, runbooks, histories, worlds)
def test_it_never_runs_behind_a_shut_gate(
    incident: Incident, runbook: Runbook | None, history: AttemptHistory, world: World
) -> None:
    """Running means: certainly firing, no one else's, nothing under way, automation on."""
    decision = answer(incident, runbook, history, world)
    if not isinstance(decision, Run):
        return
    assert runbook is not None
    assert world.view is AlertState.FIRING
    assert world.pause is None
    assert not any((world.observe_only, world.target_observe_only, runbook.observe_only))
    assert world.target_registered
    assert incident.escalated_at is None
    assert 0 <= decision.step < len(runbook.steps)
    if runbook.steps[decision.step].delivery is DeliverySemantics.SAFE_DIRECTION:
        return
    assert not world.blocking
    assert world.precondition is None
    assert world.maintenance is None
    assert world.halted is None
    assert max(world.failing_targets, world.failing_peak) <= LIMITS.storm_targets
    healthy = world.peers - world.failing_peers
    assert healthy >= LIMITS.minimum_healthy_share * world.peers
    assert history.everywhere < LIMITS.attempts
    assert not any(attempt.state in RUNNING for attempt in history.target)


@given(incidents, runbooks, histories, worlds)
def test_it_never_runs_without_the_approval_it_needs(
    incident: Incident, runbook: Runbook | None, history: AttemptHistory, world: World
) -> None:
    """Given, not yet used, still good, and for exactly this."""
    decision = answer(incident, runbook, history, world)
    if not isinstance(decision, Run) or runbook is None:
        return
    step = runbook.steps[decision.step]
    if not step.approval:
        return
    wanted = digest(
        incident_id=incident.id,
        action=step.action,
        target=str(incident.target),
        params=step.params,
        step=decision.step,
    )
    given = world.approvals[wanted]
    assert given.state is ApprovalState.APPROVED
    assert given.expires_at > NOW


@given(incidents, runbooks, histories, worlds)
def test_it_never_runs_beyond_its_budget(
    incident: Incident, runbook: Runbook | None, history: AttemptHistory, world: World
) -> None:
    """Cooldown and attempts hold for the runbook and for the action on the target."""
    decision = answer(incident, runbook, history, world)
    if not isinstance(decision, Run) or runbook is None:
        return
    step = runbook.steps[decision.step]
    if step.delivery is DeliverySemantics.SAFE_DIRECTION:
        return

    def counts(attempt: Attempt) -> bool:
        return attempt.started_at > NOW - runbook.limits.window

    recent = [attempt for attempt in history.target if counts(attempt)]
    for group in (
        [attempt for attempt in recent if attempt.runbook == runbook.alert],
        [attempt for attempt in recent if attempt.action == step.action],
    ):
        assert len(group) < runbook.limits.attempts
        for attempt in group:
            assert NOW - attempt.started_at >= runbook.limits.cooldown


@given(incidents, runbooks, histories, worlds)
def test_what_has_ended_starts_nothing(
    incident: Incident, runbook: Runbook | None, history: AttemptHistory, world: World
) -> None:
    """Only an alert that fires now leads to a step; an absent one is closed or finished."""
    decision = answer(incident, runbook, history, world)
    if world.view is not AlertState.FIRING:
        assert not isinstance(decision, Run)
    if isinstance(decision, Close):
        assert world.view is AlertState.ABSENT


@given(incidents, runbooks, histories, worlds)
def test_a_person_is_called_at_most_once(
    incident: Incident, runbook: Runbook | None, history: AttemptHistory, world: World
) -> None:
    """What was handed over is not handed over again."""
    decision = answer(incident, runbook, history, world)
    if incident.escalated_at is not None:
        assert not isinstance(decision, Escalate)


@given(incidents, runbooks, histories, worlds)
def test_a_wait_with_an_end_ends_later(
    incident: Incident, runbook: Runbook | None, history: AttemptHistory, world: World
) -> None:
    """A time to look again is in the future, so that the loop never spins."""
    decision = answer(incident, runbook, history, world)
    if isinstance(decision, Wait) and decision.until is not None:
        assert decision.until > NOW
