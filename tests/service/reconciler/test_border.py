"""The webhook's border, served as in production: slow bodies, packed bodies, strangers' bodies."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.builders import make_registry
from tests.free_ports import free_port
from tests.service.reconciler.conftest import WEBHOOK
from tests.waiting import eventually
from trading_ops.api import requests
from trading_ops.app import process as app
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind
from trading_ops.store.engine import reading_engine
from trading_ops.store.notifications import NotificationState
from trading_ops.store.tables import notifications

BOMB = gzip.compress(b"0" * (64 * 1024 * 1024))
"""64 MiB in some 64 kB."""

HEAD = (
    "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: 50\r\n\r\n"
)


@contextlib.asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[str]:
    """Serve as the process does; yields the address."""
    registry = make_registry(reconciler=f"127.0.0.1:{free_port()}")
    address = registry.one(Kind.RECONCILER).address
    stop = asyncio.Event()
    serving = asyncio.create_task(app.serve(settings, registry, stop))

    async def answers() -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.request("GET", f"http://{address}/-/healthy"):
                return True
        return serving.done()

    try:
        await eventually(answers)
        yield address
    finally:
        stop.set()
        await serving


async def first_line(address: str, token: str) -> str:
    """Send a head that promises a body, and one byte of it; return the answer's first line."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(HEAD.format(path=WEBHOOK, token=token).encode() + b"{")
        return (await asyncio.wait_for(reader.readline(), 60)).decode()
    finally:
        writer.close()


async def test_a_body_that_never_comes_is_not_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, so that Alertmanager sends it again; a 408 would lose it."""
    monkeypatch.setattr(requests, "DEADLINE_SECONDS", 0.3)
    async with served(settings) as address:
        assert (await first_line(address, "webhook")).split()[1] == "503"


async def test_a_strangers_body_is_not_waited_for_at_all(settings: Settings) -> None:
    """The deadline is ten seconds; the answer is there long before."""
    async with served(settings) as address:
        assert (await first_line(address, "stranger")).split()[1] == "401"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
async def test_a_packed_body_is_not_unpacked(settings: Settings, encoding: str) -> None:
    """It is stored as it came, and ends in quarantine: nothing of ours grows with it."""
    headers = {"Authorization": "Bearer webhook", "Content-Encoding": encoding}
    async with served(settings) as address, aiohttp.ClientSession() as session:
        async with session.post(f"http://{address}{WEBHOOK}", data=BOMB, headers=headers) as got:
            assert got.status == 200
        await eventually(lambda: quarantined(settings) == [len(BOMB)])


def quarantined(settings: Settings) -> list[int]:
    """Return the lengths of the bodies in quarantine."""
    engine = reading_engine(settings.database_url)
    try:
        with engine.connect() as connection:
            rows = connection.execute(
                notifications.select().where(notifications.c.state == NotificationState.QUARANTINED)
            ).mappings()
            return [len(row["body"]) for row in rows]
    finally:
        engine.dispose()
