"""The console's only access to the system: the API's routes, called in this process.

A call uses the role, the checks and the handler of its route, so the console has the same
permissions as the command line with the same token.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from trading_ops.api.auth import Identity
from trading_ops.api.requests import Key, explain, invalid, not_found
from trading_ops.api.route import Route


class Calls:
    """Calls routes by method and path, such as `GET /api/v1/incidents/{id}`."""

    def __init__(self, table: Sequence[Route]) -> None:
        self.table = table
        self._routes = {f"{route.method} {route.path}": route for route in table}

    def has(self, name: str) -> bool:
        """Return whether there is such a route."""
        return name in self._routes

    def may(self, identity: Identity, name: str) -> bool:
        """Return whether an identity may call it."""
        return self.has(name) and identity.may(self._routes[name].role)

    def role(self, name: str) -> str:
        """Return the role that a route needs."""
        return self._routes[name].role.value

    async def __call__(
        self,
        identity: Identity,
        name: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the handler's result, not encoded.

        Raises:
            web.HTTPException: as in the API, for example 403 if the role is too low, 404, 409 or
            422. TradingOpsError: an error that the API would return as a problem.
        """
        route = self._routes[name]
        if not identity.may(route.role):
            raise web.HTTPForbidden(text=f"this needs the role {route.role}")
        given: dict[str, Any] = {key: _part(value) for key, value in (path or {}).items()}
        if "query" in route.takes:
            given["query"] = _converted(query or {}, route.takes["query"], "the query")
        if "body" in route.takes:
            given["body"] = _converted(body or {}, route.takes["body"], "the form")
        if "identity" in route.takes:
            given["identity"] = identity
        return await route.handler(**given)


def problem_of(error: web.HTTPException) -> str:
    """Return the message of an error."""
    text = (error.text or "").strip()
    if text == f"{error.status}: {error.reason}" or not text:
        return HTTPStatus(error.status).phrase.lower()
    return text


def _part(value: str) -> str:
    try:
        return msgspec.convert(value, Key)
    except msgspec.ValidationError:
        not_found("there is nothing with this name")


def _converted(given: Mapping[str, Any], kind: Any, place: str) -> Any:
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        invalid(explain(str(error), kind, place))
