"""Stored notifications → incidents. Storing comes first; taking apart can wait, and can be redone.

Nothing here acts: it only opens incidents and keeps Alertmanager's word that some ended.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from trading_ops import clock, logs
from trading_ops.domain.alert import WATCHDOG, Alert, AlertStatus
from trading_ops.errors import StoreError
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.notification import parse_notification
from trading_ops.reconciler.plans import Plans
from trading_ops.store import Connection, incidents, notifications
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)

KEEP = timedelta(days=7)
"""How long bodies are kept that were taken apart; what they opened is kept for good."""


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
        """At start: when the Watchdog last came, so that a restart does not look like silence."""
        seen = await self.reader.read(notifications.watchdog_last_seen)
        if seen is not None:
            self.metrics.watchdog.set(seen.timestamp())

    async def forget_old(self) -> None:
        """Delete bodies that were taken apart long ago; what is in quarantine stays."""
        before = clock.now() - KEEP
        while await self.writer.run(partial(notifications.prune, before=before)):
            log.info("notifications_pruned", before=before.isoformat())

    async def take_apart(self) -> None:
        """Turn everything that waits into incidents; safe to repeat after a crash.

        One at a time: a body may be large, and many may wait.
        """
        while (notification := await self.reader.read(notifications.next_pending)) is not None:
            await self._take_one(notification)

    async def _take_one(self, notification: notifications.Notification) -> None:
        try:
            alerts = parse_notification(notification.body)
            await self.writer.run(partial(self._record, notification=notification, alerts=alerts))
        except StoreError:
            raise  # it stays pending, and is taken apart when the database is back
        except Exception as error:  # noqa: BLE001 - one bad notification must not hold up the next
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
        if _has_watchdog(alerts):
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
        notifications.finish(
            connection,
            notification.id,
            notifications.State.PARSED,
            watchdog=_has_watchdog(alerts),
        )


def _has_watchdog(alerts: list[Alert]) -> bool:
    return any(alert.name == WATCHDOG for alert in alerts)
