"""From a notification to a closed incident, on a real database and over real HTTP."""

import asyncio
import math
from datetime import timedelta
from functools import partial

import pytest

from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Running, Start, give_little_time
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.clients import directory
from trading_ops.config.settings import Settings
from trading_ops.domain.approval import ApprovalState
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.domain.maintenance import Maintenance
from trading_ops.reconciler import loop
from trading_ops.store import approvals, holds, maintenance

on_both_databases = pytest.mark.usefixtures("database_url")
"""For what the store must get right; the other tests are about decisions, and run on SQLite."""


@on_both_databases
async def test_an_alert_is_remediated_verified_and_closed(start: Start, world: FakeWorld) -> None:
    """The whole way, with every stage in the timeline, in order."""
    async with start() as running:
        await running.break_it()
        incident = await eventually(running.closed)
        timeline = await running.timeline()
    assert incident["close_reason"] == "recovered"
    assert world.commands == ["reconnect_broker"]
    kinds = [event["kind"] for event in timeline["events"]]
    assert kinds == [
        "received",
        "opened",
        "decided_run",
        "started",
        "succeeded",
        "decided_verify",
        "verified",
        "decided_close",
        "closed",
    ]
    assert timeline["events"][0]["note"] == "webhook"
    assert [attempt["state"] for attempt in timeline["attempts"]] == ["verified"]


async def test_a_webhook_that_never_came_is_caught_by_the_poll(
    start: Start, world: FakeWorld
) -> None:
    """What fires is found by asking."""
    async with start(poll_interval_seconds=0.3) as running:
        world.firing = True
        await eventually(running.closed)
        timeline = await running.timeline()
    assert timeline["events"][0]["note"] == "poll"
    assert world.commands == ["reconnect_broker"]


@on_both_databases
async def test_duplicates_are_one_incident_and_one_attempt(start: Start, world: FakeWorld) -> None:
    """Alertmanager delivers at least once, and in a cluster often twice."""
    async with start() as running:
        world.firing = True
        alert = world.alert()
        statuses = await asyncio.gather(*(running.notify(alert, alert) for _ in range(5)))
        await eventually(running.closed)
        found = (await running.call("GET", "/api/v1/incidents"))["incidents"]
    assert set(statuses) == {200}
    assert len(found) == 1
    assert world.commands == ["reconnect_broker"]


@on_both_databases
async def test_a_pause_stops_everything_and_says_why(start: Start, world: FakeWorld) -> None:
    """Nothing is done while automation is paused; the timeline has owner and reason."""
    async with start() as running:
        order = {"owner": "ada", "reason": "upgrade", "seconds": 60}
        await running.call("POST", "/api/v1/pause", json=order)
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "paused"))
        assert world.commands == []
        assert await running.metric("trading_ops_automation_paused") == 1
        notes = [event["note"] for event in (await running.timeline())["events"]]
        assert any(
            "would have run reconnect_broker" in note and "ada (token local): upgrade" in note
            for note in notes
        )
        await running.call("DELETE", "/api/v1/pause?owner=ada")
        await eventually(running.closed)
    assert world.commands == ["reconnect_broker"]


@on_both_databases
async def test_ending_one_pause_leaves_the_others(start: Start, world: FakeWorld) -> None:
    """A drill that ends does not release what an operator has ordered meanwhile."""
    async with start() as running:
        order = {"owner": "drill", "reason": "practice", "seconds": 60}
        drill = (await running.call("POST", "/api/v1/pause", json=order))["id"]
        order = {"owner": "ada", "reason": "trouble", "seconds": 60}
        await running.call("POST", "/api/v1/pause", json=order)
        left = await running.call("DELETE", f"/api/v1/pause?owner=drill&id={drill}")
        assert (left["ended"], left["pause"]["owner"]) == (1, "ada (token local)")
        assert await running.metric("trading_ops_automation_paused") == 1
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "paused"))
    assert world.commands == []


async def test_an_end_that_was_not_one_is_forgotten(start: Start, world: FakeWorld) -> None:
    """Resolved, then seen firing again: an absence needs a new confirmation."""
    order = {"owner": "ada", "reason": "why", "seconds": 60}
    async with start() as running:
        await running.call("POST", "/api/v1/pause", json=order)
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "paused"))
        ended = world.alert() | {"status": "resolved", "endsAt": clock.now().isoformat()}
        assert await running.notify(ended) == 200

        async def fired_again() -> bool:
            events = (await running.timeline())["events"]
            return [event["kind"] for event in events][-2:] == ["resolved", "fired_again"]

        await eventually(fired_again)
        timeline = await running.timeline()
    assert timeline["incident"]["resolved_at"] is None
    assert timeline["incident"]["closed_at"] is None


