"""Errors as answers: one shape for all of them, a sentence for people, and never a traceback."""

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
    """What went wrong."""

    error: str
    """The status in words, for programs: `not_found`."""

    detail: str = ""
    """A sentence for people: what is wrong and what would be right."""


def answer_problem(
    status: int, detail: str = "", headers: dict[str, str] | None = None
) -> web.Response:
    """Return the answer for an error."""
    name = HTTPStatus(status).name.lower()
    body = msgspec.json.encode(Problem(error=name, detail=detail))
    return web.Response(status=status, body=body, content_type=JSON, headers=headers)


def unauthorized() -> web.Response:
    """Return the one answer to everybody without a valid token, whatever was wrong with it."""
    return answer_problem(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})


def forbidden(needed: Role) -> web.Response:
    """Return the answer to a known identity whose role is too low."""
    return answer_problem(HTTPStatus.FORBIDDEN, f"this needs the role {needed}")


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
    """Turn every error into its answer."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _http_problem(error)
    except TradingOpsError as error:
        return _own_problem(error)
    except ConnectionError:
        raise  # whoever asked has gone
    except Exception:
        key = uuid.uuid4().hex[:12]
        log.exception("request_failed", method=request.method, path=request.path, error_id=key)
        detail = f"a mistake of ours; the log has it as error_id {key}"
        return answer_problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def _own_problem(error: TradingOpsError) -> web.Response:
    """Return the answer for one of our own errors: each is a sentence for people."""
    detail = str(error)
    if isinstance(error, CommitUnknown):
        detail += "; look before you order it again"
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return answer_problem(status, detail)
    return answer_problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)


def _http_problem(error: web.HTTPException) -> web.Response:
    """Return the answer for one of aiohttp's own; its default text is only the status again."""
    text = (error.text or "").strip()
    detail = "" if text == f"{error.status}: {error.reason}" else text
    if error.status == HTTPStatus.NOT_FOUND and not detail:
        detail = "there is no such path"
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = "the body is too large"
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    return answer_problem(error.status, detail, headers)
