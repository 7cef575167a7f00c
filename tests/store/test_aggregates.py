"""What the rows promise: once is once, and times come back as they went in."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from tests.builders import NOW, make_alert, make_attempt, make_runbook, make_step, make_wanted
from tests.open_incidents import open_incidents
from trading_ops.domain.attempt import AttemptState
from trading_ops.domain.decision import Close, Escalate, Pause, Reason
from trading_ops.domain.hold import RECONCILER, HeldState, Hold
from trading_ops.domain.incident import Incident
from trading_ops.domain.maintenance import Maintenance
from trading_ops.store import (
    approvals,
    attempts,
    audit_chain,
    events,
    holds,
    incidents,
    leases,
    maintenance,
    notifications,
)


def opened(connection: Connection) -> Incident:
    sighting = incidents.FiringAlert(alert=make_alert(), target="alpha")
    incidents.open_all(connection, [sighting], received_at=NOW, now=NOW, source="test")
    (found,) = open_incidents(connection)
    return found


def plan(incident: Incident) -> attempts.StartRequest:
    return attempts.StartRequest(gate_input=make_wanted(incident))


def test_times_are_exact(connection: Connection) -> None:
    """Microseconds and the time zone survive."""
    moment = NOW.replace(microsecond=123457)
    notifications.add(connection, received_at=moment, body=b"\x00\xff")
    (stored,) = notifications.pending(connection)
    assert (stored.received_at, stored.body) == (moment, b"\x00\xff")


def test_a_notification_is_taken_apart_once(connection: Connection) -> None:
    """What is finished does not come again."""
    key = notifications.add(connection, received_at=NOW, body=b"x")
    notifications.finish(
        connection, key, notifications.NotificationState.QUARANTINED, error="no JSON"
    )
    assert notifications.pending(connection) == []
    assert notifications.count(connection, notifications.NotificationState.QUARANTINED) == 1


def test_old_bodies_are_forgotten_but_not_what_no_one_understood(connection: Connection) -> None:
    """Months of running do not fill the disk; quarantine waits for an operator."""
    states = notifications.NotificationState
    old = NOW - timedelta(days=8)
    for received_at, state in (
        (old, states.PARSED),
        (old, states.QUARANTINED),
        (old, states.PENDING),
        (NOW, states.PARSED),
    ):
        key = notifications.add(connection, received_at=received_at, body=b"x")
        if state is not states.PENDING:
            notifications.finish(connection, key, state, watchdog=True)
    before = NOW - timedelta(days=7)
    assert notifications.prune(connection, before=before, now=NOW) == 1
    assert notifications.prune(connection, before=before, now=NOW) == 0
    assert [notifications.count(connection, state) for state in states] == [1, 1, 1]
    assert notifications.watchdog_last_seen(connection) == NOW


def test_one_open_incident_for_an_alert(connection: Connection) -> None:
    """A second fact finds the first one's incident; after the end a new one is opened."""
    first = opened(connection)
    assert opened(connection).id == first.id
    assert incidents.close(connection, first.id, Close(reason=Reason.RESOLVED), now=NOW)
    assert not incidents.close(connection, first.id, Close(reason=Reason.RESOLVED), now=NOW)
    assert opened(connection).id != first.id


def test_a_start_in_the_future_is_the_moment_of_receipt(connection: Connection) -> None:
    """Who posts an alert says when it started; a restart must not wait until then."""
    alert = make_alert(starts_at=NOW + timedelta(days=365))
    seen = incidents.FiringAlert(alert=alert, target="alpha")
    incidents.open_all(connection, [seen], received_at=NOW, now=NOW, source="a test")
    (incident,) = incidents.search(connection)
    assert incident.starts_at == NOW


