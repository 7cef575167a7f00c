"""Another user's process on a port of ours receives no token."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from trading_ops.clients.http import Http
from trading_ops.errors import Unreachable
from trading_ops.exporter.config import ExporterConfig, FreqtradeEntry
from trading_ops.exporter.sources import opened
from trading_ops.listener import KnownListeners, trusted_users

NOBODY_UID = 65534
IMPOSTOR = f"""
import os, socket
os.setgroups([])
os.setgid({NOBODY_UID})
os.setuid({NOBODY_UID})
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
print(len(connection.recv(4096)), flush=True)
"""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
    pytest.mark.attacks,
]


@contextlib.asynccontextmanager
async def impostor_listening() -> AsyncIterator[int]:
    """Yield the port of an impostor, which must have read nothing when it ends."""
    impostor = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", IMPOSTOR, stdout=asyncio.subprocess.PIPE
    )
    assert impostor.stdout is not None
    yield int(await impostor.stdout.readline())
    assert int(await impostor.stdout.readline()) == 0
    assert await impostor.wait() == 0


@pytest.mark.parametrize("secret", ["token", "basic"])
async def test_an_impostor_on_a_freed_port_gets_not_one_byte(secret: str) -> None:
    """It accepts the connection that was meant for a bot, and reads until that is closed."""
    async with impostor_listening() as port:
        await refused_by(port, secret)


@pytest.mark.parametrize("collector", ["health", "websocket"])
async def test_an_impostor_of_a_freqtrade_gets_no_password(tmp_path: Path, collector: str) -> None:
    """The exporter asks with its own client; its WebSocket has the token in the query."""
    for name, text in (("credentials", "user:secret"), ("ws", "secret"), ("metrics", "m")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    async with impostor_listening() as port:
        entry = FreqtradeEntry(
            "freq", f"127.0.0.1:{port}", tmp_path / "credentials", tmp_path / "ws"
        )
        async with opened(ExporterConfig(freqtrades=(entry,))) as sources:
            named = f"freqtrade:freq:{collector}"
            (asked,) = (watched for watched in sources.watched if watched.source.name == named)
            await asked.once()
            assert f"belongs to user {NOBODY_UID}" in asked.problem


async def refused_by(port: int, secret: str) -> None:
    connector = KnownListeners(trusted_users(""))
    async with aiohttp.ClientSession(connector=connector) as session:
        address, within = f"http://127.0.0.1:{port}", timedelta(seconds=60)
        http = (
            Http(session, address, token="secret", within=within)
            if secret == "token"
            else Http(session, address, basic="user:secret", within=within)
        )
        with pytest.raises(Unreachable, match=f"belongs to user {NOBODY_UID}"):
            await http.get("/health")
