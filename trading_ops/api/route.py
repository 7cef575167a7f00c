"""A route, and the code between the network and its handler.

A handler is a typed method; its parameters select its input:

    identity          the authenticated client
    query: SomeQuery  the query parameters, converted
    body: SomeOrder   the JSON body, converted
    request           the aiohttp request
    anything else     the path parameter of this name

Its result is encoded as JSON; its return type and the first line of its docstring go into the
OpenAPI document. Clients are authenticated and authorized before the body is read.
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

from trading_ops.api.auth import Authenticator, Identity, Role
from trading_ops.api.requests import (
    JSON,
    Handler,
    forbidden,
    read_json,
    read_path,
    read_query,
    unauthorized,
)

IDENTITY = web.RequestKey("identity", Identity)
ANONYMOUS = Identity("", Role.ANYONE)
_NAMED = frozenset({"identity", "query", "body", "request"})
_IN_PATH = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class Route:
    """One route."""

    method: str
    path: str
    role: Role
    tag: str
    handler: Callable[..., Awaitable[Any]]
    status: int
    """Status of a success."""

    refusals: tuple[int, ...]
    """Error statuses beyond those that follow from its parameters."""

    media: str
    """Content type of a success."""

    summary: str
    takes: Mapping[str, Any]
    """The types of the handler's parameters."""

    gives: Any
    """Response type; None: empty."""

    @property
    def in_path(self) -> tuple[str, ...]:
        """Names of the path parameters."""
        return tuple(_IN_PATH.findall(self.path))

    @property
    def errors(self) -> tuple[int, ...]:
        """All error statuses of this route."""
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
    """Build a route; the rest is derived from the handler's signature."""
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
        refusals=tuple(int(refusal) for refusal in refusals),
        media=media,
        summary=(inspect.getdoc(handler) or "").split("\n\n")[0].replace("\n", " "),
        takes=hints,
        gives=None if gives is type(None) else gives,
    )


def guarded(route: Route, authenticator: Authenticator) -> Handler:
    """Return the route's handler with its role check."""
    carry_out = _adapted(route)

    async def guard(request: web.Request) -> web.StreamResponse:
        identity: Identity | None = ANONYMOUS
        if route.role is not Role.ANYONE:
            identity = authenticator.identify(request)
        if identity is None:
            authenticator.note_refused(request)
            return unauthorized()
        if not identity.may(route.role):
            authenticator.note_refused(request, identity.role)
            return forbidden(route.role)
        request[IDENTITY] = identity
        return await carry_out(request)

    return guard


def _adapted(route: Route) -> Handler:
    async def carry_out(request: web.Request) -> web.StreamResponse:
        given: dict[str, Any] = {name: read_path(request, name) for name in route.in_path}
        if "query" in route.takes:
            given["query"] = read_query(request, route.takes["query"])
        if "body" in route.takes:
            given["body"] = await read_json(request, route.takes["body"])
        if "identity" in route.takes:
            given["identity"] = request[IDENTITY]
        if "request" in route.takes:
            given["request"] = request
        return _answer(await route.handler(**given), route.status)

    return carry_out


def _answer(value: Any, status: int) -> web.StreamResponse:
    if isinstance(value, web.StreamResponse):
        return value
    if value is None:
        return web.Response(status=HTTPStatus.NO_CONTENT)
    return web.Response(body=msgspec.json.encode(value), status=status, content_type=JSON)
