"""Everything stored that deciding needs, read at one moment and kept until something changes.

Whatever changes adds an event, so the number of the newest event tells whether the desk is still
right, and the events since then tell which incidents to read again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

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
    incident_summaries,
    maintenance,
    orders,
    pauses,
)

MANY_EVENTS = 5_000
"""After more than these, reading everything again is cheaper."""

CHUNK = 500

SAID = "decided_"
"""Begins the kinds of events that only say what was thought; what was done has its own."""

NOBODYS = frozenset({"notified", "quarantined", "order_refused", "pruned", "events_removed"})
"""Events that change nothing by which is decided."""

_NONE: tuple[Attempt, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Open incidents with what was already done for them. Labels and annotations are left out."""

    head: int = -1
    """Number of the newest event when it was read."""

    by_id: Mapping[str, Incident] = field(default_factory=dict)
    """Open incidents, oldest first."""

    of_incident: Mapping[str, tuple[Attempt, ...]] = field(default_factory=dict)
    of_target: Mapping[str, tuple[Attempt, ...]] = field(default_factory=dict)
    starts: tuple[datetime, ...] = ()
    """When attempts were started on any target, in the last global window and longer ago."""

    pause: Pause | None = None
    closed: tuple[Incident, ...] = ()
    """Closed within the last `storm_quiet`, and longer ago."""

    episodes: Mapping[str, int] = field(default_factory=dict)
    """How often the alert of each open incident came lately; see `store.briefs.episodes`."""

    maintenance: tuple[Maintenance, ...] = ()
    """Open and planned."""

    halted: Mapping[str, str] = field(default_factory=dict)
    """Who of the people has halted a target, and why, by target."""

    acknowledged: Mapping[str, str] = field(default_factory=dict)
    """Whose an incident is, in a phrase, by its id."""

    approvals: Mapping[str, Approval] = field(default_factory=dict)
    """The latest request for each digest."""

    by_hand: tuple[Attempt, ...] = ()
    """What people ordered and what still holds its target."""

    changed: frozenset[str] = frozenset()
    """Ids of the open incidents that are not as on the desk before this one."""

    limits: GlobalLimits = field(default_factory=GlobalLimits)

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """All open incidents, oldest first."""
        return tuple(self.by_id.values())

    @cached_property
    def keys(self) -> frozenset[str]:
        """What a replica must hold to work on all of them."""
        return frozenset(map(key_of, self.by_id.values()))

    def pause_at(self, now: datetime) -> Pause | None:
        """Return the pause that is in force at a moment."""
        return self.pause if self.pause is not None and self.pause.expires_at > now else None

    def history(self, incident: Incident, now: datetime) -> History:
        """Return what was done before, as far as it counts at a moment."""
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


def read_desk(
    connection: Connection, *, limits: GlobalLimits, now: datetime, former: Desk | None = None
) -> Desk:
    """Return the desk as it is now, reading only what changed since a former one."""
    head = events.head(connection)
    if former is not None and head == former.head:
        return replace(former, changed=frozenset()) if former.changed else former
    if former is None or not 0 < head - former.head <= MANY_EVENTS:
        return _read_all(connection, head, limits, now)
    return _read_again(connection, head, former, now)


def _read_all(connection: Connection, head: int, limits: GlobalLimits, now: datetime) -> Desk:
    by_id = {incident.id: incident for incident in incident_summaries.brief(connection)}
    targets = {incident.target for incident in by_id.values() if incident.target}
    return Desk(
        head=head,
        by_id=by_id,
        of_incident=attempts.of_open_incidents(connection),
        of_target=_of_targets(connection, targets, now),
        starts=tuple(attempts.starts_since(connection, now - limits.window)),
        changed=frozenset(by_id),
        episodes=incident_summaries.episodes(connection, limits.flap_window),
        limits=limits,
        **_words(connection, limits, now),
    )


def _read_again(connection: Connection, head: int, former: Desk, now: datetime) -> Desk:
    found = events.touched(connection, former.head)
    touched = {key for key, kind in found if key is not None and not kind.startswith(SAID)}
    # What belongs to no incident concerns them all: a pause, a budget, an order by hand.
    concerns_all = any(key is None and kind not in NOBODYS for key, kind in found)
    fresh = {one.id: one for one in incident_summaries.brief(connection, touched)}
    kept = {
        key: fresh.get(key, one)
        for key, one in former.by_id.items()
        if key not in touched or key in fresh
    }
    by_id = {**kept, **fresh}
    targets = {one.target for one in by_id.values() if one.target}
    closed = (former.by_id[key] for key in touched & former.by_id.keys() - fresh.keys())
    told = {one.target for one in (*fresh.values(), *closed) if one.target}
    stale = targets if concerns_all else told  # what names no target is no neighbour of the others
    of_target = {name: done for name, done in former.of_target.items() if name in targets - stale}
    of_incident = {key: done for key, done in former.of_incident.items() if key in by_id}
    tried = [key for key, one in fresh.items() if one.target]  # without a target nothing is
    of_incident |= dict.fromkeys(tried, _NONE)
    for begin in range(0, len(tried), CHUNK):
        of_incident |= attempts.of_open_incidents(connection, tried[begin : begin + CHUNK])
    return Desk(
        head=head,
        by_id=by_id,
        of_incident=of_incident,
        of_target=of_target | _of_targets(connection, targets - of_target.keys(), now),
        starts=tuple(attempts.starts_since(connection, now - former.limits.window)),
        episodes=_episodes_again(connection, former, by_id, None if concerns_all else fresh),
        changed=frozenset(
            key for key, one in by_id.items() if concerns_all or key in fresh or one.target in stale
        ),
        limits=former.limits,
        **_words(connection, former.limits, now),
    )


def _words(connection: Connection, limits: GlobalLimits, now: datetime) -> dict[str, Any]:
    """Read what people said, and what ended lately: few rows, so always all of them."""
    return {
        "pause": pauses.current(connection, now=now),
        "maintenance": tuple(maintenance.planned(connection, now=now)),
        "halted": holds.halted_by_people(connection),
        "acknowledged": {
            key: one.said for key, one in acknowledgements.standing(connection).items()
        },
        "by_hand": tuple(orders.running(connection)),
        "approvals": approvals.standing(connection, now=now),
        "closed": tuple(incident_summaries.closed_since(connection, now - limits.storm_quiet)),
    }


def _episodes_again(
    connection: Connection,
    former: Desk,
    by_id: Mapping[str, Incident],
    fresh: Mapping[str, Incident] | None,
) -> dict[str, int]:
    """Count anew for what is fresh; None: for all, for budgets may have been forgiven."""
    window = former.limits.flap_window
    if fresh is None:
        return incident_summaries.episodes(connection, window)
    kept = {key: count for key, count in former.episodes.items() if key in by_id}
    return kept | incident_summaries.episodes(connection, window, fresh)


def _of_targets(
    connection: Connection, targets: set[str], now: datetime
) -> dict[str, tuple[Attempt, ...]]:
    since = now - LONGEST_WINDOW
    return {one: tuple(attempts.of_target(connection, one, since=since)) for one in targets}