def test_a_resolved_fact_ends_only_earlier_episodes(connection: Connection) -> None:
    """A late word about an older episode does not end a newer one; the latest word stays."""
    incident = opened(connection)

    def resolved(seconds: float) -> object:
        incidents.note_resolved(
            connection,
            {incident.fingerprint: incident.starts_at + timedelta(seconds=seconds)},
            now=NOW,
        )
        found = incidents.find(connection, incident.id)
        assert found is not None
        return found.resolved_at

    assert resolved(-1) is None
    assert resolved(5) == incident.starts_at + timedelta(seconds=5)
    assert resolved(3) == incident.starts_at + timedelta(seconds=5)


def test_a_person_is_called_once(connection: Connection) -> None:
    """The second escalation changes nothing; a closed incident is not escalated."""
    incident = opened(connection)
    asked = Escalate(reason=Reason.STORM)
    assert incidents.escalate(connection, incident.id, asked, now=NOW)
    assert not incidents.escalate(connection, incident.id, asked, now=NOW)
    audit_chain.write(connection, b"")
    kinds = [event.kind for event in events.of_incident(connection, incident.id)]
    assert kinds.count("escalated") == 1


def test_a_gate_that_shut_meanwhile_stops_the_start(connection: Connection) -> None:
    """Inside the transaction everything is looked at again."""
    incident = opened(connection)
    expires_at = NOW + timedelta(minutes=1)
    maintenance.begin_pause(
        connection, Pause(owner="a", reason="b", expires_at=expires_at), now=NOW
    )
    assert attempts.start(connection, plan(incident), now=NOW) is None
    assert maintenance.end_pause(connection, owner="a", now=NOW) == 1
    assert maintenance.end_pause(connection, owner="a", now=NOW) == 0
    attempt = attempts.start(connection, plan(incident), now=NOW)
    assert attempt is not None
    assert attempts.start(connection, plan(incident), now=NOW) is None, "the target is held"
    attempts.finish(
        connection,
        attempt,
        AttemptState.FAILED,
        detail="",
        now=NOW,
        only_from=(AttemptState.STARTED,),
    )
    incidents.escalate(connection, incident.id, Escalate(reason=Reason.STORM), now=NOW)
    assert attempts.start(connection, plan(incident), now=NOW) is None, "a person has it"


def test_budgets_are_counted_at_the_start(connection: Connection) -> None:
    """The runbook's limit and the global one hold even if the decision did not know."""
    incident = opened(connection)
    cooldown = timedelta(seconds=20)
    for number in range(4):
        now = NOW + number * cooldown
        attempt = attempts.start(connection, plan(incident), now=now)
        assert attempt is not None
        only = (AttemptState.STARTED,)
        attempts.finish(
            connection, attempt, AttemptState.FAILED, detail="", now=now, only_from=only
        )
        assert attempts.start(connection, plan(incident), now=now + cooldown / 2) is None
    assert attempts.start(connection, plan(incident), now=NOW + 5 * cooldown) is None
    attempts.reset_budget(connection, "alpha", owner="ada", reason="test", now=NOW + 5 * cooldown)
    assert attempts.start(connection, plan(incident), now=NOW + 6 * cooldown) is not None


def test_maintenance_stops_the_start(connection: Connection) -> None:
    """A window that was started after the decision; one of another target does not matter."""
    incident = opened(connection)

    def work_on(target: str | None) -> int:
        window = Maintenance(
            target=target,
            owner="ada",
            reason="disk",
            begins_at=NOW,
            ends_at=NOW + timedelta(hours=1),
        )
        return maintenance.begin(connection, window, now=NOW).id

    work_on("beta")
    for target in ("alpha", None):
        key = work_on(target)
        assert attempts.start(connection, plan(incident), now=NOW) is None
        maintenance.end(connection, key, owner="ada", now=NOW)
    assert attempts.start(connection, plan(incident), now=NOW) is not None


