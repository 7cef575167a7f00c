"""A drill of a fault that automation cannot fix: the steps fail, then it is escalated to on-call.

Further retries, restarts or sales would make it worse. So each step runs at most once, no other
action runs, and the incident is escalated while the alert still fires. Only then does the drill fix
the fault, as on-call would.
"""

import asyncio
from dataclasses import replace
from datetime import datetime

from trading_ops_lab.drills.drill_run import DrillResult, Following
from trading_ops_lab.drills.page_only_drill import HOLD_SECONDS, forbidden_actions


async def must_be_escalated(run: Following) -> DrillResult:
    """Follow it until it is escalated, fix it like on-call, and follow it to its end."""
    seen = await run.until(_is_escalated, run.injected + run.limit)
    if not seen:
        problem = "it ended without escalation" if _closed(run) else "it was not escalated"
        return _result(run, problem)
    await asyncio.sleep(HOLD_SECONDS)
    await run.follow()
    if _closed(run):
        return _result(run, "it ended without a fix, after it was escalated")
    if done := await forbidden_actions(run):
        return _result(run, done)
    evidence = await run.fault.evidence(run.scene, run.bot, run.injected.timestamp())
    if evidence is None:
        return _result(run, "no evidence that nothing else was done")
    if not await settled(run, until=run.injected + run.limit):
        return _result(run, "it did not end after it was fixed")
    return replace(_result(run), evidence=evidence)


async def settled(run: Following, *, until: datetime) -> bool:
    """Fix it like on-call; return whether the incident was closed before a deadline."""
    key, run.key = run.key, ""
    await run.fault.clean_up(run.scene, run.bot, key)
    run.note("settled", "the drill has done the manual steps of the runbook")
    return await run.until(_closed, until)


def _is_escalated(run: Following) -> bool:
    return run.timeline is not None and run.timeline.incident.escalated_at is not None


def _closed(run: Following) -> bool:
    return run.timeline is not None and run.timeline.incident.closed_at is not None


def _result(run: Following, problem: str = "") -> DrillResult:
    return run.result(paused=False, passed=not problem, problem=problem)
