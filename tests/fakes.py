"""A world of one server: Prometheus, Alertmanager, a bot's agent and a supervisor, all obedient.

It speaks their real HTTP APIs, as far as the reconciler uses them. What the commands change is
what Prometheus then shows, so that a test can only pass when the whole loop was closed.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.builders import LABELS, WATCHDOG
from tests.silences import FakeAlertmanager
from trading_ops import clock
from trading_ops.domain.alert import fingerprint_of
from trading_ops.domain.target import Target

RESTART = "restart_bot"
SAFE = frozenset({"halt", "reduce", "cancel_orders"})
"""Commands that an agent carries out whatever their fence is."""

LONG_AGO = "2026-01-01T00:00:00Z"


@dataclass
class RecordingChannel:
    """A notification channel that keeps what it is given, up to `room` messages."""

    room: int = 1
    messages: list[tuple[str, str]] = field(default_factory=list)

    def show(self, target: Target, message: str) -> bool:
        if len(self.messages) >= self.room:
            return False
        self.messages.append((target.name, message))
        return True


@dataclass
class FakeWorld:
    """The state of the fake world; tests change it, the reconciler asks for it."""

    labels: dict[str, str] = field(default_factory=lambda: dict(LABELS))
    firing: bool = False
    silenced: bool = False
    inhibited: bool = False
    silences: FakeAlertmanager = field(default_factory=FakeAlertmanager)
    """Silences that were really placed; each is taken to match the alert."""

    foreign: list[dict[str, str]] = field(default_factory=list)
    """Alerts of other teams, which Alertmanager routes to other receivers."""

    external: dict[str, str] = field(default_factory=dict)
    """The external labels of Prometheus, which it adds to what it sends."""

    receivers: set[str] = field(default_factory=set)
    """The receivers by which the reconciler asked for alerts."""

    watchdog: bool = True
    prometheus_down: bool = False
    scrapes: bool = True
    """Whether there are samples newer than the world's beginning."""

    prometheus_ahead: timedelta = timedelta(0)
    """How far the clock of Prometheus is ahead."""

    posted: list[dict[str, Any]] = field(default_factory=list)
    """Alerts that were posted to Alertmanager."""

    samples: dict[str, list[tuple[dict[str, str], float]]] = field(default_factory=dict)
    """What Prometheus answers a query with that has this text in it."""

    bot_status: str = "failing"
    mute: asyncio.Event | None = None
    """Set: the agent takes questions, but answers only when the event is set."""

    blocking: bool = False
    command_fails: bool = False
    drops: int = 0
    """How many more commands are answered 503, and not carried out."""

    fixed_by: frozenset[str] = frozenset({"reconnect_broker", "restart_bot"})
    """Which commands end the alert."""

    hang: asyncio.Event | None = None
    """Set: restarts are carried out, but answered only when the event is set."""

    process: dict[str, Any] = field(
        default_factory=lambda: {"state": "exited", "incarnation": None, "pid": None}
    )
    """The bot's process, as the supervisor sees it."""

    commands: list[str] = field(default_factory=list)
    params: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    fence: int = 0
    refused: int = 0
    asked: int = 0
    """How often the agent was asked for its health."""

    sees_command: Callable[[str], None] | None = None
    address: str = ""
    agent_token: str | None = None
    """The token that the agent demands; None: it takes any."""

    def alert(self) -> dict[str, Any]:
        """Return the alert as a webhook has it."""
        labels = self.external | self.labels
        return {
            "status": "firing",
            "labels": labels,
            "annotations": {},
            "startsAt": (clock.now() - timedelta(seconds=30)).isoformat(),
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": fingerprint_of(labels),
        }

    async def rules(self, request: web.Request) -> web.Response:
        """GET /api/v1/alerts of Prometheus."""
        if self.prometheus_down:
            raise web.HTTPServiceUnavailable
        alerts = [_rule(labels) for labels in self.foreign]
        if self.watchdog:
            alerts.append(_rule(WATCHDOG))
        if self.firing:
            alerts.append(_rule(self.labels))
        if self.blocking:
            alerts.append(_rule({"alertname": "VenueDown", "venue": "paper", "severity": "none"}))
        return web.json_response({"status": "success", "data": {"alerts": alerts}})

    async def runtime(self, request: web.Request) -> web.Response:
        """GET /api/v1/status/runtimeinfo of Prometheus."""
        if self.prometheus_down:
            raise web.HTTPServiceUnavailable
        return web.json_response({"data": {"startTime": LONG_AGO, "lastConfigTime": LONG_AGO}})

    async def config(self, request: web.Request) -> web.Response:
        """GET /api/v1/status/config of Prometheus."""
        labels = "".join(f"    {name}: {value}\n" for name, value in self.external.items())
        shown = f"global:\n  scrape_interval: 15s\n  external_labels:\n{labels}scrape_configs: []\n"
        return web.json_response({"data": {"yaml": shown}})

    async def query(self, request: web.Request) -> web.Response:
        """GET /api/v1/query of Prometheus: the age of samples, or whether the alert ended."""
        if self.prometheus_down:
            raise web.HTTPServiceUnavailable
        now = clock.timestamp()
        for text, samples in self.samples.items():
            if text in request.query["query"]:
                found = [{"metric": labels, "value": [now, str(of)]} for labels, of in samples]
                return web.json_response({"data": {"resultType": "vector", "result": found}})
        fresh = "timestamp(" in request.query["query"]
        value = "0" if self.scrapes else "1e9"
        shown = [{"metric": {}, "value": [now, value]}] if fresh or not self.firing else []
        return web.json_response({"data": {"resultType": "vector", "result": shown}})

    async def routed(self, request: web.Request) -> web.Response:
        """GET /api/v2/alerts of Alertmanager."""
        self.receivers.add(request.query.get("receiver", ""))
        if not self.firing:
            return web.json_response([])
        silenced = self.silenced or bool(self.silences.active)
        state = {
            "state": "suppressed" if silenced or self.inhibited else "active",
            "silencedBy": ["s1"] if silenced else [],
            "inhibitedBy": ["i1"] if self.inhibited else [],
        }
        ends = (clock.now() + timedelta(minutes=4)).isoformat()
        return web.json_response([self.alert() | {"endsAt": ends, "status": state}])

    async def post(self, request: web.Request) -> web.Response:
        """POST /api/v2/alerts of Alertmanager."""
        self.posted += await request.json()
        return web.Response()

    @web.middleware
    async def dated(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Answer with the `Date` that Prometheus' clock shows."""
        response: web.StreamResponse = await handler(request)
        if request.path.startswith("/api/v1/"):
            shown = clock.now() + self.prometheus_ahead
            response.headers["Date"] = format_datetime(shown, usegmt=True)
        return response

    async def health(self, request: web.Request) -> web.Response:
        """GET /health of the agent."""
        self.asked += 1
        if self.mute is not None:
            await self.mute.wait()
        return web.json_response(
            {
                "bot": "alpha",
                "status": self.bot_status,
                "incarnation": "1:1",
                "state": "active",
                "components": {},
            }
        )

    async def command(self, request: web.Request) -> web.Response:
        """POST /commands/{name} of the agent."""
        given = request.headers.get("Authorization")
        if self.agent_token is not None and given != f"Bearer {self.agent_token}":
            raise web.HTTPUnauthorized
        return await self._carry_out(request.match_info["name"], await request.json())

    async def restart(self, request: web.Request) -> web.Response:
        """POST /processes/{unit}/restart of the supervisor."""
        return await self._carry_out(RESTART, await request.json())

    async def scale(self, request: web.Request) -> web.Response:
        """POST /processes/{unit}/scale of a node."""
        return await self._carry_out("scale_resources", await request.json())

    async def _carry_out(self, name: str, order: dict[str, Any]) -> web.Response:
        if order["fence"] < self.fence and name not in SAFE:
            self.refused += 1
            return web.json_response({"error": "stale_fence", "highest": self.fence}, status=409)
        if self.drops:
            self.drops -= 1
            raise web.HTTPServiceUnavailable
        self.fence = max(self.fence, order["fence"])
        key = order["attempt_id"]
        if key not in self.answers:
            self.commands.append(name)
            self.params.append(order.get("params", {}))
            failed = self.command_fails
            self.answers[key] = {
                "attempt_id": key,
                "outcome": "failed" if failed else "succeeded",
                "detail": f"{name} done",
                "log": ["password=hunter2-hunter2", "its last line"] if name == RESTART else [],
            }
            if name in self.fixed_by and not failed:
                self.firing = False
        if self.sees_command is not None:
            self.sees_command(name)
        if self.hang is not None:
            await self.hang.wait()
        return web.json_response(self.answers[key])

    async def kept(self, request: web.Request) -> web.Response:
        """GET /attempts/{id} of both executors."""
        answer = self.answers.get(request.match_info["id"])
        if answer is None:
            raise web.HTTPNotFound
        return web.json_response(answer)

    async def raise_fence(self, request: web.Request) -> web.Response:
        """POST …/fence of both executors."""
        self.fence = max(self.fence, (await request.json())["fence"])
        return web.json_response({"highest": self.fence})

    async def read(self, request: web.Request) -> web.Response:
        """GET /processes/{unit} of the supervisor."""
        return web.json_response({"unit": request.match_info["unit"], **self.process})

    def server(self) -> TestServer:
        """Return the server, not yet started."""
        app = web.Application(middlewares=[self.dated])
        app.add_routes(
            [
                web.get("/api/v1/alerts", self.rules),
                web.get("/api/v1/status/runtimeinfo", self.runtime),
                web.get("/api/v1/status/config", self.config),
                web.get("/api/v1/query", self.query),
                web.get("/api/v2/alerts", self.routed),
                web.post("/api/v2/alerts", self.post),
                *self.silences.routes(),
                web.get("/health", self.health),
                web.post("/commands/{name}", self.command),
                web.post("/fence", self.raise_fence),
                web.get("/attempts/{id}", self.kept),
                web.get("/processes/{unit}", self.read),
                web.post("/processes/{unit}/restart", self.restart),
                web.post("/processes/{unit}/scale", self.scale),
                web.post("/processes/{unit}/fence", self.raise_fence),
            ]
        )
        return TestServer(app, host="127.0.0.1")


def _rule(labels: dict[str, str]) -> dict[str, Any]:
    return {
        "labels": labels,
        "annotations": {},
        "state": "firing",
        "activeAt": LONG_AGO,
        "value": "1",
    }
