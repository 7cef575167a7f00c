"""What is true around a target: the world that `decide` weighs, put together from the state."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trading_ops import clock
from trading_ops.domain.alert import SEVERE
from trading_ops.domain.decision import AlertView, GlobalLimits, World
from trading_ops.domain.incident import Incident
from trading_ops.domain.maintenance import covering
from trading_ops.domain.observation import PrometheusView
from trading_ops.domain.storm import episodes, failing, peak
from trading_ops.domain.target import Target
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.reconciler.state import State

FRESH = timedelta(seconds=1)
"""How long the fleet state is cached, so that not every incident counts all others."""


@dataclass(frozen=True, slots=True)
class _Fleet:
    head: int
    at: datetime
    failing: frozenset[str]
    peak: int


@dataclass(kw_only=True)
class Context:
    """Knows the index, the limits and the settings; asks the state for the rest."""

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

    def see(self, prometheus: PrometheusView, state: State) -> None:
        """Record which incidents' alerts fire in Prometheus: a notification may be forged."""
        alerts = prometheus.alerts
        firing = {
            one.id
            for one in state.by_id.values()
            if one.fingerprint in alerts and alerts[one.fingerprint].firing
        }
        if prometheus.started_at != self._prometheus_start:
            self._prometheus_start = prometheus.started_at
            self.fired_since_start = frozenset()
        self.fired_since_start = frozenset(firing | (self.fired_since_start & state.by_id.keys()))
        known = state.by_id.keys() | {one.id for one in state.closed}
        fired = frozenset(firing | (self.fired & known))
        if fired != self.fired:
            self.fired, self._fleet = fired, None

    def world(
        self,
        target: Target | None,
        state: State,
        now: datetime,
        *,
        incident: Incident | None = None,
        view: AlertView = AlertView.FIRING,
        blocked: tuple[str, ...] = (),
    ) -> World:
        """Return the context of a target at a time; no probes."""
        fleet = self._fleet_at(state, now)
        name = target.name if target else None
        peers = {
            one.name
            for one in self.index.registry
            if target is not None and one.kind is target.kind and one.name != name
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

    def _fleet_at(self, state: State, now: datetime) -> _Fleet:
        kept = self._fleet
        if kept is None or kept.head != state.head or not now - FRESH < kept.at <= now:
            told = episodes(self._failures(state), now)
            since = now - self.limits.storm_quiet
            most = peak(told, since=since, now=now)
            kept = _Fleet(state.head, now, failing(told, now), most)
            self._fleet = kept
        return kept

    def _failures(self, state: State) -> Iterator[Incident]:
        """Yield the incidents that determine which targets fail, including recently closed ones."""
        first: dict[str | None, Incident] = {}
        for one in state.by_id.values():  # oldest first: the others of a target add nothing
            if one.target not in first and self._counts(one):
                first[one.target] = one
        yield from first.values()
        for one in state.closed:
            # Incidents that ended before our start were counted then.
            if self._counts(one, fired=one.opened_at < self._began_at):
                yield one

    def _counts(self, incident: Incident, *, fired: bool = False) -> bool:
        """Whether it counts as a failing target: critical and auto-remediated."""
        if not fired and incident.id not in self.fired:
            return False
        book = self.index.runbook(incident.alert)
        return bool(book and book.steps) and incident.labels.get("severity") in SEVERE
