"""An Alertmanager's silences, as 0.25 keeps them, in a server that can be taken away."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class FakeAlertmanager:
    """Silences by id; `active` is what a test asks for."""

    alerts: list[dict[str, Any]] = field(default_factory=list)
    silences: dict[str, dict[str, Any]] = field(default_factory=dict)
    away: bool = False
    keeps_ids: bool = False
    """True: an update keeps the id, as when start and matchers are the same to the nanosecond."""

    posts: int = 0
    loses_answer: bool = False
    """True: a silence is placed, but anyone who asked for it never hears."""

    refuses: bool = False
    cannot_expire: bool = False

    @property
    def active(self) -> list[dict[str, Any]]:
        """Return the silences that were not expired."""
        return [
            silence for silence in self.silences.values() if silence["status"]["state"] == "active"
        ]

    def server(self) -> TestServer:
        """Return the server, not yet started."""
        app = web.Application(middlewares=[self._there])
        app.add_routes([web.get("/api/v2/alerts", self._alerts), *self.routes()])
        return TestServer(app, host="127.0.0.1")

    def routes(self) -> list[web.RouteDef]:
        """Return what concerns silences, for a server that is more than this."""
        return [
            web.get("/api/v2/silences", self._all),
            web.post("/api/v2/silences", self._place),
            web.get("/api/v2/silence/{id}", self._one),
            web.delete("/api/v2/silence/{id}", self._expire),
        ]

    @web.middleware
    async def _there(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.away:
            raise web.HTTPServiceUnavailable
        response: web.StreamResponse = await handler(request)
        return response

    async def _alerts(self, _request: web.Request) -> web.Response:
        return web.json_response(self.alerts)

    async def _all(self, request: web.Request) -> web.Response:
        wanted = request.query.get("filter")
        found = [
            silence
            for silence in self.silences.values()
            if wanted is None or wanted in _spelt(silence["matchers"])
        ]
        return web.json_response(found)

    async def _place(self, request: web.Request) -> web.Response:
        order = await request.json()
        self.posts += 1
        if self.refuses:
            return web.json_response("bad silence", status=400)
        old = order.pop("id", None)
        if old is not None and old not in self.silences:
            return web.json_response("silence not found", status=404)
        if old is not None and not self.keeps_ids:
            self.silences[old]["status"]["state"] = "expired"
        key = old if old is not None and self.keeps_ids else str(uuid.uuid4())
        self.silences[key] = order | {"id": key, "status": {"state": "active"}}
        if self.loses_answer:
            raise web.HTTPBadGateway
        return web.json_response({"silenceID": key})

    async def _one(self, request: web.Request) -> web.Response:
        found = self.silences.get(request.match_info["id"])
        return web.json_response(found, status=200 if found else 404)

    async def _expire(self, request: web.Request) -> web.Response:
        found = self.silences.get(request.match_info["id"])
        if found is None or self.cannot_expire:
            return web.json_response("silence not found", status=500)
        found["status"]["state"] = "expired"
        return web.json_response(None)


def _spelt(matchers: list[dict[str, Any]]) -> list[str]:
    return [
        f'{matcher["name"]}{"=~" if matcher["isRegex"] else "="}"{matcher["value"]}"'
        for matcher in matchers
    ]


def ends_at(silence: dict[str, Any]) -> datetime:
    """Return when a silence ends."""
    return datetime.fromisoformat(silence["endsAt"])
