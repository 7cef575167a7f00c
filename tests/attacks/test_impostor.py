"""Another user's process on a port of ours learns no token."""

import asyncio
import os
import sys
from datetime import timedelta

import aiohttp
import pytest

from trading_ops.clients.http import Http
from trading_ops.clients.listener import KnownListeners, trusted_users
from trading_ops.errors import Unreachable

NOBODY = 65534
IMPOSTOR = f"""
import os, socket
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
print(len(connection.recv(4096)), flush=True)
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.mark.parametrize("secret", ["token", "basic"])
async def test_an_impostor_on_a_freed_port_gets_not_one_byte(secret: str) -> None:
    """It accepts the connection that was meant for a bot, and reads until that is closed."""
    impostor = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", IMPOSTOR, stdout=asyncio.subprocess.PIPE
    )
    assert impostor.stdout is not None
    port = int(await impostor.stdout.readline())
    connector = KnownListeners(trusted_users(""))
    async with aiohttp.ClientSession(connector=connector) as session:
        address, within = f"http://127.0.0.1:{port}", timedelta(seconds=60)
        http = (
            Http(session, address, token="secret", within=within)
            if secret == "token"
            else Http(session, address, basic="user:secret", within=within)
        )
        with pytest.raises(Unreachable, match=f"belongs to user {NOBODY}"):
            await http.get("/health")
    assert int(await impostor.stdout.readline()) == 0
    assert await impostor.wait() == 0