def test_a_start_spends_its_approval(connection: Connection) -> None:
    """With the attempt or not at all: a start that another gate refuses leaves it as it was."""
    incident = opened(connection)
    book = make_runbook(steps=(make_step(approval=True),))
    wanted = attempts.StartRequest(gate_input=make_wanted(incident, runbook=book))
    assert attempts.start(connection, wanted, now=NOW) is None
    asked = approvals.request(
        connection,
        incident_id=incident.id,
        action="reconnect_broker",
        target="alpha",
        params={},
        step=0,
        requested_by="reconciler",
        now=NOW,
    )
    assert attempts.start(connection, wanted, now=NOW) is None
    approvals.approve(connection, asked.id, owner="ada", now=NOW)
    expires_at = NOW + timedelta(minutes=1)
    maintenance.begin_pause(
        connection, Pause(owner="a", reason="b", expires_at=expires_at), now=NOW
    )
    assert attempts.start(connection, wanted, now=NOW) is None
    maintenance.end_pause(connection, owner="a", now=NOW)
    assert approvals.usable(connection, asked.digest, now=NOW) is not None
    assert attempts.start(connection, wanted, now=NOW) is not None
    assert approvals.usable(connection, asked.digest, now=NOW) is None


def test_episodes_are_counted_back_from_each_beginning(connection: Connection) -> None:
    """Only of the same alert, only so far back, and not what was before the budget was reset."""
    window = timedelta(minutes=10)

    def again(seconds: float) -> str:
        now = NOW + timedelta(seconds=seconds)
        for incident in open_incidents(connection):
            incidents.close(connection, incident.id, Close(reason=Reason.RESOLVED), now=now)
        sighting = incidents.FiringAlert(alert=make_alert(), target="alpha")
        incidents.open_all(connection, [sighting], received_at=now, now=now, source="test")
        (incident,) = open_incidents(connection)
        return incident.id

    def count(key: str) -> int:
        assert incidents.episodes(connection, window) == incidents.episodes(
            connection, window, [key]
        )
        return incidents.episodes(connection, window)[key]

    assert [count(again(seconds)) for seconds in (0, 100, 200)] == [1, 2, 3]
    assert count(again(601)) == 3, "the first is more than ten minutes ago"
    reset_at = NOW + timedelta(seconds=650)
    attempts.reset_budget(connection, "alpha", owner="ada", reason="test", now=reset_at)
    assert incidents.episodes(connection, window) == {}
    assert count(again(700)) == 1
    closed = incidents.closed_since(connection, NOW + timedelta(seconds=601))
    assert len(closed) == 1


def test_quiet_begins_and_ends_once(connection: Connection) -> None:
    """An incident that flaps keeps since when its alert is absent."""
    incident = opened(connection)
    assert not incidents.end_quiet(connection, incident.id, now=NOW)
    assert incidents.go_quiet(connection, incident.id, now=NOW)
    assert not incidents.go_quiet(connection, incident.id, now=NOW + timedelta(seconds=9))
    found = incidents.find(connection, incident.id)
    assert found is not None
    assert found.quiet_since == NOW
    assert incidents.end_quiet(connection, incident.id, now=NOW + timedelta(seconds=9))
    audit_chain.write(connection, b"")
    kinds = [event.kind for event in events.of_incident(connection, incident.id)]
    assert kinds[-2:] == ["quiet", "came_back"]
    incidents.close(connection, incident.id, Close(reason=Reason.RESOLVED), now=NOW)
    assert not incidents.go_quiet(connection, incident.id, now=NOW)


def test_closing_lets_go_of_the_target(connection: Connection) -> None:
    """An attempt of unknown outcome does not hold its target for ever."""
    incident = opened(connection)
    attempt = attempts.start(connection, plan(incident), now=NOW)
    assert attempt is not None
    attempts.finish(
        connection,
        attempt,
        AttemptState.UNKNOWN,
        detail="",
        now=NOW,
        only_from=(AttemptState.STARTED,),
    )
    assert attempts.running(connection)
    incidents.close(connection, incident.id, Close(reason=Reason.RESOLVED), now=NOW)
    assert attempts.running(connection) == []


