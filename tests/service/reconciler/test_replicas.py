"""Two reconcilers on one PostgreSQL: one works on a target, and the other takes over from it.

What a lease does when it runs out, and what becomes of a replica that was frozen, is shown on
real processes by the crash tests of replicas.
"""

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.databases import postgresql_only
from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Start
from tests.waiting import eventually
from trading_ops.config.settings import Settings

pytestmark = [postgresql_only, pytest.mark.usefixtures("database_url")]


@pytest.fixture
def elsewhere(settings: Settings, tmp_path: Path) -> dict[str, Any]:
    """Settings of a second machine: a folder of its own, with the same secrets."""
    shutil.copytree(settings.secrets, tmp_path / "elsewhere" / "secrets")
    return {"var": tmp_path / "elsewhere"}


async def test_two_replicas_do_it_once(
    start: Start, world: FakeWorld, elsewhere: dict[str, Any]
) -> None:
    """Both are notified, both poll; one of them acts, and there is one timeline."""
    async with start() as first, start(**elsewhere) as two:
        assert first.loop.leases.replica != two.loop.leases.replica
        world.firing = True
        alert = world.alert()
        statuses = await asyncio.gather(first.notify(alert), two.notify(alert))
        assert set(statuses) == {200}
        await eventually(two.closed)
        timeline = await first.timeline()
    assert world.commands == ["reconnect_broker"]
    kinds = [event["kind"] for event in timeline["events"]]
    assert kinds.count("opened") == kinds.count("started") == kinds.count("closed") == 1


async def test_the_other_goes_on_and_probes(
    start: Start, world: FakeWorld, elsewhere: dict[str, Any]
) -> None:
    """The first goes away in the middle of a restart: the second finds out what became of it."""
    world.labels["alertname"] = "BotDown"
    world.hang = asyncio.Event()
    arrived = asyncio.Event()
    world.sees_command = lambda _name: arrived.set()
    async with start(killed=True) as first:
        await first.break_it()
        await asyncio.wait_for(arrived.wait(), 60)
        async with start(**elsewhere) as two:
            assert not await two.loop.leases.hold(["target:alpha"])
            await first.loop.workers.stop(0)
            await first.loop.leases.end()
            world.hang.set()
            world.hang = None
            await eventually(two.closed)
            timeline = await two.timeline()
    assert world.commands == ["restart_bot"]
    assert [attempt["state"] for attempt in timeline["attempts"]] == ["verified"]
    assert [event["kind"] for event in timeline["events"]].count("unknown") == 1


async def test_a_target_is_with_one_of_them(start: Start, elsewhere: dict[str, Any]) -> None:
    """An order manually must reach the one that has it; it is free again when that one ends."""
    async with start(**elsewhere) as two:
        async with start() as first, first.loop.leases.borrowed("alpha") as mine:
            assert mine
            async with two.loop.leases.borrowed("alpha") as held:
                assert not held
        async with two.loop.leases.borrowed("alpha") as held:
            assert held


async def test_what_is_borrowed_does_not_starve_a_key(
    start: Start, elsewhere: dict[str, Any]
) -> None:
    """Orders manually hold targets for a while; the share of what is open is taken all the same."""
    wanted = ["target:x", "target:y"]
    async with start() as first, start(**elsewhere), contextlib.AsyncExitStack() as orders:
        for target in ("a", "b", "c"):
            assert await orders.enter_async_context(first.loop.leases.borrowed(target))
        assert len(await first.loop.leases.hold(wanted) & set(wanted)) == 1
