"""A world for crash tests: Prometheus, Alertmanager, a supervisor and many bots, in one process.

It runs outside the reconciler that is killed. What is done to it is appended to a file of its own
and fsynced before it is answered, so the file is an independent witness of every effect. It can be
made unreliable: orders that arrive late, effects that are never answered, sources that are away.
"""

import asyncio
import json
import os
import random
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.builders import WATCHDOG
from trading_ops import clock
from trading_ops.domain.alert import fingerprint_of

LONG_AGO = "2026-01-01T00:00:00Z"
ONE_SHOTS = frozenset({"restart_bot"})
CENTRAL = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
"""Loopback too: no two targets may have one address, and these share a port."""

BOT = re.compile(r'bot="([^"]+)"')


@dataclass
class Episode:
    """One fault of one bot: it ends by the right action, or after some time."""

    number: int
    bot: str
    alert: str
    fixed_by: frozenset[str]
    fires_until: float | None = None
    """When Prometheus stops showing it; None: it fires."""

    ended_alone: bool = False

    @property
    def labels(self) -> dict[str, str]:
        """The alert's labels: the number makes each episode an alert of its own."""
        return labels_of(self.alert, self.number, bot=self.bot)

    @property
    def firing(self) -> bool:
        """Whether Prometheus shows it."""
        return self.fires_until is None or clock.monotonic() < self.fires_until


def labels_of(alert: str, number: int, **more: str) -> dict[str, str]:
    """Return the labels of one alert of the crash tests."""
    base = {"alertname": alert, "episode": str(number), "severity": "critical", "venue": "paper"}
    return base | {"page_after": "5m"} | more


def alert_of(labels: dict[str, str], *, ended: bool = False) -> dict[str, Any]:
    """Return an alert as a webhook has it."""
    now = clock.now()
    return {
        "status": "resolved" if ended else "firing",
        "labels": labels,
        "annotations": {},
        "startsAt": (now - timedelta(seconds=30)).isoformat(),
        "endsAt": now.isoformat() if ended else "0001-01-01T00:00:00Z",
        "fingerprint": fingerprint_of(labels),
    }


@dataclass
class Faults:
    """How unreliable the world is: probabilities from 0 to 1."""

    late: float = 0.0
    """An order travels for up to `late_seconds` before it arrives."""

    late_seconds: float = 0.4
    unanswered: float = 0.0
    fails: float = 0.0
    away: float = 0.0
    """A source answers 503."""


WILD = Faults(late=0.3, unanswered=0.15, fails=0.05, away=0.03)
CALM = Faults()


@dataclass
class Executor:
    """One bot's agent, or one unit of the supervisor: a fence, and answers kept by attempt."""

    fence: int = 0
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Witness:
    """Everything that was done, in a file of its own: one JSON object a line, fsynced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def saw(self, kind: str, **values: Any) -> None:
        """Append one line; when this returns it is on disk."""
        line = json.dumps({"kind": kind, "at": clock.timestamp(), **values})
        os.write(self._file, line.encode() + b"\n")
        os.fdatasync(self._file)

    def lines(self) -> list[dict[str, Any]]:
        """Return everything that was seen, oldest first."""
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class World:
    """The state of it all; the driver changes it, the reconciler asks for it."""

    def __init__(self, bots: int, seed: int) -> None:
        self.bots = [f"bot{number}" for number in range(bots)]
        self.random = random.Random(seed)
        self.faults = CALM
        self.down: set[str] = set()
        """Bots whose agents do not answer."""

        self.fences = True
        """False: executors do whatever a replaced sender orders; a defect for the self-test."""

        self.episodes: dict[str, Episode] = {}
        self.central_port = 0
        self.ports: dict[int, str] = {}
        self.witness: Witness | None = None
        self._executors: dict[tuple[str, str], Executor] = {}
        self._runner: web.AppRunner | None = None

    # ---- for the driver ----

    async def start(self) -> None:
        """Serve: one port for everything central, one for each agent."""
        self._runner = web.AppRunner(self._application(), access_log=None)
        await self._runner.setup()
        for name in ("", *self.bots):
            site = web.TCPSite(self._runner, "127.0.0.1", 0)
            await site.start()
            self.ports[int(self._runner.addresses[-1][1])] = name
        central = next(iter(self.ports))
        for host in CENTRAL:
            await web.TCPSite(self._runner, host, central).start()
        self.central_port = central

    async def stop(self) -> None:
        """End it."""
        if self._runner is not None:
            await self._runner.cleanup()

    def begin(self, folder: Path) -> None:
        """Forget everything; write to another file from now on."""
        if self.witness is not None:
            self.witness.close()
        self.witness = Witness(folder / "effects.jsonl")
        self.episodes.clear()
        self._executors.clear()

    def agent_address(self, bot: str) -> str:
        """Return where a bot's agent answers."""
        return next(f"127.0.0.1:{port}" for port, name in self.ports.items() if name == bot)

    def fall_ill(self, episode: Episode) -> None:
        """Let a bot's alert fire."""
        self.episodes[episode.bot] = episode
        self._saw("failing", episode=episode.number, bot=episode.bot, alert=episode.alert)

    def end(self, episode: Episode) -> None:
        """End a fault without an action."""
        if episode.fires_until is None:
            episode.ended_alone = True
            episode.fires_until = clock.monotonic()
            self._saw("passed", episode=episode.number, bot=episode.bot)

    # ---- what the reconciler asks ----

    def _application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/api/v1/alerts", self._rules),
                web.get("/api/v1/status/runtimeinfo", self._runtime),
                web.get("/api/v1/query", self._query),
                web.get("/api/v2/alerts", self._routed),
                web.get("/api/v2/silences", self._nothing),
                web.post("/api/v2/silences", self._silence),
                web.get("/health", self._health),
                web.post("/commands/{name}", self._command),
                web.post("/fence", self._raise_fence),
                web.get("/attempts/{id}", self._kept),
                web.get("/processes/{unit}", self._process),
                web.post("/processes/{unit}/restart", self._restart),
                web.post("/processes/{unit}/fence", self._raise_fence),
            ]
        )
        return app

    def _may_be_away(self) -> None:
        if self.random.random() < self.faults.away:
            raise web.HTTPServiceUnavailable

    def _firing(self) -> list[Episode]:
        return [episode for episode in self.episodes.values() if episode.firing]

    async def _rules(self, _request: web.Request) -> web.Response:
        self._may_be_away()
        labels: list[dict[str, str]] = [WATCHDOG]
        labels += [episode.labels for episode in self._firing()]
        alerts = [
            {"labels": alert_labels, "annotations": {}, "state": "firing", "activeAt": LONG_AGO}
            for alert_labels in labels
        ]
        return web.json_response({"status": "success", "data": {"alerts": alerts}})

    async def _runtime(self, _request: web.Request) -> web.Response:
        return web.json_response({"data": {"startTime": LONG_AGO}})

    async def _query(self, request: web.Request) -> web.Response:
        self._may_be_away()
        now = clock.timestamp()
        query = request.query["query"]
        named = BOT.search(query)
        episode = self.episodes.get(named.group(1)) if named else None
        is_firing = episode is not None and episode.firing
        is_age = "timestamp(" in query  # every sample is new
        shown = [{"metric": {}, "value": [now, "0" if is_age else "1"]}]
        holds = is_age or not is_firing
        return web.json_response(
            {"data": {"resultType": "vector", "result": shown if holds else []}}
        )

    async def _routed(self, _request: web.Request) -> web.Response:
        self._may_be_away()
        ends = (clock.now() + timedelta(minutes=4)).isoformat()
        status = {"state": "active", "silencedBy": [], "inhibitedBy": []}
        return web.json_response(
            [
                alert_of(episode.labels) | {"endsAt": ends, "status": status}
                for episode in self._firing()
            ]
        )

    async def _nothing(self, _request: web.Request) -> web.Response:
        return web.json_response([])

    async def _silence(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        return web.json_response({"silenceID": wanted.get("id") or os.urandom(8).hex()})

    async def _health(self, request: web.Request) -> web.Response:
        bot = self._bot(request)
        self._refuse_when_down(request, bot)
        episode = self.episodes.get(bot)
        is_firing = episode is not None and episode.firing
        status = {
            "status": "failing" if is_firing else "ok",
            "incarnation": "1:1",
            "state": "active",
        }
        return web.json_response({"bot": bot, "components": {}, **status})

    async def _process(self, request: web.Request) -> web.Response:
        unit = request.match_info["unit"]
        return web.json_response({"unit": unit, "state": "running", "incarnation": "1:1", "pid": 1})

    async def _kept(self, request: web.Request) -> web.Response:
        key = request.match_info["id"]
        for executor in self._executors.values():
            if key in executor.answers:
                return web.json_response(executor.answers[key])
        raise web.HTTPNotFound

    async def _raise_fence(self, request: web.Request) -> web.Response:
        executor = self._executor(request)
        wanted = (await request.json())["fence"]
        async with executor.lock:
            executor.fence = max(executor.fence, wanted)
        return web.json_response({"highest": executor.fence})

    async def _command(self, request: web.Request) -> web.StreamResponse:
        return await self._order(request, request.match_info["name"])

    async def _restart(self, request: web.Request) -> web.StreamResponse:
        return await self._order(request, "restart_bot")

    async def _order(self, request: web.Request, name: str) -> web.StreamResponse:
        bot, executor = self._bot(request), self._executor(request)
        self._refuse_when_down(request, bot)
        order = await request.json()
        attempt, fence = order["attempt_id"], order["fence"]
        about: dict[str, Any] = {"bot": bot, "command": name, "attempt": attempt, "fence": fence}
        self._saw("asked", **about)
        # From here it continues, even if the caller is dead by now.
        if self.random.random() < self.faults.late:
            await asyncio.sleep(self.random.random() * self.faults.late_seconds)
        async with executor.lock:
            if attempt not in executor.answers:
                if fence < executor.fence and self.fences:
                    self._saw("refused", highest=executor.fence, **about)
                    body = {"error": "stale_fence", "highest": executor.fence}
                    return web.json_response(body, status=409)
                about["behind"] = fence < executor.fence
                executor.fence = max(fence, executor.fence)
                executor.answers[attempt] = self._carry_out(bot, name, about)
        if self.random.random() < self.faults.unanswered and request.transport is not None:
            request.transport.abort()
        return web.json_response(executor.answers[attempt])

    def _carry_out(self, bot: str, name: str, about: dict[str, Any]) -> dict[str, Any]:
        attempt = about["attempt"]
        if self.random.random() < self.faults.fails:
            self._saw("failed", **about)
            return {"attempt_id": attempt, "outcome": "failed", "detail": "as configured"}
        episode = self.episodes.get(bot)
        number = episode.number if episode and not episode.ended_alone else None
        self._saw("done", episode=number, one_shot=name in ONE_SHOTS, **about)
        if episode is not None and name in episode.fixed_by and episode.fires_until is None:
            # As with real scrapes, it is seen a little later.
            episode.fires_until = clock.monotonic() + self.random.random() * 0.2
        return {"attempt_id": attempt, "outcome": "succeeded", "detail": f"{name} done"}

    def _bot(self, request: web.Request) -> str:
        unit = request.match_info.get("unit")
        if unit is not None:
            return unit
        if request.transport is None:
            raise web.HTTPServiceUnavailable  # the caller is gone before it was read
        return self.ports[request.transport.get_extra_info("sockname")[1]]

    def _refuse_when_down(self, request: web.Request, bot: str) -> None:
        if bot in self.down and "unit" not in request.match_info:
            raise web.HTTPServiceUnavailable

    def _executor(self, request: web.Request) -> Executor:
        kind = "unit" if "unit" in request.match_info else "agent"
        return self._executors.setdefault((kind, self._bot(request)), Executor())

    def _saw(self, kind: str, **values: Any) -> None:
        if self.witness is not None:
            self.witness.saw(kind, **values)
