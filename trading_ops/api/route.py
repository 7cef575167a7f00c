"""One line of the table of routes, and what stands between the network and its handler.

A handler is an ordinary typed method; its signature says what it takes:

    identity          who asks
    query: SomeQuery  the query's parameters, converted
    body: SomeOrder   the JSON body, converted
    request           the bare request, where HTTP itself matters
    anything else     the part of the path with this name

What it returns is encoded as JSON; its return type and the first line of its docstring go into the
OpenAPI document. Who asks is known and allowed before anything that was sent is read.
"""

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from trading_ops.api.auth import Authenticator
from trading_ops.api.identity import Identity, Role
from trading_ops.api.problems import JSON, Handler, forbidden, unauthorized
from trading_ops.api.request_parsing import read_json, read_path, read_query

IDENTITY = web.RequestKey("identity", Identity)
ANONYMOUS = Identity("", Role.ANYONE)
_NAMED = frozenset({"identity", "query", "body", "request"})
_IN_PATH = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class Route:
    """One line of the table."""

    method: str
    path: str
    role: Role
    tag: str
    handler: Callable[..., Awaitable[Any]]
    status: int
    """Of a success."""

    refusals: tuple[int, ...]
    """Statuses that this route has beyond those that follow from what it takes."""

    media: str
    """What a success looks like: JSON, but for a few."""

    summary: str
    takes: Mapping[str, Any]
    """The types of the handler's parameters."""

    gives: Any
    """The type of the answer; None: an empty one."""

    @property
    def in_path(self) -> tuple[str, ...]:
        """The names of the path's variable parts."""
        return tuple(_IN_PATH.findall(self.path))

    @property
    def errors(self) -> tuple[int, ...]:
        """Every status of an error that this route may answer with."""
        found = set(self.refusals)
        if self.role is not Role.ANYONE:
            found |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
        if self.in_path:
            found.add(HTTPStatus.NOT_FOUND)
        if "query" in self.takes or "body" in self.takes:
            found.add(HTTPStatus.UNPROCESSABLE_ENTITY)
        if "body" in self.takes:
            found |= {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
        return tuple(sorted(int(status) for status in found))


def route(
    method: str,
    path: str,
    role: Role,
    tag: str,
    handler: Callable[..., Awaitable[Any]],
    *,
    status: int = HTTPStatus.OK,
    refusals: tuple[int, ...] = (),
    media: str = JSON,
) -> Route:
    """Return one line of the table; the rest is read off the handler."""
    hints = typing.get_type_hints(handler, include_extras=True)
    gives = hints.pop("return", None)
    names = [name for name in inspect.signature(handler).parameters if name not in _NAMED]
    if sorted(names) != sorted(_IN_PATH.findall(path)):
        raise TypeError(f"{method} {path}: the handler takes {names}")
    return Route(
        method=method,
        path=path,
        role=role,
        tag=tag,
        handler=handler,
        status=int(HTTPStatus.NO_CONTENT) if gives is type(None) else int(status),
        refusals=tuple(int(one) for one in refusals),
        media=media,
        summary=(inspect.getdoc(handler) or "").split("\n\n")[0].replace("\n", " "),
        takes=hints,
        gives=None if gives is type(None) else gives,
    )


def guarded(one: Route, authenticator: Authenticator) -> Handler:
    """Return the route's handler behind its role."""
    carry_out = _adapted(one)

    async def guard(request: web.Request) -> web.StreamResponse:
        identity: Identity | None = ANONYMOUS
        if one.role is not Role.ANYONE:
            identity = authenticator.identify(request)
        if identity is None:
            authenticator.note_refused(request)
            return unauthorized()
        if not identity.may(one.role):
            authenticator.note_refused(request, identity.role)
            return forbidden(one.role)
        request[IDENTITY] = identity
        return await carry_out(request)

    return guard


def _adapted(one: Route) -> Handler:
    async def carry_out(request: web.Request) -> web.StreamResponse:
        given: dict[str, Any] = {name: read_path(request, name) for name in one.in_path}
        if "query" in one.takes:
            given["query"] = read_query(request, one.takes["query"])
        if "body" in one.takes:
            given["body"] = await read_json(request, one.takes["body"])
        if "identity" in one.takes:
            given["identity"] = request[IDENTITY]
        if "request" in one.takes:
            given["request"] = request
        return _answer(await one.handler(**given), one.status)

    return carry_out


def _answer(value: Any, status: int) -> web.StreamResponse:
    if isinstance(value, web.StreamResponse):
        return value
    if value is None:
        return web.Response(status=HTTPStatus.NO_CONTENT)
    return web.Response(body=msgspec.json.encode(value), status=status, content_type=JSON)
