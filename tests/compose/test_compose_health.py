"""docker/ask.py, which reports the health of a container to Docker."""

import asyncio
import sys
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.compose.composed import ROOT
from tests.free_ports import free_port
from tests.rules.receivers import run_receivers


async def ask(*arguments: str) -> int | None:
    """Run the script; return its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, ROOT / "docker" / "ask.py", *arguments, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


@pytest.mark.parametrize(
    ("status", "token", "expected"),
    [(200, "right", 0), (200, "wrong", 1), (503, "right", 1), (200, None, 1)],
)
async def test_a_page_that_says_200_is_health(
    tmp_path: Path, status: int, token: str | None, expected: int
) -> None:
    """With the right token, where one is asked for."""

    async def health(request: web.Request) -> web.Response:
        right = request.headers.get("Authorization") == "Bearer right"
        return web.Response(status=status if right else 401)

    application = web.Application()
    application.router.add_get("/health", health)
    async with TestServer(application, host="127.0.0.1") as server:
        url = f"http://127.0.0.1:{server.port}/health"
        file = tmp_path / "token"
        file.write_text(f"{token}\nan older one\n")
        assert await ask(url, *([str(file)] if token else [])) == expected


async def test_a_mail_server_that_greets_is_health() -> None:
    """And a port on which no one listens is none."""
    async with run_receivers() as receivers:
        assert await ask(f"smtp://{receivers.smarthost}") == 0
    assert await ask(f"smtp://127.0.0.1:{free_port()}") == 1
