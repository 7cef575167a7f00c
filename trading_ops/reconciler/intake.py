"""Stored notifications → incidents. Storing comes first; processing can wait and be repeated.

It only opens incidents and records resolved alerts; it runs no actions. The format is version "4"
of Alertmanager's webhook, 0.25 to 0.34 (`template/template.go`, `notify/webhook/webhook.go`).
Unknown keys are ignored: newer versions add some.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import msgspec

from trading_ops import clock, logs
from trading_ops.domain.alert import (
    PAGE_LABEL,
    WATCHDOG,
    Alert,
    AlertStatus,
    Fingerprint,
    fingerprint_of,
    stripped,
)
from trading_ops.errors import AWAY
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.store import Connection, events, failpoints, incidents, notifications
from trading_ops.store.failpoints import Failpoint
from trading_ops.store.notifications import NotificationState
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)

NO_PAGE_LABEL = "no_page_label"
"""Why an alert of a notification opens no incident: it is not ours."""

UNCONFIRMED = "unconfirmed"
"""Why an alert of a notification opens no incident: too many others may be forged."""

NAMES_SHOWN = 10
"""Maximum ignored alerts in one log line."""

BATCHES = 5
"""Batches processed before the loop continues."""


@dataclass(frozen=True, kw_only=True)
class Intake:
    """Stores and processes notifications."""

    writer: Writer
    reader: Reader
    index: RunbookIndex
    metrics: ReconcilerMetrics
    wake: Callable[[], None]
    """Wakes the loop."""

    max_unconfirmed: int
    """The setting `unconfirmed_incidents`."""

    async def store(self, body: bytes, received_at: datetime) -> None:
        """Return once the notification is durably stored.

        Raises:
            StoreError: it is not stored; the sender must retry.
        """
        add = partial(notifications.add, received_at=received_at, body=body)
        failpoints.reached(Failpoint.INTAKE_READ)
        await self.writer.take_in(add)
        failpoints.reached(Failpoint.INTAKE_STORED)
        self.metrics.notifications.labels("stored").inc()
        self.wake()

    async def remember_watchdog(self) -> None:
        """Load, at start, when the Watchdog last arrived: a restart is not silence."""
        seen = await self.reader.read(notifications.watchdog_last_seen)
        if seen is not None:
            self.metrics.watchdog.set(seen.timestamp())

    async def process_pending(
        self, external: Mapping[str, str], fired: Collection[str] = ()
    ) -> "ProcessedBatch":
        """Process pending notifications into incidents; safe to repeat after a crash.

        In batches, since there may be many and large ones; and a limited number of batches, since
        open incidents need attention during a storm.

        Args:
            external: external labels of Prometheus, which are not part of an alert's identity.
            fired: ids of the incidents whose alert has fired in Prometheus.
        """
        after, incomplete = 0, False
        for _ in range(BATCHES):
            batch = await self.reader.read(partial(notifications.pending, after=after))
            if not batch:
                return ProcessedBatch(more=False, incomplete=incomplete)
            after = batch[-1].id
            parsed = [self._parsed(notification, external) for notification in batch]
            try:
                await self.writer.run(partial(self._record, parsed=parsed, fired=fired))
            except AWAY:
                raise  # they stay pending until the database is back
            except Exception:
                log.exception("notifications_failed", count=len(parsed))
                for entry in parsed:
                    await self._record_alone(entry, fired)
            failpoints.reached(Failpoint.PROCESS_AFTER)
            self._count(parsed)
            incomplete = incomplete or any(entry.truncated or entry.left_out for entry in parsed)
        return ProcessedBatch(more=True, incomplete=incomplete)

    def _parsed(
        self, notification: notifications.Notification, external: Mapping[str, str]
    ) -> "_Parsed":
        try:
            alerts = parse_notification(notification.body, external)
            return _Parsed(notification, alerts, truncated=truncated_alerts(notification.body))
        except Exception as error:  # noqa: BLE001 - one bad notification must not block the next
            return _Parsed(notification, [], error=str(error) or type(error).__name__)

    async def _record_alone(self, parsed: "_Parsed", fired: Collection[str]) -> None:
        try:
            await self.writer.run(partial(self._record, parsed=[parsed], fired=fired))
        except AWAY:
            raise
        except Exception as error:  # noqa: BLE001 - quarantine what cannot be recorded
            parsed.error = str(error) or type(error).__name__
            await self.writer.run(partial(self._record, parsed=[parsed], fired=fired))

    def _record(
        self, connection: Connection, parsed: "list[_Parsed]", fired: Collection[str]
    ) -> None:
        failpoints.reached(Failpoint.PROCESS_BEFORE)
        mine = notifications.claim(connection, [entry.notification.id for entry in parsed])
        now = clock.now()
        for entry in parsed:
            if entry.notification.id not in mine:
                continue
            if entry.error is None:
                self._open(connection, entry, now, fired)
            notifications.finish(
                connection,
                entry.notification.id,
                NotificationState.PARSED if entry.error is None else NotificationState.QUARANTINED,
                error=entry.error,
                watchdog=_has_watchdog(entry.alerts),
            )
            events.add(
                connection,
                at=now,
                kind="notified" if entry.error is None else "quarantined",
                actor="alertmanager",
                note=_digest(entry),
            )

    def _open(
        self, connection: Connection, parsed: "_Parsed", now: datetime, fired: Collection[str]
    ) -> None:
        alerts = [alert for alert in parsed.alerts if alert.is_ours and not alert.is_context]
        firing = [alert for alert in alerts if alert.status is AlertStatus.FIRING]
        if firing:
            room = self.max_unconfirmed - incidents.count_open(connection, besides=fired)
            parsed.left_out = incidents.open_all(
                connection,
                [self.index.with_target(alert) for alert in firing],
                received_at=parsed.notification.received_at,
                now=now,
                source="webhook",
                at_most=max(0, room),
            ).left_out
        ends = {
            alert.fingerprint: alert.ends_at
            for alert in alerts
            if alert.status is AlertStatus.RESOLVED and alert.ends_at is not None
        }
        incidents.note_resolved(connection, ends, now=now)

    def _count(self, parsed: "list[_Parsed]") -> None:
        for entry in parsed:
            if entry.error is not None:
                key = entry.notification.id
                log.warning("notification_quarantined", id=key, error=entry.error)
                self.metrics.notifications.labels("quarantined").inc()
            elif _has_watchdog(entry.alerts):
                self.metrics.watchdog.set(entry.notification.received_at.timestamp())
            foreign = [alert for alert in entry.alerts if not alert.is_ours]
            if foreign:
                names = sorted({alert.name for alert in foreign})
                log.warning(
                    "alerts_ignored",
                    reason=NO_PAGE_LABEL,
                    count=len(foreign),
                    alerts=names[:NAMES_SHOWN],
                    fix=f"route only alerts with the label {PAGE_LABEL} to this receiver",
                )
                self.metrics.alerts_ignored.labels(NO_PAGE_LABEL).inc(len(foreign))
            if entry.left_out:
                log.warning("alerts_ignored", reason=UNCONFIRMED, count=entry.left_out)
                self.metrics.alerts_ignored.labels(UNCONFIRMED).inc(entry.left_out)


@dataclass
class _Parsed:
    """A notification with its alerts, or the reason why it has none."""

    notification: notifications.Notification
    alerts: list[Alert]
    error: str | None = None
    truncated: int = 0
    """Number of alerts that Alertmanager truncated."""

    left_out: int = 0
    """Number of alerts that opened no incident because too many are unconfirmed."""


@dataclass(frozen=True, kw_only=True)
class ProcessedBatch:
    """Result of one round of processing."""

    more: bool
    """More notifications are pending."""

    incomplete: bool
    """Not every firing alert opened an incident: poll the sources for those that are missing."""


def _digest(parsed: _Parsed) -> str:
    body = parsed.notification.body
    more = f", {parsed.truncated} more truncated" if parsed.truncated else ""
    return (
        f"notification {parsed.notification.id}: {len(parsed.alerts)} alerts{more}, "
        f"{len(body)} bytes, sha256 {hashlib.sha256(body).hexdigest()}"
    )


def _has_watchdog(alerts: list[Alert]) -> bool:
    return any(alert.name == WATCHDOG for alert in alerts)


FINGERPRINT = re.compile(r"[0-9a-f]{16}")

NO_LABELS: Mapping[str, str] = {}
ZERO_TIME_YEAR = 1
"""Go's zero time, 0001-01-01: the `endsAt` of a firing alert."""


