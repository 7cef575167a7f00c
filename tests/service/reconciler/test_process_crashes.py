"""An incident that kills the whole reconciler process is escalated, not handled for ever."""

import asyncio
import multiprocessing
import signal

import pytest

from tests.builders import LABELS
from tests.fakes import FakeWorld
from tests.service.reconciler import killed_reconciler
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops.config.settings import Settings
from trading_ops.reconciler.crash_recovery import LIMIT

pytestmark = pytest.mark.processes


async def die(settings: Settings, world: FakeWorld) -> int | None:
    """Run a reconciler with the defect until it ends; return its exit code."""
    spawning = multiprocessing.get_context("spawn")
    process = spawning.Process(
        target=killed_reconciler.live, args=(settings, world.address), daemon=True
    )
    process.start()
    try:
        await asyncio.to_thread(process.join, 120)
        return process.exitcode
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
        process.close()


async def kinds(running: Running) -> list[str]:
    return [event["kind"] for event in (await running.timeline())["events"]]


async def test_three_deaths_escalate_it_and_the_others_are_processed(
    start: Start, world: FakeWorld, settings: Settings
) -> None:
    """Each start counts the death before it; the fourth escalates the incident and continues."""
    world.prometheus_down = True
    async with start() as running:
        await running.break_it()
        await eventually(running.incident)
    world.prometheus_down = False
    for _ in range(LIMIT):
        assert await die(settings, world) == -signal.SIGKILL
    async with start(poll_interval_seconds=0.3) as running:
        await eventually(lambda: running.has_event("escalated", "crashed"))
        assert (await kinds(running)).count("incident_crashed") == LIMIT
        crashing = await running.incident()
        assert crashing is not None

        other = LABELS | {"alertname": "PageOnly"}
        world.foreign.append(other)
        world.labels, former = other, world.labels
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "page_only"))
        world.labels = former
        assert world.commands == []

        world.firing = False
        path = f"/api/v1/incidents/{crashing['id']}"
        await running.call("POST", f"{path}/acknowledge", json={"note": "updated", "owner": "ada"})
        await eventually(lambda: is_closed(running, path))


async def is_closed(running: Running, path: str) -> bool:
    timeline = await running.call("GET", path)
    return timeline["incident"]["closed_at"] is not None


async def test_a_stop_is_no_death(start: Start, world: FakeWorld) -> None:
    """A reconciler that is stopped while it handles an incident leaves no mark."""
    world.labels["alertname"] = "BotDown"
    world.hang = asyncio.Event()
    reached = asyncio.Event()
    world.sees_command = lambda _name: reached.set()
    async with start(killed=True) as running:
        await running.break_it()
        await asyncio.wait_for(reached.wait(), 60)
    world.hang.set()
    world.hang = None
    async with start() as running:
        await eventually(running.closed)
        assert "incident_crashed" not in await kinds(running)


async def test_without_the_file_it_works_all_the_same(
    start: Start, world: FakeWorld, settings: Settings
) -> None:
    """The file cannot be made: the deaths are not counted, and incidents are processed."""
    await asyncio.to_thread(settings.handling.mkdir, parents=True)
    async with start() as running:
        await running.break_it()
        await eventually(running.closed)
    assert world.commands == ["reconnect_broker"]
