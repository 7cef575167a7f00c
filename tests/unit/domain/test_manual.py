"""Orders manually: which gates refuse them, which do not, and what the refusal says."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from tests.builders import NOW, ONE_SHOT, SAFE, ago, make_attempt, make_step
from tests.property.test_decide_properties import LIMITS, histories, worlds
from tests.unit.domain.test_decide import PAUSE, WINDOW, world
from trading_ops.domain.attempt import AttemptState, DeliverySemantics
from trading_ops.domain.decision import AttemptHistory, Impostor, Reason, World
from trading_ops.domain.gates import first_closed_gate
from trading_ops.domain.manual import HOW_TO_OPEN, Refusal, manual_input, refusal_of
from trading_ops.domain.runbook import Limits


def answer(over: dict[str, Any]) -> Refusal | None:
    values: dict[str, Any] = {
        "step": make_step(),
        "target": "alpha",
        "history": AttemptHistory(),
        "world": world(),
        "limits": LIMITS,
        "now": NOW,
    }
    asked = values | over
    return refusal_of(first_closed_gate(manual_input(**asked)), asked["target"])


BY_HAND = make_attempt(incident_id=None, runbook="", requested_by="bob", started_at=ago(5))
UNKNOWN = make_attempt(
    incident_id=None, runbook="", state=AttemptState.UNKNOWN, ended_at=ago(60), requested_by="bob"
)


@pytest.mark.parametrize(
    ("over", "reason"),
    [
        ({}, None),
        ({"world": world(pause=PAUSE)}, Reason.PAUSED),
        ({"world": world(observe_only=True)}, Reason.OBSERVE_ONLY),
        ({"world": world(target_observe_only=True)}, Reason.OBSERVE_ONLY),
        ({"world": world(maintenance=WINDOW)}, Reason.MAINTENANCE),
        ({"world": world(failing_targets=4)}, Reason.STORM),
        ({"world": world(peers=1, failing_peers=1)}, Reason.FLEET_UNHEALTHY),
        ({"history": AttemptHistory(everywhere=20)}, Reason.GLOBAL_BUDGET),
        ({"history": AttemptHistory(target=(BY_HAND,))}, Reason.COOLDOWN),
        (
            {
                "history": AttemptHistory(
                    target=tuple(make_attempt(started_at=ago(99)) for _ in range(4))
                )
            },
            Reason.ATTEMPTS_EXHAUSTED,
        ),
        (
            {"history": AttemptHistory(target=(make_attempt(state=AttemptState.STARTED),))},
            Reason.TARGET_BUSY,
        ),
        ({"history": AttemptHistory(target=(UNKNOWN,))}, Reason.OUTCOME_UNKNOWN),
        ({"world": world(precondition="it is well")}, Reason.TARGET_HEALTHY),
        ({"world": world(precondition=Impostor("7:7 answers"))}, Reason.TARGET_IMPOSTOR),
        ({"world": world(budget_spent="alpha spent it")}, Reason.BUDGET_SPENT),
        ({"step": make_step(approval=True)}, Reason.APPROVAL_MISSING),
        # What belongs to an incident, or to the machine only.
        ({"world": world(halted="by ada: why")}, None),
        ({"world": world(blocking=("VenueDown",))}, None),
        # Another order manually of another action does not count as a runbook of the same name.
        (
            {
                "history": AttemptHistory(
                    target=(make_attempt(runbook="", action="restart_bot", started_at=ago(5)),)
                )
            },
            None,
        ),
    ],
)
def test_the_gates_of_an_order(over: dict[str, Any], reason: Reason | None) -> None:
    """The same as a step's; each refusal names its gate."""
    refusal = answer(over)
    assert (refusal.reason if refusal else None) == reason


def test_a_refusal_says_how_to_go_on() -> None:
    """Which gate, by whom, until when, and how to open it."""
    assert answer({"world": world(pause=PAUSE)}) == Refusal(
        reason=Reason.PAUSED,
        note="by ada: upgrade",
        opens="end the pause, or wait for its end",
        until=NOW + timedelta(hours=1),
    )
    storm = answer({"world": world(failing_targets=4)})
    assert storm is not None
    assert storm.until is None
    busy = answer({"history": AttemptHistory(target=(BY_HAND,))})
    assert busy is not None
    assert "automation reset-budget alpha" in busy.opens


def test_a_halt_passes_every_gate() -> None:
    """Anyone who stops a bot does not wait for anything."""
    first_closed_gate = world(pause=PAUSE, observe_only=True, maintenance=WINDOW, failing_targets=9)
    assert answer({"step": SAFE, "world": first_closed_gate}) is None


@pytest.mark.parametrize(
    "over",
    [
        {"world": world(failing_targets=9)},
        {"world": world(peers=1, failing_peers=1)},
        {"history": AttemptHistory(everywhere=99)},
    ],
)
def test_an_emergency_exit_passes_the_gates_of_the_fleet(over: dict[str, Any]) -> None:
    """It is wanted most when many bots are in trouble; its own gates hold."""
    way_out = make_step(action="flatten_positions", delivery=DeliverySemantics.ONE_SHOT)
    assert answer({"step": way_out, **over}) is None
    paused = answer({"step": way_out, "world": world(pause=PAUSE)})
    assert paused is not None
    assert paused.reason is Reason.PAUSED


@given(histories, worlds)
def test_every_refusal_can_be_explained(history: AttemptHistory, around: World) -> None:
    """No gate refuses an order without saying how it is opened; the default limits hold."""
    for step in (make_step(), ONE_SHOT, make_step(approval=True)):
        wanted = manual_input(step, "alpha", history, around, LIMITS, NOW)
        refusal = refusal_of(first_closed_gate(wanted), "alpha")
        if refusal is None:
            same = [attempt for attempt in history.target if attempt.action == step.action]
            assert all(NOW - attempt.started_at >= Limits().cooldown for attempt in same)
        else:
            assert refusal.reason in HOW_TO_OPEN
            assert refusal.until is None or refusal.until > NOW
