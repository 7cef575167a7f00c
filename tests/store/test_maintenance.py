"""Maintenance windows as stored: planned, open, ended early, and what is refused."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.builders import NOW
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.domain.maintenance import Maintenance, RecurringWindow
from trading_ops.errors import RequestRefused
from trading_ops.store import audit_chain, events, holds, maintenance

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


def test_the_history_has_what_ended_and_what_was_canceled(connection: Connection) -> None:
    """Newest first; of a target with those of the fleet."""
    over = maintenance.begin(connection, window(), now=NOW)
    fleet = maintenance.begin(connection, window(target=None, ends_at=NOW + 2 * HOUR), now=NOW)
    other = maintenance.begin(
        connection, window(target="beta", begins_at=NOW + 5 * HOUR, ends_at=NOW + 6 * HOUR), now=NOW
    )
    assert maintenance.history(connection, target=None, limit=9, now=NOW) == []
    maintenance.end(connection, other.id, owner="bob", now=NOW)
    now = NOW + 3 * HOUR
    found = maintenance.history(connection, target=None, limit=9, now=now)
    assert [(window.id, window.ended_by) for window in found] == [
        (other.id, "bob"),
        (fleet.id, None),
        (over.id, None),
    ]
    assert maintenance.history(connection, target=None, limit=1, now=now) == found[:1]
    found = maintenance.history(connection, target="alpha", limit=9, now=now)
    assert [window.id for window in found] == [fleet.id, over.id]


@pytest.mark.parametrize(
    ("target", "at", "placed"),
    [
        ("alpha", NOW, True),
        (None, NOW + HOUR / 2, True),
        ("alpha", NOW - HOUR, False),
        ("alpha", NOW + HOUR, False),
        ("beta", NOW, False),
    ],
)
def test_a_hold_that_was_placed_in_a_window(
    connection: Connection, target: str | None, at: datetime, *, placed: bool
) -> None:
    """In one of its bot or of the fleet, which has its beginning and not its end."""
    maintenance.begin(connection, window(target=target), now=NOW)
    hold = Hold(id="h", target="alpha", state=HeldState.HALTED, owner="ada", reason="disk", at=at)
    holds.place(connection, hold, now=at)
    assert holds.placed_in_windows(connection) == [hold] * placed


def test_recurring_windows_are_kept_with_their_events(connection: Connection) -> None:
    order = RecurringWindow(
        target=None,
        owner="ada",
        reason="patches",
        every="Sun 02:00",
        zone="UTC",
        seconds=60,
        created_at=NOW,
    )
    stored = maintenance.order_recurring(connection, order)
    assert maintenance.recurring(connection) == [replace(order, id=stored.id)]
    planned = window(owner=stored.owner_of_windows, begins_at=NOW + HOUR, ends_at=NOW + 2 * HOUR)
    assert maintenance.plan_recurring(connection, stored.id, planned, now=NOW) is not None
    assert maintenance.plan_recurring(connection, stored.id, planned, now=NOW) is None
    assert maintenance.end_recurring(connection, stored.id, owner="bob", now=NOW) == stored
    assert maintenance.recurring(connection) == []
    assert kinds(connection) == [
        "maintenance_recurring",
        "maintenance_planned",
        "maintenance_recurring_ended",
        "maintenance_ended",
    ]
