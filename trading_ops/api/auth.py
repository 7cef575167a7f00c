"""Who may ask what: one bearer token a role, compared in constant time, before the body is read."""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Role(StrEnum):
    """What a token is good for."""

    ANYONE = "anyone"
    WEBHOOK = "webhook"
    METRICS = "metrics"
    OPERATOR = "operator"


def guarded(role: Role, tokens: Mapping[Role, tuple[str, ...]], handler: Handler) -> Handler:
    """Return the handler behind its role's tokens; an operator's token opens everything.

    A role has two tokens while one is being replaced by the other.
    """
    if role is Role.ANYONE:
        return handler
    accepted = [*tokens[role], *tokens[Role.OPERATOR]]

    async def guard(request: web.Request) -> web.StreamResponse:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        candidate = given.strip().encode(errors="replace")
        matches = [hmac.compare_digest(candidate, token.encode()) for token in accepted]
        if kind != "Bearer" or not any(matches):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        return await handler(request)

    return guard
