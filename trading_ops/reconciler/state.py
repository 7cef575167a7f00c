"""The inputs of a decision: the stored state, and the context of a target, built from it.

The state is read at one moment and kept until something changes.

Every change adds an event, so the number of the newest event says whether the state is current, and
the events since then say which incidents to read again.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

from trading_ops import clock
from trading_ops.domain.alert import SEVERE
from trading_ops.domain.approval import Approval
from trading_ops.domain.attempt import Attempt
from trading_ops.domain.decision import AlertState, AttemptHistory, GlobalLimits, Pause, World
from trading_ops.domain.gates import is_ahead
from trading_ops.domain.incident import Incident, failing_episodes, failing_targets, most_failing
from trading_ops.domain.maintenance import Maintenance, covering
from trading_ops.domain.observation import PrometheusView
from trading_ops.domain.runbook import LONGEST_WINDOW
from trading_ops.domain.target import Target
from trading_ops.reconciler.lease import key_of
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.store import (
    Connection,
    acknowledgements,
    approvals,
    attempts,
    events,
    holds,
    incidents,
    maintenance,
)

MANY_EVENTS = 5_000
"""Number of new events above which reading everything again is cheaper."""

CHUNK = 500

DECIDED = "decided_"
"""Prefix of decision events; executed steps have their own events."""

IRRELEVANT = frozenset({"notified", "quarantined", "request_refused", "pruned", "events_removed"})
"""Events that do not affect decisions."""

_NONE: tuple[Attempt, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Operators' requests: pauses, maintenance, halts, acknowledgements, approvals, actions."""

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
class ReconcilerState:
    """Open incidents with their attempts, without labels and annotations."""

    head: int = -1
    """Number of the newest event at the time of reading."""

    by_id: Mapping[str, Incident] = field(default_factory=dict)
    """Open incidents, oldest first."""

    of_incident: Mapping[str, tuple[Attempt, ...]] = field(default_factory=dict)
    of_target: Mapping[str, tuple[Attempt, ...]] = field(default_factory=dict)
    starts: tuple[datetime, ...] = ()
    """Start times of attempts on any target: those in the global window, and some older ones."""

    closed: tuple[Incident, ...] = ()
    """Incidents closed within `storm_quiet`, and some closed earlier."""

    episodes: Mapping[str, int] = field(default_factory=dict)
    """How often the alert of each open incident fired recently; see `incidents.episodes`."""

    overrides: Overrides = field(default_factory=Overrides)
    changed: frozenset[str] = frozenset()
    """IDs of the open incidents that differ from the previous state."""

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

    def history(self, incident: Incident, now: datetime) -> AttemptHistory:
        """Return the relevant history at a time."""
        since = now - self.limits.window
        return AttemptHistory(
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
    connection: Connection,
    *,
    limits: GlobalLimits,
    now: datetime,
    former: ReconcilerState | None = None,
) -> ReconcilerState:
    """Return the state as it is now, reading only what changed since a previous one."""
    head = events.head(connection)
    if former is not None and head == former.head:
        return replace(former, changed=frozenset()) if former.changed else former
    if former is None or not 0 < head - former.head <= MANY_EVENTS:
        return _read_all(connection, head, limits, now)
    return _read_changes(connection, head, former, now)


def _read_all(
    connection: Connection, head: int, limits: GlobalLimits, now: datetime
) -> ReconcilerState:
    by_id = {incident.id: incident for incident in incidents.open_summaries(connection)}
    targets = {incident.target for incident in by_id.values() if incident.target}
    return ReconcilerState(
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


def _read_changes(
    connection: Connection, head: int, former: ReconcilerState, now: datetime
) -> ReconcilerState:
    found = events.touched(connection, former.head)
    touched = {key for key, kind in found if key is not None and not kind.startswith(DECIDED)}
    # Events without an incident concern all: a pause, a budget, a manual action.
    concerns_all = any(key is None and kind not in IRRELEVANT for key, kind in found)
    fresh = {summary.id: summary for summary in incidents.open_summaries(connection, touched)}
    kept = {
        key: fresh.get(key, summary)
        for key, summary in former.by_id.items()
        if key not in touched or key in fresh
    }
    by_id = {**kept, **fresh}
    targets = {summary.target for summary in by_id.values() if summary.target}
    closed = (former.by_id[key] for key in touched & former.by_id.keys() - fresh.keys())
    changed_targets = {summary.target for summary in (*fresh.values(), *closed) if summary.target}
    stale = (
        targets if concerns_all else changed_targets
    )  # incidents without a target do not affect the others
    of_target = {name: done for name, done in former.of_target.items() if name in targets - stale}
    of_incident = {key: done for key, done in former.of_incident.items() if key in by_id}
    tried = [key for key, summary in fresh.items() if summary.target]  # nothing without a target
    of_incident |= dict.fromkeys(tried, _NONE)
    for begin in range(0, len(tried), CHUNK):
        of_incident |= attempts.of_open_incidents(connection, tried[begin : begin + CHUNK])
    return ReconcilerState(
        head=head,
        by_id=by_id,
        of_incident=of_incident,
        of_target=of_target | _of_targets(connection, targets - of_target.keys(), now),
        starts=tuple(attempts.starts_since(connection, now - former.limits.window)),
        episodes=_episodes(connection, former, by_id, None if concerns_all else fresh),
        changed=frozenset(
            key
            for key, summary in by_id.items()
            if concerns_all or key in fresh or summary.target in stale
        ),
        closed=_recently_closed(connection, former, touched - fresh.keys(), now),
        limits=former.limits,
        overrides=_overrides(connection, now),
    )


def _overrides(connection: Connection, now: datetime) -> Overrides:
    """Read all of them: they are few."""
    acknowledged = acknowledgements.active(connection)
    return Overrides(
        pause=maintenance.current_pause(connection, now=now),
        maintenance=tuple(maintenance.planned(connection, now=now)),
        halted=holds.halted_by_operators(connection),
        acknowledged={
            key: acknowledgement.description for key, acknowledgement in acknowledged.items()
        },
        approvals=approvals.active(connection, now=now),
        manual=tuple(attempts.running_manual(connection)),
    )


def _recently_closed(
    connection: Connection, former: ReconcilerState, touched: Collection[str], now: datetime
) -> tuple[Incident, ...]:
    """Read what was closed since the previous state, and drop what is too old."""
    since = now - former.limits.storm_quiet
    kept = [
        incident
        for incident in former.closed
        if incident.closed_at and incident.closed_at > since and incident.id not in touched
    ]
    new = incidents.closed_since(connection, since, touched) if touched else []
    return tuple(
        sorted((*kept, *new), key=lambda incident: (incident.closed_at or since, incident.id))
    )


def _episodes(
    connection: Connection,
    former: ReconcilerState,
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
    return {
        target: tuple(attempts.of_target(connection, target, since=since)) for target in targets
    }


FRESH = timedelta(seconds=1)
"""How long the fleet state is cached, so that not every incident counts all others."""


@dataclass(frozen=True, slots=True)
class _Fleet:
    head: int
    at: datetime
    failing: frozenset[str]
    peak: int


@dataclass(kw_only=True)
class WorldBuilder:
    """Has the index, the limits and the settings; reads the rest from the state."""

    index: RunbookIndex
    limits: GlobalLimits
    observe_only: bool
    fired: frozenset[str] = field(init=False, default=frozenset())
    """Ids of incidents whose alert was firing in Prometheus itself; only these count."""

    fired_since_start: frozenset[str] = field(init=False, default=frozenset())
    """Those that fired in this start of Prometheus."""

    _prometheus_start: datetime | None = field(init=False, default=None)
    _began_at: datetime = field(init=False, default_factory=clock.now)
    _fleet: _Fleet | None = field(init=False, default=None)

    def note_firing(self, prometheus: PrometheusView, state: ReconcilerState) -> None:
        """Record which incidents' alerts fire in Prometheus: a notification may be forged."""
        alerts = prometheus.alerts
        firing = {
            incident.id
            for incident in state.by_id.values()
            if incident.fingerprint in alerts and alerts[incident.fingerprint].firing
        }
        if prometheus.started_at != self._prometheus_start:
            self._prometheus_start = prometheus.started_at
            self.fired_since_start = frozenset()
        self.fired_since_start = frozenset(firing | (self.fired_since_start & state.by_id.keys()))
        known = state.by_id.keys() | {incident.id for incident in state.closed}
        fired = frozenset(firing | (self.fired & known))
        if fired != self.fired:
            self.fired, self._fleet = fired, None

    def build(
        self,
        target: Target | None,
        state: ReconcilerState,
        now: datetime,
        *,
        incident: Incident | None = None,
        view: AlertState = AlertState.FIRING,
        blocked: tuple[str, ...] = (),
    ) -> World:
        """Return the context of a target at a time; no probes."""
        fleet = self._fleet_at(state, now)
        name = target.name if target else None
        peers = {
            entry.name
            for entry in self.index.registry
            if target is not None and entry.kind is target.kind and entry.name != name
        }
        return World(
            view=view,
            pause=state.pause_at(now),
            observe_only=self.observe_only,
            target_observe_only=target is not None and target.observe_only,
            maintenance=covering(state.overrides.maintenance, name, now),
            halted=state.overrides.halted.get(name or ""),
            acknowledged=state.overrides.acknowledged.get(incident.id) if incident else None,
            target_registered=target is not None,
            target_kind=target.kind if target else None,
            blocking=blocked,
            failing_targets=len(fleet.failing),
            failing_peak=fleet.peak,
            fleet=self.index.bots,
            peers=len(peers),
            failing_peers=len(peers & fleet.failing),
            approvals=state.overrides.approvals,
        )

    def _fleet_at(self, state: ReconcilerState, now: datetime) -> _Fleet:
        kept = self._fleet
        if kept is None or kept.head != state.head or not now - FRESH < kept.at <= now:
            periods = failing_episodes(self._failures(state), now)
            since = now - self.limits.storm_quiet
            most = most_failing(periods, since=since, now=now)
            kept = _Fleet(state.head, now, failing_targets(periods, now), most)
            self._fleet = kept
        return kept

    def _failures(self, state: ReconcilerState) -> Iterator[Incident]:
        """Yield the incidents that determine which targets fail, including recently closed ones."""
        first: dict[str | None, Incident] = {}
        for incident in state.by_id.values():  # oldest first: the others of a target add nothing
            if incident.target not in first and self._counts(incident):
                first[incident.target] = incident
        yield from first.values()
        for incident in state.closed:
            # Incidents that ended before our start were counted then.
            if self._counts(incident, fired=incident.opened_at < self._began_at):
                yield incident

    def _counts(self, incident: Incident, *, fired: bool = False) -> bool:
        """Whether it counts as a failing target: critical and auto-remediated."""
        if not fired and incident.id not in self.fired:
            return False
        book = self.index.runbook(incident.alert)
        return bool(book and book.steps) and incident.labels.get("severity") in SEVERE