class _WebhookAlert(msgspec.Struct):
    status: AlertStatus
    labels: dict[str, str]
    startsAt: datetime  # noqa: N815 - Alertmanager's names
    endsAt: datetime | None = None  # noqa: N815
    annotations: dict[str, str] = {}
    fingerprint: str = ""


class _WebhookMessage(msgspec.Struct):
    alerts: list[_WebhookAlert]
    version: str = "4"


class _Truncated(msgspec.Struct):
    truncatedAlerts: object = 0  # noqa: N815


class InvalidNotification(ValueError):
    """The body is not a notification; it is quarantined."""


def parse_notification(body: bytes, external: Mapping[str, str] = NO_LABELS) -> list[Alert]:
    """Return the alerts of one notification, without the external labels of Prometheus.

    Raises:
        InvalidNotification: it is not JSON, or not a notification of Alertmanager.
    """
    try:
        message = msgspec.json.decode(body, type=_WebhookMessage)
        return [_alert(alert, external) for alert in message.alerts]
    except (msgspec.DecodeError, RecursionError, UnicodeError, OverflowError) as error:
        # OverflowError: a time whose zone offset moves it beyond the supported range.
        raise InvalidNotification(str(error)) from error


def truncated_alerts(body: bytes) -> int:
    """Return the number of alerts that Alertmanager truncated because of `max_alerts`.

    An invalid number is ignored: the alerts in the body still count.
    """
    if b'"truncatedAlerts"' not in body:
        return 0
    try:
        number = msgspec.json.decode(body, type=_Truncated).truncatedAlerts
    except (msgspec.DecodeError, RecursionError):
        return 0
    return number if isinstance(number, int) and number > 0 else 0


def _alert(alert: _WebhookAlert, external: Mapping[str, str]) -> Alert:
    ended = alert.endsAt is not None and alert.endsAt.year > ZERO_TIME_YEAR
    labels = stripped(alert.labels, external)
    given = labels == alert.labels and FINGERPRINT.fullmatch(alert.fingerprint)
    return Alert(
        # It is a database key: a value not from Alertmanager may have any length.
        fingerprint=Fingerprint(alert.fingerprint) if given else fingerprint_of(labels),
        labels=labels,
        annotations=alert.annotations,
        status=alert.status,
        starts_at=_utc(alert.startsAt),
        ends_at=_utc(alert.endsAt) if ended and alert.endsAt else None,
    )


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
