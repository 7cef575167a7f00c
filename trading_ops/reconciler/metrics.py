"""The reconciler's own metrics, with every known label set initialized to zero.

Measurements of the reconciler itself are taken outside the loop, so that a hung loop shows.
Escalated incidents and notices of the action `page_oncall` are gauges on which rules page.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from prometheus_client import CollectorRegistry

from trading_ops import __version__, clock, logs
from trading_ops.actions.registry import ACTIONS
from trading_ops.domain.acknowledgement import subject_of
from trading_ops.domain.attempt import AttemptState
from trading_ops.domain.decision import Close, Decision, Escalate, Reason, Run, Verify, Wait
from trading_ops.domain.hold import is_automatic
from trading_ops.domain.incident import Incident
from trading_ops.domain.maintenance import outlasts
from trading_ops.domain.silences import TooWide
from trading_ops.domain.target import NAMED_BOTS, Kind, Target
from trading_ops.errors import StoreError
from trading_ops.instrument.families import counter, gauge, histogram
from trading_ops.reconciler import retention
from trading_ops.reconciler.lease import LEASE_SECONDS, USABLE_SECONDS, Leases
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.store import Connection, events, holds, maintenance, notifications
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer
from trading_ops.tasks import Succeeded, unwatched
from trading_ops.tls.expiry import Certificates

RESULTS = ("stored", "refused", "quarantined")
OUTCOMES = tuple(state for state in AttemptState if state is not AttemptState.STARTED)


class TargetsMetrics:
    """The last reload of targets.yml."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.successful = gauge("trading_ops_targets_last_reload_successful", registry)
        self.successful.set(1)
        self.succeeded_at = gauge(
            "trading_ops_targets_last_reload_success_timestamp_seconds", registry
        )


class SilenceMetrics:
    """Acknowledgements and manual silences."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.acknowledged = gauge("trading_ops_acknowledged_until_timestamp_seconds", registry)
        self.until = gauge("trading_ops_silenced_until_timestamp_seconds", registry)
        self.covering = gauge("trading_ops_silences_covering", registry)
        self.too_wide = gauge("trading_ops_silences_too_wide", registry)
        for reason in TooWide:
            self.too_wide.labels(reason)


class OutboxMetrics:
    """Delivery of messages."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.deliveries = counter("trading_ops_messages_total", registry)
        self.unsent = gauge("trading_ops_messages_unsent", registry)
        self.oldest_undelivered = gauge(
            "trading_ops_messages_oldest_undelivered_timestamp_seconds", registry
        )
        for outcome in ("sent", "failed", "dead"):
            self.deliveries.labels(outcome)
        for state in ("waiting", "dead"):
            self.unsent.labels(state)


class ReadinessMetrics:
    """Readiness of each bot."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.stage = gauge("trading_ops_readiness_stage", registry)
        self.credited = gauge("trading_ops_readiness_credited_seconds", registry)
        self.criteria = gauge("trading_ops_readiness_criteria", registry)
        self.regressed = gauge("trading_ops_readiness_criteria_regressed", registry)
        self.held = gauge("trading_ops_readiness_held", registry)
        self.sign_off_due = gauge("trading_ops_readiness_sign_off_due_timestamp_seconds", registry)


class JobMetrics:
    """Job results and due times."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.expected = gauge("trading_ops_job_expected_timestamp_seconds", registry)
        self.failing = gauge("trading_ops_job_failing", registry)
        self.succeeded = gauge("trading_ops_job_last_success_timestamp_seconds", registry)
        self.duration = gauge("trading_ops_job_duration_seconds", registry)
        self._retention_failing = gauge("trading_ops_retention_failing", registry)
        for kind in retention.KINDS:
            self._retention_failing.labels(kind)

    def note_retention(self, kind: str, problem: str) -> None:
        """Record why the last run of retention could not remove old rows of a kind, or ""."""
        self._retention_failing.labels(kind).set(1 if problem else 0)


