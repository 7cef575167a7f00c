"""Killed in the middle of an attempt: it is brought to its end, and never done twice."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Start, give_little_time
from tests.waiting import eventually
from trading_ops.config.settings import Settings
from trading_ops.store import Connection

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("database_url")]


@dataclass
class Hung:
    """A world whose restarts are carried out but not answered."""

    world: FakeWorld

    def __post_init__(self) -> None:
        self.world.labels["alertname"] = "BotDown"
        self.world.hang = asyncio.Event()
        self.reached = asyncio.Event()
        self.world.sees_command = lambda _name: self.reached.set()

    def let_go(self) -> None:
        """Answer from now on."""
        assert self.world.hang is not None
        self.world.hang.set()
        self.world.hang = None


async def test_what_was_done_before_the_crash_is_not_done_again(
    start: Start, world: FakeWorld
) -> None:
    """The target remembers the attempt: its outcome is taken over and verified."""
    hung = Hung(world)
    async with start(killed=True) as running:
        await running.break_it()
        await asyncio.wait_for(hung.reached.wait(), 60)
    hung.let_go()
    async with start() as running:
        await eventually(running.closed)
        timeline = await running.timeline()
    assert world.commands == ["restart_bot"]
    assert [attempt["state"] for attempt in timeline["attempts"]] == ["verified"]
    kinds = [event["kind"] for event in timeline["events"]]
    assert kinds.index("unknown") < kinds.index("succeeded") < kinds.index("verified")


async def test_what_never_arrived_is_tried_again_behind_a_raised_fence(
    start: Start, world: FakeWorld
) -> None:
    """The old order is refused if it comes late; the step is done once, by a new attempt."""
    hung = Hung(world)
    async with start(killed=True) as running:
        await running.break_it()
        await asyncio.wait_for(hung.reached.wait(), 60)
        first_fence = world.fence
    # As if the order had been lost on its way.
    world.commands.clear()
    world.answers.clear()
    world.firing = True
    hung.let_go()
    async with start() as running:
        await eventually(running.closed)
        timeline = await running.timeline()
    assert world.commands == ["restart_bot"]
    assert world.fence > first_fence + 1
    states = [attempt["state"] for attempt in timeline["attempts"]]
    assert states == ["abandoned", "verified"]


async def test_an_unanswered_one_shot_is_probed_not_repeated(
    start: Start, world: FakeWorld, settings: Settings
) -> None:
    """No answer within the step's timeout: the outcome is unknown until the target tells."""
    give_little_time(settings, "restart_bot")
    hung = Hung(world)
    async with start() as running:
        await running.break_it()
        await eventually(lambda: running.has_event("unknown", ""))
        hung.let_go()
        await eventually(running.closed)
    assert world.commands == ["restart_bot"]


async def test_a_notification_stored_before_the_crash_is_not_lost(
    start: Start, world: FakeWorld
) -> None:
    """200 means stored: it is taken apart at the next start, whatever happened in between."""
    world.prometheus_down = True
    async with start(killed=True) as running:
        await running.break_it()
    world.prometheus_down = False
    async with start() as running:
        await eventually(running.closed)
        timeline = await running.timeline()
    assert timeline["events"][0]["note"] == "webhook"
    assert world.commands == ["reconnect_broker"]


async def test_an_outcome_that_could_not_be_stored_is_found_out(
    start: Start, world: FakeWorld
) -> None:
    """The database was away when the attempt ended: it is probed, and not done again."""
    hung = Hung(world)

    def rename(old: str, new: str) -> Callable[[Connection], object]:
        return lambda connection: connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")

    async with start() as running:
        await running.break_it()
        await asyncio.wait_for(hung.reached.wait(), 60)
        await running.loop.incident_reconciler.writer.run(rename("events", "away"))
        hung.let_go()
        await eventually(lambda: not running.loop.workers)
        await running.loop.incident_reconciler.writer.run(rename("away", "events"))
        await eventually(running.closed)
        timeline = await running.timeline()
    assert world.commands == ["restart_bot"]
    assert [attempt["state"] for attempt in timeline["attempts"]] == ["verified"]


async def test_a_verification_that_begins_late_is_fair(start: Start, world: FakeWorld) -> None:
    """Down for longer than `verify_within` after the fix: it is still recognized as one."""
    world.labels["alertname"] = "BotDown"

    def long_ago(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE attempts SET ended_at = ended_at - 3600000000")

    async with start(killed=True) as running:
        await running.break_it()
        await eventually(lambda: running.has_event("succeeded", ""))
        await running.loop.incident_reconciler.writer.run(long_ago)
    async with start() as running:
        incident = await eventually(running.closed)
    assert incident["close_reason"] == "recovered"


async def test_a_database_younger_than_its_executors_is_not_locked_out(
    start: Start, world: FakeWorld
) -> None:
    """New, or restored from a backup: the bot remembers higher fences; ours goes above them."""
    world.fence = 50
    async with start() as running:
        await running.break_it()
        await eventually(running.closed)
        timeline = await running.timeline()
    assert world.commands == ["reconnect_broker"]
    assert world.fence > 50
    assert [attempt["state"] for attempt in timeline["attempts"]] == ["abandoned", "verified"]
    assert "fence_adopted" in [event["kind"] for event in timeline["events"]]


async def test_an_attempt_of_an_action_that_is_gone_is_ended(
    start: Start, world: FakeWorld
) -> None:
    """Killed in an attempt, and the release that starts has renamed or removed the action."""
    hung = Hung(world)

    def renamed(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE attempts SET action = 'restart_process'")

    async with start(killed=True) as running:
        await running.break_it()
        await asyncio.wait_for(hung.reached.wait(), 60)
        await running.loop.incident_reconciler.writer.run(renamed)
    hung.let_go()
    async with start() as running:
        await eventually(lambda: running.has_event("failed", ""))
        (attempt, *_) = (await running.timeline())["attempts"]
    assert attempt["state"] == "failed"
    assert "restart_process" in attempt["detail"]
