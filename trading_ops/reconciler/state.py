"""Everything stored that a decision needs, read at one moment and kept until something changes.

Every change adds an event, so the number of the newest event says whether the state is current, and
the events since then say which incidents to read again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from trading_ops.domain.approval import Approval
from trading_ops.domain.attempt import Attempt
from trading_ops.domain.decision import GlobalLimits, History, Pause
from trading_ops.domain.gates import is_ahead
from trading_ops.domain.incident import Incident
from trading_ops.domain.maintenance import Maintenance
from trading_ops.domain.runbook import LONGEST_WINDOW
from trading_ops.reconciler.lease import key_of
from trading_ops.store import (
    Connection,
    acknowledgements,
    approvals,
    attempts,
    events,
    holds,
    incidents,
    maintenance,
    pauses,
)

MANY_EVENTS = 5_000
"""Number of new events above which reading everything again is cheaper."""

CHUNK = 500

SAID = "decided_"
"""Prefix of decision events; executed steps have their own events."""

NOBODYS = frozenset({"notified", "quarantined", "order_refused", "pruned", "events_removed"})
"""Events that do not affect decisions."""

_NONE: tuple[Attempt, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Operators' orders: pauses, maintenance, halts, acknowledgements, approvals, actions."""

    pause: Pause | None = None
    maintenance: tuple[Maintenance, ...] = ()
    """Windows that are open or planned."""

    halted: Mapping[str, str] = field(default_factory=dict)
    """Who has halted a target and why, by target."""

    acknowledged: Mapping[str, str] = field(default_factory=dict)
    """Who has acknowledged or snoozed an incident, by incident ID."""

    approvals: Mapping[str, Approval] = field(default_factory=dict)
    """The latest request for each digest."""

    manual: tuple[Attempt, ...] = ()
    """Attempts of manual actions that still hold their target."""


@dataclass(frozen=True, kw_only=True)
class State:
    """Open incidents with their attempts. Labels and annotations are left out."""

    head: int = -1
    """Number of the newest event at the time of reading."""

    by_id: Mapping[str, Incident] = field(default_factory=dict)
    """Open incidents, oldest first."""

    of_incident: Mapping[str, tuple[Attempt, ...]] = field(default_factory=dict)
    of_target: Mapping[str, tuple[Attempt, ...]] = field(default_factory=dict)
    starts: tuple[datetime, ...] = ()
    """Start times of attempts on any target, within the global window and longer ago."""

    closed: tuple[Incident, ...] = ()
    """Incidents closed within `storm_quiet`, and longer ago."""

    episodes: Mapping[str, int] = field(default_factory=dict)
    """How often the alert of each open incident fired lately; see `incidents.episodes`."""

    overrides: Overrides = field(default_factory=Overrides)
    changed: frozenset[str] = frozenset()
    """IDs of the open incidents that differ from the state before."""

    limits: GlobalLimits = field(default_factory=GlobalLimits)

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """All open incidents, oldest first."""
        return tuple(self.by_id.values())

    @cached_property
    def keys(self) -> frozenset[str]:
        """Lease keys for all of them."""
        return frozenset(map(key_of, self.by_id.values()))

    def pause_at(self, now: datetime) -> Pause | None:
        """Return the active pause at a time."""
        pause = self.overrides.pause
        return pause if pause is not None and pause.expires_at > now else None

    def history(self, incident: Incident, now: datetime) -> History:
        """Return the relevant history at a time."""
        since = now - self.limits.window
        return History(
            incident=self.of_incident.get(incident.id, _NONE),
            target=self.of_target.get(incident.target or "", _NONE),
            everywhere=sum(
                start > since and not is_ahead(start, now, self.limits.window)
                for start in self.starts
            ),
            episodes=self.episodes.get(incident.id, 1),
        )

    def last(self, incident: Incident) -> Attempt | None:
        """Return the incident's latest attempt."""
        done = self.of_incident.get(incident.id, _NONE)
        return done[-1] if done else None


def read_state(
    connection: Connection, *, limits: GlobalLimits, now: datetime, former: State | None = None
) -> State:
    """Return the state as it is now, reading only what changed since a former one."""
    head = events.head(connection)
    if former is not None and head == former.head:
        return replace(former, changed=frozenset()) if former.changed else former
    if former is None or not 0 < head - former.head <= MANY_EVENTS:
        return _read_all(connection, head, limits, now)
    return _read_again(connection, head, former, now)