class LeaseMetrics:
    """The leases of this replica."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.current = gauge("trading_ops_lease_held", registry)
        self.until = gauge("trading_ops_lease_until_timestamp_seconds", registry)
        self.held = gauge("trading_ops_leases_held", registry)


class AuditMetrics:
    """The audit log, and changes of the configuration that it records."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.head = gauge("trading_ops_audit_head_events", registry)
        self.anchored = gauge("trading_ops_audit_anchor_timestamp_seconds", registry)
        self.history_changed = gauge("trading_ops_audit_history_changed", registry)
        self.configuration_changed = gauge(
            "trading_ops_configuration_changed_timestamp_seconds", registry
        )
        for kind in ("rules", "runbooks"):
            self.configuration_changed.labels(kind)


class SecurityMetrics:
    """Refused requests and listeners, and certificates."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.auth_refused = counter("trading_ops_auth_refused_total", registry)
        self.admin_requests = counter("trading_ops_admin_requests_total", registry)
        self.impostors = counter("trading_ops_impostors_refused_total", registry)
        self.certificate_expiry = gauge(
            "trading_ops_certificate_expiry_timestamp_seconds", registry
        )
        for refusal in ("no_token", "unknown_token", "role", "forged"):
            self.auth_refused.labels(refusal)

    def count_admin(self, operation: str) -> None:
        """Count a request that needs the role admin."""
        self.admin_requests.labels(operation).inc()


class AgentMetrics:
    """The agents of the bots, and the holds on trading."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unresponsive = gauge("trading_ops_agent_unresponsive", registry)
        self.answered = gauge("trading_ops_agent_last_answer_timestamp_seconds", registry)
        self.holds_active = gauge("trading_ops_holds_active", registry)
        self.holds_unregistered = gauge("trading_ops_holds_unregistered", registry)
        self.holds_not_stored = gauge("trading_ops_holds_not_stored", registry)
        self.holds_reapplied = counter("trading_ops_holds_reapplied_total", registry)
        self.freqtrade_requests = counter("trading_ops_freqtrade_requests_total", registry)
        self.events_dropped = counter("trading_ops_bot_events_dropped_total", registry)


