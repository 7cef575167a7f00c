"""Maintenance windows as stored: planned, open, ended early, and what is refused."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.builders import NOW
from trading_ops.domain.maintenance import Maintenance
from trading_ops.errors import RequestRefused
from trading_ops.store import audit_chain, events, maintenance

HOUR = timedelta(hours=1)


def window(**over: Any) -> Maintenance:
    values: dict[str, Any] = {
        "target": "alpha",
        "owner": "ada",
        "reason": "new disk",
        "begins_at": NOW,
        "ends_at": NOW + HOUR,
    }
    return Maintenance(**(values | over))


def kinds(connection: Connection) -> list[str]:
    audit_chain.write(connection, b"")
    return [event.kind for event in reversed(events.latest(connection))]


def test_a_window_is_open_between_its_ends(connection: Connection) -> None:
    """It comes back as it was stored, and is over on its own."""
    stored = maintenance.begin(connection, window(), now=NOW)
    assert stored.id
    assert maintenance.current(connection, now=NOW) == [stored]
    assert maintenance.current(connection, now=NOW + HOUR) == []
    assert kinds(connection) == ["maintenance_begun"]


def test_a_planned_window_waits_for_its_time(connection: Connection) -> None:
    """It is shown before, and open only then."""
    later = window(target=None, begins_at=NOW + HOUR, ends_at=NOW + 2 * HOUR)
    stored = maintenance.begin(connection, later, now=NOW)
    assert maintenance.current(connection, now=NOW) == []
    assert maintenance.planned(connection, now=NOW) == [stored]
    assert maintenance.current(connection, now=NOW + HOUR) == [stored]
    assert kinds(connection) == ["maintenance_planned"]


def test_a_window_is_ended_once(connection: Connection) -> None:
    """By whom and when it should have ended is in the timeline."""
    stored = maintenance.begin(connection, window(), now=NOW)
    now = NOW + timedelta(minutes=5)
    assert maintenance.end(connection, stored.id, owner="bob", now=now) == stored
    assert maintenance.end(connection, stored.id, owner="bob", now=now) is None
    assert maintenance.end(connection, 999, owner="bob", now=now) is None
    assert maintenance.current(connection, now=now) == []
    audit_chain.write(connection, b"")
    (ended, _) = events.latest(connection)
    assert (ended.kind, ended.actor) == ("maintenance_ended", "bob")
    assert ended.before is not None
    assert (NOW + HOUR).isoformat(sep=" ") in ended.before or "13:00" in ended.before


def test_a_planned_window_is_taken_back(connection: Connection) -> None:
    """It never opens."""
    later = window(begins_at=NOW + HOUR, ends_at=NOW + 2 * HOUR)
    stored = maintenance.begin(connection, later, now=NOW)
    assert maintenance.end(connection, stored.id, owner="ada", now=NOW) == stored
    assert maintenance.planned(connection, now=NOW) == []
    assert maintenance.current(connection, now=NOW + HOUR) == []


def test_what_is_wrong_is_refused_and_not_stored(connection: Connection) -> None:
    """A week at most."""
    with pytest.raises(RequestRefused, match="at most 7 days"):
        maintenance.begin(connection, window(ends_at=NOW + timedelta(days=8)), now=NOW)
    assert maintenance.planned(connection, now=NOW) == []
    assert kinds(connection) == []
