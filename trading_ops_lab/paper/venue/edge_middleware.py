"""The edge in front of the exchange, as one middleware: faults first, then the session cookie.

Note for clients: a session is a cookie, and ccxt does not keep cookies of an IP address by default
(the sync client clears them, the async one drops them). A client that wants one session,
as behind the real exchange's edge, gives ccxt an aiohttp session whose jar is
`CookieJar(unsafe=True)`.
"""

import asyncio
from email.utils import formatdate
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from trading_ops import clock
from trading_ops_lab.paper.venue import rest_shapes, sessions
from trading_ops_lab.paper.venue.faults import Caller, FaultBoard
from trading_ops_lab.paper.venue.journal import Journal
from trading_ops_lab.paper.venue.sessions import COOKIE, Sessions
from trading_ops_lab.paper.venue.signing import Keyring
from trading_ops_lab.paper.venue.store import Store

SESSION: Final = web.RequestKey("session", int)
"""Request key of the session's number, if it has one."""

CALLER: Final = web.RequestKey("caller", Caller)
"""Request key of the claimed caller; it is not authenticated."""

DEAD_SESSION_STATUS: Final = 520
EDGE_PAGE: Final = "<html><head><title>{code}</title></head><body>error code: {code}</body></html>"


class Edge:
    """Applies faults and sessions to every request of the REST and WebSocket port."""

    def __init__(
        self,
        board: FaultBoard,
        session_book: Sessions,
        keyring: Keyring,
        store: Store,
        journal: Journal,
    ) -> None:
        """Share the venue's parts."""
        self._board, self._sessions, self._keyring = board, session_book, keyring
        self._store, self._journal = store, journal
        self._hung: set[asyncio.Future[None]] = set()
        self._alive: set[int] = set()
        self._told: set[int] = set()
        self._earlier = session_book.state.last

    @property
    def middleware(self) -> Middleware:
        """Return the aiohttp middleware."""

        @web.middleware
        async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
            request[CALLER] = self._caller(request)
            if (broken := await self._break(request, request[CALLER])) is not None:
                return broken
            session = self._sessions.number(request.cookies.get(COOKIE))
            if session is not None and self._board.kills(session):
                self._notify_closed(session)
                return _page(DEAD_SESSION_STATUS)
            if session is not None:
                self._came_back(session)
                request[SESSION] = session
            response = await handler(request)
            if session is None and not response.prepared:
                self._give_session(response)
            self._date(response)
            return response

        return edge

    @property
    def hanging(self) -> int:
        """Return how many requests hang."""
        return len(self._hung)

    def kill_sessions(self) -> None:
        """Journal the end of the sessions that clients have used."""
        for session in sorted(self._alive):
            self._notify_closed(session)

    def forgive_sessions(self) -> None:
        """Forget killed sessions, so that a later kill is reported again."""
        self._alive |= self._told
        self._told.clear()

    def release(self) -> None:
        """Release the hanging requests; their connections are closed without a response."""
        for future in self._hung:
            if not future.done():
                future.set_result(None)

    def _caller(self, request: web.Request) -> Caller:
        method = request.match_info.get("method", "")
        if request.path.startswith("/0/public/"):
            return Caller(method, "public")
        if not request.path.startswith("/0/private/"):
            return Caller("", "websocket")
        key = self._keyring.find(request.headers)
        if key is None:
            return Caller(method, "private")
        return Caller(method, "private", key.name, key.account)

    async def _break(self, request: web.Request, caller: Caller) -> web.StreamResponse | None:
        """Apply the faults; return the faulty answer, or None to continue."""
        if self._board.strike("hang", caller) is not None:
            return await self._hang(request)
        if self._board.strike("reset", caller) is not None:
            return drop(request)
        if (slow := self._board.strike("slow", caller)) is not None:
            await asyncio.sleep(slow.delay_seconds)
        if (fault := self._board.strike("http_5xx", caller)) is not None:
            return _page(fault.code)
        if self._board.strike("http_429", caller) is not None:
            return rest_shapes.refusal("EAPI:Rate limit exceeded", status=429)
        return None

    async def _hang(self, request: web.Request) -> web.StreamResponse:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hung.add(future)
        try:
            await future
        finally:
            self._hung.discard(future)
        return drop(request)

    def _date(self, response: web.StreamResponse) -> None:
        fault = self._board.find("wrong_clock")
        if fault is not None and not response.prepared:
            moment = clock.timestamp() + fault.offset_seconds
            response.headers["Date"] = formatdate(moment, usegmt=True)

    def _notify_closed(self, session: int) -> None:
        """Journal a session's end once: when it is killed, or when it is first used afterwards."""
        if session in self._told:
            return
        self._told.add(session)
        self._alive.discard(session)
        self._journal.record("session_killed", session=sessions.name(session))
        self._journal.commit()

    def _came_back(self, session: int) -> None:
        """Journal a session when a client first comes back with it, once.

        A client without cookies gets a new one with each answer; only a cookie that is sent back is
        a session. Sessions from before this process started were journaled then.
        """
        if session in self._alive:
            return
        self._alive.add(session)
        if session > self._earlier and session not in self._told:
            self._journal.record("session_opened", session=sessions.name(session))
            self._journal.commit()

    def _give_session(self, response: web.StreamResponse) -> None:
        _, cookie = self._sessions.open()
        self._store.save_fact("sessions", self._sessions.state)
        self._journal.commit()
        response.set_cookie(COOKIE, cookie, path="/", httponly=True, samesite="None")


def drop(request: web.Request) -> web.Response:
    """Cut the connection, so that no answer arrives; the client sees a reset."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _page(code: int) -> web.Response:
    return web.Response(status=code, text=EDGE_PAGE.format(code=code), content_type="text/html")
