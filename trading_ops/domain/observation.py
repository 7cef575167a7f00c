"""Combines the answers of Prometheus and Alertmanager.

Prometheus is the source for firing alerts, Alertmanager for silences and inhibitions. An empty,
partial or missing answer means *unknown*, never resolved.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from trading_ops.domain.alert import PAGE_LABEL, WATCHDOG, Fingerprint
from trading_ops.domain.attempt import Attempt, AttemptState
from trading_ops.domain.decision import AlertState
from trading_ops.domain.incident import Incident
from trading_ops.domain.runbook import Runbook
from trading_ops.domain.target import Target

YOUNG = timedelta(minutes=2)
"""A Prometheus with less uptime may not have evaluated all alerts yet."""

NEVER_SHOWN = timedelta(seconds=30)
"""How long an alert known only from a notification may still appear: answers may be old."""


@dataclass(frozen=True, kw_only=True)
class RuleAlert:
    """An alert in Prometheus."""

    fingerprint: Fingerprint
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    firing: bool
    """False: pending."""

    active_at: datetime

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.labels.get("alertname", "")

    @property
    def is_ours(self) -> bool:
        """Whether it carries our page label; another team's alerts do not."""
        return PAGE_LABEL in self.labels


@dataclass(frozen=True, kw_only=True)
class RoutedAlert:
    """An alert in Alertmanager."""

    fingerprint: Fingerprint
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime
    silenced: bool
    inhibited: bool
    silenced_by: frozenset[str] = frozenset()
    """Ids of the silences."""


@dataclass(frozen=True, kw_only=True)
class PrometheusView:
    """One answer of Prometheus."""

    alerts: Mapping[Fingerprint, RuleAlert]
    started_at: datetime
    known_for: timedelta = timedelta(0)
    """How long this start of Prometheus has been known, on our monotonic clock."""

    external: Mapping[str, str] = field(default_factory=dict)
    """External labels, which are stripped from the alerts of every source."""

    @cached_property
    def by_name(self) -> Mapping[str, Sequence[RuleAlert]]:
        """The alerts by their name."""
        found: dict[str, list[RuleAlert]] = defaultdict(list)
        for alert in self.alerts.values():
            found[alert.name].append(alert)
        return dict(found)

    @property
    def watchdog_seen(self) -> bool:
        """Whether the Watchdog alert fires: our rules are being evaluated."""
        return any(alert.firing and alert.is_ours for alert in self.by_name.get(WATCHDOG, ()))


@dataclass(frozen=True, kw_only=True)
class AlertSnapshot:
    """Both sources at one time; None: unreachable."""

    at: datetime
    prometheus: PrometheusView | None
    alertmanager: Mapping[Fingerprint, RoutedAlert] | None
    before: PrometheusView | None = None
    """The previous answer of Prometheus."""

    fired: Collection[str] = frozenset()
    """Ids of incidents whose alert was firing in Prometheus itself."""

    fired_since_start: Collection[str] = frozenset()
    """Those of them whose alert fired in this start of Prometheus."""

    unsettled: bool = False
    """A clock just stepped: alerts may fire or resolve because of that."""


def alert_state(incident: Incident, last: Attempt | None, snapshot: AlertSnapshot) -> AlertState:
    """Return the state of the incident's alert from both sources."""
    prometheus, alertmanager = snapshot.prometheus, snapshot.alertmanager
    if prometheus is None or alertmanager is None or not prometheus.watchdog_seen:
        return AlertState.UNKNOWN
    if snapshot.unsettled:
        return AlertState.UNKNOWN
    rule = prometheus.alerts.get(incident.fingerprint)
    routed = alertmanager.get(incident.fingerprint)
    if rule is None:
        absent = routed is None or routed.ends_at <= snapshot.at
        believed = absent and _absence_counts(incident, last, prometheus, snapshot)
        return AlertState.ABSENT if believed else AlertState.UNKNOWN
    if not rule.firing:
        return AlertState.PENDING
    if routed is None:
        # Alertmanager lost its state or has no alert yet: a silence could be hidden.
        return AlertState.UNKNOWN
    if routed.silenced:
        return AlertState.SILENCED
    return AlertState.INHIBITED if routed.inhibited else AlertState.FIRING


def is_audible(incident: Incident, snapshot: AlertSnapshot) -> bool:
    """Whether the incident's alert fires without a silence in Alertmanager.

    An alert that Alertmanager does not have may have lost its silence too.
    """
    if snapshot.prometheus is None or snapshot.alertmanager is None:
        return False
    rule = snapshot.prometheus.alerts.get(incident.fingerprint)
    routed = snapshot.alertmanager.get(incident.fingerprint)
    return rule is not None and rule.firing and (routed is None or not routed.silenced)


def why_not_resolvable(incident: Incident, snapshot: AlertSnapshot | None) -> str:
    """Return why an operator must not resolve the incident; empty: its alert does not fire.

    Only Prometheus counts: operators resolve what Alertmanager alone keeps open.
    """
    if snapshot is None or snapshot.at < incident.received_at:
        return "its alert has not been checked in Prometheus yet; retry in a few seconds"
    if snapshot.prometheus is None:
        return "Prometheus does not answer, so its alert may be firing; acknowledge it instead"
    rule = snapshot.prometheus.alerts.get(incident.fingerprint)
    if rule is None:
        return ""
    state = "firing" if rule.firing else "pending"
    return f"its alert is {state} in Prometheus; acknowledge or snooze it instead"


def _absence_counts(
    incident: Incident, last: Attempt | None, prometheus: PrometheusView, snapshot: AlertSnapshot
) -> bool:
    """Trust an absence if another source or a second answer confirms it.

    A Prometheus that has just started counts only for an alert that fired since: it evaluates that.
    For an alert that Prometheus has never returned, the answer may be older than the notification.
    """
    verified = last is not None and last.state is AttemptState.VERIFIED
    reported_resolved = (
        incident.resolved_at is not None and incident.resolved_at >= incident.starts_at
    )
    if verified or reported_resolved:
        return True
    is_old = max(snapshot.at - prometheus.started_at, prometheus.known_for) >= YOUNG
    is_evaluated = is_old or incident.id in snapshot.fired_since_start
    is_second = snapshot.before is not None and incident.fingerprint not in snapshot.before.alerts
    was_shown = incident.id in snapshot.fired
    received_lately = abs(snapshot.at - incident.received_at) < NEVER_SHOWN
    return is_evaluated and is_second and (was_shown or not received_lately)


def blocking(runbook: Runbook, target: Target, snapshot: AlertSnapshot) -> tuple[str, ...]:
    """Return the alerts of `unless` that are pending or firing for the target or its venue."""
    if snapshot.prometheus is None:
        return ()  # then the view is unknown and no action runs anyway
    by_name = snapshot.prometheus.by_name
    names = {
        name
        for name in runbook.unless
        for alert in by_name.get(name, ())
        if _concerns(alert.labels, runbook.target_label, target)
    }
    return tuple(sorted(names))


def _concerns(labels: Mapping[str, str], target_label: str, target: Target) -> bool:
    same_target = labels.get(target_label) == target.name
    same_venue = target.venue is not None and labels.get("venue") == target.venue
    return same_target or (same_venue and target_label not in labels)
