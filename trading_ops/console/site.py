"""The console's routes on the reconciler's server: login, pages, forms, live updates, assets."""

import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from trading_ops import __version__, logs
from trading_ops.api.auth import Authenticator, Role, digest_of
from trading_ops.api.requests import PLAIN, read_body
from trading_ops.bounded_site import trust
from trading_ops.console import border
from trading_ops.console.calls import Calls, problem_of
from trading_ops.console.form_handlers import FormHandlers
from trading_ops.console.live import LiveUpdates
from trading_ops.console.pages import Page, Pages
from trading_ops.console.reading import FleetReader
from trading_ops.console.rendering import STATIC, render, static
from trading_ops.console.sessions import Notice, Sessions, new_cookie
from trading_ops.console.visitor import HOME, REFRESH, ROOT, Grafana, Visitor, address, local
from trading_ops.errors import ClientError, RequestRefused, StoreError, TradingOpsError

log = logs.get(__name__)

SESSION, LOGIN = "trading_ops_session", "trading_ops_login"
"""Names of the cookies of a session, and of a login form until it is sent."""

NAVIGATION = (
    ("fleet", "Fleet"),
    ("incidents", "Incidents"),
    ("alerts", "Alerts"),
    ("maintenance", "Maintenance"),
    ("events", "Events"),
    ("messages", "Messages"),
    ("bot-events", "Bot events"),
    ("reports", "Reports"),
    ("jobs", "Jobs"),
    ("backups", "Backups"),
    ("capacity", "Capacity"),
    ("readiness", "Readiness"),
    ("api", "API"),
)

FORM_BYTES = 16 * 1024
FIELDS = 64
NAME = 100
"""Characters of an operator's name, as in the API."""

_PLAIN = re.compile(PLAIN)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Handler = Callable[[Visitor], Awaitable[Page]]


