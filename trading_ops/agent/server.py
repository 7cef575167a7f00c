"""The agent's routes in an aiohttp application."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from trading_ops.agent.routes import AgentRequest, AgentResponse, Routes
from trading_ops.bounded_site import trust

Answering = Callable[[AgentRequest], Awaitable[AgentResponse]]


def application(routes: Routes) -> web.Application:
    """Return an application with the agent's routes and no others."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await respond(routes.answer, request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    return app


async def respond(answering: Answering, request: web.Request) -> web.Response:
    """Answer one request."""
    answer = await answering(
        AgentRequest(
            method=request.method,
            path=request.path,
            query=request.query,
            authorization=request.headers.get("Authorization"),
            accept=request.headers.get("Accept", ""),
            body=request.content.iter_any(),
        )
    )
    if answer.trusted:
        trust(request)
    headers = {"Content-Type": answer.content_type, **answer.headers}
    return web.Response(status=answer.status, body=answer.body, headers=headers)
