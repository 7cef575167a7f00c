"""A drill of an alert for people: it is noticed, nothing is done, and it ends with its fault.

What must *not* happen is the point: a machine that restarted a bot for what is its venue's outage,
or for a slow disk, would make it worse.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from trading_ops import clock
from trading_ops.stack.calm import TICK_SECONDS
from trading_ops.stack.following import DrillResult, Following

HOLD_SECONDS = 10.0
"""For which the fault goes on once it was noticed: in which nothing must be done."""


async def must_be_noticed(run: Following, key: str) -> DrillResult:
    """Follow it until it is known to be for people, mend it, and follow it to its end.

    Args:
        run: the drill, whose fault is in force.
        key: what the fault needs to be mended.
    """
    try:
        noticed = await _until(run, _noticed)
        if noticed:
            await asyncio.sleep(HOLD_SECONDS)
    finally:
        if key:
            await run.fault.clean_up(run.scene, run.bot, key)
    run.note("mended", "the drill has taken the fault away")
    if not noticed:
        problem = "no incident was opened" if run.detected else "Prometheus did not detect it"
        return run.result(paused=False, passed=False, problem=problem)
    if not await _until(run, _closed):
        return run.result(paused=False, passed=False, problem="it did not end with its fault")
    done = await _done(run)
    result = run.result(paused=False, passed=not done, problem=done)
    return result if done else replace(result, witness="nothing was done to the bot meanwhile")


async def _until(run: Following, reached: Callable[[Following], bool]) -> bool:
    deadline = run.injected + run.drill.recover_within
    while clock.now() < deadline:
        await run.follow()
        if reached(run):
            return True
        await asyncio.sleep(TICK_SECONDS)
    return False


def _noticed(run: Following) -> bool:
    events = run.story.events if run.story else []
    if not any(event.reason == "people_only" for event in events):
        return False
    run.note("noticed", "the reconciler leaves it to people")
    return True


def _closed(run: Following) -> bool:
    return run.story is not None and run.story.incident.closed_at is not None


async def _done(run: Following) -> str:
    """Say what was done to the bot since the fault began, by any incident; empty for nothing."""
    since = str(run.injected.timestamp())
    for incident in await run.scene.reconciler.incidents(target=run.bot.name, since=since):
        story = await run.scene.reconciler.story(incident.id)
        for attempt in story.attempts if story else []:
            return f"{attempt.action} was run for {incident.alert}"
    return ""
