"""`decide`, case by case: each row is one rule, and names the reason that must be given."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import (
    NOW,
    ONE_SHOT,
    SAFE,
    ago,
    make_approval,
    make_attempt,
    make_incident,
    make_runbook,
    make_step,
)
from trading_ops.domain.approval import ApprovalState
from trading_ops.domain.attempt import AttemptState, DeliverySemantics
from trading_ops.domain.decide import decide, next_step
from trading_ops.domain.decision import (
    AlertState,
    AttemptHistory,
    Close,
    Decision,
    Escalate,
    GlobalLimits,
    Impostor,
    Pause,
    Reason,
    Run,
    Verify,
    Wait,
    World,
)
from trading_ops.domain.maintenance import Maintenance
from trading_ops.domain.runbook import Limits
from trading_ops.domain.target import OWN_BOTS, Kind

PAUSE = Pause(owner="ada", reason="upgrade", expires_at=NOW + timedelta(hours=1))
STARTED = make_attempt(state=AttemptState.STARTED, ended_at=None, started_at=ago(2))
SUCCEEDED = make_attempt(state=AttemptState.SUCCEEDED, started_at=ago(5), ended_at=ago(3))
UNKNOWN = make_attempt(state=AttemptState.UNKNOWN, started_at=ago(300), ended_at=ago(30))
LONG_UNKNOWN = make_attempt(state=AttemptState.UNKNOWN, started_at=ago(300), ended_at=ago(60))
VERIFIED = make_attempt(state=AttemptState.VERIFIED, verified_at=ago(5))
ELSEWHERE = make_attempt(runbook="Other", incident_id="incident-2", action="restart_component")


WINDOW = Maintenance(
    target=None, owner="ada", reason="move", begins_at=ago(60), ends_at=NOW + timedelta(hours=1)
)
APPROVED = make_step(approval=True)


def world(**over: Any) -> World:
    values: dict[str, Any] = {"view": AlertState.FIRING}
    return World(**(values | over))


def asked(state: ApprovalState, **over: Any) -> dict[str, Any]:
    """A step that needs approval, and what became of the request for it."""
    approval = make_approval(state=state, **over)
    return {
        "runbook": make_runbook(steps=(APPROVED,)),
        "world": world(approvals={approval.digest: approval}),
    }


CASES: Mapping[str, tuple[dict[str, Any], type, Reason]] = {
    # What is under way comes first.
    "a running attempt is waited for": (
        {"history": AttemptHistory(incident=(STARTED,), target=(STARTED,))},
        Wait,
        Reason.ATTEMPT_RUNNING,
    ),
    "a running attempt is waited for although the alert is gone": (
        {"history": AttemptHistory(incident=(STARTED,)), "world": world(view=AlertState.ABSENT)},
        Wait,
        Reason.ATTEMPT_RUNNING,
    ),
    "success is verified": (
        {"history": AttemptHistory(incident=(SUCCEEDED,))},
        Verify,
        Reason.ATTEMPT_SUCCEEDED,
    ),
    "success on a target that is no longer registered is waited for": (
        {"history": AttemptHistory(incident=(SUCCEEDED,)), "world": world(target_registered=False)},
        Wait,
        Reason.OUTCOME_UNKNOWN,
    ),
    "success without its runbook is waited for": (
        {"history": AttemptHistory(incident=(SUCCEEDED,)), "runbook": None},
        Wait,
        Reason.OUTCOME_UNKNOWN,
    ),
    "success of a step that is no longer in the runbook is waited for": (
        {
            "history": AttemptHistory(
                incident=(make_attempt(state=AttemptState.SUCCEEDED, step=7, ended_at=ago(5)),)
            )
        },
        Wait,
        Reason.OUTCOME_UNKNOWN,
    ),
    "an unknown outcome is probed, never repeated": (
        {"history": AttemptHistory(incident=(UNKNOWN,))},
        Wait,
        Reason.OUTCOME_UNKNOWN,
    ),
    "an outcome unknown for too long goes to a person": (
        {"history": AttemptHistory(incident=(LONG_UNKNOWN,))},
        Escalate,
        Reason.OUTCOME_UNKNOWN,
    ),
    "an unknown outcome that a person has closes when the alert is gone": (
        {
            "history": AttemptHistory(incident=(LONG_UNKNOWN,)),
            "incident": make_incident(escalated_at=ago(1)),
            "world": world(view=AlertState.ABSENT),
        },
        Close,
        Reason.RESOLVED,
    ),
    # What the alert says now.
    "an alert that resolved on its own is closed": (
        {"world": world(view=AlertState.ABSENT)},
        Close,
        Reason.RESOLVED,
    ),
    "an alert that ended after a verified attempt has recovered": (
        {"world": world(view=AlertState.ABSENT), "history": AttemptHistory(incident=(VERIFIED,))},
        Close,
        Reason.RECOVERED,
    ),
    "a failed attempt is no recovery": (
        {
            "world": world(view=AlertState.ABSENT),
            "history": AttemptHistory(incident=(make_attempt(),)),
        },
        Close,
        Reason.RESOLVED,
    ),
    "a pending alert is not acted on": (
        {"world": world(view=AlertState.PENDING)},
        Wait,
        Reason.ALERT_PENDING,
    ),
    "acknowledged suppresses, with its silence or not yet": (
        {"world": world(acknowledged="acknowledged by anna")},
        Wait,
        Reason.ACKNOWLEDGED,
    ),
    "silenced suppresses": ({"world": world(view=AlertState.SILENCED)}, Wait, Reason.SILENCED),
    "inhibited suppresses": (
        {"world": world(view=AlertState.INHIBITED)},
        Wait,
        Reason.INHIBITED,
    ),
    "what is unknown is not acted on": (
        {"world": world(view=AlertState.UNKNOWN)},
        Wait,
        Reason.SOURCE_UNKNOWN,
    ),
    # In whose hands it is.
    "what a person has is left alone": (
        {"incident": make_incident(escalated_at=ago(1))},
        Wait,
        Reason.ESCALATED,
    ),
    "a verified alert may fade": (
        {"history": AttemptHistory(incident=(VERIFIED,))},
        Wait,
        Reason.AWAITING_RESOLVE,
    ),
    "an alert without runbook goes to a person": ({"runbook": None}, Escalate, Reason.NO_RUNBOOK),
    "a runbook without steps is page-only": (
        {"runbook": make_runbook(steps=())},
        Wait,
        Reason.PAGE_ONLY,
    ),
    "a label that names no target is never acted on": (
        {"world": world(target_registered=False)},
        Escalate,
        Reason.TARGET_UNKNOWN,
    ),
    # Which step.
    "the first step is due": ({}, Run, Reason.STEP_DUE),
    "all steps tried goes to a person": (
        {"history": AttemptHistory(incident=(make_attempt(step=1),))},
        Escalate,
        Reason.STEPS_EXHAUSTED,
    ),
    "a fix that did not last is not repeated forever": (
        {
            "history": AttemptHistory(
                incident=(make_attempt(step=1, state=AttemptState.VERIFIED, verified_at=ago(40)),)
            )
        },
        Escalate,
        Reason.STEPS_EXHAUSTED,
    ),
    # The gates.
    "paused": ({"world": world(pause=PAUSE)}, Wait, Reason.PAUSED),
    "observe only": ({"world": world(observe_only=True)}, Wait, Reason.OBSERVE_ONLY),
    "a storm is waited out": ({"world": world(failing_targets=4)}, Wait, Reason.STORM),
    "a large fleet may have more that fail": (
        {"world": world(failing_targets=20, fleet=200)},
        Run,
        Reason.STEP_DUE,
    ),
    "a storm of a large fleet": (
        {"world": world(failing_targets=21, fleet=200)},
        Wait,
        Reason.STORM,
    ),
    "the global budget of a large fleet": (
        {"world": world(fleet=500), "history": AttemptHistory(everywhere=49)},
        Run,
        Reason.STEP_DUE,
    ),
    "as many failing targets as allowed is no storm": (
        {"world": world(failing_targets=3)},
        Run,
        Reason.STEP_DUE,
    ),
    "the global budget": ({"history": AttemptHistory(everywhere=20)}, Wait, Reason.GLOBAL_BUDGET),
    "one attempt below the global budget": (
        {"history": AttemptHistory(everywhere=19)},
        Run,
        Reason.STEP_DUE,
    ),
    "another incident's attempt holds the target": (
        {
            "history": AttemptHistory(
                target=(make_attempt(incident_id="x", state=AttemptState.UNKNOWN),)
            )
        },
        Wait,
        Reason.TARGET_BUSY,
    ),
    "the cause is elsewhere": (
        {"world": world(blocking=("VenueDown",))},
        Wait,
        Reason.CAUSE_ELSEWHERE,
    ),
    "a one-shot gives its cause time to show": (
        {
            "runbook": make_runbook(steps=(ONE_SHOT,)),
            "incident": make_incident(starts_at=ago(1), received_at=ago(1)),
        },
        Wait,
        Reason.AWAITING_CAUSE,
    ),
    "a start that a sender has set in the future holds nothing back": (
        {
            "runbook": make_runbook(steps=(ONE_SHOT,)),
            "incident": make_incident(starts_at=ago(-9e8), received_at=ago(4)),
        },
        Run,
        Reason.STEP_DUE,
    ),
    "the clock has stepped back by an hour since the alert came": (
        {
            "runbook": make_runbook(steps=(ONE_SHOT,)),
            "incident": make_incident(starts_at=ago(-3600), received_at=ago(-3600)),
        },
        Run,
        Reason.STEP_DUE,
    ),
    "the clock has stepped back by an hour since the last attempt": (
        {"history": AttemptHistory(target=(make_attempt(started_at=ago(-3600)),))},
        Run,
        Reason.STEP_DUE,
    ),
    "the clock has stepped back by hours since the attempts of a window": (
        {
            "history": AttemptHistory(
                target=tuple(make_attempt(started_at=ago(-7200 - n)) for n in range(4))
            )
        },
        Run,
        Reason.STEP_DUE,
    ),
    "the clock has stepped back by an hour since the outcome was lost": (
        {
            "history": AttemptHistory(
                incident=(make_attempt(state=AttemptState.UNKNOWN, ended_at=ago(-3600)),)
            )
        },
        Escalate,
        Reason.OUTCOME_UNKNOWN,
    ),
    "the clock has stepped back by an hour since the verification": (
        {
            "history": AttemptHistory(
                incident=(
                    make_attempt(
                        state=AttemptState.VERIFIED,
                        started_at=ago(-3590),
                        verified_at=ago(-3600),
                    ),
                )
            )
        },
        Run,
        Reason.STEP_DUE,
    ),
    "a one-shot without possible cause need not wait": (
        {
            "runbook": make_runbook(steps=(ONE_SHOT,), unless=()),
            "incident": make_incident(starts_at=ago(1)),
        },
        Run,
        Reason.STEP_DUE,
    ),
    "an idempotent step need not wait for a cause": (
        {"incident": make_incident(starts_at=ago(1))},
        Run,
        Reason.STEP_DUE,
    ),
    "cooldown of the runbook": (
        {"history": AttemptHistory(target=(make_attempt(started_at=ago(19)),))},
        Wait,
        Reason.COOLDOWN,
    ),
    "cooldown is over to the second": (
        {"history": AttemptHistory(target=(make_attempt(started_at=ago(20)),))},
        Run,
        Reason.STEP_DUE,
    ),
    "cooldown of the same action by another runbook": (
        {"history": AttemptHistory(target=(make_attempt(runbook="Other", started_at=ago(5)),))},
        Wait,
        Reason.COOLDOWN,
    ),
    "other actions of other runbooks do not count": (
        {"history": AttemptHistory(target=(ELSEWHERE,))},
        Run,
        Reason.STEP_DUE,
    ),
    "attempts of the runbook in its window": (
        {
            "history": AttemptHistory(
                target=tuple(make_attempt(started_at=ago(60 * n)) for n in (4, 3, 2, 1))
            )
        },
        Escalate,
        Reason.ATTEMPTS_EXHAUSTED,
    ),
    "the same action counts across runbooks": (
        {
            "history": AttemptHistory(
                target=tuple(
                    make_attempt(runbook=f"Other{n}", started_at=ago(60 * n)) for n in (4, 3, 2, 1)
                )
            )
        },
        Escalate,
        Reason.ATTEMPTS_EXHAUSTED,
    ),
    "attempts before the window do not count": (
        {
            "history": AttemptHistory(
                target=tuple(make_attempt(started_at=ago(3600 + n)) for n in range(4))
            )
        },
        Run,
        Reason.STEP_DUE,
    ),
    "a target that is well itself is left alone": (
        {"world": world(precondition="alpha reports that it is healthy")},
        Wait,
        Reason.TARGET_HEALTHY,
    ),
    "a target for which another process answers": (
        {"world": world(precondition=Impostor("process 7:7 answers for alpha"))},
        Wait,
        Reason.TARGET_IMPOSTOR,
    ),
    "a runbook that only observes": (
        {"runbook": make_runbook(observe_only=True)},
        Wait,
        Reason.OBSERVE_ONLY,
    ),
    "a target that is only observed": (
        {"world": world(target_observe_only=True)},
        Wait,
        Reason.OBSERVE_ONLY,
    ),
    "maintenance": ({"world": world(maintenance=WINDOW)}, Wait, Reason.MAINTENANCE),
    "a target that a person has halted": (
        {"world": world(halted="by ada: looking into it")},
        Wait,
        Reason.TARGET_HALTED,
    ),
    "a step that may run on a halted target": (
        {
            "world": world(halted="by ada: looking into it"),
            "runbook": make_runbook(steps=(make_step(while_halted=True),)),
        },
        Run,
        Reason.STEP_DUE,
    ),
    "a storm that was a moment ago still holds": (
        {"world": world(failing_targets=1, failing_peak=4)},
        Wait,
        Reason.STORM,
    ),
    "too many of its kind are unhealthy": (
        {"world": world(failing_targets=3, peers=3, failing_peers=2)},
        Wait,
        Reason.FLEET_UNHEALTHY,
    ),
    "just enough of its kind are well": (
        {"world": world(failing_targets=3, peers=4, failing_peers=2)},
        Run,
        Reason.STEP_DUE,
    ),
    "a fleet of one has no peers to be well": (
        {"world": world(peers=0, failing_peers=0)},
        Run,
        Reason.STEP_DUE,
    ),
    "a cooldown longer than the window holds": (
        {
            "runbook": make_runbook(
                limits=Limits(cooldown=timedelta(hours=2), window=timedelta(minutes=1))
            ),
            "history": AttemptHistory(target=(make_attempt(started_at=ago(3600)),)),
        },
        Wait,
        Reason.COOLDOWN,
    ),
    "a manual action with unknown outcome is waited for": (
        {"history": AttemptHistory(target=(replace(UNKNOWN, incident_id=None),))},
        Wait,
        Reason.TARGET_BUSY,
    ),
    "a manual action that stays unknown is escalated": (
        {"history": AttemptHistory(target=(replace(LONG_UNKNOWN, incident_id=None),))},
        Escalate,
        Reason.OUTCOME_UNKNOWN,
    ),
    # A second person's word.
    "no approval was requested yet": (
        {"runbook": make_runbook(steps=(APPROVED,))},
        Wait,
        Reason.APPROVAL_MISSING,
    ),
    "the request is pending": (asked(ApprovalState.PENDING), Wait, Reason.APPROVAL_MISSING),
    "it was approved": (asked(ApprovalState.APPROVED), Run, Reason.STEP_DUE),
    "it was denied": (asked(ApprovalState.DENIED), Escalate, Reason.APPROVAL_DENIED),
    "the approval was used": (asked(ApprovalState.USED), Wait, Reason.APPROVAL_MISSING),
    "the approval has run out": (
        asked(ApprovalState.APPROVED, expires_at=NOW),
        Wait,
        Reason.APPROVAL_EXPIRED,
    ),
    "the request has expired": (
        asked(ApprovalState.PENDING, expires_at=NOW),
        Wait,
        Reason.APPROVAL_EXPIRED,
    ),
    "it was approved for other parameters": (
        asked(ApprovalState.APPROVED, params={"component": "feed"}),
        Wait,
        Reason.APPROVAL_MISSING,
    ),
    "it was approved for another incident": (
        asked(ApprovalState.APPROVED, incident_id="incident-2"),
        Wait,
        Reason.APPROVAL_MISSING,
    ),
    # Flapping.
    "an alert that flaps is not closed at once": (
        {"world": world(view=AlertState.ABSENT), "history": AttemptHistory(episodes=3)},
        Wait,
        Reason.FLAPPING,
    ),
    "an alert that flaps is not closed while it is quiet": (
        {
            "incident": make_incident(quiet_since=ago(299)),
            "world": world(view=AlertState.ABSENT),
            "history": AttemptHistory(episodes=3),
        },
        Wait,
        Reason.FLAPPING,
    ),
    "an alert that flapped is closed when it was quiet for long": (
        {
            "incident": make_incident(quiet_since=ago(300)),
            "world": world(view=AlertState.ABSENT),
            "history": AttemptHistory(episodes=3, incident=(VERIFIED,)),
        },
        Close,
        Reason.RECOVERED,
    ),
    "two episodes are no flapping": (
        {"world": world(view=AlertState.ABSENT), "history": AttemptHistory(episodes=2)},
        Close,
        Reason.RESOLVED,
    ),
    # The safe direction.
    "halting passes every gate but a person's word": (
        {
            "runbook": make_runbook(steps=(SAFE,), limits=Limits(attempts=1)),
            "world": world(
                failing_targets=9,
                failing_peak=9,
                peers=9,
                failing_peers=9,
                blocking=("VenueDown",),
                precondition="well",
                maintenance=WINDOW,
                halted="by ada: looking into it",
            ),
            "history": AttemptHistory(
                target=(make_attempt(action="halt_trading", started_at=ago(1)),)
            ),
        },
        Run,
        Reason.STEP_DUE,
    ),
    "halting is stopped by a pause of automation": (
        {"runbook": make_runbook(steps=(SAFE,)), "world": world(pause=PAUSE)},
        Wait,
        Reason.PAUSED,
    ),
}


def judge(**over: Any) -> Decision:
    arguments: dict[str, Any] = {
        "incident": make_incident(),
        "runbook": make_runbook(),
        "history": AttemptHistory(),
        "world": world(),
        "limits": GlobalLimits(),
        "now": NOW,
    } | over
    return decide(**arguments)


@pytest.mark.parametrize("name", CASES)
def test_decide(name: str) -> None:
    """Each rule gives its decision and its reason."""
    over, kind, reason = CASES[name]
    decision = judge(**over)
    assert (type(decision), decision.reason) == (kind, reason)
    assert type(getattr(decision, "note", "")) is str


def test_every_reason_has_a_case() -> None:
    """A reason that no case shows is a rule that no one has checked.

    `crashed` is none of `decide`: it stands for an incident whose processing raises an exception.
    Nor is `resolved_by_operator`, and `budget_spent` refuses manual actions only.
    """
    elsewhere = {Reason.CRASHED, Reason.RESOLVED_BY_OPERATOR, Reason.BUDGET_SPENT}
    assert {reason for _, _, reason in CASES.values()} == set(Reason) - elsewhere


def test_a_refusal_says_what_would_have_run() -> None:
    """A shut gate names the step behind it, and until when it is shut."""
    decision = decide(
        make_incident(), make_runbook(), AttemptHistory(), world(pause=PAUSE), GlobalLimits(), NOW
    )
    assert decision == Wait(
        reason=Reason.PAUSED, until=PAUSE.expires_at, note="by ada: upgrade", blocked_step=0
    )


@pytest.mark.parametrize(
    ("over", "note"),
    [
        ({"world": world(observe_only=True)}, "everywhere, by settings"),
        ({"runbook": make_runbook(observe_only=True)}, "runbook BotSick"),
        ({"world": world(target_observe_only=True)}, "target alpha"),
        ({"world": world(maintenance=WINDOW)}, "of the whole fleet by ada: move"),
        ({"world": world(failing_targets=4)}, "more than 3 targets failed at once within 2m"),
        ({"world": world(failing_peak=5)}, "more than 3 targets failed at once within 2m"),
        (
            {"world": world(peers=3, failing_peers=2)},
            "fewer than 50% of 3 other targets are healthy",
        ),
        (asked(ApprovalState.PENDING), "request approval-1 waits for approval"),
        (asked(ApprovalState.USED), "the previous request is approval-1"),
        (
            asked(ApprovalState.DENIED, decided_by="bob"),
            "by bob: reconnect_broker on alpha",
        ),
    ],
)
def test_a_shut_gate_says_which_and_whose(over: dict[str, Any], note: str) -> None:
    """Anyone who reads it knows whom to ask, and what to open."""
    arguments: dict[str, Any] = {
        "incident": make_incident(),
        "runbook": make_runbook(),
        "history": AttemptHistory(),
        "world": world(),
        "limits": GlobalLimits(),
        "now": NOW,
    } | over
    assert decide(**arguments).note == note


def test_verification_ends_when_its_time_is_over() -> None:
    """The time to verify counts from the end of the action."""
    decision = decide(
        make_incident(),
        make_runbook(),
        AttemptHistory(incident=(SUCCEEDED,)),
        world(),
        GlobalLimits(),
        NOW,
    )
    assert decision == Verify(attempt=SUCCEEDED, until=ago(3) + make_step().verify_within)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((), 0),
        ((AttemptState.FAILED,), 1),
        ((AttemptState.UNVERIFIED,), 1),
        ((AttemptState.VERIFIED,), 1),
        ((AttemptState.ABANDONED,), 0),
        ((AttemptState.UNKNOWN,), 0),
        ((AttemptState.FAILED, AttemptState.ABANDONED), 1),
    ],
)
def test_next_step(states: tuple[AttemptState, ...], expected: int) -> None:
    """A step is spent when it was carried out; one that never arrived is tried again."""
    attempts = tuple(make_attempt(state=state, step=min(i, 1)) for i, state in enumerate(states))
    assert next_step(make_runbook(), attempts) == expected


def test_a_shorter_runbook_has_no_step_beyond_its_end() -> None:
    """A runbook that lost steps while an incident was open does not make an index out of range."""
    assert next_step(make_runbook(steps=(make_step(),)), (make_attempt(step=5),)) == 1


def test_deliveries_are_distinct() -> None:
    """The builders' steps stand for the three classes."""
    assert {make_step().delivery, ONE_SHOT.delivery, SAFE.delivery} == set(DeliverySemantics)


