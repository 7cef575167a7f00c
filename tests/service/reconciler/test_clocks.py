"""Clocks that step: nothing is done for a moment, an event records it, and recovery continues."""

from datetime import timedelta
from typing import Any

from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.reconciler.clocks import Clocks

OFTEN = 0.2
HOUR = timedelta(hours=1)


def posted(world: FakeWorld, name: str) -> list[dict[str, Any]]:
    """Return what was posted to Alertmanager about one clock."""
    found = [alert for alert in world.posted if alert["labels"]["clock"] == name]
    assert all(alert["labels"]["alertname"] == "TradingOpsClockStepped" for alert in found)
    return found


async def stepped(running: Running, name: str) -> bool:
    """Whether the step of a clock is recorded and exported."""
    events = (await running.call("GET", "/api/v1/events"))["events"]
    recorded = any(event["kind"] == "clock_stepped" and event["reason"] == name for event in events)
    value = await running.metric(f'trading_ops_clock_stepped{{clock="{name}"}}')
    return recorded and value == 1


def set_right(clocks: Clocks, later: timedelta = timedelta(0)) -> None:
    """Let our clock be right, so much later."""
    clocks.wall = lambda: clock.timestamp() + later.total_seconds()
    clocks.steady = lambda: clock.boottime() + later.total_seconds()


async def test_a_step_of_prometheus_is_reported_and_recovery_goes_on(
    start: Start, world: FakeWorld
) -> None:
    """The clock stays wrong by an hour; recovery waits for the bounded time only."""
    async with start(poll_interval_seconds=OFTEN) as running:
        clocks = running.loop.observer.clocks
        clocks.unknown_seconds = 1e6
        world.prometheus_ahead = -HOUR
        await eventually(lambda: stepped(running, "prometheus"))
        await eventually(lambda: posted(world, "prometheus"))
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "source_unknown"))
        assert world.commands == []
        clocks.unknown_seconds = 0.0
        await eventually(running.closed)
    assert world.commands == ["reconnect_broker"]


async def test_a_step_of_ours_is_reported_and_ends(start: Start, world: FakeWorld) -> None:
    """The alert is resolved at Alertmanager once the clock is right again."""
    async with start(poll_interval_seconds=OFTEN) as running:
        clocks = running.loop.observer.clocks
        clocks.wall = lambda: clock.timestamp() - HOUR.total_seconds()
        await eventually(lambda: stepped(running, "reconciler"))
        await eventually(lambda: posted(world, "reconciler"))
        assert "endsAt" not in posted(world, "reconciler")[-1]
        set_right(clocks)
        clocks.read()
        set_right(clocks, later=HOUR)
        await eventually(lambda: "endsAt" in posted(world, "reconciler")[-1])
