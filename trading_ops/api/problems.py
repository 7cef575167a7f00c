"""Error responses: one format for all, never a traceback."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import NoReturn

import msgspec
from aiohttp import web

from trading_ops import logs
from trading_ops.api.identity import Role
from trading_ops.errors import (
    ClientError,
    CommitUnknown,
    OrderRefused,
    StoreError,
    TradingOpsError,
)

log = logs.get(__name__)

JSON = "application/json"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUSES: Mapping[type[TradingOpsError], HTTPStatus] = {
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    OrderRefused: HTTPStatus.CONFLICT,
    ClientError: HTTPStatus.BAD_GATEWAY,
}


class Problem(msgspec.Struct, kw_only=True):
    """An error response."""

    error: str
    """Machine-readable code, such as `not_found`."""

    detail: str = ""
    """Human-readable message: the problem and the fix."""


def answer_problem(
    status: int, detail: str = "", headers: dict[str, str] | None = None
) -> web.Response:
    """Return the response for an error."""
    name = HTTPStatus(status).name.lower()
    body = msgspec.json.encode(Problem(error=name, detail=detail))
    return web.Response(status=status, body=body, content_type=JSON, headers=headers)


def unauthorized() -> web.Response:
    """Return 401: the same for every missing or invalid token."""
    return answer_problem(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})


def forbidden(needed: Role) -> web.Response:
    """Return 403: the identity's role is too low."""
    return answer_problem(HTTPStatus.FORBIDDEN, f"requires the role {needed}")


def not_found(detail: str) -> NoReturn:
    """Answer 404."""
    raise web.HTTPNotFound(text=detail)


def conflict(detail: str) -> NoReturn:
    """Answer 409."""
    raise web.HTTPConflict(text=detail)


def invalid(detail: str) -> NoReturn:
    """Answer 422."""
    raise web.HTTPUnprocessableEntity(text=detail)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Convert every error to a response."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _http_problem(error)
    except TradingOpsError as error:
        return _own_problem(error)
    except ConnectionError:
        raise  # the client has disconnected
    except Exception:
        key = uuid.uuid4().hex[:12]
        log.exception("request_failed", method=request.method, path=request.path, error_id=key)
        detail = f"internal error; see the log, error_id {key}"
        return answer_problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def _own_problem(error: TradingOpsError) -> web.Response:
    """Return the response for one of our own errors, with its message."""
    detail = str(error)
    if isinstance(error, CommitUnknown):
        detail += "; check the state before you retry"
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return answer_problem(status, detail)
    return answer_problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)


def _http_problem(error: web.HTTPException) -> web.Response:
    """Return the response for an aiohttp error, whose default text only repeats the status."""
    text = (error.text or "").strip()
    detail = "" if text == f"{error.status}: {error.reason}" else text
    if error.status == HTTPStatus.NOT_FOUND and not detail:
        detail = "path not found"
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = "request body too large"
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    return answer_problem(error.status, detail, headers)
