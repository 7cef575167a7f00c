"""The database is full, read-only, locked or gone: 503 while it lasts, then normal operation.

Each failure is real, and ends while the same process continues to run. A halt is placed
in the middle of each: it must not ask the database first.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.fakes import FakeWorld
from tests.postgres import Cluster
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops.config.settings import Settings
from trading_ops.store.writer import Writer

ORDER = {"reason": "the database is broken", "owner": "ada"}


def writer_of(running: Running) -> Writer:
    return running.loop.incident_reconciler.writer


async def pragma(running: Running, text: str) -> Any:
    """Set something on the writer's own connection, outside any transaction."""

    def work() -> Any:
        connection = writer_of(running)._engine.raw_connection()
        try:
            row = connection.cursor().execute(f"PRAGMA {text}").fetchone()
        finally:
            connection.close()
        return row[0] if row else None

    return await asyncio.to_thread(work)


async def refused(running: Running, alert: dict[str, Any]) -> bool:
    return await running.notify(alert) == 503


async def recovers(running: Running) -> None:
    """The same process takes the alert in, recovers it and closes the incident."""
    running.world.firing = True

    async def stored() -> bool:
        return await running.notify(running.world.alert()) == 200

    await eventually(stored, within=30)
    await eventually(running.closed, within=30)


async def halts(running: Running, world: FakeWorld) -> None:
    """A halt reaches the bot at once."""
    placed = await running.call("POST", "/api/v1/targets/alpha/halt", json=ORDER)
    assert placed["acknowledged"], placed
    assert "halt" in world.commands or "halt_trading" in world.commands


@contextlib.asynccontextmanager
async def full(running: Running) -> AsyncIterator[None]:
    """No page more than there are: what SQLite says when the disk is full."""
    await pragma(running, f"max_page_count={await pragma(running, 'page_count')}")
    # What is free inside the file is used up first.
    filler = {"labels": {"filler": "x" * 20_000}, "status": "firing"}
    await eventually(lambda: refused(running, filler))
    yield
    await pragma(running, "max_page_count=1073741823")


@contextlib.asynccontextmanager
async def read_only(running: Running) -> AsyncIterator[None]:
    """Whatever would write is refused."""
    await pragma(running, "query_only=ON")
    yield
    await pragma(running, "query_only=OFF")


Failure = Callable[[Running], AbstractAsyncContextManager[None]]


@pytest.mark.parametrize("failure", [full, read_only])
async def test_a_database_that_takes_nothing(
    start: Start, world: FakeWorld, failure: Failure
) -> None:
    """Full or read-only: nothing is acknowledged, a halt works, and then it continues."""
    async with start() as running:
        async with failure(running):
            await eventually(lambda: refused(running, world.alert()))
            await halts(running, world)
            world.commands.clear()
        assert await running.notify(world.alert()) == 200


async def test_a_database_that_another_process_has_locked(
    start: Start, world: FakeWorld, settings: Settings
) -> None:
    """It waits for a while, then says so; no one waits for as long as the lock is held."""
    path = settings.var / "reconciler" / "reconciler.db"
    async with start() as running:
        await recovers(running)
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        try:
            async with asyncio.timeout(120):
                assert await refused(running, world.alert())
            await halts(running, world)
        finally:
            other.execute("ROLLBACK")
            other.close()

        async def stored() -> bool:
            return await running.notify(world.alert()) == 200

        await eventually(stored, within=15)


async def test_a_stopped_postgresql(start: Start, world: FakeWorld, settings: Settings) -> None:
    """The server goes and comes back; the reconciler runs on all the while."""
    with Cluster(fast=True) as cluster:
        async with start(database=cluster.new_database()) as running:
            await recovers(running)
            await asyncio.to_thread(cluster.stop, "immediate")
            assert await refused(running, world.alert())
            await halts(running, world)
            world.commands.clear()
            await asyncio.to_thread(cluster.start)

            async def stored() -> bool:
                return await running.notify(world.alert()) == 200

            await eventually(stored, within=30)
