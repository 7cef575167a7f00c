"""The fault port: drills inject faults, trade for an account, and read the venue's journal here.

It listens on the loopback address and requires a token; faults do not affect it.
"""

import hmac
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from trading_ops_lab.paper.venue.control import FaultControl
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.faults import FaultRequest
from trading_ops_lab.paper.venue.journal import Journal
from trading_ops_lab.paper.venue.manual_changes import ManualChanges

READY: Final = "/ready"
"""Only shows that the venue runs, so it needs no token."""


class JournalQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Filter of entries: after a number, and not before a time (epoch seconds)."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    since: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class FaultPort:
    """The routes of the fault port."""

    def __init__(self, control: FaultControl, journal: Journal, changes: ManualChanges) -> None:
        """Share the venue's parts."""
        self._control, self._journal, self._changes = control, journal, changes

    def build(self, token: str) -> web.Application:
        """Return the application; all routes except `READY` need the token."""
        app = web.Application(middlewares=[_authorise(token)])
        app.router.add_get(READY, self.ready)
        app.router.add_post("/faults", self.inject)
        app.router.add_get("/faults", self.show)
        app.router.add_delete("/faults", self.clear_all)
        app.router.add_delete("/faults/{id}", self.clear)
        app.router.add_get("/journal", self.read_journal)
        app.router.add_get("/accounts/{account}", self.show_account)
        app.router.add_post("/accounts/{account}/deposits", self.deposit)
        app.router.add_post("/accounts/{account}/orders", self.order)
        app.router.add_delete("/accounts/{account}/orders", self.cancel)
        return app

    async def ready(self, _request: web.Request) -> web.Response:
        """Answer as long as the venue runs, regardless of faults."""
        return _answer({"status": "ready"})

    async def inject(self, request: web.Request) -> web.Response:
        """Start a fault."""
        try:
            wanted = msgspec.json.decode(await request.read(), type=FaultRequest)
            fault, seq = await self._control.inject(wanted)
        except (msgspec.DecodeError, msgspec.ValidationError, VenueRefusal) as error:
            return _answer({"error": str(error)}, status=422)
        return _answer({"id": fault.id, "kind": fault.kind, "seq": seq}, status=201)

    async def show(self, _request: web.Request) -> web.Response:
        """List the active faults."""
        return _answer({"faults": list(self._control.board.active.values())})

    async def clear_all(self, _request: web.Request) -> web.Response:
        """End all faults."""
        return _answer({"cleared": await self._control.clear(list(self._control.board.active))})

    async def clear(self, request: web.Request) -> web.Response:
        """End one fault."""
        cleared = await self._control.clear([request.match_info["id"]])
        if not cleared:
            return _answer({"error": "unknown fault"}, status=404)
        return _answer({"cleared": cleared})

    async def read_journal(self, request: web.Request) -> web.Response:
        """Return entries after a number and since a time, and the number of the newest one."""
        try:
            query = msgspec.convert(dict(request.query), JournalQuery, strict=False)
        except msgspec.ValidationError as error:
            return _answer({"error": str(error)}, status=422)
        entries = self._journal.after(query.after, since=query.since)
        return _answer({"entries": entries, "last": self._journal.last})

    async def show_account(self, request: web.Request) -> web.Response:
        """Return the true state of an account, regardless of faults."""
        return await self._on_account(request, lambda account, _body: self._changes.show(account))

    async def deposit(self, request: web.Request) -> web.Response:
        """Deposit into an account, or withdraw from it."""
        return await self._on_account(request, self._changes.deposit)

    async def order(self, request: web.Request) -> web.Response:
        """Trade on an account manually, next to its bot."""
        return await self._on_account(request, self._changes.order)

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel orders of an account; all of them, or one by its id."""
        return await self._on_account(request, self._changes.cancel)

    async def _on_account(
        self, request: web.Request, act: Callable[[str, bytes], Any]
    ) -> web.Response:
        account = request.match_info["account"]
        if not self._changes.knows(account):
            return _answer({"error": "unknown account"}, status=404)
        try:
            return _answer(act(account, await request.read()))
        except (msgspec.DecodeError, msgspec.ValidationError, VenueRefusal) as error:
            return _answer({"error": str(error)}, status=422)


def _authorise(token: str) -> Middleware:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def authorise(request: web.Request, handler: Handler) -> web.StreamResponse:
        # As aiohttp decoded it: a header may contain bytes that are not text.
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path != READY and not hmac.compare_digest(given, expected):
            return _answer({"error": "unauthorized"}, status=401)
        return await handler(request)

    return authorise


def _answer(body: object, *, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )
