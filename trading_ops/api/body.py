"""Reading request bodies: whole, under a limit and a deadline."""

import asyncio
from typing import TypeVar

import msgspec
from aiohttp import web

DEADLINE_SECONDS = 10.0

T = TypeVar("T")


async def read_body(request: web.Request) -> bytes:
    """Return the body, or answer 408 when it does not arrive in time."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="the body did not arrive in time") from error


async def read_json(request: web.Request, kind: type[T]) -> T:
    """Return the body as a value, or answer 422 naming what is wrong with it."""
    try:
        return msgspec.json.decode(await read_body(request), type=kind)
    except msgspec.DecodeError as error:
        raise web.HTTPUnprocessableEntity(text=str(error)) from error


def answer(value: object, *, status: int = 200) -> web.Response:
    """Return a value as JSON; datetimes become RFC 3339 in UTC."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )
