"""Escalation is a metric: a committed rule pages on it, through Alertmanager."""

from collections import Counter
from collections.abc import Sequence

from trading_ops.domain.fault import subject_of
from trading_ops.domain.incident import Incident
from trading_ops.domain.target import NAMED_BOTS, Kind
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.runbook_index import RunbookIndex


def show_open(
    metrics: ReconcilerMetrics, incidents: Sequence[Incident], index: RunbookIndex
) -> None:
    """Set the gauges of open and escalated incidents."""
    metrics.incidents_open.clear()
    for alert in index.runbooks:
        metrics.incidents_open.labels(alert).set(0)
    for alert, count in Counter(incident.alert for incident in incidents).items():
        known = alert if alert in index.runbooks else "other"
        metrics.incidents_open.labels(known).set(count)
        metrics.recovery.labels(known)  # zero before its first recovery
    oldest = min((incident.opened_at for incident in incidents), default=None)
    metrics.oldest_opened.set(0 if oldest is None else oldest.timestamp())
    metrics.escalated.clear()
    for incident in incidents:
        if incident.escalated_at is not None:
            metrics.escalated.labels(*_labels(incident, index)).set(1)


def _labels(incident: Incident, index: RunbookIndex) -> tuple[str, str, str, str, str]:
    """Return alert, target, bot, venue and subject.

    Labels are bounded: only registered names, and no subject for an unknown target.
    """
    target = index.registry.find(incident.target or "")
    alert = incident.alert if incident.alert in index.runbooks else "other"
    if target is None:
        return alert, "", "", "", ""
    bot = target.name if target.kind in NAMED_BOTS else ""
    venue = target.name if target.kind is Kind.VENUE else target.venue or ""
    return alert, target.name, bot, venue, subject_of(incident.labels)
