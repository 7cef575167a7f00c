"""An operator orders an action of the catalogue, and the gates stand where they stand for steps."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.domain.approval import ApprovalState
from trading_ops.domain.attempt import Attempt, AttemptState
from trading_ops.domain.decision import Pause, Reason
from trading_ops.errors import RequestRefused
from trading_ops.reconciler.manual_actions import ActionOutcome
from trading_ops.store import approvals, attempts, events, maintenance


async def order(
    running: Running, action: str = "restart_bot", *, owner: str = "ada", target: str = "alpha"
) -> ActionOutcome:
    return await running.loop.manual_actions.execute(
        action, target, {}, owner=owner, reason="new config"
    )


async def ended(running: Running, outcome: ActionOutcome) -> Attempt:
    """Return the attempt once nothing runs any more."""
    assert outcome.attempt is not None, outcome.refusal

    async def look() -> Attempt | None:
        found = await running.loop.reader.read(partial(attempts.find, key=str(key)))
        return found if found and found.state is not AttemptState.STARTED else None

    key = outcome.attempt.id
    found: Attempt = await eventually(look)
    return found


async def test_an_order_is_carried_out(start: Start, world: FakeWorld) -> None:
    """Completed, in someone's name, counted against the budgets, and in the timeline."""
    async with start() as running:
        attempt = await ended(running, await order(running))
        latest = await running.loop.reader.read(partial(events.latest, limit=50))
        again = await order(running)
    assert (attempt.state, attempt.requested_by) == (AttemptState.COMPLETED, "ada")
    assert attempt.incident_id is None
    assert world.commands == ["restart_bot"]
    (begun,) = [event for event in latest if event.kind == "started"]
    assert (begun.actor, begun.reason) == ("ada", "new config")
    assert again.refusal is not None
    assert again.refusal.reason is Reason.COOLDOWN


async def test_a_halt_that_was_ordered_is_the_persons(start: Start, world: FakeWorld) -> None:
    """Its owner and its reason reach the bot, and a runbook's do not say an operator."""
    async with start() as running:
        attempt = await ended(running, await order(running, "halt_trading"))
    assert attempt.state is AttemptState.COMPLETED
    assert world.params == [{"id": attempt.id, "owner": "ada", "reason": "new config"}]


async def test_an_order_counts_for_the_runbooks(start: Start, world: FakeWorld) -> None:
    """What an operator has just done, the machine does not do again at once."""
    async with start() as running:
        await ended(running, await order(running, "reconnect_broker"))
        history = await running.loop.reader.read(
            partial(attempts.of_target, target="alpha", since=clock.now() - timedelta(hours=1))
        )
    assert [attempt.action for attempt in history] == ["reconnect_broker"]


async def test_a_pause_refuses_an_order_and_says_so(start: Start, world: FakeWorld) -> None:
    """The refusal names who, and how to continue; it is kept."""
    async with start() as running:
        expires_at = clock.now() + timedelta(minutes=1)
        pause = Pause(owner="bob", reason="upgrade", expires_at=expires_at)
        writer = running.loop.manual_actions.writer
        await writer.run(partial(maintenance.begin_pause, pause=pause, now=clock.now()))
        outcome = await order(running)
        latest = await running.loop.reader.read(partial(events.latest, limit=50))
    assert outcome.attempt is None
    assert outcome.refusal is not None
    assert outcome.refusal.reason is Reason.PAUSED
    assert outcome.refusal.note == "by bob: upgrade"
    assert world.commands == []
    (kept,) = [event for event in latest if event.kind == "request_refused"]
    assert (kept.actor, kept.reason) == ("ada", "paused")


async def test_a_healthy_bot_is_not_restarted_manually_either(
    start: Start, world: FakeWorld
) -> None:
    """The precondition also protects the target from operators."""
    world.bot_status = "ok"
    async with start() as running:
        outcome = await order(running)
    assert outcome.refusal is not None
    assert outcome.refusal.reason is Reason.TARGET_HEALTHY
    assert world.commands == []


LEFT = "slo:period_error_budget_remaining:ratio"


@pytest.mark.parametrize(
    ("left", "over", "rolled"),
    [
        (0.01, {}, True),
        (None, {}, True),  # nothing is recorded of a new bot
        (-0.5, {}, False),
        (0.0, {}, False),
        (-0.5, {"freeze_on_spent_budget": False}, True),
    ],
)
async def test_a_bot_without_error_budget_is_not_rolled(
    start: Start, world: FakeWorld, left: float | None, over: dict[str, bool], *, rolled: bool
) -> None:
    """The refusal says how much is spent, and is kept; a restart of a sick bot is no roll."""
    labels = {"bot": "alpha", "sloth_slo": "availability"}
    world.samples = {LEFT: [] if left is None else [(labels, left)]}
    async with start(**over) as running:
        outcome = await order(running, "roll_bot")
        if rolled:
            await ended(running, outcome)
        else:
            assert outcome.refusal is not None
            assert outcome.refusal.reason is Reason.BUDGET_SPENT
            assert f"{1 - (left or 0):.0%} of the last 30 days" in outcome.refusal.note
            latest = await running.loop.reader.read(partial(events.latest, limit=50))
            assert "budget_spent" in [
                event.reason for event in latest if event.kind == "request_refused"
            ]
            await ended(running, await order(running))
    assert world.commands == ["restart_bot"]