async def test_observe_only_decides_and_does_nothing(start: Start, world: FakeWorld) -> None:
    """A new installation can watch first."""
    async with start(observe_only=True) as running:
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "observe_only"))
    assert world.commands == []


async def test_silenced_means_suppression(start: Start, world: FakeWorld) -> None:
    """An operator's silence in Alertmanager is respected, and recorded."""
    world.silenced = True
    async with start(poll_interval_seconds=1) as running:
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "silenced"))
        assert world.commands == []
        world.silenced = False
        await eventually(running.closed)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [("blocking", "cause_elsewhere"), ("prometheus_down", "source_unknown")],
)
async def test_nothing_is_done_until_the_condition_ends(
    start: Start, world: FakeWorld, condition: str, reason: str
) -> None:
    """An `unless` alert that fires; and no answer, which means neither firing nor resolved."""
    setattr(world, condition, True)
    async with start() as running:
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", reason))
        assert world.commands == []
        setattr(world, condition, False)
        await eventually(running.closed)


async def test_an_empty_answer_is_not_resolved(start: Start, world: FakeWorld) -> None:
    """Without the Watchdog an empty list of alerts means nothing."""
    world.fixed_by = frozenset()
    async with start() as running:
        await running.break_it()
        await eventually(lambda: bool(world.commands))
        world.firing, world.watchdog = False, False
        await eventually(lambda: running.has_event("decided_wait", "source_unknown"))
        assert not await running.closed()
        world.watchdog = True
        await eventually(running.closed)


async def test_a_step_that_does_not_help_is_followed_by_the_next(
    start: Start, world: FakeWorld, settings: Settings
) -> None:
    """Done is not recovered: only the verify query counts."""
    give_little_time(settings, "reconnect_broker")
    world.fixed_by = frozenset({"restart_bot"})
    async with start() as running:
        await running.break_it()
        await eventually(running.closed)
        timeline = await running.timeline()
    assert world.commands == ["reconnect_broker", "restart_bot"]
    assert [attempt["state"] for attempt in timeline["attempts"]] == ["unverified", "verified"]
    (logged,) = (event for event in timeline["events"] if event["kind"] == "last_lines")
    assert logged["attempt_id"] == timeline["attempts"][1]["id"]
    assert logged["note"].endswith("\nits last line")
    assert "hunter2" not in logged["note"]


async def test_when_nothing_helps_a_person_is_called(start: Start, world: FakeWorld) -> None:
    """The last step failed too: a metric on which a rule pages, and no further attempt."""
    world.command_fails = True
    world.labels |= {"symbol": "BTC"}
    name = (
        'trading_ops_incident_escalated{alertname="BotSick",bot="alpha",subject="BTC",'
        'target="alpha",venue="paper"}'
    )
    async with start(poll_interval_seconds=1) as running:
        await running.break_it()
        await eventually(lambda: running.has_event("escalated", "steps_exhausted"))
        await eventually(lambda: running.has_event("decided_wait", "escalated"))
        assert await running.metric(name) == 1
        assert world.commands == ["reconnect_broker", "restart_bot"]
        world.firing = False
        await eventually(running.closed)
        await eventually(lambda: _gone(running, name))
    assert world.commands == ["reconnect_broker", "restart_bot"]


async def _gone(running: Running, name: str) -> bool:
    return math.isnan(await running.metric(name))


async def test_a_healthy_bot_is_not_restarted(start: Start, world: FakeWorld) -> None:
    """A late scrape must never restart a healthy bot: it is asked itself first."""
    world.labels["alertname"] = "BotDown"
    world.bot_status = "ok"
    async with start() as running:
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "target_healthy"))
        assert world.commands == []
        world.bot_status = "failing"
        await eventually(running.closed)
    assert world.commands == ["restart_bot"]


async def test_nothing_one_shot_is_done_while_another_process_answers_for_the_bot(
    start: Start, world: FakeWorld
) -> None:
    """The service manager knows which process the bot is; on-call is notified of the other one."""
    world.labels["alertname"] = "BotDown"
    own = world.process
    world.process = {"state": "ready", "incarnation": "9:9", "pid": 9}
    async with start() as running:
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "target_impostor"))
        assert world.commands == []
        assert await running.metric("trading_ops_impostors_refused_total") > 0
        world.process = own
        await eventually(running.closed)
    assert world.commands == ["restart_bot"]


