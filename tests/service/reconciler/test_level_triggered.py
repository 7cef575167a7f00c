"""Level, not edge: what no webhook tells is seen all the same, and what is muted is left alone."""

from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import WEBHOOK, Running, Start
from tests.waiting import eventually

OFTEN = 0.5


async def test_what_was_cut_off_a_notification_is_found(start: Start, world: FakeWorld) -> None:
    """`max_alerts` leaves a count of the rest only: the sources are asked for it at once."""
    async with start() as running:
        world.firing = True
        body = {"version": "4", "status": "firing", "alerts": [], "truncatedAlerts": 1}
        headers = {"Authorization": "Bearer webhook"}
        async with running.client.post(WEBHOOK, json=body, headers=headers) as response:
            assert response.status == 200
        await eventually(running.closed)
        first = (await running.timeline())["events"][0]
    assert world.commands == ["reconnect_broker"]
    assert (first["kind"], first["note"]) == ("received", "poll")


async def test_inhibited_means_suppression(start: Start, world: FakeWorld) -> None:
    """An inhibited alert keeps firing: nothing is done until the inhibition ends."""
    world.inhibited = True
    async with start(poll_interval_seconds=OFTEN) as running:
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "inhibited"))
        assert world.commands == []
        world.inhibited = False
        await eventually(running.closed)
    assert world.commands == ["reconnect_broker"]


async def test_resolved_while_silenced_is_closed(start: Start, world: FakeWorld) -> None:
    """Alertmanager drops what is silenced, its end too: no webhook will ever tell of it."""
    world.silenced = True
    async with start(poll_interval_seconds=OFTEN) as running:
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "silenced"))
        world.firing = False
        closed = await eventually(running.closed)
    assert world.commands == []
    assert closed["close_reason"] == "resolved"


async def test_an_answer_that_is_lost_is_asked_for_again(start: Start, world: FakeWorld) -> None:
    """An idempotent step is repeated within its own time: one attempt, one effect."""
    world.drops = 2
    async with start() as running:
        await running.break_it()
        await eventually(running.closed)
        timeline = await running.timeline()
    assert world.drops == 0
    assert world.commands == ["reconnect_broker"]
    assert [attempt["state"] for attempt in timeline["attempts"]] == ["verified"]


async def test_a_clear_no_is_not_repeated(start: Start, world: FakeWorld) -> None:
    """What failed for good will fail again: the next step is due at once."""
    world.command_fails = True
    async with start() as running:
        await running.break_it()
        await eventually(lambda: _gave_up(running))
    assert world.commands == ["reconnect_broker", "restart_bot"]


async def _gave_up(running: Running) -> bool:
    return await running.has_event("decided_escalate", "steps_exhausted")
