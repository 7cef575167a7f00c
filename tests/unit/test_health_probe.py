"""A file system that hangs holds up neither the event loop nor the answer about health."""

import asyncio
import os
import threading

from tests.waiting import eventually
from trading_ops.api.health import ComponentState, HealthProbe, disk_space

FREE = 50 * 1024**3


async def test_a_hung_disk_is_asked_once_and_shown_as_not_answering() -> None:
    hung = threading.Event()
    asked: list[int] = []

    def ask() -> asyncio.Task[tuple[int, int, int]]:
        asked.append(len(asked))
        return asyncio.create_task(asyncio.to_thread(answer))

    def answer() -> tuple[int, int, int]:
        hung.wait()
        return 2 * FREE, FREE, FREE

    probe = HealthProbe(ask, disk_space)
    try:
        states = [(await probe.look())[0] for _ in range(3)]
        assert ComponentState.OK not in states
        assert asked == [0]
    finally:
        hung.set()

    async def answers() -> bool:
        return (await probe.look())[0] is ComponentState.OK

    await eventually(answers)
    assert asked == [0]


async def test_what_a_disk_says_is_judged_by_its_free_space() -> None:
    async def answered(free: int) -> tuple[ComponentState, str]:
        task = asyncio.create_task(asyncio.sleep(0, (2 * FREE, FREE, free)))
        await task
        return disk_space(task, 0.0)

    assert (await answered(FREE))[0] is ComponentState.OK
    assert (await answered(500 * 1024**2))[0] is ComponentState.DEGRADED
    assert (await answered(1024))[0] is ComponentState.FAILING


async def test_a_disk_that_cannot_be_read_fails_with_the_reason() -> None:
    async def refused() -> tuple[int, int, int]:
        raise OSError(5, os.strerror(5))

    task = asyncio.create_task(refused())
    await asyncio.wait({task})
    assert disk_space(task, 0.0) == (ComponentState.FAILING, os.strerror(5))
