"""Before a drill: the bot must be healthy, nothing open, and automation running."""

import asyncio
from collections.abc import Callable, Collection
from datetime import timedelta

from trading_ops import clock
from trading_ops.domain.target import Target
from trading_ops.errors import ClientError, StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.timeline import Mark

OWNER = "drill"
"""Owner recorded for the drills' pauses and budget resets."""

TICK_SECONDS = 0.1
CALM_WITHIN = timedelta(seconds=60)

Say = Callable[[Mark], None]


async def wait_until_calm(
    scene: Scene,
    bot: Target,
    say: Say = lambda _mark: None,
    *,
    alerts: Collection[str] = (),
    within: timedelta = CALM_WITHIN,
) -> None:
    """Wait until the bot is healthy and no incident is open; otherwise a drill proves nothing.

    Open page-only incidents (for example a warning of a slow machine) do not count, unless they are
    of an alert of the drills or of one that suppresses these.

    Args:
        scene: the running stack.
        bot: the bot to break.
        say: called with what it waits for.
        alerts: alerts of the drills to run.
        within: timeout.

    Raises:
        StackError: timeout, or automation is paused.
    """
    deadline = clock.monotonic() + within.total_seconds()
    reported = False
    while True:
        await _refuse_while_paused(scene)
        trouble = await _trouble(scene, bot, alerts)
        if trouble is None:
            return
        if not reported:
            reported = True
            say(Mark(stage="waiting", seconds=0.0, note=trouble))
        if clock.monotonic() > deadline:
            raise StackError(
                f"cannot start a drill: {trouble}. See `trading-ops status` and "
                "`trading-ops incidents`"
            )
        await asyncio.sleep(TICK_SECONDS)


async def _refuse_while_paused(scene: Scene) -> None:
    """An operator's pause does not end soon; a pause left by a drill may."""
    try:
        pause = (await scene.reconciler.status()).pause
    except ClientError:
        return  # retried
    if pause is not None and pause.owner != OWNER:
        raise StackError(
            f"cannot start a drill: automation is paused by {pause.owner}: {pause.reason}. Resume "
            "it with `trading-ops automation resume`"
        )


async def _trouble(scene: Scene, bot: Target, alerts: Collection[str]) -> str | None:
    try:
        status = await scene.reconciler.status()
        listed = await scene.reconciler.incidents(open="true")
        health = await scene.directory.bot(bot).health()
        up = await scene.prometheus.query(f'up{{job="trading-bot",bot="{bot.name}"}} == 1')
    except ClientError as error:
        return str(error)
    if status.pause is not None:
        return f"automation is paused by {status.pause.owner}: {status.pause.reason}"
    drilled = [scene.runbooks[alert] for alert in alerts if alert in scene.runbooks]
    in_the_way = {*alerts, *(alertname for book in drilled for alertname in book.unless)}
    for incident in listed:
        book = scene.runbooks.get(incident.alert)
        mine = incident.target == bot.name and (book is None or bool(book.steps))
        if mine or incident.alert in in_the_way:
            return f"incident {incident.alert} of {incident.target or 'this stack'} is open"
    if health.status != "ok":
        return f"{bot.name} reports that it is {health.status}"
    return None if up else f"Prometheus does not see {bot.name} up"
