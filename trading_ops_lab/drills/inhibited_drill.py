"""A drill of a fault during an outage of its dependency: suppressed until the outage ends.

Restarting a bot while its venue is down only uses up attempts. So the bot must stay down during the
venue's outage, although automation is on, and must be restarted once the venue is back.
"""

import asyncio
from datetime import datetime

from trading_ops import clock
from trading_ops.domain.decision import Reason
from trading_ops.domain.runbook import Runbook
from trading_ops.errors import StackError
from trading_ops_lab.drills.drill_run import Following
from trading_ops_lab.drills.page_only_drill import forbidden_actions
from trading_ops_lab.drills.preflight import TICK_SECONDS
from trading_ops_lab.faults.catalogue import FAULTS


def cause_of(runbook: Runbook, cause: Runbook | None) -> Runbook:
    """Return the runbook of the suppressing alert, if it can be drilled.

    Raises:
        StackError: the first alert does not wait for the second, or the second has no drill.
    """
    if cause is None or cause.alert not in runbook.unless or cause.drill is None:
        known = ", ".join(runbook.unless) or "nothing"
        why = "has no drill" if cause and cause.alert in runbook.unless else "does not suppress it"
        raise StackError(f"the cause {why}; {runbook.alert} is suppressed by: {known}")
    return cause


async def must_wait(run: Following, cause: Runbook) -> str:
    """Inject the fault while its cause fires, check that no action runs, and remove the cause.

    Args:
        run: the drill, whose fault is not yet in force.
        cause: the runbook of the alert that suppresses remediation.

    Returns:
        What went wrong; empty: nothing.
    """
    assert cause.drill is not None  # noqa: S101 - `cause_of` has looked
    fault = FAULTS[cause.drill.fault]
    begun = clock.now()
    key = await fault.inject(run.scene, run.bot)
    try:
        while not await _fires(run, cause, since=begun):
            if clock.now() > begun + cause.drill.recover_within:
                return f"{cause.alert} did not fire"
            await asyncio.sleep(TICK_SECONDS)
        run.injected = clock.now()
        run.key = await run.fault.inject(run.scene, run.bot)
        problem = await _left_alone(run, cause)
    finally:
        await fault.clean_up(run.scene, run.bot, key)
    run.note("removed", f"fault removed: {fault.describe}")
    return problem


async def _left_alone(run: Following, cause: Runbook) -> str:
    """Follow it for as long as its remediation would normally take."""
    deadline = run.injected + run.drill.recover_within
    while clock.now() < deadline:
        await run.follow()
        if run.timeline and run.timeline.attempts:
            return f"{run.timeline.attempts[0].action} was run during {cause.alert}"
        await asyncio.sleep(TICK_SECONDS)
    if run.timeline is None:
        return "no incident was opened"
    if done := await forbidden_actions(run):
        return done
    events = run.timeline.events
    kept = [
        event
        for event in events
        if event.reason == Reason.CAUSE_ELSEWHERE and cause.alert in event.note
    ]
    if not kept:
        return f"no record that {cause.alert} suppresses it"
    run.note("waited", f"{kept[0].reason}: {kept[0].note}", kept[0].at)
    if await run.fault.evidence(run.scene, run.bot, run.injected.timestamp()):
        return f"there is evidence of a remediation during {cause.alert}"
    return ""


async def _fires(run: Following, cause: Runbook, *, since: datetime) -> bool:
    about = {None, run.bot.name, run.bot.venue}
    view = await run.scene.prometheus.view()
    return any(
        alert.name == cause.alert
        and alert.firing
        and alert.active_at >= since
        and alert.labels.get(cause.target_label) in about
        for alert in view.alerts.values()
    )