class ReconcilerMetrics:
    """All metrics of the reconciler."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.decisions = counter("trading_ops_decisions_total", self.registry)
        self.attempts = counter("trading_ops_attempts_total", self.registry)
        self.notifications = counter("trading_ops_notifications_total", self.registry)
        self.alerts_ignored = counter("trading_ops_alerts_ignored_total", self.registry)
        self.incidents_waiting = gauge("trading_ops_incidents_waiting", self.registry)
        self.incidents_open = gauge("trading_ops_incidents_open", self.registry)
        self.escalated = gauge("trading_ops_incident_escalated", self.registry)
        self.agents = AgentMetrics(self.registry)
        self.audit = AuditMetrics(self.registry)
        self.jobs = JobMetrics(self.registry)
        self.lease = LeaseMetrics(self.registry)
        self.outbox = OutboxMetrics(self.registry)
        self.readiness = ReadinessMetrics(self.registry)
        self.security = SecurityMetrics(self.registry)
        self.silences = SilenceMetrics(self.registry)
        self.targets = TargetsMetrics(self.registry)
        self.paused = gauge("trading_ops_automation_paused", self.registry)
        self.maintenance = gauge("trading_ops_maintenance_active", self.registry)
        self.maintenance_end = gauge("trading_ops_maintenance_end_timestamp_seconds", self.registry)
        self.maintenance_holds = gauge("trading_ops_maintenance_holds_left", self.registry)
        self.polled = gauge("trading_ops_poll_last_success_timestamp_seconds", self.registry)
        self.watchdog = gauge("trading_ops_watchdog_last_seen_timestamp_seconds", self.registry)
        self.test_alert = gauge("trading_ops_test_alert", self.registry)
        self.notice = gauge("trading_ops_notice", self.registry)
        self.recovery = histogram("trading_ops_recovery_duration_seconds", self.registry)
        self.oldest_opened = gauge(
            "trading_ops_incident_oldest_opened_timestamp_seconds", self.registry
        )
        self.inbox = gauge("trading_ops_webhook_queue_length", self.registry)
        self.decision_lag = histogram("trading_ops_decision_lag_seconds", self.registry)
        self.start_lag = histogram("trading_ops_action_start_latency_seconds", self.registry)
        self.pass_duration = histogram("trading_ops_reconcile_duration_seconds", self.registry)
        self.passed = gauge("trading_ops_reconcile_last_success_timestamp_seconds", self.registry)
        self.writer_queue = gauge("trading_ops_writer_queue_requests", self.registry)
        self.commit = histogram("trading_ops_writer_commit_duration_seconds", self.registry)
        self.websocket_clients = gauge("trading_ops_websocket_clients", self.registry)
        self._task = gauge("trading_ops_task_last_success_timestamp_seconds", self.registry)
        self.clock_stepped = gauge("trading_ops_clock_stepped", self.registry)
        self._began_at = clock.now()
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        gauge("trading_ops_build_info", self.registry).labels(__version__).set(1)
        for decision, reason in possible_decisions():
            self.decisions.labels(decision, reason)
        for action in ACTIONS:
            for outcome in OUTCOMES:
                self.attempts.labels(action, outcome)
        for result in RESULTS:
            self.notifications.labels(result)
        for ignored in ("no_page_label", "unconfirmed"):
            self.alerts_ignored.labels(ignored)
        for source in ("prometheus", "alertmanager"):
            self.polled.labels(source)
        for name in ("reconciler", "prometheus", "alertmanager"):
            self.clock_stepped.labels(name)
        for state in ("pending", "quarantined"):
            self.inbox.labels(state)

    def task_succeeded(self, task: str, timestamp: float) -> None:
        """Record the last success of a background task."""
        self._task.labels(task).set(timestamp)

    def count_decision(self, decision: Decision) -> None:
        """Count one decision with its reason."""
        self.decisions.labels(kind_of(decision), decision.reason).inc()

    def observe_lag(self, incident: Incident, decision: Decision, *, first: bool) -> None:
        """Record the time from receiving an alert to the first decision and to the start.

        Alerts received before this process started are ignored.
        """
        if incident.received_at < self._began_at:
            return
        lag = (clock.now() - incident.received_at).total_seconds()
        if first:
            self.decision_lag.observe(lag)
        if isinstance(decision, Run) and decision.step == 0:
            self.start_lag.observe(lag)


def kind_of(decision: Decision) -> str:
    """Return the decision's name: `run`, `wait`, `verify`, `escalate` or `close`."""
    return type(decision).__name__.lower()


def possible_decisions() -> list[tuple[str, Reason]]:
    """Return all possible pairs of decision and reason."""
    running = (Reason.STEP_DUE,)
    verifying = (Reason.ATTEMPT_SUCCEEDED,)
    closing = (Reason.RECOVERED, Reason.RESOLVED)
    escalating = (
        Reason.NO_RUNBOOK,
        Reason.TARGET_UNKNOWN,
        Reason.STEPS_EXHAUSTED,
        Reason.ATTEMPTS_EXHAUSTED,
        Reason.APPROVAL_DENIED,
        Reason.OUTCOME_UNKNOWN,
    )
    by_people = (Reason.RESOLVED_BY_OPERATOR,)
    only_elsewhere = {*running, *verifying, *closing, *escalating, *by_people}
    only_elsewhere -= {Reason.OUTCOME_UNKNOWN}
    waiting = tuple(reason for reason in Reason if reason not in only_elsewhere)
    table: list[tuple[type[Decision], tuple[Reason, ...]]] = [
        (Run, running),
        (Verify, verifying),
        (Close, closing),
        (Escalate, escalating),
        (Wait, waiting),
    ]
    return [(kind.__name__.lower(), reason) for kind, reasons in table for reason in reasons]


log = logs.get(__name__)

EVERY_SECONDS = 5.0
QUARANTINE_EVERY = 12
"""Measurements between counts of rarely changing values that need a table scan."""