@on_both_databases
async def test_a_bot_that_does_not_answer_holds_up_no_other_incident(
    start: Start, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A precondition probe waits for its target beside the loop."""
    monkeypatch.setattr(directory, "WITHIN", timedelta(minutes=10))
    world.labels["alertname"] = "BotDown"
    world.mute = asyncio.Event()
    async with start() as running:
        await running.break_it()
        await eventually(lambda: world.asked)
        labels = {"alertname": "PageOnly", "bot": "alpha", "page_after": "0s"}
        assert await running.notify(world.alert() | {"labels": labels, "fingerprint": ""}) == 200

        async def is_decided() -> bool:
            found = await running.incident()
            if found is None or found["alert"] != "PageOnly":
                return False
            return any(
                event["kind"].startswith("decided")
                for event in (await running.timeline())["events"]
            )

        await eventually(is_decided)
        assert world.commands == []
        world.mute.set()
        await eventually(lambda: world.commands == ["restart_bot"])


async def test_a_notification_cuts_a_rest_short(
    start: Start, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a storm the sources are left alone, but not by an alert of a registered target."""
    monkeypatch.setattr(loop, "REST_PER_ALERT_SECONDS", 3600.0)
    monkeypatch.setattr(loop, "LONGEST_REST_SECONDS", 3600.0)
    async with start() as running:
        await running.break_it()
        await eventually(lambda: world.commands == ["reconnect_broker"])


async def test_alerts_that_only_a_notification_reports_are_no_storm(
    start: Start, world: FakeWorld
) -> None:
    """Anyone who can post to Alertmanager must not be able to switch remediation off."""
    async with start() as running:
        for name in ("paper", "reconciler", "supervisor", "prometheus", "alertmanager"):
            labels = world.labels | {"bot": name}
            forged = world.alert() | {"labels": labels, "fingerprint": ""}
            assert await running.notify(forged) == 200
        await running.break_it()
        await eventually(lambda: world.commands == ["reconnect_broker"])


async def test_two_old_answers_close_nothing(start: Start, world: FakeWorld) -> None:
    """A cache before both sources hides an alert that a notification has just reported."""
    async with start(poll_interval_seconds=0.2) as running:
        assert await running.notify(world.alert()) == 200
        await eventually(lambda: running.has_event("decided_wait", "source_unknown"))
        before = running.loop.snapshot
        await eventually(lambda: running.loop.snapshot is not before)
        assert not await running.closed()
        world.firing = True
        await eventually(running.closed)
    assert world.commands == ["reconnect_broker"]


@on_both_databases
async def test_hostile_labels_act_on_nothing(start: Start, world: FakeWorld) -> None:
    """A label names a registered target exactly, or nothing is done."""
    world.labels["bot"] = "../alpha'; DROP TABLE incidents; --"
    async with start() as running:
        await running.break_it()
        await eventually(lambda: running.has_event("escalated", "target_unknown"))
    assert world.commands == []


async def test_an_alert_for_people_is_left_to_them(start: Start, world: FakeWorld) -> None:
    """No steps: the incident is kept and nothing is done."""
    world.labels["alertname"] = "PageOnly"
    async with start(poll_interval_seconds=0.5) as running:
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "page_only"))
        world.firing = False
        await eventually(running.closed)
    assert world.commands == []


@on_both_databases
async def test_the_watchdog_is_remembered_over_a_restart(start: Start, world: FakeWorld) -> None:
    """It opens no incident, and a restart does not look as if it had stopped coming."""
    name = "trading_ops_watchdog_last_seen_timestamp_seconds"
    watchdog = world.alert() | {"labels": {"alertname": "Watchdog", "severity": "none"}}
    async with start() as running:
        assert await running.metric(name) == 0
        await running.notify(watchdog)
        seen = await eventually(lambda: running.metric(name))
        assert (await running.call("GET", "/api/v1/incidents"))["incidents"] == []
    async with start() as running:
        assert await running.metric(name) == seen


async def test_an_alert_without_runbook_goes_to_a_person(start: Start, world: FakeWorld) -> None:
    """No one wrote down what to do, so someone must think."""
    world.labels["alertname"] = "NeverHeardOf"
    async with start() as running:
        await running.break_it()
        await eventually(lambda: running.has_event("escalated", "no_runbook"))


@on_both_databases
async def test_budgets_survive_and_can_be_reset(
    start: Start, world: FakeWorld, settings: Settings
) -> None:
    """Two attempts an hour, also over incidents and restarts; an operator may start them again."""
    book = settings.runbooks / "BotSick.md"
    book.write_text(book.read_text().replace("attempts: 4", "attempts: 2"))
    for _ in range(2):
        async with start() as running:
            await _breaks_and_recovers(running, world)
    async with start() as running:
        await running.break_it()
        await eventually(lambda: running.has_event("escalated", "attempts_exhausted"))
        assert len(world.commands) == 2
        world.firing = False
        await _reset_budget(running)
        await eventually(running.closed)
        await _breaks_and_recovers(running, world)
    assert len(world.commands) == 3


