"""A drill: break the running stack, follow the real pipeline, and measure each stage.

Nothing is simulated and the reconciler is not informed: the fault is injected, and the drill reads
what the reconciler stored about its incident.
"""

import asyncio
from dataclasses import replace

from trading_ops import clock
from trading_ops.domain.attempt import DeliverySemantics
from trading_ops.domain.runbook import Drill, Runbook, fill_query
from trading_ops.errors import StackError
from trading_ops_lab.drills.drill_run import RECOVERY_AFTER_PAUSE, DrillResult, Following
from trading_ops_lab.drills.escalation_drill import must_be_escalated, settled
from trading_ops_lab.drills.inhibited_drill import cause_of, must_wait
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.page_only_drill import must_be_noticed
from trading_ops_lab.drills.preflight import OWNER, TICK_SECONDS, Say, wait_until_calm
from trading_ops_lab.faults.catalogue import FAULTS


async def run_drill(
    scene: Scene,
    alert: str,
    *,
    bot_name: str | None,
    paused: bool,
    say: Say,
    silenced: bool = False,
    during: str = "",
    calm: bool = False,
) -> DrillResult:
    """Run one drill to its end and clean up.

    Args:
        scene: the running stack.
        alert: the alert whose drill to run.
        bot_name: the bot to break; by default the first one.
        paused: automation is paused, and the drill passes only if nothing recovers.
        say: called when a stage is reached.
        silenced: the alert is silenced in Alertmanager, and the drill passes only if nothing
            recovers.
        during: an alert that suppresses automation; it is fired first, and the drill passes only
            if no action runs until it is over.
        calm: whether the caller has already waited for a healthy stack.

    Raises:
        StackError: the alert has no drill, or the stack is not healthy before it starts.
        ClientError: the stack does not answer.
    """
    runbook, plan = _drilled(scene, alert)
    if (paused or silenced) and (during or not runbook.steps):
        why = f"{during} suppresses it already" if during else "it is page-only"
        raise StackError(f"{alert} has no automation to pause: {why}")
    cause = cause_of(runbook, scene.runbooks.get(during)) if during else None
    bot = scene.bot(bot_name)
    if not calm:
        await wait_until_calm(scene, bot, say, alerts=(alert,))
    await scene.reconciler.reset_budget(bot.name, owner=OWNER, reason=f"drill {alert}")
    fault = FAULTS[plan.fault]
    run = Following(
        scene=scene, runbook=runbook, drill=plan, fault=fault, bot=bot, say=say, during=cause
    )
    await fault.ready(scene, bot)
    if paused:
        await run.pause()
    try:
        if silenced:
            await run.silence()
        if cause is not None:
            return await _once_it_may(run, cause)
        run.injected = clock.now()
        run.key = await run.fault.inject(scene, bot)
        await run.follow()
        if not runbook.steps:
            key, run.key = run.key, ""
            return await must_be_noticed(run, key)
        if paused or silenced:
            return await _must_not_recover(run)
        return await (must_be_escalated if fault.needs_operator else _must_recover)(run)
    finally:
        await run.resume()
        if run.key:
            await run.fault.clean_up(scene, bot, run.key)


def _drilled(scene: Scene, alert: str) -> tuple[Runbook, Drill]:
    runbook = scene.runbooks.get(alert)
    if runbook is None or runbook.drill is None:
        known = ", ".join(book.alert for book in scene.runbooks.values() if book.drill)
        raise StackError(f"{alert} has no drill; there are: {known}")
    return runbook, runbook.drill


async def _once_it_may(run: Following, cause: Runbook) -> DrillResult:
    problem = await must_wait(run, cause)
    if problem:
        return run.result(paused=False, passed=False, problem=problem)
    return await _must_recover(run)


async def _must_recover(run: Following) -> DrillResult:
    deadline = run.injected + run.limit
    while clock.now() < deadline:
        await run.follow()
        if run.timeline and run.timeline.incident.closed_at:
            return await _judge(run)
        await asyncio.sleep(TICK_SECONDS)
    return run.result(paused=False, passed=False, problem=_why_late(run))


