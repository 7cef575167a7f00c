"""Stored notifications → incidents. Storing comes first; taking apart can wait, and can be redone.

Nothing here acts: it only opens incidents and keeps Alertmanager's word that some ended.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from trading_ops import clock, logs
from trading_ops.domain.alert import WATCHDOG, Alert, AlertStatus
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.notification import Unreadable, parse_notification
from trading_ops.reconciler.plans import Plans
from trading_ops.store import Connection, incidents, notifications
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Intake:
    """Takes notifications in, and apart."""

    writer: Writer
    reader: Reader
    plans: Plans
    metrics: ReconcilerMetrics
    wake: Callable[[], None]
    """Tells the loop that there is something to look at."""

    async def store(self, body: bytes, received_at: datetime) -> None:
        """Return only when the notification is safely on disk.

        Raises:
            StoreError: it is not; the sender must try again.
        """
        add = partial(notifications.add, received_at=received_at, body=body)
        await self.writer.take_in(add)
        self.metrics.notifications.labels("stored").inc()
        self.wake()

    async def remember_watchdog(self) -> None:
        """At start: find when the Watchdog last came, so that a restart does not look like silence.

        It comes each minute, so it is among the latest notifications, if it comes at all.
        """
        for notification in await self.reader.read(notifications.newest):
            try:
                alerts = parse_notification(notification.body)
            except Unreadable:
                continue
            if any(alert.name == WATCHDOG for alert in alerts):
                self.metrics.watchdog.set(notification.received_at.timestamp())
                return

    async def take_apart(self) -> None:
        """Turn everything that waits into incidents; safe to repeat after a crash."""
        while waiting := await self.reader.read(notifications.pending):
            for notification in waiting:
                await self._take_one(notification)

    async def _take_one(self, notification: notifications.Notification) -> None:
        try:
            alerts = parse_notification(notification.body)
        except Unreadable as error:
            log.warning("notification_quarantined", id=notification.id, error=str(error))
            self.metrics.notifications.labels("quarantined").inc()
            await self.writer.run(
                partial(
                    notifications.finish,
                    key=notification.id,
                    state=notifications.State.QUARANTINED,
                    error=str(error),
                )
            )
            return
        await self.writer.run(partial(self._record, notification=notification, alerts=alerts))
        if any(alert.name == WATCHDOG for alert in alerts):
            self.metrics.watchdog.set(notification.received_at.timestamp())

    def _record(
        self,
        connection: Connection,
        notification: notifications.Notification,
        alerts: list[Alert],
    ) -> None:
        now = clock.now()
        for alert in alerts:
            if alert.is_context:
                continue
            if alert.status is AlertStatus.FIRING:
                target = self.plans.target(alert.name, alert.labels)
                incidents.open_or_find(
                    connection,
                    alert,
                    target=target.name if target else None,
                    received_at=notification.received_at,
                    now=now,
                    source="webhook",
                )
            elif alert.ends_at is not None:
                incidents.note_resolved(
                    connection, alert.fingerprint, ends_at=alert.ends_at, now=now
                )
        notifications.finish(connection, notification.id, notifications.State.PARSED)