@on_both_databases
async def test_what_flaps_is_one_incident(start: Start, world: FakeWorld) -> None:
    """The third time it stays open, continues with the next step, and is escalated once."""
    async with start() as running:
        for _ in range(2):
            await _breaks_and_recovers(running, world)
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "flapping"))
        await eventually(lambda: running.has_event("quiet", ""))
        world.firing = True
        await eventually(lambda: running.has_event("came_back", ""))
        found = (await running.call("GET", "/api/v1/incidents"))["incidents"]
        assert len(found) == 3
        assert found[0]["closed_at"] is None
        world.firing = False
        await _reset_budget(running)
        await eventually(running.closed)
    assert world.commands == ["reconnect_broker"] * 3


@on_both_databases
async def test_an_approval_lets_a_step_run_once(
    start: Start, world: FakeWorld, settings: Settings
) -> None:
    """It is asked for, waited for, and spent with the attempt."""
    book = settings.runbooks / "BotSick.md"
    step = "{action: reconnect_broker, "
    book.write_text(book.read_text().replace(step, step + "approval: required, "))
    async with start() as running:
        await running.break_it()
        await eventually(lambda: running.has_event("approval_requested", ""))
        writer, reader = running.loop.incident_reconciler.writer, running.loop.reader
        (asked,) = await reader.read(approvals.search)
        assert (asked.action, asked.target) == ("reconnect_broker", "alpha")
        assert world.commands == []
        approve = partial(approvals.approve, key=asked.id, owner="ada", now=clock.now())
        await writer.run(approve)
        await eventually(running.closed)
        (used,) = await reader.read(approvals.search)
    assert used.state is ApprovalState.USED
    assert world.commands == ["reconnect_broker"]


async def test_a_denied_approval_goes_to_a_person(
    start: Start, world: FakeWorld, settings: Settings
) -> None:
    """A no is a no, and the incident is theirs who said it."""
    book = settings.runbooks / "BotSick.md"
    step = "{action: reconnect_broker, "
    book.write_text(book.read_text().replace(step, step + "approval: required, "))
    async with start() as running:
        await running.break_it()
        await eventually(lambda: running.has_event("approval_requested", ""))
        writer, reader = running.loop.incident_reconciler.writer, running.loop.reader
        (asked,) = await reader.read(approvals.search)
        await writer.run(partial(approvals.deny, key=asked.id, owner="ada", now=clock.now()))
        await eventually(lambda: running.has_event("escalated", "approval_denied"))
    assert world.commands == []


@on_both_databases
async def test_maintenance_holds_recovery_back(start: Start, world: FakeWorld) -> None:
    """Operators work on it: automation waits until they have finished."""
    async with start() as running:
        writer, now = running.loop.incident_reconciler.writer, clock.now()
        window = Maintenance(
            target="alpha",
            owner="ada",
            reason="new disk",
            begins_at=now,
            ends_at=now + timedelta(hours=1),
        )
        stored = await writer.run(partial(maintenance.begin, window=window, now=now))
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "maintenance"))
        assert world.commands == []
        await writer.run(partial(maintenance.end, key=stored.id, owner="ada", now=clock.now()))
        await eventually(running.closed)
    assert world.commands == ["reconnect_broker"]


async def test_a_halted_target_is_left_as_it_is(start: Start, world: FakeWorld) -> None:
    """Only an operator's halt; the reconciler's own halt does not suppress remediation."""
    async with start() as running:
        writer = running.loop.incident_reconciler.writer

        async def place(owner: str) -> None:
            hold = Hold(
                id=owner,
                target="alpha",
                state=HeldState.HALTED,
                owner=owner,
                reason="looking into it",
                at=clock.now(),
            )
            await writer.run(partial(holds.place, hold=hold, now=clock.now()))

        await place("reconciler")
        await _breaks_and_recovers(running, world)
        await place("ada")
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "target_halted"))
        assert len(world.commands) == 1
        release = partial(holds.release, ids=["ada"], owner="ada", reason="done", now=clock.now())
        await writer.run(release)
        await eventually(running.closed)
    assert len(world.commands) == 2


async def _reset_budget(running: Running) -> None:
    order = {"owner": "ada", "reason": "test"}
    await running.call("POST", "/api/v1/targets/alpha/reset-budget", json=order)


async def _breaks_and_recovers(running: Running, world: FakeWorld) -> None:
    count = len(world.commands)
    await running.break_it()
    await eventually(partial(_more_than, world, count))
    await eventually(running.closed)


def _more_than(world: FakeWorld, count: int) -> bool:
    return len(world.commands) > count