@dataclass(frozen=True, kw_only=True)
class DatabaseMetricsUpdater:
    """Updates the metrics until cancelled."""

    writer: Writer
    reader: Reader
    leases: Leases
    metrics: ReconcilerMetrics
    certificates: Certificates

    def register(self) -> None:
        """Register the in-memory values, which are read at each scrape."""
        self.metrics.writer_queue.set_function(lambda: self.writer.waiting)
        self.metrics.lease.current.set_function(lambda: self.leases.age_seconds < USABLE_SECONDS)
        self.metrics.lease.held.set_function(lambda: len(self.leases.keys))
        self.metrics.lease.until.set_function(self._lease_until)
        self.writer.on_commit = self.metrics.commit.observe

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Read the values of the database every few seconds."""
        turn = 0
        while True:
            try:
                await self.reader.read(partial(self._measure, scan=turn % QUARANTINE_EVERY == 0))
            except StoreError as error:
                log.warning("measurement_failed", error=str(error))
            else:
                succeeded()
            turn += 1
            await asyncio.sleep(EVERY_SECONDS)

    def _measure(self, connection: Connection, *, scan: bool) -> None:
        state = notifications.NotificationState
        self.metrics.audit.head.set(events.head(connection))
        self.metrics.inbox.labels("pending").set(notifications.count(connection, state.PENDING))
        for name, expiry in self.certificates.known().items():
            self.metrics.security.certificate_expiry.labels(name).set(expiry)
        self._measure_maintenance(connection, clock.now())
        if scan:
            quarantined = notifications.count(connection, state.QUARANTINED)
            self.metrics.inbox.labels("quarantined").set(quarantined)

    def _measure_maintenance(self, connection: Connection, now: datetime) -> None:
        ends: dict[str, datetime] = {}
        windows = maintenance.current(connection, now=now)
        for window in windows:
            target = window.target or "fleet"
            ends[target] = max(window.ends_at, ends.get(target, window.ends_at))
        held = [hold for hold in holds.placed_in_windows(connection) if not is_automatic(hold)]
        around = maintenance.ending_since(connection, held[0].at) if held else []
        left = Counter(hold.target for hold in held if outlasts(around, hold.target, hold.at, now))
        metrics = self.metrics
        metrics.maintenance.clear()
        metrics.maintenance_end.clear()
        metrics.maintenance_holds.clear()
        for target, end in ends.items():
            metrics.maintenance.labels(target).set(1)
            metrics.maintenance_end.labels(target).set(end.timestamp())
        for bot, count in left.items():
            metrics.maintenance_holds.labels(bot).set(count)

    def _lease_until(self) -> float:
        age = self.leases.age_seconds
        return 0.0 if age == float("inf") else clock.timestamp() + LEASE_SECONDS - age


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


SHOWN_SECONDS = 60.0
"""Seconds; Prometheus scrapes every second, so the alert is sent long before."""

MOST = 20
"""Maximum active notices: each is a series and a page."""

Labels = tuple[str, str, str, str]


class Notices:
    """Publishes notices and removes expired ones."""

    def __init__(
        self, metrics: ReconcilerMetrics, *, monotonic: Callable[[], float] = clock.monotonic
    ) -> None:
        """Start without notices.

        Args:
            metrics: of the reconciler.
            monotonic: the clock.
        """
        self._gauge = metrics.notice
        self._monotonic = monotonic
        self._until: dict[Labels, float] = {}

    def show(self, target: Target, message: str) -> bool:
        """Publish or extend a notice; return False if too many are active."""
        self.end_old()
        bot = target.name if target.kind in NAMED_BOTS else ""
        venue = target.name if target.kind is Kind.VENUE else target.venue or ""
        labels = (target.name, bot, venue, message)
        if labels not in self._until and len(self._until) >= MOST:
            return False
        self._until[labels] = self._monotonic() + SHOWN_SECONDS
        self._gauge.labels(*labels).set(1)
        asyncio.get_running_loop().call_later(SHOWN_SECONDS + 0.1, self.end_old)
        return True

    def end_old(self) -> None:
        """Remove expired notices."""
        now = self._monotonic()
        for labels in [key for key, until in self._until.items() if until <= now]:
            del self._until[labels]
            self._gauge.remove(*labels)