class Site:
    """Serves the console."""

    def __init__(
        self,
        *,
        calls: Calls,
        authenticator: Authenticator,
        sessions: Sessions,
        reading: FleetReader,
        pages: Pages,
        handlers: FormHandlers,
        live: LiveUpdates,
        hosts: frozenset[str],
        grafana: str,
    ) -> None:
        self._calls = calls
        self._authenticator = authenticator
        self._sessions = sessions
        self._reading = reading
        self._pages = pages
        self._forms = handlers
        self._live = live
        self._hosts = hosts
        self._grafana = Grafana(base=grafana)
        self._failed = border.FailedLogins()

    def add_to(self, application: web.Application) -> None:
        """Add the routes."""
        add = application.router.add_route
        for path in (ROOT, f"{ROOT}/"):
            add("GET", path, self._bordered(self._home))
        add("GET", f"{ROOT}/login", self._bordered(self._ask_to_log_in))
        add("POST", f"{ROOT}/login", self._bordered(self._log_in))
        add("POST", f"{ROOT}/logout", self._bordered(self._log_out))
        add("GET", f"{ROOT}/static/{{name}}", self._bordered(self._static))
        add("GET", f"{ROOT}/live", self._bordered(self._tick))
        for path, page in self._pages.table().items():
            add("GET", f"{ROOT}/{path}", self._bordered(self._page(page)))
        add("GET", f"{ROOT}/do/{{form}}", self._bordered(self._page(self._forms.show)))
        add("POST", f"{ROOT}/do/{{form}}", self._bordered(self._post_form))

    def _bordered(self, handler: Answer) -> Answer:
        async def answer(request: web.Request) -> web.StreamResponse:
            if not border.is_own_host(request.headers.get("Host", ""), self._hosts):
                self._authenticator.note_refused(request, reason="forged")
                response: web.StreamResponse = web.Response(
                    status=HTTPStatus.MISDIRECTED_REQUEST,
                    text="This host name is not allowed. Fix: add it to `console_hosts` in "
                    "settings.yml.\n",
                )
            else:
                try:
                    response = await handler(request)
                except web.HTTPSeeOther as onward:
                    response = _onward(str(onward.location))
                except web.HTTPException as error:
                    response = web.Response(status=error.status, text=f"{problem_of(error)}\n")
            if not response.prepared:
                for name, value in border.HEADERS.items():
                    response.headers.setdefault(name, value)
            return response

        return answer

    # Logging in and out.

    async def _home(self, _request: web.Request) -> web.StreamResponse:
        raise web.HTTPSeeOther(HOME)

    async def _ask_to_log_in(self, request: web.Request) -> web.StreamResponse:
        return await self._login_form(request, "", HTTPStatus.OK)

    async def _log_in(self, request: web.Request) -> web.StreamResponse:
        form = await _form(request)
        carried = request.cookies.get(LOGIN, "")
        if border.is_foreign(request) or not carried or form.get("csrf") != [carried]:
            self._authenticator.note_refused(request, reason="forged")
            problem = "The form has expired. Please try again."
            return await self._login_form(request, problem, HTTPStatus.FORBIDDEN)
        peer = request.remote or ""
        digest = digest_of(form.get("token", [""])[0].strip())
        identity = self._authenticator.whose(digest)
        if identity is None or not identity.may(Role.VIEWER):
            # Only for wrong tokens: behind a proxy all operators have one address.
            if wait := self._failed.wait(peer):
                problem = f"Too many failed logins from this address. Try again in {wait} s."
                response = await self._login_form(request, problem, HTTPStatus.TOO_MANY_REQUESTS)
                response.headers["Retry-After"] = str(wait)
                return response
            self._failed.note(peer)
            role = None if identity is None else identity.role.value
            reason = "role" if role else "unknown_token"
            self._authenticator.note_refused(request, role, reason=reason)
            problem = "This token is not valid."
            return await self._login_form(request, problem, HTTPStatus.UNAUTHORIZED)
        owner = _person(form.get("owner", [""])[0])
        cookie = self._sessions.begin(digest, owner)
        await self._sessions.save()
        log.info("console_login", who=identity.actor(owner), role=identity.role.value)
        response = _onward(local(form.get("next", [""])[0]))
        _set_cookie(request, response, SESSION, cookie)
        response.del_cookie(LOGIN, path=ROOT)
        return response

    async def _log_out(self, request: web.Request) -> web.StreamResponse:
        visitor = self._visitor(request)
        form = await _form(request)
        if visitor is not None and self._is_forged(visitor, form):
            return await self._refuse_forged(visitor)
        if visitor is not None:
            self._sessions.end(visitor.session)
            await self._sessions.save()
            log.info("console_logout", who=visitor.identity.actor(visitor.session.owner))
        response = _onward(f"{ROOT}/login")
        response.del_cookie(SESSION, path=ROOT)
        return response

    async def _login_form(
        self, request: web.Request, problem: str, status: HTTPStatus
    ) -> web.Response:
        key = request.cookies.get(LOGIN) or new_cookie()
        values = {
            "problem": problem,
            "csrf": key,
            "next": local(request.query.get("next", "")),
            "product": __version__,
        }
        response = _html(await render("login.html", values), status)
        _set_cookie(request, response, LOGIN, key)
        return response

    # Pages and forms of logged-in operators.

    def _visitor(self, request: web.Request) -> Visitor | None:
        cookie = request.cookies.get(SESSION, "")
        session = self._sessions.find(cookie) if cookie else None
        identity = None if session is None else self._authenticator.whose(session.digest)
        if session is None or identity is None or not identity.may(Role.VIEWER):
            return None
        trust(request)
        return Visitor(
            request=request, identity=identity, session=session, cookie=cookie, calls=self._calls
        )

    def _page(self, handler: Handler) -> Answer:
        async def answer(request: web.Request) -> web.StreamResponse:
            visitor = self._visitor(request)
            if visitor is None:
                return _to_login(request)
            await self._note_use(visitor)
            return await self._answer(visitor, handler)

        return answer

    async def _post_form(self, request: web.Request) -> web.StreamResponse:
        visitor = self._visitor(request)
        if visitor is None:
            return _to_login(request)
        form = await _form(request)
        if self._is_forged(visitor, form):
            return await self._refuse_forged(visitor)
        await self._note_use(visitor)

        async def carry_out(visitor: Visitor) -> Page:
            return await self._forms.carry_out(visitor, form)

        return await self._answer(visitor, carry_out)

    async def _answer(self, visitor: Visitor, handler: Handler) -> web.StreamResponse:
        try:
            name, values = await handler(visitor)
        except web.HTTPSeeOther:
            raise
        except web.HTTPException as error:
            if error.status == HTTPStatus.FORBIDDEN:
                self._authenticator.note_refused(visitor.request, visitor.identity.role.value)
            return await self._problem(visitor, problem_of(error), error.status)
        except TradingOpsError as error:
            return await self._problem(visitor, str(error), _status_of(error))
        return await self._show(visitor, name, values, values.get("status", HTTPStatus.OK))

    async def _problem(self, visitor: Visitor, text: str, status: int) -> web.Response:
        values = {"problem": text, "code": int(status), "title": HTTPStatus(status).phrase}
        return await self._show(visitor, "problem.html", values, status)

    async def _show(
        self, visitor: Visitor, name: str, values: Mapping[str, Any], status: int
    ) -> web.Response:
        notices: list[Notice] = []
        if not visitor.is_refresh:
            notices, visitor.session.notices = visitor.session.notices, []
        page = {
            "me": visitor.identity,
            "actor": visitor.identity.actor(visitor.session.owner),
            "csrf": visitor.csrf,
            "here": visitor.request.path_qs,
            "section": visitor.request.path.removeprefix(f"{ROOT}/").split("/")[0],
            "notices": notices,
            "situation": await self._reading.situation(),
            "can": visitor.can,
            "address": address,
            "grafana": self._grafana,
            "pages_of_nav": NAVIGATION,
            "product": __version__,
        }
        return _html(await render(name, {**page, **values}), status)

    async def _note_use(self, visitor: Visitor) -> None:
        idle = visitor.request.headers.get(REFRESH) == "idle"
        if not idle and self._sessions.use(visitor.session):
            await self._sessions.save()

    def _is_forged(self, visitor: Visitor, form: Mapping[str, list[str]]) -> bool:
        return border.is_foreign(visitor.request) or form.get("csrf") != [visitor.csrf]

    async def _refuse_forged(self, visitor: Visitor) -> web.Response:
        self._authenticator.note_refused(visitor.request, reason="forged")
        text = "The form did not come from this session, so nothing was done. Reload the page."
        return await self._problem(visitor, text, HTTPStatus.FORBIDDEN)

    # Live ticks and static files.

    async def _tick(self, request: web.Request) -> web.StreamResponse:
        visitor = self._visitor(request)
        if visitor is None or border.is_foreign(request):
            raise web.HTTPUnauthorized

        def is_logged_in() -> bool:
            return self._visitor(request) is not None

        return await self._live.serve(request, is_logged_in)

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in STATIC:
            raise web.HTTPNotFound
        response = web.Response(body=static(name), content_type=STATIC[name], charset="utf-8")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


