"""An incident whose processing crashes is escalated and set aside; the others are processed."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.builders import LABELS
from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops.domain.runbook import RunbookStep
from trading_ops.domain.target import Target
from trading_ops.reconciler.crash_recovery import LIMIT, CrashCounter
from trading_ops.reconciler.execute import AttemptRunner

pytestmark = pytest.mark.usefixtures("database_url")


@dataclass(frozen=True, kw_only=True)
class Defective(AttemptRunner):
    """Has a defect that shows with each precondition."""

    async def precondition(self, step: RunbookStep, target: Target) -> str | None:
        raise ZeroDivisionError(f"a defect before {step.action} on {target.name}")


def plant(running: Running) -> None:
    """Give the running reconciler the defect."""
    incident_reconciler = running.loop.incident_reconciler
    fields = {
        name: getattr(incident_reconciler.runner, name)
        for name in AttemptRunner.__dataclass_fields__
    }
    running.loop.incident_reconciler = replace(incident_reconciler, runner=Defective(**fields))


async def crashes(running: Running) -> list[dict[str, Any]]:
    if await running.incident() is None:
        return []
    return [
        event
        for event in (await running.timeline())["events"]
        if event["kind"] == "incident_crashed"
    ]


async def escalated(running: Running) -> bool:
    return await running.has_event("escalated", "crashed")


async def test_it_is_escalated_once_and_set_aside(start: Start, world: FakeWorld) -> None:
    """After three crashes on-call is paged, nothing more is tried, and others are processed."""
    async with start(poll_interval_seconds=0.3) as running:
        plant(running)
        await running.break_it()
        await eventually(lambda: escalated(running))
        found = await crashes(running)
        assert len(found) == LIMIT
        assert "ZeroDivisionError" in found[0]["note"]

        crashing = await running.incident()
        assert crashing is not None
        other = LABELS | {"alertname": "PageOnly"}
        world.foreign.append(other)
        world.labels, former = other, world.labels
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "page_only"))
        world.labels = former
        timeline = await running.call("GET", f"/api/v1/incidents/{crashing['id']}")
        kinds = [event["kind"] for event in timeline["events"]]
        assert (kinds.count("incident_crashed"), kinds.count("escalated")) == (LIMIT, 1)
        assert world.commands == []


async def test_a_restart_does_not_start_the_count_again(start: Start, world: FakeWorld) -> None:
    """The store counts: three processes that each see one crash escalate the incident."""
    async with start() as running:
        world.silenced = True
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "silenced"))
        state = running.loop.state
        (incident,) = state.incidents
        lives = [CrashCounter(writer=running.loop.incident_reconciler.writer) for _ in range(LIMIT)]
        for life in lives:
            assert not await escalated(running)
            await life.add(incident, state, ZeroDivisionError("a defect"))
        assert await escalated(running)
        assert [life.is_set_aside(incident, state) for life in lives] == [False, False, True]


async def test_a_person_who_acknowledges_it_has_it_processed_again(
    start: Start, world: FakeWorld
) -> None:
    """The defect is gone, as after an update: the incident continues and closes."""
    async with start(poll_interval_seconds=0.3) as running:
        sound = running.loop.incident_reconciler
        plant(running)
        await running.break_it()
        await eventually(lambda: escalated(running))
        running.loop.incident_reconciler = sound
        world.firing = False
        found = await running.incident()
        assert found is not None
        assert found["closed_at"] is None
        path = f"/api/v1/incidents/{found['id']}/acknowledge"
        await running.call("POST", path, json={"note": "fixed", "owner": "ada"})
        await eventually(running.closed)