@pytest.mark.parametrize("view", [AlertState.FIRING, AlertState.SILENCED])
def test_hands_off_says_whose_it_is(view: AlertState) -> None:
    """Anyone who reads the timeline sees who has it, not only that Alertmanager is silent."""
    around = world(view=view, acknowledged="acknowledged by anna")
    decision = decide(
        make_incident(), make_runbook(), AttemptHistory(), around, GlobalLimits(), NOW
    )
    assert isinstance(decision, Wait)
    assert (decision.reason, decision.note) == (
        Reason.ACKNOWLEDGED,
        "suppressed: acknowledged by anna",
    )


def test_a_step_that_fits_no_target_of_this_kind_is_passed_over() -> None:
    """Not tried and not failed: the next one is due, and the end tells what was left out."""
    own = make_step(kinds=OWN_BOTS)
    either = make_step(action="halt_trading")
    book = make_runbook(steps=(own, either, own))
    there = world(target_kind=Kind.FREQTRADE)
    run = judge(runbook=book, world=there)
    assert isinstance(run, Run)
    assert run.step == 1
    tried = make_attempt(step=1, action="halt_trading", started_at=ago(600))
    decision = judge(runbook=book, world=there, history=AttemptHistory(incident=(tried,)))
    assert isinstance(decision, Escalate)
    assert decision.reason is Reason.STEPS_EXHAUSTED
    assert decision.note.startswith(
        "all 1 steps were tried; the alert still fires; not possible on a freqtr"
    )
    here = judge(runbook=book, world=world(target_kind=Kind.BOT))
    assert isinstance(here, Run)
    assert here.step == 0


def test_a_runbook_of_which_nothing_fits_is_for_people() -> None:
    """Its alert's own label calls them; nothing is given up that could have been tried."""
    book = make_runbook(steps=(make_step(kinds=OWN_BOTS), make_step(kinds=OWN_BOTS)))
    decision = judge(
        runbook=book, world=world(target_kind=Kind.FREQTRADE, target_observe_only=True)
    )
    assert decision == Wait(
        reason=Reason.PAGE_ONLY, note="not possible on a freqtrade: reconnect_broker"
    )
