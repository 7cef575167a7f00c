"""Polls Prometheus and Alertmanager, independently of webhooks."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from trading_ops import clock, logs
from trading_ops.clients.alertmanager import Alertmanagers
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.alert import Alert, AlertStatus, Fingerprint, fingerprint_of, stripped
from trading_ops.domain.observation import AlertSnapshot, RoutedAlert, RuleAlert
from trading_ops.errors import AWAY, ClientError
from trading_ops.reconciler.clocks import Clocks
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.store import Connection, failpoints, incidents
from trading_ops.store.failpoints import Failpoint
from trading_ops.store.writer import Writer

log = logs.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Polls both sources concurrently."""

    prometheus: Prometheus
    alertmanagers: Alertmanagers
    writer: Writer
    index: RunbookIndex
    metrics: ReconcilerMetrics
    clocks: Clocks

    async def poll(self) -> AlertSnapshot:
        """Return the answers of both sources; None: no answer."""
        rules, routed = await asyncio.gather(
            self.prometheus.view(), self.alertmanagers.alerts(), return_exceptions=True
        )
        self.clocks.read()
        now = clock.now()
        self._record_poll("prometheus", rules)
        self._record_poll("alertmanager", routed)
        view = None if isinstance(rules, BaseException) else rules
        routed_alerts = None if isinstance(routed, BaseException) else routed
        if view is not None and view.external and routed_alerts is not None:
            routed_alerts = _as_prometheus_has_them(routed_alerts, view.external)
        unsettled = self.clocks.unsettled
        return AlertSnapshot(
            at=now, prometheus=view, alertmanager=routed_alerts, unsettled=unsettled
        )

    async def external_labels(self) -> Mapping[str, str]:
        """Return the labels that Prometheus adds to what it sends."""
        return await self.prometheus.external_labels()

    def _record_poll(self, source: str, answer: object) -> None:
        if isinstance(answer, ClientError):
            log.warning("poll_failed", source=source, error=str(answer))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            self.metrics.polled.labels(source).set(clock.timestamp())

    async def adopt(self, snapshot: AlertSnapshot, known: set[Fingerprint]) -> int:
        """Open incidents for firing alerts without a webhook; return their number.

        A webhook can be lost: refused, dropped while silenced, or sent to a dead process. Only
        alerts with our page label that Alertmanager routes to our receiver become incidents.
        """
        if snapshot.prometheus is None or snapshot.alertmanager is None:
            return 0
        missed = [
            alert
            for key, alert in snapshot.prometheus.alerts.items()
            if alert.firing
            and alert.is_ours
            and key in snapshot.alertmanager
            and key not in known
            and alert.labels.get("severity") != "none"
        ]
        if not missed:
            return 0
        failpoints.reached(Failpoint.POLL_ADOPT)
        opened = await self._adopt(missed, snapshot.alertmanager)
        log.info("alerts_found_by_poll", alerts=sorted({alert.name for alert in missed}))
        return opened

    async def _adopt(
        self, missed: list[RuleAlert], routed: Mapping[Fingerprint, RoutedAlert]
    ) -> int:
        try:
            return await self.writer.run(partial(self._open, missed=missed, routed=routed))
        except AWAY:
            raise
        except Exception as error:
            if len(missed) == 1:  # one bad alert must not block the others
                log.exception("alert_not_adopted", alert=missed[0].name, error=str(error))
                return 0
            return sum([await self._adopt([alert], routed) for alert in missed])

    def _open(
        self,
        connection: Connection,
        missed: list[RuleAlert],
        routed: Mapping[Fingerprint, RoutedAlert],
    ) -> int:
        now = clock.now()
        alerts = [_as_alert(rule, routed[rule.fingerprint]) for rule in missed]
        return incidents.open_all(
            connection,
            [self.index.with_target(alert) for alert in alerts],
            received_at=now,
            now=now,
            source="poll",
        ).opened


def _as_prometheus_has_them(
    routed: Mapping[Fingerprint, RoutedAlert], external: Mapping[str, str]
) -> dict[Fingerprint, RoutedAlert]:
    found = {}
    for alert in routed.values():
        labels = stripped(alert.labels, external)
        key = fingerprint_of(labels)
        found[key] = replace(alert, fingerprint=key, labels=labels)
    return found


def _as_alert(rule: RuleAlert, routed: RoutedAlert) -> Alert:
    return Alert(
        fingerprint=rule.fingerprint,
        labels=rule.labels,
        annotations=rule.annotations,
        status=AlertStatus.FIRING,
        starts_at=routed.starts_at,
    )