def test_nothing_starts_on_what_a_person_halted_just_now(connection: Connection) -> None:
    """An operator's halt between decision and start stops it; the reconciler's own does not."""
    incident = opened(connection)
    hold = Hold(
        id="h", target="alpha", state=HeldState.HALTED, owner="ada", reason="odd fills", at=NOW
    )
    holds.place(connection, hold, now=NOW)
    assert attempts.start(connection, plan(incident), now=NOW) is None
    holds.release(connection, ids={"h"}, owner="ada", reason="seen", now=NOW)
    holds.place(connection, replace(hold, id="m", owner=RECONCILER), now=NOW)
    assert attempts.start(connection, plan(incident), now=NOW)


def test_a_step_for_halted_targets_starts_on_one(connection: Connection) -> None:
    """A restarted bot comes back halted."""
    incident = opened(connection)
    hold = Hold(
        id="h", target="alpha", state=HeldState.HALTED, owner="ada", reason="odd fills", at=NOW
    )
    holds.place(connection, hold, now=NOW)
    runbook = make_runbook(steps=(make_step(while_halted=True),))
    assert attempts.start(
        connection,
        attempts.StartRequest(gate_input=make_wanted(incident, runbook=runbook)),
        now=NOW,
    )


def test_attempts_are_in_order_whatever_the_clocks_say(connection: Connection) -> None:
    """The second was started by a replica whose clock is late; it is the last all the same."""
    incident = opened(connection)
    for fence, started_at in ((1, NOW), (2, NOW - timedelta(seconds=30))):
        done = make_attempt(
            id=f"a{fence}", incident_id=incident.id, fence=fence, started_at=started_at
        )
        attempts.add(connection, done)
    in_order = ["a1", "a2"]
    assert [attempt.id for attempt in attempts.of_incident(connection, incident.id)] == in_order
    (found,) = attempts.of_open_incidents(connection).values()
    assert [attempt.id for attempt in found] == in_order


def test_an_incident_is_not_closed_over_an_attempt_under_way(connection: Connection) -> None:
    """With no one to look after it, it would hold its target for ever."""
    incident = opened(connection)
    attempt = attempts.start(connection, plan(incident), now=NOW)
    assert attempt is not None
    resolved = Close(reason=Reason.RESOLVED)
    assert not incidents.close(connection, incident.id, resolved, now=NOW)
    attempts.finish(
        connection,
        attempt,
        AttemptState.UNKNOWN,
        detail="nobody waits for it",
        now=NOW,
        only_from=(AttemptState.STARTED,),
    )
    assert incidents.close(connection, incident.id, resolved, now=NOW)
    assert not attempts.running(connection)


def test_a_stale_attempt_does_not_raise_the_fence(connection: Connection) -> None:
    """Its executor has seen its successor's fence: only a database that gave out none may adopt."""
    incident = opened(connection)
    attempt = attempts.start(connection, plan(incident), now=NOW)
    assert attempt is not None
    successor = leases.raise_fence(connection, "alpha")
    assert not leases.adopt_fence(connection, attempt, successor, now=NOW)
    assert not leases.adopt_fence(connection, attempt, successor + 10, now=NOW)
    assert leases.raise_fence(connection, "alpha") == successor + 1


def test_a_younger_database_takes_its_executors_fence_up(connection: Connection) -> None:
    """The next token is above all that the executor has seen; a lower word changes nothing."""
    incident = opened(connection)
    attempt = attempts.start(connection, plan(incident), now=NOW)
    assert attempt is not None
    assert not leases.adopt_fence(connection, attempt, attempt.fence, now=NOW)
    assert leases.adopt_fence(connection, attempt, 50, now=NOW)
    assert leases.raise_fence(connection, "alpha") == 51


@pytest.mark.parametrize("highest", [2**63 - 1, 2**53 - 1, 1 + 1_000_001])
def test_a_fence_far_above_ours_is_not_believed(connection: Connection, highest: int) -> None:
    """One hostile word must not use up all the numbers there are."""
    attempt = attempts.start(connection, plan(opened(connection)), now=NOW)
    assert attempt is not None
    assert not leases.adopt_fence(connection, attempt, highest, now=NOW)
    assert leases.raise_fence(connection, "alpha") == attempt.fence + 1