async def _judge(run: Following) -> DrillResult:
    """The incident is closed; whether that is a recovery is decided elsewhere."""
    assert run.timeline is not None  # noqa: S101 - the caller has just looked
    incident = run.timeline.incident
    evidence = await run.fault.evidence(run.scene, run.bot, run.injected.timestamp())
    problem = ""
    if incident.close_reason != "recovered":
        problem = f"closed as {incident.close_reason}, not as recovered"
    elif incident.escalated_at is not None:
        problem = "it was escalated"
    elif evidence is None:
        problem = "closed, but no evidence of the fix"
    else:
        problem = await done_twice(run)
    result = run.result(paused=False, passed=not problem, problem=problem)
    return replace(result, evidence=evidence or "")


async def done_twice(run: Following) -> str:
    """Return the one-shot action that ran more than once, by any incident; empty: none."""
    since = str(run.injected.timestamp())
    seen: set[str] = set()
    for incident in await run.scene.reconciler.incidents(target=run.bot.name, since=since):
        timeline = await run.scene.reconciler.timeline(incident.id)
        for attempt in timeline.attempts if timeline else []:
            if attempt.delivery == DeliverySemantics.ONE_SHOT and attempt.action in seen:
                return f"{attempt.action} was run twice"
            seen.add(attempt.action)
    return ""


def _why_late(run: Following) -> str:
    if run.timeline is None:
        return "no incident was opened" if run.detected else "Prometheus did not detect it"
    last = run.timeline.events[-1]
    return f"not closed in time; last event: {last.kind} {last.reason} {last.note}"


async def _must_not_recover(run: Following) -> DrillResult:
    """With automation blocked, the fault must stay and the reason for waiting must be stored."""
    paused = not run.silenced
    deadline = run.injected + run.drill.recover_within
    while clock.now() < deadline:
        await run.follow()
        if run.timeline and run.timeline.incident.closed_at:
            return run.result(paused=paused, passed=False, problem="it recovered while paused")
        await asyncio.sleep(TICK_SECONDS)
    problem = await _paused_problem(run)
    reasons = _reasons(run)
    result = run.result(paused=paused, passed=not problem, problem=problem)
    await _remediate(run)
    return replace(result, reasons=reasons)


async def _paused_problem(run: Following) -> str:
    if run.timeline is None:
        return "no incident was opened"
    if run.timeline.attempts:
        return f"{run.timeline.attempts[0].action} was run anyway"
    not_remediated = "silenced" if run.silenced else "paused"
    if not any(not_remediated in reason for reason in _reasons(run)):
        return "no reason was recorded for not acting"
    verify = run.runbook.verify
    if verify and await run.scene.prometheus.query(fill_query(verify.query, run.bot)):
        return "the verify query holds: it recovered without automation"
    return ""


def _reasons(run: Following) -> list[str]:
    events = run.timeline.events if run.timeline else []
    waits = [event for event in events if event.kind == "decided_wait"]
    return [f"{event.reason}: {event.note}" for event in waits]


async def _remediate(run: Following) -> None:
    """Fix the fault, as on-call if needed, so that the next drill finds a healthy stack.

    Raises:
        StackError: the incident did not end.
    """
    await run.resume()
    if run.fault.needs_operator:
        if not await settled(run, until=clock.now() + RECOVERY_AFTER_PAUSE):
            raise StackError(f"{run.runbook.alert} did not end after it was fixed")
        return
    deadline = clock.monotonic() + RECOVERY_AFTER_PAUSE.total_seconds()
    while clock.monotonic() < deadline:
        await run.follow()
        if run.timeline and run.timeline.incident.closed_at:
            return
        await asyncio.sleep(TICK_SECONDS)
    raise StackError(f"{run.runbook.alert} was not remediated after automation resumed")
