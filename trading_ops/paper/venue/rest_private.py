"""The private REST border: who asks, what is asked, one commit, then the answer."""

from collections.abc import Callable

from aiohttp import web

from trading_ops import logs
from trading_ops.paper.venue import forms, sessions, wire
from trading_ops.paper.venue.edge import SESSION
from trading_ops.paper.venue.errors import VenueRefusal
from trading_ops.paper.venue.journal import Journal
from trading_ops.paper.venue.private_commands import PrivateCommands
from trading_ops.paper.venue.private_queries import PrivateQueries
from trading_ops.paper.venue.signing import Keyring
from trading_ops.paper.venue.store import Store

log = logs.get(__name__)


class PrivateApi:
    """Answers /0/private/{method}."""

    def __init__(
        self,
        *,
        queries: PrivateQueries,
        commands: PrivateCommands,
        keyring: Keyring,
        store: Store,
        journal: Journal,
        fail: Callable[[], None],
    ) -> None:
        """Share the venue's parts; `fail` stops the venue when its memory may be wrong."""
        self._methods = {**queries.methods, **commands.methods}
        self._keyring, self._store, self._journal = keyring, store, journal
        self._fail = fail
        self._members: set[tuple[int, str]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; nothing is awaited between its first change and the commit."""
        body = await request.read()
        try:
            answer = wire.answer(self._perform(request, body))
        except VenueRefusal as no:
            if no.code.startswith("EAPI:"):
                key = request.headers.get("API-Key", "")[:8].encode("ascii", "replace").decode()
                self._journal.record("private_refused", error=no.code, key=key)
            answer = wire.refusal(no.code)
        except Exception:
            # Orders in memory may now differ from the file, which is right: start again from it.
            log.exception("private_request_failed", method=request.match_info["method"])
            self._fail()
            return wire.refusal("EGeneral:Internal error", status=500)
        self._journal.commit()
        return answer

    def _joined(self, session: int | None, account: str) -> None:
        """Journal, once, that an account uses an edge session."""
        if session is not None and (session, account) not in self._members:
            self._members.add((session, account))
            self._journal.record("session_joined", session=sessions.name(session), account=account)

    def _perform(self, request: web.Request, body: bytes) -> object:
        form = forms.read_form(body, request.content_type)
        key = self._keyring.admit(request.headers, request.path, forms.text(form, "nonce"), body)
        self._store.save_nonce(key.key, self._keyring.nonces[key.key])
        self._joined(request.get(SESSION), key.account)
        method = self._methods.get(request.match_info["method"])
        if method is None:
            raise VenueRefusal("EGeneral:Unknown method")
        return method(key.account, form)
