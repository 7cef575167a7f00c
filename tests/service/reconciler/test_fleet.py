"""The gates of the fleet: what counts as failing, and that an incident waits for them."""

import pytest
from msgspec.structs import fields

from tests.builders import LABELS
from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops.app.loop import limits_of
from trading_ops.config.settings import Settings
from trading_ops.domain.decision import GlobalLimits


async def held(running: Running, gate: str) -> bool:
    """Whether the metric says that an incident waits for a gate."""
    return await running.metric(f'trading_ops_incidents_waiting{{gate="{gate}"}}') == 1


@pytest.mark.parametrize(
    ("gate", "limits"),
    [
        ("storm", {"storm_targets": 0, "storm_share": 0.0}),
        ("global_budget", {"attempts_total": 0, "attempts_share": 0.0}),
    ],
)
async def test_an_incident_waits_for_a_gate_of_the_fleet(
    start: Start, world: FakeWorld, gate: str, limits: dict[str, float]
) -> None:
    """It is not escalated, so it continues when the gate is open: here, with other limits."""
    async with start(poll_interval_seconds=0.5, **limits) as running:
        await running.break_it()
        await eventually(lambda: held(running, gate))
        assert await running.has_event("decided_wait", gate)
        incident = await running.incident()
        assert incident is not None
        assert incident["escalated_at"] is None
        assert world.commands == []
    async with start(poll_interval_seconds=0.5) as running:
        await eventually(running.closed)
        assert not await held(running, gate)
    assert world.commands == ["reconnect_broker"]


async def test_a_warning_is_not_a_failing_target(start: Start, world: FakeWorld) -> None:
    """Only what is critical and auto-remediated counts."""
    world.labels = LABELS | {"severity": "warning"}
    async with start(storm_targets=0, storm_share=0.0) as running:
        await running.break_it()
        await eventually(running.closed)
    assert world.commands == ["reconnect_broker"]


def test_the_settings_are_the_limits_by_default(settings: Settings) -> None:
    """And each of them can be set."""
    assert limits_of(settings) == GlobalLimits()
    names = {"storm_targets", "storm_share", "healthy_share", "unhealthy_targets"}
    names |= {"attempts_total", "attempts_share"}
    assert names <= {field.name for field in fields(Settings)}
