"""What is reported a target itself stands in the timeline of its incidents, and in no other's."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection, update

from tests.builders import NOW, make_alert
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.reconciler.timeline import BEFORE, Timeline, read_timeline
from trading_ops.store import audit_chain, events, holds, incidents
from trading_ops.store.tables import incidents as table

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def open_incident(connection: Connection, target: str | None, **labels: str) -> str:
    alert = make_alert(labels={"alertname": "BotSick", "bot": str(target), **labels})
    seen = incidents.FiringAlert(alert=alert, target=target)
    incidents.open_all(connection, [seen], received_at=NOW, now=NOW, source="a test")
    found: str = connection.execute(
        table.select().where(table.c.fingerprint == alert.fingerprint)
    ).one()[0]
    return found


def tell(connection: Connection, kind: str, at: timedelta, target: str = "alpha") -> None:
    after = {"target": target, "incarnation": "1:1"}
    events.add(connection, at=NOW + at, kind=kind, note="nightly", after=after)


def timeline_of(connection: Connection, key: str) -> Timeline:
    audit_chain.write(connection, b"")
    timeline = read_timeline(connection, key=key)
    assert timeline is not None
    return timeline


def kinds(connection: Connection, key: str) -> list[str]:
    return [event.kind for event in timeline_of(connection, key).events]


def test_a_frozen_bots_incident_reports_that_it_was_frozen(connection: Connection) -> None:
    """Silent before the alert fired, halted, stopped, free again: in the order of the timeline."""
    tell(connection, "agent_unresponsive", -7 * SECOND)
    hold = Hold(
        id="agent-unresponsive-alpha-1:1",
        target="alpha",
        state=HeldState.HALTED,
        owner="reconciler",
        reason="silent",
        at=NOW - 7 * SECOND,
    )
    holds.place(connection, hold, now=NOW - 7 * SECOND)
    key = open_incident(connection, "alpha")
    tell(connection, "agent_stopped", SECOND)
    moment = NOW + 2 * SECOND
    holds.release(
        connection, ids=[hold.id], owner="x", reason="gone", now=moment, kind="hold_withdrawn"
    )
    tell(connection, "agent_answered", 5 * SECOND)
    assert kinds(connection, key) == [
        "agent_unresponsive",
        "hold_placed",
        "received",
        "opened",
        "agent_stopped",
        "hold_withdrawn",
        "agent_answered",
    ]


def test_what_is_older_or_later_is_another_incident(connection: Connection) -> None:
    """From two minutes before it was opened until it was closed."""
    tell(connection, "agent_unresponsive", -BEFORE - SECOND)
    tell(connection, "agent_answered", -BEFORE)
    key = open_incident(connection, "alpha")
    closed = update(table).where(table.c.id == key).values(closed_at=NOW + MINUTE)
    connection.execute(closed)
    tell(connection, "hold_placed", MINUTE)
    tell(connection, "hold_released", MINUTE + SECOND)
    assert kinds(connection, key) == ["agent_answered", "received", "opened", "hold_placed"]


def test_only_the_target_that_is_meant(connection: Connection) -> None:
    """Not another one whose name is alike, nor one whose text speaks of it, nor another kind."""
    key = open_incident(connection, "al_ha")
    for name in ("alpha", "al_ha2", 'x","target":"al_ha', "AL_HA"):
        tell(connection, "agent_unresponsive", SECOND, target=name)
    tell(connection, "replica_started", SECOND, target="al_ha")
    tell(connection, "agent_stopped", SECOND, target="al_ha")
    assert kinds(connection, key) == ["received", "opened", "agent_stopped"]


@pytest.mark.parametrize("name", ["al%ha", "b\u00f6t \u2603", "back\\slash", "a/b"])
def test_any_name_is_found_as_it_is(connection: Connection, name: str) -> None:
    """Whatever characters a target's name has."""
    key = open_incident(connection, name)
    tell(connection, "agent_unresponsive", SECOND, target=name)
    assert kinds(connection, key) == ["received", "opened", "agent_unresponsive"]


def test_without_a_target_nothing_is_beside(connection: Connection) -> None:
    """No label named a registered one."""
    tell(connection, "agent_unresponsive", SECOND, target="None")
    assert kinds(connection, open_incident(connection, None)) == ["received", "opened"]


def test_what_belongs_to_an_incident_is_in_that_one_only(connection: Connection) -> None:
    """Two incidents of one target: a decision is its incident's, a silence is both's."""
    first = open_incident(connection, "alpha")
    second = open_incident(connection, "alpha", venue="paper")
    events.add(
        connection, at=NOW, kind="decided_wait", incident_id=first, after={"target": "alpha"}
    )
    tell(connection, "agent_unresponsive", SECOND)
    assert kinds(connection, first) == ["received", "opened", "decided_wait", "agent_unresponsive"]
    assert kinds(connection, second) == ["received", "opened", "agent_unresponsive"]


def test_events_of_each_target_are_counted_after_a_restart(connection: Connection) -> None:
    """Of one kind, since a moment, each target apart; an event that names none is none."""
    tell(connection, "agent_stopped", -2 * MINUTE)
    tell(connection, "agent_stopped", -SECOND)
    tell(connection, "agent_stopped", SECOND)
    tell(connection, "agent_stopped", SECOND, target="beta")
    tell(connection, "agent_unresponsive", SECOND)
    events.add(connection, at=NOW, kind="agent_stopped", after={"target": 7})
    events.add(connection, at=NOW, kind="agent_stopped")
    audit_chain.write(connection, b"")
    found = events.times_by_target(connection, kind="agent_stopped", since=NOW - MINUTE)
    assert found == {"alpha": [NOW - SECOND, NOW + SECOND], "beta": [NOW + SECOND]}
