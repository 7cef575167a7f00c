"""The private REST API: authentication, the request, one commit, then the answer."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from trading_ops import clock, logs
from trading_ops_lab.paper.venue import form_fields, rest_shapes, sessions
from trading_ops_lab.paper.venue.edge_middleware import CALLER, SESSION, drop
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.faults import GROUPS, Caller, FaultBoard
from trading_ops_lab.paper.venue.journal import Journal
from trading_ops_lab.paper.venue.signing import Keyring
from trading_ops_lab.paper.venue.store import Store

log = logs.get(__name__)

Method = Callable[[Caller, form_fields.Form], rest_shapes.Answer]


class PrivateApi:
    """Answers /0/private/{method}."""

    def __init__(
        self,
        *,
        methods: dict[str, Method],
        engine: Engine,
        board: FaultBoard,
        keyring: Keyring,
        store: Store,
        journal: Journal,
        fail: Callable[[], None],
    ) -> None:
        """Share the venue's parts; `fail` stops the venue when its memory may be wrong."""
        self._methods, self._engine, self._board = methods, engine, board
        self._keyring, self._store, self._journal = keyring, store, journal
        self._fail = fail
        self._members: set[tuple[int, str]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; nothing is awaited between its first change and the commit."""
        body = await request.read()
        caller = request[CALLER]
        try:
            answer = rest_shapes.answer(self._perform(request, body, caller))
        except VenueRefusal as no:
            if no.code.startswith("EAPI:"):
                key = request.headers.get("API-Key", "")[:8].encode("ascii", "replace").decode()
                fields: dict[str, Any] = {"method": caller.method, "by_key": caller.key}
                self._journal.record("private_refused", error=no.code, key=key, **fields)
            answer = rest_shapes.refusal(no.code)
        except Exception:
            # Orders in memory may now differ from the file, which is authoritative: restart from
            # it.
            log.exception("private_request_failed", method=request.match_info["method"])
            self._fail()
            return rest_shapes.refusal("EGeneral:Internal error", status=500)
        if (lost := self._board.strike("lost_answer", caller)) is not None:
            self._journal.record("answer_lost", method=caller.method, key=caller.key)
            self._journal.commit()
            return drop(request) if lost.instead is None else rest_shapes.refusal(lost.instead)
        self._journal.commit()
        return answer

    def _joined(self, session: int | None, account: str) -> None:
        """Journal, once, that an account uses an edge session."""
        if session is not None and (session, account) not in self._members:
            self._members.add((session, account))
            self._journal.record("session_joined", session=sessions.name(session), account=account)

    def _perform(self, request: web.Request, body: bytes, caller: Caller) -> rest_shapes.Answer:
        form = form_fields.read_form(body, request.content_type)
        nonce = form_fields.text(form, "nonce")
        if self._board.strike("nonce", caller) is not None:
            raise VenueRefusal("EAPI:Invalid nonce")
        key = self._keyring.admit(request.headers, request.path, nonce, body)
        self._store.save_nonce(key.key, self._keyring.nonces[key.key])
        self._joined(request.get(SESSION), key.account)
        method = self._methods.get(caller.method)
        if method is None:
            raise VenueRefusal("EGeneral:Unknown method")
        self._engine.limits.call(caller, clock.timestamp())
        self._require_healthy(caller)
        with self._journal.by(key=key.name, nonce=nonce):
            return method(caller, form)

    def _require_healthy(self, caller: Caller) -> None:
        self._engine.status.require_service()
        if (fault := self._board.strike("api_error", caller)) is not None:
            raise VenueRefusal(fault.error)
        if caller.method in GROUPS["balances"]:
            fault = self._board.find("balance", caller)
            if fault is not None and fault.where != "websocket":
                struck = self._board.strike("balance", caller)
                if struck is not None:
                    raise VenueRefusal(struck.error)
