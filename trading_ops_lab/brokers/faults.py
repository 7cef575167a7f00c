"""The fault port of a local broker: the part of the paper venue's that broker drills use."""

import hmac
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web

from trading_ops import clock

DISCONNECT, STALE_FEED, REFUSE = "disconnect", "stale_feed", "refuse"
KINDS = (DISCONNECT, STALE_FEED, REFUSE)


class Board:
    """The active faults and the journal, which is evidence of a recovery."""

    def __init__(self) -> None:
        """Start healthy."""
        self.active: dict[str, str] = {}
        """Kinds by ID."""

        self.entries: list[dict[str, Any]] = []
        self.on_fault: Callable[[str], None] = lambda _kind: None
        """Called with the kind of a new fault."""

    def has(self, kind: str) -> bool:
        """Return whether a fault of this kind is active."""
        return kind in self.active.values()

    def begin(self, kind: str) -> str:
        """Begin a fault; return its ID."""
        self.note("fault_injected")
        number = str(len(self.entries))
        self.active[number] = kind
        self.on_fault(kind)
        return number

    def note(self, event: str) -> None:
        """Add an entry to the journal."""
        number = len(self.entries) + 1
        self.entries.append({"seq": number, "time": clock.timestamp(), "event": event})

    def after(self, number: int, since: float) -> Iterator[dict[str, Any]]:
        """Return the entries after a number and since a given time."""
        return (entry for entry in self.entries if entry["seq"] > number and entry["time"] >= since)


def fault_port(board: Board, token: str) -> web.Application:
    """Return the application; every route but `/ready` needs the token."""

    @web.middleware
    async def authorise(request: web.Request, handler: Any) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path != "/ready" and not hmac.compare_digest(given, f"Bearer {token}".encode()):
            return web.json_response({"error": "unauthorized"}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def ready(_: web.Request) -> web.Response:
        return web.json_response({"status": "ready"})

    async def inject(request: web.Request) -> web.Response:
        kind = (await request.json())["kind"]
        if kind not in KINDS:
            return web.json_response({"error": f"no fault {kind!r}: {KINDS}"}, status=422)
        return web.json_response({"id": board.begin(kind), "kind": kind}, status=201)

    async def clear(request: web.Request) -> web.Response:
        known = board.active.pop(request.match_info["id"], None)
        return web.json_response({"cleared": int(known is not None)}, status=200 if known else 404)

    async def journal(request: web.Request) -> web.Response:
        after, since = int(request.query.get("after", 0)), float(request.query.get("since", 0))
        return web.json_response({"entries": list(board.after(after, since))})

    app = web.Application(middlewares=[authorise])
    app.router.add_get("/ready", ready)
    app.router.add_post("/faults", inject)
    app.router.add_delete("/faults/{id}", clear)
    app.router.add_get("/journal", journal)
    return app
