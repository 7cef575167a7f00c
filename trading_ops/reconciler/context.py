"""What is true around a target: the world that `decide` weighs, put together from the desk."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trading_ops import clock
from trading_ops.domain.decision import AlertView, GlobalLimits, World
from trading_ops.domain.incident import Incident
from trading_ops.domain.maintenance import covering
from trading_ops.domain.observation import PrometheusView
from trading_ops.domain.storm import episodes, failing, peak
from trading_ops.domain.target import Target
from trading_ops.reconciler.runbook_index import Plans
from trading_ops.reconciler.state import Desk

FRESH = timedelta(seconds=1)
"""How long the state of the fleet is kept: one incident's look does not count all the others."""


CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class _Fleet:
    head: int
    at: datetime
    failing: frozenset[str]
    peak: int


@dataclass(kw_only=True)
class Surroundings:
    """Knows the plans, the limits and the settings; asks the desk for the rest."""

    plans: Plans
    limits: GlobalLimits
    observe_only: bool
    fired: frozenset[str] = field(init=False, default=frozenset())
    """Ids of incidents whose alert Prometheus itself has had firing; only these count."""

    _began_at: datetime = field(init=False, default_factory=clock.now)
    _fleet: _Fleet | None = field(init=False, default=None)

    def see(self, prometheus: PrometheusView, desk: Desk) -> None:
        """Note which incidents' alerts Prometheus has firing: a notification may be forged."""
        alerts = prometheus.alerts
        firing = {
            one.id
            for one in desk.by_id.values()
            if one.fingerprint in alerts and alerts[one.fingerprint].firing
        }
        known = desk.by_id.keys() | {one.id for one in desk.closed}
        fired = frozenset(firing | (self.fired & known))
        if fired != self.fired:
            self.fired, self._fleet = fired, None

    def world(
        self,
        target: Target | None,
        desk: Desk,
        now: datetime,
        *,
        view: AlertView = AlertView.FIRING,
        blocked: tuple[str, ...] = (),
    ) -> World:
        """Return what is true around a target at a moment; nothing is probed."""
        fleet = self._fleet_at(desk, now)
        name = target.name if target else None
        peers = {
            one.name
            for one in self.plans.registry
            if target is not None and one.kind is target.kind and one.name != name
        }
        return World(
            view=view,
            pause=desk.pause_at(now),
            observe_only=self.observe_only,
            target_observe_only=target is not None and target.observe_only,
            maintenance=covering(desk.maintenance, name, now),
            halted=desk.halted.get(name or ""),
            target_registered=target is not None,
            target_kind=target.kind if target else None,
            blocking=blocked,
            failing_targets=len(fleet.failing),
            failing_peak=fleet.peak,
            fleet=self.plans.bots,
            peers=len(peers),
            failing_peers=len(peers & fleet.failing),
            approvals=desk.approvals,
        )

    def _fleet_at(self, desk: Desk, now: datetime) -> _Fleet:
        kept = self._fleet
        if kept is None or kept.head != desk.head or not now - FRESH < kept.at <= now:
            told = episodes(self._failures(desk), now)
            since = now - self.limits.storm_quiet
            most = peak(told, since=since, now=now)
            kept = _Fleet(desk.head, now, failing(told, now), most)
            self._fleet = kept
        return kept

    def _failures(self, desk: Desk) -> Iterator[Incident]:
        """Yield what says since when each target fails, and what ended lately."""
        first: dict[str | None, Incident] = {}
        for one in desk.by_id.values():  # the oldest first: the others of a target add nothing
            if one.target not in first and self._counts(one):
                first[one.target] = one
        yield from first.values()
        for one in desk.closed:
            # What ended before our start was judged then.
            if self._counts(one, fired=one.opened_at < self._began_at):
                yield one

    def _counts(self, incident: Incident, *, fired: bool = False) -> bool:
        """Whether it says that its target fails; it is critical and auto-remediated."""
        if not fired and incident.id not in self.fired:
            return False
        book = self.plans.runbook(incident.alert)
        return bool(book and book.steps) and incident.labels.get("severity") == CRITICAL
