"""A drill of a page-only alert: it is detected, no action runs, and it ends with its fault.

It checks what must *not* happen: restarting a bot because of its venue's outage, or a slow disk,
would make things worse.
"""

import asyncio
from dataclasses import replace

from trading_ops_lab.drills.drill_run import DrillResult, Following

HOLD_SECONDS = 10.0
"""How long the fault continues after its detection; no action may run in this time."""


NOTHING = "no action was run on the bot"


async def must_be_noticed(run: Following, key: str) -> DrillResult:
    """Follow it until the reconciler leaves it to on-call, fix it, and follow it to its end.

    Args:
        run: the drill, whose fault is in force.
        key: key of the fault, for removing it.
    """
    try:
        reached = _fires if run.fault.blocks_notifications else _noticed
        seen = await run.until(reached, run.injected + run.drill.recover_within)
        if seen:
            await asyncio.sleep(HOLD_SECONDS)
    finally:
        if key:
            await run.fault.clean_up(run.scene, run.bot, key)
    run.note("removed", "the drill removed the fault")
    if run.fault.blocks_notifications and seen:
        seen = await run.until(_noticed, run.injected + run.drill.recover_within)
    if not seen:
        problem = "no incident was opened" if run.detected else "Prometheus did not detect it"
        return run.result(paused=False, passed=False, problem=problem)
    if not await run.until(_closed, run.injected + run.drill.recover_within):
        return run.result(paused=False, passed=False, problem="it did not end with its fault")
    done = await forbidden_actions(run)
    evidence = await run.fault.evidence(run.scene, run.bot, run.injected.timestamp())
    result = run.result(paused=False, passed=not done, problem=done)
    return result if done else replace(result, evidence=evidence or _nothing_was_done(run))


def _nothing_was_done(run: Following) -> str:
    tried = ", ".join(sorted(run.fault.expected_failures))
    return f"only {tried} was run on the bot, which cannot fix it" if tried else NOTHING


def _fires(run: Following) -> bool:
    return run.fires


def _noticed(run: Following) -> bool:
    events = run.timeline.events if run.timeline else []
    left = next((event for event in events if event.reason == "page_only"), None)
    if left is None:
        return False
    run.note("noticed", "the reconciler leaves it to on-call", left.at)
    return True


def _closed(run: Following) -> bool:
    return run.timeline is not None and run.timeline.incident.closed_at is not None


async def forbidden_actions(run: Following) -> str:
    """Return the actions on the bot since the fault started, by any incident; empty: none.

    Failed steps of the fault's own alert do not count, as long as each is tried once.
    """
    since = str(run.injected.timestamp())
    for incident in await run.scene.reconciler.incidents(target=run.bot.name, since=since):
        timeline = await run.scene.reconciler.timeline(incident.id)
        attempts = timeline.attempts if timeline else []
        for attempt in attempts:
            if attempt.action not in run.fault.expected_failures:
                return f"{attempt.action} was run for {incident.alert}"
        steps = len(run.scene.runbooks[incident.alert].steps) if attempts else 0
        if len(attempts) > steps:
            return f"{len(attempts)} attempts for {incident.alert}, which has {steps} steps"
    return ""
