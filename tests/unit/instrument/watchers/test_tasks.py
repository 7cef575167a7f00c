"""Tasks are counted by coroutine, within bounds, and those that pile up are named."""

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers.tasks import (
    NAMED_COROUTINES,
    TaskGrowth,
    TaskWatcher,
    count_tasks,
)

Value = Callable[..., float | None]


async def wait_for(event: asyncio.Event) -> None:
    await event.wait()


async def other(event: asyncio.Event) -> None:
    await event.wait()


def grown(counts: list[int], **kwargs: float) -> TaskGrowth:
    """Return what has seen these counts, one a block, and one more that ends the last block."""
    growth = TaskGrowth(block_seconds=600.0, blocks=len(counts), **kwargs)  # type: ignore[arg-type]
    for block, count in enumerate([*counts, counts[-1]]):
        growth.add(block * 600.0, {"run": count})
    return growth


async def test_tasks_are_counted_from_another_thread() -> None:
    """Only what is not done, by the coroutine's name."""
    event = asyncio.Event()
    waiting = [asyncio.create_task(wait_for(event)) for _ in range(3)]
    waiting.append(asyncio.create_task(other(event)))
    counts = await asyncio.to_thread(count_tasks, asyncio.get_running_loop())
    assert (counts["wait_for"], counts["other"]) == (3, 1)
    event.set()
    await asyncio.gather(*waiting)
    assert count_tasks(asyncio.get_running_loop())["wait_for"] == 0


async def test_counting_beside_a_loop_that_makes_tasks_never_fails() -> None:
    """Hundreds of tasks start and end while they are counted."""
    stop, counted = threading.Event(), []
    loop = asyncio.get_running_loop()

    def count() -> None:
        while not stop.is_set():
            counted.append(sum(count_tasks(loop).values()))

    counting = asyncio.create_task(asyncio.to_thread(count))
    for _ in range(30):
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(200)))
    stop.set()
    await counting
    assert counted


@pytest.mark.parametrize(
    ("counts", "leaks"),
    [
        ([5, 10, 15, 20, 25, 30, 35], True),
        ([0, 0, 0, 0, 0, 0, 25], True),
        ([5, 5, 5, 5, 5, 5, 5], False),
        ([0, 2, 4, 6, 8, 10, 12], False),  # too few
        ([100, 105, 110, 115, 120, 125, 130], False),  # too small a share
        ([5, 10, 40, 20, 25, 30, 35], False),  # it fell in between
        ([35, 30, 25, 20, 15, 10, 5], False),
    ],
)
def test_only_steady_growth_of_some_size_is_a_leak(counts: list[int], leaks: bool) -> None:
    growth = grown(counts)
    assert growth.leaking() == (["run"] if leaks else [])
    assert growth.growth() == {"run": counts[-1] - counts[0]}


def test_nothing_is_reported_before_all_blocks_are_there() -> None:
    growth = TaskGrowth()
    for block in range(7):
        assert not growth.leaking()
        growth.add(block * 600.0, {"run": 100 * block})
    assert growth.growth() == {}


@pytest.mark.parametrize("gone_at", [0, 5, 9])
def test_what_comes_and_goes_within_a_block_is_no_growth(gone_at: int) -> None:
    """Ever more tasks, and one moment in each block without: the least counts."""
    growth = TaskGrowth()
    for minute in range(8 * 10):
        growth.add(minute * 60.0, {} if minute % 10 == gone_at else {"run": 10 * minute})
    assert growth.growth() == {}
    assert growth.leaking() == []


async def test_leak_is_exported_and_reported(
    metrics: BotMetrics, value: Value, caplog: pytest.LogCaptureFixture
) -> None:
    """Over an hour of looks; it ends as the tasks end."""
    event, waiting = asyncio.Event(), []
    tasks = TaskWatcher(metrics, asyncio.get_running_loop())
    with caplog.at_level(logging.WARNING):
        for minute in range(0, 90, 5):
            waiting += [asyncio.create_task(wait_for(event)) for _ in range(4)]
            tasks.check(minute * 60.0)
    assert value("trading_tasks", coroutine="wait_for") == len(waiting)
    assert value("trading_tasks_growth", coroutine="wait_for") == 48
    assert value("trading_task_leak_suspected") == 1
    assert (value("trading_threads") or 0) >= 1
    assert [record.message for record in caplog.records] == ["tasks_leaking coroutines=wait_for"]
    event.set()
    await asyncio.gather(*waiting)
    for minute in range(90, 120, 5):
        tasks.check(minute * 60.0)
    assert value("trading_tasks", coroutine="wait_for") == 0
    assert value("trading_task_leak_suspected") == 0


async def test_names_are_bounded(metrics: BotMetrics, value: Value) -> None:
    """The most frequent coroutines get names, all further ones together are `other`."""
    event = asyncio.Event()

    def make(name: str) -> asyncio.Task[None]:
        coroutine = wait_for(event)
        coroutine.__qualname__ = name  # type: ignore[attr-defined]  # it has one at run time
        return asyncio.create_task(coroutine)

    waiting = [make(f"often-{index}") for index in range(NAMED_COROUTINES) for _ in range(2)]
    waiting += [make(f"rare-{index}") for index in range(10)]
    tasks = TaskWatcher(metrics, asyncio.get_running_loop())
    tasks.check(0.0)
    assert value("trading_tasks", coroutine="often-3") == 2
    assert value("trading_tasks", coroutine="rare-3") is None
    total = sum(
        sample.value
        for family in metrics.registry.collect()
        if family.name == "trading_tasks"
        for sample in family.samples
    )
    assert total == len(asyncio.all_tasks())
    assert (value("trading_tasks", coroutine="other") or 0) >= 10
    event.set()
    await asyncio.gather(*waiting)


def test_bot_of_threads_has_threads_only(metrics: BotMetrics, value: Value) -> None:
    TaskWatcher(metrics, None).check(0.0)
    assert value("trading_threads") == threading.active_count()
    assert value("trading_task_leak_suspected") == 0