async def test_an_operator_overrides_a_spent_error_budget(start: Start, world: FakeWorld) -> None:
    """With the reason in the audit log."""
    world.samples = {LEFT: [({"bot": "alpha"}, -1.0)]}
    async with start() as running:
        result = await running.loop.manual_actions.execute(
            *("roll_bot", "alpha", {}), owner="ada", reason="a fix", override_budget=True
        )
        await ended(running, result)
        latest = await running.loop.reader.read(partial(events.latest, limit=50))
    (begun,) = [event for event in latest if event.kind == "started"]
    assert (begun.actor, begun.reason) == ("ada", "error budget overridden: a fix")


async def test_an_unknown_error_budget_refuses_a_roll(start: Start, world: FakeWorld) -> None:
    async with start() as running:
        world.prometheus_down = True
        outcome = await order(running, "roll_bot")
    assert outcome.refusal is not None
    assert outcome.refusal.reason is Reason.BUDGET_SPENT
    assert "not known" in outcome.refusal.note


async def test_on_call_is_notified_by_the_reconcilers_own_metric(
    start: Start, world: FakeWorld
) -> None:
    """No bot is asked; a rule pages on what is shown."""
    params = {"message": "Ada looks after it"}
    async with start() as running:
        manual, metrics = running.loop.manual_actions, running.loop.metrics
        result = await manual.execute(
            "page_oncall", "alpha", params, owner="ada", reason="handover"
        )
        attempt = await ended(running, result)
        labels = {"target": "alpha", "bot": "alpha", "venue": "paper", **params}
        assert metrics.registry.get_sample_value("trading_ops_notice", labels) == 1
    assert attempt.state is AttemptState.COMPLETED
    assert attempt.detail == "on-call is notified: Ada looks after it"
    assert world.commands == []


async def test_two_orders_at_once_are_one(start: Start, world: FakeWorld) -> None:
    """The second finds the target busy."""
    world.hang = asyncio.Event()
    async with start() as running:
        first, second = await asyncio.gather(order(running), order(running, owner="bob"))
        started = [result for result in (first, second) if result.attempt]
        refused = [result.refusal for result in (first, second) if result.refusal]
        world.hang.set()
        await ended(running, started[0])
    assert len(started) == 1
    assert refused[0].reason is Reason.TARGET_BUSY
    assert world.commands == ["restart_bot"]


@pytest.mark.parametrize(
    ("action", "target", "params", "owner", "message"),
    [
        ("pray", "alpha", {}, "ada", "unknown action 'pray'"),
        ("restart_bot", "../alpha", {}, "ada", "no target '../alpha'"),
        ("restart_bot", "alpha", {"x": "y"}, "ada", "takes no parameters"),
        ("restart_component", "alpha", {}, "ada", "takes component"),
        ("restart_bot", "alpha", {}, " ", "owner is required"),
        ("restart_bot", "alpha", {}, "a" * 201, "at most 200"),
        ("restart_bot", "paper", {}, "ada", "is of kind venue"),
    ],
)
async def test_nonsense_is_refused_in_a_sentence(
    start: Start, action: str, target: str, params: dict[str, str], owner: str, message: str
) -> None:
    """Nothing is stored, and nothing is asked of a target that is not meant."""
    async with start() as running:
        with pytest.raises(RequestRefused, match=message):
            await running.loop.manual_actions.execute(
                action, target, params, owner=owner, reason="why"
            )


async def test_two_persons(start: Start, world: FakeWorld) -> None:
    """One orders, another approves, and then it can be ordered: once."""
    async with start(two_person_approval=True) as running:
        writer = running.loop.manual_actions.writer
        first = await order(running)
        assert first.refusal is not None
        assert first.refusal.reason is Reason.APPROVAL_MISSING
        assert first.approval is not None
        assert first.approval.state is ApprovalState.PENDING
        waits = await order(running)
        assert waits.approval is not None
        assert waits.approval.id == first.approval.id
        approve = partial(approvals.approve, key=first.approval.id, now=clock.now())
        with pytest.raises(RequestRefused, match="another operator"):
            await writer.run(partial(approve, owner="ada"))
        await writer.run(partial(approve, owner="bob"))
        await ended(running, await order(running))
        await running.call(
            "POST", "/api/v1/targets/alpha/reset-budget", json={"owner": "ada", "reason": "test"}
        )
        again = await order(running)
        assert again.approval is not None
        assert again.approval.id != first.approval.id
        plain = await ended(running, await order(running, "reconnect_broker"))
    assert plain.state is AttemptState.COMPLETED
    assert world.commands == ["restart_bot", "reconnect_broker"]


async def test_an_order_whose_process_died_is_probed(start: Start, world: FakeWorld) -> None:
    """It is not done again; what the executor remembers is its outcome."""
    world.hang = asyncio.Event()
    async with start(killed=True) as running:
        outcome = await order(running)
        await eventually(lambda: world.commands == ["restart_bot"])
    world.hang.set()
    async with start() as running:
        attempt = await ended(running, outcome)
        attempt = await eventually(partial(_known, running, attempt))
    assert attempt.state is AttemptState.COMPLETED
    assert attempt.detail == "a probe found that it succeeded"
    assert world.commands == ["restart_bot"]


async def _known(running: Running, attempt: Attempt) -> Attempt | None:
    found = await running.loop.reader.read(partial(attempts.find, key=attempt.id))
    return found if found and found.state is not AttemptState.UNKNOWN else None
