"""The recovery itself is broken: webhooks lost, the reconciler stopped, killed in an attempt."""

import os
import signal

import psutil
import pytest

from tests.e2e.conftest import Stack
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.clients.reconciler import IncidentView, StoryView
from trading_ops.errors import ClientError
from trading_ops.stack.drill import wait_until_calm
from trading_ops.stack.faults import FAULTS
from trading_ops.stack.scene import Scene


@pytest.fixture(autouse=True)
async def _calm(scene: Scene) -> None:
    """Begin with a healthy bot whose budgets are fresh."""
    bot = scene.bot(None)
    await wait_until_calm(scene, bot)
    await scene.reconciler.forgive(bot.name, owner="test", reason="a fresh start")


async def newest(scene: Scene, alert: str, since: float) -> IncidentView | None:
    try:
        found = await scene.reconciler.incidents(alertname=alert, since=str(since))
    except ClientError:
        return None
    return found[0] if found else None


async def closed_story(scene: Scene, alert: str, since: float) -> StoryView | None:
    incident = await newest(scene, alert, since)
    if incident is None or incident.closed_at is None:
        return None
    return await scene.reconciler.story(incident.id)


async def test_a_refused_webhook_is_made_good_by_the_poll(stack: Stack, scene: Scene) -> None:
    """Alertmanager's token is wrong, so that its 401 loses every notification: still healed."""
    token = stack.settings.var / "alertmanager" / "secrets" / "webhook_token"
    right = token.read_text()
    since = clock.timestamp()
    try:
        token.write_text("wrong")
        await FAULTS["venue_disconnect"].inject(scene, scene.bot(None))
        story = await eventually(
            lambda: closed_story(scene, "TradingBotBrokerDisconnected", since), within=60
        )
    finally:
        token.write_text(right)
    assert story.incident.close_reason == "recovered"
    assert story.events[0].note == "poll"


async def test_the_reconciler_was_away_while_the_alert_fired(stack: Stack, scene: Scene) -> None:
    """Stopped before the fault, started when the alert has long been firing: still healed."""
    since = clock.timestamp()
    stack.supervisor.stop("reconciler")
    try:
        await FAULTS["venue_disconnect"].inject(scene, scene.bot(None))

        async def fires() -> bool:
            alerts = (await scene.prometheus.view()).alerts.values()
            return any(one.firing and one.name == "TradingBotBrokerDisconnected" for one in alerts)

        await eventually(fires, within=30)
    finally:
        stack.supervisor.start("reconciler")
    story = await eventually(
        lambda: closed_story(scene, "TradingBotBrokerDisconnected", since), within=60
    )
    assert story.incident.close_reason == "recovered"


async def test_the_reconciler_is_killed_in_the_middle_of_an_attempt(
    stack: Stack, scene: Scene
) -> None:
    """SIGKILL right after `started`: the bot is restarted once, and the incident is ended."""
    since = clock.timestamp()
    bot = scene.bot(None)
    await FAULTS["bot_kill"].inject(scene, bot)

    async def attempt_started() -> bool:
        incident = await newest(scene, "TradingBotDown", since)
        if incident is None:
            return False
        story = await scene.reconciler.story(incident.id)
        return story is not None and bool(story.attempts)

    await eventually(attempt_started, within=40)
    os.kill(stack.processes()["reconciler"]["pid"], signal.SIGKILL)
    story = await eventually(lambda: closed_story(scene, "TradingBotDown", since), within=90)
    assert story.incident.close_reason == "recovered"
    done = [one for one in story.attempts if one.state == "verified"]
    assert len(done) == 1
    # The kernel and the supervisor agree: one new bot since the fault, and it is the one that runs.
    process = stack.processes()["bot-alpha"]
    assert psutil.Process(process["pid"]).create_time() > since
    log = (stack.settings.logs / "supervisor.log").read_text().splitlines()
    starts = [line for line in log if '"process_started"' in line and '"bot-alpha"' in line]
    assert starts[-1].count(str(process["pid"]))


async def test_an_order_is_covered_by_the_dead_man_switch(stack: Stack, scene: Scene) -> None:
    """Automation paused and the bot dead: the venue itself cancels what the bot left open."""
    bot = scene.bot(None)
    faults = scene.faults(bot)
    await scene.reconciler.pause(owner="test", reason="the bot stays dead", seconds=120)
    since = clock.timestamp()
    try:
        await FAULTS["bot_kill"].inject(scene, bot)

        async def fired() -> bool:
            journal = await faults.journal(since=since)
            return any(entry.event == "dead_man_fired" for entry in journal)

        await eventually(fired, within=40)
    finally:
        await scene.reconciler.resume(owner="test")
    await wait_until_calm(scene, bot)