def _read_all(connection: Connection, head: int, limits: GlobalLimits, now: datetime) -> State:
    by_id = {incident.id: incident for incident in incidents.open_summaries(connection)}
    targets = {incident.target for incident in by_id.values() if incident.target}
    return State(
        head=head,
        by_id=by_id,
        of_incident=attempts.of_open_incidents(connection),
        of_target=_of_targets(connection, targets, now),
        starts=tuple(attempts.starts_since(connection, now - limits.window)),
        changed=frozenset(by_id),
        closed=tuple(incidents.closed_since(connection, now - limits.storm_quiet)),
        episodes=incidents.episodes(connection, limits.flap_window),
        limits=limits,
        overrides=_overrides(connection, now),
    )


def _read_again(connection: Connection, head: int, former: State, now: datetime) -> State:
    found = events.touched(connection, former.head)
    touched = {key for key, kind in found if key is not None and not kind.startswith(SAID)}
    # Events without an incident concern all: a pause, a budget, a manual action.
    concerns_all = any(key is None and kind not in NOBODYS for key, kind in found)
    fresh = {one.id: one for one in incidents.open_summaries(connection, touched)}
    kept = {
        key: fresh.get(key, one)
        for key, one in former.by_id.items()
        if key not in touched or key in fresh
    }
    by_id = {**kept, **fresh}
    targets = {one.target for one in by_id.values() if one.target}
    closed = (former.by_id[key] for key in touched & former.by_id.keys() - fresh.keys())
    told = {one.target for one in (*fresh.values(), *closed) if one.target}
    stale = targets if concerns_all else told  # incidents without a target do not affect the others
    of_target = {name: done for name, done in former.of_target.items() if name in targets - stale}
    of_incident = {key: done for key, done in former.of_incident.items() if key in by_id}
    tried = [key for key, one in fresh.items() if one.target]  # nothing without a target
    of_incident |= dict.fromkeys(tried, _NONE)
    for begin in range(0, len(tried), CHUNK):
        of_incident |= attempts.of_open_incidents(connection, tried[begin : begin + CHUNK])
    return State(
        head=head,
        by_id=by_id,
        of_incident=of_incident,
        of_target=of_target | _of_targets(connection, targets - of_target.keys(), now),
        starts=tuple(attempts.starts_since(connection, now - former.limits.window)),
        episodes=_episodes_again(connection, former, by_id, None if concerns_all else fresh),
        changed=frozenset(
            key for key, one in by_id.items() if concerns_all or key in fresh or one.target in stale
        ),
        closed=_closed_again(connection, former, touched - fresh.keys(), now),
        limits=former.limits,
        overrides=_overrides(connection, now),
    )


def _overrides(connection: Connection, now: datetime) -> Overrides:
    """Read all of them: they are few."""
    acknowledged = acknowledgements.standing(connection)
    return Overrides(
        pause=pauses.current(connection, now=now),
        maintenance=tuple(maintenance.planned(connection, now=now)),
        halted=holds.halted_by_people(connection),
        acknowledged={key: one.said for key, one in acknowledged.items()},
        approvals=approvals.standing(connection, now=now),
        manual=tuple(attempts.running_manual(connection)),
    )


def _closed_again(
    connection: Connection, former: State, touched: Collection[str], now: datetime
) -> tuple[Incident, ...]:
    """Read what was closed since the former state, and drop what is too long ago."""
    since = now - former.limits.storm_quiet
    kept = [
        one
        for one in former.closed
        if one.closed_at and one.closed_at > since and one.id not in touched
    ]
    new = incidents.closed_since(connection, since, touched) if touched else []
    return tuple(sorted((*kept, *new), key=lambda one: (one.closed_at or since, one.id)))


def _episodes_again(
    connection: Connection,
    former: State,
    by_id: Mapping[str, Incident],
    fresh: Mapping[str, Incident] | None,
) -> dict[str, int]:
    """Recount for changed incidents; None: for all, since budgets may have been reset."""
    window = former.limits.flap_window
    if fresh is None:
        return incidents.episodes(connection, window)
    kept = {key: count for key, count in former.episodes.items() if key in by_id}
    return kept | incidents.episodes(connection, window, fresh)


def _of_targets(
    connection: Connection, targets: set[str], now: datetime
) -> dict[str, tuple[Attempt, ...]]:
    since = now - LONGEST_WINDOW
    return {one: tuple(attempts.of_target(connection, one, since=since)) for one in targets}
