"""Health, metrics, status, and the test alert that tests the whole path to on-call."""

import asyncio
import uuid
from collections.abc import Callable
from functools import partial

import msgspec
from aiohttp import web

from trading_ops import __version__, clock
from trading_ops.api.automation import PauseView, pause_view
from trading_ops.domain.incident import Incident
from trading_ops.errors import StoreError
from trading_ops.instrument.exposition import Exposition, View
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.store import Connection, maintenance, notifications, search
from trading_ops.store.reader import Reader

TEST_ALERT_SECONDS = 60.0
STUCK_SECONDS = 60.0
"""Seconds; a pass takes milliseconds and runs at least every poll interval."""


TEXT = "text/plain"
SHOWN = 20


class SystemStatus(msgspec.Struct, kw_only=True):
    """Status of the reconciler."""

    version: str
    pause: PauseView | None
    incidents_open: int
    open_incidents: list[Incident]
    """The oldest, at most 20; `GET /api/v1/incidents?open=true` has all."""

    notifications_waiting: int
    notifications_quarantined: int


class TestAlert(msgspec.Struct, kw_only=True):
    """The label that identifies the test alert."""

    test_id: str


class SystemRoutes:
    """Handlers of health, metrics, status and the test alert."""

    def __init__(
        self,
        reader: Reader,
        metrics: ReconcilerMetrics,
        passed_ago: Callable[[], float],
        trouble: Callable[[], str],
    ) -> None:
        """Set functions for the seconds since the last pass and for failed background tasks."""
        self._trouble = trouble
        self._reader = reader
        self._metrics = metrics
        self._passed_ago = passed_ago
        self._test: asyncio.TimerHandle | None = None

    async def healthy(self) -> web.Response:
        """Liveness: answer 200."""
        return web.Response(text="healthy\n")

    async def ready(self) -> web.Response:
        """Readiness: answer 200 only if the database answers and all background tasks run."""
        if self._passed_ago() > STUCK_SECONDS:
            raise web.HTTPServiceUnavailable(text="the loop is stalled: see the log\n")
        if trouble := self._trouble():
            raise web.HTTPServiceUnavailable(text=f"background task: {trouble}\n")
        try:
            await self._reader.read(partial(maintenance.current_pause, now=clock.now()))
        except StoreError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from error
        return web.Response(text="ready\n")

    async def metrics(self, request: web.Request) -> web.Response:
        """Expose all metrics; with `?exclude=vital`, those not in /metrics/vital."""
        without = request.query.get("exclude") == "vital"
        return await self._exposed(request, View.WITHOUT_VITAL if without else View.EVERYTHING)

    async def vital(self, request: web.Request) -> web.Response:
        """Expose the metrics that alerting rules read."""
        return await self._exposed(request, View.VITAL)

    async def _exposed(self, request: web.Request, view: View) -> web.Response:
        exposition = Exposition(self._metrics.registry)
        accept = request.headers.get("Accept", "")
        body, content_type = await exposition.sliced(view, accept)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def status(self) -> SystemStatus:
        """Return an overview of the reconciler's state."""
        return await self._reader.read(self._status)

    def _status(self, connection: Connection) -> SystemStatus:
        state = notifications.NotificationState
        pause = maintenance.current_pause(connection, now=clock.now())
        return SystemStatus(
            version=__version__,
            pause=None if pause is None else pause_view(pause),
            incidents_open=sum(search.open_by_target(connection).values()),
            open_incidents=search.oldest_open(connection, limit=SHOWN),
            notifications_waiting=notifications.count(connection, state.PENDING),
            notifications_quarantined=notifications.count(connection, state.QUARANTINED),
        )

    async def test_alert(self) -> TestAlert:
        """Fire a test alert for a minute; its id is a label of the alert."""
        test_id = uuid.uuid4().hex[:12]
        self._end_test()
        self._metrics.test_alert.labels(test_id).set(1)
        loop = asyncio.get_running_loop()
        self._test = loop.call_later(TEST_ALERT_SECONDS, self._end_test)
        return TestAlert(test_id=test_id)

    async def end_test_alert(self) -> None:
        """End the test alert early."""
        self._end_test()

    def _end_test(self) -> None:
        if self._test is not None:
            self._test.cancel()
        self._metrics.test_alert.clear()
