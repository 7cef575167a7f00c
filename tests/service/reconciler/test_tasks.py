"""Background tasks: one that ends is restarted, and a reconciler without it is not ready."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from tests.service.reconciler.conftest import Start
from tests.service.reconciler.test_border import served
from tests.waiting import eventually
from trading_ops.config.settings import Settings
from trading_ops.tasks import Succeeded, Tasks


class Task:
    """A scripted task: ends in some way, or succeeds and continues."""

    def __init__(self, end: Callable[[], Awaitable[None]]) -> None:
        self._end = end
        self.ends, self.may_work = 0, asyncio.Event()
        self.is_cancelled = False

    async def run(self, succeeded: Succeeded) -> None:
        if not self.may_work.is_set():
            self.ends += 1
            await self._end()
            return
        succeeded()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise


async def fail() -> None:
    raise ZeroDivisionError


async def cancel() -> None:
    raise asyncio.CancelledError


async def end() -> None:
    pass


@pytest.fixture
def successes() -> list[str]:
    return []


@pytest.fixture
def tasks(successes: list[str]) -> Tasks:
    return Tasks(on_success=lambda name, _at: successes.append(name), backoff_seconds=0.001)


@pytest.mark.parametrize("ends", [fail, cancel, end])
async def test_a_task_that_ends_is_restarted(
    tasks: Tasks, successes: list[str], ends: Callable[[], Awaitable[None]]
) -> None:
    """However it ends: by an error, by a stray cancellation, or by returning."""
    task = Task(ends)
    async with tasks.running("agents", task.run):
        assert tasks.problems() == ""
        await eventually(lambda: task.ends > 2)
        assert "agents" in tasks.problems()
        assert successes == ["agents"]  # its start
        task.may_work.set()
        await eventually(lambda: not tasks.problems())
        assert successes == ["agents", "agents"]
    assert task.is_cancelled
    assert tasks.problems() == ""


async def test_a_task_without_a_success_is_stalled(tasks: Tasks) -> None:
    """It is not restarted, for it may only wait; but the reconciler is not ready."""
    task = Task(end)
    task.may_work.set()
    async with (
        tasks.running("agents", task.run, stalled_after=0.01),
        tasks.running("leases", task.run),
    ):
        await eventually(tasks.problems)
        assert "agents" in tasks.problems()
        assert "leases" not in tasks.problems()


async def test_the_reconciler_is_not_ready_while_a_task_is_down(start: Start) -> None:
    """Readiness fails from the first failure to the next success, and `/-/healthy` does not."""
    async with start() as running:
        task = Task(fail)

        async def status(path: str) -> int:
            async with running.client.get(path) as response:
                return response.status

        async def is_ready() -> bool:
            return await status("/-/ready") == 200

        await eventually(is_ready)
        async with running.loop.tasks.running("agents", task.run):
            await eventually(lambda: task.ends)
            assert await status("/-/ready") == 503
            assert await status("/-/healthy") == 200
            task.may_work.set()
            await eventually(is_ready)


async def test_every_task_of_a_served_reconciler_is_watched(settings: Settings) -> None:
    """Each of them reports its successes to the metric that the alert reads."""
    async with served(settings) as address, aiohttp.ClientSession() as session:
        headers = {"Authorization": "Bearer metrics"}

        async def times() -> dict[str, float]:
            async with session.get(f"http://{address}/metrics", headers=headers) as response:
                lines = (await response.text()).splitlines()
            name = "trading_ops_task_last_success_timestamp_seconds{"
            found = [line.rpartition(" ") for line in lines if line.startswith(name)]
            return {key: float(value) for key, _, value in found}

        async def all_began() -> dict[str, float] | None:
            began = await times()
            return began if len(began) == 12 else None

        first = await eventually(all_began)

        async def moved() -> bool:
            now = await times()
            # Anchors are made each minute; every other task succeeds every few seconds.
            return all(now[key] > first[key] for key in now if "anchors" not in key)

        await eventually(moved, within=30)


async def test_a_reconciler_that_was_stopped_leaves_no_task_behind(settings: Settings) -> None:
    """An orphan would go on with a closed database and closed connections."""
    before = asyncio.all_tasks()
    async with served(settings):
        assert len(asyncio.all_tasks() - before) > 12
    assert asyncio.all_tasks() - before == set()