async def _form(request: web.Request) -> dict[str, list[str]]:
    if request.content_length is None or request.content_length > FORM_BYTES:
        raise web.HTTPRequestEntityTooLarge(FORM_BYTES, request.content_length or 0)
    body = await read_body(request)
    try:
        return parse_qs(body.decode("ascii"), max_num_fields=FIELDS, errors="strict")
    except ValueError as error:
        raise web.HTTPBadRequest(text="this is not a form") from error


def _to_login(request: web.Request) -> web.Response:
    if REFRESH in request.headers:
        return web.Response(status=HTTPStatus.UNAUTHORIZED)
    onward = request.path_qs if request.method == "GET" else HOME
    return _onward(address("login", next=local(onward)))


def _onward(where: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": where})


def _set_cookie(request: web.Request, response: web.Response, name: str, value: str) -> None:
    response.set_cookie(
        name,
        value,
        path=ROOT,
        httponly=True,
        samesite="Strict",
        secure=border.is_secure(request),
    )


def _html(text: str, status: int) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


def _status_of(error: TradingOpsError) -> HTTPStatus:
    statuses: dict[type[TradingOpsError], HTTPStatus] = {
        StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
        RequestRefused: HTTPStatus.CONFLICT,
        ClientError: HTTPStatus.BAD_GATEWAY,
    }
    return next(
        (status for kind, status in statuses.items() if isinstance(error, kind)),
        HTTPStatus.UNPROCESSABLE_ENTITY,
    )


def _person(text: str) -> str | None:
    """Return the operator's name for a shared token; None: missing or invalid."""
    name = text.strip()
    return name if 0 < len(name) <= NAME and _PLAIN.match(name) else None
