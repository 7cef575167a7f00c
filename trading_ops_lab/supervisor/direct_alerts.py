"""Posts alerts to Alertmanager that Prometheus cannot raise while it is down.

Prometheus and the reconciler are queried over HTTP, so that a frozen process counts as down. The
labels are those of the rules of the same names: when Prometheus fires the same alert, Alertmanager
takes both for one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from trading_ops import clock, logs
from trading_ops.clients.alertmanager import PAGE_AT_ONCE, Alertmanager, PostedAlert
from trading_ops.clients.http import Http
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import ClientError
from trading_ops_lab.supervisor.monitoring_passwords import health_question
from trading_ops_lab.supervisor.process import AskHttp
from trading_ops_lab.supervisor.readiness import is_ready

_log = logs.get(__name__)

DOWN_SECONDS = 60.0
"""Longer than a restart, and longer than the `for` of the reconciler's rule."""

PAUSE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One process, and the alert to fire when it does not answer."""

    question: AskHttp
    labels: Mapping[str, str]
    summary: str


def watched(settings: Settings, registry: Registry) -> tuple[Watched, ...]:
    """Return the watched processes: Prometheus, and the reconciler if it has no replicas."""
    found = []
    for target in registry.of_kind(Kind.PROMETHEUS):
        labels = {"alertname": "TradingOpsPrometheusDown", "instance": target.address}
        question = health_question(settings, target, "/-/healthy")
        found.append(
            _watched(question, labels, "Prometheus does not answer, so no alert can fire.")
        )
    reconcilers = registry.of_kind(Kind.RECONCILER)
    if len(reconcilers) == 1:
        labels = {"alertname": "TradingOpsReconcilerDown"}
        summary = "The reconciler does not answer, so nothing is remediated."
        question = AskHttp(url=f"{reconcilers[0].url}/-/healthy")
        found.append(_watched(question, labels, summary))
    return tuple(found)


def _watched(question: AskHttp, labels: Mapping[str, str], summary: str) -> Watched:
    return Watched(question=question, labels={**labels, **PAGE_AT_ONCE}, summary=summary)


class Alarm:
    """Watches some processes and posts an alert for each that does not answer."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        watched: Sequence[Watched],
        alertmanagers: Sequence[Http],
        *,
        down_seconds: float = DOWN_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """Set the watched processes, and the Alertmanagers to post to."""
        self._session = session
        self._watched = watched
        self._alertmanagers = [Alertmanager(http) for http in alertmanagers]
        self._down_seconds = down_seconds
        self._pause_seconds = pause_seconds
        self._answered = {index: clock.monotonic() for index in range(len(watched))}
        self._posted: set[int] = set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.gather(*(self._check(number) for number in range(len(self._watched))))
            await asyncio.sleep(self._pause_seconds)

    async def _check(self, number: int) -> None:
        watched = self._watched[number]
        if await is_ready(watched.question, self._session):
            self._answered[number] = clock.monotonic()
            if number in self._posted and await self._post(watched, resolved=True):
                self._posted.discard(number)
        elif clock.monotonic() - self._answered[number] >= self._down_seconds:
            _log.error("process_does_not_answer", alert=watched.labels["alertname"])
            if await self._post(watched, resolved=False):
                self._posted.add(number)

    async def _post(self, watched: Watched, *, resolved: bool) -> bool:
        """Post to every Alertmanager; return whether one of them accepted it."""
        alert = PostedAlert.paging_at_once(
            watched.labels,
            summary=watched.summary,
            description=f"The supervisor has had no answer from {watched.question.url}.",
            resolved=resolved,
        )
        taken = False
        for alertmanager in self._alertmanagers:
            try:
                await alertmanager.post(alert)
                taken = True
            except ClientError as error:
                _log.warning(
                    "alert_not_posted", alert=watched.labels["alertname"], reason=str(error)
                )
        return taken
