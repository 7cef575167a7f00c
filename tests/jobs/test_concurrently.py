"""Care of several bots at the same time: one that hangs or fails does not stop the others."""

import asyncio
from datetime import timedelta

from trading_ops.errors import StoreError
from trading_ops.jobs.work.concurrently import concurrently

LONG = timedelta(minutes=1)


async def good() -> str:
    return "done"


async def forever() -> str:
    await asyncio.Event().wait()
    return "never"


async def test_all_results_are_in_the_order_of_the_names() -> None:
    first_ended = asyncio.Event()

    async def last() -> str:
        await first_ended.wait()
        return "late"

    async def first() -> str:
        first_ended.set()
        return "early"

    work = {"alpha": last, "beta": first}
    found, problems = await concurrently(work, at_once=2, within=LONG)
    assert (list(found.items()), problems) == ([("alpha", "late"), ("beta", "early")], [])
    assert await concurrently({}, at_once=2, within=LONG) == ({}, [])


async def test_a_failure_is_named_and_stops_no_other() -> None:
    """A defect too."""

    async def refused() -> str:
        raise StoreError("away")

    async def defect() -> str:
        raise KeyError("x")

    work = {"alpha": refused, "beta": defect, "gamma": good}
    found, problems = await concurrently(work, at_once=1, within=LONG)
    assert found == {"gamma": "done"}
    assert [problem.partition(":")[0] for problem in problems] == ["alpha", "beta"]
    assert "away" in problems[0]


async def test_what_hangs_is_cancelled_at_the_end_and_named() -> None:
    ended = []

    async def hang() -> str:
        try:
            return await forever()
        finally:
            ended.append("alpha")

    work = {"alpha": hang, "beta": good}
    found, problems = await concurrently(work, at_once=2, within=timedelta(seconds=0.1))
    assert (found, ended) == ({"beta": "done"}, ["alpha"])
    assert [problem.partition(":")[0] for problem in problems] == ["alpha"]


async def test_a_turn_that_hangs_does_not_hide_what_waited_for_it() -> None:
    work = {"alpha": forever, "beta": good}
    found, problems = await concurrently(work, at_once=1, within=timedelta(seconds=0.1))
    assert found == {}
    assert [problem.partition(":")[0] for problem in problems] == ["alpha", "beta"]


async def test_nothing_runs_on_after_the_caller_is_cancelled() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> str:
        began.set()
        try:
            return await forever()
        finally:
            ended.set()

    caring = asyncio.create_task(concurrently({"alpha": hang}, at_once=1, within=LONG))
    await began.wait()
    caring.cancel()
    await asyncio.wait({caring})
    assert ended.is_set()
