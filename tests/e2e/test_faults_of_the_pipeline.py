"""The recovery itself is broken: webhooks lost, the reconciler stopped, killed in an attempt."""

import contextlib
import json
import os
import signal
from typing import Any

import psutil
import pytest

from tests.stack import Stack
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.clients.reconciler_views import IncidentView, TimelineView
from trading_ops.errors import ClientError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.preflight import wait_until_calm
from trading_ops_lab.faults.catalogue import FAULTS

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
async def _calm(scene: Scene) -> None:
    """Start with a healthy bot whose budgets are fresh."""
    bot = scene.bot(None)
    await wait_until_calm(scene, bot)
    await scene.reconciler.reset_budget(bot.name, owner="test", reason="a fresh start")


async def newest(scene: Scene, alert: str, since: float) -> IncidentView | None:
    try:
        found = await scene.reconciler.incidents(alertname=alert, since=str(since))
    except ClientError:
        return None
    return found[0] if found else None


async def closed_timeline(scene: Scene, alert: str, since: float) -> TimelineView | None:
    incident = await newest(scene, alert, since)
    if incident is None or incident.closed_at is None:
        return None
    return await scene.reconciler.timeline(incident.id)


async def attempt_started(scene: Scene, since: float) -> bool:
    """Whether the incident has an attempt that is under way."""
    incident = await newest(scene, "TradingBotDown", since)
    timeline = await scene.reconciler.timeline(incident.id) if incident else None
    return timeline is not None and [attempt.state for attempt in timeline.attempts] == ["started"]


class SupervisorLog:
    """What the supervisor logs from now on."""

    def __init__(self, stack: Stack) -> None:
        self._path = stack.settings.logs / "supervisor.log"
        self._begin = self._path.stat().st_size

    def since(self, event: str, unit: str) -> list[dict[str, Any]]:
        """Return the events of this kind about a unit."""
        with self._path.open("rb") as file:
            file.seek(self._begin)
            complete = file.read().rpartition(b"\n")[0]  # its last line may still be half written
        events = [json.loads(line) for line in complete.splitlines() if line.startswith(b"{")]
        return [
            logged
            for logged in events
            if (logged.get("event"), logged.get("unit")) == (event, unit)
        ]


async def test_a_refused_webhook_is_made_good_by_the_poll(stack: Stack, scene: Scene) -> None:
    """Alertmanager's token is wrong, so that its 401 loses every notification: still recovered."""
    token = stack.settings.var / "alertmanager" / "secrets" / "webhook_token"
    right = token.readlink()  # the reconciler's own file, which it reads again when it changes
    since = clock.timestamp()
    try:
        token.unlink()
        token.write_text("wrong")
        await FAULTS["venue_disconnect"].inject(scene, scene.bot(None))
        timeline = await eventually(
            lambda: closed_timeline(scene, "TradingBotBrokerDisconnected", since), within=60
        )
    finally:
        token.unlink()
        token.symlink_to(right)
    assert timeline.incident.close_reason == "recovered"
    assert [event.note for event in timeline.events if event.kind == "received"] == ["poll"]


async def test_the_reconciler_was_away_while_the_alert_fired(stack: Stack, scene: Scene) -> None:
    """Stopped before the fault, started when the alert has long been firing: still recovered."""
    since = clock.timestamp()
    stack.supervisor.stop("reconciler")
    try:
        await FAULTS["venue_disconnect"].inject(scene, scene.bot(None))

        async def fires() -> bool:
            alerts = (await scene.prometheus.view()).alerts.values()
            return any(
                alert.firing and alert.name == "TradingBotBrokerDisconnected" for alert in alerts
            )

        await eventually(fires, within=30)
    finally:
        stack.supervisor.start("reconciler")
    timeline = await eventually(
        lambda: closed_timeline(scene, "TradingBotBrokerDisconnected", since), within=60
    )
    assert timeline.incident.close_reason == "recovered"


async def test_the_reconciler_is_killed_in_the_middle_of_an_attempt(
    stack: Stack, scene: Scene
) -> None:
    """SIGKILL while the supervisor still waits for a frozen bot: one restart, and it is verified.

    A frozen bot cannot handle SIGTERM, so the ordered restart lasts until the supervisor's SIGKILL.
    The reconciler is killed before that too: what it has never heard, its watch leaves to runbooks.
    """
    since = clock.timestamp()
    before = stack.processes()["bot-alpha"]
    bot = psutil.Process(before["pid"])
    log = SupervisorLog(stack)
    bot.suspend()
    deaf = stack.processes()["reconciler"]
    os.kill(deaf["pid"], signal.SIGKILL)

    def another_is_ready() -> bool:
        now = stack.processes()["reconciler"]
        return bool(now["incarnation"] != deaf["incarnation"] and now["state"] == "ready")

    try:
        await eventually(another_is_ready, within=30)
        await eventually(lambda: attempt_started(scene, since), within=60)
        # It is under way when the order has arrived; the frozen bot lives for seconds yet.
        await eventually(lambda: log.since("restart_requested", "bot-alpha"), within=10)
        os.kill(stack.processes()["reconciler"]["pid"], signal.SIGKILL)
        assert bot.is_running(), "the attempt was over before the reconciler was killed"
        assert not log.since("process_started", "bot-alpha")
        timeline = await eventually(
            lambda: closed_timeline(scene, "TradingBotDown", since), within=120
        )
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            bot.resume()
    assert timeline.incident.close_reason == "recovered"
    kinds = [event.kind for event in timeline.events]
    for kind in ("started", "unknown", "verified"):
        assert kinds.count(kind) == 1, kinds
    assert [attempt.state for attempt in timeline.attempts] == ["verified"]
    # The supervisor agrees: one order, one new bot, and that is the one that runs.
    after = stack.processes()["bot-alpha"]
    assert after["restarts"] == before["restarts"] + 1
    assert len(log.since("restart_requested", "bot-alpha")) == 1
    started = log.since("process_started", "bot-alpha")
    assert [start["incarnation"] for start in started] == [after["incarnation"]]


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
